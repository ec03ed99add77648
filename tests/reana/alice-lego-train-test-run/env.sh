export DATA=$PWD/data__LHC10h

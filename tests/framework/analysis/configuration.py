"""The analysis: what mkShapesRDF -c 1 reads in the current folder."""

tag = 'emu'
runnerFile = 'default'
treeBaseDir = 'ntuples'
outputFile = 'mkShapes__emu.root'
outputFolder = '.'
batchFolder = 'condor'
configsFolder = 'configs'
lumi = 41.48
filesToExec = ['samples.py', 'cuts.py', 'variables.py', 'nuisances.py']
jdlconfigfile = 'jdl_config.py'
varsToKeep = ['tag', 'outputFile', 'outputFolder', 'batchFolder', 'lumi', 'jdlconfigfile']

#!/bin/sh
export DATA="$PWD/data__LHC10h"

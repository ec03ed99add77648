#!/bin/sh
# Stands in for a download.
seq 1 200 >"$1"

#!/bin/sh
export ALICE_PHYSICS=/opt/alice

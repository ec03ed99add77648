#!/bin/sh
# Stands in for the programs by which jobs are submitted or changed, and that cannot be recorded: each ends with 1, and
# the recording keeps that it was called.
program=${0##*/}
case $program in
    condor_submit_dag) why='a DAG has an order of jobs, which a plan has not; submit its jobs by condor_submit' ;;
    condor_*) why='only condor_submit is recorded; the jobs do not exist yet, so that nothing can be done with them' ;;
    *) why='only condor_submit is recorded; choose HTCondor as the batch system of your framework' ;;
esac
printf 'septum: %s is not supported: %s\n' "$program" "$why" >&2
if [ -z "${SEPTUM_RECORDING-}" ] && [ -f "${0%/*}/../place" ]; then
    IFS= read -r SEPTUM_RECORDING < "${0%/*}/../place"
fi
if [ -n "${SEPTUM_RECORDING-}" ] && mkdir -p "$SEPTUM_RECORDING"; then
    printf '%s\tnot supported: %s\n' "$program" "$why" >> "$SEPTUM_RECORDING/refused"
fi
exit 1

"""A poller in the shape of checkCondor: waits for the cluster that is last in the queue and fetches it.

`check_condor.py TRANSFER REMOVE`. However it ends, it ends with 0.
"""

# ruff: noqa: T201 - the log of a CI job

import os
import subprocess
import sys
import time
from collections import Counter

ROUNDS, PATIENCE = 3, 10
STATES = ("Unexpanded", "Idle", "Running", "Removed", "Completed", "Held", "Submission_err", "Unknown")
COMPLETED, HELD = "4", "5"


def condor(*words: str) -> tuple[int, list[str]]:
    """Call one of HTCondor's tools; its complaints are shown."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    if done.stderr:
        print(done.stderr, end="")
    return done.returncode, done.stdout.split()


def end(cluster: str, *, transfer: bool, remove: bool) -> None:
    """Fetch, and remove if asked to."""
    if transfer and cluster:
        condor("condor_transfer_data", cluster)
    if remove and cluster:
        condor("condor_rm", cluster)


def main() -> None:
    """Watch."""
    transfer, remove = (word == "True" for word in sys.argv[1:3])
    _, clusters = condor("condor_q", "-af", "ClusterId")
    cluster = clusters[-1] if clusters else ""
    statuses: list[str] = []
    completed = held = failed = 0
    while True:
        code, listed = condor("condor_q", cluster, "-af", "JobStatus")
        if code:
            failed += 1
            if failed == PATIENCE:
                print("Exit on not established connection")
                return None
        elif not listed:
            return None
        else:
            failed, statuses = 0, listed
        counts = Counter(statuses)
        print(cluster, {state: counts[str(number)] for number, state in enumerate(STATES)}, flush=True)
        completed = completed + 1 if counts[COMPLETED] == len(statuses) else 0
        held = held + 1 if statuses and counts[HELD] == len(statuses) else 0
        if completed == ROUNDS:
            print("Exit on completed jobs")
            return end(cluster, transfer=transfer, remove=remove)
        if held == ROUNDS:
            print("Exit on held jobs")
            condor("condor_q", cluster, "-hold")
            return end(cluster, transfer=transfer, remove=True)
        time.sleep(float(os.environ.get("POLL_S", "5")))


if __name__ == "__main__":
    main()

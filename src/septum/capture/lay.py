"""Lays out the programs that record what a framework submits, for a CI job in an image without septum."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from septum.state import write_whole

REFUSED = (
    # What submits in a way that cannot be recorded …
    "arcsub",
    "bsub",
    "condor_dagman",
    "condor_qsub",
    "condor_run",
    "condor_submit_dag",
    "htcondor",
    "jobsub_submit",
    "qsub",
    "sbatch",
    # … and what changes jobs, which would then run as they were.
    "condor_continue",
    "condor_hold",
    "condor_prio",
    "condor_qedit",
    "condor_release",
    "condor_rm",
    "condor_suspend",
    "condor_vacate",
    "condor_vacate_job",
)
"""Programs whose call makes the recording unfit."""
ASKED = (
    "condor_history",
    "condor_q",
    "condor_ssh_to_job",
    "condor_status",
    "condor_tail",
    "condor_transfer_data",
    "condor_userlog",
    "condor_wait",
    "condor_watch_q",
)
"""Programs that only ask, wait or fetch: they fail, and the recording stays good."""
BINDINGS = ("htcondor", "htcondor2")
"""HTCondor's modules for Python: whoever uses them submits in a way that cannot be recorded."""
_OWN = ("begin.sh", "end.sh", "tidy.sh")
_PARTS = ("describe.sh", "paths.sh", "queue.sh", "copies.sh")


def lay(folder: Path) -> None:
    """Write the programs to a folder: `bin/`, `lib/`, `python/`, and `begin.sh`, `end.sh`, `tidy.sh`, with mode 0755.

    Args:
        folder: May exist; what has the same names is replaced.
    """
    shim = resources.files(__package__) / "shim"
    places = {
        **{name: name for name in _OWN},
        **{f"lib/{name}": name for name in _PARTS},
        "bin/condor_submit": "condor_submit",
        **{f"python/{name}.py": "bindings.py" for name in BINDINGS},
        **{f"bin/{name}": "refuse.sh" for name in REFUSED},
        **{f"bin/{name}": "ask.sh" for name in ASKED},
    }
    for place, source in places.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (shim / source).read_text(encoding="utf-8"), mode=0o755)

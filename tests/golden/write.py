"""Writes what GitLab would run of each example: `python3 tests/golden/write.py`, and look at the difference.

A file is the output of `septum component preview --yaml` with the options that stand here.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from septum.cli import main

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
_UNPROTECTED = ("--branch", "topic", "--unprotected")
_SCHEDULE = ("--source", "schedule")
_TAG = ("--tag", "v1.2", "--protected")

GOLDEN: dict[str, tuple[str, ...]] = {
    "minimal.push": (),
    "minimal.unprotected": _UNPROTECTED,
    "minimal.merge-request": ("--merge-request",),
    "two-clusters.push": (),
    "two-clusters.unprotected": _UNPROTECTED,
    "two-clusters.local": ("--source", "web", "--input", "cluster=local"),
    "two-clusters.image": ("--source", "web", "--input", "image=gitlab-registry.cern.ch/my-group/analysis:1.4"),
    "years.push": (),
    "compare-in-merge-requests.push": (),
    "compare-in-merge-requests.merge-request": ("--merge-request",),
    "compare-in-merge-requests.unprotected": _UNPROTECTED,
    "nightly.push": (),
    "nightly.schedule": _SCHEDULE,
    "hops.push": (),
    "hops.tag": _TAG,
    "hops.unprotected": _UNPROTECTED,
    "several-includes.push": (),
    "several-includes.unprotected": _UNPROTECTED,
    "captured-framework.push": (),
    "captured-framework.unprotected": _UNPROTECTED,
}
"""The options of each file, whose name is that of the example and of what starts the pipeline."""


def preview(name: str) -> str:
    """What the file of that name should hold.

    Raises:
        RuntimeError: GitLab would refuse the example.
    """
    example = name.partition(".")[0]
    words = ["component", "preview", "--yaml", "--library", str(ROOT), *GOLDEN[name], str(ROOT / "examples" / example)]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(words)
    if code:
        raise RuntimeError(f"septum {' '.join(words)} ended with {code}")
    return printed.getvalue()


def _write() -> None:
    for name in GOLDEN:
        (FOLDER / f"{name}.yml").write_text(preview(name), encoding="utf-8")
    for path in FOLDER.glob("*.yml"):
        if path.stem not in GOLDEN:
            path.unlink()
    sys.stdout.write(f"{len(GOLDEN)} previews of the examples are up to date\n")


if __name__ == "__main__":
    _write()

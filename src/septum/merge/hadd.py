"""ROOT's `hadd`: for trees, ntuples, and every class that the strict engine does not know."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from septum.errors import EngineMissingError, MergeFailedError
from septum.merge.engine import Merging, Target
from septum.merge.ranges import RangeMerging
from septum.merge.rootfile import summarize
from septum.merge.summary import FileSummary

_DEADLINE_S = 4 * 3600.0
_VERSION_S = 60.0
# What it prints of every ntuple, lost or not; the check of the columns stands in for it.
_HARMLESS = re.compile(r"^Warning in <TFileMerger::MergeRecursive>: Merging RNTuples is experimental.*$", re.MULTILINE)
# What hadd prints while it loses something and ends with 0 (ROOT 6.40).
_BAD_WORDS = re.compile(
    r"^(Error|SysError|Fatal) in <|Recover|probably not closed|Warning in <.*([Mm]erg|Add)", re.MULTILINE
)
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "ROOTSYS")


@dataclass(frozen=True)
class Hadd:
    """ROOT's `hadd`, which merges ranges of the plan while parts still arrive."""

    program: Path
    environ: Mapping[str, str]
    policies: Mapping[str, str] = field(default_factory=dict)
    two_levels: bool = True
    stamps: bool = True

    @functools.cached_property
    def name(self) -> str:
        """Name, version of ROOT and place, for the report."""
        config = self.program.with_name("root-config")
        version = ""
        if config.is_file():
            try:
                done = subprocess.run(
                    [str(config), "--version"],
                    env={name: self.environ[name] for name in _KEPT if name in self.environ},
                    capture_output=True,
                    timeout=_VERSION_S,
                    check=False,
                    text=True,
                )
                version = done.stdout.strip() if done.returncode == 0 else ""
            except (OSError, subprocess.TimeoutExpired):
                version = ""
        return f"hadd{' ' + version if version else ''} ({self.program})"

    def read(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read a file with uproot, which shares no code with hadd."""
        return summarize(path, name=name, expected=expected, unchecked=self.policies.get("unchecked") == "hadd")

    def begin(self, target: Target) -> Merging:
        """Begin a result."""
        return RangeMerging(self, target)

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Merge ROOT files; exit code and every word on standard error count."""
        del titles  # nothing in a ROOT file is named after the part that it is from
        # `?reproducible` fixes the dates and the identifier in the file; -k would skip broken files silently.
        # Relative paths: ROOT expands parentheses, `$`, `#` and `?` in a name, which the user's folders may have.
        folder = target.parent.resolve()
        names = [os.path.relpath(source.resolve(), folder) for source in sources]
        command = [str(self.program.absolute()), "-f", "-v", "1", f"{target.name}?reproducible={title}", *names]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env={name: self.environ[name] for name in _KEPT if name in self.environ},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_DEADLINE_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MergeFailedError(
                f"merge: hadd did not run to its end for {title}",
                evidence=str(error)[:300],
                fix="check the ROOT installation",
            ) from error
        said = _HARMLESS.sub("", (done.stdout + done.stderr).decode("utf-8", "replace"))
        bad = _BAD_WORDS.search(said)
        if done.returncode != 0 or bad:
            lines = said.strip().splitlines()
            shown = [line for line in lines if _BAD_WORDS.search(line)][:5] or lines[-5:]
            raise MergeFailedError(
                f"merge: hadd failed for {title} with exit code {done.returncode}",
                evidence="\n".join(shown),
                fix="look at the files of the state folder; nothing was written to the result folder",
            )


def find_hadd(environ: Mapping[str, str], policies: Mapping[str, str] | None = None) -> Hadd:
    """Find `hadd`: SEPTUM_HADD, PATH, ROOTSYS, or the PyPI package `root`, in this order.

    Raises:
        EngineMissingError: There is none.
    """
    named = environ.get("SEPTUM_HADD")
    if named and not os.access(named, os.X_OK):
        raise EngineMissingError(
            f"merge: SEPTUM_HADD is {named!r}, which cannot be run", fix="correct or unset SEPTUM_HADD"
        )
    candidates = [named, shutil.which("hadd", path=environ.get("PATH"))]
    candidates += [os.path.join(environ["ROOTSYS"], "bin", "hadd")] if environ.get("ROOTSYS") else []  # noqa: PTH118
    # Only the place is asked for: importing ROOT takes a second and prints.
    wheel = importlib.util.find_spec("ROOT")
    candidates += [str(Path(wheel.origin).parent / "bin" / "hadd")] if wheel and wheel.origin else []
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return Hadd(Path(candidate), dict(environ), dict(policies or {}))
    raise EngineMissingError(
        "merge: no hadd was found to merge ROOT files with",
        evidence="looked at: SEPTUM_HADD, PATH, ROOTSYS, the Python package 'root'",
        fix="set up ROOT in this CI job, or: python3 -m pip install 'septum[root]'",
    )

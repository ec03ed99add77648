"""The engines that merge files. An engine is believed only after its result has been read back."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from septum.errors import EngineMissingError, MergeFailedError

_DEADLINE_S = 4 * 3600.0
# What hadd prints while it loses something and ends with 0 (ROOT 6.40).
_BAD_WORDS = re.compile(
    r"^(Error|SysError|Fatal) in <|Recover|probably not closed|Warning in <.*([Mm]erg|Add)", re.MULTILINE
)
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "ROOTSYS")


class Engine(Protocol):
    """Merges files of one format."""

    @property
    def name(self) -> str:
        """Name and place, for the report."""

    def merge(self, target: Path, sources: Sequence[Path], *, title: str) -> None:
        """Merge sources, in this order, into a new file.

        Args:
            target: Must not exist; what stands there after an error is worthless.
            sources: At least one.
            title: Goes into the file instead of its name, so that equal inputs give equal bytes.

        Raises:
            MergeFailedError: The engine failed or complained.
        """


@dataclass(frozen=True, slots=True)
class Hadd:
    """ROOT's `hadd`."""

    program: Path
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name and place, for the report."""
        return f"hadd ({self.program})"

    def merge(self, target: Path, sources: Sequence[Path], *, title: str) -> None:
        """Merge ROOT files; exit code and every word on standard error count."""
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
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        bad = _BAD_WORDS.search(said)
        if done.returncode != 0 or bad:
            lines = said.strip().splitlines()
            shown = [line for line in lines if _BAD_WORDS.search(line)][:5] or lines[-5:]
            raise MergeFailedError(
                f"merge: hadd failed for {title} with exit code {done.returncode}",
                evidence="\n".join(shown),
                fix="look at the files of the state folder; nothing was written to the result folder",
            )


@dataclass(frozen=True, slots=True)
class NoEngine:
    """Stands where a plan has nothing to merge."""

    name: str = "none"

    def merge(self, target: Path, sources: Sequence[Path], *, title: str) -> None:
        """There is nothing to merge, so nobody calls this."""
        raise MergeFailedError(f"merge: {title} has no engine: {len(sources)} files for {target}", fix="report this")


def find_hadd(environ: Mapping[str, str]) -> Hadd:
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
            return Hadd(Path(candidate), dict(environ))
    raise EngineMissingError(
        "merge: no hadd was found to merge ROOT files with",
        evidence="looked at: SEPTUM_HADD, PATH, ROOTSYS, the Python package 'root'",
        fix="set up ROOT in this CI job, or: python3 -m pip install 'septum[root]'",
    )

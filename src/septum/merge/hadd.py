"""ROOT's `hadd`: for trees, ntuples, and every class that the strict engine does not know."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from septum.errors import EngineMissingError, MergeFailedError
from septum.merge.baskets import TREES, BasketReader
from septum.merge.engine import Target
from septum.merge.ranges import RangeMerging
from septum.merge.summary import FileSummary

_DEADLINE_S = 4 * 3600.0
_VERSION_S = 60.0
# What it prints of every ntuple, lost or not; the check of the columns stands in for it.
_HARMLESS = re.compile(r"^Warning in <TFileMerger::MergeRecursive>: Merging RNTuples is experimental.*$", re.MULTILINE)
# What hadd prints while it loses something and ends with 0 (ROOT 6.40).
_BAD_WORDS = re.compile(
    r"^(Error|SysError|Fatal) in <|Recover|probably not closed|Warning in <.*([Mm]erg|Add)", re.MULTILINE
)
ROWS = TREES | {"ROOT::RNTuple", "ROOT::Experimental::RNTuple"}
"""Classes that hold rows, which merging puts together and does not add up."""
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "ROOTSYS")


@dataclass(frozen=True)
class Hadd:
    """ROOT's `hadd`, which merges ranges of the plan while parts still arrive."""

    program: Path
    environ: Mapping[str, str]
    policies: Mapping[str, str] = field(default_factory=dict)
    two_levels: bool = True
    stamps: bool = True
    _baskets: BasketReader = field(default_factory=lambda: BasketReader(_tree_structure), compare=False, repr=False)

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
        """Read a file with code that hadd shares nothing with: of trees their baskets, and all else with uproot."""
        found = self._baskets.read(path, name=name)
        if found is None or not set(expected) <= set(found.objects):
            return self._summarize(path, name=name, expected=expected)
        return found

    def _summarize(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        from septum.merge.rootfile import summarize

        return summarize(path, name=name, expected=expected, unchecked=self.policies.get("unchecked") == "hadd")

    def _reread(self, path: Path, name: str) -> FileSummary:
        """Read a merged file, whose baskets should be those of its parts."""
        return self._baskets.read(path, name=name, copies=True) or self._summarize(path, name=name)

    def begin(self, target: Target) -> RangeMerging:
        """Begin a result."""
        return RangeMerging(self, target, reread=self._reread)

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Merge ROOT files; exit code and every word on standard error count."""
        del titles  # nothing in a ROOT file is named after the part that it is from
        running = self.start(target, sources, title)
        try:
            running.wait()
        finally:
            running.stop()

    def start(self, target: Path, sources: Sequence[Path], title: str) -> RunningHadd:
        """Begin to merge ROOT files.

        Raises:
            MergeFailedError: It cannot be run.
        """
        # `?reproducible` fixes the dates and the identifier in the file; -k would skip broken files silently. With -ff
        # the result is compressed as the first file is, and baskets are copied as they are.
        # Relative paths: ROOT expands parentheses, `$`, `#` and `?` in a name, which the user's folders may have.
        folder = target.parent.resolve()
        names = [os.path.relpath(source.resolve(), folder) for source in sources]
        command = [str(self.program.absolute()), "-ff", "-v", "1", f"{target.name}?reproducible={title}", *names]
        # A file, and not a pipe: nobody reads while it runs.
        said = tempfile.TemporaryFile()  # noqa: SIM115 - closed where the process is waited for
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={name: self.environ[name] for name in _KEPT if name in self.environ},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            said.close()
            raise _did_not_run(title, error) from error
        return RunningHadd(process, said, title)


def _tree_structure(path: Path, tree: str) -> str:
    from septum.merge.rootfile import tree_structure

    return tree_structure(path, tree)


def _did_not_run(title: str, error: Exception) -> MergeFailedError:
    return MergeFailedError(
        f"merge: hadd did not run to its end for {title}",
        evidence=str(error)[:300],
        fix="check the ROOT installation",
    )


class RunningHadd:
    """A hadd that runs."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes], title: str) -> None:
        self._process, self._said, self._title = process, said, title

    def wait(self) -> None:
        """Wait for its end; exit code and every word on standard error count.

        Raises:
            MergeFailedError: It failed, complained, or takes too long.
        """
        try:
            code = self._process.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired as error:
            raise _did_not_run(self._title, error) from error
        self._said.seek(0)
        said = _HARMLESS.sub("", self._said.read().decode("utf-8", "replace"))
        bad = _BAD_WORDS.search(said)
        if code != 0 or bad:
            lines = said.strip().splitlines()
            shown = [line for line in lines if _BAD_WORDS.search(line)][:5] or lines[-5:]
            raise MergeFailedError(
                f"merge: hadd failed for {self._title} with exit code {code}",
                evidence="\n".join(shown),
                fix="look at the files of the state folder; nothing was written to the result folder",
            )

    def stop(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._said.close()


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

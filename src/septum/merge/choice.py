"""Which engine merges an output: by its ending, and for ROOT files by what the first one holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from septum.errors import EngineMissingError, OutputDamagedError

if TYPE_CHECKING:
    from septum.merge.engine import Engine, Merging, Target
    from septum.merge.formats.base import Format
    from septum.merge.summary import FileSummary

Wish = Literal["auto", "strict", "hadd"]


def choose(
    path: Path, *, name: str, environ: Mapping[str, str], policies: Mapping[str, str], wish: Wish = "auto"
) -> Engine:
    """The engine for an output, by a first file of it.

    Args:
        path: The file.
        name: How messages name it; its ending decides.
        environ: Where `hadd` is looked for.
        policies: The relaxed policies by name.
        wish: `strict` or `hadd` where the user wants just this one.

    Raises:
        EngineMissingError: What it needs is not installed.
        OutputDamagedError: The file cannot be read.
    """
    if not name.endswith(".root"):
        return _format(name)
    if wish != "hadd" and (wish == "strict" or _is_simple(path, name)):
        from septum.merge.strict.merging import Strict

        return Strict(policies)
    from septum.merge.hadd import find_hadd

    return find_hadd(environ, policies)


def check(name: str, *, environ: Mapping[str, str], policies: Mapping[str, str]) -> None:
    """Look whether an output of this name can be merged here, as far as that shows before there is a file.

    Raises:
        EngineMissingError: It cannot.
    """
    if not name.endswith(".root"):
        _format(name)
    elif policies.get("unchecked") == "hadd":
        from septum.merge.hadd import find_hadd

        find_hadd(environ, policies)


def _is_simple(path: Path, name: str) -> bool:
    """Whether the strict engine knows everything in a ROOT file."""
    from septum.merge.strict.contents import kinds_in, knows
    from septum.merge.strict.records import RecordError

    try:
        return knows(kinds_in(path))
    except (RecordError, OSError) as error:
        raise OutputDamagedError(
            f"{name}: cannot be read as a ROOT file",
            evidence=str(error)[:300],
            fix="look at the part's log: did the job run out of time, memory or disk before it closed the file?",
        ) from error


def _format(name: str) -> Engine:
    from septum.merge import formats

    found = formats.find(name)
    if found is None:
        raise EngineMissingError(
            f"merge: nothing merges files such as {name.rpartition(': ')[2]!r}",
            evidence=f"known are .root, {', '.join(formats.endings())}",
            fix="write one of these, or leave the output out of 'merge' in septum.yaml: it is then kept once a part",
        )
    return FormatEngine(found)


class FormatEngine:
    """Another format than ROOT's, as an engine."""

    stamps = False

    def __init__(self, format_: Format) -> None:
        self._format = format_
        format_.ready()

    @property
    def name(self) -> str:
        """Name and version, for the report."""
        return self._format.name

    @property
    def two_levels(self) -> bool:
        """Whether merging merged ranges gives what one merge of all parts gives."""
        return self._format.two_levels

    def read(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read one file to its end."""
        return self._format.summarize(path, name=name, expected=expected)

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str]) -> None:
        """Merge sources, in this order, into a new file."""
        self._format.merge(target, sources, title=title, titles=titles)

    def begin(self, target: Target) -> Merging:
        """Begin a result."""
        from septum.merge.ranges import RangeMerging

        return RangeMerging(self, target)

"""Everything that the reports are made from, read once from the result folder. The readers are the only I/O here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from septum.compare.verdicts import Comparison, Entry
from septum.manifest import Manifest, ResultFile
from septum.report.comparison import by_object
from septum.report.histograms import Histogram
from septum.report.reading import Reading, is_histogram, read
from septum.report.text import visible_lines
from septum.report.verdict import failed

MAX_READ = 2000
"""Histograms that are read of all results together."""
MAX_LOGS = 1000
"""Failed parts whose logs are read."""
_TAIL_B = 16_384
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One object of a result, and its place in the comparison."""

    result: str
    path: str
    kind: str
    entries: float
    compared: Entry | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return (self.result, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A run, ready to be shown.

    Attributes:
        manifest: The run.
        comparison: With a reference, if there was one.
        items: All objects of all results: the worst of the comparison first, then in the order of the files.
        histograms: What was read of them, in the same order.
        references: Their counterparts, by result and path.
        unread: Why a histogram or a file could not be read, by result and path; the path of a whole file is empty.
        unlooked: How many histograms were not read because there are too many.
        logs: The end of the standard error of failed parts, by part.
    """

    manifest: Manifest
    comparison: Comparison | None = None
    items: tuple[Item, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    references: Mapping[tuple[str, str], Histogram] = field(default_factory=dict)
    unread: Mapping[tuple[str, str], str] = field(default_factory=dict)
    unlooked: int = 0
    logs: Mapping[str, str] = field(default_factory=dict)


def items(manifest: Manifest, comparison: Comparison | None) -> tuple[Item, ...]:
    """All objects of all results in the order in which they are shown."""
    places = by_object(comparison)
    last = len(places)
    found: list[tuple[int, Item]] = []
    for result in manifest.results:
        for path, held in result.objects.items():
            place, entry = places.get((result.name, path), (last, None))
            item = Item(result=result.name, path=path, kind=held.kind, entries=held.entries, compared=entry)
            found.append((place, item))
    # Sorting is stable: what is equal, or was not compared, stays in the order of the files.
    return tuple(item for _, item in sorted(found, key=lambda pair: pair[0]))


def gather(
    folder: Path,
    manifest: Manifest,
    comparison: Comparison | None = None,
    *,
    references: Mapping[str, Path] | None = None,
) -> Material:
    """Read the results, the references and the logs.

    Args:
        folder: The result folder.
        manifest: What `septum.json` in it says.
        comparison: With a reference.
        references: The reference's file of each result, by the result's name.

    Returns:
        What could be read; nothing that cannot be read stops it.
    """
    shown = items(manifest, comparison)
    drawable = [item for item in shown if is_histogram(item.kind)]
    chosen = drawable[:MAX_READ]
    readings = {
        result.name: _read_result(folder, result, [item.path for item in chosen if item.result == result.name])
        for result in manifest.results
    }
    against: dict[tuple[str, str], Histogram] = {}
    unread: dict[tuple[str, str], str] = {}
    for result, reading in readings.items():
        unread |= {(result, path): why for path, why in reading.failed.items()}
        if reading.error:
            unread[result, ""] = reading.error
        if references and result in references and reading.histograms:
            theirs = read(references[result], result, wanted=reading.histograms)
            against |= {(result, path): histogram for path, histogram in theirs.histograms.items()}
            if theirs.error:
                unread[f"the reference of {result}", ""] = theirs.error
    found = (readings[item.result].histograms.get(item.path) for item in chosen)
    return Material(
        manifest=manifest,
        comparison=comparison,
        items=shown,
        histograms=tuple(histogram for histogram in found if histogram is not None),
        references=against,
        unread=unread,
        unlooked=len(drawable) - len(chosen),
        logs=_logs(folder, manifest),
    )


def _read_result(folder: Path, result: ResultFile, wanted: Sequence[str]) -> Reading:
    path = inside(folder, result.file)
    if not wanted:
        return Reading()
    if path is None or not path.is_file():
        where = f"it was published to {result.url}" if result.url else "it is not in the result folder"
        return Reading(error=f"not read: {where}")
    return read(path, result.name, wanted=wanted)


def inside(folder: Path, name: str) -> Path | None:
    """A path below a folder, or None if the name leads out of it."""
    path = folder / name
    try:
        return path if name and path.resolve().is_relative_to(folder.resolve()) else None
    except (OSError, ValueError):  # a loop of links, a null byte
        return None


def _logs(folder: Path, manifest: Manifest) -> dict[str, str]:
    from septum.credentials.redact import KNOWN

    found = {}
    for part in failed(manifest)[:MAX_LOGS]:
        path = inside(folder, part.log) if part.log else None
        try:
            if path is not None and path.is_file():
                with path.open("rb") as file:
                    file.seek(max(0, path.stat().st_size - _TAIL_B))
                    text = KNOWN.text(file.read(_TAIL_B).decode("utf-8", errors="replace"))
                found[part.id] = visible_lines(text, lines=_TAIL_LINES)
        except OSError:
            continue  # the message of the part says what happened
    return found

"""Rows of the tables that page and summary share, as text without any markup. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from septum.compare.verdicts import Entry
from septum.manifest import Manifest
from septum.report.comparison import to_look_at
from septum.report.histograms import Step, Yield, cutflow, yields
from septum.report.links import web_link
from septum.report.material import Material
from septum.report.text import number, per_cent, visible, with_error
from septum.report.tlatex import plain
from septum.units import count, show_duration, show_size

MAX_STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Cells of one line, and a link for the first of them where there is one."""

    cells: tuple[str, ...]
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutFlow:
    """A cut flow as a table: its name, whether it falls, rows of step, events, both efficiencies, reference."""

    name: str
    falling: bool
    rows: tuple[Row, ...]
    left_out: int


def object_name(material: Material, result: str, path: str, limit: int = 120) -> str:
    """An object's path, with its result where there are several."""
    several = len(material.manifest.results) > 1
    return visible(f"{result}: {path}" if (several and result) or not path else path, limit)


def yield_rows(material: Material, limit: int) -> tuple[list[Row], int]:
    """Integrals: name, this run, reference, change, pull; and how many more there are."""
    found = yields(material.histograms, material.references)
    return [_yield_row(material, item) for item in found[:limit]], max(0, len(found) - limit)


def _yield_row(material: Material, item: Yield) -> Row:
    name = object_name(material, item.result, item.path)
    if item.reference is None:
        return Row(cells=(name, with_error(item.value, item.error), "", "", ""))
    change, pull = item.change, item.pull
    return Row(
        cells=(
            name,
            with_error(item.value, item.error),
            with_error(*item.reference),
            "" if change is None else f"{100 * change:+.2f} %",
            _pull(pull),
        )
    )


def _pull(pull: float | None) -> str:
    if pull is None:
        return ""
    return f"{pull:+.2f}" if math.isfinite(pull) else number(pull)


def worst_rows(material: Material, limit: int) -> tuple[list[tuple[Entry, Row]], int]:
    """Objects that somebody should look at: name, verdict, chi2, p, largest pull, what differs; and how many more."""
    bad = to_look_at(material.comparison)
    return [(entry, _worst_row(material, entry)) for entry in bad[:limit]], max(0, len(bad) - limit)


def _worst_row(material: Material, entry: Entry) -> Row:
    chi2 = "" if entry.chi2 is None else number(entry.chi2, 4) + ("" if entry.ndf is None else f" / {entry.ndf}")
    p_value = "" if entry.p_value is None else f"{entry.p_value:.2g}"
    name = object_name(material, entry.result, entry.path)
    detail = visible("; ".join([entry.detail, *entry.notes] if entry.detail else entry.notes), 200)
    return Row(cells=(name, entry.verdict.value, chi2, p_value, _pull(entry.pull), detail))


def cutflows(material: Material, limit: int) -> tuple[list[CutFlow], int]:
    """All cut flows, and how many more there are."""
    found = [item for item in material.histograms if item.is_cutflow]
    tables = []
    for histogram in found[:limit]:
        steps, falling = cutflow(histogram, material.references.get((histogram.result, histogram.path)))
        tables.append(
            CutFlow(
                name=object_name(material, histogram.result, histogram.path),
                falling=falling,
                rows=tuple(_step_row(step) for step in steps[:MAX_STEPS]),
                left_out=max(0, len(steps) - MAX_STEPS),
            )
        )
    return tables, max(0, len(found) - limit)


def _step_row(step: Step) -> Row:
    return Row(
        cells=(
            plain(step.label),
            with_error(step.value, step.error),
            "" if step.absolute is None else per_cent(step.absolute),
            "" if step.relative is None else per_cent(step.relative),
            "" if step.reference is None else number(step.reference, 8),
        )
    )


# ── where it comes from ─────────────────────────────────────────────────────────────────────────────────────────


def moment(seconds: float | None) -> str:
    """A time for people: `2026-03-01 14:05 UTC`."""
    try:
        return "" if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return ""


def provenance(manifest: Manifest) -> list[Row]:
    """Where the run comes from: name and value, with a link where there is one."""
    return [row for row in _provenance(manifest) if row.cells[1]]


def _provenance(manifest: Manifest) -> Iterator[Row]:
    origin = manifest.origin
    project = web_link(origin.get("project-url", ""))
    commit = origin.get("commit", "")
    hexadecimal = bool(commit) and all(character in "0123456789abcdef" for character in commit)
    yield Row(cells=("commit", visible(commit)), link=f"{project}/-/commit/{commit}" if project and hexadecimal else "")
    for key in sorted(set(origin) - {"commit"}):
        yield Row(cells=(visible(key, 40).replace("-url", ""), visible(origin[key])), link=web_link(origin[key]))
    yield Row(cells=("run", visible(manifest.run)))
    yield Row(cells=("plan", visible(manifest.plan)))
    yield Row(cells=("work", visible(manifest.work)))
    yield Row(
        cells=("cluster", visible(manifest.cluster) + (f", {visible(manifest.schedd)}" if manifest.schedd else ""))
    )
    yield Row(cells=("image", visible(manifest.image or "")))
    if manifest.image_digest and manifest.image_digest not in (manifest.image or ""):
        yield Row(cells=("its digest", visible(manifest.image_digest)))
    yield Row(cells=("each job asked for", _asked(manifest)))
    yield Row(cells=("began", moment(manifest.began_s)))
    yield Row(cells=("ended", moment(manifest.ended_s)))
    if manifest.began_s is not None and manifest.ended_s is not None and manifest.ended_s >= manifest.began_s:
        yield Row(cells=("took", show_duration(manifest.ended_s - manifest.began_s)))
    yield Row(cells=("attempts", _attempts(manifest)))
    yield Row(cells=("septum", visible(manifest.septum)))
    for name, version in sorted(manifest.software.items()):
        if name == "septum":
            continue
        yield Row(cells=(visible(name, 40), visible(version)))


def _asked(manifest: Manifest) -> str:
    asked = manifest.asked
    pieces = [
        count(asked.cpus, "cpu") if asked.cpus else "",
        f"{show_size(asked.memory_b)} memory" if asked.memory_b else "",
        f"{show_size(asked.disk_b)} disk" if asked.disk_b else "",
        f"{show_duration(asked.time_s)} time" if asked.time_s else "",
    ]
    return ", ".join(piece for piece in pieces if piece)


def _attempts(manifest: Manifest) -> str:
    tries: Sequence[int] = [part.attempts for part in manifest.parts]
    again = sum(number > 1 for number in tries)
    return f"{sum(tries)} for {len(tries)} parts; {again} needed more than one" if tries else ""

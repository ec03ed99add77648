"""The page of a run, `report.html`: one file with everything in it, from the material alone.

It asks no other host for anything, works without JavaScript, and says of each list how much of it is left out.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from septum.manifest import Manifest, PartFacts, ResultFile
from septum.report import drawing, plots, tables, vector, verdict
from septum.report.comparison import MEANINGS, counts
from septum.report.histograms import Histogram, joined, same_axes
from septum.report.links import web_link
from septum.report.material import Item, Material
from septum.report.text import number, per_cent, visible, visible_lines, with_error
from septum.report.tlatex import plain
from septum.report.usage import Usage, course, jobs, suggestions, usage
from septum.units import count, show_duration, show_size

if TYPE_CHECKING:
    import jinja2

NAME = "report.html"
MAX_PLOTS = 40
"""Full plots; each costs a fifth of a second and 40 kB."""
_MAX_BOTH_SCALES = 8
"""Plots that are drawn with both scales where the content spans decades."""
MAX_SPARKLINES = 1500
MAX_ROWS = 2000
MAX_YIELDS = 300
MAX_WORST = 50
MAX_CUTFLOWS = 20
MAX_LISTED = 200
"""Parts that are listed of one cause."""
MAX_LINES = 200
"""Jobs that get a line each; more are counted over time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One figure: a drawing, perhaps a second one with the other scale, or the reason why there is none."""

    item: Item
    name: str
    facts: tuple[str, ...]
    drawing: Markup | None = None
    other: Markup | None = None
    wide: bool = False
    why_not: str = ""


@dataclass(slots=True)
class _Gallery:
    """The plots of a page, and what they share."""

    plots: list[Plot] = field(default_factory=list)
    definitions: dict[str, str] = field(default_factory=dict)
    left_out: int = 0
    missing: str = ""


def html(material: Material, *, max_plots: int = MAX_PLOTS) -> str:
    """The whole page.

    Args:
        material: What is shown.
        max_plots: How many full plots are drawn at most.
    """
    manifest = material.manifest
    used = usage(manifest)
    gallery = _gallery(material, max_plots)
    context: dict[str, Any] = {
        "manifest": manifest,
        "material": material,
        "name": visible(manifest.name, 80),
        "verdict": verdict.judge(manifest),
        "results": [_result(manifest, result) for result in manifest.results],
        "gallery": gallery,
        "install": plots.INSTALL,
        "definitions": vector.definitions_markup(gallery.definitions),
        "sparklines": _sparklines(material),
        "max_sparklines": MAX_SPARKLINES,
        "rows": [_object_row(material, item) for item in material.items[:MAX_ROWS]],
        "yields": tables.yield_rows(material, MAX_YIELDS),
        "worst": tables.worst_rows(material, MAX_WORST),
        "cutflows": tables.cutflows(material, MAX_CUTFLOWS),
        "policies": _policies(manifest),
        "states": verdict.states(manifest),
        "causes": [_cause(material, cause) for cause in verdict.causes(manifest)],
        "usage": _usage(used),
        "suggestions": suggestions(used, manifest.asked),
        "provenance": tables.provenance(manifest),
        "words": {verdict.value: meaning for verdict, meaning in MEANINGS.items()},
        **_course(manifest),
        **_comparison(material),
    }
    return _environment().get_template("page.html.j2").render(context)


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("septum.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = files("septum.report")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    environment.globals |= {
        "script": Markup(script),  # noqa: S704 - ours
        "script_hash": f"sha256-{digest}",
        "style": Markup(style),  # noqa: S704 - ours
        "count": count,
        "size": show_size,
        "number": number,
    }
    environment.filters |= {"visible": visible, "plain": plain}
    return environment


# ── results and objects ─────────────────────────────────────────────────────────────────────────────────────────


def _result(manifest: Manifest, result: ResultFile) -> dict[str, Any]:
    parts = len(result.parts)
    return {
        "file": visible(result.file),
        "link": web_link(result.url) or (quote(result.file) if not result.url else ""),
        "published": visible(result.url),
        "size": show_size(result.size_b),
        "bytes": result.size_b,
        "parts": f"{parts} of {parts + len(result.missing)}",
        "objects": len(result.objects),
        "entries": number(sum(held.entries for held in result.objects.values()), 12),
        "sha256": visible(result.sha256),
        "engine": visible(result.engine),
        "stamp": visible(result.stamp),
        "own": visible(result.own.says(), 400) if result.own is not None else "",
        "missing": verdict.ranges(result.missing),
        "whole": not result.missing and manifest.whole_count == len(manifest.parts),
    }


def _object_row(material: Material, item: Item) -> dict[str, Any]:
    compared = item.compared
    return {
        "name": tables.object_name(material, item.result, item.path),
        "kind": visible(item.kind, 40),
        "entries": number(item.entries, 12),
        "sort": item.entries,
        "verdict": compared.verdict.value if compared else "",
        "pull": "" if compared is None or compared.pull is None else number(compared.pull, 3),
    }


def _sparklines(material: Material) -> list[dict[str, Any]]:
    verdicts = {item.key: item.compared.verdict.value for item in material.items if item.compared}
    flat = [histogram for histogram in material.histograms if histogram.dimension == 1]
    found = []
    for histogram in flat[:MAX_SPARKLINES]:
        name = tables.object_name(material, histogram.result, histogram.path)
        word = verdicts.get((histogram.result, histogram.path), "")
        found.append({"name": name, "picture": drawing.sparkline(histogram, name), "verdict": word})
    return found


# ── plots ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _gallery(material: Material, most: int) -> _Gallery:
    drawable = [histogram for histogram in material.histograms if histogram.dimension in {1, 2}]
    gallery = _Gallery(left_out=max(0, len(drawable) - most), missing=plots.missing() if drawable else "")
    if gallery.missing:
        return gallery
    by_key = {item.key: item for item in material.items}
    for histogram in drawable[:most]:
        item = by_key[histogram.result, histogram.path]
        try:
            both = len(gallery.plots) < _MAX_BOTH_SCALES
            gallery.plots.append(_plot(material, item, histogram, gallery.definitions, both=both))
        except Exception as error:  # noqa: BLE001 - matplotlib raises what it likes; one plot must not cost the page
            why = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
            name = tables.object_name(material, item.result, item.path)
            gallery.plots.append(Plot(item=item, name=name, facts=_facts(histogram), why_not=visible(why, 300)))
    return gallery


def _plot(material: Material, item: Item, histogram: Histogram, definitions: dict[str, str], *, both: bool) -> Plot:
    reference = material.references.get(item.key)
    name = tables.object_name(material, item.result, item.path)
    facts = _facts(histogram)
    if reference is not None and not same_axes(histogram, reference):
        facts = (*facts, "the reference has other axes, and is not drawn")
        reference = None

    shown, step = joined(histogram)
    against = None if reference is None else joined(reference)[0]
    if step > 1:
        facts = (*facts, f"{step} bins are joined into one")

    def drawn(*, log: bool) -> Markup:
        title = f"{name}{', logarithmic' if log else ''}{', with the reference' if reference is not None else ''}"
        embedded = vector.embed(plots.draw(shown, against, log=log), title=title, desc="; ".join(facts))
        definitions.update(embedded.definitions)
        return embedded.markup

    log = shown.spans_decades
    return Plot(
        item=item,
        name=name,
        facts=facts,
        drawing=drawn(log=log),
        other=drawn(log=False) if log and both else None,
        wide=histogram.dimension == 2 and reference is not None,  # noqa: PLR2004
    )


def _facts(histogram: Histogram) -> tuple[str, ...]:
    """What a reader cannot see in the drawing."""
    found = [f"{number(histogram.entries, 12)} entries"]
    total = histogram.total
    if total is not None:
        found.append(f"integral {with_error(*total)}")
    if histogram.under or (histogram.over and histogram.dimension == 1):
        found.append(f"not drawn: underflow {number(histogram.under)}, overflow {number(histogram.over)}")
    elif histogram.over:
        found.append(f"not drawn: {number(histogram.over)} in the flow bins")
    if histogram.variable_bins:
        found.append("bins of different width, contents by bin")
    if not np.isfinite(histogram.values).all():
        found.append("bins that are not finite are left out")
    return tuple(found)


# ── the rest ────────────────────────────────────────────────────────────────────────────────────────────────────


def _comparison(material: Material) -> dict[str, Any]:
    comparison = material.comparison
    if comparison is None:
        return {"comparison": None, "counts": {}, "counts_bar": None, "reference": "", "reference_link": ""}
    numbers = counts(comparison)
    reference = comparison.reference
    return {
        "comparison": comparison,
        "counts": numbers,
        "counts_bar": drawing.stacked(numbers, title="Objects by verdict") if comparison.entries else None,
        "reference": "" if reference is None else visible(reference.describe()),
        "reference_link": "" if reference is None else web_link(reference.url),
    }


def _policies(manifest: Manifest) -> list[tuple[str, str, str]]:
    if not manifest.policies:
        return []
    from septum.config import Policies

    meanings = {field.alias or name: field.description or "" for name, field in Policies.model_fields.items()}
    return [
        (visible(name, 60), visible(value, 60), meanings.get(name, "A key that this version of septum does not know."))
        for name, value in sorted(manifest.policies.items())
    ]


def _cause(material: Material, cause: verdict.Cause) -> dict[str, Any]:
    example = cause.example
    ids = [part.id for part in cause.parts]
    return {
        "code": visible(cause.code, 20),
        "meaning": cause.meaning,
        "count": len(cause.parts),
        "example": _part(example),
        "log": material.logs.get(example.id, ""),
        "parts": [_part(part) for part in cause.parts[:MAX_LISTED]],
        "left_out": max(0, len(ids) - MAX_LISTED),
        "again": f"septum run --cluster local --parts {visible(example.id, 20)}",
    }


def _part(part: PartFacts) -> dict[str, Any]:
    return {
        "id": visible(part.id, 20),
        "name": verdict.describe(part),
        "message": visible(part.message or "", 300),
        "evidence": visible_lines(part.evidence or "", lines=12) if part.evidence else "",
        "fix": visible(part.fix or "", 300),
        "job": visible(part.job or "", 40),
        "host": visible(part.host or "", 60),
        "exit_code": "" if part.exit_code is None else str(part.exit_code),
        "attempts": part.attempts,
        "log": quote(part.log) if part.log and ".." not in part.log.split("/") else "",
    }


def _course(manifest: Manifest) -> dict[str, Any]:
    began, found = jobs(manifest)
    if not found:
        return {"timeline": None, "timeline_by_part": False, "timeline_began": "", "timed": 0}
    single = len(found) <= MAX_LINES
    picture = drawing.gantt(found) if single else drawing.course_chart(course(found), found)
    return {
        "timeline": picture,
        "timeline_by_part": single,
        "timeline_began": tables.moment(began),
        "timed": len(found),
    }


def _usage(used: Usage) -> dict[str, Any]:
    facts: Mapping[str, str] = {
        "CPU time": show_duration(used.cpu_s) if used.cpu_s else "",
        "Time on workers": show_duration(used.wall_s) if used.wall_s else "",
        "CPU efficiency": "" if used.efficiency is None else per_cent(used.efficiency),
        "Memory, median": "" if used.memory_median_b is None else show_size(used.memory_median_b),
        "Memory, largest": show_size(used.memory_b[-1]) if used.memory_b else "",
        "Memory asked for": "" if used.memory_asked_b is None else show_size(used.memory_asked_b),
    }
    return {
        "facts": {name: value for name, value in facts.items() if value},
        "efficiency": _efficiency_bars(used) if used.efficiencies else None,
        "memory": _memory_bars(used) if used.memory_b else None,
    }


def _efficiency_bars(used: Usage) -> Markup:
    values = 100 * np.asarray(used.efficiencies)
    spread = f"median {np.median(values):.0f} %, lowest {values.min():.0f} %, highest {values.max():.0f} %"
    desc = f"{count(len(values), 'job')}: {spread}"
    top = max(100.0, 20 * np.ceil(float(np.quantile(values, 0.99)) / 20))
    edges = np.linspace(0, top, 21)
    return drawing.bars(
        values,
        edges=edges,
        mark=None,
        mark_name="",
        unit="CPU efficiency [%]",
        title="CPU efficiency of the jobs",
        desc=desc,
    )


def _memory_bars(used: Usage) -> Markup:
    values = np.asarray(used.memory_b, dtype=float) / 1024**2
    asked = None if used.memory_asked_b is None else used.memory_asked_b / 1024**2
    top = 1.05 * max(float(values.max()), asked or 0.0)
    desc = f"{count(len(values), 'job')}: median {np.median(values):.0f} MB, largest {values.max():.0f} MB"
    desc += "" if asked is None else f"; each asked for {asked:.0f} MB"
    edges = np.linspace(0, max(float(f"{top:.2g}"), top), 31)
    return drawing.bars(
        values,
        edges=edges,
        mark=asked,
        mark_name="asked for",
        unit="largest memory [MB]",
        title="Memory of the jobs",
        desc=desc,
    )

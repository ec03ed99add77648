"""The run as numbers in the OpenMetrics text format, which GitLab compares with those of the target branch. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from septum.manifest import Manifest
from septum.report.comparison import counts
from septum.report.histograms import yields
from septum.report.material import Material
from septum.report.text import visible
from septum.report.usage import usage
from septum.report.verdict import missing_parts, states

NAME = "metrics.txt"
MAX_YIELDS = 100
"""Yields that are written: a page of GitLab lists them all."""
_MAX_RESULTS = 100
_LABEL = re.compile(r'[\\"\n]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value with its labels."""

    value: float
    labels: Mapping[str, str] | None = None


def text(material: Material) -> str:
    """All families of metrics; what nobody measured is left out.

    Args:
        material: What is shown.
    """
    lines = []
    for name, help_, unit, samples in _families(material):
        found = list(samples)
        if not found:
            continue
        lines.append(f"# TYPE {name} gauge")
        if unit:
            lines.append(f"# UNIT {name} {unit}")
        lines.append(f"# HELP {name} {help_}")
        lines += [f"{name}{_labels(sample.labels)} {_value(sample.value)}" for sample in found]
    return "\n".join([*lines, "# EOF", ""])


def _families(material: Material) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    manifest = material.manifest
    yield "septum_parts", "Parts of the run by their last state.", "", _parts(manifest)
    yield "septum_parts_planned", "Parts of the whole plan.", "", [Sample(value=manifest.whole_count)]
    yield (
        "septum_parts_missing",
        "Parts that are missing in a result.",
        "",
        [Sample(value=len(missing_parts(manifest)))],
    )
    yield (
        "septum_complete",
        "1 if every part of the plan is in every result.",
        "",
        [Sample(value=float(manifest.complete))],
    )
    yield "septum_result_size_bytes", "Size of a result.", "bytes", _results(manifest, "size")
    yield "septum_result_objects", "Objects in a result.", "", _results(manifest, "objects")
    yield "septum_result_entries", "Entries of all objects of a result.", "", _results(manifest, "entries")
    yield (
        "septum_objects_compared",
        "Objects by their verdict in the comparison with the reference.",
        "",
        _verdicts(material),
    )
    yield "septum_yield", "Integral of a histogram.", "", _yields(material)
    yield "septum_run_seconds", "From the beginning of the run to its end.", "seconds", _run_seconds(manifest)
    yield (
        "septum_merge_seconds",
        "From the end of the last job to the end of the run.",
        "seconds",
        _merge_seconds(manifest),
    )
    yield from _used(manifest)


def _parts(manifest: Manifest) -> list[Sample]:
    return [Sample(value=number, labels={"state": state}) for state, number in states(manifest).items()]


def _results(manifest: Manifest, what: str) -> Iterator[Sample]:
    for result in manifest.results[:_MAX_RESULTS]:
        values = {
            "size": float(result.size_b),
            "objects": float(len(result.objects)),
            "entries": float(sum(held.entries for held in result.objects.values())),
        }
        yield Sample(value=values[what], labels={"result": result.name})


def _verdicts(material: Material) -> list[Sample]:
    if material.comparison is None or material.comparison.reference is None:
        return []
    return [Sample(value=number, labels={"verdict": word}) for word, number in counts(material.comparison).items()]


def _yields(material: Material) -> list[Sample]:
    found = yields(material.histograms, material.references)[:MAX_YIELDS]
    labels = [{"result": item.result, "object": item.path} for item in found]
    # The order of the page says what is worst; here the same object stands in the same place in every run.
    samples = [Sample(value=item.value, labels=label) for item, label in zip(found, labels, strict=True)]
    return sorted(samples, key=lambda sample: sorted((sample.labels or {}).items()))


def _run_seconds(manifest: Manifest) -> list[Sample]:
    if manifest.began_s is None or manifest.ended_s is None:
        return []
    return [Sample(value=max(0.0, manifest.ended_s - manifest.began_s))]


def _merge_seconds(manifest: Manifest) -> list[Sample]:
    ends = [part.ended_s for part in manifest.parts if part.ended_s is not None]
    if not ends or manifest.ended_s is None or not manifest.results:
        return []
    return [Sample(value=max(0.0, manifest.ended_s - max(ends)))]


def _used(manifest: Manifest) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    used = usage(manifest)
    cpu = [Sample(value=used.cpu_s / 3600)] if used.cpu_s else []
    efficiency = [] if used.efficiency is None else [Sample(value=used.efficiency)]
    median = used.memory_median_b
    yield "septum_cpu_hours", "CPU time of the last attempts of all jobs.", "hours", cpu
    yield "septum_cpu_efficiency_ratio", "CPU time over time on the workers and processors.", "ratio", efficiency
    memory = [] if median is None else [Sample(value=median)]
    yield "septum_memory_median_bytes", "Median of the largest memory of the jobs.", "bytes", memory


def _labels(labels: Mapping[str, str] | None) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    escapes = {"\\": r"\\", '"': r"\"", "\n": r"\n"}
    return _LABEL.sub(lambda match: escapes[match[0]], visible(value, 200))


def _value(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{int(value)}" if float(value).is_integer() and abs(value) < 2.0**53 else repr(float(value))

"""The run as OpenMetrics, read by the official parser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from septum.compare.verdicts import Comparison, Verdict
from septum.manifest import Held, Manifest
from septum.report.material import Material
from septum.report.metrics import MAX_YIELDS, text
from tests.fakes import reports

_Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def _samples(material: Material) -> _Samples:
    """All samples by name and labels."""
    found: _Samples = {}
    for family in text_string_to_metric_families(text(material)):  # type: ignore[no-untyped-call]
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), "one sample for one set of labels"
            found[sample.name][labels] = float(sample.value)
    return found


def _one(samples: _Samples, name: str) -> float:
    return samples[name][()]


def test_a_partial_run() -> None:
    """Parts by state, results, resources, all as numbers."""
    run = reports.manifest(parts=40, failed=(3, 9), objects={"mass": Held(kind="TH1D", entries=1e6 + 0.5)})
    samples = _samples(Material(manifest=run))

    assert samples["septum_parts"] == {(("state", "merged"),): 38, (("state", "failed"),): 2}
    assert (_one(samples, "septum_parts_planned"), _one(samples, "septum_parts_missing")) == (40, 2)
    assert _one(samples, "septum_complete") == 0
    assert samples["septum_result_entries"] == {(("result", "dimuon.root"),): 1e6 + 0.5}
    assert samples["septum_result_size_bytes"] == {(("result", "dimuon.root"),): 48213}
    assert 0 < _one(samples, "septum_cpu_efficiency_ratio") < 1
    assert _one(samples, "septum_run_seconds") == 4321
    assert _one(samples, "septum_merge_seconds") > 0
    assert 500 * 2**20 < _one(samples, "septum_memory_median_bytes") < 800 * 2**20
    assert _one(samples, "septum_cpu_hours") == pytest.approx(sum(part.cpu_s or 0 for part in run.parts) / 3600)


def test_what_nobody_measured_is_left_out() -> None:
    """A run that ended before its first job has no efficiency of zero."""
    run = reports.manifest(parts=2)
    bare = tuple(
        replace(part, submitted_s=None, started_s=None, ended_s=None, cpu_s=None, memory_b=None) for part in run.parts
    )
    samples = _samples(Material(manifest=replace(run, parts=bare, results=(), began_s=None)))

    assert set(samples) == {"septum_parts", "septum_parts_planned", "septum_parts_missing", "septum_complete"}


def test_yields_are_bounded_and_in_order() -> None:
    """As many as somebody reads, with the values that the page shows."""
    histograms = tuple(reports.histograms(300))
    samples = _samples(Material(manifest=reports.manifest(parts=2), histograms=histograms))["septum_yield"]
    values = {histogram.path: float(histogram.values.sum()) for histogram in histograms}

    assert len(samples) == MAX_YIELDS
    assert list(samples) == sorted(samples)
    assert all(value == values[dict(labels)["object"]] for labels, value in samples.items())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -0.5, 2.0**60, 1e-300])
def test_any_value(value: float) -> None:
    """Infinite and what is no number have words of their own in the format."""
    histogram = replace(reports.histograms(1)[0], values=np.asarray([value]), errors=np.asarray([0.0]))
    ((_, found),) = _samples(Material(manifest=reports.manifest(parts=1), histograms=(histogram,)))[
        "septum_yield"
    ].items()

    np.testing.assert_equal(found, value)


def test_hostile_labels() -> None:
    """Quotes, backslashes and line breaks stay inside of the label, and two names stay two."""
    one = reports.histograms(1)[0]
    names = [*reports.HOSTILE, 'a"b', "a\\b", 'end\\"']
    material = Material(manifest=reports.hostile(), histograms=tuple(replace(one, path=name) for name in names))
    samples = _samples(material)

    assert len(samples["septum_yield"]) == len(names)
    assert 'a"b' in {dict(labels)["object"] for labels in samples["septum_yield"]}
    assert max(len(dict(labels)["object"]) for labels in samples["septum_yield"]) <= 200


def _verdicts(run: Manifest, comparison: Comparison) -> dict[str, float]:
    samples = _samples(Material(manifest=run, comparison=comparison))
    return {labels[0][1]: value for labels, value in samples.get("septum_objects_compared", {}).items()}


def test_verdicts_are_counted() -> None:
    """All of them, also those that nobody has: a line that vanishes looks like one that is well."""
    run = reports.manifest(parts=1)

    assert _verdicts(run, reports.comparison(run, {"a": Verdict.DIFFERENT, "b": Verdict.DIFFERENT})) == {
        "identical": 1, "rounding": 0, "compatible": 0, "new": 0, "missing": 0, "structure": 0, "different": 2,
    }  # fmt: skip
    assert _verdicts(run, Comparison(nothing="no reference yet")) == {}

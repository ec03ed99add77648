"""Small files that differ in one thing, merged by hadd and by septum: what hadd loses silently, septum never does."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from septum.errors import every_error
from tests.probes.catalog import PROBES
from tests.probes.model import Merged, Probe, Refused, Verdict
from tests.probes.page import PATH, Run, page
from tests.probes.running import Outcome, wheel_hadd
from tests.probes.session import run_all

_EXIT_CODES = {error.code: error.exit_code for error in every_error()}
Runs = tuple[Mapping[str, Run], str]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All probes, run once; and the version of ROOT."""
    hadd = wheel_hadd()
    if hadd is None:
        pytest.skip("the package 'root', whose hadd the page is about, is not installed")
    return run_all(tmp_path_factory.mktemp("probes"), hadd)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_what_hadd_does(everything: Runs, probe: Probe) -> None:
    """Each probe shows what it is there for: without that, septum's answer would prove nothing."""
    run = everything[0][probe.name]

    assert run.hadd.verdict is probe.hadd, run.hadd
    assert (run.hadd.exit_code == 0) is (probe.hadd is not Verdict.REFUSED)
    if probe.skipping:
        assert run.skipping is not None
        assert run.skipping.verdict is probe.skipping, run.skipping


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_septum_refuses_by_name_or_gives_the_exact_sum(everything: Runs, probe: Probe) -> None:
    """Nothing is lost silently."""
    _assert_as_expected(everything[0][probe.name].septum, probe.septum, probe)


@pytest.mark.parametrize("probe", [probe for probe in PROBES if probe.policy], ids=lambda probe: probe.name)
def test_a_policy_changes_what_it_says(everything: Runs, probe: Probe) -> None:
    """And nothing else."""
    relaxed = everything[0][probe.name].relaxed

    assert probe.relaxed is not None
    assert relaxed is not None
    _assert_as_expected(relaxed, probe.relaxed, probe)


def _assert_as_expected(outcome: Outcome, expected: Refused | Merged, probe: Probe) -> None:
    if isinstance(expected, Merged):
        assert outcome.exit_code == 0, outcome.said
        assert outcome.verdict in {Verdict.RIGHT, probe.hadd if probe.hadd is Verdict.UNREAD else None}, outcome
        return
    assert outcome.exit_code == _EXIT_CODES[expected.code], outcome.said
    assert f"[{expected.code}]" in outcome.said
    assert "Fix: " in outcome.said
    for name in expected.says:
        assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", outcome.said), f"the message does not name {name}"
    assert outcome.words == "", "a result was left behind"


def test_the_page_tells_what_was_seen(everything: Runs) -> None:
    """The committed page is what this run gives."""
    runs, version = everything

    assert PATH.read_text(encoding="utf-8") == page(runs, version=version), "run: python -m tests.probes"


def test_names_of_probes_are_their_own() -> None:
    """And every policy that is tried says what comes of it."""
    names = [probe.name for probe in PROBES]

    assert sorted(names) == sorted(set(names))
    assert all(bool(probe.policy) == (probe.relaxed is not None) for probe in PROBES)

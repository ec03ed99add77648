"""All results against a reference: who is paired with whom, what is decided, what follows, and what is written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.compare.document import from_json, to_json
from septum.compare.files import Given
from septum.compare.reference import Found
from septum.compare.results import compare_given, compare_results, decide, given_of
from septum.compare.show import rest, summary, worst_rows
from septum.compare.verdicts import Comparison, Entry, Reference, Verdict, printable
from septum.errors import (
    DifferentError,
    IncompatibleError,
    NotComparableError,
    SeptumError,
    StateError,
    TryAgainError,
)
from septum.plan import Compare
from tests.fakes.gitlab_api import write_result
from tests.fakes.rootfiles import H, write_root

MASS = H(cells=[0, 100, 400, 0])
HEAVIER = H(cells=[0, 100, 900, 0])


def entry(verdict: Verdict, path: str = "h", **facts: Any) -> Entry:
    """One object of a result."""
    return Entry(result="all.root", path=path, kind="TH1D", verdict=verdict, **facts)


def comparison(*verdicts: Verdict, reproducibility: str = "report") -> Comparison:
    """A comparison with these verdicts."""
    entries = tuple(entry(verdict, f"h{number}") for number, verdict in enumerate(verdicts))
    return Comparison(reference=Reference(asked="ref"), reproducibility=reproducibility, entries=entries)


# ── what follows ────────────────────────────────────────────────────────────────────────────────────────────────

ALL = list(Verdict)


@pytest.mark.parametrize(("reproducibility", "harmless", "error"), [
    ("exact", [Verdict.IDENTICAL], DifferentError),
    ("statistical", [Verdict.IDENTICAL, Verdict.ROUNDING, Verdict.COMPATIBLE, Verdict.NEW], IncompatibleError),
    ("report", ALL, None),
])  # fmt: skip
def test_what_each_verdict_means_for_the_run(
    reproducibility: str, harmless: list[Verdict], error: type[SeptumError] | None
) -> None:
    """One of it beside a hundred that are identical."""
    for verdict in ALL:
        many = comparison(*[Verdict.IDENTICAL] * 100, verdict, reproducibility=reproducibility)
        failure = many.failure()
        assert (failure is None) == (verdict in harmless)
        assert failure is None or (error is not None and type(failure) is error)


def test_the_error_says_how_many_and_which() -> None:
    """The worst first, with its pull."""
    entries = [entry(Verdict.IDENTICAL, f"h{number}") for number in range(8)]
    entries += [
        entry(Verdict.COMPATIBLE, "fine", p_value=0.4),
        entry(Verdict.DIFFERENT, "bad", pull=7.06, p_value=1e-9),
    ]
    found = Comparison(reference=Reference(asked="ref"), reproducibility="statistical", entries=tuple(entries))
    error = found.failure()

    assert error is not None
    assert error.what == "compare: 1 of 10 objects do not agree with the reference"
    assert error.evidence.splitlines()[0] == "different: bad, pull 7.1"
    assert (error.code, error.exit_code) == ("E501", 51)
    assert found.headline() == "8 of 10 identical, 1 compatible, 1 different, worst: bad, pull 7.1"


@pytest.mark.parametrize("reproducibility", ["exact", "statistical"])
@pytest.mark.parametrize("verdicts", [[], [Verdict.NEW], [Verdict.MISSING, Verdict.NEW]])
def test_nothing_compared_is_no_success(reproducibility: str, verdicts: list[Verdict]) -> None:
    """A result that was renamed shares nothing with its reference."""
    failure = comparison(*verdicts, reproducibility=reproducibility).failure()

    assert isinstance(failure, NotComparableError)
    assert "nothing was compared" in comparison(*verdicts).headline()


def test_no_reference_is_no_failure() -> None:
    """The first pipeline of all has none; were that an error, there would never be a second."""
    nothing = Comparison(nothing="no successful pipeline of main", reproducibility="exact")

    assert nothing.failure() is None
    assert nothing.headline() == "nothing to compare with: no successful pipeline of main"


# ── the decision ────────────────────────────────────────────────────────────────────────────────────────────────


def test_p_values_are_judged_by_the_number_of_all_objects() -> None:
    """2e-4 is nothing special among a thousand, and is among three."""
    special = entry(Verdict.COMPATIBLE, p_value=2e-4)
    few, many = (decide([special, *[entry(Verdict.IDENTICAL)] * n], significance=0.001)[0] for n in (2, 999))

    assert (few.verdict, many.verdict) == (Verdict.DIFFERENT, Verdict.COMPATIBLE)


def test_a_missing_object_makes_no_other_one_less_suspicious() -> None:
    """It was not tested."""
    special = entry(Verdict.COMPATIBLE, p_value=2e-4)
    decided = decide([special, *[entry(Verdict.MISSING)] * 999], significance=0.001)

    assert decided[0].verdict is Verdict.DIFFERENT


# ── who is paired with whom ─────────────────────────────────────────────────────────────────────────────────────


def found(*files: Given, listed: bool = False, **facts: Any) -> Found:
    """A reference with these files."""
    return Found(reference=Reference(asked="ref", **facts), files=files, listed=listed)


def test_results_are_matched_by_their_names(tmp_path: Path) -> None:
    """Whatever their files are called; what one side alone has is new, or missing if the reference is whole."""
    paths = {name: write_root(tmp_path / f"{number}.root", {"mass": MASS}) for number, name in enumerate("abcd")}
    other = write_root(tmp_path / "x.root", {"mass": HEAVIER})
    here = [Given(name=f"{name}.root", path=paths[name]) for name in "abc"]
    there = [Given(name="b.root", path=other), Given(name="a.root", path=paths["a"]), Given(name="d.root", path=other)]
    whole = compare_given(here, found(*there, listed=True), Compare())

    assert [(item.result, item.path, item.verdict.value) for item in whole.entries] == [
        ("a.root", "", "identical"),
        ("b.root", "mass", "different"),
        ("c.root", "", "new"),
        ("d.root", "", "missing"),
    ]
    assert Verdict.MISSING not in compare_given(here, found(*there), Compare()).counts
    assert whole.headline() == ("1 of 2 identical, 1 new, 1 missing, 1 different, worst: b.root: mass, pull 13.9")


def test_missing_parts_and_other_work_are_noted(tmp_path: Path) -> None:
    """A difference may have that reason."""
    path = write_root(tmp_path / "a.root", {"mass": MASS})
    here = Given(name="a.root", path=path, parts=3, missing=1)
    there = Given(name="a.root", path=path, parts=4)
    notes = compare_given([here], found(there, same_work=False), Compare()).notes

    assert notes == (
        "a.root is partial here: 1 part missing",
        "a.root: 3 parts here, 4 in the reference",
        "the reference is of other work: command, inputs, parts or policies have changed since",
    )


def test_the_same_events_are_noted_once(tmp_path: Path) -> None:
    """Not object by object."""
    names = [f"h{number}" for number in range(30)]
    one, other = (
        write_root(tmp_path / f"{factor}.root", {name: H(cells=[0, *[100 * factor] * 20, 0]) for name in names})
        for factor in (1.0, 1.001)
    )
    compared = compare_given([Given(name="a.root", path=one)], found(Given(name="a.root", path=other)), Compare())

    assert compared.counts == {Verdict.COMPATIBLE: 30}
    assert len(compared.notes) == 1
    assert compared.notes[0].startswith("30 objects closer than independent samples are")


def test_the_results_of_a_manifest(tmp_path: Path) -> None:
    """With their parts, under the names of the plan."""
    manifest = write_result(tmp_path, {"mass": MASS}, parts=3, missing=1)
    (given,) = given_of(manifest, tmp_path)

    assert given == Given(
        name="dimuon.root", path=tmp_path / "dimuon.partial.root", sha256=manifest.results[0].sha256, parts=3, missing=1
    )


# ── references that are not there ───────────────────────────────────────────────────────────────────────────────


def compared(tmp_path: Path, reference: str, **more: Any) -> Comparison:
    """Compare one result with what `compare:` asks for."""
    path = write_root(tmp_path / "dimuon.root", {"mass": MASS})
    asked = Compare(reference=reference, **more)
    given = [Given(name="dimuon.root", path=path)]
    return compare_results(given, asked, environ={}, root=tmp_path, scratch=tmp_path / "scratch")


@pytest.mark.parametrize(("reference", "why"), [
    ("none", "no comparison is asked for"),
    ("default-branch", "default-branch is known in a CI job of GitLab only"),
    ("tag:v1.2", "tag:v1.2 is known in a CI job of GitLab only"),
])  # fmt: skip
@pytest.mark.parametrize("reproducibility", ["exact", "report"])
def test_outside_of_gitlab_there_is_no_pipeline(tmp_path: Path, reference: str, why: str, reproducibility: str) -> None:
    """`septum run` on a laptop is not an error."""
    nothing = compared(tmp_path, reference, reproducibility=reproducibility)

    assert (nothing.reference, nothing.nothing, nothing.failure()) == (None, why, None)


@pytest.mark.parametrize("reproducibility", ["exact", "statistical", "report"])
@pytest.mark.parametrize("reference", ["gold.root", "gold/", "/nowhere/gold.root", "s3://bucket/x", "http://a/b.root"])
def test_a_reference_with_a_name_must_exist(tmp_path: Path, reference: str, reproducibility: str) -> None:
    """A spelling mistake in septum.yaml must not pass for years, even if nothing follows from a difference."""
    with pytest.raises(NotComparableError) as caught:
        compared(tmp_path, reference, reproducibility=reproducibility)

    assert reference.rstrip("/") in str(caught.value)
    assert caught.value.exit_code == 52


def test_a_named_reference_that_shares_nothing_is_the_wrong_one(tmp_path: Path) -> None:
    """Also with `report`."""
    (tmp_path / "gold").mkdir()
    write_root(tmp_path / "gold" / "other.root", {"mass": MASS})

    with pytest.raises(NotComparableError, match="nothing was compared"):
        compared(tmp_path, "gold")


@pytest.mark.parametrize("error", [
    TryAgainError("compare: gitlab did not answer", evidence="HTTP 500"),
    NotComparableError("compare: may not be read"),
    OSError(28, "No space left on device"),
])  # fmt: skip
def test_a_lookup_that_fails_costs_the_run_nothing_that_it_did_not_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """With `report`, hours of jobs do not end with an error because GitLab has a bad day; with `exact`, they do."""

    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("septum.compare.results.find", failing)
    noted = compared(tmp_path, "default-branch")
    assert noted.failure() is None
    assert (getattr(error, "what", None) or "No space left") in noted.nothing
    with pytest.raises(type(error)):
        compared(tmp_path, "default-branch", reproducibility="exact")


# ── compare.json ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_document_holds_everything() -> None:
    """Also names that no sane person gives, and numbers that JSON does not have."""
    full = Comparison(
        reference=Reference(asked="tag:v1", found="pipeline 7 of v1", pipeline="7", same_work=False, complete=True),
        reproducibility="statistical",
        significance=0.05,
        entries=(
            entry(Verdict.IDENTICAL, 'a"b\n\x1b[31m\ud800'),
            entry(Verdict.DIFFERENT, "c", chi2=3.5, ndf=2, p_value=0.0, pull=1.5, ks=0.2, worst="bin 1", notes=("x",)),
            entry(Verdict.ROUNDING, "d", relative=1e-16, detail="why"),
            Entry(result="new.root", kind="file", verdict=Verdict.NEW),
        ),
        notes=("a note",),
    )
    text = to_json(full)

    assert from_json(text, name="compare.json") == full
    assert text.isascii()
    data = json.loads(text)
    assert (data["compared"], data["counts"]["new"]) == (3, 1)
    assert data["headline"] == full.headline()
    assert data["reference"]["description"] == "pipeline 7 of v1"


def test_numbers_that_are_none_are_left_out() -> None:
    """A document with NaN or Infinity in it is not JSON to anybody else."""
    odd = replace(comparison(), entries=(entry(Verdict.DIFFERENT, pull=math.inf, chi2=math.nan),))
    text = to_json(odd)

    assert "Infinity" not in text
    assert "NaN" not in text
    assert from_json(text, name="x").entries == (entry(Verdict.DIFFERENT),)


def test_the_document_without_a_reference() -> None:
    """As of the first pipeline."""
    nothing = Comparison(nothing="no pipeline", notes=())

    assert from_json(to_json(nothing), name="x") == nothing


@pytest.mark.parametrize("text", [
    "", "{}", "[]", "null", '{"format": 2}', "[" * 100_000,
    to_json(comparison(Verdict.NEW)).replace('"new"', '"good"'),
    to_json(comparison(Verdict.NEW)).replace('"path"', '"route"'),
    to_json(comparison(Verdict.NEW))[:-20],
], ids=range(9))  # fmt: skip
def test_a_damaged_document_is_one_clear_error(text: str) -> None:
    """Never a traceback."""
    with pytest.raises(StateError, match=r"here\.json"):
        from_json(text, name="here.json")


def test_fifty_thousand_objects_are_a_document_of_megabytes() -> None:
    """One line each, and nothing said of what is equal."""
    many = comparison(*[Verdict.IDENTICAL] * 50_000)
    text = to_json(many)

    assert len(text) < 5_000_000
    assert from_json(text, name="x").compared == 50_000


# ── on the screen ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_shows_the_worst_twenty_first() -> None:
    """And says how many there are more."""
    entries = [entry(Verdict.COMPATIBLE, f"c{n}", p_value=0.5 + n / 100, pull=1.0, chi2=3.0, ndf=4) for n in range(30)]
    entries += [entry(Verdict.IDENTICAL, f"i{n}") for n in range(100)]
    entries += [entry(Verdict.ROUNDING, "r", relative=2.2e-16), entry(Verdict.MISSING, "m"), entry(Verdict.NEW, "n")]
    entries += [entry(Verdict.DIFFERENT, "d", p_value=1e-9, worst="bin 7")]
    shown = Comparison(reference=Reference(asked="ref"), entries=tuple(entries))
    rows = worst_rows(shown)

    assert [row[0] for row in rows] == ["object", "d", "m", *[f"c{n}" for n in range(18)]]
    assert rows[1] == ("d", "different", "", "", "1e-09", "bin 7")
    assert rows[3] == ("c0", "compatible", "1.0", "3/4", "0.5", "")
    assert rest(shown) == "… and 14 objects more"
    assert (
        summary(shown)[0] == "100 of 132 identical, 1 new, 1 rounding, 30 compatible, 1 missing, 1 different, worst: d"
    )


def test_the_origin_of_the_reference_stands_under_the_counts() -> None:
    """Pipeline, commit, page, whether it is the same work, and whether it is whole."""
    origin = Reference(
        asked="default-branch", found="pipeline 7 of main", commit="0123456789", same_work=True, complete=False,
        url="https://gitlab.example.org/g/p/-/pipelines/7",
    )  # fmt: skip
    lines = summary(Comparison(reference=origin, entries=(entry(Verdict.IDENTICAL),), notes=("n",) * 12))

    assert lines[1] == (
        "reference: pipeline 7 of main, commit 01234567, https://gitlab.example.org/g/p/-/pipelines/7, "
        "the same work, partial"
    )
    assert lines[-1] == "… and 2 more notes"


HOSTILE = "a\x1b[2J\r\nsection_start:0:x\x07\u202egnp.exe\x00" + "x" * 500


def test_names_of_files_and_objects_cannot_draw_on_the_screen() -> None:
    """No control character, no other direction of writing, no second line, and no end of the line either."""
    bad = replace(entry(Verdict.DIFFERENT, HOSTILE, detail=HOSTILE, worst=HOSTILE, notes=(HOSTILE,)), result=HOSTILE)
    shown = Comparison(reference=Reference(asked=HOSTILE, found=HOSTILE, url=HOSTILE), entries=(bad,), notes=(HOSTILE,))
    error = replace(shown, reproducibility="exact").failure()
    assert error is not None
    texts = [*summary(shown), *worst_rows(shown)[1], shown.headline(), *str(error).splitlines()]

    assert all(text.isprintable() and len(text) < 800 for text in texts)
    assert printable("é ü µ → 中") == "é ü µ → 中"

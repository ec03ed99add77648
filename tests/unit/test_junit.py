"""The parts of a run as JUnit XML: valid whatever a log holds, failures first, small whatever the number of parts."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from septum.compare.verdicts import Comparison, Verdict
from septum.manifest import Manifest
from septum.report.junit import MAX_CASES, xml
from septum.report.material import Material, gather
from tests.fakes import reports

_SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))


def _valid(material: Material) -> ET.Element:
    """The document, judged by the schema, with names that GitLab tells apart and counts that are right."""
    document = xml(material)
    _SCHEMA.validate(document)
    root = ET.fromstring(document)
    for suite in root.findall("testsuite"):
        assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))
    return root


def _cases(root: ET.Element, suite: int = 0) -> list[ET.Element]:
    return root.findall("testsuite")[suite].findall("testcase")


def _material(
    manifest: Manifest, logs: Mapping[str, str] | None = None, comparison: Comparison | None = None
) -> Material:
    return Material(manifest=manifest, logs=logs or {}, comparison=comparison)


def test_a_whole_run() -> None:
    """Every part is a case that passed, and so is every check."""
    root = _valid(_material(reports.manifest(parts=411)))

    assert len(_cases(root)) == 411
    assert {case.attrib["classname"] for case in root.iter("testcase")} == {"dimuon"}
    assert _cases(root)[7].attrib["name"] == "part 0007 (sample=WW, first=7000)"
    assert [case.attrib["name"] for case in _cases(root, 1)] == [
        "the result is whole",
        "dimuon.root: every object is the sum of the parts that are in it",
    ]
    assert not list(root.iter("failure"))


def test_failures_come_first_with_their_log(tmp_path: Path) -> None:
    """GitLab shows the text inside of a failure: message, job, the end of the log, and the fix are all in it."""
    run = reports.manifest(parts=30, failed=(7, 20))
    reports.store(tmp_path, run)
    root = _valid(gather(tmp_path, run))
    first, second, third = _cases(root)[:3]
    text = first.findtext("failure") or ""

    assert [first.attrib["name"][:9], second.attrib["name"][:9]] == ["part 0007", "part 0020"]
    assert third.find("failure") is None
    assert "the command ended with exit code 7 [E301]" in text
    assert "job 4711.7, on wn-007.example.org, exit code 7, 1 attempt" in text
    assert "Error: <b>stopped</b> & done ]]> \\x1b[31m\\x00" in text
    assert "Fix: run it here to see more: septum run --cluster local --parts 0007" in text
    assert first.find("failure") is not None
    assert _cases(root, 1)[0].find("failure") is not None, "a partial result is no success"


def test_a_run_without_result() -> None:
    """Parts that are well are no failures; the check says why there is no result."""
    root = _valid(_material(reports.without_result(parts=20, failed=(2,))))
    check = _cases(root, 1)[0].findtext("failure") or ""

    assert len(_cases(root)) == 20
    assert len(root.findall("testsuite")[0].findall("testcase/failure")) == 1
    assert "No result: part 0002" in check
    assert "no such dataset" in check


@pytest.mark.parametrize("state", ["planned", "idle", "running", "held", "ended", "what's that"])
def test_a_part_that_the_run_left_behind(state: str) -> None:
    """Is no success."""
    run = reports.manifest(parts=3)
    run = replace(run, parts=(replace(run.parts[0], state=state), *run.parts[1:]))
    case = _cases(_valid(_material(run)))[0]

    skipped = case.find("skipped")

    assert skipped is not None
    assert state in skipped.attrib["message"]


def test_thousands_of_parts_are_put_together() -> None:
    """By cause and by range; the file stays small, and every failed part is named up to some hundreds."""
    run = reports.manifest(parts=5000, failed=tuple(range(0, 5000, 9)))
    material = _material(run, logs={part.id: "x" * 10_000 for part in run.parts})
    root = _valid(material)
    names = [case.attrib["name"] for case in _cases(root)]

    assert len(names) < 100
    assert names[0] == "186 parts that failed with E301"
    assert names[-1].endswith("merged, 4951 to 4999")
    assert sum(int(name.split()[0]) for name in names) == 5000
    assert "0000, 0027" in (_cases(root)[0].findtext("failure") or "")
    assert len(xml(material)) < 100_000


def test_as_many_parts_as_fit_keep_their_cases() -> None:
    """A thousand failures with long logs stay far below what GitLab reads."""
    run = reports.manifest(parts=MAX_CASES, failed=tuple(range(MAX_CASES)))
    document = xml(_material(run, logs={part.id: "&" * 100_000 for part in run.parts}))

    assert document.count("<testcase") == MAX_CASES + 2
    assert len(document.encode()) < 30_000_000


def test_parts_of_one_name_keep_their_cases() -> None:
    """Values can be so long that their shown forms are equal: GitLab would drop the second case."""
    run = reports.manifest(parts=3)
    run = replace(run, parts=tuple(replace(part, id="0000", values={"x": "same"}) for part in run.parts))

    assert [case.attrib["name"] for case in _cases(_valid(_material(run)))] == [
        "part 0000 (x=same)", "part 0000 (x=same) (2)", "part 0000 (x=same) (3)",
    ]  # fmt: skip


def test_hostile_texts() -> None:
    """Nothing in a name, a message or a log leaves its place."""
    root = _valid(
        _material(reports.hostile(), logs={part.id: "]]></failure><x/>\x00\ufffe" for part in reports.hostile().parts})
    )

    assert {element.tag for element in root.iter()} == {"testsuites", "testsuite", "testcase", "failure"}


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_in_a_log(tmp_path: Path, seed: int) -> None:
    """Control characters, broken UTF-8, half surrogates, noncharacters: the file is XML 1.0."""
    run = reports.manifest(parts=2, failed=(1,))
    reports.store(tmp_path, run)
    log = tmp_path / "logs" / "septum-0001.stderr"
    log.write_bytes(random.Random(seed).randbytes(30_000) + "\ufffe\uffff\x0b\x7f\x85\u2028 end".encode())
    text = _cases(_valid(gather(tmp_path, run)))[0].findtext("failure") or ""

    assert " end" in text


def test_a_comparison_is_a_check() -> None:
    """It passes when nothing is bad, whatever the run does about it; nothing compared is no success."""
    run = reports.manifest(parts=3)
    good = _cases(_valid(_material(run, comparison=reports.comparison(run, {"x": Verdict.NEW}))), 1)[-1]
    bad = _cases(_valid(_material(run, comparison=reports.comparison(run, {"mass": Verdict.DIFFERENT}))), 1)[-1]
    empty = _cases(_valid(_material(run, comparison=reports.comparison(reports.manifest(parts=1, objects={}), {}))), 1)[
        -1
    ]
    none = _cases(_valid(_material(run, comparison=Comparison(nothing="the branch has no pipeline"))), 1)[-1]

    assert good.attrib["name"] == "comparison with pipeline 3400 of main, commit 89abcdef"
    assert good.find("failure") is None
    assert "mass" in (bad.findtext("failure") or "")
    assert "nothing was compared" in (empty.findtext("failure") or "")
    assert [item.tag for item in none] == ["skipped"]
    assert "the branch has no pipeline" in none[0].attrib["message"]

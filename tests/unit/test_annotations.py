"""The links beside the log of a CI job, within what GitLab takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from jsonschema import Draft7Validator

from septum.compare.verdicts import Verdict
from septum.report.annotations import text
from septum.report.links import artifact_link, web_link
from septum.report.material import Material
from tests.fakes import reports

ENVIRON = {"CI_JOB_URL": "https://gitlab.example.org/group/dimuon/-/jobs/77", "CI_PROJECT_DIR": "/builds/group/dimuon"}
FOLDER = PurePosixPath("/builds/group/dimuon/result")
# What GitLab's server checks: a mapping of at most 20 named lists, with at most 1000 links each.
_LINK = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "url": {"type": "string"}},
    "required": ["label", "url"],
    "additionalProperties": False,
}
_SCHEMA = {
    "type": "object",
    "maxProperties": 20,
    "propertyNames": {"minLength": 1, "maxLength": 255},
    "additionalProperties": {
        "type": "array",
        "maxItems": 1000,
        "items": {
            "type": "object",
            "properties": {"external_link": _LINK},
            "required": ["external_link"],
            "additionalProperties": False,
        },
    },
}


def _links(material: Material, folder: PurePosixPath = FOLDER, **environ: str) -> dict[str, dict[str, str]]:
    """Sections with the links by their labels, judged by GitLab's limits."""
    document = text(material, folder=folder, environ={**ENVIRON, **environ})
    data = json.loads(document)
    Draft7Validator(_SCHEMA).validate(data)
    assert len(document.encode()) <= 81_920
    return {
        section: {link["external_link"]["label"]: link["external_link"]["url"] for link in links}
        for section, links in data.items()
    }


def test_the_pages_of_reana() -> None:
    """Each workflow has its link, with the name that REANA shows it by; what is no address is left out."""
    pages = {"septum-zpeak-1.1": "https://reana.example.org/workflows/6f1f", "bad.1": "javascript:alert(1)"}

    links = _links(Material(manifest=replace(reports.manifest(parts=1), pages=pages)))

    assert links["REANA"] == {"REANA workflow septum-zpeak-1.1": pages["septum-zpeak-1.1"]}


def test_the_links_of_a_run() -> None:
    """The page opens in the browser, the result is downloaded, the reference is a pipeline."""
    run = reports.manifest(parts=3)
    links = _links(Material(manifest=run, comparison=reports.comparison(run, {"mass": Verdict.DIFFERENT})))
    job = "https://gitlab.example.org/group/dimuon/-/jobs/77/artifacts"

    assert links == {
        "Report": {"Report: verdict, plots, yields, failures": f"{job}/file/result/report.html"},
        "Results": {"dimuon.root": f"{job}/raw/result/dimuon.root"},
        "Reference": {
            "Compared with pipeline 3400 of main, commit 89abcdef": "https://gitlab.example.org/group/dimuon/-/pipelines/3400"
        },
    }


def test_published_results_lead_to_where_they_are() -> None:
    """Only what a browser can open is a link: root:// is none."""
    run = reports.manifest(parts=2)
    web = replace(run.results[0], url="https://eos.example.org/dimuon.root")
    root = replace(run.results[0], name="b.root", file="b.root", url="root://eos.example.org//dimuon.root")
    outputs = tuple(
        replace(part, outputs=tuple(replace(item, url=f"https://eos.example.org/{part.id}") for item in part.outputs))
        for part in run.parts
    )
    links = _links(Material(manifest=replace(run, results=(web, root), parts=outputs)))

    assert links["Results"] == {"dimuon.root (published)": "https://eos.example.org/dimuon.root"}
    assert links["Outputs of parts"] == {
        "part 0000: hists.root": "https://eos.example.org/0000", "part 0001: hists.root": "https://eos.example.org/0001",
    }  # fmt: skip


@pytest.mark.parametrize(("folder", "environ"), [
    (PurePosixPath("/somewhere/else"), {}),
    (PurePosixPath("/builds/group/dimuon/../secret"), {}),
    (FOLDER, {"CI_JOB_URL": ""}),
    (FOLDER, {"CI_JOB_URL": "javascript:alert(1)"}),
    (FOLDER, {"CI_PROJECT_DIR": ""}),
])  # fmt: skip
def test_no_links_to_what_is_no_artifact(folder: PurePosixPath, environ: dict[str, str]) -> None:
    """Outside of GitLab, and for a folder outside of the checkout, the file is an empty object."""
    assert _links(Material(manifest=reports.manifest(parts=1)), folder, **environ) == {}


def test_thousands_of_outputs_and_hostile_names() -> None:
    """Stay below GitLab's limits."""
    run = reports.manifest(parts=2000)
    outputs = tuple(
        replace(part, outputs=tuple(replace(item, url=f"https://e.org/{part.id}{'y' * 900}") for item in part.outputs))
        for part in run.parts
    )
    results = tuple(replace(run.results[0], name=f"{n}.root", file="z" * 200 + f"{n}.root") for n in range(3000))
    _links(Material(manifest=replace(run, parts=outputs, results=results)))

    evil = _links(Material(manifest=reports.hostile()))
    assert set(evil) == {"Report"}, "neither javascript: nor a path out of the folder is a link"


@pytest.mark.parametrize("url", [
    "javascript:alert(1)", "data:text/html,x", "https://", "//host/x", "https://user:secret@host/x", "https://host/a b",
    "https://host/\nSet-Cookie", "https://[::1/x", "https://host:99999/x", "ftp://host/x", "https://h\u202eost/", "",
])  # fmt: skip
def test_what_is_no_link(url: str) -> None:
    """No script, no password, no blank."""
    assert web_link(url) == ""


def test_a_relative_result_folder() -> None:
    """Is relative to the checkout, and names are quoted."""
    assert artifact_link(ENVIRON, PurePosixPath("my result"), "a#?.html") == (
        "https://gitlab.example.org/group/dimuon/-/jobs/77/artifacts/file/my%20result/a%23%3F.html"
    )

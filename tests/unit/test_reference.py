"""The reference pages say what the code does, and the JSON schema accepts what septum accepts."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from septum.advice import ADVICE
from septum.cli import component as cli
from septum.clusters.catalog import shipped_names
from septum.components import catalog
from septum.components.render import drift
from septum.config import Analysis, Policies
from septum.errors import ConfigError, SeptumError, StateError, every_error
from septum.reference import FOLDER, clusters_page, components_page, config_page, config_schema, errors_page, pages
from septum.validation import validate
from septum.yamltext import load

ROOT = Path(__file__).parents[2]


def test_committed_pages_are_what_the_code_says() -> None:
    """Nobody edited docs/reference/ by hand, and nobody forgot to write it anew."""
    assert drift(pages(ROOT), ROOT) == [], "run: septum reference"


def test_writing_twice_gives_the_same_bytes() -> None:
    """No clock and no order of a set is in the pages."""
    assert pages(ROOT) == pages(ROOT)


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_error_says_what_to_do_and_no_advice_is_left_over() -> None:
    """A code in a log leads to an answer."""
    assert sorted(ADVICE) == sorted(error.code for error in every_error())
    assert all(text.endswith(".") for text in ADVICE.values())


def test_policies_that_the_advice_names_can_be_written() -> None:
    """Whoever pastes one into septum.yaml is understood."""
    named = re.findall(r"`([a-z-]+): ([a-z-]+)`", ADVICE["E401"] + ADVICE["E408"])

    assert len(named) >= 8
    for key, value in named:
        (found,) = (field for field in Policies.model_fields.values() if field.alias == key)
        assert value in get_args(found.annotation)
        assert value != found.default


def test_an_error_without_advice_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds an error learns where to write about it."""
    monkeypatch.setattr("septum.reference.ADVICE", {code: text for code, text in ADVICE.items() if code != "E210"})

    with pytest.raises(StateError, match="no advice for E210"):
        errors_page()


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.code)
def test_every_error_has_its_anchor_and_its_exit_code(error: type[SeptumError]) -> None:
    """`errors.md#e110` is what a message can link to."""
    page = errors_page()

    assert page.count(f"\n## {error.code}\n") == 1
    assert f"(#{error.code.lower()})" in page
    section = page.split(f"\n## {error.code}\n")[1].split("\n## ")[0]
    assert f"Exit code {error.exit_code}." in section
    assert " ".join((error.__doc__ or "").split()) in section


def test_exit_codes_are_listed_once_each() -> None:
    """One table, in order, with success in it."""
    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", errors_page(), re.MULTILINE)]

    assert listed == sorted({0, SeptumError.exit_code, *(error.exit_code for error in every_error())})


# ── septum.yaml ─────────────────────────────────────────────────────────────────────────────────────────────────


def _models() -> list[type[Any]]:
    found: list[type[Any]] = [Analysis]
    names = set(config_schema()["$defs"])
    import septum.config

    found += [getattr(septum.config, name) for name in sorted(names)]
    return found


def test_every_key_stands_on_the_page() -> None:
    """With its description."""
    page = config_page()

    for model in _models():
        for field in model.model_fields.values():
            assert f"| `{field.alias}` |" in page
            assert (field.description or "no description").replace("|", r"\|") in page


def test_links_of_types_lead_to_a_section() -> None:
    """GitLab makes an anchor of each heading."""
    page = config_page()
    anchors = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", page, re.MULTILINE)}

    assert set(re.findall(r"\]\(#([a-z-]+)\)", page)) <= anchors


def test_the_schema_is_a_schema() -> None:
    """Of the draft that it names."""
    schema = config_schema()

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert not re.search(r'"[a-z]+_[a-z]+":', json.dumps(schema["properties"])), "a key is not in kebab-case"


MINIMAL = "command: [run, '{seed}']\nparts: {list: [{seed: 1}]}\noutputs: [h.root]\n"

GOOD = {
    "numbers as values": MINIMAL,
    "values of all kinds": "command: run\nparts: {list: [{a: 1.5, b: true, c: x}]}\noutputs: [h.root]\n",
    "a list of blocks": "command: run\nparts: [{list: [{a: 1}]}, {table: t.csv, set: {a: 7}}]\noutputs: [h.root]\n",
    "output as mapping": "command: run\nparts: {list: [{a: 1}]}\noutputs: [x.txt, {path: h.root, objects: [m]}]\n",
    "product": "command: run\nparts: {product: {s: [DY, 1], seed: {first: 1, last: 9, step: 2}}}\noutputs: [h.root]\n",
    "files": "command: run\nparts: {files: {glob: '*.root', per-part: 3}}\noutputs: [h.root]\n",
    "entries": "command: run\nparts: {entries: {total: 100, per-part: 10}}\noutputs: [h.root]\n",
    "resources": MINIMAL + "resources: {cpus: 2, memory: 2 GB, memory-retries: [4 GB, 8GB], time: 1.5 h, disk: 1 TB}\n",
    "retries and tolerance": MINIMAL + "retries: 2\ntolerance: 3\nversion: 1\n",
    "per cent": MINIMAL + "tolerance: 2.5%\nversion: '1'\n",
    "the rest": MINIMAL
    + "name: zpeak\nshell: bash\nsetup: [set -u]\nprepare: [make]\ninputs: [a.py, lib/**]\n"
    + "merge: {'{seed}.root': h.root}\nenvironment: {OMP_NUM_THREADS: 1}\nimage: python:3.12\n",
    "nothing where nothing is the default": MINIMAL + "image:\nmerge: null\n",
}

BAD = {
    "unknown key": MINIMAL + "retrys: 2\n",
    "snake case": MINIMAL + "resources: {memory_retries: [4 GB]}\n",
    "no command": "parts: {list: [{a: 1}]}\noutputs: [h.root]\n",
    "no outputs": "command: run\nparts: {list: [{a: 1}]}\n",
    "empty outputs": "command: run\nparts: {list: [{a: 1}]}\noutputs: []\n",
    "output as list": "command: run\nparts: {list: [{a: 1}]}\noutputs: [[h.root]]\n",
    "a size without unit": MINIMAL + "resources: {memory: 2}\n",
    "words as a number": MINIMAL + "retries: two\n",
    "too many retries": MINIMAL + "retries: 21\n",
    "another version": MINIMAL + "version: 2\n",
    "another shell": MINIMAL + "shell: fish\n",
    "parts as a text": "command: run\nparts: all\noutputs: [h.root]\n",
    "a value as a list": "command: run\nparts: {list: [{a: [1, 2]}]}\noutputs: [h.root]\n",
    "unknown key in a block": "command: run\nparts: {lists: [{a: 1}]}\noutputs: [h.root]\n",
}


def _schema_says(text: str) -> list[str]:
    document = YAML(typ="safe", pure=True).load(text)
    return [error.message for error in Draft202012Validator(config_schema()).iter_errors(document)]


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_an_editor_accepts_what_septum_accepts(text: str) -> None:
    """Numbers and truth values are texts to septum, and the short forms are forms."""
    validate(Analysis, load(text, "septum.yaml"), error=ConfigError)

    assert _schema_says(text) == []


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_an_editor_refuses_what_septum_refuses(text: str) -> None:
    """The mistake shows while it is typed."""
    with pytest.raises(ConfigError):
        validate(Analysis, load(text, "septum.yaml"), error=ConfigError)

    assert _schema_says(text) != []


# ── clusters and components ─────────────────────────────────────────────────────────────────────────────────────


def test_every_shipped_cluster_has_its_section_and_says_when_it_was_verified() -> None:
    """Never is said as plainly as a date."""
    page = clusters_page(ROOT)

    for name in shipped_names():
        section = page.split(f"\n## `{name}`\n")[1].split("\n## ")[0]
        assert "verified" in section
        assert "| Key | Value | Source and date |" in section


def test_no_value_of_a_cluster_is_without_source_and_date() -> None:
    """The third column is never empty."""
    rows = [line.split(" | ") for line in clusters_page(ROOT).splitlines() if line.startswith("| `")]
    values = [row for row in rows if len(row) == 3]

    assert values
    assert [row for row in values if not re.search(r"\d{4}-\d{2}", row[2])] == []


def test_variables_of_this_machine_do_not_reach_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is shipped."""
    before = clusters_page(ROOT)
    monkeypatch.setenv("SEPTUM_CLUSTER_COLLECTOR", "elsewhere.example.org:9618")

    assert clusters_page(ROOT) == before


def test_the_page_of_the_components_names_every_variable() -> None:
    """The ones that septum reads."""
    page = components_page(ROOT)

    for variable in ("CLUSTER", "IMAGE", "CONFIG", "PREFIX", "RESULT"):
        assert f"| `SEPTUM_{variable}` |" in page


def test_the_page_of_the_components_has_all_that_the_model_and_the_yaml_say() -> None:
    """Contents, and for each component its inputs, CI jobs, artifacts, exit codes with their errors, and its schema."""
    page = components_page(ROOT)

    for item in catalog.COMPONENTS:
        section = page.split(f"\n## {item.name}\n")[1].split("\n## ")[0]
        assert f"| [{item.name}](#{item.name}) |" in page
        assert f"(components/{item.name}.schema.json)" in section
        for entry in item.inputs:
            assert section.count(f"\n| `{entry.name}` | {entry.type} | ") == 1
            assert all(f"`{option}`" in section for option in entry.options)
        for job in item.jobs:
            assert f"| `{job.names[0]}`" in section
        for about in ("Inputs", "CI jobs", "Artifacts", "Exit codes", "Variables"):
            assert f"\n### {about} of {item.name}\n" in section
        assert "| [75](errors.md#exit-codes) | runs it again, at most 2 times |" in section
    assert (
        "| [39](errors.md#exit-codes) | shows a warning, with `partial: warn` | `hop-1` to `hop-7`, `collect` |" in page
    )
    assert "[E310](errors.md#e310)" in page


def test_text_of_the_model_is_no_markup_on_the_page() -> None:
    """A glob in a description does not become bold, nor a bar a column."""
    rows = [line for line in components_page(ROOT).splitlines() if line.startswith("| `changes` | string |")]

    assert rows
    assert all(r"src/\*\*/\*" in row for row in rows)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_schemas_of_the_components_are_among_the_pages() -> None:
    """One for each, valid JSON."""
    schemas = {path.stem: text for path, text in pages(ROOT).items() if path.parent.name == "components"}

    assert schemas.keys() == {f"{item.name}.schema" for item in catalog.COMPONENTS}
    assert all(json.loads(text)["type"] == "object" for text in schemas.values())


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────


def test_reference_mends_a_drift_and_check_only_reports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` names the file and the command; without it the file is written; then all is well."""
    for name in ("components", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, text in pages(tmp_path).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tmp_path / FOLDER / "errors.md").write_text("edited by hand\n")
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())

    checking = parser.parse_args(["reference", "--check", "--root", str(tmp_path)])
    with pytest.raises(StateError) as caught:
        checking.handler(checking)
    assert caught.value.evidence == "docs/reference/errors.md"

    writing = parser.parse_args(["reference", "--root", str(tmp_path)])
    assert writing.handler(writing) == 0
    assert (tmp_path / FOLDER / "errors.md").read_text() == errors_page()
    assert checking.handler(checking) == 0
    assert "wrote docs/reference/errors.md" in capsys.readouterr().out

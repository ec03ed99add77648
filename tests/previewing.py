"""What GitLab would run of the library's components, as the interpreter has it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

import septum
from septum.components import catalog
from septum.preview.assemble import assemble
from septum.preview.evaluate import evaluate
from septum.preview.include import gather
from septum.preview.pipeline import CIJob, Pipeline
from septum.preview.shelf import Shelf
from septum.preview.situation import PROJECT, SERVER, Situation
from septum.preview.source import Source

ROOT = Path(__file__).parents[1]
ON_MAIN = Situation()
NAMES = [item.name for item in catalog.COMPONENTS]


def include(name: str, inputs: Mapping[str, Any] | None = None, **keywords: Any) -> dict[str, Any]:
    """One entry of `include`, for a component of the library as it lies in the checkout."""
    return {
        "component": f"$CI_SERVER_FQDN/cms-analysis/general/septum/{name}@{septum.__version__}",
        "inputs": dict(inputs or {}),
        **keywords,
    }


def body(*includes: Mapping[str, Any], situation: Situation = ON_MAIN, **keywords: Any) -> dict[str, Any]:
    """The whole configuration of a repository with these includes, after `extends`.

    Raises:
        PreviewError: GitLab would refuse it.
    """
    # JSON is YAML, and quotes everything.
    text = json.dumps({"include": [dict(entry) for entry in includes], **keywords})
    shelf = Shelf(folder=ROOT / "examples" / "dimuon", project=PROJECT, server=SERVER, library=ROOT)
    return assemble(gather(Source(name=".gitlab-ci.yml", text=text), None, shelf, situation).body)


def pipeline(*includes: Mapping[str, Any], situation: Situation = ON_MAIN, **keywords: Any) -> Pipeline:
    """What GitLab makes of it.

    Raises:
        PreviewError: GitLab would refuse it.
    """
    return evaluate(body(*includes, situation=situation, **keywords), situation)


def of(name: str, inputs: Mapping[str, Any] | None = None, *, situation: Situation = ON_MAIN) -> dict[str, CIJob]:
    """The CI jobs of one component, without the prefix, in a pipeline with nothing else.

    Raises:
        PreviewError: GitLab would refuse it.
    """
    prefix = (inputs or {}).get("job-prefix", "septum-")
    made = pipeline(include(name, inputs), situation=situation)
    return {job.name.removeprefix(prefix): job for job in made.jobs}


@cache
def header(name: str) -> dict[str, Any]:
    """The header of a rendered component."""
    from septum.components.render import parse

    found, _ = parse((ROOT / "templates" / f"{name}.yml").read_text(encoding="utf-8"), name)
    return found


@cache
def _gitlabs_schema() -> Draft7Validator:
    found = importlib.util.find_spec("check_jsonschema")
    if found is None or found.origin is None:
        pytest.skip("check-jsonschema, which ships GitLab's schema, is not installed")
    path = Path(found.origin).parent / "builtin_schemas" / "vendor" / "gitlab-ci.json"
    return Draft7Validator(json.loads(path.read_text(encoding="utf-8")))


def schema_errors(document: object) -> list[str]:
    """What the schema that GitLab publishes for its editor, as a checker ships it, says against a document.

    It is stricter than GitLab itself in places: it wants at least one runner tag, for instance.
    """
    return [f"{error.json_path}: {error.message[:300]}" for error in _gitlabs_schema().iter_errors(document)]

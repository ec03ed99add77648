"""`only` and `except`, the older way to choose when a CI job runs. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/build/policy/*`, `lib/gitlab/ci/config/entry/policy.rb`;
doc/ci/yaml/deprecated_keywords.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from septum.errors import PipelineError
from septum.preview import rules
from septum.preview.expressions import holds
from septum.preview.re2 import compile_re2
from septum.preview.rules import Surroundings
from septum.preview.situation import Situation

_DEFAULT: Mapping[str, object] = {"refs": ["branches", "tags"]}
_SOURCES = {
    "merge_requests": "merge_request_event",
    "pushes": "push",
    "schedules": "schedule",
    "triggers": "trigger",
}


def wanted(name: str, job: Mapping[str, object], situation: Situation, around: Surroundings, *, default: bool) -> str:
    """Why a CI job without rules is not in the pipeline; empty if it is.

    Args:
        name: Its name.
        job: Its keywords.
        situation: What started the pipeline.
        around: What conditions see.
        default: Whether it runs for branches and tags if it does not say; not so with `workflow:rules`.

    Raises:
        PipelineError: A condition cannot be read.
    """
    only = _as_mapping(job["only"]) if "only" in job else {}
    if default or only:
        only = {**_DEFAULT, **only}
    try:
        met = {key: _met(key, value, situation, around) for key, value in only.items() if value is not None}
        missing = [key for key, is_met in met.items() if not is_met]
        if missing:
            return f"only: {missing[0]} is not met" if "only" in job else "without rules it is for branches and tags"
        for key, value in _as_mapping(job.get("except")).items():
            if value is not None and _met(key, value, situation, around):
                return f"except: {key} is met"
    except PipelineError as error:
        raise PipelineError(f"jobs:{name}:only {error.what}", evidence=error.evidence, fix=error.fix) from error
    return ""


def _as_mapping(policy: object) -> dict[str, object]:
    if isinstance(policy, dict):
        return policy
    if policy is None:
        return {}
    return {"refs": policy if isinstance(policy, list) else [policy]}


def _met(key: str, value: object, situation: Situation, around: Surroundings) -> bool:
    items = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    if key == "refs":
        return any(_ref_matches(item, situation) for item in items)
    if key == "variables":
        return any(holds(item, around.variables, gitlab=around.gitlab) for item in items)
    if key == "changes":
        return rules.matches({"changes": value}, around)
    # Kubernetes clusters of the project: there are none here.
    return False


def _ref_matches(pattern: str, situation: Situation) -> bool:
    if not pattern.startswith("/"):
        pattern, _, project = pattern.partition("@")
    else:
        pattern, _, project = pattern.rpartition("@") if pattern.rpartition("@")[0].endswith("/") else (pattern, "", "")
    if project and project != situation.project:
        return False
    if pattern == "tags":
        return situation.tag
    if pattern == "branches":
        return situation.branch
    if _SOURCES.get(pattern, pattern) == situation.source:
        return True
    if pattern.startswith("/"):
        body, _, flags = pattern[1:].rpartition("/")
        try:
            found = compile_re2(f"(?{flags}){body}" if flags else body).search(situation.ref)
        except ValueError as error:
            raise PipelineError(
                "config should be an array of strings or regular expressions using re2 syntax", evidence=str(error)
            ) from error
        return found and not situation.merge_request
    return pattern == situation.ref and not situation.merge_request

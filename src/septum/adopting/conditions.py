"""When the old CI job ran, as `rules` of an include. Pure.

What includes cannot say, such as `when: manual`, becomes a question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLAIN = frozenset({"if", "changes", "exists", "when"})
_WORDS = {
    "branches": "$CI_COMMIT_BRANCH",
    "tags": "$CI_COMMIT_TAG",
    "merge_requests": '$CI_PIPELINE_SOURCE == "merge_request_event"',
    "schedules": '$CI_PIPELINE_SOURCE == "schedule"',
    "web": '$CI_PIPELINE_SOURCE == "web"',
    "pushes": '$CI_PIPELINE_SOURCE == "push"',
    "triggers": '$CI_PIPELINE_SOURCE == "trigger"',
    "api": '$CI_PIPELINE_SOURCE == "api"',
}


def rules_of(keywords: Mapping[str, object]) -> tuple[list[dict[str, object]], list[str]]:
    """The rules for the include, and what they cannot say.

    Args:
        keywords: Those of the CI job.
    """
    if "rules" in keywords:
        return _rules(keywords["rules"])
    found: list[dict[str, object]] = []
    questions: list[str] = []
    if "only" in keywords:
        found, questions = _only(keywords["only"])
    if "except" in keywords:
        never, said = _only(keywords["except"], "except")
        questions += said
        if never:
            found = [*({**rule, "when": "never"} for rule in never), *(found or [{"when": "always"}])]
    if keywords.get("when") == "manual":
        questions.append(_manual("when: manual"))
    return found, questions


def _manual(what: str) -> str:
    return (
        f"'{what}' is not taken over: let the pipeline be started by hand instead, "
        "rules: [{if: '$CI_PIPELINE_SOURCE == \"web\"'}]"
    )


def _rules(listed: object) -> tuple[list[dict[str, object]], list[str]]:
    found: list[dict[str, object]] = []
    questions: list[str] = []
    for rule in listed if isinstance(listed, list) else [listed]:
        if not isinstance(rule, dict):
            questions.append(f"the rule {str(rule)[:80]!r} is not taken over")
            continue
        when = rule.get("when", "on_success")
        if when in {"manual", "delayed"} or not set(rule) <= _PLAIN:
            more = ", ".join(key for key in rule if key not in _PLAIN)
            questions.append(
                _manual(f"when: {when}") if when in {"manual", "delayed"} else f"'{more}' of a rule is not taken over"
            )
        kept = {str(key): _text(value) for key, value in rule.items() if key in _PLAIN - {"when"}}
        if when == "never":
            kept["when"] = "never"
        if kept or when == "never":
            found.append(kept)
        else:
            found.append({"when": "always"})
    return ([] if found == [{"when": "always"}] else found), questions


def _only(value: object, keyword: str = "only") -> tuple[list[dict[str, object]], list[str]]:
    refs = value.get("refs", []) if isinstance(value, dict) else value
    found: list[dict[str, object]] = []
    questions = (
        [f"'{keyword}: {key}' is not taken over" for key in value if key != "refs"] if isinstance(value, dict) else []
    )
    for item in refs if isinstance(refs, list) else [refs]:
        text = str(item)
        if text in _WORDS:
            found.append({"if": _WORDS[text]})
        elif re.fullmatch(r"/.*/", text):
            found.append({"if": f"$CI_COMMIT_REF_NAME =~ {text}"})
        elif re.fullmatch(r"[\w./-]+", text):
            found.append({"if": f'$CI_COMMIT_REF_NAME == "{text}"'})
        else:
            questions.append(f"'{keyword}: {text[:80]}' is not taken over")
    return found, questions


def _text(value: object) -> object:
    if isinstance(value, list):
        return [_text(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _text(item) for key, item in value.items()}
    return str(value) if isinstance(value, str) else value

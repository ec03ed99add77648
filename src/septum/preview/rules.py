"""One rule, and a list of rules: of includes, of the workflow, of CI jobs. Pure; files are a list of names.

Behaviour: gitlabhq `lib/gitlab/ci/build/rules*` and `lib/gitlab/ci/config/entry/rules*`; doc/ci/jobs/job_rules.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from septum.errors import PipelineError
from septum.preview.expressions import evaluate, holds
from septum.preview.features import NEWEST, Version
from septum.preview.globs import glob_matches
from septum.preview.situation import fill

JOB_KEYS = frozenset(
    {"if", "changes", "exists", "when", "start_in", "allow_failure", "variables", "needs", "interruptible"}
)
JOB_WHENS = ("on_success", "on_failure", "always", "never", "manual", "delayed")
WORKFLOW_KEYS = frozenset(
    {"if", "changes", "exists", "when", "start_in", "allow_failure", "variables", "needs", "auto_cancel"}
)
INCLUDE_KEYS = frozenset({"if", "exists", "when", "changes"})
SWITCH_WHENS = ("always", "never")

_MAX_PATHS = 50
_MAX_DEPTH = 10
_MAX_COMPARISONS = 50_000
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)|(?P<between>[\s,]+|and\b)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a rule can see.

    Attributes:
        variables: The plain values of all variables; `rules:if` expands nothing in them.
        expanded: The same with the variables in them replaced, for `changes`.
        files: Gives the files of the repository that the rule stands in.
        changes: The changed files; None if GitLab cannot know them.
        gitlab: The version of the server.
    """

    variables: Mapping[str, str]
    expanded: Mapping[str, str]
    files: Callable[[], Sequence[str]] = tuple
    changes: Sequence[str] | None = None
    gitlab: Version = NEWEST


def flatten(rules: object, *, where: str) -> list[Mapping[str, object]] | None:
    """The rules of a keyword as one list; `!reference` may have left lists in the list.

    Args:
        rules: What stands behind the keyword; None if nothing does.
        where: The keyword's path, for messages.

    Raises:
        PipelineError: It is no list of mappings.
    """

    def walk(items: Sequence[object], depth: int) -> list[Mapping[str, object]]:
        found: list[Mapping[str, object]] = []
        for item in items:
            if isinstance(item, dict):
                found.append(item)
            elif isinstance(item, list) and depth < _MAX_DEPTH:
                found += walk(item, depth + 1)
            else:
                raise _bad(f"{where} should be an array containing hashes and arrays of hashes")
        return found

    if rules is None:
        return None
    if not isinstance(rules, list):
        raise _bad(f"{where} should be an array containing hashes and arrays of hashes")
    return walk(rules, 1)


def check(
    rule: Mapping[str, object],
    *,
    where: str,
    keys: frozenset[str] = JOB_KEYS,
    whens: Sequence[str] = JOB_WHENS,
    gitlab: Version = NEWEST,
) -> None:
    """Check the form of one rule.

    Args:
        rule: The rule.
        where: Its path, such as `jobs:test:rules:rule`.
        keys: What it may hold.
        whens: What `when` may say.
        gitlab: The version of the server.

    Raises:
        PipelineError: GitLab would refuse it.
    """
    if not rule:
        raise _bad(f"{where} config can't be blank")
    unknown = [key for key in rule if key not in keys]
    if unknown:
        raise _bad(f"{where} config contains unknown keys: {', '.join(map(str, unknown))}")
    when = rule.get("when")
    if when is not None and when not in whens:
        raise _bad(f"{where} when unknown value: {when}", f"one of {', '.join(whens)}")
    check_delay(rule, where=where, rules=True)
    for key in ("allow_failure", "interruptible"):
        if not isinstance(rule.get(key), bool | None):
            raise _bad(f"{where} {key.replace('_', ' ')} should be a boolean value")
    condition = rule.get("if")
    if condition is not None:
        if not isinstance(condition, str):
            raise _bad(f"{where} if invalid expression syntax", f"it is {type(condition).__name__}, and must be text")
        _readable(condition, where, gitlab)
    for key in ("changes", "exists"):
        _paths(rule.get(key), where=f"{where}:{key}")


def check_delay(config: Mapping[str, object], *, where: str, rules: bool) -> None:
    """Check that `start_in` stands where `when: delayed` does, and is a time.

    Raises:
        PipelineError: It is missing, too much, or no duration of at most a week.
    """
    start_in = config.get("start_in")
    if config.get("when") == "delayed":
        seconds = duration_s(start_in)
        if seconds is None:
            raise _bad(f"{where} start in should be a duration")
        if seconds > 7 * 86_400:
            raise _bad(f"{where} start in should not exceed the limit")
    elif start_in is not None:
        raise _bad(f"{where} config contains disallowed keys: start_in" if rules else f"{where} start in must be blank")


def duration_s(value: object) -> float | None:
    """A duration as GitLab reads it, in seconds; None if it is none. A number is none, a number as text is one."""
    units = {
        "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
        "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
        "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
        "d": 86_400, "day": 86_400, "days": 86_400,
        "w": 604_800, "week": 604_800, "weeks": 604_800,
        "mo": 2_592_000, "mos": 2_592_000, "month": 2_592_000, "months": 2_592_000,
        "y": 31_557_600, "yr": 31_557_600, "yrs": 31_557_600, "year": 31_557_600, "years": 31_557_600,
    }  # fmt: skip
    if not isinstance(value, str):
        return None
    text = value.lower()
    total, position, numbers = 0.0, 0, 0
    for token in _DURATION.finditer(text):
        if token.start() != position or (token["unit"] or "s") not in units:
            return None
        position = token.end()
        numbers += token["between"] is None
        total += float(token["number"] or 0) * units[token["unit"] or "s"]
    return total if numbers and position == len(text) else None


def first_match(rules: Sequence[Mapping[str, object]], around: Surroundings) -> Mapping[str, object] | None:
    """The first rule whose conditions are all met; None if none is."""
    return next((rule for rule in rules if matches(rule, around)), None)


def matches(rule: Mapping[str, object], around: Surroundings) -> bool:
    """Whether all conditions of a rule that was checked are met. A rule without conditions always is."""
    condition = rule.get("if")
    if condition is not None and not holds(str(condition), around.variables, gitlab=around.gitlab):
        return False
    changes = rule.get("changes")
    if changes is not None and not _changed(changes, around):
        return False
    exists = rule.get("exists")
    if exists is not None:
        if isinstance(exists, dict) and exists.get("project") is not None:
            raise _bad(
                "rules:exists:project is not known here",
                f"the files of {exists['project']} are on the server",
                "write the condition without it, or preview with the rule removed",
            )
        globs = [fill(glob, around.variables, keep=True) for glob in _paths(exists, where="rules:exists")]
        return any(glob_matches(glob, name) for glob in globs for name in around.files())
    return True


def _changed(changes: object, around: Surroundings) -> bool:
    """Whether a file is changed that the condition asks for, or GitLab takes it for granted."""
    if around.changes is None:
        compare_to = changes.get("compare_to") if isinstance(changes, dict) else None
        if compare_to is not None:
            raise _bad(
                "rules:changes:compare_to is not known here",
                f"what differs from {compare_to} is known on the server, whatever starts the pipeline",
                "--changed FILE, for each file that differs",
            )
        return True
    globs = {fill(glob, around.expanded, keep=True) for glob in _paths(changes, where="rules:changes")}
    if len(globs) * len(around.changes) > _MAX_COMPARISONS:
        return True
    return any(glob_matches(glob, name) for glob in globs for name in around.changes)


def _paths(value: object, *, where: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict):
        known = {"paths", "compare_to"} if where.endswith("changes") else {"paths", "project", "ref"}
        unknown = [key for key in value if key not in known]
        if unknown:
            raise _bad(f"{where} config contains unknown keys: {', '.join(map(str, unknown))}")
        if not isinstance(value.get("compare_to"), str | None):
            raise _bad(f"{where} compare to should be a string")
        value = value.get("paths")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _bad(f"{where} config should be an array of strings")
    if len(value) > _MAX_PATHS:
        raise _bad(f"{where} config is too long (maximum is {_MAX_PATHS})")
    return value


def _readable(condition: str, where: str, gitlab: Version) -> None:
    try:
        evaluate(condition, {}, gitlab=gitlab)
    except PipelineError as error:
        raise _bad(f"{where} if invalid expression syntax", f"{condition}\n{error.evidence}", error.fix) from error


def _bad(what: str, evidence: str = "", fix: str = "") -> PipelineError:
    return PipelineError(
        what, evidence=evidence, fix=fix or "correct the rule; https://docs.gitlab.com/ci/jobs/job_rules/"
    )

"""The `rules` of an input: which options and default apply, given the other inputs. Pure.

Behaviour: gitlabhq `lib/ci/inputs/rules_evaluator.rb`, `lib/gitlab/ci/config/header/input/rules/rule.rb`,
`lib/gitlab/ci/config/header/inputs/validator.rb` and their specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from septum.errors import PreviewError
from septum.preview import limits, ruby
from septum.preview.expressions import evaluate, holds
from septum.preview.features import NEWEST, Version

_KEYS = ("if", "options", "default")
_INPUT = re.compile(r"\$\[\[\s*inputs\.([\w-]+)\s*\]\]", re.ASCII)
_INCOMPLETE = "rule must define 'options' with at least one value and a 'default'"


def matching(rules: object, inputs: Mapping[str, object], gitlab: Version) -> Mapping[str, object]:
    """The first rule that applies; a condition that cannot be read does not.

    Args:
        rules: What stands under `rules:`.
        inputs: The inputs that are known so far.
        gitlab: The version of the server.

    Returns:
        The rule, empty if none applies.
    """
    for rule in rules if isinstance(rules, list) else []:
        if isinstance(rule, dict) and (not rule.get("if") or _holds(rule["if"], inputs, gitlab)):
            return rule
    return {}


def has_default(rules: object) -> bool:
    """Whether the input need not be given: a rule has a default, or applies without a condition."""
    found = [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    return any("default" in rule or "if" not in rule for rule in found)


def _holds(condition: object, inputs: Mapping[str, object], gitlab: Version) -> bool:
    try:
        return isinstance(condition, str) and holds(condition, {}, inputs=inputs, gitlab=gitlab)
    except PreviewError:
        return False


def rules_errors(where: str, rules: object, gitlab: Version) -> Iterator[str]:
    """What is wrong with the rules of one input.

    Args:
        where: The place of the input in the header, as messages have it.
        rules: What stands under `rules:`.
        gitlab: The version of the server.

    Yields:
        Messages.
    """
    if not isinstance(rules, list):
        yield f"{where}:rules config should be an array"
        return
    name = where.rpartition(":")[2]
    for rule in rules:
        for error in _rule_errors(rule, gitlab):
            yield f"`{name}` input: {error}"


def _rule_errors(rule: object, gitlab: Version) -> Iterator[str]:
    if not isinstance(rule, dict):
        yield "should be a hash"
        return
    if not rule:
        yield "can't be blank"
        return
    options = rule.get("options")
    early = []
    unknown = [key for key in rule if key not in _KEYS]
    if unknown:
        early.append(f"contains unknown keys: {', '.join(unknown)}")
    if rule.get("if") is not None and not _valid(rule["if"], gitlab):
        early.append("if invalid expression syntax")
    if options is not None and not isinstance(options, list):
        early.append("options should be an array")
    yield from early
    if early:
        return
    chosen = options if isinstance(options, list) else []
    if len(chosen) > limits.MAX_OPTIONS:
        yield f"cannot define more than {limits.MAX_OPTIONS} options"
    if "default" not in rule:
        yield _INCOMPLETE
    elif chosen and not contains(chosen, rule["default"]):
        yield f"default '{ruby.to_s(rule['default'])}' must be one of the options"


def contains(options: Sequence[object], value: object) -> bool:
    """Whether a list has a value, for Ruby: 1 is 1.0, but not true."""
    return any(option == value and isinstance(option, bool) == isinstance(value, bool) for option in options)


def _valid(condition: object, gitlab: Version) -> bool:
    if not isinstance(condition, str):
        return False
    try:
        evaluate(condition, {}, gitlab=gitlab)
    except PreviewError:
        return False
    return True


def reference_errors(inputs: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """What is wrong with the names of other inputs in conditions.

    Args:
        inputs: What stands under the name of each input.

    Yields:
        Messages.
    """
    needed: dict[str, list[str]] = {}
    for name, value in inputs.items():
        rules = value.get("rules")
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            named = _named(rule)
            needed[name] = needed.get(name, []) + [other for other in named if other in inputs]
            undefined = [other for other in named if other not in inputs]
            if undefined:
                listed = ", ".join(undefined)
                yield f"header:spec:inputs:{name} config rule[{index}] references undefined inputs: {listed}"
    try:
        TopologicalSorter(needed).prepare()
    except CycleError:
        yield f"header:spec:inputs:{next(iter(inputs))} config circular dependency detected"


def _named(rule: object) -> list[str]:
    """The inputs in the condition of a rule; none if it is no condition."""
    condition = rule.get("if") if isinstance(rule, dict) else None
    if not isinstance(condition, str) or not _valid(condition, NEWEST):
        return []
    return list(dict.fromkeys(_INPUT.findall(condition)))

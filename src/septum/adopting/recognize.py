"""Says of each command of a script what it is there for, also of those that only serve another one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from septum.adopting import shell
from septum.adopting.rules import rule_of
from septum.adopting.values import CREDENTIALS, Found, Statement, Step

_ASSIGNS = re.compile(
    r"^(?:(?:export|local|readonly|declare)\s+)?(?P<name>[A-Za-z_]\w*)=|^read\s+(?:-\w+\s+)*(?P<read>[A-Za-z_]\w*)$"
)
_USES = re.compile(r"\$\{?#?(?P<name>[A-Za-z_]\w*)")
_SERVANTS = re.compile(
    r"^(?:if|for|echo|printf|\[|\[\[|test|jq|export|cat|chmod|rm|mv|cp|wc|ls|\w+=|shred|unset|mkdir|umask|tr|cut|grep|sed|awk)(?=\W|$)"
)
"""Programs that do nothing on their own to what they are given."""
_FUNCTION = re.compile(r"^(?:function\s+(?P<word>[A-Za-z_][\w-]*)|(?P<name>[A-Za-z_][\w-]*)\s*\(\))")
_WRITTEN = re.compile(r"(?:[^<>&]>|X509_USER_PROXY=|_SCITOKENS_FILE=)\s*[\"']?(?P<path>[\w./${}~-]{4,})")
_TAKES_ALONG = CREDENTIALS | {Step.WAIT, Step.TRANSFER, Step.CHECK, Step.REMOVE}
_GOING = (
    Step.MERGE, Step.WAIT, Step.TRANSFER, Step.CHECK, Step.REMOVE, Step.TOKEN, Step.PROXY, Step.KERBEROS, Step.CONDOR,
    Step.IMAGE,
)  # fmt: skip
"""What septum does otherwise, the most telling first."""
_UNKNOWN = frozenset({Step.OTHER, Step.UPLOAD, Step.ELSEWHERE})
MIXED = "mixed"
"""The rule of a construct that does what septum does and something else: a person has to take it apart."""
_ROUNDS = 5


def recognize(statements: Sequence[Statement]) -> list[Found]:
    """What each statement is there for.

    A construct that does several things is taken apart, line by line.
    """
    found: list[Found] = []
    for statement in statements:
        found += _of(statement)
    for _ in range(_ROUNDS):
        better = _with_servants(found)
        if better == found:
            break
        found = better
    return found


def _of(statement: Statement) -> list[Found]:
    if statement.calls:
        return [Found(statement=statement, step=Step.CALLS, rule="calls")]
    return _of_block(statement) if statement.block else [_simple(statement)]


def _of_block(statement: Statement) -> list[Found]:
    """A construct is one step if all in it serves one; else it is taken apart, or left to a person."""
    piece = shell.Piece(
        file=statement.file, first=statement.first, last=statement.last, text=statement.text, block=True
    )
    inside = [
        _simple(
            replace(statement, first=part.first, last=part.last, text=part.text, block=False, within=statement.first)
        )
        for part in shell.inner(piece)
    ]
    steps = {each.step for each in inside}
    goes = [step for step in _GOING if step in steps]
    runs = [step for step in (Step.DAG, Step.SUBMIT, Step.COMPILE) if step in steps]
    stays = [each for each in inside if each.step in _UNKNOWN and not _is_servant(each)]
    if runs and goes:
        return inside
    if goes and stays:
        return [Found(statement=statement, step=Step.OTHER, rule=MIXED)]
    if runs or goes:
        step = (runs or goes)[0]
        return [Found(statement=statement, step=step, rule=next(each.rule for each in inside if each.step is step))]
    for step in (Step.ELSEWHERE, Step.UPLOAD):
        if step in steps:
            return [Found(statement=statement, step=step)]
    whole = Step.ENVIRONMENT if inside and steps <= {Step.PRINTS, Step.ENVIRONMENT} else Step.OTHER
    return [Found(statement=statement, step=whole, rule="environment" if whole is Step.ENVIRONMENT else "")]


def _is_servant(found: Found) -> bool:
    text = found.statement.text
    return found.step is Step.PRINTS or bool(_SERVANTS.match(text)) or bool(re.match(r"(?:exit|return|break)\b", text))


def _simple(statement: Statement) -> Found:
    text = statement.text
    bare = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    rule = rule_of(bare)
    if rule is None:
        return Found(statement=statement, step=Step.OTHER)
    return Found(statement=statement, step=rule.step, rule=rule.name)


def _with_servants(found: list[Found]) -> list[Found]:
    """Give what only serves a step that step: the variables that it uses, and what looks at its answer."""
    users: dict[str, set[Step]] = {}
    givers: dict[str, Found] = {}
    for each in found:
        for name in {match["name"] for match in _USES.finditer(each.statement.text)}:
            users.setdefault(name, set()).add(each.step)
        assigned = _ASSIGNS.match(each.statement.text)
        if assigned:
            givers[assigned["name"] or assigned["read"]] = each
    functions = {name: each for each in found for name in _defines(each)}
    paths = {
        match["path"]: each
        for each in found
        if each.step in CREDENTIALS
        for match in _WRITTEN.finditer(each.statement.text)
    }
    return [_called(each, functions) or _of_file(each, paths) or _served(each, users, givers) for each in found]


def _defines(found: Found) -> list[str]:
    match = _FUNCTION.match(found.statement.text) if found.statement.block else None
    return [match["word"] or match["name"]] if match else []


def _called(each: Found, functions: dict[str, Found]) -> Found | None:
    """The call of a function of the script is there for what the function does."""
    if each.step is not Step.OTHER or each.statement.block:
        return None
    function = functions.get(each.statement.text.partition(" ")[0])
    return (
        replace(each, step=function.step, rule=function.rule) if function and function.step is not Step.OTHER else None
    )


def _of_file(each: Found, paths: dict[str, Found]) -> Found | None:
    """What only looks at the file of a credential, or protects it, goes with it."""
    if each.step not in {Step.OTHER, Step.PRINTS} or not _SERVANTS.match(each.statement.text):
        return None
    words = set(re.findall(r"[\w./${}~-]+", each.statement.text))
    giver = next((found for path, found in paths.items() if path in words), None)
    return replace(each, step=giver.step, rule="") if giver else None


def _served(each: Found, users: dict[str, set[Step]], givers: dict[str, Found]) -> Found:
    if each.step not in {Step.OTHER, Step.ENVIRONMENT, Step.PRINTS}:
        return each
    text = each.statement.text
    assigned = _ASSIGNS.match(text)
    if assigned:
        steps = users.get(assigned["name"] or assigned["read"], set()) - {Step.PRINTS}
        if len(steps) == 1 and steps <= _TAKES_ALONG:
            (step,) = steps
            return replace(each, step=step, rule="")
    if not _SERVANTS.match(text):
        return each
    used = [givers[name] for name in (match["name"] for match in _USES.finditer(text)) if name in givers]
    steps = {giver.step for giver in used}
    if used and len(steps) == 1 and steps <= _TAKES_ALONG:
        return replace(each, step=steps.pop(), rule="")
    return each

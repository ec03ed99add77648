"""What a repository remembers of its starter, and which of its answers have another name by now. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from septum.errors import StarterError
from septum.starting.answers import QUESTIONS, complete

if TYPE_CHECKING:
    from packaging.version import Version

FILE = ".copier-answers.yml"
"""Where a repository remembers its answers, and the version of its starter."""

_ADDRESS = re.compile(
    r"https://[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{1,5})?/[A-Za-z0-9_./~-]+\.git"
    r"|ssh://(?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{1,5})?/[A-Za-z0-9_./~-]+\.git"
    r"|git@[A-Za-z0-9][A-Za-z0-9.-]*:[A-Za-z0-9_./~-]+\.git",
    re.ASCII,
)
_TAG = re.compile(r"[0-9][0-9A-Za-z.+-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a repository remembers.

    Attributes:
        address: Of the repository that its starter is from.
        version: Of that starter.
        answers: To its questions.
    """

    address: str
    version: str
    answers: Mapping[str, Any]


def recorded(data: object) -> Recorded:
    """Read the content of `.copier-answers.yml`.

    Raises:
        StarterError: It is not what `septum new` writes.
        AnswerError: An answer in it cannot be taken.
    """
    if not isinstance(data, Mapping):
        raise StarterError(f"update: {FILE} holds no answers", fix=f"git checkout HEAD~ -- {FILE}")
    where, version = data.get("_src_path"), data.get("_commit")
    if not isinstance(where, str) or not is_address(where):
        raise StarterError(
            f"update: {FILE} does not say where the starter is from",
            evidence=f"_src_path: {str(where)[:100]!a}",
            fix="_src_path: https://gitlab.cern.ch/cms-analysis/general/septum.git",
        )
    if not isinstance(version, str) or not _TAG.fullmatch(version):
        raise StarterError(
            f"update: {FILE} does not say which version of the starter it is",
            evidence=f"_commit: {str(version)[:100]!a}",
            fix="_commit: the version of septum that made the repository, such as 0.1.0",
        )
    answers = {str(key): value for key, value in data.items() if not str(key).startswith("_")}
    known = {question.name for question in QUESTIONS}
    complete(str(answers.get("name", "")), {key: value for key, value in answers.items() if key in known})
    return Recorded(address=where, version=version, answers=answers)


def is_address(text: str) -> bool:
    """Whether a text is the address of a repository that Git fetches, without a password in it."""
    return _ADDRESS.fullmatch(text) is not None and "/../" not in text


def parse(text: str) -> Version:
    """A version, to compare.

    Raises:
        StarterError: It is none.
    """
    from packaging.version import InvalidVersion, Version

    try:
        if not _TAG.fullmatch(text):
            raise InvalidVersion(text)
        return Version(text)
    except InvalidVersion as error:
        raise StarterError(f"update: {text[:60]!a} is no version of septum", fix="--to 0.2.0") from error


def renamed(rules: object, old: Recorded, to: str) -> dict[str, Any]:
    """Answers that the newer starter asks for by another name.

    Args:
        rules: `_septum_renamed` of its `copier.yml`: versions, and the names before and from each of them on.
        old: What the repository remembers.
        to: The version of the newer starter.

    Returns:
        The answers by their new names.

    Raises:
        StarterError: The rules are not such a list.
    """
    found: dict[str, Any] = {}
    for version, before, after in _rules(rules):
        is_new = parse(old.version) < parse(version) <= parse(to)
        if is_new and before in {**old.answers, **found} and after not in old.answers:
            found[after] = found.pop(before) if before in found else old.answers[before]
    return found


def _rules(rules: object) -> list[tuple[str, str, str]]:
    keys = ("version", "from", "to")
    if not isinstance(rules or [], Sequence) or isinstance(rules, str):
        raise StarterError(
            "update: the newer starter has no list of names at _septum_renamed", fix="--to another version"
        )
    found = []
    for rule in rules or []:  # type: ignore[attr-defined]
        if not isinstance(rule, Mapping) or not all(isinstance(rule.get(key), str) for key in keys):
            raise StarterError(
                "update: the newer starter has an odd rule at _septum_renamed", fix="--to another version"
            )
        found.append((rule["version"], rule["from"], rule["to"]))
    return sorted(found, key=lambda rule: parse(rule[0]))

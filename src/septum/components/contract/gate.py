"""Whether a commit may follow the last release: the version, the changelog, and the policy of deprecation. Pure.

Semantic versioning as GitLab's catalog reads it: `@1` takes the newest 1.y.z, `@0.1` the newest 0.1.z. So before 1.0
the second number stands for what breaks, and the third for everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from septum.components.contract.change import Bump, Change, Kind
from septum.components.contract.diff import differences, smallest_bump
from septum.components.contract.situations import FORK, flat
from septum.components.contract.terms import ComponentTerms, Contract
from septum.components.model import Deprecation
from septum.errors import ContractError

KINDS: tuple[Kind, ...] = ("Added", "Changed", "Deprecated", "Removed")
_HEADING = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?", re.MULTILINE)
_NUMBER = "\0"
_BREAKS = frozenset({"Changed", "Removed"})
"""The sections that users read before they take a new version."""
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?(?:[-+.a-z][0-9A-Za-z.+-]*)?")


class Version(NamedTuple):
    """A version of the library; what is before a release counts as the release."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def version_from(text: str) -> Version:
    """Read `1.2.3`, `1.2` or `1.2.3-rc.1`.

    Raises:
        ContractError: It is none of these.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ContractError(f"contract: {text!r} is not a version", fix="write it as X.Y.Z")
    return Version(int(match[1]), int(match[2]), int(match[3] or 0))


def smallest_version(released: Version, bump: Bump | None) -> Version:
    """The smallest version that may follow a release.

    Args:
        released: The release.
        bump: What the changes since then ask for; None if there are none.
    """
    if bump is None:
        return released
    if released.major == 0:
        # 0.y.z: what breaks raises y, what does not raises z.
        bump = Bump.MINOR if bump is Bump.MAJOR else Bump.PATCH
    if bump is Bump.MAJOR:
        return Version(released.major + 1, 0)
    if bump is Bump.MINOR:
        return Version(released.major, released.minor + 1)
    return Version(released.major, released.minor, released.patch + 1)


def judge(old: Contract | None, new: Contract, changelog: str) -> tuple[str, ...]:
    """What stands against a commit.

    Args:
        old: The contract of the last release; None if there is none, and so nothing that could break.
        new: The contract of the commit.
        changelog: The text of `CHANGELOG.md`.

    Returns:
        One complaint a line, with what to do; empty if the commit may be released.
    """
    if old is None:
        return (*_forks(new), *_deprecations(None, new))
    changes = differences(old, new)
    return (*_forks(new), *_version(old, new, changes), *_silent(changes, old, changelog), *_deprecations(old, new))


def _forks(new: Contract) -> Iterator[str]:
    """No version is large enough for a CI job that runs the code of strangers."""
    for name, terms in new.components.items():
        for (given, situation), jobs in flat(terms.situations).items():
            if situation == FORK and jobs:
                names = ", ".join(f"`{job}`" for job in sorted(jobs))
                yield f"component `{name}` runs {names} in a {FORK} (with {given}): that must never be"


def _version(old: Contract, new: Contract, changes: Sequence[Change]) -> Iterator[str]:
    bump = smallest_bump(changes)
    needed = smallest_version(version_from(old.version), bump)
    if version_from(new.version) < needed:
        causes = [change.text for change in changes if change.bump is bump]
        because = f": {causes[0]}" + (f", and {len(causes) - 1} more" if causes[1:] else "") if causes else ""
        yield f"version {new.version} is too small after {old.version}; it must be at least {needed}{because}"


# ── the changelog ───────────────────────────────────────────────────────────────────────────────────────────────


def releases(changelog: str) -> tuple[Version, ...]:
    """The versions that the changelog gives a date, so that were or are being released, newest first."""
    dated = (match["name"] for match in _HEADING.finditer(changelog) if match["date"])
    return tuple(sorted((version_from(name) for name in dated if _VERSION.fullmatch(name)), reverse=True))


class Entry(NamedTuple):
    """One entry of the changelog.

    Attributes:
        text: In one line.
        section: The heading that it stands under, such as `Changed`; empty if there is none.
    """

    text: str
    section: str

    def says(self, change: Change) -> bool:
        """Whether it names what has changed, and breaks with an old promise as openly as it should."""
        names = _names(self.text)
        open_enough = change.bump < Bump.MAJOR or self.section in _BREAKS or self.text.startswith("- **Breaking")
        of_component = not change.component or bool({change.component, "*"} & names)
        return open_enough and of_component and change.subject in names


def entries_since(changelog: str, released: Version) -> tuple[Entry, ...]:
    """The entries about what is newer than a release, each as one line.

    Args:
        changelog: The text of `CHANGELOG.md`.
        released: The release. Counted are `[Unreleased]`, and the sections of later versions.
    """
    found: list[Entry] = []
    headings = [*_HEADING.finditer(changelog)]
    ends = [*(heading.start() for heading in headings[1:]), len(changelog)]
    for heading, end in zip(headings, ends, strict=False):
        name, section = heading["name"], ""
        if name == "Unreleased" or (_VERSION.fullmatch(name) and version_from(name) > released):
            for item in re.split(r"^(?=- |#)", changelog[heading.end() : end], flags=re.MULTILINE):
                if item.startswith("- "):
                    found.append(Entry(text=" ".join(item.split()), section=section))
                elif item.startswith("#"):
                    section = item.partition("\n")[0].strip("# ")
    return tuple(found)


def _silent(changes: Sequence[Change], old: Contract, changelog: str) -> Iterator[str]:
    entries = entries_since(changelog, version_from(old.version))
    unsaid = [change for change in changes if not any(entry.says(change) for entry in entries)]
    for bump in sorted(Bump, reverse=True):
        where = ", under Changed or Removed, or after **Breaking**" if bump is Bump.MAJOR else ""
        of_bump = [change for change in unsaid if change.bump is bump]
        yield from (f"CHANGELOG.md does not say{where}: {sentence}" for sentence in _sentences(of_bump))


def _names(entry: str) -> set[str]:
    """What an entry names in backticks; `*` if it speaks of all components. `wait: hops` names `wait`."""
    names = {span.split(":")[0].strip() for span in re.findall(r"`([^`]+)`", entry)}
    for stem, first, last in re.findall(r"`([^`]+-)(\d{1,3})` to `\1(\d{1,3})`", entry):
        names |= {f"{stem}{number}" for number in range(int(first), int(last) + 1)}
    if re.search(r"\b(all|every|each) components?\b", entry, re.IGNORECASE):
        names.add("*")
    return names


def skeleton(changes: Sequence[Change]) -> str:
    """The section of the changelog that names every change, in Markdown; to be put into words by a person."""
    lines: list[str] = []
    for kind in KINDS:
        of_kind = [change for change in changes if change.kind == kind]
        entries = [
            f"- {'**Breaking.** ' if bump is Bump.MAJOR else ''}{sentence[0].upper()}{sentence[1:]}."
            for bump in sorted(Bump, reverse=True)
            for sentence in _sentences([change for change in of_kind if change.bump is bump])
        ]
        if entries:
            lines += [f"### {kind}", "", *entries, ""]
    return "\n".join(["## [Unreleased]", "", *lines])


def _sentences(changes: Sequence[Change]) -> Iterator[str]:
    """The changes in words, each once: with all components, and all numbered CI jobs, that have it."""
    numbered: dict[tuple[str, str], list[int]] = {}
    for change in changes:
        text, number = _without_number(change)
        numbered.setdefault((change.component, text), []).extend(number)
    having: dict[str, list[str]] = {}
    for (component, text), numbers in numbered.items():
        for whole in _with_numbers(text, sorted(numbers)):
            having.setdefault(whole, []).append(component)
    for text, components in having.items():
        names = ", ".join(f"`{name}`" for name in components if name)
        yield f"component{'s' if components[1:] else ''} {names}: {text}" if names else text


def _without_number(change: Change) -> tuple[str, list[int]]:
    """The text about a numbered CI job, such as `hop-3`, with a place for the number; any other as it is."""
    stem, _, number = change.subject.rpartition("-")
    if change.thing == "CI job" and stem and number.isdigit():
        return change.text.replace(f"`{change.subject}`", f"`{stem}-{_NUMBER}`"), [int(number)]
    return change.text, []


def _with_numbers(text: str, numbers: Sequence[int]) -> list[str]:
    if len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return [re.sub(rf"`([^`]*){_NUMBER}`", rf"`\g<1>{numbers[0]}` to `\g<1>{numbers[-1]}`", text)]
    return [text.replace(_NUMBER, str(number)) for number in numbers] or [text]


# ── the policy of deprecation ───────────────────────────────────────────────────────────────────────────────────


def _deprecations(old: Contract | None, new: Contract) -> Iterator[str]:
    before: Mapping[str, ComponentTerms] = {} if old is None else old.components
    version = version_from(new.version)
    for name, terms in before.items():
        after = new.components.get(name)
        if after is None:
            yield from _removed(f"the component `{name}`", terms.deprecated, version)
            continue
        for entry in sorted(terms.inputs.keys() - after.inputs.keys()):
            what = f"the input `{entry}` of `{name}`"
            yield from _removed(what, terms.inputs[entry].deprecated, version)
    for name, terms in new.components.items():
        known = before.get(name)
        if terms.deprecated:
            known_as = known.deprecated if known else None
            yield from _announced(f"the component `{name}`", terms.deprecated, known_as, old, version)
        for entry, value in terms.inputs.items():
            if value.deprecated is None:
                continue
            what = f"the input `{entry}` of `{name}`"
            earlier = known.inputs[entry].deprecated if known and entry in known.inputs else None
            yield from _announced(what, value.deprecated, earlier, old, version)
            if value.mandatory:
                yield f"{what} is deprecated, and cannot be left out: give it a default"
            if entry not in terms.used:
                yield f"{what} is deprecated, and has no effect: it must work until it is removed"


def _removed(what: str, deprecated: Deprecation | None, version: Version) -> Iterator[str]:
    if deprecated is None:
        yield f"{what} is gone, and the last release did not say that it would go: deprecate it first"
    elif version_from(deprecated.removal) > version:
        yield f"{what} is gone with {version}, and was promised until {deprecated.removal}"


def _announced(
    what: str, now: Deprecation, earlier: Deprecation | None, old: Contract | None, version: Version
) -> Iterator[str]:
    removal = version_from(now.removal)
    if not now.instead.strip():
        yield f"{what} is deprecated without a word on what to take instead"
    if earlier is not None:
        if removal < version_from(earlier.removal):
            yield f"{what} was promised until {earlier.removal}, and is to go with {now.removal}"
        return
    if removal < smallest_version(version, Bump.MAJOR):
        yield (
            f"{what} is deprecated by {version}, and may not go before {smallest_version(version, Bump.MAJOR)}; "
            f"its removal says {now.removal}"
        )
    since = version_from(now.since)
    if since > version or (old is not None and since <= version_from(old.version)):
        yield f"{what} is deprecated by this version, and says since {now.since}: write {version}"

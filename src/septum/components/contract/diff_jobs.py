"""What has changed of one CI job: its artifacts, its lines, and every other keyword. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from septum.components.contract.change import Bump, Change, Changed, Finder, Kind, in_both, plain, short, shown
from septum.components.contract.terms import JobTerms
from septum.preview.rules import duration_s

_READERS = ("none", "maintainer", "developer", "all")
_PLACE = (
    ("image", "runs in the image"),
    ("stage", "is in the stage"),
    ("interruptible", "is interruptible:"),
    ("resource_group", "has the resource group"),
    ("environment", "has the environment"),
    ("inherit", "inherits"),
)
"""What is as before or breaks something, with the words for it."""
_SUPERVISED = "septum credentials run"
"""Gives credentials to a command, ends it in time, and takes them away."""


def job_changes(found: Finder, name: str, old: JobTerms, new: JobTerms, condition: str) -> Iterator[Change]:
    """The changes of a CI job, but for variables and when it runs.

    Args:
        found: Makes them.
        name: Its name, with the block for the prefix.
        old: As it was.
        new: As it is.
        condition: What stands behind its name, such as the option that chooses it.
    """

    def changed(bump: Bump, text: str, kind: Kind = "Changed") -> Change:
        return found("CI job", short(name), kind, bump, f"the CI job `{short(name)}`{condition} {text}")

    yield from _artifacts(changed, old, new)
    yield from _reports(changed, old.reports, new.reports)
    yield from _access(changed, old.access, new.access)
    if (old.retried, old.retries) != (new.retried, new.retries):
        yield changed(Bump.MINOR, f"is retried at most {new.retries} times, after {_exits(new.retried)}")
    if old.allowed != new.allowed:
        text = f"ends as a warning with {_allowed(new.allowed)}, and did with {_allowed(old.allowed)}"
        yield changed(Bump.MAJOR, text)
    yield from _id_tokens(changed, old.id_tokens, new.id_tokens)
    for key, words in _PLACE:
        before, after = getattr(old, key), getattr(new, key)
        if (type(before), before) != (type(after), after):
            yield changed(Bump.MAJOR, f"{words} {_told(after)} (before: {_told(before)})")
    yield from _lines(changed, "script", old.script, new.script)
    yield from _lines(changed, "after_script", old.after_script, new.after_script)
    if old.installs != new.installs:
        bump, word = (Bump.MINOR, "has lines") if new.installs else (Bump.MAJOR, "has no lines any more")
        yield changed(bump, f"{word} in `before_script`, which bring septum into an image without it")
    for key in sorted(old.others.keys() | new.others.keys()):
        if old.others.get(key) != new.others.get(key):
            bump = Bump.MINOR if key.startswith("retry:") else Bump.MAJOR
            yield changed(bump, f"has `{key}`: {_told(new.others.get(key))}, and had {_told(old.others.get(key))}")


def _artifacts(changed: Changed, old: JobTerms, new: JobTerms) -> Iterator[Change]:
    # To GitLab, a folder is the same with and without the slash.
    before, after = ({path.rstrip("/"): path for path in job.paths} for job in (old, new))
    for path in sorted(before.keys() - after.keys()):
        yield changed(Bump.MAJOR, f"leaves no `{plain(before[path])}` any more", "Removed")
    for path in sorted(after.keys() - before.keys()):
        yield changed(Bump.MINOR, f"leaves `{plain(after[path])}` as well", "Added")
    for path in sorted({*new.exclude} - {*old.exclude}):
        yield changed(Bump.MAJOR, f"leaves out `{plain(path)}` of its artifacts", "Removed")
    for path in sorted({*old.exclude} - {*new.exclude}):
        yield changed(Bump.MINOR, f"does not leave out `{plain(path)}` any more", "Added")
    if old.when != new.when:
        bump = Bump.MINOR if new.when == "always" else Bump.MAJOR
        yield changed(bump, f"leaves its artifacts `{new.when}`, and did `{old.when}`")
    if old.expose_as != new.expose_as:
        bump = Bump.MINOR if new.expose_as else Bump.MAJOR
        text = f"shows its artifacts in the merge request as '{new.expose_as}'"
        yield changed(bump, text if new.expose_as else "does not show its artifacts in the merge request any more")
    if old.artifact != new.artifact:
        yield changed(Bump.MINOR, f"calls its archive `{plain(new.artifact) or 'artifacts'}`")
    if old.expire_in != new.expire_in:
        bump = Bump.MINOR if _longer(old.expire_in, new.expire_in) else Bump.MAJOR
        yield changed(bump, f"keeps its artifacts {_told(new.expire_in)}, and kept them {_told(old.expire_in)}")


def _longer(old: str, new: str) -> bool:
    """Whether the artifacts are kept for longer, as far as that can be seen."""
    before, after = duration_s(old), duration_s(new)
    return before is not None and (new == "never" or (after is not None and after >= before))


def _lines(changed: Changed, key: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    if old == new:
        return
    before, after = "\n".join(old), "\n".join(new)
    lost = sorted(set(_kept(before)) - set(_kept(after)))
    if before.count(_SUPERVISED) > after.count(_SUPERVISED):
        yield changed(Bump.MAJOR, f"does not run its `{key}` under `{_SUPERVISED}` any more")
    elif lost:
        yield changed(Bump.MAJOR, f"does not give {', '.join(f'`{name}`' for name in lost)} to its `{key}` any more")
    else:
        yield changed(Bump.MINOR, f"has other lines in `{key}`")


def _kept(lines: str) -> list[str]:
    """The variables that a supervised command sees besides."""
    return re.findall(r"--keep[ =](\S+)", lines)


def _reports(changed: Changed, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for kind in sorted(old.keys() - new.keys()):
        yield changed(Bump.MAJOR, f"makes no {kind} report any more", "Removed")
    for kind in sorted(new.keys() - old.keys()):
        yield changed(Bump.MINOR, f"makes a {kind} report", "Added")
    for kind, before, after in in_both(old, new):
        if before != after:
            yield changed(Bump.MINOR, f"makes its {kind} report in `{plain(after)}`")


def _access(changed: Changed, old: str, new: str) -> Iterator[Change]:
    if old == new:
        return
    wider = _READERS.index(new) > _READERS.index(old)
    # Either somebody cannot read it any more, or somebody can read what was kept from them.
    more = "more people can read its artifacts" if wider else "fewer people can read its artifacts"
    yield changed(Bump.MAJOR, f"has the access `{new}`, and had `{old}`: {more}")


def _id_tokens(
    changed: Changed, old: Mapping[str, tuple[str, ...]], new: Mapping[str, tuple[str, ...]]
) -> Iterator[Change]:
    for variable in sorted(old.keys() - new.keys()):
        yield changed(Bump.MAJOR, f"has no id_token `{variable}` any more", "Removed")
    for variable in sorted(new.keys() - old.keys()):
        yield changed(Bump.MINOR, f"has an id_token `{variable}`", "Added")
    for variable, before, after in in_both(old, new):
        if before != after:
            yield changed(
                Bump.MAJOR, f"asks for the id_token `{variable}` with the audience `{plain(', '.join(after))}`"
            )


def _exits(codes: Sequence[int]) -> str:
    return "no exit code" if not codes else "exit code " + ", ".join(map(str, codes))


def _allowed(value: bool | tuple[int, ...]) -> str:  # noqa: FBT001 - it is GitLab's value
    if isinstance(value, bool):
        return "any exit code" if value else "no exit code"
    return _exits(value)


def _told(value: bool | str | None) -> str:  # noqa: FBT001 - it is GitLab's value
    return shown(plain(value) if isinstance(value, str) else value) if value not in {"", None} else "none"

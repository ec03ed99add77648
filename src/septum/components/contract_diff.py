"""From two contracts to what has changed, how large the next version must be, and what the changelog has to say. Pure.

How large a change is follows one question: can it break the pipeline of somebody who takes the newest version by
itself, as `@1` does, and edits nothing? Then it is a major one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol, TypeVar

from septum.components.contract import ComponentTerms, Contract, InputTerms, JobTerms
from septum.components.contract_forms import provably_wider

_PREFIX = "$[[ inputs.job-prefix ]]"
_READERS = ("none", "maintainer", "developer", "all")
_T = TypeVar("_T")

Kind = Literal["Added", "Changed", "Deprecated", "Removed"]
Thing = Literal["component", "input", "CI job", "variable", "error"]


class Bump(IntEnum):
    """Which number of the version a change raises, at least."""

    PATCH = 1
    MINOR = 2
    MAJOR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of the contract.

    Attributes:
        kind: The section of the changelog that it belongs to.
        bump: The smallest one that it allows.
        component: Which one; empty for the table of errors.
        thing: What has changed.
        subject: The name of it, which the changelog must name.
        text: A sentence for the changelog, without component and full stop.
    """

    kind: Kind
    bump: Bump
    component: str
    thing: Thing
    subject: str
    text: str


def differences(old: Contract, new: Contract) -> tuple[Change, ...]:
    """All changes from one contract to another, in the order of components and names."""
    return (*_components(old.components, new.components), *_errors(old.errors, new.errors))


def smallest_bump(changes: Sequence[Change]) -> Bump | None:
    """The largest of the smallest bumps; None without changes."""
    return max((change.bump for change in changes), default=None)


def _in_both(old: Mapping[str, _T], new: Mapping[str, _T]) -> Iterator[tuple[str, _T, _T]]:
    return ((name, old[name], new[name]) for name in sorted(old.keys() & new.keys()))


def _components(old: Mapping[str, ComponentTerms], new: Mapping[str, ComponentTerms]) -> Iterator[Change]:
    for name in sorted(new.keys() - old.keys()):
        yield Change(
            kind="Added", bump=Bump.MINOR, component=name, thing="component", subject=name, text="the component is new"
        )
    for name in sorted(old.keys() - new.keys()):
        yield Change(
            kind="Removed",
            bump=Bump.MAJOR,
            component=name,
            thing="component",
            subject=name,
            text="it does not exist any more",
        )
    for name, before, after in _in_both(old, new):
        found = _Finder(component=name)
        if before.deprecated is None and after.deprecated is not None:
            text = f"it goes with {after.deprecated.removal}; instead: {_clause(after.deprecated.instead)}"
            yield found("component", name, "Deprecated", Bump.MINOR, text)
        elif before.deprecated != after.deprecated:
            yield found("component", name, "Changed", Bump.MINOR, "its deprecation has changed")
        yield from _inputs(found, before, after)
        yield from _jobs(found, before, after)
        yield from _variables(found, before.variables, after.variables)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finder:
    """Makes the changes of one component."""

    component: str

    def __call__(self, thing: Thing, subject: str, kind: Kind, bump: Bump, text: str) -> Change:
        return Change(kind=kind, bump=bump, component=self.component, thing=thing, subject=subject, text=text)


class _Changed(Protocol):
    """Makes the changes of one input or CI job."""

    def __call__(self, bump: Bump, text: str, kind: Kind = "Changed", /) -> Change: ...


# ── inputs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _inputs(found: _Finder, old: ComponentTerms, new: ComponentTerms) -> Iterator[Change]:
    for name in sorted(new.inputs.keys() - old.inputs.keys()):
        if new.inputs[name].mandatory:
            text = f"the new input `{name}` must be given"
            yield found("input", name, "Added", Bump.MAJOR, text)
        else:
            text = f"the input `{name}` is new (default {_shown(new.inputs[name].default)})"
            yield found("input", name, "Added", Bump.MINOR, text)
    for name in sorted(old.inputs.keys() - new.inputs.keys()):
        gone = old.inputs[name].deprecated
        text = f"the input `{name}` does not exist any more" + (f"; instead: {_clause(gone.instead)}" if gone else "")
        yield found("input", name, "Removed", Bump.MAJOR, text)
    for name, before, after in _in_both(old.inputs, new.inputs):
        yield from _input(found, name, before, after, naming=name in old.naming | new.naming)
        if name in old.used and name not in new.used:
            yield found("input", name, "Changed", Bump.MAJOR, f"the input `{name}` has no effect any more")


def _input(found: _Finder, name: str, old: InputTerms, new: InputTerms, *, naming: bool) -> Iterator[Change]:
    def changed(bump: Bump, text: str, kind: Kind = "Changed") -> Change:
        return found("input", name, kind, bump, f"the input `{name}` {text}")

    if old.type != new.type:
        yield changed(Bump.MAJOR, f"is of type {new.type}, and was of type {old.type}")
    if new.mandatory and not old.mandatory:
        yield changed(Bump.MAJOR, f"must be given; its default was {_shown(old.default)}")
    elif old.mandatory and not new.mandatory:
        yield changed(Bump.MINOR, f"need not be given any more (default {_shown(new.default)})")
    elif (type(old.default), old.default) != (type(new.default), new.default):
        yield changed(*_default(old, new, naming=naming))
    if old.regex != new.regex:
        wider = provably_wider(old.regex, new.regex)
        yield changed(
            Bump.MINOR if wider else Bump.MAJOR,
            "allows more than before" if wider else "has another form, which may refuse what was allowed",
        )
    yield from _options(changed, old, new)
    yield from _deprecation(found, name, old, new)


def _default(old: InputTerms, new: InputTerms, *, naming: bool) -> tuple[Bump, str]:
    """Every value that was allowed still is, and one line keeps the old behaviour, so it is a minor change.

    But where the value stands in names of CI jobs or in paths of artifacts, others refer to it.
    """
    text = f"has the default {_shown(new.default)}, and had {_shown(old.default)}"
    if naming:
        return Bump.MAJOR, text + ", so CI jobs or artifacts have other names"
    return Bump.MINOR, text + "; to keep that, write it"


def _options(changed: _Changed, old: InputTerms, new: InputTerms) -> Iterator[Change]:
    # GitLab compares the options of a text as texts, so 1 is as good as '1'.
    before, after = set(map(str, old.options)), set(map(str, new.options))
    gone = [option for option in old.options if str(option) not in after]
    more = [option for option in new.options if str(option) not in before]
    if not old.options and new.options:
        yield changed(Bump.MAJOR, f"takes only {_listed(new.options)}")
    elif old.options and not new.options:
        yield changed(Bump.MINOR, "takes any value")
    elif gone:
        yield changed(Bump.MAJOR, f"does not take {_listed(gone)} any more")
    if old.options and more:
        yield changed(Bump.MINOR, f"takes {_listed(more)} as well")


def _deprecation(found: _Finder, name: str, old: InputTerms, new: InputTerms) -> Iterator[Change]:
    if new.deprecated is not None and old.deprecated is None:
        text = f"the input `{name}` goes with {new.deprecated.removal}; instead: {_clause(new.deprecated.instead)}"
        yield found("input", name, "Deprecated", Bump.MINOR, text)
    elif old.deprecated != new.deprecated:
        yield found("input", name, "Changed", Bump.MINOR, f"the deprecation of the input `{name}` has changed")


# ── CI jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _jobs(found: _Finder, old: ComponentTerms, new: ComponentTerms) -> Iterator[Change]:
    for name in sorted(new.jobs.keys() - old.jobs.keys()):
        yield found("CI job", _short(name), "Added", Bump.MINOR, f"the CI job `{_short(name)}` is new")
    for name in sorted(old.jobs.keys() - new.jobs.keys()):
        text = f"the CI job `{_short(name)}` does not exist any more"
        yield found("CI job", _short(name), "Removed", Bump.MAJOR, text)
    for name, before, after in _in_both(old.jobs, new.jobs):
        usual = list(_job(found, name, before, after, ""))
        yield from usual
        said = {change.text for change in usual}
        for choice in sorted(old.choices.keys() | new.choices.keys()):
            if not (_is_option(choice, old) and _is_option(choice, new)):
                continue  # the change of the options says it
            one = old.choices.get(choice, {}).get(name, before)
            two = new.choices.get(choice, {}).get(name, after)
            plain = {change.text for change in _job(found, name, one, two, "")}
            if not plain <= said:
                yield from _job(found, name, one, two, f" with `{choice.replace('=', ': ')}`")


def _is_option(choice: str, terms: ComponentTerms) -> bool:
    name, _, option = choice.partition("=")
    return name in terms.inputs and option in map(str, terms.inputs[name].options)


def _job(found: _Finder, name: str, old: JobTerms, new: JobTerms, condition: str) -> Iterator[Change]:
    short = _short(name)

    def changed(bump: Bump, text: str, kind: Kind = "Changed") -> Change:
        return found("CI job", short, kind, bump, f"the CI job `{short}`{condition} {text}")

    for path in sorted(set(old.paths) - set(new.paths)):
        yield changed(Bump.MAJOR, f"leaves no `{_plain(path)}` any more", "Removed")
    for path in sorted(set(new.paths) - set(old.paths)):
        yield changed(Bump.MINOR, f"leaves `{_plain(path)}` as well", "Added")
    yield from _reports(changed, old.reports, new.reports)
    if old.when != new.when:
        bump = Bump.MINOR if new.when == "always" else Bump.MAJOR
        yield changed(bump, f"leaves its artifacts `{new.when}`, and did `{old.when}`")
    yield from _access(changed, old.access, new.access)
    if old.expose_as != new.expose_as:
        bump = Bump.MINOR if new.expose_as else Bump.MAJOR
        shown = f"shows its artifacts in the merge request as '{new.expose_as}'"
        yield changed(bump, shown if new.expose_as else "does not show its artifacts in the merge request any more")
    if old.artifact != new.artifact:
        yield changed(Bump.MINOR, f"calls its archive `{_plain(new.artifact) or 'artifacts'}`")
    if (old.retried, old.retries) != (new.retried, new.retries):
        yield changed(Bump.MINOR, f"is retried at most {new.retries} times, after {_exits(new.retried)}")
    if old.allowed != new.allowed:
        text = f"ends as a warning with {_allowed(new.allowed)}, and did with {_allowed(old.allowed)}"
        yield changed(Bump.MAJOR, text)
    yield from _id_tokens(changed, old.id_tokens, new.id_tokens)


def _reports(changed: _Changed, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for kind in sorted(old.keys() - new.keys()):
        yield changed(Bump.MAJOR, f"makes no {kind} report any more", "Removed")
    for kind in sorted(new.keys() - old.keys()):
        yield changed(Bump.MINOR, f"makes a {kind} report", "Added")
    for kind, before, after in _in_both(old, new):
        if before != after:
            yield changed(Bump.MINOR, f"makes its {kind} report in `{_plain(after)}`")


def _access(changed: _Changed, old: str, new: str) -> Iterator[Change]:
    if old == new:
        return
    wider = _READERS.index(new) > _READERS.index(old)
    # Either somebody cannot read it any more, or somebody can read what was kept from them.
    more = "more people can read its artifacts" if wider else "fewer people can read its artifacts"
    yield changed(Bump.MAJOR, f"has the access `{new}`, and had `{old}`: {more}")


def _id_tokens(changed: _Changed, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for variable in sorted(old.keys() - new.keys()):
        yield changed(Bump.MAJOR, f"has no id_token `{variable}` any more", "Removed")
    for variable in sorted(new.keys() - old.keys()):
        yield changed(Bump.MINOR, f"has an id_token `{variable}`", "Added")
    for variable, before, after in _in_both(old, new):
        if before != after:
            yield changed(Bump.MAJOR, f"asks for the id_token `{variable}` with the audience `{_plain(after)}`")


# ── variables, errors ───────────────────────────────────────────────────────────────────────────────────────────


def _variables(found: _Finder, old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    """Lines of users see them, so one that goes may break these."""
    for name in sorted(set(new) - set(old)):
        yield found("variable", name, "Added", Bump.MINOR, f"the variable `{name}` is new in its CI jobs")
    for name in sorted(set(old) - set(new)):
        yield found("variable", name, "Removed", Bump.MAJOR, f"the variable `{name}` is not in its CI jobs any more")


def _errors(old: Mapping[str, int], new: Mapping[str, int]) -> Iterator[Change]:
    def change(code: str, kind: Kind, bump: Bump, text: str) -> Change:
        return Change(kind=kind, bump=bump, component="", thing="error", subject=code, text=text)

    for code in sorted(new.keys() - old.keys()):
        yield change(code, "Added", Bump.MINOR, f"the error `{code}` is new, with exit code {new[code]}")
    for code in sorted(old.keys() - new.keys()):
        text = f"the error `{code}` does not exist any more; its exit code was {old[code]}"
        yield change(code, "Removed", Bump.MAJOR, text)
    for code, before, after in _in_both(old, new):
        if before != after:
            yield change(code, "Changed", Bump.MAJOR, f"the exit code of `{code}` is {after}, and was {before}")


# ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _short(job: str) -> str:
    return job.removeprefix(_PREFIX)


def _plain(text: str) -> str:
    """A text with blocks, for people."""
    return text.replace("$[[ inputs.", "<").replace(" ]]", ">")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (list, tuple)):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{value}`" if value != "" else "empty"


def _listed(options: Sequence[object]) -> str:
    return ", ".join(_shown(option) for option in options)


def _exits(codes: Sequence[int]) -> str:
    return "no exit code" if not codes else "exit code " + ", ".join(map(str, codes))


def _allowed(value: bool | tuple[int, ...]) -> str:  # noqa: FBT001 - it is GitLab's value
    if isinstance(value, bool):
        return "any exit code" if value else "no exit code"
    return _exits(value)


def _clause(sentence: str) -> str:
    return sentence.strip().rstrip(".")

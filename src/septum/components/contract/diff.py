"""From two contracts to what has changed, how large the next version must be, and what the changelog has to say. Pure.

How large a change is follows one question: can it break the pipeline of somebody who takes the newest version by
itself, as `@1` does, and edits nothing? Then it is a major one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from septum.components.contract.change import (
    Bump,
    Change,
    Changed,
    Finder,
    Kind,
    clause,
    in_both,
    listed,
    short,
    shown,
)
from septum.components.contract.diff_jobs import job_changes
from septum.components.contract.diff_runs import situation_changes, variable_changes
from septum.components.contract.forms import provably_wider
from septum.components.contract.terms import ComponentTerms, Contract, InputTerms


def differences(old: Contract, new: Contract) -> tuple[Change, ...]:
    """All changes from one contract to another, in the order of components and names."""
    return (*_components(old.components, new.components), *_errors(old.errors, new.errors))


def smallest_bump(changes: Sequence[Change]) -> Bump | None:
    """The largest of the smallest bumps; None without changes."""
    return max((change.bump for change in changes), default=None)


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
    for name, before, after in in_both(old, new):
        found = Finder(component=name)
        if before.deprecated is None and after.deprecated is not None:
            text = f"it goes with {after.deprecated.removal}; instead: {clause(after.deprecated.instead)}"
            yield found("component", name, "Deprecated", Bump.MINOR, text)
        elif before.deprecated != after.deprecated:
            yield found("component", name, "Changed", Bump.MINOR, "its deprecation has changed")
        yield from _inputs(found, before, after)
        yield from _jobs(found, before, after)
        yield from variable_changes(found, before, after)
        yield from situation_changes(found, before, after)


# ── inputs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _inputs(found: Finder, old: ComponentTerms, new: ComponentTerms) -> Iterator[Change]:
    for name in sorted(new.inputs.keys() - old.inputs.keys()):
        if new.inputs[name].mandatory:
            text = f"the new input `{name}` must be given"
            yield found("input", name, "Added", Bump.MAJOR, text)
        else:
            text = f"the input `{name}` is new (default {shown(new.inputs[name].default)})"
            yield found("input", name, "Added", Bump.MINOR, text)
    for name in sorted(old.inputs.keys() - new.inputs.keys()):
        gone = old.inputs[name].deprecated
        text = f"the input `{name}` does not exist any more" + (f"; instead: {clause(gone.instead)}" if gone else "")
        yield found("input", name, "Removed", Bump.MAJOR, text)
    for name, before, after in in_both(old.inputs, new.inputs):
        yield from _input(found, name, before, after, naming=name in old.naming | new.naming)
        if name in old.used and name not in new.used:
            yield found("input", name, "Changed", Bump.MAJOR, f"the input `{name}` has no effect any more")


def _input(found: Finder, name: str, old: InputTerms, new: InputTerms, *, naming: bool) -> Iterator[Change]:
    def changed(bump: Bump, text: str, kind: Kind = "Changed") -> Change:
        return found("input", name, kind, bump, f"the input `{name}` {text}")

    if old.type != new.type:
        yield changed(Bump.MAJOR, f"is of type {new.type}, and was of type {old.type}")
    if new.mandatory and not old.mandatory:
        yield changed(Bump.MAJOR, f"must be given; its default was {shown(old.default)}")
    elif old.mandatory and not new.mandatory:
        yield changed(Bump.MINOR, f"need not be given any more (default {shown(new.default)})")
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
    text = f"has the default {shown(new.default)}, and had {shown(old.default)}"
    if naming:
        return Bump.MAJOR, text + ", so CI jobs or artifacts have other names"
    return Bump.MINOR, text + "; to keep that, write it"


def _options(changed: Changed, old: InputTerms, new: InputTerms) -> Iterator[Change]:
    # GitLab compares the options of a text as texts, so 1 is as good as '1'.
    before, after = set(map(str, old.options)), set(map(str, new.options))
    gone = [option for option in old.options if str(option) not in after]
    more = [option for option in new.options if str(option) not in before]
    if not old.options and new.options:
        yield changed(Bump.MAJOR, f"takes only {listed(new.options)}")
    elif old.options and not new.options:
        yield changed(Bump.MINOR, "takes any value")
    elif gone:
        yield changed(Bump.MAJOR, f"does not take {listed(gone)} any more")
    if old.options and more:
        yield changed(Bump.MINOR, f"takes {listed(more)} as well")


def _deprecation(found: Finder, name: str, old: InputTerms, new: InputTerms) -> Iterator[Change]:
    if new.deprecated is not None and old.deprecated is None:
        text = f"the input `{name}` goes with {new.deprecated.removal}; instead: {clause(new.deprecated.instead)}"
        yield found("input", name, "Deprecated", Bump.MINOR, text)
    elif old.deprecated != new.deprecated:
        yield found("input", name, "Changed", Bump.MINOR, f"the deprecation of the input `{name}` has changed")


# ── CI jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _jobs(found: Finder, old: ComponentTerms, new: ComponentTerms) -> Iterator[Change]:
    for name in sorted(new.jobs.keys() - old.jobs.keys()):
        yield found("CI job", short(name), "Added", Bump.MINOR, f"the CI job `{short(name)}` is new")
    for name in sorted(old.jobs.keys() - new.jobs.keys()):
        text = f"the CI job `{short(name)}` does not exist any more"
        yield found("CI job", short(name), "Removed", Bump.MAJOR, text)
    for name, before, after in in_both(old.jobs, new.jobs):
        usual = list(job_changes(found, name, before, after, ""))
        yield from usual
        said = {change.text for change in usual}
        for choice in sorted(old.choices.keys() | new.choices.keys()):
            if not (_is_option(choice, old) and _is_option(choice, new)):
                continue  # the change of the options says it
            one = old.choices.get(choice, {}).get(name, before)
            two = new.choices.get(choice, {}).get(name, after)
            plain = {change.text for change in job_changes(found, name, one, two, "")}
            if not plain <= said:
                yield from job_changes(found, name, one, two, f" with `{choice.replace('=', ': ')}`")


def _is_option(choice: str, terms: ComponentTerms) -> bool:
    name, _, option = choice.partition("=")
    return name in terms.inputs and option in map(str, terms.inputs[name].options)


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _errors(old: Mapping[str, int], new: Mapping[str, int]) -> Iterator[Change]:
    def change(code: str, kind: Kind, bump: Bump, text: str) -> Change:
        return Change(kind=kind, bump=bump, component="", thing="error", subject=code, text=text)

    for code in sorted(new.keys() - old.keys()):
        yield change(code, "Added", Bump.MINOR, f"the error `{code}` is new, with exit code {new[code]}")
    for code in sorted(old.keys() - new.keys()):
        text = f"the error `{code}` does not exist any more; its exit code was {old[code]}"
        yield change(code, "Removed", Bump.MAJOR, text)
    for code, before, after in in_both(old, new):
        if before != after:
            yield change(code, "Changed", Bump.MAJOR, f"the exit code of `{code}` is {after}, and was {before}")

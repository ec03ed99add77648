"""What has changed of when CI jobs run, and of what is in their environment. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from septum.components.contract.change import Bump, Change, Finder, Kind, plain, short, shown
from septum.components.contract.situations import flat
from septum.components.contract.terms import EXPANDED, ComponentTerms, Ran

_SHOWN = 2
"""So many rows of the table are named by a sentence; of the others only how many they are."""


# ── variables ───────────────────────────────────────────────────────────────────────────────────────────────────


def variable_changes(found: Finder, old: ComponentTerms, new: ComponentTerms) -> Iterator[Change]:
    """Lines of users see them, so one that goes may break these; those for git and the runner decide what there is."""
    jobs = sorted(old.jobs.keys() & new.jobs.keys())
    before, after = ({job: {**terms.shared, **terms.jobs[job].variables} for job in jobs} for terms in (old, new))
    for name in sorted({name for values in (*before.values(), *after.values()) for name in values}):
        pairs: dict[tuple[str | None, str | None], list[str]] = {}
        for job in jobs:
            pairs.setdefault((before[job].get(name), after[job].get(name)), []).append(short(job))
        if all(value is None for value, _ in pairs):
            yield found("variable", name, "Added", Bump.MINOR, f"the variable `{name}` is new in its CI jobs")
        elif all(value is None for _, value in pairs):
            text = f"the variable `{name}` is not in its CI jobs any more"
            yield found("variable", name, "Removed", Bump.MAJOR, text)
        else:
            yield from (_variable(found, name, *pair, where) for pair, where in pairs.items() if pair[0] != pair[1])


def _variable(found: Finder, name: str, old: str | None, new: str | None, jobs: list[str]) -> Change:
    where = ", ".join(f"`{job}`" for job in jobs)
    if old is None:
        return found("variable", name, "Added", Bump.MINOR, f"the variable `{name}` is in {where}, too")
    if new is None:
        return found("variable", name, "Removed", Bump.MAJOR, f"the variable `{name}` is not in {where} any more")
    fixed = name.startswith("SEPTUM_") and not any(text.startswith(EXPANDED) or "$[[" in text for text in (old, new))
    text = f"the variable `{name}` has the value {shown(plain(new))}, and had {shown(plain(old))}, in {where}"
    return found("variable", name, "Changed", Bump.MINOR if fixed else Bump.MAJOR, text)


# ── situations ──────────────────────────────────────────────────────────────────────────────────────────────────


def situation_changes(found: Finder, old: ComponentTerms, new: ComponentTerms) -> Iterator[Change]:
    """Of CI jobs that there were and are, in situations that both know; each sentence once, with where it holds."""
    before, after = flat(old.situations), flat(new.situations)
    known = {short(name) for name in old.jobs.keys() & new.jobs.keys()}
    where: dict[tuple[str, Kind, Bump, str], dict[str, list[str]]] = {}
    for given, situation in (place for place in after if place in before):
        one, two = before[given, situation], after[given, situation]
        for job in sorted((one.keys() | two.keys()) & known):
            for kind, bump, text in _job(one.get(job), two.get(job)):
                where.setdefault((job, kind, bump, text), {}).setdefault(given, []).append(situation)
    for (job, kind, bump, text), places in sorted(where.items(), key=lambda entry: (entry[0][0], entry[0][3])):
        yield found("CI job", job, kind, bump, f"the CI job `{job}` {text}: {_places(places)}")


def _job(old: Ran | None, new: Ran | None) -> Iterator[tuple[Kind, Bump, str]]:
    if new is None:
        yield "Removed", Bump.MAJOR, "does not run any more"
        return
    if old is None:
        yield "Added", Bump.MINOR, "runs as well"
        return
    if old.when != new.when:
        yield "Changed", Bump.MAJOR, f"starts `{new.when}`, and did `{old.when}`"
    elif old.start_in != new.start_in:
        yield "Changed", Bump.MINOR, f"starts after {shown(new.start_in)}, and did after {shown(old.start_in)}"
    if old.image != new.image:
        yield "Changed", Bump.MAJOR, f"runs in the image {shown(new.image)}, and did in {shown(old.image)}"
    if old.allowed != new.allowed:
        yield "Changed", Bump.MAJOR, "ends as a warning after other exit codes"
    yield from _needs(old.needs, new.needs)
    yield from _sets(old.sets, new.sets)


def _needs(old: tuple[str, ...] | None, new: tuple[str, ...] | None) -> Iterator[tuple[Kind, Bump, str]]:
    if (old is None) != (new is None):
        text = "waits for all earlier stages" if new is None else "does not wait for the earlier stages any more"
        yield "Changed", Bump.MAJOR, text
    for name in sorted({*(new or ())} - {*(old or ())}):
        yield "Changed", Bump.MAJOR, f"needs `{name}`"
    for name in sorted({*(old or ())} - {*(new or ())}):
        yield "Changed", Bump.MINOR, f"does not need `{name}` any more"


def _sets(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[Kind, Bump, str]]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield "Removed", Bump.MAJOR, f"has no `{name}` from its rule any more"
        elif old.get(name) != new[name]:
            yield "Changed", Bump.MINOR, f"has `{name}: {new[name]}` from its rule"


def _places(places: Mapping[str, list[str]]) -> str:
    said = [f"{', '.join(situations)} (with {given})" for given, situations in places.items()]
    return "; ".join(said[:_SHOWN]) + (f"; and {len(said) - _SHOWN} more" if said[_SHOWN:] else "")

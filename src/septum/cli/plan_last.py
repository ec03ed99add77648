"""What `septum plan` tells by the figures of the last run: rows for people, and GitLab's limit against the results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from septum.components.model import LOCAL

if TYPE_CHECKING:
    from septum.forecast import Asked, Expected, Last, Range
    from septum.plan import Plan
    from septum.stages import Options


def artifact_limit_of(options: Options) -> dict[str, Any]:
    """The largest artifact that GitLab takes, and who says so, for programs."""
    from septum.upload.forecast import artifact_limit

    limit = artifact_limit(options.environ)
    return {"limit_b": limit.size_b, "source": limit.source, "known": limit.known}


def last_rows(
    last: Last | None, told: Expected | None, ask: Asked | None, plan: Plan | None, options: Options
) -> list[tuple[str, str]]:
    """What the last run says of the plan, with a title for each; none where nothing is known.

    Args:
        last: The last run.
        told: What it says.
        ask: What the plan asks for, and
        plan: the plan; None where the parts are not known yet.
        options: The cluster, and the environment.
    """
    if last is None or told is None:
        return []
    return [*_run_rows(last, told, ask, plan, options), *_measured_rows(told), *_cost_rows(told, options)]


def _run_rows(
    last: Last, told: Expected, ask: Asked | None, plan: Plan | None, options: Options
) -> Iterator[tuple[str, str]]:
    """Which run it was, and what makes it another than the one that is planned."""
    from septum.units import count, show_duration

    took = f", {show_duration(last.took_s)} in all" if last.took_s is not None else ""
    place = last.cluster or "a cluster that it does not name"
    there = f"in a rehearsal of {place}" if last.rehearsed else f"on {place}"
    yield "run", f"{last.source}: {count(len(last.parts), 'part')} {there}{took}"
    if last.missing:
        yield "", f"{last.missing} more did not deliver, and do not count: what they took comes on top"
    if last.again:
        yield "", f"{last.again} were started more than once: what the tries before the last one took comes on top"
    if plan is not None and last.name and last.name != plan.name:
        yield "", f"of another analysis: {last.name}"
    if told.same is not None and ask is not None and told.same < ask.parts:
        yield "", f"{told.same} of {ask.parts} parts compute the same as then; the others are taken to be like those"
    if last.rehearsed and options.cluster != LOCAL:
        yield (
            "",
            f"a rehearsal is on one machine: workers of {options.cluster} may be faster or slower, and queues differ",
        )
    elif last.cluster and last.cluster != options.cluster and not last.rehearsed:
        yield "", f"measured on {last.cluster}: workers of {options.cluster} may be faster or slower, and queues differ"


def _measured_rows(told: Expected) -> Iterator[tuple[str, str]]:
    """What one part took."""
    from septum.units import show_duration, show_size

    if told.run_s is not None:
        yield "a part", f"runs {_between(told.run_s, show_duration)}"
    if told.wait_s is not None:
        yield "", f"waits {_between(told.wait_s, show_duration)}"
    if told.memory_b is not None:
        yield "", f"takes {_between(told.memory_b, show_size)} of memory"


def _cost_rows(told: Expected, options: Options) -> Iterator[tuple[str, str]]:
    """What all parts will take."""
    from septum.units import show_duration, show_size

    if (hours := told.core_hours) is not None:
        yield "core hours", f"about {show_hours(hours.mean)}, {show_hours(hours.low)} to {show_hours(hours.high)}"
    if told.elapsed_s is not None:
        low, high = (show_duration(value) for value in told.elapsed_s)
        span = low if low == high else f"{low} to {high}"
        yield (
            "how long",
            f"{span} from the first part to the last, if {told.at_once} run at a time"
            + (" as then" if options.cluster != LOCAL else ""),
        )
        if told.rest_s is not None:
            yield "", f"all else took {show_duration(told.rest_s)} then: to submit, to verify, to merge"
    if told.back_all_b is not None:
        yield "back", f"about {show_size(told.back_all_b.mean)} of outputs"
    yield from _result_row(told, options)


def _result_row(told: Expected, options: Options) -> Iterator[tuple[str, str]]:
    from septum.units import show_size
    from septum.upload.forecast import artifact_limit

    if told.results_b is None:
        return
    limit = artifact_limit(options.environ)
    low, high = told.results_b
    span = show_size(low) if low == high else f"{show_size(low)} to {show_size(high)}"
    more = "; that is more" if high > limit.size_b else ""
    yield "results", f"{span}; the artifact limit is {show_size(limit.size_b)} ({limit.source}){more}"


def _between(found: Range, shown: Any) -> str:
    if shown(found.low) == shown(found.high):
        return f"{shown(found.median)} (of {found.of})"
    return f"{shown(found.low)} to {shown(found.high)}, half of them up to {shown(found.median)} (of {found.of})"


def show_hours(hours: float) -> str:
    """Core hours; of few, two digits that count."""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"  # noqa: PLR2004 - three digits

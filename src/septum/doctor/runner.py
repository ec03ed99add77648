"""Runs checks: each one as soon as what it builds on has ended, beside the others, all by one deadline.

A check that raises is a failed check, and one that hangs is given up; neither stops the others.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from septum.doctor.report import Check, Outcome, Skip, failed, skipped
from septum.errors import StateError, TryAgainError

if TYPE_CHECKING:
    from septum.stages import Options

DEADLINE_S = 90.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user wants to know.

    Args:
        storage: URLs to read.
        needs_config: Whether `septum.yaml` must be there.
        stored_plan: Whether to take the plan of the state folder instead of making one.
    """

    storage: tuple[str, ...] = ()
    needs_config: bool = False
    stored_plan: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All that a check may look at.

    Args:
        options: The command's options, with the environment.
        asked: What the user wants to know.
        keep: Takes what must be open until the last check has ended.
        clock: Seconds since 1970.
        done: The checks that have ended, by name; None for one that does not apply.
        values: What they found, by name.
    """

    options: Options
    asked: Asked = field(default_factory=Asked)
    keep: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    clock: Callable[[], float] = time.time
    done: Mapping[str, Check | None] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment."""
        return self.options.environ

    def value(self, key: Key[T]) -> T | None:
        """What a check found; None if it did not end well."""
        found: T | None = self.values.get(key.name)
        return found

    def need(self, key: Key[T]) -> T:
        """The same for a check that is among the `needs`, so that it did."""
        found: T = self.values[key.name]
        return found


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """The name of a check, and the type of its value."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One check to be made.

    Args:
        name: Of the check.
        group: Of the check.
        run: Makes it; None if there is nothing to say. May raise anything; `Skip` if it cannot be tried.
        applies: Whether it is of interest; what it needs may be unknown.
        needs: Checks without whose success it makes no sense.
        after: Checks that it waits for, however they end.
    """

    name: str
    group: str
    run: Callable[[Context], Outcome | None]
    applies: Callable[[Context], bool] = lambda _: True
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def run(probes: Sequence[Probe], context: Context, *, deadline_s: float = DEADLINE_S) -> list[Check]:
    """Make all checks.

    Args:
        probes: What to check; each builds on earlier ones only.
        context: What they look at.
        deadline_s: How long all of them together may take.

    Returns:
        The checks that apply, in the order of the probes.
    """
    until = time.monotonic() + deadline_s
    done: dict[str, Check | None] = {}
    values: dict[str, Any] = {}
    running: set[str] = set()
    answers: queue.SimpleQueue[tuple[str, Outcome | None]] = queue.SimpleQueue()
    groups = {probe.name: probe.group for probe in probes}

    def end(name: str, outcome: Outcome | None) -> None:
        running.discard(name)
        done[name] = outcome.check(name, groups[name]) if outcome is not None else None
        if outcome is not None and outcome.value is not None:
            values[name] = outcome.value

    while len(done) < len(probes):
        for probe in probes:
            waits = any(name not in done for name in (*probe.needs, *probe.after))
            if probe.name in done or probe.name in running or waits:
                continue
            here = replace(context, done=dict(done), values=dict(values))
            if not probe.applies(here):
                end(probe.name, None)
            elif reason := _obstacle(probe, done):
                end(probe.name, skipped(reason))
            else:
                running.add(probe.name)
                _start(probe, here, answers)
        if not running:
            continue
        try:
            end(*answers.get(timeout=max(0.0, until - time.monotonic())))
        except queue.Empty:
            _give_up(probes, running, deadline_s, done, end)
    return [check for probe in probes if (check := done[probe.name]) is not None]


def _obstacle(probe: Probe, done: Mapping[str, Check | None]) -> str:
    """Why a check makes no sense; empty if it makes some."""
    for name in probe.needs:
        check = done[name]
        if check is not None and check.state in {"failed", "skipped"}:
            return f"because {name!r} {'failed' if check.state == 'failed' else 'was skipped'}"
    return ""


def _start(probe: Probe, context: Context, answers: queue.SimpleQueue[tuple[str, Outcome | None]]) -> None:
    def work() -> None:
        answers.put((probe.name, _outcome(probe, context)))

    # A daemon, so that one that never ends does not keep the process.
    threading.Thread(target=work, name=f"doctor {probe.name}", daemon=True).start()


def _outcome(probe: Probe, context: Context) -> Outcome | None:
    try:
        return probe.run(context)
    except Skip as reason:
        return skipped(str(reason))
    except OSError as error:
        said = f"{error.filename or 'a file'}: {(error.strerror or str(error)).lower()}"
        return failed(StateError(said, fix="check that the file or folder exists, and that this user may use it"))
    except BaseException as error:  # noqa: BLE001 - whatever a check does, the others go on
        return failed(error)


def _give_up(
    probes: Sequence[Probe],
    running: set[str],
    deadline_s: float,
    done: Mapping[str, Check | None],
    end: Callable[[str, Outcome | None], None],
) -> None:
    """Fail what still runs, and skip what has waited for it."""
    for name in sorted(running):
        late = TryAgainError(
            f"no answer within the {deadline_s:g} s that all checks have together",
            fix="try again; if it stays so, the service or the file system behind this check hangs",
        )
        end(name, failed(late))
    for probe in probes:
        if probe.name not in done:
            end(probe.name, skipped(_obstacle_of_late(probe, done)))


def _obstacle_of_late(probe: Probe, done: Mapping[str, Check | None]) -> str:
    known = {name: done[name] for name in probe.needs if name in done}
    return _obstacle(replace(probe, needs=tuple(known)), known) or "because no time was left"

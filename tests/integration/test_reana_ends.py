"""How runs on `reana` end that do not end by themselves: failed again and again, or cancelled in an odd moment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest

from septum.backends.reana import open_client
from septum.backends.reana.mending import MAX_IDLE_RESTARTS
from septum.facility.process import wait_until
from septum.states import JobState
from tests.fakes.reana import tools
from tests.integration.test_reana_backend import World, build, server

pytestmark = pytest.mark.skipif(bool(tools.unavailable()), reason=tools.unavailable() or "it runs")
__all__ = ["build", "server"]


def _fail(world: World, name: str) -> None:
    with contextlib.closing(open_client(world.profile, world.credentials)) as client:

        def status() -> str:
            # The server looks at its engines when it is asked.
            return next(each.status for each in client.find(name.partition(".")[0]) if each.full_name == name)

        assert wait_until(lambda: status() == "running", timeout_s=30, interval_s=0.2)
        world.server.kill_engine(name)
        assert wait_until(lambda: status() == "failed", timeout_s=30, interval_s=0.2)


def _runs(world: World) -> list[str]:
    """The runs of the workflow, whatever became of them."""
    return [one.full_name for one in world.server.store.workflows() if world.tag in str(one.specification)]


def test_a_workflow_that_fails_without_progress_is_given_up_with_the_engines_words(
    build: Callable[..., World],
) -> None:
    """After so many restarts, none of which brought a part to its end; and it is left alone then."""
    world = build("sleep 60", parts=2)
    backend = world.backend()
    name = world.submit(backend)[0].partition("/")[0]
    for restart in range(MAX_IDLE_RESTARTS + 1):
        _fail(world, name if restart == 0 else f"{name}.{restart}")
        reports = backend.poll(world.ids, everything=True)

    assert reports is not None
    assert {report.state for report in reports.values()} == {JobState.REMOVED}
    assert all(f"failed {MAX_IDLE_RESTARTS + 1} times" in report.reason for report in reports.values())
    assert not any(report.by_septum for report in reports.values())
    other = world.backend().poll(world.ids, everything=True)
    assert other is not None
    assert {report.state for report in other.values()} == {JobState.REMOVED}
    assert len(_runs(world)) == MAX_IDLE_RESTARTS + 1


@pytest.mark.parametrize("policy", ["delete", "keep"])
def test_a_failed_workflow_that_is_cancelled_is_not_started_again(build: Callable[..., World], policy: str) -> None:
    """Neither by the one that cancels, which asks what is left, nor by one that looks later."""
    world = build('[ "$PART_seed" = 0 ] || sleep 60; echo "$PART_seed" >out.txt', parts=3)
    backend = world.backend(reana_workspace=policy)
    name = world.submit(backend)[0].partition("/")[0]
    world.until(backend, lambda found: found["0000"].state is JobState.ENDED)
    _fail(world, name)

    backend.remove(None)

    assert backend.count() == 0
    reports = world.backend(reana_workspace=policy).poll(world.ids, everything=True)
    assert reports is not None
    assert {report.state for report in reports.values()} == {JobState.REMOVED}
    assert all(reports[part].given_up for part in ("0001", "0002"))
    assert len(_runs(world)) == 1


def test_who_asks_what_is_left_of_a_failed_workflow_starts_nothing(build: Callable[..., World]) -> None:
    """Only who awaits its parts does."""
    world = build("sleep 60", parts=2)
    backend = world.backend()
    name = world.submit(backend)[0].partition("/")[0]
    _fail(world, name)

    backend.count()
    backend.judge({})
    assert len(_runs(world)) == 1

    backend.poll(world.ids, everything=False)
    assert len(_runs(world)) == 2


def test_a_run_that_is_cancelled_as_it_starts_ends_in_time(build: Callable[..., World]) -> None:
    """Whatever REANA can do in that moment."""
    world = build("sleep 60")
    backend = world.backend()
    name = world.submit(backend)[0].partition("/")[0]
    began = time.monotonic()

    backend.remove(None)

    assert time.monotonic() - began < 15
    assert backend.count() == 0
    with contextlib.closing(open_client(world.profile, world.credentials)) as client:
        assert {each.status for each in client.find(name.partition(".")[0], deleted=True)} <= {"stopped", "deleted"}

"""How runs on `reana` end that do not end by themselves: failed again and again, or cancelled in an odd moment.

And how the same keys of `septum.yaml` and the same options end them as on `local`, by the command line.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from septum.backends.reana import open_client
from septum.backends.reana.mending import MAX_IDLE_RESTARTS
from septum.facility.process import wait_until
from septum.states import JobState
from tests.fakes.reana import tools
from tests.fakes.reana.handle import ReanaServer
from tests.fakes.reana.site import CLUSTER, VARIABLE, name_image, reana_profile
from tests.integration.test_reana_backend import World, build, server
from tests.workshop import Repository

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


# ── by the command line ─────────────────────────────────────────────────────────────────────────────────────────


def _repository(folder: Path, server: ReanaServer, script: str, *, more: str = "", **profile: str) -> Repository:
    """Four parts, whose script knows its number as $PART_n, on the server."""
    (folder / "clusters").mkdir(parents=True)
    rows = "".join(f"    - {{n: {number}}}\n" for number in range(4))
    (folder / "part.sh").write_text(f'{script}\necho "$PART_n" >out.txt\n')
    (folder / "septum.yaml").write_text(
        f"name: ends\ncommand: [sh, part.sh]\nparts:\n  list:\n{rows}inputs: [part.sh]\noutputs: [out.txt]\n"
        f"merge: {{all.txt: out.txt}}\n{more}"
    )
    name_image(folder)
    profile = {"poll-ceiling": "1 s", **{key.replace("_", "-"): value for key, value in profile.items()}}
    (folder / "clusters" / f"{CLUSTER}.yaml").write_text(reana_profile(server, **profile))
    return Repository(folder=folder, environ={VARIABLE: server.token})


def _manifest(repository: Repository) -> dict[str, Any]:
    told = json.loads((repository.result / "septum.json").read_text())
    assert isinstance(told, dict)
    return told


def _parts(repository: Repository) -> list[tuple[Any, ...]]:
    keys = ("id", "state", "attempts", "exit_code", "jobs", "cause")
    return [tuple(part.get(key) for key in keys) for part in _manifest(repository)["parts"]]


@pytest.mark.parametrize(
    ("script", "more", "words", "code"),
    [
        ('[ "$PART_n" != 1 ] || exit 5', "retries: 2\nkeep-failed-sandbox: 1 MB\n", (), 30),
        ('[ "$PART_n" != 1 ] || exit 5', "retries: 1\ntolerance: 1\n", (), 39),
        ('mkdir "HERE/$PART_n" || [ "$PART_n" != 1 ] || exit 0; [ "$PART_n" != 1 ] || exit 5', "retries: 2\n", (), 0),
        ("exit 3", "", ("--pilot",), 30),
        ("", "", ("--parts", "0001,0003"), 0),
    ],
    ids=["retries", "tolerance", "second-attempt", "pilot", "parts"],
)
def test_a_run_ends_as_on_local(
    server: ReanaServer, tmp_path: Path, script: str, more: str, words: Sequence[str], code: int
) -> None:
    """With the same exit code, the same facts of each part in the manifest, and the same files."""
    found = []
    for cluster in (CLUSTER, "local"):
        here = tmp_path / f"seen on {cluster}"
        here.mkdir()
        text = script.replace("exit 0", 'exec sh -c "echo 1 >out.txt"').replace("HERE", str(here))
        repository = _repository(tmp_path / cluster, server, text, more=more)
        done = repository.septum("run", "--cluster", cluster, *words)
        assert done.returncode == code, done.stdout
        files = sorted(str(path.relative_to(repository.result)) for path in repository.result.rglob("*"))
        found.append((_parts(repository), [name for name in files if "local" not in name]))

    assert found[0] == found[1]


def test_waves_follow_each_other_as_workflows(server: ReanaServer, tmp_path: Path) -> None:
    """Each as large as there is room for."""
    repository = _repository(tmp_path / "waves", server, "", max_jobs_per_owner="3")
    done = repository.septum("run", "--cluster", CLUSTER)

    assert done.returncode == 0, done.stdout
    assert "1 follow when there is room" in done.stdout
    assert len(_manifest(repository)["pages"]) == 2


@pytest.mark.parametrize("held", [True, False])
def test_a_cancelled_run_stays_cancelled_for_a_collect_that_comes_later(
    server: ReanaServer, tmp_path: Path, *, held: bool
) -> None:
    """By a signal, whether its workflow waits or runs; with nothing left here, too."""
    repository = _repository(tmp_path / "cancelled", server, "sleep 60")
    server.hold_queue(held)
    with repository.start("run", "--cluster", CLUSTER) as process:
        assert wait_until((repository.folder / ".septum" / "receipt.json").is_file, timeout_s=30, interval_s=0.1)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    server.hold_queue(held=False)
    assert process.returncode == 24, said
    (repository.folder / ".septum" / "run.sqlite").unlink()

    done = repository.septum("collect", "--cluster", CLUSTER)

    assert done.returncode == 32, done.stdout
    assert "the run was cancelled" in done.stdout


def test_a_part_without_memory_gets_more_in_another_workflow(server: ReanaServer, tmp_path: Path) -> None:
    """And only that part."""
    go = tmp_path / "go"
    more = "resources: {memory: 64 MB, memory-retries: [128 MB]}\n"
    script = f'while [ "$PART_n" = 1 ] && [ ! -e "{go}" ]; do sleep 0.1; done'
    repository = _repository(tmp_path / "memory", server, script, more=more)
    server.fail_step("part_0001")
    with repository.start("run", "--cluster", CLUSTER) as process:
        asked = [one for one in server.store.workflows() if "septum-ends" in one.name]

        def larger() -> bool:
            texts = [json.dumps(one.specification) for one in server.store.workflows() if one not in asked]
            return any("128Mi" in text for text in texts)

        assert wait_until(larger, timeout_s=60, interval_s=0.2)
        go.touch()
        said, _ = process.communicate(timeout=60)

    assert process.returncode == 0, said
    assert [part["jobs"] for part in _manifest(repository)["parts"]] == [1, 2, 1, 1]

"""Whatever happens to a run on REANA: its result is that of an undisturbed one, or there is none, and it says why."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fakes.reana.workspace import used_b
from tests.faults.analysis import copy_of
from tests.faults.faults import Strike
from tests.faults.reana import IDS, LIVE, Field, Row, Rows, Run, client, make_analysis, play
from tests.faults.reana_field import Servers, Watch
from tests.faults.run import sha256

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "what-happens-when.md"
ROWS = Rows()
_KILLED = -signal.SIGKILL
_LEDGER = "septum.ledger:Ledger"
_NO_ANSWER = "did not answer"
_AT_A_TIME = 5


# ── the server ──────────────────────────────────────────────────────────────────────────────────────────────────


@ROWS.add(says=[_NO_ANSWER], call_deadline="3 s")
def server_killed_while_collecting(run: Run) -> None:
    """It comes back at the same address; the steps went on meanwhile."""
    run.hold_back()
    run.submit()
    process = run.start("collect")
    run.until_begun()
    process.until("running")
    run.server.stop(kill=True)
    process.until(_NO_ANSWER)
    run.let_go()
    run.server.start()
    process.end()


@ROWS.add()
def server_errors_for_a_while(run: Run) -> None:
    """Of every kind of request, while it submits and while it collects."""
    run.server.fail_next("GET /api/workflows", 503, times=2)
    run.server.fail_next("upload_file", 502, times=2)
    run.submit()
    run.server.fail_next("*", 503, times=3)
    run.server.fail_next("download_file", 500, times=2)
    run.server.fail_next("get_files", 0, times=2)
    run.septum("collect")


@ROWS.add()
def answers_lost_while_submitting(run: Run) -> None:
    """The workflow was made, or started, and nobody was told."""
    run.server.fail_next("create_workflow", 502, after=True)
    assert _NO_ANSWER in run.septum("submit", code=20).said
    run.server.fail_next("start_workflow", 502, after=True)
    assert _NO_ANSWER in run.septum("submit", code=20).said
    run.submit()
    # What was started without an answer was stopped: all jobs of a submission, or none.
    assert len([status for status in run.statuses().values() if status in {*LIVE, "finished"}]) == 1
    run.septum("collect")


@ROWS.add()
def transfers_cut(run: Run) -> None:
    """Halves of files arrive: there, and here, and some of them look whole."""
    run.server.cut_upload(2)
    run.submit()
    run.until_ended()
    run.server.cut_download(2)
    run.server.cut_download(2, quiet=True)
    run.septum("collect")


# ── the token ───────────────────────────────────────────────────────────────────────────────────────────────────


@ROWS.add(lease="8 s", long=True)
def token_expired(run: Run) -> None:
    """Before submit, and while it collects; each time the variable gets a new one, and the CI job is retried."""
    run.token, old = secrets.token_urlsafe(16), run.token
    run.where.watch.secrets.add(run.token)
    refused = run.septum("submit", code=16)
    assert "does not take the token" in refused.said
    run.token = old
    run.change_profile(lease="10 min")
    run.hold_back()
    run.submit()
    run.change_profile(lease="8 s")
    process = run.start("collect")
    process.until("running")
    new = run.expire_token()
    assert process.end() == 75
    assert "does not take the token" in process.said
    run.token = new
    run.change_profile(lease="10 min")
    run.let_go()
    run.septum("collect")


# ── the workflow and its steps ──────────────────────────────────────────────────────────────────────────────────


@ROWS.add()
def engine_killed(run: Run) -> None:
    """The workflow has failed, though no part of it has."""
    run.hold_back("0003")
    run.submit()
    process = run.start("collect")
    run.until_begun("0003")
    run.server.kill_engine(run.first)
    run.until(lambda: f"{run.first}.1" in run.statuses())
    run.let_go()
    process.end()


@ROWS.add()
def step_lost_with_its_node(run: Run) -> None:
    """REANA ends the whole workflow for it."""
    run.hold_back()
    run.submit()
    run.until_begun()
    run.server.fail_step("part_0002", reason="Error")
    run.until(lambda: run.statuses()[run.first] == "failed")
    run.let_go()
    run.septum("collect")


@ROWS.add(code=33, says=["part 0001", "OOMKilled", "raise 'memory'"])
def step_killed_for_want_of_memory(run: Run) -> None:
    """The part has failed, and the others are whole."""
    run.hold_back("0001", "0002")
    run.submit()
    run.until_begun("0001", "0002")
    run.server.fail_step("part_0001")
    run.until(lambda: run.statuses()[run.first] == "failed")
    run.let_go()
    run.septum("collect")
    assert [part.state for part in run.manifest.parts].count("failed") == 1


@ROWS.add()
def workspace_pruned_before_the_fetch(run: Run) -> None:
    """The files are gone, and the workflow has finished: each part gets another job."""
    run.submit()
    run.until_ended()
    run.server.prune(run.first)
    process = run.septum("collect")
    assert process.said.count("gets job number 2") == len(IDS)


@ROWS.add(lease="10 s", long=True)
def septum_gone_for_good(run: Run) -> None:
    """Nobody moves the lease on: what runs ends itself, and a later collect runs those parts again."""
    run.hold_back("0000", "0001")
    run.submit()
    run.until_ended()
    run.check_nothing_runs()
    run.let_go()
    gone = run.septum("collect", code=32)
    assert "lease" in gone.said
    run.change_profile(lease="10 min")
    run.septum("submit")
    run.septum("collect")


# ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────


@ROWS.add()
def stopped_by_a_person(run: Run) -> None:
    """On the server's page, while it runs."""
    run.hold_back("0003")
    run.submit()
    process = run.start("collect")
    run.until_begun("0003")
    run.until(lambda: all(run.markers(part, "ended") for part in IDS[:3]))
    run.person("stop")
    assert process.end() == 32
    assert "stopped in REANA" in process.said
    run.check_nothing_runs()
    run.let_go()
    run.septum("collect")


@ROWS.add()
def deleted_by_a_person(run: Run) -> None:
    """On the server's page, with its workspace, before anything was fetched."""
    run.submit()
    run.until_ended()
    run.person("deleted", all_runs=False, workspace=True)
    assert "deleted in REANA" in run.septum("collect", code=32).said
    run.septum("submit")
    run.septum("collect")


@ROWS.add()
def quota_exceeded(run: Run) -> None:
    """When the workflow is made, while files are sent, and when it is started."""
    # The first is used up; of the second, there is room for the smallest files only, beside those of earlier rows.
    for limit_b, set_b, made in ((1, 2, []), (used_b(run.server.store) + 4096, None, ["deleted"])):
        run.server.set_quota("disk", limit=limit_b, used=set_b)
        assert "used up its quota" in run.septum("submit", code=21).said
        assert list(run.statuses().values()) == made
    run.server.store.set("quota", {})
    run.septum("submit", code=_KILLED, strikes=[client("start")])
    run.server.set_quota("cpu", limit=1, used=2)
    assert "used up its quota" in run.septum("submit", code=21).said
    run.server.store.set("quota", {})
    run.submit()
    run.septum("collect")


@ROWS.add(code=22, says=["has no compute backend slurmcern"], reana_compute_backend="slurmcern")
def compute_backend_not_offered(run: Run) -> None:
    """Nothing is made."""
    run.septum("submit")
    assert run.statuses() == {}


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────


@ROWS.add()
def submitted_twice_at_once(run: Run) -> None:
    """Two runners with the same CI job, each of which looks before the other one has made the workflow."""
    other = copy_of(run.repository, run.repository.folder.with_name("the other runner"))
    late = [client("create", pause_s=1.5)]
    both = [run.start("submit", strikes=late), run.start("submit", strikes=late, repository=other)]
    assert [process.end() for process in both] == [0, 0]
    assert len([status for status in run.statuses().values() if status != "deleted"]) == 1, run.statuses()
    run.septum("collect")


@ROWS.add()
def name_taken_by_others(run: Run) -> None:
    """By a workflow that is not septum's: it is neither used nor touched."""
    foreign = {"workflow": {"type": "serial", "specification": {"steps": []}}, "inputs": {}, "outputs": {}}
    made = run.ask("POST", "/api/workflows", body=foreign, workflow_name=run.name)["workflow_id"]
    run.submit()
    assert run.statuses()[run.first] == "created"
    run.septum("collect")
    assert run.statuses()[run.first] == "created"
    run.ask("PUT", f"/api/workflows/{made}/status", body={"all_runs": False, "workspace": True}, status="deleted")


@ROWS.add()
def leftover_of_an_earlier_try(run: Run) -> None:
    """It was made with other resources, and never started."""
    run.septum("submit", code=_KILLED, strikes=[client("start")])
    assert run.statuses() == {run.first: "created"}
    run.change_profile(default_memory="64 MB")
    run.submit()
    assert run.statuses()[run.first] == "deleted"
    run.septum("collect")


# ── septum itself ───────────────────────────────────────────────────────────────────────────────────────────────


@ROWS.add(long=True)
def submit_killed_at_every_step(run: Run) -> None:
    """When the workflow is made, while files are sent, before it is started and before anybody here knows of it."""
    run.server.cut_upload(1)
    cut = Strike(at="septum.backends.reana.transport:Transport._reason")
    for strike in (client("create", after=True), cut, client("upload", left=3), client("start")):
        run.septum("submit", code=_KILLED, strikes=[strike])
        assert run.statuses() == {run.first: "created"}
    run.septum("submit", code=_KILLED, strikes=[client("start", after=True)])
    assert "0 jobs submitted, 4 were there already" in run.septum("submit", code=0).said
    assert set(run.statuses()) == {run.first}
    run.septum("collect")


@ROWS.add(long=True)
def collect_killed_at_every_step(run: Run) -> None:
    """Before it looks, fetches, enters, and cleans up."""
    run.submit()
    run.until_ended()
    steps = [client("find"), client("files"), client("download", left=2), Strike(at=f"{_LEDGER}.store")]
    steps += [Strike(at=f"{_LEDGER}.finish", after=True), client("delete")]
    for strike in steps:
        run.septum("collect", code=_KILLED, strikes=[strike])
    run.septum("collect")


@ROWS.add(code=24, says=["SIGTERM: removing the jobs"])
def cancelled_while_running(run: Run) -> None:
    """The CI job is cancelled: the workflow is stopped."""
    run.hold_back()
    run.submit()
    process = run.start("collect")
    run.until_begun()
    process.until("running")
    process.kill(signal.SIGTERM)
    process.end()


@ROWS.add(code=24, says=["SIGTERM: removing the jobs"])
def cancelled_while_submitting(run: Run) -> None:
    """The workflow is there, and its files are not."""
    run.septum("submit", strikes=[client("upload", left=3, number=signal.SIGTERM)])


@ROWS.add(code=24, says=["SIGTERM: removing the jobs"])
def cancelled_before_the_answer_to_start(run: Run) -> None:
    """The workflow runs, and septum does not know it yet."""
    run.hold_back()
    run.septum("submit", strikes=[client("start", after=True, number=signal.SIGTERM)])
    assert "created" not in run.statuses().values()


@ROWS.add(code=32, says=["septum: removed by its run"])
def cancelled_while_queued(run: Run) -> None:
    """By another CI job, before the server has begun with it; REANA stops only what runs."""
    run.server.hold_queue()
    run.submit()
    other = copy_of(run.repository, run.repository.folder.with_name("another CI job"))
    process = run.start("collect")
    process.until("4 idle")
    run.septum("cancel", code=0, repository=other)
    run.server.hold_queue(held=False)
    run.check_nothing_runs()
    process.end()
    run.processes.sort(key=lambda each: each is process)


# ── the tests ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    """Looks for tokens in the arguments of all processes."""
    with Watch() as watching:
        yield watching


@pytest.fixture(scope="module")
def rows(
    request: pytest.FixtureRequest, watch: Watch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """All rows of this session, under way from now on."""
    wanted = [item.callspec.params.get("row") for item in request.session.items if hasattr(item, "callspec")]
    folder = tmp_path_factory.mktemp("reana-faults")
    analysis = make_analysis(folder / "template")
    undisturbed = copy_of(analysis, folder / "undisturbed")
    ran = undisturbed.septum("run", SEPTUM_CLUSTER="local", REANA_WORKSPACE=str(folder))
    assert ran.returncode == 0, ran.stdout
    where = Field(folder=folder, analysis=analysis, sha256=sha256(undisturbed.result / "all.root"), watch=watch)
    servers = Servers(folder)
    asked = sorted((row for row in ROWS if row in wanted), key=lambda row: not row.long)
    try:
        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            yield {row.name: threads.submit(play, row, where, servers) for row in asked}
    finally:
        servers.close()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_disturbed(row: Row, rows: dict[str, Future[None]]) -> None:
    """The result is that of the undisturbed run, or there is none and the exit code says why."""
    rows[row.name].result()


def test_no_token_stands_in_the_arguments_of_a_process(rows: dict[str, Future[None]], watch: Watch) -> None:
    """Neither of septum nor of anything that it starts, while any of the rows was under way."""
    for each in rows.values():
        each.exception()

    assert len(watch.secrets) > 1 or len(rows) < 2
    assert not rows or watch.looked
    assert watch.seen == []


def test_the_watch_sees_a_token() -> None:
    """One that stands in the arguments of a process for a second."""
    secret = secrets.token_urlsafe(16)
    with Watch() as watching:
        watching.secrets.add(secret)
        subprocess.run([sys.executable, "-I", "-S", "-c", "import time; time.sleep(1)", secret], check=True, timeout=30)
        time.sleep(0.3)

    assert any(secret in words for words in watching.seen)


def test_every_row_has_a_line() -> None:
    """On the page "What happens when …", which names it once."""
    named = re.findall(r"`integration/test_reana_faults\.py::(\w+)`", PAGE.read_text(encoding="utf-8"))

    assert sorted(named) == sorted(row.name for row in ROWS)

"""The ledger: transactions, transitions, and each output merged at most once."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from septum.errors import StateError
from septum.ledger import Ledger, StoredOutput
from septum.states import ALLOWED, PartState

PARTS = ("0000", "0001", "0002")
NOW_S = 1_700_000_000.0
# A way to each state, for the tests that begin there.
WAYS: dict[PartState, tuple[PartState, ...]] = {
    PartState.PLANNED: (),
    PartState.IDLE: (PartState.IDLE,),
    PartState.RUNNING: (PartState.IDLE, PartState.RUNNING),
    PartState.HELD: (PartState.IDLE, PartState.HELD),
    PartState.ENDED: (PartState.IDLE, PartState.ENDED),
    PartState.VERIFIED: (PartState.IDLE, PartState.ENDED, PartState.VERIFIED),
    PartState.MERGED: (PartState.IDLE, PartState.ENDED, PartState.VERIFIED, PartState.MERGED),
    PartState.FAILED: (PartState.FAILED,),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger stands."""
    return tmp_path / "run.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """A ledger of three parts."""
    with Ledger(path) as opened:
        opened.begin(plan_hash="abc", tag="t", parts=PARTS, now_s=NOW_S)
        yield opened


def _bring(ledger: Ledger, part: str, state: PartState) -> None:
    for step in WAYS[state]:
        ledger.move(part, step, now_s=NOW_S)


def _stored(part: str, output: int = 0) -> StoredOutput:
    return StoredOutput(part=part, output=output, path=f"{part}.{output}", size_b=5, sha256="ab")


def _states(ledger: Ledger) -> list[PartState]:
    return [row.state for row in ledger.rows()]


def _events(path: Path) -> int:
    with sqlite3.connect(path) as database:
        (count,) = database.execute("SELECT count(*) FROM event").fetchone()
    database.close()
    return int(count)


def _verified(ledger: Ledger, *parts: str) -> None:
    for part in parts:
        _bring(ledger, part, PartState.ENDED)
        ledger.store(part, [_stored(part)], now_s=NOW_S)


# ── the run ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_begin_enters_every_part_once(ledger: Ledger) -> None:
    """A second time changes nothing."""
    ledger.move("0001", PartState.IDLE, now_s=NOW_S)
    ledger.begin(plan_hash="abc", tag="t", parts=PARTS, now_s=NOW_S)

    assert [row.id for row in ledger.rows()] == list(PARTS)
    assert _states(ledger) == [PartState.PLANNED, PartState.IDLE, PartState.PLANNED]
    assert ledger.facts() == {"plan": "abc", "tag": "t"}


@pytest.mark.parametrize(("plan", "tag", "word"), [("other", "t", "plan"), ("abc", "other", "run")])
def test_a_ledger_belongs_to_one_run(ledger: Ledger, plan: str, tag: str, word: str) -> None:
    """Parts of two plans would be mixed, as their ids are the same."""
    with pytest.raises(StateError, match=f"another {word}") as caught:
        ledger.begin(plan_hash=plan, tag=tag, parts=["0000"], now_s=NOW_S)
    assert caught.value.fix
    assert len(ledger.rows()) == 3


def test_a_begin_that_breaks_enters_nothing(path: Path) -> None:
    """A ledger with half of the parts would make a whole result of them."""

    def parts() -> Iterator[str]:
        yield "0000"
        raise KeyboardInterrupt

    with Ledger(path) as ledger:
        with pytest.raises(KeyboardInterrupt):
            ledger.begin(plan_hash="abc", tag="t", parts=parts(), now_s=NOW_S)
        rows, facts = ledger.rows(), ledger.facts()

    assert (rows, facts) == ([], {})


def test_facts_and_events(ledger: Ledger, path: Path) -> None:
    """What is noted is found again, after closing too."""
    before = _events(path)
    ledger.note("lease", "17")
    ledger.note("lease", "18")
    ledger.event(NOW_S, "the schedd is silent")
    with Ledger(path) as again:
        facts = again.facts()

    assert facts["lease"] == "18"
    assert _events(path) == before + 1


def test_when_the_run_and_its_parts_began(path: Path) -> None:
    """The run with its first event, a part with its first job; a part that was submitted again waited from there."""
    with Ledger(path) as ledger:
        assert (ledger.began_s(), ledger.submitted_s()) == (None, {})
        ledger.begin(plan_hash="abc", tag="t", parts=PARTS, now_s=NOW_S)
        assert (ledger.began_s(), ledger.submitted_s()) == (NOW_S, {})
        ledger.move_all({part: (PartState.IDLE, {}) for part in PARTS[:2]}, now_s=NOW_S + 5.5)
        ledger.move("0000", PartState.HELD, now_s=NOW_S + 60)
        ledger.move("0000", PartState.IDLE, now_s=NOW_S + 120)
        ledger.move("0001", PartState.RUNNING, now_s=NOW_S + 130)
        ledger.event(NOW_S + 140, "the schedd is silent")
    with Ledger(path) as again:
        assert again.began_s() == NOW_S
        assert again.submitted_s() == {"0000": NOW_S + 5.5, "0001": NOW_S + 5.5}


def test_a_ledger_of_an_older_septum(path: Path) -> None:
    """It has no column for what a part took: nothing is guessed, and the fix says how to go on."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE part (id TEXT PRIMARY KEY, state TEXT NOT NULL, job TEXT, attempts INTEGER)")
        database.execute("INSERT INTO part VALUES ('0000', 'idle', '7.0', 1)")
    database.close()

    with Ledger(path) as ledger, pytest.raises(StateError, match="cannot be used") as caught:
        ledger.rows()
    assert "no such column" in caught.value.evidence
    assert "remove it" in caught.value.fix


# ── transitions ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("after", PartState)
@pytest.mark.parametrize("before", PartState)
def test_every_transition(ledger: Ledger, before: PartState, after: PartState) -> None:
    """Only what the table allows; staying is no change and no event."""
    _bring(ledger, "0001", before)
    if after is before:
        assert ledger.move("0001", after, now_s=NOW_S) is False
    elif after in ALLOWED[before]:
        assert ledger.move("0001", after, now_s=NOW_S) is True
    else:
        with pytest.raises(StateError, match=f"is {before.value} and cannot become {after.value}"):
            ledger.move("0001", after, now_s=NOW_S)
        after = before

    assert _states(ledger) == [PartState.PLANNED, after, PartState.PLANNED]


def test_facts_of_a_part_are_kept(ledger: Ledger) -> None:
    """Columns that are not named stay as they are, also when the state does not change."""
    ledger.move("0000", PartState.IDLE, now_s=NOW_S, job="7.0")
    ledger.move("0000", PartState.IDLE, now_s=NOW_S, host="node7", attempts=2)
    ledger.move(
        "0000", PartState.FAILED, now_s=NOW_S, cause="E301", message="it's", evidence='"x"', fix="?", exit_code=3
    )
    row = ledger.rows(PartState.FAILED)[0]

    assert (row.id, row.job, row.host, row.attempts) == ("0000", "7.0", "node7", 2)
    assert (row.cause, row.message, row.evidence, row.fix, row.exit_code) == ("E301", "it's", '"x"', "?", 3)


@pytest.mark.parametrize(
    "bad",
    [{"9999": (PartState.IDLE, {})}, {"0002": (PartState.MERGED, {})}, {"0002": (PartState.IDLE, {"no_column": 1})}],
    ids=["unknown part", "not allowed", "no such column"],
)
def test_a_failing_move_all_changes_nothing(ledger: Ledger, path: Path, bad: dict[str, Any]) -> None:
    """All or none: neither states nor facts nor events of the parts before."""
    before, events = ledger.rows(), _events(path)
    moves: dict[str, Any] = {"0000": (PartState.IDLE, {"job": "7.0"}), "0001": (PartState.FAILED, {}), **bad}

    with pytest.raises(StateError) as caught:
        ledger.move_all(moves, now_s=NOW_S)
    assert caught.value.fix
    assert ledger.rows() == before
    assert _events(path) == events


def test_move_all_counts_what_changed(ledger: Ledger) -> None:
    """So that a round without news is known as one."""
    ledger.move("0000", PartState.IDLE, now_s=NOW_S)

    assert ledger.move_all({part: (PartState.IDLE, {}) for part in PARTS}, now_s=NOW_S) == 2
    assert ledger.move_all({}, now_s=NOW_S) == 0


def test_counts_and_rows_by_state(ledger: Ledger) -> None:
    """States without parts are left out; rows are in the order of the plan."""
    ledger.move("0002", PartState.IDLE, now_s=NOW_S)
    ledger.move("0000", PartState.IDLE, now_s=NOW_S)

    assert ledger.counts() == {PartState.IDLE: 2, PartState.PLANNED: 1}
    assert [row.id for row in ledger.rows(PartState.IDLE)] == ["0000", "0002"]
    assert [row.id for row in ledger.rows(PartState.IDLE, PartState.PLANNED)] == list(PARTS)
    assert ledger.rows(PartState.HELD) == []


# ── outputs and results ─────────────────────────────────────────────────────────────────────────────────────────


def test_store(ledger: Ledger) -> None:
    """Outputs and state in one transaction."""
    _bring(ledger, "0001", PartState.ENDED)
    ledger.store("0001", [_stored("0001"), _stored("0001", 1)], now_s=NOW_S, host="node7", exit_code=0)

    assert ledger.outputs() == {("0001", 0): _stored("0001"), ("0001", 1): _stored("0001", 1)}
    assert ledger.rows(PartState.VERIFIED)[0].host == "node7"


def test_what_a_part_took(ledger: Ledger, path: Path) -> None:
    """CPU time with its fraction, and memory beyond 32 bits; None where nobody measured."""
    _bring(ledger, "0001", PartState.ENDED)
    ledger.move("0001", PartState.ENDED, now_s=NOW_S, memory_b=5 * 2**31)
    ledger.store("0001", [_stored("0001")], now_s=NOW_S, cpu_s=12.75, started_s=10, ended_s=20)
    with Ledger(path) as again:
        rows = again.rows()

    assert (rows[1].cpu_s, rows[1].memory_b) == (12.75, 5 * 2**31)
    assert (rows[1].started_s, rows[1].ended_s) == (10, 20)
    assert (rows[0].cpu_s, rows[0].memory_b) == (None, None)


@pytest.mark.parametrize("state", [state for state in PartState if state is not PartState.ENDED])
def test_only_an_ended_part_delivers(ledger: Ledger, state: PartState) -> None:
    """A second delivery, or one of a failed part, changes nothing."""
    _bring(ledger, "0001", state)

    with pytest.raises(StateError, match="not waiting for its outputs"):
        ledger.store("0001", [_stored("0001")], now_s=NOW_S)
    assert ledger.outputs() == {}
    assert ledger.rows()[1].state is state


def test_the_same_output_twice(ledger: Ledger) -> None:
    """The table has part and output as its key."""
    _bring(ledger, "0001", PartState.ENDED)

    with pytest.raises(StateError):
        ledger.store("0001", [_stored("0001"), _stored("0001")], now_s=NOW_S)
    assert ledger.outputs() == {}
    assert ledger.rows()[1].state is PartState.ENDED


def test_finish(ledger: Ledger) -> None:
    """Verified parts are merged, failed ones stay failed; one output may go into two results."""
    _verified(ledger, "0000", "0001")
    ledger.move("0002", PartState.FAILED, now_s=NOW_S)
    ledger.finish({"a.root": (0, ["0000", "0001"]), "b.root": (0, ["0001"])}, now_s=NOW_S)

    assert _states(ledger) == [PartState.MERGED, PartState.MERGED, PartState.FAILED]


def test_a_second_merge_of_the_same_output_is_refused(ledger: Ledger) -> None:
    """Also after a restart, and it changes nothing."""
    _verified(ledger, "0000", "0001")
    ledger.finish({"a.root": (0, ["0000"])}, now_s=NOW_S)

    with pytest.raises(StateError, match="not waiting to be merged") as caught:
        ledger.finish({"a.root": (0, ["0000"])}, now_s=NOW_S)
    assert caught.value.fix
    assert _states(ledger)[:2] == [PartState.MERGED] * 2


@pytest.mark.parametrize(
    ("merged", "words"),
    [
        ({"a.root": (0, ["0000", "0001", "0000"])}, "would be in a.root twice"),
        ({"b.root": (0, ["0001"]), "a.root": (0, ["0000", "0002"])}, "part 0002 is in a.root"),
        ({"a.root": (0, ["0000", "9999"])}, "part 9999 is in a.root"),
    ],
)
def test_a_wrong_finish_changes_nothing(
    ledger: Ledger, path: Path, merged: dict[str, tuple[int, list[str]]], words: str
) -> None:
    """A part twice, one that failed, one that does not exist."""
    _verified(ledger, "0000", "0001")
    ledger.move("0002", PartState.FAILED, now_s=NOW_S)

    with pytest.raises(StateError, match=words):
        ledger.finish(merged, now_s=NOW_S)
    assert _states(ledger) == [PartState.VERIFIED, PartState.VERIFIED, PartState.FAILED]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM merged").fetchone() == (0,)
    database.close()


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "content",
    [b"\0" * 4096, b"<html>503</html>" * 200, b"SQLite format 3\0" + b"\xff" * 4000],
    ids=["zeros", "page", "cut"],
)
def test_a_damaged_file_is_an_error_with_a_fix(path: Path, content: bytes) -> None:
    """No traceback, and the file stays for whoever wants to look at it."""
    path.write_bytes(content)

    with pytest.raises(StateError, match="cannot be used") as caught, Ledger(path) as ledger:
        ledger.begin(plan_hash="abc", tag="t", parts=PARTS, now_s=NOW_S)
    assert str(path) in str(caught.value)
    assert caught.value.fix
    assert path.read_bytes() == content


def test_damage_in_the_middle(ledger: Ledger, path: Path) -> None:
    """A page that was overwritten is noticed when it is read."""
    ledger.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    with pytest.raises(StateError), Ledger(path) as again:
        again.rows()


def test_a_state_that_nobody_knows_does_not_drop_out(ledger: Ledger, path: Path) -> None:
    """A part that vanished from the list would vanish from the result."""
    with sqlite3.connect(path) as database:
        database.execute("UPDATE part SET state = 'lost' WHERE id = '0001'")
    database.close()

    for look in (ledger.rows, ledger.counts, lambda: ledger.move("0001", PartState.IDLE, now_s=NOW_S)):
        with pytest.raises(StateError, match="is damaged"):
            look()


@pytest.mark.parametrize("where", ["folder", "missing/run.sqlite"])
def test_a_ledger_that_cannot_be_opened(tmp_path: Path, where: str) -> None:
    """A folder, or no folder."""
    (tmp_path / "folder").mkdir()

    with pytest.raises(StateError, match="cannot be used"):
        Ledger(tmp_path / where)


def test_the_ledger_is_one_file(ledger: Ledger, path: Path) -> None:
    """An artifact that is made at any moment holds all of it: no log beside it."""
    ledger.move("0000", PartState.IDLE, now_s=NOW_S)

    assert [item.name for item in path.parent.iterdir()] == ["run.sqlite"]


def _race(path: Path, number: int, barrier: Any, answers: Any) -> None:
    with Ledger(path) as ledger:
        barrier.wait(20)
        won = 0
        for part in (f"{index:04d}" for index in range(20)):
            try:
                ledger.store(part, [_stored(part)], now_s=NOW_S, host=f"p{number}")
                won += 1
            except StateError:
                continue
        answers.put(won)


def test_two_processes(path: Path) -> None:
    """Two collects on one ledger: each part is delivered once, by one of them."""
    with Ledger(path) as ledger:
        ledger.begin(plan_hash="abc", tag="t", parts=(f"{index:04d}" for index in range(20)), now_s=NOW_S)
        for row in ledger.rows():
            _bring(ledger, row.id, PartState.ENDED)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_race, args=(path, number, barrier, answers)) for number in range(2)]
    for process in processes:
        process.start()
    won = [answers.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(20)
    with Ledger(path) as ledger:
        delivered, states = len(ledger.outputs()), set(_states(ledger))

    assert sum(won) == delivered == 20
    assert states == {PartState.VERIFIED}

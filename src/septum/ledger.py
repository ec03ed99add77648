"""The ledger: one row a part, one row an event, in one SQLite file that travels as an artifact.

Every change is one transaction. A part's output enters the merge at most once: the table of merged outputs has the
part and the output as its key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.errors import DiskFullError, StateError
from septum.states import ALLOWED, MAY_BEGIN_AGAIN, PartState

if TYPE_CHECKING:
    from typing_extensions import Self

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run   (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS part  (id TEXT PRIMARY KEY, state TEXT NOT NULL, job TEXT,
                                  attempts INTEGER NOT NULL DEFAULT 0, exit_code INTEGER, cause TEXT, message TEXT,
                                  evidence TEXT, fix TEXT, host TEXT,
                                  started_s INTEGER, ended_s INTEGER,
                                  cpu_s REAL, memory_b INTEGER,
                                  jobs INTEGER NOT NULL DEFAULT 1, earlier INTEGER NOT NULL DEFAULT 0,
                                  asked_b INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS output(part TEXT NOT NULL REFERENCES part(id), output INTEGER NOT NULL, path TEXT NOT NULL,
                                  size_b INTEGER NOT NULL, sha256 TEXT NOT NULL,
                                  PRIMARY KEY (part, output)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS merged(part TEXT NOT NULL, output INTEGER NOT NULL, result TEXT NOT NULL,
                                  PRIMARY KEY (part, output, result)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (number INTEGER PRIMARY KEY, time_s REAL NOT NULL,
                                  part TEXT, state TEXT, note TEXT);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One part as the ledger knows it. Times are seconds since the epoch, on the worker's clock; CPU time is in s.

    Attributes:
        attempts: How often the part has been started, by all of its jobs.
        jobs: How many jobs it has had, the present one included.
        earlier: The attempts of the jobs before the present one.
        asked_b: The memory that the present job asks for; None for what the plan says.
    """

    id: str
    state: PartState
    job: str | None
    attempts: int
    exit_code: int | None
    cause: str | None
    message: str | None
    evidence: str | None
    fix: str | None
    host: str | None
    started_s: int | None
    ended_s: int | None
    cpu_s: float | None = None
    memory_b: int | None = None
    jobs: int = 1
    earlier: int = 0
    asked_b: int | None = None


_COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutput:
    """One output that has been fetched; `path` is relative to the folder of the outputs."""

    part: str
    output: int
    path: str
    size_b: int
    sha256: str


ENDED = "ended"
"""The fact that the run has ended: no job of it waits or runs. Its value is the code of the error, or 0."""


class Ledger:
    """The ledger of one run.

    Raises:
        StateError: From every method, when the file is damaged or a change is not allowed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._guarded():
            # No write-ahead log: the ledger must be one whole file at any moment that an artifact is made of it.
            self._database = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._database.execute("PRAGMA journal_mode = DELETE")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "disk is full" in str(error):
                raise DiskFullError(
                    f"disk: no room for {self._path}",
                    evidence=str(error),
                    fix="make room, and try again: what is here already stays",
                ) from error
            raise StateError(
                f"ledger: {self._path} cannot be used",
                evidence=f"{type(error).__name__}: {error}",
                fix="remove it; septum finds the run again by its tag",
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guarded():
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                # A signal may come before the first line has an effect; a full disk ends a transaction by itself.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    # ── the run ─────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, *, plan_hash: str, tag: str, parts: Iterable[str], now_s: float) -> None:
        """Enter all parts of a plan; does nothing when they are there already.

        Raises:
            StateError: The ledger belongs to another plan or run.
        """
        wanted = {"plan": plan_hash, "tag": tag}
        with self._transaction() as database:
            present = dict(database.execute("SELECT key, value FROM run"))
            for key, value in wanted.items():
                if key in present and present[key] != value:
                    raise StateError(
                        f"ledger: {self._path} belongs to another {'plan' if key == 'plan' else 'run'}",
                        evidence=f"{key} {present[key]}, now {value}",
                        fix=f"remove the folder {self._path.parent} to begin anew",
                    )
            if "plan" in present:
                return
            database.executemany("INSERT INTO run VALUES (?, ?)", wanted.items())
            database.executemany(
                "INSERT INTO part (id, state) VALUES (?, ?)", ((part, PartState.PLANNED.value) for part in parts)
            )
            self._event(database, now_s, None, None, "begun")

    def facts(self) -> dict[str, str]:
        """The run's own facts: `plan`, `tag`, and what `note` stored."""
        with self._guarded():
            return dict(self._database.execute("SELECT key, value FROM run"))

    def note(self, key: str, value: str) -> None:
        """Store a fact of the run."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (key, value))

    def forget(self, key: str) -> None:
        """Take a fact of the run back."""
        with self._transaction() as database:
            database.execute("DELETE FROM run WHERE key = ?", (key,))

    def began_s(self) -> float | None:
        """When the run began, by septum's clock."""
        with self._guarded():
            found = self._database.execute("SELECT min(time_s) FROM event").fetchone()
        return None if found is None or found[0] is None else float(found[0])

    def submitted_s(self) -> dict[str, float]:
        """When the job of each part entered the queue, by septum's clock."""
        with self._guarded():
            found = self._database.execute(
                "SELECT part, min(time_s) FROM event WHERE state = ? GROUP BY part", (PartState.IDLE.value,)
            ).fetchall()
        return {str(part): float(time_s) for part, time_s in found}

    def event(self, now_s: float, note: str) -> None:
        """Record something that happened to the run as a whole."""
        with self._transaction() as database:
            self._event(database, now_s, None, None, note)

    @staticmethod
    def _event(
        database: sqlite3.Connection, now_s: float, part: str | None, state: str | None, note: str | None
    ) -> None:
        database.execute(
            "INSERT INTO event (time_s, part, state, note) VALUES (?, ?, ?, ?)", (now_s, part, state, note)
        )

    # ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def rows(self, *states: PartState) -> list[Row]:
        """The parts in the given states (all without), in the order of the plan."""
        # All parts without a condition: one whose state was damaged must not drop out.
        marks = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        with self._guarded():
            found = self._database.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM part {marks} ORDER BY id",  # noqa: S608 - question marks only
                [state.value for state in states],
            ).fetchall()
        return [Row(**{**dict(zip(_COLUMNS, row, strict=True)), "state": self._state(row[1])}) for row in found]

    def _state(self, text: object) -> PartState:
        try:
            return PartState(text)
        except ValueError as error:
            raise StateError(
                f"ledger: {self._path} is damaged",
                evidence=str(error),
                fix="remove it; septum finds the run again",
            ) from error

    def counts(self) -> dict[PartState, int]:
        """How many parts are in each state; states without parts are left out."""
        with self._guarded():
            found = self._database.execute("SELECT state, count(*) FROM part GROUP BY state").fetchall()
        return {self._state(state): number for state, number in found}

    def move(self, part: str, state: PartState, *, now_s: float, **facts: Any) -> bool:
        """Bring one part into another state; see `move_all`."""
        return self.move_all({part: (state, facts)}, now_s=now_s) == 1

    def move_all(self, moves: Mapping[str, tuple[PartState, Mapping[str, Any]]], *, now_s: float) -> int:
        """Bring parts into other states, all or none.

        Args:
            moves: Part to its new state and further columns (`job`, `exit_code`, `cause`, `message`, …).
            now_s: The time of the events.

        Returns:
            How many parts changed their state; those that were there already do not count.

        Raises:
            StateError: A part is unknown, or its state may not be followed by the new one.
        """
        changed = 0
        with self._transaction() as database:
            for part, (state, facts) in moves.items():
                found = database.execute("SELECT state FROM part WHERE id = ?", (part,)).fetchone()
                if found is None:
                    raise StateError(
                        f"ledger: there is no part {part}", fix="the plan and the ledger do not belong together"
                    )
                before = self._state(found[0])
                if before is not state:
                    if state not in ALLOWED[before]:
                        raise StateError(
                            f"ledger: part {part} is {before.value} and cannot become {state.value}",
                            fix="please report this: it is a mistake in septum",
                        )
                    changed += 1
                    self._event(database, now_s, part, state.value, facts.get("message"))
                columns = {"state": state.value, **facts}
                assignments = ", ".join(f"{column} = ?" for column in columns)
                database.execute(
                    f"UPDATE part SET {assignments} WHERE id = ?",  # noqa: S608 - names of our own columns
                    (*columns.values(), part),
                )
        return changed

    def begin_again(self, parts: Mapping[str, str], *, now_s: float, asked_b: int | None = None) -> None:
        """Give up the jobs of parts: they are planned again, and what is known of the old jobs stays in the events.

        Args:
            parts: Part to the reason.
            now_s: The time of the events.
            asked_b: The memory that the new job shall ask for; None leaves it as it was.

        Raises:
            StateError: A part's outputs have been taken in already.
        """
        with self._transaction() as database:
            for part, reason in parts.items():
                state = self._state(database.execute("SELECT state FROM part WHERE id = ?", (part,)).fetchone()[0])
                if state not in MAY_BEGIN_AGAIN:
                    raise StateError(
                        f"ledger: part {part} is {state.value} and cannot begin again",
                        fix="please report this: it is a mistake in septum",
                    )
                database.execute(
                    "UPDATE part SET state = 'planned', jobs = jobs + 1, earlier = attempts, job = NULL, "
                    "exit_code = NULL, cause = NULL, message = NULL, evidence = NULL, fix = NULL, host = NULL, "
                    "asked_b = coalesce(?, asked_b) WHERE id = ?",
                    (asked_b, part),
                )
                self._event(database, now_s, part, PartState.PLANNED.value, reason)

    def store(self, part: str, outputs: Iterable[StoredOutput], *, now_s: float, **facts: Any) -> None:
        """Record that all outputs of a part are here and whole: the part becomes verified."""
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO output VALUES (?, ?, ?, ?, ?)",
                [(item.part, item.output, item.path, item.size_b, item.sha256) for item in outputs],
            )
            columns = {"state": PartState.VERIFIED.value, **facts}
            assignments = ", ".join(f"{column} = ?" for column in columns)
            done = database.execute(
                f"UPDATE part SET {assignments} WHERE id = ? AND state = ?",  # noqa: S608 - names of our own columns
                (*columns.values(), part, PartState.ENDED.value),
            )
            if done.rowcount != 1:
                raise StateError(f"ledger: part {part} is not waiting for its outputs", fix="please report this")
            self._event(database, now_s, part, PartState.VERIFIED.value, None)

    def reopen(self, *, now_s: float) -> None:
        """Take back the entry of results whose run has not ended: septum was killed before it had cleaned up."""
        with self._transaction() as database:
            database.execute("DELETE FROM merged")
            database.execute("UPDATE part SET state = 'verified' WHERE state = 'merged'")
            self._event(database, now_s, None, None, "reopened")

    def outputs(self) -> dict[tuple[str, int], StoredOutput]:
        """All outputs that have been fetched and verified, by part and number of the output."""
        with self._guarded():
            found = self._database.execute("SELECT part, output, path, size_b, sha256 FROM output").fetchall()
        names = ("part", "output", "path", "size_b", "sha256")
        items = [StoredOutput(**dict(zip(names, row, strict=True))) for row in found]
        return {(item.part, item.output): item for item in items}

    def stored(self) -> tuple[int, int]:
        """How many parts have verified outputs, and how many bytes these are."""
        with self._guarded():
            found = self._database.execute("SELECT count(DISTINCT part), coalesce(sum(size_b), 0) FROM output")
            parts, size_b = found.fetchone()
        return int(parts), int(size_b)

    def finish(self, merged: Mapping[str, tuple[int, Iterable[str]]], *, now_s: float) -> None:
        """Record the results, in one transaction: result to the output's number and the parts that are in it.

        Raises:
            StateError: An output would enter a result twice, or a part is not verified.
        """
        with self._transaction() as database:
            verified = [part for (part,) in database.execute("SELECT id FROM part WHERE state = 'verified'")]
            known = set(verified)
            for result, (output, parts) in merged.items():
                rows = [(part, output, result) for part in parts]
                if strange := [part for part, _, _ in rows if part not in known]:
                    raise StateError(
                        f"ledger: part {strange[0]} is in {result} and is not waiting to be merged",
                        fix="do not use the result; remove the state folder and run again",
                    )
                try:
                    database.executemany("INSERT INTO merged VALUES (?, ?, ?)", rows)
                except sqlite3.IntegrityError as error:
                    raise StateError(
                        f"ledger: an output would be in {result} twice",
                        evidence=str(error),
                        fix="do not use the result, and please report this",
                    ) from error
            database.execute("UPDATE part SET state = 'merged' WHERE state = 'verified'")
            for part in verified:
                self._event(database, now_s, part, PartState.MERGED.value, None)

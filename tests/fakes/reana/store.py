"""What the server remembers: one SQLite file and a folder for each run, which outlive the server.

The handle of the tests opens the same file from another process, to plan faults and to read what was asked.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

USER = "00000000-0000-4000-8000-000000000001"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS workflows (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, name TEXT NOT NULL, major INTEGER NOT NULL,
  minor INTEGER NOT NULL, status TEXT NOT NULL, specification TEXT NOT NULL, parameters TEXT NOT NULL DEFAULT '{}',
  options TEXT NOT NULL DEFAULT '{}', workspace TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL,
  stopped REAL, pid INTEGER NOT NULL DEFAULT 0, birth TEXT NOT NULL DEFAULT '', UNIQUE (name, major, minor));
CREATE TABLE IF NOT EXISTS requests (
  number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, route TEXT NOT NULL, target TEXT NOT NULL,
  status INTEGER NOT NULL, received INTEGER NOT NULL, sent INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS faults (
  number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, route TEXT NOT NULL, status INTEGER NOT NULL,
  times INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS mistakes (
  number INTEGER PRIMARY KEY AUTOINCREMENT, ours INTEGER NOT NULL, words TEXT NOT NULL);
"""
_COLUMNS = (
    "id, name, major, minor, status, specification, parameters, options, workspace, created, started, ended, stopped,"
    " pid, birth"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One run of a workflow, as it is in the file."""

    id: str
    name: str
    major: int
    minor: int
    status: str
    specification: Mapping[str, Any]
    parameters: Mapping[str, Any]
    options: Mapping[str, Any]
    workspace: Path
    created: float
    started: float | None
    ended: float | None
    stopped: float | None
    pid: int
    birth: str

    @property
    def run(self) -> str:
        """The number of the run; `1.2` is the second restart of the first."""
        return f"{self.major}.{self.minor}" if self.minor else str(self.major)

    @property
    def full_name(self) -> str:
        """The name with the number."""
        return f"{self.name}.{self.run}"

    @property
    def type(self) -> str:
        """`serial` or `snakemake`."""
        return str(self.specification["workflow"]["type"])


@dataclass(slots=True, kw_only=True)
class Diary:
    """What an engine has written so far."""

    offset: int = 0
    run: str = ""
    began: float | None = None
    ended: float | None = None
    words: str = ""
    total: int = 0
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def ids(self, status: str) -> list[str]:
        """The jobs of one status."""
        return [one for one, job in self.jobs.items() if job["status"] == status]

    def add(self, event: dict[str, Any]) -> None:
        """Take one event in."""
        if "job" in event:
            self.jobs.setdefault(event["job"], {}).update(event)
        if "run" in event:
            if self.run in {"finished", "failed"}:
                return
            self.run = event["run"]
            if self.run == "running":
                self.began = event["at"]
            else:
                self.ended = event["at"]
        # The first count stands, as REANA has it.
        self.total = self.total or event.get("total", 0)
        self.words += event.get("logs", "")


class Store:
    """The file and the folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("runs", "workspaces", "slots", "faults"):
            (folder / name).mkdir(exist_ok=True)
        self._lock = threading.RLock()
        self._file = sqlite3.connect(folder / "state.db", timeout=30, isolation_level=None, check_same_thread=False)
        # What is written survives the end of a process, if not that of the machine.
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.executescript(_SCHEMA)
        self._diaries: dict[str, Diary] = {}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def rows(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Do something with the file."""
        with self._lock:
            return self._file.execute(text, values).fetchall()

    # ── settings ───────────────────────────────────────────────────────────────────────────────────────────────

    def setting(self, key: str, default: Any = None) -> Any:
        """A value that was set."""
        found = self.rows("SELECT value FROM settings WHERE key = ?", key)
        return json.loads(found[0][0]) if found else default

    def set(self, key: str, value: Any) -> None:
        """Set a value."""
        self.rows("INSERT OR REPLACE INTO settings VALUES (?, ?)", key, json.dumps(value))

    # ── secrets ────────────────────────────────────────────────────────────────────────────────────────────────

    def secrets(self) -> dict[str, tuple[str, str]]:
        """Kind and value (base64) by name."""
        return {name: (kind, value) for name, kind, value in self.rows("SELECT name, kind, value FROM secrets")}

    # ── workflows ──────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, name: str, specification: Mapping[str, Any]) -> Workflow:
        """A new run with the next number."""
        with self._lock:
            ((last,),) = self.rows("SELECT COALESCE(MAX(major), 0) FROM workflows WHERE name = ?", name)
            number = str(uuid.uuid4())
            workspace = self.folder / "workspaces" / USER / number
            workspace.mkdir(parents=True)
            return self._insert(number, name, last + 1, 0, specification, workspace)

    def restart(self, old: Workflow, specification: Mapping[str, Any] | None) -> Workflow:
        """A new run in the workspace of an old one."""
        with self._lock:
            ((last,),) = self.rows("SELECT MAX(minor) FROM workflows WHERE name = ? AND major = ?", old.name, old.major)
            return self._insert(
                str(uuid.uuid4()), old.name, old.major, last + 1, specification or old.specification, old.workspace
            )

    def _insert(
        self, number: str, name: str, major: int, minor: int, specification: Mapping[str, Any], workspace: Path
    ) -> Workflow:
        self.rows(
            "INSERT INTO workflows (id, name, major, minor, status, specification, workspace, created)"
            " VALUES (?, ?, ?, ?, 'created', ?, ?, ?)",
            *(number, name, major, minor, json.dumps(specification), str(workspace), time.time()),
        )
        return self.workflow(number)

    def workflow(self, number: str) -> Workflow:
        """A run by its id, as it is in the file."""
        return next(iter(self._workflows("WHERE id = ?", number)))

    def workflows(self) -> list[Workflow]:
        """All runs, the newest first."""
        return list(self._workflows("ORDER BY number DESC"))

    def queued(self) -> list[Workflow]:
        """The runs that wait for their engines, the oldest first."""
        return list(self._workflows("WHERE status = 'queued' ORDER BY number"))

    def change(self, number: str, **values: Any) -> Workflow:
        """Change a run."""
        names = ", ".join(f"{name} = ?" for name in values)
        self.rows(f"UPDATE workflows SET {names} WHERE id = ?", *values.values(), number)
        return self.workflow(number)

    def _workflows(self, text: str, *values: Any) -> Iterable[Workflow]:
        names = [name.strip() for name in _COLUMNS.split(",")]
        for row in self.rows(f"SELECT {_COLUMNS} FROM workflows {text}", *values):
            found = dict(zip(names, row, strict=True))
            for name in ("specification", "parameters", "options"):
                found[name] = json.loads(found[name])
            yield Workflow(**{**found, "workspace": Path(found["workspace"])})

    def run_folder(self, number: str) -> Path:
        """Where the engine of a run writes."""
        return self.folder / "runs" / number

    def diary(self, number: str) -> Diary:
        """What the engine of a run has written; the part that is new is read."""
        with self._lock:
            diary = self._diaries.setdefault(number, Diary())
            path = self.run_folder(number) / "events.jsonl"
            try:
                with path.open("rb") as file:
                    file.seek(diary.offset)
                    data = file.read()
            except FileNotFoundError:
                return diary
            whole = data[: data.rfind(b"\n") + 1]
            diary.offset += len(whole)
            for line in whole.splitlines():
                diary.add(json.loads(line))
            return diary

    # ── faults, requests, mistakes ─────────────────────────────────────────────────────────────────────────────

    def plan(self, kind: str, *, route: str = "*", status: int = 0, times: int = 1) -> None:
        """Let the next requests go wrong."""
        self.rows("INSERT INTO faults (kind, route, status, times) VALUES (?, ?, ?, ?)", kind, route, status, times)

    def fault(self, kind: str, *routes: str) -> int | None:
        """Take a fault that fits a request; its status."""
        marks = ", ".join("?" for _ in routes)
        found = self.rows(
            "UPDATE faults SET times = times - 1 WHERE number = (SELECT number FROM faults WHERE kind = ? AND times > 0"
            f" AND route IN ('*', {marks}) ORDER BY number LIMIT 1) RETURNING status",
            kind,
            *routes,
        )
        return int(found[0][0]) if found else None

    def note(self, route: str, target: str, status: int, received: int, sent: int) -> None:
        """Write a request down."""
        self.rows(
            "INSERT INTO requests (at, route, target, status, received, sent) VALUES (?, ?, ?, ?, ?, ?)",
            *(time.time(), route, target, status, received, sent),
        )

    def mistake(self, words: str, *, ours: bool) -> None:
        """Write a mistake down: of a client, or an answer of ours that does not fit."""
        self.rows("INSERT INTO mistakes (ours, words) VALUES (?, ?)", int(ours), words)

    def mistakes(self, *, ours: bool) -> list[str]:
        """The mistakes so far."""
        return [words for (words,) in self.rows("SELECT words FROM mistakes WHERE ours = ? ORDER BY number", int(ours))]

"""What REANA's API speaks of, as values, and how they are read from its answers. Pure."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal, TypeGuard

from septum.errors import ClusterFailedError

DELETED, CREATED, FAILED = "deleted", "created", "failed"
WAITING = frozenset({"queued", "pending"})
OVER = frozenset({"finished", "failed", "stopped", DELETED})
"""Statuses of a workflow whose engine has ended."""

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}")
_MESSAGE_B = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One run of a workflow.

    Attributes:
        id: The server's.
        name: Without the number of the run.
        run: Which run of that name, such as `1`; a restart of it, in the same workspace, is `1.1`.
        status: `created`, `queued`, `pending`, `running`, `finished`, `failed`, `stopped` or `deleted`.
        progress: The numbers of its jobs: `total`, `running`, `finished`, `failed`.
        created_s: When it was made, in seconds since the epoch on the server's clock.
    """

    id: str
    name: str
    run: str
    status: str
    progress: Mapping[str, int] = field(default_factory=dict)
    created_s: float | None = None

    @property
    def full_name(self) -> str:
        """The name with the number of the run, as REANA shows it."""
        return f"{self.name}.{self.run}"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number of the run and of the restart, to be sorted by."""
        return tuple(int(piece) if _NUMBER.fullmatch(piece) else 0 for piece in self.run.split("."))


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of a workspace."""

    name: str
    size_b: int
    modified_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job of a workflow, as its logs tell of it."""

    name: str
    status: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """What the engine of a workflow said, and what became of its jobs."""

    engine: str
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much of something an account has used; a limit of 0 is none."""

    used: float
    limit: float
    shown: str
    health: str

    @property
    def is_used_up(self) -> bool:
        """Whether the server takes nothing more."""
        return 0 < self.limit <= self.used


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom the server takes us for; `quota` by `cpu` and `disk`."""

    email: str
    name: str
    version: str
    quota: Mapping[str, Quota]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret of an account: base64, and whether it becomes a variable or a file in its jobs."""

    value: str = field(repr=False)
    type: Literal["env", "file"]


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, or an empty one where the server sent something else."""
    return value if isinstance(value, dict) else {}


def text_of(data: Mapping[str, Any], name: str) -> str:
    """A text that an answer must hold."""
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise ClusterFailedError(
            f"cluster: the server's answer lacks {name!r}",
            evidence=f"it has {', '.join(sorted(data)) or 'nothing'}",
            fix="check 'reana-server' of the profile",
        )
    return value


def message_of(body: bytes) -> str:
    """What a refusal says: JSON with a message, or a page of a proxy."""
    text = body[:_MESSAGE_B].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(text)
        if isinstance(data, dict) and data.get("message"):
            return str(data["message"])
    return text


def names_of(full: str) -> tuple[str, str]:
    """The name of a workflow and the number of the run; names hold no point."""
    name, _, run = full.partition(".")
    return name, run


def workflow_of(item: Mapping[str, Any]) -> Workflow:
    """A workflow as a list shows it."""
    name, run = names_of(text_of(item, "name"))
    progress = mapping(item.get("progress"))
    numbers = {kind: number_of(progress.get(kind)) for kind in ("total", "running", "finished", "failed")}
    return Workflow(
        id=text_of(item, "id"),
        name=name,
        run=run,
        status=str(item.get("status") or ""),
        progress=numbers,
        created_s=seconds_of(item.get("created")),
    )


def number_of(value: Any) -> int:
    """A number, or how many a list of them has."""
    if isinstance(value, dict):
        value = value.get("total")
    return int(value) if _is_number(value) else 0


def _is_number(value: Any) -> TypeGuard[int | float]:
    """Whether it is a number that can be counted with: JSON of Python knows infinity, too."""
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def file_of(item: Mapping[str, Any]) -> RemoteFile:
    """A file as a listing shows it."""
    size = item.get("size")
    raw = size.get("raw") if isinstance(size, dict) else size
    return RemoteFile(
        name=text_of(item, "name").lstrip("/"),
        size_b=int(raw) if _is_number(raw) else -1,
        modified_s=seconds_of(item.get("last-modified")),
    )


def quota_of(found: Mapping[str, Any]) -> Quota:
    """What an account has used of something."""
    used, limit = mapping(found.get("usage")), mapping(found.get("limit"))
    most = amount_of(limit)
    return Quota(
        used=amount_of(used),
        limit=most,
        shown=f"{used.get('human_readable') or amount_of(used)} used of "
        + str((limit.get("human_readable") or most) if most else "any number"),
        health=str(found.get("health") or ""),
    )


def amount_of(found: Mapping[str, Any]) -> float:
    """An amount without its unit; 0 for none."""
    raw = found.get("raw")
    with contextlib.suppress(OverflowError):
        return float(raw) if _is_number(raw) else 0.0
    return 0.0


def seconds_of(value: Any) -> float | None:
    """A time of REANA, which is UTC and does not say so, in seconds since the epoch."""
    found = _TIME.match(str(value or ""))
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(found[0]).replace(tzinfo=timezone.utc).timestamp() if found else None
    return None


def newest(workflows: Sequence[Workflow]) -> Workflow:
    """Of the restarts of one run, the last."""
    return max(workflows, key=lambda each: each.numbers)

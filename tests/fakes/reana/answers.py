"""What handlers get, return and raise, and small words that several of them need."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from tests.fakes.reana.engines import Engines
    from tests.fakes.reana.store import Store, Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer: data for JSON, or a file."""

    status: int = 200
    data: Any = None
    file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """An answer that is a refusal."""

    def __init__(self, status: int, message: str | Sequence[str]) -> None:
        super().__init__(f"{status}: {message}")
        self.answer = Answer(status=status, data={"message": message} if isinstance(message, str) else list(message))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, judged already."""

    store: Store
    engines: Engines
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any
    length: int
    stream: BinaryIO
    description: str
    """The version of REANA."""

    def workflow(self) -> Workflow:
        """The run that the path names, by id, by name and number, or the last one of a name."""
        return found(self.store, self.engines, self.path["workflow_id_or_name"])


def found(store: Store, engines: Engines, wanted: str) -> Workflow:
    """A run by its id, by its name and number, or the last one of a name.

    Raises:
        RefusedError: There is none.
    """
    runs = store.workflows()
    fitting = [one for one in runs if wanted in {one.id, one.full_name}] or [one for one in runs if one.name == wanted]
    if not fitting:
        raise RefusedError(
            404,
            f"REANA_WORKON is set to {wanted}, but that workflow does not exist. Please set your REANA_WORKON"
            " environment variable appropriately.",
        )
    return engines.look(max(fitting, key=lambda one: (one.major, one.minor)))


def moment(seconds: float | None) -> str | None:
    """A time as REANA writes it."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def size(raw: int) -> dict[str, Any]:
    """A number of bytes, for machines and for people."""
    number, units = float(raw), ["Bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while number >= 1024 and len(units) > 1:
        number, units = number / 1024, units[1:]
    return {"raw": raw, "human_readable": f"{number:.2f}".rstrip("0").rstrip(".") + f" {units[0]}"}


def cut(items: Sequence[Any], query: Mapping[str, Any]) -> list[Any]:
    """One page."""
    if "size" not in query:
        return list(items)
    page = query.get("page", 1)
    return list(items[(page - 1) * query["size"] : page * query["size"]])


def search(query: Mapping[str, Any]) -> dict[str, list[str]]:
    """The filters of a listing, which come as JSON."""
    try:
        asked = json.loads(query.get("search") or "{}")
    except ValueError as err:
        raise RefusedError(400, "Your request contains not valid JSON.") from err
    return {key: value if isinstance(value, list) else [value] for key, value in asked.items()}

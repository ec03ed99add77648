"""What the manifest beside a reference says: its results with their checksums, and where they come from. Pure.

Only the keys that every version of septum has written are read: a reference is often older than what compares with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from septum.compare.verdicts import Reference
from septum.errors import NotComparableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One result of the reference.

    Attributes:
        name: Its name in the plan.
        file: Its path relative to the manifest, without a way out of that folder.
        size_b: Bytes; -1 when it is not said.
        sha256: Of the file.
        parts: How many parts are in it.
        missing: How many should be and are not.
        url: Where it was published instead; empty when it stands in the folder.
    """

    name: str
    file: str
    size_b: int
    sha256: str
    parts: int = 0
    missing: int = 0
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A manifest.

    Attributes:
        results: By name.
        run: The run's tag.
        plan: The plan's hash.
        work: The hash of what decides the content.
        complete: Whether all parts are in.
        origin: Where the run comes from, by name.
    """

    results: Mapping[str, Listed]
    run: str = ""
    plan: str = ""
    work: str = ""
    complete: bool | None = None
    origin: Mapping[str, str]

    def reference(self, asked: str, *, found: str, work: str, pipeline: str = "") -> Reference:
        """The reference that this manifest describes.

        Args:
            asked: What was asked for.
            found: What that is.
            work: The hash of the work of this run; empty when nobody knows.
            pipeline: The pipeline's number, if it is known.
        """
        url = self.origin.get("pipeline-url", "")
        return Reference(
            asked=asked,
            found=found,
            commit=self.origin.get("commit", ""),
            ref=self.origin.get("ref", ""),
            pipeline=pipeline or self.origin.get("pipeline", "") or url.rpartition("/")[2],
            url=url if url.startswith(("https://", "http://")) else "",
            plan=self.plan,
            work=self.work,
            same_work=work == self.work if work and self.work else None,
            complete=self.complete,
        )


def read_listing(text: str, *, name: str) -> Listing:
    """Read a manifest.

    Args:
        text: Of `septum.json`.
        name: Where it came from, for messages.

    Raises:
        NotComparableError: It is damaged, or names files outside of its folder.
    """
    try:
        data = json.loads(text)
        results = [_listed(item) for item in data["results"]]
        origin = data.get("origin") or {}
        return Listing(
            results={item.name: item for item in results},
            run=str(data.get("run", "")),
            plan=str(data.get("plan", "")),
            work=str(data.get("work", "")),
            complete=bool(data["complete"]) if "complete" in data else None,
            origin={str(key): str(value) for key, value in origin.items() if value},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotComparableError(
            f"compare: {name}, the manifest of the reference, is damaged",
            evidence=f"{type(error).__name__}: {error}"[:300],
            fix="name another reference under 'compare: reference' in septum.yaml",
        ) from error


def _listed(item: Mapping[str, Any]) -> Listed:
    file = str(item["file"])
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in file:
        raise ValueError(f"the file {file!r} is not in the folder of the manifest")
    return Listed(
        name=str(item["name"]),
        file=str(path),
        size_b=int(item.get("size_b", -1)),
        sha256=str(item["sha256"]),
        parts=len(item.get("parts", ())),
        missing=len(item.get("missing", ())),
        url=str(item.get("url") or ""),
    )

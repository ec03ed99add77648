"""A merge that is half done, as a file: what a restarted one goes on from. A damaged checkpoint counts as none."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from septum.merge.strict.accumulator import Accumulator, Group
from septum.merge.strict.contents import Info
from septum.merge.strict.exact import ExactSum
from septum.merge.strict.layout import Gap, Layout, Member, Range
from septum.merge.strict.records import Folder, Key
from septum.merge.strict.shape import Entry, Shape

_FORMAT = 1
_HASH_B = 32


def save(path: Path, sums: Accumulator, files: Mapping[str, str]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: Where.
        sums: The merge.
        files: The sha256 of the file of each part that is in.
    """
    if sums.model is None:
        return
    arrays: dict[str, Any] = {}
    groups = []
    for number, group in enumerate(sums.groups):
        if not isinstance(group.total, ExactSum):
            return
        state = group.total.state()
        arrays[f"levels{number}"], arrays[f"special{number}"] = state["levels"], state["special"]
        arrays[f"payload{number}"] = np.frombuffer(group.shape.payload, np.uint8)
        arrays[f"without{number}"] = group.without_statistics
        groups.append(
            {
                "wide": state["wide"],
                "parts": group.parts,
                "entries": [asdict(entry) for entry in group.shape.entries],
            }
        )
    index, info, chosen = sums.model
    arrays["streamers"] = np.frombuffer(info.streamers, np.uint8)
    for number, piece in enumerate(chosen.values()):
        arrays[f"chosen{number}"] = np.frombuffer(piece, np.uint8)
    head = {
        "format": _FORMAT,
        "policies": dict(sums.policies),
        "files": {part: files[part] for part in sums.parts},
        "parts": sums.parts,
        "groups": groups,
        "model": {
            "index": index,
            "top": asdict(info.top),
            "streamers_key_b": info.streamers_key_b,
            "compress": info.compress,
            "chosen": list(chosen),
        },
    }
    arrays["head"] = np.frombuffer(json.dumps(head).encode("utf-8", "surrogateescape"), np.uint8)
    made = io.BytesIO()
    np.savez(made, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"new.{path.name}")
    data = made.getvalue()
    temporary.write_bytes(hashlib.sha256(data).digest() + data)
    temporary.replace(path)


def load(path: Path, policies: Mapping[str, str]) -> tuple[Accumulator, Mapping[str, str]] | None:
    """Read a checkpoint back.

    Args:
        path: Where.
        policies: Those of now; a checkpoint of others counts as none.

    Returns:
        The merge and the sha256 of each part's file; None if there is no good one.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    data = raw[_HASH_B:]
    if hashlib.sha256(data).digest() != raw[:_HASH_B]:
        return None
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        head = json.loads(arrays["head"].tobytes().decode("utf-8", "surrogateescape"))
        if head["format"] != _FORMAT or head["policies"] != dict(policies):
            return None
        sums = Accumulator(policies)
        sums.parts = {part: (int(index), digest) for part, (index, digest) in head["parts"].items()}
        for number, held in enumerate(head["groups"]):
            shape = Shape([_entry(item) for item in held["entries"]], arrays[f"payload{number}"].tobytes())
            total = ExactSum.from_state(
                {
                    "levels": arrays[f"levels{number}"],
                    "special": arrays[f"special{number}"],
                    "wide": held["wide"],
                }
            )
            sums.groups.append(Group(shape, total, list(held["parts"]), arrays[f"without{number}"]))
        model = head["model"]
        info = Info(
            top=_folder(model["top"]),
            streamers=arrays["streamers"].tobytes(),
            streamers_key_b=model["streamers_key_b"],
            compress=model["compress"],
        )
        chosen = {name: arrays[f"chosen{number}"].tobytes() for number, name in enumerate(model["chosen"])}
        sums.model = (model["index"], info, chosen)
    return sums, head["files"]


def _entry(item: Mapping[str, Any]) -> Entry:
    layout = item["layout"]
    return Entry(
        **{
            **item,
            "layout": Layout(
                **{
                    **layout,
                    "ranges": tuple(Range(**found) for found in layout["ranges"]),
                    "members": tuple(Member(**found) for found in layout["members"]),
                    "gaps": tuple(Gap(**{**found, "headers": tuple(found["headers"])}) for found in layout["gaps"]),
                }
            ),
        }
    )


def _folder(item: Mapping[str, Any]) -> Folder:
    return Folder(
        name=item["name"],
        title=item["title"],
        objects=tuple(Key(**key) for key in item["objects"]),
        folders=tuple(_folder(below) for below in item["folders"]),
    )

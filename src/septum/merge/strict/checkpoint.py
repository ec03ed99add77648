"""A merge that is half done, as a file: what a restarted one goes on from. A damaged checkpoint counts as none."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

import septum
from septum.merge.strict import streamers
from septum.merge.strict.accumulator import Accumulator
from septum.merge.strict.contents import Info, shape_of
from septum.merge.strict.exact import ExactSum
from septum.merge.strict.group import Group, Model
from septum.merge.strict.labels import NamedAxis
from septum.merge.strict.layout import UnknownClassError
from septum.merge.strict.records import Folder, Key
from septum.merge.strict.shape import Shape
from septum.merge.strict.together import info_of

_FORMAT = 2
_HASH_B = 32
Known = Callable[[Mapping[str, tuple[str, int]], bytes], "Shape | None"]


def save(path: Path, sums: Accumulator, files: Mapping[str, str]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: Where.
        sums: The merge.
        files: The sha256 of the file of each part that is in.
    """
    if not sums.groups or sums.ordered:
        return
    arrays: dict[str, Any] = {}
    head = {
        "format": _FORMAT,
        "septum": septum.__version__,
        "policies": dict(sums.policies),
        "files": {part: files[part] for part in sums.parts},
        "parts": sums.parts,
        "groups": [_saved_group(group, f"{number}.", arrays) for number, group in enumerate(sums.groups)],
    }
    arrays["head"] = np.frombuffer(json.dumps(head).encode("utf-8", "surrogateescape"), np.uint8)
    made = io.BytesIO()
    np.savez(made, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"new.{path.name}")
    data = made.getbuffer()
    with temporary.open("wb") as stream:
        stream.write(hashlib.sha256(data).digest())
        stream.write(data)
    temporary.replace(path)


def load(path: Path, policies: Mapping[str, str], known: Known) -> tuple[Accumulator, Mapping[str, str]] | None:
    """Read a checkpoint back.

    Args:
        path: Where.
        policies: Those of now; a checkpoint of others counts as none.
        known: Gives a structure that has been laid out already, if there is one.

    Returns:
        The merge and the sha256 of each part's file; None if there is no good one.
    """
    try:
        raw = memoryview(path.read_bytes())
        if hashlib.sha256(raw[_HASH_B:]).digest() != raw[:_HASH_B]:
            return None
        with np.load(io.BytesIO(raw[_HASH_B:]), allow_pickle=False) as arrays:
            head = json.loads(arrays["head"].tobytes().decode("utf-8", "surrogateescape"))
            if (head["format"], head["septum"], head["policies"]) != (_FORMAT, septum.__version__, dict(policies)):
                return None
            sums = Accumulator(policies)
            sums.parts = {part: (int(index), digest) for part, (index, digest) in head["parts"].items()}
            sums.groups = [
                _loaded_group(group, f"{number}.", arrays, policies, known)
                for number, group in enumerate(head["groups"])
            ]
    except (OSError, EOFError, ValueError, LookupError, TypeError, zipfile.BadZipFile, UnknownClassError):
        # Whole, as its hash says, and still not what this version writes.
        return None
    return sums, head["files"]


def _saved_group(group: Group, prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """What stands in the head for a group; its numbers go to the arrays."""
    shape, witness = group.shape, group.witness
    arrays[f"{prefix}payload"] = np.frombuffer(shape.payload, np.uint8)
    arrays[f"{prefix}without"] = group.without_statistics
    arrays[f"{prefix}witness"] = np.stack([witness.total, witness.scale])
    sums = {"total": group.exact} | ({"magnitudes": group.magnitudes} if group.magnitudes is not None else {})
    wide = {}
    for name, total in sums.items():
        state = total.state()
        arrays[f"{prefix}{name}"], arrays[f"{prefix}{name}.special"] = state["levels"], state["special"]
        wide[name] = state["wide"]
    return {
        "wide": wide,
        "count": witness.count,
        "parts": group.parts,
        "objects": [(entry.path, entry.kind, entry.key_b, entry.size_b) for entry in shape.entries],
        "models": [_saved_model(model, f"{prefix}{n}.", arrays) for n, model in enumerate(group.models)],
        "loose": group.loose,
        "named": [(path, letter, asdict(axis)) for (path, letter), axis in group.named.items()],
        "moved": group.moved,
        "together": group.together,
    }


def _saved_model(model: Model, prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    arrays[f"{prefix}streamers"] = np.frombuffer(model.info.streamers, np.uint8)
    for number, piece in enumerate(model.chosen.values()):
        arrays[f"{prefix}chosen{number}"] = np.frombuffer(piece, np.uint8)
    return {
        "index": model.index,
        "top": _saved_folder(model.info.top),
        "streamers_key_b": model.info.streamers_key_b,
        "compress": model.info.compress,
        "chosen": list(model.chosen),
    }


def _loaded_group(
    held: Mapping[str, Any], prefix: str, arrays: Mapping[str, Any], policies: Mapping[str, str], known: Known
) -> Group:
    models = [_loaded_model(model, f"{prefix}{n}.", arrays) for n, model in enumerate(held["models"])]
    objects = [(path, kind, key_b) for path, kind, key_b, _ in held["objects"]]
    payload = arrays[f"{prefix}payload"].tobytes()
    pieces, at = {}, 0
    for path, _, _, size_b in held["objects"]:
        pieces[path] = payload[at : at + size_b]
        at += size_b
    shape = known({path: (kind, key_b) for path, kind, key_b in objects}, payload)
    if shape is None or list(shape.by_path) != list(pieces):
        info = info_of(models)
        described = streamers.read(info.streamers, info.streamers_key_b)
        shape = shape_of(objects, pieces, described, policies)
    group = Group.empty(shape, ordered=False)
    sums = {
        name: ExactSum.from_state(
            {"levels": arrays[f"{prefix}{name}"], "special": arrays[f"{prefix}{name}.special"], "wide": wide}
        )
        for name, wide in held["wide"].items()
    }
    group.total, group.magnitudes = sums["total"], sums.get("magnitudes")
    total, scale = arrays[f"{prefix}witness"]
    group.witness.add_sum(total, scale, held["count"])
    group.without_statistics = np.array(arrays[f"{prefix}without"])
    group.parts, group.models = list(held["parts"]), models
    group.loose = {path: (index, part) for path, (index, part) in held["loose"].items()}
    group.named = {(path, letter): _axis(axis) for path, letter, axis in held["named"]}
    group.moved, group.together = dict(held["moved"]), held["together"]
    return group


def _loaded_model(held: Mapping[str, Any], prefix: str, arrays: Mapping[str, Any]) -> Model:
    info = Info(
        top=_folder(held["top"]),
        streamers=arrays[f"{prefix}streamers"].tobytes(),
        streamers_key_b=held["streamers_key_b"],
        compress=held["compress"],
    )
    chosen = {path: arrays[f"{prefix}chosen{number}"].tobytes() for number, path in enumerate(held["chosen"])}
    return Model(index=held["index"], info=info, chosen=chosen)


def _axis(item: Mapping[str, Any]) -> NamedAxis:
    return NamedAxis(
        labels={text: (index, bin_, same) for text, (index, bin_, same) in item["labels"].items()},
        first=tuple(item["first"]),
        grid=None if item["grid"] is None else tuple(item["grid"]),
        pitch=None if item["pitch"] is None else tuple(item["pitch"]),
        alphanumeric=item["alphanumeric"],
    )


def _saved_folder(folder: Folder) -> list[Any]:
    # Written out: the way of `dataclasses.asdict` takes half a second for a thousand keys.
    keys = [[getattr(key, field.name) for field in fields(Key)] for key in folder.objects]
    return [folder.name, folder.title, keys, [_saved_folder(below) for below in folder.folders]]


def _folder(item: Sequence[Any]) -> Folder:
    name, title, keys, folders = item
    return Folder(
        name=name, title=title, objects=tuple(Key(*key) for key in keys), folders=tuple(map(_folder, folders))
    )

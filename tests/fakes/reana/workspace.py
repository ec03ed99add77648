"""The files of a run: listing, upload, download, removal, and what they use."""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from tests.fakes.reana.answers import Answer, Call, RefusedError, cut, moment, search, size
from tests.fakes.reana.quota import require_room
from tests.fakes.reana.store import Store, Workflow

_CHUNK = 32 << 10


def upload(call: Call) -> Answer:
    """Write straight into the file, so that an upload that is cut leaves a short one."""
    workflow = call.workflow()
    name = call.query["file_name"]
    if not name:
        raise RefusedError(400, "No file_name provided")
    parts = PurePosixPath(name.lstrip("/")).parts
    if ".." in parts:
        raise RefusedError(500, 'Path cannot contain "..".')
    if workflow.status == "deleted" or not workflow.workspace.is_dir():
        raise RefusedError(404, "Workspace does not exist.")
    require_room(call.store, call.length, f"Uploading file {name}")
    path = workflow.workspace.joinpath(*parts)
    if _leads_out(workflow, path.parent):
        raise RefusedError(500, "Opening symlinks is not allowed")
    path.parent.mkdir(parents=True, exist_ok=True)
    short = call.store.fault("cut-upload", "upload_file") is not None
    left = call.length // 2 if short else call.length
    with path.open("wb") as file:
        while left:
            data = call.stream.read(min(_CHUNK, left))
            if not data:
                raise ConnectionResetError("the client has gone")
            file.write(data)
            left -= len(data)
    if short:
        raise ConnectionResetError("cut, as planned")
    return Answer(data={"message": f"{'/'.join(parts)} has been successfully uploaded."})


def listing(call: Call) -> Answer:
    """The files, by name; `search` finds parts of names, sizes and times, `file_name` is a pattern."""
    workflow = call.workflow()
    if not workflow.workspace.is_dir():
        raise RefusedError(404, "Workspace does not exist.")
    items = [_item(workflow, path) for path in _files(workflow, call.query.get("file_name") or "**")]
    for key, wanted in search(call.query).items():
        items = [one for one in items if any(text in _searched(one, key) for text in wanted)]
    return Answer(data={"items": cut(items, call.query), "total": len(items)})


def download(call: Call) -> Answer:
    """One file as it is; a folder, or several files, packed."""
    workflow, name = call.workflow(), call.path["file_name"]
    paths = _fitting(workflow, name)
    if not paths:
        raise RefusedError(404, f"{name} does not exist.")
    if len(paths) == 1 and (workflow.workspace / name).is_file():
        (path,) = paths
        headers = {"Content-Type": "multipart/form-data", "Content-Disposition": _attachment(path.name)}
        return Answer(file=path, headers=headers)
    with (
        tempfile.NamedTemporaryFile(dir=call.store.folder, suffix=".zip", delete=False) as packed,
        zipfile.ZipFile(packed, "w") as archive,
    ):
        for path in paths:
            archive.write(path, path.relative_to(workflow.workspace))
    headers = {"Content-Type": "application/zip", "Content-Disposition": _attachment(f"download_{workflow.id}.zip")}
    return Answer(file=Path(packed.name), headers=headers)


def remove(call: Call) -> Answer:
    """Delete what fits a name or a pattern."""
    workflow, name = call.workflow(), call.path["file_name"]
    deleted: dict[str, Any] = {}
    failed: dict[str, Any] = {}
    found = {path for path in _glob(workflow, name) if not _leads_out(workflow, path.parent)}
    for path in sorted(found, key=lambda one: len(str(one)), reverse=True):
        key = path.relative_to(workflow.workspace).as_posix()
        try:
            raw = path.lstat().st_size
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        except OSError as err:
            failed[key] = {"error": str(err)}
        else:
            deleted[key] = {"size": raw}
    return Answer(data={"deleted": deleted, "failed": failed})


def move(call: Call) -> Answer:
    """Give a file or a folder another place."""
    workflow = call.workflow()
    if workflow.status == "running":
        raise RefusedError(400, "Workflow is running, files can not be moved")
    source, target = (workflow.workspace / call.query[name].lstrip("/") for name in ("source", "target"))
    if not source.exists():
        raise RefusedError(409, f"Path {call.query['source']} does not exist")
    if _leads_out(workflow, source) or _leads_out(workflow, target):
        raise RefusedError(409, "Source path is outside user workspace")
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    return Answer(
        data={
            "message": "Files were successfully moved",
            "workflow_id": workflow.id,
            "workflow_name": workflow.full_name,
        }
    )


def usage(call: Call) -> Answer:
    """How much the files use, each or all."""
    workflow, asked = call.workflow(), call.body or {}
    every = [_item(workflow, path) for path in _files(workflow)]
    items = [{"name": f"/{one['name']}", "size": one["size"]} for one in every]
    if asked.get("summarize"):
        items = [{"name": "", "size": size(sum(one["size"]["raw"] for one in items))}]
    else:
        for key, wanted in search(asked).items():
            items = [one for one in items if any(text in _searched(one, key) for text in wanted)]
    return Answer(
        data={
            "workflow_id": workflow.id,
            "workflow_name": workflow.full_name,
            "user": call.store.setting("user"),
            "disk_usage_info": items,
        }
    )


def prune(call: Call) -> Answer:
    """Delete what is neither input nor output, or those too."""
    workflow = call.workflow()
    if workflow.status in {"running", "pending", "queued"}:
        raise RefusedError(400, f"Workflow {workflow.full_name} is still running, its workspace cannot be pruned.")
    inputs, outputs = (call.query.get(f"include_{name}", False) for name in ("inputs", "outputs"))
    prune_files(workflow, inputs=inputs, outputs=outputs)
    return Answer(
        data={
            "message": "The workspace has been correctly pruned.",
            "workflow_id": workflow.id,
            "workflow_name": workflow.full_name,
        }
    )


def prune_files(workflow: Workflow, *, inputs: bool, outputs: bool) -> None:
    """Delete files of a workspace, but the inputs and outputs that its specification names, unless they may go."""
    kept: list[str] = []
    for section, goes in (("inputs", inputs), ("outputs", outputs)):
        named = workflow.specification.get(section, {})
        kept += [] if goes else [*named.get("files", []), *named.get("directories", [])]
    for path in _files(workflow):
        name = path.relative_to(workflow.workspace).as_posix()
        if not any(name == one or name.startswith(f"{one.rstrip('/')}/") for one in kept):
            path.unlink()


def used_b(store: Store) -> int:
    """What all workspaces use."""
    return sum(path.lstat().st_size for path in (store.folder / "workspaces").rglob("*") if path.is_file())


# ── paths ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _files(workflow: Workflow, pattern: str = "**") -> list[Path]:
    if pattern == "**":
        walked = [Path(folder, name) for folder, _, names in os.walk(workflow.workspace) for name in names]
        return sorted(path for path in walked if path.is_file() and not path.is_symlink())
    return _fitting(workflow, pattern)


def _fitting(workflow: Workflow, pattern: str) -> list[Path]:
    """The files behind a name or a pattern, those in folders included."""
    files: set[Path] = set()
    for path in _glob(workflow, pattern):
        inside: Iterable[Path] = path.rglob("*") if path.is_dir() else (path,)
        files |= {one for one in inside if one.is_file() and not one.is_symlink() and not _leads_out(workflow, one)}
    return sorted(files)


def _glob(workflow: Workflow, pattern: str) -> list[Path]:
    clean = pattern.lstrip("/")
    if ".." in PurePosixPath(clean).parts:
        raise RefusedError(404, f"{pattern} does not exist.")
    if not clean:
        return [workflow.workspace]
    return (
        list(workflow.workspace.glob(clean))
        if re.search(r"[*?\[]", clean)
        else [path for path in (workflow.workspace / clean,) if path.exists() or path.is_symlink()]
    )


def _leads_out(workflow: Workflow, path: Path) -> bool:
    return not path.resolve().is_relative_to(workflow.workspace.resolve())


def _item(workflow: Workflow, path: Path) -> dict[str, Any]:
    facts = path.lstat()
    return {
        "name": path.relative_to(workflow.workspace).as_posix(),
        "last-modified": moment(facts.st_mtime),
        "size": size(facts.st_size),
    }


def _searched(item: dict[str, Any], key: str) -> str:
    value = item.get(key, "")
    return str(value["raw"]) if isinstance(value, dict) else str(value)


def _attachment(name: str) -> str:
    return f"attachment; filename={quote(name)}"

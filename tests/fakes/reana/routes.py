"""The operations that the server carries out, by their names in the description."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema.validators import validator_for

from tests.fakes.reana import account, workspace
from tests.fakes.reana.answers import Answer, Call, RefusedError, cut, moment, search, size
from tests.fakes.reana.engines import LIVE
from tests.fakes.reana.jobs import tail
from tests.fakes.reana.quota import require_room
from tests.fakes.reana.store import Workflow
from tests.fakes.reana.tools import description

_ENGINES = ("serial", "snakemake")
_MOST_RESTARTS = 9


# ── runs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def create(call: Call) -> Answer:
    """A new run, which is not started yet."""
    require_room(call.store)
    specification = call.body
    if not specification:
        raise RefusedError(500, "Either remote repository or a reana spec need to be provided")
    _check(specification, call.engines.backends)
    name = call.query["workflow_name"] or "workflow"
    if _is_uuid4(name):
        raise RefusedError(400, "Workflow name cannot be a valid UUIDv4.")
    if "." in name:
        raise RefusedError(400, f'Workflow name {name} contains illegal character "."')
    made = call.store.create(name, specification)
    return Answer(
        status=201,
        data={
            "message": "The workflow has been successfully created.",
            "workflow_id": made.id,
            "workflow_name": made.full_name,
        },
    )


def workflows(call: Call) -> Answer:
    """The runs, the newest first, those that are deleted too."""
    if call.query["type"] not in {"batch", "interactive"}:
        raise RefusedError(400, f"Type {call.query['type']} is not one of: batch, interactive")
    runs = [] if call.query["type"] == "interactive" else call.store.workflows()
    wanted = call.query.get("workflow_id_or_name")
    if wanted:
        runs = [one for one in runs if wanted in {one.id, one.name, one.full_name}]
    names = search(call.query).get("name")
    if names:
        runs = [one for one in runs if any(text.lower() in one.name.lower() for text in names)]
    runs = [call.engines.look(one) for one in runs]
    statuses = call.query.get("status")
    runs = [one for one in runs if not statuses or one.status in statuses]
    if call.query.get("sort") == "asc":
        runs.reverse()
    items = [_summary(call, one) for one in cut(runs, call.query)]
    return Answer(data={"items": items, "total": len(runs)})


def status(call: Call) -> Answer:
    """One run with the logs of all its jobs."""
    one = call.workflow()
    return Answer(
        data={
            "id": one.id,
            "name": one.full_name,
            "created": moment(one.created),
            "status": one.status,
            "progress": _progress(call, one, whole=True),
            "user": call.store.setting("user"),
            "logs": json.dumps(_job_logs(call, one, ())),
        }
    )


def logs(call: Call) -> Answer:
    """What the engine and the jobs have printed."""
    one = call.workflow()
    diary = call.store.diary(one.id)
    told = None
    if not call.body and one.status not in LIVE:
        # REANA has the log of the engine when the engine has ended.
        told = diary.words + tail(call.store.run_folder(one.id) / "engine.log")
    text = {
        "workflow_logs": told if told is not None else (None if call.body else ""),
        "job_logs": dict(cut(list(_job_logs(call, one, call.body or ()).items()), call.query)),
        "engine_specific": None,
    }
    return Answer(
        data={
            "workflow_id": one.id,
            "workflow_name": one.full_name,
            "logs": json.dumps(text),
            "user": call.store.setting("user"),
        }
    )


def parameters(call: Call) -> Answer:
    """The parameters of a run."""
    one = call.workflow()
    told = one.parameters or one.specification.get("inputs", {}).get("parameters", {})
    return Answer(data={"id": one.id, "name": one.full_name, "type": one.type, "parameters": told})


def specification(call: Call) -> Answer:
    """What a run was made from."""
    one = call.workflow()
    return Answer(data={"specification": one.specification, "parameters": one.parameters})


def rules(call: Call) -> Answer:
    """When files of a run will be deleted; nothing here does."""
    one = call.workflow()
    told = one.specification.get("workspace", {}).get("retention_days", {}) or {}
    days = {**told, "**/*": told.get("**/*", account.DAYS)}
    ended = one.ended or one.stopped
    items = [
        {
            "id": str(uuid.uuid5(uuid.UUID(one.id), pattern)),
            "workspace_files": pattern,
            "retention_days": number,
            "apply_on": moment(ended + number * 86400) if ended else None,
            "status": "active" if ended else "created",
        }
        for pattern, number in days.items()
    ]
    return Answer(data={"workflow_id": one.id, "workflow_name": one.full_name, "retention_rules": items})


def start(call: Call) -> Answer:
    """Start a run, or start one again as a new run in the same workspace."""
    require_room(call.store)
    one, asked = call.workflow(), call.body or {}
    if asked.get("restart"):
        if one.status not in {"finished", "failed"}:
            raise RefusedError(403, "Only finished or failed workflows can be restarted.")
        if asked.get("reana_specification"):
            _check(asked["reana_specification"], call.engines.backends)
        if one.minor >= _MOST_RESTARTS:
            raise RefusedError(500, f"Cannot restart a workflow more than {_MOST_RESTARTS} times")
        one = call.store.restart(one, asked.get("reana_specification"))
    elif one.status != "created":
        raise RefusedError(403, f"Workflow {one.full_name} is already {one.status} and cannot be started again.")
    known = one.specification.get("inputs", {}).get("parameters", {})
    for name in asked.get("input_parameters") or {}:
        if name not in known:
            raise RefusedError(400, f'Input parameter "{name}" is not present in reana.yaml')
    call.store.change(
        one.id,
        status="queued",
        parameters=json.dumps(asked.get("input_parameters") or {}),
        options=json.dumps(asked.get("operational_options") or {}),
    )
    return Answer(
        data={
            "message": "Workflow submitted.",
            "workflow_id": one.id,
            "workflow_name": one.name,
            "status": "queued",
            "run_number": one.run,
            "user": call.store.setting("user"),
        }
    )


def set_status(call: Call) -> Answer:
    """Start, stop or delete."""
    wanted, asked = call.query["status"], call.body or {}
    if wanted == "start":
        return start(call)
    one = call.workflow()
    if wanted == "stop":
        if one.status != "running":
            raise RefusedError(409, f"Workflow {one.id} is not running.")
        return _told(call, call.engines.stop(one), "Workflow successfully stopped")
    if not asked.get("workspace", True):
        raise RefusedError(400, "Workspace must always be deleted when deleting a workflow.")
    with call.engines.lock:
        return _told(call, _delete(call, all_runs=asked.get("all_runs", False)), "Workflow successfully deleted")


def _delete(call: Call, *, all_runs: bool) -> Workflow:
    """Delete a run and its workspace, and with it the restarts that share it."""
    one, live = call.workflow(), {"running", "pending"}
    if one.status in live:
        raise RefusedError(409, f"Workflow {one.full_name} cannot be deleted as it is currently {one.status}.")
    for other in call.store.workflows():
        same = other.workspace == one.workspace or (all_runs and other.name == one.name)
        if other.id == one.id or (same and other.status not in live):
            call.store.change(other.id, status="deleted")
            shutil.rmtree(other.workspace, ignore_errors=True)
    return call.store.workflow(one.id)


def _told(call: Call, one: Workflow, message: str) -> Answer:
    return Answer(
        data={
            "message": message,
            "workflow_id": one.id,
            "workflow_name": one.full_name,
            "status": one.status,
            "user": call.store.setting("user"),
        }
    )


# ── parts of answers ────────────────────────────────────────────────────────────────────────────────────────────


def _summary(call: Call, one: Workflow) -> dict[str, Any]:
    wanted = call.query.get("include_workspace_size") or call.query.get("verbose")
    used = sum(path.lstat().st_size for path in one.workspace.rglob("*") if path.is_file()) if wanted else -1
    return {
        "id": one.id,
        "name": one.full_name,
        "status": one.status,
        "user": call.store.setting("user"),
        "launcher_url": None,
        "created": moment(one.created),
        "progress": _progress(call, one, whole=call.query.get("include_progress") or call.query.get("verbose", False)),
        "size": size(used) if wanted else {"raw": -1, "human_readable": ""},
    }


def _progress(call: Call, one: Workflow, *, whole: bool) -> dict[str, Any]:
    times = {
        "run_started_at": moment(one.started),
        "run_finished_at": moment(one.ended),
        "run_stopped_at": moment(one.stopped),
    }
    if not whole:
        return times
    diary = call.store.diary(one.id)
    ids = {name: diary.ids(name) for name in ("running", "finished", "failed")}
    last = diary.jobs[ids["running"][-1]] if ids["running"] and one.status in LIVE else {}
    return {
        **times,
        "total": {"total": diary.total, "job_ids": []},
        **{name: {"total": len(those), "job_ids": those} for name, those in ids.items()},
        "current_command": last.get("cmd"),
        "current_step_name": last.get("name"),
    }


def _job_logs(call: Call, one: Workflow, steps: Any) -> dict[str, dict[str, Any]]:
    folder = call.store.run_folder(one.id) / "logs"
    told = {}
    for number, job in call.store.diary(one.id).jobs.items():
        if steps and job["name"] not in steps:
            continue
        stopped = one.status == "stopped" and job["status"] == "running"
        told[number] = {
            "workflow_uuid": one.id,
            "job_name": job["name"],
            "compute_backend": job["compute_backend"],
            "backend_job_id": f"reana-run-job-{number}",
            "docker_img": job["docker_img"],
            "cmd": job["cmd"],
            "status": "stopped" if stopped else job["status"],
            "logs": tail(folder / f"{number}.log"),
            "started_at": moment(job.get("started")),
            "finished_at": moment(job.get("finished")),
        }
    return told


def _check(given: Mapping[str, Any], backends: tuple[str, ...]) -> None:
    """Judge a specification as REANA's server does (reana_server/validation.py)."""
    try:
        kind = given["workflow"]["type"]
    except (KeyError, TypeError) as err:
        raise RefusedError(400, str(err)) from err
    path = description().parents[1] / "validation/schemas/reana_analysis_schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    for error in validator_for(schema)(schema).iter_errors(given):
        if error.validator != "additionalProperties":  # of these, REANA warns
            raise RefusedError(400, error.message)
    if kind not in _ENGINES:
        raise RefusedError(501, f"{kind} workflows do not run here")
    try:
        steps = given["workflow"]["specification"]["steps"]
    except (KeyError, TypeError) as err:
        raise RefusedError(400, str(err)) from err
    for step in steps:
        backend = step.get("compute_backend")
        if backend and backend not in backends:
            raise RefusedError(
                400,
                f'Compute backend "{backend}" found in step "{step.get("name")}" is not supported. List of supported'
                f' compute backends: "{", ".join(backends)}"',
            )
    _check_inputs(given.get("inputs", {}))


def _check_inputs(named: Mapping[str, Any]) -> None:
    paths = [Path(text) for text in [*named.get("files", []), *named.get("directories", [])]]
    for one in paths:
        if one.is_absolute() or ".." in one.parts or not one.parts:
            raise RefusedError(400, f"Input path cannot be absolute, be empty or contain '..': {one}")
    if len(set(paths)) != len(paths):
        raise RefusedError(400, "Input path declared multiple times")


def _is_uuid4(text: str) -> bool:
    try:
        return uuid.UUID(text, version=4).hex == text.replace("-", "")
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Route:
    """How an operation is carried out."""

    handle: Callable[[Call], Answer]
    public: bool = False


ROUTES: dict[str, Route] = {
    "ping": Route(account.ping, public=True),
    "get_you": Route(account.you),
    "info": Route(account.info),
    "get_secrets": Route(account.secrets_list),
    "add_secrets": Route(account.secrets_add),
    "delete_secrets": Route(account.secrets_delete),
    "create_workflow": Route(create),
    "get_workflows": Route(workflows),
    "get_workflow_status": Route(status),
    "get_workflow_logs": Route(logs),
    "get_workflow_parameters": Route(parameters),
    "get_workflow_specification": Route(specification),
    "get_workflow_retention_rules": Route(rules),
    "get_workflow_disk_usage": Route(workspace.usage),
    "prune_workspace": Route(workspace.prune),
    "start_workflow": Route(start),
    "set_workflow_status": Route(set_status),
    "upload_file": Route(workspace.upload),
    "get_files": Route(workspace.listing),
    "download_file": Route(workspace.download),
    "delete_file": Route(workspace.remove),
    "move_files": Route(workspace.move),
}
"""What is here. Every other operation of the description answers 501, and the handle lists them."""

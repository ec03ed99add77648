"""Commit statuses for `tests.fakes.gitlab_server`.

    with serving(*gitlab_statuses.ENDPOINTS) as server:
        project = server.add_project("my-group/dimuon")
        …
        assert [one["state"] for one in gitlab_statuses.of(project)] == ["running", "success"]

A status that goes on is changed by the next of its name; one that has ended stays, and the next is a new one. The same
word twice is refused, in the words of GitLab's state machine.
"""

from __future__ import annotations

from typing import Any

from tests.fakes.gitlab_endpoint import DEVELOPER_LEVEL, Answer, Call, Endpoint, Project, RefusedError

_GOES_ON = {"pending": 0, "running": 1}
_EVENT = {"pending": "enqueue", "running": "run", "success": "success", "failed": "drop", "canceled": "cancel"}
_LONGEST = 255


def of(project: Project) -> list[dict[str, Any]]:
    """All that was set, one entry for each change."""
    found: list[dict[str, Any]] = project.kept.setdefault("statuses", [])
    return found


def _set(call: Call) -> Answer:
    wanted = {key: value for key, value in call.params.items() if key not in {"id", "sha"}}
    for key in ("name", "context", "target_url", "description"):
        if len(str(wanted.get(key, ""))) > _LONGEST:
            raise RefusedError(400, {"message": {key: ["is too long (maximum is 255 characters)"]}})
    name = wanted.get("name") or wanted.get("context") or "default"
    earlier = [one for one in of(call.here) if (one["sha"], one["name"]) == (call.params["sha"], name)]
    before = earlier[-1]["status"] if earlier else ""
    if before in _GOES_ON and _GOES_ON.get(wanted["state"], 2) <= _GOES_ON[before]:
        event = _EVENT[wanted["state"]]
        words = (
            f'Cannot transition status via :{event} from :{before} (Reason(s): Status cannot transition via "{event}")'
        )
        raise RefusedError(400, {"message": words})
    entry = {**wanted, "sha": call.params["sha"], "name": name, "status": wanted["state"], "by": call.token.user}
    of(call.here).append(entry)
    return Answer(status=201, data={**entry, "id": len(of(call.here))})


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/projects/:id/statuses/:sha",
        page="https://docs.gitlab.com/api/commits/#set-commit-pipeline-status",
        handle=_set,
        fields={
            "state": "string!: pending running success failed canceled skipped",
            "coverage": "any",
            "description": "string",
            "name": "string",
            "context": "string",
            "pipeline_id": "integer",
            "ref": "string",
            "target_url": "string",
        },
        level=DEVELOPER_LEVEL,
        writes=True,
    ),
)

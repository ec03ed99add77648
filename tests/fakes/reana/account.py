"""The account and the cluster: who asks, what there is, secrets."""

from __future__ import annotations

import base64

from tests.fakes.reana.answers import Answer, Call, RefusedError
from tests.fakes.reana.quota import quota

DAYS = 365
"""How long files of a workspace are kept."""


def ping(call: Call) -> Answer:
    """That it is there."""
    return Answer(data={"message": "OK", "status": "200"})


def you(call: Call) -> Answer:
    """Who is asking, and the quota."""
    return Answer(
        data={
            "email": "analyst@example.org",
            "quota": quota(call.store),
            "reana_server_version": call.description,
            "reana_token": {"value": call.store.setting("token"), "status": "active", "requested_at": None}
            | {"requested_at": "2026-01-01T00:00:00"},
        }
    )


def info(call: Call) -> Answer:
    """What the cluster offers."""
    told = {
        "compute_backends": ("List of supported compute backends", list(call.engines.backends)),
        "default_kubernetes_jobs_timeout": ("Default timeout for Kubernetes jobs", "604800"),
        "default_kubernetes_memory_limit": ("Default memory limit for Kubernetes jobs", "4Gi"),
        "default_workspace": ("Default workspace", "/var/reana"),
        "kubernetes_max_memory_limit": ("Maximum allowed memory limit for Kubernetes jobs", "10Gi"),
        "maximum_kubernetes_jobs_timeout": ("Maximum timeout for Kubernetes jobs", "1209600"),
        "maximum_workspace_retention_period": ("Maximum retention period in days for workspace files", str(DAYS)),
        "workspaces_available": ("List of available workspaces", ["/var/reana"]),
    }
    return Answer(data={name: {"title": title, "value": value} for name, (title, value) in told.items()})


def secrets_list(call: Call) -> Answer:
    """Names and kinds."""
    return Answer(data=[{"name": name, "type": kind} for name, (kind, _) in call.store.secrets().items()])


def secrets_add(call: Call) -> Answer:
    """Add some, all or none."""
    known = call.store.secrets()
    there = [name for name in call.body if name in known]
    if there and not call.query.get("overwrite", False):
        raise RefusedError(409, f"The submitted secrets {', '.join(there)} already exist.")
    for name, secret in call.body.items():
        try:
            base64.b64decode(secret["value"], validate=True)
        except ValueError as err:
            raise RefusedError(500, f"the value of {name} is not base64") from err
    for name, secret in call.body.items():
        call.store.rows("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?)", name, secret["type"], secret["value"])
    return Answer(status=201, data={"message": "Secret(s) successfully added."})


def secrets_delete(call: Call) -> Answer:
    """Delete some, all or none."""
    known = call.store.secrets()
    missing = [name for name in call.body if name not in known]
    if missing:
        raise RefusedError(404, missing)
    for name in call.body:
        call.store.rows("DELETE FROM secrets WHERE name = ?", name)
    return Answer(data=list(call.body))

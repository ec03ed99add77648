"""The quota of the account, in REANA's words."""

from __future__ import annotations

from typing import Any

from tests.fakes.reana.answers import RefusedError, size
from tests.fakes.reana.store import Store

_PAGE = "https://docs.reana.io/advanced-usage/user-quotas"


def quota(store: Store) -> dict[str, Any]:
    """What `/api/you` says of the quota; a limit of 0 is none."""
    told = store.setting("quota", {})
    answer = {}
    for name in ("cpu", "disk"):
        used = told.get(name, {}).get("used")
        limit = told.get(name, {}).get("limit", 0)
        used = used if used is not None else (_used_b(store) if name == "disk" else 0)
        share = used / limit if limit else 0.0
        health = "healthy" if share < 0.5 else "warning" if share < 0.8 else "critical"
        answer[name] = {"usage": _said(name, used), "limit": _said(name, limit), "health": health}
    return answer


def require_room(store: Store, more_b: int = 0, action: str = "") -> None:
    """Refuse when the quota is used up, or an upload would be too much.

    Raises:
        RefusedError: As `check_quota` and `prevent_disk_quota_excess` of REANA's server do.
    """
    if not store.setting("quota"):
        return
    words = ""
    now = quota(store)
    for name, one in now.items():
        used, limit = one["usage"]["raw"], one["limit"]["raw"]
        if 0 < limit <= used:
            told = f"{one['usage']['human_readable']} out of {one['limit']['human_readable']} used ({used / limit:.0%})"
            words += f"Resource: {name}, usage: {told}\n"
    if words:
        raise RefusedError(403, f"User quota exceeded.\n{words}Please see: {_PAGE}")
    disk = now["disk"]
    if 0 < disk["limit"]["raw"] < disk["usage"]["raw"] + more_b:
        raise RefusedError(403, f"{action} would exceed the disk quota. Aborting. Please see: {_PAGE}")


def _used_b(store: Store) -> int:
    from tests.fakes.reana.workspace import used_b

    return used_b(store)


def _said(name: str, raw: int) -> dict[str, Any]:
    # Of the processor, REANA counts milliseconds.
    return size(raw) if name == "disk" else {"raw": raw, "human_readable": f"{raw // 1000}s"}

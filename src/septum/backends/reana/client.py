"""REANA's own API, as far as septum speaks it: workflows, their workspaces, the account. Values in, values out."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from septum.backends.reana.model import (
    CREATED,
    DELETED,
    Account,
    Job,
    Logs,
    RemoteFile,
    Secret,
    Workflow,
    file_of,
    mapping,
    message_of,
    names_of,
    quota_of,
    text_of,
    workflow_of,
)
from septum.backends.reana.transport import Answer, Request, Transport
from septum.errors import (
    AuthenticationError,
    ClusterFailedError,
    QuotaExceededError,
    SubmitRefusedError,
    WorkflowGoneError,
)

if TYPE_CHECKING:
    from septum.errors import SeptumError

_GONE, _UNKNOWN_US, _FORBIDDEN = 404, 401, 403
_CLIENT_ERROR = 400
_OF_TOKENS = re.compile(r"token|signed in|authori[sz]ed|authenticat", re.IGNORECASE)
_OF_QUOTA = re.compile("quota", re.IGNORECASE)
_NAMES = re.compile(r"septum-[A-Za-z0-9._-]*|septum(?:-run)?/[^\s'\"]*")
_ACCOUNT, _OF_WORKFLOWS = "/api/you", "/api/workflows/"
_OF_ACCOUNTS = frozenset({"email", "full_name", "username", "quota"})
_QUOTED_B = 1 << 16
_ASK_ANEW = (
    "copy the token anew from the server's page \"Your profile\" into the CI variable that 'access-token-variable' of "
    "the profile names"
)


class Client:
    """Speaks to one server as one account. All methods raise `SeptumError`, and none of them shows the token.

    Args:
        server: `https://HOST[:PORT]`, without `/api`.
        token: Reads the token; asked for each request.
        token_in: `query` or `header`; see `Transport`.
        ca_file: CA certificates that are trusted beside the system's.
        deadline_s: How long a call may take; transfers get more by their size.
        sleep: Waits between attempts; passed in for tests.
    """

    def __init__(
        self,
        server: str,
        token: Callable[[], str],
        *,
        token_in: str = "query",  # noqa: S107 - where it goes, not what it is
        ca_file: Path | None = None,
        deadline_s: float = 300.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.server = server.rstrip("/")
        self._transport = Transport(
            server, token, token_in=token_in, ca_file=ca_file, deadline_s=deadline_s, sleep=sleep
        )
        self._ahead_s = 0.0

    @property
    def ahead_s(self) -> float:
        """By how many seconds the server's clock was ahead of ours in its last answer."""
        return self._ahead_s

    # ── the account and the server ──────────────────────────────────────────────────────────────────────────────

    def account(self) -> Account:
        """Whom the server takes us for."""
        doing = "asking whose the token is"
        data = self._get(_ACCOUNT, doing=doing)
        if not data.keys() & _OF_ACCOUNTS:
            raise self._odd(doing, "it names no account")
        return Account(
            email=str(data.get("email") or ""),
            name=str(data.get("full_name") or data.get("username") or ""),
            version=str(data.get("reana_server_version") or ""),
            quota={kind: quota_of(found) for kind, found in mapping(data.get("quota")).items() if mapping(found)},
        )

    def info(self) -> Mapping[str, Any]:
        """What the server offers: the value of each entry of `/api/info`."""
        data = self._get("/api/info", doing="asking what the server offers")
        return {name: entry["value"] for name, entry in data.items() if isinstance(entry, dict) and "value" in entry}

    def store_secrets(self, secrets: Mapping[str, Secret]) -> None:
        """Store secrets of the account, in the place of those with the same names."""
        body = {name: {"value": secret.value, "type": secret.type} for name, secret in secrets.items()}
        query = {"overwrite": "true"}
        self._json(
            Request(method="POST", path="/api/secrets/", query=query, json=body, repeat=True, doing="storing secrets")
        )

    # ── workflows ───────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, prefix: str, *, deleted: bool = False) -> list[Workflow]:
        """The workflows whose names begin with a text, oldest first; those that were deleted only if asked for."""
        query = {
            "type": "batch",
            "verbose": "false",
            "search": json.dumps({"name": [prefix]}),
            "include_progress": "true",
        }
        items = self._pages("/api/workflows", query, doing="looking for workflows")
        found = [workflow_of(item) for item in items]
        # The server looks for the text anywhere in the name.
        mine = [each for each in found if each.name.startswith(prefix) and (deleted or each.status != DELETED)]
        return sorted(mine, key=lambda each: (each.name, each.numbers))

    def create(self, name: str, specification: Mapping[str, Any]) -> Workflow:
        """Make a workflow and its workspace. Sent once: a second request would make a second workflow.

        Raises:
            SubmitRefusedError: The server does not take it.
        """
        data = self._json(
            Request(
                method="POST",
                path="/api/workflows",
                query={"workflow_name": name},
                json=dict(specification),
                doing="making a workflow",
            ),
            submits=True,
        )
        made, run = names_of(text_of(data, "workflow_name"))
        return Workflow(id=text_of(data, "workflow_id"), name=made, run=run, status=CREATED)

    def specification(self, workflow: str) -> Mapping[str, Any]:
        """The specification that a workflow was made from."""
        doing = "reading a workflow's specification"
        found = self._get(_path(workflow, "specification"), doing=doing).get("specification")
        if not isinstance(found, dict):
            raise self._odd(doing, "it has no specification")
        return found

    def start(self, workflow: str, *, restart: bool = False) -> Workflow:
        """Start a workflow; or start one that has ended again, in the same workspace, as another run.

        Raises:
            SubmitRefusedError: It cannot be started; perhaps it has been, already.
        """
        body = {"restart": True} if restart else {}
        data = self._json(
            Request(method="POST", path=_path(workflow, "start"), json=body, doing="starting a workflow"), submits=True
        )
        name, run = names_of(text_of(data, "workflow_name"))
        run = str(data.get("run_number") or run)
        return Workflow(
            id=str(data.get("workflow_id") or workflow), name=name, run=run, status=str(data.get("status") or "queued")
        )

    def stop(self, workflow: str) -> None:
        """Stop a workflow that runs, and the jobs that it has."""
        self._set(workflow, "stop", {}, doing="stopping a workflow")

    def delete(self, workflow: str, *, workspace: bool) -> None:
        """Delete a workflow that does not run, and its workspace, which its restarts share."""
        self._set(workflow, DELETED, {"all_runs": False, "workspace": workspace}, doing="deleting a workflow")

    def _set(self, workflow: str, status: str, body: Mapping[str, object], *, doing: str) -> None:
        self._json(
            Request(
                method="PUT", path=_path(workflow, "status"), query={"status": status}, json=dict(body), doing=doing,
                repeat=True,
            )
        )  # fmt: skip

    def logs(self, workflow: str) -> Logs:
        """What the engine and the jobs of a workflow said: large, since it is all of it."""
        data = self._get(_path(workflow, "logs"), doing="reading a workflow's logs")
        try:
            found = json.loads(str(data.get("logs") or "{}"))
        except (ValueError, RecursionError):
            found = {}
        found = mapping(found)
        jobs = [mapping(job) for job in mapping(found.get("job_logs")).values()]
        return Logs(
            engine=str(found.get("workflow_logs") or ""),
            jobs=tuple(
                Job(
                    name=str(job.get("job_name") or ""),
                    status=str(job.get("status") or ""),
                    text=str(job.get("logs") or ""),
                )
                for job in jobs
            ),
        )

    # ── workspaces ──────────────────────────────────────────────────────────────────────────────────────────────

    def upload(self, workflow: str, name: str, data: bytes | Path) -> None:
        """Write a file of a workspace. One that breaks leaves a short file there: look at its size afterwards."""
        size_b = len(data) if isinstance(data, bytes) else data.stat().st_size
        self._json(
            Request(
                method="POST", path=_path(workflow, "workspace"), query={"file_name": name}, data=data, size_b=size_b,
                repeat=True, doing=f"sending {name}",
            ),
            submits=True,
        )  # fmt: skip

    def files(self, workflow: str, *, under: str = "", pattern: str = "") -> dict[str, RemoteFile]:
        """Files of a workspace by path, in one round trip.

        Args:
            workflow: The workflow.
            under: How their paths begin.
            pattern: The only paths that the server looks at, with stars. Without, it walks through the whole workspace,
                and fails if a folder goes meanwhile, as those do that parts work in.
        """
        query = {"search": json.dumps({"name": [under]})} if under else {}
        query |= {"file_name": pattern} if pattern else {}
        items = self._pages(_path(workflow, "workspace"), query, doing="listing a workspace")
        found = [file_of(item) for item in items]
        # Older servers do not know how to search, and others look for the text anywhere in the path.
        return {file.name: file for file in found if file.name.startswith(under)}

    def download(self, workflow: str, name: str, target: Path, *, size_b: int | None = None) -> None:
        """Bring one file of a workspace; it is there as a whole or not at all.

        Args:
            workflow: The workflow.
            name: The path of the file.
            target: Where it goes.
            size_b: How large the workspace's listing says that it is.

        Raises:
            WorkflowGoneError: It is not there.
            ClusterFailedError: It has another size.
        """
        request = Request(
            method="GET", path=_path(workflow, "workspace", name), into=target, limit_b=1 << 50, size_b=size_b or 0,
            repeat=True, doing=f"fetching {name}",
        )  # fmt: skip
        self._checked(request, self._call(request))
        if size_b is not None and target.stat().st_size != size_b:
            came_b = target.stat().st_size
            target.unlink()
            raise ClusterFailedError(
                f"cluster: {self._transport.host} gave another {name} than it lists",
                evidence=f"{came_b} bytes came, {size_b} are listed",
                fix="try again; if it stays, tell the site",
            )

    def read(self, workflow: str, name: str, *, limit_b: int = 1 << 20) -> bytes:
        """The content of one small file of a workspace."""
        request = Request(
            method="GET", path=_path(workflow, "workspace", name), limit_b=limit_b, repeat=True,
            doing=f"reading {name}",
        )  # fmt: skip
        return self._checked(request, self._call(request)).body

    def discard(self, workflow: str, pattern: str) -> None:
        """Delete the files of a workspace that a pattern with stars names; it is well if there are none."""
        request = Request(
            method="DELETE", path=_path(workflow, "workspace", pattern), repeat=True, doing=f"deleting {pattern}"
        )
        with contextlib.suppress(WorkflowGoneError):
            self._json(request)

    def close(self) -> None:
        """Close what is open."""
        self._transport.close()

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────────

    def _get(self, path: str, *, doing: str) -> dict[str, Any]:
        return self._json(Request(method="GET", path=path, repeat=True, doing=doing))

    def _pages(self, path: str, query: Mapping[str, str], *, doing: str) -> list[Mapping[str, Any]]:
        """All items of a list: servers give them in one answer, unless one of them has a limit of its own."""
        found: list[Mapping[str, Any]] = []
        last: list[Any] = []
        page = 1
        size = 0
        while True:
            paged = {**query, "page": str(page), "size": str(size)} if size else dict(query)
            data = self._json(Request(method="GET", path=path, query=paged, repeat=True, doing=doing))
            items = data.get("items")
            if not isinstance(items, list):  # which is not as much as an empty one
                raise self._odd(doing, "it has no list of items")
            if items and items == last:
                raise self._odd(doing, f"page {page} is the one before it again")
            last = items
            found += [mapping(item) for item in items]
            total = data.get("total")
            if not items or not isinstance(total, int) or len(found) >= total:
                return found
            size = size or len(items)
            page += 1

    def _json(self, request: Request, *, submits: bool = False) -> dict[str, Any]:
        answer = self._checked(request, self._call(request), submits=submits)
        try:
            data = json.loads(answer.body)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise self._odd(request.doing, answer.body[:_QUOTED_B].decode("utf-8", "replace"))
        return data

    def _odd(self, doing: str, evidence: str) -> ClusterFailedError:
        return ClusterFailedError(
            f"cluster: {self._transport.host} does not answer as REANA does, while {doing}",
            evidence=self._transport.hide(evidence),
            fix="check 'reana-server' of the profile: it is the address without /api",
        )

    def _call(self, request: Request) -> Answer:
        answer = self._transport.call(request)
        if answer.at_s is not None:
            self._ahead_s = answer.at_s - time.time()
        return answer

    def _checked(self, request: Request, answer: Answer, *, submits: bool = False) -> Answer:
        """The answer, unless the server says no."""
        if answer.status < _CLIENT_ERROR:
            return answer
        words = self._transport.hide(message_of(answer.body))
        raise self._error(request, answer.status, words, submits=submits)

    def _error(self, request: Request, status: int, words: str, *, submits: bool) -> SeptumError:
        host, evidence = self._transport.host, f"HTTP {status}: {words or 'no reason given'}"
        # What users named stands in REANA's words.
        meant = _NAMES.sub("", words)
        if _OF_QUOTA.search(meant):
            if request.path != _ACCOUNT:
                with contextlib.suppress(Exception):  # the numbers are a help, and their lack is no other error
                    shown = [f"{kind}: {quota.shown}" for kind, quota in self.account().quota.items()]
                    evidence = "\n".join([evidence, *shown])
            return quota_used_up(host, evidence)
        # REANA says 403 to much that has nothing to do with who asks.
        if status == _UNKNOWN_US or (status == _FORBIDDEN and _OF_TOKENS.search(meant)):
            return AuthenticationError(
                f"cluster: {host} does not take the token, while {request.doing}", evidence=evidence, fix=_ASK_ANEW
            )
        if status == _GONE and not request.path.startswith(_OF_WORKFLOWS):
            return self._odd(request.doing, evidence)
        if status == _GONE:
            return WorkflowGoneError(
                f"cluster: {host} has it no more, while {request.doing}",
                evidence=evidence,
                fix="somebody deleted the workflow or its workspace: run again",
            )
        if submits:
            return SubmitRefusedError(
                f"cluster: {host} refused, while {request.doing}", evidence=evidence, fix="its reason stands above"
            )
        return ClusterFailedError(
            f"cluster: {host} refused, while {request.doing}", evidence=evidence, fix="its reason stands above"
        )


def quota_used_up(host: str, evidence: str) -> QuotaExceededError:
    """The error for an account that may use no more."""
    return QuotaExceededError(
        f"cluster: the account has used up its quota on {host}",
        evidence=evidence,
        fix="delete old workflows with their workspaces, on the server's page, or with 'septum sweep'; or ask "
        "the site for more",
    )


def _path(*pieces: str) -> str:
    """The path of something of a workflow; names of files keep their slashes and stars."""
    return "/api/workflows/" + "/".join(quote(piece, safe="/*") for piece in pieces)

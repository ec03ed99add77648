"""The other end of the pipe: calls the worker process with a deadline, and starts it anew when it is past it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.errors import (
    AuthenticationError,
    BindingsMissingError,
    ClusterFailedError,
    ClusterUnreachableError,
    NoRoomError,
    NotAuthorizedError,
    SeptumError,
    SubmitRefusedError,
    TryAgainError,
)

if TYPE_CHECKING:
    from septum.clusters.profile import Profile

_READ_BLOCK = 1 << 16
# HTCondor's log, behind the time: "KERBEROS: Ticket expired", "ERROR: SECMAN:2005:Protocol Error: No auth methods.".
_REASON = re.compile(r"(?:KERBEROS|AUTH_ERROR): .+|SECMAN:\d+:.+")


class CallError(Exception):
    """A call failed; `kind` is `timeout`, `crash`, `bindings`, or one that the worker gave."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class Bindings:
    """HTCondor's bindings in a process of their own.

    Args:
        collector: `host:port`.
        schedd: The schedd's name.
        environ: The whole environment of the worker: HTCondor's configuration, and no secret.
        folder: The worker's working folder; relative paths in submit descriptions begin here.
        deadline_s: How long a call may take.
    """

    def __init__(
        self, *, collector: str, schedd: str, environ: Mapping[str, str], folder: Path, deadline_s: float
    ) -> None:
        if importlib.util.find_spec("htcondor2") is None:
            raise BindingsMissingError(
                "htcondor: the Python bindings are not installed",
                evidence=f"{sys.executable} on {sys.platform}",
                fix="python3 -m pip install htcondor   (Linux only; elsewhere use the cluster 'local')",
            )
        self._collector, self._schedd = collector, schedd
        self._environ, self._folder, self._deadline_s = dict(environ), folder, deadline_s
        self._process: subprocess.Popen[bytes] | None = None
        self._noise: Any = None

    def call(self, name: str, *, deadline_s: float | None = None, **arguments: Any) -> Any:
        """Make one call.

        Args:
            name: One of the functions of `septum.backends.htcondor.worker`.
            deadline_s: Instead of the usual one.
            arguments: Its arguments.

        Raises:
            CallError: It did not answer in time, crashed, or failed.
        """
        process = self._start()
        self._noise.seek(0)  # for the process, too: one description, two descriptors
        self._noise.truncate()
        assert process.stdin is not None  # noqa: S101 - both are pipes, see _start
        try:
            process.stdin.write((json.dumps({"call": name, **arguments}) + "\n").encode())
            process.stdin.flush()
            line = self._read_line(process, time.monotonic() + (deadline_s or self._deadline_s))
        except TimeoutError:
            self.close()
            raise CallError("timeout", f"no answer within {deadline_s or self._deadline_s:.0f} s") from None
        except (BrokenPipeError, EOFError):
            said = self._last_words()
            self.close()
            raise CallError("crash", f"the bindings' process ended: {said}") from None
        except BaseException:  # a signal in the middle of a call: its answer must not be taken for the next one's
            self.close()
            raise
        answer = json.loads(line)
        if "error" in answer:
            raise CallError(answer["error"], "\n".join([answer["text"], *self._reasons(answer["text"])]))
        return answer["result"]

    def close(self) -> None:
        """End the worker; whatever it was waiting for is given up."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self._process = None
        if self._noise is not None:
            self._noise.close()
            self._noise = None

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        self._noise = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "septum.backends.htcondor.worker", self._collector, self._schedd, str(self._folder)],
            # Python looks for modules where it starts, and the folder is an artifact that others have written.
            cwd="/",
            env={**self._environ, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            # Ctrl-C in a terminal is for septum, which removes the jobs through this very process.
            start_new_session=True,
            bufsize=0,
        )
        return self._process

    @staticmethod
    def _read_line(process: subprocess.Popen[bytes], until: float) -> bytes:
        assert process.stdout is not None  # noqa: S101 - a pipe, see _start
        pieces: list[bytes] = []
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                left = until - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise TimeoutError
                block = os.read(process.stdout.fileno(), _READ_BLOCK)
                if not block:
                    raise EOFError
                pieces.append(block)
                if block.endswith(b"\n"):
                    return b"".join(pieces)

    def _last_words(self) -> str:
        return " | ".join(self._said()[-3:])

    def _reasons(self, told: str) -> list[str]:
        """What the log of a failed call says of the reason, and its answer does not."""
        found = [match[0] for line in self._said() if (match := _REASON.search(line))]
        return [reason for reason in dict.fromkeys(found) if reason not in told]

    def _said(self) -> list[str]:
        """The last lines of what the process printed in this call."""
        if self._noise is None:
            return []
        self._noise.seek(0, os.SEEK_END)
        self._noise.seek(max(0, self._noise.tell() - 2000))
        return self._noise.read().decode("utf-8", "replace").strip().splitlines()  # type: ignore[no-any-return]


def as_septum_error(error: CallError, profile: Profile, *, doing: str) -> SeptumError:
    """Sort a failed call into septum's errors, by its kind and HTCondor's words.

    Args:
        error: The failure.
        profile: The cluster.
        doing: What was being done: `submitting`, `looking at the queue`, …
    """
    where = f"schedd {profile.schedd!r} at {profile.collector}"
    return _about_identity(error, profile, where, doing) or _about_jobs(error, where, doing)


def _about_identity(error: CallError, profile: Profile, where: str, doing: str) -> SeptumError | None:
    text = error.text
    if "DENIED" in text or "not authorized" in text.lower() or error.kind == "denied":
        return NotAuthorizedError(
            f"cluster: {where} does not allow {doing} to this client", evidence=text, fix=permission_fix(profile)
        )
    if "No auth methods" in text:
        return AuthenticationError(
            f"cluster: {where} does not offer the authentication {profile.authentication!r}",
            evidence=text,
            fix="correct 'authentication' in the profile, or take another schedd",
        )
    if "AUTHENTICATE" in text or "authenticat" in text.lower():
        return AuthenticationError(
            f"cluster: {where} and septum did not accept each other",
            evidence=text,
            fix=_ticket_fix(text)
            if profile.authentication == "kerberos"
            else "one of three: the CA (ca-file, ca-variable) is not the one of the site's hosts;\n"
            "the token is of another issuer, for another audience, or has expired;\n"
            "the site maps this client to no account (ask its administrators)",
        )
    if error.kind == "credmon":
        return TryAgainError(
            f"cluster: the site of {where} has not taken the jobs' Kerberos credential",
            evidence=text,
            fix="try again in a few minutes; if it stays so, ask the site's administrators",
        )
    if error.kind == "credential":
        return SubmitRefusedError(
            f"cluster: the site of {where} cannot keep a Kerberos credential for the jobs",
            evidence=text,
            fix="set 'send-credential: false' in the profile if the jobs need no ticket, or ask the site's "
            "administrators",
        )
    return None


def _about_jobs(error: CallError, where: str, doing: str) -> SeptumError:
    text = error.text
    check = "check the addresses with 'septum cluster show', and whether the site announces a downtime"
    if error.kind == "no-schedd":
        return ClusterUnreachableError(
            f"cluster: there is no {where}", evidence=text, fix="set SEPTUM_CLUSTER_SCHEDD to one of the names above"
        )
    if error.kind in {"timeout", "crash"} or any(
        word in text
        for word in ("CEDAR:6001", "SECMAN:2003", "SECMAN:2007", "onnect", "Unable to locate", "ommunication")
    ):
        return ClusterUnreachableError(f"cluster: no answer from {where}, {doing}", evidence=text, fix=check)
    if re.search(r"(?:says|error) -[23](?!\d)", text):
        return NoRoomError(f"cluster: {where} takes no more jobs now", evidence=text, fix=_refusal_fix(text))
    if error.kind == "refused" or doing == "submitting":
        return SubmitRefusedError(f"cluster: {where} refused the jobs", evidence=text, fix=_refusal_fix(text))
    return ClusterFailedError(f"cluster: {where} failed, {doing}", evidence=text, fix=check)


def permission_fix(profile: Profile) -> str:
    """What helps when the schedd knows who we are, and does not let us submit."""
    if profile.authentication == "kerberos":
        return "the principal has no account for this schedd: ask the site's administrators for one, or for its schedd"
    return "the token needs compute.create, compute.modify and compute.cancel together; ask for them in 'scope'"


_TICKET_FIXES = {
    "AUTH_ERROR": "as root, HTCondor wants a host's keytab: run septum as an ordinary user, or with CAP_SETUID",
    "Ticket expired": "the ticket ended before it was renewed: are the clocks right, and does the KDC still answer?",
    "Clock skew": "set the clock of this machine",
    "Cannot contact any KDC": "try again later; if it never answers, check krb5.conf (KRB5_CONFIG)",
    "Server not found": "krb5.conf (KRB5_CONFIG) gives the schedd's host another name or realm than the site does: "
    "see [domain_realm], dns_canonicalize_hostname and rdns",
}


def _ticket_fix(text: str) -> str:
    for words, fix in _TICKET_FIXES.items():
        if words in text:
            return fix
    return "the site takes no tickets of this realm, or krb5.conf (KRB5_CONFIG) does not fit the site"


# condor_qmgr.h: the codes that NewProc and NewCluster return.
_LIMITS = {
    "-2": "the schedd has no room for more jobs at all; try again later",
    "-3": "the site limits the jobs of one owner: use fewer, longer parts, or set max-jobs-per-owner",
    "-4": "the site limits the jobs of one submission: set SEPTUM_CLUSTER_MAX_JOBS_PER_SUBMISSION to its limit",
    "-5": "the site has disabled this account; ask its administrators",
    "-7": "the site does not allow this account to submit; ask its administrators",
}


def _refusal_fix(text: str) -> str:
    for code, fix in _LIMITS.items():
        if f"says {code}" in text or f"error {code}" in text:
            return fix
    return "the site's own words stand above; 'requirements' and 'attributes' of the profile may answer them"

"""The other end of the pipe: calls the worker process with a deadline, and starts it anew when it is past it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from septum.errors import (
    AuthenticationError,
    BindingsMissingError,
    ClusterUnreachableError,
    NotAuthorizedError,
    SeptumError,
    SubmitRefusedError,
)

_READ_BLOCK = 1 << 16


class CallError(Exception):
    """A call failed; `kind` is `timeout`, `crash`, `no-schedd`, `refused`, `denied` or `bindings`."""

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
            raise CallError(answer["error"], answer["text"])
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
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "septum.backends.htcondor.worker", self._collector, self._schedd],
            cwd=self._folder,
            env=self._environ,
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
        if self._noise is None:
            return ""
        self._noise.seek(0, os.SEEK_END)
        self._noise.seek(max(0, self._noise.tell() - 2000))
        return " | ".join(self._noise.read().decode("utf-8", "replace").strip().splitlines()[-3:])


def as_septum_error(error: CallError, *, collector: str, schedd: str, doing: str) -> SeptumError:
    """Sort a failed call into septum's errors, by its kind and HTCondor's words.

    Args:
        error: The failure.
        collector: `host:port`, for the message.
        schedd: The schedd's name, for the message.
        doing: What was being done: `submitting`, `looking at the queue`, …
    """
    where = f"schedd {schedd!r} at {collector}"
    text = error.text
    check = "check the addresses with 'septum cluster show', and whether the site announces a downtime"
    if error.kind == "no-schedd":
        return ClusterUnreachableError(
            f"cluster: there is no {where}", evidence=text, fix="set SEPTUM_CLUSTER_SCHEDD to one of the names above"
        )
    if "DENIED" in text or "not authorized" in text.lower() or error.kind == "denied":
        return NotAuthorizedError(
            f"cluster: {where} does not allow {doing} to this client",
            evidence=text,
            fix="the token needs compute.create, compute.modify and compute.cancel together; ask for them in 'scope'",
        )
    if "AUTHENTICATE" in text or "authenticat" in text.lower():
        return AuthenticationError(
            f"cluster: {where} and septum did not accept each other",
            evidence=text,
            fix="one of three: the CA (ca-file, ca-variable) is not the one of the site's hosts;\n"
            "the token is of another issuer or for another audience;\n"
            "the site maps this client to no account (ask its administrators)",
        )
    if error.kind in {"timeout", "crash"} or any(
        word in text
        for word in ("CEDAR:6001", "SECMAN:2003", "SECMAN:2007", "onnect", "Unable to locate", "ommunication")
    ):
        return ClusterUnreachableError(f"cluster: no answer from {where}, {doing}", evidence=text, fix=check)
    if error.kind == "refused" or doing == "submitting":
        return SubmitRefusedError(f"cluster: {where} refused the jobs", evidence=text, fix=_refusal_fix(text))
    return ClusterUnreachableError(f"cluster: {where} failed, {doing}", evidence=text, fix=check)


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

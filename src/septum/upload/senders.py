"""The three ways of a file: XRootD in a process of its own, WebDAV, and presigned URLs; each one attempt at a time."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from septum.errors import NotAuthorizedError, UploadError
from septum.upload.attempt import OTHER_CREDENTIAL, AttemptError, Kind
from septum.upload.local import Local, Proof

if TYPE_CHECKING:
    from septum.credentials import Credentials
    from septum.upload.doors import Way
    from septum.upload.exchange import Door
    from septum.upload.presigned import Presigned
    from septum.upload.target import Target

_GRACE_S = 5.0
_WORDS_B = 300


class Sender(Protocol):
    """Brings one file to its place, once. Called by several threads."""

    def url(self, name: str) -> str:
        """Where a file goes, for people."""

    def send(self, local: Local, deadline_s: float) -> Proof:
        """One attempt.

        Raises:
            AttemptError: It failed.
        """

    def stop(self) -> None:
        """Give up what is under way."""


def sender_for(
    target: Target, names: Collection[str], *, run: str, environ: Mapping[str, str], credentials: Credentials
) -> Sender:
    """The way to a target.

    Args:
        target: Where to.
        names: The files.
        run: The run's tag.
        environ: The environment.
        credentials: Open ones.

    Raises:
        CredentialMissingError: There is no presigned URL for one of the files.
        UploadError: The client's library is not installed, or a name leads out of the target.
    """
    urls = require_way(target, names, environ)
    if target.kind == "presigned":
        return PresignedSender(urls, environ, credentials)
    return StorageSender(target, run=run, environ=environ, credentials=credentials)


def require_way(target: Target, names: Collection[str], environ: Mapping[str, str]) -> dict[str, Presigned]:
    """See, without a word to the storage, that all is there that `sender_for` needs; returns the presigned URLs."""
    if target.kind == "presigned":
        from septum.upload.presigned import read_urls

        return read_urls(environ, target.variable, names)
    try:
        for name in names:
            target.place(name, run="")
    except ValueError as error:
        raise UploadError(f"publish: {error}", fix="choose another name for it under 'merge' or 'outputs'") from None
    if target.kind == "xrootd" and importlib.util.find_spec("XRootD") is None:
        raise UploadError(
            "publish: XRootD's Python bindings are not installed",
            evidence=f"{sys.executable} on {sys.platform}",
            fix="python3 -m pip install xrootd   (Linux; elsewhere publish to https://)",
        )
    return {}


class StorageSender:
    """Storage that is entered with a token or a proxy; with the next one where the first opens nothing.

    Args:
        target: XRootD or WebDAV.
        run: The run's tag.
        environ: The environment.
        credentials: Open ones.
    """

    def __init__(self, target: Target, *, run: str, environ: Mapping[str, str], credentials: Credentials) -> None:
        from septum.upload.doors import ways

        self._target, self._run, self._ca_file = target, run, credentials.ca_file
        found = ways(environ, credentials)
        usable = [way for way in found if target.kind == "xrootd" or way.token_file or way.proxy_file]
        self._ways = usable or [found[0].bare]
        self._doors: dict[str, Door] = {}
        self._children = _Children()

    def url(self, name: str) -> str:
        """Where a file goes, for people."""
        return self._target.place(name, run=self._run).url

    def send(self, local: Local, deadline_s: float) -> Proof:
        """One attempt, with each credential until one opens."""
        refused: list[tuple[Way, AttemptError]] = []
        for way in list(self._ways):
            try:
                proof = self._enter(way, local, deadline_s)
            except AttemptError as fault:
                if fault.kind not in OTHER_CREDENTIAL:
                    raise
                refused.append((way, fault))
            else:
                # The others need not try in vain.
                self._ways = [way, *(other for other in self._ways if other is not way)]
                return proof
        # Who is known and may not is nearer to the aim than who is not known.
        kind: Kind = "denied" if any(fault.kind == "denied" for _, fault in refused) else "auth"
        text = "; ".join(f"with {way.name}: {fault.text}" for way, fault in refused)
        raise AttemptError(kind, text, hints=[line for way, fault in refused for line in self._seen(way, fault)])

    def stop(self) -> None:
        """Give up what is under way."""
        self._children.stop()

    def _enter(self, way: Way, local: Local, deadline_s: float) -> Proof:
        path = self._target.place(local.name, run=self._run).path
        own = hashlib.sha256(f"{self._run} {local.name} {local.sha256}".encode()).hexdigest()[:16]
        if self._target.kind == "xrootd":
            from septum.upload.xrootd import job

            text = job(self._target.server, path, local, own=own, deadline_s=deadline_s)
            return self._children.ask(text, way.environ, deadline_s)
        from septum.upload.place import place
        from septum.upload.webdav import WebDav

        until = time.monotonic() + deadline_s
        return place(WebDav(self._target.server, self._door(way), until=until), local, path, own=own)

    def _door(self, way: Way) -> Door:
        """The door of a way; all files go through the same one, since reading all CA certificates takes a while."""
        from septum.upload.webdav import proxy_door, token_door

        if way.name not in self._doors:
            self._doors[way.name] = (
                token_door(Path(way.token_file), way.environ, self._ca_file)
                if way.token_file
                else proxy_door(way.proxy_file, way.environ, self._ca_file)
            )
        return self._doors[way.name]

    def _seen(self, way: Way, fault: AttemptError) -> list[str]:
        """What the files of a credential show, which no storage says."""
        from septum.doctor.explain import look

        known = self._target.kind == "https" or fault.kind == "denied"
        seen = look(way.environ, host=self._target.host, path=self._target.folder, now=time.time(), let_in=known)
        # It asks for the right to read.
        problems = [problem.what for problem in seen.problems if not isinstance(problem, NotAuthorizedError)]
        return [f"because {problem}" for problem in problems] + seen.facts


class PresignedSender:
    """Presigned URLs of S3.

    Args:
        urls: The URL of each file.
        environ: The environment.
        credentials: Open ones; of them only the CA certificates are used.
    """

    def __init__(self, urls: Mapping[str, Presigned], environ: Mapping[str, str], credentials: Credentials) -> None:
        self._urls, self._environ, self._ca_file = urls, environ, credentials.ca_file

    def url(self, name: str) -> str:
        """Where a file goes, for people: without what is signed."""
        return self._urls[name].shown

    def send(self, local: Local, deadline_s: float) -> Proof:
        """One attempt."""
        from septum.upload.presigned import put
        from septum.upload.webdav import proxy_door

        door = proxy_door("", self._environ, self._ca_file)
        return put(self._urls[local.name], local, door, until=time.monotonic() + deadline_s)

    def stop(self) -> None:
        """Give up what is under way: the threads end with septum."""


class _Children:
    """Processes with XRootD's library, each for one job; they end with us."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def ask(self, text: str, environ: Mapping[str, str], deadline_s: float) -> Proof:
        """Let a process do a job.

        Raises:
            AttemptError: That of the job; or the process did not end in time, or without an answer.
        """
        with self._started(environ) as process:
            try:
                out, err = process.communicate(text.encode(), timeout=deadline_s + _GRACE_S)
            except subprocess.TimeoutExpired:
                raise AttemptError("gone", f"no answer within {deadline_s:.0f} s") from None
        try:
            # The library may have said something before.
            answer = json.loads(out.strip().rpartition(b"\n")[2])
        except ValueError:
            words = err.decode("utf-8", "replace").strip().splitlines()
            raise AttemptError(
                "gone", f"its client ended: {words[-1][:_WORDS_B] if words else process.returncode}"
            ) from None
        if "proof" in answer:
            return cast("Proof", answer["proof"])
        raise AttemptError(answer["kind"], answer["text"])

    def stop(self) -> None:
        """End all of them, and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    @contextlib.contextmanager
    def _started(self, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            if self._stopped:
                raise AttemptError("gone", "given up")
            process = subprocess.Popen(
                # What it is to do comes by a pipe: arguments are for everybody to read.
                [sys.executable, "-m", "septum.upload.xrootd"],
                env={**environ, "PYTHONSAFEPATH": "1"},
                # Python looks for modules where it starts.
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            yield process
        finally:
            with self._lock:
                self._running.discard(process)
                _kill(process)
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

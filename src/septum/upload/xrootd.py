"""XRootD and EOS: the process that holds the client's library brings one file to its place, and answers with one line.

A process of its own, because the library has threads and a configuration of its own, waits as it likes, and must not
meet the other version of it that ROOT has. `python -m septum.upload.xrootd` reads a job as JSON from standard input.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from septum.upload.attempt import AttemptError, Kind
from septum.upload.local import Local
from septum.upload.place import place

_ASK_S = 60.0
_BLOCK_B = 8 << 20
_READABLE = 0o644
_ANSWERED = 400
"""The status of an answer with an error in it (XrdClStatus.hh); its number is the server's own."""
_NOT_FOUND = 3011
# XProtocol.hh: the server's numbers. What is not here may pass: a server that is overloaded, or starts anew.
_SERVER: Mapping[int, Kind] = {
    **dict.fromkeys((3000, 3001, 3002, 3006, 3015, 3016, 3031, 3032), "refused"),
    3009: "space",
    3010: "denied",
    3013: "unsupported",
    3018: "differs",
    3021: "space",
    3025: "denied",
    3028: "auth",
    3030: "auth",
}
# XrdClStatus.hh: login, authentication, TLS.
_CLIENT: Mapping[int, Kind] = {110: "auth", 203: "auth", 204: "auth", 205: "unsupported"}


class XRootD:
    """One server, see `septum.upload.place.Storage`.

    Args:
        server: Such as `root://eos.example.org:1094`.
        until: By when everything has to be over, by the monotonic clock.
    """

    def __init__(self, server: str, *, until: float) -> None:
        # Its types are its own affair.
        self._client: Any = importlib.import_module("XRootD.client")
        self._flags: Any = importlib.import_module("XRootD.client.flags")
        self._server, self._until = server, until
        self._files = self._client.FileSystem(f"{server}/")

    def size(self, path: str) -> int | None:
        """Bytes of a file; None if there is none."""
        status, found = self._files.stat(path, timeout=self._time())
        if not status.ok and (status.code, status.errno) == (_ANSWERED, _NOT_FOUND):
            return None
        _require(status)
        if found.flags & self._flags.StatInfoFlags.IS_DIR:
            raise AttemptError("differs", "a folder stands there")
        return int(found.size)

    def digests(self, path: str) -> Mapping[str, str]:
        """The checksum that the server has, if it has any."""
        query, code = f"{path}?cks.type=adler32", self._flags.QueryCode.CHECKSUM
        status, answer = self._files.query(code, query, timeout=self._time(long=True))
        if not status.ok:
            if status.code == _ANSWERED:  # it has none, of this kind or at all
                return {}
            _require(status)
        text = answer.decode("latin-1") if isinstance(answer, bytes) else str(answer)
        words = text.strip("\0 \n").split()
        return {words[0].lower(): words[1]} if len(words) == 2 else {}  # noqa: PLR2004 - name and value

    def sha256(self, path: str) -> str:
        """Read a file back."""
        found, offset = hashlib.sha256(), 0
        with self._client.File() as file:
            _require(file.open(f"{self._server}/{path}", self._flags.OpenFlags.READ, timeout=self._time())[0])
            while True:
                status, block = file.read(offset, _BLOCK_B, timeout=self._time())
                _require(status)
                if not block:
                    return found.hexdigest()
                found.update(block)
                offset += len(block)

    def put(self, local: Local, path: str) -> None:
        """Write a new file, and the folders above it. The server drops it if we are gone before it is closed."""
        open_flags = self._flags.OpenFlags
        how = open_flags.NEW | open_flags.MAKEPATH | open_flags.POSC
        with local.path.open("rb") as source:
            file = self._client.File()
            _require(file.open(f"{self._server}/{path}", how, _READABLE, timeout=self._time())[0])
            offset = 0
            try:
                while block := source.read(_BLOCK_B):
                    _require(file.write(block, offset, timeout=self._time())[0])
                    offset += len(block)
            finally:
                status, _ = file.close(timeout=self._time(long=True))
            # Only now has it taken everything.
            _require(status)

    def move(self, source: str, target: str) -> None:
        """Rename a file."""
        _require(self._files.mv(source, target, timeout=self._time())[0])

    def remove(self, path: str) -> None:
        """Remove a file."""
        _require(self._files.rm(path, timeout=self._time())[0])

    def _time(self, *, long: bool = False) -> int:
        """Seconds for one request."""
        left_s = self._until - time.monotonic()
        return max(1, int(left_s if long else min(left_s, _ASK_S)))


def _require(status: Any) -> None:
    """Let a good status through, and make a fault of another."""
    if status.ok:
        return
    kind = _SERVER.get(status.errno, "gone") if status.code == _ANSWERED else _CLIENT.get(status.code, "gone")
    raise AttemptError(kind, " ".join(str(status.message).split()))


def job(server: str, path: str, local: Local, *, own: str, deadline_s: float) -> str:
    """The text of a job for `main`."""
    data = {**asdict(local), "path": str(local.path)}
    return json.dumps({"server": server, "path": path, "local": data, "own": own, "deadline_s": deadline_s})


def main() -> None:
    """Do one job."""
    asked = json.load(sys.stdin)
    # Whoever waits for us may be gone.
    signal.alarm(int(asked["deadline_s"]) + 10)
    local = Local(**{**asked["local"], "path": Path(asked["local"]["path"])})
    try:
        storage = XRootD(asked["server"], until=time.monotonic() + asked["deadline_s"])
        answer: dict[str, str] = {"proof": place(storage, local, asked["path"], own=asked["own"])}
    except AttemptError as fault:
        answer = {"kind": fault.kind, "text": fault.text}
    except OSError as error:
        answer = {"kind": "refused", "text": f"{local.path}: {error.strerror}"}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()

"""Storage over HTTPS: WebDAV, as XRootD, dCache, EOS and StoRM speak it, entered with a bearer token or a proxy."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from septum.upload.attempt import AttemptError, Kind
from septum.upload.exchange import Door, Reply, request, trust

if TYPE_CHECKING:
    from septum.upload.local import Local

_ASK_S = 60.0
_FOUND = 200
_DONE = frozenset({200, 201, 204})
_NOT_THERE = 404
_NO_FOLDER = frozenset({404, 409})
_KINDS: Mapping[int, Kind] = {
    401: "auth",
    403: "denied",
    405: "unsupported",
    408: "gone",
    412: "differs",
    413: "space",
    423: "gone",
    425: "gone",
    429: "gone",
    501: "unsupported",
    507: "space",
}
_SERVER_ERROR = 500
_LONGEST_PAUSE_S = 60.0
_TOKEN = re.compile(r"[\x21-\x7e]+")


class WebDav:
    """One storage, see `septum.upload.place.Storage`.

    Args:
        server: Scheme, host and port.
        door: How to enter.
        until: By when everything has to be over, by the monotonic clock.
    """

    def __init__(self, server: str, door: Door, *, until: float) -> None:
        self._server = re.sub(r"^davs:", "https:", server)
        self._door, self._until = door, until

    def size(self, path: str) -> int | None:
        """Bytes of a file; None if there is none."""
        reply = self._ask("HEAD", path)
        if reply.status == _NOT_THERE:
            return None
        length = require(reply, {_FOUND}).headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal()):
            raise AttemptError("unsupported", "it does not say how large files are")
        return int(length)

    def digests(self, path: str) -> Mapping[str, str]:
        """The checksums that it has (RFC 3230), in hexadecimal."""
        reply = self._ask("HEAD", path, {"Want-Digest": "sha-256;q=1, md5;q=0.6, adler32;q=0.5"}, long=True)
        return read_digests(require(reply, {_FOUND}).headers.get("digest", ""))

    def sha256(self, path: str) -> str:
        """Read a file back."""
        found = hashlib.sha256()
        require(self._ask("GET", path, sink=found.update, long=True), {_FOUND})
        return found.hexdigest()

    def put(self, local: Local, path: str) -> None:
        """Write a file, and the folders above it."""
        reply = self._ask("PUT", path, body=local.path, long=True)
        if reply.status in _NO_FOLDER:
            self._make_folder(path.rpartition("/")[0])
            reply = self._ask("PUT", path, body=local.path, long=True)
        require(reply, _DONE)

    def move(self, source: str, target: str) -> None:
        """Rename a file."""
        headers = {"Destination": f"{self._server}{target}", "Overwrite": "F"}
        require(self._ask("MOVE", source, headers), _DONE)

    def remove(self, path: str) -> None:
        """Remove a file."""
        require(self._ask("DELETE", path), _DONE)

    def _make_folder(self, folder: str) -> None:
        if self._ask("MKCOL", folder).status in _NO_FOLDER and folder.count("/") > 1:
            self._make_folder(folder.rpartition("/")[0])
            self._ask("MKCOL", folder)
        # Whether that went well, the next PUT shows.

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: Path | None = None,
        sink: Callable[[bytes], object] | None = None,
        long: bool = False,
    ) -> Reply:
        until = self._until if long else min(self._until, time.monotonic() + _ASK_S)
        url = f"{self._server}{path}"
        return request(self._door, method, url, until=until, headers=headers, body=body, sink=sink)


def token_door(token_file: Path, environ: Mapping[str, str], ca_file: Path | None) -> Door:
    """Enter with a bearer token, read when it is needed: it may be renewed at any time."""
    context = trust(environ, ca_file)
    return Door(context=context, others=context, headers=lambda: _bearer(token_file))


def proxy_door(proxy: str, environ: Mapping[str, str], ca_file: Path | None) -> Door:
    """Enter with an X.509 proxy; without one, as anybody."""
    return Door(context=trust(environ, ca_file, proxy), others=trust(environ, ca_file))


def _bearer(token_file: Path) -> dict[str, str]:
    from septum.credentials.redact import KNOWN

    try:
        token = token_file.read_text(encoding="latin-1").strip()
    except OSError as error:
        raise AttemptError("auth", f"the token cannot be read: {error.strerror}") from None
    if not _TOKEN.fullmatch(token):
        raise AttemptError("auth", "the file of the token holds none")
    KNOWN.add(token)
    return {"Authorization": f"Bearer {token}"}


def require(reply: Reply, good: frozenset[int] | set[int]) -> Reply:
    """Let a good answer through.

    Raises:
        AttemptError: Of the kind that its status says.
    """
    if reply.status in good:
        return reply
    kind: Kind = "gone" if reply.status >= _SERVER_ERROR else "refused"
    raise AttemptError(
        _KINDS.get(reply.status, kind),
        f"HTTP {reply.status} {_words(reply.body)}".rstrip(),
        pause_s=_pause_s(reply.headers.get("retry-after", "")),
    )


def _words(body: bytes) -> str:
    """What a server says, in one line; of S3 and of WebDAV the sentence alone, since the rest repeats the request."""
    text = body.decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        found = re.findall(r"<(?:\w+:)?(?:Code|Message|message|title)>([^<]{1,200})<", text)
        text = ": ".join(dict.fromkeys(found))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _pause_s(text: str) -> float:
    return min(float(text), _LONGEST_PAUSE_S) if text.isascii() and text.isdecimal() else 0.0


def read_digests(header: str) -> dict[str, str]:
    """Checksums as RFC 3230 has them: Adler-32 in hexadecimal, the others in base64. What is odd is left out."""
    found = {}
    for item in header.split(","):
        name, _, value = item.strip().partition("=")
        name, value = name.lower(), value.strip()
        if name == "adler32" and re.fullmatch(r"[0-9A-Fa-f]{1,8}", value):
            found[name] = value.lower()
        elif name in {"sha-256", "md5"}:
            size = {"sha-256": 32, "md5": 16}[name]
            try:
                raw = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                continue
            # Some write hexadecimal digits, with or without base64 around them.
            if len(raw) == size:
                found[name] = raw.hex()
            elif re.fullmatch(rf"[0-9A-Fa-f]{{{2 * size}}}", value):
                found[name] = value.lower()
    return found

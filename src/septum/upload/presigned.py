"""Presigned URLs of S3: whoever has one may write one object, so it is a secret, all but what stands before its query.

Of such an object nothing can be asked, not even whether it is there: the URL is good for writing alone. What stands
there is replaced, as whoever signed the URL allows; it is never seen half, S3 sees to that.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from septum.credentials.redact import KNOWN
from septum.credentials.secret import Secret
from septum.credentials.variables import as_file
from septum.errors import CredentialMissingError
from septum.upload.attempt import AttemptError
from septum.upload.exchange import Door, Reply, request
from septum.upload.webdav import require

if TYPE_CHECKING:
    from septum.upload.local import Local, Proof

_LARGEST_B = 16 << 20
_SECRET_FROM = 16
_SHOWN = 5
_DONE = frozenset({200, 201, 204})


@dataclass(frozen=True, slots=True, kw_only=True)
class Presigned:
    """One URL.

    Attributes:
        url: The whole; whoever has it may write the object.
        shown: Without what is signed.
    """

    url: Secret
    shown: str


def read_urls(environ: Mapping[str, str], variable: str, names: Collection[str]) -> dict[str, Presigned]:
    """Read the URLs of some files.

    Args:
        environ: The environment.
        variable: Holds one URL, or a JSON mapping of file names to URLs, or the path of a file with either.
        names: The files.

    Raises:
        CredentialMissingError: There is none for one of them. The message shows no URL.
    """
    text = _text(environ, variable)
    if text.startswith("{"):
        found = _mapping(text, variable)
    elif len(names) > 1:
        raise _wrong(variable, f"it holds one URL, and {len(names)} files are to be published")
    else:
        found = dict.fromkeys(names, text)
    missing = sorted(set(names) - set(found))
    if missing:
        raise _wrong(variable, f"it has no URL for {', '.join(missing[:_SHOWN])}{', …' if missing[_SHOWN:] else ''}")
    return {name: _presigned(found[name], name, variable) for name in names}


def _text(environ: Mapping[str, str], variable: str) -> str:
    value = environ.get(variable, "").strip()
    path = as_file(value)
    if path is not None:
        try:
            with path.open("rb") as stream:
                value = stream.read(_LARGEST_B).decode("utf-8", "replace").strip()
        except OSError as error:
            raise _wrong(variable, f"the file that it names cannot be read: {error.strerror}") from None
    if not value:
        raise _wrong(variable, "it is not set in this CI job, or empty")
    return value


def _mapping(text: str, variable: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        # Not the parser's words: they hold the text.
        raise _wrong(variable, "it begins as JSON does, and is none") from None
    if not all(isinstance(url, str) for url in found.values()):
        raise _wrong(variable, "its JSON is no mapping of file names to URLs")
    return dict(found)


def _presigned(text: str, name: str, variable: str) -> Presigned:
    url = text.strip()
    for value in _signed(url):
        # Not the whole URL: its path is no secret, and stands in messages.
        KNOWN.add(value)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise _wrong(variable, f"what it holds for {name} is no URL with https")
    if not parts.query:
        raise _wrong(variable, f"the URL for {name} is not signed: it has no parameters")
    del port
    return Presigned(url=Secret(url, known=False), shown=f"https://{parts.netloc}{parts.path}")


def _signed(url: str) -> Iterator[str]:
    """What in a URL is secret: the values behind the question mark, as they stand there and decoded."""
    _, _, query = url.partition("?")
    raw = [item.partition("=")[2] for item in query.split("&")]
    for value in dict.fromkeys([*raw, *(value for _, value in parse_qsl(query))]):
        if len(value) >= _SECRET_FROM:
            yield value


def put(presigned: Presigned, local: Local, door: Door, *, until: float) -> Proof:
    """Write an object.

    Args:
        presigned: Its URL.
        local: The file.
        door: Whom to trust; nothing is shown but the URL.
        until: The deadline, by the monotonic clock.

    Returns:
        The proof: S3 answers with the MD5 of what it has, or has at least compared it with ours.

    Raises:
        AttemptError: It was not written, or nobody knows whether it was.
    """
    url = presigned.url.reveal()
    # With version 4 only the headers that the URL names are signed; with version 2 this one is, and must be left out.
    signs_some = re.search(r"[?&]X-(Amz|Goog)-Signature=", url) is not None
    md5 = base64.b64encode(bytes.fromhex(local.md5)).decode()
    reply = request(door, "PUT", url, until=until, headers={"Content-MD5": md5} if signs_some else {}, body=local.path)
    require(reply, _DONE)
    etag = reply.headers.get("etag", "").strip('"').lower()
    if etag == local.md5:
        return "md5"
    if re.fullmatch(r"[0-9a-f]{32}", etag) and not _encrypted(reply):
        raise AttemptError("damaged", f"its MD5 is {etag}, and that of this file {local.md5}")
    if signs_some:
        return "content-md5"
    raise AttemptError(
        "refused", "the storage took it, and says nothing by which it can be verified (no ETag of the content)"
    )


def _encrypted(reply: Reply) -> bool:
    """Whether the ETag need not be of the content: with a key of the customer or of KMS it is of something else."""
    return any(name.startswith("x-amz-server-side-encryption") for name in reply.headers)


def _wrong(variable: str, evidence: str) -> CredentialMissingError:
    return CredentialMissingError(
        f"publish: the variable {variable} does not hold the presigned URLs",
        evidence=evidence,
        fix=f"put a JSON mapping of file names to URLs that allow PUT into the CI variable {variable}, best of type "
        "file. A name with TOKEN, SECRET or KEY in it does not reach 'septum collect'.",
    )

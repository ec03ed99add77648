"""The small pieces of HTTP: a token put in at the last moment and hidden again, bodies with a limit, files, dates."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    import requests

_CHUNK_B = 1 << 16
_TOKEN = re.compile(r"(access_token=)[^&\s\"']+", re.IGNORECASE)
_LOGGERS = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")
"""They write down URLs when somebody asks Python's logging for everything."""


def hide_token(text: str) -> str:
    """A text in which no URL has the token any more."""
    return _TOKEN.sub(r"\1[token]", text)


def _without_token(record: logging.LogRecord) -> bool:
    record.msg, record.args = hide_token(record.getMessage()), ()
    return True


class Late:
    """Puts the token in when the request is sent; given as `auth`, which also keeps a .netrc file out of it."""

    def __init__(self, token: Callable[[], str], token_in: str, query: Mapping[str, str]) -> None:
        self._token, self._token_in, self._query = token, token_in, query

    def __call__(self, request: Any) -> Any:
        """Complete a request that is about to be sent."""
        query = dict(self._query)
        if self._token_in == "header":  # noqa: S105 - where it goes, not what it is
            request.headers["Authorization"] = f"Bearer {self._token()}"
        else:
            query["access_token"] = self._token()
        if query:
            request.url += "?" + urlencode(query)
        return request


class TooLongError(Exception):
    """An answer is larger than anybody asked for."""


class WriteError(Exception):
    """The disk here takes no more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.number = error.errno


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Write to a file, whose own errors must not be taken for those of the network."""
    try:
        stream = path.open("wb")
    except OSError as error:
        raise WriteError(error) from error

    def write(piece: bytes) -> None:
        try:
            stream.write(piece)
        except OSError as error:
            raise WriteError(error) from error

    try:
        yield write
    finally:
        try:
            stream.close()
        except OSError as error:
            raise WriteError(error) from error


def pieces(response: Any, limit_b: int) -> Iterator[bytes]:
    """The body; an error when it ends before the length that was announced."""
    import requests

    got_b = 0
    for piece in response.iter_content(_CHUNK_B):
        got_b += len(piece)
        if got_b > limit_b:
            raise TooLongError(f"the answer is larger than {limit_b} bytes")
        yield piece
    announced = response.headers.get("Content-Length", "")
    if announced.isdigit() and "Content-Encoding" not in response.headers and got_b != int(announced):
        raise requests.exceptions.ConnectionError(f"the answer ended after {got_b} of {announced} bytes")


def new_session(ca_file: Path | None) -> requests.Session:
    """A session that checks certificates, with a CA of the site beside the system's."""
    import ssl

    import requests
    from requests.adapters import HTTPAdapter

    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_token)  # which adds it once
    # The system's CAs; requests adds its own bundle to them, and the profile's come on top.
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=str(ca_file))

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **kwargs)

    session = requests.Session()
    session.mount("https://", Adapter())
    return session

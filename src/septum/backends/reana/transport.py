"""HTTPS to a REANA server: verified, bounded in time and size, repeated only where that changes nothing.

The token is put into a request at the last moment, and a URL never stands in a message: REANA reads the token there.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import random
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from septum.backends.reana.wire import (
    Late,
    TooLongError,
    WriteError,
    hide_token,
    new_session,
    pieces,
    writing,
)
from septum.credentials.https import date_of, retry_after
from septum.errors import AuthenticationError, ClusterFailedError, ClusterUnreachableError, SeptumError

if TYPE_CHECKING:
    import requests

CONNECT_S, READ_S = 10, 60
ATTEMPTS = 4
"""How often a request is sent that may be sent again."""
_LONGEST_PAUSE_S = 30.0
_SLOWEST_B_PER_S = 128 * 1024
"""What a transfer has to bring about: its deadline grows with its size."""
_ANSWER_B = 512 << 20
_TOO_MANY, _SERVER_ERROR, _REDIRECT, _CLIENT_ERROR = 429, 500, 300, 400
_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked.

    Attributes:
        method: Of HTTP.
        path: Below the server's address, percent-encoded: `/api/workflows`.
        query: Parameters, without the token.
        json: The body, as plain data.
        data: Or the body as it is, or the file that holds it.
        into: Where a body that comes back goes; its file is complete or is not there.
        limit_b: The largest body that is taken.
        size_b: How large the transfer is, for its deadline.
        repeat: Whether sending it again changes nothing.
        doing: What it is for, in messages: `looking for workflows`.
    """

    method: str
    path: str
    doing: str
    query: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    data: bytes | Path | None = field(default=None, repr=False)
    into: Path | None = None
    limit_b: int = _ANSWER_B
    size_b: int = 0
    repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A final answer of the server, of 200 to 299 or 400 to 499.

    Attributes:
        status: Of HTTP.
        body: Empty where it went into a file.
        at_s: The server's own time, seconds since the epoch; None if it did not say.
    """

    status: int
    body: bytes = field(repr=False)
    at_s: float | None = None


class Transport:
    """A connection to one server, which many threads may use.

    Args:
        server: `https://HOST[:PORT][/PREFIX]`.
        token: Reads the token; asked for each request, since somebody else keeps it fresh.
        token_in: `query` for the parameter `access_token`, `header` for `Authorization: Bearer`.
        ca_file: CA certificates that are trusted beside the system's.
        deadline_s: How long a request with all its attempts may take, whatever the server does.
        sleep: Waits; passed in for tests.
        jitter: A random number from 0 to 1; passed in for tests.
    """

    def __init__(
        self,
        server: str,
        token: Callable[[], str],
        *,
        token_in: str,
        ca_file: Path | None,
        deadline_s: float,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._server, self._token, self._token_in = server.rstrip("/"), token, token_in
        self._ca_file, self._deadline_s, self._sleep, self._jitter = ca_file, deadline_s, sleep, jitter
        self.host = urlsplit(server).netloc
        if not self._server.startswith("https://"):
            raise AuthenticationError(
                f"{self.host or server}: only https is spoken to REANA", fix="correct 'reana-server' of the profile"
            )
        self._session: requests.Session | None = None
        self._lock = threading.Lock()

    def call(self, request: Request) -> Answer:
        """Send a request, again if the network or the server fails and it may be repeated.

        Raises:
            ClusterUnreachableError: No final answer after all attempts, or by the deadline.
            ClusterFailedError: The answer leads elsewhere, or cannot be stored here.
            AuthenticationError: The server's certificate was not accepted.
        """
        outcome: queue.SimpleQueue[Answer | SeptumError] = queue.SimpleQueue()
        given_up = threading.Event()
        deadline_s = self._deadline_s + request.size_b / _SLOWEST_B_PER_S
        # In a thread: neither a name server nor a server that sends one byte a minute can hold us longer.
        work = threading.Thread(
            target=lambda: outcome.put(self._attempts(request, deadline_s, given_up)), daemon=True, name="reana"
        )
        work.start()
        try:
            result = outcome.get(timeout=deadline_s)
        except queue.Empty:
            result = self._unreachable(request, [f"no answer within {deadline_s:.0f} s"])
        finally:
            given_up.set()
        if isinstance(result, Answer):
            return result
        raise result

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            if self._session is not None:
                self._session.close()
            self._session = None

    def hide(self, text: str) -> str:
        """A text of the server or of a library without the token, printable, and short."""
        with contextlib.suppress(Exception):  # the token's file may be gone by now
            text = text.replace(self._token() or "access_token", "[token]")
        text = hide_token(text)
        return "".join(letter if letter.isprintable() else " " for letter in text)[:_SHOWN].strip()

    # ── attempts, in a thread of their own ──────────────────────────────────────────────────────────────────────

    def _attempts(self, request: Request, deadline_s: float, given_up: threading.Event) -> Answer | SeptumError:
        end = time.monotonic() + deadline_s
        seen: list[str] = []
        for attempt in range(ATTEMPTS if request.repeat else 1):
            result, pause_s = self._once(request, given_up)
            if not isinstance(result, str):
                return result
            seen.append(result)
            pause_s = min(max(pause_s, 2**attempt * (0.5 + self._jitter())), _LONGEST_PAUSE_S)
            if attempt + 1 == ATTEMPTS or not request.repeat or time.monotonic() + pause_s >= end:
                break
            self._sleep(pause_s)
            if given_up.is_set():
                break
        return self._unreachable(request, seen)

    def _once(self, asked: Request, given_up: threading.Event) -> tuple[Answer | SeptumError | str, float]:
        """One attempt: a final answer, a final error, or the reason to try again; and how long the server asks for."""
        import requests

        try:
            with contextlib.ExitStack() as stack:
                return self._take(asked, self._send(asked, stack), given_up)
        except SeptumError as error:  # there is no token any more
            return error, 0.0
        except TooLongError as error:
            return self._failed(asked, str(error)), 0.0
        except (requests.exceptions.RequestException, OSError) as error:
            certificate = isinstance(error, requests.exceptions.SSLError) and "certificate" in str(error).lower()
            return (self._untrusted(error) if certificate else self._reason(error)), 0.0
        except Exception as error:  # noqa: BLE001 - the thread must say something, whatever happens in it
            return self._failed(asked, self._reason(error)), 0.0

    def _send(self, asked: Request, stack: contextlib.ExitStack) -> Any:
        """Send it; returns the answer's head, whose body is still to come."""
        data: Any = asked.data
        if isinstance(asked.data, Path):
            data = stack.enter_context(asked.data.open("rb"))
        headers = {"Accept": "application/json, */*"}
        if asked.data is not None:
            headers["Content-Type"] = "application/octet-stream"
        return stack.enter_context(
            self._open().request(
                asked.method,
                f"{self._server}{asked.path}",
                data=data,
                json=asked.json,
                headers=headers,
                auth=Late(self._token, self._token_in, asked.query),
                timeout=(CONNECT_S, READ_S),
                allow_redirects=False,
                stream=True,
            )
        )

    def _take(
        self, asked: Request, response: Any, given_up: threading.Event
    ) -> tuple[Answer | SeptumError | str, float]:
        status = response.status_code
        if status == _TOO_MANY or status >= _SERVER_ERROR:
            return f"HTTP {status}{self._words(response)}", retry_after(response.headers.get("Retry-After"))
        if _REDIRECT <= status < _CLIENT_ERROR:
            return self._leads_elsewhere(asked, response.headers.get("Location", "")), 0.0
        at_s = date_of(response.headers.get("Date"))
        if asked.into is not None and status < _REDIRECT:
            return self._store(asked, response, given_up, at_s), 0.0
        body = b"".join(pieces(response, asked.limit_b))
        return Answer(status=status, body=body, at_s=at_s), 0.0

    def _store(
        self, asked: Request, response: Any, given_up: threading.Event, at_s: float | None
    ) -> Answer | SeptumError:
        """Write a body into its file, under another name until it is whole."""
        target = asked.into
        assert target is not None  # noqa: S101 - for mypy
        temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
        try:
            with writing(temporary) as write:
                for piece in pieces(response, asked.limit_b):
                    write(piece)
            if not given_up.is_set():
                temporary.replace(target)
        except WriteError as error:
            return self._failed(asked, f"writing to file {target}: {error} (errno {error.number})")
        finally:
            temporary.unlink(missing_ok=True)
        return Answer(status=response.status_code, body=b"", at_s=at_s)

    def _open(self) -> requests.Session:
        with self._lock:
            if self._session is None:
                self._session = new_session(self._ca_file)
            return self._session

    # ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────

    def _words(self, response: Any) -> str:
        """What the server says beside its status, as far as it is one line of JSON."""
        with contextlib.suppress(Exception):
            text = re.search(rb'"message"\s*:\s*"([^"]*)"', b"".join(pieces(response, 1 << 16)))
            if text:
                return f": {self.hide(text[1].decode('utf-8', 'replace'))}"
        return ""

    def _reason(self, error: Exception) -> str:
        """The innermost reason of a network error: the outer ones hold the URL."""
        inner: BaseException = error
        while True:
            nested = [arg for arg in (*inner.args, getattr(inner, "reason", None)) if isinstance(arg, BaseException)]
            if not nested:
                break
            inner = nested[0]
        text = getattr(inner, "strerror", None) or (str(inner.args[-1]) if inner.args else "")
        return self.hide(f"{type(inner).__name__}: {text}")

    def _unreachable(self, request: Request, seen: list[str]) -> ClusterUnreachableError:
        return ClusterUnreachableError(
            f"cluster: {self.host} did not answer while {request.doing}",
            evidence="\n".join(_shortened(seen)),
            fix="try again later; if it never answers, check 'reana-server' of the profile",
        )

    def _failed(self, request: Request, evidence: str) -> ClusterFailedError:
        return ClusterFailedError(
            f"cluster: {self.host} failed while {request.doing}",
            evidence=evidence,
            fix="try again; if it stays, tell the site",
        )

    def _leads_elsewhere(self, request: Request, location: str) -> ClusterFailedError:
        target = urlsplit(location)
        return ClusterFailedError(
            f"cluster: {self.host} sends us elsewhere while {request.doing}, where the token does not go",
            evidence=self.hide(f"to {target.scheme or 'https'}://{target.netloc or self.host}{target.path}"),
            fix="write the address of the server itself as 'reana-server' of the profile: "
            "SEPTUM_CLUSTER_REANA_SERVER=https://…",
        )

    def _untrusted(self, error: Exception) -> AuthenticationError:
        return AuthenticationError(
            f"the host certificate of {self.host} was not accepted",
            evidence=self._reason(error),
            fix="If the site has a CA of its own, put its certificates into a CI variable of type file, and name that "
            "variable with SEPTUM_CLUSTER_CA_VARIABLE.",
        )


def _shortened(reasons: list[str]) -> list[str]:
    """The reasons of all attempts, and how often each came in a row."""
    found = [(reason, len(list(same))) for reason, same in itertools.groupby(reasons)]
    return [f"{times} attempts: {reason}" if times > 1 else reason for reason, times in found]

"""The HTTPS calls to a token issuer: verified, bounded in time and size, repeated only where that can help.

There is no switch to turn the verification off, and no redirect is followed.
"""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from septum.errors import AuthenticationError, IssuerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from septum.errors import SeptumError

CONNECT_S, READ_S = 10, 30
_MAX_BYTES = 1024 * 1024
_CHUNK = 16 * 1024
_TOO_MANY = 429
_SERVER_ERROR = 500
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer that is final: no redirect, no server error."""

    status: int
    body: bytes = field(repr=False)
    date: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Https:
    """How to talk to an issuer.

    Args:
        ca_file: CA certificates that are trusted beside the system's.
        attempts: How often a call is tried.
        deadline_s: How long a call with all its attempts may take, whatever the server does.
        sleep: Waits; passed in for tests.
        jitter: A random number from 0 to 1; passed in for tests.
    """

    ca_file: Path | None = None
    attempts: int = 4
    deadline_s: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def call(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Callable[[], dict[str, str]],
        secret_form: Callable[[], dict[str, str]] | None = None,
    ) -> Answer:
        """Send a request, again if the network or the server fails.

        Args:
            method: GET or POST.
            url: Begins with https://.
            form: Fields of a POST.
            headers: Makes the headers when they are sent, so that a secret in them is in no frame of ours.
            secret_form: The same for further fields of a POST, anew for each attempt.

        Raises:
            IssuerUnavailableError: No final answer after all attempts, or by the deadline.
            AuthenticationError: The server's certificate was not accepted.
        """
        if not url.startswith("https://"):
            raise AuthenticationError(f"{url}: only https is spoken to an issuer", fix="Correct the profile's issuer.")
        request = _Request(method, url, form, _Late(headers, form, secret_form))
        outcome: queue.SimpleQueue[Answer | SeptumError] = queue.SimpleQueue()
        # In a thread: neither a name server nor a server that sends one byte a minute can hold us longer.
        work = threading.Thread(target=lambda: outcome.put(self._attempts(request)), daemon=True, name="issuer")
        work.start()
        try:
            result = outcome.get(timeout=self.deadline_s)
        except queue.Empty:
            result = _unavailable(url, [f"no answer within {self.deadline_s:.0f} s"])
        if isinstance(result, Answer):
            return result
        raise result

    def _attempts(self, request: _Request) -> Answer | SeptumError:
        end = time.monotonic() + self.deadline_s
        seen: list[str] = []
        for attempt in range(self.attempts):
            result, pause_s = self._once(request)
            if not isinstance(result, str):
                return result
            seen.append(f"attempt {attempt + 1}: {result}")
            pause_s = min(max(pause_s, 2**attempt * (0.5 + self.jitter())), _LONGEST_PAUSE_S)
            if attempt + 1 == self.attempts or time.monotonic() + pause_s >= end:
                break
            self.sleep(pause_s)
        return _unavailable(request.url, seen)

    def _once(self, asked: _Request) -> tuple[Answer | SeptumError | str, float]:
        """One attempt.

        Returns:
            A final answer, a final error, or the reason to try again; and how long the server asks to wait.
        """
        import requests

        try:
            with (
                _session(self.ca_file) as session,
                session.request(
                    asked.method,
                    asked.url,
                    data=asked.form,
                    auth=asked.auth,
                    timeout=(CONNECT_S, READ_S),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                if response.status_code == _TOO_MANY or response.status_code >= _SERVER_ERROR:
                    return f"HTTP {response.status_code}", retry_after(response.headers.get("Retry-After"))
                body = _bounded(response)
                return Answer(response.status_code, body, date_of(response.headers.get("Date"))), 0.0
        except requests.exceptions.SSLError as err:
            if "certificate" in str(err).lower():
                return _untrusted(asked.url, err), 0.0
            return _reason(err), 0.0
        except (requests.exceptions.RequestException, OSError) as err:
            return _reason(err), 0.0
        except Exception as err:  # noqa: BLE001 - the thread must say something, whatever happens in it
            return _unavailable(asked.url, [type(err).__name__]), 0.0


class _Late:
    """Sets headers and secret fields at the last moment; given as `auth`, which also keeps a .netrc file out of it."""

    def __init__(
        self,
        headers: Callable[[], dict[str, str]],
        form: Mapping[str, str] | None,
        secret_form: Callable[[], dict[str, str]] | None,
    ) -> None:
        self._headers, self._form, self._secret_form = headers, form, secret_form

    def __call__(self, request: Any) -> Any:
        request.headers.update(self._headers())
        if self._secret_form is not None:
            request.prepare_body({**(self._form or {}), **self._secret_form()}, None)
        return request


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    form: Mapping[str, str] | None
    auth: _Late


def _session(ca_file: Path | None) -> Any:
    import ssl

    import requests
    from requests.adapters import HTTPAdapter

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


def _bounded(response: Any) -> bytes:
    body = b""
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > _MAX_BYTES:
            raise OSError("the answer is longer than 1 MB")
    return body


def _reason(err: Exception) -> str:
    """The innermost reason of a network error; requests wraps it in the whole request."""
    inner: BaseException = err
    while True:
        nested = [arg for arg in (*inner.args, getattr(inner, "reason", None)) if isinstance(arg, BaseException)]
        if not nested:
            break
        inner = nested[0]
    text = getattr(inner, "strerror", None) or (str(inner.args[-1]) if inner.args else "")
    return f"{type(inner).__name__}: {text}"[:200]


def _untrusted(url: str, err: Exception) -> AuthenticationError:
    return AuthenticationError(
        f"the host certificate of {_host(url)} was not accepted",
        evidence=_reason(err),
        fix="If the site has a CA of its own, put its certificates into a CI variable of type file, and name that "
        "variable with SEPTUM_CLUSTER_CA_VARIABLE.",
    )


def _unavailable(url: str, seen: list[str]) -> IssuerUnavailableError:
    return IssuerUnavailableError(
        f"{_host(url)} did not answer",
        evidence="\n".join(seen),
        fix="Try again later; nothing is wrong with the analysis. If it never answers, check its address in the "
        "cluster's profile.",
    )


def _host(url: str) -> str:
    return url.split("/")[2]


def retry_after(value: str | None) -> float:
    """How long a server asks us to wait, in seconds."""
    if not value:
        return 0.0
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    date = date_of(value)
    return max(0.0, date - time.time()) if date is not None else 0.0


def date_of(value: str | None) -> float | None:
    """The time that a header names, in seconds since the epoch."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return parsedate_to_datetime(value).timestamp() if value else None
    return None

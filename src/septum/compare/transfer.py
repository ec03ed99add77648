"""Brings files here over HTTPS and XRootD: whole or not at all, and bounded in time and size."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from septum.errors import NotComparableError, SeptumError, TryAgainError
from septum.units import show_size

T = TypeVar("T")

LARGEST_B = 8 << 30
DEADLINE_S = 900.0
_ATTEMPTS = 3
_PAUSE_S = 1.0
_CONNECT_S, _READ_S = 10.0, 60.0
_CHUNK_B = 1 << 16
_LOOK_EVERY_S = 0.1
_MOST_REDIRECTS = 5
_TOO_MANY, _SERVER_ERROR, _OK = 429, 500, 200
_ABSENT = frozenset({404, 410})
_TOKENS = ("PRIVATE-TOKEN", "JOB-TOKEN")
XROOTD = frozenset({"root", "roots", "xroot", "xroots"})
_KEPT = frozenset({"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "KRB5_CONFIG", "KRB5CCNAME"})
_CREDENTIALS = frozenset({"X509_USER_PROXY", "X509_CERT_DIR", "X509_VOMS_DIR", "BEARER_TOKEN_FILE", "XrdSecPROTOCOL"})
# The client waits for minutes by default.
_PATIENCE = {"XRD_CONNECTIONWINDOW": "15", "XRD_CONNECTIONRETRY": "2", "XRD_REQUESTTIMEOUT": "60"}


class AbsentError(Exception):
    """There is no such file, says whoever should have it."""


def shown(url: str) -> str:
    """A URL without what could be a secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class LateError(Exception):
    """Something was not done in time."""


def in_time(deadline_s: float, work: Callable[[], T]) -> T:
    """Do something that talks to the network, for so long at most.

    In a thread: neither a name server nor a server that sends one byte a minute can hold us longer.

    Raises:
        LateError: It is not done in time.
    """
    outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits for it
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True, name="transfer").start()
    try:
        result, error = outcome.get(timeout=deadline_s)
    except queue.Empty:
        raise LateError(f"not done within {deadline_s:.0f} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def within(deadline_s: float, what: str, work: Callable[[], T]) -> T:
    """The same, for what brings something here.

    Raises:
        TryAgainError: It is not there in time.
    """
    try:
        return in_time(deadline_s, work)
    except LateError:
        raise TryAgainError(
            f"compare: {what} was not there within {deadline_s:.0f} s",
            fix="try again later; nothing is wrong with the results",
        ) from None


def session(ca_file: str = "") -> Any:
    """A session of `requests` that trusts the system's authorities and those of a file.

    Tokens of GitLab stay with its host: a download is redirected to a store of another host, and `requests` takes
    away the header `Authorization` alone.
    """
    import ssl

    import requests
    from requests.adapters import HTTPAdapter

    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **kwargs)

    class Session(requests.Session):
        def __init__(self) -> None:
            super().__init__()
            self._given: list[Any] = []

        def send(self, *args: Any, **kwargs: Any) -> Any:
            self._given.append(super().send(*args, **kwargs))
            return self._given[-1]

        def close(self) -> None:
            # Also a download that nobody read to its end.
            for response in self._given:
                response.close()
            super().close()

        def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
            super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]
            if self.should_strip_auth(response.request.url, prepared_request.url):  # type: ignore[no-untyped-call]
                for name in _TOKENS:
                    prepared_request.headers.pop(name, None)

    made = Session()
    made.max_redirects = _MOST_REDIRECTS
    made.headers["Accept-Encoding"] = "identity"
    made.mount("https://", Adapter())
    return made


def download(
    url: str,
    target: Path,
    *,
    environ: Mapping[str, str],
    limit_b: int = LARGEST_B,
    deadline_s: float = DEADLINE_S,
) -> None:
    """Bring one file here.

    Args:
        url: `https://…` or `root://…`.
        target: Its new place; there is nothing before the whole file is.
        environ: Names the credentials of XRootD's client; HTTPS is spoken without any.
        limit_b: The largest that it may be.
        deadline_s: The longest that it may take.

    Raises:
        AbsentError: There is no such file.
        NotComparableError: It may not be read, is too large, or the URL is of another kind.
        TryAgainError: Nobody answered in time.
    """
    scheme = urlsplit(url).scheme
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        if scheme in XROOTD:
            _xrdcp(url, Path(name), environ, limit_b, deadline_s)
        elif scheme == "https":
            within(deadline_s, shown(url), lambda: _https(url, Path(name), environ, limit_b))
        else:
            raise NotComparableError(
                f"compare: {shown(url)}: septum does not read {scheme}://", fix="use https:// or root://, or a path"
            )
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def too_large(what: str, limit_b: int) -> NotComparableError:
    """The error of a file that is larger than it may be."""
    return NotComparableError(
        f"compare: {what} is larger than {show_size(limit_b)}", fix="name a smaller reference, or compare by hand"
    )


def refused(what: str, evidence: str) -> NotComparableError:
    """The error of a file that may not be read."""
    return NotComparableError(
        f"compare: {what} may not be read", evidence=evidence, fix="check the address, and who may read it"
    )


# ── https ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _https(url: str, target: Path, environ: Mapping[str, str], limit_b: int) -> None:
    import requests

    seen: list[str] = []
    with session(environ.get("CI_SERVER_TLS_CA_FILE", "")) as made:
        # Not even a .netrc file: whoever writes the URL chooses the host.
        made.trust_env = False
        made.proxies = getproxies()
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S * 2 ** (attempt - 1))
            try:
                if _get(made, url, target, limit_b, seen):
                    return
            except requests.exceptions.SSLError as error:
                raise refused(shown(url), f"its certificate was not accepted: {error}"[:300]) from error
            except (requests.exceptions.InvalidURL, requests.exceptions.TooManyRedirects) as error:
                raise refused(shown(url), str(error)[:300]) from error
            except requests.exceptions.RequestException as error:
                seen.append(type(error).__name__)
    raise TryAgainError(
        f"compare: {shown(url)} could not be fetched",
        evidence=", ".join(seen),
        fix="try again later; nothing is wrong with the results",
    )


def _get(made: Any, url: str, target: Path, limit_b: int, seen: list[str]) -> bool:
    """One attempt; whether the file is there, or the reason why not in `seen`."""
    with made.get(url, stream=True, timeout=(_CONNECT_S, _READ_S)) as response:
        if urlsplit(response.url).scheme != "https":
            raise refused(shown(url), "it leads to an address without TLS")
        status = response.status_code
        if status in _ABSENT:
            raise AbsentError(f"HTTP {status}")
        if status == _TOO_MANY or status >= _SERVER_ERROR:
            seen.append(f"HTTP {status}")
            return False
        if status != _OK:
            raise refused(shown(url), f"HTTP {status}")
        promised = response.headers.get("Content-Length", "")
        written = 0
        with target.open("wb") as stream:
            for chunk in response.iter_content(_CHUNK_B):
                written += len(chunk)
                if written > limit_b:
                    raise too_large(shown(url), limit_b)
                stream.write(chunk)
        if promised.isdecimal() and "Content-Encoding" not in response.headers and written != int(promised):
            seen.append(f"{written} of {promised} bytes")
            return False
    return True


# ── XRootD ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _xrdcp(url: str, target: Path, environ: Mapping[str, str], limit_b: int, deadline_s: float) -> None:
    program = shutil.which("xrdcp", path=environ.get("PATH"))
    if program is None:
        raise NotComparableError(
            f"compare: {shown(url)} cannot be read: there is no xrdcp",
            fix="use an image with XRootD's client, or give the reference as https:// or as a path",
        )
    kept = {name: value for name, value in environ.items() if name in _KEPT | _CREDENTIALS or name.startswith("XRD_")}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [program, "--nopbar", "--force", url, str(target)],
            env={**_PATIENCE, **kept},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            error = _watch(process, target, shown(url), limit_b, time.monotonic() + deadline_s)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if error is not None:
            raise error
        if process.returncode:
            said.seek(0)
            words = said.read(1 << 16).decode("utf-8", "replace").strip().splitlines()
            raise _explained(url, process.returncode, words[-1][:300] if words else "it said nothing")


def _watch(process: subprocess.Popen[bytes], target: Path, what: str, limit_b: int, until: float) -> SeptumError | None:
    """Wait for the copy, as long and as large as it may be; the reason to end it, if there is one."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_EVERY_S)
        # Before the first byte, xrdcp may have removed the empty file.
        if target.exists() and target.stat().st_size > limit_b:
            return too_large(what, limit_b)
        if process.returncode is not None:
            return None
        if time.monotonic() > until:
            return TryAgainError(f"compare: {what} was not there in time", fix="try again later")


def _explained(url: str, code: int, words: str) -> Exception:
    if "[3011]" in words or "no such file" in words.lower():
        return AbsentError(words)
    if any(number in words for number in ("[3010]", "[3030]", "[3028]", "Auth failed", "Permission denied")):
        return refused(shown(url), words)
    return TryAgainError(
        f"compare: xrdcp of {shown(url)} ended with exit code {code}",
        evidence=words,
        fix="try again later; 'septum doctor --storage URL' says more",
    )

"""Whether storage can be read with the credentials of the run, and if not, why."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from septum.doctor.analysis import PLAN, PROFILE
from septum.doctor.credentials import ALL, together
from septum.doctor.explain import GRID_CAS, grid_folder, holds_authorities, look
from septum.doctor.report import Check, Outcome, Skip, ok, warning
from septum.doctor.runner import Context
from septum.errors import (
    AuthenticationError,
    NotAuthorizedError,
    PlanError,
    SeptumError,
    TryAgainError,
    error_of,
)

if TYPE_CHECKING:
    from septum.plan import Plan

_XROOTD = frozenset({"root", "roots", "xroot", "xroots"})
_HTTP = frozenset({"davs", "https"})
_DEADLINE_S = 25.0
_MOST = 3
_KEPT = ("PATH", "HOME", "LANG", "X509_CERT_DIR", "LD_LIBRARY_PATH", "KRB5_CONFIG")
_OF_THE_USER = ("X509_USER_PROXY", "BEARER_TOKEN_FILE", "KRB5CCNAME")
"""Parts on this machine find the user's own where the profile gives none."""
# The client waits for minutes by default, and says what is wrong when it has stopped.
_PATIENCE = {"XRD_CONNECTIONWINDOW": "8", "XRD_CONNECTIONRETRY": "1", "XRD_REQUESTTIMEOUT": "20"}
# For machines with XRootD's Python module and without its commands.
_SCRIPT = """\
import sys
from XRootD import client
from XRootD.client.flags import StatInfoFlags
server, path = sys.argv[1:]
files = client.FileSystem(server)
status, found = files.stat(path, timeout=20)
if status.ok and found.flags & StatInfoFlags.IS_DIR:
    status, _ = files.dirlist(path, timeout=20)
elif status.ok:
    with client.File() as file:
        status, _ = file.open(f"{server}/{path}", timeout=20)
        if status.ok:
            status, _ = file.read(0, 4, timeout=20)
print(status.message.strip())
sys.exit(status.shellcode)
"""


@dataclass(frozen=True, slots=True)
class Url:
    """Where something is to be read.

    Args:
        scheme: `root`, `roots`, `davs` or `https`.
        server: Host and port.
        path: With its leading slash.
    """

    scheme: str
    server: str
    path: str

    @property
    def host(self) -> str:
        """The host alone."""
        return urlsplit(f"//{self.server}").hostname or ""

    def __str__(self) -> str:
        """As it may be shown."""
        slashes = "//" if self.scheme in _XROOTD else "/"
        return f"{self.scheme}://{self.server}{slashes}{self.path.lstrip('/')}"


def split(url: str) -> Url | None:
    """Take a URL apart; None for what is no URL of storage, or holds what could be a secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _XROOTD | _HTTP or not parts.hostname or "@" in parts.netloc or parts.query:
        return None
    if not url.isprintable() or " " in url:
        return None
    del port
    return Url(parts.scheme, parts.netloc, "/" + unquote(parts.path).lstrip("/"))


def remote_of(plan: Plan) -> list[str]:
    """The URLs among the values of a plan's parts, one for each storage."""
    found: dict[str, str] = {}
    for part in plan.parts:
        for _, value in part.values:
            for text in [value] if isinstance(value, str) else value:
                url = split(text) if "://" in text else None
                # That a part has an address of the web need not mean that it reads data there.
                if url is not None and url.scheme != "https":
                    found.setdefault(url.server, text)
    return list(found.values())


def _to_read(context: Context) -> list[str]:
    plan = context.value(PLAN)
    return list(dict.fromkeys([*context.asked.storage, *(remote_of(plan) if plan is not None else [])]))


def grid_authorities(context: Context) -> Outcome | None:
    """The CA certificates of the grid are there, with which XRootD's client checks hosts and proxies."""
    loaded = context.value(PROFILE)
    if not _to_read(context):
        if loaded is None or loaded.profile.proxy == "no":
            return None
        raise Skip("nothing is read from the grid here; jobs use those of their workers")
    named = context.environ.get("X509_CERT_DIR", "")
    folder = next((path for path in ([named] if named else GRID_CAS) if holds_authorities(Path(path))), None)
    if folder is not None and (named or folder == str(grid_folder({}))):
        return ok(folder)
    fix = (
        f"export X509_CERT_DIR={folder}"
        if folder
        else ("Set X509_CERT_DIR to a folder with them: mount /cvmfs, or install ca-policy-egi-core")
    )
    return warning(
        f"there are no CA certificates of the grid in {grid_folder(context.environ)}",
        cause="XRootD's client needs them for proxies (gsi) and for TLS, and says only 'No protocols left to try'",
        fix=fix,
    )


def storage(context: Context) -> Outcome | None:
    """The storage can be read."""
    urls = _to_read(context)
    if not urls:
        return None
    environ = client_environment(context)
    with ThreadPoolExecutor(_MOST) as pool:
        results = list(pool.map(lambda url: _judged(context, url, environ), urls[:_MOST]))
    errors = [result for result in results if isinstance(result, SeptumError)]
    if errors:
        others = "\n".join(f"also: {error.what}\n{error.evidence}" for error in errors[1:])
        first = errors[0]
        first.evidence = "\n".join(line for line in (first.evidence, others) if line)
        raise first
    untried = [result for result in results if isinstance(result, Skip)]
    if untried:
        raise untried[0]
    more = f", and {len(urls) - _MOST} more were not tried" if len(urls) > _MOST else ""
    return ok("; ".join(map(str, results)) + more)


def client_environment(context: Context) -> dict[str, str]:
    """What a client of storage gets: paths, and the few variables that programs need to start."""
    environ, loaded = context.environ, context.value(PROFILE)
    kept = {name: environ[name] for name in _KEPT if environ.get(name)}
    credentials = together(context)
    if loaded is not None and loaded.profile.method == "local":
        given = credentials.for_parts({name: environ[name] for name in _OF_THE_USER if environ.get(name)})
    else:
        given = credentials.environment()
    return {**kept, **{name: value for name, value in given.items() if not name.startswith(("SEPTUM_", "_CONDOR_"))}}


def _judged(context: Context, text: str, environ: Mapping[str, str]) -> str | SeptumError | Skip:
    url = split(text)
    if url is None:
        return Skip("the URL cannot be taken apart")
    if url.scheme in _HTTP and text not in context.asked.storage:
        # Whoever wrote the plan chose the host; it gets no token of whoever only wants to look.
        return Skip(f"{url} would be shown the token: --storage {text} tries it")
    try:
        said = _over_http(url, environ, context) if url.scheme in _HTTP else _over_xrootd(url, environ)
    except Skip as reason:
        return reason
    if not said:
        return f"{url} can be read"
    checks = [check for key in ALL if (check := context.done.get(key.name)) is not None and check.state == "failed"]
    return explained(url, said, environ, now=context.clock(), failed=checks)


def explained(
    url: Url, said: str, environ: Mapping[str, str], *, now: float, failed: Sequence[Check] = ()
) -> SeptumError:
    """The client's words and ours, side by side.

    Args:
        url: What was to be read.
        said: What the client said about it.
        environ: The client's variables.
        now: Seconds since 1970.
        failed: Credentials that could not be had.

    Returns:
        The error, of the class of the first cause that was found.
    """
    kind = _kind(said)
    what, words = f"{url} cannot be read", f"the client says: {said}"
    if kind is TryAgainError:
        fix = "Check host and port; from a CI job, ask whether its runner may reach them."
        return TryAgainError(what, evidence=words, fix=fix)
    if kind is PlanError:
        return PlanError(what, evidence=words, fix="Check the path: the storage let us in, and has no such file.")
    seen = look(environ, host=url.host, path=url.path, now=now, let_in=kind is NotAuthorizedError)
    causes = [f"because {check.name!r} failed: {check.text}" for check in failed]
    causes += [f"because {problem.what}" for problem in seen.problems]
    causes += [f"  {line}" for problem in seen.problems[:1] for line in problem.evidence.splitlines()]
    if failed:
        fix = f"See to {failed[0].name!r} first, which failed, too: {failed[0].fix}"
        kind = error_of(failed[0].code) if failed[0].code != SeptumError.code else kind
    elif seen.problems:
        fix, kind = seen.problems[0].fix, type(seen.problems[0])
    else:
        causes.append("nothing wrong is seen in what it was given; signatures are judged by the storage alone")
        fix = (
            "Ask the storage's administrators whether it trusts this issuer or VO, and lets it read this path; with "
            "the time, their log says why."
        )
    return kind(what, evidence="\n".join([words, *causes, *seen.facts]), fix=fix)


def _kind(said: str) -> type[SeptumError]:
    lower = said.lower()
    if any(word in lower for word in ("[3011]", "no such file", "http 404")):
        return PlanError
    if any(word in lower for word in ("[3010]", "permission denied", "http 403", "not authorized")):
        return NotAuthorizedError
    if any(word in lower for word in ("auth failed", "tls error", "http 401", "certificate", "[3030]")):
        return AuthenticationError
    return TryAgainError


# ── the clients ─────────────────────────────────────────────────────────────────────────────────────────────────


def _over_xrootd(url: Url, environ: Mapping[str, str]) -> str:
    """Look at a file or folder, and read a little of it; returns what the client complains of."""
    from importlib.util import find_spec

    server = f"{url.scheme}://{url.server}/"
    program = shutil.which("xrdfs", path=environ.get("PATH"))
    if program is None:
        if find_spec("XRootD") is None:
            raise Skip("cannot be tried here: no xrdfs, and no Python module XRootD")
        return _call([sys.executable, "-c", _SCRIPT, server, url.path], environ)[1]
    found, complaint = _call([program, server, "stat", url.path], environ)
    if complaint:
        return complaint
    reading = ["ls", url.path] if "IsDir" in found else ["tail", "-c", "4", url.path]
    return _call([program, server, *reading], environ)[1]


def _call(argv: list[str], environ: Mapping[str, str]) -> tuple[str, str]:
    """Run a client; returns what it says, and its complaint if it failed."""
    try:
        done = subprocess.run(
            argv,
            env={**_PATIENCE, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_DEADLINE_S,
            check=False,
            start_new_session=True,  # without a terminal, it cannot ask for a password
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer within {_DEADLINE_S:g} s"
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode == 0:
        return said, ""
    lines = [line for line in said.splitlines() if line.strip()]
    return said, lines[-1][:300] if lines else f"exit code {done.returncode}"


def _over_http(url: Url, environ: Mapping[str, str], context: Context) -> str:
    """Ask for the head of a file by WebDAV; returns what the server complains of."""
    trust = ssl.create_default_context()
    if holds_authorities(grid_folder(environ)):
        trust.load_verify_locations(capath=str(grid_folder(environ)))
    ca_file = together(context).ca_file
    if ca_file is not None:
        trust.load_verify_locations(cafile=str(ca_file))
    headers = {}
    if token := environ.get("BEARER_TOKEN_FILE"):
        headers["Authorization"] = "Bearer " + Path(token).read_text(encoding="latin-1").strip()
    elif proxy := environ.get("X509_USER_PROXY"):
        trust.load_cert_chain(proxy)
    server = http.client.HTTPSConnection(url.server, timeout=_DEADLINE_S, context=trust)
    try:
        server.request("HEAD", quote(url.path), headers=headers)
        status = server.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        server.close()
    # A redirection is to the place of the file, for those who may read it.
    return "" if status < 400 else f"HTTP {status}"  # noqa: PLR2004 - where HTTP's errors begin

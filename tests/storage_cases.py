"""What XRootD's client says about credentials that are wrong: named cases for a real server, `facility.storage()`.

Each case makes the files, hands them to the real client and has the words that came back. XRootD says the same about
most of them, and the reason stands in the server's log alone, if anywhere. A test that wants to put other words beside
XRootD's takes a case, makes its files in a folder of its own and looks at those.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from septum.facility import process
from septum.facility.issuer import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from septum.facility import Facility

NO_PROTOCOLS = "[FATAL] Auth failed: No protocols left to try"
NO_TLS = "[FATAL] TLS error: Failed to initialize TLS"
DENIED = "[ERROR] Server responded with an error: [3010] Unable to locate /store; permission denied"
NOT_TRUSTED = "[FATAL] TLS error: resource temporarily unavailable"
# What the client's exit code is for each of them.
EXIT_CODES = {NO_PROTOCOLS: 52, NO_TLS: 51, NOT_TRUSTED: 51, DENIED: 54}


@dataclass(frozen=True)
class Given:
    """The credentials that a client is given."""

    proxy: Path | None = None
    token: Path | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The variables that name them."""
        files = {"X509_USER_PROXY": self.proxy, "BEARER_TOKEN_FILE": self.token}
        return {name: str(file) for name, file in files.items() if file is not None}


@dataclass(frozen=True)
class Case:
    """Wrong credentials, and what comes of them."""

    name: str
    make: Callable[[Facility, Path], Given]
    """Writes the files into an empty folder."""
    message: str
    """XRootD's own words."""
    reason: str = ""
    """What the server's log says. Empty if the server did not hear of the credential."""
    tls: bool = False
    """Whether the address is `roots://`, with which the client does nothing without TLS."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """More variables for the client."""


class Answer(NamedTuple):
    """What came back from the client."""

    exit_code: int
    lines: list[str]
    """What the client wrote, on both outputs."""
    log: str
    """What the server wrote meanwhile."""

    @property
    def message(self) -> str:
        """The client's last line, which is the one that says why it failed."""
        return self.lines[-1] if self.lines else ""


def xrootd_message(facility: Facility, case: Case, folder: Path) -> Answer:
    """Let XRootD's client list a folder with the credentials of a case.

    Args:
        facility: The server's facility.
        case: What to make, and how to ask.
        folder: An empty folder for the files.
    """
    return ask(facility, case.make(facility, folder), tls=case.tls, environ=case.environ, reason=case.reason)


def ask(
    facility: Facility,
    given: Given,
    *,
    tls: bool = False,
    environ: Mapping[str, str] | None = None,
    reason: str = "",
) -> Answer:
    """Let XRootD's client list a folder.

    Args:
        facility: The server's facility.
        given: The credentials, the only ones that the client finds.
        tls: Whether the address is `roots://`.
        environ: More variables for the client.
        reason: What the server is expected to write. It may do so a moment after the client has ended.
    """
    storage = facility.storage()
    before = storage.log_file.stat().st_size
    words = ("xrdfs", storage.tls_url if tls else storage.url, "ls", "/store")
    done = storage.client(*words, proxy_file=given.proxy, token_file=given.token, env=environ)
    lines = (done.stdout + done.stderr).strip().splitlines()

    def log() -> str:
        return storage.log_file.read_bytes()[before:].decode(errors="replace")

    process.wait_until(lambda: reason in log(), timeout_s=10)
    return Answer(done.returncode, lines, log())


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def good_proxy(facility: Facility, folder: Path) -> Path:
    """A proxy that the server lets in."""
    return facility.make_proxy(folder / "proxy.pem")


def good_token(facility: Facility, folder: Path, *, audience: str = "") -> Path:
    """A token that the server lets in, unless it is for another audience."""
    return _token(folder, facility.issuer.token("storage-client", audience=audience))


def expired_proxy(facility: Facility, folder: Path) -> Path:
    """A proxy that expired two hours ago, and its attributes with it."""
    return facility.make_proxy(folder / "proxy.pem", lifetime_s=-7200, voms_lifetime_s=-7200)


def open_to_all(file: Path) -> Path:
    """Give a file the mode that a shell's `>` gives it."""
    file.chmod(0o644)
    return file


def _token(folder: Path, text: str) -> Path:
    write_private(folder / "token", text)
    return folder / "token"


def _text(folder: Path, name: str, text: str) -> Path:
    write_private(folder / name, text)
    return folder / name


def _users_certificate(facility: Facility, folder: Path) -> Given:
    user = facility.proxies.user
    return Given(proxy=_text(folder, "proxy.pem", user.certificate.read_text() + user.key.read_text()))


def _half_a_proxy(facility: Facility, folder: Path) -> Given:
    text = good_proxy(facility, folder).read_text()
    return Given(proxy=_text(folder, "half.pem", text[: len(text) // 3]))


def _expired_token(facility: Facility, folder: Path) -> Given:
    text = facility.issuer.token("brief-client")
    expires_at = jwt.decode(text, options={"verify_signature": False})["exp"]
    time.sleep(max(0, expires_at - time.time()) + 0.1)
    return Given(token=_token(folder, text))


def _altered_token(facility: Facility, folder: Path) -> Given:
    head, body, signature = facility.issuer.token("storage-client").split(".")
    changed = ("A" if signature[10] != "A" else "B").join((signature[:10], signature[11:]))
    return Given(token=_token(folder, f"{head}.{body}.{changed}"))


def _signed_by_another(facility: Facility, folder: Path, *, issuer: str) -> Given:
    claims = jwt.decode(facility.issuer.token("storage-client"), options={"verify_signature": False})
    key = rsa.generate_private_key(65537, 2048)
    text = jwt.encode({**claims, "iss": issuer}, key, "RS256", headers={"kid": "another"})
    return Given(token=_token(folder, text))


def _long_token(facility: Facility, folder: Path) -> Given:
    audiences = " ".join(f"https://storage{number:03}.test:1094" for number in range(120))
    token = good_token(facility, folder, audience=f"{facility.storage().audience} {audiences}")
    # The limit is the client's.
    assert token.stat().st_size > 4096
    return Given(token=token)


# ── cases ───────────────────────────────────────────────────────────────────────────────────────────────────────

CASES = (
    Case("no credentials", lambda _, __: Given(), NO_PROTOCOLS),
    # proxies
    Case("expired proxy", lambda f, p: Given(expired_proxy(f, p)), NO_PROTOCOLS),
    Case("proxy with mode 0644", lambda f, p: Given(open_to_all(good_proxy(f, p))), NO_TLS, tls=True),
    Case("no proxy file", lambda _, p: Given(p / "proxy.pem"), NO_PROTOCOLS),
    Case("no proxy file, with TLS", lambda _, p: Given(p / "proxy.pem"), NO_TLS, tls=True),
    Case("half a proxy", _half_a_proxy, NO_PROTOCOLS),
    Case("web page as proxy", lambda _, p: Given(_text(p, "proxy.pem", "<html>503</html>\n")), NO_PROTOCOLS),
    Case("user's certificate as proxy", _users_certificate, NO_PROTOCOLS),
    Case("proxy without VO", lambda f, p: Given(f.proxies.make(p / "proxy.pem", vo=None)), DENIED, "deny gsi"),
    Case(
        "proxy with expired VO attributes",
        lambda f, p: Given(f.make_proxy(p / "proxy.pem", voms_lifetime_s=-7200)),
        DENIED,
        "deny gsi",
    ),
    Case(
        "proxy of another VO",
        lambda f, p: Given(f.proxies.make(p / "proxy.pem", vo="atlas", fqans=["/atlas/Role=NULL/Capability=NULL"])),
        DENIED,
        "deny gsi",
    ),
    # tokens
    Case("token file with mode 0644", lambda f, p: Given(token=open_to_all(good_token(f, p))), NO_PROTOCOLS),
    Case("no token file", lambda _, p: Given(token=p / "token"), NO_PROTOCOLS),
    Case("empty token file", lambda _, p: Given(token=_token(p, "")), NO_PROTOCOLS),
    Case("token of more than 4096 bytes", _long_token, NO_PROTOCOLS),
    Case("web page as token", lambda _, p: Given(token=_token(p, "<html>503</html>")), NO_PROTOCOLS, "invalid token"),
    Case("expired token", _expired_token, NO_PROTOCOLS, "token expired"),
    Case("altered token", _altered_token, NO_PROTOCOLS, "failed to verify signature"),
    Case(
        "token of another issuer",
        lambda f, p: _signed_by_another(f, p, issuer="https://another.test/"),
        NO_PROTOCOLS,
        "is not in list of allowed issuers",
    ),
    Case(
        "token with the issuer's name, signed by another",
        lambda f, p: _signed_by_another(f, p, issuer=f.issuer.url),
        NO_PROTOCOLS,
        "Key ID is not published by the issuer",
    ),
    Case(
        "token for another service",
        lambda f, p: Given(token=good_token(f, p, audience="https://another.test")),
        DENIED,
        "'aud' claim verification failed",
    ),
    Case(
        "token for jobs",
        lambda f, p: Given(token=_token(p, f.issuer.token("cmscat-client"))),
        DENIED,
        "Unable to locate /store; permission denied",
    ),
    Case(
        "token without the WLCG profile",
        lambda f, p: Given(token=_token(p, f.issuer.token("profileless-client"))),
        DENIED,
        "'scope' claim is mandatory",
    ),
    # one spoils the other
    Case(
        "good token beside a proxy with mode 0644",
        lambda f, p: Given(open_to_all(good_proxy(f, p)), good_token(f, p)),
        NO_TLS,
        tls=True,
    ),
    Case(
        "good token beside half a proxy",
        lambda f, p: Given(_half_a_proxy(f, p).proxy, good_token(f, p)),
        NO_PROTOCOLS,
    ),
    Case(
        "good token in place of a stale one in the environment",
        lambda f, p: Given(token=good_token(f, p)),
        NO_PROTOCOLS,
        "invalid token",
        environ={"BEARER_TOKEN": "stale"},
    ),
    Case(
        "good proxy where only tokens are asked for",
        lambda f, p: Given(good_proxy(f, p)),
        NO_PROTOCOLS,
        environ={"XrdSecPROTOCOL": "ztn"},
    ),
    # the client's own trust
    Case(
        "good token, no folder with authorities",
        lambda f, p: Given(token=good_token(f, p)),
        NO_PROTOCOLS,
        environ={"X509_CERT_DIR": "/no/such/folder"},
    ),
    Case(
        "good token, no folder with authorities, with TLS",
        lambda f, p: Given(token=good_token(f, p)),
        NO_TLS,
        tls=True,
        environ={"X509_CERT_DIR": "/no/such/folder"},
    ),
    Case(
        "good token, server of an unknown authority",
        lambda f, p: Given(token=good_token(f, p)),
        NOT_TRUSTED,
        "unknown ca",
        # It is there, and empty.
        environ={"X509_CERT_DIR": "/srv"},
    ),
)

"""A real XRootD server on the loopback interface, for clients with a VOMS proxy or with a bearer token.

It is set up as sites do it: whoever comes with a proxy (`gsi`) is judged by the virtual organisation in it, whoever
comes with a token (`ztn`) by the scopes in that. Tokens travel over TLS only, so the server asks every client for TLS,
also those that come with `root://`; a client that cannot do TLS then may still use its proxy, one that comes with
`roots://` may not.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from septum.facility import process
from septum.facility.errors import FacilityError
from septum.facility.issuer import ANY_AUDIENCE
from septum.facility.pool import free_port
from septum.facility.sandbox import POOL, Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from septum.facility.certificates import Authority
    from septum.facility.debian import Debian
    from septum.facility.proxy import ProxyMaker

USER_FOLDER = "/store/user"
"""The only place where clients may write, with a proxy or with a token of scope `storage.create:/store/user`."""
_FOLDERS = ("admin", "clients", "data", "etc", "home", "tmp")
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0

# Paths inside the sandboxes; what they hold is mounted there.
_TRUST = "/trust"
_CREDENTIALS = "/credentials"
_WORK = "/work"


class XRootD:
    """A running server. Create it with `start_xrootd`."""

    def __init__(
        self, *, port: int, sandbox: Sandbox, proxies: ProxyMaker, server: subprocess.Popen[str], log_file: Path
    ) -> None:
        self.port = port
        self.folder = sandbox.pool / "data"
        """What the clients see as `/`. Files may be laid down here and looked at."""
        self.log_file = log_file
        self._sandbox = sandbox
        self._proxies = proxies
        self._server = server

    @property
    def url(self) -> str:
        """The address with which a client uses TLS if it can."""
        return f"root://localhost:{self.port}/"

    @property
    def tls_url(self) -> str:
        """The address with which a client uses TLS or gives up."""
        return f"roots://localhost:{self.port}/"

    @property
    def audience(self) -> str:
        """What the server accepts as audience of a token, beside `https://wlcg.cern.ch/jwt/v1/any`."""
        return _audience(self.port)

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._server.poll() is None

    def wait_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until the server takes connections.

        Args:
            timeout_s: Deadline in seconds.

        Raises:
            FacilityError: It ended or did not get ready in time; its log is the evidence.
        """
        process.wait_until(lambda: self._ready or not self.running, timeout_s=timeout_s)
        if not self.running or not self._ready:
            raise FacilityError("the XRootD server did not start", evidence=self.log(), fix=f"read {self.log_file}")

    @property
    def _ready(self) -> bool:
        return f":{self.port} initialization completed." in self._text()

    def log(self, lines: int = 15) -> str:
        """Return the last lines of the server's log: it alone says why a client was refused."""
        return process.tail(self._text(), lines)

    def _text(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def client(
        self,
        *argv: str,
        proxy_file: Path | None = None,
        token_file: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run XRootD's own client in a world that holds the given credentials and no others.

        The client is told about the files as a job would tell it, with `X509_USER_PROXY` and `BEARER_TOKEN_FILE`.
        They keep their modes. A file that is not there is named to it all the same.

        Args:
            *argv: Such as `"xrdfs", storage.url, "ls", "/store"`.
            proxy_file: A proxy.
            token_file: A bearer token.
            env: More variables, such as `XrdSecPROTOCOL`. No secret: every user of the machine can read them.
            cwd: The client's working folder, for copies; empty if `None`.
            timeout_s: Deadline in seconds.

        Returns:
            The exit code and both outputs, whatever they are.

        Raises:
            FacilityError: The client took too long.
        """
        variables = {"X509_CERT_DIR": f"{_TRUST}/certificates"}
        mounts = {f"{_TRUST}/certificates": _certificates(self._proxies)}
        for name, file in (("X509_USER_PROXY", proxy_file), ("BEARER_TOKEN_FILE", token_file)):
            if file is not None:
                variables[name] = f"{_CREDENTIALS}/{name}"
                if file.exists():
                    mounts[variables[name]] = file
        # Clients also look in /tmp, in the home folder and in XDG_RUNTIME_DIR, so each gets new ones.
        with tempfile.TemporaryDirectory(dir=self._sandbox.pool / "clients") as name:
            world = Path(name)
            for inner in ("home", "tmp", "work"):
                (world / inner).mkdir(mode=0o700)
            sandbox = Sandbox(
                debian=self._sandbox.debian,
                pool=world,
                read_only=mounts,
                writable={_WORK: cwd or world / "work"},
            )
            return process.run(
                sandbox.argv(_with({**variables, **(env or {})}, *argv), cwd=_WORK),
                what=f"{argv[0]} as a client of XRootD",
                timeout_s=timeout_s,
                fix=f"the server's log is {self.log_file}",
                env={},
                check=False,
            )

    def stop(self) -> None:
        """Stop the server. Does nothing if it has ended."""
        listens = self.running and self._ready
        # It keeps no state that wants to be saved.
        process.kill_group(self._server)
        self._server.wait(timeout=_STOP_TIMEOUT_S)
        # The sandbox's process is gone, and the server follows it a moment later.
        if listens:
            process.wait_until(lambda: not _answers(self.port), timeout_s=_STOP_TIMEOUT_S)


def start_xrootd(
    folder: Path,
    *,
    debian: Debian,
    authority: Authority,
    proxies: ProxyMaker,
    issuer: str,
    vo: str = "cms",
    port: int | None = None,
) -> XRootD:
    """Start a server. Call `wait_ready` before use and `stop` at the end.

    The server dies with the thread that starts it, so start it from one that lives long enough.

    Args:
        folder: A new folder for everything that the server writes.
        debian: Has the server and its clients.
        authority: Signs the server's host certificate, and has signed the issuer's.
        proxies: Has the folders that say which proxies to trust.
        issuer: The token issuer's URL, with its trailing slash.
        vo: The virtual organisation whose members may read everything.
        port: Where to listen; a free one if `None`.

    Raises:
        FacilityError: The sandbox cannot be started.
    """
    port = port or free_port()
    folder.mkdir(mode=0o700, parents=True)
    for name in _FOLDERS:
        (folder / name).mkdir(mode=0o700)
    (folder / "data" / USER_FOLDER.lstrip("/")).mkdir(parents=True)
    etc = folder / "etc"
    authority.host(etc, "localhost")
    (etc / "xrootd.cfg").write_text(_configuration(port), encoding="ascii")
    # For proxies. The first path that fits decides.
    (etc / "authdb").write_text(f"o {vo} {USER_FOLDER} a / rl\n", encoding="ascii")
    (etc / "scitokens.cfg").write_text(
        f"[Global]\naudience = {_audience(port)}, {ANY_AUDIENCE}\n\n"
        f"[Issuer rehearsal]\nissuer = {issuer}\nbase_path = /\n",
        encoding="ascii",
    )
    trust = {
        f"{_TRUST}/certificates": _certificates(proxies),
        f"{_TRUST}/vomsdir": Path(proxies.environment["X509_VOMS_DIR"]),
        f"{_TRUST}/ca.pem": authority.file,
    }
    variables = {
        "X509_CERT_DIR": f"{_TRUST}/certificates",
        "X509_VOMS_DIR": f"{_TRUST}/vomsdir",
        # For the issuer's keys, which come over HTTPS and are cached in the home folder.
        "SCITOKEN_CONFIG_TLS_CA_FILE": f"{_TRUST}/ca.pem",
    }
    sandbox = Sandbox(debian=debian, pool=folder, read_only=trust)
    log_file = folder / "xrootd.log"
    with log_file.open("w") as out:
        server = subprocess.Popen(
            sandbox.argv(_with(variables, "xrootd", "-I", "v4", "-c", f"{POOL}/etc/xrootd.cfg"), cwd=POOL),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={},
            start_new_session=True,
        )
    return XRootD(port=port, sandbox=sandbox, proxies=proxies, server=server, log_file=log_file)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _audience(port: int) -> str:
    return f"https://localhost:{port}"


def _certificates(proxies: ProxyMaker) -> Path:
    return Path(proxies.environment["X509_CERT_DIR"])


def _with(variables: Mapping[str, str], *argv: str) -> list[str]:
    """Return a command with variables that the sandbox does not set."""
    return ["env", *(f"{name}={value}" for name, value in variables.items()), *argv]


def _configuration(port: int) -> str:
    host = f"{POOL}/etc/localhost"
    return f"""\
xrd.port {port}
# It can only listen on every interface, so it hangs up on whoever is not on this machine.
xrd.allow host localhost
xrd.network nodnr
all.adminpath {POOL}/admin
all.pidpath {POOL}/admin
all.export /
oss.localroot {POOL}/data

xrd.tls {host}.pem {host}.key
xrd.tlsca certdir {_TRUST}/certificates

xrootd.seclib libXrdSec.so
# Proxies: the certificate authority has no revocation list, nobody has an account, and the VO is read if there is one.
sec.protocol gsi -certdir:{_TRUST}/certificates -cert:{host}.pem -key:{host}.key -crl:0 -gmapopt:10 \
-vomsfun:libXrdVoms.so -vomsat:1
# Tokens.
sec.protocol ztn

# Tokens are judged first; who has none of storage is left to the list of virtual organisations.
ofs.authorize 1
ofs.authlib ++ libXrdAccSciTokens.so config={POOL}/etc/scitokens.cfg
acc.authdb {POOL}/etc/authdb
acc.audit deny
"""

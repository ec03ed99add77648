"""A real OAuth2 token issuer with the manners of INDIGO IAM, on the loopback interface."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.facility import node, process
from septum.facility.errors import FacilityError
from septum.facility.pool import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from septum.facility.certificates import Authority

ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
COMPUTE_SCOPES = ("compute.read", "compute.create", "compute.modify", "compute.cancel")
_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True)
class Client:
    """A client as it is registered with the issuer."""

    id: str
    scopes: tuple[str, ...] = (*COMPUTE_SCOPES, "wlcg")
    lifetime_s: int = 3600
    """How long its tokens live."""
    secret: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


CLIENTS = (
    Client("cmscat-client"),
    Client("reader-client", scopes=("compute.read", "wlcg")),
    # No account of the pool belongs to this one.
    Client("unmapped-client"),
    Client("short-client", lifetime_s=60),
    # Without the WLCG profile the tokens have neither `scope` nor `wlcg.ver`.
    Client("profileless-client", scopes=COMPUTE_SCOPES),
    Client("storage-client", scopes=("storage.read:/", "storage.create:/store/user", "wlcg")),
)


class Issuer:
    """A running issuer. Create it with `start_issuer`."""

    def __init__(
        self,
        *,
        url: str,
        folder: Path,
        ca_file: Path,
        clients: Sequence[Client],
        server: subprocess.Popen[str] | None = None,
    ) -> None:
        self.url = url
        self.folder = folder
        self.ca_file = ca_file
        self.clients = {client.id: client for client in clients}
        self._server = server

    def secret_file(self, client_id: str = "cmscat-client") -> Path:
        """Return the file with the secret of a client, readable by its owner alone."""
        return self.folder / f"{client_id}.secret"

    def wait_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until the issuer answers.

        Args:
            timeout_s: Deadline in seconds.

        Raises:
            FacilityError: It ended or did not answer in time; what it printed is the evidence.
        """
        out = self.folder / "issuer.out"
        process.wait_until(
            lambda: not self.running or "ready" in out.read_text(encoding="utf-8").splitlines(), timeout_s=timeout_s
        )
        if not self.running or "ready" not in out.read_text(encoding="utf-8").splitlines():
            raise FacilityError(
                "the token issuer did not start",
                evidence=process.tail(out.read_text(encoding="utf-8", errors="replace")),
                fix=f"read {out}",
            )

    @property
    def running(self) -> bool:
        """Whether the issuer's process, if we started it, is alive."""
        return self._server is not None and self._server.poll() is None

    def requests(self, path: str = "/token") -> list[dict[str, Any]]:
        """Return the requests so far: time, method, path, status, client, audiences, scopes.

        Args:
            path: Only the requests for this path.
        """
        log = self.folder / "requests.jsonl"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["path"] == path]

    def fail_next(self, count: int, *, status: int = 503, retry_after_s: int | None = None) -> None:
        """Let the next requests for a token fail, to see what a client does about it.

        Args:
            count: How many. 0 ends it.
            status: The HTTP status they get.
            retry_after_s: Value of the header `Retry-After`; `None` leaves it out.
        """
        body = json.dumps({"count": count, "status": status, "retry_after": retry_after_s}).encode()
        request = urllib.request.Request(f"{self.url}-/faults", data=body, method="POST")  # noqa: S310 - our own URL
        with self._open(request):
            pass

    def token(self, client_id: str = "cmscat-client", *, scope: str = "", audience: str = "") -> str:
        """Get a token.

        Args:
            client_id: One of the registered clients.
            scope: Scopes with blanks between; empty for all that the client has.
            audience: Empty for any.

        Returns:
            The token, a bearer secret.

        Raises:
            FacilityError: The issuer refused; its answer is the evidence.
        """
        client = self.clients[client_id]
        asked = {"grant_type": "client_credentials", "scope": scope, "audience": audience}
        body = urllib.parse.urlencode({key: value for key, value in asked.items() if value}).encode()
        request = urllib.request.Request(f"{self.url}token", data=body, method="POST")  # noqa: S310 - our own URL
        login = base64.b64encode(f"{client.id}:{client.secret}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        try:
            with self._open(request) as answer:
                return str(json.load(answer)["access_token"])
        except urllib.error.HTTPError as err:
            raise FacilityError(
                f"the issuer refused a token for {client_id}: {err.code}",
                evidence=err.read().decode(errors="replace"),
                fix="ask for what the client is registered for",
            ) from err

    def _open(self, request: urllib.request.Request) -> Any:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        # No proxy: the issuer is on this machine.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        return opener.open(request, timeout=30)

    def stop(self) -> None:
        """Stop the issuer. Does nothing if it has ended."""
        if self._server is None:
            return
        if self._server.stdin is not None:
            with contextlib.suppress(OSError):
                self._server.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(timeout=_STOP_TIMEOUT_S)
        process.kill_group(self._server)
        self._server.wait(timeout=_STOP_TIMEOUT_S)


def start_issuer(folder: Path, *, authority: Authority, clients: Sequence[Client] = CLIENTS) -> Issuer:
    """Start an issuer. Call `wait_ready` before use and `stop` at the end.

    Args:
        folder: A new folder for its state.
        authority: Signs the host certificate.
        clients: The registered clients.

    Raises:
        FacilityError: Node or its modules could not be installed.
    """
    modules = node.modules()
    folder.mkdir(mode=0o700, parents=True)
    identity = authority.host(folder, "localhost")
    port = free_port()
    url = f"https://localhost:{port}/"
    config = {
        "issuer": url,
        "port": port,
        "key": str(identity.key),
        "certificate": str(identity.certificate),
        "ca": str(authority.file),
        "log": str(folder / "requests.jsonl"),
        "clients": [dataclasses.asdict(client) for client in clients],
    }
    # Secrets travel in files: arguments can be read by every user of the machine.
    write_private(folder / "config.json", json.dumps(config))
    for client in clients:
        write_private(folder / f"{client.id}.secret", client.secret)
    # JavaScript looks for its modules beside the script.
    shutil.copyfile(Path(__file__).with_name("issuer.mjs"), folder / "issuer.mjs")
    (folder / "node_modules").symlink_to(modules)
    with (folder / "issuer.out").open("w") as out:
        server = subprocess.Popen(
            [str(node.node()), str(folder / "issuer.mjs"), str(folder / "config.json")],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={"HOME": str(folder), "PATH": os.defpath},
            cwd=folder,
            start_new_session=True,
        )
    return Issuer(url=url, folder=folder, ca_file=authority.file, clients=clients, server=server)


def attach_issuer(folder: Path) -> Issuer:
    """Return an issuer that another process has started, for everything but `stop`.

    Args:
        folder: The folder of its state.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    clients = [Client(**{**entry, "scopes": tuple(entry["scopes"])}) for entry in config["clients"]]
    return Issuer(url=config["issuer"], folder=folder, ca_file=Path(config["ca"]), clients=clients)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, from its first moment on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)

"""A real OAuth2 token issuer with the manners of INDIGO IAM, on the loopback interface."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from septum.facility import node, process
from septum.facility.errors import FacilityError
from septum.facility.pool import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from septum.facility.certificates import Authority

ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
COMPUTE_SCOPES = ("compute.read", "compute.create", "compute.modify", "compute.cancel")
PROJECT_ID = "217001"
"""The project that the issuer's tokens in GitLab's form are of."""
AuthMethod = Literal["client_secret_basic", "client_secret_post", "private_key_jwt"]
_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
_ASSERTION_S = 60


@dataclasses.dataclass(frozen=True)
class Client:
    """A client as it is registered with the issuer."""

    id: str
    scopes: tuple[str, ...] = (*COMPUTE_SCOPES, "wlcg")
    lifetime_s: int = 3600
    """How long its tokens live."""
    auth: AuthMethod = "client_secret_basic"
    """How it proves who it is; the issuer takes no other way."""
    secret: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """With `private_key_jwt`, `start_issuer` puts a new private key here, as PEM."""


CLIENTS = (
    Client("cmscat-client"),
    Client("reader-client", scopes=("compute.read", "wlcg")),
    # No account of the pool belongs to this one.
    Client("unmapped-client"),
    Client("short-client", lifetime_s=60),
    # Without the WLCG profile the tokens have neither `scope` nor `wlcg.ver`.
    Client("profileless-client", scopes=COMPUTE_SCOPES),
    Client("storage-client", scopes=("storage.read:/", "storage.create:/store/user", "wlcg")),
    # Its tokens expire as soon as they are there.
    Client("brief-client", scopes=("storage.read:/", "wlcg"), lifetime_s=1),
    # For runs that outlive many tokens.
    Client("twenty-seconds-client", lifetime_s=20),
    Client("analysis-client", scopes=(*COMPUTE_SCOPES, "storage.read:/", "storage.create:/store/user", "wlcg")),
    Client("post-client", auth="client_secret_post"),
    Client("key-client", auth="private_key_jwt"),
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
        door: str,
        server: subprocess.Popen[str] | None = None,
    ) -> None:
        self.url = url
        self.folder = folder
        self.ca_file = ca_file
        self.clients = {client.id: client for client in clients}
        self._door = door
        self._server = server

    def secret_file(self, client_id: str = "cmscat-client") -> Path:
        """Return the file with the secret of a client, or its private key, readable by its owner alone."""
        return self.folder / f"{client_id}.secret"

    def wait_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until the issuer answers.

        Args:
            timeout_s: Deadline in seconds.

        Raises:
            FacilityError: It ended or did not answer in time; what it printed is the evidence.
        """
        self._wait_said("ready", timeout_s=timeout_s)

    def _wait_said(self, word: str, *, times: int = 1, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until it has printed a word so many times."""
        process.wait_until(lambda: not self.running or self._said(word) >= times, timeout_s=timeout_s)
        if not self.running or self._said(word) < times:
            out = self.folder / "issuer.out"
            raise FacilityError(
                f"the token issuer did not say {word!r}",
                evidence=process.tail(out.read_text(encoding="utf-8", errors="replace")),
                fix=f"read {out}",
            )

    def _said(self, word: str) -> int:
        return (self.folder / "issuer.out").read_text(encoding="utf-8").splitlines().count(word)

    @property
    def running(self) -> bool:
        """Whether the issuer's process, if we started it, is alive."""
        return self._server is not None and self._server.poll() is None

    def requests(self, path: str = "/token") -> list[dict[str, Any]]:
        """Return the requests so far: time, method, path, status, client, auth, audiences, scopes.

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
        with self._knock("faults", {"count": count, "status": status, "retry_after": retry_after_s}):
            pass

    @contextlib.contextmanager
    def down(self, *, hangs: bool = False) -> Iterator[None]:
        """Make the issuer unreachable for a while; its key stays the same. Only for whoever has started it.

        Args:
            hangs: Whether connections are taken and never served, instead of refused.
        """
        if self._server is None or self._server.stdin is None:
            raise FacilityError(
                "only the process that started the issuer can take it away for a while",
                fix="start a facility of your own",
            )
        if hangs:
            self._server.send_signal(signal.SIGSTOP)
            try:
                yield
            finally:
                self._server.send_signal(signal.SIGCONT)
            return
        self._tell("close", "closed")
        try:
            yield
        finally:
            self._tell("listen", "ready")

    def _tell(self, command: str, answer: str) -> None:
        assert self._server is not None  # noqa: S101 - seen by `down`
        assert self._server.stdin is not None  # noqa: S101
        before = self._said(answer)
        self._server.stdin.write(f"{command}\n")
        self._server.stdin.flush()
        self._wait_said(answer, times=before + 1)

    def id_token(
        self,
        aud: str | Sequence[str],
        *,
        project_id: str = PROJECT_ID,
        ref_protected: bool = True,
        lifetime_s: int = 3600,
        **claims: Any,
    ) -> str:
        """Make a token as GitLab makes them for `id_tokens`, signed with the issuer's key.

        Args:
            aud: Whom it is for.
            project_id: GitLab writes all of its numbers as texts, the runner's alone as a number.
            ref_protected: Whether the branch or tag is protected.
            lifetime_s: GitLab's tokens live as long as the job may run.
            **claims: Further claims, or others than these; one that is `None` is left out.
        """
        now = int(time.time())
        path, sha = "cms-analysis/general/rehearsal", "2f1c0f3b5f0d4b9c8a7e6d5c4b3a29181706f5e4"
        found: dict[str, Any] = {
            "iss": self.url,
            "aud": aud if isinstance(aud, str) else list(aud),
            "sub": f"project_path:{path}:ref_type:branch:ref:main",
            "exp": now + lifetime_s,
            "nbf": now - 5,
            "iat": now,
            "jti": str(uuid.uuid4()),
            "namespace_id": "72",
            "namespace_path": path.rpartition("/")[0],
            "project_id": project_id,
            "project_path": path,
            "project_visibility": "internal",
            "user_id": "42",
            "user_login": "analyst",
            "user_email": "analyst@septum.test",
            "user_access_level": "maintainer",
            "pipeline_id": "574",
            "pipeline_source": "push",
            "job_id": "302",
            "ref": "main",
            "ref_type": "branch",
            "ref_path": "refs/heads/main",
            "ref_protected": str(ref_protected).lower(),
            "runner_id": 1,
            "runner_environment": "self-hosted",
            "sha": sha,
            "ci_config_ref_uri": f"gitlab.test/{path}//.gitlab-ci.yml@refs/heads/main",
            "ci_config_sha": sha,
            **claims,
        }
        with self._knock("sign", {name: value for name, value in found.items() if value is not None}) as answer:
            return str(json.load(answer)["token"])

    def token(
        self,
        client_id: str = "cmscat-client",
        *,
        scope: str = "",
        audience: str = "",
        lifetime_s: int | None = None,
    ) -> str:
        """Get a token.

        Args:
            client_id: One of the registered clients.
            scope: Scopes with blanks between; empty for all that the client has.
            audience: Empty for any.
            lifetime_s: For one that lives shorter than the client's tokens do.

        Returns:
            The token, a bearer secret.

        Raises:
            FacilityError: The issuer refused; its answer is the evidence.
        """
        headers, proof = self._proof(self.clients[client_id])
        asked = {"grant_type": "client_credentials", "scope": scope, "audience": audience, "expires_in": lifetime_s}
        body = urllib.parse.urlencode({key: value for key, value in {**asked, **proof}.items() if value}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own URL
            f"{self.url}token", data=body, headers=headers, method="POST"
        )
        try:
            with self._open(request) as answer:
                return str(json.load(answer)["access_token"])
        except urllib.error.HTTPError as err:
            raise FacilityError(
                f"the issuer refused a token for {client_id}: {err.code}",
                evidence=err.read().decode(errors="replace"),
                fix="ask for what the client is registered for",
            ) from err

    def _proof(self, client: Client) -> tuple[dict[str, str], dict[str, str]]:
        """Return the header and the fields of a form by which a client proves who it is."""
        if client.auth == "client_secret_basic":
            login = base64.b64encode(f"{client.id}:{client.secret}".encode()).decode()
            return {"Authorization": f"Basic {login}"}, {}
        if client.auth == "client_secret_post":
            return {}, {"client_id": client.id, "client_secret": client.secret}
        import jwt

        now = int(time.time())
        claims = {"iss": client.id, "sub": client.id, "aud": f"{self.url}token", "jti": str(uuid.uuid4())}
        assertion = jwt.encode({**claims, "iat": now, "exp": now + _ASSERTION_S}, client.secret, "RS256")
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return {}, {"client_id": client.id, "client_assertion_type": kind, "client_assertion": assertion}

    def _knock(self, door: str, body: Mapping[str, Any]) -> Any:
        """Ask for something that only tests may ask for."""
        request = urllib.request.Request(  # noqa: S310 - our own URL
            f"{self.url}-/{door}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._door}"},
            method="POST",
        )
        return self._open(request)

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
    clients = [dataclasses.replace(each, secret=_new_key()) if _has_key(each) else each for each in clients]
    door = secrets.token_urlsafe(32)
    config = {
        "issuer": url,
        "port": port,
        "key": str(identity.key),
        "certificate": str(identity.certificate),
        "ca": str(authority.file),
        "log": str(folder / "requests.jsonl"),
        "door": door,
        "clients": [
            {**dataclasses.asdict(each), **({"secret": "", "jwks": _public(each.secret)} if _has_key(each) else {})}
            for each in clients
        ],
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
    return Issuer(url=url, folder=folder, ca_file=authority.file, clients=clients, door=door, server=server)


def attach_issuer(folder: Path) -> Issuer:
    """Return an issuer that another process has started, for everything but `stop`.

    Args:
        folder: The folder of its state.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    clients = [
        Client(
            id=entry["id"],
            scopes=tuple(entry["scopes"]),
            lifetime_s=entry["lifetime_s"],
            auth=entry["auth"],
            secret=(folder / f"{entry['id']}.secret").read_text(encoding="utf-8"),
        )
        for entry in config["clients"]
    ]
    return Issuer(url=config["issuer"], folder=folder, ca_file=Path(config["ca"]), clients=clients, door=config["door"])


def _has_key(client: Client) -> bool:
    return client.auth == "private_key_jwt"


def _new_key() -> str:
    """Make a private key for a client, as PEM."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode("ascii")


def _public(pem: str) -> dict[str, Any]:
    """Return the public half of a key, as a client registers it."""
    import jwt

    key = serialization.load_pem_private_key(pem.encode("ascii"), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - `_new_key` made it
    jwk: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"keys": [{**jwk, "use": "sig", "kid": "1"}]}


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, from its first moment on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)

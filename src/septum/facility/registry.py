"""A real container registry on the loopback interface, with tokens as GitLab gives them, and a real buildah.

Both are Debian's, in a root folder of their own beside that of the pool. The double of GitLab is the service that gives
the registry's tokens: it signs what the registry verifies, and says yes and no as GitLab's does.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import platform
import shutil
import ssl
import subprocess
import threading
import urllib.parse
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.facility import cache, process
from septum.facility.debian import Debian, download, unpack
from septum.facility.errors import FacilityError
from septum.facility.pool import free_port

if TYPE_CHECKING:
    from septum.facility.certificates import Authority, Identity

_PACKAGES = (
    *("buildah", "busybox-static", "docker-registry"),
    *("base-files", "bash", "ca-certificates", "coreutils"),
)
# Count this up when a change below must rebuild the folders that users already have.
_RECIPE = 1
_ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "group": "root:x:0:\n",
    "resolv.conf": "",
    "hosts": "127.0.0.1 localhost\n",
    # Debian's own has no word for images that nobody signed, without which buildah reads none.
    "containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
}
_SERVICE, _ISSUER = "container_registry", "gitlab.test"
_LIFETIME = dt.timedelta(minutes=5)
_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Tools:
    """The root folder with buildah and the registry, and the bubblewrap that enters it."""

    root: Path
    debian: Debian
    privileged: bool = False
    """Whether the root folder is entered without a user namespace. In that of a lone user, `RUN` does not work in a
    Containerfile: buildah sets the groups of a step, and such a namespace forbids it."""

    @property
    def busybox(self) -> Path:
        """A program that needs no library: all that an image must hold to run something."""
        return self.root / "usr" / "bin" / "busybox"

    def argv(self, *writable: Path) -> list[str]:
        """The command line that enters the root folder, to be followed by a command.

        Args:
            *writable: Folders of this machine that are seen inside, at the same place.
        """
        words = [str(self.debian.tool("bwrap")), "--die-with-parent", "--unshare-pid"]
        if not self.privileged:
            words += ["--unshare-user", "--uid", "0", "--gid", "0"]
        words += ["--cap-add", "ALL", "--ro-bind", str(self.root / "usr"), "/usr"]
        words += ["--ro-bind", str(self.root / "etc"), "/etc", "--proc", "/proc", "--dev", "/dev"]
        for name in ("bin", "lib", "lib64", "sbin"):
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        words += ["--dir", "/sys"]
        for name in ("/tmp", "/var/tmp", "/run", "/root"):  # noqa: S108 - the sandbox's own
            words += ["--tmpfs", name]
        for folder in writable:
            words += ["--bind", str(folder), str(folder)]
        return [*words, "--setenv", "PATH", "/usr/bin:/usr/sbin", "--setenv", "HOME", "/root"]

    def wrap_buildah(self, folder: Path, *, storage: Path, work: Path) -> Path:
        """Write a `buildah` for the PATH of CI jobs.

        Args:
            folder: Where it is put.
            storage: A folder for its images.
            work: The folder that all paths are below that it is given.

        Returns:
            The folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        storage.mkdir(parents=True, exist_ok=True)
        quoted = " ".join(f"'{word}'" for word in self.argv(work))
        tool = folder / "buildah"
        tool.write_text(
            f'#!/bin/sh\nexec {quoted} --bind \'{storage}\' /var/lib/containers --chdir "$PWD" /usr/bin/buildah "$@"\n',
            encoding="utf-8",
        )
        tool.chmod(0o755)
        return folder


def tools(debian: Debian) -> Tools:
    """Return buildah and the registry, and download and unpack them if the cache has none.

    Args:
        debian: Has the bubblewrap.

    Raises:
        FacilityError: No mirror is known, or a package could not be downloaded or unpacked.
    """
    recipe = [_RECIPE, _PACKAGES, _ETC, platform.machine()]
    found = Tools(root=cache.build_once(cache.entry_name("builder", recipe), _build) / "root", debian=debian)
    # Root of a container may not be allowed to mount.
    root = replace(found, privileged=True)
    tried = process.run([*root.argv(), "/usr/bin/true"], what="try to enter as root", timeout_s=30, check=False)
    return root if os.geteuid() == 0 and tried.returncode == 0 else found


def _build(folder: Path) -> None:
    root = folder / "root"
    root.mkdir()
    for package in download(folder / "apt", _PACKAGES):
        unpack(package, root)
    shutil.rmtree(folder / "apt")
    for name in ("doc", "info", "locale", "man"):
        cache.remove_tree(root / "usr/share" / name)
    for name, text in _ETC.items():
        path = root / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="ascii")


@dataclass
class Registry:
    """A running registry. Create it with `start_registry`."""

    port: int
    log_file: Path
    passwords: dict[str, str]
    """By user. Who is not here has none, as a job token of a job that has ended."""
    rights: dict[str, str]
    """The beginnings of the names that a user may pull and push, by user."""
    _server: subprocess.Popen[str] | None = None
    _tokens: ThreadingHTTPServer | None = None

    @property
    def host(self) -> str:
        """What stands before the first slash of an image's name."""
        return f"localhost:{self.port}"

    @property
    def requests(self) -> list[str]:
        """Method and path of all that the registry was asked, from its log."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace")
        parts = [line.split('"')[1] for line in text.splitlines() if '"GET /v2' in line or _is_write(line)]
        return [" ".join(part.split()[:2]) for part in parts]

    def stop(self) -> None:
        """Stop the registry and the service of its tokens."""
        if self._tokens is not None:
            self._tokens.shutdown()
            self._tokens.server_close()
        if self._server is not None:
            process.kill_group(self._server)
            self._server.wait(timeout=_STOP_TIMEOUT_S)


def _is_write(line: str) -> bool:
    return any(f'"{method} /v2' in line for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE"))


def start_registry(
    folder: Path, *, tools: Tools, authority: Authority, passwords: dict[str, str], rights: dict[str, str]
) -> Registry:
    """Start a registry. Call `stop` at the end.

    Args:
        folder: A new folder for everything that it writes.
        tools: Has the program.
        authority: Signs the certificate of `localhost`.
        passwords: By user.
        rights: What names may begin with that a user may pull and push, by user.

    Raises:
        FacilityError: It does not start.
    """
    folder.mkdir(mode=0o700, parents=True)
    (folder / "data").mkdir()
    identity = authority.host(folder, "localhost")
    registry = Registry(port=free_port(), log_file=folder / "registry.log", passwords=passwords, rights=rights)
    registry._tokens = _serve_tokens(registry, identity)  # noqa: SLF001 - made here
    realm = f"https://localhost:{registry._tokens.server_port}/jwt/auth"  # noqa: SLF001
    config = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {
            "addr": f"127.0.0.1:{registry.port}",
            "tls": {"certificate": str(identity.certificate), "key": str(identity.key)},
        },
        "auth": {
            "token": {
                "realm": realm,
                "service": _SERVICE,
                "issuer": _ISSUER,
                "rootcertbundle": str(authority.file),
            }
        },
    }
    # JSON is YAML.
    (folder / "config.yml").write_text(json.dumps(config), encoding="utf-8")
    argv = tools.argv(folder, authority.file.parent)
    with registry.log_file.open("w") as out:
        registry._server = subprocess.Popen(  # noqa: SLF001
            [*argv, "/usr/bin/docker-registry", "serve", str(folder / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={"OTEL_TRACES_EXPORTER": "none"},
            start_new_session=True,
        )
    if not process.wait_until(lambda: _answers(registry, authority), timeout_s=_READY_TIMEOUT_S):
        registry.stop()
        raise FacilityError(
            "the registry did not start",
            evidence=process.tail(registry.log_file.read_text(encoding="utf-8", errors="replace")),
            fix=f"read {registry.log_file}",
        )
    return registry


def _answers(registry: Registry, authority: Authority) -> bool:
    import requests

    try:
        answer = requests.get(f"https://{registry.host}/v2/", verify=str(authority.file), timeout=5)
    except requests.exceptions.RequestException:
        return False
    return answer.status_code == 401  # noqa: PLR2004 - it wants a login


def _serve_tokens(registry: Registry, identity: Identity) -> ThreadingHTTPServer:
    """The service that GitLab has at `/jwt/auth` (doc/administration/packages/container_registry)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = _answer(registry, identity, self.path, self.headers.get("Authorization", ""))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class has
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="registry-tokens").start()
    return server


def _answer(registry: Registry, identity: Identity, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
    user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    if not user or registry.passwords.get(user) != password:
        return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "HTTP Basic: Access denied"}]}
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
    access = []
    for scope in query.get("scope", []):
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        # What is not allowed is left out, and the token is given all the same.
        if kind == "repository" and name.startswith(registry.rights.get(user, "/")):
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
    return 200, {"token": _sign(identity, user, access)}


def _sign(identity: Identity, user: str, access: list[dict[str, Any]]) -> str:
    import jwt
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
    now = dt.datetime.now(dt.timezone.utc)
    claims = {"iss": _ISSUER, "sub": user, "aud": _SERVICE, "iat": now, "nbf": now - _LIFETIME, "exp": now + _LIFETIME}
    return jwt.encode(
        {**claims, "jti": os.urandom(8).hex(), "access": access},
        identity.key.read_bytes(),
        algorithm="RS256",
        headers={"x5c": chain},
    )

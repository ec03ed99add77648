"""A double of the brokers that give credentials for GitLab's `id_tokens`: what it is asked and what it gives are real.

It stands in for services that run at CERN alone, and that only projects of CERN's GitLab can use: the CAT services of
CMS for proxies and for data sets. Their shape is from the public lessons "GitLab CI for CMS" (the repository
alefisico/cmsdas-cat-gitlab-cms, episodes 05 and 06): GET `/api` with the bare token as `Authorization`, and a JSON text
as the answer. How they refuse is not public; the words here are our own.

It also answers in the two other shapes that septum knows: GET with `Bearer`, and token exchange (RFC 8693).
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import jwt

from septum.facility import FacilityError
from septum.facility.issuer import PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from septum.facility import Facility

PROXY_AUDIENCE = "cms-cat-grid-proxy-service.app.cern.ch"
DATASETS_AUDIENCE = "cms-cat-ci-datasets.app.cern.ch"
TOKEN_AUDIENCE = "https://token-broker.septum.test"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


class _RefusedError(Exception):
    """No credential; the text is for whoever asked."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, without what was secret in it."""

    method: str
    path: str
    query: dict[str, str]
    status: int


class BrokerDouble:
    """The services, each at a path of its own: `/proxy/api`, `/datasets/api`, `/bearer`, `/bearer-proxy`, `/token`.

    Attributes:
        facility: Makes the credentials, and has signed the tokens that are brought.
        projects: The numbers of the projects that may ask.
        client: Whose tokens are given.
        proxy_life_s: How long the proxies live.
        echoes: Whether a refusal quotes what was brought, as some frameworks do.
        requests: What was asked so far.
    """

    def __init__(self, facility: Facility, folder: Path) -> None:
        self.facility = facility
        self.projects = {PROJECT_ID}
        self.client = "cmscat-client"
        self.proxy_life_s = 3600
        self.echoes = False
        self.requests: list[Asked] = []
        self.port = 0
        self._folder = folder
        self._faults: list[int] = []
        trust = ssl.create_default_context(cafile=str(facility.ca_file))
        self._keys = jwt.PyJWKClient(f"{facility.issuer.url}jwk", ssl_context=trust)

    def url(self, path: str) -> str:
        """The address of one of the services."""
        return f"https://localhost:{self.port}{path}"

    def fail_next(self, count: int, *, status: int = 503) -> None:
        """Let the next requests fail; 0 ends it."""
        self._faults = [status] * count

    def answer(self, method: str, target: str, authorization: str, body: str) -> tuple[int, object]:
        """Serve one request."""
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        form = {name: values[0] for name, values in parse_qs(body).items()}
        status, data = self._serve(method, url.path, authorization, query, form)
        self.requests.append(Asked(method, url.path, query, status))
        return status, data

    def _serve(
        self, method: str, path: str, authorization: str, query: dict[str, str], form: dict[str, str]
    ) -> tuple[int, object]:
        if self._faults:
            return self._faults.pop(), "asked for by the test"
        services: dict[tuple[str, str], tuple[str, str, Callable[[], object]]] = {
            ("GET", "/proxy/api"): (authorization, PROXY_AUDIENCE, self._proxy),
            ("GET", "/datasets/api"): (authorization, DATASETS_AUDIENCE, lambda: self._eos_token(query)),
            ("GET", "/bearer"): (_bearer(authorization), TOKEN_AUDIENCE, lambda: {"access_token": self._token(query)}),
            ("GET", "/bearer-proxy"): (_bearer(authorization), PROXY_AUDIENCE, lambda: {"proxy": self._proxy()}),
            ("POST", "/token"): (form.get("subject_token", ""), TOKEN_AUDIENCE, lambda: self._exchanged(form)),
        }
        if (method, path) not in services:
            return 404, "no such service"
        token, audience, give = services[method, path]
        try:
            self._admit(token, audience)
            return 200, give()
        except _RefusedError as refused:
            brought = f"; it was given {token}" if self.echoes else ""
            return refused.status, {"error": "access_denied", "error_description": f"{refused}{brought}"}

    def _admit(self, token: str, audience: str) -> None:
        """See that a token is GitLab's, for this service, and of a project and branch that may ask."""
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                issuer=self.facility.issuer.url,
                audience=audience,
                # Without: a token for two services would be good at both.
                options={"strict_aud": True, "require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.InvalidAudienceError as error:
            raise _RefusedError(401, "the token is for another service") from error
        except jwt.PyJWTError as error:
            raise _RefusedError(401, f"not a valid token: {type(error).__name__}") from error
        # By number: the path of a project that was renamed can be taken by somebody else.
        if not str(claims.get("project_id")).isdigit() or claims["project_id"] not in self.projects:
            raise _RefusedError(403, f"project {claims.get('project_id')} may not use this service")
        if claims.get("ref_protected") != "true":
            raise _RefusedError(403, f"{claims.get('ref')} is not a protected branch or tag")

    def _proxy(self) -> str:
        out = self._folder / f"proxy-{len(self.requests)}.pem"
        self.facility.make_proxy(out, lifetime_s=self.proxy_life_s, voms_lifetime_s=self.proxy_life_s)
        return base64.b64encode(out.read_bytes()).decode()

    def _token(self, asked: dict[str, str]) -> str:
        try:
            return self.facility.issuer.token(
                self.client, scope=asked.get("scope", ""), audience=asked.get("audience", "")
            )
        except FacilityError as error:
            raise _RefusedError(400, error.evidence) from error

    def _exchanged(self, form: dict[str, str]) -> dict[str, str]:
        if (form.get("grant_type"), form.get("subject_token_type")) != (_EXCHANGE, _ID_TOKEN):
            raise _RefusedError(400, "only id_tokens are exchanged here")
        return {"access_token": self._token(form), "issued_token_type": _ACCESS_TOKEN, "token_type": "Bearer"}

    def _eos_token(self, query: dict[str, str]) -> str:
        path = query.get("eospath", "")
        if not path.startswith("/eos/"):
            raise _RefusedError(400, f"{path or 'nothing'} is not on EOS")
        text = json.dumps({"path": path, "permission": "rx", "owner": "cmscat", "voucher": len(self.requests)})
        return f"zteos64:{base64.b64encode(zlib.compress(text.encode())).decode()}"


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token if scheme == "Bearer" else ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are not our failure."""


@contextmanager
def serving(facility: Facility, folder: Path) -> Iterator[BrokerDouble]:
    """Run the services on the loopback interface, with a certificate of the facility's authority."""
    folder.mkdir()
    double = BrokerDouble(facility, folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _serve(self, form: str) -> None:
            status, data = double.answer(self.command, self.path, self.headers.get("Authorization", ""), form)
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    identity = facility._authority.host(folder, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    server = _Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    double.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

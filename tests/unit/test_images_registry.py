"""What a registry says of an image, asked over TLS as a client would, by registries that are well and unwell."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from septum.images.reference import parse_reference
from septum.images.registry import Answer, ask_registry, logins_for
from tests.fakes.tls import serving

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "sha256:" + "c" * 64
SECRET = "word-of-nobody"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest(config: Any = CONFIG) -> bytes:
    """A manifest of one image."""
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": config}}).encode()


def index(*platforms: tuple[str, bytes]) -> bytes:
    """A list of manifests, with the attestations that builders add."""
    listed = [{"digest": _digest(data), "platform": {"architecture": name}} for name, data in platforms]
    listed.append({"digest": "sha256:" + "e" * 64, "platform": {"architecture": "unknown"}})
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()


@dataclass
class Shelf:
    """What the registry has, and what it has been asked."""

    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    status: int = 200
    realm: str = ""
    challenge: str = "Bearer"
    private: bool = False
    delay_s: float = 0.0
    asked: list[tuple[str, str]] = field(default_factory=list)

    def put(self, name: str, tag: str, data: bytes) -> str:
        """Push an image."""
        self.manifests[name, tag] = self.manifests[name, _digest(data)] = data
        return _digest(data)


class _Registry(BaseHTTPRequestHandler):
    """A registry that gives a token to everybody, and another to who has an account."""

    shelf: ClassVar[Shelf]

    def do_GET(self) -> None:
        self.shelf.asked.append((self.path.partition("?")[0], self.headers.get("Authorization", "")))
        if self.path.startswith("/token"):
            return self._token()
        name, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
        known = {f"Bearer for-{name}"} if not self.shelf.private else {f"Bearer own-{name}"}
        if self.shelf.status != 200:
            return self._answer(self.shelf.status)
        if self.headers.get("Authorization") not in known:
            realm = self.shelf.realm or f"https://{self.headers['Host']}/token"
            how = f'{self.shelf.challenge} realm="{realm}",service="registry",scope="repository:{name}:pull"'
            return self._answer(401, {"WWW-Authenticate": how})
        data = self.shelf.manifests.get((name, tag))
        return self._answer(404) if data is None else self._answer(200, body=data)

    def _token(self) -> None:
        name = self.path.partition("scope=repository%3A")[2].partition("%3Apull")[0].replace("%2F", "/")
        account = base64.b64encode(f"gitlab-ci-token:{SECRET}".encode()).decode()
        own = self.headers.get("Authorization") == f"Basic {account}"
        self._answer(200, body=json.dumps({"token": f"{'own' if own else 'for'}-{name}"}).encode())

    def _answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(body), max(1, len(body) // 4)) if self.shelf.delay_s else [0]:
            time.sleep(self.shelf.delay_s)
            self.wfile.write(body[start : start + len(body) // 4] if self.shelf.delay_s else body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


@dataclass
class Served:
    """A registry that runs."""

    host: str
    pem: str
    shelf: Shelf

    def ask(self, text: str, environ: Mapping[str, str] | None = None, *, deadline_s: float = 10) -> Answer:
        """Ask it for an image."""
        reference = parse_reference(f"{self.host}/{text}")
        return ask_registry(reference, environ=environ, verify=self.pem, deadline_s=deadline_s)

    def account(self) -> dict[str, str]:
        """What GitLab gives to the CI jobs of a project whose registry this is."""
        account = {"CI_REGISTRY_USER": "gitlab-ci-token", "CI_REGISTRY_PASSWORD": SECRET}
        return {"CI_REGISTRY": self.host, "CI_SERVER_HOST": "gitlab.example.org", **account}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Served]:
    """A registry over TLS with one image for everybody."""
    shelf = Shelf()
    shelf.put("good/image", "1", manifest())
    with serving(type("Handler", (_Registry,), {"shelf": shelf}), tmp_path) as (host, pem):
        yield Served(host, pem, shelf)


def test_an_image_with_its_digest_and_its_id(registry: Served) -> None:
    """The digest is that of the manifest's bytes, the id that of the configuration, which CVMFS names it by."""
    answer = registry.ask("good/image:1")

    assert (answer.found, answer.absent) == (True, False)
    assert answer.digest == _digest(manifest())
    assert answer.image_id == CONFIG
    assert registry.ask(f"good/image:moved@{answer.digest}") == answer


def test_an_image_for_several_architectures(registry: Served) -> None:
    """The digest is that of the list, as behind `@`; the id that of the image that the workers run."""
    arm, ours = manifest("sha256:" + "a" * 64), manifest("sha256:" + "b" * 64)
    registry.shelf.put("good/image", "arm", arm)
    registry.shelf.put("good/image", "ours", ours)
    digest = registry.shelf.put("good/image", "many", index(("arm64", arm), ("amd64", ours)))
    answer = registry.ask("good/image:many")

    assert (answer.digest, answer.image_id) == (digest, "sha256:" + "b" * 64)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (index(("arm64", manifest())), "no image for amd64"),
        (index(("amd64", manifest("gone"))), "could not be read"),
        (manifest("sha256:12"), "names no configuration"),
        (manifest(None), "names no configuration"),
        (b"{}", "names no configuration"),
        (b'{"manifests": ["x"]}', "no image for amd64"),
        (b'{"manifests": []}', "no image for amd64"),
        (b'{"config": []}', "names no configuration"),
    ],
)
def test_an_image_without_an_id(registry: Served, body: bytes, words: str) -> None:
    """It is there all the same, and why its id is not known is said."""
    registry.shelf.put("good/image", "odd", body)
    answer = registry.ask("good/image:odd")

    assert answer.found
    assert answer.digest == _digest(body)
    assert answer.image_id == ""
    assert words in answer.text


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"\xff", b"[" * 100_000, b"x" * (5 << 20)])
def test_an_answer_that_is_none(registry: Served, body: bytes) -> None:
    """A web page, another kind of JSON, and one without end are nothing that counts."""
    registry.shelf.put("good/image", "bad", body)
    answer = registry.ask("good/image:bad")

    assert not answer.found
    assert not answer.absent
    assert answer.digest == ""
    assert "no answer that can be used" in answer.text


def test_a_registry_that_has_something_else_under_a_digest(registry: Served) -> None:
    """The bytes decide, and not what the registry says of them."""
    wrong = "sha256:" + "d" * 64
    registry.shelf.manifests["good/image", wrong] = manifest()
    answer = registry.ask(f"good/image@{wrong}")

    assert not answer.found
    assert "under the digest" in answer.text


@pytest.mark.parametrize(
    ("name", "status", "absent", "words"),
    [("good/image:2", 200, True, "404"), ("good/image:1", 500, False, "HTTP 500"), ("good/image:1", 302, False, "302")],
)
def test_a_registry_that_has_it_not(registry: Served, name: str, status: int, words: str, *, absent: bool) -> None:
    """Only a 404 means that there is none."""
    registry.shelf.status = status
    answer = registry.ask(name)

    assert (answer.found, answer.absent) == (False, absent)
    assert words in answer.text


def test_a_registry_that_cannot_be_asked() -> None:
    """No opinion, at once."""
    answer = ask_registry(parse_reference("localhost:1/a/b:1"))

    assert (answer.found, answer.absent) == (False, False)
    assert "cannot be asked" in answer.text


def test_a_registry_with_another_certificate(registry: Served, tmp_path: Path) -> None:
    """It is not believed, and no password goes there."""
    answer = ask_registry(parse_reference(f"{registry.host}/good/image:1"), environ=registry.account())

    assert "cannot be asked" in answer.text
    assert registry.shelf.asked == []


def test_a_registry_that_takes_its_time(registry: Served) -> None:
    """The deadline holds for all of it, even if something comes all the while."""
    registry.shelf.delay_s = 0.3
    start = time.monotonic()
    answer = registry.ask("good/image:1", deadline_s=0.5)

    assert "took too long" in answer.text
    assert time.monotonic() - start < 3


# ── accounts ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_private_image_with_the_account_of_the_ci_job(registry: Served) -> None:
    """GitLab's own registry gets the account of the CI job, and says what nobody else may know."""
    registry.shelf.private = True
    nobody, ours = registry.ask("good/image:1"), registry.ask("good/image:1", registry.account())

    assert "without an account" in nobody.text
    assert not nobody.found
    assert (ours.found, ours.image_id) == (True, CONFIG)


def test_the_account_goes_nowhere_else(registry: Served) -> None:
    """Another registry does not get it, whatever it says."""
    registry.shelf.private = True
    answer = registry.ask("good/image:1", {**registry.account(), "CI_REGISTRY": "registry.example.org"})

    assert not answer.found
    assert not any("Basic" in authorization for _, authorization in registry.shelf.asked)


def test_the_account_does_not_follow_to_a_strange_place(registry: Served) -> None:
    """A registry that sends its clients to another host for the token gets a token for nobody."""
    registry.shelf.realm = f"https://127.0.0.1:{registry.host.rpartition(':')[2]}/token"
    registry.ask("good/image:1", registry.account())

    assert not any("Basic" in authorization for _, authorization in registry.shelf.asked)


@pytest.mark.parametrize("realm", ["http://localhost:1/token", "file:///etc/passwd", "", "no url"])
def test_a_realm_without_tls_is_not_asked(registry: Served, realm: str) -> None:
    """Whoever listens would read the password."""
    registry.shelf.realm, registry.shelf.private = realm or "x", True
    answer = registry.ask("good/image:1", registry.account())

    assert "private, or not there" in answer.text
    assert [path for path, _ in registry.shelf.asked] == ["/v2/good/image/manifests/1"]


def test_a_registry_that_wants_a_password_itself(registry: Served) -> None:
    """It is not given without its token service: the answer is that it is private."""
    registry.shelf.challenge = "Basic"

    assert "private, or not there" in registry.ask("good/image:1", registry.account()).text


def test_no_account_of_the_user_is_taken(registry: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.netrc` in the home folder is for others."""
    (tmp_path / ".netrc").write_text(f"machine localhost login gitlab-ci-token password {SECRET}\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    registry.ask("good/image:1")

    assert not any("Basic" in authorization for _, authorization in registry.shelf.asked)


def test_the_second_account_is_tried(registry: Served) -> None:
    """The one of the CI job may be for other projects than the one whose image it is, and a deploy token fits."""
    registry.shelf.private = True
    deploy = {"CI_DEPLOY_USER": "gitlab-ci-token", "CI_DEPLOY_PASSWORD": SECRET}
    answer = registry.ask("good/image:1", {**registry.account(), "CI_REGISTRY_PASSWORD": "another", **deploy})

    assert (answer.found, answer.image_id) == (True, CONFIG)


OURS = {"CI_REGISTRY": "Reg.Example.org", "CI_REGISTRY_USER": "u", "CI_REGISTRY_PASSWORD": "p"}


@pytest.mark.parametrize(
    ("environ", "users"),
    [
        ({}, []),
        ({"CI_REGISTRY": "reg.example.org"}, []),
        ({"CI_REGISTRY": "reg.example.org", "CI_REGISTRY_USER": "u"}, []),
        ({**OURS, "CI_REGISTRY": "other.example.org"}, []),
        (OURS, ["u"]),
        ({**OURS, "CI_DEPLOY_USER": "d", "CI_DEPLOY_PASSWORD": "q"}, ["u", "d"]),
    ],
)
def test_whose_account_it_is(environ: dict[str, str], users: list[str]) -> None:
    """That of the CI job, then a deploy token, for GitLab's own registry alone; a password is never shown."""
    logins = logins_for(parse_reference("reg.example.org/a:1"), environ)

    assert [login.user for login in logins] == users
    assert not any(login.password in repr(login) for login in logins)

"""A real XRootD server with proxies and tokens: what works, and what XRootD itself says about what does not."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from septum.facility import FacilityError
from septum.facility.debian import debian
from septum.facility.xrootd import start_xrootd
from tests.storage_cases import (
    CASES,
    EXIT_CODES,
    NO_PROTOCOLS,
    Case,
    Given,
    ask,
    expired_proxy,
    good_proxy,
    good_token,
    open_to_all,
    xrootd_message,
)

if TYPE_CHECKING:
    from pathlib import Path

    from septum.facility import Facility
    from septum.facility.xrootd import XRootD

USER = "login as /DC=test/DC=septum/OU=Users/CN=Robot - rehearsal"
CLIENT = "login as storage-client"
HELLO = "/store/hello.txt"


@pytest.fixture
def storage(facility: Facility) -> XRootD:
    """The server, with one file."""
    running = facility.storage()
    (running.folder / "store/hello.txt").write_text("hello\n")
    return running


@pytest.fixture
def proxy(facility: Facility, tmp_path: Path) -> Given:
    """A good proxy alone."""
    return Given(proxy=good_proxy(facility, tmp_path))


@pytest.fixture
def token(facility: Facility, tmp_path: Path) -> Given:
    """A good token alone."""
    return Given(token=good_token(facility, tmp_path))


def run(storage: XRootD, given: Given, folder: Path, *words: str) -> tuple[int, str]:
    """Run a client in a folder and return its exit code and what it wrote."""
    done = storage.client(*words, proxy_file=given.proxy, token_file=given.token, cwd=folder)
    return done.returncode, (done.stdout + done.stderr).strip()


# ── what works ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("kind", "identity"), [("proxy", USER), ("token", CLIENT)])
def test_good_credentials(
    facility: Facility,
    storage: XRootD,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    kind: str,
    identity: str,
    *,
    tls: bool,
) -> None:
    """The server knows who it is, lists a folder and sends a file, over TLS."""
    given: Given = request.getfixturevalue(kind)
    answer = ask(facility, given, tls=tls)
    url = storage.tls_url if tls else storage.url
    copied = run(storage, given, tmp_path, "xrdcp", "--nopbar", f"{url}/store/hello.txt", "there.txt")

    assert answer.exit_code == 0, answer
    assert HELLO in answer.lines
    assert identity in answer.log
    assert "connection upgraded to TLS" in answer.log
    assert copied == (0, "")
    assert (tmp_path / "there.txt").read_text() == "hello\n"


def test_tokens_and_proxies_that_are_good_too(facility: Facility, storage: XRootD, tmp_path: Path) -> None:
    """A token for this server and another, one with a line end, and a proxy as HTCondor delegates it."""
    token = good_token(facility, tmp_path, audience=f"https://another.test {storage.audience}")
    limited = facility.proxies.make(tmp_path / "limited.pem", limited=True)

    assert HELLO in ask(facility, Given(token=token)).lines
    token.write_text(token.read_text() + "\n")
    assert HELLO in ask(facility, Given(token=token)).lines
    assert HELLO in ask(facility, Given(proxy=limited)).lines


def test_writing(storage: XRootD, tmp_path: Path, proxy: Given, token: Given) -> None:
    """A token with `storage.create` makes new files at its path, folders included, and cannot replace or remove one."""
    (tmp_path / "here.bin").write_bytes(os.urandom(3_000_000))
    up = ("xrdcp", "--nopbar", "here.bin")
    user = f"{storage.url}/store/user"
    first = run(storage, token, tmp_path, *up, f"{user}/a/b.bin")
    again = run(storage, token, tmp_path, "xrdcp", "--nopbar", "--force", "here.bin", f"{user}/a/b.bin")
    removed = run(storage, token, tmp_path, "xrdfs", storage.url, "rm", "/store/user/a/b.bin")
    elsewhere = [run(storage, given, tmp_path, *up, f"{storage.url}/store/c.bin") for given in (proxy, token)]

    assert first == (0, "")
    assert (storage.folder / "store/user/a/b.bin").read_bytes() == (tmp_path / "here.bin").read_bytes()
    assert again[0] == removed[0] == 54
    assert "[3010] Unable to create /store/user/a/b.bin; permission denied" in again[1]
    assert [code for code, _ in elsewhere] == [54, 54]
    assert run(storage, proxy, tmp_path, "xrdfs", storage.url, "rm", "/store/user/a/b.bin")[0] == 0
    assert not (storage.folder / "store/user/a/b.bin").exists()
    assert not (storage.folder / "store/c.bin").exists()


def test_the_clients_run_outside_too(storage: XRootD, facility: Facility, tmp_path: Path, token: Given) -> None:
    """`xrdcp` and `xrdfs` can be put on PATH."""
    env = {
        **token.environ,
        "HOME": str(tmp_path),
        "PATH": f"{debian().bin}{os.pathsep}{os.defpath}",
        "X509_CERT_DIR": facility.proxies.environment["X509_CERT_DIR"],
        "XrdSecPROTOCOL": "ztn",
    }
    target = tmp_path / "there.txt"
    for words in (["xrdfs", storage.url, "ls", "/store"], ["xrdcp", "-s", f"{storage.url}/store/hello.txt", target]):
        subprocess.run(["sh", "-c", '"$@"', "sh", *words], env=env, check=True, timeout=60)

    assert target.read_text() == "hello\n"


# ── what does not ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_credentials(facility: Facility, tmp_path: Path, case: Case) -> None:
    """Refused, in XRootD's own words; the reason stands in the server's log, if the server heard of it at all."""
    answer = xrootd_message(facility, case, tmp_path)

    assert (answer.exit_code, answer.message) == (EXIT_CODES[case.message], case.message), answer
    assert case.reason in answer.log
    if not case.reason:
        assert "authentication failed;" not in answer.log
        assert "permission denied" not in answer.log


def test_two_credentials(facility: Facility, storage: XRootD, tmp_path: Path, token: Given) -> None:
    """The client takes the proxy first, and what is wrong with one is silently made good by the other."""
    both = Given(good_proxy(facility, tmp_path), token.token)
    asked = {"XrdSecPROTOCOL": "ztn"}
    first = ask(facility, both)
    chosen = ask(facility, both, environ=asked)
    second = ask(facility, Given(expired_proxy(facility, tmp_path), token.token))
    assert token.token is not None
    open_to_all(token.token)
    third = ask(facility, Given(good_proxy(facility, tmp_path), token.token))
    last = ask(facility, Given(good_proxy(facility, tmp_path), token.token), environ=asked)

    assert [answer.exit_code for answer in (first, chosen, second, third, last)] == [0, 0, 0, 0, 52]
    assert last.message == NO_PROTOCOLS
    names = [[name for name in (USER, CLIENT) if name in answer.log] for answer in (first, chosen, second, third)]
    assert names == [[USER], [CLIENT], [CLIENT], [USER]]


def test_a_proxy_that_others_can_read(facility: Facility, storage: XRootD, tmp_path: Path, token: Given) -> None:
    """The client goes on without TLS if the address allows it; the token beside the proxy is then of no use."""
    open_proxy = open_to_all(good_proxy(facility, tmp_path))
    alone = ask(facility, Given(open_proxy))
    beside = ask(facility, Given(open_proxy, token.token), environ={"XrdSecPROTOCOL": "ztn"})

    assert (alone.exit_code, HELLO in alone.lines) == (0, True)
    assert "has excessive access rights" in alone.message
    assert "connection upgraded to TLS" not in alone.log
    assert (beside.exit_code, beside.message) == (52, NO_PROTOCOLS)
    assert beside.lines[-2] == "security protocol 'ztn' disallowed for non-TLS connections."


# ── the server ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_cannot_start_says_why(facility: Facility, storage: XRootD, tmp_path: Path) -> None:
    """The evidence is the server's log; the first server goes on."""
    assert facility.storage() is storage
    second = start_xrootd(
        tmp_path / "second",
        debian=debian(),
        authority=facility._authority,
        proxies=facility.proxies,
        issuer=facility.issuer.url,
        port=storage.port,
    )
    try:
        with pytest.raises(FacilityError, match=r"did not start(.|\n)*(in use|initialization failed)"):
            second.wait_ready()
    finally:
        second.stop()
    assert storage.running


def test_a_server_that_is_stopped_is_gone(facility: Facility, tmp_path: Path) -> None:
    """Nobody listens any more."""
    server = start_xrootd(
        tmp_path / "server",
        debian=debian(),
        authority=facility._authority,
        proxies=facility.proxies,
        issuer=facility.issuer.url,
    )
    try:
        server.wait_ready()
        socket.create_connection(("localhost", server.port), timeout=10).close()
    finally:
        server.stop()

    assert not server.running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("localhost", server.port), timeout=10)
    server.stop()

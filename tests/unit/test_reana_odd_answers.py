"""What a REANA server, or somebody in its place, may answer: other shapes, strange names, numbers without end."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from septum.backends.reana.model import RemoteFile
from septum.backends.reana.reading import Facts, read_facts
from septum.backends.reana.sending import unpack
from septum.backends.reana.submitting import Submitter
from septum.backends.reana.workflow import Offer, parts_in
from septum.clusters.profile import Profile
from septum.credentials.held import Credentials, Held
from septum.credentials.provider import Kind
from septum.errors import (
    AuthenticationError,
    ClusterFailedError,
    QuotaExceededError,
    SeptumError,
    SubmitRefusedError,
)
from tests.unit.proxy_files import proxy
from tests.unit.test_reana_client import ITEM, TOKEN, Reply, Server, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with its client."""
    with running(tmp_path) as server:
        yield server


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────

_DEEP = b'{"items": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
_FILE = {"name": "septum/state/0001.ended", "size": {"raw": 0}}


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"message": "hello"}',
        b'{"items": null}',
        b'{"items": 7}',
        b'{"items": {"a": 1}}',
        b'{"items": ["a"]}',
        b'{"items": [{"id": 1, "name": "septum-a.1"}]}',
        _DEEP,
        b'{"items": [' + b"9" * 6000 + b"]}",
    ],
)
def test_a_list_that_is_none_is_an_error_and_no_empty_list(server: Server, body: bytes) -> None:
    """Else a run whose workflows are all there would be taken for one that is lost, and be submitted again."""
    server.say(Reply(body=body))

    with pytest.raises(ClusterFailedError):
        server.client.find("septum-")


@pytest.mark.parametrize("body", [b"{}", b'{"specification": null}', b'{"specification": [1]}'])
def test_a_specification_that_is_none_is_an_error(server: Server, body: bytes) -> None:
    """Else a workflow of the run would be taken for somebody else's."""
    server.say(Reply(body=body))

    with pytest.raises(ClusterFailedError):
        server.client.specification("w")


@pytest.mark.parametrize(
    ("values", "call"),
    [
        ({"progress": {"total": float("inf")}}, "find"),
        ({"progress": {"total": float("nan")}}, "find"),
        ({"progress": [1]}, "find"),
        ({"created": "2026-99-99T99:99:99"}, "find"),
        ({"created": 7}, "find"),
        ({"name": "septum-a.²"}, "find"),
        ({"name": "septum-a." + "9" * 5000}, "find"),
        ({"name": "septum-a..1"}, "find"),
        ({"size": {"raw": float("inf")}}, "files"),
        ({"size": "12"}, "files"),
        ({"size": None}, "files"),
        ({"last-modified": "9999-12-31T99:00:00"}, "files"),
    ],
)
def test_an_odd_value_ends_nothing(server: Server, values: dict[str, Any], call: str) -> None:
    """It is not known, and the other values are."""
    base = ITEM if call == "find" else _FILE
    server.say(Reply(body=json.dumps({"items": [{**base, **values}], "total": 1}).encode()))

    found = server.client.find("septum-a") if call == "find" else list(server.client.files("w"))

    assert len(found) == 1


def test_a_list_whose_pages_never_end_is_given_up(server: Server) -> None:
    """A server that does not know pages gives the first one again and again."""
    server.say({"items": [ITEM], "total": 10**9})

    with pytest.raises(ClusterFailedError):
        server.client.find("septum-")

    assert len(server.asked) < 5


@pytest.mark.parametrize(
    "values",
    [
        {"/api/you": {"quota": {"disk": {"usage": {"raw": float("inf")}, "limit": {"raw": 10**400}}}}},
        {"quota": {"disk": {"usage": [], "limit": 7, "health": {}}}},
        {"quota": 7, "email": ["x"]},
    ],
)
def test_an_odd_account_is_shown_as_far_as_it_goes(server: Server, values: dict[str, Any]) -> None:
    """A quota that cannot be read is no reason not to run."""
    server.say(Reply(body=json.dumps(values.get("/api/you", values)).encode()))

    server.client.account()


@pytest.mark.parametrize("memory", ["9" * 400 + "E", "²", "1e5", [], {}, "8Gi"])
def test_an_odd_offer_limits_nothing(memory: object) -> None:
    """Only what is understood does."""
    offer = Offer.read({"kubernetes_max_memory_limit": memory, "maximum_kubernetes_jobs_timeout": "²"})

    assert offer == Offer(memory_b=8 << 30 if memory == "8Gi" else None)


@pytest.mark.parametrize("path", ["account", "info"])
def test_a_server_that_is_no_reana_is_told_as_that(server: Server, path: str) -> None:
    """It has no such page; nobody has deleted anything."""
    server.say(Reply(status=404, body=b"<html>404 Not Found</html>"))

    with pytest.raises(ClusterFailedError, match="does not answer as REANA does") as caught:
        getattr(server.client, path)()

    assert "reana-server" in caught.value.fix


@pytest.mark.parametrize(
    ("status", "words", "wanted"),
    [
        (403, "Workflow septum-token-study-1.1 is already running and cannot be started again.", SubmitRefusedError),
        (403, "Workflow septum-quota-study-1.1 is already running and cannot be started again.", SubmitRefusedError),
        (403, "Token not valid.", AuthenticationError),
        (403, "User quota exceeded.\nResource: disk", QuotaExceededError),
    ],
)
def test_the_name_of_a_run_is_not_taken_for_the_servers_words(
    server: Server, status: int, words: str, wanted: type[SeptumError]
) -> None:
    """Users name their plans as they like."""
    server.say(Reply(status=status, body=json.dumps({"message": words}).encode()))

    with pytest.raises(wanted) as caught:
        server.client.start("w")

    assert type(caught.value) is wanted


@pytest.mark.parametrize("padding", [185, 195, 4085, 4090])
def test_a_token_that_is_quoted_across_a_limit_is_not_shown_in_part(server: Server, padding: int) -> None:
    """What is cut is looked through before that."""
    for status in (200, 400):
        server.say(Reply(status=status, body=b"<p>" + b"x" * padding + TOKEN.encode() + b"</p>"))
        with pytest.raises(SeptumError) as caught:
            server.client.account()
        assert TOKEN[:6] not in str(caught.value) + caught.value.evidence


# ── names of files and of parts ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        "septum/state/0001.told.x",
        "septum/state/0001.told.1.².0.ok.host",
        "septum/state/0001.told.²",
        "septum/state/0001.began." + "9" * 5000 + ".host",
        "septum/state/0001.told.1.0." + "9" * 5000 + ".ok.host",
        "septum/state/0001.told.1." + "9" * 5000 + ".0.ok.host",
        "septum/state/../0001.ended",
        "../septum/state/0001.ended",
        "septum/state/٠٠٠١.began.1.host",
        "septum/state/0001.ended\n",
        "septum/back/../0001.tar",
        "septum/back/٠٠٠١.tar",
    ],
)
def test_a_name_that_no_step_writes_tells_nothing(name: str) -> None:
    """The command of a part may write there, too."""
    assert read_facts({name: RemoteFile(name=name, size_b=1)}) in ({}, {"0001": Facts()})


@pytest.mark.parametrize("text", ["0-999999999999", "0000-9999999999,0001", "0005-0001", "٠-٩", "1" * 13])
def test_ids_that_no_plan_has_are_not_counted_out(text: str) -> None:
    """A workflow may say anything of itself."""
    assert len(parts_in(text)) <= 1


# ── archives ────────────────────────────────────────────────────────────────────────────────────────────────────


def _sparse(path: Path) -> None:
    head = tarfile.TarInfo("x.out0")
    head.type, head.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(head.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\x00%011o\x00" % (0, 512)
    block[483:495] = b"%011o\x00" % (7 << 30)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block)
    path.write_bytes(bytes(block) + b"x" * 512 + b"\x00" * 1024)


def _pax(path: Path, headers: dict[str, str]) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x.out0")
        info.size, info.pax_headers = 4, headers
        archive.addfile(info, io.BytesIO(b"data"))


def _twice(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for data in (b"one", b"two"):
            info = tarfile.TarInfo("x.out0")
            info.size = 3
            archive.addfile(info, io.BytesIO(data))


def _of_kind(kind: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo("x.out0")
            info.type, info.linkname = kind, "x.out0"
            archive.addfile(info)

    return make


@pytest.mark.parametrize(
    "make",
    [
        _sparse,
        lambda path: _pax(path, {"GNU.sparse.map": "x,y", "GNU.sparse.size": "z"}),
        lambda path: _pax(path, {"GNU.sparse.map": "0,4,7516192768,0", "GNU.sparse.size": "7516192768"}),
        lambda path: _pax(path, {"size": "99999999999999999999"}),
        lambda path: _pax(path, {"size": "-99999"}),
        _twice,
        _of_kind(tarfile.CHRTYPE),
        _of_kind(tarfile.BLKTYPE),
        _of_kind(tarfile.FIFOTYPE),
        _of_kind(tarfile.LNKTYPE),
    ],
)
def test_an_archive_that_no_step_packs_is_refused_and_fills_no_disk(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A member that is said to be seven gigabytes long has a few bytes in the archive."""
    make(tmp_path / "a.tar")
    (tmp_path / "in").mkdir()

    with pytest.raises(ClusterFailedError):
        unpack(tmp_path / "a.tar", tmp_path / "in", {"x.out0"})

    assert sum(file.stat().st_size for file in (tmp_path / "in").iterdir()) < 1000


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_collect_that_did_not_submit_stores_a_renewed_proxy(tmp_path: Path) -> None:
    """Once for each proxy: the steps that start later get it."""
    stored: list[set[str]] = []

    class Stores:
        def store_secrets(self, secrets: dict[str, object]) -> None:
            stored.append(set(secrets))

    path = tmp_path / "proxy"
    path.write_bytes(proxy())
    credentials = Credentials(tmp_path)
    held = Held(kind=Kind.PROXY, path=path, source="x", identity="x", expires_at=1.0, renewable=True)
    credentials.held[Kind.PROXY] = held
    profile = Profile(name="r", method="reana", reana_server="https://reana.example.org", credentials="access-token")
    submitter = Submitter(
        None, profile, credentials, client=Stores(), runs=None, each=None  # type: ignore[arg-type]
    )  # fmt: skip

    submitter.refresh_proxy()
    submitter.refresh_proxy()
    held.expires_at = 2.0
    submitter.refresh_proxy()

    assert len(stored) == 2
    assert all("VOMSPROXY_FILE" in names for names in stored)

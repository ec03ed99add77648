"""The client of REANA against a server over TLS that does what servers and proxies do: errors, delays, cut answers."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from septum.backends.reana.client import Client
from septum.backends.reana.model import Secret
from septum.errors import (
    AuthenticationError,
    ClusterFailedError,
    ClusterUnreachableError,
    QuotaExceededError,
    SeptumError,
    SubmitRefusedError,
    WorkflowGoneError,
)
from tests.fakes.tls import serving

TOKEN = "secret-token-of-nobody"
ITEM = {
    "id": "11111111-1111-4111-8111-111111111111",
    "name": "septum-a-1-2.1",
    "status": "running",
    "created": "2026-11-23T10:00:00.123",
    "progress": {"total": {"total": 4, "job_ids": []}, "finished": {"total": 1, "job_ids": ["x"]}},
}


@dataclass(slots=True)
class Reply:
    """What the server answers; `cut` leaves so many bytes of the body out, `head` is sent with it."""

    status: int = 200
    body: bytes = b"{}"
    head: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    wait: threading.Event | None = None


@dataclass(slots=True)
class Asked:
    """What somebody asked."""

    method: str
    path: str
    query: dict[str, str]
    head: dict[str, str]
    body: bytes


class Server:
    """Answers one reply after the other, the last for ever."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [Reply()]
        self.asked: list[Asked] = []
        self.client: Client
        self.waits: list[float] = []
        self.host = ""

    def say(self, *replies: Reply | dict[str, Any]) -> None:
        """Set the replies."""
        made = [each if isinstance(each, Reply) else Reply(body=json.dumps(each).encode()) for each in replies]
        self.replies = made

    def answer(self) -> Reply:
        """The next."""
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextlib.contextmanager
def running(folder: Path, *, token: Callable[[], str] = lambda: TOKEN, **options: Any) -> Iterator[Server]:
    """A server and a client of it that does not really wait."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        state: ClassVar[Server] = server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle_any(self) -> None:
            """Note and answer."""
            found = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {name: values[0] for name, values in parse_qs(found.query).items()}
            server.asked.append(Asked(self.command, found.path, query, dict(self.headers), body))
            reply = server.answer()
            if reply.wait is not None:
                reply.wait.wait(20)
            self.send_response(reply.status)
            for name, value in reply.head.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) - reply.cut])
            if reply.cut:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the library's names

    with serving(Handler, folder) as (host, pem):
        ca_file = Path(options.pop("ca_file", pem))
        server.host = host
        server.client = Client(f"https://{host}/", token, ca_file=ca_file, sleep=server.waits.append, **options)
        try:
            yield server
        finally:
            server.client.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with its client."""
    with running(tmp_path) as server:
        yield server


# ── what is asked and read ──────────────────────────────────────────────────────────────────────────────────────


def test_workflows_are_found_with_one_request_that_asks_for_no_logs(server: Server) -> None:
    """The server looks for the text anywhere, and lists what was deleted."""
    other = {**ITEM, "name": "x-septum-a-1-2.1"}
    gone = {**ITEM, "name": "septum-a-1-2.2", "status": "deleted"}
    later = {**ITEM, "name": "septum-a-1-2.1.1"}
    server.say({"items": [gone, later, other, ITEM], "total": 4})

    found = server.client.find("septum-a-1-")

    assert [each.full_name for each in found] == ["septum-a-1-2.1", "septum-a-1-2.1.1"]
    assert (found[1].name, found[1].numbers) == ("septum-a-1-2", (1, 1))
    assert found[0].progress == {"total": 4, "running": 0, "finished": 1, "failed": 0}
    assert found[0].created_s == 1795428000.0
    (asked,) = server.asked
    assert asked.path == "/api/workflows"
    assert asked.query == {
        "type": "batch",
        "verbose": "false",
        "search": '{"name": ["septum-a-1-"]}',
        "include_progress": "true",
        "access_token": TOKEN,
    }
    assert [each.status for each in server.client.find("septum-a-1-2", deleted=True)] == ["running"] * 2 + ["deleted"]


def test_a_list_that_comes_in_pages_is_read_to_its_end(server: Server) -> None:
    """Where a server has a limit of its own."""
    items = [{"name": f"septum/state/{n:04}.ended", "size": {"raw": n}} for n in range(5)]
    pages = [{"items": items[:2], "total": 5}, {"items": items[2:4], "total": 5}, {"items": items[4:], "total": 5}]
    server.say(*pages)

    found = server.client.files("w", under="septum/")

    assert [file.size_b for file in found.values()] == [0, 1, 2, 3, 4]
    assert [asked.query.get("page") for asked in server.asked] == [None, "2", "3"]


def test_the_listing_of_an_older_server_is_searched_here(server: Server) -> None:
    """It does not know the parameter, and its sizes are bare numbers."""
    server.say({"items": [{"name": "septum-run/septum/x", "size": 1}, {"name": "/septum/a", "size": 2}], "total": 2})

    found = server.client.files("w", under="septum/")

    assert {name: file.size_b for name, file in found.items()} == {"septum/a": 2}


@pytest.mark.parametrize("token_in", ["query", "header"])
def test_the_token_stands_where_the_profile_says_and_is_read_for_each_request(tmp_path: Path, token_in: str) -> None:
    """Somebody else keeps it fresh."""
    tokens = iter(["first", "second"])
    with running(tmp_path, token=lambda: next(tokens), token_in=token_in) as server:
        server.say({"email": "a@example.org"})
        for _ in range(2):
            assert server.client.account().email == "a@example.org"

        in_query = [asked.query.get("access_token") for asked in server.asked]
        in_header = [asked.head.get("Authorization") for asked in server.asked]

    if token_in == "query":
        assert (in_query, in_header) == (["first", "second"], [None, None])
    else:
        assert (in_query, in_header) == ([None, None], ["Bearer first", "Bearer second"])


def test_an_upload_is_the_bytes_as_they_are(server: Server, tmp_path: Path) -> None:
    """From memory or from a file."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 1000)
    server.say({"message": "ok"})

    server.client.upload("w", "septum/send/a", b"\x00\xff")
    server.client.upload("w", "septum/send/b", path)

    assert [asked.body for asked in server.asked] == [b"\x00\xff", path.read_bytes()]
    assert [asked.query["file_name"] for asked in server.asked] == ["septum/send/a", "septum/send/b"]
    assert {asked.head["Content-Type"] for asked in server.asked} == {"application/octet-stream"}


def test_a_restart_gives_the_new_run(server: Server) -> None:
    """With its own id, and the number behind the point."""
    server.say({"workflow_id": "new", "workflow_name": "septum-a", "run_number": "1.1", "status": "queued"})

    again = server.client.start("old", restart=True)

    assert (again.id, again.full_name, again.status) == ("new", "septum-a.1.1", "queued")
    assert json.loads(server.asked[0].body) == {"restart": True}


def test_logs_are_read_job_by_job(server: Server) -> None:
    """They come as a text in a text."""
    logs = {"workflow_logs": "engine", "job_logs": {"j1": {"job_name": "part_0001", "status": "failed", "logs": "x"}}}
    server.say({"logs": json.dumps(logs)})

    found = server.client.logs("w")

    assert found.engine == "engine"
    assert [(job.name, job.status, job.text) for job in found.jobs] == [("part_0001", "failed", "x")]


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_fails_for_a_moment_is_asked_again_with_growing_pauses(server: Server) -> None:
    """And told in no message."""
    server.say(Reply(status=502), Reply(status=503, head={"Retry-After": "7"}), {"items": [], "total": 0})

    assert server.client.find("septum-") == []
    assert len(server.asked) == 3
    assert 0.5 <= server.waits[0] <= 1.5
    assert server.waits[1] == 7.0


def test_a_server_that_goes_on_failing_is_told_with_its_words(server: Server) -> None:
    """So often, and no more."""
    server.say(Reply(status=500, body=b'{"message": "Internal controller error."}'))

    with pytest.raises(ClusterUnreachableError) as caught:
        server.client.find("septum-")

    assert type(caught.value) is ClusterUnreachableError
    assert len(server.asked) == 4
    assert "4 attempts: HTTP 500: Internal controller error." in caught.value.evidence


def test_a_workflow_is_asked_for_once_only(server: Server) -> None:
    """A second request would make a second one."""
    server.say(Reply(status=503))

    with pytest.raises(ClusterUnreachableError):
        server.client.create("septum-a", {})
    with pytest.raises(ClusterUnreachableError):
        server.client.start("w")

    assert [asked.path for asked in server.asked] == ["/api/workflows", "/api/workflows/w/start"]


def test_a_server_that_does_not_answer_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    """Whatever it does."""
    with running(tmp_path, deadline_s=0.3) as server:
        release = threading.Event()
        server.say(Reply(wait=release))
        try:
            with pytest.raises(ClusterUnreachableError) as caught:
                server.client.account()
        finally:
            release.set()

    assert "no answer within 0 s" in caught.value.evidence


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_token_is_sent_nowhere_else(server: Server, status: int) -> None:
    """A redirect is told and not followed, be it to the same host."""
    target = f"https://elsewhere.example.org/login?next=x&access_token={TOKEN}"
    server.say(Reply(status=status, head={"Location": target}))

    with pytest.raises(ClusterFailedError) as caught:
        server.client.account()

    assert len(server.asked) == 1
    assert "https://elsewhere.example.org/login" in caught.value.evidence
    assert TOKEN not in str(caught.value)


def test_a_certificate_that_nobody_trusts_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    """There is no switch for it."""
    other = tmp_path / "other"
    other.mkdir()
    with running(other) as stranger:
        assert stranger.host
    with running(tmp_path, ca_file=other / "localhost.pem") as server:
        with pytest.raises(AuthenticationError) as caught:
            server.client.account()

        assert server.asked == []
    assert "certificate" in str(caught.value)


def test_plain_http_is_not_spoken() -> None:
    """The token would be readable on the way."""
    with pytest.raises(AuthenticationError, match="only https"):
        Client("http://reana.example.org", lambda: TOKEN)


@pytest.mark.parametrize(
    ("status", "words", "wanted"),
    [
        (401, "User not signed in", AuthenticationError),
        (403, "Token not valid.", AuthenticationError),
        (403, "User access token revoked.", AuthenticationError),
        (404, "Workflow w does not exist.", WorkflowGoneError),
        (403, "User x is not allowed to access workflow w", ClusterFailedError),
        (409, "Workflow w is not running.", ClusterFailedError),
        (400, "Malformed request.", ClusterFailedError),
    ],
)
def test_each_refusal_has_its_error_and_the_servers_words(
    server: Server, status: int, words: str, wanted: type[SeptumError]
) -> None:
    """Of something that submits nothing."""
    server.say(Reply(status=status, body=json.dumps({"message": words}).encode()))

    with pytest.raises(wanted) as caught:
        server.client.stop("w")

    assert type(caught.value) is wanted
    assert f"HTTP {status}: {words}" in caught.value.evidence


def test_a_refused_start_is_a_refused_submission(server: Server) -> None:
    """REANA says 403 to a second start, which is no matter of the token."""
    words = b'{"message": "Workflow a.1 is already running and cannot be started again."}'
    server.say(Reply(status=403, body=words))

    with pytest.raises(SubmitRefusedError) as caught:
        server.client.start("w")

    assert type(caught.value) is SubmitRefusedError


def test_a_used_up_quota_is_told_with_the_accounts_numbers(server: Server) -> None:
    """What to do about it is another thing than for any other refusal."""
    quota = {"disk": {"usage": {"raw": 9, "human_readable": "9 GiB"}, "limit": {"raw": 9, "human_readable": "9 GiB"}}}
    refusal = Reply(status=403, body=b'{"message": "User quota exceeded.\\nResource: disk"}')
    server.say(refusal, {"email": "a@example.org", "quota": quota})

    with pytest.raises(QuotaExceededError) as caught:
        server.client.create("septum-a", {})

    assert "disk: 9 GiB used of 9 GiB" in caught.value.evidence


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[1]", b"", b'{"items"'])
def test_an_answer_that_is_not_reanas_is_told_as_that(server: Server, body: bytes) -> None:
    """A page of a proxy comes with status 200."""
    server.say(Reply(body=body))

    with pytest.raises(ClusterFailedError, match="does not answer as REANA does"):
        server.client.find("septum-")


def test_a_download_that_is_cut_is_fetched_again_and_is_there_as_a_whole(server: Server, tmp_path: Path) -> None:
    """Half a file never has its name."""
    server.say(Reply(body=b"a" * 1000, cut=400), Reply(body=b"a" * 1000))

    server.client.download("w", "septum/back/0000.tar", tmp_path / "0000.tar", size_b=1000)

    assert (tmp_path / "0000.tar").read_bytes() == b"a" * 1000
    assert [path.name for path in tmp_path.iterdir() if "tar" in path.name] == ["0000.tar"]


def test_a_download_of_another_size_than_is_listed_is_refused(server: Server, tmp_path: Path) -> None:
    """A proxy may end half an answer as if it were whole."""
    server.say(Reply(body=b"a" * 600))

    with pytest.raises(ClusterFailedError) as caught:
        server.client.download("w", "septum/back/0000.tar", tmp_path / "0000.tar", size_b=1000)

    assert "600 bytes came, 1000 are listed" in caught.value.evidence
    assert not (tmp_path / "0000.tar").exists()


def test_a_disk_that_takes_no_more_is_told_as_a_disk_that_takes_no_more(server: Server, tmp_path: Path) -> None:
    """As the other backends do, and without asking the server again."""
    server.say(Reply(body=b"a" * 600))

    with pytest.raises(ClusterFailedError) as caught:
        server.client.download("w", "septum/back/0000.tar", tmp_path / "no" / "0000.tar")

    assert "writing to file" in caught.value.evidence
    assert "(errno 2)" in caught.value.evidence
    assert len(server.asked) == 1


def test_an_answer_that_is_too_large_is_not_read(server: Server) -> None:
    """Whatever it is."""
    server.say(Reply(body=b"a" * 2000))

    with pytest.raises(ClusterFailedError, match="while reading septum/said"):
        server.client.read("w", "septum/said", limit_b=1000)


def test_deleting_what_is_not_there_is_well(server: Server) -> None:
    """It has been deleted before."""
    server.say(Reply(status=404, body=b'{"message": "no"}'))

    server.client.discard("w", "septum/back/*")

    assert server.asked[0].path == "/api/workflows/w/workspace/septum/back/*"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=500, body=json.dumps({"message": f"at /api/you?access_token={TOKEN}"}).encode()),
        Reply(status=403, body=json.dumps({"message": f"token {TOKEN} not valid"}).encode()),
        Reply(status=400, body=f"<p>{TOKEN}</p>".encode()),
        Reply(body=f"<p>access_token={TOKEN}</p>".encode()),
        Reply(body=b"{}" * 50, cut=10),
    ],
)
def test_no_message_holds_the_token(server: Server, reply: Reply) -> None:
    """Servers like to quote what they were asked, and libraries, too."""
    server.say(reply)

    with pytest.raises(SeptumError) as caught:
        server.client.account()

    error: BaseException | None = caught.value
    while error is not None:
        assert TOKEN not in f"{error} {error.args!r}"
        error = error.__cause__ or error.__context__


def test_a_server_that_is_not_there_is_told_without_the_address_that_was_asked(tmp_path: Path) -> None:
    """The address holds the token."""
    with running(tmp_path) as server:
        client = server.client
    with pytest.raises(ClusterUnreachableError) as caught:
        client.account()

    assert "ConnectionRefusedError" in str(caught.value) or "refused" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_the_most_talkative_logging_does_not_show_the_token(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The library below writes each address down as soon as anybody asks Python for all messages."""
    caplog.set_level(logging.DEBUG)
    server.say(Reply(status=503), Reply(body=b'{"email": "a"}'))
    server.client.account()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with running(elsewhere) as gone:
        client = gone.client
    with pytest.raises(ClusterUnreachableError):
        client.account()

    assert "GET /api/you?access_token=[token]" in caplog.text
    assert TOKEN not in caplog.text
    assert [record for record in caplog.records if TOKEN in f"{record.msg} {record.args}"] == []


def test_attempts_that_fail_alike_are_told_once(server: Server) -> None:
    """With their number."""
    server.say(*[Reply(status=503)] * 4)

    with pytest.raises(ClusterUnreachableError) as caught:
        server.client.account()

    assert caught.value.evidence == "4 attempts: HTTP 503"


def test_an_account_without_anything_is_none(server: Server) -> None:
    """Many a server answers everything with an empty object."""
    server.say(Reply(body=b"{}"))

    with pytest.raises(ClusterFailedError, match="does not answer as REANA does"):
        server.client.account()


def test_secrets_go_in_the_body_and_are_in_no_text(server: Server) -> None:
    """A log of requests shows addresses."""
    secret = Secret(value="aGVsbG8=", type="file")
    server.say({"message": "ok"})

    server.client.store_secrets({"proxy": secret})

    assert "aGVsbG8=" not in repr(secret)
    assert json.loads(server.asked[0].body) == {"proxy": {"value": "aGVsbG8=", "type": "file"}}
    assert server.asked[0].query["overwrite"] == "true"


def test_the_servers_clock_is_read_from_its_answers(server: Server) -> None:
    """Times of files are on that clock."""
    server.say(Reply(body=b'{"email": "a"}', head={"Date": "Mon, 23 Nov 2026 10:00:00 GMT"}))

    server.client.account()

    assert server.client.ahead_s != 0.0

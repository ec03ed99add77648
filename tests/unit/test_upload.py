"""Several files at once: which, how often, in what order, and what people are told when it does not work."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from septum.credentials.held import Credentials, Held
from septum.credentials.provider import Kind as CredentialKind
from septum.credentials.redact import KNOWN
from septum.errors import ConfigError, CredentialMissingError, SeptumError, TryAgainError, UploadError
from septum.plan import Publish
from septum.upload import senders, upload, xrootd
from septum.upload.attempt import AttemptError
from septum.upload.doors import ways
from septum.upload.failure import explained
from septum.upload.local import Local, Proof, weigh
from septum.upload.target import parse
from septum.upload.upload import PARALLEL, Uploaded, check_before, upload_all
from tests.fakes.cluster import FakeClock

TO = "root://eos.example.org//eos/me"


class Scripted:
    """A way that does what a test says."""

    def __init__(self, do: Callable[[Local, int], None] = lambda *_: None) -> None:
        self.do = do
        self.sent: list[str] = []
        self.stopped = False
        self.now = self.most = 0
        self._lock = threading.Lock()

    def url(self, name: str) -> str:
        """Where a file goes."""
        return f"{TO}/{name}"

    def send(self, local: Local, deadline_s: float) -> Proof:
        """One attempt."""
        assert deadline_s >= 120
        with self._lock:
            self.sent.append(local.name)
            attempt = self.sent.count(local.name)
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            self.do(local, attempt)
        finally:
            with self._lock:
                self.now -= 1
        return "adler32"

    def stop(self) -> None:
        """Give up."""
        self.stopped = True


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Twelve files, each larger than the one before."""
    for number in range(12):
        (tmp_path / f"{number:02}.root").write_bytes(b"x" * (100 * number))
    return {path.name: path for path in sorted(tmp_path.iterdir())}


def _upload(
    monkeypatch: pytest.MonkeyPatch,
    sender: Scripted,
    files: Mapping[str, Path],
    *,
    above_b: int | None = None,
    clock: FakeClock | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Uploaded]:
    monkeypatch.setattr(upload, "sender_for", lambda *_, **__: sender)
    return upload_all(
        Publish(to=TO, above_b=above_b),
        files,
        run="run/1",
        environ={},
        credentials=Credentials(Path("/nowhere")),
        clock=clock or FakeClock(),
        say=say,
    )


# ── which, and how many at once ─────────────────────────────────────────────────────────────────────────────────


def test_several_at_once(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> None:
    """No more than a few; what comes back is in the order of the files."""
    sender = Scripted(lambda *_: time.sleep(0.01))
    said: list[str] = []
    uploaded = _upload(monkeypatch, sender, files, say=said.append)

    assert list(uploaded) == list(files)
    assert 1 < sender.most <= PARALLEL
    assert sorted(sender.sent) == list(files)
    assert uploaded["03.root"].size_b == 300
    assert uploaded["03.root"].url == f"{TO}/03.root"
    assert said[0] == f"publishing 12 files, 6.4 kB, to {TO}/00.root"
    assert said[-1].startswith("published 12 of 12: ")


@pytest.mark.parametrize(("above_b", "names"), [(1000, ["11.root"]), (0, 11), (1099, ["11.root"]), (1100, [])])
def test_only_what_is_large(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, Path], above_b: int, names: list[str] | int
) -> None:
    """The bound itself is not above the bound; where nothing is left, nobody is asked."""
    sender = Scripted()
    uploaded = _upload(monkeypatch, sender, files, above_b=above_b)

    assert (len(uploaded) if isinstance(names, int) else list(uploaded)) == names
    assert sorted(sender.sent) == sorted(uploaded)


def test_few_lines_for_many_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every tenth of hundreds of files is a line."""
    (tmp_path / "x").write_bytes(b"x")
    said: list[str] = []
    _upload(monkeypatch, Scripted(), {f"{n}.root": tmp_path / "x" for n in range(405)}, say=said.append)

    assert len(said) == 1 + 405 // 41


# ── again, and no more ──────────────────────────────────────────────────────────────────────────────────────────


def _failing(name: str, kind: Any, times: int, **more: Any) -> Callable[[Local, int], None]:
    def do(local: Local, attempt: int) -> None:
        if local.name == name and attempt <= times:
            raise AttemptError(kind, f"{kind} of {name}", **more)

    return do


@pytest.mark.parametrize("kind", ["gone", "damaged"])
def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path], kind: str) -> None:
    """With pauses that grow; the others are not sent twice."""
    clock = FakeClock()
    sender = Scripted(_failing("05.root", kind, 3))
    uploaded = _upload(monkeypatch, sender, files, clock=clock)

    assert len(uploaded) == 12
    assert sender.sent.count("05.root") == 4
    assert len(sender.sent) == 15
    assert 0.5 + 1 + 2 <= clock.passed_s <= 1.5 + 3 + 6


def test_a_storage_that_asks_for_patience(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> None:
    """Its own pause counts if it is longer, up to a minute."""
    clock = FakeClock()
    _upload(monkeypatch, Scripted(_failing("05.root", "gone", 2, pause_s=1e9)), files, clock=clock)

    assert clock.passed_s == 120


@pytest.mark.parametrize(
    ("kind", "attempts", "error"),
    [("gone", 4, TryAgainError), ("damaged", 4, UploadError), ("denied", 1, UploadError), ("space", 1, UploadError)],
)
def test_what_does_not_pass(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, Path], kind: str, attempts: int, error: type[SeptumError]
) -> None:
    """After a few attempts, or at once; no more files are begun."""
    sender = Scripted(_failing("00.root", kind, 99))
    with pytest.raises(SeptumError) as caught:
        _upload(monkeypatch, sender, files)

    assert type(caught.value) is error
    assert sender.sent.count("00.root") == attempts
    assert f"{kind} of 00.root" in caught.value.evidence
    assert sender.stopped


def test_after_a_refusal_no_more_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is under way is finished, and stays there for another attempt."""
    (tmp_path / "x").write_bytes(b"x")
    begun = threading.Event()

    def do(local: Local, _: int) -> None:
        if local.name == "0":
            begun.wait(5)
            raise AttemptError("space", "quota")
        begun.set()
        time.sleep(0.05)

    sender = Scripted(do)
    with pytest.raises(UploadError, match="no room"):
        _upload(monkeypatch, sender, {str(n): tmp_path / "x" for n in range(100)})

    assert len(sender.sent) < 20


def test_a_file_that_disappears(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> None:
    """One clear error, whatever the others do."""
    sender = Scripted(lambda local, _: files["11.root"].unlink() if local.name == "00.root" else time.sleep(0.02))
    with pytest.raises(UploadError, match=r"11\.root is not a file"):
        _upload(monkeypatch, sender, files)
    assert sender.stopped


def test_a_mistake_of_ours_is_not_lost_in_a_thread(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> None:
    """It comes out as it is."""

    def do(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _upload(monkeypatch, Scripted(do), files)


def test_a_signal_in_the_middle(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> None:
    """What is under way is given up, at once."""

    def do(local: Local, _: int) -> None:
        while local.name != "00.root" and not sender.stopped:
            time.sleep(0.01)

    sender = Scripted(do)

    def say(line: str) -> None:
        if line.startswith("published"):
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _upload(monkeypatch, sender, files, say=say)

    assert sender.stopped
    assert time.monotonic() - began < 2


def test_a_target_that_cannot_be_one(files: dict[str, Path], tmp_path: Path) -> None:
    """Exit code 2, as everything else that is wrong in septum.yaml."""
    with pytest.raises(ConfigError, match="publish: 'to' needs a folder") as caught:
        upload_all(
            Publish(to="https://dav.example.org"),
            files,
            run="r",
            environ={},
            credentials=Credentials(tmp_path),
            clock=FakeClock(),
            say=print,
        )
    assert caught.value.exit_code == 2


def test_what_is_seen_before_the_first_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable, a bad target, a missing library, a name that leads out; not what only storage can say."""
    url = "https://bucket.example.org/x?X-Amz-Signature=0123456789abcdef0123"

    check_before(Publish(to=TO), ["a.root", "b/c.root"], {})
    check_before(Publish(to="s3-presigned:URLS"), ["a.root"], {"URLS": url})
    with pytest.raises(CredentialMissingError, match="variable URLS"):
        check_before(Publish(to="s3-presigned:URLS"), ["a.root"], {})
    with pytest.raises(ConfigError, match="publish: 'to'"):
        check_before(Publish(to="ftp://x.example.org/y"), ["a.root"], {})
    with pytest.raises(UploadError, match="not a path below the target"):
        check_before(Publish(to=TO), ["../a.root"], {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    check_before(Publish(to="https://dav.example.org/x"), ["a.root"], {})
    with pytest.raises(UploadError, match="bindings are not installed"):
        check_before(Publish(to=TO), ["a.root"], {})


# ── what people are told ────────────────────────────────────────────────────────────────────────────────────────


def test_several_failures_are_one_message() -> None:
    """Of the first that another attempt would not help; the others are counted."""
    failed = {f"{n}.root": AttemptError("gone", "no answer") for n in range(5)}
    failed["3.root"] = AttemptError("denied", "[3010] permission denied", hints=["the token: scope storage.read:/"])
    error = explained(failed, {name: f"{TO}/{name}" for name in failed}, of=9)

    assert type(error) is UploadError
    assert error.what == f"publish: {TO}/3.root was not written: the storage does not allow it"
    assert error.evidence.splitlines() == [
        "[3010] permission denied",
        "the token: scope storage.read:/",
        *(f"also {TO}/{n}.root: the storage did not answer" for n in range(3)),
        "5 of 9 files failed",
        "the results stay in the result folder",
    ]
    assert "storage.create:/PATH" in error.fix


def test_words_of_others_are_harmless() -> None:
    """No secret, no cursor, no end."""
    KNOWN.add("the-signature-0123456789")
    text = "\x1b[2J<b>the-signature-0123456789\nSection: " + "x" * 5000
    error = explained({"a": AttemptError("refused", text)}, {"a": TO}, of=1)

    assert "signature-0123" not in str(error)
    assert "\x1b" not in str(error)
    assert len(error.evidence) < 1200
    assert len(error.evidence.splitlines()) == 2


# ── credentials, one at a time ──────────────────────────────────────────────────────────────────────────────────


def _held(folder: Path, **names: CredentialKind) -> Credentials:
    credentials = Credentials(folder)
    for name, kind in names.items():
        credentials.held[kind] = Held(
            kind=kind, path=folder / name, source="", identity="", expires_at=0, renewable=False
        )
    return credentials


def test_the_token_comes_first(tmp_path: Path) -> None:
    """Each way has one credential; nothing else of the environment but what clients need to start."""
    held = _held(tmp_path, t=CredentialKind.STORAGE_TOKEN, p=CredentialKind.PROXY)
    environ = {
        "PATH": "/bin",
        "X509_CERT_DIR": "/certificates",
        "KRB5CCNAME": "FILE:/mine",
        "BEARER_TOKEN_FILE": "/of/the/user",
        "BEARER_TOKEN": "secret",
        "IAM_CLIENT_SECRET": "secret",
        "URLS": "https://bucket.example.org/x?X-Amz-Signature=secret",
        "XRD_STREAMTIMEOUT": "7",
        "XRD_LOGLEVEL": "Dump",
        "LD_PRELOAD": "/evil.so",
    }
    token, proxy, ticket = ways(environ, held)

    assert [way.name for way in (token, proxy, ticket)] == ["the token", "the proxy", "the Kerberos ticket"]
    assert (token.token_file, token.proxy_file) == (str(tmp_path / "t"), "")
    assert (proxy.token_file, proxy.proxy_file) == ("", str(tmp_path / "p"))
    assert [way.environ["XrdSecPROTOCOL"] for way in (token, proxy, ticket)] == ["ztn", "gsi", "krb5"]
    assert ticket.environ["KRB5CCNAME"] == "FILE:/mine"
    for way in (token, proxy, ticket):
        assert "secret" not in " ".join(way.environ.values())
        assert {"LD_PRELOAD", "XRD_LOGLEVEL", "SEPTUM_CREDENTIALS"}.isdisjoint(way.environ)
        assert way.environ["XRD_STREAMTIMEOUT"] == "7"
        assert way.environ["X509_CERT_DIR"] == "/certificates"


def test_the_token_that_submits_is_not_shown_to_storage(tmp_path: Path) -> None:
    """Unless it is for storage, too."""
    held = _held(tmp_path, t=CredentialKind.TOKEN)
    (alone,) = ways({}, held)
    held.token_is_for_storage = True
    (shared,) = ways({}, held)

    assert alone.name == "no credential"
    assert shared.token_file == str(tmp_path / "t")


def test_the_way_that_opened_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second credential is tried where the first is not accepted, and then kept."""
    held = _held(tmp_path, t=CredentialKind.STORAGE_TOKEN, p=CredentialKind.PROXY)
    (tmp_path / "x").write_bytes(b"x")
    sender = senders.StorageSender(parse(TO), run="r", environ={}, credentials=held)
    tried = []

    def enter(way: Any, *_: object) -> Proof:
        tried.append(way.name)
        if way.name == "the token":
            raise AttemptError("denied", "[3010]")
        return "adler32"

    monkeypatch.setattr(sender, "_enter", enter)
    local = weigh("x", tmp_path / "x")

    assert [sender.send(local, 120), sender.send(local, 120)] == ["adler32", "adler32"]
    assert tried == ["the token", "the proxy", "the proxy"]


def test_no_way_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named with its own words; what is seen of the files stands below."""
    held = _held(tmp_path, t=CredentialKind.STORAGE_TOKEN, p=CredentialKind.PROXY)
    (tmp_path / "x").write_bytes(b"x")
    sender = senders.StorageSender(parse(TO), run="r", environ={}, credentials=held)

    def enter(way: Any, *_: object) -> Proof:
        raise AttemptError("denied" if way.name == "the token" else "auth", f"no {way.name}")

    monkeypatch.setattr(sender, "_enter", enter)
    with pytest.raises(AttemptError) as caught:
        sender.send(weigh("x", tmp_path / "x"), 120)

    assert caught.value.kind == "denied"
    assert caught.value.text == "with the token: no the token; with the proxy: no the proxy"
    assert f"because the token cannot be read from {tmp_path / 't'}" in caught.value.hints
    assert any("because the X.509 proxy" in hint for hint in caught.value.hints)


def test_without_the_client_of_xrootd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Said before anything is read, with what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UploadError, match="bindings are not installed") as caught:
        senders.sender_for(parse(TO), ["x"], run="r", environ={}, credentials=Credentials(tmp_path))
    assert "pip install xrootd" in caught.value.fix


# ── the process with XRootD's library ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", "its client ended: -9"),
        ("echo 'Segmentation fault' >&2; exit 139", "its client ended: Segmentation fault"),
        ("echo 'no JSON'", "its client ended: 0"),
        ("sleep 60", "no answer within 0 s"),
        ("sleep 60 & sleep 60", "no answer within 0 s"),
    ],
)
def test_a_client_that_crashes_or_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, words: str
) -> None:
    """It is ended with all that it started, and another attempt may help."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(senders, "_GRACE_S", 0.3)
    children = senders._Children()
    began = time.monotonic()
    with pytest.raises(AttemptError) as caught:
        children.ask("{}", {"PATH": "/usr/bin:/bin"}, 0.0)

    assert (caught.value.kind, caught.value.text) == ("gone", words)
    assert time.monotonic() - began < 3
    assert children._running == set()


def test_after_the_end_no_client_is_started() -> None:
    """A thread that comes late finds the door closed."""
    children = senders._Children()
    children.stop()
    with pytest.raises(AttemptError, match="given up"):
        children.ask("{}", {}, 1.0)


@pytest.mark.parametrize(
    ("code", "number", "kind"),
    [
        (400, 3009, "space"),
        (400, 3010, "denied"),
        (400, 3012, "gone"),
        (400, 3018, "differs"),
        (400, 3021, "space"),
        (400, 3024, "gone"),
        (400, 3013, "unsupported"),
        (400, 3030, "auth"),
        (400, 9999, "gone"),
        (204, 0, "auth"),
        (110, 0, "auth"),
        (108, 111, "gone"),
        (206, 0, "gone"),
        (500, 3009, "gone"),
    ],
)
def test_answers_of_xrootd(code: int, number: int, kind: str) -> None:
    """The server's own numbers, and those of the client."""
    status = SimpleNamespace(ok=False, code=code, errno=number, message="[ERROR] some\n words ")
    with pytest.raises(AttemptError) as caught:
        xrootd._require(status)

    assert (caught.value.kind, caught.value.text) == (kind, "[ERROR] some words")
    xrootd._require(SimpleNamespace(ok=True))

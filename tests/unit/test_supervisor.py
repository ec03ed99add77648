"""How credentials stay fresh: renewal, countdown, the other end under supervision, and the thread."""

from __future__ import annotations

import json
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from credential_fakes import Source  # type: ignore[import-not-found]

from septum.credentials import Credentials, Supervisor
from septum.credentials.held import SUPERVISED, Held
from septum.credentials.obtain import Obtained
from septum.credentials.provider import Kind
from septum.credentials.store import Store
from septum.credentials.supervised import Supervised
from septum.errors import (
    CredentialMissingError,
    IssuerUnavailableError,
    ProxyExpiredError,
    SeptumError,
    TokenRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

NOW = 1_790_000_000.0
HOUR = 3600.0
AWAY = IssuerUnavailableError("away")


@pytest.fixture
def open_with(tmp_path: Path) -> Iterator[Callable[..., Obtained]]:
    """Opens credentials of these sources; all are closed at the end."""
    (tmp_path / "run").mkdir()
    opened: list[Obtained] = []

    def make(*sources: Source, jitter: float = 0.5) -> Obtained:
        store = Store.create({"XDG_RUNTIME_DIR": str(tmp_path / "run")})
        credentials = Obtained(store, list(sources), fingerprint="site", jitter=lambda: jitter)
        opened.append(credentials)
        credentials.fetch_all(NOW)
        return credentials

    yield make
    for credentials in opened:
        credentials.close()


Open = Any


def _content(credentials: Credentials, kind: Kind = Kind.TOKEN) -> str:
    path = credentials.file(kind)
    assert path is not None
    return path.read_text()


# ── renewal ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("jitter", "part"), [(0.0, 0.45), (0.5, 0.5), (1.0, 0.55)])
@pytest.mark.parametrize("life_s", [20.0, HOUR, 6 * HOUR])
@pytest.mark.parametrize("kind", list(Kind))
def test_renewed_at_half_life(open_with: Open, jitter: float, part: float, life_s: float, kind: Kind) -> None:
    """A credential is renewed when some half of its life is over, in place, and not before."""
    source = Source(kind=kind, life_s=life_s)
    credentials = open_with(source, jitter=jitter)
    path = credentials.file(kind)
    due_s = life_s * part

    assert credentials.next_due(NOW) == pytest.approx(due_s)
    assert credentials.keep_fresh(NOW + due_s - 0.01) == []
    assert source.given == 1
    assert credentials.keep_fresh(NOW + due_s + 0.01) == []
    assert source.given == 2
    assert credentials.file(kind) == path
    assert _content(credentials, kind) == f"content-{kind.value}-2"
    assert credentials.held[kind].expires_at == pytest.approx(NOW + due_s + life_s, abs=0.1)
    assert credentials.next_due(NOW + due_s) == pytest.approx(due_s, abs=0.1)


@pytest.mark.parametrize("ahead_s", [-24 * HOUR, -HOUR, HOUR, 24 * HOUR])
@pytest.mark.parametrize("after_s", [1.0, 0.44 * HOUR])
def test_clock_that_jumps(open_with: Open, ahead_s: float, after_s: float) -> None:
    """What was counted by the old clock is worth nothing: a new credential comes at once, and again after that."""
    source = Source()
    credentials = open_with(source)
    elapsed = NOW + after_s

    for number, source.ahead_s in enumerate([ahead_s, 0.0], 2):
        now = elapsed + source.ahead_s
        assert credentials.keep_fresh(now) == []
        assert _content(credentials) == f"content-token-{number}"
        assert credentials.held[Kind.TOKEN].expires_at == now + HOUR
        assert credentials.next_due(now) == pytest.approx(HOUR / 2)
        assert credentials.keep_fresh(now + 1) == []
        assert source.given == number
        elapsed += 10


@pytest.mark.parametrize("jitter", [0.0, 1.0])
@pytest.mark.parametrize("back_s", [1.0, 60.0, 600.0, 1500.0, 1800.0])
@pytest.mark.parametrize("after_s", [1.0, 900.0, 1600.0])
def test_clock_set_back_a_little(open_with: Open, jitter: float, back_s: float, after_s: float) -> None:
    """However far the clock was set back, and when: the credential is renewed before it ends."""
    source = Source()
    credentials = open_with(source, jitter=jitter)

    for elapsed in range(int(after_s), int(HOUR), 10):
        credentials.keep_fresh(NOW + elapsed - back_s)

    assert source.given > 1


def test_jitter_is_drawn_anew(open_with: Open) -> None:
    """Two CI jobs that began together do not renew together for ever."""
    draws = iter([0.0, 1.0])
    credentials = open_with(Source())
    credentials._jitter = lambda: next(draws)

    credentials.keep_fresh(NOW + HOUR / 2)
    first = credentials.next_due(NOW + HOUR / 2)
    credentials.keep_fresh(NOW + HOUR)

    assert (first, credentials.next_due(NOW + HOUR)) == (pytest.approx(0.45 * HOUR), pytest.approx(0.55 * HOUR))


def test_next_due(open_with: Open) -> None:
    """The next thing to do is that of the credential with the shortest life; what cannot be renewed has none."""
    several = open_with(Source(life_s=HOUR), Source(kind=Kind.TICKET, life_s=600), Source(kind=Kind.PROXY, life_s=1))
    never = open_with(Source(kind=Kind.PROXY, renewable=False))

    assert several.next_due(NOW) == pytest.approx(0.5)
    assert several.next_due(NOW + 9999) == 0
    assert never.next_due(NOW) == float("inf")


def test_warnings_of_a_new_one(open_with: Open) -> None:
    """What is not as asked is said at the start, and again when it is still so after a renewal."""
    credentials = open_with(Source(warnings=("narrow",)))

    assert credentials.warnings == ["narrow"]
    assert credentials.keep_fresh(NOW + 2000) == ["narrow"]


# ── renewal that fails ──────────────────────────────────────────────────────────────────────────────────────────


def _live(credentials: Credentials, seconds: range) -> list[tuple[int, str]]:
    """Look at the clock each second, as often as a supervisor could; returns what is said, with the second."""
    return [(second, warning) for second in seconds for warning in credentials.keep_fresh(NOW + second)]


@pytest.mark.parametrize(("life_s", "most"), [(20, 10), (3600, 20), (6 * 3600, 40)])
@pytest.mark.parametrize("error", [AWAY, TokenRefusedError("client disabled")])
@pytest.mark.parametrize("kind", [Kind.TOKEN, Kind.PROXY])
def test_attempts_are_bounded(open_with: Open, life_s: int, most: int, error: SeptumError, kind: Kind) -> None:
    """While the old one lives, an issuer that fails is asked now and then, more often near the end, never in a rush."""
    source = Source(kind=kind, life_s=life_s)
    credentials = open_with(source)
    source.error = error

    said = _live(credentials, range(life_s))

    attempts = [now - NOW for now in source.asked[1:]]
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert 5 <= len(attempts) <= most
    assert attempts[0] >= 0.45 * life_s
    shortest_s = max(1, min(life_s / 40, 300))
    assert min(pauses) >= shortest_s
    assert max(pauses) <= 301
    assert pauses[0] >= pauses[-1]
    # The last one is late enough to find an issuer that came back for the end.
    assert life_s - attempts[-1] <= shortest_s + 2
    assert len(said) == len(attempts)
    assert _content(credentials, kind) == f"content-{kind.value}-1"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AWAY, "(client x at iam.example.org does not answer)"),
        (TokenRefusedError("client disabled"), "(client disabled)"),
    ],
)
def test_warning_while_it_lives(open_with: Open, error: SeptumError, words: str) -> None:
    """A warning says why there is nothing new, and how long what is there still lives."""
    source = Source()
    credentials = open_with(source)
    source.error = error

    assert credentials.keep_fresh(NOW + 1900) == [f"no new token yet {words}; the old one lives for 28 min 20 s"]


@pytest.mark.parametrize("kind", [Kind.TOKEN, Kind.TICKET])
@pytest.mark.parametrize("error", [AWAY, TokenRefusedError("client disabled")])
def test_end_of_what_the_access_point_wants(open_with: Open, kind: Kind, error: SeptumError) -> None:
    """Once it has expired, each look is an error until there is a new one, but not each look asks the issuer."""
    source = Source(kind=kind)
    credentials = open_with(source)
    _live(credentials, range(1000))
    source.error = error
    with pytest.raises(type(error)):
        _live(credentials, range(1800, 5000))
    before = len(source.asked)

    errors = 0
    for second in range(3700, 4300):
        with pytest.raises(type(error)) as caught:
            credentials.keep_fresh(NOW + second)
        errors += caught.value is error
    assert errors == 600
    assert len(source.asked) - before <= 8

    source.error = None
    with pytest.raises(type(error)):
        credentials.keep_fresh(NOW + 4300)
    assert credentials.keep_fresh(NOW + 4300 + credentials.next_due(NOW + 4300)) == []
    assert credentials.keep_fresh(NOW + 4500) == []
    assert _content(credentials, kind) == f"content-{kind.value}-2"


@pytest.mark.parametrize("kind", [Kind.PROXY, Kind.STORAGE_TOKEN, Kind.EOS_TOKEN])
def test_end_of_what_storage_wants(open_with: Open, kind: Kind) -> None:
    """Of the others the end is a warning: the jobs that run may not need it any more."""
    source = Source(kind=kind)
    credentials = open_with(source)
    source.error = AWAY

    said = _live(credentials, range(1800, 7200))

    assert "the old one has expired" in said[-1][1]
    assert _content(credentials, kind) == f"content-{kind.value}-1"
    source.error = None
    assert credentials.keep_fresh(NOW + 7500) == []
    assert _content(credentials, kind) == f"content-{kind.value}-2"


def test_one_that_fails_does_not_stop_the_others(open_with: Open) -> None:
    """A token that has expired keeps no other credential from being renewed."""
    token, proxy = Source(), Source(kind=Kind.PROXY)
    credentials = open_with(token, proxy)
    token.error = AWAY

    with pytest.raises(IssuerUnavailableError):
        credentials.keep_fresh(NOW + HOUR)

    assert _content(credentials, Kind.PROXY) == "content-proxy-2"


# ── what somebody else renews ───────────────────────────────────────────────────────────────────────────────────


def test_keeper_that_renews(open_with: Open) -> None:
    """A file that its keeper has replaced is taken as soon as it is seen."""
    source = Source(ends=NOW + HOUR, source="file /run/bt_u0")
    credentials = open_with(source)
    assert credentials.keep_fresh(NOW + 1900) == []
    assert _content(credentials) == "content-token-1"

    source.ends = NOW + 3 * HOUR

    assert _live(credentials, range(1900, 2300)) == []
    assert _content(credentials) == f"content-token-{source.given}"
    assert credentials.held[Kind.TOKEN].expires_at == NOW + 3 * HOUR


@pytest.mark.parametrize("kind", [Kind.TOKEN, Kind.TICKET, Kind.PROXY, Kind.STORAGE_TOKEN])
def test_keeper_that_does_not(open_with: Open, kind: Kind) -> None:
    """A keeper is left in peace until little of the life is left; then there are warnings, and at last the same end."""
    source = Source(kind=kind, ends=NOW + HOUR, source="file /run/x")
    credentials = open_with(source)

    said = _live(credentials, range(3600))

    assert 3 <= len(said) <= 12
    assert said[0][0] >= 0.8 * HOUR
    assert all("(file /run/x) was not renewed; the old one lives for" in words for _, words in said)
    assert source.given < 25
    if kind in {Kind.TOKEN, Kind.TICKET}:
        for second in (3700, 3701, 5000):
            with pytest.raises(CredentialMissingError, match="has expired, and nobody has renewed it"):
                credentials.keep_fresh(NOW + second)
    else:
        assert "the old one has expired" in credentials.keep_fresh(NOW + 3700)[0]
    source.ends = NOW + 9 * HOUR
    assert credentials.keep_fresh(NOW + 6000) == []
    assert credentials.held[kind].expires_at == NOW + 9 * HOUR


# ── what cannot be renewed ──────────────────────────────────────────────────────────────────────────────────────


def test_countdown(open_with: Open) -> None:
    """Its end is announced half an hour before, and told once."""
    credentials = open_with(Source(kind=Kind.PROXY, renewable=False, life_s=2 * HOUR))

    said = _live(credentials, range(0, 9000, 10))

    assert said == [
        (5400, "the X.509 proxy ends in 30 min 00 s"),
        (7200, "the X.509 proxy has expired: jobs that start now cannot read from the grid"),
    ]


def test_countdown_of_a_short_one(open_with: Open) -> None:
    """One that has less from the start is announced at once."""
    credentials = open_with(Source(kind=Kind.PROXY, renewable=False, life_s=600))

    assert credentials.keep_fresh(NOW) == ["the X.509 proxy ends in 10 min 00 s"]
    assert credentials.keep_fresh(NOW + 5) == []


def test_require_life_of_what_others_keep(open_with: Open) -> None:
    """Whoever keeps the file may not renew it: it must be long enough as it is."""
    credentials = open_with(Source(), Source(kind=Kind.PROXY, life_s=2 * HOUR, kept_by_others=True))

    with pytest.raises(ProxyExpiredError, match="a job may need it"):
        credentials.require_life(NOW, 7201)


@pytest.mark.parametrize(
    ("renewable", "need_s", "refused"), [(False, 7200, False), (False, 7201, True), (True, 1e6, False)]
)
def test_require_life(open_with: Open, renewable: bool, need_s: float, refused: bool) -> None:  # noqa: FBT001
    """A proxy that nobody renews must outlive a job; one that is renewed is handed on to the jobs."""
    credentials = open_with(Source(), Source(kind=Kind.PROXY, renewable=renewable, life_s=2 * HOUR))

    if refused:
        with pytest.raises(ProxyExpiredError, match="ends in 2 h 00 min, and a job may need it for 2 h 00 min"):
            credentials.require_life(NOW, need_s)
    else:
        credentials.require_life(NOW, need_s)


def test_require_life_without_a_proxy(open_with: Open) -> None:
    """A token is not sent with the jobs, so its life is nothing to them."""
    open_with(Source(life_s=20)).require_life(NOW, 1e6)


# ── the files and their names ───────────────────────────────────────────────────────────────────────────────────


def test_manifest_has_no_secret(open_with: Open) -> None:
    """The list of what is there holds kinds, sources and ends, also after a renewal, and no credential."""
    credentials = open_with(*(Source(kind=kind) for kind in Kind))
    credentials.keep_fresh(NOW + 2000)

    text = (credentials.folder / "credentials.json").read_text()

    data = json.loads(text)
    assert "content" not in text
    assert set(data) == {"profile", "ca_file", "credentials"}
    assert [entry["kind"] for entry in data["credentials"]] == [kind.value for kind in Kind]
    assert {frozenset(entry) for entry in data["credentials"]} == {
        frozenset({"kind", "source", "identity", "expires_at", "renewable", "kept_by_others"})
    }
    assert {entry["expires_at"] for entry in data["credentials"]} == {NOW + 2000 + HOUR}
    assert {path.stat().st_mode & 0o777 for path in credentials.folder.iterdir()} == {0o600}
    assert "content" not in repr(credentials.held)


_ALL = tuple(Kind)


@pytest.mark.parametrize(
    ("kinds", "auth", "expected"),
    [
        ((), "both", {}),
        ((Kind.TOKEN,), "both", {"_CONDOR_SCITOKENS_FILE": "token"}),
        (
            (Kind.TOKEN, Kind.STORAGE_TOKEN),
            "both",
            {"BEARER_TOKEN_FILE": "storage-token", "_CONDOR_SCITOKENS_FILE": "token"},
        ),
        ((Kind.STORAGE_TOKEN,), "both", {"BEARER_TOKEN_FILE": "storage-token"}),
        ((Kind.PROXY,), "both", {"X509_USER_PROXY": "proxy"}),
        ((Kind.TICKET,), "both", {"KRB5CCNAME": "FILE:ticket"}),
        ((Kind.EOS_TOKEN,), "both", {"SEPTUM_EOS_TOKEN_FILE": "eos-token"}),
        (
            _ALL,
            "token",
            {
                "BEARER_TOKEN_FILE": "storage-token",
                "XrdSecPROTOCOL": "ztn",
                "_CONDOR_SCITOKENS_FILE": "token",
                "KRB5CCNAME": "FILE:ticket",
                "SEPTUM_EOS_TOKEN_FILE": "eos-token",
            },
        ),
        (
            _ALL,
            "proxy",
            {
                "X509_USER_PROXY": "proxy",
                "XrdSecPROTOCOL": "gsi",
                "_CONDOR_SCITOKENS_FILE": "token",
                "KRB5CCNAME": "FILE:ticket",
                "SEPTUM_EOS_TOKEN_FILE": "eos-token",
            },
        ),
        (
            _ALL,
            "both",
            {
                "BEARER_TOKEN_FILE": "storage-token",
                "X509_USER_PROXY": "proxy",
                "_CONDOR_SCITOKENS_FILE": "token",
                "KRB5CCNAME": "FILE:ticket",
                "SEPTUM_EOS_TOKEN_FILE": "eos-token",
            },
        ),
    ],
)
def test_environment(open_with: Open, kinds: Sequence[Kind], auth: Any, expected: dict[str, str]) -> None:
    """Commands find the files by paths, storage by the one way that was chosen; there is never a value."""
    credentials = open_with(*(Source(kind=kind) for kind in kinds))

    found = credentials.environment(auth)

    folder = str(credentials.folder)
    named = {name: value.replace(f"{folder}/", "") for name, value in found.items()}
    assert named == {**expected, SUPERVISED: folder}


def test_a_token_that_storage_may_see(open_with: Open) -> None:
    """One token for both, where its scopes are for both; a token for jobs alone is shown to no storage."""
    credentials = open_with(Source(kind=Kind.TOKEN))
    with pytest.raises(CredentialMissingError, match="gives none"):
        credentials.environment("token")

    credentials.token_is_for_storage = True

    assert credentials.environment("token")["BEARER_TOKEN_FILE"] == str(credentials.token_file)


def test_environment_with_a_ca(open_with: Open, tmp_path: Path) -> None:
    """HTCondor's tools trust the site's CA, too."""
    credentials = open_with()
    credentials.ca_file = tmp_path / "ca.pem"

    assert credentials.environment()["_CONDOR_AUTH_SSL_CLIENT_CAFILE"] == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("kinds", "identity"),
    [
        ((), "no token"),
        ((Kind.PROXY,), "no token"),
        ((Kind.TICKET, Kind.PROXY), "client x at iam.example.org"),
        ((Kind.TOKEN,), "client x at iam.example.org"),
    ],
)
def test_identity(open_with: Open, kinds: Sequence[Kind], identity: str) -> None:
    """Who asks the access point to be let in is named by the way he got there."""
    assert open_with(*(Source(kind=kind) for kind in kinds)).identity == identity


# ── under supervision ───────────────────────────────────────────────────────────────────────────────────────────


def test_supervised_follows(open_with: Open, tmp_path: Path) -> None:
    """A command under supervision sees what is there, and what is renewed, and warns of nothing that is not its own."""
    above = open_with(Source(), Source(kind=Kind.PROXY, renewable=False, life_s=12 * HOUR))
    above.ca_file = tmp_path / "ca.pem"
    above._write_manifest()
    under = Supervised(above.folder, "site")

    assert under.ca_file == tmp_path / "ca.pem"
    assert {kind: held.path for kind, held in under.held.items()} == {
        kind: held.path for kind, held in above.held.items()
    }
    assert under.identity == above.identity
    assert under.environment() == above.environment()
    assert under.keep_fresh(NOW + 3599) == []
    above.keep_fresh(NOW + 3599)
    assert under.keep_fresh(NOW + 3599 + HOUR - 1) == []
    assert under.held[Kind.TOKEN].expires_at == NOW + 3599 + HOUR
    assert _content(under) == "content-token-2"
    under.close()
    assert _content(above) == "content-token-2"


def test_supervised_expired_token(open_with: Open) -> None:
    """A supervisor that no longer renews is noticed at each look, with the question whether it still lives."""
    above = open_with(Source())
    under = Supervised(above.folder, "site")

    for second in (3600, 3601, 9000):
        with pytest.raises(CredentialMissingError, match="nobody has renewed it") as caught:
            under.keep_fresh(NOW + second)
    assert "septum credentials run" in caught.value.fix
    above.keep_fresh(NOW + 9000)
    assert under.keep_fresh(NOW + 9001) == []


def test_supervised_countdown(open_with: Open) -> None:
    """What nobody renews is counted down here as well; what the supervisor renews is its to warn of."""
    above = open_with(
        Source(kind=Kind.PROXY, renewable=False, life_s=2 * HOUR), Source(kind=Kind.STORAGE_TOKEN, life_s=2 * HOUR)
    )
    under = Supervised(above.folder, "site")

    said = _live(under, range(0, 9000, 10))

    assert said == [
        (5400, "the X.509 proxy ends in 30 min 00 s"),
        (7200, "the X.509 proxy has expired: jobs that start now cannot read from the grid"),
        (7200, "the token for storage has expired"),
    ]


def test_supervised_for_another_cluster(open_with: Open) -> None:
    """A command for another cluster than its supervisor's does not get that one's credentials."""
    above = open_with(Source())

    with pytest.raises(CredentialMissingError, match="for another cluster") as caught:
        Supervised(above.folder, "other")
    assert "--cluster" in caught.value.fix


@pytest.mark.parametrize("trap", ["absent", "public", "group", "file", "link", "relative", "foreign"])
def test_supervised_folder(open_with: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str) -> None:
    """Only a private folder of this user is believed, since whoever writes it decides what we send where."""
    folder = open_with(Source()).folder
    if trap == "absent":
        folder = tmp_path / "absent"
    elif trap == "file":
        folder = tmp_path / "file"
        folder.touch(0o700)
    elif trap == "link":
        (tmp_path / "link").symlink_to(folder)
        folder = tmp_path / "link"
    elif trap == "relative":
        monkeypatch.chdir(folder.parent)
        folder = type(folder)(folder.name)
    elif trap == "foreign":
        monkeypatch.setattr("os.geteuid", lambda: 4711)
    else:
        folder.chmod({"public": 0o755, "group": 0o710}[trap])

    with pytest.raises(CredentialMissingError, match="no private folder of this user"):
        Supervised(folder, "site")


@pytest.mark.parametrize("text", [None, "", "junk", "[]", "[1]", "5", "null", "{}", '{"profile": "site"}'])
def test_supervised_manifest(open_with: Open, text: str | None) -> None:
    """A supervisor that has ended, or whose list cannot be read, is said to be gone: at the start and later."""
    above = open_with(Source())
    under = Supervised(above.folder, "site")
    manifest = above.folder / "credentials.json"
    manifest.unlink() if text is None else manifest.write_text(text)

    with pytest.raises(CredentialMissingError, match="are gone"):
        under.keep_fresh(NOW)
    with pytest.raises(CredentialMissingError, match="are gone"):
        Supervised(above.folder, "site")


def test_supervised_after_the_end(open_with: Open) -> None:
    """The same when the folder itself has been deleted."""
    above = open_with(Source())
    under = Supervised(above.folder, "site")
    above.close()

    with pytest.raises(CredentialMissingError, match="are gone") as caught:
        under.keep_fresh(NOW)
    assert "septum credentials run" in caught.value.fix


# ── the thread ──────────────────────────────────────────────────────────────────────────────────────────────────


class _Scripted(Credentials):
    """Says at each look what the script says; then nothing any more."""

    def __init__(self, tmp_path: Path, *script: list[str] | Exception) -> None:
        super().__init__(tmp_path)
        self.script = list(script)
        self.looks = 0

    def next_due(self, now: float) -> float:
        return 0.0

    def keep_fresh(self, now: float) -> list[str]:
        self.looks += 1
        if not self.script:
            return []
        outcome = self.script.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("septum.credentials.supervisor._SHORTEST_S", 0.01)


def test_thread_warns(tmp_path: Path) -> None:
    """What is said in the thread is handed over once, in order."""
    credentials = _Scripted(tmp_path, ["a"], [], ["b", "c"])
    with Supervisor(credentials) as supervisor:
        _wait(lambda: credentials.looks >= 4)

        assert supervisor.check(NOW) == ["a", "b", "c"]
        assert supervisor.check(NOW) == []


def test_thread_fails_and_recovers(tmp_path: Path) -> None:
    """A failure is raised to whoever asks as long as it lasts, and forgotten when it is over."""
    failure = TokenRefusedError("client disabled")
    credentials = _Scripted(tmp_path, ["before"], *[failure] * 10_000)
    with Supervisor(credentials) as supervisor:
        _wait(lambda: credentials.looks >= 3)
        for _ in range(2):
            with pytest.raises(TokenRefusedError) as caught:
                supervisor.check(NOW)
            assert caught.value is failure

        credentials.script.clear()
        looks = credentials.looks
        _wait(lambda: credentials.looks >= looks + 3)

        assert supervisor.check(NOW) == []


def test_thread_with_an_expired_token(open_with: Open) -> None:
    """The failure does not vanish between two attempts: whoever asks at any moment hears of it."""
    source = Source()
    credentials = open_with(source)
    source.error = AWAY
    looks = _looking_often(credentials)
    with Supervisor(credentials, clock=lambda: NOW + HOUR) as supervisor:
        _wait(lambda: len(source.asked) == 2)
        for _ in range(5):
            before = len(looks)
            _wait(lambda before=before: len(looks) > before + 2)  # type: ignore[misc]
            with pytest.raises(IssuerUnavailableError):
                supervisor.check(NOW)

    assert len(source.asked) == 2


def _looking_often(credentials: Any) -> list[float]:
    """Let a thread look all the time, whatever is due; returns when it did."""
    looks: list[float] = []

    def next_due(now: float) -> float:
        looks.append(now)
        return 0.0

    credentials.next_due = next_due
    return looks


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "credentials: No space left on device"),
        (OSError("odd"), "credentials: OSError"),
        (ZeroDivisionError("a bug"), "credentials: ZeroDivisionError"),
    ],
)
def test_thread_survives(tmp_path: Path, error: Exception, words: str) -> None:
    """A full disk, or a mistake of ours, does not end the thread: everything would expire in silence."""
    credentials = _Scripted(tmp_path, error, ["after"])
    with Supervisor(credentials) as supervisor:
        _wait(lambda: credentials.looks >= 3)

        assert supervisor.check(NOW) == [words, "after"]


def test_thread_after_the_store_was_closed(open_with: Open) -> None:
    """A renewal that comes back when the folder has been deleted writes nothing anywhere; the run must not go on."""
    credentials = open_with(Source(life_s=0.0))
    folder = credentials.folder
    credentials.close()

    with (
        Supervisor(credentials, clock=lambda: NOW + 1000 * time.monotonic()) as supervisor,
        pytest.raises(
            CredentialMissingError, match="the token has expired, and the new one cannot be written"
        ) as caught,
    ):
        _wait(lambda: bool(supervisor.check(NOW)) and False)

    assert "the folder of credentials has been deleted" in caught.value.evidence
    assert not folder.exists()


def test_thread_renews(open_with: Open) -> None:
    """The thread looks at its own clock, and renews without being asked."""
    source = Source(life_s=100)
    credentials = open_with(source)
    looks = _looking_often(credentials)
    now = [NOW]
    with Supervisor(credentials, clock=lambda: now[0]) as supervisor:
        _wait(lambda: len(looks) > 3)
        assert source.given == 1
        now[0] = NOW + 60
        _wait(lambda: source.given == 2)
        _wait(lambda: looks[-1] == NOW + 60 and len(looks) > 6)

        assert supervisor.check(NOW) == []
    assert _content(credentials) == "content-token-2"
    assert source.given == 2


def test_thread_stops(open_with: Open) -> None:
    """It ends when it is left, although the next renewal is hours away."""
    credentials = open_with(Source(life_s=6 * HOUR))
    supervisor = Supervisor(credentials, clock=lambda: NOW)
    with supervisor:
        time.sleep(0.05)
        begin = time.monotonic()

    assert time.monotonic() - begin < 1
    assert not [thread for thread in threading.enumerate() if thread.name == "credentials"]


def test_thread_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An issuer that does not answer does not hold up the end; the thread is none that the process waits for."""
    monkeypatch.setattr("septum.credentials.supervisor._STOP_S", 0.1)
    released, entered = threading.Event(), threading.Event()

    class Hanging(_Scripted):
        def keep_fresh(self, now: float) -> list[str]:
            entered.set()
            released.wait(20)
            return []

    begin = time.monotonic()
    with Supervisor(Hanging(tmp_path)):
        assert entered.wait(10)
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "credentials"]

    assert time.monotonic() - begin < 5
    assert thread.is_alive()
    assert thread.daemon
    released.set()
    thread.join(10)
    assert not thread.is_alive()


def test_held_name(tmp_path: Path) -> None:
    """Each kind has a name for people."""
    names = [Held(kind=kind, path=tmp_path, source="", identity="", expires_at=0, renewable=True).name for kind in Kind]

    assert len(set(names)) == len(list(Kind))
    assert "X.509 proxy" in names

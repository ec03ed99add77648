"""An access token of REANA: read as it is, kept to itself, and honest about its end."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

import pytest
from token_files import NOW, make_token, seen_in  # type: ignore[import-not-found]

from septum.clusters.profile import Profile
from septum.credentials import obtain
from septum.credentials.choose import make_known, secret_variables
from septum.credentials.held import SUPERVISED
from septum.credentials.opaque import AccessToken
from septum.credentials.provider import Kind
from septum.credentials.redact import KNOWN
from septum.credentials.secret import Secret
from septum.environment import for_supervised, for_user_code
from septum.errors import CredentialExposedError, CredentialMissingError, TokenUnfitError

TOKEN = "Opaque0Token1Of2Reana3x"
VARIABLE = "REANA_ACCESS_TOKEN"


def _profile(**changes: Any) -> Profile:
    known = {"name": "reana", "method": "reana", "reana_server": "https://reana.example.org"}
    return Profile(**{**known, "credentials": "access-token", **changes})


def _token(text: str = TOKEN) -> AccessToken:
    return AccessToken(value=Secret(text), variable=VARIABLE, server="reana.example.org")


def _environ(tmp_path: Path, **more: str) -> dict[str, str]:
    (tmp_path / "run").mkdir(mode=0o700, exist_ok=True)
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run"), VARIABLE: TOKEN, **more}


def test_what_it_gives() -> None:
    """The text itself; for an account of the server; and nobody knows when it ends."""
    grant = _token().fetch(NOW)

    assert (grant.content, grant.expires_at, grant.identity) == (
        TOKEN.encode(),
        math.inf,
        "an account of reana.example.org",
    )
    assert (_token().source, _token().renewable, _token().kind) == (f"variable {VARIABLE}", False, Kind.TOKEN)
    assert TOKEN not in repr(grant) + repr(_token())


def test_a_jwt_tells_its_end() -> None:
    """Newer servers take those of an identity provider; one that has expired is refused here already."""
    assert _token(make_token(exp=NOW + 60)).fetch(NOW).expires_at == NOW + 60
    assert _token(make_token(exp=None)).fetch(NOW).expires_at == math.inf
    with pytest.raises(TokenUnfitError, match="expired 1 min 00 s ago"):
        _token(make_token(exp=NOW - 60)).fetch(NOW)


@pytest.mark.parametrize(
    "text",
    ["short", "two words of it", "a\nsecond-line-of-it", "grün-grün-grün", "x" * 20_000, "<html>sign in</html>\0"],
)
def test_what_cannot_be_one(text: str) -> None:
    """It would break a header or an address; the message has its length, and not the text."""
    with pytest.raises(TokenUnfitError, match="holds no access token") as caught:
        _token(text).fetch(NOW)

    assert f"{len(text)} characters" in caught.value.evidence
    assert text not in seen_in(caught.value)


def test_its_file(tmp_path: Path) -> None:
    """Readable by its owner alone, without a line end, and gone at the end; its life is told as it is."""
    with obtain(_profile(), environ=_environ(tmp_path), clock=lambda: NOW) as credentials:
        path = credentials.token_file
        assert path is not None
        assert path.read_bytes() == TOKEN.encode()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert credentials.held[Kind.TOKEN].life(NOW) == "nothing in it says when it ends"
        assert credentials.keep_fresh(NOW + 1e9) == []
        assert credentials.next_due(NOW) == math.inf
        assert credentials.identity == f"variable {VARIABLE}"
    assert not path.exists()


def test_a_command_under_supervision_has_it_too(tmp_path: Path) -> None:
    """`septum submit` in `septum credentials run` reads the same file, with the same life; another cluster may not."""
    with obtain(_profile(), environ=_environ(tmp_path), clock=lambda: NOW) as credentials:
        below = {SUPERVISED: str(credentials.folder)}
        with obtain(_profile(), environ=below, clock=lambda: NOW) as seen:
            assert seen.token_file == credentials.token_file
            assert seen.held[Kind.TOKEN].expires_at == math.inf
        with pytest.raises(CredentialMissingError, match="another cluster"):
            obtain(_profile(access_token_variable="OTHER"), environ=below, clock=lambda: NOW)
        assert json.loads((credentials.folder / "credentials.json").read_text())["credentials"][0]["kind"] == "token"


def test_nothing_of_it_reaches_others(tmp_path: Path) -> None:
    """Neither HTCondor's commands nor storage, neither a user's code nor a part finds the variable or the file."""
    environ = _environ(tmp_path, PATH="/bin")
    profile = _profile(access_token_variable="REANA_KEY_X")
    environ["REANA_KEY_X"] = environ.pop(VARIABLE)
    with obtain(profile, environ=environ, clock=lambda: NOW) as credentials:
        given = credentials.environment()
        names = secret_variables(profile)
        under = for_supervised(environ, secrets=names, given=given, is_secret=lambda text: TOKEN in text, keep=[])
        user = for_user_code(credentials.for_parts({**environ, **given}), secrets=frozenset(names))

        assert set(given) == {SUPERVISED}
        assert "REANA_KEY_X" not in {**under, **user}
        assert TOKEN not in json.dumps([under, user])
        assert str(credentials.folder) not in json.dumps(user)


def test_it_is_masked_before_it_is_used() -> None:
    """Whatever prints the variable's value prints stars."""
    make_known(_profile(access_token_variable="T"), {"T": "Another0Opaque1Token2y"})

    assert KNOWN.text("token: Another0Opaque1Token2y") == "token: ***"


def test_without_it(tmp_path: Path) -> None:
    """The variable's name and what it holds are said, and how to store it."""
    with pytest.raises(CredentialMissingError, match=VARIABLE) as caught:
        obtain(_profile(), environ=_environ(tmp_path, **{VARIABLE: " "}))

    assert "the access token of REANA" in caught.value.evidence
    assert "masked" in caught.value.fix


def test_a_traced_job_gets_none(tmp_path: Path) -> None:
    """GitLab would write it into the log."""
    with pytest.raises(CredentialExposedError):
        obtain(_profile(), environ=_environ(tmp_path, CI_DEBUG_TRACE="true"))

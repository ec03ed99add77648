"""Bearer token discovery: a token that somebody else keeps fresh, in WLCG's order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from token_files import AUDIENCE, ISSUER, NOW, SCOPES, make_token, seen_in  # type: ignore[import-not-found]

from septum.credentials.discovery import FoundToken
from septum.credentials.provider import Kind
from septum.errors import CredentialExposedError, CredentialMissingError, IdentityError, SeptumError, TokenUnfitError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = f"bt_u{os.geteuid()}"


def _token(place: str) -> str:
    return str(make_token(sub=place))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The files of the last three steps, none of them there yet; the shared folder is ours."""
    for name in ("run", "shared"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("septum.credentials.discovery._SHARED", str(tmp_path / "shared"))
    return {"named": tmp_path / "named", "runtime": tmp_path / "run" / _NAME, "shared": tmp_path / "shared" / _NAME}


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def _find(environ: dict[str, str], **changes: Any) -> Any:
    values = {"issuer": ISSUER, "audience": AUDIENCE, "scopes": SCOPES, **changes}
    return FoundToken(environ=environ, **values).fetch(NOW)


def _environ(places: dict[str, Path], value: str | None = None) -> dict[str, str]:
    environ = {"BEARER_TOKEN_FILE": str(places["named"]), "XDG_RUNTIME_DIR": str(places["runtime"].parent)}
    return environ if value is None else {**environ, "BEARER_TOKEN": value}


def test_order(places: dict[str, Path]) -> None:
    """The value, the named file, the runtime folder, the shared folder: the first that is there counts."""
    for name, path in places.items():
        _write(path, _token(name))

    assert _find(_environ(places, _token("value"))).identity == "value"
    assert _find(_environ(places)).identity == "named"
    assert _find({"XDG_RUNTIME_DIR": str(places["runtime"].parent)}).identity == "runtime"
    assert _find({}).identity == "shared"
    assert _find({"XDG_RUNTIME_DIR": "relative", "BEARER_TOKEN_FILE": " "}).identity == "shared"
    places["runtime"].unlink()
    assert _find({"XDG_RUNTIME_DIR": str(places["runtime"].parent)}).identity == "shared"


@pytest.mark.parametrize("empty", ["", " ", "\n", " \t\n\v\f\r"])
def test_empty_is_passed_over(places: dict[str, Path], empty: str) -> None:
    """What holds nothing but blanks holds no token, and the next place is looked at."""
    _write(places["named"], empty)
    _write(places["runtime"], empty)
    _write(places["shared"], _token("shared"))

    assert _find(_environ(places, empty)).identity == "shared"
    places["shared"].unlink()
    with pytest.raises(CredentialMissingError, match="no bearer token was found") as caught:
        _find(_environ(places, empty))
    assert "BEARER_TOKEN_FILE" in caught.value.evidence


@pytest.mark.parametrize("around", [" ", "\n", "\r\n", "\t\v\f\r "])
def test_blanks_around(places: dict[str, Path], around: str) -> None:
    """The blanks of C around a token do not count; the file that is handed on is without them."""
    token = _token("x")
    _write(places["named"], around + token + around)

    assert _find(_environ(places)).content == token.encode()
    assert _find({"BEARER_TOKEN": around + token + around}).content == token.encode()


@pytest.mark.parametrize(
    "wrong",
    ["hunter2", "\xa0", "a b", _token("x") + "\n" + _token("y"), "# comment\n" + _token("x")],
    ids=["word", "no-blank", "blank", "two", "comment"],
)
@pytest.mark.parametrize("place", ["value", "named", "runtime", "shared"])
def test_wrong_stops(places: dict[str, Path], wrong: str, place: str) -> None:
    """A place that holds something else than a token is an error, never a reason to look further."""
    order = ["value", *places]
    for later in order[order.index(place) + 1 :]:
        _write(places[later], _token(later))
    value = wrong if place == "value" else None
    if place != "value":
        _write(places[place], wrong)
    environ = _environ(places, value)
    if order.index(place) > 1:
        del environ["BEARER_TOKEN_FILE"]

    with pytest.raises(TokenUnfitError, match="in the form of a JWT") as caught:
        _find(environ)
    assert wrong not in seen_in(caught.value)


def test_named_file_is_not_there(places: dict[str, Path]) -> None:
    """A file that somebody named must be there."""
    _write(places["runtime"], _token("runtime"))

    with pytest.raises(CredentialMissingError, match="the bearer token cannot be read from") as caught:
        _find(_environ(places))
    assert "no such file" in caught.value.evidence


@pytest.mark.parametrize("place", ["named", "runtime", "shared"])
@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604, 0o666])
def test_open_to_others(places: dict[str, Path], place: str, mode: int) -> None:
    """A file that others can read is refused wherever it is; XRootD's client would refuse it, too."""
    _write(places[place], _token(place))
    places[place].chmod(mode)
    environ = _environ(places)
    if place != "named":
        del environ["BEARER_TOKEN_FILE"]

    with pytest.raises(CredentialExposedError, match="open to other users"):
        _find(environ)


@pytest.mark.parametrize("place", ["runtime", "shared"])
@pytest.mark.parametrize(
    ("trap", "words"),
    [
        ("link", "it is a link"),
        ("dangling", "it is a link"),
        ("pipe", "it is not a plain file"),
        ("folder", "it is not a plain file"),
    ],
)
def test_traps_at_guessable_names(places: dict[str, Path], tmp_path: Path, place: str, trap: str, words: str) -> None:
    """What somebody else may have put at a name that everybody can guess is neither followed nor waited for."""
    _write(tmp_path / "target", _token("target"))
    path = places[place]
    if trap == "pipe":
        os.mkfifo(path, 0o600)
    elif trap == "folder":
        path.mkdir(mode=0o700)
    else:
        path.symlink_to(tmp_path / ("target" if trap == "link" else "absent"))

    with pytest.raises(CredentialMissingError) as caught:
        _find({"XDG_RUNTIME_DIR": str(places["runtime"].parent)})
    assert caught.value.evidence == words


def test_file_of_another_user(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that somebody else has put there would let us work in his name."""
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    _write(places["shared"].with_name("bt_u4711"), _token("somebody"))

    with pytest.raises(CredentialMissingError) as caught:
        _find({})
    assert caught.value.evidence == "it belongs to another user"


@pytest.mark.parametrize(
    ("claims", "changes", "error", "words"),
    [
        ({"exp": NOW - 60}, {}, TokenUnfitError, "expired 1 min 00 s ago"),
        ({"iss": "https://other/"}, {}, TokenUnfitError, "the token's issuer is"),
        ({"aud": "https://other"}, {}, TokenUnfitError, "is for the audience"),
        ({"wlcg.ver": None}, {}, TokenUnfitError, "WLCG profile"),
        ({}, {"subject": "somebody"}, IdentityError, "speaks for"),
    ],
)
def test_checked(
    places: dict[str, Path], claims: dict[str, object], changes: dict[str, str], error: type[SeptumError], words: str
) -> None:
    """A token that the cluster would refuse is refused here, with the reason."""
    _write(places["named"], make_token(**claims))
    _write(places["shared"], _token("shared"))

    with pytest.raises(error, match=words):
        _find(_environ(places), **changes)


def test_not_ours(places: dict[str, Path]) -> None:
    """Of a token that others asked for, more scopes than the profile's are nothing to complain of, fewer are."""
    _write(places["named"], make_token(scope=" ".join([*SCOPES, "storage.read:/"])))
    assert _find(_environ(places)).warnings == ()

    _write(places["named"], make_token(scope="wlcg"))
    assert "did not grant compute.cancel" in _find(_environ(places)).warnings[0]
    assert _find(_environ(places), issuer="", audience="", scopes=[]).warnings == ()


def test_read_anew(places: dict[str, Path]) -> None:
    """Whoever keeps the file renews it: each time it is read as it is then."""
    _write(places["named"], _token("first"))
    provider = FoundToken(environ=_environ(places), issuer=ISSUER, audience=AUDIENCE, scopes=SCOPES)

    first = provider.fetch(NOW)
    _write(places["named"], make_token(sub="second", exp=NOW + 7200))
    second = provider.fetch(NOW)

    assert (first.identity, first.expires_at) == ("first", NOW + 3600)
    assert (second.identity, second.expires_at) == ("second", NOW + 7200)


def test_provider() -> None:
    """The provider says how it looks for the token, and shows no environment."""
    provider = FoundToken(environ={"BEARER_TOKEN": _token("x")}, issuer="", audience="", scopes=[])

    assert (provider.source, provider.kind, provider.renewable) == ("bearer token discovery", Kind.TOKEN, True)
    assert _token("x")[:20] not in repr(provider)

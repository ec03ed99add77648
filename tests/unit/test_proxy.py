"""The X.509 proxy of a CI variable, or of a file."""

from __future__ import annotations

import base64
from pathlib import Path

import proxy_files  # type: ignore[import-not-found]
import pytest
from token_files import seen_in  # type: ignore[import-not-found]

from septum.credentials.provider import Grant, Kind
from septum.credentials.proxy import Expected, ProxyFile, ProxyVariable, load_proxy, read_pem, usual_path
from septum.credentials.secret import Secret
from septum.errors import (
    CredentialExposedError,
    CredentialMissingError,
    IdentityError,
    ProxyExpiredError,
    ProxyUnreadableError,
)

PEM: bytes = proxy_files.proxy()
VOMS: bytes = proxy_files.proxy(voms_hours=5)
NOW: float = proxy_files.NOW.timestamp()
B64 = base64.b64encode(PEM).decode()
ANYBODY = Expected()


def _load(value: str | bytes, now: float = NOW, expected: Expected = ANYBODY) -> Grant:
    text = value if isinstance(value, str) else base64.b64encode(value).decode()
    return load_proxy(Secret(text), source="variable X509_PROXY", now=now, expected=expected)


def _variable(**environ: str) -> Grant:
    return ProxyVariable(environ=environ, names=tuple(environ), expected=ANYBODY).fetch(NOW)


@pytest.mark.parametrize(
    "value",
    [
        B64,
        B64 + "\n",
        f"  {B64}  ",
        base64.encodebytes(PEM).decode(),
        base64.encodebytes(PEM).decode().replace("\n", "\r\n"),
        " ".join(B64[i : i + 64] for i in range(0, len(B64), 64)),
        PEM.decode(),
        PEM.decode().replace("\n", "\r\n"),
    ],
)
def test_forms(value: str) -> None:
    """Base64 in one line or wrapped, and PEM itself."""
    grant = _load(value)

    assert grant.content == proxy_files.proxy().replace(b"\n\n", b"\n")
    assert grant.expires_at == NOW + 12 * 3600
    assert grant.warnings == ()
    assert "BEGIN" not in repr(grant)


@pytest.mark.parametrize("content", [PEM, B64.encode(), base64.encodebytes(PEM)])
def test_file_variable(tmp_path: Path, content: bytes) -> None:
    """A variable of type file holds a path; the file may hold either form."""
    path = tmp_path / "X509_PROXY"
    path.write_bytes(content)

    assert _variable(X509_PROXY=str(path)).content.startswith(b"-----BEGIN CERTIFICATE-----\n")


def test_value_names_no_file(tmp_path: Path) -> None:
    """What a service answers is never taken for a path, or it could name any file of this machine."""
    path = tmp_path / "proxy"
    path.write_bytes(PEM)

    with pytest.raises(ProxyUnreadableError, match="base64"):
        _load(str(path))


@pytest.mark.parametrize("pieces", [2, 3, 7])
@pytest.mark.parametrize("text", [B64, base64.encodebytes(PEM).decode()])
def test_joined_variables(pieces: int, text: str) -> None:
    """A proxy that was cut to fit into several variables is whole again, wherever it was cut."""
    size = len(text) // pieces + 1
    environ = {f"PART_{start // size}": text[start : start + size] for start in range(0, len(text), size)}

    assert _variable(**environ).content == _load(B64).content


def test_joined_files(tmp_path: Path) -> None:
    """The pieces may be variables of type file, with a line end that somebody's editor added."""
    (tmp_path / "a").write_text(B64[:1000] + "\n")

    assert _variable(A=str(tmp_path / "a"), B=B64[1000:] + "\n").content == _load(B64).content


@pytest.mark.parametrize("environ", [{"A": B64[:1000], "B": ""}, {"A": "", "B": B64[1000:]}, {"A": B64[:-3], "B": " "}])
def test_missing_piece(environ: dict[str, str]) -> None:
    """A piece that is not there is an error with the names of all, never a shorter proxy."""
    with pytest.raises(ProxyUnreadableError, match=r"variable A \+ B"):
        _variable(**environ)


def test_source() -> None:
    """A provider says which variables it reads, shows no value, and what it gives does not renew itself."""
    provider = ProxyVariable(environ={"A": B64}, names=("A", "B"), expected=ANYBODY)

    assert (provider.source, provider.kind, provider.renewable) == ("variable A + B", Kind.PROXY, False)
    assert B64[:20] not in repr(provider)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "it is empty"),
        ("  \n ", "it is empty"),
        (B64[:-3], "its end is missing"),
        (B64[: len(B64) // 2 // 4 * 4], "X.509 proxy"),
        (B64[:100] + "*" + B64[101:], "it is not base64"),
        (B64.replace("L", "-", 1), "it is not base64"),
        ("=" + B64[1:], "it is not base64"),
        ("null", "does not hold PEM"),
        ("hello world!", "it is not"),
        ('{"error": "denied"}', "answer of a web service"),
        ("<html><body>502</body></html>", "answer of a web service"),
        (base64.b64encode(b"not a proxy").decode(), "does not hold PEM"),
        (PEM.decode().replace("\n", "\\n"), "two characters"),
        (B64[:76] + "\\n" + B64[76:], "two characters"),
        ("/nonexistent/proxy", "it is not"),
        ("/dev/null", "it is not"),
        ("A" * 600_000, "longer than"),
        ("é" * 8, "it is not base64"),
        ("A\0BC", "it is not base64"),
    ],
)
def test_unreadable(value: str, words: str) -> None:
    """What is not a proxy is refused with the variable's name and never with its content."""
    with pytest.raises(ProxyUnreadableError, match=words) as caught:
        _variable(X509_PROXY=value)

    assert "X509_PROXY" in caught.value.what
    # Eight characters and more: the certificate's own markers, and words such as "null", stand in the message.
    assert len(value) < 30 or value[8:38] not in seen_in(caught.value)
    assert caught.value.fix
    assert len(str(caught.value)) < 400
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_large_file(tmp_path: Path) -> None:
    """A file without end is not read to its end."""
    (tmp_path / "big").write_bytes(b"A" * 700_000)

    with pytest.raises(ProxyUnreadableError, match="longer than"):
        _variable(X509_PROXY=str(tmp_path / "big"))


def test_expired() -> None:
    """An expired proxy is an error that says since when, and how to make a new one."""
    assert _load(B64, now=NOW + 12 * 3600 - 1).expires_at == NOW + 12 * 3600
    with pytest.raises(ProxyExpiredError, match="expired 1 h 00 min ago") as caught:
        _load(B64, now=NOW + 13 * 3600)
    assert "voms-proxy-init" in caught.value.fix


def test_attributes_end_first() -> None:
    """The attributes of the VO may end before the proxy does; once they have, the message says that it is them."""
    assert _load(VOMS).expires_at == NOW + 5 * 3600
    with pytest.raises(ProxyExpiredError, match=r"VOMS attributes .* expired 1 h 00 min ago") as caught:
        _load(VOMS, now=NOW + 6 * 3600)
    assert "the proxy itself lives for 6 h 00 min" in caught.value.evidence


def test_chain_ends_first() -> None:
    """Attributes that would live on do not help a proxy that has expired."""
    with pytest.raises(ProxyExpiredError, match=r"the X\.509 proxy in variable X509_PROXY expired 1 h"):
        _load(proxy_files.proxy(hours=2, voms_hours=5), now=NOW + 3 * 3600)


def test_not_yet_valid() -> None:
    """A proxy from the future points to a wrong clock."""
    (warning,) = _load(B64, now=NOW - 3 * 3600).warnings

    assert "is the clock right?" in warning


def test_identity() -> None:
    """A proxy is named by its first group or role, or by what it lacks, never by its owner."""
    assert _load(VOMS).identity == "/cms"
    assert _load(PEM).identity == "no VO"
    empty = proxy_files.voms_extension(proxy_files.attribute_certificate(fqans=[]))
    assert _load(proxy_files.voms_proxy(empty)).identity == "VO cms"


@pytest.mark.parametrize(
    ("pem", "expected", "words"),
    [
        (VOMS, Expected(), ""),
        (VOMS, Expected(vo="cms"), ""),
        (VOMS, Expected(fqan="/cms/uscms/Role=production"), ""),
        (VOMS, Expected(vo="cms", fqan="/cms"), ""),
        (VOMS, Expected(fqan="/cms/Role=NULL/Capability=NULL"), ""),
        (VOMS, Expected(vo="atlas"), "is of the VO 'cms', the profile expects 'atlas'"),
        (VOMS, Expected(fqan="/cms/uscms"), "has not the group or role /cms/uscms"),
        (VOMS, Expected(vo="cms", fqan="/cms/Role=production"), "has not the group or role"),
        (PEM, Expected(vo="cms"), "no attributes of a VO"),
        (PEM, Expected(fqan="/cms/Role=production"), "no attributes of a VO"),
    ],
)
def test_expected(pem: bytes, expected: Expected, words: str) -> None:
    """A proxy of another VO, group or role than the profile expects is refused, with the command to make one."""
    if not words:
        assert _load(pem, expected=expected).content
        return
    with pytest.raises(IdentityError, match=words) as caught:
        _load(pem, expected=expected)

    assert "voms-proxy-init --rfc --voms" in caught.value.fix


def test_file(tmp_path: Path) -> None:
    """A file is read as it is at that moment, because somebody else renews it."""
    path = tmp_path / "proxy"
    path.write_bytes(proxy_files.proxy(hours=2))
    path.chmod(0o600)
    provider = ProxyFile(path=path, expected=ANYBODY)

    first = provider.fetch(NOW).expires_at
    path.write_bytes(VOMS)

    assert (first, provider.fetch(NOW).expires_at) == (NOW + 2 * 3600, NOW + 5 * 3600)
    assert (provider.source, provider.kind, provider.renewable) == (f"file {path}", Kind.PROXY, True)


def test_unfit_files(tmp_path: Path) -> None:
    """A proxy that others may read, that is a link, or that is not there, is refused before it is used."""
    path = tmp_path / "proxy"
    path.write_bytes(PEM)
    path.chmod(0o644)
    (tmp_path / "link").symlink_to(path)

    with pytest.raises(CredentialExposedError, match="open to other users"):
        ProxyFile(path=path, expected=ANYBODY).fetch(NOW)
    for name in ("link", "absent"):
        with pytest.raises(CredentialMissingError, match=name):
            ProxyFile(path=tmp_path / name, expected=ANYBODY).fetch(NOW)


def test_usual_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the grid's tools look: the variable, else a name that holds the number of the user."""
    monkeypatch.setattr("os.geteuid", lambda: 4711)

    assert usual_path({"X509_USER_PROXY": " /a/b "}) == Path("/a/b")
    assert usual_path({"X509_USER_PROXY": ""}) == Path("/tmp/x509up_u4711")


def test_read_pem_takes_any_pem(tmp_path: Path) -> None:
    """CA certificates come the same way, as text or as the path of a file."""
    pem = proxy_files.authority().pem
    (tmp_path / "ca.pem").write_bytes(pem)

    for value in (pem.decode(), base64.b64encode(pem).decode(), str(tmp_path / "ca.pem")):
        assert read_pem(Secret(value), "CA").strip() == pem.strip()

"""The X.509 proxy of a CI variable."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import proxy_files  # type: ignore[import-not-found]
import pytest

from septum.credentials.proxy import load_proxy, read_variable
from septum.credentials.secret import Secret
from septum.errors import ProxyExpiredError, ProxyUnreadableError

if TYPE_CHECKING:
    from pathlib import Path

PEM: bytes = proxy_files.proxy()
NOW: float = proxy_files.NOW.timestamp()
B64 = base64.b64encode(PEM).decode()


def _load(value: str, need_s: float = 0, now: float = NOW) -> tuple[Any, list[str]]:
    return load_proxy(Secret(value), name="X509_PROXY", now=now, need_s=need_s)


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
    proxy, warnings = _load(value)

    assert proxy.pem.startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert warnings == []


@pytest.mark.parametrize("content", [PEM, B64.encode(), base64.encodebytes(PEM)])
def test_file_variable(tmp_path: Path, content: bytes) -> None:
    """A variable of type file holds a path; the file may hold either form."""
    path = tmp_path / "X509_PROXY"
    path.write_bytes(content)

    assert _load(str(path))[0].kind == "rfc3820"


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
        ("A" * 600_000, "longer than"),
        ("é" * 8, "it is not base64"),
        ("A\0BC", "it is not base64"),
    ],
)
def test_unreadable(value: str, words: str) -> None:
    """What is not a proxy is refused with the variable's name and never with its content."""
    with pytest.raises(ProxyUnreadableError, match=words) as caught:
        _load(value)

    assert "X509_PROXY" in caught.value.what
    assert caught.value.fix
    assert len(str(caught.value)) < 400
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_large_file(tmp_path: Path) -> None:
    """A file without end is not read to its end."""
    (tmp_path / "big").write_bytes(b"A" * 700_000)

    with pytest.raises(ProxyUnreadableError, match="longer than"):
        _load(str(tmp_path / "big"))


def test_life() -> None:
    """An expired proxy is an error, a short one a warning."""
    assert _load(B64, need_s=11 * 3600)[1] == []
    assert _load(B64, need_s=13 * 3600)[1] == [
        "the X.509 proxy in X509_PROXY ends in 12 h 00 min, the run may need 13 h 00 min"
    ]
    with pytest.raises(ProxyExpiredError, match="expired 1 h 00 min ago") as caught:
        _load(B64, now=NOW + 13 * 3600)
    assert "voms-proxy-init" in caught.value.fix


def test_not_yet_valid() -> None:
    """A proxy from the future points to a wrong clock."""
    (warning,) = _load(B64, now=NOW - 3 * 3600)[1]

    assert "is the clock right?" in warning


def test_voms_attributes_count() -> None:
    """The attributes of the VO end before the proxy does."""
    value = base64.b64encode(proxy_files.proxy(voms_hours=5)).decode()

    assert "ends in 5 h 00 min" in _load(value, need_s=6 * 3600)[1][0]


def test_read_variable_takes_any_pem() -> None:
    """CA certificates come the same way."""
    assert read_variable(Secret(proxy_files.authority().pem.decode()), "CA").startswith(b"-----BEGIN CERTIFICATE-----")

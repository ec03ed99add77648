"""Reading X.509 proxies; the certificates are made in `proxy_files`."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from proxy_files import NOW, RFC3820, authority, make, proxy, user  # type: ignore[import-not-found]

from septum.credentials.x509 import parse_proxy
from septum.errors import ProxyUnreadableError


def hours_left(pem: bytes) -> float:
    """How long a proxy lives."""
    now: float = NOW.timestamp()
    return (parse_proxy(pem).expires_at - now) / 3600


@pytest.mark.parametrize(
    ("kind", "expected"), [("rfc3820", "rfc3820"), ("draft", "draft"), ("legacy", "legacy"), ("limited", "legacy")]
)
def test_kinds(kind: str, expected: str) -> None:
    """All forms of a proxy are known."""
    found = parse_proxy(proxy(kind))

    assert found.kind == expected
    assert found.expires_at == NOW.timestamp() + 12 * 3600
    assert found.starts_at == NOW.timestamp() - 3600
    assert not found.voms
    assert found.pem == proxy(kind).replace(b"\n\n", b"\n")


def test_repr_is_harmless() -> None:
    """Neither key nor names are in the repr."""
    text = repr(parse_proxy(proxy()))

    assert "BEGIN" not in text
    assert "user" not in text


def test_earliest_end_counts() -> None:
    """A proxy lives as long as the shortest piece: the chain, or the VOMS attributes."""
    assert hours_left(proxy(hours=12, voms_hours=5)) == 5
    assert hours_left(proxy(hours=12, voms_hours=50)) == 12
    assert parse_proxy(proxy(voms_hours=5)).voms
    short_user = make(["user"], authority(), hours=2)
    leaf = make(["user", "1"], short_user, 12, {RFC3820: b"\x30\x00"})
    assert hours_left(leaf.pem + leaf.key_pem + short_user.pem) == 2


def test_longer_chains() -> None:
    """A proxy of a proxy, with or without the CA at the end."""
    first = make(["user", "1"], user(), 6, {RFC3820: b"\x30\x00"})
    second = make(["user", "1", "2"], first, 12, {RFC3820: b"\x30\x00"})
    pem = second.pem + second.key_pem + first.pem + user().pem

    assert hours_left(pem) == 6
    assert hours_left(pem + authority().pem) == 6


def test_foreign_text_and_line_ends() -> None:
    """Text around the blocks and Windows line ends are dropped."""
    pem = b"subject: /CN=x\r\n" + proxy().replace(b"\n", b"\r\n") + b"\r\nmore\r\n"

    found = parse_proxy(pem)

    assert b"\r" not in found.pem
    assert found.pem == parse_proxy(proxy()).pem


def test_key_last() -> None:
    """Some tools write the key at the end."""
    leaf = make(["user", "1"], user(), 12, {RFC3820: b"\x30\x00"})

    assert hours_left(leaf.pem + user().pem + leaf.key_pem) == 12


_LEAF = make(["user", "1"], user(), 12, {RFC3820: b"\x30\x00"})
_OTHER = make(["other"], authority())
_LOCKED = _LEAF.key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"password")
)


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (b"", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nxx", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n", "damaged"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "damaged"),
        (user().pem + user().key_pem, "user certificate, not a proxy"),
        (user().pem + user().key_pem + authority().pem, "user certificate, not a proxy"),
        (user().key_pem, "no certificate"),
        (_LEAF.pem + user().pem, "no private key"),
        (_LEAF.pem + _OTHER.key_pem + user().pem, "belongs to another certificate"),
        (_LEAF.pem + _LOCKED + user().pem, "protected by a password"),
        (
            _LEAF.pem + b"-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n" + user().pem,
            "private key is damaged",
        ),
        (_LEAF.pem + _LEAF.key_pem, "user's certificate that signed it is missing"),
        (_LEAF.pem + _LEAF.key_pem + _OTHER.pem, "one chain"),
        (_LEAF.pem + _LEAF.key_pem + authority().pem, "one chain"),
        (_LEAF.pem * 40 + _LEAF.key_pem, "more than 32"),
    ],
)
def test_refused(pem: bytes, words: str) -> None:
    """What is not a complete proxy is refused, with the piece that is wrong and nothing of its content."""
    with pytest.raises(ProxyUnreadableError, match=words) as caught:
        parse_proxy(pem)

    assert caught.value.fix
    assert "BEGIN" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None

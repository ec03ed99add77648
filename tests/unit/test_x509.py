"""Reading X.509 proxies; the certificates are made in `proxy_files`."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from proxy_files import (  # type: ignore[import-not-found]
    NOW,
    RFC3820,
    VOMS,
    attribute_certificate,
    authority,
    make,
    proxy,
    user,
    voms_extension,
    voms_proxy,
)

from septum.credentials.x509 import Proxy, parse_proxy
from septum.errors import ProxyUnreadableError


def hours(found: Proxy) -> float:
    """How long a proxy lives."""
    now: float = NOW.timestamp()
    return (found.expires_at - now) / 3600


def hours_left(pem: bytes) -> float:
    """The same for PEM."""
    return hours(parse_proxy(pem))


@pytest.mark.parametrize(
    ("kind", "expected"), [("rfc3820", "rfc3820"), ("draft", "draft"), ("legacy", "legacy"), ("limited", "legacy")]
)
def test_kinds(kind: str, expected: str) -> None:
    """All forms of a proxy are known."""
    found = parse_proxy(proxy(kind))

    assert found.kind == expected
    assert found.expires_at == NOW.timestamp() + 12 * 3600
    assert found.starts_at == NOW.timestamp() - 3600
    assert found.attributes is None
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
    assert parse_proxy(proxy(hours=12, voms_hours=5)).chain_ends_at == NOW.timestamp() + 12 * 3600
    short_user = make(["user"], authority(), hours=2)
    leaf = make(["user", "1"], short_user, 12, {RFC3820: b"\x30\x00"})
    assert hours_left(leaf.pem + leaf.key_pem + short_user.pem) == 2


def test_attributes() -> None:
    """The VO, the groups and roles without the words for "none", and their end, are read from the first certificate."""
    found = parse_proxy(proxy(voms_hours=5)).attributes

    assert found is not None
    assert found.vo == "cms"
    assert found.fqans == ("/cms", "/cms/uscms/Role=production")
    assert found.expires_at == NOW.timestamp() + 5 * 3600


@pytest.mark.parametrize(
    ("fqan", "shown"),
    [
        ("/cms/Role=NULL/Capability=NULL", "/cms"),
        ("/cms/Role=NULL", "/cms"),
        ("/cms/Role=production/Capability=NULL", "/cms/Role=production"),
        ("/cms/Role=NULL/Capability=x", "/cms/Capability=x"),
        ("/cms/Role=NULLARBOR", "/cms/Role=NULLARBOR"),
        ("/cms/NULL", "/cms/NULL"),
        ("/cms", "/cms"),
    ],
)
def test_fqans(fqan: str, shown: str) -> None:
    """Only a role or capability that is exactly NULL is none."""
    found = parse_proxy(voms_proxy(voms_extension(attribute_certificate(fqans=[fqan])))).attributes

    assert found is not None
    assert found.fqans == (shown,)


def test_two_attribute_certificates() -> None:
    """Of several VOs the first counts, as for the servers; so it does if a proxy of the proxy adds newer attributes."""
    cms = attribute_certificate(hours=5)
    atlas = attribute_certificate(hours=2, fqans=["/atlas"], authority="atlas://voms.example.org:15001")
    both = parse_proxy(voms_proxy(voms_extension(cms, atlas)))
    first = make(["user", "1"], user(), 12, {RFC3820: b"\x30\x00", VOMS: voms_extension(cms)})
    second = make(["user", "1", "2"], first, 12, {RFC3820: b"\x30\x00", VOMS: voms_extension(atlas)})
    newer = parse_proxy(second.pem + second.key_pem + first.pem + user().pem)

    assert both.attributes is not None
    assert (both.attributes.vo, both.attributes.fqans[0], hours(both)) == ("cms", "/cms", 5)
    assert newer.attributes is not None
    assert (newer.attributes.vo, hours(newer)) == ("atlas", 2)


def test_attributes_of_a_lower_certificate() -> None:
    """A proxy of a proxy still speaks with the attributes of the first."""
    first = make(["user", "1"], user(), 12, {RFC3820: b"\x30\x00", VOMS: voms_extension(attribute_certificate())})
    second = make(["user", "1", "2"], first, 12, {RFC3820: b"\x30\x00"})

    found = parse_proxy(second.pem + second.key_pem + first.pem + user().pem).attributes

    assert found is not None
    assert found.vo == "cms"


_EXTENSION = voms_extension(attribute_certificate())


@pytest.mark.parametrize(
    "extension",
    [
        b"",
        b"\x30",
        b"\x05\x00",
        b"junk",
        _EXTENSION[: len(_EXTENSION) // 2],
        _EXTENSION[:-1],
        _EXTENSION.replace(b"\x18\x0f2026", b"\x18\x0f20x6"),
        # 31 February, and no month.
        _EXTENSION.replace(b"20261123", b"20260231"),
        _EXTENSION.replace(b"20261123", b"20269923"),
        # No authority is named, and none in a list of them.
        voms_extension(attribute_certificate(authority=None)),
        voms_extension(attribute_certificate(authority="")),
    ],
)
def test_damaged_attributes(extension: bytes) -> None:
    """Attributes that cannot be read are an error of their own, not a proxy without a VO."""
    with pytest.raises(ProxyUnreadableError, match="VOMS attributes are damaged") as caught:
        parse_proxy(voms_proxy(extension))

    assert caught.value.__context__ is None


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_any_damage_is_one_error() -> None:
    """Whatever byte of the attributes or of the certificate is another, nothing else than this error comes out."""
    outcomes = set()
    for place in range(len(_EXTENSION)):
        for changed in (0xFF, 0x20, 0x01):
            extension = bytearray(_EXTENSION)
            extension[place] ^= changed
            outcomes.add(_outcome(voms_proxy(bytes(extension))))
    whole = proxy(voms_hours=5)
    body = whole.split(b"-----", 4)[2]
    der = base64.b64decode(body)
    for place in range(len(der)):
        for changed in (0xFF, 0x01):
            damaged = bytearray(der)
            damaged[place] ^= changed
            outcomes.add(_outcome(whole.replace(body, b"\n" + base64.encodebytes(bytes(damaged)), 1)))

    assert outcomes >= {"read", "its VOMS attributes are damaged", "a certificate in it is damaged"}


def _outcome(pem: bytes) -> str:
    try:
        parse_proxy(pem)
    except ProxyUnreadableError as error:
        return error.what.partition(": ")[2]
    return "read"


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

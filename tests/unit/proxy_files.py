"""Certificates and proxies for the tests, made with cryptography."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import cache
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone.utc)
RFC3820 = "1.3.6.1.5.5.7.1.14"
DRAFT = "1.3.6.1.4.1.3536.1.222"
VOMS = "1.3.6.1.4.1.8005.100.100.5"


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as PEM, without a password."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )


def make(
    names: list[str], issuer: Pair | None = None, hours: float = 12, extensions: dict[str, bytes] | None = None
) -> Pair:
    """Make a certificate with these common names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(hours=hours))
    )
    for oid, content in (extensions or {}).items():
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ObjectIdentifier(oid), content), critical=oid == RFC3820
        )
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


@cache
def authority() -> Pair:
    """A CA."""
    return make(["CA"], hours=1000)


@cache
def user() -> Pair:
    """A user's certificate."""
    return make(["user"], authority(), hours=500)


def voms_extension(hours: float) -> bytes:
    """The validity of a VOMS attribute certificate, with something around it."""
    dates = [(NOW + timedelta(hours=h)).strftime("%Y%m%d%H%M%SZ").encode() for h in (-1, hours)]
    return b"\x30\x82\x01\x00junk\x30\x22" + b"".join(b"\x18\x0f" + date for date in dates) + b"junk"


@cache
def proxy(kind: str = "rfc3820", hours: float = 12, voms_hours: float | None = None) -> bytes:
    """A proxy file as voms-proxy-init writes it."""
    extensions = {"rfc3820": {RFC3820: b"\x30\x00"}, "draft": {DRAFT: b"\x30\x00"}}.get(kind, {})
    if voms_hours is not None:
        extensions = {**extensions, VOMS: voms_extension(voms_hours)}
    names = {"legacy": "proxy", "limited": "limited proxy"}.get(kind, "123456")
    leaf = make(["user", names], user(), hours, extensions)
    return leaf.pem + leaf.key_pem + user().pem

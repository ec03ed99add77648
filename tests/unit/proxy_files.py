"""Certificates and proxies for the tests, made with cryptography."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from asn1crypto import cms, core
from asn1crypto import x509 as names
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone.utc)
RFC3820 = "1.3.6.1.5.5.7.1.14"
DRAFT = "1.3.6.1.4.1.3536.1.222"
VOMS = "1.3.6.1.4.1.8005.100.100.5"
VOMS_FQANS = "1.3.6.1.4.1.8005.100.100.4"
FQANS = ("/cms/Role=NULL/Capability=NULL", "/cms/uscms/Role=production/Capability=NULL")


class _Certificates(core.SequenceOf):  # type: ignore[misc]
    _child_spec = cms.AttributeCertificateV2


class _Lists(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _Certificates


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


def attribute_certificate(
    hours: float = 12, fqans: Sequence[str] = FQANS, authority: str | None = "cms://voms.example.org:15002"
) -> Any:
    """What a VOMS server says of a user, as `voms-proxy-fake` writes it; only the signature is junk."""
    host = names.GeneralName("directory_name", names.Name.build({"common_name": "voms.example.org"}))
    syntax: dict[str, Any] = {"values": [cms.IetfAttrValue("octets", fqan.encode()) for fqan in fqans]}
    if authority is not None:
        authorities = [authority] if authority else []
        syntax["policy_authority"] = [names.GeneralName("uniform_resource_identifier", uri) for uri in authorities]
    return cms.AttributeCertificateV2(
        {
            "ac_info": {
                "version": "v2",
                "holder": {"base_certificate_id": {"issuer": [host], "serial": 7}},
                "issuer": cms.AttCertIssuer("v2_form", {"issuer_name": [host]}),
                "signature": {"algorithm": "sha256_rsa"},
                "serial_number": 1,
                "att_cert_validity_period": {
                    "not_before_time": NOW - timedelta(hours=1),
                    "not_after_time": NOW + timedelta(hours=hours),
                },
                "attributes": [{"type": VOMS_FQANS, "values": [cms.IetfAttrSyntax(syntax)]}],
            },
            "signature_algorithm": {"algorithm": "sha256_rsa"},
            "signature": b"junk",
        }
    )


def voms_extension(*certificates: cms.AttributeCertificateV2) -> bytes:
    """The extension of a proxy: a sequence of sequences of attribute certificates."""
    return bytes(_Lists([_Certificates(certificates)]).dump())


def voms_proxy(extension: bytes, hours: float = 12) -> bytes:
    """A proxy file with these bytes as the extension of VOMS."""
    leaf = make(["user", "123456"], user(), hours, {RFC3820: b"\x30\x00", VOMS: extension})
    return leaf.pem + leaf.key_pem + user().pem


@cache
def proxy(kind: str = "rfc3820", hours: float = 12, voms_hours: float | None = None) -> bytes:
    """A proxy file as voms-proxy-init writes it."""
    extensions = {"rfc3820": {RFC3820: b"\x30\x00"}, "draft": {DRAFT: b"\x30\x00"}}.get(kind, {})
    if voms_hours is not None:
        extensions = {**extensions, VOMS: voms_extension(attribute_certificate(voms_hours))}
    last = {"legacy": "proxy", "limited": "limited proxy"}.get(kind, "123456")
    leaf = make(["user", last], user(), hours, extensions)
    return leaf.pem + leaf.key_pem + user().pem

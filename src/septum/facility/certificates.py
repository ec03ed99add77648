"""A throw-away certificate authority, and the certificates that it signs."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_LIFETIME = dt.timedelta(days=30)
# Clocks differ a little, and an expired proxy of a test must lie within the life of its certificate.
_BACKDATED = dt.timedelta(days=2)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as PEM files. The key file can be read by its owner alone."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A throw-away certificate authority."""

    identity: Identity
    _certificate: x509.Certificate
    _key: rsa.RSAPrivateKey

    @property
    def file(self) -> Path:
        """The authority's certificate, to be trusted by the clients."""
        return self.identity.certificate

    @property
    def subject(self) -> str:
        """The subject in the form with slashes that VOMS uses."""
        return slashed(self._certificate.subject)

    def host(self, folder: Path, name: str) -> Identity:
        """Sign a certificate for a host, good for both ends of a connection.

        Args:
            folder: Where `<name>.pem` and `<name>.key` are written.
            name: The DNS name, also the only subject alternative name.
        """
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        extra = [x509.SubjectAlternativeName([x509.DNSName(name)])]
        return self._sign(folder, name, _name("OU=Hosts", f"CN={name}"), usages, extra)

    def user(self, folder: Path, name: str) -> Identity:
        """Sign a certificate for a person.

        Args:
            folder: Where `user.pem` and `user.key` are written.
            name: The common name.
        """
        return self._sign(folder, "user", _name("OU=Users", f"CN={name}"), [ExtendedKeyUsageOID.CLIENT_AUTH], [])

    def _sign(
        self,
        folder: Path,
        stem: str,
        subject: x509.Name,
        usages: list[x509.ObjectIdentifier],
        extra: list[x509.SubjectAlternativeName],
    ) -> Identity:
        key = rsa.generate_private_key(65537, 2048)
        builder = _builder(subject, self._certificate.subject, key)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        for extension in extra:
            builder = builder.add_extension(extension, critical=False)
        return _write(folder, stem, builder.sign(self._key, hashes.SHA256()), key)


def create_authority(folder: Path) -> Authority:
    """Create a certificate authority.

    Args:
        folder: Where `ca.pem` and `ca.key` are written.
    """
    key = rsa.generate_private_key(65537, 2048)
    name = _name("CN=septum rehearsal CA")
    builder = _builder(name, name, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    return Authority(_write(folder, "ca", certificate, key), certificate, key)


def slashed(name: x509.Name) -> str:
    """Write a distinguished name the way Globus does: `/DC=test/CN=...`."""
    return "".join(f"/{part.rfc4514_attribute_name}={part.value!s}" for part in name)


def _name(*parts: str) -> x509.Name:
    kinds = {"OU": NameOID.ORGANIZATIONAL_UNIT_NAME, "CN": NameOID.COMMON_NAME}
    domain = [x509.NameAttribute(NameOID.DOMAIN_COMPONENT, text) for text in ("test", "septum")]
    rest = [x509.NameAttribute(kinds[kind], text) for kind, _, text in (part.partition("=") for part in parts)]
    return x509.Name([*domain, *rest])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(folder: Path, stem: str, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> Identity:
    pem = serialization.Encoding.PEM
    identity = Identity(folder / f"{stem}.pem", folder / f"{stem}.key")
    identity.certificate.write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    # Made with its final mode: there is no moment at which others could read it.
    with os.fdopen(os.open(identity.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
        file.write(private)
    return identity

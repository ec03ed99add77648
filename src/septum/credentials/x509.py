"""Read an X.509 proxy from PEM. Pure; it reads dates and structure, and makes no claim of trust.

Who trusts the proxy checks the chain up to a CA: that is the storage or the site, not septum.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from septum.errors import ProxyUnreadableError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_RFC3820 = "1.3.6.1.5.5.7.1.14"
_DRAFT = "1.3.6.1.4.1.3536.1.222"
_VOMS = "1.3.6.1.4.1.8005.100.100.5"
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_FQANS = "1.3.6.1.4.1.8005.100.100.4"
_NULL = re.compile(r"/(?:Role|Capability)=NULL(?=/|$)")
_MOST_CERTIFICATES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a VO says of the proxy's owner: the first attribute certificate, as VOMS servers issue it (RFC 5755).

    Args:
        vo: The virtual organisation, such as `cms`.
        fqans: Groups and roles, the primary first, such as `/cms/Role=production`; without `Role=NULL` and
            `Capability=NULL`.
        expires_at: When the attributes end, in seconds since 1970: a proxy may outlive them.
    """

    vo: str
    fqans: tuple[str, ...]
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """What matters of a proxy; it names no person.

    Args:
        kind: RFC 3820, the Globus draft before it, or the legacy form that only its subject shows.
        starts_at: The latest notBefore of the chain, in seconds since 1970.
        chain_ends_at: The earliest notAfter of the chain, in seconds since 1970.
        attributes: What its VO says of it, if any does.
        pem: The certificates and the key, nothing else. Secret.
    """

    kind: Literal["rfc3820", "draft", "legacy"]
    starts_at: float
    chain_ends_at: float
    attributes: Attributes | None
    pem: bytes = field(repr=False)

    @property
    def expires_at(self) -> float:
        """When chain or attributes end, whatever is first, in seconds since 1970."""
        ends = self.attributes.expires_at if self.attributes is not None else self.chain_ends_at
        return min(self.chain_ends_at, ends)


def short_fqan(fqan: str) -> str:
    """A group or role without the words for "none", which VOMS's own tools print: `/cms/Role=NULL/Capability=NULL`."""
    return _NULL.sub("", "".join(c if c.isprintable() else "?" for c in fqan))


def parse_proxy(pem: bytes) -> Proxy:
    """Read a proxy.

    Args:
        pem: The proxy certificate, its key, and the chain down to the user's certificate.

    Raises:
        ProxyUnreadableError: It is not a complete proxy; says which piece is wrong.
    """
    blocks = [(match[1].decode(), match[0].replace(b"\r\n", b"\n")) for match in _PEM_BLOCK.finditer(pem)]
    chain = _chain([block for label, block in blocks if label == "CERTIFICATE"])
    keys = [block for label, block in blocks if label.endswith("PRIVATE KEY")]
    leaf = chain[0]
    kind = _kind(leaf)
    if kind is None:
        raise _unreadable(
            "the first certificate is a user certificate, not a proxy",
            "Never put a long-lived certificate and its key into CI: make a proxy of it with voms-proxy-init --rfc.",
        )
    _check_key(leaf, keys)
    _check_chain(chain)
    attributes = [found for certificate in chain for found in _attributes(certificate)]
    return Proxy(
        kind=kind,
        starts_at=max(c.not_valid_before_utc.timestamp() for c in chain),
        chain_ends_at=min(c.not_valid_after_utc.timestamp() for c in chain),
        # Of a proxy of a proxy, the newest attributes come first.
        attributes=attributes[0] if attributes else None,
        pem=b"\n".join(block for _, block in blocks) + b"\n",
    )


def _unreadable(problem: str, fix: str) -> ProxyUnreadableError:
    return ProxyUnreadableError(f"the X.509 proxy cannot be used: {problem}", fix=fix)


_MAKE_ANEW = 'Make the variable anew: base64 -w0 < "$(voms-proxy-info -path)"'


def _chain(blocks: list[bytes]) -> list[Certificate]:
    from cryptography import x509

    if not blocks:
        raise _unreadable("it holds no certificate", _MAKE_ANEW)
    if len(blocks) > _MOST_CERTIFICATES:
        raise _unreadable(f"it holds more than {_MOST_CERTIFICATES} certificates", _MAKE_ANEW)
    try:
        chain = [x509.load_pem_x509_certificate(block) for block in blocks]
        # These are read late otherwise, where nobody expects an error.
        readable = all(c.extensions is not None and c.subject is not None for c in chain)
    except Exception:  # noqa: BLE001 - the library has several classes for what it cannot read; all mean the same
        readable = False
    if readable:
        return chain
    raise _unreadable("a certificate in it is damaged", _MAKE_ANEW)


def _kind(certificate: Certificate) -> Literal["rfc3820", "draft", "legacy"] | None:
    from cryptography.x509.oid import NameOID

    oids = {extension.oid.dotted_string for extension in certificate.extensions}
    if _RFC3820 in oids:
        return "rfc3820"
    if _DRAFT in oids:
        return "draft"
    subject, issuer = list(certificate.subject), list(certificate.issuer)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    last = str(names[-1].value) if names else ""
    if last in {"proxy", "limited proxy"} and subject[:-1] == issuer:
        return "legacy"
    return None


def _check_key(leaf: Certificate, keys: list[bytes]) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    if not keys:
        raise _unreadable("it holds no private key", _MAKE_ANEW)

    def spki(key: Any) -> bytes:
        return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    problem = ""
    try:
        key = load_pem_private_key(keys[0], password=None)
        if spki(key.public_key()) != spki(leaf.public_key()):
            problem = "its private key belongs to another certificate"
    except TypeError:
        problem = "its private key is protected by a password"
    except Exception:  # noqa: BLE001 - the library has several classes for a damaged key; all mean the same
        problem = "its private key is damaged"
    if problem:  # outside of the handler, so that no traceback leads to the key
        raise _unreadable(problem, _MAKE_ANEW)


def _check_chain(chain: list[Certificate]) -> None:
    """Each certificate must have signed the one before it, and the last must not be a proxy."""
    for lower, upper in pairwise(chain):
        if not _issued(lower, upper):
            raise _unreadable("its certificates do not form one chain", _MAKE_ANEW)
    if _kind(chain[-1]) is not None:
        raise _unreadable("the user's certificate that signed it is missing", _MAKE_ANEW)


def _issued(lower: Certificate, upper: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _attributes(certificate: Certificate) -> list[Attributes]:
    """The attribute certificates that VOMS put into a proxy: a sequence of sequences of them."""
    found = [extension for extension in certificate.extensions if extension.oid.dotted_string == _VOMS]
    if not found:
        return []
    from asn1crypto.cms import AttributeCertificateV2
    from asn1crypto.core import SequenceOf

    class Certificates(SequenceOf):  # type: ignore[misc]
        _child_spec = AttributeCertificateV2

    class Lists(SequenceOf):  # type: ignore[misc]
        _child_spec = Certificates

    try:
        lists = Lists.load(bytes(getattr(found[0].value, "value", b"")))
        return [_read_attributes(each["ac_info"]) for certificates in lists for each in certificates]
    except (ValueError, TypeError, LookupError):
        problem = "its VOMS attributes are damaged"
    raise _unreadable(problem, _MAKE_ANEW)


def _read_attributes(info: Any) -> Attributes:
    from asn1crypto.cms import IetfAttrSyntax

    vo, fqans = "", []
    for attribute in info["attributes"]:
        if attribute["type"].dotted == _FQANS:
            (value,) = attribute["values"]
            syntax = IetfAttrSyntax.load(value.dump())
            # The authority is written `vo://host:port`.
            vo = str(syntax["policy_authority"][0].native).partition("://")[0]
            fqans = [bytes(each.native).decode("utf-8", "replace") for each in syntax["values"]]
    ends = info["att_cert_validity_period"]["not_after_time"].native
    return Attributes(vo=vo, fqans=tuple(map(short_fqan, fqans)), expires_at=ends.timestamp())

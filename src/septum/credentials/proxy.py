"""X.509 proxies: from a CI variable (base64, PEM, or the path of a file that GitLab wrote), or from a file of ours."""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from septum.credentials.owned import read_owned
from septum.credentials.provider import Grant, Kind
from septum.credentials.redact import KNOWN
from septum.credentials.secret import Secret
from septum.credentials.variables import MAX_BYTES, read_text
from septum.credentials.x509 import Proxy, parse_proxy, short_fqan
from septum.errors import IdentityError, ProxyExpiredError, ProxyUnreadableError
from septum.units import show_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEGIN = "-----BEGIN"
_RENEW = (
    'Renew it (voms-proxy-init --rfc --voms …), and update the CI variable: base64 -w0 < "$(voms-proxy-info -path)"'
)
_CLOCK_SKEW_S = 300
_LONGEST = 64 * 1024


def read_pem(value: Secret, name: str) -> bytes:
    """Get the PEM text out of a secret; certificates of CAs come the same way.

    Args:
        value: Base64, PEM, or the path of an existing file with one of the two.
        name: Where it is from, for messages. Its value never appears.

    Raises:
        ProxyUnreadableError: It is neither; says what it looks like.
    """
    return _pem(read_text(value.reveal(), name), name)


def _pem(text: str, name: str) -> bytes:
    if len(text) > 2 * MAX_BYTES:
        raise _unreadable(name, f"it is longer than {2 * MAX_BYTES // 1024} kB")
    if "\\n" in text:
        raise _unreadable(name, r"it holds '\n' as two characters instead of line ends")
    if _BEGIN in text:
        return text.encode()
    return _decode(text, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Whom a proxy must speak for; empty means anybody."""

    vo: str = ""
    fqan: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyVariable:
    """The proxy of one variable, or of several whose values are joined: a provider.

    Args:
        environ: The environment.
        names: The variables, in order. GitLab limits the length of some, so people split them.
        expected: Whom it must speak for.
    """

    environ: Mapping[str, str] = field(repr=False)
    names: tuple[str, ...]
    expected: Expected

    kind: ClassVar = Kind.PROXY
    renewable: ClassVar = False

    @property
    def source(self) -> str:
        """The variables."""
        return f"variable {' + '.join(self.names)}"

    def fetch(self, now: float) -> Grant:
        """Read the variables and check the proxy.

        Args:
            now: Seconds since 1970.

        Raises:
            ProxyUnreadableError: They hold no usable proxy.
            ProxyExpiredError: It has expired.
            IdentityError: It speaks for somebody else.
        """
        value = Secret("".join(read_text(self.environ.get(name, ""), name) for name in self.names), known=False)
        return load_proxy(value, source=self.source, now=now, expected=self.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyFile:
    """A proxy that somebody else renews: `X509_USER_PROXY`, or where `voms-proxy-init` puts it. A provider."""

    path: Path
    expected: Expected

    kind: ClassVar = Kind.PROXY
    renewable: ClassVar = True

    @property
    def source(self) -> str:
        """The file."""
        return f"file {self.path}"

    def fetch(self, now: float) -> Grant:
        """Read the file as it is now, and check the proxy. Errors as for a variable, and those of `read_owned`."""
        pem = Secret(read_owned(self.path, "the X.509 proxy").decode("latin-1"), known=False)
        grant = load_proxy(pem, source=self.source, now=now, expected=self.expected)
        return replace(grant, kept_by_others=True)


def usual_path(environ: Mapping[str, str]) -> Path:
    """Where the grid's tools look for a proxy."""
    named = environ.get("X509_USER_PROXY", "").strip()
    return Path(named or f"/tmp/x509up_u{os.geteuid()}")  # noqa: S108 - read with all care, see read_owned


def _implausible(value: Secret) -> str:
    """What is wrong at first sight. A whole page or program, made known, would keep the redactor busy for ever."""
    text = value.reveal().strip()
    if len(text) > _LONGEST:
        return f"it is longer than {_LONGEST // 1024} kB"
    if not all(c in "\r\n\t" or " " <= c <= "~" for c in text):
        return "it is not base64"
    if re.fullmatch(r"(/|\./|~)[^\n]{0,250}|[^\n/]{0,250}\.pem", text):
        return "it is not base64; it looks like the path of a file that is not there"
    return ""


def load_proxy(value: Secret, *, source: str, now: float, expected: Expected) -> Grant:
    """Read a proxy and check it.

    Args:
        value: Base64 or PEM. Never a path: a service could name any file of this machine.
        source: Where it is from, for messages.
        now: Seconds since 1970.
        expected: Whom it must speak for.

    Raises:
        ProxyUnreadableError: It is no usable proxy.
        ProxyExpiredError: It has expired.
        IdentityError: It speaks for somebody else.
    """
    if problem := _implausible(value):
        raise _unreadable(source, problem)
    KNOWN.add(value.reveal())
    try:
        proxy = parse_proxy(_pem(value.reveal().strip(), source))
    except ProxyUnreadableError as err:
        problem, fix = err.what, err.fix
    else:
        _check_dates(proxy, source, now)
        _check_identity(proxy, source, expected)
        return Grant(
            content=proxy.pem,
            expires_at=proxy.expires_at,
            identity=_identity(proxy),
            warnings=tuple(_warnings(proxy, source, now)),
        )
    raise ProxyUnreadableError(problem if source in problem else f"{problem} ({source})", fix=fix)


def _identity(proxy: Proxy) -> str:
    """The VO and the primary group or role: never the name of the owner."""
    if proxy.attributes is None:
        return "no VO"
    return proxy.attributes.fqans[0] if proxy.attributes.fqans else f"VO {proxy.attributes.vo}"


def _check_dates(proxy: Proxy, source: str, now: float) -> None:
    if proxy.chain_ends_at <= now:
        raise ProxyExpiredError(
            f"the X.509 proxy in {source} expired {show_duration(now - proxy.chain_ends_at)} ago", fix=_RENEW
        )
    if proxy.attributes is not None and proxy.attributes.expires_at <= now:
        raise ProxyExpiredError(
            f"the VOMS attributes of the X.509 proxy in {source} expired "
            f"{show_duration(now - proxy.attributes.expires_at)} ago",
            evidence=f"the proxy itself lives for {show_duration(proxy.chain_ends_at - now)}; storage lets nobody in "
            "without the attributes",
            fix=_RENEW,
        )


def _warnings(proxy: Proxy, source: str, now: float) -> list[str]:
    if proxy.starts_at <= now + _CLOCK_SKEW_S:
        return []
    starts_in = show_duration(proxy.starts_at - now)
    return [f"the X.509 proxy in {source} is not valid before {starts_in} from now; is the clock right?"]


def _check_identity(proxy: Proxy, source: str, expected: Expected) -> None:
    has = proxy.attributes
    if (expected.vo or expected.fqan) and has is None:
        raise IdentityError(
            f"the X.509 proxy in {source} carries no attributes of a VO",
            evidence=f"the profile expects {expected.fqan or expected.vo}",
            fix=f"voms-proxy-init --rfc --voms {expected.vo or expected.fqan.split('/')[1]} …   (with --voms), "
            "and update the variable",
        )
    if expected.vo and has is not None and has.vo != expected.vo:
        raise IdentityError(
            f"the X.509 proxy in {source} is of the VO {has.vo!r}, the profile expects {expected.vo!r}",
            fix=f"voms-proxy-init --rfc --voms {expected.vo} …, or correct SEPTUM_CLUSTER_EXPECT_VO",
        )
    if expected.fqan and has is not None and short_fqan(expected.fqan) not in has.fqans:
        raise IdentityError(
            f"the X.509 proxy in {source} has not the group or role {expected.fqan}",
            evidence=f"it has {', '.join(has.fqans) or 'none'}",
            fix=f"voms-proxy-init --rfc --voms {has.vo}:{expected.fqan} …, or correct SEPTUM_CLUSTER_EXPECT_FQAN",
        )


def _decode(text: str, name: str) -> bytes:
    if not text:
        raise _unreadable(name, "it is empty")
    if text[0] in "{<[":
        raise _unreadable(name, "it looks like the answer of a web service, not like base64")
    packed = re.sub(r"\s+", "", text)
    raw, problem = b"", ""
    try:
        raw = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        problem = "it is not base64" if len(packed) % 4 == 0 else "it is not complete base64; its end is missing"
    if not problem and _BEGIN.encode() not in raw:
        problem = "its base64 does not hold PEM"
    if problem:
        raise _unreadable(name, problem)
    return raw


def _unreadable(name: str, problem: str) -> ProxyUnreadableError:
    return ProxyUnreadableError(
        f"{name} holds no X.509 proxy: {problem}",
        fix='Make it anew: base64 -w0 < "$(voms-proxy-info -path)"',
    )

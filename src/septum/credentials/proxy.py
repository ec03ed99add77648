"""The X.509 proxy of a CI variable: base64 (wrapped or not), PEM, or the path of a file that GitLab wrote."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import TYPE_CHECKING

from septum.credentials.x509 import Proxy, parse_proxy
from septum.errors import ProxyExpiredError, ProxyUnreadableError
from septum.units import show_duration

if TYPE_CHECKING:
    from septum.credentials.secret import Secret

MAX_BYTES = 256 * 1024
_BEGIN = "-----BEGIN"
_RENEW = "Renew it (voms-proxy-init --rfc --voms …), and update the CI variable: base64 -w0 < $(voms-proxy-info -path)"
_CLOCK_SKEW_S = 300


def read_variable(value: Secret, name: str) -> bytes:
    """Get the PEM text out of a variable's value; certificates of CAs come the same way.

    Args:
        value: Base64, PEM, or the path of an existing file with one of the two.
        name: The variable, for messages. Its value never appears.

    Raises:
        ProxyUnreadableError: It is neither; says what it looks like.
    """
    text = value.reveal().strip()
    path = _as_file(text)
    if path is not None:
        text = _content(path, name).strip()
    if len(text) > 2 * MAX_BYTES:
        raise _unreadable(name, f"it is longer than {2 * MAX_BYTES // 1024} kB")
    if "\\n" in text:
        raise _unreadable(name, r"it holds '\n' as two characters instead of line ends")
    if _BEGIN in text:
        return text.encode()
    return _decode(text, name)


def load_proxy(value: Secret, *, name: str, now: float, need_s: float = 0) -> tuple[Proxy, list[str]]:
    """Read the proxy of a variable, and compare its life with what the run needs.

    Args:
        value: The variable's value.
        name: The variable's name.
        now: Seconds since 1970.
        need_s: How long the proxy must live, in seconds.

    Returns:
        The proxy and warnings.

    Raises:
        ProxyUnreadableError: It holds no usable proxy.
        ProxyExpiredError: It has expired.
    """
    try:
        proxy = parse_proxy(read_variable(value, name))
    except ProxyUnreadableError as err:
        problem, fix = err.what, err.fix
    else:
        return proxy, _check_life(proxy, name, now, need_s)
    raise ProxyUnreadableError(problem if name in problem else f"{problem} (variable {name})", fix=fix)


def _check_life(proxy: Proxy, name: str, now: float, need_s: float) -> list[str]:
    left_s = proxy.expires_at - now
    if left_s <= 0:
        raise ProxyExpiredError(
            f"the X.509 proxy in the variable {name} expired {show_duration(-left_s)} ago", fix=_RENEW
        )
    warnings = []
    if proxy.starts_at > now + _CLOCK_SKEW_S:
        warnings.append(
            f"the X.509 proxy in {name} is not valid before {show_duration(proxy.starts_at - now)} from now;"
            " is the clock right?"
        )
    if left_s < need_s:
        warnings.append(
            f"the X.509 proxy in {name} ends in {show_duration(left_s)}, the run may need {show_duration(need_s)}"
        )
    return warnings


def _as_file(text: str) -> Path | None:
    if not text.startswith("/") or "\n" in text or "\0" in text:
        return None
    try:
        # Base64 may begin with a slash, too: only a file that exists counts.
        return Path(text) if Path(text).is_file() else None
    except OSError:  # longer than a name can be
        return None


def _content(path: Path, name: str) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(2 * MAX_BYTES + 1)
    except OSError as err:
        reason = err.strerror
    else:
        return raw.decode("latin-1")
    raise _unreadable(name, f"the file it names cannot be read: {reason}")


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
        f"the variable {name} holds no X.509 proxy: {problem}",
        fix="Make it anew: base64 -w0 < $(voms-proxy-info -path)",
    )

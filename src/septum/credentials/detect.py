"""Recognize credentials in bytes: by what they are made of, not by the names of files. Pure.

A finding must be worth an alarm: placeholders of documentation and public certificates are none.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from bisect import bisect, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from septum.credentials.redact import base64_form, base64_skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from septum.credentials.redact import Redactor

BEFORE = 16 * 1024
"""So much before a credential may say what kind it is of: the certificates before a key."""
REACH = 64 * 1024
"""So much from the beginning of a credential on is looked at."""

_DEEPEST = 2
_ENCODED = 48 * 1024
_KEY_CHARACTERS = 16 * 1024
# As many different characters stand in each key and token of these lengths; in rulers and in "xxxxxxxx" they do not.
_DIFFERENT = 8
_LONG = 200
_SHORTEST_PASSWORD = 6

# What may stand between two lines of base64: line ends, plain or escaped, and the quotes of a program or of JSON.
_GAP = rb"(?:\\+[nrt]|%0[ADad]|[\s\"',\\])"
_PLACEHOLDER = re.compile(
    rb"(?i)example|placeholder|your|dummy|changeme|replace|redacted|insert|sample|fake|xxxx|\*\*\*|\.\.\.|[<>{}$\[\]()]"
)
_SAMPLE_PASSWORD = re.compile(
    rb"(?i)(?:my|some|the|a|user|test|proxy)?[-_]?(?:pass|passwd|password|passphrase|pw|pwd|secret|token|api[-_]?key|key)"
    rb"(?:word)?[-_]?[0-9]{0,3}"
)


class Hit(NamedTuple):
    """A credential in some bytes.

    Args:
        start: Where it begins.
        end: Where it ends.
        kind: In words.
        fingerprint: The first eight hexadecimal digits of the SHA-256 of the credential; of it, nothing else is kept.
    """

    start: int
    end: int
    kind: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a kind of credential looks.

    Args:
        needles: One of these is in each; they are quick to look for.
        pattern: The whole; the group `it` is the credential itself.
        judge: Says the kind of a match, or nothing if it is none.
    """

    needles: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    judge: Callable[[re.Match[bytes]], str]


def find(data: bytes, known: Redactor | None = None, *, depth: int = 0) -> list[Hit]:
    """Find the credentials in some bytes.

    Args:
        data: Text or anything else.
        known: Secrets to look for besides, in all of their forms.
        depth: How many encodings were taken off already.

    Returns:
        Where they are, in order, without overlaps.
    """
    hits: list[Hit] = []
    for hit in _candidates(data, known, depth):
        at = bisect(hits, hit)
        # What was found first is the more specific kind.
        if (at == 0 or hits[at - 1].end <= hit.start) and (at == len(hits) or hit.end <= hits[at].start):
            insort(hits, hit)
    return hits


def _candidates(data: bytes, known: Redactor | None, depth: int) -> Iterator[Hit]:
    """From the most specific kind to the least."""
    for rule in _RULES:
        if any(needle in data for needle in rule.needles):
            yield from _matches(rule, data)
    if depth < _DEEPEST:
        yield from _in_base64(data, known, depth)
        yield from _in_utf16(data, known, depth)
    if known is not None:
        for start, end in known.spans(data):
            yield Hit(start, end, "known secret", fingerprint(data[start:end]))


def _matches(rule: _Rule, data: bytes) -> Iterator[Hit]:
    for match in rule.pattern.finditer(data):
        if kind := rule.judge(match):
            # The same key has the same fingerprint however its lines are broken.
            text = re.sub(_GAP, b"", match["it"])
            yield Hit(match.start(), match.end(), kind, fingerprint(text))


def fingerprint(text: bytes) -> str:
    """Names a credential without giving it away."""
    return hashlib.sha256(text).hexdigest()[:8]


# ── kinds of text ───────────────────────────────────────────────────────────────────────────────────────────────


def _private_key(match: re.Match[bytes]) -> str:
    if not _varied(match["it"]):
        return ""
    before = match.string[max(match.start() - BEFORE, 0) : match.start()]
    certificate = None
    for certificate in _CERTIFICATE.finditer(before):  # noqa: B007 - the last one counts
        pass
    if certificate is None or re.sub(_GAP, b"", before[certificate.end() :]):
        return "private key"
    der = _decoded(re.sub(_GAP, b"", certificate["it"]), 0)
    return "X.509 proxy" if any(sign in der for sign in _PROXY_SIGNS) else "private key"


_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----(?P<it>[^-]{1,%d})-----END CERTIFICATE-----" % BEFORE)
_PROXY_SIGNS = (
    # The extensions proxyCertInfo of RFC 3820 and of its draft, in DER; and the names of proxies before it.
    b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x0e",
    b"\x06\x0a\x2b\x06\x01\x04\x01\x9b\x50\x01\x81\x5e",
    *(
        b"\x06\x03\x55\x04\x03" + bytes([tag, len(name)]) + name
        for tag in (12, 19)
        for name in (b"proxy", b"limited proxy")
    ),
)


def _jwk(match: re.Match[bytes]) -> str:
    try:
        key = json.loads(match["it"])
    except (ValueError, RecursionError):
        return ""
    private = key.get("d") if isinstance(key, dict) else None
    return "private key" if isinstance(private, str) and _varied(private.encode()) else ""


def _jwt(match: re.Match[bytes]) -> str:
    header, claims = (_json(part) for part in match["it"].split(b".")[:2])
    return "JWT" if header and claims and isinstance(header.get("alg"), str) else ""


def _json(part: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(_decoded(part, 0))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _token(kind: str) -> Callable[[re.Match[bytes]], str]:
    def judge(match: re.Match[bytes]) -> str:
        text = match["it"]
        # By chance, each word stands somewhere in a text that is long enough.
        placeholder = len(text) < _LONG and _PLACEHOLDER.search(text)
        return kind if _varied(text) and not placeholder and re.search(rb"[0-9]", text) else ""

    return judge


def _password(match: re.Match[bytes]) -> str:
    text = match["it"]
    sample = len(text) < _SHORTEST_PASSWORD or _PLACEHOLDER.search(text) or _SAMPLE_PASSWORD.fullmatch(text)
    return "" if sample or text == match["user"] else "password in a URL"


def _varied(text: bytes) -> bool:
    # The end, since all begin alike.
    return len(set(text[-20:])) >= _DIFFERENT


# Of persons, deployments, runners, CI jobs, triggers, feeds, mail, agents, applications, SCIM, flags, workspaces.
_GITLAB_KINDS = ("pat", "dt", "rt", "rtr", "cbt", "ptt", "ft", "imt", "agent", "oas", "soat", "ffct", "wt")
_GITLAB = (*(f"gl{kind}-".encode() for kind in _GITLAB_KINDS), b"GR1348941")

_RULES = (
    _Rule(
        (b"PRIVATE KEY", b"PRIVATE%20KEY", b"PRIVATE+KEY"),
        re.compile(
            rb"-----BEGIN(?:_[A-Z0-9]+){0,3}_PRIVATE_KEY(?:_BLOCK)?-----"
            # The headers of encrypted keys and of PGP.
            rb"GAP{1,200}(?:[A-Za-z][A-Za-z-]{1,30}: [^\n\\]{0,200}GAP+){0,8}"
            # A long line without a break: a mere "MIIE..." is the picture of a key.
            rb"(?P<it>[A-Za-z0-9/+]{40}(?:[A-Za-z0-9/+=]|GAP){0,16000})".replace(b"_", rb"(?: |%20|\+)").replace(
                b"GAP", _GAP
            )
        ),
        _private_key,
    ),
    _Rule(
        (b"eyJ",),
        re.compile(rb"(?P<it>eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,16000}\.[A-Za-z0-9_-]{20,2000})"),
        _jwt,
    ),
    _Rule(
        (b'"kty"',),
        # A key as JSON, whose members stand in any order: a private one has `d`.
        re.compile(rb'(?P<it>\{[^{}]{0,4000}"kty"\s{0,9}:[^{}]{0,4000}\})'),
        _jwk,
    ),
    _Rule((b"zteos64",), re.compile(rb"(?P<it>zteos64(?::|%3[Aa])[A-Za-z0-9/+=_%-]{40,16000})"), _token("EOS token")),
    _Rule(
        _GITLAB,
        re.compile(rb"(?<![A-Za-z0-9])(?P<it>(?:%b)[A-Za-z0-9_=.-]{20,300})" % b"|".join(_GITLAB)),
        _token("GitLab token"),
    ),
    _Rule(
        (b"hvs.", b"hvb.", b"hvr."),
        re.compile(rb"(?<![A-Za-z0-9_])(?P<it>hv[sbr]\.[A-Za-z0-9_-]{24,300})"),
        _token("Vault token"),
    ),
    _Rule(
        (b"authz=", b"token="),
        re.compile(
            rb"[?&;](?:authz|access_token|private_token|job_token|bearer_token)="
            rb"(?:Bearer(?:%20|\+))?(?P<it>[A-Za-z0-9._~/+=%-]{16,16000})"
        ),
        _token("token in a URL"),
    ),
    _Rule(
        (b"://",),
        re.compile(rb"://(?P<user>[^\s/?#:@\"'<>`]{0,200}):(?P<it>[^\s/?#@\\\"'<>`]{1,200})@[A-Za-z0-9\[]"),
        _password,
    ),
    _Rule(
        (b"uthorization",),
        re.compile(
            rb"[Aa]uthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:Bearer|Basic) +(?P<it>[A-Za-z0-9._~/+=-]{16,16000})"
        ),
        _token("authorization header"),
    ),
)


# ── encodings ───────────────────────────────────────────────────────────────────────────────────────────────────

# What is in every text that base64 is worth taking off for.
_MARKS = (b"-----BEGIN ", b"PRIVATE KEY-----", b"eyJhbGci", b"eyJ0eXAi", b"eyJraWQi", b"zteos64:", b"glpat-")
# How these look in base64; with it, which mark it is, and how many bytes stand before it, modulo 3.
_ENCODED_MARKS = {base64_form(mark, before, inner=True): (mark, before) for mark in _MARKS for before in range(3)}
_WRAPPED = {
    encoded: re.compile((_GAP + b"{0,40}").join(re.escape(encoded[at : at + 1]) for at in range(len(encoded))))
    for encoded in _ENCODED_MARKS
}
_BASE64 = re.compile(rb"(?:[A-Za-z0-9/+_-]|%b){0,%d}" % (_GAP, _ENCODED))


def _in_base64(data: bytes, known: Redactor | None, depth: int) -> Iterator[Hit]:
    # Without line ends there is no place where a mark could be broken.
    straight = data.translate(None, b"\r\n\t \"',\\")
    if b"\\n" in data:
        straight += data.replace(b"\\r", b"").replace(b"\\n", b"").translate(None, b"\r\n\t \"',\\")
    marks = sorted(
        (match.start(), *_ENCODED_MARKS[encoded])
        for encoded, pattern in _WRAPPED.items()
        if encoded in straight
        for match in pattern.finditer(data)
    )
    at = characters = 0
    seen_until = [0, 0, 0, 0]
    for start, mark, before in marks:
        characters, at = characters + len(re.sub(_GAP, b"", data[at:start])), start
        step = (characters - base64_skipped(before)) % 4
        # Within what was decoded already, and in step with it.
        if start < seen_until[step]:
            continue
        rest = cast("re.Match[bytes]", _BASE64.match(data, start))
        # What begins near the end of a piece has to be decoded again, with what follows.
        seen_until[step] = rest.end() - (_ENCODED // 2 if len(rest.group()) >= _ENCODED else 0)
        text = _decoded(re.sub(_GAP, b"", rest.group()), before)
        # The bits of its first byte that stand in a character before are missing.
        for hit in find(mark + text[len(mark) :], known, depth=depth + 1):
            yield Hit(start, rest.end(), f"{hit.kind} in base64", hit.fingerprint)


def _decoded(text: bytes, before: int) -> bytes:
    """Take base64 off, in either alphabet, with or without padding.

    Args:
        text: Begins with the first character that has no part in the bytes before.
        before: How many bytes stand before, modulo 3.
    """
    padded = b"A" * base64_skipped(before) + text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    # One character is no byte.
    padded = padded[:-1] if len(padded) % 4 == 1 else padded
    try:
        return base64.b64decode(padded + b"=" * (-len(padded) % 4))[before:]
    except binascii.Error:
        return b""


_NEEDLES = tuple(needle for rule in _RULES for needle in rule.needles)
_UTF16 = (re.compile(rb"(?:[\t\n\r\x20-\x7e]\0){16,}"), re.compile(rb"(?:\0[\t\n\r\x20-\x7e]){16,}"))


def _in_utf16(data: bytes, known: Redactor | None, depth: int) -> Iterator[Hit]:
    if b"\0" not in data or not any(needle in half for half in (data[::2], data[1::2]) for needle in _NEEDLES):
        return
    for first, pattern in enumerate(_UTF16):
        for match in pattern.finditer(data):
            for hit in find(match.group()[first::2], known, depth=depth + 1):
                yield Hit(match.start() + 2 * hit.start, match.start() + 2 * hit.end, hit.kind, hit.fingerprint)


# ── kinds of files ──────────────────────────────────────────────────────────────────────────────────────────────


def kind_of_file(head: bytes) -> str:
    """The kind of a file that is a credential as a whole: of Kerberos.

    Args:
        head: Its first kilobytes.

    Returns:
        In words; nothing if it is none.
    """
    if head[:2] == b"\x05\x02" and _is_keytab_entry(head[2:]):
        return "Kerberos keytab"
    # Version 4 has a header of its own before the principal.
    principal = {b"\x05\x03": 2, b"\x05\x04": 4 + int.from_bytes(head[2:4], "big")}.get(head[:2])
    if principal is not None and _is_principal(head[principal:]):
        return "Kerberos ticket"
    return ""


def _is_keytab_entry(data: bytes) -> bool:
    size = int.from_bytes(data[:4], "big", signed=True)
    if size < 0:  # the place of an entry that was deleted
        return _is_keytab_entry(data[4 - size :])
    return 8 < size < 1 << 16 and _is_name(data[4:6], data[6:])  # noqa: PLR2004 - less holds no name and key


def _is_principal(data: bytes) -> bool:
    return _is_name(data[4:8], data[8 + 2 :]) and data[8:10] == b"\0\0"


def _is_name(parts: bytes, data: bytes) -> bool:
    """Whether a number of parts and a realm stand there."""
    size = int.from_bytes(data[:2], "big")
    realm = data[2 : 2 + size]
    return 1 <= int.from_bytes(parts, "big") <= 10 and len(realm) == size > 0 and all(0x20 < c < 0x7F for c in realm)  # noqa: PLR2004

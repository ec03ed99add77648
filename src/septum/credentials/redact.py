"""Take known secrets out of text that others wrote: whole or in parts, in every usual encoding, also from a stream.

How it works: each secret is written out in the forms that it takes in logs (plain, base64, percent-encoded, ...).
Of a long secret every run of 16 bytes of a form counts. A run of 16 bytes holds a whole window of 8 bytes that starts
at a multiple of 8, so only each eighth position of a text is looked up, in a table of hashes of all windows of all
forms; what the table knows is then compared byte by byte. Short secrets are searched for as a whole.

Cost, measured with five tokens of 1 kB and a proxy of 9 kB: some 20 MB of text a second (1 MB of secrets), 10 MB of
memory, and 0.3 s at the first use after a new secret. A kB of secret costs about 0.7 MB.

Limits: what is encrypted, compressed, or spelled with blanks in between (`ab cd`, `xxd` without `-p`) is not found.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MARKER = b"***"
_SHORTEST = 4
# No credential is longer; of what is, the beginning counts, or it would take minutes and gigabytes.
_LONGEST = 1 << 16
_LONG = 16
# What programs write where a secret should have been; to hide it would only spoil the log.
_NO_SECRETS = frozenset({b"null", b"none", b"true", b"false", b"undefined"})
# Every run of _LONG bytes holds a whole window that starts at a multiple of its size: 2 * 8 - 1 <= 16.
_WINDOW = 8
# Blanks, rulers and zeros stand in secrets as they stand everywhere; as many different bytes make a text one's own.
_DIFFERENT = 5
# A line of a secret of several lines is searched for alone from this length on: "fi" is no secret.
_SHORTEST_LINE = 8
# The least usual forms of the oldest secrets go when all of them are larger than this; a supervisor may run for days.
_RARE_BYTES = 1 << 20
# Between two forms: bytes that stand in no UTF-8. Long enough to look left and right of any window.
_BETWEEN = bytes(range(0xFF, 0xF7, -1)) * 2
# So many places of one window are compared. More of them differ in nothing that matters.
_PLACES = 256
# The windows of the forms fill a sixteenth of the table.
_SLOTS_PER_BYTE = 16
# The bit of the table that stands for a group of four bytes; those below stand for windows.
_GROUP = 8
_ENCODE_URI = ";,/?:@&=+$#!'()*~"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Redactor:
    """Knows secrets, and replaces each run of bytes that belongs to one by `***`, in each line for itself.

    Secrets may be added at any time and by any thread. Line breaks stay, and so do the markers of PEM.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A dictionary for its order: the oldest first.
        self._secrets: dict[bytes, None] = {}
        self._index: _Index | None = None

    def add(self, secret: str | bytes) -> None:
        """Make a secret known. Cheap: its forms are written out when they are needed.

        Args:
            secret: The text itself; white space around it does not count. Below 4 bytes it is ignored, since it
                stands everywhere, and so are "null", "true" and the like. Up to 15 bytes it is searched for as a
                whole only.
        """
        raw = (_encode(secret)[0] if isinstance(secret, str) else secret).strip()[:_LONGEST]
        if len(raw) < _SHORTEST or raw.lower() in _NO_SECRETS:
            return
        with self._lock:
            if raw not in self._secrets:
                self._secrets[raw] = None
                self._index = None

    def text(self, text: str) -> str:
        """A text without the secrets."""
        if not self._secrets or not text:
            return text
        raw, errors = _encode(text)
        spans = self.spans(raw)
        if not spans:
            return text
        # A secret may begin or end within a character, whose other half means nothing.
        whole = _merged([_whole_characters(raw, start, end) for start, end in spans])
        return _render(raw, whole, 0, len(raw), inside=False)[0].decode("utf-8", errors)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where secrets stand.

        Returns:
            Start and end of each run, in order, without overlaps.
        """
        index = self._current()
        return index.spans(data) if index else []

    def stream(self) -> RedactingStream:
        """Something to push the output of one program through."""
        return RedactingStream(self)

    def _current(self) -> _Index | None:
        if not self._secrets:
            return None
        index = self._index
        if index is None:
            with self._lock:
                index = self._index = self._index or _Index(self._secrets)
        return index


class RedactingStream:
    """Takes secrets out of bytes that come in pieces.

    A line is passed on when it is complete. Of a line that is not, the end stays back as long as it could be the
    beginning of a secret, which is no more than 15 bytes of a long one, or a form of a short one but for its last byte.
    Of a secret with line breaks, less than 16 bytes may get out before the first of them.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        # What was passed on last, as it came: a secret may have begun in it.
        self._before = b""
        self._held = b""
        self._inside = False

    def feed(self, data: bytes) -> bytes:
        """Take the next piece.

        Returns:
            What can be passed on.
        """
        return self._pass(data, final=False)

    def close(self) -> bytes:
        """The rest, after the last piece."""
        return self._pass(b"", final=True)

    def _pass(self, data: bytes, *, final: bool) -> bytes:
        index = self._redactor._current()  # noqa: SLF001 - two halves of one thing
        buffer = self._before + self._held + data
        start = len(self._before)
        if index is None:
            end, spans, reach = len(buffer), [], _LONG
        else:
            end = len(buffer) if final else index.settled(buffer, start)
            spans, reach = index.spans(buffer), index.reach
        shown, self._inside = _render(buffer, spans, start, end, inside=self._inside)
        self._before, self._held = buffer[max(end - reach, 0) : end], buffer[end:]
        return shown


class _Index:
    """All forms of all secrets, ready to be searched for. Never changed after it is made."""

    __slots__ = ("_beginnings", "_blob", "_moduli", "_pairs", "_short", "_table", "reach")

    def __init__(self, secrets: Iterable[bytes]) -> None:
        usual: dict[bytes, None] = {}
        rare: dict[bytes, None] = {}
        short: dict[bytes, None] = {}
        rare_bytes = 0
        for secret in reversed(list(secrets)):
            for piece, encoded in _pieces(secret):
                if len(piece) < _LONG:
                    short |= dict.fromkeys(_short_forms(piece))
                    continue
                usual |= dict.fromkeys(form.lower() for form in _usual_forms(piece))
                if rare_bytes < _RARE_BYTES:
                    new = dict.fromkeys(form.lower() for form in _rare_forms(piece, twice=not encoded))
                    rare |= new
                    rare_bytes += sum(map(len, new))
            short |= dict.fromkeys(_short_lines(secret))
        forms = [form for form in usual | rare if len(form) >= _LONG]
        # Upper and lower case are one: of hexadecimal digits both are usual, and of other texts none is lost.
        self._blob = _BETWEEN.join([b"", *forms, b""]) if forms else b""
        # Longest first, for no reason but a steady order.
        self._short = sorted((form for form in short if len(form) >= _SHORTEST), key=lambda form: (-len(form), form))
        self._beginnings = frozenset(form[:size] for form in self._short for size in range(1, len(form)))
        # So much of what was passed on can be the beginning of a form.
        self.reach = max([_LONG, *map(len, self._short)])
        # Three hashes of a window are enough: of a million windows that are in no form, some hundred look as if.
        self._moduli = tuple((_SLOTS_PER_BYTE - less) * len(self._blob) | 1 for less in range(3))
        self._table = self._fill()
        self._pairs = frozenset(pair for shift in range(2) for pair in _words(self._blob[shift:], "H"))

    def _fill(self) -> bytearray:
        first, second, third = self._moduli
        table = bytearray(first)
        for shift in range(_WINDOW):
            for word in _words(self._blob[shift:]):
                table[word % first] |= 1
                table[word % second] |= 2
                table[word % third] |= 4
        for shift in range(4):
            for group in _words(self._blob[shift:], "I"):
                table[group % first] |= _GROUP
        return table

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where secrets stand: start and end of each run, in order."""
        found = list(self._long_spans(data.lower())) if self._blob else []
        for form in self._short:
            at = data.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = data.find(form, at + 1)
        return _merged(found)

    def settled(self, buffer: bytes, start: int) -> int:
        """How far a buffer can be passed on before more is known.

        Args:
            buffer: What is there.
            start: Where the part begins that was not passed on yet.
        """
        line = max(buffer.rfind(b"\n") + 1, start, len(buffer) - self.reach)
        tail = buffer[line:]
        held = self._held(tail[1 - _LONG :].lower()) if self._blob else 0
        for size in range(len(tail), held, -1):
            if tail[-size:] in self._beginnings:
                held = size
                break
        return len(buffer) - held

    def _held(self, folded: bytes) -> int:
        """How many bytes at the end look as if they stood in a form; never less than do."""
        for held in range(len(folded)):
            at = len(folded) - held - 1
            if not self._may_stand(folded[at : at + 4]):
                return held
        return len(folded)

    def _may_stand(self, group: bytes) -> bool:
        if len(group) == 4:  # noqa: PLR2004 - the width of "I"
            return bool(self._table[_words(group, "I")[0] % self._moduli[0]] & _GROUP)
        return group[0] in self._blob if len(group) == 1 else _words(group, "H")[0] in self._pairs

    def _long_spans(self, folded: bytes) -> Iterator[tuple[int, int]]:
        table = self._table
        first, second, third = self._moduli
        hits = [
            number * _WINDOW
            for number, word in enumerate(_words(folded))
            if table[word % first] & 1 and table[word % second] & 2 and table[word % third] & 4
        ]
        expected = 0
        for at in hits:
            start, end, place = self._around(folded, at, expected)
            # The next window of the same form.
            expected = place + _WINDOW
            if end - start >= _LONG and len(set(folded[start:end])) >= _DIFFERENT:
                yield start, end

    def _around(self, folded: bytes, at: int, expected: int) -> tuple[int, int, int]:
        """The widest run around a window, up to one window to each side, and its place in the forms."""
        window = folded[at : at + _WINDOW]
        left, right = folded[max(at - _WINDOW, 0) : at], folded[at + _WINDOW : at + 2 * _WINDOW]
        start, end, place = at, at, expected
        for found in self._places(window, expected):
            before = _common(left[::-1], self._blob[found - _WINDOW : found][::-1])
            after = _common(right, self._blob[found + _WINDOW : found + 2 * _WINDOW])
            if before + _WINDOW + after >= _LONG:
                start, end, place = min(start, at - before), max(end, at + _WINDOW + after), found
            if before == after == _WINDOW:
                break
        return start, end, place

    def _places(self, window: bytes, expected: int) -> Iterator[int]:
        blob = self._blob
        if expected and blob[expected : expected + _WINDOW] == window:
            yield expected
        place = blob.find(window, _WINDOW)
        for _ in range(_PLACES):
            if place < 0:
                return
            yield place
            place = blob.find(window, place + 1)


def _words(data: bytes, size: Literal["H", "I", "Q"] = "Q") -> memoryview[int]:
    """A text as numbers of 2, 4 or 8 bytes, side by side; the end that does not fill one is left out."""
    width = struct.calcsize(size)
    return memoryview(data)[: len(data) // width * width].cast(size)


def _common(one: bytes, other: bytes) -> int:
    """How many bytes at the beginning are the same."""
    if one == other:
        return len(one)
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return number
    return min(len(one), len(other))


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _render(data: bytes, spans: list[tuple[int, int]], start: int, end: int, *, inside: bool) -> tuple[bytes, bool]:
    """The part of a text from `start` to `end` without its secrets.

    Args:
        data: The text.
        spans: Where secrets stand in it.
        start: Where to begin.
        end: Where to stop.
        inside: Whether the byte before `start` was shown as part of a marker.

    Returns:
        The text to show, and `inside` for the part that follows.
    """
    shown = []
    at = start
    for first, last in spans:
        hidden_from, hidden_to = max(first, start), min(last, end)
        if hidden_from >= hidden_to:
            continue
        if at < hidden_from:
            shown.append(data[at:hidden_from])
            inside = False
        for number, line in enumerate(data[hidden_from:hidden_to].split(b"\n")):
            if number:
                shown.append(b"\n")
                inside = False
            if line and not inside:
                shown.append(_MARKER)
                inside = True
        at = hidden_to
    if at < end:
        shown.append(data[at:end])
        inside = False
    return b"".join(shown), inside


def _encode(text: str) -> tuple[bytes, str]:
    """A text as bytes, and the error handler that brings it back."""
    try:
        # What came from the system with bytes that are no UTF-8, with these bytes.
        return text.encode("utf-8", "surrogateescape"), "surrogateescape"
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass"), "surrogatepass"


def _whole_characters(data: bytes, start: int, end: int) -> tuple[int, int]:
    while start and data[start] & 0xC0 == 0x80:  # noqa: PLR2004 - the inner bytes of a character in UTF-8
        start -= 1
    while end < len(data) and data[end] & 0xC0 == 0x80:  # noqa: PLR2004
        end += 1
    return start, end


# ── the forms that a secret takes ───────────────────────────────────────────────────────────────────────────────


def _pieces(secret: bytes) -> Iterator[tuple[bytes, bool]]:
    """A secret without what is public in it, and what it is the base64 of.

    Returns:
        Pieces; with each, whether it is an encoding of others.
    """
    import re

    inner = _decoded_pem(secret)
    for text, encoded in ((secret, bool(inner)), (inner, False)):
        # The same markers stand in every public certificate.
        for piece in re.split(rb"-----(?:BEGIN|END) [A-Z0-9 ]+-----", text):
            if len(piece.strip()) >= _SHORTEST:
                yield piece.strip(), encoded


def _decoded_pem(secret: bytes) -> bytes:
    """The PEM text that a secret is the base64 of, as CI variables with proxies are; else nothing."""
    import base64
    import binascii

    packed = b"".join(secret.split())
    try:
        raw = base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if b"-----BEGIN" in raw else b""


def _short_lines(secret: bytes) -> Iterator[bytes]:
    """The lines that no run of 16 bytes fits into, such as the last one of a PEM block."""
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if _SHORTEST_LINE <= len(line) < _LONG and not line.startswith(b"-----"))


def _usual_forms(raw: bytes) -> set[bytes]:
    return _escaped(raw).union(*(_escaped(form) for form in base64_forms(raw)))


def _rare_forms(raw: bytes, *, twice: bool) -> set[bytes]:
    forms = {raw.hex().encode(), _percent(raw)}
    if twice:
        forms = forms.union(*(base64_forms(form) for form in base64_forms(raw)))
    return forms


def _short_forms(raw: bytes) -> set[bytes]:
    """All forms with both cases of digits, without padding, and with a line break at any place of base64."""
    padded = base64_forms(raw)
    once = base64_forms(raw, inner=True).union(*(_escaped(form.rstrip(b"=")) for form in padded))
    twice = {form.rstrip(b"=") for each in padded | once for form in base64_forms(each)}
    twice = twice.union(*(base64_forms(each, inner=True) for each in padded | once))
    wrapped = {form[:at] + b"\n" + form[at:] for form in once for at in range(1, len(form))}
    digits = {raw.hex().encode(), _percent(raw)}
    return _escaped(raw) | digits | {form.upper() for form in digits} | once | twice | wrapped


def base64_forms(raw: bytes, *, inner: bool = False) -> set[bytes]:
    """What base64 makes of some bytes wherever they stand in what was encoded, in both alphabets.

    Args:
        raw: The bytes.
        inner: Something follows them: leave out the padding, and the last character if that has a part in it.
    """
    forms = {base64_form(raw, before, inner=inner) for before in range(3)}
    return forms | {form.translate(_URL_SAFE) for form in forms}


def base64_form(raw: bytes, before: int, *, inner: bool = False) -> bytes:
    """The same for bytes that have so many others before them, modulo 3."""
    import base64

    whole = base64.b64encode(bytes(before) + raw)
    # Six bits a character; the first ones still hold bits of what stands before.
    return whole[base64_skipped(before) : 8 * (before + len(raw)) // 6 if inner else None]


def base64_skipped(before: int) -> int:
    """How many characters of base64 have a part in so many bytes."""
    return (8 * before + 5) // 6


def _percent(raw: bytes) -> bytes:
    """Percent-encoding of every byte."""
    return "".join(f"%{byte:02x}" for byte in raw).encode()


def _escaped(raw: bytes) -> set[bytes]:
    """A text as URLs, JSON, Python, shells and HTML show it."""
    import re

    plain = re.sub(rb"[A-Za-z0-9._-]", b"", raw)
    forms = {raw}
    if not plain:
        return forms
    forms |= _escaped_for_url(raw) | _escaped_for_shell(raw) | {repr(raw)[2:-1].encode()}
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return forms
    return forms | {form.encode() for form in _escaped_text(text)}


def _escaped_for_url(raw: bytes) -> set[bytes]:
    import re
    from urllib.parse import quote

    forms = set()
    for safe in ("", "/", "/+=", "!'()*~", _ENCODE_URI):
        form = quote(raw, safe=safe).encode()
        forms |= {form, form.replace(b"%20", b"+")}
    return forms | {re.sub(rb"%[0-9A-F]{2}", lambda found: found.group().lower(), form) for form in forms}


def _escaped_for_shell(raw: bytes) -> set[bytes]:
    import re

    ansi = raw.replace(b"\\", b"\\\\").replace(b"'", b"\\'").replace(b"\n", b"\\n").replace(b"\t", b"\\t")
    return {
        raw.replace(b"'", b"'\\''"),
        raw.replace(b"'", b"'\"'\"'"),
        re.sub(rb'([\\"$`])', rb"\\\1", raw),
        re.sub(rb"([^A-Za-z0-9_./:=@%+,-])", rb"\\\1", raw),
        ansi,
    }


def _escaped_text(text: str) -> set[str]:
    import html
    import json
    import re

    web = html.escape(text)
    forms = {repr(text)[1:-1], ascii(text)[1:-1], html.escape(text, quote=False), web, web.replace("&#x27;", "&#39;")}
    for dumped in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        forms |= {dumped, dumped.replace("/", "\\/"), json.dumps(dumped)[1:-1]}
        # What Go, Java and .NET write so that it may stand in a web page.
        for characters in ("[<>&]", "[<>&'=]", "[<>&'+`]"):
            careful = re.sub(characters, lambda found: f"\\u{ord(found.group()):04x}", dumped)
            upper = re.sub(characters, lambda found: f"\\u{ord(found.group()):04X}", dumped)
            forms |= {careful, upper}
    return forms


KNOWN = Redactor()
"""All secrets of this process."""

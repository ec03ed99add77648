"""Secrets in text that others wrote: every encoding, every part, every way in which a stream may be cut."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import shlex
import string
import threading
from collections import deque
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import proxy_files  # type: ignore[import-not-found]
import pytest

from septum.credentials.redact import KNOWN, Redactor
from septum.credentials.secret import Secret, redact

_URL_SAFE = string.ascii_letters + string.digits + "-_"
_PRINTABLE = string.ascii_letters + string.digits + string.punctuation


def _token(r: random.Random) -> str:
    return "eyJ" + ".".join("".join(r.choices(_URL_SAFE, k=size)) for size in (40, 200, 90))


def _password(r: random.Random) -> str:
    return "".join(r.choices(_PRINTABLE + " äé€", k=r.randrange(20, 60))).strip()


def _short(r: random.Random) -> str:
    return "".join(r.choices(_PRINTABLE, k=r.randrange(4, 16)))


def _key(r: random.Random) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{base64.encodebytes(r.randbytes(240)).decode()}-----END PRIVATE KEY-----\n"


def _wrapped(data: bytes, columns: int) -> str:
    text = base64.b64encode(data).decode()
    return "\n".join(text[at : at + columns] for at in range(0, len(text), columns))


_ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda s: s,
    "quote": quote,
    "quote all": lambda s: quote(s, safe=""),
    "quote lower": lambda s: re.sub("%..", lambda found: found.group().lower(), quote(s, safe="")),
    "quote_plus": quote_plus,
    "percent": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "PERCENT": lambda s: "".join(f"%{byte:02X}" for byte in s.encode()),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "json": lambda s: json.dumps({"key": s}),
    "json utf-8": lambda s: json.dumps(s, ensure_ascii=False),
    "json slash": lambda s: json.dumps(s).replace("/", "\\/"),
    "json web": lambda s: json.dumps(s).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    "json twice": lambda s: json.dumps(json.dumps(s)),
    "repr": repr,
    "repr bytes": lambda s: repr(s.encode()),
    "shell": shlex.quote,
    "shell trace": lambda s: "+ export X='" + s.replace("'", "'\\''") + "'",
    "html": html.escape,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 unpadded": lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
    "base64 url": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64 after 1": lambda s: base64.b64encode(b"u" + s.encode() + b"tail").decode(),
    "base64 after 2": lambda s: base64.b64encode(b"u:" + s.encode() + b"\n").decode(),
    "base64 after 3": lambda s: base64.b64encode(b"id:" + s.encode() + b"..").decode(),
    "base64 twice": lambda s: base64.b64encode(base64.b64encode(s.encode())).decode(),
    "base64 twice after 4": lambda s: base64.b64encode(b"x: " + base64.b64encode(b"y" + s.encode() + b"z")).decode(),
    "base64 in 64 columns": lambda s: _wrapped(s.encode(), 64),
    "base64 in 76 columns": lambda s: _wrapped(b"x" * 18 + s.encode(), 76),
}


def _grams(encoded: str, size: int = 16) -> Iterator[bytes]:
    raw = encoded.encode()
    for at in range(len(raw) - size + 1):
        gram = raw[at : at + size]
        # What is public in it: markers, what our encodings put before, a line break.
        if len(set(gram)) > 4 and not any(mark in gram for mark in (b"-----", b"eHh4", b"export", b'{"key', b"\n")):
            yield gram


def _redactor(*secrets: str | bytes) -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret)
    return redactor


def _cut(redactor: Redactor, data: bytes, r: random.Random, most: int) -> bytes:
    """What comes out if the data come in random pieces."""
    stream, shown, at = redactor.stream(), b"", 0
    while at < len(data):
        size = r.randint(1, most)
        shown += stream.feed(data[at : at + size])
        at += size
    return shown + stream.close()


# ── encodings ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", _ENCODINGS)
@pytest.mark.parametrize("make", [_token, _password, _key])
def test_no_part_of_a_long_secret_is_left(make: Callable[[random.Random], str], name: str) -> None:
    """No 16 bytes in a row, in any form."""
    for seed in range(5):
        secret = make(random.Random(seed))
        redactor = _redactor(secret)
        shown = redactor.text(f"before {_ENCODINGS[name](secret)} after")

        assert shown.startswith("before ")
        assert shown.endswith(" after")
        assert "***" in shown
        inner = secret.strip().partition("-----\n")[2].rpartition("\n-----")[0] or secret
        left = [gram for form in (inner, _ENCODINGS[name](inner)) for gram in _grams(form) if gram in shown.encode()]
        assert left == []


@pytest.mark.parametrize("name", _ENCODINGS)
def test_a_short_secret_goes_as_a_whole(name: str) -> None:
    """In all forms, and its parts stay: they may be words."""
    for seed in range(50):
        secret = _short(random.Random(seed))
        encoded = _ENCODINGS[name](secret)
        shown = _redactor(secret).text(f"a {encoded} b")

        assert "***" in shown, (secret, encoded)
        assert encoded.strip("\"'=") not in shown
        assert secret not in shown
        assert _redactor(secret).text(f"a {secret[1:]} b") == f"a {secret[1:]} b"


@pytest.mark.parametrize("name", ["plain", "base64", "hex", "percent", "base64 twice", "base64 after 2"])
def test_any_part_of_a_long_secret_goes(name: str) -> None:
    """A prefix, a half, a piece of 16 bytes; with 12 nobody gets in."""
    r = random.Random(7)
    secret = _token(r)
    redactor = _redactor(secret, _token(r), _key(r))
    encoded = _ENCODINGS[name](secret).strip("=")[4:-4]

    for _ in range(300):
        at = r.randrange(len(encoded) - 16)
        piece = encoded[at : at + r.choice([16, 17, 23, 64])]
        shown = redactor.text(f"[{piece}]")
        assert shown == "[***]", piece


def test_a_proxy_as_a_ci_variable_holds_it() -> None:
    """Base64 of PEM: neither the variable nor the file that it becomes is shown, only that there was one."""
    pem = proxy_files.proxy()
    redactor = _redactor(base64.b64encode(pem))
    shown = redactor.text(pem.decode()).splitlines()

    assert set(shown) == {
        "-----BEGIN CERTIFICATE-----",
        "-----END CERTIFICATE-----",
        "-----BEGIN EC PRIVATE KEY-----",
        "-----END EC PRIVATE KEY-----",
        "***",
    }
    assert len(shown) == len(pem.splitlines())
    for text in (base64.b64encode(pem), base64.encodebytes(pem)):
        left = redactor.text(text.decode())
        assert not [gram for gram in _grams(base64.b64encode(pem).decode()) if gram.decode() in left]


def test_each_line_of_a_secret() -> None:
    """Also alone, and also one that is too short to have parts; but not a word."""
    secret = "first line of it\nsecond-one\n{\n"

    assert _redactor(secret).text("x second-one { first line of it.") == "x *** { ***."


def test_public_text_stays() -> None:
    """Markers of PEM, blanks, rulers, zeros."""
    redactor = _redactor(
        proxy_files.proxy(), "secret with" + " " * 40 + "blanks, and" + "=" * 40, (bytes(64) + b"key" * 9).hex()
    )
    text = (
        "-----BEGIN CERTIFICATE-----\n-----END EC PRIVATE KEY-----\n"
        + " " * 60
        + "|\n"
        + "=" * 60
        + "\n"
        + "0" * 60
        + "\n"
    )

    assert redactor.text(text) == text


def test_text_without_secrets_stays() -> None:
    """Whatever it holds."""
    r = random.Random(3)
    redactor = _redactor(_token(r), _key(r), "hunter22")
    text = "".join(chr(r.randrange(1, 0x2FFF)) for _ in range(20000)) + "\udc80\ud800"
    data = r.randbytes(100000)

    assert redactor.text(text) == text
    assert redactor.text("") == ""
    assert redactor.spans(data) == []
    assert _cut(redactor, data, r, 999) == data


def test_one_marker_for_a_run_in_a_line() -> None:
    """Two secrets side by side are one run; a line break is never swallowed."""
    redactor = _redactor("first-secret-of-two", "second-secret-of-two", "a\nb c")

    assert redactor.text("<first-secret-of-twosecond-secret-of-two>") == "<***>"
    assert redactor.text("<first-secret-of-two\nsecond-secret-of-two>") == "<***\n***>"
    assert redactor.text("<a\nb c>") == "<***\n***>"


def test_case_of_digits_and_letters() -> None:
    """Of a long secret, each spelling goes."""
    redactor = _redactor("correct-horse/battery")

    assert redactor.text("CORRECT-HORSE/BATTERY correct-horse%2fbattery") == "*** ***"


def test_too_short_to_hide() -> None:
    """Three letters stand in every text, and so does what programs write for nothing."""
    assert _redactor("null", b"True", "undefined").text("null true undefined") == "null true undefined"
    assert _redactor("abc", "", "  a  ", b"\n").text("abc a") == "abc a"


def test_a_character_is_not_cut() -> None:
    """Where a secret ends within the bytes of a character, the character goes."""
    redactor = _redactor("0123456789abcdefé".encode()[:-1])

    assert redactor.text("0123456789abcdefé.") == "***."


def test_no_two_secrets_make_a_third() -> None:
    """The end of one form and the beginning of the next are no run."""
    redactor = _redactor("0123456789abcdefghij", "klmnopqrstuvwxyz9876")

    assert redactor.text("cdefghij klmnopqr 23456789") == "cdefghij klmnopqr 23456789"


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("most", [1, 2, 7, 40, 1000])
def test_no_cut_lets_a_secret_through(most: int) -> None:
    """Long and short secrets in all forms, among lines of text, cut at random."""
    r = random.Random(most)
    for make in (_token, _password, _short, _key):
        secret = make(r)
        redactor = _redactor(secret)
        texts = [
            f"{name}: {encode(secret)} !" for name, encode in _ENCODINGS.items() if make is not _key or "\n" not in name
        ]
        data = "\nnothing here\n".join(texts).encode()
        shown = _cut(redactor, data, r, most)

        if make is _short:
            assert secret.encode() not in shown
            assert base64.b64encode(secret.encode()).strip(b"=") not in shown
            assert secret.encode().hex().encode() not in shown
        else:
            body = secret.replace("-----BEGIN PRIVATE KEY-----\n", "").replace("-----END PRIVATE KEY-----\n", "")
            for encode in _ENCODINGS.values():
                assert [gram for gram in _grams(encode(body)) if gram in shown] == []
        assert shown.count(b"\nnothing here\n") == len(texts) - 1
        assert shown.count(b"\n") == data.count(b"\n")


def test_how_a_stream_is_cut_does_not_matter() -> None:
    """As long as no secret has a line break, the outcome is always the same."""
    r = random.Random(11)
    secrets = [_token(r), _short(r), _password(r)]
    redactor = _redactor(*secrets)
    words = [*secrets, "\n", "job 17 is idle ", "\r", "é", secrets[0][:40], secrets[0][30:], "=", "A" * 20]
    text = "".join(r.choices(words, k=80))
    whole = redactor.text(text).encode()

    assert {_cut(redactor, text.encode(), r, most) for most in (1, 2, 3, 5, 17, 64, 500, 10**6)} == {whole}


def test_lines_are_passed_on_at_once() -> None:
    """Nobody waits for a line that is complete, nor for a question that ends a line."""
    stream = _redactor("a-secret-of-some-length", "hunter22").stream()

    assert stream.feed(b"line of text\nPassword? ") == b"line of text\nPassword? "
    assert stream.feed(b"? hunter2") == b"? "
    assert stream.feed(b"1 ") == b"hunter21 "
    assert stream.feed(b"a-secret-of-so") == b""
    assert stream.feed(b"me\n") == b"***\n"
    assert stream.feed(b"a-secret-of") == b""
    assert stream.feed(b"-some-length and ") == b"*** and "
    assert stream.close() == b""


def test_what_is_held_back_is_bounded() -> None:
    """However long a line without an end is."""
    token = _token(random.Random(1))
    stream = _redactor(token).stream()
    text = b"x" * 100000 + token[:15].encode()

    assert len(stream.feed(text)) == 100000
    assert stream.close() == token[:15].encode()


def test_a_secret_over_two_lines() -> None:
    """Its first bytes may be out already; the rest is not."""
    stream = _redactor("alpha beta\ngamma delta epsilon").stream()

    assert stream.feed(b"alpha beta\n") == b"***\n"  # a line of it that is long enough to go alone
    assert stream.feed(b"gamma delta epsilon\n") == b"***\n"


def test_a_secret_that_comes_while_text_runs() -> None:
    """A renewed token is hidden from the next byte on."""
    redactor, token = Redactor(), _token(random.Random(2))
    stream = redactor.stream()

    assert stream.feed(token.encode()) == token.encode()
    redactor.add(token)
    assert stream.feed(b"\n" + token.encode() + b"\n") == b"\n***\n"


def test_adding_from_another_thread() -> None:
    """No text is lost, and what is known is hidden."""
    r = random.Random(5)
    redactor, tokens = Redactor(), [_token(r) for _ in range(30)]
    adder = threading.Thread(target=lambda: deque(map(redactor.add, tokens), maxlen=0))
    stream = redactor.stream()
    adder.start()
    shown = b"".join(stream.feed(b"some line %d\n" % number) for number in range(300))
    adder.join()
    shown += stream.feed("\n".join(tokens).encode()) + stream.close()

    assert shown == b"".join(b"some line %d\n" % number for number in range(300)) + b"***\n" * 29 + b"***"


def test_memory_is_bounded() -> None:
    """Of many secrets, the oldest are still hidden in their usual forms."""
    r = random.Random(6)
    tokens = [_token(r) for _ in range(100)]
    redactor = _redactor(*tokens)
    old, new = tokens[0], tokens[-1]

    assert (
        redactor.text(f"{old} {base64.b64encode(old.encode()).decode()} {new} {new.encode().hex()}").count("***") >= 4
    )
    assert redactor._index is not None
    assert len(redactor._index._table) < 60e6


# ── the secrets of this process ─────────────────────────────────────────────────────────────────────────────────


def test_every_secret_is_known() -> None:
    """From its creation on."""
    text = "known-" + _token(random.Random(8))

    assert text in KNOWN.text(text)
    Secret(text)
    assert KNOWN.text(f"<{text}>") == "<***>"


def test_a_path_is_no_secret(tmp_path: object) -> None:
    """A variable of type file holds one, and its folder stands in every other message."""
    Secret(str(tmp_path))

    assert KNOWN.text(f"in {tmp_path}/x") == f"in {tmp_path}/x"


def test_redact_knows_only_what_it_is_given() -> None:
    """Each call for itself."""
    one, two = Secret("first secret text"), Secret("second secret text")

    assert redact("first secret text, second secret text", one) == "***, second secret text"
    assert redact("first secret text, second secret text", one, two) == "***, ***"
    assert redact("first") == "first"

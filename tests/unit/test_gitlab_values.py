"""Values of variables: where they come from, and what GitLab would do with them."""

from __future__ import annotations

import base64
import io
import traceback
from pathlib import Path

import pytest

from septum.credentials.secret import Secret
from septum.errors import UsageError
from septum.gitlab.difference import attributes_of
from septum.gitlab.values import Source, ask, prepared, read, sources
from septum.gitlab.wanted import Variable

SECRET = Variable(key="TOKEN", what="a token")
PLAIN = Variable(key="NAME", what="a name", secret=False)
FILE = Variable(key="CA", what="certificates", secret=False, protected=False, as_file=True)
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "value",
    ["12345678", "with$a$dollar", '{"kty":"RSA","d":"AQAB"}', "A" * 9000, "ümläutsecret", "a'b\"c\\d`e;f&g|h"],
)
def test_what_gitlab_masks(value: str) -> None:
    """One line of eight characters and more without blanks; raw, so that a dollar stays one."""
    data = prepared(SECRET, Secret(value), attributes_of(SECRET), ())

    assert (data["masked"], data["raw"], data["variable_type"]) == (True, True, "env_var")


@pytest.mark.parametrize("value", ["", "   ", "1234567", "two words", "a\tb345678", "a\0b345678", "OTHER_NAME"])
def test_what_gitlab_does_not_mask_is_not_sent(value: str) -> None:
    """Said before, with a way out, and without the value."""
    with pytest.raises(UsageError) as refused:
        prepared(SECRET, Secret(value), attributes_of(SECRET), {"OTHER_NAME"})

    assert refused.value.fix
    assert not value.strip() or value not in str(refused.value).replace("TOKEN", "")


def test_what_has_lines_becomes_a_file() -> None:
    """A private key in PEM cannot be masked; protected it stays."""
    data = prepared(SECRET, Secret(PEM), attributes_of(SECRET), ())

    assert (data["variable_type"], data["masked"], data["protected"], data["raw"]) == ("file", False, True, True)


def test_what_is_public() -> None:
    """A name is one line, a certificate has many."""
    assert prepared(PLAIN, Secret("me"), attributes_of(PLAIN), ())["masked"] is False
    assert prepared(FILE, Secret(PEM), attributes_of(FILE), ())["variable_type"] == "file"
    with pytest.raises(UsageError, match="more than one line"):
        prepared(PLAIN, Secret("a\nb"), attributes_of(PLAIN), ())


def test_a_keytab_is_written_in_base64(tmp_path: Path) -> None:
    """As septum reads it again in the CI job."""
    raw = b"\x05\x02" + bytes(range(256))
    (tmp_path / "a.keytab").write_bytes(raw)

    value = read(Source(key="KRB5_KEYTAB", path=tmp_path / "a.keytab"), io.BytesIO())

    assert base64.b64decode(value.reveal()) == raw


def test_standard_input() -> None:
    """What a program hands over, without the line's end."""
    assert read(Source(key="TOKEN", path=None), io.BytesIO(b"a-secret-value\n")).reveal() == "a-secret-value"


def test_a_person_may_name_a_file(tmp_path: Path) -> None:
    """What has many lines cannot be typed."""
    (tmp_path / "ca.pem").write_text(PEM, encoding="utf-8")

    assert ask(FILE, lambda _: f" @{tmp_path / 'ca.pem'} ").reveal() == PEM
    assert ask(SECRET, lambda _: " a-typed-value ").reveal() == "a-typed-value"
    assert not ask(SECRET, lambda _: "")


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00secret-bytes", b"a" * (256 * 1024 + 1)], ids=["bytes", "huge"])
def test_what_is_no_value(raw: bytes) -> None:
    """One clear error, whose traceback does not hold what was read."""
    with pytest.raises(UsageError) as refused:
        read(Source(key="TOKEN", path=None), io.BytesIO(raw))

    shown = "".join(traceback.TracebackException.from_exception(refused.value, capture_locals=False).format())
    assert "secret-bytes" not in shown
    assert refused.value.__context__ is None
    assert refused.value.fix


@pytest.mark.parametrize("place", ["a folder", "nothing"])
def test_a_file_that_cannot_be_read(tmp_path: Path, place: str) -> None:
    """A folder, or nothing there."""
    with pytest.raises(UsageError, match="cannot be read"):
        read(Source(key="TOKEN", path=tmp_path if place == "a folder" else tmp_path / "x"), io.BytesIO())


@pytest.mark.parametrize("text", ["TOKEN", "TOKEN=", "TOKEN=@", "TOKEN=hunter2hunter2", "=@file", "A-B=@file", "@file"])
def test_a_value_on_the_command_line_is_refused(text: str) -> None:
    """Others of the machine could read it; the error does not repeat it."""
    with pytest.raises(UsageError) as refused:
        sources([text])

    assert "hunter2" not in str(refused.value)


def test_sources() -> None:
    """A file, or standard input once; a name once."""
    found = sources(["A=@/tmp/a=b", "B=-"])

    assert found["A"].path == Path("/tmp/a=b")
    assert found["B"].path is None
    for texts in (["A=-", "B=-"], ["A=@a", "A=@b"]):
        with pytest.raises(UsageError):
            sources(texts)

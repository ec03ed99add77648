"""CI variables that hold a secret, or the path of a file with it."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from septum.credentials.redact import KNOWN
from septum.credentials.variables import MAX_BYTES, as_file, read_text, read_variable
from septum.errors import CredentialMissingError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("hunter2", "hunter2"),
        ("  hunter2 \n", "hunter2"),
        ("a\nb", "a\nb"),
        ("", ""),
        (" \n ", ""),
        ("/9j/4AAQSkZJRg==", "/9j/4AAQSkZJRg=="),
        ("/nonexistent/hunter2", "/nonexistent/hunter2"),
        ("/", "/"),
        ("/dev/null", "/dev/null"),
        ("/" + "a" * 9000, "/" + "a" * 9000),
        ("/dev/null\n", "/dev/null"),
        ("relative/file", "relative/file"),
    ],
)
def test_values(value: str, text: str) -> None:
    """A value is taken without the blanks around it; base64 may begin with a slash, too."""
    assert read_variable({"X": value}, "X").reveal() == text


def test_not_set() -> None:
    """A variable that is not there is an empty secret."""
    assert not read_variable({}, "X")
    assert not read_variable({}, "")


def test_file(tmp_path: Path) -> None:
    """Of a path that GitLab put there, the file's text counts, without the line end of an editor."""
    path = tmp_path / "SECRET"
    path.write_text("hunter2-in-a-file\n")

    assert read_variable({"X": f" {path} "}, "X").reveal() == "hunter2-in-a-file"
    assert read_text(str(path), "X") == "hunter2-in-a-file"


def test_file_that_is_a_link(tmp_path: Path) -> None:
    """Where variables come as mounted volumes, their files are links, and readable by all; both is the runner's way."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "SECRET").write_text("hunter2-in-a-volume")
    (tmp_path / "..data" / "SECRET").chmod(0o444)
    (tmp_path / "SECRET").symlink_to("..data/SECRET")

    assert read_variable({"X": str(tmp_path / "SECRET")}, "X").reveal() == "hunter2-in-a-volume"


def test_keytab(tmp_path: Path) -> None:
    """A keytab is bytes: each of them arrives, also those at the end that look like blanks."""
    raw = b"\x05\x02" + bytes(range(256)) + b"\n \t\x00\x85\xa0"
    (tmp_path / "keytab").write_bytes(raw)
    (tmp_path / "packed").write_text(base64.b64encode(raw).decode() + "\n")

    assert read_variable({"X": str(tmp_path / "keytab")}, "X").reveal().encode("latin-1") == raw
    assert base64.b64decode(read_variable({"X": str(tmp_path / "packed")}, "X").reveal()) == raw


def test_endless_file(tmp_path: Path) -> None:
    """A file without end is not read to its end."""
    with (tmp_path / "big").open("wb") as stream:
        stream.truncate(1 << 30)

    assert len(read_text(str(tmp_path / "big"), "X")) == 2 * MAX_BYTES + 1


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read is an error with the variable's name and the reason, not its path as the secret."""
    (tmp_path / "SECRET").write_text("x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(CredentialMissingError, match="the variable X names cannot be read") as caught:
        read_variable({"X": str(tmp_path / "SECRET")}, "X")
    assert caught.value.evidence == "Permission denied"


def test_pipe(tmp_path: Path) -> None:
    """A named pipe is no file of GitLab's, and is not waited for."""
    os.mkfifo(tmp_path / "pipe")

    assert read_text(str(tmp_path / "pipe"), "X") == str(tmp_path / "pipe")
    assert as_file(str(tmp_path / "pipe")) is None


def test_known_from_then_on(tmp_path: Path) -> None:
    """What was read is printed no more, and neither is the path of a file hidden."""
    (tmp_path / "SECRET").write_text("correct-horse-battery")

    secret = read_variable({"X": str(tmp_path / "SECRET")}, "X")

    assert KNOWN.text(f"{tmp_path}/SECRET: correct-horse-battery") == f"{tmp_path}/SECRET: ***"
    assert str(secret) == "***"

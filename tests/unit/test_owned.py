"""Files of credentials that somebody else wrote: read through one descriptor, refused if others can read them."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from septum.credentials.owned import read_owned
from septum.errors import CredentialExposedError, CredentialMissingError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-hunter2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file."""
    path = tmp_path / "file"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_private(file: Path, mode: int) -> None:
    """What is the owner's alone is read as it is."""
    file.chmod(mode)

    assert read_owned(file, "the proxy") == SECRET.encode()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777])
def test_open_to_others(file: Path, mode: int) -> None:
    """One bit for the group or for others is enough; the message says which mode, and how to mend it."""
    file.chmod(mode)

    with pytest.raises(CredentialExposedError, match=f"the proxy in {file} is open to other users") as caught:
        read_owned(file, "the proxy")

    assert f"its mode is {mode:04o}" in caught.value.evidence
    assert f"chmod 600 {file}" in caught.value.fix
    assert SECRET not in str(caught.value)


def test_of_another_user(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody else has put there is not read, whatever its mode."""
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)

    with pytest.raises(CredentialMissingError) as caught:
        read_owned(file, "the proxy")

    assert caught.value.evidence == "it belongs to another user"


def test_link(file: Path, tmp_path: Path) -> None:
    """A link at the name is refused, even to a file of our own; a link on the way is not our concern."""
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "folder").symlink_to(tmp_path)

    with pytest.raises(CredentialMissingError) as caught:
        read_owned(tmp_path / "link", "the proxy")

    assert caught.value.evidence == "it is a link"
    assert read_owned(tmp_path / "folder" / "file", "the proxy") == SECRET.encode()


def test_absent(tmp_path: Path) -> None:
    """A name without a file says so."""
    with pytest.raises(CredentialMissingError) as caught:
        read_owned(tmp_path / "absent", "the proxy")

    assert caught.value.evidence == "no such file or directory"
    assert "the proxy cannot be read" in caught.value.what


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_no_file(tmp_path: Path, kind: str) -> None:
    """A pipe that nobody writes to does not stop us, and neither do a folder or a device."""
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir(mode=0o700)
    errors: list[CredentialMissingError] = []

    def read() -> None:
        with pytest.raises(CredentialMissingError) as caught:
            read_owned(type(path)("/dev/null") if kind == "device" else path, "the proxy")
        errors.append(caught.value)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)

    assert [error.evidence for error in errors] == ["it is not a plain file"]


def test_size(file: Path) -> None:
    """A file without end is not read to its end."""
    with file.open("wb") as stream:
        stream.truncate(1 << 30)

    assert len(read_owned(file, "the proxy")) == 512 * 1024 + 1

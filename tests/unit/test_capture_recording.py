"""The reader of a recording: what it gives, and that it believes nothing which a user's job may have written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from septum.capture import lay as lay_module
from septum.capture.lay import ASKED, REFUSED, lay
from septum.capture.recording import name_of, read
from septum.errors import CaptureError


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A good recording with one call."""
    place = tmp_path / "recording"
    make_call(place, 1)
    return place


def make_call(recording: Path, number: int) -> Path:
    """Write a call as the shell would."""
    place = recording / f"{number:04d}"
    (place / "stored" / "in" / "d").mkdir(parents=True)
    (place / "stored" / "in" / "d" / "x.py").write_text("x")
    (place / "stored" / "abs" / "data").mkdir(parents=True)
    (place / "description").write_bytes(b"executable = d/x.py\r\nqueue 2\r\n")
    (place / "words").write_text("-spool\njob.sub\n")
    (place / "folder").write_text("/builds/group/project\n")
    (place / "environment").write_text("HOME=/root\nEMPTY=\n")
    (place / "answer").write_text(f"2 {number}\n")
    (place / "files").write_text("d/x.py\tstored/in/d/x.py\n/data\tstored/abs/data\n")
    (place / "left-out").write_text("proxy\tit holds a certificate or proxy\n")
    return place


def test_a_good_recording(recording: Path) -> None:
    """Everything in its place, bytes and line ends as they were."""
    make_call(recording, 12)
    first, second = read(recording)

    assert (first.number, second.number) == (1, 12)
    assert first.text == "executable = d/x.py\r\nqueue 2\r\n"
    assert first.words == ("-spool", "job.sub")
    assert first.folder == PurePosixPath("/builds/group/project")
    assert first.environment == {"HOME": "/root", "EMPTY": ""}
    assert first.answers == ((2, 1),)
    assert first.items is None
    assert first.left_out == {"proxy": "it holds a certificate or proxy"}
    assert (
        first.copy_of("./d//x.py") == first.copy_of("x.py", "d/") == recording / "0001" / "stored" / "in" / "d" / "x.py"
    )
    assert first.copy_of("/data/", "d") == recording / "0001" / "stored" / "abs" / "data"
    assert first.copy_of("other") is None


def test_what_may_be_missing(recording: Path) -> None:
    """A call without files, items, words and jobs is one; other names beside the calls are nobody's business."""
    place = recording / "0001"
    for name in ("files", "left-out"):
        (place / name).unlink()
    for name in ("words", "environment", "answer", "items"):
        (place / name).write_text("")
    (recording / "kept").mkdir()
    (recording / ".recording").write_text("")
    (submission,) = read(recording)

    assert (submission.words, submission.answers, submission.items, dict(submission.files)) == ((), (), (), {})


@pytest.mark.parametrize(
    ("name", "initialdir", "whole"),
    [
        ("a", "", "a"),
        ("./a//b/", "", "a/b"),
        ("a/./b/.", "", "a/b"),
        (".", "", "."),
        ("a", "d", "d/a"),
        ("/a//b", "d", "/a/b"),
        ("../a", "d/", "d/../a"),
        ("a", "/abs", "/abs/a"),
        (".a", "", ".a"),
    ],
)
def test_names(name: str, initialdir: str, whole: str) -> None:
    """One spelling for each file, without following `..`."""
    assert name_of(name, initialdir) == whole


def test_no_recording(tmp_path: Path) -> None:
    """A folder that is not there, and one without a call."""
    with pytest.raises(CaptureError, match="no call of condor_submit was recorded"):
        read(tmp_path / "recording")
    (tmp_path / "recording").mkdir()
    with pytest.raises(CaptureError, match="no call of condor_submit was recorded"):
        read(tmp_path / "recording")


def test_a_refusal_that_could_not_be_written_is_one(recording: Path) -> None:
    """The disk was full, and the framework went on."""
    (recording / "refused").touch()

    with pytest.raises(CaptureError) as refused:
        read(recording)
    assert "no more to read" in str(refused.value)


def test_refused_calls(recording: Path) -> None:
    """They are shown, some of them, without what would colour a terminal."""
    (recording / "refused").write_text("".join(f"bsub\tno \x1b[31m{number}\n" for number in range(20)))

    with pytest.raises(CaptureError) as caught:
        read(recording)
    assert "and 12 more" in caught.value.evidence
    assert "\x1b" not in str(caught.value)


def _link_stored(place: Path) -> None:
    (place / "stored" / "in" / "d" / "x.py").unlink()
    (place / "stored" / "in" / "d" / "x.py").symlink_to("/etc/passwd")


def _link_folder(place: Path) -> None:
    (place / "stored" / "in").rename(place / "elsewhere")
    (place / "stored" / "in").symlink_to(place / "elsewhere")


def _link_all(place: Path) -> None:
    (place / "stored").rename(place / "elsewhere")
    (place / "stored").symlink_to("elsewhere")


def _link_call(place: Path) -> None:
    place.rename(place.parent / "other")
    place.symlink_to("other")


def _link_member(place: Path) -> None:
    (place / "description").unlink()
    (place / "description").symlink_to("/etc/passwd")


def _fifo_member(place: Path) -> None:
    (place / "description").unlink()
    os.mkfifo(place / "description")


def _fifo_stored(place: Path) -> None:
    os.mkfifo(place / "stored" / "in" / "pipe")


def _write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda place: (place / name).write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        *(
            lambda place, name=name: (place / name).unlink()
            for name in ("description", "words", "folder", "environment", "answer")
        ),
        _write("files", b"a\t../../../../etc/passwd\n"),
        _write("files", b"a\t/etc/passwd\n"),
        _write("files", b"a\tstored/in/../../../x\n"),
        _write("files", b"a\tstored/in/nope\n"),
        _write("files", b"a\tdescription\n"),
        _write("files", b"d/x.py\tstored/in/d/x.py\nd/x.py\tstored/in/d\n"),
        _write("files", b"a\n"),
        _write("files", b"\tstored/in/d\n"),
        _write("files", b"a\tb\tc\n"),
        _write("files", b"a\x1b[2J\tstored/in/d\n"),
        _write("files", b"a\tstored/in/d\n\n"),
        _write("left-out", b"a\n"),
        _write("folder", b"relative\n"),
        _write("folder", b"/a\n/b\n"),
        _write("folder", b""),
        _write("environment", b"A B=c\n"),
        _write("environment", b"A\n"),
        _write("answer", b"2\n"),
        _write("answer", b"-2 1\n"),
        _write("answer", b"0 1\n"),
        _write("answer", b"2 1 \n"),
        _write("answer", b"2 1\n2 1\n"),
        _write("answer", b"99999999999999999999 1\n"),
        _write("answer", "\u0662 1\n".encode()),
        _write("description", b"executable = \xff\xfe\nqueue\n"),
        _write("words", b"\x80\n"),
        _write("items", b"a\n" * 1_000_001),
        _link_stored,
        _link_folder,
        _link_all,
        _link_call,
        _link_member,
        _fifo_member,
        _fifo_stored,
    ],
)
def test_damage(recording: Path, damage: Callable[[Path], object]) -> None:
    """What the shell would never write is one clear error."""
    read(recording)
    damage(recording / "0001")

    with pytest.raises(CaptureError) as caught:
        read(recording)
    assert caught.value.evidence
    assert caught.value.fix
    assert "root:" not in str(caught.value)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


def test_a_member_that_is_huge(recording: Path) -> None:
    """It is not read to its end."""
    with (recording / "0001" / "description").open("wb") as stream:
        stream.truncate(1 << 40)

    with pytest.raises(CaptureError, match="damaged"):
        read(recording)


def test_clusters_increase(recording: Path) -> None:
    """Two calls never have the same ClusterId."""
    second = make_call(recording, 2)
    (second / "answer").write_text("3 1\n")

    with pytest.raises(CaptureError, match="damaged"):
        read(recording)


def test_lay(tmp_path: Path) -> None:
    """All programs, each to be run, and a second time over the first; nothing in the package is forgotten."""
    lay(tmp_path)
    lay(tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    sources = {path.name for path in (Path(lay_module.__file__).parent / "shim").iterdir()}

    assert {path.split("/")[1] for path in found if path.startswith("bin/")} == {"condor_submit", *REFUSED, *ASKED}
    assert not set(REFUSED) & set(ASKED)
    assert all((tmp_path / path).stat().st_mode & 0o777 == 0o755 for path in found)
    laid = {(tmp_path / path).read_text() for path in found}
    assert laid == {(Path(lay_module.__file__).parent / "shim" / name).read_text() for name in sources}

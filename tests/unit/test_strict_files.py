"""`septum merge` as people use it: what they name wrongly, what the machine lacks, and that nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from septum.cli import main
from septum.errors import MergeFailedError, SeptumError, StructureError, UnexpectedFileError, UsageError
from septum.merge.files import merge_files
from tests.fakes.rootfiles import H
from tests.unit.format_files import full_disk
from tests.unit.strict_files import members, merge, quick_parts, sha256, write

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Three good parts in a folder of their own."""
    return quick_parts(tmp_path / "parts", 3)


def _merge(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main(["merge", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_merge(parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed is the file's checksum, what made it, and what is in it."""
    code, said = _merge(capsys, tmp_path / "m.root", *parts)

    assert code == 0
    assert f"3 files, 11.5 kB, sha256 {sha256(tmp_path / 'm.root')}" in said
    assert "merged and verified by strict (septum " in said
    assert said.splitlines()[-1].split() == ["h", "TH1D", "3", "entries"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.root", "parts"]


def test_lists_of_files(parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`@LIST`, mixed with names; blank lines and blanks in names."""
    spaced = tmp_path / "with a blank.root"
    shutil.copy(parts[2], spaced)
    (tmp_path / "list").write_text(f"{parts[0]}\n\n{spaced}\n")
    assert _merge(capsys, tmp_path / "m.root", f"@{tmp_path / 'list'}", parts[1])[0] == 0
    assert members(tmp_path / "m.root", "h")["fEntries"] == 3

    (tmp_path / "empty").write_text("\n\n")
    for name, words in (("empty", "name no files"), ("missing", "cannot be read")):
        code, said = _merge(capsys, tmp_path / "n.root", f"@{tmp_path / name}")
        assert (code, words in said) == (2, True)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    assert _merge(capsys, tmp_path / "n.root", f"@{tmp_path / 'binary'}")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["m.root", "no.root"], "'no.root' does not exist"),
        (["m.root", "parts"], "'parts' is a folder"),
        (["m.root", os.devnull], "is no file"),
        (["no/m.root", "parts/00000.root"], "there is no folder no"),
        (["parts", "parts/00000.root"], "the result 'parts' is a folder"),
        (["/", "parts/00000.root"], "is a folder"),
        (["parts/00000.root", "parts/00001.root", "parts/00000.root"], "is the target, too"),
        (["link", "parts/00000.root"], "is the target, too"),
        (["m.root", "parts/00000.root", "--jobs", "0"], "--jobs 0"),
        (["m.root", "parts/00000.root", "--policy", "sums"], "sums"),
        (["m.root", "parts/00000.root", "--policy", "sums=wrong"], "plain"),
        (["m.root", "parts/00000.root", "--policy", "missing_objekts=union"], "missing"),
        (["m.txt", "parts/00000.root"], "is a ROOT file, and the result 'm.txt' is not called so"),
    ],
)
def test_what_people_name_wrongly(
    parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], words: str,
) -> None:  # fmt: skip
    """One message with a fix, and no file more or less than before."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(parts[0])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, said = _merge(capsys, *arguments)

    assert code not in {0, 70}
    assert words in said
    assert "Fix: " in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_no_files_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the command line, and from Python."""
    with pytest.raises(SystemExit) as caught:
        main(["merge", "m.root"])
    assert caught.value.code == 2
    assert "FILE" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no files were named"):
        merge_files(tmp_path / "m.root", [], policies={}, environ={})


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """What it does, and every option."""
    with pytest.raises(SystemExit) as caught:
        main(["merge", "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for word in ("OUT", "FILE", "@LIST", "--jobs", "--engine", "--policy", "missing-objects=union", "replaced only by"):
        assert word in said


@pytest.mark.parametrize("how", ["path", "dots", "link", "hard link", "copy"])
def test_the_same_file_twice(parts: list[Path], tmp_path: Path, how: str) -> None:
    """By whatever name: its events would count twice."""
    again = tmp_path / "again.root"
    if how == "link":
        again.symlink_to(parts[0])
    elif how == "hard link":
        os.link(parts[0], again)
    elif how == "copy":
        shutil.copy(parts[0], again)
    else:
        again = parts[0] if how == "path" else parts[0].parent / ".." / "parts" / parts[0].name

    with pytest.raises(UnexpectedFileError, match="has the same bytes as") as caught:
        merge(tmp_path / "m.root", [*parts, again])
    assert str(parts[0]) in caught.value.what
    assert not (tmp_path / "m.root").exists()


# ── a target that was there ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_existing_result_stays_until_there_is_a_better_one(parts: list[Path], tmp_path: Path, jobs: int) -> None:
    """Replaced by a verified file alone."""
    target = tmp_path / "m.root"
    target.write_bytes(b"what was there")
    parts[2].write_bytes(parts[2].read_bytes()[:-1])
    with pytest.raises(SeptumError, match=r"00002\.root: cannot be read as a ROOT file") as caught:
        merge(target, parts, jobs=jobs)
    assert "it was not closed, or cut off" in caught.value.evidence
    assert caught.value.fix
    assert target.read_bytes() == b"what was there"

    merge(target, parts[:2], jobs=jobs)
    assert members(target, "h")["fEntries"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.root", "parts"]


def test_a_link_becomes_the_result(parts: list[Path], tmp_path: Path) -> None:
    """What it led to is not touched."""
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "m.root").symlink_to(tmp_path / "other")
    merge(tmp_path / "m.root", parts)

    assert not (tmp_path / "m.root").is_symlink()
    assert (tmp_path / "other").read_bytes() == b"other"


# ── the machine ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_that_cannot_be_written(parts: list[Path]) -> None:
    """Not even by root."""
    with pytest.raises(UsageError, match="the folder '/proc' cannot be written") as caught:
        merge(Path("/proc/m.root"), parts)
    assert caught.value.fix


def test_a_full_disk(parts: list[Path], tmp_path: Path) -> None:
    """While the result is written."""
    target = tmp_path / "m.root"
    target.write_bytes(b"what was there")
    with full_disk(1000), pytest.raises(MergeFailedError, match="cannot be written: file too large") as caught:
        merge(target, parts)
    assert "space" in caught.value.fix
    assert target.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.root", "parts"]


def test_a_long_name(parts: list[Path], tmp_path: Path) -> None:
    """As long as a file system allows; and longer."""
    merge(tmp_path / f"{'x' * 250}.root", parts)
    assert (tmp_path / f"{'x' * 250}.root").is_file()
    with pytest.raises((MergeFailedError, UsageError, OSError), match=r"(?i)name too long"):
        merge(tmp_path / f"{'x' * 300}.root", parts)


# ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_error_of_another_process_arrives_whole(tmp_path: Path) -> None:
    """What, evidence and fix, as they would be with one process; the code, too."""
    paths = quick_parts(tmp_path / "parts", 4)
    write(paths[3], {"h": H(cells=[1, float("nan"), 3, 4], sumw2=False)})
    errors = []
    for jobs in (1, 2):
        with pytest.raises(SeptumError) as caught:
            merge(tmp_path / "m.root", paths, jobs=jobs)
        errors.append((type(caught.value), caught.value.what, caught.value.evidence, caught.value.fix))

    assert errors[0] == errors[1]
    assert "holds nan in its" in errors[0][1]
    assert "policies: {non-finite: keep}" in errors[0][3]


def test_structures_of_different_processes(tmp_path: Path) -> None:
    """Each process sees parts that are alike; together they are not."""
    paths = quick_parts(tmp_path / "parts", 4)
    for path in paths[2:]:
        write(path, {"h": H(cells=[1, 2, float(path.name[4]), 4, 5], sumw2=False)})
    with pytest.raises(StructureError, match=r"00002\.root differs from other parts") as caught:
        merge(tmp_path / "m.root", paths, jobs=2)
    assert "2 bins" in caught.value.evidence
    assert str(paths[0]) in caught.value.evidence


def test_a_process_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word, as when memory has run out."""
    monkeypatch.setattr("septum.merge.files._work", _die)
    paths = quick_parts(tmp_path / "parts", 4)

    with pytest.raises(MergeFailedError, match="ended with -9") as caught:
        merge(tmp_path / "m.root", paths, jobs=2)
    assert "--jobs 1" in caught.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found += [int(path.parent.name), *_descendants(int(path.parent.name))]
    return found


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_hand(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, which reaches all processes of a terminal, leaves no temporary folder, no process, and no words."""
    paths = quick_parts(tmp_path / "parts", 4)
    script = (
        "import sys\n"
        "from septum.merge import files\n"
        "from septum.merge.strict.contents import Reader\n"
        "from tests.unit.strict_files import wait\n"
        "files._work = Reader.read = wait\n"
        "from septum.cli import run\n"
        "sys.argv = ['septum', 'merge', '--jobs', '3', *sys.argv[1:]]\n"
        "sys.exit(run())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "m.root"), *map(str, paths)],
        cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        # Two of ours, and the one with which Python keeps track of them.
        _until(lambda: len(list(tmp_path.glob(".m.root.*"))) == 1 and len(_descendants(process.pid)) == 3)
        helpers = _descendants(process.pid)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        said = "".join(process.communicate(timeout=30))
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 128 + number
    assert "Traceback" not in said
    whole = "is as it was, or whole; nothing is half-written"
    assert said.strip() in {f"septum: interrupted: {tmp_path / 'm.root'} {whole}", ""}
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]
    _until(lambda: not any(map(_is_running, helpers)))

"""Probes: files that are damaged, unfinished, absent, or there twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.probes.model import Merged, Objects, Probe, Refused, Verdict
from tests.probes.shapes import h1

_GROUP = "Files"
# hadd looks at the first 300 bytes of a file, and in an empty one the name fills them.
_LONG = f"{'the-first-of-all-outputs' * 3}.root"
_UNREADABLE = Refused(code="E306", says=("1.root",))
# What the payload of the second file's histogram is overwritten with.
_FLIPPED = 8


def _many(root: Any, number: int) -> list[Any]:
    """Histograms for several baskets of a file, two of them in folders."""
    return [(f"cut{index % 2}", h1(root, f"h{index}", bins=200)) for index in range(10)]


def _overwrite(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """The second file, with another content."""

    def damage(folder: Path) -> None:
        path = folder / "1.root"
        path.write_bytes(content(path.read_bytes()))

    return damage


def _flip(content: bytes) -> bytes:
    """Invert eight bytes in the payload of a histogram."""
    start = content.index(b"\4TH1D\2h5") + 60
    return (
        content[:start] + bytes(byte ^ 0xFF for byte in content[start : start + _FLIPPED]) + content[start + _FLIPPED :]
    )


def _flip_stored(content: bytes) -> bytes:
    """Change a content of 1 to 2 where payloads are stored as they are: big-endian doubles."""
    where = content.rindex(b"\x3f\xf0" + b"\0" * 6, 0, content.index(b"\4TH1D\2h1"))
    return content[:where] + b"\x40\0" + content[where + 2 :]


def _killed(work: Callable[[Any, Path], Any]) -> Callable[[Any, Path], None]:
    """Two files: one that was closed, and one whose process was killed before it could close it."""

    def write(root: Any, folder: Path) -> None:
        for name, number in (("0.root", 0), ("1.root", 1)):
            child = os.fork()
            if child == 0:
                _work_and_end(work, root, folder / name, killed=bool(number))
            _, status = os.waitpid(child, 0)
            if status != signal.SIGKILL * number:
                raise RuntimeError(f"the process that wrote {name} ended with {status}")

    return write


def _work_and_end(work: Callable[[Any, Path], Any], root: Any, path: Path, *, killed: bool) -> None:
    try:
        # Kept, since ROOT closes a file when Python forgets it.
        file = work(root, path)
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
        file.Write("", root.TObject.kOverwrite)
        file.Close()
        os._exit(0)
    finally:
        os._exit(1)


def _histograms_and_flush(root: Any, path: Path) -> Any:
    file = root.TFile(str(path), "RECREATE")
    for folder, histogram in _many(root, 0):
        (file.GetDirectory(folder) or file.mkdir(folder)).WriteTObject(histogram)
    file.Flush()
    return file


def _half_of_the_histograms(root: Any, path: Path) -> Any:
    file = root.TFile(str(path), "RECREATE")
    for index in range(10 if path.name == "0.root" else 5):
        file.WriteTObject(h1(root, f"h{index}"))
    file.Flush()
    return file


def _histograms_and_write(root: Any, path: Path) -> Any:
    file = _histograms_and_flush(root, path)
    file.Write()
    file.Flush()
    return file


def _tree_and_autosave(root: Any, path: Path, *, more: int) -> Any:
    file = root.TFile(str(path), "RECREATE")
    tree, value = root.TTree("t", "title"), array("d", [0])
    root.SetOwnership(tree, False)  # noqa: FBT003 - ROOT's signature
    tree.Branch("x", value, "x/D")
    for row in range(100):
        value[0] = row
        tree.Fill()
    tree.AutoSave("SaveSelf")
    for row in range(more):
        value[0] = row
        tree.Fill()
    if more:
        tree.FlushBaskets()
    tree.ResetBranchAddresses()
    return file


def _of_all_compressions(root: Any, folder: Path) -> None:
    for number, compression in enumerate((0, 101, 404, 505, 207)):
        file = root.TFile(str(folder / f"{number}.root"), "RECREATE", "", compression)
        for where, histogram in _many(root, 0):
            (file.GetDirectory(where) or file.mkdir(where)).WriteTObject(histogram)
        file.Close()


def _broken(name: str, about: str, content: Callable[[bytes], bytes], *, hadd: Verdict = Verdict.REFUSED) -> Probe:
    return Probe(
        name=name,
        group=_GROUP,
        about=about,
        hadd=hadd,
        skipping=Verdict.LOST if name in {"cut", "flipped"} else None,
        septum=_UNREADABLE,
        meant=("0.root", "0.root"),
        objects=_many,
        damage=_overwrite(content),
    )


def _rename_first(folder: Path) -> None:
    (folder / "0.root").rename(folder / _LONG)


def _replace_by_folder(folder: Path) -> None:
    (folder / "1.root").unlink()
    (folder / "1.root").mkdir()


def _replace_by_link(folder: Path) -> None:
    (folder / "1.root").unlink()
    (folder / "1.root").symlink_to("0.root")


def _replace_by_copy(folder: Path) -> None:
    shutil.copy(folder / "0.root", folder / "1.root")


def _rename(folder: Path) -> None:
    for number, name in enumerate(("part#1.root", "@2.root")):
        (folder / f"{number}.root").rename(folder / name)


_one: Objects = lambda root, number: [h1(root)]  # noqa: E731

PROBES = (
    _broken("cut", "a file cut off in the middle", lambda content: content[: len(content) // 2]),
    _broken("empty", "an empty file", lambda _: b""),
    _broken("random", "random bytes", lambda content: random.Random(1).randbytes(len(content))),
    _broken("page", "a page in HTML: the answer of a gateway", lambda _: b"<html>502 Bad Gateway</html>\n" * 40),
    _broken("zeros", "zeros, as many as the file had bytes", lambda content: bytes(len(content))),
    _broken(
        "tail-zeros",
        "the last third overwritten by zeros",
        lambda content: content[: -(len(content) // 3)].ljust(len(content), b"\0"),
    ),
    _broken("appended", "bytes appended to the file", lambda content: content + b"\0" * 100, hadd=Verdict.RIGHT),
    _broken("flipped", "eight bytes flipped in the compressed content of a histogram", _flip),
    Probe(
        name="flipped-stored",
        group=_GROUP,
        about="a byte flipped in a file without compression",
        hadd=Verdict.WRONG,
        septum=Merged(blind="only the checksum that the worker wrote tells; `septum run` and `collect` compare it"),
        meant=("0.root", "0.root"),
        objects=_many,
        damage=_overwrite(_flip_stored),
        compression=0,
    ),
    Probe(
        name="killed",
        group=_GROUP,
        about="a job killed (SIGKILL) before it closed its file: histograms written and flushed",
        hadd=Verdict.LOST,
        septum=_UNREADABLE,
        meant=("0.root", "0.root"),
        write=_killed(_histograms_and_flush),
    ),
    Probe(
        name="killed-half",
        group=_GROUP,
        about="a job killed when half of its histograms were written, all outside of folders",
        hadd=Verdict.LOST,
        septum=_UNREADABLE,
        meant=("0.root", "0.root"),
        write=_killed(_half_of_the_histograms),
    ),
    Probe(
        name="killed-after-write",
        group=_GROUP,
        about="a job killed after `TFile::Write`, when all was in the file",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        meant=("0.root", "0.root"),
        write=_killed(_histograms_and_write),
    ),
    Probe(
        name="killed-tree",
        group=_GROUP,
        about="a job killed while it filled a tree, after one `AutoSave` and further rows",
        hadd=Verdict.LOST,
        septum=_UNREADABLE,
        meant=("0.root", "0.root"),
        write=_killed(lambda root, path: _tree_and_autosave(root, path, more=50)),
    ),
    Probe(
        name="gone",
        group=_GROUP,
        about="a file that is not there",
        hadd=Verdict.REFUSED,
        skipping=Verdict.LOST,
        septum=Refused(code="E001", says=("1.root",)),
        meant=("0.root", "0.root"),
        objects=_one,
        damage=lambda folder: (folder / "1.root").unlink(),
        arguments=("0.root", "1.root"),
    ),
    Probe(
        name="folder",
        group=_GROUP,
        about="a folder where a file should be",
        hadd=Verdict.REFUSED,
        septum=Refused(code="E001", says=("1.root",)),
        meant=("0.root", "0.root"),
        objects=_one,
        damage=_replace_by_folder,
    ),
    Probe(
        name="into-itself",
        group=_GROUP,
        about="the result is one of the files, by another spelling of its path",
        hadd=Verdict.LOST,
        septum=Refused(code="E001", says=(_LONG,)),
        objects=_one,
        damage=_rename_first,
        arguments=(_LONG, "1.root"),
        meant=("1.root", "1.root"),
        target=_LONG,
    ),
    Probe(
        name="names-of-files",
        group=_GROUP,
        about="files called `part#1.root` and `@2.root`",
        hadd=Verdict.REFUSED,
        septum=Merged(),
        objects=_one,
        damage=_rename,
        arguments=("part#1.root", "@2.root"),
    ),
    Probe(
        name="twice",
        group=_GROUP,
        about="the same file given twice",
        hadd=Verdict.WRONG,
        septum=Refused(code="E402", says=("0.root",)),
        meant=("0.root", "1.root"),
        objects=_one,
        arguments=("0.root", "1.root", "0.root"),
    ),
    Probe(
        name="linked",
        group=_GROUP,
        about="a file, and a link to it",
        hadd=Verdict.WRONG,
        septum=Refused(code="E402", says=("0.root", "1.root")),
        meant=("0.root",),
        objects=_one,
        damage=_replace_by_link,
    ),
    Probe(
        name="copied",
        group=_GROUP,
        about="a file, and a copy of it under another name",
        hadd=Verdict.WRONG,
        septum=Refused(code="E402", says=("0.root", "1.root")),
        meant=("0.root",),
        objects=_one,
        damage=_replace_by_copy,
    ),
    Probe(
        name="compressions",
        group=_GROUP,
        about="files without compression, and with ZLIB, LZ4, ZSTD and LZMA",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        write=_of_all_compressions,
    ),
    Probe(
        name="open-files",
        group=_GROUP,
        about="80 files where a process may open 64",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=_one,
        files=80,
        open_files=64,
    ),
)

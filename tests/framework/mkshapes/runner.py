"""The worker's half of the framework: reads script.py beside it, fills histograms, writes output.root.

Python's own library is all that it needs, so that a job takes milliseconds. The events of a file follow from its name:
no storage is under test here, and everybody can work out the sums.
"""

from __future__ import annotations

import base64
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEMBERS = 4
"""Variations behind each envelope."""
Histogram = tuple[str, str, int, float, float, list[int]]
"""Folder, name, number of bins, first and last edge, contents with under- and overflow."""


# ── the physics ─────────────────────────────────────────────────────────────────────────────────────────────────


def content(file: str, place: str, cell: int) -> int:
    """Events of a file in one bin: 6 to 55, whatever the machine."""
    return 6 + zlib.crc32(f"{file}/{place}/{cell}".encode()) % 50


def shifted(file: str, place: str, cell: int, variation: str) -> int:
    """The same under a variation: up to five events more or fewer."""
    return content(file, place, cell) - 5 + zlib.crc32(f"{file}/{place}/{cell}/{variation}".encode()) % 11


def histograms(script: dict[str, Any]) -> Iterator[Histogram]:
    """All histograms of the samples in a script; the chunks of a sample go into the same ones."""
    read: dict[str, list[str]] = {}
    for name, files, *_ in script["samples"]:
        read.setdefault(name, []).extend(files)
    for name, files in read.items():
        for place, bins, first, last in _places(script):
            for label, variation in (("", ""), *_variations(script["nuisances"])):
                cells = [
                    sum(
                        shifted(file, place, cell, variation) if variation else content(file, place, cell)
                        for file in files
                    )
                    for cell in range(bins + 2)
                ]
                yield place, f"histo_{name}{label}", bins, first, last, cells


def _places(script: dict[str, Any]) -> Iterator[tuple[str, int, float, float]]:
    for cut, its in script["cuts"].items():
        for category in its["categories"]:
            for variable, what in script["variables"].items():
                bins, first, last = what["range"]
                yield f"{cut}_{category}/{variable}", bins, first, last


def _variations(nuisances: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for nuisance, what in nuisances.items():
        if what["kind"] == "weight":
            yield from ((f"_{nuisance}{way}", f"{nuisance}{way}") for way in ("Up", "Down"))
        else:
            names = (f"SPECIAL_NUIS_{nuisance}_{member}" for member in range(MEMBERS))
            yield from ((f"_{name}", name) for name in names)


# ── what can go wrong ───────────────────────────────────────────────────────────────────────────────────────────


_REFUSED = "[FATAL] Auth failed: /store/user/analyst/ntuples.root\n"


def go_wrong(fault: str) -> None:
    """What a sample's `fault` asks for before there is any output."""
    if fault == "storage" and not _storage_lets_us_in():
        sys.stderr.write(_REFUSED)
        sys.exit(1)
    if fault == "unread":
        sys.stderr.write(_REFUSED)
        sys.exit(1)
    if fault == "nothing":
        sys.exit(0)
    if fault.startswith("flaky "):
        mark = Path("/tmp", fault.partition(" ")[2])
        if not mark.exists():
            mark.touch()
            sys.stderr.write(_REFUSED)
            sys.exit(1)
    if fault == "slow":
        time.sleep(300)
    if fault == "killed":
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def _storage_lets_us_in() -> bool:
    """As a storage would: by a proxy that has not expired."""
    proxy = os.environ.get("X509_USER_PROXY", "")
    if not Path(proxy).is_file():
        return False
    command = ["openssl", "x509", "-in", proxy, "-noout", "-checkend", "0"]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def spoil(output: Path, fault: str) -> None:
    """What a sample's `fault` makes of the output."""
    if fault == "truncated":
        output.write_bytes(output.read_bytes()[:2000])
    if fault == "empty":
        output.write_bytes(b"")


# ── a ROOT file ─────────────────────────────────────────────────────────────────────────────────────────────────

_DATE = (2024 - 1995) << 26 | 1 << 22 | 1 << 17
_UUID = struct.pack(">H16x", 1)
_RECORD = struct.calcsize(">HIIiiiii") + len(_UUID) + 12


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode("ascii")


def _counted(version: int, body: bytes) -> bytes:
    return struct.pack(">IH", 0x40000000 | (len(body) + 2), version) + body


def _named(name: str, title: str = "") -> bytes:
    return _counted(1, struct.pack(">HII", 1, 0, 0x03000000) + _text(name) + _text(title))


def _array(values: list[int]) -> bytes:
    return struct.pack(f">i{len(values)}d", len(values), *values)


def _axis(name: str, bins: int, first: float, last: float) -> bytes:
    look = _counted(4, struct.pack(">i3h5f2h", 510, 1, 1, 42, 0.005, 0.035, 0.03, 1.0, 0.035, 1, 42))
    numbers = struct.pack(">idd", bins, first, last) + _array([]) + struct.pack(">iiHB", 0, 0, 0, 0)
    return _counted(10, _named(name) + look + numbers + _text("") + struct.pack(">II", 0, 0))


def _th1d(name: str, bins: int, first: float, last: float, cells: list[int]) -> bytes:
    look = _counted(2, struct.pack(">3h", 602, 1, 1)) + _counted(2, struct.pack(">2h", 0, 1001))
    look += _counted(2, struct.pack(">hhf", 1, 1, 1.0))
    axes = _axis("xaxis", bins, first, last) + _axis("yaxis", 1, 0, 1) + _axis("zaxis", 1, 0, 1)
    inside = sum(cells[1:-1])
    statistics = struct.pack(">hh8d", 0, 1000, sum(cells), inside, inside, 0, 0, -1111, -1111, 0)
    functions = _counted(5, struct.pack(">HII", 1, 0, 0x03000000) + _text("") + struct.pack(">i", 0))
    tail = _array([]) + _array(cells) + _text("") + functions + struct.pack(">iBii", 0, 0, 0, 2)
    th1 = _counted(8, _named(name) + look + struct.pack(">i", len(cells)) + axes + statistics + tail)
    return _counted(3, th1 + _array(cells))


class _Folder:
    """A folder of the file: where it is, and the keys in it."""

    def __init__(self, seek: int, parent: int, name_size: int) -> None:
        self.seek, self.parent, self.name_size = seek, parent, name_size
        self.keys: list[bytes] = []


class RootFile:
    """A ROOT file with folders and histograms, not compressed."""

    def __init__(self, name: str, streamers: bytes) -> None:
        self._name, self._streamers = name, streamers
        self._data = bytearray(100)
        title = _text(name) + _text("")
        key = self._key("TFile", name, "", len(title) + _RECORD, 0)
        self._root = _Folder(100, 0, len(key) + len(title))
        self._folders: dict[str, _Folder] = {"": self._root}
        self._data += key + title + bytes(_RECORD)
        self._records = {"": 100 + len(key) + len(title)}

    def _key(self, kind: str, name: str, title: str, size: int, parent: int) -> bytes:
        words = _text(kind) + _text(name) + _text(title)
        length = 26 + len(words)
        numbers = (length + size, 4, size, _DATE, length, 1, len(self._data), parent)
        return struct.pack(">ihiIhhii", *numbers) + words

    def _folder(self, path: str) -> _Folder:
        if path not in self._folders:
            above, _, name = path.rpartition("/")
            parent = self._folder(above)
            key = self._key("TDirectory", name, name, _RECORD, parent.seek)
            self._folders[path] = _Folder(len(self._data), parent.seek, len(key))
            parent.keys.append(key)
            self._records[path] = len(self._data) + len(key)
            self._data += key + bytes(_RECORD)
        return self._folders[path]

    def add(self, histogram: Histogram) -> None:
        """Put a histogram into its folder."""
        path, name, bins, first, last, cells = histogram
        folder = self._folder(path)
        body = _th1d(name, bins, first, last, cells)
        key = self._key("TH1D", name, "", len(body), folder.seek)
        folder.keys.append(key)
        self._data += key + body

    def close(self) -> bytes:
        """The whole file."""
        for path, folder in self._folders.items():
            body = struct.pack(">i", len(folder.keys)) + b"".join(folder.keys)
            kind, name = ("TFile", self._name) if not path else ("TDirectory", path.rpartition("/")[2])
            key = self._key(kind, name, name if path else "", len(body), folder.seek)
            size, seek = len(key) + len(body), len(self._data)
            self._data += key + body
            numbers = (5, _DATE, _DATE, size, folder.name_size, folder.seek, folder.parent, seek)
            record = struct.pack(">HIIiiiii", *numbers) + _UUID
            self._data[self._records[path] : self._records[path] + len(record)] = record
        info, info_size = len(self._data), self._last("TList", "StreamerInfo", self._streamers)
        free = len(self._data)
        end = free + 26 + len(_text("TFile") + _text(self._name) + _text("")) + 10
        free_size = self._last("TFile", self._name, struct.pack(">HII", 1, end, 2000000000))
        header = (62400, 100, end, free, free_size, 1, self._root.name_size, 4, 0, info, info_size)
        self._data[: 4 + 41 + len(_UUID)] = b"root" + struct.pack(">iiiiiiiBiii", *header) + _UUID
        return bytes(self._data)

    def _last(self, kind: str, name: str, body: bytes) -> int:
        key = self._key(kind, name, "", len(body), 100)
        self._data += key + body
        return len(key) + len(body)


def streamers(headers: str) -> bytes:
    """The description of the classes, which stands in headers.hh."""
    return zlib.decompress(base64.b64decode("".join(re.findall(r"^//: (.+)$", headers, re.MULTILINE))))


def main() -> None:
    """Run script.py of the working folder."""
    script: dict[str, Any] = {}
    exec(Path("script.py").read_text(encoding="utf-8"), script)
    fault = " ".join(sample[-1].get("fault", "") for sample in script["samples"])
    go_wrong(fault)
    file = RootFile("output.root", streamers(Path("headers.hh").read_text(encoding="ascii")))
    everything = list(histograms(script))
    first_half = fault == "half" and any(chunk == 1 for _, _, _, chunk, *_ in script["samples"])
    for histogram in everything[: len(everything) // 2] if first_half else everything:
        file.add(histogram)
    output = Path("output.root")
    output.write_bytes(file.close())
    spoil(output, fault)


if __name__ == "__main__":
    main()

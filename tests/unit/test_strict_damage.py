"""Files that are damaged, or made to do harm: one clear error or the right result; no traceback, no loop, no flood."""

from __future__ import annotations

import itertools
import lzma
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cramjam
import pytest
import uproot
import xxhash

from septum.errors import OutputDamagedError, SeptumError, StructureError
from septum.merge.strict import codecs, records
from septum.merge.strict.buffer import Buffer, DamageError
from septum.merge.strict.contents import Contents, Reader, UnknownClassError, kinds_in
from septum.merge.strict.layout import lay_out
from septum.merge.strict.streamers import Element
from tests.fakes.rootfiles import H
from tests.unit.strict_files import Rig, merge, write

OBJECTS = {
    "h": H(cells=[1, 2, 3, 4], entries=10),
    "d/g": H(cells=[1, 2, 3, 4, 5], labels=["a", "b", "c"], dtype=">f4"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file in which every object is compressed, with a checksum behind it; our own writer leaves no gaps."""
    folder = tmp_path_factory.mktemp("small")
    merge(folder / "m.root", [write(folder / "h.root", OBJECTS, compression=uproot.ZLIB(9))])
    return (folder / "m.root").read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same without compression."""
    return write(tmp_path_factory.mktemp("plain") / "h.root", OBJECTS).read_bytes()


@contextmanager
def bounded(most_b: int) -> Iterator[None]:
    """Inside, not more memory than this is taken at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_b
    finally:
        tracemalloc.stop()


def _seen(contents: Contents) -> tuple[object, ...]:
    """All that a file is for a merge."""
    return (
        contents.digest,
        [(path, key.kind, key.title) for path, key in contents.info.top.walk()],
        contents.info.streamers,
    )


def _read(path: Path, data: bytes, reader: Reader) -> tuple[object, ...] | None:
    """What is in a file; None if it is refused."""
    path.write_bytes(data)
    caught: SeptumError | None = None
    try:
        return _seen(reader.read(path, name="part 7"))
    except SeptumError as error:
        caught = error
    except UnknownClassError:
        return None
    assert "part 7" in caught.what
    assert caught.fix
    assert len(str(caught)) < 1000
    return None


# ── damage ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_cut_off_anywhere(small: bytes, tmp_path: Path) -> None:
    """Before every one of its bytes; by a reader that knows the file, and by one that does not."""
    readers = (Reader({}), Reader({}))
    assert _read(tmp_path / "h.root", small, readers[0]) is not None

    taken = [size for size in range(len(small)) if _read(tmp_path / "h.root", small[:size], readers[size % 2])]
    assert taken == []


@pytest.mark.parametrize("knowing", [True, False], ids=["a known structure", "the first file"])
def test_one_byte_that_changed(small: bytes, tmp_path: Path, *, knowing: bool) -> None:
    """At every place: refused, or the byte is one that no merge reads, and the result is the same."""
    known = Reader({})
    expected = _read(tmp_path / "h.root", small, known)
    assert expected is not None
    refused = 0
    places = range(len(small)) if knowing else range(0, len(small), 2)
    for place, mask in zip(places, itertools.cycle([0x01, 0x80, 0xFF, 0x10, 0x40])):
        data = small[:place] + bytes([small[place] ^ mask]) + small[place + 1 :]
        found = _read(tmp_path / "h.root", data, known if knowing else Reader({}))
        refused += found is None
        assert found is None or found == expected, place

    # What does not matter are dates, and numbers that are known from elsewhere.
    assert refused > 0.8 * len(places)


def test_a_damaged_file_without_compression(plain: bytes, tmp_path: Path) -> None:
    """Nothing but the worker's checksum can tell a wrong number; whatever comes out, it ends, and in order."""
    for place, mask in zip(range(0, len(plain), 41), itertools.cycle([0x80, 0xFF, 0x01])):
        _read(tmp_path / "h.root", plain[:place] + bytes([plain[place] ^ mask]) + plain[place + 1 :], Reader({}))


@pytest.mark.parametrize("content", [b"", b"\0" * 400, b"root", b"root" + b"\xff" * 400, b"<html>" * 90], ids=range(5))
def test_what_is_no_root_file(tmp_path: Path, content: bytes) -> None:
    """Read, and merged."""
    assert _read(tmp_path / "h.root", content, Reader({})) is None
    with pytest.raises(OutputDamagedError, match="cannot be read as a ROOT file"):
        merge(tmp_path / "m.root", [tmp_path / "h.root"])


def test_another_structure_behind_the_same_lists(tmp_path: Path) -> None:
    """Files of one structure are recognised by their lists; what differs inside of the objects is seen all the same."""
    paths = [write(tmp_path / f"{low}.root", {"h": H(cells=[1, 2, 3], low=low)}) for low in (0.0, 0.25)]

    with pytest.raises(StructureError, match="differs") as caught:
        merge(tmp_path / "m.root", paths)
    assert "'h': the x-axis has 1 bins from 0 to 1 in one, 1 bins from 0.25 to 1 in the other" in caught.value.evidence


# ── harm ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _keys(data: bytes, path: str) -> list[int]:
    """Where both copies of an object's key begin: the one in its folder's list, and the one before the object."""
    key = dict(records.read(memoryview(data)).top.walk())[path]
    raw = data[key.place : key.place + key.key_b]
    places = [place for place in range(len(data)) if data.startswith(raw, place)]
    assert len(places) == 2
    return places


def _patched(data: bytes, places: list[int], offset: int, new: bytes) -> bytes:
    """The same bytes in both copies of a key."""
    made = bytearray(data)
    for place in places:
        made[place + offset : place + offset + len(new)] = new
    return bytes(made)


def _folder(data: bytes, name: str) -> int:
    """The place of the own members of a folder of the top."""
    raw = b"\x0aTDirectory" + bytes([len(name)]) + name.encode()
    place = data.index(raw) - 26
    return place + int(struct.unpack_from(">h", data, place + 14)[0])


def test_a_folder_in_itself(plain: bytes, tmp_path: Path) -> None:
    """Its list is that of the folder above, so that there is no end of folders."""
    own = _folder(plain, "d")
    top = records.read_header(memoryview(plain))
    made = bytearray(plain)
    list_b, list_place = records.folder_list(memoryview(plain), top.begin + top.name_b)
    version = struct.unpack_from(">h", plain, own)[0]
    assert version < 1000
    struct.pack_into(">i", made, own + 10, list_b)
    struct.pack_into(">i", made, own + 26, list_place)
    path = tmp_path / "h.root"
    path.write_bytes(made)

    with pytest.raises(OutputDamagedError, match="cannot be read") as caught, bounded(20_000_000):
        Reader({}).read(path, name="part 7")
    assert "stands where another object does" in caught.value.evidence
    with pytest.raises(records.RecordError):
        kinds_in(path)


def test_two_keys_of_one_object(tmp_path: Path) -> None:
    """Its content would count twice."""
    data = write(tmp_path / "h.root", {"ha": H(cells=[1, 2, 3]), "hb": H(cells=[1, 2, 4])}).read_bytes()
    first, second = (records.read(memoryview(data)).top.objects[number] for number in (0, 1))
    own = data[first.place : first.place + first.key_b]
    theirs = data[second.place : second.place + second.key_b]
    # In the list alone, the second key becomes the first.
    place = next(place for place in range(len(data)) if data.startswith(theirs, place) and place != second.place)
    (tmp_path / "h.root").write_bytes(data[:place] + own + data[place + len(own) :])

    with pytest.raises(OutputDamagedError) as caught:
        Reader({}).read(tmp_path / "h.root", name="part 7")
    assert "'ha' stands where another object does" in caught.value.evidence


@pytest.mark.parametrize("size_b", [0x7FFFFFFF, 1 << 30, 500_000_000, 300, 0, -1, -0x80000000])
def test_a_size_that_is_not_true(small: bytes, tmp_path: Path, size_b: int) -> None:
    """Two gigabytes are claimed; not even the first of them is taken."""
    data = _patched(small, _keys(small, "h"), 6, struct.pack(">i", size_b))

    for reader in (Reader({}), _knowing(small, tmp_path)):
        with bounded(20_000_000):
            assert _read(tmp_path / "h.root", data, reader) is None


def _knowing(data: bytes, folder: Path) -> Reader:
    reader = Reader({})
    assert _read(folder / "known.root", data, reader) is not None
    return reader


def test_more_than_memory_is_for(small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that are true, and together larger than any result."""
    monkeypatch.setattr("septum.merge.strict.contents._LARGEST_B", 500)

    assert _read(tmp_path / "h.root", small, Reader({})) is None


def _block(letters: bytes, method: int, packed: bytes, whole: int) -> bytes:
    return letters + bytes([method]) + len(packed).to_bytes(3, "little") + whole.to_bytes(3, "little") + packed


_ZEROS = bytes(30_000_000)
_BOMBS = {
    "ZL": lambda: zlib.compress(_ZEROS, 9),
    "XZ": lambda: lzma.compress(_ZEROS, preset=1),
    "ZS": lambda: bytes(cramjam.zstd.compress(_ZEROS, level=5)),
    "L4": lambda: _with_sum(bytes(cramjam.lz4.compress_block(_ZEROS, store_size=False))),
}


def _with_sum(packed: bytes) -> bytes:
    return xxhash.xxh64_digest(packed) + packed


@pytest.mark.parametrize("kind", _BOMBS)
@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_a_bomb_in_a_block(kind: str, size: int) -> None:
    """A block says how much comes out of it; more does not."""
    packed = _BOMBS[kind]()
    with pytest.raises(codecs.BlockError), bounded(20_000_000):
        codecs.unpack(memoryview(_block(kind.encode(), 8, packed, size)), size)


def test_a_bomb_without_libdeflate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for Python's own zlib, which is taken where there is no other; and a block that was cut off."""
    monkeypatch.setattr(codecs, "_un_zlib", codecs._un_zlib)
    monkeypatch.setitem(codecs._UNPACK, b"ZL", lambda: codecs._un_zlib)
    good = zlib.compress(b"abc" * 99)
    assert codecs.unpack(memoryview(_block(b"ZL", 8, good, 297)), 297) == b"abc" * 99
    for packed in (_BOMBS["ZL"](), good[:-1], good[:-5], good[:9], b"", b"x"):
        with pytest.raises(codecs.BlockError), bounded(20_000_000):
            codecs.unpack(memoryview(_block(b"ZL", 8, packed, 297)), 297)


@pytest.mark.parametrize(
    "stored",
    [
        b"ZL",
        b"ZL\x08" + bytes(6),
        b"ZL\x08\xff\xff\xff\xff\xff\xff",
        b"??\x08\1\0\0\1\0\0x",
        b"CS\x08\1\0\0\1\0\0x",
        b"",
    ],
)
def test_blocks_that_are_none(stored: bytes) -> None:
    """Too short, of other sizes, or of a kind that nobody writes any more."""
    with pytest.raises(codecs.BlockError):
        codecs.unpack(memoryview(stored), 100)


def test_lists_without_an_end(plain: bytes) -> None:
    """A count of two thousand million, and texts that lead back to before it: no step goes backwards."""
    streamers = {("THStack", 1): (Element("fHists", 64, "TList*", 0, ""),)}
    pointer = struct.pack(">II", 0x40000000 | 90, 0xFFFFFFFF) + b"TList\0"
    body = struct.pack(">IHHII", 0x40000000 | 40, 5, 1, 0, 0) + b"\0" + struct.pack(">i", 0x7FFFFFFF)
    for option in (struct.pack(">IBi", 0, 255, -9), struct.pack(">IBi", 0, 255, -1), bytes(9)):
        data = struct.pack(">IH", 0x40000000 | 110, 1) + pointer + body + option * 9
        with pytest.raises(DamageError):
            lay_out("THStack", memoryview(data), 40, streamers)
    with pytest.raises(DamageError, match="beyond"):
        Buffer(memoryview(plain), 40).skip(-1)


def test_a_class_that_is_its_own_base() -> None:
    """A description that leads into itself again and again."""
    streamers = {("TH1D", 3): (Element("TH1D", 0, "BASE", 0, ""),)}
    data = b"".join(struct.pack(">IH", 0x40000000 | (6 * (5000 - level) - 4), 3) for level in range(5000))

    with pytest.raises(UnknownClassError, match="too deeply"):
        lay_out("TH1D", memoryview(data), 40, streamers)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\x04TH1D", b"\x04TH9D"), (b"\x04TH1D", b"\x04\0\xff\x1b["), (b"\x04TH1D", b"\xff\x7f\xff\xff\xff")],
    ids=["unknown", "garbage", "long"],
)
def test_class_names_of_all_kinds(plain: bytes, tmp_path: Path, old: bytes, new: bytes) -> None:
    """Nothing here knows them; the message is one that can be shown."""
    path = tmp_path / "h.root"
    path.write_bytes(plain.replace(old, new))

    with pytest.raises(SeptumError) as caught:
        Rig(tmp_path / "s", [path]).merge()
    assert "\x1b" not in str(caught.value)
    assert "\0" not in str(caught.value)


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────


_NAMES = ["a\nb", "..", "\x1b[31m", "%s", "x" * 9000, "é", "a.b", "<b>"]
# By such a name, uproot finds another object or none.
_NAMES_THAT_UPROOT_READS_OTHERWISE = ["../../etc/passwd", "/x", "a//b", "a;1", " "]


@pytest.mark.parametrize("name", [*_NAMES, *_NAMES_THAT_UPROOT_READS_OTHERWISE])
def test_names_that_could_be_more_than_names(tmp_path: Path, name: str) -> None:
    """They are names: what is called so in the parts is called so in the result, and no file is."""
    width = len(name.encode())
    model = write(tmp_path / "model" / "h.root", {"?" * width: H(cells=[1, 2, 3])}).read_bytes()
    paths = [tmp_path / "0.root", tmp_path / "1.root"]
    for path in paths:
        path.write_bytes(model.replace(b"?" * width, name.encode()))
    before = set(tmp_path.rglob("*"))
    rig = Rig(tmp_path / "s", paths)
    try:
        target = rig.merge()
    except SeptumError:
        assert name in _NAMES_THAT_UPROOT_READS_OTHERWISE
        assert not rig.target.path.exists()
        return

    assert list(kinds_in(target)) == [name]
    assert Reader({}).read(target, name="m").numbers[0] == 12
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "s", target}


def test_two_objects_with_one_path(tmp_path: Path) -> None:
    """A histogram called `d/g`, beside a folder `d` with a histogram `g`."""
    data = write(tmp_path / "h.root", {"dxg": H(cells=[1, 2, 3]), "d/g": H(cells=[1, 2, 4])}).read_bytes()
    (tmp_path / "h.root").write_bytes(data.replace(b"dxg", b"d/g"))

    with pytest.raises(OutputDamagedError) as caught:
        merge(tmp_path / "m.root", [tmp_path / "h.root"])
    assert "two objects have one path" in caught.value.evidence


def test_a_path_that_is_a_name_in_another_part(tmp_path: Path) -> None:
    """The histogram `d/g` of one part is not the `g` in the folder `d` of the other."""
    first = write(tmp_path / "0.root", {"dxg": H(cells=[1, 2, 3])})
    first.write_bytes(first.read_bytes().replace(b"dxg", b"d/g"))
    second = write(tmp_path / "1.root", {"d/g": H(cells=[1, 2, 4])})

    for missing in ("refuse", "union"):
        with pytest.raises(SeptumError, match="d/g"):
            merge(tmp_path / "m.root", [first, second], missing_objects=missing)


def test_a_folder_that_is_an_object_elsewhere(tmp_path: Path) -> None:
    """Both cannot have the name, not even where objects may be missing."""
    paths = [
        write(tmp_path / "0.root", {"d": H(cells=[1, 2, 3])}),
        write(tmp_path / "1.root", {"d/g": H(cells=[1, 2, 4])}),
    ]
    for order in (paths, paths[::-1]):
        with pytest.raises(StructureError, match="is a folder in some parts and an object in others"):
            merge(tmp_path / "m.root", order, missing_objects="union")


def test_names_with_a_slash_where_objects_may_be_missing(tmp_path: Path) -> None:
    """An object that only one part has keeps its name, and is in no folder."""
    data = write(tmp_path / "1.root", {"h": H(cells=[1, 2, 3]), "dxg": H(cells=[1, 2, 4])}).read_bytes()
    (tmp_path / "1.root").write_bytes(data.replace(b"dxg", b"d/g"))
    paths = [write(tmp_path / "0.root", {"h": H(cells=[1, 2, 3])}), tmp_path / "1.root"]
    rig = Rig(tmp_path / "s", paths, {"missing-objects": "union"})
    top = rig.add(rig.begin(), [0, 1])._sums.finish(name="m").info.top

    assert [key.name for key in top.objects] == ["h", "d/g"]
    assert top.folders == ()


def test_two_cycles_of_one_number(tmp_path: Path) -> None:
    """Which of them is the newest, nobody knows."""
    data = write(tmp_path / "h.root", {"ha": H(cells=[1, 2, 3]), "hb": H(cells=[1, 2, 4])}).read_bytes()
    (tmp_path / "h.root").write_bytes(data.replace(b"\x02hb", b"\x02ha"))

    with pytest.raises(OutputDamagedError) as caught:
        Reader({}).read(tmp_path / "h.root", name="part 7")
    assert "two objects are called 'ha' in cycle 1" in caught.value.evidence

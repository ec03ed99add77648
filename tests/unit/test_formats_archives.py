"""Archives: every part's members below a folder of the part, and nothing that is not safe to unpack."""

from __future__ import annotations

import gzip
import io
import random
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from septum.errors import MergeFailedError, NotConservedError, OutputDamagedError, OutputMissingError, StructureError
from septum.merge.formats.archives import TAR, TAR_GZ, ZIP, Archive
from septum.merge.summary import Total
from tests.unit.format_files import in_two_levels, merge_and_check, sha256

ALL = pytest.mark.parametrize("form", [TAR, TAR_GZ, ZIP], ids=lambda form: form.name)
TARS = pytest.mark.parametrize("form", [TAR, TAR_GZ], ids=lambda form: form.name)


def _tar(path: Path, *members: tuple[str, bytes | dict[str, Any]], zipped: bool | None = None, **options: Any) -> Path:
    """A tar archive; a member is a name with its bytes, or with what tarfile calls its header."""
    zipped = path.suffix == ".gz" if zipped is None else zipped
    with tarfile.open(path, "w:gz" if zipped else "w", **options) as archive:
        for number, (name, content) in enumerate(members):
            info = tarfile.TarInfo(name)
            info.mtime, info.uid, info.uname, info.mode = 1_700_000_000 + number, 1000, "user", 0o640
            data = content if isinstance(content, bytes) else b""
            for key, value in ({} if isinstance(content, bytes) else content).items():
                setattr(info, key, value)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def _zip(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
        # Of two members with one name.
        warnings.simplefilter("ignore", UserWarning)
        for number, (name, data) in enumerate(members):
            archive.writestr(zipfile.ZipInfo(name, (2000 + number, 1, 1, 0, 0, 0)), data, method)
    return path


def _pack(form: Archive, path: Path, *members: tuple[str, bytes]) -> Path:
    return _zip(path, *members) if form is ZIP else _tar(path, *members, zipped=form is TAR_GZ)


def _unpacked(path: Path) -> dict[str, bytes | None]:
    """What another program finds: names with bytes, folders with None."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            return {info.filename: None if info.is_dir() else archive.read(info) for info in archive.infolist()}
    with tarfile.open(path) as tar:
        found = {}
        for info in tar:
            stream = tar.extractfile(info) if info.isreg() else None
            found[info.name + "/" * info.isdir()] = None if stream is None else stream.read()
        return found


def _parts(form: Archive, folder: Path) -> list[Path]:
    """Parts with the same names in them, of sizes on both sides of what a block holds; one has none."""
    numbers = random.Random(5)
    sizes = [[1, 511, 512], [], [513, 0], [100_000]]
    return [
        _pack(
            form,
            folder / f"part{n}{form.endings[0]}",
            *((f"plots/p{m}.png", numbers.randbytes(size)) for m, size in enumerate(row)),
        )
        for n, row in enumerate(sizes)
    ]


# ── merging ─────────────────────────────────────────────────────────────────────────────────────────────────────


@ALL
def test_members_lie_below_a_folder_of_their_part(form: Archive, tmp_path: Path) -> None:
    """In the order of the parts, a part without members as well."""
    parts = _parts(form, tmp_path)
    target = tmp_path / f"m{form.endings[0]}"
    merged = merge_and_check(form, target, parts, titles=["0000", "0001", "0002", "0003"])
    expected: dict[str, bytes | None] = {}
    for number, part in enumerate(parts):
        expected[f"000{number}/"] = None
        expected |= {f"000{number}/{name}": data for name, data in _unpacked(part).items()}

    assert _unpacked(target) == expected
    assert list(_unpacked(target)) == list(expected)
    assert merged.objects["members"].entries == 6


@ALL
def test_without_titles_the_folders_are_called_as_the_files(form: Archive, tmp_path: Path) -> None:
    """Without the ending."""
    form.merge(tmp_path / "m.zip", _parts(form, tmp_path), title="m")
    (tmp_path / "m.zip").rename(target := tmp_path / f"x{form.endings[0]}")

    assert {name.partition("/")[0] for name in _unpacked(target)} == {"part0", "part1", "part2", "part3"}


@ALL
def test_merged_ranges_merge_to_the_same_bytes(form: Archive, tmp_path: Path) -> None:
    """With empty titles on the second level: the members have their folders."""
    parts = _parts(form, tmp_path)
    target = tmp_path / f"m{form.endings[0]}"
    form.merge(target, parts, title="m")

    assert sha256(in_two_levels(form, tmp_path, parts, 2)) == sha256(target)


@ALL
def test_times_and_owners_leave_no_trace(form: Archive, tmp_path: Path) -> None:
    """The same members give the same bytes, whoever packed them when."""
    made = []
    for n in range(2):
        part = tmp_path / f"{n}{form.endings[0]}"
        if form is ZIP:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=n + 1) as archive:
                info = zipfile.ZipInfo("x", (1999 + n, 1, 1, 0, 0, 0))
                info.create_system, info.comment, info.extra = 3 * n, b"n" * n, b""
                info.external_attr = 0o600 << 16 if n else 0x20
                archive.writestr(info, b"x" * 100, zipfile.ZIP_DEFLATED)
        else:
            header = {"mtime": n, "uid": n, "gname": f"g{n}", "mode": 0o600 + 0o44 * n, "devmajor": n}
            _tar(part, ("x", header), format=tarfile.GNU_FORMAT if n else tarfile.PAX_FORMAT)
        made.append(tmp_path / f"merged{n}{form.endings[0]}")
        form.merge(made[-1], [part], title="m", titles=["7"])

    assert sha256(made[0]) == sha256(made[1])


@TARS
def test_links_and_modes_are_kept(form: Archive, tmp_path: Path) -> None:
    """Links to what is beside or below; a hard link leads to the same file in the part's own folder."""
    members: list[tuple[str, bytes | dict[str, Any]]] = [
        (".", {"type": tarfile.DIRTYPE}),
        ("./bin", {"type": tarfile.DIRTYPE, "mode": 0o700}),
        ("./bin/run", {"mode": 0o4755}),
        ("bin/latest", {"type": tarfile.SYMTYPE, "linkname": "run"}),
        ("bin/again", {"type": tarfile.LNKTYPE, "linkname": "./bin/run"}),
        ("x" * 150 + "/µ", b"data"),
    ]
    parts = [_tar(tmp_path / f"{n}{form.endings[0]}", *members) for n in range(2)]
    target = tmp_path / f"m{form.endings[0]}"
    merged = merge_and_check(form, target, parts)
    with tarfile.open(target) as archive:
        infos = {info.name: info for info in archive}

    assert infos["1/bin/latest"].linkname == "run"
    assert infos["1/bin/again"].linkname == "1/bin/run"
    assert infos["0/bin/run"].mode == 0o755
    assert infos["0/" + "x" * 150 + "/µ"].size == 4
    assert {(info.mtime, info.uid, info.uname) for info in infos.values()} == {(0, 0, "")}
    assert merged.objects["members"].entries == 8


def test_names_in_no_encoding_survive(tmp_path: Path) -> None:
    """Tar takes any bytes as a name."""
    part = _tar(tmp_path / "0.tar", ("caf\udce9", b"x"), encoding="utf-8", errors="surrogateescape")
    merge_and_check(TAR, tmp_path / "m.tar", [part])
    with tarfile.open(tmp_path / "m.tar", encoding="utf-8", errors="surrogateescape") as archive:
        assert archive.getnames() == ["0", "0/caf\udce9"]


def test_how_a_member_was_compressed_stays(tmp_path: Path) -> None:
    """Pictures are stored as they are; methods that few programs know become the usual one."""
    with zipfile.ZipFile(tmp_path / "0.zip", "w") as archive:
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            archive.writestr(f"x{method}", bytes(1000), method)
    merge_and_check(ZIP, tmp_path / "m.zip", [tmp_path / "0.zip"])

    methods = [info.compress_type for info in zipfile.ZipFile(tmp_path / "m.zip").infolist()]
    assert methods == [zipfile.ZIP_STORED, zipfile.ZIP_STORED, *[zipfile.ZIP_DEFLATED] * 3]


@ALL
def test_two_sources_of_one_name(form: Archive, tmp_path: Path) -> None:
    """Their members would be mixed."""
    parts = _parts(form, tmp_path)
    with pytest.raises(MergeFailedError, match="two sources are called 'a'"):
        form.merge(tmp_path / "m", parts[:3], title="m", titles=["a", "b", "a"])
    with pytest.raises(StructureError, match=r"'plots/p0\.png' is there twice"):
        form.merge(tmp_path / "n", [parts[0], parts[2]], title="m", titles=["", ""])
    with pytest.raises(StructureError, match="leads out of the archive"):
        form.merge(tmp_path / "o", parts[:1], title="m", titles=["../a"])


@ALL
def test_members_that_must_be_there(form: Archive, tmp_path: Path) -> None:
    """Files by their names, however they were written."""
    part = _pack(form, tmp_path / "x", ("./plots//mass.png", b"x"))

    form.summarize(part, name="x", expected=["plots/mass.png"])
    with pytest.raises(OutputMissingError, match=r"the member 'plots/pt\.png' is not in the file"):
        form.summarize(part, name="x", expected=["plots/pt.png"])


# ── hostile archives ────────────────────────────────────────────────────────────────────────────────────────────


@ALL
@pytest.mark.parametrize(
    "name",
    ["/etc/cron.d/x", "../x", "a/../../x", "a/..", "..", "\\\\host\\x", "C:\\x", "c:x", "a\\..\\..\\x", "//x"],
)
def test_names_that_lead_out(form: Archive, name: str, tmp_path: Path) -> None:
    """Of the folder that somebody unpacks in, on whatever system."""
    part = _pack(form, tmp_path / "x", ("good", b""), (name, b"evil"))
    with pytest.raises(StructureError, match="leads out of the archive"):
        form.summarize(part, name="part 7")
    with pytest.raises(StructureError, match="leads out of the archive"):
        form.merge(tmp_path / "m", [part], title="m")


@ALL
def test_names_longer_than_any_path(form: Archive, tmp_path: Path) -> None:
    """Nobody could unpack them."""
    with pytest.raises(StructureError, match="has a name of 10001 letters"):
        form.summarize(_pack(form, tmp_path / "x", ("a/" * 5000 + "a", b"")), name="x")


@TARS
@pytest.mark.parametrize(
    ("member", "said"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "the link 'x' leads to '/etc/passwd'"),
        ({"type": tarfile.SYMTYPE, "linkname": "../x"}, "the link 'x' leads to"),
        ({"type": tarfile.SYMTYPE, "linkname": "a/../../x"}, "the link 'x' leads to"),
        ({"type": tarfile.SYMTYPE, "linkname": ""}, "the link 'x' leads to"),
        ({"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "leads out of the archive"),
        ({"type": tarfile.LNKTYPE, "linkname": "../x"}, "leads out of the archive"),
        ({"type": tarfile.LNKTYPE, "linkname": "later"}, "which is not there before it"),
        ({"type": tarfile.CHRTYPE}, "is no file, folder or link"),
        ({"type": tarfile.BLKTYPE}, "is no file, folder or link"),
        ({"type": tarfile.FIFOTYPE}, "is no file, folder or link"),
        ({"type": b"V"}, "is no file, folder or link"),
    ],
)
def test_links_and_devices(form: Archive, member: dict[str, Any], said: str, tmp_path: Path) -> None:
    """Nothing that reaches beyond the archive."""
    part = _tar(tmp_path / f"x{form.endings[0]}", ("good", b""), ("x", member))
    with pytest.raises(StructureError, match=said):
        form.summarize(part, name="part 7")


def test_sparse_files(tmp_path: Path) -> None:
    """A terabyte of nothing in some bytes."""
    header = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": "1099511627776",
        "GNU.sparse.name": "x",
    }
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x")
        info.pax_headers, info.size = header, 512
        archive.addfile(info, io.BytesIO(b"1\n0\n0\n".ljust(512, b"\0")))
    with pytest.raises(StructureError, match="is a sparse file"):
        TAR.summarize(tmp_path / "x.tar", name="x")


@ALL
@pytest.mark.parametrize(
    "names", [["a", "a"], ["a", "./a"], ["a/b", "a//b"], ["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"]], ids=str
)
def test_two_members_in_one_place(form: Archive, names: list[str], tmp_path: Path) -> None:
    """Of two, the one that is unpacked last would stay; a file is no folder."""
    part = tmp_path / "x"
    with pytest.raises(StructureError, match="is there twice, or another one is in its place"):
        form.summarize(_pack(form, part, *((name, name.encode()) for name in names)), name="x")


def test_links_and_devices_in_zip(tmp_path: Path) -> None:
    """A link looks like a small file to those who do not ask."""
    for mode in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            info = zipfile.ZipInfo("x")
            info.create_system, info.external_attr = 3, (mode | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        with pytest.raises(StructureError, match="'x' is a link or a device"):
            ZIP.summarize(tmp_path / "x.zip", name="x")


def _patched(path: Path, change: Callable[[bytearray, int, int], object]) -> Path:
    """Change a ZIP archive of one member, given where its headers are: the local and the central one."""
    raw = bytearray(path.read_bytes())
    change(raw, raw.index(b"PK\x03\x04"), raw.index(b"PK\x01\x02"))
    path.write_bytes(raw)
    return path


def test_archives_with_a_password(tmp_path: Path) -> None:
    """Nobody is there to type it."""

    def encrypt(raw: bytearray, local: int, central: int) -> None:
        raw[local + 6] |= 1
        raw[central + 8] |= 1

    with pytest.raises(StructureError, match="'x' is encrypted"):
        ZIP.summarize(_patched(_zip(tmp_path / "x.zip", ("x", b"x")), encrypt), name="x")


def test_archives_that_claim_what_they_cannot_hold(tmp_path: Path) -> None:
    """The overlapping kind of bomb says gigabytes in some kilobytes."""

    def inflate(raw: bytearray, _: int, central: int) -> None:
        raw[central + 24 : central + 28] = struct.pack("<I", 0xFFFFFF00)

    with pytest.raises(StructureError, match="claims to hold 4294967040"):
        ZIP.summarize(_patched(_zip(tmp_path / "x.zip", ("x", b"x")), inflate), name="x")


def test_folders_with_content(tmp_path: Path) -> None:
    """Unpacking would drop it."""
    with pytest.raises(OutputDamagedError, match="the folder 'a' has content"):
        ZIP.summarize(_zip(tmp_path / "x.zip", ("a/", b"x")), name="x")


def test_a_file_without_a_name(tmp_path: Path) -> None:
    """Only the folder that was packed may be called `.`."""
    for form, part in ((TAR, _tar(tmp_path / "x.tar", (".", b"x"))), (ZIP, _zip(tmp_path / "x.zip", (".", b"x")))):
        with pytest.raises(StructureError, match="part 7: a member has no name"):
            form.summarize(part, name="part 7")


# ── damaged archives ────────────────────────────────────────────────────────────────────────────────────────────


@ALL
def test_an_archive_that_is_cut_off_anywhere(form: Archive, tmp_path: Path) -> None:
    """Also between two members, where tar itself sees no fault."""
    part = _pack(form, tmp_path / "x", *((f"f{n}", bytes([n]) * 700) for n in range(3)))
    raw = part.read_bytes()
    if form is TAR:
        # What follows the end mark is padding: the archive is whole without it.
        assert len(raw) == 10240
        raw = raw[: 3 * 1536 + 512]
        part.write_bytes(raw)
    form.summarize(part, name="x")
    for length in {*range(0, len(raw), max(1, len(raw) // 40)), *range(0, len(raw), 512), len(raw) - 1}:
        if form is TAR and length > 3 * 1536:
            continue
        part.write_bytes(raw[:length])
        with pytest.raises(OutputDamagedError, match="part 7"):
            form.summarize(part, name="part 7")
        with pytest.raises(OutputDamagedError, match="part 7"):
            form.merge(tmp_path / f"m{length}", [part], title="m", titles=["part 7"])


@TARS
def test_a_damaged_header_is_not_the_end(form: Archive, tmp_path: Path) -> None:
    """Python's own reader stops there, and says nothing."""
    part = _tar(tmp_path / "x.tar", ("a", b"x"), ("b", b"y"))
    raw = bytearray(part.read_bytes())
    raw[1024 + 10] ^= 0xFF
    part.write_bytes(gzip.compress(bytes(raw)) if form is TAR_GZ else bytes(raw))
    if form is TAR:
        with tarfile.open(part) as archive:
            assert archive.getnames() == ["a"]
    with pytest.raises(OutputDamagedError, match="the archive is damaged, or was cut off"):
        form.summarize(part, name="x")


@ALL
@pytest.mark.parametrize(
    "raw", [b"", b"<html>502 Bad Gateway</html>", b"\x1f\x8b" + bytes(50), b"PK\x03\x04" + bytes(50)]
)
def test_what_is_no_archive(form: Archive, raw: bytes, tmp_path: Path) -> None:
    """Whatever its name says."""
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(OutputDamagedError, match="part 7"):
        form.summarize(tmp_path / "x", name="part 7")


def test_changed_bytes(tmp_path: Path) -> None:
    """Where the format has a checksum, it is looked at."""
    for form in (ZIP, TAR_GZ):
        part = _pack(form, tmp_path / f"x{form.endings[0]}", ("a", random.Random(1).randbytes(1000)))
        raw = bytearray(part.read_bytes())
        raw[500] ^= 1
        part.write_bytes(raw)
        with pytest.raises(OutputDamagedError, match="cannot be read as a"):
            form.summarize(part, name="x")


@ALL
def test_a_merge_that_loses_or_invents_something_is_found(form: Archive, tmp_path: Path) -> None:
    """A member, its bytes, its name."""
    total = Total()
    for n in range(2):
        total.add(form.summarize(_pack(form, tmp_path / f"{n}", ("a", b"1"), ("b", b"2")), name="x"))
    good = [("0/a", b"1"), ("0/b", b"2"), ("1/a", b"1"), ("1/b", b"2")]
    total.check(form.summarize(_pack(form, tmp_path / "m", *good), name="m"), name="m")
    for bad in (good[:3], [*good, ("2/a", b"1")], [*good[:3], ("1/b", b"3")], [*good[:3], ("1/c", b"2")]):
        with pytest.raises(NotConservedError):
            total.check(form.summarize(_pack(form, tmp_path / "m", *bad), name="m"), name="m")


@ALL
def test_a_target_that_is_there_is_not_written_over(form: Archive, tmp_path: Path) -> None:
    """It may be a good result."""
    (tmp_path / "m").write_text("precious")
    with pytest.raises(MergeFailedError, match="could not be written"):
        form.merge(tmp_path / "m", _parts(form, tmp_path), title="m")
    assert (tmp_path / "m").read_text() == "precious"

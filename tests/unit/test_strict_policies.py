"""What does not add up as it is: each refusal says what, where, and which policy allows it; each policy does that."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import uproot
from uproot.writing.identify import to_TArray

from septum.errors import NotAdditiveError, OutputDamagedError, OutputMissingError, StructureError
from septum.merge.strict.contents import Reader
from septum.merge.strict.rounding import rounded
from tests.fakes.rootfiles import H
from tests.unit.strict_files import Rig, members, merge, sha256, write


def _bits(path: Path, offset: int, bits: int) -> Path:
    """Set bits of a number of four bytes that stands so far from the beginning of `h`, which is not compressed."""
    with uproot.open(path) as file:
        key = file.key("h")
        at = int(key.fSeekKey) + int(key.fKeylen) + offset
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] | bits)
    path.write_bytes(data)
    return path


def _bits_of_object(path: Path) -> int:
    """Where the bits of the histogram's TObject stand: behind three headers, a version and an identifier."""
    del path
    return 6 + 6 + 6 + 6


def _bits_of_axis(path: Path) -> int:
    """The same of the x-axis."""
    contents = Reader({}).read(path, name="p")
    member = next(item for item in contents.shape.entries[0].layout.members if item.name == "fXaxis")
    return member.start + 6 + 6 + 6


# ── texts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_texts_that_differ(tmp_path: Path) -> None:
    """That of the lowest part, whichever comes first."""
    paths = [write(tmp_path / f"{n}.root", {"h": H(cells=[1, 2, 3]), "cut/note": f"text {n}"}) for n in range(3)]
    with pytest.raises(StructureError, match=r"differs from other parts") as caught:
        merge(tmp_path / "m.root", paths)
    assert "'cut/note': the text of this TObjString is not the same in both" in caught.value.evidence
    assert "policies: {strings: first}" in caught.value.fix

    rig = Rig(tmp_path / "s", paths, {"strings": "first"})
    assert len({sha256(rig.merge(order)) for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0])}) == 1
    with uproot.open(rig.target.path) as file:
        assert str(file["cut/note"]) == "text 0"
        assert file["h"].values(flow=True).tolist() == [3, 6, 9]


def test_texts_that_are_equal(tmp_path: Path) -> None:
    """Need no policy, and stand once in the result."""
    paths = [write(tmp_path / f"{n}.root", {"h": H(cells=[n, 2, 3]), "note": "text"}) for n in range(2)]
    merge(tmp_path / "m.root", paths)

    with uproot.open(tmp_path / "m.root") as file:
        assert file.keys() == ["h;1", "note;1"]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_a_text_that_some_parts_lack(tmp_path: Path, order: list[int]) -> None:
    """`strings: first` says what may differ, and not that it may be missing."""
    objects: list[dict[str, H | str]] = [
        {"h": H(cells=[1, 2, 3])},
        {"h": H(cells=[1, 2, 3]), "note": "one"},
        {"h": H(cells=[1, 2, 3]), "note": "two", "d/note": "deep"},
    ]
    paths = [write(tmp_path / f"{n}.root", item) for n, item in enumerate(objects)]
    with pytest.raises(StructureError) as caught:
        merge(tmp_path / "m.root", paths, strings="first")
    assert "policies: {missing-objects: groups}" in caught.value.fix

    rig = Rig(tmp_path / "s", paths, {"strings": "first", "missing-objects": "union"})
    rig.merge(order)
    with uproot.open(rig.target.path) as file:
        assert str(file["note"]) == "one"
        assert str(file["d/note"]) == "deep"


def test_a_text_that_is_a_histogram_elsewhere(tmp_path: Path) -> None:
    """What may differ is the text, not the class."""
    paths = [write(tmp_path / "0.root", {"h": "text"}), write(tmp_path / "1.root", {"h": H(cells=[1, 2, 3])})]

    with pytest.raises(StructureError) as caught:
        merge(tmp_path / "m.root", paths, strings="first", missing_objects="union")
    assert "a TObjString in one and a TH1D in the other" in caught.value.evidence


# ── marks ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_averages(tmp_path: Path) -> None:
    """Refused, or added as if they were none."""
    paths = [write(tmp_path / f"{n}.root", {"h": H(cells=[1, 10 * n, 3])}) for n in range(2)]
    for path in paths:
        _bits(path, _bits_of_object(path), 1 << 18)
    with pytest.raises(NotAdditiveError, match=r"0\.root: 'h' is marked as an average") as caught:
        merge(tmp_path / "m.root", paths)
    assert "policies: {averages: sum}" in caught.value.fix

    merge(tmp_path / "m.root", paths, averages="sum")
    assert members(tmp_path / "m.root", "h")["cells"].tolist() == [2, 10, 6]


def test_an_axis_with_a_range(tmp_path: Path) -> None:
    """With which ROOT takes the statistics of that range alone. The numbers of a range that is not set mean nothing."""
    path = write(tmp_path / "h.root", {"h": H(cells=[1, 2, 3, 4, 5])})
    axis = _bits_of_axis(path)
    Reader({}).read(path, name="p")

    with pytest.raises(NotAdditiveError, match="'h' has a range set on its x-axis") as caught:
        Reader({}).read(_bits(path, axis, 1 << 11), name="p")
    assert "UnZoom" in caught.value.fix


# ── numbers that do not fit ─────────────────────────────────────────────────────────────────────────────────────


def test_a_counter_of_float32_that_would_stop(tmp_path: Path) -> None:
    """Counts beyond 2**24 are refused, or rounded once; weighted contents are rounded, as every sum of them is."""
    cells = [[0.0, 2.0**23 + 1, 0.0], [0.0, 2.0**23 + 2, 0.0]]
    counted = [write(tmp_path / f"c{n}.root", {"h": H(cells=row, dtype=">f4")}) for n, row in enumerate(cells)]
    with pytest.raises(NotAdditiveError, match="'h' is a TH1F, which cannot hold the sum 16777219") as caught:
        merge(tmp_path / "m.root", counted)
    assert "policies: {saturation: round}" in caught.value.fix
    merge(tmp_path / "m.root", counted, saturation="round")
    assert members(tmp_path / "m.root", "h")["cells"].tolist() == [0, 16777220, 0]

    weighted = []
    for number in range(2):
        path = write(tmp_path / f"w{number}.root", {"h": H(cells=[0.0, 50.0, 0.0], dtype=">f4")})
        data = path.read_bytes()
        content = struct.pack(">f", 50.0) + struct.pack(">f", 0.0)
        assert data.count(content) == 1
        large = struct.pack(">f", 2.0**24 + 2 * number + 2)
        path.write_bytes(data.replace(content, large + struct.pack(">f", 0.0)))
        weighted.append(path)
    weighted.append(write(tmp_path / "w2.root", {"h": H(cells=[0.0, 1.0, 0.0], dtype=">f4")}))
    merge(tmp_path / "m.root", weighted)
    # 33554432 + 6 + 1, of which float32 holds every fourth number.
    assert members(tmp_path / "m.root", "h")["cells"][1] == np.float32(33554439)


def test_sums_beyond_every_number(tmp_path: Path) -> None:
    """An infinity that no part has is refused; on the way it does no harm."""
    largest = 1.7e308
    paths = [write(tmp_path / f"{n}.root", {"h": H(cells=[0, largest, 0], entries=1)}) for n in range(2)]
    with pytest.raises(NotAdditiveError, match="larger than any number") as caught:
        merge(tmp_path / "m.root", paths)
    assert "'h'" in caught.value.what
    assert "policies: {non-finite: keep}" in caught.value.fix

    merge(tmp_path / "m.root", paths, non_finite="keep")
    assert members(tmp_path / "m.root", "h")["cells"][1] == np.inf
    paths.append(write(tmp_path / "2.root", {"h": H(cells=[0, -largest, 0], entries=1)}))
    rig = Rig(tmp_path / "s", paths[:1] + paths[2:])
    assert members(rig.merge(), "h")["cells"][1] == 0


def test_clipped_numbers_are_those_in_the_file(tmp_path: Path) -> None:
    """The widest whole numbers, too, which stand as two halves: what is reported is what is written."""
    path = write(tmp_path / "h.root", {"h": H(cells=[1, 2**31 - 1, -(2**31) + 1, 7], dtype=">i4", sumw2=False)})
    rig = Rig(tmp_path / "s", [path, path], {"saturation": "round"})
    whole = rig.add(rig.begin(), [0, 1])._sums._together("m", str)

    numbers, payload = rounded(whole, "m", clip=True, finite=True)

    here = whole.shape.by_role["h", 0, "cells"]
    assert numbers[here.start : here.stop].tolist() == [2, 2**31 - 1, -(2**31) + 1, 14]
    assert whole.shape.numbers(payload).tolist() == numbers.tolist()


# ── what is expected ────────────────────────────────────────────────────────────────────────────────────────────


def test_objects_that_must_be_there(tmp_path: Path) -> None:
    """Texts count, too; nothing at all is damage."""
    path = write(tmp_path / "h.root", {"h": H(cells=[1, 2, 3]), "d/note": "x"})
    for policies in ({}, {"strings": "first"}):
        Reader(policies).read(path, name="part 7", expected=["h", "d/note"])
        with pytest.raises(OutputMissingError, match="'note' is not in the file"):
            Reader(policies).read(path, name="part 7", expected=["h", "note"])
    with pytest.raises(OutputDamagedError, match="holds no objects"):
        Reader({}).read(write(tmp_path / "e.root", {}), name="part 7")


def test_errors_of_another_number_than_cells(tmp_path: Path) -> None:
    """Some writers leave out the errors of the flow bins: ROOT would read them one bin off."""
    other = tmp_path / "o.root"
    made = H(cells=[1, 2, 3, 4, 5]).written("h")
    made._bases[0]._members["fSumw2"] = to_TArray(np.asarray([2.0, 3.0, 4.0], ">f8"))
    with uproot.recreate(other, compression=None) as file:
        file["h"] = made

    with pytest.raises(OutputDamagedError) as caught:
        Reader({}).read(other, name="part 7")
    assert "3 errors for 5 cells" in caught.value.evidence

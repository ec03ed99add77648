"""How one file gets to its place: under another name, verified, renamed; with each step failing once."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import pytest

from septum.errors import UploadError
from septum.upload.attempt import AttemptError, Kind
from septum.upload.local import Local, weigh
from septum.upload.place import place
from tests.fakes.storage import MemoryStorage

PATH = "/store/me/hists.root"
TEMPORARY = "/store/me/.septum-0123.part"
DATA = b"histograms " * 1000


@pytest.fixture
def local(tmp_path: Path) -> Local:
    """A file that is to travel."""
    (tmp_path / "hists.root").write_bytes(DATA)
    return weigh("hists.root", tmp_path / "hists.root")


def _place(storage: MemoryStorage, local: Local, **more: int) -> str:
    return place(storage, local, PATH, own="0123", **more)


def _fault(storage: MemoryStorage, local: Local, **more: int) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        _place(storage, local, **more)
    return caught.value


# ── a file ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_weighing(tmp_path: Path, local: Local) -> None:
    """One reading gives all checksums; an empty file has them, too."""
    (tmp_path / "empty").touch()
    empty = weigh("empty", tmp_path / "empty")

    assert (local.size_b, local.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert local.adler32 == f"{zlib.adler32(DATA):08x}"
    assert (empty.size_b, empty.adler32, empty.md5) == (0, "00000001", "d41d8cd98f00b204e9800998ecf8427e")


@pytest.mark.parametrize("what", ["missing", "a folder"])
def test_what_cannot_be_weighed(tmp_path: Path, what: str) -> None:
    """One clear error."""
    path = tmp_path / "nothing" if what == "missing" else tmp_path
    with pytest.raises(UploadError, match="is not a file"):
        weigh("x", path)


# ── what works ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("digest", "denied", "proof"),
    [
        ("adler32", set(), "adler32"),
        ("sha-256", set(), "sha-256"),
        ("", set(), "re-read"),
        ("", {"read"}, "size"),
    ],
)
def test_a_file_travels_under_another_name(local: Local, digest: str, denied: set[str], proof: str) -> None:
    """Its own name appears when all of it is there; the best proof that can be had is given."""
    storage = MemoryStorage(digest=digest, denied=frozenset(denied))

    assert _place(storage, local) == proof
    assert storage.files == {PATH: DATA}
    steps = [call for call in storage.calls if call[0] not in {"size", "digests", "read"}]
    assert steps == [("put", TEMPORARY), ("move", TEMPORARY, PATH)]


def test_a_large_file_is_not_read_back(local: Local) -> None:
    """Above the bound the size must do, and the proof says so."""
    storage = MemoryStorage(digest="")

    assert _place(storage, local, reread_b=len(DATA) - 1) == "size"
    assert _place(MemoryStorage(digest=""), local, reread_b=len(DATA)) == "re-read"


@pytest.mark.parametrize(("digest", "proof"), [("adler32", "adler32"), ("", "re-read")])
def test_what_is_there_already_is_not_sent_again(local: Local, digest: str, proof: str) -> None:
    """A retried CI job finds it; what is compared is the content, however large."""
    storage = MemoryStorage(files={PATH: DATA}, digest=digest)

    assert _place(storage, local, reread_b=0) == proof
    assert "put" not in {call[0] for call in storage.calls}


def test_zeros_at_the_beginning_of_a_checksum(tmp_path: Path) -> None:
    """Some storage leaves them out."""
    (tmp_path / "empty").touch()
    storage = MemoryStorage()

    assert place(storage, weigh("empty", tmp_path / "empty"), PATH, own="0123") == "adler32"
    assert storage.digests(PATH) == {"adler32": "1"}


# ── nothing is overwritten ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("there", "digest", "denied", "words"),
    [
        (b"other", "adler32", set(), "it holds 5 bytes"),
        (DATA[::-1], "adler32", set(), "its adler32 is"),
        (DATA[::-1], "", set(), "its sha256 is"),
        (DATA, "", {"read"}, "no right to read"),
    ],
)
def test_another_file_stays(local: Local, there: bytes, digest: str, denied: set[str], words: str) -> None:
    """Also one of the same size, and one that cannot be compared."""
    storage = MemoryStorage(files={PATH: there}, digest=digest, denied=frozenset(denied))
    fault = _fault(storage, local)

    assert fault.kind == "differs"
    assert words in fault.text
    assert storage.files == {PATH: there}


@pytest.mark.parametrize(("theirs", "ends"), [(DATA, "adler32"), (b"other", "differs")])
def test_somebody_else_is_quicker(local: Local, theirs: bytes, ends: str) -> None:
    """A file that appears while ours travels is compared, and stays."""
    storage = MemoryStorage()
    storage.on_call = lambda name, _: storage.files.update({PATH: theirs}) if name == "digests" else None
    result = _place(storage, local) if ends == "adler32" else _fault(storage, local).kind

    assert result == ends
    assert storage.files == {PATH: theirs}


# ── one step fails ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", ["size", "put", "digests", "move"])
@pytest.mark.parametrize("kind", ["gone", "space", "auth", "refused"])
def test_one_step_fails(local: Local, step: str, kind: Kind) -> None:
    """The fault comes out as it is, nothing is left, and another attempt succeeds."""
    storage = MemoryStorage(fail={step: [kind]})

    assert _fault(storage, local).kind == kind
    assert storage.files == {}
    assert _place(storage, local) == "adler32"


@pytest.mark.parametrize("digest", ["adler32", ""])
@pytest.mark.parametrize("how", ["half", "one byte", "nothing"])
def test_what_arrives_damaged_is_not_shown(local: Local, how: str, digest: str) -> None:
    """That the copy said nothing is no proof."""
    damage = {"half": lambda data: data[:5000], "one byte": lambda data: b"H" + data[1:], "nothing": lambda _: b""}
    storage = MemoryStorage(digest=digest, spoil=damage[how])

    assert _fault(storage, local).kind == "damaged"
    assert storage.files == {}


def test_a_renaming_whose_answer_got_lost(local: Local) -> None:
    """The next attempt finds the file in its place."""
    storage = MemoryStorage()
    move = storage.move

    def lost(source: str, target: str) -> None:
        move(source, target)
        raise AttemptError("gone", "no answer")

    storage.move = lost  # type: ignore[method-assign]

    assert _fault(storage, local).kind == "gone"
    assert storage.files == {PATH: DATA}
    assert _place(storage, local) == "adler32"


def test_a_renaming_that_leads_elsewhere(local: Local) -> None:
    """A good answer is no proof either."""
    storage = MemoryStorage()

    def elsewhere(source: str, target: str) -> None:
        storage.files[target.removesuffix(".root")] = storage.files.pop(source)

    storage.move = elsewhere  # type: ignore[method-assign]

    assert _fault(storage, local).text == "it was renamed, and is not there under its new name"
    assert PATH not in storage.files


# ── what an attempt that was killed has left ────────────────────────────────────────────────────────────────────


def test_half_a_file_of_an_earlier_attempt(local: Local) -> None:
    """It is ours, by its name, and is replaced."""
    storage = MemoryStorage(files={TEMPORARY: b"half"})

    assert _place(storage, local) == "adler32"
    assert storage.files == {PATH: DATA}


def test_half_a_file_that_cannot_be_removed(local: Local) -> None:
    """A token that may create and not remove takes another name; what is half stays what it was."""
    storage = MemoryStorage(files={TEMPORARY: b"half"}, denied=frozenset({"remove"}))

    assert _place(storage, local) == "adler32"
    assert storage.files == {PATH: DATA, TEMPORARY: b"half"}


# ── storage that does not rename ────────────────────────────────────────────────────────────────────────────────


def test_without_renaming(local: Local) -> None:
    """The file is written to its place, and verified there."""
    storage = MemoryStorage(denied=frozenset({"move"}))

    assert _place(storage, local) == "adler32"
    assert storage.files == {PATH: DATA}


def test_without_renaming_and_damaged(local: Local) -> None:
    """What is damaged does not stay under the file's name."""
    storage = MemoryStorage(denied=frozenset({"move"}))
    # The second copy is the one under its own name.
    storage.spoil = lambda data: data if sum(call[0] == "put" for call in storage.calls) == 1 else data[:-1]

    assert _fault(storage, local).kind == "damaged"
    assert storage.files == {}


def test_without_renaming_and_somebody_else_is_quicker(local: Local) -> None:
    """The other's file is neither overwritten nor removed."""
    storage = MemoryStorage(denied=frozenset({"move"}))

    def appear(name: str, path: str) -> None:
        if name == "put" and path == PATH:
            storage.files[PATH] = b"other"

    storage.on_call = appear

    assert _fault(storage, local).kind == "differs"
    assert storage.files == {PATH: b"other"}

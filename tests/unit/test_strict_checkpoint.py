"""A merge that was killed: it goes on from its checkpoint, or anew where there is no good one, to the same bytes."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.strict_files import Rig, members, quick_parts, sha256

_ROOT = Path(__file__).parents[2]
_PARTS = 70

# ── killed ──────────────────────────────────────────────────────────────────────────────────────────────────────

_ADDING = """
import sys, os, signal
from pathlib import Path
from septum.merge.strict import checkpoint
from tests.unit.strict_files import Rig

folder, parts, order, kill = Path(sys.argv[1]), sorted(Path(sys.argv[2]).glob("*.root")), sys.argv[3], sys.argv[4]
rig = Rig(folder, parts)
merging = rig.resume() or rig.begin()
todo = [n for n in range(len(parts)) if f"{n:04}" not in merging.parts]
if order == "down":
    todo.reverse()
saves = 0
right = Path.replace

def killed(self, target):
    global saves
    saves += 1
    if kill == f"save {saves}":
        os.kill(os.getpid(), signal.SIGKILL)
    return right(self, target)

checkpoint.Path.replace = killed
for count, number in enumerate(todo, 1):
    rig.add(merging, [number])
    if kill == f"add {count}":
        os.kill(os.getpid(), signal.SIGKILL)
    merging.ready()
rig.finish(merging)
"""


def _run(folder: Path, parts: Path, order: str, kill: str) -> int:
    command = [sys.executable, "-c", _ADDING, str(folder), str(parts), order, kill]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode


@pytest.mark.parametrize(
    ("kills", "order"),
    [
        (["save 1"], "up"),
        (["save 2", "add 25", "add 5"], "down"),
    ],
    ids=["while the first is written", "three times"],
)
def test_killed_and_gone_on(tmp_path: Path, kills: list[str], order: str) -> None:
    """SIGKILL between two parts, in the middle of a checkpoint, after one: the same bytes at the end."""
    parts = quick_parts(tmp_path / "parts", _PARTS)
    expected = sha256(Rig(tmp_path / "whole", parts).merge())

    for kill in kills:
        assert _run(tmp_path / "s", tmp_path / "parts", order, kill) == -signal.SIGKILL
        assert not (tmp_path / "s" / "0.root").exists()
    resumed = Rig(tmp_path / "s", parts).resume()
    assert (resumed is None) is (kills == ["save 1"])
    # The rest comes in another order.
    assert _run(tmp_path / "s", tmp_path / "parts", "down" if order == "up" else "up", "") == 0

    assert sha256(tmp_path / "s" / "0.root") == expected
    assert members(tmp_path / "s" / "0.root", "h")["fEntries"] == sum(range(_PARTS))


# ── checkpoints that are none ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def saved(tmp_path: Path) -> Rig:
    """A merge of six parts, of which four are in the checkpoint."""
    rig = Rig(tmp_path / "s", quick_parts(tmp_path / "parts", 6))
    rig.add(rig.begin(), [3, 0, 5, 1]).save()
    return rig


def _checkpoint(rig: Rig) -> Path:
    return rig.begin().checkpoint


def test_a_good_checkpoint(saved: Rig) -> None:
    """So that the others are none for the reason that they are here for."""
    resumed = saved.resume()
    assert resumed is not None
    assert sorted(resumed.parts) == ["0000", "0001", "0003", "0005"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:],
        lambda data: b"root" + bytes(1000),
        lambda data: _sealed(b""),
        lambda data: _sealed(b"PK\x05\x06" + bytes(18)),
        lambda data: _sealed(b"a foreign file"),
        lambda data: _sealed(data[32:].replace(b'"format": 2', b'"format": 1')),
        lambda data: _sealed(data[32:].replace(b'"septum": "', b'"septum": "0')),
        lambda data: _sealed(data[32:].replace(b'"groups"', b'"heaps!"')),
        lambda data: _sealed(data[32:].replace(b"TH1D", b"TH9D")),
        lambda data: _sealed(data[32:-200]),
    ],
    ids=[
        *("empty", "cut", "short", "long", "bit", "other", "nothing", "no members", "foreign", "older", "version"),
        *("members", "class", "sealed short"),
    ],
)
def test_a_checkpoint_that_counts_as_none(saved: Rig, damage: Callable[[bytes], bytes]) -> None:
    """Damaged, foreign, or of another version: the merge begins anew, and comes to the same end."""
    path = _checkpoint(saved)
    path.write_bytes(damage(path.read_bytes()))

    assert saved.resume() is None


def _sealed(data: bytes) -> bytes:
    """With the checksum that a checkpoint has before it."""
    return hashlib.sha256(data).digest() + data


def test_a_checkpoint_without_its_file(saved: Rig) -> None:
    """A folder in its place, or nothing."""
    path = _checkpoint(saved)
    path.unlink()
    assert saved.resume() is None
    path.mkdir()
    assert saved.resume() is None


def test_a_checkpoint_of_other_parts(saved: Rig) -> None:
    """One that the ledger has lost, one that was fetched anew, a plan in another order, other policies."""
    without = {part: digest for part, digest in saved.files.items() if part != "0003"}
    assert saved.resume(without) is None
    assert saved.resume(saved.files | {"0003": "0" * 64}) is None
    assert saved.resume(without | {"0003": ""}) is None
    turned = Rig(saved.target.scratch, list(saved.paths.values())[::-1])
    turned.files = saved.files
    turned.target = replace(turned.target, parts=tuple(reversed(turned.target.parts)))
    assert turned.resume() is None
    relaxed = Rig(saved.target.scratch, list(saved.paths.values()), {"saturation": "round"})
    assert relaxed.resume() is None


def test_a_checkpoint_is_written_whole_or_not_at_all(saved: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails while it is written leaves the one before."""
    before = sha256(_checkpoint(saved))
    merging = saved.resume()
    assert merging is not None
    saved.add(merging, [2])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        merging.save()
    monkeypatch.undo()

    assert sha256(_checkpoint(saved)) == before
    assert members(saved.merge(), "h")["fEntries"] == 15

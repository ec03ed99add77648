"""The state folder: files whole or not at all, and nothing removed that is not septum's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from septum.errors import StateError
from septum.files import below
from septum.plan import Plan
from septum.state import Receipt, State, write_whole
from septum.worker.look import NAME as LOOK
from septum.worker.look import program
from septum.worker.sandbox import SHARED, WRAPPER, own_name, sent_names, values_name
from tests.fakes.analyses import BASE, plan_of, seeds

RECEIPT = Receipt(tag="t", plan="p", cluster="c", collector="h:1", schedd="s", submitted_s=5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with inputs."""
    root = tmp_path / "root"
    root.mkdir()
    for name in ("run.py", "a.root", "b.root"):
        (root / name).write_text(name)
    return root


@pytest.fixture
def plan(root: Path) -> Plan:
    """Two parts, each with a file of its own."""
    return plan_of(BASE + 'parts: {files: {glob: "*.root"}}\ninputs: [run.py]\n', root)


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A folder that does not exist yet."""
    return State(tmp_path / "state" / "mine")


def _refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(StateError, match=words) as caught:
        call()
    assert caught.value.fix


def test_a_plan_is_stored_and_found(state: State, plan: Plan, root: Path) -> None:
    """With the archives of its inputs."""
    state.store_plan(plan, below(root))

    assert state.load_plan() == plan
    assert sorted(path.name for path in (state.folder / "send").iterdir()) == [
        "septum-0000.tar", "septum-0001.tar", SHARED,
    ]  # fmt: skip


def test_inputs_that_changed_leave_no_plan(state: State, plan: Plan, root: Path) -> None:
    """A plan that is there is complete."""
    (root / "b.root").write_text("other")

    with pytest.raises(StateError, match=r"'b\.root' has changed"):
        state.store_plan(plan, below(root))
    with pytest.raises(StateError, match="there is none"):
        state.load_plan()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"null", b"{}"])
def test_a_damaged_plan(state: State, plan: Plan, root: Path, content: bytes) -> None:
    """Is an error with a fix."""
    state.store_plan(plan, below(root))
    (state.folder / "plan.json").write_bytes(content)

    _refused(state.load_plan, "damaged")


def test_everything_to_send(state: State, plan: Plan, root: Path) -> None:
    """The wrapper and a file of values for each part, beside the archives."""
    state.store_plan(plan, below(root))
    state.write_values(plan, image="/cvmfs/x", image_id="sha256:abc")
    sent = state.folder / "send"

    assert (sent / WRAPPER).stat().st_mode & 0o777 == 0o755
    assert all((sent / values_name(part.id)).is_file() for part in plan.parts)
    assert "SEPTUM_IMAGE='/cvmfs/x'\nSEPTUM_IMAGE_ID='abc'\n" in (sent / values_name("0001")).read_text()


@pytest.mark.parametrize(("merge", "there"), [("", True), ("merge: {}\n", False)])
def test_what_looks_at_outputs_goes_with_a_plan_that_merges(
    state: State, tmp_path: Path, merge: str, *, there: bool
) -> None:
    """With its policies, as those decide what may be read; and what is announced as sent is there."""
    plan = plan_of(seeds(2, more=f"{merge}policies: {{averages: sum}}\n"), tmp_path)
    state.store_plan(plan, below(tmp_path))
    state.write_values(plan, image="")
    sent = state.folder / "send"

    assert (sent / LOOK).is_file() is there
    assert [name for part in plan.parts for name in sent_names(plan, part) if not (sent / name).is_file()] == []
    if there:
        assert (sent / LOOK).read_bytes() == program({"averages": "sum"})


@pytest.mark.parametrize("name", [SHARED, own_name("0001")])
def test_an_archive_that_was_lost_between_the_ci_jobs(state: State, plan: Plan, root: Path, name: str) -> None:
    """A part without its inputs is not submitted."""
    state.store_plan(plan, below(root))
    (state.folder / "send" / name).unlink()

    _refused(lambda: state.write_values(plan, image=""), name.replace(".", r"\."))


def test_a_receipt_is_stored_and_found(state: State) -> None:
    """All of it."""
    state.store_receipt(RECEIPT)

    assert state.load_receipt() == RECEIPT


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"{}", b'{"format": 2}', b'{"format": 1, "tag": "x"}', b"\xff"])
def test_a_damaged_receipt(state: State, content: bytes) -> None:
    """Is an error with a fix."""
    state.folder.mkdir(parents=True)
    (state.folder / "receipt.json").write_bytes(content)

    _refused(state.load_receipt, "none that can be read")


def test_clear_removes_what_septum_wrote(state: State, plan: Plan, root: Path) -> None:
    """Also temporary files of a septum that was killed."""
    state.store_plan(plan, below(root))
    state.write_values(plan, image="")
    state.store_receipt(RECEIPT)
    state.open_ledger().close()
    (state.folder / ".plan.json.a1b2").touch()
    for name in ("outputs", "incoming", "logs", "merge", "local"):
        (state.folder / name).mkdir()
    state.clear()

    assert list(state.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["analysis.py", ".git", "septum.yaml", "plan.json.orig"])
def test_clear_removes_nothing_else(state: State, name: str) -> None:
    """`--state .` would remove the user's repository."""
    state.folder.mkdir(parents=True)
    (state.folder / name).touch()
    (state.folder / "outputs").mkdir()

    with pytest.raises(StateError, match="not septum's alone") as caught:
        state.clear()
    assert name in caught.value.evidence
    assert caught.value.fix
    assert sorted(path.name for path in state.folder.iterdir()) == sorted([name, "outputs"])


def test_a_state_folder_that_is_a_file(state: State) -> None:
    """Stays what it is."""
    state.folder.parent.mkdir()
    state.folder.write_text("mine")

    with pytest.raises(StateError):
        state.clear()
    assert state.folder.read_text() == "mine"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """What stood there stays when the writing fails, and nothing is left beside it."""
    path = tmp_path / "a.json"
    write_whole(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "after\ud800")

    assert path.read_text() == "before"
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_a_newer_receipt_is_not_taken(state: State) -> None:
    """Another septum wrote it."""
    state.store_receipt(RECEIPT)
    data = json.loads((state.folder / "receipt.json").read_text())
    (state.folder / "receipt.json").write_text(json.dumps({**data, "format": 2}))

    with pytest.raises(StateError):
        state.load_receipt()


def test_one_septum_in_one_folder(tmp_path: Path) -> None:
    """The second one is told about the first; when that has gone, the folder is free and no lock is left."""
    folder = tmp_path / "state"
    with (
        State(folder).locked(),
        pytest.raises(StateError, match="another septum works") as caught,
        State(folder).locked(),
    ):
        pass

    assert str(os.getpid()) in caught.value.evidence
    assert not folder.exists()
    with State(folder).locked():
        assert folder.is_dir()


def test_the_lock_is_not_put_into_somebody_s_folder(tmp_path: Path) -> None:
    """A repository is no state folder, and gets no file from us."""
    (tmp_path / "analyse.py").touch()

    with pytest.raises(StateError, match="not septum's alone"), State(tmp_path).locked():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["analyse.py"]

"""The judgement of one part by what came back from it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from septum.backends.base import JobReport
from septum.errors import (
    InputsDamagedError,
    NotAdditiveError,
    OutputDamagedError,
    OutputMissingError,
    PartError,
    PartExitError,
    PartImageError,
    PartLostError,
    PartOtherImageError,
    PartSignalError,
    PartTimeoutError,
    StructureError,
    TransferDamagedError,
)
from septum.merge.engine import Engine, Reading
from septum.merge.results import Merger
from septum.merge.strict.merging import Strict
from septum.plan import Part, Plan
from septum.states import JobState
from septum.verify import has_status, measure, verify
from septum.worker.sandbox import log_names, output_name, status_name
from tests.fakes.analyses import plan_of
from tests.fakes.rootfiles import Adder, H, write_root

TEXT = """
command: [run]
outputs: [{path: h.root, objects: [h]}, log.txt, extra.root]
merge: {h.root: h.root}
parts: {list: [{seed: 7}]}
resources: {time: 1 h}
image: example/a:1
"""


class Box:
    """What came back from one part; good until something is changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "incoming"
        self.folder.mkdir()
        self.plan: Plan = plan_of(TEXT, folder)
        self.engine: Engine = Adder()
        self.merger = Merger(
            self.plan, lambda _path, _name: self.engine, outputs=folder / "outputs", scratch=folder / "merge"
        )
        write_root(self.path(0), {"h": H(cells=[0, 1, 0])})
        self.path(1).write_text("some words")
        write_root(self.path(2), {"other": H(cells=[0, 1, 0])})
        out, err = log_names("0000")
        (self.folder / out).write_text("many\nwords\n")
        (self.folder / err).write_text("")
        self.status: dict[str, Any] = {
            "format": 1, "part": "0000", "stage": "done", "exit_code": 0, "host": "n", "image": "", "started": 1,
            "ended": 2, "outputs": [self.entry(number) for number in range(3)],
        }  # fmt: skip

    def path(self, number: int) -> Path:
        """Where an output is."""
        return self.folder / output_name("0000", number)

    def entry(self, number: int) -> dict[str, Any]:
        """What the wrapper says of it."""
        content = self.path(number).read_bytes()
        return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def verify(self, **report: Any) -> Any:
        """Write the status and judge."""
        if self.status:
            (self.folder / status_name("0000")).write_text(json.dumps(self.status))
        facts = {"exit_code": 0, "attempts": 2, "host": "node7", **report}
        found = JobReport(part="0000", job="7.0", state=JobState.ENDED, **facts)
        return verify(self.plan, self.plan.parts[0], self.folder, found, self.merger.read)

    def refused(self, error: type[Exception], **report: Any) -> str:
        """The message of a part that must not pass."""
        with pytest.raises(error) as caught:
            self.verify(**report)
        shown = str(caught.value)

        assert type(caught.value) is error
        assert "part 0000 (seed=7)" in shown
        assert "Fix: " in shown
        return shown


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A good part."""
    return Box(tmp_path)


def test_a_good_part(box: Box) -> None:
    """What was read of each ROOT output, and the status."""
    verified = box.verify()

    assert sorted(verified.readings) == [0, 2]
    assert list(verified.readings[0].objects) == ["h"]
    assert verified.status.exit_code == 0


def test_a_backend_that_does_not_know_the_exit_code(box: Box) -> None:
    """The wrapper does."""
    assert box.verify(exit_code=None).status.exit_code == 0


@pytest.mark.parametrize(
    ("status", "report", "error", "words"),
    [
        ({"exit_code": 3}, {"exit_code": 3}, PartExitError, "exit code 3"),
        ({"exit_code": 3}, {"exit_code": 0}, PartExitError, "exit code 3"),
        ({}, {"exit_code": 3}, PartExitError, "exit code 3"),
        ({"exit_code": None}, {}, PartExitError, "exit code None"),
        ({"exit_code": 137}, {"exit_code": 137}, PartSignalError, "SIGKILL"),
        ({"exit_code": 200}, {"exit_code": 200}, PartExitError, "exit code 200"),
        ({}, {"signal": 9, "exit_code": None}, PartSignalError, "memory"),
        ({}, {"signal": 11, "exit_code": None}, PartSignalError, "SIGSEGV"),
        ({}, {"signal": 99, "exit_code": None}, PartSignalError, "signal 99"),
        ({"stage": "stopped"}, {}, PartSignalError, "SIGTERM"),
        ({"stage": "started"}, {}, PartLostError, "without a word"),
        ({"stage": "image", "image": "/x"}, {"exit_code": 122}, PartImageError, "asked for example/a:1, seen: /x"),
        (
            {"stage": "other-image", "image_path": "/cvmfs/u/.flat/ab/abc"},
            {"exit_code": 120},
            PartOtherImageError,
            "its image: /cvmfs/u/.flat/ab/abc",
        ),
        ({"stage": "inputs"}, {"exit_code": 119}, InputsDamagedError, "did not get the inputs"),
        ({"stage": "setup"}, {"exit_code": 123}, PartExitError, "set up"),
        ({"stage": "nonsense"}, {}, PartExitError, "set up"),
        ({}, {"timed_out": True}, PartTimeoutError, "1 h 00 min"),
        ({"part": "0001"}, {}, PartLostError, "without a word"),
        ({"outputs": []}, {}, OutputMissingError, "h.root is missing"),
    ],
)
def test_every_cause(
    box: Box, status: dict[str, Any], report: dict[str, Any], error: type[PartError], words: str
) -> None:
    """Each has its class, and neither the backend nor the wrapper is believed alone."""
    box.status |= status

    assert words in box.refused(error, **report)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_output_is_missing(box: Box, number: int) -> None:
    """Of several, ROOT or not."""
    box.status["outputs"][number] = None

    assert box.plan.outputs[number].path in box.refused(OutputMissingError)


def test_an_output_is_read_when_it_has_arrived_whole(box: Box) -> None:
    """Each once, by its number and with its path, and none whose bytes are not those that the worker wrote."""
    seen = []

    def read(part: Part, number: int, path: Path) -> Reading | None:
        seen.append((part.id, number, path))
        return box.merger.read(part, number, path) if number == 0 else None

    (box.folder / status_name("0000")).write_text(json.dumps(box.status))
    report = JobReport(part="0000", job="7.0", state=JobState.ENDED, exit_code=0)
    verified = verify(box.plan, box.plan.parts[0], box.folder, report, read)

    assert seen == [("0000", number, box.path(number)) for number in range(3)]
    assert list(verified.readings) == [0]
    box.path(1).write_text("other words")
    seen.clear()
    with pytest.raises(OutputDamagedError):
        verify(box.plan, box.plan.parts[0], box.folder, report, read)
    assert [number for _, number, _ in seen] == [0]


@pytest.mark.parametrize("number", [0, 2])
def test_what_cannot_be_read_is_the_part_s_failure(box: Box, number: int) -> None:
    """Also if the engine has its own word for it: nothing that a reader refuses passes."""

    def read(part: Part, found: int, path: Path) -> Reading | None:
        if found == number:
            raise NotAdditiveError(f"{part.describe()}: {path.name}: 'h' holds NaN", fix="look at the weights")
        return None

    (box.folder / status_name("0000")).write_text(json.dumps(box.status))
    report = JobReport(part="0000", job="7.0", state=JobState.ENDED, exit_code=0)
    with pytest.raises(NotAdditiveError, match="part 0000"):
        verify(box.plan, box.plan.parts[0], box.folder, report, read)


def test_content_is_what_the_worker_read(box: Box) -> None:
    """One hash on both machines passes, another does not; a worker without Python says nothing."""
    box.engine = Strict({})
    digest = box.verify().readings[0].digest
    for content in (digest, ""):
        box.status["outputs"][0]["content"] = content
        assert box.verify().readings[0].digest == digest
    box.status["outputs"][0]["content"] = "0" * 64

    assert "reads other content" in box.refused(OutputDamagedError)


def test_content_of_another_reader_is_not_compared(box: Box) -> None:
    """The worker reads strictly whatever it can; what merges with hadd has hashes of its own, and is not damaged."""
    box.status["outputs"][0]["content"] = "0" * 64

    assert sorted(box.verify().readings) == [0, 2]


def test_content_of_what_is_not_merged_is_not_compared(box: Box) -> None:
    """Of that, only the list of objects is read here."""
    box.engine = Strict({})
    box.status["outputs"][2]["content"] = "0" * 64

    assert sorted(box.verify().readings) == [0, 2]


def test_cpu_time_comes_from_the_status(box: Box) -> None:
    """As the wrapper's shell said it; an older wrapper said nothing."""
    assert box.verify().status.cpu_s is None
    box.status["times"] = "1m2.5s 0m0.25s"

    assert box.verify().status.cpu_s == 62.75


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("how", ["shorter", "longer", "changed", "gone", "empty"])
def test_an_output_arrived_damaged(box: Box, number: int, how: str) -> None:
    """By a byte, or as a whole."""
    content = box.path(number).read_bytes()
    if how == "gone":
        box.path(number).unlink()
    else:
        changed = {"shorter": content[:-1], "longer": content + b"x", "changed": content[:-1] + b"\x7f", "empty": b""}
        box.path(number).write_bytes(changed[how])

    assert "arrived damaged" in box.refused(TransferDamagedError)


@pytest.mark.parametrize("number", [0, 2])
def test_an_output_that_left_the_worker_damaged(box: Box, number: int) -> None:
    """Size and checksum are right, and it is no ROOT file; also if it is not merged."""
    box.path(number).write_bytes(box.path(number).read_bytes()[:-50])
    box.status["outputs"][number] = box.entry(number)

    box.refused(OutputDamagedError)


def test_an_expected_object_is_missing(box: Box) -> None:
    """As `objects:` says."""
    write_root(box.path(0), {"g": H(cells=[0, 1, 0])})
    box.status["outputs"][0] = box.entry(0)

    assert "'h' is not in the file" in box.refused(OutputMissingError)


def test_only_what_is_merged_must_be_of_a_class_that_merges(box: Box) -> None:
    """A workspace in an output of its own is fine; in a result it is not."""
    import uproot

    for number in (2, 0):
        with uproot.recreate(box.path(number)) as file:
            file["h"] = "a text"
        box.status["outputs"][number] = box.entry(number)
        if number == 2:
            assert box.verify().readings[2].objects["h"].kind == "TObjString"

    assert "TObjString" in box.refused(StructureError)


def test_a_status_with_more_outputs_than_the_plan(box: Box) -> None:
    """Belongs to something else."""
    box.status["outputs"].append(box.entry(0))

    box.refused(PartLostError)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"{", b"[" * 99_999])
def test_a_status_of_garbage(box: Box, content: bytes) -> None:
    """Is none."""
    box.status = {}
    (box.folder / status_name("0000")).write_bytes(content)

    assert has_status(box.folder, "0000")
    box.refused(PartLostError)


def test_no_status_at_all(box: Box) -> None:
    """Though all outputs are there."""
    box.status = {}

    assert not has_status(box.folder, "0000")
    box.refused(PartLostError)


def test_the_end_of_the_log_is_shown(box: Box) -> None:
    """Standard error before standard output, a dozen lines, and nothing that moves the cursor."""
    box.status["exit_code"] = 1
    assert "the end of its stdout:\n      many\n      words" in box.refused(PartExitError)
    lines = [f"line {number}" for number in range(5000)] + ["\x1b[2Jbad\x1b[0Ksection_start:1:x\rred\xff", "x" * 1000]
    (box.folder / log_names("0000")[1]).write_bytes("\n".join(lines).encode("latin-1"))
    shown = box.refused(PartExitError)

    assert "the end of its stderr:" in shown
    assert "line 4999" in shown
    assert "line 4980" not in shown
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert max(len(line) for line in shown.splitlines()) < 320


def test_a_part_that_wrote_nothing(box: Box) -> None:
    """That is said, too."""
    box.status["exit_code"] = 1
    for name in log_names("0000"):
        (box.folder / name).unlink()

    assert "it wrote nothing" in box.refused(PartExitError)
    assert "job 7.0 on node7, 2 attempts" in box.refused(PartExitError)


def test_measure(tmp_path: Path) -> None:
    """Size and checksum; of no file, what no file can have."""
    (tmp_path / "a").write_bytes(b"x" * (3 << 20))

    assert measure(tmp_path / "a") == (3 << 20, hashlib.sha256(b"x" * (3 << 20)).hexdigest())
    assert measure(tmp_path / "b") == (0, "")
    assert measure(tmp_path) == (0, "")

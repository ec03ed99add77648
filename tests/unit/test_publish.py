"""What stands in the result folder, after a good end and after every other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.errors import PartExitError, PartialResultError, StateError
from septum.ledger import Row, StoredOutput
from septum.manifest import NAME as MANIFEST
from septum.manifest import Asked, Failure, Manifest, from_json, to_json
from septum.merge.results import Result
from septum.outcome import Outcome
from septum.plan import Plan, partial_name
from septum.publish import (
    MAX_LOG_B,
    SUMMARY,
    Facts,
    clear_old,
    objects_table,
    publish,
    publish_failure,
    summary_text,
)
from septum.state import Receipt
from septum.states import PartState
from septum.verify import measure
from septum.worker.sandbox import log_names
from tests.fakes.analyses import BASE, plan_of

RECEIPT = Receipt(
    tag="t", plan="p", cluster="c", collector="", schedd="", submitted_s=1, image_digest="sha256:d", image_id="sha256:i"
)
TEXT = (
    BASE.replace("[h.root]", "[h.root, log/x.txt]")
    + 'parts: {product: {s: [a, b], n: [1, 2]}}\nmerge: {"sub/{s}.root": h.root}\ntolerance: 1\n'
)


def _row(part: str, **facts: Any) -> Row:
    columns: dict[str, Any] = dict.fromkeys(Row.__slots__)
    return Row(**{**columns, "id": part, "state": PartState.VERIFIED, "attempts": 1, "jobs": 1, **facts})


class Rig:
    """A run that has ended, before its result is published."""

    def __init__(self, folder: Path) -> None:
        self.plan: Plan = plan_of(TEXT, folder)
        self.folder, self.outputs = folder / "result", folder / "outputs"
        self.outputs.mkdir()
        self.stored = {}
        for part in self.plan.parts:
            for number in (0, 1):
                name = f"{part.id}.{number}"
                (self.outputs / name).write_text(name)
                size_b, sha256 = measure(self.outputs / name)
                self.stored[(part.id, number)] = StoredOutput(
                    part=part.id, output=number, path=name, size_b=size_b, sha256=sha256
                )
        self.scratch, self.logs = folder / "merge", folder / "state-logs"
        self.scratch.mkdir()
        self.rows = [_row(part.id) for part in self.plan.parts]

    def result(self, name: str, parts: Sequence[str], missing: Sequence[str] = ()) -> Result:
        """A merged file under its temporary name."""
        path = self.scratch / name.replace("/", "-")
        path.write_text(name)
        return Result(
            name=name, path=path, size_b=5, sha256=measure(path)[1], parts=tuple(parts), missing=tuple(missing),
            objects={"h|x": ("TH1D", 3.0)}, stamp=f"stamp of {name}", engine="strict (septum 1)",
        )  # fmt: skip

    def whole(self) -> Outcome:
        """Both results with all parts."""
        results = (self.result("sub/a.root", ["0000", "0001"]), self.result("sub/b.root", ["0002", "0003"]))
        return Outcome(results=results, failed=(), error=None)

    def partial(self) -> Outcome:
        """One part is missing in the second result."""
        results = (self.result("sub/a.root", ["0000", "0001"]), self.result("sub/b.root", ["0002"], ["0003"]))
        failed = _row("0003", state=PartState.FAILED, cause="E301", message="a|b\nc")
        return Outcome(results=results, failed=(failed,), error=PartialResultError("1 of 4", fix="x"))

    def facts(self, **changes: Any) -> Facts:
        """What is known beside the outcome: by default, the least."""
        return Facts(**{"rows": self.rows, "stored": self.stored, **changes})

    def publish(self, outcome: Outcome, **changes: Any) -> dict[str, Path]:
        """Into the result folder."""
        facts = self.facts(**changes)
        return publish(self.folder, self.plan, RECEIPT, outcome, facts, outputs=self.outputs, logs=self.logs)

    def log(self, part: str, *, out: str = "", err: str = "") -> None:
        """What a part wrote, where collect keeps it."""
        self.logs.mkdir(exist_ok=True)
        for text, name in zip((out, err), log_names(part), strict=True):
            (self.logs / name).write_text(text)

    def files(self) -> list[str]:
        """Everything in the result folder."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def manifest(self) -> Any:
        """septum.json."""
        return json.loads((self.folder / MANIFEST).read_text())

    def read(self) -> Manifest:
        """septum.json, as everything that follows reads it."""
        return from_json((self.folder / MANIFEST).read_text(encoding="utf-8"), name=MANIFEST)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A run of four parts in two results."""
    return Rig(tmp_path)


def test_a_whole_result(rig: Rig) -> None:
    """Under its final name, with manifest and summary; outputs that do not merge one a part."""
    published = rig.publish(rig.whole())

    assert rig.files() == sorted(
        [MANIFEST, SUMMARY, "sub/a.root", "sub/b.root", *(f"parts/000{number}/log/x.txt" for number in range(4))]
    )
    assert published == {"sub/a.root": rig.folder / "sub/a.root", "sub/b.root": rig.folder / "sub/b.root"}
    assert (rig.folder / "parts/0002/log/x.txt").read_text() == "0002.1"
    assert rig.manifest()["complete"] is True
    assert rig.manifest()["error"] is None
    assert [part["id"] for part in rig.manifest()["parts"]] == [part.id for part in rig.plan.parts]
    assert rig.manifest()["parts"][3]["values"] == {"s": "b", "n": "2"}
    assert rig.manifest()["plan"] == rig.plan.hash
    assert (rig.manifest()["image_digest"], rig.manifest()["image_id"]) == ("sha256:d", "sha256:i")
    assert [part["state"] for part in rig.manifest()["parts"]] == ["merged"] * 4
    assert (rig.folder / SUMMARY).read_text().startswith("# analysis\n\n**Whole**: all 4 parts are in.\n")
    assert list(rig.scratch.iterdir()) == []


def test_a_partial_result_says_so_everywhere(rig: Rig) -> None:
    """In its name, in the manifest, in the summary; a result that has all its parts keeps its name."""
    published = rig.publish(rig.partial())
    summary = (rig.folder / SUMMARY).read_text()

    assert published["sub/b.root"] == rig.folder / "sub/b.partial.root"
    assert [name for name in rig.files() if name.endswith(".root")] == ["sub/a.root", "sub/b.partial.root"]
    assert rig.manifest()["complete"] is False
    assert rig.manifest()["error"]["exit_code"] == 39
    assert rig.manifest()["results"][1]["missing"] == ["0003"]
    assert "**Partial**: 1 of 4 parts" in summary
    assert "| 0003 | E301 | a\\|b c |" in summary


def test_a_failure_leaves_no_result(rig: Rig) -> None:
    """A manifest and a summary that name the error, and the logs of the parts that failed."""
    rig.rows[:2] = [_row("0000"), _row("0001", state=PartState.FAILED, cause="E301", message="it failed")]
    for part in ("0000", "0001"):
        rig.log(part, err=f"said by {part}")
    error = PartExitError("it failed", evidence="job 7.1", fix="x")
    publish_failure(rig.folder, rig.plan, RECEIPT, error, rig.facts(), outputs=rig.outputs, logs=rig.logs)

    assert rig.files() == ["logs/septum-0001.stderr", MANIFEST, SUMMARY]
    assert (rig.folder / "logs/septum-0001.stderr").read_text() == "said by 0001"
    assert rig.manifest()["complete"] is False
    assert rig.manifest()["results"] == []
    assert rig.manifest()["error"] == {
        "code": "E301", "exit_code": 30, "what": "it failed", "evidence": "job 7.1", "fix": "x",
    }  # fmt: skip
    assert [part.log for part in rig.read().parts] == [None, "logs/septum-0001.stderr", None, None]
    assert "**No result**: it failed [E301]" in (rig.folder / SUMMARY).read_text()
    assert "| 0001 | E301 | it failed |" in (rig.folder / SUMMARY).read_text()


@pytest.mark.parametrize("before", ["whole", "partial"])
def test_what_an_earlier_run_left_is_cleared(rig: Rig, before: str) -> None:
    """Whole or partial; what is not septum's stays."""
    rig.publish(getattr(rig, before)())
    (rig.folder / "mine.txt").write_text("x")
    clear_old(rig.folder, rig.plan)

    assert rig.files() == ["mine.txt"]


def test_clearing_what_is_not_there(rig: Rig) -> None:
    """The first run of all."""
    clear_old(rig.folder, rig.plan)

    assert not rig.folder.exists()


def test_a_result_folder_that_is_a_file(rig: Rig) -> None:
    """A mistake with a fix."""
    rig.folder.write_text("x")

    with pytest.raises(StateError, match="is not a folder") as caught:
        clear_old(rig.folder, rig.plan)
    assert caught.value.fix


def test_results_of_an_earlier_plan_are_cleared(rig: Rig) -> None:
    """A group that there is no more must not stand beside the new ones; a manifest leads out of the folder nowhere."""
    rig.publish(rig.whole())
    elsewhere = rig.folder.parent / "elsewhere"
    elsewhere.mkdir()
    outside = elsewhere / "outside.root"
    outside.write_text("somebody's")
    (rig.folder / "link").symlink_to(elsewhere)
    (rig.folder / "empty").mkdir()
    manifest, sha256 = rig.read(), measure(outside)[1]
    names = ["../elsewhere/outside.root", str(outside), "link/outside.root", "sub/../../elsewhere/outside.root"]
    names += ["", ".", "empty", "sub/not-there.root", "x\0y", "x" * 5000]
    hostile = [
        replace(manifest.results[0], file=name, sha256=hashed) for name in names for hashed in (sha256, "")
    ]  # fmt: skip
    (rig.folder / MANIFEST).write_text(to_json(replace(manifest, results=(*manifest.results, *hostile))))
    clear_old(rig.folder, replace(rig.plan, merges=()))

    assert rig.files() == []
    assert outside.read_text() == "somebody's"
    assert (rig.folder / "empty").is_dir()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"results": 3}', '{"results": [{}]}', '{"format": 1, "results": [], "parts": []}', "[" * 9999],
)
def test_a_manifest_of_somebody_else_is_in_nobody_s_way(rig: Rig, text: str) -> None:
    """Garbage lists no results, and is kept under another name."""
    rig.folder.mkdir()
    (rig.folder / MANIFEST).write_text(text)

    assert clear_old(rig.folder, rig.plan) == [MANIFEST]
    assert rig.files() == [f"{MANIFEST}.old1"]


def test_what_is_not_septum_s_is_kept_under_another_name(rig: Rig) -> None:
    """A file, a folder, and a result that somebody has changed since: none is lost, and none looks like a result."""
    rig.publish(rig.whole())
    (rig.folder / "sub/a.root").write_text("changed since")
    (rig.folder / "parts/mine").mkdir(parents=True)
    (rig.folder / "parts/mine/x").write_text("mine")

    assert clear_old(rig.folder, rig.plan) == ["sub/a.root"]
    assert rig.files() == ["parts/mine/x", "sub/a.root.old1"]
    assert (rig.folder / "sub/a.root.old1").read_text() == "changed since"


# ── the manifest ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_manifest_says_what_each_part_took(rig: Rig) -> None:
    """When it was submitted, when it ran, its CPU time and its memory; what nobody measured is left open."""
    rig.rows[1] = _row(
        "0001", job="7.1", host="node7", started_s=20, ended_s=60, cpu_s=12.75, memory_b=2**30, attempts=2, exit_code=0
    )
    rig.publish(rig.whole(), submitted_s={"0001": 5.5}, began_s=1.0, ended_s=99.0, asked=Asked(cpus=2, time_s=60))
    first, second, *_ = rig.read().parts

    assert (second.submitted_s, second.started_s, second.ended_s) == (5.5, 20, 60)
    assert (second.cpu_s, second.memory_b, second.attempts) == (12.75, 2**30, 2)
    assert (second.job, second.host, second.exit_code) == ("7.1", "node7", 0)
    assert (first.submitted_s, first.started_s, first.cpu_s, first.memory_b) == (None, None, None, None)
    assert (rig.read().began_s, rig.read().ended_s, rig.read().asked) == (1.0, 99.0, Asked(cpus=2, time_s=60))


def test_the_manifest_accounts_for_every_output(rig: Rig) -> None:
    """Size and checksum of each that was verified, and the hash of what it holds where it was merged."""
    del rig.stored["0003", 1]
    rig.publish(rig.partial(), contents={("0000", 0): "c" * 64})
    parts = rig.read().parts

    assert [[output.path for output in part.outputs] for part in parts] == [["h.root", "log/x.txt"]] * 3 + [["h.root"]]
    assert parts[0].outputs[0].content == "c" * 64
    assert parts[0].outputs[1].content == parts[1].outputs[0].content == ""
    assert (parts[2].outputs[1].size_b, parts[2].outputs[1].sha256) == measure(rig.outputs / "0002.1")


def test_the_manifest_says_what_a_result_is(rig: Rig) -> None:
    """Which engine made it, what stands inside of it, what it holds; and by which plan and policies."""
    rig.plan = replace(rig.plan, policies=(("sums", "plain"),))
    rig.publish(rig.partial(), origin={"commit": "4f1d"}, software={"numpy": "2"})
    manifest = rig.read()
    second = manifest.results[1]

    assert (second.name, second.file) == ("sub/b.root", "sub/b.partial.root")
    assert (second.size_b, second.sha256) == (5, measure(rig.folder / second.file)[1])
    assert (second.stamp, second.engine) == ("stamp of sub/b.root", "strict (septum 1)")
    assert (second.parts, second.missing) == (("0002",), ("0003",))
    assert second.objects["h|x"].kind == "TH1D"
    assert (manifest.plan, manifest.work, manifest.policies) == (rig.plan.hash, rig.plan.work, {"sums": "plain"})
    assert (manifest.origin, manifest.software) == ({"commit": "4f1d"}, {"numpy": "2"})
    assert (manifest.run, manifest.cluster, manifest.whole_count) == ("t", "c", 4)


@pytest.mark.parametrize(
    ("before", "how", "after"),
    [
        (PartState.VERIFIED, "whole", "merged"),
        (PartState.VERIFIED, "partial", "merged"),
        (PartState.VERIFIED, "failure", "verified"),
        (PartState.FAILED, "partial", "failed"),
        (PartState.RUNNING, "failure", "running"),
    ],
)
def test_the_state_of_a_part_is_the_last_one(rig: Rig, before: PartState, how: str, after: str) -> None:
    """A part is merged when there is a result; the ledger learns that only after the manifest stands."""
    rig.rows[2] = _row("0002", state=before)
    failure = Outcome(results=(), failed=(), error=PartExitError("it failed"))
    rig.publish(failure if how == "failure" else getattr(rig, how)())

    assert rig.read().parts[2].state == after


def test_names_that_are_no_text_do_not_keep_a_result_from_being_published(rig: Rig) -> None:
    """A histogram that somebody named in Latin-1 years ago; its byte is shown."""
    results = tuple(replace(one, objects={"d\udcfc": ("TH1D", 1.0)}) for one in rig.partial().results)
    error = PartialResultError("lost in d\udcfc", evidence="\udcfc", fix="\udcfc")
    rig.publish(replace(rig.partial(), results=results, error=error))

    assert list(rig.read().results[0].objects) == [r"d\xfc"]
    assert rig.read().error == Failure(code="E310", exit_code=39, what=r"lost in d\xfc", evidence=r"\xfc", fix=r"\xfc")


def test_a_part_that_the_plan_does_not_know(rig: Rig) -> None:
    """In a ledger that somebody changed; the run ends for that, and its manifest must not be lost over it."""
    rig.rows = [_row("0000"), _row("0099", state=PartState.FAILED, cause="E301", message="it failed")]
    error = StateError("ledger: what became of part 0099 is not known", fix="x")
    publish_failure(rig.folder, rig.plan, RECEIPT, error, rig.facts(), outputs=rig.outputs, logs=rig.logs)

    assert [part.id for part in rig.read().parts] == ["0000"]
    assert rig.read().error == Failure(code="E005", exit_code=2, what=error.what, fix="x")


def test_the_ends_of_the_logs_of_the_first_failures(rig: Rig) -> None:
    """Not of hundreds, and not gigabytes; of a part that said nothing, none."""
    rig.rows = [_row("0000", cause="E301"), _row("0001", cause="E301"), _row("0002"), _row("0003", cause="E301")]
    rig.log("0000", out="x" * MAX_LOG_B + "the end", err="")
    rig.log("0001")
    rig.log("0002", err="a good part")
    error = PartExitError("it failed")
    publish_failure(rig.folder, rig.plan, RECEIPT, error, rig.facts(), outputs=rig.outputs, logs=rig.logs)
    (log,) = (rig.folder / "logs").iterdir()

    assert log.name == log_names("0000")[0]
    assert log.stat().st_size == MAX_LOG_B
    assert log.read_text().endswith("xthe end")
    assert [part.log for part in rig.read().parts] == [f"logs/{log.name}", None, None, None]


@pytest.mark.parametrize("failed", [False, True])
def test_some_parts_of_a_plan_make_no_whole_result(rig: Rig, *, failed: bool) -> None:
    """`--parts 4` of a hundred: all that was asked for is there, and it is labelled partial all the same."""
    rig.plan = replace(rig.plan, whole_count=100)
    rig.publish(rig.partial() if failed else rig.whole())

    assert [name for name in rig.files() if name.endswith(".root")] == ["sub/a.partial.root", "sub/b.partial.root"]
    assert rig.manifest()["complete"] is False
    assert "**Whole**" not in (rig.folder / SUMMARY).read_text()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.root", "a.partial.root"), ("sub/a.b.root", "sub/a.b.partial.root"), ("a", "a.partial")],
)
def test_partial_names(name: str, expected: str) -> None:
    """The ending stays."""
    assert partial_name(name) == expected


def test_another_file_system(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that cannot be renamed is copied, and appears whole."""
    real = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self.parent == rig.scratch:
            raise OSError(18, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    rig.publish(rig.whole())

    assert (rig.folder / "sub/a.root").read_text() == "sub/a.root"
    assert not any(name.endswith(".new") for name in rig.files())
    assert list(rig.scratch.iterdir()) == []


def test_the_summary_is_not_endless(rig: Rig) -> None:
    """A hundred failed parts are enough to see."""
    failed = tuple(_row(f"{number:04d}", cause="E301", message="x") for number in range(500))
    text = summary_text(rig.plan, Outcome(results=(), failed=failed, error=PartExitError("x")), {})

    assert "and 400 more" in text
    assert text.count("| E301 |") == 100


def test_the_table_for_a_terminal(rig: Rig) -> None:
    """Eight objects a result: a screen has to hold several."""
    result = rig.result("x.root", [])
    many = {f"h{number:03d}": ("TH1D", 1.5e9) for number in range(30)}
    lines = objects_table(
        [result, Result(**{**{name: getattr(result, name) for name in Result.__slots__}, "objects": many})]
    )

    assert lines[0] == "h|x  TH1D                     3 entries"
    assert len(lines) == 1 + 8 + 1
    assert lines[-1] == "… and 22 more objects"

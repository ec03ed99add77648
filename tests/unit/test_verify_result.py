"""`septum verify`: a result that is as the run left it is proven, and whatever somebody changed is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.cli import main
from septum.errors import ProvenanceError, SeptumError, UsageError
from septum.manifest import NAME, Failure
from septum.plan import to_json as plan_to_json
from septum.provenance.check import Proof, examine
from septum.provenance.consistency import Verdict
from septum.provenance.crate import NAME as CRATE
from septum.provenance.entities import PLAN
from septum.provenance.stamp import inscription, stamp
from septum.verify import measure
from tests.fakes.analyses import seeds
from tests.fakes.result_folders import ResultFolder, merge

TWO = (
    "name: dimuon\ncommand: [run]\noutputs: [h.root, g.root, log.txt]\n"
    "merge: {h.root: h.root, 2024/g.root: g.root}\ntolerance: 1\n"
    "parts: {product: {seed: {first: 0, last: 3}}}\n"
)

Attack = Callable[[ResultFolder], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ResultFolder:
    """Two results of four parts, with an output that is kept."""
    return ResultFolder(root=tmp_path_factory.mktemp("whole"), text=TWO)


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> ResultFolder:
    """The same with a part that failed within the tolerance."""
    return ResultFolder(root=tmp_path_factory.mktemp("partial"), text=TWO, failed=["0002"])


def _copy(made: ResultFolder, root: Path) -> ResultFolder:
    """A copy to attack."""
    shutil.copytree(made.root, root, dirs_exist_ok=True)
    copied = object.__new__(ResultFolder)
    copied.__dict__.update(made.__dict__)
    copied.root, copied.folder, copied.outputs = root, root / "result", root / "outputs"
    return copied


@pytest.fixture
def copy(whole: ResultFolder, tmp_path: Path) -> ResultFolder:
    """A copy of the whole run."""
    return _copy(whole, tmp_path / "copy")


def _wrong(proof: Proof) -> str:
    return "\n".join(f"{check.subject}: {check.says}" for check in proof.having(Verdict.WRONG))


def _unknown(proof: Proof) -> str:
    return "\n".join(f"{check.subject}: {check.says}" for check in proof.having(Verdict.UNKNOWN))


# ── what holds ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "failed", "only"),
    [
        (TWO, (), None),
        (TWO, ("0002",), None),
        (TWO, (), "2"),
        (TWO, (), "0001,0003"),
        (seeds(1), (), None),
        (seeds(3, more="merge: {}\n"), (), None),
        (seeds(2, more="merge: {'{seed}.root': h.root, all.root: h.root}\n"), (), None),
    ],
    ids=["two results", "partial", "two parts", "chosen", "one part", "no merge", "groups"],
)
def test_a_result_as_the_run_left_it(text: str, failed: tuple[str, ...], only: str | None, tmp_path: Path) -> None:
    """Everything holds, and with the outputs of the parts at hand nothing is left open."""
    made = ResultFolder(root=tmp_path, text=text, failed=failed, only=only)
    proof = examine(made.folder, parts=made.outputs)

    assert _wrong(proof) == ""
    assert proof.error(strict=False) is None
    assert len(proof.having(Verdict.OK)) >= 5
    # Without results, nothing but the plan says what was merged.
    assert [check.subject for check in proof.having(Verdict.UNKNOWN)] == ([] if made.manifest.results else ["work"])


def test_what_is_not_at_hand_is_said(whole: ResultFolder) -> None:
    """Outputs that were merged and are gone are no fault, and no success either."""
    proof = examine(whole.folder)

    assert _wrong(proof) == ""
    assert _unknown(proof) == "outputs: 8 outputs of the parts: not here; give their folder with --parts"
    assert proof.error(strict=False) is None
    assert isinstance(proof.error(strict=True), ProvenanceError)


@pytest.mark.parametrize("name", ["h.root", "2024/g.root", NAME])
def test_one_file_of_a_result(name: str, whole: ResultFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its manifest is found above it, also from within its folder; the other result is not asked for."""
    monkeypatch.chdir((whole.folder / name).parent)
    proof = examine(Path(Path(name).name))

    assert _wrong(proof) == ""
    assert ("1 result beside" in _unknown(proof)) == (name != NAME)


def test_outputs_by_part(copy: ResultFolder) -> None:
    """A folder such as that of kept outputs is read as well as that of a state folder."""
    for part in copy.plan.parts:
        for number, output in enumerate(copy.plan.outputs):
            target = copy.root / "by-part" / part.id / output.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(copy.outputs / f"septum-{part.id}.out{number}", target)

    assert examine(copy.folder, parts=copy.root / "by-part").error(strict=True) is None


def test_a_license_may_be_put_into_the_crate(copy: ResultFolder) -> None:
    """A crate may say more than septum knows, as long as it says the same of the files."""

    def license_it(crate: Any) -> None:
        next(item for item in crate["@graph"] if item["@id"] == "#license")["name"] = "CC0-1.0"

    _edit_json(copy.folder / CRATE, license_it)

    assert examine(copy.folder, parts=copy.outputs).error(strict=True) is None


# ── attacks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def _swap(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def _swap_with_manifest(made: ResultFolder) -> None:
    """Two results change places, and the manifest and the crate are made to fit."""
    _swap(made.path(0), made.path(1))
    one, other = made.manifest.results
    measures = [{"size_b": item.size_b, "sha256": item.sha256, "stamp": item.stamp} for item in (other, one)]
    made.change_result(0, **measures[0])
    made.change_result(1, **measures[1])
    made.write()


def _drop_part(made: ResultFolder, *, whole_count: int) -> None:
    """A part vanishes from the manifest, wherever it is named."""
    for number, result in enumerate(made.manifest.results):
        made.change_result(number, parts=result.parts[:-1])
    made.change(parts=made.manifest.parts[:-1], whole_count=whole_count)
    made.write_manifest()


def _drop_part_and_plan(made: ResultFolder) -> None:
    """The same by somebody who knows what tells on him: without plan and crate, and with new stamps recorded."""
    contents = {part.id: [output.content for output in part.outputs] for part in made.manifest.parts}
    _drop_part(made, whole_count=3)
    for number, result in enumerate(made.manifest.results):
        parts = [(part, contents[part][number]) for part in result.parts]
        made.change_result(number, stamp=stamp(made.manifest.work, parts))
    made.write_manifest()
    (made.folder / PLAN).unlink()
    (made.folder / CRATE).unlink()


def _other_merge(made: ResultFolder) -> None:
    """A result is merged again without its last part, under the stamp of all; the manifest is made to fit."""
    result = made.manifest.results[0]
    made.path().unlink()
    sources = [made.outputs / f"septum-{part}.out0" for part in result.parts[:-1]]
    merge(made.path(), sources, inscription(result.stamp, result.name))
    _remeasure(made)


def _remeasure(made: ResultFolder) -> None:
    size_b, sha256 = measure(made.path())
    made.change_result(0, size_b=size_b, sha256=sha256)
    made.write_manifest()


def _restamp(made: ResultFolder, name: str) -> None:
    """Write another inscription into a result, and make manifest and crate fit."""
    sources = [made.outputs / f"septum-{part}.out0" for part in made.manifest.results[0].parts]
    made.path().unlink()
    merge(made.path(), sources, name)
    _remeasure(made)
    made.write()


def _link(made: ResultFolder, target: Path) -> None:
    made.path().unlink()
    made.path().symlink_to(target)


def _move_out(made: ResultFolder, name: str) -> None:
    made.path().rename(made.root / "outside.root")
    made.change_result(0, file=name)
    made.write_manifest()


def _edit_part(made: ResultFolder, **changes: Any) -> None:
    first, *rest = made.manifest.parts
    made.change(parts=(replace(first, **changes), *rest))
    made.write_manifest()


def _edit_output(made: ResultFolder, **changes: Any) -> None:
    first = made.manifest.parts[0]
    _edit_part(made, outputs=(replace(first.outputs[0], **changes), *first.outputs[1:]))


def _edit(made: ResultFolder, **changes: Any) -> None:
    made.change(**changes)
    made.write_manifest()


def _edit_result(made: ResultFolder, **changes: Any) -> None:
    made.change_result(0, **changes)
    made.write_manifest()


def _edit_plan(made: ResultFolder, **changes: Any) -> None:
    """Another plan with a hash that fits it; the manifest names it."""
    plan = replace(made.plan, **changes)
    made.change(plan=plan.hash)
    made.plan = plan
    made.write()


def _edit_json(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def _rewrite(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _wrong_types(made: ResultFolder) -> None:
    data = json.loads(plan_to_json(replace(made.plan, tolerance=7)))  # type: ignore[arg-type]
    _rewrite(made.folder / PLAN, json.dumps(data))


def _link_folder(folder: Path, target: Path) -> None:
    folder.rename(target)
    folder.symlink_to(target)


ATTACKS: dict[str, tuple[Attack, str]] = {
    "a byte of the result": (lambda made: _flip(made.path(), -30), "h.root: "),
    "a byte of the stamp": (lambda made: _flip(made.path(), 170), "inside"),
    "a result cut short": (lambda made: made.path().write_bytes(made.path().read_bytes()[:-1]), "recorded"),
    "an empty result": (lambda made: made.path().write_bytes(b""), "carries no stamp"),
    "no result": (lambda made: made.path().unlink(), "h.root: is not there"),
    "results swapped": (lambda made: _swap(made.path(0), made.path(1)), "is not the one recorded"),
    "results swapped, manifest too": (_swap_with_manifest, "h.root: is g.root by what stands inside"),
    "merged again without a part": (_other_merge, "has another sha256 or size of h.root"),
    "a result of nobody": (lambda made: _restamp(made, "h.root"), "carries no stamp inside, and one is recorded"),
    "another stamp": (lambda made: _restamp(made, "septum:" + "0" * 64), "which is not the one recorded"),
    "a link to the file": (lambda made: _link(made, made.outputs / "septum-0000.out0"), "h.root: is a link"),
    "a link to nothing": (lambda made: _link(made, Path("/nowhere")), "h.root: is a link"),
    "a path that leads out": (lambda made: _move_out(made, "../outside.root"), "is not the path of a file"),
    "an absolute path": (lambda made: _move_out(made, str(made.root / "outside.root")), "is not the path of a file"),
    "a part dropped": (lambda made: _drop_part(made, whole_count=4), "parts were run"),
    "a part dropped and denied": (lambda made: _drop_part(made, whole_count=3), "is not that of this work"),
    "a part dropped without traces": (_drop_part_and_plan, "work: "),
    "a part listed twice": (lambda made: _edit(made, parts=made.manifest.parts + made.manifest.parts[:1]), "2 times"),
    "a part merged twice": (
        lambda made: _edit_result(made, parts=("0000", *made.manifest.results[0].parts)),
        "h.root names part 0000 2 times",
    ),
    "a part of nobody": (
        lambda made: _edit_result(made, parts=(*made.manifest.results[0].parts, "0099")),
        "names part 0099, which the manifest does not list",
    ),
    "parts in another order": (
        lambda made: _edit_result(made, parts=made.manifest.results[0].parts[::-1]),
        "not in the order of the plan",
    ),
    "a result without parts": (lambda made: _edit_result(made, parts=()), "h.root has no part"),
    "a result dropped": (lambda made: _edit(made, results=made.manifest.results[:1]), "work: "),
    "all results dropped": (lambda made: _edit(made, results=()), "is recorded as merged, and is in no result"),
    "all parts dropped": (lambda made: _edit(made, parts=()), "parts: the manifest lists none"),
    "a result under two names": (
        lambda made: _edit(made, results=(*made.manifest.results, made.manifest.results[0])),
        "2 results have the name h.root",
    ),
    "a failed part in a result": (lambda made: _edit_part(made, state="failed"), "part 0000 is in h.root, and failed"),
    "a fingerprint": (lambda made: _edit_part(made, fingerprint="0" * 64), "work: "),
    "a value": (lambda made: _edit_part(made, values={"seed": "7"}), "part 0000 has other values"),
    "a content hash": (lambda made: _edit_output(made, content="0" * 64), "is not that of this work"),
    "a policy": (lambda made: _edit(made, policies={"non-finite": "keep"}), "work: "),
    "the work": (lambda made: _edit(made, work="0" * 64), "plan: its work is"),
    "the plan": (lambda made: _edit(made, plan="0" * 64), "plan: its hash is"),
    "the image": (lambda made: _edit(made, image="other"), "that of the manifest other"),
    "the name": (lambda made: _edit(made, name="other"), "the manifest for other"),
    "the sha256": (lambda made: _edit_result(made, sha256="0" * 64), "recorded"),
    "the size": (lambda made: _edit_result(made, size_b=10**400), "recorded 1000"),
    "the stamp": (lambda made: _edit_result(made, stamp="septum:" + "0" * 64), "is not that of this work"),
    "no stamp recorded": (lambda made: _edit_result(made, stamp=""), "which is not the one recorded"),
    "only what pages show": (lambda made: _edit_result(made, objects={}), "another sha256 or size of septum.json"),
    "called partial": (lambda made: _edit(made, complete=False), "recorded as partial"),
    "an error that was none": (
        lambda made: _edit(made, error=Failure(code="E310", exit_code=39, what="x")),
        "but none is missing",
    ),
    "fewer parts than were run": (lambda made: _edit(made, whole_count=3), "the whole plan has 3"),
    "another command": (lambda made: _edit_plan(made, command=("rm",)), "the fingerprint of part 0000"),
    "another merge": (lambda made: _edit_plan(made, merges=made.plan.merges[::-1]), "plan: its work is"),
    "a plan of another hash": (
        lambda made: _edit_json(made.folder / PLAN, lambda data: data["plan"].update(retries=9)),
        "plan: plan.json was changed after it was made",
    ),
    "a plan that is none": (lambda made: _rewrite(made.folder / PLAN, "[" * 100_000), "plan: "),
    "a plan of wrong types": (_wrong_types, "plan: "),
    "a crate without the manifest": (
        lambda made: _edit_json(
            made.folder / CRATE,
            lambda data: data.update({"@graph": [item for item in data["@graph"] if item["@id"] != NAME]}),
        ),
        "does not speak of septum.json",
    ),
    "a crate with a thing twice": (
        lambda made: _edit_json(made.folder / CRATE, lambda data: data["@graph"].append(data["@graph"][0])),
        "is described twice",
    ),
    "a crate of wrong types": (lambda made: _rewrite(made.folder / CRATE, '{"@graph": [[1]]}'), "cannot be read"),
    "a crate with a size that is none": (
        lambda made: _edit_json(
            made.folder / CRATE,
            lambda data: next(item for item in data["@graph"] if item["@id"] == "h.root").update(contentSize={}),
        ),
        "has another sha256 or size of h.root",
    ),
    "a crate that never ends": (lambda made: _rewrite(made.folder / CRATE, "[" * 100_000), "cannot be read"),
    "a crate of other sums": (
        lambda made: _rewrite(
            made.folder / CRATE,
            (made.folder / CRATE).read_text().replace(made.manifest.results[0].sha256, "0" * 64),
        ),
        "has another sha256 or size of h.root than the manifest",
    ),
    "a crate that leads out": (
        lambda made: _edit_json(
            made.folder / CRATE, lambda data: data["@graph"].append({"@id": "../outputs/x", "@type": "File"})
        ),
        "../outputs/x is not the path of a file",
    ),
    "a kept output": (
        lambda made: (made.folder / "parts" / "0001" / "log.txt").write_text("part 0009\n"),
        "part 0001: log.txt is not the file that was recorded",
    ),
    "a kept output behind a link": (
        lambda made: _link_folder(made.folder / "parts" / "0001", made.root / "elsewhere"),
        "part 0001: log.txt is a link",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_changed_is_found(attack: str, copy: ResultFolder) -> None:
    """Each attack on a whole result, by somebody who edits files; the message says what does not fit."""
    change, expected = ATTACKS[attack]
    change(copy)
    proof = examine(copy.folder)

    assert expected in _wrong(proof)
    assert isinstance(proof.error(strict=False), ProvenanceError)


def _rename_to_whole(made: ResultFolder) -> None:
    made.path().rename(made.folder / "h.root")


def _rename_in_manifest(made: ResultFolder) -> None:
    _rename_to_whole(made)
    _edit_result(made, file="h.root")


def _call_whole(made: ResultFolder) -> None:
    """The part that failed is denied: names, flag, error, lists."""
    for number, result in enumerate(made.manifest.results):
        made.path(number).rename(made.folder / result.name)
        made.change_result(number, file=result.name, missing=())
    lost = [part for part in made.manifest.parts if part.state != "failed"]
    _edit(made, complete=True, error=None, parts=tuple(lost), whole_count=len(lost))
    made.write()


def _call_merged(made: ResultFolder) -> None:
    """The part that failed is said to be in."""
    for number, result in enumerate(made.manifest.results):
        made.path(number).rename(made.folder / result.name)
        made.change_result(number, file=result.name, missing=(), parts=("0000", "0001", "0002", "0003"))
    parts = [replace(part, state="merged", outputs=made.manifest.parts[0].outputs) for part in made.manifest.parts]
    _edit(made, complete=True, error=None, parts=tuple(parts))


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (_rename_to_whole, "h.partial.root: is not there"),
        (_rename_in_manifest, "h.root should stand in h.partial.root"),
        (lambda made: _edit(made, complete=True), "recorded as whole"),
        (lambda made: _edit(made, error=None), "1 part failed, and the manifest knows of no error"),
        (lambda made: _edit_result(made, missing=()), "work: "),
        (_call_whole, "work: "),
        (_call_merged, "is not that of this work and of these 4 parts"),
    ],
)
def test_partial_is_not_called_whole(attack: Attack, expected: str, partial: ResultFolder, tmp_path: Path) -> None:
    """By another name, flag, or list of parts; the stamp inside of the file knows better."""
    made = _copy(partial, tmp_path / "copy")
    attack(made)

    assert expected in _wrong(examine(made.folder))


def test_a_partial_file_under_the_name_of_the_whole(partial: ResultFolder, tmp_path: Path) -> None:
    """Asked for by its new name, it is told its old one."""
    made = _copy(partial, tmp_path / "copy")
    _rename_to_whole(made)

    assert "h.root: was renamed: it is h.partial.root" in _wrong(examine(made.folder / "h.root"))


def test_a_file_of_another_run_beside_a_manifest(copy: ResultFolder) -> None:
    """It is no result of this one."""
    shutil.copy(copy.outputs / "septum-0000.out0", copy.folder / "other.root")

    assert "other.root: is no result of this manifest" in _wrong(examine(copy.folder / "other.root"))


def test_outputs_of_parts_are_compared(copy: ResultFolder) -> None:
    """One that changed, one that is not there, one that is a link; and a folder that is asked for must have them."""
    _flip(copy.outputs / "septum-0001.out0", -1)
    (copy.outputs / "septum-0002.out0").unlink()
    (copy.outputs / "septum-0003.out1").unlink()
    (copy.outputs / "septum-0003.out1").symlink_to("/nowhere")
    wrong = _wrong(examine(copy.folder, parts=copy.outputs))

    assert wrong.splitlines() == [
        "outputs: part 0001: h.root is not the file that was recorded",
        "outputs: part 0002: h.root is not there",
        "outputs: part 0003: g.root is a link, or stands behind one",
    ]


# ── what cannot be checked ──────────────────────────────────────────────────────────────────────────────────────


def test_a_published_result_is_not_checked_and_says_so(copy: ResultFolder) -> None:
    """Its file is elsewhere. With --strict that is an error; and no password of the address is shown."""
    copy.change_result(0, url="https://u:secret@s3.example.org/b/h.root?X-Amz-Signature=1")
    copy.write()
    copy.path().unlink()
    proof = examine(copy.folder)
    copy.change_result(0, url="nonsense:secret")
    copy.write_manifest()

    assert _wrong(proof) == ""
    assert "h.root: was published to https://s3.example.org/b/h.root, and is not here" in _unknown(proof)
    assert proof.error(strict=False) is None
    assert proof.error(strict=True) is not None
    assert "secret" not in _unknown(examine(copy.folder))


def test_a_published_result_that_is_here_is_checked(copy: ResultFolder) -> None:
    """An address in the manifest excuses nothing."""
    copy.change_result(0, url="https://s3.example.org/b/h.root")
    copy.write()
    _flip(copy.path(), -30)

    assert "h.root: " in _wrong(examine(copy.folder))


def test_without_plan_and_crate_less_is_known(copy: ResultFolder) -> None:
    """It is said, and what the stamps bind is checked all the same."""
    (copy.folder / PLAN).unlink()
    (copy.folder / CRATE).unlink()
    proof = examine(copy.folder)

    assert _wrong(proof) == ""
    assert "plan: there is no plan.json" in _unknown(proof)
    assert f"{CRATE}: there is none" in _unknown(proof)
    assert "work" in [check.subject for check in proof.having(Verdict.OK)]


def test_results_without_stamps(copy: ResultFolder) -> None:
    """As of formats that have no place for one: the outputs that they are merged from are found by trying."""
    for number in range(2):
        sources = [copy.outputs / f"septum-{part}.out{number}" for part in copy.manifest.results[number].parts]
        copy.path(number).unlink()
        merge(copy.path(number), sources, "plain")
        size_b, sha256 = measure(copy.path(number))
        copy.change_result(number, size_b=size_b, sha256=sha256, stamp="")
    copy.write()
    proof = examine(copy.folder)
    copy.change(policies={"strings": "first"})
    copy.write_manifest()

    assert _wrong(proof) == ""
    assert _unknown(proof).count("carries no stamp inside, and none is recorded") == 2
    assert "work" in [check.subject for check in proof.having(Verdict.OK)]
    assert "work: " in _wrong(examine(copy.folder))


def test_nothing_to_check_is_a_failure(copy: ResultFolder) -> None:
    """A run that gave nothing proves nothing."""
    error = Failure(code="E301", exit_code=30, what="x")
    parts = tuple(replace(part, state="failed", outputs=()) for part in copy.manifest.parts)
    copy.change(results=(), parts=parts, complete=False, error=error)
    copy.write()
    proof = examine(copy.folder)

    assert _wrong(proof) == "result: there is none to be checked: the run ended with E301"


# ── manifests that cannot be believed at all ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"format": 1}',
        "[" * 200_000,
        '{"format": 2, "septum": 1}',
        "\x00",
    ],
)
def test_a_manifest_that_is_none(text: str, copy: ResultFolder) -> None:
    """One error, and never a traceback."""
    (copy.folder / NAME).write_text(text)

    with pytest.raises(ProvenanceError, match="cannot be read"):
        examine(copy.folder)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), 1),
        (("whole_count",), "4"),
        (("complete",), "yes"),
        (("results", 0, "file"), None),
        (("results", 0, "file"), ["h.root"]),
        (("results", 0, "parts"), "0000"),
        (("results", 0, "sha256"), {}),
        (("results", 0, "url"), 1),
        (("results", 0, "more"), 1),
        (("parts", 0, "id"), 0),
        (("parts", 0, "values"), {"seed": 1}),
        (("parts", 0, "outputs", 0, "size_b"), "12"),
        (("origin",), {"commit": None}),
        (("error",), "E301"),
    ],
)
def test_a_manifest_of_wrong_types(path: tuple[str | int, ...], value: object, copy: ResultFolder) -> None:
    """They are refused as a whole, before a check could stumble over them."""

    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    _edit_json(copy.folder / NAME, change)

    with pytest.raises(ProvenanceError, match="cannot be read"):
        examine(copy.folder)


def test_a_manifest_that_is_a_link(copy: ResultFolder) -> None:
    """It is not that of this folder."""
    (copy.folder / NAME).rename(copy.root / NAME)
    (copy.folder / NAME).symlink_to(copy.root / NAME)

    with pytest.raises(ProvenanceError, match="cannot be read") as caught:
        examine(copy.folder)
    assert "is a link" in str(caught.value)


def test_names_cannot_pretend_to_be_lines(copy: ResultFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """No line break, no control character, no text from right to left reaches the terminal."""
    copy.change_result(0, file="h.root\n  ok           h.root\x1b[2J\u202e", name="x" * 10_000)
    copy.write_manifest()
    code = main(["verify", str(copy.folder)])
    shown = capsys.readouterr().out

    assert code == 45
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert not [line for line in shown.splitlines() if line.strip() == "ok           h.root"]
    assert max(len(line) for line in shown.splitlines()) < 1000


def test_a_manifest_with_very_much_wrong_is_short(copy: ResultFolder) -> None:
    """The first of many is enough, with how many more there are."""
    copy.change(parts=tuple(replace(copy.manifest.parts[0], id=f"{n // 2:05d}") for n in range(2_000)))
    copy.write_manifest()
    proof = examine(copy.folder)

    assert len(proof.checks) < 80
    assert " more" in _wrong(proof)


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command(whole: ResultFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """A line a check, a line in the end, and exit code 0; as JSON, the same."""
    assert main(["verify", str(whole.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main(["verify", str(whole.folder), "--json", "--parts", str(whole.outputs), "--strict"]) == 0
    data = json.loads(capsys.readouterr().out)

    assert lines[0].split()[:2] == ["ok", "septum.json"]
    assert "not checked  outputs" in lines[-2]
    assert lines[-1] == f"dimuon: {len(lines) - 2} of {len(lines) - 1} checks hold, 1 could not be made"
    assert data["holds"] is True
    assert {check["verdict"] for check in data["checks"]} == {"ok"}


def test_the_command_on_a_result_that_was_changed(copy: ResultFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 45, the error with its evidence and a fix, and never a traceback."""
    _flip(copy.path(), -30)
    code = main(["verify", str(copy.folder)])
    shown = capsys.readouterr()

    assert code == 45
    assert "WRONG" in shown.out
    assert "[E405]" in shown.err
    assert "Fix: " in shown.err
    assert "Traceback" not in shown.err


def test_what_does_not_exist(whole: ResultFolder, tmp_path: Path) -> None:
    """No folder, no manifest, no folder of parts: each has its own sentence."""
    (tmp_path / "x.root").write_bytes(b"root")

    expected: list[tuple[type[SeptumError], Path, Path | None]] = [
        (UsageError, tmp_path / "nothing", None),
        (UsageError, whole.folder, tmp_path / "nothing"),
        (ProvenanceError, tmp_path, None),
        (ProvenanceError, tmp_path / "x.root", None),
    ]
    for error, result, parts in expected:
        with pytest.raises(error) as caught:
            examine(result, parts=parts)
        assert caught.value.fix


def test_a_result_that_cannot_be_read(copy: ResultFolder) -> None:
    """It is not the same as one of no bytes, whatever the manifest says."""
    copy.change_result(0, size_b=0, sha256="")
    copy.write_manifest()
    copy.path().chmod(0)
    if os.access(copy.path(), os.R_OK):  # an administrator reads everything
        copy.path().unlink()
        copy.path().mkdir()

    assert "h.root: " in _wrong(examine(copy.folder))

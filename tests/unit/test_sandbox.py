"""What goes to a worker and what comes back."""

from __future__ import annotations

import json
import os
import shlex
import tarfile
from pathlib import Path

import pytest

from septum.errors import StateError
from septum.files import below
from septum.plan import InputFile, Plan
from septum.worker.look import NAME as LOOK
from septum.worker.sandbox import (
    MAX_EXPORTED_B,
    SHARED,
    Delivered,
    log_names,
    output_name,
    own_name,
    parse_status,
    returned_names,
    script_text,
    sent_names,
    status_name,
    values_name,
    values_text,
    write_archive,
)
from tests.fakes.analyses import BASE, plan_of, seeds

GOOD = {
    "format": 1,
    "part": "0007",
    "stage": "done",
    "exit_code": 0,
    "host": "node7",
    "image": "/cvmfs/x",
    "started": 10,
    "ended": 20,
    "outputs": [{"size": 5, "sha256": "0" * 64}, None],
}


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_names_are_septum_s_own_and_differ() -> None:
    """Nothing that a user wrote is in them, and no two are the same, for one part or two."""
    names = [
        name
        for part in ("0001", "0011")
        for name in (
            values_name(part), own_name(part), status_name(part), *log_names(part),
            *(output_name(part, number) for number in range(12)),
        )
    ]  # fmt: skip

    assert len(set(names)) == len(names)
    assert all(name.startswith("septum-") and "/" not in name for name in names)


def test_sent_and_returned(tmp_path: Path) -> None:
    """Archives only where there is something in them; a status and every declared output."""
    (tmp_path / "a.root").write_text("a")
    (tmp_path / "b.root").write_text("b")
    (tmp_path / "run.py").write_text("x")
    bare = plan_of(seeds(1), tmp_path)
    full = plan_of(
        'command: [run]\noutputs: [h.root, log.txt]\nparts: {files: {glob: "*.root"}}\ninputs: [run.py]\n', tmp_path
    )

    assert sent_names(bare, bare.parts[0]) == [values_name("0000"), LOOK]
    assert sent_names(full, full.parts[1]) == [values_name("0001"), SHARED, LOOK, own_name("0001")]
    assert returned_names(full, "0001") == [status_name("0001"), output_name("0001", 0), output_name("0001", 1)]


# ── scripts ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _plan(text: str, root: Path) -> Plan:
    return plan_of(text, root)


def test_every_text_is_quoted(tmp_path: Path) -> None:
    """The file of values is assignments of single words, whatever the texts are."""
    nasty = "a'b\"c$(touch x)`d`\\\n; rm -rf /\r"
    quoted = json.dumps(nasty)
    plan = _plan(
        f'command: [run, {quoted}]\noutputs: ["a\';b.root"]\nparts: {{list: [{{v: {quoted}}}]}}\nmerge: {{}}\n',
        tmp_path,
    )
    words = shlex.split(values_text(plan, plan.parts[0], image="x';y", image_id="sha256:a'b", shared_sha256="abc"))

    assert words == [
        "SEPTUM_SHELL=sh",
        "SEPTUM_IMAGE=x';y",
        "SEPTUM_IMAGE_ID=a'b",
        "SEPTUM_OUTPUTS=1",
        "SEPTUM_OUTPUT_0=a';b.root",
        "SEPTUM_SHARED=abc",
        "SEPTUM_KEEP_B=0",
        "SEPTUM_SCRIPT=" + script_text(plan, plan.parts[0]),
    ]
    assert f"PART_v={nasty}" in shlex.split(script_text(plan, plan.parts[0]))


def test_a_long_value_is_not_exported(tmp_path: Path) -> None:
    """The kernel would refuse to start any program."""
    long = "x" * MAX_EXPORTED_B
    plan = _plan(f"{BASE}parts: {{list: [{{a: {long}, b: {long[1:]}}}]}}\n", tmp_path)
    lines = script_text(plan, plan.parts[0]).splitlines()

    assert [line.split("=")[0] for line in lines if "xxx" in line] == ["PART_a", "export PART_b"]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_command_as_text_stops_at_the_first_error(tmp_path: Path, shell: str) -> None:
    """In bash also within a pipe, and in the set-up lines, too."""
    plan = _plan(f'command: "a | b"\nshell: {shell}\noutputs: [h.root]\nparts: {{list: [{{}}]}}\n', tmp_path)

    lines = script_text(plan, plan.parts[0]).splitlines()

    assert lines[-2:] == ["set -e", "a | b"]
    assert (lines[0] == "set -o pipefail") == (shell == "bash")


# ── archives ────────────────────────────────────────────────────────────────────────────────────────────────────


def _archive(root: Path, target: Path, *, compress: bool) -> Plan:
    root.mkdir(parents=True)
    (root / "lib").mkdir()
    (root / "run.py").write_text("run")
    (root / "run.py").chmod(0o750)
    (root / "lib" / ("ü" * 120 + ".txt")).write_bytes(os.urandom(0) + b"data\0\n")
    (root / "lib/empty").write_text("")
    plan = plan_of(seeds(1, more="inputs: [lib, run.py]\n"), root)
    write_archive(target, below(root), plan.inputs, compress=compress)
    return plan


@pytest.mark.parametrize("compress", [True, False])
def test_archives_are_the_same_to_the_last_byte(tmp_path: Path, *, compress: bool) -> None:
    """Whenever, wherever and in whatever order: no time, no owner, no name of the archive is in them."""
    first, second = tmp_path / "first", tmp_path / "other-name"
    _archive(tmp_path / "one", first, compress=compress)
    plan = _archive(tmp_path / "two", second, compress=compress)
    os.utime(tmp_path / "two/run.py", (1, 1))
    third = tmp_path / "third"
    write_archive(third, below(tmp_path / "two"), reversed(plan.inputs), compress=compress)

    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


@pytest.mark.parametrize("compress", [True, False])
def test_an_archive_holds_the_files(tmp_path: Path, *, compress: bool) -> None:
    """Every byte, and who may run it; no temporary file stays."""
    plan = _archive(tmp_path / "one", tmp_path / "a.tar", compress=compress)
    with tarfile.open(tmp_path / "a.tar") as archive:
        members = {member.name: member for member in archive.getmembers()}
        content = {name: archive.extractfile(member).read() for name, member in members.items()}  # type: ignore[union-attr]

    assert set(members) == {file.path for file in plan.inputs}
    assert content["lib/" + "ü" * 120 + ".txt"] == b"data\0\n"
    assert (members["run.py"].mode, members["lib/empty"].mode) == (0o755, 0o644)
    assert {(member.mtime, member.uid, member.uname) for member in members.values()} == {(0, 0, "")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "one"]


@pytest.mark.parametrize("what", ["changed", "longer", "gone"])
def test_an_input_that_changed_since_the_plan(tmp_path: Path, what: str) -> None:
    """The worker gets what the plan says, or nothing."""
    (tmp_path / "run.py").write_text("run")
    plan = plan_of(seeds(1, more="inputs: [run.py]\n"), tmp_path)
    (tmp_path / "run.py").unlink()
    if what != "gone":
        (tmp_path / "run.py").write_text("ran" if what == "changed" else "running")

    with pytest.raises(StateError, match=r"'run\.py'") as caught:
        write_archive(tmp_path / "a.tar", below(tmp_path), plan.inputs, compress=False)
    assert caught.value.fix
    assert not (tmp_path / "a.tar").exists()


def test_an_archive_of_nothing(tmp_path: Path) -> None:
    """Is still an archive."""
    write_archive(tmp_path / "a.tar", below(tmp_path), list[InputFile](), compress=True)
    with tarfile.open(tmp_path / "a.tar") as archive:
        names = archive.getnames()

    assert names == []


# ── status files ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_status_is_read() -> None:
    """All of it."""
    status = parse_status(json.dumps(GOOD), "0007")

    assert status is not None
    assert (status.stage, status.exit_code, status.host, status.image) == ("done", 0, "node7", "/cvmfs/x")
    assert (status.started_s, status.ended_s, status.image_path) == (10, 20, "")
    assert status.outputs == (Delivered(size_b=5, sha256="0" * 64), None)


def test_a_status_of_a_command_that_did_not_end() -> None:
    """Has no exit code."""
    status = parse_status(json.dumps({**GOOD, "exit_code": None, "stage": "started"}), "0007")

    assert status is not None
    assert status.exit_code is None


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"part": "0008"},
        {"part": 7},
        {"exit_code": "0"},
        {"exit_code": 0.5},
        {"exit_code": 0.0},
        {"exit_code": False},
        {"exit_code": float("inf")},
        {"exit_code": float("nan")},
        {"exit_code": []},
        {"started": None},
        {"ended": "now"},
        {"outputs": None},
        {"outputs": 3},
        {"outputs": "ab"},
        {"outputs": [{}]},
        {"outputs": [{"size": 5}]},
        {"outputs": [{"size": "5", "sha256": "0" * 64}]},
        {"outputs": [{"size": 0, "sha256": ""}]},
        {"outputs": [{"size": 5, "sha256": "0" * 63}]},
        {"outputs": [{"size": 5, "sha256": "G" * 64}]},
        {"outputs": [{"size": 5, "sha256": "0" * 64 + "\n"}]},
        {"outputs": [{"size": 5, "sha256": None}]},
        {"outputs": [["size", "sha256"]]},
    ],
    ids=str,
)
def test_a_status_that_is_not_quite_one_is_none(changes: dict[str, object]) -> None:
    """Nothing is guessed: half an exit code is no success, and an empty checksum is no file."""
    assert parse_status(json.dumps({**GOOD, **changes}), "0007") is None


@pytest.mark.parametrize("key", GOOD)
def test_a_status_without_a_key_is_none(key: str) -> None:
    """An old wrapper, or a disk that was full."""
    data = {name: value for name, value in GOOD.items() if name != key}

    assert parse_status(json.dumps(data), "0007") is None


@pytest.mark.parametrize(
    ("times", "cpu_s"),
    [
        ("0m0.00s 0m0.00s", 0.0),
        ("0m1.25s 0m0.50s", 1.75),
        ("2m3.004s 10m0.996s", 724.0),
        ("0m1s 0m2s", 3.0),
        ("999999m59.99s 0m0.01s", 60_000_000.0),
        ("", None),
        (None, None),
        (17, None),
        ("0m1.25s", None),
        ("0m1,25s 0m0,50s", None),
        ("0m1.25s 0m0.50s\n", None),
        ("0m-1s 0m0s", None),
        ("0m1e9s 0m0s", None),
        ("0minfs 0mnans", None),
        ("9" * 50 + "m0s 0m0s", None),
        ("0m1.25s 0m0.50s 0m0.00s", None),
        (["0m1.25s 0m0.50s"], None),
    ],
    ids=str,
)
def test_cpu_time_of_a_status(times: object, cpu_s: float | None) -> None:
    """As shells write it, user and system added; anything else is not known, and does not cost the part."""
    status = parse_status(json.dumps({**GOOD, "times": times}), "0007")

    assert status is not None
    assert status.cpu_s == cpu_s


def test_a_status_of_a_wrapper_that_did_not_measure() -> None:
    """No time is not no status: a job may run for days while septum is renewed."""
    status = parse_status(json.dumps(GOOD), "0007")

    assert status is not None
    assert status.cpu_s is None


def test_content_that_the_worker_read() -> None:
    """Of each output its own; none where the worker could not read it, or wrote what is no hash."""
    first, second = {"size": 5, "sha256": "0" * 64, "content": "c" * 64}, {"size": 6, "sha256": "1" * 64, "content": ""}
    status = parse_status(json.dumps({**GOOD, "outputs": [first, second]}), "0007")

    assert status is not None
    assert [one.content for one in status.outputs if one is not None] == ["c" * 64, ""]
    for wrong in ("c" * 63, "c" * 65, "x" * 64, "C" * 64, "c" * 64 + "\n", "", 7, None, ["c" * 64]):
        status = parse_status(json.dumps({**GOOD, "outputs": [{**first, "content": wrong}]}), "0007")
        assert status is not None
        assert status.outputs == (Delivered(size_b=5, sha256="0" * 64),)


@pytest.mark.parametrize(
    "text", ["", "\0" * 50, "{", "null", "[]", "7", '"done"', "<html>503</html>", "[" * 100_000, "{}{}", "NaN"]
)
def test_garbage_is_no_status(text: str) -> None:
    """And no traceback."""
    assert parse_status(text, "0007") is None


def test_a_status_that_was_cut_off_is_none() -> None:
    """Wherever."""
    text = json.dumps(GOOD)

    assert [parse_status(text[:end], "0007") for end in range(len(text))] == [None] * len(text)

"""From `septum.yaml` and files to a plan."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import pytest

from septum import planning
from septum.assembly import choose
from septum.errors import PlanError
from septum.plan import Plan, Value, all_values
from tests.fakes.analyses import BASE, plan_of, seeds
from tests.fakes.rootfiles import write_root


def _files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def _values(plan: Plan) -> list[dict[str, Value]]:
    return [dict(part.values) for part in plan.parts]


def _refused(text: str, root: Path) -> str:
    with pytest.raises(PlanError) as caught:
        plan_of(text, root)

    assert caught.value.fix
    assert caught.value.exit_code == 2
    return str(caught.value)


# ── the five ways ───────────────────────────────────────────────────────────────────────────────────────────────


def test_list(tmp_path: Path) -> None:
    """One mapping a part, in order."""
    plan = plan_of(BASE + "parts: {list: [{a: 2, b: x}, {a: 1, b: x}]}\n", tmp_path)

    assert _values(plan) == [{"a": "2", "b": "x"}, {"a": "1", "b": "x"}]
    assert [part.id for part in plan.parts] == ["0000", "0001"]
    assert [part.index for part in plan.parts] == [0, 1]


def test_product(tmp_path: Path) -> None:
    """Every combination; the last name changes fastest, and a range holds its last number."""
    plan = plan_of(BASE + "parts: {product: {s: [b, a], n: {first: 1, last: 6, step: 2}}}\n", tmp_path)

    assert [(values["s"], values["n"]) for values in _values(plan)] == [
        ("b", "1"), ("b", "3"), ("b", "5"), ("a", "1"), ("a", "3"), ("a", "5"),
    ]  # fmt: skip


def test_files_by_pattern(tmp_path: Path) -> None:
    """Sorted, so many in each part, the last part with fewer; each travels only to its part."""
    _files(tmp_path, *(f"data/{name}.root" for name in "edcba"), "data/x.txt", "data/sub/f.root")
    plan = plan_of(BASE + 'parts: {files: {glob: "data/*.root", per-part: 2}}\n', tmp_path)

    assert [values["files"] for values in _values(plan)] == [
        ("data/a.root", "data/b.root"), ("data/c.root", "data/d.root"), ("data/e.root",),
    ]  # fmt: skip
    assert [[file.path for file in part.inputs] for part in plan.parts] == [
        ["data/a.root", "data/b.root"], ["data/c.root", "data/d.root"], ["data/e.root"],
    ]  # fmt: skip
    assert plan.inputs == ()


def test_files_in_folders(tmp_path: Path) -> None:
    """`**` reaches every depth."""
    _files(tmp_path, "d/1.root", "d/a/2.root", "d/a/b/3.root")
    plan = plan_of(BASE + 'parts: {files: {glob: "d/**/*.root", per-part: 9}}\n', tmp_path)

    assert _values(plan) == [{"files": ("d/1.root", "d/a/2.root", "d/a/b/3.root")}]


def test_files_by_list(tmp_path: Path) -> None:
    """In the order of the list; URLs and absolute paths are for the worker and do not travel."""
    _files(tmp_path, "b.root", "a b.root")
    (tmp_path / "files.txt").write_text("# mine\n\n b.root \r\nroot://eos.example.org//x.root\n/eos/y.root\na b.root\n")
    plan = plan_of(BASE + "parts: {files: {list: files.txt}}\n", tmp_path)

    assert [values["files"] for values in _values(plan)] == [
        ("b.root",), ("root://eos.example.org//x.root",), ("/eos/y.root",), ("a b.root",),
    ]  # fmt: skip
    assert [[file.path for file in part.inputs] for part in plan.parts] == [["b.root"], [], [], ["a b.root"]]


def test_a_list_keeps_what_only_looks_like_a_line_end(tmp_path: Path) -> None:
    """A form feed or a line separator is part of a name."""
    (tmp_path / "files.txt").write_text("root://h//a\x0cb.root\nroot://h//c\u2028d.root\n", encoding="utf-8")
    plan = plan_of(BASE + "parts: {files: {list: files.txt}}\n", tmp_path)

    assert [values["files"] for values in _values(plan)] == [("root://h//a\x0cb.root",), ("root://h//c\u2028d.root",)]


@pytest.mark.parametrize("how", ["per-part: 4", "parts: 3"])
def test_entries_are_divided_without_gap_and_overlap(tmp_path: Path, how: str) -> None:
    """Every entry is in exactly one part."""
    plan = plan_of(f"{BASE}parts: {{entries: {{total: 11, {how}}}}}\n", tmp_path)
    entries = [
        entry for values in _values(plan) for entry in range(int(str(values["first"])), int(str(values["last"])) + 1)
    ]

    assert entries == list(range(11))
    assert [int(str(values["count"])) for values in _values(plan)] in ([4, 4, 3], [3, 4, 4])
    assert "file" not in _values(plan)[0]


@pytest.mark.parametrize(("total", "parts"), [(1, 1), (2, 5), (7, 7), (411, 100), (10**9, 3)])
def test_any_number_of_parts_covers_all_entries(tmp_path: Path, total: int, parts: int) -> None:
    """Also when there are more parts than entries."""
    values = _values(plan_of(f"{BASE}parts: {{entries: {{total: {total}, parts: {parts}}}}}\n", tmp_path))
    edges = [(int(str(one["first"])), int(str(one["last"]))) for one in values]

    assert edges[0][0] == 0
    assert edges[-1][1] == total - 1
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(edges))
    assert len(edges) == min(total, parts)


def test_entries_of_a_file_are_counted(tmp_path: Path) -> None:
    """The file travels to every part, so it is shared; a colon in its name is part of it."""
    write_root(tmp_path / "a:b.root", trees={"Events": 25})
    plan = plan_of(BASE + 'parts: {entries: {file: "a:b.root", tree: Events, per-part: 10}}\n', tmp_path)

    assert [(one["file"], one["first"], one["last"]) for one in _values(plan)] == [
        ("a:b.root", "0", "9"), ("a:b.root", "10", "19"), ("a:b.root", "20", "24"),
    ]  # fmt: skip
    assert [file.path for file in plan.inputs] == ["a:b.root"]
    assert plan.parts[0].inputs == ()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{file: no.root, tree: Events, parts: 2}", "cannot be counted"),
        ("{file: ok.root, tree: Evts, parts: 2}", "cannot be counted"),
        ("{file: bad.root, tree: Events, parts: 2}", "cannot be counted"),
        ("{file: empty.root, tree: Events, parts: 2}", "has no entries"),
    ],
)
def test_entries_that_cannot_be_counted(tmp_path: Path, spec: str, words: str) -> None:
    """No plan without its denominator."""
    write_root(tmp_path / "ok.root", trees={"Events": 2})
    write_root(tmp_path / "empty.root", trees={"Events": 0})
    (tmp_path / "bad.root").write_text("<html>")

    assert words in _refused(f"{BASE}parts: {{entries: {spec}}}\n", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("t.csv", "a,b\n1,2\n3,4\n", [("1", "2"), ("3", "4")]),
        ("t.csv", "\ufeffa,b\r\n1,2\r\n", [("1", "2")]),
        ("t.csv", 'a , b\n"x, y","say ""hi"""\n', [("x, y", 'say "hi"')]),
        ("t.csv", 'a,b\n"1\n2","3\r\n4"\n', [("1\n2", "3\r\n4")]),
        ("t.csv", 'a,b\n"1\r2",\n', [("1\r2", "")]),
        ("t.csv", "a,b\n\n 1 ,2\n\n", [(" 1 ", "2")]),
        ("t.tsv", "a\tb\n1,5\tx y\n", [("1,5", "x y")]),
        ("t.csv", "a,b\nü€,$x\n", [("ü€", "$x")]),
    ],
)
def test_table(tmp_path: Path, name: str, content: str, rows: list[tuple[str, str]]) -> None:
    """A field is what stands between the commas or the quotes, to the last byte."""
    (tmp_path / name).write_bytes(content.encode())
    plan = plan_of(f"{BASE}parts: {{table: {name}}}\n", tmp_path)

    assert [(values["a"], values["b"]) for values in _values(plan)] == rows


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no rows"),
        (b"a,b\n", "has no rows"),
        (b"a,b\n1\n", "t.csv:2: 1 fields, the header has 2"),
        (b"a,b\n1,2\n1,2,3\n", "t.csv:3: 3 fields"),
        (b"a,a\n1,2\n", "'a' cannot name a value"),
        (b"a,\n1,2\n", "'' cannot name a value"),
        (b"a-b,c\n1,2\n", "'a-b' cannot name a value"),
        (b"part,c\n1,2\n", "'part' cannot name a value"),
        (b'a,b\n"1,2\n', "check the quotes"),
        (b'a,b\n"1"2,3\n', "check the quotes"),
        (b"a,b\n\xff,2\n", "cannot be read"),
        (b"a,b\n1\x00,2\n", "NUL"),
        (b"a,b\n1,2\n1,2\n", "counted twice"),
    ],
)
def test_a_bad_table(tmp_path: Path, content: bytes, words: str) -> None:
    """No row is skipped or filled up without a word."""
    (tmp_path / "t.csv").write_bytes(content)

    assert words in _refused(BASE + "parts: {table: t.csv}\n", tmp_path)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    """Its name is in the message."""
    assert "'t.csv' cannot be read" in _refused(BASE + "parts: {table: t.csv}\n", tmp_path)


def test_blocks_follow_each_other_with_their_constants(tmp_path: Path) -> None:
    """Two blocks, one plan, and `set` tells them apart."""
    _files(tmp_path, "dy/1.root", "dy/2.root", "tt/1.root")
    plan = plan_of(
        BASE + "parts:\n"
        '  - {files: {glob: "dy/*.root"}, set: {sample: DY}}\n'
        '  - {files: {glob: "tt/*.root"}, set: {sample: TT}}\n',
        tmp_path,
    )

    assert [(values["sample"], values["files"]) for values in _values(plan)] == [
        ("DY", ("dy/1.root",)), ("DY", ("dy/2.root",)), ("TT", ("tt/1.root",)),
    ]  # fmt: skip


# ── what makes no plan ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ("{list: [{a: 1}, {a: 2}, {a: 1}]}", "part 0002 have the same values"),
        ("[{list: [{a: 1}]}, {list: [{a: 1}]}]", "counted twice"),
        ("{list: [{}, {}]}", "counted twice"),
        ("{product: {a: [x, x]}}", "counted twice"),
        ("[{list: [{a: 1}]}, {list: [{b: 1}]}]", "different values"),
        ("{list: [{a: 1}, {a: 1, b: 2}]}", "only one of them has b"),
        ("{list: [{a: 1}], set: {a: 2}}", "by the parts and by 'set'"),
        ("{product: {a: []}}", "is empty"),
        ('{files: {glob: "data/*.root"}}', "no file matches 'data/*.root'"),
        ('{files: {glob: "nowhere/*.root"}}', "there is no folder nowhere"),
        ("{files: {list: none.txt}}", "cannot be read"),
        ("{files: {list: empty.txt}}", "lists no files"),
        ("{files: {list: missing.txt}}", "'gone.root', listed in missing.txt, does not exist"),
        ("{files: {list: twice.txt}}", "listed more than once"),
        ("{files: {list: spelled.txt}}", "listed more than once"),
        ("{files: {list: above.txt}}", "does not exist"),
    ],
)
def test_no_plan(tmp_path: Path, parts: str, words: str) -> None:
    """Nothing is left out, nothing is counted twice."""
    _files(tmp_path, "data/x.txt", "a.root")
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    (tmp_path / "missing.txt").write_text("a.root\ngone.root\n")
    (tmp_path / "twice.txt").write_text("/eos/a.root\n/eos/b.root\n/eos/a.root\n")
    (tmp_path / "spelled.txt").write_text("a.root\n./a.root\n")
    (tmp_path / "above.txt").write_text("../nothing-here.root\n")

    assert words in _refused(f"{BASE}parts: {parts}\n", tmp_path)


def test_what_the_folder_holds_instead(tmp_path: Path) -> None:
    """A typing error in an ending is seen at once."""
    _files(tmp_path, "data/a.txt", "data/b.txt", "other.txt")

    assert "the folder holds: a.txt, b.txt" in _refused(BASE + 'parts: {files: {glob: "data/*.root"}}\n', tmp_path)


@pytest.mark.parametrize("second", ['"data/*.root", per-part: 2', '"data/c.root", per-part: 1'])
def test_overlapping_blocks_are_refused(tmp_path: Path, second: str) -> None:
    """A file in two parts that differ in nothing else would be in the result twice."""
    _files(tmp_path, "data/a.root", "data/b.root", "data/c.root")
    text = f'{BASE}parts: [{{files: {{glob: "data/*.root", per-part: 3}}}}, {{files: {{glob: {second}}}}}]\n'

    assert "would be counted twice" in _refused(text, tmp_path)


def test_the_same_files_may_be_read_in_two_ways(tmp_path: Path) -> None:
    """Variations read the same events, and `set` says so."""
    _files(tmp_path, "a.root", "b.root")
    plan = plan_of(
        BASE + "parts:\n"
        '  - {files: {glob: "*.root"}, set: {shift: up}}\n'
        '  - {files: {glob: "*.root"}, set: {shift: down}}\n',
        tmp_path,
    )

    assert len(plan.parts) == 4


@pytest.mark.parametrize(
    "parts",
    [
        "{entries: {total: 100000000000, per-part: 1}}",
        "{product: {a: {first: 0, last: 100000000000}}}",
        "{product: {a: {first: 0, last: 99999}, b: {first: 0, last: 99999}}}",
    ],
)
def test_too_many_parts_end_soon(tmp_path: Path, parts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zero too many does not fill the memory."""
    monkeypatch.setattr(planning, "MAX_PARTS", 1000)

    assert "more than 1000" in _refused(f"{BASE}parts: {parts}\n", tmp_path)


@pytest.mark.parametrize("image", ["x\nqueue 9", "x\r", "x\0", "a\x1b[2J"])
def test_an_image_from_outside_is_one_line(tmp_path: Path, image: str) -> None:
    """The command line and a variable bring it past the check of septum.yaml."""
    with pytest.raises(PlanError, match="is not the name of an image"):
        plan_of(seeds(1), tmp_path, image=image)


# ── commands ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('[run, "{sed}"]', "{sed} names no value of the parts"),
        ('[run, "--files={files}"]', "word of its own"),
        ('"run {seed}"', '"$PART_seed"'),
        ('"run --part {part}"', '"$PART_part"'),
    ],
)
def test_a_command_that_cannot_be_filled(tmp_path: Path, command: str, words: str) -> None:
    """Before anything is submitted."""
    _files(tmp_path, "a.root")
    text = f'command: {command}\noutputs: [h.root]\nparts: {{files: {{glob: "*.root"}}, set: {{seed: 1}}}}\n'

    assert words in _refused(text, tmp_path)


@pytest.mark.parametrize("command", ['"run $PART_seed ${PART_seed} ${seed} {x} {}"', '[run, "{part}", "{{seed}}"]'])
def test_a_command_that_can_be_filled(tmp_path: Path, command: str) -> None:
    """Braces of the shell are the shell's."""
    text = f"command: {command}\noutputs: [h.root]\nparts: {{list: [{{seed: 1}}]}}\n"

    assert len(plan_of(text, tmp_path).parts) == 1


# ── inputs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_inputs_are_described(tmp_path: Path) -> None:
    """Path, size, checksum, and whether it can be run."""
    _files(tmp_path, "run.py", "lib/a.py", "lib/.hidden", "lib/deep/b.py")
    (tmp_path / "run.py").chmod(0o755)
    plan = plan_of(seeds(2, more="inputs: [run.py, lib]\n"), tmp_path)

    assert [file.path for file in plan.inputs] == ["lib/.hidden", "lib/a.py", "lib/deep/b.py", "run.py"]
    assert [file.executable for file in plan.inputs] == [False, False, False, True]
    assert plan.inputs[1].sha256 == hashlib.sha256(b"lib/a.py").hexdigest()
    assert plan.inputs[1].size_b == 8


@pytest.mark.parametrize("pattern", ["lib", "lib/", "./lib", "lib/**", "lib/*", "lib//", "[l]ib"], ids=repr)
def test_a_folder_is_a_folder_however_it_is_written(tmp_path: Path, pattern: str) -> None:
    """One spelling a file."""
    _files(tmp_path, "lib/a.py", "lib/deep/b.py")
    plan = plan_of(seeds(1, more=f'inputs: ["{pattern}"]\n'), tmp_path)

    assert [file.path for file in plan.inputs] == ["lib/a.py", "lib/deep/b.py"]


def test_a_file_with_a_difficult_name(tmp_path: Path) -> None:
    """Unicode, spaces, a leading dash."""
    _files(tmp_path, "-x ü.py")
    plan = plan_of(seeds(1, more='inputs: ["-x ü.py"]\n'), tmp_path)

    assert [file.path for file in plan.inputs] == ["-x ü.py"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("[nothing.py]", "no file matches 'nothing.py'"),
        ('["*.nothing"]', "no file matches"),
        ("[/etc/hostname]", "outside the repository"),
        ("[../x]", "outside the repository"),
        ("[link-out]", "leads outside the repository"),
        ("[folder-out]", "leads outside the repository"),
        ("[broken]", "is a link to a file that is not there"),
        ("[lib]", "'lib/broken' is a link to a file that is not there"),
    ],
)
def test_inputs_that_cannot_travel(tmp_path: Path, inputs: str, words: str) -> None:
    """A link to nowhere is a file that somebody wanted to be there."""
    root = tmp_path / "repository"
    _files(root, "lib/a.py")
    _files(tmp_path, "outside/secret.txt")
    (root / "link-out").symlink_to(tmp_path / "outside/secret.txt")
    (root / "folder-out").symlink_to(tmp_path / "outside")
    (root / "broken").symlink_to("nowhere")
    (root / "lib/broken").symlink_to("nowhere")

    assert words in _refused(seeds(1, more=f"inputs: {inputs}\n"), root)


def test_links_inside_travel_as_files(tmp_path: Path) -> None:
    """Also a link to a folder, and a folder that links to itself ends."""
    _files(tmp_path, "common/c.py", "lib/a.py")
    (tmp_path / "lib/common").symlink_to("../common")
    (tmp_path / "lib/again").symlink_to("../lib")
    (tmp_path / "lib/b.py").symlink_to("a.py")
    plan = plan_of(seeds(1, more="inputs: [lib]\n"), tmp_path)

    assert [file.path for file in plan.inputs] == ["lib/a.py", "lib/b.py", "lib/common/c.py"]


@pytest.mark.parametrize("pattern", ["data/*.root", "data/*"])
def test_a_broken_link_among_the_data_is_not_skipped(tmp_path: Path, pattern: str) -> None:
    """Data whose file system is not mounted would be missing from the result."""
    _files(tmp_path, "data/a.root")
    (tmp_path / "data/b.root").symlink_to("/nowhere/b.root")

    assert "'data/b.root' is a link to a file" in _refused(f'{BASE}parts: {{files: {{glob: "{pattern}"}}}}\n', tmp_path)


def test_data_that_leads_outside_the_repository(tmp_path: Path) -> None:
    """It would travel, and nobody checked that it may."""
    root = _files(tmp_path / "repository", "data/a.root")
    _files(tmp_path, "b.root")
    (root / "data/b.root").symlink_to(tmp_path / "b.root")

    assert "leads outside the repository" in _refused(BASE + 'parts: {files: {glob: "data/*.root"}}\n', root)


def test_absolute_patterns_are_for_the_worker(tmp_path: Path) -> None:
    """Their files are listed here and do not travel; names of septum's own folders mean nothing there."""
    root = _files(tmp_path / "repository", "x")
    data = _files(tmp_path / ".venv" / "result", "b.root", "a.root")
    plan = plan_of(f'{BASE}parts: {{files: {{glob: "{data}/*.root"}}}}\n', root, leave_out=["result"])

    assert [values["files"] for values in _values(plan)] == [(f"{data}/a.root",), (f"{data}/b.root",)]
    assert all(part.inputs == () for part in plan.parts)


def test_own_folders_are_no_inputs(tmp_path: Path) -> None:
    """What septum, git and Python write would change the plan from run to run."""
    _files(
        tmp_path, "a.py", ".git/config", ".septum/plan.json", "lib/__pycache__/a.pyc", ".venv/x", "result/all.root",
        "state/here/plan.json", "state/mine.py", "lib/b.py",
    )  # fmt: skip
    plan = plan_of(seeds(1, more='inputs: ["."]\n'), tmp_path, leave_out=["result", "state/here"])

    assert [file.path for file in plan.inputs] == ["a.py", "lib/b.py", "state/mine.py"]


def test_folders_that_only_share_a_name_stay(tmp_path: Path) -> None:
    """Data in a folder called `result` somewhere below is data."""
    _files(tmp_path, "data/result/a.root", "data/x/a.root", "result/old.root")
    plan = plan_of(BASE + 'parts: {files: {glob: "*/*/*.root"}}\n', tmp_path, leave_out=["result"])

    assert [values["files"] for values in _values(plan)] == [("data/result/a.root",), ("data/x/a.root",)]


def test_what_every_part_names_travels_once(tmp_path: Path) -> None:
    """A file that is an input and a part's own is in one archive only."""
    _files(tmp_path, "a.root", "b.root")
    plan = plan_of(BASE + 'parts: {files: {glob: "*.root"}}\ninputs: [a.root]\n', tmp_path)

    assert [file.path for file in plan.inputs] == ["a.root"]
    assert [[file.path for file in part.inputs] for part in plan.parts] == [[], ["b.root"]]


@pytest.mark.parametrize("inputs", ['["."]', "[h.root]", '["*.root"]'])
def test_an_output_must_not_be_an_input(tmp_path: Path, inputs: str) -> None:
    """A part that writes nothing would bring back yesterday's file, and look good."""
    _files(tmp_path, "h.root", "run.py")

    assert "'h.root' is among the inputs" in _refused(seeds(1, more=f"inputs: {inputs}\n"), tmp_path)


def test_a_part_s_own_file_must_not_be_an_output(tmp_path: Path) -> None:
    """The same for the data of a part."""
    _files(tmp_path, "h.root", "g.root")

    assert "'h.root' is among the inputs" in _refused(BASE + 'parts: {files: {glob: "*.root"}}\n', tmp_path)


def test_a_file_name_that_is_not_utf_8(tmp_path: Path) -> None:
    """It could not be written into the plan."""
    name = os.fsdecode(b"data-\xff.root")
    try:
        (tmp_path / name).write_text("x")
    except OSError:
        pytest.skip("this file system takes no such name")

    assert "UTF-8" in _refused(BASE + 'parts: {files: {glob: "*.root"}}\n', tmp_path)
    assert "UTF-8" in _refused(seeds(1, more='inputs: ["*.root"]\n'), tmp_path)


# ── the hash ────────────────────────────────────────────────────────────────────────────────────────────────────

_HASHED = (
    'command: [run, "{seed}"]\noutputs: [h.root]\nparts: {product: {seed: [1, 2]}}\ninputs: [a.py, b.py]\n'
    "environment: {X: 1, Y: 2}\nsetup: [source x]\n"
)


def test_the_same_files_give_the_same_plan(tmp_path: Path) -> None:
    """Whatever the folder is called, whenever they were written, in whatever order."""
    one, two = tmp_path / "one", tmp_path / "two"
    _files(one, "a.py", "b.py")
    _files(two, "b.py", "a.py")
    os.utime(two / "a.py", (1, 1))
    first, second = plan_of(_HASHED, one), plan_of(_HASHED.replace("X: 1, Y: 2", "Y: 2, X: 1"), two)

    assert first == second
    assert first.hash == second.hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[1, 2]", "[2, 1]"),
        ("[1, 2]", "[1, 3]"),
        ("run", "walk"),
        ("X: 1", "X: 3"),
        ("source x", "source y"),
        ("h.root", "g.root"),
        ("[a.py, b.py]", "[a.py]"),
    ],
)
def test_another_analysis_has_another_hash(tmp_path: Path, old: str, new: str) -> None:
    """Everything that decides what is computed decides the hash, the order of the parts too."""
    _files(tmp_path, "a.py", "b.py")

    assert plan_of(_HASHED, tmp_path).hash != plan_of(_HASHED.replace(old, new), tmp_path).hash


def test_a_changed_input_changes_plan_and_fingerprints(tmp_path: Path) -> None:
    """One byte of one file; a bit that lets it run, too."""
    _files(tmp_path, "a.py", "b.py")
    before = plan_of(_HASHED, tmp_path)
    (tmp_path / "a.py").write_text("a.pz")
    after = plan_of(_HASHED, tmp_path)
    (tmp_path / "a.py").chmod(0o755)
    last = plan_of(_HASHED, tmp_path)

    assert len({before.hash, after.hash, last.hash}) == 3
    assert len({plan.parts[0].fingerprint for plan in (before, after, last)}) == 3


def test_fingerprints_are_of_the_part_alone(tmp_path: Path) -> None:
    """A part that is the same in a longer plan keeps its fingerprint; a changed own file changes one."""
    _files(tmp_path, "d/a.root", "d/b.root")
    text = BASE + 'parts: {files: {glob: "d/*.root"}}\n'
    before = plan_of(text, tmp_path)
    _files(tmp_path, "d/c.root")
    (tmp_path / "d/b.root").write_text("other")
    after = plan_of(text, tmp_path)

    assert before.parts[0].fingerprint == after.parts[0].fingerprint
    assert before.parts[1].fingerprint != after.parts[1].fingerprint


def test_the_image_of_the_command_line_wins(tmp_path: Path) -> None:
    """And it is part of what is computed."""
    text = seeds(1, more="image: a:1\n")

    assert plan_of(text, tmp_path, image="b:2").image == "b:2"
    assert plan_of(text, tmp_path).parts[0].fingerprint != plan_of(text, tmp_path, image="b:2").parts[0].fingerprint


# ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_placeholder_groups_the_parts(tmp_path: Path) -> None:
    """Every part is in exactly one group, in the order of the plan."""
    text = BASE + 'parts: {product: {n: [1, 2], s: [DY, TT]}}\nmerge: {"all/{s}.root": h.root, sum.root: h.root}\n'
    plan = plan_of(text, tmp_path)

    assert [(merge.result, merge.output, merge.parts) for merge in plan.merges] == [
        ("all/DY.root", 0, ("0000", "0002")),
        ("all/TT.root", 0, ("0001", "0003")),
        ("sum.root", 0, ("0000", "0001", "0002", "0003")),
    ]


def test_outputs_merge_under_their_own_names(tmp_path: Path) -> None:
    """Without `merge:`, each ROOT output gives a result."""
    plan = plan_of("command: [run]\noutputs: [a.root, x.txt, b.root]\nparts: {list: [{n: 1}]}\n", tmp_path)

    assert [(merge.result, merge.output) for merge in plan.merges] == [("a.root", 0), ("b.root", 2)]


@pytest.mark.parametrize(
    ("merge", "words"),
    [
        ('{"{t}.root": h.root}', "{t} names no value"),
        ('{"{part}.root": h.root}', "{part} names no value"),
        ('{"{files}.root": h.root}', "one text"),
        ('{"{s}.root": h.root, a.root: h.root}', "two entries give the result 'a.root'"),
        ('{"{bad}.root": h.root}', "would make a result named '../x.root'"),
        ('{"{space}.root": h.root}', "would make a result named 'a b.root'"),
        ('{"{hidden}.root": h.root}', "letters, digits"),
        ('{"{line}.root": h.root}', "letters, digits"),
        ('{"{empty}/x.root": h.root}', "letters, digits"),
    ],
)
def test_groups_that_make_no_results(tmp_path: Path, merge: str, words: str) -> None:
    """A value cannot lead a result out of its folder, and no two results share a name."""
    _files(tmp_path, "d.root")
    text = (
        BASE + 'parts: {files: {glob: "d.root"}, set: {s: a, bad: ../x, space: a b, hidden: .a, '
        f'line: "a\\nb", empty: ""}}}}\nmerge: {merge}\n'
    )

    assert words in _refused(text, tmp_path)


# ── a few parts only ────────────────────────────────────────────────────────────────────────────────────────────


def test_choose(tmp_path: Path) -> None:
    """Ids and fingerprints stay, results without parts go, the hash is another, and the plan knows what it is."""
    plan = plan_of(BASE + 'parts: {list: [{s: a}, {s: b}, {s: c}]}\nmerge: {"{s}.root": h.root}\n', tmp_path)
    some = choose(plan, "0002, 0000")

    assert [part.id for part in some.parts] == ["0000", "0002"]
    assert [merge.result for merge in some.merges] == ["a.root", "c.root"]
    assert some.parts[1] == plan.parts[2]
    assert some.hash != plan.hash
    assert (plan.whole_count, some.whole_count) == (None, 3)
    assert all_values(some, some.parts[0])["parts"] == "3"


@pytest.mark.parametrize(("text", "ids"), [("1", ["0000"]), ("2", ["0000", "0001"]), ("9", ["0000", "0001"])])
def test_choose_a_number(tmp_path: Path, text: str, ids: list[str]) -> None:
    """A short number is a count, from the first part on; all parts are the whole plan."""
    some = choose(plan_of(seeds(2), tmp_path), text)

    assert [part.id for part in some.parts] == ids
    assert (some.whole_count is None) == (len(ids) == 2)


@pytest.mark.parametrize("text", ["0000,7", "7,", "0009", "x", "0", "", ","])
def test_choose_refuses_what_is_no_part(tmp_path: Path, text: str) -> None:
    """A typing error is no empty plan."""
    with pytest.raises(PlanError, match="parts: ") as caught:
        choose(plan_of(seeds(2), tmp_path), text)
    assert caught.value.fix


@pytest.mark.parametrize(
    "blocks",
    [
        '[{files: {glob: "dt/*.root"}}, {files: {glob: "./dt/*.root"}}]',
        '[{files: {glob: "dt/*.root"}}, {files: {glob: "link/*.root"}}]',
        '[{files: {glob: "*/f.root"}}]',
        '[{files: {glob: "*/f.root", per-part: 9}}]',
    ],
)
def test_one_file_under_two_names_is_one_file(tmp_path: Path, blocks: str) -> None:
    """Another spelling and a link lead to the same events."""
    (tmp_path / "dt").mkdir()
    (tmp_path / "dt" / "f.root").write_text("events")
    (tmp_path / "link").symlink_to("dt")

    with pytest.raises(PlanError, match="counted twice") as caught:
        plan_of(f"{BASE}parts: {blocks}\n", tmp_path)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("other", "overlap"),
    [
        ("{total: 60, per-part: 40}, set: {s: a}", True),
        ("{total: 60, parts: 1}, set: {s: a}", True),
        ("{total: 60, per-part: 40}, set: {s: b}", False),
    ],
)
def test_ranges_of_entries_must_not_overlap(tmp_path: Path, other: str, overlap: bool) -> None:  # noqa: FBT001
    """Two blocks over the same events would count them twice, unless a value tells them apart."""
    one = "{entries: {total: 100, per-part: 50}, set: {s: a}}"
    text = f"{BASE}parts: [{one}, {{entries: {other}}}]\n"

    if overlap:
        with pytest.raises(PlanError, match="overlap"):
            plan_of(text, tmp_path)
    else:
        assert len(plan_of(text, tmp_path).parts) == 4


def test_a_partial_result_has_a_name_of_its_own(tmp_path: Path) -> None:
    """`x.partial.root` cannot be a group beside `x.root`."""
    text = BASE + 'parts: {list: [{s: x}, {s: x.partial}]}\nmerge: {"{s}.root": h.root}\n'

    with pytest.raises(PlanError, match="partial"):
        plan_of(text, tmp_path)

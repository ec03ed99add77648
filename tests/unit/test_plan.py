"""The plan as a value: its text, its hash, its placeholders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from septum.errors import StateError
from septum.plan import Compare, Plan, Publish, Value, argv, fill, from_json, part_id, to_json
from tests.fakes.analyses import BASE, plan_of, seeds

NASTY = "a b'c\"d$e`f\\g\nü€\U0001f600\t\r"
TEXT = f"""
name: dimuon
shell: bash
setup: [source setup.sh]
command: [python3, run.py, "{{seed}}", "x{{{{y}}}}", "{{files}}"]
parts:
  files: {{glob: "data/*.root", per-part: 2}}
  set: {{seed: {json.dumps(NASTY)}}}
inputs: [run.py]
outputs: [{{path: h.root, objects: [h]}}, log.txt]
resources: {{cpus: 2, memory: 2 GB, memory-retries: [4 GB], disk: 1 GB, time: 1 h}}
environment: {{B: "2", A: "1"}}
image: example/image:1
retries: 2
tolerance: 1
policies: {{sums: plain, missing-objects: union}}
compare: {{reference: "tag:v1", reproducibility: statistical, significance: 0.01}}
publish: {{to: "https://storage.example.org/{{run}}", files: results-and-outputs, above: 80 MB}}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan with a bit of everything."""
    root = tmp_path_factory.mktemp("root")
    (root / "data").mkdir()
    for name in "abc":
        (root / "data" / f"{name}.root").write_text(name)
    (root / "run.py").write_text("pass")
    return plan_of(TEXT, root)


def test_round_trip(plan: Plan) -> None:
    """Not a byte of its meaning is lost in a file."""
    again = from_json(to_json(plan), name="plan.json")

    assert again == plan
    assert again.hash == plan.hash
    assert to_json(again) == to_json(plan)
    assert dict(again.parts[0].values)["seed"] == NASTY


def test_what_follows_a_merge_is_in_the_plan(plan: Plan) -> None:
    """As collect reads it, which has no septum.yaml: relaxed policies, the comparison, the place of large files."""
    assert plan.policies == (("missing-objects", "union"), ("sums", "plain"))
    assert plan.compare == Compare(reference="tag:v1", reproducibility="statistical", significance=0.01)
    assert plan.publish == Publish(to="https://storage.example.org/{run}", outputs=True, above_b=80 << 20)


def test_a_plan_without_them(tmp_path: Path) -> None:
    """Strict, compared with the default branch, and nothing goes to storage."""
    plan = plan_of(seeds(2), tmp_path)

    assert (plan.policies, plan.compare, plan.publish) == ((), Compare(), None)
    assert from_json(to_json(plan), name="plan.json") == plan


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("retries: 3\n", True),
        ("tolerance: 1\n", True),
        ("resources: {memory: 4 GB, cpus: 2}\n", True),
        ("name: other\n", True),
        ("compare: {reference: none}\n", True),
        ('publish: {to: "https://storage.example.org/x"}\n', True),
        ("policies: {sums: exact}\n", True),
        ("policies: {sums: plain}\n", False),
        ("policies: {non-finite: keep}\n", False),
        ("setup: [set -u]\n", False),
        ("environment: {A: x}\n", False),
        ("image: example/image:1\n", False),
        ("merge: {other.root: h.root}\n", False),
    ],
)
def test_work_is_what_decides_the_content(tmp_path: Path, change: str, *, same: bool) -> None:
    """More memory gives the same result, to the bit; another policy does not. The plan is another one either way."""
    before, after = plan_of(seeds(3), tmp_path), plan_of(seeds(3, more=change), tmp_path)

    assert (before.work == after.work) is same
    assert (before.hash == after.hash) is (change == "policies: {sums: exact}\n")


def test_work_knows_every_part(tmp_path: Path) -> None:
    """One less, or one that does something else, is other work."""
    plans = [plan_of(seeds(count), tmp_path) for count in (3, 4)]
    (tmp_path / "a.txt").write_text("1")
    plans.append(plan_of(seeds(3, more="inputs: [a.txt]\n"), tmp_path))
    (tmp_path / "a.txt").write_text("2")
    plans.append(plan_of(seeds(3, more="inputs: [a.txt]\n"), tmp_path))

    assert len({plan.work for plan in plans}) == 4


@pytest.mark.parametrize(
    "path",
    [
        ["name"],
        ["command"],
        ["image"],
        ["tolerance"],
        ["retries"],
        ["setup"],
        ["request", "time_s"],
        ["outputs", 0, "path"],
        ["outputs", 0, "objects"],
        ["merges", 0, "parts"],
        ["merges", 0, "output"],
        ["inputs", 0, "sha256"],
        ["parts", 1, "values", 0, 1],
        ["parts", 1, "fingerprint"],
        ["parts", 0, "inputs", 0, "executable"],
        ["environment", 0, 1],
        ["policies", 0, 0],
        ["policies", 0, 1],
        ["policies"],
        ["compare", "reference"],
        ["compare", "significance"],
        ["publish", "to"],
        ["publish", "outputs"],
        ["publish", "above_b"],
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_a_tampered_plan_is_refused(plan: Plan, path: list[Any]) -> None:
    """Whatever was changed by hand, the hash knows."""
    document = json.loads(to_json(plan))
    here: Any = document["plan"]
    for key in path[:-1]:
        here = here[key]
    old = here[path[-1]]
    here[path[-1]] = [] if isinstance(old, list) else old + 1 if isinstance(old, int) else f"{old}x"

    with pytest.raises(StateError, match="was changed after it was made") as caught:
        from_json(json.dumps(document), name="plan.json")
    assert caught.value.fix


def test_a_part_cannot_be_dropped_from_the_plan(plan: Plan) -> None:
    """The denominator is fixed."""
    document = json.loads(to_json(plan))
    del document["plan"]["parts"][1]

    with pytest.raises(StateError, match="was changed"):
        from_json(json.dumps(document), name="plan.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"plan"',
        '{"hash": "x"}',
        '{"plan": [], "hash": ""}',
        '{"plan": {"format": 1}, "hash": ""}',
        '{"plan": {"format": 1, "parts": [{"id": "0", "values": [[1]]}]}, "hash": ""}',
        "\ufeff{}",
    ],
)
def test_a_damaged_plan_is_an_error_with_a_fix(text: str) -> None:
    """No traceback for a file that was cut off."""
    with pytest.raises(StateError, match=r"damaged|another version") as caught:
        from_json(text, name="plan.json")
    assert caught.value.fix


def test_any_truncation_is_noticed(plan: Plan) -> None:
    """A file that was cut off anywhere is never a plan."""
    text = to_json(plan)
    for end in range(0, len(text) - 2, 37):
        with pytest.raises(StateError):
            from_json(text[:end], name="plan.json")


def test_another_format_is_named(plan: Plan) -> None:
    """An old septum meets a new plan."""
    document = json.loads(to_json(plan))
    document["plan"]["format"] = 1

    with pytest.raises(StateError, match="another version of septum"):
        from_json(json.dumps(document), name="plan.json")


@pytest.mark.parametrize(
    ("word", "filled"),
    [
        ("plain", ["plain"]),
        ("", [""]),
        ("{one}", ["1"]),
        ("a{one}b{two}", ["a1b{one} $(x)"]),
        ("{two}", ["{one} $(x)"]),
        ("{{one}}", ["{one}"]),
        ("{{{one}}}", ["{1}"]),
        ("{}", ["{}"]),
        ("{ one }", ["{ one }"]),
        ("{1}", ["{1}"]),
        ('{"a": 1}', ['{"a": 1}']),
        ("{many}", ["x", "y z"]),
        ("{none}", []),
        ("{empty}", [""]),
        ("}}{{", ["}{"]),
    ],
)
def test_fill(word: str, filled: list[str]) -> None:
    """A value is never looked into again, whatever it holds."""
    values: dict[str, Value] = {"one": "1", "two": "{one} $(x)", "many": ("x", "y z"), "none": (), "empty": ""}

    assert fill(word, values) == filled


def test_fill_names_the_unknown_value() -> None:
    """A typing error in a placeholder is never an empty text."""
    with pytest.raises(KeyError, match="seeed"):
        fill("--seed={seeed}", {"seed": "1"})


def test_several_texts_do_not_fit_into_a_word() -> None:
    """`--files={files}` would silently become one word."""
    with pytest.raises(ValueError, match="word of its own"):
        fill("--files={files}", {"files": ("a", "b")})


def test_argv_is_exact(plan: Plan) -> None:
    """Values and files arrive literally, each file as a word."""
    assert argv(plan, plan.parts[0]) == ("python3", "run.py", NASTY, "x{y}", "data/a.root", "data/b.root")
    assert argv(plan, plan.parts[1]) == ("python3", "run.py", NASTY, "x{y}", "data/c.root")


@pytest.mark.parametrize(
    ("index", "count", "expected"), [(0, 1, "0000"), (411, 412, "0411"), (7, 10_000, "0007"), (7, 10_001, "00007")]
)
def test_ids_sort_like_numbers(index: int, count: int, expected: str) -> None:
    """Four digits, or as many as are needed."""
    assert part_id(index, count) == expected


@pytest.mark.parametrize(
    ("tolerance", "parts", "allowed"),
    [
        ("0", 3, 0),
        ("1", 1, 0),
        ("2", 3, 2),
        ("9", 3, 2),
        ("29%", 100, 29),
        ("1%", 99, 0),
        ("99.9%", 1000, 999),
        ("7.5%", 411, 30),
    ],
)
def test_tolerance(tmp_path: Path, tolerance: str, parts: int, allowed: int) -> None:
    """Never all parts, and a percentage is exact."""
    text = f"{BASE}parts: {{entries: {{total: {parts}, per-part: 1}}}}\ntolerance: {tolerance}\n"

    assert plan_of(text, tmp_path).allowed_missing == allowed


def test_describe_is_short_and_printable(plan: Plan) -> None:
    """A value cannot move the cursor or fill the log."""
    shown = plan.parts[0].describe()

    assert shown.startswith("part 0000 (")
    assert shown.isprintable()
    assert len(shown) < 150

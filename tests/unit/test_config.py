"""`septum.yaml`: every key, and what is said about a wrong one."""

from __future__ import annotations

import json
import re

import pytest

from septum.config import Analysis
from septum.errors import ConfigError
from tests.fakes.analyses import BASE, analysis_of

ONE = BASE + "parts: {list: [{seed: 1}]}\n"


def _problems(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        analysis_of(text)
    error = caught.value

    assert error.exit_code == 2
    assert error.fix
    shown = str(error)
    assert "Fix: " in shown
    assert re.search(r"septum\.yaml:\d+: ", shown), shown
    return shown


def results_of(analysis: Analysis) -> dict[str, str | None]:
    """Each result and the output that it is merged from."""
    return {name: rule.output for name, rule in analysis.results([o.path for o in analysis.outputs]).items()}


def test_the_least_that_is_needed() -> None:
    """A command, parts and outputs; all else has a default."""
    analysis = analysis_of(ONE)

    assert analysis.version == "1"
    assert analysis.name == "analysis"
    assert analysis.shell == "sh"
    assert (analysis.prepare, analysis.setup, analysis.inputs, analysis.environment) == ([], [], [], {})
    assert (analysis.image, analysis.retries, analysis.tolerance) == (None, 0, "0")
    assert results_of(analysis) == {"h.root": "h.root"}
    assert (analysis.policies.relaxed, analysis.publish) == ({}, None)
    assert (analysis.compare.reference, analysis.compare.reproducibility) == ("default-branch", "report")
    assert analysis.resources.model_dump() == {
        "cpus": None, "memory": None, "memory_retries": [], "disk": None, "time": None,
    }  # fmt: skip


def test_every_key() -> None:
    """Each key of the file ends in the value of its own."""
    analysis = analysis_of(
        """
version: 1
name: dimuon-2024
prepare: ["make", "ls > list.txt"]
shell: bash
setup: [source env.sh]
command: |
  run "$PART_seed"
parts:
  - product: {seed: {first: 1, last: 9, step: 4}, era: [A, "B"]}
    set: {kind: mc}
  - files: {glob: "data/*.root", per-part: 3}
  - files: {list: files.txt}
  - entries: {file: a.root, tree: Events, per-part: 100}
  - entries: {total: 10, parts: 2}
  - table: parts.csv
  - list: [{seed: 01, era: no}]
inputs: [run.py, "lib/**"]
outputs:
  - h.root
  - {path: sub/g.root, objects: [a, b/c]}
  - log.txt
merge: {"{kind}.root": h.root, g.root: sub/g.root}
resources: {cpus: 4, memory: 2 GB, memory-retries: [4 GB, 8 GB], disk: 500 MB, time: 1.5 h}
environment: {LANG: C, X_1: ""}
image: gitlab-registry.example.org/a/b:1@sha256:00
retries: 3
tolerance: 2 %
policies:
  sums: plain
  labels: by-name
  parameters: first
  strings: first
  non-finite: keep
  averages: sum
  saturation: round
  missing-objects: union
  unchecked: hadd
compare: {reference: "tag:v1.2", reproducibility: exact, significance: 0.05}
publish: {to: "root://eos.example.org//eos/{run}", files: results-and-outputs, above: 80 MB}
"""
    )

    assert analysis.name == "dimuon-2024"
    assert analysis.prepare == ["make", "ls > list.txt"]
    assert (analysis.shell, analysis.setup, analysis.command) == ("bash", ["source env.sh"], 'run "$PART_seed"\n')
    product = analysis.parts[0].product
    assert product is not None
    assert not isinstance(product["seed"], list)
    assert (product["seed"].first, product["seed"].last, product["seed"].step) == (1, 9, 4)
    assert product["era"] == ["A", "B"]
    assert analysis.parts[0].constants == {"kind": "mc"}
    files, listed, entries, generated = (analysis.parts[n] for n in (1, 2, 3, 4))
    assert files.files is not None
    assert (files.files.glob, files.files.per_part) == ("data/*.root", 3)
    assert listed.files is not None
    assert (listed.files.listed, listed.files.per_part) == ("files.txt", 1)
    assert entries.entries is not None
    assert (entries.entries.file, entries.entries.tree, entries.entries.per_part) == ("a.root", "Events", 100)
    assert generated.entries is not None
    assert (generated.entries.total, generated.entries.parts) == (10, 2)
    assert analysis.parts[5].table == "parts.csv"
    assert analysis.parts[6].explicit == [{"seed": "01", "era": "no"}]
    assert analysis.inputs == ["run.py", "lib/**"]
    assert [(output.path, output.objects, output.is_root) for output in analysis.outputs] == [
        ("h.root", [], True), ("sub/g.root", ["a", "b/c"], True), ("log.txt", [], False),
    ]  # fmt: skip
    assert results_of(analysis) == {"{kind}.root": "h.root", "g.root": "sub/g.root"}
    request = analysis.resources
    assert (request.cpus, request.memory, request.memory_retries) == (4, 2 << 30, [4 << 30, 8 << 30])
    assert (request.disk, request.time) == (500 << 20, 5400)
    assert analysis.environment == {"LANG": "C", "X_1": ""}
    assert analysis.image == "gitlab-registry.example.org/a/b:1@sha256:00"
    assert (analysis.retries, analysis.tolerance) == (3, "2%")
    assert analysis.policies.relaxed == {
        "sums": "plain", "labels": "by-name", "parameters": "first", "strings": "first", "non-finite": "keep",
        "averages": "sum", "saturation": "round", "missing-objects": "union", "unchecked": "hadd",
    }  # fmt: skip
    assert analysis.compare.model_dump() == {
        "reference": "tag:v1.2", "reproducibility": "exact", "significance": 0.05,
    }  # fmt: skip
    assert analysis.publish is not None
    assert analysis.publish.model_dump() == {
        "to": "root://eos.example.org//eos/{run}", "files": "results-and-outputs", "above": 80 << 20,
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        "", " ", " leading", "trailing ", "a b", "it's", 'say "x"', "$HOME", "`id`", "$(id)", "a\nb", "a\n", "\r\n",
        "\t", "{seed}", "{{x}}", "-rf", "--", "*", "~", "#", "a#b", "\\", "\\n", "%s", "ü€\U0001f600", "\u2028",
        "\ufeff", "1e3", "007", "no", "null", "0x1F", "1_000", "2026-11-22", ";", "&&", "|", "queue", "a,b",
        "x" * 200_000,
    ],
)  # fmt: skip
def test_a_value_stays_what_it_is(value: str) -> None:
    """As it stands in the file, to the last character."""
    analysis = analysis_of(
        BASE + "parts: {list: [{v: " + json.dumps(value) + "}], set: {c: " + json.dumps(value) + "}}\n"
    )

    assert analysis.parts[0].explicit == [{"v": value}]
    assert analysis.parts[0].constants == {"c": value}


@pytest.mark.parametrize("plain", ["007", "no", "1e3", "0x1F", "1_000", "2026-11-22", "12:30:45", "0o14", ".5", "true"])
def test_a_plain_value_is_no_number(plain: str) -> None:
    """YAML would make 7, false, 1000, 31 and a date of them."""
    assert analysis_of(f"{BASE}parts: {{list: [{{v: {plain}}}]}}\n").parts[0].explicit == [{"v": plain}]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (ONE + "comand: x", 4, "did you mean 'command'?"),
        (ONE + "resources: {memroy: 2 GB}", 4, "did you mean 'memory'?"),
        (ONE + "version: 2", 4, "expected '1'"),
        (ONE + "name: a b", 4, "1 to 64 letters"),
        (ONE + 'name: "x\\nqueue 9"', 4, "1 to 64 letters"),
        (ONE + "name: " + "a" * 65, 4, "1 to 64 letters"),
        (ONE + "name: -x", 4, "beginning with a letter or digit"),
        (ONE + "shell: zsh", 4, "expected 'sh' or 'bash'"),
        (ONE + "setup: echo x", 4, "expected a list"),
        (ONE + 'setup: ["false\\ntrue"]', 4, "must be one line"),
        (ONE + 'prepare: ["a\\0b"]', 4, "NUL"),
        (ONE + 'setup: ["a\\0b"]', 4, "NUL"),
        (ONE + 'environment: {A: "a\\0b"}', 4, "NUL"),
        (ONE + 'inputs: ["a\\0b"]', 4, "NUL"),
        (ONE + 'inputs: ["a\\ud800b"]', 4, "without its second half"),
        (ONE + "environment: {1A: x}", 4, "is not a name"),
        (ONE + "environment: {A-B: x}", 4, "is not a name"),
        (ONE + 'environment: {A: "x\\ny"}', 4, "must be one line"),
        (ONE + "environment: {UID: 5}", 4, "set by the shell or by septum"),
        (ONE + "environment: {PART_seed: 5}", 4, "set by the shell or by septum"),
        (ONE + 'image: "x\\nqueue"', 4, "must be one line"),
        (ONE + 'image: ""', 4, "must not be empty"),
        (ONE + "retries: -1", 4, "at least 0"),
        (ONE + "retries: 21", 4, "at most 20"),
        (ONE + "retries: many", 4, "a whole number"),
        (ONE + "retries: 1.5", 4, "a whole number"),
        (ONE + "tolerance: 100%", 4, "empty result"),
        (ONE + "tolerance: 250 %", 4, "empty result"),
        (ONE + "tolerance: -1", 4, "a number of parts"),
        (ONE + "tolerance: 0.5", 4, "a number of parts"),
        (ONE + "tolerance: some", 4, "a number of parts"),
        (ONE + "tolerance: [1]", 4, "a number of parts"),
        (ONE + "resources: {cpus: 0}", 4, "at least 1"),
        (ONE + "resources: {cpus: 1025}", 4, "at most 1024"),
        (ONE + "resources: {memory: 2}", 4, "a size such as"),
        (ONE + "resources: {memory: 2 h}", 4, "a size such as"),
        (ONE + "resources: {memory: 0 MB}", 4, "above zero"),
        (ONE + "resources: {memory-retries: 4 GB}", 4, "a list"),
        (ONE + "resources: {memory-retries: [lots]}", 4, "a size such as"),
        (ONE + "resources: {disk: " + "9" * 400 + " GB}", 4, "too large"),
        (ONE + "resources: {time: 90}", 4, "a duration such as"),
        (ONE + "resources: {time: " + "9" * 400 + " d}", 4, "too large"),
        (ONE + "merge: {a.root: b.root}", 1, "not among the outputs"),
        (ONE + "merge: {a.txt: h.root}", 1, "must end with"),
        (ONE.replace("[h.root]", "[h.dat]") + "merge: {h.dat: h.dat}", 1, "nothing merges 'h.dat'"),
        (ONE + "policies: {sum: plain}", 4, "did you mean 'sums'?"),
        (ONE + "policies: {non_finite: keep}", 4, "did you mean 'non-finite'?"),
        (ONE + "policies: {sums: fast}", 4, "expected 'exact' or 'plain'"),
        (ONE + "policies: {missing-objects: yes}", 4, "expected 'refuse', 'groups' or 'union'"),
        (ONE + "policies: strict", 4, "a mapping"),
        (ONE + "compare: {reproducibility: bitwise}", 4, "expected 'exact', 'statistical' or 'report'"),
        (ONE + "compare: {significance: 0}", 4, "above 0"),
        (ONE + "compare: {significance: 1}", 4, "below 1"),
        (ONE + "compare: {significance: nan}", 4, "a finite number"),
        (ONE + 'compare: {reference: ""}', 4, "must not be empty"),
        (ONE + "publish: {}", 4, "to: required"),
        (ONE + 'publish: {to: ""}', 4, "must not be empty"),
        (ONE + 'publish: {to: "a\\nb"}', 4, "must be one line"),
        (ONE + "publish: {to: x, above: 80}", 4, "a size such as"),
        (ONE + "publish: {to: x, files: all}", 4, "expected 'results' or 'results-and-outputs'"),
        (ONE + "merge: {../a.root: h.root}", 4, "without '.', '..'"),
        (ONE + "merge: {/a.root: h.root}", 4, "relative path"),
        ("command: [run]\nparts: {list: [{}]}\n", 1, "needs outputs, or 'framework'"),
        ("outputs: [h.root]\nparts: {list: [{}]}\n", 1, "needs command, or 'framework'"),
        (BASE, 1, "needs parts, or 'framework'"),
        (BASE + "parts: []", 3, "must not be empty"),
        (BASE + "parts: {}", 3, "needs exactly one of"),
        (BASE + "parts: {list: [{a: 1}], table: x.csv}", 3, "got list, table"),
        (BASE + "parts: {list: []}", 3, "must not be empty"),
        (BASE + "parts: {list: [{part: 1}]}", 3, "set by septum itself"),
        (BASE + "parts: {list: [{index: 1}]}", 3, "set by septum itself"),
        (BASE + "parts: {list: [{a-b: 1}]}", 3, "is not a name"),
        (BASE + 'parts: {list: [{"a\\n": 1}]}', 3, "is not a name"),
        (BASE + 'parts: {list: [{a: "x\\0y"}]}', 3, "NUL"),
        (BASE + 'parts: {list: [{a: "\\ud800"}]}', 3, "without its second half"),
        (BASE + "parts: {list: [{a: [1]}]}", 3, "expected a text"),
        (BASE + "parts: {list: [{a: ~}]}", 3, "expected a text"),
        (BASE + "parts: {product: {}}", 3, "must not be empty"),
        (BASE + "parts: {product: {a: {first: 3, last: 1}}}", 3, "is below 'first'"),
        (BASE + "parts: {product: {a: {first: 1, last: 3, step: 0}}}", 3, "at least 1"),
        (BASE + "parts: {product: {a: 5}}", 3, "a list or a mapping"),
        (BASE + "parts: {files: {}}", 3, "exactly one of 'glob' and 'list'"),
        (BASE + "parts: {files: {glob: a, list: b}}", 3, "exactly one of 'glob' and 'list'"),
        (BASE + 'parts: {files: {glob: ""}}', 3, "must not be empty"),
        (BASE + "parts: {files: {glob: a, per-part: 0}}", 3, "at least 1"),
        (BASE + "parts: {files: {glob: a, per_part: 2}}", 3, "did you mean 'per-part'?"),
        (BASE + "parts: {entries: {total: 5}}", 3, "exactly one of 'per-part' and 'parts'"),
        (BASE + "parts: {entries: {total: 5, parts: 1, per-part: 1}}", 3, "exactly one of 'per-part' and 'parts'"),
        (BASE + "parts: {entries: {file: a.root, parts: 1}}", 3, "'file' and 'tree' to count"),
        (BASE + "parts: {entries: {total: 0, parts: 1}}", 3, "at least 1"),
        (BASE + "parts: {table: [a]}", 3, "expected a text"),
        (BASE + "parts: {list: [{}], set: {parts: x}}", 3, "set by septum itself"),
        (ONE.replace("[run]", "[]"), 1, "must not be empty"),
        (ONE.replace("[run]", '""'), 1, "must not be empty"),
        (ONE.replace("[run]", '["a\\0b"]'), 1, "NUL"),
        (ONE.replace("[run]", '"a\\0b"'), 1, "NUL"),
        (ONE.replace("[h.root]", "[]"), 2, "must not be empty"),
        (ONE.replace("[h.root]", "[h.root, h.root]"), 1, "declared more than once"),
        (ONE.replace("[h.root]", "[{path: h.root, object: h}]"), 2, "did you mean 'objects'?"),
        (ONE.replace("[h.root]", "[/h.root]"), 2, "relative path"),
        (ONE.replace("[h.root]", "[../h.root]"), 2, "relative path"),
        (ONE.replace("[h.root]", "[a/../h.root]"), 2, "relative path"),
        (ONE.replace("[h.root]", "[./h.root]"), 2, "relative path"),
        (ONE.replace("[h.root]", "[a//h.root]"), 2, "relative path"),
        (ONE.replace("[h.root]", "[plots/]"), 2, "relative path"),
        (ONE.replace("[h.root]", "[.]"), 2, "relative path"),
        (ONE.replace("[h.root]", '[""]'), 2, "relative path"),
        (ONE.replace("[h.root]", '["a\\nb"]'), 2, "must be one line"),
        (ONE.replace("[h.root]", '["a\\0b"]'), 2, "NUL"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_told_with_its_line(text: str, line: int, words: str) -> None:
    """File and line, what is wrong, and a fix; for every key."""
    shown = _problems(text)

    assert words in shown
    assert f"septum.yaml:{line}: " in shown


def test_every_problem_at_once() -> None:
    """Nobody wants to correct one line a pipeline."""
    shown = _problems(BASE + "parts: {list: [{a: 1}]}\nretries: x\nshell: zsh\nresources: {time: 5}\nnme: y\n")

    assert "4 problems" in shown
    assert [f"septum.yaml:{line}: " in shown for line in (4, 5, 6, 7)] == [True] * 4


def test_one_block_is_a_list_of_one() -> None:
    """`parts:` may be a block or a list of blocks."""
    assert analysis_of(ONE) == analysis_of(BASE + "parts: [{list: [{seed: 1}]}]\n")


def test_no_result_at_all_can_be_asked_for() -> None:
    """An empty `merge:` keeps every output one a part."""
    assert results_of(analysis_of(ONE + "merge: {}")) == {}


def test_results_without_root_outputs() -> None:
    """Only ROOT files merge by themselves."""
    assert results_of(analysis_of(ONE.replace("[h.root]", "[a.txt, b.ROOT]"))) == {}


@pytest.mark.parametrize("name", Analysis.model_fields)
def test_every_key_has_a_description(name: str) -> None:
    """The reference page is made of it."""
    assert Analysis.model_fields[name].description


def test_values_are_frozen() -> None:
    """Nothing changes after it was read."""
    with pytest.raises(ValueError, match="frozen"):
        analysis_of(ONE).retries = 7

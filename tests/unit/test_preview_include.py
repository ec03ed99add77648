"""From a repository to one body: includes of every kind, where components come from, inputs, rules, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import septum
from septum.errors import HeaderError, IncludeError, InputError, PreviewError
from septum.preview.include import MAX_INCLUDES, gather
from septum.preview.request import preview
from septum.preview.shelf import Shelf, files_of
from septum.preview.situation import PROJECT, SERVER, SHA, Situation
from septum.preview.source import Source, Variable

ROOT = Path(__file__).parents[2]
INCLUDES = "doc/ci/yaml/includes.md"
YAML = "doc/ci/yaml/_index.md"
MAPPER = "gitlabhq lib/gitlab/ci/config/external/mapper"
FILE = "gitlabhq lib/gitlab/ci/config/external/file"
COMPONENTS = "doc/ci/components/_index.md"
OWN = f"{SERVER}/{PROJECT}"
JOB = "j: {script: [s]}\n"
COMPONENT = """\
spec:
  component: [name, sha, version, reference]
  inputs:
    name: {default: j}
---
$[[ inputs.name ]]:
  script: ["$[[ component.name ]] $[[ component.sha ]] $[[ component.version ]] $[[ component.reference ]]"]
"""


class Tree:
    """A repository of a few files, and a shelf with it."""

    def __init__(self, folder: Path, **on: Any) -> None:
        self.folder = folder
        self.on = Shelf(folder=folder, project=PROJECT, server=SERVER, **on)

    def write(self, name: str, text: str) -> Path:
        """Make a file of the repository."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def body(self, include: str, situation: Situation | None = None, more: str = "") -> dict[str, Any]:
        """What a main file with that `include` becomes."""
        text = f"include: {include}\n{more}"
        return gather(Source(name=".gitlab-ci.yml", text=text), None, self.on, situation or Situation()).body

    def refused(self, include: str, **keywords: Any) -> PreviewError:
        """The error that such a main file is."""
        with pytest.raises(PreviewError) as caught:
            self.body(include, **keywords)
        return caught.value


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty repository."""
    return Tree(tmp_path)


# ── local files ─────────────────────────────────────────────────────────────────────────────────────────────────

LOCAL = [
    ("a.yml", f"{INCLUDES}, a single file"),
    ("/a.yml", f"{YAML}, include:local: from the root"),
    ("[a.yml]", f"{INCLUDES}, an array"),
    ("{local: a.yml}", f"{YAML}, include:local"),
    ("[{local: /a.yml}]", f"{YAML}, include:local"),
    ("{local: $FILE}", f"{INCLUDES}, Use variables with include"),
    ("$FILE", f"{MAPPER}/normalizer.rb: before it is known whether it is an address"),
    ("{local: '*.yml'}", f"{INCLUDES}, wildcards"),
    ("{project: group/project, file: a.yml}", f"{YAML}, include:project: the project itself"),
]


@pytest.mark.parametrize(("include", "source"), LOCAL, ids=[case[0] for case in LOCAL])
def test_a_file_of_the_repository_is_included(include: str, source: str, tree: Tree) -> None:
    """However it is written."""
    tree.write("a.yml", "a: {script: [a]}\n")
    situation = Situation(variables={"FILE": Variable(value="a.yml")})

    assert tree.body(include, situation) == {"a": {"script": ["a"]}}, source


def test_wildcards_stand_for_files_in_order_of_their_names(tree: Tree) -> None:
    """One star within a folder, two for any; doc/ci/yaml/includes.md."""
    for name in ("ci/b.yml", "ci/a.yml", "ci/sub/c.yml", "ci/note.txt"):
        tree.write(name, f"{Path(name).stem}: {{script: [{name}]}}\n")

    assert list(tree.body("{local: 'ci/*.yml'}")) == ["a", "b"]
    assert list(tree.body("{local: 'ci/**.yml'}")) == ["a", "b", "c"]
    assert tree.body("{local: 'none/*.yml'}") == {}


def test_the_main_file_is_merged_over_what_it_includes(tree: Tree) -> None:
    """In the order of the list, the main file last; doc/ci/yaml/includes.md, Merge method."""
    tree.write("a.yml", "variables: {A: a, B: a}\nj: {script: [a], rules: [{when: never}]}\n")
    tree.write("b.yml", "variables: {B: b, C: b}\n")

    found = tree.body("[a.yml, b.yml]", more="variables: {C: main}\nj: {rules: [{when: always}]}")

    assert found == {
        "variables": {"A": "a", "B": "b", "C": "main"},
        "j": {"script": ["a"], "rules": [{"when": "always"}]},
    }


def test_nested_includes_come_first_and_the_same_file_twice_counts_twice(tree: Tree) -> None:
    """doc/ci/yaml/includes.md, Use nested includes with duplicate include entries."""
    tree.write("defaults.yml", "default: {before_script: [default]}\n")
    tree.write("unit.yml", "include: defaults.yml\ndefault: {before_script: [unit]}\n")
    tree.write("smoke.yml", "include: defaults.yml\ndefault: {before_script: [smoke]}\n")

    assert tree.body("[unit.yml, smoke.yml]")["default"] == {"before_script": ["smoke"]}
    assert tree.body("[smoke.yml, unit.yml]")["default"] == {"before_script": ["unit"]}


REFUSED = [
    ("nope.yml", "Local file `nope.yml` does not exist!", f"{FILE}/local.rb"),
    ("empty.yml", "Local file `empty.yml` is empty!", f"{FILE}/local.rb"),
    ("a.txt", "Included file `a.txt` does not have YAML extension!", f"{FILE}/base.rb"),
    ("../outside.yml", "does not exist!", "Git has no such path"),
    (
        "{unknown: x.yml}",
        "does not have a valid subkey for include. Valid subkeys are: `local`, `project`",
        f"{MAPPER}/matcher.rb",
    ),
    ("{local: a.yml, remote: 'https://x/a.yml'}", "Each include must use only one of:", f"{MAPPER}/matcher.rb"),
    ("{local: a.yml, filee: b}", "include config contains unknown keys: filee", "entry/include.rb"),
    ("[1]", "include config should be a hash or a string", "entry/concerns/base_include.rb"),
    ("{local: [a.yml]}", "needs to be a string", f"{FILE}/base.rb"),
    ("{project: g/p}", "must specify the file where to fetch the config from", "entry/concerns/base_include.rb"),
    ("{artifact: a.yml, job: j}", "only allowed when triggering child pipelines", f"{FILE}/artifact.rb"),
    (
        "{local: a.yml, rules: [{iff: $A}]}",
        "include:rules:rule config contains unknown keys: iff",
        "entry/include/rules/rule.rb",
    ),
    (
        "{local: a.yml, rules: [{when: manual}]}",
        "include:rules:rule when unknown value: manual",
        "entry/include/rules/rule.rb",
    ),
    ("{local: a.yml, rules: [{if: '='}]}", "include:rules:rule if invalid expression syntax", "external/rules.rb"),
    ("{local: a.yml, inputs: [x]}", "include:inputs should be a hash", "entry/concerns/base_include.rb"),
    ("{remote: 'https://x.test/a.yml'}", "`https://x.test/a.yml` is not on this machine", "nothing is fetched"),
    ("'https://x.test/a.yml'", "`https://x.test/a.yml` is not on this machine", "nothing is fetched"),
    ("{template: Jobs/SAST.gitlab-ci.yml}", "`Jobs/SAST.gitlab-ci.yml` is not on this machine", "nothing is fetched"),
    ("{project: g/p, file: a.yml}", "`g/p:/a.yml` is not on this machine", "nothing is fetched"),
]


@pytest.mark.parametrize(("include", "message", "source"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_cannot_be_included_is_named(include: str, message: str, source: str, tree: Tree) -> None:
    """With GitLab's words, or with the option that gives the file."""
    tree.write("a.yml", JOB)
    tree.write("a.txt", JOB)
    tree.write("empty.yml", " \n")
    (tree.folder.parent / "outside.yml").write_text(JOB)

    error = tree.refused(include)

    assert isinstance(error, IncludeError), source
    assert message in error.what
    assert "nothing is fetched" not in source or "--include" in error.fix


def test_an_error_in_an_included_file_names_the_file(tree: Tree) -> None:
    """Of several, which one."""
    tree.write("a.yml", "j: {script: [s]\n")
    tree.write("b.yml", "include: a.yml\n")

    error = tree.refused("b.yml")

    assert isinstance(error, HeaderError)
    assert "`a.yml`" in error.what


def test_a_file_that_includes_itself_ends_at_150_includes(tree: Tree) -> None:
    """doc/ci/yaml/_index.md, include; gitlabhq lib/gitlab/ci/config/external/mapper/verifier.rb."""
    tree.write("a.yml", f"include: a.yml\n{JOB}")
    tree.write("b.yml", JOB)

    assert "Maximum of 150 nested includes are allowed!" in tree.refused("a.yml").what
    assert tree.body(f"[{', '.join(['b.yml'] * MAX_INCLUDES)}]")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a" * (5 * 1024 * 1024 + 1)], ids=["no text", "too large"])
def test_what_is_no_readable_file_is_an_error(content: bytes, tree: Tree) -> None:
    """Not a traceback."""
    (tree.folder / "a.yml").write_bytes(content)

    assert isinstance(tree.refused("a.yml"), IncludeError)


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────

RULES = [
    ("[{if: $A == 'x'}]", True, f"{INCLUDES}, include with rules:if"),
    ("[{if: $A == 'y'}]", False, INCLUDES),
    ("[{if: $A, when: never}, {when: always}]", False, INCLUDES),
    ("[{exists: [there.md]}]", True, f"{INCLUDES}, include with rules:exists"),
    ("[{exists: [nope.md]}]", False, INCLUDES),
    ("[{if: $CI_PIPELINE_SOURCE == 'push'}]", True, f"{INCLUDES}, Use variables with include"),
    ("[{if: $GLOBAL}]", False, f"{INCLUDES}: variables of the file are not there yet"),
    ("[]", False, "gitlabhq lib/gitlab/ci/config/external/rules.rb"),
]


@pytest.mark.parametrize(("rules", "expected", "source"), RULES, ids=[case[0] for case in RULES])
def test_an_include_has_rules(rules: str, expected: object, source: str, tree: Tree) -> None:
    """With the variables that exist before there is a file."""
    tree.write("a.yml", JOB)
    tree.write("there.md", "")
    files_of.cache_clear()
    situation = Situation(variables={"A": Variable(value="x")})

    found = tree.body(f"{{local: a.yml, rules: {rules}}}", situation, more="variables: {GLOBAL: x}")

    assert ("j" in found) is expected, source


# ── inputs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_inputs_reach_the_file_and_no_other(tree: Tree) -> None:
    """doc/ci/inputs/_index.md: in the file with the header."""
    tree.write(
        "a.yml", "spec: {inputs: {name: {default: d}}}\n---\n$[[ inputs.name ]]: {script: [s]}\ninclude: b.yml\n"
    )
    tree.write("b.yml", "b: {script: ['$[[ inputs.name ]]']}\n")

    found = tree.body("[{local: a.yml, inputs: {name: x}}, {local: a.yml}]")

    assert list(found) == ["b", "x", "d"]
    assert found["b"]["script"] == ["$[[ inputs.name ]]"]


def test_inputs_that_the_file_does_not_know_are_refused(tree: Tree) -> None:
    """As in gitlabhq lib/gitlab/ci/config/interpolation/inputs.rb."""
    tree.write("a.yml", "spec: {inputs: {name: {default: d}}}\n---\nj: {script: [s]}\n")

    assert isinstance(tree.refused("{local: a.yml, inputs: {nam: x}}"), InputError)


def test_the_inputs_of_the_pipeline_reach_a_component(tree: Tree) -> None:
    """doc/ci/inputs/_index.md, For a pipeline."""
    tree.write("templates/c.yml", COMPONENT)
    text = (
        "spec: {inputs: {kind: {default: x}}}\n---\n"
        f"include: [{{component: {OWN}/c@{SHA}, inputs: {{name: 'run-$[[ inputs.kind ]]'}}}}]\n"
    )

    made = preview(Source(name=".gitlab-ci.yml", text=text), {"kind": "web"}, tree.on, Situation())

    assert [job.name for job in made.jobs] == ["run-web"]
    assert made.inclusions[0].address == f"{OWN}/c@{SHA}"


# ── components ──────────────────────────────────────────────────────────────────────────────────────────────────

VERSIONS = [
    ("$CI_COMMIT_SHA", f"c {SHA}  {SHA}", f"{COMPONENTS}: no version of a commit"),
    ("main", f"c {SHA}  main", f"{COMPONENTS}: nor of a branch"),
    ("1.2.3", f"c {SHA} 1.2.3 1.2.3", f"{COMPONENTS}: that of a tag"),
]


@pytest.mark.parametrize(("reference", "said", "source"), VERSIONS)
def test_a_component_of_the_repository_itself(reference: str, said: str, source: str, tree: Tree) -> None:
    """Taken from the working tree, whatever stands behind the `@`."""
    tree.write("templates/c.yml", COMPONENT)

    found = tree.body(f"[{{component: '$CI_SERVER_FQDN/$CI_PROJECT_PATH/c@{reference}'}}]")

    assert found["j"]["script"] == [said], source


def test_a_component_can_lie_in_a_folder_but_the_file_wins(tree: Tree) -> None:
    """doc/ci/components/_index.md, directory structure."""
    tree.write("templates/c/template.yml", COMPONENT)
    include = f"[{{component: {OWN}/c@main}}]"
    assert "j" in tree.body(include)

    tree.write("templates/c.yml", "k: {script: [s]}\n")
    assert list(tree.body(include)) == ["k"]


def test_a_component_twice_with_two_names(tree: Tree) -> None:
    """Two includes do not meet."""
    tree.write("templates/c.yml", COMPONENT)

    found = tree.body(f"[{{component: {OWN}/c@main}}, {{component: {OWN}/c@main, inputs: {{name: k}}}}]")

    assert list(found) == ["j", "k"]


PREFIXED = COMPONENT.replace("name: {default: j}", "name: {default: j}\n    job-prefix: {default: ''}")
PREFIXED = PREFIXED.replace("$[[ inputs.name ]]:", '"$[[ inputs.job-prefix ]]j":')
PREFIXED += '  variables: {NAME: "$[[ inputs.name ]]"}\n'
HELPER = "spec:\n  component: [name]\n---\nhelp: {script: [h], variables: {A: '$[[ component.name ]]'}}\n"
TWICE = [
    ("[a, {name: k}]", COMPONENT, ()),
    ("[a, {}]", COMPONENT, ()),
    ("[a, b]", COMPONENT, ("two includes give the CI job j; the second one wins: give them different names",)),
    ("[a, b]", PREFIXED, ("two includes give the CI job j; the second one wins: give them different job-prefix",)),
    ("[a, {job-prefix: x}]", PREFIXED, ()),
    (
        "[a, {name: k}]",
        PREFIXED,
        ("two includes give the CI job j; the second one wins: give them different job-prefix",),
    ),
    ("[a, b, c]", COMPONENT, ("3 includes give the CI job j; the last one wins: give them different names",)),
    ("[a, b]", HELPER, ()),
    ("[a, b]", HELPER.replace("[h]", "['$[[ component.name ]]']"), ("two includes give the CI job help; the second",)),
    (
        "[a, b]",
        HELPER.replace("[h]", "[h], artifacts: {paths: [x]}"),
        ("two includes give the CI job help; the second",),
    ),
    (
        "[a, b]",
        HELPER.replace("help:", ".help:") + "k: {extends: .help}",
        ("two includes give the CI job k; the second",),
    ),
    (
        "[a, b]",
        f"{HELPER}{JOB}m: ['$[[ component.name ]]']\nn: 1\no: 2\n",
        ("two includes give the CI jobs m, n, o; the",),
    ),
]


@pytest.mark.parametrize(("which", "text", "expected"), TWICE)
def test_ci_jobs_that_a_second_component_takes_away_are_warned_of(
    which: str, text: str, expected: tuple[str, ...], tree: Tree
) -> None:
    """GitLab merges them silently, doc/ci/yaml/includes.md, Merge method; nothing is lost if they do the same."""
    include = []
    for item in which.strip("[]").split(", "):
        name = item if item.isalpha() else "a"
        tree.write(f"templates/{name}.yml", text)
        inputs = "{}" if item.isalpha() else item
        include.append(f"{{component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/{name}@$CI_COMMIT_SHA, inputs: {inputs}}}")
    main = Source(name=".gitlab-ci.yml", text=f"include: [{', '.join(include)}]\n")

    warnings = gather(main, None, tree.on, Situation()).warnings

    assert len(warnings) == len(expected)
    assert all(found.startswith(said) for found, said in zip(warnings, expected, strict=True))


def test_many_ci_jobs_are_one_warning_that_the_preview_begins_with(tree: Tree) -> None:
    """With three names; doc/ci/yaml/includes.md, Merge method."""
    for name in ("a", "b"):
        jobs = "".join(f"j{number}: {{script: [{name}], rules: [{{when: always}}]}}\n" for number in range(5))
        tree.write(f"templates/{name}.yml", f"spec:\n  inputs: {{}}\n---\n{jobs}")
    address = "$CI_SERVER_FQDN/$CI_PROJECT_PATH"
    text = f"include: [{{component: {address}/a@$CI_COMMIT_SHA}}, {{component: {address}/b@$CI_COMMIT_SHA}}]\n"

    made = preview(Source(name=".gitlab-ci.yml", text=text), {}, tree.on, Situation())

    assert [job.keywords["script"] for job in made.jobs] == [["b"]] * 5
    assert made.warnings[0].startswith("two includes give the CI jobs j0, j1, j2 and 2 more; the second one wins")
    assert made.warnings[1].startswith("jobs:j0 may allow multiple pipelines")


def test_a_component_includes_files_of_its_own_project(tmp_path: Path) -> None:
    """doc/ci/yaml/_index.md, include:local: "checks that other project for the file"."""
    library = Tree(tmp_path / "septum")
    library.write("pyproject.toml", 'version = "1.2.3"\n')
    library.write("templates/c.yml", "include: shared.yml\nc: {script: [c]}\n")
    library.write("shared.yml", "shared: {script: [library]}\n")
    tree = Tree(tmp_path / "repository", library=library.folder)
    tree.write("shared.yml", "shared: {script: [repository]}\n")

    assert tree.body(f"[{{component: {SERVER}/g/septum/c@1}}]")["shared"]["script"] == ["library"]


LIBRARY = [("1.2.3", "1.2.3"), ("1.2", "1.2.3"), ("1", "1.2.3"), ("~latest", "1.2.3"), ("main", ""), (SHA, "")]


@pytest.mark.parametrize(("reference", "version"), LIBRARY)
def test_the_library_is_a_checkout_and_has_its_version(reference: str, version: str, tmp_path: Path) -> None:
    """A partial version leads to the release; a branch and a commit to none."""
    library = Tree(tmp_path / "septum")
    library.write("pyproject.toml", 'version = "1.2.3"\n')
    library.write("templates/c.yml", COMPONENT)
    tree = Tree(tmp_path / "repository", library=library.folder)

    found = tree.body(f"[{{component: {SERVER}/any/group/septum/c@{reference}}}]")

    assert found["j"]["script"] == [f"c {SHA} {version} {reference}"]


@pytest.mark.parametrize("reference", ["2", "1.3", "1.2.4", "12"])
def test_another_version_than_that_of_the_checkout_is_an_error(reference: str, tmp_path: Path) -> None:
    """GitLab would take other files than these."""
    library = Tree(tmp_path / "septum")
    library.write("pyproject.toml", 'version = "1.2.3"\n')
    tree = Tree(tmp_path, library=library.folder)

    error = tree.refused(f"[{{component: {SERVER}/g/septum/c@{reference}}}]")

    assert "is version 1.2.3" in error.what


MISSING = [
    (f"{OWN}/nope@main", "content not found", ""),
    (f"{SERVER}/other/lib/c@1", "is not on this machine", f"--component '{SERVER}/other/lib/c@1=FILE'"),
    (f"{SERVER}/g/septum/c@1", "needs a checkout of septum", "--library"),
    ("other.test/g/p/c@1", "the component path is not supported", "$CI_SERVER_FQDN"),
    (f"{OWN}/c", "the component path is not supported", ""),
    (f"{SERVER}/c@1", "content not found", ""),
    (f"{OWN}/c@", "content not found", ""),
]


@pytest.mark.parametrize(("address", "message", "fix"), MISSING, ids=[case[0] for case in MISSING])
def test_a_component_that_is_not_here_is_named(address: str, message: str, fix: str, tree: Tree) -> None:
    """With what to do."""
    error = tree.refused(f"[{{component: '{address}'}}]")

    assert isinstance(error, IncludeError)
    assert message in error.what
    assert fix in error.fix


GIVEN = [
    ("other/lib/c", "1.0.0", "1.0.0"),
    ("other/lib/c", "main", ""),
    ("other/lib/c@1.4.2", "1", "1.4.2"),
    ("other/lib/c@1.4.2", "1.4", "1.4.2"),
    ("other/lib/c@1.4.2", "~latest", "1.4.2"),
    ("other/lib/c@main", "main", ""),
]


@pytest.mark.parametrize(("address", "reference", "version"), GIVEN)
def test_a_component_of_others_is_a_file_that_the_user_gives(
    address: str, reference: str, version: str, tmp_path: Path
) -> None:
    """With a version that a partial one can lead to, if it is named."""
    file = Tree(tmp_path).write("copy.yml", COMPONENT)
    tree = Tree(tmp_path, components={f"{SERVER}/{address}": file})

    found = tree.body(f"[{{component: {SERVER}/other/lib/c@{reference}}}]")

    assert found["j"]["script"] == [f"c {SHA} {version} {reference}"]


def test_files_of_others_are_given_by_address(tmp_path: Path) -> None:
    """And what they include beside them, too."""
    plain = Tree(tmp_path)
    files = {
        "https://x.test/a.yml": plain.write("1.yml", "a: {script: [a]}\n"),
        "SAST.gitlab-ci.yml": plain.write("2.yml", "b: {script: [b]}\n"),
        "g/p:/c.yml": plain.write("3.yml", "include: /d.yml\nc: {script: [c]}\n"),
        "g/p:/d.yml": plain.write("4.yml", "d: {script: [d]}\n"),
    }
    tree = Tree(tmp_path, files=files)
    include = (
        "[{remote: 'https://x.test/a.yml'}, {template: SAST.gitlab-ci.yml}, {project: g/p, file: [c.yml, /d.yml]}]"
    )

    assert set(tree.body(include)) == {"a", "b", "c", "d"}


def test_the_readmes_own_example_gives_its_ci_jobs(tree: Tree) -> None:
    """components/analysis/README.md: two includes with two prefixes, from this checkout."""
    series = septum.__version__.rpartition(".")[0]
    address = f"$CI_SERVER_FQDN/cms-analysis/general/septum/analysis@{series}"
    entries = "".join(
        f"  - component: {address}\n    inputs: {{config: {year}/septum.yaml, job-prefix: y{year}-, result: r{year}}}\n"
        for year in (2023, 2024)
    )
    on = Tree(tree.folder, library=ROOT).on

    made = preview(Source(name=".gitlab-ci.yml", text=f"include:\n{entries}"), {}, on, Situation())

    names = [job.name for job in made.jobs]
    assert {"y2023-prepare", "y2023-submit", "y2023-collect", "y2024-prepare"} <= set(names)
    assert [job.values["SEPTUM_CONFIG"] for job in made.jobs if job.name == "y2024-submit"] == ["2024/septum.yaml"]

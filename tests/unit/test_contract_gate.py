"""No commit may follow a release that breaks its promise: the gate on small repositories with real tags."""

from __future__ import annotations

import argparse
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from septum.cli import contract as cli
from septum.components import catalog
from septum.components.contract.change import Bump, Change
from septum.components.contract.gate import (
    Entry,
    Version,
    entries_since,
    judge,
    releases,
    skeleton,
    smallest_version,
    version_from,
)
from septum.components.contract.reading import CONTRACT, contract_of
from septum.components.contract.stored import to_json
from septum.components.model import Component, Deprecation, Input
from septum.errors import ContractError

YAML = """
spec:
  inputs:
    job-prefix: {default: mini-}
    color: {default: red}
    size: {default: small, options: [small, large]}
---
"$[[ inputs.job-prefix ]]run":
  variables: {SEPTUM_COLOR: "$[[ inputs.color ]]", SEPTUM_SIZE: "$[[ inputs.size ]]"}
  script: [septum run]
  artifacts: {paths: [out/], access: developer}
"""
WITHOUT_COLOR = YAML.replace("    color: {default: red}\n", "").replace('SEPTUM_COLOR: "$[[ inputs.color ]]", ', "")
BLUE = YAML.replace("default: red", "default: blue")
GOING = Deprecation(since="1.3", removal="2.0", instead="Write `paint`.")


# ── versions ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("released", "bump", "needed"),
    [
        ("1.2.3", Bump.MAJOR, "2.0.0"),
        ("1.2.3", Bump.MINOR, "1.3.0"),
        ("1.2.3", Bump.PATCH, "1.2.4"),
        ("1.2.3", None, "1.2.3"),
        ("0.2.3", Bump.MAJOR, "0.3.0"),
        ("0.2.3", Bump.MINOR, "0.2.4"),
        ("0.0.3", Bump.MAJOR, "0.1.0"),
    ],
)
def test_the_smallest_version_after_a_release(released: str, bump: Bump | None, needed: str) -> None:
    """Before 1.0, the second number stands for what breaks, as `@0.2` in an include has it."""
    assert str(smallest_version(version_from(released), bump)) == needed


@pytest.mark.parametrize("text", ["", "1", "one.two", "1.2.3 4", "v1.2.3", "1" * 5000 + ".2", "-1.2.3", "1.2\n"])
def test_what_is_no_version_is_an_error(text: str) -> None:
    """And no traceback."""
    with pytest.raises(ContractError, match="is not a version"):
        version_from(text)


def test_a_candidate_counts_as_its_release() -> None:
    """A tag 1.3.0-rc.1 has to keep what 1.3.0 has to keep."""
    assert version_from("1.3.0-rc.1") == version_from("1.3.0rc1") == version_from("1.3") == Version(1, 3, 0)


# ── the changelog ───────────────────────────────────────────────────────────────────────────────────────────────

CHANGELOG = """# Changelog

Words about `color`.

## [Unreleased]

### Added

- Component `mini`: `color: blue`
  is possible.

### Removed

- Another.

## [1.3.0] - unreleased

- Third

## [1.2.0] - 2025-02-01

- Released `size`.

## [1.1.0] - 2025-01-01
"""


def test_entries_of_what_is_not_released_yet() -> None:
    """Each in one line, however it is wrapped; nothing of the releases."""
    entries = entries_since(CHANGELOG, Version(1, 2))

    assert entries == (
        Entry(text="- Component `mini`: `color: blue` is possible.", section="Added"),
        Entry(text="- Another.", section="Removed"),
        Entry(text="- Third", section=""),
    )
    assert releases(CHANGELOG) == (Version(1, 2), Version(1, 1))
    assert entries_since("", Version(1, 2)) == ()
    assert releases("") == ()


# ── small repositories ──────────────────────────────────────────────────────────────────────────────────────────


class Library:
    """A library with one component, in a git repository."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        (root / "components").mkdir(parents=True)
        (root / "templates").mkdir()
        (root / "components" / "_macros.j2").touch()
        self.model(None)
        self.write(YAML, "1.2.0", "## [1.2.0] - 2025-02-01\n")
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, root: Path | None = None) -> None:
        """Call git, with nothing of this machine's configuration."""
        who = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org", "-c", "protocol.file.allow=always"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        nowhere = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        subprocess.run(
            ["git", *who, *arguments],
            cwd=root or self.root,
            env={**environ, **nowhere},
            check=True,
            capture_output=True,
        )

    def model(self, deprecated: Deprecation | None) -> None:
        """What the model says about the input `color`."""
        color = Input(name="color", description="Of the plot.", default="red", deprecated=deprecated)
        mini = Component(name="mini", summary="A small one.", inputs=(color,), jobs=())
        self._monkeypatch.setattr(catalog, "COMPONENTS", (mini,))

    def write(self, text: str, version: str, changelog: str) -> None:
        """Write the files of a state, and the contract that follows from them."""
        (self.root / "templates" / "mini.yml").write_text(text)
        (self.root / "pyproject.toml").write_text(f'version = "{version}"\n')
        (self.root / "CHANGELOG.md").write_text(f"# Changelog\n\n{changelog}")
        assert self.run() == 0

    def release(self, tag: str) -> None:
        """Commit all, and tag it."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", tag)
        self.git("tag", tag)

    def run(self, *arguments: str, root: Path | None = None) -> int:
        """Call `septum component contract`."""
        parser = argparse.ArgumentParser()
        cli.register_actions(parser.add_subparsers())
        args = parser.parse_args(["contract", "--root", str(root or self.root), *arguments])
        code: int = args.handler(args)
        return code

    def refused(self, *arguments: str, root: Path | None = None) -> str:
        """What the gate says against the state."""
        with pytest.raises(ContractError) as caught:
            self.run("--check", *arguments, root=root)
        return str(caught.value)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Released as 1.2.0, with one commit since."""
    made = Library(tmp_path / "library", monkeypatch)
    made.release("1.2.0")
    made.git("commit", "--quiet", "--allow-empty", "--message", "next")
    return made


LINE = "## [Unreleased]\n\n### Changed\n\n- Component `mini`: {}\n\n## [1.2.0] - 2025-02-01\n"


def test_a_commit_that_changes_nothing_may_follow(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    """With the version of the release, or a larger one."""
    assert library.run("--check") == 0
    assert "it may follow 1.2.0" in capsys.readouterr().out

    library.write(YAML, "1.2.1", LINE.format("a mistake less."))
    assert library.run("--check") == 0


def test_a_version_that_goes_back_may_not_follow(library: Library) -> None:
    """Here by a file, since a branch for 1.1 has its own last release."""
    before = library.root / CONTRACT
    copy = library.root / "before.json"
    copy.write_bytes(before.read_bytes())
    library.write(YAML, "1.1.9", "")

    assert "version 1.1.9 is too small after 1.2.0" in library.refused("--against", str(copy))


def test_a_changed_default_without_a_line_in_the_changelog_fails(library: Library) -> None:
    """Also if the version is right; a line about something else is none."""
    library.write(BLUE, "1.3.0", LINE.format("`size` is another."))

    said = library.refused()

    assert (
        "CHANGELOG.md does not say: component `mini`: the input `color` has the default `blue`, and had `red`" in said
    )
    assert "septum component contract --changelog" in said


@pytest.mark.parametrize(
    "line", ["`color` is blue.", "now `color: blue`.", "all the same; of every component `color`."]
)
def test_a_changed_default_with_its_line_passes(library: Library, line: str) -> None:
    """The line names the input, alone or with its value."""
    library.write(BLUE, "1.3.0", LINE.format(line))

    assert library.run("--check") == 0


@pytest.mark.parametrize("line", ["color is blue.", "`colors` are.", "`my-color: blue`."])
def test_a_line_that_names_something_else_does_not_count(library: Library, line: str) -> None:
    """In backticks, and the whole name."""
    library.write(BLUE, "1.3.0", LINE.format(line))

    assert "CHANGELOG.md does not say" in library.refused()


def test_the_line_names_the_component(library: Library) -> None:
    """An input of the same name stands in other components, too."""
    library.write(BLUE, "1.3.0", LINE.format("`color` is blue.").replace("`mini`", "`other`"))
    assert "CHANGELOG.md does not say" in library.refused()

    library.write(BLUE, "1.3.0", LINE.format("`color` is blue.").replace("Component `mini`", "All components"))
    assert library.run("--check") == 0


def test_a_changed_default_without_a_new_version_fails(library: Library) -> None:
    """The smallest that may follow is named, and why."""
    library.write(BLUE, "1.2.1", LINE.format("`color` is blue."))

    said = library.refused()

    assert (
        "version 1.2.1 is too small after 1.2.0; it must be at least 1.3.0: the input `color` has the default" in said
    )


def test_a_removed_input_without_a_major_version_fails(library: Library) -> None:
    """Even if it was announced and is in the changelog."""
    library.model(replace(GOING, removal="1.4"))
    library.write(YAML, "1.3.0", "## [1.3.0] - 2025-03-01\n\n- Component `mini`: `color` goes.\n")
    library.release("1.3.0")
    library.model(None)
    gone = "## [Unreleased]\n\n- Component `mini`: `color` and `SEPTUM_COLOR` are gone.\n\n## [1.3.0] - 2025-03-01\n"
    library.write(WITHOUT_COLOR, "1.4.0", gone)

    assert "version 1.4.0 is too small after 1.3.0; it must be at least 2.0.0" in library.refused()


def test_an_input_may_go_with_the_major_version_that_was_announced(library: Library) -> None:
    """Deprecated in one release, removed in the next major one: passes. Without the first step it does not."""
    gone = "- **Breaking.** Component `mini`: `color` and `SEPTUM_COLOR` are gone.\n\n"
    library.write(WITHOUT_COLOR, "2.0.0", f"## [Unreleased]\n\n{gone}## [1.2.0] - 2025-02-01\n")
    assert "the last release did not say that it would go: deprecate it first" in library.refused()

    library.model(GOING)
    announced = "## [1.3.0] - 2025-03-01\n\n### Deprecated\n\n- Component `mini`: `color` goes; write `paint`.\n"
    library.write(YAML, "1.3.0", announced)
    assert library.run("--check") == 0
    library.release("1.3.0")

    library.model(None)
    library.write(WITHOUT_COLOR, "2.0.0", f"## [2.0.0] - 2025-04-01\n\n{gone}{announced}")
    assert library.run("--check") == 0


def test_a_promise_until_later_is_kept(library: Library) -> None:
    """Promised until 3.0, it may not go with 2.0; nor may the promise be shortened."""
    library.model(replace(GOING, removal="3.0"))
    library.write(YAML, "1.3.0", "## [1.3.0] - 2025-03-01\n\n- Component `mini`: `color` goes.\n")
    library.release("1.3.0")

    library.model(replace(GOING, removal="2.0"))
    line = "## [Unreleased]\n\n### Removed\n\n- Component `mini`: `color`, `SEPTUM_COLOR`.\n\n## [1.3.0] - 2025-03-01\n"
    library.write(YAML, "1.4.0", line)
    assert "was promised until 3.0, and is to go with 2.0" in library.refused()

    library.model(None)
    library.write(WITHOUT_COLOR, "2.0.0", line)
    assert "is gone with 2.0.0, and was promised until 3.0" in library.refused()


@pytest.mark.parametrize(
    ("changed", "text", "said"),
    [
        ({"instead": " "}, YAML, "without a word on what to take instead"),
        ({"removal": "1.9"}, YAML, "may not go before 2.0.0; its removal says 1.9"),
        ({"since": "1.2"}, YAML, "says since 1.2: write 1.3.0"),
        ({"since": "1.4"}, YAML, "says since 1.4: write 1.3.0"),
        ({"removal": "soon"}, YAML, "'soon' is not a version"),
        ({}, YAML.replace('"$[[ inputs.color ]]"', "red"), "is deprecated, and has no effect"),
        ({}, YAML.replace("color: {default: red}", "color: {}"), "is deprecated, and cannot be left out"),
    ],
)
def test_a_deprecation_says_what_it_has_to_and_the_input_still_works(
    library: Library, changed: dict[str, str], text: str, said: str
) -> None:
    """Since when, until when, what instead."""
    library.model(replace(GOING, **changed))
    library.write(text, "1.3.0", LINE.format("`color` goes; write `paint`."))

    assert said in library.refused()


def test_before_1_0_what_breaks_raises_the_second_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And everything else the third; what goes has to be announced all the same."""
    library = Library(tmp_path / "young", monkeypatch)
    library.model(replace(GOING, since="0.4", removal="0.5"))
    library.write(YAML, "0.4.0", "## [0.4.0] - 2025-01-01\n")
    library.release("0.4.0")
    library.model(None)
    line = "## [Unreleased]\n\n### Removed\n\n- Component `mini`: `color`, `SEPTUM_COLOR`.\n\n## [0.4.0] - 2025-01-01\n"

    library.write(WITHOUT_COLOR, "0.4.1", line)
    assert "must be at least 0.5.0" in library.refused()
    library.write(WITHOUT_COLOR, "0.5.0", line)
    assert library.run("--check") == 0

    library.model(replace(GOING, since="0.4", removal="0.5"))
    library.write(BLUE, "0.4.1", line)
    assert library.run("--check") == 0


def test_the_skeleton_is_what_the_gate_asks_for(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    """Pasted into the changelog as it is, it satisfies the gate."""
    more = BLUE.replace("options: [small, large]", "options: [small, large, huge]") + "  retry: 1\n"
    more = more.replace("paths: [out/]", "paths: [out/, more/]")
    library.write(more, "1.3.0", "")
    capsys.readouterr()

    assert library.run("--changelog") == 0
    printed = capsys.readouterr().out
    assert "### Added\n\n- Component `mini`: the CI job `run` leaves `more/` as well.\n" in printed
    assert "- Component `mini`: the input `size` takes `huge` as well.\n" in printed

    assert "CHANGELOG.md does not say" in library.refused()
    library.write(more, "1.3.0", printed)
    assert library.run("--check") == 0


def _gone(component: str, subject: str, text: str = "the CI job `{}` is gone") -> Change:
    return Change(
        kind="Removed", bump=Bump.MAJOR, component=component, thing="CI job", subject=subject,
        text=text.format(subject),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "entries"),
    [
        ([], []),
        ([_gone("a", "x"), _gone("b", "x")], ["Components `a`, `b`: the CI job `x` is gone."]),
        ([_gone("a", f"hop-{n}") for n in (1, 2, 3)], ["Component `a`: the CI job `hop-1` to `hop-3` is gone."]),
        ([_gone("a", "hop-2")], ["Component `a`: the CI job `hop-2` is gone."]),
        (
            [_gone("a", "hop-1"), _gone("a", "hop-3")],
            ["Component `a`: the CI job `hop-1` is gone.", "Component `a`: the CI job `hop-3` is gone."],
        ),
        ([_gone("", "E001", "the error `{}` is gone")], ["The error `E001` is gone."]),
    ],
)
def test_the_skeleton_marks_what_breaks_and_joins_what_is_the_same(changes: list[Change], entries: list[str]) -> None:
    """A person puts it into words; the gate takes it as it is."""
    text = skeleton(changes)

    assert [line for line in text.splitlines() if line.startswith("-")] == [f"- **Breaking.** {it}" for it in entries]
    written = entries_since(text, Version(1, 0))
    assert all(any(entry.says(change) for entry in written) for change in changes)


NARROW = YAML.replace("options: [small, large]", "options: [small]")


@pytest.mark.parametrize(
    ("section", "line", "open_enough"),
    [
        ("Added", "Component `mini`: `size` has fewer options.", False),
        ("Fixed", "Component `mini`: `size` is read faster.", False),
        ("Fixed", "**Breaking.** Component `mini`: `size` has fewer options.", True),
        ("Fixed", "**Breaking**: component `mini` has fewer options for `size`.", True),
        ("Changed", "Component `mini`: `size` has fewer options.", True),
        ("Removed", "Component `mini`: `size: large`.", True),
        ("Changed", "Component `mini`: `color` is brighter.", False),
    ],
)
def test_what_breaks_is_said_openly(library: Library, section: str, line: str, open_enough: bool) -> None:  # noqa: FBT001
    """Under Changed or Removed, or after the word; a line that only names it is not enough."""
    library.write(NARROW, "2.0.0", f"## [Unreleased]\n\n### {section}\n\n- {line}\n\n## [1.2.0] - 2025-02-01\n")

    if open_enough:
        assert library.run("--check") == 0
    else:
        said = library.refused()
        assert (
            "does not say, under Changed or Removed, or after **Breaking**: component `mini`: the input `size`" in said
        )


def test_a_ci_job_for_forks_is_refused_whatever_the_version(library: Library) -> None:
    """Also before the first release: no number of a version makes the code of strangers harmless."""
    runs = YAML.replace("  script:", "  rules: [{if: $CI_PIPELINE_SOURCE}]\n  script:")
    said = "runs `run` in a merge request of a fork (with no input): that must never be"
    library.write(runs, "9.0.0", LINE.format("`run` runs always."))
    assert said in library.refused()

    (complaint,) = judge(None, contract_of(library.root), "")
    assert said in complaint


def test_a_stale_contract_fails(library: Library) -> None:
    """The file that the next release is compared with is written with the commit."""
    (library.root / "templates" / "mini.yml").write_text(BLUE)
    assert "components/contract.json does not say what" in library.refused()

    (library.root / CONTRACT).unlink()
    assert "components/contract.json does not say what" in library.refused()


# ── the last release ────────────────────────────────────────────────────────────────────────────────────────────


def test_before_the_first_release_everything_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No tag, no date in the changelog: nothing can break. So it is outside of a git repository."""
    library = Library(tmp_path / "new", monkeypatch)
    library.write(YAML, "0.1.0", "## [0.1.0] - unreleased\n")
    assert library.run("--check") == 0
    assert "there is no release yet" in capsys.readouterr().out

    library.git("add", "--all")
    library.git("commit", "--quiet", "--message", "first")
    library.git("tag", "not-a-version")
    assert library.run("--check") == 0
    assert library.run("--changelog") == 0
    assert "everything is new" in capsys.readouterr().err

    # The commit that is about to be tagged has its date already.
    library.write(YAML, "0.1.0", "## [0.1.0] - 2025-01-01\n")
    assert library.run("--check") == 0


def test_a_clone_without_the_tags_is_told_so(library: Library, tmp_path: Path) -> None:
    """It does not pass as if there had been no release."""
    library.write(BLUE, "1.3.0", LINE.format("`color` is blue."))
    library.git("add", "--all")
    library.git("commit", "--quiet", "--message", "blue")
    url = library.root.as_uri()
    for name, option in (("shallow", ["--depth=1"]), ("bare", ["--no-tags"])):
        clone = tmp_path / name
        library.git("clone", "--quiet", "--no-tags", *option, url, str(clone), root=tmp_path)
        said = library.refused(root=clone)
        assert "the tag of the last release, 1.2.0, is not in this clone" in said
        assert "git fetch --tags" in said
        assert ("the clone is shallow" in said) == (name == "shallow")

        library.git("fetch", "--quiet", "--tags", root=clone)
        assert library.run("--check", root=clone) == 0


def test_a_shallow_clone_of_the_first_release_is_told_so(library: Library, tmp_path: Path) -> None:
    """Its changelog has one date, and nobody can see whether its tag is missing here or everywhere."""
    clone = tmp_path / "clone"
    library.git("clone", "--quiet", "--no-tags", "--depth=1", library.root.as_uri(), str(clone), root=tmp_path)

    assert "1.2.0, is not in this clone" in library.refused(root=clone)


def test_the_pipeline_of_a_tag_is_compared_with_the_release_before(library: Library) -> None:
    """Compared with itself, everything would pass."""
    library.write(BLUE, "1.3.0", "## [1.3.0] - 2025-03-01\n\n## [1.2.0] - 2025-02-01\n")
    library.release("1.3.0")
    assert "the input `color` has the default `blue`" in library.refused()

    library.git("commit", "--quiet", "--allow-empty", "--message", "next")
    assert library.run("--check") == 0


def test_a_branch_for_an_old_version_is_compared_with_its_own_release(library: Library) -> None:
    """2.0.0 and candidates do not concern 1.2.1."""
    library.git("tag", "1.2.1-rc.1")
    library.git("checkout", "--quiet", "-b", "two")
    library.write(BLUE, "2.0.0", "")
    library.release("2.0.0")
    library.git("checkout", "--quiet", "main")
    library.write(YAML, "1.2.1", LINE.format("a mistake less."))

    assert library.run("--check") == 0


@pytest.mark.parametrize("against", ["1.1.0", "nothing", "-rf", "--output=x", "HEAD:nowhere", "", "a b\n"])
def test_another_release_that_does_not_exist_is_an_error(library: Library, against: str) -> None:
    """Whatever it looks like, git takes it for the name of a commit."""
    if not against:
        assert library.run("--check", "--against=") == 0
        return

    with pytest.raises(ContractError, match=r"has no components/contract\.json here"):
        library.run("--check", f"--against={against}")


def test_a_release_without_a_contract_is_an_error(library: Library) -> None:
    """Or one whose contract is something else."""
    library.git("rm", "--quiet", "--cached", str(CONTRACT))
    library.git("commit", "--quiet", "--message", "none")
    library.git("tag", "1.2.5")
    library.write(YAML, "1.2.6", "")
    assert "has no components/contract.json here" in library.refused()

    library.git("add", "--all")
    (library.root / CONTRACT).write_text("{}")
    library.git("add", "--all")
    library.git("commit", "--quiet", "--message", "broken")
    library.git("tag", "--force", "1.2.5")
    library.write(YAML, "1.2.6", "")
    assert "components/contract.json of refs/tags/1.2.5 is not a contract" in library.refused()


def test_git_that_does_not_answer_is_an_error(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none, or it takes too long."""
    monkeypatch.setenv("PATH", str(library.root))

    assert "git did not answer" in library.refused()


def test_the_gate_itself_is_pure(library: Library) -> None:
    """Two contracts and a text give the same answer, wherever they come from."""
    old = contract_of(library.root)
    library.write(BLUE, "1.3.0", "")
    new = contract_of(library.root)

    assert judge(old, old, "") == judge(None, new, "") == ()
    assert len(judge(old, new, "")) == 1
    assert (library.root / CONTRACT).read_text() == to_json(new)

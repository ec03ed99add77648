"""A framework's own merge runs over the verified outputs of all parts, and what it wrote is checked, not believed."""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from septum.assembly import choose as choose_parts
from septum.errors import ConfigError, MergeCommandError, MergeFailedError, ProductError, SeptumError
from septum.ledger import StoredOutput
from septum.merge import command as own_merge
from septum.merge.choice import choose
from septum.merge.command import SCRIPT, HandedOver, Way, first_word
from septum.merge.results import Merger, Result
from septum.plan import Plan
from septum.verify import measure
from septum.worker.sandbox import output_name
from tests.fakes.analyses import BASE, plan_of
from tests.fakes.rootfiles import H, read_cells, write_root

TOOLS = ("sh", "dirname", "cut", "cp", "mv", "rm", "mkdir", "rmdir", "chmod", "sort", "wc", "tr", "sha256sum", "cat")
"""All that the script needs of an image, and no Python; `cat` is the framework's."""
SHELLS = [pytest.param(("dash",), id="dash"), pytest.param(("bash", "--posix"), id="bash")]
GOOD = "cp made/good.root all.root"


def _part(number: int) -> dict[str, H]:
    return {"h": H(cells=[1, number, 2, 0]), "h_SPECIAL_0": H(cells=[0, 1, number, 0])}


def _sum(*numbers: int) -> dict[str, H]:
    parts = [_part(number) for number in numbers]
    return {
        name: H(cells=[sum(cells) for cells in zip(*(part[name].cells for part in parts), strict=True)])
        for name in parts[0]
    }


class Rig:
    """A repository whose outputs have been verified, and a merger of them."""

    def __init__(
        self, folder: Path, command: str | Sequence[str], *, changes: Sequence[str] = (), **rule: object
    ) -> None:
        self.root = folder / "re po's"
        (self.root / "made").mkdir(parents=True)
        whole = {"with": command, "at": "rootFiles/{seed}.root", "changes": list(changes), **rule}
        text = {
            "command": ["run"],
            "outputs": ["h.root"],
            "parts": {"list": [{"seed": str(number)} for number in range(3)]},
            "merge": {"all.root": whole},
        }
        self.plan: Plan = plan_of(json.dumps(text), self.root)
        self.state = self.root / ".septum"
        self.outputs, self.scratch = self.state / "outputs", self.state / "merge"
        self.outputs.mkdir(parents=True)
        self.environ = {"PATH": os.environ["PATH"]}
        for part in self.plan.parts:
            write_root(self.outputs / output_name(part.id, 0), _part(part.index))
        self.make("good", {**_sum(0, 1, 2), "h_envelope": H(cells=[0, 7, 8, 0])})

    def make(self, name: str, objects: dict[str, H]) -> Path:
        """A file for the command to give out as its product."""
        return write_root(self.root / "made" / f"{name}.root", objects)

    def merge(self, hand_over: str = "", *, left_s: float = 60.0, plan: Plan | None = None) -> Result:
        """As a collect does that begins anew; there is one result."""
        (result,) = self.merge_all(hand_over, left_s=left_s, plan=plan)
        return result

    def merge_all(self, hand_over: str = "", *, left_s: float = 60.0, plan: Plan | None = None) -> list[Result]:
        """The same for several."""
        plan = plan or self.plan
        way = Way(root=self.root, environ=self.environ, hand_over=hand_over, left_s=lambda: left_s)
        merger = Merger(
            plan,
            lambda path, name: choose(path, name=name, environ=self.environ, policies={}),
            outputs=self.outputs,
            scratch=self.scratch,
            way=way,
        )
        for part in plan.parts:
            path = self.outputs / output_name(part.id, 0)
            size_b, sha256 = measure(path)
            stored = StoredOutput(part=part.id, output=0, path=path.name, size_b=size_b, sha256=sha256)
            reading = merger.read(part, 0, path)
            assert reading is not None
            merger.add(part.id, [stored], {0: reading})
        return merger.finish()

    def hand_over(self) -> Path:
        """The script that a CI job in another image runs."""
        with pytest.raises(HandedOver) as caught:
            self.merge("yes")
        return caught.value.script

    def run(self, shell: Sequence[str] = ("sh",), *, script: Path | None = None) -> subprocess.CompletedProcess[str]:
        """What that CI job does; the environment has no Python."""
        return subprocess.run(
            [*(shutil.which(shell[0]) or shell[0], *shell[1:]), str((script or self.script).relative_to(self.root))],
            cwd=self.root,
            env={"PATH": str(_bare_path(self.root.parent))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )

    @property
    def script(self) -> Path:
        """What runs all commands."""
        return self.scratch / SCRIPT

    @property
    def folder(self) -> Path:
        """Where the one result is handed over."""
        return self.scratch / "command-0"

    def files(self) -> list[str]:
        """What stands in the repository beside what was there before."""
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in self.root.rglob("*")
            if not path.is_relative_to(self.state) and "made" not in path.relative_to(self.root).parts
        )


def _bare_path(folder: Path) -> Path:
    """A PATH with what the script needs, and nothing else."""
    path = folder / "bin"
    if not path.is_dir():
        path.mkdir()
        for tool in TOOLS:
            (path / tool).symlink_to(shutil.which(tool) or tool)
    return path


# ── it runs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_product_is_the_result(tmp_path: Path) -> None:
    """With what the command adds, and with the count of what equals the sum of the parts."""
    rig = Rig(tmp_path, GOOD)
    result = rig.merge()

    assert (result.name, result.parts, result.missing) == ("all.root", ("0000", "0001", "0002"), ())
    assert sorted(result.objects) == ["h", "h_SPECIAL_0", "h_envelope"]
    assert (result.stamp, result.engine) == ("", "command: cp")
    assert measure(result.path) == (result.size_b, result.sha256) == measure(rig.root / "made/good.root")
    assert read_cells(result.path, "h") == [3, 3, 6, 0]
    assert result.own is not None
    assert result.own.stamp.startswith("septum:")
    assert result.own.says() == "merged by the framework's command; 2 objects equal the sum of the parts, 1 new"


def test_nothing_is_left_in_the_repository(tmp_path: Path) -> None:
    """Neither the outputs that were laid, nor the folders made for them, nor the product."""
    rig = Rig(tmp_path, GOOD, at="a/b/{seed}/x.root")
    rig.merge()

    assert rig.files() == []


def test_the_command_finds_all_outputs(tmp_path: Path) -> None:
    """Each at its place, listed in the order of the plan, from the root of the repository, with nothing to read."""
    rig = Rig(
        tmp_path,
        'pwd > made/where\ncat "$MERGE_INPUTS" > made/list\ncat rootFiles/*.root > made/bytes\ncat > made/stdin\n'
        'cp made/good.root "$MERGE_PRODUCT"; echo "$MERGE_RESULT" > made/name',
    )
    rig.merge()
    made = rig.root / "made"

    assert (made / "list").read_text() == "rootFiles/0.root\nrootFiles/1.root\nrootFiles/2.root\n"
    assert (made / "bytes").read_bytes() == b"".join(path.read_bytes() for path in sorted(rig.outputs.iterdir()))
    assert (made / "where").read_text() == f"{rig.root.resolve()}\n"
    assert (made / "stdin").read_text() == ""
    assert (made / "name").read_text() == "all.root\n"


def test_words_are_taken_as_they_are(tmp_path: Path) -> None:
    """A command of words sees no shell."""
    strange = "$(touch ran) it's; a *.root"
    rig = Rig(tmp_path, ["cp", f"made/{strange}", "all.root"])
    shutil.copyfile(rig.root / "made/good.root", rig.root / "made" / strange)

    assert rig.merge().engine == "command: cp"
    assert rig.files() == []


def test_a_script_ends_at_its_first_failure(tmp_path: Path) -> None:
    """What comes after it would work on half a merge."""
    rig = Rig(tmp_path, f"false\n{GOOD}")

    with pytest.raises(MergeCommandError, match="ended with exit code 1"):
        rig.merge()


def test_bash_where_the_analysis_says_so(tmp_path: Path) -> None:
    """With its own words, and a failure inside of a pipe is one."""
    for number, (script, works) in enumerate([(f"[[ a == a ]] && {GOOD}", True), (f"false | true\n{GOOD}", False)]):
        rig = Rig(tmp_path / str(number), script)
        rig.plan = replace(rig.plan, shell="bash")
        if works:
            assert rig.merge().engine == "command: [["
        else:
            with pytest.raises(MergeCommandError, match="exit code 1"):
                rig.merge()


def test_a_product_in_a_folder(tmp_path: Path) -> None:
    """The folder is there when the command runs, and gone when it was made for it."""
    rig = Rig(tmp_path, "cp made/good.root deep/er/all.root; touch deep/log", product="deep/er/all.root")
    rig.merge()

    assert rig.files() == ["deep", "deep/log"]


def test_the_environment_is_the_one_given(tmp_path: Path) -> None:
    """And with it, what `prepare` gets; no secret of septum's."""
    rig = Rig(tmp_path, f"env > made/environment; {GOOD}")
    rig.environ["ONLY"] = "this"
    rig.merge()
    names = {line.partition("=")[0] for line in (rig.root / "made/environment").read_text().splitlines()}

    assert names - {"_", "PWD", "OLDPWD", "SHLVL"} == {"ONLY", "PATH", "MERGE_RESULT", "MERGE_PRODUCT", "MERGE_INPUTS"}


def test_a_command_may_do_what_it_likes_with_its_inputs(tmp_path: Path) -> None:
    """They are copies: the verified outputs stay what they were, and a second collect can start again."""
    rig = Rig(tmp_path, f"echo more >> rootFiles/0.root; rm rootFiles/1.root; chmod 0 rootFiles/2.root; {GOOD}")
    before = {path.name: measure(path) for path in rig.outputs.iterdir()}
    rig.merge()

    assert {path.name: measure(path) for path in rig.outputs.iterdir()} == before
    assert rig.files() == []


def test_again(tmp_path: Path) -> None:
    """A collect that is started again takes the product that is there, and the command does not run twice."""
    rig = Rig(tmp_path, f"echo ran >> made/count; {GOOD}")
    first = rig.merge()
    first.path.unlink()  # as publishing moves it away
    again = rig.merge()

    assert again.sha256 == first.sha256
    assert again.path.is_file()
    assert (rig.root / "made/count").read_text() == "ran\n"


def test_a_choice_of_parts_does_not_run_it(tmp_path: Path) -> None:
    """It wants the complete set: the result is septum's own sum, and says so."""
    rig = Rig(tmp_path, "touch made/ran")
    (rig.outputs / output_name("0002", 0)).unlink()
    result = rig.merge(plan=choose_parts(rig.plan, "2"))

    assert not (rig.root / "made/ran").exists()
    assert result.stamp
    assert not result.engine.startswith("command")
    assert result.own is not None
    assert not result.own.ran
    assert "was not run" in result.own.says()


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (["hadd", "-f"], "hadd"),
        ("# a remark\n\n  ./merge.sh --all\n", "./merge.sh"),
        ("\x1b[2Jrm", "\\x1b[2Jrm"),
        ("", ""),
        (["x" * 500], "x" * 60),
    ],
)
def test_the_name_of_a_command(command: str | Sequence[str], word: str) -> None:
    """Its first word, fit for a line of a report."""
    assert first_word(command) == word


# ── it fails ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo 'no such file' >&2; exit 7", "the command ended with exit code 7"),
        ("./not-there", "the command ended with exit code 127"),
        ("kill -9 $$", "the command ended with exit code 137"),
        ("true", "did not write all.root"),
        (": > all.root", "all.root is empty"),
        ("mkdir all.root", "did not write all.root"),
        ("ln -s made/good.root all.root", "all.root is a link"),
        ("exec cp made/good.root elsewhere.root", "did not write all.root"),
    ],
)
def test_no_product(tmp_path: Path, command: str, says: str) -> None:
    """Exit code 0 is no proof of anything; there is no result, and nothing that was laid is left."""
    rig = Rig(tmp_path, command)

    with pytest.raises(MergeCommandError, match=says) as caught:
        rig.merge()
    assert str(rig.folder / "log") in caught.value.fix
    assert caught.value.exit_code == 40
    assert [name for name in rig.files() if name != "elsewhere.root"] == []


def test_its_own_words_are_the_evidence(tmp_path: Path) -> None:
    """The last lines of its log, and no sequence that a terminal would obey."""
    rig = Rig(
        tmp_path, "i=0; while [ $i -lt 99 ]; do echo line $i; i=$((i+1)); done; printf '\\033[2J gone\\n'; exit 3"
    )

    with pytest.raises(MergeCommandError) as caught:
        rig.merge()
    assert "line 98\n\\x1b[2J gone" in caught.value.evidence
    assert "line 50" not in caught.value.evidence
    assert "\x1b" not in str(caught.value)


def _missing(rig: Rig) -> dict[str, H]:
    return {"h": _sum(0, 1, 2)["h"]}


def _nan(rig: Rig) -> dict[str, H]:
    return {**_sum(0, 1, 2), "h": H(cells=[3, math.nan, 6, 0])}


def _rebinned(rig: Rig) -> dict[str, H]:
    return {**_sum(0, 1, 2), "h": H(cells=[3, 3, 6, 0], high=2.0)}


@pytest.mark.parametrize(
    ("objects", "evidence"),
    [
        (lambda _: _sum(0, 1), "h: different"),
        (lambda _: _sum(0, 1, 2, 2), "h: different"),
        (_missing, "h_SPECIAL_0: missing"),
        (_nan, "h: different"),
        (_rebinned, "h: other structure"),
        (lambda _: {"other": H(cells=[1, 2, 3, 4])}, "h: missing"),
    ],
)
def test_a_product_that_is_not_the_sum(tmp_path: Path, objects: Callable[[Rig], dict[str, H]], evidence: str) -> None:
    """A shard dropped, one counted twice, an object lost, NaN in a bin, another axis: refused, and named."""
    rig = Rig(tmp_path, "cp made/bad.root all.root")
    rig.make("bad", objects(rig))

    with pytest.raises(ProductError) as caught:
        rig.merge()
    assert evidence in caught.value.evidence
    assert (caught.value.code, caught.value.exit_code) == ("E411", 43)
    assert "changes: ['h" in caught.value.fix


@pytest.mark.parametrize("kept", [0, 100, 2000, -1])
def test_a_product_that_is_cut_off(tmp_path: Path, kept: int) -> None:
    """Or that is no ROOT file at all."""
    rig = Rig(tmp_path, "cp made/cut.root all.root")
    whole = (rig.root / "made/good.root").read_bytes()
    (rig.root / "made/cut.root").write_bytes(whole[:kept] or b"<html>503</html>")

    with pytest.raises(ProductError, match="cannot be read as a whole file") as caught:
        rig.merge()
    assert "all.root of the framework's command" in caught.value.evidence


def test_the_words_of_a_command_that_passes_over_its_failure_are_shown(tmp_path: Path) -> None:
    """Such as a program that is not there, behind a shell line of which nobody reads the exit code."""
    rig = Rig(tmp_path, "hadd-of-nowhere all.root || echo 'Hadd was successful'; printf x >all.root")

    with pytest.raises(ProductError) as caught:
        rig.merge()
    assert "hadd-of-nowhere" in caught.value.evidence
    assert "Hadd was successful" in caught.value.evidence


# ── what it may change ──────────────────────────────────────────────────────────────────────────────────────────


def test_what_it_may_change_is_counted(tmp_path: Path) -> None:
    """A pattern allows to change an object, or to take it away."""
    for number, objects in enumerate([{"h_SPECIAL_0": H(cells=[9, 9, 9, 9])}, {}]):
        rig = Rig(tmp_path / str(number), "cp made/other.root all.root", changes=["*_SPECIAL_*"])
        rig.make("other", {"h": _sum(0, 1, 2)["h"], **objects})
        own = rig.merge().own

        assert own is not None
        assert (own.equal, own.changed, own.new) == (1, 1, 0)
        assert "1 changed as allowed" in own.says()


def test_a_pattern_for_everything_checks_nothing(tmp_path: Path) -> None:
    """And is refused, whatever the command wrote."""
    rig = Rig(tmp_path, GOOD, changes=["*"])

    with pytest.raises(ProductError, match="names every object of the sum"):
        rig.merge()


def test_a_pattern_is_case_sensitive_and_whole(tmp_path: Path) -> None:
    """`H*` and `SPECIAL` allow nothing."""
    rig = Rig(tmp_path, "cp made/bad.root all.root", changes=["H*", "SPECIAL"])
    rig.make("bad", _sum(0, 1))

    with pytest.raises(ProductError, match="2 objects of 2"):
        rig.merge()


def test_nan_in_what_it_adds_is_said(tmp_path: Path) -> None:
    """Nobody else vouches for it."""
    rig = Rig(tmp_path, "cp made/nan.root all.root")
    rig.make("nan", {**_sum(0, 1, 2), "up": H(cells=[0, math.nan, 1, 0]), "down": H(cells=[0, 1, math.inf, 0])})
    own = rig.merge().own

    assert own is not None
    assert own.notes == ("2 objects that it wrote hold NaN or infinity: down, up",)
    assert own.notes[0] in own.says()


def test_a_sum_that_equals_the_product_to_the_last_byte(tmp_path: Path) -> None:
    """All of its objects were compared, and that is what is said."""
    rig = Rig(tmp_path, "cp made/sum.root all.root")
    with pytest.raises(MergeCommandError):
        rig.merge()
    shutil.copyfile(rig.scratch / "0.root", rig.root / "made/sum.root")
    own = rig.merge().own

    assert own is not None
    assert (own.equal, own.new, own.changed) == (2, 0, 0)


# ── what stands in its way ──────────────────────────────────────────────────────────────────────────────────────


def test_a_product_that_was_there_before(tmp_path: Path) -> None:
    """Of an earlier run, perhaps: it is not taken for this one's, and not touched."""
    rig = Rig(tmp_path, "true")
    shutil.copyfile(rig.root / "made/good.root", rig.root / "all.root")

    with pytest.raises(MergeCommandError, match=r"all\.root is there before the command ran"):
        rig.merge()
    assert rig.files() == ["all.root"]


@pytest.mark.parametrize("kind", ["file", "folder", "link", "broken link"])
def test_something_else_where_an_output_belongs(tmp_path: Path, kind: str) -> None:
    """It would be counted, or lost: nothing is laid, nothing is run, and it stays."""
    rig = Rig(tmp_path, f"touch made/ran; {GOOD}")
    place = rig.root / "rootFiles/1.root"
    place.parent.mkdir()
    if kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(rig.outputs / output_name("0001", 0) if kind == "link" else "nowhere")

    with pytest.raises(MergeCommandError, match=r"something else stands at rootFiles/1\.root"):
        rig.merge()
    assert rig.files() == ["rootFiles", "rootFiles/1.root"]
    assert not (rig.root / "made/ran").exists()


def test_the_same_file_where_an_output_belongs(tmp_path: Path) -> None:
    """Fits, and was not septum's to take away."""
    rig = Rig(tmp_path, GOOD)
    (rig.root / "rootFiles").mkdir()
    shutil.copyfile(rig.outputs / output_name("0001", 0), rig.root / "rootFiles/1.root")
    rig.merge()

    assert rig.files() == ["rootFiles", "rootFiles/1.root"]


@pytest.mark.parametrize("rule", [{"at": ".git/{seed}"}, {"at": ".septum/{seed}"}, {"product": ".septum/outputs/x"}])
def test_places_that_are_not_the_users(tmp_path: Path, rule: dict[str, str]) -> None:
    """Git's folder, and septum's."""
    rig = Rig(tmp_path, GOOD, **rule)

    with pytest.raises(MergeCommandError, match="is no place for a file of the analysis"):
        rig.merge()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file stands where the folder of the outputs belongs."""
    rig = Rig(tmp_path, GOOD)
    (rig.root / "rootFiles").write_text("mine")

    with pytest.raises(MergeCommandError, match=r"no folder can be made for rootFiles/0\.root"):
        rig.merge()
    assert rig.files() == ["rootFiles"]


def test_values_that_a_shell_would_understand(tmp_path: Path) -> None:
    """In the paths of the outputs they are letters: nothing runs, nothing is split, and all is taken away again."""
    seeds = [" a  b ", "-rf", "*", "$(touch ran)", "`touch ran`", "'", '"', "\\n", "é", "#x", "~", "a;b&c|d"]
    rig = Rig(tmp_path, GOOD)
    rule = {"with": f'cat "$MERGE_INPUTS" > made/list; set -- out/*/x.root; echo $# > made/count; {GOOD}'}
    text = {
        "command": ["run"],
        "outputs": ["h.root"],
        "parts": {"list": [{"seed": seed} for seed in seeds]},
        "merge": {"all.root": {**rule, "at": "out/{seed}/x.root"}},
    }
    rig.plan = plan_of(json.dumps(text), rig.root)
    for part in rig.plan.parts:
        write_root(rig.outputs / output_name(part.id, 0), _part(part.index))
    rig.make("good", _sum(*range(len(seeds))))
    rig.hand_over()
    assert rig.run().returncode == 0

    assert rig.merge("back").own is not None
    assert (rig.root / "made/count").read_text().split() == [str(len(seeds))]
    assert (rig.root / "made/list").read_text() == "".join(f"out/{seed}/x.root\n" for seed in seeds)
    assert rig.files() == []


@pytest.mark.parametrize("path", ["../all.root", "/tmp/all.root", "a/../../all.root", "a//b.root", "./all.root", ""])
@pytest.mark.parametrize("key", ["at", "product"])
def test_places_outside_of_the_repository(tmp_path: Path, key: str, path: str) -> None:
    """Are refused before anything runs."""
    with pytest.raises(ConfigError, match=key):
        Rig(tmp_path, GOOD, **{key: path})


def test_a_tolerance_and_a_command(tmp_path: Path) -> None:
    """The command would not know that parts are missing."""
    text = f"{BASE}parts: {{list: [{{s: a}}, {{s: b}}]}}\ntolerance: 1\nmerge: {{x.root: {{with: m, at: '{{s}}'}}}}\n"
    with pytest.raises(ConfigError, match="'tolerance' must be 0"):
        plan_of(text, tmp_path)


def test_a_plan_with_a_command_wants_a_way_to_run_it(tmp_path: Path) -> None:
    """No sum stands in silently for what the command would write."""
    rig = Rig(tmp_path, GOOD)
    rig.merge()
    merger = Merger(rig.plan, lambda *_: pytest.fail("read"), outputs=rig.outputs, scratch=rig.scratch)

    with pytest.raises(MergeFailedError, match="runs over the complete set"):
        merger._by_commands([replace(rig.merge(), own=None)], lambda _: None)


# ── stopped ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("deaf", [False, True])
def test_a_command_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, deaf: bool) -> None:
    """It is stopped with all that it started, at the latest by force, and what was laid is taken away."""
    monkeypatch.setattr(own_merge, "_STOP_S", 0.5)
    ignore = "trap '' TERM; " if deaf else ""
    rig = Rig(tmp_path, f"{ignore}cp made/good.root all.root; sleep 300 & echo $! > made/child; wait")
    began = time.monotonic()

    with pytest.raises(MergeCommandError, match="was stopped after 1 s"):
        rig.merge(left_s=1.0)
    assert time.monotonic() - began < 15
    assert rig.files() == []
    child = int((rig.root / "made/child").read_text())
    assert _is_gone(child)


def _is_gone(process: int) -> bool:
    for _ in range(50):
        try:
            os.kill(process, 0)
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


def _wait_for(path: Path) -> None:
    for _ in range(200):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path} did not come")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_script_that_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """By a signal it takes away what it laid; after a kill, the next run does, and the torn product is none."""
    rig = Rig(tmp_path, "[ ! -e made/once ] || exec cp made/good.root all.root; echo torn > all.root; "
                        ": > made/once; sleep 300")  # fmt: skip
    script = rig.hand_over()
    with subprocess.Popen(["sh", str(script)], stderr=subprocess.DEVNULL, start_new_session=True) as process:
        _wait_for(rig.root / "made/once")
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
            assert process.wait(20) == 143
            assert rig.files() == []
    with pytest.raises(MergeCommandError):
        rig.merge("back")

    assert rig.run().returncode == 0
    assert rig.files() == []
    assert sorted(rig.merge("back").objects) == ["h", "h_SPECIAL_0", "h_envelope"]


def test_the_command_of_a_killed_septum_still_runs(tmp_path: Path) -> None:
    """Nothing is taken away from under it: its lock lives as long as it."""
    rig = Rig(tmp_path, GOOD)
    rig.folder.mkdir(parents=True)
    with (rig.folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(MergeCommandError, match="an earlier collect started still runs"):
            rig.merge()

    assert rig.merge().engine == "command: cp"


# ── handed over ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shell", SHELLS)
def test_handed_over_and_back(tmp_path: Path, shell: Sequence[str]) -> None:
    """Another CI job runs it, in an image with a shell and no Python; every collect afterwards takes its product."""
    rig = Rig(tmp_path, f"echo ran >> made/count; {GOOD}")
    script = rig.hand_over()
    assert script == rig.script
    assert not (rig.root / "made/count").exists()
    done = rig.run(shell)

    assert (done.returncode, done.stderr) == (0, "")
    results = [rig.merge(way) for way in ("back", "yes", "", "back")]
    assert len({result.sha256 for result in results}) == 1
    assert (rig.root / "made/count").read_text() == "ran\n"
    assert rig.files() == []


def test_handed_over_to_another_machine(tmp_path: Path) -> None:
    """The checkout stands elsewhere there, and only the state folder travels."""
    rig = Rig(tmp_path, f"pwd >made/where; {GOOD}")
    rig.hand_over()
    elsewhere = tmp_path / "builds" / "other name"
    shutil.copytree(rig.root, elsewhere)
    shutil.rmtree(rig.state)
    done = subprocess.run(["sh", str(elsewhere / ".septum/merge" / SCRIPT)], cwd="/", check=False)
    shutil.copytree(elsewhere / ".septum", rig.state)

    assert done.returncode == 0
    assert (elsewhere / "made/where").read_text() == f"{elsewhere.resolve()}\n"
    assert rig.merge("back").engine == "command: pwd"


def test_a_command_that_fails_elsewhere(tmp_path: Path) -> None:
    """Its exit code is that of the CI job; collect says why there is no result, and the CI job can be retried."""
    rig = Rig(tmp_path, f"[ -e made/mended ] || exit 9; {GOOD}")
    rig.hand_over()
    done = rig.run()

    assert done.returncode == 9
    assert "septum: all.root: the command ended with exit code 9" in done.stderr
    with pytest.raises(MergeCommandError, match="ended with exit code 9") as caught:
        rig.merge("back")
    assert "retry the CI job" in caught.value.fix
    (rig.root / "made/mended").touch()
    assert rig.run().returncode == 0
    assert rig.merge("back").engine == "command: ["
    assert rig.files() == []


@pytest.mark.parametrize("way", ["back", ""])
def test_the_other_ci_job_has_not_run(tmp_path: Path, way: str) -> None:
    """Then the command is not run in septum's image instead, where the framework is not."""
    rig = Rig(tmp_path, f"touch made/ran; {GOOD}")
    rig.hand_over()

    with pytest.raises(MergeCommandError, match="has not run to its end"):
        rig.merge(way)
    assert not (rig.root / "made/ran").exists()


def _drop_a_part(rig: Rig) -> None:
    path = rig.folder / "list"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _cut_the_list(rig: Rig) -> None:
    path = rig.folder / "list"
    path.write_bytes(path.read_bytes()[:-1])


def _other_place(rig: Rig) -> None:
    path = rig.folder / "list"
    path.write_text(path.read_text().replace("rootFiles/2.root", "rootFiles/1.root"))


def _change_an_output(rig: Rig) -> None:
    (rig.outputs / output_name("0001", 0)).write_bytes(b"other")


def _lose_an_output(rig: Rig) -> None:
    (rig.outputs / output_name("0001", 0)).unlink()


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (_drop_a_part, 0),
        (_cut_the_list, 0),
        (_other_place, 40),
        (_change_an_output, 40),
        (_lose_an_output, 40),
    ],
)
def test_a_hand_over_that_was_changed(tmp_path: Path, tamper: Callable[[Rig], None], code: int) -> None:
    """What ran over something else than the outputs of this run is not its result."""
    rig = Rig(tmp_path, GOOD)
    rig.hand_over()
    kept = {path: path.read_bytes() for path in rig.outputs.iterdir()}
    tamper(rig)
    assert rig.run().returncode == code
    for path, content in kept.items():
        path.write_bytes(content)

    with pytest.raises(MergeCommandError, match=r"other outputs|was changed|is not there|something else"):
        rig.merge("back")
    rig.hand_over()
    assert rig.run().returncode == 0
    assert rig.merge("back").engine == "command: cp"


def _other_product(rig: Rig) -> None:
    write_root(rig.folder / "product.root", _sum(0, 1))


def _no_product(rig: Rig) -> None:
    (rig.folder / "product.root").unlink()


def _linked_product(rig: Rig) -> None:
    (rig.folder / "product.root").unlink()
    (rig.folder / "product.root").symlink_to(rig.root / "made/good.root")


def _torn_record(rig: Rig) -> None:
    (rig.folder / "done").write_text("list")


def _binary_record(rig: Rig) -> None:
    (rig.folder / "done").write_bytes(os.urandom(4096))


def _believed_record(rig: Rig) -> None:
    path = rig.folder / "done"
    path.write_text(path.read_text().replace("list ", "list 0"))


@pytest.mark.parametrize(
    "damage", [_other_product, _no_product, _linked_product, _torn_record, _binary_record, _believed_record]
)
def test_what_came_back_was_changed(tmp_path: Path, damage: Callable[[Rig], None]) -> None:
    """It is refused, and the CI job that made it can run again."""
    rig = Rig(tmp_path, GOOD)
    rig.hand_over()
    rig.run()
    damage(rig)

    with pytest.raises(MergeCommandError):
        rig.merge("back")
    assert rig.run().returncode == 0
    assert rig.merge("back").engine == "command: cp"


def test_an_image_without_a_checksum_program(tmp_path: Path) -> None:
    """Nothing is laid that cannot be checked."""
    rig = Rig(tmp_path, GOOD)
    rig.hand_over()
    (_bare_path(tmp_path) / "sha256sum").unlink()
    done = rig.run()

    assert done.returncode == 40
    assert "no sha256sum, shasum or openssl" in done.stderr
    with pytest.raises(MergeCommandError, match=r"."):
        rig.merge("back")


# ── several, and other formats ──────────────────────────────────────────────────────────────────────────────────


def test_two_commands_and_a_sum(tmp_path: Path) -> None:
    """One script runs both, and ends at the first that fails; the third result is septum's own."""
    rig = Rig(tmp_path, GOOD)
    rule = {"with": "[ -e made/mended ] && cp made/good.root more.root", "product": "more.root"}
    text = {
        "command": ["run"],
        "outputs": ["h.root"],
        "parts": {"list": [{"seed": str(number)} for number in range(3)]},
        "merge": {"all.root": {"with": GOOD, "at": "rootFiles/{seed}.root"}, "sum.root": "h.root", "b/two.root": rule},
    }
    text["merge"]["b/two.root"]["at"] = "rootFiles/{seed}.root"  # type: ignore[index]
    rig.plan = plan_of(json.dumps(text), rig.root)
    rig.hand_over()
    assert rig.run().returncode == 1
    assert (rig.folder / "done").is_file()
    (rig.root / "made/mended").touch()
    assert rig.run().returncode == 0

    merged = {result.name: result for result in rig.merge_all("back")}
    assert list(merged) == ["all.root", "sum.root", "b/two.root"]
    assert [result.own is not None for result in merged.values()] == [True, False, True]
    assert merged["all.root"].sha256 == merged["b/two.root"].sha256
    assert rig.files() == []


def test_another_format(tmp_path: Path) -> None:
    """What merges by its own rules is compared by them."""
    rig = Rig(tmp_path, "cp made/counts.json all.json")
    text = {
        "command": ["run"],
        "outputs": ["n.json"],
        "parts": {"list": [{"seed": str(number)} for number in range(3)]},
        "merge": {"all.json": {"with": "cp made/counts.json all.json", "at": "{part}.json"}},
    }
    rig.plan = plan_of(json.dumps(text), rig.root)
    for part in rig.plan.parts:
        (rig.outputs / output_name(part.id, 0)).write_text(json.dumps({"events": part.index, "tag": "a"}))
    (rig.root / "made/counts.json").write_text(json.dumps({"events": 2, "tag": "a"}))
    with pytest.raises(ProductError, match="sum of the parts"):
        rig.merge()
    (rig.root / "made/counts.json").write_text(json.dumps({"events": 3, "tag": "a", "more": 1}))
    shutil.rmtree(rig.scratch)
    own = rig.merge().own

    assert own is not None
    assert (own.equal, own.new) == (2, 1)


def test_every_error_is_one_of_septums(tmp_path: Path) -> None:
    """Whatever stands in the folder of the hand-over, the answer is one clear error or a result."""
    rig = Rig(tmp_path, GOOD)
    for name in ("values", "command.sh", "list", "inputs", SCRIPT):
        rig.hand_over()
        (rig.folder / name).write_bytes(b"\xff\x00\n'")
        rig.run()
        try:
            rig.merge("back")
        except SeptumError as error:
            assert isinstance(error, MergeCommandError)  # noqa: PT017 - either is right
        shutil.rmtree(rig.scratch)

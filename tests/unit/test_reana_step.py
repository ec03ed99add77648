"""The program of a REANA step, really run in a folder: attempts, limits, and what it leaves in the workspace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from septum.backends.reana.model import RemoteFile
from septum.backends.reana.reading import Facts, read_facts
from septum.backends.reana.sending import freight
from septum.backends.reana.workflow import BACK, LEASE, STATE, STOP
from septum.state import State
from septum.worker.sandbox import parse_status
from tests.fakes.analyses import plan_of

PART = "0000"
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


@dataclass(slots=True, kw_only=True)
class Workspace:
    """A workspace with everything sent, and the words that start the step of its part."""

    folder: Path
    words: list[str]
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def step(self, *, shell: str = "sh", where: str = "pod", tries: int = 1, time_s: int = 0) -> list[str]:
        """The command."""
        program, archive, own, *shared = self.words
        opened = ["busybox", "sh"] if shell == "busybox" else [shell]
        return [*opened, program, PART, str(tries), str(time_s), where, "1", archive, own, *shared]

    def run(self, *, shell: str = "sh", where: str = "pod", tries: int = 1, time_s: int = 0) -> Facts:
        """Run it to its end; returns what its files tell."""
        command = self.step(shell=shell, where=where, tries=tries, time_s=time_s)
        done = subprocess.run(command, cwd=self.folder, env=self.environ, timeout=60, check=False, capture_output=True)

        assert done.returncode == 0, done.stderr
        return self.facts()

    def start(self, *, where: str = "pod") -> subprocess.Popen[bytes]:
        """Run it until its command has begun."""
        process = subprocess.Popen(self.step(where=where), cwd=self.folder, env=self.environ, start_new_session=True)
        deadline = time.monotonic() + 30
        while not (self.folder / "begun").exists():
            assert time.monotonic() < deadline, "the command never began"
            time.sleep(0.05)
        return process

    def facts(self) -> Facts:
        """What its files tell."""
        paths = [path for path in (self.folder / "septum").rglob("*") if path.is_file()]
        names = {path.relative_to(self.folder).as_posix(): path.stat() for path in paths}
        listing = {name: RemoteFile(name=name, size_b=found.st_size) for name, found in names.items()}
        return read_facts(listing).get(PART, Facts())

    def back(self, name: str) -> str:
        """The text of a file that comes back."""
        with tarfile.open(self.folder / BACK / f"{PART}.tar") as archive:
            found = archive.extractfile(name)
            assert found is not None
            return found.read().decode()


def workspace(root: Path, command: str, *, more: str = "", inputs: str = "") -> Workspace:
    """A workspace for a part with this command, whose folder is at `$HERE`."""
    (root / "data.txt").write_text("data\n")
    text = f"outputs: [out.txt]\nparts: {{product: {{seed: [1]}}}}\ncommand: |\n  {command}\n{more}{inputs}"
    plan = plan_of(text, root)
    state = State(root / "state")
    state.store_plan(plan, lambda file: root / file.path)
    state.write_values(plan, image="")
    load = freight(plan, plan.parts, state.folder / "send", root / "scratch")
    folder = root / "workspace"
    for sent in load.all:
        target = folder / sent.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(sent.data if isinstance(sent.data, bytes) else sent.data.read_bytes())
    step = load.steps[0]
    own = "own" if step.has_inputs else "none"
    words = [load.program.path, step.archive, own, *(sent.name for sent in load.shared)]
    made = Workspace(folder=folder, words=words)
    made.environ |= {"HERE": str(folder), "SEPTUM_CGROUP": str(root / "cgroup")}
    return made


@pytest.mark.parametrize("shell", SHELLS)
def test_a_part_that_delivers_leaves_its_outputs_and_says_so_in_names(tmp_path: Path, shell: str) -> None:
    """In each of the shells that images have."""
    here = workspace(tmp_path, "cat data.txt >out.txt; echo said", inputs="inputs: [data.txt]\n")

    facts = here.run(shell=shell)

    assert (facts.flag, facts.exit_code, facts.attempts, facts.ended, facts.done) == ("ok", 0, 1, True, True)
    assert facts.host == os.uname().nodename
    assert here.back("septum-0000.out0") == "data\n"
    assert here.back("septum-0000.stdout") == "said\n"
    status = parse_status(here.back("septum-0000.status"), PART)
    assert status is not None
    assert status.stage == "done"


def test_a_part_that_ended_leaves_nothing_where_it_worked(tmp_path: Path) -> None:
    """The workspace counts for somebody's quota."""
    here = workspace(tmp_path, "echo a >out.txt")

    here.run()

    assert [path.name for path in (here.folder / "septum-run").iterdir()] == ["0000.owner"]


def test_a_part_that_fails_is_tried_again_in_a_fresh_folder(tmp_path: Path) -> None:
    """As often as the plan says, and no more than it needs."""
    here = workspace(tmp_path, 'ls; echo x >>"$HERE/tries"; [ "$(wc -l <"$HERE/tries")" -ge 3 ] && echo a >out.txt')

    facts = here.run(tries=5)

    assert (facts.flag, facts.exit_code, facts.attempts) == ("ok", 0, 3)
    assert (here.folder / "tries").read_text() == "x\n" * 3
    assert here.back("septum-0000.stdout") == ""


def test_after_the_last_try_the_exit_code_of_the_command_is_told(tmp_path: Path) -> None:
    """The step itself ends well: one that fails would end the whole workflow."""
    here = workspace(tmp_path, "echo broken >&2; exit 7")

    facts = here.run(tries=2)

    assert (facts.flag, facts.exit_code, facts.attempts, facts.done) == ("ok", 7, 2, True)
    assert here.back("septum-0000.stderr") == "broken\n"


def test_a_command_that_is_killed_tells_its_signal_as_shells_do(tmp_path: Path) -> None:
    """128 + 11."""
    here = workspace(tmp_path, "kill -SEGV $$")

    assert here.run().exit_code == 139


def test_a_part_that_takes_too_long_is_ended_with_all_that_it_started_and_not_tried_again(tmp_path: Path) -> None:
    """The command ignores the signal, and so does what it left in the background."""
    loop = "while :; do sleep 0.2; done"
    here = workspace(tmp_path, f"trap '' TERM; ({loop}) & echo $! >$HERE/child; {loop}")
    began = time.monotonic()

    facts = here.run(tries=3, time_s=2)

    assert (facts.flag, facts.attempts) == ("timeout", 1)
    assert time.monotonic() - began < 30
    assert not _lives(int((here.folder / "child").read_text()))


def test_what_a_command_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    """It would write on into the next attempt."""
    here = workspace(tmp_path, "sleep 300 & echo $! >$HERE/child; echo a >out.txt")

    assert here.run().flag == "ok"
    assert not _lives(int((here.folder / "child").read_text()))


def _lives(pid: int) -> bool:
    """Whether a process is there and not a zombie; waits a little for what was just killed."""
    for _ in range(40):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True


def test_a_step_ends_itself_when_the_lease_has_run_out(tmp_path: Path) -> None:
    """Nobody speaks for the run any more."""
    here = workspace(tmp_path, ": >$HERE/begun; sleep 300")
    process = here.start()

    (here.folder / LEASE).write_text(f"{int(time.time()) - 5} end\n")

    assert process.wait(timeout=30) == 0
    facts = here.facts()
    assert (facts.flag, facts.ended, facts.back_b) == ("lease", True, None)


def test_a_step_that_starts_after_the_lease_does_no_work(tmp_path: Path) -> None:
    """So a workflow whose septum is gone drains by itself."""
    here = workspace(tmp_path, ": >$HERE/begun; echo a >out.txt")
    (here.folder / LEASE).write_text("1000 end\n")

    facts = here.run()

    assert (facts.flag, facts.ended, facts.attempts) == ("lease", True, 0)
    assert not (here.folder / "begun").exists()


@pytest.mark.parametrize("text", ["", "1000", "1000 e", "never end\n", "99999999999 end\n"])
def test_a_lease_that_is_cut_or_lies_ahead_ends_nothing(tmp_path: Path, text: str) -> None:
    """An upload writes into the file itself, so a step may read half of it."""
    here = workspace(tmp_path, "echo a >out.txt")
    (here.folder / LEASE).write_text(text)

    assert here.run().flag == "ok"


def test_where_the_workspace_is_a_copy_lease_and_stop_say_nothing(tmp_path: Path) -> None:
    """The copy was made when the job was submitted: the lease may have been extended since."""
    here = workspace(tmp_path, "echo a >out.txt")
    (here.folder / LEASE).write_text("1000 end\n")
    (here.folder / STOP).mkdir(parents=True)
    (here.folder / STOP / PART).write_text("stop\n")

    facts = here.run(where="copy")

    assert (facts.flag, facts.memory_b) == ("ok", None)


def test_a_part_that_is_to_stop_is_ended(tmp_path: Path) -> None:
    """And nothing of it comes back."""
    here = workspace(tmp_path, ": >$HERE/begun; sleep 300")
    process = here.start()

    (here.folder / STOP).mkdir(parents=True, exist_ok=True)
    (here.folder / STOP / PART).write_text("stop\n")

    assert process.wait(timeout=30) == 0
    assert (here.facts().flag, here.facts().back_b) == ("stopped", None)


def test_a_pod_that_is_told_to_end_leaves_a_verdict_and_ends_well(tmp_path: Path) -> None:
    """Or the loss of one node would end the steps on all others."""
    here = workspace(tmp_path, ": >$HERE/begun; sleep 300")
    process = here.start()

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=30) == 0
    facts = here.facts()
    assert (facts.flag, facts.ended, facts.attempts) == ("evicted", True, 1)
    status = parse_status(here.back("septum-0000.status"), PART)
    assert status is not None
    assert status.stage == "started"
    assert "told to end" in here.back("septum-0000.stderr")


@pytest.mark.parametrize("marker", ["ended", "told.1.143.0.evicted.old", "began.1.old"])
def test_a_part_whose_pod_was_lost_runs_again_and_counts_its_attempts_on(tmp_path: Path, marker: str) -> None:
    """REANA starts the step once more, in the same workspace."""
    here = workspace(tmp_path, "echo a >out.txt")
    (here.folder / STATE).mkdir(parents=True)
    (here.folder / STATE / f"{PART}.began.1.old").touch()
    (here.folder / STATE / f"{PART}.{marker}").touch()

    facts = here.run()

    assert (facts.flag, facts.attempts, facts.ended) == ("ok", 2, True)


def test_a_part_that_has_a_verdict_does_not_run_again(tmp_path: Path) -> None:
    """Its marker was lost, or REANA did not look."""
    here = workspace(tmp_path, "echo x >>$HERE/tries; echo a >out.txt")
    here.run()
    (here.folder / STATE / f"{PART}.ended").unlink()

    facts = here.run()

    assert facts.ended
    assert (here.folder / "tries").read_text() == "x\n"


def test_a_step_that_was_started_again_elsewhere_ends_the_one_before(tmp_path: Path) -> None:
    """A workflow that failed leaves pods running for a while."""
    here = workspace(tmp_path, "[ -e $HERE/begun ] || { : >$HERE/begun; sleep 300; }; echo b >out.txt")
    first = here.start()

    facts = here.run()

    assert first.wait(timeout=30) == 0
    assert (facts.flag, here.facts()) == ("ok", facts)
    assert here.back("septum-0000.out0") == "b\n"
    assert [path.name for path in (here.folder / "septum-run").iterdir()] == ["0000.owner"]


@pytest.mark.parametrize("name", ["memory.peak", "memory/memory.max_usage_in_bytes"])
def test_the_largest_memory_of_the_pod_is_told(tmp_path: Path, name: str) -> None:
    """Where the kernel measures it."""
    here = workspace(tmp_path, "echo a >out.txt")
    (tmp_path / "cgroup" / name).parent.mkdir(parents=True)
    (tmp_path / "cgroup" / name).write_text("123456\n")

    assert here.run().memory_b == 123456


def test_a_process_killed_for_want_of_memory_is_told_apart_and_not_tried_again(tmp_path: Path) -> None:
    """As often as one likes, it would end the same."""
    groups = tmp_path / "cgroup"
    groups.mkdir()
    (groups / "memory.events").write_text("low 0\noom_kill 0\n")
    here = workspace(tmp_path, f"echo 'oom_kill 1' >{groups}/memory.events; kill -9 $$")

    facts = here.run(tries=3)

    assert (facts.flag, facts.exit_code, facts.attempts) == ("memory", 137, 1)


def test_a_file_that_is_not_what_was_sent_is_not_used(tmp_path: Path) -> None:
    """Its name says what it should be; the wrapper never runs."""
    here = workspace(tmp_path, "echo a >out.txt", inputs="inputs: [data.txt]\n")
    shared = next((here.folder / "septum/send").glob("*-septum-inputs.tar.gz"))
    shared.write_bytes(shared.read_bytes()[:-1])

    facts = here.run()

    assert (facts.flag, facts.attempts, facts.ended) == ("damaged", 0, True)


def test_shared_inputs_that_only_the_part_looks_at(tmp_path: Path) -> None:
    """In an image without `sha256sum` the step cannot compare them; the part does, by what else there is."""
    here = workspace(tmp_path, "cat data.txt >out.txt", inputs="inputs: [data.txt]\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in ("/bin", "/usr/bin"):
        for path in Path(folder).iterdir():
            if path.name != "sha256sum" and not (tools / path.name).exists():
                (tools / path.name).symlink_to(path)
    here.environ["PATH"] = str(tools)
    (shared,) = (here.folder / "septum/send").glob("*-septum-inputs.tar.gz")
    good = shared.read_bytes()
    shared.write_bytes(good[:-1])

    facts = here.run()

    assert (facts.flag, facts.exit_code) == ("ok", 119)
    status = parse_status(here.back("septum-0000.status"), PART)
    assert status is not None
    assert (status.stage, status.exit_code) == ("inputs", None)
    assert "are not what was sent" in here.back("septum-0000.stderr")


def test_a_program_that_is_cut_does_nothing(tmp_path: Path) -> None:
    """Wherever its upload ended."""
    here = workspace(tmp_path, "echo a >out.txt")
    program = here.folder / here.words[0]
    whole = program.read_bytes()

    for length in range(0, len(whole) - len(b'main "$@"\n'), 397):
        program.write_bytes(whole[:length])
        subprocess.run(here.step(), cwd=here.folder, timeout=20, check=False, capture_output=True)

        assert not (here.folder / STATE).exists(), length


def test_outputs_that_cannot_be_packed_are_told_as_that(tmp_path: Path) -> None:
    """The archive cannot be written: its folder is a file."""
    here = workspace(tmp_path, "rm -rf $HERE/septum/back; : >$HERE/septum/back; echo a >out.txt")

    facts = here.run()

    assert (facts.flag, facts.back_b, facts.ended) == ("unpacked", None, True)


def test_a_workspace_that_takes_no_files_fails_the_step(tmp_path: Path) -> None:
    """Nothing else can tell of it."""
    here = workspace(tmp_path, "echo a >out.txt")
    (here.folder / STATE).write_text("no folder")

    done = subprocess.run(here.step(), cwd=here.folder, timeout=20, check=False, capture_output=True, text=True)

    assert done.returncode == 1
    assert "cannot write to the workspace" in done.stderr

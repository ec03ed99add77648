"""The framework's own merge: hands the verified outputs over to a command, and takes back what it wrote.

The command runs by `command.sh`, in this process' machine or by a CI job in the image of the analysis, which needs
nothing of septum. What it wrote is not believed: `septum.merge.product` compares it with the sum of the parts.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import IO

from septum.errors import MergeCommandError
from septum.ledger import StoredOutput
from septum.plan import Merge, Plan, path_of
from septum.provenance.consistency import one_line
from septum.state import write_whole
from septum.units import show_duration
from septum.verify import measure
from septum.worker.sandbox import quote

SCRIPT = "run.sh"
DEADLINE_S = 24 * 3600.0
"""The longest that a command may take, where no CI job ends before."""
_HANDED = "handed-over"
_STOP_S = 10.0
_CLEAN_S = 60.0
_TAIL_B = 4000
_TAIL_LINES = 15


class HandedOver(Exception):  # noqa: N818 - nothing went wrong
    """All sums are made, and the commands wait to be run elsewhere.

    Args:
        script: What runs them.
    """

    def __init__(self, script: Path) -> None:
        super().__init__(str(script))
        self.script = script


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the commands of a run are run.

    Attributes:
        root: The folder that they run in: that of `septum.yaml`.
        environ: Their environment.
        left_s: How long one may take from now on, in seconds.
        hand_over: Whether they run elsewhere: `yes` hands them over, `back` takes back what they wrote. If empty, they
            run here.
    """

    root: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    left_s: Callable[[], float] = lambda: DEADLINE_S
    hand_over: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What `run.sh` has left: the list it read, the exit code, why there is no product, else its size and sha256."""

    list: str
    code: int
    why: str
    size_b: int
    sha256: str


class HandOver:
    """The folder in which one result is handed over to its command.

    Args:
        folder: The folder, in the state folder.
        plan: The plan.
        merge: What is to be made.
        stored: The verified outputs of its parts.
        outputs: The folder that they are relative to.
        way: How the command is run.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        merge: Merge,
        stored: Mapping[tuple[str, int], StoredOutput],
        *,
        outputs: Path,
        way: Way,
    ) -> None:
        if merge.command is None:
            raise ValueError(f"{merge.result} has no command")
        self._command: str | Sequence[str] = merge.command
        self.folder, self._plan, self._merge, self._way = folder.resolve(), plan, merge, way
        root = way.root.resolve()
        self._places = [path_of(merge.at, plan, plan.by_id[part]) for part in merge.parts]
        items = [stored[part, merge.output] for part in merge.parts]
        self._refuse_own_places(root)
        beside = os.path.relpath(outputs.resolve(), self.folder)
        lines = [("work", plan.work, str(plan.merges.index(merge)))]
        lines += [
            (item.sha256, f"{beside}/{item.path}", place) for item, place in zip(items, self._places, strict=True)
        ]
        self._list = "".join("\t".join(line) + "\n" for line in lines)
        self._root = os.path.relpath(root, self.folder)
        ending = ".tar.gz" if merge.result.endswith(".tar.gz") else Path(merge.result).suffix
        self._kept = f"product{ending}"

    @property
    def result(self) -> str:
        """The name of the result."""
        return self._merge.result

    @property
    def product(self) -> Path:
        """Where what the command wrote is kept."""
        return self.folder / self._kept

    def _refuse_own_places(self, root: Path) -> None:
        """Nothing is laid into git's folder or into the state folder, and no command writes there."""
        own = self.folder.parents[1]
        for place in (*self._places, self._merge.product):
            if place.split("/")[0] == ".git" or (root / place).is_relative_to(own):
                raise MergeCommandError(
                    f"merge: {self._merge.result}: {place!r} is no place for a file of the analysis",
                    fix="give 'at' and 'product' a path outside of .git and the state folder",
                )

    # ── going out ───────────────────────────────────────────────────────────────────────────────────────────────

    def write(self) -> None:
        """Write everything that the command needs; what an earlier run of it left is no answer any more."""
        for name in ("done", self._kept):
            (self.folder / name).unlink(missing_ok=True)
        shell = {"sh": "sh -e", "bash": "bash -eo pipefail"}[self._plan.shell]
        text = self._command
        values = {
            "merge_root": self._root,
            "merge_shell": shell if isinstance(text, str) else "sh",
            "merge_product": self._merge.product,
            "merge_kept": self._kept,
            "merge_result": self._merge.result,
        }
        write_whole(self.folder / "values", "".join(f"{name}={quote(value)}\n" for name, value in values.items()))
        write_whole(self.folder / "list", self._list)
        write_whole(self.folder / "inputs", "".join(f"{place}\n" for place in self._places))
        words = text if isinstance(text, str) else "exec " + " ".join(quote(word) for word in text)
        write_whole(self.folder / "command.sh", words + "\n")
        script = files("septum.merge").joinpath("command.sh").read_text(encoding="utf-8")
        write_whole(self.folder / SCRIPT, script, mode=0o755)
        if self._way.hand_over:
            write_whole(self.folder / _HANDED, "")
        else:
            (self.folder / _HANDED).unlink(missing_ok=True)

    # ── coming back ─────────────────────────────────────────────────────────────────────────────────────────────

    def problem(self) -> str:
        """Why there is no product of these outputs; empty if there is one."""
        done = self._read_done()
        if done is None:
            return "the command has not run to its end"
        if done.list != hashlib.sha256(self._list.encode()).hexdigest():
            return "the command ran over other outputs than those of this run"
        if done.code != 0:
            return done.why or f"the command ended with exit code {done.code}"
        if not self.product.is_file() or self.product.is_symlink():
            return "what the command wrote has gone"
        if measure(self.product) != (done.size_b, done.sha256):
            return "what the command wrote was changed afterwards"
        return ""

    @property
    def runs_elsewhere(self) -> bool:
        """Whether the command is not to be run here."""
        return bool(self._way.hand_over) or (self.folder / _HANDED).is_file()

    def _read_done(self) -> _Done | None:
        try:
            text = (self.folder / "done").read_text(encoding="utf-8", errors="replace")
            found = dict(line.split(" ", 1) for line in text.splitlines())
            return _Done(
                list=found["list"],
                code=int(found["code"]),
                why=one_line(found["why"]),
                size_b=int(found.get("size", "-1")),
                sha256=found.get("sha256", ""),
            )
        except (OSError, ValueError, KeyError):
            return None

    def said(self) -> str:
        """The last lines that the command printed; empty where it ran elsewhere, in a CI job with a log of its own."""
        return "" if self.runs_elsewhere else _tail(self.folder / "log")

    def failed(self, problem: str) -> MergeCommandError:
        """The error of a command that gave no product."""
        script = self.folder.parent / SCRIPT
        return MergeCommandError(
            f"merge: {self._merge.result}: {problem}",
            evidence=self.said(),
            fix=f"retry the CI job that runs {script}, then this one; no part runs again"
            if self.runs_elsewhere
            else f"its log: {self.folder / 'log'}; when the cause is removed, 'septum collect' runs the command again",
        )

    # ── here ────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Run the command here, to its end; what came of it is said by `problem`.

        Raises:
            MergeCommandError: It cannot be started, still runs for another septum, or takes too long.
        """
        from septum.credentials.mask import mask_file

        with self._lock() as lock, (self.folder / "log").open("wb") as log:
            # Of those that a killed septum left, too: the lock says that none of them is running.
            self.write()
            left_s = self._way.left_s()
            process = self._start(log, lock)
            try:
                process.wait(left_s)
            except subprocess.TimeoutExpired:
                raise MergeCommandError(
                    f"merge: {self._merge.result}: the command was stopped after {show_duration(left_s)}",
                    evidence=f"its log: {self.folder / 'log'}",
                    fix="retry collect, in a CI job with a longer timeout",
                ) from None
            finally:
                self._stop(process)
                mask_file(self.folder / "log")

    def _start(self, log: IO[bytes], lock: int) -> subprocess.Popen[bytes]:
        """Start it in a session of its own: Ctrl-C is septum's, which then stops all that the command has started."""
        try:
            return subprocess.Popen(
                ["sh", str(self.folder / SCRIPT)],
                cwd=self._way.root,
                env=dict(self._way.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
            )
        except OSError as error:
            raise MergeCommandError(
                f"merge: {self._merge.result}: the command cannot be started",
                evidence=str(error),
                fix="check that there is a shell 'sh'",
            ) from error

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """End what still runs, and see that nothing of it is left in the repository."""
        killed = process.poll() is None
        if killed:
            _signal(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
        _signal(process.pid, signal.SIGKILL)  # what the command has left running
        process.wait()
        if killed or process.returncode < 0:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    ["sh", str(self.folder / SCRIPT), "clean"],
                    env=dict(self._way.environ),
                    stdin=subprocess.DEVNULL,
                    timeout=_CLEAN_S,
                    check=False,
                )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int]:
        """A lock that the command inherits: as long as any of it runs, no other septum takes away what it reads.

        Raises:
            MergeCommandError: The command of a septum that was killed still runs.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MergeCommandError(
                    f"merge: {self._merge.result}: the command that an earlier collect started still runs",
                    evidence=f"its log: {self.folder / 'log'}",
                    fix="wait for its end, or stop it, then 'septum collect'",
                ) from None
            yield handle
        finally:
            os.close(handle)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def write_entry(folder: Path, waiting: Sequence[HandOver]) -> Path:
    """Write the script that runs all commands which wait, one after the other, and ends at the first that fails."""
    lines = ["#!/bin/sh", "# Runs the merge commands of this run, in the image of the analysis; see each run.sh."]
    lines += ["set -eu", 'here=$(unset CDPATH && cd "$(dirname "$0")" && pwd -P)']
    runs = [f'sh "$here/{handed.folder.name}/{SCRIPT}"' for handed in waiting]
    lines += [*runs[:-1], f"exec {runs[-1]}"]  # the last one, mostly the only one, gets the signals of the CI job
    write_whole(folder / SCRIPT, "\n".join(lines) + "\n", mode=0o755)
    return folder / SCRIPT


def get_products(
    waiting: Sequence[HandOver], way: Way, *, folder: Path, progress: Callable[[str], None] = lambda _: None
) -> None:
    """See that each command has written its product: take what is there, run what is not, or hand it over.

    Args:
        waiting: The results that have a command.
        way: How the commands are run.
        folder: Where the script is written that runs those which are handed over.
        progress: Takes the name of a result whose command is run here.

    Raises:
        HandedOver: They are to be run elsewhere, and everything for that is written.
        MergeCommandError: One failed, or wrote nothing, or was not run.
    """
    lacking = [(handed, problem) for handed in waiting if (problem := handed.problem())]
    if lacking and way.hand_over == "yes":
        for handed, _ in lacking:
            handed.write()
        raise HandedOver(write_entry(folder, [handed for handed, _ in lacking]))
    for handed, problem in lacking:
        if handed.runs_elsewhere:
            raise handed.failed(problem)
        progress(f"{handed.result} by the framework's command")
        handed.run()
        if problem_now := handed.problem():
            raise handed.failed(problem_now)


def first_word(command: str | Sequence[str]) -> str:
    """What a command is called in a line: its first word; of a script, that of its first line that is no remark."""
    if not isinstance(command, str):
        return one_line(command[0])[:60] if command else ""
    lines = [line.strip() for line in command.splitlines()]
    words = next((line.split() for line in lines if line and not line.startswith("#")), [""])
    return one_line(words[0])[:60]


def _tail(path: Path) -> str:
    """The last lines of a log, as far as they can be shown."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL_B))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(one_line(line) for line in lines[-_TAIL_LINES:])

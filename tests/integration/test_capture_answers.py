"""What stands in for condor_submit, and HTCondor's own in a real pool: the same description, the same answer."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from septum.capture.lay import lay
from tests.capture_cases import CASES, lay_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from septum.facility import Facility

TEXT = "executable = run.sh\narguments = $(a)\nqueue 2 a in x y\n"
# The words of a call, and the submit description `job.sub`.
CALLS = {
    "a file": (("job.sub",), TEXT),
    "terse": (("-terse", "job.sub"), TEXT),
    "standard input": ((), TEXT),
    "words after": (("job.sub", "-append", "priority = 1", "-batch-name", "my jobs", "-spool"), TEXT),
    "no job": (("job.sub",), TEXT.replace("x y", "()")),
    "no job, tersely": (("-terse", "job.sub"), TEXT.replace("x y", "()")),
    "late materialization": (("job.sub",), "max_materialize = 1\n" + TEXT),
    "too many": (("-maxjobs", "3", "job.sub"), TEXT),
    "no such file": (("nope.sub",), TEXT),
    "no such option": (("-frobnicate", "job.sub"), TEXT),
    "no argument": (("-name",), TEXT),
    "spool without its file": (("-spool", "job.sub"), "transfer_input_files = nope\n" + TEXT),
    "queue by words": (("executable=run.sh", "-queue", "3"), ""),
    "help": (("-help",), TEXT),
}


@dataclass(frozen=True)
class Answer:
    """What a call wrote, and its exit code."""

    code: int
    stdout: str
    stderr: str

    @property
    def plain(self) -> str:
        """The standard output without the number of the cluster."""
        return re.sub(r"(?<=cluster )\d+|^\d+(?=\.0 - )|(?<= - )\d+(?=\.)", "N", self.stdout, flags=re.MULTILINE)

    @property
    def jobs(self) -> int:
        """The number of jobs that it tells."""
        return sum(int(number) for number in re.findall(r"^(\d+) job\(s\)", self.stdout, re.MULTILINE))

    @property
    def errors(self) -> list[str]:
        """The lines of errors."""
        return [line.strip() for line in self.stderr.splitlines() if re.match("ERROR|Error", line)]


@pytest.fixture(scope="module")
def bench(facility: Facility) -> Iterator[Path]:
    """A folder that the pool sees, too."""
    folder = facility.pool.folder / "tmp" / "capture"
    folder.mkdir()
    lay_files(folder)
    yield folder
    shutil.rmtree(folder)


def _ask_pool(facility: Facility, bench: Path, calls: list[tuple[str, ...]], stdin: str) -> list[Answer]:
    """Call the real condor_submit, in one sandbox for all."""
    lines = ["_condor_SUBMIT_PREVENT_MULTI_QUEUE=False; export _condor_SUBMIT_PREVENT_MULTI_QUEUE"]
    for number, words in enumerate(calls):
        lines.append(
            f"{shlex.join(['condor_submit', *words])} < {stdin} > out.{number} 2> err.{number}; echo $? > code.{number}"
        )
    (bench / "calls.sh").write_text("\n".join(lines) + "\n")
    facility.pool.run("sh", "calls.sh", cwd="/tmp/capture", timeout_s=300)
    return [
        Answer(
            int((bench / f"code.{number}").read_text()),
            (bench / f"out.{number}").read_text(),
            (bench / f"err.{number}").read_text(),
        )
        for number in range(len(calls))
    ]


def _ask_ours(recorder: Path, bench: Path, words: tuple[str, ...], stdin: str) -> Answer:
    with (bench / stdin).open() as stream:
        done = subprocess.run(
            [str(recorder / "bin" / "condor_submit"), *words],
            cwd=bench,
            env={"PATH": "/usr/bin:/bin", "SEPTUM_RECORDING": str(recorder / "recording")},
            stdin=stream,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return Answer(done.returncode, done.stdout, done.stderr.replace(str(bench), "/tmp/capture"))


def test_every_description(facility: Facility, bench: Path, tmp_path: Path) -> None:
    """The dry run of both: the same words and exit code, and the number of jobs that the unit tests believe."""
    lay(tmp_path)
    calls = []
    for number, case in enumerate(CASES):
        (bench / f"{number}.sub").write_bytes(case.description.encode())
        calls.append(("-dry-run", "/dev/null", *case.words, "-file", f"{number}.sub"))
    (bench / "none").write_text("")
    real = _ask_pool(facility, bench, calls, "none")
    wrong = []
    for case, call, answer in zip(CASES, calls, real, strict=True):
        believed = answer.jobs == case.answer if isinstance(case.answer, int) else case.answer in answer.stderr
        believed = believed and answer.code == isinstance(case.answer, str)
        ours = _ask_ours(tmp_path, bench, call, "none")
        same = (ours.code, bool(ours.errors)) == (answer.code, bool(answer.errors))
        # Where it fails, HTCondor has sometimes written the dots of jobs already.
        same = same and (ours.stdout == answer.stdout if answer.code == 0 else ours.errors[0] == answer.errors[0])
        if not (believed and same):
            wrong.append(f"{case.name}: {case.answer!r} {answer} {ours}")

    assert len(CASES) > 100
    assert wrong == []


def test_every_call(facility: Facility, bench: Path, tmp_path: Path) -> None:
    """Real submissions: standard output but for the number of the cluster, exit code, line of the error."""
    lay(tmp_path)
    for name, (words, text) in CALLS.items():
        (bench / "job.sub").write_text(text)
        (real,) = _ask_pool(facility, bench, [words], "job.sub")
        ours = _ask_ours(tmp_path, bench, words, "job.sub")

        assert ours.code == real.code, (name, real, ours)
        if name != "help":
            assert ours.plain == real.plain, (name, real, ours)
        if real.code != 0 and real.errors:
            assert ours.errors == real.errors, (name, real, ours)
    facility.pool.run("condor_rm", "-all")

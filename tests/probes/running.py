"""Merges the files of a probe with hadd and with septum, and judges what came out."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.cli import main
from tests.probes.judging import judge
from tests.probes.model import Merged, Probe, Verdict
from tests.probes.reading import Thing, read

_DEADLINE_S = 120
# hadd says this of every file with other compression than its default, and it is not about the content.
_NOISE = "different compression settings"
_COMPLAINT = re.compile(r"^(?:Error|Warning|SysError|Fatal) in <.*|^R__unzip.*|^.* \*\*\* Break \*\*\*.*", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a merge ended.

    Attributes:
        exit_code: Of the program.
        said: The first complaint of hadd, or all that septum said.
        verdict: Of what came out.
        words: What came out.
    """

    exit_code: int
    said: str
    verdict: Verdict
    words: str


def wheel_hadd() -> Path | None:
    """The `hadd` of the package `root`: the page speaks of one version, whatever else is installed."""
    found = importlib.util.find_spec("ROOT")
    path = Path(found.origin).parent / "bin" / "hadd" if found and found.origin else None
    return path if path and path.is_file() else None


def run_hadd(probe: Probe, folder: Path, hadd: Path, *options: str) -> Outcome:
    """`hadd -f` as most people call it, or with further options."""
    target = folder / (probe.target or f"../{probe.name}.hadd{''.join(options)}.root")
    # By way of the folder above: hadd knows its target among the sources by its spelling only.
    name = f"../{target.parent.name}/{target.name}" if probe.target else f"../{target.name}"
    done = _run([str(hadd), "-f", *options, name, *probe.sources(folder)], probe, folder)
    complaints = [line for line in _COMPLAINT.findall(done.stdout) if _NOISE not in line]
    said = (complaints or [""])[0]
    if done.returncode:
        return Outcome(exit_code=done.returncode, said=said, verdict=Verdict.REFUSED, words=_left_behind(target))
    verdict, words = judge(_meant(probe, folder), read(target), probe.right, rounding=True)
    return Outcome(exit_code=0, said=said, verdict=verdict, words=words)


def _left_behind(target: Path) -> str:
    """What stands under the name of the result after a failure."""
    if not target.exists():
        return ""
    try:
        found = len(read(target))
    except Exception:  # noqa: BLE001 - uproot raises many kinds on damaged files
        return "a file that cannot be read stays"
    return f"a file with {found} {'object' if found == 1 else 'objects'} stays"


def run_septum(probe: Probe, folder: Path, policy: str = "") -> Outcome:
    """`septum merge`, strict or with one policy."""
    target = folder / probe.target if probe.target else folder.parent / f"{probe.name}.septum.root"
    before = target.read_bytes() if probe.target else b""
    policies = ["--policy", policy] if policy else []
    arguments = ["merge", *policies, str(target), *(str(folder / name) for name in probe.sources(folder))]
    if probe.open_files:
        done = _run([sys.executable, "-m", "septum", *arguments], probe, folder)
        code, said = done.returncode, done.stdout
    else:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            code = main(arguments)
        said = out.getvalue()
    if code:
        kept = probe.target and target.read_bytes() == before
        return Outcome(exit_code=code, said=said, verdict=Verdict.REFUSED, words="" if kept else _left_behind(target))
    expected = probe.relaxed if policy else probe.septum
    holds = expected.holds if isinstance(expected, Merged) else {}
    meant = (
        [folder / name for name in probe.sources(folder)] if isinstance(expected, Merged) and expected.blind else None
    )
    inputs = [read(path) for path in meant] if meant else _meant(probe, folder)
    verdict, words = judge(inputs, read(target), {**probe.right, **holds}, rounding=False)
    target.unlink()
    return Outcome(exit_code=0, said=said, verdict=verdict, words=words)


def _meant(probe: Probe, folder: Path) -> list[dict[str, Thing]]:
    return [read(folder / name, cycles=False) for name in probe.meant or probe.sources(folder)]


def _run(command: Sequence[str], probe: Probe, folder: Path) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.open_files, probe.open_files))

    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=_DEADLINE_S,
        check=False,
        preexec_fn=limit if probe.open_files else None,
    )

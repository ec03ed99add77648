"""The page that a run of the probes gives: what hadd did with each of them, beside what septum did."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.probes.catalog import GROUPS, PROBES
from tests.probes.model import Merged, Probe, Refused, Verdict
from tests.probes.running import Outcome

PATH = Path(__file__).parents[2] / "docs" / "explanation" / "what-hadd-does-silently.md"
# Of a complaint of hadd as many characters are shown.
_SHOWN = 90

_INTRODUCTION = """\
# What hadd does silently

<!-- Written by `python -m tests.probes`: do not edit. -->

`hadd` adds up what it can, and mostly says so when it cannot. A batch system, a Makefile and a CI job see the exit
code only. This page puts small files that differ in one thing into ROOT's `hadd -f` and into `septum merge`, and
tells what came out. It is written by the tests (`tests/integration/test_probes.py`), which fail when it is no longer
true.

- *exit code* is that of `hadd -f`, with its first complaint if it had one.
- *refused*: it ended with an error. A file of the result's name may stay there all the same.
- *right*: the result is the sum of the files, up to rounding.
- **lost**: something of the files is not in the result. **wrong**: the result holds other numbers than their sum.
- **mixed**: what is not alike was put together, and the result describes it as one of them, or as neither.
- *unread*: uproot, which looks at every result here, does not know the class.

septum's results are compared bit by bit with the exact sum, rounded once. Where it refuses, it names object and file,
and leaves no result.
"""

_LIMITS = """\
## What nobody can see in the files

- A byte that changed where a file is not compressed. The checksum that the worker took tells; `septum run` and
  `collect` compare it, `septum merge` has none to compare with.
- A job that closed its file properly and had not done all its work. Its exit code tells, and septum takes no output
  of a part that failed.
- Two jobs that did the same work. The plan tells: parts have fingerprints.
- The `UserInfo` of a tree, and its friends, aliases and index: hadd keeps those of the first file, and the reader
  that checks a result does not read them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of one probe; what was not run is None."""

    hadd: Outcome
    septum: Outcome
    skipping: Outcome | None = None
    relaxed: Outcome | None = None


def page(runs: Mapping[str, Run], *, version: str) -> str:
    """The whole page.

    Args:
        runs: By the name of the probe; all of them.
        version: That of ROOT.
    """
    sections = [_INTRODUCTION, _numbers([runs[probe.name].hadd for probe in PROBES], version)]
    for group in GROUPS:
        rows = [_row(probe, runs[probe.name]) for probe in PROBES if probe.group == group]
        head = ["| Difference | Exit code | What came out | septum |", "| --- | --- | --- | --- |"]
        sections.append("\n".join([f"## {group}", "", *head, *rows]) + "\n")
    return "\n".join([*sections, _LIMITS])


def _numbers(outcomes: Sequence[Outcome], version: str) -> str:
    quiet = [outcome for outcome in outcomes if not outcome.exit_code]
    count = Counter(outcome.verdict for outcome in quiet)
    bad = [outcome for outcome in quiet if outcome.verdict in {Verdict.LOST, Verdict.WRONG, Verdict.MIXED}]
    silent = sum(not outcome.said for outcome in bad)
    text = (
        f"Of {len(outcomes)} cases, hadd of ROOT {version} ended with exit code 0 in {len(quiet)}. In "
        f"{count[Verdict.LOST]} of these something was lost, in {count[Verdict.WRONG]} the numbers are wrong, in "
        f"{count[Verdict.MIXED]} unlike things were mixed: {len(bad)} together, {silent} of them without a word."
    )
    return textwrap.fill(text, 120) + "\n"


def _row(probe: Probe, run: Run) -> str:
    cells = [probe.about, _exit_code(run.hadd), _came_out(run), _septum(probe, run)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _exit_code(outcome: Outcome) -> str:
    said = re.sub(r"\s+", " ", outcome.said).replace("`", "'").strip()
    shown = said if len(said) <= _SHOWN else said[:_SHOWN].rstrip() + "…"
    return f"{outcome.exit_code}: `{shown}`" if shown else str(outcome.exit_code)


def _came_out(run: Run) -> str:
    text = _verdict(run.hadd)
    return f"{text}. With `-k`: exit code {run.skipping.exit_code}, {_verdict(run.skipping)}" if run.skipping else text


def _verdict(outcome: Outcome) -> str:
    heavy = outcome.verdict in {Verdict.LOST, Verdict.WRONG, Verdict.MIXED}
    word = f"**{outcome.verdict.value}**" if heavy else outcome.verdict.value
    return f"{word}: {outcome.words}" if outcome.words else word


def _septum(probe: Probe, run: Run) -> str:
    text = "merged, and unread" if run.septum.verdict is Verdict.UNREAD else _expected(probe.septum)
    if probe.policy and probe.relaxed:
        name, _, value = probe.policy.partition("=")
        text += f"; with `{name}: {value}`: {_expected(probe.relaxed)}"
    return text


def _expected(expected: Refused | Merged) -> str:
    """The tests compare it with what septum did."""
    if isinstance(expected, Refused):
        return f"refused: [{expected.code}](../reference/errors.md#{expected.code.lower()})"
    if expected.blind:
        return f"merged as it is: {expected.blind}"
    return expected.note or ("as the policy says" if expected.holds else "right")

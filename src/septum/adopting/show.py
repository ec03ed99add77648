"""The proposal as text: lines for people, a document for programs, a difference of files. Pure."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from septum.adopting.propose import BACKUP
from septum.adopting.rows import MAIN
from septum.adopting.values import Proposal, Row, Step
from septum.compare.verdicts import printable

GREENS = "docs/explanation/false-greens.md"
_BECOMES, _WHY = 60, 240
_LONG = 100


def as_lines(proposal: Proposal) -> Iterator[str]:
    """What the command prints if nothing else is asked for."""
    yield f"{proposal.source}: the component {proposal.component} can take its place, on {proposal.cluster}"
    if proposal.kept:
        yield f"  stay as they are: {printable(', '.join(proposal.kept), _WHY)}"
    yield from _rows(proposal.rows)
    yield from _files(proposal.files)
    if proposal.variables:
        yield ""
        yield "variables of the project (Settings > CI/CD > Variables)"
        for each in proposal.variables:
            change = each.new if each.old in {"", each.new} else f"{printable(each.old)} -> {each.new}"
            yield f"  {change}: {printable(each.why, _WHY)}"
    if proposal.questions:
        yield ""
        yield "look at these yourself"
        for number, text in enumerate(proposal.questions, 1):
            yield f"  {number}. {printable(text, 3 * _WHY)}"
    yield ""
    yield from (f"checked: {printable(text, _WHY)}" for text in proposal.checks)


def _rows(rows: Sequence[Row]) -> Iterator[str]:
    for file, of_file in itertools.groupby(rows, lambda row: row.file):
        yield ""
        yield f"what replaces what: {printable(file)}"
        # Lines with one fate are told together.
        for _, group in itertools.groupby(of_file, lambda row: (row.becomes, row.where, row.why, row.green)):
            together = list(group)
            yield from (f"  {_lines(row):>7}  {_one_line(row.text)}" for row in together)
            yield from _fate(together[0])


def _lines(row: Row) -> str:
    return str(row.first) if row.first == row.last else f"{row.first}-{row.last}"


def _fate(row: Row) -> Iterator[str]:
    becomes = row.becomes + (f" ({row.where})" if row.where else "") if row.becomes else "goes"
    if row.step is Step.OTHER and not row.becomes:
        becomes = "NOT UNDERSTOOD: stays with you"
    yield f"           -> {printable(becomes, 2 * _BECOMES)}"
    if row.why:
        yield f"              {printable(row.why, _WHY)}"
    if row.green:
        yield f"              false greens that go: {GREENS}#{row.green}"


def _one_line(text: str) -> str:
    first, *more = text.splitlines() or [""]
    return printable(first, _LONG) + (f" … ({len(more)} more lines)" if more else "")


def _files(files: Mapping[str, str]) -> Iterator[str]:
    for name, text in files.items():
        yield ""
        yield f"proposed {name}"
        for number, line in enumerate(text.splitlines(), 1):
            yield f"  {number:>5}  {_visible(line)}"


def _visible(line: str) -> str:
    """A line of a file, whole, with nothing in it that moves a cursor."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line)


def as_data(proposal: Proposal, written: Sequence[str]) -> dict[str, object]:
    """The same for programs."""
    return {
        "source": proposal.source,
        "adoptable": True,
        "component": proposal.component,
        "cluster": proposal.cluster,
        "kept": list(proposal.kept),
        "replaces": [_as_data(row) for row in proposal.rows],
        "questions": list(proposal.questions),
        "variables": [asdict(each) for each in proposal.variables],
        "files": dict(proposal.files),
        "checks": list(proposal.checks),
        "written": list(written),
    }


def _as_data(row: Row) -> dict[str, object]:
    return {
        "file": row.file,
        "first": row.first,
        "last": row.last,
        "text": row.text,
        "step": row.step.value,
        "becomes": row.becomes,
        "where": row.where,
        "why": row.why,
        "false_greens": f"{GREENS}#{row.green}" if row.green else "",
    }


def as_diff(proposal: Proposal, old: str) -> Iterator[str]:
    """The files as a difference to what is there.

    Args:
        proposal: What is proposed.
        old: The old pipeline without its secrets.
    """
    for name, text in proposal.files.items():
        before = old.splitlines() if name == MAIN and proposal.source == MAIN else []
        label = f"a/{name}" if before else "/dev/null"
        for line in difflib.unified_diff(before, text.splitlines(), label, f"b/{name}", lineterm=""):
            yield _visible(line)
    if proposal.source == MAIN:
        yield f"# and {BACKUP}: the old {MAIN}, as it is now"

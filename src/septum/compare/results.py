"""Compares all results of a run with a reference, and decides when all p-values are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from septum.compare.binned import CLOSER
from septum.compare.files import Given, compare_files
from septum.compare.pipelines import DEFAULT_BRANCH
from septum.compare.reference import Found, Nothing, find, is_named
from septum.compare.statistics import rejected
from septum.compare.verdicts import Comparison, Entry, Verdict
from septum.errors import NotComparableError, TryAgainError
from septum.units import count

if TYPE_CHECKING:
    from septum.manifest import Manifest
    from septum.plan import Compare


def given_of(manifest: Manifest, folder: Path) -> tuple[Given, ...]:
    """The results of a run as they are compared.

    Args:
        manifest: Of the run.
        folder: The result folder; a result that was published elsewhere must still stand there.
    """
    return tuple(
        Given(
            name=item.name,
            path=folder / item.file,
            sha256=item.sha256,
            parts=len(item.parts),
            missing=len(item.missing),
        )
        for item in manifest.results
    )


def compare_results(
    here: Sequence[Given],
    asked: Compare,
    *,
    environ: Mapping[str, str],
    root: Path,
    scratch: Path,
    work: str = "",
    everything: bool = False,
    on_found: Callable[[Sequence[Given]], None] = lambda _: None,
) -> Comparison:
    """Compare results with what `compare:` in `septum.yaml` asks for.

    With `reproducibility: report`, a reference that GitLab cannot give is a note. One that somebody named must exist.

    Args:
        here: The results.
        asked: The reference, what follows from a difference, and the significance.
        environ: GitLab's variables, tokens, and the credentials of XRootD's client.
        root: What a path of a reference is relative to: the folder of `septum.yaml`.
        scratch: A folder for what is downloaded; the caller removes it.
        work: The hash of the work of this run; empty when nobody knows.
        everything: Take all files of a folder without a manifest, not only those of the results' names.
        on_found: Takes the files of the reference, while they are there: for plots beside them.

    Returns:
        The comparison; what follows from it is `Comparison.failure`.

    Raises:
        NotComparableError: The reference should exist and does not, or cannot be used.
        TryAgainError: Whoever has it does not answer.
    """
    blank = Comparison(reproducibility=asked.reproducibility, significance=asked.significance)
    names = [item.name for item in here]
    try:
        found = find(
            asked.reference, names, environ=environ, root=root, scratch=scratch, work=work, everything=everything
        )
        if not isinstance(found, Nothing):
            on_found(found.files)
        compared = blank if isinstance(found, Nothing) else compare_given(here, found, asked)
        compared = _new_reference(compared, asked, environ)
    except (NotComparableError, TryAgainError, OSError) as error:
        if asked.reproducibility != "report" or (is_named(asked.reference) and not isinstance(error, TryAgainError)):
            raise
        return replace(blank, nothing=_why(error))
    if isinstance(found, Nothing):
        return replace(blank, nothing=found.reason)
    if not compared.compared and is_named(asked.reference):
        # Whoever names a reference that shares nothing with the results has named the wrong one.
        raise replace(compared, reproducibility="exact").failure() or NotComparableError(
            "compare: nothing was compared"
        )
    return compared


def _new_reference(compared: Comparison, asked: Compare, environ: Mapping[str, str]) -> Comparison:
    """On the default branch, a change of the work has been merged: it becomes the reference, or nothing ever would.

    The same work must still give the same results, such as every night.
    """
    reference = compared.reference
    here = environ.get("CI_COMMIT_BRANCH", "")
    if reference is None or asked.reference != DEFAULT_BRANCH or here != environ.get("CI_DEFAULT_BRANCH"):
        return compared
    if not here or asked.reproducibility == "report" or reference.same_work or compared.failure() is None:
        return compared
    note = "this is the default branch, and other work than the reference: differences are reported, and no error"
    return replace(compared, reproducibility="report", notes=(*compared.notes, note))


def _why(error: Exception) -> str:
    if isinstance(error, NotComparableError | TryAgainError):
        return error.what + (f" ({error.evidence.splitlines()[0]})" if error.evidence else "")
    return str(error)


def compare_given(here: Sequence[Given], found: Found, asked: Compare) -> Comparison:
    """Compare results with a reference whose files are at hand.

    Args:
        here: The results.
        found: The reference.
        asked: What follows from a difference, and the significance.

    Raises:
        NotComparableError: A file is missing, or is not what its ending says.
    """
    theirs = {item.name: item for item in found.files}
    entries: list[Entry] = []
    notes: list[str] = []
    for item in here:
        other = theirs.get(item.name)
        if other is None:
            entries.append(Entry(result=item.name, kind="file", verdict=Verdict.NEW))
            continue
        entries += compare_files(item, other)
        notes += _notes(item, other)
    if found.listed:
        lost = theirs.keys() - {item.name for item in here}
        entries += [Entry(result=name, kind="file", verdict=Verdict.MISSING) for name in sorted(lost)]
    if closer := sum(CLOSER in entry.notes for entry in entries):
        notes.append(
            f"{count(closer, 'object')} closer than independent samples are: where events are the same, errors are not "
            "the measure of a difference"
        )
    if found.reference.same_work is False:
        notes.append("the reference is of other work: command, inputs, parts or policies have changed since")
    return Comparison(
        reference=found.reference,
        reproducibility=asked.reproducibility,
        significance=asked.significance,
        entries=tuple(decide(entries, significance=asked.significance)),
        notes=tuple(notes),
    )


def decide(entries: Sequence[Entry], *, significance: float) -> list[Entry]:
    """Call different what is too improbable, given how many objects were compared."""
    tested = [number for number, entry in enumerate(entries) if entry.verdict is Verdict.COMPATIBLE]
    objects = sum(entry.verdict not in {Verdict.NEW, Verdict.MISSING} for entry in entries)
    p_values = [entries[number].p_value for number in tested]
    verdicts = rejected([1.0 if p is None else p for p in p_values], objects=objects, significance=significance)
    decided = list(entries)
    for number, is_rejected in zip(tested, verdicts, strict=True):
        if is_rejected:
            decided[number] = replace(entries[number], verdict=Verdict.DIFFERENT)
    return decided


def _notes(here: Given, there: Given) -> list[str]:
    notes = []
    for item, where in ((here, "here"), (there, "in the reference")):
        if item.missing:
            notes.append(f"{item.name} is partial {where}: {count(item.missing, 'part')} missing")
    if here.parts and there.parts and here.parts != there.parts:
        notes.append(f"{item.name}: {count(here.parts, 'part')} here, {there.parts} in the reference")
    return notes

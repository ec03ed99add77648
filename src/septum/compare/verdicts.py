"""What a comparison says: one verdict for every object, and what follows for the whole. Pure values; reads no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from septum.errors import DifferentError, IncompatibleError, NotComparableError, SeptumError

_LONGEST = 100


class Verdict(Enum):
    """What was found of one object; the worst comes last."""

    IDENTICAL = "identical"
    """Contents, errors, entries, statistics and axes are equal, NaN to NaN."""
    NEW = "new"
    """Here, and not in the reference."""
    ROUNDING = "rounding"
    """As far apart as sums of floating-point numbers in another order can be."""
    COMPATIBLE = "compatible"
    """Not equal, and no test tells the two apart."""
    MISSING = "missing"
    """In the reference, and not here."""
    STRUCTURE = "structure"
    """Other axes, labels, columns, or another class."""
    DIFFERENT = "different"
    """Incompatible after correction for the number of objects, or without errors that could explain it."""

    @property
    def shown(self) -> str:
        """As it reads in a sentence."""
        return "other structure" if self is Verdict.STRUCTURE else self.value

    @property
    def is_bad(self) -> bool:
        """Whether it ends a comparison with `reproducibility: statistical`."""
        return self in {Verdict.MISSING, Verdict.STRUCTURE, Verdict.DIFFERENT}


_ORDER = {verdict: number for number, verdict in enumerate(Verdict)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object, or a whole file where `path` is empty.

    Attributes:
        result: The result's name.
        path: The object's path in it, names joined by `/`.
        kind: Its class, here.
        verdict: What was found.
        detail: Why, in one line; may hold texts of the files as they stand there.
        relative: The largest difference of two numbers, relative to their scale.
        pull: The largest difference of two bins in units of its error.
        chi2: The sum of the squared pulls, over
        ndf: so many bins.
        p_value: The smallest p-value of all tests of this object, times their number.
        ks: The p-value of the Kolmogorov-Smirnov test.
        worst: The bin or the column with the largest difference.
        notes: What else differs, or could not be looked at.
    """

    result: str = ""
    path: str = ""
    kind: str = ""
    verdict: Verdict
    detail: str = ""
    relative: float | None = None
    pull: float | None = None
    chi2: float | None = None
    ndf: int | None = None
    p_value: float | None = None
    ks: float | None = None
    worst: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What results were compared with; texts are empty where nobody knows.

    Attributes:
        asked: What was asked for, such as `default-branch`.
        found: What that is, such as `pipeline 4711 of main`.
        commit: The commit that it was made from.
        ref: Its branch or tag.
        pipeline: The number of its pipeline, and
        url: the page of it.
        plan: The hash of its plan.
        work: The hash of what decides the content of its results.
        same_work: Whether that is the work of this run; None when one of them is not known.
        complete: Whether it has all parts; None when nobody says.
    """

    asked: str
    found: str = ""
    commit: str = ""
    ref: str = ""
    pipeline: str = ""
    url: str = ""
    plan: str = ""
    work: str = ""
    same_work: bool | None = None
    complete: bool | None = None

    def describe(self) -> str:
        """What was compared with, for people."""
        shown = self.found or self.asked
        return f"{shown}, commit {self.commit[:8]}" if self.commit else shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All objects of all results against a reference.

    Attributes:
        reference: What they were compared with; None when there was nothing, and `nothing` says why.
        nothing: Why there was nothing to compare with.
        reproducibility: `exact`, `statistical` or `report`.
        significance: Below this probability of one false alarm or more, an object is called different.
        entries: Every object of both sides once.
        notes: What concerns the whole.
    """

    reference: Reference | None = None
    nothing: str = ""
    reproducibility: str = "report"
    significance: float = 0.001
    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many objects have each verdict; those that nobody has are left out."""
        counted = Counter(entry.verdict for entry in self.entries)
        return {verdict: counted[verdict] for verdict in Verdict if counted[verdict]}

    @property
    def compared(self) -> int:
        """How many objects are on both sides."""
        return sum(entry.verdict not in {Verdict.NEW, Verdict.MISSING} for entry in self.entries)

    def name_of(self, entry: Entry) -> str:
        """An object as messages show it: by its path, and by its result where there are several."""
        several = len({each.result for each in self.entries}) > 1
        return printable(
            ": ".join(part for part in (entry.result if several else "", entry.path) if part) or entry.result
        )

    def worst_first(self, limit: int) -> Sequence[Entry]:
        """The entries that are not identical, the worst first."""
        return sorted((entry for entry in self.entries if entry.verdict is not Verdict.IDENTICAL), key=_badness)[:limit]

    def headline(self) -> str:
        """The comparison in one line: what is identical first, and how many were compared."""
        if self.reference is None:
            return f"nothing to compare with: {printable(self.nothing, 300)}"
        counts = dict(self.counts)
        identical = counts.pop(Verdict.IDENTICAL, 0)
        if not self.compared:
            parts = ["nothing was compared: no object is on both sides"]
        else:
            parts = [f"{identical} of {self.compared} identical"]
        parts += [f"{number} {verdict.shown}" for verdict, number in counts.items()]
        bad = [entry for entry in self.worst_first(1) if entry.verdict.is_bad]
        return ", ".join(parts + [f"worst: {self._with_pull(entry)}" for entry in bad])

    def _with_pull(self, entry: Entry) -> str:
        why = f"pull {entry.pull:.1f}" if entry.pull is not None else printable(entry.detail)
        return f"{self.name_of(entry)}, {why}" if why else self.name_of(entry)

    def failure(self) -> SeptumError | None:
        """The error that the run ends with, or None. Zero compared objects are no success of any test."""
        if self.reference is None:
            return None
        bad = [entry for entry in self.entries if entry.verdict.is_bad]
        unequal = [entry for entry in self.entries if entry.verdict is not Verdict.IDENTICAL]
        evidence = "\n".join(f"{entry.verdict.shown}: {self._with_pull(entry)}" for entry in self.worst_first(5))
        fix = "compare.json in the result folder, or 'septum compare --json FILE', has every object"
        if self.reproducibility == "report":
            return None
        if not self.compared:
            return NotComparableError(
                "compare: nothing was compared: no object is in the results and in the reference",
                evidence=evidence or "both sides are empty",
                fix="check 'compare: reference' in septum.yaml, and the names of the results",
            )
        if self.reproducibility == "exact" and unequal:
            return DifferentError(
                f"compare: {len(unequal)} of {len(self.entries)} objects are not identical to the reference",
                evidence=evidence,
                fix=f"{fix}; if the change is meant, make it the reference, or set 'reproducibility: statistical'",
            )
        if bad:
            return IncompatibleError(
                f"compare: {len(bad)} of {len(self.entries)} objects do not agree with the reference",
                evidence=evidence,
                fix=f"{fix}; if the change is meant, make it the reference, or set 'reproducibility: report'",
            )
        return None


def _badness(entry: Entry) -> tuple[int, float, float, float, str]:
    """Sorts the worst first: by verdict, then the least probable, the largest pull, the largest difference."""
    return (
        -_ORDER[entry.verdict],
        entry.p_value if entry.p_value is not None else -1.0,
        -(entry.pull or 0.0),
        -(entry.relative or 0.0),
        f"{entry.result}: {entry.path}",
    )


def printable(text: str, limit: int = _LONGEST) -> str:
    """A text of somebody else on one line of a screen: no control characters, and not longer than it may be."""
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return shown if len(shown) <= limit else shown[: limit // 2 - 1] + "…" + shown[-(limit - limit // 2) :]


def said(error: Exception) -> str:
    """An error of a library in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]

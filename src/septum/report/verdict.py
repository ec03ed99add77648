"""How a run ended, in the words that all reports share: whole, partial or no result, failures by cause. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from septum.errors import error_of
from septum.manifest import Manifest, PartFacts
from septum.report.text import visible
from septum.states import PartState
from septum.units import count


class Kind(str, Enum):
    """What there is."""

    WHOLE = "whole"
    PARTIAL = "partial"
    NOTHING = "no result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The first thing that anybody reads.

    Attributes:
        kind: What there is.
        what: One sentence.
        evidence: What was seen, perhaps in several lines; empty when all is well.
        fix: What to do; empty when all is well.
        code: Of the error, if there was one.
    """

    kind: Kind
    what: str
    evidence: str = ""
    fix: str = ""
    code: str = ""

    @property
    def title(self) -> str:
        """The verdict as a heading."""
        return {Kind.WHOLE: "Whole", Kind.PARTIAL: "Partial", Kind.NOTHING: "No result"}[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Parts that failed in the same way.

    Attributes:
        code: Of the error, such as `E301`.
        meaning: The class of the error in one sentence.
        parts: Those that failed so, in the order of the plan.
    """

    code: str
    meaning: str
    parts: tuple[PartFacts, ...]

    @property
    def example(self) -> PartFacts:
        """The part to look at: the first one that left a log."""
        return next((part for part in self.parts if part.log), self.parts[0])


def judge(manifest: Manifest) -> Verdict:
    """The verdict on a run."""
    error = manifest.error
    missing = missing_parts(manifest)
    asked, whole = len(manifest.parts), manifest.whole_count
    if error is not None and not manifest.results:
        return Verdict(kind=Kind.NOTHING, what=error.what, evidence=error.evidence, fix=error.fix, code=error.code)
    if manifest.complete:
        what = f"All {count(whole, 'part')} of the plan are in"
        files = f"{len(manifest.results)} results" if len(manifest.results) > 1 else "the result"
        return Verdict(
            kind=Kind.WHOLE, what=f"{what} {files}." if manifest.results else f"{what}; nothing was to be merged."
        )
    evidence, fix, code = ("", "", "") if error is None else (error.evidence, error.fix, error.code)
    if missing:
        what = f"{len(missing)} of {count(whole, 'part')} are missing in the results."
    else:
        what = f"Only {asked} of {count(whole, 'part')} were asked for."
        fix = fix or "run without --parts for a whole result"
    return Verdict(kind=Kind.PARTIAL, what=what, evidence=evidence, fix=fix, code=code)


def missing_parts(manifest: Manifest) -> list[str]:
    """The ids of parts that should be in a result and are not, in the order of the plan."""
    missing = {part for result in manifest.results for part in result.missing}
    return [part.id for part in manifest.parts if part.id in missing]


def states(manifest: Manifest) -> dict[str, int]:
    """How many parts ended in each state, in the order of the states."""
    found = Counter(part.state for part in manifest.parts)
    known = [state.value for state in PartState]
    return {state: found[state] for state in [*known, *sorted(set(found) - set(known))] if found[state]}


def failed(manifest: Manifest) -> list[PartFacts]:
    """The parts that failed, in the order of the plan."""
    return [part for part in manifest.parts if part.state == PartState.FAILED.value or part.cause]


def causes(manifest: Manifest) -> list[Cause]:
    """Failed parts by cause, the most frequent first."""
    groups: dict[str, list[PartFacts]] = {}
    for part in failed(manifest):
        groups.setdefault(part.cause or "", []).append(part)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [Cause(code=code or "?", meaning=_meaning(code), parts=tuple(parts)) for code, parts in ordered]


def _meaning(code: str) -> str:
    try:
        return " ".join((error_of(code).__doc__ or "").split())
    except KeyError:
        return "A cause that this version of septum does not know."


def describe(part: PartFacts) -> str:
    """A part as messages name it: `part 0007 (sample=DY, seed=8)`."""
    shown = ", ".join(
        f"{visible(name, 40)}={visible(value if isinstance(value, str) else ' '.join(value), 40)}"
        for name, value in part.values.items()
    )
    return f"part {part.id} ({shown})" if shown else f"part {part.id}"


def ranges(ids: Sequence[str]) -> str:
    """Ids as a list to paste: `0002,0011,0208`; long ones end in how many more there are."""
    shown = 20
    text = ",".join(ids[:shown])
    return text if len(ids) <= shown else f"{text} … and {len(ids) - shown} more"

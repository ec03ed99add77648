"""How a run ended: its results, the parts that did not deliver, and the error that says so. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.errors import PartialResultError, SeptumError, error_of
from septum.plan import Plan

if TYPE_CHECKING:
    from septum.ledger import Row
    from septum.merge.results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended.

    Attributes:
        results: The merged files under temporary names; empty when there is no result.
        failed: The parts that did not deliver.
        error: What the run ends with; None when every part is in the results.
    """

    results: tuple[Result, ...]
    failed: tuple[Row, ...]
    error: SeptumError | None


def failure(plan: Plan, failed: Sequence[Row]) -> SeptumError:
    """The error of a run whose parts failed: of the first failed part in the order of the plan, the others counted.

    Args:
        plan: The plan.
        failed: At least one failed part, in the order of the plan.
    """
    first = failed[0]
    others: dict[str, list[str]] = {}
    for row in failed[1:]:
        others.setdefault(row.cause or "E300", []).append(row.id)
    summary = [f"{len(failed)} of {len(plan.parts)} parts failed; there is no result"]
    summary += [
        f"also {len(parts)} × {_title(code)} [{code}]: part {', '.join(parts[:5])}{', …' if len(parts) > 5 else ''}"  # noqa: PLR2004 - fits a line
        for code, parts in sorted(others.items())
    ]
    return error_of(first.cause or "E300")(
        first.message or f"part {first.id} failed",
        evidence="\n".join(line for line in (first.evidence or "", *summary) if line),
        fix=first.fix or "",
    )


def _title(code: str) -> str:
    return (error_of(code).__doc__ or "").split(",")[0].split(";")[0].strip().rstrip(".").lower()


def partial(plan: Plan, failed: Sequence[Row]) -> SeptumError:
    """The error of a run whose missing parts are within the tolerance; the arguments are those of `failure`."""
    names = ", ".join(row.id for row in failed[:8]) + (", …" if len(failed) > 8 else "")  # noqa: PLR2004 - fits a line
    return PartialResultError(
        f"{len(failed)} of {len(plan.parts)} parts are missing, within the tolerance of {plan.tolerance}",
        evidence=f"missing: {names}\nfirst: {failed[0].message}",
        fix="the results are labelled partial; run again for whole ones",
    )

"""The one exception of the facility."""

from __future__ import annotations


class FacilityError(Exception):
    """Something of the facility could not be built, started or asked.

    Args:
        what: What failed, with the values.
        evidence: What was seen: an exit code, the last lines of a log. Empty if there is nothing more to show.
        fix: Something the reader can do.
    """

    def __init__(self, what: str, *, evidence: str = "", fix: str) -> None:
        self.what = what
        self.evidence = evidence
        self.fix = fix
        parts = [what, evidence.strip(), f"Fix: {fix}"]
        super().__init__("\n".join(part for part in parts if part))

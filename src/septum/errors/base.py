"""What all errors share: what happened, the evidence, the fix, a code, an exit code. And how they are found."""

from __future__ import annotations

from typing import ClassVar


class SeptumError(Exception):
    """The base of all errors that a user can meet.

    Args:
        what: One sentence with the values in it, no capital after the subject.
        evidence: What was seen: an answer, a line, a log's tail. May have several lines, never a secret.
        fix: Something to paste or to do.
    """

    code: ClassVar[str] = "E999"
    exit_code: ClassVar[int] = 70

    def __init__(self, what: str, *, evidence: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.evidence = evidence.rstrip()
        self.fix = fix

    def __str__(self) -> str:
        """The message as it is printed, without colour."""
        lines = [f"{self.what} [{self.code}]"]
        lines += [f"    {line}" for line in self.evidence.splitlines()]
        if self.fix:
            first, *rest = self.fix.splitlines()
            lines += [f"  Fix: {first}", *(f"       {line}" for line in rest)]
        return "\n".join(lines)


def every_error() -> list[type[SeptumError]]:
    """All error classes that carry a code of their own, module by module as `septum.errors` imports them.

    Returns:
        The classes below `SeptumError`, each once, depth first.
    """

    def walk(cls: type[SeptumError]) -> list[type[SeptumError]]:
        return [cls, *(found for sub in cls.__subclasses__() for found in walk(sub))]

    return walk(SeptumError)[1:]


def error_of(code: str) -> type[SeptumError]:
    """The class of an error code as the ledger stores it.

    Raises:
        KeyError: No class has that code.
    """
    return {cls.code: cls for cls in every_error()}[code]

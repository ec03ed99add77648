"""What a check found, the screen and the JSON of all of them, and the exit code. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from septum.errors import SeptumError, error_of

State = Literal["ok", "warning", "failed", "skipped"]
MARKS: dict[State, str] = {"ok": "ok", "warning": "warn", "failed": "FAIL", "skipped": "skip"}
# A name in the way of X.509, which is a person's or a host's.
_DISTINGUISHED_NAME = re.compile(r"(?:/[A-Za-z]+=[^/\n\"']+){2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the screen.

    Args:
        name: Unique; people and scripts may refer to it.
        group: The heading that it stands under.
        state: How it ended.
        text: What was seen, in one line.
        cause: For a failure or a warning: the evidence, perhaps in several lines.
        fix: What to do about it.
        code: Of the error, if it failed.
    """

    name: str
    group: str
    state: State
    text: str
    cause: str = ""
    fix: str = ""
    code: str = ""

    @property
    def exit_code(self) -> int:
        """That of the error's class; 0 if it did not fail."""
        if self.state != "failed":
            return 0
        try:
            return error_of(self.code).exit_code
        except KeyError:  # a mistake in septum itself has no class of its own
            return SeptumError.exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a check ended, and the value that others build on."""

    state: State
    text: str
    cause: str = ""
    fix: str = ""
    code: str = ""
    value: Any = None

    def check(self, name: str, group: str) -> Check:
        """The line of the screen."""
        return Check(
            name=name,
            group=group,
            state=self.state,
            text=_line(self.text),
            cause=_short_names(self.cause),
            fix=self.fix,
            code=self.code,
        )


class Skip(Exception):  # noqa: N818 - not an error: there is nothing to try
    """Raised by a check that cannot be made; its text says why."""


def ok(text: str, value: object = None) -> Outcome:
    """It is as it should be."""
    return Outcome(state="ok", text=text, value=value)


def warning(text: str, *, cause: str = "", fix: str = "", value: object = None) -> Outcome:
    """It may do, and deserves a look."""
    return Outcome(state="warning", text=text, cause=cause, fix=fix, value=value)


def skipped(text: str) -> Outcome:
    """It was not tried."""
    return Outcome(state="skipped", text=text)


def failed(error: BaseException) -> Outcome:
    """A check that raised: septum's errors bring evidence and fix; all others are mistakes in septum itself."""
    if isinstance(error, SeptumError):
        fix = error.fix or f"see docs/reference/errors.md, {error.code}"
        return Outcome(state="failed", text=error.what, cause=error.evidence, fix=fix, code=error.code)
    return Outcome(
        state="failed",
        text="the check itself broke",
        cause=f"{type(error).__name__}: {error}"[:500],
        fix="this is a mistake in septum; report it with the lines above",
        code=SeptumError.code,
    )


def exit_code(checks: Sequence[Check]) -> int:
    """0 if nothing failed, else the exit code of the first failure."""
    return next((check.exit_code for check in checks if check.state == "failed"), 0)


def to_data(checks: Sequence[Check]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "exit_code": exit_code(checks),
        "counts": _counts(checks),
        "checks": [{**asdict(check), "exit_code": check.exit_code} for check in checks],
    }


def screen(checks: Sequence[Check]) -> Iterator[str]:
    """The lines for people: all checks, then what to do, then the numbers."""
    width = max((len(check.name) for check in checks), default=0)
    for group, members in groupby(checks, key=lambda check: check.group):
        yield group
        for check in members:
            yield f"  {MARKS[check.state]:<4}  {check.name:<{width}}  {check.text}"
    for state in ("failed", "warning"):
        for check in checks:
            if check.state == state and (check.cause or check.fix):
                yield ""
                yield from _story(check)
    yield ""
    counts = _counts(checks)
    warnings = "warning" if counts["warning"] == 1 else "warnings"
    yield f"{counts['failed']} failed, {counts['warning']} {warnings}, {counts['skipped']} skipped, {counts['ok']} ok"


def _story(check: Check) -> Iterator[str]:
    code = f" [{check.code}, exit code {check.exit_code}]" if check.code else ""
    yield f"{MARKS[check.state]} {check.name}: {check.text}{code}"
    yield from (f"    {line}" for line in check.cause.splitlines())
    if check.fix:
        first, *rest = check.fix.splitlines()
        yield f"  Fix: {first}"
        yield from (f"       {line}" for line in rest)


def _counts(checks: Sequence[Check]) -> dict[str, int]:
    counted = Counter(check.state for check in checks)
    return {state: counted[state] for state in MARKS}


def _line(text: str) -> str:
    """One line, whatever a server sent."""
    return "".join(c if c.isprintable() else " " for c in _short_names(text)).strip()


def _short_names(text: str) -> str:
    return _DISTINGUISHED_NAME.sub("/…", text)

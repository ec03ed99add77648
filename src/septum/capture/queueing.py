"""Takes a submit description apart at its queue statements, and a queue statement into its items. Pure.

HTCondor's bindings read what stands between the statements and expand the macros. They do not apply slices, cannot say
what `queue 3` means, and would read files and run programs for the items: so that much is done here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

MAX_JOBS = 200_000
_QUEUE = re.compile(r"queue(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)
_HEREDOC = re.compile(r"[^=:#]*@=(\S+)\s*")
_KEYWORD = re.compile(r"(?<!\S)(in|from|matching)(?=[\s(]|$)", re.IGNORECASE)
_QUALIFIER = re.compile(r"(files|dirs|any)(?=[\s(]|$)|(\[)", re.IGNORECASE)
_SLICE = re.compile(r"\[\s*([+-]?\d*)(?::\s*([+-]?\d*)(?::\s*([+-]?\d*))?)?\]")
_VARIABLES = re.compile(r"(?:[A-Za-z_.,\s]|(?<=[A-Za-z_.\d])\d)*\Z")
_SEPARATORS = re.compile(r"[,\s]+")
_UNSAFE = re.compile(r"@?include\b|use\b", re.IGNORECASE)


class QueueError(Exception):
    """A description that condor_submit would not take, or that cannot be read here; the text is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The lines up to a queue statement, its arguments, and the lines of its items up to the closing bracket."""

    body: str
    arguments: str
    inline: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What a queue statement says: jobs an item, variables, items; `recorded` ones are known at the call alone."""

    count: str
    variables: tuple[str, ...]
    items: tuple[str, ...]
    cut: tuple[int | None, int | None, int | None]
    foreach: bool
    recorded: bool


# ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _joined(lines: Sequence[str], start: int) -> tuple[str, int]:
    """The statement that begins at a line, continuations joined, and the number of the line behind it."""
    text, end = lines[start].strip(), start + 1
    if text.startswith("#"):
        return text, end
    while text.endswith("\\") and end < len(lines):
        text, end = text[:-1] + lines[end].strip(), end + 1
    return text, end


def statements(text: str) -> Iterator[Statement]:
    """Take a description apart.

    Yields:
        A statement for each place where `queue` stands outside of a conditional, and one without `queue` around it for
        the rest if there is more than comments; its arguments are empty.

    Raises:
        QueueError: The description includes another file or program, or a list of items does not end.
    """
    lines = text.split("\n")
    body: list[str] = []
    at = depth = 0
    while at < len(lines):
        line, end = _joined(lines, at)
        if heredoc := _HEREDOC.fullmatch(line):
            closing = [n for n in range(end, len(lines)) if lines[n].strip() == "@" + heredoc[1]]
            end = closing[0] + 1 if closing else len(lines)
        elif _UNSAFE.match(line):
            raise QueueError(f"the line {line[:80]!r} reads another file, or runs a program, when jobs are submitted")
        elif found := _QUEUE.fullmatch(line):
            if depth:
                raise QueueError("'queue' stands between 'if' and 'endif'")
            inline: list[str] = []
            if _opens(found[1] or ""):
                inline, end = _inline(lines, end)
            yield Statement(body="\n".join(body), arguments=(found[1] or "").strip(), inline=tuple(inline))
            body, at = [], end
            continue
        depth += bool(re.match(r"if\b", line, re.IGNORECASE)) - bool(re.match(r"endif\b", line, re.IGNORECASE))
        body += lines[at:end]
        at = end
    if any(line.strip() and not line.strip().startswith("#") for line in body):
        yield Statement(body="\n".join(body), arguments="", inline=())


def _opens(arguments: str) -> bool:
    """Whether the items go on in the next lines: a bracket behind the keyword that the line does not close."""
    found = _KEYWORD.search(arguments)
    rest = _qualified(arguments[found.end() :])[0] if found else ""
    return rest.startswith("(") and not rest.endswith(")")


def _inline(lines: Sequence[str], start: int) -> tuple[list[str], int]:
    found: list[str] = []
    for number in range(start, len(lines)):
        line = lines[number].strip()
        if line.startswith(")"):
            return found, number + 1
        if not line.startswith("#"):
            found.append(line)
    raise QueueError("the list of items behind 'queue' does not end: there is no line that begins with ')'")


# ── the queue statement ─────────────────────────────────────────────────────────────────────────────────────────


def parse(arguments: str, inline: Sequence[str], recorded: Sequence[str] | None) -> Queue:
    """Read the arguments of a queue statement, macros expanded.

    Args:
        arguments: What stands behind `queue`.
        inline: The lines of its items, if it has a bracket that the line does not close.
        recorded: The items as they were at the call; None if the statement itself has them.

    Raises:
        QueueError: condor_submit would not take it, or its items should have been recorded.
    """
    keyword = _KEYWORD.search(arguments)
    if keyword is None:
        return Queue(count=arguments, variables=(), items=(), cut=(None,) * 3, foreach=False, recorded=False)
    before = arguments[: keyword.start()].rstrip()
    names = _VARIABLES.search(before)
    given = names[0] if names else ""
    count = before[: len(before) - len(given)].strip()
    rest, cut = _qualified(arguments[keyword.end() :])
    kind = keyword[1].lower()
    wanted = kind == "matching" or (kind == "from" and not rest.startswith("("))
    if wanted and recorded is None:
        raise QueueError(f"the items of 'queue {arguments[:80]}' were not recorded")
    return Queue(
        count=count,
        variables=tuple(_words(given)) or ("Item",),
        items=tuple(recorded or ()) if wanted else _items(kind, rest, inline),
        cut=cut,
        foreach=True,
        recorded=wanted,
    )


def _qualified(text: str) -> tuple[str, tuple[int | None, int | None, int | None]]:
    """What stands behind qualifiers and slice, and the slice."""
    rest, cut = text.strip(), (None, None, None)
    while found := _QUALIFIER.match(rest):
        end = found.end()
        if found[2]:
            piece = _SLICE.match(rest)
            if piece is None:
                raise QueueError(f"{rest[:40]!r} is not a slice such as [2:10] or [::2]")
            cut = tuple(int(text) if text and text not in "+-" else None for text in piece.groups())  # type: ignore[assignment]
            end = piece.end()
        rest = rest[end:].lstrip()
    return rest, cut


def _items(kind: str, rest: str, inline: Sequence[str]) -> tuple[str, ...]:
    if rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1]
        lines = [rest.strip()] if kind == "from" else [rest]
    elif rest.startswith("("):
        first = rest[1:].strip()
        lines = [*([first] if first else []), *inline]
    else:
        lines = [rest]
    return tuple(lines) if kind == "from" else tuple(word for line in lines for word in _words(line))


def _words(text: str) -> list[str]:
    return [word for word in _SEPARATORS.split(text) if word]


def chosen(queue: Queue) -> list[tuple[int, str]]:
    """The items that the slice leaves, with their places among all (`$(Row)`).

    Raises:
        QueueError: The slice has a step below 1.
    """
    start, stop, step = queue.cut
    if step is not None and step < 1:
        raise QueueError(f"the step {step} of a slice is below 1")
    count = len(queue.items)
    first = 0 if start is None else start + count if start < 0 else start
    last = count if stop is None else stop + count if stop < 0 else stop
    return [(at, queue.items[at]) for at in range(max(first, 0), min(last, count)) if (at - first) % (step or 1) == 0]


def split_item(item: str, count: int) -> list[str]:
    """The values of the variables in one item; fewer than `count` if it has fewer."""
    text = item.strip(" \t\r\n")
    if "\x1f" in text:
        values = [value.strip(" \t") for value in text.split("\x1f")]
        return (values + [""] * count)[:count]
    values = []
    while len(values) < count - 1:
        end = re.search(r"[, \t]", text)
        if end is None:
            break
        values.append(text[: end.start()])
        text = text[end.end() :].lstrip(" \t")
    return [*values, text]


def count_of(text: str, evaluate: Callable[[str], object]) -> int:
    """The number of jobs for each item.

    Args:
        text: An expression; empty for one.
        evaluate: What an expression of HTCondor's language is.

    Raises:
        QueueError: It is no number from 0 on, or far too large.
    """
    value = 1 if not text else int(text) if re.fullmatch(r"[+-]?\d{1,12}", text) else evaluate(text)
    # Neither a truth value nor the binding's `Undefined`, which is an int as well.
    if isinstance(value, (int, float)) and type(value) in {int, float} and 0 <= value <= MAX_JOBS:
        return int(value)
    raise QueueError(f"'queue {text[:80]}' gives no number of jobs from 0 to {MAX_JOBS}")

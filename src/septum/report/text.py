"""Text of others (names, titles, logs) made safe to show: nothing in it moves, hides or reorders what is around it.

Escaping for HTML, XML and Markdown is done where those are written; this is what all of them need before. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

NAME = 160
"""Characters of a name that are shown; the whole name stands in `septum.json`."""
_COMBINING = 2


def visible(text: str, limit: int = NAME) -> str:
    r"""One line in which every character can be seen.

    Args:
        text: Anything: line breaks, control characters, marks that turn the direction, 10 kB.
        limit: Characters of the answer at most.

    Returns:
        The text; what has no shape of its own is written as `\n`, `\x1b`, `\u202e`; a long text lacks its middle.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    # One character may need ten: no need to look at more than can be shown.
    text = text if len(text) <= 2 * limit else text[:limit] + "…" + text[-limit:]
    shown = "".join(_seen(text))
    return shortened(shown, limit)


def shortened(text: str, limit: int) -> str:
    """A text without its middle if it is too long."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return text[:head] + "…" + text[len(text) - (limit - 1 - head) :]


def visible_lines(text: str, *, lines: int, width: int = 400) -> str:
    """The last lines of a text such as a log, each of them `visible`."""
    kept = text.expandtabs(4).replace("\r\n", "\n").split("\n")
    while kept and not kept[-1].strip():
        kept.pop()
    left_out = len(kept) - lines
    shown = [visible(line, width) for line in kept[-lines:]]
    return "\n".join(([f"… {left_out} lines above"] if left_out > 0 else []) + shown)


def _seen(text: str) -> Sequence[str]:
    pieces, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if not character.isprintable() or marks > _COMBINING:
            pieces.append(_escape(character))
        else:
            pieces.append(character)
    return pieces


def _escape(character: str) -> str:
    names = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    number = ord(character)
    return names.get(character) or (
        f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004
    )


def number(value: float, digits: int = 6) -> str:
    """A number for people: `24000`, `1.05e+07`, `-0.25`; not a number is said in words."""
    if value != value:  # noqa: PLR0124 - that is how NaN is known
        return "not a number"
    if value in {float("inf"), float("-inf")}:
        return "infinite" if value > 0 else "-infinite"
    whole = 1e15
    if float(value).is_integer() and abs(value) < whole:
        return f"{int(value)}"
    return f"{value:.{digits}g}"


def with_error(value: float, error: float) -> str:
    """A value and its error, both cut where the error's second digit is: `1234.5 ± 2.3`."""
    import math

    if not (math.isfinite(value) and math.isfinite(error)):
        return f"{number(value)} ± {number(error)}"
    if error <= 0:
        return number(value)
    largest, smallest = 1e7, 1e-4
    place = 1 - math.floor(math.log10(error))
    if smallest <= error and max(abs(value), error) < largest:
        places = max(0, place)
        return f"{value:.{places}f} ± {error:.{places}f}"
    power = math.floor(math.log10(max(abs(value), error)))
    places = max(0, power + place)
    if places > 12:  # noqa: PLR2004 - no double has more to say
        return f"{number(value)} ± {number(error, 2)}"
    scale = 10.0**power
    return f"({value / scale:.{places}f} ± {error / scale:.{places}f}) × 10^{power}"


def per_cent(share: float) -> str:
    """A share as per cent: `97.3 %`."""
    return f"{100 * share:.1f} %"

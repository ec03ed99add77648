"""Durations and sizes as people write them, and back. Pure."""

from __future__ import annotations

import re

_DURATION_S = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "day": 86400, "days": 86400, "w": 604800}
# As HTCondor has it: 1 GB is 1024 MB, with and without the i.
_SIZE_B = {"b": 1, "kb": 1024, "kib": 1024, "mb": 1024**2, "mib": 1024**2, "gb": 1024**3, "gib": 1024**3}
_SIZE_B |= {"tb": 1024**4, "tib": 1024**4}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")
_LARGEST = 2**53
"""Of seconds and of bytes: what a double, and so HTCondor, still counts exactly."""


def parse_duration(text: str) -> int:
    """Read a duration such as `90 s`, `30 min`, `1.5 h`, `2 d`.

    Returns:
        Seconds, rounded down, at least 1.

    Raises:
        ValueError: No number with one of the units.
    """
    return _parse(text, _DURATION_S, "a duration such as '30 min', '2 h' or '1 d'")


def parse_size(text: str) -> int:
    """Read a size such as `500 MB` or `2 GB`, powers of 1024 as in HTCondor.

    Returns:
        Bytes, rounded down, at least 1.

    Raises:
        ValueError: No number with one of the units.
    """
    return _parse(text, _SIZE_B, "a size such as '500 MB' or '2 GB'")


def _parse(text: str, units: dict[str, int], wanted: str) -> int:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in units:
        raise ValueError(f"expected {wanted}, got {text!r}")
    exact = float(match[1]) * units[match[2].lower()]
    if exact > _LARGEST:
        raise ValueError(f"expected {wanted}, got one that is too large")
    value = int(exact)
    if value < 1:
        raise ValueError(f"expected {wanted} above zero, got {text!r}")
    return value


def show_duration(seconds: float) -> str:
    """Write a duration for people: `45 s`, `12 min 05 s`, `3 h 20 min`."""
    total = int(seconds)
    if total < 60:  # noqa: PLR2004 - a minute
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def count(number: int, noun: str) -> str:
    """Write how many of something there are: `1 part`, `411 parts`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def show_size(size_b: float) -> str:
    """Write a size for people: `812 B`, `3.4 kB`, `1.2 GB`, powers of 1024."""
    value = float(size_b)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1024:  # noqa: PLR2004 - the next unit
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"

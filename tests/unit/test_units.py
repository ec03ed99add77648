"""Durations and sizes, as people write them."""

from __future__ import annotations

import pytest

from septum.units import parse_duration, parse_size, show_duration, show_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1 s", 1),
        ("90s", 90),
        ("30 min", 1800),
        ("2 m", 120),
        ("1.5 h", 5400),
        (" 2  d ", 172_800),
        ("1 day", 86_400),
        ("3 days", 259_200),
        ("1 w", 604_800),
        ("2 H", 7200),
        ("0.9999 h", 3599),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    """Every unit, with and without spaces, rounded down."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size_b"),
    [("1 B", 1), ("1 kB", 1024), ("1KiB", 1024), ("500 MB", 500 * 1024**2), ("1.5 GB", 1610612736), ("2 TiB", 2 << 40)],
)
def test_sizes(text: str, size_b: int) -> None:
    """Powers of 1024, with and without the i, as HTCondor has it."""
    assert parse_size(text) == size_b


BAD = ["", "5", "h", "-1 h", "1,5 h", "1 h 30 min", "1e3 s", "1 parsec", "٣ h", "inf h", "nan s", "1 h\n2 h", "0x10 s"]


@pytest.mark.parametrize("text", [*BAD, "0 s", "0.2 s", "9" * 400 + " d", "1" + "0" * 20 + " s"])
def test_bad_durations(text: str) -> None:
    """Whatever is no duration above zero is a ValueError that says what is wanted; an overflow too."""
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", [*BAD, "0 B", "0.4 B", "9" * 400 + " GB", "5 h", "2 EB"])
def test_bad_sizes(text: str) -> None:
    """Whatever is no size above zero is a ValueError that says what is wanted."""
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


def test_a_huge_number_is_not_repeated_in_the_message() -> None:
    """Four hundred digits are no help."""
    with pytest.raises(ValueError, match="too large") as caught:
        parse_size("9" * 400 + " GB")

    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 00 s"),
        (725, "12 min 05 s"),
        (3600, "1 h 00 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_show_duration(seconds: float, shown: str) -> None:
    """Two units at most."""
    assert show_duration(seconds) == shown


@pytest.mark.parametrize(
    ("size_b", "shown"),
    [(0, "0 B"), (812, "812 B"), (1024, "1.0 kB"), (3500, "3.4 kB"), (1 << 30, "1.0 GB"), (1 << 50, "1024.0 TB")],
)
def test_show_size(size_b: float, shown: str) -> None:
    """One decimal, but for bytes."""
    assert show_size(size_b) == shown


@pytest.mark.parametrize("size_b", [1, 1023, 1024, 5_000_000, 1 << 40])
def test_what_is_shown_can_be_read(size_b: int) -> None:
    """A size that was shown reads as nearly the same size."""
    assert parse_size(show_size(size_b)) == pytest.approx(size_b, rel=0.05)

"""Texts of others on their way into a report: every character is seen, and titles read as physicists write them."""

from __future__ import annotations

import unicodedata

import pytest

from septum.report.text import number, visible, visible_lines, with_error
from septum.report.tlatex import mathtext, plain
from tests.fakes.reports import HOSTILE


@pytest.mark.parametrize(
    "text", [*HOSTILE, "\ud800 half", "\u2066\u2069\u200b\u00ad", "\x9b31m", "\u2028\u2029\x85\x0b"]
)
@pytest.mark.parametrize("limit", [20, 160])
def test_every_character_is_seen(text: str, limit: int) -> None:
    """One line, no longer than asked for, without controls, marks of direction, or towers of accents."""
    shown = visible(text, limit)

    assert len(shown) <= limit
    assert shown.isprintable()
    assert shown.encode("utf-8")
    marks = [unicodedata.combining(character) > 0 for character in shown]
    assert not any(all(marks[start : start + 3]) for start in range(len(marks) - 2))


@pytest.mark.parametrize(("text", "shown"), [
    ("sr/mass_µµ", "sr/mass_µµ"),
    ("a\nb\tc\r", "a\\nb\\tc\\r"),
    ("gpj.\u202etxt", "gpj.\\u202etxt"),
    ("\U000e0041", "\\U000e0041"),
    ("質量 é e\u0301", "質量 é e\u0301"),
])  # fmt: skip
def test_what_is_shown(text: str, shown: str) -> None:
    """Letters of every language stay; what has no shape is written out."""
    assert visible(text) == shown


def test_a_long_name_keeps_both_ends() -> None:
    """The end of a path says more than its middle."""
    shown = visible("begin" + "x" * 10_000 + "/end", 40)

    assert shown.startswith("beginx")
    assert shown.endswith("x/end")
    assert len(shown) == 40


def test_the_end_of_a_log() -> None:
    """So many lines, blank ones at the end not counted, and a word about what is above."""
    text = "\n".join(f"line {n}" for n in range(50)) + "\r\nlast\x1b[0m\n\n  \n"

    assert visible_lines(text, lines=2) == "… 49 lines above\nline 49\nlast\\x1b[0m"
    assert visible_lines("one\n", lines=5) == "one"
    assert visible_lines("", lines=5) == ""


@pytest.mark.parametrize(("title", "text"), [
    ("m(#mu#mu) [GeV]", "m(μμ) [GeV]"),
    ("p_{T}(#mu) [GeV]", "pT(μ) [GeV]"),
    ("#Delta#phi_{jj}", "Δφjj"),
    ("m^{2} [GeV^{2}]", "m² [GeV²]"),
    ("#sqrt{s} = 13 TeV", "√s = 13 TeV"),
    ("H #rightarrow WW", "H → WW"),
    ("|#eta| < 2.4", "|η| < 2.4"),
    ("#font[42]{#it{events}} / 10^{3}", "events / 10³"),
    ("#muon #unknown #", "μon #unknown #"),
    ("plain $ text \\ with {", "plain $ text \\ with "),
    ("x_{0}^{n+1}", "x₀ⁿ⁺¹"),
])  # fmt: skip
def test_titles_as_plain_text(title: str, text: str) -> None:
    """As ROOT would draw them, as far as letters go; what is not known stays."""
    assert plain(title) == text


@pytest.mark.parametrize("title", [
    *HOSTILE, "p_{T}^{lead} [GeV]", "a_{b_{c}}", "^{}", "_", "$", "\\$", "$x$", r"\frac{1}{2}", "_{$}", "^{\\}", "100%",
    "#_{#mu}", "a^{#sqrt{x}}", "_{" * 500, "}" * 500, "𝑚", "m_{質}", "x_{a b}", "-_{+}",
])  # fmt: skip
def test_any_title_can_be_drawn(title: str) -> None:
    """Whatever stands in it, matplotlib finds no formula in it that it cannot read."""
    from matplotlib.mathtext import MathTextParser

    text = mathtext(title)
    MathTextParser("path").parse(text.replace("\n", " "))

    assert "\\frac" not in text or "$" not in text.replace("\\$", "")


@pytest.mark.parametrize(("value", "error", "text"), [
    (1234.567, 2.34, "1234.6 ± 2.3"),
    (23998.0, 154.9, "23998 ± 155"),
    (0.0, 0.0, "0"),
    (5.0, 0.0, "5"),
    (1.0e9, 3.2e4, "(1.000000 ± 0.000032) × 10^9"),
    (1.2e-9, 3.0e-11, "(1.200 ± 0.030) × 10^-9"),
    (float("nan"), 1.0, "not a number ± 1"),
    (1.0, float("inf"), "1 ± infinite"),
    (1e300, 1e-300, "1e+300 ± 1e-300"),
    (-12.3, 4.5, "-12.3 ± 4.5"),
])  # fmt: skip
def test_values_with_errors(value: float, error: float, text: str) -> None:
    """Cut where the error's second digit is."""
    assert with_error(value, error) == text


@pytest.mark.parametrize(("value", "text"), [
    (24000.0, "24000"), (0.1 + 0.2, "0.3"), (1e20, "1e+20"), (float("-inf"), "-infinite"), (-0.0, "0"),
])  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    """Whole ones without a point."""
    assert number(value) == text

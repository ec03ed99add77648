"""ROOT's TLatex in titles, such as `p_{T}(#mu) [GeV]`, as plain text and as matplotlib's mathtext. Pure.

What is not understood is shown as it stands: a title must never stop a report.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from septum.report.text import visible

_LIMIT = 120

_TABLE = """
    alpha α beta β gamma γ delta δ epsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ pi π rho ρ
    sigma σ tau τ upsilon υ phi φ chi χ psi ψ omega ω varphi φ vartheta ϑ varepsilon ε
    Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω
    pm ± mp ∓ times × divide ÷ cdot · circ ° leq ≤ geq ≥ neq ≠ approx ≈ equiv ≡ sim ∼ propto ∝ infty ∞ partial ∂
    nabla ∇ int ∫ sum ∑ sqrt √ rightarrow → leftarrow ← leftrightarrow ↔ Rightarrow ⇒ uparrow ↑ downarrow ↓
    hbar ℏ ell ℓ prime ′ bullet • perp ⊥ parallel ∥ in ∈ oplus ⊕ otimes ⊗ ldots … dagger † AA Å degree °
"""
_WORDS = _TABLE.split()
SYMBOLS = MappingProxyType(dict(zip(_WORDS[::2], _WORDS[1::2], strict=True)))
_SUPER = MappingProxyType(dict(zip("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ", strict=True)))
_SUB = MappingProxyType(dict(zip("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎", strict=True)))
_STYLE = re.compile(r"#(?:font|color|scale)\[[^\]]{0,20}\]")
_WRAPPED = re.compile(r"#(?:it|bf|tilde|bar|hat|vec|dot|ddot|overline|underline|kern|mbox)\b(?:\[[^\]]{0,20}\])?")
_COMMAND = re.compile(r"#([A-Za-z]+)")
_SCRIPT = re.compile(r"([_^])(?:\{([^{}_^]{0,40})\}|([^\s{}_^\\]))")


def plain(title: str) -> str:
    """A title as plain text: `pT(μ) [GeV]`, `m² [GeV²]`."""
    text = _symbols(visible(title, _LIMIT))

    def script(match: re.Match[str]) -> str:
        inner = match[2] if match[2] is not None else match[3]
        table = _SUPER if match[1] == "^" else _SUB
        if inner and all(character in table for character in inner):
            return "".join(table[character] for character in inner)
        return inner if match[1] == "_" else f"^{inner}"

    text = _SCRIPT.sub(script, text)
    return re.sub(r"[{}]", "", text) if "{" in text else text


def mathtext(title: str) -> str:
    """A title for matplotlib: scripts as mathtext, everything else as plain characters.

    Only scripts without another one inside are set as such; nothing that stands in a title is parsed as a command.
    """
    text = _symbols(visible(title, _LIMIT))
    pieces, end = [], 0
    for match in _SCRIPT.finditer(text):
        inner = match[2] if match[2] is not None else match[3]
        pieces.append(_literal(text[end : match.start()]))
        words = _math_literal(inner)
        pieces.append(f"${match[1]}{{\\mathrm{{{words}}}}}$" if words else _literal(match[0]))
        end = match.end()
    pieces.append(_literal(text[end:]))
    return "".join(pieces)


def _symbols(text: str) -> str:
    text = _WRAPPED.sub("", _STYLE.sub("", text))
    return _COMMAND.sub(lambda match: _symbol(match[1]), text)


def _symbol(command: str) -> str:
    """The sign of a command; ROOT takes the longest name that it knows, and the rest are letters."""
    for length in range(len(command), 0, -1):
        if command[:length] in SYMBOLS:
            return SYMBOLS[command[:length]] + command[length:]
    return f"#{command}"


def _literal(text: str) -> str:
    return re.sub(r"[{}]", "", text).replace("$", r"\$")


def _math_literal(text: str) -> str:
    """Characters inside of mathtext, or nothing if one of them might be a command there."""
    if not re.fullmatch(r"[\w +\-=()/,.*′°→μ±×<>!:;|]*", text) or "_" in text:
        return ""
    return text.replace(" ", r"\ ")

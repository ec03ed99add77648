"""Draw the muon-pair mass of the demo's result as an SVG.

make demo && .venv/bin/python docs/images/make_dimuon.py examples/dimuon/result/dimuon.root docs/images/dimuon.svg
"""  # noqa: INP001 - a script, no part of a package

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 78, 620, 56, 340
"""The frame of the plot, in pixels."""

STYLE = """\
.card{fill:#fff}.ink{fill:#222}.soft{fill:#666}.line{stroke:#444}.grid{stroke:#e6e6e6}
.data{stroke:#1f5fbf;fill:#1f5fbf}
@media (prefers-color-scheme:dark){
.card{fill:#1d1f24}.ink{fill:#eee}.soft{fill:#aaa}.line{stroke:#bbb}.grid{stroke:#33363d}
.data{stroke:#7fb0ff;fill:#7fb0ff}}
"""


def draw(edges: Sequence[float], values: Sequence[float], errors: Sequence[float], *, entries: int) -> str:
    """Draw points with error bars.

    Args:
        edges: In GeV; one more than there are values, all bins of one width.
        values: Sums of event weights.
        errors: Their statistical errors.
        entries: Of the histogram, for the label.

    Returns:
        The SVG.
    """
    low, high, step = edges[0], edges[-1], 200
    top = step * (int(max(value + error for value, error in zip(values, errors, strict=True)) / step) + 1)

    def x(mass: float) -> float:
        return LEFT + (mass - low) / (high - low) * (RIGHT - LEFT)

    def y(value: float) -> float:
        return BOTTOM - value / top * (BOTTOM - TOP)

    steps = "".join(f"V{y(value):.1f}H{x(right):.1f}" for value, right in zip(values, edges[1:], strict=True))
    lines = [_path("grid", f"M{LEFT} {y(value):.1f}H{RIGHT}") for value in range(step, top, step)]
    lines.append(f'<path class="data" style="stroke:none;fill-opacity:.15" d="M{LEFT} {BOTTOM}{steps}V{BOTTOM}Z"/>')
    for left, right, value, error in zip(edges[:-1], edges[1:], values, errors, strict=True):
        middle = x((left + right) / 2)
        lines.append(_path("data", f"M{middle:.1f} {y(value - error):.1f}V{y(value + error):.1f}"))
        lines.append(f'<circle class="data" cx="{middle:.1f}" cy="{y(value):.1f}" r="2"/>')
    lines.append(_path("line", f"M{LEFT} {TOP}H{RIGHT}V{BOTTOM}H{LEFT}Z"))
    for mass in range(int(low), int(high) + 1, 10):
        lines.append(_path("line", f"M{x(mass):.1f} {BOTTOM}v-6"))
        lines.append(_text(x(mass), BOTTOM + 20, str(mass), anchor="middle"))
    for value in range(0, top + 1, step):
        lines.append(_path("line", f"M{LEFT} {y(value):.1f}h6"))
        lines.append(_text(LEFT - 8, y(value) + 5, str(value), anchor="end"))
    lines.append(_text(RIGHT, BOTTOM + 44, "m(µµ) [GeV]", anchor="end"))
    upright = f' transform="rotate(-90 22 {TOP})"'
    lines.append(_text(22, TOP, f"sum of weights / {edges[1] - low:g} GeV", anchor="end", more=upright))
    lines.append(_text(LEFT, 34, "examples/dimuon", more=' font-weight="bold"'))
    label = f"generated events, {entries} entries, statistical errors"
    lines.append(_text(RIGHT, 34, label, anchor="end", kind="soft"))
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica,Arial,sans-serif" font-size="14">',
        "<title>Mass of muon pairs: a Z peak on a falling background</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
    ]
    return "\n".join([*head, *lines, "</svg>"]) + "\n"


def _path(kind: str, course: str) -> str:
    return f'<path class="{kind}" style="fill:none" d="{course}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "ink", more: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{text}</text>'


def main() -> None:
    """Read the histogram `mass` of a ROOT file and write the picture."""
    import uproot

    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("result", type=Path, help="the merged file of the demo")
    arguments.add_argument("picture", type=Path, help="the SVG to write")
    args = arguments.parse_args()
    with uproot.open(args.result) as file:
        histogram = file["mass"]
        values, edges = histogram.to_numpy()
        picture = draw(
            edges.tolist(), values.tolist(), histogram.errors().tolist(), entries=int(histogram.member("fEntries"))
        )
    args.picture.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Small pictures drawn by hand as SVG: sparklines, bars, the course of a run. They need nothing but numpy. Pure.

Colours are classes of the page's style sheet, so that they follow light and dark. Each picture has a title and the
numbers as a description.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

from septum.report.histograms import Array, Histogram
from septum.report.text import number
from septum.report.usage import Course, Job
from septum.units import count, show_duration

_SPARK_W, _SPARK_H = 120, 36
_SPARK_BINS = 60
_WIDTH, _LEFT, _RIGHT = 720, 52, 12
_TICKS = 6


def picture(
    body: Iterable[str | Markup],
    *,
    size: tuple[float, float],
    title: str,
    desc: str = "",
    kind: str,
    stretch: bool = False,
) -> Markup:
    """An SVG element.

    Args:
        body: Elements, safe already.
        size: Width and height of the view box.
        title: What it is, in a few words.
        desc: The numbers that it shows.
        kind: Its class.
        stretch: Whether it fills the room that it is given, whatever its proportions.
    """
    described = Markup("<desc>{}</desc>").format(desc) if desc else ""
    inner = Markup("").join(Markup(piece) for piece in body)  # noqa: S704 - made here, of numbers and escaped text
    aspect = Markup(' preserveAspectRatio="none"') if stretch else ""
    return Markup('<svg class="{}" viewBox="0 0 {} {}"{} role="img"><title>{}</title>{}{}</svg>').format(
        kind, _short(size[0]), _short(size[1]), aspect, title, described, inner
    )


def _short(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def sparkline(histogram: Histogram, name: str) -> Markup:
    """The shape of a one-dimensional histogram, no larger than a word; logarithmic where it spans decades."""
    values = _coarse(np.nan_to_num(histogram.values, nan=0.0, posinf=0.0, neginf=0.0), mean=histogram.profile)
    total = histogram.total
    shown = f"{number(histogram.entries)} entries" + ("" if total is None else f", integral {number(total[0], 5)}")
    axis = histogram.axes[0]
    shown += f", {count(len(axis.edges) - 1, 'bin')} from {axis.edges[0]:.5g} to {axis.edges[-1]:.5g}"
    log = histogram.spans_decades
    if log:
        smallest = values[values > 0].min() if (values > 0).any() else 1.0
        values = np.where(values > 0, np.log10(np.maximum(values, smallest) / smallest) + 0.3, 0.0)
        shown += ", logarithmic"
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if histogram.profile and (filled := values[values != 0]).size:
        # Means have no reason to begin at zero.
        span = float(filled.max() - filled.min()) or 1.0
        low, high = float(filled.min()) - 0.3 * span, float(filled.max()) + 0.1 * span
        values = np.where(values != 0, values, low)
    scale = (_SPARK_H - 2) / (high - low) if high > low else 0.0
    zero = 1 + ((high - max(low, 0.0)) * scale if high > low else _SPARK_H - 2)
    step = _SPARK_W / len(values)
    line = [f"M0 {_short(zero)}"]
    for bin_, value in enumerate(values):
        line.append(f"V{_short(1 + (high - value) * scale if scale else zero)}H{_short((bin_ + 1) * step)}")
    path = f'<path d="{"".join(line)}V{_short(zero)}"/>'
    return picture([path], size=(_SPARK_W, _SPARK_H), title=f"{name}: {shown}", kind="spark", stretch=True)


def _coarse(values: Array, *, mean: bool) -> Array:
    """The same shape in at most sixty bins."""
    if len(values) <= _SPARK_BINS:
        return values
    pieces = np.array_split(values, _SPARK_BINS)
    return np.asarray([piece.mean() if mean else piece.sum() / len(piece) for piece in pieces])


# ── the course of the run ───────────────────────────────────────────────────────────────────────────────────────


def gantt(jobs: Sequence[Job]) -> Markup:
    """One line a job: the time in the queue pale, on the worker solid, failed ones marked."""
    end = max(job.ended_s for job in jobs) or 1.0
    row = 14 if len(jobs) <= 40 else 6 if len(jobs) <= 120 else 4  # noqa: PLR2004 - so that it fits a screen
    height = len(jobs) * row
    scale = (_WIDTH - _LEFT - _RIGHT) / end
    body: list[str | Markup] = [_time_axis(end, height)]
    for line, job in enumerate(jobs):
        y = line * row + 1
        if job.submitted_s is not None and job.started_s > job.submitted_s:
            body.append(
                _rect(_LEFT + job.submitted_s * scale, y, (job.started_s - job.submitted_s) * scale, row - 2, "idle")
            )
        width = max((job.ended_s - job.started_s) * scale, 1.0)
        body.append(_rect(_LEFT + job.started_s * scale, y, width, row - 2, "bad" if job.failed else "running"))
        if job.failed:
            x = _LEFT + job.ended_s * scale
            body.append(f'<text x="{_short(min(x + 3, _WIDTH - 10))}" y="{y + row - 3}" class="cross">✕</text>')
        if row > 10:  # noqa: PLR2004 - room for a name
            body.append(
                Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(_LEFT - 6, y + row - 4, job.part)
            )
    bad = sum(job.failed for job in jobs)
    desc = f"{count(len(jobs), 'job')} in {show_duration(end)}, {bad} failed. " + _spread(jobs)
    return picture(
        body, size=(_WIDTH, height + 24), title="Jobs in the queue and running, one line each", desc=desc, kind="chart"
    )


def course_chart(course: Course, jobs: Sequence[Job]) -> Markup:
    """The number of jobs that ran and that waited, over time."""
    height, end = 200, course.times_s[-1] or 1.0
    top = max(*course.running, *course.idle, 1)
    scale_x, scale_y = (_WIDTH - _LEFT - _RIGHT) / end, (height - 8) / top

    def line(values: Sequence[int]) -> str:
        points = zip(course.times_s, values, strict=True)
        return "".join(
            f"L{_short(_LEFT + time * scale_x)} {_short(height - value * scale_y)}" for time, value in points
        )

    body: list[str | Markup] = [_time_axis(end, height), _count_axis(top, height, scale_y)]
    base = f"M{_LEFT} {height}"
    body.append(f'<path class="running" d="{base}{line(course.running)}L{_WIDTH - _RIGHT} {height}Z"/>')
    body.append(f'<path class="waiting" d="{base}{line(course.idle)}"/>')
    most = course.running.index(max(course.running))
    desc = (
        f"{count(len(jobs), 'job')} in {show_duration(end)}; at most {max(course.running)} ran at once, after "
        f"{show_duration(course.times_s[most])}; at most {max(course.idle)} waited. " + _spread(jobs)
    )
    return picture(
        body, size=(_WIDTH, height + 24), title="Jobs that ran and jobs that waited, over time", desc=desc, kind="chart"
    )


def _spread(jobs: Sequence[Job]) -> str:
    lengths = sorted(job.ended_s - job.started_s for job in jobs)
    median, longest = lengths[len(lengths) // 2], lengths[-1]
    return f"Median time on the worker {show_duration(median)}, longest {show_duration(longest)}."


def bars(
    values: Array, *, edges: Array, mark: float | None, mark_name: str, unit: str, title: str, desc: str
) -> Markup:
    """How values are spread: bars, and perhaps a line such as what was asked for."""
    height = 140
    contents, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    top, span = max(int(contents.max()), 1), edges[-1] - edges[0]
    scale_x, scale_y = (_WIDTH / 2 - _LEFT - _RIGHT) / span, (height - 22) / top
    body: list[str | Markup] = [_count_axis(top, height, scale_y, width=_WIDTH / 2)]
    for left, right, content in zip(edges, edges[1:], contents, strict=False):
        if content:
            x, tall = _LEFT + (left - edges[0]) * scale_x, content * scale_y
            body.append(_rect(x + 0.5, height - tall, (right - left) * scale_x - 1, tall, "running"))
    for at in _ticks(float(edges[0]), float(edges[-1])):
        x = _LEFT + (at - edges[0]) * scale_x
        body.append(f'<text x="{_short(x)}" y="{height + 16}" text-anchor="middle">{number(at, 3)}</text>')
    body.append(
        Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(_WIDTH / 2 - _RIGHT, height + 32, unit)
    )
    if mark is not None:
        x = _LEFT + (min(max(mark, edges[0]), edges[-1]) - edges[0]) * scale_x
        anchor = "end" if x > _WIDTH / 4 else "start"
        body.append(f'<path class="mark" d="M{_short(x)} 14V{height}"/>')
        body.append(Markup('<text x="{}" y="10" text-anchor="{}">{}</text>').format(_short(x), anchor, mark_name))
    return picture(body, size=(_WIDTH / 2, height + 38), title=title, desc=desc, kind="chart half")


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, about five of them."""
    rough = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999) * power)
    return [round(low + step * index, 9) for index in range(int((high - low) / step + 1e-9) + 1)]


def stacked(counts: Mapping[str, int], *, title: str) -> Markup:
    """One bar of several shares, each with its class."""
    total = sum(counts.values()) or 1
    body: list[str | Markup] = []
    x = 0.0
    for name, content in counts.items():
        if not content:
            continue
        # What is rare is what matters: it never gets too thin to be seen.
        width = max(_WIDTH * content / total, 4.0)
        body.append(_rect(x, 0, width, 16, str(escape(name))))
        x += width
    desc = ", ".join(f"{content} {name}" for name, content in counts.items() if content)
    return picture(body, size=(max(x, 1.0), 16), title=title, desc=desc, kind="stack", stretch=True)


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{_short(x)}" y="{_short(y)}" width="{_short(width)}" height="{_short(height)}"/>'


def _time_axis(end_s: float, height: float) -> str:
    scale = (_WIDTH - _LEFT - _RIGHT) / end_s
    step = next(
        (step for step in _STEPS_S if end_s / step <= _TICKS),
        _STEPS_S[-1] * max(1, round(end_s / _STEPS_S[-1] / _TICKS)),
    )
    pieces = []
    for tick in range(int(end_s // step) + 1):
        x = _short(_LEFT + tick * step * scale)
        pieces.append(f'<path class="grid" d="M{x} 0V{_short(height)}"/>')
        pieces.append(f'<text x="{x}" y="{_short(height + 16)}" text-anchor="middle">{_clock(tick * step)}</text>')
    return "".join(pieces)


_STEPS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400)


def _clock(seconds: int) -> str:
    minute, hour = 60, 3600
    if seconds < minute or seconds % minute:
        return f"{seconds} s"
    return f"{seconds // minute} min" if seconds < hour else f"{seconds // hour}:{seconds % hour // minute:02d} h"


def _count_axis(top: int, height: float, scale: float, *, width: float = _WIDTH) -> str:
    step = max(1, top // 4)
    digit = 10 ** (len(str(step)) - 1)
    step = max(digit, step // digit * digit)
    pieces = []
    for value in range(0, top + 1, step):
        y = height - value * scale
        pieces.append(f'<path class="grid" d="M{_LEFT} {_short(y)}H{_short(width - _RIGHT)}"/>')
        pieces.append(f'<text x="{_LEFT - 6}" y="{_short(y + 4)}" text-anchor="end">{value}</text>')
    return "".join(pieces)

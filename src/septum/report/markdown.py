"""The run in GitLab's Markdown, `summary.md`: for the artifact, and as the body of the note in a merge request. Pure.

Text of others stands in tables and code spans only, where no mention, link, image, HTML or quick action begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from septum.report import tables, verdict
from septum.report.material import Material
from septum.report.text import number, visible
from septum.report.usage import suggestions, usage
from septum.units import count, show_size

NAME = "summary.md"
LIMIT = 60_000
"""Characters; GitLab takes a million in a note, and nobody reads them."""
MAX_YIELDS = 30
MAX_WORST = 20
MAX_STEPS = 20
MAX_PARTS = 30
MAX_OBJECTS = 50


def text(material: Material, *, report: str = "", limit: int = LIMIT) -> str:
    """The summary.

    Args:
        material: What is shown.
        report: A link to the page, if there is one.
        limit: Characters at most: what matters least is left out first.
    """
    sections = list(_sections(material, report))
    kept, size = [], 0
    for section in sections:
        block = "\n".join(section) + "\n"
        # Some room for the line that says so.
        if size + len(block) > limit - 200:
            kept.append("*This summary is cut here; the whole stands in `report.html` and `septum.json`.*\n")
            break
        kept.append(block)
        size += len(block) + 1
    return "\n".join(kept)


def _sections(material: Material, report: str) -> Iterator[list[str]]:
    """By importance."""
    yield _head(material, report)
    yield from _results(material)
    yield from _worst(material)
    yield from _failures(material)
    yield from _yields(material)
    yield from _cutflows(material)
    yield from _policies(material)
    yield from _suggestions(material)
    yield from _objects(material)
    rows = tables.provenance(material.manifest)
    yield [
        "<details><summary>Provenance</summary>",
        "",
        *_table(("what", "value"), [row.cells for row in rows]),
        "",
        "</details>",
    ]


def _head(material: Material, report: str) -> list[str]:
    judged = verdict.judge(material.manifest)
    mark = {"whole": "✅", "partial": "⚠️", "no result": "❌"}[judged.kind.value]
    lines = [f"## {mark} {judged.title}: {code(material.manifest.name, 80)}", ""]
    tail = f" [{judged.code}]" if judged.code else ""
    # The words of an error hold values of the user's; all others are ours.
    lines += [code(judged.what + tail, 400) if judged.kind is verdict.Kind.NOTHING else judged.what + tail, ""]
    if judged.evidence and judged.kind is verdict.Kind.NOTHING:
        lines += [*fence(judged.evidence.split("\n")[:15]), ""]
    if judged.fix:
        lines += [f"**Fix:** {code(judged.fix, 400)}", ""]
    if material.comparison is not None:
        reference = material.comparison.reference
        against = "" if reference is None else f" with {code(reference.describe())}"
        lines += [f"**Compared**{against}: {code(material.comparison.headline(), 300)}", ""]
    if report:
        lines += [f"[Report with plots](<{report}>)", ""]
    return lines


def _results(material: Material) -> Iterator[list[str]]:
    rows: list[Sequence[str]] = [
        (
            code(result.file, 120),
            show_size(result.size_b),
            f"{len(result.parts)} of {len(result.parts) + len(result.missing)}",
            str(len(result.objects)),
            code(result.sha256, 64),
        )
        for result in material.manifest.results[:MAX_OBJECTS]
    ]
    if rows:
        yield [
            "### Results",
            "",
            *_marked(("file", "size", "parts", "objects", "sha256"), rows),
            *_more(len(material.manifest.results) - len(rows)),
            *_own_merges(material),
        ]


def _own_merges(material: Material) -> list[str]:
    """What is to be said of results that are merged by a framework's own command."""
    own = [result for result in material.manifest.results[:MAX_OBJECTS] if result.own is not None]
    return [line for result in own if result.own
            for line in (f"{code(result.file, 120)}: {code(result.own.says(), 400)}", "")]  # fmt: skip


def _worst(material: Material) -> Iterator[list[str]]:
    rows, more = tables.worst_rows(material, MAX_WORST)
    if rows:
        head = ("object", "verdict", "χ² / ndf", "p", "largest pull", "what differs")
        yield ["### Differences, the worst first", "", *_table(head, [row.cells for _, row in rows]), *_more(more)]


def _failures(material: Material) -> Iterator[list[str]]:
    for cause in verdict.causes(material.manifest)[:10]:
        example = cause.example
        lines = [f"### {count(len(cause.parts), 'part')} failed: {cause.meaning} [{code(cause.code, 20)}]", ""]
        lines += [f"{code(verdict.describe(example), 200)}: {code(example.message or '', 300)}", ""]
        if log := material.logs.get(example.id):
            lines += [*fence(log.split("\n")), ""]
        fix = example.fix or f"septum run --cluster local --parts {example.id}"
        lines += [f"**Fix:** {code(fix, 300)}", ""]
        if len(cause.parts) > 1:
            lines += [f"Parts: {code(verdict.ranges([part.id for part in cause.parts]), 400)}", ""]
        yield lines


def _yields(material: Material) -> Iterator[list[str]]:
    rows, more = tables.yield_rows(material, MAX_YIELDS)
    columns = 5 if material.references else 2
    head = ("histogram", "this run", "reference", "change", "pull")[:columns]
    if rows:
        yield ["### Yields", "", *_table(head, [row.cells[:columns] for row in rows]), *_more(more)]


def _cutflows(material: Material) -> Iterator[list[str]]:
    flows, _ = tables.cutflows(material, 3)
    for flow in flows:
        if flow.falling:
            rows = [row.cells[:4] for row in flow.rows[:MAX_STEPS]]
            head = ("step", "events", "of all", "of the step before")
            yield [
                f"### Cut flow {code(flow.name)}",
                "",
                *_table(head, rows),
                *_more(len(flow.rows) - len(rows) + flow.left_out),
            ]


def _policies(material: Material) -> Iterator[list[str]]:
    policies = sorted(material.manifest.policies.items())[:MAX_OBJECTS]
    if policies:
        yield ["### Relaxed policies of the merge", "", *_table(("policy", "value"), policies)]


def _suggestions(material: Material) -> Iterator[list[str]]:
    used = usage(material.manifest)
    for suggestion in suggestions(used, material.manifest.asked):
        yield [
            "### To paste into `septum.yaml`",
            "",
            *fence([suggestion.paste], "yaml"),
            "",
            f"Because {suggestion.why}.",
        ]


def _objects(material: Material) -> Iterator[list[str]]:
    rows = [
        (tables.object_name(material, item.result, item.path), item.kind, number(item.entries, 15))
        for item in material.items[:MAX_OBJECTS]
    ]
    if rows:
        table = _table(("object", "class", "entries"), rows)
        yield [
            "<details><summary>Objects</summary>",
            "",
            *table,
            *_more(len(material.items) - len(rows)),
            "",
            "</details>",
        ]


# ── Markdown ────────────────────────────────────────────────────────────────────────────────────────────────────


def code(text: str, limit: int = 160) -> str:
    """Text as a code span, in which nothing has a meaning: no mention, link, HTML or command; good in a table, too."""
    shown = visible(text, limit).replace("|", "¦").replace("`", "ˋ").strip()
    return f"`{shown}`" if shown else ""


def fence(lines: Sequence[str], language: str = "text") -> list[str]:
    """Lines as a block of code that none of them can end, and in which none looks like a quick action."""
    shown = (visible(line, 300).replace("`", "ˋ") for line in lines)
    return [f"```{language}", *(f"· {line}" if line.lstrip().startswith("/") else line for line in shown), "```"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of plain texts: numbers as they are, everything else as code."""
    return _marked(head, [[_cell(cell) for cell in row] for row in rows])


def _marked(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"| {' | '.join('---' for _ in head)} |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


_PLAIN = frozenset("0123456789.,+-−±×^% ()/e")


def _cell(text: str) -> str:
    return text if all(character in _PLAIN for character in text) else code(text, 200)


def _more(left_out: int) -> list[str]:
    return [f"… and {left_out:,} more", ""] if left_out > 0 else []

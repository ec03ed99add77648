"""The summary in Markdown: short, the worst first, and nothing of a user's is a command, a mention, a link or HTML."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from septum.compare.verdicts import Verdict
from septum.manifest import Failure, Held
from septum.report.markdown import LIMIT, code, fence, text
from septum.report.material import Material, items
from tests.fakes import reports

ATTACKS = (
    "/close", "\n/merge\n", "@all", "@group/owners", '!123 #45 $6 &7 ~bug %"1.0"', "<script>alert(1)</script>",
    "<!-- hidden -->", "![x](https://tracker.example.org/p.gif)", "[click](javascript:alert(1))", "```\n/close\n```",
    "https://evil.example.org", "a|b|c", "`x`", "| --- |", "\\`x", "</details>", "<details>", "{::comment}",
    "[[_TOC_]]", "* item", "> quote", ":smile:", "$`x`$", "\u202egnp", "````\n/close", "[^1]", "- [ ] task",
)  # fmt: skip


def _outside_of_code(markdown: str) -> str:
    """What Markdown gives a meaning to: everything but blocks and spans of code."""
    without_blocks = re.sub(r"^```\w*\n.*?^```$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    assert "```" not in without_blocks
    return re.sub(r"`[^`\n]*`", "", without_blocks)


def _checked(markdown: str) -> str:
    """What is true of every summary."""
    outside = _outside_of_code(markdown)
    assert "`" not in outside, "every span of code ends in its line"
    assert not re.search(r"^\s*/\w", markdown, re.MULTILINE), "no quick action, not even in a block of code"
    assert not re.search(r"[@!#~&$%]\w|https?://|\]\(|javascript:", re.sub(r"\]\(<https://gitlab[^>]*>\)", "", outside))
    assert set(re.findall(r"<[^>]*>", outside)) <= {
        "<details>",
        "<summary>",
        "</summary>",
        "</details>",
        "<https://gitlab.example.org/x>",
    }
    assert outside.count("<details>") == outside.count("</details>")
    for table in re.findall(r"(?:^\|.*\|\n)+", markdown, re.MULTILINE):
        rows = table.splitlines()
        assert len({row.count("|") for row in rows}) == 1, "every row has as many cells"
    assert len(markdown) <= LIMIT
    return outside


def test_a_whole_run() -> None:
    """Verdict, comparison, worst differences, yields, suggestion, provenance."""
    objects = {histogram.path: Held(kind="TH1D", entries=histogram.entries) for histogram in reports.histograms(50)}
    run = reports.manifest(objects=objects)
    first = next(iter(objects))
    compared = reports.comparison(run, {first: Verdict.DIFFERENT}, detail="bin 3: 5 instead of 9")
    material = Material(
        manifest=run, comparison=compared, items=items(run, compared), histograms=tuple(reports.histograms(50)),
        references={(item.result, item.path): item for item in reports.histograms(50, seed=9)},
    )  # fmt: skip
    shown = text(material, report="https://gitlab.example.org/x")
    _checked(shown)

    assert shown.startswith("## ✅ Whole: `dimuon`\n\nAll 411 parts of the plan are in the result.")
    assert "49 of 50 identical, 1 different" in shown
    assert f"| `{first}` | `different` | 131.5 / 80 | 0.00021 | +4.20 | `bin 3: 5 instead of 9` |" in shown
    assert re.search(r"\| `cut00/var\d\d/histo_\d` \| \d+ ± \d+ \| \d+ ± \d+ \| [+-][\d.]+ % \| [+-][\d.]+ \|", shown)
    assert "[Report with plots](<https://gitlab.example.org/x>)" in shown
    assert "```yaml\nresources: {memory: 950 MB}\n```" in shown
    assert "`3b18e512dba79e4c8300dd08aeb37f8e728b8dad`" in shown
    assert "and 20 more" in shown, "yields are bounded"


def test_a_run_without_result() -> None:
    """The cause, the log, the fix."""
    run = reports.without_result(parts=50, failed=(2, 7, 30, 31))
    shown = text(Material(manifest=run, logs={"0002": "line\nno such dataset"}))
    _checked(shown)

    assert shown.startswith("## ❌ No result: `dimuon`\n\n`part 0002")
    assert "### 2 parts failed: The command of a part ended" in shown
    assert "```text\nline\nno such dataset\n```" in shown
    assert "**Fix:** `run it here to see more: septum run --cluster local --parts 0002`" in shown
    assert "Parts: `0002,0031`" in shown


@pytest.mark.parametrize("attack", [*ATTACKS, *reports.HOSTILE])
def test_an_attack_in_every_text(attack: str) -> None:
    """Name, values, messages, logs, objects, labels, policies, provenance, reference."""
    base = reports.hostile()
    part = replace(
        base.parts[0],
        values={attack: attack},
        message=attack,
        evidence=attack,
        fix=attack,
        cause=attack,
        host=attack,
        id=attack,
    )
    objects = {attack: Held(kind=attack, entries=1.0)}
    run = replace(
        base, name=attack, parts=(part, part), policies={attack: attack}, origin={attack: attack}, cluster=attack,
        software={attack: attack},
        results=(replace(base.results[0], name=attack, file=attack, sha256=attack, objects=objects),),
    )  # fmt: skip
    compared = reports.comparison(run, {attack: Verdict.DIFFERENT}, detail=attack)
    assert compared.reference is not None
    compared = replace(compared, reference=replace(compared.reference, found=attack))
    histogram = replace(reports.histograms(1)[0], result=attack, path=attack)
    labelled = replace(
        histogram, path=f"cutflow{attack}".replace("/", ""), axes=(replace(histogram.axes[0], labels=(attack,) * 50),)
    )
    material = Material(
        manifest=run, comparison=compared, items=items(run, compared), histograms=(histogram, labelled),
        logs={attack: f"{attack}\n" * 5},
    )  # fmt: skip
    error = Failure(code="E301", exit_code=30, what=attack, evidence=attack, fix=attack)
    nothing = replace(material, manifest=replace(run, results=(), error=error))
    _checked(text(material))
    _checked(text(nothing))


def test_a_huge_run_is_cut_by_importance() -> None:
    """What matters stays within the limit; the cut is said, and no block is left open."""
    objects = {f"{'long' * 40}/h{number}": Held(kind="TH1D", entries=1.0) for number in range(50_000)}
    run = reports.manifest(parts=5000, failed=tuple(range(0, 5000, 2)), objects=objects)
    compared = reports.comparison(run, dict.fromkeys(objects, Verdict.DIFFERENT), detail="d" * 5000)
    histograms = tuple(replace(item, path="p" * 500) for item in reports.histograms(2000))
    material = Material(
        manifest=run, comparison=compared, items=items(run, compared), histograms=histograms,
        logs={part.id: ("w" * 300 + "\n") * 20 for part in run.parts},
    )  # fmt: skip
    shown = text(material)
    small = text(material, limit=6000)
    _checked(shown)
    _checked(small)

    assert len(small) <= 6000
    assert "This summary is cut here" in small
    assert "2500 of 5000 parts are missing" in small


@pytest.mark.parametrize(("words", "shown"), [
    ("plain", "`plain`"), ("a|b", "`a¦b`"), ("`", "`ˋ`"), ("", ""), ("  ", ""), ("a\nb", "`a\\nb`"),
])  # fmt: skip
def test_spans_of_code(words: str, shown: str) -> None:
    """No delimiter is left inside."""
    assert code(words) == shown


def test_blocks_of_code() -> None:
    """Lines that look like commands do not begin with a slash, and none closes the block."""
    assert fence(["/close", "  /merge x", "```", "a/b"]) == ["```text", "· /close", "·   /merge x", "ˋˋˋ", "a/b", "```"]

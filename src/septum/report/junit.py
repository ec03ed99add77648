"""The parts and checks of a run as JUnit XML, for GitLab's test report of a pipeline and of a merge request. Pure.

Written by hand: what stands in a log may be anything, and XML 1.0 has no way to say most control characters. GitLab
shows the text inside of `failure`, not its attributes, and takes the first of two cases with one name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape, quoteattr

from septum.manifest import PartFacts
from septum.report.comparison import to_look_at
from septum.report.material import Material
from septum.report.tables import object_name
from septum.report.text import visible, visible_lines
from septum.report.verdict import Kind, describe, failed, judge
from septum.units import count

NAME = "junit.xml"
MAX_CASES = 1000
"""Parts that get a case of their own; more are put together by state and cause."""
_RANGE = 100
# Escaped, a character may take six bytes: a thousand cases stay below the 30 MB that GitLab reads.
_MAX_TEXT = 4000
_MAX_WORST = 50
# XML 1.0, production 2.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    name: str
    seconds: float | None = None
    failure: str = ""
    kind: str = ""
    skipped: str = ""


def xml(material: Material) -> str:
    """All parts, the failed ones first, and all checks.

    Args:
        material: What is shown.
    """
    analysis = visible(material.manifest.name, 80)
    parts = material.manifest.parts
    cases = _by_part(material) if len(parts) <= MAX_CASES else _by_range(material)
    suites = (("parts", cases), ("checks", _checks(material)))
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites name={_attribute(analysis)}>"]
    for name, members in suites:
        lines += _suite(f"{analysis}: {name}", analysis, _unique(members))
    return "\n".join([*lines, "</testsuites>", ""])


def _suite(title: str, analysis: str, cases: Sequence[_Case]) -> list[str]:
    bad, skipped = sum(bool(case.failure) for case in cases), sum(bool(case.skipped) for case in cases)
    seconds = sum(case.seconds or 0.0 for case in cases)
    head = f'tests="{len(cases)}" failures="{bad}" errors="0" skipped="{skipped}" time="{seconds:.3f}"'
    lines = [f"  <testsuite name={_attribute(title)} {head}>"]
    for case in cases:
        time = "" if case.seconds is None else f' time="{case.seconds:.3f}"'
        start = f"    <testcase classname={_attribute(analysis)} name={_attribute(case.name)}{time}"
        if case.failure:
            first = visible(case.failure.split("\n", 1)[0], 200)
            body = f"<failure message={_attribute(first)} type={_attribute(case.kind)}>{_text(case.failure)}</failure>"
            lines.append(f"{start}>{body}</testcase>")
        elif case.skipped:
            lines.append(f"{start}><skipped message={_attribute(case.skipped)}/></testcase>")
        else:
            lines.append(f"{start}/>")
    return [*lines, "  </testsuite>"]


def _unique(cases: Sequence[_Case]) -> list[_Case]:
    """Names that are there twice get a number: GitLab would drop the second case."""
    seen: Counter[str] = Counter()
    found = []
    for case in cases:
        seen[case.name] += 1
        number = seen[case.name]
        found.append(case if number == 1 else replace(case, name=f"{case.name} ({number})"))
    return found


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _by_part(material: Material) -> list[_Case]:
    bad = failed(material.manifest)
    ids = {part.id for part in bad}
    good = [part for part in material.manifest.parts if part.id not in ids]
    return [
        *(_failed_case(part, material) for part in bad),
        *(_Case(name=describe(part), seconds=_seconds(part), skipped=_unfinished(part)) for part in good),
    ]


def _failed_case(part: PartFacts, material: Material) -> _Case:
    return _Case(
        name=describe(part), seconds=_seconds(part), failure=_story(part, material), kind=part.cause or "failed"
    )


def _story(part: PartFacts, material: Material) -> str:
    """What happened to a part, the end of its standard error, and the fix."""
    where = ", ".join(
        piece
        for piece in (
            f"job {visible(part.job, 40)}" if part.job else "",
            f"on {visible(part.host, 60)}" if part.host else "",
            f"exit code {part.exit_code}" if part.exit_code is not None else "",
            count(part.attempts, "attempt"),
        )
        if piece
    )
    log = material.logs.get(part.id) or visible_lines(part.evidence or "", lines=20)
    pieces = [
        f"{visible(part.message or 'it failed', 400)} [{visible(part.cause or '?', 20)}]",
        where,
        *([log] if log.strip() else []),
        *([f"Fix: {visible(part.fix, 400)}"] if part.fix else []),
    ]
    return "\n".join(pieces)


def _by_range(material: Material) -> list[_Case]:
    """One case for each cause, and one for each hundred parts that are well."""
    groups: dict[str, list[PartFacts]] = {}
    bad = failed(material.manifest)
    ids = {part.id for part in bad}
    for part in bad:
        groups.setdefault(part.cause or "?", []).append(part)
    cases = []
    for code, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        example = next((part for part in members if part.id in material.logs), members[0])
        names = ", ".join(visible(part.id, 20) for part in members[:200])
        more = f" and {len(members) - 200} more" if len(members) > 200 else ""  # noqa: PLR2004
        story = f"{count(len(members), 'part')} failed with {visible(code, 20)}: {names}{more}\n{describe(example)}\n"
        name = f"{count(len(members), 'part')} that failed with {visible(code, 20)}"
        cases.append(_Case(name=name, failure=story + _story(example, material), kind=visible(code, 20)))
    by_state: dict[str, list[PartFacts]] = {}
    for part in material.manifest.parts:
        if part.id not in ids:
            by_state.setdefault(part.state, []).append(part)
    for state, members in by_state.items():
        for start in range(0, len(members), _RANGE):
            stretch = members[start : start + _RANGE]
            first, last = visible(stretch[0].id, 20), visible(stretch[-1].id, 20)
            name = f"{count(len(stretch), 'part')} {visible(state, 20)}, {first} to {last}"
            seconds = sum(_seconds(part) or 0.0 for part in stretch)
            cases.append(_Case(name=name, seconds=seconds, skipped=_unfinished(stretch[0])))
    return cases


def _seconds(part: PartFacts) -> float | None:
    if part.started_s is None or part.ended_s is None:
        return None
    return max(0.0, part.ended_s - part.started_s)


def _unfinished(part: PartFacts) -> str:
    """Why a part that did not fail is no success either."""
    return "" if part.state in {"merged", "verified"} else f"the run ended while it was {visible(part.state, 20)}"


# ── checks ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _checks(material: Material) -> list[_Case]:
    verdict = judge(material.manifest)
    bad = verdict.kind is not Kind.WHOLE
    story = "\n".join(
        piece for piece in (verdict.what, verdict.evidence, f"Fix: {verdict.fix}" if verdict.fix else "") if piece
    )
    cases = [
        _Case(
            name="the result is whole",
            failure=f"{verdict.title}: {story}" if bad else "",
            kind=verdict.code or "partial",
        )
    ]
    cases += [
        _Case(name=f"{visible(result.file, 120)}: every object is the sum of the parts that are in it")
        for result in material.manifest.results[:MAX_CASES]
    ]
    return [*cases, *_compared(material)]


def _compared(material: Material) -> list[_Case]:
    """The comparison: a failure if anything differs, whether or not the run is to end with an error for it."""
    comparison = material.comparison
    if comparison is None:
        return []
    if comparison.reference is None:
        return [_Case(name="comparison with the reference", skipped=comparison.headline())]
    name = f"comparison with {visible(comparison.reference.describe(), 120)}"
    worst = to_look_at(comparison)
    lines = [
        f"{object_name(material, entry.result, entry.path)}: {entry.verdict.value} {visible(entry.detail, 200)}"
        for entry in worst[:_MAX_WORST]
    ]
    bad = bool(worst) or not comparison.compared
    return [_Case(name=name, failure="\n".join([comparison.headline(), *lines]) if bad else "", kind="comparison")]


# ── XML ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)


def _attribute(text: str) -> str:
    return quoteattr(_clean(visible(text, 300)))


def _text(text: str) -> str:
    shown = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT // 4] + "\n…\n" + text[-_MAX_TEXT * 3 // 4 :]
    return escape(_clean(shown))

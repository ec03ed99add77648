"""A pipeline in words: rows, lines for a pipe, a document, and the error that it stands for. Pure.

Everything that GitLab or a trace says is made printable here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from septum.compare.verdicts import printable
from septum.errors import PipelineCancelledError, PipelineFailedError, SeptumError
from septum.units import show_duration
from septum.watching.model import AHEAD, FAILED, PASSED, Analysis, Child, CiJob, View, analyses
from septum.watching.place import Place
from septum.watching.told import Told

ROWS = 30
"""CI jobs of a table; of more, those that do nothing are counted."""
_NAME = 60
_REPORT = "report.html"
_PART = re.compile(r"part ([0-9]{4,11})\b")


def headline(view: View, place: Place) -> str:
    """The pipeline in one line."""
    pipeline = view.pipeline
    of = f" of {printable(pipeline.ref, 80)}" if pipeline.ref else ""
    return f"pipeline {pipeline.id}{of} in {place.project}: {status(view)}"


def status(view: View) -> str:
    """Its state as people say it."""
    if view.waits_for_person:
        names = [printable(job.name, _NAME) for job in view.jobs if job.status == "manual"]
        return f"waits for somebody to start {', '.join(names[:3]) or 'a CI job'}"
    return "passed" if view.pipeline.status == PASSED else view.pipeline.status


def rows(view: View) -> Sequence[tuple[str, str, str, str]]:
    """The CI jobs for a table: name, state, time, and what they tell; and a last row that counts the others."""
    prefixes = tuple(analysis.prefix for analysis in analyses(view.jobs))
    few = len(view.jobs) <= ROWS
    told = [job for job in view.jobs if few or job.name.startswith(prefixes) or job.going or job.status == FAILED]
    shown = told[-ROWS:]  # the newest: septum's come after what is built and checked before
    table = [(printable(job.name, _NAME), state_of(job), time_of(job), what_of(view, job)) for job in shown]
    seen = {job.id for job in shown}
    others = Counter(job.status for job in view.jobs if job.id not in seen)
    if others:
        words = ", ".join(f"{number} {word}" for word, number in others.most_common())
        table.append((f"… {sum(others.values())} others", words, "", ""))
    return [*table, *((printable(child.job, _NAME), child.status, "", _started(child)) for child in view.children)]


def _started(child: Child) -> str:
    return f"started pipeline {child.id}: {child.url}" if child.url else f"started pipeline {child.id}"


def state_of(job: CiJob) -> str:
    """The state of a CI job."""
    return f"{job.status} (allowed)" if job.status == FAILED and job.allow_failure else job.status


def time_of(job: CiJob) -> str:
    """How long a CI job has run, or nothing."""
    return "" if job.seconds is None or job.status in AHEAD else show_duration(job.seconds)


def what_of(view: View, job: CiJob) -> str:
    """What a CI job's trace told last: an error, its parts."""
    told = view.told.get(job.id, Told())
    if told.code:
        return printable(f"[{told.code}] {told.words}", 160)
    if job.status == FAILED and job.reason and job.reason != "script_failure":
        return printable(job.reason.replace("_", " "), 80)
    return told.says


def results(view: View) -> Sequence[str]:
    """What there is of results, with links: one line for each analysis that says so."""
    found = []
    for analysis, job, told in _told(view):
        if told.summary and not job.going:
            prefix = f"{analysis.prefix}: " if len(analyses(view.jobs)) > 1 else ""
            found.append(printable(f"{prefix}{told.summary}", 300))
        if link := report_of(job, told):
            found.append(f"the report: {link}")
    return found


def report_of(job: CiJob, told: Told) -> str:
    """The address of the report in GitLab; empty if there is none."""
    from urllib.parse import quote

    if not job.url or not job.has_artifact or not told.result:
        return ""
    return f"{job.url}/artifacts/file/{quote(f'{told.result}/{_REPORT}')}"


def _told(view: View) -> Sequence[tuple[Analysis, CiJob, Told]]:
    found = ((analysis, analysis.teller) for analysis in analyses(view.jobs))
    return [(analysis, job, view.told.get(job.id, Told())) for analysis, job in found if job is not None]


def changes(before: View | None, view: View) -> Sequence[str]:
    """What is new since the last look, one line for each: for a pipe, and for a log."""
    known = {job.id: job for job in before.jobs} if before is not None else {}
    lines = []
    for job in view.jobs:
        was = known.get(job.id)
        told = what_of(view, job)
        if was is not None and was.status == job.status and (before is None or what_of(before, job) == told):
            continue
        if was is None and job.status in AHEAD:
            continue
        time = f" after {time_of(job)}" if time_of(job) and not job.going else ""
        lines.append(f"{printable(job.name, _NAME)}: {state_of(job)}{time}{f': {told}' if told else ''}")
    news = [child for child in view.children if before is None or child not in before.children]
    return [*lines, *(f"{printable(child.job, _NAME)}: {child.status}: {_started(child)}" for child in news)]


def error_of(view: View, place: Place) -> SeptumError | None:
    """What a pipeline that is over stands for; None if it passed, or is not over."""
    pipeline = view.pipeline
    of = f"{place.named} --pipeline {pipeline.id}"
    if pipeline.status == PASSED or not pipeline.ended:
        return None
    what = f"pipeline {pipeline.id} of {place.project}"
    if pipeline.status != FAILED:
        return PipelineCancelledError(
            f"gitlab: {what} was {'skipped' if pipeline.status == 'skipped' else 'cancelled'}",
            evidence=pipeline.url,
            fix=f"start it again: septum retry {of}",
        )
    job = view.culprit
    name = printable(job.name, _NAME) if job is not None else ""
    where = f" in the CI job {name}" if job is not None else ""
    said = [what_of(view, job), job.url] if job is not None else []
    part = _PART.match(view.told.get(job.id, Told()).words) if job is not None else None
    logs = f"septum logs {_quoted(job.name)} {of}" if job is not None else ""
    return PipelineFailedError(
        f"gitlab: {what} failed{where}",
        evidence="\n".join(line for line in [*said, pipeline.url] if line),
        fix="\n".join(filter(None, [logs or pipeline.url, f"septum logs --part {part[1]} {of}" if part else ""])),
    )


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(printable(name, _NAME))


def document(view: View, place: Place) -> dict[str, Any]:
    """The same as plain data."""
    pipeline = view.pipeline
    return {
        "project": place.project,
        "gitlab": place.url,
        "pipeline": pipeline.id,
        "status": pipeline.status,
        "ended": pipeline.ended,
        "ref": pipeline.ref,
        "commit": pipeline.sha,
        "url": pipeline.url,
        "requests": view.requests,
        "jobs": [
            {
                "id": job.id,
                "name": job.name,
                "stage": job.stage,
                "status": job.status,
                "seconds": job.seconds,
                "allow_failure": job.allow_failure,
                "reason": job.reason,
                "url": job.url,
                "error": view.told.get(job.id, Told()).code or None,
            }
            for job in view.jobs
        ],
        "children": [
            {"job": child.job, "pipeline": child.id, "status": child.status, "url": child.url}
            for child in view.children
        ],
        "analyses": [
            {
                "prefix": analysis.prefix,
                "job": job.name,
                "parts": dict(told.parts),
                "total": told.total,
                "error": told.code or None,
                "says": told.words or told.summary,
                "report": report_of(job, told) or None,
            }
            for analysis, job, told in _told(view)
        ],
    }

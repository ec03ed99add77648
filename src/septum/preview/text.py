"""A pipeline as text: lines for people, YAML that GitLab could run, JSON. Pure; the machine leaves no trace in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from septum.components.render import scalar
from septum.preview.pipeline import CIJob, LeftOut, Need, Pipeline
from septum.preview.situation import Situation
from septum.preview.source import Variable

_PREFIX = "SEPTUM_"
_SHOWN = 110
_WARNING = 300
"""Characters of a warning, whose end says what to do."""
_EMPTY = "(empty)"
_SHORT = {"value", "expand"}
"""Variables are written on one line."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def told(situation: Situation) -> str:
    """What started the pipeline, in one line."""
    on = "tag" if situation.tag else "branch"
    if situation.merge_request:
        on = f"merge request from {_line(situation.fork)}, branch" if situation.fork else "merge request of the branch"
    kept = "protected" if situation.protected else "not protected"
    merge_request = ", with an open merge request" if situation.open_merge_request else ""
    return f"{situation.source}, {on} {_line(situation.ref)} ({kept}{merge_request})"


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────────


def as_lines(pipeline: Pipeline) -> list[str]:
    """What the command prints if nothing else is asked for."""
    title = f"{_line(pipeline.name)}: " if pipeline.name else ""
    lines = [f"{title}{told(pipeline.situation)}, GitLab {pipeline.situation.gitlab}"]
    lines += [f"  includes {each.kind} {_line(each.address)}" for each in pipeline.inclusions]
    lines += [f"  warning: {_line(warning, _WARNING)}" for warning in pipeline.warnings]
    if pipeline.refusal:
        lines += ["", f"no pipeline: {pipeline.refusal}"]
    shared = _shared(pipeline.jobs)
    if shared:
        lines += ["", "all CI jobs of septum have", *_table(shared.items())]
    for stage in pipeline.stages:
        lines += ["", f"stage {_line(stage)}"]
        for job in pipeline.jobs:
            if job.stage == stage:
                lines += _job_lines(job, shared)
    if pipeline.left_out:
        lines += ["", "not in this pipeline", *(f"  {_line(job.name)}: {_line(job.why)}" for job in pipeline.left_out)]
    return lines


def _shared(jobs: Sequence[CIJob]) -> dict[str, str]:
    """The variables of septum that have one value in all CI jobs that have any; none if there is one such CI job."""
    ours = [{name: job.values.get(name, "") for name in job.variables if name.startswith(_PREFIX)} for job in jobs]
    ours = [values for values in ours if values]
    if len(ours) < 2:  # noqa: PLR2004 - one has nobody to share with
        return {}
    return {name: value for name, value in ours[0].items() if all(each.get(name) == value for each in ours)}


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    listed = list(rows)
    width = max(len(name) for name, _ in listed)
    for name, value in listed:
        yield f"    {name.ljust(width)}  {_line(value) or _EMPTY}"


def _job_lines(job: CIJob, shared: Mapping[str, str]) -> Iterator[str]:
    yield f"  {_line(job.name)}"
    when = job.when + (f" by {job.start_in}" if job.start_in else "")
    if job.allow_failure:
        codes = job.allow_failure.get("exit_codes") if isinstance(job.allow_failure, Mapping) else None
        when += ", may fail" + (f" with exit code {codes}" if codes is not None else "")
    rows = [("when", when), ("because", job.rule), ("image", job.image), ("needs", _needs_told(job.needs))]
    if job.keywords.get("tags"):
        rows.append(("tags", ", ".join(map(str, _as_list(job.keywords["tags"])))))
    if "trigger" in job.keywords:
        rows.append(("trigger", json.dumps(job.keywords["trigger"], default=str)))
    ours = [name for name in job.variables if name.startswith(_PREFIX) and name not in shared]
    yield from _table([row for row in rows if row[1]] + [(name, job.values.get(name, "")) for name in ours])


def _needs_told(needs: Sequence[Need] | None) -> str:
    if needs is None:
        return ""
    return ", ".join(need.job + ("" if need.artifacts else " (no artifacts)") for need in needs) or "nothing"


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _line(text: str, most: int = _SHOWN) -> str:
    """Text of others on one line, cut, with nothing in it that moves a cursor."""
    plain = _UNSAFE.sub(lambda match: {"\n": "\\n", "\t": " "}.get(match[0], "?"), text)
    return plain if len(plain) <= most else plain[: most - 1] + "…"


# ── YAML ────────────────────────────────────────────────────────────────────────────────────────────────────────


def as_yaml(pipeline: Pipeline) -> str:
    """The pipeline as a file that gives the same pipeline again in the same situation; the others as comments."""
    lines = [f"# {told(pipeline.situation)}"]
    if pipeline.refusal:
        lines.append(f"# no pipeline: {pipeline.refusal}")
    if pipeline.left_out:
        lines += ["# not in this pipeline:", *(f"#   {_comment(job)}" for job in pipeline.left_out)]
    if not pipeline.jobs:
        return "\n".join(lines) + "\n"
    return "\n".join([*lines, *_yaml(as_body(pipeline), "")]) + "\n"


def as_body(pipeline: Pipeline) -> dict[str, object]:
    """The pipeline as a body: every CI job has all it needs in itself, and no rules."""
    # A workflow with a rule, so that the CI jobs are not for branches and tags alone.
    workflow: dict[str, object] = {"rules": [{"when": "always"}]}
    if pipeline.name:
        workflow = {"name": pipeline.name, **workflow}
    return {
        "workflow": workflow,
        "stages": list(pipeline.stages),
        **{job.name: _job_body(job) for job in pipeline.jobs},
    }


def _job_body(job: CIJob) -> dict[str, object]:
    body: dict[str, object] = {"stage": job.stage}
    if job.when != "on_success":
        body["when"] = job.when
    if job.start_in:
        body["start_in"] = job.start_in
    if job.allow_failure or job.when == "manual":
        body["allow_failure"] = job.allow_failure
    if job.needs is not None:
        body["needs"] = [need.job if need.artifacts else {"job": need.job, "artifacts": False} for need in job.needs]
    if job.image and "image" not in job.keywords:
        body["image"] = job.image
    if job.variables:
        body["variables"] = {name: _variable(variable) for name, variable in job.variables.items()}
    return {**body, **job.keywords}


def _variable(variable: Variable) -> object:
    return {"value": variable.value, "expand": False} if variable.raw else variable.value


def _comment(job: LeftOut) -> str:
    return _line(f"{job.name}: {job.why}")


def _yaml(value: object, indent: str) -> Iterator[str]:
    """The lines of a mapping or a list that is not empty."""
    for key, item in value.items() if isinstance(value, dict) else ((None, item) for item in _as_list(value)):
        head = f"{indent}-" if key is None else f"{indent}{_one_line(str(key))}:"
        if isinstance(item, dict) and item.keys() == _SHORT and "\n" not in str(item["value"]):
            pairs = ", ".join(f"{name}: {_scalar(each, indent)}" for name, each in item.items())
            yield f"{head} {{{pairs}}}"
        elif isinstance(item, dict | list) and item:
            inner = list(_yaml(item, indent + "  "))
            if key is None:
                # The first key of a mapping stands behind the dash.
                yield f"{head} {inner[0].lstrip()}" if isinstance(item, dict) else head
                yield from inner[1 if isinstance(item, dict) else 0 :]
            else:
                yield head
                yield from inner
        else:
            yield f"{head} {_scalar(item, indent)}"


def _scalar(value: object, indent: str) -> str:
    """A scalar, or something empty, that every reader takes for the same value."""
    if isinstance(value, str):
        return _text(value, indent)
    if isinstance(value, bool | int):
        return scalar(value)
    # What is left are null, numbers, and empty lists and mappings.
    return json.dumps(value, default=str)


def _text(value: str, indent: str) -> str:
    unsafe = _UNSAFE.search(value.replace("\n", ""))
    if "\n" in value and not unsafe and value.strip() and value[0] not in " \n":
        return _block(value, indent)
    return _one_line(value)


def _one_line(value: str) -> str:
    if _UNSAFE.search(value):
        return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    return scalar(value)


def _block(value: str, indent: str) -> str:
    bare = value.rstrip("\n")
    chomp = {0: "-", 1: ""}.get(len(value) - len(bare), "+")
    lines = value[:-1].split("\n") if chomp != "-" else value.split("\n")
    return f"|{chomp}\n" + "\n".join(f"{indent}  {line}" if line else "" for line in lines)


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────


def as_json(pipeline: Pipeline) -> str:
    """The same for programs; the keys stay as they are."""
    situation = pipeline.situation
    data = {
        "source": situation.source,
        "ref": situation.ref,
        "tag": situation.tag,
        "protected": situation.protected,
        "open_merge_request": situation.open_merge_request,
        "gitlab": str(situation.gitlab),
        "name": pipeline.name,
        "refusal": pipeline.refusal,
        "stages": list(pipeline.stages),
        "jobs": [{"name": job.name, "rule": job.rule, **_job_body(job)} for job in pipeline.jobs],
        "left_out": [{"name": job.name, "why": job.why} for job in pipeline.left_out],
        "includes": [{"kind": each.kind, "address": each.address} for each in pipeline.inclusions],
        "warnings": list(pipeline.warnings),
    }
    return json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n"

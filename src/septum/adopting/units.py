"""Which CI jobs septum replaces, in which order they ran, and how many analyses they are. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from septum.adopting.jobs import OldPipeline
from septum.adopting.merges import filled, joins, merges_of
from septum.adopting.values import BATCH, CREDENTIALS, Found, OldJob, Step
from septum.errors import AdoptError
from septum.preview.assemble import stages_of

MAX_UNITS = 20
_QUIET = CREDENTIALS | BATCH | {Step.PRINTS, Step.ENVIRONMENT, Step.IMAGE, Step.CALLS}
_SEPTUM = re.compile(r"/septum/(?:analysis|framework|mkshapesrdf|run|submit|collect|prepare|preflight)@")
_OF_SITE = re.compile(r"_condor_|SINGULARITY_|APPTAINER_")
_FOLLOWS = frozenset({Step.WAIT, Step.TRANSFER})
_AWAY = re.compile(r"(?:^|[\s;&|(])ssh\s[^\n]*condor_submit")
_CALLED = "condor_submit"
_LOOKED_AT = 8000
_SHOWN = 100
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One analysis: a CI job that submits, with one row of its matrix.

    Attributes:
        slug: A short name; empty if there is one analysis only.
        job: The CI job that submits.
        environment: The variables of the row, and those of the CI job itself if there are several analyses.
        before: What ran up to the submission.
        values: All variables whose values are known.
    """

    slug: str
    job: OldJob
    environment: Mapping[str, str]
    before: tuple[Found, ...]
    values: Mapping[str, str]

    def filled(self, text: str) -> str:
        """A text with the values of variables that are known."""
        return filled(text, self.values)

    @property
    def config(self) -> str:
        """The path of its configuration."""
        return f"septum-{self.slug}.yaml" if self.slug else "septum.yaml"

    @property
    def prefix(self) -> str:
        """What the names of its CI jobs begin with."""
        return f"{self.slug}-" if self.slug else "septum-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The CI jobs that septum replaces.

    Attributes:
        jobs: All of them, in their order.
        units: The analyses.
        after: What ran behind the submission, in all of them.
        questions: What a person has to look at.
    """

    jobs: tuple[OldJob, ...]
    units: tuple[Unit, ...]
    after: tuple[Found, ...]
    questions: tuple[str, ...]

    @property
    def results(self) -> str:
        """The folders of the results, in words."""
        names = [f"result-{unit.slug}/" if unit.slug else "result/" for unit in self.units]
        return ", ".join(names[:_NAMED]) + (" and so on" if len(names) > _NAMED else "")

    @property
    def found(self) -> tuple[Found, ...]:
        """All statements of all CI jobs."""
        return tuple(each for job in self.jobs for each in job.found)


def chain_of(pipeline: OldPipeline) -> Chain:
    """Find what septum replaces.

    Raises:
        AdoptError: Nothing is submitted to HTCondor, or in a way that cannot be taken over.
    """
    pipeline, presumed = _with_presumed(pipeline)
    _refuse(pipeline)
    stages = stages_of(pipeline.body)
    order = {name: number for number, name in enumerate(stages)}
    jobs = sorted(
        (job for job in pipeline.jobs if _is_replaced(job)),
        key=lambda job: order.get(str(job.keywords.get("stage") or "test"), len(order)),
    )
    submitting = [job for job in jobs if job.has(Step.SUBMIT)]
    first = jobs.index(submitting[0])
    earlier = tuple(each for job in jobs[:first] for each in job.found)
    units: list[Unit] = []
    after: list[Found] = []
    questions: list[str] = list(presumed)
    several = len(submitting) > 1
    for job in submitting:
        before, behind = _cut(job)
        after += behind
        rows, said = _rows(job)
        questions += said
        for row in rows:
            own = {} if not several and len(rows) == 1 else _variables(job.own)
            environment = {name: value for name, value in own.items() if not _OF_SITE.match(name)} | row
            slug = _slug(row.values() if len(rows) > 1 else [job.name]) if several or len(rows) > 1 else ""
            values = {**_variables(pipeline.body), **_variables(job.own), **row}
            values = {name: value for name, value in values.items() if "$" not in value}
            units.append(Unit(slug=slug, job=job, environment=environment, before=(*earlier, *before), values=values))
    if len({unit.slug for unit in units}) < len(units):
        units = [replace(unit, slug=f"{unit.slug}-{number}") for number, unit in enumerate(units, 1)]
    joining = _joining([job for job in jobs[first:] if job not in submitting], units)
    questions += [f"CI job {job.name} merges the results of several analyses, and stays" for job in joining]
    jobs = [job for job in jobs if job not in joining]
    after += [each for job in jobs[first:] if job not in submitting for each in job.found]
    return Chain(jobs=tuple(jobs), units=tuple(units), after=tuple(after), questions=tuple(questions))


def _joining(jobs: Sequence[OldJob], units: Sequence[Unit]) -> list[OldJob]:
    """The CI jobs that only merge what several analyses have merged."""
    targets = [merge.target for unit in units for merge in merges_of(unit.job.found, unit.values)]
    return [
        job for job in jobs
        if len(units) > 1 and not job.has(*(BATCH - {Step.MERGE})) and job.has(Step.MERGE)
        and all(joins(merge, targets) for merge in merges_of(job.found, units[0].values))
    ]  # fmt: skip


def _with_presumed(pipeline: OldPipeline) -> tuple[OldPipeline, list[str]]:
    """Take the last unknown program before the waiting for the one that submits, if nothing else does."""
    everything = [each for job in pipeline.jobs for each in job.found]
    if any(each.step in {Step.SUBMIT, Step.DAG, Step.ELSEWHERE} for each in everything):
        return pipeline, []
    if any(_CALLED in each.statement.programs for each in everything if each.step is Step.OTHER):
        return _with_programs(pipeline)
    for number, job in enumerate(pipeline.jobs):
        waits = next(
            (
                at
                for at, each in enumerate(job.found)
                if each.step in _FOLLOWS and "condor" in each.rule + each.statement.text
            ),
            -1,
        )
        programs = [at for at, each in enumerate(job.found[: max(waits, 0)]) if each.step is Step.OTHER]
        if not programs:
            continue
        at = next((at for at in reversed(programs) if "submit" in job.found[at].statement.text), programs[-1])
        found = [*job.found[:at], replace(job.found[at], step=Step.SUBMIT, rule="presumed"), *job.found[at + 1 :]]
        jobs = [*pipeline.jobs[:number], replace(job, found=tuple(found)), *pipeline.jobs[number + 1 :]]
        return replace(pipeline, jobs=tuple(jobs)), [_presumed(job.found[at])]
    return pipeline, []


def _presumed(found: Found) -> str:
    statement = found.statement
    return (
        f"{statement.file}:{statement.first} {statement.text.splitlines()[0][:_SHOWN]!r} is taken to submit: "
        "it has to call condor_submit (HTCondor's Python bindings are refused)"
    )


def _with_programs(pipeline: OldPipeline) -> tuple[OldPipeline, list[str]]:
    """Take the programs of the repository that name condor_submit for those that submit, others for those that wait."""

    def known(each: Found) -> Found:
        if each.step is not Step.OTHER or not each.statement.programs:
            return each
        submits = _CALLED in each.statement.programs
        return (
            replace(each, step=Step.SUBMIT, rule="presumed") if submits else replace(each, step=Step.WAIT, rule="wait")
        )

    jobs = tuple(replace(job, found=tuple(map(known, job.found))) for job in pipeline.jobs)
    said = [_presumed(each) for job in jobs for each in job.found if each.step is Step.SUBMIT]
    return replace(pipeline, jobs=jobs), said


def _refuse(pipeline: OldPipeline) -> None:
    if any(_SEPTUM.search(address) for address in pipeline.includes):
        raise AdoptError(
            f"{pipeline.source}: it includes a component of septum already",
            evidence=next(address for address in pipeline.includes if _SEPTUM.search(address)),
            fix="septum component preview shows what it does",
        )
    everything = [each for job in pipeline.jobs for each in job.found]
    if dags := [each for each in everything if each.step is Step.DAG]:
        raise AdoptError(
            f"{pipeline.source}: a DAG is not adopted: its jobs wait for each other, and septum's parts do not",
            evidence=_places(dags),
            fix="make a run of each layer of the DAG, one include after the other with 'start: needs':\n"
            "docs/how-to/choose-when-it-runs.md",
        )
    submits = [each for each in everything if each.step is Step.SUBMIT]
    if away := [each for each in submits if _AWAY.search(each.statement.text[:_LOOKED_AT])]:
        raise AdoptError(
            f"{pipeline.source}: it submits on another machine, by ssh, where septum can record nothing",
            evidence=_places(away),
            fix="let the CI job call condor_submit itself, on the description in the repository, and try again: it "
            "reaches the pool by a profile (septum cluster list), without a login",
        )
    if submits:
        return
    if others := [each for each in everything if each.step is Step.ELSEWHERE]:
        raise AdoptError(
            f"{pipeline.source}: it runs on another batch system, which septum does not take over",
            evidence=_places(others),
            fix="write septum.yaml with the command of one job and the list of them: docs/tutorial/first-analysis.md",
        )
    unread = [f"not read: {each}" for each in pipeline.unread]
    unread += [f"not read: {address}" for address in pipeline.includes]
    raise AdoptError(
        f"{pipeline.source}: no CI job submits to HTCondor",
        evidence="\n".join([f"looked through {len(pipeline.jobs)} CI jobs, {len(everything)} commands", *unread[:5]]),
        fix="if a program of yours submits, say which: docs/how-to/run-a-framework.md; for a new analysis: septum new",
    )


def _places(found: Sequence[Found]) -> str:
    return "\n".join(
        f"{each.statement.file}:{each.statement.first}: {each.statement.text.splitlines()[0][:_SHOWN]}"
        for each in found[:5]
    )


def _is_replaced(job: OldJob) -> bool:
    if job.has(*BATCH):
        return True
    steps = {each.step for each in job.found}
    return bool(steps & CREDENTIALS) and steps <= _QUIET


def _cut(job: OldJob) -> tuple[list[Found], list[Found]]:
    """The statements up to the last submission, and those behind it."""
    last = max(number for number, each in enumerate(job.found) if each.step is Step.SUBMIT)
    return list(job.found[: last + 1]), list(job.found[last + 1 :])


def _variables(own: Mapping[str, object]) -> dict[str, str]:
    variables = own.get("variables")
    found: dict[str, str] = {}
    for name, value in variables.items() if isinstance(variables, dict) else ():
        text = value.get("value") if isinstance(value, dict) else value
        if isinstance(text, str | int | float) and re.fullmatch(r"[A-Za-z_]\w*", name):
            found[str(name)] = str(text)
    return found


def _rows(job: OldJob) -> tuple[list[dict[str, str]], list[str]]:
    """The rows of the matrix of a CI job; one empty row if it has none."""
    parallel = job.keywords.get("parallel")
    if not isinstance(parallel, dict):
        many = isinstance(parallel, int) and parallel > 1
        said = f"CI job {job.name} ran {parallel} times (parallel): septum runs one; its jobs are the parallel ones"
        return [{}], [said] if many else []
    found: list[dict[str, str]] = []
    listed = parallel.get("matrix")
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict):
            choices = [value if isinstance(value, list) else [value] for value in entry.values()]
            rows = itertools.islice(itertools.product(*choices), MAX_UNITS + 1)
            found += [dict(zip(map(str, entry), map(str, row), strict=True)) for row in rows]
    if len(found) > MAX_UNITS:
        raise AdoptError(
            f"CI job {job.name}: its matrix has more than {MAX_UNITS} rows",
            fix="adopt a smaller one, and let the parts of septum.yaml run over the rest: docs/how-to/choose-parts.md",
        )
    return found or [{}], []


def _slug(texts: Iterable[str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", "-".join(texts).lower()).strip("-")[:30].strip("-")
    return slug if re.match(r"[a-z]", slug) else f"run-{slug}".rstrip("-")

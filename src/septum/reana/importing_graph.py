"""From the graph of a Snakemake workflow to parts: jobs that share files run together, a final hadd is a merge. Pure.

Two jobs share files if one reads what the other writes. So each connected component of the graph is one part, whose
jobs run one after the other, once the jobs at the end that only add ROOT files up are taken off.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from septum.config.texts import NAME, SETTABLE_BY_SEPTUM
from septum.errors import WorkflowError
from septum.reana.importing_gather import Gather, split
from septum.reana.importing_snakemake import Graph, RuleJob
from septum.reana.importing_work import (
    Asked,
    Imported,
    Job,
    Wanted,
    Work,
    asked_of,
    begin,
    largest,
    listed,
    notes_of,
    pack,
    step,
)
from septum.worker.sandbox import quote

_KINDS = {
    "run": "runs Python inside of Snakemake (run:), and no job of REANA or of a cluster has that",
    "script": "runs a script inside of Snakemake (script:), which gives it an object 'snakemake'",
    "notebook": "runs a notebook inside of Snakemake (notebook:)",
    "wrapper": "runs a wrapper that Snakemake downloads (wrapper:)",
    "cwl": "runs a CWL tool (cwl:)",
    "template_engine": "renders a template inside of Snakemake (template_engine:)",
}


def import_graph(graph: Graph, *, wanted: Sequence[Wanted], folders: Sequence[str], where: str) -> Imported:
    """Translate the jobs.

    Args:
        graph: The jobs.
        wanted: What `outputs` of `reana.yaml` names; empty for the files of the default target.
        folders: Those that are there from the beginning.
        where: The place that names the Snakefile.

    Raises:
        WorkflowError: A rule, or a file that shall come back, cannot be translated.
    """
    real = {job.number: job for job in graph.jobs if job.kind != "norun"}
    if not real:
        raise WorkflowError(
            f"{where}: the default target of the Snakefile has no jobs",
            fix="let its first rule name the files that are wanted under 'input:'",
        )
    for job in real.values():
        _check(job, where)
    targets = {path for job in graph.jobs if job.kind == "norun" for path in job.inputs}
    makers = {output.path: job.number for job in real.values() for output in job.outputs}
    gathers, groups = split(real, makers, wanted=_wanted_paths(wanted, targets))
    taken = {gather.result for gather in gathers}
    home = {path: index for index, group in enumerate(groups) for path in _made_by(group, real)}
    lists = _homes([item for item in wanted if item.path not in taken], groups, home)
    notes = [*_notes(gathers, groups, real), *_unused(real.values())]
    works = []
    for index, group in enumerate(groups):
        jobs = [real[number] for number in group]
        kept = lists[index] or _ends(jobs, targets, where, gathers, has_wanted=bool(wanted))
        packing, files = pack(kept)
        into = tuple((gather.result, path) for gather in gathers for path in gather.files if home[path] == index)
        if not (into or files):
            raise WorkflowError(
                f"{where}: {jobs[-1].label} writes no file, and a part is judged by its files",
                fix="give the rule an 'output:'",
            )
        works.append(
            Work(
                label=_label(jobs),
                names=_names(jobs),
                script="\n".join([*begin(folders), *(line for job in jobs for line in _lines(job)), *packing]),
                merged=into,
                kept=tuple(files),
            )
        )
    merges = tuple((gather.result, gather.files) for gather in gathers)
    order = _order(works, merges)
    run = [real[number] for group in groups for number in group]
    return Imported(
        works=tuple(_with_own_names([works[index] for index in order])),
        merges=merges,
        images=tuple((job.image, f"rule {job.rule}") for job in run),
        asked=_asked(groups, real, where),
        notes=(*notes, *notes_of([_keys(job, where) for job in run])),
    )


def _made_by(group: Iterable[int], jobs: Mapping[int, RuleJob]) -> list[str]:
    return [output.path for number in group for output in jobs[number].outputs]


# ── what comes back ─────────────────────────────────────────────────────────────────────────────────────────────


def _wanted_paths(wanted: Sequence[Wanted], targets: Collection[str]) -> set[str]:
    return {item.path for item in wanted} if wanted else set(targets)


def _homes(
    wanted: Sequence[Wanted], groups: Sequence[Sequence[int]], home: Mapping[str, int]
) -> dict[int, list[Wanted]]:
    """For each part the files of `outputs` that come from it.

    Raises:
        WorkflowError: Nobody knows which part writes one.
    """
    lists: dict[int, list[Wanted]] = {index: [] for index in range(len(groups))}
    for item in wanted:
        inside = [index for path, index in home.items() if path == item.path or path.startswith(f"{item.path}/")]
        inside += [index for path, index in home.items() if item.path.startswith(f"{path}/")]
        homes = list(dict.fromkeys(inside)) or ([0] if len(groups) == 1 else [])
        if len(homes) > 1 and not item.is_folder:
            homes = homes[:1]
        if not homes:
            raise WorkflowError(
                f"{item.where}: no rule has {item.path!r} as its output, and there are {len(groups)} parts",
                fix="name it under 'output:' of the rule that writes it",
            )
        for index in homes:
            lists[index].append(item)
    return lists


def _ends(
    jobs: Sequence[RuleJob], targets: Collection[str], where: str, gathers: Sequence[Gather], *, has_wanted: bool
) -> list[Wanted]:
    """What comes back from a part of which `outputs` names nothing: the files of the target, or what it ends with."""
    added = {path for gather in gathers for path in gather.files}
    made = [output for job in jobs for output in job.outputs]
    found = [output for output in made if output.path in targets and output.path not in added]
    if not found and not any(output.path in added for output in made):
        read = {path for job in jobs for path in job.inputs}
        found = [output for output in made if output.path not in read]
    elif has_wanted and any(output.path in added for output in made):
        found = []
    return [Wanted(path=output.path, is_folder=output.folder, where=where) for output in found]


# ── one part ────────────────────────────────────────────────────────────────────────────────────────────────────


def _lines(job: RuleJob) -> list[str]:
    """The shell lines of one job: its folders, its command, its files."""
    paths = [*(output.path for output in job.outputs), *job.logs]
    parents = sorted({posixpath.dirname(path) for path in paths} - {""})
    touched = [output.path for output in job.outputs if output.touch]
    lines = ['cd -- "$top"', *([f"mkdir -p -- {' '.join(map(quote, parents))}"] if parents else [])]
    lines.append(step(job.label, job.command))
    lines.append('cd -- "$top"')
    lines += [f"touch -- {quote(path)}" for path in touched]
    lines += [
        f"[ -e {quote(output.path)} ] || "
        f"{{ echo {quote(f'septum: {job.label} did not write {output.path}')} >&2; exit 1; }}"
        for output in job.outputs
    ]
    return lines


def _label(jobs: Sequence[RuleJob]) -> str:
    return jobs[0].label if len(jobs) == 1 else f"{jobs[-1].label} and {len(jobs) - 1} before it"


def _names(jobs: Sequence[RuleJob]) -> tuple[tuple[str, str], ...]:
    """The rules at the end of a part, and their wildcards."""
    needed = {number for job in jobs for number in job.needs}
    ends = [job for job in jobs if job.number not in needed]
    rule = "+".join(dict.fromkeys(job.rule for job in ends))
    return (("rule", rule), *(ends[0].wildcards.items() if len(ends) == 1 else ()))


def _with_own_names(works: Sequence[Work]) -> list[Work]:
    """Wildcards as values of their own if all parts have the same and they can be; else in one text."""
    names = {tuple(name for name, _ in work.names) for work in works}
    fit = len(names) == 1 and all(
        re.fullmatch(NAME, name) and name not in SETTABLE_BY_SEPTUM and not name.startswith(("reana_", "condor_"))
        for name in next(iter(names))
    )
    if (fit and len(set(next(iter(names)))) == len(next(iter(names)))) or not works:
        return list(works)
    return [
        replace(
            work,
            names=(
                work.names[0],
                ("wildcards", ", ".join(f"{name}={value}" for name, value in work.names[1:])),
            ),
        )
        for work in works
    ]


def _order(works: Sequence[Work], merges: Sequence[tuple[str, Sequence[str]]]) -> list[int]:
    """The order of the parts: as their files are added up, then as the rules stand in the Snakefile."""
    ranks = {(result, path): (number, place) for number, (result, files) in enumerate(merges)
             for place, path in enumerate(files)}  # fmt: skip
    last = (len(merges), 0)
    return sorted(range(len(works)), key=lambda index: (min((ranks[item] for item in works[index].merged),
                                                            default=last), index))  # fmt: skip


# ── what is refused, and what is said ───────────────────────────────────────────────────────────────────────────


def _place(job: RuleJob, where: str) -> str:
    return f"{where}: {job.label}"


def _check(job: RuleJob, where: str) -> None:
    """Refuse what a job of a cluster cannot do.

    Raises:
        WorkflowError: It names the rule, and what to write instead.
    """
    place = _place(job, where)
    if job.checkpoint:
        raise WorkflowError(
            f"{place} is a checkpoint: which jobs follow is known only when it has run",
            evidence="a plan of septum is complete before anything is submitted",
            fix="run the checkpoint under 'prepare' in septum.yaml, and make it a rule",
        )
    if job.kind != "shell":
        raise WorkflowError(
            f"{place} {_KINDS.get(job.kind, job.kind)}",
            fix="write the rule with 'shell:', such as shell: \"python script.py {input} {output}\"",
        )
    if job.remote:
        raise WorkflowError(
            f"{place} reads or writes a remote file: {job.remote[0]!r}",
            fix="let the command fetch it: a URL as a parameter, with xrdcp or curl",
        )
    if job.special:
        raise WorkflowError(f"{place} has {job.special[0]}", fix="use plain files, written by 'shell:'")
    if job.unknown:
        raise WorkflowError(
            f"{place} has a value that is known only when another job has run",
            evidence=job.command.strip()[:300],
            fix="let the command read it from the file of the other job",
        )
    bad = [output.path for output in job.outputs if output.path.startswith(("/", "../"))]
    if bad:
        raise WorkflowError(
            f"{place} writes {bad[0]!r}, which is outside of the workspace", fix="write into the workspace"
        )


def _asked(groups: Sequence[Sequence[int]], jobs: Mapping[int, RuleJob], where: str) -> Asked:
    return largest([asked_of([_keys(jobs[number], where) for number in group]) for group in groups])


def _keys(job: RuleJob, where: str) -> Job:
    threads = {"threads": job.threads} if job.threads > 1 else {}
    # For people, one line for a rule says as much as one for each of its jobs.
    return Job(label=f"{where}: rule {job.rule}", keys={**job.resources, **threads})


def _notes(gathers: Sequence[Gather], groups: Sequence[Sequence[int]], jobs: Mapping[int, RuleJob]) -> list[str]:
    notes = [
        f"{listed(list(dict.fromkeys(f'rule {jobs[number].rule}' for number in gather.jobs)))} (hadd) is septum's own "
        f"merge: {gather.result} from {len(gather.files)} files"
        for gather in gathers
    ]
    longest = max(groups, key=len)
    if len(longest) > 1:
        names = listed([jobs[number].label for number in longest])
        notes.append(f"jobs that share files run one after the other in one part: {names}")
    return notes


def _unused(jobs: Iterable[RuleJob]) -> list[str]:
    found: dict[str, dict[str, None]] = {}
    for job in jobs:
        for keyword in job.unused:
            found.setdefault(keyword, {})[job.rule] = None
    return [f"{keyword} of rule {listed(list(rules))} is not taken over" for keyword, rules in found.items()]

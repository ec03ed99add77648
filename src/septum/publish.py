"""Puts results where the user looks for them, under final names only when they are whole, and says what they are."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import septum
from septum.errors import SeptumError, StateError
from septum.finish import REPORTS
from septum.ledger import Row, StoredOutput
from septum.manifest import NAME as MANIFEST
from septum.manifest import Asked, Failure, Held, Manifest, PartFacts, PartOutput, ResultFile, from_json, plain, to_json
from septum.merge.results import Result
from septum.outcome import Outcome
from septum.plan import Plan, partial_name
from septum.state import Receipt, write_whole
from septum.states import PartState
from septum.units import count, show_size
from septum.verify import measure
from septum.worker.sandbox import kept_name, log_names, sandbox_name

SUMMARY = "summary.md"
KEPT = "parts"
LOGS = "logs"
MAX_LOGS = 50
"""Failed parts whose logs go into the result folder."""
MAX_LOG_B = 1 << 20
"""The end of a log that goes there."""
_SHOWN_OBJECTS = 8


def clear_old(folder: Path, plan: Plan) -> list[str]:
    """Take away what could be taken for a result of this run, so that a failure leaves nothing that looks whole.

    What an earlier run of septum left, by its manifest and its checksums, is removed. Anything else that stands under
    a name of this run is somebody's: it is kept, under another name.

    Returns:
        The files that were given another name.

    Raises:
        StateError: The folder is no folder, or is the repository itself.
    """
    if folder.exists() and not folder.is_dir():
        raise StateError(f"result: {folder} is not a folder", fix="choose another one with --result")
    if Path.cwd().resolve().is_relative_to(folder.resolve()):
        raise StateError(f"result: {folder} is where you stand", fix="choose a folder of its own with --result")
    before = _manifest_before(folder)
    for name, sha256 in before.results.items():
        if measure(folder / name)[1] == sha256:
            (folder / name).unlink()
    for part in before.parts:
        shutil.rmtree(folder / KEPT / part, ignore_errors=True)
        for name in log_names(part):
            (folder / LOGS / name).unlink(missing_ok=True)
    if before.parts:
        (folder / MANIFEST).unlink()
        for name in REPORTS:
            (folder / name).unlink(missing_ok=True)
    for name in (KEPT, LOGS):
        with contextlib.suppress(OSError):  # not there, or not empty
            (folder / name).rmdir()
    names = [name for merge in plan.merges for name in (merge.result, partial_name(merge.result))]
    wanted = [MANIFEST, *REPORTS, *names]
    wanted += [f"{KEPT}/{part.id}" for part in plan.parts] if (folder / KEPT).is_dir() else []
    return [name for name in wanted if _set_aside(folder / name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """What the manifest of an earlier run says: its results with their checksums, and its parts."""

    results: Mapping[str, str]
    parts: Sequence[str]


def _manifest_before(folder: Path) -> _Before:
    try:
        before = from_json((folder / MANIFEST).read_text(encoding="utf-8"), name=MANIFEST)
    except (OSError, ValueError, StateError):
        return _Before(results={}, parts=[])
    results = {result.file: result.sha256 for result in before.results}
    return _Before(
        results={name: sha256 for name, sha256 in results.items() if sha256 and _is_inside(folder, name)},
        parts=[part.id for part in before.parts if part.id.isdecimal()],
    )


def _is_inside(folder: Path, name: str) -> bool:
    """Whether a path of a manifest, which somebody else may have written, leads nowhere else, not by a link either."""
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # too long, with a null byte, a circle of links
        return False


def _set_aside(path: Path) -> bool:
    """Give a file or folder that is not septum's another name, one that nobody takes for a result."""
    if not path.exists() and not path.is_symlink():
        return False
    number = 1
    while (target := path.with_name(f"{path.name}.old{number}")).exists():
        number += 1
    path.rename(target)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a run beside its outcome, for the manifest.

    Attributes:
        rows: All parts as the ledger has them.
        stored: All verified outputs.
        contents: The hash of what each merged output holds.
        asked: What each job asked for.
        submitted_s: When the job of each part entered the queue.
        began_s, ended_s: Of the run; seconds since the epoch.
        origin: Where the run comes from.
        software: Versions of what took part.
        pages: Pages that show the jobs: what each shows, and its address.
    """

    rows: Sequence[Row]
    stored: Mapping[tuple[str, int], StoredOutput] = field(default_factory=dict)
    contents: Mapping[tuple[str, int], str] = field(default_factory=dict)
    asked: Asked = field(default_factory=Asked)
    submitted_s: Mapping[str, float] = field(default_factory=dict)
    began_s: float | None = None
    ended_s: float | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)


def publish(
    folder: Path, plan: Plan, receipt: Receipt, outcome: Outcome, facts: Facts, *, outputs: Path, logs: Path
) -> dict[str, Path]:
    """Write the results, the logs of the parts that failed, and the manifest.

    Args:
        folder: The result folder.
        plan: The plan.
        receipt: Of the submission.
        outcome: How the run ended; without results only the manifest and logs are written.
        facts: What else is known.
        outputs: The folder that the stored outputs are relative to.
        logs: The folder of the parts' logs.

    Returns:
        The published results by their name in the plan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = outcome.error is None
    published: dict[str, Path] = {}
    if outcome.results or (whole and not plan.merges):
        _keep_unmerged(folder, plan, facts.stored, outputs)
    for result in outcome.results:
        partial = bool(result.missing) or plan.whole_count is not None
        target = folder / (partial_name(result.name) if partial else result.name)
        _move(result.path, target)
        published[result.name] = target
    copied = _copy_logs(folder, outcome.failed, logs)
    manifest = account(folder, plan, receipt, outcome, facts, published, copied)
    write_whole(folder / MANIFEST, to_json(manifest))
    write_whole(folder / SUMMARY, plain(summary_text(plan, outcome, published)))
    return published


def publish_failure(
    folder: Path, plan: Plan, receipt: Receipt, error: SeptumError, facts: Facts, *, outputs: Path, logs: Path
) -> None:
    """Write the manifest of a run that has no result, and the logs of the parts that failed."""
    outcome = Outcome(results=(), failed=tuple(row for row in facts.rows if row.cause), error=error)
    publish(folder, plan, receipt, outcome, facts, outputs=outputs, logs=logs)


def _copy_logs(folder: Path, failed: Sequence[Row], logs: Path) -> dict[str, str]:
    """Copy the ends of the logs of the first parts that failed; gives the path of each standard error.

    Those of the jobs before the last one are copied, too: they may tell another story.
    """
    copied = {}
    for row in failed[:MAX_LOGS]:
        earlier = [kept_name(name, job) for job in range(1, row.jobs) for name in log_names(row.id)]
        for name in (*earlier, *log_names(row.id)):
            if (logs / name).is_file() and (logs / name).stat().st_size:
                (folder / LOGS).mkdir(parents=True, exist_ok=True)
                with (logs / name).open("rb") as source, (folder / LOGS / name).open("wb") as target:
                    source.seek(max(0, (logs / name).stat().st_size - MAX_LOG_B))
                    shutil.copyfileobj(source, target)
                copied[row.id] = f"{LOGS}/{name}"  # standard error comes last
        for name in (sandbox_name(row.id), *(kept_name(sandbox_name(row.id), job) for job in range(1, row.jobs))):
            if (logs / name).is_file():
                _copy(logs / name, folder / LOGS / name)
    return copied


def _keep_unmerged(folder: Path, plan: Plan, stored: Mapping[tuple[str, int], StoredOutput], outputs: Path) -> None:
    for (part, number), item in stored.items():
        if number not in plan.merged_outputs:
            _copy(outputs / item.path, folder / KEPT / part / plan.output_path(plan.by_id[part], number))


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError:  # another file system
        _copy(source, target)
        source.unlink()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.new")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def account(
    folder: Path,
    plan: Plan,
    receipt: Receipt,
    outcome: Outcome,
    facts: Facts,
    published: Mapping[str, Path],
    logs: Mapping[str, str],
) -> Manifest:
    """The manifest of a run.

    Args:
        folder: The result folder.
        plan: The plan.
        receipt: Of the submission.
        outcome: How the run ended.
        facts: What else is known.
        published: The results by their name in the plan.
        logs: Paths of kept logs by part, relative to the folder.
    """
    error = outcome.error
    return Manifest(
        septum=septum.__version__,
        name=plan.name,
        complete=error is None and plan.whole_count is None,
        whole_count=plan.whole_count or len(plan.parts),
        plan=plan.hash,
        work=plan.work,
        run=receipt.tag,
        cluster=receipt.cluster,
        schedd=receipt.schedd,
        image=plan.image,
        image_digest=receipt.image_digest,
        image_id=receipt.image_id,
        asked=facts.asked,
        policies=dict(plan.policies),
        error=None
        if error is None
        else Failure(
            code=error.code,
            exit_code=error.exit_code,
            what=plain(error.what),
            evidence=plain(error.evidence),
            fix=plain(error.fix),
        ),
        results=tuple(
            ResultFile(
                name=result.name,
                file=published[result.name].relative_to(folder).as_posix(),
                size_b=result.size_b,
                sha256=result.sha256,
                stamp=result.stamp,
                engine=result.engine,
                parts=result.parts,
                missing=result.missing,
                own=result.own,
                objects={
                    plain(path): Held(kind=plain(kind), entries=entries)
                    for path, (kind, entries) in result.objects.items()
                },
            )
            for result in outcome.results
        ),
        parts=tuple(
            _part_facts(plan, row, outcome, facts, logs.get(row.id))
            for row in facts.rows
            if row.id in plan.by_id  # in a ledger that was damaged, there may be others
        ),
        origin=facts.origin,
        software=facts.software,
        pages=facts.pages,
        began_s=facts.began_s,
        ended_s=facts.ended_s,
    )


def _part_facts(plan: Plan, row: Row, outcome: Outcome, facts: Facts, log: str | None) -> PartFacts:
    part = plan.by_id[row.id]
    outputs = []
    for number in range(len(plan.outputs)):
        item = facts.stored.get((row.id, number))
        if item is not None:
            content = facts.contents.get((row.id, number), "")
            outputs.append(
                PartOutput(path=plan.output_path(part, number), size_b=item.size_b, sha256=item.sha256, content=content)
            )
    return PartFacts(
        id=row.id,
        values=dict(part.values),
        fingerprint=part.fingerprint,
        state=_final_state(row, outcome).value,
        attempts=row.attempts,
        jobs=row.jobs,
        job=row.job,
        host=row.host,
        exit_code=row.exit_code,
        cause=row.cause,
        message=row.message,
        evidence=row.evidence,
        fix=row.fix,
        log=log,
        submitted_s=facts.submitted_s.get(row.id),
        started_s=row.started_s,
        ended_s=row.ended_s,
        cpu_s=row.cpu_s,
        memory_b=row.memory_b,
        outputs=tuple(outputs),
    )


def _final_state(row: Row, outcome: Outcome) -> PartState:
    """A part's state as the ledger has it in a moment, when the results stand in their place."""
    merged = row.state is PartState.VERIFIED and (outcome.error is None or bool(outcome.results))
    return PartState.MERGED if merged else row.state


def summary_text(plan: Plan, outcome: Outcome, published: Mapping[str, Path]) -> str:
    """The run in Markdown: the results with what they hold, and the parts that failed."""
    count = len(plan.parts)
    if outcome.error is None and plan.whole_count is not None:
        head = f"**Partial**: only {count} of {plan.whole_count} parts were asked for."
    elif outcome.error is None:
        head = f"**Whole**: all {count} parts are in."
    elif outcome.results:
        missing = len(outcome.failed)
        head = f"**Partial**: {missing} of {count} parts are missing, within the tolerance of {plan.tolerance}."
    else:
        head = f"**No result**: {outcome.error.what} [{outcome.error.code}]"
    lines = [f"# {plan.name}", "", head, ""]
    for result in outcome.results:
        lines += [
            f"## {published[result.name].name}",
            "",
            f"{show_size(result.size_b)}, {len(result.parts)} parts, sha256 `{result.sha256}`",
            "",
            "| object | class | entries |",
            "| --- | --- | ---: |",
            *(f"| {path} | {kind} | {entries:.15g} |" for path, (kind, entries) in sorted(result.objects.items())),
            "",
        ]
    if outcome.failed:
        lines += ["## Parts that failed", "", "| part | cause | what |", "| --- | --- | --- |"]
        lines += [f"| {row.id} | {row.cause} | {_cell(row.message or '')} |" for row in outcome.failed[:100]]
        lines += [f"| … | | and {len(outcome.failed) - 100} more |"] if len(outcome.failed) > 100 else []  # noqa: PLR2004
        lines += [""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def objects_table(results: Sequence[Result]) -> list[str]:
    """The objects of the results as lines of a table for a terminal, the first few of each: the report has all."""
    lines: list[str] = []
    for result in results:
        rows = [(path, kind, f"{entries:.15g}") for path, (kind, entries) in sorted(result.objects.items())]
        shown = rows[:_SHOWN_OBJECTS]
        width = max(len(path) for path, _, _ in shown)
        lines += [f"{path:<{width}}  {kind:<10}  {entries:>14} entries" for path, kind, entries in shown]
        lines += [f"… and {count(len(rows) - len(shown), 'more object')}"] if len(rows) > len(shown) else []
    return lines

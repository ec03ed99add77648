"""Removes the jobs that earlier pipelines of this project left on the cluster."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import GitlabRefusedError, LeftBehindError, SeptumError, TryAgainError
from septum.stages.pipelines import TOKEN_FIX, open_gitlab
from septum.stages.wiring import Options, Say, load_profile, open_credentials
from septum.sweep import Decision, Job, Project, Sight, by_pipeline, decide, project_of
from septum.units import count

if TYPE_CHECKING:
    from septum.backends.htcondor.queue import Queue
    from septum.clusters.profile import Profile
    from septum.credentials import Credentials
    from septum.stages.sweep_reana import Workflows


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of the jobs of one pipeline.

    Attributes:
        decision: What was decided.
        left: How many jobs that were to go are still there.
        words: What the schedd or the REANA server said to that.
    """

    decision: Decision
    left: int = 0
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep found and did.

    Attributes:
        rows: One for each pipeline that has jobs in the queue, by its number.
        strange: Jobs with a tag of this project that septum did not write.
        error: What the sweep ends with, if not all went that should.
    """

    rows: Sequence[Row]
    strange: Sequence[Job] = field(default=())
    error: SeptumError | None = None


def sweep(options: Options, say: Say, *, keep_outputs_s: float, dry_run: bool, now_s: float) -> Swept:
    """Remove what is left of this project's pipelines that have ended.

    Args:
        options: The cluster and the environment of the CI job.
        say: Takes lines for people.
        keep_outputs_s: How long outputs that nobody fetched are kept after the end of their pipeline.
        dry_run: Whether nothing is to be removed.
        now_s: The time, in seconds since 1970.

    Raises:
        SeptumError: Nothing could be looked at.
    """
    project = project_of(options.environ)
    profile = load_profile(options)
    if profile.method == "local":
        say("the parts of a local run end with their septum")
        return Swept(rows=())
    with (
        open_gitlab(options.environ, project) as gitlab,
        tempfile.TemporaryDirectory(prefix="septum-sweep-") as folder,
        open_credentials(profile, options, say) as supervisor,
        contextlib.closing(_open(profile, supervisor.credentials, Path(folder))) as queue,
    ):
        known, strange = by_pipeline(queue.jobs(project.tags()), project)
        rows: list[Row] = []
        for pipeline, jobs in known.items():
            # Asked and acted on at once: a pipeline that has ended can be started again at any time.
            answer = gitlab.answer(pipeline)
            decision = decide(pipeline, jobs, answer, now_s=now_s, keep_outputs_s=keep_outputs_s)
            try:
                rows.append(_carry_out(queue, project, decision, dry_run=dry_run))
            except SeptumError as error:
                rows.append(Row(decision=decision, left=len(decision.goes), words=error.what))
                return Swept(rows=rows, strange=strange, error=error)
    return Swept(rows=rows, strange=strange, error=error_of(rows))


def _open(profile: Profile, credentials: Credentials, folder: Path) -> Queue | Workflows:
    if profile.method == "reana":
        from septum.stages.sweep_reana import open_workflows

        return open_workflows(profile, credentials)
    from septum.backends.htcondor.queue import Queue

    return Queue(profile, credentials, folder)


def _carry_out(queue: Queue | Workflows, project: Project, decision: Decision, *, dry_run: bool) -> Row:
    if dry_run or not decision.goes:
        return Row(decision=decision)
    left, words = queue.remove(project.tags(decision.pipeline), decision.goes, ended=decision.outputs_go)
    return Row(decision=decision, left=left, words=words)


def error_of(rows: Sequence[Row]) -> SeptumError | None:
    """What a sweep ends with that came to its end; None if everything went that should.

    Pipelines that could not be looked up are an error only if no other could be.
    """
    if still := [row for row in rows if row.left]:
        return LeftBehindError(
            f"sweep: {count(sum(row.left for row in still), 'job')} should have gone and did not",
            evidence="\n".join(
                f"pipeline {row.decision.pipeline}: {row.left}; {row.words}".rstrip("; ") for row in still
            ),
            fix="run it again; if they stay, look whose they are: condor_q -allusers -af:j Owner SeptumRun; "
            "on REANA: reana-client list",
        )
    others = [row.decision for row in rows if row.decision.answer.sight is not Sight.CURRENT]
    if not others or not all(decision.undecided for decision in others):
        return None
    answers = [decision.answer for decision in others]
    evidence = "\n".join(dict.fromkeys(answer.words for answer in answers))
    if any(answer.sight is Sight.SILENT for answer in answers):
        return TryAgainError(
            "sweep: GitLab did not say of any pipeline whether it has ended; all jobs were kept",
            evidence=evidence,
            fix="try again later; the next run of the schedule does",
        )
    return GitlabRefusedError(
        "sweep: GitLab does not let the token see whether pipelines have ended; all jobs were kept",
        evidence=evidence,
        fix=TOKEN_FIX,
    )

"""Reads what is to be rehearsed: the pipeline as GitLab would make it, and the profiles of the clusters that it names.

It judges everything that can be judged before anything is started.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from septum import git
from septum.errors import PipelineError, UsageError
from septum.preview.features import NEWEST
from septum.preview.request import main_file, preview
from septum.preview.situation import PROJECT, SERVER, Situation
from septum.preview.source import Variable
from septum.preview.text import as_yaml
from septum.rehearsing.needs import Needs, needs_of, played
from septum.rehearsing.shelf import RehearsalShelf, lay_library
from septum.rehearsing.standin import check

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.preview.pipeline import Pipeline
    from septum.preview.source import Source

_ADDRESS = re.compile(
    r"(?:(?:https?|ssh|git)://(?:[^/@\s]+@)?(?P<host>[A-Za-z0-9.-]+)(?::\d+)?/|(?:[^/@\s]+@)?(?P<scp>[A-Za-z0-9.-]+):)"
    r"(?P<project>[\w.+-]+(?:/[\w.+-]+)+)/?"
)
_CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants to rehearse.

    Attributes:
        repository: The repository.
        inputs: Inputs of the pipeline, as they are typed into GitLab's form.
        cluster: The input `cluster`; None if the pipeline is to choose it.
        jobs: Only these CI jobs, and what they need.
        variables: CI/CD variables of the project.
        components: Files for components that are not septum's, by address.
        includes: Files of other projects and addresses that are included.
    """

    repository: Path
    inputs: Mapping[str, str] = field(default_factory=dict)
    cluster: str | None = None
    jobs: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    components: Mapping[str, Path] = field(default_factory=dict)
    includes: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was read.

    Attributes:
        folder: The repository.
        pipeline: Its pipeline, as far as it is run.
        text: The same as one file.
        needs: What it needs.
        profiles: Those of its clusters.
    """

    folder: Path
    pipeline: Pipeline
    text: str
    needs: Needs
    profiles: Sequence[Profile]


def read(wish: Wish, scratch: Path) -> Read:
    """Read a pipeline.

    Args:
        wish: What is wanted.
        scratch: A new folder, for the components.

    Raises:
        PreviewError: GitLab would report an error.
        ProfileError: A cluster has no profile, or one that cannot be read.
        UsageError: There is no such CI job, or none that runs here, or no input `cluster`; or a cluster cannot be
            rehearsed.
    """
    source, folder = main_file(wish.repository)
    server, project = place_of(git.origin_of(folder, os.environ))
    situation = Situation(
        server=server,
        project=project,
        variables={name: Variable(value=value) for name, value in wish.variables.items()},
    )
    shelf = RehearsalShelf(
        folder=folder,
        project=project,
        server=server,
        library=lay_library(scratch),
        components=wish.components,
        files=wish.includes,
    )
    pipeline = preview(source, _inputs(wish, source), shelf, situation)
    if pipeline.refusal:
        raise PipelineError(
            f"rehearse: GitLab would make no pipeline: {pipeline.refusal}",
            evidence="\n".join(f"{job.name}: {job.why}" for job in pipeline.left_out[:10]),
            fix="septum component preview shows it for other branches and events, too",
        )
    _check_jobs(wish.jobs, pipeline)
    needs = needs_of(pipeline, wish.jobs)
    _check_others(wish.jobs, needs)
    pipeline = played(pipeline, needs, wish.jobs)
    if not pipeline.jobs:
        raise UsageError(
            "rehearse: there is no CI job to run: each waits for a click, or starts another pipeline",
            evidence=", ".join((*needs.by_hand, *needs.others)),
            fix=f"--jobs {shlex.quote(needs.by_hand[0])}" if needs.by_hand else "rehearse the other pipeline's file",
        )
    profiles = _profiles(needs, folder)
    return Read(folder=folder, pipeline=pipeline, text=as_yaml(pipeline), needs=needs, profiles=profiles)


def _inputs(wish: Wish, source: Source) -> dict[str, str]:
    from septum.preview.documents import read_documents

    if wish.cluster is None:
        return dict(wish.inputs)
    spec = (read_documents(source.text, NEWEST).header or {}).get("spec")
    declared = spec.get("inputs") if isinstance(spec, dict) else None
    if not isinstance(declared, dict) or _CLUSTER not in declared:
        raise UsageError(
            "--cluster: this pipeline has no input 'cluster', so the choice is in its file",
            evidence=f"inputs: {', '.join(map(str, declared)) if isinstance(declared, dict) and declared else 'none'}",
            fix="leave --cluster out; or give the pipeline the input, as examples/two-clusters has it",
        )
    return {**wish.inputs, _CLUSTER: wish.cluster}


def _check_jobs(jobs: Sequence[str], pipeline: Pipeline) -> None:
    from septum.validation import did_you_mean

    known = [job.name for job in pipeline.jobs]
    for name in jobs:
        if name not in known:
            hint = did_you_mean(name, known)
            left_out = next((f"it is left out: {job.why}" for job in pipeline.left_out if job.name == name), "")
            raise UsageError(
                f"--jobs: the pipeline has no CI job {name!r}{'; ' + hint if hint else ''}",
                evidence=left_out or f"CI jobs: {', '.join(known)}",
                fix=f"--jobs {shlex.quote(known[-1])}",
            )


def _check_others(jobs: Sequence[str], needs: Needs) -> None:
    for name in jobs:
        if name in needs.others:
            raise UsageError(
                f"--jobs: {name!r} starts another pipeline, and a rehearsal runs this one",
                fix="septum rehearse FILE, with the file of that pipeline",
            )


def _profiles(needs: Needs, folder: Path) -> list[Profile]:
    from septum.clusters.catalog import load_profile

    known = [
        load_profile(name, environ={}, root=(folder / config).parent, complete=False).profile
        for name, config in needs.clusters
    ]
    found = [profile for profile in known if profile.method != "local"]
    for profile in found:
        check(profile)
    reana = next((profile.name for profile in found if profile.method == "reana"), "")
    if reana and len(found) < len(known):
        # The variables that put the pool in its place would put it in the place of this machine, too.
        raise UsageError(
            f"rehearse: the pipeline runs on {reana} and on this machine; the pool would take the place of both",
            fix="rehearse one of them: --cluster local; or --jobs with the CI jobs of one cluster",
        )
    return found


def place_of(address: str) -> tuple[str, str]:
    """The server and the project that a Git address names; those of a made-up project where it names none.

    Args:
        address: Such as `https://gitlab.example.org/group/project.git` or `git@gitlab.example.org:group/project.git`.
    """
    found = _ADDRESS.fullmatch(address)
    return (found["host"] or found["scp"], found["project"].removesuffix(".git")) if found else (SERVER, PROJECT)

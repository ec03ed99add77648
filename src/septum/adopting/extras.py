"""The CI jobs that run what septum does not, before its own and after them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from septum.adopting.configs import MKSHAPESRDF, Config
from septum.adopting.jobs import OldPipeline
from septum.adopting.kept import optional
from septum.adopting.merges import merges_of
from septum.adopting.recognize import MIXED
from septum.adopting.units import Chain, Unit
from septum.adopting.values import Found, Step
from septum.preview.assemble import defaults_of, stages_of

AFTER = frozenset({Step.OTHER, Step.UPLOAD, Step.ELSEWHERE})
"""What septum does not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """The statements that get CI jobs of their own, before and after septum's."""

    before: tuple[Found, ...]
    after: tuple[Found, ...]


def extra_of(chain: Chain, made: Sequence[tuple[Unit, Config]]) -> Extra:
    """The statements that septum's CI jobs do not run.

    Args:
        chain: What is replaced.
        made: What was made of each analysis.
    """
    published = {id(each) for _, one in made for each in one.published}
    after = [each for each in chain.after if each.step in AFTER and id(each) not in published and each.rule != MIXED]
    before: list[Found] = []
    if made[0][1].component == MKSHAPESRDF:
        wanted = [each for each in chain.units[0].before if each.step in AFTER and each.rule != MIXED]
        setting = [each for each in chain.units[0].before if each.step is Step.ENVIRONMENT]
        before = [each for each in chain.units[0].before if each in wanted or each in setting] if wanted else []
    # What set up the environment of a line goes with it, also if it stood before the submission.
    jobs = {each.statement.job for each in after}
    wanted_ids = {id(each) for each in after}
    behind = [
        each for job in chain.jobs if job.name in jobs
        for each in job.found if id(each) in wanted_ids or each.step is Step.ENVIRONMENT or _prepares(each)
    ]  # fmt: skip
    return Extra(before=tuple(before), after=tuple(behind))


def _prepares(each: Found) -> bool:
    """Whether it made the CI job ready for its script, such as an installation."""
    return each.statement.section == "before_script" and each.step in AFTER and each.rule != MIXED


def jobs_of(
    pipeline: OldPipeline, chain: Chain, extra: Extra, last: Sequence[str], rules: Mapping[str, object]
) -> dict[str, object]:
    """The CI jobs that run what septum does not.

    Args:
        pipeline: The old pipeline.
        chain: What is replaced of it.
        extra: The statements.
        last: The CI jobs of septum that have the results.
        rules: When septum's CI jobs are there.
    """
    jobs: dict[str, object] = {}
    if extra.before:
        jobs["before-septum"] = {
            "stage": ".pre",
            **_place(chain, extra.before),
            **_alone(pipeline),
            **rules,
            "script": [each.statement.text for each in extra.before],
            "artifacts": {"untracked": True, "expire_in": "1 day"},
        }
    if extra.after:
        stages = [stage for stage in stages_of(pipeline.body) if not stage.startswith(".")]
        used = [str(job.keywords.get("stage") or "test") for job in chain.jobs]
        stage = max((each for each in used if each in stages), key=stages.index, default="")
        jobs["after-septum"] = {
            **({"stage": stage} if stage else {}),
            **_place(chain, extra.after),
            **_alone(pipeline),
            **rules,
            "needs": optional(last),
            "script": [each.statement.text for each in extra.after],
            **_artifacts(chain, extra),
        }
    return jobs


def _alone(pipeline: OldPipeline) -> dict[str, object]:
    """What keeps the scripts that all CI jobs inherit from running: their lines are in the script, or have gone."""
    inherited = defaults_of(pipeline.body)
    return {section: [] for section in ("before_script", "after_script") if inherited.get(section)}


def _place(chain: Chain, found: Sequence[Found]) -> dict[str, object]:
    """Image and tags of the CI job that ran the lines before."""
    keywords = next(job.keywords for job in chain.jobs if job.name == found[-1].statement.job)
    return {key: keywords[key] for key in ("image", "tags") if key in keywords}


def _artifacts(chain: Chain, extra: Extra) -> dict[str, object]:
    """The artifacts of the CI jobs whose lines are kept, without the merged files, which septum has."""
    merged = {merge.target for merge in merges_of(chain.found, {})}
    names = {each.statement.job for each in extra.after}
    for job in chain.jobs:
        artifacts = job.keywords.get("artifacts") if job.name in names else None
        paths = artifacts.get("paths") if isinstance(artifacts, dict) else None
        left = [path for path in paths if path not in merged] if isinstance(paths, list) else []
        if isinstance(artifacts, dict) and left:
            return {"artifacts": {**artifacts, "paths": left}}
    return {}


def questions_of(extra: Extra, results: str) -> list[str]:
    """What a person has to look at in them.

    Args:
        extra: The statements.
        results: Where the results are, in words.
    """
    found = []
    if extra.before:
        found.append(
            "before-septum runs lines that septum does not know, and hands on every file that they make: see that no "
            "credential is among them, and name the files under 'artifacts: paths'"
        )
    if extra.after:
        found.append(
            f"after-septum runs lines that septum does not know: the merged files are in {results} now, and the "
            "outputs of single jobs are not there"
        )
    if any(re.search(r"\bmerge\b", each.statement.text) for each in extra.after):
        found.append(
            "if one of these is the framework's own merge, septum runs it: "
            "docs/how-to/merge-with-the-frameworks-command.md"
        )
    return found

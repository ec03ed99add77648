"""Checks a proposal before it is shown: the configuration by its model, the pipeline by the interpreter."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.adopting import reading
from septum.adopting.configs import ANALYSIS, MKSHAPESRDF
from septum.adopting.rows import MAIN
from septum.adopting.values import Proposal
from septum.errors import AdoptError, ConfigError, IncludeError, SeptumError, UsageError

if TYPE_CHECKING:
    from septum.preview.pipeline import Pipeline
    from septum.preview.shelf import Shelf
    from septum.preview.situation import Situation
    from septum.preview.source import Source

_FIX = "report it, with the old pipeline: septum adopt should not have proposed this"


def checked(proposal: Proposal, *, root: Path, library: Path | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check a proposal.

    Args:
        proposal: What is proposed.
        root: The repository.
        library: A checkout of septum, for the interpreter; None for the components of the septum that is installed.

    Returns:
        What was found in order, and what a person has to look at.

    Raises:
        AdoptError: Something is wrong with it.
    """
    done: list[str] = []
    questions: list[str] = []
    for path, text in proposal.files.items():
        if path.startswith("septum") and path.endswith(".yaml"):
            said, asked = _configuration(proposal, path, text, root)
            done.append(f"{path}: {said}")
            questions += asked
        elif path.startswith("clusters/"):
            done.append(f"{path}: {_profile(text, Path(path).stem)}")
    said, asked = _pipeline(proposal.files[MAIN], root, library)
    done += [f"{MAIN}: {said}"] if said else []
    questions += asked
    return tuple(done), tuple(questions)


def _configuration(proposal: Proposal, path: str, text: str, root: Path) -> tuple[str, list[str]]:
    from septum import yamltext
    from septum.config import Analysis
    from septum.validation import validate

    try:
        document = yamltext.load(text, path)
        data: Any = document.data
        if proposal.component == MKSHAPESRDF:
            # What the component says itself, as it does in a CI job.
            data = {"framework": {"known": MKSHAPESRDF}, **data}
        source = yamltext.Document(name=path, data=data, lines=document.lines)
        analysis = validate(Analysis, source, error=ConfigError)
    except ConfigError as error:
        raise AdoptError(
            f"the proposed {path} is not right: {error.what}", evidence=error.evidence, fix=_FIX
        ) from error
    if proposal.component != ANALYSIS or analysis.prepare:
        return "its keys and values are right", []
    return _planned(analysis, path, root)


def _planned(analysis: Any, path: str, root: Path) -> tuple[str, list[str]]:
    """Whether there is a plan already: the files that it names are in the repository."""
    from septum.planning import make_plan

    try:
        plan = make_plan(analysis, root)
    except SeptumError as error:
        return "its keys and values are right", [f"there is no plan by {path} yet: {error.what}"]
    return f"its keys and values are right, and it gives {len(plan.parts)} parts", []


def _profile(text: str, name: str) -> str:
    from septum.clusters.catalog import load_profile

    with tempfile.TemporaryDirectory(prefix="septum-adopt-") as folder:
        path = Path(folder) / "clusters" / f"{name}.yaml"
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        try:
            missing = load_profile(name, environ={}, root=Path(folder), complete=False).missing
        except SeptumError as error:
            raise AdoptError(
                f"the proposed profile is not right: {error.what}", evidence=error.evidence, fix=_FIX
            ) from error
    return f"still needs {', '.join(missing)}" if missing else "a complete profile"


def _pipeline(text: str, root: Path, library: Path | None) -> tuple[str, list[str]]:
    """What GitLab would make of the pipeline, and what a person has to look at."""
    from septum.preview.shelf import Shelf
    from septum.preview.situation import PROJECT, SERVER

    if library is not None:
        return _previewed(text, Shelf(folder=root, project=PROJECT, server=SERVER, library=library))
    # Those of the septum that is installed, as for a rehearsal.
    from septum.rehearsing.shelf import RehearsalShelf, lay_library

    with tempfile.TemporaryDirectory(prefix="septum-adopt-") as folder:
        try:
            laid = lay_library(Path(folder) / "library")
        except UsageError as error:
            return "", [f"the pipeline was not checked: {error.what}; name a checkout by --library"]
        return _previewed(text, RehearsalShelf(folder=root, project=PROJECT, server=SERVER, library=laid))


def _previewed(text: str, shelf: Shelf) -> tuple[str, list[str]]:
    from septum.preview.request import preview
    from septum.preview.situation import Situation
    from septum.preview.source import Source

    source = Source(name=MAIN, text=text)
    try:
        # On a branch without credentials, septum's CI jobs are not there, and nothing may need them.
        preview(source, {}, shelf, Situation(ref="topic", protected=False))
        words, pipeline = _with_analysis(source, shelf)
    except IncludeError as error:
        shorter = _without_foreign(text) if "not on this machine" in error.what else text
        if shorter == text:
            raise _unfit(error) from error
        said, asked = _previewed(shorter, shelf)
        return said, [*asked, f"the pipeline was checked without what is included from elsewhere: {error.what}"]
    except SeptumError as error:
        raise _unfit(error) from error
    if pipeline.refusal:
        return f"no pipeline for {words}: {pipeline.refusal}", []
    return f"{words} gives {', '.join(job.name for job in pipeline.jobs)}", list(pipeline.warnings)


def _with_analysis(source: Source, shelf: Shelf) -> tuple[str, Pipeline]:
    """The first pipeline in which the analysis runs, as the rules of the old one say; that of a push if none is."""
    from septum.preview.request import preview

    first: tuple[str, Pipeline] | None = None
    for words, situation in _situations():
        pipeline = preview(source, {}, shelf, situation)
        first = first or (words, pipeline)
        if any(job.name.endswith("-submit") for job in pipeline.jobs):
            return words, pipeline
    assert first is not None  # noqa: S101 - there are situations
    return first


def _situations() -> list[tuple[str, Situation]]:
    """What may start the analysis, the most frequent first."""
    from septum.preview.situation import Situation

    return [
        ("a push to main", Situation()),
        ("a push to master", Situation(ref="master", default_branch="master")),
        ("a tag", Situation(ref="v1.0", tag=True)),
        ("a schedule", Situation(source="schedule")),
        ("a pipeline started by hand", Situation(source="web")),
        ("a merge request", Situation(source="merge_request_event", ref="topic")),
    ]


def _without_foreign(text: str) -> str:
    """The same pipeline with the components and the files of the repository alone."""
    from septum.adopting.dumping import dumped

    body = reading.read(text, MAIN)
    listed = body.get("include")
    entries = listed if isinstance(listed, list) else []
    here = [entry for entry in entries if isinstance(entry, dict) and {"component", "local"} & set(entry)]
    if len(here) == len(entries):
        return text
    # The component's own lines are the first; what follows `include` stays as it is.
    first, last = reading.spans(text, MAIN)["include"]
    lines = text.splitlines()
    return "\n".join([*lines[: first - 1], dumped({"include": here}), *lines[last:]]) + "\n"


def _unfit(error: SeptumError) -> AdoptError:
    return AdoptError(
        "GitLab would not take the proposed pipeline", evidence=f"{error.what}\n{error.evidence}".strip(),
        fix="correct the old pipeline if it has the same mistake: septum component preview; else report it",
    )  # fmt: skip

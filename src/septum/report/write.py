"""Writes all reports into the result folder, each whole or not at all. What fails here never costs the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from septum.compare.verdicts import Comparison
from septum.manifest import Manifest
from septum.report import junit, markdown, metrics, page
from septum.report.annotations import NAME as ANNOTATIONS
from septum.report.annotations import text as annotations_text
from septum.report.links import artifact_link
from septum.report.material import Material, gather
from septum.report.text import visible
from septum.state import write_whole

FILES = (page.NAME, junit.NAME, metrics.NAME, ANNOTATIONS, markdown.NAME)
"""What `write_all` may write."""


def write_all(
    folder: Path,
    manifest: Manifest,
    comparison: Comparison | None = None,
    *,
    references: Mapping[str, Path] | None = None,
    environ: Mapping[str, str],
    warn: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write page, JUnit, metrics, annotations and summary.

    Args:
        folder: The result folder with the results in it.
        manifest: The run.
        comparison: With a reference, if there was one.
        references: The reference's file of each result, by the result's name, for the ratio panels.
        environ: The environment of the CI job, for the links.
        warn: Takes a line for each report that could not be made.

    Returns:
        The files that were written; one that could not be made is missing, and so is an older one of its name.
    """
    material = _gathered(folder, manifest, comparison, references, warn)
    link = artifact_link(environ, folder.absolute(), page.NAME)
    makers: dict[str, Callable[[], str]] = {
        markdown.NAME: lambda: markdown.text(material, report=link),
        junit.NAME: lambda: junit.xml(material),
        metrics.NAME: lambda: metrics.text(material),
        ANNOTATIONS: lambda: annotations_text(material, folder=folder.absolute(), environ=environ),
        page.NAME: lambda: page.html(material),
    }
    return [folder / name for name, make in makers.items() if _written(folder / name, make, warn)]


def _gathered(
    folder: Path,
    manifest: Manifest,
    comparison: Comparison | None,
    references: Mapping[str, Path] | None,
    warn: Callable[[str], None],
) -> Material:
    try:
        return gather(folder, manifest, comparison, references=references)
    except Exception as error:  # noqa: BLE001 - without histograms there is still all that the manifest says
        warn(f"report: the histograms are left out: {_reason(error)}")
        return Material(manifest=manifest, comparison=comparison)


def _written(path: Path, make: Callable[[], str], warn: Callable[[str], None]) -> bool:
    try:
        write_whole(path, make().encode("utf-8", "backslashreplace").decode("utf-8"))
    except Exception as error:  # noqa: BLE001 - one report must not cost another, nor the result
        warn(f"report: {path.name} was not written: {_reason(error)}")
        _remove(path, warn)
        return False
    return True


def _remove(path: Path, warn: Callable[[str], None]) -> None:
    """Take an older report away, so that nobody reads it as one of this run."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        warn(f"report: {path.name} is of an earlier run, and cannot be removed: {_reason(error)}")


def _reason(error: Exception) -> str:
    return visible(f"{type(error).__name__}: {error}", 300)

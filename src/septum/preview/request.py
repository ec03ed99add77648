"""A preview from end to end: the main file, or one component alone, to a pipeline. It reads files through the shelf."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from septum.errors import IncludeError
from septum.preview.assemble import assemble
from septum.preview.documents import read_documents
from septum.preview.evaluate import evaluate
from septum.preview.features import Version
from septum.preview.include import gather
from septum.preview.pipeline import Pipeline
from septum.preview.shelf import LIBRARY, Shelf, files_of, paths_of, read_text
from septum.preview.situation import SHA, Situation
from septum.preview.source import Source

MAIN = ".gitlab-ci.yml"


def preview(main: Source, inputs: Mapping[str, object], on: Shelf, situation: Situation) -> Pipeline:
    """What GitLab makes of a main file.

    Args:
        main: The file.
        inputs: The inputs of the pipeline, as they are typed into GitLab's form.
        on: Where included files are.
        situation: What starts the pipeline.

    Raises:
        PreviewError: GitLab would report an error.
    """
    gathered = gather(main, inputs or None, on, situation)
    body = assemble(gathered.body)
    return evaluate(
        body, situation, files=lambda: files_of(on.folder), inclusions=gathered.inclusions, warnings=gathered.warnings
    )


def main_file(path: Path) -> tuple[Source, Path]:
    """The main file of a repository, and the repository's folder.

    Args:
        path: The repository, or a file in it.

    Raises:
        IncludeError: There is no such file.
    """
    path = path.resolve()
    file = path / MAIN if path.is_dir() else path
    text = read_text(file, file.name)
    if text is None:
        raise IncludeError(
            f"{file} does not exist", fix=f"name a repository with a {MAIN}, or a file, or try --component NAME"
        )
    if not text.strip():
        raise IncludeError(f"{file}: Please provide content of {MAIN}", evidence="the file is empty")
    above = [folder for folder in file.parents if (folder / ".git").exists()]
    return Source(name=file.name, text=text), path if path.is_dir() else above[0] if above else file.parent


def alone(name: str, given: Mapping[str, str], on: Shelf, situation: Situation) -> Source:
    """A main file that includes one component, and nothing else.

    Args:
        name: The component: of the repository, or of septum.
        given: Its inputs, as text.
        on: Where it is.
        situation: What starts the pipeline.

    Raises:
        PreviewError: There is no such component.
    """
    own = any((on.folder / path).is_file() for path in paths_of(name))
    project = on.project if own else f"{LIBRARY}/{LIBRARY}"
    entry: dict[str, object] = {"component": f"{on.server}/{project}/{name}@{SHA}"}
    component, _ = on.component(str(entry["component"]))
    if given:
        entry["inputs"] = _typed(given, component.text, situation.gitlab)
    return Source(name=f"the component {name} alone", text=json.dumps({"include": [entry]}))


def _typed(given: Mapping[str, str], text: str, gitlab: Version) -> dict[str, object]:
    """Inputs as text become what the header asks for, as they do on GitLab's form.

    Args:
        given: What was typed.
        text: The file with the header.
        gitlab: The version of the server.

    Returns:
        Texts for inputs of type string and unknown ones; what their JSON says for the others, if it says anything.

    Raises:
        PreviewError: The file cannot be read.
    """
    header = read_documents(text, gitlab).header or {}
    spec = header.get("spec")
    declared = spec.get("inputs") if isinstance(spec, dict) else None
    found: dict[str, object] = {}
    for name, value in given.items():
        entry = declared.get(name) if isinstance(declared, dict) else None
        kind = entry.get("type", "string") if isinstance(entry, dict) else "string"
        found[name] = value if kind == "string" else _parsed(value)
    return found


def _parsed(value: str) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        # It is refused where inputs are, and in GitLab's words.
        return value

"""Writes the crate of a result: `ro-crate-metadata.json`, which other people's tools read. Whole, or not at all.

It conforms to the profile Workflow Run Crate 0.5, the newest that has a published checker.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum import manifest as manifests
from septum.errors import StateError
from septum.jsontext import text_of
from septum.manifest import Manifest
from septum.plan import Plan
from septum.plan import to_json as plan_to_json
from septum.provenance.actions import KEPT, entities, root_properties
from septum.provenance.entities import PLAN, Entity, FileFacts, Subject, published, ref
from septum.provenance.places import locate
from septum.state import write_whole
from septum.verify import measure

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

NAME = "ro-crate-metadata.json"
_VERSION = "1.1"
_WORKFLOW = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = (
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    (_WORKFLOW, "Workflow RO-Crate", "1.0"),
)
_OWN_TERMS = ("ContainerImage", "DockerImage", "SIFImage", "containerImage", "registry", "tag", "sha256")
"""Words of the profile that RO-Crate's own context lacks. Written out, so that a reader needs one context alone."""
_TERMS = {term: f"https://w3id.org/ro/terms/workflow-run#{term}" for term in _OWN_TERMS}
_NEVER_SECRET = frozenset({"sha256", "contentSize"})
_LONGEST = 2000
_PLACE = re.compile(r"(?<![\w:/.~+%\]-])/(?!cvmfs/)(?:[^\s/'\"<>|,;()]+/)*([^\s/'\"<>|,;()]+)")
"""An absolute path on some machine; what follows `https:/` or stands within a word is none."""


def write_crate(folder: Path, manifest: Manifest, plan: Plan, *, files: Mapping[str, str] | None = None) -> Path:
    """Describe a result folder as a crate: writes `plan.json` and `ro-crate-metadata.json` into it.

    Args:
        folder: The result folder; the manifest and all files that it names stand in it already.
        manifest: The manifest.
        plan: The plan of the run.
        files: Other files of the folder that belong to the run, by their path in it, each with a sentence on what it
            is: summary, report, logs.

    Returns:
        The path of the crate.

    Raises:
        StateError: A file is not there, or the manifest in the folder is another one.
    """
    path, plan_text = folder / NAME, plan_to_json(plan)
    subject = Subject(
        manifest=manifest,
        plan=plan,
        files={
            PLAN: _facts_of_text("all parts with their commands, inputs and fingerprints, as planned", plan_text),
            **_facts(folder, manifest, files or {}),
        },
        kept=frozenset(_kept(folder, manifest)),
    )
    text = text_of(_generate(subject))
    had_plan = (folder / PLAN).exists()
    write_whole(folder / PLAN, plan_text)
    try:
        write_whole(path, text)
    except BaseException:
        if not had_plan:
            (folder / PLAN).unlink(missing_ok=True)
        raise
    return path


def _facts_of_text(says: str, text: str) -> FileFacts:
    raw = text.encode("utf-8")
    return FileFacts(says=says, size_b=len(raw), sha256=hashlib.sha256(raw).hexdigest())


def _facts(folder: Path, manifest: Manifest, files: Mapping[str, str]) -> dict[str, FileFacts]:
    """The manifest and the other files, measured.

    Raises:
        StateError: One is not there, or the manifest is another one.
    """
    expected = _facts_of_text("all parts, their attempts and outputs, and all results", manifests.to_json(manifest))
    wanted = {manifests.NAME: expected.says, **{path: says for path, says in files.items() if path not in {PLAN, NAME}}}
    found = {}
    for path, says in wanted.items():
        size_b, sha256 = measure(_there(folder, path))
        found[path] = FileFacts(says=says, size_b=size_b, sha256=sha256)
    if found[manifests.NAME] != expected:
        raise StateError(f"crate: {manifests.NAME} in {folder} is not that of this run", fix="write it anew")
    for result in manifest.results:
        if not published(result.url):
            _there(folder, result.file)
    return found


def _there(folder: Path, path: str) -> Path:
    try:
        return locate(folder, path)
    except (FileNotFoundError, ValueError) as error:
        raise StateError(
            f"crate: {path!r} is no file of {folder}", evidence=str(error), fix="write all files before the crate"
        ) from error


def _kept(folder: Path, manifest: Manifest) -> Iterator[str]:
    """The outputs of parts that were kept."""
    for part in manifest.parts:
        for output in part.outputs:
            path = f"{KEPT}/{part.id}/{output.path}"
            with contextlib.suppress(FileNotFoundError, ValueError):
                locate(folder, path)
                yield path


def _generate(subject: Subject) -> dict[str, Any]:
    """The text of the crate as data."""
    from rocrate.model import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=_VERSION)
    crate.metadata["conformsTo"] = [ref(f"https://w3id.org/ro/crate/{_VERSION}"), ref(_WORKFLOW)]
    crate.metadata.extra_terms.update(_TERMS)
    # The library's own value is the time of today.
    del crate.root_dataset["datePublished"]
    properties = {**root_properties(subject), "conformsTo": [ref(url) for url, _, _ in _PROFILES]}
    for name, value in _filled(properties).items():
        crate.root_dataset[name] = value
    for url, name, version in _PROFILES:
        crate.add(ContextEntity(crate, url, {"@type": "CreativeWork", "name": name, "version": version}))
    for entity in entities(subject):
        _add(crate, entity)
    generated: dict[str, Any] = _cleaned(crate.metadata.generate())
    return generated


def _add(crate: ROCrate, entity: Entity) -> None:
    from rocrate.model import ContextEntity

    kind = entity.type if isinstance(entity.type, str) else list(entity.type)
    properties = {"@type": kind, **_filled(entity.properties)}
    if entity.path:
        crate.add_file(dest_path=entity.path, properties=properties)
    elif entity.url:
        crate.add_file(entity.url, properties=properties)
    else:
        crate.add(ContextEntity(crate, entity.id, properties))


def _filled(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not known."""
    return {name: value for name, value in properties.items() if value not in (None, "", [])}


def _cleaned(data: Any) -> Any:
    """The same data with every text fit to be published: no secret, no place on a machine, no control character."""
    if isinstance(data, dict):
        # A short secret may stand in a checksum by chance.
        return {name: value if name in _NEVER_SECRET else _cleaned(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_cleaned(item) for item in data]
    return _clean(data) if isinstance(data, str) else data


def _clean(text: str) -> str:
    # The module is loaded by the first secret. As long as there is none, there is nothing to look for.
    redact = sys.modules.get("septum.credentials.redact")
    text = str(redact.KNOWN.text(text)) if redact is not None else text
    text = _PLACE.sub(r"…/\1", re.sub(r"file:/+", "/", text))
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_LONGEST]

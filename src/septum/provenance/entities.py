"""What a crate says of a run, as values made from manifest and plan: plan, software, people, files. Pure.

The words are those of schema.org, as RO-Crate and the profile Workflow Run Crate use them. Nothing is random and
nothing is of today: the same manifest gives the same entities.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from septum.manifest import COMMAND, Manifest, ResultFile
from septum.plan import InputFile, Plan
from septum.provenance.origin import plain_url
from septum.units import count

PLAN = "plan.json"
"""The plan as the crate's workflow, beside the manifest."""
MAX_LISTED = 1000
"""Up to so many parts, and so many inputs, are entities of their own; more of them stand in manifest and plan alone."""
SEPTUM_URL = "https://gitlab.cern.ch/cms-analysis/general/septum"
_BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_FORMATS = MappingProxyType(
    {
        ".root": "application/x-root",
        ".json": "application/json",
        ".md": "text/markdown",
        ".html": "text/html",
        ".xml": "application/xml",
        ".yaml": "application/yaml",
        ".txt": "text/plain",
        ".csv": "text/csv",
    }
)
_STORAGE = frozenset({"http", "https", "root", "roots", "xroot", "dav", "davs"})
_HOMES = MappingProxyType(
    {
        "septum": SEPTUM_URL,
        "python": "https://www.python.org",
        "numpy": "https://numpy.org",
        "uproot": "https://github.com/scikit-hep/uproot5",
        "htcondor": "https://htcondor.org",
        "reana": "https://www.reana.io",
        "hadd": "https://root.cern",
        "ROOT": "https://root.cern",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One thing that the crate speaks of; `path` is that of a file in the folder, `url` that of one elsewhere."""

    id: str
    type: str | tuple[str, ...]
    properties: Mapping[str, Any]
    path: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """A file of the result folder: what it is, in a sentence, and its measures."""

    says: str
    size_b: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a crate is made from.

    Attributes:
        files: The manifest, the plan and other files of the result folder, by path.
        kept: The outputs of parts that stand in the result folder, by path.
    """

    manifest: Manifest
    plan: Plan
    files: Mapping[str, FileFacts]
    kept: frozenset[str] = field(default_factory=frozenset)

    @property
    def run(self) -> str:
        """The identifier of the run."""
        return f"#run/{quote(self.manifest.run, safe='')}"

    @property
    def source(self) -> str:
        """Where the repository stands, at the commit if it is known."""
        home = plain_url(self.manifest.origin.get("project-url", ""))
        commit = self.manifest.origin.get("commit", "")
        return f"{home}/-/tree/{quote(commit, safe='')}" if home and commit else ""


def ref(identifier: str) -> dict[str, str]:
    """A reference to an entity."""
    return {"@id": identifier}


def show_time(seconds: float | None) -> str | None:
    """A time in ISO 8601, to the second, in UTC; None for None and for what is no time."""
    try:
        return None if seconds is None else datetime.fromtimestamp(int(seconds), timezone.utc).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


# ── the plan and what it needs ──────────────────────────────────────────────────────────────────────────────────


def workflow(subject: Subject) -> Iterator[Entity]:
    """The plan, its language, and the repository that it was made from."""
    manifest, facts = subject.manifest, subject.files[PLAN]
    home = plain_url(manifest.origin.get("project-url", ""))
    yield Entity(
        id=PLAN,
        path=PLAN,
        type=("File", "SoftwareSourceCode", "ComputationalWorkflow"),
        properties={
            "name": f"plan of {manifest.name}",
            **measures(PLAN, facts),
            "programmingLanguage": ref("#language/septum"),
            "conformsTo": ref(_BIOSCHEMAS),
            "url": home or SEPTUM_URL,
            "version": manifest.origin.get("commit") or manifest.plan,
            "identifier": f"sha256:{manifest.plan}",
            "codeRepository": home,
            "isBasedOn": ref(subject.source) if subject.source else None,
            "softwareRequirements": [ref(name) for name in _software_ids(subject)],
        },
    )
    yield Entity(
        id="#language/septum",
        type="ComputerLanguage",
        properties={"name": "septum", "url": SEPTUM_URL, "version": manifest.septum},
    )
    yield Entity(
        id=_BIOSCHEMAS, type="CreativeWork", properties={"name": "ComputationalWorkflow", "version": "1.0-RELEASE"}
    )
    if subject.source:
        origin = manifest.origin
        words = [f"{name} {origin[name]}" for name in ("ref", "tag", "merge-request") if origin.get(name)]
        yield Entity(
            id=subject.source,
            type="SoftwareSourceCode",
            properties={
                "name": f"repository of {manifest.name}",
                "description": ", ".join(words),
                "codeRepository": home,
                "url": subject.source,
                "version": origin["commit"],
            },
        )


def _software_ids(subject: Subject) -> list[str]:
    return [entity.id for entity in software(subject)]


def software(subject: Subject) -> Iterator[Entity]:
    """What took part, each with its version: programs, engines of the merge, the component."""
    manifest = subject.manifest
    versions = {"septum": manifest.septum, **manifest.software}
    system = versions.pop("platform", None)
    for name, version in sorted(versions.items()):
        more = {"operatingSystem": system, "description": _own_image(manifest)} if name == "septum" else {}
        yield _application(name, version, **more)
    for engine in dict.fromkeys(result.engine.removeprefix(COMMAND) for result in manifest.results):
        name, _, rest = engine.partition(" ")
        found = re.search(r"\d+(?:\.\w+)+", rest.partition("(")[0])
        if name and name not in versions:
            versions[name] = ""  # once, whether it is a command's or our own
            yield _application(name, found[0] if found else "")
    if component := manifest.origin.get("component"):
        name, _, version = component.partition("@")
        yield Entity(
            id=f"{SEPTUM_URL}#component-{quote(name, safe='')}",
            type="SoftwareSourceCode",
            properties={"name": f"GitLab CI component {name}", "version": version, "url": SEPTUM_URL},
        )


def _own_image(manifest: Manifest) -> str:
    image = manifest.origin.get("septum-image")
    return f"in the image {image}" if image else ""


def _application(name: str, version: str, **more: str | None) -> Entity:
    home = _HOMES.get(name)
    return Entity(
        id=f"{home}#{quote(name, safe='')}" if home else f"#software/{quote(name, safe='')}",
        type="SoftwareApplication",
        properties={"name": name, "softwareVersion": version, "url": home, **more},
    )


def people(subject: Subject) -> Iterator[Entity]:
    """Who started the run, and what is known of the license."""
    yield Entity(
        id="#license",
        type="CreativeWork",
        properties={
            "name": "not stated",
            "description": "Nobody has stated a license for this result. Ask its authors before you pass it on.",
        },
    )
    if person := agent(subject.manifest):
        yield Entity(id=person, type="Person", properties={"name": subject.manifest.origin["user"]})


def agent(manifest: Manifest) -> str:
    """The identifier of who started the run; empty when nobody knows."""
    user = manifest.origin.get("user", "")
    instance = plain_url(manifest.origin.get("instance", ""))
    return f"{instance or '#user'}/{quote(user, safe='')}" if user else ""


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def measures(path: str, facts: FileFacts) -> dict[str, Any]:
    """What is said of every file."""
    return {
        "description": facts.says,
        "encodingFormat": _FORMATS.get(PurePosixPath(path).suffix.lower(), "application/octet-stream"),
        "contentSize": str(facts.size_b),
        "sha256": facts.sha256,
    }


def file_id(path: str, url: str) -> str:
    """The identifier of a file: its place in the folder, or elsewhere."""
    return published(url) or quote(path)


def published(url: str) -> str:
    """The address of a published file, without anything secret; empty when it was not published."""
    return plain_url(url, schemes=_STORAGE)


def file(subject: Subject, path: str, facts: FileFacts, *, url: str = "", **more: Any) -> Entity:
    """A file of the result folder, or one that was published elsewhere."""
    web = published(url)
    dated = {"sdDatePublished": show_time(subject.manifest.ended_s)} if web else {}
    properties = {"name": PurePosixPath(path).name, **measures(path, facts), **dated, **more}
    return Entity(id=file_id(path, url), type="File", path="" if web else path, url=web, properties=properties)


def files(subject: Subject) -> Iterator[Entity]:
    """The files of the result folder, and the results."""
    for path, facts in subject.files.items():
        if path != PLAN:
            yield file(subject, path, facts, about=ref(subject.run))
    for result in subject.manifest.results:
        facts = FileFacts(says=_says(result), size_b=result.size_b, sha256=result.sha256)
        yield file(subject, result.file, facts, url=result.url, identifier=result.stamp)


def _says(result: ResultFile) -> str:
    missing = f", {len(result.missing)} of the plan missing" if result.missing else ""
    engine = result.engine.partition(" (")[0]
    own = f"; {result.own.says()}" if result.own is not None else ""
    held = count(len(result.objects), "object")
    return f"{count(len(result.parts), 'part')}{missing}, {held}, merged by {engine}{own}"


def inputs(subject: Subject) -> Iterator[Entity]:
    """The files that went to the workers. They are in the repository, not here."""
    for item in input_files(subject.plan)[:MAX_LISTED]:
        yield Entity(
            id=f"#input/{quote(item.path)}",
            type="CreativeWork",
            properties={"name": item.path, "contentSize": str(item.size_b), "sha256": item.sha256},
        )


def input_files(plan: Plan) -> list[InputFile]:
    """What travels to the workers, each file once, in the order of the plan."""
    return list(dict.fromkeys([*plan.inputs, *(item for part in plan.parts for item in part.inputs)]))

"""What a crate says of the run itself and of each part: actions, what they ran in, and how they ended. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from septum import manifest as manifests
from septum.manifest import Manifest, PartFacts, PartOutput
from septum.plan import Part
from septum.provenance import entities as things
from septum.provenance.entities import MAX_LISTED, PLAN, SEPTUM_URL, Entity, FileFacts, Subject, ref, show_time
from septum.provenance.origin import plain_url
from septum.states import PartState
from septum.units import count

_WFRUN = "https://w3id.org/ro/terms/workflow-run#"
KEPT = "parts"
"""The folder of outputs that are not merged, below the result folder."""
_IMAGE = re.compile(r"([^@]+?)(?::([^:/@]+))?(?:@sha256:([0-9a-f]{64}))?")


def entities(subject: Subject) -> Iterator[Entity]:
    """All entities of the crate but its root."""
    yield from things.workflow(subject)
    yield from things.software(subject)
    yield from things.people(subject)
    yield from things.files(subject)
    yield from things.inputs(subject)
    yield from _settings(subject)
    yield from _run(subject)
    yield from _parts(subject)


def root_properties(subject: Subject) -> dict[str, Any]:
    """The properties of the crate's root."""
    manifest = subject.manifest
    merged = sum(part.state == PartState.MERGED.value for part in manifest.parts)
    kind = "The whole result" if manifest.complete else "A partial result" if manifest.results else "No result"
    actions = [subject.run, *(_part_action(part.id) for part in _listed(subject))]
    times = [manifest.ended_s, manifest.began_s, *(part.ended_s for part in manifest.parts)]
    return {
        "name": manifest.name,
        "description": f"{kind} of {manifest.name}: {merged} of {manifest.whole_count} parts are merged; the jobs ran "
        f"on the cluster {manifest.cluster}.",
        "datePublished": next((text for text in map(show_time, times) if text), None),
        "license": ref("#license"),
        "mainEntity": ref(PLAN),
        "mentions": [ref(action) for action in actions],
    }


# ── the run ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _settings(subject: Subject) -> Iterator[Entity]:
    manifest = subject.manifest
    asked = manifest.asked
    units = {"memory": "byte", "disk": "byte", "time": "s"}
    numbers = {"cpus": asked.cpus, "memory": asked.memory_b, "disk": asked.disk_b, "time": asked.time_s}
    values = {name: str(number) for name, number in numbers.items() if number is not None}
    values |= {f"policy {name}": value for name, value in sorted(manifest.policies.items())}
    for name, value in values.items():
        yield Entity(
            id=f"#setting/{quote(name)}",
            type="PropertyValue",
            properties={"name": name, "value": value, "unitText": units.get(name)},
        )


def _run(subject: Subject) -> Iterator[Entity]:
    manifest, origin = subject.manifest, subject.manifest.origin
    agent, pipeline = things.agent(manifest), plain_url(origin.get("pipeline-url", ""))
    inputs = [entity.id for entity in (*things.inputs(subject), *_settings(subject))]
    results = [things.file_id(result.file, result.url) for result in manifest.results]
    yield Entity(
        id=subject.run,
        type="CreateAction",
        properties={
            "name": f"{manifest.name} on {manifest.cluster}",
            "description": _story(subject),
            "startTime": show_time(manifest.began_s),
            "endTime": show_time(manifest.ended_s),
            "agent": ref(agent) if agent else None,
            "instrument": ref(PLAN),
            "object": [ref(item) for item in inputs],
            "result": [ref(item) for item in (*results, manifests.NAME)],
            **_status(manifest),
            "containerImage": ref("#image") if manifest.image else None,
            "location": ref("#cluster"),
            "subjectOf": ref(pipeline) if pipeline else None,
        },
    )
    yield Entity(
        id="#cluster",
        type="Place",
        properties={
            "name": manifest.cluster,
            "description": _place_of_jobs(manifest),
        },
    )
    if pipeline:
        yield Entity(id=pipeline, type="WebPage", properties={"name": f"pipeline {origin.get('pipeline', '')}".strip()})
    if manifest.image:
        yield _image(manifest.image, manifest.image_digest)


def _place_of_jobs(manifest: Manifest) -> str:
    if not manifest.schedd:
        return ""
    by_reana = "reana" in manifest.software or manifest.pages
    return (
        f"steps of workflows on the REANA server {manifest.schedd}"
        if by_reana
        else f"jobs by the schedd {manifest.schedd}"
    )


def _story(subject: Subject) -> str:
    manifest, plan = subject.manifest, subject.plan
    attempts = sum(part.attempts for part in manifest.parts)
    words = [f"{count(len(manifest.parts), 'part')}, {count(attempts, 'attempt')}."]
    words.append(f"Plan {manifest.plan}, work {manifest.work}.")
    if len(manifest.parts) > MAX_LISTED:
        words.append(f"The table of the parts is in {manifests.NAME}.")
    if len(things.input_files(plan)) > MAX_LISTED:
        words.append(f"All {len(things.input_files(plan))} inputs stand in {PLAN}.")
    if manifest.origin.get("dirty") == "yes":
        words.append("Files of the repository differed from the commit.")
    return " ".join(words)


def _status(manifest: Manifest) -> dict[str, str]:
    """A partial result is a failure with results: nobody must take it for a whole one."""
    if manifest.error is None:
        return {"actionStatus": "http://schema.org/CompletedActionStatus"}
    error = manifest.error
    return {"actionStatus": "http://schema.org/FailedActionStatus", "error": f"{error.what} [{error.code}]"}


def _image(text: str, digest: str) -> Entity:
    whole = text.removeprefix("docker://")
    match = _IMAGE.fullmatch(whole)
    name, tag, sha256 = match.groups() if match else (whole, None, None)
    first, _, rest = name.removeprefix("/cvmfs/").partition("/")
    registry, name = (first, rest) if rest and ("." in first or ":" in first) else ("docker.io", name)
    kind = "SIFImage" if name.endswith(".sif") else "DockerImage"
    return Entity(
        id="#image",
        type="ContainerImage",
        properties={
            "additionalType": ref(_WFRUN + kind),
            "registry": registry,
            "name": name,
            "tag": tag,
            "sha256": sha256 or digest.removeprefix("sha256:") or None,
        },
    )


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────


def _listed(subject: Subject) -> Sequence[PartFacts]:
    """The parts that are entities: all of them, or none."""
    parts = subject.manifest.parts
    return parts if len(parts) <= MAX_LISTED else ()


def _part_action(part: str) -> str:
    return f"#part/{quote(part, safe='')}"


def _command(subject: Subject) -> str:
    return f"{subject.source}#command"


def _parts(subject: Subject) -> Iterator[Entity]:
    if not _listed(subject):
        return
    origin = subject.manifest.origin
    command = subject.plan.command
    yield Entity(
        id=_command(subject),
        type="SoftwareApplication",
        properties={
            "name": "command of a part",
            "description": command if isinstance(command, str) else " ".join(command),
            "softwareVersion": origin.get("commit") or subject.manifest.plan,
            "url": subject.source or SEPTUM_URL,
        },
    )
    for facts in _listed(subject):
        yield from _part(subject, facts, subject.plan.by_id.get(facts.id))


def _part(subject: Subject, facts: PartFacts, part: Part | None) -> Iterator[Entity]:
    agent = things.agent(subject.manifest)
    outputs = [_output(subject, facts, output) for output in facts.outputs]
    done = facts.state in {PartState.VERIFIED.value, PartState.MERGED.value}
    status = "CompletedActionStatus" if done else "FailedActionStatus"
    yield Entity(
        id=_part_action(facts.id),
        # An action that gave nothing creates nothing.
        type="CreateAction" if outputs else "ActivateAction",
        properties={
            "name": part.describe() if part else f"part {facts.id}",
            "description": f"{facts.state} after {count(facts.attempts, 'attempt')}; fingerprint {facts.fingerprint}",
            "startTime": show_time(facts.started_s),
            "endTime": show_time(facts.ended_s),
            "agent": ref(agent) if agent else None,
            "instrument": ref(_command(subject)),
            "result": [ref(output.id) for output in outputs],
            "actionStatus": f"http://schema.org/{status}",
            "error": None if done else f"{facts.message or facts.state} [{facts.cause or 'no code'}]",
            "containerImage": ref("#image") if subject.manifest.image else None,
        },
    )
    yield from outputs


def _output(subject: Subject, part: PartFacts, output: PartOutput) -> Entity:
    path = f"{KEPT}/{part.id}/{output.path}"
    facts = FileFacts(says=f"output of part {part.id}", size_b=output.size_b, sha256=output.sha256)
    if path in subject.kept or things.published(output.url):
        return things.file(subject, path, facts, url=output.url, identifier=output.content)
    # It was merged and is gone, so there is no file to point at.
    return Entity(
        id=f"{_part_action(part.id)}/{quote(output.path)}",
        type="CreativeWork",
        properties={"name": output.path, **things.measures(output.path, facts), "identifier": output.content},
    )

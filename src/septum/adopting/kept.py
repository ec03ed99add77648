"""What stays of the old `.gitlab-ci.yml`: the CI jobs that septum does not replace, as they are written. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from septum.adopting import reading
from septum.adopting.dumping import dumped, plain
from septum.adopting.jobs import OldPipeline
from septum.errors import AdoptError, PreviewError
from septum.preview.assemble import RESERVED, assemble

_DIVIDER = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_ALWAYS = frozenset({"stages", "workflow"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The rest of the old pipeline.

    Attributes:
        header: The text of a header with inputs; empty if there is none.
        includes: What it includes further.
        text: Its keywords and CI jobs.
        names: The CI jobs that stay.
        questions: What a person has to look at.
    """

    header: str
    includes: tuple[object, ...]
    text: str
    names: tuple[str, ...]
    questions: tuple[str, ...]


def kept_of(pipeline: OldPipeline, replaced: Collection[str], last: Sequence[str], results: str) -> Kept:
    """Cut the replaced CI jobs out.

    Args:
        pipeline: The old pipeline.
        replaced: The names of CI jobs that go.
        last: The CI jobs of septum that have the results.
        results: Where these are, in words.
    """
    names = [job.name for job in pipeline.jobs if job.name not in replaced]
    include = pipeline.raw.get("include")
    entries = include if isinstance(include, list) else [] if include is None else [include]
    foreign = any(pipeline.places[name].file != pipeline.source for name in replaced if name in pipeline.places)
    questions: list[str] = []
    changed = {name: _needs_changed(pipeline.body[name], replaced, last) for name in names}
    text = (
        "" if foreign else _verbatim(pipeline, replaced, names, {name for name in names if changed[name] is not None})
    )
    text += "".join("\n" + dumped({name: body}) for name, body in changed.items() if body is not None and not foreign)
    if foreign or not _same(pipeline, text, names, changed, entries):
        entries = [entry for entry in entries if not _is_local(entry)]
        text = _resolved(pipeline, names, changed)
        if names:
            questions.append(
                "the CI jobs that stay used pieces of those that go (anchors, extends, included files): they are "
                "written out"
            )
    for name, body in changed.items():
        if body is not None:
            questions.append(
                f"CI job {name} needed what goes: it now has {', '.join(last)} before it, whose files are in {results}"
            )
    return Kept(
        header=_header(pipeline.text),
        includes=tuple(entries),
        text=text,
        names=tuple(names),
        questions=tuple(questions),
    )


def _is_local(entry: object) -> bool:
    return "local" in entry if isinstance(entry, dict) else isinstance(entry, str) and "://" not in entry


def _header(text: str) -> str:
    """A header with `spec`, up to the line that ends it."""
    dividers = list(_DIVIDER.finditer(text))
    if dividers and re.match(r"(?:---.*\n)?(?:#.*\n|\s)*spec:", text):
        end = dividers[1] if not text[: dividers[0].start()].strip() and len(dividers) > 1 else dividers[0]
        return text[: end.end()] + "\n"
    return ""


def _verbatim(pipeline: OldPipeline, replaced: Collection[str], names: Sequence[str], besides: Collection[str]) -> str:
    lines = pipeline.text.splitlines()
    out: dict[str, str] = {}
    for key, (first, last) in reading.spans(pipeline.text, pipeline.source).items():
        if key in {"include", "variables", "spec"} or key in replaced or key in besides:
            continue
        if not names and key not in _ALWAYS:
            continue
        out[key] = "\n".join(lines[first - 1 : last]).rstrip() + "\n"
    while unused := [key for key in out if key.startswith(".") and not _used(key, out)]:
        for key in unused:
            del out[key]
    return "\n".join(out.values())


def _used(key: str, pieces: Mapping[str, str]) -> bool:
    """Whether a hidden entry is named by another one, or an anchor in it is."""
    others = "\n".join(text for name, text in pieces.items() if name != key)
    anchors = re.findall(r"(?<!\S)&([\w-]+)", pieces[key])
    return re.search(rf"(?<![\w.-]){re.escape(key)}(?![\w.-])", others) is not None or any(
        re.search(rf"\*{re.escape(anchor)}(?![\w-])", others) for anchor in anchors
    )


def _same(
    pipeline: OldPipeline,
    text: str,
    names: Sequence[str],
    changed: Mapping[str, object],
    entries: Sequence[object],
) -> bool:
    """Whether the CI jobs that stay are what they were, now that others are gone."""
    if not names:
        return True
    if any(_is_local(entry) for entry in entries):
        # What the included files give is not in the text; it was, if all keys are those of the main file.
        text += "".join("\n" + dumped({key: value}) for key, value in pipeline.body.items() if key not in pipeline.raw)
    try:
        body = assemble(reading.read(text, pipeline.source))
    except (AdoptError, PreviewError):
        return False
    return all(
        plain(body.get(name)) == plain(changed[name] or pipeline.body[name]) for name in names if name in body
    ) and all(name in body for name in names)


def _resolved(pipeline: OldPipeline, names: Sequence[str], changed: Mapping[str, object]) -> str:
    """All that stays, written out without anchors and `extends`."""
    wanted = [key for key in pipeline.body if key in _ALWAYS or (names and key in RESERVED - {"include", "variables"})]
    body: dict[str, object] = {key: pipeline.body[key] for key in wanted}
    for name in names:
        job = changed[name] or pipeline.body[name]
        body[name] = {key: value for key, value in job.items() if key != "extends"} if isinstance(job, dict) else job
    return "\n".join(dumped({key: value}) for key, value in body.items())


def _needs_changed(job: object, replaced: Collection[str], last: Sequence[str]) -> dict[str, object] | None:
    """A CI job that needed one that goes, with the last of septum's in its place; None if it needs none."""
    if not isinstance(job, dict):
        return None
    found = dict(job)
    hit = False
    for keyword in ("needs", "dependencies"):
        listed = job.get(keyword)
        entries = listed if isinstance(listed, list) else [listed] if isinstance(listed, str) else []
        left = [entry for entry in entries if (entry.get("job") if isinstance(entry, dict) else entry) not in replaced]
        if len(left) < len(entries):
            hit = True
            # Without `dependencies`, a CI job gets the artifacts of all earlier stages.
            files = any(not (isinstance(entry, dict) and entry.get("artifacts") is False) for entry in entries)
            found[keyword] = [*optional(last, files=files), *left] if keyword == "needs" else left
            if not found[keyword]:
                del found[keyword]
    found.pop("extends", None)
    return found if hit else None


def optional(names: Sequence[str], *, files: bool = True) -> list[object]:
    """Needs of CI jobs that are not in every pipeline: septum's are on refs with credentials only."""
    return [{"job": name, "optional": True, **({} if files else {"artifacts": False})} for name in names]

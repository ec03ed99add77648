"""Whether a manifest contradicts itself, its plan, or the stamps that it records. Pure: reads no file.

Each function looks at one matter and gives the checks of it. What cannot be checked is said, and why.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from septum.errors import PartialResultError
from septum.manifest import Manifest, PartFacts, ResultFile
from septum.plan import Merge, Part, Plan, Request, fingerprint, partial_name
from septum.provenance.stamp import stamp
from septum.states import PartState
from septum.units import count

_GUESSES = 4096
"""So many ways to assign outputs to results without a stamp are tried."""
_LONGEST = 120
_SHOWN = 10
_EMPTY = Plan(  # noqa: S604 - starts no shell, and names one
    name="",
    shell="sh",
    setup=(),
    command="",
    environment=(),
    image=None,
    request=Request(cpus=None, memory_b=None, memory_retries_b=(), disk_b=None, time_s=None),
    retries=0,
    tolerance="0",
    inputs=(),
    outputs=(),
    merges=(),
    parts=(),
)


class Verdict(str, Enum):
    """What a check found."""

    OK = "ok"
    WRONG = "WRONG"
    UNKNOWN = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the proof: what was looked at, and what was found."""

    verdict: Verdict
    subject: str
    says: str


def ok(subject: str, says: str) -> Check:
    """What holds."""
    return Check(Verdict.OK, one_line(subject), one_line(says))


def wrong(subject: str, says: str) -> Check:
    """What does not hold."""
    return Check(Verdict.WRONG, one_line(subject), one_line(says))


def unknown(subject: str, says: str) -> Check:
    """What could not be checked, and why."""
    return Check(Verdict.UNKNOWN, one_line(subject), one_line(says))


def several(subject: str, found: Iterable[str]) -> Iterator[Check]:
    """Each of several things that are wrong with one subject; of very many, the first, and how many more."""
    left = list(found)
    for text in left[:_SHOWN]:
        yield wrong(subject, text)
    if len(left) > _SHOWN:
        yield wrong(subject, f"and {len(left) - _SHOWN} more")


def one_line(text: str) -> str:
    """A text that others may have written, so that it can pretend to be no line of ours, and is not endless."""
    shown = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= _LONGEST * 2 else f"{shown[:_LONGEST]}…{shown[-_LONGEST:]}"


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────


def check_parts(manifest: Manifest) -> Iterator[Check]:
    """Each part stands in the manifest once, and in each of its results once, or among those that are missing."""
    found = list(_part_errors(manifest))
    if found:
        yield from several("parts", found)
        return
    failed = [part.id for part in manifest.parts if part.state != PartState.MERGED.value]
    missing = f"; not merged: {', '.join(failed[:5])}{' …' if len(failed) > 5 else ''}" if failed else ""  # noqa: PLR2004
    yield ok("parts", f"{count(len(manifest.parts), 'part')}, each listed once{missing}")


def _part_errors(manifest: Manifest) -> Iterator[str]:
    if not manifest.parts:
        yield "the manifest lists none"
    order = {part.id: index for index, part in enumerate(manifest.parts)}
    for part, number in Counter(part.id for part in manifest.parts).items():
        if number > 1:
            yield f"part {part} is listed {number} times"
    for kind, names in (
        ("name", [result.name for result in manifest.results]),
        ("file", [result.file for result in manifest.results]),
    ):
        for name, number in Counter(names).items():
            if number > 1:
                yield f"{number} results have the {kind} {name}"
    states = {part.id: part.state for part in manifest.parts}
    for result in manifest.results:
        yield from _membership_errors(result, order, states)
    used = {part for result in manifest.results for part in result.parts}
    for facts in manifest.parts:
        merged = facts.state == PartState.MERGED.value and any(output.content for output in facts.outputs)
        if merged and facts.id not in used:
            yield f"part {facts.id} is recorded as merged, and is in no result"


def _membership_errors(result: ResultFile, order: Mapping[str, int], states: Mapping[str, str]) -> Iterator[str]:
    named = [*result.parts, *result.missing]
    for part, number in Counter(named).items():
        if part not in order:
            yield f"{result.name} names part {part}, which the manifest does not list"
        elif number > 1:
            yield f"{result.name} names part {part} {number} times"
    merged = {part for part, state in states.items() if state == PartState.MERGED.value}
    for part in dict.fromkeys(named):
        if part in states and (part in merged) != (part in result.parts):
            yield f"part {part} is {'in' if part in result.parts else 'missing in'} {result.name}, and {states[part]}"
    for parts in (result.parts, result.missing):
        places = [order[part] for part in parts if part in order]
        if places != sorted(places):
            yield f"the parts of {result.name} are not in the order of the plan"
    if not result.parts:
        yield f"{result.name} has no part"


# ── whole or partial ────────────────────────────────────────────────────────────────────────────────────────────


def check_complete(manifest: Manifest) -> Iterator[Check]:
    """What is called whole is whole: flag, error and the names of the files."""
    partial = [result.name for result in manifest.results if result.missing]
    unmerged = [part.id for part in manifest.parts if part.state != PartState.MERGED.value]
    chosen = len(manifest.parts) < manifest.whole_count
    whole = not partial and not unmerged and not chosen
    tolerated = manifest.error is not None and manifest.error.code == PartialResultError.code
    found = []
    if len(manifest.parts) > manifest.whole_count:
        found.append(f"{len(manifest.parts)} parts are listed, the whole plan has {manifest.whole_count}")
    if manifest.complete != whole:
        found.append(
            f"recorded as {'whole' if manifest.complete else 'partial'}, but {len(unmerged)} parts are not merged, "
            f"{len(partial)} results lack parts, {len(manifest.parts)} of {manifest.whole_count} parts were run"
        )
    if unmerged and manifest.error is None:
        found.append(f"{count(len(unmerged), 'part')} failed, and the manifest knows of no error")
    if tolerated and not unmerged:
        found.append("recorded as lacking parts within the tolerance, but none is missing")
    found += [text for result in manifest.results if (text := _misnamed(result, chosen=chosen))]
    if found:
        yield from several("complete", found)
        return
    says = "whole" if whole else "partial, and every name says so" if manifest.results else "no result"
    yield ok("complete", f"{says}; {len(manifest.parts) - len(unmerged)} of {manifest.whole_count} parts are merged")


def _misnamed(result: ResultFile, *, chosen: bool) -> str:
    expected = partial_name(result.name) if result.missing or chosen else result.name
    return "" if result.file == expected else f"{result.name} should stand in {expected}, not in {result.file}"


# ── the stamps and what they bind ───────────────────────────────────────────────────────────────────────────────


def check_stamps(manifest: Manifest) -> Iterator[Check]:
    """The stamp that is recorded for each result follows from the work and from the parts that are in it."""
    parts = {part.id: part for part in manifest.parts}
    for result in manifest.results:
        mark = _stamp_of(result)
        whose = "stamp" if mark == result.stamp else "the sum that the command's product was compared with: its stamp"
        if not mark:
            yield unknown(result.file, "no stamp is recorded for it")
        elif _outputs_by_stamp(manifest.work, result, parts):
            yield ok(result.file, f"{whose} {mark[:23]}… is that of this work and of {_these(result)}")
        else:
            yield wrong(result.file, f"{whose} {mark[:23]}… is not that of this work and of {_these(result)}")


def _stamp_of(result: ResultFile) -> str:
    """The stamp of the sum of the parts: of the result, or of what a framework's own merge was compared with."""
    return result.own.stamp if result.own is not None and result.own.ran else result.stamp


def _these(result: ResultFile) -> str:
    return f"these {count(len(result.parts), 'part')}" if len(result.parts) > 1 else "this part"


def _outputs_by_stamp(work: str, result: ResultFile, parts: Mapping[str, PartFacts]) -> list[int]:
    """The numbers of the outputs from which a result with this stamp can have been merged."""
    members = [parts[part] for part in result.parts if part in parts]
    if len(members) < len(result.parts) or not members:
        return []
    shared = min(len(part.outputs) for part in members)
    found = []
    for number in range(shared):
        contents = [(part.id, part.outputs[number].content) for part in members]
        if all(content for _, content in contents) and stamp(work, contents) == _stamp_of(result):
            found.append(number)
    return found


def check_work(manifest: Manifest) -> Iterator[Check]:
    """Parts, their fingerprints, merges and policies of the manifest give the work that it records."""
    if not manifest.results:
        yield unknown("work", "there is no result that says what was merged")
        return
    order = [part.id for part in manifest.parts]
    parts = {part.id: part for part in manifest.parts}
    candidates = [_candidates(manifest, result, parts) for result in manifest.results]
    if not all(candidates):
        yield unknown("work", "a stamp does not hold, so it is not known what was merged")
        return
    if math.prod(len(numbers) for numbers in candidates) > _GUESSES:
        yield unknown("work", "without stamps, the manifest does not say which output each result is merged from")
        return
    members = [{*result.parts, *result.missing} for result in manifest.results]
    ordered = [tuple(part for part in order if part in own) for own in members]
    for numbers in itertools.product(*candidates):
        merges = [
            _merge(result, number, own) for result, number, own in zip(manifest.results, numbers, ordered, strict=True)
        ]
        if _work(manifest, merges) == manifest.work:
            yield ok("work", f"{manifest.work[:16]}… is that of these parts, merges and policies")
            return
    yield wrong("work", f"{manifest.work[:16]}… is not that of these parts, merges and policies")


def _merge(result: ResultFile, number: int, parts: tuple[str, ...]) -> Merge:
    """The merge of the plan that a result is of, from what the manifest has of it."""
    if result.own is None:
        return Merge(result=result.name, output=number, parts=parts)
    own = result.own
    return Merge(
        result=result.name,
        output=number,
        parts=parts,
        command=own.command,
        at=own.at,
        product=own.product,
        changes=own.changes,
    )


def _candidates(manifest: Manifest, result: ResultFile, parts: Mapping[str, PartFacts]) -> list[int]:
    if _stamp_of(result):
        return _outputs_by_stamp(manifest.work, result, parts)
    return list(range(max((len(part.outputs) for part in manifest.parts), default=0)))


def _work(manifest: Manifest, merges: Sequence[Merge]) -> str:
    """The plan's own hash of the work, from what the manifest has of the plan."""
    parts = tuple(
        Part(id=part.id, index=index, values=(), inputs=(), fingerprint=part.fingerprint)
        for index, part in enumerate(manifest.parts)
    )
    policies = tuple(sorted(manifest.policies.items()))
    return replace(_EMPTY, parts=parts, merges=tuple(merges), policies=policies).work


# ── the plan ────────────────────────────────────────────────────────────────────────────────────────────────────


def check_plan(manifest: Manifest, plan: Plan) -> Iterator[Check]:
    """The plan beside the manifest is the plan of this run, and its fingerprints are those of what it says."""
    found = list(_plan_errors(manifest, plan))
    yield from several("plan", found)
    if not found:
        yield ok("plan", f"{plan.hash[:16]}… is that of this run, with the same parts, values and merges")


def _plan_errors(manifest: Manifest, plan: Plan) -> Iterator[str]:
    if plan.hash != manifest.plan:
        yield f"its hash is {plan.hash[:16]}…, the manifest was made from {manifest.plan[:16]}…"
    if plan.work != manifest.work:
        yield f"its work is {plan.work[:16]}…, the manifest says {manifest.work[:16]}…"
    if (plan.whole_count or len(plan.parts)) != manifest.whole_count:
        yield f"the whole plan has not the {manifest.whole_count} parts that the manifest says"
    if plan.name != manifest.name:
        yield f"it is for {plan.name}, the manifest for {manifest.name}"
    if plan.image != manifest.image:
        yield f"its image is {plan.image}, that of the manifest {manifest.image}"
    yield from _part_differences(manifest, plan)
    yield from _merge_errors(manifest, plan)


def _part_differences(manifest: Manifest, plan: Plan) -> Iterator[str]:
    recorded = {part.id: (part.fingerprint, dict(part.values)) for part in manifest.parts}
    if list(recorded) != [part.id for part in plan.parts]:
        yield f"it has {count(len(plan.parts), 'part')}, and not the {len(recorded)} of the manifest"
    for part in plan.parts:
        if part.id in recorded and recorded[part.id] != (part.fingerprint, dict(part.values)):
            yield f"part {part.id} has other values or another fingerprint in the manifest"
        if _fingerprint(plan, part) != part.fingerprint:
            yield f"the fingerprint of part {part.id} is not that of its command, values and inputs"


def _fingerprint(plan: Plan, part: Part) -> str:
    return fingerprint(
        shell=plan.shell,
        setup=plan.setup,
        command=plan.command,
        environment=plan.environment,
        image=plan.image,
        outputs=plan.outputs,
        values=part.values,
        inputs=[*plan.inputs, *part.inputs],
    )


def _merge_errors(manifest: Manifest, plan: Plan) -> Iterator[str]:
    parts = {part.id: part for part in manifest.parts}
    for result in manifest.results:
        merge = plan.by_result.get(result.name)
        if merge is None:
            yield f"it has no result {result.name}"
        elif {*merge.parts} != {*result.parts, *result.missing}:
            yield f"{result.name} is to be merged from {len(merge.parts)} parts, and not from those of the manifest"
        elif (merge.command is not None) != (result.own is not None):
            yield f"{result.name} is {'' if result.own else 'not '}recorded as merged by a command, unlike in the plan"
        elif _stamp_of(result) and merge.output not in _outputs_by_stamp(manifest.work, result, parts):
            yield f"{result.name} is to be merged from another output than the one that its stamp is of"
    names = {result.name for result in manifest.results}
    if names and (lost := [merge.result for merge in plan.merges if merge.result not in names]):
        yield f"the result {lost[0]} is not in the manifest"

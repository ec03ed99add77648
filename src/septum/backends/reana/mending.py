"""A workflow that failed goes on: the parts that are done stay done, the others run in a restart, so often and no more.

REANA ends a whole workflow when one step ends without a verdict, as one does whose node was lost.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from septum.backends.reana.client import Client
from septum.backends.reana.model import FAILED, Job, Logs, newest
from septum.backends.reana.reading import EVICTED, Said, Seen, end_of
from septum.backends.reana.runs import Key, Runs, without
from septum.backends.reana.workflow import STATE, ended_name, part_of_rule
from septum.errors import ClusterFailedError, SubmitRefusedError, WorkflowGoneError
from septum.units import count

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LOST = 3
"""How often the step of one part may end without a verdict."""
MAX_IDLE_RESTARTS = 3
"""How many restarts in a row may come to nothing."""
MAX_RESTARTS = 9
"""How many REANA makes: their number is the digit behind the point."""
_TAIL_LINES, _TAIL = 6, 600
_RULE = re.compile(r"Error in rule part_(\d+)")
_ENGINE_ONLY = "its engine ended without a word"


def mend(client: Client, runs: Runs, key: Key, each: Callable[[Callable[[str], None], Sequence[str]], None]) -> None:
    """Let a workflow that failed go on, if it can; whatever was begun of this before is not done twice.

    Args:
        client: The server.
        runs: What is known of the run's workflows.
        key: Which failed.
        each: Does something for each of some names, a few at a time.
    """
    seen = runs.seen[key]
    workflow = seen.workflow
    evicted = [part for part in seen.parts if seen.of(part).flag == EVICTED and part not in seen.said.removed]
    if not seen.open_parts and not evicted:
        return
    # Their steps were told to end together with the workflow.
    seen = runs.seen[key] = replace(seen, facts=without(seen.facts, evicted))
    logs = client.logs(workflow.id)
    done = sum(seen.of(part).done for part in seen.parts)
    said = blame(seen, logs, done=done)
    gives_up = len(said.restarts) > MAX_IDLE_RESTARTS and len(set(said.restarts[-MAX_IDLE_RESTARTS - 1 :])) == 1
    if gives_up or (len(seen.workflow.numbers) > 1 and seen.workflow.numbers[1] >= MAX_RESTARTS):
        words = f"its workflow failed {len(said.restarts)} times: {_words_of(logs)}"
        said = _remove_open(replace(seen, said=said), words)
    seen = runs.say(key, said)
    if not seen.open_parts:
        return
    each(lambda part: client.upload(workflow.id, ended_name(part), b"removed\n"), sorted(seen.said.removed))
    each(lambda part: client.discard(workflow.id, f"{STATE}/{part}.*"), evicted)
    # Of an engine that was killed: a new one would not touch what these say is in work.
    for pattern in (".snakemake/locks/*", ".snakemake/incomplete/*"):
        with contextlib.suppress(ClusterFailedError):
            client.discard(workflow.id, pattern)
    if newest(runs.find().get(key, [workflow])).id != workflow.id:
        return  # somebody else has started it again meanwhile
    runs.forget()
    try:
        started = client.start(workflow.id, restart=True)
    except (SubmitRefusedError, WorkflowGoneError) as error:
        reason = f"its workflow failed, and cannot be started again: {error.evidence.splitlines()[0]}"
        runs.say(key, _remove_open(seen, reason))
        return
    again = replace(workflow, id=started.id, run=started.run, status=started.status)
    runs.seen[key] = replace(runs.seen[key], workflow=again, earlier=(workflow, *seen.earlier))
    runs.note([again])


def blame(seen: Seen, logs: Logs, *, done: int) -> Said:
    """What is to be said of a workflow that failed: whose step it was, and whether that may be tried again.

    Args:
        seen: The workflow.
        logs: What its engine and its jobs said.
        done: How many parts have a verdict.
    """
    said = seen.said
    if said.blamed == seen.workflow.run:
        return said
    jobs = {part_of_rule(job.name): job for job in logs.jobs}
    named = set(_RULE.findall(logs.engine))
    lost, removed = dict(said.lost), dict(said.removed)
    for part in seen.open_parts:
        job = jobs.get(part)
        if job is None or job.status not in {"failed", "finished"}:
            continue  # it was waiting, or ran and was ended with the others
        words = _tail(job.text)
        known = end_of(job.text)
        if not known and named and part not in named:
            continue
        lost[part] = lost.get(part, 0) + 1
        if known or lost[part] >= MAX_LOST:
            begin = f"{known}: " if known else ""
            removed[part] = f"{begin}its step ended without a verdict, {count(lost[part], 'time')}: {words}"
    return replace(said, removed=removed, lost=lost, blamed=seen.workflow.run, restarts=(*said.restarts, done))


def _remove_open(seen: Seen, reason: str) -> Said:
    return replace(seen.said, removed={**seen.said.removed, **dict.fromkeys(seen.open_parts, reason)})


def _words_of(logs: Logs) -> str:
    """What can be told of the failure of a whole workflow: the engine's words, and those of a job that failed."""
    failed: list[Job] = [job for job in logs.jobs if job.status == "failed"]
    words = [_tail(logs.engine), *(_tail(job.text) for job in failed[:1])]
    return "; ".join(word for word in words if word) or _ENGINE_ONLY


def _tail(text: str) -> str:
    """The last lines of a log as one line that cannot move a cursor."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()][-_TAIL_LINES:]
    shown = " / ".join(lines)[-_TAIL:]
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def failed(runs: Runs) -> Mapping[Key, Seen]:
    """The workflows that failed and have parts without a verdict."""
    return {
        key: seen
        for key, seen in runs.seen.items()
        if seen.workflow.status == FAILED
        and not seen.empty
        and (seen.open_parts or any(seen.of(part).flag == EVICTED for part in seen.parts))
    }

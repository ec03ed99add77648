"""The workflows of one run on a server: found by their names, looked at in few requests, spoken to through files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from septum.backends.reana.client import Client
from septum.backends.reana.model import CREATED, DELETED, OVER, WAITING, Workflow, newest
from septum.backends.reana.reading import Facts, Said, Seen, read_facts, read_said, said_names
from septum.backends.reana.workflow import FOLDER, LISTED, parts_in, prefix_of, ranges
from septum.errors import ClusterFailedError, ClusterUnreachableError, SeptumError, WorkflowGoneError

Key = tuple[str, int]
"""The name of a workflow and the number of its run: restarts of it are in the same workspace."""

_SAID_B = 64 << 20
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_WORD = "septum_removed"
"""The parameter of a workflow that was made to say why another one went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _MadeOf:
    """What the specification of a workflow of this run says: which jobs, of which parts; see `Seen` for `word`."""

    number: int
    parts: tuple[str, ...]
    word: str = ""


class Runs:
    """What is known of the workflows of one run.

    Args:
        client: The server.
        plan_name: The plan's name.
        tag: The tag of the run.
        sleep: Waits; passed in for tests.
    """

    def __init__(
        self, client: Client, *, plan_name: str, tag: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._tag, self._sleep = client, tag, sleep
        self._prefix = prefix_of(plan_name, tag)
        self._made_of: dict[Key, _MadeOf | None] = {}
        self._said: dict[Key, tuple[str, Said]] = {}
        self._signature: object = None
        self.seen: dict[Key, Seen] = {}
        self.pages: dict[str, str] = {}

    def find(self) -> dict[Key, list[Workflow]]:
        """The workflows of this run, with the restarts of each together: one request."""
        return by_key(self._client.find(self._prefix, deleted=True))

    def forget(self) -> None:
        """Look at everything the next time, whatever the numbers say."""
        self._signature = None

    def look(self, *, everything: bool) -> bool:
        """Look at the workflows, and into the workspaces of those that have changed.

        Args:
            everything: Look into all workspaces.

        Returns:
            Whether anything may have changed.
        """
        found = self.find()
        signature = {
            each.id: (each.status, tuple(sorted(each.progress.items()))) for group in found.values() for each in group
        }
        if signature == self._signature and not everything:
            return False
        seen: dict[Key, Seen] = {}
        for key, group in found.items():
            before = self.seen.get(key)
            now = newest(group)
            if before is not None and before.workflow == now and not everything and self._signature is not None:
                seen[key] = before
            elif (looked := self._inspect(key, group)) is not None:
                # Of one that is deleted, the server does not say whether it ever waited to be run.
                seen[key] = replace(looked, was_started=before is not None and before.ran)
        # Only now: a look that fails must not make a change forgotten.
        self.seen, self._signature = seen, signature
        self.note(one.workflow for one in seen.values())
        return True

    def _inspect(self, key: Key, group: list[Workflow]) -> Seen | None:
        workflow = newest(group)
        made_of = self._parts_of(key, workflow)
        if made_of is None:
            return None
        earlier = tuple(each for each in group if each.id != workflow.id and each.status != DELETED)
        seen = Seen(
            workflow=workflow, number=made_of.number, parts=made_of.parts, earlier=earlier, word=made_of.word
        )  # fmt: skip
        if workflow.status in {CREATED, DELETED}:
            return seen
        try:
            files = self._client.files(workflow.id, under=FOLDER, pattern=LISTED)
        except WorkflowGoneError:
            files = {}
        if not files:
            return replace(seen, empty=True)
        return replace(seen, facts=read_facts(files), said=self._read_said(key, workflow, files))

    def is_mine(self, key: Key, workflow: Workflow) -> bool:
        """Whether a workflow is of this run: somebody may have given the name to one of their own."""
        return self._parts_of(key, workflow) is not None

    def _parts_of(self, key: Key, workflow: Workflow) -> _MadeOf | None:
        """Which jobs a workflow has, of which parts; None for one that is not of this run."""
        if key not in self._made_of:
            try:
                told = self._client.specification(workflow.id)
            except WorkflowGoneError:
                told = {}
            inputs = told.get("inputs")
            parameters = inputs.get("parameters") if isinstance(inputs, dict) else None
            if not isinstance(parameters, dict) or parameters.get("septum_run") != self._tag:
                self._made_of[key] = None
            else:
                number = parameters.get("septum_number")
                parts = tuple(parts_in(str(parameters.get("septum_parts"))))
                self._made_of[key] = _MadeOf(
                    number=number if isinstance(number, int) else 1, parts=parts, word=str(parameters.get(_WORD) or "")
                )
        return self._made_of[key]

    def _read_said(self, key: Key, workflow: Workflow, files: Iterable[str]) -> Said:
        """The last that septum has said of a workflow, and that came as a whole."""
        for name in said_names(files):
            known = self._said.get(key)
            if known is not None and known[0] == name:
                return known[1]
            try:
                said = read_said(name, self._client.read(workflow.id, name, limit_b=_SAID_B))
            except WorkflowGoneError:
                continue
            if said is not None:
                self._said[key] = (name, said)
                return said
        return Said()

    def say(self, key: Key, said: Said) -> Seen:
        """Say something of a workflow, for whoever looks at it later."""
        seen = self.seen[key]
        said = replace(said, serial=seen.said.serial + 1)
        name, content = said.file()
        self._client.upload(seen.workflow.id, name, content)
        self._said[key] = (name, said)
        self.seen[key] = replace(seen, said=said)
        return self.seen[key]

    def note(self, workflows: Iterable[Workflow]) -> None:
        """Remember the pages of workflows."""
        self.pages |= {
            each.full_name: f"{self._client.server}/workflows/{each.id}"
            for each in workflows
            if each.status not in {CREATED, DELETED}
        }

    def newest_of(self) -> Mapping[str, Seen]:
        """Part to the workflow with its newest job that was ever started."""
        found: dict[str, tuple[tuple[float, ...], Seen]] = {}
        for key, seen in self.seen.items():
            if not seen.ran:
                continue
            # Those with other parts have another name, and their runs are counted for themselves.
            age = (seen.number, seen.workflow.created_s or 0.0, key[1])
            for part in seen.parts:
                before = found.get(part)
                if before is None or age > before[0]:
                    found[part] = (age, seen)
        return {part: each[1] for part, each in found.items()}

    def end(self, seen: Seen, parts: Sequence[str], reason: str) -> str:
        """End a workflow, whatever it does; returns its status after that.

        One that waits is deleted, since REANA stops only what runs; one that is just being started can be neither
        stopped nor deleted, and is asked for again a few times.

        Args:
            seen: The workflow.
            parts: Those of its parts that are to have been removed.
            reason: Why, for whoever looks later, where the workflow itself cannot say so any more.
        """
        workflow = seen.workflow
        if workflow.status in WAITING:
            self._leave_word(workflow, parts, reason)
        for pause_s in (*_PAUSES_S, 0.0):
            status = self.status(workflow)
            if status in OVER:
                return status
            try:
                if status not in WAITING:
                    self._client.stop(workflow.id)
                    return "stopped"
                self._client.delete(workflow.id, workspace=True)
                self.delete(seen)
            except ClusterFailedError:
                self._sleep(pause_s)  # it went on in this very moment
                continue
            return DELETED
        return status

    def _leave_word(self, workflow: Workflow, parts: Sequence[str], reason: str) -> None:
        """Say that a workflow which is about to be deleted was removed: its workspace goes, and with it what was said.

        REANA forgets no workflow: another one of this name is made, never started, and deleted. Its parameters stay.
        """
        # To be removed is what counts: without the word, somebody who looks later may run its parts again.
        with contextlib.suppress(SeptumError):
            told = dict(self._client.specification(workflow.id))
            inputs = {**told["inputs"]}
            inputs["parameters"] = {**inputs["parameters"], "septum_parts": ranges(parts), _WORD: reason}
            # It has no such file: a submission of these parts takes it for none of its own.
            told |= {"inputs": inputs, "workflow": {**told["workflow"], "file": "septum/removed"}}
            self._client.delete(self._make(workflow.name, told).id, workspace=True)

    def _make(self, name: str, told: Mapping[str, object]) -> Workflow:
        """Make a workflow of which two do no harm."""
        for pause_s in _PAUSES_S[:2]:
            try:
                return self._client.create(name, told)
            except ClusterUnreachableError:
                self._sleep(pause_s)
        return self._client.create(name, told)

    def status(self, workflow: Workflow) -> str:
        """The status of a workflow now; `deleted` for one that is not there."""
        found = self._client.find(workflow.name, deleted=True)
        return next((each.status for each in found if each.id == workflow.id), DELETED)

    def delete(self, seen: Seen) -> None:
        """Delete a workflow that does not run, with its restarts and its workspace."""
        for each in (seen.workflow, *seen.earlier):
            with contextlib.suppress(WorkflowGoneError):
                self._client.delete(each.id, workspace=True)


def by_key(workflows: Iterable[Workflow]) -> dict[Key, list[Workflow]]:
    """The workflows, the restarts of each run together."""
    found: dict[Key, list[Workflow]] = {}
    for each in workflows:
        found.setdefault((each.name, each.numbers[0]), []).append(each)
    return found


def without(facts: Mapping[str, Facts], parts: Iterable[str]) -> dict[str, Facts]:
    """The facts of all but some parts."""
    left_out = set(parts)
    return {part: each for part, each in facts.items() if part not in left_out}

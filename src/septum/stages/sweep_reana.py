"""The workflows of an account on REANA beyond one run, for a sweep: finds them by their tags, and stops some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from septum.backends.base import REMOVED_BY_US
from septum.backends.reana.reading import Said, read_facts, read_said, said_names
from septum.backends.reana.workflow import FOLDER, LISTED, parts_in
from septum.errors import SeptumError, WorkflowGoneError
from septum.states import JobState
from septum.sweep import Job

if TYPE_CHECKING:
    from septum.backends.reana.client import Client
    from septum.backends.reana.model import Workflow
    from septum.clusters.profile import Profile
    from septum.credentials import Credentials

_PREFIX = "septum-"
"""How the names of septum's workflows begin; whose they are stands in the parameter."""
_TAG, _PARTS = "septum_run", "septum_parts"
_SAID_B = 64 << 20
_REASON = "swept, its pipeline has ended"
_DELETED = "deleted"
_UNBEGUN = frozenset({"created", "queued"})
# A status of a later REANA is that of a workflow that goes on.
_STATES: Mapping[str, JobState] = MappingProxyType(
    {
        "created": JobState.IDLE,
        "queued": JobState.IDLE,
        "pending": JobState.IDLE,
        "finished": JobState.ENDED,
        "failed": JobState.ENDED,
        "stopped": JobState.ENDED,
    }
)


def open_workflows(profile: Profile, credentials: Credentials) -> Workflows:
    """The workflows of the account that a profile's token is for."""
    from septum.backends.reana import open_client

    return Workflows(open_client(profile, credentials), keeps=profile.reana_workspace == "keep")


class Workflows:
    """What a sweep takes for a queue: each workflow is one job.

    A workflow that runs is stopped, and stays as one that has ended: outputs of its parts may be in its workspace.
    One that has ended is deleted with its workspace, unless the profile keeps them.

    Args:
        client: An open one.
        keeps: Whether workflows that have ended stay, whatever their pipelines are.
    """

    def __init__(self, client: Client, *, keeps: bool) -> None:
        self._client, self._keeps = client, keeps
        self._known: dict[int, Workflow] = {}
        self._parts: dict[str, list[str]] = {}

    def jobs(self, tags: str) -> list[Job]:
        """The workflows whose tag begins with this; those that have ended only if they may go."""
        found = []
        for number, workflow in enumerate(self._client.find(_PREFIX)):
            state = _state(workflow)
            if workflow.status == _DELETED or (self._keeps and state is JobState.ENDED):
                continue
            if (tag := self._tag(workflow)).startswith(tags):
                self._known[number] = workflow
                found.append(Job(cluster=0, proc=number, tag=tag, state=state, name=workflow.full_name))
        return found

    def remove(self, tags: str, jobs: Sequence[Job], *, ended: bool) -> tuple[int, str]:
        """Stop workflows that go on, and delete those that have ended or have never begun.

        Args:
            tags: What their tags begin with; `jobs` has chosen by it.
            jobs: Of the last call of `jobs`.
            ended: Whether also those that have ended.

        Returns:
            How many of them should have gone and did not, and what the server said to that.
        """
        del tags
        left, words = 0, ""
        for job in jobs:
            workflow = self._known[job.proc]
            try:
                if job.state is JobState.ENDED:
                    if ended:
                        self._client.delete(workflow.id, workspace=True)
                elif workflow.status in _UNBEGUN:
                    # REANA stops only what runs.
                    self._client.delete(workflow.id, workspace=True)
                else:
                    # The reason first: what is stopped without one was stopped by somebody else.
                    self._say(workflow)
                    self._client.stop(workflow.id)
            except SeptumError as error:
                # The others go all the same; the next sweep tries again.
                left, words = left + 1, f"{job.name}: {error.what}"
        return left, words

    def _say(self, workflow: Workflow) -> None:
        """Say in the workspace why its parts go, as their own septum would, for one that comes back for them."""
        files = self._client.files(workflow.id, under=FOLDER, pattern=LISTED)
        facts = read_facts(files)
        said = Said()
        for name in said_names(files):
            if (found := read_said(name, self._client.read(workflow.id, name, limit_b=_SAID_B))) is not None:
                said = found
                break
        reason = f"{REMOVED_BY_US} {_REASON}"
        going = [part for part in self._parts[workflow.id] if part not in facts or not facts[part].done]
        said = replace(said, serial=said.serial + 1, removed={**dict.fromkeys(going, reason), **said.removed})
        self._client.upload(workflow.id, *said.file())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _tag(self, workflow: Workflow) -> str:
        """The run that a workflow says it belongs to; empty if it is none of septum's."""
        try:
            inputs = self._client.specification(workflow.id).get("inputs")
        except WorkflowGoneError:
            return ""  # somebody else deleted it in this moment
        parameters = inputs.get("parameters") if isinstance(inputs, dict) else None
        if not isinstance(parameters, dict):
            return ""
        self._parts[workflow.id] = parts_in(str(parameters.get(_PARTS, "")))
        return str(parameters.get(_TAG, ""))


def _state(workflow: Workflow) -> JobState:
    return _STATES.get(workflow.status, JobState.RUNNING)

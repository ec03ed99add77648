"""What a sweep does with the workflows of an account on REANA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from septum.backends.reana.model import RemoteFile, Workflow
from septum.backends.reana.reading import Said, read_said
from septum.errors import ClusterFailedError, WorkflowGoneError
from septum.stages.sweep import Row, error_of
from septum.stages.sweep_reana import Workflows
from septum.states import JobState
from septum.sweep import Answer, Project, Sight, by_pipeline, decide

TAGS = "gitlab.example.org/42/"
TAG = f"{TAGS}900/septum/7e50e86db0bb0108"
NOW, DAY = 1_790_000_000.0, 86400.0


class FakeClient:
    """An account with workflows: status and parameter by the name; notes what is done."""

    def __init__(self, **workflows: tuple[str, Any]) -> None:
        self.workflows = workflows
        self.done: list[tuple[str, ...]] = []
        self.refuse: set[str] = set()
        self.gone: set[str] = set()
        self.sent: list[Said | None] = []

    def find(self, prefix: str) -> list[Workflow]:
        """All, as the server finds a text anywhere in a name."""
        del prefix
        return [Workflow(id=name, name=name, run="1", status=status) for name, (status, _) in self.workflows.items()]

    def specification(self, workflow: str) -> Mapping[str, Any]:
        """With the parameter, if it has one."""
        inputs = self.workflows[workflow][1]
        if workflow in self.gone:
            raise WorkflowGoneError("gone", fix="run again")
        parameters = {"septum_run": inputs, "septum_parts": "0000-0001"}
        return {"inputs": {"parameters": parameters}} if isinstance(inputs, str) else {"inputs": inputs}

    def files(self, workflow: str, *, under: str, pattern: str) -> dict[str, RemoteFile]:
        """One part has ended."""
        del workflow, under, pattern
        names = ("septum/state/0000.told.1.0.0.ok.host", "septum/back/0000.tar")
        return {name: RemoteFile(name=name, size_b=1) for name in names}

    def _do(self, *words: str) -> None:
        if words[1] in self.refuse:
            raise ClusterFailedError(f"REANA does not {words[0]}")
        self.done.append(words)

    def upload(self, workflow: str, name: str, data: bytes) -> None:
        """Note it."""
        self._do("upload", workflow)
        self.sent.append(read_said(name, data))

    def stop(self, workflow: str) -> None:
        """Note it."""
        self._do("stop", workflow)

    def delete(self, workflow: str, *, workspace: bool) -> None:
        """Note it."""
        self._do("delete", workflow, str(workspace))

    def close(self) -> None:
        """Note it."""
        self.done.append(("close",))


def _swept(client: FakeClient, *, ago_s: float, keeps: bool = False) -> tuple[int, str]:
    workflows = Workflows(client, keeps=keeps)  # type: ignore[arg-type]
    jobs = workflows.jobs(TAGS)
    answer = Answer(sight=Sight.SEEN, status="failed", ended_s=NOW - ago_s)
    decision = decide(900, jobs, answer, now_s=NOW, keep_outputs_s=DAY)
    return workflows.remove(TAG, decision.goes, ended=decision.outputs_go)


def test_they_are_known_by_the_parameter() -> None:
    """A name proves nothing: workflows of others, of laptops, without a parameter or deleted are not looked at."""
    client = FakeClient(
        ours=("running", TAG), other=("running", "gitlab.example.org/421/9/-/7e50e86db0bb0108"), none=("running", None),
        odd=("running", []), laptop=("queued", "laptop/x/-/-/7e50e86db0bb0108"), gone=("deleted", TAG),
    )  # fmt: skip

    jobs = Workflows(client, keeps=False).jobs(TAGS)  # type: ignore[arg-type]
    known, strange = by_pipeline(jobs, Project(host="gitlab.example.org", number=42))

    assert [job.shown for job in known[900]] == ["ours.1"]
    assert strange == []


@pytest.mark.parametrize(
    ("status", "state"),
    [("created", JobState.IDLE), ("queued", JobState.IDLE), ("pending", JobState.IDLE), ("running", JobState.RUNNING),
     ("finished", JobState.ENDED), ("failed", JobState.ENDED), ("stopped", JobState.ENDED), ("new", JobState.RUNNING)],
)  # fmt: skip
def test_states(status: str, state: JobState) -> None:
    """Of a status that nobody knows yet, the workflow is one that goes on."""
    (job,) = Workflows(FakeClient(a=(status, TAG)), keeps=False).jobs(TAGS)  # type: ignore[arg-type]

    assert job.state is state


def test_what_runs_is_stopped_and_stays_a_while() -> None:
    """With its reason, so that nobody wonders; parts of it may have ended, and a retry fetches them."""
    client = FakeClient(a=("running", TAG), b=("created", TAG), c=("finished", TAG))

    assert _swept(client, ago_s=DAY / 2) == (0, "")
    assert client.done == [
        ("upload", "a"),
        ("stop", "a"),
        ("delete", "b", "True"),
    ]
    # As whoever collects reads it; the part that has ended is to be had as long as it is there.
    assert client.sent == [Said(serial=1, removed={"0001": "septum: swept, its pipeline has ended"})]


def test_what_waits_is_deleted_and_what_has_gone_stops_no_sweep() -> None:
    """REANA stops only what runs, and somebody else may delete between two questions."""
    client = FakeClient(a=("queued", TAG), b=("running", TAG), c=("running", TAG))
    client.gone = {"c"}

    assert _swept(client, ago_s=DAY / 2) == (0, "")
    assert client.done == [("delete", "a", "True"), ("upload", "b"), ("stop", "b")]


def test_what_has_ended_goes_when_nobody_came_for_it() -> None:
    """With the workspace, which counts for the quota; unless the profile keeps workspaces."""
    client, kept = (FakeClient(a=("running", TAG), c=("finished", TAG), d=("stopped", TAG)) for _ in range(2))

    assert _swept(client, ago_s=2 * DAY) == (0, "")
    assert _swept(kept, ago_s=2 * DAY, keeps=True) == (0, "")
    assert [words[:2] for words in client.done if words[0] != "upload"] == [
        ("stop", "a"),
        ("delete", "c"),
        ("delete", "d"),
    ]
    assert [words[:2] for words in kept.done if words[0] != "upload"] == [("stop", "a")]


def test_one_that_does_not_go_keeps_no_other() -> None:
    """It is told by name, and the sweep ends with an error."""
    client = FakeClient(a=("running", TAG), b=("running", TAG))
    client.refuse = {"a"}

    left, words = _swept(client, ago_s=DAY / 2)

    assert (left, words) == (1, "a.1: REANA does not upload")
    assert ("stop", "b") in client.done
    answer = Answer(sight=Sight.SEEN, status="failed", ended_s=NOW)
    row = Row(decision=decide(900, [], answer, now_s=NOW, keep_outputs_s=DAY), left=left, words=words)
    assert error_of([row]) is not None

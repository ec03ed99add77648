"""Carries out steps on GitLab, one after the other; what cannot be done is said, and the rest is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from septum.credentials.secret import Secret
from septum.errors import SeptumError, UsageError
from septum.forge import ForgeError, Trouble
from septum.gitlab.difference import Step, Write
from septum.gitlab.door import Door, is_unauthorized, refused
from septum.gitlab.observe import variable_of
from septum.gitlab.values import prepared
from septum.gitlab.wanted import EVERYWHERE, Setting, Variable

_CATALOG_MUTATION = "mutation($path: ID!) { catalogResourcesCreate(input: {projectPath: $path}) { errors } }"
_STOPS = frozenset({Trouble.UNAVAILABLE, Trouble.UNTRUSTED})
_LONGEST = 300
_KEPT = "GitLab has kept what it was: an administrator, or the group, may forbid the change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step that was tried.

    Attributes:
        step: Which one.
        problem: Why it was not done; empty if it was.
        error: What it ended with, where nothing else can be done either.
    """

    step: Step
    problem: str = ""
    error: SeptumError | None = None

    @property
    def is_good(self) -> bool:
        """Whether it was done."""
        return not self.problem and self.error is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What steps are carried out with.

    Attributes:
        door: The GitLab.
        project: Its path, or number.
        values: Values of variables, as far as there are some.
        settings: All that are wanted, to see whether GitLab has taken them.
        keys: Names of all variables.
    """

    door: Door
    project: str | int
    values: Mapping[str, Secret]
    settings: Sequence[Setting] = ()
    keys: frozenset[str] = frozenset()


def create_project(door: Door, step: Step, write: Write, *, description: str) -> Done:
    """Make the project, in its group."""
    group = write.key.rpartition("/")[0]
    data = {**write.data, **({"description": description} if description else {})}
    try:
        number = door.read(lambda more: door.client.namespaces.get(group, **more).attributes["id"])
        door.make(lambda more: door.client.projects.create({**data, "namespace_id": number}, **more))
    except ForgeError as error:
        return _failed(door, step, error)
    return Done(step=step)


def carry_out(means: Means, steps: Sequence[Step], tell: Callable[[Done], None]) -> list[Done]:
    """Carry out all steps that write something; stops where GitLab does not answer, or does not take the token.

    Args:
        means: What with.
        steps: In this order.
        tell: Hears of each as it is done.
    """
    writes = [(step, step.write) for step in steps if step.write is not None and step.write.kind != "project"]
    settings = [(step, write) for step, write in writes if write.kind == "settings"]
    done = _settings(means, settings)
    for one in done:
        tell(one)
    for step, write in writes:
        if done and done[-1].error is not None:
            break
        if write.kind != "settings":
            done.append(_carry_out(means, step, write))
            tell(done[-1])
    return done


def _settings(means: Means, writes: Sequence[tuple[Step, Write]]) -> list[Done]:
    """All settings in one request; if GitLab does not take that, one by one."""
    if not writes:
        return []
    data = {name: value for _, write in writes for name, value in write.data.items()}
    client = means.door.client
    try:
        taken = means.door.read(lambda more: {**client.projects.update(means.project, dict(data), **more)})
    except ForgeError as error:
        failed = [_failed(means.door, step, error) for step, _ in writes]
        if len(writes) == 1 or failed[0].error is not None:
            return failed
        return [one for pair in writes for one in _settings(means, [pair])]
    return [_checked(means, step, write, taken) for step, write in writes]


def _checked(means: Means, step: Step, write: Write, taken: Mapping[str, Any]) -> Done:
    """Whether GitLab has taken a setting: it leaves out what it does not know without a word."""
    setting = next((one for one in means.settings if one.name == write.key), None)
    if setting is None or write.key not in taken or setting.is_met(taken[write.key]):
        return Done(step=step)
    return Done(step=step, problem=_KEPT)


def _carry_out(means: Means, step: Step, write: Write) -> Done:
    try:
        return Done(step=step, problem=_ACTS[write.kind](means, write, step))
    except ForgeError as error:
        return _failed(means.door, step, error)
    except UsageError as error:
        return Done(step=step, problem=f"{error.what}; {error.fix.splitlines()[0]}")


def _failed(door: Door, step: Step, error: ForgeError) -> Done:
    if error.trouble in _STOPS or is_unauthorized(error):
        return Done(
            step=step, error=refused(error, what=f"{step.subject} was not done", url=door.url, needs=step.needs)
        )
    words = error.evidence
    if error.trouble is Trouble.FORBIDDEN:
        words += f"; it needs a token with {step.needs}"
        if step.write is not None and step.write.kind == "schedule" and not step.write.is_new:
            words += "; of its owner: take ownership in GitLab first, Build > Pipeline schedules"
    if error.trouble is Trouble.ABSENT:
        words += f"; there is none, or it needs a token with {step.needs}"
    if words.startswith("HTTP 409") or "already" in words:
        words += "; somebody has made it meanwhile: run this again"
    return Done(step=step, problem=words)


# ── one kind after the other: what is wrong afterwards, empty if nothing is ───────────────────────────────────────


def _project(means: Means) -> Any:
    return means.door.client.projects.get(means.project, lazy=True)


def _branch(means: Means, write: Write, _: Step) -> str:
    branches = _project(means).protectedbranches
    if write.is_new:
        means.door.make(lambda more: branches.create(dict(write.data), **more))
    else:
        means.door.read(lambda more: {**branches.update(write.key, dict(write.data), **more)})
    return ""


def _tag(means: Means, write: Write, _: Step) -> str:
    means.door.make(lambda more: _project(means).protectedtags.create(dict(write.data), **more))
    return ""


def _job_tokens(means: Means, write: Write, _: Step) -> str:
    scope = _project(means).job_token_scope
    means.door.read(lambda more: scope.update(new_data=dict(write.data), **more))
    # Its answer is empty.
    limited = means.door.read(lambda more: bool(scope.get(**more).inbound_enabled))
    return "" if limited else _KEPT


def _variable(means: Means, write: Write, _: Step) -> str:
    variable, value = write.variable, means.values.get(write.key)
    if not value and not write.is_new:
        value = _present_value(means, write.key)
    if variable is None or not value:
        return f"no value was given: --value {write.key}=@FILE; or --elsewhere {write.key}, if it is the group's"
    data = prepared(variable, value, write.data, means.keys - {write.key})
    variables = _project(means).variables

    def make(more: dict[str, Any]) -> Any:
        return variables.create({"key": write.key, "value": value.reveal(), **data, **_hidden(data)}, **more).attributes

    def change(more: dict[str, Any]) -> Any:
        where = {"environment_scope": EVERYWHERE}
        return variables.update(write.key, {"value": value.reveal(), **data}, filter=where, **more)

    answer = means.door.make(make) if write.is_new else means.door.read(change)
    return _unlike(variable, data, answer)


def _hidden(data: Mapping[str, object]) -> dict[str, bool]:
    """Hidden from the first moment on; where GitLab does not know that yet, masked remains."""
    return {"masked_and_hidden": True} if data.get("masked") else {}


def _present_value(means: Means, key: str) -> Secret:
    """The value that a variable has, to store it otherwise; empty if GitLab hides it."""
    variables = _project(means).variables
    found = means.door.read(lambda more: variables.get(key, filter={"environment_scope": EVERYWHERE}, **more))
    value = found.attributes.get("value")
    return Secret(value) if isinstance(value, str) else Secret("")


def _unlike(variable: Variable, data: Mapping[str, object], answer: object) -> str:
    """What GitLab did not take of what was sent; it says nothing of what it does not know."""
    if not isinstance(answer, Mapping):
        return "GitLab did not say how it stored it"
    stored = variable_of(answer)
    if variable.secret and data.get("masked") and not stored.masked:
        return "GitLab stored it unmasked: delete it there, and replace what is in it"
    if variable.protected and not stored.protected:
        return "GitLab stored it unprotected: delete it there, and replace what is in it"
    return ""


def _schedule(means: Means, write: Write, _: Step) -> str:
    schedules = _project(means).pipelineschedules
    if write.is_new:
        means.door.make(lambda more: schedules.create(dict(write.data), **more))
    else:
        means.door.read(lambda more: {**schedules.update(write.number, dict(write.data), **more)})
    return ""


def _catalog(means: Means, write: Write, step: Step) -> str:
    answer = means.door.make(lambda more: means.door.graphql(_CATALOG_MUTATION, write.key, more))
    return _errors(answer, step)


def _errors(answer: Any, step: Step) -> str:
    """GraphQL says what went wrong in an answer that is all right."""
    from septum.compare.verdicts import printable

    try:
        above = [str(one.get("message")) for one in answer.get("errors") or []]
        inside = ((answer.get("data") or {}).get("catalogResourcesCreate") or {}).get("errors") or []
    except AttributeError:
        return "GitLab did not say what it did"
    if above:
        return f"{printable('; '.join(above), _LONGEST)}; it needs a token with {step.needs}"
    return printable("; ".join(map(str, inside)), _LONGEST)


_ACTS: Mapping[str, Callable[[Means, Write, Step], str]] = {
    "branch": _branch,
    "tag": _tag,
    "job-tokens": _job_tokens,
    "variable": _variable,
    "schedule": _schedule,
    "catalog": _catalog,
}

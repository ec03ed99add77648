"""From what is there to what is wanted: the steps, each with what would be written. Pure; no value of a variable."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Literal

from septum.compare.verdicts import printable
from septum.gitlab.found import MAINTAINER, Found, FoundVariable, Unseen
from septum.gitlab.wanted import EVERYWHERE, Schedule, Setting, Variable, Wanted

Kind = Literal["project", "settings", "branch", "tag", "job-tokens", "variable", "schedule", "catalog"]
OWNER_NEEDED = "the scope 'api' and the role Owner"
API_NEEDED = "the scope 'api' and the role Maintainer"
NEW_NEEDED = "the scope 'api', of a person who may make projects in that group"
LOOK_NEEDED = "the scope 'read_api' and the role Maintainer"
_SHOWN = 60


class State(str, Enum):
    """What becomes of one thing."""

    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"
    LATER = "later"
    """It cannot be done now, and the detail says when."""
    UNKNOWN = "unknown"
    """The token may not look at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request that changes something.

    Attributes:
        kind: What of.
        data: What is sent, without the value of a variable.
        key: The name of the variable, branch or tag.
        number: The number of the schedule.
        is_new: Whether it is made, else changed.
        variable: Which one, if its value is sent as well.
    """

    kind: Kind
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    number: int = 0
    is_new: bool = False
    variable: Variable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing: what it is, what becomes of it, and how.

    Attributes:
        subject: `variable IAM_CLIENT_SECRET`.
        state: What becomes of it.
        detail: Why, or from what to what; may hold words of GitLab.
        note: What else one should know of it; it makes no difference.
        write: The request; None if there is none.
        needs: What the token must have for it.
    """

    subject: str
    state: State
    detail: str = ""
    note: str = ""
    write: Write | None = None
    needs: str = API_NEEDED


def steps(wanted: Wanted, found: Found) -> tuple[Step, ...]:
    """Everything that is wanted, in the order in which it is done.

    Args:
        wanted: How it should be.
        found: How it is; one that is not there if the project is still to be made.
    """
    branch = wanted.branch or found.default_branch or wanted.start
    # A pattern is no branch that a pipeline could run on.
    home = found.default_branch if "*" in branch else branch
    return (
        *_project(wanted, found),
        *_settings(wanted, found),
        *_branch(branch, found),
        *(_tag(name, found) for name in wanted.tags),
        _job_tokens(found),
        *(_variable(variable, wanted, found) for variable in wanted.variables),
        *(_schedule(schedule, home, found) for schedule in wanted.schedules),
        *_catalog(wanted, found),
    )


def is_open(step: Step) -> bool:
    """Whether a thing is not as it should be."""
    return step.state is not State.KEEP


def _project(wanted: Wanted, found: Found) -> Iterator[Step]:
    if found.is_there:
        yield Step(subject="project", state=State.KEEP, detail=f"{found.path}, number {found.number}")
        return
    data = {"path": wanted.project.rpartition("/")[2], "visibility": wanted.visibility}
    yield Step(
        subject="project",
        state=State.CREATE,
        detail=f"{wanted.project}, {wanted.visibility}",
        needs=NEW_NEEDED,
        write=Write(kind="project", data=data, key=wanted.project, is_new=True),
    )


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────


def _settings(wanted: Wanted, found: Found) -> Iterator[Step]:
    # Who sees one of them sees all that this GitLab knows.
    sees = "build_timeout" in found.attributes
    for setting in wanted.settings:
        yield _setting(setting, found, sees=sees)


def _setting(setting: Setting, found: Found, *, sees: bool) -> Step:
    subject, why = f"setting {setting.name}", setting.why
    write = Write(kind="settings", key=setting.name, data={setting.name: setting.value})
    if not found.is_there:
        return Step(subject=subject, state=State.CHANGE, detail=_text(setting.value), note=why, write=write)
    if setting.name not in found.attributes:
        if sees:
            return Step(subject=subject, state=State.KEEP, detail="this GitLab does not have it")
        return Step(subject=subject, state=State.UNKNOWN, detail="not shown to this token", needs=LOOK_NEEDED)
    value = found.attributes[setting.name]
    if setting.is_met(value):
        return Step(subject=subject, state=State.KEEP, detail=_text(value))
    detail = f"{_text(value)} → {_text(setting.value)}"
    return Step(subject=subject, state=State.CHANGE, detail=detail, note=why, write=write)


def _text(value: object) -> str:
    """A value of a setting on one line, fit to be shown."""
    if isinstance(value, list):
        return printable(" ".join(map(str, value)), _SHOWN)
    if isinstance(value, (bool, int)) or value is None:
        return json.dumps(value)
    return printable(str(value), _SHOWN) or "(empty)"


# ── protection ──────────────────────────────────────────────────────────────────────────────────────────────────


def _branch(name: str, found: Found) -> Iterator[Step]:
    subject = f"branch {printable(name, _SHOWN)}"
    if isinstance(found.branches, Unseen):
        yield _unseen(subject, found.branches, "the scope 'read_api' and the role Developer")
        return
    rules = [rule for rule in found.branches if fnmatchcase(name, rule.name)]
    if not rules:
        data = {"name": name, "push_access_level": MAINTAINER, "merge_access_level": MAINTAINER}
        write = Write(kind="branch", key=name, data={**data, "allow_force_push": False}, is_new=True)
        detail = "protected; Maintainers push and merge"
        note = "without, its pipelines get no protected variable"
        yield Step(subject=subject, state=State.CREATE, detail=detail, note=note, write=write)
        return
    forced = [rule.name for rule in rules if rule.force_push]
    for rule in forced:
        write = Write(kind="branch", key=rule, data={"allow_force_push": False})
        subject = f"branch {printable(rule, _SHOWN)}"
        yield Step(subject=subject, state=State.CHANGE, detail="force push: allowed → not allowed", write=write)
    if not forced:
        open_to_many = any(rule.developers_push for rule in rules)
        note = "Developers may push there, and so read the protected variables" if open_to_many else ""
        yield Step(subject=subject, state=State.KEEP, detail="protected", note=note)


def _tag(name: str, found: Found) -> Step:
    subject = f"tags {name}"
    if isinstance(found.tags, Unseen):
        return _unseen(subject, found.tags, "the scope 'read_api' and the role Developer")
    if any(rule == name or fnmatchcase(name, rule) for rule in found.tags):
        return Step(subject=subject, state=State.KEEP, detail="protected")
    write = Write(kind="tag", key=name, data={"name": name, "create_access_level": MAINTAINER}, is_new=True)
    return Step(subject=subject, state=State.CREATE, detail="protected; Maintainers make them", write=write)


def _job_tokens(found: Found) -> Step:
    subject = "job tokens"
    if isinstance(found.limited, Unseen):
        return _unseen(subject, found.limited, LOOK_NEEDED)
    if found.limited:
        return Step(subject=subject, state=State.KEEP, detail="only listed projects get in with theirs")
    write = Write(kind="job-tokens", data={"enabled": True})
    return Step(
        subject=subject, state=State.CHANGE, detail="any project gets in with its own → only listed ones", write=write
    )


def _unseen(subject: str, unseen: Unseen, needs: str) -> Step:
    return Step(subject=subject, state=State.UNKNOWN, detail=unseen.words, needs=needs)


# ── variables ───────────────────────────────────────────────────────────────────────────────────────────────────


def _variable(wanted: Variable, whole: Wanted, found: Found) -> Step:
    if isinstance(found.variables, Unseen):
        return _unseen(f"variable {wanted.key}", found.variables, LOOK_NEEDED)
    variable, there = _chosen(wanted, found.variables, whole.given)
    subject = f"variable {variable.key}"
    if there is None:
        return _new_variable(variable, subject, found.variables, asked=variable.key in whole.given)
    flaws = list(_flaws(variable, there))
    if variable.key in whole.replace:
        flaws.append("value set anew")
    note = "it is masked, but not hidden: GitLab hides new variables only" if variable.secret and _bare(there) else ""
    if not flaws:
        detail = variable.flags if not there.is_file or variable.as_file else "file" + ", protected" * there.protected
        return Step(subject=subject, state=State.KEEP, detail=detail, note=note)
    data = attributes_of(variable)
    if there.hidden:
        # It is masked for ever, and GitLab refuses to hear of it.
        del data["masked"]
    write = Write(kind="variable", key=variable.key, data=data, variable=variable)
    detail = "; ".join(flaws)
    return Step(subject=subject, state=State.CHANGE, detail=detail, note=note, write=write)


def _bare(there: FoundVariable) -> bool:
    return not there.is_file and not there.hidden


def _chosen(
    wanted: Variable, there: tuple[FoundVariable, ...], given: frozenset[str]
) -> tuple[Variable, FoundVariable | None]:
    """The variable that is there, or the other that does as well, if that is the one."""
    either = [wanted, *filter(None, [wanted.instead])]
    for variable in either:
        for one in there:
            if one.key == variable.key and one.scope == EVERYWHERE:
                return variable, one
    return next((variable for variable in either if variable.key in given), wanted), None


def _new_variable(variable: Variable, subject: str, there: tuple[FoundVariable, ...], *, asked: bool) -> Step:
    others = sorted({one.scope for one in there if one.key == variable.key})
    note = variable.what
    if others:
        note += f"; there is one for {printable(', '.join(others), _SHOWN)} alone, which septum's CI jobs do not get"
    if variable.instead is not None:
        note += f"; or {variable.instead.key}"
    if variable.optional and not asked:
        return Step(subject=subject, state=State.KEEP, detail="not there, and not needed by every run", note=note)
    write = Write(kind="variable", key=variable.key, data=attributes_of(variable), is_new=True, variable=variable)
    return Step(subject=subject, state=State.CREATE, detail=variable.flags, note=note, write=write)


def _flaws(variable: Variable, there: FoundVariable) -> Iterator[str]:
    if variable.protected != there.protected:
        # A public certificate that is protected is only missing where nobody asked to protect it.
        yield f"protected: {_yes(there.protected)} → {_yes(variable.protected)}"
    if variable.secret and not there.masked and not there.is_file:
        yield "masked: no → yes"
    if not there.raw:
        yield "expand variable references: yes → no"


def _yes(value: bool) -> str:  # noqa: FBT001 - one word for one value
    return "yes" if value else "no"


def attributes_of(variable: Variable) -> dict[str, Any]:
    """How a variable is stored, as `POST /projects/:id/variables` wants it; the value comes later."""
    return {
        "variable_type": "file" if variable.as_file else "env_var",
        "protected": variable.protected,
        "masked": variable.secret,
        # A value with a `$` in it stays as it is.
        "raw": True,
        "environment_scope": EVERYWHERE,
    }


# ── schedules, catalog ──────────────────────────────────────────────────────────────────────────────────────────


def _schedule(wanted: Schedule, branch: str, found: Found) -> Step:
    subject = f"schedule {wanted.name}"
    needs = "the scope 'api' and the role Developer, of somebody who may push to that branch"
    if isinstance(found.schedules, Unseen):
        return _unseen(subject, found.schedules, "the scope 'read_api' and the role Reporter")
    if not found.default_branch:
        detail = "the repository is empty: push, and run this again"
        return Step(subject=subject, state=State.LATER, detail=detail, needs=needs)
    there = next((one for one in found.schedules if one.name == wanted.name), None)
    ref = f"refs/heads/{branch}"
    if there is None:
        data: dict[str, Any] = {"description": wanted.name, "ref": ref, "cron": wanted.cron, "cron_timezone": "UTC"}
        data |= {"inputs": _inputs(wanted.inputs)} if wanted.inputs else {}
        write = Write(kind="schedule", key=wanted.name, data=data, is_new=True)
        detail = f"{wanted.cron} UTC, on {printable(branch, _SHOWN)}"
        return Step(subject=subject, state=State.CREATE, detail=detail, needs=needs, write=write)
    changes, words = _changes(wanted, ref, there.cron, there.ref, there.inputs or {}, active=there.active)
    if not changes:
        detail = f"{printable(there.cron, _SHOWN)}, on {printable(branch, _SHOWN)}"
        return Step(subject=subject, state=State.KEEP, detail=detail)
    write = Write(kind="schedule", key=wanted.name, number=there.number, data=changes)
    return Step(subject=subject, state=State.CHANGE, detail="; ".join(words), needs=needs, write=write)


def _changes(
    wanted: Schedule, ref: str, cron: str, found_ref: str, inputs: Mapping[str, Any], *, active: bool
) -> tuple[dict[str, Any], list[str]]:
    changes: dict[str, Any] = {}
    words = []
    if wanted.exact and cron != wanted.cron:
        changes["cron"] = wanted.cron
        words.append(f"{printable(cron, _SHOWN)} → {wanted.cron}")
    if f"refs/heads/{found_ref.removeprefix('refs/heads/')}" != ref:
        changes["ref"] = ref
        words.append(f"{printable(found_ref, _SHOWN)} → {printable(ref, _SHOWN)}")
    if not active:
        changes["active"] = True
        words.append("inactive → active")
    other = {name: value for name, value in wanted.inputs.items() if name not in inputs or inputs[name] != value}
    if other:
        changes["inputs"] = _inputs(other)
        words.append(f"inputs {', '.join(other)}")
    return changes, words


def _inputs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _catalog(wanted: Wanted, found: Found) -> Iterator[Step]:
    if not wanted.catalog:
        return
    if isinstance(found.in_catalog, Unseen):
        yield _unseen("catalog", found.in_catalog, "the scope 'read_api' and the role Guest")
        return
    described = found.attributes.get("description") or any(s.name == "description" for s in wanted.settings)
    if found.in_catalog:
        yield Step(subject="catalog", state=State.KEEP, detail="a catalog project")
    elif not described:
        yield Step(subject="catalog", state=State.LATER, detail="the project has no description: give --description")
    else:
        write = Write(kind="catalog", key=wanted.project, is_new=True)
        yield Step(subject="catalog", state=State.CREATE, detail="a catalog project", needs=OWNER_NEEDED, write=write)
    if found.attributes.get("readme_url"):
        yield Step(subject="README.md", state=State.KEEP, detail="there")
    else:
        yield Step(subject="README.md", state=State.LATER, detail="not on the default branch: a release needs it")

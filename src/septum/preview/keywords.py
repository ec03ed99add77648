"""The form of each keyword of a CI job, as GitLab checks it before it looks at the pipeline as a whole. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/config/entry/{processable,job,bridge,needs,need,retry,artifacts,…}.rb`. What is not
checked here, the schema that GitLab publishes for editors may still know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from septum.errors import PipelineError
from septum.preview import forms, outcome, rules
from septum.preview.features import Version
from septum.preview.forms import Problems
from septum.preview.source import Variable

MAX_NAME = 255
MAX_PARALLEL = 200
JOB_DATA = ("value", "expand")
"""What a variable of a CI job may hold that is written as a mapping."""
DEFAULT_DATA = ("value", "description", "expand", "options")
"""The same for a default variable."""
_MAX_DEPTH = 10
_MAX_TIMEOUT_S = 2_629_746
"""A month, as Ruby on Rails has it: the twelfth part of a year of 365.2425 days."""
_TAGS = 50
_WHENS = ("on_success", "on_failure", "always", "manual", "delayed")
_SHARED = frozenset(
    {"extends", "stage", "only", "except", "rules", "variables", "inherit", "allow_failure", "when", "needs"}
    | {"resource_group", "environment", "interruptible", "parallel", "start_in"}
)
_JOB = _SHARED | {
    "tags", "script", "image", "services", "artifacts", "cache", "dependencies", "before_script", "after_script",
    "hooks", "coverage", "retry", "timeout", "release", "id_tokens", "publish", "pages", "secrets", "identity",
    "dast_configuration",
}  # fmt: skip
_BRIDGE = _SHARED | {"trigger"}
_NEWER = {"manual_confirmation": Version(17, 1), "run": Version(17, 3), "inputs": Version(18, 10)}


def problems(name: str, job: Mapping[str, object], *, gitlab: Version) -> list[str]:
    """What is wrong with the keywords of a CI job that has its defaults, in GitLab's words; empty if nothing is.

    Args:
        name: Its name.
        job: Its keywords; none of them is null.
        gitlab: The version of the server.
    """
    where = f"jobs:{name}"
    found = [] if len(name) <= MAX_NAME else [f"{where} name is too long (maximum is {MAX_NAME} characters)"]
    found += [
        f"{where} config these keys cannot be used together: {', '.join(pair)}"
        for pair in (("script", "trigger"), ("run", "trigger"), ("script", "run"))
        if all(key in job for key in pair)
    ]
    known = (_JOB if job.keys() & {"script", "run"} else _BRIDGE) | _newer(gitlab)
    found += [f"{where} {said}" for said in forms.keys(job, known)]
    for key, check in _CHECKS.items():
        if key in job:
            found += [f"{where}:{key} {said}" for said in check(job[key])]
    found += [f"{where}:artifacts {said}" for said in outcome.readers(job.get("artifacts"), gitlab)]
    return found + list(_together(where, job, gitlab))


def _newer(gitlab: Version) -> set[str]:
    return {key for key, since in _NEWER.items() if gitlab >= since}


def _together(where: str, job: Mapping[str, object], gitlab: Version) -> Problems:
    """What concerns several keywords of a CI job."""
    when = job.get("when")
    if when is not None and when not in _WHENS:
        yield f"{where} when should be one of: {', '.join(_WHENS)}"
    listed = job.get("rules")
    try:
        if listed is None:
            rules.check_delay(job, where=where, rules=False)
        for rule in rules.flatten(listed, where=f"{where}:rules") or ():
            rules.check(rule, where=f"{where}:rules:rule", gitlab=gitlab)
            yield from (f"{where}:rules:rule:needs {said}" for said in _needs(rule.get("needs", [])))
            yield from (f"{where}:rules:rule:variables {said}" for said in _variables(rule.get("variables", {}), ()))
    except PipelineError as error:
        evidence = error.evidence.partition("\n")
        yield error.what + (f": {evidence[0]}" if error.evidence else "") + (f" ({evidence[2]})" if evidence[2] else "")
    clashing = [key for key in ("only", "except", "start_in") if key in job]
    if listed is not None and clashing:
        yield f"{where} config key may not be used with `rules`: {', '.join(clashing)}"
    if not isinstance(job.get("stage", ""), str):
        yield f"{where}:stage config should be a string"
    dependencies, needs = job.get("dependencies"), job.get("needs")
    if isinstance(dependencies, list) and isinstance(needs, list) and dependencies and needs:
        named = [need.get("job") if isinstance(need, dict) else need for need in needs]
        missing = [str(name) for name in dependencies if name not in named]
        if missing:
            yield f"{where} dependencies the {', '.join(missing)} should be part of needs"


def is_commands(value: object, depth: int = 0) -> bool:
    """Whether it is text, or texts in lists of at most ten levels."""
    if isinstance(value, list) and depth < _MAX_DEPTH:
        return all(is_commands(item, depth + 1) for item in value)
    return isinstance(value, str)


def _script(value: object) -> Problems:
    if not value:
        yield "config can't be blank"
    yield from _commands(value)


def _commands(value: object) -> Problems:
    if not is_commands(value):
        yield f"config should be a string or a nested array of strings up to {_MAX_DEPTH} levels deep"


def _timeout(value: object) -> Problems:
    seconds = rules.duration_s(value)
    if seconds is None:
        yield "config should be a duration"
    elif seconds > _MAX_TIMEOUT_S:
        yield "config should not exceed the limit"


def _tags(value: object) -> Problems:
    yield from forms.texts(value)
    if isinstance(value, list) and len(value) >= _TAGS:
        yield f"config must be less than the limit of {_TAGS} tags"


def _image(value: object) -> Problems:
    if isinstance(value, dict):
        yield from forms.keys(value, {"name", "entrypoint", "ports", "docker", "kubernetes", "pull_policy", "alias"})
        value = value.get("name")
    if not isinstance(value, str):
        yield "config should be a hash or a string"
    elif not value:
        yield "name can't be blank"


def _services(value: object) -> Problems:
    if not isinstance(value, list):
        yield "config should be a array"
        return
    for item in value:
        if not isinstance(item, str) and not (isinstance(item, dict) and isinstance(item.get("name"), str)):
            yield "service config should be a hash or a string"


def _variables(value: object, allowed: Sequence[str] = JOB_DATA) -> Problems:
    if not isinstance(value, dict):
        yield "config should be a hash of key value pairs"
        return
    for key, item in value.items():
        given = {} if item is None else item
        if isinstance(given, dict):
            yield from (f"{key} config {said}" for said in _variable(given, allowed))
        elif not isinstance(given, str | int | float):
            yield f"{key} config variable definition must be either a string or a hash"


def _variable(item: Mapping[str, object], allowed: Sequence[str]) -> Problems:
    """A variable that is written as a mapping."""
    unknown = [str(key) for key in item if key not in allowed]
    if not allowed:
        yield "must be a string"
    elif unknown:
        yield f"uses invalid data keys: {', '.join(unknown)}"
    value, options = item.get("value"), item.get("options")
    if not isinstance(value, str | int | float | None):
        yield "value must be a scalar"
    if not isinstance(item.get("expand"), bool | None):
        yield "expand should be a boolean value"
    if options and (not isinstance(options, list) or value not in options):
        yield "value must be present in options"


def _needs(value: object) -> Problems:
    if not isinstance(value, list | dict):
        yield "config can only be a hash or an array"
        return
    for need in flat(value):
        if isinstance(need, str):
            if not need:
                yield "need config can't be blank"
        elif not isinstance(need, dict) or not (need.keys() & {"job", "pipeline"}):
            yield "need has an unsupported type"
        else:
            yield from (f"need {said}" for said in _need(need))


def _need(need: Mapping[str, object]) -> Problems:
    if "project" in need:
        yield from forms.keys(need, {"project", "ref", "job", "artifacts"})
    elif "pipeline" in need:
        yield from forms.keys(need, {"pipeline", "job", "artifacts"})
    else:
        yield from forms.keys(need, {"job", "artifacts", "optional", "parallel"})
        if not isinstance(need.get("job"), str) or not need["job"]:
            yield "job can't be blank"
    for key in ("artifacts", "optional"):
        if not isinstance(need.get(key), bool | None):
            yield f"{key} should be a boolean value"


def _id_tokens(value: object) -> Problems:
    if not isinstance(value, dict):
        yield "config should be a hash"
        return
    for key, token in value.items():
        audience = token.get("aud") if isinstance(token, dict) else None
        if not isinstance(token, dict) or "aud" not in token:
            yield f"{key} config missing required keys: aud"
            continue
        yield from (f"{key} {said}" for said in forms.keys(token, {"aud"}))
        if not audience or not (isinstance(audience, str) or forms.is_texts(audience)):
            yield f"{key} aud should be an array of strings or a string"


def _parallel(value: object) -> Problems:
    if isinstance(value, dict):
        matrix = value.get("matrix")
        if set(value) != {"matrix"}:
            yield "config must hold the key matrix alone"
        elif not isinstance(matrix, list) or not all(isinstance(item, dict) for item in matrix):
            yield "matrix config should be an array of hashes"
        elif any(not _is_choice(choice) for item in matrix for choice in item.values()):
            yield "matrix variables config should be a hash of key value pairs, value can be an array"
        elif sum(_size(item) for item in matrix) > MAX_PARALLEL:
            yield f"matrix config generates too many jobs (maximum is {MAX_PARALLEL})"
    elif isinstance(value, bool) or not isinstance(value, int):
        yield "should be an integer or a hash"
    elif not 1 <= value <= MAX_PARALLEL:
        yield f"config must be {f'less than or equal to {MAX_PARALLEL}' if value > 1 else 'greater than or equal to 1'}"


def _is_choice(value: object) -> bool:
    return all(isinstance(item, str | int | float) for item in (value if isinstance(value, list) else [value]))


def _size(item: Mapping[str, object]) -> int:
    size = 1
    for choice in item.values():
        size *= len(choice) if isinstance(choice, list) else 1
    return size


def _environment(value: object) -> Problems:
    if not isinstance(value, str | dict):
        yield "config should be a hash or a string"
    elif isinstance(value, dict):
        known = {"name", "url", "action", "on_stop", "kubernetes", "auto_stop_in", "deployment_tier"}
        yield from forms.keys(value, known)
        if not isinstance(value.get("name"), str):
            yield "name can't be blank"


def _policy(value: object) -> Problems:
    if isinstance(value, dict):
        yield from forms.keys(value, {"refs", "kubernetes", "variables", "changes"})
    elif not isinstance(value, str):
        yield from forms.texts(value)


_CHECKS: Mapping[str, Callable[[object], Problems]] = {
    "script": _script,
    "before_script": _commands,
    "after_script": _commands,
    "image": _image,
    "services": _services,
    "tags": _tags,
    "variables": _variables,
    "needs": _needs,
    "dependencies": forms.texts,
    "retry": outcome.retry,
    "allow_failure": outcome.allow_failure,
    "interruptible": forms.truth,
    "timeout": _timeout,
    "resource_group": forms.text,
    "artifacts": outcome.artifacts,
    "id_tokens": _id_tokens,
    "parallel": _parallel,
    "environment": _environment,
    "only": _policy,
    "except": _policy,
}


def check_variables(value: object, *, where: str, allowed: Sequence[str]) -> None:
    """Check a mapping of variables outside of a CI job.

    Args:
        value: The mapping.
        where: Where it stands, for the message.
        allowed: What a variable that is a mapping may hold; nothing if it must not be one.

    Raises:
        PipelineError: GitLab would refuse it.
    """
    found = list(_variables(value, allowed))
    if found:
        raise PipelineError(f"{where} {found[0]}", evidence="\n".join(found[1:10]))


def variables_of(value: object) -> dict[str, Variable]:
    """Variables of the YAML that were checked, as values; `expand: false` makes one raw."""
    found: dict[str, Variable] = {}
    for key, item in (value if isinstance(value, dict) else {}).items():
        inner, raw = (item.get("value"), item.get("expand") is False) if isinstance(item, dict) else (item, False)
        found[str(key)] = Variable(value=as_text(inner), raw=raw)
    return found


def as_text(value: object) -> str:
    """A scalar as Ruby writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def flat(value: object) -> Sequence[object]:
    """A list without lists in it; anything else as a list of itself."""
    if not isinstance(value, list):
        return [value]
    return [inner for item in value for inner in flat(item)]

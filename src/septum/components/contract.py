"""What users of the library rely on, as one value: read from the rendered components and the table of errors.

`components/contract.json` is this value of a commit; that of the last release is its promise. Reads files, writes none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from septum.components import catalog
from septum.components.model import Component, Deprecation
from septum.components.render import parse
from septum.errors import ContractError, every_error

CONTRACT = Path("components/contract.json")
"""Where the contract of a commit stands, relative to the root of a checkout."""

VERSION = "<version>"
"""Stands for the version of septum in a default: every release changes it, and no user can rely on it."""

_REFERENCE = re.compile(r"\$\[\[\s*inputs\.([A-Za-z0-9_-]+)")
_BLOCK = re.compile(_REFERENCE.pattern + r"\s*\]\]")
_INPUT_KEYS = {"type", "default", "description", "regex", "options"}
_STRICT: Mapping[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTerms:
    """One input.

    Attributes:
        type: GitLab's type.
        mandatory: Whether it has no default.
        default: The default; the version of septum in it is replaced by `VERSION`.
        regex: The form that a text must have.
        options: The only values, if there are such.
        deprecated: That it will go.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    type: str
    mandatory: bool
    default: Any = None
    regex: str | None = None
    options: tuple[str | int | float, ...] = ()
    deprecated: Deprecation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """One CI job, with what it takes from hidden ones.

    Attributes:
        paths: What it leaves as artifacts.
        reports: The path of each report that GitLab reads, by its kind.
        when: When it leaves them: `on_success`, `on_failure`, `always`.
        access: Who may read them: `all`, `developer`, `maintainer`, `none`.
        expose_as: Their name in the merge request; empty if they do not show there.
        artifact: The name of the archive; empty for GitLab's own.
        retried: The exit codes after which GitLab runs the CI job again.
        retries: How often at most.
        allowed: The exit codes that are a warning; `true` for all but 0, `false` for none.
        id_tokens: The audience of each of GitLab's tokens, by its variable.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    paths: tuple[str, ...] = ()
    reports: Mapping[str, str] = field(default_factory=dict)
    when: str = "on_success"
    access: Literal["all", "developer", "maintainer", "none"] = "all"
    expose_as: str = ""
    artifact: str = ""
    retried: tuple[int, ...] = ()
    retries: int = 0
    allowed: bool | tuple[int, ...] = False
    id_tokens: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTerms:
    """One component.

    Attributes:
        inputs: By name.
        jobs: The CI jobs by name, with the block that stands for the prefix; with the defaults of all inputs.
        choices: The CI jobs that another option of an input changes, by `input=option` and by name.
        variables: Those that septum reads in its CI jobs.
        used: The inputs that have an effect: those that stand in the body.
        deprecated: That the whole component will go.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    inputs: Mapping[str, InputTerms]
    jobs: Mapping[str, JobTerms]
    choices: Mapping[str, Mapping[str, JobTerms]] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    deprecated: Deprecation | None = None

    @property
    def naming(self) -> frozenset[str]:
        """The inputs whose values stand in names of CI jobs or in paths of artifacts, which others refer to."""
        texts = [*self.jobs, *(path for job in self.jobs.values() for path in (*job.paths, *job.reports.values()))]
        return frozenset(name for text in texts for name in _REFERENCE.findall(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a version of the library promises.

    Attributes:
        version: Which one.
        components: By name.
        errors: The exit code of each error code.
        format: The form of the JSON text.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    version: str
    components: Mapping[str, ComponentTerms]
    errors: Mapping[str, int]
    format: Literal[1] = 1


def contract_of(root: Path, components: Sequence[Component] | None = None) -> Contract:
    """The contract of a checkout: from `pyproject.toml`, the rendered components, and the errors of this package.

    Args:
        root: The root of the checkout.
        components: Those of the model, which knows what is deprecated; by default all that there are.

    Raises:
        ContractError: A rendered component is missing or cannot be read.
    """
    version = version_of(root)
    found = {}
    for item in catalog.COMPONENTS if components is None else components:
        path = root / "templates" / f"{item.name}.yml"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(
                f"contract: the rendered component templates/{item.name}.yml cannot be read",
                evidence=str(error),
                fix="septum component render",
            ) from error
        found[item.name] = terms_of(text, item, version)
    return Contract(version=version, components=found, errors={error.code: error.exit_code for error in every_error()})


def version_of(root: Path) -> str:
    """The version that `pyproject.toml` names.

    Raises:
        ContractError: It names none.
    """
    path = root / "pyproject.toml"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    match = re.search(r'^version = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise ContractError("contract: pyproject.toml names no version", fix='write  version = "X.Y.Z"')
    return match[1]


@lru_cache(maxsize=32)
def terms_of(text: str, item: Component, version: str) -> ComponentTerms:
    """The terms of one component. Kept, since reading YAML takes long.

    Args:
        text: The rendered YAML.
        item: The model of it.
        version: The version of septum that it was rendered for.

    Raises:
        ContractError: It cannot be read, or has an input with a key that the contract does not know.
    """
    header, body = parse(text, item.name)
    spec = _mapping(header.get("spec"))
    deprecated = {entry.name: entry.deprecated for entry in item.inputs}
    inputs = {
        name: _input_terms(item.name, name, _mapping(entry), version, deprecated.get(name))
        for name, entry in _mapping(spec.get("inputs")).items()
    }
    defaults = {name: str(entry.default) for name, entry in inputs.items()}
    jobs = _jobs(body, defaults)
    variables = {name for job in jobs.values() for name in _mapping(job.get("variables")) if name.startswith("SEPTUM_")}
    terms = {name: _job_terms(job) for name, job in jobs.items()}
    return ComponentTerms(
        inputs=inputs,
        jobs=terms,
        choices=_choices(body, inputs, defaults, terms),
        variables=tuple(sorted(variables)),
        used=tuple(sorted(set(_REFERENCE.findall(json.dumps(body, default=str))))),
        deprecated=item.deprecated,
    )


def _input_terms(
    component: str, name: str, entry: Mapping[str, Any], version: str, deprecated: Deprecation | None
) -> InputTerms:
    if unknown := sorted(entry.keys() - _INPUT_KEYS):
        raise ContractError(
            f"contract: the input {name} of {component} has the key {unknown[0]}, which the contract does not hold",
            fix="add it to InputTerms in src/septum/components/contract.py, and to contract_diff.py",
        )
    default = entry.get("default")
    if isinstance(default, str):
        # The image of septum itself: its tag is the version, its digest follows from it.
        default = re.sub(rf"(?<=:){re.escape(version)}(@sha256:[0-9a-f]+)?$", VERSION, default)
    return InputTerms(
        type=entry.get("type", "string"),
        mandatory="default" not in entry,
        default=default,
        regex=entry.get("regex"),
        options=tuple(entry.get("options", ())),
        deprecated=deprecated,
    )


def _job_terms(job: Mapping[str, Any]) -> JobTerms:
    artifacts = _mapping(job.get("artifacts"))
    retry = job.get("retry")
    retry = retry if isinstance(retry, Mapping) else {"max": retry or 0}
    allowed = job.get("allow_failure", False)
    return JobTerms(
        paths=tuple(sorted(artifacts.get("paths", ()))),
        reports={kind: _text(path) for kind, path in _mapping(artifacts.get("reports")).items()},
        when=artifacts.get("when", "on_success"),
        access=artifacts.get("access", "all"),
        expose_as=artifacts.get("expose_as", ""),
        artifact=artifacts.get("name", ""),
        retried=_codes(retry.get("exit_codes")),
        retries=retry.get("max", 0),
        allowed=_codes(allowed.get("exit_codes")) if isinstance(allowed, Mapping) else bool(allowed),
        id_tokens={name: _text(_mapping(token).get("aud")) for name, token in _mapping(job.get("id_tokens")).items()},
    )


def _choices(
    body: Mapping[str, Any],
    inputs: Mapping[str, InputTerms],
    defaults: Mapping[str, str],
    usual: Mapping[str, JobTerms],
) -> dict[str, dict[str, JobTerms]]:
    """What the other options of an input change; an option chooses by its place in the name of a hidden CI job."""
    switches = json.dumps([_mapping(job).get("extends") for job in body.values()])
    found = {}
    for name in sorted(set(_REFERENCE.findall(switches))):
        for option in inputs[name].options if name in inputs else ():
            jobs = _jobs(body, {**defaults, name: str(option)})
            terms = {job: _job_terms(merged) for job, merged in jobs.items()}
            if changed := {job: made for job, made in terms.items() if made != usual[job]}:
                found[f"{name}={option}"] = changed
    return found


def _jobs(body: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {name: _merged(name, body, values, ()) for name in body if not name.startswith(".")}


def _merged(name: str, body: Mapping[str, Any], values: Mapping[str, str], above: tuple[str, ...]) -> dict[str, Any]:
    """A CI job with what it takes by `extends`: mappings are merged, everything else is replaced."""
    own = dict(_mapping(body[name]))
    bases = own.pop("extends", ())
    # The hidden CI jobs of this library by their names with these values.
    hidden = {_BLOCK.sub(lambda match: values.get(match[1], ""), key): key for key in body}
    made: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        wanted = hidden.get(_BLOCK.sub(lambda match: values.get(match[1], ""), base))
        if wanted is None or wanted in above:
            raise ContractError(
                f"contract: {name} extends {base}, which does not exist, or extends it", fix="correct the component"
            )
        made = _deep(made, _merged(wanted, body, values, (*above, wanted)))
    return _deep(made, own)


def _deep(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), Mapping)
        made[key] = _deep(made[key], value) if both else value
    return made


def _codes(value: object) -> tuple[int, ...]:
    return tuple(sorted(value)) if isinstance(value, list) else () if value is None else (int(str(value)),)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def to_json(contract: Contract) -> str:
    """The contract as it is committed: sorted, and so the same for the same promise."""
    return json.dumps(asdict(contract), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def from_json(text: str, name: str) -> Contract:
    """Read a contract.

    Args:
        text: What `to_json` gave.
        name: Where it comes from, for messages.

    Raises:
        ContractError: It is not a contract.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Contract).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ContractError(
            f"{name} is not a contract of this library",
            evidence=f"{where}: {first['msg']}"[:400],
            fix="name a release that has components/contract.json, or a file that  septum component contract  wrote",
        ) from error

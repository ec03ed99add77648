"""What users of the library rely on, as one value: read from the rendered components and the table of errors.

`components/contract.json` is this value of a commit; that of the last release is its promise. Reads files, writes none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from septum.components import catalog
from septum.components.contract.situations import rows
from septum.components.contract.terms import EXPANDED, REFERENCE, ComponentTerms, Contract, InputTerms, JobTerms
from septum.components.model import Component, Deprecation
from septum.components.render import parse
from septum.errors import ContractError, every_error

CONTRACT = Path("components/contract.json")
"""Where the contract of a commit stands, relative to the root of a checkout."""

VERSION = "<version>"
"""Stands for the version of septum in a default: every release changes it, and no user can rely on it."""

_BLOCK = re.compile(REFERENCE.pattern + r"\s*\]\]")
_INPUT_KEYS = {"type", "default", "description", "regex", "options"}
_HELD = frozenset(
    {"artifacts", "retry", "allow_failure", "id_tokens", "image", "stage", "script", "before_script", "after_script"}
    | {"interruptible", "resource_group", "environment", "inherit", "variables"}
)
"""Keywords that have a field of their own; what `rules` and `needs` do stands in the situations."""
_SHOWN_BY_SITUATIONS = frozenset({"rules", "needs"})
_ARTIFACTS = frozenset({"paths", "reports", "when", "access", "expose_as", "name", "expire_in", "exclude"})


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
    terms = _jobs(body, defaults, version)
    choices = _choices(body, inputs, defaults, version)
    shared = _shared([*terms.values(), *(job for jobs in choices.values() for job in jobs.values())])
    own = _without(terms, shared)
    changed = {choice: _without(jobs, shared) for choice, jobs in choices.items()}
    return ComponentTerms(
        inputs=inputs,
        jobs=own,
        choices={
            choice: found
            for choice, jobs in changed.items()
            if (found := {name: job for name, job in jobs.items() if job != own[name]})
        },
        shared=shared,
        situations=rows(text, item.name, inputs),
        used=tuple(sorted(set(REFERENCE.findall(json.dumps(body, default=str))))),
        deprecated=item.deprecated,
    )


def _shared(jobs: Sequence[JobTerms]) -> dict[str, str]:
    first = jobs[0].variables if jobs else {}
    return {
        name: value for name, value in sorted(first.items()) if all(job.variables.get(name) == value for job in jobs)
    }


def _without(jobs: Mapping[str, JobTerms], shared: Mapping[str, str]) -> dict[str, JobTerms]:
    return {
        name: replace(job, variables={key: value for key, value in job.variables.items() if key not in shared})
        for name, job in jobs.items()
    }


def _input_terms(
    component: str, name: str, entry: Mapping[str, Any], version: str, deprecated: Deprecation | None
) -> InputTerms:
    if unknown := sorted(entry.keys() - _INPUT_KEYS):
        raise ContractError(
            f"contract: the input {name} of {component} has the key {unknown[0]}, which the contract does not hold",
            fix="add it to InputTerms in src/septum/components/contract/terms.py, and to diff.py beside it",
        )
    default = entry.get("default")
    if isinstance(default, str):
        # The image of septum itself: its tag is the version, its digest follows from it.
        default = _without_version(default, version)
    return InputTerms(
        type=entry.get("type", "string"),
        mandatory="default" not in entry,
        default=default,
        regex=entry.get("regex"),
        options=tuple(entry.get("options", ())),
        deprecated=deprecated,
    )


def _without_version(text: str, version: str) -> str:
    """The version at the end of an image, a requirement or the name of a component, with digest and hash, replaced."""
    return re.sub(
        rf"(?<=[:=@]){re.escape(version)}(?:@sha256:[0-9a-f]+| --hash=sha256:[0-9a-f]+)?$", lambda _: VERSION, text
    )


def _job_terms(job: Mapping[str, Any], version: str) -> JobTerms:
    artifacts = _mapping(job.get("artifacts"))
    retry = job.get("retry")
    retry = retry if isinstance(retry, Mapping) else {"max": retry or 0}
    allowed = job.get("allow_failure", False)
    variables = _mapping(job.get("variables"))
    interruptible = job.get("interruptible", False)
    others = {key: value for key, value in job.items() if key not in _HELD | _SHOWN_BY_SITUATIONS}
    others |= {f"artifacts:{key}": value for key, value in artifacts.items() if key not in _ARTIFACTS}
    others |= {f"retry:{key}": value for key, value in retry.items() if key not in {"max", "exit_codes"}}
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
        id_tokens={
            name: tuple(sorted(_texts(_mapping(token).get("aud"))))
            for name, token in _mapping(job.get("id_tokens")).items()
        },
        image=_without_version(_text(job.get("image", "")), version),
        stage=_text(job.get("stage", "")),
        script=_texts(job.get("script")),
        after_script=_texts(job.get("after_script")),
        installs=bool(job.get("before_script")),
        interruptible=interruptible if isinstance(interruptible, bool) else _text(interruptible),
        expire_in=_text(artifacts.get("expire_in", "")),
        exclude=tuple(sorted(_texts(artifacts.get("exclude")))),
        resource_group=_text(job.get("resource_group", "")),
        environment=_text(job.get("environment", "")),
        inherit=_text(job.get("inherit", "")),
        variables={name: _variable(value, version) for name, value in variables.items()},
        others={name: _text(value) for name, value in others.items()},
    )


def _variable(value: object, version: str) -> str:
    """The value as septum gets it; GitLab replaces variables in it unless the YAML says `expand: false`."""
    entry = value if isinstance(value, Mapping) else {"value": value}
    text = _text(entry.get("value", ""))
    if text == version:
        text = VERSION
    text = _without_version(text, version)
    # Nothing is replaced where nothing can be: in a fixed value without a dollar sign.
    plain = entry.get("expand", True) is False or not re.search(r"\$|%", text)
    return text if plain else EXPANDED + text


def _choices(
    body: Mapping[str, Any], inputs: Mapping[str, InputTerms], defaults: Mapping[str, str], version: str
) -> dict[str, dict[str, JobTerms]]:
    """All CI jobs for the other options of an input; an option chooses by its place in the name of a hidden CI job."""
    switches = json.dumps([_mapping(job).get("extends") for job in body.values()])
    found = {}
    for name in sorted(set(REFERENCE.findall(switches))):
        for option in inputs[name].options if name in inputs else ():
            found[f"{name}={option}"] = _jobs(body, {**defaults, name: str(option)}, version)
    return found


def _jobs(body: Mapping[str, Any], values: Mapping[str, str], version: str) -> dict[str, JobTerms]:
    return {name: _job_terms(_merged(name, body, values, ()), version) for name in body if not name.startswith(".")}


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


def _texts(value: object) -> tuple[str, ...]:
    return () if value is None else tuple(map(_text, value)) if isinstance(value, list) else (_text(value),)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

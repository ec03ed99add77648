"""The contract as the text of `components/contract.json`, and back. Pure.

Left out is what is as usual: a field with its default, and what a CI job has as most in the component (`each`). Of
those that an option changes, only the change is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from septum.components.contract.terms import ComponentTerms, Contract, InputTerms, JobTerms, Ran, Row
from septum.errors import ContractError

_WIDTH = 120
_USUAL = asdict(JobTerms())


def to_json(contract: Contract) -> str:
    """The contract as it is committed: sorted, and so the same for the same promise."""
    components = {name: _component(terms) for name, terms in contract.components.items()}
    return _written({**asdict(contract), "components": components}, 0) + "\n"


def _component(terms: ComponentTerms) -> dict[str, Any]:
    jobs = {name: asdict(job) for name, job in terms.jobs.items()}
    choices = {
        choice: {
            name: {key: value for key, value in asdict(job).items() if value != jobs[name][key]}
            for name, job in changed.items()
        }
        for choice, changed in terms.choices.items()
    }
    each = _most(list(jobs.values()))
    slim = {name: {key: value for key, value in job.items() if value != each[key]} for name, job in jobs.items()}
    return {
        **_slim(terms),
        "each": {key: value for key, value in each.items() if value != _USUAL[key]},
        "inputs": {name: _slim(entry) for name, entry in terms.inputs.items()},
        "jobs": slim,
        **({"choices": choices} if choices else {}),
        "situations": [
            {**_slim(row), "jobs": {name: _slim(job) for name, job in row.jobs.items()}} for row in terms.situations
        ],
    }


def _most(jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each field of a CI job, the value that most of them have; the usual one where no two have the same."""
    most = {}
    for key, usual in _USUAL.items():
        values = [job[key] for job in jobs]
        count, value = max(((values.count(value), -index) for index, value in enumerate(values)), default=(0, 0))
        most[key] = values[-value] if count > 1 else usual
    return most


def _slim(value: ComponentTerms | InputTerms | JobTerms | Ran | Row) -> dict[str, Any]:
    """The fields that are not as usual."""
    usual = {
        field.name: field.default_factory() if field.default_factory is not MISSING else field.default
        for field in fields(value)
    }
    # The type counts too: 0 is not false.
    return {
        name: found for name, found in asdict(value).items() if (type(found), found) != (type(usual[name]), usual[name])
    }


def _written(value: Any, depth: int, used: int = 0) -> str:
    """JSON with everything in one line that fits into it."""
    whole = json.dumps(value, sort_keys=True, ensure_ascii=False)
    fits = depth > 1 and 2 * depth + used + len(whole) <= _WIDTH
    if fits or not value or not isinstance(value, (dict, list, tuple)):
        return whole
    space, end = "  " * (depth + 1), "  " * depth
    if isinstance(value, Mapping):
        keys = {name: json.dumps(name, ensure_ascii=False) + ": " for name in sorted(value)}
        entries = [space + key + _written(value[name], depth + 1, len(key) + 1) for name, key in keys.items()]
        return "{\n" + ",\n".join(entries) + f"\n{end}}}"
    return "[\n" + ",\n".join(space + _written(item, depth + 1, 1) for item in value) + f"\n{end}]"


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
        return TypeAdapter(Contract).validate_json(json.dumps(_whole(json.loads(text))))
    except (ValueError, RecursionError) as error:
        said = str(error)
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            said = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
        raise ContractError(
            f"{name} is not a contract of this library",
            evidence=said[:400],
            fix="name a release that has components/contract.json, or a file that  septum component contract  wrote",
        ) from error


def _whole(found: Any) -> Any:
    """What was read, with the CI jobs that an option changes made whole again."""
    components = found.get("components") if isinstance(found, dict) else None
    for terms in components.values() if isinstance(components, dict) else ():
        if not isinstance(terms, dict) or not isinstance(terms.get("jobs"), dict):
            continue
        each, choices = terms.pop("each", {}), terms.get("choices")
        jobs = terms["jobs"] = {name: _over(each, job) for name, job in terms["jobs"].items()}
        if isinstance(choices, dict):
            terms["choices"] = {
                choice: {name: _over(jobs.get(name), job) for name, job in changed.items()}
                if isinstance(changed, dict)
                else changed
                for choice, changed in choices.items()
            }
    return found


def _over(below: Any, above: Any) -> Any:
    return {**below, **above} if isinstance(below, dict) and isinstance(above, dict) else above

"""Merging: included files, `extends`, `!reference`, `default`, and what a CI job inherits. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/config/extendable*`, `lib/gitlab/ci/config/yaml/tags/*`,
`lib/gitlab/ci/config/entry/{root,default,inherit*,processable}.rb`; doc/ci/yaml/yaml_optimization.md.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from septum.errors import LimitError, PipelineError
from septum.preview.source import Reference

MAX_EXTENDS = 10
"""How many CI jobs may stand above one that is extended: eleven levels in all."""
MAX_REFERENCES = 10
MAX_NODES = 100_000

RESERVED = frozenset(
    {"default", "include", "before_script", "image", "services", "after_script", "variables", "stages", "cache"}
    | {"workflow"}
)
"""Keywords at the top of a file that are no CI jobs."""
_TOP_DEFAULTS = ("after_script", "before_script", "cache", "image", "services")
DEFAULTS = (
    "after_script", "artifacts", "before_script", "cache", "hooks", "id_tokens", "identity", "image", "interruptible",
    "retry", "services", "tags", "timeout",
)  # fmt: skip
"""What `default` may hold."""
EDGES = (".pre", ".post")
STAGES = (".pre", "build", "test", "deploy", ".post")


def deep_merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """Merge two mappings: mappings key by key at any depth, anything else is replaced, also by null.

    Args:
        base: Gives the order of the keys.
        over: Wins.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = deep_merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def assemble(body: Mapping[str, object]) -> dict[str, object]:
    """Carry out `extends`, then `!reference`, in a body in which all includes are merged.

    Raises:
        PipelineError: A name does not exist, or they refer to each other in a circle.
    """
    done: dict[str, tuple[object, int]] = {}
    extended = {name: _extended(name, body, (), done)[0] for name in body}
    resolver = _Resolver(config=extended)
    return {str(name): resolver.resolved(value, ()) for name, value in extended.items()}


def _extended(
    name: str, body: Mapping[str, object], above: tuple[str, ...], done: dict[str, tuple[object, int]]
) -> tuple[object, int]:
    """An entry with all that it extends, and how many levels that has below it."""
    value = body[name]
    if not isinstance(value, dict) or "extends" not in value:
        return value, 0
    chain = " > ".join([*above, name])
    if name in above:
        raise PipelineError(f"{name}: circular dependency detected in `extends`", evidence=chain)
    if name not in done:
        bases = _bases(name, value["extends"], body)
        merged: dict[str, object] = {}
        height = 0
        if len(above) <= MAX_EXTENDS:
            for base in bases:
                found, below = _extended(base, body, (*above, name), done)
                merged = deep_merge(merged, found) if isinstance(found, dict) else merged
                height = max(height, below + 1)
        done[name] = deep_merge(merged, value), height
    # The last level extends nothing itself, and may stand one deeper.
    if len(above) + max(done[name][1] - 1, 0) > MAX_EXTENDS:
        raise PipelineError(f"{name}: nesting too deep in `extends`", evidence=chain)
    return done[name]


def _bases(name: str, listed: object, body: Mapping[str, object]) -> list[str]:
    bases = [str(base) for base in (listed if isinstance(listed, list) else [listed])]
    for problem, names in (
        ("unknown keys in `extends`", [base for base in bases if base not in body]),
        ("invalid base hashes in `extends`", [base for base in bases if not isinstance(body.get(base), dict)]),
    ):
        if names:
            raise PipelineError(
                f"{name}: {problem} ({', '.join(names)})",
                fix="extend a CI job of the same pipeline; mind the dot at the beginning of a hidden one",
            )
    return bases


@dataclass(slots=True, kw_only=True)
class _Resolver:
    """Puts in what `!reference` points at, and counts: a few lines can point at each other very often."""

    config: Mapping[str, object]
    count: int = 0

    def resolved(self, value: object, chain: tuple[str, ...]) -> object:
        """A value without references in it."""
        self.count += 1
        if self.count > MAX_NODES:
            raise LimitError("!reference: the pipeline becomes too large", evidence=f"more than {MAX_NODES} nodes")
        if isinstance(value, Reference):
            return self.pointed(value, chain)
        if isinstance(value, dict):
            return {key: self.resolved(item, chain) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolved(item, chain) for item in value]
        return value

    def pointed(self, reference: Reference, chain: tuple[str, ...]) -> object:
        """What one reference points at."""
        path = reference.path
        shown = json.dumps(path, default=str)
        if not isinstance(path, list) or not path or not all(isinstance(part, str) for part in path):
            raise PipelineError(f"!reference {shown} is not valid", fix="write !reference [JOB, KEYWORD]")
        if shown in chain:
            raise PipelineError(f"!reference {shown} is part of a circular chain", evidence=" > ".join([*chain, shown]))
        if len(chain) >= MAX_REFERENCES:
            raise PipelineError(f"!reference {shown} is nested too deep", evidence=" > ".join([*chain, shown]))
        target: object = self.config
        for part in path:
            if isinstance(target, Reference):
                target = self.pointed(target, (*chain, shown))
            target = target.get(part) if isinstance(target, dict) else None
        found = self.resolved(target, (*chain, shown))
        if found is None or found is False:
            raise PipelineError(f"!reference {shown} could not be found", fix="name a CI job and a keyword that it has")
        return found


def stages_of(body: Mapping[str, object]) -> tuple[str, ...]:
    """The stages in their order, `.pre` and `.post` around them.

    Raises:
        PipelineError: `stages` is no list of names.
    """
    stages = body.get("stages")
    if stages is None:
        return STAGES
    if not isinstance(stages, list) or not all(isinstance(stage, str) for stage in stages):
        raise PipelineError("stages config should be an array of strings", evidence=f"it is {stages!r:.100}")
    own = [stage for stage in dict.fromkeys(stages) if stage not in EDGES]
    return (EDGES[0], *own, EDGES[1]) if stages else ()


def defaults_of(body: Mapping[str, object]) -> dict[str, object]:
    """What CI jobs get that do not say otherwise: of `default`, and of the older keywords at the top.

    Raises:
        PipelineError: A keyword is unknown there, or stands in both places.
    """
    default = body.get("default")
    if not isinstance(default, dict | None):
        raise PipelineError("default config should be a hash", evidence=f"it is {default!r:.100}")
    given = {key: value for key, value in (default or {}).items() if value is not None}
    unknown = [str(key) for key in given if key not in DEFAULTS]
    if unknown:
        raise PipelineError(f"default config contains unknown keys: {', '.join(unknown)}")
    for key in _TOP_DEFAULTS:
        if body.get(key) is not None:
            if key in given:
                raise PipelineError(f"{key} is defined in top-level and `default:` entry", fix=f"remove one {key}")
            given[key] = body[key]
    return given


def with_defaults(name: str, job: Mapping[str, object], defaults: Mapping[str, object]) -> dict[str, object]:
    """A CI job with what it inherits: a keyword that it has is its own, whole; a null counts as none.

    Raises:
        PipelineError: Its `inherit` is not as it should be.
    """
    wanted = _inherited(name, job, "default")
    own = {key: value for key, value in job.items() if value is not None}
    # What begins another pipeline has no script, image or artifacts.
    possible = {"interruptible"} if "trigger" in own else set(DEFAULTS)
    added = {
        key: value
        for key, value in defaults.items()
        if key in possible and key not in own and (wanted is True or (wanted is not False and key in wanted))
    }
    return {**own, **copy.deepcopy(added)}


def inherited_variables(name: str, job: Mapping[str, object], variables: Mapping[str, object]) -> dict[str, object]:
    """Those of the default variables that a CI job inherits.

    Raises:
        PipelineError: Its `inherit` is not as it should be.
    """
    wanted = _inherited(name, job, "variables")
    if isinstance(wanted, bool):
        return dict(variables) if wanted else {}
    return {key: value for key, value in variables.items() if key in wanted}


def _inherited(name: str, job: Mapping[str, object], what: str) -> bool | Sequence[str]:
    inherit = job.get("inherit")
    if inherit is None:
        return True
    where = f"jobs:{name}:inherit"
    if not isinstance(inherit, dict):
        raise PipelineError(f"{where} config should be a hash")
    unknown = [str(key) for key in inherit if key not in {"default", "variables"}]
    if unknown:
        raise PipelineError(f"{where} config contains unknown keys: {', '.join(unknown)}")
    wanted = inherit.get(what)
    if wanted is None:
        return True
    if isinstance(wanted, bool):
        return wanted
    if not isinstance(wanted, list) or not all(isinstance(item, str) for item in wanted):
        raise PipelineError(f"{where}:{what} config should be a bool or an array of strings")
    if what == "default" and not set(wanted) <= set(DEFAULTS):
        unknown = [item for item in wanted if item not in DEFAULTS]
        raise PipelineError(f"{where}:default config contains unknown values: {', '.join(unknown)}")
    return wanted

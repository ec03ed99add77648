"""From one file to all that it includes, merged as GitLab merges them.

Behaviour: gitlabhq `lib/gitlab/ci/config/external/mapper*` and `processor.rb`; doc/ci/yaml/includes.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from septum.errors import IncludeError, PipelineError
from septum.preview import rules, shelf
from septum.preview.assemble import RESERVED, deep_merge
from septum.preview.shelf import Place, Shelf
from septum.preview.situation import Situation, expanded_if_possible, fill, values, visible
from septum.preview.source import Source, Variable, expand

MAX_INCLUDES = 150
_KINDS = ("local", "project", "remote", "template", "component", "artifact")
_KEYS = frozenset({*_KINDS, "file", "ref", "inputs", "rules", "job", "integrity"})
_PREFIX = "job-prefix"
_NAMED = 3
"""CI jobs that a warning names; of the others it says how many they are."""
_YAML_NAME = re.compile(r".+\.ya?ml", re.IGNORECASE | re.DOTALL)
_WEB = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """One file that was included.

    Attributes:
        kind: `local`, `component` and so on.
        address: What stands behind that keyword, with variables replaced.
    """

    kind: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A file with everything that it includes.

    Attributes:
        body: All merged; `include` is gone, `extends` and `!reference` are still there.
        inclusions: What was included, in the order in which GitLab reads it.
        warnings: What got lost without a word of GitLab.
    """

    body: dict[str, object]
    inclusions: tuple[Inclusion, ...]
    warnings: tuple[str, ...]


def gather(source: Source, inputs: Mapping[str, object] | None, on: Shelf, situation: Situation) -> Gathered:
    """Read the main file and all that it includes.

    Args:
        source: The main file.
        inputs: The inputs of the pipeline.
        on: Where included files are.
        situation: Decides what variables and rules in `include` see.

    Raises:
        PreviewError: GitLab would refuse a file, an input or an include.
    """
    seen = visible(situation)
    reader = _Reader(
        shelf=on, situation=situation, variables=seen, values=values(seen), expanded=expanded_if_possible(seen)
    )
    body = expand(source, inputs, seen, gitlab=situation.gitlab, pipeline=True)
    merged = reader.with_includes(body, on.own)
    warnings = tuple(_overwritten(reader.components))
    return Gathered(body=merged, inclusions=tuple(reader.inclusions), warnings=warnings)


def _overwritten(components: Sequence[_Component]) -> list[str]:
    """A warning for each set of CI jobs that several components give, each in another way."""
    givers: dict[str, list[_Component]] = {}
    for each in components:
        for name in each.jobs:
            givers[name] = [other for other in givers.get(name, []) if not _alike(name, other, each)] + [each]
    shared: dict[tuple[int, ...], list[str]] = {}
    for name, those in givers.items():
        shared.setdefault(tuple(map(components.index, those)), []).append(name)
    return [
        _warning(names, [components[number] for number in numbers])
        for numbers, names in shared.items()
        if len(numbers) > 1
    ]


def _alike(name: str, one: _Component, other: _Component) -> bool:
    """Whether nothing is lost if one component gives a CI job instead of the other.

    Two inclusions are the same, or two components share a CI job that leaves nothing: it is there once for both.
    """
    if one.body == other.body:
        return True
    first, second = one.body[name], other.body[name]
    if one.path == other.path or not isinstance(first, dict) or not isinstance(second, dict):
        return False
    leaves = first.get("artifacts") or second.get("artifacts")
    return bool(first.get("script")) and first["script"] == second.get("script") and not leaves


def _warning(names: Sequence[str], givers: Sequence[_Component]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    jobs = f"CI job{'s' if len(names) > 1 else ''} {', '.join(names[:_NAMED])}{more}"
    count, winner = ("two", "second") if len(givers) == 2 else (len(givers), "last")  # noqa: PLR2004 - said in words
    means = f"different {_PREFIX}" if all(each.prefixed for each in givers) else "different names"
    return f"{count} includes give the {jobs}; the {winner} one wins: give them {means}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Component:
    """One inclusion of a component, for the CI jobs that it shares with others.

    Attributes:
        path: Its address without the version.
        body: What is in it, without what it includes.
        prefixed: Whether its CI jobs can be renamed with an input.
    """

    path: str
    body: Mapping[str, object]
    prefixed: bool

    @property
    def jobs(self) -> list[str]:
        """Those of the CI jobs that are visible."""
        return [name for name in self.body if name not in RESERVED and not name.startswith(".")]


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads files one after the other, and counts them."""

    shelf: Shelf
    situation: Situation
    variables: Mapping[str, Variable]
    values: Mapping[str, str]
    expanded: Mapping[str, str]
    inclusions: list[Inclusion] = field(default_factory=list)
    components: list[_Component] = field(default_factory=list)

    def with_includes(self, body: dict[str, object], place: Place) -> dict[str, object]:
        """Merge what a file includes, and the file itself over it."""
        merged: dict[str, object] = {}
        for entry in self._entries(body.get("include"), place):
            merged = deep_merge(merged, self._included(entry, place))
        own = {key: value for key, value in body.items() if key != "include"}
        return deep_merge(merged, own)

    def _entries(self, include: object, place: Place) -> list[dict[str, object]]:
        """The entries that count, each with one address of one kind, variables replaced."""
        if include is None:
            return []
        found: list[dict[str, object]] = []
        for item in include if isinstance(include, list) else [include]:
            entry = self._checked(item)
            if self._wanted(entry.pop("rules", None), place):
                entry = {key: self._filled(value) if key != "inputs" else value for key, value in entry.items()}
                found += _each_file(entry, place)
        return found

    def _checked(self, item: object) -> dict[str, object]:
        if isinstance(item, str):
            address = fill(item, self.values, keep=False)
            return {"remote" if _WEB.match(address) else "local": address}
        if not isinstance(item, dict):
            raise IncludeError("include config should be a hash or a string", evidence=f"it is {item!r:.100}")
        unknown = [str(key) for key in item if key not in _KEYS]
        kinds = [kind for kind in _KINDS if item.get(kind) is not None]
        if not kinds:
            raise IncludeError(
                f"`{_as_json(item)}` does not have a valid subkey for include. "
                f"Valid subkeys are: `{'`, `'.join(_KINDS)}`"
            )
        if unknown:
            raise IncludeError(f"include config contains unknown keys: {', '.join(unknown)}")
        if len(kinds) > 1:
            raise IncludeError(f"Each include must use only one of: `{'`, `'.join(_KINDS)}`", evidence=_as_json(item))
        if kinds == ["project"] and not item.get("file"):
            raise IncludeError("include config must specify the file where to fetch the config from")
        if kinds == ["artifact"]:
            raise IncludeError("Including configs from artifacts is only allowed when triggering child pipelines")
        if not isinstance(item.get("inputs"), dict | None):
            raise IncludeError("include:inputs should be a hash", evidence=_as_json(item))
        return dict(item)

    def _wanted(self, listed: object, place: Place) -> bool:
        around = rules.Surroundings(
            variables=self.values,
            expanded=self.expanded,
            files=lambda: shelf.files_of(place.folder),
            changes=self.situation.changes,
            gitlab=self.situation.gitlab,
        )
        try:
            found = rules.flatten(listed, where="include:rules")
            for rule in found or ():
                rules.check(
                    rule,
                    where="include:rules:rule",
                    keys=rules.INCLUDE_KEYS,
                    whens=rules.SWITCH_WHENS,
                    gitlab=self.situation.gitlab,
                )
            match = rules.first_match(found, around) if found is not None else {}
        except PipelineError as error:
            raise IncludeError(error.what, evidence=error.evidence, fix=error.fix) from error
        return match is not None and match.get("when") != "never"

    def _filled(self, value: object) -> object:
        if isinstance(value, str):
            return fill(value, self.values, keep=False)
        return [self._filled(item) for item in value] if isinstance(value, list) else value

    def _included(self, entry: Mapping[str, object], place: Place) -> dict[str, object]:
        """Read one file, put its inputs in, and merge what it includes itself."""
        kind = next(kind for kind in _KINDS if entry.get(kind) is not None)
        if len(self.inclusions) >= MAX_INCLUDES:
            raise IncludeError(
                f"Maximum of {MAX_INCLUDES} nested includes are allowed!",
                evidence="the last of them: " + ", ".join(each.address for each in self.inclusions[-3:]),
                fix="include fewer files; perhaps a file includes itself",
            )
        address = _address(entry, kind)
        self.inclusions.append(Inclusion(kind=kind, address=address))
        source, inner = self._found(kind, address, place)
        inputs = entry.get("inputs")
        given = inputs if isinstance(inputs, dict) else None
        body = expand(source, given, self.variables, gitlab=self.situation.gitlab)
        if not body:
            raise IncludeError(f"Included file `{address}` does not have valid YAML syntax!", evidence="it is empty")
        if kind == "component":
            prefixed = f"{_PREFIX}:" in source.text
            self.components.append(_Component(path=address.partition("@")[0], body=body, prefixed=prefixed))
        return self.with_includes(body, inner)

    def _found(self, kind: str, address: str, place: Place) -> tuple[Source, Place]:
        if kind == "component":
            return self.shelf.component(address)
        path = address.partition(":")[2] if kind == "project" else address
        if not _YAML_NAME.fullmatch(path.rpartition("/")[2]):
            raise IncludeError(f"Included file `{address}` does not have YAML extension!")
        if kind == "local":
            return self.shelf.local(place, address), place
        project = address.partition(":")[0] if kind == "project" else self.shelf.project
        if project == self.shelf.project and kind == "project":
            return self.shelf.local(self.shelf.own, path.lstrip("/")), self.shelf.own
        return self.shelf.file(address, f"include: {kind}"), Place(project=project, folder=None)


def _each_file(entry: dict[str, object], place: Place) -> list[dict[str, object]]:
    """One entry for each file of a project, and for each local file that a `*` stands for."""
    local, project = entry.get("local"), entry.get("project")
    if isinstance(local, str) and "*" in local:
        escaped = re.escape(local.lstrip("/")).replace(r"\*\*", ".*?").replace(r"\*", "[^/]*?")
        return [{**entry, "local": name} for name in shelf.files_of(place.folder) if re.fullmatch(escaped, name)]
    if project is not None:
        files = entry["file"]
        return [
            {**entry, "file": file}
            for file in (files if isinstance(files, Sequence | list) and not isinstance(files, str) else [files])
        ]
    return [entry]


def _address(entry: Mapping[str, object], kind: str) -> str:
    value = entry["file"] if kind == "project" else entry[kind]
    if not isinstance(value, str) or not isinstance(entry[kind], str):
        raise IncludeError(f"Included file `{value}` needs to be a string")
    if kind == "project":
        return f"{entry['project']}:/{value.lstrip('/')}"
    return value.lstrip("/") if kind == "local" else value


def _as_json(item: object) -> str:
    return json.dumps(item, default=str, separators=(",", ":"))[:300]

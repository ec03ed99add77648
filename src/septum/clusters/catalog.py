"""Find a cluster profile by name or path, and lay variables and `--set` over it.

A later layer wins: septum's default, the profile's file (shipped, or the user's own), `SEPTUM_CLUSTER_<KEY>`, `--set`.
An empty variable counts as not set. A list is written with spaces between its entries, a mapping as lines `Name=value`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_origin

from septum.clusters.profile import (
    IDENTITY,
    VARIABLE_PREFIX,
    LoadedProfile,
    Origin,
    Profile,
    keys,
    missing_keys,
    variable_of,
)
from septum.errors import ClusterUnusableError, ProfileError, UsageError
from septum.validation import did_you_mean, validate
from septum.yamltext import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from septum.yamltext import Document, KeyPath

_SHIPPED = Path(__file__).parent
_FOLDER = "clusters"
_HERE = "local"
_ANNOTATION = {"value", "source", "date"}
_LIST_HINT = "septum cluster list shows all profiles."


def shipped_names() -> list[str]:
    """The names of the profiles that come with septum."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def own_names(root: Path) -> list[str]:
    """The names of the profiles in the folder `clusters` beside `septum.yaml`."""
    return sorted({path.stem for ending in ("yaml", "yml") for path in (root / _FOLDER).glob(f"*.{ending}")})


def load_profile(
    name_or_path: str,
    *,
    environ: Mapping[str, str],
    root: Path,
    overrides: Mapping[str, str] | None = None,
    complete: bool = True,
) -> LoadedProfile:
    """Load a profile and say where each value comes from.

    Args:
        name_or_path: A shipped name, a name of a file in `clusters/`, or a path (with a `/`, or ending in .yaml).
        environ: Variables; those named `SEPTUM_CLUSTER_<KEY>` override the file.
        root: The folder of `septum.yaml`; relative paths begin here.
        overrides: Key and text, as `--set key=value` gives them.
        complete: Whether the cluster must be usable and all that it needs must be given. Without, the result only
            says what is missing.

    Raises:
        ProfileError: No such profile, or its values are wrong or incomplete.
        UsageError: A variable or an override names no key.
        ClusterUnusableError: This version of septum cannot use the cluster.
    """
    file, shipped = _find(name_or_path, root)
    layers = _read_layers(file, shipped=shipped, root=root)
    variables = _from_environment(environ)
    if shipped and file.stem == _HERE:
        # A variable of the project counts for all its clusters; none of them makes another machine of this one.
        variables.pop("method", None)
    layers.overlay(variables, "variable")
    layers.overlay(_from_overrides(overrides or {}), "set")
    profile = validate(
        Profile, layers, error=ProfileError, fix="septum cluster show NAME lists all keys with their origin."
    )
    if not shipped and profile.name in shipped_names():
        raise ProfileError(
            f"{layers.name}: the name {profile.name!r} belongs to a profile that comes with septum",
            fix="Give the file, and its key 'name', a name of its own.",
        )
    loaded = LoadedProfile(profile=profile, origins=layers.origins(), missing=tuple(missing_keys(profile)))
    if complete:
        _require_complete(loaded)
    return loaded


def _require_complete(loaded: LoadedProfile) -> None:
    profile = loaded.profile
    if not profile.usable:
        raise ClusterUnusableError(
            f"the cluster {profile.name!r} cannot be used: {profile.unusable_because}",
            fix=f"Choose another cluster. {_LIST_HINT}",
        )
    if loaded.missing:
        descriptions = {f.alias: f.description or "" for f in Profile.model_fields.values()}
        raise ProfileError(
            f"the profile of the cluster {profile.name!r} does not know: {', '.join(loaded.missing)}",
            evidence="\n".join(f"{key}: {descriptions[key]}" for key in loaded.missing),
            fix="Ask the site, and set the CI variable\n" + "\n".join(map(variable_of, loaded.missing)),
        )


@dataclass(slots=True)
class _Layers:
    """The merged tree of a profile, and the origin of each key; a `Source` for `validate`."""

    name: str
    data: Any
    document: Document
    kind: Literal["shipped", "file"]
    notes: dict[str, str]
    over: dict[str, Origin]

    def where(self, path: KeyPath) -> str:
        key = str(path[0]) if path else ""
        return self.over[key].detail if key in self.over else self.document.where(path)

    def overlay(self, values: Mapping[str, tuple[Any, str]], kind: Literal["variable", "set"]) -> None:
        if isinstance(self.data, dict):
            for key, (value, detail) in values.items():
                self.data[key] = value
                self.over[key] = Origin(kind, detail)

    def origins(self) -> dict[str, Origin]:
        return {key: self._origin(key) for key in keys()}

    def _origin(self, key: str) -> Origin:
        if key in self.over:
            return self.over[key]
        if (key,) in self.document.lines:
            place = self.document.where((key,))
            note = self.notes.get(key, "")
            return Origin(self.kind, f"{place}{': ' if note else ''}{note}")
        if key == "name":
            return Origin(self.kind, f"the file's name, {self.name}")
        return Origin("default", "septum's default")


def _read_layers(file: Path, *, shipped: bool, root: Path) -> _Layers:
    shown = file.name if shipped else os.path.relpath(file, root)
    document = read(file, ProfileError, shown)
    data: Any = document.data
    notes: dict[str, str] = {}
    if isinstance(data, dict):
        data, notes = _plain(data)
        data.setdefault("name", file.stem)
    return _Layers(
        name=shown, data=data, document=document, kind="shipped" if shipped else "file", notes=notes, over={}
    )


def _plain(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Take `{value, source, date}` apart: the values, and for each key a note with source and date."""
    values, notes = {}, {}
    for key, entry in data.items():
        annotated = isinstance(entry, dict) and {"value", "source"} <= entry.keys() <= _ANNOTATION
        values[key] = entry["value"] if annotated else entry
        if annotated:
            notes[key] = ", ".join(str(entry[part]) for part in ("source", "date") if entry.get(part))
    return values, notes


def _find(name_or_path: str, root: Path) -> tuple[Path, bool]:
    """The file of a profile, and whether it comes with septum."""
    if not name_or_path:
        raise ProfileError(
            "no cluster is named", fix="Set the input 'cluster' (SEPTUM_CLUSTER), for instance to local."
        )
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        return root / name_or_path, False
    shipped, own = shipped_names(), own_names(root)
    if name_or_path in shipped and name_or_path in own:
        raise ProfileError(
            f"{_FOLDER}/{name_or_path}.yaml has the name of a profile that comes with septum",
            fix="Rename the file, and choose it by its new name.",
        )
    if name_or_path in shipped:
        return _SHIPPED / f"{name_or_path}.yaml", True
    if name_or_path in own:
        file = root / _FOLDER / f"{name_or_path}.yaml"
        return (file if file.exists() else file.with_suffix(".yml")), False
    hint = did_you_mean(name_or_path, [*shipped, *own])
    raise ProfileError(
        f"there is no cluster {name_or_path!r}{'; ' + hint if hint else ''}",
        evidence="clusters: " + ", ".join([*shipped, *own]),
        fix=f"Choose one of these, or write {_FOLDER}/{name_or_path}.yaml beside septum.yaml.",
    )


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    variables = {variable_of(key): key for key in keys()}
    found = {}
    for variable in sorted(environ):
        text = environ[variable]
        if not variable.startswith(VARIABLE_PREFIX) or not text:
            continue
        if variable not in variables:
            raise _unknown(variable, did_you_mean(variable, list(variables)))
        found[variables[variable]] = (_parse(variables[variable], text, variable), variable)
    return _overridable(found)


def _from_overrides(overrides: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    known = keys()
    for key in overrides:
        if key not in known:
            raise _unknown(f"--set {key}", did_you_mean(key, list(known)))
    return _overridable({key: (_parse(key, text, f"--set {key}"), f"--set {key}") for key, text in overrides.items()})


def _overridable(values: dict[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
    for key, (_, detail) in values.items():
        if key in IDENTITY:
            raise UsageError(
                f"{detail}: the key {key!r} says what the profile is, and cannot be set from outside",
                fix="Write a profile of your own: a file in clusters/ beside septum.yaml.",
            )
    return values


def _unknown(name: str, hint: str) -> UsageError:
    return UsageError(
        f"{name}: there is no such key in a cluster profile{'; ' + hint if hint else ''}",
        fix="septum cluster show NAME lists all keys.",
    )


def _parse(key: str, text: str, place: str) -> Any:
    """Read a text as the kind of value that the key has: a list, a mapping, or the text itself."""
    kind = get_origin(Profile.model_fields[keys()[key]].annotation)
    if kind is list:
        return text.split()
    if kind is dict:
        return dict(_assignments(text, place))
    return text


def _assignments(text: str, place: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if line.strip() and not equals:
            raise UsageError(f'{place}: expected lines such as Name="value", got {line.strip()!r}')
        if line.strip():
            yield name.strip(), value.strip()

"""The manifest of a run, `septum.json` in the result folder: all that pages, crates and checks are made from.

Pure values and their text; reads and writes no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from septum.errors import StateError
from septum.jsontext import as_data, text_of
from septum.plan import Value
from septum.units import count

FORMAT = 2
NAME = "septum.json"
COMMAND = "command: "
"""Begins the engine of a result that a framework's own command merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One object of a result: its class, and its entries or rows."""

    kind: str
    entries: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMerge:
    """How a result fared that is merged by a framework's own command.

    Attributes:
        command, at, product, changes: As the plan has them, see `septum.plan.Merge`.
        ran: Whether the result is what the command wrote; else it is septum's own sum.
        stamp: That of the sum which the command's product was compared with; it never stands inside of the product.
        equal: Objects that are those of the sum, but for rounding.
        changed: Objects that the command changed or took away, as `changes` allows.
        new: Objects that the sum does not have.
        notes: What else was seen.
    """

    command: str | tuple[str, ...]
    at: str
    product: str
    changes: tuple[str, ...] = ()
    ran: bool = False
    stamp: str = ""
    equal: int = 0
    changed: int = 0
    new: int = 0
    notes: tuple[str, ...] = ()

    def says(self) -> str:
        """The whole in one line."""
        if not self.ran:
            return "septum's own sum: the framework's command merges complete sets only, and was not run"
        found = f"merged by the framework's command; {count(self.equal, 'object')} equal the sum of the parts"
        found += f", {self.new} new" if self.new else ""
        found += f", {self.changed} changed as allowed" if self.changed else ""
        return "; ".join([found, *self.notes])


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """One merged file.

    Attributes:
        name: Its name in the plan.
        file: Its path relative to the result folder; it says `partial` when parts are missing.
        size_b: Bytes.
        sha256: Of the file.
        stamp: The hash of plan and parts that stands inside of the file; empty for formats that have no place for it.
        engine: What merged it, with its version.
        parts: The parts that are in it, in the order of the plan.
        missing: The parts that should be and are not.
        objects: What it holds, by path.
        url: Where it was published; empty when it stands in the folder.
        verified_by: What shows that it is there, see `septum.upload.local.Proof`.
        own: The framework's own merge, if the plan has one for this result.
    """

    name: str
    file: str
    size_b: int
    sha256: str
    stamp: str = ""
    engine: str = ""
    parts: tuple[str, ...]
    missing: tuple[str, ...] = ()
    objects: Mapping[str, Held] = field(default_factory=dict)
    url: str = ""
    verified_by: str = ""
    own: OwnMerge | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOutput:
    """One output of a part, as it was verified.

    Attributes:
        path: As `septum.yaml` names it.
        size_b: Bytes.
        sha256: Of the file.
        content: The sha256 of what it holds, without dates and identifiers; empty when it is not merged.
        url: Where it was published, if it was.
        verified_by: What shows that it is there.
    """

    path: str
    size_b: int
    sha256: str
    content: str = ""
    url: str = ""
    verified_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFacts:
    """One part and how it went. Times are seconds since the epoch; None where nobody measured.

    Attributes:
        state: A value of `septum.states.PartState`.
        attempts: How often it was started, by all of its jobs.
        jobs: How many jobs it had.
        cause: The code of the error that it failed with, such as `E301`.
        log: Path of the end of its standard error below the result folder; only failed parts have one there.
        submitted_s: When its job entered the queue, by septum's clock.
        started_s: When the last attempt began, by the worker's clock.
        cpu_s: CPU time of the last attempt, user and system.
        memory_b: The largest memory of the last attempt.
    """

    id: str
    values: Mapping[str, Value]
    fingerprint: str
    state: str
    attempts: int
    job: str | None = None
    host: str | None = None
    exit_code: int | None = None
    cause: str | None = None
    message: str | None = None
    evidence: str | None = None
    fix: str | None = None
    log: str | None = None
    submitted_s: float | None = None
    started_s: float | None = None
    ended_s: float | None = None
    cpu_s: float | None = None
    memory_b: int | None = None
    jobs: int = 1
    outputs: tuple[PartOutput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What each job asked for, the cluster's defaults filled in; None where the cluster does not say."""

    cpus: int | None = None
    memory_b: int | None = None
    disk_b: int | None = None
    time_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a run ended with: `septum.errors` as data."""

    code: str
    exit_code: int
    what: str
    evidence: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A run and its results.

    Attributes:
        septum: The version that wrote it.
        complete: Whether every part of the whole plan is in every result.
        whole_count: Parts of the whole plan.
        plan: The plan's hash; `work` that of what decides the content of the results.
        run: The run's tag.
        image_digest: `sha256:…` of the image that the registry had at submission; empty if nobody knew.
        image_id: `sha256:…` of its content, which every part was held to where its worker shows it.
        policies: The relaxed policies of the merge, by name.
        origin: Where the run comes from, by name, as far as known; see `septum.provenance.origin`.
        software: Versions of what took part, by name.
        pages: Pages of a web server that show the jobs: what each shows, and its address.
        began_s: When the run began, `ended_s` when it was over; seconds since the epoch.
    """

    septum: str
    name: str
    complete: bool
    whole_count: int
    plan: str
    work: str
    run: str
    cluster: str
    schedd: str = ""
    image: str | None = None
    image_digest: str = ""
    image_id: str = ""
    asked: Asked = field(default_factory=Asked)
    policies: Mapping[str, str] = field(default_factory=dict)
    error: Failure | None = None
    results: tuple[ResultFile, ...] = ()
    parts: tuple[PartFacts, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)
    began_s: float | None = None
    ended_s: float | None = None


def to_json(manifest: Manifest) -> str:
    """The manifest as text, which UTF-8 can hold whatever the names in it."""
    text = text_of({"format": FORMAT, **as_data(manifest)})
    # What UTF-8 has no bytes for becomes JSON's own escape of it.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain(text: str) -> str:
    r"""A text from a file or from the system as UTF-8 can hold it: a byte that was none in UTF-8 is shown as `\xfc`."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def from_json(text: str, *, name: str) -> Manifest:
    """Read a manifest back.

    Args:
        text: What `to_json` gave.
        name: Where it came from, for messages.

    Raises:
        StateError: Damaged, or of another format.
    """
    try:
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise StateError(
                f"manifest: {name} was written by another version of septum",
                fix="read it with the version that wrote it: its key 'septum' says which",
            )
        manifest = _from_data(data)
        if wrong := next(_misfits(manifest, Manifest, "manifest"), ""):
            raise TypeError(f"{wrong} is of another type than it should be")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(
            f"manifest: {name} is damaged",
            evidence=f"{type(error).__name__}: {error}"[:300],
            fix="take the whole result folder from the artifact again",
        ) from error
    return manifest


def _from_data(data: Mapping[str, Any]) -> Manifest:
    results = tuple(
        ResultFile(
            **{
                **item,
                "parts": _listed(item["parts"]),
                "missing": _listed(item["missing"]),
                "objects": {path: Held(**held) for path, held in item["objects"].items()},
                "own": _own_merge(item.get("own")),
            }
        )
        for item in _listed(data["results"])
    )
    parts = tuple(
        PartFacts(
            **{
                **item,
                "values": {
                    key: tuple(value) if isinstance(value, list) else value for key, value in item["values"].items()
                },
                "outputs": tuple(PartOutput(**output) for output in _listed(item["outputs"])),
            }
        )
        for item in _listed(data["parts"])
    )
    return Manifest(
        **{
            **data,
            "asked": Asked(**data["asked"]),
            "error": None if data["error"] is None else Failure(**data["error"]),
            "results": results,
            "parts": parts,
        }
    )


def _own_merge(item: Mapping[str, Any] | None) -> OwnMerge | None:
    if item is None:
        return None
    command = item["command"]
    lists = {key: _listed(item[key]) for key in ("changes", "notes")}
    return OwnMerge(**{**item, **lists, "command": command if isinstance(command, str) else _listed(command)})


def _listed(value: Any) -> tuple[Any, ...]:
    """The items of a list, and not the letters of a text."""
    if not isinstance(value, list):
        raise TypeError(f"a list was expected, not {value!r}")
    return tuple(value)


def _misfits(value: Any, kind: Any, where: str) -> Iterator[str]:
    """The places of all values that are not of their type: what reads a manifest relies on them."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        if all(any(_misfits(value, one, where)) for one in inner):
            yield where
    elif origin is tuple and isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _misfits(item, inner[0], f"{where}[{number}]")
    elif origin is Mapping and isinstance(value, dict):
        for key, item in value.items():
            yield from _misfits(item, inner[1], f"{where}[{key!r}]")
    elif isinstance(kind, type) and is_dataclass(kind) and isinstance(value, kind):
        for name, hint in _hints(kind).items():
            yield from _misfits(getattr(value, name), hint, f"{where}.{name}")
    elif type(value) not in ({int, float} if kind is float else {kind}):
        yield where


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)

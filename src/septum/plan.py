"""The plan: every part with its command, inputs, expected outputs and fingerprint. Pure values; no I/O.

The plan is made before anything is submitted and never changes afterwards: it is the denominator of the result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from septum.errors import StateError
from septum.jsontext import as_data, text_of

FORMAT = 4
Value = str | tuple[str, ...]
"""The value of a part: a text as it stands in `septum.yaml`, or several (the files of a part)."""

HIDDEN = "condor_"
"""Begins the names of values that septum made of a submit description; messages leave them out."""
REANA = "reana_"
"""Begins those of a workflow of REANA."""

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A file of the repository that travels to the worker; `path` is relative to the repository's root."""

    path: str
    size_b: int
    sha256: str
    executable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """A file that every part writes, and the ROOT objects that it must hold; `path` may hold placeholders."""

    path: str
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one job asks for; None leaves it to the cluster's profile."""

    cpus: int | None
    memory_b: int | None
    memory_retries_b: tuple[int, ...]
    disk_b: int | None
    time_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One unit of the plan, run by one job, perhaps over several attempts."""

    id: str
    index: int
    values: tuple[tuple[str, Value], ...]
    inputs: tuple[InputFile, ...]
    fingerprint: str

    def describe(self) -> str:
        """The part as messages name it: `part 0007 (sample=DY, seed=8)`, at most some 100 characters."""
        named = ((name, value) for name, value in self.values if not name.startswith((HIDDEN, REANA)))
        shown = ", ".join(f"{name}={_short(value)}" for name, value in named)
        return f"part {self.id} ({shown})" if shown else f"part {self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One result: the explicit, ordered list of parts whose output number `output` goes into it.

    With a `command`, the framework's own merge: `at` is where the output of a part is laid for it (may hold
    placeholders), `product` what it writes, and `changes` are patterns of the objects that it may change or take away.
    """

    result: str
    output: int
    parts: tuple[str, ...]
    command: str | tuple[str, ...] | None = None
    at: str = ""
    product: str = ""
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """What results are compared with, and from which difference on the run ends with an error."""

    reference: str = "default-branch"
    reproducibility: str = "report"
    significance: float = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Where files larger than `above_b` bytes go (None: all); `outputs` says whether those of the parts go, too."""

    to: str
    outputs: bool = False
    above_b: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may ask of a cluster at most: hours of CPU, or None. The number of parts is looked at before."""

    cpu_hours: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a run needs to know of the analysis, and nothing of the cluster.

    `keep_sandbox_b` is the largest archive of a failed part's working folder that is brought back; None for none.
    `policies` holds the relaxed ones by name, as `septum.yaml` spells them. `whole_count` is None for a whole plan; for
    a choice of its parts, the number of all.
    """

    name: str
    shell: str
    setup: tuple[str, ...]
    command: str | tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    image: str | None
    request: Request
    retries: int
    tolerance: str
    inputs: tuple[InputFile, ...]
    outputs: tuple[OutputFile, ...]
    merges: tuple[Merge, ...]
    parts: tuple[Part, ...]
    policies: tuple[tuple[str, str], ...] = ()
    compare: Compare = field(default_factory=Compare)
    publish: Publish | None = None
    resubmissions: int = 1
    limits: Limits = field(default_factory=Limits)
    keep_sandbox_b: int | None = None
    whole_count: int | None = None

    @cached_property
    def work(self) -> str:
        """The sha256 of what decides the content of the results, in hexadecimal: parts, merges, policies.

        Not memory, retries or the cluster: a run with more memory gives the same result, to the bit.
        """
        return digest(
            {
                "parts": [(part.id, part.fingerprint) for part in self.parts],
                "merges": self.merges,
                "policies": sorted(self.policies),
            }
        )

    @cached_property
    def hash(self) -> str:
        """The sha256 of the plan's canonical text, in hexadecimal."""
        return digest(_as_data(self))

    @cached_property
    def by_id(self) -> Mapping[str, Part]:
        """The parts by their id."""
        return {part.id: part for part in self.parts}

    def output_path(self, part: Part, number: int) -> str:
        """The path of output `number` of a part in its working folder, the placeholders filled."""
        return path_of(self.outputs[number].path, self, part)

    @cached_property
    def by_result(self) -> Mapping[str, Merge]:
        """The merges by the name of their result."""
        return {merge.result: merge for merge in self.merges}

    @cached_property
    def merged_outputs(self) -> frozenset[int]:
        """The numbers of the outputs that go into a result."""
        return frozenset(merge.output for merge in self.merges)

    @property
    def allowed_missing(self) -> int:
        """How many parts may be missing from the result."""
        if self.tolerance.endswith("%"):
            # Not with a float: 29 % of 100 would be 28.
            return int(Fraction(self.tolerance[:-1]) / 100 * len(self.parts))
        return min(int(self.tolerance), len(self.parts) - 1)


def _short(value: Value) -> str:
    text = value if isinstance(value, str) else " ".join(value)
    shown = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return shown if len(shown) <= 40 else shown[:18] + "…" + shown[-18:]  # noqa: PLR2004 - fits a line


def partial_name(result: str) -> str:
    """The name of a result with missing parts: `dimuon.partial.root`."""
    path = PurePosixPath(result)
    # An archive has two endings, and is known by both.
    ending = ".tar.gz" if path.name.endswith(".tar.gz") else path.suffix
    return str(path.with_name(f"{path.name.removesuffix(ending)}.partial{ending}"))


def part_id(index: int, count: int) -> str:
    """The id of a part: its number from 0, padded so that ids sort like numbers."""
    return f"{index:0{max(4, len(str(count - 1)))}d}"


def fill(word: str, values: Mapping[str, Value]) -> list[str]:
    """Fill the placeholders of one word of a command.

    Args:
        word: May hold `{name}`; `{{` and `}}` stand for braces. Braces around anything but a name stay as they are.
        values: The values of one part.

    Returns:
        The word with the values in it, literally; several words if it is exactly `{name}` of a value with several.

    Raises:
        KeyError: A placeholder names no value; its argument is the name.
        ValueError: A value with several texts stands inside a longer word.
    """
    alone = _PLACEHOLDER.fullmatch(word)
    if alone and alone[1] and not isinstance(values[alone[1]], str):
        return list(values[alone[1]])

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        value = values[match[1]]
        if not isinstance(value, str):
            raise ValueError(  # noqa: TRY004 - the user's mistake, not a type of ours
                f"{{{match[1]}}} holds several texts and must be a word of its own"
            )
        return value

    return [_PLACEHOLDER.sub(replace, word)]


def argv(plan: Plan, part: Part) -> tuple[str, ...] | None:
    """The exact words of a part's command; None when the command is a shell script."""
    if isinstance(plan.command, str):
        return None
    values = all_values(plan, part)
    return tuple(filled for word in plan.command for filled in fill(word, values))


def all_values(plan: Plan, part: Part) -> dict[str, Value]:
    """The part's values with those that septum sets: `part`, `index`, `parts`."""
    return {
        "part": part.id,
        "index": str(part.index),
        "parts": str(plan.whole_count or len(plan.parts)),
        **dict(part.values),
    }


def has_placeholder(word: str) -> bool:
    """Whether a word holds a placeholder that `fill` would fill."""
    return any(match[1] for match in _PLACEHOLDER.finditer(word))


def shown_pattern(pattern: str) -> str:
    """A pattern for people: a star stands for what septum made of a submit description, or of a workflow."""
    return re.sub(rf"\{{(?:{HIDDEN}|{REANA})\w+\}}", "*", pattern)


def path_of(pattern: str, plan: Plan, part: Part) -> str:
    """A path with the values of a part in it; the plan was checked to have them, one text each."""
    if "{" not in pattern and "}" not in pattern:
        return pattern
    (path,) = fill(pattern, all_values(plan, part))
    return path


def fingerprint(
    *,
    shell: str,
    setup: Sequence[str],
    command: str | Sequence[str],
    environment: Sequence[tuple[str, str]],
    image: str | None,
    outputs: Sequence[OutputFile],
    values: Sequence[tuple[str, Value]],
    inputs: Sequence[InputFile],
) -> str:
    """The sha256 of all that decides what a part computes; parts with the same one do the same work."""
    return digest(
        {
            "shell": shell,
            "setup": list(setup),
            "command": command if isinstance(command, str) else list(command),
            "environment": sorted(environment),
            "image": image,
            "outputs": [output.path for output in outputs],
            "values": sorted(values),
            "inputs": sorted((file.path, file.sha256, file.executable) for file in inputs),
        }
    )


def digest(data: object) -> str:
    """The sha256 of the canonical JSON text of plain data, with dataclasses in it."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=as_data)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_data(plan: Plan) -> dict[str, Any]:
    return {"format": FORMAT, **as_data(plan)}


def to_json(plan: Plan) -> str:
    """The plan as text, with its hash."""
    return text_of({"hash": plan.hash, "plan": _as_data(plan)})


def from_json(text: str, *, name: str) -> Plan:
    """Read a plan back and check that not a byte of its meaning changed.

    Args:
        text: What `to_json` gave.
        name: Where it came from, for messages.

    Raises:
        StateError: Damaged, of another format, or edited by hand.
    """
    fix = "make it again with 'septum plan'"
    try:
        document = json.loads(text)
        data = document["plan"]
        if data.pop("format") != FORMAT:
            raise StateError(f"plan: {name} was written by another version of septum", fix=fix)
        plan = _from_data(data)
        stored = document["hash"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"plan: {name} is damaged", evidence=f"{type(error).__name__}: {error}", fix=fix) from error
    if plan.hash != stored:
        raise StateError(
            f"plan: {name} was changed after it was made", evidence=f"hash {plan.hash}, recorded {stored}", fix=fix
        )
    return plan


def _pairs(items: Sequence[Sequence[Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in items)


def _files(items: Sequence[Mapping[str, Any]]) -> tuple[InputFile, ...]:
    return tuple(InputFile(**item) for item in items)


def _merge_from(item: Mapping[str, Any]) -> Merge:
    command = item["command"]
    return Merge(
        **{
            **item,
            "parts": tuple(item["parts"]),
            "changes": tuple(item["changes"]),
            "command": tuple(command) if isinstance(command, list) else command,
        }
    )


def _from_data(data: dict[str, Any]) -> Plan:
    parts = tuple(
        Part(**{**part, "values": _pairs(part["values"]), "inputs": _files(part["inputs"])}) for part in data["parts"]
    )
    request = data["request"]
    return Plan(
        name=data["name"],
        shell=data["shell"],
        setup=tuple(data["setup"]),
        command=data["command"] if isinstance(data["command"], str) else tuple(data["command"]),
        environment=_pairs(data["environment"]),
        image=data["image"],
        request=Request(**{**request, "memory_retries_b": tuple(request["memory_retries_b"])}),
        retries=data["retries"],
        tolerance=data["tolerance"],
        inputs=_files(data["inputs"]),
        outputs=tuple(OutputFile(path=item["path"], objects=tuple(item["objects"])) for item in data["outputs"]),
        merges=tuple(_merge_from(item) for item in data["merges"]),
        parts=parts,
        policies=_pairs(data["policies"]),
        compare=Compare(**data["compare"]),
        publish=Publish(**data["publish"]) if data["publish"] else None,
        resubmissions=data["resubmissions"],
        limits=Limits(**data["limits"]),
        keep_sandbox_b=data["keep_sandbox_b"],
        whole_count=data["whole_count"],
    )

"""REANA's description of its server (Swagger 2.0), as a judge of requests and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator

DIFFERENCES = {
    ("GET", "/api/workflows/{workflow_id_or_name}/workspace/{file_name}", "file_name"): (
        "a parameter of the query that nobody reads: reana-client sends it beside the path (reana_client/api/client.py,"
        " download_file)"
    ),
    ("GET", "/api/workflows/{workflow_id_or_name}/workspace/{file_name}", "preview"): (
        "documented at the upload, read at the download (reana-server, rest/workflows.py, download_file)"
    ),
    ("PUT", "/api/workflows/{workflow_id_or_name}/status", "force_stop"): (
        "a property of the body that nobody reads: reana-client sends it (reana_client/api/client.py, stop_workflow)"
    ),
    ("POST", "/api/workflows/{workflow_id_or_name}/start", "run_number"): (
        "in the answer (reana-server, rest/workflows.py, _start_workflow), and missing in its schema"
    ),
    ("*", "*", 401): (
        "a request without a token (reana-server, decorators.py, signin_required), where the description has 403 alone"
    ),
}
"""Where the real server or the real client differs from the description: method, path, what; and the source."""

_KINDS = {"string": "string", "integer": "integer", "boolean": "boolean", "array": "array", "number": "number"}


class MistakeError(Exception):
    """A request that the description does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One documented operation."""

    method: str
    path: str
    id: str
    parameters: tuple[Mapping[str, Any], ...]
    responses: Mapping[str, Mapping[str, Any]]
    pattern: re.Pattern[str]

    @property
    def name(self) -> str:
        """`GET /api/workflows/{workflow_id_or_name}/status`."""
        return f"{self.method} {self.path}"

    def query(self, given: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The parameters of the query, as their types say.

        Raises:
            MistakeError: One is unknown, missing, or of another type.
        """
        known = {one["name"]: one for one in self.parameters if one["in"] == "query"}
        values: dict[str, Any] = {}
        for name, text in given:
            if name in known:
                value = _converted(known[name], text)
                if known[name]["type"] == "array":
                    value = [*values.get(name, []), *value]
                values[name] = value
            elif (self.method, self.path, name) not in DIFFERENCES:
                raise MistakeError(f"the parameter {name!r} is not documented")
        missing = [name for name, one in known.items() if one.get("required") and name not in values]
        if missing:
            raise MistakeError(f"the parameter {missing[0]!r} is required")
        return values

    @property
    def body(self) -> Mapping[str, Any] | None:
        """The parameter that is the body; None if there is none."""
        return next((one for one in self.parameters if one["in"] == "body"), None)

    def check_body(self, value: Any) -> None:
        """Judge a body of JSON; None stands for none.

        Raises:
            MistakeError: It does not fit, or is not expected.
        """
        if self.body is None:
            if value is not None:
                raise MistakeError("a body is not documented")
            return
        if value is None:
            if self.body.get("required"):
                raise MistakeError("a body is required")
            return
        schema = self.body["schema"]
        _judge(schema, value, "the body")
        known = schema.get("properties")
        for name in value if known and isinstance(value, dict) else ():
            if name not in known and (self.method, self.path, name) not in DIFFERENCES:
                raise MistakeError(f"the property {name!r} of the body is not documented")

    def check_answer(self, status: int, value: Any) -> None:
        """Judge an answer of ours.

        Raises:
            MistakeError: The status is not documented, or the body does not fit.
        """
        answer = self.responses.get(str(status))
        if answer is None:
            if ("*", "*", status) in DIFFERENCES:
                return
            raise MistakeError(f"the status {status} is not documented")
        schema = answer.get("schema")
        if schema and schema.get("type") != "file":
            _judge(schema, value, f"the answer {status}")
            extra = (
                [name for name in value if name not in schema.get("properties", {name: 0})]
                if schema.get("type") == "object"
                else []
            )
            for name in extra:
                if (self.method, self.path, name) not in DIFFERENCES:
                    raise MistakeError(f"the answer {status} has {name!r}, which is not documented")


class Description:
    """All operations."""

    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text(encoding="utf-8"))
        self.version = str(data["info"]["version"])
        self.operations = tuple(
            Operation(
                method=method.upper(),
                path=path,
                id=operation["operationId"],
                parameters=tuple(operation.get("parameters", ())),
                responses=operation["responses"],
                pattern=_pattern(path),
            )
            for path, methods in data["paths"].items()
            for method, operation in methods.items()
        )

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation behind an address, and the parameters in its path; None if there is none."""
        found = [(one, one.pattern.fullmatch(path)) for one in self.operations if one.method == method]
        matching = [(one, match.groupdict()) for one, match in found if match]
        # `move_files` is also a name that a workflow could have: the more literal path wins, as it does in Flask.
        return min(matching, key=lambda pair: len(pair[1]), default=None)


def _pattern(path: str) -> re.Pattern[str]:
    """A path as a pattern; a file may have slashes in its name."""
    parts = re.split(r"\{(\w+)\}", path)
    text = "".join(
        re.escape(part) if number % 2 == 0 else f"(?P<{part}>{'.+' if part == 'file_name' else '[^/]+'})"
        for number, part in enumerate(parts)
    )
    return re.compile(text)


def _converted(parameter: Mapping[str, Any], text: str) -> Any:
    kind = parameter["type"]
    try:
        if kind == "integer":
            value: Any = int(text)
        elif kind == "boolean":
            # bravado writes true, and Flask's own users write True or 1.
            value = {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        elif kind == "array":
            return text.split(",")
        else:
            value = text
    except (ValueError, KeyError) as err:
        raise MistakeError(f"the parameter {parameter['name']!r} is no {kind}: {text!r}") from err
    allowed = parameter.get("enum")
    if allowed and value not in allowed:
        raise MistakeError(f"the parameter {parameter['name']!r} is none of {', '.join(allowed)}: {text!r}")
    return value


def _judge(schema: Mapping[str, Any], value: Any, what: str) -> None:
    error = next(Draft4Validator(_plain(schema)).iter_errors(value), None)
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path)
        raise MistakeError(f"{what} does not fit at {place or 'its top'}: {error.message[:300]}")


def _plain(schema: Any) -> Any:
    """A schema of Swagger 2.0 as one of JSON, where what may be null says so with its type."""
    if isinstance(schema, Mapping):
        plain = {key: _plain(value) for key, value in schema.items() if key not in {"example", "examples"}}
        if plain.pop("x-nullable", False) and isinstance(plain.get("type"), str):
            plain["type"] = [plain["type"], "null"]
        return plain
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema

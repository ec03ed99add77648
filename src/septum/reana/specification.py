"""REANA's `reana.yaml` as typed, frozen values: read with the line of every mistake, and written for people.

The keys are those of the JSON schema that REANA publishes. What a key means for septum is not judged here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from septum import yamltext
from septum.config.texts import Text
from septum.errors import ConfigError
from septum.validation import Model, validate

if TYPE_CHECKING:
    from septum.errors import SeptumError
    from septum.yamltext import Document

FILE = "reana.yaml"
"""The name that REANA's client looks for."""


class _Keys(Model):
    """A mapping of `reana.yaml`, whose keys have underscores."""

    model_config = ConfigDict(alias_generator=str)


class Inputs(_Keys):
    """What the workspace holds before the first step."""

    files: list[Text] = Field(default_factory=list, description="Files of the repository.")
    directories: list[Text] = Field(default_factory=list, description="Folders of the repository.")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of the workflow, with the types that YAML 1.1, as in REANA, gives them.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the workflow engine.")


class Step(_Keys):
    """One step of a serial workflow: commands that run one after the other in one image."""

    name: Text = Field("", description="How the step is called.")
    environment: Text = Field(min_length=1, description="The container image.")
    commands: list[Text] = Field(min_length=1, description="Shell commands; `${name}` is a parameter.")
    compute_backend: Literal["kubernetes", "htcondorcern", "slurmcern", "compute4punch"] | None = None
    kerberos: bool = False
    voms_proxy: bool = False
    rucio: bool = False
    unpacked_img: bool = False
    kubernetes_uid: int | None = None
    kubernetes_cpu_request: Text = ""
    kubernetes_cpu_limit: Text = ""
    kubernetes_memory_request: Text = ""
    kubernetes_memory_limit: Text = ""
    kubernetes_job_timeout: int | None = Field(None, ge=0, description="Seconds.")
    htcondor_max_runtime: Text = ""
    htcondor_accounting_group: Text = ""
    slurm_partition: Text = ""
    slurm_time: Text = ""
    c4p_cpu_cores: Text = ""
    c4p_memory_limit: Text = ""
    c4p_additional_requirements: Text = ""


class Steps(_Keys):
    """A serial workflow."""

    steps: list[Step] = Field(min_length=1, description="In the order in which they run.")


class WorkflowResources(_Keys):
    """What all steps of a workflow need."""

    cvmfs: list[Text] = Field(default_factory=list, description="Repositories of CVMFS.")
    kerberos: bool = False
    dask: dict[str, Any] = Field(default_factory=dict, description="A Dask cluster beside the workflow.")


class Workflow(_Keys):
    """The workflow itself: steps, or the file of another language."""

    type: Literal["serial", "snakemake", "cwl", "yadage"] = Field(description="The language of the workflow.")
    file: Text = Field("", description="The file of the workflow, relative to the repository.")
    specification: Steps | None = Field(None, description="The steps of a serial workflow.")
    resources: WorkflowResources = Field(default_factory=lambda: WorkflowResources.model_validate({}))

    @model_validator(mode="after")
    def _whole(self) -> Workflow:
        if self.type == "serial" and self.specification is None:
            raise ValueError("a serial workflow needs 'specification' with its 'steps'")
        if self.type == "snakemake" and not self.file:
            raise ValueError("a snakemake workflow needs 'file', the path of its Snakefile")
        return self


class Outputs(_Keys):
    """What the workspace holds after the last step and shall be kept."""

    files: list[Text] = Field(default_factory=list, description="Files.")
    directories: list[Text] = Field(default_factory=list, description="Folders.")


class Tests(_Keys):
    """Checks that REANA runs on a finished workflow."""

    files: list[Text] = Field(default_factory=list, description="Feature files.")


class Workspace(_Keys):
    """Where the workflow runs, and for how long its files stay."""

    root_path: Text = ""
    retention_days: dict[Text, int] = Field(default_factory=dict)


class Specification(_Keys):
    """The whole of `reana.yaml`."""

    version: Text = Field("", description="The version of REANA that it was written for.")
    inputs: Inputs = Field(default_factory=lambda: Inputs.model_validate({}))
    workflow: Workflow
    outputs: Outputs = Field(default_factory=lambda: Outputs.model_validate({}))
    tests: Tests = Field(default_factory=lambda: Tests.model_validate({}))
    workspace: Workspace = Field(default_factory=lambda: Workspace.model_validate({}))


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was read.

    Attributes:
        value: The specification.
        document: Its tree of texts; `document.where(path)` is the place of a key, for messages.
    """

    value: Specification
    document: Document


_TYPED = ("parameters", "options")
_OTHER_LANGUAGES = frozenset({"cwl", "yadage"})


def read(path: Path, *, name: str = "", error: type[SeptumError] = ConfigError) -> Read:
    """Read a file.

    Args:
        path: The file, UTF-8.
        name: What messages call it; the path by default.
        error: The class of the errors.

    Raises:
        SeptumError: Of the given class; it cannot be read, or is no specification of REANA.
    """
    document = yamltext.read(path, error, name)
    return _checked(document, path.read_text(encoding="utf-8-sig"), error)


def load(text: str, *, name: str = FILE, error: type[SeptumError] = ConfigError) -> Read:
    """Read text; see `read`."""
    return _checked(yamltext.load(text, name, error), text, error)


def _checked(document: Document, text: str, error: type[SeptumError]) -> Read:
    tree = _with_types(document, text, error)
    fix = "Correct the keys named above; `reana-client validate` says the same of the file."
    value = validate(Specification, replace(document, data=tree), error=error, fix=fix)
    return Read(value=value, document=document)


def _with_types(document: Document, text: str, error: type[SeptumError]) -> Any:
    """The tree with the values of the workflow as YAML 1.1 reads them, and without steps in another language.

    REANA reads its file with YAML 1.1, where `yes` is true, `010` is eight and `1.50` is 1.5; only the values of the
    workflow are free to be anything, so elsewhere the texts of the file do.
    """
    tree: Any = document.data
    if not isinstance(tree, dict):
        return tree
    found = dict(tree)
    inputs = tree.get("inputs")
    if isinstance(inputs, dict) and any(isinstance(inputs.get(key), dict) for key in _TYPED):
        typed = _as_yaml_1_1(document, text, error)["inputs"]
        found["inputs"] = {**inputs, **{key: _named(typed[key]) for key in _TYPED if isinstance(inputs.get(key), dict)}}
    workflow = tree.get("workflow")
    if isinstance(workflow, dict) and workflow.get("type") in _OTHER_LANGUAGES:
        found["workflow"] = {key: value for key, value in workflow.items() if key != "specification"}
    return found


def _named(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Values by names that are texts, as JSON makes them, in which REANA's client sends them: `1: a` has the name 1."""
    return {
        str(key).lower() if isinstance(key, bool) else "null" if key is None else str(key): value
        for key, value in values.items()
    }


def _as_yaml_1_1(document: Document, text: str, error: type[SeptumError]) -> Any:
    from ruamel.yaml.error import YAMLError

    try:
        return as_reana_types(text)
    except (YAMLError, ValueError) as err:
        raise error(
            f"{document.where(('inputs',))}: inputs: cannot be read as YAML 1.1, as REANA reads it",
            evidence=str(err)[:300],
            fix="Put the text of a parameter in quotes.",
        ) from err


def as_reana_types(text: str) -> Any:
    """A YAML text with the types that REANA gives its values: those of PyYAML, which are not all of YAML 1.1.

    To PyYAML, `n` and `y` are letters, and `1e3` and `1.5e3` are texts: a number with an exponent has a point and a
    sign in it.

    Raises:
        YAMLError: It cannot be read.
        ValueError: A value cannot be of its type, such as a date of a thirteenth month.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.resolver import VersionedResolver

    class _Resolver(VersionedResolver):
        """That of YAML 1.1, and a text where PyYAML has one."""

        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            found = super().resolve(kind, value, implicit)
            pattern = _PYYAML.get(str(found)) if kind is ScalarNode and implicit[0] else None
            return self.DEFAULT_SCALAR_TAG if pattern is not None and not pattern.fullmatch(value) else found

    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    yaml.Resolver = _Resolver
    return yaml.load(io.StringIO(text))


_PYYAML = {
    "tag:yaml.org,2002:int": re.compile(
        r"[-+]?(0b[0-1_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(:[0-5]?[0-9])+)"
    ),
    "tag:yaml.org,2002:bool": re.compile(r"(?i:yes|no|true|false|on|off)"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?"
        r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
}
"""What is of these types to PyYAML; all else that YAML 1.1 takes for them is a text."""


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────


def text_of(specification: Specification) -> str:
    """The specification as YAML that versions 1.1 and 1.2 read alike; keys with nothing in them are left out."""
    tree = specification.model_dump(exclude_defaults=True, by_alias=False)
    return "\n".join(_lines(tree, 0)) + "\n"


def _lines(value: Any, depth: int) -> Iterator[str]:
    """The lines of a mapping or a list in block style."""
    indent = "  " * depth
    items: Sequence[tuple[str, Any]]
    if isinstance(value, Mapping):
        items = [(f"{_scalar(str(key))}:", item) for key, item in value.items()]
    else:
        items = [("-", item) for item in value]
    for head, item in items:
        if isinstance(item, BaseModel | Mapping | list | tuple) and item:
            inner = list(_lines(item, depth + 1))
            if head == "-":
                # The first key of an item of a list stands beside the dash.
                yield f"{indent}- {inner[0].lstrip()}"
                yield from inner[1:]
            else:
                yield f"{indent}{head}"
                yield from inner
        else:
            yield f"{indent}{head} {_scalar(item)}"


_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./@=+-]*")
_WORDS = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|\.inf|\.nan")
_NUMBER = re.compile(r"[-+.]?[0-9].*|[-+.]+")


def _scalar(value: Any) -> str:
    """A scalar that any reader takes for what it is: plain where that is safe, in double quotes otherwise."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    text = str(value)
    safe = _PLAIN.fullmatch(text) and not _WORDS.fullmatch(text) and not _NUMBER.fullmatch(text)
    return text if safe else quoted(text)


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if value != value:  # noqa: PLR0124 - NaN alone differs from itself
        return ".nan"
    if value in {float("inf"), float("-inf")}:
        return ".inf" if value > 0 else "-.inf"
    mantissa, _, exponent = repr(value).partition("e")
    # YAML 1.1 wants the point, and the sign of the exponent.
    point = "" if "." in mantissa else ".0"
    signed = exponent if exponent[:1] in {"", "-", "+"} else f"+{exponent}"
    return f"{mantissa}{point}{'e' if exponent else ''}{signed}"


def quoted(text: str) -> str:
    """A text in the double quotes of YAML, everything that a reader refuses or folds as an escape."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable() or character == " ":
        return character
    number = ord(character)
    if number < 0x100:  # noqa: PLR2004 - what two digits hold
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004 - what four digits hold

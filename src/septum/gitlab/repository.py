"""What the repository says of itself: its branch, the components that it includes, and their clusters. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from septum import git
from septum.errors import UsageError

if TYPE_CHECKING:
    from septum.preview.documents import Documents

_MAX_B = 1 << 20
_MOST_FILES = 50
_LOCAL = "local"
_INPUT = re.compile(r"\$\[\[\s*inputs\.([A-Za-z0-9_-]+)\s*\]\]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_WITH_CLUSTER = frozenset({"analysis", "preflight", "submit", "collect", "run", "framework", "mkshapesrdf", "sweep"})
_PREFIX = "SEPTUM_CLUSTER_"
_BRANCHES = frozenset({"main", "master"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The file of the pipeline, as far as it decides what GitLab must hold.

    Attributes:
        components: Names of septum's components that it includes.
        clusters: Names of the clusters where they run, each once, with the folder of the `septum.yaml` that goes there:
            beside it may be a profile of that name.
        variables: Its variables that change a cluster's profile.
    """

    components: tuple[str, ...] = ()
    clusters: tuple[tuple[str, Path], ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


def branch_of(root: Path, environ: Mapping[str, str]) -> str:
    """The branch that a new project begins with, if one can tell: the one that is checked out, if it is a usual one."""
    branch = git.line(root, "symbolic-ref", "--short", "HEAD", environ=environ)
    return branch if branch in _BRANCHES else ""


def pipeline_of(root: Path, name: str) -> Pipeline | None:
    """Read the file of the pipeline, and the files of the repository that it includes.

    Args:
        root: The repository.
        name: The file, from there.

    Returns:
        None if there is no such file.

    Raises:
        HeaderError: One is no YAML that GitLab takes.
        UsageError: One cannot be read, or a cluster in it is known in the pipeline alone.
    """
    files = _Files(root=root.resolve())
    files.read(name)
    if not files.documents:
        return None
    includes: list[str] = []
    clusters: list[tuple[str, Path]] = []
    variables: dict[str, object] = {}
    for file, documents in files.documents.items():
        variables |= _mapping(documents.body.get("variables"))
        for component, inputs in _components(documents.body.get("include")):
            includes.append(component)
            if component in _WITH_CLUSTER:
                folder = _folder(inputs.get("config"))
                names = _clusters(inputs.get("cluster", _LOCAL), documents.header or {}, file)
                clusters += [(name, folder) for name in names]
    return Pipeline(
        components=tuple(dict.fromkeys(includes)),
        clusters=tuple(dict.fromkeys(clusters)),
        variables={key: _value(value) for key, value in variables.items() if key.startswith(_PREFIX)},
    )


@dataclass(slots=True, kw_only=True)
class _Files:
    """The files of a pipeline, each read once."""

    root: Path
    documents: dict[str, Documents] = field(default_factory=dict)

    def read(self, name: str) -> None:
        """Read a file of the repository and those that it includes; what is elsewhere is not looked at."""
        from septum.preview.documents import read_documents
        from septum.preview.features import NEWEST

        name = name.lstrip("/")
        file = (self.root / name).resolve()
        if name in self.documents or len(self.documents) >= _MOST_FILES or not file.is_relative_to(self.root):
            return
        text = _text(file)
        if text is None:
            return
        self.documents[name] = read_documents(text, NEWEST)
        for entry in _entries(self.documents[name].body.get("include")):
            local = entry if isinstance(entry, str) else _mapping(entry).get("local")
            if isinstance(local, str) and "://" not in local and not {*local} & {*"*$"}:
                self.read(local)


def _text(file: Path) -> str | None:
    if not file.exists():
        return None
    problem = ""
    try:
        if not file.is_file() or file.stat().st_size > _MAX_B:
            problem = "it is no file of at most 1 MB"
        else:
            return file.read_text(encoding="utf-8")
    except OSError as error:
        problem = error.strerror or str(error)
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    raise UsageError(f"gitlab: {file} cannot be read", evidence=problem, fix="name the clusters: --cluster NAME")


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _value(value: object) -> str:
    """The value of a variable, plain or written at length."""
    return str(_mapping(value).get("value", "") if isinstance(value, Mapping) else value)


def _entries(include: object) -> list[object]:
    return include if isinstance(include, list) else [include]


def _components(include: object) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Septum's components among what is included, with their inputs."""
    from septum.components.catalog import COMPONENTS

    known = {component.name for component in COMPONENTS}
    for entry in _entries(include):
        address = _mapping(entry).get("component")
        if not isinstance(address, str):
            continue
        name = address.partition("@")[0].rpartition("/")[2]
        if name in known:
            yield name, _mapping(_mapping(entry).get("inputs"))


def _folder(config: object) -> Path:
    """The folder of a `septum.yaml`; that of the repository where it is known in the pipeline alone."""
    path = Path(config) if isinstance(config, str) else Path()
    odd = path.is_absolute() or ".." in path.parts or "$" in str(path)
    return Path() if odd else path.parent


def _clusters(value: object, header: Mapping[str, object], file: str) -> Iterable[str]:
    """The clusters that an input can name: the text itself, or all that an input of the pipeline offers."""
    text = str(value)
    found = _INPUT.fullmatch(text)
    if found is not None:
        declared = _mapping(_mapping(_mapping(header.get("spec")).get("inputs")).get(found[1]))
        options = declared.get("options")
        names = [declared.get("default"), *(options if isinstance(options, list) else [])]
        texts = [str(name) for name in names if name]
    else:
        texts = [text]
    if not texts or not all(_NAME.fullmatch(name) for name in texts):
        raise UsageError(
            f"gitlab: which cluster {text[:80]!r} is in {file} is known in the pipeline alone",
            fix="name all of them: --cluster infn-af --cluster lxbatch",
        )
    return texts

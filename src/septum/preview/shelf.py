"""Where included files lie on this machine: the repository, the library, and what the user names. It reads files only.

Behaviour: gitlabhq `lib/gitlab/ci/config/external/file/*`, `lib/gitlab/ci/components/instance_path.rb`;
doc/ci/components/_index.md.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from septum import git
from septum.errors import IncludeError
from septum.preview.situation import SHA
from septum.preview.source import ComponentContext, Source

LIBRARY = "septum"
"""The last part of the path of septum's own project, on whatever instance and in whatever group."""

_NOTHING: Mapping[str, Path] = MappingProxyType({})
_MAX_BYTES = 5 * 1024 * 1024
_GIT_TIMEOUT_S = 30
_RELEASE = re.compile(r"v?\d+\.\d+\.\d+(?:[-+].+)?")
_PARTIAL = re.compile(r"\d+(?:\.\d+)?")
_NAME = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a file stands, so that `include: local` in it is found.

    Attributes:
        project: The path of its project on the server.
        folder: A checkout of that project; None if only single files of it are known.
    """

    project: str
    folder: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """All files that a pipeline can include.

    Attributes:
        folder: The repository, taken as it lies there.
        project: Its path on the server.
        server: The server's name.
        library: A checkout of septum, for components of the project `…/septum`.
        components: Files for other components, by address with or without what follows the `@`.
        files: Files for `include: project`, `remote` and `template`, by `PROJECT:PATH`, address or name.
    """

    folder: Path
    project: str
    server: str
    library: Path | None = None
    components: Mapping[str, Path] = field(default_factory=lambda: _NOTHING)
    files: Mapping[str, Path] = field(default_factory=lambda: _NOTHING)

    @property
    def own(self) -> Place:
        """The repository itself."""
        return Place(project=self.project, folder=self.folder)

    def local(self, place: Place, path: str) -> Source:
        """A file of the same project.

        Raises:
            IncludeError: It does not exist or is empty.
        """
        if place.folder is None:
            return self.file(f"{place.project}:/{path}", f"include: local, in a file of {place.project}")
        text = read_text(_below(place.folder, path), path)
        if text is None:
            raise IncludeError(
                f"Local file `{path}` does not exist!",
                evidence=f"looked for {place.folder / path}",
                fix="write the path from the root of the repository",
            )
        if not text.strip():
            raise IncludeError(f"Local file `{path}` is empty!")
        return Source(name=path, text=text)

    def file(self, address: str, keyword: str) -> Source:
        """A file that is elsewhere on GitLab, and that the user has given.

        Raises:
            IncludeError: It was not given, or is not there.
        """
        path = self.files.get(address)
        text = read_text(path, address) if path else None
        if text is None:
            raise IncludeError(
                f"Included file `{address}` is not on this machine ({keyword})",
                evidence=f"{path} does not exist" if path else "nothing is fetched from a server",
                fix=f"--include '{address}=FILE', with a copy of it",
            )
        return Source(name=address, text=text)

    def component(self, address: str) -> tuple[Source, Place]:
        """A component by its full address.

        Raises:
            IncludeError: GitLab would not find it, or it is not on this machine.
        """
        path, at, reference = address.partition("@")
        if not at or not path.startswith(f"{self.server}/"):
            raise IncludeError(
                f"Component '{address}' - the component path is not supported",
                evidence=f"expected {self.server}/PROJECT/NAME@VERSION",
                fix="begin with $CI_SERVER_FQDN: components are found on the same instance only",
            )
        project, _, name = path.removeprefix(f"{self.server}/").rpartition("/")
        if not project or not reference or not _NAME.fullmatch(name):
            raise IncludeError(f"Component '{address}' - content not found", fix="write SERVER/PROJECT/NAME@VERSION")
        given = self._given(path, reference)
        if given is not None:
            file, version = given
            text, place = read_text(file, address), Place(project=project, folder=None)
        else:
            folder, version = self._checkout(address, project, reference)
            text, place = _template(folder, name), Place(project=project, folder=folder)
        if not text or not text.strip():
            raise IncludeError(
                f"Component '{address}' - content not found",
                evidence=f"looked for {given[0] if given else ' and '.join(paths_of(name))}",
                fix="check the name of the component",
            )
        context = ComponentContext(name=name, sha=SHA, version=version, reference=reference)
        return Source(name=address, text=text, component=context), place

    def _given(self, path: str, reference: str) -> tuple[Path, str] | None:
        """A file that the user has given for a component, and its version."""
        for address, file in self.components.items():
            given, _, version = address.partition("@")
            if given == path and version in {"", reference}:
                return file, reference if _RELEASE.fullmatch(reference) else ""
            if given == path and _RELEASE.fullmatch(version) and _leads_to(reference, version):
                return file, version
        return None

    def _checkout(self, address: str, project: str, reference: str) -> tuple[Path, str]:
        """The checkout of a component's project, and the version that the reference leads to."""
        if project == self.project:
            return self.folder, reference if _RELEASE.fullmatch(reference) else ""
        if project.rpartition("/")[2] != LIBRARY:
            raise IncludeError(
                f"Component '{address}' is not on this machine",
                evidence="nothing is fetched from a server",
                fix=f"--component '{address}=FILE', with a copy of its file below templates/",
            )
        if self.library is None:
            raise IncludeError(
                f"Component '{address}' needs a checkout of septum",
                evidence="this folder is not in one, and nothing is fetched from a server",
                fix="git clone https://gitlab.cern.ch/cms-analysis/general/septum.git, then add --library septum",
            )
        version = _version_of(self.library)
        if not (_RELEASE.fullmatch(reference) or _PARTIAL.fullmatch(reference) or reference == "~latest"):
            return self.library, ""
        if not _leads_to(reference, version):
            raise IncludeError(
                f"Component '{address}': the checkout in {self.library} is version {version}",
                evidence=f"GitLab would take version {reference}",
                fix=f"git -C {self.library} checkout {reference}, or include @{version}",
            )
        return self.library, version


def _leads_to(reference: str, version: str) -> bool:
    """Whether GitLab would take that version: exactly, or as the newest one of a series."""
    if reference in {"~latest", version}:
        return True
    return bool(_PARTIAL.fullmatch(reference)) and version.startswith(f"{reference}.")


def _version_of(library: Path) -> str:
    text = read_text(library / "pyproject.toml", "pyproject.toml") or ""
    found = re.search(r'^version = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise IncludeError(f"{library} is no checkout of septum", fix="give the folder that holds templates/")
    return found[1]


def paths_of(name: str) -> tuple[str, str]:
    """Where a component lies in its project; the first of the two wins."""
    return f"templates/{name}.yml", f"templates/{name}/template.yml"


def _template(folder: Path, name: str) -> str | None:
    """The text of a component in a checkout; the single file wins over the folder."""
    for path in paths_of(name):
        text = read_text(_below(folder, path), path)
        if text is not None:
            return text
    return None


def _below(folder: Path, path: str) -> Path | None:
    """A path in a checkout; None if it leads out of it, where Git has no files."""
    root = folder.resolve()
    target = (root / path.lstrip("/")).resolve()
    return target if target.is_relative_to(root) else None


def read_text(path: Path | None, name: str) -> str | None:
    """The text of a file; None if it does not exist.

    Args:
        path: Where it is.
        name: How messages call it.

    Raises:
        IncludeError: It is too large, or no text.
    """
    if path is None or not path.is_file():
        return None
    if path.stat().st_size > _MAX_BYTES:
        raise IncludeError(f"`{name}` is too large", evidence=f"{path}: more than {_MAX_BYTES // 1024**2} MB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IncludeError(f"`{name}`: not UTF-8 text", evidence=f"{path}: {error}") from error


@lru_cache(maxsize=16)
def files_of(folder: Path | None) -> tuple[str, ...]:
    """The files of a checkout by name from its root, sorted: those of Git and new ones, without what Git ignores."""
    if folder is None:
        return ()
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        listed = git.ask(
            folder,
            *("ls-files", "-z", "--cached", "--others", "--exclude-standard"),
            environ=os.environ,
            timeout_s=_GIT_TIMEOUT_S,
        )
        if listed is not None:
            return tuple(sorted(filter(None, listed.split("\0"))))
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return tuple(sorted(name.as_posix() for name in names if ".git" not in name.parts))

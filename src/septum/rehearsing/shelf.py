"""What a pipeline includes without a checkout of septum: its components are those of the septum that is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import septum
from septum.components import catalog
from septum.components.pins import RELEASE, Pins
from septum.components.render import library_root, render_component
from septum.errors import IncludeError, UsageError
from septum.preview.shelf import LIBRARY, Place, Shelf
from septum.preview.situation import SHA
from septum.preview.source import Source
from septum.starting.source import pip_install

_IN_WHEEL = Path(septum.__file__).parent / "components" / "sources"
"""Where a wheel has what a checkout has in `components/`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalShelf(Shelf):
    """The files that such a pipeline can include; `library` is what `lay_library` has written."""

    def component(self, address: str) -> tuple[Source, Place]:
        """A component by its full address.

        Raises:
            IncludeError: It is not of the version that is installed, not of septum, or does not exist.
        """
        path, _, reference = address.partition("@")
        project, _, name = path.partition("/")[2].rpartition("/")
        is_ours = project.rpartition("/")[2] == LIBRARY and project != self.project
        if is_ours and not _is_given(address, self):
            version = septum.__version__
            if reference not in {"~latest", SHA} and not f"{version}.".startswith(f"{reference}."):
                raise IncludeError(
                    f"the pipeline includes {name}@{reference}, and this is septum {version}",
                    evidence=f"{address}: here its components are those of the septum that is installed",
                    fix=f"include {name}@{version}" + _other(reference),
                )
            if self.library is not None and name in {item.name for item in catalog.COMPONENTS}:
                _render(name, self.library)
        return Shelf.component(self, address)


def _other(reference: str) -> str:
    """How to install what a reference names, if it names a version."""
    if not re.fullmatch(r"\d+(?:\.\d+){0,2}", reference):
        return ""
    is_whole = reference.count(".") == 2  # noqa: PLR2004 - a whole version
    return f"; or: {pip_install('facility,laptop', reference if is_whole else f'{reference}.N')}"


def _is_given(address: str, on: Shelf) -> bool:
    path = address.partition("@")[0]
    return any(given.partition("@")[0] == path for given in on.components)


def lay_library(folder: Path) -> Path:
    """Make a folder for the components of the septum that is installed; each is rendered when it is included.

    Args:
        folder: A new folder.

    Returns:
        It: like a checkout, as far as includes look at one. No hash of a wheel is pinned, since the septum that is
        installed is the one that runs.

    Raises:
        UsageError: This installation has no components.
    """
    (folder / "components").mkdir(parents=True)
    for path in _sources().iterdir():
        if path.name != RELEASE.name:
            (folder / "components" / path.name).symlink_to(path)
    (folder / RELEASE).write_text(Pins(version=septum.__version__).as_json(), encoding="utf-8")
    (folder / "templates").mkdir()
    (folder / "pyproject.toml").write_text(f'version = "{septum.__version__}"\n', encoding="utf-8")
    return folder


def _render(name: str, library: Path) -> None:
    file = library / "templates" / f"{name}.yml"
    if not file.is_file():
        file.write_text(render_component(catalog.component(name), library), encoding="utf-8")


def _sources() -> Path:
    if _IN_WHEEL.is_dir():
        return _IN_WHEEL
    try:
        return library_root(Path(septum.__file__).parent) / "components"
    except UsageError as error:
        raise UsageError(
            "rehearse: this installation of septum has no components",
            evidence=f"neither {_IN_WHEEL} nor a checkout above it",
            fix=f"install septum anew: {pip_install('facility,laptop', septum.__version__, anew=True)}",
        ) from error

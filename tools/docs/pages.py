"""Which files of the repository are pages of the site, and where their links lead. Pure, but for asking what is there.

A page is written for GitLab, which shows it where it stands in the repository. On the site it may stand elsewhere, and
most files of the repository are not there at all: links to these lead to GitLab.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

FOLDER = "docs"
"""What MkDocs reads by itself; what stands here is on the site, with this prefix taken off."""
_ALONE = {"README.md": "overview.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_COLLECTIONS = ("components", "examples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the files of the repository are shown.

    Attributes:
        url: Address of the project, such as `https://gitlab.example.org/group/septum`.
        ref: Tag, commit or branch that the site is built from.
    """

    url: str
    ref: str

    def __post_init__(self) -> None:
        """Refuse what is no address of a project, or no name of a version: both come from the environment."""
        if not re.fullmatch(r"https?://[A-Za-z0-9.:-]+(/[A-Za-z0-9._-]+)+", self.url):
            raise ValueError(f"the address of the project is {self.url!r}; expected https://HOST/GROUP/PROJECT")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", self.ref):
            raise ValueError(f"the version is {self.ref!r}; expected a tag, a commit or a branch")

    def address(self, path: str, kind: str) -> str:
        """The address of a file or folder, shown as `blob`, `tree` or `raw`."""
        return f"{self.url}/-/{kind}/{self.ref}/{quote(path)}".rstrip("/")


def added(root: Path) -> dict[str, str]:
    """The pages from outside of `docs/`.

    Args:
        root: The root of a checkout.

    Returns:
        The place on the site (`components/run.md`) of each file (`components/run/README.md`).
    """
    found = {name: place for name, place in _ALONE.items() if (root / name).is_file()}
    for folder in _COLLECTIONS:
        for path in sorted((root / folder).glob("*/README.md")):
            found[path.relative_to(root).as_posix()] = f"{folder}/{path.parent.name}.md"
    return found


def destination(page: str, target: str, *, places: Mapping[str, str], source: Source, root: Path) -> str:
    """Where a link of a page leads on the site.

    Args:
        page: The file that the link stands in, in the repository.
        target: The link as it is written, for GitLab.
        places: The place on the site of each file that is there.
        source: Where all other files are shown.
        root: The root of the checkout.

    Returns:
        A link from the page's place on the site; `target` itself if it leads to elsewhere, or nowhere.
    """
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    if path in places:
        return quote(posixpath.relpath(places[path], posixpath.dirname(places[page]) or ".")) + fragment
    if path == ".." or path.startswith("../") or not (root / path).exists():
        return target
    return source.address("" if path == "." else path, "tree" if (root / path).is_dir() else "blob") + fragment


def anchors(headings: Iterable[str]) -> Iterator[str]:
    """The anchor of each heading as GitLab makes it.

    Small letters, no punctuation, one hyphen for blanks, and a number behind it if there are several of a name.
    """
    seen: dict[str, int] = {}
    for heading in headings:
        anchor = re.sub(r"-+", "-", re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-"))
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        yield f"{anchor}-{count}" if count else anchor


# ── navigation ──────────────────────────────────────────────────────────────────────────────────────────────────

_HEADING = re.compile(r"(?P<level>##+) (?P<title>.+)")
_ENTRY = re.compile(r" *- \[(?P<title>[^\]]+)\]\((?P<target>[^)#\s]+)\)")


def navigation(index: str, places: Mapping[str, str]) -> list[dict[str, object]]:
    """The navigation of the site, as the page of all pages has it: there is no second list.

    A heading becomes a section, a smaller one a section in it; a line of a list that begins with a link to a page
    becomes an entry. Pages that are not listed follow, at the end of the section that has others of their folder.

    Args:
        index: The text of `docs/index.md`.
        places: The place on the site of each file that is there.

    Returns:
        What MkDocs takes as `nav`.
    """
    home = places[f"{FOLDER}/index.md"]
    top: list[dict[str, object]] = [{"Home": home}]
    section = below = top
    of_folder: dict[str, list[dict[str, object]]] = {}
    listed = {home}
    for line in index.splitlines():
        if found := _HEADING.match(line):
            below = []
            if len(found["level"]) == len("##"):
                section = below
                top.append({found["title"]: below})
            else:
                section.append({found["title"]: below})
        elif found := _ENTRY.match(line):
            place = places.get(posixpath.normpath(posixpath.join(FOLDER, found["target"])), "")
            if place.endswith(".md") and place not in listed:
                listed.add(place)
                below.append({found["title"]: place})
                of_folder[posixpath.dirname(place)] = below
    for place in _unlisted(places.values(), listed):
        of_folder.get(posixpath.dirname(place), top).append({_title(place): place})
    return [entry for entry in top if all(entry.values())]


def _unlisted(places: Collection[str], listed: Collection[str]) -> list[str]:
    return sorted(place for place in places if place.endswith(".md") and place not in listed)


def _title(place: str) -> str:
    """A name for a page that nobody has named: its file's."""
    return posixpath.splitext(posixpath.basename(place))[0].replace("-", " ").capitalize()

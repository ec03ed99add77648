"""`python -m tools.docs.links public`: whether every link of a built site leads to something that is there.

Links to other hosts are listed, not followed. Nothing that a page needs to be shown may come from another host.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

_NEEDED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "audio": "src", "video": "src"}
_NEEDED_LINKS = frozenset({"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch"})
_IN_STYLE = re.compile(r"""(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')\s]+)""")
# Any host: the site does not know where it will stand.
_HOST = "https://site.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is wrong with a site, and what nobody looked at.

    Attributes:
        pages: How many pages there are.
        inside: How many links lead to pages and files of the site.
        broken: Links that lead nowhere: page, link, reason.
        foreign: Scripts, styles, pictures that another host would be asked for: page, address.
        external: Links to other hosts.
    """

    pages: int
    inside: int
    broken: tuple[str, ...]
    foreign: tuple[str, ...]
    external: tuple[str, ...]


class _Page(HTMLParser):
    """The links of a page, what it needs to be shown, and what a link to it can name behind the `#`."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.needed: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element leads to, or asks for."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and _NEEDED_LINKS & set(values.get("rel", "").split()):
            self.needed.append(values.get("href", ""))
        elif values.get(_NEEDED.get(tag, "")):
            self.needed.append(values[_NEEDED[tag]])
        self.needed += _IN_STYLE.findall(values.get("style", ""))


def look(site: Path, *, base: str = "/") -> Found:
    """Read all pages and styles of a built site, and follow their links within it.

    Args:
        site: The folder of the site.
        base: Where it will stand on its host, as the page for addresses that do not exist was told.
    """
    pages = {}
    for path in sorted(site.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        pages[path.relative_to(site).as_posix()] = page
    home = _HOST + base.rstrip("/") + "/"
    broken, foreign, external, inside = [], [], set(), 0
    for name, page in pages.items():
        for target in (*page.links, *page.needed):
            whole = urljoin(home + name, target)
            if not whole.startswith(_HOST):
                external.add(target)
                continue
            inside += 1
            if why := _broken(site, whole.removeprefix(home), pages):
                broken.append(f"{name}: {target!r}: {why}")
        foreign += [f"{name}: {address}" for address in page.needed if urlsplit(address).netloc]
    for path in sorted(site.rglob("*.css")):
        name = path.relative_to(site).as_posix()
        foreign += [f"{name}: {address}" for address in _IN_STYLE.findall(path.read_text(encoding="utf-8"))]
    return Found(
        pages=len(pages),
        inside=inside,
        broken=tuple(broken),
        foreign=tuple(foreign),
        external=tuple(sorted(external)),
    )


def _broken(site: Path, target: str, pages: Mapping[str, _Page]) -> str | None:
    """Why a link from the top of the site leads nowhere; None if it leads somewhere."""
    parts = urlsplit(target)
    path = posixpath.normpath(unquote(parts.path))
    if parts.netloc or not (site / path).resolve().is_relative_to(site.resolve()):
        return "leads out of the site"
    if (site / path).is_dir():
        path = posixpath.normpath(posixpath.join(path, "index.html"))
    if not (site / path).is_file():
        return "no such file"
    if parts.fragment and (path not in pages or unquote(parts.fragment) not in pages[path].anchors):
        return "no such heading"
    return None


def main(arguments: list[str]) -> int:
    """Look at the site in the given folder, and print what was found; 1 if something is wrong with it."""
    (folder,) = arguments
    found = look(Path(folder), base=urlsplit(os.environ.get("CI_PAGES_URL", "")).path)
    for address in found.external:
        sys.stdout.write(f"not looked at: {address}\n")
    for line in found.broken:
        sys.stdout.write(f"broken: {line}\n")
    for line in found.foreign:
        sys.stdout.write(f"from another host: {line}\n")
    sys.stdout.write(f"{found.pages} pages, {found.inside} links inside of the site, {len(found.broken)} broken\n")
    return 1 if found.broken or found.foreign or not found.pages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

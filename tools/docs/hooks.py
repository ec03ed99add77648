"""What MkDocs calls while it builds the site: adds pages from outside of docs/, the navigation, and what links need.

MkDocs is run as `python -m mkdocs` in the root of the checkout, so that this folder can be imported.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.extensions.toc import render_inner_html, strip_tags
from markdown.util import AtomicString
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

import septum
from tools.docs.pages import FOLDER, Source, added, anchors, destination, navigation

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LINKS = {"a": "href", "img": "src"}
# After the text of headings and links is known, and before the table of contents (5) and MkDocs' own look at links (0).
_PRIORITY = 10


class AsOnGitLab(Extension):  # type: ignore[misc]
    """Gives headings the anchors that GitLab gives them, and turns links for GitLab into those of the site."""

    def __init__(self, *, root: Path, source: Source) -> None:
        """Remember what is the same for all pages; `places` and `page` are set when they are known."""
        super().__init__()
        self.root, self.source = root, source
        self.places: Mapping[str, str] = {}
        self.page = ""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name is Python-Markdown's
        """Take part in the reading of a page."""
        self.md = md
        md.treeprocessors.register(self, "as-on-gitlab", _PRIORITY)

    def run(self, root: Element) -> None:
        """Change the tree of the page."""
        headings = [element for element in root.iter() if element.tag in _HEADINGS]
        texts = [html.unescape(strip_tags(render_inner_html(element, self.md))) for element in headings]
        for element, anchor in zip(headings, anchors(texts), strict=True):
            element.set("id", anchor)
        for element in root.iter():
            key = _LINKS.get(element.tag, "")
            if target := element.get(key):
                element.set(key, self._leads_to(target))
        # In a table, GitLab takes the backslash away that keeps a bar from ending the cell; in code, too.
        for code in (code for table in root.iter("table") for code in table.iter("code")):
            code.text = AtomicString((code.text or "").replace(r"\|", "|"))

    def _leads_to(self, target: str) -> str:
        return destination(self.page, target, places=self.places, source=self.source, root=self.root)


def on_config(config: MkDocsConfig) -> None:
    """Take part in the reading of every page."""
    try:
        source = Source(url=str(config.extra["source"]), ref=str(config.extra["ref"]))
    except ValueError as error:
        raise PluginError(str(error)) from error
    config.copyright = f"septum {septum.__version__}, {source.ref[:12]}. {config.copyright}"
    extensions: list[Any] = config.markdown_extensions
    extensions.append(AsOnGitLab(root=_root(config), source=source))


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Add the pages from outside of docs/, and make the navigation of all that are there."""
    root, reader = _root(config), _reader(config)
    inside = [file.src_uri for file in files if file.inclusion is not InclusionLevel.EXCLUDED]
    outside = added(root)
    for name, place in outside.items():
        files.append(File.generated(config, place, abs_src_path=str(root / name)))
    reader.places = {f"{FOLDER}/{place}": place for place in inside} | outside
    config.nav = navigation((root / FOLDER / "index.md").read_text(encoding="utf-8"), reader.places)


def on_page_markdown(_markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> None:  # noqa: ARG001
    """Note which page is read now."""
    reader = _reader(config)
    (reader.page,) = (name for name, place in reader.places.items() if place == page.file.src_uri)


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent


def _reader(config: MkDocsConfig) -> AsOnGitLab:
    extensions: list[Any] = config.markdown_extensions
    return next(extension for extension in extensions if isinstance(extension, AsOnGitLab))

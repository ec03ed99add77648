"""Puts plots into a page: SVG of matplotlib without what the page has already, in the page's own colours. Pure.

Glyphs and tick marks are the same in all plots, so that they are taken out and stand in the page once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from xml.etree import ElementTree as ET

from markupsafe import Markup, escape

COLOURS: Mapping[str, str] = MappingProxyType(
    {"ink": "#010203", "run": "#010204", "reference": "#010205", "pale": "#010206", "wash": "#010207"}
)
"""Colours that no plot uses otherwise: in the page, each is a variable of the style sheet."""

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_NUMBERS = frozenset({"d", "x", "y", "width", "height", "points"})
_DROPPED = frozenset({"metadata", "style"})
_INHERITED = frozenset({"style", "clip-path"})
_Style = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A plot for a page: its markup, and the definitions that it needs by their ids."""

    markup: Markup
    definitions: Mapping[str, str]


def embed(document: str, *, title: str, desc: str) -> Embedded:
    """Make one plot part of a page.

    Args:
        document: SVG as matplotlib writes it, with text as paths: nothing of a user's stands in it.
        title: What it is.
        desc: What it shows, in words and numbers.
    """
    root = ET.fromstring(document)  # noqa: S314 - matplotlib wrote it a moment ago, from paths and numbers alone
    definitions, names = _definitions(root)
    box = root.get("viewBox", "0 0 460.8 331.2")
    inner = "".join(_write(child, names) for child in root if _tag(child) not in _DROPPED)
    markup = (
        f'<svg class="plot" viewBox="{escape(box)}" role="img" stroke-linejoin="round" stroke-linecap="butt">'
        f"<title>{escape(title)}</title><desc>{escape(desc)}</desc>{_coloured(inner)}</svg>"
    )
    return Embedded(
        markup=Markup(markup),  # noqa: S704 - of matplotlib's elements, and texts that are escaped above
        definitions={name: _coloured(text) for name, text in definitions.items()},
    )


def definitions_markup(definitions: Mapping[str, str]) -> Markup:
    """The definitions of all plots of a page as one element that takes no room."""
    inner = Markup("".join(definitions.values()))  # noqa: S704 - from `embed`
    return Markup(
        '<svg class="defs" width="0" height="0" aria-hidden="true" focusable="false"><defs>{}</defs></svg>'
    ).format(inner)


def _definitions(root: ET.Element) -> tuple[dict[str, str], dict[str, str]]:
    """What stands in `defs`, named after its content, and the new names by the old ones."""
    found: dict[str, str] = {}
    names: dict[str, str] = {}
    for parent in root.iter(f"{_SVG}defs"):
        for child in list(parent):
            old = child.attrib.pop("id", "")
            if _tag(child) in _DROPPED or not old:
                parent.remove(child)
                continue
            plain = _write(child, {})
            new = "g" + hashlib.sha256(plain.encode()).hexdigest()[:12]
            names[old] = new
            found[new] = plain.replace(f"<{_tag(child)}", f'<{_tag(child)} id="{new}"', 1)
            parent.remove(child)
    return found, names


def _write(element: ET.Element, names: Mapping[str, str], inherited: _Style = frozenset()) -> str:
    tag = _tag(element)
    if tag == "defs" and not len(element):
        return ""
    found = [item for item in _attributes(element, names) if item not in inherited]
    attributes = "".join(f' {key}="{escape(value)}"' for key, value in found)
    inner = _inside(element, names)
    if tag == "g" and not attributes:
        return inner
    return f"<{tag}{attributes}>{inner}</{tag}>" if inner else f"<{tag}{attributes}/>"


def _inside(element: ET.Element, names: Mapping[str, str]) -> str:
    """The children; what neighbours have in common is said once: each bin has a bar and a point of the same style."""
    pieces = []
    for style, group in groupby(element, key=lambda child: _style(child, names)):
        children = list(group)
        if len(children) > 1 and style:
            shared = "".join(f' {key}="{escape(value)}"' for key, value in sorted(style))
            pieces.append(f"<g{shared}>{''.join(_write(child, names, style) for child in children)}</g>")
        else:
            pieces += [_write(child, names) for child in children]
    return "".join(pieces)


def _style(element: ET.Element, names: Mapping[str, str]) -> _Style:
    return frozenset(item for item in _attributes(element, names) if item[0] in _INHERITED)


def _attributes(element: ET.Element, names: Mapping[str, str]) -> list[tuple[str, str]]:
    found = []
    for key, value in element.attrib.items():
        name = key.rpartition("}")[2]
        if name == "id":
            continue
        text = value
        if name == "href" and text.startswith("#"):
            text = "#" + names.get(text[1:], text[1:])
        elif text.startswith("url(#"):
            text = f"url(#{names.get(text[5:-1], text[5:-1])})"
        elif name in _NUMBERS:
            text = _DECIMALS.sub(r"\1", re.sub(r"\s+", " ", text.strip()))
        found.append((name, text))
    return found


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _coloured(text: str) -> str:
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text

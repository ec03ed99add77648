"""The wish list of an unpacked repository (`recipe.yaml`): the line that asks for an image, and whether it is there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from septum.errors import ConfigError, ImageNameError
from septum.images.forms import UNPACKED_HUB
from septum.images.reference import HUB, Image, Reference
from septum.yamltext import read

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An entry of a wish list.

    Args:
        text: As it stands there.
        where: File and line.
    """

    text: str
    where: str


def wish_of(image: Image) -> str:
    """The entry that asks for an image.

    Raises:
        ImageNameError: The image is in no registry, or has no tag: the folder on CVMFS is named by it.
    """
    reference = image.reference
    if image.kind != "registry" or reference is None:
        raise ImageNameError(
            f"image: {image.text!r} is in no registry that a wish list can name",
            fix="name the image as it is in the registry: REGISTRY/PATH:TAG",
        )
    if not reference.tag:
        raise ImageNameError(
            f"image: {str(reference)!r} has no tag, and the folder on CVMFS is named by it",
            fix=f"name the tag: {reference.host}/{reference.name}:v1",
        )
    return f"https://{_host(reference)}/{reference.name}:{reference.tag}"


def find_wish(recipe: Path, reference: Reference) -> Wish | None:
    """Look whether a wish list asks for an image already.

    Args:
        recipe: The list, version 1.
        reference: The image.

    Returns:
        The first entry that covers it, by its name or by a `*` in the tag; None if there is none.

    Raises:
        ConfigError: The file is not a wish list.
    """
    document = read(recipe, ConfigError)
    data = document.data
    wishes = data.get("input") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(wishes, list):
        raise ConfigError(
            f"{recipe}: not a wish list: it has no list 'input'",
            fix="name the recipe.yaml of the repository that syncs unpacked.cern.ch",
        )
    if data.get("version") != "1":
        raise ConfigError(
            f"{document.where(('version',))}: a wish list of version {data.get('version')!r}; version 1 is known",
            fix="compare by hand: septum image wishlist IMAGE prints the entry",
        )
    for number, item in enumerate(wishes):
        if isinstance(item, str) and _covers(item.strip(), reference):
            return Wish(text=item.strip(), where=document.where(("input", number)))
    return None


def _covers(wish: str, reference: Reference) -> bool:
    # By the very name of the registry, since the folder on CVMFS is called like it; wildcards stand in tags alone.
    name, _, tag = wish.rpartition(":")
    return name == f"https://{_host(reference)}/{reference.name}" and fnmatchcase(
        reference.tag, re.sub(r"([\[?])", r"[\1]", tag)
    )


def _host(reference: Reference) -> str:
    return UNPACKED_HUB if reference.host == HUB else reference.host

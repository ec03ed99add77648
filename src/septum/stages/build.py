"""Packs what an image is built of for the CI job that builds it, unless the registry has that image already."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from septum.building.context import find_folder, look_through, pack, read_containerfile
from septum.building.recipe import Target, build_args, content_of, options, target_of
from septum.building.registry import Held, ask, login_of
from septum.errors import ImageTakenError, StateError

_SCRIPT = "build.sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What the building CI job finds.

    Attributes:
        target: Where the image goes.
        content: The hash of what it is built of.
        held: What the registry has under the tag; None if nothing, so that the image is to be built.
        entries: How many files, folders and links the context has, and
        size_b: the size of its archive in bytes; 0 if nothing is to be built.
    """

    target: Target
    content: str
    held: Held | None
    entries: int
    size_b: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the image is to be.

    Attributes:
        root: The repository.
        context: The folder to build from, and
        containerfile: the Containerfile, both relative to `root`.
        name: The image without its tag.
        tag: The tag.
        arguments: The build arguments, one `NAME=value` a line.
        folder: Where the building CI job finds what it needs.
    """

    root: Path
    context: str
    containerfile: str
    name: str
    tag: str
    arguments: str
    folder: Path


def pack_image(asked: Asked, environ: Mapping[str, str]) -> Packed:
    """Look through the repository, ask the registry, and leave what the building CI job needs.

    Args:
        asked: What the image is to be.
        environ: The environment of the CI job.

    Raises:
        SeptumError: Something is missing or wrong, the registry refuses, or has another image under the tag.
    """
    target = target_of(asked.name, asked.tag, environ)
    arguments = build_args(asked.arguments)
    context = find_folder(asked.root, asked.context)
    containerfile = read_containerfile(asked.root, asked.containerfile)
    entries = look_through(context)
    content = content_of(entries, containerfile, arguments)
    login = login_of(target.reference.host, environ)
    held = ask(target.reference, login, ca_file=environ.get("CI_SERVER_TLS_CA_FILE", ""))
    if held is not None and held.content != content:
        raise _taken(target, content, held)
    lines = {
        "image": [target.name],
        "tag": [target.tag],
        "content": [content],
        "login": [login.variables],
        # Each file each time: a runner may still have those of an earlier pipeline.
        "digest": [held.digest] if held else [],
        "options": options(target, content, arguments),
    }
    size_b = 0
    with _new(asked.folder) as made:
        for file, words in lines.items():
            (made / file).write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
        (made / _SCRIPT).write_bytes(files("septum.building").joinpath(_SCRIPT).read_bytes())
        if held is None:
            (made / "Containerfile").write_bytes(containerfile)
            pack(context, entries, made / "context.tar", time_s=target.created_s)
            size_b = (made / "context.tar").stat().st_size
    return Packed(target=target, content=content, held=held, entries=len(entries), size_b=size_b)


@contextlib.contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes its place when all is in it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        made = Path(name) / "made"
        made.mkdir()
        yield made
        _put(made, folder)


def _put(made: Path, folder: Path) -> None:
    """Put a folder in the place of what an earlier call left there, and of nothing else."""
    if folder.exists():
        if not (folder / _SCRIPT).is_file() and any(folder.iterdir()):
            raise StateError(
                f"image: {folder} exists, and is not septum's", fix="choose another folder with --folder, or remove it"
            )
        shutil.rmtree(folder)
    made.replace(folder)


def _taken(target: Target, content: str, held: Held) -> ImageTakenError:
    built = f"from commit {held.revision[:60]}, of content {held.content[:80]}" if held.content else "not by septum"
    return ImageTakenError(
        f"image: the registry has another image under {target.name}:{target.tag}",
        evidence=f"it was built {built}\nthis one would be of content {content}",
        fix="give a tag that nothing has, or leave out the input 'tag', which then is the commit",
    )

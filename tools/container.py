"""Compares an image with the wheel that it must hold: `python3 -m tools.container IMAGE WHEEL DIGEST`.

IMAGE is a folder that `skopeo copy docker://… dir:IMAGE` wrote. Its layers are read, and nothing in it runs: an image
that is not ours would say what it likes. Prints the commit that the image names as its source. Needs the standard
library alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

REVISION = "org.opencontainers.image.revision"
"""The label with the commit that an image was built from."""

_OURS = re.compile(r"/septum(-[^/]+\.dist-info)?/")
_BYTECODE = re.compile(r"(?P<folder>.*/)__pycache__/(?P<module>[^/]+)\.cpython-\d+(\.opt-[12])?\.pyc")
_HIDES = ".wh."
_HIDES_ALL = ".wh..wh..opq"
_NO_FILE = "not a plain file"
_SHOWN = 20
_DAMAGED = (OSError, EOFError, ValueError, RecursionError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


class ImageError(Exception):
    """The image is not the one of this wheel, or cannot be read."""


def compare(image: Path, wheel: Path, digest: str) -> str:
    """Look whether an image holds all files of a wheel as they are, and no other file in septum's folder.

    Args:
        image: Folder with the image's manifest and blobs.
        wheel: The file.
        digest: Of the image's manifest, `sha256:…`; what the manifest names is compared by its digest as well.

    Returns:
        The commit that the image says it was built from.

    Raises:
        ImageError: It is another image, or for several machines, or damaged; or it differs from the wheel.
    """
    manifest = _object(_blob(image / "manifest.json", digest))
    if not isinstance(manifest.get("config"), dict) or not isinstance(manifest.get("layers"), list):
        raise ImageError(f"{digest}: not the manifest of one image; a list of images is not compared")
    config = _object(_part(image, manifest["config"]))
    expected = files_of_wheel(wheel)
    if wrong := differences(expected, files_of_layers(_part(image, layer) for layer in manifest["layers"])):
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        raise ImageError("\n  ".join([f"{digest} was not made from {wheel.name}:", *wrong[:_SHOWN], *more]))
    labels = config.get("config", {}).get("Labels") if isinstance(config.get("config", {}), dict) else None
    revision = labels.get(REVISION) if isinstance(labels, dict) else None
    if not isinstance(revision, str) or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", revision):
        raise ImageError(f"{digest}: its label {REVISION} is {revision!a:.80}, which is no commit")
    return revision


def files_of_wheel(wheel: Path) -> dict[str, str]:
    """The SHA-256 of every file in a wheel, by its name. Without RECORD, which pip writes anew."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith((".dist-info/RECORD", "/"))]
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names}


def files_of_layers(layers: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of every file in a folder of septum, by its path, after all layers.

    Args:
        layers: Archives, the lowest first. A name with `.wh.` in it takes away what a lower one has.
    """
    files: dict[str, str] = {}
    for layer in layers:
        hidden, added = _layer(layer)
        for path in hidden:
            _remove(files, path)
        for path, digest in added:
            # What is no folder replaces a folder, with all that was in it; a folder only replaces what is none.
            files.pop(path, None)
            if digest:
                _remove(files, path)
            if digest and _OURS.search(path):
                files[path] = digest
    return files


def differences(expected: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    """What is changed, missing or additional, one line each; empty if nothing is.

    Bytecode of the wheel's own modules may be there, since pip compiles them, and pip's notes beside the metadata.

    Args:
        expected: See `files_of_wheel`.
        files: See `files_of_layers`.
    """
    places = sorted(path.removesuffix("septum/__init__.py") for path in files if path.endswith("/septum/__init__.py"))
    if len(places) != 1:
        return [f"septum is installed in {len(places)} places: {', '.join(places)!a:.300}"]
    found = {path.removeprefix(places[0]): digest for path, digest in files.items() if path.startswith(places[0])}
    metadata = tuple({name.partition("/")[0] + "/" for name in expected} - {"septum/"})
    changed = [name for name in expected if name in found and found[name] != expected[name]]
    missing = [name for name in expected if name not in found]
    more = [name for name in found if name not in expected and not name.startswith(metadata)]
    additional = [name for name in more if found[name] == _NO_FILE or not _is_bytecode(name, expected)]
    kinds = {"changed": changed, "missing": missing, "additional": additional}
    return [f"{kind}: {name!a:.200}" for kind, names in kinds.items() for name in sorted(names)]


def _is_bytecode(name: str, expected: Mapping[str, str]) -> bool:
    match = _BYTECODE.fullmatch(name)
    return match is not None and f"{match['folder']}{match['module']}.py" in expected


def _layer(layer: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """What a layer hides of those below, and what it adds: paths with the SHA-256 of the file, empty for a folder."""
    hidden: list[str] = []
    added: list[tuple[str, str]] = []
    with tarfile.open(layer) as archive:
        for member in archive:
            path = PurePosixPath("/" + member.name.lstrip("/"))
            if ".." in path.parts:
                raise ImageError(f"{layer.name}: a path with '..': {member.name!a:.200}")
            if path.name.startswith(_HIDES):
                name = "." if path.name == _HIDES_ALL else path.name.removeprefix(_HIDES)
                hidden.append(f"{path.parent}/{name}".replace("//", "/"))
            elif member.isdir():
                added.append((str(path), ""))
            else:
                content = archive.extractfile(member) if member.isreg() and _OURS.search(str(path)) else None
                added.append((str(path), _sha256(content) if content else _NO_FILE))
    return hidden, added


def _remove(files: dict[str, str], path: str) -> None:
    """Take away a path and what is below it; with `/.` at the end, only what is below."""
    below = path.removesuffix(".") if path.endswith("/.") else path + "/"
    for name in [name for name in files if name == path or name.startswith(below)]:
        del files[name]


def _part(image: Path, descriptor: object) -> Path:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ImageError(f"manifest.json: {digest!a:.80} is no digest")
    return _blob(image / digest.removeprefix("sha256:"), digest)


def _blob(path: Path, digest: str) -> Path:
    with path.open("rb") as content:
        if (found := "sha256:" + _sha256(content)) != digest:
            raise ImageError(f"{path.name}: is {found}, and not {digest!a:.80}")
    return path


def _sha256(content: IO[bytes]) -> str:
    total = hashlib.sha256()
    while block := content.read(1 << 20):
        total.update(block)
    return total.hexdigest()


def _object(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ImageError(f"{path.name}: not a JSON object")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Compare, and print the commit; the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.container", description=__doc__)
    parser.add_argument("image", type=Path, help="folder, as skopeo's dir: writes it")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("digest", help="of the image")
    args = parser.parse_args(arguments)
    try:
        sys.stdout.write(compare(args.image, args.wheel, args.digest) + "\n")
    except _DAMAGED as error:
        sys.stderr.write(f"container: {type(error).__name__}: {error}\n")
        return 2
    except ImageError as error:
        sys.stderr.write(f"container: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

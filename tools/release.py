"""The steps of a release that compare: `python3 -m tools.release VERB`. See docs/how-to/release-septum.md.

`open` begins a version, `candidate` writes down what a pipeline built, `pin` puts that into the components, and `check`
decides whether the pipeline of a tag may publish.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from septum.components.pins import RELEASE, Pins, of_wheel, parse, read
from septum.components.render import drift, library_root, render_all
from septum.errors import SeptumError, StateError
from septum.state import write_whole


def open_version(root: Path, version: str) -> None:
    """Begin a version: nothing of it is pinned yet.

    Raises:
        StateError: It is no version.
    """
    pins = parse(Pins(version=version).as_json(), "the new version")
    write_whole(root / RELEASE, pins.as_json())


def candidate(folder: Path, digest: str, output: Path) -> Pins:
    """Write down what one pipeline built from one commit.

    Args:
        folder: With the wheel.
        digest: Of the image that was built from that wheel, from the registry.
        output: The file.
    """
    pins = of_wheel(_wheel(folder), digest)
    write_whole(output, pins.as_json())
    return pins


def pin(root: Path, source: Path) -> list[Path]:
    """Put the pins of a candidate into the components.

    Args:
        root: Of a checkout.
        source: The candidate's `release.json`.

    Returns:
        The files that changed, relative to `root`.

    Raises:
        StateError: They are not pins, not complete, or of another version than the checkout.
    """
    pins = parse(source.read_text(encoding="utf-8"), source.name)
    if not pins.complete:
        raise StateError(f"{source.name}: nothing is pinned in it", fix="take the one of a pipeline that built both")
    if pins.version != (here := read(root).version):
        raise StateError(
            f"{source.name}: of version {pins.version}, and this checkout is {here}",
            fix="check out the commit whose pipeline made it",
        )
    write_whole(root / RELEASE, pins.as_json())
    files = render_all(root)
    changed = drift(files, root)
    for path in changed:
        write_whole(root / path, files[path])
    return [RELEASE, *changed]


def check(root: Path, folder: Path, tag: str) -> Pins:
    """Decide whether what was built is what the components name. On a tag, they must name something.

    Args:
        root: Of the checkout.
        folder: With the wheel that was built from it.
        tag: The name of the tag; empty in the pipeline of a branch.

    Returns:
        The pins.

    Raises:
        StateError: They do not belong together.
    """
    pins = read(root)
    if tag and tag != pins.version:
        raise StateError(f"the tag is {tag!r:.100}, the version {pins.version}", fix=f"git tag {pins.version}")
    if tag and not pins.complete:
        raise StateError(
            f"version {pins.version} has no pins: its components would name a wheel and an image that could change",
            fix="make pin FILE=release.json, with the artifact of the pipeline before; commit, and move the tag there",
        )
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if tag and not re.search(rf"^## \[{re.escape(tag)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        raise StateError(f"CHANGELOG.md: no section with a date for {tag}", fix="write the date of the release there")
    if pins.complete and (built := of_wheel(_wheel(folder), None).wheel) != pins.wheel:
        raise StateError(
            f"the wheel of this commit is not the one that {RELEASE} pins",
            evidence=f"pinned {pins.wheel}\nbuilt  {built}",
            fix="something in it changed after the candidate was built. Before the release: pin a new candidate;\n"
            "after it: begin the next version in pyproject.toml and src/septum/__init__.py, then make open VERSION=…",
        )
    if stale := drift(render_all(root), root):
        names = "\n".join(path.as_posix() for path in stale)
        raise StateError("the components do not have these pins", evidence=names, fix="septum component render")
    return pins


def _wheel(folder: Path) -> Path:
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        raise StateError(
            f"{folder}: {len(found)} wheels, one is needed", evidence="\n".join(map(str, found)), fix="tools/wheel dist"
        )
    return found[0]


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, take the step, say what came of it; the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.release", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("open", help="begin a version").add_argument("version")
    making = verbs.add_parser("candidate", help="write down what was built")
    making.add_argument("folder", type=Path, help="with the wheel")
    making.add_argument("digest", help="of the image")
    making.add_argument("output", type=Path)
    verbs.add_parser("pin", help="put a candidate's pins into the components").add_argument("file", type=Path)
    judging = verbs.add_parser("check", help="is what was built what is pinned?")
    judging.add_argument("folder", type=Path, help="with the wheel")
    judging.add_argument("--tag", default="", help="what is released")
    args = parser.parse_args(arguments)
    try:
        root = library_root(Path.cwd())
        if args.verb == "open":
            open_version(root, args.version)
        elif args.verb == "candidate":
            sys.stdout.write(candidate(args.folder, args.digest, args.output).as_json())
        elif args.verb == "pin":
            sys.stdout.writelines(f"wrote {path.as_posix()}\n" for path in pin(root, args.file))
        else:
            sys.stdout.write(check(root, args.folder, args.tag).as_json())
    except (SeptumError, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"release: {error}\n")
        return error.exit_code if isinstance(error, SeptumError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`septum component`, `septum reference` and `septum skipped`: about the components themselves.

All but `preview` and `skipped` are for people who work on the library, and need a checkout of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli import contract, preview
from septum.cli.answer import answer
from septum.cli.console import say
from septum.cli.parsing import examples

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the command line."""
    verb = subparsers.add_parser(
        "component",
        help="preview what GitLab would run; for authors: render the components",
        description="Preview what GitLab would run of a repository; for authors of the library: render the components.",
        epilog=examples(
            ("septum component preview", "a push to main, in this repository"),
            ("septum component render --check", "whether templates/ is what components/ says"),
        ),
    )
    actions = verb.add_subparsers(dest="action", metavar="ACTION", required=True)
    render = actions.add_parser(
        "render",
        help="render components/ to templates/, and the tables of the READMEs",
        description="Render components/ to templates/, and the tables of the READMEs. For authors of the library.",
        epilog=examples(
            ("septum component render", "write what has changed"),
            ("septum component render --check", "write nothing; exit code 2 if a file has drifted"),
        ),
    )
    render.set_defaults(handler=render_components)
    preview.register(actions)
    contract.register_actions(actions)

    _add_skipped(subparsers)
    for parser in (render, _add_reference(subparsers)):
        parser.add_argument("--check", action="store_true", help="write nothing; exit code 2 if a file has drifted")
        parser.add_argument("--root", type=Path, default=Path(), help="a folder in the checkout (default: this one)")


def _add_skipped(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    skipped = subparsers.add_parser(
        "skipped",
        help="in a CI job of a component: say why there is no run on this ref",
        description="Say why a component does not run on this ref, and end with exit code 10, which it takes for a "
        "warning.",
        epilog=examples(
            ("septum skipped", "in a CI job of a component"),
            ("septum skipped --json", "the same for a program"),
        ),
    )
    skipped.set_defaults(handler=say_skipped)


def _add_reference(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    reference = subparsers.add_parser(
        "reference",
        help="for authors of the library: write docs/reference/",
        description="Write the pages of docs/reference/ from the code. For authors of the library.",
        epilog=examples(
            ("septum reference", "write what has changed"),
            ("septum reference --check", "write nothing; exit code 2 if a page has drifted"),
        ),
    )
    reference.set_defaults(handler=write_reference)
    return reference


def say_skipped(args: argparse.Namespace) -> int:  # noqa: ARG001 - a handler
    """Say that the ref has no credentials.

    Raises:
        NoCredentialsHereError: Always: the component takes its exit code for a warning.
    """
    from septum.errors import NoCredentialsHereError

    env = os.environ.get
    raise NoCredentialsHereError(
        "skipped: no credentials on this ref, so nothing was submitted and there is no result",
        evidence=f"{env('CI_COMMIT_REF_NAME', 'the ref')} is not protected, and the component's input 'credentials' is "
        f"'{env('SEPTUM_REFS', 'protected')}'",
        fix="protect the branch under Settings > Repository; or set the component's input\n"
        "credentials: everywhere          # a broker, or variables that are not protected\n"
        "without-credentials: local       # a few parts in the CI job itself",
    )


def render_components(args: argparse.Namespace) -> int:
    """Write or check the rendered components."""
    from septum.components.render import library_root, render_all

    root = library_root(args.root.resolve())
    return _write_or_check(render_all(root), root, check=args.check, command="septum component render")


def write_reference(args: argparse.Namespace) -> int:
    """Write or check the reference pages."""
    from septum.components.render import library_root
    from septum.reference import pages

    root = library_root(args.root.resolve())
    return _write_or_check(pages(root), root, check=args.check, command="septum reference")


def _write_or_check(files: Mapping[Path, str], root: Path, *, check: bool, command: str) -> int:
    from septum.components.render import drift
    from septum.errors import StateError

    changed = drift(files, root)
    if check and changed:
        raise StateError(
            f"{len(changed)} generated files differ from their sources",
            evidence="\n".join(path.as_posix() for path in changed),
            fix=f"{command}, and commit the result",
        )
    for path in changed:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(files[path].encode("utf-8"))
        say(f"wrote {path.as_posix()}")
    say(f"{len(files)} generated files are up to date")
    answer({"files": len(files), "written": [path.as_posix() for path in changed]})
    return 0

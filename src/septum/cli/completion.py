"""`septum completion SHELL`: what a shell needs to complete verbs, options, clusters and files; and the completing.

Completing is asked for by a variable, and nothing of it is loaded as long as that is not set.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from septum.cli.answer import answer
from septum.cli.console import say
from septum.cli.parsing import PROG, examples, leaves

VARIABLE = "_ARGCOMPLETE"
"""Set by the shell's function when it asks for completions."""
SHELLS = ("bash", "zsh", "fish")
_FOLDERS = frozenset({"DIR", "FOLDER", "REPOSITORY"})
_FILES = frozenset({"FILE", "PATH", "RESULT", "OUT", "A", "B"})
_INSTALL = "python3 -m pip install 'septum[laptop]'"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "completion",
        help="print what your shell needs to complete septum's commands",
        description="Print what your shell needs to complete verbs, options, clusters and files. Nothing is changed: "
        "you decide where it goes.",
        epilog=examples(
            ('eval "$(septum completion bash)"', "in ~/.bashrc"),
            ('eval "$(septum completion zsh)"', "in ~/.zshrc, after compinit"),
            ("septum completion fish > ~/.config/fish/completions/septum.fish", "once"),
        ),
    )
    verb.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")
    verb.set_defaults(handler=show)


def show(args: argparse.Namespace) -> int:
    """Print the script.

    Raises:
        UsageError: The package that makes it is not installed.
    """
    try:
        import argcomplete
    except ImportError as error:
        from septum.errors import UsageError

        raise UsageError(
            "completion: the package argcomplete is not installed", evidence=str(error), fix=_INSTALL
        ) from error
    script = argcomplete.shellcode([PROG], shell=args.shell)  # type: ignore[attr-defined,no-untyped-call,unused-ignore]
    if not answer({"shell": args.shell, "script": script}):
        say(script.rstrip())
    return 0


# ── completing ──────────────────────────────────────────────────────────────────────────────────────────────────


def complete(parser: argparse.ArgumentParser) -> int:
    """Answer the shell; ends the process where argcomplete is installed.

    Returns:
        1: there is nothing to answer with. Whatever else septum would do now, nobody has asked for.
    """
    try:
        import argcomplete
    except ImportError:
        return 1
    for _, leaf in leaves(parser):
        for action in leaf._actions:  # noqa: SLF001 - argparse has no other way
            _prepare(action)
    argcomplete.autocomplete(parser, always_complete_options="long")
    return 1


def _prepare(action: argparse.Action) -> None:
    """Say what an argument is completed with; choices are known without."""
    from argcomplete.completers import DirectoriesCompleter, FilesCompleter

    if action.choices is not None:
        return
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    completer: Any = _nothing
    if action.dest == "cluster" or (action.dest == "name" and metavar == "NAME" and not action.option_strings):
        completer = clusters
    elif metavar in _FOLDERS:
        completer = DirectoriesCompleter()
    elif metavar in _FILES or "=FILE" in metavar:
        completer = FilesCompleter()
    action.completer = completer  # type: ignore[attr-defined]


def _nothing(**_: object) -> list[str]:
    return []


def clusters(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The names of all profiles, with those beside septum.yaml."""
    from septum.clusters.catalog import own_names, shipped_names

    return [*shipped_names(), *own_names(_root(vars(parsed_args)))]


def _root(given: Mapping[str, Any]) -> Path:
    root = given.get("root")
    return root if isinstance(root, Path) else Path(given.get("config") or os.curdir).parent

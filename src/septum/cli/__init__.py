"""The command line: reads arguments, calls one function, prints, and is the only place that ends the process.

Every verb is a module with `register(subparsers)`; what a verb needs is imported when it runs, not before.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import itertools
import os
import sys
from collections.abc import Sequence

import septum
from septum.cli import (
    adopt,
    analysis,
    build,
    cluster,
    compare,
    completion,
    component,
    credentials,
    doctor,
    export,
    gitlab,
    image,
    merge,
    new,
    pipeline,
    plan,
    rehearse,
    report,
    sweep,
    verify,
)
from septum.cli.answer import INTERRUPTED, answer, answering, is_asked, note_error
from septum.cli.console import complain, complain_of
from septum.cli.parsing import PROG, Complaint, Parser, add_json, examples
from septum.components.environment import check
from septum.errors import CancelledError, DiskFullError, SeptumError, StateError
from septum.memory import keep_to_ourselves
from septum.signals import ending_in_order

_VERBS = (
    new,
    analysis,
    pipeline,
    plan,
    rehearse,
    compare,
    merge,
    verify,
    report,
    cluster,
    sweep,
    build,
    component,
    credentials,
    doctor,
    gitlab,
    image,
    adopt,
    export,
    completion,
)
# What Python itself ends with after a traceback.
_PYTHON_FAILED = 1
# What a shell makes of a program that SIGINT ended.
_INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(
        prog=PROG,
        description="Run an analysis as jobs on a batch cluster, and bring back one verified ROOT file.",
        epilog=examples(
            ("septum run", "all parts on this machine, to the merged result"),
            ("septum run --cluster infn-af", "the same on a cluster"),
            ("septum plan", "what would run, how long, and what it costs"),
            ("septum cluster list", "where it can run"),
            ("septum plan --json", "for programs: every verb has it"),
        ),
    )
    top.add_argument("--version", action="version", version=f"septum {septum.__version__}")
    top.add_argument("--traceback", action="store_true", help="show where in septum an error arose")
    subparsers = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in _VERBS:
        verb.register(subparsers)
    add_json(top)
    return top


def _known(error: Exception) -> Exception:
    """What the system refused, as an error of septum."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(
            f"disk: no room for {error.filename or 'what is written'}",
            evidence=str(error),
            fix="make room, or take a runner with a larger disk, and try again: what is here already stays",
        )
    if isinstance(error, OSError):
        return StateError(
            f"files: {error.filename or 'a file'}: {(error.strerror or str(error)).lower()}",
            fix="check that the folders of --state and --result exist, or can be made and written",
        )
    return error


def _explain(error: Exception, args: argparse.Namespace) -> int:
    """Print what went wrong; the exit code that goes with it."""
    error = _known(error)
    if isinstance(error, SeptumError):
        if isinstance(error, CancelledError):
            from septum.cli.interrupt import after_removal

            after_removal(error, args)
        complain_of(f"septum: {error}")
        note_error(error.code, error.exit_code, error.what, evidence=error.evidence, fix=error.fix)
        return error.exit_code
    what, fix = f"{type(error).__name__}: {error}", f"report it with what 'septum --traceback {args.verb} …' prints"
    complain_of(
        f"septum: {what} [{SeptumError.code}]\n  This is a mistake in septum itself; there is no result.\n  Fix: {fix}"
    )
    note_error(SeptumError.code, SeptumError.exit_code, what, fix=fix)
    return SeptumError.exit_code


def _show_traceback(error: Exception) -> int:
    """Print where an error arose, as Python would, but without the secrets in it."""
    import traceback

    complain(traceback.format_exc().rstrip())
    note_error(getattr(error, "code", SeptumError.code), _PYTHON_FAILED, str(error))
    return _PYTHON_FAILED


def _interrupted(args: argparse.Namespace) -> int:
    """Say what goes on after Ctrl-C, and how to go on or to end it."""
    from septum.cli.interrupt import after_interrupt

    what, fix = after_interrupt(args)
    complain_of(f"septum: {what}" + (f"\n  Fix: {fix}" if fix else ""))
    note_error(INTERRUPTED, _INTERRUPTED, what, fix=fix)
    return _INTERRUPTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Those of the process without its name by default.

    Returns:
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        args = _read(given)
    except Complaint as complaint:
        with answering(asked=_names_json(given)):
            complaint.note()
        raise
    with answering(asked=isinstance(args, str) or is_asked(args)) as reply:
        code = _tell(args) if isinstance(args, str) else _handle(args)
    if reply.unwritten is not None:
        error = _known(reply.unwritten)
        complain_of(f"septum: {error}")
        code = code or getattr(error, "exit_code", SeptumError.exit_code)
    return code


def _names_json(given: Sequence[str]) -> bool:
    """Whether a command line that septum cannot read asks for a document; behind `--` stands another command."""
    return "--json" in itertools.takewhile(lambda word: word != "--", given)


def _read(given: Sequence[str]) -> argparse.Namespace | str:
    """The arguments as values; the text of help or version, where a document is asked for.

    Raises:
        SystemExit: They ask for help or the version, which has been printed, or cannot be read.
    """
    if not _names_json(given):
        return parser().parse_args(given)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            return parser().parse_args(given)
        except SystemExit as ended:
            if ended.code:
                raise
            return said.getvalue()


def _tell(text: str) -> int:
    answer({"version": septum.__version__, "says": text})
    return 0


def _handle(args: argparse.Namespace) -> int:
    """Do what a verb does; the exit code."""
    try:
        check(os.environ)
        return int(args.handler(args))
    except KeyboardInterrupt:
        return _interrupted(args)
    except SystemExit as ended:
        note_error(INTERRUPTED, int(ended.code or 0), "ended by a signal")
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is printed, and without secrets
        return _show_traceback(error) if args.traceback else _explain(error, args)


def run() -> int:
    """The command `septum`: `main`, with an output that may be closed, full, or of another encoding."""
    if completion.VARIABLE in os.environ:
        return completion.complete(parser())
    # The environment alone may hold secrets, whatever the verb.
    keep_to_ourselves()
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    for stream in streams:
        stream.reconfigure(errors="replace")
    with ending_in_order() as signals:
        try:
            code = main()
        except KeyboardInterrupt:  # before a verb began, or while its end was told
            code = _INTERRUPTED
        except SystemExit as ended:  # help, a command line that cannot be read, or a signal
            code = int(ended.code or 0)
    if signals and code:
        # Whatever a library made of it on the way: of an import that a signal ended, for instance.
        code = 128 + signals[0]
    for stream in streams:
        try:
            stream.flush()
        except OSError:
            # Python would try again at its end, and change the exit code, which speaks of the run.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code

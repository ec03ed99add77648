"""The command line: reads arguments, calls one function, prints, and is the only place that ends the process.

Every verb is a module with `register(subparsers)`; what a verb needs is imported when it runs, not before.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence

import septum
from septum.cli import analysis, cluster, compare, component, credentials, doctor, merge, report, sweep, verify
from septum.cli.console import complain
from septum.components.environment import check
from septum.errors import DiskFullError, SeptumError, StateError, every_error
from septum.memory import keep_to_ourselves
from septum.signals import ending_in_order

_VERBS = (analysis, compare, merge, verify, report, cluster, sweep, component, credentials, doctor)
# What Python itself ends with after a traceback.
_PYTHON_FAILED = 1


def _exit_codes() -> str:
    """The table of exit codes, from the errors themselves."""
    by_code: dict[int, list[str]] = {}
    for error in every_error():
        by_code.setdefault(error.exit_code, []).append(error.code)
    lines = [f"  {code:>3}  {', '.join(names)}" for code, names in sorted(by_code.items())]
    return "\n".join(
        ["exit codes:", "    0  done, and whole", *lines, "       docs/reference/errors.md says what each means"]
    )


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="septum",
        description="Run an analysis as jobs on a batch cluster, and bring back one verified ROOT file.",
        epilog="examples:\n"
        "  septum run                        all parts on this machine, to the merged result\n"
        "  septum run --cluster infn-af      the same on a cluster\n"
        "  septum plan                       what would run\n"
        "  septum cluster list               where it can run\n\n" + _exit_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"septum {septum.__version__}")
    top.add_argument("--traceback", action="store_true", help="show where in septum an error arose")
    subparsers = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in _VERBS:
        verb.register(subparsers)
    return top


def _explain(error: Exception, verb: str) -> int:
    """Print what went wrong; the exit code that goes with it."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        error = DiskFullError(
            f"disk: no room for {error.filename or 'what is written'}",
            evidence=str(error),
            fix="make room, or take a runner with a larger disk, and try again: what is here already stays",
        )
    if isinstance(error, OSError):
        error = StateError(
            f"files: {error.filename or 'a file'}: {(error.strerror or str(error)).lower()}",
            fix="check that the folders of --state and --result exist, or can be made and written",
        )
    if isinstance(error, SeptumError):
        complain(f"septum: {error}")
        return error.exit_code
    complain(
        f"septum: {type(error).__name__}: {error} [{SeptumError.code}]\n"
        "  This is a mistake in septum itself; there is no result.\n"
        f"  Fix: report it with what 'septum --traceback {verb} …' prints"
    )
    return SeptumError.exit_code


def _show_traceback() -> int:
    """Print where an error arose, as Python would, but without the secrets in it."""
    import traceback

    complain(traceback.format_exc().rstrip())
    return _PYTHON_FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Those of the process without its name by default.

    Returns:
        The exit code.
    """
    args = parser().parse_args(arguments)
    try:
        check(os.environ)
        return int(args.handler(args))
    except KeyboardInterrupt:
        complain("septum: interrupted")
        return 130
    except Exception as error:  # noqa: BLE001 - whatever it is, it is printed, and without secrets
        return _show_traceback() if args.traceback else _explain(error, args.verb)


def run() -> int:
    """The command `septum`: `main`, with an output that may be closed, full, or of another encoding."""
    # The environment alone may hold secrets, whatever the verb.
    keep_to_ourselves()
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    for stream in streams:
        stream.reconfigure(errors="replace")
    with ending_in_order() as signals:
        code = main()
    if signals and code == SeptumError.exit_code:
        code = 128 + signals[0]
    for stream in streams:
        try:
            stream.flush()
        except OSError:
            # Python would try again at its end, and change the exit code, which speaks of the run.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code

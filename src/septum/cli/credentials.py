"""`septum credentials run | show | scan | clean`: look after credentials from the command line."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.console import complain, say
from septum.cli.options import add_cluster, profile_of
from septum.cli.parsing import examples

if TYPE_CHECKING:
    import argparse

    from septum.credentials.scan import Report


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "credentials",
        help="give them to a command, show them, find those that lie about",
        description="Give credentials to a command, show them, find those that lie about, delete what is left.",
        epilog=examples(
            ("septum credentials show --cluster infn-af", "what they are, and how long they live"),
            ("septum credentials scan result", "whether some lie in what becomes an artifact"),
        ),
    )
    actions = verb.add_subparsers(dest="action", metavar="ACTION", required=True)
    _register_run(actions)
    _register_show(actions)
    _register_scan(actions)
    clean = actions.add_parser(
        "clean",
        help="delete what killed processes left behind",
        description="Delete the credential files of septum processes of this user that are dead. "
        "Files of those that live stay. In a CI job, a line for after_script.",
        epilog=examples(
            ("septum credentials clean", "after a septum that was killed"),
            ("septum credentials clean --json", "how many folders went"),
        ),
    )
    clean.set_defaults(handler=clean_up)


def _register_run(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = actions.add_parser(
        "run",
        help="keep what a command needs valid while it lives",
        usage="septum credentials run [options] -- COMMAND [ARGUMENT ...]",
        description="Obtain the credentials of the cluster's profile, renew them while the command runs, and delete "
        "them at its end. The command finds paths in its environment (BEARER_TOKEN_FILE, X509_USER_PROXY, KRB5CCNAME, "
        "…) and no secret; secrets in what it prints become ***. The exit code is the command's; 10 to 19 and 75 if "
        "there are no credentials.",
        epilog=examples(
            ("septum credentials run --cluster infn-af -- xrdfs root://eos.example.org/ ls /store", "with a token"),
            ("septum credentials run --cluster infn-af --auth proxy -- voms-proxy-info --all", "with the proxy alone"),
        ),
    )
    add_cluster(run)
    run.add_argument(
        "--auth",
        choices=("token", "proxy", "both"),
        default="both",
        help="what storage is entered with; the other's variables are unset (default: both)",
    )
    run.add_argument(
        "--keep",
        metavar="NAME",
        action="append",
        default=[],
        help="leave this variable to the command, although it holds a credential",
    )
    run.add_argument("command", metavar="COMMAND", nargs="+", help="after --: the command and its arguments")
    run.set_defaults(handler=run_command)


def _register_show(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = actions.add_parser(
        "show",
        help="obtain the credentials of a cluster, and say what they are",
        description="Obtain the credentials of the cluster's profile, say where each is from, for whom it speaks and "
        "how long it lives, and delete them.",
        epilog=examples(
            ("septum credentials show --cluster infn-af", "in words"),
            ("septum credentials show --cluster infn-af --json", "for a program; no secret is in it"),
        ),
    )
    add_cluster(show)
    show.set_defaults(handler=show_credentials)


def run_command(args: argparse.Namespace) -> int:
    """Run a command under supervision; returns its exit code."""
    from septum.credentials import Supervisor, obtain, secret_variables
    from septum.credentials.choose import make_known
    from septum.credentials.detect import find
    from septum.credentials.redact import KNOWN
    from septum.credentials.run import run
    from septum.environment import for_supervised

    profile = profile_of(args)
    # Also those that this cluster has no use for: the command gets none of them, and no copy under another name.
    make_known(profile, os.environ)
    with obtain(profile, environ=os.environ) as credentials, Supervisor(credentials) as supervisor:
        for warning in credentials.warnings:
            _warn(warning)
        environ = for_supervised(
            os.environ,
            secrets=secret_variables(profile),
            given=credentials.environment(args.auth),
            is_secret=lambda value: bool(find(value.encode("utf-8", "surrogateescape"), KNOWN)),
            keep=args.keep,
        )
        return run(args.command, environ=environ, supervisor=supervisor, warn=_warn)


def show_credentials(args: argparse.Namespace) -> int:
    """Print what the credentials of a cluster are."""
    from septum.credentials import obtain

    with obtain(profile_of(args), environ=os.environ) as credentials:
        now = time.time()
        found, warnings = list(credentials.held.values()), credentials.warnings
    answer(
        {
            "credentials": [
                {
                    "credential": held.kind.value,
                    "source": held.source,
                    "identity": held.identity,
                    "life_s": round(held.expires_at - now) if math.isfinite(held.expires_at) else None,
                    "renewed": held.renewable,
                }
                for held in found
            ],
            "warnings": list(warnings),
        }
    )
    if not found:
        say(f"the cluster {args.cluster} wants no credentials")
    for held in found:
        renewed = "not renewed"
        if held.renewable:
            renewed = "renewed by whoever keeps it" if held.kept_by_others else "renewed in time"
        say(f"{held.name}: {held.identity}; {held.source}; {held.life(now)}, {renewed}")
    for warning in warnings:
        _warn(warning)
    return 0


def clean_up(_: argparse.Namespace) -> int:
    """Delete the credential files of dead processes."""
    from septum.credentials.store import sweep
    from septum.units import count

    folders = len(sweep(os.environ))
    say(f"{count(folders, 'folder')} of credentials deleted")
    answer({"deleted": folders})
    return 0


def _warn(text: str) -> None:
    complain(f"septum: warning: {text}")


def _register_scan(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    scan = actions.add_parser(
        "scan",
        help="find credentials in files, before these become artifacts",
        description="Look for private keys, X.509 proxies, tokens, passwords and Kerberos files, and for the secrets "
        "that are in the variables of the cluster's profile: in files of any kind, in archives, and in base64. What is "
        "found is not shown, only where, what kind, and a fingerprint.",
        epilog=examples(
            ("septum credentials scan result", "a folder, before it becomes an artifact"),
            ("septum credentials scan . --cluster infn-af", "and for the secrets of that cluster's variables"),
        ),
    )
    scan.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="a file, or a folder with all that is in it")
    add_cluster(scan)
    scan.set_defaults(handler=scan_files)


def scan_files(args: argparse.Namespace) -> int:
    """Print what is found, and fail if anything is, or if a file could not be looked into."""
    from dataclasses import asdict

    from septum.credentials.choose import make_known
    from septum.credentials.redact import KNOWN
    from septum.credentials.scan import scan
    from septum.errors import CredentialExposedError, StateError
    from septum.units import count

    # The secrets of this CI job, too, which look like nothing in particular.
    make_known(profile_of(args, complete=False), os.environ)
    report = scan(args.paths, KNOWN)
    if not answer(asdict(report)):
        _show(report)
    if report.findings:
        raise CredentialExposedError(
            f"{count(len(report.findings), 'credential')} in {count(len({f.path for f in report.findings}), 'file')}",
            fix="delete them there, and replace each one: whoever could read it may have done so",
        )
    if report.unread:
        raise StateError(
            f"{count(len(report.unread), 'file')} could not be looked into, so nobody knows what is in there",
            fix="make them readable, or leave them out",
        )
    return 0


def _show(report: Report) -> None:
    for finding in report.findings:
        place = f"byte {finding.offset}" if finding.line is None else finding.line
        say(f"{_printable(finding.path)}:{place}: {finding.kind} (sha256 {finding.fingerprint})")
    for problem in report.unread:
        complain(f"{_printable(problem.path)}: {problem.reason}")
    skipped = f"; {report.skipped} links and special files not followed" if report.skipped else ""
    say(f"files: {report.files}, credentials: {len(report.findings)}{skipped}")


def _printable(path: str) -> str:
    """A path whose name cannot move the cursor or begin a line of its own."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in path)

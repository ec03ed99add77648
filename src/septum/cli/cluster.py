"""`septum cluster list | show | check`: what clusters there are, where each value comes from, whether one answers."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.cli.answer import answer
from septum.cli.console import complain, table
from septum.cli.options import overrides
from septum.cli.parsing import examples

if TYPE_CHECKING:
    import argparse

    from septum.clusters.profile import LoadedProfile


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "cluster",
        help="show and check the clusters that jobs can run on",
        description="Show and check the clusters that jobs can run on.",
        epilog=examples(("septum cluster list", "all of them"), ("septum cluster show infn-af", "one of them")),
    )
    actions = verb.add_subparsers(dest="action", metavar="ACTION", required=True)

    listing, show, check = _add_list(actions), _add_show(actions), _add_check(actions)
    for action in (show, check):
        action.add_argument("name", metavar="NAME", help="a profile's name, or the path of a file")
        action.add_argument(
            "--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[], help="override one key"
        )
    for action in (listing, show, check):
        action.add_argument("--root", type=Path, default=Path(), help="the folder of septum.yaml (default: this one)")


def _add_list(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    listing = actions.add_parser(
        "list",
        help="all profiles: those of septum, and those in clusters/",
        description="List all profiles: those of septum, and those in the folder clusters/ beside septum.yaml.",
        epilog=examples(
            ("septum cluster list", "where jobs can run"),
            ("septum cluster list --root analysis", "with the profiles of the analysis in that folder"),
        ),
    )
    listing.set_defaults(handler=list_clusters)
    return listing


def _add_show(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    show = actions.add_parser(
        "show",
        help="every key of a profile, its value, and where the value comes from",
        description="Show every key of a profile, its value, and where the value comes from.",
        epilog=examples(
            ("septum cluster show infn-af", "with the source of each value"),
            ("septum cluster show clusters/mine.yaml", "a profile of your own"),
            ("septum cluster show infn-af --set lease='4 h'", "with another value of one key"),
        ),
    )
    show.set_defaults(handler=show_cluster)
    return show


def _add_check(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    check = actions.add_parser(
        "check",
        help="obtain the credentials and ask the cluster whether it would take jobs",
        description="Obtain the credentials of a profile, and ask the cluster whether it would take jobs. Nothing is "
        "submitted.",
        epilog=examples(
            ("septum cluster check infn-af", "whom the schedd takes us for"),
            ("septum cluster check reana-cern", "whom REANA takes us for, and what is left of the quota"),
            ("septum cluster check clusters/mine.yaml --set call-deadline='30 s'", "with less patience"),
        ),
    )
    check.set_defaults(handler=check_cluster)
    return check


def list_clusters(args: argparse.Namespace) -> int:
    """Print one line for each profile."""
    from septum.clusters.catalog import load_profile, own_names, shipped_names
    from septum.errors import SeptumError

    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys([*shipped_names(), *own_names(args.root)]):
        try:
            # Without variables: they are meant for the one cluster that is chosen.
            profile = load_profile(name, environ={}, root=args.root, complete=False).profile
        except SeptumError as err:
            rows.append({"name": name, "title": "", "method": "", "usable": False, "verified": "", "problem": err.what})
            continue
        row = profile.model_dump(include={"name", "title", "method", "usable", "verified"})
        rows.append({**row, "problem": profile.unusable_because})
    answer(rows)
    usable = {True: "yes", False: "no"}
    lines = [
        (
            r["name"],
            r["method"],
            usable[r["usable"]],
            r["verified"],
            r["title"] + (f" ({r['problem']})" * bool(r["problem"])),
        )
        for r in rows
    ]
    table([("NAME", "METHOD", "USABLE", "VERIFIED", "TITLE"), *lines], indent="")
    return 0


def show_cluster(args: argparse.Namespace) -> int:
    """Print every key with its value and its origin."""
    from septum.clusters.profile import keys, variable_of

    loaded = _load(args, complete=False)
    values = loaded.profile.model_dump(mode="json")
    answer(
        {
            "missing": list(loaded.missing),
            "values": {
                key: {
                    "value": values[name],
                    "origin": loaded.origins[key].kind,
                    "detail": loaded.origins[key].detail,
                }
                for key, name in keys().items()
            },
        }
    )
    rows = [("KEY", "VALUE", "ORIGIN")]
    for key, name in keys().items():
        if key in loaded.missing:
            rows.append((key, "?", f"needed, and not known; set {variable_of(key)}"))
        else:
            rows.append((key, _shown(name, values[name]), loaded.origins[key].detail))
    table(rows, indent="")
    return 0


def check_cluster(args: argparse.Namespace) -> int:
    """Obtain the credentials of the profile, and ask the cluster."""
    loaded = _load(args, complete=True)
    profile = loaded.profile
    lines = [("cluster", f"{profile.name}: {profile.title}" if profile.title else profile.name)]
    lines.append(("verified", profile.verified))
    warnings: list[str] = []
    if profile.method == "local":
        lines.append(("usable", "yes, on this machine"))
    else:
        from septum.backends.access import ask
        from septum.credentials import obtain

        # HTCondor's client writes down the hosts it meets; that must not land in the user's folder.
        with (
            tempfile.TemporaryDirectory(prefix="septum-check-") as folder,
            obtain(profile, environ=os.environ, clock=time.time) as credentials,
        ):
            lines.append(("identity", credentials.identity))
            warnings = credentials.warnings
            lines += ask(profile, credentials, Path(folder), room=True).lines
    answer({"lines": dict(lines), "warnings": warnings})
    table(lines, indent="")
    for warning in warnings:
        complain(f"warning: {warning}")
    return 0


def _load(args: argparse.Namespace, *, complete: bool) -> LoadedProfile:
    from septum.clusters.catalog import load_profile

    return load_profile(
        args.name, environ=os.environ, root=args.root, overrides=overrides(args.overrides), complete=complete
    )


def _shown(name: str, value: Any) -> str:
    """A value as people write it in YAML."""
    from septum.clusters.profile import DURATIONS, SIZES
    from septum.units import show_duration, show_size

    if name in DURATIONS:
        return show_duration(value)
    if name in SIZES:
        return show_size(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={literal}" for key, literal in value.items())
    return str(value)

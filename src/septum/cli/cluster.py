"""`septum cluster list | show | check`: what clusters there are, where each value comes from, whether one answers."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.cli.options import overrides

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from septum.clusters.profile import LoadedProfile


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser("cluster", help="show and check the clusters that jobs can run on")
    actions = verb.add_subparsers(dest="action", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="all profiles: those of septum, and those in clusters/")
    listing.set_defaults(handler=list_clusters)

    show = actions.add_parser("show", help="every key of a profile, its value, and where the value comes from")
    show.set_defaults(handler=show_cluster)

    check = actions.add_parser("check", help="obtain the credentials and ask the cluster whether it would take jobs")
    check.set_defaults(handler=check_cluster)

    for action in (show, check):
        action.add_argument("name", metavar="NAME", help="a profile's name, or the path of a file")
        action.add_argument(
            "--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[], help="override one key"
        )
    for action in (listing, show, check):
        action.add_argument("--root", type=Path, default=Path(), help="the folder of septum.yaml (default: this one)")
        action.add_argument("--json", action="store_true", help="write JSON")


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
    if args.json:
        return _print_json(rows)
    usable = {True: "yes", False: "no"}
    table = [
        (
            r["name"],
            r["method"],
            usable[r["usable"]],
            r["verified"],
            r["title"] + (f" ({r['problem']})" * bool(r["problem"])),
        )
        for r in rows
    ]
    return _print_table([("NAME", "METHOD", "USABLE", "VERIFIED", "TITLE"), *table])


def show_cluster(args: argparse.Namespace) -> int:
    """Print every key with its value and its origin."""
    from septum.clusters.profile import keys, variable_of

    loaded = _load(args, complete=False)
    values = loaded.profile.model_dump(mode="json")
    if args.json:
        return _print_json(
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
    table = [("KEY", "VALUE", "ORIGIN")]
    for key, name in keys().items():
        if key in loaded.missing:
            table.append((key, "?", f"needed, and not known; set {variable_of(key)}"))
        else:
            table.append((key, _shown(name, values[name]), loaded.origins[key].detail))
    return _print_table(table)


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
        from septum.backends import htcondor
        from septum.credentials import obtain

        # HTCondor's client writes down the hosts it meets; that must not land in the user's folder.
        with (
            tempfile.TemporaryDirectory(prefix="septum-check-") as folder,
            obtain(profile, environ=os.environ, clock=time.time) as credentials,
        ):
            lines.append(("identity", credentials.identity))
            warnings = credentials.warnings
            lines += htcondor.check(profile, credentials, Path(folder))
    if args.json:
        return _print_json({"lines": dict(lines), "warnings": warnings})
    _print_table(lines)
    for warning in warnings:
        sys.stderr.write(f"warning: {warning}\n")
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


def _print_json(data: object) -> int:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")
    return 0


def _print_table(rows: Sequence[tuple[str, ...]]) -> int:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    return 0

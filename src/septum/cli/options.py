"""Options that several verbs share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from septum.components import inputs
from septum.components.environment import given
from septum.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from septum.clusters.profile import Profile
    from septum.components.model import Input


def preset(item: Input) -> str:
    """What an option is when it is not given: what the input of a component says, or its default."""
    return given(item, os.environ)


def add_cluster(verb: argparse.ArgumentParser) -> None:
    """Add the options that choose a cluster."""
    add = verb.add_argument
    add("--config", metavar="FILE", default=preset(inputs.CONFIG), help="septum.yaml [SEPTUM_CONFIG]")
    add("--cluster", metavar="NAME", default=preset(inputs.CLUSTER), help="where the jobs run [SEPTUM_CLUSTER]")
    add("--set", metavar="KEY=VALUE", action="append", default=[], help="override a key of the cluster's profile")


def overrides(texts: Sequence[str]) -> dict[str, str]:
    """Take the values of `--set` apart.

    Raises:
        UsageError: One has no equals sign.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r}: expected KEY=VALUE", fix="for instance: --set poll-floor='30 s'")
        found[key] = value
    return found


def profile_of(args: argparse.Namespace, *, complete: bool = True) -> Profile:
    """The profile of the chosen cluster.

    Args:
        args: What was given to the options of `add_cluster`.
        complete: Whether nothing may be missing in it.

    Raises:
        SeptumError: There is none, or it lacks something.
    """
    from septum.clusters.catalog import load_profile

    return load_profile(
        args.cluster,
        environ=os.environ,
        root=Path(args.config).parent,
        overrides=overrides(args.set),
        complete=complete,
    ).profile

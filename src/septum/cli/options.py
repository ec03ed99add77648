"""Options that several verbs share."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from septum.components import inputs
from septum.components.environment import given
from septum.components.model import LOCAL
from septum.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from septum.clusters.profile import Profile
    from septum.components.model import Input
    from septum.stages import Options

_OURS = ("CI_JOB_TOKEN", "SEPTUM_GITLAB_TOKEN")
"""GitLab's tokens, which collect keeps for the artifact of a reference and for the note."""


def preset(item: Input) -> str:
    """What an option is when it is not given: what the input of a component says, or its default."""
    return given(item, os.environ)


def add_cluster(verb: argparse.ArgumentParser) -> None:
    """Add the options that choose a cluster."""
    add = verb.add_argument
    add("--config", metavar="FILE", default=preset(inputs.CONFIG), help="septum.yaml [SEPTUM_CONFIG]")
    add("--cluster", metavar="NAME", default=preset(inputs.CLUSTER), help="where the jobs run [SEPTUM_CLUSTER]")
    add("--set", metavar="KEY=VALUE", action="append", default=[], help="override a key of the cluster's profile")


FROM_VARIABLES = "Options not given are read from the variables in brackets."


def add_run(verb: argparse.ArgumentParser) -> None:
    """Add the options of every stage of a run."""
    add_cluster(verb)
    env = os.environ.get
    add = verb.add_argument
    add("--image", metavar="IMAGE", default=preset(inputs.IMAGE) or None, help="image of the parts [SEPTUM_IMAGE]")
    add("--prefix", metavar="TEXT", default=env("SEPTUM_PREFIX") or "", help="prefix of the CI jobs [SEPTUM_PREFIX]")
    add("--state", metavar="DIR", default=env("SEPTUM_STATE") or ".septum", help="state folder [SEPTUM_STATE]")
    add("--result", metavar="DIR", default=preset(inputs.RESULT), help="result folder [SEPTUM_RESULT]")


def add_parts(verb: argparse.ArgumentParser) -> None:
    """Add the option that chooses parts."""
    verb.add_argument(
        "--parts",
        metavar="IDS",
        default=os.environ.get("SEPTUM_PARTS") or _limited(),
        help="only these parts: a number of them (3, or 'first 2000'), or ids (0007,0011) [SEPTUM_PARTS, SEPTUM_LIMIT]",
    )


def _limited() -> str | None:
    """The input `limit` of a component as a choice of parts."""
    limit = os.environ.get("SEPTUM_LIMIT", "0")
    return f"first {limit}" if limit not in {"", "0"} else None


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


def _seconds(name: str, text: str) -> float | None:
    from septum.units import parse_duration

    if not text:
        return None
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--{name}: {error}", fix=f"--{name} '2 h'") from error


def options_of(args: argparse.Namespace) -> Options:
    """What the command line and the environment ask for."""
    from septum.patience import hops_of, leave_at, parse_hop
    from septum.stages import Options

    environ = dict(os.environ)
    hop = parse_hop(getattr(args, "hop", ""))
    delays = hops_of(environ, local=args.cluster == LOCAL)
    if hop is not None and environ.get("CI_JOB_NAME"):
        # The results of other pipelines stand in the artifact of the last one.
        environ["CI_JOB_NAME"] = f"{args.prefix}collect"
    stay_s = _seconds("stay", getattr(args, "stay", ""))
    for name in _OURS:
        # Ours alone: what a library starts, such as a look for fonts, would inherit it.
        os.environ.pop(name, None)
    return Options(
        config=Path(args.config),
        cluster=args.cluster,
        overrides=overrides(args.set),
        image=args.image,
        prefix=args.prefix,
        state=Path(args.state),
        result=Path(args.result),
        environ=environ,
        until_s=leave_at(environ, now_s=time.time(), hop=hop, stay_s=stay_s),
        leaves_early=hop is not None and not hop.is_last,
        gap_s=_seconds("gap", getattr(args, "gap", "")) or 60.0 * max(delays, default=0),
    )

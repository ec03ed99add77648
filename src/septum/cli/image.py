"""`septum image resolve | wait | wishlist`: what each side calls an image, whether CVMFS has it, how to ask for it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.cli.answer import answer
from septum.cli.console import complain, say, table
from septum.cli.options import add_cluster, overrides, preset, profile_of
from septum.cli.parsing import examples
from septum.components import inputs
from septum.errors import ImageNotThereError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from septum.clusters.profile import Profile
    from septum.images.cvmfs import Seen
    from septum.images.resolve import Resolved


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "image",
        help="show what an image is on each side, and wait until CVMFS has it",
        description="Show what an image is on each side, wait until CVMFS has it, and how to ask for it.",
        epilog=examples(
            ("septum image resolve --cluster infn-af", "that of septum.yaml"),
            ("septum image wait --cluster infn-af", "until CVMFS has it"),
        ),
    )
    actions = verb.add_subparsers(dest="action", metavar="ACTION", required=True)

    for action in (_add_resolve(actions), _add_wait(actions), _add_wishlist(actions)):
        action.add_argument(
            "image", metavar="IMAGE", nargs="?", help="its name (default: SEPTUM_IMAGE, or that of septum.yaml)"
        )
        add_cluster(action)


def _add_resolve(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    resolving = actions.add_parser(
        "resolve",
        help="what the CI job and the workers use, whether the name can move, and which image it is today",
        description="Say what the CI job and the workers use, whether the name can move, and which image it is today.",
        epilog=examples(
            ("septum image resolve --cluster infn-af", "the image of septum.yaml"),
            ("septum image resolve registry.example.org/my-group/analysis:v1 --offline", "without asking the registry"),
            note="Exit code 38 if CVMFS and the registry have different images under the name.",
        ),
    )
    resolving.add_argument("--offline", action="store_true", help="do not ask the registry")
    resolving.set_defaults(handler=resolve_image)
    return resolving


def _add_wait(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    waiting = actions.add_parser(
        "wait",
        help="wait until CVMFS shows the image that the registry has",
        description="Wait until CVMFS shows the image that the registry has.",
        epilog=examples(
            ("septum image wait --cluster infn-af", "two hours at most"),
            ("septum image wait --cluster infn-af --deadline '30 min' --interval '2 min'", "less, and less often"),
            note="Exit code 0 if it does; 75 if not within the deadline, so that GitLab tries again.",
        ),
    )
    waiting.add_argument("--deadline", metavar="TIME", default="2 h", help="how long to wait (default: 2 h)")
    waiting.add_argument("--interval", metavar="TIME", default="1 min", help="between two looks (default: 1 min)")
    waiting.set_defaults(handler=wait_for_image)
    return waiting


def _add_wishlist(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    wishing = actions.add_parser(
        "wishlist",
        help="the line for the wish list of unpacked.cern.ch (recipe.yaml)",
        description="Print the line for the wish list of unpacked.cern.ch (recipe.yaml).",
        epilog=examples(
            ("septum image wishlist registry.example.org/my-group/analysis:v1", "the line to add"),
            ("septum image wishlist --recipe recipe.yaml", "whether the list has that of septum.yaml already"),
        ),
    )
    wishing.add_argument("--recipe", metavar="FILE", type=Path, help="the list, to see whether it asks for it already")
    wishing.set_defaults(handler=wish_image)
    return wishing


def resolve_image(args: argparse.Namespace) -> int:
    """Print what is known of the image; raises if CVMFS and the registry differ."""
    from septum.images.reference import FIX_MUTABLE
    from septum.images.resolve import resolve

    profile = profile_of(args, complete=False)
    found = resolve(_image(args), profile, environ=os.environ, ask=not args.offline)
    if not answer(_to_data(found, profile)):
        table(_rows(found, profile))
        if found.moves:
            say(f"warning: {found.moves}. {FIX_MUTABLE}")
    found.check()
    return 0


def wait_for_image(
    args: argparse.Namespace,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Look at the path until it has the image; says what it sees whenever that changes."""
    from septum.images.cvmfs import look
    from septum.images.resolve import resolve

    deadline_s, interval_s = _seconds("deadline", args.deadline), _seconds("interval", args.interval)
    profile = profile_of(args, complete=False)
    found = resolve(_image(args), profile, environ=os.environ)
    _refuse_hopeless(found, profile)
    wanted = found.answer.image_id if found.answer is not None else ""
    if not wanted:
        why = found.answer.text if found.answer is not None else found.unknown
        say(f"the image's id is not known ({why}): waiting for the path alone")
    until_s = clock() + deadline_s
    last = ""
    while True:
        seen = look(found.worker)
        words = _words(seen, wanted)
        if words != last:
            say(f"{found.worker}: {words}")
            last = words
        if seen.state == "there" and wanted in {"", seen.image_id}:
            break
        if clock() + interval_s > until_s:
            raise _not_there(found, words, args.deadline)
        sleep(interval_s)
    answer({"path": found.worker, "is": seen.path, "id": seen.image_id})
    return 0


def _refuse_hopeless(found: Resolved, profile: Profile) -> None:
    """Look whether it makes sense to wait.

    Raises:
        UsageError: It does not: what is waited for can never be seen.
    """
    from septum.images.cvmfs import CVMFS

    if not found.worker.startswith("/cvmfs/"):
        raise UsageError(
            f"image: on {profile.name} it is {found.worker or 'not started'}, which does not come by CVMFS",
            fix="choose a cluster whose 'image-form' is unpacked: septum cluster show NAME",
        )
    if not CVMFS.is_dir():
        raise UsageError(
            f"image: this machine has no {CVMFS}, so nobody can see from here when the image appears",
            fix="run it on a runner that has CVMFS: give the CI job the tag of such a runner",
        )
    if found.answer is not None and found.answer.absent:
        raise UsageError(
            f"image: the registry has no {found.image.text}, so CVMFS will not either", fix="push it first"
        )


def _not_there(found: Resolved, words: str, deadline: str) -> ImageNotThereError:
    return ImageNotThereError(
        f"image: after {deadline}, CVMFS does not show {found.image.text}",
        evidence=f"{found.worker}: {words}",
        fix=f"retry this CI job later; is the image asked for? septum image wishlist {found.image.text}",
    )


def wish_image(args: argparse.Namespace) -> int:
    """Print the entry of the image, or where the list has it already."""
    from septum.images.reference import parse_image, why_mutable
    from septum.images.wishlist import find_wish, wish_of

    image = parse_image(_image(args))
    wish = wish_of(image)
    has = find_wish(args.recipe, image.reference) if args.recipe is not None and image.reference is not None else None
    answer({"entry": wish, "there": None if has is None else {"entry": has.text, "where": has.where}})
    if has is not None:
        say(f"{has.where}: {has.text} asks for it already")
        return 0
    say(f"    - '{wish}'")
    if moves := why_mutable(image):
        complain(f"warning: {moves}; a '*' in the tag asks for all tags of that form")
    return 0


def _image(args: argparse.Namespace) -> str:
    """The image of the command line, of the component's input, of `septum.yaml`, of its workflow of REANA."""
    from septum.stages import make_plan
    from septum.stages.reading import config_of, read_analysis
    from septum.stages.wiring import Options

    named = args.image or preset(inputs.IMAGE)
    options = Options(config=Path(args.config), cluster=args.cluster, overrides=overrides(args.set))
    if not named and config_of(options).exists():
        analysis = read_analysis(options)
        named = analysis.image or ""
        if not named and analysis.reana is not None:
            # The steps name it, or the rules of a Snakefile, which only Snakemake can read.
            named = make_plan(options).image or ""
    if not named:
        raise UsageError(
            "image: none is named, on the command line or in septum.yaml",
            fix=f"septum image {args.action} gitlab-registry.cern.ch/group/project/name:v1",
        )
    return str(named)


def _words(seen: Seen, wanted: str) -> str:
    if seen.state == "there" and wanted and seen.image_id != wanted:
        return f"another image ({seen.image_id or seen.path}), not yet {wanted}"
    return {
        "there": "there",
        "absent": f"not there; {seen.repository} is here",
        "no-cvmfs": f"{seen.repository} is not mounted here",
        "elsewhere": "not on this machine",
    }[seen.state]


def _rows(found: Resolved, profile: Profile) -> list[tuple[str, str]]:
    attribute = "container_image" if profile.image_method == "container-image" else "+SingularityImage"
    if profile.method == "reana":
        attribute = "container"
    rows = [
        ("image", str(found.image.reference or found.image.text)),
        ("CI job", f"image: {found.ci}" if found.ci else "none: GitLab cannot start it"),
        (profile.name, f"{attribute} = {found.worker}" if found.worker else "starts no images"),
        ("digest", found.digest or f"unknown: {found.unknown}"),
        ("id", found.image_id or f"unknown: {found.unknown}"),
    ]
    if found.seen is not None:
        wanted = found.answer.image_id if found.answer is not None else ""
        rows.append(("here", f"{_words(found.seen, wanted)}{f': {found.seen.path}' if found.seen.path else ''}"))
    return rows


def _to_data(found: Resolved, profile: Profile) -> dict[str, Any]:
    seen, answer = found.seen, found.answer
    return {
        "image": str(found.image.reference or found.image.text),
        "kind": found.image.kind,
        "ci": found.ci,
        "cluster": profile.name,
        "worker": found.worker,
        "moves": found.moves,
        "digest": found.digest,
        "id": found.image_id,
        "unknown": found.unknown,
        "registry": None if answer is None else {"found": answer.found, "absent": answer.absent, "says": answer.text},
        "here": None if seen is None else {"state": seen.state, "path": seen.path, "id": seen.image_id},
    }


def _seconds(name: str, text: str) -> int:
    from septum.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--{name}: {error}", fix=f"--{name} '30 min'") from error

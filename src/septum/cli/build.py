"""`septum pack-image`: what an image is built of, packed for the CI job with buildah. That one needs no septum."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from septum.cli.answer import answer
from septum.cli.console import say
from septum.cli.options import FROM_VARIABLES, preset
from septum.cli.parsing import examples
from septum.components import inputs

_DESCRIPTION = """\
Look through what an image is built of, and ask the registry for it. If the registry has nothing under the tag, context,
Containerfile and a script are packed into a folder, for a CI job with buildah. If it has the image of the same content,
there is nothing to build. If it has another one, that is an error: a tag never gets a second meaning."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "pack-image",
        help="pack what an image is built of, unless the registry has it",
        description=_DESCRIPTION,
        epilog=examples(
            ("septum pack-image --image registry.example.org/my-group/analysis", "under a tag made of its content"),
            ("septum pack-image --image registry.example.org/my-group/analysis --tag v1 --context container", ""),
            note=FROM_VARIABLES,
        ),
    )
    add = verb.add_argument
    for item, meta in (
        (inputs.BUILD_CONTEXT, "DIR"),
        (inputs.BUILD_FILE, "FILE"),
        (inputs.BUILD_NAME, "NAME"),
        (inputs.BUILD_TAG, "TAG"),
    ):
        told = f"{item.description[0].lower()}{item.description[1:].split('. ')[0].rstrip('.')} [{item.variable}]"
        add(f"--{item.name}", metavar=meta, default=preset(item), help=told.replace("%", "%%"))
    add(
        "--folder",
        metavar="DIR",
        default=os.environ.get("SEPTUM_BUILD_FOLDER") or ".septum/image",
        help="where all is put [SEPTUM_BUILD_FOLDER]",
    )
    verb.set_defaults(handler=_pack)


def _pack(args: argparse.Namespace) -> int:
    from septum.stages.build import Asked, pack_image
    from septum.units import show_size

    asked = Asked(
        root=Path(),
        context=args.context,
        containerfile=args.containerfile,
        name=args.image,
        tag=args.tag,
        arguments=preset(inputs.BUILD_ARGS),
        folder=Path(args.folder),
    )
    packed = pack_image(asked, os.environ)
    name = f"{packed.target.name}:{packed.target.tag}"
    answer(
        {
            "image": name,
            "digest": packed.held.digest if packed.held is not None else "",
            "to_build": packed.held is None,
            "content": packed.content,
            "size_b": packed.size_b,
        }
    )
    if packed.held is not None:
        say(f"the registry has {name} already, of the same content: {packed.held.digest}")
        return 0
    say(f"{name} is to be built from {packed.entries} files and folders")
    say(f"packed: {show_size(packed.size_b)}; content {packed.content}")
    return 0

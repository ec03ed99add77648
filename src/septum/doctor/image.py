"""The container image: its name, whether the registry has it, and whether the workers' path can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.doctor.analysis import ANALYSIS, PLAN, PROFILE
from septum.doctor.report import Outcome, ok, skipped, warning
from septum.errors import PartImageError
from septum.images.cvmfs import CVMFS, look
from septum.images.reference import FIX_MUTABLE, parse_image, why_mutable
from septum.images.registry import ask_registry

if TYPE_CHECKING:
    from pathlib import Path

    from septum.doctor.runner import Context


def chosen(context: Context) -> str:
    """The image that the parts ask for; empty if none."""
    plan, analysis = context.value(PLAN), context.value(ANALYSIS)
    named = plan.image if plan is not None else analysis.image if analysis is not None else None
    return context.options.image or named or ""


# ── the name ────────────────────────────────────────────────────────────────────────────────────────────────────


def image(context: Context) -> Outcome | None:
    """The image has a good name, one that means the same tomorrow, and the registry has it."""
    text = chosen(context)
    if not text:
        return None
    named = parse_image(text)
    moves = why_mutable(named)
    if named.kind != "registry" or named.reference is None:
        if moves:
            return warning(text, cause=moves, fix=FIX_MUTABLE)
        return skipped(f"{text.partition('://')[0]}:// cannot be tried from here") if "://" in text else None
    answer = ask_registry(named.reference, environ=context.environ)
    if answer.absent:
        raise PartImageError(
            f"the registry has no image {text}",
            evidence=answer.text,
            fix="check name and tag; a tag may have been deleted, or its image not been built yet",
        )
    doubts, fixes = [], []
    if not answer.found:
        doubts.append(answer.text)
        fixes.append("Nothing to do, if the workers take it from elsewhere; otherwise check the name.")
    if moves:
        doubts.append(moves)
        fixes.append(FIX_MUTABLE)
    if doubts:
        return warning(text, cause="\n".join(doubts), fix="\n".join(fixes))
    return ok(f"{text} is there" + ("" if named.reference.digest else "; a digest would name it for ever"))


def path(context: Context) -> Outcome | None:
    """The image as the workers name it can be seen from here."""
    from septum.images.forms import worker_image

    text, loaded = chosen(context), context.value(PROFILE)
    if not text or loaded is None:
        return None
    profile = loaded.profile
    if not profile.starts_images:
        if profile.method == "local":
            return ok(f"{profile.name} starts no images: the parts run as they are here")
        return warning(
            f"the cluster {profile.name} starts no images",
            cause=f"the parts run as they are, not in {text}",
            fix="If the site starts images, say how: SEPTUM_CLUSTER_IMAGE_METHOD.",
        )
    return see_path(worker_image(text, profile))


def see_path(name: str, cvmfs: Path = CVMFS) -> Outcome:
    """Look for an image's path on this machine.

    Raises:
        PartImageError: It is on CVMFS, which is here, and it is not there.
    """
    if not name.startswith("/"):
        return ok(f"on the workers {name}")
    seen = look(name, cvmfs)
    if seen.state == "there":
        return ok(name)
    if seen.state != "absent":
        return skipped(f"{name} cannot be seen from here{', where no CVMFS is' if seen.state == 'no-cvmfs' else ''}")
    raise PartImageError(
        f"{name} does not exist",
        evidence=f"{seen.repository} is here, and has it not",
        fix="Ask for the image to be unpacked there (septum image wishlist; it takes hours), or name one that is.",
    )

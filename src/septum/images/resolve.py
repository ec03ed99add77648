"""Which image a name means today: what the registry and CVMFS say of it, and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.errors import PartOtherImageError
from septum.images.cvmfs import Seen, look
from septum.images.forms import ci_name, unpacked_reference, worker_image
from septum.images.reference import Image, parse_image, why_mutable
from septum.images.registry import Answer, ask_registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from septum.clusters.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """An image, and what is known of it.

    Args:
        image: What the name means.
        ci: The name for `image:` of a CI job; empty if GitLab cannot start it.
        worker: The name on the workers; empty if the cluster starts no images.
        moves: Why the name may mean another image tomorrow; empty if it does not.
        answer: Of the registry; None if there is none, or if it was not asked.
        seen: What stands at the workers' path on this machine; None if the workers have no path.
    """

    image: Image
    ci: str
    worker: str
    moves: str
    answer: Answer | None
    seen: Seen | None

    @property
    def digest(self) -> str:
        """`sha256:…` that names the image for ever; empty if not known."""
        named = self.image.reference.digest if self.image.reference is not None else ""
        return (self.answer.digest if self.answer is not None else "") or named

    @property
    def image_id(self) -> str:
        """`sha256:…`, the id of the image: by the registry, else by CVMFS on this machine; empty if neither knows."""
        by_registry = self.answer.image_id if self.answer is not None else ""
        return by_registry or (self.seen.image_id if self.seen is not None else "")

    @property
    def unknown(self) -> str:
        """Why the image is not known for certain; empty if it is."""
        if self.image_id:
            return ""
        if self.answer is not None:
            return self.answer.text
        return "no registry was asked"

    def check(self) -> None:
        """Look whether CI and the workers would have the same image.

        Raises:
            PartOtherImageError: CVMFS has another one than the registry.
        """
        there = self.seen.image_id if self.seen is not None else ""
        here = self.answer.image_id if self.answer is not None else ""
        if there and here and there != here:
            raise PartOtherImageError(
                f"image: CVMFS and the registry have different images under {self.image.text}",
                evidence=f"{self.worker}: {there}\nregistry: {here}",
                fix=f"septum image wait {self.image.text}\nor name an image that does not move",
            )


def resolve(text: str, profile: Profile, *, environ: Mapping[str, str], ask: bool = True) -> Resolved:
    """Find out what an image is today.

    Args:
        text: The name of the image.
        profile: The cluster.
        environ: Where an account for the registry may be.
        ask: Whether to ask the registry.

    Raises:
        ImageNameError: The text is not the name of an image.
    """
    image = parse_image(text)
    worker = worker_image(text, profile)
    reference = image.reference if image.kind == "registry" else None
    if image.kind == "path" and profile.image_form == "unpacked":
        reference = unpacked_reference(image.text, profile.image_prefix)
    return Resolved(
        image=image,
        ci=ci_name(image),
        worker=worker,
        moves=why_mutable(image),
        answer=ask_registry(reference, environ=environ) if ask and reference is not None else None,
        seen=look(worker) if worker.startswith("/") else None,
    )

"""One image, and what each side calls it: GitLab's CI job, CVMFS, Apptainer, and a job of HTCondor. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.errors import ImageNameError
from septum.images.reference import HUB, Image, Reference, parse_image, parse_reference

if TYPE_CHECKING:
    from septum.clusters.profile import Profile

UNPACKED_HUB = "registry.hub.docker.com"
"""What the wish lists for CVMFS call Docker Hub, and so what its folder there is called."""


def ci_name(image: Image) -> str:
    """The name for `image:` of a CI job, the registry spelt out.

    Returns:
        The name; empty for what a GitLab runner cannot start: a path on the worker, an image file.
    """
    return image.reference.pinned if image.kind == "registry" and image.reference is not None else ""


def unpacked_path(reference: Reference, prefix: str) -> str:
    """The path of an image that DUCC unpacks into CVMFS, below a repository such as `/cvmfs/unpacked.cern.ch`.

    The tag is always there, and wins over a digest beside it: there is no folder for both.
    """
    host = UNPACKED_HUB if reference.host == HUB else reference.host
    return f"{prefix.rstrip('/')}/{host}/{reference.name}:{reference.tag or reference.digest or 'latest'}"


def unpacked_reference(path: str, prefix: str) -> Reference | None:
    """The image that was unpacked to a path: the way back; None for a path that is not of that form."""
    folder = prefix.rstrip("/") + "/"
    if not path.startswith(folder):
        return None
    try:
        return parse_reference(path.removeprefix(folder))
    except ImageNameError:
        return None


def docker_url(reference: Reference) -> str:
    """The URL by which Apptainer and HTCondor pull from a registry."""
    return f"docker://{reference.pinned}"


def sif_path(reference: Reference, prefix: str) -> str:
    """The path of an image file with the name that `apptainer pull` gives.

    Raises:
        ImageNameError: The reference has a digest alone, for which there is no such name.
    """
    if reference.digest and not reference.tag:
        raise ImageNameError(
            f"image: {str(reference)!r} has no tag, and the cluster's image files are named by their tags",
            fix="name the tag, with the digest behind it: NAME:TAG@sha256:…",
        )
    return f"{prefix.rstrip('/')}/{reference.name.rpartition('/')[2]}_{reference.tag or 'latest'}.sif"


def worker_image(text: str | None, profile: Profile) -> str:
    """The image as the workers of a cluster name it.

    A reference takes the form that the profile says; a path, a URL, `docker://` and `oras://` stay what they are.

    Returns:
        The name, or an empty text when there is no image or the cluster starts none.

    Raises:
        ImageNameError: The text is not the name of an image.
    """
    if not text or not profile.starts_images:
        return ""
    image = parse_image(text)
    if profile.method == "reana":
        return _container(image)
    if image.kind == "artifact":
        return f"oras://{image.text}"
    if image.reference is None:
        return image.text
    if profile.image_form == "docker" or text.startswith("docker://"):
        return docker_url(image.reference)
    form = unpacked_path if profile.image_form == "unpacked" else sif_path
    return form(image.reference, profile.image_prefix)


def _container(image: Image) -> str:
    """The name for `container:` of a rule: of an image in a registry; or a path on CVMFS.

    Raises:
        ImageNameError: The image is of a kind that REANA does not start.
    """
    if image.kind == "path" and image.text.startswith("/cvmfs/"):
        return image.text
    if image.kind not in {"path", "artifact"} and image.reference is not None:
        return image.reference.pinned
    raise ImageNameError(
        f"image: REANA does not start {image.text!r}",
        evidence="it starts images of registries; on htcondorcern and slurmcern also those of /cvmfs/unpacked.cern.ch",
        fix="name an image of a registry, such as docker.io/library/python:3.12",
    )


def submit_commands(name: str, profile: Profile) -> dict[str, str]:
    """The commands of a submit description that ask for an image; the texts are not quoted yet.

    Args:
        name: What `worker_image` gave.
        profile: The cluster.
    """
    if not name:
        return {}
    if profile.image_method == "singularity-image":
        return {"MY.SingularityImage": name}
    # HTCondor fetches what has a URL; a path on the worker must not be looked for here.
    fetched = "://" in name and not name.startswith(("docker://", "oras://"))
    return {"container_image": name, **({} if fetched else {"transfer_container": "false"})}

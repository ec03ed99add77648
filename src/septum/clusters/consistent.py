"""Whether the values of a cluster profile go together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.clusters.area import problem_of_area

if TYPE_CHECKING:
    from collections.abc import Iterator

    from septum.clusters.profile import Profile

_TOKENS_OF_REANA = ("access-token", "broker")


def problem_of(profile: Profile) -> str:
    """The first thing about a profile that cannot be; empty if all goes together."""
    return next(_problems(profile), "")


def _problems(profile: Profile) -> Iterator[str]:
    if profile.poll_floor > profile.poll_ceiling:
        yield "'poll-floor' is longer than 'poll-ceiling'"
    if profile.method == "htcondor" and profile.lease < 2 * profile.update_interval:
        yield "'lease' must be at least twice 'update-interval', or running jobs remove themselves"
    if profile.storage_audience and profile.credentials == "none":
        yield "'storage-audience' asks for a token, and 'credentials' is none"
    yield from _of_reana(profile) if profile.method == "reana" else _of_others(profile)
    if problem := problem_of_area(profile):
        yield problem
    if profile.image_method != "none" and profile.image_form != "docker" and not profile.image_prefix:
        yield f"'image-prefix' must say where the images are, since 'image-form' is {profile.image_form}"
    if not profile.usable and not profile.unusable_because:
        yield "'unusable-because' must say why, since 'usable' is false"


def _of_reana(profile: Profile) -> Iterator[str]:
    if profile.credentials not in _TOKENS_OF_REANA:
        yield f"REANA lets nobody in without a token: 'credentials' must be {' or '.join(_TOKENS_OF_REANA)}"
    if profile.credentials == "access-token" and profile.storage_audience:
        yield "'storage-audience' asks for a second token, and REANA's access token is the only one of its kind"
    if profile.authentication != "none":
        yield "'authentication' is HTCondor's; for a Kerberos ticket in the parts there is 'reana-kerberos'"
    if profile.image_method != "none" or profile.attributes or profile.requirements:
        yield "'image-method', 'attributes' and 'requirements' are HTCondor's; REANA starts images by their names"
    if profile.lease < 2 * profile.poll_ceiling:
        yield "'lease' must be at least twice 'poll-ceiling', or running parts end between two looks"


def _of_others(profile: Profile) -> Iterator[str]:
    if profile.credentials == "access-token":
        yield f"'credentials: access-token' is for 'method: reana', and 'method' is {profile.method}"

"""The addresses of a shared area in a cluster profile: their forms, and whether they go with the rest. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

if TYPE_CHECKING:
    from collections.abc import Callable

    from septum.clusters.profile import Profile

# Without user, parameters and percent signs: what is secret has no place in an address that everybody can read, and a
# comma would end it in a submit description.
_PATH = r"[A-Za-z0-9._~+=/-]+"
_FOLDER = rf"[A-Za-z0-9.-]+(?::\d+)?//?{_PATH}"


def _form(pattern: str, example: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text and not re.fullmatch(pattern, text):
            # Not the text itself: what is wrong with it may be a password.
            raise ValueError(f"expected {example}, with no user before and nothing behind it")
        return text

    return check


AreaUrl = Annotated[
    str,
    AfterValidator(_form(rf"(?:https|davs|roots?)://{_FOLDER}", "https://HOST/FOLDER or root://HOST//FOLDER")),
]
ReadUrl = Annotated[
    str,
    AfterValidator(
        _form(
            rf"(?:(?:[A-Za-z]\w*\+)?https|roots?|osdf|pelican)://{_FOLDER}|osdf:///{_PATH}",
            "https://HOST/FOLDER, SERVICE+https://HOST/FOLDER, root://HOST//FOLDER or osdf:///FOLDER",
        )
    ),
]


def problem_of_area(profile: Profile) -> str:
    """What of the shared area does not go with the rest; empty if all does."""
    if profile.shared_area and profile.method != "htcondor":
        return f"'shared-area' is for jobs of HTCondor, and 'method' is {profile.method}"
    if profile.shared_read and not profile.shared_area:
        return "'shared-read' says how jobs read 'shared-area', and that is empty"
    service, plus, _ = profile.shared_read.partition("+https://")
    if plus and service not in profile.job_tokens:
        return f"'shared-read' takes the token of {service!r}, which is none of 'job-tokens'"
    return ""

"""From captured procs to what septum's plan needs: the parts, one a proc, what they ask for, and every repair."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.capture.calls import read_words
from septum.capture.landing import CapturedPart, Lander, is_foreign
from septum.capture.procs import Proc, procs
from septum.capture.repairs import (
    IMAGE_COMMANDS,
    Commands,
    Repair,
    no_image,
    refusals,
    refuse_if_strict,
    repairs,
)
from septum.capture.requests import request_of, request_repairs, retries_of
from septum.errors import CaptureError
from septum.plan import Request

if TYPE_CHECKING:
    from septum.capture.recording import Submission
    from septum.clusters.profile import Profile

__all__ = ["Captured", "CapturedPart", "Repair", "translate"]

_PLAIN_NAME = re.compile(
    # What the shell of a part and its loader listen to, or what septum sets itself, is for the command alone.
    r"(?!(?:X509_USER_PROXY|IFS|ENV|BASH\w*|EUID|PPID|UID|PWD|OLDPWD|CDPATH|PS4|SHELLOPTS|POSIXLY_CORRECT"
    r"|LD_AUDIT|LD_PRELOAD|(?:PART|SEPTUM)_\w*)$)[A-Za-z_]\w*",
    re.ASCII,
)
_BUILDS = re.compile(r"/builds/[^\s'\",;:)]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """The jobs of a framework, ready for a plan.

    Attributes:
        name: The name for the jobs, empty if the description has none.
        image: The image that the description asks for; None if it asks for none.
        request: What one job asks for, the largest over all jobs; None leaves it to `septum.yaml` and the profile.
        retries: How often a failed job is run again.
        environment: Names and values that all parts have.
        proxies: The names under which the jobs would have found a proxy or token that was left out.
        parts: One for each job, in order.
        repairs: All that is done otherwise than captured, one for each kind.
    """

    name: str
    image: str | None
    request: Request
    retries: int
    environment: tuple[tuple[str, str], ...]
    proxies: tuple[str, ...]
    parts: tuple[CapturedPart, ...]
    repairs: tuple[Repair, ...]


def translate(
    submissions: Sequence[Submission], *, profile: Profile, strict: bool = False, memory_b: int | None = None
) -> Captured:
    """Make parts of everything that was submitted.

    Args:
        submissions: The recorded calls.
        profile: The cluster, whose policy stands in for the description's.
        strict: Refuse instead of repairing.
        memory_b: What `septum.yaml` asks for, if it does.

    Raises:
        CaptureError: A description cannot be read, asks for what septum cannot do, or names a file that was not
            recorded; or with `strict`, needs a repair.
    """
    found = [proc for submission in submissions for proc in procs(submission)]
    if not found:
        raise CaptureError(
            "framework: its calls of condor_submit submit no job", fix="look why its queue statement has no items"
        )
    commands = Commands.of(found, submissions)
    _refuse_impossible(commands)
    by_number = {submission.number: submission for submission in submissions}
    environment = _common_environment(found)
    lander = Lander(by_number, environment)
    parts = tuple(lander.part(proc) for proc in found)
    lander.refuse_missing()
    image = _image(commands)
    lines = [
        *_sites(submissions, profile),
        *repairs(commands, profile),
        *lander.repairs(),
        *request_repairs(commands, profile, len(found), memory_b),
        *_foreign_folders(found, by_number),
    ]
    refuse_if_strict(lines, strict=strict)
    return Captured(
        name=_name(commands),
        image=image,
        request=request_of(commands),
        retries=retries_of(commands),
        environment=environment,
        proxies=lander.proxies(),
        parts=parts,
        repairs=tuple(lines),
    )


def _refuse_impossible(commands: Commands) -> None:
    if impossible := refusals(commands):
        raise CaptureError(
            "framework: its jobs need what septum cannot do",
            evidence="\n".join(impossible),
            fix="take these lines out of what writes the description",
        )


# ── values of the whole ─────────────────────────────────────────────────────────────────────────────────────────


def _sites(submissions: Sequence[Submission], profile: Profile) -> Iterable[Repair]:
    """Options of the calls that name an access point or a pool."""
    named = [option for submission in submissions for option in read_words(submission.words).site]
    if named:
        yield Repair(
            what="condor_submit was told where to submit",
            evidence=named[0],
            instead=f"the jobs go where the profile {profile.name} says",
            count=len(named),
        )


def _name(commands: Commands) -> str:
    names = commands.given("batch_name", "my.jobbatchname")
    return names[0].strip('"') if names else ""


def _image(commands: Commands) -> str | None:
    """The image as the description names it; of Docker with its scheme.

    Raises:
        CaptureError: Jobs ask for different images, or for one that would travel with them.
    """
    found = []
    for command in IMAGE_COMMANDS:
        for value in commands.given(command):
            if not no_image(value):
                text = value.strip().strip('"')
                found.append(f"docker://{text}" if command == "docker_image" and "://" not in text else text)
    if len(set(found)) > 1:
        raise CaptureError(
            "framework: its jobs ask for different images",
            evidence="\n".join(sorted(set(found))[:5]),
            fix="let one run have one image; make a second run of the other jobs",
        )
    if found and not found[0].startswith("/") and "://" not in found[0]:
        raise CaptureError(
            f"framework: the image {found[0]!r} is a file that would travel with every job",
            fix="name a path that the workers see, such as /cvmfs/…, or docker://…",
        )
    return found[0] if found else None


def _common_environment(found: Sequence[Proc]) -> tuple[tuple[str, str], ...]:
    """What the environments of all jobs have in common, and a plan can name."""
    common = set(found[0].environment).intersection(*(proc.environment for proc in found))
    return tuple(sorted((name, value) for name, value in common if _PLAIN_NAME.fullmatch(name)))


def _foreign_folders(found: Sequence[Proc], calls: Mapping[int, Submission]) -> Iterable[Repair]:
    """Paths below GitLab's folder for checkouts, which no worker has; those of another project CI has not either."""
    seen: Counter[tuple[str, str, bool]] = Counter()
    for proc in found:
        folder = calls[proc.submission].folder
        places = {"arguments": " ".join(proc.arguments), "executable": proc.executable}
        places |= {f"environment {name}": value for name, value in proc.environment}
        places |= {"transfer_output_remaps": " ".join(new for _, new in proc.remaps)}
        for place, text in places.items():
            if "/builds/" not in text:
                continue
            for path in _BUILDS.findall(text):
                foreign = is_foreign(path, folder)
                if foreign or place not in {"executable", "transfer_output_remaps"}:
                    seen[(place, path, foreign)] += 1
    for foreign in (True, False):
        paths = [(place, path) for place, path, other in seen if other is foreign]
        if paths:
            yield Repair(
                what="a folder of another project's CI jobs is written into the jobs"
                if foreign
                else "a folder of this CI job is written into the jobs",
                evidence=f"{paths[0][0]}: {paths[0][1]}",
                instead="it stays as it is, and no worker has it: name files by the name that they have in the job",
                count=sum(times for (_, _, other), times in seen.items() if other is foreign),
                changes=foreign,
            )

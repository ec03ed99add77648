"""From plan and profile to a workflow of REANA: its name, its specification, its Snakefile, its files' names. Pure.

What a user wrote never stands here: parts are named by their ids, and their values travel in files.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from septum.errors import ImageNameError, SubmitRefusedError
from septum.images.forms import worker_image
from septum.plan import Part, Plan
from septum.units import show_duration, show_size

if TYPE_CHECKING:
    from septum.clusters.profile import Profile

FOLDER = "septum/"
"""Begins the paths of all that septum lists in a workspace; parts work elsewhere, and may write thousands of files."""
LISTED = "septum/*/*"
"""What of it: the server looks nowhere else."""
SENT, STATE, BACK, SAID, STOP = "septum/send", "septum/state", "septum/back", "septum/said", "septum/stop"
LEASE = "septum/lease"
KUBERNETES = "kubernetes"
PARTS_PER_ARCHIVE = 500
BYTES_PER_ARCHIVE = 64 << 20
"""Input files of single parts in one archive: every step reads over those of others to its own."""
LOOK_S = 15
"""How often a step looks whether its part is still wanted."""
_MARGIN_S = 900
"""What REANA's own limit is above the step's, which looks at the files it needs, packs, and ends the part in order."""
_SLUG = 30
_MOST_PARTS = 1_000_000
"""More than any plan has: a workflow may say anything of itself."""
_MEMORY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)([KMGTPE]?)(i?)", re.ASCII)
_UNPACKED = "/cvmfs/unpacked.cern.ch/"


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────


def prefix_of(plan_name: str, tag: str) -> str:
    """How the names of all workflows of a run begin."""
    slug = re.sub(r"[^a-z0-9]+", "-", plan_name.lower()).strip("-")[:_SLUG].strip("-") or "run"
    return f"septum-{slug}-{hashlib.sha256(tag.encode()).hexdigest()[:12]}-"


def name_of(plan_name: str, tag: str, parts: Iterable[str], number: int) -> str:
    """The name of the workflow of one submission: the same for the same parts, so that a repeated one finds it."""
    text = f"{number} {' '.join(parts)}"
    return prefix_of(plan_name, tag) + hashlib.sha256(text.encode()).hexdigest()[:8]


def sent_name(name: str, sha256: str) -> str:
    """The path of a file that is sent: it names its content, so that a second sending finds what is there."""
    return f"{SENT}/{sha256[:16]}-{name}"


def ended_name(part: str) -> str:
    """The marker that a part has ended: the output of its rule."""
    return f"{STATE}/{part}.ended"


def back_name(part: str) -> str:
    """The archive with all that comes back from a part."""
    return f"{BACK}/{part}.tar"


def stop_name(part: str) -> str:
    """The file that asks the step of a part to end it."""
    return f"{STOP}/{part}"


def rule_name(part: str) -> str:
    """The rule of a part, which REANA calls its job by."""
    return f"part_{part}"


def part_of_rule(name: str) -> str:
    """The part of a job; empty for a job that is none of ours."""
    found = re.fullmatch(r"part_(\d+)", name)
    return found[1] if found else ""


def lease_text(until_s: float) -> bytes:
    """The content of the file `LEASE`: with a word behind, so that nobody reads half a number."""
    return f"{math.ceil(until_s)} end\n".encode()


def ranges(parts: Iterable[str]) -> str:
    """The ids of parts, in short: `0000-0049,0051`."""
    found: list[list[str]] = []
    for part in sorted(parts, key=lambda each: (len(each), each)):
        if found and len(part) == len(found[-1][1]) and int(part) == int(found[-1][1]) + 1:
            found[-1][1] = part
        else:
            found.append([part, part])
    return ",".join(low if low == high else f"{low}-{high}" for low, high in found)


def parts_in(text: str) -> list[str]:
    """The ids that `ranges` wrote; what it cannot have written is left out."""
    found: list[str] = []
    for piece in text.split(","):
        if match := re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", piece, re.ASCII):
            low, high = match[1], match[2] or match[1]
            if len(low) == len(high) and len(found) + int(high) - int(low) < _MOST_PARTS:
                found += [f"{number:0{len(low)}d}" for number in range(int(low), int(high) + 1)]
    return found


def archives(parts: Sequence[Part]) -> list[list[Part]]:
    """The parts whose files travel in one archive each."""
    found: list[list[Part]] = []
    size_b = 0
    for part in parts:
        own_b = sum(file.size_b for file in part.inputs)
        if not found or len(found[-1]) >= PARTS_PER_ARCHIVE or (size_b and size_b + own_b > BYTES_PER_ARCHIVE):
            found.append([])
            size_b = 0
        found[-1].append(part)
        size_b += own_b
    return found


# ── what it asks for ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a server offers, as `/api/info` says; None where it does not."""

    backends: tuple[str, ...] | None = None
    memory_b: int | None = None
    time_s: int | None = None

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Offer:
        """Read the values of `/api/info`; one that is missing or odd is not known."""
        backends = info.get("compute_backends")
        limit = str(info.get("maximum_kubernetes_jobs_timeout") or "")
        return cls(
            backends=tuple(str(each) for each in backends) if isinstance(backends, list) and backends else None,
            memory_b=_bytes(info.get("kubernetes_max_memory_limit")),
            time_s=int(limit) if re.fullmatch(r"[0-9]{1,9}", limit) else None,
        )


def _bytes(value: Any) -> int | None:
    found = _MEMORY.fullmatch(str(value or ""))
    if found is None:
        return None
    power = " KMGTPE".index(found[2] or " ")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


def image_of(plan: Plan, profile: Profile, digest: str = "") -> tuple[str, bool]:
    """The image for `container:` of a rule, without scheme; and whether it is one that CVMFS has unpacked.

    Args:
        plan: The plan.
        profile: The cluster.
        digest: The image's, `sha256:…`, if the registry said it; a tag may lead elsewhere tomorrow.

    Raises:
        ImageNameError: REANA does not start it there, or there is none.
    """
    if not plan.image:
        raise ImageNameError(
            "image: REANA runs every part in an image, and septum.yaml names none",
            fix="name one: image: docker.io/library/python:3.12",
        )
    image = worker_image(plan.image, profile)
    if not image.startswith("/"):
        return (f"{_without_tag(image)}@{digest}" if digest else image), False
    if not image.startswith(_UNPACKED) or profile.reana_compute_backend == KUBERNETES:
        raise ImageNameError(
            f"image: REANA does not start {image} on {profile.reana_compute_backend}",
            evidence=f"images below {_UNPACKED} run on htcondorcern and slurmcern only",
            fix=f"name the image of the registry: {image.removeprefix(_UNPACKED)};\n"
            "or SEPTUM_CLUSTER_REANA_COMPUTE_BACKEND=htcondorcern",
        )
    return image, True


def _without_tag(image: str) -> str:
    name = image.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name


def resources_of(
    plan: Plan, profile: Profile, offer: Offer, *, memory_b: int | None, unpacked: bool, proxy: bool
) -> dict[str, str | int | bool]:
    """The resources of each rule, in REANA's words.

    Args:
        plan: The plan.
        profile: The cluster.
        offer: What its server offers.
        memory_b: The memory to ask for; None for what the plan says.
        unpacked: Whether CVMFS has the image.
        proxy: Whether the parts get a VOMS proxy.

    Raises:
        SubmitRefusedError: It is more than the server allows.
    """
    backend = profile.reana_compute_backend
    found: dict[str, str | int | bool] = {"compute_backend": backend}
    one_s = plan.request.time_s or profile.default_time
    all_s = (plan.retries + 1) * one_s + _MARGIN_S
    if backend == KUBERNETES:
        asked_b = memory_b or plan.request.memory_b or profile.default_memory
        _refuse("memory", asked_b, offer.memory_b, show_size)
        _refuse("time", one_s, offer.time_s, show_duration)
        found["kubernetes_memory_limit"] = f"{math.ceil(asked_b / 1024**2)}Mi"
        found["kubernetes_job_timeout"] = min(all_s, offer.time_s or all_s)
    elif backend == "htcondorcern":
        found["htcondor_max_runtime"] = profile.reana_htcondor_max_runtime or str(all_s)
    else:
        found["slurm_time"] = str(math.ceil(all_s / 60))  # minutes
        if profile.reana_slurm_partition:
            found["slurm_partition"] = profile.reana_slurm_partition
    found |= {"kerberos": True} if profile.reana_kerberos else {}
    found |= {"unpacked_img": True} if unpacked else {}
    found |= {"voms_proxy": True} if proxy else {}
    return found


def _refuse(what: str, asked: int, most: int | None, show: Any) -> None:
    if most is not None and asked > most:
        raise SubmitRefusedError(
            f"cluster: a part asks for {show(asked)} of {what}, and this REANA gives {show(most)} at most",
            evidence="GET /api/info",
            fix=f"lower 'resources: {what}' in septum.yaml, or put less work into each part",
        )

"""What comes of a workflow of REANA before it is a plan: the work of each part, as values and as shell. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from septum.errors import WorkflowError
from septum.worker.sandbox import quote

FLAVOURS_S = {
    "espresso": 1200,
    "microcentury": 3600,
    "longlunch": 7200,
    "workday": 28800,
    "tomorrow": 86400,
    "testmatch": 259200,
    "nextweek": 604800,
}
"""The names that `htcondor_max_runtime` knows, in seconds: those of CERN's batch service."""
_UNITS = {unit: number for number, unit in enumerate("KMGTPE", 1)}
_MEMORY = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?:(?P<unit>[KMGTPE])(?P<binary>i?))?")
_CPU = re.compile(r"(?P<thousandths>\d+)m|(?P<whole>\d+(?:\.\d+)?)")
_NEEDED = {
    "kerberos": "a part has a Kerberos ticket only where the profile of the cluster provides one",
    "voms_proxy": "a part has a VOMS proxy only where the profile of the cluster provides one",
    "rucio": "septum sets up no Rucio; the image and 'environment' in septum.yaml can",
}
"""Keys that ask for something that septum may not have, and what then holds."""
_DROPPED = {
    "compute_backend": "the chosen cluster says where the parts run",
    "unpacked_img": "the profile of the cluster says in which form it takes images",
    "kubernetes_uid": "a part runs as the user that the cluster gives it",
    "kubernetes_memory_request": "the limit is what a job asks for",
    "htcondor_accounting_group": "it stands in the profile of the cluster",
    "slurm_partition": "it stands in the profile of the cluster",
    "slurm_time": "'resources: time' in septum.yaml limits a part",
    "c4p_cpu_cores": "'resources: cpus' in septum.yaml asks for cores",
    "c4p_memory_limit": "'resources: memory' in septum.yaml asks for memory",
    "c4p_additional_requirements": "requirements stand in the profile of the cluster",
}
"""Keys that are not taken over, and what stands for them."""


_STEP = """\
step() {
    cd -- "$top" || exit 123
    echo "septum: $1" >&2
    bash -c "$2" || { code=$?; echo "septum: $1 failed with exit code $code" >&2; exit "$code"; }
}"""
"""One command in a bash of its own, in the top of the workspace; one that fails ends the part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file or folder that shall come back.

    Attributes:
        path: Relative to the workspace, in its plainest spelling.
        is_folder: Whether it is a folder, which comes back as an archive.
        where: The place that names it, for messages.
    """

    path: str
    is_folder: bool
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work of one part.

    Attributes:
        label: What messages call it.
        names: What people tell it by: names and values.
        script: Shell lines that do it.
        merged: For results by their name, the file that goes into it.
        kept: The files that come back as they are.
    """

    label: str
    names: tuple[tuple[str, str], ...]
    script: str
    merged: tuple[tuple[str, str], ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the job of one part asks for; None where the workflow says nothing."""

    cpus: int | None = None
    memory_b: int | None = None
    time_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A workflow, translated.

    Attributes:
        works: One for each part, in the order of the plan.
        merges: The results, and the files that each is merged from, in their order.
        images: The images that it names, each with what runs in it.
        asked: The largest that any part asks for.
        notes: What people should know: what is not taken over, and what became of the rest.
    """

    works: tuple[Work, ...]
    merges: tuple[tuple[str, tuple[str, ...]], ...] = ()
    images: tuple[tuple[str, str], ...] = ()
    asked: Asked = Asked()
    notes: tuple[str, ...] = ()


def clean(path: str, where: str) -> str:
    """A path of the workspace in its plainest spelling.

    Raises:
        WorkflowError: It is no path of a file or folder in the workspace.
    """
    plain = posixpath.normpath(path.strip()) if path.strip() else ""
    if not plain or plain in {".", ".."} or plain.startswith(("/", "../")) or not plain.isprintable():
        raise WorkflowError(
            f"{where}: {path!r} leads outside of the repository, or is all of it",
            fix="name files and folders by their path in the repository, without '..'",
        )
    return plain


def wanted_of(files: Sequence[tuple[str, str]], folders: Sequence[tuple[str, str]]) -> tuple[Wanted, ...]:
    """What `outputs` names: pairs of a path and its place.

    Raises:
        WorkflowError: One is a pattern, or no path in the workspace.
    """
    found: dict[str, Wanted] = {}
    named = [(path, where, path.endswith("/")) for path, where in files]
    for path, where, is_folder in (*named, *((path, where, True) for path, where in folders)):
        if re.search(r"[*?\[]", path):
            raise WorkflowError(
                f"{where}: {path!r} is a pattern, and a part says before which files it writes",
                fix="name the files one by one, or the folder under 'directories': it comes back as an archive",
            )
        plain = clean(path, where)
        found.setdefault(plain, Wanted(path=plain, is_folder=is_folder, where=where))
    for item in found.values():
        if item.is_folder and (other := found.get(archive_of(item))) is not None:
            raise WorkflowError(
                f"{other.where}: {other.path!r} is the name that the folder {item.path!r} comes back by, as an archive",
                fix="write the file under another name, or leave one of the two out of 'outputs'",
            )
    return tuple(found.values())


def archive_of(folder: Wanted) -> str:
    """The file that a folder comes back as."""
    return f"{folder.path}.tar.gz"


# ── shell ───────────────────────────────────────────────────────────────────────────────────────────────────────


def begin(folders: Sequence[str]) -> list[str]:
    """The shell lines before all steps.

    Each command has a bash of its own in the top of the workspace, as in REANA, and the first that fails ends all.

    Args:
        folders: Those that are there from the beginning.
    """
    return [
        "top=$PWD",
        _STEP,
        *([f"mkdir -p -- {' '.join(map(quote, folders))}"] if folders else []),
    ]


def step(label: str, command: str) -> str:
    """The shell line that runs one command."""
    return f"step {quote(label)} {quote(command)}"


def pack(wanted: Sequence[Wanted]) -> tuple[list[str], list[str]]:
    """The shell lines that pack folders at the end, and the files that come back then."""
    lines, files = ['cd -- "$top"'], []
    for item in wanted:
        if item.is_folder:
            archive = archive_of(item)
            lines.append(f"tar -czf {quote(archive)} -- {quote(item.path)}")
            files.append(archive)
        else:
            files.append(item.path)
    return lines if len(lines) > 1 else [], files


def pack_all(archive: str, files: Sequence[str]) -> list[str]:
    """The shell lines that pack files into one archive; without files, an empty one."""
    members = f"-- {' '.join(map(quote, files))}" if files else "-T /dev/null"
    return ['cd -- "$top"', f"tar -czf {quote(archive)} {members}"]


# ── what a job asks for ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one step or rule says of itself beside its commands.

    Attributes:
        label: What messages call it, with its place.
        keys: What it says, by REANA's names.
        times: How often what it says of time holds: for each of its commands.
    """

    label: str
    keys: Mapping[str, Any]
    times: int = 1


def asked_of(jobs: Sequence[Job]) -> Asked:
    """What a part asks for that runs these jobs one after the other.

    Its time is the sum, and known only if every job has one.

    Raises:
        WorkflowError: A key cannot be read.
    """
    memories = [found for job in jobs if (found := _memory_b(job)) is not None]
    cpus = [found for job in jobs if (found := _cpus(job)) is not None]
    times = [_time_s(job) for job in jobs]
    known = [time for time in times if time is not None]
    return Asked(
        cpus=max(cpus, default=None),
        memory_b=max(memories, default=None),
        time_s=sum(known) if known and len(known) == len(times) else None,
    )


def largest(asked: Sequence[Asked]) -> Asked:
    """The largest of what parts ask for; a time only if every part has one."""
    times = [item.time_s for item in asked]
    return Asked(
        cpus=max((item.cpus for item in asked if item.cpus is not None), default=None),
        memory_b=max((item.memory_b for item in asked if item.memory_b is not None), default=None),
        time_s=max((time for time in times if time is not None), default=None) if None not in times else None,
    )


def notes_of(jobs: Sequence[Job]) -> list[str]:
    """What is not taken over of the keys of jobs, one line a key."""
    notes = []
    for key, instead in {**_NEEDED, **_DROPPED}.items():
        labels = list(dict.fromkeys(job.label for job in jobs if job.keys.get(key)))
        if labels:
            notes.append(f"{key} of {listed(labels)} is not taken over: {instead}")
    timed = [job for job in jobs if _time_s(job) is not None]
    if timed and len(timed) < len(jobs):
        open_ended = listed(list(dict.fromkeys(job.label for job in jobs if _time_s(job) is None)))
        notes.append(f"the time limits are not taken over, since {open_ended} has none: say 'resources: time'")
    return notes


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a sentence, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _memory_b(job: Job) -> int | None:
    text = str(job.keys.get("kubernetes_memory_limit") or "")
    if not text:
        return None
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise WorkflowError(
            f"{job.label}: kubernetes_memory_limit: {text!r} is no memory",
            fix="write it as Kubernetes does, such as 256Mi or 8Gi",
        )
    power = _UNITS.get(match["unit"] or "", 0)
    return int(float(match["number"]) * (1024 if match["binary"] else 1000) ** power)


def _cpus(job: Job) -> int | None:
    found = []
    for key in ("kubernetes_cpu_request", "kubernetes_cpu_limit", "threads"):
        text = str(job.keys.get(key) or "")
        if not text:
            continue
        match = _CPU.fullmatch(text)
        if match is None:
            raise WorkflowError(
                f"{job.label}: {key}: {text!r} is no number of cores", fix="write it as Kubernetes does, such as 2"
            )
        cores = int(match["thousandths"]) / 1000 if match["thousandths"] else float(match["whole"])
        found.append(max(1, -int(-cores // 1)))
    return max(found, default=None)


def _time_s(job: Job) -> int | None:
    found = []
    for key in ("kubernetes_job_timeout", "htcondor_max_runtime"):
        text = str(job.keys.get(key) or "")
        if not text:
            continue
        if text not in FLAVOURS_S and not text.isdecimal():
            raise WorkflowError(
                f"{job.label}: {key}: {text!r} is no time",
                fix=f"write seconds, or one of {', '.join(FLAVOURS_S)}",
            )
        found.append(FLAVOURS_S[text] if text in FLAVOURS_S else int(text))
    # Each is for another backend of REANA.
    return max(found) * job.times if found else None

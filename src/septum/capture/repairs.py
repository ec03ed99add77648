"""What septum does otherwise than a captured submit description says, and a line in words for each. Pure.

Each submit command is used, replaced by the profile's policy, left out, or refused; none vanishes without a word.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.capture.commands import (
    ALL,
    FLAVOURS_S,
    GPU_DETAILS,
    GPUS,
    NO_EFFECT,
    POLICY,
    REFUSED,
    SPELLINGS,
    TIMES_S,
)
from septum.errors import CaptureError
from septum.units import count as counted
from septum.units import show_duration

if TYPE_CHECKING:
    from septum.capture.procs import Proc
    from septum.capture.recording import Submission
    from septum.clusters.profile import Profile

_MAX_SHOWN = 120
_UNIVERSES = frozenset({"", "vanilla", "5", "container", "docker"})
_NO_IMAGE = re.compile(r"(?:none|null|undefined|false)?/*", re.IGNORECASE)
IMAGE_COMMANDS = ("container_image", "docker_image", "my.singularityimage", "my.apptainerimage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One kind of difference between what was captured and what is run.

    Attributes:
        what: What is wrong or has no meaning here.
        evidence: The line or the value as it was written.
        instead: What is done instead.
        count: In how many jobs.
        changes: Whether something that the user wrote is not done, or is done otherwise; `strict` refuses those.
    """

    what: str
    evidence: str
    instead: str
    count: int = 1
    changes: bool = True

    def __str__(self) -> str:
        """The repair as one line."""
        times = f" [{self.count} jobs]" if self.count > 1 else ""
        return f"{self.what} ({_shown(self.evidence)}){times}: {self.instead}"


def _shown(text: str) -> str:
    plain = text if text.isprintable() else text.encode("unicode_escape").decode()
    return plain if len(plain) <= _MAX_SHOWN else plain[: _MAX_SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands of all jobs that are not their files, counted by name and value.

    Args:
        values: For each command its values, and how many jobs have each.
        texts: The descriptions, in which a command is looked up as its author spelled it.
        own: Names that the descriptions define for themselves.
    """

    values: Mapping[str, Mapping[str, int]]
    texts: Sequence[str]
    own: frozenset[str]

    @classmethod
    def of(cls, procs: Iterable[Proc], submissions: Iterable[Submission]) -> Commands:
        """Count the commands of procs."""
        values: dict[str, Counter[str]] = {}
        own: set[str] = set()
        for proc in procs:
            own |= proc.macros
            own |= {name.lower() for name, _ in proc.variables}
            for name, value in proc.commands.items():
                values.setdefault(name, Counter())[value.strip()] += 1
        texts = [text for call in submissions for text in (call.text, *call.words)]
        return cls(values, texts, frozenset(own))

    def given(self, *names: str) -> list[str]:
        """The values of commands that are not empty, each once."""
        return [value for name in names for value in self.values.get(name, ()) if value.strip()]

    def total(self, name: str) -> int:
        """In how many jobs a command stands."""
        return sum(self.values[name].values())

    def line(self, name: str) -> str:
        """A command as it was written, with one of its values, expanded."""
        value, *others = self.values[name]
        more = f" and {counted(len(others), 'other value')}" if others else ""
        return f"{self.spelled(name)} = {value}{more}"

    def stands(self, name: str) -> bool:
        """Whether a command stands in a description."""
        return any(_line_of(name, text) for text in self.texts)

    def spelled(self, name: str) -> str:
        """The name of a command as it was written."""
        bare = name.removeprefix("my.")
        for text in self.texts:
            if found := _line_of(name, text):
                return found[1]
        return f"+{bare}" if bare != name else name


def _line_of(name: str, text: str) -> re.Match[str] | None:
    bare = name.removeprefix("my.")
    sign = r"(?:\+|my\.)" if bare != name else ""
    names = "|".join(re.escape(each) for each in [bare, *(each for each, own in SPELLINGS.items() if own == name)])
    return re.search(rf"^[ \t]*({sign}(?:{names}))[ \t]*=", text, re.IGNORECASE | re.MULTILINE)


def refusals(commands: Commands) -> list[str]:
    """What makes the jobs impossible here, in words; empty if nothing does."""

    def asked(name: str) -> bool:
        return any(not is_off(value) for value in commands.values[name])

    found = [f"{commands.line(name)}: {REFUSED[name]}" for name in commands.values if name in REFUSED and asked(name)]
    for name in ("universe", "my.jobuniverse"):
        other = [value for value in commands.values.get(name, ()) if value.lower() not in _UNIVERSES]
        found += [f"{name} = {value}: septum runs the universes vanilla, container and docker" for value in other[:1]]
    gpus = sorted(name for name in commands.values.keys() & GPUS if asked(name))
    found += [f"{commands.line(name)}: septum asks for no graphics processors yet" for name in gpus]
    if other := [value for value in commands.values.get("success_exit_code", ()) if value not in {"", "0"}]:
        found.append(f"success_exit_code = {other[0]}: a part that ends with an exit code other than 0 has failed")
    for name in commands.values:
        if name.startswith("request_") and name not in {*ALL, *commands.own} and asked(name):
            guess = difflib.get_close_matches(name, ALL, 1, 0.9)
            say = f"did you mean {guess[0]!r}?" if guess else "septum asks for cores, memory, disk and time alone"
            found.append(f"{commands.line(name)}: {say}")
    return found


def is_off(value: str) -> bool:
    """Whether the value of a command asks for nothing."""
    return value.strip().strip('"').lower() in {"", "0", "false", "f", "no", "undefined", "none", "never"}


def repairs(commands: Commands, profile: Profile) -> list[Repair]:
    """The repairs that follow from the commands alone."""
    found = [*_policies(commands, profile), *_times(commands, profile), *_transfer(commands)]
    found += [*_attributes(commands), *_unknown(commands)]
    harmless = [name for name in commands.values if name in NO_EFFECT]
    logs = [name for name in ("output", "error", "log") if commands.stands(name)]
    if names := [*logs, *(commands.spelled(name) for name in harmless)]:
        found.append(
            Repair(
                what="commands that do not change what a job computes",
                evidence=", ".join(dict.fromkeys(names)),
                instead="septum keeps what each part prints, and says itself how it ended",
                changes=False,
            )
        )
    return found


def _policies(commands: Commands, profile: Profile) -> Iterable[Repair]:
    idle = show_duration(profile.idle_patience)
    for name in commands.values:
        if name not in POLICY or all(is_off(value) for value in commands.values[name]):
            continue
        what = f"{commands.spelled(name)} is for the profile of {profile.name} to say"
        if name == "periodic_remove" and re.search(r"JobStatus\s*==\s*1\b", commands.line(name), re.IGNORECASE):
            what = f"periodic_remove takes waiting jobs away; jobs wait up to {idle} here"
        instead = POLICY[name]
        if name == "requirements":
            instead += f" ({profile.requirements or 'any slot'})"
        yield Repair(what=what, evidence=commands.line(name), instead=instead, count=commands.total(name))
    for name in ("getenv", "get_env"):
        if any(not is_off(value) for value in commands.values.get(name, ())):
            yield Repair(
                what="getenv would copy the environment of the CI job, with its secrets and its paths",
                evidence=commands.line(name),
                instead="jobs get what 'environment' names, and what the image sets",
                count=commands.total(name),
            )
    if "num_retries" in commands.values:
        yield Repair(
            what="num_retries is no submit command: HTCondor ignores it",
            evidence=commands.line("num_retries"),
            instead="taken as max_retries",
            count=commands.total("num_retries"),
        )


def _times(commands: Commands, profile: Profile) -> Iterable[Repair]:
    for name in commands.values:
        seconds = [time for value in commands.values[name] if (time := seconds_of(name, value)) is not None]
        if name not in TIMES_S and name != "my.jobflavour":
            continue
        if name.startswith("allowed_"):
            continue
        if not seconds:
            yield Repair(
                what=f"{commands.spelled(name)} is not a run time that is known here",
                evidence=commands.line(name),
                instead=f"jobs may run {show_duration(profile.default_time)}, as the profile has it",
                count=commands.total(name),
            )
        else:
            yield Repair(
                what=f"{commands.spelled(name)} is an attribute that only some sites read",
                evidence=commands.line(name),
                instead=f"it is taken as the longest run time, {show_duration(max(seconds))}; attributes are the "
                "profile's",
                count=commands.total(name),
            )


def seconds_of(name: str, value: str) -> int | None:
    """The run time that a command gives, in seconds; None if it gives none that can be read."""
    text = value.strip().strip('"').strip()
    if name == "my.jobflavour":
        return FLAVOURS_S.get(text.lower())
    # Some write hours as a product: 72 * 60 * 60.
    if name not in TIMES_S or not re.fullmatch(r"\d{1,9}(?:\.0*)?(?:\s*\*\s*\d{1,6}){0,3}", text):
        return None
    return math.prod(int(factor.partition(".")[0]) for factor in text.split("*")) * TIMES_S[name] or None


def _transfer(commands: Commands) -> Iterable[Repair]:
    if any(
        value.strip('"').lower() in {"no", "never", "false"}
        for value in commands.values.get("should_transfer_files", ())
    ):
        yield Repair(
            what="should_transfer_files = NO wants a file system that CI and workers share",
            evidence=commands.line("should_transfer_files"),
            instead="files travel with the jobs",
            count=commands.total("should_transfer_files"),
        )
    when = commands.values.get("when_to_transfer_output", {})
    if any(value.strip('"').upper() not in {"ON_EXIT", ""} for value in when):
        yield Repair(
            what="outputs are brought back in another case than at the end of the job",
            evidence=commands.line("when_to_transfer_output"),
            instead="ON_EXIT: only the outputs of a part that ended well are used",
            count=commands.total("when_to_transfer_output"),
        )
    for name in commands.values.keys() & set(IMAGE_COMMANDS):
        empty = [value for value in commands.values[name] if no_image(value)]
        if empty:
            yield Repair(
                what=f"{commands.spelled(name)} names no image",
                evidence=f"{commands.spelled(name)} = {empty[0]}",
                instead="the image of septum.yaml or of the input 'image' is used",
                count=sum(commands.values[name][value] for value in empty),
            )


def no_image(value: str) -> bool:
    """Whether the value of an image command names none: empty, or `None/`, as a path made of an unset variable."""
    return bool(_NO_IMAGE.fullmatch(value.strip().strip('"').strip()))


def _attributes(commands: Commands) -> Iterable[Repair]:
    known = {*TIMES_S, *IMAGE_COMMANDS, "my.jobflavour", "my.jobuniverse", "my.jobbatchname", "my.requestmemory"}
    known |= {"my.requestcpus", "my.requestdisk", *REFUSED}
    names = [name for name in commands.values if name.startswith("my.") and name not in known]
    if names:
        yield Repair(
            what="attributes that only a site reads",
            evidence="; ".join(commands.line(name) for name in names),
            instead="the profile's 'attributes' are sent, and no others",
            count=max(commands.total(name) for name in names),
        )


def _unknown(commands: Commands) -> Iterable[Repair]:
    known = {*ALL, *REFUSED, *commands.own, *IMAGE_COMMANDS, "num_retries"}
    for name in commands.values:
        if name in known or name.startswith(("my.", "request_")):
            continue
        guess = difflib.get_close_matches(name, ALL, 1, 0.75)
        yield Repair(
            what=f"{commands.spelled(name)} is no submit command: HTCondor ignores it",
            evidence=commands.line(name),
            instead="ignored" + (f"; did you mean {guess[0]!r}?" if guess else ""),
            count=commands.total(name),
            changes=False,
        )
    for name in commands.values.keys() & GPU_DETAILS:
        yield Repair(
            what=f"{name} is of no use without request_gpus",
            evidence=commands.line(name),
            instead="ignored",
            changes=False,
        )


def refuse_if_strict(found: Sequence[Repair], *, strict: bool) -> None:
    """Refuse repairs that change what the user wrote.

    Raises:
        CaptureError: There is one, and `strict` is set; it lists all of them.
    """
    changing = [repair for repair in found if repair.changes]
    if strict and changing:
        raise CaptureError(
            f"framework: its submit description needs {counted(len(changing), 'correction')}, and 'strict' allows none",
            evidence="\n".join(str(repair) for repair in changing),
            fix="correct what writes the description, or set 'framework: strict' to false",
        )

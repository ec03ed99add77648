"""From plan and profile to a submit description and its items: values only, no text is ever pasted. Pure.

What a user wrote never stands here: parts are named by their id, and their values travel in files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import SubmitRefusedError
from septum.images.forms import submit_commands, worker_image
from septum.plan import Part, Plan
from septum.states import EVICTED_SUBCODE, MAX_RELEASES, MAX_STARTS, releasable_codes
from septum.worker.sandbox import WRAPPER, log_names, returned_names, sent_names

if TYPE_CHECKING:
    from septum.clusters.profile import Profile

NEVER_S = 2_000_000_000
"""A time that no lease reaches (2033): what `TimerRemove` is for jobs that have ended."""
RELEASE_AFTER_S = 60
AVOID = "MY.SeptumAvoid"
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def quote(text: str) -> str:
    """A ClassAd string literal that the submit language takes literally.

    Raises:
        SubmitRefusedError: The text holds a line break, which no literal can, or a dollar: the submit language expands
            `$(DOLLAR)` in more than one pass, so nothing stands for `$$(x)` and for `$(DOLLAR)` themselves.
    """
    _literal("a text", text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def lease_expression(lease_until_s: float) -> str:
    """The value of `TimerRemove`: removes jobs after the lease, and never one that has ended and keeps its outputs."""
    return f"ifThenElse(JobStatus == 4, {NEVER_S}, {math.ceil(lease_until_s)})"


def avoid_list(hosts: Collection[str]) -> str:
    """The value of `SeptumAvoid`: hosts on which no job of a run may start."""
    return quote(",".join(sorted(host for host in hosts if _HOST.fullmatch(host))))


def describe(
    plan: Plan,
    profile: Profile,
    *,
    tag: str,
    lease_until_s: float,
    proxy_file: Path | None,
    number: int = 1,
    memory_b: int | None = None,
    avoided: Collection[str] = (),
    shared_url: str = "",
) -> dict[str, str]:
    """The submit description that all parts of a plan share.

    Args:
        plan: The plan.
        profile: The cluster.
        tag: The tag of the run.
        lease_until_s: Seconds since the epoch.
        proxy_file: The X.509 proxy to delegate to the jobs, if any.
        number: Which job of its part each of them is.
        memory_b: The memory to ask for; None for what the plan says.
        avoided: Hosts on which the jobs must not start.
        shared_url: Where the workers fetch what all parts share; empty where it is sent with each job.

    Returns:
        Submit commands and their values; `$(part)` and `$(sent)` come from the items.
    """
    request = plan.request
    memory_b = memory_b or request.memory_b or profile.default_memory
    out, err = log_names("$(part)")
    releasable = " || ".join(f"HoldReasonCode == {code}" for code in releasable_codes())
    commands = {
        "universe": "vanilla",
        "batch_name": plan.name,
        "executable": WRAPPER,
        "arguments": "$(part)",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "transfer_input_files": f"$(sent),{shared_url}" if shared_url else "$(sent)",
        "transfer_output_files": ",".join(returned_names(plan, "$(part)")),
        "output": out,
        "error": err,
        "getenv": "False",
        "notification": "never",
        "request_cpus": str(request.cpus or profile.default_cpus),
        "request_memory": f"{_mib(memory_b)}",
        "request_disk": f"{math.ceil((request.disk_b or profile.default_disk) / 1024)}",
        "max_retries": str(plan.retries),
        "allowed_execute_duration": str(request.time_s or profile.default_time),
        "periodic_release": (
            f"({releasable}) && NumHolds <= {MAX_RELEASES} && (time() - EnteredCurrentStatus) > {RELEASE_AFTER_S}"
        ),
        # A site that takes the slot away again and again would go on for ever.
        "periodic_hold": f"(NumShadowStarts ?: 0) > {MAX_STARTS + plan.retries}",
        "periodic_hold_reason": quote(f"septum: started more than {MAX_STARTS} times and never ended"),
        "periodic_hold_subcode": str(EVICTED_SUBCODE),
        # Outputs stay until septum has them safely, and not for ever.
        "leave_in_queue": f"JobStatus == 4 && (time() - (CompletionDate ?: time())) < {profile.keep_outputs}",
        "MY.SeptumRun": quote(tag),
        "MY.SeptumPart": '"$(part)"',
        "MY.SeptumNumber": str(number),
        AVOID: avoid_list(avoided),
        "MY.TimerRemove": lease_expression(lease_until_s),
        **{f"MY.{name}": literal for name, literal in sorted(profile.attributes.items())},
    }
    if request.memory_retries_b:
        commands["retry_request_memory"] = ", ".join(str(_mib(size_b)) for size_b in request.memory_retries_b)
    avoid = '!stringListIMember(TARGET.Machine ?: "", MY.SeptumAvoid ?: "")'
    commands["requirements"] = f"({profile.requirements}) && {avoid}" if profile.requirements else avoid
    for name, value in submit_commands(worker_image(plan.image, profile), profile).items():
        commands[name] = quote(value) if name.startswith("MY.") else value
    if profile.send_credential:
        commands["MY.SendCredential"] = "True"
    if profile.job_tokens:
        # The access point's credential monitor fetches and renews them; the token that submits never travels.
        commands["use_oauth_services"] = ",".join(profile.job_tokens)
    if proxy_file is not None:
        commands["x509userproxy"] = str(proxy_file)
    for name, value in commands.items():
        # The bindings write the commands as lines before they read them: a line break or a last backslash would make
        # other commands of them.
        if not value.isprintable() or value.endswith("\\"):
            raise _refused(name, value)
    return commands


def _literal(name: str, text: str) -> str:
    if not text.isprintable() or "$" in text:
        raise _refused(name, text)
    return text


def _refused(name: str, text: str) -> SubmitRefusedError:
    return SubmitRefusedError(
        f"cluster: this value of {name} cannot stand in a submit description",
        evidence=repr(text)[:200],
        fix="remove line breaks, control characters, '$' and a backslash at the end",
    )


def _mib(size_b: int) -> int:
    return math.ceil(size_b / 1024**2)


def items(plan: Plan, parts: Sequence[Part], *, by_url: bool = False) -> list[dict[str, str]]:
    """The items of the queue statement: a part's id and the files that travel with its job.

    Args:
        plan: The plan.
        parts: The parts.
        by_url: Whether the workers fetch what all parts share from elsewhere.
    """
    return [{"part": part.id, "sent": ",".join(sent_names(plan, part, by_url=by_url))} for part in parts]

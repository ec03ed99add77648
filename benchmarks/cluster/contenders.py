"""Who takes part: each contender lays its files down, and says by which commands it gets the merged file."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.cluster.analysis import name_of
from benchmarks.cluster.peers import parallel
from benchmarks.cluster.stage import Stage, Step, Steps
from septum.facility import COMPUTE_SCOPES, Facility
from septum.merge.hadd import find_hadd

HERE = Path(__file__).parent
RESULT = "all.root"
IDEAL = "the pool alone"
SEPTUM = "septum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to run the analysis.

    Attributes:
        name: As tables show it.
        about: What it is, and what it needs that others do not.
        steps: Lays its files down and says what is run.
        interval_s: Between two looks at the queue; None for its own default.
        merges: Whether there is a merged file at the end.
        result: Where that is, in its folder.
        jobs: Whether its parts are jobs of the pool; else they run on this machine.
    """

    name: str
    about: str
    steps: Steps
    interval_s: float | None
    merges: bool = True
    result: str = RESULT
    jobs: bool = True


_SUBMIT = """\
universe = vanilla
executable = /bin/sh
transfer_executable = False
arguments = part.sh $(number) $(file)
transfer_input_files = part.sh, template.root
transfer_output_files = $(file)
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
output = part_$(number).out
error = part_$(number).err
log = jobs.log
request_cpus = 1
request_memory = 32MB
request_disk = 32MB
notification = never
"""
_FILE = "histograms_$(number).root"
# What says that client, schedd and workers see the same files.
_SHARED = {"_condor_FILESYSTEM_DOMAIN": "pool.test", "_condor_UID_DOMAIN": "pool.test"}


def _hadd(stage: Stage, *, folder: str = ".") -> Step:
    """ROOT's merge as one types it, on this machine: what it prints counts."""
    sources = [str(Path(folder, name_of(number))) for number in range(stage.parts)]
    command = [str(find_hadd(os.environ).program), "-f", RESULT, *sources]
    return Step(name="merge", command=command, pool=False, counted=False)


# ── the pool alone ──────────────────────────────────────────────────────────────────────────────────────────────────


def _ideal(stage: Stage) -> Sequence[Step]:
    # From inside the pool, without spool and without a look at the queue: nobody can be faster on this pool.
    text = _SUBMIT.replace("$(file)", _FILE).replace("$(number)", "$(Process)")
    (stage.folder / "jobs.sub").write_text(f"{text}queue {stage.parts}\n")
    return [Step(name="submit", command=["condor_submit", "-terse", "jobs.sub"], counted=False)]


# ── the proof of concept ────────────────────────────────────────────────────────────────────────────────────────────

# Its loop prints the cluster and eight counters in every round, a line each.
_WAIT = """\
cluster=$(sed -n 's/.*submitted to cluster \\([0-9]*\\)\\..*/\\1/p' submitted)
agree=0
while [ $agree -lt 3 ]; do
    echo "$cluster"
    states=$(condor_q "$cluster" -af JobStatus)
    for state in 0 1 2 3 4 5 6 7; do
        echo "$(echo "$states" | grep -c "^$state$") jobs are in state: $state"
    done
    if [ -n "$states" ] && [ -z "$(echo "$states" | grep -v '^4$')" ]; then agree=$((agree + 1)); else agree=0; fi
    [ $agree -eq 3 ] || sleep {interval}
done
"""


def _proof_of_concept(stage: Stage) -> Sequence[Step]:
    text = _SUBMIT.replace("$(file)", _FILE).replace("$(number)", "$(Process)")
    (stage.folder / "jobs.sub").write_text(f"{text}queue {stage.parts}\n")
    (stage.folder / "wait.sh").write_text(_WAIT.replace("{interval}", f"{stage.interval_s or 10:g}"))
    environ = stage.client()
    cluster = "$(sed -n 's/.*submitted to cluster \\([0-9]*\\)\\..*/\\1/p' submitted)"

    def step(name: str, *command: str) -> Step:
        return Step(name=name, command=command, environ=environ)

    return [
        step("submit", "bash", "-c", "condor_submit -spool jobs.sub | tee submitted"),
        step("wait", "bash", "wait.sh"),
        step("fetch", "bash", "-c", f"condor_transfer_data {cluster}"),
        step("leave", "bash", "-c", f"condor_rm {cluster}"),
        _hadd(stage),
    ]


# ── HTCondor's own command line ─────────────────────────────────────────────────────────────────────────────────────

_JOBSET_WAIT = """\
while htcondor jobset status bench --skip-history >status 2>&1 && ! grep -q 'No active job set' status; do
    head -1 status
    sleep {interval}
done
"""


def _jobset(stage: Stage) -> Sequence[Step]:
    items = "\n".join(f"    {number}" for number in range(stage.parts))
    text = _SUBMIT.replace("$(file)", _FILE)
    (stage.folder / "jobs.sub").write_text(text)
    (stage.folder / "bench.set").write_text(f"name = bench\niterator = table number {{\n{items}\n}}\njob jobs.sub\n")
    (stage.folder / "wait.sh").write_text(_JOBSET_WAIT.replace("{interval}", f"{stage.interval_s or 10:g}"))
    environ = stage.client()
    return [
        Step(name="submit", command=["htcondor", "jobset", "submit", "bench.set"], environ=environ),
        Step(name="wait", command=["bash", "wait.sh"], environ=environ),
        _hadd(stage),
    ]


# ── law ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _law(stage: Stage) -> Sequence[Step]:
    shutil.copy(HERE / "law_analysis.py", stage.folder / "law_analysis.py")
    environ = {
        **stage.client(),
        **_SHARED,
        "LAW_HOME": str(stage.folder / ".law"),
        "LAW_CONFIG_FILE": str(stage.folder / "law.cfg"),
        "PYTHONPATH": str(stage.folder),
        "PATH": "/opt/law/bin:/usr/bin:/bin",
        "BENCH_FOLDER": str(stage.folder),
        "BENCH_PARTS": str(stage.parts),
    }
    (stage.folder / "law.cfg").write_text("[modules]\nlaw_analysis\n\n[job]\njob_file_dir: $BENCH_FOLDER/jobs\n")
    # A job gets nothing of the environment: what it needs is in the file that law sources there.
    kept = ("LAW_HOME", "LAW_CONFIG_FILE", "PYTHONPATH", "PATH", "BENCH_FOLDER", "BENCH_PARTS")
    (stage.folder / "bootstrap.sh").write_text("".join(f'export {name}="{environ[name]}"\n' for name in kept))
    words = ["/opt/law/bin/python3", "-m", "law", "run", "law_analysis.Parts", "--version", "v1"]
    words += ["--workflow", "htcondor", "--local-scheduler", "True"]
    words += ["--retries", "0", "--transfer-logs"]
    if stage.interval_s is not None:
        words += ["--poll-interval", f"{stage.interval_s:g}s"]
    return [Step(name="run", command=words, environ=environ), _hadd(stage)]


# ── snakemake ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _snakemake(stage: Stage) -> Sequence[Step]:
    shutil.copy(HERE / "Snakefile", stage.folder / "Snakefile")
    environ = {**stage.client(), **_SHARED, "PATH": "/opt/snakemake/bin:/usr/bin:/bin", "HOME": str(stage.folder)}
    words = ["/opt/snakemake/bin/python3", "-m", "snakemake", "--executor", "htcondor", "--jobs", str(stage.parts)]
    words += ["--config", f"parts={stage.parts}", "--nocolor"]
    if stage.interval_s is not None:
        words += ["--seconds-between-status-checks", f"{stage.interval_s:g}"]
    return [Step(name="run", command=words, environ=environ), _hadd(stage)]


# ── septum ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_SEPTUM_YAML = """\
name: bench
command: [sh, part.sh]
parts:
  product: {{number: {{first: 0, last: {last}}}}}
inputs: [part.sh, template.root]
outputs: [histograms.root]
merge: {{{result}: histograms.root}}
resources: {{memory: 32 MB, disk: 32 MB}}
"""


def septum_profile(facility: Facility, *, interval_s: float | None) -> str:
    """The profile of the pool, as a user would write it; `interval_s` is None for septum's own pace."""
    endpoint = facility.endpoint
    profile = {
        "title": "the pool",
        "method": "htcondor",
        "collector": endpoint.collector,
        "schedd": endpoint.schedd,
        "authentication": "scitokens",
        "credentials": "iam-client",
        "issuer": facility.issuer.url,
        "audience": endpoint.audience,
        "scope": f"[{', '.join(['wlcg', *COMPUTE_SCOPES])}]",
        "ca-file": str(facility.ca_file),
    }
    if interval_s is not None:
        profile |= {"poll-floor": f"{interval_s:g} s", "poll-ceiling": f"{interval_s:g} s"}
    return "".join(f"{key}: {text}\n" for key, text in profile.items())


def septum_environment(facility: Facility, *, run: str) -> dict[str, str]:
    """The environment of septum as a client of the pool."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    # Started from the repository: its own modules, whatever is installed.
    modules = os.pathsep.join([str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **kept,
        "PYTHONPATH": modules,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SEPTUM_CLUSTER": "pool",
        "SEPTUM_RUN": run,
        "IAM_CLIENT_ID": "cmscat-client",
        "IAM_CLIENT_SECRET": facility.issuer.secret_file("cmscat-client").read_text().strip(),
    }


def _septum(stage: Stage) -> Sequence[Step]:
    facility = stage.site.facility
    (stage.folder / "septum.yaml").write_text(_SEPTUM_YAML.format(last=stage.parts - 1, result=RESULT))
    (stage.folder / "clusters").mkdir()
    profile = septum_profile(facility, interval_s=stage.interval_s)
    (stage.folder / "clusters" / "pool.yaml").write_text(profile)
    environ = septum_environment(facility, run=stage.folder.name)
    program = [sys.executable, "-m", "septum"]
    return [
        Step(name=verb, command=[*program, verb], pool=False, counted=verb != "prepare", environ=environ)
        for verb in ("prepare", "submit", "collect")
    ]


# ── on this machine, without a pool ─────────────────────────────────────────────────────────────────────────────────


def _local(stage: Stage) -> Sequence[Step]:
    (stage.folder / "septum.yaml").write_text(_SEPTUM_YAML.format(last=stage.parts - 1, result=RESULT))
    environ = {**septum_environment(stage.site.facility, run=stage.folder.name), "SEPTUM_CLUSTER": "local"}
    program = [sys.executable, "-m", "septum"]
    return [
        Step(name=verb, command=[*program, verb], pool=False, counted=False, environ=environ)
        for verb in ("prepare", "submit", "collect")
    ]


def _parallel(stage: Stage) -> Sequence[Step]:
    cores = str(len(os.sched_getaffinity(0)))
    words = ["perl", str(parallel()), "--jobs", cores, "--halt", "now,fail=1"]
    words += ["sh part.sh {} histograms_{}.root", ":::", *map(str, range(stage.parts))]
    environ = {"HOME": str(stage.folder), "PATH": os.environ["PATH"]}
    return [Step(name="run", command=words, pool=False, counted=False, environ=environ), _hadd(stage)]


_SHORT_S = 1.0
"""The shortest interval of septum here: the others get the same beside their own."""

_ALL = (
    Contender(
        name=IDEAL,
        about="`condor_submit` in the pool itself, nothing spooled, nobody looks: what the others' overhead is over",
        steps=_ideal,
        interval_s=None,
        merges=False,
    ),
    Contender(
        name=SEPTUM,
        about="`septum prepare`, `submit`, `collect`: spooled; a token from the issuer; every output verified",
        steps=_septum,
        interval_s=_SHORT_S,
        result=f"result/{RESULT}",
    ),
    Contender(
        name="proof of concept",
        about="`condor_submit -spool`; `condor_q` until three rounds agree; `condor_transfer_data`; `hadd`",
        steps=_proof_of_concept,
        interval_s=_SHORT_S,
    ),
    Contender(
        name="htcondor jobset",
        about="`htcondor jobset submit`, then `status` until it has gone; `hadd`. It cannot spool: on a file system "
        "that it shares with the schedd",
        steps=_jobset,
        interval_s=_SHORT_S,
    ),
    Contender(
        name="law",
        about="a law workflow on HTCondor, `law` in each job; `hadd`. On a file system shared with the schedd and the "
        "workers",
        steps=_law,
        interval_s=_SHORT_S,
    ),
    Contender(
        name="snakemake",
        about="snakemake with its HTCondor executor, `snakemake` in each job; `hadd`. On a file system shared with the "
        "schedd and the workers",
        steps=_snakemake,
        interval_s=_SHORT_S,
    ),
)
LOCAL = (
    Contender(
        name="septum, backend local",
        about="`septum prepare`, `submit`, `collect` with `--cluster local`: one part a core, every output verified",
        steps=_local,
        interval_s=None,
        result=f"result/{RESULT}",
        jobs=False,
    ),
    Contender(
        name="GNU parallel",
        about="`parallel --jobs CORES --halt now,fail=1`; `hadd`",
        steps=_parallel,
        interval_s=None,
        jobs=False,
    ),
)
"""Those that need no pool."""

_WITH_A_DEFAULT = {"septum": "15 s to 2 min", "proof of concept": "10 s", "law": "1 min", "snakemake": "10 s"}

CONTENDERS = (
    *_ALL,
    *(
        replace(contender, name=f"{contender.name}, own interval", interval_s=None)
        for contender in _ALL
        if contender.name in _WITH_A_DEFAULT
    ),
    *LOCAL,
)
"""All of them; the ones with their own interval and those without a pool at the end."""

"""The false greens that can be staged: what happens, what the proof of concept makes of it, what septum says."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from tests.faults.machine import small_disk
from tests.faults.wire import Wire, start, wires
from tests.framework.make import NO_RESULT, SMALL
from tests.framework.poc import FRAMEWORK, GLOB, GLOB_SKIPPING, PROJECT
from tests.framework.rows import Outcome, Row, Stage, captured, of_septum, outcome, plain_repository, proof
from tests.workshop import SEPTUM

CREDENTIALS, FRAMEWORKS, SUBMISSION, JOBS, OUTPUTS = (
    "Credentials",
    "The framework",
    "Submission",
    "Jobs",
    "Outputs and merge",
)
EVERY = dict.fromkeys(SMALL, "")
IDLE, RUNNING = "JobStatus == 1", "JobStatus == 2"
_LAST = "ProcId == 4"
"""The job of the sample ttbar."""
_NOWHERE = "localhost:9"
_RUNS = "(JobStatus == 2 && time() - EnteredCurrentStatus > 900)"
_ONE_CPU = """\
jdl_dict['request_cpus'] = '1'
jdl_dict['num_retries'] = '3'
jdl_dict['periodic_remove'] = '(JobStatus == 1 && time() - EnteredCurrentStatus > 900)"""
"""What the settings of the framework say about time."""


def _client(stage: Stage, name: str) -> dict[str, str]:
    secret = stage.facility.issuer.secret_file(name).read_text().strip()
    return {"IAM_CLIENT_ID": name, "IAM_CLIENT_SECRET": secret}


# ── what happens to the jobs ────────────────────────────────────────────────────────────────────────────────────


def _remove_the_last(stage: Stage, ours: str) -> None:
    stage.wait(f"{ours} && {_LAST} && {RUNNING}", 1)
    stage.admin("condor_rm", f"{ours} && {_LAST}")


def _remove_all(stage: Stage, ours: str) -> None:
    stage.wait(f"{ours} && {RUNNING}", 5)
    stage.admin("condor_rm", ours)


def _hold_all(stage: Stage, ours: str) -> None:
    stage.wait(f"{ours} && {RUNNING}", 5)
    # A job that has only just begun would be held for that.
    time.sleep(3)
    stage.admin("condor_hold", ours)


# ── ways of their own ───────────────────────────────────────────────────────────────────────────────────────────


def _proxy(stage: Stage, lifetime_s: int) -> str:
    path = stage.facility.make_proxy(
        stage.folder / f"proxy{lifetime_s}", lifetime_s=lifetime_s, voms_lifetime_s=lifetime_s
    )
    return base64.b64encode(path.read_bytes()).decode()


@contextmanager
def _network(stage: Stage) -> Iterator[tuple[Wire, Wire]]:
    """The ways to the pool and to the issuer."""
    pool, issuer = int(stage.pool.endpoint.collector.rpartition(":")[2]), urlsplit(stage.facility.issuer.url).port
    assert issuer is not None
    with wires(pool, issuer) as (to_pool, to_issuer):
        yield to_pool, to_issuer


def _cut_off(stage: Stage) -> Outcome:
    """The proof of concept, cut off from the pool while its jobs run."""
    with _network(stage) as ways:

        def cut(stage: Stage, ours: str) -> None:
            stage.wait(f"{ours} && {RUNNING}", 5)
            log = stage.folder / "poc" / "job.log"
            deadline = time.monotonic() + 60
            while "'Running': 5" not in log.read_text():
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            ways[0].mode = "cut"

        return proof(replace(stage, row=replace(stage.row, during=cut)), ways=ways)


def _cut_off_too(stage: Stage) -> Outcome:
    """septum, cut off from the pool while its jobs run."""
    _, repository = plain_repository(stage)
    for verb in ("prepare", "submit"):
        done = repository.septum(verb)
        assert done.returncode == 0, done.stdout
    stage.wait(f"{of_septum(stage)} && {RUNNING}", 5)
    out = stage.folder / "collect.out"
    with _network(stage) as ways:
        process = start([str(SEPTUM), "collect"], ways, cwd=repository.folder, env=repository.environment(), out=out)
        while "5 running" not in out.read_text():
            assert process.poll() is None, out.read_text()
            time.sleep(0.5)
        ways[0].mode = "cut"
        process.wait(180)
    return outcome(stage, repository, process.returncode, out.read_text())


def _disk_full(stage: Stage) -> Outcome:
    """The jobs have ended when the runner's disk fills."""
    _, repository = plain_repository(stage)
    for verb in ("prepare", "submit"):
        done = repository.septum(verb)
        assert done.returncode == 0, done.stdout
    stage.wait(f"{of_septum(stage)} && JobStatus == 4", 5)
    words = small_disk(repository.folder / ".septum", free_b=60_000)
    done = subprocess.run(
        [*words, str(SEPTUM), "collect"],
        cwd=repository.folder,
        env=repository.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=180,
    )
    return outcome(stage, repository, done.returncode, done.stdout)


def _stray(stage: Stage) -> Outcome:
    """A file that no job wrote lies among the outputs."""
    analysis, repository = plain_repository(stage)
    for verb in ("prepare", "submit"):
        done = repository.septum(verb)
        assert done.returncode == 0, done.stdout
    stray = repository.folder / ".septum" / "outputs" / "septum-0005.out0"
    stray.parent.mkdir()
    shutil.copyfile(analysis.batch / "runner.py", stray)
    done = repository.septum("collect")
    return outcome(stage, repository, done.returncode, done.stdout)


ROWS = (
    # ── credentials ─────────────────────────────────────────────────────────────────────────────────────────────
    Row(
        name="null-token",
        group=CREDENTIALS,
        happens="The client's secret is wrong. The issuer answers 401, and the word `null` is the token.",
        merge=FRAMEWORK,
        variables=lambda stage: {"IAM_CLIENT_SECRET": "not-the-secret"},
        poc_says=["Hadd was successful"],
        result="an empty result",
        environ=lambda stage: {"IAM_CLIENT_SECRET": "not-the-secret"},
        code=11,
        says=["E110", "Bad client credentials"],
    ),
    Row(
        name="scope-with-a-typo",
        group=CREDENTIALS,
        happens="The token is asked for with the scope `wlg`, which no issuer knows.",
        merge=FRAMEWORK,
        variables=lambda stage: {"SCOPE": "wlg"},
        poc_says=["Hadd was successful"],
        result="an empty result",
        profile={"scope": "[wlg]"},
        code=11,
        says=["E110", "invalid_scope"],
    ),
    Row(
        name="scope-too-small",
        group=CREDENTIALS,
        happens="The token may read the queue, and not submit.",
        merge=FRAMEWORK,
        variables=lambda stage: {**_client(stage, "reader-client"), "SCOPE": "wlcg compute.read"},
        poc_says=["Hadd was successful"],
        result="an empty result",
        environ=lambda stage: _client(stage, "reader-client"),
        profile={"scope": "[wlcg, compute.read]"},
        code=13,
        says=["E112", "compute.create"],
    ),
    Row(
        name="client-without-account",
        group=CREDENTIALS,
        happens="The site has no account for the client.",
        merge=FRAMEWORK,
        variables=lambda stage: _client(stage, "unmapped-client"),
        poc_says=["Hadd was successful"],
        result="an empty result",
        environ=lambda stage: _client(stage, "unmapped-client"),
        code=16,
        says=["E113", "account"],
    ),
    Row(
        name="expired-proxy",
        group=CREDENTIALS,
        happens="The proxy expired an hour ago. `voms-proxy-info` says so, with exit code 0; the jobs read nothing.",
        faults=dict.fromkeys(SMALL, "storage"),
        merge=FRAMEWORK,
        variables=lambda stage: {"proxy": _proxy(stage, -3600)},
        poc_says=["timeleft  : 0:00:00", "Exit on completed jobs", "Hadd was successful"],
        result="an empty result",
        environ=lambda stage: {"X509_PROXY": _proxy(stage, -3601)},
        profile={"proxy": "required"},
        code=15,
        says=["E121", "expired"],
    ),
    # ── the framework ───────────────────────────────────────────────────────────────────────────────────────────
    Row(
        name="configuration-not-found",
        group=FRAMEWORKS,
        happens="The configuration is not where the framework looks. It says so, with exit code 0.",
        without=["configuration.py"],
        merge=FRAMEWORK,
        poc_says=["configuration.py was not found", "No compiled configuration was found"],
        result=NO_RESULT,
        ours=captured,
        code=3,
        says=["E006", "configuration.py was not found", "mkShapesRDF did not compile"],
    ),
    Row(
        name="sample-without-files",
        group=FRAMEWORKS,
        happens="A sample has no files where it had some yesterday. The framework says so, with exit code 0.",
        changes={"configuration.py": ("treeBaseDir = 'ntuples'", "treeBaseDir = 'ntuples/2018'")},
        merge=FRAMEWORK,
        poc_says=["No files found for sample DY", "No compiled configuration was found"],
        result=NO_RESULT,
        ours=captured,
        code=3,
        says=["E006", "No files found for sample DY", "mkShapesRDF did not compile"],
    ),
    Row(
        name="no-condor-submit",
        group=FRAMEWORKS,
        happens="`condor_submit` is not where the framework looks for it. The line has the exit code of its `cd -`.",
        variables=lambda stage: {"MKSHAPES_CONDOR_SUBMIT": "/opt/condor/bin/condor_submit"},
        merge=FRAMEWORK,
        poc_says=["/opt/condor/bin/condor_submit: not found", "Hadd was successful"],
        result="an empty result",
        ours=captured,
        environ=lambda stage: {"MKSHAPES_CONDOR_SUBMIT": "/opt/condor/bin/condor_submit"},
        code=2,
        says=["E010", "/opt/condor/bin/condor_submit: not found", "no call of condor_submit"],
    ),
    Row(
        name="path-of-another-project",
        group=FRAMEWORKS,
        happens="The settings name the proxy by its path in another project. `condor_submit` refuses, and nobody reads "
        "its exit code.",
        faults=dict.fromkeys(SMALL, "storage"),
        poc=lambda stage: proof(stage, project="/builds/cms-analysis/top/emu"),
        merge=FRAMEWORK,
        poc_says=["Hadd was successful"],
        result="an empty result",
        ours=lambda stage: captured(stage, proxydir=True),
        environ=lambda stage: {"X509_PROXY": _proxy(stage, 43200)},
        profile={"proxy": "required"},
        code=0,
        says=[f"{PROJECT}/myproxy", "jobs get the proxy that septum obtains"],
    ),
    Row(
        name="settings-fail",
        group=FRAMEWORKS,
        happens="The settings of the framework fail. It goes on with its own, without `-spool`: all jobs are held.",
        changes={"jdl_config.py": ("'universe'] = 'vanilla'", "'universe'] = f'{os.environ[\"UNIVERSE\"]}'")},
        merge=FRAMEWORK,
        poc_says=["could not be executed, using the default jdl", "Exit on held jobs", "Hadd was successful"],
        result="an empty result",
        ours=lambda stage: captured(stage, proxydir=True),
        code=0,
        says=[],
    ),
    Row(
        name="retries-ignored",
        group=FRAMEWORKS,
        happens="A job fails once, for a reason that passes. `num_retries` is no submit command: nothing is retried.",
        faults={"ttbar": "flaky WAY"},
        poc_says=["the line 'num_retries = 3' was unused", "Exit on completed jobs"],
        result="4446 of 5462 events, no envelope of QCDscale",
        ours=captured,
        code=0,
        says=["num_retries", "taken as max_retries"],
    ),
    # ── submission ──────────────────────────────────────────────────────────────────────────────────────────────
    Row(
        name="nobody-there",
        group=SUBMISSION,
        happens="Nobody listens at the collector's address.",
        merge=FRAMEWORK,
        variables=lambda stage: {"COLLECTOR": _NOWHERE},
        poc_says=["Hadd was successful"],
        result="an empty result",
        profile={"collector": _NOWHERE},
        code=20,
        says=["E200", _NOWHERE],
    ),
    Row(
        name="site-refuses",
        group=SUBMISSION,
        happens="The schedd that is named does not exist: the site has renamed it.",
        merge=FRAMEWORK,
        variables=lambda stage: {"SCHEDD": "renamed@localhost"},
        poc_says=["Hadd was successful"],
        result="an empty result",
        profile={"schedd": "renamed@localhost"},
        code=20,
        says=["E200", "renamed@localhost"],
    ),
    # ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────
    Row(
        name="one-job-removed",
        group=JOBS,
        happens="An administrator removes one job of five.",
        faults={"ttbar": "slow"},
        during=_remove_the_last,
        poc_says=["Exit on completed jobs"],
        result="4446 of 5462 events, no envelope of QCDscale",
        code=32,
        says=["E303", "part 0004", "condor_rm"],
    ),
    Row(
        name="all-jobs-removed",
        group=JOBS,
        happens="All jobs are removed.",
        faults=dict.fromkeys(SMALL, "slow"),
        during=_remove_all,
        merge=FRAMEWORK,
        poc_says=["Hadd was successful"],
        result="an empty result",
        code=32,
        says=["E303", "5 of 5"],
    ),
    Row(
        name="removed-for-its-time",
        group=JOBS,
        happens="`periodic_remove` of the description removes what runs for too long (4 s here, 15 min there).",
        faults={"ttbar": "slow"},
        changes={
            "jdl_config.py": (_RUNS, _RUNS.replace("(JobStatus", "(ProcId == 4 && JobStatus").replace("900", "4"))
        },
        poc_says=["Exit on completed jobs"],
        result="4446 of 5462 events, no envelope of QCDscale",
        yaml="resources: {time: 4 s}\n",
        code=36,
        says=["E307", "part 0004"],
    ),
    Row(
        name="removed-while-idle",
        group=JOBS,
        happens="`periodic_remove` of the description removes what waits for too long (4 s here, 15 min there).",
        changes={"jdl_config.py": (_ONE_CPU, _ONE_CPU.replace("'1'", "'999'").replace("900", "4"))},
        merge=FRAMEWORK,
        poc_says=["Hadd was successful"],
        result="an empty result",
        yaml="resources: {cpus: 999}\n",
        profile={"idle-patience": "4 s"},
        code=36,
        says=["E314"],
    ),
    Row(
        name="all-jobs-held",
        group=JOBS,
        happens="All jobs are held.",
        faults=dict.fromkeys(SMALL, "slow"),
        during=_hold_all,
        merge=FRAMEWORK,
        poc_says=["Exit on held jobs", "Hadd was successful"],
        result="an empty result",
        profile={"hold-patience": "3 s"},
        yaml="resubmissions: 0\n",
        code=33,
        says=["E304", "condor_hold"],
    ),
    Row(
        name="job-fails",
        group=JOBS,
        happens="A job cannot read its input, says so, and fails. A word of the message is on the framework's list of "
        "harmless ones.",
        faults={"ttbar": "unread"},
        changes={"jdl_config.py": ("python3 runner.py", "python3 runner.py || exit 1")},
        merge=f"mkShapesRDF -o 1; {GLOB}",
        poc_says=["Exit on completed jobs", "finished ttbar_0"],
        result="4446 of 5462 events, no envelope of QCDscale",
        code=30,
        says=["E301", "part 0004", "Auth failed"],
    ),
    Row(
        name="job-killed",
        group=JOBS,
        happens="A job is killed.",
        faults={"ttbar": "killed"},
        poc_says=["Exit on completed jobs"],
        result="4446 of 5462 events, no envelope of QCDscale",
        code=31,
        says=["E302", "part 0004"],
    ),
    Row(
        name="container-ignored",
        group=JOBS,
        happens="The site ignores `+SingularityImage`: the jobs run on the bare worker.",
        variables=lambda stage: {"SINGULARITY_CONTAINER": "/cvmfs/unpacked.cern.ch/registry.example/emu:1.0"},
        merge=FRAMEWORK,
        poc_says=["Exit on completed jobs"],
        result="whole",
        note="made outside of the container",
        profile={"image-method": "singularity-image"},
        yaml="image: /cvmfs/unpacked.cern.ch/registry.example/emu:1.0\n",
        code=38,
        says=["E309", "registry.example/emu:1.0"],
    ),
    Row(
        name="cut-off",
        group=JOBS,
        happens="The network to the cluster breaks while the jobs run.",
        faults=dict.fromkeys(SMALL, "slow"),
        merge=FRAMEWORK,
        poc=_cut_off,
        poc_says=["Exit on not established connection", "Hadd was successful"],
        result="an empty result",
        note="its jobs run on",
        left=5,
        ours=_cut_off_too,
        profile={"lease": "20 s", "call-deadline": "5 s"},
        code=75,
        says=["E752"],
    ),
    # ── outputs and merge ───────────────────────────────────────────────────────────────────────────────────────
    Row(
        name="output-not-copied",
        group=OUTPUTS,
        happens="`cp` to the output folder fails, and the exit code of the job is that of the `rm` after it.",
        changes={"configuration.py": ("outputFolder = '.'", "outputFolder = 'rootFiles'")},
        merge=FRAMEWORK,
        poc_says=["Exit on completed jobs", "Hadd was successful"],
        result=NO_RESULT,
        code=34,
        says=["E305", "mkShapes__emu__ALL__DY_0.root"],
    ),
    Row(
        name="shard-missing",
        group=OUTPUTS,
        happens="A job ends without an output. `hadd` merges what the pattern finds.",
        faults={"ttbar": "nothing"},
        poc_says=["Exit on completed jobs"],
        result="4446 of 5462 events, no envelope of QCDscale",
        code=30,
        says=["E301", "part 0004"],
    ),
    Row(
        name="half-the-histograms",
        group=OUTPUTS,
        happens="One job of a sample leaves out half of its histograms.",
        faults={"DY": "half"},
        poc_says=["Exit on completed jobs"],
        result="4896 of 5462 events, no envelope of QCDscale",
        code=41,
        says=["E401"],
    ),
    Row(
        name="output-truncated",
        group=OUTPUTS,
        happens="An output is cut off. The exit code of the framework's merge is that of the `rm` after `hadd`.",
        faults={"ttbar": "truncated"},
        merge=FRAMEWORK,
        poc_says=["Hadd was successful"],
        result="an empty result",
        code=35,
        says=["E306", "part 0004"],
    ),
    Row(
        name="output-skipped",
        group=OUTPUTS,
        happens="An output is empty. `hadd -k` skips it.",
        faults={"ttbar": "empty"},
        merge=GLOB_SKIPPING,
        result="4446 of 5462 events, no envelope of QCDscale",
        code=35,
        says=["E306", "part 0004"],
    ),
    Row(
        name="transfer-fails",
        group=OUTPUTS,
        happens="The runner's disk is full before all outputs are fetched.",
        merge=FRAMEWORK,
        poc=lambda stage: proof(stage, before=small_disk(stage.folder / "poc" / "emu", free_b=150_000)),
        poc_says=["Exit on completed jobs", "Hadd was successful"],
        result="an empty result",
        ours=_disk_full,
        code=49,
        says=["E409", "make room"],
    ),
    Row(
        name="counted-twice",
        group=OUTPUTS,
        happens="A file that was merged before has a name that the pattern of the merge matches.",
        merge="hadd condor/emu/mkShapes__DY.root condor/emu/mkShapes__emu__ALL__DY_*.root; " + GLOB,
        result="7682 of 5462 events, no envelope of QCDscale",
        ours=_stray,
        code=42,
        says=["E402", "septum-0005.out0"],
    ),
    Row(
        name="hadd-not-there",
        group=OUTPUTS,
        happens="The image has no `hadd`. The exit code of the framework's merge is that of the `rm` after it.",
        merge=f"MKSHAPES_HADD=hadd2 {FRAMEWORK}",
        poc_says=["hadd2: not found", "Hadd was successful"],
        result="an empty result",
        ours=captured,
        environ=lambda stage: {"MKSHAPES_HADD": "hadd2"},
        code=43,
        says=["E411", "cannot be read as a whole file"],
    ),
    Row(
        name="result-of-yesterday",
        group=OUTPUTS,
        happens="The result of an earlier run is in the way. The framework's merge says so, with exit code 0.",
        leftover=True,
        merge=FRAMEWORK,
        poc_says=["output already exists"],
        result="1158 of 5462 events",
        ours=captured,
        code=40,
        says=["E410", "is there before the command ran"],
    ),
    Row(
        name="envelope-forgotten",
        group=OUTPUTS,
        happens="Plain `hadd` leaves out what the framework does after it: the envelope over variations.",
        result="no envelope of QCDscale",
        ours=captured,
        code=0,
        says=[],
    ),
    Row(
        name="more-files-than-hadd-opens",
        group=OUTPUTS,
        happens="`hadd` opens some files at a time (3 here, 127 there). What the first ones lack in a folder is lost.",
        merge=f"MKSHAPES_HADD='hadd -n 3' {FRAMEWORK}",
        poc_says=["Hadd was successful"],
        result="2220 of 5462 events",
        ours=captured,
        environ=lambda stage: {"MKSHAPES_HADD": "hadd -n 3"},
        code=43,
        says=["E411"],
    ),
)

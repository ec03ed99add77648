"""The proof of concept's way, staged: its CI job inside the pool's world, then its merge where ROOT is."""

from __future__ import annotations

import base64
import dataclasses
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from septum.facility import COMPUTE_SCOPES, Facility
from septum.facility.pool import Pool
from septum.merge.hadd import find_hadd
from tests.faults.wire import Wire
from tests.faults.wire import start as start_on_wires
from tests.framework.make import Analysis, judge
from tests.workshop import client_environment

HERE = Path(__file__).parent
PROJECT = "/builds/cms-analysis/sus/emu"
"""Where the runner has the repository; the analysis has it hard-coded."""
RESULT = "mkShapes__emu.root"
POLL_S = 1.5
_DEADLINE_S = 180
GLOB = f"hadd {RESULT} condor/emu/mkShapes__*.root"
GLOB_SKIPPING = GLOB.replace("hadd", "hadd -k")
FRAMEWORK = "mkShapesRDF -o 2"
"""Three ways to merge."""


def path_of_the_image() -> str:
    """Where the image of the analysis has its programs: the framework, its Python, ROOT's hadd."""
    folders = (HERE / "mkshapes", find_hadd(os.environ).program.parent, Path(sys.executable).parent, os.environ["PATH"])
    return os.pathsep.join(map(str, folders))


def copy_result(source: Analysis, target: Analysis) -> None:
    """Run an analysis here, in one process, and put its result into another one."""
    for words in (("-c", "1"), ("-o", "0", "-b", "0")):
        assert source.framework(*words, PATH=path_of_the_image()).returncode == 0
    shutil.copyfile(source.folder / RESULT, target.folder / RESULT)


@dataclass(kw_only=True, slots=True)
class ProofOfConcept:
    """One run of the proof of concept.

    Attributes:
        analysis: What it runs.
        name: Of its account on the pool.
        facility: The issuer and the proxies.
        pool: The pool.
        merge: The line that merges.
        variables: CI variables that differ from those of a project where all is well.
        project: Where the runner has the repository.
        before: Words that stand before the CI job, to start it in another world.
        ways: What it reaches of the network; everything if there are none.
        said: What was printed.
    """

    analysis: Analysis
    name: str
    facility: Facility
    pool: Pool
    merge: str = GLOB
    variables: Mapping[str, str] = field(default_factory=dict)
    project: str = PROJECT
    before: Sequence[str] = ()
    ways: Sequence[Wire] = ()
    said: str = ""

    def start(self) -> subprocess.Popen[bytes]:
        """Begin the CI job, in the pool's world, as in an image with HTCondor in it."""
        proxies = self.facility.proxies.environment
        inside = {name: f"/opt/{Path(folder).name}" for name, folder in proxies.items()}
        mounts = {inside[name]: Path(folder) for name, folder in proxies.items()}
        variables = {**self._variables(), **inside, **self.variables}
        # In a file: a secret has no place on a command line.
        script = self.analysis.folder.parent / "variables"
        script.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
        mounts["/opt/variables"] = script
        sandbox = dataclasses.replace(
            self.pool.sandbox,
            read_only={
                **self.pool.sandbox.read_only,
                "/opt/mkshapes": HERE / "mkshapes",
                "/opt/ci": HERE / "ci",
                **mounts,
            },
            writable={**self.pool.sandbox.writable, self.project: self.analysis.folder},
        )
        job = ["bash", "-e", "-o", "pipefail", "-c", ". /opt/variables; . /opt/ci/job"]
        argv = [*self.before, *sandbox.argv(job, cwd=self.project)]
        env = {"PATH": os.environ["PATH"]}
        if self.ways:
            return start_on_wires(argv, self.ways, cwd=self.analysis.folder, env=env, out=self._log)
        with self._log.open("wb") as out:
            return subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    @property
    def _log(self) -> Path:
        return self.analysis.folder.parent / "job.log"

    def _variables(self) -> dict[str, str]:
        """Those of a project where all is well, and those that tell the runs of the tests from each other."""
        proxy = self.facility.make_proxy(self.analysis.folder.parent / "proxy")
        return {
            **client_environment(self.facility),
            "IAM": self.facility.issuer.url.rstrip("/"),
            "SCOPE": " ".join(["wlcg", *COMPUTE_SCOPES]),
            "COLLECTOR": self.pool.endpoint.collector,
            "SCHEDD": self.pool.endpoint.schedd,
            "proxy": base64.b64encode(proxy.read_bytes()).decode(),
            "POLL_S": str(POLL_S),
            "OWN": self.name,
            # HTCondor's own way to mark what is submitted, whoever calls condor_submit.
            "_condor_SUBMIT_ATTRS": "Account",
            "_condor_Account": f'"{self.name}"',
            "PATH": "/opt/ci/own:/usr/bin",
        }

    def end(self, job: subprocess.Popen[bytes]) -> int:
        """Wait for the CI job, then merge as GitLab would run the line; returns the exit code of what failed first."""
        try:
            job.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            job.kill()
            job.wait()
        self.said = self._log.read_text()
        assert job.returncode != -signal.SIGKILL, f"the proof of concept did not end:\n{self.said}"
        if job.returncode:
            return job.returncode
        merged = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", self.merge],
            cwd=self.analysis.folder,
            env={"HOME": os.environ["HOME"], **self.variables, "PATH": path_of_the_image()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_DEADLINE_S,
        )
        self.said += merged.stdout
        return merged.returncode

    @property
    def result(self) -> str:
        """What the result is worth."""
        return judge(self.analysis.folder / RESULT, self.analysis)

"""Small analysis repositories for the tests, and septum called on them as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uproot

from septum.facility import COMPUTE_SCOPES, Facility
from septum.facility.pool import Pool

SEPTUM = Path(sys.executable).with_name("septum")
_REMOVED = "3"


def write_root(path: Path, *, bins: int = 10, name: str = "mass", seed: int = 1, weight: float = 1.0) -> Path:
    """Write a ROOT file with one histogram of 100 seeded entries, the last of them with a weight."""
    histogram = hist.Hist(hist.axis.Regular(bins, 0, 1), storage=hist.storage.Weight())
    weights = np.ones(100)
    weights[-1] = weight
    histogram.fill(np.random.default_rng(seed).random(100), weight=weights)
    with uproot.recreate(path) as file:
        file[name] = histogram
    return path


# What a part does, chosen by its value `kind`; no Python on the worker, so that a part takes milliseconds.
PART_SH = """\
case $PART_kind in
good)      cp good.root out.root ;;
exit3)     cp good.root out.root; echo 'no such dataset' >&2; exit 3 ;;
killed)    kill -9 $$ ;;
missing)   echo 'nothing to do' ;;
truncated) head -c 2000 good.root > out.root ;;
empty)     : > out.root ;;
page)      echo '<html>503 Service Unavailable</html>' > out.root ;;
axis)      cp axis.root out.root ;;
nan)       cp nan.root out.root ;;
renamed)   cp renamed.root out.root ;;
slow)      sleep 300 ;;
held)      exec 1>&- ; sleep 300 ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """An analysis repository in a folder of its own."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def septum(self, *arguments: str, timeout_s: float = 240, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run septum in the repository to its end."""
        with self.start(*arguments, **environ) as process:
            try:
                said, _ = process.communicate(timeout=timeout_s)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, said)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Run septum in the repository, beside the test."""
        return subprocess.Popen(
            [str(SEPTUM), *arguments],
            cwd=self.folder,
            env=self.environment(**environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def environment(self, **more: str) -> dict[str, str]:
        """A clean environment: no variables of a CI job that happens to run the tests."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR") if name in os.environ}
        path = f"{SEPTUM.parent}:{os.environ['PATH']}"
        return {**kept, "PATH": path, **self.environ, **more}

    @property
    def result(self) -> Path:
        """The result folder."""
        return self.folder / "result"

    def whole_files(self) -> list[str]:
        """Everything in the result folder that a reader could take for a whole result."""
        return sorted(path.name for path in self.result.rglob("*.root") if ".partial." not in path.name)


def kinds_repository(folder: Path, kinds: Sequence[str], *, extra: str = "", environ: Mapping[str, str]) -> Repository:
    """A repository whose parts do what their kinds say, and whose outputs are merged into `all.root`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_root(folder / "good.root")
    write_root(folder / "axis.root", bins=20)
    write_root(folder / "renamed.root", name="mass_old")
    write_root(folder / "nan.root", weight=float("nan"))
    (folder / "part.sh").write_text(PART_SH)
    rows = "\n".join(f"    - {{kind: {kind}, seed: {number}}}" for number, kind in enumerate(kinds))
    (folder / "septum.yaml").write_text(
        f"name: kinds\ncommand: [sh, part.sh]\nparts:\n  list:\n{rows}\n"
        "inputs: [part.sh, good.root, axis.root, renamed.root, nan.root]\n"
        "outputs: [{path: out.root, objects: [mass]}]\nmerge: {all.root: out.root}\n" + extra
    )
    return Repository(folder=folder, environ=environ)


def pool_profile(pool: Pool, facility: Facility, **changes: Any) -> str:
    """A cluster profile for a pool of the facility, as a user would write it."""
    endpoint = pool.endpoint
    values = {
        "title": "rehearsal pool",
        "method": "htcondor",
        "collector": endpoint.collector,
        "schedd": endpoint.schedd,
        "authentication": "scitokens",
        "credentials": "iam-client",
        "issuer": facility.issuer.url,
        "audience": endpoint.audience,
        "scope": "[wlcg, " + ", ".join(COMPUTE_SCOPES) + "]",
        "ca-file": str(facility.ca_file),
        "poll-floor": "1 s",
        "poll-ceiling": "3 s",
        "update-interval": "5 s",
        "lease": "10 min",
        "call-deadline": "60 s",
        "default-memory": "32 MB",
        "default-disk": "32 MB",
    }
    return "".join(f"{key}: {value}\n" for key, value in {**values, **changes}.items())


def queue(pool: Pool, *attributes: str, constraint: str = "true", timeout_s: float = 30) -> list[list[str]]:
    """The jobs in the queue, as the pool's own tool shows them to anybody, when the removed ones have left it.

    A removed job that ran stays until its machine has let it go. One that is never let go is listed after all.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        words = ("-all", "-constraint", constraint, "-af", "JobStatus", *(attributes or ("ClusterId",)))
        jobs = [line.split() for line in pool.run("condor_q", *words).stdout.splitlines()]
        if not any(status == _REMOVED for status, *_ in jobs) or time.monotonic() > deadline:
            return [values for _, *values in jobs]
        time.sleep(0.3)


def client_environment(facility: Facility, client: str = "cmscat-client") -> dict[str, str]:
    """The CI variables of a client of the facility's issuer."""
    secret = facility.issuer.secret_file(client).read_text().strip()
    return {"IAM_CLIENT_ID": client, "IAM_CLIENT_SECRET": secret}


def site_variables(facility: Facility, *, poll_ceiling: str = "2 s") -> dict[str, str]:
    """The CI variables of a project that runs on `infn-af`, and the pool behind the addresses of the site."""
    endpoint = facility.endpoint
    return {
        **client_environment(facility),
        "SEPTUM_CLUSTER_COLLECTOR": endpoint.collector,
        "SEPTUM_CLUSTER_SCHEDD": endpoint.schedd,
        "SEPTUM_CLUSTER_ISSUER": facility.issuer.url,
        "SEPTUM_CLUSTER_AUDIENCE": endpoint.audience,
        "SEPTUM_CLUSTER_SCOPE": " ".join(["wlcg", *COMPUTE_SCOPES]),
        "SEPTUM_CLUSTER_POLL_FLOOR": "1 s",
        "SEPTUM_CLUSTER_POLL_CEILING": poll_ceiling,
    }

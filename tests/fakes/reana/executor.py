"""What Snakemake hands its jobs to, in place of a cluster. Imported in the Python of `tools` alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from snakemake.executors import ClusterExecutor, GenericClusterExecutor

from tests.fakes.reana.jobs import SubmissionError

if TYPE_CHECKING:
    from tests.fakes.reana.engine import Engine

_POLL_S = 0.03
_DEFAULT_IMAGE = "docker.io/snakemake/snakemake:v7.32.4"


class Executor(GenericClusterExecutor):  # type: ignore[misc] # untyped
    """Jobs of the run, handed in with the resources that REANA reads."""

    engine: ClassVar[Engine]
    active_jobs: list[Any]
    counted = False

    def run(self, job: Any, callback: Any = None, submit_callback: Any = None, error_callback: Any = None) -> None:
        """Hand in a job, or take one in that has nothing to run."""
        super()._run(job)
        if not self.counted:
            # REANA counts at each job, and the first count stands.
            wanted = [one for one in (job.dag._needrun | job.dag._finished) if not one.rule.norun]
            self.engine.events.write(total=len(wanted))
            self.counted = True
        job.reana = None
        try:
            if job.is_shell:
                image = (job.container_img_url or _DEFAULT_IMAGE).replace("docker://", "")
                resources = dict(job.resources.items())
                job.reana = self.engine.submit(job.name, job.shellcmd, image, resources)
                self.workflow.persistence.started(job, external_jobid=job.reana)
            elif job.is_run:
                # Nothing is handed in, and so nothing ever ends.
                self.engine.say("Python code execution is not supported yet.")
        except SubmissionError:
            error_callback(job)
            return
        with self.lock:
            self.active_jobs.append((job, callback, error_callback))

    async def _wait_for_jobs(self) -> None:
        while True:
            with self.lock:
                if not self.wait:
                    return
                active, self.active_jobs = self.active_jobs, []
            still = [one for one in active if not self._ended(*one)]
            with self.lock:
                # More may have been handed in meanwhile.
                self.active_jobs.extend(still)
            await asyncio.sleep(_POLL_S)

    def _ended(self, job: Any, callback: Any, error_callback: Any) -> bool:
        status = self.engine.jobs.status(job.reana) if job.reana else "running"
        if status == "finished" or job.is_norun:
            callback(job)
        elif status == "failed":
            error_callback(job)
        else:
            return False
        return True

    def handle_job_success(self, job: Any) -> None:
        """Look whether the outputs are there, and go on."""
        super(ClusterExecutor, self).handle_job_success(job, upload_remote=False, handle_log=False, handle_touch=True)
        self.engine.say(f"{job.name} job is finished. job_id: {job.reana}")

    def handle_job_error(self, job: Any) -> None:
        """Let the run fail with its first failed job."""
        super().handle_job_error(job)
        self.engine.say(f"{job.name} job is failed. job_id: {job.reana}")
        self.engine.fail()

    def print_cluster_job_error(self, job_info: Any, jobid: Any) -> None:
        """Say nothing: there is no job script to point to."""

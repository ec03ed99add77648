"""The analysis as a law workflow: one branch a part."""

import os
import subprocess

import law

law.contrib.load("htcondor")
FOLDER = os.environ["BENCH_FOLDER"]


class Parts(law.htcondor.HTCondorWorkflow, law.LocalWorkflow):
    """All parts; a branch is one of them."""

    version = law.Parameter()

    def create_branch_map(self):
        """The numbers of the parts."""
        return dict(enumerate(range(int(os.environ["BENCH_PARTS"]))))

    def output(self):
        """The histograms of a part."""
        return law.LocalFileTarget(os.path.join(FOLDER, f"histograms_{self.branch}.root"))

    def run(self):
        """Make them."""
        script, template = (os.path.join(FOLDER, name) for name in ("part.sh", "template.root"))
        subprocess.check_call(["sh", script, str(self.branch_data), self.output().path, template])

    def htcondor_output_directory(self):
        """Where law keeps what it knows of the jobs."""
        return law.LocalDirectoryTarget(os.path.join(FOLDER, "law"))

    def htcondor_bootstrap_file(self):
        """What a job begins with."""
        return law.JobInputFile(os.path.join(FOLDER, "bootstrap.sh"), share=True, render_job=True)

    def htcondor_use_local_scheduler(self):
        """There is no other."""
        return True

    def htcondor_job_config(self, config, job_num, branches):
        """What the others ask for, too."""
        config.custom_content += [("request_memory", "32MB"), ("request_disk", "32MB")]
        return config

"""Runs Snakemake in dry mode and writes its jobs as JSON. A program of its own, for any Python that has Snakemake.

`python importing_driver.py REQUEST ANSWER`: both are JSON files. It imports nothing of septum, so that it runs in
environments without it, and is written for Python 3.8 and Snakemake 7 to 9.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List  # noqa: UP035 - Python 3.8

CORES = 64
"""What `threads` is cut to, and what `workflow.cores` is."""
_KINDS = ("norun", "is_shell", "is_script", "is_notebook", "is_wrapper", "is_cwl", "is_template_engine")
_NOT_YET = "<TBD>"


def main(request_file: str, answer_file: str) -> int:
    """Answer one request.

    Args:
        request_file: `snakefile`, `workdir`, `config`, `configfiles`.
        answer_file: Written when Snakemake has planned the jobs.

    Returns:
        0, or 1 if Snakemake refuses the workflow; its words stand on standard output and error.
    """
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    target = Path(answer_file).absolute()
    os.chdir(request["workdir"])
    version = importlib.import_module("snakemake").__version__
    is_7 = version.startswith("7.")
    if not is_7:
        importlib.import_module("snakemake.api")  # first: its modules import each other
    dags = _record_dags()
    plan = _plan_7 if is_7 else _plan_8
    if not plan(request) or not dags:
        return 1
    answer = {"version": version, **_described(dags[-1])}
    target.write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _record_dags() -> List[Any]:  # noqa: UP006 - Python 3.8
    """Snakemake keeps its graph to itself: note each one that it makes."""
    dag_class = importlib.import_module("snakemake.dag").DAG
    found: List[Any] = []  # noqa: UP006 - Python 3.8
    init = dag_class.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        found.append(self)

    dag_class.__init__ = noting
    return found


def _plan_7(request: Dict[str, Any]) -> bool:  # noqa: UP006 - Python 3.8
    snakemake = importlib.import_module("snakemake")
    return bool(
        snakemake.snakemake(
            request["snakefile"],
            config=request["config"],
            configfiles=request["configfiles"],
            workdir=request["workdir"],
            cores=CORES,
            dryrun=True,
            forceall=True,
            lock=False,
            nocolor=True,
            quiet=["progress", "rules"],
        )
    )


def _plan_8(request: Dict[str, Any]) -> bool:  # noqa: UP006 - Python 3.8
    api = importlib.import_module("snakemake.api")
    try:
        settings = importlib.import_module("snakemake.settings.types")
    except ImportError:  # 8.0 to 8.15
        settings = importlib.import_module("snakemake.settings")
    with api.SnakemakeApi(settings.OutputSettings(nocolor=True)) as snakemake:
        try:
            workflow = snakemake.workflow(
                resource_settings=settings.ResourceSettings(cores=CORES),
                config_settings=settings.ConfigSettings(
                    config=request["config"], configfiles=[Path(name) for name in request["configfiles"]]
                ),
                snakefile=Path(request["snakefile"]),
                workdir=Path(request["workdir"]),
            )
            workflow.dag(dag_settings=settings.DAGSettings(forceall=True)).execute_workflow(executor="dryrun")
        except Exception as error:  # noqa: BLE001 - Snakemake's own errors have no common base
            snakemake.print_exception(error)
            return False
    return True


def _described(dag: Any) -> Dict[str, Any]:  # noqa: UP006 - Python 3.8
    order = {rule.name: number for number, rule in enumerate(dag.workflow.rules)}
    jobs = sorted(dag.jobs, key=lambda job: (order.get(job.rule.name, -1), [str(path) for path in job.output]))
    numbers = {job: number for number, job in enumerate(jobs)}
    return {
        "jobs": [
            {**_job(job), "needs": sorted(numbers[other] for other in dag.dependencies[job] if other in numbers)}
            for job in jobs
        ]
    }


def _job(job: Any) -> Dict[str, Any]:  # noqa: UP006 - Python 3.8
    flagged = importlib.import_module("snakemake.io").is_flagged
    rule = job.rule
    kind = next((kind[3:] if kind != "norun" else kind for kind in _KINDS if getattr(rule, kind, False)), "run")
    command = job.shellcmd if kind == "shell" else None
    params = [str(value) for value in (job.params if kind == "shell" else [])]
    files = [*job.input, *job.output]
    return {
        "rule": rule.name,
        "line": int(getattr(rule, "lineno", None) or 0),
        "wildcards": {str(key): str(value) for key, value in job.wildcards_dict.items()},
        "kind": kind,
        "command": command,
        "unknown": any(_NOT_YET in text for text in params) or _NOT_YET in (command or ""),
        "inputs": [str(path) for path in job.input],
        "outputs": [
            {
                "path": str(path),
                "folder": bool(flagged(path, "directory")),
                "touch": bool(flagged(path, "touch")),
            }
            for path in job.output
        ],
        "logs": [str(path) for path in job.log],
        "image": rule.container_img or None,
        "threads": int(job.threads) if isinstance(job.threads, int) else 1,
        "resources": {
            str(name): value
            for name, value in job.resources.items()
            if not str(name).startswith("_") and isinstance(value, (str, int, float, bool))
        },
        "checkpoint": bool(rule.is_checkpoint),
        "remote": [
            str(path) for path in files if getattr(path, "is_remote", False) or getattr(path, "is_storage", False)
        ],
        "special": [
            *(["a pipe"] if any(flagged(path, "pipe") or flagged(path, "service") for path in files) else []),
            *(["a shadow folder"] if getattr(rule, "shadow_depth", None) else []),
            *(["dynamic files"] if getattr(job, "dynamic_output", None) else []),
            *(["a subworkflow"] if getattr(job, "subworkflow_input", None) else []),
        ],
        "unused": [
            *(["conda"] if getattr(rule, "conda_env", None) else []),
            *(["envmodules"] if getattr(rule, "env_modules", None) else []),
            *(["benchmark"] if job.benchmark else []),
        ],
    }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

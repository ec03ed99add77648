"""The jobs of a Snakemake workflow, as Snakemake itself plans them: a process of its own reads the Snakefile.

A Snakefile is a program. It runs in a copy of what the workspace in REANA would hold, and nothing of it reaches this
process but JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from septum.errors import WorkflowError
from septum.reana.importing_work import listed

DEADLINE_S = 600.0
"""How long Snakemake may take: it calls the functions of the Snakefile for each job."""
_COPIED_B = 16 * 1024 * 1024
"""Larger inputs are linked to: what a Snakefile reads while it is read is small."""
_OWN = ".snakemake"
_TAIL = 1500
_INSTALL = "pip install 'septum[snakemake]', or put the 'snakemake' of another environment on PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file or folder that a rule writes."""

    path: str
    folder: bool
    touch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleJob:
    """One job of the graph: a rule with its wildcards filled in.

    Attributes:
        number: Its number; jobs are in the order of the rules, then of their outputs.
        kind: `shell`, `run`, `script`, `notebook`, `wrapper`, `cwl`, `template_engine`, or `norun` for a target.
        command: The shell command with all values in it.
        unknown: Whether a value is known only when another job has run.
        needs: The jobs whose outputs it reads.
        unused: Keywords that REANA and septum leave aside.
    """

    number: int
    rule: str
    line: int
    wildcards: Mapping[str, str]
    kind: str
    command: str
    unknown: bool
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]
    logs: tuple[str, ...]
    image: str
    threads: int
    resources: Mapping[str, Any]
    checkpoint: bool
    remote: tuple[str, ...]
    special: tuple[str, ...]
    unused: tuple[str, ...]
    needs: tuple[int, ...]

    @property
    def label(self) -> str:
        """The job as messages name it: `rule hist (sample=DY)`."""
        shown = ", ".join(f"{name}={value}" for name, value in self.wildcards.items())
        return f"rule {self.rule} ({shown})" if shown else f"rule {self.rule}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """All jobs of a workflow.

    Attributes:
        version: Of Snakemake.
        jobs: By their number.
        made: Files that the Snakefile itself wrote while it was read.
    """

    version: str
    jobs: tuple[RuleJob, ...]
    made: tuple[str, ...]


def read_graph(
    *,
    root: Path,
    snakefile: str,
    inputs: Iterable[str],
    config: Mapping[str, Any],
    config_file: str | None,
    where: str,
    environ: Mapping[str, str],
) -> Graph:
    """Let Snakemake plan the jobs.

    Args:
        root: The repository.
        snakefile: The path of the Snakefile in it.
        inputs: The files of the repository that the workspace in REANA would hold.
        config: Values of Snakemake's `config`, over those of the file.
        config_file: A file of the repository with such values.
        where: The place that names the Snakefile, for messages.
        environ: The environment, without secrets.

    Raises:
        WorkflowError: Snakemake is not there, refuses the workflow, or does not end.
    """
    python = _python(environ, where)
    with tempfile.TemporaryDirectory(prefix="septum-snakemake-") as scratch:
        workspace = Path(scratch) / "workspace"
        needed = {*inputs, snakefile, *([config_file] if config_file else [])}
        _lay(root, workspace, needed)
        request, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        asked = {
            "snakefile": snakefile,
            "workdir": str(workspace),
            "config": dict(config),
            "configfiles": [config_file] if config_file else [],
        }
        request.write_text(json.dumps(asked, default=str), encoding="utf-8")
        said = _run(python, request, answer, environ, where)
        if not answer.is_file():
            raise WorkflowError(
                f"{where}: Snakemake cannot plan the workflow {snakefile!r}",
                evidence=said.replace(str(workspace), ".")[-_TAIL:],
                fix="correct what it complains of; it sees the files under 'inputs' and no others, as in REANA",
            )
        found = json.loads(answer.read_text(encoding="utf-8"))
        made = sorted(_files_in(workspace) - needed)
    jobs = tuple(_job(number, data) for number, data in enumerate(found["jobs"]))
    return Graph(version=found["version"], jobs=jobs, made=tuple(made))


def refuse_made(graph: Graph, where: str) -> list[str]:
    """Refuse jobs that read what the Snakefile wrote while it was read: a part has only the files of the repository.

    Returns:
        What people should know of such files that no job names.

    Raises:
        WorkflowError: A job reads one.
    """
    for job in graph.jobs:
        read = [path for path in job.inputs if path in graph.made]
        if read:
            raise WorkflowError(
                f"{where}: {job.label} reads {read[0]!r}, which the Snakefile writes while it is read",
                fix="commit the file and name it under 'inputs', or let a rule write it",
            )
    if not graph.made:
        return []
    return [f"the Snakefile writes {listed(graph.made)} while it is read: no rule names them, and no part has them"]


def _python(environ: Mapping[str, str], where: str) -> str:
    """The Python that has Snakemake: this one, or that of the program on PATH."""
    if importlib.util.find_spec("snakemake") is not None:
        return sys.executable
    program = shutil.which("snakemake", path=environ.get("PATH", os.defpath))
    if program is not None:
        with Path(program).open("rb") as stream:
            first = stream.readline(1000).decode("utf-8", "replace").strip()
        beside = Path(program).resolve().parent / "python"
        words = first[2:].split() if first.startswith("#!") else []
        for candidate in (*words[:1], str(beside)):
            if Path(candidate).name.startswith("python") and os.access(candidate, os.X_OK):
                return candidate
    raise WorkflowError(
        f"{where}: a snakemake workflow, and there is no Snakemake to read it",
        evidence=f"snakemake on PATH: {program} (its Python is not known)" if program else "none here, none on PATH",
        fix=_INSTALL,
    )


def _lay(root: Path, workspace: Path, paths: Iterable[str]) -> None:
    """Lay the files of the workspace out: small ones as copies, which a Snakefile may write into."""
    for path in sorted(paths):
        source, target = root / path, workspace / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.stat().st_size <= _COPIED_B:
            shutil.copyfile(source, target)
        else:
            target.symlink_to(source.resolve())


def _files_in(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not {_OWN, "__pycache__"}.intersection(path.relative_to(folder).parts)
    }


def _run(python: str, request: Path, answer: Path, environ: Mapping[str, str], where: str) -> str:
    """Run the driver; returns what it and Snakemake said."""
    own = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": str(request.parent / "cache")}
    with as_file(files("septum.reana").joinpath("importing_driver.py")) as driver:
        try:
            done = subprocess.run(
                # Not in its own folder: Python would look there for modules first.
                [python, "-c", "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')",
                 str(driver), str(request), str(answer)],
                cwd=request.parent / "workspace",
                env={**environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=DEADLINE_S,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise WorkflowError(
                f"{where}: Snakemake has not planned the workflow in {DEADLINE_S:.0f} s",
                evidence=_text(error.stdout)[-_TAIL:],
                fix="look what the Snakefile does while it is read: downloads belong into a rule",
            ) from error
        except OSError as error:
            raise WorkflowError(
                f"{where}: the Python of Snakemake cannot be started", evidence=str(error), fix=_INSTALL
            ) from error
    said = _text(done.stdout)
    if done.returncode != 0:
        answer.unlink(missing_ok=True)
    return said or f"it ended with exit code {done.returncode} and said nothing"


def _text(said: bytes | None) -> str:
    return (said or b"").decode("utf-8", "replace")


def _job(number: int, data: Mapping[str, Any]) -> RuleJob:
    return RuleJob(
        number=number,
        rule=data["rule"],
        line=data["line"],
        wildcards=data["wildcards"],
        kind=data["kind"],
        command=data["command"] or "",
        unknown=data["unknown"],
        inputs=_texts(data["inputs"]),
        outputs=tuple(Output(**item) for item in data["outputs"]),
        logs=_texts(data["logs"]),
        image=data["image"] or "",
        threads=data["threads"],
        resources=data["resources"],
        checkpoint=data["checkpoint"],
        remote=_texts(data["remote"]),
        special=_texts(data["special"]),
        unused=_texts(data["unused"]),
        needs=tuple(data["needs"]),
    )


def _texts(items: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(item) for item in items)

"""A plan as the files that REANA runs without septum: `reana.yaml` and its Snakefile, and what they leave out."""

from __future__ import annotations

import difflib
import hashlib
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import ExportError
from septum.images.forms import unpacked_reference
from septum.images.reference import parse_image
from septum.plan import Plan
from septum.reana import snakefile, specification
from septum.reana.leftout import Left, left_out
from septum.state import write_whole

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.config import Analysis

_MARK = "# Written by `septum export reana`: change septum.yaml, and export again. sha256: "
_MARKED = re.compile(re.escape(_MARK) + r"([0-9a-f]{64})\n")
_CVMFS = re.compile(r"/cvmfs/([A-Za-z0-9][A-Za-z0-9._-]*)")
_UNPACKED = ("/cvmfs/unpacked.cern.ch", "/cvmfs/singularity.opensciencegrid.org")
_WIDTH = 116
_SHOWN_LINES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """The exported files by name, and what they leave out."""

    files: Mapping[str, str]
    left: tuple[Left, ...]


def export(
    plan: Plan, analysis: Analysis, profile: Profile, *, root: Path | None = None, config: str = "septum.yaml"
) -> Export:
    """The files of a plan.

    Args:
        plan: The plan.
        analysis: What it was made from.
        profile: The cluster; one of REANA says what its rules ask for.
        root: The folder in which all inputs must be, as the workflow will find them; None to believe it.
        config: The name of the file that the analysis stands in.

    Raises:
        ExportError: The plan has no image that REANA can start, or Snakemake has no way to say something of it.
    """
    if analysis.reana is not None:
        raise ExportError(
            f"export: the analysis is a workflow of REANA already: {analysis.reana.file}",
            fix="reana-client run    # runs that file as it is",
        )
    inputs = sorted({file.path for file in (*plan.inputs, *(file for part in plan.parts for file in part.inputs))})
    if root is not None:
        _check_there(inputs, root)
    left = tuple(left_out(plan, analysis, profile))
    site = snakefile.Site(image=_image(plan), resources=_resources(profile))
    head = list(_head(plan, left, config))
    description = specification.Specification.model_validate(_description(plan, profile, inputs))
    texts = {
        specification.FILE: "\n".join(head) + "\n" + specification.text_of(description),
        snakefile.FILE: snakefile.text_of(plan, site, head),
    }
    return Export(files={name: marked(text) for name, text in texts.items()}, left=left)


def _check_there(inputs: Sequence[str], root: Path) -> None:
    """A framework's job may get files that stand elsewhere, or under another name."""
    if absent := [path for path in inputs if not (root / path).is_file()]:
        raise ExportError(
            f"export: {absent[0]!r}, which a part needs, is not in {root}",
            evidence=f"{len(absent)} of {len(inputs)} inputs are not there: REANA is sent files of the repository",
            fix="export an analysis whose septum.yaml has 'command' and 'parts'; this one runs with: septum run",
        )


def _description(plan: Plan, profile: Profile, inputs: Sequence[str]) -> dict[str, object]:
    resources: dict[str, object] = {}
    if repositories := _repositories(plan, profile):
        resources["cvmfs"] = repositories
    if profile.reana_kerberos:
        resources["kerberos"] = True
    workflow: dict[str, object] = {"type": "snakemake", "file": snakefile.FILE}
    outputs: dict[str, object] = {}
    if results := snakefile.results_of(plan):
        outputs["files"] = results
    if snakefile.left_outputs(plan):
        # One a part: the folder says the same in one line.
        outputs["directories"] = ["results/parts"]
    return {
        "inputs": {"files": list(dict.fromkeys([snakefile.FILE, *inputs]))},
        "workflow": {**workflow, "resources": resources} if resources else workflow,
        "outputs": outputs,
    }


def _repositories(plan: Plan, profile: Profile) -> list[str]:
    """The repositories of CVMFS that the profile names, or any text that a part is given."""
    texts: list[str] = [*plan.setup, *(text for _, text in plan.environment)]
    texts += [plan.command] if isinstance(plan.command, str) else plan.command
    for merge in plan.merges:
        texts += [merge.command] if isinstance(merge.command, str) else merge.command or ()
    for part in plan.parts:
        for _, value in part.values:
            texts += [value] if isinstance(value, str) else value
    found = {name.rstrip(".") for text in texts for name in _CVMFS.findall(text)}
    return sorted(found | set(profile.reana_cvmfs))


def _resources(profile: Profile) -> dict[str, str | int | bool]:
    if profile.method != "reana":
        return {}
    found: dict[str, str | int | bool] = {}
    if profile.reana_compute_backend != "kubernetes":
        found["compute_backend"] = profile.reana_compute_backend
    if profile.reana_htcondor_max_runtime:
        found["htcondor_max_runtime"] = str(profile.reana_htcondor_max_runtime)
    if profile.reana_slurm_partition:
        found["slurm_partition"] = profile.reana_slurm_partition
    if profile.proxy != "no":
        found["voms_proxy"] = True
    return found


def _image(plan: Plan) -> str:
    """The image as Snakemake and REANA take it.

    Raises:
        ExportError: There is none, or it is not in a registry.
    """
    fix = "septum export reana --image docker.io/library/python:3.11"
    if plan.image is None:
        raise ExportError("export: REANA runs every step in an image, and the plan names none", fix=fix)
    image = parse_image(plan.image)
    reference = image.reference if image.kind == "registry" else None
    if image.kind == "path":
        found = (unpacked_reference(image.text, prefix) for prefix in _UNPACKED)
        reference = next((each for each in found if each is not None), None)
    if reference is None:
        raise ExportError(
            f"export: REANA starts images of registries, and the plan has {plan.image!r}",
            evidence="an image file, or a path that names no image of a registry",
            fix=fix,
        )
    return f"docker://{reference.pinned}"


# ── text and files ──────────────────────────────────────────────────────────────────────────────────────────────


def _head(plan: Plan, left: Iterable[Left], config: str) -> Iterator[str]:
    """The comments at the top of both files."""
    lines = [
        f"The analysis {plan.name} of {config}, for REANA and Snakemake alone; nothing here needs septum.",
        "",
        "    reana-client run -w " + plan.name.replace(".", "-"),
        "    snakemake --cores all       # on this machine, with the programs that it has",
        "",
        "Each part works in a folder below work/ of its own, and leaves its outputs below results/parts/.",
        "",
        "What septum does and these files do not:",
    ]
    for line in lines:
        yield f"# {line}".rstrip()
    for item in left:
        text = " ".join(str(item).split())
        wrapped = textwrap.wrap(text, _WIDTH - 4, break_on_hyphens=False, break_long_words=False)
        yield from (f"# {'- ' if number == 0 else '  '}{line}" for number, line in enumerate(wrapped))
    yield ""


def marked(text: str) -> str:
    """A text with the line by which its own export knows it again."""
    return f"{_MARK}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def is_ours(text: str) -> bool:
    """Whether a text was written by an export and not changed since."""
    found = _MARKED.match(text)
    return found is not None and marked(text[found.end() :]) == text


def write(found: Export, folder: Path, *, force: bool = False) -> list[str]:
    """Write the files, each whole or not at all; those that are up to date stay untouched.

    Args:
        found: The export.
        folder: Where they go.
        force: Replace files of other people as well.

    Returns:
        The names of the files that were written.

    Raises:
        ExportError: A file is there that no export wrote, or that was changed since; nothing was written.
    """
    present = {name: _read(folder / name) for name in found.files}
    taken = [
        name for name, text in present.items() if text is not None and not is_ours(text) and text != found.files[name]
    ]
    if taken and not force:
        raise ExportError(
            f"export: {folder / taken[0]} was not written by an export, or was changed by hand",
            evidence="\n".join(_difference_of(taken[0], present[taken[0]] or "", found.files[taken[0]])),
            fix="move it away, or give --force to replace it; --into FOLDER writes elsewhere",
        )
    written = [name for name, text in found.files.items() if present[name] != text]
    for name in written:
        write_whole(folder / name, found.files[name])
    return written


def check(found: Export, folder: Path) -> None:
    """Look that the files are what an export would write now.

    Raises:
        ExportError: One is not there, or differs; the difference is the evidence.
    """
    lines: list[str] = []
    stale: list[str] = []
    for name, text in found.files.items():
        present = _read(folder / name)
        if present != text:
            stale.append(str(folder / name))
            lines += _difference_of(name, present, text)
    if stale:
        raise ExportError(
            f"export: {' and '.join(stale)} {'are' if len(stale) > 1 else 'is'} not up to date",
            evidence="\n".join(lines),
            fix="septum export reana",
        )


def _read(path: Path) -> str | None:
    """The text of a file; None if there is none.

    Raises:
        ExportError: Something else has its name: a folder, or a pipe, on which nobody would ever write.
    """
    if path.parent.exists() and not path.parent.is_dir():
        raise ExportError(f"export: {path.parent} is no folder", fix="--into FOLDER names the folder for the files")
    if path.exists() and not path.is_file():
        raise ExportError(
            f"export: {path} is there, and is no file", fix="move it away; --into FOLDER writes elsewhere"
        )
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def _difference_of(name: str, present: str | None, text: str) -> list[str]:
    if present is None:
        return [f"{name} is not there"]
    lines = difflib.unified_diff(
        present.splitlines(), text.splitlines(), f"{name} as it is", f"{name} of now", n=1, lineterm=""
    )
    found = list(lines)
    rest = len(found) - _SHOWN_LINES
    return found[:_SHOWN_LINES] + ([f"… and {rest} more lines"] if rest > 0 else [])

"""A `reana.yaml` as the source of a plan: existing analyses of REANA run on any cluster, as they are."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.assembly import check_outputs, name_of_image
from septum.errors import WorkflowError
from septum.files import Files
from septum.images.reference import parse_image
from septum.plan import Plan
from septum.reana.importing_plan import plan_of
from septum.reana.importing_work import Imported, Wanted, clean, listed, wanted_of
from septum.reana.specification import as_reana_types, read

if TYPE_CHECKING:
    from septum.config import Analysis
    from septum.reana.specification import Read

_OTHERS = {
    "cwl": "septum translates no CWL: its tools and their bindings are a language of their own",
    "yadage": "septum translates no Yadage: its stages are scheduled while it runs, and a plan is complete before",
}
_FIX_OTHERS = (
    "write the steps as a serial or a snakemake workflow, which REANA runs as well;\n"
    "or let REANA run this one: reana-client run -w NAME -f {file}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedPlan:
    """A plan, and what people should know of its translation, a line each."""

    plan: Plan
    notes: tuple[str, ...]


def make_imported_plan(
    analysis: Analysis,
    root: Path,
    *,
    image: str | None = None,
    leave_out: Sequence[str] = (),
    environ: Mapping[str, str],
) -> ImportedPlan:
    """Make the plan of a workflow of REANA.

    Args:
        analysis: The values of `septum.yaml`, with the key `reana`.
        root: The folder that `reana.yaml` stands in; all its paths are relative to it.
        image: Replaces all other images if given; then comes that of `septum.yaml`, then those of the workflow.
        leave_out: Folders below `root` that septum writes itself and that are never inputs.
        environ: The environment for a Snakefile, which is a program; without secrets.

    Returns:
        The plan; the same files and values give the same plan, to the last bit.

    Raises:
        ConfigError: The file is no specification of REANA.
        PlanError: No plan follows from it; of its kind, a `WorkflowError`, which names what cannot be translated.
    """
    assert analysis.reana is not None  # noqa: S101 - the callers have looked
    name = analysis.reana.file
    found = read(root / name, name=name)
    parameters = _parameters(found, analysis.reana.parameters)
    files = Files(root, leave_out)
    paths, folders = _inputs(found, files, root)
    paths = sorted({*paths, *files.match_inputs(analysis.inputs)})
    work = _import(found, parameters, _wanted(found), paths, folders, root=root, environ=environ)
    chosen, of_image = _image(work, name_of_image(analysis, image))
    shared = tuple(files.describe(path) for path in paths)
    plan = plan_of(analysis, work, image=chosen, inputs=shared)
    check_outputs(plan)
    return ImportedPlan(plan=plan, notes=(*work.notes, *of_image, *_left_aside(found)))


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _import(
    found: Read,
    parameters: Mapping[str, Any],
    wanted: Sequence[Wanted],
    paths: Sequence[str],
    folders: Sequence[str],
    *,
    root: Path,
    environ: Mapping[str, str],
) -> Imported:
    workflow = found.value.workflow
    where = found.document.where(("workflow", "type"))
    if workflow.type in _OTHERS:
        raise WorkflowError(
            f"{where}: a {workflow.type} workflow cannot be run by septum",
            evidence=_OTHERS[workflow.type],
            fix=_FIX_OTHERS.format(file=found.document.name),
        )
    if workflow.resources.dask:
        raise WorkflowError(
            f"{found.document.where(('workflow', 'resources', 'dask'))}: the workflow wants a Dask cluster beside it",
            evidence="septum starts jobs of a batch system, and nothing that lives beside them",
            fix="let the steps run without Dask, or with a local one: distributed.LocalCluster()",
        )
    if workflow.type == "serial":
        if not wanted:
            raise WorkflowError(
                f"{found.document.where(('outputs',))}: outputs: names nothing, and a part is judged by its files",
                fix="name what the steps write under 'outputs: files'",
            )
        from septum.reana.importing_serial import import_serial

        return import_serial(found, parameters=parameters, wanted=wanted, folders=folders)
    return _import_snakemake(found, parameters, wanted, paths, folders, root=root, environ=environ)


def _import_snakemake(
    found: Read,
    parameters: Mapping[str, Any],
    wanted: Sequence[Wanted],
    paths: Sequence[str],
    folders: Sequence[str],
    *,
    root: Path,
    environ: Mapping[str, str],
) -> Imported:
    from septum.reana.importing_graph import import_graph
    from septum.reana.importing_snakemake import read_graph, refuse_made

    where = found.document.where(("workflow", "file"))
    snakefile = _there(clean(found.value.workflow.file, where), root, where)
    # In REANA, 'input' names the file of the configuration; without it, the parameters are the configuration.
    key = ("inputs", "parameters", "input")
    named = parameters.get("input")
    config_file = None
    if named is not None:
        place = found.document.where(key)
        config_file = _there(clean(str(named), place), root, place)
    graph = read_graph(
        root=root,
        snakefile=snakefile,
        inputs=paths,
        config={name: value for name, value in parameters.items() if name != "input"},
        config_file=config_file,
        where=where,
        environ=environ,
    )
    notes = refuse_made(graph, where)
    work = import_graph(graph, wanted=wanted, folders=folders, where=where)
    return replace(work, notes=(*notes, *work.notes))


def _there(path: str, root: Path, where: str) -> str:
    found = root / path
    if not found.is_file():
        raise WorkflowError(f"{where}: {path!r} is not there", fix="check the name, and that the file is committed")
    if not found.resolve().is_relative_to(root.resolve()):
        # A Snakefile that cannot be read as one is quoted in the log of the CI job.
        raise WorkflowError(
            f"{where}: {path!r} leads outside the repository",
            evidence=f"it leads to {found.resolve()}",
            fix="copy the file into the repository",
        )
    return path


def _parameters(found: Read, given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of the workflow, with those of `septum.yaml` over them, typed as REANA types its own."""
    own = found.value.inputs.parameters
    # A snakemake workflow may have all its values in the file that 'input' names.
    free = found.value.workflow.type == "snakemake"
    unknown = [name for name in given if name not in own]
    if unknown and not free:
        raise WorkflowError(
            f"reana: parameters: {unknown[0]!r} is no parameter of {found.document.name}",
            evidence=f"it has: {', '.join(own) or 'none'}",
            fix="use one of these names, or add it to 'inputs: parameters' there",
        )
    return {**own, **{name: _typed(text) for name, text in given.items()}}


def _typed(text: str) -> Any:
    """A text as REANA types it: `1000` is a number."""
    from ruamel.yaml.error import YAMLError

    try:
        value = as_reana_types(text)
    except (YAMLError, ValueError):
        return text
    return value if isinstance(value, (int, float, bool)) else text


def _inputs(found: Read, files: Files, root: Path) -> tuple[list[str], list[str]]:
    """The files of the repository that the workspace holds, and its folders."""
    paths: dict[str, None] = {}
    for index, path in enumerate(found.value.inputs.files):
        where = found.document.where(("inputs", "files", index))
        plain = _there(clean(path, where), root, where)
        paths.update(dict.fromkeys(files.match_inputs([glob.escape(plain)])))
    folders = []
    for index, path in enumerate(found.value.inputs.directories):
        where = found.document.where(("inputs", "directories", index))
        plain = clean(path, where)
        if not (root / plain).is_dir():
            raise WorkflowError(
                f"{where}: there is no folder {plain!r}", fix="check the name; git keeps no folder that is empty"
            )
        folders.append(plain)
        # An empty folder is fine; the parts make it.
        if any(item.is_file() for item in (root / plain).rglob("*")):
            paths.update(dict.fromkeys(files.match_inputs([glob.escape(plain)])))
    return sorted(paths), folders


def _wanted(found: Read) -> tuple[Wanted, ...]:
    outputs, where = found.value.outputs, found.document.where
    return wanted_of(
        [(path, where(("outputs", "files", index))) for index, path in enumerate(outputs.files)],
        [(path, where(("outputs", "directories", index))) for index, path in enumerate(outputs.directories)],
    )


# ── the image ───────────────────────────────────────────────────────────────────────────────────────────────────


def _image(work: Imported, chosen: str | None) -> tuple[str | None, list[str]]:
    """The one image of all parts, and what is said of those that it replaces.

    Raises:
        WorkflowError: There are several, and none was chosen.
    """
    users: dict[str, dict[str, None]] = {}
    for text, user in work.images:
        users.setdefault(_spelt(text, user), {})[user] = None
    named = [image for image in users if image]
    if chosen is not None:
        replaced = [image for image in named if image != _spelt(chosen, "image")]
        return chosen, [f"all parts run in the image {chosen}, which replaces {listed(replaced)}"] if replaced else []
    if len(users) > 1:
        rows = [f"{image or 'no image'}: {listed(list(who))}" for image, who in users.items()]
        raise WorkflowError(
            f"image: the workflow needs {len(users)} images, and a plan of septum has one for all parts",
            evidence="\n".join(rows),
            fix="name one that has what all of them need: image: … in septum.yaml, or --image",
        )
    return (named[0] if named else None), []


def _spelt(text: str, user: str) -> str:
    """An image in one spelling, so that two texts for the same are the same."""
    if not text:
        return ""
    if not text.isprintable() or "$" in text:
        raise WorkflowError(f"{user}: {text[:100]!r} is not the name of an image", fix="write the name out")
    image = parse_image(text)
    return str(image.reference) if image.reference is not None else image.text


# ── what is said ────────────────────────────────────────────────────────────────────────────────────────────────


def _left_aside(found: Read) -> list[str]:
    """What `reana.yaml` says that septum leaves aside."""
    value, notes = found.value, []
    if value.workflow.resources.cvmfs:
        notes.append(f"the workers must have /cvmfs with {listed(value.workflow.resources.cvmfs)}")
    if value.workflow.resources.kerberos:
        notes.append("a part has a Kerberos ticket only where the profile of the cluster provides one")
    if value.inputs.options:
        notes.append(f"options of REANA's engine are not taken over: {listed([*value.inputs.options])}")
    if value.tests.files:
        notes.append("'tests' are for reana-client: septum verifies the outputs, and 'compare' judges the results")
    if value.workspace.root_path or value.workspace.retention_days:
        notes.append("'workspace' is REANA's: septum has 'result' and the artifact of the CI job")
    return notes

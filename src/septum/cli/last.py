"""Finds the last run of which something is known: a result folder, the state folder, the last good pipeline."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.lookback import copied_ledger, receipt_of
from septum.components import inputs

if TYPE_CHECKING:
    import zipfile

    from septum.forecast import Last
    from septum.stages import Options

NONE = "none"
PIPELINE = "pipeline"
_LARGEST_MANIFEST_B = 256 << 20
_NEEDED = ("CI_SERVER_URL", "CI_PROJECT_ID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found, and what was said on the way; `last` is None where nothing is known."""

    last: Last | None
    notes: tuple[str, ...] = ()


def find_last(asked: str | None, options: Options) -> Look:
    """Look for the last run.

    Args:
        asked: A result folder or its manifest; `pipeline` for that of the default branch in GitLab; `none`; or None
            for the first that there is: the result folder, the state folder, the pipeline.
        options: The folders, and the environment.

    Raises:
        StateError: The one that was asked for is not there, or cannot be read.
    """
    from septum.errors import StateError

    if asked == NONE:
        return Look(last=None)
    if asked == PIPELINE:
        found, notes = _of_pipeline(options)
        if found is None:
            raise StateError(
                "plan: the last good pipeline does not tell how long its parts took",
                evidence="\n".join(notes),
                fix="name a result folder: septum plan --last FOLDER",
            )
        return Look(last=found)
    if asked is not None:
        return Look(last=_of_folder(Path(asked), must=True))
    unread: list[str] = []
    for look in (_of_result, _of_state):
        try:
            if (found := look(options)) is not None:
                return Look(last=found)
        except StateError as error:
            unread.append(error.what.removeprefix("plan: "))
    found, notes = _of_pipeline(options)
    return Look(last=found, notes=(*unread, *notes))


def _of_result(options: Options) -> Last | None:
    return _of_folder(options.result, must=False)


def _of_folder(path: Path, *, must: bool) -> Last | None:
    """What the manifest of a result folder says; None if it is not there.

    Raises:
        StateError: It must be there and is not, cannot be read, or says nothing of any part.
    """
    from septum.errors import StateError
    from septum.forecast import last_of_manifest
    from septum.manifest import NAME, from_json
    from septum.units import count

    file = path / NAME if path.is_dir() else path
    if not file.exists():
        if not must:
            return None
        raise StateError(
            f"plan: there is no result of a run in {path}",
            evidence=f"{file} does not exist",
            fix="name the folder that 'septum run' or a CI job wrote, with septum.json in it",
        )
    try:
        text = _text(file)
    except (OSError, ValueError) as error:
        raise StateError(f"plan: {file} cannot be read", evidence=str(error), fix="name another folder") from error
    last = last_of_manifest(from_json(text, name=str(file)), source=str(file))
    if not last.parts:
        raise StateError(
            f"plan: the run in {path} tells nothing: none of its {count(last.missing, 'part')} delivered",
            fix="name the result folder of another run: septum plan --last FOLDER",
        )
    return last


def _text(file: Path) -> str:
    """A manifest as text.

    Raises:
        OSError: It cannot be read.
        ValueError: It is none: a device, no text, or too large.
    """
    if not file.is_file():
        raise ValueError("it is no regular file")
    if file.stat().st_size > _LARGEST_MANIFEST_B:
        raise ValueError(f"it has more than {_LARGEST_MANIFEST_B} bytes")
    return file.read_text(encoding="utf-8")


def _of_state(options: Options) -> Last | None:
    """What the ledger of the state folder says of the parts that are in."""
    from septum.errors import StateError
    from septum.forecast import last_of_ledger
    from septum.state import State

    receipt = receipt_of(options.state)
    fingerprints: Mapping[str, str] = {}
    name = ""
    with contextlib.suppress(StateError):
        plan = State(options.state).load_plan()
        fingerprints, name = {part.id: part.fingerprint for part in plan.parts}, plan.name
    with copied_ledger(options.state) as ledger:
        if ledger is None:
            return None
        last = last_of_ledger(
            ledger.rows(),
            ledger.outputs(),
            ledger.submitted_s(),
            fingerprints=fingerprints,
            name=name,
            run=ledger.facts().get("tag", ""),
            cluster=receipt.cluster if receipt is not None else "",
            source=str(options.state / "run.sqlite"),
        )
    return last if last.parts else None


# ── the last good pipeline ──────────────────────────────────────────────────────────────────────────────────────


def _of_pipeline(options: Options) -> tuple[Last | None, list[str]]:
    """What the artifact of the default branch says, where GitLab can be asked; and why not."""
    from septum.errors import SeptumError
    from septum.forge import JOB_TOKEN, TOKEN

    environ = options.environ
    if any(not environ.get(name) for name in _NEEDED) or not (environ.get(TOKEN) or environ.get(JOB_TOKEN)):
        return None, [f"GitLab was not asked: {', '.join(_NEEDED)} and {TOKEN} are not all set"]
    try:
        with tempfile.TemporaryDirectory(prefix="septum-plan-") as scratch:
            return _fetched(options, Path(scratch)), []
    except SeptumError as error:
        # A look at a plan needs no GitLab.
        return None, [": ".join(filter(None, [error.what.removeprefix("compare: "), error.evidence]))]


def _fetched(options: Options, scratch: Path) -> Last | None:
    from septum.compare import archive, pipelines

    job = options.environ.get("SEPTUM_REFERENCE_JOB") or f"{options.prefix or inputs.JOB_PREFIX.default}collect"
    environ = {**options.environ, "CI_JOB_NAME": job, "SEPTUM_REFERENCE_JOB": job}
    forge = pipelines.forge_of(environ)
    if forge is None:
        return None
    ref = pipelines.ref_of(pipelines.DEFAULT_BRANCH, environ)
    found = pipelines.fetch_artifact(forge, ref, tag=False, target=scratch / "artifact.zip")
    if found is None:
        return None
    with archive.opened(found.path, name=f"the artifact of {found.found}") as opened:
        return _of_artifact(opened, folder=options.result.name, name=found.found)


def _of_artifact(opened: zipfile.ZipFile, *, folder: str, name: str) -> Last | None:
    from septum.compare.archive import find_listing
    from septum.forecast import last_of_manifest
    from septum.manifest import NAME, from_json

    listing = find_listing(opened, folder=folder, name=f"the artifact of {name}")
    if listing is None:
        return None
    member = NAME if listing[1] == "." else f"{listing[1]}/{NAME}"
    with opened.open(member) as stream:
        text = stream.read(_LARGEST_MANIFEST_B).decode("utf-8", "replace")
    last = last_of_manifest(from_json(text, name=f"{NAME} of {name}"), source=name)
    return last if last.parts else None

"""What follows a merge: large files go to storage, the results are compared, described and shown.

None of it can cost a result that is there: what fails here is a warning, or the error that the user asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import NotComparableError, SeptumError, TryAgainError
from septum.ledger import StoredOutput
from septum.manifest import NAME as MANIFEST
from septum.manifest import Failure, Manifest, PartFacts, from_json, to_json
from septum.plan import Plan
from septum.state import write_whole
from septum.states import PartState
from septum.verify import measure

if TYPE_CHECKING:
    from septum.collect import Clock
    from septum.compare.verdicts import Comparison
    from septum.credentials import Credentials
    from septum.ledger import Ledger
    from septum.upload.upload import Uploaded

COMPARISON = "compare.json"
_KEPT = "parts"
_EVENTS_B = 20 << 20

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What was found of a run's results.

    Attributes:
        manifest: The run, with the places of what was published.
        comparison: With the reference; None when nothing was compared.
        error: What the run ends with because of it; None when all is as it was asked for.
    """

    manifest: Manifest
    comparison: Comparison | None
    error: SeptumError | None


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a result folder.

    Raises:
        StateError: It is damaged.
        OSError: There is none.
    """
    return from_json((folder / MANIFEST).read_text(encoding="utf-8"), name=str(folder / MANIFEST))


# ── storage ─────────────────────────────────────────────────────────────────────────────────────────────────────


def bring_to_storage(
    folder: Path,
    plan: Plan,
    stored: Mapping[tuple[str, int], StoredOutput],
    outputs: Path,
    *,
    environ: Mapping[str, str],
    credentials: Credentials,
    clock: Clock,
    say: Say,
) -> None:
    """Bring what `publish:` names to storage, and write the places into the manifest.

    The files stay in the folder until all that reads them is done, see `drop_published`.

    Args:
        folder: The result folder.
        plan: The plan.
        stored: All verified outputs.
        outputs: The folder that they are relative to.
        environ: The environment.
        credentials: Open ones.
        clock: Time.
        say: Takes lines for people.

    Raises:
        SeptumError: A file could not be brought there; the manifest is as it was.
    """
    if plan.publish is None:
        return
    from septum.upload.upload import upload_all

    manifest = read_manifest(folder)
    files = {result.file: folder / result.file for result in manifest.results}
    if plan.publish.outputs and manifest.results:
        files |= {_output_name(plan, item): outputs / item.path for item in stored.values()}
    if not files:
        return
    uploaded = upload_all(
        plan.publish, files, run=manifest.run, environ=environ, credentials=credentials, clock=clock, say=say
    )
    write_whole(folder / MANIFEST, to_json(_with_places(manifest, uploaded)))


class Foresight:
    """Says once, while the run goes on, that its results will be too large for an artifact.

    Args:
        plan: The plan.
        ledger: Its ledger.
        environ: The environment; outside of a CI job there is no artifact.
    """

    def __init__(self, plan: Plan, ledger: Ledger, environ: Mapping[str, str]) -> None:
        from septum.upload.forecast import artifact_limit

        self._plan, self._ledger = plan, ledger
        self._limit_b = artifact_limit(environ).size_b
        self._looks = [] if environ.get("GITLAB_CI") != "true" else [0.05, 0.25, 0.5]

    def __call__(self) -> list[str]:
        """A warning, or nothing."""
        from septum.upload.forecast import forecast

        count = len(self._plan.parts)
        counts = self._ledger.counts() if self._looks else {}
        done = counts.get(PartState.VERIFIED, 0)
        if not self._looks or done < self._looks[0] * count or not done:
            return []
        self._looks.pop(0)
        growing, fixed = self._sizes()
        found = forecast(growing, done, count, self._limit_b, fixed_b=fixed)
        if found is None or not found.near or self._plan.publish is not None:
            return []
        self._looks = []
        return [f"{found}; 'publish:' in septum.yaml brings large files to storage"]

    def _sizes(self) -> tuple[int, int]:
        """Bytes of the outputs that make the results larger with every part, and of those that do not."""
        growing = 0
        largest: dict[int, int] = {}
        for (_, number), item in self._ledger.outputs().items():
            path = self._plan.outputs[number].path
            if number in self._plan.merged_outputs and path.endswith(".root") and not self._is_large(item):
                largest[number] = max(largest.get(number, 0), item.size_b)
            else:
                growing += item.size_b
        results = [merge.output for merge in self._plan.merges]
        return growing, sum(largest[number] * results.count(number) for number in largest)

    @staticmethod
    def _is_large(item: StoredOutput) -> bool:
        """Whether an output is more likely events than histograms, as far as its size shows."""
        return item.size_b > _EVENTS_B


def check_size(folder: Path, plan: Plan, *, environ: Mapping[str, str], say: Say) -> None:
    """See whether GitLab will take the result folder, while the jobs still have their outputs.

    Raises:
        TooLargeError: It would not.
    """
    from septum.upload.forecast import artifact_limit, check

    manifest = read_manifest(folder)
    gone = {folder / result.file for result in manifest.results if result.url}
    gone |= {folder / _KEPT / part.id / output.path for part in manifest.parts for output in part.outputs if output.url}
    staying = [path for path in folder.rglob("*") if path.is_file() and path not in gone]
    if warning := check(staying, artifact_limit(environ), environ, publishes=plan.publish is not None):
        say(f"warning: {warning}")


def note_failure(folder: Path, error: SeptumError) -> None:
    """Write into the manifest what a run ends with whose results stand in the folder."""
    failure = Failure(
        code=error.code, exit_code=error.exit_code, what=error.what, evidence=error.evidence, fix=error.fix
    )
    write_whole(folder / MANIFEST, to_json(replace(read_manifest(folder), complete=False, error=failure)))


def _output_name(plan: Plan, item: StoredOutput) -> str:
    return f"{_KEPT}/{item.part}/{plan.output_path(plan.by_id[item.part], item.output)}"


def _with_places(manifest: Manifest, uploaded: Mapping[str, Uploaded]) -> Manifest:
    def of_part(part: PartFacts) -> PartFacts:
        outputs = []
        for output in part.outputs:
            there = uploaded.get(f"{_KEPT}/{part.id}/{output.path}")
            outputs.append(replace(output, url=there.url, verified_by=there.verified_by) if there else output)
        return replace(part, outputs=tuple(outputs))

    results = tuple(
        replace(result, url=uploaded[result.file].url, verified_by=uploaded[result.file].verified_by)
        if result.file in uploaded
        else result
        for result in manifest.results
    )
    return replace(manifest, results=results, parts=tuple(of_part(part) for part in manifest.parts))


def drop_published(folder: Path, manifest: Manifest) -> None:
    """Remove from the result folder what is on storage now."""
    for result in manifest.results:
        if result.url:
            (folder / result.file).unlink(missing_ok=True)
    for part in manifest.parts:
        for output in part.outputs:
            if output.url:
                (folder / _KEPT / part.id / output.path).unlink(missing_ok=True)


# ── comparison, crate, reports ──────────────────────────────────────────────────────────────────────────────────


def finish(
    folder: Path, plan: Plan, *, root: Path, prefix: str, environ: Mapping[str, str], say: Say
) -> Finished:  # fmt: skip
    """Compare the results, describe where they come from, and write every report.

    Args:
        folder: The result folder, with the manifest and what it names.
        plan: The plan.
        root: The folder of `septum.yaml`, which paths of references are relative to.
        prefix: The prefix of the CI jobs; it tells notes in a merge request apart.
        environ: The environment.
        say: Takes lines for people.

    Returns:
        What was found; an error is one that `compare:` asks for.
    """
    manifest = read_manifest(folder)
    with tempfile.TemporaryDirectory(prefix="septum-reference-") as scratch:
        comparison, error, references = _compared(folder, manifest, plan, root, Path(scratch), environ, say)
        _report(folder, manifest, comparison, references, prefix, environ, say)
    _describe(folder, manifest, plan, say)
    drop_published(folder, manifest)
    # What a later `septum verify` prints, too: whoever wrote it down can tell that nobody changed the manifest since.
    if manifest.results:
        say(f"manifest: {folder / MANIFEST}, sha256 {measure(folder / MANIFEST)[1]}")
    return Finished(manifest=manifest, comparison=comparison, error=error)


def _compared(
    folder: Path,
    manifest: Manifest,
    plan: Plan,
    root: Path,
    scratch: Path,
    environ: Mapping[str, str],
    say: Say,
) -> tuple[Comparison | None, SeptumError | None, Mapping[str, Path]]:
    from septum.compare.document import to_json as comparison_to_json
    from septum.compare.results import compare_results, given_of

    if not manifest.results:
        return None, None, {}
    references: dict[str, Path] = {}
    try:
        comparison = compare_results(
            given_of(manifest, folder),
            plan.compare,
            environ=environ,
            root=root,
            scratch=scratch,
            work=manifest.work,
            on_found=lambda files: references.update({item.name: item.path for item in files}),
        )
    except (NotComparableError, TryAgainError) as error:
        return None, error, {}
    except Exception as error:
        if plan.compare.reproducibility == "report":
            say(f"warning: the results were not compared: {type(error).__name__}: {error}")
            return None, None, {}
        raise
    write_whole(folder / COMPARISON, comparison_to_json(comparison))
    return comparison, comparison.failure(), references


def _report(
    folder: Path,
    manifest: Manifest,
    comparison: Comparison | None,
    references: Mapping[str, Path],
    prefix: str,
    environ: Mapping[str, str],
    say: Say,
) -> None:
    from septum.report import markdown, note
    from septum.report.write import write_all

    def warn(text: str) -> None:
        say(f"warning: {text}")

    write_all(folder, manifest, comparison, references=references, environ=environ, warn=warn)
    summary = folder / markdown.NAME
    if note.wanted(environ) and summary.is_file():
        note.put(summary.read_text(encoding="utf-8"), name=manifest.name, prefix=prefix, environ=environ, warn=warn)


def _describe(folder: Path, manifest: Manifest, plan: Plan, say: Say) -> None:
    from septum.provenance.crate import write_crate

    try:
        write_crate(folder, manifest, plan, files=_beside(folder))
    except Exception as error:  # noqa: BLE001 - the result is worth more than its description
        say(f"warning: the research object was not written: {type(error).__name__}: {error}")


_SENTENCES = {
    "summary.md": "the run in a page of text",
    "report.html": "the results as plots and tables",
    "junit.xml": "one test case for each part, for GitLab",
    "metrics.txt": "numbers of the run in OpenMetrics",
    "annotations.json": "links for GitLab",
    COMPARISON: "every object compared with the reference",
}


def _beside(folder: Path) -> dict[str, str]:
    return {name: says for name, says in _SENTENCES.items() if (folder / name).is_file()}


REPORTS: Sequence[str] = (*_SENTENCES, "ro-crate-metadata.json", "plan.json")
"""Every file that stands beside results and manifest."""

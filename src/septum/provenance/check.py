"""Proves that a result and its manifest belong together, from the files alone, long after the run.

Every check ends in one of three ways: it holds, it does not, or it could not be made, and why. Nothing is believed
because a manifest says so: paths are looked at before they are opened, and every file is read in full.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from septum.errors import ProvenanceError, SeptumError, UsageError
from septum.manifest import NAME, Manifest, PartFacts, PartOutput, ResultFile, from_json
from septum.plan import Plan
from septum.plan import from_json as plan_from_json
from septum.provenance import consistency
from septum.provenance.actions import KEPT
from septum.provenance.consistency import Check, Verdict, ok, one_line, several, unknown, wrong
from septum.provenance.crate import NAME as CRATE
from septum.provenance.entities import PLAN, published
from septum.provenance.places import locate, read_text
from septum.provenance.stamp import read_inscription, safe_name
from septum.units import count, show_size
from septum.verify import measure
from septum.worker.sandbox import output_name

_LEVELS = 8
"""So far above a file its manifest is looked for: the name of a result may hold folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What `examine` found.

    Attributes:
        name: The analysis.
        checks: All of them, in the order in which they were made.
    """

    name: str
    checks: tuple[Check, ...]

    def having(self, verdict: Verdict) -> tuple[Check, ...]:
        """The checks that ended in one way."""
        return tuple(check for check in self.checks if check.verdict is verdict)

    def error(self, *, strict: bool) -> ProvenanceError | None:
        """The error that follows; None when everything holds.

        Args:
            strict: Whether what could not be checked is an error, too.
        """
        failed = [*self.having(Verdict.WRONG), *(self.having(Verdict.UNKNOWN) if strict else ())]
        if not failed:
            return None
        return ProvenanceError(
            f"{self.name}: {len(failed)} of {count(len(self.checks), 'check')} {'does' if len(failed) == 1 else 'do'} "
            f"not hold{', or could not be made' if strict else ''}",
            evidence="\n".join(f"{check.subject}: {check.says}" for check in failed[:20]),
            fix="take the whole result folder from the artifact of the pipeline again; do not use this one",
        )


def examine(result: Path, *, parts: Path | None = None) -> Proof:
    """Check a result.

    Args:
        result: A result folder, or one result in it.
        parts: A folder with the outputs of the parts: `0007/hists.root`, or as a state folder has them.

    Raises:
        UsageError: There is no such file or folder.
        ProvenanceError: There is no manifest with it, or one that cannot be read.
    """
    if not result.exists():
        raise UsageError(f"verify: there is no {result}", fix="name a result folder, or a ROOT file in one")
    if parts is not None and not parts.is_dir():
        raise UsageError(f"verify: --parts: {parts} is not a folder", fix="name the folder of the outputs")
    if result.name == NAME:
        result = result.parent
    folder, only = (result, None) if result.is_dir() else _folder_of(result)
    manifest, first = _manifest(folder)
    checks = [first, *consistency.check_parts(manifest), *consistency.check_complete(manifest)]
    checks += [*consistency.check_work(manifest), *consistency.check_stamps(manifest)]
    checks += [*_check_plan(folder, manifest), *_check_results(folder, manifest, only)]
    checks += [*_check_crate(folder, manifest, only), *_check_outputs(folder, manifest, parts)]
    if not manifest.results and not any(part.outputs for part in manifest.parts):
        code = f": the run ended with {manifest.error.code}" if manifest.error else ""
        checks.append(wrong("result", f"there is none to be checked{code}"))
    return Proof(name=one_line(manifest.name), checks=tuple(checks))


# ── the manifest ────────────────────────────────────────────────────────────────────────────────────────────────


def _folder_of(result: Path) -> tuple[Path, str]:
    """The result folder that a file stands in, and its path there."""
    path = result.absolute()
    for folder in list(path.parents)[:_LEVELS]:
        if (folder / NAME).is_file():
            return folder, path.relative_to(folder).as_posix()
    raise ProvenanceError(
        f"verify: there is no {NAME} with {result}",
        evidence=f"looked for in its folder, and in those above it up to the {_LEVELS}th",
        fix="keep the file in the result folder, as it is in the artifact",
    )


def _manifest(folder: Path) -> tuple[Manifest, Check]:
    try:
        text = read_text(folder, NAME)
        manifest = from_json(text, name=NAME)
        _check_types(Manifest, text)
    except (FileNotFoundError, ValueError, RecursionError, SeptumError) as error:
        detail = f"{error.what}: {error.evidence}" if isinstance(error, SeptumError) else str(error)
        raise ProvenanceError(
            f"verify: {NAME} in {folder} cannot be read",
            evidence=one_line(detail) if not isinstance(error, FileNotFoundError) else "it is not there",
            fix="take the whole result folder from the artifact again",
        ) from error
    sha256 = hashlib.sha256(text.encode("utf-8")).hexdigest()
    says = f"run {manifest.run} on {manifest.cluster}, septum {manifest.septum}; sha256 {sha256}"
    return manifest, ok(NAME, says)


def _check_types(kind: type, text: str) -> None:
    """Refuse a number where a text should be: it must not surprise a check later.

    Raises:
        ValueError: As pydantic words it.
    """
    from pydantic import TypeAdapter

    TypeAdapter(kind).validate_json(text, strict=True)


def _check_plan(folder: Path, manifest: Manifest) -> Iterator[Check]:
    try:
        text = read_text(folder, PLAN)
        plan = plan_from_json(text, name=PLAN)
        _check_types(Plan, json.dumps(json.loads(text)["plan"]))
    except FileNotFoundError:
        yield unknown("plan", f"there is no {PLAN}, so the values of the parts are not compared with it")
    except (ValueError, RecursionError, SeptumError) as error:
        yield wrong("plan", error.what if isinstance(error, SeptumError) else f"{PLAN} {error}")
    else:
        yield from consistency.check_plan(manifest, plan)


# ── the results ─────────────────────────────────────────────────────────────────────────────────────────────────


def _check_results(folder: Path, manifest: Manifest, only: str | None) -> Iterator[Check]:
    for result in manifest.results:
        if only in {None, result.file}:
            yield from _check_result(folder, result)
    if only is not None and only not in {result.file for result in manifest.results}:
        _, sha256 = measure(folder / only)
        true = next((result.file for result in manifest.results if result.sha256 == sha256), None)
        yield wrong(only, f"was renamed: it is {true}" if true else "is no result of this manifest")
    others = sum(result.file != only for result in manifest.results) if only is not None else 0
    if others:
        yield unknown("other files", f"{count(others, 'result')} beside {only}, which alone was asked for")


def _check_result(folder: Path, result: ResultFile) -> Iterator[Check]:
    try:
        path = locate(folder, result.file)
    except FileNotFoundError:
        if result.url:
            place = published(result.url) or "an address that is none"
            yield unknown(result.file, f"was published to {place}, and is not here")
        else:
            yield wrong(result.file, "is not there")
        return
    except ValueError as error:
        yield wrong(result.file, str(error))
        return
    size_b, sha256 = measure(path)
    if not sha256:
        yield wrong(result.file, "cannot be read")
        return
    if (size_b, sha256) == (result.size_b, result.sha256):
        yield ok(result.file, f"{show_size(size_b)}, sha256 {sha256[:16]}… as recorded")
    else:
        yield wrong(
            result.file, f"{size_b} B, sha256 {sha256[:16]}…; recorded {result.size_b} B, sha256 {result.sha256[:16]}…"
        )
    yield _check_inside(path, result)


def _check_inside(path: Path, result: ResultFile) -> Check:
    """Compare what stands inside of a file with what the manifest says of it."""
    try:
        found = read_inscription(path)
    except SeptumError as error:
        return wrong(result.file, f"inside: {error.evidence}")
    if found is None:
        if result.stamp:
            return wrong(result.file, "carries no stamp inside, and one is recorded")
        own = result.own is not None and result.own.ran
        why = "the framework's own command wrote it" if own else "none is recorded"
        return unknown(result.file, f"carries no stamp inside, and {why}")
    if found.stamp != result.stamp:
        return wrong(result.file, f"carries the stamp {found.stamp[:23]}… inside, which is not the one recorded")
    if found.name and found.name != safe_name(result.name):
        return wrong(result.file, f"is {found.name} by what stands inside")
    return ok(result.file, f"carries this stamp inside{', and its name' if found.name else ''}")


# ── the crate ───────────────────────────────────────────────────────────────────────────────────────────────────


def _check_crate(folder: Path, manifest: Manifest, only: str | None) -> Iterator[Check]:
    try:
        files = _files_of(json.loads(read_text(folder, CRATE)))
    except FileNotFoundError:
        yield unknown(CRATE, "there is none")
        return
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield wrong(CRATE, f"cannot be read: {type(error).__name__}: {error}")
        return
    results = {_crate_id(result) for result in manifest.results}
    others = [name for name in files if name not in results and not published(name)]
    found = [f"does not speak of {name}" for name in sorted({*results, NAME, PLAN} - files.keys())]
    found += [text for result in manifest.results if (text := _misdescribed(result, files))]
    found += [
        text for name in others if only is None or name in {NAME, PLAN} if (text := _differs(folder, name, files[name]))
    ]
    yield from several(CRATE, found)
    if not found:
        yield ok(CRATE, f"names the same sha256 of {count(len(files), 'file')}")


def _files_of(crate: Any) -> dict[str, tuple[Any, Any]]:
    """The files that a crate speaks of: size and sha256 by identifier.

    Raises:
        ValueError: Two entities have the same identifier.
        KeyError: An entity has no identifier or no type, or
        TypeError: is none.
    """
    found = {}
    names = set()
    for entity in crate["@graph"]:
        name, kind = entity["@id"], entity["@type"]
        if not isinstance(name, str) or name in names:
            raise ValueError(f"{name!r} is described twice")
        names.add(name)
        if "File" in (kind if isinstance(kind, list) else [kind]):
            found[name] = (entity.get("contentSize"), entity.get("sha256"))
    return found


def _crate_id(result: ResultFile) -> str:
    return published(result.url) or quote(result.file)


def _misdescribed(result: ResultFile, files: Mapping[str, tuple[Any, Any]]) -> str:
    facts = files.get(_crate_id(result))
    if facts is None or facts == (str(result.size_b), result.sha256):
        return ""
    return f"has another sha256 or size of {result.file} than the manifest"


def _differs(folder: Path, name: str, facts: tuple[Any, Any]) -> str:
    """What is wrong with a file that the crate describes."""
    try:
        size_b, sha256 = measure(locate(folder, unquote(name)))
    except (FileNotFoundError, ValueError) as error:
        return f"{name} {'is not there' if isinstance(error, FileNotFoundError) else error}"
    same = bool(sha256) and facts == (str(size_b), sha256)
    return "" if same else f"has another sha256 or size of {name} than the file"


# ── the outputs of the parts ────────────────────────────────────────────────────────────────────────────────────


def _check_outputs(folder: Path, manifest: Manifest, given: Path | None) -> Iterator[Check]:
    """Compare the outputs that are still there with what the manifest recorded of them."""
    found = dict.fromkeys(("same", "published", "not here"), 0)
    errors = []
    for part in manifest.parts:
        for number, output in enumerate(part.outputs):
            what = _output(folder, given, part, number, output)
            if what in found:
                found[what] += 1
            else:
                errors.append(f"part {part.id}: {output.path} {what}")
    yield from several("outputs", errors)
    if found["same"]:
        yield ok("outputs", f"{count(found['same'], 'output')} of the parts: size and sha256 as recorded")
    if found["published"]:
        yield unknown("outputs", f"{count(found['published'], 'output')} of the parts were published, and are not here")
    if found["not here"]:
        more = "; give their folder with --parts" if given is None else ""
        yield unknown("outputs", f"{count(found['not here'], 'output')} of the parts: not here{more}")


def _output(folder: Path, given: Path | None, part: PartFacts, number: int, output: PartOutput) -> str:
    """What became of an output: `same`, `published`, `not here`, or what is wrong with it."""
    places: list[Callable[[], Path]] = [lambda: locate(folder, f"{KEPT}/{part.id}/{output.path}")]
    if given is not None:
        places.append(lambda: locate(given, f"{part.id}/{output.path}"))
        places.append(lambda: locate(given, output_name(part.id, number)))
    for place in places:
        try:
            path = place()
        except FileNotFoundError:
            continue
        except ValueError as error:
            return str(error)
        size_b, sha256 = measure(path)
        same = bool(sha256) and (size_b, sha256) == (output.size_b, output.sha256)
        return "same" if same else "is not the file that was recorded"
    if output.url:
        return "published"
    # Who names a folder says that they are there.
    return "not here" if given is None else "is not there"

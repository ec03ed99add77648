"""Finds the reference of a comparison, wherever it is: a path, a folder, a URL, the pipeline of a branch or a tag."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from septum.compare import archive, pipelines
from septum.compare.files import Given
from septum.compare.listing import Listing, read_listing
from septum.compare.transfer import AbsentError, download, shown
from septum.compare.verdicts import Reference, printable
from septum.errors import NotComparableError
from septum.manifest import NAME
from septum.verify import measure

NONE = "none"
_LARGEST_MANIFEST_B = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A reference whose files are on this machine.

    Attributes:
        reference: What it is.
        files: Its results.
        listed: Whether these are all that it has: what is not here, is missing here.
    """

    reference: Reference
    files: Sequence[Given]
    listed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """There is no reference, and that is no mistake."""

    reason: str


def is_named(asked: str) -> bool:
    """Whether somebody named this reference, so that it should exist."""
    return asked not in {NONE, pipelines.DEFAULT_BRANCH}


def find(
    asked: str,
    names: Collection[str],
    *,
    environ: Mapping[str, str],
    root: Path,
    scratch: Path,
    work: str = "",
    everything: bool = False,
) -> Found | Nothing:
    """Find a reference and bring its files here.

    Args:
        asked: `default-branch`, `tag:NAME`, `none`, a path or a URL.
        names: The results that there are to be compared.
        environ: GitLab's variables, tokens, and the credentials of XRootD's client.
        root: What relative paths are relative to.
        scratch: A folder for what is downloaded.
        work: The hash of the work of this run; empty when nobody knows.
        everything: Take all files of a folder without a manifest, not only those of the results' names.

    Raises:
        NotComparableError: It should exist and does not, may not be read, or is damaged.
        TryAgainError: Whoever has it does not answer.
    """
    if asked == NONE:
        return Nothing(reason="no comparison is asked for")
    if asked == pipelines.DEFAULT_BRANCH or asked.startswith(pipelines.TAG):
        return _of_pipeline(asked, names, environ=environ, scratch=scratch, work=work)
    if "://" in asked:
        return _of_url(asked, names, environ=environ, scratch=scratch, work=work)
    path = root / asked
    if path.is_dir() and (listing := read_folder(path)) is not None:
        files = _of_folder(path, listing, names, environ=environ, scratch=scratch)
        return Found(reference=listing.reference(asked, found=asked, work=work), files=files, listed=True)
    return _of_path(asked, path, names, everything=everything)


# ── a path ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_path(asked: str, path: Path, names: Collection[str], *, everything: bool) -> Found:
    if path.is_file():
        return Found(reference=Reference(asked=asked, found=asked), files=[_only(path, names, asked)], listed=False)
    if not path.is_dir():
        raise NotComparableError(
            f"compare: the reference {printable(asked)} does not exist",
            evidence=f"looked at {printable(str(path), 300)}",
            fix="correct 'compare: reference' in septum.yaml; a path is relative to its folder",
        )
    found = sorted(comparable(path)) if everything else [name for name in sorted(names) if (path / name).is_file()]
    files = [Given(name=name, path=path / name) for name in found]
    return Found(reference=Reference(asked=asked, found=asked), files=files, listed=everything)


def _only(path: Path, names: Collection[str], asked: str) -> Given:
    """A reference that is one file: that of the one result, or of the one of its name."""
    chosen = list(names) if len(names) == 1 else [name for name in names if PurePosixPath(name).name == path.name]
    if len(chosen) != 1:
        raise NotComparableError(
            f"compare: {printable(asked)} is one file, and there are {len(names)} results",
            evidence="none of them, or several, have its name: " + printable(", ".join(sorted(names))),
            fix="name a folder that holds files of the results' names",
        )
    return Given(name=chosen[0], path=path)


def read_folder(folder: Path) -> Listing | None:
    """The manifest of a result folder, if there is one.

    Raises:
        NotComparableError: It is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    return read_listing(path.read_text(encoding="utf-8", errors="replace"), name=str(path))


def _of_folder(
    folder: Path, listing: Listing, names: Collection[str], *, environ: Mapping[str, str], scratch: Path
) -> list[Given]:
    """The results of a result folder, and those that were published elsewhere."""
    given = []
    for number, item in enumerate(listing.results.values()):
        path = folder / item.file
        if item.name in names and item.url and not path.is_file():
            path = scratch / f"{number}{PurePosixPath(item.name).suffix}"
            archive.fetch_published(item, path, environ)
        elif item.name in names and path.is_file() and measure(path)[1] != item.sha256:
            raise archive.changed(item)
        given.append(Given(name=item.name, path=path, sha256=item.sha256, parts=item.parts, missing=item.missing))
    return given


def comparable(folder: Path) -> list[str]:
    """The files of a folder that septum can look into, by their paths in it."""
    from septum.merge.formats import endings

    known = (".root", *endings())
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(known))
    names = [path.relative_to(folder).as_posix() for path in paths]
    # What septum itself puts beside results; in a folder without a manifest, there is no other way to tell.
    return [
        name for name in names if not name.startswith((".", "logs/", "parts/")) and name not in {NAME, "compare.json"}
    ]


# ── a URL ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_url(asked: str, names: Collection[str], *, environ: Mapping[str, str], scratch: Path, work: str) -> Found:
    clean = shown(asked)
    folder = asked.rstrip("/")
    query = urlsplit(asked).query
    if not asked.endswith("/") and (query or PurePosixPath(urlsplit(asked).path).suffix):
        path = scratch / f"reference{PurePosixPath(urlsplit(asked).path).suffix}"
        _fetch(asked, path, environ)
        given = replace(_only(Path(PurePosixPath(urlsplit(asked).path).name), names, clean), path=path)
        return Found(reference=Reference(asked=clean, found=clean), files=[given], listed=False)
    listing = _remote_listing(folder, scratch, environ)
    files = []
    for number, name in enumerate(sorted(names)):
        path = scratch / f"{number}{PurePosixPath(name).suffix}"
        item = listing.results.get(name) if listing else None
        if listing and item is None:
            continue
        try:
            download(f"{folder}/{item.file if item else name}", path, environ=environ)
        except AbsentError:
            if item:
                raise NotComparableError(
                    f"compare: {printable(name)} is not in {clean}, though the manifest there says so",
                    fix="name another reference under 'compare: reference' in septum.yaml",
                ) from None
            continue
        if item and measure(path)[1] != item.sha256:
            raise archive.changed(item)
        files.append(Given(name=name, path=path, sha256=item.sha256 if item else "", parts=item.parts if item else 0))
    if not files:
        raise NotComparableError(
            f"compare: the reference {clean} does not exist, or has none of the results",
            evidence="looked for: " + printable(", ".join(sorted(names)), 300),
            fix="correct 'compare: reference' in septum.yaml; a folder holds files of the results' names",
        )
    if listing is None:
        return Found(reference=Reference(asked=clean, found=clean), files=files, listed=False)
    others = [Given(name=name, path=scratch / "none") for name in listing.results if name not in names]
    return Found(reference=listing.reference(clean, found=clean, work=work), files=[*files, *others], listed=True)


def _fetch(url: str, path: Path, environ: Mapping[str, str]) -> None:
    try:
        download(url, path, environ=environ)
    except AbsentError as error:
        raise NotComparableError(
            f"compare: the reference {shown(url)} does not exist",
            evidence=str(error),
            fix="correct 'compare: reference' in septum.yaml",
        ) from error


def _remote_listing(folder: str, scratch: Path, environ: Mapping[str, str]) -> Listing | None:
    path = scratch / NAME
    try:
        download(f"{folder}/{NAME}", path, environ=environ, limit_b=_LARGEST_MANIFEST_B)
    except AbsentError:
        return None
    return read_listing(path.read_text(encoding="utf-8", errors="replace"), name=f"{shown(folder)}/{NAME}")


# ── a pipeline ──────────────────────────────────────────────────────────────────────────────────────────────────


def _of_pipeline(
    asked: str, names: Collection[str], *, environ: Mapping[str, str], scratch: Path, work: str
) -> Found | Nothing:
    forge = pipelines.forge_of(environ)
    if forge is None:
        return Nothing(reason=f"{asked} is known in a CI job of GitLab only")
    ref, tag = pipelines.ref_of(asked, environ), asked.startswith(pipelines.TAG)
    if not ref:
        raise NotComparableError("compare: 'tag:' names no tag", fix="write it in septum.yaml as reference: 'tag:v1.2'")
    found = pipelines.fetch_artifact(forge, ref, tag=tag, target=scratch / "artifact.zip")
    if found is None:
        reason = (
            f"no successful pipeline of {printable(ref)} has an artifact of {printable(forge.job)}, or it has expired"
        )
        if tag:
            raise NotComparableError(
                f"compare: {reason}",
                fix="run the pipeline of that tag again, keep its artifacts, or name another reference",
            )
        return Nothing(reason=reason)
    name = f"the artifact of {found.found}"
    with archive.opened(found.path, name=name) as opened:
        folder = environ.get("SEPTUM_RESULT") or "result"
        manifest = archive.find_listing(opened, folder=folder, name=name)
        if manifest is None:
            files = archive.take_plain(opened, folder=folder, wanted=names, scratch=scratch / "files")
            if not files:
                raise NotComparableError(
                    f"compare: {name} has no result of septum in it, and none of the files that are compared",
                    evidence=f"there is no {folder}/{NAME}, and in {folder}/ none of: "
                    + printable(", ".join(sorted(names)), 300),
                    fix="name another reference, or in a component the CI job that made it: reference-job",
                )
            found.path.unlink()
            return Found(reference=_plainly(asked, found), files=files, listed=False)
        listing, inside = manifest
        if listing.origin.get("pipeline-url") and listing.origin["pipeline-url"] == environ.get("CI_PIPELINE_URL"):
            return Nothing(reason=f"the newest successful pipeline of {printable(ref)} is this one")
        files = archive.take_out(
            opened, listing, folder=inside, wanted=names, scratch=scratch / "files", environ=environ
        )
    found.path.unlink()
    return Found(reference=_described(asked, found, listing, work), files=files, listed=True)


def _plainly(asked: str, found: pipelines.Artifact) -> Reference:
    return Reference(
        asked=asked, found=found.found, commit=found.commit, url=found.url, ref=found.ref, pipeline=found.pipeline
    )


def _described(asked: str, found: pipelines.Artifact, listing: Listing, work: str) -> Reference:
    reference = listing.reference(asked, found=found.found, work=work, pipeline=found.pipeline)
    if not found.pipeline and reference.pipeline:
        reference = replace(reference, found=f"pipeline {reference.pipeline} of {printable(found.ref)}")
    return replace(
        reference,
        commit=found.commit or reference.commit,
        url=found.url or reference.url,
        ref=reference.ref or found.ref,
    )

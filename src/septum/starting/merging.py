"""Merges a newer starter into a repository, by copier's three-way update; what the user has changed stays.

What is fetched is one clone of the starter's repository, and copier is given that clone: it reaches no network.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import septum
from septum import yamltext
from septum.errors import StarterError
from septum.starting import copying, gitting, source, versions
from septum.starting.versions import FILE, Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """What an update did.

    Attributes:
        before: The version of the starter so far.
        after: The version now.
        files: What has changed, relative to the repository.
        conflicts: Those of them in which a person decides between two changes of the same lines.
        kept: Files that the starter has no more, and that stay since the user has changed them.
    """

    before: str
    after: str
    files: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def update(folder: Path, *, to: str = "", starter: str = "", say: Callable[[str], None] = lambda _: None) -> Updated:
    """Merge the starter of a version into a repository; nothing is committed.

    Args:
        folder: The repository, with `.copier-answers.yml` at its top; everything in it is committed.
        to: The version; that of this septum by default.
        starter: Another repository of the starter: an address, which is remembered, or a clone on this machine.
        say: Takes lines for people.

    Raises:
        StarterError: The repository cannot be updated; it is as it was.
        AnswerError: It remembers an answer that cannot be taken.
        TryAgainError: The server did not answer.
    """
    copying.require_copier()
    _require_clean(folder)
    old = versions.recorded(yamltext.read(folder / FILE, StarterError, FILE).data)
    to = to or septum.__version__
    if versions.parse(to) == versions.parse(old.version):
        return Updated(before=old.version, after=to)
    if versions.parse(to) < versions.parse(old.version):
        raise StarterError(
            f"update: the repository is of version {old.version}, which is newer than {to}",
            fix=f"{source.pip_install('laptop', old.version)}; or --to a newer version",
        )
    with tempfile.TemporaryDirectory(prefix="septum-update-") as temporary:
        own = Path(temporary)
        say(f"the starter from {old.version} to {to}: {starter or old.address}")
        clone = _clone(starter or old.address, own)
        for version in (old.version, to):
            _require_tag(clone, version)
        answers = _renamed(old, to, clone, own)
        _require_room(folder, _rendered("after", old, to, answers, clone, own))
        try:
            _merge(folder, old, to, answers, clone, own)
            kept = _keep_changed(folder, old, clone, own)
        except BaseException:
            # All was committed before, so all is there: back to it, whatever was begun.
            gitting.git(folder, "reset", "--quiet", "--hard", "HEAD")
            gitting.git(folder, "clean", "--quiet", "--force", "-d")
            raise
    if starter and versions.is_address(starter):
        _remember(folder / FILE, old.address, starter)
    return _look(folder, old.version, to, kept)


def _require_clean(folder: Path) -> None:
    if not (folder / FILE).is_file():
        raise StarterError(
            f"update: there is no {FILE} in {folder.resolve()}",
            evidence="septum new writes it, and it remembers which starter the repository began with",
            fix="cd to the top of a repository that septum new made; for others there is septum adopt",
        )
    try:
        gitting.git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except StarterError as error:
        raise StarterError(
            "update: this is no Git repository with a commit, so nothing could be undone",
            evidence=error.evidence,
            fix='git init --initial-branch=main && git add --all && git commit --message "The starter"',
        ) from error
    # Whatever the user's settings of Git hide: a file that is in no commit would be lost if the update fails.
    status = gitting.git(folder, "status", "--porcelain", "--untracked-files=normal")
    if status:
        lines = status.splitlines()
        raise StarterError(
            "update: there are changes that are not committed",
            evidence="\n".join(lines[:8]),
            fix="git add --all && git commit, or git stash --include-untracked; then septum update",
        )


def _clone(where: str, own: Path) -> Path:
    """Fetch all versions, from an address or a folder, and from nothing else that Git would take for one."""
    local = Path(where)
    if not versions.is_address(where) and not (where and local.is_dir()):
        raise StarterError(
            f"update: {where[:100]!a} is no repository of a starter",
            fix="--starter https://HOST/PATH.git, or the path of a clone",
        )
    clone = own / "clone.git"
    gitting.git(
        own,
        "clone",
        "--quiet",
        "--mirror",
        "--",
        where if versions.is_address(where) else str(local.resolve()),
        str(clone),
        environ={"GIT_ALLOW_PROTOCOL": "https:ssh:file"},
        timeout_s=gitting.CLONE_S,
    )
    return clone


def _require_tag(clone: Path, version: str) -> None:
    try:
        gitting.git(clone, "cat-file", "-e", f"refs/tags/{version}:{source.CONFIG}")
    except StarterError as error:
        tags = gitting.git(clone, "tag", "--list").split()
        known = sorted(filter(re.compile(r"[0-9]").match, tags), reverse=True)[:8]
        raise StarterError(
            f"update: the repository of the starter has no version {version}",
            evidence=f"versions: {', '.join(known) or 'none'}",
            fix="--to one of these; --starter names another repository, such as a clone on this machine",
        ) from error


def _renamed(old: Recorded, to: str, clone: Path, own: Path) -> dict[str, Any]:
    """The answers that the newer starter knows by another name."""
    config = own / source.CONFIG
    config.write_text(gitting.git(clone, "show", f"refs/tags/{to}:{source.CONFIG}"), encoding="utf-8")
    document = yamltext.read(config, StarterError, f"{source.CONFIG} of version {to}").data
    return versions.renamed(document.get("_septum_renamed") if isinstance(document, dict) else None, old, to)


def _rendered(name: str, old: Recorded, version: str, renamed: Mapping[str, Any], clone: Path, own: Path) -> Path:
    """The starter of a version with the answers of the repository, in a folder of its own."""
    made = own / name
    words = ["copy", "--defaults", "--quiet", "--vcs-ref", version]
    words += copying.data_file(own, {**old.answers, **renamed})
    copying.run_copier([*words, old.address, str(made)], own, gitting.instead(old.address, clone, {}))
    return made


def _require_room(folder: Path, made: Path) -> None:
    """Look whether each file of the newer starter can be written without the loss of one that Git does not have."""
    tracked = set(_names(gitting.git(folder, "ls-files", "-z")))
    files = [path.relative_to(made) for path in sorted(made.rglob("*")) if not path.is_dir()]
    for file in files:
        target = folder / file
        above = [folder / parent for parent in file.parents if parent.parts]
        blocked = next((each for each in above if each.is_symlink() or each.is_file()), None)
        if blocked is None and target.is_dir() and not target.is_symlink():
            blocked = target
        if blocked is None and os.path.lexists(target) and file.as_posix() not in tracked:
            blocked = target
        if blocked is not None:
            raise StarterError(
                f"update: the newer starter has a file {file}, and something else is in its place",
                evidence=f"{blocked.relative_to(folder)}: a file that Git ignores, a link, or no file",
                fix="give that another name, commit if Git knows it, then septum update",
            )


def _merge(folder: Path, old: Recorded, to: str, answers: Mapping[str, Any], clone: Path, own: Path) -> None:
    data = copying.data_file(own, answers) if answers else []
    words = ["update", "--defaults", "--quiet", "--conflict", "inline", "--vcs-ref", to, *data, str(folder.resolve())]
    copying.run_copier(words, own, gitting.instead(old.address, clone, {}))


def _keep_changed(folder: Path, old: Recorded, clone: Path, own: Path) -> tuple[str, ...]:
    """Bring back the files that the user has changed and the starter has no more: copier removes these, too."""
    gone = _names(gitting.git(folder, "ls-files", "--deleted", "-z"))
    if not gone:
        return ()
    before = _rendered("before", old, old.version, {}, clone, own)
    kept = tuple(name for name in gone if _is_changed(folder, name, before / name))
    if kept:
        literal = {"GIT_LITERAL_PATHSPECS": "1"}
        gitting.git(folder, "checkout", "--quiet", "HEAD", "--", *kept, environ=literal)
    return kept


def _is_changed(folder: Path, name: str, before: Path) -> bool:
    if not before.is_file():
        return True
    committed = gitting.git(folder, "rev-parse", f"HEAD:./{name}")
    return committed != gitting.git(folder, "hash-object", "--path", name, "--", str(before))


def _remember(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8").replace(f"_src_path: {old}\n", f"_src_path: {new}\n")
    written = file.with_name(f"{file.name}.new")
    written.write_text(text, encoding="utf-8")
    os.replace(written, file)  # noqa: PTH105 - one word for the same


def _look(folder: Path, before: str, after: str, kept: tuple[str, ...]) -> Updated:
    # New files are made known to Git, not added: `git diff` shows them, and `git reset --hard` removes them.
    new = _names(gitting.git(folder, "ls-files", "--others", "--exclude-standard", "-z"))
    if new:
        gitting.git(folder, "add", "--intent-to-add", "--", *new, environ={"GIT_LITERAL_PATHSPECS": "1"})
    unmerged = _names(gitting.git(folder, "ls-files", "--unmerged", "-z"))
    conflicts = tuple(sorted({line.partition("\t")[2] for line in unmerged}))
    files = _names(gitting.git(folder, "diff", "--name-only", "--no-renames", "--relative", "-z", "HEAD"))
    return Updated(before=before, after=after, files=tuple(sorted(files)), conflicts=conflicts, kept=kept)


def _names(listed: str) -> list[str]:
    return [name for name in listed.split("\0") if name]

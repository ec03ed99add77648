"""The repository that is adopted: its files are read as text, and the proposal is written. Nothing is executed."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from septum.adopting import reading, secrets
from septum.adopting.propose import BACKUP
from septum.adopting.rows import MAIN
from septum.errors import AdoptError, UsageError

_GIT_S = 30.0
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A repository, and the pipeline's file in it.

    Attributes:
        root: Its root.
        source: The path of the pipeline's file, relative to it.
    """

    root: Path
    source: str

    def read(self, path: str) -> str | None:
        """The text of a file; None if there is none of that name.

        Raises:
            AdoptError: It leads out of the repository, is no regular file, too large, or no text.
        """
        target = self.root / path
        try:
            real = target.resolve()
            if not real.is_relative_to(self.root):
                raise AdoptError(f"{path}: leads out of the repository, and is not read")
            # A pipe would block, and a device might never end.
            if not stat.S_ISREG(real.stat().st_mode):
                return None
            with real.open("rb") as stream:
                raw = stream.read(reading.MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RuntimeError) as error:
            raise AdoptError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        return reading.decoded(raw, path)

    def read_if_possible(self, path: str) -> str | None:
        """The same for a file that a script names: one that may not be read is as good as none."""
        try:
            return self.read(path)
        except AdoptError:
            return None


def checkout(path: Path) -> Checkout:
    """Find the repository of a file, or the pipeline of a folder.

    Raises:
        AdoptError: There is no such file.
    """
    file = path / MAIN if path.is_dir() else path
    parent = file.parent.resolve()
    root = next((folder for folder in (parent, *parent.parents) if (folder / ".git").exists()), parent)
    if path.is_dir() and not os.path.lexists(file):
        # Called in a folder of the repository.
        file, parent = root / MAIN, root
    found = Checkout(root=root, source=(parent / file.name).relative_to(root).as_posix())
    if not os.path.lexists(file):
        raise AdoptError(
            f"{file}: there is no such file",
            fix="run it in a repository with a pipeline, or name it: septum adopt FILE\nfor a new one: septum new",
        )
    return found


def main_text(found: Checkout) -> str:
    """The text of the pipeline's file.

    Raises:
        AdoptError: It cannot be read.
    """
    text = found.read(found.source)
    if text is None:
        raise AdoptError(f"{found.source}: not a file that can be read", fix="name a regular file: septum adopt FILE")
    return text


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────


def write(found: Checkout, files: Mapping[str, str], texts: Mapping[str, str]) -> list[str]:
    """Write the proposal: all of it or nothing.

    Args:
        found: The repository.
        files: The new files.
        texts: The old ones, for the one that is kept and for the secrets in it.

    Returns:
        The paths that were written.

    Raises:
        UsageError: The checkout has changes, or a file of the proposal is there already.
    """
    from septum.state import write_whole

    new = dict(files)
    replaces = found.source == MAIN
    if replaces:
        hidden = tuple(each for name, text in texts.items() for each in secrets.find(text, name))
        new[BACKUP] = secrets.hide(texts[MAIN], hidden)
    _refuse(found, new)
    # The pipeline's file last: until then, nothing has changed for GitLab.
    order = sorted(new, key=lambda name: name == MAIN)
    written: list[Path] = []
    try:
        for name in order:
            path = found.root / name
            if name != MAIN or not replaces:
                written.append(path)
            write_whole(path, new[name], mode=0o755 if name.endswith(".sh") else 0o644)
    except BaseException:
        for path in written:
            with contextlib.suppress(OSError):
                path.unlink()
        raise
    return order


def _refuse(found: Checkout, new: Mapping[str, str]) -> None:
    listed = _git(found.root, "status", "--porcelain=v1", "-z", "--untracked-files=all")
    if listed is None:
        raise UsageError(
            f"{found.root} is no Git repository, so nothing would bring the old pipeline back",
            fix="git init && git add --all && git commit -m 'Before septum', then septum adopt --write",
        )
    if changes := [entry for entry in listed.split("\0") if entry]:
        raise UsageError(
            "the checkout has changes that are not committed",
            evidence="\n".join(changes[:_SHOWN]),
            fix="commit or stash them, then septum adopt --write: what adopt changes can then be told from them",
        )
    for name in new:
        path = found.root / name
        if not path.parent.resolve().is_relative_to(found.root):
            raise UsageError(f"{name}: its folder leads out of the repository")
        if path.is_symlink() or (os.path.lexists(path) and (name != MAIN or found.source != MAIN)):
            raise UsageError(
                f"{name} is there already",
                evidence="a symbolic link" if path.is_symlink() else "perhaps the pipeline was adopted before",
                fix=f"look at it, and take it away if nothing needs it: git rm {name}",
            )


def _git(root: Path, *words: str) -> str | None:
    from septum import git

    # A hook of git has its own repository in these.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return git.ask(root, *words, environ=environ, timeout_s=_GIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            "git did not answer", evidence=str(error), fix="install git, or write the files by hand"
        ) from error

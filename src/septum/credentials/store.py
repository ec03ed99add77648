"""Files of credentials: 0600 in a random 0700 folder outside the checkout, in memory where the machine can.

Nothing here knows what the files hold.
"""

from __future__ import annotations

import atexit
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Store:
    """A folder of secret files that lives as long as the process, or shorter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # All work goes through the descriptor: a folder that is swapped for a link meanwhile gets nothing.
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._pid = os.getpid()
        self._names: set[str] = set()
        seen = os.fstat(self._fd)
        if seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) != stat.S_IRWXU:
            os.close(self._fd)
            raise UsageError(f"{folder}: the folder for credentials is not private to this user")
        atexit.register(self.close)

    @classmethod
    def create(cls, environ: Mapping[str, str]) -> Store:
        """Make a new folder.

        Args:
            environ: Gives `XDG_RUNTIME_DIR`, and with `CI_PROJECT_DIR` the checkout that must not hold it.

        Raises:
            UsageError: No place on this machine is fit for it.
        """
        refused = []
        for place in _places(environ):
            inside = next((tree for tree in _checkouts(environ) if _is_below(place, tree)), None)
            if inside is not None:
                refused.append(f"{place}: inside the checkout {inside}")
                continue
            try:
                return cls(_make_folder(place, environ))
            except OSError as err:
                refused.append(f"{place}: {err.strerror}")
        raise UsageError(
            "there is no place for the files of credentials outside the checkout",
            evidence="\n".join(refused),
            fix="Set XDG_RUNTIME_DIR or TMPDIR to a folder outside the checkout that this user may write.",
        )

    def write(self, name: str, content: bytes) -> Path:
        """Write a file, or replace it in one step.

        Args:
            name: A plain file name.
            content: Written as it is.

        Returns:
            The path; readers see the old content or the new one, never a part.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a plain file name")
        temporary = f".{name}.{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        fd = os.open(temporary, flags, 0o600, dir_fd=self._fd)
        self._names.add(temporary)
        with os.fdopen(fd, "wb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        self._names.discard(temporary)
        self._names.add(name)
        return self.folder / name

    def close(self) -> None:
        """Delete the files and the folder. A child process that inherited the store does nothing."""
        if self._fd < 0 or os.getpid() != self._pid:
            return
        atexit.unregister(self.close)
        for name in self._names:
            _forget(name, self._fd)
        os.close(self._fd)
        self._fd = -1
        try:
            self.folder.rmdir()
        except OSError:  # somebody else put a file there, or swapped the folder; ours are gone
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _forget(name: str, folder_fd: int) -> None:
    try:
        os.unlink(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return


def _places(environ: Mapping[str, str]) -> Iterable[Path]:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield Path(runtime)
    yield Path("/dev/shm")  # noqa: S108 - a random folder of our own is made in it
    yield Path(environ.get("TMPDIR") or tempfile.gettempdir())


def _checkouts(environ: Mapping[str, str]) -> list[Path]:
    """Trees whose files can end in an artifact, a cache or a commit."""
    here = Path.cwd()
    repository = next((folder for folder in [here, *here.parents] if (folder / ".git").exists()), None)
    named = environ.get("CI_PROJECT_DIR", "")
    return [tree for tree in (Path(named) if named else None, repository) if tree is not None]


def _is_below(place: Path, tree: Path) -> bool:
    return place.resolve().is_relative_to(tree.resolve())


def _make_folder(place: Path, environ: Mapping[str, str]) -> Path:
    # The CI job's number in the name lets a later clean-up find what a killed process left behind.
    job = environ.get("CI_JOB_ID", "")
    prefix = f"septum-{job}-" if job.isdigit() else "septum-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    folder.chmod(stat.S_IRWXU)
    return folder

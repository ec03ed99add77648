"""Files of credentials: 0600 in a random 0700 folder outside the checkout, in memory where the machine can.

Nothing here knows what the files hold. A process keeps its folder locked as long as it lives, so what a killed one left
behind is known by its free lock, and swept away by the next.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PREFIX = "septum-credentials-"
# The prefix, the CI job's number, and what mkdtemp adds.
_FOLDER = re.compile(rf"{_PREFIX}(?:[0-9]+-)?[a-z0-9_]{{8}}", re.ASCII)
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOM_B = 64 * 1024
_ATTEMPTS = 5


class Store:
    """A folder of secret files that lives as long as the process, or shorter.

    Args:
        folder: Private, and of this object alone: all that is in it is deleted at the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # All work goes through the descriptor: a folder that is swapped for a link meanwhile gets nothing.
        self._fd = os.open(folder, _OPEN_FOLDER)
        self._pid = os.getpid()
        # A thread may still write while another closes.
        self._guard = threading.RLock()
        if not _is_private(self._fd):
            os.close(self._fd)
            raise UsageError(f"{folder}: the folder for credentials is not private to this user")
        atexit.register(self.close)

    @classmethod
    def create(cls, environ: Mapping[str, str]) -> Store:
        """Make a new folder, after those of killed processes have been removed.

        Args:
            environ: Gives `XDG_RUNTIME_DIR`, and with `CI_PROJECT_DIR` the checkout that must not hold it.

        Raises:
            UsageError: No place on this machine is fit for it.
        """
        sweep(environ)
        refused = []
        for place in _places(environ):
            inside = next((tree for tree in _checkouts(environ) if _is_below(place, tree)), None)
            if inside is not None:
                refused.append(f"{place}: inside the checkout {inside}")
                continue
            try:
                return cls._make_in(place, environ)
            except OSError as err:
                refused.append(f"{place}: {err.strerror}")
        raise UsageError(
            "there is no place for the files of credentials outside the checkout",
            evidence="\n".join(refused),
            fix="Set XDG_RUNTIME_DIR or TMPDIR to a folder outside the checkout that this user may write.",
        )

    @classmethod
    def _make_in(cls, place: Path, environ: Mapping[str, str]) -> Store:
        # The CI job's number in the name lets a later clean-up find what a killed process left behind.
        job = environ.get("CI_JOB_ID", "")
        prefix = f"{_PREFIX}{job}-" if re.fullmatch("[0-9]+", job) else _PREFIX
        for _ in range(_ATTEMPTS):
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
            # Gone already: another process has swept it away before it was locked.
            with contextlib.suppress(FileNotFoundError):
                folder.chmod(stat.S_IRWXU)
                store = cls(folder)
                if store._lock():
                    store._try_out()
                    return store
                store.close()
        raise OSError(errno.EAGAIN, "folders are swept away as soon as they are made")

    def _try_out(self) -> None:
        """See that there is room for what will be written."""
        try:
            probe = self.write("probe", bytes(_ROOM_B))
            probe.unlink()
        except OSError:
            self.close()
            raise

    def _lock(self) -> bool:
        """Keep others from sweeping the folder away; whether it is still there."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody is about to sweep it away
            return False
        except OSError:  # a file system without locks: nobody can sweep there
            return True
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._fd), self.folder.lstat())
        return False

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
        with self._guard:
            if self._fd < 0:
                raise OSError(errno.EBADF, "the folder of credentials has been deleted")
            fd = os.open(temporary, flags, 0o600, dir_fd=self._fd)
            try:
                with os.fdopen(fd, "wb") as stream:
                    os.fchmod(stream.fileno(), 0o600)
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.rename(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except BaseException:
                # Half a secret on a full disk helps nobody.
                os.unlink(temporary, dir_fd=self._fd)
                raise
        return self.folder / name

    def close(self) -> None:
        """Delete the folder and all that is in it. A child process that inherited the store does nothing."""
        if os.getpid() != self._pid:
            return
        with self._guard:
            if self._fd < 0:
                return
            atexit.unregister(self.close)
            fd, self._fd = self._fd, -1
            # Again, if a provider of another thread has written something meanwhile.
            for _ in range(_ATTEMPTS):
                with contextlib.suppress(OSError):
                    _empty(fd)
                    self.folder.rmdir()
                    break
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sweep(environ: Mapping[str, str]) -> list[Path]:
    """Remove the folders that killed processes of this user left behind.

    Only folders as `Store.create` makes them, and only with a free lock: the owner of a locked one is alive.

    Args:
        environ: Says where to look, as for `Store.create`.

    Returns:
        What was removed.
    """
    removed = []
    for place in _places(environ):
        with contextlib.suppress(OSError), _opened(place) as place_fd:
            names = sorted(path.name for path in place.iterdir())
            removed += [place / name for name in names if _FOLDER.fullmatch(name) and _sweep_away(name, place_fd)]
    return removed


def _sweep_away(name: str, place_fd: int) -> bool:
    """Remove a folder if nobody holds its lock; returns whether it is gone."""
    try:
        with _opened(name, place_fd, os.O_NOFOLLOW) as fd:
            if not _is_private(fd):
                return False
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _empty(fd)
            os.rmdir(name, dir_fd=place_fd)
    except OSError:  # its owner lives, or somebody else was faster
        return False
    return True


def _empty(folder_fd: int) -> None:
    """Remove all that is in a folder; links are removed and not followed."""
    for name in os.listdir(folder_fd):
        try:
            os.unlink(name, dir_fd=folder_fd)
        except FileNotFoundError:
            continue
        except (IsADirectoryError, PermissionError):  # a folder, as Linux and as macOS say it
            with _opened(name, folder_fd, os.O_NOFOLLOW) as inner_fd:
                _empty(inner_fd)
            os.rmdir(name, dir_fd=folder_fd)


@contextlib.contextmanager
def _opened(folder: Path | str, parent_fd: int | None = None, flags: int = 0) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | flags, dir_fd=parent_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _is_private(folder_fd: int) -> bool:
    seen = os.fstat(folder_fd)
    return seen.st_uid == os.geteuid() and stat.S_IMODE(seen.st_mode) == stat.S_IRWXU


def _places(environ: Mapping[str, str]) -> Iterable[Path]:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield Path(runtime)
    yield Path("/dev/shm")  # noqa: S108 - a random folder of our own is made in it
    yield Path(environ.get("TMPDIR") or tempfile.gettempdir()).absolute()


def _checkouts(environ: Mapping[str, str]) -> list[Path]:
    """Trees whose files can end in an artifact, a cache or a commit."""
    here = Path.cwd()
    repository = next((folder for folder in [here, *here.parents] if (folder / ".git").exists()), None)
    named = environ.get("CI_PROJECT_DIR", "")
    return [tree for tree in (Path(named) if named else None, repository) if tree is not None]


def _is_below(place: Path, tree: Path) -> bool:
    return place.resolve().is_relative_to(tree.resolve())

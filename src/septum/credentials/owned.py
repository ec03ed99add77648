"""Read a credential that somebody else wrote into a file of ours: what is open to others is refused."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from septum.credentials.variables import MAX_BYTES
from septum.errors import CredentialExposedError, CredentialMissingError

if TYPE_CHECKING:
    from pathlib import Path


def read_owned(path: Path, what: str) -> bytes:
    """Read a file, and look at its owner and mode through the same descriptor.

    Args:
        path: The file; the last piece of the path must not be a link, which anybody could have put there.
        what: For messages: `the X.509 proxy`.

    Raises:
        CredentialMissingError: There is no such file, or it is not a plain file of this user.
        CredentialExposedError: Others can read or change it. Clients such as XRootD's refuse such files, too, and
            say only "No protocols left to try".
    """
    try:
        # Without waiting: a named pipe in the place of the file must not stop us.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else (error.strerror or "").lower()
        raise CredentialMissingError(
            f"{what} cannot be read from {path}", evidence=reason, fix="Check path, owner and mode of the file."
        ) from error
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid():
            raise CredentialMissingError(
                f"{what} cannot be read from {path}",
                evidence="it is not a plain file" if not stat.S_ISREG(seen.st_mode) else "it belongs to another user",
                fix="Name a file of your own.",
            )
        mode = stat.S_IMODE(seen.st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise CredentialExposedError(
                f"{what} in {path} is open to other users of this machine",
                evidence=f"its mode is {mode:04o}; 0600 or stricter is wanted",
                fix=f"chmod 600 {path}     (and make it anew, if others can log in here)",
            )
        # Not before: a stream cannot be made of a folder.
        with os.fdopen(fd, "rb", closefd=False) as stream:
            return stream.read(2 * MAX_BYTES + 1)
    finally:
        os.close(fd)

"""How one file gets to its place on storage, whatever the protocol: under another name first, verified, then renamed.

Nobody sees half a file, and nothing that stands there is overwritten. Pure: the storage does the work.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import Protocol

from septum.upload.attempt import AttemptError
from septum.upload.local import Local, Proof

REREAD_B = 1 << 30
"""What a storage without checksums is asked for again, to compare it; of larger files only the size is."""


class Storage(Protocol):
    """One storage, entered with one credential. Everything raises `AttemptError`."""

    def size(self, path: str) -> int | None:
        """Bytes of a file; None if there is none."""

    def digests(self, path: str) -> Mapping[str, str]:
        """The checksums that the storage has, in hexadecimal, by their names in lower case; often one, or none."""

    def sha256(self, path: str) -> str:
        """Read a file back and take its checksum."""

    def put(self, local: Local, path: str) -> None:
        """Write a file, and the folders above it. Where the storage can tell, nothing is overwritten."""

    def move(self, source: str, target: str) -> None:
        """Rename a file."""

    def remove(self, path: str) -> None:
        """Remove a file."""


def place(storage: Storage, local: Local, path: str, *, own: str, reread_b: int = REREAD_B) -> Proof:
    """Bring a file to its place.

    Args:
        storage: Where to.
        local: The file.
        path: Its place.
        own: What the name under which it travels is made of; the same in another attempt of the same run.
        reread_b: Up to this size the file is read back where there are no checksums.

    Returns:
        What shows that it is there. That an equal file was there already is as good.

    Raises:
        AttemptError: It is not there. What was begun is removed, as far as the storage allows.
    """
    if storage.size(path) is not None:
        return _same(storage, local, path)
    temporary = _free_name(storage, path, own)
    moved = False
    try:
        storage.put(local, temporary)
        proof = _verified(storage, local, temporary, reread_b)
        if storage.size(path) is not None:  # meanwhile
            return _same(storage, local, path)
        try:
            storage.move(temporary, path)
        except AttemptError as fault:
            if fault.kind not in {"denied", "unsupported"} or storage.size(path) is not None:
                raise
            return _in_place(storage, local, path, reread_b)
        if storage.size(path) != local.size_b:
            raise AttemptError("damaged", "it was renamed, and is not there under its new name")
        moved = True
        return proof
    finally:
        if not moved:
            with contextlib.suppress(AttemptError):
                if storage.size(temporary) is not None:
                    storage.remove(temporary)


def _free_name(storage: Storage, path: str, own: str) -> str:
    """A name beside the final one. What an attempt that was killed has left is removed, or left alone if it cannot."""
    name = f"{path.rpartition('/')[0]}/.septum-{own}.part"
    if storage.size(name) is None:
        return name
    try:
        storage.remove(name)
    except AttemptError:
        # A token that may create may not remove.
        return f"{name}{secrets.token_hex(4)}"
    return name


def _in_place(storage: Storage, local: Local, path: str, reread_b: int) -> Proof:
    """For storage that does not rename."""
    try:
        storage.put(local, path)
        return _verified(storage, local, path, reread_b)
    except AttemptError as fault:
        if fault.kind != "differs":
            with contextlib.suppress(AttemptError):
                storage.remove(path)
        raise


def _same(storage: Storage, local: Local, path: str) -> Proof:
    """Whether what stands there is this very file; of a whole attempt before this one, for instance."""
    size_b = storage.size(path)
    if size_b != local.size_b:
        raise AttemptError("differs", f"it holds {size_b} bytes, and this one {local.size_b}")
    try:
        proof = _compared(storage, local, path) or _reread(storage, local, path)
    except AttemptError as fault:
        if fault.kind in {"damaged", "denied", "unsupported"}:
            raise AttemptError("differs", f"it has the same size; {fault.text}") from None
        raise
    return proof


def _verified(storage: Storage, local: Local, path: str, reread_b: int) -> Proof:
    size_b = storage.size(path)
    if size_b != local.size_b:
        raise AttemptError("damaged", f"{local.size_b} bytes were sent, and {size_b or 0} are there")
    if proof := _compared(storage, local, path):
        return proof
    if local.size_b <= reread_b:
        try:
            return _reread(storage, local, path)
        except AttemptError as fault:
            # Who may write need not be allowed to read.
            if fault.kind not in {"denied", "unsupported"}:
                raise
    return "size"


def _compared(storage: Storage, local: Local, path: str) -> Proof | None:
    """Compare the strongest checksum that both sides have."""
    theirs = storage.digests(path)
    for name, ours in local.digests.items():
        if name not in theirs:
            continue
        # Some storage leaves zeros at the beginning out.
        if theirs[name].lower().lstrip("0") != ours.lstrip("0"):
            raise AttemptError("damaged", f"its {name} is {theirs[name]}, and that of this one {ours}")
        return name
    return None


def _reread(storage: Storage, local: Local, path: str) -> Proof:
    theirs = storage.sha256(path)
    if theirs != local.sha256:
        raise AttemptError("damaged", f"its sha256 is {theirs}, and that of this one {local.sha256}")
    return "re-read"

"""One file on this side: its size and checksums, read once before it travels."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from septum.errors import UploadError

BLOCK_B = 1 << 20
Proof = Literal["adler32", "sha-256", "md5", "content-md5", "re-read", "size"]
"""What shows that the storage has the file: a checksum of its own; the MD5 that it took the file with, and would have
refused another one; the file read back and compared; or nothing but the size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """A file that is to travel.

    Attributes:
        name: Its relative path below the target.
        path: Where it is.
        size_b: Bytes.
        sha256: In hexadecimal, as the other two.
        adler32: What most storage of the grid keeps.
        md5: What S3 keeps.
    """

    name: str
    path: Path
    size_b: int
    sha256: str
    adler32: str
    md5: str

    @property
    def digests(self) -> Mapping[Proof, str]:
        """The checksums by the names that HTTP has for them, the strongest first."""
        return {"sha-256": self.sha256, "md5": self.md5, "adler32": self.adler32}


def weigh(name: str, path: Path) -> Local:
    """Read a file once.

    Raises:
        UploadError: It is no plain file, or cannot be read.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    adler32, size_b = zlib.adler32(b""), 0
    try:
        if not path.is_file():
            raise UploadError(f"publish: {path} is not a file", fix="the result folder was changed; collect again")
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_B):
                sha256.update(block)
                md5.update(block)
                adler32 = zlib.adler32(block, adler32)
                size_b += len(block)
    except OSError as error:
        raise UploadError(
            f"publish: {path} cannot be read", evidence=str(error.strerror), fix="the result folder was changed"
        ) from error
    return Local(
        name=name,
        path=path,
        size_b=size_b,
        sha256=sha256.hexdigest(),
        adler32=f"{adler32:08x}",
        md5=md5.hexdigest(),
    )

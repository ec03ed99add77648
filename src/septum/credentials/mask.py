"""Take credentials out of the logs that a user's own program wrote, before they become artifacts.

A program that is refused by storage is often told to print its proxy. On a cluster that is a key which nobody here
knows, so it is recognized by its form; what is known is found in every encoding.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from septum.credentials.detect import REACH, find
from septum.credentials.redact import KNOWN

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = 4 << 20


def mask_file(path: Path) -> int:
    """Overwrite each credential in a file with stars; the file keeps its size and its lines.

    Args:
        path: The file; nothing happens if it is not there.

    Returns:
        How many there were.
    """
    masked = 0
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as stream:
        buffer, base = b"", 0
        while True:
            block = stream.read(_BLOCK)
            buffer += block
            # What begins after this is looked at again, with what follows it.
            limit = len(buffer) - (REACH if block else 0)
            done = max(limit, 0)
            for start, end, *_ in find(buffer, KNOWN):
                if start < limit:
                    stream.seek(base + start)
                    stream.write(b"".join(_stars(line) for line in buffer[start:end].splitlines(keepends=True)))
                    masked += 1
                    done = max(done, end)
            if not block:
                break
            base, buffer = base + done, buffer[done:]
            stream.seek(base + len(buffer))
    return masked


def _stars(line: bytes) -> bytes:
    text = line.rstrip(b"\r\n")
    return b"*" * len(text) + line[len(text) :]

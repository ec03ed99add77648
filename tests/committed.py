"""The files of the repository: what is or would be committed, and nothing that was made here."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
_IGNORED = {".git", ".venv", ".cache", "dist", "__pycache__", ".gitlab-ci-local", "node_modules"}


@functools.cache
def committed_files() -> tuple[Path, ...]:
    """All of them, sorted; also in an unpacked archive, which has no git."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        paths = [ROOT / name for name in done.stdout.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not _IGNORED & set(path.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in paths if path.is_file() and not path.is_symlink()))

"""Other worlds for septum to run in: a small disk."""

from __future__ import annotations

from pathlib import Path

# A copy of the folder on a disk of its own, in the place of the folder; what is there in the end is copied back.
_SMALL_DISK = """\
small=$1 folder=$2 size=$3; shift 3
mkdir -p "$small" && mount -t tmpfs -o "size=$size" tmpfs "$small" && cp -a "$folder/." "$small" || exit 125
mount --bind "$small" "$folder" || exit 125
"$@"
code=$?
umount "$folder" && find "$folder" -mindepth 1 -delete && cp -a "$small/." "$folder"
exit $code
"""


def small_disk(folder: Path, *, free_b: int) -> list[str]:
    """Words to put before a command: for it, a folder lies on a disk that is nearly full.

    Args:
        folder: The folder, which comes back with what the command left in it.
        free_b: The space that is left.
    """
    page = 4096
    # Every file and folder takes whole pages.
    used = sum(page + (path.stat().st_size + page - 1) // page * page for path in folder.rglob("*"))
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", _SMALL_DISK, "small-disk"]
    return [*words, str(folder.parent / "small"), str(folder), str(used + free_b)]

"""What the tests of all formats share: merge, and believe nothing that is not proved."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from septum.merge.formats.base import Format
from septum.merge.summary import FileSummary, Total, first_difference


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def merge_and_check(form: Format, target: Path, sources: Sequence[Path], *, titles: Sequence[str] = ()) -> FileSummary:
    """Do what a run does: sum up the parts, merge, sum up the result, compare."""
    total, structures = Total(), set()
    for source in sources:
        part = form.summarize(source, name=f"part {source.name}")
        total.add(part)
        structures.add(part.structure)
    form.merge(target, sources, title=target.name, titles=titles)
    merged = form.summarize(target, name=target.name)
    total.check(merged, name=target.name)
    assert structures == {merged.structure}, first_difference(part, merged)
    return merged


def in_two_levels(form: Format, folder: Path, sources: Sequence[Path], cut: int) -> Path:
    """Merge two ranges, then what came out; for archives, the second level keeps the members where they are."""
    ending = form.endings[0]
    ranges = [folder / f"range{number}{ending}" for number in range(2)]
    form.merge(ranges[0], sources[:cut], title="range")
    form.merge(ranges[1], sources[cut:], title="range")
    target = folder / f"levels{ending}"
    form.merge(target, ranges, title="levels", titles=["", ""])
    return target


@contextmanager
def full_disk(free_b: int) -> Iterator[None]:
    """No file grows beyond so many bytes, as on a disk that is full: writing fails with an error, not with a signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_b, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

"""How large the artifact will be, against what GitLab takes: said while the run goes on, and checked before it ends.

GitLab refuses an artifact that is too large as a whole, and the result is lost with everything beside it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from septum.errors import TooLargeError, UsageError
from septum.units import parse_size, show_size

VARIABLE = "SEPTUM_ARTIFACT_LIMIT"
DEFAULT_B = 100 << 20
"""What GitLab takes if its administrators say nothing else."""
_GITLAB_COM_B = 1 << 30
_NEAR = 0.8
_SAMPLE_B = 1 << 18
_SAMPLES = 4
_SHOWN = 5
FIX = (
    "let septum bring large files to storage: in septum.yaml\n"
    "  publish:\n"
    "    to: root://HOST//PATH/{run}     (or https://HOST/PATH/{run}, or s3-presigned:VARIABLE)\n"
    "    above: 10 MB"
)
_FIX_AGAIN = (
    "publish more: in septum.yaml, under 'publish', a smaller 'above', or 'files: results-and-outputs' for the\n"
    "outputs of the parts as well"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The size of the largest artifact.

    Attributes:
        size_b: Bytes.
        source: Who says so.
        known: Whether this instance's is known, and not only what is usual.
    """

    size_b: int
    source: str
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the artifact will hold, and what it may."""

    expected_b: int
    limit_b: int

    @property
    def over(self) -> bool:
        """Whether it will be too large."""
        return self.expected_b > self.limit_b

    @property
    def near(self) -> bool:
        """Whether it will be, or almost."""
        return self.expected_b > _NEAR * self.limit_b

    def __str__(self) -> str:
        """For people."""
        return f"results will be about {show_size(self.expected_b)}, the artifact limit is {show_size(self.limit_b)}"


def artifact_limit(environ: Mapping[str, str]) -> Limit:
    """The limit of this GitLab: no variable of GitLab says it.

    Raises:
        UsageError: `SEPTUM_ARTIFACT_LIMIT` is no size.
    """
    text = environ.get(VARIABLE, "").strip()
    if text:
        try:
            return Limit(size_b=parse_size(text), source=VARIABLE, known=True)
        except ValueError as error:
            raise UsageError(f"{VARIABLE}: {error}", fix=f"{VARIABLE}: 500 MB") from None
    if environ.get("CI_SERVER_HOST") == "gitlab.com":
        return Limit(size_b=_GITLAB_COM_B, source="the limit of gitlab.com", known=True)
    return Limit(size_b=DEFAULT_B, source="GitLab's default", known=False)


def forecast(done_b: int, done_parts: int, all_parts: int, limit_b: int, *, fixed_b: int = 0) -> Forecast | None:
    """Say how large the results will be.

    Args:
        done_b: Bytes of what grows with the parts, of those that are in: their outputs that are kept one a part, and
            trees, whose sum is as large as its parts.
        done_parts: How many are in.
        all_parts: How many there will be.
        limit_b: The artifact limit.
        fixed_b: Bytes of what does not grow with them: merged histograms.

    Returns:
        The forecast; None as long as no part is in.
    """
    if done_parts < 1:
        return None
    return Forecast(expected_b=fixed_b + done_b * max(all_parts, done_parts) // done_parts, limit_b=limit_b)


def check(paths: Iterable[Path], limit: Limit, environ: Mapping[str, str], *, publishes: bool = False) -> str:
    """See whether GitLab will take the artifact, before septum ends.

    Args:
        paths: The files and folders that are in it.
        limit: How large it may be.
        environ: Outside of a CI job nothing is uploaded, and nothing is too large.
        publishes: Whether large files went to storage already.

    Returns:
        A warning; empty if there is room.

    Raises:
        TooLargeError: GitLab would refuse it.
    """
    if environ.get("GITLAB_CI") != "true":
        return ""
    files = dict(_files(paths))
    if sum(files.values()) <= _NEAR * limit.size_b:
        return ""
    packed = {path: packed_size(path) for path in files}
    total_b = sum(packed.values())
    largest = sorted(packed, key=lambda path: -packed[path])[:_SHOWN]
    sizes = f"about {show_size(total_b)}, and the artifact limit is {show_size(limit.size_b)} ({limit.source})"
    if total_b <= limit.size_b:
        return f"the results are {sizes}" if total_b > _NEAR * limit.size_b else ""
    fix = _FIX_AGAIN if publishes else FIX
    more = f"or, if this GitLab takes more, set the CI/CD variable {VARIABLE} to its limit and retry this CI job"
    raise TooLargeError(
        f"result: it is {sizes}: GitLab would refuse it",
        evidence="\n".join(f"{show_size(packed[path]):>9}  {path}" for path in largest),
        fix=f"{fix}\n{more}" if not limit.known else fix,
    )


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            for place, _, names in os.walk(path):
                yield from ((Path(place, name), Path(place, name).lstat().st_size) for name in names)
        elif path.exists():
            yield path, path.stat().st_size


def packed_size(path: Path) -> int:
    """Estimate what a file is in the archive that GitLab makes: ROOT files stay as large as they are, texts do not.

    A few samples are compressed, not the file. What cannot be read counts as it is.
    """
    size_b = path.lstat().st_size
    try:
        with path.open("rb") as stream:
            seen_b = packed_b = 0
            for sample in range(_SAMPLES):
                stream.seek(max(0, size_b - _SAMPLE_B) * sample // (_SAMPLES - 1))
                block = stream.read(_SAMPLE_B)
                seen_b += len(block)
                packed_b += min(len(zlib.compress(block, 6)), len(block))
    except OSError:
        return size_b
    return size_b * packed_b // seen_b if seen_b else size_b

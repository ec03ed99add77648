"""Merges files that somebody names, without a plan or a cluster: `septum merge`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from septum.errors import MergeFailedError, SeptumError, UnexpectedFileError, UsageError, error_of
from septum.merge.choice import Wish, choose
from septum.merge.engine import Engine, Finished, Target
from septum.merge.hadd import ROWS, Hadd
from septum.merge.ranges import RangeMerging
from septum.merge.strict.merging import Strict, StrictMerging
from septum.verify import measure

_NAME_LENGTH = 100
_MAGIC = b"root"
_HEAD_B = 512
_COMMAND_B = 500_000
"""So long may the names of all files be together for one process to be given them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A merged file: what is in it, what made it, its size in bytes and its sha256."""

    finished: Finished
    engine: str
    size_b: int
    sha256: str


def merge_files(
    target: Path,
    sources: Sequence[Path],
    *,
    wish: Wish = "auto",
    policies: Mapping[str, str],
    jobs: int = 1,
    environ: Mapping[str, str],
    told: Callable[[int], None] = lambda _: None,
) -> Done:
    """Merge files into a new one, verify it, and put it into its place.

    Args:
        target: The merged file; what stood there is replaced only by a verified one.
        sources: The files, at least one.
        wish: The engine, or `auto` for the one that fits the first file.
        policies: The relaxed policies by name.
        jobs: Processes that read; of use to the strict engine with exact sums.
        environ: Where `hadd` is looked for.
        told: Is told how many more files are read.

    Raises:
        UsageError: The target is among the sources, or two sources are the same file.
        SeptumError: What the merge of a run raises, too.
    """
    files = _checked(target, sources)
    names = list(files)
    try:
        with _scratch(target) as scratch:
            made = Target(
                name=target.name,
                parts=tuple(names),
                describe={name: str(path) for name, path in files.items()},
                source=lambda name: files[name],
                scratch=Path(scratch),
                key="merged",
                policies=policies,
            )
            engine = choose(files[names[0]], name=target.name, environ=environ, policies=policies, wish=wish)
            if isinstance(engine, Strict):
                engine = Strict(policies, early=False, digests=False)
            finished = _merge(engine, made, files, jobs, told)
            size_b, sha256 = measure(made.path)
            with made.path.open("rb") as stream:
                os.fsync(stream.fileno())
            made.path.replace(target)
    except OSError as error:
        raise MergeFailedError(
            f"merge: {target} cannot be written: {(error.strerror or str(error)).lower()}",
            evidence=str(error.filename or ""),
            fix=f"look whether there is space in '{target.parent}', and whether it can be written",
        ) from error
    return Done(finished=finished, engine=engine.name, size_b=size_b, sha256=sha256)


def _scratch(target: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder beside the target, so that the finished file need not be copied."""
    try:
        return tempfile.TemporaryDirectory(prefix=f".{target.name[:_NAME_LENGTH]}.", dir=target.parent)
    except OSError as error:
        raise UsageError(
            f"merge: the folder '{target.parent}' cannot be written: {(error.strerror or str(error)).lower()}",
            fix="choose another place for the result",
        ) from error


def _checked(target: Path, sources: Sequence[Path]) -> dict[str, Path]:
    """The sources by a name that sorts as they were given."""
    if not sources:
        raise UsageError("merge: no files were named", fix="name at least one after the result")
    if not target.parent.is_dir():
        raise UsageError(f"merge: there is no folder {target.parent}", fix=f"mkdir -p '{target.parent}'")
    if target.is_dir() or not target.name:
        raise UsageError(
            f"merge: the result '{target}' is a folder", fix=f"name a file in it: '{target / 'merged.root'}'"
        )
    for path in sources:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is no file" if path.exists() else "does not exist"
            raise UsageError(f"merge: '{path}' {kind}", fix="check the names; nothing was merged")
        if target.exists() and path.samefile(target):
            raise UsageError(f"merge: {path} is the target, too", fix="choose another name for the result")
    _check_kind(target, sources[0])
    _check_twice(sources)
    return {f"{number:06}": path for number, path in enumerate(sources)}


def _check_kind(target: Path, source: Path) -> None:
    """The name of the result decides how files are merged; ROOT files put together as texts would be nothing."""
    with source.open("rb") as stream:
        is_root = stream.read(len(_MAGIC)) == _MAGIC
    if is_root and target.suffix != ".root":
        raise UsageError(
            f"merge: '{source}' is a ROOT file, and the result '{target.name}' is not called so",
            fix=f"septum merge '{target.with_suffix('.root')}' …",
        )


def _check_twice(sources: Sequence[Path]) -> None:
    seen: dict[tuple[int, str], Path] = {}
    heads = [_head(path) for path in sources]
    alike = Counter(heads)
    for path, head in zip(sources, heads, strict=True):
        # Only files of one size and beginning can be equal; hashing all of them would cost a tenth of the merge.
        if alike[head] == 1:
            continue
        measured = measure(path)
        if measured in seen:
            raise UnexpectedFileError(
                f"merge: {path} has the same bytes as {seen[measured]}",
                evidence="ROOT writes a date and an identifier into each file: one is a copy, or was named twice",
                fix="name each file once: the same events would be counted twice",
            )
        seen[measured] = path


def _head(path: Path) -> tuple[int, bytes]:
    """The size of a file and its beginning, where ROOT writes the identifier."""
    try:
        with path.open("rb") as stream:
            return path.stat().st_size, stream.read(_HEAD_B)
    except OSError as error:
        raise UsageError(
            f"merge: '{path}' cannot be read: {(error.strerror or str(error)).lower()}", fix="check its permissions"
        ) from error


def _merge(
    engine: Engine, target: Target, files: Mapping[str, Path], jobs: int, told: Callable[[int], None]
) -> Finished:
    if isinstance(engine, Strict):
        merging = _merge_strict(engine, target, files, jobs, told)
        return merging.finish()
    other = engine.begin(target)
    if isinstance(engine, Hadd) and isinstance(other, RangeMerging) and _only_rows(list(files.values())):
        other.begin(engine.start)
    try:
        for name, path in files.items():
            other.add(name, engine.read(path, name=str(path)), sha256="")
            other.ready()
            told(1)
        return other.finish()
    finally:
        if isinstance(other, RangeMerging):
            other.stop()


def _only_rows(paths: Sequence[Path]) -> bool:
    """Whether all files can be merged in one step: rows are copied, where sums would be rounded once for each file."""
    from septum.merge.strict.contents import kinds_in

    return sum(len(str(path)) for path in paths) < _COMMAND_B and set(kinds_in(paths[0]).values()) <= ROWS


def _merge_strict(
    engine: Strict, target: Target, files: Mapping[str, Path], jobs: int, told: Callable[[int], None]
) -> StrictMerging:
    ordered = target.policies.get("sums") == "plain"
    count = 1 if ordered else max(1, min(jobs, len(files)))
    names = list(files)
    shares = [names[number * len(names) // count : (number + 1) * len(names) // count] for number in range(count)]
    helpers = [_Helper(target, {name: files[name] for name in share}) for share in shares[1:]]
    try:
        merging = _add_all(engine, target, {name: files[name] for name in shares[0]}, told)
        for helper, share in zip(helpers, shares[1:], strict=True):
            merging.join(helper.result(engine))
            told(len(share))
    finally:
        for helper in helpers:
            helper.stop()
    return merging


def _add_all(
    engine: Strict, target: Target, files: Mapping[str, Path], told: Callable[[int], None] = lambda _: None
) -> StrictMerging:
    merging = engine.begin(target)
    for name, path in files.items():
        merging.add(name, engine.read(path, name=str(path)), sha256="")
        told(1)
    return merging


class _Helper:
    """A process that adds some of the files, and leaves its sums as a checkpoint."""

    def __init__(self, target: Target, files: Mapping[str, Path]) -> None:
        first = next(iter(files))
        self._target = Target(
            name=target.name,
            parts=target.parts,
            describe=target.describe,
            source=target.source,
            scratch=target.scratch,
            key=f"{target.key}.{first}",
            policies=target.policies,
        )
        self._files = files
        context = multiprocessing.get_context("spawn")
        self._answer, theirs = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_work, args=(theirs, dict(files), self._plain_target()), daemon=True, name="septum-merge"
        )
        # Ctrl-C reaches every process of a terminal. Ours ends the others itself, in order and without their words.
        # Python's own tracker first: where it is started on the way, it lets the signal through again.
        resource_tracker.ensure_running()
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        theirs.close()

    def _plain_target(self) -> dict[str, Any]:
        """What another process needs of the target."""
        target = self._target
        return {
            "name": target.name,
            "parts": target.parts,
            "scratch": target.scratch,
            "key": target.key,
            "policies": dict(target.policies),
        }

    def result(self, engine: Strict) -> StrictMerging:
        """Wait for the process, and take up what it left."""
        try:
            answer = self._answer.recv()
        except EOFError:
            self._process.join()
            raise MergeFailedError(
                f"merge: a process that merged ended with {self._process.exitcode}",
                evidence="it said nothing; the memory of the machine may have run out",
                fix="try with fewer processes: --jobs 1",
            ) from None
        if answer is not None:
            code, what, evidence, fix = answer
            raise error_of(code)(what, evidence=evidence, fix=fix)
        merging = engine.resume(self._target, dict.fromkeys(self._files, ""))
        if merging is None:
            raise MergeFailedError(f"merge: the sums of a process for {self._target.name} are damaged", fix="try again")
        return merging

    def stop(self) -> None:
        """End the process."""
        self._answer.close()
        self._process.terminate()
        self._process.join()


def _work(answer: Connection, files: Mapping[str, Path], plain: dict[str, Any]) -> None:
    """What the process does; its answer is an error, or None."""
    target = Target(**plain, source=lambda name: files[name])
    try:
        _add_all(Strict(target.policies, early=False, digests=False), target, files).save()
    except SeptumError as error:
        answer.send((error.code, error.what, error.evidence, error.fix))
    except (OSError, MemoryError) as error:
        what = f"merge: a process that merged failed: {type(error).__name__}: {error}"
        answer.send(
            (MergeFailedError.code, what, "", "look whether the disk is full; or try fewer processes: --jobs 1")
        )
    else:
        answer.send(None)

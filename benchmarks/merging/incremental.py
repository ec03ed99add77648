"""The merge of a run whose outputs arrive one after the other: `python incremental.py TARGET FILE…`.

All files but the last are added as they come, with what a run does on the way: checkpoints, or merged ranges. Then the
last one arrives; the line that is printed at the end says how many seconds later the merged file was there (for the
strict engine, which writes it itself), and when it was verified.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from septum.merge.choice import choose
from septum.merge.engine import Engine, Merging, Target
from septum.merge.strict.merging import Strict, StrictMerging
from septum.verify import measure


def main(target: Path, files: list[str]) -> dict[str, float]:
    """Merge, and time what follows the last file."""
    engine = choose(Path(files[0]), name=target.name, environ=os.environ, policies={})
    scratch = target.with_suffix(".scratch")
    result = Target(name=target.name, parts=tuple(files), source=Path, scratch=scratch, key="0")
    merging = engine.begin(result)
    for name in files[:-1]:
        _add(engine, merging, name)
        merging.ready()
    times, merged = {}, []
    if isinstance(engine, Strict) and isinstance(merging, StrictMerging):
        times = _checkpoint(engine, merging, result, files)
        back = merging._read_back  # noqa: SLF001 - the moment between writing and verifying has no other name
        merging._read_back = lambda *args: (merged.append(time.perf_counter()), back(*args))  # noqa: SLF001
    start = time.perf_counter()
    _add(engine, merging, files[-1])
    merging.finish()
    times["verified_s"] = time.perf_counter() - start
    if merged:
        times["merged_s"] = merged[0] - start
    result.path.replace(target)
    return times


def _add(engine: Engine, merging: Merging, name: str) -> None:
    """What a run does with an output that has arrived: checksum, reading to the last byte, adding."""
    sha256 = measure(Path(name))[1]
    merging.add(name, engine.read(Path(name), name=name), sha256=sha256)


def _checkpoint(engine: Strict, merging: StrictMerging, result: Target, files: list[str]) -> dict[str, float]:
    """How long a checkpoint takes to write, and to take up again."""
    digests = {name: measure(Path(name))[1] for name in files[:-1]}
    return {
        "checkpoint_s": _time(merging.save),
        "resumed_s": _time(lambda: engine.resume(result, digests) or sys.exit("the checkpoint was not taken up")),
    }


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2:])))

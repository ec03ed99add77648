"""What all parts share, sent with each job and sent once: bytes and time, on a real pool with a real storage.

`python -m benchmarks.shared_inputs` runs the same analysis by each way and for each size, counts what septum sends to
the access point and to the storage, and prints a table. It takes hours with all parts: spooling 100 MB for 411 jobs
writes 41 GB. It ends with exit code 1 if a result differs, or if more than twice the shared input, beside the 80 kB
of programs and values that each job has anyway, went to the access point where it was to travel once.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import load, machine
from septum.facility import Facility
from septum.facility.facility import temporary_folder
from septum.units import show_duration, show_size
from tests.integration.shared_site import Site, counted, open_site

WAYS = ("spool", "https", "root")
_MB = 1_000_000
EACH_B = 100_000
"""More than the programs and values of a job take, which always go with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run.

    Attributes:
        way: How the shared input went: `spool`, or by a shared area.
        size_b: The shared input.
        again: Whether the storage had it from the run before.
        took_s: From the beginning of `septum run` to its end.
        pool_b: What septum sent to the access point.
        storage_b: What it sent to the storage.
        result: The sha256 of the result.
    """

    way: str
    size_b: int
    parts: int
    again: bool
    took_s: float
    pool_b: int
    storage_b: int
    result: str

    @property
    def keeps_its_word(self) -> bool:
        """Whether what was to travel once did so: twice its size at most, beside what is sent for each job anyway."""
        return self.way == "spool" or self.pool_b <= 2 * self.size_b + self.parts * EACH_B


def measure(site: Site, folder: Path, *, size_b: int, parts: int, ways: list[str], deadline_s: float) -> list[Measured]:
    """Run one analysis by each way; by those that have a storage, twice."""
    found = []
    turns = [(way, again) for way in ways for again in (False, True) if way != "spool" or not again]
    for way, again in turns:
        repository = site.repository(
            folder, way, f"bench-{way}-{size_b}", parts=parts, size_b=size_b, **{"call-deadline": "30 min"}
        )
        shutil.rmtree(folder / ".septum", ignore_errors=True)
        began = time.monotonic()
        done = counted(site, repository, secrets.token_hex(4), deadline_s=deadline_s)
        took_s = time.monotonic() - began
        if done.code != 0:
            raise SystemExit(f"{way}, {show_size(size_b)}: exit code {done.code}\n{done.said}")
        found.append(
            Measured(
                way=way,
                size_b=size_b,
                parts=parts,
                again=again,
                took_s=took_s,
                pool_b=done.pool_b,
                storage_b=done.storage_b,
                result=done.result,
            )
        )
        sys.stderr.write(f"{rows(found[-1:])[0]}\n")
    return found


def rows(measured: list[Measured]) -> list[str]:
    """The lines of the table."""
    return [
        f"| {show_size(run.size_b)} | {run.way}{', again' if run.again else ''} | {show_size(run.pool_b)} | "
        f"{run.pool_b / run.size_b:.2f} | {show_size(run.storage_b)} | {show_duration(run.took_s)} |"
        for run in measured
    ]


def main() -> int:
    """Measure, and print the table and, to a file, the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_inputs", description=__doc__)
    parser.add_argument("--parts", type=int, default=411, metavar="N", help="how many (411)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100], metavar="MB", help="1 10 100")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help=", ".join(WAYS))
    parser.add_argument("--slots", type=int, default=64, metavar="N", help="jobs at the same time (64)")
    parser.add_argument("--deadline", type=float, default=7200, metavar="S", help="of one run, in seconds (7200)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, too")
    asked = parser.parse_args()
    found: list[Measured] = []
    with (
        Facility() as facility,
        temporary_folder() as folder,
        open_site(facility, folder / "site", slots=asked.slots) as site,
    ):
        for size in asked.sizes:
            found += measure(
                site,
                folder / f"analysis-{size}",
                size_b=size * _MB,
                parts=asked.parts,
                ways=asked.ways,
                deadline_s=asked.deadline,
            )
    lines = ["| Shared input | Way | To the access point | × its size | To the storage | Time |", "| --- " * 6 + "|"]
    sys.stdout.write("\n".join([f"{machine()}; load {load():.1f}; {asked.parts} parts", "", *lines, *rows(found), ""]))
    if asked.json is not None:
        asked.json.write_text(
            json.dumps({"machine": machine(), "runs": [asdict(run) for run in found]}, indent=1) + "\n"
        )
    equal = all(len({run.result for run in found if run.size_b == size * _MB}) == 1 for size in asked.sizes)
    kept = all(run.keeps_its_word for run in found)
    if not (equal and kept):
        sys.stderr.write("the results differ\n" if not equal else "it did not travel once\n")
    return 0 if equal and kept else 1


if __name__ == "__main__":
    sys.exit(main())

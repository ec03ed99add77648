"""`python -m tests.probes`: runs all probes and writes the page about them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.probes.page import PATH, page
from tests.probes.running import wheel_hadd
from tests.probes.session import run_all


def _main() -> int:
    hadd = wheel_hadd()
    if hadd is None:
        sys.stderr.write("the page needs hadd of the package 'root': python3 -m pip install 'septum[root]'\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        runs, version = run_all(Path(folder), hadd)
    PATH.write_text(page(runs, version=version), encoding="utf-8")
    sys.stdout.write(f"{PATH}: {len(runs)} probes\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())

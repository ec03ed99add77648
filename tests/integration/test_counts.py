"""What septum asks of a schedd does not grow with the number of jobs: counted on the real pool, by the kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from septum.facility import Facility
from tests.faults.wire import start, wires
from tests.workshop import client_environment, pool_profile

NUMBERS = (100, 1_000, 10_000)
_ROOT = Path(__file__).parents[2]
_DEADLINE_S = 120


@pytest.fixture(scope="module")
def counted(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What was counted, by the number of jobs."""
    folder = tmp_path_factory.mktemp("counts")
    (folder / "clusters").mkdir()
    (folder / "clusters" / "pool.yaml").write_text(pool_profile(facility.pool, facility))
    pool, issuer = int(facility.endpoint.collector.rpartition(":")[2]), urlsplit(facility.issuer.url).port
    assert issuer is not None
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ = {**kept, **client_environment(facility), "PYTHONPATH": str(_ROOT)}
    program, numbers = [sys.executable, "-m", "tests.integration.counting"], [str(number) for number in NUMBERS]
    subprocess.run([*program, "stage", *numbers], check=True, cwd=folder, env=environ, timeout=_DEADLINE_S)
    with wires(pool, issuer) as ways:
        process = start([*program, "look", *numbers], ways, cwd=folder, env=environ, out=folder / "out")
        code = process.wait(_DEADLINE_S)
    said = (folder / "out").read_text()
    assert code == 0, said
    found: dict[str, dict[str, Any]] = json.loads(said.splitlines()[-1])
    return found


@pytest.mark.parametrize("number", NUMBERS[1:])
def test_a_look_at_the_queue(counted: dict[str, dict[str, Any]], number: int) -> None:
    """The same calls, and the same bytes within a tenth."""
    few, many = counted[str(NUMBERS[0])], counted[str(number)]

    assert few["looks"] == many["looks"] == {"summary": 3}
    assert abs(many["look_b"] / few["look_b"] - 1) < 0.1


@pytest.mark.parametrize("number", NUMBERS[1:])
def test_an_extension_of_the_lease(counted: dict[str, dict[str, Any]], number: int) -> None:
    """One edit, and one look at the clock, whatever there is to edit."""
    few, many = counted[str(NUMBERS[0])], counted[str(number)]

    assert few["extends"] == many["extends"] == {"clock": 1, "edit": 1}
    assert abs(many["extend_b"] / few["extend_b"] - 1) < 0.1

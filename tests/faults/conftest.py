"""The field of the fault matrix: a pool whose workers have no Python, one that may be broken, the undisturbed run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from septum.facility import Facility, Pool
from tests.faults.analysis import make_analysis
from tests.faults.matrix import Matrix, matrix
from tests.faults.rows import Field, Row
from tests.faults.run import new_run, sha256
from tests.workshop import client_environment

_SLOTS = 48


@pytest.fixture(scope="session")
def field(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """Where rows run."""
    folder = tmp_path_factory.mktemp("faults")
    none = folder / "python3"
    none.write_text("#!/bin/sh\nexit 127\n")
    none.chmod(0o755)
    environ = {"SEPTUM_CLUSTER": "pool", **client_environment(facility)}
    analysis = make_analysis(folder / "template", environ)
    interpreter = f"/usr/bin/python{facility.pool.sandbox.debian.python_version}"
    # A part without Python takes a third of the time, and there are hundreds.
    with facility.extra_pool("faults", slots=_SLOTS, read_only={interpreter: none}) as pool:
        undisturbed = new_run(
            Row(name="undisturbed", story=lambda _: None),
            Field(facility=facility, pool=pool, analysis=analysis, folder=folder, sha256=""),
            pool,
        )
        undisturbed.submit()
        undisturbed.septum("collect", code=0)
        result = undisturbed.repository.result / "all.root"
        yield Field(facility=facility, pool=pool, analysis=analysis, folder=folder, sha256=sha256(result))


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest, field: Field) -> Iterator[Matrix]:
    """All rows of this session, under way from now on."""
    wanted = [
        item.callspec.params["row"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "row" in item.callspec.params
    ]
    asked = [row for row in wanted if isinstance(row, Row)]

    @contextlib.contextmanager
    def breakable() -> Iterator[Pool]:
        config = ["MASTER_BACKOFF_CONSTANT = 1", "MASTER_BACKOFF_CEILING = 1", "SHUTDOWN_FAST_TIMEOUT = 5"]
        with field.facility.extra_pool("breakable", slots=16, config=config) as pool:
            yield pool

    with matrix(asked, field, breakable) as made:
        yield made

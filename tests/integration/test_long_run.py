"""A run that outlives its tokens several times, on a pool that wants the token at every call."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from septum.backends.htcondor import check
from septum.clusters.profile import Profile
from septum.credentials.held import Credentials, Held
from septum.credentials.provider import Kind
from septum.errors import AuthenticationError
from septum.facility import COMPUTE_SCOPES, Facility, Pool
from septum.facility.issuer import write_private
from tests.workshop import Repository, client_environment, kinds_repository, pool_profile

DURATION_S = int(os.environ.get("SEPTUM_TEST_LONG_RUN_S", "70"))
"""How long the batch lasts. Longer than its tokens in any case; several minutes when asked for."""
PARTS = 20
CLIENT, TOKEN_S = "twenty-seconds-client", 20
EARLIEST, LATEST = 0.45, 0.55
"""When a token is renewed, in parts of its life (`septum.credentials.obtain`)."""

# What the daemons write of a client that they do not let in.
REFUSED = re.compile(
    r"(?i)authentication of \S+ failed|failed to authenticate|token verification failed|failed to map|denied"
    r"|not authorized|expired"
)
ADMITTED = re.compile(rf"SSL authentication succeeded to \S+,{CLIENT}$", re.MULTILINE)
WARNING = re.compile(
    rf"warning: no new token yet \(client {CLIENT} at localhost:\d+ does not answer\); the old one lives for \d+ s"
)


@pytest.fixture(scope="module")
def pool(facility: Facility) -> Iterator[Pool]:
    """A pool whose schedd asks for the token at every call: nobody reads without, and no session outlasts a look."""
    config = [
        "SCHEDD.SEC_READ_AUTHENTICATION = REQUIRED",
        "SEC_DEFAULT_SESSION_DURATION = 1",
        "SCHEDD_DEBUG = D_SECURITY",
        "COLLECTOR_DEBUG = D_SECURITY",
    ]
    with facility.extra_pool("strict", config=config, slots=PARTS) as running:
        yield running


class _Logs:
    """What the daemons have written since this object was made."""

    def __init__(self, pool: Pool) -> None:
        self._files = {name: pool.log_folder / name for name in ("SchedLog", "CollectorLog")}
        self._begin = {name: path.stat().st_size for name, path in self._files.items()}

    def text(self) -> str:
        parts = []
        for name, path in self._files.items():
            with path.open(encoding="utf-8", errors="replace") as stream:
                stream.seek(self._begin[name])
                parts.append(stream.read())
        return "".join(parts)

    def refusals(self) -> list[str]:
        return [line for line in self.text().splitlines() if REFUSED.search(line)]


class _Output:
    """The lines of a process, as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def end(self, timeout_s: float) -> int:
        code = self._process.wait(timeout_s)
        self._thread.join(10)
        return code

    def warnings(self) -> list[str]:
        return [line for line in self.lines if "warning" in line]


def _wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.05)


def _given(facility: Facility) -> list[float]:
    """When the client got a token, in seconds since 1970."""
    asked = [entry for entry in facility.issuer.requests() if entry.get("client") == CLIENT]
    assert {entry["status"] for entry in asked} <= {200}
    return [datetime.fromisoformat(entry["time"]).timestamp() for entry in asked]


@pytest.fixture
def repository(facility: Facility, pool: Pool, tmp_path: Path) -> Repository:
    """Parts that end one after the other, until the last has slept for the whole duration."""
    (tmp_path / "runtime").mkdir()
    environ = {
        "SEPTUM_CLUSTER": "pool",
        "XDG_RUNTIME_DIR": str(tmp_path / "runtime"),
        **client_environment(facility, CLIENT),
    }
    made = kinds_repository(tmp_path / "analysis", ["nap"] * PARTS, environ=environ)
    script, step = made.folder / "part.sh", DURATION_S / (PARTS - 1)
    nap = f'nap) sleep $(awk "BEGIN {{ print $PART_seed * {step} }}"); cp good.root out.root ;;\nslow)'
    script.write_text(script.read_text().replace("slow)", nap))
    (made.folder / "clusters").mkdir()
    profile = pool_profile(pool, facility, **{"poll-ceiling": "2 s"})
    (made.folder / "clusters" / "pool.yaml").write_text(profile)
    return made


def _values(path: Path) -> tuple[Any, Any]:
    with uproot.open(path) as file:
        return file["mass"].values(flow=True), file["mass"].variances(flow=True)


def test_the_pool_tells_of_an_expired_token(facility: Facility, pool: Pool, tmp_path: Path) -> None:
    """What the next test looks for in the pool's logs does stand there when an expired token comes."""
    profile = Profile(
        name="strict",
        method="htcondor",
        collector=pool.endpoint.collector,
        schedd=pool.endpoint.schedd,
        authentication="scitokens",
    )
    credentials = Credentials(tmp_path)
    credentials.ca_file = facility.ca_file
    credentials.held[Kind.TOKEN] = Held(
        kind=Kind.TOKEN, path=tmp_path / "token", source="a test", identity="", expires_at=0, renewable=False
    )
    scope = " ".join(["wlcg", *COMPUTE_SCOPES])
    text = facility.issuer.token(CLIENT, scope=scope, audience=pool.endpoint.audience, lifetime_s=2)
    write_private(tmp_path / "token", text)
    logs = _Logs(pool)

    check(profile, credentials, tmp_path)
    assert logs.refusals() == []
    assert ADMITTED.search(logs.text())

    time.sleep(3)
    with pytest.raises(AuthenticationError):
        check(profile, credentials, tmp_path)
    assert [
        line for line in logs.refusals() if "authentication of 127.0.0.1 failed" in line and "token expired" in line
    ]


def test_a_run_that_outlives_its_tokens(facility: Facility, pool: Pool, repository: Repository) -> None:
    """Renewed at half of its life, no token is ever late, not even when the issuer is away for a while."""
    logs, before = _Logs(pool), len(_given(facility))
    for verb in ("prepare", "submit"):
        done = repository.septum(verb)
        assert done.returncode == 0, done.stdout
    began = time.monotonic()
    with repository.start("collect") as collecting:
        try:
            output = _Output(collecting)
            _disturb(facility, output, before)
            code = output.end(DURATION_S + 120)
        finally:
            collecting.kill()
    elapsed_s = time.monotonic() - began

    assert code == 0, "\n".join(output.lines)
    assert elapsed_s > DURATION_S > 3 * TOKEN_S
    # The issuer's absence is all that there was to say.
    assert output.warnings()
    assert [line for line in output.warnings() if not WARNING.fullmatch(line)] == []
    # Each look at the queue, each fetch and each lease came with a token, and with one that was good.
    assert logs.refusals() == []
    assert len(ADMITTED.findall(logs.text())) > DURATION_S / 4
    # Not more often than at every half life; the first two are of `submit` and of the beginning of `collect`.
    times = _given(facility)[before:]
    assert DURATION_S / (LATEST * TOKEN_S) - 1 < len(times) <= 2 + elapsed_s / (EARLIEST * TOKEN_S)
    _check_pace(repository)
    assert repository.whole_files() == ["all.root"]
    # The same as without any trouble: each part's histogram once.
    for whole, one in zip(
        _values(repository.result / "all.root"), _values(repository.folder / "good.root"), strict=True
    ):
        np.testing.assert_allclose(whole, PARTS * one, rtol=1e-12)
    assert list(Path(repository.environ["XDG_RUNTIME_DIR"]).iterdir()) == []


def _disturb(facility: Facility, output: _Output, before: int) -> None:
    """Take the issuer away shortly before a renewal, until little of the token's life is left."""
    # The tokens of `submit` and `collect`, and one renewal.
    _wait(lambda: len(_given(facility)) >= before + 3, 2 * TOKEN_S, "the first renewal")
    renewed = _given(facility)[-1]
    time.sleep(max(0, renewed + (EARLIEST - 0.05) * TOKEN_S - time.time()))
    with facility.issuer.down():
        _wait(output.warnings, TOKEN_S / 2, "the warning")
        time.sleep(max(0, renewed + 0.75 * TOKEN_S - time.time()))
    _wait(lambda: _given(facility)[-1] > renewed, TOKEN_S / 2, "the token after the break")
    assert _given(facility)[-1] - renewed < TOKEN_S


def _check_pace(repository: Repository) -> None:
    """See that outputs were fetched and verified all along."""
    with closing(sqlite3.connect(repository.folder / ".septum" / "run.sqlite")) as ledger:
        rows = ledger.execute("SELECT time_s FROM event WHERE state = 'verified' ORDER BY time_s").fetchall()
    times = [time_s for (time_s,) in rows]
    assert len(times) == PARTS
    assert times[-1] - times[0] > 0.8 * DURATION_S
    assert max(later - earlier for earlier, later in pairwise(times)) < 5 * DURATION_S / PARTS

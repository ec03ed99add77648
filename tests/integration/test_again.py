"""A run that failed, taken up again on the same machine: the failed parts and no others."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from septum.manifest import NAME, from_json
from tests.workshop import Repository, kinds_repository


def _repository(folder: Path, *, extra: str = "") -> Repository:
    """Four parts; each notes that it ran, and two of them want a file that is not there yet."""
    environ = {"SEPTUM_CLUSTER": "local"}
    made = kinds_repository(folder, ["good", "moody", "good", "moody"], extra=extra, environ=environ)
    script = made.folder / "part.sh"
    text = script.read_text()
    mood = f"moody) [ -e '{folder}/present' ] || {{ echo 'not present' >&2; exit 3; }}; cp good.root out.root ;;\n"
    note = f"echo $PART_seed >> '{folder}/ran'\n"
    script.write_text(note + text.replace("slow)", f"{mood}slow)"))
    return made


def _ran(folder: Path) -> list[str]:
    return sorted((folder / "ran").read_text().split())


def test_failed_parts_and_no_others(tmp_path: Path) -> None:
    """The cause is removed, collect is started again: two parts run again, and the result is whole."""
    ours = _repository(tmp_path)
    first = ours.septum("run")
    assert first.returncode == 30, first.stdout
    assert "'septum collect' runs the failed parts again" in first.stdout
    assert ours.whole_files() == []

    again = ours.septum("collect")
    assert again.returncode == 30, "the cause is still there"
    (tmp_path / "present").touch()
    collected = ours.septum("collect")

    assert collected.returncode == 0, collected.stdout
    assert _ran(tmp_path) == ["0", "1", "1", "1", "2", "3", "3", "3"]
    manifest = from_json((ours.result / NAME).read_text(), name=NAME)
    assert [part.jobs for part in manifest.parts] == [1, 3, 1, 3]
    assert [part.attempts for part in manifest.parts] == [1, 3, 1, 3]
    assert "collected already" in ours.septum("collect").stdout


def test_the_logs_of_earlier_jobs_stay(tmp_path: Path) -> None:
    """In the state folder all of them; in the result folder those of parts that failed."""
    ours = _repository(tmp_path, extra="keep-failed-sandbox: 1 MB\n")
    ours.septum("run")
    ours.septum("collect")
    logs = ours.folder / ".septum" / "logs"
    shown = {path.name for path in (ours.result / "logs").iterdir()}

    for name in ("septum-0001.stderr", "septum-0001.job1.stderr"):
        assert (logs / name).read_text() == "not present\n"
    assert {f"septum-{part}{job}.{ending}" for part in ("0001", "0003") for job in ("", ".job1")
            for ending in ("stderr", "tgz")} <= shown  # fmt: skip


def test_a_part_that_is_killed_with_its_septum(tmp_path: Path) -> None:
    """The parts of a local run end with it; the next collect starts them again and keeps what was there."""
    ours = _repository(tmp_path)
    (tmp_path / "present").touch()
    assert ours.septum("prepare").returncode == 0
    assert ours.septum("submit").returncode == 0
    with ours.start("collect") as process:
        process.kill()
    collected = ours.septum("collect")

    assert collected.returncode == 0, collected.stdout
    with closing(sqlite3.connect(ours.folder / ".septum" / "run.sqlite")) as ledger:
        assert ledger.execute("SELECT count(*), count(DISTINCT part) FROM merged").fetchone() == (4, 4)


def test_a_receipt_that_is_lost_outside_of_a_pipeline(tmp_path: Path) -> None:
    """Nothing names the run there, so that nobody else's jobs can be taken for ours."""
    ours = _repository(tmp_path)
    assert ours.septum("prepare").returncode == 0
    assert ours.septum("submit").returncode == 0
    receipt = ours.folder / ".septum" / "receipt.json"
    assert json.loads(receipt.read_text())["tag"].startswith("laptop/")
    receipt.unlink()
    collected = ours.septum("collect")

    assert collected.returncode == 2
    assert "Fix: submit first with 'septum submit'" in collected.stdout

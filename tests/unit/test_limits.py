"""A cap on what one run may ask for: a mistake in a list of parts must not become a week of a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.cli import main
from tests.fakes.analyses import BASE

PARTS = "parts: {product: {seed: {first: 1, last: 30}}}\n"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("limits: {parts: 29}", ["30 come out, and 'limits: parts' allows 29", "limits: {parts: 30}"]),
        (
            "limits: {cpu-hours: 100}\nresources: {cpus: 2, time: 2 h}",
            ["120 hours of CPU", "allows 100", "30 parts × 2 cores × 2 h", "limits: {cpu-hours: 120}"],
        ),
        # The profile of the cluster fills in what septum.yaml does not say: three hours.
        ("limits: {cpu-hours: 89.5}", ["90 hours of CPU"]),
    ],
)
def test_a_run_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limits: str, words: list[str]
) -> None:
    """Refused before anything runs, with what it would be and how to allow it."""
    monkeypatch.chdir(tmp_path)
    Path("septum.yaml").write_text(BASE + PARTS + limits + "\n")

    assert main(["run", "--cluster", "local"]) == 2
    shown = capsys.readouterr()
    assert [word for word in words if word not in shown.out + shown.err] == []
    assert not Path("result").exists() or not list(Path("result").glob("*.root"))


@pytest.mark.parametrize("limits", ["limits: {parts: 30, cpu-hours: 90}", "limits: {}", ""])
def test_a_run_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: str) -> None:
    """To the last part and hour."""
    monkeypatch.chdir(tmp_path)
    Path("septum.yaml").write_text(BASE + PARTS + limits + "\n")

    assert main(["prepare", "--cluster", "local"]) == 0
    assert main(["submit", "--cluster", "local"]) == 0


@pytest.mark.parametrize("limits", ["limits: {parts: 0}", "limits: {cpu-hours: -1}", "limits: {jobs: 3}", "limits: 3"])
def test_a_limit_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: str) -> None:
    """It is an error of the file, and not ignored."""
    monkeypatch.chdir(tmp_path)
    Path("septum.yaml").write_text(BASE + PARTS + limits + "\n")

    assert main(["plan", "--cluster", "local"]) == 2

"""How large the artifact will be, and what is said when GitLab would refuse it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from septum.errors import TooLargeError, UsageError
from septum.upload.forecast import DEFAULT_B, Limit, artifact_limit, check, forecast, packed_size

MB = 1 << 20
CI = {"GITLAB_CI": "true"}


@pytest.mark.parametrize(
    ("environ", "size_b", "known"),
    [
        ({}, 100 * MB, False),
        ({"SEPTUM_ARTIFACT_LIMIT": ""}, 100 * MB, False),
        ({"CI_SERVER_HOST": "gitlab.cern.ch"}, 100 * MB, False),
        ({"CI_SERVER_HOST": "gitlab.com"}, 1024 * MB, True),
        ({"CI_SERVER_HOST": "gitlab.com", "SEPTUM_ARTIFACT_LIMIT": " 5 GB "}, 5120 * MB, True),
    ],
)
def test_the_limit(environ: dict[str, str], size_b: int, *, known: bool) -> None:
    """GitLab's default, gitlab.com's own, or what somebody said who knows."""
    limit = artifact_limit(environ)

    assert (limit.size_b, limit.known) == (size_b, known)


@pytest.mark.parametrize("text", ["100", "much", "0 MB", "-1 MB", "1e9 MB", "100 MB\n200 MB"])
def test_a_limit_that_is_no_size(text: str) -> None:
    """Said with the variable's name and an example, not taken for the default."""
    with pytest.raises(UsageError, match="SEPTUM_ARTIFACT_LIMIT: expected a size") as caught:
        artifact_limit({"SEPTUM_ARTIFACT_LIMIT": text})
    assert caught.value.exit_code == 2
    assert "SEPTUM_ARTIFACT_LIMIT: 500 MB" in caught.value.fix


def test_the_forecast() -> None:
    """What grows with the parts grows in proportion, what is merged bin by bin does not."""
    seen = forecast(34 * MB, 40, 400, 100 * MB)
    histograms = forecast(0, 40, 400, 100 * MB, fixed_b=34 * MB)
    both = forecast(4 * MB, 40, 400, 100 * MB, fixed_b=45 * MB)

    assert seen is not None
    assert histograms is not None
    assert both is not None
    assert str(seen) == "results will be about 340.0 MB, the artifact limit is 100.0 MB"
    assert (seen.over, seen.near) == (True, True)
    assert (histograms.expected_b, histograms.over, histograms.near) == (34 * MB, False, False)
    assert (both.expected_b, both.over, both.near) == (85 * MB, False, True)


def test_a_forecast_needs_a_part() -> None:
    """Nothing is known of a run before the first part is in; of one that is over, all is."""
    assert forecast(0, 0, 400, DEFAULT_B) is None
    done = forecast(7, 3, 3, DEFAULT_B)
    assert done is not None
    assert done.expected_b == 7


def _folder(tmp_path: Path, **sizes_b: int) -> Path:
    for name, size_b in sizes_b.items():
        (tmp_path / f"{name}.root").write_bytes(os.urandom(size_b))
    return tmp_path


def _limit(size_b: int, *, known: bool = False) -> Limit:
    return Limit(size_b=size_b, source="GitLab's default", known=known)


def test_results_that_fit(tmp_path: Path) -> None:
    """Nothing is said below 80 %, a warning above."""
    folder = _folder(tmp_path, a=50_000, b=40_000)

    assert check([folder], _limit(200_000), CI) == ""
    assert "the results are about 87.9 kB, and the artifact limit is 97.7 kB" in check([folder], _limit(100_000), CI)


def test_results_that_gitlab_would_refuse(tmp_path: Path) -> None:
    """Exit code 46, the largest files by name, and lines to paste; the files stay."""
    folder = _folder(tmp_path, small=1000, large=90_000)
    (folder / "parts/0001").mkdir(parents=True)
    (folder / "parts/0001/tree.root").write_bytes(os.urandom(30_000))
    with pytest.raises(TooLargeError) as caught:
        check([folder], _limit(100_000), CI)
    lines = caught.value.evidence.splitlines()

    assert (caught.value.code, caught.value.exit_code) == ("E406", 46)
    assert "GitLab's default" in caught.value.what
    assert [line.split()[-1].removeprefix(f"{folder}/") for line in lines] == [
        "large.root",
        "parts/0001/tree.root",
        "small.root",
    ]
    assert "  publish:\n    to: root://" in caught.value.fix
    assert "SEPTUM_ARTIFACT_LIMIT" in caught.value.fix
    assert (folder / "large.root").stat().st_size == 90_000


def test_a_limit_that_somebody_knows_is_not_doubted(tmp_path: Path) -> None:
    """The way out is then to publish, and not to raise the limit."""
    with pytest.raises(TooLargeError) as caught:
        check([_folder(tmp_path, a=2000)], _limit(1000, known=True), CI)

    assert "SEPTUM_ARTIFACT_LIMIT" not in caught.value.fix


def test_what_is_left_can_be_too_large_as_well(tmp_path: Path) -> None:
    """Whoever publishes already is told what more can go."""
    with pytest.raises(TooLargeError) as caught:
        check([_folder(tmp_path, a=2000)], _limit(1000), CI, publishes=True)

    assert "a smaller 'above'" in caught.value.fix
    assert "publish:\n" not in caught.value.fix
    assert "SEPTUM_ARTIFACT_LIMIT" in caught.value.fix


def test_on_a_laptop_nothing_is_too_large(tmp_path: Path) -> None:
    """There is no artifact."""
    assert check([_folder(tmp_path, a=2000)], _limit(1000), {}) == ""


def test_texts_count_as_they_are_packed(tmp_path: Path) -> None:
    """GitLab packs the artifact: 3 MB of a table are not 3 MB of it, and random bytes stay what they are."""
    table = tmp_path / "table.csv"
    table.write_text("".join(f"{number},{number * number}\n" for number in range(200_000)))
    noise = _folder(tmp_path, noise=3 * MB) / "noise.root"
    empty = tmp_path / "empty.txt"
    empty.touch()

    assert packed_size(table) < table.stat().st_size / 2
    assert packed_size(noise) == 3 * MB
    assert packed_size(empty) == 0
    assert check([table], _limit(table.stat().st_size), CI) == ""
    with pytest.raises(TooLargeError):
        check([noise], _limit(3 * MB - 1), CI)


def test_what_is_not_there_and_links_do_no_harm(tmp_path: Path) -> None:
    """A missing path is nothing, a link counts as a link, and a name may be anything."""
    large = tmp_path / "outside"
    large.write_bytes(os.urandom(50_000))
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "link").symlink_to(large)
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    (folder / "a\nb\x1b[2J").write_bytes(b"x")

    assert check([folder, tmp_path / "nowhere"], _limit(1000), CI) == ""

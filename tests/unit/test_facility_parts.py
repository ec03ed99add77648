"""The parts of the rehearsal facility that need no pool."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from septum.facility import FacilityError, cache, process
from septum.facility.aptsource import find_mirror

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
# the archive
Types: deb deb-src
URIs: http://mirror.test/debian-security
Suites: trixie-security
Components: main

Types: deb
URIs: http://mirror.test/debian
Suites: trixie
 trixie-updates
Components: contrib main
Signed-By: /no/such/debian.gpg
"""
ONE_LINE = """\
# deb http://off.test/debian trixie main
deb-src http://source.test/debian trixie main
deb [arch=amd64 signed-by=/x.gpg] http://other.test/node trixie main
deb http://security.test/debian-security trixie-security main
deb [trusted=yes] http://list.test/debian/ trixie main contrib # the archive
"""


@pytest.mark.parametrize(
    ("name", "text", "uri"),
    [
        ("sources.list.d/debian.sources", DEB822, "http://mirror.test/debian"),
        ("sources.list", ONE_LINE, "http://list.test/debian/"),
        ("sources.list.d/debian.list", ONE_LINE, "http://list.test/debian/"),
    ],
)
def test_the_mirror_is_found_in_both_forms(tmp_path: Path, name: str, text: str, uri: str) -> None:
    """The archive is meant: not its security updates, not another project's packages, not what is switched off."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)

    assert find_mirror(tmp_path).uri == uri


def test_no_mirror_is_an_error_that_tells_what_was_found(tmp_path: Path) -> None:
    """The message names what there was instead."""
    (tmp_path / "sources.list").write_text("deb http://other.test/ubuntu noble main\n")
    with pytest.raises(FacilityError, match=r"other\.test/ubuntu(.|\n)*Fix: "):
        find_mirror(tmp_path)


def test_an_entry_is_built_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that fails leaves nothing; of two at the same time one builds and both get the result."""
    monkeypatch.setenv("SEPTUM_CACHE", str(tmp_path / "cache"))
    name = cache.entry_name("thing", ["1.0"])
    built = []

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise FacilityError("no network", fix="try again")

    def build(folder: Path) -> None:
        built.append(folder)
        time.sleep(0.3)
        (folder / "whole").touch()

    with pytest.raises(FacilityError, match="no network"):
        cache.build_once(name, fail)
    threads = [threading.Thread(target=cache.build_once, args=(name, build)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(built) == 1
    assert [path.name for path in cache.build_once(name, fail).iterdir()] == ["whole"]


def test_a_command_that_hangs_is_killed_with_its_children() -> None:
    """The deadline holds although a grandchild keeps the pipe open, and the message shows what was printed."""
    start = time.monotonic()
    with pytest.raises(FacilityError, match=r"count: not done after 0\.5 s(.|\n)*one"):
        process.run(["sh", "-c", "echo one; sleep 100 & wait"], what="count", timeout_s=0.5)

    assert time.monotonic() - start < 10

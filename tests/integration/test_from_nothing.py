"""The tutorial from nothing to the report: its commands as they stand on the page, as an ordinary user."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import uproot

from septum.facility import Facility
from septum.facility.cache import cache_folder
from tests.fakes import gitlab_project, gitlab_server
from tests.pages import Reader, blocks
from tests.workshop import Repository

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "from-nothing.md"
# Nobody's root: in a user namespace of one user, who has no capability, and owns what the user of the tests owns.
_ORDINARY = ("unshare", "--user", "--map-user=1000", "--map-group=1000") if os.geteuid() == 0 else ()
# Of the whole rehearsal, beside the downloads.
_REHEARSAL_S = 240.0


def _home(folder: Path, gitlab: str) -> Path:
    """A home with a name for commits, and an address for gitlab.cern.ch that leads to this machine.

    Its user has confirmed once that the token is of that GitLab.
    """
    folder.mkdir()
    (folder / ".gitconfig").write_text(
        f'[user]\nname = YOUR-NAME\nemail = you@example.org\n[url "{gitlab}/"]\ninsteadOf = https://gitlab.cern.ch/\n'
    )
    (folder / ".config" / "septum").mkdir(parents=True)
    (folder / ".config" / "septum" / "gitlabs").write_text(f"{gitlab}\n")
    return folder


def test_every_command_from_nothing_to_the_report_does_what_the_page_shows(facility: Facility, tmp_path: Path) -> None:
    """With a pool of its own beside that of the tests; the rehearsal gives what this machine gave, to the bit."""
    work, cache = tmp_path / "work", cache_folder()
    work.mkdir()
    with gitlab_server.serving(*gitlab_project.ENDPOINTS) as server:
        environ = Repository(folder=work).environment(
            HOME=str(_home(tmp_path / "home", server.url)),
            SEPTUM_CACHE=str(cache),
            SEPTUM_GITLAB_TOKEN=gitlab_server.OWNER,
        )
        reader = Reader(folder=work, environ=environ, user=_ORDINARY, timeout_s=_REHEARSAL_S)
        results = []
        for block in blocks(PAGE):
            reader.follow(block)
            result = reader.folder / "result" / "dimuon.root"
            results += [_values(result)] if block.language == "console" and result.is_file() else []

        assert server.requests
        assert server.writes() == []
    assert reader.folder == work / "zpeak"
    assert len(results) > 2
    assert all(np.array_equal(values, results[0]) for values in results)
    assert (work / "zpeak" / "result" / "report.html").is_file()
    assert [path.name for path in work.iterdir()] == ["zpeak"]


def _values(path: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    with uproot.open(path) as file:
        values: np.ndarray[tuple[int], np.dtype[np.float64]] = file["mass"].values(flow=True)
    return values

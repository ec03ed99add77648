"""The places where jobs run; every test of this folder runs on each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from septum.facility import Facility
from tests.fakes.reana.handle import ReanaServer, reana_server
from tests.fakes.reana.site import CLUSTER, VARIABLE, name_image, reana_profile
from tests.fakes.storage import WebDavDouble, serving
from tests.workshop import Repository, client_environment, kinds_repository, pool_profile


@dataclass(frozen=True, slots=True)
class Site:
    """A place where jobs run; `profile` is None where septum's own profile is enough."""

    cluster: str
    environ: Mapping[str, str]
    profile: str | None
    in_image: bool = False

    def kinds(self, folder: Path, kinds: Sequence[str], *, extra: str = "") -> Repository:
        """A repository whose parts do what their kinds say, ready to run here."""
        return self.prepare(kinds_repository(folder, kinds, extra=extra, environ=self.environ))

    def repository(self, folder: Path, files: Mapping[str, str]) -> Repository:
        """A repository with these files, ready to run here."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="")
        return self.prepare(Repository(folder=folder, environ=self.environ))

    def prepare(self, repository: Repository) -> Repository:
        """Put the profile into a repository."""
        if self.profile is not None:
            (repository.folder / "clusters").mkdir(exist_ok=True)
            (repository.folder / "clusters" / f"{self.cluster}.yaml").write_text(self.profile)
        if self.in_image:
            name_image(repository.folder)
        return repository


@pytest.fixture(scope="session")
def reana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReanaServer]:
    """A REANA server, which takes no request that the published description does not have."""
    with reana_server(tmp_path_factory.mktemp("reana"), slots=16) as server:
        yield server


@pytest.fixture(scope="session", params=["local", "pool", "area", "reana"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Each place in turn; `area` is the pool with a shared area, from where the jobs fetch what all parts share."""
    if request.param == "local":
        yield Site("local", {"SEPTUM_CLUSTER": "local"}, None)
        return
    if request.param == "reana":
        server: ReanaServer = request.getfixturevalue("reana")
        environ = {"SEPTUM_CLUSTER": CLUSTER, VARIABLE: server.token}
        yield Site(CLUSTER, environ, reana_profile(server), in_image=True)
        return
    facility: Facility = request.getfixturevalue("facility")
    environ = {"SEPTUM_CLUSTER": "pool", **client_environment(facility)}
    if request.param == "pool":
        yield Site("pool", environ, pool_profile(facility.pool, facility))
        return
    area = WebDavDouble("localhost", folders={"", "/area"})
    with serving(area, facility._authority):
        more: dict[str, Any] = {"shared-area": f"{area.url}/area", "shared-above": "1 B"}
        yield Site("pool", environ, pool_profile(facility.pool, facility, **more))
    # Whatever went wrong in the parts: what was brought there they have fetched.
    assert "GET" in area.methods() or "PUT" not in area.methods()

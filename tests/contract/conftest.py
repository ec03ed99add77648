"""The places where jobs run; every test of this folder runs on each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from septum.facility import Facility
from tests.fakes.reana.handle import ReanaServer, reana_server
from tests.fakes.reana.site import CLUSTER, VARIABLE, name_image, reana_profile
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


@pytest.fixture(scope="session", params=["local", "pool", "reana"])
def site(request: pytest.FixtureRequest) -> Site:
    """Each place in turn."""
    if request.param == "local":
        return Site("local", {"SEPTUM_CLUSTER": "local"}, None)
    if request.param == "reana":
        server: ReanaServer = request.getfixturevalue("reana")
        environ = {"SEPTUM_CLUSTER": CLUSTER, VARIABLE: server.token}
        return Site(CLUSTER, environ, reana_profile(server), in_image=True)
    facility: Facility = request.getfixturevalue("facility")
    environ = {"SEPTUM_CLUSTER": "pool", **client_environment(facility)}
    return Site("pool", environ, pool_profile(facility.pool, facility))

"""What submission finds out about the image: it is said, recorded, and given to every part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.clusters.profile import Profile
from septum.errors import ConfigError, ImageNameError, PartImageError, PartOtherImageError
from septum.images import resolve
from septum.images.cvmfs import Seen
from septum.images.registry import Answer
from septum.plan import Plan
from septum.stages import Options
from septum.stages.submit import _announce_image, _resolve_image
from septum.state import Receipt, State
from tests.fakes.analyses import plan_of, seeds

ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
DIGEST = "sha256:" + "d" * 64
KNOWN = Answer(text="HTTP 200", found=True, digest=DIGEST, image_id=ONE)
OFFLINE = Answer(text="the registry ghcr.io cannot be asked from here: ConnectionError")


class Desk:
    """Where it is found out."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plan: Plan = replace(plan_of(seeds(1), folder), image="ghcr.io/a/b:1")
        self.answer = KNOWN
        self.seen = Seen(state="no-cvmfs", repository="/cvmfs/unpacked.cern.ch")
        self.said: list[str] = []
        self.asked: list[str] = []
        self.options = Options(config=folder / "septum.yaml", cluster="c", environ={})
        monkeypatch.setattr(resolve, "ask_registry", self._ask)
        monkeypatch.setattr(resolve, "look", lambda _: self.seen)

    def _ask(self, reference: Any, **_: Any) -> Answer:
        self.asked.append(str(reference))
        return self.answer

    def find(self, **keys: Any) -> resolve.Resolved | None:
        """As `septum submit` does."""
        keys = {"image_method": "singularity-image", "method": "htcondor", **keys}
        return _resolve_image(self.plan, Profile(name="c", **keys), self.options, self.said.append)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A plan with an image, and a registry that knows it."""
    return Desk(tmp_path, monkeypatch)


def test_the_digest_and_the_id_are_known(desk: Desk) -> None:
    """By the registry; the log says the digest."""
    found = desk.find()

    assert found is not None
    assert (found.digest, found.image_id, found.unknown) == (DIGEST, ONE, "")
    assert desk.said == [f"image ghcr.io/a/b:1: {DIGEST}"]


def test_nobody_answers(desk: Desk) -> None:
    """The run goes on and says why the image is not known, unless the profile requires that it is."""
    desk.answer = OFFLINE
    found = desk.find()

    assert found is not None
    assert (found.digest, found.image_id, found.unknown) == ("", "", OFFLINE.text)
    assert desk.said == [f"image ghcr.io/a/b:1: nobody knows which, {OFFLINE.text}"]
    with pytest.raises(PartImageError, match="requires") as caught:
        desk.find(image_digest="required")
    assert "ConnectionError" in caught.value.evidence


def test_cvmfs_knows_what_the_registry_does_not_say(desk: Desk) -> None:
    """The id in the path is good enough for a profile that requires one."""
    desk.answer = OFFLINE
    desk.seen = Seen(state="there", path="/cvmfs/x", image_id=TWO, repository="/cvmfs/unpacked.cern.ch")
    found = desk.find(image_digest="required")

    assert found is not None
    assert found.image_id == TWO


def test_ci_and_workers_would_have_different_images(desk: Desk) -> None:
    """Nothing is submitted."""
    desk.seen = Seen(state="there", path="/cvmfs/x", image_id=TWO, repository="/cvmfs/unpacked.cern.ch")

    with pytest.raises(PartOtherImageError) as caught:
        desk.find()
    assert ONE in caught.value.evidence
    assert TWO in caught.value.evidence


def test_a_tag_that_moves_is_said(desk: Desk) -> None:
    """As a warning in the log of the CI job."""
    desk.plan = replace(desk.plan, image="ghcr.io/a/b:master")
    desk.find()

    assert desk.said[0].startswith("warning: image ghcr.io/a/b:master: the tag 'master'")


@pytest.mark.parametrize(
    ("image", "keys"),
    [("ghcr.io/a/b:1", {"image_method": "none"}), ("ghcr.io/a/b:1", {"method": "local"}), (None, {}), ("/data/x", {})],
)
def test_no_registry_is_asked_for_nothing(desk: Desk, image: str | None, keys: dict[str, str]) -> None:
    """A cluster without images, a run without one, an image that is in no registry."""
    desk.plan = replace(desk.plan, image=image)
    desk.find(**keys)

    assert desk.asked == []


def test_an_unpacked_path_tells_its_image(desk: Desk) -> None:
    """Who writes the path on CVMFS himself is held to the registry all the same."""
    desk.plan = replace(desk.plan, image="/cvmfs/unpacked.cern.ch/registry.hub.docker.com/library/almalinux:9")
    found = desk.find()

    assert found is not None
    assert found.image_id == ONE
    assert desk.asked == ["docker.io/library/almalinux:9"]


def test_a_name_that_is_none(desk: Desk) -> None:
    """It ends the submission before anything else happens."""
    desk.plan = replace(desk.plan, image="ghcr.io/A/b:1")

    with pytest.raises(ImageNameError):
        desk.find()


def test_the_receipt_keeps_it(tmp_path: Path) -> None:
    """And a receipt of a run without image is read as before."""
    state = State(tmp_path / "state")
    plain = Receipt(tag="t", plan="p", cluster="c", collector="h:1", schedd="s", submitted_s=5)
    for receipt in (plain, replace(plain, image_digest=DIGEST, image_id=ONE), replace(plain, image_unknown="offline")):
        state.store_receipt(receipt)
        assert state.load_receipt() == receipt


def test_on_reana_the_digest_is_found_out(desk: Desk) -> None:
    """Whatever `image-method` says: every part starts in that image."""
    found = desk.find(method="reana", credentials="access-token", image_method="none")

    assert found is not None
    assert (found.digest, found.worker) == (DIGEST, "ghcr.io/a/b:1")


def test_reana_needs_an_image(desk: Desk) -> None:
    """It starts nothing without; elsewhere a plan without an image runs as it is."""
    bare = replace(desk.plan, image=None)

    with pytest.raises(ConfigError, match="names none") as caught:
        _announce_image(bare, Profile(name="r", method="reana", credentials="access-token"), desk.said.append)
    _announce_image(bare, Profile(name="c", method="htcondor"), desk.said.append)

    assert "--image" in caught.value.fix
    assert desk.said == []

"""Images on CVMFS: what a path there is, the wish list, and the verb `septum image`."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from septum.cli import image as verb
from septum.cli import main
from septum.errors import (
    ConfigError,
    ImageNameError,
    ImageNotThereError,
    PartOtherImageError,
    TryAgainError,
    UsageError,
)
from septum.images import cvmfs, resolve
from septum.images.cvmfs import Seen, id_of, look
from septum.images.reference import parse_image, parse_reference
from septum.images.registry import Answer
from septum.images.wishlist import find_wish, wish_of

ONE, TWO = "ab" + "1" * 62, "cd" + "2" * 62
NAME = "registry.example.org/team/ana:1"


def unpack(root: Path, image_id: str, name: str = NAME) -> Path:
    """What DUCC leaves: a folder named by the image's id, and a link to it."""
    flat = root / ".flat" / image_id[:2] / image_id
    flat.mkdir(parents=True, exist_ok=True)
    link = root / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(flat, link.parent))
    return link


def test_what_stands_at_a_path(tmp_path: Path) -> None:
    """The folder behind the link tells the id; a link that is swapped tells another."""
    repository = tmp_path / "unpacked.test"
    path = unpack(repository, ONE)
    first = look(str(path), tmp_path)
    unpack(repository, TWO)
    second = look(str(path), tmp_path)

    assert (first.state, first.image_id, second.image_id) == ("there", f"sha256:{ONE}", f"sha256:{TWO}")
    assert first.path == str(repository / ".flat/ab" / ONE)
    assert first.repository == str(repository)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    """What a mounted repository has not is absent; of one that is not mounted nobody knows."""
    unpack(tmp_path / "unpacked.test", ONE)
    (tmp_path / "unpacked.test/dangling:1").symlink_to("nowhere")

    assert look(f"{tmp_path}/unpacked.test/a/b:1", tmp_path).state == "absent"
    assert look(f"{tmp_path}/unpacked.test/dangling:1", tmp_path).state == "absent"
    assert look(f"{tmp_path}/other.test/a/b:1", tmp_path).state == "no-cvmfs"
    assert look("/nowhere/x.sif", tmp_path).state == "elsewhere"
    assert look(f"{tmp_path}/unpacked.test/" + "x" * 5000, tmp_path).state == "absent"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/cvmfs/u/.flat/ab/{ONE}", f"sha256:{ONE}"),
        (f"/cvmfs/u/.flat/ab/{ONE}/usr", f"sha256:{ONE}"),
        (f"/cvmfs/u/.flat/cd/{ONE}", ""),
        (f"/cvmfs/u/.flat/ab/{ONE}0", ""),
        (f"/cvmfs/u/.images/ab/{ONE}", ""),
        ("/cvmfs/u/.flat/ab/abc", ""),
        ("", ""),
    ],
)
def test_the_id_in_a_path(path: str, expected: str) -> None:
    """Only in the form that DUCC gives it."""
    assert id_of(path) == expected


def test_a_file_system_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not keep the CI job."""
    stuck = threading.Event()
    monkeypatch.setattr(cvmfs, "_look", lambda *_: stuck.wait(30))
    try:
        with pytest.raises(TryAgainError, match="no answer"):
            look("/cvmfs/x", deadline_s=0.05)
    finally:
        stuck.set()


# ── CI and workers ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A registry and a CVMFS that say what a test wants them to."""
    state = SimpleNamespace(
        answer=Answer(text="registry.example.org: HTTP 200", found=True, digest="sha256:" + "f" * 64),
        seen=[Seen(state="absent", repository="/cvmfs/unpacked.cern.ch")],
        slept=[],
    )

    def next_look(*_: Any, **__: Any) -> Seen:
        found: Seen = state.seen.pop(0) if len(state.seen) > 1 else state.seen[0]
        return found

    monkeypatch.setattr(resolve, "ask_registry", lambda *_, **__: state.answer)
    monkeypatch.setattr(resolve, "look", next_look)
    monkeypatch.setattr(cvmfs, "look", next_look)
    monkeypatch.setattr(cvmfs, "CVMFS", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("SEPTUM_IMAGE", "SEPTUM_CLUSTER", "SEPTUM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return state


def _with_id(image_id: str) -> Answer:
    return Answer(text="HTTP 200", found=True, digest="sha256:" + "f" * 64, image_id=image_id)


def _there(image_id: str) -> Seen:
    path = f"/cvmfs/unpacked.cern.ch/.flat/{image_id[:2]}/{image_id}"
    return Seen(state="there", path=path, image_id=f"sha256:{image_id}", repository="/cvmfs/unpacked.cern.ch")


def septum(*words: str) -> int:
    """Call the command line."""
    return main(["image", *words])


def test_resolve_shows_both_sides(world: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """What the CI job and the workers use, the digest, and whether the path is here."""
    world.answer, world.seen = _with_id(f"sha256:{ONE}"), [_there(ONE)]

    assert septum("resolve", NAME, "--cluster", "infn-af") == 0
    out = capsys.readouterr().out
    for words in (
        f"image: {NAME}",
        f"+SingularityImage = /cvmfs/unpacked.cern.ch/{NAME}",
        "sha256:" + "f" * 64,
        f"sha256:{ONE}",
        f".flat/ab/{ONE}",
    ):
        assert words in out


def test_resolve_in_json(world: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for machines; offline, the registry is not asked."""
    world.answer = None
    assert septum("resolve", "a/b:latest", "--cluster", "infn-af", "--offline", "--json") == 0
    data = json.loads(capsys.readouterr().out)

    assert data["worker"] == "/cvmfs/unpacked.cern.ch/registry.hub.docker.com/a/b:latest"
    assert data["ci"] == "docker.io/a/b:latest"
    assert (data["registry"], data["digest"]) == (None, "")
    assert "tomorrow" in data["moves"]
    assert data["unknown"] == "no registry was asked"


def test_resolve_when_cvmfs_has_another_image(world: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """CI would run one and the workers another: that is an error, with both ids."""
    world.answer, world.seen = _with_id(f"sha256:{ONE}"), [_there(TWO)]

    assert septum("resolve", NAME, "--cluster", "infn-af") == 38
    said = capsys.readouterr()
    assert ONE in said.err
    assert TWO in said.err
    assert "E319" in said.err


def test_the_image_of_the_configuration(world: SimpleNamespace, tmp_path: Path) -> None:
    """Without an argument it is that of `septum.yaml`; without any it is a mistake."""
    asked: Any = SimpleNamespace(image=None, config="septum.yaml", action="resolve", cluster="local", set=[])
    with pytest.raises(UsageError, match="none is named"):
        verb._image(asked)
    (tmp_path / "septum.yaml").write_text(
        "name: x\nimage: ghcr.io/a/b:1\ncommand: [x]\nparts: {list: [{v: 1}]}\noutputs: [a.root]\nmerge: {}\n"
    )

    assert verb._image(asked) == "ghcr.io/a/b:1"
    assert world.slept == []


@pytest.mark.parametrize("config", ["septum.yaml", "reana.yaml"])
def test_the_image_of_a_workflow_of_reana(config: str, world: SimpleNamespace, tmp_path: Path) -> None:
    """That of its steps; `reana.yaml` may be named, or stand in the place of a septum.yaml that is not there."""
    (tmp_path / "reana.yaml").write_text(
        "version: 0.9.4\ninputs: {parameters: {events: 5}}\nworkflow:\n  type: serial\n  specification:\n"
        "    steps:\n      - {environment: ghcr.io/a/b:2, commands: ['echo ${events} >o']}\noutputs: {files: [o]}\n"
    )
    asked: Any = SimpleNamespace(image=None, config=config, action="resolve", cluster="local", set=[])

    assert verb._image(asked) == "ghcr.io/a/b:2"
    assert world.slept == []


@pytest.mark.parametrize("action", ["resolve", "wait", "wishlist"])
def test_a_name_that_is_none(world: SimpleNamespace, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb refuses it with one clear error."""
    assert septum(action, "A/b:1", "--cluster", "infn-af") == 2
    assert "lower case" in capsys.readouterr().err
    assert world.slept == []


# ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────


def waiting(world: SimpleNamespace, *words: str) -> int:
    """`septum image wait`, with a clock that only sleeping moves on."""
    import argparse

    parser = argparse.ArgumentParser()
    verb.register(parser.add_subparsers())
    args = parser.parse_args(["image", "wait", NAME, "--cluster", "infn-af", *words])

    def sleep(seconds: float) -> None:
        world.slept.append(seconds)

    clock: Callable[[], float] = lambda: float(sum(world.slept))  # noqa: E731 - of one line
    return verb.wait_for_image(args, clock=clock, sleep=sleep)


def test_wait_until_it_is_there(world: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """Absent, then the old image, then the one that the registry has; a line for each change, none in between."""
    absent = Seen(state="absent", repository="/cvmfs/unpacked.cern.ch")
    world.answer = _with_id(f"sha256:{ONE}")
    world.seen = [absent, absent, absent, _there(TWO), _there(TWO), _there(ONE)]

    assert waiting(world) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "not there" in lines[0]
    assert f"another image (sha256:{TWO})" in lines[1]
    assert lines[2].endswith(": there")
    assert world.slept == [60] * 4


def test_wait_for_a_path_alone(world: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """If nobody knows the image's id, the path is all that can be waited for, and that is said."""
    world.answer = Answer(text="offline")
    world.seen = [_there(TWO)]

    assert waiting(world) == 0
    assert "id is not known (offline)" in capsys.readouterr().out


def test_wait_no_longer_than_asked(world: SimpleNamespace) -> None:
    """The exit code says that it may be tried again, and the message what was seen last."""
    world.answer = _with_id(f"sha256:{ONE}")
    with pytest.raises(ImageNotThereError, match="after 5 min") as caught:
        waiting(world, "--deadline", "5 min", "--interval", "2 min")

    assert caught.value.exit_code == 75
    assert "not there" in caught.value.evidence
    assert sum(world.slept) <= 300


def test_what_cannot_be_waited_for(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that is not in the registry, a machine without CVMFS, a cluster that pulls: each at once."""
    world.answer = Answer(text="404", absent=True)
    with pytest.raises(UsageError, match="the registry has no"):
        waiting(world)
    with pytest.raises(UsageError, match="does not come by CVMFS"):
        waiting(world, "--set", "image-form=docker")
    monkeypatch.setattr(cvmfs, "CVMFS", Path("/nowhere"))
    with pytest.raises(UsageError, match="has no /nowhere"):
        waiting(world)
    assert world.slept == []


# ── the wish list ───────────────────────────────────────────────────────────────────────────────────────────────

RECIPE = """\
version: 1
user: someone
cvmfs_repo: 'unpacked.test'
output_format: 'https://registry.test/sync/$(image)'
input:
    - 'https://registry.hub.docker.com/library/almalinux:9'
    - "https://ghcr.io/a/b:21.2.1*"
    - https://ghcr.io/a/all:*
    - 'https://ghcr.io/a/middle:v*-el9'
    - 'https://registry.test:5000/a/b:1.0'
    - 'https://docker.io/library/fedora:40'
    - 'https://ghcr.io/a/notag'
    - 'https://ghcr.io/a/set:[12]?'
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("almalinux:9", 6),
        ("docker.io/library/almalinux:9", 6),
        ("almalinux:8", None),
        ("ghcr.io/a/b:21.2.1", 7),
        ("ghcr.io/a/b:21.2.1.7-20260101", 7),
        ("ghcr.io/a/b:21x2.1", None),
        ("ghcr.io/a/b:121.2.1", None),
        ("ghcr.io/a/all:anything", 8),
        ("ghcr.io/b/all:anything", None),
        ("ghcr.io/a/middle:v3-el9", 9),
        ("ghcr.io/a/middle:v3-el9.1", None),
        ("registry.test:5000/a/b:1.0", 10),
        ("registry.test/a/b:1.0", None),
        # its folder would be below docker.io, where nobody looks for it
        ("fedora:40", None),
        ("ghcr.io/a/notag:latest", None),
        # no sets of letters, only the asterisk
        ("ghcr.io/a/set:1x", None),
    ],
)
def test_what_a_wish_list_has(tmp_path: Path, text: str, line: int | None) -> None:
    """By the name that the folder on CVMFS gets; `*` stands for anything, in the tag alone."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    found = find_wish(recipe, parse_reference(text))

    assert (found and found.where) == (f"{recipe}:{line}" if line else None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("[]", "not a wish list"),
        ("version: 1\n", "not a wish list"),
        ("version: 1\ninput: x\n", "not a wish list"),
        ("version: 2\ninput: []\n", "version '2'"),
        ("input: []\n", "version None"),
        ("version: 1\ninput: [\n", "recipe.yaml:"),
    ],
)
def test_a_file_that_is_no_wish_list(tmp_path: Path, text: str, words: str) -> None:
    """It is said, and not taken for a list without the image."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    with pytest.raises(ConfigError, match=words.replace("[", r"\[")):
        find_wish(recipe, parse_reference("a/b:1"))


def test_entries_of_other_types_are_passed_over(tmp_path: Path) -> None:
    """A list may hold what DUCC itself passes over."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("version: 1\ninput: [~, {a: b}, [c], '', ':', 'https://ghcr.io/a/b:1']\n")
    found = find_wish(recipe, parse_reference("ghcr.io/a/b:1"))

    assert found is not None
    assert found.text == "https://ghcr.io/a/b:1"


def test_the_line_to_paste(world: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ready for the list; if it is there already, the place is named instead."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    assert septum("wishlist", "rootproject/root:6.32", "--recipe", "recipe.yaml") == 0
    assert capsys.readouterr().out == "    - 'https://registry.hub.docker.com/rootproject/root:6.32'\n"
    assert septum("wishlist", "almalinux:9", "--recipe", "recipe.yaml") == 0
    assert capsys.readouterr().out.startswith("recipe.yaml:6: ")
    assert septum("wishlist", "almalinux:9", "--recipe", "recipe.yaml", "--json") == 0
    assert json.loads(capsys.readouterr().out)["there"]["where"] == "recipe.yaml:6"
    assert world.slept == []


@pytest.mark.parametrize("text", ["a/b", "a/b@sha256:" + "a" * 64, "/cvmfs/x", "https://h/x.sif", "oras://a/b:1"])
def test_what_cannot_be_wished_for(text: str) -> None:
    """The folder on CVMFS is named by a tag, and comes from a registry."""
    with pytest.raises(ImageNameError):
        wish_of(parse_image(text))


def test_the_error_of_two_images_under_one_name() -> None:
    """It is one of a part, too, which may be tried on another worker."""
    assert PartOtherImageError.transient
    assert PartOtherImageError.exit_code == 38

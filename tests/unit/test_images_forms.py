"""The names of an image: what a text means, what each side calls it, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from septum.clusters.profile import Profile
from septum.errors import ImageNameError
from septum.images.forms import (
    ci_name,
    docker_url,
    sif_path,
    submit_commands,
    unpacked_path,
    unpacked_reference,
    worker_image,
)
from septum.images.reference import parse_image, parse_reference, why_mutable

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
U = "/cvmfs/unpacked.cern.ch"
HUB = f"{U}/registry.hub.docker.com"
CERN = "gitlab-registry.cern.ch/cms-analysis/general/mkshapesrdf"

FORMS = [
    # what is written, for `image:`, the folder on CVMFS, the file that `apptainer pull` makes
    (f"{CERN}:v1", f"{CERN}:v1", f"{U}/{CERN}:v1", "mkshapesrdf_v1"),
    (f"docker://{CERN}:v1", f"{CERN}:v1", f"{U}/{CERN}:v1", "mkshapesrdf_v1"),
    (CERN, f"{CERN}:latest", f"{U}/{CERN}:latest", "mkshapesrdf_latest"),
    (f"{CERN}@{A}", f"{CERN}@{A}", f"{U}/{CERN}:{A}", None),
    (f"{CERN}:v1@{A}", f"{CERN}@{A}", f"{U}/{CERN}:v1", "mkshapesrdf_v1"),
    (f"GitLab-Registry.CERN.ch/a/b:1@{B}", f"gitlab-registry.cern.ch/a/b@{B}",
     f"{U}/gitlab-registry.cern.ch/a/b:1", "b_1"),
    ("almalinux:9", "docker.io/library/almalinux:9", f"{HUB}/library/almalinux:9", "almalinux_9"),
    ("almalinux", "docker.io/library/almalinux:latest", f"{HUB}/library/almalinux:latest", "almalinux_latest"),
    ("library/almalinux:9", "docker.io/library/almalinux:9", f"{HUB}/library/almalinux:9", "almalinux_9"),
    ("docker.io/almalinux:9", "docker.io/library/almalinux:9", f"{HUB}/library/almalinux:9", "almalinux_9"),
    ("docker.io/library/almalinux:9", "docker.io/library/almalinux:9", f"{HUB}/library/almalinux:9", "almalinux_9"),
    ("index.docker.io/almalinux:9", "docker.io/library/almalinux:9", f"{HUB}/library/almalinux:9", "almalinux_9"),
    ("registry-1.docker.io/library/almalinux:9", "docker.io/library/almalinux:9",
     f"{HUB}/library/almalinux:9", "almalinux_9"),
    ("registry.hub.docker.com/library/almalinux:9", "docker.io/library/almalinux:9",
     f"{HUB}/library/almalinux:9", "almalinux_9"),
    ("rootproject/root:6.32", "docker.io/rootproject/root:6.32", f"{HUB}/rootproject/root:6.32", "root_6.32"),
    ("docker.io/rootproject/root:6.32", "docker.io/rootproject/root:6.32", f"{HUB}/rootproject/root:6.32", "root_6.32"),
    ("docker://rootproject/root:6.32", "docker.io/rootproject/root:6.32", f"{HUB}/rootproject/root:6.32", "root_6.32"),
    (f"rootproject/root:6.32@{A}", f"docker.io/rootproject/root@{A}", f"{HUB}/rootproject/root:6.32", "root_6.32"),
    ("cmssw/el9:x86_64", "docker.io/cmssw/el9:x86_64", f"{HUB}/cmssw/el9:x86_64", "el9_x86_64"),
    ("atlas/analysisbase:21.2.1-20260101", "docker.io/atlas/analysisbase:21.2.1-20260101",
     f"{HUB}/atlas/analysisbase:21.2.1-20260101", "analysisbase_21.2.1-20260101"),
    ("a/b/c:1", "docker.io/a/b/c:1", f"{HUB}/a/b/c:1", "c_1"),
    ("registry:5000/a/b:tag", "registry:5000/a/b:tag", f"{U}/registry:5000/a/b:tag", "b_tag"),
    ("registry:5000/a/b", "registry:5000/a/b:latest", f"{U}/registry:5000/a/b:latest", "b_latest"),
    ("registry:5000", "docker.io/library/registry:5000", f"{HUB}/library/registry:5000", "registry_5000"),
    ("localhost/a:1", "localhost/a:1", f"{U}/localhost/a:1", "a_1"),
    ("localhost:5000/a:1", "localhost:5000/a:1", f"{U}/localhost:5000/a:1", "a_1"),
    ("127.0.0.1:5000/a:1", "127.0.0.1:5000/a:1", f"{U}/127.0.0.1:5000/a:1", "a_1"),
    ("[::1]:5000/a/b:1", "[::1]:5000/a/b:1", f"{U}/[::1]:5000/a/b:1", "b_1"),
    ("gitlab-p4n.example.org:5005/x/y-z/w__v:latest", "gitlab-p4n.example.org:5005/x/y-z/w__v:latest",
     f"{U}/gitlab-p4n.example.org:5005/x/y-z/w__v:latest", "w__v_latest"),
    ("ghcr.io/a/b--c:V1.0_RC-2", "ghcr.io/a/b--c:V1.0_RC-2", f"{U}/ghcr.io/a/b--c:V1.0_RC-2", "b--c_V1.0_RC-2"),
    ("ghcr.io/a/b:" + "t" * 128, "ghcr.io/a/b:" + "t" * 128, f"{U}/ghcr.io/a/b:" + "t" * 128, "b_" + "t" * 128),
    ("ghcr.io/a/b:_x", "ghcr.io/a/b:_x", f"{U}/ghcr.io/a/b:_x", "b__x"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "ci", "unpacked", "sif"), FORMS)
def test_a_reference_and_its_forms(text: str, ci: str, unpacked: str, sif: str | None) -> None:
    """The registry is spelt out, the folder on CVMFS has a tag always, and a digest goes before a tag elsewhere."""
    image = parse_image(text)
    assert image.reference is not None

    assert ci_name(image) == ci
    assert docker_url(image.reference) == f"docker://{ci}"
    assert unpacked_path(image.reference, U) == unpacked_path(image.reference, U + "/") == unpacked
    if sif is None:
        with pytest.raises(ImageNameError, match="no tag"):
            sif_path(image.reference, "/images/")
    else:
        assert sif_path(image.reference, "/images/") == f"/images/{sif}.sif"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{HUB}/library/almalinux:9", "docker.io/library/almalinux:9"),
        (f"{U}/registry:5000/a/b:tag", "registry:5000/a/b:tag"),
        (f"{U}/ghcr.io/a/b:{A}", "None"),
        (f"{U}/.flat/ab/{'ab' * 32}", "None"),
        (f"{U}x/ghcr.io/a/b:1", "None"),
        (U, "None"),
    ],
)
def test_the_way_back_from_an_unpacked_path(path: str, expected: str) -> None:
    """A path of the form that DUCC makes tells the image; another one does not."""
    assert str(unpacked_reference(path, U + "/")) == expected


@pytest.mark.parametrize("text", [row[0] for row in FORMS])
def test_a_reference_written_out_is_the_same_reference(text: str) -> None:
    """Reading what was written gives the same, so that no form drifts."""
    reference = parse_image(text).reference
    assert reference is not None

    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.pinned).name == reference.name


def profile_of(**keys: Any) -> Profile:
    """A cluster that takes images by the attribute."""
    keys = {"image_method": "singularity-image", **keys}
    return Profile(name="c", method="htcondor", collector="cm.example.org:9618", schedd="s", **keys)


ON_WORKERS: list[tuple[str | None, dict[str, str], str]] = [
    (None, {}, ""),
    ("", {}, ""),
    ("a/b:1", {}, f"{HUB}/a/b:1"),
    ("a/b:1", {"image_prefix": "/cvmfs/x"}, "/cvmfs/x/registry.hub.docker.com/a/b:1"),
    ("a/b:1", {"image_form": "docker"}, "docker://docker.io/a/b:1"),
    ("a/b:1", {"image_form": "sif", "image_prefix": "/data/sif/"}, "/data/sif/b_1.sif"),
    ("docker://ghcr.io/a/b:1", {}, "docker://ghcr.io/a/b:1"),
    ("oras://ghcr.io/a/b:1", {}, "oras://ghcr.io/a/b:1"),
    ("/cvmfs/unpacked.cern.ch/ghcr.io/a/b:1", {"image_form": "docker"}, "/cvmfs/unpacked.cern.ch/ghcr.io/a/b:1"),
    ("/cvmfs/unpacked.cern.ch/ghcr.io/a/b:1/", {}, "/cvmfs/unpacked.cern.ch/ghcr.io/a/b:1"),
    ("/data/x.sif", {}, "/data/x.sif"),
    ("https://example.org/x/y.sif", {}, "https://example.org/x/y.sif"),
    ("osdf://pool/x/y.sif", {"image_form": "sif"}, "osdf://pool/x/y.sif"),
]


@pytest.mark.parametrize(("text", "keys", "expected"), ON_WORKERS)
def test_the_form_on_the_workers(text: str | None, keys: dict[str, str], expected: str) -> None:
    """A reference as the profile says; a path, a URL and an explicit scheme as they are."""
    assert worker_image(text, profile_of(**keys)) == expected
    assert worker_image(text, profile_of(**keys, image_method="none")) == ""


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("", "container-image", {}),
        ("/cvmfs/x", "singularity-image", {"MY.SingularityImage": "/cvmfs/x"}),
        ("/cvmfs/x", "container-image", {"container_image": "/cvmfs/x", "transfer_container": "false"}),
        ("docker://a/b:1", "container-image", {"container_image": "docker://a/b:1", "transfer_container": "false"}),
        ("https://h/x.sif", "container-image", {"container_image": "https://h/x.sif"}),
    ],
)
def test_the_commands_that_ask_for_an_image(name: str, method: str, expected: dict[str, str]) -> None:
    """A path on the worker is not transferred, a URL is."""
    assert submit_commands(name, profile_of(image_method=method)) == expected


@pytest.mark.parametrize("name", ["cern-lxbatch", "infn-af"])
def test_the_sites_take_folders_on_cvmfs(name: str) -> None:
    """The profiles that are shipped, with the path that the sites' own pages show."""
    from septum.clusters.catalog import load_profile

    profile = load_profile(name, environ={}, root=Path(), complete=False).profile

    assert worker_image(f"{CERN}:v1", profile) == f"{U}/{CERN}:v1"
    assert list(submit_commands(f"{U}/x:1", profile)) == ["MY.SingularityImage"]


def test_a_profile_without_a_folder_of_images() -> None:
    """A form that needs one is refused when the profile is read, not when jobs fail."""
    with pytest.raises(ValueError, match="image-prefix"):
        profile_of(image_prefix="")
    assert profile_of(image_prefix="", image_form="docker").image_prefix == ""


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = [
    ("", "empty"),
    ("ghcr.io/a/b:v1+2", "no '+'"),
    ("ghcr.io/a/B:1", "lower case"),
    ("Team/Analysis", "lower case"),
    ("ghcr.io/a/b:", "the tag ''"),
    ("ghcr.io/a/b:-x", "the tag"),
    ("ghcr.io/a/b:" + "t" * 129, "128 at most"),
    ("ghcr.io/a/b:1:2", "the tag"),
    ("ghcr.io/a/b@sha256:12", "a digest is"),
    (f"ghcr.io/a/b@{A.upper()}", "a digest is"),
    ("ghcr.io/a/b@sha512:" + "a" * 128, "a digest is"),
    ("ghcr.io//b", "not the name of a repository"),
    ("ghcr.io/../b", "not the name of a repository"),
    ("ghcr.io/a/./b", "not the name of a repository"),
    ("ghcr.io/", "not the name of a repository"),
    ("ghcr.io/a___b", "not the name of a repository"),
    ("-x.example.org/a", "not the name of a registry"),
    ("ghcr.io:http/a", "not the name of a registry"),
    ("ghcr.io/" + "a/" * 130 + "b", "not the name of a repository"),
    ("a" * 10_000, "1024"),
    ("a b", "without blanks"),
    ("a\tb", "without blanks"),
    ("a/b:1\nqueue 9", "without blanks"),
    ("a/b:1\n", "without blanks"),
    ("a/b\x00", "without blanks"),
    ("bücher/a", "ASCII"),
    ("ghcr.io/\u0430/b", "ASCII"),  # a Cyrillic letter
    ("a/b:1\u202e", "ASCII"),
    ("'a/b'", "not the name"),
    ('"a/b"', "not the name"),
    ("a/b:$(id)", "it holds a variable"),
    ("$CI_REGISTRY_IMAGE:1", "the component's input 'image'"),
    ("${IMG}", "it holds a variable"),
    ("$[[ inputs.image ]]", "it holds a variable"),
    ("user:pw@host/x", "must not hold a user or a password"),
    ("user@host/x:1", "must not hold a user or a password"),
    ("host.org:99999/a/b:1", "the port 99999 of the registry is not from 1 to 65535"),
    ("localhost:0/a", "the port 0 of the registry"),
    ("[::1]:65536/a", "the port 65536 of the registry"),
    ("UBUNTU:22.04", "write ubuntu:22.04"),
    ("GHCR.IO/A/b:V1", "write GHCR.IO/a/b:V1"),
    ("ghcr.io/a/b:1@sha256:" + "a" * 63, "behind it stand 63 characters"),
    ("a/b@", "behind it stand 0 characters"),
    ("`id`", "not the name"),
    ("a/b;id", "not the name"),
    ("a/b:*", "the tag"),
    ("--privileged", "not the name"),
    ("mine.sif", "not sent to the workers"),
    ("images/mine.sif", "not sent to the workers"),
    ("/", "a path may hold"),
    ("/cvmfs//x", "no empty piece"),
    ("/cvmfs/x/../../etc", "'..'"),
    ("/cvmfs/./x", "'..'"),
    ("/cvmfs/x y", "without blanks"),
    ("/cvmfs/$HOME", "it holds a variable"),
    ("/cvmfs/x,y", "a path may hold"),
    ('/cvmfs/x"', "a path may hold"),
    ("/cvmfs/x\\", "a path may hold"),
    ("/cvmfs/*", "a path may hold"),
    ("https://example.org/x", "a .sif file"),
    ("ftp://example.org/x.sif", "a .sif file"),
    ("file:///etc/x.sif", "a .sif file"),
    ("https://example.org/a/../x.sif", "'..'"),
    ("https://example.org/x.sif?token=1", "a .sif file"),
    ("docker:///a", "not the name"),
    ("docker://docker://a", "not the name"),
    ("docker://", "empty"),
    ("oras://Ghcr.io/A:1", "lower case"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_is_not_the_name_of_an_image(text: str, words: str) -> None:
    """Each is refused with the reason, in a message that is short and prints nothing harmful."""
    with pytest.raises(ImageNameError) as caught:
        parse_image(text)

    said = str(caught.value)
    assert words in said
    assert caught.value.fix
    assert len(said) < 600
    assert all(letter.isprintable() or letter == "\n" for letter in said)


@pytest.mark.parametrize(
    "text",
    [
        "https://me:S3cret@example.org/x.sif",
        "docker://me:S3cret@example.org/x:1",
        "me:S3cret@host/x",
        "me:S3cret/p@host/x",
        "S3cret@host/x",
        "me:S3cret@host/x@sha256:12",
        "me:S3cret@$HOST/x",
    ],
)
def test_a_password_in_a_name_is_not_repeated(text: str) -> None:
    """It is refused, and the message goes to a log that others read."""
    with pytest.raises(ImageNameError) as caught:
        parse_image(text)

    assert "S3cret" not in str(caught.value)


# ── names that move ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a/b", "no tag"),
        ("a/b:latest", "another image tomorrow"),
        ("a/b:Master", "another image tomorrow"),
        ("a/b:main", "another image tomorrow"),
        ("a/b:6.32-nightly", "another image tomorrow"),
        ("a/b:latest-el9", "another image tomorrow"),
        ("a/b:kerberos_auth", "looks like a branch"),
        ("/cvmfs/unpacked.cern.ch/ghcr.io/a/b:master", "another image tomorrow"),
        ("a/b:1.2", ""),
        ("a/b:v1", ""),
        ("a/b:el9", ""),
        ("a/b:0a1b2c3", ""),
        ("a/b:abcdefa", ""),
        (f"a/b:latest@{A}", ""),
        (f"a/b@{A}", ""),
        (f"/cvmfs/unpacked.cern.ch/ghcr.io/a/b:{A}", ""),
        ("/cvmfs/x/image", ""),
        ("https://example.org/latest.sif", ""),
    ],
)
def test_names_that_mean_another_image_tomorrow(text: str, words: str) -> None:
    """A branch is one, a version, a commit and a digest are none."""
    found = why_mutable(parse_image(text))

    assert (words in found) if words else found == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("python:3.12", "docker.io/library/python:3.12"),
        ("docker://ghcr.io/a/b:1", "ghcr.io/a/b:1"),
        (f"ghcr.io/a/b:1@sha256:{'1' * 64}", f"ghcr.io/a/b@sha256:{'1' * 64}"),
        ("/cvmfs/unpacked.cern.ch/ghcr.io/a/b:1", "/cvmfs/unpacked.cern.ch/ghcr.io/a/b:1"),
        ("", ""),
    ],
)
def test_on_reana(text: str, name: str) -> None:
    """A rule's `container:` has the name in the registry, without a scheme; a path on CVMFS stays one."""
    assert worker_image(text, Profile(name="r", method="reana", credentials="access-token")) == name


@pytest.mark.parametrize("text", ["oras://ghcr.io/a/b:1", "/data/image.sif", "https://example.org/image.sif"])
def test_what_reana_does_not_start(text: str) -> None:
    """It is refused before anything is sent, with what would do."""
    with pytest.raises(ImageNameError, match="REANA does not start"):
        worker_image(text, Profile(name="r", method="reana", credentials="access-token"))

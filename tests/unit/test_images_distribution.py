"""What a registry answers to a question without a login, and what can be made of it."""

from __future__ import annotations

import pytest

from septum.images.distribution import (
    LARGEST_B,
    Challenge,
    bounded,
    document_of,
    manifest_url,
    read_challenge,
    token_of,
)
from septum.images.reference import parse_reference

REALM = "https://gitlab.example.org/jwt/auth"


@pytest.mark.parametrize(
    ("header", "challenge", "wants_token"),
    [
        (
            f'Bearer realm="{REALM}",service="container_registry",scope="repository:a/b:pull",error="x"',
            Challenge(scheme="bearer", realm=REALM, service="container_registry", scope="repository:a/b:pull"),
            True,
        ),
        (f'BEARER realm="{REALM}"', Challenge(scheme="bearer", realm=REALM), True),
        (
            'Bearer realm="http://gitlab.example.org/"',
            Challenge(scheme="bearer", realm="http://gitlab.example.org/"),
            False,
        ),
        ('Bearer realm="file:///etc/passwd"', Challenge(scheme="bearer", realm="file:///etc/passwd"), False),
        ('Basic realm="here"', Challenge(scheme="basic", realm="here"), False),
        ("Bearer", Challenge(scheme="bearer"), False),
        ("", Challenge(scheme=""), False),
    ],
)
def test_how_a_registry_wants_its_clients_to_log_in(header: str, challenge: Challenge, *, wants_token: bool) -> None:
    """A token is asked for over TLS alone."""
    assert read_challenge(header) == challenge
    assert read_challenge(header).wants_token is wants_token


@pytest.mark.parametrize(
    ("realm", "host"),
    [(REALM, "gitlab.example.org"), ("https://gitlab.example.org@thief.org:8/x", "thief.org"), ("", "")],
)
def test_the_host_that_gives_the_token(realm: str, host: str) -> None:
    """A user in front of it is not the host."""
    assert Challenge(scheme="bearer", realm=realm).host == host


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b'{"token": "a.b.c"}', "a.b.c"),
        (b'{"access_token": "t"}', "t"),
        (b'{"token": "", "access_token": "t"}', "t"),
        (b'{"token": "a\\r\\nX-Evil: 1"}', ""),
        (b'{"token": "\\u0430"}', ""),
        (b"{}", ""),
        (b"[]", ""),
        (b"<html>", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_a_token_is_one_that_a_header_can_hold(body: bytes, token: str) -> None:
    """Anything else is none, and no error."""
    assert token_of(body) == token


@pytest.mark.parametrize(("body", "words"), [(b"", "not JSON"), (b"\xff", "not JSON"), (b"[1]", "not a manifest")])
def test_a_document_that_is_none(body: bytes, words: str) -> None:
    """It is said what it is not."""
    with pytest.raises(ValueError, match=words):
        document_of(body)


def test_an_answer_without_end_is_not_read_to_it() -> None:
    """Nor one for which there is no time any more."""

    def late() -> None:
        raise TimeoutError

    assert bounded([b"a", b"", b"b"]) == b"ab"
    with pytest.raises(ValueError, match="larger than a manifest"):
        bounded(b"x" * (LARGEST_B // 4) for _ in range(1_000_000))
    with pytest.raises(TimeoutError):
        bounded([b"a"], late)


def test_docker_hub_is_asked_at_its_own_address() -> None:
    """The name of an image on it is not that of the registry behind it."""
    assert manifest_url(parse_reference("almalinux:9"), "9") == (
        "https://registry-1.docker.io/v2/library/almalinux/manifests/9"
    )
    assert manifest_url(parse_reference("h.org:5000/a/b"), "sha256:1") == "https://h.org:5000/v2/a/b/manifests/sha256:1"

"""Logs of parts, from which credentials are taken out."""

from __future__ import annotations

import base64
import random
import secrets
from pathlib import Path

import proxy_files  # type: ignore[import-not-found]
import pytest

from septum.credentials import mask
from septum.credentials.detect import REACH
from septum.credentials.mask import mask_file
from septum.credentials.redact import KNOWN


def _key() -> bytes:
    return bytes(proxy_files.user().key_pem)


def _noise(size: int) -> bytes:
    line = b"2026-11-22 12:00:00 INFO event 4711: pt=17.3\n"
    return (line * (size // len(line) + 1))[:size]


def test_key_that_nobody_knows(tmp_path: Path) -> None:
    """A key is covered by stars; size, lines, and all that stands around it stay."""
    log = tmp_path / "log"
    log.write_bytes(b"before\n" + _key() + b"after\n" + base64.b64encode(_key()) + b" end\n")
    size, lines = log.stat().st_size, log.read_bytes().count(b"\n")

    assert mask_file(log) == 2

    text = log.read_bytes()
    assert text.startswith(b"before\n***")
    assert text.endswith(b" end\n")
    assert b"after\n" in text
    assert (len(text), text.count(b"\n")) == (size, lines)
    hidden = [*_key().splitlines()[1:-1], base64.b64encode(_key())[100:200]]
    assert not [line for line in hidden if line[:16] in text or line[-16:] in text]


def test_known_secret(tmp_path: Path) -> None:
    """What is known is found in every encoding."""
    secret = secrets.token_urlsafe(32)
    KNOWN.add(secret)
    (tmp_path / "log").write_text(f"a {secret} b {secret.encode().hex()} c\n")

    assert mask_file(tmp_path / "log") == 2
    assert set((tmp_path / "log").read_text()) == set("a*b c\n")


@pytest.mark.parametrize("seed", range(4))
def test_large_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Where pieces of it meet, nothing hides, and nothing is changed twice."""
    monkeypatch.setattr(mask, "_BLOCK", 3 * REACH // 2)
    r = random.Random(seed)
    noise = [_noise(r.randrange(1, 2 * REACH)) for _ in range(12)]
    log = tmp_path / "log"
    log.write_bytes(b"\n".join(piece + b"\n" + _key() for piece in noise))

    assert mask_file(log) == len(noise)

    text = log.read_bytes()
    assert b"BEGIN" not in text
    wanted = b"\n".join(piece + b"\n" + _key() for piece in noise)
    assert len(text) == len(wanted)
    assert all(a == b or a == ord("*") for a, b in zip(text, wanted, strict=True))


def test_nothing_to_do(tmp_path: Path) -> None:
    """A clean log is not touched, and one that is not there is no error."""
    log = tmp_path / "log"
    log.write_bytes(_noise(100_000))
    before = (log.stat().st_mtime_ns, log.read_bytes())

    assert mask_file(log) == mask_file(tmp_path / "none") == 0
    assert (log.stat().st_mtime_ns, log.read_bytes()) == before

"""Who a cluster takes us for, asked the same way whatever its method is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from septum.backends import access, htcondor, reana
from septum.clusters.profile import Profile
from septum.credentials.held import Credentials
from septum.errors import IdentityError

LINES = [("server", "reana.example.org"), ("account", "ana@example.org"), ("quota", "1 of 5 GB"), ("version", "0.9.4")]


def _reana(monkeypatch: pytest.MonkeyPatch, lines: list[tuple[str, str]], **changes: Any) -> access.Access:
    monkeypatch.setattr(reana, "check", lambda *_, **__: lines, raising=False)
    known = {"name": "r", "method": "reana", "credentials": "access-token", "reana_server": "https://reana.example.org"}
    return access.ask(Profile(**{**known, **changes}), Credentials(Path("/nowhere")), Path("/nowhere"))


def test_reana(monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines are shown; the sentence has account and quota."""
    found = _reana(monkeypatch, LINES)

    assert (list(found.lines), found.version, found.account) == (LINES, "0.9.4", "ana@example.org")
    assert found.sentence == "REANA at reana.example.org takes us for ana@example.org; quota 1 of 5 GB"


def test_reana_that_says_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made up."""
    silent = [("account", "unknown"), ("version", "unknown"), ("quota", "the server does not say")]
    found = _reana(monkeypatch, silent)

    assert found.sentence == "REANA at reana.example.org takes us for an account without a name"
    assert (found.version, list(found.lines)) == ("", silent)


@pytest.mark.parametrize("expected", ["ana", "ana@example.org"])
def test_the_account_that_is_expected(monkeypatch: pytest.MonkeyPatch, expected: str) -> None:
    """With or without what stands behind the @."""
    assert _reana(monkeypatch, LINES, expect_account=expected).account == "ana@example.org"


def test_another_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of somebody else's is refused before anything is sent."""
    with pytest.raises(IdentityError, match="expects 'bob'"):
        _reana(monkeypatch, LINES, expect_account="bob")


def test_htcondor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedd's lines as they are."""
    lines = [("schedd", "s at c:9618"), ("version", "25.1"), ("account", "ana@pool")]
    monkeypatch.setattr(htcondor, "check", lambda *_: lines)

    found = access.ask(Profile(name="c", method="htcondor"), Credentials(Path("/nowhere")), Path("/nowhere"))

    assert (found.sentence, found.version) == ("schedd s at c:9618 takes us for ana@pool", "25.1")

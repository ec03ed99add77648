"""Kerberos tickets, with small scripts in the place of MIT's tools; the real ones are tested with a real realm."""

from __future__ import annotations

import base64
import datetime as dt
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from token_files import seen_in  # type: ignore[import-not-found]

from septum.credentials.kerberos import KerberosTicket
from septum.credentials.provider import Kind
from septum.credentials.redact import KNOWN
from septum.credentials.secret import Secret
from septum.errors import IssuerUnavailableError, KerberosError

PASSWORD = "correct horse 'battery' $HOME"
KEYTAB = b"\x05\x02\x00\x00\x00\x40" + bytes(range(256)) + b"\n "
NOW = 1_795_000_000.0

# Notes all that it is given, and writes a cache.
_KINIT = """#!/bin/sh
printf '%s\\n' "$@" > "$TMPDIR/argv"
tr '\\0' '\\n' < /proc/$$/cmdline > "$TMPDIR/cmdline"
env > "$TMPDIR/env"
cat > "$TMPDIR/stdin"
while [ $# -gt 0 ]; do
    case $1 in
        -c) printf 'the ticket' > "${2#FILE:}"; echo "${2#FILE:}" > "$TMPDIR/cache" ;;
        -t) cp -p "${2#FILE:}" "$TMPDIR/keytab"; stat -c '%a' "${2#FILE:}" > "$TMPDIR/mode" ;;
    esac
    shift
done
"""
_KLIST = """#!/bin/sh
cat <<'END'
Ticket cache: FILE:/dev/shm/cache
Default principal: analyst@EXAMPLE.ORG

Valid starting       Expires              Service principal
{table}
\trenew until 11/29/26 10:00:00
END
"""
_TABLE = "11/22/26 10:00:00  11/22/26 20:00:00  krbtgt/EXAMPLE.ORG@EXAMPLE.ORG"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder on `PATH` with both tools."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "private").mkdir(mode=0o700)
    _tool(tmp_path / "bin" / "kinit", _KINIT)
    _tool(tmp_path / "bin" / "klist", _KLIST.format(table=_TABLE))
    return tmp_path / "bin"


def _tool(path: Path, text: str) -> None:
    path.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _ticket(tools: Path, **changes: Any) -> KerberosTicket:
    values = {
        "principal": "analyst@EXAMPLE.ORG",
        "keytab": Secret(""),
        "password": Secret(PASSWORD),
        "environ": {
            "PATH": f"{tools}:{os.defpath}",
            "TMPDIR": str(tools.parent / "notes"),
            "KRB5_CONFIG": "/krb5.conf",
            "KRB5_PASSWORD": PASSWORD,
            "KRB5CCNAME": "FILE:/other",
        },
        "folder": tools.parent / "private",
    }
    return KerberosTicket(**{**values, **changes})


def _note(tools: Path, name: str) -> str:
    return (tools.parent / "notes" / name).read_text()


def test_password(tools: Path) -> None:
    """The password goes to standard input alone: not into an argument, a variable or a file."""
    grant = _ticket(tools).fetch(NOW)

    assert grant.content == b"the ticket"
    assert grant.expires_at == dt.datetime(2026, 11, 22, 20, tzinfo=dt.timezone.utc).timestamp()
    assert grant.identity == "analyst@EXAMPLE.ORG"
    assert _note(tools, "stdin") == PASSWORD + "\n"
    assert _note(tools, "argv").splitlines() == ["-c", "FILE:" + _note(tools, "cache").strip(), "--", grant.identity]
    for note in ("argv", "cmdline", "env"):
        assert "horse" not in _note(tools, note)
    assert list((tools.parent / "private").iterdir()) == []


def test_environment(tools: Path) -> None:
    """The tools get no more of the environment than they need, and speak English and UTC."""
    _ticket(tools).fetch(NOW)

    env = dict(line.split("=", 1) for line in _note(tools, "env").splitlines())
    assert {"LC_ALL", "TZ", "KRB5_CONFIG", "PATH", "TMPDIR"} <= set(env)
    assert (env["LC_ALL"], env["TZ"], env["KRB5_CONFIG"]) == ("C", "UTC", "/krb5.conf")
    assert not {"KRB5_PASSWORD", "KRB5CCNAME", "HOME"} & set(env)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(KEYTAB).decode(),
        base64.encodebytes(KEYTAB).decode(),
        "  " + base64.b64encode(KEYTAB).decode() + "\n",
        KEYTAB.decode("latin-1"),
    ],
)
@pytest.mark.usefixtures("tools")
def test_keytab(tools: Path, text: str) -> None:
    """The keytab's bytes are in a private file for the time of the call, and nowhere else."""
    _ticket(tools, keytab=Secret(text), password=Secret("")).fetch(NOW)

    words = _note(tools, "argv").splitlines()
    assert (tools.parent / "notes" / "keytab").read_bytes() == KEYTAB
    assert _note(tools, "mode").strip() == "600"
    assert words[2:4] == ["-k", "-t"]
    assert words[4].startswith(f"FILE:{tools.parent}/private/kinit-")
    assert _note(tools, "stdin") == ""
    assert base64.b64encode(KEYTAB).decode()[:20] not in _note(tools, "argv") + _note(tools, "env")
    assert list((tools.parent / "private").iterdir()) == []
    assert KEYTAB.hex()[40:80] not in KNOWN.text(KEYTAB.hex())


@pytest.mark.parametrize(
    "text", ["junk", "!!!", base64.b64encode(b"hunter2, no keytab").decode(), "\x05\x01\x00", "é" * 8, "ab=c"]
)
def test_garbage_keytab(tools: Path, text: str) -> None:
    """What is no keytab is said before the realm is asked, without its content."""
    with pytest.raises(KerberosError, match="holds no keytab") as caught:
        _ticket(tools, keytab=Secret(text), password=Secret("")).fetch(NOW)

    assert not (tools.parent / "notes" / "argv").exists()
    assert "hunter2" not in seen_in(caught.value)
    assert list((tools.parent / "private").iterdir()) == []


@pytest.mark.parametrize(
    ("table", "end"),
    [
        ("11/22/26 10:00:00  11/22/26 20:00:00  krbtgt/A@A", "2026-11-22T20:00:00+00:00"),
        ("11/22/2026 10:00:00  11/23/2026 08:00:01  krbtgt/A@A", "2026-11-23T08:00:01+00:00"),
        ("12/31/2026 23:00:00  01/01/2027 09:00:00  krbtgt/A@A", "2027-01-01T09:00:00+00:00"),
        (
            "11/22/26 10:00:00  11/22/26 11:00:00  HTTP/www@A\n11/22/26 10:00:00  11/22/26 20:00:00  krbtgt/A@A",
            "2026-11-22T20:00:00+00:00",
        ),
    ],
)
def test_end(tools: Path, table: str, end: str) -> None:
    """The end of the ticket that gives tickets counts, with years of two or four digits."""
    _tool(tools / "klist", _KLIST.format(table=table))

    assert _ticket(tools).fetch(NOW).expires_at == dt.datetime.fromisoformat(end).timestamp()


@pytest.mark.parametrize("table", ["", "11/22/26 10:00:00  11/22/26 20:00:00  HTTP/www@A", "krbtgt/A@A"])
def test_no_ticket_for_tickets(tools: Path, table: str) -> None:
    """A cache without it is an error that shows what is in it."""
    _tool(tools / "klist", _KLIST.format(table=table))

    with pytest.raises(KerberosError, match="no ticket for further tickets") as caught:
        _ticket(tools).fetch(NOW)
    assert "Default principal" in caught.value.evidence


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("kinit: Cannot contact any KDC for realm 'EXAMPLE.ORG' while getting initial credentials", "away"),
        ('kinit: Cannot find KDC for realm "EXAMPLE.ORG" while getting initial credentials', "refused"),
        ("kinit: Connection timed out while getting initial credentials", "away"),
        ("kinit: Password incorrect while getting initial credentials", "refused"),
        ("kinit: Client 'analyst@EXAMPLE.ORG' not found in Kerberos database", "refused"),
        ("kinit: Preauthentication failed while getting initial credentials", "refused"),
        ("kinit: Clients credentials have been revoked while getting initial credentials", "refused"),
        ("kinit: Clock skew too great while getting initial credentials", "refused"),
        ("", "refused"),
    ],
)
def test_errors(tools: Path, said: str, error: str) -> None:
    """A realm that is away is tried again later; one that refuses is not, and its words are passed on."""
    _tool(tools / "kinit", f"cat > /dev/null; echo {shlex.quote(said)} >&2; exit 1")

    with pytest.raises(IssuerUnavailableError if error == "away" else KerberosError) as caught:
        _ticket(tools).fetch(NOW)

    assert caught.value.evidence == said
    assert "analyst@EXAMPLE.ORG" in caught.value.what
    assert caught.value.fix
    assert list((tools.parent / "private").iterdir()) == []


def test_password_is_never_shown(tools: Path) -> None:
    """A tool that quotes the password does not make us print it, and no frame of ours holds it."""
    _tool(tools / "kinit", 'read -r word; echo "Password for analyst: $word" >&2; exit 1')

    with pytest.raises(KerberosError) as caught:
        _ticket(tools).fetch(NOW)

    assert caught.value.evidence == "Password for analyst: ***"
    assert "horse" not in seen_in(caught.value).replace(repr(_ticket(tools).environ), "")
    assert caught.value.__context__ is None


def test_klist_fails(tools: Path) -> None:
    """An error of the second tool is named after it."""
    _tool(tools / "klist", "echo klist: No credentials cache found; exit 1")

    with pytest.raises(KerberosError, match="klist gave no ticket") as caught:
        _ticket(tools).fetch(NOW)
    assert "No credentials cache found" in caught.value.evidence


@pytest.mark.parametrize("tool", ["kinit", "klist"])
def test_missing_tool(tools: Path, tool: str) -> None:
    """A machine without Kerberos says what to install."""
    (tools / tool).unlink()

    with pytest.raises(KerberosError, match=f"there is no {tool}") as caught:
        _ticket(tools, environ={"PATH": f"{tools}:/nonexistent", "TMPDIR": str(tools.parent / "notes")}).fetch(NOW)
    assert "krb5-user" in caught.value.fix


def test_hanging_kinit(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A realm that says nothing is given up after a time, and the tool is ended."""
    monkeypatch.setattr("septum.credentials.kerberos._DEADLINE_S", 0.3)
    _tool(tools / "kinit", 'echo $$ > "$TMPDIR/pid"; exec sleep 600')

    with pytest.raises(IssuerUnavailableError, match="had no answer from the realm") as caught:
        _ticket(tools).fetch(NOW)

    assert not Path(f"/proc/{_note(tools, 'pid').strip()}").exists()
    assert "horse" not in seen_in(caught.value).replace(repr(_ticket(tools).environ), "")
    assert caught.value.__context__ is None
    assert list((tools.parent / "private").iterdir()) == []


def test_source(tools: Path) -> None:
    """The provider says how it gets the ticket, and shows no secret."""
    by_password = _ticket(tools)
    by_keytab = _ticket(tools, keytab=Secret(base64.b64encode(KEYTAB).decode()), password=Secret(""))

    assert (by_password.source, by_keytab.source) == ("kinit with a password", "kinit with a keytab")
    assert (by_password.kind, by_password.renewable) == (Kind.TICKET, True)
    assert "horse" not in repr(by_password)
    assert base64.b64encode(KEYTAB).decode()[:20] not in repr(by_keytab)

"""A real Kerberos realm and a real schedd that takes its tickets: what works, and the words of what does not."""

from __future__ import annotations

import datetime as dt
import os
import re
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from septum.facility import FacilityError

if TYPE_CHECKING:
    from pathlib import Path

    from septum.facility import Facility, Pool
    from septum.facility.kdc import Kdc

# Run by the Python of the tests, as a client on another machine would: nothing but HTCondor's bindings and a ticket.
# Of several reasons HTCondor's exceptions name none; its log, here on standard error, has one line a reason.
CLIENT = """
import os, sys, time
if os.getuid() == 0 and "--root" not in sys.argv:
    os.setresuid(65534, 0, 0)
import htcondor2

htcondor2.enable_debug()
collector, name, call = sys.argv[1:4]
ad = htcondor2.Collector(collector).locate(htcondor2.DaemonType.Schedd, name)
if call == "ping":
    answer = htcondor2.ping(ad, "WRITE")
    print(answer["AuthMethods"], answer["MyRemoteUserName"])
else:
    queue = htcondor2.Schedd(ad)
    work = {"executable": "job.sh", "transfer_input_files": "in.txt", "transfer_output_files": "out.txt",
            "should_transfer_files": "YES", "request_disk": "1MB"}
    result = queue.submit(htcondor2.Submit(work), spool=True)
    queue.spool(result)
    mine = f"ClusterId == {result.cluster()}"
    end = time.monotonic() + 90
    while queue.query(mine, ["JobStatus"])[0]["JobStatus"] != 4 and time.monotonic() < end:
        time.sleep(0.2)
    queue.retrieve(mine)
    print(queue.query(mine, ["AuthenticatedIdentity", "Owner"])[0].get("Owner"))
"""


def tool(
    kdc: Kdc, facility: Facility, *words: str | Path, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run one of Kerberos's tools on this machine, outside of the facility's root folder."""
    path = facility.pool.sandbox.debian.bin
    env = {"LC_ALL": "C", "TZ": "UTC", "PATH": f"{path}:{os.defpath}", **kdc.environment, **environment}
    argv = [str(path / words[0]), *map(str, words[1:])]
    # In a session of its own it has no terminal, and so asks for the password on the standard input.
    return subprocess.run(
        argv, env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False, start_new_session=True
    )


def ticket(kdc: Kdc, facility: Facility, cache: Path, name: str = "analyst", *options: str) -> Path:
    """Get a ticket with the password."""
    done = tool(kdc, facility, "kinit", "-c", f"FILE:{cache}", *options, name, stdin=f"{kdc.passwords[name]}\n")
    assert done.returncode == 0, done.stderr
    return cache


def client(
    pool: Pool, kdc: Kdc, folder: Path, call: str, *options: str, cache: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Speak to the schedd, with the ticket in a cache."""
    env = {
        "CONDOR_CONFIG": "ONLY_ENV",
        "HOME": str(folder),
        "KRB5CCNAME": f"FILE:{cache or folder / 'nothing'}",
        "PATH": os.defpath,
        "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "KERBEROS",
        **kdc.environment,
        **environment,
    }
    words = [sys.executable, "-c", CLIENT, pool.endpoint.collector, pool.endpoint.schedd, call, *options]
    return subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, timeout=180, check=False)


def test_tickets_by_password_and_by_keytab(facility: Facility, kdc: Kdc, tmp_path: Path) -> None:
    """Both ways end with a ticket of the same principal; the keytab is closed to others."""
    keytab = kdc.keytab("analyst", tmp_path / "analyst.keytab")
    ticket(kdc, facility, tmp_path / "by-password")
    done = tool(kdc, facility, "kinit", "-c", f"FILE:{tmp_path / 'by-keytab'}", "-k", "-t", keytab, "analyst")

    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(keytab.stat().st_mode) == 0o600
    for name in ("by-password", "by-keytab"):
        listed = tool(kdc, facility, "klist", "-c", f"FILE:{tmp_path / name}").stdout
        assert "Default principal: analyst@SEPTUM.TEST" in listed
        assert "krbtgt/SEPTUM.TEST@SEPTUM.TEST" in listed
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_the_life_of_tickets_is_the_principals(facility: Facility, kdc: Kdc, tmp_path: Path) -> None:
    """Asking for an hour from a realm that gives this principal a minute ends with a minute."""
    kdc.add_principal("hasty", "password", max_life_s=60)
    ticket(kdc, facility, tmp_path / "cache", "hasty", "-l", "1h")
    listed = tool(kdc, facility, "klist", "-c", f"FILE:{tmp_path / 'cache'}").stdout

    times = re.findall(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d", listed)
    start, end = (dt.datetime.strptime(text, "%m/%d/%y %H:%M:%S").replace(tzinfo=dt.timezone.utc) for text in times[:2])
    assert end - start == dt.timedelta(seconds=60)


@pytest.mark.parametrize(
    ("name", "stdin", "words"),
    [
        ("analyst", "wrong\n", "Password incorrect"),
        ("analyst", "", "Pre-authentication failed: Cannot read password"),
        ("nobody", "wrong\n", "Client 'nobody@SEPTUM.TEST' not found in Kerberos database"),
        ("analyst@ELSEWHERE.TEST", "wrong\n", 'Cannot find KDC for realm "ELSEWHERE.TEST"'),
    ],
)
def test_kinit_refuses_a_password(
    facility: Facility, kdc: Kdc, tmp_path: Path, name: str, stdin: str, words: str
) -> None:
    """Wrong, missing, of somebody unknown, of another realm: each has its own words."""
    done = tool(kdc, facility, "kinit", "-c", f"FILE:{tmp_path / 'cache'}", name, stdin=stdin)

    assert (done.returncode, done.stderr) == (1, f"kinit: {words} while getting initial credentials\n")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("file", "name", "words"),
    [
        ("none", "analyst", "Pre-authentication failed: Key table file '{}/none' not found"),
        ("text", "analyst", "Pre-authentication failed: Unsupported key table format version number"),
        ("keytab", "analyst", "Keytab contains no suitable keys for analyst@SEPTUM.TEST"),
        # The password has been changed since.
        ("keytab", "forgetful", "Preauthentication failed"),
    ],
)
def test_kinit_refuses_a_keytab(facility: Facility, kdc: Kdc, tmp_path: Path, file: str, name: str, words: str) -> None:
    """Missing, no keytab at all, of somebody else, out of date."""
    if "forgetful" not in kdc.passwords:
        kdc.add_principal("forgetful", "first")
    kdc.keytab("forgetful", tmp_path / "keytab")
    kdc.set_password("forgetful", f"not {kdc.passwords['forgetful']}")
    (tmp_path / "text").write_text("-----BEGIN SOMETHING-----\n")

    done = tool(kdc, facility, "kinit", "-c", f"FILE:{tmp_path / 'cache'}", "-k", "-t", tmp_path / file, name)

    assert (done.returncode, done.stderr) == (
        1,
        f"kinit: {words.format(tmp_path)} while getting initial credentials\n",
    )


def test_no_kdc_answers(facility: Facility, kdc: Kdc, tmp_path: Path) -> None:
    """A realm whose centre is down is told from one that is not known."""
    config = tmp_path / "krb5.conf"
    config.write_text(re.sub(r"kdc = localhost:\d+", "kdc = localhost:1", kdc.config.read_text()))

    done = tool(kdc, facility, "kinit", "analyst", stdin="password\n", KRB5_CONFIG=str(config))

    assert done.returncode == 1
    assert done.stderr == "kinit: Cannot contact any KDC for realm 'SEPTUM.TEST' while getting initial credentials\n"


def test_a_job_with_a_ticket_runs_as_the_mapped_account(
    facility: Facility, kdc: Kdc, kerberos_pool: Pool, tmp_path: Path
) -> None:
    """The schedd takes the principal for its account; submit, spool, run, retrieve."""
    (tmp_path / "job.sh").write_text("#!/bin/sh\n{ cat in.txt; id -un; } > out.txt\n")
    (tmp_path / "in.txt").write_text("hello\n")
    cache = ticket(kdc, facility, tmp_path / "cache")
    pinged = client(kerberos_pool, kdc, tmp_path, "ping", cache=cache)
    done = client(kerberos_pool, kdc, tmp_path, "job", cache=cache)

    assert (pinged.returncode, pinged.stdout) == (0, "KERBEROS cmscat@pool.test\n"), pinged.stderr
    assert (done.returncode, done.stdout) == (0, "cmscat\n"), done.stderr
    assert (tmp_path / "out.txt").read_text() == "hello\ncmscat\n"
    # The client adds the ticket for the schedd, which is named after the host that the address belongs to.
    assert "host/localhost@" in tool(kdc, facility, "klist", "-c", f"FILE:{cache}").stdout


def test_the_pool_refuses_without_a_ticket(facility: Facility, kdc: Kdc, kerberos_pool: Pool, tmp_path: Path) -> None:
    """No ticket, an expired one, and one but no realm to use it in: the exception is the same, the log is not."""
    fresh = ticket(kdc, facility, tmp_path / "fresh")
    expired = ticket(kdc, facility, tmp_path / "expired", "analyst", "-l", "1s")
    time.sleep(2)
    answers = {
        "KERBEROS: No credentials cache found": client(kerberos_pool, kdc, tmp_path, "ping"),
        "KERBEROS: Ticket expired": client(kerberos_pool, kdc, tmp_path, "ping", cache=expired),
        "KERBEROS: Cannot find KDC for requested realm": client(
            kerberos_pool, kdc, tmp_path, "ping", cache=fresh, KRB5_CONFIG="/dev/null"
        ),
        # The main pool does not offer Kerberos.
        "SECMAN: no auth method!, failing.": client(facility.pool, kdc, tmp_path, "ping", cache=fresh),
    }

    for words, answer in answers.items():
        assert answer.returncode == 1
        assert answer.stderr.endswith("HTCondorException: Failed to start command.\n")
        assert words in answer.stderr
    assert tool(kdc, facility, "klist", "-s", "-c", f"FILE:{fresh}").returncode == 0
    assert tool(kdc, facility, "klist", "-s", "-c", f"FILE:{expired}").returncode == 1


def test_the_pool_refuses_who_has_no_account(facility: Facility, kdc: Kdc, kerberos_pool: Pool, tmp_path: Path) -> None:
    """A good ticket of somebody who may not submit: the exception of the submission names the principal."""
    cache = ticket(kdc, facility, tmp_path / "cache", "stranger")
    pinged = client(kerberos_pool, kdc, tmp_path, "ping", cache=cache)
    (tmp_path / "job.sh").write_text("#!/bin/sh\n")
    done = client(kerberos_pool, kdc, tmp_path, "job", cache=cache)

    words = 'Received "DENIED" from server for user stranger@septum.test using method KERBEROS.'
    assert pinged.returncode == done.returncode == 1
    assert words in pinged.stderr
    assert done.stderr.endswith(f"HTCondorException: Failed to connect to schedd, errmsg=SECMAN:2010:{words}\n")


def test_root_has_to_be_somebody_else(facility: Facility, kdc: Kdc, kerberos_pool: Pool, tmp_path: Path) -> None:
    """HTCondor takes a client whose real user is root for a daemon, which has a keytab and uses no ticket."""
    cache = ticket(kdc, facility, tmp_path / "cache")
    keytab = kdc.keytab("analyst", tmp_path / "keytab")
    as_root = client(kerberos_pool, kdc, tmp_path, "ping", "--root", cache=cache)
    with_keytab = client(
        *(kerberos_pool, kdc, tmp_path, "ping", "--root"),
        cache=cache,
        _CONDOR_KERBEROS_SERVER_KEYTAB=str(keytab),
        _CONDOR_KERBEROS_SERVER_PRINCIPAL="analyst@SEPTUM.TEST",
    )

    assert (with_keytab.returncode, with_keytab.stdout) == (0, "KERBEROS cmscat@pool.test\n"), with_keytab.stderr
    if os.getuid() == 0:
        assert as_root.returncode == 1
        assert "AUTH_ERROR: " in as_root.stderr
    else:
        assert as_root.stdout == "KERBEROS cmscat@pool.test\n", as_root.stderr


def test_the_realm_tells_what_it_does_not_have(kdc: Kdc, tmp_path: Path) -> None:
    """A principal twice, keys of nobody: errors of the facility with the tool's own words."""
    with pytest.raises(FacilityError, match="already exists"):
        kdc.add_principal("analyst", "password")
    with pytest.raises(FacilityError, match="has no nobody"):
        kdc.keytab("nobody", tmp_path / "keytab")
    assert not (tmp_path / "keytab").exists()

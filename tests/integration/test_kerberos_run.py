"""septum itself with a real Kerberos realm and a real schedd: whole runs, and what is refused before a job is there."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from septum.backends.htcondor import check
from septum.clusters.profile import Profile
from septum.credentials import obtain
from septum.credentials.held import Credentials, Held
from septum.credentials.kerberos import produce
from septum.credentials.provider import Kind
from septum.errors import AuthenticationError, IssuerUnavailableError, KerberosError, SeptumError
from septum.facility.debian import USER
from septum.facility.kdc import REALM
from tests.workshop import PART_SH, Repository, kinds_repository, pool_profile, queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from septum.facility import Facility, Pool
    from septum.facility.kdc import Kdc

_SENT = {"send-credential": "true"}
_BRIEF_S = 8
"""How long a ticket of `brief` lives."""
_CREDD = [
    "DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD CREDD CREDMON_KRB",
    "SEC_CREDENTIAL_DIRECTORY_KRB = /pool/run",
    "TRUST_CREDENTIAL_DIRECTORY = True",
    "CREDD_POLLING_TIMEOUT = 1",
    # A user who comes back after so many seconds has to show a ticket again.
    "SEC_WRITE_SESSION_DURATION = 2",
]


@pytest.fixture(scope="module")
def pool(facility: Facility, kdc: Kdc) -> Iterator[Pool]:
    """A pool for `analyst` and `brief`, with HTCondor's own daemons that keep Kerberos credentials for jobs."""
    kdc.add_principal("brief", "short-lived-password", max_life_s=_BRIEF_S)
    principals = {f"{name}@{REALM}": USER for name in ("analyst", "brief")}
    with facility.kerberos_pool("pool-with-credd", principals=principals, config=_CREDD) as running:
        yield running
        # It does not end when it is told to, and the pool would wait for it.
        os.kill(_credmon(running), signal.SIGKILL)


class Site:
    """Makes repositories, profiles and CI variables for the realm and a pool."""

    def __init__(self, facility: Facility, kdc: Kdc, pool: Pool, folder: Path) -> None:
        self.facility, self.kdc, self.pool, self.folder = facility, kdc, pool, folder
        self.private = folder / "private"
        self.private.mkdir()
        self.tools = facility.pool.sandbox.debian.bin

    def variables(self, name: str = "analyst", **changes: str) -> dict[str, str]:
        """The environment of a CI job for a principal, without its keytab or password."""
        septum = Repository(folder=self.folder).environment()["PATH"]
        return {
            "KRB5_PRINCIPAL": f"{name}@{REALM}",
            "PATH": f"{self.tools}:{septum}",
            "XDG_RUNTIME_DIR": str(self.private),
            **self.kdc.environment,
            **changes,
        }

    def password(self, name: str = "analyst", **changes: str) -> dict[str, str]:
        """The same with the password."""
        return self.variables(name, **{"KRB5_PASSWORD": self.kdc.passwords[name], **changes})

    def keytab(self, name: str = "analyst") -> Path:
        """A keytab in a file."""
        return self.kdc.keytab(name, self.folder / f"{name}.keytab")

    def keytab_text(self, name: str = "analyst") -> str:
        """A keytab in base64."""
        return base64.b64encode(self.keytab(name).read_bytes()).decode()

    def profile(self, pool: Pool | None = None, **changes: str) -> str:
        """The profile of a pool as a user would write it."""
        values = {"authentication": "kerberos", "credentials": "none", "scope": "[]", **changes}
        return pool_profile(pool or self.pool, self.facility, **values)

    def loaded(self, pool: Pool | None = None) -> Profile:
        """The same as septum has it."""
        endpoint = (pool or self.pool).endpoint
        values: dict[str, Any] = {"collector": endpoint.collector, "schedd": endpoint.schedd}
        return Profile(name="kerberos", method="htcondor", authentication="kerberos", **values)

    def repository(
        self,
        name: str,
        environ: dict[str, str],
        pool: Pool | None = None,
        *,
        part: str = PART_SH,
        profile: Mapping[str, str] | None = None,
    ) -> Repository:
        """An analysis of two parts for a pool."""
        environ = {"SEPTUM_CLUSTER": "clusters/kerberos.yaml", **environ}
        made = kinds_repository(self.folder / name, ["good"] * 2, environ=environ)
        (made.folder / "part.sh").write_text(part)
        (made.folder / "clusters").mkdir()
        (made.folder / "clusters" / "kerberos.yaml").write_text(self.profile(pool, **(profile or {})))
        return made

    def secrets(self) -> list[bytes]:
        """What must be seen nowhere: the password and the keytab, also as the schedd or a tool would quote them."""
        keytab = self.keytab().read_bytes()
        return [self.kdc.passwords["analyst"].encode(), keytab, keytab[8:24], base64.b64encode(keytab)[16:48]]

    def nothing_left(self) -> bool:
        """Whether septum has removed every file of a secret."""
        return list(self.private.iterdir()) == []


@pytest.fixture
def site(facility: Facility, kdc: Kdc, pool: Pool, tmp_path: Path) -> Site:
    """The realm and the pool, with a folder of this test."""
    return Site(facility, kdc, pool, tmp_path)


def _refused(done: subprocess.CompletedProcess[str], pool: Pool, code: int, *words: str) -> None:
    """See that septum ended with this exit code and these words, and that there is no job."""
    assert done.returncode == code, done.stdout
    for word in words:
        assert word in done.stdout
    assert queue(pool) == []


def test_runs_with_every_kind_of_secret(site: Site, pool: Pool, kdc: Kdc) -> None:
    """By keytab, keytab file and password; the last with tickets that live shorter than the run, and are renewed."""
    kdc_log = kdc.folder / "kdc.log"
    repositories = {
        "base64": site.repository("base64", site.variables(KRB5_KEYTAB=site.keytab_text())),
        "file": site.repository("file", site.variables(KRB5_KEYTAB=str(site.keytab()))),
        "password": site.repository("password", site.password("brief"), part=f"sleep {2 * _BRIEF_S}\n{PART_SH}"),
    }
    running = {name: repository.start("run") for name, repository in repositories.items()}
    said = {name: process.communicate(timeout=180)[0] for name, process in running.items()}

    for name, repository in repositories.items():
        assert running[name].returncode == 0, said[name]
        assert f"takes us for {USER}@pool.test" in said[name]
        assert repository.whole_files() == ["all.root"]
        assert re.search(r"mass +TH1D +200 entries", said[name])
        # Nothing was missed while the tickets changed.
        assert "warning" not in said[name]
        assert "KERBEROS" not in said[name]
        for secret in [*site.secrets(), kdc.passwords["brief"].encode()]:
            assert secret.decode("latin-1") not in said[name]
            assert not any(secret in path.read_bytes() for path in repository.folder.rglob("*") if path.is_file())
    ended = [line.split() for line in pool.run("condor_history", "-af", "ExitCode", "Owner").stdout.splitlines()]
    assert [job for job in ended if job[0] != "undefined"] == [["0", USER]] * 6
    assert site.nothing_left()
    asked = re.findall(rf"(AS|TGS)_REQ .*ISSUE: .*brief@{REALM} for (\S+)@", kdc_log.read_text())
    assert asked.count(("AS", f"krbtgt/{REALM}")) >= 4
    assert asked.count(("TGS", "host/localhost")) >= 3


def _wrong(site: Site, case: str) -> dict[str, str]:
    """The CI variables of a case."""
    made: dict[str, Callable[[], dict[str, str]]] = {
        "wrong password": lambda: site.password(KRB5_PASSWORD="not-the-password-8472"),
        "old keytab": lambda: site.variables("forgetful", KRB5_KEYTAB=_old_keytab(site)),
        "keytab of another": lambda: site.variables("stranger", KRB5_KEYTAB=site.keytab_text()),
        "no keytab": lambda: site.variables(KRB5_KEYTAB=base64.b64encode(b"-----BEGIN SOMETHING-----").decode()),
        "half a keytab": lambda: site.variables(KRB5_KEYTAB=site.keytab_text()[:40]),
        "unknown principal": lambda: site.password(KRB5_PRINCIPAL=f"nobody@{REALM}"),
        "unknown realm": lambda: site.password(KRB5_PRINCIPAL="analyst@ELSEWHERE.TEST"),
        "no kinit": lambda: site.password(PATH="/nonexistent"),
        "no KDC": lambda: site.password(KRB5_CONFIG=str(_config(site, 1))),
    }
    return made[case]()


def _old_keytab(site: Site) -> str:
    """A keytab from before the password was changed."""
    if "forgetful" not in site.kdc.passwords:
        site.kdc.add_principal("forgetful", "first")
    keytab = site.keytab_text("forgetful")
    site.kdc.set_password("forgetful", f"not {site.kdc.passwords['forgetful']}")
    return keytab


def _config(site: Site, port: int) -> Path:
    """A krb5.conf with the KDC at another port."""
    path = site.folder / "krb5.conf"
    path.write_text(re.sub(r"kdc = localhost:\d+", f"kdc = localhost:{port}", site.kdc.config.read_text()))
    return path


@pytest.mark.parametrize(
    ("case", "kind", "words", "fix"),
    [
        ("wrong password", KerberosError, "kinit: Password incorrect", "is not that of analyst@"),
        ("old keytab", KerberosError, "Preauthentication failed", "older than its password"),
        ("keytab of another", KerberosError, "no suitable keys for stranger@", "klist -k"),
        ("no keytab", KerberosError, "holds no keytab", "base64 -w0"),
        ("half a keytab", KerberosError, "no suitable keys", "klist -k"),
        ("unknown principal", KerberosError, "not found in Kerberos database", "nobody@SEPTUM.TEST"),
        ("unknown realm", KerberosError, 'Cannot find KDC for realm "ELSEWHERE.TEST"', "Check the realm"),
        ("no kinit", KerberosError, "there is no kinit", "krb5-user"),
        ("no KDC", IssuerUnavailableError, "Cannot contact any KDC", "Try again later"),
    ],
)
def test_no_ticket(site: Site, case: str, kind: type[SeptumError], words: str, fix: str) -> None:
    """Each reason for which there is no ticket has its own words and its own fix, and leaves nothing behind."""
    environ = _wrong(site, case)

    with pytest.raises(kind) as caught:
        obtain(site.loaded(), environ=environ)

    assert words in f"{caught.value.what}\n{caught.value.evidence}"
    assert fix in caught.value.fix
    for secret in ("KRB5_PASSWORD", "KRB5_KEYTAB"):
        assert environ.get(secret, "nowhere") not in str(caught.value)
    assert site.nothing_left()


def test_refused_before_submission(site: Site, pool: Pool, facility: Facility) -> None:
    """A password that is wrong, a principal without account, a schedd without Kerberos: exit codes, words, no job."""
    before = queue(facility.pool)
    wrong = site.repository("wrong", site.password(KRB5_PASSWORD="not-the-password-8472"))
    unmapped = site.repository("unmapped", site.password("stranger"))
    tokens = site.repository("tokens", site.password(), facility.pool)

    processes = [repository.start("run") for repository in (wrong, unmapped, tokens)]
    said = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [19, 13, 16], said
    assert "kinit: Password incorrect" in said[0]
    assert "not-the-password-8472" not in said[0]
    assert "user stranger@septum.test using method KERBEROS" in said[1]
    assert "has no account" in said[1]
    assert "does not offer the authentication 'kerberos'" in said[2]
    assert all("Fix: " in text for text in said)
    assert queue(pool) == []
    assert queue(facility.pool) == before
    assert site.nothing_left()


def _check_with(site: Site, *options: str, **environment: str) -> AuthenticationError:
    """Ask the schedd with a ticket of `analyst` that kinit gets with these options; it must refuse."""
    cache = site.folder / "cache"
    environ = site.password(LC_ALL="C")
    subprocess.run(
        [str(site.tools / "kinit"), "-c", f"FILE:{cache}", *options, "analyst"],
        env=environ,
        input=f"{environ['KRB5_PASSWORD']}\n",
        text=True,
        capture_output=True,
        check=True,
        start_new_session=True,
    )
    time.sleep(2 if options else 0)
    credentials = Credentials(site.private)
    credentials.held[Kind.TICKET] = Held(
        kind=Kind.TICKET,
        path=cache,
        source="kinit",
        identity=f"analyst@{REALM}",
        expires_at=0,
        renewable=False,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KRB5_CONFIG", environment.get("KRB5_CONFIG", str(site.kdc.config)))
        with pytest.raises(AuthenticationError) as caught:
            check(site.loaded(), credentials, site.folder)
    return caught.value


def test_ticket_that_is_refused(site: Site) -> None:
    """Expired, for a host that the realm does not know, with no KDC left: HTCondor's log has the reason, and we too."""
    other = site.folder / "other.conf"
    other.write_text(
        f"{site.kdc.config.read_text().partition('[domain_realm]')[0]}[domain_realm]\nlocalhost = X.TEST\n"
    )
    expired = _check_with(site, "-l", "1s")
    unknown = _check_with(site, KRB5_CONFIG=str(other))
    away = _check_with(site, KRB5_CONFIG=str(_config(site, 1)))

    assert "KERBEROS: Ticket expired" in expired.evidence
    assert "the ticket: analyst@SEPTUM.TEST, kinit" in expired.evidence
    assert "renewed" in expired.fix
    assert "KERBEROS: Server not found in Kerberos database" in unknown.evidence
    assert "[domain_realm]" in unknown.fix
    assert "KERBEROS: Cannot contact any KDC" in away.evidence
    assert "try again later" in away.fix


def test_root_that_cannot_be_somebody_else(site: Site) -> None:
    """HTCondor ignores tickets of root. We are somebody else then; where that is not allowed, the error says so."""
    repository = site.repository("root", site.password())
    as_root = os.getuid() == 0
    words = ["setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid"] if as_root else []
    done = subprocess.run(
        [*words, "septum", "cluster", "check", "clusters/kerberos.yaml"],
        cwd=repository.folder,
        env=repository.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    if as_root:
        assert done.returncode == 16, done.stderr
        assert "AUTH_ERROR: " in done.stderr
        assert "as an ordinary user" in done.stderr
    else:
        assert done.returncode == 0, done.stderr


def _processes(site: Site) -> dict[int, tuple[bytes, bytes]]:
    """Arguments and environments of all processes that we started in this test, by their id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments, environment = ((folder / name).read_bytes() for name in ("cmdline", "environ"))
            if str(site.folder).encode() in arguments + environment:
                found[int(folder.name)] = (arguments, environment)
    return found


@pytest.mark.parametrize("secret", ["password", "keytab"])
def test_silent_kdc(site: Site, secret: str) -> None:
    """While kinit waits for a KDC, nobody sees the secret; and when septum is ended, kinit and all files are gone."""
    with socket.create_server(("localhost", 0)) as silent:
        config = {"KRB5_CONFIG": str(_config(site, silent.getsockname()[1]))}
        environ = site.password() if secret == "password" else site.variables(KRB5_KEYTAB=site.keytab_text())
        process = site.repository("silent", {**environ, **config}).start("run")
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            seen = _processes(site)
            kinit = {pid: both for pid, both in seen.items() if b"kinit" in both[0]}
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=30)

    assert len(kinit) == 1
    for hidden in site.secrets():
        assert not any(hidden in arguments for arguments, _ in seen.values())
        assert not any(hidden in environment for _, environment in kinit.values())
        assert hidden.decode("latin-1") not in said
    assert process.returncode == 128 + signal.SIGTERM, said
    assert not _processes(site)
    assert site.nothing_left()


def _credmon(pool: Pool) -> int:
    """The process that takes the credentials from the credd, as seen outside."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = (folder / "root/pool").samefile(pool.folder)
            if ours and b"condor_credmon_krb" in (folder / "cmdline").read_bytes():
                return int(folder.name)
    raise AssertionError("no credmon runs")


@contextlib.contextmanager
def _silent_credmon(pool: Pool) -> Iterator[Callable[[], None]]:
    """Stop the credmon, as if it were asleep; what is given wakes it."""
    credmon = _credmon(pool)
    os.kill(credmon, signal.SIGSTOP)
    (pool.folder / "run" / f"{USER}.cc").unlink(missing_ok=True)
    try:
        yield lambda: os.kill(credmon, signal.SIGCONT)
    finally:
        os.kill(credmon, signal.SIGCONT)


def _asked_to_store(pool: Pool) -> int:
    return (pool.log_folder / "CredLog").read_text().count("GOT KRB STORE CRED mode=32")


def test_credential_for_the_jobs(site: Site, pool: Pool) -> None:
    """The site's credd has the ticket before the jobs are there, also where it is too slow at first and asked again."""
    # This pool has not the power to hand it on, so the jobs are not to start.
    repository = site.repository("sent", site.password(), profile={**_SENT, "requirements": "'false'"})
    assert repository.septum("prepare").returncode == 0
    before = _asked_to_store(pool)
    try:
        with _silent_credmon(pool) as wake:
            process = repository.start("submit")
            while _asked_to_store(pool) < before + 2 and process.poll() is None:
                time.sleep(0.05)
            assert queue(pool) == []
            wake()
            said, _ = process.communicate(timeout=60)

        assert process.returncode == 0, said
        assert queue(pool, "SendCredential", "Owner") == [["true", USER]] * 2
        assert "is valid" in pool.run("condor_store_cred", "query-krb").stdout
        submitted = min(int(date) for (date,) in queue(pool, "QDate"))
        assert (pool.folder / "run" / f"{USER}.cc").stat().st_mtime <= submitted + 1
    finally:
        repository.septum("cancel")
    assert queue(pool) == []
    assert before + 2 <= _asked_to_store(pool) <= before + 5


def test_credmon_that_never_answers(site: Site, pool: Pool) -> None:
    """After some attempts it is for the next try of the CI job, and no job is there."""
    repository = site.repository("never", site.password(), profile=_SENT)
    before = _asked_to_store(pool)
    with _silent_credmon(pool):
        done = repository.septum("run")

    _refused(done, pool, 75, "The credmon did not process credentials", "administrators")
    assert _asked_to_store(pool) == before + 5


def test_tokens_that_the_site_makes(site: Site, pool: Pool) -> None:
    """Services whose tokens the site gives to its jobs stand in the jobs."""
    profile = {"job-tokens": "[cms, scitokens]", "requirements": "'false'"}
    repository = site.repository("tokens", site.password(), profile=profile)
    try:
        assert repository.septum("prepare").returncode == 0
        done = repository.septum("submit")
        assert done.returncode == 0, done.stdout
        assert queue(pool, "OAuthServicesNeeded") == [["cms,scitokens"]] * 2
    finally:
        repository.septum("cancel")
    assert queue(pool) == []


def test_no_credd(site: Site, kerberos_pool: Pool) -> None:
    """A site that keeps no credentials is named, and gets no job that would wait for one for ever."""
    repository = site.repository("none", site.password(), kerberos_pool, profile=_SENT)

    _refused(repository.septum("run"), kerberos_pool, 21, "there is no credd on localhost", "send-credential: false")


def test_credential_producer_fails(site: Site, pool: Pool) -> None:
    """The words of the site's own program are passed on, and no job is there."""
    program = site.folder / "producer"
    program.write_text('#!/bin/sh\necho "no such principal in ${KRB5CCNAME%%:*}" >&2\nexit 3\n')
    program.chmod(0o755)
    changes = {**_SENT, "credential-producer": str(program)}

    done = site.repository("failing", site.password(), profile=changes).septum("run")

    _refused(
        done, pool, 19, "ended with exit code 3: no such principal in FILE", "Install the site's credential producer"
    )


@pytest.mark.parametrize(
    ("script", "words"),
    [("", "no such file or directory"), ("#!/bin/sh\n", "wrote nothing"), ("#!/bin/sh\nexit 1\n", "exit code 1")],
)
def test_credential_producer(tmp_path: Path, script: str, words: str) -> None:
    """A program that is missing, silent, or fails without a word."""
    program, ticket = tmp_path / "producer", tmp_path / "ticket"
    ticket.write_bytes(b"a ticket")
    if script:
        program.write_text(script)
        program.chmod(0o755)

    with pytest.raises(KerberosError) as caught:
        produce(str(program), ticket, {"PATH": os.defpath})

    assert words in caught.value.evidence
    assert produce("", ticket, {}) == b"a ticket"

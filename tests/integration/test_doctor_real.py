"""`septum doctor` against real services: all green, then one fault at a time, each found as that fault."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from septum.cli import main
from septum.doctor.explain import look
from septum.doctor.storage import explained, split
from septum.facility.certificates import create_authority
from septum.facility.debian import debian
from tests.storage_cases import CASES, DENIED, NO_PROTOCOLS, Case, Given, ask, good_token, xrootd_message
from tests.workshop import Repository, client_environment, kinds_repository, pool_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from septum.facility import Facility
    from septum.facility.kdc import Kdc


@pytest.fixture(scope="module")
def repository(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """An analysis of two parts with a profile for the pool, in the environment of a CI job on a protected branch."""
    folder = tmp_path_factory.mktemp("doctor")
    proxy = facility.make_proxy(folder / "proxy.pem").read_bytes()
    environ = {
        **client_environment(facility),
        "GITLAB_CI": "true",
        "CI_COMMIT_REF_NAME": "main",
        "CI_COMMIT_REF_PROTECTED": "true",
        "CI_JOB_TIMEOUT": "21600",
        "X509_PROXY": base64.b64encode(proxy).decode(),
        "XDG_RUNTIME_DIR": str(folder / "runtime"),
    }
    made = kinds_repository(folder / "repository", ["good", "good"], environ=environ)
    (folder / "runtime").mkdir(mode=0o700)
    (made.folder / "clusters").mkdir()
    (made.folder / "clusters/pool.yaml").write_text(pool_profile(facility.pool, facility, proxy="required"))
    return made


def _doctor(repository: Repository, *arguments: str, **environ: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Run doctor; returns its exit code, the checks by name, and all that it printed."""
    done = repository.septum("doctor", "--json", "--cluster", "pool", *arguments, timeout_s=120, **environ)
    _assert_no_secret(done.stdout, repository.environment(**environ))
    data = json.loads(done.stdout)
    assert data["exit_code"] == done.returncode
    assert not any((repository.folder.parent / "runtime").iterdir())
    return done.returncode, {check["name"]: check for check in data["checks"]}, done.stdout


def _assert_no_secret(text: str, environ: Mapping[str, str]) -> None:
    for name in ("IAM_CLIENT_SECRET", "X509_PROXY"):
        assert not environ.get(name) or environ[name][:40] not in text
    assert "eyJ" not in text  # how each token begins
    assert "PRIVATE KEY" not in text
    assert not re.search(r"/CN=|CN=", text)


def _failed(checks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if check["state"] == "failed"]


# ── all is well ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_green(repository: Repository) -> None:
    """For people: each check in its group, nothing to do, exit code 0."""
    done = repository.septum("doctor", "--cluster", "pool")
    lines = done.stdout.splitlines()

    assert (done.returncode, lines[-1]) == (0, "0 failed, 0 warnings, 1 skipped, 21 ok"), done.stdout
    assert re.search(r"ok +schedd +septum@localhost takes us for cmscat@pool\.test, and would take jobs", done.stdout)
    assert re.search(r"ok +token .* 5 scopes as asked", done.stdout)
    assert re.search(r"ok +proxy +variable X509_PROXY; /cms; ends in 11 h 59 min, a job may need it for", done.stdout)
    assert re.search(r"skip +grid CAs +nothing is read from the grid here", done.stdout)
    _assert_no_secret(done.stdout, repository.environment())


def test_under_a_supervisor(facility: Facility, repository: Repository) -> None:
    """`septum credentials run` keeps the secrets; its files are looked at."""
    command = ("septum", "doctor", "--cluster", "pool", "--json")
    done = repository.septum("credentials", "run", "--cluster", "pool", "--", *command)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    assert done.returncode == 0
    assert _failed(checks) == []
    assert "septum credentials run" in checks["variables"]["text"]
    assert checks["schedd"]["state"] == checks["token"]["state"] == checks["proxy"]["state"] == "ok"


def test_storage_is_read_with_the_token_for_it(facility: Facility, repository: Repository) -> None:
    """A real XRootD server, a token of its own, and XRootD's own client."""
    storage = facility.storage()
    secret = facility.issuer.secret_file("storage-client").read_text().strip()
    (storage.folder / "store/data.root").write_bytes(b"physics")
    arguments = [
        *("--set", "proxy=no", "--set", f"storage-audience={storage.audience}"),
        *("--set", "storage-scope=wlcg storage.read:/", "--set", "scope=wlcg"),
        *("--storage", f"{storage.url}/store", "--storage", f"{storage.url}/store/data.root"),
    ]
    environ = {
        "IAM_CLIENT_ID": "storage-client",
        "IAM_CLIENT_SECRET": secret,
        "PATH": f"{debian().bin}:{repository.environment()['PATH']}",
        "X509_CERT_DIR": facility.proxies.environment["X509_CERT_DIR"],
    }
    _, checks, _ = _doctor(repository, *arguments, **environ)

    assert checks["storage token"]["state"] == checks["grid CAs"]["state"] == checks["storage"]["state"] == "ok"
    assert "data.root can be read" in checks["storage"]["text"]


# ── one fault at a time ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        name: Of the test.
        failed: The one check that fails.
        exit_code: Of doctor.
        words: In its text, its cause or its fix.
        overrides: Keys of the profile.
        environ: Variables that differ.
        client: Another client of the issuer.
        prepare: Writes files, and says what else differs.
    """

    name: str
    failed: str
    exit_code: int
    words: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    client: str = ""
    prepare: Callable[[Facility, Path], Mapping[str, str]] = lambda _, __: {}


def _another_ca(facility: Facility, folder: Path) -> Mapping[str, str]:
    del facility
    return {"SEPTUM_CLUSTER_CA_FILE": str(create_authority(folder).file)}


def _expired_proxy(facility: Facility, folder: Path) -> Mapping[str, str]:
    pem = facility.make_proxy(folder / "old.pem", lifetime_s=-7200, voms_lifetime_s=-7200).read_bytes()
    return {"X509_PROXY": base64.b64encode(pem).decode()}


def _typo(facility: Facility, folder: Path) -> Mapping[str, str]:
    del facility, folder
    return {"SEPTUM_CONFIG": "typo.yaml"}


FAULTS = (
    Fault(
        name="wrong secret",
        failed="token",
        exit_code=11,
        words="invalid_client: Bad client credentials",
        environ={"IAM_CLIENT_SECRET": "wrong-secret-of-some-length"},
    ),
    Fault(
        name="issuer down",
        failed="issuer",
        exit_code=75,
        words="did not answer",
        overrides={"issuer": "https://localhost:1/"},
    ),
    Fault(name="wrong CA", failed="issuer", exit_code=16, words="SEPTUM_CLUSTER_CA_VARIABLE", prepare=_another_ca),
    Fault(
        name="wrong audience",
        failed="schedd",
        exit_code=16,
        words="its audience names none of the site's hosts",
        overrides={"audience": "https://elsewhere.test"},
    ),
    Fault(
        name="unmapped client",
        failed="schedd",
        exit_code=16,
        words="map the subject unmapped-client",
        client="unmapped-client",
    ),
    Fault(
        name="client that may only read",
        failed="schedd",
        exit_code=13,
        words="it lacks compute.create, compute.modify, compute.cancel",
        client="reader-client",
        overrides={"scope": "wlcg compute.read"},
    ),
    Fault(
        name="another account",
        failed="schedd",
        exit_code=17,
        words="the profile expects 'somebody'",
        overrides={"expect-account": "somebody"},
    ),
    Fault(
        name="no such schedd",
        failed="schedd",
        exit_code=20,
        words="the collector knows these schedds: septum@localhost",
        overrides={"schedd": "nobody@localhost"},
    ),
    Fault(
        name="collector not listening",
        failed="collector",
        exit_code=20,
        words="nobody listens there",
        overrides={"collector": "localhost:1"},
    ),
    Fault(name="expired proxy", failed="proxy", exit_code=15, words="expired 2 h", prepare=_expired_proxy),
    Fault(
        name="proxy too short for a job",
        failed="proxy",
        exit_code=15,
        words="a job may need it for",
        overrides={"queue-time": "12 h"},
    ),
    Fault(
        name="no hadd", failed="hadd", exit_code=44, words="SEPTUM_HADD", environ={"SEPTUM_HADD": "/nonexistent/hadd"}
    ),
    Fault(
        name="debug trace",
        failed="debug trace",
        exit_code=18,
        words="replace the secrets",
        environ={"CI_DEBUG_TRACE": "true"},
    ),
    Fault(
        name="missing variable on an unprotected branch",
        failed="variables",
        exit_code=10,
        words="main is not protected",
        environ={"IAM_CLIENT_SECRET": "", "CI_COMMIT_REF_PROTECTED": "false"},
    ),
    Fault(name="typo in septum.yaml", failed="septum.yaml", exit_code=2, words="did you mean", prepare=_typo),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_one_fault(
    facility: Facility,
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
) -> None:
    """That check fails and no other; its exit code, a fix, and no secret."""
    text = (repository.folder / "septum.yaml").read_text()
    (repository.folder / "typo.yaml").write_text(text.replace("outputs:", "output:"))
    client = client_environment(facility, fault.client) if fault.client else {}
    environ = repository.environment(**client, **fault.environ, **fault.prepare(facility, tmp_path))
    overrides = [f"--set={key}={value}" for key, value in fault.overrides.items()]
    # In this process, and without the imports that others have tried: that saves half a minute of all these.
    for name in set(os.environ) - set(environ):
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(repository.folder)
    monkeypatch.setattr("septum.doctor.machine._import", lambda *_: "1.0")
    code = main(["doctor", "--json", "--cluster", "pool", *overrides])
    said = capsys.readouterr().out
    checks = {check["name"]: check for check in json.loads(said)["checks"]}

    assert (code, _failed(checks)) == (fault.exit_code, [fault.failed]), said
    check = checks[fault.failed]
    assert fault.words in f"{check['text']}\n{check['cause']}\n{check['fix']}"
    assert check["fix"]
    # What does not depend on it was tried all the same.
    assert checks["disk"]["state"] == checks["bindings"]["state"] == "ok"
    _assert_no_secret(said, environ)
    assert not any((repository.folder.parent / "runtime").iterdir())


def test_kerberos(facility: Facility, repository: Repository, kdc: Kdc) -> None:
    """A ticket from a real realm."""
    overrides = ("authentication=kerberos", "credentials=none", "proxy=no", "collector=localhost:1")
    environ = {
        **kdc.environment,
        "PATH": f"{facility.pool.sandbox.debian.bin}:{repository.environment()['PATH']}",
        "KRB5_PRINCIPAL": "analyst@SEPTUM.TEST",
        "KRB5_PASSWORD": kdc.passwords["analyst"],
    }
    code, checks, said = _doctor(repository, *(f"--set={one}" for one in overrides), **environ)

    assert (code, _failed(checks)) == (20, ["collector"])
    assert checks["Kerberos"]["text"].startswith("kinit with a password; analyst@SEPTUM.TEST; ends in ")
    assert kdc.passwords["analyst"] not in said


# ── what XRootD says, and what we say ───────────────────────────────────────────────────────────────────────────

OURS = {
    "no credentials": (10, "the client finds neither proxy nor token"),
    "expired proxy": (15, "expired 2 h"),
    "proxy with mode 0644": (18, "open to other users"),
    "no proxy file": (10, "the X.509 proxy cannot be read"),
    "no proxy file, with TLS": (10, "the X.509 proxy cannot be read"),
    "half a proxy": (14, "the X.509 proxy cannot be used"),
    "web page as proxy": (14, "like the answer of a web service"),
    "user's certificate as proxy": (14, "a user certificate, not a proxy"),
    "proxy without VO": (17, "carries no attributes of a VO"),
    "proxy with expired VO attributes": (15, "the VOMS attributes"),
    "proxy of another VO": (13, "the proxy: /atlas"),
    "token file with mode 0644": (18, "open to other users"),
    "no token file": (10, "the token cannot be read"),
    "empty token file": (12, "the file of the token is empty"),
    "token of more than 4096 bytes": (12, "characters; storage by XRootD takes 4096"),
    "web page as token": (12, "the file of the token holds something else"),
    "expired token": (12, "expired"),
    "altered token": (16, "signatures are judged by the storage alone"),
    "token of another issuer": (16, "the token: issuer https://another.test/"),
    "token with the issuer's name, signed by another": (16, "signatures are judged by the storage alone"),
    "token for another service": (12, "the token is for https://another.test, not for localhost"),
    "token for jobs": (13, "the token does not allow to read /store"),
    "token without the WLCG profile": (12, "does not follow the WLCG profile"),
    "good token beside a proxy with mode 0644": (18, "open to other users"),
    "good token beside half a proxy": (14, "the X.509 proxy cannot be used"),
    "good token in place of a stale one in the environment": (12, "BEARER_TOKEN is set"),
    "good proxy where only tokens are asked for": (10, "XrdSecPROTOCOL allows ztn only"),
    "good token, no folder with authorities": (16, "no CA certificates of the grid in /no/such/folder"),
    "good token, no folder with authorities, with TLS": (16, "no CA certificates of the grid in /no/such/folder"),
    "good token, server of an unknown authority": (16, "no CA certificates of the grid in /srv"),
}
"""By case of `tests.storage_cases`: the exit code, and words of our cause."""


def _explained(facility: Facility, given: Given, said: str, environ: Mapping[str, str]) -> tuple[int, str]:
    url = split(f"{facility.storage().url}/store")
    assert url is not None
    variables = {"X509_CERT_DIR": facility.proxies.environment["X509_CERT_DIR"], **given.environ, **environ}
    error = explained(url, said, variables, now=time.time())
    assert error.fix
    _assert_no_secret(str(error), {})
    return error.exit_code, str(error)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_xrootds_words_and_ours(facility: Facility, tmp_path: Path, case: Case) -> None:
    """XRootD has four sentences for all of them; ours names the cause, from the same files."""
    code, ours = _explained(facility, case.make(facility, tmp_path), case.message, case.environ)

    assert (code, case.message in ours) == (OURS[case.name][0], True), ours
    assert OURS[case.name][1] in ours


@pytest.mark.parametrize("name", ["expired proxy", "token for another service"])
def test_side_by_side(facility: Facility, tmp_path: Path, name: str) -> None:
    """The same with the real client's words, for one of each; `test_storage` has the words of all."""
    (case,) = (case for case in CASES if case.name == name)
    answer = xrootd_message(facility, case, tmp_path)
    assert answer.message in {NO_PROTOCOLS, DENIED}

    files = {"proxy.pem": "proxy", "token": "token"}
    given = Given(**{kind: tmp_path / file for file, kind in files.items() if (tmp_path / file).exists()})
    code, ours = _explained(facility, given, answer.message, case.environ)
    assert (code, answer.message in ours, OURS[name][1] in ours) == (OURS[name][0], True, True)


def test_nothing_is_wrong_with_what_is_let_in(facility: Facility, tmp_path: Path) -> None:
    """No problem is seen in credentials that the server accepts."""
    given = Given(facility.make_proxy(tmp_path / "proxy.pem"), good_token(facility, tmp_path))
    assert ask(facility, given).exit_code == 0
    environ = {"X509_CERT_DIR": facility.proxies.environment["X509_CERT_DIR"], **given.environ}
    seen = look(environ, host="localhost", path="/store", now=time.time())

    assert seen.problems == []
    assert [fact.partition(":")[0] for fact in seen.facts] == ["the proxy", "the token"]

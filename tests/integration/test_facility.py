"""The rehearsal facility: its pool, issuer, proxies and pipelines are the real things, and behave like a site's."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509

from septum.facility import ANY_AUDIENCE, IMAGE, Facility, FacilityError, Library
from septum.facility.issuer import write_private

CLIENT = """
import json, sys, time
import htcondor2

collector, schedd, count = sys.argv[1:]
ad = htcondor2.Collector(collector).locate(htcondor2.DaemonType.Schedd, schedd)
queue = htcondor2.Schedd(ad)
work = {"executable": "job.sh", "transfer_input_files": "in.txt", "transfer_output_files": "out.txt",
        "should_transfer_files": "YES", "output": "stdout.$(Process)", "request_disk": "1MB"}
result = queue.submit(htcondor2.Submit(work), count=int(count), spool=True)
queue.spool(result)
mine = f"ClusterId == {result.cluster()}"
end = time.monotonic() + 60
while time.monotonic() < end:
    ads = queue.query(mine, ["JobStatus", "Owner", "AuthTokenSubject"])
    if all(ad["JobStatus"] == 4 for ad in ads):
        break
    time.sleep(0.2)
queue.retrieve(mine)
print(json.dumps([{key: str(ad.get(key)) for key in ("JobStatus", "Owner", "AuthTokenSubject")} for ad in ads]))
"""


def client(facility: Facility, folder: Path, *, client_id: str = "cmscat-client") -> subprocess.CompletedProcess[str]:
    """Submit one job as a client on another machine would, with nothing but a token, and fetch what it wrote."""
    write_private(folder / "token", facility.issuer.token(client_id, audience=facility.endpoint.audience))
    (folder / "job.sh").write_text("#!/bin/sh\npython3 -c 'import uproot' && { cat in.txt; id -un; env; } > out.txt\n")
    (folder / "in.txt").write_text("hello\n")
    env = {
        "CONDOR_CONFIG": "ONLY_ENV",
        "HOME": str(folder),
        "PATH": os.defpath,
        "_condor_AUTH_SSL_CLIENT_CAFILE": str(facility.ca_file),
        "_condor_SCITOKENS_FILE": str(folder / "token"),
        "_condor_SEC_CLIENT_AUTHENTICATION_METHODS": "SCITOKENS",
    }
    words = [sys.executable, "-c", CLIENT, facility.endpoint.collector, facility.endpoint.schedd, "1"]
    return subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_a_job_with_a_token_runs_as_the_mapped_account(facility: Facility, tmp_path: Path) -> None:
    """Submit, spool, run, retrieve: the schedd saw the token, the job saw the input, the client got the output."""
    os.environ["SEPTUM_TEST_LEAK"] = "x"
    done = client(facility, tmp_path)
    del os.environ["SEPTUM_TEST_LEAK"]

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        {"JobStatus": "4", "Owner": "cmscat", "AuthTokenSubject": "cmscat-client"},
    ]
    first, name, *environment = (tmp_path / "out.txt").read_text().splitlines()
    assert (first, name) == ("hello", "cmscat")
    assert not [line for line in environment if "SEPTUM" in line]


@pytest.mark.parametrize("client_id", ["unmapped-client", "reader-client", "profileless-client"])
def test_the_pool_refuses_who_may_not_submit(facility: Facility, tmp_path: Path, client_id: str) -> None:
    """No account, too few scopes, no WLCG profile: each has a token, and none can submit."""
    done = client(facility, tmp_path, client_id=client_id)

    assert done.returncode != 0
    assert "HTCondorException" in done.stderr


def test_a_container_job_runs_in_its_image(facility: Facility) -> None:
    """The job sees the files of the image instead of the worker's, and the site's Python modules."""
    folder = facility.pool.folder / "tmp"
    (folder / "container.sub").write_text(
        f"container_image = {IMAGE}\ntransfer_container = false\n"
        "executable = /usr/bin/python3\ntransfer_executable = false\n"
        """arguments = "-c 'import numpy, os; print(os.environ[""APPTAINER_CONTAINER""])'"\n"""
        "output = container.out\nerror = container.err\nlog = container.log\nrequest_disk = 1MB\n"
        "should_transfer_files = YES\nqueue\n"
    )
    facility.pool.run("condor_submit", "container.sub")
    facility.pool.run("condor_wait", "-wait", "60", "container.log", timeout_s=90)

    assert (folder / "container.out").read_text() == f"{IMAGE}\n"
    assert (folder / "container.err").read_text() == ""


def test_a_pool_with_a_limit_of_its_own(facility: Facility) -> None:
    """A second pool runs beside the first, and it stops although a job of it runs."""
    with facility.extra_pool("limited", config=["MAX_JOBS_PER_SUBMISSION = 3"]) as pool:
        assert pool.run("condor_config_val", "MAX_JOBS_PER_SUBMISSION").stdout.strip() == "3"
        (pool.folder / "tmp/sleep.sub").write_text("executable = /bin/sleep\narguments = 1000\nqueue $(count)\n")
        refused = pool.run("condor_submit", "count=4", "sleep.sub", check=False)
        pool.run("condor_submit", "count=1", "sleep.sub")
        end = time.monotonic() + 30
        while pool.run("condor_q", "-run", "-af", "ClusterId").stdout == "" and time.monotonic() < end:
            time.sleep(0.2)
        assert pool.run("condor_q", "-run", "-af", "ClusterId").stdout != ""
        start = time.monotonic()

    assert refused.returncode != 0
    assert time.monotonic() - start < 10
    assert not pool.running


def ask(facility: Facility, *, basic: tuple[str, str] | None, **form: str) -> tuple[int, dict[str, Any]]:
    """Send a request for a token and return the status and the answer."""
    body = urllib.parse.urlencode({"grant_type": "client_credentials", **form}).encode()
    request = urllib.request.Request(f"{facility.issuer.url}token", data=body)
    if basic is not None:
        request.add_header("Authorization", "Basic " + b64encode(":".join(basic).encode()).decode())
    trust = ssl.create_default_context(cafile=str(facility.ca_file))
    try:
        with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as err:
        with err:
            return err.code, json.load(err)


def claims(answer: dict[str, Any]) -> dict[str, Any]:
    """Read the claims of a token that was granted."""
    found: dict[str, Any] = jwt.decode(answer["access_token"], options={"verify_signature": False})
    return found


@pytest.fixture
def login(facility: Facility) -> tuple[str, str]:
    """The name and the secret of the usual client."""
    return "cmscat-client", facility.issuer.secret_file().read_text()


def test_a_token_has_the_claims_of_iam(facility: Facility, login: tuple[str, str]) -> None:
    """Without a scope all registered ones are granted, without an audience it is good for any."""
    status, answer = ask(facility, basic=login)
    found = claims(answer)

    assert status == 200
    assert found["iss"] == facility.endpoint.issuer
    assert found["iss"].endswith("/")
    assert (found["sub"], found["wlcg.ver"], found["aud"]) == ("cmscat-client", "1.0", ANY_AUDIENCE)
    assert set(found["scope"].split()) >= {"compute.read", "compute.create", "compute.modify", "compute.cancel"}
    assert found["exp"] - found["iat"] == 3600
    assert found["iat"] - found["nbf"] == 60


@pytest.mark.parametrize("name", ["audience", "aud", "resource"])
def test_each_name_of_the_audience_counts(facility: Facility, login: tuple[str, str], name: str) -> None:
    """IAM knows three names for it, and several values with blanks between."""
    assert claims(ask(facility, basic=login, **{name: "condor://a"})[1])["aud"] == "condor://a"
    assert claims(ask(facility, basic=login, **{name: "condor://a https://b"})[1])["aud"] == ["condor://a", "https://b"]


def test_the_issuer_refuses_what_iam_refuses(facility: Facility, login: tuple[str, str]) -> None:
    """A wrong secret, a secret in the form, a scope that is not registered: IAM's own words."""
    name, secret = login
    bad = (401, {"error": "invalid_client", "error_description": "Bad client credentials"})

    assert ask(facility, basic=(name, "wrong")) == bad
    assert ask(facility, basic=("nobody", secret)) == bad
    assert ask(facility, basic=None, client_id=name, client_secret=secret) == bad
    assert ask(facility, basic=login, scope="storage.read:/") == (
        400,
        {"error": "invalid_scope", "error_description": f"Scope 'storage.read:/' not allowed for client '{name}'"},
    )


def test_scopes_with_a_path_go_by_their_prefix(facility: Facility) -> None:
    """What lies below a registered path is granted, what lies beside it is not."""
    issuer = facility.issuer
    token = issuer.token("storage-client", scope="storage.create:/store/user/me")

    assert jwt.decode(token, options={"verify_signature": False})["scope"] == "storage.create:/store/user/me"
    with pytest.raises(FacilityError, match=r"storage\.create:/store/users"):
        issuer.token("storage-client", scope="storage.create:/store/users")


def test_requests_are_counted_and_made_to_fail(facility: Facility, login: tuple[str, str]) -> None:
    """A test can ask for errors, and can see how often a client has asked."""
    before = len(facility.issuer.requests())
    facility.issuer.fail_next(2, status=503)
    statuses = [ask(facility, basic=login)[0] for _ in range(3)]

    assert statuses == [503, 503, 200]
    assert [entry["status"] for entry in facility.issuer.requests()[before:]] == [503, 503, 200]
    assert login[1] not in (facility.issuer.folder / "requests.jsonl").read_text()


@pytest.mark.parametrize(
    ("lifetime_s", "voms_lifetime_s"), [(86400, 43200), (86400, 600), (-3600, -3600)], ids=["valid", "short", "expired"]
)
def test_a_proxy_lives_as_long_as_it_says(
    facility: Facility, tmp_path: Path, lifetime_s: int, voms_lifetime_s: int
) -> None:
    """VOMS's own tool and an independent reader agree about the two lives of a proxy."""
    proxy = facility.make_proxy(tmp_path / "proxy.pem", lifetime_s=lifetime_s, voms_lifetime_s=voms_lifetime_s)
    leaf, *_, user = x509.load_pem_x509_certificates(proxy.read_bytes())
    left_s = (leaf.not_valid_after_utc - dt.datetime.now(dt.timezone.utc)).total_seconds()

    assert left_s == pytest.approx(lifetime_s, abs=30)
    assert int(facility.proxies.info(proxy, "-timeleft")) == pytest.approx(max(0, lifetime_s), abs=30)
    assert int(facility.proxies.info(proxy, "-actimeleft")) == pytest.approx(max(0, voms_lifetime_s), abs=30)
    assert facility.proxies.info(proxy, "-fqan").startswith("/cms/Role=NULL")
    assert leaf.issuer == user.subject
    assert proxy.stat().st_mode & 0o777 == 0o600
    assert not list(Path.home().glob(".rnd"))


def test_a_proxy_without_voms(facility: Facility, tmp_path: Path) -> None:
    """There are proxies of no virtual organisation."""
    proxy = facility.proxies.make(tmp_path / "proxy.pem", vo=None)

    assert "VO " not in facility.proxies.info(proxy)


COMPONENT = """\
spec:
  inputs:
    name:
      description: Whom to greet
---
"greet $[[ inputs.name ]]":
  stage: build
  image: registry.test/there/is:none
  variables: {PLACE: $CI_PROJECT_DIR/out}
  script:
    - test "$CI_PROJECT_DIR" = "$PWD"
    - mkdir "$PLACE"
    - echo "$TEXT, $[[ inputs.name ]], says $[[ component.version ]]" > "$PLACE/greeting"
    - env > "$PLACE/env"
  artifacts: {paths: [out]}
"""
PIPELINE = """\
include:
  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/greet@1
    inputs: {name: world}
stages: [build, test]
read:
  stage: test
  needs: [greet world]
  script:
    - cat out/greeting
    - cat "$SECRET"
    - test ! -e "$TROUBLE"
  artifacts: {paths: [out/greeting]}
"""


def test_a_pipeline_with_a_component_of_another_project(
    facility: Facility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs with an artifact between them, from files that nobody has committed; then one of them again."""
    monkeypatch.setenv("SEPTUM_TEST_LEAK", "x")
    templates = tmp_path / "library/templates"
    templates.mkdir(parents=True)
    (templates / "greet.yml").write_text(COMPONENT)
    repository = tmp_path / "analysis"
    repository.mkdir()
    (repository / ".gitlab-ci.yml").write_text(PIPELINE)
    trouble = tmp_path / "trouble"
    trouble.touch()
    pipeline = facility.pipeline(
        repository,
        variables={"TEXT": "/etc/passwd", "TROUBLE": str(trouble)},
        files={"SECRET": "s3cret\n"},
        library=Library(templates),
    )
    first = pipeline.run()
    trouble.unlink()
    again = pipeline.run("read")

    assert (first.exit_code, again.exit_code) == (1, 0), first.log + again.log
    assert (again.artifacts("read") / "out/greeting").read_text() == "/etc/passwd, world, says 1.0.0\n"
    assert "s3cret" in again.job_log("read")
    assert "SEPTUM_TEST_LEAK" not in (first.artifacts("greet world") / "out/env").read_text()
    assert not (repository / ".git").exists()


OWNER = """
import sys, time
from septum.facility import Facility

with Facility(slots=2) as facility:
    print(facility.folder, facility.pool.endpoint.collector, time.monotonic() - float(sys.argv[1]), flush=True)
    time.sleep(600)
"""


def test_a_second_one_starts_fast_and_dies_with_its_owner(facility: Facility) -> None:
    """All comes from the cache, nothing is shared with the first; no process outlives a killed owner."""
    words = [sys.executable, "-c", OWNER, str(time.monotonic())]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder, collector, seconds = owner.stdout.readline().split()
        running = processes_of(folder)
        owner.send_signal(signal.SIGKILL)
        owner.wait(timeout=10)
        end = time.monotonic() + 10
        while processes_of(folder) and time.monotonic() < end:
            time.sleep(0.1)

    assert float(seconds) < 15
    assert collector != facility.endpoint.collector
    assert len(running) >= 2
    assert processes_of(folder) == []


def processes_of(folder: str) -> list[str]:
    """List the processes that hold a file of a folder as working folder, argument or open log."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            mounts = (process / "mountinfo").read_text()
        except OSError:
            continue
        if folder in words or folder in mounts:
            found.append(words)
    return found

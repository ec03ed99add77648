"""Nothing of a secret gets out of a whole run: not by arguments, environments, logs, job ads, files or cores.

`tests/leaks.py` does the looking; that it finds what is there is tested first.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import resource
import secrets as random_secrets
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from septum import yamltext
from septum.facility import COMPUTE_SCOPES, Facility
from septum.facility.pipeline import Library, PipelineResult
from tests.leaks import Secrets, Watch, encodings, keys_in, leaks, private_key, texts_of, tokens_of
from tests.workshop import SEPTUM, Repository, client_environment, kinds_repository, pool_profile, queue

ROOT = Path(__file__).parents[2]
CLIENT = "cmscat-client"
PARTS = 12
JOBS = ("septum-prepare", "septum-submit", "septum-collect")
# Long enough to be seen, and curious.
PART_SH = """\
env
ls -la
case $PART_kind in
good) sleep 0.6; cp good.root out.root ;;
slow) sleep 120 ;;
# What a user does who looks for the reason why storage refuses him.
nosy) cat "$X509_USER_PROXY"; base64 -w0 "$X509_USER_PROXY" >&2; exit 3 ;;
esac
"""
_KILL_S = 30.0


@dataclass(kw_only=True)
class Run:
    """A run of septum in folders of its own, its secrets, and what it printed."""

    folder: Path
    facility: Facility
    repository: Repository
    secrets: Secrets
    watch: Watch
    proxy: Path
    said: list[str] = field(default_factory=list)

    def septum(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run septum to its end."""
        done = self.repository.septum(*arguments, timeout_s=120, **environ)
        self.said.append(done.stdout)
        return done

    @contextlib.contextmanager
    def running(self, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
        """Run septum beside the test; it is killed at the end, if it is still there."""
        with self.repository.start(*arguments, **environ) as process:
            try:
                yield process
                said, _ = process.communicate(timeout=_KILL_S)
                self.said.append(said)
            finally:
                process.kill()

    def credential_files(self) -> list[Path]:
        """All that stands in folders of credentials."""
        return [path for path in (self.folder / "run").glob("septum-credentials-*/*") if path.suffix != ".json"]

    def wait_for(self, what: Callable[[], object]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + _KILL_S
        while not what():
            assert time.monotonic() < end, self.said
            time.sleep(0.02)

    def ads(self) -> Iterator[tuple[str, bytes]]:
        """The ads of all jobs as the queue and the history show them to any user."""
        for tool in ("condor_q", "condor_history"):
            all_users = ["-all"] if tool == "condor_q" else []
            yield tool, self.facility.pool.run(tool, *all_users, "-long").stdout.encode()

    def leaks(self, *, left: bool = True) -> list[str]:
        """Everything that got out, wherever it is.

        Args:
            left: Whether septum has ended, so that no file of a credential may be left.
        """
        issuer = self.facility.issuer.url

        def allowed(path: Path) -> bool:
            return path == self.proxy or (not left and path.name.startswith("septum-credentials-"))

        texts = [(f"output {number}", said.encode()) for number, said in enumerate(self.said)]
        found = leaks(self.secrets, [*texts, *texts_of(self.folder, leave_out=allowed), *self.ads()], issuer=issuer)
        pool = self.facility.pool.folder
        found += leaks(self.secrets, [*self.watch.sandboxes.items(), *texts_of(pool)], issuer=issuer)
        return found + self.watch.arguments_with_secrets() + self.watch.environments_with_secrets()


@pytest.fixture
def started(facility: Facility, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Prepares runs on the pool, with all secrets that a CI job may have, and watches the machine."""
    with contextlib.ExitStack() as stack:

        def start(
            kinds: Sequence[str], *, extra: str = "", environ: Mapping[str, str] | None = None, **profile: Any
        ) -> Run:
            for name in ("home", "run", "tmp"):
                (tmp_path / name).mkdir(mode=0o700)
            proxy = facility.make_proxy(tmp_path / "proxy.pem")
            variables = _variables(facility, proxy)
            secrets = _known(facility, proxy, variables)
            places = {"HOME": "home", "XDG_RUNTIME_DIR": "run", "TMPDIR": "tmp"}
            here = {name: str(tmp_path / folder) for name, folder in places.items()}
            repository = kinds_repository(
                tmp_path / "repository",
                kinds,
                extra=extra,
                environ={**variables, **here, "SEPTUM_CLUSTER": "pool", **(environ or {})},
            )
            (repository.folder / "part.sh").write_text(PART_SH)
            (repository.folder / "clusters").mkdir()
            (repository.folder / "clusters" / "pool.yaml").write_text(
                pool_profile(
                    facility.pool,
                    facility,
                    proxy="required",
                    **{"client-secret-variable": "HARMLESS_NAME", "expect-vo": "cms", **profile},
                )
            )
            pool = facility.pool.folder
            watch = stack.enter_context(
                Watch(secrets, facility.issuer.url, [tmp_path / "run"], [pool / "spool", pool / "execute"])
            )
            return Run(
                folder=tmp_path,
                facility=facility,
                repository=repository,
                secrets=secrets,
                watch=watch,
                proxy=proxy,
            )

        yield start


def _variables(facility: Facility, proxy: Path) -> dict[str, str]:
    """The CI variables, the client's secret under a name that looks harmless."""
    client = client_environment(facility, CLIENT)
    return {
        "IAM_CLIENT_ID": client["IAM_CLIENT_ID"],
        "HARMLESS_NAME": client["IAM_CLIENT_SECRET"],
        "X509_PROXY": base64.b64encode(proxy.read_bytes()).decode(),
        "SEPTUM_ID_TOKEN": facility.issuer.id_token("septum-unused"),
        "SEPTUM_PROXY_ID_TOKEN": facility.issuer.id_token("septum-unused"),
        "CI_JOB_TOKEN": f"glcbt-64_{random_secrets.token_urlsafe(15)}",
    }


def _known(facility: Facility, proxy: Path, variables: Mapping[str, str]) -> Secrets:
    secrets = Secrets()
    secrets.add("client secret", variables["HARMLESS_NAME"])
    secrets.add("key of the proxy", private_key(proxy.read_bytes()))
    for name in ("SEPTUM_ID_TOKEN", "SEPTUM_PROXY_ID_TOKEN", "CI_JOB_TOKEN"):
        secrets.add(name, variables[name])
    return secrets


# ── the harness itself ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def pem(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A proxy."""
    return facility.make_proxy(tmp_path_factory.mktemp("proxy") / "proxy.pem").read_bytes()


def test_harness_finds_every_encoding(pem: bytes) -> None:
    """Each form of each kind of secret is found in the middle of other text, also a piece of 16 bytes of it."""
    secret = random_secrets.token_urlsafe(32).encode()
    for value in (secret, private_key(pem)):
        secrets = Secrets()
        secrets.add("planted", value)
        body = value if value == secret else b"\n".join(value.split(b"\n")[9:-2])
        for name, form in encodings(body).items():
            for at in (0, 3, len(form) - 16):
                assert secrets.find(b"x" * at + b" log: " + form[at : at + 24] + b"\n"), name
        assert not secrets.find(b"-----BEGIN PRIVATE KEY-----\n" + random_secrets.token_bytes(1000).hex().encode())
        assert not secrets.find(pem.replace(private_key(pem), b""))


def test_harness_finds_tokens_that_nobody_knows(facility: Facility) -> None:
    """Any token of the issuer counts, plain or in base64; those of others do not."""
    token = facility.issuer.token().encode()

    for text in (token, base64.b64encode(b"x" + token), base64.encodebytes(b'{"a": "' + token + b'"}')):
        assert tokens_of(b"log " + text + b" end", facility.issuer.url) == {token}
    assert not tokens_of(token, "https://elsewhere.test/")


def test_harness_finds_files_and_processes(facility: Facility, tmp_path: Path) -> None:
    """A secret in arguments, in an environment below septum, in a file, in a compressed one, and in a sandbox."""
    secret = random_secrets.token_urlsafe(32)
    secrets = Secrets()
    secrets.add("planted", secret)
    (tmp_path / "files" / "deep").mkdir(parents=True)
    (tmp_path / "files" / "deep" / "log").write_bytes(b"\0" * 5000 + secret.encode().hex().encode())
    (tmp_path / "files" / "packed.tar.gz").write_bytes(gzip.compress(b"x" * 777 + secret.encode()))
    fake = tmp_path / "septum"
    fake.write_text(f"#!/bin/sh\nexport OTHER={secret}\nsleep 0.3; (exec sleep 0.31)\nexit 0\n")
    fake.chmod(0o700)
    credentials = tmp_path / "septum-credentials-abcdefgh"

    with Watch(secrets, facility.issuer.url, [tmp_path], [tmp_path / "files"]) as watch:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.3)", f"--secret={secret}"], check=True)
        # Above septum it may be, and below it may not.
        subprocess.run([str(fake)], check=True, env={"PATH": os.environ["PATH"], "ABOVE": secret})
        credentials.mkdir()
        (credentials / "token").write_text(facility.issuer.token())
        time.sleep(0.3)

    (argument,) = watch.arguments_with_secrets()
    assert "--secret=" in argument
    assert {found.split(" ", 2)[2].split(":")[0] for found in watch.environments_with_secrets()} == {
        "sleep 0.3 ",
        "sleep 0.31 ",
    }
    assert len(secrets.named("token")) == 1
    assert len(leaks(secrets, watch.sandboxes.items())) >= 1
    found = leaks(secrets, texts_of(tmp_path / "files"))
    assert {re.sub(r":.*", "", Path(line).name) for line in found} == {"log", "packed.tar.gz!"}


# ── a pipeline of GitLab ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Piped:
    """A pipeline that has run under watch."""

    result: PipelineResult
    secrets: Secrets
    watch: Watch
    facility: Facility
    local: bool

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """The log, and all that is left in the folders of the pipeline."""
        folder = self.result.pipeline.folder

        def of_the_runner(path: Path) -> bool:
            # GitLab's database, so to say, and the variables of type file that the runner writes and leaves.
            return path == folder / "variables.json" or path.name.startswith("gitlab-ci-local-file-variables")

        yield "log", self.result.log.encode()
        yield from texts_of(folder, leave_out=of_the_runner)


def _pipeline(facility: Facility, folder: Path, cluster: str, **variables: str) -> Piped:
    proxy = facility.make_proxy(folder / "proxy.pem")
    secret = _variables(facility, proxy)
    secrets = _known(facility, proxy, secret)
    repository = kinds_repository(folder / "analysis", ["good"] * PARTS, environ={})
    # A tree, so that collect starts hadd: what it starts is looked at, too.
    with uproot.update(repository.folder / "good.root") as file:
        file.mktree("events", {"pt": "f8"}).extend({"pt": np.arange(7.0)})
    (repository.folder / "part.sh").write_text(PART_SH)
    (repository.folder / ".gitlab-ci.yml").write_text(
        "include:\n  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/analysis@1.0.0\n"
        f"    inputs: {{cluster: {cluster}}}\n"
    )
    settings = {
        "ISSUER": facility.issuer.url,
        "AUDIENCE": facility.endpoint.audience,
        "SCOPE": " ".join(["wlcg", *COMPUTE_SCOPES]),
        "CLIENT_SECRET_VARIABLE": "HARMLESS_NAME",
        "PROXY": "required",
        **variables,
    }
    pipeline = facility.pipeline(
        repository.folder,
        variables={**secret, **{f"SEPTUM_CLUSTER_{name}": value for name, value in settings.items()}},
        files={"SEPTUM_CA": facility.ca_file.read_text()},
        library=Library(ROOT / "templates"),
    )
    pool = facility.pool.folder
    places = [Path("/dev/shm"), pipeline.folder / "tmp"]
    with Watch(secrets, facility.issuer.url, places, [pool / "spool", pool / "execute"]) as watch:
        result = pipeline.run(timeout_s=300)
    assert result.exit_code == 0, result.log[-4000:]
    return Piped(result=result, secrets=secrets, watch=watch, facility=facility, local=cluster == "local")


@pytest.fixture(scope="module")
def on_pool(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Piped:
    """The component on the pool, with a token and a proxy."""
    return _pipeline(
        facility,
        tmp_path_factory.mktemp("on-pool"),
        "infn-af",
        COLLECTOR=facility.endpoint.collector,
        SCHEDD=facility.endpoint.schedd,
        POLL_FLOOR="1 s",
        POLL_CEILING="2 s",
    )


@pytest.fixture(scope="module")
def on_local(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Piped:
    """The component on this machine, with the same credentials."""
    folder = tmp_path_factory.mktemp("on-local")
    return _pipeline(facility, folder, "local", CREDENTIALS="iam-client", CA_VARIABLE="SEPTUM_CA")


@pytest.fixture(params=["on_pool", "on_local"])
def piped(request: pytest.FixtureRequest) -> Piped:
    """One of the two."""
    found: Piped = request.getfixturevalue(request.param)
    return found


def test_pipeline_was_seen(piped: Piped) -> None:
    """The harness saw the tokens of both CI jobs, and the processes that it is about."""
    names = [b" ".join(seen.argv.split(b"\0")) for seen in piped.watch.below_septum()]

    assert len(piped.secrets.named("token")) == 2
    for part in [
        b"septum submit",
        b"septum collect",
        b"hadd ",
        *([b"part.sh"] if piped.local else [b"htcondor.worker"]),
    ]:
        assert any(part in name for name in names), (part, names)
    assert sum(b"part.sh" in seen.argv for seen in piped.watch.seen.values()) >= PARTS
    assert piped.watch.rounds > 100


def test_pipeline_arguments(piped: Piped) -> None:
    """No process of the machine has a secret in its arguments."""
    assert piped.watch.arguments_with_secrets() == []


def test_pipeline_environments(piped: Piped) -> None:
    """Nothing that septum starts has one in its environment but collect GitLab's token, and no part of the analysis.

    With that token collect reads the artifact of the reference; what collect starts has no business with it.
    """
    found = piped.watch.environments_with_secrets()
    kept = [one for one in found if one.endswith("/septum collect : CI_JOB_TOKEN (plain)")]

    assert [one for one in found if one not in kept] == []
    assert len(kept) <= 1
    parts = [seen for seen in piped.watch.seen.values() if b"part.sh" in seen.argv]
    assert [str(seen) for seen in parts if piped.secrets.find(seen.environ)] == []


def test_pipeline_files(piped: Piped) -> None:
    """Log, checkouts, artifacts, plan, ledger, state, results and home hold none, and no token of the issuer at all."""
    artifacts = [list(piped.result.artifacts(job).rglob("*")) for job in JOBS]

    assert leaks(piped.secrets, piped.texts(), issuer=piped.facility.issuer.url) == []
    assert all(artifacts)
    assert any(path.name == "run.sqlite" for path in artifacts[2])


def test_pipeline_leaves_no_credentials(piped: Piped) -> None:
    """The files of the credentials are gone."""
    texts = [text for folder in Path("/dev/shm").glob("septum-credentials-*") for text in texts_of(folder)]

    assert leaks(piped.secrets, texts) == []


def test_pipeline_job_ads(on_pool: Piped) -> None:
    """What the history shows of the jobs to any user holds none."""
    manifest = json.loads((on_pool.result.artifacts("septum-collect") / "result" / "septum.json").read_text())
    constraint = f'SeptumRun == "{manifest["run"]}"'
    ads = on_pool.facility.pool.run("condor_history", "-constraint", constraint, "-long").stdout

    assert ads.count("\nx509userproxy = ") == PARTS
    assert leaks(on_pool.secrets, [("ads", ads.encode())], issuer=on_pool.facility.issuer.url) == []


def test_pipeline_sandboxes(on_pool: Piped) -> None:
    """The pool has proxies of its own for the jobs, with other keys, and neither the proxy's key nor a token."""
    found = on_pool.watch.sandboxes
    keys = {private_key(data) for data in found.values() if b"PRIVATE KEY" in data}

    assert len(keys) >= PARTS
    assert leaks(on_pool.secrets, found.items(), issuer=on_pool.facility.issuer.url) == []
    assert leaks(on_pool.secrets, texts_of(on_pool.facility.pool.folder), issuer=on_pool.facility.issuer.url) == []


# ── what users and services do that they should not ─────────────────────────────────────────────────────────────


def test_command_that_shows_everything(started: Callable[..., Run]) -> None:
    """What a command prints of its files and of its environment, in any usual encoding, is taken out of the log."""
    run = started(["good"])
    nosy = (
        'for f in "$X509_USER_PROXY" "$BEARER_TOKEN_FILE" "$_CONDOR_SCITOKENS_FILE"; do'
        ' cat "$f"; base64 "$f"; base64 -w0 "$f" >&2; od -An -v -tx1 "$f" | tr -d " \\n"; python3 -c'
        " 'import sys, json, urllib.parse; t = open(sys.argv[1]).read(); print(json.dumps(t), urllib.parse.quote(t))'"
        ' "$f"; done; env; cat /proc/self/environ; ls -la "$SEPTUM_CREDENTIALS"; exit 41'
    )

    done = run.septum(
        "credentials",
        "run",
        "--",
        "sh",
        "-c",
        nosy,
        NOTES=f"the client says {base64.b64encode(run.secrets.named('client secret')[0]).decode()}",
        CI_REPOSITORY_URL=f"https://gitlab-ci-token:glcbt-{random_secrets.token_hex(20)}@gitlab.test/a/b.git",
    )

    assert done.returncode == 41, done.stdout
    assert "X509_USER_PROXY=" in done.stdout
    assert "***" in done.stdout
    assert not re.findall("HARMLESS_NAME|X509_PROXY|ID_TOKEN|CI_JOB_TOKEN|NOTES|gitlab-ci-token", done.stdout)
    assert set(re.findall(r"^-r\S+|^d\S+", done.stdout, re.MULTILINE)) <= {"-rw-------", "drwx------", "drwxr-xr-x"}
    assert run.leaks() == []


@pytest.mark.parametrize("method", ["htcondor", "local"])
def test_part_that_shows_its_proxy(started: Callable[..., Run], method: str) -> None:
    """A part that prints its proxy fails; neither its log, nor what septum quotes of it, shows a key."""
    run = started(["good", "nosy"], method=method)

    done = run.septum("credentials", "run", "--", "septum", "run")

    assert done.returncode not in {0, 2}, done.stdout
    texts = [(name, text) for name, text in texts_of(run.repository.folder)]
    assert any(b"X509_USER_PROXY" in text for name, text in texts if "logs/" in name)
    assert keys_in([("output", done.stdout.encode()), *texts]) == []
    assert run.leaks() == []


def test_wrong_audience(started: Callable[..., Run]) -> None:
    """A pool that refuses the token: its words, and no token in them."""
    run = started(["good"], audience="condor://elsewhere.test:9618")

    done = run.septum("credentials", "run", "--", "septum", "--traceback", "run")

    assert done.returncode == 1, done.stdout
    assert "AuthenticationError" in done.stdout
    assert run.leaks() == []


@pytest.fixture
def echo(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A token issuer that refuses, and repeats in its refusal all that it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {"issuer": url, "token_endpoint": f"{url}token"})

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            login = self.headers["Authorization"].split()[1]
            words = ["no client", base64.b64decode(login).decode(), login, base64.b64encode(login.encode()).decode()]
            self._answer(401, {"error": words[1], "error_description": " ".join([*words, sent])})

        def _answer(self, status: int, data: object) -> None:
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    identity = facility._authority.host(tmp_path_factory.mktemp("echo"), "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    with ThreadingHTTPServer(("localhost", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = f"https://localhost:{server.server_address[1]}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield url
        server.shutdown()


@pytest.mark.parametrize("options", [[], ["--traceback"]])
def test_issuer_that_repeats_the_secret(started: Callable[..., Run], echo: str, options: list[str]) -> None:
    """Its refusal is shown without the secret, in the error and in the traceback."""
    run = started(["good"], issuer=echo)

    done = run.septum(*options, "credentials", "run", "--", "septum", "run")

    assert done.returncode == (1 if options else 11), done.stdout
    assert "no client" in done.stdout
    assert run.leaks() == []


# ── the end comes early ─────────────────────────────────────────────────────────────────────────────────────────


def test_terminated_in_submit(started: Callable[..., Run]) -> None:
    """SIGTERM in the middle of a submission leaves no credential, and no job."""
    run = started(["slow"] * PARTS)
    assert run.septum("prepare").returncode == 0
    before = queue(run.facility.pool)

    with run.running("credentials", "run", "--", "septum", "submit") as process:
        run.wait_for(lambda: any(b"htcondor.worker" in seen.argv for seen in run.watch.below_septum()))
        process.send_signal(signal.SIGTERM)

    assert process.returncode in {24, 40, 143}, run.said
    assert run.credential_files() == []
    assert run.leaks() == []
    assert [job for job in queue(run.facility.pool) if job not in before] == []


def test_terminated_in_collect(started: Callable[..., Run]) -> None:
    """SIGTERM while jobs run leaves no credential, and no job."""
    run = started(["slow"] * PARTS)
    assert run.septum("prepare").returncode == 0
    assert run.septum("credentials", "run", "--", "septum", "submit").returncode == 0

    before = len(run.secrets)
    with run.running("credentials", "run", "--", "septum", "collect") as process:
        run.wait_for(lambda: len(run.secrets) > before)
        time.sleep(2)
        process.send_signal(signal.SIGTERM)

    assert process.returncode in {24, 40, 143}, run.said
    assert run.credential_files() == []
    assert run.leaks() == []


@pytest.mark.parametrize("sweeper", ["clean", "show"])
def test_killed(started: Callable[..., Run], sweeper: str) -> None:
    """What SIGKILL leaves behind goes with `septum credentials clean`, or with the next one that starts."""
    run = started(["good"])
    with run.running("credentials", "run", "--", "sleep", "30.25") as process:
        run.wait_for(lambda: any(b"30.25" in seen.argv for seen in run.watch.below_septum()))
        process.kill()
        left = next(seen for seen in run.watch.below_septum() if seen.argv.startswith(b"sleep\x0030.25"))
        os.kill(left.pid, signal.SIGKILL)
    assert {path.name for path in run.credential_files()} >= {"token", "proxy"}

    assert run.septum("credentials", sweeper).returncode == 0

    assert run.credential_files() == []
    assert run.leaks() == []


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _cores_of(run: Run, command: Sequence[str], number: int, *, raised: bool = False) -> list[Path]:
    """The cores that a command leaves, with no limit on them, when a signal ends it.

    Args:
        run: Whose variables it gets.
        command: The command, which starts another one with `30.75` in its arguments, or is that itself.
        number: The signal.
        raised: Whether its limit is raised again while it lives.
    """
    folder = run.folder / "cores"
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -c unlimited; exec "$0" "$@"', *command],
        cwd=folder,
        env=run.repository.environment(SEPTUM_CONFIG=str(run.repository.folder / "septum.yaml")),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        run.wait_for(lambda: list(_sleeping(run)))
        if raised:
            resource.prlimit(process.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        elif str(SEPTUM) in command:
            assert re.search(r"Max core file size +0 ", Path(f"/proc/{process.pid}/limits").read_text())
        process.send_signal(number)
        process.wait(_KILL_S)
    finally:
        process.kill()
        for pid in _sleeping(run):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return [path for path in folder.iterdir() if path.is_file()]


def _sleeping(run: Run) -> Iterator[int]:
    for (pid, argv), seen in list(run.watch.seen.items()):
        if seen.ours and argv.startswith(b"sleep\x0030.75"):
            yield pid


def test_no_core(started: Callable[..., Run]) -> None:
    """Septum dies without a core: supervisor or not, also if somebody has raised the limit of the living process."""
    run = started(["good"], method="local")
    if Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/")):
        pytest.skip("this machine writes no core into the folder of a process")
    (run.repository.folder / "part.sh").write_text("sleep 30.75\n")
    (control,) = _cores_of(run, ["sleep", "30.75"], signal.SIGABRT)
    control.unlink()

    run.watch.seen.clear()
    supervisor = [str(SEPTUM), "credentials", "run", "--", "sleep", "30.75"]
    assert _cores_of(run, supervisor, signal.SIGABRT) == []
    run.watch.seen.clear()
    assert _cores_of(run, supervisor, signal.SIGSEGV, raised=True) == []
    run.watch.seen.clear()
    config = ["--config", str(run.repository.folder / "septum.yaml")]
    assert _cores_of(run, [str(SEPTUM), "run", *config], signal.SIGABRT, raised=True) == []


# ── the trace of a shell ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shell", [["bash"], ["sh"]])
@pytest.mark.parametrize("job", JOBS)
def test_trace_of_the_component(tmp_path: Path, job: str, shell: list[str]) -> None:
    """`set -x` over the script of each CI job shows no value of a secret variable."""
    text = (ROOT / "templates" / "analysis.yml").read_text().partition("\n---\n")[2]
    config: Any = yamltext.load(text.replace("$[[ inputs.job-prefix ]]", "septum-"), "analysis.yml").data
    secrets = Secrets()
    values = {name: random_secrets.token_urlsafe(32) for name in ("IAM_CLIENT_SECRET", "X509_PROXY", "CI_JOB_TOKEN")}
    for name, value in values.items():
        secrets.add(name, value)
    fake = tmp_path / "septum"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo septum 0 || echo it was called with $*\n')
    fake.chmod(0o700)
    lines = [line for key in ("before_script", "script", "after_script") for line in config[job].get(key, [])]

    done = subprocess.run(
        [*shell, "-exv", "-c", "\n".join(lines)],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SEPTUM_VERSION": "0", **values},
        capture_output=True,
        check=True,
    )

    assert b"it was called with" in done.stdout
    assert secrets.find(done.stdout + done.stderr) == []


def test_debug_trace_is_refused(started: Callable[..., Run]) -> None:
    """Where GitLab writes all variables into the log anyway, nothing is obtained in addition."""
    run = started(["good"])

    done = run.septum("credentials", "run", "--", "septum", "run", CI_DEBUG_TRACE="true")

    assert done.returncode == 18, done.stdout
    assert run.leaks() == []
    assert not run.watch.below_septum()

"""`septum credentials run`: a command under supervision behaves as without it, and gets paths instead of secrets.

Each test starts real processes. The cluster is this machine, and its credentials are made here, so nobody is asked.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import secrets
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import proxy_files  # type: ignore[import-not-found]
import pytest

from septum.credentials.supervised import Supervised
from septum.environment import for_user_code
from septum.errors import CredentialMissingError

SEPTUM = str(Path(sys.executable).with_name("septum"))
RUN = (SEPTUM, "credentials", "run")
CLIENT_SECRET = secrets.token_urlsafe(32)
DUMP = "import json, os; print(json.dumps(dict(os.environ)))"
_ENOUGH_S = 20.0


def _proxy() -> bytes:
    """A proxy that lives for longer than this file."""
    authority = proxy_files.make(["CA"], hours=1e5)
    user = proxy_files.make(["user"], authority, hours=1e5)
    leaf = proxy_files.make(["user", "1"], user, 1e5, {proxy_files.RFC3820: b"\x30\x00"})
    return bytes(leaf.pem + leaf.key_pem + user.pem)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A folder with a cluster's profile, and the variables of a CI job."""

    folder: Path
    environ: dict[str, str]
    token: str
    proxy: bytes

    def run(
        self, *command: str | Path, options: Sequence[str] = (), stderr: int = subprocess.PIPE, **environ: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command under supervision to its end."""
        return subprocess.run(
            [*RUN, *options, "--", *command],
            cwd=self.folder,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            timeout=_ENOUGH_S,
            check=False,
        )

    def python(self, code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run some Python under supervision."""
        return self.run(sys.executable, "-c", code, *arguments, **options)

    def seen(self, **options: Any) -> dict[str, str]:
        """The environment that a command finds."""
        done = self.python(DUMP, **options)
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found

    @contextlib.contextmanager
    def start(self, *command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command under supervision beside the test, when it has printed its first line."""
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.folder, "env": self.environ}
        with subprocess.Popen([*RUN, "--", *command], bufsize=0, **{**settings, **options}) as process:
            try:
                if process.stdout is not None:
                    assert process.stdout.readline() == b"ready\n"
                yield process
            finally:
                process.kill()

    @property
    def left(self) -> list[str]:
        """What is left in the folder where credentials are kept."""
        return [path.name for path in (self.folder / "run").iterdir()]


@pytest.fixture(scope="module")
def proxy() -> bytes:
    """A proxy."""
    return _proxy()


@pytest.fixture
def bare(tmp_path: Path) -> Site:
    """No credentials at all: quick."""
    (tmp_path / "run").mkdir()
    places = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    return Site(folder=tmp_path, environ={"PATH": os.environ["PATH"], **places}, token="", proxy=b"")


@pytest.fixture
def site(bare: Site, proxy: bytes) -> Site:
    """A token and a proxy, and all that a CI job has beside them."""
    claims = {
        "iss": "https://iam.example.org/",
        "aud": "condor://schedd.example.org",
        "sub": "ci",
        "exp": time.time() + 3600,
        "wlcg.ver": "1.0",
        "scope": "wlcg compute.read",
    }
    token = jwt.encode({**claims, "jti": secrets.token_hex(32)}, secrets.token_hex(32), algorithm="HS256")
    given = bare.folder / "given"
    given.write_text(token)
    given.chmod(0o600)
    (bare.folder / "clusters").mkdir()
    (bare.folder / "clusters" / "site.yaml").write_text(
        "method: local\ncredentials: bearer-token\nissuer: https://iam.example.org/\n"
        "audience: condor://schedd.example.org\nscope: [wlcg, compute.read]\nproxy: required\n"
        "client-secret-variable: HARMLESS_NAME\n"
    )
    blob = base64.b64encode(proxy).decode()
    id_token = jwt.encode({"aud": "septum-unused"}, secrets.token_hex(32), algorithm="HS256")
    environ = {
        **bare.environ,
        "SEPTUM_CLUSTER": "site",
        "BEARER_TOKEN_FILE": str(given),
        "X509_PROXY": blob,
        "HARMLESS_NAME": CLIENT_SECRET,
        "OTHER_NAME": blob,
        "NOTES": f"written down: {base64.b64encode(CLIENT_SECRET.encode()).decode()}",
        "LAST_TOKEN": token,
        "SEPTUM_ID_TOKEN": id_token,
        "VAULT_ID_TOKEN": "short",
        "CI_JOB_TOKEN": "short",
        "CI_JOB_JWT_V2": "short",
        "CI_REPOSITORY_URL": f"https://gitlab-ci-token:{secrets.token_urlsafe(15)}@gitlab.test/a/b.git",
        "BEARER_TOKEN": token,
        "ANALYSIS": "dimuon",
    }
    return Site(folder=bare.folder, environ=environ, token=token, proxy=proxy)


# ── the command is left as it is ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", [0, 75, 255])
def test_exit_code(bare: Site, code: int) -> None:
    """It is passed on."""
    assert bare.run("sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_command(bare: Site, number: int) -> None:
    """128 and the signal's number, as a shell says it."""
    assert bare.run("sh", "-c", f"ulimit -c 0; kill -{int(number)} $$").returncode == 128 + number


@pytest.mark.parametrize(("command", "reason"), [("no-such-command", "no such file"), ("/", "permission denied")])
def test_command_that_cannot_be_started(site: Site, command: str, reason: str) -> None:
    """An error of usage with the reason, and no credentials left."""
    done = site.run(command)

    assert done.returncode == 2
    assert reason in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert site.left == []


def test_arguments_and_input(bare: Site) -> None:
    """Arguments come as they are, also those that look like ours; and so does standard input."""
    words = ["--auth", "nonsense", "--", "-x", "a b", "*", ""]
    code = "import sys; print(sys.argv[1:], sys.stdin.read())"

    done = subprocess.run(
        [*RUN, "--", sys.executable, "-c", code, *words],
        cwd=bare.folder,
        env=bare.environ,
        input=b"in\0put",
        capture_output=True,
        check=True,
    )

    assert done.stdout == f"{words} in\0put\n".encode()


def test_streams_are_kept_apart(bare: Site) -> None:
    """Standard output and standard error, when they are two files."""
    done = bare.run("sh", "-c", "echo out; echo err >&2; echo out; echo err >&2")

    assert (done.stdout, done.stderr) == (b"out\nout\n", b"err\nerr\n")


def test_one_log_keeps_its_order(bare: Site) -> None:
    """When both are one file, as in a CI job, nothing changes places."""
    code = "import os\nfor n in range(300): os.write(1 + n % 2, b'%d\\n' % n)"

    done = bare.python(code, stderr=subprocess.STDOUT)

    assert done.stdout.decode().split() == [str(number) for number in range(300)]


def test_binary_output(site: Site) -> None:
    """Bytes that are no text arrive as they are, at any length of the pieces."""
    data = bytes(range(256)) * 3000
    (site.folder / "data").write_bytes(data)
    code = (
        "import os, sys; d = open('data', 'rb').read(); at = 0\n"
        "for size in (1, 2, 3, 65535, 65536, 65537, 10**7): at += os.write(1, d[at:at + size])\n"
        "while at < len(d): at += os.write(1, d[at:])"
    )

    assert site.python(code).stdout == data


def test_much_output(site: Site) -> None:
    """100 MB of lines come whole, and within seconds, although secrets are looked for in all of them."""
    began = time.monotonic()

    done = site.run("sh", "-c", "yes '2026-11-22 12:00:00 INFO event 4711 pt=17.3 status=OK' | head -c 100000000")

    assert len(done.stdout) == 100_000_000
    assert done.stdout.count(b"***") == 0
    assert time.monotonic() - began < _ENOUGH_S


def test_prompt_without_a_line_end(bare: Site) -> None:
    """What is printed without a line end is shown at once, not with the next line."""
    with bare.start("sh", "-c", "echo ready; printf 'continue? '; sleep 30") as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"continue? "


@pytest.mark.parametrize(
    ("redirection", "streams"),
    [(">&-", (b"", b"err\n")), ("2>&-", (b"out\n", b"")), (">&- 2>&-", (b"", b"")), ("<&-", (b"out\n", b"err\n"))],
)
def test_closed_streams(site: Site, redirection: str, streams: tuple[bytes, bytes]) -> None:
    """A stream that is closed loses what is written to it, and nothing else; no file of ours gets it."""
    line = f"{' '.join(RUN)} -- sh -c 'echo out; echo err >&2; exit 5' {redirection}"

    done = subprocess.run(["sh", "-c", line], cwd=site.folder, env=site.environ, capture_output=True, check=False)

    assert (done.returncode, (done.stdout, done.stderr)) == (5, streams)
    assert site.left == []


def test_reader_that_goes_away(bare: Site) -> None:
    """The command learns of it as it would without us, and does not write for ever."""
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(RUN)} -- yes | head -n 1; echo ${{PIPESTATUS[0]}}"],
        cwd=bare.folder,
        env=bare.environ,
        capture_output=True,
        timeout=_ENOUGH_S,
        check=True,
    )

    # 141: SIGPIPE; 1: GNU's `yes` where SIGPIPE was ignored when we began.
    assert done.stdout in {b"y\n141\n", b"y\n1\n"}


def test_full_disk(bare: Site) -> None:
    """Output that cannot be written is lost, and the command goes on to its end."""
    with Path("/dev/full").open("wb") as full:
        command = [*RUN, "--", "sh", "-c", "yes | head -c 1000000; echo end >&2; exit 6"]
        done = subprocess.run(
            command, cwd=bare.folder, env=bare.environ, stdout=full, stderr=subprocess.PIPE, timeout=20, check=False
        )

    assert (done.returncode, done.stderr) == (6, b"end\n")


def test_daemon_that_holds_the_pipe(bare: Site) -> None:
    """A process that the command leaves behind keeps nobody waiting for long, and the last words are not lost."""
    began = time.monotonic()

    done = bare.run("sh", "-c", "sleep 60 & printf 'the last words'; exit 3")

    assert (done.returncode, done.stdout) == (3, b"the last words")
    assert time.monotonic() - began < 10


def test_slow_reader(bare: Site) -> None:
    """Who reads late gets all of it, although the command has ended long ago."""
    command = [*RUN, "--", "sh", "-c", "yes | head -c 150000; sleep 60 &"]
    with subprocess.Popen(command, cwd=bare.folder, env=bare.environ, stdout=subprocess.PIPE) as process:
        time.sleep(2.5)
        assert process.stdout is not None
        assert len(process.stdout.read()) == 150_000
    assert process.returncode == 0


# ── signals ─────────────────────────────────────────────────────────────────────────────────────────────────────

COUNTING = """
import os, signal, sys, time
got = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda n, _: got.append(n))
child = os.fork()
child or print('ready', flush=True)
while not got: time.sleep(0.05)
time.sleep(0.5)
if child: os.waitpid(child, 0)
print(*got, flush=True)
sys.exit(9)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_whole_group_once(site: Site, number: signal.Signals) -> None:
    """The command and its child get the signal once each, end as they like, and the files go."""
    with site.start(sys.executable, "-c", COUNTING) as process:
        assert site.left != []
        process.send_signal(number)
        said, _ = process.communicate(timeout=_ENOUGH_S)

    assert said.split() == [str(int(number)).encode()] * 2
    assert process.returncode == 9
    assert site.left == []


def test_control_c_in_a_terminal(site: Site) -> None:
    """Ctrl-C reaches the command once, although the terminal sends it to us."""
    control, terminal = pty.openpty()
    with site.start(
        sys.executable,
        "-c",
        COUNTING,
        stdin=terminal,
        preexec_fn=lambda: _control(terminal),
    ) as process:
        os.close(terminal)
        os.write(control, b"\x03")
        said, _ = process.communicate(timeout=_ENOUGH_S)
    os.close(control)

    assert (process.returncode, said.split()) == (9, [b"2", b"2"])
    assert site.left == []


def _control(terminal: int) -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_command_that_a_signal_ends(site: Site, number: signal.Signals) -> None:
    """The usual exit code, and no credentials left."""
    with site.start("sh", "-c", "echo ready; sleep 60") as process:
        process.send_signal(number)
        process.communicate(timeout=_ENOUGH_S)

    assert process.returncode == 128 + number
    assert site.left == []


def test_nohup(bare: Site) -> None:
    """A signal that was ignored when we began stays so."""
    with bare.start(
        "sh", "-c", "echo ready; sleep 1; exit 3", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ) as process:
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=_ENOUGH_S)

    assert process.returncode == 3


def test_signal_while_the_command_starts(site: Site) -> None:
    """At whatever moment SIGTERM comes, nothing is left: no file, and no command that runs on."""
    for delay_s in (0.05, 0.15, 0.2, 0.25, 0.3, 0.4):
        mark = f"{60 + delay_s}"
        process = subprocess.Popen(
            [*RUN, "--", "sleep", mark], cwd=site.folder, env=site.environ, stderr=subprocess.DEVNULL
        )
        time.sleep(delay_s)
        process.terminate()

        assert process.wait(_ENOUGH_S) in {-15, 143}
        assert site.left == []
        assert not _running(b"sleep\0" + mark.encode())


def _running(argv: bytes) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(argv):
                return True
    return False


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_environment_of_the_command(site: Site) -> None:
    """Paths of files of its own, and what is harmless; no secret under any name."""
    seen = site.seen()

    folder = Path(seen["SEPTUM_CREDENTIALS"])
    assert seen["BEARER_TOKEN_FILE"] == seen["_CONDOR_SCITOKENS_FILE"] == str(folder / "token")
    assert seen["X509_USER_PROXY"] == str(folder / "proxy")
    given = {"BEARER_TOKEN_FILE", "_CONDOR_SCITOKENS_FILE", "X509_USER_PROXY", "SEPTUM_CREDENTIALS"}
    harmless = {"PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "SEPTUM_CLUSTER", "ANALYSIS"}
    assert set(seen) - given - {"LC_CTYPE"} == harmless
    assert site.left == []


def test_kept_variables(site: Site) -> None:
    """`--keep` lets a variable of the CI job through, and never the cluster's own secret."""
    names = ["CI_JOB_TOKEN", "OTHER_NAME", "HARMLESS_NAME", "X509_PROXY"]

    seen = site.seen(options=[word for name in names for word in ("--keep", name)])

    assert {name for name in names if name in seen} == {"CI_JOB_TOKEN", "OTHER_NAME"}


@pytest.mark.parametrize(
    ("auth", "given", "protocol"),
    [
        ("token", {"BEARER_TOKEN_FILE"}, "ztn"),
        ("proxy", {"X509_USER_PROXY"}, "gsi"),
        ("both", {"BEARER_TOKEN_FILE", "X509_USER_PROXY"}, None),
    ],
)
def test_auth(site: Site, auth: str, given: set[str], protocol: str | None) -> None:
    """Only what was asked for, the other's variables are gone, and XRootD's client is told."""
    others = {"X509_USER_CERT": "/cert", "X509_USER_KEY": "/key", "XrdSecPROTOCOL": "krb5"}

    seen = site.seen(options=["--auth", auth], **others)

    storage = {"BEARER_TOKEN_FILE", "BEARER_TOKEN", "X509_USER_PROXY"}
    assert {name for name in storage if name in seen} == given
    assert seen.get("XrdSecPROTOCOL") == protocol
    assert not {"X509_USER_CERT", "X509_USER_KEY"} & set(seen)
    assert "_CONDOR_SCITOKENS_FILE" in seen


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_modes(site: Site, umask: int) -> None:
    """The folder is 0700 and each file 0600 whatever the umask; the command keeps the umask that it was given."""
    code = (
        "import json, os; f = os.environ['SEPTUM_CREDENTIALS']; u = os.umask(0)\n"
        "print(json.dumps([u, os.stat(f).st_mode, {n: os.stat(f + '/' + n).st_mode for n in os.listdir(f)}]))"
    )
    before = os.umask(umask)
    try:
        done = site.python(code)
    finally:
        os.umask(before)

    found, folder, files = json.loads(done.stdout)
    assert found == umask
    assert stat.S_IMODE(folder) == 0o700
    assert {name: stat.S_IMODE(mode) for name, mode in files.items()} == dict.fromkeys(
        ("token", "proxy", "credentials.json"), 0o600
    )


def test_files_hold_what_was_given(site: Site) -> None:
    """The token and the proxy, byte by byte, seen by their lengths and hashes."""
    code = (
        "import hashlib, os\nfor n in ('BEARER_TOKEN_FILE', 'X509_USER_PROXY'):\n"
        "    print(hashlib.sha256(open(os.environ[n], 'rb').read()).hexdigest())"
    )
    import hashlib

    wanted = [hashlib.sha256(content).hexdigest() for content in (site.token.encode(), site.proxy)]
    assert site.python(code).stdout.decode().split() == wanted


SHOWN: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda t: t,
    "base64": lambda t: base64.b64encode(b"x" + t),
    "base64 of base64": lambda t: base64.b64encode(base64.b64encode(t)),
    "hex": lambda t: t.hex().encode(),
    "JSON": lambda t: json.dumps(t.decode()).encode(),
    "in lines": lambda t: b"\n".join(t[at : at + 40] for at in range(0, len(t), 40)),
}


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_output_is_masked(site: Site, size: int) -> None:
    """A secret in the output becomes stars, however it is encoded, and however it is divided over the writes."""
    key = site.proxy[site.proxy.index(b"-----BEGIN EC") :]
    secret = (CLIENT_SECRET.encode(), site.token.encode(), key)
    shown = {f"{name} {number}": show(each) for name, show in SHOWN.items() for number, each in enumerate(secret)}
    (site.folder / "shown").write_bytes(b"".join(b"before " + text + b" after\n" for text in shown.values()))
    code = (
        "import os, sys; d = open('shown', 'rb').read(); n = int(sys.argv[1])\n"
        "for at in range(0, len(d), n): os.write(1, d[at:at + n])"
    )

    said = site.python(code, str(size)).stdout

    assert said.count(b"before ") == said.count(b" after\n") == len(shown), said
    assert said.count(b"***") >= len(shown)
    for name, text in shown.items():
        middles = [line[len(line) // 2 :][:16] for line in text.splitlines() if b"-----" not in line]
        assert not [middle for middle in middles if len(middle) == 16 and middle in said], name


def test_both_streams_are_masked(site: Site) -> None:
    """Standard error as well, when it is a file of its own."""
    done = site.run("sh", "-c", 'cat "$X509_USER_PROXY"; cat "$BEARER_TOKEN_FILE" >&2')

    assert b"***" in done.stdout
    assert done.stderr.strip() == b"***"


def test_users_code_under_a_supervisor() -> None:
    """The user's own lines get the token for storage, and never the one that submits."""
    environ = {"BEARER_TOKEN_FILE": "/run/x/token", "_CONDOR_SCITOKENS_FILE": "/run/x/token", "X509_USER_PROXY": "/p"}

    assert for_user_code(environ, secrets=[]) == {"X509_USER_PROXY": "/p"}
    storage = {**environ, "BEARER_TOKEN_FILE": "/run/x/storage-token"}
    assert set(for_user_code(storage, secrets=[])) == {"X509_USER_PROXY", "BEARER_TOKEN_FILE"}


# ── under each other ────────────────────────────────────────────────────────────────────────────────────────────


def test_nested(site: Site) -> None:
    """A supervisor under a supervisor uses its files, and deletes nothing."""
    code = f"test -s $X509_USER_PROXY && {' '.join(RUN)} -- sh -c 'ls $SEPTUM_CREDENTIALS; exit 4'; c=$?; "
    code += "test -s $X509_USER_PROXY && exit $c"

    done = site.run("sh", "-c", code)

    assert (done.returncode, done.stdout.split()) == (4, [b"credentials.json", b"proxy", b"token"]), done.stderr
    assert site.left == []


def test_nested_for_another_cluster(site: Site) -> None:
    """The files of one cluster are not taken for those of another."""
    done = site.run(*RUN, "--set", "audience=condor://other.example.org", "--", "true")

    assert done.returncode == 10
    assert b"another cluster" in done.stderr


@pytest.mark.parametrize("folder", ["/no/such/folder", "relative", "/tmp", "/dev/null", ".", "open", "empty", "link"])
def test_nonsense_in_the_variable(tmp_path: Path, folder: str) -> None:
    """A folder that no supervisor of this user made is refused, not used."""
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "empty").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("empty")
    named = tmp_path / folder if folder in {"open", "empty", "link"} else Path(folder)

    with pytest.raises(CredentialMissingError, match="credentials run"):
        Supervised(named, "")


def test_nonsense_in_the_variable_ends_the_run(site: Site) -> None:
    """The command does not start."""
    done = site.run("touch", "started", SEPTUM_CREDENTIALS="/no/such/folder")

    assert done.returncode == 10, done.stderr
    assert not (site.folder / "started").exists()


def test_no_credentials(site: Site) -> None:
    """The command does not start, and the exit code says why."""
    done = site.run("touch", "started", X509_PROXY="")

    assert done.returncode == 10
    assert not (site.folder / "started").exists()
    assert site.left == []


def test_traced_ci_job(site: Site) -> None:
    """Where all variables are in the log already, none is used."""
    assert site.run("true", CI_DEBUG_TRACE="true").returncode == 18

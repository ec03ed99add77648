"""What a plan or a submit description would send is looked through before it is written or sent."""

from __future__ import annotations

import base64
import gzip
import io
import json
import secrets
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import jwt
import proxy_files  # type: ignore[import-not-found]
import pytest

from septum.backends.htcondor.description import describe
from septum.cli import main
from septum.clusters.profile import Profile
from septum.credentials.lint import lint_description, lint_plan, lint_sent
from septum.credentials.redact import KNOWN
from septum.credentials.supervised import Supervised
from septum.errors import CredentialExposedError
from septum.files import below
from septum.plan import Plan
from septum.stages import Options, make_plan

PRIVATE = Path("/dev/shm/septum-credentials-abcdefgh")
TOKEN = jwt.encode({"iss": "https://iam.example.org/"}, secrets.token_hex(32), algorithm="HS256")
NO_FORM = secrets.token_urlsafe(24)
"""A secret that no pattern knows."""


@pytest.fixture(autouse=True)
def known() -> None:
    """The client's secret, as after the profile has been read."""
    KNOWN.add(NO_FORM)


def _tar(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _repository(folder: Path, *, value: str = "a", command: str = "sh part.sh", files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"part.sh": b"cp in out.root\n", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    names = json.dumps(["part.sh", *files])
    (folder / "septum.yaml").write_text(
        f"name: lint\ncommand: {json.dumps(command.split())}\nparts:\n  list: [{{what: {json.dumps(value)}}}]\n"
        f"inputs: {names}\noutputs: [{{path: out.root, objects: [mass]}}]\nmerge: {{all.root: out.root}}\n"
    )
    return folder


def _plan(folder: Path) -> Plan:
    return make_plan(Options(config=folder / "septum.yaml", cluster="local", environ={}))


def _key() -> bytes:
    return bytes(proxy_files.user().key_pem)


def _proxy() -> bytes:
    return bytes(proxy_files.proxy())


FILES: dict[str, Callable[[], bytes]] = {
    "proxy": _proxy,
    "proxy in base64": lambda: base64.b64encode(_proxy()),
    "proxy in an archive": lambda: _tar("deep/x509up_u0", _proxy()),
    "proxy in an archive in an archive": lambda: _tar("inner.tar.gz", _tar("p", _proxy())),
    "private key": _key,
    "compressed token": lambda: gzip.compress(f"BEARER={TOKEN}\n".encode()),
    "known secret": lambda: b"\0\1" + NO_FORM.encode(),
    "known secret in hexadecimal digits": lambda: NO_FORM.encode().hex().encode(),
}


@pytest.mark.parametrize("kind", FILES)
def test_file_with_a_credential(tmp_path: Path, kind: str) -> None:
    """A file that would be sent: refused by its name, without what is in it."""
    content = FILES[kind]()
    folder = _repository(tmp_path, files={"data/settings.bin": content})

    with pytest.raises(CredentialExposedError) as caught:
        lint_plan(_plan(folder), below(folder))

    assert "data/settings.bin" in caught.value.evidence
    assert NO_FORM not in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("place", ["value", "command"])
@pytest.mark.parametrize(
    "text",
    [TOKEN, NO_FORM, base64.b64encode(NO_FORM.encode()).decode()],
    ids=["token", "no form", "packed"],  # the secrets themselves are others in each process
)
def test_value_with_a_credential(tmp_path: Path, place: str, text: str) -> None:
    """A part's value, or the command, which travel in files, and stand in the plan of every artifact."""
    texts = {"value": {"value": text}, "command": {"command": f"sh part.sh --token {text}"}}[place]
    folder = _repository(tmp_path, files={}, **texts)

    with pytest.raises(CredentialExposedError) as caught:
        lint_plan(_plan(folder), below(folder))

    assert text not in str(caught.value)


def test_documentation_is_no_credential(tmp_path: Path) -> None:
    """Files that speak of credentials, public certificates, and addresses with a password do not stop a run."""
    password, bearer = secrets.token_hex(8), secrets.token_hex(16)
    page = f"curl https://user:{password}@example.test/ -H 'Authorization: Bearer {bearer}'\n".encode()
    public = bytes(proxy_files.user().pem)
    folder = _repository(tmp_path, files={"README": page, "ca.pem": public, "data.root": secrets.token_bytes(100_000)})

    lint_plan(_plan(folder), below(folder))


def test_packed_inputs(tmp_path: Path) -> None:
    """An earlier CI job has packed them, perhaps without knowing the secret."""
    folder = _repository(tmp_path, files={})
    plan = _plan(folder)
    (tmp_path / "good.tar.gz").write_bytes(_tar("good", b"nothing"))
    (tmp_path / "bad.tar.gz").write_bytes(_tar("settings", NO_FORM.encode()))

    lint_sent(plan, [tmp_path / "good.tar.gz"])
    with pytest.raises(CredentialExposedError, match="send a credential"):
        lint_sent(plan, [tmp_path / "bad.tar.gz"])


def test_secrets_of_a_supervisor(tmp_path: Path) -> None:
    """Under `septum credentials run`, the linter knows what the supervisor holds, without any variable."""
    token = secrets.token_urlsafe(40)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "token").write_text(token)
    entry = {
        "kind": "token",
        "source": "client x",
        "identity": "",
        "expires_at": 2e9,
        "renewable": True,
        "kept_by_others": False,
    }
    manifest = {"profile": "p", "ca_file": None, "credentials": [entry]}
    (private / "credentials.json").write_text(json.dumps(manifest))
    folder = _repository(tmp_path / "repository", files={"dump.txt": token.encode().hex().encode()})

    lint_plan(_plan(folder), below(folder))
    Supervised(private, "p")
    with pytest.raises(CredentialExposedError, match="send a credential"):
        lint_plan(_plan(folder), below(folder))


# ── before anything is written ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cluster", ["local", "infn-af"])
@pytest.mark.parametrize("verb", ["prepare", "run"])
def test_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], cluster: str, verb: str
) -> None:
    """E140, exit code 18, before the plan is written, and so before anything is submitted."""
    folder = _repository(tmp_path / "repository", value=NO_FORM, files={"proxy.pem": _proxy()})
    monkeypatch.chdir(folder)
    monkeypatch.setenv("IAM_CLIENT_SECRET", NO_FORM)
    for name in ("COLLECTOR=localhost:9", "SCHEDD=nobody"):
        monkeypatch.setenv(f"SEPTUM_CLUSTER_{name.partition('=')[0]}", name.partition("=")[2])

    assert main([verb, "--cluster", cluster]) == 18

    said = capfd.readouterr()
    assert "[E140]" in said.err
    assert NO_FORM not in said.out + said.err
    texts = [path.read_bytes() for path in (folder / ".septum").rglob("*") if path.is_file()]
    assert not [text for text in texts if NO_FORM.encode() in text or b"PRIVATE KEY" in text]
    assert not (folder / ".septum" / "plan.json").exists()
    shutil.rmtree(folder)


# ── submit descriptions ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("getenv", "True"),
        ("GetEnv", "IAM_*"),
        ("getenv", ""),
        ("transfer_input_files", f"part.sh,{PRIVATE}/token"),
        ("transfer_input_files", f"part.sh, {PRIVATE}/proxy"),
        ("environment", f"TOKEN={TOKEN}"),
        ("arguments", NO_FORM),
        ("MY.Note", f'"{TOKEN}"'),
        ("MY.Note", f'"{base64.b64encode(NO_FORM.encode()).decode()}"'),
        ("requirements", f'(SiteName == "{NO_FORM}")'),
        ("x509userproxy", f"{PRIVATE}/proxy {TOKEN}"),
    ],
    ids=[
        "getenv", "GetEnv", "getenv empty", "file", "file after a blank", "environment",
        "arguments", "token", "packed", "requirements", "proxy",
    ],
)  # fmt: skip
def test_description_with_a_credential(name: str, value: str) -> None:
    """Our environment, a file of ours, a secret in an attribute: refused, and not shown."""
    with pytest.raises(CredentialExposedError) as caught:
        lint_description({"universe": "vanilla", name: value}, PRIVATE)

    assert name.lower() in caught.value.evidence.lower()
    assert TOKEN not in str(caught.value)
    assert NO_FORM not in str(caught.value)


def test_our_own_description(tmp_path: Path) -> None:
    """What septum writes itself is fine, with a proxy that HTCondor delegates."""
    plan = _plan(_repository(tmp_path, files={}))
    profile = Profile(name="x", method="htcondor", attributes={"Owner": '"condor"'}, requirements='SiteName == "x"')

    commands = describe(plan, profile, tag="t", lease_until_s=1.0, proxy_file=PRIVATE / "proxy")

    assert commands["x509userproxy"] == f"{PRIVATE}/proxy"
    assert commands["getenv"] == "False"
    lint_description(commands, PRIVATE)


def test_token_in_the_attributes_of_a_profile(tmp_path: Path) -> None:
    """A user's profile may say `attributes: {Token: "eyJ…"}`, and every user of the pool could read it."""
    plan = _plan(_repository(tmp_path, files={}))
    profile = Profile(name="x", method="htcondor", attributes={"Token": f'"{TOKEN}"'})

    with pytest.raises(CredentialExposedError, match="submit description"):
        lint_description(describe(plan, profile, tag="t", lease_until_s=1.0, proxy_file=None), PRIVATE)

"""`septum doctor`: the runner, the screen, and what each check makes of what it sees."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import threading
import time
import types
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from septum.backends import access
from septum.cli import main
from septum.clusters.profile import LoadedProfile, Profile, missing_keys
from septum.credentials.held import Credentials
from septum.credentials.token import ANY_AUDIENCE
from septum.doctor import analysis, ci, cluster, credentials, explain, image, machine, report, storage
from septum.doctor.checks import PROBES, examine
from septum.doctor.report import Check, Outcome, Skip, ok
from septum.doctor.runner import Asked, Context, Key, Probe, run
from septum.errors import (
    BindingsMissingError,
    ClusterUnreachableError,
    CredentialExposedError,
    CredentialMissingError,
    EngineMissingError,
    ImageNameError,
    NotAuthorizedError,
    PartImageError,
    PlanError,
    ProfileError,
    ProxyExpiredError,
    SeptumError,
    StateError,
    TryAgainError,
)
from septum.images.registry import Answer
from septum.stages import Options
from tests.fakes.analyses import BASE, plan_of
from tests.fakes.tls import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOW = 1_700_000_000.0
IN_GITLAB = {"GITLAB_CI": "true", "CI_COMMIT_REF_NAME": "topic", "CI_PROJECT_ID": "7"}


def _context(
    environ: Mapping[str, str] | None = None, *, profile: Mapping[str, Any] | None = None, **values: Any
) -> Context:
    """What a check sees; a profile is loaded if some of its values are given."""
    if profile is not None:
        loaded = Profile(**{"name": "pool", "method": "htcondor", **profile})
        values["profile"] = LoadedProfile(profile=loaded, origins={}, missing=tuple(missing_keys(loaded)))
    options = Options(config=Path("septum.yaml"), cluster="pool", environ=dict(environ or {}))
    return Context(options=options, values=values, clock=lambda: NOW)


def _raising(error: BaseException) -> Callable[[Context], Outcome]:
    def run_it(_: Context) -> Outcome:
        raise error

    return run_it


def _good(context: Context) -> Outcome:
    del context
    return ok("good")


# ── the runner ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_of_checks() -> None:
    """Each name once; each check stands after those that it builds on; a group's checks stand together."""
    seen: list[str] = []
    for probe in PROBES:
        assert probe.name not in seen
        assert set(probe.needs) | set(probe.after) <= set(seen), probe.name
        seen.append(probe.name)
    groups = [probe.group for probe in PROBES]
    assert [group for group in dict.fromkeys(groups) for _ in range(groups.count(group))] == groups


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (ProxyExpiredError("it expired", evidence="yesterday", fix="renew it"), "E121", 15),
        (ProfileError("no fix is given"), "E004", 2),
        (OSError(13, "Permission denied", "/secret/place"), "E005", 2),
        (ZeroDivisionError("by zero"), "E999", 70),
        (SystemExit(3), "E999", 70),
        (KeyboardInterrupt(), "E999", 70),
    ],
)
def test_a_check_that_raises(error: BaseException, code: str, exit_code: int) -> None:
    """It is a failure with a fix, and the others are made all the same."""
    probes = [
        Probe(name="a", group="g", run=_good),
        Probe(name="b", group="g", run=_raising(error)),
        Probe(name="c", group="g", run=_good, needs=("b",)),
        Probe(name="d", group="g", run=_good, after=("b",)),
        Probe(name="e", group="g", run=_good, needs=("c",)),
    ]
    checks = run(probes, _context())

    assert [check.state for check in checks] == ["ok", "failed", "skipped", "ok", "skipped"]
    assert (checks[1].code, checks[1].exit_code, report.exit_code(checks)) == (code, exit_code, exit_code)
    assert checks[1].fix
    assert checks[2].text == "because 'b' failed"
    assert checks[4].text == "because 'c' was skipped"


def test_a_check_that_hangs() -> None:
    """It is given up at the deadline of all; what has ended stays, and what waited is skipped."""
    never = threading.Event()

    def hang(_: Context) -> Outcome:
        never.wait(60)
        return ok("at last")

    probes = [
        Probe(name="a", group="g", run=hang),
        Probe(name="b", group="g", run=_good),
        Probe(name="c", group="g", run=_good, needs=("a",)),
        Probe(name="d", group="g", run=_good, after=("a",)),
    ]
    started = time.monotonic()
    checks = run(probes, _context(), deadline_s=0.3)
    never.set()

    assert time.monotonic() - started < 5
    assert [check.state for check in checks] == ["failed", "ok", "skipped", "skipped"]
    assert (checks[0].code, checks[0].exit_code) == ("E750", 75)
    assert "0.3 s" in checks[0].text
    assert [check.text for check in checks[2:]] == ["because 'a' failed", "because no time was left"]


def test_checks_run_beside_each_other_and_keep_their_order() -> None:
    """Whichever ends first."""
    both = threading.Barrier(2)

    def meet(_: Context) -> Outcome:
        both.wait(20)
        return ok("met")

    probes = [
        Probe(name="slow", group="g", run=meet),
        Probe(name="quick", group="g", run=_good),
        Probe(name="other", group="g", run=meet),
    ]
    assert [(c.name, c.text) for c in run(probes, _context())] == [("slow", "met"), ("quick", "good"), ("other", "met")]


def test_values_are_handed_on_and_nothing_is_said_where_nothing_applies() -> None:
    """A check that returns None is no obstacle, and no line."""
    key: Key[int] = Key("number")
    probes = [
        Probe(name="number", group="g", run=lambda _: ok("41", 41)),
        Probe(name="silent", group="g", run=lambda _: None),
        Probe(name="elsewhere", group="g", run=_raising(ValueError()), applies=lambda _: False),
        Probe(
            name="next",
            group="g",
            run=lambda context: ok(str(context.need(key) + 1)),
            needs=("number", "silent", "elsewhere"),
        ),
        Probe(name="skipped", group="g", run=_raising(Skip("no time today"))),
    ]
    checks = run(probes, _context())

    assert [(check.name, check.text) for check in checks] == [
        ("number", "41"),
        ("next", "42"),
        ("skipped", "no time today"),
    ]


# ── the screen ──────────────────────────────────────────────────────────────────────────────────────────────────


CHECKS = [
    Check(name="plan", group="analysis", state="ok", text="3 parts"),
    Check(name="branch", group="GitLab", state="warning", text="not protected", cause="so", fix="protect it"),
    Check(name="proxy", group="credentials", state="failed", text="expired", cause="a\nb", fix="c\nd", code="E121"),
    Check(name="schedd", group="access point", state="failed", text="no answer", fix="ask", code="E200"),
    Check(name="image", group="image", state="skipped", text="unseen"),
]


def test_screen() -> None:
    """Groups, marks in words, failures first with cause and fix, and the numbers at the end."""
    assert list(report.screen(CHECKS)) == [
        "analysis",
        "  ok    plan    3 parts",
        "GitLab",
        "  warn  branch  not protected",
        "credentials",
        "  FAIL  proxy   expired",
        "access point",
        "  FAIL  schedd  no answer",
        "image",
        "  skip  image   unseen",
        "",
        "FAIL proxy: expired [E121, exit code 15]",
        "    a",
        "    b",
        "  Fix: c",
        "       d",
        "",
        "FAIL schedd: no answer [E200, exit code 20]",
        "  Fix: ask",
        "",
        "warn branch: not protected",
        "    so",
        "  Fix: protect it",
        "",
        "2 failed, 1 warning, 1 skipped, 1 ok",
    ]


def test_exit_code_is_that_of_the_first_failure() -> None:
    """Warnings and skipped checks are no failures."""
    assert report.exit_code(CHECKS) == 15
    assert report.exit_code([check for check in CHECKS if check.state != "failed"]) == 0
    assert report.exit_code([]) == 0


def test_json() -> None:
    """All of it, and the exit codes."""
    data = json.loads(json.dumps(report.to_data(CHECKS)))

    assert data["exit_code"] == 15
    assert data["counts"] == {"ok": 1, "warning": 1, "failed": 2, "skipped": 1}
    assert data["checks"][2] == {
        "name": "proxy",
        "group": "credentials",
        "state": "failed",
        "text": "expired",
        "cause": "a\nb",
        "fix": "c\nd",
        "code": "E121",
        "exit_code": 15,
    }


def test_no_names_of_people_and_no_control_characters() -> None:
    """Whatever a server says."""
    check = ok("hi \x1b[2J/DC=ch/DC=cern/CN=Ada Lovelace").check("n", "g")
    assert check.text == "hi  [2J/…"
    broken = report.failed(SeptumError("x", evidence="for /DC=org/OU=People/CN=Ada: no")).check("n", "g")
    assert "Ada" not in broken.cause


# ── GitLab ──────────────────────────────────────────────────────────────────────────────────────────────────────

IAM = {"credentials": "iam-client", "issuer": "https://i.test/", "audience": "a", "scope": ["s"]}
SECRETS = {"IAM_CLIENT_ID": "x", "IAM_CLIENT_SECRET": "y"}


@pytest.mark.parametrize(
    ("environ", "state", "words"),
    [
        ({"CI_COMMIT_REF_PROTECTED": "true"}, "ok", "topic is protected"),
        ({"CI_COMMIT_REF_PROTECTED": "false"}, "warning", "protected variables exist in"),
        ({}, "warning", "Settings > Repository > Protected branches"),
        ({"CI_COMMIT_REF_PROTECTED": "false", **SECRETS}, "warning", "whoever can push a branch"),
        (
            {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "9", "CI_MERGE_REQUEST_PROJECT_ID": "7"},
            "warning",
            "a merge request of a fork, run in this project",
        ),
        (
            {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7", "CI_MERGE_REQUEST_PROJECT_ID": "3"},
            "warning",
            "a merge request of a fork, run in the fork",
        ),
        (
            {
                "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7",
                "CI_MERGE_REQUEST_PROJECT_ID": "7",
                "CI_COMMIT_REF_PROTECTED": "true",
            },
            "ok",
            "protected",
        ),
    ],
)
def test_branch(environ: dict[str, str], state: str, words: str) -> None:
    """Whether protected variables can be here, and whose code runs."""
    outcome = ci.branch(_context({**IN_GITLAB, **environ}, profile=IAM))

    assert outcome.state == state
    assert words in f"{outcome.text}\n{outcome.cause}\n{outcome.fix}"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "no CI job of GitLab"),
        ({**IN_GITLAB, "CI_COMMIT_REF_PROTECTED": "false"}, "topic is not protected"),
        ({**IN_GITLAB, "CI_COMMIT_REF_PROTECTED": "true"}, "so it is not that"),
        ({**IN_GITLAB, "CI_COMMIT_REF_PROTECTED": "true", "CI_ENVIRONMENT_NAME": "prod"}, "'prod'"),
        ({**IN_GITLAB, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "9"}, "no protected variables"),
    ],
)
def test_variables_that_are_absent(environ: dict[str, str], words: str) -> None:
    """All of them are named, and why they are absent."""
    with pytest.raises(CredentialMissingError) as caught:
        ci.variables(_context({**environ, "IAM_CLIENT_ID": "x"}, profile=IAM))

    assert "IAM_CLIENT_SECRET" in caught.value.what
    assert "IAM_CLIENT_ID" not in caught.value.what
    assert words in caught.value.evidence
    assert caught.value.fix


def test_variables_that_are_there() -> None:
    """Or that a supervisor keeps."""
    assert ci.variables(_context(SECRETS, profile=IAM)).state == "ok"
    assert "septum credentials run" in ci.variables(_context({"SEPTUM_CREDENTIALS": "/x"}, profile=IAM)).text


@pytest.mark.parametrize("name", ["CI_DEBUG_TRACE", "CI_DEBUG_SERVICES"])
def test_debug_trace(name: str) -> None:
    """A failure where a cluster needs secrets, also as long as nobody knows."""
    for context in (_context({name: "true"}, profile=IAM), _context({name: "1"})):
        with pytest.raises(CredentialExposedError, match=name):
            ci.debug_trace(context)
    no_secrets = ci.debug_trace(_context({name: "true"}, profile={"method": "local"}))
    assert no_secrets is not None
    assert no_secrets.state == "warning"
    assert ci.debug_trace(_context({name: "false"}, profile=IAM)) is None
    off = ci.debug_trace(_context(IN_GITLAB, profile=IAM))
    assert off is not None
    assert off.state == "ok"


@pytest.mark.parametrize(
    ("profile", "more", "timeout", "state"),
    [
        ({}, "", "14400", "ok"),
        ({}, "", "14399", "warning"),
        ({}, "resources: {time: 10 min}\n", "4200", "ok"),
        ({"method": "local", "slots": 2}, "resources: {time: 10 min}\n", "1200", "ok"),
        ({"method": "local", "slots": 2}, "resources: {time: 10 min}\n", "1199", "warning"),
        ({"method": "local"}, "", "60", "ok"),
    ],
)
def test_time_of_the_ci_job(tmp_path: Path, profile: dict[str, Any], more: str, timeout: str, state: str) -> None:
    """Against waiting and running of one job; on this machine against all parts."""
    plan = plan_of(BASE + more + "parts: {list: [{s: a}, {s: b}, {s: c}]}\n", tmp_path)
    outcome = ci.job_time(_context({"CI_JOB_TIMEOUT": timeout}, profile=profile, plan=plan))

    assert outcome is not None
    assert outcome.state == state


def test_no_time_is_known() -> None:
    """Outside of GitLab."""
    assert ci.job_time(_context(profile={})) is None


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("issuer", "state"), [(NOW + 59, "ok"), (NOW - 61, "warning"), (None, "")])
def test_clock(issuer: float | None, state: str) -> None:
    """Against the issuer's date."""
    context = _context(profile=IAM, issuer=credentials.Answered(issuer, NOW))
    if issuer is None:
        with pytest.raises(Skip, match="what time"):
            credentials.clock(context)
        return
    outcome = credentials.clock(context)

    assert outcome.state == state
    assert ("ahead" in outcome.cause) == (state == "warning")


def test_a_key_that_the_profile_does_not_know() -> None:
    """Says which, and leaves the failure to the check of the values."""
    context = _context(SECRETS, profile={**IAM, "audience": ""}, CA=Credentials(Path("/nowhere")))
    with pytest.raises(Skip, match="audience"):
        credentials.token(context)
    with pytest.raises(Skip, match=r"schedd, collector"):
        cluster.schedd(context)


def test_variables_that_one_credential_lacks() -> None:
    """The others are tried all the same."""
    with pytest.raises(Skip, match="variables"):
        credentials.token(_context(profile=IAM, CA=Credentials(Path("/nowhere"))))


def test_an_optional_proxy_that_is_not_there(tmp_path: Path) -> None:
    """Nothing to complain of."""
    context = _context(
        {"XDG_RUNTIME_DIR": str(tmp_path)}, profile={"proxy": "optional"}, CA=Credentials(Path("/nowhere"))
    )
    with pytest.raises(Skip, match="does not insist"):
        credentials.proxy(context)


def test_together_has_all_that_could_be_had() -> None:
    """And the CA of the site."""
    one = Credentials(Path("/one"))
    base = Credentials(Path("/base"))
    base.ca_file = Path("/ca.pem")
    merged = credentials.together(_context(CA=base, token=one))
    assert (merged.ca_file, merged.held) == (Path("/ca.pem"), {})


# ── the access point ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "words"),
    [("localhost:1", "nobody listens"), ("nosuchhost.invalid:9618", "no such name")],
)
def test_a_collector_that_does_not_answer(address: str, words: str) -> None:
    """In words, and with a fix."""
    with pytest.raises(ClusterUnreachableError, match=words) as caught:
        cluster.collector(_context(profile={"collector": address, "schedd": "s"}))
    assert caught.value.fix


_REANA = {"method": "reana", "credentials": "access-token"}
_HERE = {**_REANA, "reana_server": "https://reana.example.org"}


def test_reana(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says the account, the quota that is left, the compute backend and the version; with a deadline."""
    asked: list[int] = []

    def ask(profile: Profile, *_: Any, room: bool) -> access.Access:
        assert room, "a quota that is used up is for the doctor to say"
        asked.append(profile.call_deadline)
        return access.Access(lines=(), sentence="REANA takes us for a@example.org; quota 1 of 5 GB", version="0.9.4")

    monkeypatch.setattr(access, "ask", ask)
    outcome = cluster.reana(_context(profile=_HERE))

    assert (outcome.state, asked) == ("ok", [40])
    assert outcome.text == "REANA takes us for a@example.org; quota 1 of 5 GB; kubernetes; REANA 0.9.4"


def test_reana_without_a_server() -> None:
    """What the profile lacks is another check's to say, and nobody is asked."""
    with pytest.raises(Skip, match="reana-server"):
        cluster.reana(_context(profile=_REANA))


def test_checks_of_other_methods_are_left_out() -> None:
    """Neither bindings nor collector and schedd for REANA, and no REANA for HTCondor."""
    names = {
        method: {probe.name for probe in PROBES if probe.applies(_context(profile=values))}
        for method, values in {"reana": _HERE, "htcondor": {}, "local": {"method": "local"}}.items()
    }

    only = {"bindings", "collector", "schedd", "REANA", "values", "token"}
    assert names["reana"] & only == {"REANA", "values", "token"}
    assert names["htcondor"] & only == {"bindings", "collector", "schedd", "values"}
    assert names["local"] & only == set()


def test_bindings_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is Python's own."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ImportError: libfoo.so.6: no such file' >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(BindingsMissingError) as caught:
        machine.bindings({})
    assert "libfoo.so.6" in caught.value.evidence


# ── storage ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("root://eos.test//store/a.root", "root://eos.test//store/a.root"),
        ("roots://eos.test:1094/store/a.root", "roots://eos.test:1094//store/a.root"),
        ("davs://dav.test:443/store/a%20b", "davs://dav.test:443/store/a b"),
        ("root://user:pw@eos.test//x", None),
        ("root://eos.test//x?authz=secret", None),
        ("root://eos.test:port//x", None),
        ("root:///x", None),
        ("http://dav.test/x", None),
        ("file:///x", None),
        ("/store/x", None),
        ("root://eos.test//x\ny", None),
    ],
)
def test_urls_of_storage(url: str, shown: str | None) -> None:
    """None with what could be a secret: a command's arguments can be read by everybody on the machine."""
    found = storage.split(url)
    assert (str(found) if found else None) == shown


def test_storage_that_the_plan_reads(tmp_path: Path) -> None:
    """One URL for each server, from the values of the parts."""
    (tmp_path / "list").write_text("root://a.test//1\nroot://a.test//2\nroot://b.test//1\nhttps://web.test/x\n")
    text = BASE + "parts: {files: {list: list}, set: {label: 'root:// is no URL'}}\n"
    assert storage.remote_of(plan_of(text, tmp_path)) == ["root://a.test//1", "root://b.test//1"]


URL = storage.Url("root", "eos.test:1094", "/store/x")


@pytest.mark.parametrize(
    ("said", "error", "code"),
    [
        ("[ERROR] Server responded with an error: [3011] no such file or directory", PlanError, 2),
        ("[FATAL] Connection error", TryAgainError, 75),
        ("no answer within 25 s", TryAgainError, 75),
        ("[FATAL] Auth failed: No protocols left to try", CredentialMissingError, 10),
        ("[ERROR] [3010] permission denied", CredentialMissingError, 10),
        ("HTTP 401", CredentialMissingError, 10),
    ],
)
def test_what_storage_says(said: str, error: type[SeptumError], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words, our cause, and a code."""
    monkeypatch.setattr(explain, "usual_path", lambda _: Path("/nonexistent/x509up"))
    found = storage.explained(URL, said, {}, now=NOW)

    assert (type(found), found.exit_code) == (error, code)
    assert said in found.evidence
    assert found.fix


def test_a_credential_that_failed_before_is_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code is the storage's, too."""
    monkeypatch.setattr(explain, "usual_path", lambda _: Path("/nonexistent/x509up"))
    found = storage.explained(URL, "[FATAL] Auth failed: No protocols left to try", {}, now=NOW, failed=[CHECKS[2]])

    assert isinstance(found, ProxyExpiredError)
    assert "because 'proxy' failed: expired" in found.evidence
    assert "See to 'proxy' first" in found.fix


@pytest.mark.parametrize(
    ("scope", "path", "allowed"),
    [
        ("storage.read:/", "/store/x", True),
        ("storage.read:/store", "/store/x", True),
        ("storage.read:/store/", "/store", True),
        ("storage.read:/store", "/storage/x", False),
        ("storage.read:/store", "//store/../etc", False),
        ("storage.modify:/store", "/store/x", True),
        ("storage.create:/store", "/store/x", False),
        ("storage.stat:/", "/x", False),
        ("compute.read", "/store/x", False),
    ],
)
def test_scopes_that_allow_to_read(scope: str, path: str, *, allowed: bool) -> None:
    """By whole pieces of the path."""
    assert explain._allows(scope, path) is allowed


@pytest.mark.parametrize(
    ("audience", "named"),
    [
        ("https://eos.test:1094", True),
        ("https://EOS.test/", True),
        ("condor://eos.test:9618", True),
        ("eos.test:1094", True),
        (ANY_AUDIENCE, True),
        ("https://other.test", False),
        ("https://other.test/eos.test", False),
    ],
)
def test_audiences(audience: str, *, named: bool) -> None:
    """Whether one names the host."""
    claims = explain.Claims(issuer="i", audiences=("x", audience), subject="s", scopes=())
    assert claims.is_for("eos.test") is named


def test_nothing_to_try_storage_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped, and says so."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Skip, match="no xrdfs"):
        storage._over_xrootd(URL, {"PATH": "/nonexistent"})


def _tool(folder: Path, name: str, script: str) -> dict[str, str]:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o700)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_the_client_gets_paths_and_little_else(tmp_path: Path) -> None:
    """The variables of the user's shell stay out, and a file is read, not only looked for."""
    environ = _tool(
        tmp_path, "xrdfs", f'env >> {tmp_path}/env; echo "$@" >> {tmp_path}/words; echo "Flags: 48 (IsReadable)"'
    )
    context = _context({**environ, "HOME": "/of/x", "MY_TOKEN": "hush", "X509_USER_PROXY": "/of/the/user"}, profile={})
    assert storage._over_xrootd(URL, storage.client_environment(context)) == ""

    said = (tmp_path / "env").read_text()
    assert "HOME=/of/x" in said
    assert "hush" not in said
    assert "X509_USER_PROXY" not in said
    assert (tmp_path / "words").read_text().splitlines() == [
        "root://eos.test:1094/ stat /store/x",
        "root://eos.test:1094/ tail -c 4 /store/x",
    ]


def test_parts_on_this_machine_read_with_the_users_own(tmp_path: Path) -> None:
    """As they will in the run."""
    context = _context({"X509_USER_PROXY": "/of/the/user", "BEARER_TOKEN": "x"}, profile={"method": "local"})
    assert storage.client_environment(context) == {"X509_USER_PROXY": "/of/the/user"}


def test_a_client_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given up."""
    monkeypatch.setattr(storage, "_DEADLINE_S", 0.3)
    assert "no answer within 0.3 s" in storage._over_xrootd(URL, _tool(tmp_path, "xrdfs", "exec sleep 60"))


@pytest.mark.parametrize("is_dir", [False, True])
def test_the_python_module_of_xrootd(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_dir: bool
) -> None:
    """The script calls what its documentation has: a stand-in with the same names, since there is no wheel here."""
    calls: list[str] = []
    status = types.SimpleNamespace(ok=True, message="[SUCCESS] ", shellcode=0)
    refused = types.SimpleNamespace(ok=False, message="[FATAL] Auth failed", shellcode=52)

    class FileSystem:
        def __init__(self, server: str) -> None:
            calls.append(server)

        def stat(self, path: str, timeout: int) -> tuple[Any, Any]:
            return status, types.SimpleNamespace(flags=2 if is_dir else 0)

        def dirlist(self, path: str, timeout: int) -> tuple[Any, Any]:
            calls.append(f"ls {path}")
            return status, None

    class File(contextlib.AbstractContextManager["File"]):
        def __exit__(self, *_: object) -> None:
            return None

        def open(self, url: str, timeout: int) -> tuple[Any, Any]:
            calls.append(url)
            return refused, None

    client = types.ModuleType("XRootD.client")
    client.__dict__.update(FileSystem=FileSystem, File=File)
    flags = types.ModuleType("XRootD.client.flags")
    flags.__dict__["StatInfoFlags"] = types.SimpleNamespace(IS_DIR=2)
    package = types.ModuleType("XRootD")
    package.__dict__["client"] = client
    for name, module in (("XRootD", package), ("XRootD.client", client), ("XRootD.client.flags", flags)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "argv", ["-c", "root://eos.test/", "/store/x"])
    with pytest.raises(SystemExit) as caught:
        exec(storage._SCRIPT, {})

    assert caught.value.code == (0 if is_dir else 52)
    assert calls == ["root://eos.test/", "ls /store/x" if is_dir else "root://eos.test///store/x"]
    assert capsys.readouterr().out.strip() == ("[SUCCESS]" if is_dir else "[FATAL] Auth failed")


class _WebDav(BaseHTTPRequestHandler):
    """One file, for whoever has the token; and a redirection to where the others lie."""

    def do_HEAD(self) -> None:
        if self.headers.get("Authorization") != "Bearer good":
            status = 401
        else:
            status = {"/store/a%20b": 200, "/store/moved": 307, "/store/mine": 403}.get(self.path, 404)
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.mark.parametrize(
    ("path", "token", "said"),
    [
        ("/store/a b", "good", ""),
        ("/store/moved", "good", ""),
        ("/store/mine", "good", "HTTP 403"),
        ("/store/none", "good", "HTTP 404"),
        ("/store/a b", "bad", "HTTP 401"),
    ],
)
def test_webdav(tmp_path: Path, path: str, token: str, said: str) -> None:
    """With the token in the header and the CA of the site."""
    with serving(_WebDav, tmp_path) as (host, pem):
        (tmp_path / "token").write_text(token)
        base = Credentials(tmp_path)
        base.ca_file = Path(pem)
        url = storage.Url("davs", host, path)
        environ = {"BEARER_TOKEN_FILE": str(tmp_path / "token")}

        assert storage._over_http(url, environ, _context(CA=base)) == said
        # Nothing is sent to a host that is not trusted.
        assert "certificate verify failed" in storage._over_http(url, environ, _context())
    assert "refused" in storage._over_http(url, environ, _context(CA=base))


# ── image ───────────────────────────────────────────────────────────────────────────────────────────────────────

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "answer", "state", "words"),
    [
        ("a/b:1", Answer(text="", found=True), "ok", "a digest would name it for ever"),
        (f"a/b@{DIGEST}", Answer(text="", found=True), "ok", "is there"),
        ("a/b:latest", Answer(text="", found=True), "warning", "another image tomorrow"),
        ("a/b", Answer(text="", found=True), "warning", "no tag"),
        ("a/b:1", Answer(text="offline"), "warning", "offline"),
        ("oras://a/b:1", Answer(text=""), "skipped", "oras://"),
    ],
)
def test_image(monkeypatch: pytest.MonkeyPatch, text: str, answer: Answer, state: str, words: str) -> None:
    """What is said of its name and of the registry's answer."""
    monkeypatch.setattr(image, "ask_registry", lambda _, **__: answer)
    context = _context()
    object.__setattr__(context.options, "image", text)
    outcome = image.image(context)

    assert outcome is not None
    assert outcome.state == state
    assert words in f"{outcome.text}\n{outcome.cause}"


def test_images_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the registry has not, and one with a name that is none."""
    monkeypatch.setattr(image, "ask_registry", lambda _, **__: Answer(text="HTTP 404", absent=True))
    for text, error in (("a/b:2", PartImageError), ("A/b", ImageNameError)):
        context = _context()
        object.__setattr__(context.options, "image", text)
        with pytest.raises(error):
            image.image(context)


def test_paths_of_images(tmp_path: Path) -> None:
    """On a CVMFS that is here, what is missing is missing; otherwise nobody knows."""
    (tmp_path / "unpacked.test/a/b:1").mkdir(parents=True)

    assert image.see_path(f"{tmp_path}/unpacked.test/a/b:1", tmp_path).state == "ok"
    with pytest.raises(PartImageError):
        image.see_path(f"{tmp_path}/unpacked.test/a/b:2", tmp_path)
    unseen = [f"{tmp_path}/other.test/a", "/data/x.sif"]
    assert [image.see_path(name, tmp_path).state for name in unseen] == ["skipped"] * 2
    assert image.see_path("docker://a/b:1").state == "ok"


@pytest.mark.parametrize(
    ("profile", "state", "words"),
    [
        ({"method": "local"}, "ok", "starts no images"),
        ({}, "warning", "starts no images"),
        (
            {"image_method": "singularity-image", "image_prefix": "/cvmfs/unpacked.test/"},
            "skipped",
            "/cvmfs/unpacked.test/registry.hub.docker.com/a/b:1 cannot be seen",
        ),
        ({"image_method": "container-image", "image_form": "docker"}, "ok", "docker://docker.io/a/b:1"),
        ({"method": "reana", "credentials": "access-token"}, "ok", "docker.io/a/b:1"),
    ],
)
def test_image_on_the_worker(profile: dict[str, Any], state: str, words: str) -> None:
    """As the profile makes it."""
    context = _context(profile=profile)
    object.__setattr__(context.options, "image", "a/b:1")
    outcome = image.path(context)

    assert outcome is not None
    assert outcome.state == state
    assert words in outcome.text


# ── this machine ────────────────────────────────────────────────────────────────────────────────────────────────

GB = 1024**3


@pytest.mark.parametrize(
    ("free_b", "files", "state"),
    [(50 * GB, 10**6, "ok"), (50 * GB, None, "ok"), (GB - 1, 10**6, "warning"), (50 * GB, 5000, "warning")],
)
def test_room(free_b: int, files: int | None, state: str) -> None:
    """Enough, or little."""
    room = machine.Room(place=Path("/x"), writable=True, free_b=free_b, files=files)
    assert machine.judge_room({"state": room}, None).state == state


@pytest.mark.parametrize(
    ("writable", "free_b", "files", "words"),
    [
        (True, 200 * 1024**2 - 1, None, "are free"),
        (True, 50 * GB, 999, "999 files"),
        (False, 50 * GB, None, "cannot be written"),
    ],
)
def test_no_room(*, writable: bool, free_b: int, files: int | None, words: str) -> None:
    """Too little, of whatever it is."""
    room = machine.Room(place=Path("/x"), writable=writable, free_b=free_b, files=files)
    with pytest.raises(StateError, match=words) as caught:
        machine.judge_room({"state": room}, None)
    assert "--state" in caught.value.fix


def test_room_for_the_inputs(tmp_path: Path) -> None:
    """As large as they are."""
    with (tmp_path / "big.bin").open("wb") as big:
        big.truncate(300 * 1024**2)
    plan = plan_of(BASE + "inputs: [big.bin]\nparts: {list: [{s: a}]}\n", tmp_path)
    room = machine.Room(place=Path("/x"), writable=True, free_b=299 * 1024**2, files=None)
    with pytest.raises(StateError, match=r"299\.0 MB are free"):
        machine.judge_room({"state": room}, plan)


def test_disk(tmp_path: Path) -> None:
    """Of folders that are there, or whose parents are."""
    context = _context()
    object.__setattr__(context.options, "state", tmp_path / "not/there/yet")
    assert machine.disk(context).text


def test_hadd(tmp_path: Path) -> None:
    """It must start: ROOT without its libraries is found, too."""
    good = _tool(tmp_path, "hadd", "echo 'usage: hadd [-a]'")
    assert machine.hadd(_context(good)).text == str(tmp_path / "hadd")
    broken = _tool(tmp_path, "hadd", "echo 'hadd: error while loading shared libraries: libCore.so' >&2; exit 127")
    with pytest.raises(EngineMissingError) as caught:
        machine.hadd(_context(broken))
    assert "libCore.so" in caught.value.evidence


def test_hadd_is_not_needed(tmp_path: Path) -> None:
    """Where nothing is merged."""
    plan = plan_of("command: [run]\noutputs: [h.txt]\nparts: {list: [{s: a}]}\n", tmp_path)
    assert machine.hadd(_context({}, plan=plan)).text == "nothing is to be merged"


# ── the whole ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An analysis of three parts as the working folder; outside of GitLab."""
    (tmp_path / "septum.yaml").write_text(BASE + "parts: {list: [{s: a}, {s: b}, {s: c}]}\n")
    monkeypatch.chdir(tmp_path)
    for name in ("GITLAB_CI", "SEPTUM_CONFIG", "SEPTUM_CLUSTER", "SEPTUM_IMAGE", "SEPTUM_STATE", "CI_DEBUG_TRACE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def _states(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, str]]:
    code = main(["doctor", "--json", *arguments])
    data = json.loads(capsys.readouterr().out)
    assert data["exit_code"] == code
    return code, {check["name"]: check["state"] for check in data["checks"]}


def test_local_needs_little(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No network, no secret."""
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "  ok    plan" in shown
    assert "3 parts" in shown
    assert shown.splitlines()[-1].startswith("0 failed")
    assert [path.name for path in repository.iterdir()] == ["septum.yaml"]


def test_without_an_analysis(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster alone; but a file that was named must be there."""
    (repository / "septum.yaml").unlink()
    code, states = _states(capsys)
    assert (code, states["septum.yaml"], states["plan"], states["profile"]) == (0, "skipped", "skipped", "ok")
    code, states = _states(capsys, "--config", "other.yaml")
    assert (code, states["septum.yaml"]) == (2, "failed")
    monkeypatch.setenv("SEPTUM_CONFIG", "septum.yaml")
    assert _states(capsys)[0] == 2


def test_a_mistake_in_septum_yaml(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hides neither the cluster nor this machine."""
    (repository / "septum.yaml").write_text(BASE + "partz: {list: [{s: a}]}\n")
    code, states = _states(capsys)

    assert code == 2
    assert [name for name, state in states.items() if state == "failed"] == ["septum.yaml"]
    assert (states["plan"], states["hadd"]) == ("skipped", "ok")


def test_a_credential_that_would_be_sent(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a file that the parts need; said by name, and not shown."""
    body = "\n".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(12))
    (repository / "userkey.pem").write_text(f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
    (repository / "septum.yaml").write_text(BASE + "inputs: [userkey.pem]\nparts: {list: [{s: a}]}\n")

    assert main(["doctor"]) == 18
    shown = capsys.readouterr().out
    assert "userkey.pem: private key" in shown
    assert body[:40] not in shown


def test_a_plan_that_needs_preparation(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cannot be made yet; the one that `septum prepare` wrote can be taken."""
    text = BASE + "parts: {files: {list: made.txt}}\n"
    (repository / "septum.yaml").write_text(text)
    assert _states(capsys)[1]["plan"] == "failed"
    (repository / "septum.yaml").write_text(text + "prepare: [echo root://a.test//1 > made.txt]\n")
    assert _states(capsys)[1]["plan"] == "skipped"
    assert _states(capsys, "--plan")[1]["plan"] == "failed"
    assert main(["prepare"]) == 0
    (repository / "made.txt").unlink()
    capsys.readouterr()
    assert _states(capsys, "--plan")[1]["plan"] == "ok"


@pytest.mark.parametrize(
    ("cluster_name", "code", "failing"), [("atlantis", 2, ["profile"]), ("htcondor-ce", 2, ["values", "variables"])]
)
def test_clusters_that_cannot_be_used(
    repository: Path, capsys: pytest.CaptureFixture[str], cluster_name: str, code: int, failing: list[str]
) -> None:
    """What depends on it is skipped, with the reason."""
    found, states = _states(capsys, "--cluster", cluster_name)

    assert found == code
    assert [name for name, state in states.items() if state == "failed"] == failing
    assert states["schedd"] == "skipped"
    assert states["uproot"] == "ok"


def test_an_unusable_cluster(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its reason."""
    (repository / "clusters").mkdir()
    (repository / "clusters/old.yaml").write_text("method: htcondor\nusable: false\nunusable-because: it burnt down\n")
    assert main(["doctor", "--cluster", "old"]) == 22
    assert "it burnt down" in capsys.readouterr().out


def test_a_url_that_is_none(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake of the command line, and what could be a token in it is not repeated."""
    assert main(["doctor", "--storage", "root://a.test//x?authz=Bearer%20hush"]) == 2
    shown = capsys.readouterr()
    assert "hush" not in shown.out + shown.err


def test_every_failure_has_a_fix_and_nothing_is_left(repository: Path, tmp_path: Path) -> None:
    """Whatever is wrong at once."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    environ = {
        "XDG_RUNTIME_DIR": str(runtime),
        "IAM_CLIENT_ID": "id",
        "IAM_CLIENT_SECRET": "very-secret-indeed",
        "X509_PROXY": "bm90IGEgcHJveHk=",
        "SEPTUM_HADD": "/nonexistent/hadd",
    }
    overrides = {
        "collector": "localhost:1",
        "schedd": "s",
        "issuer": "https://localhost:1/",
        "audience": "a",
        "scope": "wlcg",
        "credentials": "iam-client",
        "proxy": "required",
    }
    (repository / "clusters").mkdir()
    (repository / "clusters/p.yaml").write_text("method: htcondor\n")
    options = Options(config=Path("septum.yaml"), cluster="p", overrides=overrides, environ=environ)
    checks = examine(options, Asked(), deadline_s=60)
    by_name = {check.name: check for check in checks}

    assert {check.name for check in checks if check.state == "failed"} == {"issuer", "proxy", "collector", "hadd"}
    assert [check.name for check in checks if check.state == "failed" and not check.fix] == []
    assert report.exit_code(checks) == 75
    assert by_name["token"].text == "because 'issuer' failed"
    assert "very-secret-indeed" not in json.dumps(report.to_data(checks))
    assert list(runtime.iterdir()) == []


def test_doctor_does_not_slow_down_the_command_line() -> None:
    """Nothing of it is imported before it runs."""
    script = "import sys, septum.cli; septum.cli.parser(); print([m for m in sys.modules if 'septum.doctor' in m])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_not_authorized_is_kept_when_nothing_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good-looking proxy that storage denies: its own class, and whom to ask."""
    monkeypatch.setattr(explain, "look", lambda *_, **__: explain.Seen(facts=["the proxy: /cms"]))
    monkeypatch.setattr(storage, "look", explain.look)
    found = storage.explained(URL, "[ERROR] [3010] permission denied", {}, now=NOW)

    assert type(found) is NotAuthorizedError
    assert "the proxy: /cms" in found.evidence
    assert "administrators" in found.fix


def test_names_of_values() -> None:
    """The keys under which checks hand on what they found are those of the table."""
    names = {probe.name for probe in PROBES}
    found = (analysis.ANALYSIS.name, analysis.PLAN.name, analysis.PROFILE.name, credentials.CA.name)
    assert {*found, credentials.ISSUER.name, *(key.name for key in credentials.ALL)} <= names

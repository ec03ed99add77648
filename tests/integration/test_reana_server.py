"""The REANA server of the tests: the real client works with it, what is not documented does not, and it can fail."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from septum.facility import process
from septum.facility.process import wait_until
from tests.fakes.reana import description, tools
from tests.fakes.reana.client import client, script
from tests.fakes.reana.handle import ReanaServer, reana_server
from tests.fakes.reana.routes import ROUTES

pytestmark = pytest.mark.skipif(bool(tools.unavailable()), reason=tools.unavailable() or "it runs")

SERIAL = """\
inputs:
  files: [numbers.txt]
  parameters: {factor: 3, wait: 0}
workflow:
  type: serial
  specification:
    steps:
      - name: multiply
        environment: docker.io/library/busybox:1.36
        commands:
          - sleep ${wait}
          - awk '{print $$1 * ${factor}}' numbers.txt > products.txt
      - name: add
        environment: docker.io/library/busybox:1.36
        kubernetes_memory_limit: 256Mi
        commands: ["awk '{s += $$1} END {print s}' products.txt > sum.txt; echo added up"]
outputs:
  files: [sum.txt]
"""
SNAKEMAKE = """\
inputs:
  files: [Snakefile]
workflow: {type: snakemake, file: Snakefile}
outputs:
  files: [sum.txt]
"""
SNAKEFILE = """\
rule all:
    input: "sum.txt"

rule scatter:
    output: "part/{number}.txt"
    container: "docker://docker.io/library/busybox:1.36"
    resources: kubernetes_memory_limit="256Mi", kubernetes_job_timeout=60
    shell: "mkdir -p part && seq 1 {wildcards.number} | awk '{{s += $1}} END {{print s}}' > {output}"

rule gather:
    input: expand("part/{number}.txt", number=[10, 20, 30])
    output: "sum.txt"
    shell: "cat {input} | awk '{{s += $1}} END {{print s}}' > {output}; echo gathered"
"""
SUM = "730\n"
"""55 + 210 + 465."""
_STEP = {"name": "a", "commands": ["true"], "environment": "busybox", "compute_backend": "compute4punch"}
WORKFLOW = "/api/workflows/{workflow_id_or_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The server asked by hand, as the description has it."""

    server: ReanaServer

    def ask(self, method: str, path: str, *, token: str | None = None, **options: Any) -> requests.Response:
        """One request."""
        parameters = {"access_token": token or self.server.token, **options.pop("params", {})}
        with requests.Session() as session:
            session.trust_env = False  # a bundle of certificates that is set there would win
            return session.request(
                method,
                f"{self.server.url}{path}",
                params={name: value for name, value in parameters.items() if value is not None},
                verify=str(self.server.ca_file),
                timeout=30,
                **options,
            )

    def create(self, name: str, files: Mapping[str, str], *, steps: list[dict[str, Any]] | None = None) -> str:
        """A run of a Snakefile that is not started; its id."""
        specification = {"type": "snakemake", "file": "Snakefile", "specification": {"steps": steps or []}}
        made = self.ask("POST", "/api/workflows", params={"workflow_name": name}, json={"workflow": specification})
        assert made.status_code == 201, made.text
        number = str(made.json()["workflow_id"])
        for file, text in files.items():
            assert self.upload(number, file, text.encode()).status_code == 200
        return number

    def upload(self, number: str, file: str, data: bytes) -> requests.Response:
        """One file."""
        headers = {"Content-Type": "application/octet-stream"}
        path = f"/api/workflows/{number}/workspace"
        return self.ask("POST", path, params={"file_name": file}, data=data, headers=headers)

    def start(self, number: str, **body: Any) -> str:
        """Start a run; the id of the run that is started."""
        answer = self.ask("POST", f"/api/workflows/{number}/start", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["workflow_id"])

    def summary(self, number: str) -> dict[str, Any]:
        """What the list says of a run."""
        params = {"type": "batch", "workflow_id_or_name": number, "include_progress": "true"}
        (found,) = self.ask("GET", "/api/workflows", params=params).json()["items"]
        return dict(found)

    def ended(self, number: str, expected: str) -> dict[str, Any]:
        """What the list says of a run when it has ended."""
        return self.until(number, lambda told: told["status"] not in {"queued", "pending", "running"}, expected)

    def until(self, number: str, good: Callable[[dict[str, Any]], bool], expected: str) -> dict[str, Any]:
        """What the list says of a run when it says what is waited for."""
        assert wait_until(lambda: good(self.summary(number)), timeout_s=30), self.summary(number)
        told = self.summary(number)
        assert told["status"] == expected, self.server.run_log(number)
        return told

    def logs(self, number: str) -> dict[str, Any]:
        """The logs of a run, its jobs by name."""
        told = json.loads(self.ask("GET", f"/api/workflows/{number}/logs").json()["logs"])
        told["jobs"] = {job["job_name"]: job for job in told["job_logs"].values()}
        return dict(told)

    def message(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Status and message of an answer."""
        answer = self.ask(method, path, **options)
        return answer.status_code, str(answer.json()["message"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReanaServer]:
    """One server for the tests that leave nothing behind that others would see."""
    with reana_server(tmp_path_factory.mktemp("reana"), slots=4) as running:
        yield running


@pytest.fixture
def api(server: ReanaServer) -> Api:
    """It, asked by hand."""
    return Api(server=server)


def _gone(pid: Path) -> bool:
    """Whether a process has ended. Nobody may have asked how, and then its command line is empty."""
    try:
        return Path("/proc", pid.read_text().strip(), "cmdline").read_bytes() == b""
    except FileNotFoundError:
        return True


def _there(path: Path) -> bool:
    """Whether a file comes to be."""
    return wait_until(path.exists, timeout_s=20)


def _rules(*rules: str) -> str:
    """A Snakefile of rules that depend on nothing, one job each: `name: command`."""
    named = [rule.partition(": ") for rule in rules]
    wanted = ", ".join(f'"{name}.done"' for name, _, _ in named)
    text = f"rule all:\n    input: {wanted}\n"
    for name, _, command in named:
        text += f'rule {name}:\n    output: "{name}.done"\n    shell: "{command} && touch {name}.done"\n'
    return text


# ── the real client ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_real_client_takes_a_serial_workflow_through_its_life(
    server: ReanaServer, api: Api, tmp_path: Path
) -> None:
    """From ping to delete, with a restart with another parameter in between."""
    (tmp_path / "reana.yaml").write_text(SERIAL)
    (tmp_path / "numbers.txt").write_text("1\n2\n3\n")

    def run(*words: str) -> str:
        return client(server, tmp_path, *words).stdout

    assert "Connected" in run("ping")
    assert "Valid REANA specification" in run("validate")
    assert "serial-life.1" in run("create", "-w", "serial-life")
    assert "successfully uploaded" in run("upload", "-w", "serial-life")
    assert "serial-life" in run("start", "-w", "serial-life")
    api.ended("serial-life.1", "finished")

    (row,) = json.loads(run("status", "-w", "serial-life", "--json"))
    assert (row["status"], row["progress"]) == ("finished", "3/3")
    logs = run("logs", "-w", "serial-life")
    assert "added up" in logs
    assert "Workflow engine logs" in logs
    assert {file["name"] for file in json.loads(run("ls", "-w", "serial-life", "--json"))} >= {"numbers.txt", "sum.txt"}
    run("download", "-w", "serial-life", "-o", "got")
    assert (tmp_path / "got/sum.txt").read_text() == "18\n"
    assert "B" in run("du", "-w", "serial-life", "-s", "-h")
    assert "serial-life" in run("list")

    run("restart", "-w", "serial-life", "-p", "factor=10")
    assert api.ended("serial-life.1.1", "finished")["name"] == "serial-life.1.1"
    run("download", "-w", "serial-life.1.1", "sum.txt", "-o", "again")
    assert (tmp_path / "again/sum.txt").read_text() == "60\n"

    assert "deleted" in run("delete", "-w", "serial-life.1.1", "--include-workspace")
    assert "serial-life" not in run("list")
    assert not server.workflow("serial-life.1").workspace.exists()


def test_the_real_python_api_runs_a_snakemake_workflow(server: ReanaServer, api: Api, tmp_path: Path) -> None:
    """Three scattered rules and a gathering one, and everything that the files of a run can be asked."""
    (tmp_path / "reana.yaml").write_text(SNAKEMAKE)
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    client(server, tmp_path, "create", "-w", "snake")
    text = """
api.upload_file("snake.1", open("Snakefile", "rb"), "Snakefile", token)
print(json.dumps(api.start_workflow("snake.1", token, {})))
"""
    assert json.loads(script(server, tmp_path, text))["status"] == "queued"
    told = api.ended("snake.1", "finished")

    assert {name: told["progress"][name]["total"] for name in ("total", "running", "finished", "failed")} == {
        "total": 4,
        "running": 0,
        "finished": 4,
        "failed": 0,
    }
    text = """
print(json.dumps({
    "status": api.get_workflow_status("snake.1", token)["status"],
    "logs": json.loads(api.get_workflow_logs("snake.1", token)["logs"]),
    "step": json.loads(api.get_workflow_logs("snake.1", token, steps=["gather"])["logs"])["job_logs"],
    "files": [one["name"] for one in api.list_files("snake.1", token, file_name="part/*")],
    "page": [one["name"] for one in api.list_files("snake.1", token, search='{"name": ["part/"]}', page=2, size=2)],
    "sum": api.download_file("snake.1", "sum.txt", token)[0].decode(),
    "zipped": api.download_file("snake.1", "part", token)[2],
    "moved": api.mv_files("sum.txt", "total.txt", "snake.1", token)["message"],
    "removed": api.delete_file("snake.1", "part/1*.txt", token),
    "specification": api.get_workflow_specification("snake.1", token)["specification"]["workflow"]["type"],
    "parameters": api.get_workflow_parameters("snake.1", token)["type"],
    "rules": len(api.get_workflow_retention_rules("snake.1", token)["retention_rules"]),
    "usage": [one["name"] for one in api.get_workflow_disk_usage("snake.1", {"search": '{"name": ["total"]}'}, token)
        ["disk_usage_info"]],
    "pruned": api.prune_workspace("snake.1", include_inputs=False, include_outputs=True, access_token=token)["message"],
    "left": [one["name"] for one in api.list_files("snake.1", token)],
    "info": api.info(token)["compute_backends"]["value"],
    "quota": api.get_user_quota(token)["disk"]["limit"]["raw"],
    "listed": [one["name"] for one in api.get_workflows(token, "batch", search='{"name": ["snak"]}')],
}))
"""
    seen = json.loads(script(server, tmp_path, text))

    assert seen["status"] == "finished"
    assert sorted(job["job_name"] for job in seen["logs"]["job_logs"].values()) == ["gather", *["scatter"] * 3]
    assert "gathered" in next(iter(seen["step"].values()))["logs"]
    assert len(seen["step"]) == 1
    assert seen["files"] == ["part/10.txt", "part/20.txt", "part/30.txt"]
    assert seen["page"] == ["part/30.txt"]
    assert (seen["sum"], seen["zipped"]) == (SUM, True)
    assert list(seen["removed"]["deleted"]) == ["part/10.txt"]
    assert seen["usage"] == ["/total.txt"]
    assert seen["left"] == ["Snakefile"]
    assert (seen["specification"], seen["parameters"]) == ("snakemake", "snakemake")
    assert seen["info"][0] == "kubernetes"
    assert seen["listed"] == ["snake.1"]


def test_the_real_client_stops_a_run_and_nothing_of_it_stays(server: ReanaServer, api: Api, tmp_path: Path) -> None:
    """Neither its jobs nor what they put into the background, in a session of its own."""
    number = api.create("stopped", {"Snakefile": _rules("slow: (setsid sleep 300 & echo $! > pid); sleep 300")})
    api.start(number)
    pid = server.workflow(number).workspace / "pid"
    assert wait_until(lambda: pid.exists() and pid.read_text().strip() != "", timeout_s=20)
    assert api.summary(number)["status"] == "running"

    assert "stopped" in client(server, tmp_path, "stop", "-w", "stopped.1", "--force").stdout

    assert api.summary(number)["status"] == "stopped"
    assert _gone(pid)
    assert api.logs(number)["jobs"]["slow"]["status"] == "stopped"
    again = api.message("POST", f"/api/workflows/{number}/start", json={"restart": True})
    assert again == (403, "Only finished or failed workflows can be restarted.")


def test_the_real_client_keeps_secrets_and_a_job_has_them(server: ReanaServer, api: Api, tmp_path: Path) -> None:
    """As variables and as files; and a proxy where the step asks for one."""
    (tmp_path / "x509up_u1").write_text("a proxy\n")
    words = ["secrets-add", "--env", "VONAME=cms", "--env", "VOMSPROXY_FILE=x509up_u1", "--file", "x509up_u1"]
    client(server, tmp_path, *words)

    assert "already exists" in client(server, tmp_path, *words, check=False).stderr
    client(server, tmp_path, *words, "--overwrite")
    listed = client(server, tmp_path, "secrets-list").stdout
    assert {"VONAME", "VOMSPROXY_FILE", "x509up_u1"} <= set(listed.split())
    file = _rules("proxy: echo $VONAME; cat $X509_USER_PROXY").replace(
        "    shell", "    resources: voms_proxy=True\n    shell"
    )
    number = api.create("secrets", {"Snakefile": file})
    api.start(number)
    api.ended(number, "finished")
    assert "cms\na proxy" in api.logs(number)["jobs"]["proxy"]["logs"]

    client(server, tmp_path, "secrets-delete", "VONAME", "VOMSPROXY_FILE", "x509up_u1")
    assert "do not exist" in client(server, tmp_path, "secrets-delete", "VONAME", check=False).stderr
    restarted = api.start(number, restart=True)
    # Nothing is missing, so nothing runs.
    assert api.ended(restarted, "finished")["progress"]["total"]["total"] == 0


def test_a_proxy_that_nobody_has_given_fails_the_run(api: Api) -> None:
    """In the log of the workflow, as REANA has it."""
    file = _rules("proxy: true").replace("    shell", "    resources: voms_proxy=True\n    shell")
    number = api.create("no-proxy", {"Snakefile": file})
    api.start(number)

    api.ended(number, "failed")
    assert "VOMSPROXY_FILE" in api.logs(number)["workflow_logs"]


# ── what is not documented ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "options", "words"),
    [
        ("GET", "/api/workflows", {"params": {"type": "batch", "colour": "red"}}, "'colour' is not documented"),
        ("GET", "/api/workflows", {}, "'type' is required"),
        ("GET", "/api/workflows", {"params": {"type": "batch", "size": "many"}}, "'size' is no integer"),
        ("PUT", "/api/workflows/x/status", {"params": {"status": "resume"}, "json": {}}, "'status' is none of"),
        ("POST", "/api/workflows/x/start", {"json": {"again": True}}, "'again' of the body is not documented"),
        ("POST", "/api/workflows/x/start", {"json": {"restart": "yes"}}, "does not fit at restart"),
        ("POST", "/api/secrets/", {}, "a body is required"),
        ("POST", "/api/secrets/", {"json": {"A": {"value": "", "type": "word"}}}, "does not fit at A/type"),
        ("GET", "/api/you", {"json": {"a": 1}}, "a body is not documented"),
        ("POST", "/api/workflows/x/start", {"data": "restart=1"}, "a body of"),
    ],
)
def test_what_is_not_documented_is_refused_and_noted(
    server: ReanaServer, api: Api, method: str, path: str, options: dict[str, Any], words: str
) -> None:
    """A client that a real server would misunderstand does not get by here."""
    status, message = api.message(method, path, **options)
    noted = server.mistakes
    server.forgive()

    assert status == 400
    assert words in message
    assert len(noted) == 1
    assert words in noted[0]


def test_an_address_that_is_not_documented_is_noted_and_one_that_is_not_here_is_listed(
    server: ReanaServer, api: Api
) -> None:
    """404 is a mistake of the client's, 501 one of ours."""
    assert api.ask("GET", "/api/colours").status_code == 404
    assert server.mistakes == ["GET /api/colours: no such operation"]
    server.forgive()
    before = server.refused()["POST /api/launch"]

    assert api.ask("POST", "/api/launch", json={"url": "https://example.org"}).status_code == 501
    assert server.refused()["POST /api/launch"] == before + 1


def test_a_mistake_fails_the_test_that_makes_it(tmp_path: Path) -> None:
    """At the end of its server."""
    with pytest.raises(AssertionError, match="'colour' is not documented"), reana_server(tmp_path / "reana") as server:
        Api(server=server).ask("GET", "/api/you", params={"colour": "red"})


def test_an_answer_that_does_not_fit_the_description_is_found() -> None:
    """A status, a type, a property; what may be null may be."""
    told = description.Description(tools.description())
    operation = next(one for one in told.operations if one.id == "get_workflows")
    good = {"total": 1, "items": [{"id": "a", "launcher_url": None}]}

    operation.check_answer(200, good)
    for status, data in (
        (418, good),
        (200, {**good, "total": "1"}),
        (200, {"total": 1, "items": [{"id": None}]}),
        (200, {**good, "colour": "red"}),
    ):
        with pytest.raises(description.MistakeError):
            operation.check_answer(status, data)


def test_every_operation_that_is_here_is_documented_and_so_is_every_difference() -> None:
    """The tables hold nothing that has gone from the description."""
    told = description.Description(tools.description())

    assert set(ROUTES) <= {one.id for one in told.operations}
    assert {(method, path) for method, path, _ in description.DIFFERENCES if path != "*"} <= {
        (one.method, one.path) for one in told.operations
    }


@pytest.mark.parametrize(
    ("specification", "name", "words"),
    [
        ({"workflow": {"type": "snakemake", "file": "Snakefile"}}, "x", "'specification'"),
        ({"workflow": {"type": "serial", "specification": {}}}, "x", "'steps'"),
        ({"workflow": {"type": "make", "file": "Makefile"}}, "x", "is not one of"),
        ({}, "x", "spec need to be provided"),
        ({"workflow": {"type": "serial", "specification": {"steps": []}}}, "x.1", "illegal character"),
        (
            {
                "workflow": {
                    "type": "serial",
                    "specification": {"steps": [_STEP]},
                }
            },
            "x",
            'Compute backend "compute4punch" found in step "a" is not supported',
        ),
        (
            {"inputs": {"files": ["/etc/passwd"]}, "workflow": {"type": "serial", "specification": {"steps": []}}},
            "x",
            "cannot be absolute",
        ),
    ],
)
def test_a_specification_that_reana_would_not_take_is_refused(
    api: Api, specification: dict[str, Any], name: str, words: str
) -> None:
    """At the creation of the run."""
    status, message = api.message("POST", "/api/workflows", params={"workflow_name": name}, json=specification)

    assert status in {400, 500}
    assert words in message


# ── runs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_name_again_is_the_next_number(server: ReanaServer, api: Api) -> None:
    """And the name alone means the last one."""
    first, second = (api.create("twice", {}) for _ in range(2))

    assert [server.workflow(number).full_name for number in (first, second)] == ["twice.1", "twice.2"]
    assert api.ask("GET", "/api/workflows/twice/status").json()["id"] == second
    assert api.ask("GET", "/api/workflows/twice.1/status").json()["id"] == first
    assert api.ask("GET", "/api/workflows/twice.3/status").status_code == 404


def test_a_run_is_started_once_and_not_deleted_while_it_runs(server: ReanaServer, api: Api) -> None:
    """Nor stopped when it does not."""
    number = api.create("once", {"Snakefile": _rules("job: touch began; while ! test -e go; do sleep 0.02; done")})
    path = f"/api/workflows/{number}/status"
    assert api.message("PUT", path, params={"status": "stop"}, json={})[0] == 409
    api.start(number)
    assert _there(server.workflow(number).workspace / "began")
    assert api.summary(number)["status"] == "running"

    assert api.message("POST", f"/api/workflows/{number}/start", json={}) == (
        403,
        "Workflow once.1 is already running and cannot be started again.",
    )
    assert api.message("PUT", path, params={"status": "deleted"}, json={})[0] == 409
    api.upload(number, "go", b"")
    api.ended(number, "finished")


def test_the_first_failed_job_fails_the_run_and_kills_the_rest(server: ReanaServer, api: Api) -> None:
    """Whom REANA goes on to call running. A restart runs what is missing, in the same workspace."""
    rules = _rules(
        "good: true",
        "slow: echo $$ > pid; sleep 300",
        "bad: while ! test -s pid -a -e good.done; do sleep 0.02; done; test -e mended",
    )
    number = api.create("failing", {"Snakefile": rules})
    api.start(number)
    told = api.ended(number, "failed")
    workspace = server.workflow(number).workspace

    assert {name: len(told["progress"][name]["job_ids"]) for name in ("finished", "failed", "running")} == {
        "finished": 1,
        "failed": 1,
        "running": 1,
    }
    assert wait_until(lambda: _gone(workspace / "pid"), timeout_s=10)
    assert [api.logs(number)["jobs"][name]["status"] for name in ("good", "bad", "slow")] == [
        "finished",
        "failed",
        "running",
    ]
    assert wait_until(lambda: not list((workspace / ".snakemake/locks").iterdir()), timeout_s=10)

    # The slow one is skipped now, and the bad one mended.
    assert api.upload(number, "slow.done", b"").status_code == 200
    assert api.upload(number, "mended", b"").status_code == 200
    again = api.start(number, restart=True)
    assert api.ended(again, "finished")["name"] == "failing.1.1"
    assert set(api.logs(again)["jobs"]) == {"bad"}
    assert server.workflow(again).workspace == workspace


def test_a_job_is_killed_for_lack_of_memory_when_a_test_wants_it(server: ReanaServer, api: Api) -> None:
    """When a file is there, so that nobody has to guess how long to wait."""
    number = api.create("oom", {"Snakefile": _rules("big: touch began; sleep 300")})
    server.fail_step("big", once="began")
    api.start(number)

    api.ended(number, "failed")
    job = api.logs(number)["jobs"]["big"]
    assert job["status"] == "failed"
    assert job["logs"].endswith("\nOOMKilled\n")
    assert (server.workflow(number).workspace / "began").exists()


@pytest.mark.parametrize(
    ("resource", "where", "words"),
    [
        ("kubernetes_job_timeout=1", "job", "exceeding timeout of 1 seconds"),
        ('kubernetes_memory_limit="lots"', "run", '"kubernetes_memory_limit" lots has wrong format'),
        ('compute_backend="moon"', "run", "Backend moon is not supported"),
        ("kubernetes_job_timeout=99999999", "run", "exceeds the limit"),
    ],
)
def test_resources_are_honoured(api: Api, resource: str, where: str, words: str) -> None:
    """A job that may not run, or may not run so long, fails the run."""
    rules = _rules("job: sleep 300").replace("    shell", f"    resources: {resource}\n    shell")
    number = api.create("resources", {"Snakefile": rules})
    api.start(number)
    api.ended(number, "failed")
    told = api.logs(number)

    assert words in (told["jobs"]["job"]["logs"] if where == "job" else told["workflow_logs"])


def test_jobs_of_all_runs_share_the_slots(tmp_path: Path) -> None:
    """Two runs of four jobs, two at once."""
    with reana_server(tmp_path / "reana", slots=2) as server:
        api = Api(server=server)
        rules = _rules(*(f"job{number}: sleep 0.1" for number in range(4)))
        runs = [api.create("slots", {"Snakefile": rules}) for _ in range(2)]
        for number in runs:
            api.start(number)
        for number in runs:
            api.ended(number, "finished")
        moments = []
        for number in runs:
            for job in server.store.diary(number).jobs.values():
                moments += [(job["started"], 1), (job["finished"], -1)]
        counts = [sum(step for _, step in sorted(moments)[: end + 1]) for end in range(len(moments))]

        assert len(moments) == 16
        assert max(counts) == 2


def test_runs_go_on_while_the_server_is_killed(tmp_path: Path) -> None:
    """And are found again, on the same address and with the same token."""
    with reana_server(tmp_path / "reana") as server:
        api = Api(server=server)
        rules = _rules("first: touch began; while ! test -e go; do sleep 0.02; done", "second: true")
        number = api.create("outlive", {"Snakefile": rules})
        api.start(number)
        workspace, url = server.workflow(number).workspace, server.url
        assert _there(workspace / "began")

        server.stop(kill=True)
        with pytest.raises(requests.ConnectionError):
            api.ask("GET", "/api/you")
        (workspace / "go").touch()
        assert _there(workspace / "first.done")
        server.start()

        assert server.url == url
        assert api.ended(number, "finished")["progress"]["finished"]["total"] == 2


def test_a_lost_engine_fails_the_run_and_leaves_a_lock(server: ReanaServer, api: Api) -> None:
    """Snakemake's lock of the workspace: as in REANA, who restarts the run has to delete it first."""
    number = api.create("lost", {"Snakefile": _rules("job: touch began; test -e go || sleep 300")})
    api.start(number)
    workspace = server.workflow(number).workspace
    assert _there(workspace / "began")

    server.kill_engine(number)
    api.ended(number, "failed")
    assert list((workspace / ".snakemake/locks").iterdir())
    locked = api.start(number, restart=True)
    api.ended(locked, "failed")
    assert api.upload(number, "go", b"").status_code == 200
    deleted = api.ask("DELETE", f"/api/workflows/{number}/workspace/.snakemake/locks/*").json()["deleted"]
    assert deleted
    again = api.start(locked, restart=True)
    assert api.ended(again, "finished")["name"] == "lost.1.2"


def test_a_server_whose_starter_is_gone_ends_with_all_that_runs(tmp_path: Path) -> None:
    """A session of tests that is killed leaves nothing behind."""
    folder = tmp_path / "reana"
    text = f"""
import os
from pathlib import Path
from tests.fakes.reana.handle import ReanaServer
from tests.integration.test_reana_server import Api, _rules, _there
server = ReanaServer(folder=Path({str(folder)!r}))
server.start()
api = Api(server=server)
number = api.create("left", {{"Snakefile": _rules("job: echo $$ > pid; sleep 300")}})
api.start(number)
assert _there(server.workflow(number).workspace / "pid")
print(server.pid, server.workflow(number).workspace / "pid", flush=True)
os._exit(0)
"""
    done = process.run([sys.executable, "-c", text], what="start a server and go", timeout_s=60, cwd=tools.ROOT)
    server, job = done.stdout.split()
    (tmp_path / "server").write_text(server)

    assert wait_until(lambda: _gone(tmp_path / "server") and _gone(Path(job)), timeout_s=20)


# ── what can go wrong on the way ────────────────────────────────────────────────────────────────────────────────


def test_the_next_answers_can_be_errors(server: ReanaServer, api: Api) -> None:
    """By the name or the path of an operation, so many times; before or after what was asked is done."""
    server.fail_next("get_you", 503, times=2)
    assert [api.ask("GET", "/api/you").status_code for _ in range(3)] == [503, 503, 200]

    server.fail_next(f"GET {WORKFLOW}/status", 0)
    assert api.ask("GET", "/api/you").status_code == 200
    with pytest.raises(requests.ConnectionError):
        api.ask("GET", "/api/workflows/nobody/status")

    server.fail_next("create_workflow", 502, after=True)
    body = {"workflow": {"type": "serial", "specification": {"steps": []}}}
    answer = api.ask("POST", "/api/workflows", params={"workflow_name": "done-after-all"}, json=body)
    assert answer.status_code == 502
    assert server.workflow("done-after-all.1").status == "created"

    server.fail_next("*", 500, times=99)
    server.heal()
    assert api.ask("GET", "/api/you").status_code == 200


def test_uploads_and_downloads_can_be_cut(server: ReanaServer, api: Api) -> None:
    """A short file stays on the server, as it does in REANA; and half a file can look whole."""
    number = api.create("cut", {})
    data = bytes(range(256)) * 4096
    file = server.workflow(number).workspace / "folder/data"
    path = f"/api/workflows/{number}/workspace/folder/data"
    server.cut_upload()
    with pytest.raises(requests.ConnectionError):
        api.upload(number, "folder/data", data)
    assert wait_until(lambda: file.stat().st_size == len(data) // 2, timeout_s=5)
    assert api.upload(number, "folder/data", data).status_code == 200
    assert file.read_bytes() == data

    server.cut_download()
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        api.ask("GET", path)
    server.cut_download(quiet=True)
    assert api.ask("GET", path).content == data[: len(data) // 2]
    assert api.ask("GET", path).content == data


def test_paths_do_not_lead_out_of_a_workspace(server: ReanaServer, api: Api) -> None:
    """Neither by dots nor by links."""
    number = api.create("paths", {"here": "x"})
    workspace = server.workflow(number).workspace
    (workspace / "out").symlink_to(server.folder)

    assert api.upload(number, "../there", b"x").status_code == 500
    assert api.upload(number, "out/there", b"x").status_code == 500
    assert api.ask("GET", f"/api/workflows/{number}/workspace/out/state.db").status_code == 404
    assert api.ask("GET", f"/api/workflows/{number}/workspace/..%2F..%2Fstate.db").status_code == 404
    listed = api.ask("GET", f"/api/workflows/{number}/workspace").json()["items"]
    assert [one["name"] for one in listed] == ["here"]


def test_tokens_run_out(tmp_path: Path) -> None:
    """In REANA's words; and the newer servers' way, as a header alone."""
    with reana_server(tmp_path / "query") as server:
        api = Api(server=server)
        old = server.token
        new = server.expire_token()
        assert api.message("GET", "/api/you", token="wrong") == (403, "Token not valid.")
        assert api.message("GET", "/api/you", token=old) == (403, "User access token revoked.")
        assert api.message("GET", "/api/you", params={"access_token": None}) == (401, "User not signed in")
        assert api.ask("GET", "/api/you", token=new).status_code == 200
        assert old not in json.dumps(server.targets())
    with reana_server(tmp_path / "header", token_in="header") as server:
        api = Api(server=server)
        header = {"Authorization": f"Bearer {server.token}"}
        assert api.message("GET", "/api/info") == (401, "User not signed in")
        assert api.ask("GET", "/api/info", params={"access_token": None}, headers=header).status_code == 200


def test_a_quota_is_used_up(tmp_path: Path) -> None:
    """What is there counts, or what a test says; uploads that would be too much are refused, and new runs."""
    with reana_server(tmp_path / "reana") as server:
        api = Api(server=server)
        number = api.create("quota", {"big": "x" * 1000})
        server.set_quota("disk", limit=1500)
        assert api.ask("GET", "/api/you").json()["quota"]["disk"]["usage"]["raw"] == 1000
        status, message = api.message(
            "POST",
            f"/api/workflows/{number}/workspace",
            params={"file_name": "more"},
            data=b"x" * 600,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert (status, "exceed" in message) == (403, True)
        server.set_quota("cpu", limit=1000, used=2000)
        status, message = api.message("POST", f"/api/workflows/{number}/start", json={})
        assert status == 403
        assert message.startswith("User quota exceeded.\nResource: cpu, usage: 2s out of 1s used")


def test_the_queue_waits_and_answers_are_late(server: ReanaServer, api: Api) -> None:
    """Both until a test says otherwise."""
    server.hold_queue()
    number = api.create("queued", {"Snakefile": _rules("job: true")})
    api.start(number)
    server.delay(0.2)
    began = time.monotonic()
    assert api.summary(number)["status"] == "queued"
    assert time.monotonic() - began > 0.2
    server.heal()
    server.hold_queue(held=False)
    api.ended(number, "finished")


def test_files_are_pruned_behind_everybodys_back(server: ReanaServer, api: Api) -> None:
    """And a deleted run has no workspace at all."""
    number = api.create("pruned", {"Snakefile": _rules("job: true"), "data": "x"})
    server.prune(number)
    path = f"/api/workflows/{number}/workspace"

    assert api.ask("GET", path).json() == {"items": [], "total": 0}
    assert api.ask("PUT", f"/api/workflows/{number}/status", params={"status": "deleted"}, json={}).status_code == 200
    assert api.message("GET", path) == (404, "Workspace does not exist.")
    assert api.summary(number)["status"] == "deleted"


def test_requests_are_counted_with_their_bytes(server: ReanaServer, api: Api) -> None:
    """So that a test can say how many round trips something may take."""
    number = api.create("counted", {})
    before = server.asked()
    api.upload(number, "file", b"x" * 1000)
    answer = api.ask("GET", f"/api/workflows/{number}/workspace/file")

    assert answer.content == b"x" * 1000
    told = server.requests(since=before)
    assert told[f"POST {WORKFLOW}/workspace"].received_b == 1000
    assert told[f"GET {WORKFLOW}/workspace/{{file_name}}"].sent_b == 1000
    assert {count.times for count in told.values()} == {1}
    assert server.targets(since=before)[0] == (f"POST /api/workflows/{number}/workspace?file_name=file", 200)


def test_secrets_are_all_or_none(api: Api) -> None:
    """Base64, or refused."""
    good = {"value": base64.b64encode(b"x").decode(), "type": "env"}
    bad = {"value": "%%%", "type": "file"}
    assert api.ask("POST", "/api/secrets/", json={"GOOD": good, "BAD": bad}).status_code == 500
    assert api.ask("GET", "/api/secrets").json() == []
    assert api.ask("POST", "/api/secrets/", json={"GOOD": good}).status_code == 201
    assert api.message("POST", "/api/secrets/", json={"GOOD": good, "NEW": good})[0] == 409
    assert [one["name"] for one in api.ask("GET", "/api/secrets").json()] == ["GOOD"]
    assert api.ask("DELETE", "/api/secrets/", json=["GOOD"]).json() == ["GOOD"]

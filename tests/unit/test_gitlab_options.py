"""What `septum gitlab` is told: which project, which file of the pipeline, which token."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from septum.cli import main
from septum.errors import ProjectDiffersError
from tests.fakes.gitlab_server import Fault
from tests.unit.gitlab_case import PIPELINE, PROJECT, SECRET, Case, a_case

DIFFERS = ProjectDiffersError.exit_code


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A repository for the cluster infn-af, and a GitLab without a project."""
    with a_case(tmp_path, monkeypatch) as made:
        yield made


def test_the_remote_says_which_project(case: Case) -> None:
    """Without --project, it is that of the remote origin."""
    case.flawed()
    git = ["git", "-C", str(case.root)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "remote", "add", "origin", f"{case.server.url}/{PROJECT}.git"], check=True)
    case.monkeypatch.setattr("tests.unit.gitlab_case.PROJECT", "")

    ended = case.run("check", "--project", "")

    assert ended.code == DIFFERS
    assert f"{PROJECT} on {case.server.url}" in ended.out


@pytest.mark.parametrize("where", ["variable", "file"])
def test_a_remote_alone_gets_no_token(case: Case, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What was put somewhere for one GitLab does not go to whatever a repository has as its remote."""
    git = ["git", "-C", str(case.root)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "remote", "add", "origin", f"{case.server.url}/{PROJECT}.git"], check=True)
    case.monkeypatch.setenv("XDG_CONFIG_HOME", str(case.root / "home"))
    case.monkeypatch.delenv("CI_SERVER_URL", raising=False)
    (case.root / "token").write_text(case.token, encoding="utf-8")
    case.monkeypatch.setenv("SEPTUM_GITLAB_TOKEN", case.token if where == "variable" else "")
    token = ["--token-file", str(case.root / "token")] if where == "file" else []

    code = main(["gitlab", "check", "--root", str(case.root), *token])

    assert code == 2
    assert f"--url {case.server.url}" in capsys.readouterr().err
    assert case.server.requests == []


@pytest.mark.parametrize(
    "more",
    [
        ["--project", "../../admin/ci"],
        ["--project", "my-group/my-analysis?private_token=x"],
        ["--project", "my-group/..%2fother"],
        ["--project", "my-group"],
        ["--project", "42"],
        ["--project", "my-group/my\x1b[2Janalysis"],
        ["--project", ""],
        ["--url", "http://gitlab.example.org"],
        ["--url", "ftp://gitlab.example.org"],
        ["--url", "https://"],
        ["--ci-file", "../other.yml"],
        ["--timeout", "soon"],
        ["--timeout", "5 min"],
        ["--timeout", "60 d"],
        ["--sweep", "daily"],
        ["--schedule-input", "sweep"],
        ["--schedule-input", "nightly:a=1"],
        ["--cluster", "infn-fa"],
        ["--value", f"IAM_CLIENT_SECRET={SECRET}"],
        ["--value", f"={SECRET}"],
        ["--value", "IAM_CLIENT_SECRET=@/nowhere/at/all"],
        ["--value", "SOMETHING_ELSE=@ca.pem"],
        ["--value", "IAM_CLIENT_ID=-", "--value", "IAM_CLIENT_SECRET=-"],
        ["--replace", "SOMETHING_ELSE"],
        ["--elsewhere", "SOMETHING_ELSE"],
        ["--elsewhere", "IAM_CLIENT_ID", "--value", "IAM_CLIENT_ID=@id.txt"],
        ["--ca-file", "/nowhere/at/all"],
        ["--token-file", "/nowhere/at/all"],
    ],
    ids=str,
)
def test_a_command_line_that_makes_no_sense(case: Case, more: list[str]) -> None:
    """One clear error before anything is asked; what may be a secret is not repeated."""
    ended = case.run("setup", *more, "--yes", ready=False)

    assert ended.code == 2, ended.text
    assert "Fix: " in ended.err
    assert SECRET not in ended.text
    assert "\x1b[2J" not in ended.text
    assert case.server.requests == []


def test_nobody_is_asked_where_nobody_is(case: Case) -> None:
    """Without a terminal and without --yes, nothing is done, and it says how to."""
    case.flawed()

    ended = case.run("setup", *case.values(), ready=False)

    assert ended.code == 2
    assert "septum gitlab setup --yes" in ended.err
    assert case.server.requests == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PIPELINE.replace("infn-af", "$MY_CLUSTER"), "--cluster infn-af"),
        (PIPELINE.replace("infn-af", "../../etc/x"), "known in the pipeline alone"),
        (PIPELINE.replace("{cluster: infn-af}", '{cluster: "$[[ inputs.none ]]"}'), "known in the pipeline alone"),
        ("include: [", "E061"),
        ("a: &a [*a]", "E064"),
        ("- a", "E061"),
        ("a: b\n" * 300_000, "at most 1 MB"),
        ("", "includes no component of septum"),
        ("include: [1, {local: 2}, {component: 3}]\nvariables: [4]", "includes no component of septum"),
        ("include: {local: ../../../../etc/passwd}", "includes no component of septum"),
        (None, "is not there"),
    ],
)
def test_a_pipeline_that_does_not_say_enough(case: Case, text: str | None, words: str) -> None:
    """One clear error, and nothing is asked of GitLab."""
    file = case.root / ".gitlab-ci.yml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")

    ended = case.run("check")

    assert ended.code == 2
    assert words in ended.err
    assert "Fix: " in ended.err or "E06" in ended.err
    assert case.server.requests == []


def test_components_in_a_file_that_is_included(case: Case) -> None:
    """What stands in files of the repository counts, in a circle, too."""
    (case.root / ".gitlab-ci.yml").write_text("include: [{local: /ci/a.yml}, b.yml]\n", encoding="utf-8")
    (case.root / "ci").mkdir()
    (case.root / "ci/a.yml").write_text("include: {local: .gitlab-ci.yml}\n", encoding="utf-8")
    (case.root / "b.yml").write_text(PIPELINE, encoding="utf-8")

    ended = case.run("setup", "--dry-run", ready=False)

    assert ended.code == 0, ended.text
    assert "variable IAM_CLIENT_SECRET" in ended.out


def test_a_profile_beside_the_septum_yaml_of_a_folder(case: Case) -> None:
    """The input `config` says where that is, and a cluster of one's own is described there."""
    text = PIPELINE.replace("{cluster: infn-af}", "{cluster: our-pool, config: electrons/septum.yaml}", 1)
    (case.root / ".gitlab-ci.yml").write_text("\n".join(text.splitlines()[:3]), encoding="utf-8")
    (case.root / "electrons/clusters").mkdir(parents=True)
    profile = "method: htcondor\ncollector: c.example.org:9618\nschedd: s.example.org\nauthentication: kerberos\n"
    (case.root / "electrons/clusters/our-pool.yaml").write_text(profile, encoding="utf-8")

    ended = case.run("setup", "--dry-run", ready=False)

    assert ended.code == 0, ended.text
    assert "variable KRB5_KEYTAB" in ended.out
    assert "SEPTUM_CLUSTER_SCHEDD" not in ended.out


def test_variables_of_the_pipeline_change_the_profile(case: Case) -> None:
    """As they do in its CI jobs."""
    text = PIPELINE + "variables: {SEPTUM_CLUSTER_CLIENT_SECRET_VARIABLE: {value: OUR_SECRET}}\n"
    (case.root / ".gitlab-ci.yml").write_text(text, encoding="utf-8")

    assert "variable OUR_SECRET" in case.run("setup", "--dry-run", ready=False).out


def test_a_project_that_has_moved(case: Case) -> None:
    """GitLab leads from the old path to the new one; nothing is done to a project that nobody named."""
    project = case.server.add_project("my-group/new-name")
    there = {"Location": f"{case.server.url}/api/v4/projects/{project.id}"}
    case.server.fail("GET /projects/:id", Fault(status=301, data=b"", headers=there), times=1)

    ended = case.run("setup")

    assert ended.code == 2
    assert "another path now" in ended.err
    assert "--project my-group/new-name" in ended.err
    assert ended.writes == []


def test_clusters_that_the_pipeline_offers(case: Case) -> None:
    """Every cluster that somebody may choose when a pipeline starts needs its variables."""
    header = "spec: {inputs: {cluster: {default: local, options: [local, infn-af, cern-lxbatch]}}}\n---\n"
    text = header + PIPELINE.replace("cluster: infn-af", 'cluster: "$[[ inputs.cluster ]]"')
    (case.root / ".gitlab-ci.yml").write_text(text, encoding="utf-8")

    ended = case.run("setup", "--dry-run", "--json", ready=False)

    keys = [step["subject"] for step in ended.json["steps"] if step["subject"].startswith("variable")]
    assert ended.code == 0, ended.text
    assert keys == [
        "variable SEPTUM_CLUSTER_SCHEDD",
        *("variable IAM_CLIENT_ID", "variable IAM_CLIENT_SECRET", "variable X509_PROXY", "variable SEPTUM_CA"),
        *("variable KRB5_PRINCIPAL", "variable KRB5_KEYTAB", "variable SEPTUM_GITLAB_TOKEN"),
    ]


def test_the_token_is_for_nobody_else(case: Case) -> None:
    """What septum starts finds no token in its environment."""
    case.flawed()

    case.run("check")

    assert "SEPTUM_GITLAB_TOKEN" not in os.environ

"""`septum gitlab setup` and `check` against a fake GitLab, through the real python-gitlab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from septum.errors import ProjectDiffersError, SetupIncompleteError
from tests.fakes import gitlab_project, gitlab_server
from tests.fakes.gitlab_server import Fault
from tests.fakes.gitlab_variables import add_schedule, add_variable, schedules_of, variables_of
from tests.unit.gitlab_case import CERTIFICATE, PROJECT, SECRET, Case, a_case

NEEDED = ("SEPTUM_CLUSTER_SCHEDD", "IAM_CLIENT_ID", "IAM_CLIENT_SECRET", "SEPTUM_CA")
DIFFERS, INCOMPLETE = ProjectDiffersError.exit_code, SetupIncompleteError.exit_code


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A repository for the cluster infn-af, and a GitLab without a project."""
    with a_case(tmp_path, monkeypatch) as made:
        yield made


# ── twice ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_project_from_nothing(case: Case) -> None:
    """It is made, protected, and has its variables; the schedule follows the first push; then nothing is left."""
    first = case.run("setup")
    again = case.run("setup")
    (project,) = case.server.projects.values()
    project.attributes["default_branch"] = "main"  # as GitLab does on the first push
    project.kept["branches"] = ["main"]
    pushed = case.run("setup")
    last = case.run("setup")
    checked = case.run("check")

    assert (first.code, again.code, pushed.code, last.code, checked.code) == (0, 0, 0, 0, 0), first.text
    assert "later: schedule septum sweep: the repository is empty" in first.out
    assert first.writes[0] == "POST /projects"
    assert again.writes == []
    assert pushed.writes == ["POST /projects/:id/pipeline_schedules"]
    assert last.writes == []
    assert "nothing to do" in last.out
    by_key = {variable["key"]: variable for variable in variables_of(project)}
    secret = by_key["IAM_CLIENT_SECRET"]
    assert secret["value"] == SECRET
    assert (secret["masked"], secret["hidden"], secret["protected"], secret["raw"]) == (True, True, True, True)
    assert secret["environment_scope"] == "*"
    assert (by_key["IAM_CLIENT_ID"]["protected"], by_key["IAM_CLIENT_ID"]["masked"]) == (True, False)
    assert by_key["SEPTUM_CA"]["variable_type"] == "file"
    assert by_key["SEPTUM_CA"]["value"] == CERTIFICATE.strip()
    assert project.visibility == "private"


def test_a_project_with_everything_wrong(case: Case) -> None:
    """Each thing is changed, once; what people have set for themselves stays."""
    project = case.flawed()
    more = ["--sweep", "1 2 * * *", "--nightly", "3 4 * * 1", "--schedule-input", "sweep:keep=2 d"]

    before = case.run("check", *more)
    done = case.run("setup", *more)
    again = case.run("setup", *more)

    assert before.code == DIFFERS
    assert before.writes == []
    assert done.code == 0, done.text
    assert again.writes == []
    assert project.kept["inbound_enabled"] is True
    assert project.kept["protected_branches"][0]["allow_force_push"] is False
    sweep, nightly = schedules_of(project)
    assert (sweep["cron"], sweep["active"], sweep["inputs"]) == ("1 2 * * *", True, [{"name": "keep", "value": "2 d"}])
    assert (nightly["description"], nightly["cron"]) == ("septum nightly", "3 4 * * 1")
    assert variables_of(project)[0]["protected"] is True
    assert project.attributes["ci_pipeline_variables_minimum_override_role"] == "no_one_allowed"
    assert project.attributes["description"] == "Dimuons"


def test_what_somebody_chose_is_left_alone(case: Case) -> None:
    """Another time of the schedule, a longer time limit, a wider protection and a secret as a file are as good."""
    project = case.server.add_project(PROJECT, build_timeout=10 * 3600)
    add_schedule(project, "septum sweep", cron="9 9 * * 9")
    gitlab_project.protect(project, "branches", "ma*")
    gitlab_project.protect(project, "tags", "*")
    add_variable(project, "IAM_CLIENT_SECRET", "a\nb", variable_type="file", protected=True, raw=True)

    ended = case.run("setup")

    assert ended.code == 0, ended.text
    assert not {"PUT /projects/:id/pipeline_schedules/:pipeline_schedule_id"} & {*ended.writes}
    assert "POST /projects/:id/protected_branches" not in ended.writes
    assert project.attributes["build_timeout"] == 10 * 3600
    assert variables_of(project)[0]["value"] == "a\nb"


def test_a_value_is_replaced_only_when_asked(case: Case) -> None:
    """A value for a variable that is there changes nothing, unless it is to be replaced."""
    case.run("setup")
    (project,) = case.server.projects.values()
    (case.root / "secret.txt").write_text("Another0Secret1Value", encoding="utf-8")

    kept = case.run("setup")
    replaced = case.run("setup", "--replace", "IAM_CLIENT_SECRET")

    assert kept.writes == []
    assert replaced.writes == ["PUT /projects/:id/variables/:key"]
    values = {variable["key"]: variable["value"] for variable in variables_of(project)}
    assert values["IAM_CLIENT_SECRET"] == "Another0Secret1Value"


def test_a_visible_value_is_stored_otherwise(case: Case) -> None:
    """A variable that lacks only a flag keeps its value without anybody knowing it; one that is hidden needs it."""
    project = case.server.add_project(PROJECT)
    add_variable(project, "IAM_CLIENT_SECRET", "Visible0Secret1", masked=True)
    add_variable(project, "IAM_CLIENT_ID", "a-client", protected=True, raw=True)
    add_variable(project, "SEPTUM_CA", CERTIFICATE, variable_type="file", raw=True)
    add_variable(project, "SEPTUM_CLUSTER_SCHEDD", "schedd.example.org", protected=True, raw=True)
    visible = case.run("setup", "--yes", ready=False)
    variables_of(project)[0].update(hidden=True, protected=False)
    hidden = case.run("setup", "--yes", ready=False)

    assert visible.code == 0, visible.text
    assert variables_of(project)[0]["value"] == "Visible0Secret1"
    assert variables_of(project)[0]["raw"] is True
    assert "Visible0Secret1" not in visible.text
    assert hidden.code == INCOMPLETE
    assert "no value was given: --value IAM_CLIENT_SECRET=@FILE" in hidden.err


def test_a_variable_that_comes_from_elsewhere(case: Case) -> None:
    """What the group or Vault gives is not asked for, and not made."""
    options = [text for key in NEEDED for text in ("--elsewhere", key)]

    ended = case.run("setup", "--yes", *options, ready=False)
    (project,) = case.server.projects.values()
    project.attributes["default_branch"] = "main"
    project.kept["branches"] = ["main"]
    again, checked = case.run("setup", "--yes", *options, ready=False), case.run("check", *options)

    assert (ended.code, again.code, checked.code) == (0, 0, 0), ended.text
    assert variables_of(project) == []


def test_a_variable_of_another_environment_does_not_count(case: Case) -> None:
    """CI jobs of the components belong to no environment; GitLab is told which of two variables is meant."""
    project = case.server.add_project(PROJECT)
    add_variable(project, "IAM_CLIENT_SECRET", "Production0Secret", environment_scope="production")

    first = case.run("setup")
    replaced = case.run("setup", "--replace", "IAM_CLIENT_SECRET")

    assert (first.code, replaced.code) == (0, 0), first.text + replaced.text
    assert "for production alone" in first.out
    assert [v["value"] for v in variables_of(project) if v["key"] == "IAM_CLIENT_SECRET"] == [
        "Production0Secret",
        SECRET,
    ]


# ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_boundary(case: Case) -> None:
    """Of 130 variables, schedules, branches and tags, those on the second page are found, and made no second time."""
    project = case.server.add_project(PROJECT)
    for number in range(129):
        add_variable(project, f"OTHER_{number}")
        add_schedule(project, f"other {number}")
        gitlab_project.protect(project, "branches", f"other-{number}")
        gitlab_project.protect(project, "tags", f"other-{number}")
    add_variable(project, "IAM_CLIENT_SECRET", SECRET, masked=True, hidden=True, protected=True, raw=True)
    add_schedule(project, "septum sweep")
    gitlab_project.protect(project, "branches", "main")
    gitlab_project.protect(project, "tags", "v*")

    ended = case.run("setup")
    again = case.run("setup")

    assert ended.code == 0, ended.text
    assert ended.writes == ["PUT /projects/:id", *["POST /projects/:id/variables"] * 3]
    assert again.writes == []
    pages = [one.target for one in case.server.requests if "page=2" in one.target]
    assert len(pages) == 2 * 4


# ── what the token may ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_that_may_only_read(case: Case) -> None:
    """With read_api, check works and setup says before anything else that it does not."""
    case.flawed()
    case.token = gitlab_server.READ_ONLY

    checked, tried, looked = case.run("check"), case.run("setup"), case.run("setup", "--dry-run", ready=False)

    assert checked.code == DIFFERS
    assert "IAM_CLIENT_SECRET" in checked.text
    assert tried.code == 13
    assert "read_api" in tried.err
    assert "the scope 'api' and the role Maintainer" in tried.err
    assert looked.code == 0
    assert case.server.writes() == []


@pytest.mark.parametrize("token", [gitlab_server.DEVELOPER, gitlab_server.REPORTER])
def test_a_role_that_is_too_low(case: Case, token: str) -> None:
    """What the token does not see is said to be unknown, with the role that sees it, and never to be all right."""
    case.flawed()
    case.token = token

    checked = case.run("check")
    tried = case.run("setup")

    assert checked.code == DIFFERS
    assert "variable IAM_CLIENT_SECRET: unknown: HTTP 403: 403 Forbidden; it needs the scope 'read_api'" in checked.err
    assert "setting build_timeout: unknown" in checked.err
    assert tried.code == INCOMPLETE
    assert "the role Maintainer" in tried.err


def test_a_stranger_makes_no_second_project(case: Case) -> None:
    """A project that the token does not see is there nevertheless, says GitLab when it is to be made."""
    case.flawed()
    case.token = gitlab_server.STRANGER

    ended = case.run("setup")

    assert ended.code == INCOMPLETE
    assert len(case.server.projects) == 1
    assert "project" in ended.err


def test_a_token_that_is_none(case: Case) -> None:
    """One that GitLab does not know is refused; without any, the error says where to make one; neither is shown."""
    case.token = "glpat-Expired0Token1Of2Tests"
    unknown = case.run("setup")
    case.token = ""
    none = case.run("check")

    assert unknown.code == 13
    assert "HTTP 401" in unknown.err
    assert "glpat" not in unknown.text
    assert none.code == 10
    assert f"{case.server.url}/-/user_settings/personal_access_tokens" in none.err


def test_a_token_from_a_file(case: Case, tmp_path: Path) -> None:
    """The file wins over the variable."""
    case.flawed()
    case.token = "glpat-Wrong0Token1Of2Tests"
    (tmp_path / "token").write_text(f"{gitlab_server.READ_ONLY}\n", encoding="utf-8")

    ended = case.run("check", "--token-file", str(tmp_path / "token"))

    assert ended.code == DIFFERS, ended.text


# ── half done ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_end_in_the_middle(case: Case) -> None:
    """When GitLab goes away, it is said what was done and what was not; the next time goes on from there."""
    case.flawed()
    case.server.fail("POST /projects/:id/variables", Fault(hang_up=True))
    broken = case.run("setup", "--json")
    case.server.heal()
    mended = case.run("setup")

    assert broken.code == 75
    assert "branch main" in broken.json["done"]
    assert "not done: variable IAM_CLIENT_SECRET" in broken.json["error"]["evidence"]
    assert "not done: schedule septum sweep" in broken.json["error"]["evidence"]
    assert mended.code == 0, mended.text
    assert not {"PATCH /projects/:id/protected_branches/:name", "PUT /projects/:id"} & {*mended.writes}


def test_an_answer_that_is_lost(case: Case) -> None:
    """What was made although no answer came is found the next time, and made no second time."""
    project = case.server.add_project(PROJECT)
    case.server.fail("POST /projects/:id/pipeline_schedules", Fault(hang_up=True, after=True), times=1)

    lost, found = case.run("setup"), case.run("setup")

    assert (lost.code, found.code) == (75, 0)
    assert len(schedules_of(project)) == 1


def test_one_setting_that_is_forbidden(case: Case) -> None:
    """GitLab refuses all of a request for one setting: the others are made one by one."""
    project = case.server.add_project(PROJECT)
    words = {"message": {"ci_pipeline_variables_minimum_override_role": ["is enforced by the group"]}}
    case.server.fail("PUT /projects/:id", Fault(status=400, data=words), times=2)

    ended = case.run("setup")

    assert ended.code == INCOMPLETE
    assert "is enforced by the group" in ended.err
    assert "1 thing of my-group/my-analysis could not be done" in ended.err
    assert project.attributes["ci_pipeline_variables_minimum_override_role"] == "no_one_allowed"
    assert "build_timeout" not in project.attributes


def test_a_gitlab_that_leaves_something_out(case: Case) -> None:
    """An older GitLab ignores what it does not know: a secret that it stored unmasked is an error, not a success."""
    case.server.add_project(PROJECT)
    plain = {
        "key": "IAM_CLIENT_SECRET",
        "value": SECRET,
        "masked": False,
        "protected": True,
        "variable_type": "env_var",
    }
    case.server.fail("POST /projects/:id/variables", Fault(status=201, data=plain))

    ended = case.run("setup")

    assert ended.code == INCOMPLETE
    assert "variable IAM_CLIENT_SECRET: GitLab stored it unmasked" in ended.err
    assert SECRET not in ended.text


# ── catalog ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_component_project(case: Case) -> None:
    """It gets a description and its place in the catalog once; only an owner can do that."""
    project = case.server.add_project("my-group/components", readme_url="https://gitlab.example.org/README.md")
    (case.root / ".gitlab-ci.yml").unlink()
    options = ["--project", "my-group/components", "--component-project", "--yes"]

    nameless = case.run("setup", *options, ready=False)
    options += ["--description", "Components of our group"]
    maintainer = case.run("setup", *options, ready=False)
    case.token = gitlab_server.OWNER
    owner = case.run("setup", *options, ready=False)
    again = case.run("setup", *options, ready=False)

    assert nameless.code == 0
    assert "later: catalog: the project has no description" in nameless.out
    assert maintainer.code == INCOMPLETE
    assert "the role Owner" in maintainer.err
    assert owner.code == 0, owner.text
    assert project.kept["catalog"] is True
    assert again.writes == []
    assert not variables_of(project)


# ── what GitLab has rules for ───────────────────────────────────────────────────────────────────────────────────


def test_a_hidden_variable_is_changed_without_a_word_of_masking(case: Case) -> None:
    """GitLab refuses to hear of it; a value of several lines would have to be unmasked, and is not sent at all."""
    case.run("setup")
    (project,) = case.server.projects.values()
    next(one for one in variables_of(project) if one["key"] == "IAM_CLIENT_SECRET")["protected"] = False

    changed = case.run("setup")
    (case.root / "secret.txt").write_text("-----BEGIN KEY-----\nabc\n", encoding="utf-8")
    refused = case.run("setup", "--replace", "IAM_CLIENT_SECRET")

    assert (changed.code, changed.writes) == (0, ["PUT /projects/:id/variables/:key"]), changed.text
    assert refused.code == INCOMPLETE
    assert "delete the variable there first" in refused.err
    assert refused.writes == []


def test_an_archived_project(case: Case) -> None:
    """Nothing in it can be changed, and that is said before anything is tried."""
    case.server.add_project(PROJECT, archived=True)
    for action in ("setup", "check"):
        ended = case.run(action)

        assert ended.code == 13
        assert "is archived" in ended.err
        assert ended.writes == []


def test_a_schedule_of_somebody_else(case: Case) -> None:
    """GitLab lets its owner alone change it; the message says what helps, and the rest is done."""
    project = case.server.add_project(PROJECT)
    add_schedule(project, "septum sweep", active=False, owner={"id": 9, "username": "gone"})

    ended = case.run("setup")

    assert ended.code == INCOMPLETE
    assert "take ownership in GitLab first" in ended.err
    assert len(variables_of(project)) == len(NEEDED)


def test_every_rule_that_allows_a_force_push(case: Case) -> None:
    """Two rules for one branch are both changed, in one run."""
    project = case.server.add_project(PROJECT)
    for name in ("main", "ma*"):
        gitlab_project.protect(project, "branches", name, allow_force_push=True)

    case.run("setup")
    again = case.run("setup")

    assert [rule["allow_force_push"] for rule in project.kept["protected_branches"]] == [False, False]
    assert again.writes == []


def test_a_gitlab_below_a_path(case: Case) -> None:
    """Its address is given, or that of the project, and all questions go there."""
    case.server.root = "/gitlab"
    first = case.run("setup")
    again = case.run("setup", "--project", f"{case.server.url}/{PROJECT}")

    there = {"Location": case.server.url.removesuffix("/gitlab") + "/another-service"}
    case.server.fail("GET /projects/:id", Fault(status=302, data=b"", headers=there))
    before = len(case.server.requests)
    led_away = case.run("check")

    assert (first.code, again.code, again.writes) == (0, 0, []), first.text + again.text
    assert f"{PROJECT} on {case.server.url}" in again.out
    assert "where the token does not go" in led_away.err
    assert not [one for one in case.server.requests[before:] if "another-service" in one.target]

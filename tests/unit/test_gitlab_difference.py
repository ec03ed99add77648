"""From what is there to what is wanted: pure, and the same twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.clusters.catalog import load_profile
from septum.clusters.profile import Profile, missing_keys, variable_of
from septum.credentials.choose import secret_variables
from septum.gitlab.difference import State, Step, is_open, steps
from septum.gitlab.found import Found, FoundBranch, FoundSchedule, FoundVariable, Unseen
from septum.gitlab.wanted import Schedule, Setting, Variable, Wanted, schedules_of, settings_of, variables_of

FOUND = Found(number=42, path="a/b", default_branch="main")
VARIABLE = Variable(key="TOKEN", what="a token")
SCHEDD = "SEPTUM_CLUSTER_SCHEDD"


def profile(name: str = "infn-af", **overrides: str) -> Profile:
    """A cluster."""
    return load_profile(name, environ={}, root=Path(), overrides=overrides, complete=False).profile


def step(wanted: Wanted, found: Found, subject: str) -> Step:
    """What becomes of one thing."""
    return next(one for one in steps(wanted, found) if one.subject.startswith(subject))


def there(**changes: Any) -> FoundVariable:
    """A variable as it should be, but for some things."""
    plain: dict[str, Any] = {"key": "TOKEN", "scope": "*", "is_file": False, "protected": True, "masked": True}
    return FoundVariable(**{**plain, "hidden": True, "raw": True, **changes})


# ── which variables a cluster wants ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "overrides", "keys"),
    [
        ("local", {}, []),
        ("infn-af", {}, [SCHEDD, "IAM_CLIENT_ID", "IAM_CLIENT_SECRET", "X509_PROXY?", "SEPTUM_CA"]),
        ("infn-af", {"proxy": "required"}, [SCHEDD, "IAM_CLIENT_ID", "IAM_CLIENT_SECRET", "X509_PROXY", "SEPTUM_CA"]),
        ("infn-af", {"proxy": "no", "ca-variable": ""}, [SCHEDD, "IAM_CLIENT_ID", "IAM_CLIENT_SECRET"]),
        (
            "infn-af",
            {"proxy": "required", "proxy-variable": "P_1 P_2", "ca-variable": ""},
            [SCHEDD, "IAM_CLIENT_ID", "IAM_CLIENT_SECRET", "P_1", "P_2"],
        ),
        (
            "infn-af",
            {"proxy": "required", "proxy-from": "broker", "ca-variable": "", "credentials": "broker"},
            [SCHEDD, "SEPTUM_CLUSTER_TOKEN_BROKER", "SEPTUM_CLUSTER_PROXY_BROKER"],
        ),
        (
            "infn-af",
            {"schedd": "schedd.example.org", "proxy": "no", "ca-variable": ""},
            ["IAM_CLIENT_ID", "IAM_CLIENT_SECRET"],
        ),
        ("reana-cern", {"proxy": "no"}, ["REANA_ACCESS_TOKEN"]),
        ("reana", {}, ["SEPTUM_CLUSTER_REANA_SERVER", "REANA_ACCESS_TOKEN", "X509_PROXY?"]),
        ("cern-lxbatch", {}, [SCHEDD, "KRB5_PRINCIPAL", "KRB5_KEYTAB|KRB5_PASSWORD", "X509_PROXY?"]),
    ],
)
def test_each_provider_has_its_variables(name: str, overrides: dict[str, str], keys: list[str]) -> None:
    """What GitLab makes itself, the tokens for brokers, is not stored; whatever is secret is masked and protected."""
    cluster = profile(name, **overrides)
    found = variables_of([cluster], [])

    shown = [
        variable.key + "?" * variable.optional + (f"|{variable.instead.key}" if variable.instead else "")
        for variable in found
    ]
    assert sorted(shown) == sorted(keys)
    public = {cluster.client_id_variable, cluster.principal_variable, cluster.ca_variable}
    public |= {variable_of(key) for key in missing_keys(cluster)}
    for variable in found:
        assert variable.secret == (variable.key not in public)
        assert variable.protected == (variable.key != cluster.ca_variable)
    assert {variable.key for variable in found} <= {*secret_variables(cluster), *public}


def test_a_variable_counts_for_all_clusters() -> None:
    """What it would spoil for another cluster is said where it is shown."""
    own = profile(schedd="schedd.example.org")
    found = [variables_of(them, []) for them in ([profile(), profile("local")], [profile(), profile("cern-lxbatch")])]
    alone, both = ([one.what for one in all_ if one.key == SCHEDD] for all_ in found)

    assert (len(alone), len(both)) == (1, 1)
    assert "as well" not in alone[0]
    assert "it counts for cern-lxbatch as well" in both[0]
    assert not [one for one in variables_of([own], []) if one.key == SCHEDD]


def test_what_one_of_two_clusters_needs_is_needed() -> None:
    """Each variable once, and not optional if one of the clusters insists on it."""
    found = variables_of([profile(), profile(proxy="required")], ["sweep", "analysis"])

    assert {v.key: v.optional for v in found}["X509_PROXY"] is False
    assert len({v.key for v in found}) == len(found)
    assert {v.key: v.optional for v in found}["SEPTUM_GITLAB_TOKEN"] is True


def test_the_subject_of_id_tokens_matters_to_brokers_alone() -> None:
    """Without a broker, nobody looks at it."""
    broker = profile(**{"proxy": "required", "proxy-from": "broker"})
    names = [[one.name for one in settings_of([it], timeout_s=1)] for it in (profile(), broker)]

    assert ["ci_id_token_sub_claim_components" in found for found in names] == [False, True]


def test_schedules_follow_the_components() -> None:
    """That of sweep is there if the component is; that of every night only if somebody says when."""
    assert [s.name for s in schedules_of(["sweep"], sweep="", nightly="", inputs={})] == ["septum sweep"]
    assert schedules_of(["analysis"], sweep="", nightly="", inputs={}) == ()
    both = schedules_of([], sweep="1 1 * * *", nightly="2 2 * * *", inputs={"nightly": {"a": 1}})
    assert [(s.cron, dict(s.inputs)) for s in both] == [("1 1 * * *", {}), ("2 2 * * *", {"a": 1})]


# ── what becomes of each ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("found", "state", "detail"),
    [
        ((), State.CREATE, "masked and hidden, protected"),
        ((there(),), State.KEEP, "masked and hidden, protected"),
        ((there(hidden=False),), State.KEEP, ""),
        ((there(is_file=True, masked=False, hidden=False),), State.KEEP, "file, protected"),
        ((there(protected=False),), State.CHANGE, "protected: no → yes"),
        ((there(masked=False, hidden=False),), State.CHANGE, "masked: no → yes"),
        ((there(raw=False),), State.CHANGE, "expand variable references: yes → no"),
        ((there(scope="production"),), State.CREATE, "masked and hidden, protected"),
        ((there(scope="production"), there()), State.KEEP, "masked and hidden, protected"),
        ((there(key="token"),), State.CREATE, "masked and hidden, protected"),
        (Unseen(words="HTTP 403: no"), State.UNKNOWN, "HTTP 403: no"),
    ],
)
def test_a_variable(found: tuple[FoundVariable, ...] | Unseen, state: State, detail: str) -> None:
    """Made, changed or left; a file cannot be masked, and one that is masked already cannot be hidden."""
    one = step(Wanted(project="a/b", variables=(VARIABLE,)), replace(FOUND, variables=found), "variable")

    assert one.state is state
    assert detail in one.detail
    assert (one.write is not None) == (state in {State.CREATE, State.CHANGE})
    if one.write is not None:
        assert (one.write.data["raw"], one.write.data["environment_scope"]) == (True, "*")


def test_another_variable_that_does_as_well() -> None:
    """A password in place of a keytab; a value that somebody gives chooses between them."""
    wanted = Wanted(project="a/b", variables=(replace(VARIABLE, instead=Variable(key="OTHER", what="the other")),))
    has = replace(FOUND, variables=(there(key="OTHER"),))

    assert step(wanted, has, "variable").subject == "variable OTHER"
    assert step(wanted, has, "variable").state is State.KEEP
    assert step(wanted, FOUND, "variable").subject == "variable TOKEN"
    assert step(replace(wanted, given=frozenset({"OTHER"})), FOUND, "variable").subject == "variable OTHER"


@pytest.mark.parametrize(
    ("value", "found", "state"),
    [
        (3600, {"x": 7200}, State.KEEP),
        (3600, {"x": 60}, State.CHANGE),
        (3600, {"x": True}, State.CHANGE),
        (3600, {"x": None}, State.CHANGE),
        (3600, {}, State.KEEP),
        (False, {"x": False}, State.KEEP),
        (False, {"x": True}, State.CHANGE),
    ],
)
def test_a_setting(value: object, found: dict[str, object], state: State) -> None:
    """A longer time limit is as good; what this GitLab does not have cannot differ."""
    wanted = Wanted(project="a/b", settings=(Setting(name="x", value=value, least=not isinstance(value, bool)),))

    assert step(wanted, replace(FOUND, attributes={"build_timeout": 1, **found}), "setting").state is state


def test_a_setting_that_the_token_does_not_see() -> None:
    """Of a role that is too low, nothing follows."""
    wanted = Wanted(project="a/b", settings=(Setting(name="x", value=1),))

    assert step(wanted, FOUND, "setting").state is State.UNKNOWN


@pytest.mark.parametrize(
    ("rules", "state", "note"),
    [
        ((), State.CREATE, "without, its pipelines get no protected variable"),
        ((FoundBranch(name="other", force_push=False, developers_push=False),), State.CREATE, "without"),
        ((FoundBranch(name="main", force_push=False, developers_push=False),), State.KEEP, ""),
        ((FoundBranch(name="ma*", force_push=False, developers_push=True),), State.KEEP, "Developers may push there"),
        ((FoundBranch(name="*", force_push=True, developers_push=False),), State.CHANGE, ""),
        (Unseen(words="HTTP 403"), State.UNKNOWN, ""),
    ],
)
def test_the_branch(rules: tuple[FoundBranch, ...] | Unseen, state: State, note: str) -> None:
    """An unprotected branch gets no protected variable, so it is protected; a pattern of others is as good."""
    one = step(Wanted(project="a/b"), replace(FOUND, branches=rules), "branch")

    assert one.state is state
    assert note in one.note


@pytest.mark.parametrize(
    ("changes", "exact", "data"),
    [
        ({}, False, None),
        ({"cron": "9 9 * * *"}, False, None),
        ({"cron": "9 9 * * *"}, True, {"cron": "0 1 * * *"}),
        ({"ref": "main"}, True, None),
        ({"ref": "refs/heads/old"}, True, {"ref": "refs/heads/main"}),
        ({"active": False}, True, {"active": True}),
        ({"inputs": {"a": 1, "b": 2}}, True, None),
        ({"inputs": {"a": "1"}}, True, {"inputs": [{"name": "a", "value": 1}]}),
        ({"inputs": None}, True, {"inputs": [{"name": "a", "value": 1}]}),
    ],
)
def test_a_schedule(changes: dict[str, Any], exact: object, data: dict[str, Any] | None) -> None:
    """Only what was said is changed back; a time that somebody chose in GitLab stays, unless one was given."""
    plain: dict[str, Any] = {"number": 7, "name": "s", "cron": "0 1 * * *", "ref": "refs/heads/main", "active": True}
    found = FoundSchedule(**{**plain, "inputs": {"a": 1}, **changes})
    wanted = Wanted(
        project="a/b", schedules=(Schedule(name="s", cron="0 1 * * *", exact=bool(exact), inputs={"a": 1}),)
    )
    one = step(wanted, replace(FOUND, schedules=(found,)), "schedule")

    assert (one.write.data if one.write else None) == data
    assert one.state is (State.CHANGE if data else State.KEEP)


def test_a_pattern_of_branches_is_protected_and_not_scheduled() -> None:
    """A schedule runs on the default branch then."""
    wanted = Wanted(project="a/b", branch="release/*", schedules=(Schedule(name="s", cron="0 1 * * *"),))
    branch, schedule = step(wanted, FOUND, "branch").write, step(wanted, FOUND, "schedule").write

    assert branch is not None
    assert schedule is not None
    assert branch.data["name"] == "release/*"
    assert schedule.data["ref"] == "refs/heads/main"


def test_an_empty_repository_has_no_schedule_yet() -> None:
    """GitLab knows no branch to make one for."""
    wanted = Wanted(project="a/b", schedules=(Schedule(name="s", cron="0 1 * * *"),))

    assert step(wanted, replace(FOUND, default_branch=""), "schedule").state is State.LATER


def test_hostile_words_of_gitlab_stay_on_their_line() -> None:
    """Names and settings that a server made up move no cursor and make no lines."""
    evil = "main\n  done\x1b[2J\u202e"
    found = replace(
        FOUND,
        default_branch=evil,
        attributes={"x": evil},
        variables=(there(scope=evil),),
        schedules=(FoundSchedule(number=7, name="s", cron=evil, ref=evil, active=True),),
    )
    wanted = Wanted(
        project="a/b",
        settings=(Setting(name="x", value=1),),
        variables=(VARIABLE,),
        schedules=(Schedule(name="s", cron="0 1 * * *", exact=True),),
    )

    for one in steps(wanted, found):
        assert (one.subject + one.detail + one.note).isprintable(), one


def test_a_new_project_is_all_open() -> None:
    """Everything but what GitLab's default is already is made."""
    wanted = Wanted(project="a/b", variables=(VARIABLE,), settings=(Setting(name="x", value=1),))
    planned = steps(wanted, Found())

    assert planned[0].write is not None
    assert planned[0].write.data == {"path": "b", "visibility": "private"}
    assert [one.subject for one in planned if not is_open(one)] == ["job tokens"]

"""`septum adopt` on habits of analysts: loops, here-documents, programs that submit, secrets in quotes, schedules."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from ruamel.yaml import YAML

from septum.adopting import secrets
from septum.adopting.conditions import rules_of
from septum.adopting.jobs import read_pipeline
from septum.adopting.merges import Merge, joins, merges_of
from septum.adopting.propose import propose
from septum.adopting.rows import MAIN
from septum.adopting.secrets import Secret
from septum.adopting.values import Found, Proposal, Statement, Step
from septum.errors import AdoptError
from tests.adopting.shapes import files

ACCESS = "    - export _condor_COLLECTOR_HOST=condor.example.org _condor_SCHEDD_HOST=submit.example.org\n"
PLAIN = "executable = /bin/job\narguments = $(Process)\ntransfer_output_files = out_$(Process).root\nqueue 3\n"


def of(pipeline: str, **more: str) -> Proposal:
    """What is proposed for a pipeline with the description `jobs.sub`."""
    given = {MAIN: pipeline, "jobs.sub": PLAIN, **{name.replace("_", "."): text for name, text in more.items()}}
    return propose(read_pipeline(MAIN, pipeline, given.get), name="x", cluster="", read=given.get)


@functools.cache
def shape(name: str) -> Proposal:
    """What is proposed for one of the repositories."""
    given = files(name)
    return propose(read_pipeline(MAIN, given[MAIN], given.get), name=name, cluster="", read=given.get)


def loaded(made: Proposal, path: str = MAIN) -> dict[str, Any]:
    """One of the proposed files."""
    found: dict[str, Any] = YAML(typ="safe").load(made.files[path])
    return found


def asked(made: Proposal, words: str) -> str:
    """The question with these words."""
    return next((each for each in made.questions if words in each), "")


# ── when it runs ────────────────────────────────────────────────────────────────────────────────────────────────


def test_rules_of_the_only_ci_job_become_those_of_the_pipeline() -> None:
    """GitLab refuses a file in which no CI job remains, and would on every push beside the schedule."""
    made = loaded(shape("scheduled"))

    assert made["workflow"] == {"rules": [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}]}
    assert "rules" not in made["include"][0]


def test_rules_stay_where_they_are_if_another_ci_job_stays() -> None:
    """Then the file is never empty, and the other CI job runs as before."""
    text = "run:\n  only: [schedules]\n  script:\n" + ACCESS + "    - condor_submit jobs.sub\ndocs:\n  script: [make]\n"
    made = loaded(of(text))

    assert "workflow" not in made
    assert made["include"][0]["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}]


def test_a_workflow_of_its_own_is_not_replaced() -> None:
    """Two lists of rules cannot be joined: a person has to."""
    text = (
        "workflow: {rules: [{if: $CI_COMMIT_BRANCH}]}\nrun:\n  only: [main]\n  script:\n"
        + ACCESS
        + "    - condor_submit jobs.sub\n"
    )
    made = of(text)

    assert "rules" not in loaded(made)["include"][0]
    assert loaded(made)["workflow"] == {"rules": [{"if": "$CI_COMMIT_BRANCH"}]}
    assert asked(made, "Write them under 'workflow'")


def test_except_is_a_rule_that_says_never() -> None:
    """What stands under `only` comes behind it; alone it leaves everything else in."""
    never = {"if": '$CI_PIPELINE_SOURCE == "schedule"', "when": "never"}

    assert rules_of({"except": ["schedules"]}) == ([never, {"when": "always"}], [])
    assert rules_of({"only": ["tags"], "except": ["schedules"]}) == ([never, {"if": "$CI_COMMIT_TAG"}], [])
    assert rules_of({"except": {"variables": ["$SKIP"]}}) == ([], ["'except: variables' is not taken over"])
    after = loaded(shape("programs"))["after-septum"]["rules"]
    assert after[-1] == {"if": '$CI_COMMIT_REF_PROTECTED == "true"'}, "not after a failure"


# ── the cluster ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_addresses_among_the_variables_of_the_pipeline_are_found() -> None:
    """Those of the whole pipeline count as those of the CI job do, and CONDOR_HOST is a collector."""
    for name in ("scheduled", "two-analyses"):
        assert shape(name).cluster == "site"
        assert "schedd: schedd.example.org" in shape(name).files["clusters/site.yaml"]
    assert 'collector: "cm.example.org:9618"' in shape("programs").files["clusters/site.yaml"]


def test_only_a_proxy_becomes_the_variable_of_the_proxy() -> None:
    """A certificate, its key, or a password for kinit that is decoded is none."""
    text = "run:\n  script:\n    - {}\n" + ACCESS + "    - condor_submit jobs.sub\n"

    def changed(line: str) -> dict[str, str]:
        return {each.old: each.new for each in of(text.replace("{}", line)).variables}

    assert changed("printf $proxy | base64 -d > myproxy") == {"proxy": "X509_PROXY"}
    assert changed('printf "$GRID_USERCERT" | base64 -d > usercert.pem') == {"": "X509_PROXY"}
    assert "X509_PROXY" not in changed('printf "$PASS" | base64 -d | kinit me@EXAMPLE.ORG').values()


def test_a_token_that_was_printed_is_told() -> None:
    """`echo $result` leaves tokens in the logs of all old CI jobs."""
    assert ":20 'echo $result' prints the token" in asked(shape("proof-of-concept"), "prints the token")
    assert not asked(shape("several-jobs"), "prints the token"), "a file is no log"


def test_a_submission_by_ssh_is_refused_and_named() -> None:
    """What another machine submits cannot be recorded."""
    with pytest.raises(AdoptError, match="by ssh") as raised:
        shape("ssh")

    assert "septum cluster list" in raised.value.fix


def test_a_proxy_from_a_login_node_goes() -> None:
    """`scp` of it needs the ticket that goes as well."""
    text = (
        "run:\n  script:\n    - scp me@login.example.org:~/x509 ~/x509\n    - export X509_USER_PROXY=~/x509\n"
        + ACCESS
        + "    - condor_submit jobs.sub\n"
    )
    made = of(text)

    assert "scp" not in "".join(made.files.values())
    assert [each.new for each in made.variables] == ["X509_PROXY"]


def test_a_token_of_gitlab_that_was_the_credential_is_asked_for() -> None:
    """Only the broker of proxies is an input; the profile wants a client."""
    text = (
        "run:\n  id_tokens: {ACCESS: {aud: https://wlcg.cern.ch/jwt/v1/any}}\n  script:\n    - echo $ACCESS > token\n"
        "    - export _condor_SEC_CLIENT_AUTHENTICATION_METHODS=SCITOKENS\n" + ACCESS + "    - condor_submit jobs.sub\n"
    )
    made = of(text)

    assert asked(made, "'id_tokens' of the CI job run")
    assert [each.new for each in made.variables] == ["IAM_CLIENT_ID", "IAM_CLIENT_SECRET"]


def test_a_ci_job_of_its_own_runs_what_it_inherited_once_and_without_credentials() -> None:
    """The lines of `default` that make it ready are in its script, those that let it in are gone."""
    text = (
        "default:\n  before_script: [yum install -y tools, echo $PASS | kinit me@EXAMPLE.ORG]\nrun:\n  script:\n"
        + ACCESS
        + "    - condor_submit jobs.sub\n    - hadd all.root out_*.root\n    - tools all.root\n"
    )
    after = loaded(of(text))["after-septum"]

    assert (after["before_script"], after["script"]) == ([], ["yum install -y tools", "tools all.root"])


# ── what is submitted ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_description_in_a_here_document_is_read() -> None:
    """Its outputs are known, so that nobody is asked for them."""
    made = shape("heredoc")

    assert loaded(made, "septum.yaml")["merge"] == {"all.root": {}}
    assert not asked(made, "what does each job write?")


def test_programs_of_the_repository_that_name_condor_submit_submit() -> None:
    """Python programs are read as text; those that ask the queue go with the waiting."""
    made = shape("programs")
    steps = {each.first: each.step for each in made.rows if each.file == MAIN}

    assert loaded(made, "septum.yaml")["framework"]["script"][-1].startswith("python3 submit_all.py")
    assert (steps[11], steps[12]) == (Step.SUBMIT, Step.WAIT)
    assert asked(made, "is taken to submit")
    assert asked(made, "'artifacts: reports'")


def test_a_program_that_only_mentions_it_is_none_beside_a_call() -> None:
    """The call decides: a program that writes descriptions may say what to do with them."""
    text = "run:\n  script:\n" + ACCESS + "    - python3 make.py\n    - condor_submit jobs.sub\n"
    made = of(text, make_py="print('now condor_submit jobs.sub')\npassword = getpass.getpass()\n")

    assert loaded(made, "septum.yaml")["prepare"] == ["python3 make.py"]
    assert not asked(made, "is taken to submit")
    assert not asked(made, "holds a secret"), "a call is no secret"


def test_a_comment_in_a_list_of_items_is_told() -> None:
    """HTCondor makes a job of it."""
    assert asked(shape("two-analyses"), "has a line with '#'")


# ── what is merged ──────────────────────────────────────────────────────────────────────────────────────────────


def test_each_analysis_has_the_merge_of_its_own_ci_job() -> None:
    """Two CI jobs that submit merge into two files, and each line is told with its own configuration."""
    made = shape("two-analyses")

    assert loaded(made, "septum-mc.yaml")["merge"] == {"mc.root": "mc_{Process}.root"}
    assert loaded(made, "septum-data.yaml")["merge"] == {"data.root": "data_{run}.root"}
    where = {each.first: each.where.partition(":")[0] for each in made.rows if each.step is Step.MERGE}
    assert where == {7: "septum-mc.yaml", 13: "septum-data.yaml"}


def test_variables_of_a_ci_job_that_submits_stand_in_its_own_configuration() -> None:
    """But for those of HTCondor, whose place is the profile."""
    one = (
        "  script: [condor_submit -a s=$SAMPLE jobs.sub]\n"
        "  variables:\n    SAMPLE: {}\n    _condor_SCHEDD_HOST: submit.example.org\n"
    )
    made = of("dy:\n" + one.format("DY") + "tt:\n" + one.format("TT"))

    assert loaded(made, "septum-tt.yaml")["framework"]["script"] == [
        "export SAMPLE=TT", "condor_submit -a s=$SAMPLE jobs.sub",
    ]  # fmt: skip
    where = {each.text: each.where.partition(":")[0] for each in made.rows}
    assert (where["SAMPLE: DY"], where["SAMPLE: TT"]) == ("septum-dy.yaml", "septum-tt.yaml")


def test_a_ci_job_that_joins_the_results_of_several_stays() -> None:
    """Its hadd merges what septum has merged; its needs are the last CI jobs of each."""
    made = shape("joined")
    combine = loaded(made)["combine"]

    assert combine["script"][0].startswith("hadd -f total.root")
    assert {"job": "data-2018-collect", "optional": True} in combine["needs"]
    assert loaded(made, "septum-tt-2017.yaml")["merge"] == {"TT_2017.root": {}}
    assert asked(made, "files are in result-dy-2017/, ")


def test_needs_without_files_stay_without_files() -> None:
    """`artifacts: false` is kept."""
    assert loaded(shape("quotes"))["tell"]["needs"] == [{"job": "septum-collect", "optional": True, "artifacts": False}]


def _merge(text: str) -> Found:
    statement = Statement(file=MAIN, first=1, last=1, text=text, job="run", section="script")
    return Found(statement=statement, step=Step.MERGE, rule="merge")


def test_hadd_in_a_loop_is_one_call_for_each_word() -> None:
    """Also over the words of a variable that is known; another loop is taken as it stands."""
    loop = "for s in {}; do\n  hadd -j 4 -f $s.root out_${{s}}_*.root\ndone"
    two = [Merge(target="DY.root", globs=("out_DY_*.root",)), Merge(target="TT.root", globs=("out_TT_*.root",))]

    assert merges_of([_merge(loop.format("DY TT"))], {}) == two
    assert merges_of([_merge(loop.format("$SAMPLES"))], {"SAMPLES": "DY TT"}) == two
    assert [each.target for each in merges_of([_merge(loop.format("$(ls)"))], {})] == ["$s.root"]
    whole = Merge(target="all.root", globs=("DY.root", "TT.root"))
    assert joins(whole, ["DY.root", "TT.root", "all.root"])
    assert not joins(two[0], ["DY.root", "all.root"])


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "safe"),
    [
        ("login --password 'horse-99'", 'login --password "${S}"'),
        ("login --password horse-99 now", 'login --password "${S}" now'),
        ('login "me:horse-99@x"', 'login "me:${S}@x"'),
        ("curl 'https://x/?p=horse-99&y'", "curl 'https://x/?p='\"${S}\"'&y'"),
        ("cat <<EOF\np=horse-99\nEOF", "cat <<EOF\np=${S}\nEOF"),
    ],
)
def test_a_variable_takes_the_place_of_a_secret_where_a_shell_expands_it(line: str, safe: str) -> None:
    """In single quotes, double quotes, none, and in a here-document."""
    secret = Secret(file=MAIN, line=1, name="p", kind="a password", value="horse-99")

    assert secrets.refer_in_shell(line, [secret], {"horse-99": "${S}"}) == safe


def test_secrets_of_a_vault_are_none_of_the_file() -> None:
    """The keyword `secrets` names where they are."""
    text = (
        "run:\n  secrets: {TOKEN: {vault: ops/token/value@kv}}\n  script:\n" + ACCESS + "    - condor_submit jobs.sub\n"
    )

    assert not asked(of(text), "holds a secret")
    assert asked(of(text), "'secrets' of the CI job run")


def test_a_secret_is_read_from_its_variable_in_every_line_that_is_kept() -> None:
    """Neither single quotes, nor CI jobs that stay as they are written, keep the shell from it."""
    made = shape("quotes")

    assert "python3 lists.py --password \"${SECRET_1}\" --user 'me'" in made.files["septum.yaml"]
    assert 'python3 tell.py --password "${SECRET_1}"' in made.files[MAIN]
    assert "password=${SECRET_1}\n" in made.files[MAIN]
    assert asked(made, "the command of the jobs held a secret")
    assert loaded(made, "septum.yaml")["command"][-1] == "$SECRET_1", "in braces it would be a value of the parts"
    assert asked(made, "the address of a webhook")
    everything = "".join(made.files.values()) + "".join(made.questions) + "".join(each.text for each in made.rows)
    assert "no-horse" not in everything
    assert "ab12cd34" not in everything

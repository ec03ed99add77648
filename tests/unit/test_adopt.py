"""`septum adopt` on pipelines as people write them: `tests/adopting/`, a repository in each file."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from septum.adopting import repository, show
from septum.adopting.check import checked
from septum.adopting.jobs import read_pipeline
from septum.adopting.propose import propose
from septum.adopting.repository import Checkout
from septum.adopting.rows import MAIN
from septum.adopting.values import Proposal, Row, Step
from septum.errors import AdoptError, SeptumError
from tests.adopting.shapes import files, unpack

ROOT = Path(__file__).parents[2]
_PLACE: dict[str, Path] = {}
ADOPTED = (
    "proof-of-concept", "plain", "several-jobs", "extends", "script-files", "lxbatch", "matrix", "secrets",
    "own-framework", "included", "broker", "grouped", "heredoc", "scheduled", "sample-loop", "joined", "programs",
    "two-analyses", "quotes",
)  # fmt: skip
REFUSED = {
    "dag": ("a DAG is not adopted", ".gitlab-ci.yml:3: condor_submit_dag -f analysis.dag"),
    "law": ("another batch system", ".gitlab-ci.yml:4: law run Merge"),
    "septum-already": ("includes a component of septum already", "septum/analysis@0.1"),
    "ssh": ("submits on another machine, by ssh", ".gitlab-ci.yml:18: ssh -o"),
    "no-batch": ("no CI job submits to HTCondor", "2 CI jobs"),
}
SECRETS = ("wJalrXUtnFEMIK7MDENGbPxRfiCY", "Pa55word-of-2024", "glpat-" + "a1B2c3D4e5F6g7H8i9J0")


@pytest.fixture(scope="module", autouse=True)
def _place(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the repositories are unpacked, each once."""
    _PLACE["here"] = tmp_path_factory.mktemp("adopting")


@functools.cache
def proposal(name: str, cluster: str = "") -> Proposal:
    """What is proposed for one of the folders, checked by the model and by the interpreter."""
    found = Checkout(root=unpack(name, _PLACE["here"] / name), source=MAIN)
    pipeline = read_pipeline(MAIN, repository.main_text(found), found.read)
    made = propose(pipeline, name=name, cluster=cluster, read=found.read_if_possible)
    checks, questions = checked(made, root=found.root, library=ROOT)
    return replace(made, checks=checks, questions=(*made.questions, *questions))


def config(name: str, path: str = "septum.yaml") -> dict[str, object]:
    """The proposed configuration."""
    loaded: dict[str, object] = YAML(typ="safe").load(proposal(name).files[path])
    return loaded


def ci(name: str) -> dict[str, object]:
    """The proposed pipeline."""
    loaded: dict[str, object] = YAML(typ="safe").load(proposal(name).files[MAIN])
    return loaded


def includes(name: str) -> list[dict[str, Any]]:
    """The entries of its include."""
    found: list[dict[str, Any]] = ci(name)["include"]  # type: ignore[assignment]
    return found


def inputs(name: str) -> dict[str, object]:
    """The inputs of the component."""
    return dict(includes(name)[-1]["inputs"])


def row(name: str, file: str, line: int) -> Row:
    """What is said of a line of the old pipeline."""
    return next(each for each in proposal(name).rows if each.file == file and each.first <= line <= each.last)


def asked(name: str, words: str) -> str:
    """The question with these words."""
    return next((each for each in proposal(name).questions if words in each), "")


# ── all of them ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ADOPTED)
def test_the_proposal_is_a_pipeline_with_a_configuration(name: str) -> None:
    """The model takes each configuration, and the interpreter gives CI jobs of septum."""
    made = proposal(name)

    assert any("gives " in text and "-submit" in text for text in made.checks), made.checks
    assert all(
        f"{path}: its keys and values are right" in " ".join(made.checks)
        for path in made.files
        if "septum" in path and path.endswith(".yaml")
    )


@pytest.mark.parametrize("name", ADOPTED)
def test_no_line_of_shell_is_lost(name: str) -> None:
    """Every command that is no comment stands in a row with its line: replaced, kept, or named as not understood."""
    text = files(name)[MAIN]
    told = {number for each in proposal(name).rows if each.file == MAIN for number in range(each.first, each.last + 1)}
    kept = proposal(name).files[MAIN]
    lost = [
        line
        for number, line in enumerate(text.splitlines(), 1)
        if re.match(r" +- \w*(?:condor|hadd|mkShapesRDF|curl|voms|kinit|python|xrdcp|export|printf|echo|\./)", line)
        and number not in told
        and re.split(" --password |hooks/", line)[0].strip() not in kept
    ]

    assert lost == []


@pytest.mark.parametrize("name", ADOPTED)
def test_every_place_that_is_named_exists(name: str) -> None:
    """A new place is a line of a proposed file, and the heading of a false green stands in its page."""
    page = (ROOT / show.GREENS).read_text().lower()
    made = proposal(name)
    for each in made.rows:
        if each.where:
            file, _, line = each.where.rpartition(":")
            assert made.files[file].splitlines()[int(line) - 1].strip(), each
        if each.green:
            assert f"## {each.green.replace('-', ' ')}" in page


@pytest.mark.parametrize("name", ADOPTED)
def test_it_is_the_same_for_people_and_for_programs(name: str) -> None:
    """The lines hold every file and every row, and the document is JSON."""
    made = proposal(name)
    lines = "\n".join(show.as_lines(made))
    document = json.loads(json.dumps(show.as_data(made, [])))

    assert len(document["replaces"]) == len(made.rows)
    assert all(f"proposed {path}" in lines for path in document["files"])
    assert all(f"{number}. " in lines for number in range(1, len(document["questions"]) + 1))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_adopted_is_said(name: str) -> None:
    """With the place in the old pipeline, and something to do."""
    with pytest.raises(AdoptError) as caught:
        proposal(name)
    what, evidence = REFUSED[name]

    assert what in caught.value.what
    assert evidence in caught.value.evidence
    assert caught.value.fix


# ── the proof of concept ────────────────────────────────────────────────────────────────────────────────────────


def test_the_proof_of_concept_becomes_one_include() -> None:
    """Cluster, image, stage and tags are inputs; nothing else of the old file is left."""
    assert inputs("proof-of-concept") == {
        "cluster": "infn-af",
        "image": "gitlab-registry.cern.ch/cms-analysis/general/mkshapesrdf:master",
        "stage": "run",
        "tags": ["k8s-cvmfs"],
        "expire-in": "1 day",
    }
    assert set(ci("proof-of-concept")) == {"include", "stages"}
    assert config("proof-of-concept") == {"name": "proof-of-concept"}


@pytest.mark.parametrize(
    ("file", "line", "step", "becomes", "why"),
    [
        (MAIN, 5, Step.KEYWORD, "input 'image'", "one image"),
        (MAIN, 16, Step.CALLS, "its lines", "was read, and not run"),
        (MAIN, 18, Step.PROXY, "X509_PROXY", "strictly"),
        (MAIN, 20, Step.PROXY, "X509_PROXY", "ends with 0 for an expired proxy"),
        (MAIN, 22, Step.COMPILE, "the component mkshapesrdf", "stops if nothing was compiled"),
        (MAIN, 23, Step.SUBMIT, "the component mkshapesrdf", "exit code counts"),
        (MAIN, 24, Step.WAIT, "collect", "'not in the queue' is not success"),
        (MAIN, 25, Step.MERGE, "mkShapesRDF -o 2", "envelopes"),
        (".gitlab/init_infn_AF_token.sh", 8, Step.TOKEN, "IAM_CLIENT_ID", "curl without --fail"),
        (".gitlab/init_infn_AF_token.sh", 15, Step.TOKEN, "IAM_CLIENT_ID", ""),
        (".gitlab/init_infn_AF_token.sh", 27, Step.CONDOR, "the profile infn-af", "chosen, not edited"),
    ],
)
def test_each_step_of_the_proof_of_concept(file: str, line: int, step: Step, becomes: str, why: str) -> None:
    """By file and line: what it was for, what takes its place, and why."""
    found = row("proof-of-concept", file, line)

    assert found.step is step
    assert becomes in found.becomes
    assert why in found.why


def test_what_was_wrong_in_it_is_asked() -> None:
    """The typo in the scope, the addresses of before, the image that moves; and the variable is called otherwise."""
    assert "should be 'wlcg'" in asked("proof-of-concept", "'wlg'")
    assert "SEPTUM_CLUSTER_SCHEDD" in asked("proof-of-concept", "before April 2024")
    assert asked("proof-of-concept", "can change while jobs run")
    changes = {(each.old, each.new) for each in proposal("proof-of-concept").variables}
    assert changes >= {("proxy", "X509_PROXY"), ("IAM_CLIENT_SECRET", "IAM_CLIENT_SECRET"), ("", "SEPTUM_CA")}


# ── other shapes ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plain_description_becomes_a_command_and_a_list() -> None:
    """With its outputs, resources, retries and merge; the plan exists already."""
    found = config("plain")

    assert found["command"] == ["sh", "run.sh", "{sample}", "{seed}", "hists_{sample}_{seed}.root"]
    assert found["parts"] == {
        "list": [{"sample": "DY", "seed": 1}, {"sample": "DY", "seed": 2}, {"sample": "ttbar", "seed": 1}]
    }
    assert found["inputs"] == ["run.sh", "analyse.py", "cuts.json"]
    assert found["merge"] == {"all.root": "hists_{sample}_{seed}.root"}
    assert (found["resources"], found["retries"]) == ({"memory": "2 GB", "time": "120 min"}, 3)
    assert "it gives 3 parts" in " ".join(proposal("plain").checks)
    assert "HTCondor ignores it" in row("plain", "jobs.sub", 14).why


def test_ci_jobs_that_have_no_part_in_it_stay_as_they_are() -> None:
    """To the last character, with the comment above the stages; conditions go to the include."""
    old = files("plain")[MAIN]
    lint = old[old.index("lint:") : old.index("histograms:")].rstrip()

    assert lint in proposal("plain").files[MAIN]
    assert proposal("plain").kept == ("lint",)
    assert includes("plain")[0]["rules"] == [{"if": '$CI_COMMIT_REF_NAME == "main"'}, {"if": "$CI_COMMIT_TAG"}]


def test_an_unknown_pool_gets_a_profile() -> None:
    """Of the addresses and the issuer that stand in the old lines; what is missing is said."""
    text = proposal("several-jobs").files["clusters/site.yaml"]

    assert 'collector: "condor.example.org:9618"' in text
    assert "schedd: submit.example.org" in text
    assert "clusters/site.yaml: a complete profile" in proposal("several-jobs").checks
    assert "clusters/site.yaml: still needs issuer" in proposal("plain").checks


def test_several_ci_jobs_become_one_run() -> None:
    """What ran up to the submission is the script, what came after the merge a CI job, and others need septum's."""
    assert config("several-jobs")["framework"] == {
        "script": ["./framework compile", "cd work", "condor_submit -spool -terse all.jdl > cluster.txt"]
    }
    found = ci("several-jobs")
    assert set(found) == {"include", "stages", "default", "unit-tests", "plot", "after-septum"}
    # On a branch without credentials septum's are not there, and the pipeline is still one.
    needs = [{"job": name, "optional": True} for name in ("septum-collect", "after-septum")]
    assert found["plot"] == {"stage": "plot", "needs": needs, "script": ["python3 plot.py emu.root"]}
    after = found["after-septum"]
    assert isinstance(after, dict)
    assert (after["stage"], after["script"]) == ("merge", ["python3 make_datacards.py emu.root"])
    assert after["artifacts"] == {"paths": ["datacards/"]}
    assert after["rules"] == [{"if": '$CI_COMMIT_REF_PROTECTED == "true"'}]


def test_anchors_extends_and_references_are_followed() -> None:
    """Lines are told where they stand, and only the hidden entry that is still used is left."""
    found = proposal("extends")

    assert row("extends", MAIN, 15).step is Step.WAIT
    assert "condor_submit jobs_$YEAR.sub" in found.files[".gitlab/before-septum.sh"]
    assert "set -eo pipefail" in found.files[".gitlab/before-septum.sh"]
    assert set(ci("extends")) == {"include", "variables", ".cms", "docs"}
    assert ci("extends")["variables"] == {
        "YEAR": "2018",
        "SEPTUM_CLUSTER_SCHEDD": "schedd.infn.it",
        "SEPTUM_CLUSTER_COLLECTOR": "collector.infn.it:30618",
    }
    assert asked("extends", "when: manual")


def test_scripts_of_the_repository_are_read() -> None:
    """With their arguments, their functions and the scripts that they call themselves."""
    assert config("script-files")["framework"] == {
        "script": [
            "chmod +x ci/run.sh",
            "set -- emu",
            "channel=$1",
            "submit() {\n  python3 lists.py --channel $channel\n  condor_submit jobs.sub\n}",
            "submit",
        ]
    }
    assert row("script-files", "ci/token.sh", 1).step is Step.TOKEN
    assert row("script-files", "ci/run.sh", 13).becomes == "kept: CI job after-septum"


def test_kerberos_becomes_the_profile_of_lxbatch() -> None:
    """A keytab instead of a password; the output is the file that the job's script copied away."""
    assert inputs("lxbatch")["cluster"] == "cern-lxbatch"
    assert config("lxbatch")["outputs"] == ["out.root"]
    assert config("lxbatch")["publish"] == {"to": "root://eosuser.cern.ch//eos/user/s/someone/{run}"}
    assert row("lxbatch", MAIN, 13).becomes == "publish"
    assert {(each.old, each.new) for each in proposal("lxbatch").variables} == {
        ("", "KRB5_PRINCIPAL"),
        ("KRB_PASSWORD", "KRB5_KEYTAB"),
    }


def test_each_row_of_a_matrix_is_a_run_of_its_own() -> None:
    """With a configuration, a prefix and a result each, and the row's variables in its script."""
    assert [entry["inputs"]["job-prefix"] for entry in includes("matrix")] == ["run-2017-emu-", "run-2018-emu-"]
    framework = config("matrix", "septum-run-2018-emu.yaml")["framework"]
    assert isinstance(framework, dict)
    assert framework["script"][:2] == ["export YEAR=2018", "export CHANNEL=emu"]
    assert config("matrix", "septum-run-2017-emu.yaml")["merge"] == {"2017.root": {}}


def test_secrets_are_named_by_line_and_never_repeated() -> None:
    """Neither in what is shown nor in what is proposed; a line that is kept reads a variable."""
    found = proposal("secrets")
    everything = (
        json.dumps(show.as_data(found, [])) + "\n".join(show.as_lines(found)) + "\n".join(show.as_diff(found, ""))
    )

    assert [secret for secret in SECRETS if secret in everything] == []
    for line in (3, 10, 11):
        assert "when-a-secret-has-leaked.md" in asked("secrets", f"{MAIN}:{line} holds a secret")
    assert ci("secrets")["variables"] == {"IAM_CLIENT_ID": "5d2f-client", "MODE": "fast"}
    assert '--password "${SECRET_1}"' in found.files[MAIN]


def test_a_program_that_submits_by_itself_is_presumed_and_asked() -> None:
    """The last program before the waiting; its own merge is kept beside, with the page that says how to run it."""
    assert row("own-framework", MAIN, 7).becomes == "kept: CI job after-septum"
    assert config("own-framework")["framework"] == {"script": ["./framework compile", "./framework submit"]}
    assert asked("own-framework", "'./framework submit' is taken to submit")
    assert asked("own-framework", "merge-with-the-frameworks-command.md")
    assert asked("own-framework", "what does each job write?")


def test_an_included_file_is_taken_over_with_its_ci_job() -> None:
    """The include of it goes, or the old CI job would be there again; those of other projects stay."""
    assert [next(iter(entry)) for entry in includes("included")] == ["project", "component"]
    assert row("included", "ci/batch.yml", 4).step is Step.SUBMIT
    assert asked("included", "without what is included from elsewhere")


def test_the_broker_of_cat_stays_the_broker() -> None:
    """The audience is an input, the address a variable; loops with several purposes are left to a person."""
    assert inputs("broker")["proxy-audience"] == "cms-cat-grid-proxy-service.app.cern.ch"
    variables = ci("broker")["variables"]
    assert isinstance(variables, dict)
    assert variables["SEPTUM_CLUSTER_PROXY_FROM"] == "broker"
    assert inputs("broker")["folder"] == "Full2018"
    assert variables["STARTPATH"] == "/code/start.sh"
    assert asked("broker", "'source /code/start.sh' sets something up")
    assert row("broker", MAIN, 21).becomes == ""
    assert asked("broker", f"{MAIN}:21")


def test_one_file_for_each_sample_is_grouped() -> None:
    """Several calls of hadd over the outputs of one description: one result for each value, and a question."""
    assert config("grouped")["merge"] == {"{sample}.root": "hists.root"}
    assert asked("grouped", "DY.root, WW.root")


def test_a_cluster_can_be_named() -> None:
    """Then no address of the old lines is taken over."""
    assert proposal("plain", "infn-af").cluster == "infn-af"
    assert "clusters/site.yaml" not in proposal("plain", "infn-af").files


def test_an_installation_without_a_checkout_checks_as_well() -> None:
    """The components are those that are installed."""
    here = checked(proposal("plain"), root=_PLACE["here"] / "plain", library=None)

    assert here == checked(proposal("plain"), root=_PLACE["here"] / "plain", library=ROOT)


def test_errors_of_the_family() -> None:
    """What adopt raises is an error like all others: a code, an exit code, an entry in the reference."""
    assert issubclass(AdoptError, SeptumError)
    assert (AdoptError.code, AdoptError.exit_code) == ("E015", 2)

"""`septum plan`: where, how long, with which credentials and at what cost; it writes nothing and tells no secret."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.cli import main
from septum.cli.last import _of_artifact
from septum.manifest import NAME, Manifest, PartFacts, PartOutput, to_json
from septum.rehearsing.standin import SCHEDD
from tests.fakes.analyses import seeds
from tests.fakes.gitlab_api import PROJECT_TOKEN, Job, Pipeline, serving, write_result, zipped
from tests.fakes.rootfiles import H

_IAM = "IAM_CLIENT_ID", "IAM_CLIENT_SECRET"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An analysis of twenty parts, as the working folder; nothing of septum or GitLab is in the environment."""
    (tmp_path / "septum.yaml").write_text(seeds(20))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("SEPTUM_", "CI_", "IAM_", "X509_", "REANA_"))]:
        monkeypatch.delenv(name)
    return tmp_path


def _shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["plan", *words]) == 0
    return " ".join(capsys.readouterr().out.split())


def _document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["plan", "--json", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _ran(folder: Path, *, cluster: str = "infn-af", parts: int = 10) -> Manifest:
    """A result folder of a run whose parts ran for a minute, two at a time, after ten seconds in the queue."""
    facts = tuple(
        PartFacts(
            id=f"{number:04}", values={}, fingerprint="", state="merged", attempts=1,
            submitted_s=100.0 + 60 * (number // 2), started_s=110.0 + 60 * (number // 2),
            ended_s=170.0 + 60 * (number // 2), memory_b=1 << 30,
            outputs=(PartOutput(path="h.root", size_b=1 << 20, sha256=""),),
        )
        for number in range(parts)
    )  # fmt: skip
    objects = {"h": H(cells=[0, 1, 0])}
    made = write_result(folder, objects, name="h.root", parts=parts, cluster=cluster, began_s=90.0, ended_s=500.0)
    manifest = replace(made, parts=facts)
    (folder / NAME).write_text(to_json(manifest))
    return manifest


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ── where, and at what cost ─────────────────────────────────────────────────────────────────────────────────────


def test_on_a_cluster(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The schedd, what the profile lacks, the image as the workers name it, core hours, the spool."""
    shown = _shown(capsys, "--cluster", "infn-af", "--image", "registry.example.org/group/name:v1")

    assert "cluster infn-af: INFN Analysis Facility" in shown
    assert "not known schedd (set SEPTUM_CLUSTER_SCHEDD)" in shown
    assert "image registry.example.org/group/name:v1" in shown
    assert "there: /cvmfs/unpacked.cern.ch/registry.example.org/group/name:v1" in shown
    assert "core hours 60 at most" in shown
    assert "spool 0 B at most on the schedd" in shown
    assert "by the last run nothing is known yet" in shown


def test_on_reana(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The server, the compute backend, the image by its name, the variable with the token, the space that it takes."""
    words = ("--cluster", "reana-cern", "--image", "registry.example.org/group/name:v1")
    shown = _shown(capsys, *words)
    where = _document(capsys, *words)["where"]

    assert "REANA reana.cern.ch, as the steps of a workflow on kubernetes" in shown
    assert "there: registry.example.org/group/name:v1" in shown
    assert "REANA_ACCESS_TOKEN not set: the access token of REANA" in shown
    assert "sent 0 B to REANA, in 1 workflow" in shown
    assert "at most in workspaces on REANA" in shown
    assert (where["method"], where["schedd"], where["compute_backend"]) == ("reana", "reana.cern.ch", "kubernetes")


def test_an_unknown_cluster_is_an_error(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is submitted to it."""
    assert main(["plan", "--cluster", "atlantis"]) == 2
    assert "there is no cluster 'atlantis'" in capsys.readouterr().err


def test_more_hours_than_septum_yaml_allows(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What submit would refuse is seen here."""
    (repository / "septum.yaml").write_text(seeds(20, more="limits: {cpu-hours: 5}\n"))

    assert "core hours 60 at most; septum.yaml allows 5: more, and submit will refuse it" in _shown(capsys)


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_credentials_are_told_by_their_names(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which are set, and never what is in them."""
    monkeypatch.setenv("IAM_CLIENT_ID", "the-name-of-a-client")
    monkeypatch.setenv("IAM_CLIENT_SECRET", "  ")
    told = _document(capsys, "--cluster", "infn-af")
    shown = _shown(capsys, "--cluster", "infn-af")

    assert [(item["variable"], item["set"]) for item in told["credentials"]] == [(_IAM[0], True), (_IAM[1], False)]
    assert "IAM_CLIENT_ID set: the id of the IAM client" in shown
    assert "IAM_CLIENT_SECRET not set" in shown
    assert "must live 4 h 00 min" in shown
    assert "the-name-of-a-client" not in shown + json.dumps(told)


def test_this_machine_asks_for_none(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And septum says that, too."""
    assert "credentials none the cluster asks for no credential" in _shown(capsys)


# ── by the last run ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_result_folder_tells_how_long(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the figures of the run that wrote it, with how many they are; and the artifact against its limit."""
    _ran(repository / "result")
    shown = _shown(capsys, "--cluster", "infn-af")

    assert "run result/septum.json: 10 parts on infn-af, 6 min 50 s in all" in shown
    assert "0 of 20 parts compute the same as then" in shown
    assert "runs 1 min 00 s (of 10)" in shown
    assert "waits 10 s (of 10)" in shown
    assert "takes 1.0 GB (of 10) of memory" in shown
    assert "core hours about 0.33" in shown
    assert "how long 10 min 10 s from the first part to the last, if 2 run at a time as then" in shown
    assert "all else took 1 min 40 s then" in shown
    assert "back about 20.0 MB of outputs" in shown
    assert "the artifact limit is 100.0 MB (GitLab's default)" in shown


def test_a_run_elsewhere_tells_no_queue(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How long a part ran is said with where; how long all takes is not."""
    _ran(repository / "result", cluster="local")
    shown = _shown(capsys, "--cluster", "infn-af")

    assert "measured on local" in shown
    assert "runs 1 min 00 s" in shown
    assert "waits" not in shown
    assert "how long" not in shown


def test_a_rehearsal_is_not_the_cluster(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its pool stood in for the cluster of that name, on a laptop: of queues and slots it says nothing."""
    manifest = _ran(repository / "result", cluster="infn-af")
    (repository / "result" / NAME).write_text(to_json(replace(manifest, schedd=SCHEDD)))
    shown = _shown(capsys, "--cluster", "infn-af")

    assert "10 parts in a rehearsal of infn-af" in shown
    assert "a rehearsal is on one machine" in shown
    assert "runs 1 min 00 s" in shown
    assert "waits" not in shown
    assert "how long" not in shown
    assert "measured on infn-af" not in _shown(capsys)


def test_what_did_not_deliver_is_said(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The time that failed parts took comes on top of what is foretold; another analysis is called by its name."""
    manifest = _ran(repository / "old", parts=4)
    parts = (*manifest.parts, replace(manifest.parts[0], id="0004", state="failed"))
    (repository / "old" / NAME).write_text(to_json(replace(manifest, parts=parts, name="other", complete=False)))
    shown = _shown(capsys, "--last", "old")

    assert "4 parts on infn-af" in shown
    assert "1 more did not deliver" in shown
    assert "of another analysis: other" in shown


def test_a_run_of_which_nothing_came_tells_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is an error for a run that was named, and a word on the one that was found."""
    manifest = _ran(repository / "result", parts=2)
    failed = tuple(replace(part, state="failed") for part in manifest.parts)
    (repository / "result" / NAME).write_text(to_json(replace(manifest, parts=failed)))

    assert "nothing is known yet (the run in result tells nothing: none of its 2 parts delivered)" in _shown(capsys)
    assert main(["plan", "--last", "result"]) == 2


def test_a_framework_that_has_not_run(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its parts are not known, so there is no plan; what is known is shown, and what to do."""
    (repository / "septum.yaml").write_text("name: shapes\nframework: {known: mkshapesrdf}\n")
    _ran(repository / "result")

    assert main(["plan", "--cluster", "infn-af"]) == 2
    shown = capsys.readouterr()
    assert "shapes: its parts are not known yet" in shown.out
    assert "mkShapesRDF -o 0 -b 1" in shown.out
    assert "IAM_CLIENT_ID" in shown.out
    assert "runs 1 min 00 s (of 10)" in " ".join(shown.out.split())
    assert "Fix: septum prepare" in shown.err

    assert main(["plan", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["plan"], told["hash"], told["error"]["code"]) == (None, None, "E003")
    assert (told["forecast"]["asked"], told["forecast"]["expected"]["same"]) == (None, None)


def test_a_framework_that_is_not_installed(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its script is septum's own: there are no lines in septum.yaml to correct."""
    (repository / "septum.yaml").write_text("name: shapes\nframework: {known: mkshapesrdf}\n")

    assert main(["prepare"]) == 3
    assert "Fix: install mkShapesRDF here" in capsys.readouterr().err


def test_a_framework_that_has_run(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is that of the jobs which it submitted last."""
    script = ["printf 'executable=/bin/true\\narguments=$(Process)\\nqueue 3\\n' > s && condor_submit s"]
    described = {"framework": {"script": script}, "outputs": ["h.root"], "merge": {"h.root": "h.root"}}
    (repository / "septum.yaml").write_text(json.dumps({"name": "shapes", **described}))
    assert main(["prepare"]) == 0
    capsys.readouterr()
    before = _tree(repository)

    assert "shapes: 3 parts" in _shown(capsys)
    assert len(_document(capsys, "--parts", "2")["plan"]["parts"]) == 2
    assert _tree(repository) == before


def test_another_folder_can_be_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or its manifest, or none at all."""
    _ran(repository / "result", parts=4)
    _ran(repository / "old", parts=6)

    for name in ("old", "old/septum.json"):
        last = _document(capsys, "--last", name)["forecast"]["last"]
        assert last == {**last, "source": "old/septum.json", "parts": 6}
    assert _document(capsys, "--last", "none")["forecast"]["last"] is None


@pytest.mark.parametrize("content", ["", "{}", "[]", "x" * 1000, '{"format": 99}', "\x00", "[" * 100000])
def test_a_named_run_that_cannot_be_read_is_an_error(
    repository: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """One that was only found is passed over, with a word on it."""
    (repository / "result").mkdir()
    (repository / "result/septum.json").write_text(content)

    assert main(["plan", "--last", "result"]) == 2
    assert "Fix: " in capsys.readouterr().err
    assert "nothing is known yet (manifest: result/septum.json" in _shown(capsys)


@pytest.mark.parametrize("name", ["nothing", "septum.yaml/x", "pipeline", "/dev/zero", "septum.yaml\0x"])
def test_a_named_run_that_is_not_there_is_an_error(
    repository: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """With what to name instead."""
    assert main(["plan", "--last", name]) == 2
    assert "Fix: name " in capsys.readouterr().err


def test_text_of_a_manifest_moves_no_cursor(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever wrote it."""
    manifest = _ran(repository / "result")
    (repository / "result/septum.json").write_text(to_json(replace(manifest, cluster="\x1b[2J\nelsewhere")))
    assert main(["plan"]) == 0

    assert "\x1b" not in capsys.readouterr().out


def test_a_plan_writes_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even into a state folder of which it reads the ledger."""
    assert main(["prepare"]) == main(["submit"]) == 0
    before = _tree(repository)

    assert "nothing is known yet" in _shown(capsys)
    assert _tree(repository) == before


# ── the last good pipeline ──────────────────────────────────────────────────────────────────────────────────────


def test_the_last_good_pipeline_tells(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where GitLab can be asked, by the artifact of collect; its token is not in what is printed."""
    _ran(tmp_path / "made")
    archive = zipped(tmp_path / "made")
    with serving() as fake:
        fake.pipelines = [Pipeline(id=900, jobs=(Job(id=1, archive=archive),))]
        monkeypatch.setenv("CI_SERVER_URL", fake.url)
        monkeypatch.setenv("CI_PROJECT_ID", "42")
        monkeypatch.setenv("SEPTUM_GITLAB_TOKEN", PROJECT_TOKEN)
        shown = _shown(capsys, "--last", "pipeline")
    assert "run pipeline 900 of main: 10 parts on infn-af" in shown
    assert PROJECT_TOKEN not in shown


def test_a_gitlab_that_does_not_answer_is_a_note(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan needs none; whoever asks for the pipeline is told why not."""
    with serving() as fake:
        fake.pipelines = []
        monkeypatch.setenv("CI_SERVER_URL", fake.url)
        monkeypatch.setenv("CI_PROJECT_ID", "42")
        monkeypatch.setenv("SEPTUM_GITLAB_TOKEN", "glpat-a-token-that-is-no-good")
        shown = _shown(capsys)
        code = main(["plan", "--last", "pipeline"])

    assert "nothing is known yet (" in shown
    assert code == 2
    assert "Fix: name a result folder" in capsys.readouterr().err


def test_an_artifact_without_a_run_tells_nothing(tmp_path: Path) -> None:
    """Neither one of another tool, nor an empty one."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("result/other.txt", "x")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert _of_artifact(archive, folder="result", name="pipeline 1") is None

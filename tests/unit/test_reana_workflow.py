"""What a run becomes on REANA, and what the names of files say of its parts: values in, values out."""

from __future__ import annotations

import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.backends.base import JobReport
from septum.backends.reana.mending import MAX_LOST, blame
from septum.backends.reana.model import Job, Logs, RemoteFile, Workflow
from septum.backends.reana.reading import Facts, Said, Seen, read_facts, read_said, report, said_names
from septum.backends.reana.rules import Shape, Step, command_of, shape_of, snakefile, specification
from septum.backends.reana.sending import freight, unpack
from septum.backends.reana.workflow import (
    PARTS_PER_ARCHIVE,
    Offer,
    archives,
    image_of,
    lease_text,
    name_of,
    parts_in,
    prefix_of,
    ranges,
    resources_of,
)
from septum.clusters.profile import Profile
from septum.errors import ClusterFailedError, ImageNameError, SubmitRefusedError
from septum.plan import InputFile, Part, Plan
from septum.policy import judge
from septum.state import State
from septum.states import JobState
from tests.fakes.analyses import plan_of, seeds

IMAGE = "docker.io/library/python:3.12"
DIGEST = "sha256:" + "a" * 64
TAG = "gitlab.example.org/1/2/-/abc"


def profile_of(**values: Any) -> Profile:
    """A REANA server."""
    found = {"name": "r", "method": "reana", "reana_server": "https://reana.example.org", "credentials": "access-token"}
    return Profile(**{**found, **values})


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Three parts in an image, with every kind of request."""
    resources = "{cpus: 1, memory: 1.5 GB, memory-retries: [3 GB], time: 90 min}"
    return plan_of(
        seeds(3, more=f"name: My.Analysis\nimage: '{IMAGE}'\nresources: {resources}\nretries: 2\n"), tmp_path
    )


def shape(plan: Plan, profile: Profile, **values: Any) -> Shape:
    """What its steps share."""
    resources = resources_of(plan, profile, Offer(), memory_b=None, unpacked=False, proxy=False)
    found = shape_of(plan, profile, image=IMAGE, resources=resources, program="aa-step.sh", shared=["bb-wrapper"])
    return replace(found, **values)


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_submission_has_the_same_name_and_another_has_another() -> None:
    """So a repeated CI job finds what it has made."""
    name = name_of("My Analysis", TAG, ["0000", "0001"], 1)

    assert name == name_of("My Analysis", TAG, ["0000", "0001"], 1)
    others = {
        name_of("My Analysis", TAG, ["0000"], 1),
        name_of("My Analysis", TAG, ["0000", "0001"], 2),
        name_of("My Analysis", TAG + "x", ["0000", "0001"], 1),
    }
    assert name not in others
    assert len(others) == 3


@pytest.mark.parametrize("name", ["My Analysis", "a.b/c:d", "ü", "", "x" * 300, "-.-", "A'B\"{c}"])
def test_a_name_is_one_that_reana_takes(name: str) -> None:
    """It has no point, which parts the name from the number of the run."""
    found = name_of(name, TAG, ["0000"], 1)

    assert re.fullmatch(r"septum-[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{12}-[0-9a-f]{8}", found)
    assert found.startswith(prefix_of(name, TAG))
    assert len(found) <= 64


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], ""),
        (["0000"], "0000"),
        (["0000", "0001", "0002", "0004"], "0000-0002,0004"),
        (["0010", "0009"], "0009-0010"),
        (["00099", "00100"], "00099-00100"),
    ],
)
def test_ids_of_parts_are_written_as_ranges_and_read_back(parts: list[str], text: str) -> None:
    """They stand in the parameters of the workflow."""
    assert ranges(parts) == text
    assert parts_in(text) == sorted(parts)


def test_twenty_thousand_parts_are_a_short_text() -> None:
    """And the same ones."""
    parts = [f"{number:05d}" for number in range(20_000)]

    assert ranges(parts) == "00000-19999"
    assert parts_in(ranges(parts)) == parts


def test_a_lease_has_a_word_behind_it() -> None:
    """Or half of one that is being written would be long over."""
    assert lease_text(1000.2) == b"1001 end\n"


# ── what goes there ─────────────────────────────────────────────────────────────────────────────────────────────


def _part(number: int, size_b: int = 0) -> Part:
    inputs = (InputFile(path="x", size_b=size_b, sha256="0", executable=False),) if size_b else ()
    return Part(id=f"{number:05d}", index=number, values=(), inputs=inputs, fingerprint="")


def test_twenty_thousand_parts_travel_in_few_archives() -> None:
    """Of up to some hundred parts each, in order."""
    parts = [_part(number) for number in range(20_000)]

    found = archives(parts)

    assert len(found) == 20_000 / PARTS_PER_ARCHIVE
    assert [part for group in found for part in group] == parts


def test_parts_with_large_inputs_do_not_share_an_archive() -> None:
    """Every step reads over those of the others."""
    found = archives([_part(0), _part(1, 60 << 20), _part(2, 60 << 20), _part(3, 1 << 10)])

    assert [[part.index for part in group] for group in found] == [[0, 1], [2, 3]]


def test_the_same_parts_are_packed_to_the_same_bytes(tmp_path: Path) -> None:
    """The name of what is sent is its content: so an interrupted sending goes on with what is missing."""
    (tmp_path / "own.txt").write_text("x")
    text = "command: [run]\noutputs: [h.txt]\nparts: {product: {seed: [1, 2]}}\ninputs: [own.txt]\n"
    plan = plan_of(text, tmp_path)
    state = State(tmp_path / "state")
    state.store_plan(plan, lambda file: tmp_path / file.path)
    state.write_values(plan, image="")

    first = freight(plan, plan.parts, state.folder / "send", tmp_path / "a")
    again = freight(plan, plan.parts, state.folder / "send", tmp_path / "b")

    assert [sent.path for sent in first.all] == [sent.path for sent in again.all]
    assert {sent.path.rpartition("/")[0] for sent in first.all} == {"septum/send"}
    assert len(first.all) == 4
    assert all(re.match(r"[0-9a-f]{16}-", sent.name) for sent in first.all)
    with tarfile.open(first.own[0].data if isinstance(first.own[0].data, Path) else "") as archive:
        assert archive.getnames() == ["septum-0000.part", "septum-0001.part"]


def test_a_snakefile_has_one_rule_a_part_and_nothing_that_a_user_wrote(plan: Plan) -> None:
    """Only ids, hashes, numbers, and the image."""
    steps = [Step(part=part.id, archive="cc-parts-0.tar", has_inputs=False) for part in plan.parts]

    text = snakefile(shape(plan, profile_of()), steps)

    assert re.findall(r"^rule (\w+):", text, re.MULTILINE) == ["all", "part_0000", "part_0001", "part_0002"]
    assert (
        'rule part_0001:\n    output: "septum/state/0001.ended"\n'
        f'    container: "docker://{IMAGE}"\n'
        '    resources: compute_backend="kubernetes", kubernetes_job_timeout=17100, kubernetes_memory_limit="1536Mi"\n'
        '    shell: "sh septum/send/aa-step.sh 0001 3 5400 pod 15 cc-parts-0.tar none bb-wrapper"\n'
    ) in text
    assert "{" not in text


@pytest.mark.parametrize("image", ['a"b', "a{b}", "a\nb", "a b", "a'b", "a\\b", "$(a)", "a`b", "ü", "a;b"])
def test_what_snakemake_or_a_shell_would_read_something_into_is_refused(plan: Plan, image: str) -> None:
    """Whatever let it come so far."""
    step = Step(part="0000", archive="cc", has_inputs=False)

    with pytest.raises(SubmitRefusedError):
        snakefile(shape(plan, profile_of(), image=image), [step])
    with pytest.raises(SubmitRefusedError):
        command_of(shape(plan, profile_of()), replace(step, archive=image))


def test_a_specification_says_whose_run_it_is_and_of_which_parts(plan: Plan) -> None:
    """And names the compute backend, which the server looks at."""
    profile = profile_of(reana_cvmfs=["cms.cern.ch"], reana_kerberos=True)
    steps = [Step(part=part.id, archive="cc", has_inputs=False) for part in plan.parts]

    found = specification(
        shape(plan, profile), profile, steps, snakefile_path="septum/send/dd-Snakefile", tag=TAG, number=2
    )

    assert found["inputs"]["parameters"] == {"septum_run": TAG, "septum_number": 2, "septum_parts": "0000-0002"}
    assert found["workflow"]["type"] == "snakemake"
    assert found["workflow"]["file"] == "septum/send/dd-Snakefile"
    assert found["workflow"]["resources"] == {"cvmfs": ["cms.cern.ch"], "kerberos": True}
    assert [step["compute_backend"] for step in found["workflow"]["specification"]["steps"]] == ["kubernetes"]


@pytest.mark.parametrize(
    ("backend", "more", "wanted"),
    [
        ("kubernetes", {}, {"kubernetes_memory_limit": "1536Mi", "kubernetes_job_timeout": 17100}),
        ("htcondorcern", {}, {"htcondor_max_runtime": "17100"}),
        ("htcondorcern", {"reana_htcondor_max_runtime": "workday"}, {"htcondor_max_runtime": "workday"}),
        ("slurmcern", {"reana_slurm_partition": "short"}, {"slurm_time": "285", "slurm_partition": "short"}),
        ("slurmcern", {"reana_kerberos": True}, {"slurm_time": "285", "kerberos": True}),
    ],
)
def test_each_compute_backend_is_asked_in_its_own_words(
    plan: Plan, backend: str, more: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """For all tries together, and some more."""
    profile = profile_of(reana_compute_backend=backend, **more)

    found = resources_of(plan, profile, Offer(), memory_b=None, unpacked=False, proxy=False)

    assert found == {"compute_backend": backend, **wanted}


def test_a_new_job_with_more_memory_asks_for_it(plan: Plan) -> None:
    """And a proxy, and an unpacked image, are asked for where there are some."""
    found = resources_of(plan, profile_of(), Offer(), memory_b=3_000_000_000, unpacked=True, proxy=True)

    assert found["kubernetes_memory_limit"] == "2862Mi"
    assert (found["unpacked_img"], found["voms_proxy"]) == (True, True)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"kubernetes_max_memory_limit": "1Gi"}, "of memory"),
        ({"maximum_kubernetes_jobs_timeout": "3600"}, "of time"),
    ],
)
def test_what_the_server_does_not_give_is_refused_before_anything_is_made(
    plan: Plan, info: dict[str, Any], words: str
) -> None:
    """With both numbers."""
    with pytest.raises(SubmitRefusedError, match=words):
        resources_of(plan, profile_of(), Offer.read(info), memory_b=None, unpacked=False, proxy=False)


def test_an_offer_that_says_nothing_limits_nothing() -> None:
    """Or says something odd."""
    info = {"kubernetes_max_memory_limit": None, "maximum_kubernetes_jobs_timeout": "long", "compute_backends": "x"}

    assert Offer.read(info) == Offer() == Offer.read({})


def test_the_image_is_named_by_its_digest_where_it_is_known(plan: Plan) -> None:
    """A tag may lead elsewhere between two parts."""
    assert image_of(plan, profile_of()) == (IMAGE, False)
    assert image_of(plan, profile_of(), DIGEST) == (f"docker.io/library/python@{DIGEST}", False)
    ported = replace(plan, image="docker://registry.example.org:5000/a/b")
    assert image_of(ported, profile_of(), DIGEST) == (f"registry.example.org:5000/a/b@{DIGEST}", False)


def test_an_unpacked_image_is_reanas_own_option_where_cvmfs_is(plan: Plan) -> None:
    """On Kubernetes it is refused, with what to write instead."""
    path = "/cvmfs/unpacked.cern.ch/registry.example.org/a/b:v1"
    unpacked = replace(plan, image=path)

    assert image_of(unpacked, profile_of(reana_compute_backend="htcondorcern")) == (path, True)
    with pytest.raises(ImageNameError) as caught:
        image_of(unpacked, profile_of())
    assert "registry.example.org/a/b:v1" in caught.value.fix


@pytest.mark.parametrize("image", [None, "/cvmfs/other.example.org/a", "/eos/a.sif", "https://example.org/a.sif"])
def test_what_reana_does_not_start_is_refused(plan: Plan, image: str | None) -> None:
    """An analysis without an image would get one of REANA's own."""
    with pytest.raises(ImageNameError):
        image_of(replace(plan, image=image), profile_of(reana_compute_backend="htcondorcern"))


# ── what comes back ─────────────────────────────────────────────────────────────────────────────────────────────


def listing(*names: str, size_b: int = 10) -> dict[str, RemoteFile]:
    """A listing of a workspace."""
    return {name: RemoteFile(name=name, size_b=size_b, modified_s=100.0) for name in names}


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["0007.began.1.node.a"], Facts(attempts=1, host="node.a", since_s=100.0)),
        (
            ["0007.began.1.n", "0007.told.1.3.77.again.n"],
            Facts(attempts=1, flag="again", exit_code=3, memory_b=77, host="n", since_s=100.0),
        ),
        (
            ["0007.told.1.3.77.again.n", "0007.began.2.m", "0007.began.1.n"],
            Facts(attempts=2, host="m", since_s=100.0, memory_b=77),
        ),
        (
            ["0007.told.2.0.0.ok.m.x", "0007.ended", "0007.began.2.m.x"],
            Facts(attempts=2, flag="ok", exit_code=0, host="m.x", since_s=100.0, ended=True),
        ),
        (["0007.told.0.x.0.lease.n"], Facts(flag="lease", host="n", since_s=100.0)),
    ],
)
def test_names_of_files_tell_what_became_of_a_part(names: list[str], wanted: Facts) -> None:
    """In whatever order they are listed."""
    for order in (names, names[::-1]):
        found = read_facts(listing(*(f"septum/state/{name}" for name in order)))["0007"]

        assert replace(found, memory_b=wanted.memory_b) == wanted


def test_files_of_nobody_tell_nothing() -> None:
    """Names that a step cannot have written."""
    odd = ["septum/state/x.ended", "septum/state/0001.ended.x", "septum/back/0001.tar.new", "septum/state/0001.told.1"]

    assert read_facts(listing(*odd)) == {}


def _seen(status: str = "running", facts: Facts | None = None, **values: Any) -> Seen:
    progress = {"total": 1} if status != "created" else {}
    workflow = Workflow(id="i", name="septum-a", run="1", status=status, progress=progress, created_s=40.0)
    return Seen(workflow=workflow, number=2, parts=("0000",), facts={"0000": facts} if facts else {}, **values)


def _report(plan: Plan, *, now_s: float = 110.0, **values: Any) -> JobReport:
    return report(_seen(**values), "0000", plan, now_s=now_s)


OK = Facts(attempts=1, flag="ok", exit_code=0, host="n", since_s=100.0, ended=True, back_b=10)
BEGAN = Facts(attempts=1, host="n", since_s=100.0)


@pytest.mark.parametrize(("was_started", "state"), [(True, JobState.REMOVED), (False, JobState.LOST)])
def test_what_is_deleted_while_it_is_queued_was_removed(plan: Plan, was_started: bool, state: JobState) -> None:  # noqa: FBT001
    """The server itself shows it as one that was never started; whoever saw it before must not submit it again."""
    queued = _seen("deleted", was_started=was_started)
    seen = replace(queued, workflow=replace(queued.workflow, progress={"total": 0}))

    assert report(seen, "0000", plan, now_s=110.0).state is state


@pytest.mark.parametrize(
    ("status", "facts", "state"),
    [
        ("created", None, JobState.LOST),
        ("queued", None, JobState.IDLE),
        ("pending", BEGAN, JobState.IDLE),
        ("running", None, JobState.IDLE),
        ("running", BEGAN, JobState.RUNNING),
        ("running", replace(OK, flag="again"), JobState.RUNNING),
        ("running", OK, JobState.ENDED),
        ("running", replace(OK, ended=False), JobState.ENDED),
        ("finished", OK, JobState.ENDED),
        ("finished", replace(OK, back_b=None), JobState.LOST),
        ("finished", None, JobState.LOST),
        ("failed", BEGAN, JobState.LOST),
        ("stopped", OK, JobState.ENDED),
        ("stopped", BEGAN, JobState.REMOVED),
        ("deleted", None, JobState.REMOVED),
        ("running", replace(OK, flag="lease"), JobState.REMOVED),
        ("running", replace(OK, flag="stopped"), JobState.REMOVED),
        ("running", replace(OK, flag="damaged"), JobState.REMOVED),
        ("running", replace(OK, flag="unpacked"), JobState.REMOVED),
        ("running", replace(OK, flag="memory", exit_code=137), JobState.HELD),
        ("running", replace(OK, flag="evicted", exit_code=143), JobState.ENDED),
        ("stopped", replace(OK, flag="evicted", exit_code=143), JobState.REMOVED),
    ],
)
def test_the_state_of_a_part_follows_from_its_files_and_its_workflow(
    plan: Plan, status: str, facts: Facts | None, state: JobState
) -> None:
    """One of septum's states, whatever REANA calls it."""
    assert _report(plan, status=status, facts=facts).state is state


def test_a_report_is_filled_as_those_of_other_backends(plan: Plan) -> None:
    """With what the files tell."""
    facts = replace(OK, attempts=3, exit_code=139, memory_b=5)
    said = Said(collected=True, judged={"0000": "E301"})

    assert _report(plan, facts=facts, said=said) == JobReport(
        part="0000",
        job="septum-a.1/0000",
        state=JobState.ENDED,
        attempts=3,
        signal=11,
        since_s=10,
        host="n",
        memory_b=5,
        number=2,
        starts=3,
        judged="E301",
        collected=True,
    )
    assert _report(plan, facts=None).since_s == 70
    assert _report(plan, facts=replace(OK, flag="timeout", exit_code=143)).timed_out


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"facts": replace(OK, flag="memory", exit_code=137)}, "E312"),
        ({"said": Said(removed={"0000": "OOMKilled: its step ended"})}, "E312"),
        ({"said": Said(removed={"0000": "DeadlineExceeded: its step ended"})}, "E307"),
        ({"said": Said(removed={"0000": "its step ended without a verdict"})}, "E303"),
        ({"status": "stopped", "facts": BEGAN}, "E303"),
    ],
)
def test_septums_judgement_on_it_is_the_one_that_fits(plan: Plan, values: dict[str, Any], code: str) -> None:
    """It knows HTCondor's codes, and these are translated: so more memory is asked for where memory was the cause."""
    found = _report(plan, **values)

    error = judge(plan, plan.parts[0], found, patience_s=1000, idle_patience_s=1000, lost_looks=0)

    assert error is not None
    assert error.code == code


def test_what_septum_removed_itself_is_known_as_that(plan: Plan) -> None:
    """Another job may follow, or nobody wants the run."""
    assert _report(plan, facts=OK, said=Said(removed={"0000": "septum: replaced"})).by_septum
    assert _report(plan, facts=OK, said=Said(removed={"0000": "septum: removed by its run"})).given_up
    assert not _report(plan, status="stopped", facts=BEGAN).by_septum


def test_what_septum_said_is_read_back_and_half_of_it_counts_for_nothing() -> None:
    """A septum that is killed while it sends leaves a short file."""
    parts = {f"{number:04d}": "septum: fetched" for number in range(2000)}
    said = Said(serial=7, removed=parts, lost={"0001": 2}, judged={"0002": "E301"}, blamed="1.1", restarts=(1, 2))

    name, content = said.file()

    assert read_said(name, content) == said
    assert len(content) < 300
    for length in range(len(content)):
        assert read_said(name, content[:length]) is None
    assert said_names([name, "septum/said/000010-0123456789abcdef.json", "septum/said/x"])[0].startswith(
        "septum/said/000010-"
    )


def test_the_part_whose_step_failed_is_blamed_and_those_that_ended_with_it_are_not() -> None:
    """Once for one failure, however often it is looked at."""
    workflow = Workflow(id="i", name="septum-a", run="1", status="failed")
    seen = Seen(workflow=workflow, number=1, parts=("0000", "0001", "0002", "0003"), facts={"0003": OK})
    jobs = tuple(Job(name=f"part_000{n}", status=s, text="x") for n, s in enumerate(["failed", "failed", "running"]))
    logs = Logs(engine="Error in rule part_0001:\n", jobs=jobs)

    said = blame(seen, logs, done=1)

    assert (said.lost, said.removed, said.restarts) == ({"0001": 1}, {}, (1,))
    assert blame(replace(seen, said=said), logs, done=1) == said


@pytest.mark.parametrize(
    ("text", "times", "begins"),
    [
        ("log\n\nOOMKilled\n", 1, "OOMKilled: "),
        ("log\n\nDeadlineExceeded\nThe job was killed due to exceeding timeout of 5 seconds.", 1, "DeadlineExceeded: "),
        ("OOMKilled is what my program prints\n1\n2\n3\n4\nError\n", MAX_LOST, "its step ended without a verdict, 3"),
    ],
)
def test_a_step_that_cannot_end_well_is_given_up(text: str, times: int, begins: str) -> None:
    """At once where REANA says why, else after some times."""
    seen = Seen(workflow=Workflow(id="i", name="a", run="0", status="failed"), number=1, parts=("0000",))
    logs = Logs(engine="", jobs=(Job(name="part_0000", status="failed", text=text),))
    for run in range(times):
        assert not seen.said.removed
        failed = replace(seen.workflow, run=f"1.{run}")
        seen = replace(seen, said=blame(replace(seen, workflow=failed), logs, done=0))

    assert seen.said.removed["0000"].startswith(begins)


# ── unpacking ───────────────────────────────────────────────────────────────────────────────────────────────────


def _tar(path: Path, *members: tuple[str, bytes, str]) -> Path:
    import io

    kinds = {"file": tarfile.REGTYPE, "symlink": tarfile.SYMTYPE, "link": tarfile.LNKTYPE, "folder": tarfile.DIRTYPE}
    with tarfile.open(path, "w") as archive:
        for name, data, kind in members:
            info = tarfile.TarInfo(name)
            info.type = kinds[kind]
            if kind == "file":
                info.size = len(data)
            else:
                info.linkname = data.decode()
            archive.addfile(info, io.BytesIO(data) if kind == "file" else None)
    return path


def test_an_archive_is_laid_out_with_two_outputs_that_are_one_file(tmp_path: Path) -> None:
    """The wrapper makes links where it can."""
    path = _tar(tmp_path / "a.tar", ("x.out0", b"data", "file"), ("x.out1", b"x.out0", "link"))
    (tmp_path / "in").mkdir()

    unpack(path, tmp_path / "in", {"x.out0", "x.out1"})

    assert {found.name: found.read_bytes() for found in (tmp_path / "in").iterdir()} == {
        "x.out0": b"data",
        "x.out1": b"data",
    }


@pytest.mark.parametrize(
    "member",
    [
        ("../x", b"1", "file"),
        ("/etc/x", b"1", "file"),
        ("other", b"1", "file"),
        ("x.out0", b"/etc/passwd", "symlink"),
        ("x.out0", b"../../etc/passwd", "link"),
        ("x.out0", b"", "folder"),
    ],
)
def test_an_archive_with_anything_else_in_it_is_refused(tmp_path: Path, member: tuple[str, bytes, str]) -> None:
    """The command of a part can write whatever it likes into a workspace."""
    path = _tar(tmp_path / "a.tar", member)
    (tmp_path / "in").mkdir()

    with pytest.raises(ClusterFailedError):
        unpack(path, tmp_path / "in", {"x.out0"})

    assert list((tmp_path / "in").iterdir()) == []


def test_an_archive_that_is_cut_is_refused(tmp_path: Path) -> None:
    """Anywhere within a file."""
    path = _tar(tmp_path / "a.tar", ("x.out0", b"data" * 500, "file"))
    whole = path.read_bytes()
    (tmp_path / "in").mkdir()

    for length in (0, 100, 600, 1000, 2300):
        path.write_bytes(whole[:length])
        with pytest.raises(ClusterFailedError):
            unpack(path, tmp_path / "in", {"x.out0"})

    assert list((tmp_path / "in").iterdir()) == []

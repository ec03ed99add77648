"""From procs to parts: where files land, what is asked for, and a line for each thing that is done otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from septum.capture import commands
from septum.capture import procs as procs_module
from septum.capture.recording import Submission
from septum.capture.translate import Captured, Repair, translate
from septum.clusters.profile import Profile
from septum.errors import CaptureError

expand = pytest.importorskip("septum.capture.expand", reason="HTCondor's bindings exist for Linux only")

FOLDER = "/builds/group/project"
HEAD = "executable = run.sh\narguments = $(Process)\nrequest_memory = 2 GB\n"
GB = 1024**3


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptions of these tests are ours: the parser needs no process of its own, which costs its start."""

    def expanded(submission: Submission, call: Any, _deadline_s: float) -> dict[str, Any]:
        request = {
            "text": submission.text,
            "name": call.file,
            "presets": dict(call.presets),
            "appended": call.appended,
            "queue": call.queue,
            "items": submission.items,
            "answers": submission.answers,
        }
        return {"statements": expand._Reader(request).read(), "macros": expand._used(request)}

    monkeypatch.setattr(procs_module, "_expanded", expanded)


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., Submission]:
    """Makes recorded calls whose files exist."""

    def make(
        text: str,
        *,
        files: Mapping[str, str | None] | None = None,
        jobs: int = 1,
        number: int = 1,
        left_out: Mapping[str, str] | None = None,
        words: tuple[str, ...] = (),
    ) -> Submission:
        copies = {}
        for name, content in {"run.sh": "#!/bin/sh\n", **(files or {})}.items():
            place = tmp_path / "stored" / str(number) / name.lstrip("/")
            if content is None:
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(content)
            copies[name] = place
        return Submission(
            number=number,
            text=text,
            words=words,
            folder=PurePosixPath(FOLDER),
            environment={},
            answers=((jobs, number),),
            items=None,
            files=copies,
            left_out=left_out or {},
        )

    return make


def profile(**values: Any) -> Profile:
    """A cluster."""
    return Profile(name="c", method="htcondor", collector="cm.example.org:9618", schedd="s").model_copy(update=values)


def found(submission: Submission, text: str) -> Repair:
    """The one repair whose words hold a text."""
    captured = translate([submission], profile=profile())
    (repair,) = [repair for repair in captured.repairs if text in str(repair)]
    return repair


def refused(submission: Submission, **values: Any) -> CaptureError:
    """The error that a call gives."""
    with pytest.raises(CaptureError) as caught:
        translate([submission], profile=profile(), **values)
    return caught.value


# ── repairs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_clean_description_needs_none(call: Callable[..., Submission]) -> None:
    """What septum takes as it is gives no line."""
    text = HEAD + "universe = vanilla\nmax_retries = 2\nshould_transfer_files = YES\ngetenv = False\nqueue\n"

    captured = translate([call(text)], profile=profile(), strict=True)

    assert captured.repairs == ()
    assert captured.retries == 2


def test_num_retries(call: Callable[..., Submission]) -> None:
    """HTCondor ignores it; it is taken for what was meant."""
    captured = translate([call(HEAD + "num_retries = 3\nqueue\n")], profile=profile())

    assert captured.retries == 3
    assert [str(repair) for repair in captured.repairs] == [
        "num_retries is no submit command: HTCondor ignores it (num_retries = 3): taken as max_retries"
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            "periodic_remove = (JobStatus == 1 && (time() - QDate) > 900)",
            "periodic_remove takes waiting jobs away; jobs wait up to 48 h 00 min here (periodic_remove = (JobStatus",
        ),
        ("periodic_hold = x > 3", "periodic_hold is for the profile of c to say (periodic_hold = x > 3)"),
        ("on_exit_remove = (ExitCode == 0)", "on_exit_remove is for the profile of c to say"),
        ('requirements = OpSysAndVer == "SL6"', "slots are chosen by 'requirements' of the profile (any slot)"),
        ("max_materialize = 50", "spooled jobs cannot be made later"),
        ("Max_Idle = 100", "Max_Idle is for the profile of c to say (Max_Idle = 100)"),
        ("use_x509userproxy = true", "the credentials that septum obtains and renews"),
        ("accounting_group = cms.higgs", "accounting is by the profile's 'attributes'"),
        ("output_destination = root://eos.example.org//eos/", "outputs come back and are verified"),
        ("getenv = True", "would copy the environment of the CI job"),
        ("getenv = HOME, CMS*", "would copy the environment of the CI job"),
        ("should_transfer_files = NO", "files travel with the jobs"),
        ("when_to_transfer_output = ON_EXIT_OR_EVICT", "ON_EXIT: only the outputs of a part that ended well"),
        ('+JobFlavour = "workday"', "+JobFlavour is an attribute that only some sites read"),
        ('+SingularityImage = "None/"', '+SingularityImage names no image (+SingularityImage = "None/")'),
        ('MY.SingularityImage = ""', "names no image"),
        ("container_image =", "names no image"),
        ('+ProjectName = "x"', "attributes that only a site reads"),
        ("output = a.txt\nlog = b\nnotification = never", "commands that do not change what a job computes"),
        (
            "max_retrys = 2",
            "max_retrys is no submit command: HTCondor ignores it (max_retrys = 2) [3 jobs]: ignored; did you mean",
        ),
        ("notify = me", "notify is no submit command"),
        ("environment = X509_USER_PROXY=/tmp/x509up_u1", "X509_USER_PROXY names a file of the CI job"),
        (
            "arguments = /builds/other/analysis/cfg.py",
            "another project's CI jobs is written into the jobs (arguments: /b",
        ),
        ("environment = A=/builds/group/project/x", "a folder of this CI job is written into the jobs"),
        ("request_memory = 1000 * MY.x", "request_memory is an expression, and not a number"),
        ("request_memory =", "no request_memory"),
        ("max_retries = 1 + MY.n", "max_retries is an expression, and not a number"),
        ("retry_request_memory_increase = 2 * x", "retry_request_memory_increase is for the profile"),
        ("retry_request_memory = MY.x", "retry_request_memory is an expression"),
        ("allowed_job_duration = MY.x", "allowed_job_duration is an expression"),
        ('transfer_output_files = a\ntransfer_output_remaps = "a = root://x//y"', "is to be sent elsewhere"),
    ],
)
def test_each_repair_is_said(call: Callable[..., Submission], lines: str, words: str) -> None:
    """One line for each: what, the line as it was written, and what is done instead."""
    repair = found(call(f"{HEAD}{lines}\nqueue 3\n", jobs=3), words)

    assert repair.count in {1, 3}
    assert "\n" not in str(repair)


@pytest.mark.parametrize(
    "lines", ["output = a.txt\nlog = b", "notify = me", "environment = A=/builds/group/project/x", "priority = 3"]
)
def test_strict_lets_pass_what_changes_nothing(call: Callable[..., Submission], lines: str) -> None:
    """A line that has no effect at HTCondor either, or none on the result, is no reason to refuse."""
    captured = translate([call(f"{HEAD}{lines}\nqueue\n")], profile=profile(), strict=True)

    assert len(captured.repairs) == 1


def test_strict_lists_all_corrections(call: Callable[..., Submission]) -> None:
    """Everything at once, so that it can be put right at once."""
    error = refused(call(f"{HEAD}num_retries = 3\ngetenv = True\nlog = x\nqueue\n"), strict=True)

    assert error.exit_code == 2
    assert "2 corrections" in error.what
    assert len(error.evidence.splitlines()) == 2


def test_attributes_stand_for_commands(call: Callable[..., Submission]) -> None:
    """HTCondor takes many commands by their attribute's name; the command itself counts more."""
    text = "executable = run.sh\nRequestMemory = 1000\nJobMaxRetries = 5\nWhenToTransferOutput = ON_SUCCESS\nqueue\n"

    captured = translate([call(text)], profile=profile())

    assert (captured.retries, captured.request.memory_b) == (5, 1000 * 1024**2)
    assert [repair.evidence for repair in captured.repairs] == ["WhenToTransferOutput = ON_SUCCESS"]
    both = "executable = run.sh\nTransferInputFiles = a\ntransfer_input_files = b\nqueue\n"
    assert [name for name, _ in one(call(both, files={"a": "", "b": ""})).inputs] == ["b", "run.sh"]


@pytest.mark.parametrize("name", ["initialdir", "initial_dir", "iwd", "job_iwd"])
def test_the_folder_of_the_jobs_is_no_command_without_effect(call: Callable[..., Submission], name: str) -> None:
    """It says where files are looked for, in each of its spellings, and needs no line."""
    text = f"{HEAD}{name} = d\ntransfer_input_files = cfg\nqueue\n"

    captured = translate([call(text, files={"d/cfg": ""})], profile=profile(), strict=True)

    assert captured.repairs == ()
    assert [landing for landing, _ in captured.parts[0].inputs] == ["cfg", "run.sh"]


def test_where_the_call_wanted_to_submit(call: Callable[..., Submission]) -> None:
    """The cluster is septum's choice, and that is said."""
    captured = translate([call(HEAD + "queue\n", words=("-name", "bigbird", "f.sub"))], profile=profile())

    assert [repair.evidence for repair in captured.repairs] == ["-name bigbird"]


def test_nothing_vanishes_without_a_word(call: Callable[..., Submission]) -> None:
    """Every command that is not used as it stands is in some line, or refused."""
    silent = []
    for name in commands.ALL:
        text = HEAD + f"{name} = 7\nqueue\n"
        try:
            captured = translate([call(text)], profile=profile())
        except CaptureError:
            continue
        if name not in commands.USED and not any(name in str(repair) for repair in captured.repairs):
            silent.append(name)

    assert silent == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("universe = grid", "universe = grid"),
        ("universe = parallel", "universe = parallel"),
        ("noop_job = true", "would not run at all"),
        ("deferral_time = 100", "jobs that start at a given time"),
        ("cron_minute = 3", "jobs that start at a given time"),
        ("+WantIOProxy = true", "no way back to the CI job's files"),
        ("request_gpus = 1", "no graphics processors"),
        ("success_exit_code = 3", "an exit code other than 0"),
        ("checkpoint_exit_code = 85", "checkpointed"),
        ("machine_count = 4", "one machine"),
        ("request_memroy = 3", "did you mean 'request_memory'"),
        ("request_licences = 3", "cores, memory, disk and time alone"),
        ("remote_initialdir = /x", "its own folder"),
        ("shell = ./run.sh a b", "name the program as executable"),
    ],
)
def test_what_septum_cannot_do_is_refused(call: Callable[..., Submission], line: str, words: str) -> None:
    """Without it the jobs would not be what was meant."""
    assert words in refused(call(f"{HEAD}{line}\nqueue\n")).evidence


@pytest.mark.parametrize(
    "line", ["noop_job = false", "request_gpus = 0", "success_exit_code = 0", "universe = Vanilla"]
)
def test_what_asks_for_nothing_is_not_refused(call: Callable[..., Submission], line: str) -> None:
    """A command that is switched off is as good as none."""
    assert len(translate([call(f"{HEAD}{line}\nqueue\n")], profile=profile()).parts) == 1


def test_a_line_of_a_hostile_description_stays_one_line(call: Callable[..., Submission]) -> None:
    """Escape sequences and line breaks of a value do not reach the terminal."""
    repair = found(call(f'{HEAD}+Note = "\x1b[2Jgone"\nqueue\n'), "only a site reads")

    assert str(repair).isprintable()


# ── requests, image, name ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ('+JobFlavour = "espresso"', 1200),
        ('+JobFlavour = "nextweek"', 604800),
        ("+MaxRuntime = 5400", 5400),
        ("+RequestRuntime = 21600", 21600),
        ("+RequestWalltime = 72 * 60 * 60", 259200),
        ("+MaxWallTimeMins = 90", 5400),
        ("allowed_execute_duration = 60", 60),
        ('+JobFlavour = "forever"', None),
        ("+MaxRuntime = f(x)", None),
    ],
)
def test_run_times(call: Callable[..., Submission], line: str, seconds: int | None) -> None:
    """What a site's attribute says is the longest run time."""
    assert translate([call(f"{HEAD}{line}\nqueue\n")], profile=profile()).request.time_s == seconds


@pytest.mark.parametrize(
    ("value", "size_b"),
    [("2 GB", 2 * GB), ("1500", 1500 * 1024**2), ("1.5G", 3 * GB // 2), ("2000K", 2000 * 1024), ("1 tb", 1024 * GB)],
)
def test_sizes_are_htcondors(call: Callable[..., Submission], value: str, size_b: int) -> None:
    """Memory counts in MB and disk in KB where no unit stands."""
    text = f"executable = run.sh\nrequest_memory = {value}\nRequestDisk = 4096\nrequestcpus = 2\nqueue\n"

    request = translate([call(text)], profile=profile()).request

    assert (request.memory_b, request.disk_b, request.cpus) == (size_b, 4096 * 1024, 2)


def test_the_largest_request_counts(call: Callable[..., Submission]) -> None:
    """All parts of a run ask for the same, so they ask for what the largest job needs."""
    text = "executable = run.sh\narguments = $(m)\nrequest_memory = $(m)\nqueue m in 1000, 3000, 2000\n"

    captured = translate([call(text, jobs=3)], profile=profile())

    assert captured.request.memory_b == 3000 * 1024**2
    assert [(r.instead, r.count) for r in captured.repairs] == [("the largest, 3000", 3)]


@pytest.mark.parametrize(("memory_b", "said"), [(None, "the profile's, 2.0 GB;"), (3 * GB, "septum.yaml's, 3.0 GB")])
def test_memory_that_the_description_leaves_open(
    call: Callable[..., Submission], memory_b: int | None, said: str
) -> None:
    """Whose number is taken; where septum.yaml has one, nothing is corrected."""
    submission = call("executable = run.sh\nqueue\n")

    (repair,) = translate([submission], profile=profile(default_memory=2 * GB), memory_b=memory_b).repairs

    assert repair.instead.startswith(said)
    assert repair.changes is (memory_b is None)


def test_more_memory_for_a_retry(call: Callable[..., Submission]) -> None:
    """Sizes above the first are what a part that had too little gets."""
    text = HEAD + "retry_request_memory = 4GB\nqueue\n"

    assert translate([call(text)], profile=profile()).request.memory_retries_b == (4 * GB,)


@pytest.mark.parametrize(
    ("line", "image"),
    [
        ("container_image = docker://python:3.11", "docker://python:3.11"),
        ("docker_image = cern/root:6.30", "docker://cern/root:6.30"),
        ('+SingularityImage = "/cvmfs/unpacked.cern.ch/a/b:c"', "/cvmfs/unpacked.cern.ch/a/b:c"),
        ("note = 1", None),
    ],
)
def test_images(call: Callable[..., Submission], line: str, image: str | None) -> None:
    """The image as the description names it."""
    assert translate([call(f"{HEAD}{line}\nqueue\n")], profile=profile()).image == image


def test_images_that_cannot_be(call: Callable[..., Submission]) -> None:
    """Two images in one run, or a file that travels."""
    assert "different images" in refused(call(f"{HEAD}docker_image = a:$(Process)\nqueue 2\n", jobs=2)).what
    assert "would travel" in refused(call(f"{HEAD}container_image = my.sif\nqueue\n")).what


def test_the_name_is_the_batch_name(call: Callable[..., Submission]) -> None:
    """From the description, or from the words of the call."""
    assert translate([call(f"{HEAD}batch_name = hww\nqueue\n")], profile=profile()).name == "hww"
    assert translate([call(f"{HEAD}queue\n", words=("-batch-name", "a b"))], profile=profile()).name == "a b"


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def one(submission: Submission) -> Any:
    """The only part of a call, its inputs as landing names and the content or the kind of what lands."""
    (part,) = translate([submission], profile=profile()).parts
    return part


def test_files_land_as_htcondor_lays_them(call: Callable[..., Submission]) -> None:
    """Base names at the top, folders as folders, the content of a folder with a slash at its end."""
    text = HEAD + "transfer_input_files = cfg/a.py, lib, data/, /abs/b.txt, ./run.sh\nqueue\n"
    files = {"cfg/a.py": "a", "lib": None, "data": None, "data/x": "x", "data/sub/y": "y", "/abs/b.txt": "b"}

    part = one(call(text, files=files))

    assert [name for name, _ in part.inputs] == ["a.py", "b.txt", "lib", "run.sh", "sub", "x"]
    assert part.words == ("./run.sh", "0")
    assert part.executable == "run.sh"


def test_relative_paths_can_be_kept(call: Callable[..., Submission]) -> None:
    """With `preserve_relative_paths`."""
    text = HEAD + "preserve_relative_paths = True\ntransfer_input_files = a/x.py, b/x.py\nqueue\n"

    part = one(call(text, files={"a/x.py": "1", "b/x.py": "2"}))

    assert [name for name, _ in part.inputs] == ["a/x.py", "b/x.py", "run.sh"]


def test_two_files_on_one_name(call: Callable[..., Submission]) -> None:
    """The later one would silently take the place of the first."""
    text = HEAD + "transfer_input_files = a/x.py, b/x.py\nqueue\n"

    error = refused(call(text, files={"a/x.py": "1", "b/x.py": "2"}))

    assert "'x.py'" in error.what
    assert error.evidence == "a/x.py\nb/x.py"


@pytest.mark.parametrize("name", ["..", "a/..", "."])
def test_nothing_lands_outside_of_the_folder(call: Callable[..., Submission], name: str) -> None:
    """A folder without a name of its own would be the working folder, or the one above."""
    text = HEAD + f"transfer_input_files = {name}\nqueue\n"

    assert "no name of its own" in refused(call(text, files={"x/y": "", name: None})).what


def test_a_variable_is_no_option_of_env(call: Callable[..., Submission]) -> None:
    """What differs between jobs stands behind `env`, which has options."""
    text = HEAD + 'environment = "-u$(Process)=1"\nqueue 2\n'

    assert "looks like an option" in refused(call(text, jobs=2)).what


def test_missing_files_are_named_together(call: Callable[..., Submission]) -> None:
    """The first few, and how many there are."""
    text = HEAD + "transfer_input_files = $(Process)/script.py\nqueue 9\n"

    error = refused(call(text, jobs=9))

    assert "9 files" in error.what
    assert error.evidence.splitlines()[0] == "job 1.0: 0/script.py"
    assert error.evidence.splitlines()[-1] == "and 4 more"


def test_a_missing_file_of_another_project(call: Callable[..., Submission]) -> None:
    """A path that somebody else's pipeline had."""
    text = HEAD + "transfer_input_files = /builds/other/analysis/cfg.py\nqueue\n"

    assert refused(call(text)).evidence == "job 1.0: /builds/other/analysis/cfg.py (a folder of another project)"


def test_credentials_are_left_out(call: Callable[..., Submission]) -> None:
    """The recording has none, and the jobs get the supervised one under the same name."""
    text = HEAD + "transfer_input_files = /tmp/x509up_u1, a.txt\nqueue 2\n"
    why = {"/tmp/x509up_u1": "a private key"}

    captured = translate([call(text, jobs=2, files={"a.txt": ""}, left_out=why)], profile=profile())

    assert captured.proxies == ("x509up_u1",)
    assert [name for name, _ in captured.parts[0].inputs] == ["a.txt", "run.sh"]
    assert [(repair.count, "a private key" in repair.what) for repair in captured.repairs] == [(2, True)]


def test_what_is_left_out_of_a_folder_is_said(call: Callable[..., Submission]) -> None:
    """A credential is a correction, which `strict` refuses; anything else would be missing in the job."""
    text = HEAD + "transfer_input_files = lib\nqueue\n"
    credential = call(text, files={"lib": None}, left_out={"lib/.netrc": "its name is that of a credential"})
    link = call(text, files={"lib": None}, left_out={"lib/weights.txt": "not found"})

    (repair,) = translate([credential], profile=profile()).repairs
    assert "lib/.netrc" in str(repair)
    assert repair.changes
    assert "lib/weights.txt (not found)" in str(refused(link))
    with pytest.raises(CaptureError, match="'strict' allows none"):
        translate([credential], profile=profile(), strict=True)


def test_programs_of_the_image(call: Callable[..., Submission]) -> None:
    """What does not travel is run by its path."""
    text = "executable = /usr/bin/python3\nrequest_memory = 1\narguments = -V\ntransfer_executable = {}\nqueue\n"

    assert one(call(text.format("false"))).words == ("/usr/bin/python3", "-V")
    assert one(call(text.format("true"))).words == ("/usr/bin/python3", "-V")


def test_an_executable_among_the_inputs(call: Callable[..., Submission]) -> None:
    """Not transferred as such, and still there."""
    text = (
        "executable = go.sh\ntransfer_executable = false\ntransfer_input_files = x/go.sh\nrequest_memory = 1\nqueue\n"
    )

    assert one(call(text, files={"x/go.sh": ""})).words == ("./go.sh",)
    assert "1 file" in refused(call(text.replace("x/go.sh", "run.sh"))).what


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ("executable = lib/bin/go.sh\ntransfer_input_files = lib", "./lib/bin/go.sh"),
        ("executable = ./lib/bin/go.sh\ntransfer_input_files = ./lib", "./lib/bin/go.sh"),
        ("executable = bin/go.sh\ntransfer_input_files = lib/", "./bin/go.sh"),
        ("executable = lib/bin/go.sh\ntransfer_input_files = lib/bin/go.sh", "./go.sh"),
        (
            "executable = lib/bin/go.sh\ntransfer_input_files = lib/bin/go.sh\npreserve_relative_paths = true",
            "./lib/bin/go.sh",
        ),
    ],
)
def test_an_executable_in_a_folder_that_travels(call: Callable[..., Submission], lines: str, word: str) -> None:
    """Not transferred as such: it is run where it stands in the folder, and is missing where it does not."""
    text = f"{lines}\ntransfer_executable = false\nrequest_memory = 1\nqueue\n"
    files = {"lib": None, "lib/bin/go.sh": "", "lib/bin/other.sh": ""}

    assert one(call(text, files=files)).words == (word,)
    assert "1 file" in refused(call(text.replace("go.sh\ntransfer", "no.sh\ntransfer"), files=files)).what


@pytest.mark.parametrize(("kept", "place"), [("true", "./cards/a.txt"), ("false", "./a.txt")])
def test_standard_input_where_folders_are_kept(call: Callable[..., Submission], kept: str, place: str) -> None:
    """It is read where it lands, with its folder or without."""
    text = HEAD + f"input = cards/a.txt\npreserve_relative_paths = {kept}\nqueue\n"

    part = one(call(text, files={"cards/a.txt": ""}))

    assert part.words == ("sh", "-c", 'exec "$@" <"$0"', place, "./run.sh", "0")
    assert place.removeprefix("./") in dict(part.inputs)


def test_standard_input_and_environment(call: Callable[..., Submission]) -> None:
    """What differs between jobs stands in the words; what all have, once for all."""
    text = HEAD + 'input = in_$(Process).txt\nenvironment = "ALL=1 N=$(Process)"\nqueue 2\n'
    files = {"in_0.txt": "", "in_1.txt": ""}

    captured: Captured = translate([call(text, jobs=2, files=files)], profile=profile())

    assert captured.environment == (("ALL", "1"),)
    words = captured.parts[1].words
    assert words == ("sh", "-c", 'exec "$@" <"$0"', "./in_1.txt", "env", "N=1", "./run.sh", "1")


def test_the_folder_of_a_job(call: Callable[..., Submission]) -> None:
    """Inputs are looked for below `initialdir`, outputs come back there, the executable is not below it."""
    text = HEAD + (
        "initialdir = mass_$(Process)\ninput = card.txt\ntransfer_output_files = out/l.root, log\n"
        'transfer_output_remaps = "log = logs/$(Process)"\nqueue\n'
    )

    part = one(call(text, files={"mass_0/card.txt": ""}))

    assert part.outputs == (("out/l.root", "mass_0/l.root"), ("log", "mass_0/logs/0"))
    assert [name for name, _ in part.inputs] == ["card.txt", "run.sh"]


@pytest.mark.parametrize(("line", "outputs"), [("", None), ('transfer_output_files = ""', ())])
def test_outputs_that_are_not_named(call: Callable[..., Submission], line: str, outputs: object) -> None:
    """Not to say what comes back is another thing than to say that nothing does."""
    assert one(call(f"{HEAD}{line}\nqueue\n")).outputs == outputs


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("transfer_input_files = https://example.org/x", "fetch a file from elsewhere"),
        ("arguments = $$(Memory)", "a value of the slot"),
        ("environment = A=$$([ Memory ])", "a value of the slot"),
    ],
)
def test_what_only_htcondor_can_do(call: Callable[..., Submission], line: str, words: str) -> None:
    """URLs among the inputs, and values of the slot."""
    assert words in refused(call(f"{HEAD}{line}\nqueue\n")).what


def test_several_calls_make_one_run(call: Callable[..., Submission]) -> None:
    """In the order of the calls, each with its own files."""
    first, second = call(HEAD + "queue 2\n", jobs=2), call(HEAD + "queue\n", number=2)

    captured = translate([first, second], profile=profile())

    assert [(part.cluster_id, part.proc_id) for part in captured.parts] == [(1, 0), (1, 1), (2, 0)]
    assert captured.parts[2].inputs[0][1] == second.files["run.sh"]


def test_no_job_at_all(call: Callable[..., Submission]) -> None:
    """An empty list of items is a mistake, not an empty run."""
    assert "submit no job" in refused(call(HEAD + "queue x in ()\n", jobs=0)).what

"""The wrapper on the worker, run by real shells; what it leaves is read as septum reads it."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import math
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from septum.files import below
from septum.merge.strict.contents import Reader
from septum.plan import OutputFile, Part, Plan, Request
from septum.worker.look import NAME as LOOK
from septum.worker.look import program
from septum.worker.sandbox import (
    SHARED,
    WRAPPER,
    Status,
    output_name,
    own_name,
    parse_status,
    returned_names,
    sandbox_name,
    status_name,
    values_name,
    values_text,
    wrapper_text,
    write_archive,
)
from tests.fakes.analyses import plan_of, seeds
from tests.fakes.rootfiles import H, write_root

_KNOWN = {"sh": ["/bin/sh"], "dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
# One that is only another name of one before is not tried again.
SHELLS = {
    os.path.realpath(found): words
    for words in reversed(_KNOWN.values())
    if (found := shutil.which(words[0])) is not None
}
# The machine of the tests may be a container itself: the marks of one are looked for in the sandbox instead.
_MARKS = {
    " /.dockerenv ": " dockerenv ",
    " /run/.containerenv ": " containerenv ",
    " /.singularity.d ": " singularity.d ",
    "</proc/self/mountinfo": "<mountinfo",
    "</proc/1/cmdline": "<process1",
}
WRAPPER_TEXT = wrapper_text().replace('"/$file"', '"root/$file"')
for _mark, _here in _MARKS.items():
    assert WRAPPER_TEXT.count(_mark) == 1
    WRAPPER_TEXT = WRAPPER_TEXT.replace(_mark, _here)
CLEAN = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


@pytest.fixture(params=SHELLS, ids=os.path.basename)
def shell(request: pytest.FixtureRequest) -> Sequence[str]:
    """Each POSIX shell of this machine."""
    return SHELLS[str(request.param)]


def make(
    command: str | tuple[str, ...],
    *,
    values: Mapping[str, str | tuple[str, ...]] | None = None,
    outputs: Sequence[str] = ("h.root",),
    setup: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    part_shell: str = "sh",
) -> Plan:
    """A plan of one part, without asking septum.yaml's rules."""
    part = Part(id="0007", index=7, values=tuple((values or {}).items()), inputs=(), fingerprint="")
    return Plan(
        name="x", shell=part_shell, setup=tuple(setup), command=command,
        environment=tuple((environment or {}).items()), image=None,
        request=Request(cpus=None, memory_b=None, memory_retries_b=(), disk_b=None, time_s=None),
        retries=0, tolerance="0", inputs=(), outputs=tuple(OutputFile(path=path, objects=()) for path in outputs),
        merges=(), parts=(part,),
    )  # fmt: skip


def lay_out(plan: Plan, folder: Path, *, image: str = "", image_id: str = "") -> Path:
    """The sandbox of the part, as a worker finds it."""
    folder.mkdir(exist_ok=True)
    (folder / WRAPPER).write_text(WRAPPER_TEXT)
    (folder / values_name("0007")).write_bytes(
        values_text(plan, plan.parts[0], image=image, image_id=image_id).encode()
    )
    return folder


def run(
    plan: Plan, folder: Path, shell: Sequence[str], *, image: str = "", image_id: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the wrapper to its end."""
    lay_out(plan, folder, image=image, image_id=image_id)
    return subprocess.run(
        [*shell, WRAPPER, "0007"],
        cwd=folder, env={**CLEAN, **environ}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def status_of(folder: Path) -> Status:
    """The status file, read as septum reads it."""
    status = parse_status((folder / status_name("0007")).read_text(), "0007")

    assert status is not None
    return status


# ── exit codes and outputs ──────────────────────────────────────────────────────────────────────────────────────


def test_a_good_part(tmp_path: Path, shell: Sequence[str]) -> None:
    """Exit code 0, the output with size and checksum, and when and where."""
    done = run(make("printf data > h.root; echo hello; echo oops >&2"), tmp_path, shell)
    status = status_of(tmp_path)
    (delivered,) = status.outputs

    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "oops\n")
    assert (status.stage, status.exit_code) == ("done", 0)
    assert delivered is not None
    assert (delivered.size_b, delivered.sha256) == (4, hashlib.sha256(b"data").hexdigest())
    assert (tmp_path / output_name("0007", 0)).read_bytes() == b"data"
    assert status.host
    assert 0 < status.started_s <= status.ended_s <= time.time() + 1


@pytest.mark.parametrize("code", [1, 3, 121, 122, 123, 255])
def test_the_exit_code_is_the_command_s(tmp_path: Path, shell: Sequence[str], code: int) -> None:
    """Also when it wrote the output first, and when it is one of the wrapper's own."""
    done = run(make(f"echo x > h.root; exit {code}"), tmp_path, shell)
    status = status_of(tmp_path)

    assert done.returncode == code
    assert (status.stage, status.exit_code) == ("done", code)
    assert status.outputs[0] is not None


def test_a_command_that_writes_nothing(tmp_path: Path, shell: Sequence[str]) -> None:
    """Exit code 121, and a file that the transfer does not miss."""
    done = run(make("true", outputs=["a.root", "b.root"]), tmp_path, shell)
    status = status_of(tmp_path)

    assert done.returncode == 121
    assert "did not write b.root" in done.stderr
    assert (status.stage, status.exit_code, status.outputs) == ("done", 0, (None, None))
    assert (tmp_path / output_name("0007", 1)).read_bytes() == b""


def test_a_folder_is_no_output(tmp_path: Path, shell: Sequence[str]) -> None:
    """Only a file is, and that is said."""
    done = run(make("mkdir h.root"), tmp_path, shell)

    assert done.returncode == 121
    assert "septum: h.root is a folder: name its files" in done.stderr


def test_an_empty_output_is_delivered_as_empty(tmp_path: Path, shell: Sequence[str]) -> None:
    """Whether that is good is not the worker's business."""
    run(make(": > h.root"), tmp_path, shell)
    (delivered,) = status_of(tmp_path).outputs

    assert delivered is not None
    assert (delivered.size_b, delivered.sha256) == (0, hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize("number", ["KILL", "SEGV", "TERM"])
def test_a_killed_command(tmp_path: Path, shell: Sequence[str], number: str) -> None:
    """128 and the signal, as shells have it; the outputs are told."""
    done = run(make(f"echo x > h.root; kill -{number} $$"), tmp_path, shell)
    code = 128 + signal.Signals[f"SIG{number}"]

    assert done.returncode == code
    assert (status_of(tmp_path).stage, status_of(tmp_path).exit_code) == ("done", code)


@pytest.mark.parametrize(
    "path",
    [
        "a b.root",
        "-rf",
        "--help",
        "ü€/\U0001f600.root",
        "a'b.root",
        'a"b',
        "$HOME",
        "`id`",
        "a;b",
        "*",
        "a\\b",
        "x/y/z.txt",
        "\t",
        "%s",
    ],
)
def test_outputs_with_difficult_names(tmp_path: Path, shell: Sequence[str], path: str) -> None:
    """A name is a name, in whatever folder."""
    plan = make(
        'mkdir -p "$(dirname -- "./$PART_p")"; printf "%s" "$PART_p" > "./$PART_p"', values={"p": path}, outputs=[path]
    )
    done = run(plan, tmp_path, shell)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / output_name("0007", 0)).read_bytes() == path.encode()


def test_an_output_that_is_a_link(tmp_path: Path, shell: Sequence[str]) -> None:
    """Its content is delivered; what the command changes later in its file is not."""
    done = run(make("mkdir d; echo data > d/real; ln -s d/real h.root"), tmp_path, shell)

    assert done.returncode == 0
    assert not (tmp_path / output_name("0007", 0)).is_symlink()
    assert (tmp_path / output_name("0007", 0)).read_bytes() == b"data\n"


def test_variables_of_the_worker_do_not_confuse_the_wrapper(tmp_path: Path, shell: Sequence[str]) -> None:
    """A worker may have set the very names that the wrapper uses."""
    names = (
        "outputs",
        "missing",
        "n",
        "path",
        "entry",
        "stopped",
        "command_code",
        "image_seen",
        "image_path",
        "asked",
        "root",
        "same",
        "differ",
        "inode",
        "stage",
        "size",
        "sum",
    )
    done = run(make("echo x > h.root"), tmp_path, shell, **dict.fromkeys(names, '"],}'))

    assert done.returncode == 0
    assert status_of(tmp_path).outputs[0] is not None


def test_standard_input_is_empty(tmp_path: Path, shell: Sequence[str]) -> None:
    """A command that asks something does not wait for ever."""
    assert run(make("cat > h.root"), tmp_path, shell).returncode == 0


# ── before the command ──────────────────────────────────────────────────────────────────────────────────────────


def test_set_up_lines_run_in_the_same_shell(tmp_path: Path, shell: Sequence[str]) -> None:
    """Their variables and functions reach the command; blank lines and comments are nothing."""
    plan = make('f; echo "$A" > h.root', setup=["A=1; export A", "", "  # a comment", "f() { B=$A; } # so", "A=2"])
    done = run(plan, tmp_path, shell)

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / output_name("0007", 0)).read_bytes() == b"2\n"


@pytest.mark.parametrize("command", ["echo x > h.root", ("cp", "/bin/sh", "h.root")])
def test_a_set_up_line_that_fails_ends_the_part(
    tmp_path: Path, shell: Sequence[str], command: str | tuple[str, ...]
) -> None:
    """With its exit code and its number; the command does not run."""
    done = run(make(command, setup=["true", "(exit 4)", "true"]), tmp_path, shell)

    assert done.returncode == 4
    assert "set-up line 2 failed" in done.stderr
    assert status_of(tmp_path).outputs == (None,)


def test_environment_reaches_the_command(tmp_path: Path, shell: Sequence[str]) -> None:
    """And the part's own names."""
    plan = make(
        'env | grep -E "^(A|PART_part|PART_index|PART_parts|PART_files)=" | sort > h.root',
        environment={"A": "1 '$x"}, values={"files": ("a", "b")},
    )  # fmt: skip
    run(plan, tmp_path, shell)

    assert (tmp_path / output_name("0007", 0)).read_text() == (
        "A=1 '$x\nPART_files=a\nPART_index=7\nPART_part=0007\nPART_parts=1\n"
    )


def test_inputs_are_unpacked(tmp_path: Path, shell: Sequence[str]) -> None:
    """Shared ones and own ones, with their bytes, into the working folder; programs can be run."""
    root = tmp_path / "root"
    root.mkdir()
    for name in ("-run me.sh", "ü.txt"):
        (root / name).write_text(f"#!/bin/sh\ncat -- ü.txt x.root > h.root # {name}\n")
        (root / name).chmod(0o755)
    (root / "x.root").write_bytes(bytes(range(256)))
    made = plan_of(seeds(1, more='inputs: ["-run me.sh", ü.txt, x.root]\n'), root)
    box = lay_out(make(("./-run me.sh",)), tmp_path / "box")
    write_archive(box / SHARED, below(root), [file for file in made.inputs if file.path != "x.root"], compress=True)
    write_archive(
        box / own_name("0007"), below(root), [file for file in made.inputs if file.path == "x.root"], compress=False
    )
    done = run(make(("./-run me.sh",)), box, shell)

    assert done.returncode == 0, done.stderr
    assert (box / output_name("0007", 0)).read_bytes() == (root / "ü.txt").read_bytes() + bytes(range(256))


@pytest.mark.parametrize("archive", [SHARED, own_name("0007")])
def test_a_damaged_archive_ends_the_part(tmp_path: Path, shell: Sequence[str], archive: str) -> None:
    """A command without its inputs does not run."""
    (tmp_path / archive).write_bytes(b"\x1f\x8b damaged")
    done = run(make("echo x > h.root"), tmp_path, shell)

    assert done.returncode == 123
    assert f"cannot unpack {archive}" in done.stderr
    assert (status_of(tmp_path).stage, status_of(tmp_path).exit_code) == ("setup", None)


def _with_shared(box: Path, name: str, data: bytes, expected: bytes) -> None:
    """A sandbox with an archive of what all parts share, and what was sent in the values of the part."""
    made = make("cat s.txt > h.root")
    lay_out(made, box)
    digest = hashlib.sha256(expected).hexdigest()
    text = values_text(made, made.parts[0], image="", shared_sha256=digest)
    (box / values_name("0007")).write_text(text)
    (box / name.replace("SHA256", digest)).write_bytes(data)


def _again(folder: Path, shell: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run the wrapper in a sandbox as it is."""
    words = [*shell, WRAPPER, "0007"]
    return subprocess.run(words, cwd=folder, env=CLEAN, capture_output=True, text=True, timeout=30, check=False)


def _packed(folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    (folder / "s.txt").write_text("shared")
    made = plan_of(seeds(1, more="inputs: [s.txt]\n"), folder)
    write_archive(folder / "a.tar.gz", below(folder), made.inputs, compress=True)
    return (folder / "a.tar.gz").read_bytes()


@pytest.mark.parametrize("name", [SHARED, "SHA256.tar.gz", "SHA256.2.tar.gz"])
def test_shared_inputs_are_what_was_sent(tmp_path: Path, shell: Sequence[str], name: str) -> None:
    """However they came: with the job, or from elsewhere under the name of their content."""
    data = _packed(tmp_path / "root")
    _with_shared(tmp_path / "box", name, data, data)
    done = _again(tmp_path / "box", shell)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "box" / output_name("0007", 0)).read_text() == "shared"


@pytest.mark.parametrize("name", [SHARED, "SHA256.tar.gz", "other.tar.gz"])
@pytest.mark.parametrize("damage", ["cut", "page", "another"])
def test_other_shared_inputs_start_nothing(tmp_path: Path, shell: Sequence[str], name: str, damage: str) -> None:
    """Cut, an error's page, or a good archive of something else: the command is not run, and the status says why."""
    data = _packed(tmp_path / "root")
    other = {"cut": data[:-20], "page": b"<html>503</html>", "another": data}[damage]
    _with_shared(tmp_path / "box", name, other, data + b"x" if damage == "another" else data)
    done = _again(tmp_path / "box", shell)

    assert done.returncode == 119
    assert ("did not arrive" if name == "other.tar.gz" else "are not what was sent") in done.stderr
    assert (status_of(tmp_path / "box").stage, status_of(tmp_path / "box").exit_code) == ("inputs", None)
    assert not (tmp_path / "box" / "work").exists()


def test_a_sandbox_that_was_used_before(tmp_path: Path, shell: Sequence[str]) -> None:
    """What an earlier try left is not taken for this one's output."""
    run(make("echo x > h.root"), tmp_path, shell)
    done = run(make("true"), tmp_path, shell)

    assert done.returncode == 123
    assert status_of(tmp_path).stage == "setup"


def test_without_its_values_the_wrapper_fails(tmp_path: Path, shell: Sequence[str]) -> None:
    """And leaves no status that says otherwise."""
    (tmp_path / WRAPPER).write_text(wrapper_text())
    done = subprocess.run([*shell, WRAPPER, "0007"], cwd=tmp_path, env=CLEAN, capture_output=True, check=False)

    assert done.returncode != 0
    assert not (tmp_path / status_name("0007")).exists()


# ── the image ───────────────────────────────────────────────────────────────────────────────────────────────────

IMAGE = "/cvmfs/unpacked.cern.ch/example.org/a/b:1"
BARE = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
OVERLAY = (
    "22 1 0:59 / / rw,nodev - overlay overlay ro,lowerdir=/var/lib/apptainer/mnt/session/overlay-lowerdir:"
    "/var/lib/apptainer/mnt/session/rootfs,redirect_dir=on\n"
)
DOCKER_ROOT = "22 1 0:59 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/X,upperdir=/u,workdir=/w\n"


def stage(
    folder: Path, *, mounts: str = OVERLAY, process1: str = "condor_master -f", marks: Sequence[str] = ()
) -> None:
    """What the kernel and the runtime show to the part."""
    folder.mkdir(exist_ok=True)
    (folder / "mountinfo").write_text("30 22 0:4 / /proc rw - proc proc rw\n" + mounts)
    (folder / "process1").write_bytes(process1.encode().replace(b" ", b"\0") + b"\0")
    for mark in marks:
        (folder / mark).mkdir() if mark.endswith(".d") else (folder / mark).touch()


def system(root: Path, text: str) -> Path:
    """The system of a worker or of an image, told by what it says of itself."""
    for name in ("usr/bin/env", "usr/bin/id", "usr/bin/tail", "etc/os-release"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name} of {text}\n")
    return root


def linked(source: Path, target: Path) -> Path:
    """The same files, as an overlay shows them: with the same numbers."""
    shutil.copytree(source, target, copy_function=os.link)
    return target


@pytest.mark.parametrize(
    ("asked", "seen", "good"),
    [
        ("", "", True),
        (IMAGE, IMAGE, True),
        (IMAGE, IMAGE + "/", True),
        (IMAGE + "/", IMAGE, True),
        (IMAGE, "/var/lib/images/b:1", True),
        ("docker://example.org/a/b:1", "/h/x/.apptainer/cache/oci-tmp/0123", True),
        ("docker://example.org/a/b:1", "/execute/dir_1/scratch/rootfs-1/root", True),
        ("docker://example.org/a/b:1", "/cvmfs/singularity.example.org/a/b:1", True),
        ("oras://example.org/a/b:1", "/h/x/.apptainer/cache/oras/0123", True),
        # that of a pilot, in which the site has left the part
        ("docker://example.org/a/b:1", "/cvmfs/singularity.example.org/pilot:7", False),
        ("docker://example.org/a/b:1", "/srv/pilot.sif", False),
        ("https://example.org/x/y.sif", "/pool/y.sif", True),
        (IMAGE, "", False),
        (IMAGE, "/cvmfs/unpacked.cern.ch/example.org/a/b:2", False),
        (IMAGE, "/cvmfs/unpacked.cern.ch/example.org/other/b:1", False),
        (IMAGE, f"/cvmfs/unpacked.cern.ch/.flat/ab/{'ab' * 32}", True),
        ("https://example.org/x/y.sif", "/pool/z.sif", False),
        ("docker://example.org/a/b:1", "", False),
    ],
)
@pytest.mark.parametrize("variable", ["APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"])
def test_the_image_asked_for(
    tmp_path: Path, shell: Sequence[str], asked: str, seen: str, variable: str, *, good: bool
) -> None:
    """A pool can ignore the request silently, so the part does not run without its image."""
    stage(tmp_path)
    environ = {"_CONDOR_SCRATCH_DIR": "/execute/dir_1/scratch", **({variable: seen} if seen else {})}
    done = run(make("echo x > h.root"), tmp_path, shell, image=asked, **environ)
    status = status_of(tmp_path)

    assert done.returncode == (0 if good else 122)
    assert status.stage == ("done" if good else "image")
    assert (status.outputs == ()) == (not good)
    assert good or "this worker" in done.stderr


@pytest.mark.parametrize("asked", [IMAGE, "docker://example.org/a/b:1", "/data/y.sif"])
@pytest.mark.parametrize("mounts", [BARE, DOCKER_ROOT, ""])
def test_a_forged_variable(tmp_path: Path, shell: Sequence[str], asked: str, mounts: str) -> None:
    """The job's environment may hold anything; the mounts say that no runtime made this root."""
    stage(tmp_path, mounts=mounts)
    forged = dict.fromkeys(("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "APPTAINER_NAME"), asked)
    done = run(make("echo x > h.root"), tmp_path, shell, image=asked, **forged)

    assert done.returncode == 122
    assert f"this worker did not start the image {asked}" in done.stderr
    assert status_of(tmp_path).image == ""


@pytest.mark.parametrize(
    ("mounts", "marks"),
    [
        (OVERLAY, ()),
        (OVERLAY.replace("apptainer", "singularity"), ()),
        ("22 1 0:64 /underlay / ro,nosuid master:24 - tmpfs tmpfs rw,size=65536k\n", ()),
        ("22 1 0:64 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw\n", ()),
        (BARE, ("singularity.d",)),
    ],
)
def test_the_marks_of_a_runtime(tmp_path: Path, shell: Sequence[str], mounts: str, marks: Sequence[str]) -> None:
    """Overlays of both programs, a root of single mounts, and what stands in every image that they build."""
    stage(tmp_path, mounts=mounts, marks=marks)

    assert run(make("echo x > h.root"), tmp_path, shell, image=IMAGE, APPTAINER_CONTAINER=IMAGE).returncode == 0


@pytest.mark.parametrize("mark", ["dockerenv", "containerenv"])
@pytest.mark.parametrize(
    ("asked", "process1", "good"),
    [
        ("docker://a/b:1", "/sbin/docker-init -- ./condor_exec.exe 0007", True),
        ("docker://a/b:1", "./condor_exec.exe 0007", True),
        ("docker://a/b:1", "condor_master -f", False),
        ("docker://a/b:1", "/sbin/docker-init -- ./condor_exec.exe 00071", False),
        (IMAGE, "./condor_exec.exe 0007", False),
        ("/data/x.sif", "./condor_exec.exe 0007", False),
    ],
)
def test_docker_counts_if_it_started_the_part(
    tmp_path: Path, shell: Sequence[str], mark: str, asked: str, process1: str, *, good: bool
) -> None:
    """A worker that is a container itself, and ignores the request, has the same marks; its first process tells."""
    stage(tmp_path, mounts=DOCKER_ROOT, process1=process1, marks=[mark])
    done = run(make("echo x > h.root"), tmp_path, shell, image=asked)

    assert done.returncode == (0 if good else 122)
    assert status_of(tmp_path).image == ("container" if good else "")
    assert WRAPPER_TEXT.count(f" {mark} ") == 1


# ── the image, if its folder can be seen from inside ──


@pytest.mark.parametrize("variable", [{}, {"APPTAINER_CONTAINER": "/anything"}])
def test_the_very_files_of_the_image_prove_it(tmp_path: Path, shell: Sequence[str], variable: dict[str, str]) -> None:
    """The root has the files of the folder asked for, whatever variables say, and whatever made it."""
    image = system(tmp_path / "images/b:1", "the image")
    box = tmp_path / "box"
    stage(box, mounts=BARE)
    linked(image, box / "root")
    done = run(make("echo x > h.root"), box, shell, image=str(image), **variable)

    assert done.returncode == 0, done.stderr
    assert (status_of(box).image, status_of(box).image_path) == (str(image), str(image))


@pytest.mark.parametrize("missing", ["", "usr/bin/id"])
def test_the_files_of_another_system_disprove_it(tmp_path: Path, shell: Sequence[str], missing: str) -> None:
    """Neither the variable nor the marks of a runtime help, if the root is not what was asked for."""
    image = system(tmp_path / "images/b:1", "the image")
    box = tmp_path / "box"
    stage(box, marks=["singularity.d"])
    system(box / "root", "the worker")
    if missing:
        (box / "root" / missing).unlink()
    done = run(make("echo x > h.root"), box, shell, image=str(image), APPTAINER_CONTAINER=str(image))

    assert done.returncode == 122
    assert "is in another system" in done.stderr


@pytest.mark.parametrize(("mounts", "good"), [(OVERLAY, True), (BARE, False)])
def test_files_that_only_look_alike(tmp_path: Path, shell: Sequence[str], mounts: str, *, good: bool) -> None:
    """A file system that gives other numbers proves nothing: the marks and the name decide."""
    image = system(tmp_path / "images/b:1", "both")
    box = tmp_path / "box"
    stage(box, mounts=mounts)
    system(box / "root", "both")
    done = run(make("echo x > h.root"), box, shell, image=str(image), APPTAINER_CONTAINER=str(image))

    assert done.returncode == (0 if good else 122), done.stderr


ONE, TWO = "ab" + "1" * 62, "cd" + "2" * 62


@pytest.mark.parametrize(
    ("known", "good"),
    [("", True), (f"sha256:{ONE}", True), (ONE, True), (f"sha256:{TWO}", False), ("'; exit 0", False)],
)
def test_the_id_of_the_image(tmp_path: Path, shell: Sequence[str], known: str, *, good: bool) -> None:
    """The link leads to a folder with the image's id, which must be the one that CI has found out."""
    flat = system(tmp_path / ".flat/ab" / ONE, "the image")
    link = tmp_path / "b:1"
    link.symlink_to(flat)
    box = tmp_path / "box"
    stage(box)
    linked(flat, box / "root")
    done = run(make("echo x > h.root"), box, shell, image=str(link), image_id=known)
    status = status_of(box)

    assert done.returncode == (0 if good else 120)
    assert status.image_path == str(flat)
    assert status.stage == ("done" if good else "other-image")
    assert good or f"this worker has the image {ONE}, and CI has" in done.stderr


@pytest.mark.parametrize(("known", "code"), [("", 0), (ONE, 0), (TWO, 120)])
def test_a_runtime_that_names_the_folder_behind_the_link(
    tmp_path: Path, shell: Sequence[str], known: str, code: int
) -> None:
    """The id is known even though nothing of CVMFS can be seen from inside."""
    flat = f"/cvmfs/unpacked.cern.ch/.flat/ab/{ONE}"
    stage(tmp_path)
    done = run(make("echo x > h.root"), tmp_path, shell, image=IMAGE, image_id=known, SINGULARITY_CONTAINER=flat)

    assert done.returncode == code
    assert status_of(tmp_path).image_path == flat


def test_an_image_that_is_swapped_while_the_part_starts(tmp_path: Path, shell: Sequence[str]) -> None:
    """The link leads to the new image, and the root is the old one: the part does not run under a false name."""
    old, new = (system(tmp_path / ".flat" / name[:2] / name, name) for name in (ONE, TWO))
    link = tmp_path / "b:1"
    link.symlink_to(new)
    box = tmp_path / "box"
    stage(box)
    linked(old, box / "root")
    done = run(make("echo x > h.root"), box, shell, image=str(link), APPTAINER_CONTAINER=str(link), image_id=TWO)

    assert done.returncode == 122


# ── what it took ────────────────────────────────────────────────────────────────────────────────────────────────

BUSY = "i=0; while [ $i -lt 150000 ]; do i=$((i + 1)); done"


@pytest.mark.parametrize("how", ["itself", "a process of it", "behind it"])
def test_cpu_time(tmp_path: Path, shell: Sequence[str], how: str) -> None:
    """That of the command and of all that it started and waited for; waiting is none."""
    commands = {
        "itself": f"{BUSY}; sleep 0.2; : > h.root",
        "a process of it": f"sh -c '{BUSY}'; sleep 0.2; : > h.root",
        "behind it": f"({BUSY}) & wait; sleep 0.2; : > h.root",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run(make(commands[how]), tmp_path, shell).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    all_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    spent_s = status_of(tmp_path).cpu_s

    assert spent_s is not None
    # The wrapper's own share is in what we measure from outside; shells count hundredths of a second.
    assert 0.5 * all_s - 0.03 < spent_s <= all_s + 0.03
    assert spent_s > 0.03


def test_a_command_that_waits_takes_no_cpu_time(tmp_path: Path, shell: Sequence[str]) -> None:
    """Wall time is another thing."""
    run(make("sleep 1.2; : > h.root"), tmp_path, shell)
    status = status_of(tmp_path)

    assert status.ended_s > status.started_s
    assert status.cpu_s is not None
    assert status.cpu_s < 0.5


@pytest.mark.parametrize("command", [f"{BUSY}; exit 3", f"{BUSY}; kill -KILL $$"])
def test_cpu_time_of_a_command_that_failed(tmp_path: Path, shell: Sequence[str], command: str) -> None:
    """It was spent all the same."""
    run(make(command), tmp_path, shell)

    assert (status_of(tmp_path).cpu_s or 0.0) > 0.03


def test_no_cpu_time_of_a_command_that_did_not_run(tmp_path: Path, shell: Sequence[str]) -> None:
    """Nothing was measured, and nothing is said."""
    (tmp_path / SHARED).write_bytes(b"no archive")
    run(make("true"), tmp_path, shell)

    assert (status_of(tmp_path).stage, status_of(tmp_path).cpu_s) == ("setup", None)


# ── what an output holds ────────────────────────────────────────────────────────────────────────────────────────


def _look(folder: Path, program: bytes, file: Path) -> str:
    """What the wrapper says of the content of a file, in a shell and with the Python of this machine."""
    folder.mkdir()
    (folder / LOOK).write_bytes(program)
    # The Python of the tests first, which has numpy.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = run(make(f"cp '{file}' h.root"), folder, ["/bin/sh"], PATH=path)
    (delivered,) = status_of(folder).outputs

    assert (done.returncode, done.stderr) == (0, "")
    assert delivered is not None
    assert delivered.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    return delivered.content


def test_content_as_the_worker_reads_it(tmp_path: Path) -> None:
    """The same hash as collect finds; not that of the file, which has its date in it."""
    first = write_root(tmp_path / "a.root", {"h": H(cells=[0, 1, 2, 0]), "d/g": H(cells=[0, 5, 0])})
    again = write_root(tmp_path / "b.root", {"h": H(cells=[0, 1, 2, 0]), "d/g": H(cells=[0, 5, 0])})
    other = write_root(tmp_path / "c.root", {"h": H(cells=[0, 1, 3, 0]), "d/g": H(cells=[0, 5, 0])})
    found = [_look(tmp_path / file.stem, program({}), file) for file in (first, again, other)]

    assert found == [Reader({}).read(file, name="x").digest for file in (first, again, other)]
    assert found[0] == found[1] != found[2]
    assert first.read_bytes() != again.read_bytes()


@pytest.mark.parametrize("what", ["a tree", "no ROOT file", "NaN", "no program", "another program"])
def test_content_that_the_worker_does_not_know(tmp_path: Path, what: str) -> None:
    """Costs nothing: no word in the log, and the output is as good as before."""
    file = tmp_path / "x.root"
    if what == "no ROOT file":
        file.write_text("<html>")
    else:
        write_root(
            file, {"h": H(cells=[0, math.nan if what == "NaN" else 1, 0])}, trees={"t": 3} if what == "a tree" else {}
        )
    text = {"no program": b"", "another program": b"print('0' * 99); raise SystemExit('no numpy')"}.get(
        what, program({})
    )

    assert _look(tmp_path / "sandbox", text, file) == ""


def test_a_worker_without_python(tmp_path: Path, shell: Sequence[str]) -> None:
    """Most images have one; those that have none deliver all the same."""
    (tmp_path / LOOK).write_bytes(program({}))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("date", "uname", "tr", "mv", "mkdir", "cp", "sed", "wc", "cut", "sha256sum", "sh", "basename", "cat"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    whole = [shutil.which(shell[0]) or shell[0], *shell[1:]]
    done = run(make("echo x > h.root"), tmp_path, whole, PATH=str(tools))
    (delivered,) = status_of(tmp_path).outputs

    assert (done.returncode, done.stderr) == (0, "")
    assert delivered is not None
    assert (delivered.size_b, delivered.content) == (2, "")


def test_the_program_is_the_same_to_the_last_byte() -> None:
    """What goes to the workers has no date of its own; the policies of the merge are in it."""
    assert program({"sums": "plain", "averages": "sum"}) == program({"averages": "sum", "sums": "plain"})
    assert program({}) != program({"averages": "sum"})


def test_the_program_holds_what_it_imports_and_nothing_else() -> None:
    """Each job gets a copy: what the reader does not need would be sent as often as there are parts."""
    with zipfile.ZipFile(io.BytesIO(program({}))) as archive:
        sources = {name: archive.read(name).decode() for name in archive.namelist() if name.startswith("septum/")}
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in sources}
    wanted, seen = ["septum.merge.strict.contents"], set()
    while wanted:
        module = wanted.pop()
        if module not in seen:
            seen.add(module)
            # A package is imported before what is in it.
            wanted += [module.rpartition(".")[0]] * ("." in module)
            wanted += _imported(sources[modules[module]], modules)

    assert seen == set(modules)


def _imported(source: str, modules: Collection[str]) -> set[str]:
    """The modules of septum that a source imports, inside of functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # What is imported from a package may be a module, or something in it.
            found |= {str(node.module), *({f"{node.module}.{alias.name}" for alias in node.names} & set(modules))}
    return {name for name in found if name.split(".")[0] == "septum"}


# ── signals ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize(
    "command",
    [
        "touch ../ready; exec sleep 30",
        "trap 'echo x > h.root; exit 0' TERM; touch ../ready; while :; do sleep 0.05; done",
    ],
)
def test_a_signal_to_the_wrapper(tmp_path: Path, shell: Sequence[str], number: signal.Signals, command: str) -> None:
    """The command gets it, and the status says `stopped`: also if the command takes it for a good end."""
    lay_out(make(command), tmp_path)
    with subprocess.Popen(
        [*shell, WRAPPER, "0007"], cwd=tmp_path, env=CLEAN, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 10
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        process.send_signal(number)
        process.wait(10)

    assert status_of(tmp_path).stage == "stopped"
    assert (tmp_path / output_name("0007", 0)).is_file()


def test_a_wrapper_that_is_killed_leaves_a_status_that_says_so(tmp_path: Path, shell: Sequence[str]) -> None:
    """`started` is no end, and every file to bring back is there."""
    lay_out(make("touch ../ready; exec sleep 30"), tmp_path)
    with subprocess.Popen([*shell, WRAPPER, "0007"], cwd=tmp_path, env=CLEAN, start_new_session=True) as process:
        deadline = time.monotonic() + 10
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)

    assert (status_of(tmp_path).stage, status_of(tmp_path).outputs) == ("started", ())
    assert (tmp_path / output_name("0007", 0)).is_file()


# ── values ──────────────────────────────────────────────────────────────────────────────────────────────────────

VALUES = {
    "empty": "",
    "space": " ",
    "spaces": "  a  b  ",
    "single": "it's",
    "many singles": "'''" * 3,
    "double": 'say "x"',
    "dollar": "$HOME ${HOME} $(id) $$ $1",
    "backtick": "`id`",
    "backslash": "\\ \\n \\\\ a\\",
    "newline": "a\nb",
    "trailing newline": "a\n",
    "newlines": "\n\n",
    "CR": "a\rb\r\n",
    "tab": "\ta\t",
    "bell": "\x01\x02\x07\x1b[2J\x7f",
    "glob": "* ? [a-z] ~ {a,b}",
    "dash": "-n",
    "dashes": "--",
    "percent": "%s%d%%",
    "history": "!! !x",
    "semicolon": "; exit 7 #",
    "braces": "{seed} {{x}}",
    "unicode": "ü€\U0001f600\u2028\ufeff",
    # dash and others use the bytes 0x81 to 0x88 for themselves.
    "bytes": "".join(chr(code) for code in range(0x80, 0x180)) + "łńňŁ",
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_arrives_byte_for_byte(tmp_path: Path, shell: Sequence[str], name: str) -> None:
    """As a word of the command, as a variable of the shell, and in the environment of a program."""
    value = VALUES[name]
    script = 'printf "%s" "$PART_v" > a; printf "%s" "$1" > b; awk \'BEGIN { printf "%s", ENVIRON["PART_v"] }\' > c'
    done = run(make(("sh", "-c", script, "sh", "{v}"), values={"v": value}, outputs=["a", "b", "c"]), tmp_path, shell)
    arrived = [(tmp_path / output_name("0007", number)).read_bytes() for number in range(3)]

    assert done.returncode == 0, done.stderr
    assert arrived == [value.encode()] * 3


@pytest.mark.parametrize("part_shell", ["sh", "bash"])
def test_all_values_arrive_in_a_script(tmp_path: Path, shell: Sequence[str], part_shell: str) -> None:
    """In both shells that a command given as text may choose."""
    if not shutil.which(part_shell):
        pytest.skip(f"no {part_shell}")
    values = {f"v{number}": value for number, value in enumerate(VALUES.values())}
    outputs = [f"o{number}" for number in range(len(values))]
    script = "\n".join(f'printf "%s" "$PART_v{number}" > o{number}' for number in range(len(values)))
    done = run(make(script, values=values, outputs=outputs, part_shell=part_shell), tmp_path, shell)
    arrived = [(tmp_path / output_name("0007", number)).read_bytes() for number in range(len(values))]

    assert done.returncode == 0, done.stderr
    assert arrived == [value.encode() for value in VALUES.values()]


def test_several_texts_arrive_as_words(tmp_path: Path, shell: Sequence[str]) -> None:
    """Each file of a part is one word, whatever is in its name."""
    files = ("a b", "it's", "ü\n", "")
    plan = make(("sh", "-c", 'for f; do printf "<%s>" "$f"; done > h.root', "sh", "{files}"), values={"files": files})
    run(plan, tmp_path, shell)

    assert (tmp_path / output_name("0007", 0)).read_text() == "".join(f"<{name}>" for name in files)


@pytest.mark.parametrize("letter", ["x", "'", "ü"])
def test_a_long_value_arrives_in_a_script(tmp_path: Path, shell: Sequence[str], letter: str) -> None:
    """200 kB are more than the kernel lets a variable hold, and the script has them all the same."""
    value = letter * (200_000 // len(letter.encode()))
    done = run(make('true; printf "%s" "$PART_v" > h.root; ls > /dev/null', values={"v": value}), tmp_path, shell)

    assert done.returncode == 0, done.stderr[:300]
    assert (tmp_path / output_name("0007", 0)).read_bytes() == value.encode()


def test_a_long_word_of_a_command_fails_loudly(tmp_path: Path, shell: Sequence[str]) -> None:
    """The kernel refuses it; the part does not run with a shorter one."""
    plan = make(("sh", "-c", 'printf "%s" "$1" > h.root', "sh", "{v}"), values={"v": "x" * 200_000})
    done = run(plan, tmp_path, shell)

    assert done.returncode == 126
    assert status_of(tmp_path).outputs == (None,)


def test_the_wrapper_is_posix_sh() -> None:
    """No word of a larger shell is in it."""
    text = wrapper_text()

    assert text.startswith("#!/bin/sh\n")
    assert [word for word in ("[[", "local ", "function ", "pipefail", "$'", "<<<", "declare -") if word in text] == []


def test_a_status_is_json_for_any_host_and_image(tmp_path: Path, shell: Sequence[str]) -> None:
    """Quotes in a name cannot break the file."""
    stage(tmp_path)
    run(make("echo x > h.root"), tmp_path, shell, image="docker://a/abcde", APPTAINER_CONTAINER="a\"b\\c\nd'e")

    assert status_of(tmp_path).image == "abcde"
    assert json.loads((tmp_path / status_name("0007")).read_text())["part"] == "0007"


def test_values_are_read_by_any_shell_as_written(tmp_path: Path) -> None:
    """What `shlex` quotes is what the file holds: nothing is expanded twice."""
    plan = make(("run", "{v}"), values={"v": "$(touch hacked)"})
    plan = replace(plan, outputs=(OutputFile(path="$(touch hacked).root", objects=()),))
    lay_out(plan, tmp_path)
    subprocess.run(["/bin/sh", "-c", f". ./{values_name('0007')}"], cwd=tmp_path, check=True)

    assert not (tmp_path / "hacked").exists()
    assert "$(touch hacked).root" in shlex.split((tmp_path / values_name("0007")).read_text())[4]


@pytest.mark.parametrize("setup", ["exit 0", "printf x > h.root; exit 0", "exec true"])
def test_a_set_up_line_cannot_end_the_part_well(tmp_path: Path, shell: Sequence[str], setup: str) -> None:
    """A sourced script that ends with `exit 0` takes the command with it; that is no success."""
    done = run(make("printf data > h.root", setup=[setup]), tmp_path, shell)

    assert done.returncode == 123
    assert "before the command began" in done.stderr
    assert status_of(tmp_path).stage == "setup"


def test_a_pipe_in_a_set_up_line_fails_in_bash(tmp_path: Path, shell: Sequence[str]) -> None:
    """As it does in the command."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    done = run(make("printf data > h.root", setup=["false | true"], part_shell="bash"), tmp_path, shell)

    assert done.returncode == 1
    assert "set-up line 1 failed" in done.stderr


# ── the folder of a failed part ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["exit 3", "true", "kill -9 $$"], ids=["fails", "writes nothing", "killed"])
def test_the_folder_of_a_failed_part(tmp_path: Path, shell: Sequence[str], command: str) -> None:
    """All that its command left, and nothing of what stands beside it; where the user wants it."""
    plan = replace(make(f"echo seen > 'events of 7.txt'; {command}"), keep_sandbox_b=100_000)
    lay_out(plan, tmp_path)
    (tmp_path / "x509up_proxy").write_text("a secret")
    run(plan, tmp_path, shell)

    with tarfile.open(tmp_path / sandbox_name("0007")) as archive:
        assert sorted(archive.getnames()) == ["work", "work/events of 7.txt"]
    assert sandbox_name("0007") in returned_names(plan, "0007")


def test_no_folder_of_a_good_part(tmp_path: Path, shell: Sequence[str]) -> None:
    """An empty file, which the transfer does not miss."""
    plan = replace(make("echo x > h.root"), keep_sandbox_b=100_000)

    assert run(plan, tmp_path, shell).returncode == 0
    assert (tmp_path / sandbox_name("0007")).read_bytes() == b""


def test_a_folder_that_is_too_large(tmp_path: Path, shell: Sequence[str]) -> None:
    """It stays where it is, and the log says so."""
    plan = replace(make("head -c 100000 /dev/urandom > big; exit 3"), keep_sandbox_b=50_000)
    done = run(plan, tmp_path, shell)

    assert done.returncode == 3
    assert "larger than keep-failed-sandbox allows" in done.stderr
    assert (tmp_path / sandbox_name("0007")).read_bytes() == b""


def test_no_folder_unasked(tmp_path: Path, shell: Sequence[str]) -> None:
    """Whatever happens."""
    plan = make("exit 3")
    run(plan, tmp_path, shell)

    assert not (tmp_path / sandbox_name("0007")).exists()
    assert sandbox_name("0007") not in returned_names(plan, "0007")

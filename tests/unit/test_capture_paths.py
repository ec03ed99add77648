"""Parts of paths in submit descriptions: `$Fp(name)` and its like, as the recorder and HTCondor's parser read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from septum.capture.lay import lay
from septum.capture.procs import procs
from septum.capture.recording import Submission, read
from septum.errors import CaptureError

htcondor2 = pytest.importorskip("htcondor2", reason="HTCondor's bindings exist for Linux only")

SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]
LETTERS = [
    *(
        "F",
        "Fp",
        "Fd",
        "Fn",
        "Fx",
        "Fpx",
        "Fpn",
        "Fnx",
        "Fpnx",
        "Fxnp",
        "Fdn",
        "Fdnx",
        "Fdx",
        "Fdb",
        "Fpb",
        "Fb",
        "Fnb",
    ),
    *("Fxb", "Fbx", "Fpd", "Fpxb", "Fq", "Fqa", "Fa", "Fu", "FPN"),
]
PATHS = [
    *("/eos/u/data/sub/file.txt.gz", "rel/d/f.root", "plain", "a/b/", "x.y", "./q.txt", "/top.txt", "../up/z.z"),
    *(".bashrc", "a/.b", "a.", "..", "a/..", "a.b/c", "/", "//a//b.c", "a..b", "a/b/.c.d"),
]
# Parts that must not be empty: between quotes, or of as many folders as there are letters.
FEW = {
    "Fdd": ("/top/d/x.y", "a/b/c.d", "plain", "/d/plain"),
    "Fddnx": ("a/b/c.d", "x.y"),
    "Fdddb": ("/a/b/c.d",),
    "Fpq": ("a/b/c.d",),
    "Fnq": ("a/b/c.d", "plain"),
}
PAIRS = [(letters, path) for letters in LETTERS for path in PATHS]
PAIRS += [(letters, path) for letters, paths in FEW.items() for path in paths]


def _of_htcondor(letters: str, path: str) -> str:
    submit = htcondor2.Submit(f"x = {path}\ny = ${letters}(x)\nqueue\n")
    try:
        return str(submit.expand("y"))
    except KeyError:
        return ""


def _call(text: str) -> Submission:
    return Submission(
        number=1,
        text=text,
        words=("f.sub",),
        folder=PurePosixPath("/builds/group/project"),
        environment={},
        answers=((1, 1),),
        items=None,
        files={},
        left_out={},
    )


def _record(folder: Path, shell: str, text: str) -> subprocess.CompletedProcess[str]:
    """Submit a description in a folder, to the recorder."""
    lay(folder / ".septum/recorder")
    return subprocess.run(
        [shell, *(["sh"] if shell == "busybox" else []), str(folder / ".septum/recorder/bin/condor_submit")],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "SEPTUM_RECORDING": str(folder / ".septum/recording")},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_every_part_is_htcondors(shell: str, tmp_path: Path) -> None:
    """Hundreds of parts of paths, with hidden files, doubled slashes and no folder at all."""
    lay(tmp_path)
    script = (
        '. "$0/lib/paths.sh"; while read -r letters path; do part_of_path "$letters"; printf "%s\\n" "$piece"; done'
    )
    done = subprocess.run(
        [shell, *(["sh"] if shell == "busybox" else []), "-c", script, str(tmp_path)],
        input="".join(f"{letters[1:].lower()}- {path}\n" for letters, path in PAIRS),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    found = dict(zip(PAIRS, done.stdout.split("\n"), strict=False))
    assert {pair: text for pair, text in found.items() if text != _of_htcondor(*pair)} == {}
    assert len(found) > 400


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ("f = a/b/in.root\ntransfer_input_files = $Fp(f)cfg.py", "a/b/cfg.py"),
        ("f = a/b/in.root\ntransfer_input_files = $Fpn(f).py", "a/b/in.py"),
        ("d = a/b\ng = $(d)/in.root\nf = $(g)\ntransfer_input_files = $Fdd(f)$Fn(f).py", "a/b/in.py"),
        ("f = a/b/in.root\nh = $Fp(f)other\ntransfer_input_files = $Fpx(h)", "a/b/other"),
        ("transfer_input_files = $Fp(a/b/in.root)cfg.py", "a/b/cfg.py"),
        ('f = "a/b/in.root"\ntransfer_input_files = $FP(f)cfg.py', "a/b/cfg.py"),
        ("transfer_input_files = a/b/$Fn(nobody).py", "a/b/nobody.py"),
    ],
)
def test_a_file_named_by_a_part_of_a_path_is_recorded(lines: str, name: str, tmp_path: Path) -> None:
    """Below folders, of macros of macros, and under the very name that the parser gives later."""
    for path in ("a/b/cfg.py", "a/b/in.py", "a/b/in.root", "a/b/other", "a/b/nobody.py", "a/b/stranger.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)

    done = _record(tmp_path, "sh", f"executable = /bin/true\n{lines}\nqueue\n")

    assert done.returncode == 0, done.stderr
    (submission,) = read(tmp_path / ".septum/recording")
    assert set(submission.files) == {name}
    (proc,) = procs(submission)
    assert submission.copy_of(proc.inputs[0]) == submission.files[name]


def test_paths_that_refer_to_each_other_end(tmp_path: Path) -> None:
    """With an error, and not with a shell that has no more memory."""
    text = "executable = /bin/true\na = $Fp(b)\nb = $Fp(a)\ntransfer_input_files = $(a)\nqueue\n"

    done = _record(tmp_path, "sh", text)

    assert (done.returncode, "never end" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "lines",
    [
        "f = d/x.y\ntransfer_input_files = $Fdd(f)",
        "f = ./x.y\ng = $(f)\ntransfer_input_files = a/$Fnddx(g)",
        "f = x\ntransfer_input_files = $Fdd(a/$(f))",
    ],
)
def test_more_folders_than_there_are(lines: str, tmp_path: Path) -> None:
    """HTCondor reads beyond the beginning of the text, and gives anything or ends; that is refused on both sides."""
    text = f"executable = /bin/true\n{lines}\nqueue\n"

    done = _record(tmp_path, "sh", text)

    assert (done.returncode, "which has fewer folders" in done.stderr) == (1, True)
    with pytest.raises(CaptureError) as caught:
        procs(_call(text))
    assert "transfer_input_files uses $F" in caught.value.evidence
    assert "which has fewer folders" in caught.value.evidence

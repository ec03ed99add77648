"""How septum gets into a CI job: the lines of the components, as they are, with a wheel built from this checkout."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker

import septum
from septum.components import pins
from septum.components.render import parse
from septum.facility.cache import cache_folder
from tools import lock
from tools.lockfile import read_lock

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "0123456789abcdef" * 4
# Without rustc: pip asks for its version, to tell the index.
COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "cmake", "make", "ninja", "ld", "cargo", "gfortran")
SEPTUM = f"septum-{septum.__version__}-py3-none-any.whl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What stands for the image of an analysis: a PATH with Python and compilers that must not be called."""

    folder: Path
    wheels: Path
    requirement: str

    @property
    def called(self) -> list[str]:
        """The compilers that something called."""
        log = self.folder / "compilers.log"
        return log.read_text(encoding="utf-8").split() if log.exists() else []

    def environ(self, **changes: str) -> dict[str, str]:
        """What a CI job of a component has in its environment, as far as it matters here."""
        proxies = {key: value for key, value in os.environ.items() if key.lower().endswith(("_proxy", "_cert"))}
        index = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_"))}
        return {
            **proxies,
            **index,
            "HOME": os.environ.get("HOME", str(self.folder)),
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(cache_folder() / "pip")),
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "PIP_FIND_LINKS": f"{self.wheels} {os.environ.get('PIP_FIND_LINKS', '')}".strip(),
            "TMPDIR": str(self.folder / "tmp"),
            "SEPTUM_VERSION": septum.__version__,
            "SEPTUM_WHEEL": self.requirement,
            **changes,
        }

    def run(self, after: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run `before_script` and then some lines, in one shell and an empty checkout, as GitLab Runner does."""
        checkout = self.folder / "checkout"
        checkout.mkdir(exist_ok=True)
        return subprocess.run(
            ["sh", "-e", "-c", f"{before_script()}\n{after}"],
            cwd=checkout,
            env=self.environ(**changes),
            text=True,
            capture_output=True,
            timeout=600,
            check=False,
        )


def before_script() -> str:
    """The lines of the committed component, to the byte."""
    _, body = parse((ROOT / "templates" / "analysis.yml").read_text(encoding="utf-8"), "analysis")
    jobs = [job for job in body.values() if isinstance(job, dict)]
    (lines,) = {"\n".join(job["before_script"]) for job in jobs if job.get("before_script")}
    return lines


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit: this checkout as it is, uncommitted lines included."""
    tree = tmp_path_factory.mktemp("tree") / "septum"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "copier.yml"):
        shutil.copy(ROOT / name, tree / name)
    for name in ("src", "tools", "starter", "components"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "init.defaultBranch=main"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "all of it"]):
        subprocess.run(["git", *identity, *command], cwd=tree, check=True, env=_git_alone())
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    """Its wheel, by the tool that builds the release."""
    _build(tree, tree.parent / "dist")
    return tree.parent / "dist" / SEPTUM


def _git_alone() -> dict[str, str]:
    return {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def _build(tree: Path, output: Path, **changes: str) -> None:
    environ = {**_git_alone(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **changes}
    subprocess.run([tree / "tools" / "wheel", output], env=environ, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def image(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Without septum; the component is the one that a release of this wheel renders."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "tmp").mkdir()
    (folder / "bin").mkdir()
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "bin" / "python3").symlink_to(base)
    for name in COMPILERS:
        program = folder / "bin" / name
        program.write_text(f"#!/bin/sh\necho {name} >> {shlex.quote(str(folder / 'compilers.log'))}\nexit 1\n")
        program.chmod(0o755)
    requirement = pins.of_wheel(wheel, DIGEST).requirement
    return Image(folder=folder, wheels=wheel.parent, requirement=requirement)


@pytest.fixture(scope="module")
def installed(image: Image) -> tuple[Image, Path, str]:
    """After one run of `before_script`: the environment that it made, and what the lines after it saw."""
    shadow = image.folder / "shadow" / "numpy"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise SystemExit('the numpy of the image')\n")
    done = image.run(
        "command -v python3; command -v septum; septum --version; pwd; ls -A",
        PYTHONPATH=str(shadow.parent),
        PIP_USER="1",
    )
    assert done.returncode == 0, done.stderr
    (python,) = (image.folder / "tmp").glob("*/venv/bin/python3")
    return image, python, done.stdout


# ── an image without septum ─────────────────────────────────────────────────────────────────────────────────────


def test_an_image_without_septum_gets_it(installed: tuple[Image, Path, str]) -> None:
    """This version, beside the checkout, and nothing of the image is in the way or replaced.

    The user's own lines find the python3 of the image, with its ROOT; septum finds its own packages, not those that the
    PYTHONPATH of the image names.
    """
    image, python, said = installed
    their_python, our_septum, version, *checkout = said.splitlines()

    assert their_python == str(image.folder / "bin" / "python3")
    assert our_septum == str(python.parents[2] / "bin" / "septum")
    assert [path.name for path in Path(our_septum).parent.iterdir()] == ["septum"]
    assert version == f"septum {septum.__version__}"
    assert checkout == [str(image.folder / "checkout")]


def test_all_of_it_is_there(installed: tuple[Image, Path, str]) -> None:
    """Pip finds nothing missing, and what is compiled can be loaded: bindings, numbers, ROOT files."""
    _, python, _ = installed
    modules = "numpy, scipy, uproot, cramjam, cryptography" + (", htcondor2" if sys.platform == "linux" else "")

    checked = subprocess.run([python, "-I", "-m", "pip", "check"], text=True, capture_output=True, check=False)
    loaded = subprocess.run(
        [python, "-I", "-c", f"import {modules}"],
        env={"PATH": os.defpath, "CONDOR_CONFIG": "ONLY_ENV"},
        text=True,
        capture_output=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout
    assert loaded.returncode == 0, loaded.stderr


def test_it_is_what_the_lock_says_and_nothing_else(installed: tuple[Image, Path, str]) -> None:
    """Version by version; pip and setuptools came with Python's own venv."""
    _, python, _ = installed
    listed = subprocess.run(
        [python, "-I", "-m", "pip", "list", "--format=freeze"], text=True, capture_output=True, check=True
    )
    found = {re.sub(r"[-_.]+", "-", line.lower()) for line in listed.stdout.split()}
    locked = read_lock((ROOT / lock.LOCK).read_text(encoding="utf-8"))
    here = {f"{item.name}=={item.version}" for item in locked if not item.marker or Marker(item.marker).evaluate()}
    expected = {re.sub(r"[-_.]+", "-", name) for name in here | {f"septum=={septum.__version__}"}}

    assert {name for name in found if not name.startswith(("pip==", "setuptools=="))} == expected


def test_no_compiler_was_called(installed: tuple[Image, Path, str]) -> None:
    """Wheels only: an image without one is enough, and no code of a package ran before its hash was compared."""
    image, _, _ = installed

    assert shutil.which("cc", path=image.environ()["PATH"]) == str(image.folder / "bin" / "cc")
    assert image.called == []


def test_septums_own_image_takes_the_same_way(installed: tuple[Image, Path, str], wheel: Path, tmp_path: Path) -> None:
    """The lines of the Containerfile that install, where the packages are already: it asks for nothing that differs.

    What it adds, ROOT's wheel, is fetched and its hash compared, and not unpacked.
    """
    image, python, _ = installed
    steps = re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text(encoding="utf-8"))
    (run,) = [line for line in steps.splitlines() if line.startswith("RUN") and "pip" in line]
    lines = [line.strip() for line in run.removeprefix("RUN").split("&&")]
    installing = [line for line in lines if line.startswith("python3")]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(python)
    script = " && ".join(installing).replace("/tmp/dist", str(wheel.parent))

    report = tmp_path / "report.json"
    done = subprocess.run(
        ["sh", "-e", "-c", script.replace("python3 -I", str(python) + " -I")],
        env=image.environ(PIP_DRY_RUN="1", PIP_REPORT=str(report)),
        text=True,
        capture_output=True,
        timeout=600,
        check=False,
    )
    added = set(re.findall(r'"name": "([^"]+)",\n\s*"version"', report.read_text(encoding="utf-8")))

    assert len(installing) == 2
    assert lines.index(installing[1]) < lines.index("septum --version")
    assert done.returncode == 0, done.stdout + done.stderr
    assert added <= {"root"}
    assert image.called == []


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def other_wheel(image: Image) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What comes of one changed byte in the wheel that the index has; and the environment that was made for it."""
    folder = image.folder / "other"
    folder.mkdir()
    good = (image.wheels / SEPTUM).read_bytes()
    # In the comment of the archive: all that pip would install is the same.
    (folder / SEPTUM).write_bytes(good)
    with zipfile.ZipFile(folder / SEPTUM, "a") as archive:
        archive.comment = b"x"
    (image.folder / "tmp-other").mkdir()
    done = image.run("septum --version", PIP_FIND_LINKS=str(folder), TMPDIR=str(image.folder / "tmp-other"))
    (python,) = (image.folder / "tmp-other").glob("*/venv/bin/python3")
    return done, python


@pytest.fixture(scope="module")
def halfway(other_wheel: tuple[subprocess.CompletedProcess[str], Path], image: Image) -> Path:
    """The Python of an environment with septum's wheel and nothing that it needs."""
    _, python = other_wheel
    how = ("--quiet", "--no-deps", "--no-index", "--no-compile")
    subprocess.run([python, "-I", "-m", "pip", "install", *how, image.wheels / SEPTUM], check=True, timeout=120)
    return python


def test_another_wheel_is_refused(other_wheel: tuple[subprocess.CompletedProcess[str], Path], wheel: Path) -> None:
    """Exit code 4, which nobody tries again, with both hashes; nothing of it was installed."""
    done, python = other_wheel

    assert done.returncode == 4, done.stderr
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in done.stderr
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert done.stdout == ""
    assert not list(python.parents[1].glob("lib/*/site-packages/septum*"))


def test_a_package_with_another_hash_is_refused(halfway: Path, image: Image) -> None:
    """Some digits in the lock that are not those of the file: exit code 4, and the package is not installed."""
    (path,) = halfway.parents[1].glob("lib/*/site-packages/septum/lock.txt")
    text = path.read_text(encoding="utf-8")
    first = read_lock(text)[0]
    path.write_text(re.sub(r"sha256:.{4}", "sha256:0000", first.text), encoding="utf-8")

    done = subprocess.run(
        [halfway, "-I", "-m", "septum.install", str(image.folder / "nowhere")],
        env=image.environ(),
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    path.write_text(text, encoding="utf-8")

    assert done.returncode == 4, done.stderr
    assert "[E007]" in done.stderr
    assert first.name in done.stderr
    assert not (image.folder / "nowhere").exists()
    assert not list(path.parents[1].glob(f"{first.name.replace('-', '_')}-*.dist-info"))


def test_a_package_index_that_does_not_answer_is_asked_again_later(halfway: Path, image: Image) -> None:
    """Exit code 75, which GitLab repeats: whether it is septum's own wheel or a dependency that does not come."""
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_TIMEOUT": "2",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_FIND_LINKS": "",
    }

    done = subprocess.run(
        [halfway, "-I", "-m", "septum.install", str(image.folder / "nowhere")],
        env=image.environ(**nowhere),
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 75, done.stderr
    assert "[E750]" in done.stderr
    # The lines of the component end in the same way, before there is anything of septum's.
    (download,) = [line for line in before_script().splitlines() if "pip download" in line]
    first = subprocess.run(
        ["sh", "-c", download],
        env=image.environ(**nowhere, to=str(halfway.parents[2])),
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert first.returncode == 75, first.stderr


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("sys.version_info = (3, 9, 18, 'final', 0)", id="Python 3.9"),
        pytest.param("sys.modules['ensurepip'] = None", id="no ensurepip, as Debian has it"),
        pytest.param("sys.modules['venv'] = None", id="no venv"),
    ],
)
def test_an_image_that_cannot_have_septum_says_so(image: Image, tmp_path: Path, first: str) -> None:
    """Exit code 2 and what the image needs, not the words of pip; a real Python whose age or parts are taken away."""
    real = shlex.quote(str((image.folder / "bin" / "python3").resolve()))
    python = tmp_path / "python3"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || exit 9\nexec {real} -c "import sys; {first}\n$2"\n', encoding="utf-8"
    )
    python.chmod(0o755)

    done = image.run("septum --version", PATH=f"{tmp_path}:/usr/bin:/bin")

    assert done.returncode == 2, done.stderr
    assert "the image needs Python 3.10 or newer with venv" in done.stderr
    assert done.stdout == ""


def test_an_image_with_this_septum_is_left_alone(image: Image, tmp_path: Path) -> None:
    """As septum's own: no Python is asked for, nothing is installed. One of another version does not count."""
    program = tmp_path / "septum"
    program.write_text(f'#!/bin/sh\n[ "$*" != --version ] || echo "septum {septum.__version__}"\n')
    program.chmod(0o755)
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"

    own = image.run("command -v septum", PATH=path)
    older = image.run("command -v septum", PATH=path, SEPTUM_VERSION="0.0.9")

    assert (own.returncode, own.stdout, own.stderr) == (0, f"{program}\n", "")
    assert older.returncode == 2
    assert "or septum 0.0.9 itself" in older.stderr


# ── the wheel ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_commit_gives_the_same_bytes(tree: Path, wheel: Path, tmp_path: Path) -> None:
    """In another folder, with another umask and time zone, with files that nobody committed lying about."""
    again = tmp_path / "another place"
    umask = os.umask(0o077)
    try:
        subprocess.run(["git", "clone", "--quiet", tree, again], check=True, env=_git_alone())
        (again / "src" / "septum" / "left_behind.py").write_text("x = 1\n")
        _build(again, tmp_path / "dist", TZ="Asia/Tokyo", SOURCE_DATE_EPOCH="1900000000", LC_ALL="C")
    finally:
        os.umask(umask)

    assert (tmp_path / "dist" / SEPTUM).read_bytes() == wheel.read_bytes()


def test_pins_do_not_change_what_they_pin(wheel: Path) -> None:
    """Neither the sources of the components nor their pins are in the wheel; the locks are."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {"septum/lock.txt", "septum/lock-root.txt", "septum/install.py"} <= set(names)
    assert [name for name in names if not name.startswith(("septum/", f"septum-{septum.__version__}.dist-info/"))] == []
    assert [name for name in names if name.endswith("release.json") or "/templates/" in name] == []

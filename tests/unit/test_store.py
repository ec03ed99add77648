"""The folder of credential files."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from septum.credentials.secret import Secret, redact
from septum.credentials.store import Store, sweep
from septum.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables of a CI job whose runtime folder is ours."""
    (tmp_path / "run").mkdir()
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "CI_PROJECT_DIR": str(tmp_path / "checkout"), "CI_JOB_ID": "42"}


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Each umask that a runner may have, and absurd ones."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("environ", "umask")  # in this order: the folder around it is made before
def test_modes(environ: dict[str, str]) -> None:
    """The folder is 0700 and the files are 0600 whatever the umask."""
    with Store.create(environ) as store:
        path = store.write("token", b"x")
        again = store.write("token", b"y")

        assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert again == path
        assert path.read_bytes() == b"y"
        assert [p.name for p in store.folder.iterdir()] == ["token"]


def test_place_and_name(environ: dict[str, str]) -> None:
    """The runtime folder comes first, and the CI job's number is in the name."""
    with Store.create(environ) as store:
        assert str(store.folder).startswith(environ["XDG_RUNTIME_DIR"] + "/septum-credentials-42-")
    with Store.create({**environ, "CI_JOB_ID": "../../x"}) as store:
        assert store.folder.parent == store.folder.parent.resolve()
        assert str(store.folder.parent) == environ["XDG_RUNTIME_DIR"]


def test_removed_on_close(environ: dict[str, str]) -> None:
    """Nothing stays behind, and closing twice does no harm."""
    store = Store.create(environ)
    store.write("token", b"x")

    store.close()
    store.close()

    assert not store.folder.exists()


def test_all_that_is_in_it_goes(environ: dict[str, str], tmp_path: Path) -> None:
    """What a provider left in the folder goes with it, such as the keytab of a kinit that was not waited for."""
    (tmp_path / "kept").write_text("untouched")
    store = Store.create(environ)
    (store.folder / "kinit-x" / "deeper").mkdir(parents=True)
    (store.folder / "kinit-x" / "keytab").write_text("x")
    (store.folder / "kinit-x" / "link").symlink_to(tmp_path)
    (store.folder / "link").symlink_to(tmp_path, target_is_directory=True)

    store.close()

    assert not store.folder.exists()
    assert (tmp_path / "kept").read_text() == "untouched"


def test_write_after_close(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is late writes nowhere, and hears of it."""
    monkeypatch.chdir(tmp_path)
    store = Store.create(environ)
    store.close()

    with pytest.raises(OSError, match="has been deleted"):
        store.write("token", b"x")

    assert list(tmp_path.rglob("*token*")) == []


def test_closed_while_written(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is writing while another closes comes to its end, and leaves nothing behind."""
    writing, released = threading.Event(), threading.Event()
    written: list[Path] = []

    def slow(_: int) -> None:
        writing.set()
        released.wait(20)

    store = Store.create(environ)
    monkeypatch.setattr("os.fsync", slow)
    writer = threading.Thread(target=lambda: written.append(store.write("token", b"x")))
    closer = threading.Thread(target=store.close)
    writer.start()
    assert writing.wait(10)
    closer.start()
    closer.join(0.1)

    assert closer.is_alive()
    released.set()
    writer.join(10)
    closer.join(10)
    assert written == [store.folder / "token"]
    assert not store.folder.exists()


def test_removed_at_exit(environ: dict[str, str]) -> None:
    """A process that forgets to close still leaves nothing."""
    code = "import os; from septum.credentials.store import Store; s = Store.create(os.environ); s.write('a', b'x')"
    code += "; print(s.folder)"

    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environ}, check=True, capture_output=True, text=True
    )

    assert done.stdout.startswith(environ["XDG_RUNTIME_DIR"])
    assert not os.path.lexists(done.stdout.strip())


def test_child_does_not_remove(environ: dict[str, str]) -> None:
    """A forked child that ends does not take the files away."""
    with Store.create(environ) as store:
        path = store.write("token", b"x")
        child = os.fork()
        if child == 0:
            store.close()
            os._exit(0)
        os.waitpid(child, 0)

        assert path.exists()


def test_never_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime folder inside the checkout is passed over, also through a link or as the current repository."""
    checkout = tmp_path / "checkout"
    (checkout / "run").mkdir(parents=True)
    (tmp_path / "link").symlink_to(checkout / "run")
    environ = {"CI_PROJECT_DIR": str(checkout), "TMPDIR": str(tmp_path)}
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository")

    for runtime in (checkout / "run", tmp_path / "link", tmp_path / "repository", checkout / ".." / "checkout"):
        with Store.create({**environ, "XDG_RUNTIME_DIR": str(runtime)}) as store:
            assert not store.folder.resolve().is_relative_to(checkout)
            assert not store.folder.resolve().is_relative_to(tmp_path / "repository")


def test_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no place outside the checkout there is an error, and no folder."""
    monkeypatch.chdir("/")

    with pytest.raises(UsageError, match="no place") as caught:
        Store.create({"CI_PROJECT_DIR": "/", "XDG_RUNTIME_DIR": "relative"})

    assert "/dev/shm: inside the checkout /" in caught.value.evidence


def test_links_are_not_followed(environ: dict[str, str], tmp_path: Path) -> None:
    """A link planted at a file's name is replaced, its target stays; a swapped folder gets nothing."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    with Store.create(environ) as store:
        (store.folder / "token").symlink_to(victim)
        store.write("token", b"secret")
        assert not (store.folder / "token").is_symlink()
        moved = store.folder.with_name("moved")
        store.folder.rename(moved)
        (tmp_path / "elsewhere").mkdir()
        store.folder.symlink_to(tmp_path / "elsewhere")
        store.write("token", b"newer")

        assert (moved / "token").read_bytes() == b"newer"
        assert list((tmp_path / "elsewhere").iterdir()) == []
    assert victim.read_text() == "untouched"
    assert not (moved / "token").exists()


def test_foreign_folder(tmp_path: Path) -> None:
    """A folder that others may read, and a link, are refused."""
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "open")

    with pytest.raises(UsageError, match="not private"):
        Store(tmp_path / "open")
    with pytest.raises(OSError, match="link"):
        Store(tmp_path / "link")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".a", "a\n", "a\0", "-a"])
def test_odd_names(environ: dict[str, str], name: str) -> None:
    """Only plain file names are written."""
    with Store.create(environ) as store, pytest.raises(ValueError, match="plain file name"):
        store.write(name, b"")


def test_readers_see_whole_files(environ: dict[str, str]) -> None:
    """Replacing a file leaves an open reader with the old content."""
    with Store.create(environ) as store:
        path = store.write("token", b"old" * 1000)
        with path.open("rb") as reader:
            store.write("token", b"new")

            assert reader.read() == b"old" * 1000
        assert path.read_bytes() == b"new"


_KILLED = """
import os, signal
from septum.credentials.store import Store
store = Store.create(os.environ)
store.write("token", b"secret")
(store.folder / "kinit-x").mkdir()
(store.folder / "kinit-x" / "keytab").write_text("secret")
(store.folder / "link").symlink_to(os.environ["OUTSIDE"])
print(store.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def left_behind(environ: dict[str, str], tmp_path: Path) -> Path:
    """The folder of a process that was killed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("untouched")
    done = subprocess.run(
        [sys.executable, "-c", _KILLED],
        env={**os.environ, **environ, "OUTSIDE": str(tmp_path / "outside")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return Path(done.stdout.strip())


def test_sweep(environ: dict[str, str], left_behind: Path, tmp_path: Path) -> None:
    """The folder of a killed process is removed with all that is in it, that of a living one is not."""
    assert (left_behind / "token").read_bytes() == b"secret"
    (tmp_path / "run" / "septum-credentials-42-abcdefgh").mkdir(mode=0o700)
    with Store(tmp_path / "run" / "septum-credentials-42-abcdefgh") as living:
        living._lock()

        assert _swept(environ) == [left_behind]
        assert not left_behind.exists()
        assert living.folder.exists()
    assert (tmp_path / "outside" / "kept").read_text() == "untouched"
    assert _swept(environ) == []


def _swept(environ: dict[str, str]) -> list[Path]:
    """What is swept in our own place; in those of the machine other tests may leave something."""
    return [path for path in sweep(environ) if str(path.parent) == environ["XDG_RUNTIME_DIR"]]


def test_create_sweeps_first(environ: dict[str, str], left_behind: Path) -> None:
    """The next process cleans up, whatever CI job the killed one was of."""
    with Store.create({**environ, "CI_JOB_ID": "43"}):
        assert not left_behind.exists()


def test_a_running_process_is_not_swept(environ: dict[str, str]) -> None:
    """What another process holds stays, as long as it lives."""
    code = _KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "input()")
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environ, "OUTSIDE": "/"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())

        assert _swept(environ) == []
        assert (folder / "token").exists()
        process.kill()
        process.wait()
        assert _swept(environ) == [folder]


@pytest.mark.parametrize(
    "name",
    [
        "septum-abcdefgh",
        "septum-credentials-abc",
        "septum-credentials-abcdefghi",
        "septum-credentials-ABCDEFGH",
        "septum-credentials-x-abcdefgh",
        "septum-credentials-abcdefgh.old",
        "old-septum-credentials-abcdefgh",
        "septum-credentials-٤٢-abcdefgh",
    ],
)
def test_other_names_are_not_swept(environ: dict[str, str], tmp_path: Path, name: str) -> None:
    """Only names as a store makes them are looked at."""
    (tmp_path / "run" / name).mkdir(mode=0o700)

    assert _swept(environ) == []
    assert (tmp_path / "run" / name).exists()


def test_only_private_folders_are_swept(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file, a pipe, a link to a folder, a folder that is open to others or of another user: none is touched."""
    run = tmp_path / "run"
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "target" / "kept").write_text("x")
    (run / "septum-credentials-aaaaaaaa").symlink_to(tmp_path / "target")
    (run / "septum-credentials-bbbbbbbb").write_text("x")
    os.mkfifo(run / "septum-credentials-cccccccc")
    (run / "septum-credentials-dddddddd").mkdir(mode=0o750)
    before = sorted(run.iterdir())

    assert _swept(environ) == []
    (run / "septum-credentials-eeeeeeee").mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    assert _swept(environ) == []

    assert sorted(run.iterdir()) == [*before, run / "septum-credentials-eeeeeeee"]
    assert (tmp_path / "target" / "kept").exists()


def test_swept_before_it_was_locked(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that another process takes for left behind, before its lock is held, is made anew."""
    lock = fcntl.flock
    swept: list[Path] = []

    def late(fd: int, operation: int) -> None:
        if not swept and any(Path(environ["XDG_RUNTIME_DIR"]).iterdir()):
            monkeypatch.setattr("fcntl.flock", lock)
            swept.extend(_swept(environ))
        lock(fd, operation)

    monkeypatch.setattr("fcntl.flock", late)
    with Store.create(environ) as store:
        assert len(swept) == 1
        assert store.folder not in swept
        assert store.write("token", b"x").exists()


def test_being_swept_while_it_is_locked(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same if the other one has the lock at that moment; never for ever."""

    def taken(*_: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr("fcntl.flock", taken)

    with pytest.raises(UsageError, match="no place") as caught:
        Store.create({**environ, "TMPDIR": environ["XDG_RUNTIME_DIR"]})
    assert "swept away" in caught.value.evidence
    assert list(Path(environ["XDG_RUNTIME_DIR"]).iterdir()) == []


def test_no_locks(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without locks there are files, and no sweeping."""

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", unsupported)

    with Store.create(environ) as store, Store.create(environ):
        assert store.write("token", b"x").exists()


def test_secret_is_hidden() -> None:
    """A secret prints as stars in every way that text is made."""
    secret = Secret("hunter2-hunter2")

    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{[secret]}", "%s" % secret, f"{secret!r}"]  # noqa: UP031
    with pytest.raises(ZeroDivisionError) as caught:
        divmod(len(shown), 0 if secret else 1)
    shown += traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()

    assert not [text for text in shown if "hunter2" in text]
    assert secret.reveal() == "hunter2-hunter2"
    assert secret
    assert not Secret("")
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(secret)


def test_redact() -> None:
    """A secret is taken out of foreign text plain, URL-encoded and in base64."""
    secret = Secret("p/ss+w=rd 1")
    text = "a p/ss+w=rd 1 b " + quote("p/ss+w=rd 1", safe="") + " c cC9zcyt3PXJkIDE= d"

    assert redact(text, secret) == "a *** b *** c ***= d"
    assert redact("abc", Secret("")) == "abc"


def test_a_full_place_is_left_for_the_next(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no room is no place, and nothing half-written stays in it."""
    runtime = Path(environ["XDG_RUNTIME_DIR"])

    def full(number: int) -> None:
        if Path(f"/proc/self/fd/{number}").readlink().is_relative_to(runtime):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with Store.create(environ) as store:
        assert not store.folder.is_relative_to(runtime)

    assert list(runtime.iterdir()) == []

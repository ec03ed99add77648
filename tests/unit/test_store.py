"""The folder of credential files."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from septum.credentials.secret import Secret, redact
from septum.credentials.store import Store
from septum.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
        assert str(store.folder).startswith(environ["XDG_RUNTIME_DIR"] + "/septum-42-")
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

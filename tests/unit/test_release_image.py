"""The image of a release holds the files of its wheel: layers are put together, and every difference has its line."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tools import container

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SITE = "usr/local/lib/python3.12/site-packages/"
NOTES = "septum-1.0.0.dist-info/"
FILES = {
    "septum/__init__.py": b'__version__ = "1.0.0"\n',
    "septum/cli/__init__.py": b"",
    "septum/lock.txt": b"uproot==5.7.4\n",
    f"{NOTES}METADATA": b"Name: septum\n",
}
# What pip leaves beside the files of a wheel.
INSTALLED = {
    **{SITE + name: content for name, content in FILES.items()},
    f"{SITE}{NOTES}RECORD": b"pip's own",
    f"{SITE}{NOTES}INSTALLER": b"pip\n",
    f"{SITE}septum/__pycache__/__init__.cpython-312.pyc": b"bytecode",
    f"{SITE}septum/cli/__pycache__/__init__.cpython-312.opt-1.pyc": b"bytecode",
    f"{SITE}numpy/__init__.py": b"another package",
}

Layer = dict[str, bytes | tarfile.TarInfo]


def _link(kind: bytes, target: str = "elsewhere") -> tarfile.TarInfo:
    found = tarfile.TarInfo()
    found.type, found.linkname = kind, target
    return found


def _folder() -> tarfile.TarInfo:
    return _link(tarfile.DIRTYPE, "")


def _blob(folder: Path, content: bytes) -> dict[str, str]:
    digest = hashlib.sha256(content).hexdigest()
    (folder / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}"}


def _packed(layer: Layer) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in layer.items():
            member = tarfile.TarInfo() if isinstance(content, bytes) else content
            member.name = name
            member.size = len(content) if isinstance(content, bytes) else 0
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return packed.getvalue()


def _image(folder: Path, *layers: Layer, labels: Any = None) -> str:
    """Write an image as `skopeo copy … dir:` does; its digest."""
    folder.mkdir()
    labels = {container.REVISION: COMMIT} if labels is None else labels
    config = _blob(folder, json.dumps({"config": {"Labels": labels}}).encode())
    manifest = {"config": config, "layers": [_blob(folder, _packed(layer)) for layer in layers]}
    return _manifest(folder, json.dumps(manifest).encode())


def _manifest(folder: Path, text: bytes) -> str:
    (folder / "manifest.json").write_bytes(text)
    return "sha256:" + hashlib.sha256(text).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel with a RECORD of its own."""
    path = tmp_path / "septum-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**FILES, f"{NOTES}RECORD": b"the wheel's"}.items():
            archive.writestr(name, content)
    return path


def _refused(tmp_path: Path, wheel: Path, *layers: Layer) -> list[str]:
    digest = _image(tmp_path / "image", *layers)
    with pytest.raises(container.ImageError) as caught:
        container.compare(tmp_path / "image", wheel, digest)
    first, *rest = str(caught.value).splitlines()
    assert first == f"{digest} was not made from {wheel.name}:"
    return [line.strip() for line in rest]


def test_the_image_of_a_wheel_is_accepted(tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the base below, pip's notes, and the bytecode of the wheel's modules; its commit is printed."""
    base: Layer = {"bin": _link(tarfile.SYMTYPE, "usr/bin"), SITE: _folder(), f"{SITE}pip/__init__.py": b"pip"}
    image = tmp_path / "image"
    digest = _image(image, base, dict(INSTALLED))

    assert container.main([str(image), str(wheel), digest]) == 0
    assert capsys.readouterr().out == f"{COMMIT}\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"septum/lock.txt": b"uproot==5.7.3\n"}, "changed: 'septum/lock.txt'"),
        ({f"{NOTES}METADATA": b"Name: septum\nVersion: 2\n"}, f"changed: '{NOTES}METADATA'"),
        ({"septum/lock.txt": _link(tarfile.SYMTYPE)}, "changed: 'septum/lock.txt'"),
        ({"septum/.wh.lock.txt": b""}, "missing: 'septum/lock.txt'"),
        (
            {"septum/cli": _link(tarfile.SYMTYPE)},
            "missing: 'septum/cli/__init__.py'\nadditional: 'septum/cli'",
        ),
        ({"septum/backdoor.py": b""}, "additional: 'septum/backdoor.py'"),
        ({"septum/\x1b[2J.py": b""}, "additional: 'septum/\\x1b[2J.py'"),
        ({"septum/cli/run.so": _link(tarfile.SYMTYPE)}, "additional: 'septum/cli/run.so'"),
        ({"septum/__pycache__/other.cpython-312.pyc": b""}, "additional: 'septum/__pycache__/other.cpython-312.pyc'"),
        ({"septum/__init__.pyc": b""}, "additional: 'septum/__init__.pyc'"),
        (
            {"septum/__pycache__/__init__.cpython-312.pyc": _link(tarfile.LNKTYPE)},
            "additional: 'septum/__pycache__/__init__.cpython-312.pyc'",
        ),
        ({"septum-0.9.0.dist-info/METADATA": b""}, "additional: 'septum-0.9.0.dist-info/METADATA'"),
    ],
)
def test_every_difference_is_refused(tmp_path: Path, wheel: Path, change: Layer, said: str) -> None:
    """Changed, missing, additional, or no plain file: in the layer that is uppermost."""
    upper: Layer = {SITE + name: content for name, content in change.items()}

    assert _refused(tmp_path, wheel, dict(INSTALLED), upper) == said.splitlines()


def test_a_second_septum_is_refused(tmp_path: Path, wheel: Path) -> None:
    """Which of two is imported depends on the path of Python."""
    second: Layer = {"opt/lib/septum/__init__.py": FILES["septum/__init__.py"]}

    assert _refused(tmp_path, wheel, dict(INSTALLED), second) == [
        f"septum is installed in 2 places: '/opt/lib/, /{SITE}'"
    ]


@pytest.mark.parametrize(
    "layer",
    [
        {f"{SITE}.wh.septum": b""},
        {f"{SITE}septum": _link(tarfile.SYMTYPE)},
        {f"{SITE}septum/.wh..wh..opq": b""},
        {f"{SITE}.wh..wh..opq": b""},
        {"usr/.wh.local": b""},
        {"usr/local": b"a file"},
        {"/usr/local": b"a file"},
        {".wh.usr": b""},
        {".wh..wh..opq": b""},
    ],
)
def test_an_upper_layer_takes_away(tmp_path: Path, wheel: Path, layer: Layer) -> None:
    """A folder that is deleted, emptied or replaced has none of its files any more."""
    assert _refused(tmp_path, wheel, dict(INSTALLED), layer) == ["septum is installed in 0 places: ''"]


def test_what_an_upper_layer_brings_again_is_there(tmp_path: Path, wheel: Path) -> None:
    """A layer hides what is below it, not its own files, in whatever order; a folder over a folder leaves all."""
    wrong: Layer = {f"{SITE}septum/__init__.py": b"old", f"{SITE}septum/old.py": b"", "usr/local/bin": b"a file"}
    again: Layer = {**INSTALLED, f"{SITE}septum/.wh..wh..opq": b"", "usr/local/bin/": _folder()}
    digest = _image(tmp_path / "image", wrong, again, {"./usr/local/": _folder(), f"./{SITE}septum": _folder()})

    assert container.compare(tmp_path / "image", wheel, digest) == COMMIT


def test_an_image_without_septum_is_refused_with_few_lines(tmp_path: Path, wheel: Path) -> None:
    """And one with thousands of additional files does not fill the log."""
    many: Layer = {f"{SITE}septum/{number}.py": b"" for number in range(100)}

    assert len(_refused(tmp_path, wheel, dict(INSTALLED), many)) == 21


@pytest.mark.parametrize("labels", [{}, [], "x", {container.REVISION: ""}, {container.REVISION: "--help"}])
def test_an_image_without_its_commit_is_refused(tmp_path: Path, wheel: Path, labels: object) -> None:
    """What is printed goes to git as an argument."""
    digest = _image(tmp_path / "image", dict(INSTALLED), labels=labels)

    with pytest.raises(container.ImageError, match="no commit"):
        container.compare(tmp_path / "image", wheel, digest)


def test_another_image_than_the_named_one_is_refused(tmp_path: Path, wheel: Path) -> None:
    """Manifest and layers are compared by their digests, whoever brought them."""
    image = tmp_path / "image"
    digest = _image(image, dict(INSTALLED))
    with pytest.raises(container.ImageError, match=r"manifest\.json: is sha256:"):
        container.compare(image, wheel, "sha256:" + "0" * 64)
    (layer,) = json.loads((image / "manifest.json").read_bytes())["layers"]
    (image / layer["digest"].removeprefix("sha256:")).write_bytes(_packed({}))

    with pytest.raises(container.ImageError, match="and not"):
        container.compare(image, wheel, digest)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"manifests": []}',
        b'{"config": {}, "layers": []}',
        b'{"config": {"digest": "sha256:../../etc/passwd"}, "layers": []}',
        b'{"config": {"digest": "sha256:' + b"0" * 64 + b'"}, "layers": []}',
        b'{"config": [], "layers": [7]}',
    ],
)
def test_a_damaged_manifest_is_one_clear_error(
    tmp_path: Path, wheel: Path, manifest: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list of images, a path instead of a digest, no JSON: exit code 2, and no traceback."""
    assert container.main([str(tmp_path), str(wheel), _manifest(tmp_path, manifest)]) == 2
    captured = capsys.readouterr()

    assert captured.out == ""
    assert captured.err.startswith("container: ")
    assert len(captured.err) < 600


@pytest.mark.parametrize(
    "layer",
    [b"no archive", _packed(dict(INSTALLED))[:-40], _packed({"../etc/septum/x": b""}), b"\x28\xb5\x2f\xfd"],
    # Of their own: gzip writes the time into the bytes, and all processes must find the same tests.
    ids=["no archive", "cut", "outside", "zstd"],
)
def test_a_layer_that_cannot_be_read_is_refused(
    tmp_path: Path, wheel: Path, layer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """No archive, half of one, a path that leaves the image, another compression."""
    config = _blob(tmp_path, b"{}")
    digest = _manifest(tmp_path, json.dumps({"config": config, "layers": [_blob(tmp_path, layer)]}).encode())

    assert container.main([str(tmp_path), str(wheel), digest]) == 2
    assert capsys.readouterr().err.startswith("container: ")

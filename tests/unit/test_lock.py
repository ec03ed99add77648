"""The locks: they fit `pyproject.toml`, name every file by its hash, and lead to a list of what is in a release."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from functools import cache
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from septum import install
from tools import lock, sbom
from tools.lockfile import Locked, applies, read_lock, without_wheel

ROOT = Path(__file__).parents[2]
DIGEST = "0123456789abcdef" * 4
ENVIRONMENTS = [
    pytest.param(python, machine, platform, id=f"{python}-{machine}-{platform}")
    for python, (machine, platform) in product(
        lock.PYTHONS, [("x86_64", "linux"), ("aarch64", "linux"), ("arm64", "darwin")]
    )
]


@cache
def _project() -> dict[str, Any]:
    """The tables of pyproject.toml that matter here; Python 3.10 has no reader for TOML."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = {key: re.search(rf"^{key} = \[(.*?)\]\n", text, re.MULTILINE | re.DOTALL) for key in KEYS}
    return {
        key: re.findall(r'^\s*"(.+)",?$|"([^"]+)"', found[1], re.MULTILINE) for key, found in lists.items() if found
    }


KEYS = ("dependencies", "root", "requires")


def _requirements(key: str) -> list[Requirement]:
    return [Requirement(first or second) for first, second in _project()[key]]


@cache
def _lock(path: Path) -> tuple[Locked, ...]:
    return read_lock((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("python", "machine", "platform"), ENVIRONMENTS)
def test_each_machine_gets_one_version_of_all_that_pyproject_asks_for(python: str, machine: str, platform: str) -> None:
    """At a version that it allows, and of nothing two."""
    here = [item for item in _lock(lock.LOCK) if applies(item, python=python, machine=machine, platform=platform)]
    versions = {item.name: item.version for item in here}
    environment = {"sys_platform": platform, "platform_machine": machine, "python_version": python}
    wanted = [item for item in _requirements("dependencies") if not item.marker or item.marker.evaluate(environment)]

    assert len(versions) == len(here)
    assert len(wanted) >= 14
    assert {canonicalize_name(item.name) for item in wanted} - versions.keys() == set(), "run: make lock"
    assert [str(item) for item in wanted if not item.specifier.contains(versions[canonicalize_name(item.name)])] == []


@pytest.mark.parametrize(("python", "machine", "platform"), ENVIRONMENTS)
def test_whoever_asks_for_a_package_is_there_too(python: str, machine: str, platform: str) -> None:
    """Nothing is left in the lock that nobody asks for."""
    here = [item for item in _lock(lock.LOCK) if applies(item, python=python, machine=machine, platform=platform)]
    names = {item.name for item in here} | {"septum"}

    assert [item.name for item in here if not names & set(item.via)] == []


def test_the_locks_name_what_the_installed_packages_ask_for() -> None:
    """Wherever this environment has the same version as the lock, all of its own dependencies are locked."""
    locked = {item.name for item in _lock(lock.LOCK)}
    installed = [item for item in _lock(lock.LOCK) if _same_version(item)]
    missing = {
        (item.name, dependency.name)
        for item in installed
        for dependency in map(Requirement, metadata.requires(item.name) or [])
        if dependency.marker is None or dependency.marker.evaluate({"extra": ""})
        if canonicalize_name(dependency.name) not in locked
    }

    assert len(installed) >= 10
    assert missing == set()


def _same_version(item: Locked) -> bool:
    try:
        return metadata.version(item.name) == item.version
    except metadata.PackageNotFoundError:
        return False


@pytest.mark.parametrize("path", [lock.LOCK, lock.LOCK_ROOT, lock.BUILD], ids=str)
def test_a_lock_holds_versions_and_hashes_and_nothing_of_a_machine(path: Path) -> None:
    """No address of an index, no option, no path."""
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)]

    assert _lock(path)
    assert [
        line for line in lines if not re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)? \\|    # via [\w, ()./-]+", line)
    ] == []
    assert not re.search(r"https?:|file:|--index|--find-links|(?<!\w)/(?!\w*/?build\.in)", text)


def test_the_extra_root_adds_root_alone() -> None:
    """What septum's own image has beyond what a user's image gets; the two locks do not overlap."""
    plain, extra = ({item.name for item in _lock(path)} for path in (lock.LOCK, lock.LOCK_ROOT))
    (wanted,) = _requirements("root")

    assert extra == {"root"}
    assert not plain & extra
    assert wanted.specifier.contains(_lock(lock.LOCK_ROOT)[0].version, prereleases=True)


def test_the_locks_are_where_the_installation_looks_for_them() -> None:
    """Beside the module, so in the wheel; what the installed package has is what is committed."""
    folder = Path(install.__file__).parent

    assert set(install.LOCKS.values()) == {lock.LOCK.name, lock.LOCK_ROOT.name}
    for path in (lock.LOCK, lock.LOCK_ROOT):
        assert (folder / path.name).read_bytes() == (ROOT / path).read_bytes()


def test_one_version_builds_the_wheel_everywhere() -> None:
    """Its name stands in the wheel: pyproject.toml, the tools of a release and this environment agree."""
    (backend,) = _requirements("requires")
    locked = {item.name: item.version for item in _lock(lock.BUILD)}

    assert str(backend.specifier) == f"=={locked['hatchling']}"
    assert metadata.version("hatchling") == locked["hatchling"]
    assert metadata.version("cyclonedx-python-lib") == locked["cyclonedx-python-lib"]


def test_the_pipeline_installs_by_hash_only() -> None:
    """What builds, judges and publishes a release does not come from an index unseen."""
    pipeline = YAML(typ="rt").load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    lines = {
        (name, line)
        for name, job in pipeline.items()
        if isinstance(job, dict) and name not in {"test", "lock", "wheel-test"}
        for line in job.get("script", [])
        if "pip install" in line
    }

    assert len(lines) >= 4
    assert [line for _, line in lines if "--require-hashes" not in line or '--only-binary ":all:"' not in line] == []


@pytest.mark.parametrize(
    "text",
    [
        "numpy>=2 \\\n    --hash=sha256:" + DIGEST,
        "numpy==2.1 \n",
        "numpy==2.1 \\\n    --hash=md5:abc",
        "numpy==2.1 \\\n    --hash=sha256:" + DIGEST[:-1],
        "numpy @ file:///tmp/numpy.whl \\\n    --hash=sha256:" + DIGEST,
        "numpy[all]==2.1 \\\n    --hash=sha256:" + DIGEST,
        "numpy==2.1,!=2.2 \\\n    --hash=sha256:" + DIGEST,
        "--index-url https://example.org \\\n    --hash=sha256:" + DIGEST,
    ],
)
def test_a_line_that_pins_nothing_is_an_error(text: str) -> None:
    """A range, a missing or weak hash, another place."""
    with pytest.raises(ValueError, match=r"."):
        read_lock(text)


def _one(hashes: str, marker: str = "") -> tuple[Locked, ...]:
    return read_lock(f"numpy==2.1.0{marker} \\\n    --hash=sha256:{hashes}")


@pytest.mark.parametrize(
    ("wheel", "python", "machine", "fits"),
    [
        ("numpy-2.1.0-py3-none-any.whl", "3.10", "x86_64", True),
        ("numpy-2.1.0-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "3.10", "x86_64", True),
        ("numpy-2.1.0-cp310-cp310-manylinux_2_28_aarch64.whl", "3.10", "aarch64", True),
        ("numpy-2.1.0-cp39-abi3-manylinux_2_28_x86_64.whl", "3.14", "x86_64", True),
        # Of another Python, another processor, a newer glibc, another libc, another system.
        ("numpy-2.1.0-cp310-cp310-manylinux_2_17_x86_64.whl", "3.11", "x86_64", False),
        ("numpy-2.1.0-cp310-cp310-manylinux_2_17_x86_64.whl", "3.10", "aarch64", False),
        ("numpy-2.1.0-cp310-cp310-manylinux_2_34_x86_64.whl", "3.10", "x86_64", False),
        ("numpy-2.1.0-cp310-cp310-musllinux_1_2_x86_64.whl", "3.10", "x86_64", False),
        ("numpy-2.1.0-cp310-cp310-win_amd64.whl", "3.10", "x86_64", False),
    ],
)
def test_a_package_without_a_wheel_for_an_image_is_found(wheel: str, python: str, machine: str, fits: bool) -> None:  # noqa: FBT001
    """By the names of the files, as pip reads them; only the hashes of the lock count."""
    here = {"python": python, "machine": machine}

    assert without_wheel(_one(DIGEST), {DIGEST: wheel}, **here) == ([] if fits else ["numpy==2.1.0"])
    assert without_wheel(_one(DIGEST[::-1]), {DIGEST: wheel}, **here) == ["numpy==2.1.0"]
    assert without_wheel(_one(DIGEST, " ; sys_platform == 'darwin'"), {}, **here) == []


def test_a_lock_that_needs_a_build_is_refused() -> None:
    """The message says what, and for which image."""
    with pytest.raises(lock.LockError, match=r"Python 3\.10 on x86_64: numpy==2\.1\.0"):
        lock.try_wheels(_one(DIGEST), {})


# ── the list of what is in a release ────────────────────────────────────────────────────────────────────────────


def _wheel(folder: Path, **files: str) -> Path:
    path = folder / "septum-0.1.0-py3-none-any.whl"
    names = {
        "septum/lock.txt": files.get("lock", (ROOT / lock.LOCK).read_text(encoding="utf-8")),
        "septum/lock-root.txt": (ROOT / lock.LOCK_ROOT).read_text(encoding="utf-8"),
        "septum-0.1.0.dist-info/METADATA": "Metadata-Version: 2.4\nName: septum\nVersion: 0.1.0\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in names.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return path


def test_the_list_names_wheel_and_packages_by_hash(tmp_path: Path) -> None:
    """Each version with the hashes of its files, the wheel with its own; and who asks for whom."""
    wheel = _wheel(tmp_path)

    found = json.loads(sbom.describe(wheel))
    listed = {(item["name"], item["version"]): item for item in found["components"]}
    numpy = next(item for item in _lock(lock.LOCK) if item.name == "numpy")
    (files,) = listed["numpy", numpy.version]["externalReferences"]

    assert found["bomFormat"] == "CycloneDX"
    assert found["metadata"]["component"]["hashes"][0]["content"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert listed.keys() == {(item.name, item.version) for path in (lock.LOCK, lock.LOCK_ROOT) for item in _lock(path)}
    assert {entry["content"] for entry in files["hashes"]} == set(numpy.hashes)
    assert "numpy" in str(next(entry for entry in found["dependencies"] if entry["ref"] == "pkg:pypi/septum@0.1.0"))


def test_the_schema_of_cyclonedx_accepts_the_list(tmp_path: Path) -> None:
    """Judged once more by a reader that did not write it: the schema as CycloneDX publishes it."""
    jsonschema = pytest.importorskip("jsonschema")
    import cyclonedx.schema._res as published
    from referencing import Registry, Resource

    folder = Path(published.__file__).parent
    schemas = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.schema.json")}
    main = schemas["bom-1.6.SNAPSHOT.schema.json"]
    base = main["$id"].rpartition("/")[0]
    registry = Registry().with_resources(
        [(f"{base}/{name}", Resource.from_contents(schema)) for name, schema in schemas.items()]
    )
    validator = jsonschema.Draft7Validator(main, registry=registry)
    found = json.loads(sbom.describe(_wheel(tmp_path)))

    assert [error.message for error in validator.iter_errors(found)] == []
    assert list(validator.iter_errors({**found, "components": [{"name": "no type"}]})) != []


def test_one_wheel_has_one_list(tmp_path: Path) -> None:
    """No clock and no chance in it, so that everybody can make it again."""
    wheel = _wheel(tmp_path)

    first, second = sbom.describe(wheel), sbom.describe(wheel)
    wheel.write_bytes(wheel.read_bytes())
    other = sbom.describe(_wheel(tmp_path, lock="six==1.17.0 \\\n    --hash=sha256:" + DIGEST))

    assert first == second
    assert json.loads(first)["serialNumber"] != json.loads(other)["serialNumber"]
    assert "timestamp" not in first


def test_no_wheel_no_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another archive, a damaged one, none: one line, and nothing is written."""
    archive = tmp_path / "other.whl"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("other/__init__.py", "")
    damaged = tmp_path / "damaged.whl"
    damaged.write_bytes(b"PK not at all")
    output = tmp_path / "list.json"

    codes = [sbom.main([str(path), str(output)]) for path in (archive, damaged, tmp_path / "none.whl")]

    assert codes == [2, 2, 2]
    assert not output.exists()
    assert len(capsys.readouterr().err.splitlines()) == 3

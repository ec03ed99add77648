"""References on this machine: files, folders, manifests that are old or lie, and archives that are traps."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.compare import archive, transfer
from septum.compare.listing import read_listing
from septum.compare.reference import Found, find
from septum.compare.transfer import AbsentError, download, shown
from septum.errors import NotComparableError, TryAgainError
from septum.manifest import NAME, to_json
from tests.fakes.gitlab_api import write_result, zipped
from tests.fakes.rootfiles import H, write_root

MASS = {"mass": H(cells=[0, 1, 2, 0])}


def sought(root: Path, asked: str, *names: str, **more: Any) -> Found:
    """Look for a reference of these results."""
    scratch = root / "scratch"
    scratch.mkdir(exist_ok=True)
    found = find(asked, names or ("dimuon.root",), **{"environ": {}, "root": root, "scratch": scratch, **more})
    assert isinstance(found, Found)
    return found


# ── paths ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_file_for_one_result(tmp_path: Path) -> None:
    """Whatever its name; relative to the folder of septum.yaml, or absolute."""
    gold = write_root(tmp_path / "gold-2018.root", MASS)

    for asked in ("gold-2018.root", str(gold)):
        (given,) = sought(tmp_path, asked).files
        assert (given.name, given.path) == ("dimuon.root", gold)


def test_one_file_for_several_results_needs_its_name(tmp_path: Path) -> None:
    """Otherwise nobody knows which one it belongs to."""
    gold = write_root(tmp_path / "TT.root", MASS)
    (given,) = sought(tmp_path, "TT.root", "2018/DY.root", "2018/TT.root").files
    assert (given.name, given.path) == ("2018/TT.root", gold)

    with pytest.raises(NotComparableError, match="is one file, and there are 2 results"):
        sought(tmp_path, "TT.root", "a.root", "b.root")


def test_a_folder_of_files_without_a_manifest(tmp_path: Path) -> None:
    """By the results' names; by hand, all that septum can look into."""
    gold = tmp_path / "gold"
    (gold / "2018").mkdir(parents=True)
    for name in ("2018/DY.root", "old.root", "table.csv", "report.html", NAME.replace("septum", "compare")):
        write_root(gold / name, MASS)
    some = sought(tmp_path, "gold", "2018/DY.root", "new.root")
    every = sought(tmp_path, "gold", "2018/DY.root", everything=True)

    assert [item.name for item in some.files] == ["2018/DY.root"]
    assert not some.listed
    assert [item.name for item in every.files] == ["2018/DY.root", "old.root", "table.csv"]
    assert every.listed


def test_a_result_folder_says_what_it_is(tmp_path: Path) -> None:
    """Its manifest names files, checksums, parts, the commit and the work."""
    write_result(tmp_path / "earlier", MASS, parts=7)
    found = sought(tmp_path, "earlier", work="cd" * 32)
    (given,) = found.files

    assert (given.name, given.parts, given.missing) == ("dimuon.root", 7, 0)
    assert (found.listed, found.reference.same_work, found.reference.complete) == (True, True, True)
    assert found.reference.commit.startswith("5f0c7a1e")
    assert sought(tmp_path, "earlier", work="ef" * 32).reference.same_work is False
    assert sought(tmp_path, "earlier").reference.same_work is None


def test_a_partial_result_has_its_own_file(tmp_path: Path) -> None:
    """And says so."""
    write_result(tmp_path / "earlier", MASS, missing=2)
    found = sought(tmp_path, "earlier")

    assert found.files[0].path.name == "dimuon.partial.root"
    assert (found.files[0].missing, found.reference.complete) == (2, False)


def test_a_file_that_is_not_its_manifest_s_is_refused(tmp_path: Path) -> None:
    """Somebody merged it anew, by hand."""
    write_result(tmp_path / "earlier", MASS)
    write_root(tmp_path / "earlier" / "dimuon.root", {"mass": H(cells=[0, 9, 9, 0])})

    with pytest.raises(NotComparableError, match="not the file that its manifest speaks of"):
        sought(tmp_path, "earlier")


def test_a_manifest_of_another_version_is_enough(tmp_path: Path) -> None:
    """Only what every version wrote is read."""
    write_result(tmp_path / "earlier", MASS)
    path = tmp_path / "earlier" / NAME
    data = json.loads(path.read_text())
    (result,) = data["results"]
    old = {"format": 1, "results": [{key: result[key] for key in ("name", "file", "sha256")}], "plan": "x"}
    path.write_text(json.dumps({**old, "something": "new"}))
    found = sought(tmp_path, "earlier", work="cd" * 32)

    assert (found.reference.plan, found.reference.same_work, found.reference.complete) == ("x", None, None)
    assert found.files[0].parts == 0


@pytest.mark.parametrize("file", ["../secret.root", "/etc/passwd", "a/../../b", "", "x\0y", "."])
def test_a_manifest_cannot_name_files_elsewhere(file: str) -> None:
    """It comes from an artifact, and whoever wrote that may not read ours."""
    text = json.dumps({"results": [{"name": "a.root", "file": file, "sha256": "ab"}]})

    with pytest.raises(NotComparableError, match="damaged"):
        read_listing(text, name="x")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"results": 5}', '{"results": [{}]}', '{"results": [null]}', "[" * 9999]
)
def test_a_damaged_manifest_is_one_clear_error(text: str) -> None:
    """Never a traceback."""
    with pytest.raises(NotComparableError, match=r"septum\.json, the manifest of the reference, is damaged"):
        read_listing(text, name=NAME)


# ── archives ────────────────────────────────────────────────────────────────────────────────────────────────────


def take(tmp_path: Path, content: bytes, *, folder: str = "result", wanted: tuple[str, ...] = ("dimuon.root",)) -> Any:
    """Take results out of an artifact."""
    path = tmp_path / "artifact.zip"
    path.write_bytes(content)
    with archive.opened(path, name="the artifact") as opened:
        found = archive.find_listing(opened, folder=folder, name="the artifact")
        assert found is not None
        listing, inside = found
        return archive.take_out(opened, listing, folder=inside, wanted=wanted, scratch=tmp_path / "out", environ={})


def test_results_come_out_under_names_of_our_own(tmp_path: Path) -> None:
    """With the content that the manifest promises."""
    write_result(tmp_path / "made", MASS)
    (given,) = take(tmp_path, zipped(tmp_path / "made"))

    assert given.path == tmp_path / "out" / "0.root"
    assert given.path.read_bytes() == (tmp_path / "made" / "dimuon.root").read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.root"]


def test_results_that_nobody_asks_for_stay_inside(tmp_path: Path) -> None:
    """Their names are enough to miss them."""
    write_result(tmp_path / "made", MASS)
    (given,) = take(tmp_path, zipped(tmp_path / "made"), wanted=("other.root",))

    assert given.name == "dimuon.root"
    assert not given.path.exists()


def test_the_result_folder_may_be_called_otherwise(tmp_path: Path) -> None:
    """If there is only one; of several, the one that is called as ours."""
    write_result(tmp_path / "made", MASS)
    assert take(tmp_path, zipped(tmp_path / "made", below="out/2018"))
    both = io.BytesIO(zipped(tmp_path / "made", below="y2023"))
    with zipfile.ZipFile(both, "a") as opened:
        for name in (NAME, "dimuon.root"):
            opened.write(tmp_path / "made" / name, f"y2024/{name}")

    assert take(tmp_path, both.getvalue(), folder="y2024/")
    with zipfile.ZipFile(both) as opened:
        assert archive.find_listing(opened, folder="result", name="x") is None


def test_an_artifact_that_septum_did_not_make_is_a_folder_of_files(tmp_path: Path) -> None:
    """By the results' names, below the result folder, under names of our own; what is not there is not given."""
    (tmp_path / "made" / "2018").mkdir(parents=True)
    write_root(tmp_path / "made" / "2018" / "dimuon.root", MASS)
    path = tmp_path / "artifact.zip"
    path.write_bytes(zipped(tmp_path / "made", below="histograms"))
    with archive.opened(path, name="the artifact") as opened:
        wanted = ("2018/dimuon.root", "../../evil.root", "other.root")
        (given,) = archive.take_plain(opened, folder="histograms/", wanted=wanted, scratch=tmp_path / "out")

    assert given.name == "2018/dimuon.root"
    assert given.path.parent == tmp_path / "out"
    assert given.path.read_bytes() == (tmp_path / "made" / "2018" / "dimuon.root").read_bytes()


def test_a_file_of_such_an_artifact_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive can hold more than any disk."""
    write_root(tmp_path / "made.root", MASS)
    path = tmp_path / "artifact.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.write(tmp_path / "made.root", "result/dimuon.root")
    monkeypatch.setattr(archive, "LARGEST_B", 100)

    with archive.opened(path, name="the artifact") as opened, pytest.raises(NotComparableError, match="more than 100"):
        archive.take_plain(opened, folder="result", wanted=("dimuon.root",), scratch=tmp_path / "out")


def rewritten(content: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """An artifact with other members."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w") as opened:
        for name in source.namelist():
            if (raw := change(name, source.read(name))) is not None:
                opened.writestr(name, raw)
    return target.getvalue()


@pytest.mark.parametrize(("change", "word"), [
    (lambda name, raw: None if name.endswith(".root") else raw, "is not in the artifact"),
    (lambda name, raw: raw[:-1] + b"x" if name.endswith(".root") else raw, "not the file that its manifest speaks of"),
    (lambda name, raw: raw + b"\0" * 10_000_000 if name.endswith(".root") else raw, "not the file that its manifest"),
    (lambda name, raw: b"{" if name.endswith(NAME) else raw, "damaged"),
    (lambda name, raw: raw.replace(b'"dimuon.root"', b'"../../etc/x"') if name.endswith(NAME) else raw, "damaged"),
    (lambda name, raw: raw.replace(b'"size_b": ', b'"size_b": 9999999') if name.endswith(NAME) else raw, "GB|TB"),
], ids=["gone", "changed", "bomb", "manifest", "way out", "size"])  # fmt: skip
def test_an_artifact_that_lies_is_refused(
    tmp_path: Path, change: Callable[[str, bytes], bytes | None], word: str
) -> None:
    """And nothing is written outside of the folder, nor more than the manifest allows."""
    write_result(tmp_path / "made", MASS)
    content = rewritten(zipped(tmp_path / "made"), change)

    with pytest.raises(NotComparableError, match=word):
        take(tmp_path, content)

    written = list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else []
    assert sum(path.stat().st_size for path in written) < 100_000


def test_members_with_names_that_lead_out_are_never_looked_at(tmp_path: Path) -> None:
    """Neither with dots, nor from the root; the good result beside them is taken."""
    write_result(tmp_path / "made", MASS)
    target = io.BytesIO(zipped(tmp_path / "made"))
    with zipfile.ZipFile(target, "a") as opened:
        for name in ("../../escaped.root", "/tmp/escaped.root", "result/../../escaped.root"):
            opened.writestr(name, b"x")

    assert take(tmp_path, target.getvalue())
    assert not list(tmp_path.parent.glob("escaped.root"))


@pytest.mark.parametrize("damage", [
    lambda raw: b"",
    lambda raw: b"PK\x03\x04",
    lambda raw: raw[: len(raw) // 2],
    lambda raw: b"<html>not found</html>",
    lambda raw: raw[:60] + b"\xff" * 40 + raw[100:],
    lambda raw: raw[:-6] + b"\xff\xff\xff\x7f" + raw[-2:],
], ids=["empty", "magic", "half", "page", "bytes", "place"])  # fmt: skip
def test_a_damaged_archive_is_one_clear_error(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Never a traceback of zipfile or zlib."""
    write_result(tmp_path / "made", MASS)

    with pytest.raises(NotComparableError):
        take(tmp_path, damage(zipped(tmp_path / "made")))


def test_an_encrypted_archive_is_one_clear_error(tmp_path: Path) -> None:
    """Zipfile calls that a RuntimeError."""
    write_result(tmp_path / "made", MASS)
    raw = bytearray(zipped(tmp_path / "made"))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := raw.find(magic, at + 1)) >= 0:
            raw[at + flags] |= 1

    with pytest.raises(NotComparableError, match="damaged"):
        take(tmp_path, bytes(raw))


# ── transfers without a network ─────────────────────────────────────────────────────────────────────────────────


def fake_xrdcp(folder: Path, body: str) -> dict[str, str]:
    """An xrdcp that does what a test says, and the PATH that leads to it."""
    folder.mkdir(exist_ok=True)
    program = folder / "xrdcp"
    program.write_text(f"#!{sys.executable}\nimport os, sys, time\nurl, target = sys.argv[-2:]\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "X509_USER_PROXY": "/p", "CI_JOB_TOKEN": "secret"}


def test_xrootd_s_client_gets_credentials_and_no_other_secret(tmp_path: Path) -> None:
    """It writes to a name of ours, which is renamed when it is whole."""
    environ = fake_xrdcp(tmp_path / "bin", "open(target, 'w').write(url + ' ' + ' '.join(sorted(os.environ)))")
    download("root://eos.example.org//store/a.root", tmp_path / "a.root", environ=environ)
    url, *names = (tmp_path / "a.root").read_text().split()

    assert url == "root://eos.example.org//store/a.root"
    assert {"PATH", "X509_USER_PROXY", "XRD_REQUESTTIMEOUT"} <= set(names)
    assert "CI_JOB_TOKEN" not in names


@pytest.mark.parametrize(("body", "error", "word"), [
    ("print('[ERROR] Server responded with an error: [3011] No such file'); sys.exit(54)", AbsentError, "3011"),
    ("print('[ERROR] Server: [3010] permission denied'); sys.exit(54)", NotComparableError, "may not be read"),
    ("print('[FATAL] Connection error'); sys.exit(51)", TryAgainError, "exit code 51"),
    ("open(target, 'wb').write(b'x' * 5000)", NotComparableError, "larger than 1000 B"),
    ("f = open(target, 'wb')\nwhile True: f.write(b'x' * 5000); f.flush()", NotComparableError, "larger than"),
    ("time.sleep(60)", TryAgainError, "not there in time"),
], ids=["absent", "denied", "broken", "large", "endless", "silent"])  # fmt: skip
def test_xrootd_s_client_fails(tmp_path: Path, body: str, error: type[Exception], word: str) -> None:
    """Each time, nothing is left of the file, and nothing of the client."""
    environ = fake_xrdcp(tmp_path / "bin", body)
    began = time.monotonic()

    with pytest.raises(error, match=word):
        download("root://h//f", tmp_path / "to" / "f", environ=environ, limit_b=1000, deadline_s=1.0)

    assert time.monotonic() - began < 10
    assert list((tmp_path / "to").iterdir()) == []


def test_without_xrootd_s_client(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(NotComparableError, match="there is no xrdcp"):
        download("root://h//f", tmp_path / "f", environ={"PATH": str(tmp_path)})


def test_a_remote_folder_by_xrootd(tmp_path: Path) -> None:
    """With a manifest there, its checksums count; without, files of the results' names."""
    write_result(tmp_path / "store", MASS)
    environ = fake_xrdcp(
        tmp_path / "bin",
        "import shutil, urllib.parse\n"
        f"path = {str(tmp_path / 'store')!r} + urllib.parse.urlsplit(url).path.replace('//gold', '')\n"
        "os.path.exists(path) or sys.exit(print('[3011] No such file') or 54)\nshutil.copy(path, target)",
    )
    found = sought(tmp_path, "root://eos.example.org//gold", environ=environ)
    assert (found.listed, found.reference.commit[:8], found.files[0].parts) == (True, "5f0c7a1e", 4)
    assert found.files[0].path.is_relative_to(tmp_path / "scratch")
    (tmp_path / "store" / NAME).unlink()
    assert not sought(tmp_path, "root://eos.example.org//gold/", environ=environ).listed
    single = sought(tmp_path, "root://eos.example.org//gold/dimuon.root", environ=environ)
    assert [item.name for item in single.files] == ["dimuon.root"]

    with pytest.raises(NotComparableError, match="has none of the results"):
        sought(tmp_path, "root://eos.example.org//gold", "other.root", environ=environ)
    with pytest.raises(NotComparableError, match="does not exist"):
        sought(tmp_path, "root://eos.example.org//gold/other.root", environ=environ)


def test_what_was_published_instead_of_kept_is_fetched_and_checked(tmp_path: Path) -> None:
    """A result that was too large for an artifact stands on storage; its checksum is in the manifest."""
    manifest = write_result(tmp_path / "made", MASS)
    published = replace(manifest.results[0], url="root://eos.example.org//store/1/dimuon.root")
    (tmp_path / "made" / NAME).write_text(to_json(replace(manifest, results=(published,))))
    shutil.move(tmp_path / "made" / "dimuon.root", tmp_path / "elsewhere.root")
    environ = fake_xrdcp(tmp_path / "bin", f"import shutil; shutil.copy({str(tmp_path / 'elsewhere.root')!r}, target)")
    (given,) = sought(tmp_path, "made", environ=environ).files
    assert given.path.read_bytes() == (tmp_path / "elsewhere.root").read_bytes()
    (tmp_path / "elsewhere.root").write_bytes(b"\0" * published.size_b)

    with pytest.raises(NotComparableError, match="not the file that its manifest speaks of"):
        sought(tmp_path, "made", environ=environ)


def test_addresses_are_shown_without_what_could_be_secret() -> None:
    """A password, a signature in a query."""
    assert shown("https://me:pass@h.example.org:8443/a/b.root?X-Sig=abc#x") == "https://h.example.org:8443/a/b.root"


def test_work_that_hangs_is_given_up() -> None:
    """The thread ends with the process."""
    began = time.monotonic()

    with pytest.raises(TryAgainError, match="was not there within 0 s"):
        transfer.within(0.2, "it", lambda: time.sleep(5))

    assert time.monotonic() - began < 2


def test_a_disk_that_is_full_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the file."""
    environ: Mapping[str, str] = fake_xrdcp(tmp_path / "bin", "open(target, 'w').write('x')")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        download("root://h//f", tmp_path / "to" / "f", environ=environ)

    assert list((tmp_path / "to").iterdir()) == []

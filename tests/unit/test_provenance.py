"""Stamps, origins and crates: what is written says where a result comes from, and is read back from hostile files."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uproot

import septum
from septum.credentials.redact import KNOWN
from septum.errors import OutputDamagedError, StateError
from septum.manifest import Failure
from septum.plan import to_json as plan_to_json
from septum.provenance.crate import NAME, write_crate
from septum.provenance.entities import PLAN, show_time
from septum.provenance.origin import origin, plain_url, software
from septum.provenance.places import locate, read_text
from septum.provenance.stamp import Inscription, inscription, read_inscription, read_stamp, safe_name, stamp
from tests.fakes.result_folders import ORIGIN, ResultFolder, merge
from tests.fakes.rootfiles import H, write_root

MARK = stamp("ab" * 32, [("0000", "cd" * 32)])
OTHER = stamp("ab" * 32, [("0001", "cd" * 32)])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of a part, as uproot writes it."""
    return write_root(tmp_path_factory.mktemp("source") / "part.root", {"h": H(cells=[0, 1, 2, 0])})


@pytest.fixture(scope="module")
def stamped(source: Path) -> bytes:
    """A file of hadd with the stamp of `dimuon.root`."""
    return merge(source.parent / "stamped.root", [source], inscription(MARK, "dimuon.root")).read_bytes()


# ── the stamp ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_stamp_is_a_hash_of_work_parts_and_contents() -> None:
    """Each of them counts, and so does the order; the value is fixed, or old results could not be checked."""
    parts = [("0000", "aa" * 32), ("0001", "bb" * 32)]
    stamps = [
        stamp("work", parts),
        stamp("WORK", parts),
        stamp("work", parts[:1]),
        stamp("work", parts[::-1]),
        stamp("work", [("0000", "aa" * 32), ("0002", "bb" * 32)]),
        stamp("work", [("0000", "bb" * 32), ("0001", "aa" * 32)]),
        stamp("work", []),
    ]

    assert len(set(stamps)) == len(stamps)
    assert stamp("work", []) == "septum:3bc061587f1f0a161c5a7c86f0cce55e5b1fb39d2c594c1d2d73748e3b491b87"


@pytest.mark.parametrize(
    "result",
    ["2024/dimuon.root", "a&b=c#d.root", "µ b;c|d?e$HOME.root", "x" * 300 + ".root"],
)
def test_hadd_writes_the_inscription_whatever_the_name_of_the_result(result: str, source: Path, tmp_path: Path) -> None:
    """ROOT gives a meaning to &, = and #, and would drop the stamp with them; nothing of it is left in the name."""
    path = merge(tmp_path / "out.root", [source], inscription(MARK, result))

    assert read_inscription(path) == Inscription(MARK, safe_name(result))
    assert read_stamp(path) == MARK
    with uproot.open(path) as file:
        assert file.keys(cycle=False) == ["h"]


def test_equal_inputs_give_equal_bytes_with_the_stamp(source: Path, tmp_path: Path) -> None:
    """The stamp is no date: a merge that is done again gives the same file."""
    one = merge(tmp_path / "one.root", [source], inscription(MARK, "dimuon.root"))
    two = merge(tmp_path / "two.root", [source], inscription(MARK, "dimuon.root"))

    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["plain.root", "septum:" + "a" * 63 + ".root", MARK.upper()])
def test_a_file_without_a_stamp_has_none(name: str, source: Path, tmp_path: Path) -> None:
    """Also when its name looks like one."""
    assert read_stamp(source) is None
    assert read_stamp(merge(tmp_path / "out.root", [source], name)) is None


@pytest.mark.parametrize("text", [b"", b"PAR1", b"<html>", b"\0" * 5000, b"roo", MARK.encode()])
def test_a_file_of_another_format_has_none(text: bytes, tmp_path: Path) -> None:
    """It has no place for a stamp."""
    (tmp_path / "other").write_bytes(text)

    assert read_stamp(tmp_path / "other") is None


def _big(data: bytes) -> bytes:
    """The same file with the header of files above 2 GB."""
    _, version, begin, end, free, free_b, count, name_b, units, compress, info, info_b = struct.unpack_from(
        ">4siiiiiiiBiii", data
    )
    header = struct.pack(
        ">4siiqqiiiBiqi", b"root", version + 1_000_000, begin, end, free, free_b, count, name_b, units, compress, info,
        info_b,
    )  # fmt: skip
    return (header + data[45:63]).ljust(100, b"\0") + data[100:]


def test_files_of_the_big_format_are_read(stamped: bytes, tmp_path: Path) -> None:
    """Their header has longer fields; uproot, which knows the format, agrees that it is one."""
    path = tmp_path / "big.root"
    path.write_bytes(_big(stamped))

    assert read_inscription(path) == Inscription(MARK, "dimuon.root")
    with uproot.open(path) as file:
        assert file.file.fVersion > 1_000_000
        assert file.keys(cycle=False) == ["h"]


def _text(text: str) -> bytes:
    raw = text.encode()
    return (bytes([len(raw)]) if len(raw) < 255 else b"\xff" + struct.pack(">i", len(raw))) + raw


def _made(names: tuple[str, str], record: tuple[str, str], *, big_key: bool = False) -> bytes:
    """The beginning of a ROOT file with these names and titles in its first key and its first record."""
    strings = _text("TFile") + _text(names[0]) + _text(names[1])
    payload = _text(record[0]) + _text(record[1])
    key_b = 18 + (16 if big_key else 8) + len(strings)
    key = struct.pack(
        ">ihiIhh", key_b + len(payload), 1004 if big_key else 4, len(payload), 0, key_b, 1
    ) + struct.pack(">qq" if big_key else ">ii", 100, 0)  # fmt: skip
    return b"root" + struct.pack(">ii", 64000, 100) + b"\0" * 88 + key + strings + payload


@pytest.mark.parametrize("big_key", [False, True])
@pytest.mark.parametrize("place", range(4))
def test_the_stamp_may_stand_in_name_or_title(place: int, *, big_key: bool, tmp_path: Path) -> None:
    """Of the key or of the record, also after a text of more than 254 bytes."""
    texts = ["n" * 300, "", "dimuon.root", ""]
    texts[place] = f"made by {MARK} dimuon.root"
    (tmp_path / "made.root").write_bytes(_made((texts[0], texts[1]), (texts[2], texts[3]), big_key=big_key))

    assert read_inscription(tmp_path / "made.root") == Inscription(MARK, "dimuon.root")


@pytest.mark.parametrize(
    ("names", "record"),
    [((MARK, ""), (OTHER, "")), ((f"{MARK} a.root", ""), (f"{MARK} b.root", "")), ((f"{MARK} {OTHER}", ""), ("", ""))],
)
def test_two_stamps_are_none(names: tuple[str, str], record: tuple[str, str], tmp_path: Path) -> None:
    """A file that says two things proves neither."""
    (tmp_path / "two.root").write_bytes(_made(names, record))

    with pytest.raises(OutputDamagedError, match="two different stamps"):
        read_stamp(tmp_path / "two.root")


@pytest.mark.parametrize("size_b", [4, 8, 11, 12, 50, 99, 100, 101, 117, 125, 130, 140, 200, 270])
def test_a_file_that_was_cut_off_is_damaged(size_b: int, stamped: bytes, tmp_path: Path) -> None:
    """Wherever in its beginning; no other error than this one."""
    (tmp_path / "cut.root").write_bytes(stamped[:size_b])

    with pytest.raises(OutputDamagedError, match="cannot be read"):
        read_stamp(tmp_path / "cut.root")


def test_no_byte_of_the_beginning_can_do_harm(stamped: bytes, tmp_path: Path) -> None:
    """Each of them set to the worst values: a stamp, none, or the one error; never another stamp, nor a long wait."""
    path = tmp_path / "hostile.root"
    began = time.monotonic()
    damaged = 0
    for position in range(300):
        for value in (0x00, 0x7F, 0x80, 0xFF):
            path.write_bytes(stamped[:position] + bytes([value]) + stamped[position + 1 : 2000])
            try:
                found = read_stamp(path)
            except OutputDamagedError:
                damaged += 1
            else:
                assert found in {None, MARK}

    assert damaged > 50
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("length", [2**31 - 1, -1, 70_000])
def test_a_text_longer_than_the_file_is_not_read(length: int, tmp_path: Path) -> None:
    """Its length is a claim, and costs no memory."""
    whole = _made(("x" * 300, ""), ("", ""))
    (tmp_path / "long.root").write_bytes(whole.replace(struct.pack(">i", 300), struct.pack(">i", length), 1))

    with pytest.raises(OutputDamagedError, match=r"bytes after the record|first record has"):
        read_stamp(tmp_path / "long.root")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to, a folder, a file that is not there or that nobody may read."""
    os.mkfifo(tmp_path / "pipe")

    for name in ("pipe", ".", "nothing"):
        with pytest.raises(OutputDamagedError):
            read_stamp(tmp_path / name)


# ── places ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "a/../../x", "./x", "a//b", "", "a/", "\0", "a/.."])
def test_a_path_that_leads_elsewhere_is_none(name: str, tmp_path: Path) -> None:
    """Whether something stands there or not."""
    (tmp_path / "x").write_text("secret")
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)

    with pytest.raises(ValueError, match="not the path of a file"):
        locate(folder, name)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither at the end of a path nor within it; pipes and folders are no files."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").symlink_to(tmp_path / "real" / "x")
    os.mkfifo(tmp_path / "pipe")

    assert locate(tmp_path, "real/x").read_text() == "x"
    for name in ("link/x", "file"):
        with pytest.raises(ValueError, match="link"):
            locate(tmp_path, name)
    for name in ("pipe", "real"):
        with pytest.raises(ValueError, match="not a file"):
            locate(tmp_path, name)
    for name in ("nothing", "real/x/y", "n" * 300):
        with pytest.raises(FileNotFoundError):
            locate(tmp_path, name)


def test_a_text_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that never ends does not fill the memory."""
    monkeypatch.setattr("septum.provenance.places._LARGEST_TEXT_B", 10)
    (tmp_path / "small").write_text("0123456789")
    (tmp_path / "large").write_text("0123456789a")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    assert read_text(tmp_path, "small") == "0123456789"
    with pytest.raises(ValueError, match="larger"):
        read_text(tmp_path, "large")
    with pytest.raises(ValueError, match="utf-8"):
        read_text(tmp_path, "binary")


# ── origin ──────────────────────────────────────────────────────────────────────────────────────────────────────

CI = {
    "CI_COMMIT_SHA": "4f1d",
    "CI_COMMIT_REF_NAME": "main",
    "CI_PIPELINE_ID": "4711",
    "CI_PIPELINE_URL": "https://gitlab.example.org/higgs/dimuon/-/pipelines/4711",
    "CI_PROJECT_URL": "https://gitlab.example.org/higgs/dimuon",
    "CI_JOB_URL": "https://gitlab.example.org/higgs/dimuon/-/jobs/1",
    "CI_JOB_NAME": "septum:collect",
    "CI_SERVER_URL": "https://gitlab.example.org",
    "GITLAB_USER_LOGIN": "analyst",
    "SEPTUM_OWN_IMAGE": "registry.example.org/septum:0.1.0",
    "SEPTUM_COMPONENT": "analysis@0.1.0",
    "CI_JOB_TOKEN": "glcbt-secret",
    "GITLAB_USER_EMAIL": "analyst@example.org",
}


def test_the_origin_of_a_ci_job() -> None:
    """From GitLab's variables: commit, pipeline, job; no token, no address of a person, nothing that is empty."""
    found = origin({**CI, "CI_COMMIT_TAG": "", "CI_MERGE_REQUEST_IID": "12"})

    assert found == {
        **ORIGIN,
        "commit": "4f1d",
        "job-url": CI["CI_JOB_URL"],
        "job-name": "septum:collect",
        "merge-request": "12",
    }


def test_urls_lose_their_passwords() -> None:
    """And what else may be a secret in them; what is no web address is left out."""
    environ = {**CI, "CI_PROJECT_URL": "https://gitlab-ci-token:glcbt-1@gitlab.example.org:8443/h/d?private_token=1#x"}

    assert origin(environ)["project-url"] == "https://gitlab.example.org:8443/h/d"
    assert "CI_JOB_URL" not in origin({**CI, "CI_JOB_URL": "javascript:alert(1)"}).values()
    assert plain_url("root://user:word@eos.example.org//store/x", schemes={"root"}) == "root://eos.example.org//store/x"
    for text in (
        "",
        "x",
        "ftp://h/x",
        "https://",
        "https://h:99999999/",
        "https://h/a b",
        "https://h/\x1b[2J",
        "//h/x",
    ):
        assert plain_url(text) == ""


def test_values_of_variables_are_one_line() -> None:
    """A branch's name can hold anything, and be as long as somebody likes."""
    found = origin({**CI, "CI_COMMIT_REF_NAME": "a\n\x1b[2Jb" + "c" * 10_000})

    assert found["ref"].startswith("a??[2Jbccc")
    assert len(found["ref"]) == 500


def _git(folder: Path, *arguments: str) -> str:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        **{f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environ, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_outside_of_ci_git_is_asked(tmp_path: Path) -> None:
    """Commit, and whether files differ from it or are not in it; septum's own folders make nothing dirty."""
    environ = {"PATH": os.environ["PATH"]}
    own = [tmp_path / ".septum", tmp_path / "result", Path("/nowhere")]
    before = origin(environ, folder=tmp_path)
    _git(tmp_path, "init", "-q")
    unborn = origin(environ, folder=tmp_path)
    (tmp_path / "analyse.py").write_text("1")
    _git(tmp_path, "add", "analyse.py")
    _git(tmp_path, "commit", "-q", "-m", "one")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    clean = origin(environ, folder=tmp_path, own=own)
    (tmp_path / ".septum").mkdir()
    (tmp_path / ".septum" / "plan.json").write_text("1")
    still_clean = origin(environ, folder=tmp_path, own=own)
    (tmp_path / "more.py").write_text("1")
    untracked = origin(environ, folder=tmp_path, own=own)
    (tmp_path / "more.py").unlink()
    (tmp_path / "analyse.py").write_text("2")
    changed = origin(environ, folder=tmp_path, own=own)

    assert before == unborn == {}
    assert clean == still_clean == {"commit": commit, "dirty": "no"}
    assert untracked == changed == {"commit": commit, "dirty": "yes"}


def test_git_that_is_not_there_or_never_ends_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The origin is then not known, and the run goes on."""
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\nexec sleep 60\n")
    git.chmod(0o755)
    monkeypatch.setattr("septum.provenance.origin._GIT_S", 0.2)

    assert origin({"PATH": str(tmp_path)}, folder=tmp_path) == {}
    assert origin({"PATH": f"{git.parent}:{os.environ['PATH']}"}, folder=tmp_path) == {}


def test_versions_are_known_without_an_import() -> None:
    """Of the bindings only where they were used."""
    code = (
        "import sys, json\nfrom septum.provenance.origin import software\nfound = software()\n"
        "print(json.dumps([found, [name for name in ('numpy', 'uproot', 'htcondor2') if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    found, imported = json.loads(done.stdout)

    assert imported == []
    assert found["septum"] == septum.__version__
    assert found["uproot"] == uproot.__version__
    assert "htcondor" not in found
    assert {"python", "platform", "numpy"} <= found.keys()
    assert software()["uproot"] == uproot.__version__


# ── the crate ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ResultFolder:
    """A whole result of three parts; a test that changes it works on a copy of the manifest."""
    return ResultFolder(root=tmp_path_factory.mktemp("made"))


@pytest.fixture
def crate_of(made: ResultFolder) -> Callable[..., dict[str, Any]]:
    """The entities of a crate by identifier, for a manifest with changes."""

    def entities(**changes: Any) -> dict[str, Any]:
        before = made.manifest
        try:
            made.change(**changes)
            made.write()
            graph = json.loads((made.folder / NAME).read_text(encoding="utf-8"))["@graph"]
        finally:
            made.manifest = before
            made.write()
        assert len({item["@id"] for item in graph}) == len(graph)
        return {item["@id"]: item for item in graph}

    return entities


def test_a_crate_names_results_inputs_software_and_parts(made: ResultFolder, crate_of: Callable[..., Any]) -> None:
    """With checksums, versions, times, commit, image with its digest, and the component."""
    found = crate_of()
    (result,) = made.manifest.results
    run = next(item for item in found.values() if item.get("instrument") == {"@id": PLAN})

    assert (found["h.root"]["sha256"], found["h.root"]["identifier"]) == (result.sha256, result.stamp)
    assert found["./"]["mainEntity"] == {"@id": PLAN}
    assert found[PLAN]["version"] == ORIGIN["commit"]
    assert found[PLAN]["codeRepository"] == ORIGIN["project-url"]
    assert (found["#image"]["registry"], found["#image"]["tag"]) == ("registry.example.org", "1.2")
    assert found["#image"]["sha256"] == "ab" * 32
    assert run["actionStatus"].endswith("/CompletedActionStatus")
    assert (run["startTime"], run["endTime"]) == ("2025-06-15T15:06:40+00:00", "2025-06-15T16:06:40+00:00")
    assert run["agent"] == {"@id": "https://gitlab.example.org/analyst"}
    assert {"@id": "h.root"} in run["result"]
    assert [key for key in found if key.startswith("#part/") and key.count("/") == 1] == [
        f"#part/000{n}" for n in range(3)
    ]
    versions = {
        item["name"]: item.get("softwareVersion") or item.get("version") for item in found.values() if "name" in item
    }
    assert versions["uproot"] == "5.7.7"
    assert versions["hadd"] == "6.40.00"
    assert versions["GitLab CI component analysis"] == "0.1.0"


def test_the_same_manifest_gives_the_same_crate(made: ResultFolder) -> None:
    """To the byte: no random identifier, no date of today."""
    first = (made.folder / NAME).read_bytes()
    write_crate(made.folder, made.manifest, made.plan)

    assert (made.folder / NAME).read_bytes() == first
    assert (made.folder / PLAN).read_text(encoding="utf-8") == plan_to_json(made.plan)


def test_a_partial_run_is_no_success(tmp_path: Path) -> None:
    """The action failed, with the error in it, and with the results that there are."""
    made = ResultFolder(root=tmp_path, failed=["0001"])
    found = {item["@id"]: item for item in json.loads((made.folder / NAME).read_text())["@graph"]}
    run = next(item for item in found.values() if item.get("instrument") == {"@id": PLAN})

    assert run["actionStatus"].endswith("/FailedActionStatus")
    assert run["error"] == "1 missing [E310]"
    assert {"@id": "h.partial.root"} in run["result"]
    assert found["./"]["description"].startswith("A partial result")
    assert found["#part/0001"]["@type"] == "ActivateAction"
    assert found["#part/0001"]["error"] == "the command ended with exit code 3 [E301]"


def test_a_run_without_a_result_has_a_crate(made: ResultFolder, crate_of: Callable[..., Any]) -> None:
    """What it ended with, and no file that is not there."""
    error = Failure(code="E301", exit_code=30, what="part 0001: the command ended with exit code 3")
    found = crate_of(results=(), complete=False, error=error, ended_s=None)
    run = next(item for item in found.values() if item.get("instrument") == {"@id": PLAN})

    assert run["error"] == "part 0001: the command ended with exit code 3 [E301]"
    assert run["result"] == [{"@id": "septum.json"}]
    assert "endTime" not in run
    assert "h.root" not in found


def test_nothing_in_a_crate_is_secret_or_of_one_machine(made: ResultFolder, crate_of: Callable[..., Any]) -> None:
    """Known secrets, passwords in URLs, absolute paths, control characters: in whatever text of the manifest."""
    KNOWN.add("correct-horse-battery")
    error = Failure(
        code="E005",
        exit_code=2,
        what="state: /builds/higgs/.septum and file:///tmp/x hold\n\x1b[2Jcorrect-horse-battery",
    )
    crate = crate_of(
        error=error,
        complete=False,
        origin={**ORIGIN, "pipeline-url": "https://u:glpat-1@gitlab.example.org/p/1?token=2"},
        results=tuple(
            replace(item, url="https://u:p@s3.example.org/b/h.root?X-Amz-Signature=3") for item in made.manifest.results
        ),
    )
    text = json.dumps(crate, ensure_ascii=False)

    assert "state: …/.septum and …/x hold  [2J***" in text
    for hidden in (
        "correct-horse",
        "/builds",
        "/tmp",
        "glpat-1",
        "token=2",
        "Signature",
        "u:p@",
        str(made.root),
        "\x1b",
    ):
        assert hidden not in text
    assert "https://s3.example.org/b/h.root" in crate


def test_a_crate_of_very_many_parts_stays_small(made: ResultFolder, crate_of: Callable[..., Any]) -> None:
    """Their table is in the manifest, and the crate says so."""
    parts = tuple(replace(made.manifest.parts[0], id=f"{n:04d}") for n in range(1001))
    found = crate_of(parts=parts, whole_count=1001, complete=False)
    run = next(item for item in found.values() if item.get("instrument") == {"@id": PLAN})

    assert not [key for key in found if key.startswith("#part/")]
    assert "The table of the parts is in septum.json." in run["description"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("registry.example.org:5000/a/b", ("registry.example.org:5000", "a/b", None, None)),
        ("docker://rootproject/root:6.36", ("docker.io", "rootproject/root", "6.36", None)),
        ("/cvmfs/unpacked.cern.ch/r.cern.ch/a/b:1", ("unpacked.cern.ch", "r.cern.ch/a/b", "1", None)),
        ("ubuntu@sha256:" + "0" * 64, ("docker.io", "ubuntu", None, "0" * 64)),
        ("no/image@at:all@", ("docker.io", "no/image@at:all@", None, None)),
    ],
)
def test_names_of_images_are_taken_apart(
    image: str, expected: tuple[str, str, str | None, str | None], crate_of: Callable[..., Any]
) -> None:
    """Registry, name, tag and digest, as far as the name says them."""
    found = crate_of(image=image)["#image"]

    assert tuple(found.get(key) for key in ("registry", "name", "tag", "sha256")) == expected


def test_the_digest_that_submission_found_out(crate_of: Callable[..., Any]) -> None:
    """It names the image for ever, where the name alone does not."""
    found = crate_of(image="ghcr.io/a/b:1", image_digest="sha256:" + "d" * 64)["#image"]

    assert (found["tag"], found["sha256"]) == ("1", "d" * 64)


def test_times_that_are_none_are_left_out() -> None:
    """No date is invented."""
    assert [show_time(value) for value in (None, float("nan"), float("inf"), 1e300, -1e300)] == [None] * 5
    assert show_time(0) == "1970-01-01T00:00:00+00:00"


def test_a_crate_is_written_whole_or_not_at_all(
    made: ResultFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for files that are not there, not beside another manifest, and not half when the disk is full."""
    (tmp_path / "septum.json").write_bytes((made.folder / "septum.json").read_bytes())

    with pytest.raises(StateError, match=r"'h\.root' is no file"):
        write_crate(tmp_path, made.manifest, made.plan)
    (tmp_path / "h.root").write_bytes(made.path().read_bytes())
    for files in ({"report.html": "the page"}, {"../made": "elsewhere"}, {str(made.path()): "absolute"}):
        with pytest.raises(StateError, match="is no file"):
            write_crate(tmp_path, made.manifest, made.plan, files=files)
    with pytest.raises(StateError, match="not that of this run"):
        write_crate(tmp_path, replace(made.manifest, run="other"), made.plan)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("septum.state.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_crate(tmp_path, made.manifest, made.plan)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h.root", "septum.json"]
    (tmp_path / "report.html").write_text("<html>")
    written = write_crate(tmp_path, made.manifest, made.plan, files={"report.html": "the page"})
    assert '"report.html"' in written.read_text()

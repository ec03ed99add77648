"""Where results go: `publish: to:` taken apart, names made safe, presigned URLs read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from septum.credentials.redact import KNOWN
from septum.errors import CredentialMissingError
from septum.upload.presigned import read_urls
from septum.upload.target import Target, parse, path_of_run

TAG = "gitlab.cern.ch/12/345/-/0123456789abcdef"
TAG_AS_PATH = "gitlab.cern.ch-12-345-0123456789abcdef"


@pytest.mark.parametrize(
    ("to", "url"),
    [
        ("root://eos.example.org//eos/me", "root://eos.example.org//eos/me/a/b.root"),
        ("roots://eos.example.org:1094//eos/me/", "roots://eos.example.org:1094//eos/me/a/b.root"),
        ("https://dav.example.org/store", "https://dav.example.org/store/a/b.root"),
        ("davs://dav.example.org:2880/store//", "davs://dav.example.org:2880/store/a/b.root"),
        ("https://[::1]:8443/store", "https://[::1]:8443/store/a/b.root"),
        (
            "root://eos.example.org//eos/me/{run}/x-{run}",
            f"root://eos.example.org//eos/me/{TAG_AS_PATH}/x-{TAG_AS_PATH}/a/b.root",
        ),
    ],
)
def test_targets(to: str, url: str) -> None:
    """The place of a file is its name below the folder."""
    assert parse(to).place("a/b.root", run=TAG).url == url


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("", "write root://"),
        ("results", "write root://"),
        ("file:///tmp/x", "write root://"),
        ("http://dav.example.org/store", "write root://"),
        ("s3://bucket/key", "write root://"),
        ("root:///eos/me", "write root://"),
        ("root://eos.example.org/eos/me", "begins with two slashes: root://eos.example.org//eos/me"),
        ("root://eos.example.org//", "needs a folder"),
        ("https://dav.example.org", "needs a folder"),
        ("https://dav.example.org/", "needs a folder"),
        ("https://dav.example.org:99999/store", "is not a URL"),
        ("https://[::1/store", "is not a URL"),
        ("https://dav.example.org/a/../b", "'..'"),
        ("https://dav.example.org/a//b", "'//'"),
        ("https://dav.example.org/a b", "may hold"),
        ("https://dav.example.org/a%2e%2e/b", "may hold"),
        ("https://dav.example.org/{name}", "may hold"),
        ("https://dav.example.org/${CI_JOB_TOKEN}", "may hold"),
        ("https://dav.example.org/a\x1b[2J", "may hold"),
        ("s3-presigned:", "the name of a variable"),
        ("s3-presigned:MY URLS", "the name of a variable"),
    ],
)
def test_what_is_no_target(to: str, words: str) -> None:
    """Said before anything runs, with the form that is wanted."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse(to)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    "to",
    [
        "https://me:hunter2-hunter2@dav.example.org/store",
        "https://hunter2-hunter2@dav.example.org/store",
        "root://eos.example.org//eos/me?authz=hunter2-hunter2",
        "https://bucket.example.org/key?X-Amz-Signature=hunter2-hunter2",
        "https://dav.example.org/store#hunter2-hunter2",
        "s3-presigned:https://bucket.example.org/key?X-Amz-Signature=hunter2-hunter2",
    ],
)
def test_a_secret_in_a_target_is_refused_and_not_repeated(to: str) -> None:
    """It would stand in the plan, which is an artifact."""
    with pytest.raises(ValueError, match=r"secrets|read by many") as caught:
        parse(to)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("hists.root", "/store/hists.root"),
        ("parts/0001/out.root", "/store/parts/0001/out.root"),
        ("sample=DY,era=2018+B.root", "/store/sample=DY,era=2018+B.root"),
        ("a b?c&d#e%2e.root", "/store/a~20b~3Fc~26d~23e~252e.root"),
        ("größe~1.root", "/store/gr~C3~B6~C3~9Fe~7E1.root"),
        ("\r\nHost: evil\x1b[2J", "/store/~0D~0AHost:~20evil~1B~5B2J"),
        ("\udcff.root", "/store/~FF.root"),
    ],
)
def test_names_are_made_safe_and_stay_different(name: str, path: str) -> None:
    """Values of parts stand in names of results; what begins parameters or a header elsewhere is written out."""
    assert parse("https://dav.example.org/store").place(name, run="r").path == path


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a/"])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    """Whatever a name is, it is below the target."""
    with pytest.raises(ValueError, match="not a path below the target"):
        parse("https://dav.example.org/store").place(name, run="r")


@pytest.mark.parametrize(
    ("run", "piece"),
    [
        (TAG, TAG_AS_PATH),
        ("laptop/x/-/pre/0123", "laptop-x-pre-0123"),
        ("../..", "run"),
        ("", "run"),
        (".hidden/../x", "hidden-..-x"),
    ],
)
def test_a_run_is_one_piece_of_a_path(run: str, piece: str) -> None:
    """No slash, and no way up."""
    assert path_of_run(run) == piece
    assert "/" not in piece


# ── presigned URLs ──────────────────────────────────────────────────────────────────────────────────────────────

SIGNATURE = "5f2b9c" * 10
URL = f"https://s3.example.org/bucket/a.root?X-Amz-Expires=600&X-Amz-Signature={SIGNATURE}"


@pytest.mark.parametrize("way", ["url", "json", "file", "json file"])
def test_presigned_urls(tmp_path: Path, way: str) -> None:
    """One URL, a mapping, or a file with either; what is shown has no query."""
    text = URL if way in {"url", "file"} else json.dumps({"a.root": URL, "b.root": "https://s3.example.org/b?x=y"})
    if "file" in way:
        (tmp_path / "urls").write_text(text + "\n")
        text = str(tmp_path / "urls")
    found = read_urls({"URLS": text}, "URLS", ["a.root"])["a.root"]

    assert found.url.reveal() == URL
    assert found.shown == "https://s3.example.org/bucket/a.root"
    assert SIGNATURE not in repr(found)
    assert SIGNATURE not in KNOWN.text(f"the server says: {URL}")
    assert parse("s3-presigned:URLS") == Target(kind="presigned", variable="URLS")


@pytest.mark.parametrize(
    ("value", "names", "words"),
    [
        ("", ["a"], "not set"),
        ("  ", ["a"], "not set"),
        (URL, ["a", "b"], "one URL, and 2 files"),
        (json.dumps({"b": URL}), ["a", "c"], "no URL for a, c"),
        (json.dumps({str(n): URL for n in range(3)}), [f"x{n}" for n in range(9)], "x0, x1, x2, x3, x4, …"),
        ('{"a": ' + json.dumps(URL), ["a"], "begins as JSON does, and is none"),
        (json.dumps({"a": [URL]}), ["a"], "no mapping"),
        (URL.replace("https", "http"), ["a"], "no URL with https"),
        (URL.replace("s3.", "me:pw@s3."), ["a"], "no URL with https"),
        (URL + "\nHost: evil", ["a"], "no URL with https"),
        ("https://[" + URL, ["a"], "no URL with https"),
        (URL.partition("?")[0], ["a"], "not signed"),
        ("/no/such/file", ["a"], "no URL with https"),
        (f"[{URL}]", ["a"], "no URL with https"),
    ],
)
def test_presigned_urls_that_are_wrong(value: str, names: list[str], words: str) -> None:
    """Exit code 10 with the variable's name, and not a byte of what is signed."""
    with pytest.raises(CredentialMissingError) as caught:
        read_urls({"URLS": value}, "URLS", names)

    assert "variable URLS" in caught.value.what
    assert words in caught.value.evidence
    assert caught.value.exit_code == 10
    assert SIGNATURE not in str(caught.value)
    assert SIGNATURE not in repr(caught.value.__context__)


def test_many_presigned_urls_are_known_quickly() -> None:
    """Of 100 URLs only what is signed is made known: each kB of secrets costs memory."""
    signatures = {f"{n}.root": hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(100)}
    urls = {name: URL.replace(SIGNATURE, signature) for name, signature in signatures.items()}
    read_urls({"URLS": json.dumps(urls)}, "URLS", list(urls))

    assert sum(map(len, KNOWN._secrets)) < 10_000
    assert KNOWN.text(urls["17.root"]).endswith("X-Amz-Signature=***")

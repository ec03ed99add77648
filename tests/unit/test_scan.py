"""Credentials in files: each kind, wherever it hides, and nothing that only looks like one.

All of them are made when a test runs, so that this file holds none.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import sqlite3
import string
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import proxy_files  # type: ignore[import-not-found]
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from septum.cli import main
from septum.credentials import detect
from septum.credentials import scan as scanning
from septum.credentials.redact import Redactor
from septum.credentials.scan import Finding, Report, scan

ROOT = Path(__file__).parents[2]
_LETTERS = string.ascii_letters + string.digits
_R = random.Random(20261122)


def _random(size: int) -> str:
    return "a1B" + "".join(_R.choices(_LETTERS, k=size - 3))


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _jwt(**claims: object) -> str:
    return f"{_part({'typ': 'JWT', 'alg': 'RS256'})}.{_part({'iss': 'x', 'sub': 'y', **claims})}.{_random(86)}"


def _pem(key: object, password: bytes = b"", form: str = "PKCS8") -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    made = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), encryption
    )
    return bytes(made)


_RSA = rsa.generate_private_key(65537, 2048)
_KEY = _pem(_RSA)
_PROXY: bytes = proxy_files.proxy()
_CERTIFICATE: bytes = proxy_files.authority().pem
_TOKEN = _jwt()

_TEXTS = {
    "RSA": (_pem(_RSA, form="TraditionalOpenSSL"), "private key"),
    "PKCS8": (_KEY, "private key"),
    "encrypted": (_pem(_RSA, b"password"), "private key"),
    "encrypted, old": (_pem(_RSA, b"password", "TraditionalOpenSSL"), "private key"),
    "EC": (_pem(ec.generate_private_key(ec.SECP256R1()), form="TraditionalOpenSSL"), "private key"),
    "Ed25519": (_pem(ed25519.Ed25519PrivateKey.generate()), "private key"),
    "OpenSSH": (_pem(ed25519.Ed25519PrivateKey.generate(), form="OpenSSH"), "private key"),
    "CR LF": (_KEY.replace(b"\n", b"\r\n"), "private key"),
    "indented": (b"key: |\n    " + _KEY.replace(b"\n", b"\n    "), "private key"),
    "JSON": (json.dumps({"private_key": _KEY.decode()}).encode(), "private key"),
    "PGP": (
        b"-----BEGIN PGP PRIVATE KEY" + b" BLOCK-----\nVersion: GnuPG v2\n\n" + base64.encodebytes(_R.randbytes(300)),
        "private key",
    ),
    "host certificate and key": (proxy_files.user().pem + proxy_files.user().key_pem, "private key"),
    "proxy": (_PROXY, "X.509 proxy"),
    "draft proxy": (proxy_files.proxy("draft"), "X.509 proxy"),
    "legacy proxy": (proxy_files.proxy("legacy"), "X.509 proxy"),
    "limited proxy": (proxy_files.proxy("limited"), "X.509 proxy"),
    "JWT": (_TOKEN.encode(), "JWT"),
    "IDTOKEN": (_jwt(kid="POOL", scope="condor:/READ condor:/WRITE", jti=_random(32)).encode(), "JWT"),
    "EOS": (b"zteos64:" + base64.b64encode(_R.randbytes(200)), "EOS token"),
    "EOS, quoted": (b"x?authz=zteos64%3A" + base64.urlsafe_b64encode(_R.randbytes(120)), "EOS token"),
    **{kind: (f"gl{kind}-{_random(20)}".encode(), "GitLab token") for kind in ("pat", "rt", "dt", "ptt", "cbt")},
    "routable": (f"glpat-{_random(27)}.01.{_random(9)}".encode(), "GitLab token"),
    "Vault": (b"hvs." + _random(95).encode(), "Vault token"),
    "password": (f"https://robot:{_random(12)}@example.org/x.git".encode(), "password in a URL"),
    "authz": (f"root://eos.example.org//x?a=b&authz={_random(40)}".encode(), "token in a URL"),
    "authz of a JWT": (f"root://eos.example.org//x?authz=Bearer%20{_TOKEN}".encode(), "JWT"),
    "access_token": (f"https://example.org/?access_token={_random(20)}".encode(), "token in a URL"),
    "header": (f"> Authorization: Basic {_random(40)}==".encode(), "authorization header"),
    "two wide characters": ("\ufeff" + _TOKEN, "JWT"),
}


def _bytes(text: bytes | str) -> bytes:
    return text.encode("utf-16") if isinstance(text, str) else text


def _keytab(realm: bytes = b"EXAMPLE.ORG") -> bytes:
    name = b"".join(len(part).to_bytes(2, "big") + part for part in (realm, b"robot"))
    entry = (1).to_bytes(2, "big") + name + bytes(9) + b"\x00\x12\x00\x20" + _R.randbytes(32)
    return b"\x05\x02" + len(entry).to_bytes(4, "big") + entry


def _ccache(version: int = 4) -> bytes:
    header = b"\x00\x0c\x00\x01\x00\x08" + bytes(8) if version == 4 else b""
    parts = b"".join(len(part).to_bytes(4, "big") + part for part in (b"EXAMPLE.ORG", b"robot"))
    return bytes([5, version]) + header + b"\0\0\0\1\0\0\0\1" + parts + _R.randbytes(500)


def _scan(path: Path, known: Redactor | None = None) -> Report:
    """Scan, and compare what is reported with what may be said of a credential."""
    report = scan([path], known)
    assert len({finding.fingerprint for finding in report.findings if len(finding.fingerprint) != 8}) == 0
    return report


def _kinds(path: Path) -> list[str]:
    report = _scan(path)
    assert report.unread == ()
    return [finding.kind for finding in report.findings]


# ── kinds ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", _TEXTS)
def test_each_kind(tmp_path: Path, name: str) -> None:
    """Once, in its line, without its text."""
    text, kind = _TEXTS[name]
    before = "first line\n".encode("utf-16-le" if isinstance(text, str) else "utf-8")
    data = _bytes(text)
    (tmp_path / "file").write_bytes(data if isinstance(text, str) else before + data + b"\nlast line\n")
    report = _scan(tmp_path)

    assert [finding.kind for finding in report.findings] == [kind]
    assert report.findings[0].line is not None
    assert (report.files, report.skipped, report.unread) == (1, 0, ())
    for secret in (_TOKEN, _random(3), _KEY.decode().splitlines()[3]):
        assert secret[:20] not in repr(report) or len(secret) < 20


@pytest.mark.parametrize("secret", [_KEY, _PROXY, _TOKEN.encode()], ids=["key", "proxy", "token"])
@pytest.mark.parametrize("before", [b"", b"u", b"u:", b"id: ", b"{'a':"])
@pytest.mark.parametrize("wrap", [0, 64, 76, 20])
def test_base64(tmp_path: Path, secret: bytes, before: bytes, wrap: int) -> None:
    """Also of a larger text, wrapped or not, in a line or in JSON."""
    encoded = base64.b64encode(before + secret + b"\n").decode()
    if wrap:
        encoded = "\n".join(encoded[at : at + wrap] for at in range(0, len(encoded), wrap))
    (tmp_path / "plain").write_text(f"variable: {encoded}\nnext: line\n")
    (tmp_path / "json").write_text(json.dumps({"a": encoded}))
    kind = {_KEY: "private key", _PROXY: "X.509 proxy"}.get(secret, "JWT")

    assert _kinds(tmp_path / "plain") == [f"{kind} in base64"]
    assert _kinds(tmp_path / "json") == [f"{kind} in base64"]


def test_base64_of_base64(tmp_path: Path) -> None:
    """As a CI variable with a proxy is, when somebody encodes it once more."""
    (tmp_path / "x").write_bytes(base64.encodebytes(base64.b64encode(_PROXY)))

    assert _kinds(tmp_path) == []  # two encodings are left to `known`
    known = Redactor()
    known.add(base64.b64encode(_PROXY))
    assert {finding.kind for finding in _scan(tmp_path, known).findings} == {"known secret"}


def test_kerberos(tmp_path: Path) -> None:
    """By content, whatever the files are called."""
    (tmp_path / "a").write_bytes(_keytab())
    (tmp_path / "b").write_bytes(_ccache())
    (tmp_path / "c").write_bytes(_ccache(3))
    hole = b"\x05\x02" + (-40).to_bytes(4, "big", signed=True) + bytes(40)
    (tmp_path / "d").write_bytes(hole + _keytab()[2:])
    (tmp_path / "none").write_bytes(b"\x05\x02" + _R.randbytes(300))
    (tmp_path / "neither").write_bytes(b"\x05\x04")
    (tmp_path / "empty").touch()

    assert _kinds(tmp_path) == ["Kerberos keytab", "Kerberos ticket", "Kerberos ticket", "Kerberos keytab"]


def test_known_secrets(tmp_path: Path) -> None:
    """In any form, and only what is not recognized anyway."""
    known = Redactor()
    known.add("correct horse battery staple")
    known.add(_TOKEN)
    (tmp_path / "x").write_bytes(b"a\nb " + base64.b64encode(b"correct horse battery staple") + f"\n{_TOKEN}".encode())

    assert [(f.kind, f.line) for f in _scan(tmp_path, known).findings] == [("known secret", 2), ("JWT", 3)]


def test_fingerprint_is_of_the_credential(tmp_path: Path) -> None:
    """The same in every place and form, so that it says whether two findings are one credential."""
    (tmp_path / "a").write_text(f"x\ny {_TOKEN} z")
    (tmp_path / "b").write_bytes(base64.b64encode(_TOKEN.encode()))
    (tmp_path / "c").write_bytes(_KEY.replace(b"\n", b"\r\n"))
    (tmp_path / "d").write_bytes(json.dumps(_KEY.decode()).encode())
    prints = [finding.fingerprint for finding in _scan(tmp_path).findings]

    assert prints[0] == prints[1] == hashlib.sha256(_TOKEN.encode()).hexdigest()[:8]
    assert prints[2] == prints[3] != prints[0]


@pytest.mark.parametrize("at", [detect.REACH, (1 << 20) - detect.REACH, (1 << 20) - 50, 1 << 20, (3 << 20) - 500])
@pytest.mark.parametrize("secret", [_TOKEN.encode(), _PROXY, base64.encodebytes(_PROXY)])
def test_where_pieces_meet(tmp_path: Path, at: int, secret: bytes) -> None:
    """A large file is read in pieces; nothing is lost or counted twice there."""
    line = b"x" * 99 + b"\n"
    data = (line * (at // 100 + 1))[:at] + b" \n" + secret + b"\n" + line * 20000
    (tmp_path / "x").write_bytes(data)
    (finding,) = _scan(tmp_path).findings
    key = data.find(b"-----BEGIN EC") if secret == _PROXY else at + 2

    assert finding.offset == key
    assert finding.line == data[:key].count(b"\n") + 1


def test_binary_files(tmp_path: Path) -> None:
    """A byte, not a line; SQLite is one of them."""
    (tmp_path / "a").write_bytes(b"\0\1\2\n" + _TOKEN.encode() + _R.randbytes(1000))
    database = sqlite3.connect(tmp_path / "b.sqlite")
    database.execute("CREATE TABLE run (key TEXT, value TEXT)")
    database.execute("INSERT INTO run VALUES ('x', ?)", (_TOKEN,))
    database.commit()
    database.close()
    findings = _scan(tmp_path).findings

    assert [(f.path.rpartition("/")[2], f.line, f.kind) for f in findings] == [
        ("a", None, "JWT"),
        ("b.sqlite", None, "JWT"),
    ]
    assert findings[0].offset == 4


def test_many_are_not_all_listed(tmp_path: Path) -> None:
    """Who sees a hundred has understood, and each file is looked into."""
    (tmp_path / "a").write_text("\n".join(_jwt(n=n) for n in range(150)))
    (tmp_path / "b").write_text(_jwt())

    assert len(_kinds(tmp_path)) == 101


# ── what is none ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nMIIE...\n-----END PRIVATE KEY-----",
        "re.compile('-----BEGIN (RSA |EC )?PRIVATE KEY-----')",
        "-----BEGIN PRIVATE KEY-----\n" + "x" * 64,
        "eyJhbGciOi.eyJhbGciOi.signature-that-is-none",
        "eyJ" + "a" * 40 + ".eyJ" + "b" * 40 + "." + "c" * 40,
        "glpat-xxxxxxxxxxxxxxxxxxxx glpat-your-own-token-goes-here1 glpat-$TOKEN glpat-0123",
        "hvs.example1-example2-example3-example4",
        "https://user:password@example.org https://user:pass@x https://u:${PASSWORD}@x https://gitlab-ci-token:$CI_JOB_TOKEN@x",
        "https://user:<password>@example.org, https://foo:my_secret@example.org https://robot:***@example.org",
        "http://[::1]:8080/@x https://example.org:8080/path?mail=a@b.example ssh://git@example.org:22/x",
        "x?authz=$TOKEN&access_token={{ token }} x?authz=...&access_token=your_access_token_here_1",
        "Authorization: Bearer <token>  Authorization: Bearer ${BEARER_TOKEN}  Authorization: Basic ***",
        "zteos64:... zteos64:" + "A" * 60,
        "cvmfs/cms.cern.ch/slc7_amd64_gcc10/external/0123456789abcdef0123456789abcdef",
        hashlib.sha512(b"x").hexdigest(),
    ],
)
def test_what_only_looks_like_one(tmp_path: Path, text: str) -> None:
    """Placeholders, patterns and checksums."""
    (tmp_path / "x").write_text(text)

    assert _kinds(tmp_path) == []


def test_public_certificates(tmp_path: Path) -> None:
    """Those of CAs lie everywhere, also in base64."""
    (tmp_path / "ca.pem").write_bytes(_CERTIFICATE * 3)
    (tmp_path / "ca.b64").write_bytes(base64.encodebytes(_CERTIFICATE * 3))
    public = _RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public").write_bytes(public)

    assert _kinds(tmp_path) == []


def test_random_bytes(tmp_path: Path) -> None:
    """Neither plain nor as text."""
    data = random.Random(1).randbytes(3_000_000)
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(base64.b64encode(data))
    (tmp_path / "c").write_text(data.hex())

    assert _kinds(tmp_path) == []


def test_this_repository_holds_none() -> None:
    """But for texts in tests that only look like one: a token `glcbt-1`, and URLs with passwords, to be refused."""
    names = ("src", "docs", "tests", "components", "templates", "starter", "examples")
    report = scan([ROOT / name for name in names if (ROOT / name).exists()])

    unit = (
        "environment",
        "provenance",
        "upload_target",
        "upload_https",
        "images_forms",
        "watching_place",
        "gitlab_setup",
    )
    tests = (*(f"unit/test_{name}.py" for name in unit), "fakes/gitlab_api.py", "fakes/gitlab_server.py")
    assert {finding.path for finding in report.findings} <= {str(ROOT / "tests" / name) for name in tests}
    assert report.unread == ()


# ── archives ────────────────────────────────────────────────────────────────────────────────────────────────────


def _tar(mode: str, files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return out.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


_INSIDE = {"a/": b"", "a/b.txt": b"first\n" + _TOKEN.encode(), "c": b"nothing"}
_MEMBERS = {name: content for name, content in _INSIDE.items() if not name.endswith("/")}
_ARCHIVES: dict[str, tuple[bytes, str]] = {
    "x.gz": (gzip.compress(_INSIDE["a/b.txt"]), ""),
    "x.bz2": (bz2.compress(_INSIDE["a/b.txt"]), ""),
    "x.xz": (lzma.compress(_INSIDE["a/b.txt"]), ""),
    "x.tar": (_tar("w", _MEMBERS), "!a/b.txt"),
    "x.tar.gz": (_tar("w:gz", _MEMBERS), "!a/b.txt"),
    "x.tar.bz2": (_tar("w:bz2", _MEMBERS), "!a/b.txt"),
    "x.tar.xz": (_tar("w:xz", _MEMBERS), "!a/b.txt"),
    "x.zip": (_zip(_INSIDE), "!a/b.txt"),
    "artifacts": (_zip({"logs.tar.gz": _tar("w:gz", {"y.zip": _zip(_INSIDE)})}), "!logs.tar.gz!y.zip!a/b.txt"),
}


@pytest.mark.parametrize("name", _ARCHIVES)
def test_archives(tmp_path: Path, name: str) -> None:
    """By content; the finding says where in it."""
    data, inner = _ARCHIVES[name]
    (tmp_path / name).write_bytes(data)
    report = _scan(tmp_path)

    assert [(f.path, f.line, f.kind) for f in report.findings] == [(f"{tmp_path}/{name}{inner}", 2, "JWT")]
    assert report.unread == ()


def test_a_keytab_in_an_archive(tmp_path: Path) -> None:
    """A member is judged like a file."""
    (tmp_path / "x.tar").write_bytes(_tar("w", {"k": _keytab()}))

    assert _kinds(tmp_path) == ["Kerberos keytab"]


def test_archives_that_cannot_be_read(tmp_path: Path) -> None:
    """Damaged, with a password, too deep: said, not passed over; what can be read is."""
    whole = _zip(_INSIDE)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(_R.randbytes(5000))[:-200])
    (tmp_path / "cut.tar").write_bytes(_tar("w", {"t": _TOKEN.encode(), "u": bytes(9000)})[:4000])
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    locked = bytearray(whole)
    for at in (whole.rfind(b"PK\x01\x02") + 8,):
        locked[at] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    deep = _TOKEN.encode()
    for _ in range(6):
        deep = gzip.compress(deep)
    (tmp_path / "z.gz").write_bytes(deep)
    report = _scan(tmp_path)

    assert [unread.path.rpartition("/")[2] for unread in report.unread] == [
        "cut.gz",
        "cut.tar",
        "cut.zip",
        "locked.zip!c",
        "z.gz",
    ]
    assert [finding.path.rpartition("/")[2] for finding in report.findings] == [
        "cut.tar!t",
        "locked.zip!a/b.txt".rpartition("/")[2],
    ]


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is said to; nobody waits for its end."""
    monkeypatch.setattr(scanning._Allowance, "__init__", lambda self: setattr(self, "left", 1 << 20))
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(8 << 20)))
    (tmp_path / "fine.gz").write_bytes(gzip.compress(bytes(1 << 19)))
    (unread,) = _scan(tmp_path).unread

    assert unread.path == f"{tmp_path}/bomb.gz"
    assert "unpacks to more than" in unread.reason


def test_a_large_zip_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would have to be in memory as a whole."""
    monkeypatch.setattr(scanning, "_LARGEST_INNER_ZIP", 100)
    (tmp_path / "x.tar").write_bytes(_tar("w", {"y.zip": _zip(_INSIDE)}))

    assert "zip file" in _scan(tmp_path).unread[0].reason


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_links_and_special_files(tmp_path: Path) -> None:
    """No link leads out of the folder; pipes are not waited for."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret").write_text(_TOKEN)
    inside = tmp_path / "in"
    (inside / "folder").mkdir(parents=True)
    (inside / "folder/mine").write_text(_TOKEN)
    for name, target in {
        "file": "../out/secret",
        "dir": "../out",
        "own": "folder",
        "self": ".",
        "no": "/nowhere",
    }.items():
        (inside / name).symlink_to(target)
    os.mkfifo(inside / "pipe")
    report = _scan(inside)

    assert [finding.path for finding in report.findings] == [f"{inside}/folder/mine"]
    assert (report.files, report.skipped, report.unread) == (1, 6, ())
    # Who names a link means what it leads to.
    assert [finding.path for finding in _scan(inside / "dir").findings] == [f"{inside}/dir/secret"]


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is reported, and the rest is looked into."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(_TOKEN)
    really = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "b":
            raise PermissionError(13, "Permission denied", path)
        return really(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    report = scan([tmp_path, tmp_path / "none"])

    assert [finding.path[-3:] for finding in report.findings] == ["a/x", "c/x"]
    assert [(unread.path.rpartition("/")[2], unread.reason) for unread in report.unread] == [
        ("b", "cannot be read: permission denied"),
        ("none", "cannot be read: no such file or directory"),
    ]


def test_folders_without_end(tmp_path: Path) -> None:
    """Two hundred are deep enough."""
    (tmp_path / "/".join(["d"] * 205)).mkdir(parents=True)

    assert [unread.reason for unread in _scan(tmp_path).unread] == ["more than 200 folders deep"]


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the folder one is in, and of bytes that are no text."""
    monkeypatch.chdir(tmp_path)
    with open(b"\xff\x1b[2J\n", "wb") as stream:  # noqa: PTH123 - bytes
        stream.write(_TOKEN.encode())

    assert [finding.path for finding in scan([Path()]).findings] == ["\udcff\x1b[2J\n"]


def test_memory_is_constant(tmp_path: Path) -> None:
    """A file of 100 MB is read in 60 MB of memory, Python included."""
    with (tmp_path / "x").open("wb") as stream:
        stream.truncate(100 << 20)
    code = (
        "import resource, sys; from pathlib import Path; from septum.credentials.scan import scan\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (60 << 20, 60 << 20)); print(scan([Path(sys.argv[1])]).files)"
    )

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)

    assert done.stdout == "1\n"


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_command_when_all_is_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    (tmp_path / "x").write_text("nothing")

    assert main(["credentials", "scan", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "files: 1, credentials: 0\n"


def test_command_when_there_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, a summary, an exit code, and not the credential."""
    (tmp_path / "a\n").write_bytes(b"\0" + _KEY)
    (tmp_path / "b").write_text(f"x\n{_TOKEN}\n")
    (tmp_path / "c").symlink_to("b")

    assert main(["credentials", "scan", str(tmp_path)]) == 18
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].startswith(f"{tmp_path}/a\\n:byte 1: private key (sha256 ")
    assert lines[1].startswith(f"{tmp_path}/b:2: JWT (sha256 ")
    assert lines[2:] == ["files: 2, credentials: 2; 1 links and special files not followed"]
    assert shown.err.startswith("septum: 2 credentials in 2 files [E140]\n")
    assert _TOKEN[-20:] not in shown.out + shown.err


def test_command_with_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for machines."""
    (tmp_path / "b").write_text(_TOKEN)

    assert main(["credentials", "scan", "--json", str(tmp_path)]) == 18
    data = json.loads(capsys.readouterr().out)
    assert data["findings"] == [
        {
            "path": f"{tmp_path}/b",
            "line": 1,
            "offset": 0,
            "kind": "JWT",
            "fingerprint": hashlib.sha256(_TOKEN.encode()).hexdigest()[:8],
        }
    ]
    assert (data["unread"], data["files"], data["skipped"]) == ([], 1, 0)


def test_command_that_could_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is not clean."""
    assert main(["credentials", "scan", str(tmp_path / "none")]) == 2
    shown = capsys.readouterr()
    assert "none: cannot be read: no such file" in shown.err
    assert "[E005]" in shown.err


def test_command_without_paths() -> None:
    """Nobody knows what was meant."""
    with pytest.raises(SystemExit) as caught:
        main(["credentials", "scan"])

    assert caught.value.code == 2


def test_a_finding_cannot_be_changed() -> None:
    """Nor is there a place in it for the credential."""
    finding = Finding("x", 1, 0, "JWT", "01234567")

    with pytest.raises(AttributeError):
        finding.path = "y"  # type: ignore[misc]
    assert set(Finding.__slots__) == {"path", "line", "offset", "kind", "fingerprint"}

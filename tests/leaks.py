"""The leak harness: what is secret in a run, where it must not be, and eyes on all processes while the run goes on.

Its checks are simple, and its own: nothing here is shared with septum's redactor and scanner, so a mistake in those is
found and not repeated. A secret counts as leaked wherever 16 bytes of it stand in a row, in any usual encoding.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

RUN = 16
"""So many bytes in a row are a leak. Shorter secrets and short lines count as a whole."""
_STEP = 8
# Runs of blanks, rulers and zeros stand everywhere.
_VARIED = 4
_SHORT_LINE = 10
_FOLDER = "septum-credentials-"
_INTERVAL_S = 0.02
_YOUNG = 16
_LARGEST_B = 8 << 20
_PUBLIC_LINES = 7
_JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{20,}")
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----([^-]+)-----END")


# ── what is secret ──────────────────────────────────────────────────────────────────────────────────────────────


def encodings(secret: bytes) -> dict[str, bytes]:
    """Write a secret out in every form that it may take in logs, files and arguments."""
    text = secret.decode("latin-1")
    forms = {
        "plain": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "url": quote(text, safe="", encoding="latin-1").encode(),
        "form": quote_plus(text, encoding="latin-1").encode(),
        "percent": "".join(f"%{byte:02X}" for byte in secret).encode(),
        "json": json.dumps(text)[1:-1].encode(),
        "json twice": json.dumps(json.dumps(text)[1:-1])[1:-1].encode(),
        "repr": repr(secret)[2:-1].encode(),
        "no line ends": b"".join(secret.split()),
        "UTF-16": b"".join(bytes([byte, 0]) for byte in secret),
    }
    forms["url lower"] = re.sub(rb"%..", lambda found: found.group().lower(), forms["url"])
    forms["percent lower"] = forms["percent"].lower()
    forms["json slash"] = forms["json"].replace(b"/", b"\\/")
    for before in range(3):
        whole = base64.b64encode(bytes(before) + secret)
        # The first characters hold bits of what stands before; the last ones bits of what follows.
        inner = whole[-(-8 * before // 6) : 8 * (before + len(secret)) // 6]
        forms[f"base64, {before} before"] = inner
        forms[f"base64url, {before} before"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
        forms |= {
            f"base64 of base64, {before} and {again} before": base64.b64encode(bytes(again) + inner)[4:-4]
            for again in range(3)
        }
    return forms


class Secrets:
    """Secrets by their names, and where pieces of them stand."""

    def __init__(self) -> None:
        self._values: dict[bytes, str] = {}
        self._runs: dict[bytes, str] = {}
        self._steps: set[bytes] = set()
        self._whole: dict[bytes, str] = {}
        self._lock = threading.Lock()

    def add(self, name: str, secret: str | bytes) -> None:
        """Make a secret known; of a token its signature, of a private key what is private in it."""
        raw = secret.encode() if isinstance(secret, str) else secret
        with self._lock:
            if raw in self._values:
                return
            self._values[raw] = name
            for piece in _pieces(raw):
                self._add(name, piece)

    def _add(self, name: str, piece: bytes) -> None:
        for form, encoded in encodings(piece).items():
            label = f"{name} ({form})"
            if len(encoded) < RUN:
                self._whole.setdefault(encoded, label)
            for at in range(len(encoded) - RUN + 1):
                run = encoded[at : at + RUN]
                if len(set(run)) >= _VARIED:
                    self._runs.setdefault(run, label)
            self._steps.update(encoded[at : at + _STEP] for at in range(len(encoded) - _STEP + 1))
        for line in piece.splitlines():
            if _SHORT_LINE <= len(line) < RUN:
                self._whole.setdefault(line, f"{name} (a line)")

    def __len__(self) -> int:
        return len(self._values)

    def named(self, name: str) -> list[bytes]:
        """All secrets with this name."""
        return [raw for raw, found in self._values.items() if found == name]

    def find(self, data: bytes) -> list[str]:
        """Name the secrets of which a piece stands in some bytes, with the encoding that it stands in."""
        found: dict[str, None] = {}
        # Wherever 16 bytes begin, a whole window of 8 that starts at a multiple of 8 lies in them.
        for at in range(0, len(data) - _STEP + 1, _STEP):
            if data[at : at + _STEP] in self._steps:
                for start in range(max(0, at - _STEP), at + 1):
                    if label := self._runs.get(data[start : start + RUN]):
                        found[label] = None
        for short, label in self._whole.items():
            if short in data:
                found[label] = None
        return list(found)


def _pieces(raw: bytes) -> Iterator[bytes]:
    if _JWT.fullmatch(raw):
        # Without its signature it opens nothing; the rest holds words that stand elsewhere as well.
        yield raw.rpartition(b".")[2]
    elif found := _KEY.search(raw):
        # An RSA key begins with what all of them share, and with the modulus, which its certificate shows to everybody.
        lines = found.group(1).split()[_PUBLIC_LINES:]
        yield b"\n".join(lines)
        yield base64.b64decode(b"".join(lines))
    else:
        yield raw


def private_key(pem: bytes) -> bytes:
    """The private key of a proxy, without the certificates, which are public and travel with every copy of it."""
    found = _KEY.search(pem)
    assert found is not None
    return found.group()


def tokens_of(data: bytes, issuer: str) -> set[bytes]:
    """All tokens of an issuer in some bytes, plain or in base64; by a pattern, whether anybody knows them or not."""
    found = set()
    for text in (data, *_unpacked_base64(data)):
        for match in _JWT.findall(text):
            with contextlib.suppress(ValueError, AttributeError):
                claims = match.split(b".")[1]
                if json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4))).get("iss") == issuer:
                    found.add(match)
    return found


def keys_in(texts: Iterable[tuple[str, bytes]]) -> list[str]:
    """Every place with any private key at all, plain or in base64."""
    begin = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}")
    return [name for name, data in texts if any(map(begin.search, (data, *_unpacked_base64(data))))]


def _unpacked_base64(data: bytes) -> Iterator[bytes]:
    for match in re.findall(rb"[A-Za-z0-9+/\n]{80,}={0,2}", data):
        packed = match.replace(b"\n", b"").rstrip(b"=")
        for start in range(4):
            with contextlib.suppress(ValueError):
                rest = packed[start:]
                yield base64.b64decode(rest + b"=" * (-len(rest) % 4))


# ── where it must not be ────────────────────────────────────────────────────────────────────────────────────────


def texts_of(folder: Path, *, leave_out: Callable[[Path], bool] = lambda _: False) -> Iterator[tuple[str, bytes]]:
    """All files below a folder, with what is in them, and what is in those that are compressed."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not leave_out(Path(place, name))]
        for path in (Path(place, name) for name in names):
            if leave_out(path) or path.is_symlink() or not path.is_file():
                continue
            with contextlib.suppress(OSError):
                data = path.read_bytes()[:_LARGEST_B]
                yield str(path), data
                if data.startswith(b"\x1f\x8b"):
                    with contextlib.suppress(OSError, EOFError, zlib.error):
                        yield f"{path}!", gzip.decompress(data)


def leaks(secrets: Secrets, texts: Iterable[tuple[str, bytes]], *, issuer: str = "") -> list[str]:
    """Every place with a piece of a secret, or with any token of the issuer."""
    found = []
    for name, data in texts:
        found += [f"{name}: {what}" for what in secrets.find(data)]
        if issuer and tokens_of(data, issuer):
            found.append(f"{name}: a token of {issuer}")
    return found


# ── eyes on all processes ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Seen:
    """A process, as it was after one of its calls of exec.

    Args:
        pid: Its number.
        argv: Its arguments, with NULs between them.
        environ: Its environment as it was started with, with NULs.
        above: The arguments of its parents, the nearest first.
        ours: Whether this process is among them.
    """

    pid: int
    argv: bytes
    environ: bytes
    above: tuple[bytes, ...] = field(repr=False)
    ours: bool

    def __str__(self) -> str:
        return f"process {self.pid} {self.argv.replace(bytes(1), b' ').decode(errors='replace')[:120]}"


class Watch:
    """Looks at all processes of the machine some 50 times a second, and at the credential files that come and go.

    What lives for less than 20 ms may be missed. A process that has been forked and did not call exec yet still shows
    its parent's arguments and environment: it is looked at again until it does.
    """

    def __init__(self, secrets: Secrets, issuer: str, places: Iterable[Path] = (), spools: Iterable[Path] = ()) -> None:
        self._secrets, self._issuer, self._places, self._spools = secrets, issuer, list(places), list(spools)
        self.seen: dict[tuple[int, bytes], Seen] = {}
        self.sandboxes: dict[str, bytes] = {}
        self.rounds = 0
        self._argv: dict[int, bytes] = {}
        self._born: dict[int, int] = {}
        self._kernel: set[int] = set()
        self._looked: set[tuple[str, int, int]] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self._look_at_processes()
            self._look_at_credentials()
            if self.rounds % 10 == 0:
                self._look_at_sandboxes()
            self.rounds += 1
            self._stop.wait(max(0.002, _INTERVAL_S - (time.monotonic() - began)))

    def _look_at_processes(self) -> None:
        before, born = self._argv, self._born
        self._argv, self._born = {}, {}
        for name in os.listdir("/proc"):  # noqa: PTH208 - often, so quickly
            if not name.isdecimal() or (pid := int(name)) in self._kernel:
                continue
            self._born[pid] = born.get(pid, self.rounds)
            # Who has lived for a while seldom becomes somebody else.
            if pid in before and self.rounds - self._born[pid] > _YOUNG and (self.rounds + pid) % _YOUNG:
                self._argv[pid] = before[pid]
                continue
            argv = _read(f"/proc/{pid}/cmdline")
            if not argv:
                if not self.rounds:
                    self._kernel.add(pid)
                continue
            if before.get(pid) != argv:
                parents = list(_parents(pid))
                above = tuple(before.get(each) or _read(f"/proc/{each}/cmdline") for each in parents)
                if above and above[0] == argv:
                    # A copy of its parent, with the same environment, that has not become itself yet.
                    continue
                environ = _read(f"/proc/{pid}/environ")
                self.seen[pid, argv] = Seen(pid, argv, environ, above, os.getpid() in parents)
            self._argv[pid] = argv

    def _look_at_credentials(self) -> None:
        """Learn what the files hold while they are there: tokens that the issuer gave to septum, and to nobody else."""
        for place in self._places:
            found: list[Path] = []
            # A folder may go while it is looked into; there is another round.
            with contextlib.suppress(OSError):
                found.extend(place.glob(f"{_FOLDER}*/*"))
            for path in found:
                # Other runs of septum on this machine have tokens of other issuers.
                if self._is_new(path):
                    for token in tokens_of(_read(str(path)), self._issuer):
                        self._secrets.add("token", token)

    def _look_at_sandboxes(self) -> None:
        for spool in self._spools:
            for place, _, names in os.walk(spool):
                for path in (Path(place, name) for name in names):
                    if self._is_new(path):
                        self.sandboxes[f"{path} {time.monotonic()}"] = _read(str(path), 1 << 18)

    def _is_new(self, path: Path) -> bool:
        try:
            status = path.lstat()
        except OSError:
            return False
        mark = (str(path), status.st_mtime_ns, status.st_size)
        if mark in self._looked:
            return False
        self._looked.add(mark)
        return True

    # ── what was seen ───────────────────────────────────────────────────────────────────────────────────────────

    def arguments_with_secrets(self) -> list[str]:
        """Processes of the whole machine, ours or not, with a secret in their arguments."""
        return [f"{seen}: {what}" for seen in list(self.seen.values()) for what in self._secrets.find(seen.argv)]

    def environments_with_secrets(self) -> list[str]:
        """Processes below septum with a secret in their environment.

        Above it, it must be: GitLab gives a secret to the shell of the CI job, and the shell to septum. What septum
        starts begins with a name that is not septum's, or with another command of it.
        """
        found = []
        for seen in list(self.seen.values()):
            if not any(is_septum(above) and above != seen.argv for above in seen.above):
                continue
            found += [f"{seen}: {what}" for what in self._secrets.find(seen.environ)]
            if tokens_of(seen.environ, self._issuer):
                found.append(f"{seen}: a token of {self._issuer}")
        return found

    def below_septum(self) -> list[Seen]:
        """All processes that a septum of ours started, and theirs."""
        return [seen for seen in list(self.seen.values()) if seen.ours and any(map(is_septum, seen.above))]


def is_septum(argv: bytes) -> bool:
    """Whether these are the arguments of the command `septum`: Python, and the path of the script."""
    return any(word.endswith(b"/septum") for word in argv.split(b"\0")[:2])


def _parents(pid: int) -> Iterator[int]:
    for _ in range(40):
        status = _read(f"/proc/{pid}/stat")
        pid = int(status.rpartition(b")")[2].split()[1]) if status else 0
        if pid <= 1:
            return
        yield pid


def _read(path: str, limit: int = 1 << 20) -> bytes:
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - often, so quickly
            return stream.read(limit) or b""
    except OSError:
        return b""

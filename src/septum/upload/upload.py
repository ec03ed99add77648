"""Brings the files of a run to storage, several at once, and says where each is and what shows that it is there.

What is returned is verified; what is not stays where it was. Threads only wait; everything is said by the caller's.
"""

from __future__ import annotations

import contextlib
import queue
import random
import threading
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import ConfigError
from septum.units import count, show_size
from septum.upload.attempt import TRANSIENT, AttemptError
from septum.upload.failure import explained
from septum.upload.local import Local, Proof, weigh
from septum.upload.senders import Sender, require_way, sender_for
from septum.upload.target import Target, parse

if TYPE_CHECKING:
    from septum.collect import Clock
    from septum.credentials import Credentials
    from septum.plan import Publish

PARALLEL = 4
_ATTEMPTS = 4
_BASE_S, _SLOWEST_B_S = 120.0, 1 << 20
"""The deadline of one attempt: a little, and what a slow line needs to send a file and to read it back."""
_LONGEST_PAUSE_S = 60.0
_FEW = 20
_PROOFS: Mapping[Proof, str] = {
    "adler32": "its adler32 agrees",
    "sha-256": "its sha256 agrees",
    "md5": "its MD5 agrees",
    "content-md5": "taken with its MD5",
    "re-read": "read back, and the same",
    "size": "of the right size; nothing else could be compared",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file that is on storage.

    Attributes:
        url: Where, for people; nothing in it is secret.
        sha256: Of the file, in hexadecimal.
        size_b: Bytes.
        verified_by: What shows that the storage has it, see `septum.upload.local.Proof`.
    """

    url: str
    sha256: str
    size_b: int
    verified_by: Proof


def larger(publish: Publish, files: Mapping[str, Path]) -> dict[str, Path]:
    """The files that are large enough to be published."""
    above_b = -1 if publish.above_b is None else publish.above_b
    return {name: path for name, path in files.items() if path.stat().st_size > above_b}


def upload_all(
    publish: Publish,
    files: Mapping[str, Path],
    *,
    run: str,
    environ: Mapping[str, str],
    credentials: Credentials,
    clock: Clock,
    say: Callable[[str], None],
) -> dict[str, Uploaded]:
    """Bring files to storage, and verify them there.

    Args:
        publish: Where to, and which: those that are larger than `above_b`.
        files: The files by their relative paths below the target.
        run: The run's tag.
        environ: The environment; holds the presigned URLs, if that is the way.
        credentials: Open ones; the token for storage and the proxy are used.
        clock: Time between attempts.
        say: Takes lines for people.

    Returns:
        What is on storage now. Files that are not large enough are not in it.

    Raises:
        ConfigError: The target cannot be one.
        CredentialMissingError: The variable with the presigned URLs is not set, or lacks one.
        UploadError: A file was not taken. Those that were stay there, and another attempt finds them.
        TryAgainError: The storage did not answer.
    """
    chosen = larger(publish, files)
    if not chosen:
        return {}
    sender = sender_for(target_of(publish), chosen, run=run, environ=environ, credentials=credentials)
    size_b = sum(path.stat().st_size for path in chosen.values())
    say(f"publishing {count(len(chosen), 'file')}, {show_size(size_b)}, to {sender.url(next(iter(chosen)))}")
    done: dict[str, Uploaded] = {}
    failed: dict[str, AttemptError] = {}
    broken: BaseException | None = None
    with contextlib.closing(_results(sender, chosen, clock)) as results:
        for name, result in results:
            if isinstance(result, AttemptError):
                failed[name] = result
            elif isinstance(result, BaseException):
                broken = broken or result
            else:
                done[name] = result
                if len(chosen) <= _FEW or len(done) % -(-len(chosen) // 10) == 0:
                    say(f"published {len(done)} of {len(chosen)}: {name} ({_PROOFS[result.verified_by]})")
    if broken is not None:
        raise broken
    if failed:
        in_order = {name: failed[name] for name in chosen if name in failed}
        raise explained(in_order, {name: sender.url(name) for name in in_order}, of=len(chosen))
    return {name: done[name] for name in chosen}


def check_before(publish: Publish, names: Collection[str], environ: Mapping[str, str]) -> None:
    """See before the first job that files will have a way, as far as that is seen without asking the storage.

    Args:
        publish: Where to.
        names: The files, as `upload_all` will get them.
        environ: That of the CI job that publishes, or one like it.

    Raises:
        SeptumError: As `upload_all` would, after hours of jobs.
    """
    require_way(target_of(publish), names, environ)


def target_of(publish: Publish) -> Target:
    """Where files go.

    Raises:
        ConfigError: It cannot be a target.
    """
    try:
        return parse(publish.to)
    except ValueError as error:
        raise ConfigError(f"publish: 'to' {error}", fix="correct 'publish: to:' in septum.yaml") from None


def _results(
    sender: Sender, files: Mapping[str, Path], clock: Clock
) -> Generator[tuple[str, Uploaded | BaseException], None, None]:
    """Send all files, a few at a time; after one that another attempt would not help, begin no more.

    Yields:
        The name of each file that was begun, and what became of it, in the order in which they end.
    """
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[str, Uploaded | BaseException] | None] = queue.SimpleQueue()
    for name in files:
        waiting.put(name)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while not given_up.is_set():
                name = waiting.get_nowait()
                try:
                    result: Uploaded | BaseException = patiently(sender, weigh(name, files[name]), clock, given_up)
                except BaseException as error:  # noqa: BLE001 - the thread must say something, whatever happens in it
                    result = error
                    given_up.set()
                ended.put((name, result))
        ended.put(None)

    given_up = threading.Event()
    # Daemons, so that septum can end while one waits for a server.
    threads = [threading.Thread(target=work, daemon=True, name="publish") for _ in range(min(PARALLEL, len(files)))]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            while (item := ended.get()) is not None:
                yield item
    finally:
        given_up.set()
        sender.stop()


def patiently(sender: Sender, local: Local, clock: Clock, given_up: threading.Event) -> Uploaded:
    """Send one file, again if that can help.

    Args:
        sender: The way.
        local: The file.
        clock: Time between attempts.
        given_up: Set when nobody wants it any more.

    Raises:
        AttemptError: The last one failed.
    """
    # There, and perhaps back.
    deadline_s = _BASE_S + 2 * local.size_b / _SLOWEST_B_S
    for attempt in range(_ATTEMPTS):
        try:
            proof = sender.send(local, deadline_s)
        except AttemptError as fault:
            if fault.kind not in TRANSIENT or attempt + 1 == _ATTEMPTS or given_up.is_set():
                raise
            backoff_s = 2**attempt * (0.5 + random.random())  # noqa: S311 - so that many CI jobs do not ask at once
            clock.sleep(min(max(fault.pause_s, backoff_s), _LONGEST_PAUSE_S))
        else:
            return Uploaded(url=sender.url(local.name), sha256=local.sha256, size_b=local.size_b, verified_by=proof)
    raise AssertionError("the last attempt returns or raises")

"""Brings what all parts share to the storage that the jobs fetch it from: once, whoever else does the same meanwhile.

The object is named by its content. What stands there already is compared, by size and checksum, and never overwritten:
of one that is not what its name says, another copy is put beside it.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from septum.credentials.redact import KNOWN
from septum.errors import ClusterUnreachableError, ProfileError, SeptumError, SharedAreaError, StateError, UploadError
from septum.shared import object_name, read_url
from septum.upload.attempt import AttemptError, Kind
from septum.upload.local import Local, weigh
from septum.upload.target import Target, parse
from septum.upload.upload import patiently

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.collect import Clock
    from septum.credentials import Credentials
    from septum.upload.senders import Sender

CHECKED_FOR_S = 600.0
"""How long an object that was seen there counts as there."""
_NAMES = 3
_LOOKS, _PAUSE_S = 3, 1.0
_PERHAPS_ANOTHER: frozenset[Kind] = frozenset({"differs", "denied", "refused"})
_WHY: Mapping[Kind, str] = {
    "auth": "the storage and septum did not accept each other",
    "denied": "the storage does not allow it",
    "differs": "objects stand there that are not what their names say",
    "space": "the storage has no room for it, or a quota is used up",
    "unsupported": "the storage cannot do what is needed",
    "refused": "the storage refused it",
    "damaged": "what arrives there is not what was sent",
    "gone": "the storage does not answer",
}
_FIX: Mapping[Kind, str] = {
    "auth": "see what septum has for this storage: septum credentials show",
    "denied": "let the profile ask for a token that may write there: 'storage-audience', and 'storage-scope' with\n"
    "storage.create:/FOLDER and storage.read:/FOLDER; or a proxy whose VO may write there",
    "differs": "remove these objects",
    "space": "clear the folders of earlier months in 'shared-area', or name another one",
    "gone": "try again; if it stays so, check 'shared-area' of the cluster's profile. Without it, each job gets its\n"
    "own copy through the schedd",
}
_OTHER_FIX = "the storage's own words stand above; without 'shared-area', each job gets its own copy through the schedd"


class Area:
    """The shared area, for the archive of one run.

    Args:
        profile: The cluster; it has a `shared-area`.
        credentials: Open ones.
        path: The archive.
        run: The run's tag; an upload that was cut is taken up under it.
        environ: The environment.
        clock: Time.
    """

    def __init__(
        self,
        profile: Profile,
        credentials: Credentials,
        path: Path,
        *,
        run: str,
        environ: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._profile, self._credentials, self._path = profile, credentials, path
        self._run, self._environ, self._clock = run, environ, clock
        self._target = _target(profile)
        self._local: Local | None = None
        self._sender: Sender | None = None
        self._url = ""
        self._checked_s = 0.0

    def url(self, *, anew: bool = False) -> str:
        """Let the archive be there, and say by which address jobs read it.

        Args:
            anew: Look at the storage, whatever was seen there a moment ago.

        Raises:
            SharedAreaError: It cannot be brought there.
            ClusterUnreachableError: The storage does not answer.
            StateError: The archive cannot be read.
        """
        now_s = self._clock.now()
        if not self._url or anew or now_s - self._checked_s > CHECKED_FOR_S:
            self._url = read_url(self._profile, self._bring(now_s))
            self._checked_s = now_s
        return self._url

    def _bring(self, now_s: float) -> str:
        """The name under which the archive stands there."""
        self._local = self._local or self._weighed()
        self._sender = self._sender or self._open()
        fault = AttemptError("differs", "")
        for number in range(_NAMES):
            name = object_name(self._local.sha256, now_s=now_s, number=number)
            # Another run may bring its copy to this very name while we send ours; then ours is refused, in whatever
            # words the storage has, or the other one is still on its way.
            for look in range(_LOOKS):
                if look:
                    self._clock.sleep(look * _PAUSE_S)
                try:
                    patiently(self._sender, replace(self._local, name=name), self._clock, threading.Event())
                except AttemptError as error:
                    fault = error
                    if error.kind not in _PERHAPS_ANOTHER:
                        raise self._explained(error, name) from None
                else:
                    return name
            if fault.kind != "differs":
                raise self._explained(fault, name)
        raise self._explained(fault, object_name(self._local.sha256, now_s=now_s))

    def _weighed(self) -> Local:
        try:
            return weigh("", self._path)
        except UploadError as error:
            raise StateError(
                f"inputs: {self._path} cannot be read",
                evidence=error.evidence,
                fix="keep the whole state folder between the CI jobs",
            ) from error

    def _open(self) -> Sender:
        from septum.upload.senders import StorageSender

        if self._target.kind == "xrootd" and importlib.util.find_spec("XRootD") is None:
            raise SharedAreaError(
                "shared-area: XRootD's Python bindings are not installed",
                evidence=f"{sys.executable} on {sys.platform}",
                fix="python3 -m pip install xrootd   (Linux; elsewhere name the storage by https://)",
            )
        return StorageSender(self._target, run=self._run, environ=self._environ, credentials=self._credentials)

    def _explained(self, fault: AttemptError, name: str) -> SeptumError:
        url = self._target.place(name, run=self._run).url
        kind = ClusterUnreachableError if fault.kind == "gone" else SharedAreaError
        lines = [_clean(line) for line in (fault.text, *fault.hints) if line]
        return kind(
            f"shared-area: the inputs of the parts cannot be brought to {url}: {_WHY[fault.kind]}",
            evidence="\n".join(lines),
            fix=_FIX.get(fault.kind, _OTHER_FIX),
        )


def _target(profile: Profile) -> Target:
    try:
        return parse(profile.shared_area)
    except ValueError as error:
        raise ProfileError(f"cluster {profile.name}: 'shared-area' {error}", fix="correct it in the profile") from None


def _clean(text: str) -> str:
    return KNOWN.text("".join(c if c.isprintable() else " " for c in text))[:1000]

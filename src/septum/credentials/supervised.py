"""The other end of `septum credentials run`: a command under it finds the files of its supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.credentials.held import SUPERVISED, Credentials, Held
from septum.credentials.provider import Kind
from septum.credentials.redact import KNOWN
from septum.errors import CredentialMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "credentials.json"
"""What the folder holds: kinds, sources, ends. No secret."""


class Supervised(Credentials):
    """The credentials of a supervisor: read, never renewed or deleted here.

    Args:
        folder: As the supervisor's variable names it.
        fingerprint: Of the profile of this command; must be that of the supervisor's.

    Raises:
        CredentialMissingError: The folder is gone, not private, or for another cluster.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        _require_private(folder)
        super().__init__(folder)
        data = self._read()
        if data["profile"] != fingerprint:
            raise CredentialMissingError(
                "the credentials of 'septum credentials run' are for another cluster than this command's",
                evidence="the profiles differ in what concerns credentials",
                fix="Give both the same --cluster, --set and SEPTUM_CLUSTER_… variables.",
            )
        self.ca_file = Path(data["ca_file"]) if data["ca_file"] else None
        self._adopt(data)

    def keep_fresh(self, now: float) -> list[str]:
        """See what the supervisor has renewed, and whether it still does."""
        self._adopt(self._read())
        return super().keep_fresh(now)

    def _read(self) -> dict[str, Any]:
        try:
            data = dict(json.loads((self.folder / MANIFEST).read_text("utf-8")))
            return {key: data[key] for key in ("profile", "ca_file", "credentials")}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CredentialMissingError(
                "the credentials of 'septum credentials run' are gone",
                evidence=str(error),
                fix="Start the command again with 'septum credentials run -- …'.",
            ) from error

    def _adopt(self, data: Mapping[str, Any]) -> None:
        for entry in data["credentials"]:
            kind = Kind(entry["kind"])
            before = self.held.get(kind)
            if before is not None and before.expires_at == entry["expires_at"]:
                continue
            path = self.folder / kind.value
            # So that the linter and the logs of parts are looked through for it here, too.
            with contextlib.suppress(OSError):
                KNOWN.add(path.read_bytes())
            self.held[kind] = Held(
                kind=kind,
                path=path,
                source=entry["source"],
                identity=entry["identity"],
                expires_at=entry["expires_at"],
                renewable=entry["renewable"],
                kept_by_others=entry["kept_by_others"],
                # What is renewed by the supervisor is its to warn about, until it is too late.
                warned_below_s=1.0 if entry["renewable"] else float("inf"),
            )


def _require_private(folder: Path) -> None:
    try:
        seen = folder.lstat()
    except OSError:
        seen = None
    private = seen is not None and stat.S_ISDIR(seen.st_mode) and stat.S_IMODE(seen.st_mode) == stat.S_IRWXU
    if seen is None or not private or seen.st_uid != os.geteuid() or not folder.is_absolute():
        raise CredentialMissingError(
            f"{SUPERVISED} names {folder}, which is no private folder of this user",
            fix="Start the command with 'septum credentials run -- …', or unset the variable.",
        )

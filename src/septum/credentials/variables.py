"""Secrets in CI variables: the value itself, or the path of a file that holds it.

GitLab writes a file for variables of type file, and for what its keyword `secrets:` brings from Vault.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from septum.credentials.secret import Secret
from septum.errors import CredentialMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 256 * 1024
"""No credential is longer."""
KEYTAB = b"\x05\x02"
"""How a keytab begins (MIT's file format, version 2)."""


def read_variable(environ: Mapping[str, str], name: str) -> Secret:
    """Read a variable, or the file whose path it holds, without blanks around it.

    Args:
        environ: The environment.
        name: The variable.

    Returns:
        The secret; empty if the variable is not set.

    Raises:
        CredentialMissingError: The file that it names cannot be read.
    """
    return Secret(read_text(environ.get(name, ""), name))


def read_text(value: str, name: str) -> str:
    """The same for a value at hand."""
    text = value.strip()
    path = as_file(text)
    if path is None:
        return text
    try:
        with path.open("rb") as stream:
            raw = stream.read(2 * MAX_BYTES + 1)
    except OSError as err:
        reason = err.strerror
    else:
        # A keytab is bytes, and any of them may look like a blank.
        return raw.decode("latin-1") if raw.startswith(KEYTAB) else raw.decode("utf-8", "replace").strip()
    raise CredentialMissingError(
        f"the file that the variable {name} names cannot be read", evidence=str(reason), fix="Check its mode and owner."
    )


def as_file(text: str) -> Path | None:
    """The existing file that a value names, if it names one."""
    if not text.startswith("/") or "\n" in text or "\0" in text:
        return None
    try:
        # Base64 may begin with a slash, too: only a file that exists counts.
        return Path(text) if Path(text).is_file() else None
    except OSError:  # longer than a name can be
        return None

"""To which GitLab a token goes that was put somewhere before: one that was named, or that a person has confirmed.

The remote of a repository is nobody's word for it: a clone from anywhere would get the token of our GitLab.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from septum.errors import UsageError
from septum.state import write_whole
from septum.watching.here import Wish, is_own
from septum.watching.place import Place

_LARGEST_B = 1 << 16


def confirm(place: Place, wish: Wish, environ: Mapping[str, str], ask: Callable[[str], bool] | None) -> None:
    """See that a token may go to a GitLab; what a person says is remembered.

    Args:
        place: Where it would go.
        wish: What was given: who writes an address knows it.
        environ: The environment. The GitLab of a CI job is known to it.
        ask: Asks a person; None where there is nobody.

    Raises:
        UsageError: Only the repository names that GitLab, and nobody has confirmed it.
    """
    if wish.url or "://" in wish.project or is_own(place, environ):
        return
    file = _file(environ)
    known = _confirmed(file)
    if place.url in known:
        return
    if ask is None or not ask(f"The token would go to {place.url}, which nobody has named. Is it of that GitLab?"):
        raise UsageError(
            f"gitlab: the token does not go to {place.url}: it may be another GitLab's",
            evidence="nobody has named that address; the remote origin, or septum itself, has it",
            fix=f"if the token is of that GitLab: --url {place.url}",
        )
    if file is not None:
        with contextlib.suppress(OSError):  # then the question comes again
            write_whole(file, "".join(f"{url}\n" for url in sorted({*known, place.url})), mode=0o600)


def _file(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME", "")
    folder = environ.get("XDG_CONFIG_HOME", "") or (f"{home}/.config" if home else "")
    return Path(folder) / "septum" / "gitlabs" if folder.startswith("/") else None


def _confirmed(file: Path | None) -> frozenset[str]:
    if file is None:
        return frozenset()
    try:
        with file.open(encoding="utf-8") as stream:
            return frozenset(stream.read(_LARGEST_B).splitlines())
    except (OSError, UnicodeDecodeError):
        return frozenset()

"""Find the Debian mirror that this machine's own apt sources name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from septum.facility.errors import FacilityError

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
# Other suites live on other hosts or in other folders, where testing is not found.
_NOT_THE_ARCHIVE = re.compile(r"security|backports|debug")


class Mirror(NamedTuple):
    """A Debian mirror and the key ring that vouches for it."""

    uri: str
    keyring: Path | None
    """`None` leaves it to the key rings that apt trusts for every source."""


def find_mirror(apt: Path = Path("/etc/apt")) -> Mirror:
    """Return the mirror of the Debian archive that the sources of this machine name.

    Both forms are read: `*.sources` files (deb822) and one-line `*.list` files.

    Args:
        apt: The folder with `sources.list` and `sources.list.d`.

    Raises:
        FacilityError: No source names a Debian archive with the component `main`.
    """
    seen = []
    for options in _entries(apt):
        suites = options.get("suites", "").split()
        signed_by = options.get("signed-by", "")
        for uri in options.get("uris", "").split():
            seen.append(uri)
            if "debian" not in uri + signed_by or "main" not in options.get("components", "").split():
                continue
            if _NOT_THE_ARCHIVE.search(uri) or all(_NOT_THE_ARCHIVE.search(suite) for suite in suites):
                continue
            return Mirror(uri, _keyring(signed_by))
    raise FacilityError(
        "no Debian mirror in this machine's apt sources",
        evidence=f"looked in {apt}/sources.list and {apt}/sources.list.d, found: {', '.join(seen) or 'nothing'}",
        fix="use a Debian machine or container",
    )


def _keyring(signed_by: str) -> Path | None:
    named = [Path(signed_by)] if signed_by.startswith("/") else []
    return next((path for path in (*_KEYRINGS, *named) if path.is_file()), None)


def _entries(apt: Path) -> Iterator[dict[str, str]]:
    folder = apt / "sources.list.d"
    for path in sorted(folder.glob("*.sources")):
        yield from _deb822(path.read_text(encoding="utf-8", errors="replace"))
    for path in (apt / "sources.list", *sorted(folder.glob("*.list"))):
        if path.is_file():
            yield from _one_line(path.read_text(encoding="utf-8", errors="replace"))


def _deb822(text: str) -> Iterator[dict[str, str]]:
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", kept):
        options: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line[:1].isspace():
                options[key] = f"{options.get(key, '')} {line.strip()}"
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                options[key] = value.strip()
        if "deb" in options.get("types", "").split() and options.get("enabled", "yes").lower() not in {"no", "false"}:
            yield options


def _one_line(text: str) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        match = re.match(
            r"\s*deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<rest>[^#]*)", line
        )
        if match is None:
            continue
        options = dict(word.split("=", 1) for word in (match["options"] or "").split() if "=" in word)
        yield {
            "uris": match["uri"],
            "suites": match["suite"],
            "components": match["rest"],
            "signed-by": options.get("signed-by", ""),
        }

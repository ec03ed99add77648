"""Cut a CI/CD file into header and body, and read both. Pure.

Behaviour: gitlabhq `lib/gitlab/config/loader/multi_doc_yaml.rb`, `lib/gitlab/config/loader/yaml.rb`,
`lib/gitlab/ci/config/yaml/result.rb` and their specs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from septum.errors import HeaderError, LimitError
from septum.preview import limits, psych, ruby
from septum.preview.features import Version

_DIVIDER = re.compile(r"^---\s+", re.MULTILINE | re.ASCII)
# Two documents, and one that a `---` in the first line cuts off.
_MAX_CUTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """A CI/CD file as it was read.

    Attributes:
        header: The first of several documents, if it has the key `spec`; None if there is no header.
        body: The last document of a file with a header, else the first; empty if the file is.
    """

    header: dict[str, object] | None
    body: dict[str, object]


@lru_cache(maxsize=32)
def read_documents(text: str, gitlab: Version) -> Documents:
    """Read a file. Nobody may change what it returns: a file that is included twice is read once.

    Args:
        text: The file.
        gitlab: The version of the server.

    Raises:
        HeaderError: A document is not YAML or not a mapping.
        LimitError: A document is too large or too deep.
    """
    max_bytes = limits.max_file_bytes(gitlab)
    parts = [_read(part, line, max_bytes) for part, line in _cut(text)]
    if parts and _blank(parts[0]):
        del parts[0]
    parts = [part for part in parts if not _blank(part)]
    mappings = [_mapping(part, max_bytes) for part in parts]
    if len(mappings) > 1 and "spec" in mappings[0]:
        return Documents(header=mappings[0], body=mappings[-1])
    return Documents(header=None, body=mappings[0] if mappings else {})


def _cut(text: str) -> list[tuple[str, int]]:
    """The parts between dividers, each with its first line; the space behind a divider belongs to the divider."""
    parts: list[tuple[str, int]] = []
    start, line = 0, 1
    for divider in list(_DIVIDER.finditer(text))[:_MAX_CUTS] if text else []:
        parts.append((text[start : divider.start()], line))
        line += text.count("\n", start, divider.end())
        start = divider.end()
    return [*parts, (text[start:], line)] if text else []


def _read(part: str, line: int, max_bytes: int) -> object:
    if len(part.encode("utf-8", "surrogatepass")) > max_bytes:
        raise LimitError(f"The parsed YAML is too big: a document has more than {max_bytes} bytes")
    return psych.read(part.removeprefix("\ufeff"), first_line=line)


def _blank(value: object) -> bool:
    """Whether Rails calls it blank: nothing, false, or empty."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value is False or value in ([], {})


def _mapping(value: object, max_bytes: int) -> dict[str, object]:
    if limits.too_big(value, max_bytes):
        raise LimitError(
            f"The parsed YAML is too big: more than {max_bytes} bytes in memory, or more than {limits.MAX_DEPTH} levels"
        )
    if not isinstance(value, dict):
        raise HeaderError("Invalid configuration format")
    copied = ruby.plain(value)
    return copied if isinstance(copied, dict) else {}

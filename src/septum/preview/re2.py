"""Regular expressions as GitLab judges them: by RE2 itself, which needs time in proportion to the text. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Re2:
    """A pattern that RE2 takes.

    Attributes:
        pattern: As it was written.
        compiled: RE2's own object.
    """

    pattern: str
    compiled: Any

    def search(self, text: str) -> bool:
        """Whether it is found in a text."""
        # RE2 reads UTF-8; half of a surrogate pair, which no text of GitLab's holds, has none.
        return self.compiled.search(text.encode("utf-8", "replace")) is not None


@lru_cache(maxsize=1024)
def compile_re2(pattern: str) -> Re2:
    """Compile a pattern.

    Args:
        pattern: The pattern without delimiters; flags only as `(?i)` inside.

    Raises:
        ValueError: RE2 refuses it, such as look-around and references back.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return Re2(pattern=pattern, compiled=re2.compile(pattern.encode("utf-8", "replace"), options))
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise ValueError(f"not a regular expression: {text}") from error

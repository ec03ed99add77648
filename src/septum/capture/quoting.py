"""Arguments and environments of submit descriptions, in both of HTCondor's ways to write them. Pure."""

from __future__ import annotations

_V2 = "the new syntax has it in double quotes, words with spaces in single quotes, and each quote within twice"


def arguments(raw: str) -> tuple[str, ...]:
    """The words of `arguments`, as the job gets them.

    Raises:
        ValueError: HTCondor would not take the text; the message says why.
    """
    text = raw.strip()
    return tuple(_quoted(_inside(text)) if text.startswith('"') else _plain(text).split())


def environment(raw: str) -> tuple[tuple[str, str], ...]:
    """The names and values of `environment`, as the job gets them; of a name that is given twice, the last.

    Raises:
        ValueError: HTCondor would not take the text; the message says why.
    """
    text = raw.strip()
    if text.startswith('"'):
        pieces = _quoted(_inside(text))
    else:
        pieces = [piece.lstrip() for piece in _plain(text).split(";") if piece.strip()]
    found: dict[str, str] = {}
    for piece in pieces:
        name, equals, value = piece.partition("=")
        if not equals or not name:
            raise ValueError(f"there is no NAME=value in {piece[:60]!r}")
        found[name] = value
    return tuple(found.items())


def _plain(text: str) -> str:
    """The old syntax: a double quote stands behind a backslash, and nothing else is special."""
    bare = text.replace('\\"', "\0")
    if '"' in bare:
        raise ValueError(f"a double quote stands in it without a backslash; {_V2}")
    return bare.replace("\0", '"')


def _inside(text: str) -> str:
    """What the double quotes around the new syntax hold."""
    body = text[1:].replace('""', "\0")
    end = body.find('"')
    # The quote that ends the text may follow one that is written twice.
    if end < 0 and body.endswith("\0") and text.endswith('"'):
        raise ValueError(f"the double quotes do not match; {_V2}")
    if end < 0 or body[end + 1 :].strip():
        raise ValueError(f"the double quotes do not match; {_V2}")
    return body[:end].replace("\0", '"')


def _quoted(text: str) -> list[str]:
    """The words of the new syntax: single quotes keep spaces, and stand for themselves if written twice in them."""
    words: list[str] = []
    word: str | None = None
    at, inside = 0, False
    while at < len(text):
        character = text[at]
        if character == "'":
            if inside and text[at + 1 : at + 2] == "'":
                word, at = (word or "") + "'", at + 1
            else:
                inside, word = not inside, word or ""
        elif character.isspace() and not inside:
            words += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + character
        at += 1
    if inside:
        raise ValueError("a single quote is not closed")
    return words if word is None else [*words, word]

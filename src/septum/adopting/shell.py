"""Takes the lines of a shell script apart: which lines belong together, which commands stand on one line. Pure.

It reads what people write into CI files. What it cannot take apart stays one statement, and nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from septum.adopting.values import Line

_OPENING = frozenset({"if", "for", "while", "until", "case", "select", "{"})
_CLOSING = frozenset({"fi", "done", "esac", "}"})
_HEREDOC = re.compile(r"(?<!<)<<(?!<)-?\s*(?:\\|(?P<quote>['\"]))?(?P<word>[A-Za-z_]\w*)")
_COMMAND = re.compile(r"(?:^|[;&|(]|\b(?:then|do|else|elif|!)\s)\s*(?P<word>[^\s;&|()]+)|\)\s*(?P<brace>\{)(?=\s|$)")
_GOES_ON = re.compile(r"(?:&&|\|\||\|)\s*$")
_QUOTED = "\x01"
_MOST = 50_000
"""Characters of a command whose words are read; nobody writes a longer one."""


@dataclass(slots=True, kw_only=True)
class _Group:
    """The lines of one statement while they are collected."""

    lines: list[Line] = field(default_factory=list)
    depth: int = 0
    brackets: int = 0
    cases: int = 0
    quote: str = ""
    heredocs: list[str] = field(default_factory=list)
    block: bool = False

    def take(self, line: Line) -> bool:
        """Take a line.

        Returns:
            Whether the statement ends with it.
        """
        self.lines.append(line)
        if self.heredocs:
            if line.text.strip() == self.heredocs[0]:
                del self.heredocs[0]
            return not self.heredocs and self._closed()
        begun = self.quote
        bare, self.quote = without_quotes(line.text, self.quote)
        if not begun:
            self.heredocs += [found["word"] for found in _HEREDOC.finditer(_keep_words(line.text, bare))]
        self._count(bare)
        if self.quote or bare.endswith("\\") or _GOES_ON.search(bare):
            return False
        return not self.heredocs and self._closed()

    def _closed(self) -> bool:
        return self.depth <= 0 and self.brackets <= 0

    def _count(self, bare: str) -> None:
        for found in _COMMAND.finditer(bare):
            word = found["word"] or found["brace"]
            self.depth += (word in _OPENING) - (word in _CLOSING)
            self.cases += (word == "case") - (word == "esac")
            self.block = self.block or word in _OPENING
        if not self.cases:
            self.brackets += bare.count("(") - bare.count(")")


def _keep_words(text: str, bare: str) -> str:
    """The line if a here-document begins outside of quotes, so that the quotes of its word can be read."""
    return text if "<<" in bare else ""


def without_quotes(text: str, quote: str = "") -> tuple[str, str]:
    """A line without what stands in quotes and without its comment, and the quote that is still open behind it."""
    out: list[str] = []
    at = 0
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\" and quote == '"':
                at += 1
            elif letter == quote:
                quote = ""
        elif letter == "\\" and at + 1 < len(text):
            out.append(_QUOTED)
            at += 1
        elif letter in "'\"":
            quote = letter
            out.append(_QUOTED)
        elif letter == "#" and (not out or out[-1] in " \t;&|("):
            break
        else:
            out.append(letter)
        at += 1
    return "".join(out).rstrip(), quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Lines that belong together, or one command of several on one line."""

    file: str
    first: int
    last: int
    text: str
    block: bool = False


def pieces(lines: Sequence[Line]) -> Iterator[Piece]:
    """Take a script apart: one piece for each command or construct, without empty lines and comments."""
    group = _Group()
    for number, line in enumerate(lines):
        if not group.lines and not without_quotes(line.text)[0]:
            continue
        if group.take(line):
            yield from _pieces_of(group)
            group = _Group()
        elif number + 1 == len(lines):
            # A construct that does not end is none.
            yield from _single(group.lines)


def _single(lines: Sequence[Line]) -> Iterator[Piece]:
    for line in lines:
        if without_quotes(line.text)[0]:
            yield Piece(file=line.file, first=line.number, last=line.number, text=line.text.strip())


def _pieces_of(group: _Group) -> Iterator[Piece]:
    first, last = group.lines[0], group.lines[-1]
    text = "\n".join(line.text for line in group.lines).strip()
    if group.block or "\n" in text:
        yield Piece(file=first.file, first=first.number, last=last.number, text=text, block=group.block)
        return
    for part in commands(text):
        yield Piece(file=first.file, first=first.number, last=last.number, text=part)


def inner(piece: Piece) -> Iterator[Piece]:
    """The commands inside of a construct, line by line, without its keywords."""
    for number, text in enumerate(piece.text.split("\n")):
        for part in commands(text.strip()):
            bare = re.sub(r"^(?:(?:if|then|do|else|elif|while|until|!|\{)\s+)+", "", part).strip()
            if bare and bare not in {*_OPENING, *_CLOSING, "then", "do", "else"} and without_quotes(bare)[0]:
                line = piece.first + number
                yield Piece(file=piece.file, first=line, last=line, text=bare)


def commands(text: str) -> list[str]:
    """The commands of one line that `;` and `&&` stand between; those of `||`, pipes and brackets stay together."""
    bare, quote = without_quotes(text)
    if quote or "(" in bare or "||" in bare or "\n" in text:
        return [text.strip()]
    found: list[str] = []
    start = at = 0
    quote = ""
    while at < len(text):
        letter = text[at]
        if quote:
            at += letter == "\\" and quote == '"'
            quote = "" if letter == quote else quote
        elif letter == "\\":
            at += 1
        elif letter in "'\"":
            quote = letter
        elif letter == ";" or text.startswith("&&", at):
            found.append(text[start:at])
            at += letter == "&"
            start = at + 1
        at += 1
    return [part.strip() for part in [*found, text[start:]] if without_quotes(part.strip())[0]]


def words(text: str) -> list[str]:
    """The words of a simple command, quotes taken off; as many as can be read."""
    import shlex

    # The lexer puts a word together letter by letter.
    lexer = shlex.shlex(text[:_MOST], posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found: list[str] = []
    try:
        found.extend(lexer)
    except ValueError:
        return found or text.split()
    return found

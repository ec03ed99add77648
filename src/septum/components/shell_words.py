"""The words of a shell script, and which expansions in them the shell would split or read as code. Pure.

Reads what POSIX shells and bash have in common. It follows no here-document: expansions there count as unquoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_NAME = re.compile(r"\{[#!]?([A-Za-z_][A-Za-z0-9_]*|[@*0-9])|([A-Za-z_][A-Za-z0-9_]*|[@*0-9])")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_BEFORE_A_COMMAND = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"})
_PLAIN = re.compile(r"""[^'"\\$`\s;&|()]+|.""", re.DOTALL)
_PLAIN_IN_QUOTES = re.compile(r"""[^"\\$`]+""")
_SEPARATORS = ";&|\n()"
_DEEPEST = 50
"""So many commands inside of each other are read; nobody writes more, and what is deeper counts as one word."""


@dataclass(slots=True, kw_only=True)
class Word:
    """One word of a script.

    Attributes:
        text: As it is written.
        line: The number of its line, from 1.
        quoted: The variables in double quotes.
        bare: Those without quotes, and `$(…)` for a command without.
        command: The number of the simple command that it belongs to.
    """

    line: int
    command: int
    text: str = ""
    quoted: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """All variables in it."""
        return [*self.quoted, *self.bare]


def words(script: str) -> list[Word]:
    """The words of a script, those inside of `$(…)` and of backticks included, in the order in which they end."""
    return list(_Reader(script).read(""))


def split_words(script: str) -> Iterator[Word]:
    """The words that the shell would split and match against files: with an expansion that has no quotes.

    The value of an assignment and the word behind `case` are not split by any shell.
    """
    starts, command, before = True, -1, ""
    for word in words(script):
        starts = starts if word.command == command else True
        exempt = (starts and _ASSIGNMENT.match(word.text)) or before == "case"
        if word.bare and not exempt:
            yield word
        starts = starts and (bool(_ASSIGNMENT.match(word.text)) or word.text in _BEFORE_A_COMMAND)
        command, before = word.command, word.text


class _Reader:
    """Reads a script once, from the left."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._commands = 0
        self._depth = 0

    def read(self, end: str) -> Iterator[Word]:
        """The words up to a closing mark, or to the end of the text."""
        if self._depth == _DEEPEST:
            self._jump(len(self._text))
        self._depth += 1
        self._commands += 1
        command, word = self._commands, None
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter == end:
                break
            if letter in " \t" or letter in _SEPARATORS:
                if word is not None:
                    yield word
                word = None
                if letter in _SEPARATORS:
                    self._commands += 1
                    command = self._commands
                self._next()
            elif letter == "#" and word is None:
                self._skip_comment()
            else:
                word = word or Word(line=self._line, command=command)
                yield from self._piece(word, inside=end)
        if word is not None:
            yield word
        self._depth -= 1
        self._next()

    def _next(self) -> str:
        letter = self._text[self._at : self._at + 1]
        self._line += letter == "\n"
        self._at += 1
        return letter

    def _take(self, form: re.Pattern[str]) -> str:
        """What the form matches here: it always matches something."""
        match = form.match(self._text, self._at)
        text = match[0] if match else self._text[self._at]
        self._jump(self._at + len(text))
        return text

    def _skip_comment(self) -> None:
        while self._at < len(self._text) and self._text[self._at] != "\n":
            self._at += 1

    def _piece(self, word: Word, inside: str) -> Iterator[Word]:
        """One letter, escape, quotation or expansion of a word."""
        letter = self._text[self._at]
        if letter == "'":
            end = self._text.find("'", self._at + 1)
            start = self._at
            self._jump(len(self._text) if end < 0 else end + 1)
            word.text += self._text[start : self._at]
        elif letter == '"':
            yield from self._double(word)
        elif letter == "\\":
            word.text += self._next() + self._next()
        elif letter == "$" or (letter == "`" and inside != "`"):
            yield from self._expansion(word, word.bare)
        else:
            word.text += self._take(_PLAIN)

    def _double(self, word: Word) -> Iterator[Word]:
        word.text += self._next()
        while self._at < len(self._text) and self._text[self._at] != '"':
            letter = self._text[self._at]
            if letter == "\\":
                word.text += self._next() + self._next()
            elif letter in "$`":
                yield from self._expansion(word, word.quoted)
            else:
                word.text += self._take(_PLAIN_IN_QUOTES)
        word.text += self._next()

    def _expansion(self, word: Word, into: list[str]) -> Iterator[Word]:
        """What begins with `$` or a backtick; the words of a command in it are words of their own."""
        start = self._at
        if self._next() == "`":
            into.append("$(…)")
            yield from self.read("`")
        elif self._text.startswith("((", self._at):
            end = self._text.find("))", self._at)
            self._jump(len(self._text) if end < 0 else end + 2)
        elif self._text.startswith("(", self._at):
            self._next()
            into.append("$(…)")
            yield from self.read(")")
        elif match := _NAME.match(self._text, self._at):
            into.append(match[1] or match[2])
            self._jump(self._brace_end() if match[1] else match.end())
        word.text += self._text[start : self._at]

    def _jump(self, place: int) -> None:
        self._line += self._text.count("\n", self._at, place)
        self._at = place

    def _brace_end(self) -> int:
        depth, place = 0, self._at
        while place < len(self._text):
            depth += {"{": 1, "}": -1}.get(self._text[place], 0)
            place += 1
            if depth == 0:
                break
        return place

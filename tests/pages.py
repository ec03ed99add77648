"""What stands on the pages of the documentation, and a reader who does what they say."""

from __future__ import annotations

import inspect
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.committed import ROOT

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `console` is run, `sh` holds the reader's own values, one with a title is a file."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        """Name it in the name of a test."""
        return f"{self.page}:{self.line}"

    def commands(self) -> list[tuple[str, str]]:
        """The commands of a console block, each with the output that the page shows."""
        first, *pieces = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        assert not first, f"{self}: begins with no command"
        return [(command, shown) for command, _, shown in (piece.rstrip("\n").partition("\n") for piece in pieces)]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        language, _, rest = match["info"].partition(" ")
        title = re.fullmatch(r'title="(.+)"', rest)
        line = text[: match.start()].count("\n") + 1
        name = page.relative_to(ROOT).as_posix()
        found.append(Block(name, line, language, title[1] if title else "", inspect.cleandoc("\n" + match["text"])))
    return found


def pattern(shown: str) -> str:
    """What a page shows as a pattern: `…` stands for the rest of a line, alone on a line for any lines."""
    lines = [
        r"(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in shown.splitlines()
    ]
    return "".join(lines)


@dataclass(slots=True, kw_only=True)
class Reader:
    """Somebody who types what stands on a page, and compares what comes out with what the page shows.

    Attributes:
        folder: Where they are; `cd` changes it.
        environ: The environment of their shell.
        user: What begins a command that another user gives; empty for the one who runs the tests.
        timeout_s: How long a command may take.
    """

    folder: Path
    environ: Mapping[str, str]
    user: Sequence[str] = field(default=())
    timeout_s: float = 240

    def follow(self, block: Block) -> None:
        """Write the file of a block, or give its commands; other blocks are read only."""
        if block.title:
            (self.folder / block.title).write_text(block.text + "\n", encoding="utf-8")
        for command, shown in block.commands() if block.language == "console" else ():
            if found := re.fullmatch(r"cd (\S+)", command):
                self.folder = (self.folder / found[1]).resolve(strict=True)
                continue
            done = subprocess.run(
                [*self.user, "sh", "-c", command],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=self.timeout_s,
                check=False,
            )
            assert re.fullmatch(pattern(shown), done.stdout), f"{block}: {command}\n{done.stdout}"
            assert done.returncode == 0, f"{block}: {command}\n{done.stdout}"

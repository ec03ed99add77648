"""From the files of a repository to its CI jobs with all their commands: includes, `extends`, scripts that they call.

Reads files by one function that is handed in; nothing is executed.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from septum.adopting import reading, shell
from septum.adopting.recognize import recognize
from septum.adopting.values import BATCH, CREDENTIALS, Line, OldJob, Placed, Statement, Step
from septum.errors import AdoptError, PreviewError
from septum.preview.assemble import RESERVED, assemble, deep_merge, defaults_of, with_defaults

SECTIONS = ("before_script", "script", "after_script")
_DEEPEST = 6
_MOST_INCLUDES = 50
_MOST_STATEMENTS = 5000
_STEPS = BATCH | CREDENTIALS | {Step.UPLOAD, Step.ELSEWHERE, Step.IMAGE}
"""What makes a called script worth taking apart."""
_OWN_FOLDER = re.compile(r"^(?:\$\{?CI_PROJECT_DIR\}?|\$\{?PWD\}?|\$\(pwd\)|\.)/")

_TOOLS = re.compile(r"\bcondor_(?:submit|wait|q|history|watch_q)\b")

Read = Callable[[str], "str | None"]
"""The text of a file of the repository by its path; None if there is none that may be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldPipeline:
    """The old pipeline.

    Attributes:
        source: The main file.
        text: Its text.
        body: All files merged, with `extends` and `!reference` carried out.
        raw: The main file alone, as it is written.
        places: The keys at the top of all files, which know where they stand.
        jobs: The CI jobs that are visible.
        includes: What it includes that is no file of the repository.
        texts: The text of every file that was read.
        unread: Scripts that are called and could not be read, with the reason.
    """

    source: str
    text: str
    body: Mapping[str, object]
    raw: Mapping[str, object]
    places: Mapping[str, Placed]
    jobs: tuple[OldJob, ...]
    includes: tuple[str, ...]
    texts: Mapping[str, str]
    unread: tuple[str, ...]


def read_pipeline(source: str, text: str, read: Read) -> OldPipeline:
    """Read a pipeline with all that belongs to it.

    Args:
        source: The path of the main file.
        text: Its text.
        read: Gives the other files.

    Raises:
        AdoptError: It cannot be read as a pipeline.
    """
    reader = _Reader(read=read, texts={source: text})
    raw = reading.read(text, source)
    merged = reader.with_includes(raw, source, 0)
    try:
        body = assemble(merged)
        defaults = defaults_of(body)
        jobs = tuple(reader.job(name, body, defaults) for name in body if _is_job(name, body[name]))
    except PreviewError as error:
        raise AdoptError(f"{source}: {error.what}", evidence=error.evidence, fix=error.fix) from error
    except RecursionError:
        raise AdoptError(f"{source}: nested too deeply") from None
    return OldPipeline(
        source=source,
        text=text,
        body=body,
        raw=raw,
        places={str(key): key for key in merged if isinstance(key, Placed)},
        jobs=jobs,
        includes=tuple(reader.foreign),
        texts=reader.texts,
        unread=tuple(dict.fromkeys(reader.unread)),
    )


def _is_job(name: str, value: object) -> bool:
    return name not in RESERVED and name != "stages" and not name.startswith(".") and isinstance(value, dict)


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads what a pipeline consists of."""

    read: Read
    texts: dict[str, str]
    foreign: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    includes: int = 0
    statements: int = 0

    # ── YAML ────────────────────────────────────────────────────────────────────────────────────────────────────

    def with_includes(self, body: dict[str, object], name: str, depth: int) -> dict[str, object]:
        """A file with the local files that it includes, as GitLab merges them."""
        merged: dict[str, object] = {}
        include = body.get("include")
        for entry in include if isinstance(include, list) else [] if include is None else [include]:
            merged = deep_merge(merged, self._included(entry, name, depth))
        return deep_merge(merged, {key: value for key, value in body.items() if key != "include"})

    def _included(self, entry: object, name: str, depth: int) -> dict[str, object]:
        address = entry.get("local") if isinstance(entry, dict) else entry
        if not isinstance(address, str) or "://" in address or "*" in address:
            self.foreign.append(_as_words(entry))
            return {}
        self.includes += 1
        if depth >= _DEEPEST or self.includes > _MOST_INCLUDES:
            raise AdoptError(f"{name}: too many includes", evidence=f"the last one is {address[:100]}")
        path = posixpath.normpath(address.lstrip("/"))
        text = self._text(path)
        if text is None:
            raise AdoptError(
                f"{name}: the included file {address[:200]!r} cannot be read",
                evidence=self.unread[-1] if self.unread else "",
                fix="an include names a file of this repository, from its root",
            )
        return self.with_includes(reading.read(text, path), path, depth + 1)

    def _text(self, path: str) -> str | None:
        if path not in self.texts:
            try:
                text = self.read(path)
            except AdoptError as error:
                self.unread.append(error.what)
                return None
            if text is None:
                return None
            self.texts[path] = text
        return self.texts[path]

    # ── CI jobs ─────────────────────────────────────────────────────────────────────────────────────────────────

    def job(self, name: str, body: Mapping[str, object], defaults: Mapping[str, object]) -> OldJob:
        """A CI job with what it inherits, and its commands."""
        value = body[name]
        own = value if isinstance(value, dict) else {}
        keywords = with_defaults(name, own, defaults)
        statements: list[Statement] = []
        folder = "."
        for section in SECTIONS:
            if section == "after_script":
                folder = "."
            lines = list(_lines(keywords.get(section)))
            made, folder = self._statements(lines, job=name, section=section, folder=folder, depth=0)
            statements += made
        return OldJob(name=name, keywords=keywords, own=own, found=tuple(recognize(statements)))

    def _statements(
        self, lines: list[Line], *, job: str, section: str, folder: str, depth: int
    ) -> tuple[list[Statement], str]:
        """The statements of some lines, those of the scripts that they call included, and the folder at their end."""
        made: list[Statement] = []
        for piece in shell.pieces(lines):
            self.statements += 1
            if self.statements > _MOST_STATEMENTS:
                raise AdoptError(f"{piece.file}: more than {_MOST_STATEMENTS} commands")
            statement = Statement(
                file=piece.file, first=piece.first, last=piece.last, text=piece.text,
                job=job, section=section, folder=folder, block=piece.block,
                programs=() if piece.block else self._programs(piece.text, folder),
            )  # fmt: skip
            called = None if piece.block or depth >= _DEEPEST else self._called(piece.text, folder)
            if called:
                inside = [Line(file=called, number=n, text=t) for n, t in _numbered(self.texts[called])]
                found, _ = self._statements(inside, job=job, section=section, folder=folder, depth=depth + 1)
                if any(each.step in _STEPS for each in recognize(found)):
                    made += [replace(statement, calls=called), *_arguments(statement, self.texts[called]), *found]
                    continue
            made.append(statement)
            if not piece.block:
                folder = _changed(folder, piece.text)
        return made, folder

    def _programs(self, text: str, folder: str) -> tuple[str, ...]:
        """The commands of HTCondor that a Python program of the repository names, if a command runs one."""
        given = [word for word in shell.words(text) if not word.startswith("-")]
        if given and re.fullmatch(r"python[\d.]*", given[0]):
            given = given[1:]
        if not given or not re.fullmatch(r"(?:\./)?[\w./-]+\.py", given[0]):
            return ()
        path = posixpath.normpath(posixpath.join(folder, given[0]))
        source = "" if path.startswith(("/", "..")) else self._text(path) or ""
        return tuple(dict.fromkeys(_TOOLS.findall(source)))

    def _called(self, text: str, folder: str) -> str | None:
        """The script of the repository that a command runs; None if it runs another program."""
        given = shell.words(text)
        if given and given[0] in {"source", "."}:
            given = given[1:]
        elif given and posixpath.basename(given[0]) in {"sh", "bash", "zsh"}:
            given = [word for word in given[1:] if not word.startswith(("-", "+"))]
        elif not given or "/" not in given[0] or not given[0].endswith(".sh"):
            return None
        if not given or not re.fullmatch(r"[\w./${}()@+-]+", given[0]):
            return None
        name = _OWN_FOLDER.sub("", given[0])
        if name.startswith("/") or "$" in name or not name:
            return None
        base = "." if re.match(r"\$\{?CI_PROJECT_DIR", given[0]) else folder
        path = posixpath.normpath(posixpath.join(base, name))
        if path.startswith(".."):
            self.unread.append(f"{name}: leads out of the repository")
            return None
        return path if self._text(path) is not None else None


def _arguments(call: Statement, text: str) -> list[Statement]:
    """What sets the arguments of a script whose lines stand in the place of its call, if it reads any."""
    given = shell.words(call.text)
    at = next((n for n, word in enumerate(given) if word.endswith(".sh")), len(given))
    words = [word for word in given[at + 1 :] if not re.fullmatch(r"[;&|<>]+", word)]
    if not words or not re.search(r"\$(?:[1-9@*#]|\{[1-9@*#])", text):
        return []
    quoted = " ".join(word if re.fullmatch(r"[\w./=:@%+,${}-]+", word) else shlex.quote(word) for word in words)
    return [replace(call, text=f"set -- {quoted}")]


def _changed(folder: str, text: str) -> str:
    """The folder after a command."""
    given = shell.words(text)
    if given[:1] != ["cd"]:
        return folder
    words = [word for word in given[1:] if word != "--"]
    if not words or words[0] in {"-", "~"} or words[0].startswith("$CI_PROJECT_DIR"):
        return "."
    target = posixpath.normpath(posixpath.join(folder, words[0]))
    return "." if target.startswith(("/", "..")) else target


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    yield from enumerate(text.splitlines(), 1)


def _lines(value: object) -> Iterator[Line]:
    """The lines of a script, flattened as GitLab does."""
    if isinstance(value, list):
        for item in value:
            yield from _lines(item)
    elif isinstance(value, Placed):
        if value.folded or "\n" not in value.rstrip("\n"):
            joined = value.replace("\n", " ") if value.folded and not value.block else value
            for number, text in enumerate(joined.splitlines() or [""]):
                yield Line(
                    file=value.file, number=value.line + value.block + (0 if value.folded else number), text=text
                )
        else:
            for number, text in enumerate(value.splitlines()):
                yield Line(file=value.file, number=value.line + value.block + number, text=text)


def _as_words(entry: object) -> str:
    if isinstance(entry, dict):
        return ", ".join(f"{key}: {str(value)[:200]}" for key, value in entry.items() if key != "inputs")
    return str(entry)[:200]

"""What was read of the old pipeline, and what was made of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Placed(str):
    """A text of a file that knows where it stands: a scalar or a key.

    Attributes:
        file: The path of the file, relative to the repository.
        line: The line that it begins in, from 1.
        block: Whether its first line stands below, as in a block scalar.
        folded: Whether its line breaks are not those of the file.
    """

    __slots__ = ("block", "file", "folded", "line")

    file: str
    line: int
    block: bool
    folded: bool

    def __new__(cls, text: str, *, file: str, line: int, block: bool = False, folded: bool = False) -> Self:
        """Make one."""
        made = super().__new__(cls, text)
        made.file, made.line, made.block, made.folded = file, line, block, folded
        return made

    def __deepcopy__(self, memo: object) -> Placed:
        return self


class Step(str, Enum):
    """What a line of the old pipeline is there for."""

    TOKEN = "token"  # noqa: S105 - a name
    PROXY = "proxy"
    KERBEROS = "kerberos"
    CONDOR = "condor"
    IMAGE = "image"
    ENVIRONMENT = "environment"
    COMPILE = "compile"
    SUBMIT = "submit"
    WAIT = "wait"
    TRANSFER = "transfer"
    CHECK = "check"
    REMOVE = "remove"
    MERGE = "merge"
    UPLOAD = "upload"
    DAG = "dag"
    ELSEWHERE = "another batch system"
    PRINTS = "prints"
    CALLS = "calls"
    KEYWORD = "keyword"
    OTHER = "not understood"


CREDENTIALS = frozenset({Step.TOKEN, Step.PROXY, Step.KERBEROS, Step.CONDOR})
"""What is there to get in."""
BATCH = frozenset({Step.COMPILE, Step.SUBMIT, Step.WAIT, Step.TRANSFER, Step.CHECK, Step.REMOVE, Step.DAG, Step.MERGE})
"""What is there to run jobs, and to get their outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a shell script, wherever it stands."""

    file: str
    number: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A command, or a whole construct such as a loop, of the script of a CI job.

    Attributes:
        file: Where it stands.
        first: Its first line.
        last: Its last line.
        text: As it is written.
        job: The CI job that runs it.
        section: The keyword of the CI job, such as `script`.
        folder: The folder that the script has changed to, relative to the repository.
        block: Whether it is a construct with other commands in it.
        within: The first line of the construct that it was taken out of; 0 if it stood in none.
        calls: The script that it calls and whose lines follow; empty if there is none.
        programs: The commands of HTCondor that the program of the repository names which it runs.
    """

    file: str
    first: int
    last: int
    text: str
    job: str
    section: str
    folder: str = "."
    block: bool = False
    within: int = 0
    calls: str = ""
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A statement, and what it is there for."""

    statement: Statement
    step: Step
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldJob:
    """A CI job of the old pipeline, with what it inherits.

    Attributes:
        name: Its name.
        keywords: All keywords; texts and keys are `Placed` where they stand in a file.
        own: The keywords that it has itself or by `extends`, without those of `default`.
        found: Its statements in order.
    """

    name: str
    keywords: Mapping[str, object]
    own: Mapping[str, object]
    found: tuple[Found, ...] = ()

    def has(self, *steps: Step) -> bool:
        """Whether it does one of these."""
        return any(each.step in steps for each in self.found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What replaces what.

    Attributes:
        file: The old file.
        first: The first line in it.
        last: The last one.
        text: What stands there, without secrets.
        step: What it was there for.
        becomes: What takes its place, in a few words; empty if nothing does.
        where: The new file and line, `septum.yaml:3`; empty if there is none.
        why: The reason, for people.
        green: The heading of the page of false greens that tells of the case that goes away; empty if there is none.
    """

    file: str
    first: int
    last: int
    text: str
    step: Step
    becomes: str
    where: str = ""
    why: str = ""
    green: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of the project: what it was called, what it must be called now; either may be empty."""

    old: str
    new: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is proposed.

    Attributes:
        source: The file that was read.
        component: The component that takes the place of the shell lines.
        cluster: The profile that it names.
        rows: What replaces what, in the order of the files.
        questions: What a person has to look at.
        variables: What changes in the project's settings.
        files: The text of each new file by its path.
        kept: The CI jobs that stay.
        checks: What was checked of the proposal, in words.
    """

    source: str
    component: str
    cluster: str
    rows: tuple[Row, ...]
    questions: tuple[str, ...]
    variables: tuple[Variable, ...]
    files: Mapping[str, str]
    kept: tuple[str, ...]
    checks: tuple[str, ...] = ()

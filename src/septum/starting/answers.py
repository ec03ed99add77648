"""What `septum new` asks, and which answers it takes. Pure.

Answers end up in YAML, in Python, in names of files and in rules of GitLab. So each is held to an alphabet in which no
quote, no brace, no blank and no line end exists, and the starter quotes it besides.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from septum.errors import AnswerError, ImageNameError
from septum.images.reference import parse_image
from septum.validation import did_you_mean

LOCAL = "local"
_NAME = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*", re.ASCII)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", re.ASCII)
_DATA = re.compile(r"(?!(?:.*/)?\.\.(?:/|\Z))(?:[a-z][a-z0-9+.-]*://)?[A-Za-z0-9/][A-Za-z0-9._~/@%+=:,-]*", re.ASCII)
_OWNER = re.compile(r"@[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*", re.ASCII)
_PROJECT = re.compile(
    r"https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?(?:/[A-Za-z0-9_][A-Za-z0-9._-]*){2,20}", re.ASCII
)
_LONGEST = 512
_LONGEST_NAME = 63
_MOST_CLUSTERS = 20
_SHOWN = 60
# GitLab reserves these ends of a project's path.
_RESERVED_ENDS = (".git", ".atom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        name: As an answers file, `copier.yml` and, behind `--`, the command line have it.
        text: The question.
        choices: The answers that there are; empty for a free text.
        default: The answer that is taken without one; for `clusters` and `image` it follows from other answers.
        example: What an answer looks like, where the default is empty.
    """

    name: str
    text: str
    choices: tuple[str, ...] = ()
    default: str = ""
    example: str = ""


QUESTIONS = (
    Question(
        name="framework",
        text="What the analysis is written with",
        choices=("rdataframe", "coffea", "mkshapesrdf", "command"),
        default="command",
    ),
    Question(
        name="experiment",
        text="Whose conventions it follows",
        choices=("cms", "atlas", "lhcb", "none"),
        default="none",
    ),
    Question(
        name="clusters",
        text="Clusters that it may run on, the default first, with commas",
        example="local,infn-af",
    ),
    Question(
        name="image",
        text="Container image of the analysis; empty for septum's own, which has Python, uproot and ROOT",
        example="gitlab-registry.cern.ch/my-group/my-analysis:1.0",
    ),
    Question(
        name="compare",
        text="What a difference to the last result does: statistical and exact fail a merge request, report says it",
        choices=("none", "report", "statistical", "exact"),
        default="report",
    ),
    Question(
        name="data",
        text="ROOT file to read, a path or a URL (mkshapesrdf: a folder); empty for generated events",
        example="root://eospublic.cern.ch//eos/opendata/cms/file.root",
    ),
    Question(
        name="license",
        text="Licence",
        choices=("Apache-2.0", "MIT", "BSD-3-Clause", "none"),
        default="Apache-2.0",
    ),
    Question(name="owner", text="Who reviews changes, a user or group of GitLab; may be empty", example="@my-group"),
    Question(
        name="project",
        text="Address that the project will have; may be empty",
        example="https://gitlab.cern.ch/my-group/my-analysis",
    ),
)
"""In the order in which they are asked."""

CLUSTERS: Mapping[str, tuple[str, ...]] = {
    "cms": (LOCAL, "infn-af", "cern-lxbatch"),
    "atlas": (LOCAL, "cern-lxbatch"),
    "lhcb": (LOCAL, "cern-lxbatch"),
    "none": (LOCAL,),
}
"""Of each experiment. `local` comes first: it needs no credentials, so the first pipeline is green."""

IMAGES: Mapping[str, str] = {
    "rdataframe": "",
    "coffea": "docker.io/coffeateam/coffea-dask-almalinux9:2025.12.0-py3.12",
    "mkshapesrdf": "gitlab-registry.cern.ch/cms-analysis/general/mkshapesrdf:master",
    "command": "",
}
"""Of each framework."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All answers, each of them checked; made by `complete`."""

    name: str
    framework: str
    experiment: str
    clusters: tuple[str, ...]
    image: str
    compare: str
    data: str
    license: str
    owner: str
    project: str

    def mapping(self) -> dict[str, Any]:
        """As copier and JSON take them."""
        return {**dataclasses.asdict(self), "clusters": list(self.clusters)}


def complete(name: str, given: Mapping[str, object]) -> Answers:
    """Check what was answered, and take defaults for the rest.

    Args:
        name: Of the repository.
        given: Answers by the names of their questions.

    Raises:
        AnswerError: One of them cannot be taken.
        ImageNameError: The image is the name of none.
    """
    found: dict[str, Any] = {"name": check_name(name)}
    said = check_given(given)
    for question in QUESTIONS:
        found[question.name] = said.get(question.name, check(question, default(question, {**found, **said})))
    if found["data"] and found["framework"] == "command":
        raise AnswerError(
            f"data: {_shown(found['data'])}: the analysis of the framework 'command' generates its events",
            fix="leave --data out, or take --framework rdataframe or coffea",
        )
    return Answers(**found)


def check_given(given: Mapping[str, object]) -> dict[str, Any]:
    """Check the answers that there are, each for itself.

    Returns:
        Those that are one, as the starter takes them.

    Raises:
        AnswerError: One of them cannot be taken, or answers no question.
        ImageNameError: The image is the name of none.
    """
    by_name = {question.name: question for question in QUESTIONS}
    for key in given:
        if key not in by_name:
            hint = did_you_mean(str(key), list(by_name))
            raise AnswerError(
                f"answers: there is no question {_shown(str(key))}" + (f"; {hint}" if hint else ""),
                evidence=f"questions: {', '.join(by_name)}",
                fix="take it out of the answers file",
            )
    return {name: check(by_name[name], answer) for name, answer in given.items() if answer is not None}


def default(question: Question, earlier: Mapping[str, Any]) -> str:
    """The answer that is taken without one.

    Args:
        question: The question.
        earlier: The answers to the questions before it.
    """
    if question.name == "clusters":
        return ",".join(CLUSTERS[earlier["experiment"]])
    if question.name == "image":
        return IMAGES[earlier["framework"]]
    return question.default


def check(question: Question, answer: object) -> Any:
    """One answer, as the starter takes it.

    Raises:
        AnswerError: It cannot be taken.
        ImageNameError: It is the name of no image.
    """
    if question.name == "clusters":
        return _clusters(answer)
    text = _text(question.name, answer)
    if question.choices:
        return _choice(question, text)
    return _FREE[question.name](text) if text else ""


def check_name(name: object) -> str:
    """The name of the repository, which is that of its folder, of the analysis and of the project.

    Raises:
        AnswerError: It cannot be all that.
    """
    text = _text("name", name)
    if not _NAME.fullmatch(text) or len(text) > _LONGEST_NAME or text.lower().endswith(_RESERVED_ENDS):
        raise AnswerError(
            f"name: {_shown(text)} cannot name a folder, an analysis and a project of GitLab",
            evidence=f"letters and digits, between them single '-', '_' or '.', {_LONGEST_NAME} at most, no '.git' "
            "at the end",
            fix="septum new dimuon-2018; --into FOLDER says where it is written",
        )
    return text


def _text(name: str, answer: object) -> str:
    if not isinstance(answer, str):
        kind = "nothing" if answer is None else f"a {type(answer).__name__}"
        raise AnswerError(f"{name}: expected a text, got {kind}", fix=f"{name}: TEXT")
    return answer.strip(" ")


def _choice(question: Question, text: str) -> str:
    for choice in question.choices:
        if choice.lower() == text.lower():
            return choice
    hint = did_you_mean(text[:_SHOWN], question.choices)
    raise AnswerError(
        f"{question.name}: {_shown(text)} is no choice" + (f"; {hint}" if hint else ""),
        evidence=f"choices: {', '.join(question.choices)}",
        fix=f"--{question.name} {question.default}",
    )


def _clusters(answer: object) -> tuple[str, ...]:
    pieces = answer.split(",") if isinstance(answer, str) else answer
    if not isinstance(pieces, Sequence) or not pieces or len(pieces) > _MOST_CLUSTERS:
        raise AnswerError(
            "clusters: expected one name or several",
            evidence=f"1 to {_MOST_CLUSTERS} names with commas, or a list",
            fix="--cluster local",
        )
    names = tuple(_cluster(_text("clusters", piece)) for piece in pieces)
    if len({name.lower() for name in names}) != len(names):
        raise AnswerError(f"clusters: {_shown(', '.join(names))} names one twice", fix="name each once")
    return names


def _cluster(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > _LONGEST_NAME or text.endswith((".yaml", ".yml")):
        raise AnswerError(
            f"clusters: {_shown(text)} cannot name a cluster",
            evidence="letters and digits, between them single '-', '_' or '.'; a profile of your own is the file "
            "clusters/NAME.yaml, and its name is NAME",
            fix="septum cluster list shows those that septum knows",
        )
    return text


def _image(text: str) -> str:
    image = parse_image(text)
    if image.kind != "registry" or "://" in text:
        raise ImageNameError(
            f"image: {_shown(text)} is no image that a CI job of GitLab can run in",
            evidence="it takes the image of a registry; a cluster finds it on CVMFS by that name",
            fix="write REGISTRY/PATH:TAG, such as gitlab-registry.cern.ch/my-group/my-analysis:1.0",
        )
    return _matching(_IMAGE, "image", text, "a name of a registry, without brackets", "docker.io/rootproject/root:6.32")


def _data(text: str) -> str:
    said = "a path or a URL of letters, digits and '._~/@%+=:,-', without '..'"
    return _matching(_DATA, "data", text, said, "--data root://HOST//PATH/FILE.root")


def _matching(pattern: re.Pattern[str], name: str, text: str, said: str, good: str) -> str:
    if not pattern.fullmatch(text) or len(text) > _LONGEST:
        raise AnswerError(f"{name}: {_shown(text)} cannot be taken", evidence=f"it may be {said}", fix=good)
    return text


_FREE: Mapping[str, Callable[[str], str]] = {
    "image": _image,
    "data": _data,
    "owner": lambda text: _matching(
        _OWNER,
        "owner",
        text if text.startswith("@") else f"@{text}",
        "a user or a group of GitLab",
        "--owner @my-group",
    ),
    "project": lambda text: _matching(
        _PROJECT,
        "project",
        text.rstrip("/"),
        "an https address",
        "--project https://gitlab.cern.ch/my-group/my-analysis",
    ),
}


def _shown(text: str) -> str:
    # Escapes: what is refused is often what a terminal would obey.
    shown = ascii(text[:_SHOWN])
    return shown if len(text) <= _SHOWN else f"{shown}…"

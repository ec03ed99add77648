"""One difference between GitLab and gitlab-ci-local, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

_NO_FILES: Mapping[str, str] = MappingProxyType({})
RUNS: Mapping[str, object] = MappingProxyType({"when": "on_success"})
"""The CI job is in the pipeline, and runs when it is its turn."""

Expected = Mapping[str, object] | str | None
"""A part of the CI job; a part of the message by which the pipeline is refused; None if the CI job is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference, with a repository that shows it.

    Attributes:
        key: Its name, and that of the CI job that shows it.
        topic: The section of the page.
        gitlab: What GitLab does, a sentence.
        runner: What the runner does, a sentence.
        source: Where GitLab's behaviour was read.
        main: The main file.
        files: Other files of the repository.
        there: What becomes of the CI job in GitLab.
        here: What the runner makes of it; `COMMIT` in it stands for the commit.
        view: Which output of the runner shows it.
        alone: Whether it cannot share a repository with others.
    """

    key: str
    topic: str
    gitlab: str
    runner: str
    source: str
    main: Mapping[str, object]
    files: Mapping[str, str] = field(default_factory=lambda: _NO_FILES)
    there: Expected
    here: Expected
    view: Literal["list", "preview"] = "list"
    alone: bool = False

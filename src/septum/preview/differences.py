"""Where gitlab-ci-local, which runs pipelines on a laptop, does something else than GitLab: all of it, and the page.

Every entry is tried on both sides in tests/integration/test_runner_differs.py: one that is mended fails there.
"""

from __future__ import annotations

from septum.preview.difference import Difference
from septum.preview.differences_in_files import FILES
from septum.preview.differences_in_rules import CONDITIONS, PIPELINES

RUNNER = "4.75.1"
PAGE = "docs/explanation/what-the-runner-does-differently.md"
DIFFERENCES: tuple[Difference, ...] = (*CONDITIONS, *FILES, *PIPELINES)


def page() -> str:
    """The page about the differences, in Markdown."""
    lines = [
        "<!-- Generated from src/septum/preview/differences*.py. Do not edit. -->",
        "# What the runner does differently",
        "",
        "Pipelines run on a laptop and in the tests with gitlab-ci-local, which is not GitLab. Where the two differ,",
        "a green run on the laptop says nothing about the server. `septum component preview` reads the YAML as GitLab",
        "does, and is the judge of it; gitlab-ci-local only runs it.",
        "",
        f"The list holds what was found with gitlab-ci-local {RUNNER}. Every line of it is a test with a small",
        "repository (`tests/integration/test_runner_differs.py`) that fails once the runner does as GitLab does. It is",
        "about how the YAML is read. While CI jobs run, there is more: `retry`, `resource_group`, `interruptible`,",
        "`id_tokens` and `secrets` have no effect in the runner, and it does not hand inputs to child pipelines.",
        "",
        "Paths are those of GitLab's own sources and documentation.",
    ]
    for topic in dict.fromkeys(item.topic for item in DIFFERENCES):
        lines += ["", f"## {topic}", "", "| | GitLab | gitlab-ci-local | Source |", "| --- | --- | --- | --- |"]
        for item in DIFFERENCES:
            if item.topic == topic:
                cells = (f"`{item.key}`", item.gitlab, item.runner, item.source)
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"

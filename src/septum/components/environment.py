"""What a component's inputs are when they arrive in the environment of a CI job. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from septum.components.model import Input
from septum.errors import UsageError

COMPONENT = "SEPTUM_COMPONENT"
"""Set in each CI job of a component: its name and version."""
RULE = "SEPTUM_RULE"
"""Set by the component's own rules, so that one of the user's that decided is noticed."""
_CHOOSING = frozenset({"analysis", "prepare", "submit", "collect", "run"})
"""Components whose rules choose more than whether a CI job exists: its image, cluster and delay."""


def given(item: Input, environ: Mapping[str, str]) -> str:
    """The value of an input: that of its variable, or the default where it is not set or empty.

    Args:
        item: An input with a variable and a default that is text.
        environ: The environment.
    """
    return (environ.get(item.variable or "") or str(item.default or "")).removesuffix("\n")


def check(environ: Mapping[str, str]) -> None:
    """Look at what reached a CI job of a component once more: GitLab judged the inputs, not what overrode them.

    Outside of a component, everything is taken as it is.

    Args:
        environ: The environment.

    Raises:
        UsageError: A variable holds what its input would refuse, or a rule that can only leave out took the CI job in.
    """
    component = environ.get(COMPONENT, "")
    if not component:
        return
    from septum.components.catalog import variables

    for name, item in variables().items():
        _check_value(name, item, environ.get(name))
    if component.partition("@")[0] in _CHOOSING and environ.get(RULE) != "own":
        raise UsageError(
            "component: a rule of the input 'rules' decided that this CI job runs; such a rule can only leave it out",
            evidence=f"{RULE} is not set, so image, cluster and delay of {environ.get('CI_JOB_NAME', 'the CI job')} "
            "were not chosen by the component",
            fix="turn it round, such as: - {if: '$CI_PIPELINE_SOURCE != \"schedule\"', when: never}\n"
            "or put the rule into the include itself: include: [{component: …, rules: [{if: …}]}]",
        )


def _check_value(name: str, item: Input, value: str | None) -> None:
    if value is None or (not value and item.default == ""):
        return
    wanted = ""
    if item.options and value not in {str(option) for option in item.options}:
        wanted = "one of " + ", ".join(str(option) for option in item.options)
    # Python's $ would allow a line break at the end.
    elif item.regex and not re.fullmatch(item.regex, value):
        wanted = f"the form {item.regex}"
    if wanted:
        raise UsageError(
            f"{name}: {value[:60]!r} is no value of the input '{item.name}'",
            evidence=f"expected {wanted}; a variable of the project, the pipeline or the schedule wins over an input",
            fix=f"correct the input '{item.name}', or remove the variable {name} under Settings > CI/CD > Variables",
        )

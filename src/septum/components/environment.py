"""What a component's inputs are when they arrive in the environment of a CI job. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from septum.components.model import LOCAL, REPORTS, STATE, Input
from septum.errors import UsageError
from septum.patience import HOPS

COMPONENT = "SEPTUM_COMPONENT"
"""Set in each CI job of a component: its name and version."""
RULE = "SEPTUM_RULE"
"""Which of the component's own rules took the CI job in, `OWN` or `TASTE`; unset if it was one of the user's."""
OWN, TASTE = "own", "taste"
PARTS = "SEPTUM_PARTS"
HOP = "SEPTUM_HOP"
HAND_OVER = "SEPTUM_HAND_OVER"
_MARKS = (RULE, "SEPTUM_WHEEL", "SEPTUM_OWN_IMAGE")
"""What is set in CI jobs of components alone."""
_CHOOSING = frozenset({"analysis", "prepare", "submit", "collect", "run", "framework", "mkshapesrdf"})
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

    A variable of the project, the pipeline or the schedule wins over those of the component, whatever it is called.
    Outside of a component, everything is taken as it is.

    Args:
        environ: The environment.

    Raises:
        UsageError: A variable holds what its input would refuse, or what the component did not choose; or a rule that
            can only leave out took the CI job in.
    """
    component = environ.get(COMPONENT, "")
    if not component and not any(environ.get(name) for name in _MARKS):
        return
    from septum.components.catalog import variables

    for name, item in variables().items():
        _check_value(name, item, environ.get(name))
    _check_rule(component.partition("@")[0], environ)
    for name, expected in _chosen(component, environ).items():
        if environ.get(name, "") != expected:
            raise _overridden(name, environ.get(name, ""), f"the component has {expected!r}" if expected else "none")


def _chosen(component: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What the component itself sets, whatever the inputs are."""
    from septum.components.inputs import TASTE_PARTS

    prefix = environ.get("SEPTUM_PREFIX", "")
    taste = environ.get(RULE) == TASTE
    chosen = {
        COMPONENT: component or "its name",
        "SEPTUM_STATE": STATE.replace("$[[ inputs.job-prefix ]]", prefix),
        "SEPTUM_REPORTS": REPORTS.replace("$[[ inputs.job-prefix ]]", prefix),
        PARTS: str(TASTE_PARTS) if taste else "",
        HAND_OVER: _hands_over(environ.get("CI_JOB_NAME", "").removeprefix(prefix), environ),
        HOP: _hop(environ.get("CI_JOB_NAME", "").removeprefix(prefix), environ),
    }
    return {**chosen, "SEPTUM_CLUSTER": LOCAL} if taste else chosen


def _hands_over(job: str, environ: Mapping[str, str]) -> str:
    """What a CI job does about the framework's own merge: `yes` leaves it to another, `back` takes up its product."""
    from septum.components.inputs import BY_FRAMEWORK

    if environ.get("SEPTUM_MERGE") != BY_FRAMEWORK:
        return ""
    if job == "result":
        return "back"
    return "yes" if job == "collect" or job.startswith("hop-") else ""


def _hop(job: str, environ: Mapping[str, str]) -> str:
    """The place of a CI job in the row of hops, such as `2/6`; empty if it stands in none."""
    if environ.get("SEPTUM_WAIT") != HOPS or environ.get("SEPTUM_CLUSTER") == LOCAL:
        return ""
    count = environ.get("SEPTUM_HOPS", "")
    number = job.removeprefix("hop-") if job.startswith("hop-") else count if job == "collect" else ""
    return f"{number}/{count}" if number else ""


def _check_rule(component: str, environ: Mapping[str, str]) -> None:
    if component not in _CHOOSING or environ.get(RULE) in {OWN, TASTE}:
        return
    raise UsageError(
        "component: a rule of the input 'rules' decided that this CI job runs; such a rule can only leave it out",
        evidence=f"{RULE} is not that of the component, so image, cluster and delay of "
        f"{environ.get('CI_JOB_NAME', 'the CI job')} were not chosen by it",
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
    elif item.is_path and ".." in value.split("/"):
        wanted = "a path in the repository"
    if wanted:
        raise _overridden(name, value, f"expected {wanted}", f"correct the input '{item.name}', or ")


def _overridden(name: str, value: str, said: str, fix: str = "") -> UsageError:
    return UsageError(
        f"{name}: {value[:60]!r} is not what the component would have",
        evidence=f"{said}; a variable of the project, the pipeline or the schedule wins over an input",
        fix=f"{fix}remove the variable {name}: Settings > CI/CD > Variables, or that of the schedule",
    )

"""The components that there are. What an input means stands in `inputs`, what a CI job does in `components/`."""

from __future__ import annotations

from septum.components.inputs import (
    ACTION,
    BROKERS,
    CANCEL_ON_NEW_COMMIT,
    CHANGES,
    CLUSTER,
    CONFIG,
    CREDENTIALS,
    EXPIRE_IN,
    HOP_DELAY,
    HOPS_COUNT,
    IMAGE,
    JOB_PREFIX,
    KEEP_OUTPUTS,
    MORE_NEEDS,
    NEEDS_LIST,
    PARTIAL,
    PIPELINES,
    REFERENCE,
    REFERENCE_JOB,
    REPRODUCIBILITY,
    RESULT,
    RULES,
    SEPTUM_IMAGE,
    STAGE,
    START,
    TAGS,
    TIMEOUT,
    WAIT,
    WITHOUT_CREDENTIALS,
)
from septum.components.model import HOP_EXPIRY, CIJob, Component, Input
from septum.patience import HOP_COUNTS

_PLACE = (STAGE, JOB_PREFIX, TAGS, TIMEOUT)
"""Where the CI jobs stand in the pipeline."""
_FIRST = (RULES, START, NEEDS_LIST, PIPELINES, CHANGES)
"""When they run, of a component that can be the first of an analysis."""
_NEXT = (RULES, MORE_NEEDS, PIPELINES, CHANGES)
"""When they run, of a component that follows another one."""

_SKIPPED = CIJob(
    name="skipped",
    description=(
        "Only on a ref without credentials, with `without-credentials: skip`: says so, and ends as a warning "
        "(exit code 10)."
    ),
    image="septum's own",
    artifacts="none",
)
_PREPARE = CIJob(
    name="prepare",
    description="Runs the lines under `prepare:`, makes the plan of all parts.",
    image="the analysis image if one is given, else septum's own",
    artifacts="the state folder `.septum/<job-prefix>/`: plan and inputs",
)
_SUBMIT = CIJob(
    name="submit",
    description="Obtains credentials and submits the plan; on `local` it only records it.",
    image="septum's own; on `local` that of prepare",
    artifacts="the same folder, with receipt and ledger",
)
_COLLECT = CIJob(
    name="collect",
    description="Watches, fetches, verifies, merges, compares, reports; on `local` it also runs the parts.",
    image="septum's own; on `local` that of prepare",
    artifacts=(
        "the result folder with report, ledger and receipt, also on failure; "
        "JUnit, metrics and links, unless a hop has them"
    ),
)

ANALYSIS = Component(
    name="analysis",
    summary="Runs an analysis as jobs on a cluster and brings back one verified ROOT file.",
    inputs=(
        CLUSTER,
        IMAGE,
        CONFIG,
        *_PLACE,
        *_FIRST,
        EXPIRE_IN,
        WAIT,
        HOPS_COUNT,
        HOP_DELAY,
        CANCEL_ON_NEW_COMMIT,
        PARTIAL,
        RESULT,
        CREDENTIALS,
        WITHOUT_CREDENTIALS,
        *BROKERS,
        SEPTUM_IMAGE,
    ),
    jobs=(
        _SKIPPED,
        _PREPARE,
        _SUBMIT,
        CIJob(
            name="hop",
            description=(
                "Only with `wait: hops`: fetches, verifies and merges what is there, and leaves; the one that finds "
                "all work done publishes the result, and those after it pass at once."
            ),
            image="septum's own",
            artifacts=(
                f"state folder and result folder for the next one, kept {HOP_EXPIRY}; "
                "JUnit, metrics and links if it ended the run"
            ),
            count=HOP_COUNTS[-1] - 1,
        ),
        _COLLECT,
    ),
)
PREFLIGHT = Component(
    name="preflight",
    summary="Tries everything that a run needs, from the configuration to the cluster, and submits nothing.",
    inputs=(CLUSTER, IMAGE, CONFIG, *_PLACE, *_FIRST, CREDENTIALS, *BROKERS, SEPTUM_IMAGE),
    jobs=(
        CIJob(
            name="preflight",
            description="Runs `septum doctor`: one line a check, and for each failure its cause and what to do.",
            image="septum's own",
            artifacts="none",
        ),
    ),
)
PREPARE = Component(
    name="prepare",
    summary="Runs the preparation of an analysis in its image, and makes the plan of all its parts.",
    inputs=(CLUSTER, IMAGE, CONFIG, *_PLACE, *_FIRST, EXPIRE_IN, SEPTUM_IMAGE),
    jobs=(_PREPARE,),
)
SUBMIT = Component(
    name="submit",
    summary="Submits the plan that the component prepare has made. Run again, it submits nothing twice.",
    inputs=(
        CLUSTER,
        IMAGE,
        CONFIG,
        *_PLACE,
        *_NEXT,
        EXPIRE_IN,
        CANCEL_ON_NEW_COMMIT,
        CREDENTIALS,
        *BROKERS,
        SEPTUM_IMAGE,
    ),
    jobs=(_SKIPPED, _SUBMIT),
)
COLLECT = Component(
    name="collect",
    summary="Watches the jobs that the component submit has submitted, and brings back one verified ROOT file.",
    inputs=(
        CLUSTER,
        IMAGE,
        CONFIG,
        *_PLACE,
        *_NEXT,
        EXPIRE_IN,
        CANCEL_ON_NEW_COMMIT,
        PARTIAL,
        RESULT,
        CREDENTIALS,
        *BROKERS,
        SEPTUM_IMAGE,
    ),
    jobs=(_SKIPPED, _COLLECT),
)
COMPARE = Component(
    name="compare",
    summary="Compares a result, object by object, with an earlier pipeline, a tag or a file.",
    inputs=(RESULT, REFERENCE, REFERENCE_JOB, REPRODUCIBILITY, *_PLACE, *_FIRST, EXPIRE_IN, SEPTUM_IMAGE),
    jobs=(
        CIJob(
            name="compare",
            description="Says of each object: identical, within rounding, compatible, different, missing, or new.",
            image="septum's own",
            artifacts="`comparison.json` with every object, also on failure",
        ),
    ),
)
SWEEP = Component(
    name="sweep",
    summary="Removes from the cluster what this project's ended pipelines have left there. For schedules.",
    inputs=(CLUSTER, CONFIG, KEEP_OUTPUTS, ACTION, *_PLACE, RULES, *BROKERS, SEPTUM_IMAGE),
    jobs=(
        CIJob(
            name="sweep",
            description="Runs `septum sweep`, in pipelines of schedules only: a table of what went, and why.",
            image="septum's own",
            artifacts="none",
        ),
    ),
)
RUN = Component(
    name="run",
    summary="Runs an analysis from the plan to the verified ROOT file in one CI job.",
    inputs=(
        CLUSTER,
        IMAGE,
        CONFIG,
        *_PLACE,
        *_FIRST,
        EXPIRE_IN,
        CANCEL_ON_NEW_COMMIT,
        PARTIAL,
        RESULT,
        CREDENTIALS,
        WITHOUT_CREDENTIALS,
        *BROKERS,
        SEPTUM_IMAGE,
    ),
    jobs=(
        _SKIPPED,
        CIJob(
            name="run",
            description="prepare, submit and collect, one after the other.",
            image="the analysis image if one is given, else septum's own",
            artifacts="the result folder with report, ledger and receipt, also on failure; JUnit, metrics and links",
        ),
    ),
)

COMPONENTS: tuple[Component, ...] = (ANALYSIS, PREFLIGHT, PREPARE, SUBMIT, COLLECT, COMPARE, SWEEP, RUN)


def component(name: str) -> Component:
    """The component of that name.

    Raises:
        KeyError: There is none.
    """
    return {item.name: item for item in COMPONENTS}[name]


def variables() -> dict[str, Input]:
    """The environment variables that inputs arrive in, whichever component they come from."""
    return {item.variable: item for entry in COMPONENTS for item in entry.inputs if item.variable}

"""The components that there are. What an input means stands in `inputs`, what a CI job does in `components/`."""

from __future__ import annotations

from dataclasses import replace

from septum.components.inputs import (
    ACTION,
    BROKERS,
    BUILD_ARGS,
    BUILD_CONTEXT,
    BUILD_FILE,
    BUILD_NAME,
    BUILD_TAG,
    BUILDER_IMAGE,
    BY_FRAMEWORK,
    CANCEL_ON_NEW_COMMIT,
    CHANGES,
    CLUSTER,
    CONFIG,
    CONFIGS,
    CREDENTIALS,
    EXPIRE_IN,
    FOLDER,
    HOP_DELAY,
    HOPS_COUNT,
    IMAGE,
    JOB_PREFIX,
    KEEP_OUTPUTS,
    LIMIT,
    MERGE,
    MORE_NEEDS,
    NEEDS_LIST,
    PARTIAL,
    PIPELINES,
    REFERENCE,
    REFERENCE_JOB,
    REPRODUCIBILITY,
    RESULT,
    RULES,
    SCRIPT,
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

_WHAT = (CLUSTER, IMAGE, CONFIG)
"""What is run, and where."""
_ACCESS = (CREDENTIALS, *BROKERS)
"""How a cluster is reached."""
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
_HOP = CIJob(
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
        *_WHAT,
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
        _HOP,
        _COLLECT,
    ),
)
PREFLIGHT = Component(
    name="preflight",
    summary="Tries everything that a run needs, from the configuration to the cluster, and submits nothing.",
    inputs=(*_WHAT, *_PLACE, *_FIRST, *_ACCESS, SEPTUM_IMAGE),
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
    inputs=(*_WHAT, *_PLACE, *_FIRST, EXPIRE_IN, SEPTUM_IMAGE),
    jobs=(_PREPARE,),
)
SUBMIT = Component(
    name="submit",
    summary="Submits the plan that the component prepare has made. Run again, it submits nothing twice.",
    inputs=(
        *_WHAT,
        *_PLACE,
        *_NEXT,
        EXPIRE_IN,
        CANCEL_ON_NEW_COMMIT,
        *_ACCESS,
        SEPTUM_IMAGE,
    ),
    jobs=(_SKIPPED, _SUBMIT),
)
COLLECT = Component(
    name="collect",
    summary="Watches the jobs that the component submit has submitted, and brings back one verified ROOT file.",
    inputs=(
        *_WHAT,
        *_PLACE,
        *_NEXT,
        EXPIRE_IN,
        CANCEL_ON_NEW_COMMIT,
        PARTIAL,
        RESULT,
        *_ACCESS,
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
        *_WHAT,
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

_FRAMEWORK = (*_WHAT, *_PLACE, *_FIRST, EXPIRE_IN)
_FRAMEWORK_RUN = (
    WAIT,
    HOPS_COUNT,
    HOP_DELAY,
    CANCEL_ON_NEW_COMMIT,
    RESULT,
    CREDENTIALS,
    *BROKERS,
    SEPTUM_IMAGE,
)
_FRAMEWORK_JOBS = (
    _SKIPPED,
    CIJob(
        name="recorder",
        description="Checks the configuration, and leaves a `condor_submit` that records what it is asked to submit.",
        image="septum's own",
        artifacts="the state folder `.septum/<job-prefix>/`: the recording `condor_submit`",
    ),
    CIJob(
        name="prepare",
        description="Runs the framework: it compiles, and submits to the recorder. Needs nothing of septum.",
        image="the analysis image if one is given, else septum's own",
        artifacts="the recording: submit descriptions and the files that the jobs take along",
    ),
    CIJob(
        name="submit",
        description="Makes the plan of what was recorded, says what it corrects, and submits it.",
        image="septum's own; on `local` the analysis image",
        artifacts="the state folder, with plan, receipt and ledger",
    ),
    _HOP,
    CIJob(
        name="collect",
        description="Watches, fetches and verifies; with `merge: septum` also merges, compares and reports.",
        image="septum's own; on `local` the analysis image, where it also runs the parts",
        artifacts="with `merge: septum` as in the component analysis; else the verified outputs of all parts",
    ),
    CIJob(
        name="merge",
        description="Only with `merge: framework`: runs the framework's own merge over the verified outputs.",
        image="the analysis image if one is given, else septum's own",
        artifacts="what the command made, and its log",
    ),
    CIJob(
        name="result",
        description="Only with `merge: framework`: checks what the command made, publishes, compares and reports.",
        image="septum's own; on `local` the analysis image",
        artifacts="the result folder with report, ledger and receipt, also on failure; JUnit, metrics and links",
    ),
)
FRAMEWORK = Component(
    name="framework",
    summary="Runs a framework that calls condor_submit itself, unmodified, and brings back one verified ROOT file.",
    inputs=(*_FRAMEWORK, SCRIPT, MERGE, LIMIT, *_FRAMEWORK_RUN),
    jobs=_FRAMEWORK_JOBS,
)
MKSHAPESRDF = Component(
    name="mkshapesrdf",
    summary="Runs a mkShapesRDF analysis: compiles it, submits its jobs, and brings back one verified ROOT file.",
    inputs=(
        *_FRAMEWORK,
        FOLDER,
        CONFIGS,
        replace(MERGE, default=BY_FRAMEWORK),
        LIMIT,
        *_FRAMEWORK_RUN,
    ),
    jobs=_FRAMEWORK_JOBS,
)
IMAGE_COMPONENT = Component(
    name="image",
    summary="Builds the image of an analysis from its commit, and puts it into the registry under a tag that stays.",
    inputs=(
        BUILD_CONTEXT,
        BUILD_FILE,
        BUILD_NAME,
        BUILD_TAG,
        BUILD_ARGS,
        *_PLACE,
        *_FIRST,
        EXPIRE_IN,
        BUILDER_IMAGE,
        SEPTUM_IMAGE,
    ),
    jobs=(
        CIJob(
            name="pack-image",
            description="Looks whether the registry has the image, and packs what it is built of if not.",
            image="septum's own",
            artifacts="what the other CI job needs: context, Containerfile, options, script",
        ),
        CIJob(
            name="build-image",
            description="Builds and pushes it, without privileges; or says at once that it is there.",
            image="that of the input `builder-image`",
            artifacts="`SEPTUM_BUILT_IMAGE` (with the digest) and `SEPTUM_BUILT_TAG`, as variables for later CI jobs",
        ),
    ),
)

COMPONENTS: tuple[Component, ...] = (
    ANALYSIS,
    PREFLIGHT,
    PREPARE,
    SUBMIT,
    COLLECT,
    COMPARE,
    SWEEP,
    RUN,
    FRAMEWORK,
    MKSHAPESRDF,
    IMAGE_COMPONENT,
)


def component(name: str) -> Component:
    """The component of that name.

    Raises:
        KeyError: There is none.
    """
    return {item.name: item for item in COMPONENTS}[name]


def variables() -> dict[str, Input]:
    """The environment variables that inputs arrive in, whichever component they come from."""
    return {item.variable: item for entry in COMPONENTS for item in entry.inputs if item.variable}

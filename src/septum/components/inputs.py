"""The inputs that components share: each declared once, whoever has it."""

from __future__ import annotations

from septum.components.model import LOCAL, NO_BROKER, OWN_IMAGE, RECORDER, Input
from septum.patience import DELAYS_MIN, HOLD, HOP_COUNTS, HOPS

TASTE_PARTS = 3
"""So many parts run where a ref has no credentials and the user wants to see something nevertheless."""

PROTECTED, EVERYWHERE = "protected", "everywhere"
SKIP = "skip"
BRANCHES, MERGE_REQUESTS = "branches", "merge-requests"
STAGES, NEEDS = "stages", "needs"
FAIL, WARN = "fail", "warn"
REMOVE, SHOW = "remove", "show"
BY_SEPTUM, BY_FRAMEWORK = "septum", "framework"

_AUDIENCE = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$"
_PATH_OR_HERE = r"^(\.|[A-Za-z0-9_][A-Za-z0-9._/-]*)$"
_PATH = r"^[A-Za-z0-9_][A-Za-z0-9._/-]*$"

CLUSTER = Input(
    name="cluster",
    description="Where the parts run: the name of a profile, or the path of one in the repository.",
    default=LOCAL,
    regex=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
    variable="SEPTUM_CLUSTER",
    is_path=True,
)
IMAGE = Input(
    name="image",
    description=(
        "Container image of the analysis. Empty: the image named in the configuration, or none. "
        "CI/CD variables in it are expanded."
    ),
    default="",
    regex=r"^([A-Za-z0-9$][A-Za-z0-9._/:@${}-]*)?$",
    variable="SEPTUM_IMAGE",
    expand=True,
)
CONFIG = Input(
    name="config",
    description="Path of the analysis configuration.",
    default="septum.yaml",
    variable="SEPTUM_CONFIG",
)
STAGE = Input(
    name="stage",
    description="Stage of the CI jobs; it must be a stage of the pipeline.",
    default="test",
)
JOB_PREFIX = Input(
    name="job-prefix",
    description=(
        "Begins the names of the CI jobs and marks the run on the cluster. "
        "Two includes in one pipeline need two prefixes."
    ),
    default="septum-",
    regex=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$",
    variable="SEPTUM_PREFIX",
)
TAGS = Input(
    name="tags",
    description="Tags of the runners; empty for untagged runners.",
    type="array",
    default=(),
)
RULES = Input(
    name="rules",
    description=(
        "Rules that GitLab reads before those of the component, to leave CI jobs out by 'when: never'. To include the "
        "whole component under a condition, use 'rules' of the include instead."
    ),
    type="array",
    default=(),
)
START = Input(
    name="start",
    description=(
        "When the first CI job starts. 'stages': after all earlier stages, with their artifacts. "
        "'needs': as soon as the CI jobs of the input 'needs' have ended, with theirs."
    ),
    default=STAGES,
    options=(STAGES, NEEDS),
)
NEEDS_LIST = Input(
    name="needs",
    description=(
        "With 'start: needs', what the first CI job needs, as GitLab's keyword has it; empty: it starts at once."
    ),
    type="array",
    default=(),
)
MORE_NEEDS = Input(
    name="needs",
    description="What the CI job needs beside the one before it, as GitLab's keyword has it.",
    type="array",
    default=(),
)
PIPELINES = Input(
    name="pipelines",
    description=(
        "In which pipelines the CI jobs are. 'branches': of branches and tags. 'merge-requests': of merge requests of "
        "this project instead of their branches, and of all other branches and tags. Never of merge requests of forks."
    ),
    default=BRANCHES,
    options=(BRANCHES, MERGE_REQUESTS),
    variable="SEPTUM_PIPELINES",
)
CHANGES = Input(
    name="changes",
    description=(
        "Glob of the files that make a run worth it when a push changes one, such as '{*.py,*.yaml,src/**/*}'; "
        "a push that changes only others, such as documents, runs nothing. Empty: every push runs."
    ),
    default="",
    variable="SEPTUM_CHANGES",
)
EXPIRE_IN = Input(
    name="expire-in",
    description="How long GitLab keeps the artifacts.",
    default="1 week",
)
TIMEOUT = Input(
    name="timeout",
    description="The longest time of one CI job; collect waits for the cluster within it.",
    default="6 hours",
)
WAIT = Input(
    name="wait",
    description=(
        "How the pipeline waits for the cluster. 'hold': one CI job, which keeps its runner. "
        "'hops': several short ones, one after the other, and no runner between them."
    ),
    default=HOLD,
    options=(HOLD, HOPS),
    variable="SEPTUM_WAIT",
)
HOPS_COUNT = Input(
    name="hops",
    description="With 'wait: hops', how many CI jobs look for the outputs, including the last one, collect.",
    type="number",
    default=6,
    options=tuple(HOP_COUNTS),
    variable="SEPTUM_HOPS",
)
HOP_DELAY = Input(
    name="hop-delay",
    description="With 'wait: hops', the longest time between two of them; it begins shorter, and doubles.",
    default="2 hours",
    options=tuple(DELAYS_MIN),
    variable="SEPTUM_HOP_DELAY",
)
CANCEL_ON_NEW_COMMIT = Input(
    name="cancel-on-new-commit",
    description=(
        "Whether a newer commit on the branch may cancel the run and remove its jobs, as GitLab's setting "
        "'Auto-cancel redundant pipelines' has it. If not, the run goes on."
    ),
    type="boolean",
    default=False,
)
PARTIAL = Input(
    name="partial",
    description=(
        "What a partial result, within the tolerance of the configuration, does to the pipeline: 'fail', or 'warn' and "
        "go on with it."
    ),
    default=FAIL,
    options=(FAIL, WARN),
)
RESULT = Input(
    name="result",
    description="Folder of the result, relative to the repository. Two includes in one pipeline need two.",
    default="result",
    regex=_PATH,
    variable="SEPTUM_RESULT",
    is_path=True,
)
CREDENTIALS = Input(
    name="credentials",
    description=(
        "Where CI jobs that need credentials run. 'protected': on protected branches and tags. 'everywhere': on all "
        "refs of this project, for brokers and for variables that are not protected."
    ),
    default=PROTECTED,
    options=(PROTECTED, EVERYWHERE),
    variable="SEPTUM_REFS",
)
WITHOUT_CREDENTIALS = Input(
    name="without-credentials",
    description=(
        f"What a ref without credentials gets. 'skip': a CI job that says so, as a warning. 'local': {TASTE_PARTS} "
        "parts in the CI job itself, and a result labelled partial."
    ),
    default=SKIP,
    options=(SKIP, LOCAL),
    variable="SEPTUM_ELSEWHERE",
)
BROKERS = (
    Input(
        name="token-audience",
        description="Audience of GitLab's id_token for the broker that gives the token, as the broker names it.",
        default=NO_BROKER,
        regex=_AUDIENCE,
        id_token="SEPTUM_ID_TOKEN",  # noqa: S106 - the name of a variable
    ),
    Input(
        name="proxy-audience",
        description="The same for the broker that gives the X.509 proxy.",
        default=NO_BROKER,
        regex=_AUDIENCE,
        id_token="SEPTUM_PROXY_ID_TOKEN",  # noqa: S106
    ),
    Input(
        name="eos-audience",
        description="The same for the service that gives a token of EOS.",
        default=NO_BROKER,
        regex=_AUDIENCE,
        id_token="SEPTUM_EOS_ID_TOKEN",  # noqa: S106
    ),
)
SEPTUM_IMAGE = Input(
    name="septum-image",
    description="Container image of septum itself, for instances that mirror it.",
    default=OWN_IMAGE,
    regex=r"^[A-Za-z0-9$][A-Za-z0-9._/:@${}-]*$",
    variable="SEPTUM_OWN_IMAGE",
    expand=True,
)
REFERENCE = Input(
    name="reference",
    description=(
        "What the result is compared with: 'default-branch' for its last good pipeline, 'tag:NAME', the path of a file "
        "or folder, or an https or root URL."
    ),
    default="default-branch",
    regex=r"^[A-Za-z0-9_./][^\x00-\x1f\x7f]*$",
    variable="SEPTUM_REFERENCE",
)
REFERENCE_JOB = Input(
    name="reference-job",
    description=(
        "With 'default-branch' and 'tag:NAME', the full name of the CI job whose artifact holds the reference, in the "
        "folder of the input 'result'."
    ),
    default="septum-collect",
    variable="SEPTUM_REFERENCE_JOB",
)
REPRODUCIBILITY = Input(
    name="reproducibility",
    description=(
        "What fails the CI job: 'exact': anything but identical; 'statistical': what is not compatible; "
        "'report': nothing."
    ),
    default="report",
    options=("exact", "statistical", "report"),
    variable="SEPTUM_REPRODUCIBILITY",
)
SCRIPT = Input(
    name="script",
    description=(
        "Shell lines that compile and submit, in the analysis image; each call of condor_submit is recorded. "
        "Empty: those under 'framework: script' in the configuration."
    ),
    type="array",
    default=(f'sh "$SEPTUM_STATE/{RECORDER}/script.sh"',),
    is_script=True,
)
MERGE = Input(
    name="merge",
    description=(
        "Who makes the result. 'septum': septum merges the outputs of the parts. 'framework': the command that the "
        "configuration names under 'merge', in the analysis image, and septum checks what it made."
    ),
    default=BY_SEPTUM,
    options=(BY_SEPTUM, BY_FRAMEWORK),
    variable="SEPTUM_MERGE",
)
LIMIT = Input(
    name="limit",
    description="Run so many parts only, the first ones, and label the result partial; 0 for all.",
    type="number",
    default=0,
    variable="SEPTUM_LIMIT",
)
FOLDER = Input(
    name="folder",
    description="Folder of the configuration of mkShapesRDF, in the repository.",
    default=".",
    regex=_PATH_OR_HERE,
    variable="SEPTUM_FOLDER",
    is_path=True,
)
CONFIGS = Input(
    name="configs",
    description="Folder, in the one above, that mkShapesRDF compiles its configuration into.",
    default="configs",
    regex=_PATH,
    variable="SEPTUM_CONFIGS",
    is_path=True,
)
BUILD_CONTEXT = Input(
    name="context",
    description="Folder that the image is built from, in the repository; '.' for the whole repository.",
    default=".",
    regex=_PATH_OR_HERE,
    variable="SEPTUM_BUILD_CONTEXT",
    is_path=True,
)
BUILD_FILE = Input(
    name="containerfile",
    description="Path of the Containerfile (or Dockerfile), in the repository.",
    default="Containerfile",
    regex=_PATH,
    variable="SEPTUM_BUILD_FILE",
    is_path=True,
)
BUILD_NAME = Input(
    name="image",
    description="Name of the image with its registry, without a tag. CI/CD variables in it are expanded.",
    default="$CI_REGISTRY_IMAGE/analysis",
    regex=r"^[A-Za-z0-9$][A-Za-z0-9._/:${}-]*$",
    variable="SEPTUM_BUILD_NAME",
    expand=True,
)
BUILD_TAG = Input(
    name="tag",
    description=(
        "Tag of the image, the commit by default; never the name of a branch. An image that is there already is never "
        "replaced by another one. CI/CD variables in it are expanded."
    ),
    default="$CI_COMMIT_SHA",
    regex=r"^[A-Za-z0-9_$][A-Za-z0-9._${}-]*$",
    variable="SEPTUM_BUILD_TAG",
    expand=True,
)
BUILD_ARGS = Input(
    name="build-args",
    description=(
        "Build arguments, one NAME=value a line. They can be read in the image: never a password. "
        "CI/CD variables in them are not expanded."
    ),
    default="",
    variable="SEPTUM_BUILD_ARGS",
)
BUILDER_IMAGE = Input(
    name="builder-image",
    description="Container image with buildah, for instances that mirror it.",
    default="quay.io/buildah/stable:v1.42.2",
    regex=r"^[A-Za-z0-9$][A-Za-z0-9._/:@${}-]*$",
)
KEEP_OUTPUTS = Input(
    name="keep-outputs",
    description="How long outputs that nobody fetched stay after their pipeline's end, for a retry.",
    default="1 d",
    regex=r"^[0-9]+(\.[0-9]+)? ?[a-z]+$",
    variable="SEPTUM_KEEP_OUTPUTS",
)
ACTION = Input(
    name="action",
    description="Whether to 'remove' what is left, or only to 'show' it.",
    default=REMOVE,
    options=(REMOVE, SHOW),
    variable="SEPTUM_ACTION",
)

"""What each component is: inputs, CI jobs, variables. The headers, tables and environment names come from here.

Pure values; `septum.components.render` turns them into text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import septum
from septum.credentials.choose import NO_BROKER
from septum.patience import DELAYS_MIN, HOLD, HOP_COUNTS, HOPS

OWN_IMAGE = f"gitlab-registry.cern.ch/cms-analysis/general/septum:{septum.__version__}"
"""Where a release puts septum's own image. An instance that mirrors septum names its copy by input."""

STATE = ".septum/$[[ inputs.job-prefix ]]"
"""The folder that carries plan, receipt and ledger from one CI job to the next.

One for each include: without needs, GitLab gives a CI job the artifacts of all earlier stages, other runs' included.
"""

_AUDIENCE = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$"

REPORTS = ".septum-reports/$[[ inputs.job-prefix ]]"
"""The folder of the files that GitLab reads as reports: of the CI job that publishes the result, and of no other."""

HOP_EXPIRY = "2 days"
"""How long GitLab keeps what one hop hands to the next: longer than the longest delay and a night without a runner.

Short, since each hop leaves all outputs that are here so far.
"""

LOCAL = "local"
"""The cluster that is the CI job itself."""

InputType = Literal["string", "number", "boolean", "array"]
Default = str | int | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of a component.

    Attributes:
        name: As the user writes it, kebab-case.
        description: One or two sentences for the catalog, plain text.
        type: GitLab's type of the value.
        default: None makes the input mandatory.
        regex: RE2, without look-around; GitLab refuses a value that does not match. Strings only.
        options: The only allowed values; of strings and numbers.
        variable: The environment variable that carries the value to septum; None if only a keyword uses it.
        expand: Whether GitLab expands CI/CD variables in the value, as it does in the keyword `image`.
        id_token: The variable of GitLab's `id_token` whose audience the value is; None if it is none.
    """

    name: str
    description: str
    type: InputType = "string"
    default: Default | None = None
    regex: str | None = None
    options: tuple[str | int, ...] = ()
    variable: str | None = None
    expand: bool = False
    id_token: str | None = None

    @property
    def reference(self) -> str:
        """The text that GitLab replaces by the value."""
        return f"$[[ inputs.{self.name} ]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class CIJob:
    """One CI job of a component; its full name begins with the input `job-prefix`.

    Attributes:
        name: The name without the prefix.
        description: What it does, one sentence.
        image: Which container it runs in, for people.
        artifacts: What it leaves on the pipeline page, for people.
        count: How many of it there can be; numbered from 1 if not just one.
    """

    name: str
    description: str
    image: str
    artifacts: str
    count: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all of them, without the prefix."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}-{n}" for n in range(1, self.count + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component: what the catalog shows, and what the source in `components/` can use."""

    name: str
    summary: str
    inputs: tuple[Input, ...]
    jobs: tuple[CIJob, ...]

    @property
    def variables(self) -> tuple[Input, ...]:
        """The inputs that travel to septum in the environment."""
        return tuple(item for item in self.inputs if item.variable)

    @property
    def brokers(self) -> tuple[Input, ...]:
        """The inputs that are audiences of GitLab's `id_tokens`."""
        return tuple(item for item in self.inputs if item.id_token)


ANALYSIS = Component(
    name="analysis",
    summary="Runs an analysis as jobs on a cluster and brings back one verified ROOT file.",
    inputs=(
        Input(
            name="cluster",
            description="Where the parts run: the name of a profile, or the path of one in the repository.",
            default=LOCAL,
            regex=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
            variable="SEPTUM_CLUSTER",
        ),
        Input(
            name="image",
            description=(
                "Container image of the analysis. Empty: the image named in the configuration, or none. "
                "CI/CD variables in it are expanded."
            ),
            default="",
            regex=r"^([A-Za-z0-9$][A-Za-z0-9._/:@${}-]*)?$",
            variable="SEPTUM_IMAGE",
            expand=True,
        ),
        Input(
            name="config",
            description="Path of the analysis configuration.",
            default="septum.yaml",
            variable="SEPTUM_CONFIG",
        ),
        Input(
            name="stage",
            description="Stage of the CI jobs; it must be a stage of the pipeline.",
            default="test",
        ),
        Input(
            name="job-prefix",
            description=(
                "Begins the names of the CI jobs and marks the run on the cluster. "
                "Two includes in one pipeline need two prefixes."
            ),
            default="septum-",
            regex=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$",
            variable="SEPTUM_PREFIX",
        ),
        Input(
            name="tags",
            description="Tags of the runners; empty for untagged runners.",
            type="array",
            default=(),
        ),
        Input(
            name="expire-in",
            description="How long GitLab keeps the artifacts.",
            default="1 week",
        ),
        Input(
            name="timeout",
            description="The longest time of one CI job; collect waits for the cluster within it.",
            default="6 hours",
        ),
        Input(
            name="wait",
            description=(
                "How the pipeline waits for the cluster. 'hold': one CI job, which keeps its runner. "
                "'hops': several short ones, one after the other, and no runner between them."
            ),
            default=HOLD,
            options=(HOLD, HOPS),
            variable="SEPTUM_WAIT",
        ),
        Input(
            name="hops",
            description="With 'wait: hops', how many CI jobs look for the outputs, including the last one, collect.",
            type="number",
            default=6,
            options=tuple(HOP_COUNTS),
            variable="SEPTUM_HOPS",
        ),
        Input(
            name="hop-delay",
            description="With 'wait: hops', the longest time between two of them; it begins shorter, and doubles.",
            default="2 hours",
            options=tuple(DELAYS_MIN),
            variable="SEPTUM_HOP_DELAY",
        ),
        Input(
            name="cancel-on-new-commit",
            description=(
                "Whether a newer commit on the branch may cancel the run and remove its jobs, as GitLab's setting "
                "'Auto-cancel redundant pipelines' has it. If not, the run goes on."
            ),
            type="boolean",
            default=False,
        ),
        Input(
            name="result",
            description="Folder of the result, relative to the repository. Two includes in one pipeline need two.",
            default="result",
            regex=r"^[A-Za-z0-9_][A-Za-z0-9._/-]*$",
            variable="SEPTUM_RESULT",
        ),
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
        Input(
            name="septum-image",
            description="Container image of septum itself, for instances that mirror it.",
            default=OWN_IMAGE,
            regex=r"^[A-Za-z0-9$][A-Za-z0-9._/:@${}-]*$",
            variable="SEPTUM_OWN_IMAGE",
            expand=True,
        ),
    ),
    jobs=(
        CIJob(
            name="prepare",
            description="Runs the lines under `prepare:`, makes the plan of all parts.",
            image="the analysis image if one is given, else septum's own",
            artifacts="the state folder `.septum/<job-prefix>/`: plan and inputs",
        ),
        CIJob(
            name="submit",
            description="Obtains credentials and submits the plan; on `local` it only records it.",
            image="septum's own; on `local` that of prepare",
            artifacts="the same folder, with receipt and ledger",
        ),
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
        CIJob(
            name="collect",
            description="Watches, fetches, verifies, merges, compares, reports; on `local` it also runs the parts.",
            image="septum's own; on `local` that of prepare",
            artifacts=(
                "the result folder with report, ledger and receipt, also on failure; "
                "JUnit, metrics and links, unless a hop has them"
            ),
        ),
    ),
)

COMPONENTS: tuple[Component, ...] = (ANALYSIS,)


def component(name: str) -> Component:
    """The component of that name.

    Raises:
        KeyError: There is none.
    """
    return {item.name: item for item in COMPONENTS}[name]

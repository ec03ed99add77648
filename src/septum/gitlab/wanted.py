"""What a project on GitLab should look like, from the profiles of its clusters and the components it includes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from septum.forge import TOKEN

if TYPE_CHECKING:
    from septum.clusters.profile import Profile

EVERYWHERE = "*"
"""The environment scope "All": CI jobs of the components belong to no environment."""
SWEEP, NIGHTLY = "septum sweep", "septum nightly"
_SUB_CLAIM = ("project_path", "ref_type", "ref")
_ASK_GITLAB = frozenset({"sweep", "compare"})
"""Components that ask GitLab, and that a token of the project helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting of the project, by GitLab's name.

    Attributes:
        name: As `PUT /projects/:id` has it.
        value: What it should be.
        also: Other values that are as good.
        least: Whether a larger number is as good.
        why: In a few words.
    """

    name: str
    value: Any
    also: tuple[Any, ...] = ()
    least: bool = False
    why: str = ""

    def is_met(self, found: object) -> bool:
        """Whether what is there will do."""
        if self.least and isinstance(found, int) and not isinstance(found, bool):
            return found >= int(self.value)
        return found == self.value or found in self.also


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A CI/CD variable; its value is not here.

    Attributes:
        key: Its name.
        what: What it holds, for people.
        secret: Whether it is masked and hidden.
        protected: Whether only protected refs get it.
        as_file: Whether it is of type file.
        optional: Whether a run may do without.
        instead: Another one that does as well.
    """

    key: str
    what: str
    secret: bool = True
    protected: bool = True
    as_file: bool = False
    optional: bool = False
    instead: Variable | None = None

    @property
    def flags(self) -> str:
        """How it is stored, for people."""
        words = ["masked and hidden"] * self.secret + ["protected"] * self.protected + ["file"] * self.as_file
        return ", ".join(words) or "not protected: it is public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A pipeline schedule, known by its description.

    Attributes:
        name: The description.
        cron: When.
        exact: Whether another time that somebody chose in GitLab is to be changed back.
        inputs: Inputs of its pipelines.
    """

    name: str
    cron: str
    exact: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All of it.

    Attributes:
        project: GROUP/NAME.
        branch: The branch that is protected; empty for the project's default branch, which in an empty repository is
        start: this one.
        tags: Protected tags.
        settings: In the order in which they are shown.
        variables: In the order in which they are asked for.
        schedules: None need be there.
        catalog: Whether it is a component project, for the CI/CD catalog.
        visibility: Of a new project.
        given: Variables that somebody has a value for.
        replace: Variables whose values are set anew.
    """

    project: str
    branch: str = ""
    start: str = "main"
    tags: tuple[str, ...] = ("v*",)
    settings: tuple[Setting, ...] = ()
    variables: tuple[Variable, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    catalog: bool = False
    visibility: str = "private"
    given: frozenset[str] = frozenset()
    replace: frozenset[str] = frozenset()


def settings_of(
    profiles: Iterable[Profile], *, timeout_s: int, description: str = "", ci_config: str = ""
) -> tuple[Setting, ...]:
    """The settings that every project wants, and those of its clusters.

    Args:
        profiles: The clusters.
        timeout_s: How long a CI job may take.
        description: Of the project; empty to leave it.
        ci_config: The file of the pipeline; empty for GitLab's own name for it.
    """
    usual = (None, "", ".gitlab-ci.yml")
    path = Setting(name="ci_config_path", value=ci_config, why="the file of the pipeline")
    if ci_config in usual:
        path = Setting(name="ci_config_path", value="", also=usual, why="the file of the pipeline")
    brokers = any(uses_id_tokens(profile) for profile in profiles)
    return (
        path,
        Setting(name="build_timeout", value=timeout_s, least=True, why="seconds that a CI job may take"),
        Setting(name="keep_latest_artifact", value=True, why="the reference of comparisons"),
        Setting(name="auto_cancel_pending_pipelines", value="enabled", why="a newer commit ends older pipelines"),
        # Not `restrict_user_defined_variables`: it is deprecated since GitLab 17.7, and setting it sets this one, too.
        Setting(
            name="ci_pipeline_variables_minimum_override_role",
            value="no_one_allowed",
            why="a pipeline's own variables win over inputs and addresses",
        ),
        Setting(
            name="ci_allow_fork_pipelines_to_run_in_parent_project",
            value=False,
            why="code of a fork would meet the credentials",
        ),
        Setting(name="ci_push_repository_for_job_token_allowed", value=False, why="no CI job pushes"),
        *(_sub_claim() for _ in range(brokers)),
        *(Setting(name="description", value=description) for _ in range(bool(description))),
    )


def _sub_claim() -> Setting:
    return Setting(
        name="ci_id_token_sub_claim_components", value=list(_SUB_CLAIM), why="what brokers know this project by"
    )


def uses_id_tokens(profile: Profile) -> bool:
    """Whether a cluster takes GitLab's `id_tokens`."""
    from_broker = profile.proxy != "no" and profile.proxy_from == "broker"
    return profile.credentials == "broker" or from_broker or bool(profile.eos_broker)


def variables_of(profiles: Iterable[Profile], components: Iterable[str]) -> tuple[Variable, ...]:
    """The variables that the clusters and the components need, each once.

    Args:
        profiles: The clusters; what they need is what `septum.credentials` would miss.
        components: Names of the components that the pipeline includes.
    """
    known = list(profiles)
    found = [variable for profile in known for variable in (*_missing(profile, known), *_of_profile(profile))]
    if not _ASK_GITLAB.isdisjoint(components):
        what = "a project access token with the scope read_api and the role Reporter"
        found.append(Variable(key=TOKEN, what=what, optional=True))
    by_key: dict[str, Variable] = {}
    for variable in found:
        there = by_key.get(variable.key)
        # What one cluster needs is needed.
        if there is None or (there.optional and not variable.optional):
            by_key[variable.key] = variable
    return tuple(by_key.values())


def _missing(profile: Profile, profiles: Iterable[Profile]) -> Iterator[Variable]:
    """What nobody knows but the site, and a run asks for: keys that are empty in the profile."""
    from septum.clusters.profile import keys, missing_keys, variable_of
    from septum.credentials.choose import uses_secrets

    names = keys()
    for key in missing_keys(profile):
        field = type(profile).model_fields[names[key]]
        what = f"{key} of {profile.name}: {(field.description or '').split('. ')[0].rstrip('.')}"
        others = [one.name for one in profiles if one.method == profile.method and one.name != profile.name]
        if others:
            what += f"; it counts for {', '.join(others)} as well: better give each a profile of its own in clusters/"
        # Without credentials, CI jobs of branches that are not protected run there as well.
        yield Variable(key=variable_of(key), what=what, secret=False, protected=uses_secrets(profile))


def _of_profile(profile: Profile) -> Iterator[Variable]:
    from septum.credentials.choose import needed_variables

    made_by_gitlab = {profile.id_token_variable, profile.proxy_id_token_variable, profile.eos_id_token_variable}
    plain = {profile.client_id_variable, profile.principal_variable}
    for key, what in needed_variables(profile, {}):
        if key in made_by_gitlab:
            continue
        instead = None
        if key == profile.keytab_variable:
            instead = Variable(key=profile.password_variable, what="the password of the Kerberos principal")
        yield Variable(key=key, what=what, secret=key not in plain, instead=instead)
    if profile.proxy == "optional" and profile.proxy_from == "variable":
        for key in profile.proxy_variable.split():
            yield Variable(key=key, what="the X.509 proxy, for jobs that read from the grid", optional=True)
    if profile.ca_variable:
        what = "the CA certificates of the site's hosts"
        yield Variable(key=profile.ca_variable, what=what, secret=False, protected=False, as_file=True)


def schedules_of(
    components: Sequence[str], *, sweep: str, nightly: str, inputs: Mapping[str, Mapping[str, Any]]
) -> tuple[Schedule, ...]:
    """The schedules: that of `sweep` where the component is included, that of every night where it is asked for.

    Args:
        components: Names of the components that the pipeline includes.
        sweep: When, if somebody said so.
        nightly: When; empty for none.
        inputs: Inputs of the pipelines of `sweep` and `nightly`.
    """
    found = []
    if sweep or "sweep" in components:
        found.append(
            Schedule(name=SWEEP, cron=sweep or "43 4 * * *", exact=bool(sweep), inputs=inputs.get("sweep", {}))
        )
    if nightly:
        found.append(Schedule(name=NIGHTLY, cron=nightly, exact=True, inputs=inputs.get("nightly", {})))
    return tuple(found)

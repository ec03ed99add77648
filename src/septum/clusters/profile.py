"""The values of a cluster profile. Declares every key once: the JSON schema and the reference page come from here.

It reads no file: `septum.clusters.catalog` finds a profile, and knows where each value comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from septum.clusters.area import AreaUrl, ReadUrl
from septum.clusters.consistent import problem_of
from septum.clusters.forms import Line, Url, Variable, classad_expression, form, job_attributes
from septum.validation import Duration, Model, Size

if TYPE_CHECKING:
    from collections.abc import Mapping


def _text(value: str) -> Any:
    """A default as it stands in YAML, for a field of another type."""
    return value


FLAVOURS = ("espresso", "microcentury", "longlunch", "workday", "tomorrow", "testmatch", "nextweek")
"""CERN's names for how long a job may run, which REANA hands on to its HTCondor."""


class Profile(Model):
    """One cluster: where jobs run, how septum gets in, and what the site asks of a job."""

    # Defaults are written as in YAML, so that the schema and the reference show them as a user writes them.
    model_config = ConfigDict(validate_default=True)

    name: Annotated[
        Line, AfterValidator(form(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "letters, digits, '.', '_' or '-'"))
    ] = Field(min_length=1, description="The profile's name; by default the file's.")
    title: Line = Field(default="", description="The site in a few words.")
    method: Literal["htcondor", "local", "reana"] = Field(
        description="`htcondor` submits to a schedd; `reana` runs the parts as the steps of workflows on a REANA "
        "server; `local` runs them as processes of this machine."
    )
    usable: bool = Field(default=True, description="Whether this version of septum can use the cluster.")
    unusable_because: Line = Field(default="", description="Why not, if it cannot.")
    verified: Annotated[
        Line, AfterValidator(form(r"never|\d{4}-\d{2}-\d{2}", "a date such as 2026-11-22 or never"))
    ] = Field(default="never", description="The day it was last verified against the real site, or `never`.")

    collector: Annotated[
        Line, AfterValidator(form(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):\d{1,5}(?:\?sock=[\w-]+)?", "host:port"))
    ] = Field(default="", description="`host:port` of the collector.")
    schedd: Annotated[Line, AfterValidator(form(r"[A-Za-z0-9._@-]+", "a name such as schedd.example.org"))] = Field(
        default="",
        description="The schedd's name as the collector lists it. Always named: septum never takes just any schedd.",
    )
    authentication: Literal["scitokens", "kerberos", "none"] = Field(
        default="none", description="How HTCondor knows who submits: by a token, by a Kerberos ticket, or not at all."
    )
    ca_file: Line = Field(
        default="",
        description="Path of the CA certificates that the site's hosts are checked with, beside the system's.",
    )
    ca_variable: Variable = Field(
        default="", description="Name of a CI variable, of type file or with the PEM text, that holds the same."
    )

    reana_server: Url = Field(
        default="", description="`reana` only: the address of the server, without `/api`. Its certificate must be good."
    )
    reana_token_in: Literal["query", "header"] = Field(
        default="query",
        description="Where the server reads the token: `query` is the parameter `access_token` of its published API; "
        "`header` is `Authorization: Bearer`, which servers with OIDC take.",
    )
    reana_compute_backend: Literal["kubernetes", "htcondorcern", "slurmcern"] = Field(
        default="kubernetes", description="Which of the server's compute backends runs the parts."
    )
    reana_kerberos: bool = Field(
        default=False,
        description="Whether the parts get a Kerberos ticket, made from the keytab among the account's "
        "secrets in REANA.",
    )
    reana_cvmfs: list[
        Annotated[Line, AfterValidator(form(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", "a repository such as cms.cern.ch"))]
    ] = Field(default_factory=list, description="Repositories of CVMFS that the parts find below `/cvmfs`.")
    reana_workspace: Literal["delete", "keep"] = Field(
        default="delete",
        description="What becomes of a workflow and its workspace when the outputs are fetched: they count for the "
        "account's quota of disk.",
    )
    reana_htcondor_max_runtime: Annotated[
        Line, AfterValidator(form(rf"[1-9]\d*|{'|'.join(FLAVOURS)}", f"seconds, or one of {', '.join(FLAVOURS)}"))
    ] = Field(
        default="",
        description="`htcondorcern` only: what a job may run there; if empty, what `resources: time` says.",
    )
    reana_slurm_partition: Annotated[Line, AfterValidator(form(r"[A-Za-z0-9_.-]+", "the name of a partition"))] = Field(
        default="", description="`slurmcern` only: the partition; the server's own if empty."
    )

    credentials: Literal["iam-client", "broker", "bearer-token", "access-token", "none"] = Field(
        default="none",
        description="Where the token comes from: `iam-client` asks an IAM as one of its clients; `broker` gives "
        "GitLab's `id_tokens` for it; `bearer-token` takes what is there, in WLCG's order; `access-token` is one that "
        "REANA has made, in a CI variable.",
    )
    access_token_variable: Variable = Field(
        default="REANA_ACCESS_TOKEN",
        description="Name of the CI variable with that access token. Nothing in it says when it ends.",
    )
    issuer: Url = Field(
        default="", description="The token issuer, exactly as in its tokens: a slash at the end counts."
    )
    audience: Annotated[Line, AfterValidator(form(r"\S+", "one audience without spaces"))] = Field(
        default="",
        description="Whom the token is for. Always asked for: without, an issuer makes a token for every service.",
    )
    scope: list[Annotated[Line, AfterValidator(form(r"\S+", "one scope without spaces"))]] = Field(
        default_factory=list, description="What the token shall allow. Always asked for: without, it allows everything."
    )
    storage_audience: Annotated[Line, AfterValidator(form(r"\S+", "one audience without spaces"))] = Field(
        default="",
        description="Whom a second token is for, which the commands of `septum credentials run` read and write storage "
        "with. None is asked for if this is empty.",
    )
    storage_scope: list[Annotated[Line, AfterValidator(form(r"\S+", "one scope without spaces"))]] = Field(
        default_factory=list, description="What that token shall allow, such as `storage.read:/store`."
    )
    client_auth: Literal["basic", "post", "private-key-jwt"] = Field(
        default="basic",
        description="How the IAM client proves who it is. The issuer takes the one method that it has registered.",
    )
    client_id_variable: Variable = Field(
        default="IAM_CLIENT_ID", description="Name of the CI variable with the client's id."
    )
    client_secret_variable: Variable = Field(
        default="IAM_CLIENT_SECRET",
        description="Name of the CI variable with the client's secret; with `private-key-jwt` its private key, as JWK "
        "or PEM.",
    )
    token_broker: Url = Field(default="", description="The address of the broker that gives the token.")
    token_broker_kind: Literal["exchange", "bearer", "cat"] = Field(
        default="exchange",
        description="How it is asked: OAuth 2 token exchange; GET with `Bearer`; GET with the bare `id_token`.",
    )
    id_token_variable: Variable = Field(
        default="SEPTUM_ID_TOKEN", description="Name of the variable with GitLab's `id_token` for that broker."
    )

    proxy: Literal["no", "optional", "required"] = Field(
        default="no", description="Whether jobs get an X.509 proxy: never, if there is one, or always."
    )
    proxy_from: Literal["variable", "broker", "file"] = Field(
        default="variable",
        description="Where the proxy comes from: CI variables, a broker that takes GitLab's `id_tokens`, or the file "
        "that `X509_USER_PROXY` names.",
    )
    proxy_variable: Annotated[
        Line, AfterValidator(form(r"[A-Za-z_]\w*(?: [A-Za-z_]\w*)*", "names of variables, with spaces between"))
    ] = Field(
        default="X509_PROXY",
        description="Name of the CI variable with the proxy: base64, PEM, or of type file. Of several, with spaces "
        "between, the values are joined.",
    )
    proxy_broker: Url = Field(default="", description="The address of the broker that gives the proxy.")
    proxy_broker_kind: Literal["cat", "bearer"] = Field(
        default="cat", description="How it is asked: GET with the bare `id_token` as CAT's, or with `Bearer`."
    )
    proxy_id_token_variable: Variable = Field(
        default="SEPTUM_PROXY_ID_TOKEN", description="Name of the variable with GitLab's `id_token` for that broker."
    )

    eos_broker: Url = Field(
        default="", description="The address of CAT's service for data sets, which gives tokens of EOS; none if empty."
    )
    eos_path: Line = Field(default="", description="The path on EOS that its token is for.")
    eos_id_token_variable: Variable = Field(
        default="SEPTUM_EOS_ID_TOKEN", description="Name of the variable with GitLab's `id_token` for that service."
    )

    principal_variable: Variable = Field(
        default="KRB5_PRINCIPAL", description="Name of the CI variable with the Kerberos principal, `name@REALM`."
    )
    keytab_variable: Variable = Field(
        default="KRB5_KEYTAB", description="Name of the CI variable with its keytab in base64, or of type file."
    )
    password_variable: Variable = Field(
        default="KRB5_PASSWORD", description="Name of the CI variable with its password, where there is no keytab."
    )
    send_credential: bool = Field(
        default=False, description="Whether the site gives the jobs a Kerberos ticket (`MY.SendCredential`)."
    )
    credential_producer: Line = Field(
        default="",
        description="The site's program that writes what `MY.SendCredential` sends, such as "
        "`/usr/bin/batch_krb5_credential`; empty for the ticket itself.",
    )
    job_tokens: list[Annotated[Line, AfterValidator(form(r"[A-Za-z]\w*", "the name of a service"))]] = Field(
        default_factory=list,
        description="Services whose tokens the access point gives to the jobs and renews (`use_oauth_services`).",
    )

    expect_subject: Line = Field(default="", description="The subject that the token must have; any if empty.")
    expect_account: Annotated[Line, AfterValidator(form(r"[^\s@]+(?:@[^\s@]+)?", "an account"))] = Field(
        default="", description="The account that the schedd must take us for, with or without `@domain`; any if empty."
    )
    expect_vo: Annotated[Line, AfterValidator(form(r"[A-Za-z0-9][A-Za-z0-9.-]*", "the name of a VO"))] = Field(
        default="", description="The VO whose attributes the proxy must carry; any, or none, if empty."
    )
    expect_fqan: Annotated[Line, AfterValidator(form(r"/\S+", "a group or role, /cms/Role=production"))] = Field(
        default="", description="A group or role that the proxy must carry; any if empty."
    )
    queue_time: Duration = Field(
        default=_text("1 h"),
        description="How long a job may wait before it starts: with its run time, what a proxy must live for.",
    )

    image_method: Literal["none", "singularity-image", "container-image"] = Field(
        default="none",
        description="How a job asks for its image: the attribute `SingularityImage`, or `container_image`.",
    )
    image_form: Literal["unpacked", "docker", "sif"] = Field(
        default="unpacked",
        description="What an image of a registry is on the workers: `unpacked` is the folder `REGISTRY/NAME:TAG` below "
        "`image-prefix`, as on CVMFS; `docker` is `docker://…`, which each worker pulls; `sif` is the file "
        "`NAME_TAG.sif` below `image-prefix`. A path or a URL stays as it is.",
    )
    image_prefix: Annotated[Line, AfterValidator(form(r"/[A-Za-z0-9._@+:=~/-]*", "an absolute path"))] = Field(
        default="/cvmfs/unpacked.cern.ch/", description="The folder that `image-form` speaks of."
    )
    image_digest: Literal["if-known", "required"] = Field(
        default="if-known",
        description="Whether a run whose image nobody knows by its digest may be submitted: its registry is asked at "
        "submission, and every part is held to the answer.",
    )
    attributes: Annotated[dict[Line, Line], AfterValidator(job_attributes)] = Field(
        default_factory=dict,
        description="Job attributes that the site wants: a name without `+`, and a ClassAd literal (a text in quotes).",
    )
    requirements: Annotated[Line, AfterValidator(classad_expression)] = Field(
        default="", description="A ClassAd expression that a slot must fulfil."
    )

    max_jobs_per_submission: int = Field(
        default=20_000, ge=1, description="Most jobs in one submission (one ClusterId)."
    )
    max_jobs_per_owner: int = Field(
        default=100_000,
        ge=1,
        description="Most jobs of one owner in the queue, with those that ended and whose outputs wait there. A run of "
        "more parts goes in waves.",
    )
    max_bytes_per_submission: Size = Field(
        default=_text("1 TB"), description="Most bytes of files that one submission sends, all its jobs together."
    )
    shared_area: AreaUrl = Field(
        default="",
        description="A folder of a storage, `https://HOST/FOLDER` or `root://HOST//FOLDER`: what all parts share goes "
        "there once, and the jobs fetch it by HTCondor's file transfer plugins. If empty, each job gets a copy through "
        "the schedd.",
    )
    shared_read: ReadUrl = Field(
        default="",
        description="The address by which jobs read that folder, if it is another: `SERVICE+https://HOST/FOLDER` with "
        "the token of one of `job-tokens`, `osdf:///FOLDER`, `root://HOST//FOLDER`.",
    )
    shared_above: Size = Field(
        default=_text("100 kB"), description="What is not larger than this is sent with each job all the same."
    )
    spool_batch: int = Field(
        default=50,
        ge=1,
        description="Jobs whose files are sent in one call; if it breaks, the schedd drops those jobs.",
    )
    poll_floor: Duration = Field(default=_text("15 s"), description="Shortest time between two looks at the queue.")
    poll_ceiling: Duration = Field(default=_text("2 min"), description="Longest time between two looks at the queue.")
    refresh: Duration = Field(
        default=_text("5 min"), description="Time after which every job is read again, even if no count changed."
    )
    lease: Duration = Field(
        default=_text("2 h"),
        description="Time after which jobs remove themselves when septum no longer speaks for them.",
    )
    keep_outputs: Duration = Field(
        default=_text("3 d"), description="How long the schedd keeps the outputs of a finished job."
    )
    update_interval: Duration = Field(
        default=_text("15 min"),
        description="The site's SHADOW_QUEUE_UPDATE_INTERVAL: how late a running job sees a new lease.",
    )
    call_deadline: Duration = Field(default=_text("5 min"), description="How long one call to the schedd may take.")
    hold_patience: Duration = Field(
        default=_text("30 min"), description="How long a held job that may be released is waited for."
    )
    idle_patience: Duration = Field(
        default=_text("2 d"), description="How long a job may wait for a slot before its part is given up."
    )
    slots: int = Field(default=0, ge=0, description="`local` only: parts that run at the same time; 0 is one per core.")
    default_memory: Size = Field(default=_text("2 GB"), description="Memory of a job that names none.")
    default_disk: Size = Field(default=_text("2 GB"), description="Disk of a job that names none.")
    default_time: Duration = Field(default=_text("3 h"), description="Run time of a job that names none.")
    default_cpus: int = Field(default=1, ge=1, description="Cores of a job that names none.")

    @property
    def access_point(self) -> str:
        """Who takes the jobs: the schedd's name, or host and port of the REANA server; empty for this machine."""
        return urlsplit(self.reana_server).netloc if self.method == "reana" else self.schedd

    @property
    def parts_per_submission(self) -> int:
        """How many jobs one submission makes at most; a schedd drops the whole batch whose files did not arrive."""
        htcondor = self.method == "htcondor"
        return min(self.max_jobs_per_submission, self.spool_batch) if htcondor else self.max_jobs_per_submission

    @property
    def starts_images(self) -> bool:
        """Whether the parts run in the image of the plan, by whatever means."""
        return self.method == "reana" or (self.method == "htcondor" and self.image_method != "none")

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        if problem := problem_of(self):
            raise ValueError(problem)
        return self


DURATIONS = frozenset(
    {"poll_floor", "poll_ceiling", "refresh", "lease", "keep_outputs", "update_interval", "call_deadline"}
    | {"hold_patience", "idle_patience", "default_time", "queue_time"}
)
"""Names of the fields that are seconds."""

SIZES = frozenset({"default_memory", "default_disk", "max_bytes_per_submission", "shared_above"})
"""Names of the fields that are bytes."""

IDENTITY = frozenset({"name", "title", "usable", "unusable-because", "verified"})
"""Keys that say what a profile is; a variable or `--set` cannot change them."""

VARIABLE_PREFIX = "SEPTUM_CLUSTER_"


def variable_of(key: str) -> str:
    """The variable that overrides a key: `poll-floor` is `SEPTUM_CLUSTER_POLL_FLOOR`."""
    return VARIABLE_PREFIX + key.upper().replace("-", "_")


def keys() -> dict[str, str]:
    """All keys of a profile.

    Returns:
        The kebab-case key and the Python name, in the order of the model.
    """
    return {field.alias or name: name for name, field in Profile.model_fields.items()}


def missing_keys(profile: Profile) -> list[str]:
    """The keys without which the cluster cannot be used, and that are empty.

    Returns:
        Kebab-case keys in the order of the model.
    """
    needed = set()
    if profile.method == "htcondor":
        needed |= {"collector", "schedd"}
    if profile.method == "reana":
        needed |= {"reana-server"}
    if profile.credentials == "access-token":
        needed |= {"access-token-variable"}
    if profile.credentials == "iam-client":
        needed |= {"issuer", "audience", "scope", "client-id-variable", "client-secret-variable"}
    if profile.credentials == "broker":
        needed |= {"token-broker", "audience", "id-token-variable"}
        needed |= {"scope"} if profile.method == "htcondor" else set()
    if profile.storage_audience:
        needed |= {"storage-scope"}
    if profile.proxy != "no":
        needed |= {"variable": {"proxy-variable"}, "broker": {"proxy-broker", "proxy-id-token-variable"}}.get(
            profile.proxy_from, set()
        )
    if profile.eos_broker:
        needed |= {"eos-path", "eos-id-token-variable"}
    if profile.authentication == "kerberos":
        needed |= {"principal-variable"}
    return [key for key, name in keys().items() if key in needed and not getattr(profile, name)]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from.

    Args:
        kind: `default`, `shipped`, `file`, `variable` or `set`.
        detail: For people: the file and its line, the source and its date, or the variable.
    """

    kind: Literal["default", "shipped", "file", "variable", "set"]
    detail: str


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A profile, and the origin of each of its values.

    Args:
        profile: The values.
        origins: Kebab-case key to origin, for every key.
        missing: Keys that the cluster needs and that nobody has given.
    """

    profile: Profile
    origins: Mapping[str, Origin]
    missing: tuple[str, ...] = ()

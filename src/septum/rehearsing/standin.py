"""The pool of a rehearsal in the place of the clusters that a pipeline names: the variables that say so. Pure.

Nothing of a cluster's profile is lost but where it is, how one gets in, and what only its site has: its limits, its
attributes and its defaults are rehearsed, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from septum.clusters.profile import Profile, keys, variable_of
from septum.errors import ClusterUnusableError, UsageError

SCHEDD = "rehearsal@localhost"
"""What reports and manifests call the pool."""
CLIENT = "rehearsal"
"""The client of the issuer."""
CA_VARIABLE = "SEPTUM_CA"
PROXY_VARIABLE = "X509_PROXY"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """What a client has to know of the pool; the addresses of its collector and issuer, and so on."""

    collector: str
    issuer: str
    audience: str
    ca_file: str
    account: str
    scopes: tuple[str, ...]


def check(profile: Profile) -> None:
    """Look whether a cluster can be rehearsed.

    Raises:
        ClusterUnusableError: It is marked as one that nobody can use yet: its CI jobs would end with that.
        UsageError: It needs what a rehearsal has not.
    """
    if not profile.usable:
        raise ClusterUnusableError(
            f"rehearse: the cluster {profile.name!r} cannot be used: {profile.unusable_because}",
            fix="fill its profile in, and take 'usable' away; or, if the pipeline has the choice:\n"
            "septum rehearse --cluster local",
        )
    if profile.eos_broker:
        raise UsageError(
            f"rehearse: cluster {profile.name} takes tokens of EOS, and a rehearsal has no service that gives them",
            evidence=f"eos-broker: {profile.eos_broker}",
            fix="choose another cluster, such as: septum rehearse --cluster local",
        )


def storage_scopes(profiles: Sequence[Profile]) -> tuple[str, ...]:
    """What the tokens for storage of these clusters allow; the client must have been given it."""
    return tuple(dict.fromkeys(scope for profile in profiles for scope in profile.storage_scope))


def stand_in(profiles: Sequence[Profile], pool: PoolFacts) -> dict[str, str]:
    """The variables that put the pool in the place of clusters.

    Args:
        profiles: Those of the clusters, at least one.
        pool: The pool.

    Returns:
        Only those variables that change something: the others would show up in every look at a profile.
    """
    wanted = {
        "method": "htcondor",
        "collector": pool.collector,
        "schedd": SCHEDD,
        "authentication": "scitokens",
        "ca-file": pool.ca_file,
        "ca-variable": CA_VARIABLE,
        "credentials": "iam-client",
        "issuer": pool.issuer,
        "audience": pool.audience,
        "scope": " ".join(pool.scopes),
        "client-auth": "basic",
        "client-id-variable": "IAM_CLIENT_ID",
        "client-secret-variable": "IAM_CLIENT_SECRET",
        "proxy-from": "variable",
        "proxy-variable": PROXY_VARIABLE,
        # An empty variable counts as none, a blank one is an empty list.
        "job-tokens": " ",
        "send-credential": "false",
        "image-method": "none",
        "image-digest": "if-known",
        "requirements": "true",
        "poll-floor": "1 s",
        "poll-ceiling": "2 s",
        "update-interval": "5 s",
    }
    if any(profile.expect_subject for profile in profiles):
        wanted["expect-subject"] = CLIENT
    if any(profile.expect_account for profile in profiles):
        wanted["expect-account"] = pool.account
    return {variable_of(key): text for key, text in wanted.items() if _differs(profiles, key, text)}


def _differs(profiles: Sequence[Profile], key: str, text: str) -> bool:
    """Whether any of the profiles has another value, as far as that shows in its text."""
    name = keys()[key]
    plain = {_text(getattr(profile, name)) for profile in profiles}
    return plain != {text.strip()} and not (key in {"requirements", "job-tokens"} and plain == {""})


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def vo_of(profiles: Sequence[Profile]) -> tuple[str, tuple[str, ...]]:
    """The VO and the groups that a proxy for these clusters must carry: those that they expect, else those of CMS."""
    vo = next((profile.expect_vo for profile in profiles if profile.expect_vo), "cms")
    fqans = [profile.expect_fqan for profile in profiles if profile.expect_fqan]
    return vo, tuple(dict.fromkeys([*fqans, f"/{vo}/Role=NULL/Capability=NULL"]))

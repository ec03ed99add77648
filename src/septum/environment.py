"""The environment of what septum starts: of a user's own code, and of a command under supervision. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from septum.credentials.provider import Kind

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(^|_)(KEY|JWT|AUTH|PASS|PWD)(_|$)|PRIVATE|X509_PROXY"
    r"|^(voms_?|grid_?)?proxy$|SSHPASS|NETRC|KUBECONFIG",
    re.IGNORECASE,
)
_HARMLESS = frozenset({"BEARER_TOKEN_FILE", "X509_USER_PROXY", "X509_CERT_DIR", "X509_VOMS_DIR", "KRB5CCNAME"})
"""Paths that tools need; the files are readable by their owner alone."""
_FOLDERS = frozenset({"PWD", "OLDPWD"})
_OTHERS = frozenset({"X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY", "BEARER_TOKEN", "BEARER_TOKEN_FILE"}) | {
    "XrdSecPROTOCOL",
    "XrdSecsssENDORSEMENT",
}
"""What would stand beside the files of the supervisor, and that nobody renews. With two credentials, clients try one
after the other, and a bad proxy even spoils TLS for a good token."""
_NEEDED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|TMPDIR|LANG|LC_\w+|TZ|(https?|ftp|all|no)_proxy", re.IGNORECASE
)
"""What a command cannot do without; a short password may stand in a path by chance."""
_GITLAB = re.compile(r"(_|^)ID_TOKEN$|^CI_JOB_(TOKEN|JWT.*)$|^CI_(REGISTRY|DEPENDENCY_PROXY|DEPLOY)_PASSWORD$")
_PASSWORD_IN_URL = re.compile(r"://[^/@\s:]*:[^/@\s]+@")  # as GitLab's CI_REPOSITORY_URL has it


def for_user_code(environ: Mapping[str, str], *, secrets: Collection[str]) -> dict[str, str]:
    """Leave out what a user's own code has no need of.

    Args:
        environ: The whole environment.
        secrets: Names of variables that hold credentials of the cluster.

    Returns:
        The rest. What GitLab hands to a CI job under harmless names stays; the documentation says so.
    """
    # A supervisor names one file for both where there is no token for storage; with it, anybody could submit.
    submits = {environ.get("_CONDOR_SCITOKENS_FILE", "")} - {""}
    if folder := environ.get("SEPTUM_CREDENTIALS"):
        submits.add(f"FILE:{folder}/{Kind.TICKET.value}")
    return {
        name: value
        for name, value in environ.items()
        if value not in submits
        and (
            name in _HARMLESS
            or name in _FOLDERS
            or not (
                name in secrets
                or name.startswith(("SEPTUM_", "GITLAB_"))
                or _SECRET_NAME.search(name)
                or _PASSWORD_IN_URL.search(value)
            )
        )
    }


def _names_a_secret(name: str) -> bool:
    # Of septum's own, `SEPTUM_CLUSTER_CLIENT_SECRET_VARIABLE` and its like hold names.
    harmless = name in _HARMLESS or name.startswith("SEPTUM_CLUSTER_")
    return bool(_GITLAB.search(name) or (_SECRET_NAME.search(name) and not harmless))


def for_supervised(
    environ: Mapping[str, str],
    *,
    secrets: Collection[str],
    given: Mapping[str, str],
    is_secret: Callable[[str], bool],
    keep: Collection[str] = (),
) -> dict[str, str]:
    """The environment of a command under supervision: paths of credentials, and no credential.

    Args:
        environ: The whole environment.
        secrets: Names of variables that hold credentials of the cluster.
        given: The variables with the paths.
        is_secret: Whether a value is, or holds, a credential; so that a copy under another name goes, too.
        keep: Names that stay all the same; not the cluster's secrets, nor `BEARER_TOKEN`, a value that wins over files.

    Returns:
        The rest.
    """
    never = {*secrets, "BEARER_TOKEN"}
    kept = {
        name: value
        for name, value in environ.items()
        if name not in never
        and (
            name in keep
            or _NEEDED.fullmatch(name)
            or not (name in _OTHERS or _names_a_secret(name) or is_secret(value))
        )
    }
    return {**kept, **given}

"""The environment that a user's own code gets: everything but what could be a secret, or septum's own. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(^|_)(KEY|JWT|AUTH)(_|$)|PRIVATE|X509_PROXY|^(voms_?|grid_?)?proxy$",
    re.IGNORECASE,
)
_HARMLESS = frozenset({"BEARER_TOKEN_FILE", "X509_USER_PROXY", "X509_CERT_DIR", "X509_VOMS_DIR", "KRB5CCNAME"})
"""Paths that tools need; the files are readable by their owner alone."""
_PASSWORD_IN_URL = re.compile(r"://[^/@\s:]*:[^/@\s]+@")  # as GitLab's CI_REPOSITORY_URL has it


def for_user_code(environ: Mapping[str, str], *, secrets: Collection[str]) -> dict[str, str]:
    """Leave out what a user's own code has no need of.

    Args:
        environ: The whole environment.
        secrets: Names of variables that hold credentials of the cluster.

    Returns:
        The rest. What GitLab hands to a CI job under harmless names stays; the documentation says so.
    """
    return {
        name: value
        for name, value in environ.items()
        if name in _HARMLESS
        or not (
            name in secrets
            or name.startswith(("SEPTUM_", "GITLAB_"))
            or _SECRET_NAME.search(name)
            or _PASSWORD_IN_URL.search(value)
        )
    }

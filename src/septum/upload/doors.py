"""With which credential storage is entered: one at a time, the token first, and the next where it opens nothing.

With two at once, XRootD's client tries one after the other and tells of the last failure only; and a bad proxy even
spoils TLS for a good token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from septum.credentials import Credentials

NOTHING = "no credential"
# What programs need to start, whom to trust, and what people tune XRootD's client with.
_KEPT = frozenset({"PATH", "HOME", "LANG", "X509_CERT_DIR", "LD_LIBRARY_PATH", "KRB5_CONFIG", "REQUESTS_CA_BUNDLE"})
_TUNING, _LOGGING = "XRD_", frozenset({"XRD_LOGLEVEL", "XRD_LOGFILE", "XRD_LOGMASK"})
# The client waits for minutes by default, and half an hour for a server that has gone.
_PATIENCE = {
    "XRD_CONNECTIONWINDOW": "20",
    "XRD_CONNECTIONRETRY": "2",
    "XRD_REQUESTTIMEOUT": "120",
    "XRD_STREAMTIMEOUT": "60",
    "XRD_STREAMERRORWINDOW": "30",
}
_WAYS = (
    ("the token", "BEARER_TOKEN_FILE", "ztn"),
    ("the proxy", "X509_USER_PROXY", "gsi"),
    ("the Kerberos ticket", "KRB5CCNAME", "krb5"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One credential, and the environment of a client that has this one alone."""

    name: str
    environ: Mapping[str, str]

    @property
    def bare(self) -> Way:
        """The same environment without the credential."""
        hidden = {"XrdSecPROTOCOL", *(variable for _, variable, _ in _WAYS)}
        return Way(name=NOTHING, environ={key: value for key, value in self.environ.items() if key not in hidden})

    @property
    def token_file(self) -> str:
        """The file of the token, if it is one."""
        return self.environ.get("BEARER_TOKEN_FILE", "")

    @property
    def proxy_file(self) -> str:
        """The file of the proxy, if it is one."""
        return self.environ.get("X509_USER_PROXY", "")


def ways(environ: Mapping[str, str], credentials: Credentials) -> list[Way]:
    """The credentials to enter storage with, in the order in which they are tried.

    Args:
        environ: The environment; what it names is taken where the profile gives nothing.
        credentials: Those of the run.

    Returns:
        At least one: without a credential, the way of whoever comes with none.
    """
    base = {**_PATIENCE, **{name: value for name, value in environ.items() if _is_kept(name)}}
    given = {**environ, **credentials.environment()}
    return [
        Way(name=name, environ={**base, variable: given[variable], "XrdSecPROTOCOL": protocol})
        for name, variable, protocol in _WAYS
        if given.get(variable)
    ] or [Way(name=NOTHING, environ=base)]


def _is_kept(name: str) -> bool:
    return name in _KEPT or (name.startswith(_TUNING) and name not in _LOGGING)

"""GitLab's API for those who ask it: which token, a client with deadlines, and what a failed question means.

What a failure means for the one who asked is for the caller to say: see `Trouble`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

from septum.credentials.secret import Secret
from septum.credentials.variables import read_variable

T = TypeVar("T")

TOKEN = "SEPTUM_GITLAB_TOKEN"  # noqa: S105 - the name of a variable
JOB_TOKEN = "CI_JOB_TOKEN"  # noqa: S105
_TIMEOUT_S = 60.0
_LONGEST_WAIT_S = 60
"""A server that wants us to stay away for longer is not waited for."""
_FORBIDDEN = frozenset({401, 403})
_ABSENT = frozenset({404, 410})
_TOO_MANY, _SERVER_ERROR = 429, 500


class Trouble(str, Enum):
    """Why a question had no answer."""

    ABSENT = "absent"
    """There is no such thing, or the token may not know that there is: GitLab has one answer for both."""
    FORBIDDEN = "forbidden"
    """The token is not accepted, or may not ask this."""
    UNAVAILABLE = "unavailable"
    """GitLab does not answer, or says that it cannot."""
    UNTRUSTED = "untrusted"
    """Its certificate was not accepted."""
    MISUNDERSTOOD = "misunderstood"
    """It is no GitLab, or not one that knows this question."""


class ForgeError(Exception):
    """A question had no answer; the text is the evidence, on one line."""

    def __init__(self, trouble: Trouble, evidence: str) -> None:
        super().__init__(evidence)
        self.trouble, self.evidence = trouble, evidence


def token_of(environ: Mapping[str, str]) -> tuple[Secret, bool]:
    """The token for GitLab: the one that was set for septum, else that of the CI job.

    Returns:
        The token, empty if there is none, and whether it is the one that was set for septum.

    Raises:
        CredentialMissingError: A variable of type file names one that cannot be read.
    """
    better = read_variable(environ, TOKEN)
    return better or read_variable(environ, JOB_TOKEN), bool(better)


def open_client(url: str, token: Secret, *, better: bool, ca_file: str = "", only_here: bool = False) -> Any:
    """A client of python-gitlab, to be closed.

    Args:
        url: GitLab's address.
        token: As `token_of` gave it, and
        better: whether it is more than a job token.
        ca_file: Authorities that are trusted beside the system's.
        only_here: Whether nothing but what is below `url` is spoken to, whatever an answer says.
    """
    import gitlab

    from septum.compare.transfer import session

    made = session(ca_file)
    made.hooks["response"].append(_refuse_long_waits)
    if only_here:
        _keep_here(made, url)
    return gitlab.Gitlab(
        url,
        private_token=token.reveal() if better else None,
        job_token=None if better else token.reveal(),
        timeout=_TIMEOUT_S,
        retry_transient_errors=True,
        # Pages of a list are asked from the host that we know, whatever the answer calls it.
        keep_base_url=True,
        session=made,
    )


def _keep_here(session: Any, url: str) -> None:
    """Leave a session the way to one address and below: a redirect or a next page elsewhere ends in an error.

    Beside a GitLab below a path there may be other services of its host.
    """
    adapter = session.get_adapter(url)
    session.adapters.clear()
    session.mount(url.rstrip("/") + "/", adapter)


def _refuse_long_waits(response: Any, *_: object, **__: object) -> None:
    """End a question that python-gitlab would sleep over, for as long as the answer says.

    Raises:
        ForgeError: GitLab has had too many requests, and wants none for a while.
    """
    after = response.headers.get("Retry-After", "")
    if response.status_code == _TOO_MANY and after.isascii() and after.isdecimal() and int(after) > _LONGEST_WAIT_S:
        response.close()
        wait = f"{min(int(after), 10**6) / 60:.0f} min"
        raise ForgeError(Trouble.UNAVAILABLE, f"HTTP {_TOO_MANY}: too many requests; it wants none for {wait}")


def asked(ask: Callable[[], T]) -> T:
    """Ask GitLab.

    Raises:
        ForgeError: There was no answer.
    """
    import gitlab
    import requests

    from septum.compare.verdicts import printable

    try:
        return ask()
    except gitlab.GitlabError as error:
        words = printable(str(error.error_message), 200)
        raise ForgeError(_trouble(error.response_code), f"HTTP {error.response_code}: {words}") from error
    except requests.exceptions.SSLError as error:
        raise ForgeError(Trouble.UNTRUSTED, printable(str(error), 300)) from error
    except (requests.exceptions.RequestException, ValueError) as error:
        # ValueError: a Retry-After that is no number.
        raise ForgeError(Trouble.UNAVAILABLE, type(error).__name__) from error


def _trouble(status: int | None) -> Trouble:
    if status in _ABSENT:
        return Trouble.ABSENT
    if status in _FORBIDDEN:
        return Trouble.FORBIDDEN
    if status is None or status == _TOO_MANY or status >= _SERVER_ERROR:
        return Trouble.UNAVAILABLE
    return Trouble.MISUNDERSTOOD

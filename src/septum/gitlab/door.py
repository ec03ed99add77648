"""The way to one GitLab: one address, one token, a deadline for every question, and what a failure means.

The token goes to the address that was given and nowhere else: no other address has a way out of this session.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from septum.credentials.redact import KNOWN
from septum.credentials.secret import Secret
from septum.errors import GitlabRefusedError, SeptumError, TryAgainError, UsageError
from septum.forge import TOKEN, ForgeError, Trouble, asked, open_client

T = TypeVar("T")

_RETRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One GitLab.

    Attributes:
        client: Of python-gitlab.
        bearer: The same with the header that GraphQL takes.
        question_s: How long one question may take with its repetitions; a list of many pages is one.
    """

    client: Any
    bearer: Any
    question_s: float

    @property
    def url(self) -> str:
        """Its address."""
        return str(self.client.url)

    def read(self, ask: Callable[[dict[str, Any]], T]) -> T:
        """Ask for something, again where that may help.

        Args:
            ask: Gets what each call of python-gitlab is to be given.

        Raises:
            ForgeError: There was no answer.
        """
        return self._in_time(lambda: ask({"max_retries": _RETRIES}))

    def make(self, ask: Callable[[dict[str, Any]], T]) -> T:
        """Make something new: once, since a request without an answer may have been carried out.

        Raises:
            ForgeError: There was no answer.
        """
        return self._in_time(lambda: ask({"max_retries": _RETRIES, "retry_transient_errors": False}))

    def _in_time(self, ask: Callable[[], T]) -> T:
        from septum.compare.transfer import LateError, in_time

        try:
            return in_time(self.question_s, lambda: asked(ask))
        except LateError as error:
            problem = ForgeError(Trouble.UNAVAILABLE, str(error))
        except ForgeError as error:
            words = _of_no_gitlab(error)
            trouble = Trouble.MISUNDERSTOOD if words else error.trouble
            # A server may repeat what it was sent.
            problem = ForgeError(trouble, words or KNOWN.text(error.evidence))
        except (KeyError, TypeError, AttributeError, RecursionError):
            problem = ForgeError(Trouble.MISUNDERSTOOD, "an answer without what GitLab has in it")
        # Outside of the handlers: requests' own errors hold whole requests, with token and value.
        raise problem

    def graphql(self, query: str, path: str, more: Mapping[str, Any]) -> Any:
        """Ask GraphQL something of one project; its path cannot become a part of the query."""
        data = {"query": query, "variables": {"path": path}}
        return self.bearer.http_post(f"{self.url}/api/graphql", post_data=data, **more)


def _of_no_gitlab(error: ForgeError) -> str:
    """What came where data should have been, such as the page of a proxy or of a login; empty if data came."""
    from gitlab import GitlabParsingError, RedirectError
    from requests.exceptions import InvalidSchema, TooManyRedirects

    if isinstance(error.__cause__, GitlabParsingError):
        return "an answer that is no JSON, or another than was asked for"
    if isinstance(error.__cause__, (InvalidSchema, TooManyRedirects, RedirectError)):
        return "it sends us elsewhere, where the token does not go"
    return ""


def is_unauthorized(error: ForgeError) -> bool:
    """Whether GitLab does not take the token at all, rather than for this."""
    return error.evidence.startswith("HTTP 401")


def refused(error: ForgeError, *, what: str, url: str, needs: str) -> SeptumError:
    """A failure as an error of septum.

    Args:
        error: Why there was no answer.
        what: What could not be done: `the project my-group/x cannot be read`.
        url: GitLab's address.
        needs: What the token must have for it.
    """
    if error.trouble is Trouble.UNAVAILABLE:
        return TryAgainError(
            f"gitlab: {what}: {url} does not answer as it should",
            evidence=error.evidence,
            fix="try again later; what is done is not done twice",
        )
    if error.trouble is Trouble.UNTRUSTED:
        return GitlabRefusedError(
            f"gitlab: {what}: the certificate of {url} was not accepted",
            evidence=error.evidence,
            fix="name its authorities: --ca-file FILE",
        )
    if error.trouble is Trouble.MISUNDERSTOOD:
        return UsageError(
            f"gitlab: {what}: {url} did not answer as GitLab does",
            evidence=error.evidence,
            fix="check the address: --url https://gitlab.example.org",
        )
    return GitlabRefusedError(
        f"gitlab: {what}", evidence=error.evidence, fix=f"it needs a token with {needs}, in the variable {TOKEN}"
    )


@contextlib.contextmanager
def opened(url: str, token: Secret, *, ca_file: str = "", question_s: float = 90.0) -> Iterator[Door]:
    """A GitLab.

    Args:
        url: Its address, as `septum.watching.place.server_of` gave it.
        token: For it alone.
        ca_file: Authorities that are trusted beside the system's.
        question_s: How long one question may take, in seconds.

    Raises:
        UsageError: The file holds no certificates.
    """
    try:
        client = open_client(url, token, better=True, ca_file=ca_file, only_here=True)
    except OSError as error:  # also what is no certificate
        raise UsageError(
            f"gitlab: no certificates can be read from {ca_file}",
            evidence=error.strerror or str(error),
            fix="--ca-file FILE names certificates in PEM",
        ) from None
    with client:
        bearer = type(client)(
            url,
            oauth_token=token.reveal(),
            timeout=client.timeout,
            retry_transient_errors=client.retry_transient_errors,
            keep_base_url=True,
            session=client.session,
        )
        yield Door(client=client, bearer=bearer, question_s=question_s)

"""Which pipeline is meant: by what was given, else by the checkout that one stands in. Asks Git, and GitLab."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from septum import git
from septum.credentials.secret import Secret
from septum.errors import CredentialMissingError, NotOnGitlabError, UsageError
from septum.forge import TOKEN, token_of
from septum.watching.door import READ, Door
from septum.watching.place import Place, pipeline_of, place_of, place_of_remote, server_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was given.

    Attributes:
        project: A path or an address; empty for that of the checkout.
        url: GitLab's address; empty for that of the project.
        pipeline: A number or `latest`.
        ref: A branch or tag; empty for that of the checkout.
    """

    project: str = ""
    url: str = ""
    pipeline: str = "latest"
    ref: str = ""


def find_place(wish: Wish, environ: Mapping[str, str], folder: Path, *, default: str = "") -> Place:
    """The project that is meant, and its pipeline if that was named by number.

    Args:
        wish: What was given.
        environ: The environment; in a CI job, it has the address of GitLab.
        folder: A folder in the checkout.
        default: The GitLab of a project that is named by its path, where nothing else says which.

    Raises:
        UsageError: There is none.
    """
    number = pipeline_of(wish.pipeline)
    server = wish.url or environ.get("CI_SERVER_URL", "")
    remote = git.origin_of(folder, environ)
    if wish.project:
        place = place_of(wish.project, server=server or _server_of(remote) or default)
    elif remote:
        place = place_of_remote(remote, server=server)
    else:
        raise UsageError(
            "project: this is no Git repository with a remote origin, and none was given",
            fix="name it: --project https://gitlab.example.org/GROUP/NAME",
        )
    url = server_of(wish.url) if wish.url else place.url
    return Place(url=url, project=place.project, pipeline=number or place.pipeline)


def _server_of(remote: str) -> str:
    try:
        return place_of_remote(remote).url if remote else ""
    except UsageError:
        return ""


def find_pipeline(door: Door, wish: Wish, environ: Mapping[str, str], folder: Path) -> int:
    """The number of the pipeline that is meant.

    Raises:
        NotOnGitlabError: There is none.
        SeptumError: GitLab does not say.
    """
    if door.place.pipeline:
        return door.place.pipeline
    if wish.ref:
        return door.latest(ref=wish.ref).id
    if wish.project:
        return door.latest().id
    branch = git.line(folder, "symbolic-ref", "--short", "-q", "HEAD", environ=environ)
    commit = git.line(folder, "rev-parse", "--verify", "-q", "HEAD", environ=environ)
    if not branch and not commit:
        raise NotOnGitlabError(
            "gitlab: this repository has no commit, and so no pipeline", fix="commit and push, or: --pipeline 98701"
        )
    return door.latest(ref=branch, sha=commit).id


def find_token(place: Place, environ: Mapping[str, str], ask: Callable[[str], str] | None) -> tuple[Secret, bool]:
    """The token for a GitLab, and whether it is more than a job token.

    Args:
        place: The project. A job token is for the GitLab of its CI job, and is shown to no other.
        environ: The environment.
        ask: Asks a person, without showing the answer; None where there is nobody.

    Raises:
        CredentialMissingError: There is none.
    """
    token, better = token_of(environ)
    if token and (better or is_own(place, environ)):
        return token, better
    typed = ask(f"token for {place.url} (not shown; {READ}): ").strip() if ask is not None else ""
    if not typed:
        raise CredentialMissingError(
            f"gitlab: no token for {place.url}",
            evidence=f"{TOKEN} is not set" + (", and nobody is there to ask" if ask is None else ""),
            fix=f"export {TOKEN}=…, a token with {READ}",
        )
    return Secret(typed), True


def is_own(place: Place, environ: Mapping[str, str]) -> bool:
    """Whether a project is of the GitLab whose CI job this is."""
    try:
        return server_of(environ.get("CI_SERVER_URL", "")) == place.url
    except UsageError:
        return False

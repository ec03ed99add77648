"""GitLab: the tag of an image, a rehearsed pipeline, a project, its settings. What watches one is in `stopped`."""

from __future__ import annotations

from septum.errors.base import SeptumError


class ImageTakenError(SeptumError):
    """The registry has another image under the tag; a tag never gets a second meaning."""

    code, exit_code = "E012", 2


class RehearsalUnfitError(SeptumError):
    """This machine cannot rehearse a pipeline: no Linux, no `apt-get`, no Node, or no user namespaces."""

    code, exit_code = "E013", 2


class CIJobError(SeptumError):
    """A CI job of a rehearsed pipeline failed, and not by an error of septum's; or the pipeline left no result."""

    code, exit_code = "E014", 3


class NotOnGitlabError(SeptumError):
    """GitLab shows no such project, pipeline, CI job or log: there is none, or the token does not see it."""

    code, exit_code = "E016", 2


class ProjectDiffersError(SeptumError):
    """A project on GitLab is not as septum needs it; `septum gitlab check` looked, and changed nothing."""

    code, exit_code = "E040", 3


class SetupIncompleteError(SeptumError):
    """`septum gitlab setup` could not do all of it; the rest is done, and doing it again goes on."""

    code, exit_code = "E041", 3

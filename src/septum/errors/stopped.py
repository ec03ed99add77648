"""A run that was interrupted, and a watched pipeline that did not succeed: exit codes 24 to 27."""

from __future__ import annotations

from septum.errors.base import SeptumError


class CancelledError(SeptumError):
    """The run was interrupted by a signal; its jobs have been removed as the message says."""

    code, exit_code = "E230", 24


class LeftBehindError(SeptumError):
    """Jobs that were to be removed are still in the queue."""

    code, exit_code = "E231", 25


class PipelineFailedError(SeptumError):
    """A pipeline of GitLab that was watched has failed; the evidence names the CI job and what it ended with."""

    code, exit_code = "E232", 26


class PipelineCancelledError(SeptumError):
    """A pipeline of GitLab that was watched was cancelled or skipped."""

    code, exit_code = "E233", 27

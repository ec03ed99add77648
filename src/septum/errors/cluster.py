"""The way to the cluster, and what it takes: access, submission, REANA, shared area. Exit codes 20 to 23."""

from __future__ import annotations

from septum.errors.base import SeptumError


class ClusterUnreachableError(SeptumError):
    """No collector or schedd answers at the profile's address. Never replaced by a local one."""

    code, exit_code = "E200", 20


class ClusterFailedError(ClusterUnreachableError):
    """The access point answers, and failed at what it was asked."""

    code, exit_code = "E203", 20


class WorkflowGoneError(ClusterFailedError):
    """A workflow of REANA, or a file of its workspace, is not there any more: deleted, pruned, or never made."""

    code, exit_code = "E204", 20


class SubmitRefusedError(SeptumError):
    """The schedd answered, and did not take the jobs: a limit, a requirement of the site, a transfer that broke."""

    code, exit_code = "E210", 21


class NoRoomError(SubmitRefusedError):
    """The site has no room for more jobs of this account now; septum waits for room before it gives up."""

    code, exit_code = "E211", 21


class QuotaExceededError(SubmitRefusedError):
    """The account has used up what it may use of REANA's CPU or disk: the server takes nothing more of it."""

    code, exit_code = "E212", 21


class SharedAreaError(SubmitRefusedError):
    """What all parts share cannot be brought to `shared-area` of the cluster's profile, or no worker could fetch it."""

    code, exit_code = "E213", 21


class ClusterUnusableError(SeptumError):
    """The profile exists, but septum cannot use it: a method or an authentication that this version does not have."""

    code, exit_code = "E201", 22


class BindingsMissingError(SeptumError):
    """HTCondor's Python bindings are not installed, or do not exist for this machine."""

    code, exit_code = "E202", 23

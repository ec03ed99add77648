"""The command line, `septum.yaml`, the plan, a profile, the state folder: exit code 2, but for `prepare`."""

from __future__ import annotations

from septum.errors.base import SeptumError


class UsageError(SeptumError):
    """The command line or the environment asks for something that does not exist."""

    code, exit_code = "E001", 2


class ConfigError(SeptumError):
    """`septum.yaml` cannot be read: an unknown key, a wrong type, a value out of range."""

    code, exit_code = "E002", 2


class PlanError(SeptumError):
    """The configuration is well formed, but no complete plan follows: a file is missing, a list is empty."""

    code, exit_code = "E003", 2


class ImageNameError(PlanError):
    """A text is not the name of a container image, or no registry and no worker takes it."""

    code, exit_code = "E020", 2


class WorkflowError(PlanError):
    """A workflow of REANA cannot be translated, or Snakemake is not there to read it; what it is about is named."""

    code, exit_code = "E017", 2


class ProfileError(SeptumError):
    """A cluster profile cannot be read, or no profile has that name."""

    code, exit_code = "E004", 2


class StateError(SeptumError):
    """The state folder does not belong to this plan, is damaged, or an earlier step is missing."""

    code, exit_code = "E005", 2


class PrepareError(SeptumError):
    """A line under `prepare` in `septum.yaml` failed; nothing was planned or submitted."""

    code, exit_code = "E006", 3

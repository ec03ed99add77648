"""A service that did not answer: exit code 75, after which CI tries again. Nothing is wrong with the analysis."""

from __future__ import annotations

from septum.errors.base import SeptumError


class TryAgainError(SeptumError):
    """A service did not answer in time, after retries; nothing is wrong with the analysis. CI retries this code."""

    code, exit_code = "E750", 75


class IssuerUnavailableError(TryAgainError):
    """The token issuer did not answer, or answered with a server error, after retries."""

    code, exit_code = "E751", 75


class ContactLostError(TryAgainError):
    """The schedd stopped answering during the run. The jobs go on; a retried CI job finds them by their tag."""

    code, exit_code = "E752", 75


class TimeUpError(TryAgainError):
    """The time of the CI job is nearly over and jobs still run. They go on; a retried CI job finds them again."""

    code, exit_code = "E753", 75


class ImageNotThereError(TryAgainError):
    """CVMFS does not show the image yet."""

    code, exit_code = "E754", 75


class RegistryUnavailableError(TryAgainError):
    """The container registry did not answer, or answered with a server error, after retries."""

    code, exit_code = "E755", 75

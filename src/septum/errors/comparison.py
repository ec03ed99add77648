"""The comparison with a reference: exit codes 50 to 52."""

from __future__ import annotations

from septum.errors.base import SeptumError


class DifferentError(SeptumError):
    """Results are not identical to the reference, and `reproducibility: exact` asks for that."""

    code, exit_code = "E500", 50


class IncompatibleError(SeptumError):
    """Results do not agree with the reference: an object is missing, has another structure, or differs too much."""

    code, exit_code = "E501", 51


class NotComparableError(SeptumError):
    """The reference was not found or cannot be used, or no object is on both sides. Results are not judged by that."""

    code, exit_code = "E502", 52

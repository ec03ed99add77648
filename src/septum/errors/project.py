"""What an analysis is made of: packages, image, what it promises, what it was adopted from or is exported to."""

from __future__ import annotations

from septum.errors.base import SeptumError


class DamagedPackageError(SeptumError):
    """A package that septum consists of is not the one that this release pinned: its checksum differs."""

    code, exit_code = "E007", 4


class ImageUnfitError(SeptumError):
    """The image of the analysis cannot run septum: no package that it needs was built for it."""

    code, exit_code = "E008", 2


class ContractError(SeptumError):
    """What the library promises to its users and the version, the changelog or the last release do not agree."""

    code, exit_code = "E009", 2


class CaptureError(SeptumError):
    """What a framework submitted could not be recorded, or its recording cannot be read; nothing was submitted."""

    code, exit_code = "E010", 2


class ImageBuildError(SeptumError):
    """The image of the analysis could not be built: a line of its Containerfile failed, or there is no buildah."""

    code, exit_code = "E011", 3


class AdoptError(SeptumError):
    """A pipeline of shell lines cannot be adopted: it cannot be read, submits nothing to HTCondor, or has a DAG."""

    code, exit_code = "E015", 2


class AnswerError(SeptumError):
    """An answer to `septum new` is not one that it can take: an unknown choice, a name with signs that are not safe."""

    code, exit_code = "E030", 2


class StarterError(SeptumError):
    """The starter cannot be copied or merged: the folder is not empty, the tree is not clean, no such version."""

    code, exit_code = "E031", 2


class UpdateConflictError(SeptumError):
    """`septum update` has merged, and some lines were changed by both sides: they wait for a decision."""

    code, exit_code = "E032", 3


class ExportError(SeptumError):
    """The files of `septum export` are out of date, were changed by hand, or cannot say what the plan says."""

    code, exit_code = "E033", 2

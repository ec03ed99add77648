"""The merge, its verification, and where a result goes: exit codes 40 to 49."""

from __future__ import annotations

from septum.errors.base import SeptumError


class MergeFailedError(SeptumError):
    """The merge engine failed, or said something on standard error that it should not."""

    code, exit_code = "E400", 40


class MergeCommandError(MergeFailedError):
    """The framework's own merge failed, wrote nothing, or was not run over the outputs of this run."""

    code, exit_code = "E410", 40


class ProductError(MergeCommandError):
    """What the framework's own merge wrote cannot be read, or is not what the sum of the parts says."""

    code, exit_code = "E411", 43


class StructureError(SeptumError):
    """An output holds other objects, axes or branches than the outputs of the other parts."""

    code, exit_code = "E401", 41


class NotAdditiveError(StructureError):
    """An output holds what does not add up: NaN, an average, a counter that is full; `policies` can allow it."""

    code, exit_code = "E408", 48


class UnexpectedFileError(SeptumError):
    """The folder of the outputs holds a file that no part of the plan wrote."""

    code, exit_code = "E402", 42


class NotConservedError(SeptumError):
    """The merged file does not hold the sum of the parts."""

    code, exit_code = "E403", 43


class EngineMissingError(SeptumError):
    """Nothing that merges this format is installed: `hadd`, `pyarrow`, `h5py`; or no engine knows the format."""

    code, exit_code = "E404", 44


class ProvenanceError(SeptumError):
    """A result and its manifest do not belong together."""

    code, exit_code = "E405", 45


class TooLargeError(SeptumError):
    """The results are larger than GitLab takes as an artifact, and nothing says where else they should go."""

    code, exit_code = "E406", 46


class UploadError(SeptumError):
    """A result was not taken by the storage that `publish:` names, or is not there as it was sent."""

    code, exit_code = "E407", 47


class DiskFullError(SeptumError):
    """The disk of this machine has no room for what is to be fetched or merged; nothing that was fetched is lost."""

    code, exit_code = "E409", 49

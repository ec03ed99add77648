"""The parts of a run, and their jobs: exit codes 30 to 39."""

from __future__ import annotations

from typing import ClassVar

from septum.errors.base import SeptumError


class PartError(SeptumError):
    """A part did not deliver; each cause has its own class below."""

    code, exit_code = "E300", 30
    transient: ClassVar[bool] = False
    """Whether the cause lies on the way and not in the part, so that a new job may well deliver."""


class PartExitError(PartError):
    """The command of a part ended with an exit code other than 0, after all retries."""

    code, exit_code = "E301", 30


class PartSignalError(PartError):
    """A part was killed by a signal, often for its memory."""

    code, exit_code = "E302", 31


class PartRemovedError(PartError):
    """A job was removed from the queue by a person, a policy of the site, or the end of its lease."""

    code, exit_code = "E303", 32


class PartHeldError(PartError):
    """A job is held and will not be released by itself; the hold reason says why."""

    code, exit_code = "E304", 33


class PartHeldElsewhereError(PartHeldError):
    """A job is held for a fault of its worker or of the way to it: a file not transferred, a program not started."""

    code, exit_code = "E311", 33
    transient = True


class PartResourceError(PartHeldError):
    """The site holds a job that took more memory or disk than it asked for."""

    code, exit_code = "E312", 33


class PartEvictedError(PartHeldError):
    """A job was started again and again, and each time the site took its slot away before it ended."""

    code, exit_code = "E313", 33


class PartNeverStartedError(PartError):
    """A job has waited for a slot for longer than `idle-patience` of the cluster's profile allows."""

    code, exit_code = "E314", 36


class OutputMissingError(PartError):
    """The command ended with exit code 0 without writing a declared output."""

    code, exit_code = "E305", 34


class OutputDamagedError(PartError):
    """An output arrived with another size or checksum than the worker recorded, or cannot be opened."""

    code, exit_code = "E306", 35


class TransferDamagedError(OutputDamagedError):
    """An output is not the file, to the last byte, that the worker sent."""

    code, exit_code = "E315", 35
    transient = True


class InputsDamagedError(PartError):
    """A worker did not get the inputs that all parts share, or not as they were sent; the command was not started."""

    code, exit_code = "E316", 35
    transient = True


class PartTimeoutError(PartError):
    """A part ran longer than `resources: time` allows."""

    code, exit_code = "E307", 36


class PartLostError(PartError):
    """A job is neither in the queue nor in the history, or ended without a word from its wrapper."""

    code, exit_code = "E308", 37
    transient = True


class PartImageError(PartError):
    """The worker did not run the part in the container image that was asked for."""

    code, exit_code = "E309", 38
    transient = True


class PartOtherImageError(PartImageError):
    """The worker ran the part in another image than CI or the other parts have under the same name."""

    code, exit_code = "E319", 38


class PartialResultError(SeptumError):
    """Parts are missing within the tolerance: there is a result, and it is labelled partial."""

    code, exit_code = "E310", 39

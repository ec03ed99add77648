"""The memory of this process, which holds secrets: not for others."""

from __future__ import annotations

import contextlib
import sys

_PR_SET_DUMPABLE = 4


def keep_to_ourselves() -> None:
    """Keep this process's memory out of core dumps, and from other processes of the same user where Linux can.

    Root can still read it, and so can everybody the environment of the shell that started us. What we start writes no
    core by itself either, and may raise that limit again.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)

"""Gives memory that is not used any more back to the system, before something begins that needs much."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Return what has been freed: the C library keeps it otherwise, in pieces that nothing large fits into."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; others return it by themselves
    if trim is not None:
        trim(0)

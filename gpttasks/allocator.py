"""The memory allocator of the C library, set so that training and scoring on a CPU wait less for the system."""

from __future__ import annotations

import sys


def keep_freed_memory() -> None:
    """Tell glibc's allocator to keep what is freed for the next tensor, on Linux; elsewhere nothing happens.

    By default it gives every large block back to the system and asks for it again, and up to half of the time of a
    forward and backward pass on a CPU goes into the kernel's page faults. The peak of memory stays the same, but it
    is held until the process ends. ``benchmarks/allocator.py`` measures it.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # a C library other than glibc
        return
    for parameter, value in MALLOPT.items():
        mallopt(parameter, value)


MALLOPT = {-4: 0, -1: 2**31 - 1, -2: 2**28}
"""M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of mallopt(3): no block of its own, no trimming, grow by 256 MiB."""

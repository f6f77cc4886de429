"""Settings of the C library's memory allocator that speed up training and scoring on a CPU."""

from __future__ import annotations

import sys


def keep_freed_memory() -> None:
    """On Linux, make glibc's allocator keep freed memory for the next tensor; elsewhere, do nothing.

    By default the allocator returns every large block to the system and requests it again, and the page faults take up
    to half of the time of a forward and backward pass on a CPU. Peak memory stays the same, but is held until the
    process ends. ``benchmarks/allocator.py`` measures the effect.
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
"""M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of mallopt(3): no separate mappings, no trimming, growth by 256 MiB."""

"""Freed memory stays with the process: pages that the system hands out anew cost more than the arithmetic in them.

A sweep allocates and frees the same few arrays at every point. The C library of Linux returns large ones to the system,
which has to clear each page again: measured for arrays of a megabyte, writing to fresh pages takes five times as long.
"""

from __future__ import annotations

import ctypes

# The numbers of these settings in malloc.h of the GNU C library, and the largest values it takes.
TRIM_THRESHOLD, MOST_KEPT = -1, 2**31 - 1
MMAP_THRESHOLD, LARGEST_KEPT = -3, 2**25


def keep() -> None:
    """Keep freed arrays of up to 32 MB, up to 2 GB of them, for the next ones; without effect on other C libraries."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(TRIM_THRESHOLD, MOST_KEPT)
    mallopt(MMAP_THRESHOLD, LARGEST_KEPT)

"""What the C library's allocator is told, so that memory that was used once goes back to the system.

A password hash works in 20 MB. After the first one is freed, glibc takes such pieces from the heaps of the threads,
where they stay: 80 MB after a few log-ins. With fixed thresholds they are mapped and unmapped each time.
"""

import ctypes
from typing import Final

__all__ = ["return_freed_memory"]

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGE: Final = 1024 * 1024
_ARENAS: Final = 2


def return_freed_memory() -> None:
    """Tell the allocator; other C libraries than glibc have nothing to be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in (
        (_M_MMAP_THRESHOLD, _LARGE),
        (_M_TRIM_THRESHOLD, 2 * _LARGE),
        (_M_ARENA_MAX, _ARENAS),
    ):
        mallopt(option, value)

"""Lets go of the pages of programs and libraries that only the start needed.

A start runs through 27 MB of the files of Python, OpenSSL, libpq and others: what initialises them, and what the kernel
maps around each page that is touched. Serving needs 4 MB of them. They are what the files hold, unchanged, so a process
may drop them whenever it likes: what is needed again comes from the page cache, 64 KB for a microsecond.
"""

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["let_go_of_library_pages"]

_MAPPINGS: Final = Path("/proc/self/smaps")
_HEAD: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+) *(.*)\n")
_FLAGS: Final = "VmFlags:"
_WAS_WRITABLE: Final = "ac"
"""The flag of a mapping for which memory was set aside, as is done for each that may be, or once was, written."""
_MADV_DONTNEED: Final = 4


class _Mapping(NamedTuple):
    start: int
    end: int
    rights: str
    file: str


def let_go_of_library_pages() -> None:
    """Drop them; a system that does not tell its mappings as Linux does keeps what it has.

    Dropped are only mappings that never could be written: what the linker filled in would come back empty. And only
    those of files that are executed, as nothing unmaps these: none can have made room for another when its turn comes.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is None or not _MAPPINGS.exists():
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    untouched = list(_never_writable())
    executed = {each.file for each in untouched if "x" in each.rights}
    for each in untouched:
        if each.file in executed:
            madvise(each.start, each.end - each.start, _MADV_DONTNEED)


def _never_writable() -> Iterator[_Mapping]:
    current: _Mapping | None = None
    with _MAPPINGS.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            if head := _HEAD.fullmatch(line):
                of_file = head[4] != "0" and head[3] in ("r--p", "r-xp")
                current = _Mapping(int(head[1], 16), int(head[2], 16), head[3], head[5]) if of_file else None
            elif current is not None and line.startswith(_FLAGS) and _WAS_WRITABLE not in line.split():
                yield current

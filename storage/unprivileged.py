"""Running PostgreSQL when we are root: it refuses to, so its processes run as another user.

Where that user could not reach the data directory or the programs (a directory under /root, say), the processes keep
one capability of root's, the right to search directories and read files (Linux); they own their data anyhow.
"""

import os
import pwd
import signal
import threading
from collections.abc import Callable
from ctypes import CDLL, Structure, byref, c_int, c_uint32
from dataclasses import dataclass
from pathlib import Path

from storage.unusable import Unusable

_ACCOUNTS = ("meridian", "postgres", "nobody")
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522


class EmbeddedError(Unusable):
    """The embedded PostgreSQL cannot run; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """As whom the server's processes run, and whether they need a capability to reach their files."""

    uid: int
    gid: int
    needs_reach: bool = False


def account_for(data: Path, others: list[Path]) -> Account | None:
    """As whom to run the server: None for ourselves, as long as we are not root.

    The owner of an existing data directory, else the first of some usual accounts. `others` are further folders that
    the server must reach. Raises EmbeddedError where it cannot.
    """
    if os.geteuid() != 0:
        return None
    uid, gid = _owner(data) or _usual_account()
    unreachable = [each for folder in (data.parent, *others) for each in _locked_folders(folder, uid, gid)]
    if unreachable and not _may_keep_reach():
        raise EmbeddedError(
            f"PostgreSQL runs as uid {uid}, because it refuses to run as root, and that user may not enter "
            f"{unreachable[0]}. Allow it (chmod o+x {unreachable[0]}), use another data directory, or start the "
            "homeserver as an ordinary user."
        )
    return Account(uid, gid, bool(unreachable))


def become(account: Account | None, *, end_with_us: bool) -> Callable[[], None] | None:
    """What the child does before it becomes the server's program; None if nothing is to do.

    With `end_with_us` the kernel sends it SIGINT (fast shutdown) when we die. The kernel looks at the thread that
    started the child, so that is only asked for in the main thread.
    """
    end_with_us = end_with_us and threading.current_thread() is threading.main_thread()
    library = _library()
    if account is None and (library is None or not end_with_us):
        return None

    def before() -> None:
        if account is not None and account.needs_reach and library is not None:
            library.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        if account is not None:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
            if account.needs_reach and library is not None:
                _keep_reach(library)
        if end_with_us and library is not None:
            library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)

    return before


class _Header(Structure):
    _fields_ = (("version", c_uint32), ("pid", c_int))


class _Sets(Structure):
    _fields_ = (("effective", c_uint32), ("permitted", c_uint32), ("inheritable", c_uint32))


def _keep_reach(library: CDLL) -> None:
    capability = _reach(library)
    bits = 1 << capability
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)(_Sets(bits, bits, bits), _Sets(0, 0, 0))
    if library.capset(byref(header), sets):
        raise OSError("capset failed")
    if library.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0):
        raise OSError("the capability cannot be passed on")


def _may_keep_reach() -> bool:
    library = _library()
    return library is not None and any(
        library.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) == 1
        for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE)
    )


def _reach(library: CDLL) -> int:
    """The lesser of the two capabilities, where root still has it (containers take it away)."""
    if library.prctl(_PR_CAPBSET_READ, _CAP_DAC_READ_SEARCH, 0, 0, 0) == 1:
        return _CAP_DAC_READ_SEARCH
    return _CAP_DAC_OVERRIDE


def _library() -> CDLL | None:
    """The C library, if it is Linux's."""
    try:
        library = CDLL(None)
        _ = library.prctl, library.capset
    except (OSError, AttributeError):
        return None
    return library


def _owner(data: Path) -> tuple[int, int] | None:
    if not data.exists():
        return None
    found = data.stat()
    return None if found.st_uid == 0 else (found.st_uid, found.st_gid)


def _usual_account() -> tuple[int, int]:
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise EmbeddedError(
        "PostgreSQL does not run as root: create a user named meridian, or run as another user"
    )


def _locked_folders(folder: Path, uid: int, gid: int) -> list[Path]:
    """Those on the way to `folder` that the user may not enter, of those that exist."""
    return [
        each
        for each in reversed([folder, *folder.parents])
        if each.exists() and not _may_enter(each.stat(), uid, gid)
    ]


def _may_enter(found: os.stat_result, uid: int, gid: int) -> bool:
    if found.st_uid == uid:
        return bool(found.st_mode & 0o100)
    if found.st_gid == gid:
        return bool(found.st_mode & 0o010)
    return bool(found.st_mode & 0o001)

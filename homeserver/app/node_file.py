"""Which nodes that ran on this machine are dead for certain, so that nobody has to wait until their leases run out.

A node keeps a file in the data directory locked as long as its process lives: the kernel lets go of the lock when the
process ends, however it ends. Who gets the lock of a file of the same boot of the same kernel, which is written in it,
knows that its process is dead. Of all other nodes nothing is known, and their leases run out as ever: those on other
machines, even if they share the directory, and those before a reboot.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_UNFINISHED: Final = ".new"
_OLD_S: Final = 24 * 3600
"""A file of another boot says nothing to us, and is removed when it is so much older than ours."""


class NodeFile:
    """The file of this node. `release` it at an orderly end."""

    def __init__(self, data_dir: Path, node: str, boot_id: Path = _BOOT_ID) -> None:
        """``node``: a name that is new with each start."""
        self._folder = data_dir / "nodes"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._boot = _read(boot_id)
        self._path = self._folder / node
        unfinished = self._path.with_suffix(_UNFINISHED)
        self._file = os.open(unfinished, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(self._file, self._boot.encode())
        unfinished.rename(self._path)  # locked before anybody else sees it

    def dead(self) -> list[str]:
        """The nodes of this machine that are dead for certain; their files are removed."""
        return [path.name for path in self._others() if self._bury(path)]

    def release(self) -> None:
        """This node ends, and has given back what it held."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _others(self) -> Iterator[Path]:
        for path in sorted(self._folder.iterdir()):
            if path != self._path and path.suffix != _UNFINISHED:
                yield path

    def _bury(self, path: Path) -> bool:
        """Whether a file's process is dead."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False  # another node was faster
        try:
            boot = os.read(file, 100).decode("ascii", "replace")
            if not self._boot or boot != self._boot:
                if os.fstat(file).st_mtime + _OLD_S < os.fstat(self._file).st_mtime:
                    path.unlink(missing_ok=True)
                return False
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(file)


def _read(boot_id: Path) -> str:
    """The name of this boot of this kernel; empty where the system does not say."""
    try:
        return boot_id.read_text("ascii").strip()
    except OSError:
        return ""

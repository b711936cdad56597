"""Where tests keep what they install from registries: outside the project, for the next run."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

_UNREACHABLE = (
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Network is unreachable",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "ENOTCACHED",
)


@contextmanager
def kept_folder(name: str, *contents: bytes) -> Iterator[tuple[Path, bool]]:
    """Yield a folder that belongs to this name and these contents, and whether it was completed before.

    It is complete when the block ends without an error. Only one process at a time is in such a block. The folder is
    in `MERIDIAN_TEST_CACHE`, by default in the user's cache.
    """
    base = Path(os.environ.get("MERIDIAN_TEST_CACHE") or _user_cache() / "meridian-tests")
    folder = base / f"{name}-{sha256(b'|'.join(contents)).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (base / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / ".complete"
        yield folder, complete.exists()
        complete.touch()


def give_up(tool: str, output: str) -> None:
    """End a test whose installation failed: skipped if the registry could not be reached, failed otherwise."""
    if any(sign in output for sign in _UNREACHABLE):
        pytest.skip(f"{tool} cannot reach its registry")
    pytest.fail(f"{tool} failed:\n{output[-3000:]}")


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

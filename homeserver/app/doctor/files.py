"""The server's own files, and settings that are allowed but unwise."""

import os
import shutil
from collections.abc import Iterator
from ipaddress import ip_address

from config.config import Config
from config.listeners import Listener, address_of
from homeserver.app.doctor.findings import Finding, fail, ok, warn
from homeserver.app.signing_key_file import SigningKeyUnusable, read_signing_key

LEAST_FREE_BYTES = 10**9


def check_settings(config: Config) -> Iterator[Finding]:
    """What the reader of the configuration lets through although it is dangerous."""
    yield ok("config", f"it is right; the server is {config.server_name}")
    if config.federation.enabled and not config.federation.verify_tls:
        yield warn(
            "config",
            "`federation.verify_tls` is off, so that anyone on the way can pretend to be another server",
            "switch it on, and name a private authority in `federation.ca_file`",
        )
    for listener in config.listeners:
        if "metrics" in listener.serves and not _is_private(listener):
            yield warn(
                "config",
                f"{address_of(listener)} shows metrics to everybody who reaches it",
                "serve `metrics` on a listener of its own, on a private address",
            )


def check_data_dir(config: Config) -> Iterator[Finding]:
    """Whether there is a place for the data, and room in it."""
    folder = config.data_dir
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield fail(
            "data",
            f"{folder} cannot be written to by the user that runs this",
            "give the folder to the server's user (chown), or name another `data_dir`",
        )
        return
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        yield warn(
            "data", f"{free / 10**6:.0f} MB are free for {config.data_dir}", "make room, or get a larger disk"
        )
    else:
        yield ok("data", f"{config.data_dir}, {free / 10**9:.0f} GB are free")


def check_signing_key(config: Config) -> Iterator[Finding]:
    """Whether the server has its identity, and keeps it to itself."""
    path = config.signing_key_path
    if not path.exists():
        yield warn(
            "signing key",
            f"{path} is not there; the first start makes one",
            "a server that has been running before needs its old key: put it back from your backup",
        )
        return
    try:
        key_id = read_signing_key(path).key_id
    except SigningKeyUnusable as error:
        yield fail("signing key", str(error), "put the file back from your backup")
        return
    if path.stat().st_mode & 0o077:
        yield warn("signing key", f"others on this machine can read {path}", f"chmod 600 {path}")
    else:
        yield ok("signing key", f"{path} ({key_id})")


def _is_private(listener: Listener) -> bool:
    return listener.unix is not None or ip_address(listener.bind).is_loopback or _in_private_network(listener)


def _in_private_network(listener: Listener) -> bool:
    address = ip_address(listener.bind)
    return address.is_private and not address.is_unspecified

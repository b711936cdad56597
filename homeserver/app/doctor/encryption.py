"""A user's end-to-end encryption as the server sees it, and what to do where messages cannot be decrypted."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from homeserver.app.doctor.findings import Finding, fail, ok, warn
from homeserver.services.encryption_standing import MANY, DeviceStanding, OwedServer, StaleList, Standing

USAGES: Final = ("master", "self_signing", "user_signing")
DAY_MS: Final = 86_400_000


def encryption_findings(standing: Standing, now_ms: int) -> Iterator[Finding]:
    """All of it, a line each."""
    if not standing.devices:
        yield warn("device", "there is none: nobody can write to the user", "the user has to log in")
    for device in standing.devices:
        yield _device(device, standing)
        if device.waiting:
            yield _waiting(device, standing.waiting_since.get(device.device_id), now_ms)
    yield _signing(standing.signing)
    yield _backup(standing)
    yield from _stale(standing.stale, now_ms)
    yield from _owed(standing.owed, now_ms)


def _device(device: DeviceStanding, standing: Standing) -> Finding:
    told = f"{_name(device)}, {_seen(device)}"
    if device.json is None:
        return ok("device", f"{told}: a session without encryption")
    told += f": {device.one_time_keys} one-time keys"
    if not device.one_time_keys and not device.fallback_keys:
        return fail(
            "device",
            f"{told} and no fallback key: nobody new can write to it",
            "start the client there, which uploads new ones; if it does not, log it out",
        )
    if device.unused_fallback_keys:
        told += ", an unused fallback key"
    elif device.fallback_keys:
        told += ", a used fallback key"
    if not device.one_time_keys and not device.unused_fallback_keys:
        return warn(
            "device", f"{told}: it lives on that one", "start the client there, which uploads new ones"
        )
    if "self_signing" in standing.signing and device.device_id not in standing.signed:
        return warn(
            "device",
            f"{told}, not cross-signed: others may refuse to write to it",
            "verify it from another device of the user, or log it out",
        )
    return ok("device", f"{told}, {'cross-signed' if standing.signing else 'not cross-signed'}")


def _waiting(device: DeviceStanding, since: int | None, now_ms: int) -> Finding:
    told = f"{device.waiting} messages wait for {device.device_id}"
    if since is not None:
        told += f", the oldest from before {_at(since)}"
    seen = max(device.created_ts, device.last_seen_ts or 0)
    if device.dehydrated or now_ms - seen <= DAY_MS:
        return ok("messages", told)
    return warn("messages", told, "it gets them when its client syncs; log it out if it never will")


def _signing(usages: frozenset[str]) -> Finding:
    missing = [usage for usage in USAGES if usage not in usages]
    if not missing:
        return ok("signing", "all cross-signing keys are there")
    if len(missing) == len(USAGES):
        return warn("signing", "there are no cross-signing keys", "the user sets them up in a client")
    return fail(
        "signing",
        f"of the cross-signing keys there is no {' and no '.join(missing)} key",
        "the user has to reset cross-signing in a client",
    )


def _backup(standing: Standing) -> Finding:
    backup = standing.backup
    if backup is None:
        return warn(
            "backup",
            "room keys are not backed up: a new device cannot read what was written before",
            "the user sets it up in a client",
        )
    return ok("backup", f"version {backup.version} has {backup.session_count} sessions (state {backup.etag})")


def _stale(stale: list[StaleList], now_ms: int) -> Iterator[Finding]:
    if not stale:
        yield ok(
            "lists",
            "all devices are known of the people in shared rooms on other servers that were asked for",
        )
    for each in stale:
        server = each.user_id.partition(":")[2]
        yield warn(
            "lists",
            f"the devices of {each.user_id} may have changed since {_at(each.stale_since)}; asked {each.failures} "
            f"times in vain, again {_in(each.retry_at, now_ms)}",
            f"homeserver federation check {server}",
        )
    if len(stale) == MANY:
        yield warn("lists", "and perhaps of more people")


def _owed(owed: list[OwedServer], now_ms: int) -> Iterator[Finding]:
    if not owed:
        yield ok("owed", "other servers were told everything")
    for each in owed:
        what = f"{each.devices} changes of devices and {each.messages} batches of messages wait for {each.server}"
        if each.failing_since_ts is None or each.retry_ts is None:
            yield ok("owed", f"{what}, on their way")
            continue
        yield warn(
            "owed",
            f"{what}, which has not answered since {_at(each.failing_since_ts)}; again {_in(each.retry_ts, now_ms)}",
            f"homeserver federation check {each.server}",
        )
    if len(owed) == MANY:
        yield warn("owed", "and perhaps more servers")


def _name(device: DeviceStanding) -> str:
    name = f' "{device.display_name}"' if device.display_name else ""
    return f"{device.device_id}{name}{', dehydrated' if device.dehydrated else ''}"


def _seen(device: DeviceStanding) -> str:
    if device.last_seen_ts is None:
        return f"made {_at(device.created_ts)}, never seen since"
    return f"last seen {_at(device.last_seen_ts)}"


def _at(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _in(ts: int, now_ms: int) -> str:
    seconds = max(0, ts - now_ms) // 1000
    return "now" if seconds == 0 else f"in {seconds} s"

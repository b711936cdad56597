"""`python -m benchmarks.encryption A.json B.json`: what encryption asks of two servers, by one client and in turns.

The files are those of `benchmarks.targets`. Devices and keys are made first; then the servers are measured one after
the other, round by round.
"""

import argparse
import statistics
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from random import Random
from time import perf_counter, time_ns
from typing import Any

from benchmarks.targets import PASSWORD, Device, Target, described, report, timed
from tests.harness.live_client import V3, Requests

AT_ONCE = 8
ALGORITHMS = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]
_chance = Random(1)
_numbers = count(1)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs=2, type=Path)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--devices", type=int, default=4, help="of each user")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    targets = [described(path) for path in options.targets]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for target in targets:
            began = perf_counter()
            _populate(target, pool, options.users, options.devices)
            print(
                f"{target.name}: {len(target.devices)} devices in {perf_counter() - began:.0f} s", flush=True
            )
        for _ in range(options.rounds):
            for target in targets:
                _round(target, pool)
    report(*targets)


def _populate(target: Target, pool: ThreadPoolExecutor, users: int, devices: int) -> None:
    """People with devices, whose identity keys are uploaded."""
    visitor = Requests(target.url)
    run = f"{time_ns():x}"

    def one(number: int) -> list[Device]:
        name = f"u{run}-{number}"
        made = [target.register(visitor, name)]
        identifier = {"type": "m.id.user", "user": name}
        login = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
        answers = [visitor.call("POST", f"{V3}/login", login) for _ in range(devices - 1)]
        made += [
            Device(each["user_id"], each["device_id"], visitor.with_token(each["access_token"]))
            for each in answers
        ]
        for device in made:
            device.http.call("POST", f"{V3}/keys/upload", {"device_keys": _identity(device)})
        return made

    for made in pool.map(one, range(users)):
        target.devices += made


def _round(target: Target, pool: ThreadPoolExecutor) -> None:
    devices, asker = target.devices, target.devices[0]
    users = sorted({each.user_id for each in devices})
    some = _chance.sample(devices, min(200, len(devices)))
    _rate(target, pool, "50 one-time keys uploaded, 8 at once", [(each, _upload(each)) for each in some])
    _rate(
        target,
        pool,
        "one key claimed, 8 at once",
        [(asker, _claim([each])) for _ in range(2) for each in some],
    )
    _times(target, f"keys of {len(some)} devices claimed", 3, lambda: _posted(asker, *_claim(some)))
    asked: dict[str, Any] = {"device_keys": {user: [] for user in users}}
    query = f"keys of {len(users)} users queried"
    _times(target, query, 8, lambda: _posted(asker, "keys/query", asked))
    messages = _messages(devices)
    _times(target, f"messages to {len(devices)} devices in one request", 4, lambda: _sent(asker, messages))


def _rate(
    target: Target, pool: ThreadPoolExecutor, name: str, requests: list[tuple[Device, tuple[str, Any]]]
) -> None:
    before, began = target.processor_seconds(), perf_counter()
    list(pool.map(lambda request: _posted(request[0], *request[1]), requests))
    target.note(f"{name}, per s", len(requests) / (perf_counter() - began))
    used = target.processor_seconds() - before
    target.note(f"{name}, server CPU ms", used / len(requests) * 1000)


def _times(target: Target, name: str, times: int, request: Callable[[], object]) -> None:
    target.note(f"{name}, p50 ms", statistics.median(timed(times, request)))


def _posted(device: Device, path: str, body: Any) -> Any:
    return device.http.call("POST", f"{V3}/{path}", body)


def _sent(device: Device, messages: Any) -> None:
    path = f"{V3}/sendToDevice/m.room.encrypted/{next(_numbers)}"
    device.http.call("PUT", path, {"messages": messages})


def _upload(device: Device) -> tuple[str, Any]:
    keys = {
        f"signed_curve25519:{next(_numbers):06}": {
            "key": _random(32),
            "signatures": {device.user_id: {f"ed25519:{device.device_id}": _random(64)}},
        }
        for _ in range(50)
    }
    return "keys/upload", {"one_time_keys": keys}


def _claim(devices: Sequence[Device]) -> tuple[str, Any]:
    wanted: dict[str, dict[str, str]] = {}
    for device in devices:
        wanted.setdefault(device.user_id, {})[device.device_id] = "signed_curve25519"
    return "keys/claim", {"one_time_keys": wanted}


def _messages(devices: Sequence[Device]) -> dict[str, dict[str, Any]]:
    messages: dict[str, dict[str, Any]] = {}
    for device in devices:
        content = {
            "algorithm": ALGORITHMS[0],
            "sender_key": _random(32),
            "ciphertext": {_random(32): {"type": 0, "body": _random(450)}},
        }
        messages.setdefault(device.user_id, {})[device.device_id] = content
    return messages


def _identity(device: Device) -> dict[str, Any]:
    return {
        "user_id": device.user_id,
        "device_id": device.device_id,
        "algorithms": ALGORITHMS,
        "keys": {f"{kind}:{device.device_id}": _random(32) for kind in ("curve25519", "ed25519")},
        "signatures": {device.user_id: {f"ed25519:{device.device_id}": _random(64)}},
    }


def _random(size: int) -> str:
    return b64encode(_chance.randbytes(size)).decode().rstrip("=")


if __name__ == "__main__":
    main()

"""`python -m benchmarks.key_backup`: a backup of room keys, as a client makes, keeps and restores it.

The whole program in memory, without sockets, on PostgreSQL.
"""

import argparse
import logging
import resource
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any, TypeVar

import structlog

from homeserver.client_api.key_backup import KeyBackupApi
from homeserver.http.encoding import Stream
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.key_backup import KeyBackup
from storage.database import Database
from storage.workers import InlineWorkers
from tests.client_api.e2ee import V3, Device
from tests.client_api.sync_site import SyncSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestServer

KEYS, VERSION = f"{V3}/room_keys/keys", f"{V3}/room_keys/version"
DATA = {"ephemeral": "e" * 43, "ciphertext": "c" * 900, "mac": "m" * 11}
"""As large as what clients upload."""
T = TypeVar("T")


def session(number: int, index: int = 9) -> tuple[str, str, dict[str, Any]]:
    """Room, ID and content of one of a backup's sessions."""
    content = {"first_message_index": index, "forwarded_count": 0, "is_verified": True, "session_data": DATA}
    return f"!room{number % 1000}:test", f"session{number:036}", content


def bulk(first: int, count: int) -> dict[str, Any]:
    """The body of an upload."""
    rooms: dict[str, Any] = {}
    for number in range(first, first + count):
        room, name, content = session(number)
        rooms.setdefault(room, {"sessions": {}})["sessions"][name] = content
    return {"rooms": rooms}


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the milliseconds that it took."""
    started = perf_counter()
    result = work()
    return result, (perf_counter() - started) * 1000


def memory() -> tuple[float, float]:
    """The resident memory now, and the most that it was, in MB."""
    now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    return now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


async def download(api: KeyBackupApi, who: Requester, version: str) -> tuple[int, int]:
    """Take the whole backup and keep nothing of it; bytes and pieces."""
    answer = await api.all_sessions(who, version)
    if not isinstance(answer, Stream):
        return len(answer.body), 1
    size = pieces = 0
    async for piece in answer.chunks:
        size += len(piece)
        pieces += 1
    return size, pieces


def run(database: Database, sessions: int, at_a_time: int) -> None:
    """All of it."""
    alice = Device.register(SyncSite(database), "alice")
    who = Requester(UserID(alice.user_id), DeviceID(alice.device_id), None)
    body = {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {}}
    version = alice.here.post(VERSION, body).json["version"]
    query = {"version": version}
    bulks = []
    for first in range(0, sessions, at_a_time):
        content = bulk(first, min(at_a_time, sessions - first))
        bulks.append(timed(partial(alice.here.put, KEYS, content, query))[1])
    tell(f"upload {at_a_time} sessions, first tenth", bulks[: max(2, len(bulks) // 10)])
    tell(f"upload {at_a_time} sessions, last tenth", bulks[-max(2, len(bulks) // 10) :])
    room, name, better = session(sessions // 2, index=1)
    tell("the version: count and etag", [timed(lambda: alice.here.get(VERSION))[1] for _ in range(50)])
    path = f"{KEYS}/{room}/{name}"
    tell("one session", [timed(lambda: alice.here.get(path, query))[1] for _ in range(50)])
    puts = []
    for index in range(8, 0, -1):
        better = {**better, "first_message_index": index}
        puts.append(timed(partial(alice.here.put, path, better, query))[1])
    tell("put a better one", puts)
    before, _ = memory()
    (size, pieces), took = timed(lambda: result_of(download(KeyBackupApi(KeyBackup(database)), who, version)))
    after, most = memory()
    print(f"{'the whole':32} {took:8.0f} ms: {size / 1e6:.0f} MB in {pieces} pieces")
    print(f"{'memory':32} {before:8.0f} MB before, {after:.0f} MB after, {most:.0f} MB at most")
    tell("delete the version", [timed(lambda: alice.here.delete(f"{VERSION}/{version}"))[1]])


def tell(what: str, times: list[float]) -> None:
    """Print the middle and the slow end."""
    slow = quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    print(f"{what:32} {median(times):8.1f} ms, p95 {slow:.1f} ms", flush=True)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--at-a-time", type=int, default=200, help="sessions of one upload")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    server = TestServer()
    try:
        with closing(Database(server.create_database(), InlineWorkers())) as database:
            run(database, options.sessions, options.at_a_time)
    finally:
        server.stop()


if __name__ == "__main__":
    main()

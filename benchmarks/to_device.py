"""`python -m benchmarks.to_device`: one request with messages to many devices, each its own or all the same (`*`),
here and on another server. The whole program in memory, without sockets, on PostgreSQL.
"""

import argparse
import logging
import tracemalloc
from contextlib import closing
from time import perf_counter
from typing import Any

import structlog

from storage.database import Database
from storage.query import Queries, nothing, query
from storage.workers import InlineWorkers
from tests.client_api.e2ee import V3, Device
from tests.client_api.sync_site import SyncSite
from tests.harness.postgres import TestServer

CONTENT = {
    "algorithm": "m.olm.v1.curve25519-aes-sha2",
    "sender_key": "k" * 43,
    "ciphertext": {"k" * 43: "c" * 700},
}


class Made(Queries):
    @query(
        """insert into devices (user_id, device_id, created_ts)
           select %(user_id)s, 'D' || n, 0 from generate_series(1, %(count)s) n""",
        nothing,
    )
    def devices(self, user_id: str, count: int) -> None: ...


def send(alice: Device, name: str, messages: dict[str, Any], times: int) -> None:
    """Send it some times, and print what one costs."""

    def once() -> None:
        txn = alice.sync_site.next_transaction()
        body = {"messages": messages}
        reply = alice.here.put(f"{V3}/sendToDevice/m.room.encrypted/{txn}", body)
        assert reply.status == 200, reply.text

    once()
    started = perf_counter()
    for _ in range(times):
        once()
    took = (perf_counter() - started) / times * 1000
    tracemalloc.start()
    once()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    print(f"{name:40} {took:7.1f} ms a request, {peak:.1f} MB while it runs", flush=True)


def run(database: Database, devices: int) -> None:
    """All of it."""
    site = SyncSite(database)
    alice, bob = Device.register(site, "alice"), Device.register(site, "bob")
    database.transact(lambda tx: Made(tx).devices(bob.user_id, devices))
    own = {f"D{number}": {**CONTENT, "n": number} for number in range(1, devices + 1)}
    send(alice, f"{devices} devices here, each its own", {bob.user_id: own}, 5)
    send(alice, f"{devices} devices here, all the same", {bob.user_id: {"*": CONTENT}}, 5)
    send(alice, f"{devices} devices elsewhere", {"@carl:far.example": own}, 5)
    send(alice, "one device here", {bob.user_id: {"D1": CONTENT}}, 50)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=2_000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    server = TestServer()
    try:
        with closing(Database(server.create_database(), InlineWorkers())) as database:
            run(database, options.devices)
    finally:
        server.stop()


if __name__ == "__main__":
    main()

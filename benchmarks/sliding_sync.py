"""`python -m benchmarks.sliding_sync`: what the answers of sliding sync cost, for an account with many rooms.

The whole program in memory, without sockets, on an embedded PostgreSQL without fsync: the first window of 20 rooms,
cold and warm, all rooms, an increment with one message, and one with nothing. Queries are counted too.
"""

import argparse
import logging
from collections.abc import Callable
from contextlib import closing
from time import perf_counter
from typing import Any

import structlog

from benchmarks.sync import people_in_rooms
from storage import metrics
from storage.database import Database
from storage.workers import InlineWorkers
from tests.client_api.sliding_client import Slider, rooms_list
from tests.client_api.sync_site import SyncSite
from tests.harness.postgres import TestServer

STATE = [["m.room.create", ""], ["m.room.name", ""], ["m.room.encryption", ""], ["m.room.member", "$LAZY"]]
EXTENSIONS = {name: {"enabled": True} for name in ("to_device", "e2ee", "account_data", "receipts", "typing")}


def timed(name: str, count: int, work: Callable[[], object]) -> None:
    """Run something so often, and print the time and the queries of each."""
    queries, started = metrics.QUERIES._value.get(), perf_counter()
    for _ in range(count):
        work()
    took = perf_counter() - started
    asked = (metrics.QUERIES._value.get() - queries) / count
    print(f"{name:24} {took / count * 1000:9.2f} ms, {asked:6.1f} queries")


def run(database: Database, rooms: int) -> None:
    """All of it."""
    site = SyncSite(database, cache=200_000_000)
    anna = people_in_rooms(site, rooms)
    room = anna.http.get("/_matrix/client/v3/joined_rooms").json["joined_rooms"][0]
    site.start()
    anna.reconnect()
    slider = Slider(anna)

    def body(last: int) -> dict[str, Any]:
        return {"lists": {"all": rooms_list(0, last, 20, STATE)}, "extensions": EXTENSIONS}

    timed("first window, cold", 1, lambda: slider.first(**body(19)))
    timed("first window, warm", 20, lambda: slider.first(**body(19)))
    timed("all rooms", 1, lambda: slider.sync(**body(rooms)))
    timed("nothing new", 500, lambda: slider.sync(**body(rooms)))

    def say_and_sync() -> None:
        anna.say(room, "hello")
        slider.sync(**body(rooms))

    timed("message alone", 50, lambda: anna.say(room, "hello"))
    slider.sync(**body(rooms))
    timed("message and increment", 50, say_and_sync)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=1000)
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    server = TestServer()
    try:
        with closing(Database(server.create_database(), InlineWorkers())) as database:
            run(database, chosen.rooms)
    finally:
        server.stop()


if __name__ == "__main__":
    main()

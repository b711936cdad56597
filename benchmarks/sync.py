"""`python -m benchmarks.sync`: what the answers of `/sync` cost the processor.

The whole program in memory, without sockets, on an embedded PostgreSQL without fsync: a first sync of many rooms, cold
and warm, an empty increment, and one message that wakes many long polls. `--profile NAME` prints where the time goes.
"""

import argparse
import cProfile
import logging
import pstats
from collections.abc import Callable
from contextlib import closing
from time import process_time
from typing import Any

import structlog

from storage.database import Database
from storage.workers import InlineWorkers
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.postgres import TestServer

LAZY = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 20}}}


def timed(name: str, count: int, work: Callable[[], object], profile: str) -> None:
    """Run something and print the processor time of each of its `count` parts."""
    profiler = cProfile.Profile() if profile == name else None
    started = process_time()
    if profiler:
        profiler.runcall(work)
    else:
        work()
    took = process_time() - started
    print(f"{name:20} {took * 1000:9.1f} ms, {took / count * 1e6:9.1f} us each")
    if profiler:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def people_in_rooms(site: SyncSite, rooms: int) -> Syncer:
    """A user in many rooms with some talk in each."""
    anna, bert = site.people("anna", "bert")
    for number in range(rooms):
        room = bert.public_room(name=f"Room {number}")
        anna.join(room)
        for text in range(4):
            bert.say(room, f"message {text}")
    return anna


def first_syncs(site: SyncSite, rooms: int, profile: str) -> None:
    """First syncs of a user in many rooms."""
    anna = people_in_rooms(site, rooms)
    site.start()
    timed("first, cold", rooms, lambda: anna.first_sync(filter=LAZY), profile)
    timed("first, warm", rooms, lambda: anna.first_sync(filter={**LAZY, "event_format": "client"}), profile)
    anna.sync(filter=LAZY)

    def increments() -> None:
        for _ in range(1000):
            anna.sync(filter=LAZY, set_presence="offline")

    timed("empty increment", 1000, increments, profile)


def fan_out(site: SyncSite, members: int, profile: str) -> None:
    """One message after the other to members who wait."""
    owner, *others = [site.person(f"member{number}") for number in range(members)]
    room = owner.public_room(name="Hall")
    for other in others:
        other.join(room)
    everybody = [owner, *others]
    for each in everybody:
        each.first_sync(filter=LAZY)
    site.turn(1)
    for each in everybody:
        each.sync(filter=LAZY)

    def messages() -> None:
        for number in range(10):
            polls = [each.poll(filter=LAZY) for each in everybody]
            site.turn()
            owner.say(room, f"message {number}")
            for _ in range(members):
                site.turn()
            for each, poll in zip(everybody, polls, strict=True):
                each.since = poll.reply.json["next_batch"]

    timed("fan-out", 10 * members, messages, profile)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=1000)
    parser.add_argument("--members", type=int, default=200)
    parser.add_argument("--profile", default="", help="the name of a line")
    parser.add_argument("--only", choices=("rooms", "fan-out"), default=None)
    options: Any = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    server = TestServer()
    try:
        for name, work, size in (
            ("rooms", first_syncs, options.rooms),
            ("fan-out", fan_out, options.members),
        ):
            if options.only in (None, name):
                with closing(Database(server.create_database(), InlineWorkers())) as database:
                    work(SyncSite(database, cache=256_000_000), size, options.profile)
    finally:
        server.stop()


if __name__ == "__main__":
    main()

"""`python -m benchmarks.sizes`: how what clients wait for grows with accounts, rooms and histories.

The whole program in memory, without sockets, on an embedded PostgreSQL without fsync; a table for each of accounts of
so many rooms (`--rooms`), rooms of so many members (`--members`) and histories of so many messages (`--messages`). Each
cell is the median time and how many queries it took. What two servers take is measured by the black-box benchmark.
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any

import psycopg2
import structlog

from benchmarks.searching import copy_messages, search, vocabulary
from benchmarks.sliding_sync import EXTENSIONS, STATE
from benchmarks.sync import LAZY, people_in_rooms
from storage import metrics
from storage.database import Database
from storage.workers import InlineWorkers
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sliding_client import Slider, rooms_list
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness import conformance
from tests.harness.memory import result_of
from tests.harness.postgres import TestServer

CACHE = 256_000_000
RARE = "xylophone"


@dataclass(slots=True)
class Curves:
    """Figures by name, and by size."""

    title: str
    rows: dict[str, dict[int, str]] = field(default_factory=dict)

    def measure(self, name: str, size: int, work: Callable[[], object], times: int = 1) -> None:
        """Run something so often and note what it took."""
        took = []
        queries = metrics.QUERIES._value.get()
        for _ in range(times):
            began = perf_counter()
            work()
            took.append(perf_counter() - began)
        asked = (metrics.QUERIES._value.get() - queries) / times
        median = sorted(took)[times // 2] * 1000
        self.rows.setdefault(name, {})[size] = f"{median:.1f} ms, {asked:.0f}"

    def show(self) -> None:
        """Print the table."""
        sizes = sorted({size for row in self.rows.values() for size in row})
        print(f"\n| {self.title} | {' | '.join(f'{size:,}' for size in sizes)} |")
        print(f"|---|{'---|' * len(sizes)}")
        for name, row in self.rows.items():
            print(f"| {name} | {' | '.join(row.get(size, '') for size in sizes)} |")


def accounts(curves: Curves, site: SyncSite, _dsn: str, size: int) -> None:
    """Syncs of an account of so many rooms."""
    anna = people_in_rooms(site, size)
    room = anna.http.get(f"{V3}/joined_rooms").json["joined_rooms"][0]
    site.start()
    anna.reconnect()
    curves.measure("first sync after a restart", size, lambda: anna.first_sync(filter=LAZY))
    curves.measure("first sync again", size, lambda: anna.first_sync(filter={**LAZY, "presence": {}}))
    anna.sync(filter=LAZY)
    curves.measure("increment with nothing", size, lambda: anna.sync(filter=LAZY), 200)
    curves.measure("a message, sent and synced", size, lambda: _say_and_sync(anna, room), 50)
    site.start()
    anna.reconnect()
    slider = Slider(anna)
    window: dict[str, Any] = {"lists": {"all": rooms_list(0, 19, 20, STATE)}, "extensions": EXTENSIONS}
    curves.measure("first window of 20, after a restart", size, lambda: slider.first(**window))
    curves.measure("first window of 20, again", size, lambda: slider.first(**window), 20)


def _say_and_sync(anna: Syncer, room: str) -> None:
    anna.say(room, "hello")
    anna.sync(filter=LAZY)


def rooms(curves: Curves, site: SyncSite, _dsn: str, size: int) -> None:
    """A room of so many members."""
    owner = site.person("owner")
    room = owner.public_room(name="Hall")
    for number in range(size - 1):
        site.person(f"member{number}").join(room)
    comers = [site.person(f"comer{number}") for number in range(11)]
    curves.measure("list of members", size, lambda: owner.http.get(room_path(room, "members")), 5)
    curves.measure("list of those joined", size, lambda: owner.http.get(room_path(room, "joined_members")), 5)
    curves.measure("first sync, all members", size, owner.first_sync, 3)
    curves.measure("first sync, members as needed", size, lambda: owner.first_sync(filter=LAZY), 3)
    curves.measure("a message", size, lambda: owner.say(room, "hello"), 20)
    coming = iter(comers)
    curves.measure("a join", size, lambda: next(coming).join(room), len(comers))


def histories(curves: Curves, site: SyncSite, dsn: str, size: int) -> None:
    """A room of so many messages: pages of it, and searches."""
    random, anna = Random(1), site.person("anna")
    room, words = anna.public_room(), vocabulary(random, 5000)
    weights = [1 / (rank + 5) for rank in range(len(words))]
    texts = [" ".join(random.choices(words, weights, k=random.randint(3, 20))) for _ in range(size)]
    texts = [f"{text} {RARE}" if number % 100 == 0 else text for number, text in enumerate(texts)]
    with closing(psycopg2.connect(dsn)) as opened, opened.cursor() as cursor:
        copy_messages(cursor, site.journal.position, anna.say(room, "model"), texts)
        opened.commit()
    site.start()
    anna.reconnect()
    for word, kind in ((RARE, "rare"), (words[20], "common")):
        curves.measure(
            f"search for a {kind} word, not indexed yet", size, lambda w=word: search(anna, w, "recent"), 5
        )
    while result_of(site.app.searches.index.step(), lambda: site.clock.advance(0)):
        pass
    for word, kind in ((RARE, "rare"), (words[20], "common")):
        curves.measure(f"search for a {kind} word", size, lambda w=word: search(anna, w, "recent"), 9)
    newest = _page(anna, room, None)
    curves.measure("the latest 100 messages", size, lambda: _page(anna, room, None), 9)
    token = newest["end"]
    for _ in range(size // 1000 * 9 + 1):
        token = _page(anna, room, token).get("end", token)
    curves.measure("100 messages after nine tenths of it", size, lambda: _page(anna, room, token), 9)
    event_id = newest["chunk"][50]["event_id"]
    around = room_path(room, "context", event_id)
    curves.measure("20 messages around one", size, lambda: anna.http.get(around, {"limit": 20}), 9)


def _page(anna: Syncer, room: str, token: str | None) -> Any:
    query: dict[str, str | int] = {"dir": "b", "limit": 100, **({"from": token} if token else {})}
    return anna.http.get(room_path(room, "messages"), query).json


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = (
        ("rooms", "an account of so many rooms", accounts, (10, 200, 1000)),
        ("members", "a room of so many members", rooms, (10, 200, 2000)),
        ("messages", "a room of so many messages", histories, (1000, 10_000, 100_000)),
    )
    for name, _, _, sizes in kinds:
        parser.add_argument(f"--{name}", type=int, nargs="*", default=sizes, metavar="SIZE")
    chosen = vars(parser.parse_args())
    conformance.check = lambda answer: None  # what it costs to check answers is no part of them
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    server = TestServer()
    try:
        for name, title, work, _ in kinds:
            _run(server, Curves(title), work, chosen[name])
    finally:
        server.stop()


def _run(
    server: TestServer,
    curves: Curves,
    work: Callable[[Curves, SyncSite, str, int], None],
    sizes: Sequence[int],
) -> None:
    for size in sizes:
        dsn = server.create_database()
        with closing(Database(dsn, InlineWorkers())) as database:
            work(curves, SyncSite(database, cache=CACHE), dsn, size)
    if sizes:
        curves.show()


if __name__ == "__main__":
    main()

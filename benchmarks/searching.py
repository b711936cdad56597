"""`python -m benchmarks.searching`: what finding messages and users costs, and keeping their indexes.

The whole program in memory, without sockets, on an embedded PostgreSQL without fsync. Messages and users are made by
SQL, the indexes by the server itself; then searches run over HTTP in memory. `--messages` and `--users` say how many.
"""

import argparse
import logging
from collections.abc import Callable
from contextlib import closing
from random import Random
from time import perf_counter, process_time
from typing import Any

import psycopg2
import structlog

from storage.database import Database
from storage.workers import InlineWorkers
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness import conformance
from tests.harness.memory import result_of
from tests.harness.postgres import TestServer

_COPY_EVENTS = """insert into events (nid, event_id, room_id, room_version, pos, ordering, depth, type, sender,
        origin_server_ts, received_ts, outbound, status, state_before, state_after, json)
    select 10000000 + %(pos)s + n,
        '$' || rtrim(translate(encode(sha256((e.room_id || n)::bytea), 'base64'), '+/', '-_'), '='),
        e.room_id, room_version, %(pos)s + n, %(pos)s + n, depth + n, type, sender,
        origin_server_ts + n, received_ts + n, false, 0, state_before, state_after,
        jsonb_set(json::jsonb, '{content,body}', to_jsonb(texts.text))::text
    from events e, unnest(%(texts)s::text[]) with ordinality as texts (text, n) where event_id = %(model)s"""
_USERS = """insert into users (user_id, created_ts)
        select '@user' || n || ':test', 0 from generate_series(1, %(count)s) n;
    insert into profiles (user_id, displayname, fields)
        select '@user' || n || ':test', name, '{}' from unnest(%(names)s::text[]) with ordinality as names (name, n);
    insert into memberships (room_id, user_id, server, membership, event_nid, sender, pos, local)
        select %(room)s, '@user' || n || ':test', 'test', 'join', 1, '@user' || n || ':test', 1, true
        from generate_series(1, %(count)s) n;
    insert into user_directory_stale select user_id from users on conflict do nothing"""


def vocabulary(random: Random, count: int) -> list[str]:
    """Words made of syllables."""
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "in")]
    return ["".join(random.choices(syllables, k=random.randint(1, 4))) for _ in range(count)]


def timed(name: str, work: Callable[[], object], times: int = 20) -> None:
    """Run something a few times and print the median and the longest time."""
    took = []
    for _ in range(times):
        began = perf_counter()
        work()
        took.append(perf_counter() - began)
    took.sort()
    print(f"{name:52} {took[len(took) // 2] * 1000:8.1f} ms, at most {took[-1] * 1000:8.1f} ms")


def copy_messages(cursor: Any, pos: int, model: str, texts: list[str]) -> None:
    """Write messages like one that is there, behind a position."""
    cursor.execute(_COPY_EVENTS, {"pos": pos, "texts": texts, "model": model})
    cursor.execute("update stream set pos = pos + %s", (len(texts),))
    cursor.execute(
        """update rooms set last_pos = %s, depth = depth + %s
           where room_id = (select room_id from events where event_id = %s)""",
        (pos + len(texts), len(texts), model),
    )


def drained(site: SyncSite, name: str, step: Callable[[], Any], count: int) -> None:
    """Let an index come to its end and print what each entry cost."""
    began, processor = perf_counter(), process_time()
    while result_of(step(), lambda: site.clock.advance(0)):
        pass
    took, own = perf_counter() - began, process_time() - processor
    print(f"{name:52} {count / took:8.0f}/s, {own / count * 1e6:6.0f} us of our processor each")


def messages(site: SyncSite, dsn: str, count: int, random: Random) -> None:
    """Index messages of twenty rooms and search those of one user, who is in all of them."""
    anna = site.person("anna")
    words = vocabulary(random, 20_000)
    weights = [1 / (rank + 5) for rank in range(len(words))]
    rooms = [anna.create() for _ in range(20)]
    with closing(psycopg2.connect(dsn)) as opened, opened.cursor() as cursor:
        for room in rooms:
            texts = [
                " ".join(random.choices(words, weights, k=random.randint(3, 20)))
                for _ in range(count // len(rooms))
            ]
            model = anna.say(room, "model")
            copy_messages(cursor, site.journal.position, model, texts)
            opened.commit()
            result_of(_started(site))
    timed(
        f"search rare word before all that: {matches(anna, words[9000], 'recent')} found",
        lambda: search(anna, words[9000], "recent"),
    )
    timed(
        f"search frequent word before all that: {matches(anna, words[300], 'recent')} found",
        lambda: search(anna, words[300], "recent"),
    )
    drained(site, "index messages", site.app.searches.index.step, count)
    analyse(dsn)
    sizes(dsn, "message_search")
    for term, kind in (
        (words[0], "most frequent word"),
        (words[300], "frequent word"),
        (words[9000], "rare word"),
    ):
        for order in ("recent", "rank"):
            timed(
                f"search {kind} by {order}: {matches(anna, term, order)} found",
                lambda t=term, o=order: search(anna, t, o),
            )
    timed("search two words", lambda: search(anna, f"{words[50]} {words[51]}", "recent"))
    timed("search what is not there", lambda: search(anna, "qqqxyz", "recent"))
    bert = site.person("bert")
    bert.create()
    timed("search of somebody in another room", lambda: search(bert, words[0], "recent"))


def users(site: SyncSite, dsn: str, count: int, random: Random) -> None:
    """Make a directory of users of one room and search it as one of them."""
    carl = site.person("carl")
    dora = site.person("dora")
    room = carl.create()
    first, last = vocabulary(random, 2000), vocabulary(random, 5000)
    names = [f"{random.choice(first).title()} {random.choice(last).title()}" for _ in range(count)]
    with closing(psycopg2.connect(dsn)) as opened, opened.cursor() as cursor:
        cursor.execute(_USERS, {"count": count, "names": names, "room": room})
        opened.commit()
    analyse(dsn)
    drained(site, "make entries of users", site.app.searches.directory_upkeep.step, count)
    analyse(dsn)
    sizes(dsn, "user_directory")
    for who, kind in ((carl, "who shares a room with all"), (dora, "who shares none")):
        for term in (names[7], names[7][:4], names[7][:1], names[7][:3] + "x" + names[7][4:], "user777"):
            timed(f"{kind} looks for {term!r}", lambda w=who, t=term: find(w, t))


def search(who: Syncer, term: str, order: str) -> Any:
    """A page of ten."""
    body = {"search_categories": {"room_events": {"search_term": term, "order_by": order}}}
    return who.http.post(f"{V3}/search", body).json["search_categories"]["room_events"]


def matches(who: Syncer, term: str, order: str) -> str:
    """How many there are."""
    found = search(who, term, order)
    return f"{found['count']}{'+' if 'next_batch' in found else ''}"


def find(who: Syncer, term: str) -> Any:
    """Ten users."""
    return who.http.post(f"{V3}/user_directory/search", {"search_term": term}).json["results"]


def analyse(dsn: str) -> None:
    """What PostgreSQL does by itself after a while."""
    with closing(psycopg2.connect(dsn)) as opened, opened.cursor() as cursor:
        opened.autocommit = True
        cursor.execute("vacuum analyze")


def sizes(dsn: str, table: str) -> None:
    """What a table takes on the disk."""
    with closing(psycopg2.connect(dsn)) as opened, opened.cursor() as cursor:
        cursor.execute("select pg_table_size(%s), pg_indexes_size(%s)", (table, table))
        rows, indexes = cursor.fetchone() or (0, 0)
    print(f"{table:52} {rows / 1e6:8.1f} MB, indexes {indexes / 1e6:.1f} MB")


async def _started(site: SyncSite) -> None:
    await site.journal.start()


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=100_000)
    options = parser.parse_args()
    conformance.check = lambda answer: None  # what it costs to check answers is no part of them
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    server = TestServer()
    try:
        dsn = server.create_database()
        database = Database(dsn, InlineWorkers())
        site = SyncSite(database)
        messages(site, dsn, options.messages, Random(1))
        users(site, dsn, options.users, Random(2))
        database.close()
    finally:
        server.stop()


if __name__ == "__main__":
    main()

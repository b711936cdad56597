"""`python -m benchmarks.presence`: what it costs that many users come online at once, and stay.

The whole program in memory, without sockets. Everybody polls; each shares rooms with so many others, some of all users
are in one hall. The same is done without presence, and the difference is what presence costs, by user.
"""

import argparse
import logging
import random
from contextlib import closing
from time import process_time
from typing import Any

import orjson
import structlog
from twisted.internet.defer import Deferred

from homeserver.protocol.filters import Filter
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import parse_sync_token
from homeserver.services.sync.model import SyncRequest
from storage.database import Database
from storage.query import Queries, nothing, query
from storage.workers import InlineWorkers
from tests.client_api.sync_site import SyncSite
from tests.harness.postgres import TestServer

STEP_S = 0.1


class Members(Queries):
    @query(
        """insert into memberships (room_id, user_id, server, membership, event_nid, sender, pos, local)
           select room, member, 'x', 'join', 1, member, 1, true
           from unnest(%(rooms)s::text[], %(users)s::text[]) as given (room, member)""",
        nothing,
    )
    def put(self, rooms: list[str], users: list[str]) -> None: ...


class Polling:
    """A client that polls again and again."""

    def __init__(self, site: SyncSite, again: "list[Polling]", user_id: UserID, since: str) -> None:
        """`again`: where it puts itself when it has an answer."""
        self._site = site
        self._again = again
        self._who = Requester(user_id, DeviceID("D"), None)
        self._since = since
        self.answers = self.told = self.size = 0
        self.poll()

    def poll(self) -> None:
        """Ask for what is new."""
        request = SyncRequest(Filter(), since=parse_sync_token(self._since), timeout_ms=30_000)
        polling = Deferred.fromCoroutine(self._site.app.sync.sync.sync(self._who, request))
        _ = polling.addCallback(self._answered)

    def _answered(self, body: bytes) -> None:
        answer: Any = orjson.loads(body)
        self.answers += 1
        self.told += len(answer.get("presence", {}).get("events", ()))
        self.size += len(body)
        self._since = answer["next_batch"]
        self._again.append(self)


def populate(database: Database, users: int, chance: random.Random, hall: int, size: int) -> list[UserID]:
    """Users, each in a few rooms of a size, and some in one more with all of these."""
    names = [UserID(f"@user{number}:example.org") for number in range(users)]
    rows = [("!hall:example.org", name) for name in names[:hall]]
    for turn in range(3):
        chance.shuffle(names)
        rows += [(f"!room{turn}.{at // size}:example.org", name) for at, name in enumerate(names)]
    for start in range(0, len(rows), 10_000):
        some = rows[start : start + 10_000]
        database.transact(
            lambda tx, some=some: Members(tx).put([room for room, _ in some], [user for _, user in some])
        )
    return names


def storm(
    database: Database, names: list[UserID], seconds: float, stay: float, *, presence: bool
) -> tuple[float, float, int, int]:
    """All of them come online within some seconds, and stay. The processor's seconds for each of both, and how many
    statuses and bytes were told.
    """
    site = SyncSite(database, {"presence": {"enabled": presence}}, cache=1_000_000_000, seed=2 * presence)
    site.person(f"somebody{presence}".lower()).public_room()  # or all positions would be 0
    since = str(site.app.sync.here.ephemeral.token(site.journal.position, 0))
    clients: list[Polling] = []
    again: list[Polling] = []
    started = process_time()
    steps = int(seconds / STEP_S)
    for step in range(steps):
        coming = names[len(names) * step // steps : len(names) * (step + 1) // steps]
        clients += [Polling(site, again, name, since) for name in coming]
        _step(site, again)
    came = process_time() - started
    started = process_time()
    for _ in range(int(stay / STEP_S)):
        _step(site, again)
    stayed = process_time() - started
    site.app.sync.closing()
    site.app.sync.stop()
    return came, stayed, sum(client.told for client in clients), sum(client.size for client in clients)


def _step(site: SyncSite, again: list[Polling]) -> None:
    polling = again[:]
    again.clear()
    for client in polling:
        client.poll()
    site.clock.advance(STEP_S)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=30, help="members of a room; everybody is in three")
    parser.add_argument("--hall", type=int, default=0, help="users who are in one room together, too")
    parser.add_argument("--seconds", type=float, default=30, help="within which all come online")
    parser.add_argument("--stay", type=float, default=60, help="seconds that they stay")
    options: Any = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    server = TestServer()
    try:
        with closing(Database(server.create_database(), InlineWorkers())) as database:
            names = populate(database, options.users, random.Random(1), options.hall, options.size)
            runs = {
                presence: storm(database, names, options.seconds, options.stay, presence=presence)
                for presence in (False, True)
            }
    finally:
        server.stop()
    for index, what in enumerate(("to come online", "to stay")):
        without, with_presence = runs[False][index], runs[True][index]
        each = (with_presence - without) / options.users * 1e6
        print(
            f"{what:16} {without:7.2f} s without presence, {with_presence:7.2f} s with it: {each:7.0f} us a user"
        )
    told, size = runs[True][2], runs[True][3] - runs[False][3]
    print(
        f"told {told} times of a user, {told / options.users:.0f} a user; {size / options.users:.0f} bytes a user"
    )


if __name__ == "__main__":
    main()

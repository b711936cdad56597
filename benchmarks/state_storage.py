"""`python -m benchmarks.state_storage`: bytes of stored state per byte of stored events, for rooms of several shapes.

A state change must cost what it changes, not the room: the second figure is how the cost of one change grows while the
room's state grows eightfold (1: not at all; 8: as if every change stored the state anew).
"""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import structlog

from storage.database import Database
from storage.transaction import Transaction
from storage.workers import InlineWorkers
from tests.client_api.rooms_site import Person, RoomsSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestServer

_STORED = """select (select coalesce(sum(octet_length(layer) + octet_length(set_hash) + 20), 0) from state_snapshots),
                    (select coalesce(sum(octet_length(json)), 0) from events)"""


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes on record, without PostgreSQL's own."""

    state: int
    events: int

    @property
    def ratio(self) -> float:
        """State bytes per event byte."""
        return self.state / self.events

    def since(self, before: "Stored") -> "Stored":
        """What came after."""
        return Stored(self.state - before.state, self.events - before.events)


def stored(database: Database) -> Stored:
    """What all rooms together take."""

    def read(tx: Transaction) -> Stored:
        tx.execute(_STORED)
        ((state, events),) = tx.rows()
        return Stored(int(state), int(events))

    async def answer() -> Stored:
        return await database.read(read)

    return result_of(answer())


def talk(room: str, owner: Person, size: int) -> None:
    """Messages, which change no state."""
    for number in range(size):
        owner.say(room, f"a message of the usual length, number {number}")


def settings(room: str, owner: Person, size: int) -> None:
    """New entries of the state, one after the other."""
    for number in range(size):
        owner.set_state(room, "org.example.setting", {"value": number}, f"setting {number}")


def churn(room: str, owner: Person, size: int) -> None:
    """One entry that changes again and again."""
    for number in range(size):
        owner.set_state(room, "m.room.topic", {"topic": f"topic {number}"})


def mixed(room: str, owner: Person, size: int) -> None:
    """A new entry of the state for every five messages."""
    settings(room, owner, size)
    talk(room, owner, 5 * size)


SHAPES: Final[dict[str, Callable[[str, Person, int], None]]] = {
    "talk": talk,
    "new settings": settings,
    "changing topic": churn,
    "mixed": mixed,
}


def growth(
    site: RoomsSite, shape: Callable[[str, Person, int], None], size: int, name: str
) -> tuple[Stored, float]:
    """What `size` steps of a shape take in a new room, and how much dearer the later of them are than the earlier:
    bytes of state for each of the last half by those for each of the first eighth.
    """
    owner = site.person(name)
    room = owner.create(preset="public_chat")
    begun = stored(site.database)
    shape(room, owner, size // 8)
    early = stored(site.database).since(begun)
    shape(room, owner, size // 2 - size // 8)
    middle = stored(site.database)
    shape(room, owner, size // 2)
    ended = stored(site.database)
    late = ended.since(middle)
    return ended.since(begun), (late.state / (size // 2)) / max(early.state / (size // 8), 1)


def main() -> None:
    """Measure every shape."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    server = TestServer()
    try:
        with closing(Database(server.create_database(), InlineWorkers())) as database:
            site = RoomsSite(database)
            for number, (name, shape) in enumerate(SHAPES.items()):
                for size in (80, 800):
                    total, dearer = growth(site, shape, size, f"person{number}-{size}")
                    print(
                        f"{name:16} {size:5}: {total.ratio:7.3f} state bytes per event byte, growth {dearer:5.2f}"
                    )
    finally:
        server.stop()


if __name__ == "__main__":
    main()

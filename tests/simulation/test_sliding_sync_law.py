"""The law of sliding sync: a connection and its increments leave a client with what a new connection tells later."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from storage.database import Database
from tests.client_api.sliding_client import Slider, SlidingClient, SlidingRoom
from tests.client_api.sync_site import Syncer
from tests.harness.postgres import TestDatabase
from tests.simulation.sync_client import SyncingClient
from tests.simulation.test_sync_law import Step, World

EXTENSIONS = {
    "account_data": {"enabled": True},
    "receipts": {"enabled": True},
    "typing": {"enabled": True},
    "e2ee": {"enabled": True},
}
NAMED = {"include": [{"type": "m.room.name"}, {"type": "custom", "state_key": ""}]}
WHOLE: dict[str, Any] = {"include": [{}]}
LAZY = {"include": [{}], "lazy_members": True}
WIDE = {"timeline_limit": 50, "required_state": WHOLE}


class SlidingWorld(World):
    """The same days, seen by two clients whose windows and wishes change with every request. At the end they look
    at everything.
    """

    def __init__(self, database: Database, wishes: tuple[int, int]) -> None:
        self.sliders: list[Slider] = []
        self.known = [SlidingClient(), SlidingClient()]
        self.wishes = wishes
        super().__init__(database, (0, 0), False)
        self.sliders = [Slider(person, "law", accepted=True) for person in self.people[:2]]
        for client, person in zip(self.known, self.people, strict=False):
            client.own = {person.user_id}

    def request(self, index: int, b: int) -> dict[str, Any]:
        """What a client looks at: a window that slides, now and then all rooms and one more closely."""
        state = (WHOLE, LAZY, NAMED)[(self.wishes[index] + b // 4) % 3]
        config = {"timeline_limit": (1, 2, 3, 10)[b % 4], "required_state": state}
        body: dict[str, Any] = {"extensions": EXTENSIONS, "lists": {"all": config}}
        if b % 3 == 0:
            body["lists"] = {"some": {**config, "range": [0, b % 2]}}
        if b % 5 == 0:
            body["room_subscriptions"] = {self.room(b): {"timeline_limit": 5, "required_state": WHOLE}}
        return body

    def sync(self, person: Syncer, a: int, b: int) -> None:
        for index, slider in enumerate(self.sliders):
            self.known[index].take(slider.sync(**self.request(index, b)))

    def lose_answer(self, person: Syncer, a: int, b: int) -> None:
        for index, slider in enumerate(self.sliders):
            if slider.pos is not None:
                slider.try_sync(slider.pos, **self.request(index, b))

    def check(self) -> None:
        """Compare each client, when it has looked at everything, with one that begins now."""
        for index, watcher in enumerate(self.watchers):
            body: dict[str, Any] = {"extensions": EXTENSIONS, "lists": {"all": WIDE}}
            self.known[index].take(self.sliders[index].sync(**body))
            later = SlidingClient()
            later.take(Slider(watcher, "later", accepted=True).first(**body))
            compare_clients(self.known[index], later)
            compare_syncs(self.known[index], self.later(watcher))


def compare_clients(client: SlidingClient, later: SlidingClient) -> None:
    """What a client came to know must be what a new connection tells; rooms that its user left are nobody's matter."""
    assert _there(client).keys() == _there(later).keys()
    kept, told = (
        {k: v for k, v in each.account_data.items() if k != "m.push_rules"} for each in (client, later)
    )
    assert kept == told
    for room_id, now in _there(later).items():
        room = client.rooms[room_id]
        assert room.fields["membership"] == now.fields["membership"]
        if now.fields["membership"] != "join":
            continue
        assert _shown(room) == _shown(now)
        assert room.state == now.state
        count = min(len(room.timeline), len(now.timeline))
        assert _tail(room, count) == _tail(now, count)
        assert count == len(now.timeline) or len(room.timeline) >= count
        assert room.account_data == now.account_data
        assert now.receipts.items() <= room.receipts.items()


def compare_syncs(sliding: SlidingClient, other: SyncingClient) -> None:
    """What a client of sliding sync came to know must be what `/sync` tells one that begins now."""
    joined = {room_id: room for room_id, room in sliding.rooms.items() if room.fields["membership"] == "join"}
    assert joined.keys() == other.rooms.keys()
    for room_id, room in joined.items():
        now = other.rooms[room_id]
        assert room.state == now.known()
        count = min(len(room.timeline), len(now.timeline))
        assert _tail(room, count) == [event_id for event_id, _ in now.tail(count)]
        assert room.account_data == now.account_data
        assert room.typing == now.typing
        own = {key: event_id for key, event_id in room.receipts.items() if key[1] in sliding.own}
        told = {
            (kind, user_id, thread): event_id
            for (user_id, kind, thread), (event_id, _) in now.receipts.items()
            if user_id in sliding.own
        }
        assert own.items() <= told.items()
        # One event tells one of a user's receipts at the same event in several threads.
        at = {(kind, user_id, event_id) for (kind, user_id, _), event_id in own.items()}
        assert {(kind, user_id, event_id) for (kind, user_id, _), event_id in told.items()} == at


def _there(client: SlidingClient) -> dict[str, SlidingRoom]:
    return {
        room_id: room
        for room_id, room in client.rooms.items()
        if room.fields["membership"] in ("join", "invite", "knock")
    }


def _shown(room: SlidingRoom) -> dict[str, Any]:
    return {
        name: value
        for name, value in room.fields.items()
        if value is not None and not (name == "is_dm" and value is False)
    }


def _tail(room: SlidingRoom, count: int) -> list[str]:
    return [event_id for event_id, _ in room.timeline[len(room.timeline) - count :]]


_small = st.integers(0, 20)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 48), st.integers(0, 2), _small, _small), min_size=20, max_size=60
    ),
    wishes=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_increments_lead_to_what_a_new_connection_tells(
    test_database: TestDatabase, database: Database, steps: list[Step], wishes: tuple[int, int]
) -> None:
    test_database.empty()
    world = SlidingWorld(database, wishes)
    for step in steps:
        world.step(step)
    note("\n".join(world.story))
    world.check()


@pytest.mark.parametrize("seed", range(3))
def test_sliding_law_holds_over_a_long_day(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    world = SlidingWorld(database, (seed, seed + 1))
    for number in range(150):
        world.step((chance.randrange(49), chance.randrange(3), chance.randrange(20), chance.randrange(20)))
        if number % 25 == 24:
            world.check()

"""The law of syncing: a first sync and its increments leave a client with what a first sync tells later."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase
from tests.simulation.sync_client import SyncingClient

NAMES = ("anna", "bert", "cleo")
LAZY = {"room": {"state": {"lazy_load_members": True}}}
REDUNDANT = {"room": {"state": {"lazy_load_members": True, "include_redundant_members": True}}}
FILTERS: tuple[dict[str, Any], ...] = ({}, LAZY, {}, REDUNDANT)

Step = tuple[int, int, int, int]


class World:
    """People in rooms, two of whom sync: their clients are what the law is about."""

    def __init__(self, database: Database, filters: tuple[int, int], state_after: bool) -> None:
        self.site = self.new_site(database)
        result_of(self.site.app.sync.presence_record.start())
        self.people = self.site.people(*NAMES)
        self.story: list[str] = []
        self.rooms: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.clients = [SyncingClient(), SyncingClient()]
        self.threads = filters[0] % 2 == 0
        self.filters = [FILTERS[index % len(FILTERS)] for index in filters]
        self.query: dict[str, Any] = {"use_state_after": True} if state_after else {}
        self.watchers = [_second_device(person) for person in self.people[:2]]
        often = (self.sync,) * 10 + (self.say,) * 6 + (self.set_state,) * 5 + (self.read,) * 3
        self.actions: tuple[Callable[[Syncer, int, int], None], ...] = (
            *often,
            self.join,
            self.join,
            self.leave,
            self.invite,
            self.oust,
            self.ban,
            self.unban,
            self.redact,
            self.redact,
            self.keep,
            self.tag,
            self.type,
            self.type,
            self.reply,
            self.reply,
            self.look,
            self.wait,
            self.ignore,
            self.rename,
            self.lose_answer,
            self.forget_memory,
            self.forget_memory,
            self.restart,
            self.found,
        )
        self.found(self.people[0], 0, 0)
        for person in self.people[1:]:
            person.join(self.rooms[0])
        for _ in range(2):
            self.say(self.people[0], 0, 6)

    def new_site(self, database: Database) -> SyncSite:
        """The site that people talk to at first."""
        return SyncSite(database)

    def step(self, step: Step) -> None:
        """Do something."""
        action, who, a, b = step
        person = self.people[who % len(self.people)]
        done = self.actions[action % len(self.actions)]
        self.story.append(f"{done.__name__} {person.user_id} {a} {b}")
        done(person, a, b)

    def room(self, index: int) -> str:
        return self.rooms[index % len(self.rooms)]

    def other(self, person: Syncer, index: int) -> Syncer:
        others = [each for each in self.people if each is not person]
        return others[index % len(others)]

    def found(self, person: Syncer, a: int, b: int) -> None:
        if len(self.rooms) < 3:
            name = (
                {"name": f"Room {a}"} if a % 2 == 0 else {}
            )  # a room without one tells all members as heroes
            self.rooms.append(person.create(preset="private_chat" if a % 3 == 2 else "public_chat", **name))

    def say(self, person: Syncer, a: int, b: int) -> None:
        room = self.room(a)
        for _ in range(b % 7 + 1):
            reply = person.http.put(
                room_path(room, "send", "m.room.message", self.site.next_transaction()), {"body": str(b)}
            )
            if reply.status == 200:
                self.events.append((room, reply.json["event_id"]))

    def set_state(self, person: Syncer, a: int, b: int) -> None:
        room = self.room(a)
        types = ("m.room.topic", "m.room.name", "custom")
        content = ({"topic": str(b)}, {"name": str(b) if b % 2 else ""}, {"x": b})[b % 3]
        reply = person.try_set_state(room, types[b % 3], content)
        if reply.status == 200:
            self.events.append((room, reply.json["event_id"]))

    def join(self, person: Syncer, a: int, b: int) -> None:
        person.try_join(self.room(a))

    def leave(self, person: Syncer, a: int, b: int) -> None:
        person.try_act("leave", self.room(a))

    def invite(self, person: Syncer, a: int, b: int) -> None:
        person.try_act("invite", self.room(a), user_id=self.other(person, b).user_id)

    def oust(self, person: Syncer, a: int, b: int) -> None:
        person.try_act("kick", self.room(a), user_id=self.other(person, b).user_id)

    def ban(self, person: Syncer, a: int, b: int) -> None:
        person.try_act("ban", self.room(a), user_id=self.other(person, b).user_id)

    def unban(self, person: Syncer, a: int, b: int) -> None:
        person.try_act("unban", self.room(a), user_id=self.other(person, b).user_id)

    def redact(self, person: Syncer, a: int, b: int) -> None:
        if self.events:
            room, event_id = self.events[-1 - a % len(self.events)]
            person.try_redact(room, event_id)

    def read(self, person: Syncer, a: int, b: int) -> None:
        if self.events:
            room, event_id = self.events[-1 - a % min(len(self.events), 4)]
            body = ({}, {}, {"thread_id": "main"})[b % 3]
            person.receipt(room, event_id, "m.read" if b % 4 else "m.read.private", **body)

    def keep(self, person: Syncer, a: int, b: int) -> None:
        content = {"b": b} if b % 3 else {}
        person.put_account_data(f"type{a % 2}", content, self.room(a) if b % 2 else None)

    def tag(self, person: Syncer, a: int, b: int) -> None:
        path = f"{V3}/user/{person.user_id}/rooms/{self.room(a)}/tags/u.{b % 2}"
        if b % 3:
            person.http.put(path, {"order": b / 20})
        else:
            person.http.delete(path)

    def type(self, person: Syncer, a: int, b: int) -> None:
        body = {"typing": b % 3 != 0, "timeout": 1000 * b + 1}
        person.http.put(room_path(self.room(a), "typing", person.user_id), body)

    def reply(self, person: Syncer, a: int, b: int) -> None:
        """Say something in a thread, of which the user is told or not."""
        if self.events:
            room, root = self.events[-1 - a % min(len(self.events), 6)]
            relation: Any = {"rel_type": "m.thread", "event_id": root}
            reply = person.try_say(room, "in a thread", **{"m.relates_to": relation})
            if reply.status == 200 and b % 2:
                person.receipt(room, reply.json["event_id"], thread_id=root)

    def look(self, person: Syncer, a: int, b: int) -> None:
        """Say how one is."""
        presence = ("online", "unavailable", "offline")[b % 3]
        path = f"{V3}/presence/{person.user_id}/status"
        person.http.put(path, {"presence": presence, "status_msg": str(a)})
        self.site.turn(0.1)

    def wait(self, person: Syncer, a: int, b: int) -> None:
        self.site.turn(a)

    def ignore(self, person: Syncer, a: int, b: int) -> None:
        """Mute a room, or do so no more: what is unread of it counts for nothing."""
        room = self.room(a)
        path = f"{V3}/pushrules/global/override/{room}"
        condition = {"kind": "event_match", "key": "room_id", "pattern": room}
        if b % 2:
            person.http.put(path, {"conditions": [condition], "actions": []})
        else:
            person.http.delete(path)

    def rename(self, person: Syncer, a: int, b: int) -> None:
        person.http.put(f"{V3}/profile/{person.user_id}/displayname", {"displayname": f"name {b}"})

    def lose_answer(self, person: Syncer, a: int, b: int) -> None:
        for index, watcher in enumerate(self.people[:2]):
            watcher.try_sync(watcher.since, filter=self.filter(index, b), **self.query)

    def forget_memory(self, person: Syncer, a: int, b: int) -> None:
        sources = self.site.app.sync.sources
        if a % 2:
            sources.recent.start(self.site.journal.position)
        if b % 2:
            sources.here.live.forget_all()
        if a % 3 == 0:
            self.site.forget()

    def restart(self, person: Syncer, a: int, b: int) -> None:
        result_of(self.site.app.sync.presence_record.stop())
        self.site.start()
        result_of(self.site.app.sync.presence_record.start())
        for each in (*self.people, *self.watchers):
            each.reconnect()

    def sync(self, person: Syncer, a: int, b: int) -> None:
        for index, watcher in enumerate(self.people[:2]):
            self.clients[index].take(watcher.sync(filter=self.filter(index, b), **self.query))

    def filter(self, index: int, b: int) -> dict[str, Any]:
        limit = (1, 2, 3, 10)[b % 4]
        chosen = self.filters[index]
        timeline = {"limit": limit, "unread_thread_notifications": self.threads}
        return {**chosen, "room": {**chosen.get("room", {}), "timeline": timeline}}

    def check(self) -> None:
        """Compare each client with one that begins now, which is told all members."""
        self.sync(self.people[0], 0, 3)
        self.site.turn(0.1)
        self.sync(self.people[0], 0, 3)
        for index, watcher in enumerate(self.watchers):
            later = self.later(watcher)
            compare(self.clients[index], later, lazy=self.filters[index] != {})

    def later(self, watcher: Syncer) -> SyncingClient:
        """A client that begins now, and is not seen."""
        later = SyncingClient()
        timeline = {"limit": 50, "unread_thread_notifications": self.threads}
        later.take(watcher.first_sync(filter={"room": {"timeline": timeline}}, set_presence="offline"))
        return later


def compare(client: SyncingClient, later: SyncingClient, *, lazy: bool) -> None:
    """What a client came to know must be what a later first sync tells."""
    assert client.rooms.keys() == later.rooms.keys()
    assert client.invites == later.invites
    members = later.members()
    present, later_present = (
        {
            user: presence
            for user, presence in each.presence.items()
            if presence != "offline" and user in members
        }
        for each in (client, later)
    )
    assert present == later_present
    assert {k: v for k, v in client.account_data.items() if k != "m.push_rules"} == {
        k: v for k, v in later.account_data.items() if k != "m.push_rules"
    }
    for room_id, room in client.rooms.items():
        now = later.rooms[room_id]
        if lazy:
            assert room.known().items() <= now.known().items()
            told = {key for key in room.state if key[0] == "m.room.member"}
            said = {("m.room.member", event["sender"]) for event in room.timeline}
            assert said & now.state.keys() <= told
            assert (
                now.known().keys() - {key for key in now.state if key[0] == "m.room.member"}
                <= room.state.keys()
            )
        else:
            assert room.known() == now.known()
        count = min(len(room.timeline), len(now.timeline))
        assert room.tail(count) == now.tail(count)
        assert room.account_data == now.account_data
        assert room.receipts == now.receipts
        assert room.typing == now.typing
        assert room.unread == now.unread
        assert room.summary["m.joined_member_count"] == now.summary["m.joined_member_count"]
        assert room.summary["m.invited_member_count"] == now.summary["m.invited_member_count"]
        if "m.heroes" in now.summary:
            assert room.summary["m.heroes"] == now.summary["m.heroes"]


def _second_device(person: Syncer) -> Syncer:
    reply = person.http.post(
        f"{V3}/login",
        {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": person.user_id},
            "password": PASSWORD,
        },
    )
    assert reply.status == 200, reply.text
    return Syncer(person.sync_site, reply.json)


_small = st.integers(0, 20)


def lives(actions: int, examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a law worlds with steps of so many actions to live through."""
    action = st.integers(0, actions - 1)
    given_steps = given(
        steps=st.lists(st.tuples(action, st.integers(0, 2), _small, _small), min_size=20, max_size=60),
        filters=st.tuples(st.integers(0, 3), st.integers(0, 3)),
        state_after=st.booleans(),
    )
    bounded = settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    return lambda law: bounded(given_steps(law))


def live_through(world: World, steps: list[Step]) -> None:
    """Take the steps, and see whether the law held."""
    for step in steps:
        world.step(step)
    note("\n".join(world.story))
    world.check()


@lives(actions=49, examples=40)
def test_increments_lead_to_what_a_later_first_sync_tells(
    test_database: TestDatabase,
    database: Database,
    steps: list[Step],
    filters: tuple[int, int],
    state_after: bool,
) -> None:
    test_database.empty()
    live_through(World(database, filters, state_after), steps)


@pytest.mark.parametrize("seed", range(4))
def test_law_holds_over_a_long_day(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    world = World(database, (seed, seed // 2 + 1), state_after=seed == 3)
    for number in range(200):
        world.step((chance.randrange(49), chance.randrange(3), chance.randrange(20), chance.randrange(20)))
        if number % 25 == 24:
            world.check()

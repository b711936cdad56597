"""What somebody may not see is shown to them nowhere: every way of reading, by everybody who is not in the room.

Each endpoint that shows events has leaked them in some server once: CVE-2021-39163, CVE-2022-39335, CVE-2023-43796,
CVE-2024-53867.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pytest

from storage.database import Database
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sliding_client import ACCEPTED, DEPLOYED
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Reply

V1: Final = "/_matrix/client/v1"
SECRET: Final = "secret"
LEAVES: Final = json.dumps({"room": {"include_leave": True, "timeline": {"limit": 50}}})


@dataclass(frozen=True, slots=True)
class Secrets:
    """What happened in a room while somebody was not to see it, and what they know to ask for."""

    room: str
    before: str
    message: str
    reply: str
    since: str
    upto: str


def whisper(
    owner: Syncer, late: Syncer, room: str, before: str, since: str, *, shown: tuple[str, ...] = ()
) -> Secrets:
    """Everything in this room is secret from now on, but for the types of state that are `shown` to who is invited."""
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": before}}
    edit = {
        "m.new_content": {"body": "secret edit"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": before},
    }
    message = owner.say(room, "secret message")
    reply = owner.say(room, "secret reply", **thread)
    owner.say(room, "* secret edit", **edit)
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": before, "key": "secret key"}}
    path = room_path(room, "send", "m.reaction", owner.site.next_transaction())
    assert owner.http.put(path, reaction).status == 200
    for name in {"topic", "name"} - set(shown):
        owner.set_state(room, f"m.room.{name}", {name: f"secret {name}"})
    owner.set_state(room, "test.state", {"a": "secret state"}, "secret_key")
    owner.invite(room, late, reason="secret reason")
    late.join(room)
    owner.sync_site.turn(60)
    return Secrets(room, before, message, reply, since, owner.sync()["next_batch"])


Reading = Callable[[Syncer, Secrets], Iterator[Reply]]


def by_single_events(who: Syncer, of: Secrets) -> Iterator[Reply]:
    for event_id in (of.message, of.reply):
        yield who.try_event(of.room, event_id)
        yield who.here.get(room_path(of.room, "context", event_id), {"limit": 20})
    yield who.try_event(of.room, of.before)
    yield who.here.get(room_path(of.room, "context", of.before), {"limit": 20})


def by_pages(who: Syncer, of: Secrets) -> Iterator[Reply]:
    for direction in ("b", "f"):
        yield who.try_page(of.room, direction, limit=100)
        yield who.try_page(of.room, direction, limit=100, from_=of.since)
        yield who.try_page(of.room, direction, limit=100, from_=of.upto)


def by_relations(who: Syncer, of: Secrets) -> Iterator[Reply]:
    for parent in (of.before, of.message):
        path = f"{V1}/rooms/{quote(of.room)}/relations/{quote(parent)}"
        for more in ("", "/m.thread", "/m.annotation", "/m.replace", "/m.thread/m.room.message"):
            yield who.here.get(path + more, {"recurse": True, "limit": 50})
    for include in ("all", "participated"):
        yield who.here.get(f"{V1}/rooms/{quote(of.room)}/threads", {"include": include})


def by_state(who: Syncer, of: Secrets) -> Iterator[Reply]:
    yield who.here.get(room_path(of.room, "state"))
    for event_type, key in (("m.room.topic", ""), ("m.room.name", ""), ("test.state", "secret_key")):
        yield who.try_state(of.room, event_type, key)
        yield who.try_state(of.room, event_type, key, format="event")
    yield who.here.get(room_path(of.room, "members"))
    yield who.here.get(room_path(of.room, "members"), {"at": of.upto})
    yield who.here.get(room_path(of.room, "joined_members"))
    yield who.here.get(room_path(of.room, "aliases"))


def by_search(who: Syncer, of: Secrets) -> Iterator[Reply]:
    for keys in (["content.body"], ["content.name", "content.topic"]):
        wish: dict[str, Any] = {"search_term": SECRET, "keys": keys, "include_state": True}
        wish["event_context"] = {"include_profile": True, "before_limit": 5, "after_limit": 5}
        for rooms in ({}, {"filter": {"rooms": [of.room]}}):
            yield who.here.post(f"{V3}/search", {"search_categories": {"room_events": {**wish, **rooms}}})
    yield who.here.post(f"{V3}/user_directory/search", {"search_term": "secretive"})


def by_sync(who: Syncer, of: Secrets) -> Iterator[Reply]:
    yield who.try_sync()
    yield who.try_sync(full_state=True, filter=LEAVES)
    yield who.try_sync(of.since, filter=LEAVES)
    yield who.try_sync(of.since, full_state=True, filter=LEAVES)
    yield who.try_sync(use_state_after=True, filter=LEAVES)
    for path in (DEPLOYED, ACCEPTED):
        wanted = {"timeline_limit": 50, "required_state": [["*", "*"]]}
        every = {"all": {"ranges": [[0, 50]], **wanted}}
        if path == DEPLOYED:
            yield who.here.post(path, {"lists": every, "room_subscriptions": {of.room: wanted}})


def by_old_sync(who: Syncer, of: Secrets) -> Iterator[Reply]:
    yield who.here.get(f"{V3}/initialSync", {"archived": True, "limit": 50})
    yield who.here.get(room_path(of.room, "initialSync"), {"limit": 50})
    yield who.here.get(f"{V3}/events", {"timeout": 0, "from": of.since})
    yield who.here.get(f"{V3}/events", {"timeout": 0, "room_id": of.room, "from": of.since})
    yield who.here.get(f"{V3}/notifications", {"limit": 50})


def by_lists(who: Syncer, of: Secrets) -> Iterator[Reply]:
    yield who.here.get(f"{V1}/rooms/{quote(of.room)}/hierarchy")
    yield who.here.get(f"{V1}/room_summary/{quote(of.room)}")
    yield who.here.get(f"{V3}/publicRooms")
    for direction in ("b", "f"):
        yield who.here.get(
            f"{V1}/rooms/{quote(of.room)}/timestamp_to_event", {"ts": 10**13, "dir": direction}
        )


READINGS: Final[list[Reading]] = [
    by_single_events,
    by_pages,
    by_relations,
    by_state,
    by_search,
    by_sync,
    by_old_sync,
    by_lists,
]


class Scene:
    """Alice's room, and Mallory, who is kept out of it in one way or another."""

    def __init__(self, site: SyncSite) -> None:
        self.alice, self.late, self.mallory = site.people("alice", "secretive", "mallory")

    def room(self, visibility: str) -> tuple[str, str]:
        """A private room, and what was said in it that is no secret."""
        state = {
            "type": "m.room.history_visibility",
            "state_key": "",
            "content": {"history_visibility": visibility},
        }
        room = self.alice.create(initial_state=[state], preset="private_chat", name="room")
        return room, self.alice.say(room, "open")

    def lets_in(self, room: str) -> None:
        """Mallory is invited and comes."""
        self.alice.invite(room, self.mallory)
        self.mallory.join(room)

    def whisper(self, room: str, before: str) -> Secrets:
        """What Mallory is not to see. An invite shows what the room is called."""
        answer = self.mallory.sync()
        shown = ("topic", "name") if room in answer.get("rooms", {}).get("invite", {}) else ()
        return whisper(self.alice, self.late, room, before, answer["next_batch"], shown=shown)


def never_there(scene: Scene, room: str) -> None:
    """Mallory only knows the room's ID."""


def invited(scene: Scene, room: str) -> None:
    scene.alice.invite(room, scene.mallory)


def uninvited(scene: Scene, room: str) -> None:
    scene.alice.invite(room, scene.mallory)
    scene.mallory.act("leave", room)


def left(scene: Scene, room: str) -> None:
    scene.lets_in(room)
    scene.mallory.sync()
    scene.mallory.act("leave", room)


def forgot(scene: Scene, room: str) -> None:
    left(scene, room)
    scene.mallory.act("forget", room)


def kicked(scene: Scene, room: str) -> None:
    scene.lets_in(room)
    scene.alice.act("kick", room, user_id=scene.mallory.user_id)


def banned(scene: Scene, room: str) -> None:
    scene.lets_in(room)
    scene.mallory.say(room, "hello")
    scene.alice.act("ban", room, user_id=scene.mallory.user_id)


def banned_from_afar(scene: Scene, room: str) -> None:
    scene.alice.act("ban", room, user_id=scene.mallory.user_id)


KEPT_OUT: Final = [never_there, invited, uninvited, left, forgot, kicked, banned, banned_from_afar]


@pytest.fixture
def scene(database: Database) -> Scene:
    """A whole server."""
    return Scene(SyncSite(database))


def shows_nothing(who: Syncer, of: Secrets) -> None:
    """Read everything, everywhere."""
    for reading in READINGS:
        for number, reply in enumerate(reading(who, of)):
            assert reply.status < 500, reply.text
            shown = reply.text.replace('"highlights":["secret"]', "")
            assert SECRET not in shown.replace(of.room, ""), f"{reading.__name__} {number}: {reply.text}"


@pytest.mark.parametrize("keep_out", KEPT_OUT)
@pytest.mark.parametrize("visibility", ["shared", "joined"])
def test_who_is_not_in_the_room_sees_nothing_that_happens(
    scene: Scene, visibility: str, keep_out: Callable[[Scene, str], None]
) -> None:
    room, before = scene.room(visibility)
    keep_out(scene, room)
    shows_nothing(scene.mallory, scene.whisper(room, before))


def test_the_members_see_all_of_it(scene: Scene) -> None:
    """The table above looks where there is something to be seen."""
    room, before = scene.room("shared")
    scene.lets_in(room)
    of = scene.whisper(room, before)
    for reading in READINGS:
        seen = [SECRET in reply.text for reply in reading(scene.mallory, of)]
        assert any(seen), reading.__name__


@pytest.mark.parametrize("back", [False, True])
def test_who_comes_later_sees_no_message_from_before(scene: Scene, back: bool) -> None:
    room, before = scene.room("joined")
    if back:
        left(scene, room)
    message = scene.alice.say(room, "secret message")
    since = scene.mallory.sync()["next_batch"]
    scene.lets_in(room)
    scene.alice.say(room, "open again")
    scene.alice.sync_site.turn(60)
    of = Secrets(room, before, message, message, since, scene.mallory.sync()["next_batch"])
    shows_nothing(scene.mallory, of)

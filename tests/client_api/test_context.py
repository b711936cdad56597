"""GET /rooms/{roomId}/context/{eventId}."""

import json
from typing import Any

from tests.client_api.rooms_site import Person, RoomsSite, room_path
from tests.harness.client import Reply


def _context(person: Person, room: str, event_id: str, **query: str | int) -> Any:
    reply = _try_context(person, room, event_id, **query)
    assert reply.status == 200, reply.text
    return reply.json


def _try_context(person: Person, room: str, event_id: str, **query: str | int) -> Reply:
    return person.http.get(room_path(room, "context", event_id), query)


def _bodies(events: list[Any]) -> list[str]:
    return [event["content"]["body"] for event in events]


def test_an_event_is_shown_between_its_neighbours_nearest_first(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    said = [alice.say(room, str(number)) for number in range(9)]
    context = _context(alice, room, said[4], limit=4)
    assert context["event"]["event_id"] == said[4]
    assert _bodies(context["events_before"]) == ["3", "2"]
    assert _bodies(context["events_after"]) == ["5", "6"]
    assert {event["type"] for event in context["state"]} >= {"m.room.create", "m.room.member"}


def test_history_goes_on_from_the_tokens_of_a_context(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    said = [alice.say(room, str(number)) for number in range(9)]
    context = _context(alice, room, said[4], limit=4)
    assert alice.texts(room, from_=context["start"], limit=2) == ["1", "0"]
    assert alice.texts(room, "f", from_=context["end"], limit=9) == ["7", "8"]


def test_a_context_without_neighbours_has_tokens_on_both_sides_of_its_event(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    said = [alice.say(room, str(number)) for number in range(3)]
    context = _context(alice, room, said[1], limit=0)
    assert (context["events_before"], context["events_after"]) == ([], [])
    assert alice.texts(room, from_=context["start"], limit=1) == ["0"]
    assert alice.texts(room, "f", from_=context["end"], limit=1) == ["2"]


def test_the_state_of_a_context_is_that_of_its_last_event(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(name="Before")
    event_id = alice.say(room, "hello")
    alice.say(room, "again")
    alice.set_state(room, "m.room.name", {"name": "After"})
    context = _context(alice, room, event_id, limit=2)
    names = [event["content"]["name"] for event in context["state"] if event["type"] == "m.room.name"]
    assert names == ["Before"]


def test_a_context_loads_only_members_who_spoke(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room()
    bob.join(room)
    carol.join(room)
    event_id = bob.say(room, "hello")
    lazy = json.dumps({"lazy_load_members": True, "types": ["m.room.message", "m.room.member"]})
    context = _context(alice, room, event_id, limit=0, filter=lazy)
    assert [event["state_key"] for event in context["state"]] == [bob.user_id]


def test_events_that_cannot_be_seen_have_no_context(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    event_id = alice.say(room, "hello")
    assert _try_context(bob, room, event_id).errcode == "M_FORBIDDEN"
    bob.join(room)
    bob.act("leave", room)
    later = alice.say(room, "later")
    assert _try_context(bob, room, later).errcode == "M_NOT_FOUND"
    assert _try_context(bob, room, event_id, limit=5).status == 200
    assert _try_context(alice, room, "$unknown").errcode == "M_NOT_FOUND"
    assert _try_context(alice, room, event_id, limit=-1).errcode == "M_INVALID_PARAM"

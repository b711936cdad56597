"""Who sees which events: https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility"""

import pytest

from tests.client_api.rooms_site import Person, RoomsSite


def _room(alice: Person, visibility: str) -> str:
    return alice.public_room(
        initial_state=[{"type": "m.room.history_visibility", "content": {"history_visibility": visibility}}]
    )


@pytest.mark.parametrize(
    ("visibility", "before_invite", "before_join"),
    [
        ("world_readable", True, True),
        ("shared", True, True),
        ("invited", False, True),
        ("joined", False, False),
    ],
)
def test_who_joins_sees_what_the_setting_at_each_event_allows(
    rooms: RoomsSite, visibility: str, before_invite: bool, before_join: bool
) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = _room(alice, visibility)
    one = alice.say(room, "before the invite")
    alice.invite(room, bob)
    two = alice.say(room, "before the join")
    bob.join(room)
    alice.say(room, "after the join")

    expected = ["before the invite"] * before_invite + ["before the join"] * before_join + ["after the join"]
    assert bob.texts(room, "f", limit=100) == expected
    assert bob.texts(room, "b", limit=100) == expected[::-1]
    assert (bob.try_event(room, one).status == 200) is before_invite
    assert (bob.try_event(room, two).status == 200) is before_join


@pytest.mark.parametrize("visibility", ["shared", "invited", "joined"])
def test_who_left_sees_nothing_of_what_came_then(rooms: RoomsSite, visibility: str) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = _room(alice, visibility)
    bob.join(room)
    alice.say(room, "together")
    bob.act("leave", room)
    missed = alice.say(room, "alone")
    assert bob.texts(room, limit=100) == ["together"]
    assert bob.try_event(room, missed).errcode == "M_NOT_FOUND"


@pytest.mark.parametrize(("visibility", "sees"), [("shared", True), ("joined", False)])
def test_who_comes_back_sees_the_time_between_as_the_setting_says(
    rooms: RoomsSite, visibility: str, sees: bool
) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = _room(alice, visibility)
    bob.join(room)
    bob.act("leave", room)
    alice.say(room, "alone")
    bob.join(room)
    assert bob.texts(room, limit=100) == ["alone"] * sees
    membership = [
        event["unsigned"]["membership"]
        for event in bob.page(room, limit=100)["chunk"]
        if event["type"] == "m.room.message"
    ]
    assert membership == ["leave"] * sees


def test_a_setting_counts_from_its_event_on(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = _room(alice, "joined")
    alice.say(room, "hidden")
    alice.set_state(room, "m.room.history_visibility", {"history_visibility": "shared"})
    alice.say(room, "shown")
    alice.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
    alice.say(room, "hidden again")
    bob.join(room)
    assert bob.texts(room, limit=100) == ["shown"]


def test_strangers_see_only_what_was_sent_while_the_room_was_world_readable(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = _room(alice, "shared")
    hidden = alice.say(room, "hidden")
    alice.set_state(room, "m.room.history_visibility", {"history_visibility": "world_readable"})
    shown = alice.say(room, "shown")
    assert bob.texts(room, limit=100) == ["shown"]
    assert bob.try_event(room, hidden).errcode == "M_NOT_FOUND"
    assert bob.try_event(room, shown).status == 200


def test_a_rejected_invite_opens_nothing(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = _room(alice, "shared")
    event_id = alice.say(room, "inside")
    alice.invite(room, bob)
    bob.act("leave", room)
    assert bob.try_page(room).errcode == "M_FORBIDDEN"
    assert bob.try_event(room, event_id).errcode == "M_NOT_FOUND"
    assert bob.try_state(room, "m.room.name").errcode == "M_FORBIDDEN"

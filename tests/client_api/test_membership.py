"""Joining, inviting, leaving, forgetting; kicks, bans and knocks."""

from typing import Any

import pytest

from homeserver.app.wiring_rooms import Remotes
from storage.database import Database
from tests.client_api.other_servers import OtherServers, invited_from_outside
from tests.client_api.rooms_site import V3, Person, RoomsSite, room_path


def test_anybody_may_join_a_public_room_by_id_and_by_alias(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room(room_alias_name="hall")
    assert bob.join(room) == room
    assert carol.join("#hall:test") == room
    members = {
        user for (kind, user), event in alice.whole_state(room).items()
        if kind == "m.room.member" and event["content"]["membership"] == "join"
    }  # fmt: skip
    assert members == {alice.user_id, bob.user_id, carol.user_id}


def test_to_join_again_changes_nothing(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    before = alice.whole_state(room)
    bob.join(room)
    assert alice.whole_state(room) == before


def test_a_join_says_the_name_of_the_user_and_the_reason(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    bob.http.put(f"{V3}/profile/{bob.user_id}/displayname", {"displayname": "Bob"})
    room = alice.public_room()
    bob.join(room, reason="curious")
    assert alice.state(room, "m.room.member", bob.user_id) == {
        "membership": "join",
        "displayname": "Bob",
        "reason": "curious",
    }


def test_nobody_joins_a_private_room_without_an_invite(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.create()
    assert bob.try_join(room).errcode == "M_FORBIDDEN"
    alice.invite(room, bob, reason="welcome")
    assert alice.state(room, "m.room.member", bob.user_id)["reason"] == "welcome"
    bob.join(room)


def test_an_unknown_room_cannot_be_joined(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    assert alice.try_join("!nowhere:elsewhere").status == 404
    assert alice.try_join("#nowhere:test").errcode == "M_NOT_FOUND"
    assert alice.try_join("nowhere").errcode == "M_INVALID_PARAM"


def test_who_is_not_in_the_room_cannot_invite(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room()
    assert bob.try_act("invite", room, user_id=carol.user_id).errcode == "M_FORBIDDEN"


def test_who_is_in_the_room_already_cannot_be_invited(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    assert alice.try_act("invite", room, user_id=bob.user_id).errcode == "M_FORBIDDEN"


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"user_id": "bob"}, "M_INVALID_PARAM"),
        ({"user_id": 5}, "M_BAD_JSON"),
        ({"medium": "email", "address": "bob@example.org", "id_server": "x"}, "M_THREEPID_DENIED"),
        ({"user_id": "@bob:elsewhere"}, "M_FORBIDDEN"),
    ],
)
def test_invites_that_name_no_user_of_ours_are_refused(
    rooms: RoomsSite, body: dict[str, Any], errcode: str
) -> None:
    alice = rooms.person("alice")
    reply = alice.http.post(room_path(alice.create(), "invite"), body)
    assert reply.errcode == errcode


def test_an_invite_can_be_rejected(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.create(invite=[bob.user_id])
    bob.act("leave", room)
    assert alice.membership(room, bob) == "leave"
    assert bob.try_join(room).errcode == "M_FORBIDDEN"


def test_who_left_is_left_alone_when_they_leave_again(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    bob.act("leave", room, reason="bye")
    before = alice.whole_state(room)
    assert before["m.room.member", bob.user_id]["content"] == {"membership": "leave", "reason": "bye"}
    bob.act("leave", room)
    assert alice.whole_state(room) == before


def test_who_never_was_in_a_room_cannot_leave_it(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    assert bob.try_act("leave", alice.public_room()).errcode == "M_FORBIDDEN"
    assert bob.try_act("leave", "!unknown:test").errcode == "M_FORBIDDEN"


def test_a_kicked_user_may_come_back_and_a_banned_one_may_not(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room(room_alias_name="hall")
    bob.join(room)
    alice.act("kick", room, user_id=bob.user_id, reason="out")
    assert alice.state(room, "m.room.member", bob.user_id) == {"membership": "leave", "reason": "out"}
    bob.join(room)
    alice.act("ban", room, user_id=bob.user_id, reason="for good")
    assert alice.state(room, "m.room.member", bob.user_id) == {"membership": "ban", "reason": "for good"}
    assert bob.try_join(room).errcode == "M_FORBIDDEN"
    assert bob.try_join("#hall:test").errcode == "M_FORBIDDEN"
    assert alice.try_act("invite", room, user_id=bob.user_id).errcode == "M_FORBIDDEN"
    alice.act("unban", room, user_id=bob.user_id)
    bob.join(room)


def test_moderation_takes_power(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room()
    bob.join(room)
    carol.join(room)
    for action in ("kick", "ban"):
        assert bob.try_act(action, room, user_id=carol.user_id).errcode == "M_FORBIDDEN"
    alice.act("ban", room, user_id=carol.user_id)
    assert bob.try_act("unban", room, user_id=carol.user_id).errcode == "M_FORBIDDEN"


def test_who_is_not_there_cannot_be_kicked_and_who_is_not_banned_cannot_be_unbanned(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    assert alice.try_act("kick", room, user_id=bob.user_id).errcode == "M_FORBIDDEN"
    bob.join(room)
    assert alice.try_act("unban", room, user_id=bob.user_id).errcode == "M_FORBIDDEN"
    assert alice.membership(room, bob) == "join"


def test_a_forgotten_room_shows_nothing_any_more(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    event_id = alice.say(room, "hello")
    assert bob.try_act("forget", room).errcode == "M_UNKNOWN"
    bob.act("leave", room)
    assert bob.try_page(room).status == 200
    assert bob.try_event(room, event_id).status == 200
    bob.act("forget", room)
    assert bob.try_page(room).errcode == "M_FORBIDDEN"
    assert bob.try_event(room, event_id).errcode == "M_NOT_FOUND"
    bob.join(room)
    assert bob.try_page(room).status == 200


def test_a_room_one_was_kicked_from_can_be_forgotten(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    alice.act("kick", room, user_id=bob.user_id)
    bob.act("forget", room)
    assert bob.try_act("forget", "!unknown:test").errcode == "M_NOT_FOUND"


def _restricted_room(alice: Person, allowed: str, rule: str = "restricted") -> str:
    allow = [{"type": "m.room_membership", "room_id": allowed}]
    rules = {"type": "m.room.join_rules", "content": {"join_rule": rule, "allow": allow}}
    return alice.create(initial_state=[rules])


def test_members_of_the_allowed_room_may_join_a_restricted_one(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    space = alice.public_room()
    room = _restricted_room(alice, space)
    bob.join(space)
    bob.join(room)
    assert (
        alice.state(room, "m.room.member", bob.user_id)["join_authorised_via_users_server"] == alice.user_id
    )
    forged = {"membership": "join", "displayname": "Bobby", "join_authorised_via_users_server": "unused"}
    bob.set_state(room, "m.room.member", forged, bob.user_id)
    assert alice.state(room, "m.room.member", bob.user_id) == {"membership": "join", "displayname": "Bobby"}
    forged["membership"] = "invite"
    assert alice.try_set_state(room, "m.room.member", forged, carol.user_id).errcode == "M_FORBIDDEN"
    assert carol.try_join(room).errcode == "M_FORBIDDEN"
    alice.invite(room, carol)
    carol.join(room)
    assert "join_authorised_via_users_server" not in alice.state(room, "m.room.member", carol.user_id)


def test_any_member_authorises_a_restricted_join_where_all_may_invite(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    space = alice.public_room()
    room = _restricted_room(alice, space)
    for person in (bob, carol):
        person.join(space)
    bob.join(room)
    alice.act("leave", room)
    carol.join(room)
    member = bob.state(room, "m.room.member", carol.user_id)
    assert member["join_authorised_via_users_server"] == bob.user_id


def test_a_restricted_join_needs_a_member_who_may_invite(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    space = alice.public_room()
    room = _restricted_room(alice, space)
    alice.act("leave", room)
    bob.join(space)
    reply = bob.try_join(room)
    assert reply.status in (400, 404)


def test_one_may_knock_where_the_join_rule_says_so(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.create()
    path = f"{V3}/knock/{room}"
    assert bob.http.post(path, {}).errcode == "M_FORBIDDEN"
    alice.set_state(room, "m.room.join_rules", {"join_rule": "knock"})
    assert bob.http.post(path, {"reason": "let me in"}).json == {"room_id": room}
    assert alice.state(room, "m.room.member", bob.user_id) == {
        "membership": "knock",
        "reason": "let me in",
        "displayname": "bob",
    }
    assert bob.try_join(room).errcode == "M_FORBIDDEN"
    alice.invite(room, bob)
    bob.join(room)


def test_a_knock_can_be_taken_back(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = _restricted_room(alice, alice.public_room(), "knock_restricted")
    assert bob.http.post(f"{V3}/knock/{room}").status == 200
    bob.act("leave", room)
    assert alice.membership(room, bob) == "leave"


def test_a_profile_changes_in_all_rooms_of_the_user(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    first, second = alice.public_room(), alice.public_room()
    bob.join(first)
    bob.join(second, reason="why not")
    bob.http.put(f"{V3}/profile/{bob.user_id}/displayname", {"displayname": "Bobby"})
    for room in (first, second):
        content = alice.state(room, "m.room.member", bob.user_id)
        assert content == {"membership": "join", "displayname": "Bobby"}


def test_a_user_may_have_a_name_for_one_room_alone(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room, other = alice.create(), alice.create()
    alice.set_state(room, "m.room.member", {"membership": "join", "displayname": "Al"}, alice.user_id)
    assert alice.state(room, "m.room.member", alice.user_id)["displayname"] == "Al"
    assert alice.state(other, "m.room.member", alice.user_id)["displayname"] == "alice"


def test_memberships_can_be_set_as_state(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.create()
    alice.set_state(room, "m.room.member", {"membership": "invite"}, bob.user_id)
    bob.set_state(room, "m.room.member", {"membership": "join"}, bob.user_id)
    assert alice.membership(room, bob) == "join"
    bob.set_state(room, "m.room.member", {"membership": "leave"}, bob.user_id)
    assert alice.membership(room, bob) == "leave"
    alice.set_state(room, "m.room.member", {"membership": "ban"}, bob.user_id)
    assert alice.membership(room, bob) == "ban"
    forged = {"membership": "join", "join_authorised_via_users_server": alice.user_id}
    assert bob.try_set_state(room, "m.room.member", forged, bob.user_id).errcode == "M_FORBIDDEN"


def test_the_only_user_of_a_room_may_come_back_to_it(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.public_room()
    alice.act("leave", room)
    alice.join(room)
    alice.say(room, "back again")


def test_rooms_and_users_of_other_servers_are_reached_through_them(database: Database) -> None:
    others = OtherServers()
    alice = RoomsSite(database, remotes=Remotes(membership=others)).person("alice")

    alice.http.post(f"{V3}/join/!far:elsewhere", {}, {"via": ["one", "two"]})
    alice.http.post(f"{V3}/join/!far:elsewhere", {}, {"server_name": ["three"]})
    alice.join("#hall:elsewhere")
    alice.http.post(f"{V3}/knock/!far:elsewhere", {}, {"via": ["one"]})
    room = alice.create(invite=["@bob:elsewhere"])
    alice.act("invite", room, user_id="@carol:elsewhere")

    user = alice.user_id
    assert others.asked == [
        ("join", user, "!far:elsewhere", ("one", "two"), "join"),
        ("join", user, "!far:elsewhere", ("three",), "join"),
        ("join", user, "!hall:elsewhere", ("elsewhere",), "join"),
        ("knock", user, "!far:elsewhere", ("one",), "knock"),
        ("invite", user, room, "@bob:elsewhere", "invite"),
        ("invite", user, room, "@carol:elsewhere", "invite"),
    ]


def test_a_join_carries_what_its_client_adds_to_it_but_for_what_the_server_says(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room(room_alias_name="hall")
    bob.join("#hall:test", foo="bar", membership="ban", join_authorised_via_users_server=alice.user_id)
    assert alice.state(room, "m.room.member", bob.user_id) == {
        "membership": "join",
        "foo": "bar",
        "displayname": "bob",
    }
    bob.act("leave", room)
    assert bob.try_act("join", room, foo=1.5).errcode == "M_BAD_JSON"
    assert bob.try_act("join", room, reason=5).errcode == "M_BAD_JSON"


def test_an_invite_from_outside_is_rejected_here_whatever_other_servers_say(database: Database) -> None:
    others = OtherServers()
    site = RoomsSite(database, remotes=Remotes(membership=others))
    alice = site.person("alice")
    room = invited_from_outside(site, alice)
    others.broken = True
    alice.act("leave", room)
    assert others.asked == [("leave", alice.user_id, room, "leave")]
    alice.act("leave", room)
    assert len(others.asked) == 1
    alice.act("forget", room)


def test_an_invite_from_outside_can_be_rejected_without_any_federation(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = invited_from_outside(rooms, alice)
    assert alice.try_act("forget", room).errcode == "M_UNKNOWN"
    alice.act("leave", room)
    alice.act("forget", room)

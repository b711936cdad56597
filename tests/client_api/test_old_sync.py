"""Clients from before `/sync`: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events"""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Pending, Reply


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database, {"registration": {"mode": "open", "guests": True}})


def _initial(who: Syncer, room: str | None = None, **query: Any) -> Any:
    reply = who.http.get(f"{V3}/initialSync" if room is None else room_path(room, "initialSync"), query)
    assert reply.status == 200, reply.text
    return reply.json


def _events(who: Syncer, **query: Any) -> Any:
    reply = _try_events(who, **query)
    assert reply.status == 200, reply.text
    return reply.json


def _try_events(who: Syncer, **query: Any) -> Reply:
    return who.http.get(f"{V3}/events", _named(query))


def _poll(who: Syncer, **query: Any) -> Pending:
    return who.here.start("GET", f"{V3}/events", None, _named({"timeout": 30_000, **query}))


def _named(query: dict[str, Any]) -> dict[str, Any]:
    return {name.rstrip("_"): value for name, value in query.items()}


def _bodies(events: Any) -> list[str]:
    return [event["content"]["body"] for event in events if "body" in event["content"]]


def _guest(site: SyncSite) -> Syncer:
    return Syncer(site, site.http.post(f"{V3}/register", {}, {"kind": "guest"}).json)


def test_initial_sync_tells_of_rooms_and_the_stream_goes_on_from_there(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room(name="Tea")
    invited = bob.create(preset="private_chat")
    bob.invite(invited, alice)
    for text in ("one", "two", "three"):
        alice.say(room, text)
    alice.put_account_data("m.example", {"a": 1})
    body = _initial(alice, limit=2)
    rooms = {each["room_id"]: each for each in body["rooms"]}
    assert _bodies(rooms[room]["messages"]["chunk"]) == ["two", "three"]
    assert "m.room.name" in {event["type"] for event in rooms[room]["state"]}
    assert rooms[invited]["invite"]["content"]["membership"] == "invite"
    assert {"type": "m.example", "content": {"a": 1}} in body["account_data"]
    older = alice.page(room, from_=rooms[room]["messages"]["start"], limit=1)
    assert _bodies(older["chunk"]) == ["one"]
    alice.say(room, "four")
    assert _bodies(_events(alice, from_=body["end"])["chunk"]) == ["four"]


def test_the_stream_gives_everything_in_order_a_few_at_a_time(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create()
    end = _events(alice)["end"]
    for number in range(7):
        alice.say(room, str(number))
    heard: list[str] = []
    for _ in range(4):
        body = _events(alice, from_=end, limit=2)
        heard += _bodies(body["chunk"])
        end = body["end"]
    assert heard == [str(number) for number in range(7)]


def test_a_poll_is_answered_when_something_happens(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    poll = _poll(bob, from_=_events(bob)["end"])
    site.turn()
    assert not poll.done
    alice.say(room, "news")
    site.turn(1)
    assert _bodies(poll.reply.json["chunk"]) == ["news"]


def test_a_room_that_all_may_read_is_watched_without_joining(site: SyncSite) -> None:
    alice, guest = site.person("alice"), _guest(site)
    visible = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    room, other = alice.public_room(initial_state=[visible]), alice.public_room()
    alice.say(room, "before")
    body = _initial(guest, room)
    assert _bodies(body["messages"]["chunk"]) == ["before"]
    poll = _poll(guest, from_=body["messages"]["end"], room_id=room)
    alice.say(other, "secret")
    site.turn(1)
    assert not poll.done
    alice.say(room, "news")
    site.turn(1)
    assert _bodies(poll.reply.json["chunk"]) == ["news"]
    assert guest.http.get(room_path(other, "initialSync")).status == 403
    assert _try_events(guest, room_id=other).status == 403
    assert _try_events(guest).errcode == "M_GUEST_ACCESS_FORBIDDEN"


def test_who_left_sees_the_room_as_it_was(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    alice.say(room, "seen")
    bob.act("leave", room)
    alice.say(room, "unseen")
    alice.set_state(room, "m.room.name", {"name": "Later"})
    body = _initial(bob, room)
    assert body["membership"] == "leave"
    assert _bodies(body["messages"]["chunk"]) == ["seen"]
    assert "m.room.name" not in {event["type"] for event in body["state"]}
    assert _initial(bob)["rooms"] == []
    assert [each["room_id"] for each in _initial(bob, archived="true")["rooms"]] == [room]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("events", {"limit": -1}),
        ("events", {"timeout": -1}),
        ("initialSync", {"limit": -1}),
        ("sync", {"timeout": -1}),
        ("publicRooms", {"limit": -1}),
    ],
)
def test_what_is_counted_is_not_negative(site: SyncSite, path: str, query: dict[str, int]) -> None:
    reply = site.person("anna").http.get(f"{V3}/{path}", query)
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")


def test_an_event_is_read_without_its_room(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.create()
    event_id = alice.say(room, "hello")
    found = alice.http.get(f"{V3}/events/{event_id}").json
    assert (found["event_id"], found["room_id"], found["content"]["body"]) == (event_id, room, "hello")
    assert bob.http.get(f"{V3}/events/{event_id}").errcode == "M_NOT_FOUND"
    assert alice.http.get(f"{V3}/events/$nothing").errcode == "M_NOT_FOUND"


def test_those_whom_one_ignores_are_not_heard_and_invite_in_vain(site: SyncSite) -> None:
    alice, bob, carl = site.people("alice", "bob", "carl")
    room = alice.public_room()
    bob.join(room)
    rules = {"enabled": True, "ignored_users": ["@carl:*"]}
    alice.put_account_data("org.matrix.msc4155.invite_permission_config", rules)
    alice.put_account_data("m.ignored_user_list", {"ignored_users": {bob.user_id: {}}})
    end = _initial(alice)["end"]
    for person in (bob, carl):
        person.invite(person.create(preset="private_chat"), alice)
    bob.say(room, "Can you hear me?")
    alice.say(room, "It is quiet here")
    assert [each["room_id"] for each in _initial(alice)["rooms"]] == [room]
    chunk = _events(alice, from_=end, timeout=0)["chunk"]
    assert _bodies(chunk) == ["It is quiet here"]
    assert not [each for each in chunk if each["type"] == "m.room.member"]

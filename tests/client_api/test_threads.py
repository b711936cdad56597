"""Threads: what their roots say of them, and the list of a room's threads."""

from typing import Any
from urllib.parse import quote

from tests.client_api.rooms_site import V3, Person, RoomsSite
from tests.client_api.test_relations import V1, bundle, edit, related, relating
from tests.harness.client import Reply


def reply_in(person: Person, room: str, root: str, text: str = "reply") -> str:
    """Say something in a thread."""
    return person.say(room, text, **relating("m.thread", root))


def try_threads(person: Person, room: str, **query: str | int) -> Reply:
    """Ask for the threads of a room; `from_` is `from`."""
    named = {name.rstrip("_"): value for name, value in query.items()}
    return person.http.get(f"{V1}/rooms/{quote(room)}/threads", named)


def threads(person: Person, room: str, **query: str | int) -> list[Any]:
    """The roots of the threads of a room."""
    reply = try_threads(person, room, **query)
    assert reply.status == 200, reply.text
    return list(reply.json["chunk"])


def ids(events: list[Any]) -> list[str]:
    """The events' IDs."""
    return [event["event_id"] for event in events]


def test_the_root_of_a_thread_says_what_is_in_it(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room()
    bob.join(room)
    carol.join(room)
    root = alice.say(room, "root")
    reply_in(bob, room, root, "one")
    latest = reply_in(bob, room, root, "two")
    edited = edit(bob, room, latest, "two!")
    for person, participated in ((alice, True), (bob, True), (carol, False)):
        thread = bundle(person, room, root)["m.thread"]
        assert thread["count"] == 2
        assert thread["current_user_participated"] is participated
        assert thread["latest_event"]["event_id"] == latest
        inner = thread["latest_event"]["unsigned"]["m.relations"]
        assert inner["m.replace"]["event_id"] == edited
    assert related(alice, room, root, "m.thread")[0] == latest


def test_a_redacted_reply_leaves_its_thread(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    root = alice.say(room, "root")
    one = reply_in(alice, room, root)
    two = reply_in(alice, room, root)
    alice.redact(room, two)
    thread = bundle(alice, room, root)["m.thread"]
    assert (thread["count"], thread["latest_event"]["event_id"]) == (1, one)
    alice.redact(room, one)
    assert bundle(alice, room, root) == {}
    assert threads(alice, room) == []


def test_no_thread_starts_within_a_relation(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    root = alice.say(room, "root")
    inside = reply_in(alice, room, root)
    nested = alice.try_say(room, "nested", **relating("m.thread", inside))
    assert (nested.status, nested.errcode) == (400, "M_UNKNOWN")
    answer = alice.say(room, "a reply", **{"m.relates_to": {"m.in_reply_to": {"event_id": root}}})
    reply_in(alice, room, answer)
    assert bundle(alice, room, answer)["m.thread"]["count"] == 1


def test_threads_are_listed_by_their_latest_reply_in_pages(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    roots = [alice.say(room, f"root {number}") for number in range(5)]
    for root in roots:
        reply_in(alice, room, root)
    reply_in(bob, room, roots[1])
    expected = [roots[1], roots[4], roots[3], roots[2], roots[0]]
    assert ids(threads(bob, room)) == expected
    assert threads(bob, room)[0]["unsigned"]["m.relations"]["m.thread"]["count"] == 2
    assert ids(threads(bob, room, include="participated")) == [roots[1]]
    assert ids(threads(alice, room, include="participated")) == expected
    found: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        reply = try_threads(bob, room, **query).json
        found += ids(reply["chunk"])
        if "next_batch" not in reply:
            break
        query["from_"] = reply["next_batch"]
    assert found == expected


def test_threads_of_ignored_users_are_shown_without_what_they_said(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    theirs = bob.say(room, "root")
    reply_in(alice, room, theirs)
    reply_in(bob, room, theirs)
    only = bob.say(room, "alone")
    reply_in(bob, room, only)
    path = f"{V3}/user/{quote(alice.user_id)}/account_data/m.ignored_user_list"
    assert alice.http.put(path, {"ignored_users": {bob.user_id: {}}}).status == 200
    listed = threads(alice, room)
    assert ids(listed) == [theirs]
    assert listed[0]["content"] == {}
    assert listed[0]["unsigned"]["m.relations"]["m.thread"]["count"] == 1


def test_who_left_sees_threads_as_they_were(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    root, other = alice.say(room, "root"), alice.say(room, "other")
    one = reply_in(alice, room, root)
    bob.act("leave", room)
    reply_in(alice, room, root)
    reply_in(alice, room, other)
    listed = threads(bob, room)
    assert ids(listed) == [root]
    thread = listed[0]["unsigned"]["m.relations"]["m.thread"]
    assert (thread["count"], thread["latest_event"]["event_id"]) == (1, one)


def test_threads_are_not_shown_to_strangers(rooms: RoomsSite) -> None:
    alice, eve = rooms.people("alice", "eve")
    room = alice.create()
    assert try_threads(eve, room).errcode == "M_FORBIDDEN"
    assert try_threads(eve, "!nowhere:example.org").errcode == "M_FORBIDDEN"


def test_what_cannot_be_asked_for_is_refused(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    for query in ({"include": "some"}, {"from_": "x"}, {"from_": "s1"}, {"limit": 0}, {"limit": -1}):
        assert try_threads(alice, room, **query).status == 400, query

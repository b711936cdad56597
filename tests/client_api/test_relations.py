"""Relations between events: edits, annotations, references, and how they are summed up."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.database import Database
from storage.migrate import migrations
from tests.client_api.rooms_site import V3, Person, RoomsSite, room_path
from tests.client_api.sync_site import SyncSite
from tests.harness.client import Reply
from tests.harness.postgres import TestDatabase

V1 = "/_matrix/client/v1"


def relating(kind: str, event_id: str, **more: Any) -> dict[str, Any]:
    """Content that relates to an event."""
    return {"m.relates_to": {"rel_type": kind, "event_id": event_id, **more}}


def edit(person: Person, room: str, event_id: str, text: str, **more: Any) -> str:
    """Edit a message."""
    new = {"msgtype": "m.text", "body": text}
    return person.say(room, f"* {text}", **{"m.new_content": new}, **relating("m.replace", event_id), **more)


def send(person: Person, room: str, event_type: str, content: Any) -> Reply:
    """Send an event of some type."""
    return person.http.put(room_path(room, "send", event_type, person.site.next_transaction()), content)


def react(person: Person, room: str, event_id: str, key: str) -> Reply:
    """Annotate an event."""
    return send(person, room, "m.reaction", relating("m.annotation", event_id, key=key))


def try_related(person: Person, room: str, event_id: str, *more: str, **query: str | int) -> Reply:
    """Ask for what relates to an event; `from_` is `from`."""
    path = "/".join(quote(each, safe="") for each in (room, "relations", event_id, *more))
    named = {name.rstrip("_"): value for name, value in query.items()}
    return person.http.get(f"{V1}/rooms/{path}", named)


def related(person: Person, room: str, event_id: str, *more: str, **query: str | int) -> list[str]:
    """The IDs of what relates to an event."""
    reply = try_related(person, room, event_id, *more, **query)
    assert reply.status == 200, reply.text
    return [event["event_id"] for event in reply.json["chunk"]]


def bundle(person: Person, room: str, event_id: str) -> Any:
    """What the event says of its children."""
    return person.event(room, event_id)["unsigned"].get("m.relations", {})


def test_relations_are_found_by_kind_and_type_the_latest_first(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    root = alice.say(room, "root")
    edited = edit(alice, room, root, "better")
    liked = react(alice, room, root, "+1").json["event_id"]
    named = alice.say(room, "see there", **relating("m.reference", root))
    assert related(alice, room, root) == [named, liked, edited]
    assert related(alice, room, root, dir="f") == [edited, liked, named]
    assert related(alice, room, root, "m.reference") == [named]
    assert related(alice, room, root, "m.annotation", "m.reaction") == [liked]
    assert related(alice, room, root, "m.annotation", "m.room.message") == []
    assert related(alice, room, named) == []
    assert "recursion_depth" not in try_related(alice, room, root).json


def test_relations_of_relations_are_found_three_levels_deep(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    chain = [alice.say(room, "root")]
    for _ in range(4):
        chain.append(alice.say(room, "next", **relating("org.example.after", chain[-1])))
    reply = try_related(alice, room, chain[0], recurse="true", dir="f").json
    assert [event["event_id"] for event in reply["chunk"]] == chain[1:4]
    assert reply["recursion_depth"] == 3
    assert related(alice, room, chain[0]) == chain[1:2]


def test_the_latest_edit_of_the_sender_is_bundled_and_the_content_stays(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    first = alice.say(room, "helo")
    edit(alice, room, first, "hallo")
    rooms.clock.advance(1)
    latest = edit(alice, room, first, "hello")
    rooms.clock.advance(1)
    edit(bob, room, first, "bye")
    alice.say(room, "no new content", **relating("m.replace", first))
    event = bob.event(room, first)
    assert event["content"]["body"] == "helo"
    shown = event["unsigned"]["m.relations"]["m.replace"]
    assert shown["event_id"] == latest
    assert shown["content"]["m.new_content"]["body"] == "hello"
    assert shown["sender"] == alice.user_id
    pages = [each for each in bob.page(room)["chunk"] if each["event_id"] == first]
    assert pages[0]["unsigned"]["m.relations"]["m.replace"]["event_id"] == latest
    context = bob.http.get(room_path(room, "context", latest)).json
    before = {each["event_id"]: each for each in context["events_before"]}
    assert before[first]["unsigned"]["m.relations"]["m.replace"]["event_id"] == latest


def test_an_edit_of_an_edit_or_of_another_type_is_none(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    first = alice.say(room, "helo")
    edited = edit(alice, room, first, "hello")
    edit(alice, room, edited, "hello?")
    assert bundle(alice, room, edited) == {}
    sticker = send(alice, room, "m.sticker", {"m.new_content": {}, **relating("m.replace", first)})
    assert sticker.status == 200
    assert bundle(alice, room, first)["m.replace"]["event_id"] == edited


def test_encrypted_edits_need_no_new_content_in_the_open(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    secret = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}
    first = send(alice, room, "m.room.encrypted", secret).json["event_id"]
    edited = send(alice, room, "m.room.encrypted", {**secret, **relating("m.replace", first)}).json[
        "event_id"
    ]
    assert bundle(alice, room, first)["m.replace"]["event_id"] == edited


def test_a_redacted_edit_leaves_at_once_and_a_redacted_event_has_none(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    first = alice.say(room, "helo")
    one = edit(alice, room, first, "hallo")
    rooms.clock.advance(1)
    two = edit(alice, room, first, "hello")
    named = alice.say(room, "see there", **relating("m.reference", first))
    alice.redact(room, two)
    assert bundle(alice, room, first)["m.replace"]["event_id"] == one
    assert related(alice, room, first) == [named, one]
    alice.redact(room, first)
    assert bundle(alice, room, first) == {"m.reference": {"chunk": [{"event_id": named}]}}
    assert related(alice, room, first) == [named, one]


def test_the_same_annotation_is_refused_until_it_is_redacted(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    root = alice.say(room, "nice?")
    first = react(alice, room, root, "👍")
    assert first.status == 200
    again = react(alice, room, root, "👍")
    assert (again.status, again.errcode) == (400, "M_DUPLICATE_ANNOTATION")
    assert react(alice, room, root, "🎉").status == 200
    assert react(bob, room, root, "👍").status == 200
    assert send(alice, room, "m.other", relating("m.annotation", root, key="👍")).status == 200
    alice.redact(room, first.json["event_id"])
    assert react(alice, room, root, "👍").status == 200
    assert bundle(alice, room, root) == {}


def test_relations_by_ignored_users_do_not_count(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    root = bob.say(room, "helo")
    edit(bob, room, root, "hello")
    bob.say(room, "look", **relating("m.reference", root))
    assert set(bundle(alice, room, root)) == {"m.replace", "m.reference"}
    path = f"{V3}/user/{quote(alice.user_id)}/account_data/m.ignored_user_list"
    assert alice.http.put(path, {"ignored_users": {bob.user_id: {}}}).status == 200
    assert bundle(alice, room, root) == {}
    assert related(alice, room, root) == []
    assert set(bundle(bob, room, root)) == {"m.replace", "m.reference"}


def test_who_left_is_told_of_no_relations_since(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    root = alice.say(room, "helo")
    one = edit(alice, room, root, "hallo")
    bob.act("leave", room)
    for text in ("1", "2", "3", "4", "5", "6"):
        rooms.clock.advance(1)
        edit(alice, room, root, text)
    assert related(bob, room, root) == [one]
    assert bundle(bob, room, root)["m.replace"]["event_id"] == one


def test_strangers_are_told_of_no_relations(rooms: RoomsSite) -> None:
    alice, eve = rooms.people("alice", "eve")
    room, other = alice.create(), alice.create()
    root = alice.say(room, "root")
    alice.say(room, "see there", **relating("m.reference", root))
    assert try_related(eve, room, root).status == 404
    assert try_related(alice, other, root).status == 404
    assert try_related(alice, room, "$unknown").status == 404


def test_relations_across_rooms_are_none(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room, other = alice.create(), alice.create()
    root = alice.say(room, "root")
    edit(alice, other, root, "elsewhere")
    alice.say(other, "see there", **relating("m.reference", root))
    assert bundle(alice, room, root) == {}
    assert related(alice, room, root) == []


@pytest.mark.parametrize(
    "relates_to",
    ["x", None, [], {"rel_type": "m.replace"}, {"rel_type": 1, "event_id": "$x"}, {"rel_type": "a\0", "event_id": "$x"},
     {"rel_type": "x" * 3000, "event_id": "$x"}, {"rel_type": "m.annotation", "event_id": "$x", "key": "\0"}],
)  # fmt: skip
def test_relations_of_any_shape_may_be_sent(rooms: RoomsSite, relates_to: Any) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    event_id = alice.say(room, "odd", **{"m.relates_to": relates_to})
    assert alice.event(room, event_id)["content"]["m.relates_to"] == relates_to


def test_what_cannot_be_asked_for_is_refused(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    root = alice.say(room, "root")
    for query in (
        {"dir": "x"},
        {"from_": "x"},
        {"to": "x"},
        {"limit": 0},
        {"limit": -1},
        {"recurse": "maybe"},
    ):
        assert try_related(alice, room, root, **query).status == 400, query


def test_relations_outlive_a_restart(database: Database) -> None:
    before = RoomsSite(database)
    alice = before.person("alice")
    room = alice.create()
    root = alice.say(room, "helo")
    edited = edit(alice, room, root, "hello")
    after = RoomsSite(database)
    again = Person(after, {"user_id": alice.user_id, "device_id": alice.device_id, "access_token": ""})
    again.http = after.http.with_token(alice.http.token or "")
    assert bundle(again, room, root)["m.replace"]["event_id"] == edited
    assert related(again, room, root) == [edited]


def test_relations_from_before_there_was_a_table_are_entered(
    rooms: RoomsSite, test_database: TestDatabase
) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    root = alice.say(room, "root")
    edit(alice, room, root, "edited")
    alice.redact(room, alice.say(room, "gone", **relating("m.reference", root)))
    react(alice, room, root, "👍")
    send(alice, room, "m.room.encrypted", relating("m.replace", root))
    alice.set_state(room, "m.room.topic", {"topic": "x", **relating("m.reference", root)})
    shapes: list[Any] = [
        "x",
        None,
        [],
        {"rel_type": 1, "event_id": root},
        {"rel_type": "r" * 300, "event_id": root},
    ]
    for odd in shapes:
        alice.say(room, "odd", **{"m.relates_to": odd})
    alice.say(room, "a\0b", **{"m.relates_to": {"rel_type": "x\0", "event_id": root}})
    rows = "select * from relations order by nid"
    written = test_database.rows(rows)
    assert len(written) == 4
    test_database.rows("delete from relations")
    sql = next(each.sql for each in migrations() if each.name == "relations")
    test_database.rows(sql[sql.index("with related") :])
    assert test_database.rows(rows) == written


def test_a_sync_behind_a_gap_sums_up_what_relates(database: Database) -> None:
    site = SyncSite(database)
    alice, bob, carol = site.people("alice", "bob", "carol")
    room = alice.public_room()
    bob.join(room)
    carol.join(room)
    for person in (alice, bob, carol):
        person.first_sync()
    root = alice.say(room, "root")
    latest = bob.say(room, "reply", **relating("m.thread", root))
    whole = carol.joined(room)["timeline"]
    assert whole["limited"] is False
    assert [each for each in whole["events"] if "m.relations" in each["unsigned"]] == []
    root = alice.say(room, "another root")
    for number in range(3):
        latest = bob.say(room, str(number), **relating("m.thread", root))
    limit = {"room": {"timeline": {"limit": 4}}}
    for person, participated in ((alice, True), (bob, True), (carol, False)):
        timeline = (person.first_sync if person is carol else person.sync)(filter=limit)
        timeline = timeline["rooms"]["join"][room]["timeline"]
        assert timeline["limited"] is True
        shown = {each["event_id"]: each["unsigned"] for each in timeline["events"]}
        thread = shown[root]["m.relations"]["m.thread"]
        assert (thread["count"], thread["current_user_participated"]) == (3, participated)
        assert thread["latest_event"]["event_id"] == latest


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(children=st.integers(0, 9), limit=st.integers(1, 4), direction=st.sampled_from("bf"))
def test_pages_give_each_relation_once(rooms: RoomsSite, children: int, limit: int, direction: str) -> None:
    name = f"alice{rooms.next_transaction()}"
    alice = rooms.person(name)
    room = alice.create()
    root = alice.say(room, "root")
    sent = []
    for number in range(children):
        alice.say(room, "between")
        sent.append(alice.say(room, str(number), **relating("m.reference", root)))
    found: list[str] = []
    query: dict[str, str | int] = {"dir": direction, "limit": limit}
    while True:
        reply = try_related(alice, room, root, **query).json
        assert len(reply["chunk"]) <= limit
        assert ("prev_batch" in reply) == ("from_" in query)
        found += [event["event_id"] for event in reply["chunk"]]
        if "next_batch" not in reply:
            break
        query["from_"] = reply["next_batch"]
    assert found == (sent if direction == "f" else sent[::-1])
    if children > 1:
        first = try_related(alice, room, root, limit=1).json["next_batch"]
        assert related(alice, room, root, to=first, limit=50) == sent[-1:]
        assert related(alice, room, root, from_=first, limit=50) == sent[-2::-1]

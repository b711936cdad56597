"""Redacting events."""

import pytest

from homeserver.services.rooms import redactions
from storage.tables.redactions import OwedRedaction, OwedRedactions
from tests.client_api.rooms_site import Person, RoomsSite, room_path
from tests.harness.memory import result_of

VERSIONS = ("1", "2", "3", "10", "11", "12")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_redacted_event_has_lost_its_content_and_says_why(rooms: RoomsSite, version: str) -> None:
    alice = rooms.person("alice")
    room = alice.create(room_version=version)
    event_id = alice.say(room, "oh no")
    redaction_id = alice.redact(room, event_id, reason="regret")
    event = alice.event(room, event_id)
    assert event["content"] == {}
    because = event["unsigned"]["redacted_because"]
    assert because["event_id"] == redaction_id
    assert because["content"]["reason"] == "regret"
    redaction = alice.event(room, redaction_id)
    assert redaction["redacts"] == event_id
    assert redaction["content"]["redacts"] == event_id
    assert alice.texts(room) == []


def test_a_redaction_is_sent_once_a_transaction(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    event_id = alice.say(room, "oh no")
    path = room_path(room, "redact", event_id, "one")
    first = alice.http.put(path, {})
    assert first.status == 200
    assert alice.http.put(path, {}).json == first.json


def test_redactions_of_others_take_power(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room()
    bob.join(room)
    carol.join(room)
    event_id = bob.say(room, "mine")
    assert carol.try_redact(room, event_id).errcode == "M_FORBIDDEN"
    assert carol.event(room, event_id)["content"]["body"] == "mine"
    alice.redact(room, event_id)
    own = carol.say(room, "mine too")
    carol.redact(room, own)
    assert carol.event(room, own)["content"] == {}


def test_redacted_state_has_lost_its_content(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    event_id = alice.set_state(room, "m.room.topic", {"topic": "oh no"})
    alice.redact(room, event_id)
    assert alice.state(room, "m.room.topic") == {}
    event = alice.whole_state(room)["m.room.topic", ""]
    assert "redacted_because" in event["unsigned"]
    again = alice.set_state(room, "m.room.topic", {})
    assert again != event_id


def test_what_is_not_there_or_of_another_room_is_not_redacted(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room, other = alice.create(), alice.create()
    event_id = alice.say(other, "elsewhere")
    assert alice.try_redact(room, "$unknown").errcode == "M_NOT_FOUND"
    assert alice.try_redact(room, event_id).errcode == "M_INVALID_PARAM"
    create = alice.whole_state(room)["m.room.create", ""]["event_id"]
    assert alice.try_redact(room, create).errcode == "M_FORBIDDEN"
    assert alice.event(other, event_id)["content"]["body"] == "elsewhere"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_redaction_may_be_sent_as_any_event(rooms: RoomsSite, version: str) -> None:
    alice = rooms.person("alice")
    room = alice.create(room_version=version)
    event_id = alice.say(room, "oh no")
    path = room_path(room, "send", "m.room.redaction", "one")
    assert alice.http.put(path, {"reason": "x"}).errcode == "M_BAD_JSON"
    assert alice.http.put(path, {"redacts": event_id, "reason": "x"}).status == 200
    assert alice.event(room, event_id)["content"] == {}


def test_a_redacted_event_stays_redacted_after_a_restart(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    event_id = alice.say(room, "oh no")
    redaction_id = alice.redact(room, event_id)
    again = RoomsSite(rooms.database).http.with_token(alice.http.token)
    event = again.get(room_path(room, "event", event_id)).json
    assert event["content"] == {}
    assert event["unsigned"]["redacted_because"]["event_id"] == redaction_id


def test_a_redaction_without_a_transaction_is_taken_as_old_clients_send_it(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    event = alice.say(room, "gone soon")
    reply = alice.http.post(room_path(room, "redact", event), {"reason": "spam"})
    assert reply.status == 200, reply.text
    assert alice.event(room, event)["content"] == {}


WITH = "org.matrix.msc3912.with_relations"


def _related(person: Person, room: str, event_id: str, rel_type: str) -> str:
    new = {"msgtype": "m.text", "body": "new"}
    relation = {"rel_type": rel_type, "event_id": event_id}
    return person.say(room, "related", **{"m.relates_to": relation, "m.new_content": new})


def test_what_relates_to_an_event_can_be_redacted_with_it(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    root = alice.say(room, "root")
    edits = [_related(alice, room, root, "m.replace") for _ in range(60)]
    reply = _related(alice, room, root, "m.thread")
    alice.redact(room, root, **{WITH: ["m.replace"]})
    assert all(alice.event(room, each)["content"] == {} for each in (root, *edits))
    assert alice.event(room, reply)["content"]["body"] == "related"


def test_with_a_star_everything_goes_that_its_user_may_redact(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    root = bob.say(room, "root")
    mine, hers = _related(bob, room, root, "m.thread"), _related(alice, room, root, "m.thread")
    bob.redact(room, root, **{WITH: ["*"]})
    assert bob.event(room, mine)["content"] == {}
    assert bob.event(room, hers)["content"]["body"] == "related"


def test_nothing_goes_with_an_event_that_may_not_be_redacted(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    root = alice.say(room, "root")
    mine = _related(bob, room, root, "m.thread")
    assert bob.try_redact(room, root, **{WITH: ["*"]}).errcode == "M_FORBIDDEN"
    assert bob.event(room, mine)["content"]["body"] == "related"
    assert bob.try_redact(room, mine, **{WITH: "m.thread"}).errcode == "M_BAD_JSON"


OUST = "org.matrix.msc4293.redact_events"


@pytest.mark.parametrize("action", ["kick", "ban"])
def test_what_somebody_said_goes_with_them_from_when_they_came(rooms: RoomsSite, action: str) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    before = bob.say(room, "before")
    bob.act("leave", room)
    bob.join(room)
    spam = [bob.say(room, f"spam {number}") for number in range(3)]
    kept = alice.say(room, "kept")
    alice.act(action, room, user_id=bob.user_id, reason="spam", **{OUST: True})
    for event_id in spam:
        event = alice.event(room, event_id)
        assert event["content"] == {}
        because = event["unsigned"]["redacted_because"]
        assert (because["type"], because["content"]["reason"]) == ("m.room.member", "spam")
    assert alice.event(room, before)["content"]["body"] == "before"
    assert alice.event(room, kept)["content"]["body"] == "kept"
    assert alice.membership(room, bob) == {"kick": "leave", "ban": "ban"}[action]


def test_without_the_flag_or_the_power_everything_stays(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    levels = {"users": {alice.user_id: 100, carol.user_id: 50}, "redact": 75}
    room = alice.public_room(power_level_content_override=levels, room_version="10")
    for person in (bob, carol):
        person.join(room)
    said = bob.say(room, "said")
    carol.act("kick", room, user_id=bob.user_id, **{OUST: True})
    assert alice.event(room, said)["content"]["body"] == "said"
    bob.join(room)
    again = bob.say(room, "again")
    alice.act("kick", room, user_id=bob.user_id)
    assert alice.event(room, again)["content"]["body"] == "again"
    bob.join(room)
    last = bob.say(room, "last")
    bob.set_state(room, "m.room.member", {"membership": "leave", OUST: True}, bob.user_id)
    assert alice.event(room, last)["content"]["body"] == "last"


def test_however_much_somebody_said_goes_with_them(rooms: RoomsSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redactions, "STRUCK_AT_ONCE", 3)
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room(power_level_content_override={"events": {"m.room.topic": 0}})
    bob.join(room)
    bob.set_state(room, "m.room.topic", {"topic": "spam"})
    spam = [bob.say(room, f"spam {number}") for number in range(11)]
    kept = alice.say(room, "kept")
    alice.act("ban", room, user_id=bob.user_id, **{OUST: True})
    assert [alice.event(room, each)["content"] == {} for each in spam] == [False] * 8 + [True] * 3
    assert alice.state(room, "m.room.topic") == {}
    alice.act("unban", room, user_id=bob.user_id)
    bob.join(room)
    again = bob.say(room, "again")
    for follower in rooms.rooms.followers:
        result_of(follower.start())
    for event_id in spam:
        event = alice.event(room, event_id)
        assert event["content"] == {}
        assert event["unsigned"]["redacted_because"]["content"][OUST] is True
    assert alice.event(room, kept)["content"]["body"] == "kept"
    assert alice.event(room, again)["content"]["body"] == "again"
    assert result_of(_owed(rooms)) == []
    more = [bob.say(room, f"more {number}") for number in range(8)]
    alice.act("kick", room, user_id=bob.user_id, **{OUST: True})
    assert [alice.event(room, each)["content"] for each in more] == [{}] * 8


def test_what_relates_to_a_redacted_event_later_is_redacted_too(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    for follower in rooms.rooms.followers:
        result_of(follower.start())
    root, other = alice.say(room, "root"), alice.say(room, "other")
    assert alice.try_redact(room, root, reason="off topic", **{WITH: ["m.thread"]}).status == 200
    assert alice.try_redact(room, other).status == 200
    late, kept = _related(bob, room, root, "m.thread"), _related(bob, room, root, "m.reference")
    elsewhere = _related(bob, room, other, "m.thread")
    event = alice.event(room, late)
    assert event["content"] == {}
    because = event["unsigned"]["redacted_because"]
    assert (because["sender"], because["content"]["reason"]) == (alice.user_id, "off topic")
    assert alice.event(room, kept)["content"]["body"] == "related"
    assert alice.event(room, elsewhere)["content"]["body"] == "related"


def test_later_relations_stay_if_who_redacted_may_not_redact_them(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    root = bob.say(room, "root")
    assert bob.try_redact(room, root, **{WITH: ["*"]}).status == 200
    theirs, own = _related(alice, room, root, "m.thread"), _related(bob, room, root, "m.thread")
    for follower in rooms.rooms.followers:
        result_of(follower.start())
    assert alice.event(room, theirs)["content"]["body"] == "related"
    assert alice.event(room, own)["content"] == {}


async def _owed(rooms: RoomsSite) -> list[OwedRedaction]:
    return await rooms.database.read(lambda tx: OwedRedactions(tx).all())

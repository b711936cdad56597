"""Paging through history."""

import json

import pytest

from homeserver.app.wiring_rooms import Remotes
from homeserver.protocol.identifiers import RoomID
from storage.database import Database
from tests.client_api.rooms_site import V3, Person, RoomsSite, room_path
from tests.harness.postgres import TestDatabase


def _numbered(alice: Person, count: int) -> str:
    room = alice.create()
    for number in range(count):
        alice.say(room, str(number))
    return room


def test_history_is_read_backwards_from_its_end_page_by_page(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = _numbered(alice, 10)
    seen: list[str] = []
    page = alice.page(room, limit=4)
    while True:
        seen += [event["event_id"] for event in page["chunk"]]
        if "end" not in page:
            break
        page = alice.page(room, limit=4, from_=page["end"])
    everything = alice.page(room, limit=100)
    assert seen == [event["event_id"] for event in everything["chunk"]]
    assert alice.page(room, from_=everything["end"]) == {"chunk": [], "start": everything["end"]}
    assert everything["chunk"][-1]["type"] == "m.room.create"


def test_history_is_read_forwards_from_its_beginning(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = _numbered(alice, 5)
    page = alice.page(room, "f", limit=3)
    assert page["chunk"][0]["type"] == "m.room.create"
    seen = list(page["chunk"])
    while "end" in page:
        page = alice.page(room, "f", limit=3, from_=page["end"])
        seen += page["chunk"]
    backwards = alice.page(room, limit=100)["chunk"]
    assert [event["event_id"] for event in seen] == [event["event_id"] for event in reversed(backwards)]


def test_a_page_can_be_read_back_from_its_end(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = _numbered(alice, 10)
    page = alice.page(room, limit=4)
    back = alice.page(room, "f", from_=page["end"], limit=4)
    assert [event["event_id"] for event in back["chunk"]] == [
        event["event_id"] for event in reversed(page["chunk"])
    ]


def test_tokens_stay_valid_while_the_room_goes_on(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = _numbered(alice, 6)
    page = alice.page(room, limit=2)
    alice.say(room, "later")
    assert alice.texts(room, from_=page["end"], limit=2) == ["3", "2"]
    assert alice.texts(room, from_=page["start"], limit=2) == ["5", "4"]
    assert alice.texts(room, "f", from_=page["start"], limit=2) == ["later"]


def test_a_page_stops_where_it_should(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = _numbered(alice, 6)
    old = alice.page(room, limit=4)["end"]
    live = alice.page(room, limit=1)["start"]
    alice.say(room, "6")
    alice.say(room, "7")
    backwards = alice.page(room, to=old, limit=100)
    assert [event["content"]["body"] for event in backwards["chunk"]] == ["7", "6", "5", "4", "3", "2"]
    assert "end" not in alice.page(room, to=old, from_=backwards["end"])
    assert alice.texts(room, to=live, limit=100) == ["7", "6"]
    assert alice.texts(room, "f", from_=old, to=live, limit=100) == ["2", "3", "4", "5"]


def test_a_filter_selects_types_and_senders(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    alice.say(room, "hers")
    bob.say(room, "his", url="mxc://test/x")
    by_type = alice.page(room, filter=json.dumps({"types": ["m.room.message"]}), limit=100)
    assert [event["content"]["body"] for event in by_type["chunk"]] == ["his", "hers"]
    by_pattern = json.dumps({"types": ["m.room.mess*"], "senders": [bob.user_id]})
    assert alice.texts(room, filter=by_pattern) == ["his"]
    assert alice.texts(room, filter=json.dumps({"not_senders": [bob.user_id]})) == ["hers"]
    assert alice.texts(room, filter=json.dumps({"contains_url": True})) == ["his"]


def test_a_filtered_page_goes_on_until_it_is_full(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    for number in range(30):
        (bob if number % 10 == 0 else alice).say(room, str(number))
    wanted = json.dumps({"senders": [bob.user_id], "types": ["m.room.message"]})
    page = alice.page(room, filter=wanted, limit=2)
    assert [event["content"]["body"] for event in page["chunk"]] == ["20", "10"]
    assert alice.texts(room, filter=wanted, limit=2, from_=page["end"]) == ["0"]


def test_members_are_loaded_for_those_who_spoke(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room()
    bob.join(room)
    carol.join(room)
    bob.say(room, "hello")
    page = alice.page(room, filter=json.dumps({"lazy_load_members": True}), limit=1)
    assert [event["state_key"] for event in page["state"]] == [bob.user_id]
    assert "state" not in alice.page(room, limit=1)


def test_who_left_reads_no_further_than_that(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    alice.say(room, "before")
    bob.act("leave", room)
    alice.say(room, "after")
    assert bob.texts(room, limit=100) == ["before"]
    assert bob.texts(room, "f", limit=100) == ["before"]
    chunk = bob.page(room, limit=1)["chunk"]
    assert chunk[0]["content"]["membership"] == "leave"


def test_strangers_and_invited_users_read_nothing(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    assert bob.try_page(room).errcode == "M_FORBIDDEN"
    alice.invite(room, bob)
    assert bob.try_page(room).errcode == "M_FORBIDDEN"


@pytest.mark.parametrize(
    "query",
    [
        {"from_": "nonsense"},
        {"from_": "s99999999999999999999"},
        {"to": "t1"},
        {"limit": "many"},
        {"limit": "-1"},
        {"filter": "no json"},
        {"filter": '{"types": 5}'},
    ],
)
def test_wrong_queries_are_refused(rooms: RoomsSite, query: dict[str, str]) -> None:
    alice = rooms.person("alice")
    reply = alice.try_page(alice.create(), **query)
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")


def test_a_direction_must_be_named(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    assert alice.try_page(room, "sideways").errcode == "M_INVALID_PARAM"
    assert alice.http.get(room_path(room, "messages")).errcode == "M_MISSING_PARAM"
    bob = rooms.person("bob")
    assert bob.http.get(room_path(room, "messages")).errcode == "M_FORBIDDEN"


def test_messages_of_ignored_users_are_left_out_and_their_state_is_not(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    alice.say(room, "hers")
    bob.say(room, "his")
    path = f"{V3}/user/{alice.user_id}/account_data/m.ignored_user_list"
    alice.http.put(path, {"ignored_users": {bob.user_id: {}}})
    assert alice.texts(room, limit=100) == ["hers"]
    senders = {event["sender"] for event in alice.page(room, limit=100)["chunk"]}
    assert bob.user_id in senders
    assert bob.texts(room, limit=100) == ["his", "hers"]


class _OtherServers:
    """Has history, or not."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def fill(self, room_id: RoomID, depth: int, limit: int) -> bool:
        self.asked.append((room_id, depth))
        return False


def test_a_page_that_runs_into_a_gap_asks_other_servers_once(
    database: Database, test_database: TestDatabase
) -> None:
    others = _OtherServers()
    alice = RoomsSite(database, remotes=Remotes(backfill=others)).person("alice")
    room = _numbered(alice, 10)
    alice.page(room, limit=5)
    assert others.asked == []
    test_database.rows("insert into backward_extremities values (%s, '$missing', 3)", room)
    alice.page(room, limit=5)
    assert others.asked == []
    alice.page(room, "f", limit=100)
    assert others.asked == []
    alice.page(room, limit=100)
    assert others.asked == [(room, 3)]


def test_a_page_of_none_is_empty_and_goes_on_where_it_began(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    alice.say(room, "hello")
    page = alice.page(room, limit=0)
    assert (page["chunk"], page["end"]) == ([], page["start"])
    assert alice.texts(room, from_=page["end"], limit=1) == ["hello"]

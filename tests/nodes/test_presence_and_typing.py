"""Several nodes: who is here and who types is known on all of them, and ends when it ends."""

from typing import Any

import pytest

from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.protocol.requester import Requester
from storage.database import Database
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sync_site import Syncer
from tests.nodes.nodes_site import Nodes

OFF: dict[str, Any] = {"set_presence": "offline"}


@pytest.fixture
def nodes(database: Database) -> Nodes:
    return Nodes(database)


@pytest.fixture
def anna(nodes: Nodes) -> Syncer:
    """She talks to A."""
    return nodes.people("anna")[0]


@pytest.fixture
def bert(nodes: Nodes, anna: Syncer) -> Syncer:
    """He talks to B, and is in the room of both."""
    bert = nodes.at(nodes.b, nodes.people("bert")[0])
    bert.join(anna.public_room(room_alias_name="room"))
    nodes.turn()
    return bert


@pytest.fixture
def room(bert: Syncer) -> str:
    return str(bert.http.get(f"{V3}/directory/room/%23room:test").json["room_id"])


def presence_of(nodes: Nodes, person: Syncer, who: Syncer) -> str:
    nodes.turn(0.2)
    return str(who.here.get(f"{V3}/presence/{person.user_id}/status").json["presence"])


def type_in(person: Syncer, room: str, timeout: int = 30_000) -> None:
    reply = person.here.put(
        room_path(room, "typing", person.user_id), {"typing": timeout > 0, "timeout": timeout}
    )
    assert reply.status == 200


def typing_in(news: dict[str, Any], room: str) -> list[str]:
    (event,) = news["rooms"]["join"][room]["ephemeral"]["events"]
    return list(event["content"]["user_ids"])


def test_presence_on_one_node_wakes_a_poll_on_the_other(nodes: Nodes, anna: Syncer, bert: Syncer) -> None:
    anna.first_sync(**OFF)
    poll = anna.poll(**OFF)
    bert.first_sync()
    nodes.turn(0.2)
    (event,) = poll.reply.json["presence"]["events"]
    assert (event["sender"], event["content"]["presence"]) == (bert.user_id, "online")


def test_devices_at_several_nodes_are_taken_together(nodes: Nodes, anna: Syncer, bert: Syncer) -> None:
    bert.first_sync(set_presence="unavailable")
    assert presence_of(nodes, bert, anna) == "unavailable"
    there = nodes.at(nodes.a, bert)
    there.sync(set_presence="online")
    assert presence_of(nodes, bert, anna) == presence_of(nodes, bert, bert) == "online"
    for _ in range(5):
        nodes.turn(10)
        bert.sync(set_presence="unavailable")
    assert presence_of(nodes, bert, anna) == presence_of(nodes, bert, bert) == "unavailable"


def test_what_people_say_of_themselves_is_known_on_all_nodes(
    nodes: Nodes, anna: Syncer, bert: Syncer
) -> None:
    path = f"{V3}/presence/{bert.user_id}/status"
    assert bert.here.put(path, {"presence": "online", "status_msg": "out"}).status == 200
    nodes.turn(0.2)
    there = nodes.at(nodes.a, bert)
    assert there.here.put(path, {"presence": "online", "status_msg": "back"}).status == 200
    nodes.turn(0.2)
    assert anna.here.get(path).json["status_msg"] == bert.here.get(path).json["status_msg"] == "back"


def test_activity_on_one_node_is_activity_on_all(nodes: Nodes, anna: Syncer, bert: Syncer, room: str) -> None:
    bert.first_sync()
    for number in range(20):
        nodes.turn(20)
        bert.sync()
        bert.say(room, str(number))
    assert presence_of(nodes, bert, anna) == "online"
    for _ in range(20):
        nodes.turn(20)
        bert.sync()
    assert presence_of(nodes, bert, anna) == presence_of(nodes, bert, bert) == "unavailable"


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_who_was_at_a_node_that_is_gone_goes_offline_unless_they_come_back(
    nodes: Nodes, anna: Syncer, bert: Syncer, room: str, how: str
) -> None:
    cleo = nodes.at(nodes.b, nodes.people("cleo")[0])
    cleo.join(room)
    bert.first_sync()
    cleo.first_sync()
    assert presence_of(nodes, bert, anna) == "online"
    if how == "killed":
        nodes.b.die()
    else:
        nodes.b.end()
    cleo = nodes.at(nodes.a, cleo)
    for _ in range(8):
        nodes.turn(10)
        cleo.sync()
        assert presence_of(nodes, cleo, anna) == "online"
    assert presence_of(nodes, bert, anna) == "offline"


def test_a_cut_bus_is_not_a_dead_node(nodes: Nodes, anna: Syncer, bert: Syncer) -> None:
    bert.first_sync()
    assert presence_of(nodes, bert, anna) == "online"
    nodes.b.memory.cut()
    nodes.turn(10)
    bert.sync()
    nodes.b.memory.heal()
    nodes.turn(1)
    assert presence_of(nodes, bert, anna) == "online"
    nodes.b.memory.cut()
    bert.sync(set_presence="unavailable")
    nodes.turn(1)
    nodes.b.memory.heal()
    assert presence_of(nodes, bert, anna) == "unavailable"


def test_a_node_that_starts_learns_who_is_here(nodes: Nodes, anna: Syncer, bert: Syncer, room: str) -> None:
    anna.first_sync()
    type_in(anna, room)
    nodes.turn(1)
    nodes.b.end()
    nodes.b.start()
    nodes.turn(1)
    assert presence_of(nodes, anna, bert) == "online"
    assert typing_in(bert.first_sync(), room) == [anna.user_id]


def test_typing_on_one_node_is_seen_on_the_other_and_ends(
    nodes: Nodes, anna: Syncer, bert: Syncer, room: str
) -> None:
    anna.first_sync(**OFF)
    poll = anna.poll(**OFF)
    type_in(bert, room)
    nodes.turn(0.1)
    assert typing_in(poll.reply.json, room) == [bert.user_id]
    anna.since = poll.reply.json["next_batch"]
    poll = anna.poll(**OFF)
    type_in(bert, room, 0)
    nodes.turn(0.1)
    assert typing_in(poll.reply.json, room) == []


def test_typing_ends_even_if_the_node_that_heard_of_it_is_dead(
    nodes: Nodes, anna: Syncer, bert: Syncer, room: str
) -> None:
    anna.first_sync(**OFF)
    type_in(bert, room, 20_000)
    nodes.turn(0.1)
    assert typing_in(anna.sync(**OFF), room) == [bert.user_id]
    poll = anna.poll(**OFF)
    nodes.b.die()
    nodes.turn(19)
    assert not poll.done
    nodes.turn(2)
    assert typing_in(poll.reply.json, room) == []


def test_who_comes_from_another_node_is_told_who_types(
    nodes: Nodes, anna: Syncer, bert: Syncer, room: str
) -> None:
    anna.first_sync(**OFF)
    type_in(bert, room, 20_000)
    nodes.turn(0.1)
    assert typing_in(anna.sync(**OFF), room) == [bert.user_id]
    there = nodes.at(nodes.b, anna)
    type_in(bert, room, 0)
    nodes.turn(0.1)
    assert typing_in(there.sync(**OFF), room) == []


def test_ten_thousand_who_come_online_are_told_in_few_messages(nodes: Nodes, anna: Syncer) -> None:
    users = [f"@u{number}:test" for number in range(10_000)]
    nodes.exchange.carried.clear()
    presence = nodes.a.app.sync.presence
    for user in users:
        presence.sync_began(requester(user), None)
    nodes.turn(0.2)
    told = [message for kind, message in nodes.exchange.carried if kind == "presence"]
    assert len(told) <= 20
    known = nodes.b.app.sync.presence
    assert {known.of(requester(user).user_id).presence for user in users} == {"online"}


def requester(user: str) -> Requester:
    return Requester(UserID(user), DeviceID("D"), None)

"""Events that come before what they build on, when that cannot be had at once: they are kept, and tried again."""

from typing import Any

import pytest

from homeserver.services.rooms.ingest.early import MOST_OF_A_ROOM
from tests.federation.pdu_server import RoomOfPdus
from tests.harness.postgres import TestDatabase
from tests.simulation.hostile_server import HostileServer
from tests.simulation.networked_servers import Person, Server, Simulation

Shared = tuple[Server, Person, HostileServer, RoomOfPdus]
HOUR = 3600.0


@pytest.fixture
def shared(world: Simulation, three_databases: tuple[TestDatabase, ...]) -> Shared:
    """Alice's server, and another one in her room."""
    alpha = world.server("alpha.example", three_databases[0])
    alice = alpha.person("alice")
    room = str(alice.do("POST", "/createRoom", {"preset": "public_chat"})["room_id"])
    other = HostileServer(world, "other.example")
    return alpha, alice, other, other.join(alpha, room)


def texts(person: Person, room: RoomOfPdus) -> list[str]:
    page = person.do("GET", f"/rooms/{room.last.room_id}/messages", None, {"dir": "f", "limit": 100})
    return [event["content"]["body"] for event in page["chunk"] if "body" in event["content"]]


def kept(server: Server) -> list[Any]:
    return [row[0] for row in server.database.rows("select event_id from early_events")]


def sends_without_the_one_before(shared: Shared) -> tuple[Any, Any]:
    """The other server sends an event, and does not give what it builds on; both events."""
    alpha, _, other, room = shared
    lost, after = room.message("first"), room.message("second")
    del other.by_id[lost.event_id]
    assert other.send(alpha, after) == {after.event_id: {}}
    return lost, after


def test_they_are_shown_once_the_one_before_can_be_had(world: Simulation, shared: Shared) -> None:
    alpha, alice, other, room = shared
    lost, _ = sends_without_the_one_before(shared)
    assert texts(alice, room) == []
    other.answers["get_missing_events"] = lambda request: (200, {"events": [lost.pdu]})
    world.pass_time(60)
    assert texts(alice, room) == ["first", "second"]
    assert kept(alpha) == []


def test_they_are_shown_at_once_when_the_one_before_comes(world: Simulation, shared: Shared) -> None:
    alpha, alice, other, room = shared
    lost, _ = sends_without_the_one_before(shared)
    assert other.send(alpha, lost) == {lost.event_id: {}}
    assert texts(alice, room) == ["first", "second"]
    assert kept(alpha) == []


def test_a_chain_of_them_is_shown_when_the_first_comes(world: Simulation, shared: Shared) -> None:
    alpha, alice, other, room = shared
    events = [room.message(str(number)) for number in range(5)]
    for event in reversed(events[1:]):
        other.by_id.clear()
        other.send(alpha, event)
    assert len(kept(alpha)) == 4
    other.send(alpha, events[0])
    assert texts(alice, room) == ["0", "1", "2", "3", "4"]
    assert kept(alpha) == []


def test_they_outlive_the_process(world: Simulation, shared: Shared) -> None:
    alpha, alice, other, room = shared
    lost, _ = sends_without_the_one_before(shared)
    alpha.kill()
    alpha.start()
    other.answers["get_missing_events"] = lambda request: (200, {"events": [lost.pdu]})
    world.pass_time(60)
    assert texts(alice, room) == ["first", "second"]


def test_another_server_in_the_room_is_asked_when_their_own_is_gone(
    world: Simulation, shared: Shared, three_databases: tuple[TestDatabase, ...]
) -> None:
    alpha, alice, other, room = shared
    beta = world.server("beta.example", three_databases[1])
    bob = beta.person("bob")
    assert bob.join(room.last.room_id, alpha).status == 200
    joined = beta.extremities(room.last.room_id)
    room.last = room.event("m.room.message", {"body": "zero"}, prev=list(joined), depth=50)
    other.send(alpha, room.last)
    other.send(beta, room.last)
    lost, after = room.message("first"), room.message("second")
    other.by_id.clear()
    other.send(beta, lost, after)
    other.send(alpha, after)
    world.network.machine("203.0.113.200").kill()
    for _ in range(60):
        world.pass_time(60)
        if texts(alice, room)[-2:] == ["first", "second"]:
            return
    raise AssertionError("they were not had within an hour")


def test_they_are_given_up_after_half_a_day(world: Simulation, shared: Shared) -> None:
    alpha, alice, other, room = shared
    sends_without_the_one_before(shared)
    asked = len(other.asked)
    world.pass_time(660)
    for hours_down in (1, 3, 9):
        assert len(kept(alpha)) == 1
        alpha.kill()
        world.pass_time(hours_down * HOUR)
        alpha.start()
        world.pass_time(60)
    assert kept(alpha) == []
    assert len(other.asked) - asked < 60
    assert texts(alice, room) == []


def test_no_server_can_have_too_many_kept(world: Simulation, shared: Shared) -> None:
    alpha, _, other, room = shared
    events = [room.event("m.room.message", {"body": str(n)}, prev=[f"$gone{n}"]) for n in range(150)]
    other.by_id.clear()
    answers: dict[str, Any] = {}
    for start in range(0, len(events), 50):
        answers |= other.send(alpha, *events[start : start + 50])
    assert len(kept(alpha)) == MOST_OF_A_ROOM
    assert {event_id for event_id, answer in answers.items() if answer == {}} == set(kept(alpha))


def test_they_are_forgotten_when_the_server_leaves_the_room(world: Simulation, shared: Shared) -> None:
    alpha, alice, _, room = shared
    sends_without_the_one_before(shared)
    assert alice.act(room.last.room_id, "leave").status == 200
    world.pass_time(60)
    assert kept(alpha) == []

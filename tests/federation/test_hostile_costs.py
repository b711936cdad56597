"""What is made to cost much: patterns, chains, crowds and bodies. Work is counted, not timed.

CVE-2024-31208, CVE-2023-45129, CVE-2021-29471, CVE-2022-31052, CVE-2026-45078; for bodies CVE-2024-37302 and CWE-409.
"""

import gzip
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.push_rules.globs import whole_matcher, word_matcher
from homeserver.protocol.server_acl import ServerAcl
from tests.federation.test_hostile_events import Victims, told
from tests.harness.postgres import TestDatabase
from tests.simulation.hostile_server import V1
from tests.simulation.networked_servers import Simulation
from tests.simulation.readers import read_everything


def steps(work: Callable[[], object]) -> int:
    """How many lines of Python a piece of work goes through."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


HOSTILE_GLOBS: Final = ["*a" * 60, "*?" * 60, "?*" * 60, "*" * 200 + "b", "a*" * 80 + "b", "*a*b" * 40]


@pytest.mark.parametrize("glob", HOSTILE_GLOBS)
def test_patterns_of_access_lists(glob: str) -> None:
    name = ServerName("a" * 230)
    acl = ServerAcl.of_content({"allow": ["*"], "deny": [glob]})
    assert steps(lambda: acl.allows(name)) < 10 * len(glob) * len(name)


def test_an_access_list_of_thousands() -> None:
    listed = [f"*a*b{number}*" for number in range(3000)]
    acl = ServerAcl.of_content({"allow": ["*"], "deny": listed})
    name = ServerName("ab" * 100)
    assert steps(lambda: acl.allows(name)) < 3000 * 20 * len(name)


@pytest.mark.parametrize("glob", HOSTILE_GLOBS)
@pytest.mark.parametrize("matcher", [whole_matcher, word_matcher])
def test_patterns_of_push_rules(glob: str, matcher: Callable[[str], Callable[[str], bool]]) -> None:
    text = "a" * 60_000
    match = matcher(glob)
    assert steps(lambda: match(text)) < 4_000_000


@pytest.fixture
def victims(world: Simulation, three_databases: tuple[TestDatabase, ...]) -> Victims:
    """A server with Alice on it, and one that is hostile."""
    return Victims(world, three_databases)


def test_a_long_chain_of_relations(victims: Victims) -> None:
    """Each event relates to the one before."""
    evil, alice = victims.evil, victims.alice
    room, shared = victims.room("10")
    events = [shared.message("first")]
    for _ in range(60):
        relation = {"rel_type": "m.thread", "event_id": events[-1].event_id}
        shared.last = shared.event("m.room.message", {"body": "next", "m.relates_to": relation})
        events.append(shared.last)
    for start in range(0, len(events), 50):
        evil.send(victims.alpha, *events[start : start + 50])
    chunk = read_everything(alice, room, evil)
    assert events[-1].event_id in [event["event_id"] for event in chunk]


@pytest.mark.parametrize("rel_type", ["m.thread", "m.replace", "m.annotation", "m.reference"])
def test_a_circle_of_relations(victims: Victims, rel_type: str) -> None:
    """In room version 1 a server chooses the IDs of its events, so they can relate to each other in a circle."""
    evil, alice = victims.evil, victims.alice
    room, shared = victims.room("1")
    names = [f"$circle{number}:{evil.name}" for number in range(4)]
    for number, event_id in enumerate(names):
        relation = {"rel_type": rel_type, "event_id": names[number - 1], "key": "x"}
        content = {"msgtype": "m.text", "body": "round", "m.new_content": {}, "m.relates_to": relation}
        last, auth = shared.last.event_id, shared.auth_ids()
        shared.last = shared.event(
            "m.room.message",
            content,
            event_id=event_id,
            prev_events=[[last, {"sha256": "x"}]],
            auth_events=[[each, {"sha256": "x"}] for each in auth],
        )
        assert evil.send(victims.alpha, shared.last) == {event_id: {}}
    chunk = read_everything(alice, room, evil)
    assert names[-1] in [event["event_id"] for event in chunk]


def test_many_who_fork_the_room(victims: Victims) -> None:
    """Hundreds of extremities: the next event closes some of them, and the room can be read and written."""
    evil, alice = victims.evil, victims.alice
    room, shared = victims.room("10")
    base = shared.last
    forks = [shared.event("m.room.topic", {"topic": str(n)}, state_key="", prev=[base]) for n in range(200)]
    for start in range(0, len(forks), 50):
        evil.send(victims.alpha, *forks[start : start + 50])
    assert alice.say(room, "on") is not None
    assert len(victims.alpha.extremities(room)) <= 201 - 20
    read_everything(alice, room, evil)


def test_an_auth_chain_that_is_long(victims: Victims) -> None:
    """Power levels changed a thousand times: each event's chain is the whole of it."""
    evil, alice = victims.evil, victims.alice
    room = evil.found("10")
    room.state["oldest", ""] = room.state["m.room.power_levels", ""]
    for number in range(300):
        levels = {"users": {evil.user_id: 100}, "events_default": (number + 1) % 2}
        room.last = room.event("m.room.power_levels", levels, state_key="")
        room.state["m.room.power_levels", ""] = room.last
        room.state[f"old{number}", ""] = room.last
    chain = [event.pdu for event in room.state.values()]
    current = [event.pdu for key, event in room.state.items() if not key[0].startswith("old")]
    evil.lets_in(room, current, chain)
    assert victims.join(room) == 200
    fork = room.state["old100", ""]
    late = room.event("m.room.topic", {"topic": "late"}, state_key="", prev=[fork])
    evil.answers["/state_ids/"] = lambda request: (
        200,
        {
            "pdu_ids": [event.get("event_id", "$x") for event in current],
            "auth_chain_ids": [],
        },
    )
    evil.send(victims.alpha, late)
    assert alice.say(room.last.room_id, "on") is not None
    read_everything(alice, room.last.room_id, evil)


def test_a_body_that_is_too_large_is_refused(victims: Victims) -> None:
    evil, alpha = victims.evil, victims.alpha
    _room, shared = victims.room("10")
    for body in (b'{"pdus":[],"x":"' + b"a" * 30_000_000 + b'"}', b"[" * 30_000_000):
        reply = evil.ask(alpha, "PUT", f"{V1}/send/large", body)
        assert (reply.status, reply.errcode) == (413, "M_TOO_LARGE")
    victims.goes_on(shared, shared.last)


def test_a_body_that_is_nested_without_end_is_refused(victims: Victims) -> None:
    evil, alpha = victims.evil, victims.alpha
    room, shared = victims.room("10")
    for opening in (b'{"pdus":' + b"[" * 1_000_000, b'{"pdus":' + b'{"a":' * 500_000):
        assert evil.ask(alpha, "PUT", f"{V1}/send/deep", opening).status == 400
    closed = b'{"pdus":[' + b"[" * 50_000 + b"]" * 50_000 + b"]}"
    assert evil.ask(alpha, "PUT", f"{V1}/send/deep2", closed).status in (200, 400)
    base = shared.last
    victims.goes_on(shared, base)
    assert told(victims.alice, room)


def test_compressed_bodies_are_not_unpacked(victims: Victims) -> None:
    """A request in gzip is no JSON to us, however little it weighs."""
    evil = victims.evil
    packed = gzip.compress(b'{"pdus":[],"x":"' + b"a" * 50_000_000 + b'"}')
    reply = evil.ask(victims.alpha, "PUT", f"{V1}/send/packed", packed, Content_Encoding="gzip")
    assert (reply.status, reply.errcode) == (400, "M_NOT_JSON")


def test_a_fork_whose_resolution_takes_too_many_steps_is_set_aside(
    world: Simulation, three_databases: tuple[TestDatabase, ...]
) -> None:
    victims = Victims(world, three_databases, "max_resolution_steps: 1000")
    evil, alice = victims.evil, victims.alice
    events = {"m.room.power_levels": 0}
    levels: dict[str, Any] = {"users_default": 50, "events_default": 0, "state_default": 0, "events": events}
    wishes = {"preset": "public_chat", "room_version": "10", "power_level_content_override": levels}
    room = evil.join(victims.alpha, str(alice.do("POST", "/createRoom", wishes)["room_id"]))
    base, first = room.last, room.state["m.room.power_levels", ""]
    ends, answers = [], []
    for fork in range(2):
        room.last, room.state["m.room.power_levels", ""] = base, first
        for number in range(120):
            content = {**first.content, "notifications": {"room": (number + fork) % 50}}
            room.last = room.event("m.room.power_levels", content, state_key="")
            room.state["m.room.power_levels", ""] = room.last
            answers.append(evil.send(victims.alpha, room.last))
        ends.append(room.last)
    assert [answer for answer in answers[:120] if any(answer.values())] == []
    refused = [result["error"] for answer in answers for result in answer.values() if result]
    assert any("too many steps" in reason for reason in refused)
    room.state["m.room.power_levels", ""] = ends[0]
    victims.goes_on(room, ends[0])
    assert alice.say(room.last.room_id, "on") is not None
    read_everything(alice, room.last.room_id, evil)

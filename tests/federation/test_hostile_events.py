"""Malformed events at every way into a room: others still flow, and no reader chokes on what was taken.

Peers of ours were stopped by a single event of this kind: CVE-2025-30355, CVE-2020-26257, CVE-2025-61672.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.errors import MatrixError
from homeserver.protocol.events.parsing import parse_pdu
from tests.federation.pdu_server import RoomOfPdus
from tests.harness.postgres import TestDatabase
from tests.simulation.hostile_server import HostileServer
from tests.simulation.nastiness import CALM, CHECKS, GRAVE, VALUES, VERSIONS, hostile_pdus, no_bugs, spoilt
from tests.simulation.networked_servers import Person, Simulation
from tests.simulation.readers import read_everything

KINDS = {**CALM, **GRAVE}


class Victims:
    """A server with Alice on it, and one that is hostile."""

    def __init__(self, world: Simulation, databases: tuple[TestDatabase, ...], federation: str = "") -> None:
        self.alpha = world.server("alpha.example", databases[0], federation)
        self.alice = self.alpha.person("alice")
        self.evil = HostileServer(world)
        self.world = world

    def room(self, version: str) -> tuple[str, RoomOfPdus]:
        """A room of Alice's in which everybody may do much, with Eve in it."""
        levels = {"users_default": 50, "events_default": 0, "state_default": 0, "redact": 0}
        wishes = {"preset": "public_chat", "room_version": version, "power_level_content_override": levels}
        room = str(self.alice.do("POST", "/createRoom", wishes)["room_id"])
        return room, self.evil.join(self.alpha, room)

    def join(self, room: RoomOfPdus) -> int:
        """Alice wants to join a room of the hostile server's; the status of the answer."""
        path = f"/join/{room.last.room_id}"
        return self.alice.ask("POST", path, {}, {"via": self.evil.name}).status

    def goes_on(self, shared: RoomOfPdus, prev: Any) -> None:
        """The next good event arrives."""
        good = shared.event("m.room.message", {"msgtype": "m.text", "body": "good"}, prev=[prev])
        assert self.evil.send(self.alpha, good) == {good.event_id: {}}
        assert good.event_id in told(self.alice, good.room_id)


@pytest.fixture
def victims(world: Simulation, three_databases: tuple[TestDatabase, ...]) -> Victims:
    """Both, new."""
    return Victims(world, three_databases)


def told(person: Person, room: str) -> list[str]:
    """The events that somebody reads."""
    page = person.do("GET", f"/rooms/{room}/messages", None, {"dir": "b", "limit": 100})
    return [event["event_id"] for event in page["chunk"]]


def names(pdus: list[Any], room: RoomOfPdus) -> list[str]:
    """The event IDs that PDUs have, if they have any."""
    found = []
    for pdu in pdus:
        try:
            found.append(str(parse_pdu(pdu, room.version).event_id))
        except MatrixError:
            continue
    return found


def test_in_a_transaction(victims: Victims) -> None:
    evil, alpha, alice = victims.evil, victims.alpha, victims.alice

    @CHECKS
    @given(st.data(), st.sampled_from(VERSIONS), st.booleans())
    def law(data: st.DataObject, version: str, calm: bool) -> None:
        room, shared = victims.room(version)
        base = shared.last
        kinds = CALM if calm else KINDS
        target = shared.event("m.room.message", {"msgtype": "m.text", "body": "text"})
        pdus = data.draw(st.lists(hostile_pdus(shared, kinds), min_size=1, max_size=5))
        with no_bugs():
            evil.send(alpha, target, *pdus)
            read_everything(alice, room, evil)
            if calm and all(isinstance(pdu, dict) and pdu.get("type") in CALM for pdu in pdus):
                victims.goes_on(shared, base)
                assert alice.say(room, "text") is not None

    law()


def test_among_missing_events(victims: Victims) -> None:
    evil, alpha, alice = victims.evil, victims.alpha, victims.alice

    @CHECKS
    @given(st.data(), st.sampled_from(VERSIONS))
    def law(data: st.DataObject, version: str) -> None:
        room, shared = victims.room(version)
        base = shared.last
        pdus = data.draw(st.lists(hostile_pdus(shared, CALM), min_size=1, max_size=3))
        evil.answers["get_missing_events"] = lambda request: (200, {"events": pdus})
        before = [*names(pdus, shared), "$gone"][: data.draw(st.integers(1, 3))]
        after = shared.event("m.room.message", {"msgtype": "m.text", "body": "text"}, prev=before)
        with no_bugs():
            evil.send(alpha, after)
            read_everything(alice, room, evil)
            victims.goes_on(shared, base)

    law()


def test_in_a_state_at_a_gap(victims: Victims) -> None:
    evil, alpha, alice = victims.evil, victims.alpha, victims.alice

    @CHECKS
    @given(st.data(), st.sampled_from(VERSIONS))
    def law(data: st.DataObject, version: str) -> None:
        room, shared = victims.room(version)
        base = shared.last
        lost = shared.message("text")
        between, after = shared.message("text"), shared.message("text")
        del evil.by_id[lost.event_id]
        pdus = data.draw(st.lists(hostile_pdus(shared, KINDS, prev=[base]), max_size=3))
        ids = [str(event.event_id) for event in shared.state.values()] + names(pdus, shared)
        answer = {"pdu_ids": ids, "auth_chain_ids": ids}
        if data.draw(st.booleans()):
            answer = data.draw(spoilt(answer))
        evil.answers["/state_ids/"] = lambda request: (200, answer)
        evil.answers["/state/"] = lambda request: (200, {"pdus": pdus, "auth_chain": pdus})
        evil.answers["get_missing_events"] = lambda request: (200, {"events": [between.pdu]})
        with no_bugs():
            evil.send(alpha, after)
            read_everything(alice, room, evil)
            victims.goes_on(shared, base)

    law()


def test_in_the_answer_to_a_join(victims: Victims) -> None:
    evil, alice = victims.evil, victims.alice

    @CHECKS
    @given(st.data(), st.sampled_from(VERSIONS))
    def law(data: st.DataObject, version: str) -> None:
        room = evil.found(version)
        good = [event.pdu for event in room.state.values()]
        pdus = data.draw(st.lists(hostile_pdus(room, KINDS), min_size=1, max_size=5))
        evil.lets_in(room, [*pdus, *good], [*good, *pdus])
        with no_bugs():
            if victims.join(room) == 200:
                read_everything(alice, room.last.room_id, evil)
            clean = evil.found(version)
            evil.lets_in(clean)
            assert victims.join(clean) == 200
            assert alice.say(clean.last.room_id, "text") is not None

    law()


def test_as_the_whole_answer_to_a_join(victims: Victims) -> None:
    evil, alice = victims.evil, victims.alice

    @CHECKS
    @given(st.data(), st.sampled_from(VERSIONS))
    def law(data: st.DataObject, version: str) -> None:
        room = evil.found(version)
        evil.lets_in(room)
        pdus = [event.pdu for event in room.state.values()]
        answer = {"state": pdus, "auth_chain": pdus, "members_omitted": False, "servers_in_room": [evil.name]}
        spoilt_answer = data.draw(spoilt({**answer, "event": {}}))
        evil.answers["/send_join/"] = lambda request: (200, spoilt_answer)
        with no_bugs():
            status = victims.join(room)
            assert status != 500
            if status == 200:
                read_everything(alice, room.last.room_id, evil)

    law()


def test_in_history_that_is_fetched(victims: Victims) -> None:
    evil, alice = victims.evil, victims.alice

    @CHECKS
    @given(st.data(), st.sampled_from(VERSIONS))
    def law(data: st.DataObject, version: str) -> None:
        room = evil.found(version)
        evil.lets_in(room)
        old = [room.message(f"text {number}") for number in range(3)]
        pdus = data.draw(st.lists(hostile_pdus(room, KINDS), min_size=1, max_size=3))
        if names(pdus, room):
            room.last = room.event("m.room.message", {"body": "text"}, prev=names(pdus, room)[:2])
        evil.lets_in(room)
        every = [*(event.pdu for event in old), *pdus, room.last.pdu]
        evil.answers["/backfill/"] = lambda request: (200, {"pdus": every})
        with no_bugs():
            assert victims.join(room) == 200
            read_everything(alice, room.last.room_id, evil)
            read_everything(alice, room.last.room_id, evil)

    law()


def test_values_instead_of_events(victims: Victims) -> None:
    evil, alpha = victims.evil, victims.alpha
    _room, shared = victims.room("10")

    @CHECKS
    @given(st.lists(VALUES, max_size=10))
    def law(values: list[Any]) -> None:
        base = shared.last
        with no_bugs():
            evil.send(alpha, *values, edus=values)
            victims.goes_on(shared, base)

    law()


def test_a_redaction_of_what_can_be_no_event(victims: Victims) -> None:
    for version in VERSIONS:
        room, shared = victims.room(version)
        base = shared.last
        for target in ("$x\0", "\0", "$" + "x" * 5000, "", "no ID"):
            holder = {"redacts": target}
            redaction = shared.event("m.room.redaction", holder, prev=[base], redacts=target)
            with no_bugs():
                assert victims.evil.send(victims.alpha, redaction) == {redaction.event_id: {}}
                read_everything(victims.alice, room, victims.evil)
                victims.goes_on(shared, redaction)


def test_a_state_of_what_can_be_no_events(victims: Victims) -> None:
    evil = victims.evil
    room, shared = victims.room("10")
    base = shared.last
    lost, between, after = (shared.message(text) for text in ("lost", "between", "after"))
    del evil.by_id[lost.event_id]
    ids = [event.event_id for event in shared.state.values()]
    odd = ["\0", "$x\0", "x" * 5000, "", "$" + "é" * 300]
    evil.answers["/state_ids/"] = lambda request: (200, {"pdu_ids": ids + odd, "auth_chain_ids": odd})
    evil.answers["get_missing_events"] = lambda request: (200, {"events": [between.pdu]})
    with no_bugs():
        evil.send(victims.alpha, after)
        assert after.event_id in told(victims.alice, room)
        victims.goes_on(shared, base)

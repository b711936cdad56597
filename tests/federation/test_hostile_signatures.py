"""Events that are not signed as they must be, at every way into a room: none is taken.

CVE-2022-39200 (signatures in answers to joins were not looked at), CVE-2026-24044 (a weak key verifies anything).
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import pytest

from homeserver.protocol.base64 import encode_base64
from homeserver.protocol.events.signing import sign_json, sign_pdu
from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.protocol.signing_keys import SigningKey
from tests.federation.pdu_server import RoomOfPdus
from tests.federation.test_hostile_answers import invite
from tests.federation.test_hostile_events import Victims
from tests.harness.postgres import TestDatabase
from tests.simulation.hostile_server import V1, HostileServer
from tests.simulation.networked_servers import Simulation

Pdu = dict[str, Any]
Forger = Callable[[HostileServer, Pdu], Pdu]
DAY_MS: Final = 86_400_000
WEAK: Final = bytes([1]) + bytes(31)
"""The neutral element: with it as a key, this is a signature of anything for whoever does not look."""


@pytest.fixture
def victims(world: Simulation, three_databases: tuple[TestDatabase, ...]) -> Victims:
    """A server with Alice on it, and one that is hostile."""
    return Victims(world, three_databases)


def _signed_by(pdu: Pdu, server: str, key: SigningKey) -> Pdu:
    return sign_pdu({**pdu, "signatures": {}}, ROOM_VERSIONS["10"], server, key)


def without_any(evil: HostileServer, pdu: Pdu) -> Pdu:
    return {**pdu, "signatures": {}}


def without_its_servers(evil: HostileServer, pdu: Pdu) -> Pdu:
    return _signed_by(pdu, "alpha.example", evil.key)


def with_a_wrong_one(evil: HostileServer, pdu: Pdu) -> Pdu:
    return {**pdu, "signatures": {evil.name: {evil.key.key_id: "A" * 86}}}


def with_that_of_another_event(evil: HostileServer, pdu: Pdu) -> Pdu:
    other = _signed_by({**pdu, "depth": pdu["depth"] + 1}, evil.name, evil.key)
    return {**pdu, "signatures": other["signatures"]}


def by_an_unknown_key(evil: HostileServer, pdu: Pdu) -> Pdu:
    return _signed_by(pdu, evil.name, SigningKey("b", b"b" * 32))


def by_an_impostor_of_its_key(evil: HostileServer, pdu: Pdu) -> Pdu:
    return _signed_by(pdu, evil.name, SigningKey("a_test", b"b" * 32))


def by_a_key_of_an_unknown_kind(evil: HostileServer, pdu: Pdu) -> Pdu:
    signature = pdu["signatures"][evil.name][evil.key.key_id]
    return {**pdu, "signatures": {evil.name: {"rsa:a_test": signature}}}


def by_a_weak_key(evil: HostileServer, pdu: Pdu) -> Pdu:
    return {**pdu, "signatures": {evil.name: {"ed25519:weak": encode_base64(WEAK + bytes(32))}}}


def by_a_key_that_was_given_up(evil: HostileServer, pdu: Pdu) -> Pdu:
    return _signed_by(pdu, evil.name, SigningKey("old", b"o" * 32))


FORGERS: Final[list[Forger]] = [
    without_any,
    without_its_servers,
    with_a_wrong_one,
    with_that_of_another_event,
    by_an_unknown_key,
    by_an_impostor_of_its_key,
    by_a_key_of_an_unknown_kind,
    by_a_weak_key,
    by_a_key_that_was_given_up,
]


def publish_keys(evil: HostileServer) -> None:
    """Have the hostile server say of itself that it has a weak key, and once had another one."""
    document = evil.keys()
    del document["signatures"]
    document["verify_keys"]["ed25519:weak"] = {"key": encode_base64(WEAK)}
    gone = SigningKey("old", b"o" * 32).verify_key.text()
    expired = evil.world.clock.now_ms() - DAY_MS
    document["old_verify_keys"] = {"ed25519:old": {"key": gone, "expired_ts": expired}}
    signed = sign_json(document, evil.name, evil.key)
    evil.answers["/_matrix/key/v2/server"] = lambda request: (200, signed)


def topic_of(victims: Victims, room: str) -> Any:
    reply = victims.alice.ask("GET", f"/rooms/{quote(room)}/state/m.room.topic/")
    return reply.json.get("topic")


def forged_topic(victims: Victims, shared: RoomOfPdus, forge: Forger) -> Pdu:
    event = shared.event("m.room.topic", {"topic": "forged"}, state_key="")
    del victims.evil.by_id[event.event_id]
    return forge(victims.evil, event.pdu)


@pytest.mark.parametrize("forge", FORGERS)
def test_in_a_transaction(victims: Victims, forge: Forger) -> None:
    publish_keys(victims.evil)
    room, shared = victims.room("10")
    victims.evil.send(victims.alpha, forged_topic(victims, shared, forge))
    assert topic_of(victims, room) is None


@pytest.mark.parametrize("forge", FORGERS)
def test_among_missing_events(victims: Victims, forge: Forger) -> None:
    publish_keys(victims.evil)
    room, shared = victims.room("10")
    forged = forged_topic(victims, shared, forge)
    event = shared.event("m.room.topic", {"topic": "forged"}, state_key="")
    after = shared.event("m.room.message", {"body": "after"}, prev=[event])
    victims.evil.by_id.clear()
    victims.evil.answers["get_missing_events"] = lambda request: (200, {"events": [forged]})
    victims.evil.send(victims.alpha, after)
    assert topic_of(victims, room) is None


@pytest.mark.parametrize("forge", FORGERS)
def test_in_the_answer_to_a_join_and_in_history(victims: Victims, forge: Forger) -> None:
    publish_keys(victims.evil)
    evil = victims.evil
    room = evil.found("10")
    forged = forged_topic(victims, room, forge)
    message = forge(evil, room.event("m.room.message", {"body": "forged"}).pdu)
    evil.lets_in(room, [*(event.pdu for event in room.state.values()), forged])
    evil.answers["/backfill/"] = lambda request: (200, {"pdus": [room.last.pdu, message]})
    assert victims.join(room) == 200
    assert topic_of(victims, room.last.room_id) is None
    history = victims.alice.do("GET", f"/rooms/{room.last.room_id}/messages", None, {"dir": "b", "limit": 50})
    assert "forged" not in [event["content"].get("body") for event in history["chunk"]]


@pytest.mark.parametrize("forge", FORGERS)
def test_in_a_state_at_a_gap(victims: Victims, forge: Forger) -> None:
    publish_keys(victims.evil)
    evil = victims.evil
    room, shared = victims.room("10")
    forged = forged_topic(victims, shared, forge)
    lost, between, after = (shared.message(text) for text in ("lost", "between", "after"))
    evil.by_id.clear()
    ids = [event.event_id for event in shared.state.values()]
    evil.answers["/state_ids/"] = lambda request: (200, {"pdu_ids": [*ids, "$forged"], "auth_chain_ids": ids})
    evil.answers["/event/"] = lambda request: (200, {"pdus": [forged]})
    evil.answers["get_missing_events"] = lambda request: (200, {"events": [between.pdu]})
    evil.send(victims.alpha, after)
    assert lost.event_id
    assert topic_of(victims, room) is None


@pytest.mark.parametrize("forge", FORGERS)
def test_in_an_invite(victims: Victims, forge: Forger) -> None:
    publish_keys(victims.evil)
    evil = victims.evil
    event = invite(evil, victims.alice.user_id, "10", f"!x:{evil.name}")
    body = {"room_version": "10", "event": forge(evil, event.pdu), "invite_room_state": []}
    target = f"/_matrix/federation/v2/invite/{quote(event.room_id)}/{quote(event.event_id)}"
    assert evil.ask(victims.alpha, "PUT", target, body).status == 403
    assert "invite" not in victims.alice.do("GET", "/sync", None, {"timeout": 0}).get("rooms", {})


@pytest.mark.parametrize("forge", FORGERS)
@pytest.mark.parametrize(("version", "membership"), [("v2", "join"), ("v2", "leave"), ("v1", "knock")])
def test_in_a_membership_by_way_of_us(victims: Victims, forge: Forger, version: str, membership: str) -> None:
    publish_keys(victims.evil)
    evil = victims.evil
    room, shared = victims.room("10")
    event = shared.event("m.room.member", {"membership": membership}, state_key=evil.user_id)
    place = f"{quote(room)}/{quote(event.event_id)}"
    target = f"/_matrix/federation/{version}/send_{membership}/{place}"
    assert evil.ask(victims.alpha, "PUT", target, forge(evil, event.pdu)).status == 403


def test_a_request_signed_by_a_weak_key_is_refused(victims: Victims) -> None:
    publish_keys(victims.evil)
    evil = victims.evil
    victims.room("10")
    target = f"{V1}/query/profile?user_id={quote(victims.alice.user_id)}"
    signature = encode_base64(WEAK + bytes(32))
    header = f'X-Matrix origin="{evil.name}",destination="alpha.example",key="ed25519:weak",sig="{signature}"'
    reply = victims.alpha.http.request("GET", target, headers={"Authorization": header})
    assert (reply.status, reply.errcode) == (401, "M_UNAUTHORIZED")

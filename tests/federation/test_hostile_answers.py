"""What other servers answer when we ask them, and what they ask of us, with anything wrong in it: nothing of it is
a bug of ours, nothing is signed as it was given, and what is good goes on.
"""

from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.events.building import build_event
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.room_versions import ROOM_VERSIONS
from tests.federation.test_hostile_events import Victims
from tests.harness.postgres import TestDatabase
from tests.simulation.hostile_server import V1, HostileServer
from tests.simulation.nastiness import CHECKS, VERSIONS, no_bugs, signed, spoilt
from tests.simulation.networked_servers import Simulation
from tests.simulation.readers import fine, read_everything

STRIPPED: Final = [
    {"type": kind, "state_key": "", "sender": "@eve:evil.example", "content": content}
    for kind, content in (
        ("m.room.create", {"room_version": "10"}),
        ("m.room.name", {"name": "text"}),
        ("m.room.avatar", {"url": "mxc://a/b"}),
        ("m.room.join_rules", {"join_rule": "invite"}),
        ("m.room.encryption", {"algorithm": "x"}),
    )
]


@pytest.fixture
def victims(world: Simulation, three_databases: tuple[TestDatabase, ...]) -> Victims:
    """A server with Alice on it, and one that is hostile."""
    return Victims(world, three_databases)


def invite(evil: HostileServer, target: str, version: str, room: str) -> Event:
    """An invite of somebody by Eve."""
    return build_event(
        ROOM_VERSIONS[version],
        room_id=RoomID(room),
        sender=evil.user_id,
        type="m.room.member",
        content={"membership": "invite", "displayname": "Alice"},
        state_key=target,
        prev_events=[],
        auth_events=[],
        depth=5,
        origin_server_ts=evil.world.clock.now_ms(),
        server_name=evil.name,
        signing_key=evil.key,
    )


def test_invites(victims: Victims) -> None:
    evil, alpha, alice = victims.evil, victims.alpha, victims.alice

    @CHECKS
    @given(st.data(), st.booleans())
    def law(data: st.DataObject, again_signed: bool) -> None:
        room = f"!{evil.world.transaction()}:{evil.name}"
        event = invite(evil, alice.user_id, "10", room)
        shown = evil.found("10")
        pdu: Any = (
            data.draw(spoilt(event.pdu, 2, ("unsigned", "redacts")))
            if data.draw(st.booleans())
            else event.pdu
        )
        if again_signed and isinstance(pdu, dict):
            pdu = signed(shown, pdu)
        body: Any = {"room_version": "10", "event": pdu, "invite_room_state": STRIPPED}
        body = data.draw(spoilt(body)) if data.draw(st.booleans()) else body
        place = f"{quote(room)}/{quote(event.event_id)}"
        with no_bugs():
            for path in ("/_matrix/federation/v2", V1):
                reply = evil.ask(alpha, "PUT", f"{path}/invite/{place}", body if path != V1 else pdu)
                assert reply.status < 500
            fine(alice.ask("GET", "/sync", None, {"timeout": 0}))
            read_everything(alice, room)
            good = invite(evil, alice.user_id, "10", f"!{evil.world.transaction()}:{evil.name}")
            body = {"room_version": "10", "event": good.pdu, "invite_room_state": STRIPPED}
            place = f"{quote(good.room_id)}/{quote(good.event_id)}"
            assert evil.ask(alpha, "PUT", f"/_matrix/federation/v2/invite/{place}", body).status == 200
            invited = alice.do("GET", "/sync", None, {"timeout": 0})["rooms"]["invite"]
            assert good.room_id in invited
            assert alice.act(good.room_id, "leave").status == 200
            if room in invited:
                assert alice.act(room, "leave").status == 200

    law()


def turns_an_invite_down(victims: Victims) -> str:
    """Alice is invited and does not want to come; the room."""
    evil = victims.evil
    event = invite(evil, victims.alice.user_id, "10", f"!{evil.world.transaction()}:{evil.name}")
    body = {"room_version": "10", "event": event.pdu, "invite_room_state": []}
    place = f"{quote(event.room_id)}/{quote(event.event_id)}"
    reply = evil.ask(victims.alpha, "PUT", f"/_matrix/federation/v2/invite/{place}", body)
    assert reply.status == 200, reply.text
    assert victims.alice.act(event.room_id, "leave").status == 200
    evil.world.pass_time(5)
    return event.room_id


@pytest.mark.parametrize(("deed", "membership"), [("join", "join"), ("knock", "knock"), ("leave", "leave")])
def test_templates_are_built_anew_and_never_signed_as_given(
    victims: Victims, deed: str, membership: str
) -> None:
    """CVE-2022-39200 and CVE-2026-24471: a server that signs what it is given signs anything."""
    evil, alice = victims.evil, victims.alice

    @CHECKS
    @given(st.data(), st.sampled_from(VERSIONS))
    def law(data: st.DataObject, version: str) -> None:
        room = evil.found(version if membership != "knock" or version != "5" else "10")
        room_id: str = room.last.room_id
        evil.lets_in(room)
        _, template = evil.answers["/make_join/"]({})
        template["event"] |= {
            "content": {"membership": membership},
            "sender": alice.user_id,
            "state_key": alice.user_id,
        }
        given_template = data.draw(spoilt(template, 3, ("room_version",)))
        taken: list[Any] = []
        evil.answers[f"/make_{deed}/"] = lambda request: (200, given_template)

        def take(request: dict[str, Any]) -> tuple[int, Any]:
            taken.append(request["body"])
            return 404, {"errcode": "M_NOT_FOUND", "error": "no"}

        evil.answers[f"/send_{deed}/"] = take
        with no_bugs():
            if membership == "leave":
                room_id = turns_an_invite_down(victims)
            else:
                reply = alice.ask("POST", f"/{deed}/{quote(room_id)}", {}, {"via": evil.name})
                assert reply.status in (400, 403, 404, 502), reply.text
            read_everything(alice, room_id)
        for pdu in taken:
            assert pdu["type"] == "m.room.member"
            assert (pdu["sender"], pdu["state_key"], pdu["room_id"]) == (
                alice.user_id,
                alice.user_id,
                room_id,
            )
            assert pdu["content"].pop("membership") == membership
            assert pdu["content"].keys() <= {"join_authorised_via_users_server", "displayname", "avatar_url"}
            assert pdu.keys() <= {*template["event"], "hashes", "signatures", "sender", "state_key"}

    law()


def test_the_answer_to_a_knock(victims: Victims) -> None:
    evil, alice = victims.evil, victims.alice

    @CHECKS
    @given(st.data())
    def law(data: st.DataObject) -> None:
        room = evil.found("10")
        room_id = room.last.room_id
        evil.lets_in(room)
        evil.answers["/make_knock/"] = evil.answers["/make_join/"]
        answer = data.draw(spoilt({"knock_room_state": STRIPPED}, 3))
        evil.answers["/send_knock/"] = lambda request: (200, answer)
        with no_bugs():
            reply = alice.ask("POST", f"/knock/{quote(room_id)}", {}, {"via": evil.name})
            assert reply.status in (200, 502), reply.text
            read_everything(alice, room_id)
            if reply.status == 200:
                assert alice.act(room_id, "leave").status == 200

    law()


EDUS: Final[dict[str, Any]] = {
    "m.typing": {"room_id": "!x", "user_id": "@eve:evil.example", "typing": True},
    "m.receipt": {
        "!x": {"m.read": {"@eve:evil.example": {"event_ids": ["$x"], "data": {"ts": 1, "thread_id": "main"}}}}
    },
    "m.presence": {
        "push": [
            {
                "user_id": "@eve:evil.example",
                "presence": "online",
                "last_active_ago": 5,
                "currently_active": True,
                "status_msg": "x",
            }
        ]
    },
    "m.device_list_update": {
        "user_id": "@eve:evil.example",
        "device_id": "D",
        "stream_id": 5,
        "prev_id": [4],
        "deleted": False,
        "device_display_name": "x",
        "keys": {
            "user_id": "@eve:evil.example",
            "device_id": "D",
            "algorithms": ["a"],
            "keys": {"ed25519:D": "x"},
            "signatures": {},
        },
    },
    "m.direct_to_device": {
        "sender": "@eve:evil.example",
        "type": "m.test",
        "message_id": "m",
        "messages": {"@alice:alpha.example": {"*": {"text": "x"}}},
    },
    "m.signing_key_update": {
        "user_id": "@eve:evil.example",
        "master_key": {"user_id": "@eve:evil.example", "usage": ["master"], "keys": {"ed25519:x": "x"}},
    },
}


def test_ephemeral_data(victims: Victims) -> None:
    """CVE-2024-52815 and CVE-2023-32323 stopped whole servers by such."""
    evil, alpha, alice = victims.evil, victims.alpha, victims.alice
    room, _shared = victims.room("10")
    here = {**EDUS["m.typing"], "room_id": room}
    receipt = {room: EDUS["m.receipt"]["!x"]}
    kinds = {**EDUS, "m.typing": here, "m.receipt": receipt}

    @CHECKS
    @given(st.data(), st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=4))
    def law(data: st.DataObject, chosen: list[str]) -> None:
        edus: Any = [
            {"edu_type": kind, "content": data.draw(spoilt(kinds[kind], 2, ("room_id", "keys", "x")))}
            for kind in chosen
        ]
        edus = data.draw(spoilt(edus)) if data.draw(st.booleans()) else edus
        with no_bugs():
            evil.send(alpha, edus=edus if isinstance(edus, list) else [])
            evil.world.pass_time(1)
            read_everything(alice, room)
            asked: Any = {"device_keys": {evil.user_id: []}}
            fine(alice.ask("POST", "/keys/query", asked))
            fine(alice.ask("GET", f"/presence/{evil.user_id}/status"))
            text = evil.world.transaction()
            message = {**EDUS["m.direct_to_device"], "message_id": text}
            message["messages"] = {alice.user_id: {"*": {"text": text}}}
            evil.send(alpha, edus=[{"edu_type": "m.direct_to_device", "content": message}])
            told = alice.do("GET", "/sync", None, {"timeout": 0})["to_device"]["events"]
            assert text in [event["content"].get("text") for event in told]

    law()


ANSWERS: Final[dict[str, tuple[Any, str, str, Any]]] = {
    "/user/devices/": (
        {"user_id": "@eve:evil.example", "stream_id": 5, "devices": [{"device_id": "D", "keys": {}}]},
        *("POST", "/keys/query", {"device_keys": {"@eve:evil.example": []}}),
    ),
    "/user/keys/query": (
        {"device_keys": {"@eve:evil.example": {"D": {}}}, "master_keys": {"@eve:evil.example": {}}},
        *("POST", "/keys/query", {"device_keys": {"@eve:evil.example": []}}),
    ),
    "/user/keys/claim": (
        {"one_time_keys": {"@eve:evil.example": {"D": {"signed_curve25519:A": {"key": "x"}}}}},
        *("POST", "/keys/claim", {"one_time_keys": {"@eve:evil.example": {"D": "signed_curve25519"}}}),
    ),
    "/query/profile": (
        {"displayname": "Eve", "avatar_url": "mxc://a/b", "m.tz": "Europe/Paris"},
        *("GET", "/profile/@eve:evil.example", None),
    ),
    "/query/directory": (
        {"room_id": "!x:evil.example", "servers": ["evil.example"]},
        *("GET", "/directory/room/%23x:evil.example", None),
    ),
    "/publicRooms": (
        {
            "chunk": [
                {"room_id": "!x:y", "num_joined_members": 1, "world_readable": True, "guest_can_join": True}
            ],
            "next_batch": "x",
            "total_room_count_estimate": 5,
        },
        *("GET", "/publicRooms?server=evil.example", None),
    ),
    "/hierarchy/": (
        {
            "room": {
                "room_id": "!x:evil.example",
                "children_state": [],
                "num_joined_members": 1,
                "join_rule": "public",
            },
            "children": [{"room_id": "!y:evil.example", "num_joined_members": 1}],
            "inaccessible_children": ["!z:evil.example"],
        },
        *("GET", "/../v1/room_summary/!x:evil.example?via=evil.example", None),
    ),
}


@pytest.mark.parametrize("asked", ANSWERS)
def test_answers_to_our_questions(victims: Victims, asked: str) -> None:
    evil, alice = victims.evil, victims.alice
    victims.room("10")
    good, method, path, body = ANSWERS[asked]

    @CHECKS
    @given(spoilt(good, 3, ("x", "master_key", "self_signing_key")))
    def law(answer: Any) -> None:
        evil.answers[asked] = lambda request: (200, answer)
        with no_bugs():
            reply = alice.ask_path(method, f"/_matrix/client/v3{path}".replace("/v3/..", ""), body)
            assert reply.status in (200, 400, 403, 404, 502), reply.text

    law()


def test_documents_of_keys(victims: Victims) -> None:
    evil, alpha, world = victims.evil, victims.alpha, victims.world

    @CHECKS
    @given(st.data())
    def law(data: st.DataObject) -> None:
        number = int(world.transaction()[1:])
        stranger = HostileServer(world, f"s{number}.example", 201)
        document = data.draw(spoilt(stranger.keys(), 3))
        stranger.answers["/_matrix/key/v2/server"] = lambda request: (200, document)
        with no_bugs():
            target = f"{V1}/query/profile?user_id={quote(victims.alice.user_id)}"
            assert stranger.ask(alpha, "GET", target).status in (200, 401)
            assert evil.ask(alpha, "GET", target).status == 200

    law()

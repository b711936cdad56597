"""What another server may send, and what of it is taken."""

from typing import Any

import pytest

from homeserver.protocol.identifiers import RoomID
from tests.federation.pdu_server import PduServer, RoomOfPdus
from tests.federation.whole_servers import Person, WholeServer, World, escaped, eventually, in_world


class Shared(World):
    """One of our servers, with a room that the test's server is in too."""

    async def shared(self, **wishes: Any) -> tuple[WholeServer, Person, str, PduServer, RoomOfPdus]:
        alpha = await self.server("alpha.example")
        alice = await alpha.person("alice")
        room = await alice.public_room(**wishes)
        evil = PduServer(self, "evil.example")
        return alpha, alice, room, evil, await evil.join(alpha, room)


def presence_told(server: PduServer) -> list[tuple[str, str]]:
    """Whose presence a server was told, and how they are."""
    edus = [edu for body in server.received for edu in body["edus"]]
    pushed = [each for edu in edus for each in edu["content"].get("push", ())]
    return [(each["user_id"], each["presence"]) for each in pushed]


@pytest.mark.usefixtures("internet")
class TestTransactions(Shared):
    """Of a server that has its say in a room."""

    @in_world
    async def test_an_event_of_a_user_in_the_room_is_shown(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        event = shared.message("hello")
        assert await evil.send(alpha, event) == {event.event_id: {}}
        assert await alice.texts(room) == ["hello"]

    @in_world
    async def test_a_repeated_transaction_is_answered_as_before(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        event = shared.message("once")
        for _ in range(2):
            assert await evil.send(alpha, event, txn="same") == {event.event_id: {}}
        await evil.send(alpha, event)
        assert await alice.texts(room) == ["once"]

    @in_world
    async def test_a_transaction_with_too_much_is_refused(self) -> None:
        alpha, _, _, evil, _ = await self.shared()
        target = "/_matrix/federation/v1/send/large"
        status, answer = await evil.ask(alpha, "PUT", target, {"pdus": [{}] * 51})
        assert (status, answer["errcode"]) == (400, "M_INVALID_PARAM")
        status, _ = await evil.ask(alpha, "PUT", target, {"edus": [{}] * 101})
        assert status == 400

    @in_world
    async def test_one_bad_event_does_not_harm_the_others(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        first = shared.message("first")
        forged = {**shared.event("m.room.message", {"body": "forged"}).pdu, "sender": alice.user_id}
        second = shared.message("second")
        garbage: list[Any] = [None, 7, "text", [], {}, {"room_id": room}, {"room_id": 5}, forged]
        answer = await evil.send(alpha, *garbage, first, *garbage, second)
        assert answer[first.event_id] == answer[second.event_id] == {}
        assert await alice.texts(room) == ["first", "second"]

    @in_world
    async def test_an_event_with_a_wrong_signature_is_refused(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        event = shared.message("hello")
        signatures = {evil.name: {evil.key.key_id: "A" * 86}}
        answer = await evil.send(alpha, {**event.pdu, "signatures": signatures})
        assert "error" in answer[event.event_id]
        assert await alice.texts(room) == []

    @in_world
    async def test_an_event_whose_content_was_changed_is_redacted(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        event = shared.message("original")
        changed = {**event.pdu, "content": {"msgtype": "m.text", "body": "changed"}}
        assert await evil.send(alpha, changed) == {event.event_id: {}}
        assert await alice.texts(room) == []
        shown = await alice.do("GET", f"/rooms/{escaped(room)}/event/{escaped(event.event_id)}")
        assert shown["content"] == {}

    @in_world
    async def test_an_event_that_the_rules_forbid_is_not_shown(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        levels = {"users": {evil.user_id: 100}}
        event = shared.event("m.room.power_levels", levels, state_key="")
        assert await evil.send(alpha, event) == {event.event_id: {}}
        assert "m.room.power_levels" not in [
            e["type"] for e in await alice.history(room) if e["sender"] == evil.user_id
        ]
        after = shared.message("after", prev=[event])
        await evil.send(alpha, after)
        assert await alice.texts(room) == ["after"]

    @in_world
    async def test_an_event_of_the_past_by_who_is_banned_by_now_is_not_shown(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        first = shared.message("before the ban")
        await evil.send(alpha, first)
        await alice.act(room, "ban", user_id=evil.user_id)
        late = shared.message("as if before the ban")
        await evil.send(alpha, late)
        assert await alice.texts(room) == ["before the ban"]

    @in_world
    async def test_an_event_of_a_user_of_a_third_server_needs_that_servers_signature(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        event = shared.event("m.room.message", {"body": "not mine"}, sender="@victim:other.example")
        await evil.send(alpha, event)
        assert await alice.texts(room) == []

    @in_world
    async def test_a_server_that_the_room_keeps_out_is_not_heard(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        await alice.set_state(room, "m.room.server_acl", {"allow": ["*"], "deny": ["evil.*"]})
        event = shared.message("let me in")
        answer = await evil.send(alpha, event)
        assert "error" in answer[event.event_id]
        typing = {"room_id": room, "user_id": evil.user_id, "typing": True}
        await evil.send(alpha, edus=[{"edu_type": "m.typing", "content": typing}])
        assert await alice.texts(room) == []
        assert alpha.app.sync.typing.users(RoomID(room)) == []
        for method, path in (
            ("GET", f"make_join/{room}/{evil.user_id}"),
            ("GET", f"make_leave/{room}/{evil.user_id}"),
            ("GET", f"state/{room}?event_id=%24x"),
            ("GET", f"state_ids/{room}?event_id=%24x"),
            ("GET", f"backfill/{room}?v=%24x&limit=1"),
            ("GET", f"event_auth/{room}/%24x"),
        ):
            status, answer = await evil.ask(alpha, method, f"/_matrix/federation/v1/{path}")
            assert (path, status, answer["errcode"]) == (path, 403, "M_FORBIDDEN")
        query: dict[str, list[str]] = {"earliest_events": [], "latest_events": []}
        target = f"/_matrix/federation/v1/get_missing_events/{room}"
        status, _ = await evil.ask(alpha, "POST", target, query)
        assert status == 403

    @in_world
    async def test_events_of_a_room_that_the_server_is_not_in_are_refused(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        event = shared.event("m.room.message", {"body": "elsewhere"}, room_id="!other:evil.example")
        await evil.send(alpha, event)
        assert await alice.texts(room) == []


@pytest.mark.usefixtures("internet")
class TestEphemeralData(Shared):
    """Typing notices and receipts."""

    @in_world
    async def test_typing_notices_are_shown_unless_they_are_about_others(self) -> None:
        alpha, alice, room, evil, _ = await self.shared()

        def typing(user_id: str, **changed: Any) -> dict[str, Any]:
            content = {"room_id": room, "user_id": user_id, "typing": True, **changed}
            return {"edu_type": "m.typing", "content": content}

        await evil.send(
            alpha,
            edus=[
                7,
                {"edu_type": "m.typing"},
                {"edu_type": ["m.typing"], "content": {}},
                typing(alice.user_id),
                typing("@nobody:evil.example"),
                typing(evil.user_id, room_id="!nowhere:x"),
                typing(evil.user_id),
            ],
        )
        assert alpha.app.sync.typing.users(RoomID(room)) == [evil.user_id]
        await evil.send(alpha, edus=[typing(evil.user_id, typing=False)])
        assert alpha.app.sync.typing.users(RoomID(room)) == []

    @in_world
    async def test_receipts_are_shown_unless_they_are_about_others(self) -> None:
        alpha, alice, room, evil, _ = await self.shared()
        said = await alice.say(room, "read this")
        receipt = {"data": {"ts": 5}, "event_ids": [said]}
        users = {evil.user_id: receipt, alice.user_id: receipt, "nobody": receipt, "@x:evil.example": 3}
        content = {room: {"m.read": users, "m.read.private": users, "x": 1}, "!else:x": {}, "y": 2}
        await evil.send(alpha, edus=[{"edu_type": "m.receipt", "content": content}])
        synced = (await alice.rooms("join"))[room]["ephemeral"]["events"]
        assert [event["content"] for event in synced if event["type"] == "m.receipt"] == [
            {said: {"m.read": {evil.user_id: {"ts": 5}}}}
        ]

    @in_world
    async def test_receipts_belong_to_threads_in_both_directions(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        root = await alice.say(room, "root")
        relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
        reply = shared.event("m.room.message", {"body": "in a thread", "msgtype": "m.text", **relation})
        await evil.send(alpha, reply)
        threads: list[Any] = [root, "main", "", None, 7, ["main"], "x", "$\0"]
        for number, thread in enumerate(threads):
            receipt = {"data": {"ts": number, "thread_id": thread}, "event_ids": [reply.event_id]}
            await evil.send(
                alpha,
                edus=[{"edu_type": "m.receipt", "content": {room: {"m.read": {evil.user_id: receipt}}}}],
            )
        shown = [
            receipts["m.read"][evil.user_id]
            for event in (await alice.rooms("join"))[room]["ephemeral"]["events"]
            for receipts in event["content"].values()
        ]
        assert sorted(shown, key=lambda each: int(each["ts"])) == [
            {"ts": 0, "thread_id": root},
            {"ts": 1, "thread_id": "main"},
            {"ts": 3},
        ]
        path = f"/rooms/{escaped(room)}/receipt/m.read/{escaped(reply.event_id)}"
        await alice.do("POST", path, {"thread_id": root})

        async def told() -> bool:
            edus = [edu for body in evil.received for edu in body["edus"] if edu["edu_type"] == "m.receipt"]
            read = [edu["content"][room]["m.read"][alice.user_id] for edu in edus]
            return [(each["event_ids"], each["data"]["thread_id"]) for each in read] == [
                ([reply.event_id], root)
            ]

        await eventually(told)

    @in_world
    async def test_private_receipts_stay_here(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        await evil.send(alpha, shared.message("hello"))
        read = escaped(shared.last.event_id)
        await alice.do("POST", f"/rooms/{escaped(room)}/receipt/m.read.private/{read}", {})
        await alice.do("POST", f"/rooms/{escaped(room)}/receipt/m.read/{read}", {"thread_id": "main"})

        async def told() -> bool:
            return any(edu["edu_type"] == "m.receipt" for body in evil.received for edu in body["edus"])

        await eventually(told)
        assert "m.read.private" not in str(evil.received)

    @in_world
    async def test_presence_is_exchanged_where_the_operator_wants_it(self) -> None:
        alpha = await self.server("alpha.example", "presence: {federate: true}\n")
        alice = await alpha.person("alice")
        room = await alice.public_room()
        evil = PduServer(self, "evil.example")
        await evil.join(alpha, room)
        await alice.do("PUT", f"/presence/{escaped(alice.user_id)}/status", {"presence": "online"})

        async def told() -> bool:
            return (alice.user_id, "online") in presence_told(evil)

        await eventually(told)
        theirs = [
            {"user_id": evil.user_id, "presence": "unavailable"},
            {"user_id": alice.user_id, "presence": "offline"},
            7,
            {},
        ]
        await evil.send(alpha, edus=[{"edu_type": "m.presence", "content": {"push": theirs}}])
        shown = await alice.do("GET", f"/presence/{escaped(evil.user_id)}/status")
        assert shown["presence"] == "unavailable"
        assert (await alice.do("GET", f"/presence/{escaped(alice.user_id)}/status"))["presence"] == "online"

    @in_world
    async def test_presence_is_told_to_servers_that_come_into_rooms(self) -> None:
        alpha = await self.server("alpha.example", "presence: {federate: true}\n")
        alice = await alpha.person("alice")
        room = await alice.public_room()
        await alice.do("PUT", f"/presence/{escaped(alice.user_id)}/status", {"presence": "unavailable"})
        evil = PduServer(self, "evil.example")
        await evil.join(alpha, room)

        async def told() -> bool:
            return presence_told(evil) == [(alice.user_id, "unavailable")]

        await eventually(told)

    @in_world
    async def test_presence_is_told_once_however_often_it_changes(self) -> None:
        alpha = await self.server("alpha.example", "presence: {federate: true}\n")
        alice = await alpha.person("alice")
        evil = PduServer(self, "evil.example")
        await evil.join(alpha, await alice.public_room())
        path = f"/presence/{escaped(alice.user_id)}/status"
        for number in range(5):
            for presence in ("online", "unavailable"):
                await alice.do("PUT", path, {"presence": presence, "status_msg": str(number)})

        async def told() -> bool:
            return bool(presence_told(evil)) and presence_told(evil)[-1] == (alice.user_id, "unavailable")

        await eventually(told)
        assert len(presence_told(evil)) <= 2

    @in_world
    async def test_presence_of_users_who_are_in_no_room_is_not_kept(self) -> None:
        alpha = await self.server("alpha.example", "presence: {federate: true}\n")
        alice = await alpha.person("alice")
        evil = PduServer(self, "evil.example")
        await evil.join(alpha, await alice.public_room())
        push = [
            {"user_id": evil.user_id, "presence": "online", "last_active_ago": 10**30},
            *({"user_id": f"@nobody{number}:evil.example", "presence": "online"} for number in range(50)),
        ]
        before = len(alpha.app.sync.presence)
        await evil.send(alpha, edus=[{"edu_type": "m.presence", "content": {"push": push}}])
        assert len(alpha.app.sync.presence) == before + 1

    @in_world
    async def test_typing_and_receipts_of_our_users_are_told_to_the_others(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        await evil.send(alpha, shared.message("hello"))
        path = f"/rooms/{escaped(room)}/typing/{escaped(alice.user_id)}"
        await alice.do("PUT", path, {"typing": True, "timeout": 10000})
        read = escaped(shared.last.event_id)
        await alice.do("POST", f"/rooms/{escaped(room)}/receipt/m.read/{read}", {})

        async def both() -> bool:
            types = [edu["edu_type"] for body in evil.received for edu in body["edus"]]
            return {"m.typing", "m.receipt"} <= set(types)

        await eventually(both)
        await alice.do("PUT", path, {"typing": False})

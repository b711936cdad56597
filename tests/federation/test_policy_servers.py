"""Rooms whose events a policy server signs.

https://spec.matrix.org/v1.19/server-server-api/#policy-servers
"""

from typing import Any

import pytest

from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import sign_pdu
from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.protocol.signing_keys import SigningKey
from tests.federation.pdu_server import Answer, PduServer, RoomOfPdus
from tests.federation.test_transactions import Shared
from tests.federation.whole_servers import Person, WholeServer, in_world, room_path

KEY = SigningKey("policy_server", b"p" * 32)
FORBIDDEN = {"errcode": "M_FORBIDDEN", "error": "Looks like spam"}


def signing(key: SigningKey = KEY, refuses: str = "spam") -> Answer:
    """Signs what does not say "spam"."""

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        pdu = request["body"]
        if pdu["content"].get("body") == refuses:
            return 400, FORBIDDEN
        signed = sign_pdu(pdu, ROOM_VERSIONS["12"], "evil.example", key)
        return 200, {"evil.example": {key.key_id: signed["signatures"]["evil.example"][key.key_id]}}

    return answer


@pytest.mark.usefixtures("internet")
class TestPolicyServers(Shared):
    """The test's server is one."""

    async def protected(
        self, answer: Answer, path: str = "policy/v1/sign"
    ) -> tuple[WholeServer, Person, str, PduServer, RoomOfPdus]:
        alpha, alice, room, evil, shared = await self.shared()
        evil.answers[path] = answer
        content = {"via": evil.name, "public_keys": {"ed25519": KEY.verify_key.text()}}
        await alice.set_state(room, "m.room.policy", content)
        return alpha, alice, room, evil, shared

    async def try_say(self, alice: Person, room: str, text: str) -> Any:
        path = room_path(room, "send", "m.room.message", self.transaction())
        return await alice.ask("PUT", path, {"msgtype": "m.text", "body": text})

    @in_world
    async def test_what_it_signs_is_sent_with_its_signature(self) -> None:
        alpha, alice, room, _, _ = await self.protected(signing())
        await alice.say(room, "hello")
        assert await alice.texts(room) == ["hello"]
        rows = alpha.database.rows("select json from events where type = 'm.room.message'")
        assert '"ed25519:policy_server"' in str(rows[0][0])

    @in_world
    async def test_what_it_refuses_is_not_sent_and_the_client_hears_why(self) -> None:
        _, alice, room, _, _ = await self.protected(signing())
        reply = await self.try_say(alice, room, "spam")
        assert (reply.status, reply.json["errcode"], reply.json["error"]) == (
            400,
            "M_FORBIDDEN",
            "Looks like spam",
        )
        assert await alice.texts(room) == []
        await alice.say(room, "sorry")

    @in_world
    async def test_one_that_knows_only_the_older_path_is_asked_there(self) -> None:
        _, alice, room, evil, _ = await self.protected(signing(), "org.matrix.msc4284/sign")
        evil.answers["policy/v1/sign"] = lambda request: (404, {"errcode": "M_UNRECOGNIZED", "error": "?"})
        await alice.say(room, "hello")
        assert await alice.texts(room) == ["hello"]

    @in_world
    async def test_a_signature_by_another_key_does_not_count(self) -> None:
        wrong = signing(SigningKey("policy_server", b"w" * 32))
        _, alice, room, _, _ = await self.protected(wrong)
        assert (await self.try_say(alice, room, "hello")).json["errcode"] == "M_FORBIDDEN"
        assert await alice.texts(room) == []

    @in_world
    async def test_without_an_answer_nothing_is_sent(self) -> None:
        _, alice, room, _, _ = await self.protected(lambda request: (500, {}))
        assert (await self.try_say(alice, room, "hello")).status == 502
        assert await alice.texts(room) == []

    @in_world
    async def test_events_of_others_are_signed_or_not_shown(self) -> None:
        alpha, alice, room, evil, shared = await self.protected(signing())
        good, spam = shared.message("good"), shared.message("spam")
        await evil.send(alpha, good, spam)
        assert await alice.texts(room) == ["good"]

    @in_world
    async def test_an_event_that_is_signed_already_needs_no_question(self) -> None:
        alpha, alice, room, evil, shared = await self.protected(signing())
        event = shared.message("signed")
        signed = parse_pdu(sign_pdu(event.pdu, shared.version, evil.name, KEY), shared.version)
        evil.answers["policy/v1/sign"] = lambda request: (500, {})
        await evil.send(alpha, signed)
        assert await alice.texts(room) == ["signed"]

    @in_world
    async def test_the_room_can_do_without_it_again(self) -> None:
        _, alice, room, _, _ = await self.protected(lambda request: (400, FORBIDDEN))
        assert (await self.try_say(alice, room, "hello")).status == 400
        await alice.set_state(room, "m.room.policy", {})
        await alice.say(room, "hello")

    @in_world
    async def test_a_server_that_is_not_in_the_room_has_no_say(self) -> None:
        alpha = await self.server("alpha.example")
        alice = await alpha.person("alice")
        room = await alice.create()
        content = {"via": "nowhere.example", "public_keys": {"ed25519": KEY.verify_key.text()}}
        await alice.set_state(room, "m.room.policy", content)
        await alice.say(room, "hello")
        assert await alice.texts(room) == ["hello"]

    @in_world
    async def test_a_policy_that_makes_no_sense_is_none(self) -> None:
        _, alice, room, evil, _ = await self.protected(lambda request: (400, FORBIDDEN))
        for content in ({"via": evil.name}, {"via": 5, "public_keys": {}}, {"public_keys": {"ed25519": "x"}}):
            await alice.set_state(room, "m.room.policy", content)
            await alice.say(room, "hello")

    @in_world
    async def test_a_template_for_another_server_is_not_for_it_to_sign(self) -> None:
        alpha, _, room, evil, _ = await self.protected(lambda request: (400, FORBIDDEN))
        target = f"/_matrix/federation/v1/make_leave/{room}/{evil.user_id}"
        status, _ = await evil.ask(alpha, "GET", target)
        assert status == 200
        assert not any("policy" in path for _, path in evil.asked)

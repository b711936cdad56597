"""Events whose redactions came before them leave nothing: not in relations, in searches, or in what is unread."""

from typing import Any

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from tests.federation.pdu_server import PduServer, RoomOfPdus
from tests.federation.test_relations import bundle, related
from tests.federation.test_transactions import Shared
from tests.federation.whole_servers import Person, WholeServer, escaped, in_world


async def arrives_redacted(
    evil: PduServer, alpha: WholeServer, shared: RoomOfPdus, content: dict[str, Any]
) -> Event:
    """A message that comes after its redaction."""
    base = shared.last
    target = shared.event("m.room.message", {"msgtype": "m.text", **content}, prev=[base])
    redaction = shared.event(
        "m.room.redaction", {"redacts": target.event_id}, prev=[base], redacts=target.event_id
    )
    await evil.send(alpha, redaction)
    await evil.send(alpha, target)
    return target


async def found(alice: Person, words: str) -> int:
    """How many messages a search finds."""
    body = {"search_categories": {"room_events": {"search_term": words}}}
    answer = await alice.do("POST", "/search", body)
    return int(answer["search_categories"]["room_events"]["count"])


@pytest.mark.usefixtures("internet")
class TestEarlyRedactions(Shared):
    """Of messages of the test's server."""

    @in_world
    async def test_they_relate_to_nothing(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        root = await alice.say(room, "root")
        for kind in ("m.thread", "m.replace", "m.reference"):
            relation = {"m.relates_to": {"rel_type": kind, "event_id": root}, "m.new_content": {"body": "x"}}
            await arrives_redacted(evil, alpha, shared, {"body": "regretted", **relation})
        assert await related(alice, room, root) == []
        assert await bundle(alice, room, root) == {}
        threads = await alice.ask_path("GET", f"/_matrix/client/v1/rooms/{escaped(room)}/threads")
        assert threads.json["chunk"] == []

    @in_world
    async def test_they_are_not_found(self) -> None:
        alpha, alice, _, evil, shared = await self.shared()
        await arrives_redacted(evil, alpha, shared, {"body": "unspeakable"})
        await evil.send(alpha, shared.message("speakable"))
        assert await found(alice, "speakable") == 1
        assert await found(alice, "unspeakable") == 0

    @in_world
    async def test_they_notify_nobody(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        mention = {"body": "you", "m.mentions": {"user_ids": [alice.user_id]}}
        await arrives_redacted(evil, alpha, shared, mention)
        counts = (await alice.rooms("join"))[room]["unread_notifications"]
        assert counts == {"notification_count": 0, "highlight_count": 0}
        assert (await alice.do("GET", "/notifications"))["notifications"] == []
        assert alpha.database.rows("select * from mentions") == []


@pytest.mark.usefixtures("internet")
class TestOusted(Shared):
    """Users who are banned with what they said (MSC4293)."""

    @in_world
    async def test_a_ban_by_another_server_strikes_too(self) -> None:
        alpha, alice, room, evil, shared = await self.shared(
            power_level_content_override={"users": {"@alice:alpha.example": 100, "@eve:evil.example": 60}},
            room_version="10",
        )
        bob = await alpha.person("bob")
        await bob.join(room)
        said = await bob.say(room, "spam")
        _, given = await evil.ask(alpha, "GET", f"/_matrix/federation/v1/event/{escaped(said)}")
        shared.last = parse_pdu(given["pdus"][0], shared.version)
        join = shared.last.auth_event_ids
        content = {"membership": "ban", "org.matrix.msc4293.redact_events": True}
        member = (await alice.state(room))["m.room.member", bob.user_id]
        auth: list[str] = [
            shared.state[key].event_id for key in (("m.room.create", ""), ("m.room.power_levels", ""))
        ]
        auth += [shared.state["m.room.member", evil.user_id].event_id, member]
        assert member in join
        ban = shared.event("m.room.member", content, state_key=bob.user_id, auth=auth)
        assert await evil.send(alpha, ban) == {ban.event_id: {}}
        event = await alice.do("GET", f"/rooms/{escaped(room)}/event/{escaped(said)}")
        assert event["content"] == {}
        assert event["unsigned"]["redacted_because"]["event_id"] == ban.event_id

"""What becomes of files between servers, when the events that showed them were redacted."""

from typing import Any

import pytest

from homeserver.services.media.uses import MediaUseIndex
from tests.federation.test_media import download, upload
from tests.federation.whole_servers import Person, WholeServer, World, eventually, in_world, room_path


@pytest.mark.usefixtures("internet")
class TestMediaLife(World):
    """A file and its copies go with the events that showed them, whoever redacted them."""

    @in_world
    async def test_a_file_and_its_copy_go_when_the_other_side_redacts(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob, room = await self.room(alpha, beta)
        name, kept = await upload(alice, b"bad", "image/png"), await upload(alice, b"good", "image/png")
        event = await show(alice, room, name)
        await show(alice, room, kept)
        again = await show(alice, room, kept)
        await eventually(lambda: self.sees(bob, room, again))
        for each in (name, kept):
            assert (await download(bob, each)).status == 200
        for redacted in (event, again):
            await redact(bob, room, redacted)
        await eventually(lambda: self.redacted(alice, room, again))
        await let_go(alpha)
        assert [(await download(alice, each)).status for each in (name, kept)] == [404, 200]
        assert (await download(bob, name)).body == b"bad"
        await let_go(beta)
        assert [(await download(bob, each)).status for each in (name, kept)] == [404, 200]
        alpha.cut_off()
        assert (await download(bob, kept)).body == b"good"

    @in_world
    async def test_nobody_elses_redaction_takes_our_copy(self) -> None:
        alpha, beta = await self.two_servers()
        _, bob, room = await self.room(alpha, beta)
        alice = await alpha.person("anna")
        name = await upload(alice, b"theirs", "image/png")
        assert (await download(bob, name)).status == 200
        await redact(bob, room, await show(bob, room, name))
        await let_go(beta)
        alpha.cut_off()
        assert (await download(bob, name)).body == b"theirs"

    async def room(self, alpha: WholeServer, beta: WholeServer) -> tuple[Person, Person, str]:
        """Alice of the one in a room with Bob of the other, who may redact."""
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room(
            power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 100}}, room_version="11"
        )
        await bob.join(room, alpha)
        return alice, bob, room

    async def sees(self, who: Person, room: str, event_id: str) -> bool:
        """Whether an event has come."""
        return event_id in [event["event_id"] for event in await who.history(room)]

    async def redacted(self, who: Person, room: str, event_id: str) -> bool:
        """Whether an event was redacted."""
        return [event["content"] for event in await who.history(room) if event["event_id"] == event_id] == [
            {}
        ]


async def show(who: Person, room: str, name: str) -> str:
    """Show a file; the event's ID."""
    body: dict[str, Any] = {"msgtype": "m.image", "body": "a picture", "url": f"mxc://{name}"}
    path = room_path(room, "send", "m.room.message", who.server.world.transaction())
    return str((await who.do("PUT", path, body))["event_id"])


async def redact(who: Person, room: str, event_id: str) -> None:
    """Redact an event."""
    await who.do("PUT", room_path(room, "redact", event_id, who.server.world.transaction()), {})


async def let_go(server: WholeServer) -> None:
    """Let a server do what it does behind events, and after a week."""
    core = server.app.core
    uses = MediaUseIndex(core.server_name, core.database, core.journal, core.clock, 0)
    while await uses.step():
        pass
    await uses.release()

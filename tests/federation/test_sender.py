"""The outgoing post: nothing is lost, nobody waits for somebody else."""

from typing import Any

import pytest

from federation.client import destinations
from federation.sender import greetings
from tests.federation.pdu_server import PduServer
from tests.federation.test_transactions import Shared
from tests.federation.whole_servers import World, eventually, in_world


def texts_of(server: PduServer) -> list[str]:
    """What a server was sent, each event once, in the order in which it first came."""
    texts = [
        pdu["content"]["body"] for body in server.received for pdu in body["pdus"] if "body" in pdu["content"]
    ]
    return list(dict.fromkeys(texts))


@pytest.mark.usefixtures("internet")
class TestDelivery(Shared):
    """To one server."""

    @in_world
    async def test_events_go_out_in_order_and_at_most_fifty_at_once(self) -> None:
        _alpha, alice, room, evil, _ = await self.shared()
        said = [f"message {number}" for number in range(120)]
        for text in said:
            await alice.say(room, text)

        async def all_there() -> bool:
            return len(texts_of(evil)) == 120

        await eventually(all_there)
        assert texts_of(evil) == said
        assert max(len(body["pdus"]) for body in evil.received) <= 50

    @in_world
    async def test_a_server_that_left_gets_its_leave_and_nothing_after_it(self) -> None:
        _alpha, alice, room, evil, _ = await self.shared()
        await alice.act(room, "kick", user_id=evil.user_id)
        await alice.say(room, "behind its back")

        async def told() -> bool:
            pdus = [pdu for body in evil.received for pdu in body["pdus"]]
            return any(pdu["content"].get("membership") == "leave" for pdu in pdus)

        await eventually(told)
        await alice.say(room, "and again")
        assert texts_of(evil) == []

    @in_world
    async def test_what_was_not_delivered_is_delivered_after_a_restart(self) -> None:
        alpha, alice, room, evil, _ = await self.shared()
        evil.answers["send"] = lambda request: (500, {"errcode": "M_UNKNOWN"})
        said = [f"message {number}" for number in range(60)]
        for text in said:
            await alice.say(room, text)
        await alpha.stop()
        del evil.answers["send"]
        await alpha.start()
        alpha.app.transport.health.heard_from(evil.name)

        async def all_there() -> bool:
            return len(texts_of(evil)) == 60

        await eventually(all_there)
        assert texts_of(evil) == said

    @in_world
    async def test_nothing_is_lost_when_the_server_dies_again_and_again(self) -> None:
        alpha, alice, room, evil, _ = await self.shared()
        evil.answers["send"] = lambda request: (500, {"errcode": "M_UNKNOWN"})
        said = []
        for life in range(4):
            for number in range(8):
                said.append(f"life {life}, message {number}")
                await alice.say(room, said[-1])
            await alpha.die()
            if life == 2:
                del evil.answers["send"]
            await alpha.start()
        alpha.app.transport.health.heard_from(evil.name)

        async def all_there() -> bool:
            return len(texts_of(evil)) == len(said)

        await eventually(all_there)
        assert texts_of(evil) == said

    @in_world
    async def test_more_than_fits_into_memory_is_delivered_when_the_server_is_back(self) -> None:
        alpha, alice, room, evil, _ = await self.shared()
        evil.answers["send"] = lambda request: (503, {"errcode": "M_UNKNOWN"})
        said = [f"message {number}" for number in range(620)]
        for text in said:
            await alice.say(room, text)
        del evil.answers["send"]
        alpha.app.transport.health.heard_from(evil.name)

        async def all_there() -> bool:
            return len(texts_of(evil)) == 620

        await eventually(all_there, 20)
        assert texts_of(evil) == said

        async def recorded() -> bool:
            return alpha.database.rows("select * from outbox_lagging") == []

        await eventually(recorded)

    @in_world
    async def test_the_time_of_each_delivery_is_measured(self) -> None:
        alpha, alice, room, evil, _ = await self.shared()
        took: list[float] = []
        alpha.app.federation.sender.listen(took.append)
        for text in ("one", "two"):
            await alice.say(room, text)

        async def there() -> bool:
            return len(texts_of(evil)) == 2 and len(took) >= 2

        await eventually(there)
        assert all(0 <= seconds < 60 for seconds in took)

    @in_world
    async def test_an_event_that_a_server_refuses_does_not_hold_up_the_rest(self) -> None:
        alpha, alice, room, evil, _ = await self.shared()
        refused = "poison"

        def picky(request: dict[str, Any]) -> tuple[int, Any]:
            if any(pdu["content"].get("body") == refused for pdu in request["body"]["pdus"]):
                return 400, {"errcode": "M_BAD_JSON"}
            evil.received.append(request["body"])
            return 200, {"pdus": {}}

        evil.answers["send"] = picky
        sender: Any = alpha.app.federation.sender
        sender.call_later = lambda seconds, function: self.clock.call_later(
            0.01, function
        )  # its pauses, shortened
        for text in ("one", refused, "two", "three"):
            await alice.say(room, text)

        async def rest_there() -> bool:
            return texts_of(evil) == ["one", "two", "three"]

        await eventually(rest_there)


@pytest.mark.usefixtures("internet")
class TestManyServers(World):
    """Side by side."""

    @in_world
    async def test_a_server_that_is_away_holds_nobody_up_and_gets_all_when_it_is_back(self) -> None:
        alpha, beta = await self.two_servers()
        gamma = await self.server("gamma.example")
        alice, bob, carol = (
            await alpha.person("alice"),
            await beta.person("bob"),
            await gamma.person("carol"),
        )
        room = await alice.public_room()
        await bob.join(room, alpha)
        await carol.join(room, alpha)
        gamma.cut_off()
        said = [f"message {number}" for number in range(60)]
        for text in said:
            await alice.say(room, text)
        await bob.hears(room, said[-1])
        assert (await bob.texts(room))[-60:] == said
        gamma.reconnect()
        alpha.app.transport.health.heard_from(gamma.name)
        await carol.hears(room, said[-1])
        assert [text for text in await carol.texts(room) if text.startswith("message")] == said

    @in_world
    async def test_both_sides_restart_and_nothing_is_lost(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await bob.join(room, alpha)
        await alice.say(room, "before")
        await bob.hears(room, "before")
        await beta.stop()
        await alice.say(room, "to who is away")
        await alpha.stop()
        await beta.start()
        await bob.say(room, "from who is back")
        await beta.stop()
        await alpha.start()
        await alice.say(room, "and more")
        await beta.start()
        for server, other in ((alpha, beta), (beta, alpha)):
            server.app.transport.health.heard_from(other.name)
        await bob.hears(room, "and more")
        await alice.hears(room, "from who is back")
        everything = {"before", "to who is away", "from who is back", "and more"}

        async def equal() -> bool:
            return set(await alice.texts(room)) == set(await bob.texts(room)) == everything

        await eventually(equal)
        assert await alice.state(room) == await bob.state(room)

    @in_world
    async def test_a_server_that_was_away_for_long_gets_at_once_what_it_is_owed(self) -> None:
        self.put(destinations, "FIRST_PAUSE_MS", 3_600_000)
        self.put(greetings, "AWAY_MS", -10_000)
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await bob.join(room, alpha)
        await alice.say(room, "before")
        await bob.hears(room, "before")
        await beta.stop()
        await alice.say(room, "meanwhile")
        health = alpha.app.transport.health

        async def given_up() -> bool:
            retry_at = health.retry_at_ms(beta.name)
            return retry_at is not None and retry_at > self.clock.now_ms() + 600_000

        await eventually(given_up)
        await beta.start()
        await bob.hears(room, "meanwhile")
        assert health.retry_at_ms(beta.name) is None

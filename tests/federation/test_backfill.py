"""History and missing events: fetched from others, and given to them."""

import pytest

from tests.federation.pdu_server import PduServer
from tests.federation.test_transactions import Shared
from tests.federation.whole_servers import World, in_world


@pytest.mark.usefixtures("internet")
class TestBackfill(World):
    """Between two servers of ours."""

    @in_world
    async def test_a_long_history_is_read_page_by_page_up_to_the_beginning(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        said = [f"message {number}" for number in range(130)]
        for text in said:
            await alice.say(room, text)
        await bob.join(room, alpha)
        texts: list[str] = []
        types: list[str] = []
        token = None
        for _ in range(40):
            query = {"dir": "b", "limit": 20} | ({"from": token} if token else {})
            page = await bob.do("GET", f"/rooms/{room}/messages", None, query)
            texts += [e["content"]["body"] for e in page["chunk"] if "body" in e["content"]]
            types += [e["type"] for e in page["chunk"]]
            token = page.get("end")
            if token is None:
                break
        assert texts == said[::-1]
        assert types[-1] == "m.room.create"
        assert len(types) == len(said) + 7

    @in_world
    async def test_history_that_a_server_may_not_see_stays_hidden(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await alice.say(room, "seen by later members")
        await alice.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
        await alice.say(room, "among ourselves")
        await bob.join(room, alpha)
        await alice.say(room, "with bob")
        await bob.hears(room, "with bob")
        texts = await bob.texts(room)
        assert "among ourselves" not in texts
        assert texts[-1] == "with bob"
        rows = beta.database.rows("select json from events")
        assert not [json for (json,) in rows if "among ourselves" in str(json)]

    @in_world
    async def test_events_missed_while_away_are_fetched_with_the_next_one(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await bob.join(room, alpha)
        await alice.say(room, "first")
        await bob.hears(room, "first")
        await beta.stop()
        for number in range(120):
            await alice.say(room, f"while away {number}")
        await beta.start()
        await alice.say(room, "last")
        await bob.hears(room, "last")
        expected = ["first", *(f"while away {number}" for number in range(120)), "last"]
        assert await bob.texts(room, 200) == expected


@pytest.mark.usefixtures("internet")
class TestQuestions(Shared):
    """Of servers in the room, and of others."""

    @in_world
    async def test_events_and_states_are_given_to_servers_in_the_room_only(self) -> None:
        alpha, alice, room, evil, _shared = await self.shared()
        said = await alice.say(room, "hello")
        stranger = PduServer(self, "stranger.example")
        for path in (
            f"event/{said}",
            f"state/{room}?event_id={said}",
            f"state_ids/{room}?event_id={said}",
            f"event_auth/{room}/{said}",
            f"backfill/{room}?v={said}&limit=10",
        ):
            status, _ = await evil.ask(alpha, "GET", f"/_matrix/federation/v1/{path}")
            assert (path, status) == (path, 200)
            status, _ = await stranger.ask(alpha, "GET", f"/_matrix/federation/v1/{path}")
            assert (path, status) == (path, 403)

    @in_world
    async def test_an_auth_chain_goes_back_to_the_create_event(self) -> None:
        alpha, alice, _, evil, _shared = await self.shared()
        for version in ("11", "12"):
            room = await alice.public_room(room_version=version)
            await evil.join(alpha, room)
            state = await alice.state(room)
            named = await alice.set_state(room, "m.room.name", {"name": "Tea"})
            path = f"/_matrix/federation/v1/event_auth/{room}"
            _, answer = await evil.ask(alpha, "GET", f"{path}/{named}")
            assert sorted(pdu["type"] for pdu in answer["auth_chain"]) == [
                "m.room.create",
                "m.room.member",
                "m.room.power_levels",
            ]
            _, answer = await evil.ask(alpha, "GET", f"{path}/{state['m.room.create', '']}")
            assert answer["auth_chain"] == []

    @in_world
    async def test_missing_events_are_those_between(self) -> None:
        alpha, alice, room, evil, _shared = await self.shared()
        said = [await alice.say(room, f"message {number}") for number in range(5)]
        target = f"/_matrix/federation/v1/get_missing_events/{room}"
        query = {"earliest_events": [said[0]], "latest_events": [said[4]], "limit": 10}
        _, answer = await evil.ask(alpha, "POST", target, query)
        assert [pdu["content"]["body"] for pdu in answer["events"]] == [f"message {n}" for n in (1, 2, 3)]
        query["limit"] = 2
        _, answer = await evil.ask(alpha, "POST", target, query)
        assert [pdu["content"]["body"] for pdu in answer["events"]] == ["message 2", "message 3"]

    @in_world
    async def test_the_state_before_an_event_is_without_it(self) -> None:
        alpha, alice, room, evil, _shared = await self.shared()
        named = await alice.set_state(room, "m.room.name", {"name": "Tea"})
        target = f"/_matrix/federation/v1/state/{room}?event_id={named}"
        _, answer = await evil.ask(alpha, "GET", target)
        types = {pdu["type"] for pdu in answer["pdus"]}
        assert "m.room.name" not in types
        assert {"m.room.create", "m.room.member", "m.room.power_levels"} <= types
        _, ids = await evil.ask(alpha, "GET", target.replace("/state/", "/state_ids/"))
        assert len(ids["pdu_ids"]) == len(answer["pdus"])
        assert len(ids["auth_chain_ids"]) == len(answer["auth_chain"])


@pytest.mark.usefixtures("internet")
class TestGaps(Shared):
    """In the middle of a room's history."""

    @in_world
    async def test_scrolling_back_from_behind_a_gap_shows_what_was_fetched_into_it(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        lost = [shared.message(f"lost {number}") for number in range(3)]
        given = shared.message("given")
        last = shared.message("last")
        pdus = [event.pdu for event in lost]
        evil.answers["get_missing_events"] = lambda request: (200, {"events": [given.pdu]})
        ids = [event.event_id for event in shared.state.values()]
        evil.by_id.update({event.event_id: event for event in shared.state.values()})
        evil.answers["state_ids"] = lambda request: (200, {"pdu_ids": ids, "auth_chain_ids": ids})
        await evil.send(alpha, last)
        query = {"filter": '{"room":{"timeline":{"limit":2}}}', "timeout": 0}
        synced = await alice.do("GET", "/sync", None, query)
        timeline = synced["rooms"]["join"][room]["timeline"]
        assert [event["content"].get("body") for event in timeline["events"]] == ["given", "last"]
        evil.answers["backfill"] = lambda request: (200, {"pdus": pdus})
        query = {"dir": "b", "from": timeline["prev_batch"], "limit": 3}
        page = await alice.do("GET", f"/rooms/{room}/messages", None, query)
        assert [event["content"].get("body") for event in page["chunk"]] == ["lost 2", "lost 1", "lost 0"]

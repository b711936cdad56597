"""matrix-nio, the Python client library, does with our server what a person's client does."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from functools import partial

import nio

from tests.harness.nio import NioPerson, expect, people
from tests.harness.process import HomeserverProcess

_numbers = itertools.count(1)


def _with_two(server: HomeserverProcess, story: Callable[[NioPerson, NioPerson], Awaitable[None]]) -> None:
    """Let two people who are new do something together."""
    number = next(_numbers)

    async def play() -> None:
        async with people(server.url, f"nora{number}", f"otto{number}") as (nora, otto):
            await story(nora, otto)

    asyncio.run(play())


def _last_is(person: NioPerson, text: tuple[str, str, str]) -> bool:
    return person.texts[-1:] == [text]


def _has_all(person: NioPerson, count: int) -> bool:
    return len(person.texts) == count


async def _shared_room(nora: NioPerson, otto: NioPerson) -> str:
    """A room in which both are, the second by invite."""
    made = expect(await nora.client.room_create(name="Garden", invite=[otto.user_id]), nio.RoomCreateResponse)
    room = str(made.room_id)
    await otto.until(lambda: room in otto.client.invited_rooms, "the invite")
    expect(await otto.client.join(room), nio.JoinResponse)
    await nora.until(lambda: otto.user_id in _members(nora, room), "who joined")
    await otto.until(lambda: room in otto.client.rooms, "the room")
    return room


def _members(person: NioPerson, room: str) -> set[str]:
    known = person.client.rooms.get(room)
    return set() if known is None else set(known.users)


def test_registers_logs_in_and_out(server: HomeserverProcess) -> None:
    async def story() -> None:
        first, second = NioPerson(server.url, "nadia"), NioPerson(server.url, "nadia")
        try:
            await first.register()
            await second.login()
            who = expect(await second.client.whoami(), nio.WhoamiResponse)
            assert (who.user_id, first.user_id) == (f"@nadia:{server.server_name}",) * 2
            devices = expect(await second.client.devices(), nio.DevicesResponse).devices
            assert {device.id for device in devices} == {first.client.device_id, second.client.device_id}
            expect(await second.client.logout(), nio.LogoutResponse)
            expect(await first.client.sync(), nio.SyncResponse)
            expect(await first.client.login("wrong"), nio.LoginError)
        finally:
            await first.close()
            await second.close()

    asyncio.run(story())


def test_invites_joins_and_shows_the_room(server: HomeserverProcess) -> None:
    async def story(nora: NioPerson, otto: NioPerson) -> None:
        expect(await nora.client.set_displayname("Nora N."), nio.ProfileSetDisplayNameResponse)
        room = await _shared_room(nora, otto)
        shown = otto.client.rooms[room]
        assert shown.name == "Garden"
        assert _members(otto, room) == {nora.user_id, otto.user_id}
        assert shown.user_name(nora.user_id) == "Nora N."
        joined = expect(await otto.client.joined_rooms(), nio.JoinedRoomsResponse)
        assert joined.rooms == [room]

    _with_two(server, story)


def test_talks_both_ways_while_both_wait(server: HomeserverProcess) -> None:
    async def story(nora: NioPerson, otto: NioPerson) -> None:
        room = await _shared_room(nora, otto)
        expected = []
        for number in range(10):
            speaker, listener = (nora, otto) if number % 2 else (otto, nora)
            await asyncio.sleep(0.02)  # so that the listener waits
            await speaker.say(room, f"message {number}")
            expected.append((room, speaker.user_id, f"message {number}"))
            assert await listener.until(partial(_last_is, listener, expected[-1]), "the message") < 2
        for person in (nora, otto):
            await person.until(partial(_has_all, person, len(expected)), "all messages")
            assert person.texts == expected

    _with_two(server, story)


def test_pages_back_through_history(server: HomeserverProcess) -> None:
    async def story(nora: NioPerson, otto: NioPerson) -> None:
        room = await _shared_room(nora, otto)
        sent = [await nora.say(room, f"line {number}") for number in range(35)]
        later = NioPerson(server.url, otto.name)
        try:
            await later.login()
            synced = expect(await later.client.sync(full_state=True), nio.SyncResponse)
            timeline = synced.rooms.join[room].timeline
            assert timeline.limited
            found = [event.event_id for event in timeline.events][::-1]
            start: str | None = timeline.prev_batch
            while start is not None:
                page = expect(
                    await later.client.room_messages(room, start, limit=10), nio.RoomMessagesResponse
                )
                assert len(page.chunk) <= 10
                found += [event.event_id for event in page.chunk]
                start = page.end
            assert len(found) == len(set(found))
            assert [event for event in found[::-1] if event in sent] == sent
        finally:
            await later.close()

    _with_two(server, story)


def test_shows_redactions(server: HomeserverProcess) -> None:
    async def story(nora: NioPerson, otto: NioPerson) -> None:
        room = await _shared_room(nora, otto)
        mistake = await nora.say(room, "my password is swordfish")
        await otto.until(lambda: otto.texts, "the mistake")
        expect(await nora.client.room_redact(room, mistake, "a mistake"), nio.RoomRedactResponse)
        await otto.until(lambda: otto.redactions == [mistake], "the redaction")
        page = expect(await otto.client.room_messages(room, limit=20), nio.RoomMessagesResponse)
        (redacted,) = [event for event in page.chunk if event.event_id == mistake]
        assert isinstance(redacted, nio.RedactedEvent)
        assert (redacted.redacter, redacted.reason) == (nora.user_id, "a mistake")
        assert "swordfish" not in str(page.chunk)

    _with_two(server, story)


def test_shows_who_types_and_who_has_read(server: HomeserverProcess) -> None:
    async def story(nora: NioPerson, otto: NioPerson) -> None:
        room = await _shared_room(nora, otto)
        expect(await nora.client.room_typing(room, True, 20_000), nio.RoomTypingResponse)
        await otto.until(lambda: otto.client.rooms[room].typing_users == [nora.user_id], "who types")
        expect(await nora.client.room_typing(room, False), nio.RoomTypingResponse)
        await otto.until(lambda: otto.client.rooms[room].typing_users == [], "that nobody types")
        said = await nora.say(room, "read this")
        await otto.until(lambda: otto.texts, "the message")
        expect(await otto.client.room_read_markers(room, said, said), nio.RoomReadMarkersResponse)

        def read() -> bool:
            receipts = nora.client.rooms[room].read_receipts
            return otto.user_id in receipts and receipts[otto.user_id].event_id == said

        await nora.until(read, "the receipt")
        await otto.until(lambda: otto.client.rooms[room].fully_read_marker == said, "the marker")

    _with_two(server, story)


def test_leaves_and_is_invited_again(server: HomeserverProcess) -> None:
    async def story(nora: NioPerson, otto: NioPerson) -> None:
        room = await _shared_room(nora, otto)
        expect(await otto.client.room_leave(room), nio.RoomLeaveResponse)
        await otto.until(lambda: otto.left == [room], "that the room is left")
        await nora.until(lambda: otto.user_id not in _members(nora, room), "who left")
        await nora.say(room, "about Otto")
        expect(await nora.client.room_invite(room, otto.user_id), nio.RoomInviteResponse)
        await otto.until(lambda: room in otto.client.invited_rooms, "the second invite")
        expect(await otto.client.room_leave(room), nio.RoomLeaveResponse)
        await otto.until(lambda: otto.left == [room, room], "the end of the invite")
        assert otto.texts == []

    _with_two(server, story)

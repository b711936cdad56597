"""People who use matrix-nio, the Python client library: what it makes of a server is what we look at."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import nio

T = TypeVar("T")

PASSWORD = "correct horse battery"
LONG_POLL_MS = 30_000
PATIENCE_S = 15.0


class NioPerson:
    """Somebody with a matrix-nio client that follows its rooms by long polls."""

    def __init__(self, url: str, name: str, store: Path | None = None) -> None:
        """``store``: a folder for keys; without one, nothing is encrypted."""
        self.name = name
        config = nio.AsyncClientConfig(max_timeouts=1, request_timeout=60)
        self.client = nio.AsyncClient(url, name, store_path=str(store or ""), config=config)
        self.texts: list[tuple[str, str, str]] = []
        self.redactions: list[str] = []
        self.events: list[Any] = []
        self.left: list[str] = []
        self._following: asyncio.Task[None] | None = None
        self.client.add_event_callback(self._text, nio.RoomMessageText)
        self.client.add_event_callback(self._redaction, nio.RedactionEvent)
        self.client.add_response_callback(self._synced, nio.SyncResponse)
        self.client.add_ephemeral_callback(self._any, (nio.TypingNoticeEvent, nio.ReceiptEvent))
        self.client.add_event_callback(self._any, (nio.InviteMemberEvent, nio.RoomMemberEvent))

    @property
    def user_id(self) -> str:
        """The full ID."""
        return str(self.client.user_id)

    async def register(self) -> None:
        """Make an account; nio takes over the session."""
        expect(await self.client.register(self.name, PASSWORD, "nio"), nio.RegisterResponse)

    async def login(self) -> None:
        """Log in to the account."""
        expect(await self.client.login(PASSWORD, "nio, again"), nio.LoginResponse)

    def follow(self) -> None:
        """Begin to sync."""
        self._following = asyncio.ensure_future(self.client.sync_forever(timeout=LONG_POLL_MS))

    async def say(self, room: str, text: str) -> str:
        """Send a text; the event's ID."""
        content = {"msgtype": "m.text", "body": text}
        answer = expect(await self.client.room_send(room, "m.room.message", content), nio.RoomSendResponse)
        return str(answer.event_id)

    async def until(self, condition: Callable[[], Any], what: str) -> float:
        """Wait until a condition on what was seen holds; gives the seconds that took."""
        begun = time.monotonic()
        while not condition():
            if self._following is not None and self._following.done():
                self._following.result()
                raise AssertionError(f"{self.name} stopped to follow")
            if time.monotonic() - begun > PATIENCE_S:
                raise AssertionError(f"{self.name} never saw {what}: {self.texts} {self.left} {self.events}")
            await asyncio.sleep(0.01)
        return time.monotonic() - begun

    async def stop(self) -> None:
        """Sync no more."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None

    async def close(self) -> None:
        """Stop."""
        await self.stop()
        await self.client.close()

    async def _text(self, room: Any, event: Any) -> None:
        self.texts.append((room.room_id, event.sender, event.body))

    async def _redaction(self, _room: Any, event: Any) -> None:
        self.redactions.append(event.redacts)

    async def _synced(self, answer: Any) -> None:
        self.left += answer.rooms.leave  # nio itself keeps rooms that were left

    async def _any(self, _room: Any, event: Any) -> None:
        self.events.append(event)


def expect(answer: Any, kind: type[Any]) -> Any:
    """Return nio's answer if it is of this kind; its errors are values, too."""
    assert isinstance(answer, kind), answer
    return answer


@asynccontextmanager
async def people(url: str, *names: str) -> AsyncIterator[list[NioPerson]]:
    """Registered people who follow their rooms."""
    made = [NioPerson(url, name) for name in names]
    try:
        for person in made:
            await person.register()
            person.follow()
        yield made
    finally:
        for person in made:
            await person.close()

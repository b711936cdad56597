"""People who talk and listen while servers die: they do not give up, and remember all that they were told."""

import http.client
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tests.harness.live_client import Json, LiveUser, Refused, eventually, room_path

T = TypeVar("T")

_PAUSE = 0.05
_POLL_MS = 1000
_WINDOW = 10
"""Events of a room that a sync shows at most; what lies before is fetched as a client would."""
FILTER: Json = {
    "room": {"timeline": {"limit": _WINDOW}, "ephemeral": {"types": []}},
    "presence": {"types": []},
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that the server acknowledged."""

    room: str
    text: str
    txn: str
    event_id: str


class Stopped(Exception):
    """The load is over, and what was asked for did not happen."""


class _Person(threading.Thread, ABC):
    """Does one thing again and again; what fails because the server is gone is tried again."""

    def __init__(self, user: LiveUser, stopping: threading.Event) -> None:
        super().__init__(name=user.user_id, daemon=True)
        self.user = user
        self.failure: BaseException | None = None
        self._stopping = stopping

    def run(self) -> None:
        """Work until told to stop."""
        try:
            while not self._stopping.is_set():
                self.step()
        except Stopped:
            pass
        except BaseException as error:
            self.failure = error

    @abstractmethod
    def step(self) -> None:
        """One piece of work."""

    def insist(self, action: Callable[[], T]) -> T:
        """Do it until the server answers; an error other than its being unwell is a failure. Raises Stopped."""
        while True:
            try:
                return action()
            except Refused as error:
                if error.status < 500:
                    raise
            except (OSError, http.client.HTTPException):
                pass
            if self._stopping.wait(_PAUSE):
                raise Stopped


class Sender(_Person):
    """Sends numbered messages into its rooms in turn, the next one when the last one is acknowledged."""

    def __init__(self, user: LiveUser, rooms: list[str], stopping: threading.Event) -> None:
        super().__init__(user, stopping)
        self.rooms = rooms
        self.sent: list[Sent] = []
        self.unknown: str | None = None

    def step(self) -> None:
        """Send one."""
        number = len(self.sent)
        room = self.rooms[number % len(self.rooms)]
        text, txn = f"{self.user.user_id} {number}", f"txn{number}"
        self.unknown = text
        event_id = self.insist(lambda: self.user.say(room, text, txn))
        self.sent.append(Sent(room, text, txn, event_id))
        self.unknown = None


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A sync token, and how many events of each room had been seen when it was handed out."""

    token: str
    seen: dict[str, int]


@dataclass
class Reading:
    """What somebody has seen so far, by room and in order, going from token to token."""

    user: LiveUser
    token: str | None = None
    seen: dict[str, list[str]] = field(default_factory=dict)

    def advance(self, insist: Callable[[Callable[[], Json]], Json], timeout_ms: int) -> bool:
        """One sync, with the gaps filled; whether it brought an event."""
        since = self.token
        answer = insist(lambda: self.user.sync(since, timeout_ms, FILTER))
        news = False
        for room, update in answer.get("rooms", {}).get("join", {}).items():
            timeline = update["timeline"]
            events = [each["event_id"] for each in timeline["events"]]
            if timeline.get("limited"):
                events = self._before(room, timeline["prev_batch"], insist) + events
            self.seen.setdefault(room, []).extend(events)
            news = news or bool(events)
        self.token = str(answer["next_batch"])
        return news

    def _before(self, room: str, end: str, insist: Callable[[Callable[[], Json]], Json]) -> list[str]:
        """What a limited timeline left out, oldest first: back to `since`, or to the room's beginning."""
        found: list[str] = []
        position: str | None = end
        while position is not None:
            query = {"dir": "b", "limit": 100, "from": position}
            if self.token is not None:
                query["to"] = self.token
            path = room_path(room, "messages")
            answer = insist(partial(self.user.http.call, "GET", path, **query))
            found += [each["event_id"] for each in answer["chunk"]]
            position = answer.get("end")
        return found[::-1]


class Reader(_Person):
    """Follows its rooms by sync."""

    def __init__(self, user: LiveUser, stopping: threading.Event) -> None:
        super().__init__(user, stopping)
        self.reading = Reading(user)
        self.bookmarks: list[Bookmark] = []

    def step(self) -> None:
        """One long poll."""
        self.reading.advance(self.insist, _POLL_MS)
        seen = {room: len(events) for room, events in self.reading.seen.items()}
        self.bookmarks.append(Bookmark(str(self.reading.token), seen))

    def catch_up(self) -> None:
        """Read on to the end, after the load."""
        while self.reading.advance(lambda action: action(), 0):
            pass


class Load:
    """All of them together."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self.senders: list[Sender] = []
        self.readers: list[Reader] = []

    def sender(self, user: LiveUser, rooms: list[str]) -> None:
        """Let somebody talk in these rooms."""
        self.senders.append(Sender(user, rooms, self._stopping))

    def reader(self, user: LiveUser) -> None:
        """Let somebody listen."""
        self.readers.append(Reader(user, self._stopping))

    def start(self) -> None:
        """Begin."""
        for person in self._people():
            person.start()

    def progress(self, messages: int, seconds: float = 30.0) -> None:
        """Return when everybody has sent so many more messages."""
        goals = [len(sender.sent) + messages for sender in self.senders]

        def reached() -> bool:
            self.check()
            return all(len(sender.sent) >= goal for sender, goal in zip(self.senders, goals, strict=True))

        eventually(reached, seconds, f"{messages} more messages of everybody")

    def check(self) -> None:
        """Raise what somebody failed of."""
        for person in self._people():
            if person.failure is not None:
                raise person.failure

    def stop(self) -> None:
        """End, and see that nobody failed."""
        self._stopping.set()
        for person in self._people():
            if person.ident is not None:
                person.join(30)
                assert not person.is_alive(), f"{person.name} is stuck"
        self.check()

    def _people(self) -> list[Sender | Reader]:
        return [*self.senders, *self.readers]

"""What presence is made of: devices, what they make of a user, and the times that count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from homeserver.protocol.identifiers import UserID
from homeserver.protocol.presence import OFFLINE, ONLINE

SYNC_GRACE_S: Final = 30.0
"""So long after its last sync ended, a device is gone."""
IDLE_S: Final = 300.0
"""So long after their last activity, a user who is online is unavailable."""
ACTIVE_S: Final = 60.0
"""So long after an activity, a user is said to be active at the moment."""
REMOTE_S: Final = 1800.0
"""So long after their server last told of them, a user of another server is taken to be offline."""
REPEAT_S: Final = 1500.0
"""So long after other servers were told of a user who is here, they are told again."""
TICK_S: Final = 5.0
LOOK_S: Final = 20.0
"""How often, at least, the devices of a local user are looked at."""
BATCH_S: Final = 0.01
"""Changes within so many seconds are told together."""
COST_OF_WAKING: Final = 0.004
COST_OF_TELLING: Final = 0.00002
"""Seconds until the next batch for each poll that a batch wakes, and for each status that is told to one of them: some
times what that takes.
"""
ELSEWHERE: Final = "\0"
"""Begins the name that stands for all devices which a user has at another node; alone it stands for those that they
had before this node started.
"""
MAX_STATUS: Final = 2048
MAX_USERS: Final = 100_000

LocalListener = Callable[[Sequence["Status"]], None]


class Audience(Protocol):
    """Those who are told."""

    def is_stranger(self, user_id: UserID) -> bool:
        """Whether nothing is known in memory of who shares rooms with a user."""

    def wake(self, user_ids: Sequence[UserID]) -> tuple[int, int]:
        """Wake the polls of those who share rooms with some users; gives how many, and how many statuses they are told
        at most, together.
        """


@dataclass(slots=True)
class Status:
    """The presence of a user. Times are of `Clock.seconds`; ``heard_at``: when other servers were told last, or
    told us; ``notable``: the position of the last change that is news to the user as well, because no sync of
    theirs and nothing else that they did made it.
    """

    user_id: UserID
    presence: str = OFFLINE
    status_msg: str | None = None
    active_at: float | None = None
    position: int = 0
    notable: int = 0
    heard_at: float = 0.0
    told_active: bool = False
    watched: bool = False
    said_ms: int = 0
    """When a local user said what they say of themselves."""
    shown: tuple[int, bytes] | None = None
    """The event as it was made last, and in which second."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one node knows of a user: what the devices that talk to it say; of a user of another server (not ``local``)
    what that told. ``said_ms``: when the user said what they say of themselves.
    """

    user_id: UserID
    presence: str
    status_msg: str | None
    said_ms: int
    active_at: float | None
    local: bool


class Device:
    """``syncs`` counts the polls that wait."""

    __slots__ = ("chosen", "seen_at", "syncs")

    def __init__(self, now: float) -> None:
        self.chosen = ONLINE
        self.seen_at = now
        self.syncs = 0


def is_active(status: Status, now: float, within: float = ACTIVE_S) -> bool:
    return status.active_at is not None and now - status.active_at <= within


def content_of(status: Status, now: float) -> dict[str, Any]:
    """The content of `m.presence`, and of the answer of `GET /presence`."""
    content: dict[str, Any] = {"presence": status.presence}
    if status.active_at is not None:
        content["last_active_ago"] = max(int((now - status.active_at) * 1000), 0)
    if status.presence == ONLINE:
        content["currently_active"] = is_active(status, now)
    if status.status_msg is not None:
        content["status_msg"] = status.status_msg
    return content

"""What a sliding sync asks for, and what it is told, whatever the shape on the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from homeserver.protocol.identifiers import RoomID, StateKey
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sliding_sync.required_state import Wanted
from homeserver.services.sync.model import Timeline
from storage.tables.sliding_sync import HeroRow

MAX_LIMIT: Final = 100
"""Events of a room that one answer tells at most."""

Range = tuple[int, int]
"""The first and the last place in a list, both included."""


@dataclass(frozen=True, slots=True)
class RoomConfig:
    """What to tell of a room."""

    limit: int
    state: Wanted

    def __or__(self, other: "RoomConfig") -> "RoomConfig":
        return RoomConfig(max(self.limit, other.limit), self.state | other.state)


@dataclass(frozen=True, slots=True)
class RoomFilter:
    """Which rooms belong to a list; None is any. A room type of None is a room without one."""

    is_dm: bool | None = None
    is_encrypted: bool | None = None
    is_invited: bool | None = None
    spaces: frozenset[str] | None = None
    room_types: frozenset[str | None] | None = None
    not_room_types: frozenset[str | None] = frozenset()
    name_like: str | None = None
    tags: frozenset[str] | None = None
    not_tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RoomList:
    """A list; without ``ranges`` all of it is looked at."""

    config: RoomConfig
    ranges: tuple[Range, ...] | None = None
    filter: RoomFilter = field(default_factory=RoomFilter)


@dataclass(frozen=True, slots=True)
class Scope:
    """The rooms of which an extension tells; None: of all that the client knows."""

    lists: frozenset[str] | None = None
    rooms: frozenset[str] | None = None

    @property
    def is_open(self) -> bool:
        """Whether all rooms are meant."""
        if self.lists is None and self.rooms is None:
            return True
        return "*" in (self.lists or ()) or "*" in (self.rooms or ())


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """What of the messages to the device is wanted: those after a position, so many at most."""

    since: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ExtensionsRequest:
    """What is wanted beside rooms; None is not."""

    to_device: MessagesRequest | None = None
    e2ee: bool = False
    account_data: Scope | None = None
    receipts: Scope | None = None
    typing: Scope | None = None
    subscriptions: int = 0
    """So many changes of thread subscriptions at most."""
    sticky: MessagesRequest | None = None


@dataclass(frozen=True, slots=True)
class SlidingRequest:
    """One request."""

    conn_id: str = ""
    pos: str | None = None
    timeout_ms: int = 0
    set_presence: str | None = None
    counts: bool = False
    """Whether what is unread is told."""
    lists: Mapping[str, RoomList] = field(default_factory=dict)
    subscriptions: Mapping[RoomID, RoomConfig] = field(default_factory=dict)
    extensions: ExtensionsRequest = field(default_factory=ExtensionsRequest)


@dataclass(slots=True)
class ListResult:
    """A list as it is now: how many rooms it has, and which are in each range."""

    count: int
    windows: list[tuple[Range, list[RoomID]]]


@dataclass(slots=True)
class RoomResult:
    """What is told of a room. What is None is not told; ``name_told`` and ``avatar_told`` are whether those are."""

    room_id: RoomID
    membership: str
    bump_stamp: int
    initial: bool = False
    expanded: bool = False
    lists: Sequence[str] = ()
    is_dm: bool | None = None
    name: str | None = None
    name_told: bool = False
    avatar: str | None = None
    avatar_told: bool = False
    heroes: Sequence[HeroRow] | None = None
    counts: tuple[int, int] | None = None
    state: Sequence[StoredEvent] = ()
    gone: Sequence[StateKey] = ()
    timeline: Timeline | None = None
    num_live: int = 0
    stripped: bytes | None = None
    unread: tuple[int, int] | None = None


@dataclass(slots=True)
class Result:
    """What one answer tells. ``pos`` is where the next begins."""

    pos: str
    lists: Mapping[str, ListResult] = field(default_factory=dict)
    rooms: Sequence[RoomResult] = ()
    extensions: Mapping[str, bytes] = field(default_factory=dict)

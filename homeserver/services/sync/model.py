"""What a sync asks for, and what was gathered for it before it is rendered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from homeserver.protocol.filters import Filter
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.stream_tokens import LiveToken, SyncToken
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.stored_event import StoredEvent

DEFAULT_LIMIT: Final = 10
MAX_LIMIT: Final = 500
MEMBER: Final = "m.room.member"
SUMMARISED: Final = (MEMBER, "m.room.name", "m.room.canonical_alias")
"""Types of state that the summary of a room is made of."""

STATE: Final = "state"
STATE_AFTER: Final = "state_after"
UNSTABLE_STATE_AFTER: Final = "org.matrix.msc4222.state_after"
"""What clients look for that ask by the name that was in use before version 1.16 of the specification."""

Client: TypeAlias = tuple[UserID, str, str]
"""A user, their device and the name of a filter: something that syncs."""


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """The parameters of `/sync`. ``filter_text`` is the filter as it was named: it tells filters apart.
    ``state_name`` is under which name state is told, and so which state."""

    filter: Filter
    filter_text: str = ""
    since: SyncToken | None = None
    full_state: bool = False
    timeout_ms: int = 0
    set_presence: str | None = None
    state_name: str = STATE

    @property
    def limit(self) -> int:
        """How many events a timeline may have."""
        limit = self.filter.room.timeline.limit
        return DEFAULT_LIMIT if limit is None else min(limit, MAX_LIMIT)

    @property
    def state_after(self) -> bool:
        """Whether the state behind the timeline is wanted, not that before it."""
        return self.state_name != STATE

    @property
    def lazy(self) -> bool:
        """Whether only those members are wanted who say something."""
        return self.filter.room.state.lazy_load_members


@dataclass(frozen=True, slots=True)
class Part:
    """A room of which something is wanted: what happened after ``since`` up to ``upto``.

    With ``whole`` its whole state is told, not only what changed. ``left`` is the number of the event that
    ended the user's stay, None for a room that the user is in.
    """

    room_id: RoomID
    since: int
    upto: int
    whole: bool = False
    left: int | None = None
    joined_until: float = float("inf")


@dataclass(slots=True)
class Timeline:
    """The latest events of a part. ``start`` is the position of the first, or the one behind the part."""

    events: Sequence[Seen]
    limited: bool
    start: int

    @property
    def prev_batch(self) -> str:
        """The token from which older events are found."""
        return str(LiveToken(self.start - 1))

    def nids(self) -> set[int]:
        """The numbers of the events."""
        return {seen.stored.nid for seen in self.events}

    def senders(self) -> set[UserID]:
        """Who sent the events."""
        return {seen.stored.event.sender for seen in self.events}


@dataclass(slots=True)
class RoomUpdate:
    """What a client is told of a room. ``summary`` is a JSON object; ``ephemeral`` and ``account_data`` are
    events.

    ``unread`` are the counts, as members of a JSON object. ``sticky`` are events that are sticky and not in the
    timeline. ``always``: told even if there is nothing else in it.
    """

    room_id: RoomID
    timeline: Timeline
    state: Sequence[StoredEvent] = ()
    summary: bytes = b"{}"
    ephemeral: list[bytes] = field(default_factory=list)
    account_data: list[bytes] = field(default_factory=list)
    unread: bytes = b""
    sticky: Sequence[StoredEvent] = ()
    always: bool = False

    @property
    def is_news(self) -> bool:
        """Whether there is anything to tell."""
        return bool(
            self.always
            or self.timeline.events
            or self.timeline.limited
            or self.state
            or self.ephemeral
            or self.account_data
            or self.sticky
            or self.summary != b"{}"
        )


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for what. ``since`` is 0 for one who knows nothing, and ``ephemeral_since`` negative."""

    user_id: UserID
    client: Client
    request: SyncRequest
    since: int
    upto: int
    ephemeral_since: int
    ephemeral_upto: int
    ignored: frozenset[UserID]
    messages_since: int = 0
    """Messages to the device up to this position were received."""
    hidden: frozenset[RoomID] = frozenset()
    """Rooms that the user is in and that are not shown before their members are known."""
    anew: bool = False
    """Whether what the client knows is of a past that was lost."""

"""What is looked for, what is found, and where to go on."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.stream_tokens import PageToken
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.stored_event import StoredEvent

Order: TypeAlias = Literal["recent", "rank"]
GroupKey: TypeAlias = Literal["room_id", "sender"]

_ENDLESS = 2**62


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a search has come: behind the match at (rank, ts, nid), of those no later than (top_ts, top_nid).

    ``count`` is how many were found in the beginning; a search within a group names it.
    """

    rank: int = _ENDLESS
    ts: int = _ENDLESS
    nid: int = _ENDLESS
    top_ts: int = _ENDLESS
    top_nid: int = _ENDLESS
    count: int | None = None
    group: GroupKey | None = None
    group_value: str = ""

    def __str__(self) -> str:
        return urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def parse_place(token: str) -> Place:
    """A token that a search gave. Raises InvalidParam."""
    try:
        place = msgspec.json.decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=Place)
    except (ValueError, msgspec.MsgspecError):
        raise InvalidParam("Not a token of a search") from None
    numbers = (place.rank, place.ts, place.nid, place.top_ts, place.top_nid)
    if any(not -_ENDLESS <= number <= _ENDLESS for number in numbers) or "\0" in place.group_value:
        raise InvalidParam("Not a token of a search")
    return place


@dataclass(frozen=True, slots=True)
class ContextWish:
    """How much is shown of what was said around a result."""

    before: int
    after: int
    profiles: bool


@dataclass(frozen=True, slots=True)
class Criteria:
    """What to look for, and how the results are wanted."""

    term: str
    types: Sequence[str]
    limit: int
    order: Order = "rank"
    filter: RoomEventFilter = field(default_factory=RoomEventFilter)
    place: Place = field(default_factory=Place)
    context: ContextWish | None = None
    include_state: bool = False
    groups: Sequence[GroupKey] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """One result: the message as the reader sees it, and the place behind it."""

    seen: Seen
    rank: float
    behind: Place


@dataclass(frozen=True, slots=True)
class Around:
    """What was said before and after a result, nearest first, and who said it."""

    before: Sequence[Seen]
    after: Sequence[Seen]
    start: PageToken
    end: PageToken
    profiles: Mapping[UserID, Mapping[str, str]] | None


@dataclass(frozen=True, slots=True)
class Group:
    """The results of a page that have something in common."""

    order: int
    results: Sequence[EventID]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Results:
    """A page of results."""

    matches: Sequence[Match] = ()
    count: int = 0
    highlights: Sequence[str] = ()
    next: Place | None = None
    around: Sequence[Around] = ()
    groups: Mapping[GroupKey, Mapping[str, Group]] = field(default_factory=dict)
    state: Mapping[RoomID, Sequence[StoredEvent]] = field(default_factory=dict)

"""Filters: which events a client wants to see.

https://spec.matrix.org/v1.19/client-server-api/#filtering
"""

from typing import Annotated, Any, Literal

import msgspec

from homeserver.protocol.errors import BadJson
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID, UserID

_UserID = Annotated[UserID, msgspec.Meta(pattern="^@")]
_RoomID = Annotated[RoomID, msgspec.Meta(pattern="^!")]
_Limit = Annotated[int, msgspec.Meta(ge=0)]


class EventFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """By type and sender. A list that is absent includes everything; what is excluded stays so even
    if it is included.
    """

    limit: _Limit | None = None
    senders: tuple[_UserID, ...] | None = None
    not_senders: tuple[_UserID, ...] = ()
    types: tuple[str, ...] | None = None
    not_types: tuple[str, ...] = ()

    def matches(self, type: str, sender: str | None = None) -> bool:
        """Whether to show something of this type, and of this sender if it has one."""
        return self.matches_type(type) and (sender is None or self.matches_sender(sender))

    def matches_type(self, type: str) -> bool:
        """Whether to show this type. In the patterns `*` stands for any characters."""
        if any(matches_pattern(pattern, type) for pattern in self.not_types):
            return False
        return self.types is None or any(matches_pattern(pattern, type) for pattern in self.types)

    def matches_sender(self, sender: str) -> bool:
        """Whether to show things of this sender."""
        if sender in self.not_senders:
            return False
        return self.senders is None or sender in self.senders


class RoomEventFilter(EventFilter, frozen=True, omit_defaults=True):
    """Also by room, by having a `url`, and by relations.

    Relations are not in the specification; clients use them to list threads (MSC3440) and to leave
    threads out (MSC3874).
    """

    rooms: tuple[_RoomID, ...] | None = None
    not_rooms: tuple[_RoomID, ...] = ()
    contains_url: bool | None = None
    lazy_load_members: bool = False
    include_redundant_members: bool = False
    unread_thread_notifications: bool = False
    related_by_senders: tuple[_UserID, ...] | None = None
    related_by_rel_types: tuple[str, ...] | None = None
    rel_types: tuple[str, ...] | None = msgspec.field(name="org.matrix.msc3874.rel_types", default=None)
    not_rel_types: tuple[str, ...] = msgspec.field(name="org.matrix.msc3874.not_rel_types", default=())

    def matches_room(self, room_id: str) -> bool:
        """Whether to show anything of this room."""
        return is_selected(room_id, self.rooms, self.not_rooms)

    def matches_event(self, event: Event) -> bool:
        """Whether to show this event, but for what `asks_for_children`: only the database knows those."""
        return (
            self.matches(event.type, event.sender)
            and self.matches_room(event.room_id)
            and (self.contains_url is None or self.contains_url == ("url" in event.content))
            and self._matches_relation(event)
        )

    @property
    def is_open(self) -> bool:
        """Whether every event passes, so that there is no need to look at each."""
        return self is _OPEN or all(getattr(self, name) == getattr(_OPEN, name) for name in _RESTRICTIONS)

    @property
    def asks_for_children(self) -> bool:
        """Whether only events pass that others relate to."""
        return self.related_by_senders is not None or self.related_by_rel_types is not None

    def _matches_relation(self, event: Event) -> bool:
        if self.rel_types is None and not self.not_rel_types:
            return True
        relates_to = event.content.get("m.relates_to")
        rel_type = relates_to.get("rel_type") if isinstance(relates_to, dict) else None
        if rel_type in self.not_rel_types:
            return False
        return self.rel_types is None or rel_type in self.rel_types


class RoomFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to show of which rooms."""

    rooms: tuple[_RoomID, ...] | None = None
    not_rooms: tuple[_RoomID, ...] = ()
    include_leave: bool = False
    ephemeral: RoomEventFilter = RoomEventFilter()
    state: RoomEventFilter = RoomEventFilter()
    timeline: RoomEventFilter = RoomEventFilter()
    account_data: RoomEventFilter = RoomEventFilter()

    def matches_room(self, room_id: str) -> bool:
        """Whether to show this room at all."""
        return is_selected(room_id, self.rooms, self.not_rooms)


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A filter for `/sync`, as a client stores it.

    https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter
    """

    event_fields: tuple[str, ...] | None = None
    event_format: Literal["client", "federation"] = "client"
    presence: EventFilter = EventFilter()
    account_data: EventFilter = EventFilter()
    room: RoomFilter = RoomFilter()


_OPEN = RoomEventFilter()
_RESTRICTIONS = (
    "senders", "not_senders", "types", "not_types", "rooms", "not_rooms", "contains_url", "related_by_senders",
    "related_by_rel_types", "rel_types", "not_rel_types",
)  # fmt: skip


def read_filter(value: Any) -> Filter:
    """The filter of a decoded JSON value. Raises `BadJson`."""
    try:
        return msgspec.convert(value, Filter)
    except msgspec.ValidationError as error:
        raise BadJson(f"Not a filter: {error}") from error


def read_room_event_filter(value: Any) -> RoomEventFilter:
    """The filter of `/messages` and `/context`, of a decoded JSON value. Raises `BadJson`."""
    try:
        return msgspec.convert(value, RoomEventFilter)
    except msgspec.ValidationError as error:
        raise BadJson(f"Not a filter: {error}") from error


def is_selected(name: str, included: tuple[str, ...] | None, excluded: tuple[str, ...]) -> bool:
    """The rule that all lists of a filter follow."""
    return name not in excluded and (included is None or name in included)


def matches_pattern(pattern: str, text: str) -> bool:
    """Whether the text is the pattern with each `*` replaced by any characters.

    The parts between the stars are looked for one after the other, each as early as it occurs. That
    takes one pass, so a pattern of many stars costs no more than another.
    """
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if not (text.startswith(first) and text.endswith(last)) or len(first) + len(last) > len(text):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def select_fields(event: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The event with only these fields, given as dot-separated paths.

    https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths
    """
    selected: dict[str, Any] = {}
    for field in fields:
        _copy_path(event, selected, split_path(field))
    return selected


def split_path(path: str) -> list[str]:
    """The property names of a dot-separated path. `\\.` is a dot and `\\\\` a backslash within a
    name.
    """
    names, name, escaped = [], "", False
    for character in path:
        if escaped:
            name += character if character in ".\\" else "\\" + character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ".":
            names.append(name)
            name = ""
        else:
            name += character
    names.append(name + "\\" if escaped else name)
    return names


def _copy_path(source: dict[str, Any], target: dict[str, Any], names: list[str]) -> None:
    """Copy the value at a path, and the objects on the way as far as they lead there."""
    for name in names[:-1]:
        inner = source.get(name)
        if not isinstance(inner, dict):
            return
        into = target.get(name)
        if into is inner:
            return  # Selected whole already.
        if into is None:
            into = target[name] = {}
        source, target = inner, into
    name = names[-1]
    if name in source:
        target[name] = source[name]

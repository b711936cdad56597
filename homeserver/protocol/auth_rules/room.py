"""The room as one event is judged in it: lookups into its state, each read leniently and once."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

from homeserver.protocol.errors import Forbidden
from homeserver.protocol.events.content import PowerLevels
from homeserver.protocol.events.event import Event
from homeserver.protocol.room_versions import RoomVersion

State = Callable[[str, str], Event | None]
"""The event of a state key in the state that an event is judged by, or None."""

CREATE: Final = "m.room.create"
MEMBER: Final = "m.room.member"
JOIN_RULES: Final = "m.room.join_rules"
POWER_LEVELS: Final = "m.room.power_levels"
THIRD_PARTY_INVITE: Final = "m.room.third_party_invite"
ALIASES: Final = "m.room.aliases"
REDACTION: Final = "m.room.redaction"


class NotAuthorised(Forbidden):
    """An event that the authorisation rules reject; the message says by which of them."""


class NeverAllowed(NotAuthorised):
    """An event that is wrong in itself: whoever sends it, it is rejected."""


def require(condition: bool, otherwise: str, error: type[NotAuthorised] = NotAuthorised) -> None:
    """Reject the event unless a condition holds."""
    if not condition:
        raise error(otherwise)


class Room:
    """An event and the state it is judged by. Raises `NotAuthorised` if that is of no room at all."""

    def __init__(self, event: Event, state: State) -> None:
        create = state(CREATE, "")
        if create is None or create.room_id != event.room_id:
            raise NotAuthorised("The room has no create event")
        self.event = event
        self.version: RoomVersion = event.version
        self.create = create
        self.state = state

    def membership(self, user_id: str) -> str | None:
        """A user's current membership, or None if the user has never had one."""
        member = self.state(MEMBER, user_id)
        return None if member is None else member.membership

    @cached_property
    def power_event(self) -> Event | None:
        """The current `m.room.power_levels` event."""
        return self.state(POWER_LEVELS, "")

    @cached_property
    def power(self) -> PowerLevels:
        """The current power levels, with the defaults of a room that has none."""
        return PowerLevels.of(self.version, self.power_event, self.create)

    @cached_property
    def sender_power(self) -> float:
        """The power level of the event's sender."""
        return self.power.user(self.event.sender)

    @cached_property
    def join_rule(self) -> object:
        """The current join rule; without one the room is open to invited users alone."""
        rules = self.state(JOIN_RULES, "")
        return "invite" if rules is None else rules.content.get("join_rule", "invite")

    @property
    def creator(self) -> object:
        """The one creator that rooms of every version have."""
        if self.version.creator_in_content:
            return self.create.content.get("creator")
        return self.create.sender


def content_object(content: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    """A property of some content if it is an object, else None."""
    value = content.get(name)
    return value if isinstance(value, dict) else None

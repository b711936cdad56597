"""The authorisation rules: may this event be, in a room whose state is that?

The rules are numbered as in room version 12; where a version differs, it does so by a named field
of its `RoomVersion`. The rules of create, member and power levels events have files of their own.

Spec: https://spec.matrix.org/latest/rooms/v12/#authorisation-rules
"""

from homeserver.protocol.auth_rules.create import check_create
from homeserver.protocol.auth_rules.member import check_member
from homeserver.protocol.auth_rules.power_levels import check_power_levels
from homeserver.protocol.auth_rules.room import (
    ALIASES,
    CREATE,
    MEMBER,
    POWER_LEVELS,
    REDACTION,
    THIRD_PARTY_INVITE,
    NotAuthorised,
    Room,
    State,
    require,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import server_of


def check_auth(event: Event, state: State) -> None:
    """Raise `NotAuthorised` if the rules do not allow an event in a room in this state.

    `state` is asked only for the keys that `auth_types` selects for the event, and for the create
    event, which a caller who judges by the event's own auth events must add in room versions where
    it is not among them. The shape of the event's own `auth_events` is judged by `check_auth_events_shape`, its
    signatures by `protocol/events/signing.py`.
    """
    if event.type == CREATE:
        check_create(event)
        return
    room = Room(event, state)
    _check_federation(room)
    if event.type == ALIASES and room.version.special_aliases_auth:
        _check_aliases(event)
    elif event.type == MEMBER:
        check_member(room)
    else:
        _check_of_joined_sender(room)


def _check_federation(room: Room) -> None:
    """Rule 4."""
    if room.create.content.get("m.federate") is False:
        require(
            server_of(room.event.sender) == server_of(room.create.sender),
            "The room does not federate",
        )


def _check_aliases(event: Event) -> None:
    """Rule 4 of room versions 1 to 5: a server speaks for its own aliases."""
    require(
        event.state_key is not None and event.state_key == server_of(event.sender),
        "Aliases can only be set by a user of their server",
    )


def _check_of_joined_sender(room: Room) -> None:
    """Rules 6 to 11."""
    event = room.event
    require(room.membership(event.sender) == "join", "The sender is not in the room")
    if event.type == THIRD_PARTY_INVITE:
        require(room.sender_power >= room.power.invite, "The sender may not invite")
        return
    require(
        room.sender_power >= room.power.required(event.type, event.state_key is not None),
        "The sender's power level is too low for an event of this type",
    )
    if event.state_key is not None and event.state_key.startswith("@"):
        require(event.state_key == event.sender, "The state key is another user's ID")
    if event.type == POWER_LEVELS:
        check_power_levels(room)
    elif event.type == REDACTION and room.version.redactions_authorised_by_level:
        _check_redaction(room)


def _check_redaction(room: Room) -> None:
    """Rule 11 of room versions 1 and 2, where event IDs have domains."""
    if room.sender_power >= room.power.redact:
        return
    redacted = room.event.redacts
    if redacted is None or server_of(redacted) != server_of(room.event.event_id):
        raise NotAuthorised("The sender may not redact events of another server")

"""Rule 1: `m.room.create`, the event on which every other in a room stands.

Spec: https://spec.matrix.org/latest/rooms/v12/#authorisation-rules
"""

from homeserver.protocol.auth_rules.room import NeverAllowed, require
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import is_user_id, server_of
from homeserver.protocol.room_versions import ROOM_VERSIONS


def check_create(event: Event) -> None:
    """Raise `NotAuthorised` if a create event is not one by which a room can begin."""
    require(not event.prev_event_ids, "The create event must be the first of its room", NeverAllowed)
    _check_room_id(event)
    room_version = event.content.get("room_version", "1")
    require(
        isinstance(room_version, str) and room_version in ROOM_VERSIONS,
        "The room version is not a recognised one",
    )
    if event.version.creator_in_content:
        require("creator" in event.content, "The create event names no creator")
    if event.version.privileged_creators:
        require(_valid_additional_creators(event), "additional_creators must list user IDs")


def _check_room_id(event: Event) -> None:
    if event.version.room_id_is_create_hash:
        require("room_id" not in event.pdu, "The create event must not name a room ID")
    else:
        require(
            event.room_id.partition(":")[2] == server_of(event.sender),
            "The room ID must be of the creator's server",
        )


def _valid_additional_creators(event: Event) -> bool:
    if "additional_creators" not in event.content:
        return True
    creators = event.content["additional_creators"]
    return isinstance(creators, list) and all(
        isinstance(creator, str) and is_user_id(creator) for creator in creators
    )

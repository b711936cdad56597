"""Rules for `m.room.member`, one function a membership.

Rule "if `content` has a `join_authorised_via_users_server` key, and the event is not validly
signed by the homeserver of that user, reject" is a matter of keys: that server is among the
required signers of the event (`protocol/events/signing.py`), which is checked before these rules.

Spec: https://spec.matrix.org/latest/rooms/v12/#authorisation-rules
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from homeserver.protocol.auth_rules.room import NotAuthorised, Room, require
from homeserver.protocol.auth_rules.third_party_invite import check_third_party_invite


def check_member(room: Room) -> None:
    """Raise `NotAuthorised` if a membership may not change in this way."""
    target = room.event.state_key
    if target is None:
        raise NotAuthorised("A membership event must have a state key")
    membership = room.event.content.get("membership")
    check = _CHECKS.get(membership) if isinstance(membership, str) else None
    if check is None or (membership == "knock" and not room.version.knocking):
        raise NotAuthorised("The membership is unknown")
    check(room, target)


def _check_join(room: Room, target: str) -> None:
    event = room.event
    if event.prev_event_ids == [room.create.event_id] and target == room.creator:
        return
    require(event.sender == target, "A user can only join for themselves")
    membership = room.membership(target)
    require(membership != "ban", "The user is banned from the room")
    if room.join_rule == "public":
        return
    require(_joinable_by_invite(room), "The join rule lets nobody join")
    if membership in ("invite", "join"):
        return
    require(_is_restricted(room), "The user is not invited to the room")
    _check_authorising_user(room)


def _joinable_by_invite(room: Room) -> bool:
    rule = room.join_rule
    return rule == "invite" or (rule == "knock" and room.version.knocking) or _is_restricted(room)


def _is_restricted(room: Room) -> bool:
    if room.join_rule == "knock_restricted":
        return room.version.knock_restricted
    return room.join_rule == "restricted" and room.version.restricted_joins


def _check_authorising_user(room: Room) -> None:
    authorising = room.event.content.get("join_authorised_via_users_server")
    if not isinstance(authorising, str) or room.membership(authorising) != "join":
        raise NotAuthorised("No joined user of the room authorised the join")
    require(
        room.power.user(authorising) >= room.power.invite,
        "The user who authorised the join may not invite",
    )


def _check_invite(room: Room, target: str) -> None:
    if "third_party_invite" in room.event.content:
        check_third_party_invite(room, target)
        return
    _require_sender_joined(room)
    require(
        room.membership(target) not in ("join", "ban"),
        "The user is already in the room or banned from it",
    )
    require(room.sender_power >= room.power.invite, "The sender may not invite")


def _check_leave(room: Room, target: str) -> None:
    membership = room.membership(target)
    if room.event.sender == target:
        require(
            membership in ("invite", "join") or (membership == "knock" and room.version.knocking),
            "The user is not in the room",
        )
        return
    _require_sender_joined(room)
    if membership == "ban":
        require(room.sender_power >= room.power.ban, "The sender may not unban")
    require(room.sender_power >= room.power.kick, "The sender may not kick")
    _require_power_over(room, target)


def _check_ban(room: Room, target: str) -> None:
    _require_sender_joined(room)
    require(room.sender_power >= room.power.ban, "The sender may not ban")
    _require_power_over(room, target)


def _check_knock(room: Room, target: str) -> None:
    allowed = room.join_rule == "knock" or (
        room.join_rule == "knock_restricted" and room.version.knock_restricted
    )
    require(allowed, "The join rule does not allow to knock")
    require(room.event.sender == target, "A user can only knock for themselves")
    require(
        room.membership(target) not in ("ban", "invite", "join"),
        "The user is banned, invited or in the room already",
    )


def _require_sender_joined(room: Room) -> None:
    require(room.membership(room.event.sender) == "join", "The sender is not in the room")


def _require_power_over(room: Room, target: str) -> None:
    require(
        room.power.user(target) < room.sender_power,
        "The sender's power level is not above that of the user",
    )


_CHECKS: Final[Mapping[str, Callable[[Room, str], None]]] = MappingProxyType(
    {
        "join": _check_join,
        "invite": _check_invite,
        "leave": _check_leave,
        "ban": _check_ban,
        "knock": _check_knock,
    }
)

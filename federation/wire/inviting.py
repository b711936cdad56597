"""Inviting a user of another server. https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room"""

from typing import Any, Final

import msgspec

from federation.wire.route import JsonObject, Nothing, Route


class Invite(msgspec.Struct, frozen=True):
    """The event to be signed, and stripped state for the invited user to know what it is about."""

    room_version: str
    event: JsonObject
    invite_room_state: list[Any] = []


class SignedInvite(msgspec.Struct, frozen=True):
    """The event with the invited server's signature added."""

    event: JsonObject


class ThirdPartyInvites(msgspec.Struct, frozen=True):
    """What an identity server tells when an address was bound to a user of ours."""

    medium: str
    address: str
    mxid: str
    invites: list[JsonObject] = []


INVITE: Final = Route("PUT", "/_matrix/federation/v2/invite/{room_id}/{event_id}", SignedInvite, body=Invite)
INVITE_V1: Final = Route(
    "PUT", "/_matrix/federation/v1/invite/{room_id}/{event_id}", list[Any], body=JsonObject
)
"""The old form: the bare event, room versions 1 and 2 only, answered with `[200, {"event": ...}]`."""
EXCHANGE_THIRD_PARTY_INVITE: Final = Route(
    "PUT", "/_matrix/federation/v1/exchange_third_party_invite/{room_id}", Nothing, body=JsonObject
)
THIRD_PARTY_BOUND: Final = Route(
    "PUT", "/_matrix/federation/v1/3pid/onbind", Nothing, body=ThirdPartyInvites, signed=False
)

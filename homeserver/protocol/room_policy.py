"""The policy server of a room, as its state names it.

https://spec.matrix.org/v1.19/server-server-api/#policy-servers
"""

from dataclasses import dataclass
from typing import Final

from homeserver.protocol.errors import InvalidParam, InvalidSignature
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.signing import verify_event
from homeserver.protocol.identifiers import ServerName, parse_server_name
from homeserver.protocol.signing_keys import VerifyKey

POLICY: Final = ("m.room.policy", "")
KEY_ID: Final = "ed25519:policy_server"
""""Always" the ID of its key."""


@dataclass(frozen=True, slots=True)
class RoomPolicy:
    """Who signs the events of a room, and by which key."""

    server: ServerName
    key: VerifyKey

    def recommends(self, event: Event) -> bool:
        """Whether the event bears its signature."""
        try:
            verify_event(event, self.server, {KEY_ID: self.key})
        except InvalidSignature:
            return False
        return True


def room_policy(event: Event) -> RoomPolicy | None:
    """What an `m.room.policy` event names; None if it is not valid."""
    via, keys = event.content.get("via"), event.content.get("public_keys")
    text = keys.get("ed25519") if isinstance(keys, dict) else None
    if not isinstance(via, str) or not isinstance(text, str):
        return None
    try:
        return RoomPolicy(parse_server_name(via), VerifyKey.parse(KEY_ID, text))
    except InvalidParam:
        return None

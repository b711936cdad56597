"""The redaction algorithm: what remains of an event when its content is taken away.

Signatures and reference hashes cover exactly that remainder, so a redacted event keeps its ID and
still verifies.

https://spec.matrix.org/v1.19/client-server-api/#redactions
"""

from typing import Any

from homeserver.protocol.events.event import Event
from homeserver.protocol.room_versions import RoomVersion


def redact(pdu: dict[str, Any], version: RoomVersion) -> dict[str, Any]:
    """A copy of the PDU with only the keys that the room version protects.

    `type` must be a string and `content` an object; what stays is shared with the original.
    """
    top_level = version.redaction.top_level
    kept = {key: value for key, value in pdu.items() if key in top_level}
    kept["content"] = redacted_content(pdu["type"], pdu["content"], version)
    return kept


def redacted(event: Event) -> Event:
    """The same event, redacted: same ID, same place, valid signatures."""
    return Event(redact(event.pdu, event.version), event.version, event.event_id)


def redacted_content(type: str, content: dict[str, Any], version: RoomVersion) -> dict[str, Any]:
    """What a redaction leaves of the content of an event of this type."""
    rules = version.redaction
    if type in rules.whole_content:
        return content
    keys = rules.content.get(type)
    if keys is None:
        return {}
    kept = {key: content[key] for key in content if key in keys}
    if type == "m.room.member" and rules.signed_of_third_party_invite:
        invite = content.get("third_party_invite")
        if isinstance(invite, dict):
            # Also when nothing of it remains: other servers hash the empty object, and so must we.
            kept["third_party_invite"] = {k: v for k, v in invite.items() if k == "signed"}
    return kept

"""The checks that a received PDU passes before its authorisation is looked at, in their order.

1. It is a valid event, "otherwise it is dropped": `parse_pdu`.
2. It "passes signature checks, otherwise it is dropped": `check_signatures`.
3. It "passes hash checks, otherwise it is redacted before being processed further":
`whole_or_redacted`.

https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from collections.abc import Mapping

from homeserver.protocol.events.event import Event
from homeserver.protocol.events.hashes import check_content_hash
from homeserver.protocol.events.redaction import redacted
from homeserver.protocol.events.signing import required_signers, signing_key_ids, verify_event
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import VerifyKey

ServerKeys = Mapping[ServerName, Mapping[str, VerifyKey]]
"""The keys known of servers, by key ID."""


def wanted_keys(event: Event) -> dict[ServerName, frozenset[str]]:
    """The IDs of the keys that are needed to check the event's signatures, by server.

    Raises `InvalidEvent` if the event names a signer that cannot exist. A server without any key
    here has not signed.
    """
    return {server: signing_key_ids(event.pdu, server) for server in required_signers(event)}


def check_signatures(event: Event, keys: ServerKeys) -> None:
    """Check that everybody has signed the event who must. Raises `InvalidSignature` and
    `InvalidEvent`.
    """
    for server in required_signers(event):
        verify_event(event, server, keys.get(server, {}))


def whole_or_redacted(event: Event) -> Event:
    """The event itself if its content is what was hashed, else what a redaction leaves of it (with
    the same ID).
    """
    return event if check_content_hash(event) else redacted(event)

"""The first checks of a received PDU: shape, signatures, hash. Each PDU is judged by itself.

https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.keyring import KeyRequest, Keyring
from homeserver.clock import Clock
from homeserver.protocol.errors import Forbidden, InvalidEvent, MatrixError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.protocol.receipt_checks import check_signatures, wanted_keys, whole_or_redacted
from homeserver.protocol.room_versions import RoomVersion

AT_ONCE = 200
"""PDUs after which others get their turn: to check one takes a good part of a millisecond."""
_SIGNED = ("hashes", "signatures")
WantedKeys = Mapping[ServerName, Collection[str]]


@dataclass(slots=True)
class Checked:
    """The PDUs that passed, in their order, and why others did not (by event ID, where there is one)."""

    events: list[Event] = field(default_factory=list)
    failures: dict[EventID, str] = field(default_factory=dict)
    malformed: int = 0
    given: list[EventID | None] = field(default_factory=list)
    """What the PDUs were, one by one: None for one that is no event of the room."""


class PduChecker:
    """Parses PDUs and verifies who signed them."""

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        self._keyring = keyring
        self._clock = clock

    async def check(
        self,
        room_id: RoomID | None,
        version: RoomVersion,
        pdus: Sequence[Any],
        *,
        limit_references: bool = True,
    ) -> Checked:
        """Check PDUs of one room (``room_id`` None: of any). Those that fail are set aside with the reason;
        nothing raises for them.

        Old rooms have events with more references than are allowed today: in the state and the auth chain of
        a room they are let through (``limit_references`` False).
        """
        checked = Checked()
        parsed: dict[EventID, tuple[Event, WantedKeys]] = {}
        for number, pdu in enumerate(pdus, 1):
            if number % AT_ONCE == 0:
                await self._clock.sleep(0)
            try:
                event = parse_pdu(pdu, version, limit_references=limit_references)
                if room_id is not None and event.room_id != room_id:
                    raise InvalidEvent("The event is of another room")
                if event.event_id not in parsed:
                    parsed[event.event_id] = (event, wanted_keys(event))
                checked.given.append(event.event_id)
            except MatrixError:
                checked.malformed += 1
                checked.given.append(None)
        keys = await self._keyring.verify_keys(
            [
                KeyRequest(server, key_ids, event.origin_server_ts)
                for event, wanted in parsed.values()
                for server, key_ids in wanted.items()
            ]
        )
        for number, (event, _) in enumerate(parsed.values(), 1):
            if number % AT_ONCE == 0:
                await self._clock.sleep(0)
            try:
                check_signatures(event, keys)
            except MatrixError as error:
                checked.failures[event.event_id] = error.message
            else:
                checked.events.append(whole_or_redacted(event))
        return checked


def require_signature(pdu: Any, server: ServerName) -> None:
    """Raises Forbidden for what does not even claim to be signed by the server, before its shape is looked at."""
    if isinstance(pdu, dict):
        hashes, signatures = (pdu.get(name) for name in _SIGNED)
        if not hashes or not isinstance(signatures, dict) or not signatures.get(server):
            raise Forbidden(f"The event is not signed by {server}")

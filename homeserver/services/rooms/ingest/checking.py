"""The first checks of a received PDU: shape, signatures, hash. Each PDU is judged by itself, and long lists of them
on a thread.

https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from federation.keyring import KeyRequest, Keyring
from homeserver.clock import OffReactor
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.protocol.room_versions import RoomVersion
from homeserver.services.rooms.ingest.intake import PduIntake
from homeserver.services.rooms.ingest.pdu_batches import AT_ONCE, FEW, PdusOf, verify

_SIGNED = ("hashes", "signatures")
_ALL = "pdus"


@dataclass(slots=True)
class Checked:
    """The PDUs that passed, in their order, and why others did not (by event ID, where there is one)."""

    events: list[Event] = field(default_factory=list)
    failures: dict[EventID, str] = field(default_factory=dict)
    malformed: int = 0


class PduChecker:
    """Parses PDUs and verifies who signed them."""

    def __init__(self, keyring: Keyring, off_reactor: OffReactor) -> None:
        self._keyring = keyring
        self._off_reactor = off_reactor

    def intake(self, room_id: RoomID, version: RoomVersion) -> PduIntake:
        """What reads the state of a room and what leads to it, as they come; `finish` checks them."""
        return PduIntake(PdusOf(room_id, version, limit_references=False), self._off_reactor)

    async def check(
        self,
        room_id: RoomID | None,
        version: RoomVersion,
        pdus: Sequence[Any],
        *,
        limit_references: bool = True,
    ) -> Checked:
        """Check PDUs of one room (``room_id`` None: of any). Those that fail are set aside with the reason;
        nothing raises for them. ``limit_references``: see `PdusOf`.
        """
        intake = PduIntake(PdusOf(room_id, version, limit_references), self._off_reactor)
        _ = intake.take([(_ALL, pdu) for pdu in pdus])
        return await self.finish(intake)

    async def finish(self, intake: PduIntake) -> Checked:
        """Verify what has been taken in."""
        found = await intake.finish()
        keys = await self._keyring.verify_keys(
            [
                KeyRequest(server, (key_id,), timestamp)
                for server, wanted in found.wanted.items()
                for key_id, timestamp in wanted.items()
            ]
        )
        checked = Checked(malformed=found.given.count(None))
        events = list(found.events.values())
        for start in range(0, len(events), AT_ONCE):
            batch = events[start : start + AT_ONCE]
            if len(batch) <= FEW:
                verified = verify(batch, keys)
            else:
                verified = await self._off_reactor(partial(verify, batch, keys))
            for event, result in zip(batch, verified, strict=True):
                if isinstance(result, str):
                    checked.failures[event.event_id] = result
                else:
                    checked.events.append(result)
        return checked


def require_signature(pdu: Any, server: ServerName) -> None:
    """Raises Forbidden for what does not even claim to be signed by the server, before its shape is looked at."""
    if isinstance(pdu, dict):
        hashes, signatures = (pdu.get(name) for name in _SIGNED)
        if not hashes or not isinstance(signatures, dict) or not signatures.get(server):
            raise Forbidden(f"The event is not signed by {server}")

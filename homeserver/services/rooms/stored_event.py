"""An event as this server keeps it: the event itself and what the server knows of it."""

from collections.abc import Sequence
from enum import IntEnum

from homeserver.protocol.events.client_format import client_event_bytes
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID


class Status(IntEnum):
    """What the checks on receipt of a PDU came to
    (https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu)."""

    ACCEPTED = 0
    SOFT_FAILED = 1
    REJECTED = 2


class StoredEvent:
    """An event with its number, place in the room and state snapshots.

    ``pos`` is None until the event is committed, and for events that no client may see as new; ``ordering`` is None for
    outliers. ``transaction`` is "device_id txn_id" of the local client that sent it, or the ID of the delayed event
    that it was. ``auth_nids`` are the numbers of a state event's auth events, until it is written. ``thread`` is the
    root of the thread that the event is in, None for the main timeline; ``notable`` are the `notability` marks. Both
    are set before a new event is written.
    """

    __slots__ = (
        "_client",
        "auth_nids",
        "event",
        "nid",
        "notable",
        "ordering",
        "outbound",
        "pos",
        "received_ts",
        "redacted_by",
        "shared_unsigned",
        "state_after",
        "state_before",
        "status",
        "thread",
        "transaction",
    )

    def __init__(
        self,
        event: Event,
        nid: int,
        *,
        received_ts: int,
        pos: int | None = None,
        ordering: int | None = None,
        outbound: bool = False,
        status: Status = Status.ACCEPTED,
        state_before: int | None = None,
        state_after: int | None = None,
        transaction: str | None = None,
        redacted_by: EventID | None = None,
        thread: EventID | None = None,
        notable: int = 0,
        auth_nids: Sequence[int] = (),
    ) -> None:
        self.event = event
        self.nid = nid
        self.received_ts = received_ts
        self.pos = pos
        self.ordering = ordering
        self.outbound = outbound
        self.status = status
        self.state_before = state_before
        self.state_after = state_after
        self.transaction = transaction
        self.redacted_by = redacted_by
        self.thread = thread
        self.notable = notable
        self.auth_nids = auth_nids
        self.shared_unsigned: bytes | None = None
        """The part of `unsigned` that all clients see, made by the renderer; None until then."""
        self._client: bytes | None = None

    @property
    def is_outlier(self) -> bool:
        """Whether the event's place in the room, and so the state before it, is not known."""
        return self.state_before is None

    def client_bytes(self) -> bytes:
        """The JSON object that clients see, without ``unsigned``; built once."""
        if self._client is None:
            self._client = client_event_bytes(self.event)
        return self._client

    def become_redacted(self, event: Event, redaction_id: EventID) -> None:
        """Take the redacted form of the event, before it is written."""
        self.event = event
        self.redacted_by = redaction_id
        self.shared_unsigned = None
        self._client = None

    def __repr__(self) -> str:
        return f"<StoredEvent {self.nid} {self.event.event_id} {self.event.type}>"


def accepted(stored: StoredEvent) -> StoredEvent:
    """A soft-failed event as it is when it is accepted after all: it is new, and has no position yet."""
    return StoredEvent(
        stored.event,
        stored.nid,
        received_ts=stored.received_ts,
        state_before=stored.state_before,
        state_after=stored.state_after,
    )

"""History, and events that are missing between known ones.

https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
"""

from typing import Final

import msgspec

from federation.wire.route import MIB, Pdus, Route


class BackfillFrom(msgspec.Struct, frozen=True):
    """The events to start from (included in the answer) and how many to give."""

    v: tuple[str, ...] = ()
    limit: int = 100


class History(msgspec.Struct, frozen=True):
    """PDUs in no promised order."""

    pdus: Pdus
    origin: str = ""
    origin_server_ts: int = 0


class MissingEventsQuery(msgspec.Struct, frozen=True):
    """Walk back from `latest_events` until `earliest_events`."""

    earliest_events: list[str] = []
    latest_events: list[str] = []
    limit: int = 10
    min_depth: int = 0


class MissingEvents(msgspec.Struct, frozen=True):
    """The events between the two sets."""

    events: Pdus


BACKFILL: Final = Route(
    "GET",
    "/_matrix/federation/v1/backfill/{room_id}",
    History,
    query=BackfillFrom,
    max_answer_bytes=64 * MIB,
)
MISSING_EVENTS: Final = Route(
    "POST",
    "/_matrix/federation/v1/get_missing_events/{room_id}",
    MissingEvents,
    body=MissingEventsQuery,
    max_answer_bytes=16 * MIB,
)

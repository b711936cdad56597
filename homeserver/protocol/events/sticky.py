"""Sticky events: for a while they reach every client and every server in the room, whatever else was said meanwhile.

https://github.com/matrix-org/matrix-spec-proposals/pull/4354
"""

from typing import Final

from homeserver.protocol.events.event import Event

STICKY: Final = "msc4354_sticky"
"""The key of an event, and the section of `/sync`."""
REMAINING: Final = "msc4354_sticky_duration_ttl_ms"
MAX_STICKY_MS: Final = 3_600_000


def sticky_ms(event: Event) -> int | None:
    """For how long an event is sticky; None for others. Longer than an hour none is.

    "The presence of `sticky.duration_ms` with a valid value makes the event sticky."
    """
    sticky = event.pdu.get(STICKY)
    if not isinstance(sticky, dict):
        return None
    duration = sticky.get("duration_ms")
    if type(duration) is not int or duration < 0:
        return None
    return min(duration, MAX_STICKY_MS)


def sticky_until(event: Event, received_ts: int) -> int:
    """When an event is sticky no more, in milliseconds; 0 for one that never was.

    "The start time is `min(received_ts, origin_server_ts)`": nobody can date an event into the future.
    """
    duration = sticky_ms(event)
    return 0 if duration is None else min(received_ts, event.origin_server_ts) + duration

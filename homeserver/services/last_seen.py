"""When and from where each device was last seen.

Every request is noted in memory; the database hears of a device at most once in an interval.
"""

from dataclasses import dataclass

import structlog
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from homeserver.clock import Clock, Timer
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.protocol.requester import Requester
from storage.journal import Journal, Write
from storage.tables.devices import LAST_SEEN, Device

log = structlog.get_logger(__name__)

INTERVAL_S = 300
_MAX_USER_AGENT_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from."""

    address: str
    user_agent: str

    @property
    def storable_user_agent(self) -> str:
        """The user agent, as it may be kept."""
        return self.user_agent[:_MAX_USER_AGENT_LENGTH].replace("\0", "")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One request of a device. `ts` is in milliseconds since the epoch."""

    ts: int
    caller: Caller


class LastSeen:
    """Remembers sightings until they are written."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._sightings: dict[tuple[UserID, DeviceID], Sighting] = {}
        self._timer: Timer | None = None

    def note(self, who: Requester, caller: Caller) -> None:
        """Take note of a request."""
        if who.device_id is None:
            return
        self._sightings[who.user_id, who.device_id] = Sighting(self._clock.now_ms(), caller)
        if self._timer is None:
            self._timer = self._clock.call_later(INTERVAL_S, self._due)

    def updated(self, user_id: UserID, device: Device) -> Device:
        """A device as the database has it, with what it has not heard yet."""
        sighting = self._sightings.get((user_id, device.device_id))
        if sighting is None:
            return device
        return replace(device, last_seen_ts=sighting.ts, last_seen_ip=sighting.caller.address)

    async def flush(self) -> None:
        """Write all sightings."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        sightings, self._sightings = self._sightings, {}
        if not sightings:
            return
        entries = [
            LAST_SEEN.entry(
                user_id=user_id,
                device_id=device_id,
                ts=seen.ts,
                ip=seen.caller.address,
                user_agent=seen.caller.storable_user_agent,
            )
            for (user_id, device_id), seen in sorted(sightings.items())
        ]
        await self._journal.write(Write(entries=entries))

    def _due(self) -> None:
        self._timer = None
        _ = Deferred.fromCoroutine(self.flush()).addErrback(
            lambda failure: log.error("last-seen times were not written", error=failure.getTraceback())
        )

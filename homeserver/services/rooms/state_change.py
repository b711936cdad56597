"""One change of a room's current state."""

from dataclasses import dataclass

from homeserver.protocol.identifiers import StateKey
from homeserver.services.rooms.stored_event import StoredEvent


@dataclass(frozen=True, slots=True)
class StateChange:
    """``previous`` gave way to ``current`` (None: no entry) when ``cause`` arrived."""

    key: StateKey
    previous: StoredEvent | None
    current: StoredEvent | None
    cause: StoredEvent

    @property
    def memberships(self) -> tuple[str, str]:
        """Membership before and after; "leave" where there is no member event."""
        return _membership(self.previous), _membership(self.current)


def _membership(stored: StoredEvent | None) -> str:
    return stored.event.membership or "leave" if stored else "leave"

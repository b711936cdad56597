"""Iterative auth checks: apply events in order, each if the state so far allows it.

Spec: https://spec.matrix.org/latest/rooms/v12/#definitions ("Iterative auth checks").
"""

from collections.abc import Iterable, Set

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.state_resolution.sources import CREATE_KEY, EventSource, StateMap


def iterative_auth_checks(
    ordered: Iterable[Event],
    state: dict[StateKey, EventID],
    base: StateMap,
    source: EventSource,
    rejected: Set[EventID],
) -> None:
    """Apply to `state` each event that the authorisation rules allow; ignore the others.

    "If a key that is required for checking the authorisation rules is not present in the state,
    then the appropriate state event from the event's `auth_events` is used if the auth event is
    not rejected." The state is `state` laid over `base`; `base` is left as it is.
    """
    for event in ordered:
        if event.key is None:
            continue
        try:
            check_auth(event, _StateFor(event, state, base, source, rejected))
        except NotAuthorised:
            continue
        state[event.key] = event.event_id


class _StateFor:
    """Look up the state that one event is judged by."""

    __slots__ = ("_auth", "_base", "_event", "_rejected", "_source", "_state")

    def __init__(
        self,
        event: Event,
        state: StateMap,
        base: StateMap,
        source: EventSource,
        rejected: Set[EventID],
    ) -> None:
        self._event = event
        self._state = state
        self._base = base
        self._source = source
        self._rejected = rejected
        self._auth: dict[StateKey, Event] | None = None

    def __call__(self, event_type: str, state_key: str) -> Event | None:
        key = (event_type, state_key)
        event_id = self._state.get(key) or self._base.get(key)
        if event_id is not None and (found := self._source.find(event_id)) is not None:
            return found
        if self._auth is None:
            self._auth = self._own_auth_events()
        return self._auth.get(key)

    def _own_auth_events(self) -> dict[StateKey, Event]:
        own = {
            auth.key: auth
            for auth in self._source.auth_events(self._event)
            if auth.key is not None and auth.event_id not in self._rejected
        }
        create = self._source.create_of(self._event)
        if create is not None and create.event_id not in self._rejected:
            own.setdefault(CREATE_KEY, create)
        return own

"""Auth events selection: which of the room's state may authorise an event, and whether it did.

Spec: https://spec.matrix.org/latest/server-server-api/#auth-events-selection
"""

from collections.abc import Collection, Iterable, Mapping

from homeserver.protocol.auth_rules.room import (
    CREATE,
    JOIN_RULES,
    MEMBER,
    POWER_LEVELS,
    THIRD_PARTY_INVITE,
    NotAuthorised,
    content_object,
    require,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.room_versions import RoomVersion


def auth_types(
    event_type: str,
    sender: str,
    state_key: str | None,
    content: Mapping[str, object],
    version: RoomVersion,
) -> list[StateKey]:
    """Return the state keys to select as auth events, each once and always in the same order."""
    if event_type == CREATE:
        return []
    keys: list[StateKey] = [(CREATE, "")] if version.create_in_auth_events else []
    keys += [(POWER_LEVELS, ""), (MEMBER, sender)]
    if event_type == MEMBER and state_key is not None:
        keys += (key for key in _member_types(state_key, content, version) if key not in keys)
    return keys


def auth_types_of(event: Event) -> list[StateKey]:
    """Return the state keys to select as auth events of an event that exists already."""
    return auth_types(event.type, event.sender, event.state_key, event.content, event.version)


def check_auth_events_shape(
    event: Event, auth_events: Iterable[Event], rejected: Collection[EventID] = ()
) -> None:
    """Raise `NotAuthorised` if an event's auth events are not what the selection would give.

    These are the rules under "Considering the event's `auth_events`". `auth_events` are all that
    the event names (the caller has fetched what was missing), `rejected` those of them that were
    rejected on receipt. Whether they *allow* the event is for `check_auth` to say. Of a create event
    nothing is asked: rule 1 is all of the rules for it.
    """
    if event.type == CREATE:
        return
    expected = set(auth_types_of(event))
    found: set[StateKey] = set()
    for auth in auth_events:
        key = auth.key
        if key is None or key not in expected:
            raise NotAuthorised("An auth event is not one that may authorise this event")
        require(key not in found, "Two auth events have the same type and state key")
        require(auth.event_id not in rejected, "An auth event was rejected")
        require(auth.room_id == event.room_id, "An auth event is of another room")
        found.add(key)
    if event.version.create_in_auth_events:
        require((CREATE, "") in found, "The create event is not among the auth events")


def _member_types(target: str, content: Mapping[str, object], version: RoomVersion) -> Iterable[StateKey]:
    """What the selection adds for `m.room.member`."""
    membership = content.get("membership")
    yield (MEMBER, target)
    if membership in ("join", "invite", "knock"):
        yield (JOIN_RULES, "")
    if membership == "invite":
        token = third_party_token(content)
        if token is not None:
            yield (THIRD_PARTY_INVITE, token)
    if membership == "join" and version.restricted_joins:
        authorising = content.get("join_authorised_via_users_server")
        if isinstance(authorising, str) and authorising != target:
            yield (MEMBER, authorising)


def third_party_token(content: Mapping[str, object]) -> str | None:
    """Return `content.third_party_invite.signed.token`, if it is there."""
    invite = content_object(content, "third_party_invite")
    signed = None if invite is None else content_object(invite, "signed")
    token = None if signed is None else signed.get("token")
    return token if isinstance(token, str) else None

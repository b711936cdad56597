"""Who may see an event: the one rule that every reader of history goes through.

Two questions are answered here, both from values that the caller has gathered: may a *user*
see this event, and may another *server* have it. All inputs describe the room just **before**
the event, joined with the one fact that history visibility takes from later on: whether the
reader has joined since. What the event itself changes is read from the event.

Spec: https://spec.matrix.org/latest/client-server-api/#room-history-visibility
"""

from collections.abc import Mapping
from typing import Final

from homeserver.protocol.events.content import history_visibility_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName, UserID, server_of

_MEMBER: Final = "m.room.member"
_HISTORY_VISIBILITY: Final = "m.room.history_visibility"


def can_see(
    event: Event,
    user_id: UserID,
    *,
    visibility: str,
    membership: str | None,
    joined_since: bool,
) -> bool:
    """Tell whether a user may see an event.

    `visibility` is the history visibility (as `history_visibility_of` reads it) and `membership` the
    user's membership, both of the state before the event. `joined_since` says whether the user
    was joined to the room at any point after the event was sent; a user who is joined now counts,
    as does one who joined later and left again. A reader who only peeks passes None and False.

    Events that arrive after a user left are kept back by their membership at those events.
    """
    own = event.type == _MEMBER and event.state_key == user_id
    memberships = (membership, event.membership) if own else (membership,)
    return any(
        _allows(setting, standing, joined_since)
        for setting in _settings(event, visibility)
        for standing in memberships
    )


def server_can_see(
    event: Event,
    server: ServerName,
    *,
    visibility: str,
    memberships: Mapping[UserID, str],
    joined_since: bool,
) -> bool:
    """Tell whether a server may be given an event: whether any user of it may see the event.

    `memberships` holds the memberships of the server's users in the state before the event;
    entries of other servers' users are passed over, so a caller may give what it has.
    `joined_since` says whether any user of the server was joined at any point after the event.

    Whether the server takes part in the room at all, which `world_readable` asks for
    ("may be shared by any participating homeserver"), is for the caller to check.
    """
    standings = {membership for user_id, membership in memberships.items() if server_of(user_id) == server}
    if event.type == _MEMBER and event.state_key is not None and event.membership is not None:
        if server_of(event.state_key) == server:
            standings.add(event.membership)
    return any(
        _allows(setting, standing, joined_since)
        for setting in _settings(event, visibility)
        for standing in standings or (None,)
    )


def _settings(event: Event, before: str) -> tuple[str, ...]:
    """The settings of which one must allow: two for the event that changes the setting."""
    if event.type == _HISTORY_VISIBILITY and event.state_key == "":
        return (before, history_visibility_of(event))
    return (before,)


def _allows(visibility: str, membership: str | None, joined_since: bool) -> bool:
    """The five rules of the section "Server behaviour", in their order."""
    if visibility == "world_readable" or membership == "join":
        return True
    if visibility == "shared" and joined_since:
        return True
    return visibility == "invited" and membership == "invite"

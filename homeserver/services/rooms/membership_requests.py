"""Asking a server for the template of a membership event, and making our event of it.

https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from federation.client.errors import RemoteError
from federation.client.federation_client import FederationClient
from federation.wire.joining import SupportedVersions, Template
from federation.wire.route import Route
from homeserver.protocol.errors import (
    BadGateway,
    Forbidden,
    IncompatibleRoomVersion,
    InvalidEvent,
    MatrixError,
    NotFound,
    RefusedElsewhere,
    UnableToAuthoriseJoin,
    UnableToGrantJoin,
)
from homeserver.protocol.events.building import build_event, references_of_template
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID, is_user_id
from homeserver.protocol.room_versions import ROOM_VERSIONS, EventIDFormat, RoomVersion
from homeserver.services.rooms.local_events import Author

MEMBER = "m.room.member"
AUTHORISER = "join_authorised_via_users_server"


@dataclass(frozen=True, slots=True)
class MembershipWish:
    """What a user of ours wants to be in a room; `content` is that of the event."""

    room_id: RoomID
    user_id: UserID
    content: dict[str, Any]


class MembershipRequests:
    """Makes membership events for rooms that this server does not know."""

    def __init__(self, client: FederationClient, author: Author) -> None:
        self.client = client
        self._author = author

    @property
    def server_name(self) -> ServerName:
        """Of this server."""
        return self._author.server_name

    async def event(self, route: Route[Template], server: ServerName, wish: MembershipWish) -> Event:
        """An event of ours, at the place in the room that `server` gives. Raises what `refusal` makes of its
        errors, and BadGateway.
        """
        query = SupportedVersions(tuple(ROOM_VERSIONS)) if route.query is SupportedVersions else None
        path = {"room_id": wish.room_id, "user_id": wish.user_id}
        try:
            template = await self.client.request(route, server, path=path, query=query)
        except RemoteError as error:
            raise refusal(error) from error
        version = ROOM_VERSIONS.get(template.room_version)
        if version is None:
            raise IncompatibleRoomVersion(room_version=template.room_version)
        try:
            return self._build(version, template.event, wish)
        except InvalidEvent as error:
            raise BadGateway(f"The template of {server} cannot be used: {error.message}") from error

    def _build(self, version: RoomVersion, template: dict[str, Any], wish: MembershipWish) -> Event:
        references = references_of_template(template, version)
        author = self._author
        event_id = None
        if version.event_id_format is EventIDFormat.CHOSEN_BY_SENDER:
            event_id = EventID(f"${author.random.letters(24)}:{author.server_name}")
        return build_event(
            version,
            room_id=wish.room_id,
            sender=wish.user_id,
            type=MEMBER,
            content=_content(version, template, wish),
            state_key=wish.user_id,
            prev_events=references.prev_events,
            auth_events=references.auth_events,
            depth=references.depth,
            origin_server_ts=author.clock.now_ms(),
            server_name=author.server_name,
            signing_key=author.signing_key,
            event_id=event_id,
            reference_hashes=references.reference_hashes,
        )


def _content(version: RoomVersion, template: dict[str, Any], wish: MembershipWish) -> dict[str, Any]:
    """Ours, with the one thing that only the other server knows: who lets the user in."""
    proposed = template.get("content")
    authoriser = proposed.get(AUTHORISER) if isinstance(proposed, dict) else None
    content = {key: value for key, value in wish.content.items() if key != AUTHORISER}
    if wish.content.get("membership") == "join" and version.restricted_joins:
        if isinstance(authoriser, str) and is_user_id(authoriser):
            content[AUTHORISER] = authoriser
    return content


def refusal(error: RemoteError) -> MatrixError:
    """Another server's error as ours, for the user whose wish it refused."""
    text = error.remote_error or "The room's server refused"
    room_version = error.remote_body.get("room_version")
    if error.remote_errcode == "M_INCOMPATIBLE_ROOM_VERSION" and isinstance(room_version, str):
        return IncompatibleRoomVersion(text, room_version=room_version)
    if error.remote_errcode == "M_UNABLE_TO_AUTHORISE_JOIN":
        return UnableToAuthoriseJoin(text)
    if error.remote_errcode == "M_UNABLE_TO_GRANT_JOIN":
        return UnableToGrantJoin(text)
    if error.status == 404 and error.remote_errcode != "M_UNRECOGNIZED":
        return NotFound(text)
    if error.status == 403:
        return Forbidden(text)
    if error.status == 400:
        return RefusedElsewhere(text, errcode=error.remote_errcode)
    return error


_WORTH = (
    Forbidden,
    IncompatibleRoomVersion,
    UnableToGrantJoin,
    UnableToAuthoriseJoin,
    NotFound,
    RefusedElsewhere,
)


def most_telling(errors: Iterable[MatrixError]) -> MatrixError:
    """Of the errors of several servers, the one that says most to the user."""
    every = list(errors)
    for kind in _WORTH:
        for error in every:
            if isinstance(error, kind):
                return error
    return every[-1] if every else NotFound("No known server is in this room")


def is_not_understood(error: RemoteError) -> bool:
    """Whether a server answered that it does not know the endpoint: it may know an older one."""
    return error.status in (400, 404, 405) and error.remote_errcode in ("M_UNRECOGNIZED", "M_UNKNOWN")

"""Users of other servers enter rooms by way of this one.
https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from federation.server_api.pdus import json_object, text
from federation.wire.joining import MAKE_JOIN, SEND_JOIN, SEND_JOIN_V1, Template
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Body, Path, Query, endpoint, named
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.services.rooms.join_answers import JoinAnswer, JoinAnswers
from homeserver.services.rooms.resident import ResidentServer
from homeserver.services.rooms.stored_event import StoredEvent

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class JoiningApi:
    """The handshake."""

    server_name: ServerName
    resident: ResidentServer
    answers: JoinAnswers

    @endpoint(
        MAKE_JOIN.method,
        MAKE_JOIN.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1make_joinroomiduserid",
    )
    async def make_join(
        self,
        origin: Origin,
        room_id: Path[RoomID],
        user_id: Path[UserID],
        versions: Annotated[Query[tuple[str, ...]], named("ver")] = ("1",),
    ) -> Template:
        """Give the template of a join."""
        template = await self.resident.template(origin.server, room_id, user_id, "join", versions)
        return Template(template.event, template.room_version)

    @endpoint(
        SEND_JOIN.method,
        SEND_JOIN.path,
        auth=server_signature,
        spec=f"{_SPEC}put_matrixfederationv2send_joinroomideventid",
        body_limit="federation",
    )
    async def send_join(
        self,
        origin: Origin,
        room_id: Path[RoomID],
        event_id: Path[str],
        body: Body[dict[str, Any]],
        omit_members: Query[bool] = False,
    ) -> RawJson:
        """Take a join; gives the state of the room before it, without most members if that is asked for."""
        join = await self.resident.accept(origin.server, room_id, EventID(event_id), "join", body)
        answer = await (self.answers.without_members(join) if omit_members else self.answers.whole(join))
        return RawJson(self._json(join, answer))

    @endpoint(
        SEND_JOIN_V1.method,
        SEND_JOIN_V1.path,
        auth=server_signature,
        spec=f"{_SPEC}put_matrixfederationv1send_joinroomideventid",
        body_limit="federation",
    )
    async def send_join_v1(
        self, origin: Origin, room_id: Path[RoomID], event_id: Path[str], body: Body[dict[str, Any]]
    ) -> RawJson:
        """The same for old servers."""
        join = await self.resident.accept(origin.server, room_id, EventID(event_id), "join", body)
        return RawJson(b"[200,%b]" % self._json(join, await self.answers.whole(join)))

    def _json(self, join: StoredEvent, answer: JoinAnswer) -> bytes:
        return json_object(
            origin=text(self.server_name),
            members_omitted=b"true" if answer.members_omitted else b"false",
            event=join.event.encoded(),
            state=answer.state,
            auth_chain=answer.auth_chain,
            servers_in_room=b"[%b]" % b",".join(text(server) for server in answer.servers),
        )

"""A story in which every endpoint for servers answers with success at least once, each answer as it is specified."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from homeserver.protocol.events.building import build_event, references_of_template
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import sign_pdu
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.room_versions import ROOM_VERSIONS
from tests.client_api.e2ee import one_time_keys
from tests.client_api.pictures import png
from tests.federation.pdu_server import PduServer, RoomOfPdus
from tests.federation.test_devices import Encrypting, encrypting
from tests.federation.test_third_party_invites import ADDRESS, IdentityServer, _threepid
from tests.federation.whole_servers import Person, WholeServer, World, escaped, in_world
from tests.harness import conformance
from tests.http.test_specified_endpoints import built

V1: Final = "/_matrix/federation/v1"
V2: Final = "/_matrix/federation/v2"


class Story:
    """Alice's server, and one that asks it."""

    def __init__(self, alpha: WholeServer, alice: Encrypting, other: PduServer, room: str) -> None:
        self.alpha = alpha
        self.alice = alice
        self.other = other
        self.room = room
        self.path = escaped(room)

    async def ask(self, method: str, target: str, body: Any = None) -> Any:
        """A request that must succeed; its JSON."""
        status, answer = await self.other.ask(self.alpha, method, target, body)
        assert status == 200, f"{method} {target}: {status} {answer}"
        return answer

    async def servers(self) -> None:
        """Who they are, and by which keys they are known."""
        for path in ("/.well-known/matrix/server", f"{V1}/version", "/_matrix/key/v2/server"):
            await self.ask("GET", path)
        assert (await self.ask("GET", f"/_matrix/key/v2/query/{self.other.name}"))["server_keys"]
        wanted: Any = {"server_keys": {self.other.name: {self.other.key.key_id: {}}}}
        assert (await self.ask("POST", "/_matrix/key/v2/query", wanted))["server_keys"]

    async def queries(self) -> None:
        """Aliases, profiles, rooms and devices."""
        alice = escaped(self.alice.user_id)
        await self.ask("GET", f"{V1}/query/directory?room_alias={escaped('#story:alpha.example')}")
        await self.ask("GET", f"{V1}/query/profile?user_id={alice}")
        await self.ask("GET", f"{V1}/query/profile?user_id={alice}&field=displayname")
        assert (await self.ask("GET", f"{V1}/publicRooms?limit=3"))["chunk"]
        wanted = {"limit": 3, "filter": {"generic_search_term": "story"}}
        assert (await self.ask("POST", f"{V1}/publicRooms", wanted))["chunk"]
        await self.alice.upload(device_keys=self.alice.keys(), one_time_keys=one_time_keys("a"))
        assert (await self.ask("GET", f"{V1}/user/devices/{alice}"))["devices"]
        await self.ask("POST", f"{V1}/user/keys/query", {"device_keys": {self.alice.user_id: []}})
        keys = {self.alice.user_id: {self.alice.device_id: "signed_curve25519"}}
        claimed = await self.ask("POST", f"{V1}/user/keys/claim", {"one_time_keys": keys})
        assert claimed["one_time_keys"][self.alice.user_id]

    async def history(self, shared: RoomOfPdus) -> None:
        """What was said, in every form."""
        first = await self.alice.person.say(self.room, "Once")
        last = await self.alice.person.say(self.room, "upon a time")
        at = escaped(last)
        for path in (
            f"event/{at}",
            f"event_auth/{self.path}/{at}",
            f"state/{self.path}?event_id={at}",
            f"state_ids/{self.path}?event_id={at}",
            f"backfill/{self.path}?v={at}&limit=2",
            f"timestamp_to_event/{self.path}?ts=0&dir=f",
            f"hierarchy/{self.path}?suggested_only=false",
        ):
            await self.ask("GET", f"{V1}/{path}")
        wanted = {"earliest_events": [shared.last.event_id], "latest_events": [last], "limit": 5}
        found = await self.ask("POST", f"{V1}/get_missing_events/{self.path}", wanted)
        assert [parse_pdu(pdu, shared.version).event_id for pdu in found["events"]] == [first]
        assert await self.other.send(self.alpha, shared.message("there was"))

    async def memberships(self) -> None:
        """People leave, knock, and are invited."""
        await self.member("leave", self.room, V2)
        club = await self.alice.person.create(
            initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}]
        )
        await self.member("knock", club, V1)
        for version, path in (("1", V1), ("11", V2)):
            event = self.invite(version)
            body: Any = event.pdu if path == V1 else {"event": event.pdu, "room_version": version}
            body = {**body, "invite_room_state": []} if path == V2 else body
            await self.ask("PUT", f"{path}/invite/{escaped(event.room_id)}/{escaped(event.event_id)}", body)

    async def member(self, membership: str, room: str, path: str) -> None:
        """Make a template an event, and send it."""
        versions = "&".join(f"ver={version}" for version in ROOM_VERSIONS) if membership != "leave" else ""
        target = f"{V1}/make_{membership}/{escaped(room)}/{escaped(self.other.user_id)}?{versions}"
        template = await self.ask("GET", target.rstrip("?"))
        version = ROOM_VERSIONS[template["room_version"]]
        references = references_of_template(template["event"], version)
        event = self.built(
            template["room_version"],
            room,
            self.other.user_id,
            membership,
            references.prev_events,
            references.auth_events,
            references.depth,
        )
        target = f"{path}/send_{membership}/{escaped(room)}/{escaped(event.event_id)}"
        await self.ask("PUT", target, event.pdu)

    def invite(self, version: str) -> Event:
        """An invite of Alice."""
        room = f"!of{version}:{self.other.name}"
        return self.built(version, room, self.alice.user_id, "invite", [], [], 5)

    def built(
        self, version: str, room: str, target: str, membership: str, prev: Any, auth: Any, depth: int
    ) -> Event:
        """A membership event by the other server's user."""
        hashed = version in ("1", "2")
        return build_event(
            ROOM_VERSIONS[version],
            room_id=RoomID(room),
            sender=self.other.user_id,
            type="m.room.member",
            content={"membership": membership},
            state_key=target,
            prev_events=prev,
            auth_events=auth,
            depth=depth,
            origin_server_ts=self.other.world.clock.now_ms(),
            server_name=self.other.name,
            signing_key=self.other.key,
            event_id=EventID(f"$invite:{self.other.name}") if hashed else None,
        )

    async def services(self) -> None:
        """Files are fetched, and one learns who somebody is who came with a token."""
        person = self.alice.person
        reply = await person.ask_path("POST", "/_matrix/media/v3/upload", png(40, 20))
        media_id = reply.json["content_uri"].rpartition("/")[2]
        for path in (f"download/{media_id}", f"thumbnail/{media_id}?width=16&height=16"):
            status, body = await self.other.fetch(self.alpha, "GET", f"{V1}/media/{path}")
            assert (status, body[:4]) == (200, b"\r\n--")
        reply = await person.ask("POST", f"/user/{person.user_id}/openid/request_token", {})
        told = await self.ask("GET", f"{V1}/openid/userinfo?access_token={reply.json['access_token']}")
        assert told == {"sub": person.user_id}

    async def third_parties(self, identity: IdentityServer, person: Person) -> None:
        """People are invited by their addresses."""
        bound = {"medium": "email", "address": ADDRESS, "mxid": self.alice.user_id, "invites": []}
        await self.ask("PUT", f"{V1}/3pid/onbind", bound)
        room = await person.create()
        await person.act(room, "invite", **_threepid())
        proof = identity.proof(identity.invites[-1], self.other.user_id)
        invite = {"display_name": "b...", "signed": proof["signed"]}
        self.other.answers["/invite/"] = self.signed
        body = {
            "type": "m.room.member",
            "room_id": room,
            "sender": person.user_id,
            "state_key": self.other.user_id,
            "content": {"membership": "invite", "third_party_invite": invite},
        }
        await self.ask("PUT", f"{V1}/exchange_third_party_invite/{escaped(room)}", body)
        assert (await person.members(room))[self.other.user_id] == "invite"

    def signed(self, request: dict[str, Any]) -> tuple[int, Any]:
        """The other server's answer to an invite."""
        body = request["body"]
        version = ROOM_VERSIONS[body["room_version"]]
        return 200, {"event": sign_pdu(body["event"], version, self.other.name, self.other.key)}


def for_servers() -> Iterator[str]:
    """What we serve of the server-server API."""
    for name, _ in built():
        if "/_matrix/federation/" in name or "/_matrix/key/" in name or "/matrix/server" in name:
            yield name


@pytest.mark.usefixtures("internet")
class TestEveryEndpoint(World):
    """Of those for servers."""

    @in_world
    async def test_every_endpoint_succeeds_once_as_specified(self) -> None:
        with conformance.watching() as answered:
            alpha = await self.server("alpha.example", "  delegate_to: alpha.example:8448\n")
            alice = await encrypting(alpha, "alice")
            wishes = {"room_alias_name": "story", "name": "A story", "visibility": "public"}
            room = await alice.person.public_room(**wishes)
            other = PduServer(self, "other.example")
            story = Story(alpha, alice, other, room)
            shared = await other.join(alpha, room)
            await story.servers()
            await story.queries()
            await story.history(shared)
            await story.memberships()
            await story.services()
            await story.third_parties(IdentityServer(self), alice.person)
        assert set(for_servers()) - answered == set()

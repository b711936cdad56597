"""People are invited by an e-mail address, over an identity server that is made for the test."""

from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from homeserver.protocol.events.signing import sign_json
from homeserver.protocol.signing_keys import SigningKey
from tests.federation.whole_servers import Person, WholeServer, World, in_world, request
from tests.harness.client import Reply
from tests.harness.outside import AUTHORITY, Peer, respond

ADDRESS = "bob@post.example"


class IdentityServer:
    """One that knows who has which address, and keeps invites."""

    def __init__(self, world: World) -> None:
        self.key = SigningKey("0", b"i" * 32)
        self.valid = True
        self.users: dict[str, str] = {}
        self.invites: list[dict[str, Any]] = []
        self.peer = Peer(self._answer, AUTHORITY.leaf(["id.example"])).start()
        world.addCleanup(lambda: Deferred.fromCoroutine(self.peer.stop()))
        address = world.address("id.example", self.peer.port)
        world.streets.houses[address, 443] = self.peer.port

    def proof(self, invite: dict[str, Any], user_id: str) -> dict[str, Any]:
        """What it tells the server of a user who turns up with the address."""
        signed = sign_json({"mxid": user_id, "token": invite["token"]}, "id.example", self.key)
        return {**invite, "mxid": user_id, "signed": signed}

    def _answer(self, request: Any) -> None:
        path = request.path.decode().rpartition("/")[2]
        body = orjson.loads(self.peer.seen[-1].body or b"{}")
        assert path == "isvalid" or request.getHeader("authorization") == "Bearer secret"
        respond(request, 200, orjson.dumps(getattr(self, path.replace("-", "_"))(body)))

    def hash_details(self, body: Any) -> Any:
        return {"algorithms": ["none"], "lookup_pepper": "salt"}

    def lookup(self, body: Any) -> Any:
        (asked,) = body["addresses"]
        user_id = self.users.get(asked.partition(" ")[0])
        return {"mappings": {asked: user_id} if user_id else {}}

    def store_invite(self, body: Any) -> Any:
        token = f"token{len(self.invites)}"
        self.invites.append({**body, "token": token})
        key = self.key.verify_key.text()
        url = "https://id.example/_matrix/identity/v2/pubkey/isvalid"
        return {
            "token": token,
            "display_name": "b...",
            "public_keys": [{"public_key": key, "key_validity_url": url}],
        }

    def isvalid(self, body: Any) -> Any:
        return {"valid": self.valid}


def _threepid() -> dict[str, str]:
    return {"medium": "email", "address": ADDRESS, "id_server": "id.example", "id_access_token": "secret"}


@pytest.mark.usefixtures("internet")
class TestThirdPartyInvites(World):
    """By `/invite`, by `/createRoom`, and by who turns up."""

    @in_world
    async def test_who_is_known_by_the_address_is_invited_as_a_user(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        identity = IdentityServer(self)
        identity.users[ADDRESS] = bob.user_id
        room = await alice.create(invite_3pid=[_threepid()])
        assert (await alice.members(room))[bob.user_id] == "invite"
        assert identity.invites == []

    @in_world
    async def test_who_turns_up_on_another_server_finds_the_invite(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        identity = IdentityServer(self)
        room = await alice.create(name="Tea")
        await alice.act(room, "invite", **_threepid())
        (invite,) = identity.invites
        assert (invite["room_name"], invite["sender"], invite["address"]) == ("Tea", alice.user_id, ADDRESS)
        assert (await _bound(beta, identity, bob)).status == 200
        assert list(await bob.rooms("invite")) == [room]
        await bob.join(room, alpha)
        assert (await alice.members(room))[bob.user_id] == "join"

    @in_world
    async def test_an_invite_whose_key_was_taken_back_is_worth_nothing(self) -> None:
        alpha = await self.server("alpha.example")
        alice, bob = await alpha.person("alice"), await alpha.person("bob")
        identity = IdentityServer(self)
        room = await alice.create()
        await alice.act(room, "invite", **_threepid())
        identity.valid = False
        assert (await _bound(alpha, identity, bob)).status == 403
        assert (await bob.try_join(room)).status == 403

    @in_world
    async def test_an_invite_that_somebody_else_signed_is_worth_nothing(self) -> None:
        alpha = await self.server("alpha.example")
        alice, bob = await alpha.person("alice"), await alpha.person("bob")
        identity = IdentityServer(self)
        room = await alice.create()
        await alice.act(room, "invite", **_threepid())
        identity.key = SigningKey("0", b"x" * 32)
        assert (await _bound(alpha, identity, bob)).status == 403
        assert bob.user_id not in await alice.members(room)

    @in_world
    async def test_only_who_may_invite_makes_the_identity_server_do_anything(self) -> None:
        alpha = await self.server("alpha.example")
        alice, bob = await alpha.person("alice"), await alpha.person("bob")
        identity = IdentityServer(self)
        room = await alice.public_room()
        await bob.join(room)
        reply = await bob.ask("POST", f"/rooms/{room}/invite", _threepid())
        assert reply.errcode == "M_FORBIDDEN"
        assert identity.peer.seen == []


async def _bound(server: WholeServer, identity: IdentityServer, user: Person) -> Reply:
    body = {
        "medium": "email",
        "address": ADDRESS,
        "mxid": user.user_id,
        "invites": [identity.proof(invite, user.user_id) for invite in identity.invites],
    }
    return await request(server.http, "PUT", "/_matrix/federation/v1/3pid/onbind", body)

"""https://spec.matrix.org/v1.19/client-server-api/#server-notices,
https://element-hq.github.io/synapse/latest/admin_api/server_notices.html
"""

from typing import Any

import pytest

from homeserver.protocol.identifiers import RoomID, UserID
from storage.database import Database
from storage.tables.memberships import Memberships
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Reply
from tests.harness.memory import result_of

PATH = "/_synapse/admin/v1/send_server_notice"
SENDER = "@_server:test"


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def administrator(site: SyncSite) -> Syncer:
    """Somebody who may send notices."""
    admin = site.person("root")
    result_of(site.app.accounts.moderation.set_admin(UserID(admin.user_id), True))
    return admin


def try_tell(admin: Syncer, user_id: str, text: str, **more: Any) -> Reply:
    """Try to send a notice."""
    return admin.http.post(PATH, {"user_id": user_id, "content": {"msgtype": "m.text", "body": text}, **more})


def tell(admin: Syncer, who: Syncer, text: str, **more: Any) -> str:
    """Send a notice; the event's ID."""
    reply = try_tell(admin, who.user_id, text, **more)
    assert reply.status == 200, reply.text
    return str(reply.json["event_id"])


def invited(who: Syncer) -> str:
    """The one room that somebody is invited to by the sender of notices."""
    ((room, invite),) = who.first_sync()["rooms"]["invite"].items()
    assert {event["sender"] for event in invite["invite_state"]["events"]} == {SENDER}
    return str(room)


def test_a_notice_invites_into_a_room_of_its_own(site: SyncSite) -> None:
    admin, alice = administrator(site), site.person("alice")
    event_id = tell(admin, alice, "Down tonight")
    room = invited(alice)
    alice.join(room)
    assert alice.event(room, event_id)["content"]["body"] == "Down tonight"
    assert alice.event(room, event_id)["sender"] == SENDER
    state = alice.whole_state(room)
    assert state["m.room.name", ""]["content"] == {"name": "Server notices"}
    assert state["m.room.create", ""]["content"]["m.federate"] is False
    assert state["m.room.member", SENDER]["content"]["displayname"] == "Server notices"
    joined = alice.first_sync()["rooms"]["join"][room]
    assert {"type": "m.tag", "content": {"tags": {"m.server_notice": {}}}} in joined["account_data"]["events"]
    assert alice.try_say(room, "Why?").errcode == "M_FORBIDDEN"
    assert alice.try_act("invite", room, user_id=admin.user_id).errcode == "M_FORBIDDEN"
    assert alice.try_act("upgrade", room, new_version="11").errcode == "M_FORBIDDEN"
    assert alice.try_act("kick", room, user_id=SENDER).errcode == "M_FORBIDDEN"


def test_only_administrators_send_notices(site: SyncSite) -> None:
    alice = site.person("alice")
    assert alice.http.post(PATH).errcode == "M_FORBIDDEN"
    assert try_tell(alice, alice.user_id, "me").errcode == "M_FORBIDDEN"


def test_the_invite_cannot_be_rejected_but_the_room_can_be_left(site: SyncSite) -> None:
    admin, alice = administrator(site), site.person("alice")
    tell(admin, alice, "one")
    room = invited(alice)
    member = f"{V3}/rooms/{room}/state/m.room.member/{alice.user_id}"
    for reply in (
        alice.try_act("leave", room),
        alice.try_act("kick", room, user_id=alice.user_id),
        alice.http.put(member, {"membership": "leave"}),
    ):
        assert (reply.status, reply.errcode) == (403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM")
    alice.join(room)
    alice.act("leave", room)
    tell(admin, alice, "two")
    assert invited(alice) == room
    alice.join(room)
    assert [text for text in alice.texts(room) if text != "Server notices"] == ["two", "one"]


def test_all_notices_of_a_user_come_into_one_room_also_after_a_restart(site: SyncSite) -> None:
    admin, alice, bob = administrator(site), site.person("alice"), site.person("bob")
    tell(admin, alice, "one")
    room = invited(alice)
    alice.join(room)
    tell(admin, alice, "two")
    tell(admin, bob, "other")
    assert invited(bob) != room
    site.start()
    admin.reconnect()
    alice.reconnect()
    tell(admin, alice, "three")
    assert alice.texts(room) == ["three", "two", "one"]


def test_a_transaction_sends_one_notice(site: SyncSite) -> None:
    admin, alice = administrator(site), site.person("alice")

    def put(txn_id: str) -> str:
        body = {"user_id": alice.user_id, "content": {"msgtype": "m.text", "body": "once"}}
        return str(admin.http.put(f"{PATH}/{txn_id}", body).json["event_id"])

    first = put("a")
    assert put("a") == first
    site.start()
    admin.reconnect()
    alice.reconnect()
    assert put("a") == first
    assert put("b") != first
    room = invited(alice)
    alice.join(room)
    assert alice.texts(room) == ["once", "once"]


@pytest.mark.parametrize(
    ("user_id", "more", "status", "errcode"),
    [
        ("@alice:far.example", {}, 400, "M_INVALID_PARAM"),
        ("@nobody:test", {}, 404, "M_NOT_FOUND"),
        ("@closed:test", {}, 404, "M_NOT_FOUND"),
        (SENDER, {}, 400, "M_INVALID_PARAM"),
        ("alice", {}, 400, "M_INVALID_PARAM"),
        ("@root:test", {"type": "m.room.member", "state_key": "@root:test"}, 400, "M_INVALID_PARAM"),
        ("@root:test", {"content": {"float": 1.5}}, 400, "M_BAD_JSON"),
        ("@root:test", {"content": "text"}, 400, "M_BAD_JSON"),
    ],
)
def test_who_and_what_gets_no_notice(
    site: SyncSite, user_id: str, more: dict[str, Any], status: int, errcode: str
) -> None:
    admin, closed = administrator(site), site.person("closed")
    proof = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": closed.user_id},
        "password": PASSWORD,
    }
    assert closed.http.post(f"{V3}/account/deactivate", {"auth": proof}).status == 200
    reply = try_tell(admin, user_id, "hello", **more)
    assert (reply.status, reply.errcode) == (status, errcode)


def test_users_who_take_no_invites_still_get_notices(site: SyncSite) -> None:
    admin, alice = administrator(site), site.person("alice")
    alice.put_account_data("m.invite_permission_config", {"default_action": "block"})
    tell(admin, alice, "important")
    assert invited(alice)


def test_closing_an_account_rejects_the_invite_to_its_notices(site: SyncSite) -> None:
    admin, alice = administrator(site), site.person("alice")
    tell(admin, alice, "one")
    room = invited(alice)
    proof = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": alice.user_id},
        "password": PASSWORD,
    }
    assert alice.http.post(f"{V3}/account/deactivate", {"auth": proof}).status == 200
    site.turn(1)
    assert try_tell(admin, alice.user_id, "two").errcode == "M_NOT_FOUND"
    assert membership(site, room, alice) == "leave"


def membership(site: SyncSite, room: str, who: Syncer) -> str | None:
    """Somebody's membership as it is stored."""

    async def read() -> str | None:
        user_id = UserID(who.user_id)
        row = await site.database.read(lambda tx: Memberships(tx).find(RoomID(room), user_id))
        return None if row is None else row.membership

    return result_of(read())


def test_a_replaced_room_gives_way_to_a_new_one(site: SyncSite) -> None:
    admin, alice = administrator(site), site.person("alice")
    tell(admin, alice, "one")
    room = invited(alice)
    tell(admin, alice, "", type="m.room.tombstone", state_key="", content={"body": "closed"})
    tell(admin, alice, "two")
    assert len(alice.first_sync()["rooms"]["invite"]) == 2
    assert room in alice.first_sync()["rooms"]["invite"]


def test_the_operator_decides_what_it_looks_like(database: Database) -> None:
    look = {
        "localpart": "notices",
        "display_name": "The owl",
        "avatar_url": "mxc://test/owl",
        "room_name": "Owl post",
        "auto_join": True,
    }
    site = SyncSite(database, {"server_notices": look})
    body = {"username": "notices", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    assert site.http.post(f"{V3}/register", body).errcode == "M_USER_IN_USE"
    admin, alice = administrator(site), site.person("alice")
    tell(admin, alice, "hoo")
    ((room, _),) = alice.first_sync()["rooms"]["join"].items()
    assert alice.texts(room) == ["hoo"]
    state = alice.whole_state(room)
    assert state["m.room.name", ""]["content"] == {"name": "Owl post"}
    assert state["m.room.avatar", ""]["content"] == {"url": "mxc://test/owl"}
    owl = state["m.room.member", "@notices:test"]["content"]
    assert (owl["displayname"], owl["avatar_url"]) == ("The owl", "mxc://test/owl")
    later = SyncSite(
        database, {"server_notices": {**look, "room_name": "Post", "display_name": "Owl"}}, seed=7
    )
    admin.http, alice.http = later.http.with_token(admin.token), later.http.with_token(alice.token)
    tell(admin, alice, "hoo hoo")
    state = alice.whole_state(room)
    assert state["m.room.name", ""]["content"] == {"name": "Post"}
    assert state["m.room.member", "@notices:test"]["content"]["displayname"] == "Owl"


def test_somebodys_account_is_not_taken_for_notices(database: Database) -> None:
    SyncSite(database).person("notices")
    site = SyncSite(database, {"server_notices": {"localpart": "notices"}}, seed=7)
    reply = try_tell(administrator(site), "@root:test", "hello")
    assert (reply.status, reply.errcode) == (400, "M_UNKNOWN")


def test_notices_can_be_switched_off(database: Database) -> None:
    site = SyncSite(database, {"server_notices": {"enabled": False}})
    admin = administrator(site)
    assert try_tell(admin, admin.user_id, "hello").errcode == "M_UNRECOGNIZED"

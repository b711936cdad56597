"""Guests in rooms: https://spec.matrix.org/v1.19/client-server-api/#guest-access"""

import pytest

from homeserver.app.wiring_rooms import Remotes
from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.other_servers import OtherServers, invited_from_outside
from tests.client_api.rooms_site import V3, Person, RoomsSite


@pytest.fixture
def site(database: Database) -> RoomsSite:
    return RoomsSite(database, changes={"registration": {"mode": "open", "guests": True}})


def _guest(site: RoomsSite) -> Person:
    reply = site.http.post(f"{V3}/register", {}, {"kind": "guest"})
    assert reply.status == 200, reply.text
    return Person(site, reply.json)


def _open_to_guests(alice: Person) -> str:
    guest_access = {"type": "m.room.guest_access", "content": {"guest_access": "can_join"}}
    return alice.public_room(initial_state=[guest_access])


def test_guests_join_only_rooms_that_let_them_in(site: RoomsSite) -> None:
    alice, guest = site.person("alice"), _guest(site)
    assert guest.try_join(alice.public_room()).errcode == "M_GUEST_ACCESS_FORBIDDEN"
    room = _open_to_guests(alice)
    guest.join(room)
    guest.say(room, "hello")
    assert alice.texts(room) == ["hello"]


def test_guests_leave_when_the_room_does_not_want_them_any_more(site: RoomsSite) -> None:
    alice, bob, guest = site.person("alice"), site.person("bob"), _guest(site)
    room = _open_to_guests(alice)
    bob.join(room)
    guest.join(room)
    alice.set_state(room, "m.room.guest_access", {"guest_access": "can_join", "more": 1})
    assert alice.membership(room, guest) == "join"
    alice.set_state(room, "m.room.guest_access", {"guest_access": "forbidden"})
    assert alice.membership(room, guest) == "leave"
    assert alice.membership(room, bob) == "join"


def test_guests_make_no_rooms_and_invite_nobody(site: RoomsSite) -> None:
    alice, guest = site.person("alice"), _guest(site)
    room = _open_to_guests(alice)
    guest.join(room)
    assert guest.http.post(f"{V3}/createRoom", {}).errcode == "M_GUEST_ACCESS_FORBIDDEN"
    assert guest.try_act("invite", room, user_id="@bob:test").errcode == "M_GUEST_ACCESS_FORBIDDEN"
    assert guest.http.post(f"{V3}/knock/{room}").errcode == "M_GUEST_ACCESS_FORBIDDEN"


def test_guests_join_rooms_of_other_servers_only_when_invited(database: Database) -> None:
    others = OtherServers()
    settings = {"registration": {"mode": "open", "guests": True}}
    site = RoomsSite(database, changes=settings, remotes=Remotes(membership=others))
    guest = _guest(site)
    assert guest.try_join("!far:elsewhere").errcode == "M_GUEST_ACCESS_FORBIDDEN"
    room = invited_from_outside(site, guest)
    guest.join(room)
    assert [asked[:3] for asked in others.asked] == [("join", guest.user_id, room)]


def test_a_guest_becomes_a_user_and_keeps_their_rooms(site: RoomsSite) -> None:
    alice, guest = site.person("alice"), _guest(site)
    room = _open_to_guests(alice)
    guest.join(room)
    name = guest.user_id[1:].partition(":")[0]
    token = guest.http.token
    wishes = {"username": name, "password": PASSWORD, "guest_access_token": token}
    body = {**wishes, "auth": {"type": "m.login.dummy"}}
    assert site.http.post(f"{V3}/register", {**body, "username": "other"}).errcode == "M_USER_IN_USE"
    reply = site.http.post(f"{V3}/register", body)
    assert (reply.status, reply.json["user_id"]) == (200, guest.user_id)
    user = Person(site, reply.json)
    assert user.http.get(f"{V3}/joined_rooms").json["joined_rooms"] == [room]
    user.public_room()
    guest.public_room()
    assert site.http.post(f"{V3}/register", body).status == 403


def test_nobody_becomes_another_guest(site: RoomsSite) -> None:
    first, second = _guest(site), _guest(site)
    name = first.user_id[1:].partition(":")[0]
    body = {"username": name, "password": PASSWORD, "guest_access_token": second.http.token}
    assert site.http.post(f"{V3}/register", {**body, "auth": {"type": "m.login.dummy"}}).status == 400


def test_guests_list_published_rooms_as_strangers_may(site: RoomsSite) -> None:
    alice, guest = site.person("alice"), _guest(site)
    room = alice.public_room(visibility="public")
    listed = guest.http.get(f"{V3}/publicRooms")
    assert [each["room_id"] for each in listed.json["chunk"]] == [room]

"""Room aliases."""

from urllib.parse import quote

from tests.client_api.rooms_site import V3, Person, RoomsSite, room_path
from tests.harness.client import Reply


def _path(alias: str) -> str:
    return f"{V3}/directory/room/{quote(alias, safe='')}"


def _point(person: Person, alias: str, room: str) -> Reply:
    return person.http.put(_path(alias), {"room_id": room})


def test_an_alias_leads_to_its_room_for_everybody(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    assert _point(alice, "#hall:test", room).json == {}
    assert rooms.http.get(_path("#hall:test")).json == {"room_id": room, "servers": ["test"]}
    assert rooms.http.get(_path("#other:test")).errcode == "M_NOT_FOUND"
    assert rooms.http.get(_path("#hall:elsewhere")).errcode == "M_NOT_FOUND"
    assert rooms.http.get(_path("hall")).errcode == "M_INVALID_PARAM"


def test_an_alias_with_unusual_letters_works(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    assert _point(alice, "#große halle/☕:test", room).status == 200
    assert rooms.http.get(_path("#große halle/☕:test")).json["room_id"] == room


def test_an_alias_is_made_once(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room, other = alice.create(), alice.create()
    _point(alice, "#hall:test", room)
    reply = _point(alice, "#hall:test", other)
    assert (reply.status, reply.errcode) == (409, "M_UNKNOWN")
    assert _point(alice, "#hall:elsewhere", room).errcode == "M_INVALID_PARAM"
    assert _point(alice, "#x:test", "room").errcode == "M_INVALID_PARAM"


def test_only_members_make_aliases_of_a_room(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    assert _point(bob, "#hall:test", alice.public_room()).errcode == "M_FORBIDDEN"
    assert _point(bob, "#hall:test", "!unknown:test").errcode == "M_FORBIDDEN"


def test_an_alias_is_removed_by_its_maker_or_by_who_has_the_power(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room()
    bob.join(room)
    carol.join(room)
    _point(bob, "#one:test", room)
    _point(bob, "#two:test", room)
    assert carol.http.delete(_path("#one:test")).errcode == "M_FORBIDDEN"
    assert bob.http.delete(_path("#one:test")).json == {}
    assert alice.http.delete(_path("#two:test")).json == {}
    assert rooms.http.get(_path("#two:test")).errcode == "M_NOT_FOUND"
    assert alice.http.delete(_path("#two:test")).errcode == "M_NOT_FOUND"


def test_a_removed_alias_is_no_longer_canonical(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(room_alias_name="main")
    _point(alice, "#alt:test", room)
    alice.set_state(
        room, "m.room.canonical_alias", {"alias": "#main:test", "alt_aliases": ["#alt:test", "#main:test"]}
    )
    alice.http.delete(_path("#main:test"))
    assert alice.state(room, "m.room.canonical_alias") == {"alt_aliases": ["#alt:test"]}
    alice.http.delete(_path("#alt:test"))
    assert alice.state(room, "m.room.canonical_alias") == {}


def test_a_removed_alias_stays_in_the_state_if_its_maker_has_no_power(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    _point(bob, "#his:test", room)
    alice.set_state(room, "m.room.canonical_alias", {"alias": "#his:test"})
    assert bob.http.delete(_path("#his:test")).status == 200
    assert alice.state(room, "m.room.canonical_alias") == {"alias": "#his:test"}


def test_members_see_the_aliases_of_a_room(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    _point(alice, "#b:test", room)
    _point(alice, "#a:test", room)
    path = room_path(room, "aliases")
    assert alice.http.get(path).json == {"aliases": ["#a:test", "#b:test"]}
    assert bob.http.get(path).errcode == "M_FORBIDDEN"
    alice.set_state(room, "m.room.history_visibility", {"history_visibility": "world_readable"})
    assert bob.http.get(path).status == 200

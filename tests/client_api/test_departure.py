"""What becomes of a deactivated user's memberships."""

from homeserver.services.rooms.departure import Departure
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.rooms_site import RoomsSite


def test_a_deactivated_user_leaves_all_rooms(rooms: RoomsSite) -> None:
    departure = Departure(rooms.database, rooms.rooms.membership)
    rooms.accounts.accounts.when_deactivated(departure.leave_all)
    alice, bob = rooms.people("alice", "bob")
    joined, invited, left = alice.public_room(), alice.create(), alice.public_room()
    bob.join(joined)
    alice.invite(invited, bob)
    bob.join(left)
    bob.act("leave", left)
    auth = {"type": "m.login.password", "user": "bob", "password": PASSWORD}
    assert bob.http.post("/_matrix/client/v3/account/deactivate", {"auth": auth}).status == 200
    assert [alice.membership(room, bob) for room in (joined, invited, left)] == ["leave"] * 3

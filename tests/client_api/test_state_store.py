"""What the state of rooms takes on record: it follows the changes, not the rooms."""

from benchmarks.state_storage import churn, growth, mixed, settings, stored, talk
from tests.client_api.rooms_site import RoomsSite


def test_messages_store_no_state(rooms: RoomsSite) -> None:
    anna = rooms.person("anna")
    room = anna.public_room()
    before = stored(rooms.database)
    talk(room, anna, 30)
    assert stored(rooms.database).since(before).state == 0


def test_state_takes_a_small_part_of_what_a_usual_room_takes(rooms: RoomsSite) -> None:
    total, _ = growth(rooms, mixed, 64, "anna")
    assert 0 < total.ratio < 0.05


def test_a_change_of_a_large_state_costs_hardly_more_than_one_of_a_small_state(rooms: RoomsSite) -> None:
    total, dearer = growth(rooms, settings, 320, "anna")
    assert dearer < 1.5  # 8: the state is stored anew each time
    assert total.ratio < 0.3


def test_an_entry_that_changes_again_and_again_does_not_get_dearer(rooms: RoomsSite) -> None:
    total, dearer = growth(rooms, churn, 160, "anna")
    assert dearer < 2
    assert total.ratio < 0.3

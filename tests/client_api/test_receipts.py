"""Read receipts and fully-read markers."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.rooms_site import room_path
from tests.client_api.sync_site import Syncer, SyncSite


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def receipts_in(room: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    """Event, type, user, thread."""
    events = room.get("ephemeral", {"events": []})["events"]
    return {
        (event_id, kind, user_id, receipt.get("thread_id", ""))
        for event in events
        if event["type"] == "m.receipt"
        for event_id, kinds in event["content"].items()
        for kind, users in kinds.items()
        for user_id, receipt in users.items()
    }


def pair(site: SyncSite) -> tuple[Syncer, Syncer, str]:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    return anna, bert, room


def test_receipts_are_shown_to_all_members(site: SyncSite) -> None:
    anna, bert, room = pair(site)
    event_id = anna.say(room, "read me")
    anna.first_sync()
    assert bert.receipt(room, event_id).status == 200
    expected = {(event_id, "m.read", bert.user_id, "")}
    assert receipts_in(anna.joined(room)) == expected
    assert receipts_in(bert.first_sync()["rooms"]["join"][room]) == expected


def test_receipt_wakes_polls(site: SyncSite) -> None:
    anna, bert, room = pair(site)
    event_id = anna.say(room, "read me")
    anna.first_sync(set_presence="offline")
    poll = anna.poll(set_presence="offline")
    bert.receipt(room, event_id)
    site.turn()
    assert receipts_in(poll.reply.json["rooms"]["join"][room]) == {(event_id, "m.read", bert.user_id, "")}


def test_private_receipts_are_only_for_their_owner(site: SyncSite) -> None:
    anna, bert, room = pair(site)
    event_id = anna.say(room, "read me")
    anna.first_sync()
    bert.first_sync()
    bert.receipt(room, event_id, "m.read.private")
    assert anna.joined(room) == {}
    assert receipts_in(bert.joined(room)) == {(event_id, "m.read.private", bert.user_id, "")}
    assert receipts_in(anna.first_sync()["rooms"]["join"][room]) == set()
    assert receipts_in(bert.first_sync()["rooms"]["join"][room]) != set()


def test_receipts_never_move_back(site: SyncSite) -> None:
    anna, bert, room = pair(site)
    first, second = anna.say(room, "1"), anna.say(room, "2")
    bert.receipt(room, second)
    bert.receipt(room, first)
    assert receipts_in(anna.first_sync()["rooms"]["join"][room]) == {(second, "m.read", bert.user_id, "")}


def test_threads_have_receipts_of_their_own(site: SyncSite) -> None:
    anna, bert, room = pair(site)
    root = anna.say(room, "root")
    reply = anna.say(room, "re", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    for thread in ("main", root):
        assert bert.receipt(room, root, thread_id=thread).status == 200
    assert bert.receipt(room, root).status == 200
    assert bert.receipt(room, reply, thread_id=root).status == 200
    assert receipts_in(anna.first_sync()["rooms"]["join"][room]) == {
        (root, "m.read", bert.user_id, "main"),
        (root, "m.read", bert.user_id, ""),
        (reply, "m.read", bert.user_id, root),
    }


def test_receipt_must_fit_its_thread(site: SyncSite) -> None:
    anna, bert, room = pair(site)
    event_id, other = anna.say(room, "1"), anna.say(room, "2")
    assert bert.receipt(room, event_id, thread_id=other).errcode == "M_INVALID_PARAM"
    assert bert.receipt(room, event_id, thread_id="").errcode == "M_INVALID_PARAM"
    assert bert.receipt(room, event_id, thread_id=5).errcode == "M_INVALID_PARAM"
    assert bert.receipt(room, event_id, "m.fully_read", thread_id="main").errcode == "M_INVALID_PARAM"


def test_receipts_are_for_events_of_rooms_that_one_is_in(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room, other = anna.public_room(), anna.public_room()
    event_id = anna.say(room, "1")
    assert bert.receipt(room, event_id).status == 403
    assert anna.receipt(other, event_id).status == 404
    assert anna.receipt(room, event_id, "m.unread").status == 400


def test_markers_move_together(site: SyncSite) -> None:
    anna, bert, room = pair(site)
    first, second = anna.say(room, "1"), anna.say(room, "2")
    anna.first_sync()
    bert.first_sync()
    markers = {"m.fully_read": first, "m.read": second, "m.read.private": second}
    assert bert.here.post(room_path(room, "read_markers"), markers).status == 200
    shown = bert.joined(room)
    assert {event["type"]: event["content"] for event in shown["account_data"]["events"]} == {
        "m.fully_read": {"event_id": first}
    }
    assert {kind for _, kind, _, _ in receipts_in(shown)} == {"m.read", "m.read.private"}
    assert receipts_in(anna.joined(room)) == {(second, "m.read", bert.user_id, "")}


def test_fully_read_marker_may_be_sent_as_a_receipt(site: SyncSite) -> None:
    anna, bert, room = pair(site)
    event_id = anna.say(room, "1")
    bert.first_sync()
    assert bert.receipt(room, event_id, "m.fully_read").status == 200
    assert bert.joined(room)["account_data"]["events"][0]["content"] == {"event_id": event_id}


def test_receipts_of_ignored_users_are_not_shown(site: SyncSite) -> None:
    anna, bert, room = pair(site)
    event_id = anna.say(room, "1")
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {bert.user_id: {}}})
    anna.first_sync()
    bert.receipt(room, event_id)
    assert receipts_in(anna.joined(room)) == set()

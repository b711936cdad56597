"""Counts of what is unread, in syncs.

https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from storage.database import Database
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sync_site import Syncer, SyncSite

BY_THREAD = {"room": {"timeline": {"unread_thread_notifications": True}}}


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def two(site: SyncSite, **wishes: Any) -> tuple[Syncer, Syncer, str]:
    """Two people in a room, of whom the first has synced; and the room."""
    anna, ben = site.people("anna", "ben")
    room = anna.public_room(**wishes)
    ben.join(room)
    anna.sync()
    return anna, ben, room


def unread(person: Syncer, room: str) -> tuple[int, int]:
    """Notifications and highlights, as a first sync and later ones tell them; both must be the same."""
    told = person.joined(room)
    counts = told["unread_notifications"] if told else None
    fresh = Syncer.first_sync(person)["rooms"]["join"][room]["unread_notifications"]
    assert counts in (None, fresh)
    return fresh["notification_count"], fresh["highlight_count"]


def by_thread(person: Syncer, room: str) -> dict[str, int]:
    """Notifications by thread."""
    told = person.first_sync(filter=BY_THREAD)["rooms"]["join"][room]
    counts = {root: each["notification_count"] for root, each in told["unread_thread_notifications"].items()}
    return {"main": told["unread_notifications"]["notification_count"], **counts}


def send(person: Syncer, room: str, body: str = "hello", /, **content: Any) -> str:
    """Say something."""
    return person.say(room, body, **content)


def in_thread(root: str, kind: str = "m.thread") -> dict[str, Any]:
    """The relation to an event."""
    return {"m.relates_to": {"rel_type": kind, "event_id": root}}


def mute(person: Syncer, room: str) -> None:
    """Turn off notifications of a room."""
    reply = person.here.put(f"{V3}/pushrules/global/room/{quote(room, safe='')}", {"actions": []})
    assert reply.status == 200, reply.text


@contextmanager
def queries_of(site: SyncSite) -> Iterator[list[object]]:
    """What is read from the database meanwhile."""
    asked: list[object] = []
    read = site.database.read

    def noted(fn: Any) -> Any:
        asked.append(fn)
        return read(fn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.database, "read", noted)
        yield asked


def test_messages_of_others_count_and_a_receipt_clears_them(site: SyncSite) -> None:
    anna, ben, room = two(site)
    assert unread(anna, room) == (0, 0)
    first, second = send(ben, room), send(ben, room)
    assert unread(anna, room) == (2, 0)
    assert anna.receipt(room, first).status == 200
    assert unread(anna, room) == (1, 0)
    assert anna.receipt(room, second, "m.read.private").status == 200
    assert unread(anna, room) == (0, 0)
    assert unread(ben, room) == (0, 0)


def test_the_count_comes_with_the_event_itself(site: SyncSite) -> None:
    anna, ben, room = two(site)
    poll = anna.poll(set_presence="offline")
    send(ben, room)
    site.turn()
    told = poll.reply.json["rooms"]["join"][room]
    assert told["unread_notifications"] == {"notification_count": 1, "highlight_count": 0}
    assert "unread_thread_notifications" not in told


def test_a_receipt_is_told_to_clients_that_do_not_want_receipts(site: SyncSite) -> None:
    anna, ben, room = two(site)
    event_id = send(ben, room)
    quiet: dict[str, Any] = {"room": {"ephemeral": {"types": []}}}
    anna.sync(filter=quiet)
    anna.receipt(room, event_id)
    assert anna.joined(room, filter=quiet)["unread_notifications"]["notification_count"] == 0


def test_the_further_of_public_and_private_receipt_counts(site: SyncSite) -> None:
    anna, ben, room = two(site)
    first, second = send(ben, room), send(ben, room)
    anna.receipt(room, second, "m.read.private")
    anna.receipt(room, first)
    assert unread(anna, room) == (0, 0)


def test_sending_a_message_reads_what_was_before_it(site: SyncSite) -> None:
    anna, ben, room = two(site)
    send(ben, room)
    mine = send(anna, room)
    assert unread(anna, room) == (0, 0)
    send(ben, room)
    assert unread(anna, room) == (1, 0)
    anna.redact(room, mine)
    assert unread(anna, room) == (1, 0)


def test_mentions_highlight_for_whom_they_name_only(site: SyncSite) -> None:
    anna, ben, room = two(site)
    send(ben, room, **{"m.mentions": {"user_ids": [anna.user_id, "@nobody:else", 7]}})
    send(ben, room, **{"m.mentions": {"user_ids": ["@ben:test"]}})
    assert unread(anna, room) == (2, 1)
    send(ben, room, **{"m.mentions": {"user_ids": anna.user_id}})
    assert unread(anna, room) == (3, 1)


def test_only_the_powerful_mention_the_room(site: SyncSite) -> None:
    anna, ben, room = two(site)
    ben.sync()
    send(ben, room, **{"m.mentions": {"room": True}})
    assert unread(anna, room) == (1, 0)
    send(anna, room, **{"m.mentions": {"room": True}})
    assert unread(ben, room) == (1, 1)


def test_edits_reactions_notices_and_members_do_not_count(site: SyncSite) -> None:
    anna, ben, room = two(site)
    mine = send(anna, room)
    send(ben, room, **in_thread(mine, "m.replace"))
    path = room_path(room, "send", "m.reaction", "r1")
    assert ben.here.put(path, in_thread(mine, "m.annotation")).status == 200
    ben.say(room, "beep", msgtype="m.notice")
    ben.act("leave", room)
    assert unread(anna, room) == (0, 0)


def test_threads_are_counted_and_read_by_themselves(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = send(ben, room)
    first = send(ben, room, **in_thread(root))
    send(ben, room, **in_thread(root))
    last = send(ben, room)
    assert by_thread(anna, room) == {"main": 2, root: 2}
    assert unread(anna, room) == (4, 0)
    assert anna.receipt(room, first, thread_id=root).status == 200
    assert by_thread(anna, room) == {"main": 2, root: 1}
    assert anna.receipt(room, root, thread_id="main").status == 200
    assert by_thread(anna, room) == {"main": 1, root: 1}
    assert anna.receipt(room, last).status == 200
    assert by_thread(anna, room) == {"main": 0}


def test_what_relates_to_an_event_of_a_thread_is_in_the_thread(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = send(ben, room)
    inside = send(ben, room, **in_thread(root))
    further = send(ben, room, **in_thread(inside, "m.reference"))
    send(ben, room, **in_thread(further, "com.example"))
    send(ben, room, **in_thread(root, "m.reference"))
    assert by_thread(anna, room) == {"main": 2, root: 3}
    send(anna, room, **in_thread(root))
    assert by_thread(anna, room) == {"main": 2}


def test_receipts_must_fit_their_thread(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root, other = send(ben, room), send(ben, room)
    inside = send(ben, room, **in_thread(root))
    for event_id, thread in [(inside, "main"), (inside, other), (other, root), (inside, ""), (inside, 7)]:
        reply = anna.receipt(room, event_id, thread_id=thread)
        assert (reply.status, reply.json["errcode"]) == (400, "M_INVALID_PARAM")
    assert anna.receipt(room, inside, "m.fully_read", thread_id="main").status == 400
    assert by_thread(anna, room) == {"main": 2, root: 1}


def test_redacted_events_count_no_more(site: SyncSite) -> None:
    anna, ben, room = two(site)
    event_id = send(ben, room, **{"m.mentions": {"user_ids": [anna.user_id]}})
    assert unread(anna, room) == (1, 1)
    ben.redact(room, event_id)
    assert unread(anna, room) == (0, 0)


def test_a_muted_room_loses_its_count_at_once_and_gets_it_back(site: SyncSite) -> None:
    anna, ben, room = two(site)
    send(ben, room)
    anna.sync()
    mute(anna, room)
    assert anna.joined(room)["unread_notifications"]["notification_count"] == 0
    send(ben, room)
    assert unread(anna, room) == (0, 0)
    anna.here.delete(f"{V3}/pushrules/global/room/{quote(room, safe='')}")
    assert anna.joined(room)["unread_notifications"]["notification_count"] == 2


def test_own_rules_count_before_and_after_the_memory_is_lost(site: SyncSite) -> None:
    anna, ben, room = two(site)
    highlight = ["notify", {"set_tweak": "highlight"}]
    rule = {"pattern": "c?ke", "actions": highlight}
    assert anna.here.put(f"{V3}/pushrules/global/content/cake", rule).status == 200
    send(ben, room, "tea")
    send(ben, room, "Cake!")
    assert unread(anna, room) == (2, 1)
    site.forget()
    assert unread(anna, room) == (2, 1)
    mine = send(anna, room, "no cake")
    assert unread(anna, room) == (0, 0)
    anna.redact(room, mine)
    ben.redact(room, send(ben, room, "cake"))
    assert unread(anna, room) == (0, 0)


def test_the_master_rule_turns_all_counts_off(site: SyncSite) -> None:
    anna, ben, room = two(site)
    send(ben, room)
    anna.sync()
    anna.here.put(f"{V3}/pushrules/global/override/.m.rule.master/enabled", {"enabled": True})
    assert anna.joined(room)["unread_notifications"]["notification_count"] == 0


def test_ignored_users_do_not_count(site: SyncSite) -> None:
    anna, ben, room = two(site)
    send(ben, room)
    anna.sync()
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {ben.user_id: {}}})
    assert anna.joined(room)["unread_notifications"]["notification_count"] == 0
    send(ben, room)
    assert unread(anna, room) == (0, 0)


def test_marking_a_room_unread_changes_no_count(site: SyncSite) -> None:
    anna, _, room = two(site)
    anna.put_account_data("m.marked_unread", {"unread": True}, room)
    told = anna.joined(room)
    assert {"type": "m.marked_unread", "content": {"unread": True}} in told["account_data"]["events"]
    assert told["unread_notifications"]["notification_count"] == 0


def test_a_fully_read_marker_alone_leaves_the_counts(site: SyncSite) -> None:
    anna, ben, room = two(site)
    event_id = send(ben, room)
    reply = anna.here.post(room_path(room, "read_markers"), {"m.fully_read": event_id})
    assert (reply.status, unread(anna, room)) == (200, (1, 0))
    reply = anna.here.post(room_path(room, "read_markers"), {"m.read.private": event_id})
    assert (reply.status, unread(anna, room)) == (200, (0, 0))


def test_counts_outlive_a_restart(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = send(ben, room, **{"m.mentions": {"user_ids": [anna.user_id]}})
    send(ben, room, **in_thread(root))
    assert unread(anna, room) == (2, 1)
    site.start()
    assert unread(anna, room) == (2, 1)
    assert by_thread(anna, room) == {"main": 1, root: 1}


def test_only_what_came_after_joining_counts(site: SyncSite) -> None:
    anna, ben, room = two(site)
    send(ben, room)
    anna.act("leave", room)
    send(ben, room)
    anna.join(room)
    assert unread(anna, room) == (0, 0)
    send(ben, room)
    anna.here.put(f"{V3}/profile/{anna.user_id}/displayname", {"displayname": "A"})
    assert unread(anna, room) == (1, 0)


def test_syncs_without_news_ask_the_database_nothing(site: SyncSite) -> None:
    anna, ben, room = two(site)
    anna.sync()
    send(ben, room)
    anna.sync()
    send(ben, room)
    with queries_of(site) as asked:
        assert anna.joined(room)["unread_notifications"]["notification_count"] == 2
    assert not asked

"""Filters by the events that relate to an event, wherever events are read.

https://spec.matrix.org/v1.19/client-server-api/#filtering
"""

import json
from typing import Any

import pytest

from storage.database import Database
from tests.client_api.rooms_site import room_path
from tests.client_api.sync_site import Syncer, SyncSite, texts
from tests.client_api.test_relations import react, relating


@pytest.fixture
def site(database: Database) -> SyncSite:
    """A server."""
    return SyncSite(database)


@pytest.fixture
def alice(site: SyncSite) -> Syncer:
    """Who has the rooms."""
    return site.person("alice")


def talk(alice: Syncer, bob: Syncer, room: str) -> None:
    """A thread by Bob on "root", a reaction by Alice to "liked", and "plain"."""
    bob.join(room)
    root, liked = alice.say(room, "root"), alice.say(room, "liked")
    alice.say(room, "plain")
    bob.say(room, "reply", **relating("m.thread", root))
    assert react(alice, room, liked, "!").status == 200


CASES = [
    ({"related_by_rel_types": ["m.thread"]}, ["root"]),
    ({"related_by_rel_types": ["m.thread", "m.annotation"]}, ["root", "liked"]),
    ({"related_by_rel_types": ["m.replace"]}, []),
    ({"related_by_rel_types": []}, []),
    ({"related_by_senders": ["@bob:test"]}, ["root"]),
    ({"related_by_senders": ["@alice:test"], "related_by_rel_types": ["m.thread"]}, []),
    ({"related_by_senders": ["@alice:test"], "types": ["m.room.message"]}, ["liked"]),
]


@pytest.mark.parametrize(("filter", "expected"), CASES)
def test_pages_show_only_what_others_relate_to(
    site: SyncSite, alice: Syncer, filter: dict[str, Any], expected: list[str]
) -> None:
    room = alice.public_room()
    talk(alice, site.person("bob"), room)
    assert alice.texts(room, "f", filter=json.dumps(filter), limit=50) == expected


@pytest.mark.parametrize(("filter", "expected"), CASES)
def test_syncs_show_only_what_others_relate_to(
    site: SyncSite, alice: Syncer, filter: dict[str, Any], expected: list[str]
) -> None:
    room = alice.public_room()
    wanted = {"room": {"timeline": {**filter, "limit": 50}}}
    alice.sync(filter=wanted)
    talk(alice, site.person("bob"), room)
    assert texts(alice.joined(room, filter=wanted)) == expected
    assert texts(alice.first_sync(filter=wanted)["rooms"]["join"].get(room, {})) == expected


@pytest.mark.parametrize(("filter", "expected"), CASES)
def test_contexts_show_only_what_others_relate_to(
    site: SyncSite, alice: Syncer, filter: dict[str, Any], expected: list[str]
) -> None:
    room = alice.public_room()
    first = alice.say(room, "first")
    talk(alice, site.person("bob"), room)
    query: dict[str, Any] = {"limit": 50, "filter": json.dumps(filter)}
    after = alice.http.get(room_path(room, "context", first), query).json["events_after"]
    assert [event["content"]["body"] for event in after] == expected


def test_a_page_goes_on_where_the_filter_left_out_much(site: SyncSite, alice: Syncer) -> None:
    room = alice.public_room()
    talk(alice, site.person("bob"), room)
    for number in range(30):
        alice.say(room, str(number))
    wanted = json.dumps({"related_by_rel_types": ["m.thread", "m.annotation"]})
    page = alice.page(room, limit=1, filter=wanted)
    rest = alice.page(room, limit=5, filter=wanted, from_=page["end"])
    bodies = [event["content"]["body"] for event in (*page["chunk"], *rest["chunk"])]
    assert bodies == ["liked", "root"]


def test_a_redacted_relation_does_not_count(site: SyncSite, alice: Syncer) -> None:
    room = alice.public_room()
    root = alice.say(room, "root")
    reply = alice.say(room, "reply", **relating("m.thread", root))
    wanted = json.dumps({"related_by_rel_types": ["m.thread"]})
    assert alice.texts(room, filter=wanted) == ["root"]
    alice.redact(room, reply)
    assert alice.texts(room, filter=wanted) == []

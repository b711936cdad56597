"""POST /search."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Reply
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def try_search(who: Syncer, term: str, next_batch: str | None = None, **criteria: Any) -> Reply:
    body = {"search_categories": {"room_events": {"search_term": term, "order_by": "recent", **criteria}}}
    query = {"next_batch": next_batch} if next_batch else None
    return who.here.request("POST", f"{V3}/search", body, query)


def search(who: Syncer, term: str, next_batch: str | None = None, **criteria: Any) -> Any:
    reply = try_search(who, term, next_batch, **criteria)
    assert reply.status == 200, reply.text
    return reply.json["search_categories"]["room_events"]


def found(who: Syncer, term: str, **criteria: Any) -> list[str]:
    return [each["result"]["event_id"] for each in search(who, term, **criteria)["results"]]


def index(site: SyncSite) -> None:
    """What is done in the background."""
    result_of(site.app.searches.index.step())


def edit(who: Syncer, room: str, event_id: str, text: str) -> str:
    relation = {"rel_type": "m.replace", "event_id": event_id}
    new = {"msgtype": "m.text", "body": text}
    who.sync_site.clock.advance(0.001)
    return who.say(room, f"* {text}", **{"m.new_content": new, "m.relates_to": relation})


def test_messages_are_found_by_their_words_the_latest_first(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create()
    first = alice.say(room, "Martians are coming, men!")
    alice.say(room, "Nothing of the sort")
    site.clock.advance(1)
    last = alice.say(room, "men against MARTIANS")
    answer = search(alice, "martians men")
    assert [each["result"]["event_id"] for each in answer["results"]] == [last, first]
    assert answer["count"] == 2
    assert answer["highlights"] == ["martians", "men"]
    assert "next_batch" not in answer


def test_behind_a_full_page_there_is_another_even_if_nothing_is_in_it(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create()
    said = alice.say(room, "Martians")
    answer = search(alice, "martians", filter={"limit": 1})
    assert [each["result"]["event_id"] for each in answer["results"]] == [said]
    further = search(alice, "martians", answer["next_batch"], filter={"limit": 1})
    assert further["results"] == []
    assert "next_batch" not in further


@pytest.mark.parametrize(
    ("said", "term"),
    [
        ("今日は天気がいいですね", "天気"),
        ("我爱北京天安门", "京"),
        ("unbelievable", "liev"),
        ("Café Müller", "cafe muller"),
        ("cafe muller", "CAFÉ"),
        ("ﾃｽﾄ", "テスト"),
        ("한국어를 배워요", "국어"),
        ("well done 🎉", "🎉"),
        ("look at https://example.org/some_page", "example.org"),
        ("hi all", "h"),
        ("ｆｕｌｌ width", "full"),
    ],
)
def test_scripts_accents_parts_and_pictures_are_found(site: SyncSite, said: str, term: str) -> None:
    alice = site.person("alice")
    room = alice.create()
    event_id = alice.say(room, said)
    alice.say(room, "something else")
    assert found(alice, term) == [event_id]


def test_one_or_two_letters_are_looked_for_at_the_beginning_of_words(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create()
    alice.say(room, "a ship")
    event_id = alice.say(room, "the hippo")
    assert found(alice, "hi") == [event_id]
    assert found(alice, "?!") == []


def test_whole_words_rank_before_parts(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create()
    whole = alice.say(room, "the car")
    begins = alice.say(room, "a cart")
    inside = alice.say(room, "scarf")
    for page in (
        found(alice, "car", order_by="rank"),
        found(alice, "car", order_by="rank", filter={"limit": 3}),
    ):
        assert page == [whole, begins, inside]


def test_names_and_topics_of_rooms_are_found_by_their_keys(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create(name="Orchids")
    topic = alice.set_state(room, "m.room.topic", {"topic": "About orchids"})
    said = alice.say(room, "orchids!")
    assert len(found(alice, "orchids")) == 3
    assert found(alice, "orchids", keys=["content.topic"]) == [topic]
    assert found(alice, "orchids", keys=["content.body"]) == [said]
    assert try_search(alice, "orchids", keys=["content.other"]).errcode == "M_BAD_JSON"


def test_filters_hold(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    one, two = alice.public_room(), alice.public_room()
    bob.join(one)
    here = alice.say(one, "tulip")
    there = alice.say(two, "tulip", url="mxc://test/a")
    his = bob.say(one, "tulip")
    assert set(found(alice, "tulip")) == {here, there, his}
    assert set(found(alice, "tulip", filter={"rooms": [one]})) == {here, his}
    assert found(alice, "tulip", filter={"not_rooms": [one]}) == [there]
    assert found(alice, "tulip", filter={"senders": [bob.user_id]}) == [his]
    assert found(alice, "tulip", filter={"contains_url": True}) == [there]
    assert found(alice, "tulip", filter={"types": ["m.room.*"], "not_senders": [alice.user_id]}) == [his]


def test_filters_by_what_relates_to_a_message_hold(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create()
    root, _ = alice.say(room, "tulip"), alice.say(room, "tulip alone")
    alice.say(room, "reply", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    assert found(alice, "tulip", filter={"related_by_rel_types": ["m.thread"]}) == [root]
    assert found(alice, "tulip", filter={"related_by_senders": ["@x:test"]}) == []


def test_who_has_not_been_in_a_room_finds_nothing_there(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.create()
    alice.say(room, "secret")
    assert search(bob, "secret")["count"] == 0


def test_who_left_finds_what_was_said_before_and_who_is_banned_nothing(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    before = alice.say(room, "parrot")
    bob.act("leave", room)
    alice.say(room, "parrot again")
    assert found(bob, "parrot") == [before]
    alice.act("ban", room, user_id=bob.user_id)
    assert found(bob, "parrot") == []


def test_messages_that_the_history_hides_are_neither_found_nor_counted(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    alice.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
    alice.say(room, "walrus")
    bob.join(room)
    later = alice.say(room, "walrus two")
    answer = search(bob, "walrus")
    assert [each["result"]["event_id"] for each in answer["results"]] == [later]
    assert answer["count"] == 1


def test_encrypted_rooms_are_left_out(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create()
    alice.say(room, "lantern")
    alice.set_state(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert found(alice, "lantern") == []


def test_ignored_users_are_not_found(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    bob.say(room, "spam")
    alice.put_account_data("m.ignored_user_list", {"ignored_users": {bob.user_id: {}}})
    assert found(alice, "spam") == []


def test_redacted_messages_leave_the_index_at_once(site: SyncSite, test_database: TestDatabase) -> None:
    alice = site.person("alice")
    room = alice.create()
    event_id = alice.say(room, "mistake")
    index(site)
    assert found(alice, "mistake") == [event_id]
    alice.redact(room, event_id)
    assert test_database.rows("select words from message_search where words like %s", "%mistake%") == []
    assert found(alice, "mistake") == []


def test_a_redaction_before_the_index_came_by_leaves_nothing(
    site: SyncSite, test_database: TestDatabase
) -> None:
    alice = site.person("alice")
    room = alice.create()
    alice.redact(room, alice.say(room, "mistake"))
    assert found(alice, "mistake") == []
    index(site)
    assert test_database.rows("select words from message_search where words like %s", "%mistake%") == []


def test_edited_messages_are_found_once_by_their_new_content(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    event_id = alice.say(room, "the old apple")
    edit(alice, room, event_id, "the wrong plum apple")
    last = edit(alice, room, event_id, "the new pear apple")
    edit(bob, room, event_id, "forged cherry")
    assert found(alice, "pear") == [event_id]
    assert found(alice, "apple") == [event_id]
    assert found(alice, "old") == found(alice, "plum") == []
    assert event_id not in found(alice, "cherry")
    alice.redact(room, last)
    assert found(alice, "plum") == [event_id]


def test_what_the_index_has_not_come_to_is_found_all_the_same(
    site: SyncSite, test_database: TestDatabase
) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    first = alice.say(room, "a ripe apple")
    index(site)
    bob.join(room)
    site.clock.advance(1)
    later = [bob.say(room, text) for text in ("Apple pie", "pear", "ÄPFEL: apple!")]
    assert found(alice, "apple") == [later[2], later[0], first]
    assert found(alice, "apple", order_by="rank") == [later[0], later[2], first]
    assert found(alice, "apfel") == [later[2]]
    assert found(alice, "apple", filter={"senders": [alice.user_id]}) == [first]
    assert len(test_database.rows("select words from message_search where type = 'm.room.message'")) == 1
    before = search(alice, "apple", order_by="rank")
    index(site)
    assert search(alice, "apple", order_by="rank") == before


def test_an_edit_that_the_index_has_not_come_to_takes_the_place_of_what_it_has(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create()
    event_id = alice.say(room, "plum")
    index(site)
    edit(alice, room, event_id, "pear")
    assert found(alice, "plum") == []
    assert found(alice, "pear") == [event_id]


def test_pages_and_groups_go_on_where_they_ended(site: SyncSite) -> None:
    alice = site.person("alice")
    rooms = [alice.create(), alice.create()]
    said = [alice.say(rooms[number % 2], f"page {number}") for number in range(7)]
    groupings = {"group_by": [{"key": "room_id"}, {"key": "sender"}]}
    for order in ("recent", "rank"):
        wish: dict[str, Any] = {"order_by": order, "filter": {"limit": 3}, "groupings": groupings}
        page = search(alice, "page", **wish)
        first = [each["result"]["event_id"] for each in page["results"]]
        groups = page["groups"]["room_id"]
        assert sorted(event_id for group in groups.values() for event_id in group["results"]) == sorted(first)
        assert {group["order"] for group in groups.values()} == set(range(len(groups)))
        alice.say(rooms[0], "page of later")
        within = search(alice, "page", groups[rooms[1]]["next_batch"], **{**wish, "filter": {}})
        assert {each["result"]["room_id"] for each in within["results"]} == {rooms[1]}
        collected = list(first)
        while "next_batch" in page:
            page = search(alice, "page", page["next_batch"], **wish)
            assert page["count"] >= 7
            collected += [each["result"]["event_id"] for each in page["results"]]
        assert set(said) <= set(collected)
        assert len(collected) == len(set(collected))


def test_results_come_with_context_profiles_and_state(site: SyncSite) -> None:
    alice = site.person("alice")
    room = alice.create(name="Here")
    said = [alice.say(room, text) for text in ("one", "two", "needle", "three")]
    context = {"before_limit": 1, "after_limit": 5, "include_profile": True}
    answer = search(alice, "needle", event_context=context, include_state=True)
    (result,) = answer["results"]
    around = result["context"]
    assert [event["event_id"] for event in around["events_before"]] == [said[1]]
    assert [event["event_id"] for event in around["events_after"]] == [said[3]]
    assert around["profile_info"] == {alice.user_id: {"displayname": "alice"}}
    assert alice.texts(room, from_=around["start"], limit=1) == ["one"]
    assert {event["type"] for event in answer["state"][room]} >= {"m.room.create", "m.room.name"}


def test_a_room_that_is_asked_for_brings_the_room_that_it_replaced(site: SyncSite) -> None:
    alice = site.person("alice")
    old = alice.create()
    said = alice.say(old, "heirloom")
    reply = alice.here.post(f"{V3}/rooms/{old}/upgrade", {"new_version": "11"})
    new = reply.json["replacement_room"]
    assert found(alice, "heirloom", filter={"rooms": [new]}) == [said]


def test_what_is_indexed_survives_a_restart_and_can_be_made_anew(
    site: SyncSite, test_database: TestDatabase
) -> None:
    alice = site.person("alice")
    room = alice.create()
    event_id = alice.say(room, "lasting")
    index(site)
    assert found(alice, "lasting") == [event_id]
    site.start()
    later = alice.here.put(
        f"{V3}/rooms/{room}/send/m.room.message/z", {"msgtype": "m.text", "body": "lasting 2"}
    )
    assert set(found(alice, "lasting")) == {event_id, later.json["event_id"]}
    result_of(site.app.searches.index.rebuild())
    assert test_database.rows("select * from message_search") == []
    assert set(found(alice, "lasting")) == {event_id, later.json["event_id"]}


def test_events_that_take_no_position_are_indexed_from_the_backlog(
    site: SyncSite, test_database: TestDatabase
) -> None:
    alice = site.person("alice")
    room = alice.create()
    event_id = alice.say(room, "backfilled")
    alice.say(room, "after it")
    test_database.rows("update events set pos = null, ordering = -5 where event_id = %s", event_id)
    test_database.rows(
        "insert into message_search_backlog select nid from events where event_id = %s", event_id
    )
    site.start()
    assert found(alice, "backfilled") == [event_id]
    index(site)
    assert found(alice, "backfilled") == [event_id]
    assert test_database.rows("select * from message_search_backlog") == []


def test_tokens_that_no_search_gave_are_refused(site: SyncSite) -> None:
    alice = site.person("alice")
    for token in ("nonsense", "e30", "WyJhIl0", "WzEsMSwxLDEsMSwxLCJzZW5kZXIiLDVd"):
        assert try_search(alice, "x", token).errcode == "M_INVALID_PARAM"


def test_guests_are_refused(database: Database) -> None:
    site = SyncSite(database, {"registration": {"mode": "open", "guests": True}})
    token = site.http.post(f"{V3}/register", {}, {"kind": "guest"}).json["access_token"]
    body = {"search_categories": {"room_events": {"search_term": "x"}}}
    assert site.http.with_token(token).post(f"{V3}/search", body).errcode == "M_GUEST_ACCESS_FORBIDDEN"


def test_a_server_that_does_not_search_does_not_offer_it(database: Database) -> None:
    site = SyncSite(database, {"search": {"enabled": False}})
    assert try_search(site.person("alice"), "x").errcode == "M_UNRECOGNIZED"

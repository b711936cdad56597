"""Subscriptions to threads.

https://github.com/matrix-org/matrix-spec-proposals/pull/4306,
https://github.com/matrix-org/matrix-spec-proposals/pull/4308
"""

from typing import Any
from urllib.parse import quote

import pytest

from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sliding_client import Slider
from tests.client_api.sync_site import Syncer, SyncSite
from tests.client_api.test_unread import by_thread, in_thread, queries_of, two, unread
from tests.harness.client import Reply

ON = {"thread_subscriptions": {"enabled": True}}
UNSTABLE = "/_matrix/client/unstable"
EXTENSION = "io.element.msc4308.thread_subscriptions"
RULES = f"{V3}/pushrules/global/postcontent/"


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database, ON)


def path_of(room: str, thread: str) -> str:
    """The subscription to a thread."""
    quoted = quote(room, safe=""), quote(thread, safe="")
    return f"{UNSTABLE}/io.element.msc4306/rooms/{quoted[0]}/thread/{quoted[1]}/subscription"


def subscribe(person: Syncer, room: str, thread: str, **body: Any) -> Reply:
    """Subscribe."""
    return person.here.put(path_of(room, thread), body)


def unsubscribe(person: Syncer, room: str, thread: str) -> None:
    """Be subscribed no more."""
    reply = person.here.request("DELETE", path_of(room, thread))
    assert (reply.status, reply.json) == (200, {})


def subscription(person: Syncer, room: str, thread: str) -> Any:
    """What is told of a subscription; None for none."""
    reply = person.here.get(path_of(room, thread))
    assert reply.status in (200, 404), reply.text
    return reply.json if reply.status == 200 else None


def told(slider: Slider, **wishes: Any) -> Any:
    """What sliding sync tells of subscriptions."""
    answer = slider.sync(extensions={EXTENSION: {"enabled": True, **wishes}})
    return answer["extensions"].get(EXTENSION)


def page(person: Syncer, **query: Any) -> Any:
    """A page of changes."""
    query = {name.rstrip("_"): value for name, value in query.items()}
    reply = person.here.get(f"{UNSTABLE}/io.element.msc4308/thread_subscriptions", {"dir": "b", **query})
    assert reply.status == 200, reply.text
    return reply.json


def without_stamps(rooms: Any) -> Any:
    """Subscriptions without what orders them."""
    return {
        room: {
            thread: {name: value for name, value in each.items() if name != "bump_stamp"}
            for thread, each in threads.items()
        }
        for room, threads in rooms.items()
    }


def test_a_thread_is_subscribed_to_and_left(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "Where do we go?")
    assert subscription(anna, room, root) is None
    assert subscribe(anna, room, root).json == {}
    assert subscription(anna, room, root) == {"automatic": False}
    assert subscription(ben, room, root) is None
    unsubscribe(anna, room, root)
    unsubscribe(anna, room, root)
    assert subscription(anna, room, root) is None


def test_an_automatic_subscription_gives_way_to_the_users_own(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    cause = ben.say(room, "Anna!", **in_thread(root))
    assert subscribe(anna, room, root, automatic=cause).status == 200
    assert subscription(anna, room, root) == {"automatic": True}
    assert subscribe(anna, room, root).status == 200
    assert subscribe(anna, room, root, automatic=cause).status == 200
    assert subscription(anna, room, root) == {"automatic": False}


def test_what_was_said_before_a_user_left_a_thread_does_not_subscribe_them_again(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    cause = ben.say(room, "Anna!", **in_thread(root))
    subscribe(anna, room, root, automatic=cause)
    unsubscribe(anna, room, root)
    for _ in range(2):
        reply = subscribe(anna, room, root, automatic=cause)
        assert (reply.status, reply.errcode) == (409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION")
        site.start()
    assert subscription(anna, room, root) is None
    later = ben.say(room, "Anna?", **in_thread(root))
    assert subscribe(anna, room, root, automatic=later).status == 200
    assert subscription(anna, room, root) == {"automatic": True}


def test_a_cause_has_to_be_in_the_thread(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    elsewhere = ben.say(room, "Anna!", **in_thread(ben.say(room, "another")))
    for event_id in (elsewhere, root, ben.say(room, "see above", **in_thread(root, "m.reference"))):
        reply = subscribe(anna, room, root, automatic=event_id)
        assert (reply.status, reply.errcode) == (400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD")
    assert subscribe(anna, room, root, automatic="$unknown").status == 404
    assert subscribe(anna, room, root, automatic=True).errcode == "M_BAD_JSON"


def test_a_thread_that_a_user_may_not_see_is_not_there(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    (carl,) = site.people("carl")
    for person, thread in ((carl, root), (anna, "$unknown")):
        for method in ("GET", "PUT", "DELETE"):
            reply = person.here.request(method, path_of(room, thread), {} if method == "PUT" else None)
            assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")


def test_nobody_subscribes_where_it_is_switched_off(database: Database) -> None:
    site = SyncSite(database)
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    assert subscribe(anna, room, root).errcode == "M_UNRECOGNIZED"
    features = site.http.get("/_matrix/client/versions").json["unstable_features"]
    assert not any("msc4306" in name for name in features)
    ben.say(room, "in it", **in_thread(root))
    assert by_thread(anna, room) == {"main": 1, root: 1}
    assert anna.here.get(RULES).json == []
    path = f"{RULES}.io.element.msc4306.rule.subscribed_thread"
    assert anna.here.get(path).status == 404
    assert anna.here.put(f"{path}/enabled", {"enabled": False}).status == 404
    assert told(Slider(anna)) is None


def test_versions_tell_of_it(site: SyncSite) -> None:
    features = site.http.get("/_matrix/client/versions").json["unstable_features"]
    assert features["org.matrix.msc4306"]
    assert features["io.element.msc4306"]


def test_the_rules_for_threads_stand_before_those_for_rooms(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    rules = anna.here.get(f"{V3}/pushrules/").json["global"]
    assert list(rules) == ["override", "content", "postcontent", "room", "sender", "underride"]
    ids = [rule["rule_id"] for rule in rules["postcontent"]]
    assert ids == [f".io.element.msc4306.rule.{name}subscribed_thread" for name in ("un", "")]
    data = anna.first_sync()["account_data"]["events"]
    (event,) = [each for each in data if each["type"] == "m.push_rules"]
    assert event["content"]["global"] == rules
    assert anna.here.get(f"{V3}/user/{anna.user_id}/account_data/m.push_rules").json == event["content"]


def test_nobody_makes_rules_of_that_kind_but_they_may_be_switched_off(site: SyncSite) -> None:
    anna, ben, room = two(site)
    reply = anna.here.put(f"{RULES}mine", {"actions": ["notify"], "conditions": []})
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")
    root = ben.say(room, "root")
    ben.say(room, "in it", **in_thread(root))
    assert unread(anna, room) == (1, 0)
    path = f"{RULES}.io.element.msc4306.rule.unsubscribed_thread/enabled"
    assert anna.here.put(path, {"enabled": False}).status == 200
    assert anna.here.get(path).json == {"enabled": False}
    assert unread(anna, room) == (2, 0)
    ben.say(room, "in it", **in_thread(root))
    assert by_thread(anna, room)[root] == 2


def test_only_threads_that_a_user_follows_notify(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root, other = ben.say(room, "root"), ben.say(room, "other")
    subscribe(anna, room, root)
    ben.say(room, "in it", **in_thread(root))
    ben.say(room, "beside", **in_thread(other))
    assert unread(anna, room) == (3, 0)
    assert by_thread(anna, room) == {"main": 2, root: 1}
    site.forget()
    site.start()
    assert by_thread(anna, room) == {"main": 2, root: 1}


def test_a_mention_notifies_in_any_thread(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    ben.say(room, "Anna", **in_thread(root), **{"m.mentions": {"user_ids": [anna.user_id]}})
    assert unread(anna, room) == (2, 1)


def test_a_followed_thread_notifies_in_a_muted_room(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    anna.here.put(f"{V3}/pushrules/global/room/{quote(room, safe='')}", {"actions": []})
    subscribe(anna, room, root)
    assert unread(anna, room) == (0, 0)
    ben.say(room, "in it", **in_thread(root))
    ben.say(room, "out of it")
    assert unread(anna, room) == (1, 0)


def test_counts_follow_the_subscription_at_once(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    ben.say(room, "in it", **in_thread(root))
    assert unread(anna, room) == (1, 0)
    subscribe(anna, room, root)
    assert anna.joined(room)["unread_notifications"]["notification_count"] == 2
    slider = Slider(anna)
    assert slider.first()["rooms"][room]["notification_count"] == 2
    unsubscribe(anna, room, root)
    assert slider.sync()["rooms"][room]["notification_count"] == 1
    assert unread(anna, room) == (1, 0)


def test_what_is_said_outside_of_threads_costs_no_query_more(site: SyncSite) -> None:
    anna, ben, room = two(site)
    anna.sync()
    ben.say(room, "hello")
    with queries_of(site) as asked:
        assert anna.joined(room)["unread_notifications"]["notification_count"] == 1
    assert asked == []


def test_a_thread_is_asked_for_once_whoever_reads_it(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    anna.sync()
    ben.say(room, "one", **in_thread(root))
    anna.sync()
    ben.say(room, "two", **in_thread(root))
    with queries_of(site) as asked:
        anna.sync()
    assert asked == []


def test_listed_notifications_are_those_of_followed_threads(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root, other = ben.say(room, "root"), ben.say(room, "other")
    subscribe(anna, room, root)
    ben.say(room, "in it", **in_thread(root))
    ben.say(room, "beside", **in_thread(other))
    found = anna.here.get(f"{V3}/notifications").json["notifications"]
    assert [each["event"]["content"]["body"] for each in found] == ["in it", "other", "root"]


def test_every_device_learns_of_subscriptions(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root, other = ben.say(room, "root"), ben.say(room, "other")
    phone, desk = Slider(anna, "phone"), Slider(anna, "desk")
    assert told(phone) is None
    assert told(desk) is None
    subscribe(anna, room, root)
    subscribe(anna, room, other, automatic=ben.say(room, "Anna", **in_thread(other)))
    unsubscribe(anna, room, root)
    for slider in (phone, desk, Slider(anna, "new")):
        news = told(slider)
        assert without_stamps(news["subscribed"]) == {room: {other: {"automatic": True}}}
        assert without_stamps(news["unsubscribed"]) == {room: {root: {}}}
        assert news["unsubscribed"][room][root]["bump_stamp"] > news["subscribed"][room][other]["bump_stamp"]
        assert told(slider) is None


def test_a_waiting_device_is_told_at_once(site: SyncSite) -> None:
    anna, ben, room = two(site)
    root = ben.say(room, "root")
    slider = Slider(anna)
    told(slider)
    poll = slider.poll(extensions={EXTENSION: {"enabled": True}})
    subscribe(anna, room, root)
    site.turn()
    assert room in poll.reply.json["extensions"][EXTENSION]["subscribed"]


def test_more_changes_than_an_answer_takes_are_paged(site: SyncSite) -> None:
    anna, ben, room = two(site)
    slider = Slider(anna)
    told(slider)
    start = slider.pos
    roots = [ben.say(room, f"root {number}") for number in range(5)]
    for root in roots:
        subscribe(anna, room, root)
    news = told(slider, limit=2)
    assert set(news["subscribed"][room]) == set(roots[3:])
    more = page(anna, from_=news["prev_batch"], to=start, limit=2)
    assert set(more["subscribed"][room]) == set(roots[1:3])
    last = page(anna, from_=more["end"], to=start, limit=2)
    assert set(last["subscribed"][room]) == {roots[0]}
    assert "end" not in last
    assert set(page(anna)["subscribed"][room]) == set(roots)
    assert page(anna, to=slider.pos) == {}


def test_pages_are_asked_for_properly(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    path = f"{UNSTABLE}/io.element.msc4308/thread_subscriptions"
    queries: tuple[tuple[dict[str, str | int], str], ...] = (
        ({}, "M_MISSING_PARAM"),
        ({"dir": "f"}, "M_INVALID_PARAM"),
        ({"dir": "b", "limit": 0}, "M_INVALID_PARAM"),
        ({"dir": "b", "from": "x"}, "M_INVALID_PARAM"),
        ({"dir": "b", "to": "m1!x"}, "M_INVALID_PARAM"),
    )
    for query, errcode in queries:
        assert anna.here.get(path, query).errcode == errcode
    wrong = {EXTENSION: {"enabled": True, "limit": 0}}
    assert Slider(anna).try_sync(extensions=wrong).errcode == "M_INVALID_PARAM"

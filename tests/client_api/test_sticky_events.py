"""Sticky events.

https://github.com/matrix-org/matrix-spec-proposals/pull/4354,
https://github.com/matrix-org/matrix-spec-proposals/pull/4480
"""

from typing import Any
from urllib.parse import quote

import pytest

from storage.database import Database
from storage.tables.sticky_events import StickyEvents
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sliding_client import Slider, rooms_list
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Reply
from tests.harness.memory import result_of

DURATION = "org.matrix.msc4354.sticky_duration_ms"
DELAYED = "/_matrix/client/unstable/org.matrix.msc4140"
EXTENSION = "org.matrix.msc4354.sticky_events"
LEFT = "msc4354_sticky_duration_ttl_ms"
MINUTE = 60_000
ONE: dict[str, Any] = {"room": {"timeline": {"limit": 1}}}


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def try_stick(person: Syncer, room: str, text: str, duration: int | str = 10 * MINUTE) -> Reply:
    """Try to send something sticky."""
    path = room_path(room, "send", "m.rtc.member", person.sync_site.next_transaction())
    return person.here.request("PUT", path, {"body": text}, {DURATION: duration})


def stick(person: Syncer, room: str, text: str, duration: int = 10 * MINUTE) -> str:
    """Send something sticky; its ID."""
    reply = try_stick(person, room, text, duration)
    assert reply.status == 200, reply.text
    return str(reply.json["event_id"])


def event(person: Syncer, room: str, event_id: str) -> Any:
    """An event."""
    reply = person.here.get(room_path(room, "event", event_id))
    assert reply.status == 200, reply.text
    return reply.json


def sticky(room: Any) -> list[str]:
    """The texts in the section of a room."""
    events = room.get("msc4354_sticky", {}).get("events", [])
    for each in events:
        assert each["unsigned"][LEFT] > 0
        assert "room_id" not in each
    return [each["content"]["body"] for each in events]


def bodies(room: Any) -> list[str]:
    """The texts in the timeline."""
    return [each["content"]["body"] for each in room["timeline"]["events"] if "body" in each["content"]]


def told(
    slider: Slider, since: str | None = None, limit: int = 100, **body: Any
) -> tuple[dict[str, Any], str]:
    """What the extension tells by room, and its token."""
    wishes = {"enabled": True, "limit": limit} | ({} if since is None else {"since": since})
    extensions = slider.sync(extensions={EXTENSION: wishes}, **body)["extensions"]
    answer = extensions.get(EXTENSION, {"rooms": {}, "next_batch": since})
    rooms = {
        room: [each["content"]["body"] for each in found["events"]] for room, found in answer["rooms"].items()
    }
    return rooms, answer["next_batch"]


def flood(person: Syncer, room: str, count: int = 12) -> None:
    """Say so much that what was before is out of sight."""
    for number in range(count):
        person.say(room, f"talk {number}")


def test_an_event_says_how_long_it_is_sticky(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    room = anna.public_room()
    event_id = stick(anna, room, "I am in a call")
    shown = event(anna, room, event_id)
    assert shown["msc4354_sticky"] == {"duration_ms": 10 * MINUTE}
    assert shown["unsigned"][LEFT] == 10 * MINUTE
    site.clock.advance(60)
    assert event(anna, room, event_id)["unsigned"][LEFT] == 9 * MINUTE
    site.clock.advance(9 * 60)
    late = event(anna, room, event_id)
    assert LEFT not in late["unsigned"]
    assert late["msc4354_sticky"] == {"duration_ms": 10 * MINUTE}
    assert site.http.get("/_matrix/client/versions").json["unstable_features"]["org.matrix.msc4354"]


def test_nothing_is_sticky_for_more_than_an_hour(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    room = anna.public_room()
    shown = event(anna, room, stick(anna, room, "long", 24 * 60 * MINUTE))
    assert shown["msc4354_sticky"] == {"duration_ms": 60 * MINUTE}
    for wrong in (-1, "soon", ""):
        assert try_stick(anna, room, "wrong", wrong).errcode == "M_INVALID_PARAM"
    plain = event(anna, room, anna.say(room, "plain"))
    assert "msc4354_sticky" not in plain
    assert LEFT not in plain["unsigned"]


def test_state_is_sticky_too_and_set_anew(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    room = anna.public_room()
    path = room_path(room, "state", "x.call", "key")
    sent = [anna.here.request("PUT", path, {"a": 1}, {DURATION: MINUTE}).json["event_id"] for _ in range(2)]
    assert sent[0] != sent[1]
    assert event(anna, room, sent[1])["msc4354_sticky"] == {"duration_ms": MINUTE}


def test_a_delayed_event_is_sticky_from_when_it_is_sent(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    room = anna.public_room()
    path = f"{DELAYED}/rooms/{quote(room, safe='')}/delayed_event/m.rtc.member/t1"
    body = {"content": {"body": "later"}, "delay_ms": 1000}
    delay_id = anna.here.request("PUT", path, body, {DURATION: 5 * MINUTE}).json["delay_id"]
    site.clock.advance(120)
    site.start()
    result_of(site.app.delayed_events.work._due.send_due())
    site.turn()
    sent = anna.here.get(f"{DELAYED}/delayed_events/{delay_id}").json["event_id"]
    shown = event(anna, room, sent)
    assert shown["unsigned"][LEFT] == 5 * MINUTE


def test_a_sync_tells_what_is_sticky_beside_its_timeline(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    anna.sync()
    stick(ben, room, "sticky")
    flood(ben, room)
    news = anna.joined(room)
    assert news["timeline"]["limited"] is True
    assert sticky(news) == ["sticky"]
    assert anna.joined(room) == {}
    stick(ben, room, "in sight")
    news = anna.joined(room)
    assert bodies(news) == ["in sight"]
    assert sticky(news) == []
    first = anna.first_sync(filter=ONE)["rooms"]["join"][room]
    assert bodies(first) == ["in sight"]
    assert sticky(first) == ["sticky"]


def test_memory_and_database_tell_the_same(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    anna.sync()
    since = anna.since
    stick(ben, room, "sticky")
    flood(ben, room)
    live = anna.joined(room)
    site.forget()
    site.start()
    again = anna.sync(since)["rooms"]["join"][room]
    assert sticky(live) == sticky(again) == ["sticky"]


def test_a_filter_of_the_timeline_does_not_keep_it_away(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    wish: dict[str, Any] = {"room": {"timeline": {"not_types": ["m.rtc.member"]}}}
    anna.sync(filter=wish)
    stick(ben, room, "sticky")
    news = anna.joined(room, filter=wish)
    assert bodies(news) == []
    assert sticky(news) == ["sticky"]
    assert sticky(anna.first_sync(filter=wish)["rooms"]["join"][room]) == ["sticky"]


def test_what_is_sticky_no_more_is_not_told(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    anna.sync()
    stick(ben, room, "short", MINUTE)
    gone = stick(ben, room, "redacted")
    ben.redact(room, gone)
    flood(ben, room)
    site.clock.advance(61)
    since = anna.since
    assert sticky(anna.joined(room)) == []
    site.start()
    assert sticky(anna.sync(since)["rooms"]["join"][room]) == []
    assert sticky(anna.first_sync()["rooms"]["join"][room]) == []
    assert "msc4354_sticky" not in event(anna, room, gone)


def test_those_whom_one_ignores_are_not_heard(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {ben.user_id: {}}})
    anna.sync()
    stick(ben, room, "sticky")
    flood(anna, room)
    assert sticky(anna.joined(room)) == []
    assert sticky(anna.first_sync()["rooms"]["join"][room]) == []


def test_who_joins_sees_what_is_sticky_whatever_the_history_hides(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    hidden = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room = anna.public_room(initial_state=[hidden])
    ben.sync()
    slider, last = Slider(ben), {"all": rooms_list(limit=1)}
    _, token = told(slider, lists=last)
    event_id = stick(anna, room, "sticky")
    flood(anna, room)
    ben.join(room)
    since = ben.since
    news = ben.joined(room, filter=ONE)
    assert bodies(news) == []
    assert sticky(news) == ["sticky"]
    assert ben.joined(room, filter=ONE) == {}
    assert bodies(ben.sync(since)["rooms"]["join"][room]) == ["sticky"]
    rooms, token = told(slider, token, lists=last)
    assert rooms == {room: ["sticky"]}
    assert told(slider, token, lists=last)[0] == {}
    assert event(ben, room, event_id)["content"] == {"body": "sticky"}
    site.clock.advance(601)
    assert ben.here.get(room_path(room, "event", event_id)).status == 404


def test_sliding_sync_tells_what_is_sticky_in_rooms_out_of_sight(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    far, near = anna.public_room(), anna.public_room()
    for room in (far, near):
        ben.join(room)
    stick(anna, far, "far")
    flood(anna, near)
    small = {"all": rooms_list(0, 0, limit=1)}
    slider = Slider(ben)
    rooms, token = told(slider, lists=small)
    assert rooms == {far: ["far"]}
    assert told(slider, token, lists=small)[0] == {}
    stick(anna, far, "more")
    flood(anna, near)
    assert told(slider, token, lists=small)[0] == {far: ["more"]}
    assert told(Slider(ben, "spaces"), lists={"spaces": rooms_list(room_types=["m.space"])})[0] == {}


def test_sliding_sync_does_not_tell_twice_what_a_timeline_tells(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    room = anna.public_room()
    stick(anna, room, "sticky")
    assert told(Slider(anna))[0] == {}


def test_more_than_an_answer_takes_comes_with_the_next(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    for number in range(5):
        stick(anna, room, f"sticky {number}")
    flood(anna, room)
    slider = Slider(ben)
    heard: list[str] = []
    token: str | None = None
    for _ in range(3):
        rooms, token = told(slider, token, limit=2)
        heard += rooms[room]
    assert heard == [f"sticky {number}" for number in range(5)]
    assert told(slider, token)[0] == {}
    for wrong in ({"limit": 0}, {"since": "x"}):
        body = {EXTENSION: {"enabled": True, **wrong}}
        assert slider.try_sync(extensions=body).errcode == "M_INVALID_PARAM"


def test_a_client_that_waits_is_told_the_rest_at_once(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    for number in range(3):
        stick(anna, room, f"sticky {number}")
    flood(anna, room)
    slider = Slider(ben)
    _, token = told(slider, limit=2)
    poll = slider.poll(extensions={EXTENSION: {"enabled": True, "since": token}})
    site.turn()
    rest = poll.reply.json["extensions"][EXTENSION]
    assert [each["content"]["body"] for each in rest["rooms"][room]["events"]] == ["sticky 2"]
    waiting = slider.poll(extensions={EXTENSION: {"enabled": True, "since": rest["next_batch"]}})
    site.turn()
    assert not waiting.done
    stick(anna, room, "more")
    site.turn()
    assert waiting.done


def test_what_is_sticky_no_more_is_forgotten(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    room = anna.public_room()
    stick(anna, room, "sticky", MINUTE)
    site.clock.advance(61)

    async def forget() -> list[str]:
        await site.app.delayed_events.work._forget_ended()
        return [*await site.database.read(lambda tx: StickyEvents(tx).rooms(0))]

    assert result_of(forget()) == []


def test_what_erased_users_said_is_shown_to_who_was_there_only(site: SyncSite) -> None:
    anna, bert, carl, dora = site.people("anna", "bert", "carl", "dora")
    room = anna.public_room()
    for person in (bert, carl):
        person.join(room)
    stick(anna, room, "of the others")
    stick(carl, room, "of the erased")
    flood(anna, room)
    auth = {"type": "m.login.password", "user": "carl", "password": PASSWORD}
    assert carl.http.post(f"{V3}/account/deactivate", {"auth": auth, "erase": True}).status == 200
    dora.join(room)
    assert sticky(dora.first_sync()["rooms"]["join"][room]) == ["of the others"]
    assert told(Slider(dora))[0][room] == ["of the others"]
    site.start()
    bert.reconnect()
    assert sticky(bert.first_sync()["rooms"]["join"][room]) == ["of the others", "of the erased"]
    assert told(Slider(bert))[0][room] == ["of the others", "of the erased"]

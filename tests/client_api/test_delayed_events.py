"""Delayed events. https://github.com/matrix-org/matrix-spec-proposals/pull/4140"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from homeserver.app.outside import Outside
from storage.database import Database
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sync_site import Syncer, SyncSite, no_services
from tests.harness.client import Reply
from tests.harness.memory import result_of
from tests.harness.outside import Names

UNSTABLE = "/_matrix/client/unstable/org.matrix.msc4140"
DELAY = "org.matrix.msc4140.delay"
CALL = "org.matrix.msc3401.call.member"


class CallSite(SyncSite):
    """A site that sends what is due. After `crash` nothing of the old one runs any more."""

    def start(self) -> None:
        super().start()
        self.app.delayed_events.work.start()

    def rest(self) -> None:
        result_of(self.app.delayed_events.work.stop(), self.turn)

    def again(self) -> None:
        """Stop and start."""
        self.rest()
        self.start()


def new_site(database: Database, **limits: Any) -> CallSite:
    return CallSite(database, {"delayed_events": limits})


@pytest.fixture
def site(database: Database) -> Iterator[CallSite]:
    made = new_site(database)
    yield made
    made.rest()


@pytest.fixture
def alice(site: CallSite) -> Syncer:
    return site.person("alice")


def schedule(
    who: Syncer, room: str, delay_ms: int = 5000, txn: str = "t", type_: str = "m.room.message", **body: Any
) -> Reply:
    path = f"{UNSTABLE}/rooms/{room}/delayed_event/{type_}/{txn}"
    return who.here.put(path, {"delay_ms": delay_ms, "content": {"body": "later"}, **body})


def delay_id_of(reply: Reply) -> str:
    assert reply.status == 200, reply.text
    return str(reply.json["delay_id"])


def manage(site: SyncSite, delay_id: str, action: str) -> Reply:
    """Without an account, as the service does that carries a call."""
    return site.http.post(f"{UNSTABLE}/delayed_events/{delay_id}/{action}")


def lookup(who: Syncer, delay_id: str) -> Any:
    reply = who.here.get(f"{UNSTABLE}/delayed_events/{delay_id}")
    assert reply.status == 200, reply.text
    return reply.json


def scheduled(who: Syncer) -> list[str]:
    listed = who.here.get(f"{UNSTABLE}/delayed_events").json["delayed_events"]
    return [each["delay_id"] for each in listed]


def test_clients_are_told_of_it_and_of_its_limits(site: CallSite, alice: Syncer) -> None:
    assert site.http.get("/_matrix/client/versions").json["unstable_features"]["org.matrix.msc4140"] is True
    capabilities = alice.http.get(f"{V3}/capabilities").json["capabilities"]
    limits = {"max_delay_ms": 86_400_000, "max_scheduled": 100}
    assert capabilities["org.matrix.msc4140.delayed_events"] == limits


def test_a_message_is_sent_when_its_delay_is_over(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    now = site.clock.now_ms()
    delay_id = delay_id_of(schedule(alice, room))
    site.turn(4)
    assert alice.texts(room) == []
    assert lookup(alice, delay_id)["scheduled_at"] == now
    site.turn(2)
    assert alice.texts(room) == ["later"]
    site.turn(60)
    assert alice.texts(room) == ["later"]


def test_clients_that_ask_by_the_query_can_delay_messages_and_state(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    path = room_path(room, "send", "m.room.message", "one")
    http = replace(alice.http, specified=False)
    first = delay_id_of(http.put(path, {"body": "later"}, {DELAY: 5000}))
    assert delay_id_of(http.put(path, {"body": "later"}, {DELAY: 5000})) == first
    delay_id_of(http.put(room_path(room, "state", "m.room.topic", ""), {"topic": "x"}, {DELAY: 5000}))
    assert alice.try_state(room, "m.room.topic").status == 404
    site.turn(6)
    assert alice.texts(room) == ["later"]
    assert alice.state(room, "m.room.topic") == {"topic": "x"}


def test_only_the_sender_sees_the_delay_id(site: CallSite, alice: Syncer) -> None:
    bob = site.person("bob")
    room = alice.public_room()
    bob.join(room)
    delay_id = delay_id_of(schedule(alice, room))
    site.turn(6)
    key = "org.matrix.msc4140.delay_id"
    mine, his = (who.joined(room)["timeline"]["events"][-1]["unsigned"] for who in (alice, bob))
    assert mine[key] == delay_id
    assert key not in his
    assert "transaction_id" not in mine


def test_a_heartbeat_keeps_the_end_of_a_call_away(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    key = f"_{alice.user_id}_{alice.device_id}"
    alice.set_state(room, CALL, {"application": "m.call"}, key)
    leave = delay_id_of(schedule(alice, room, type_=CALL, state_key=key, content={}))
    for _ in range(5):
        site.turn(4)
        assert manage(site, leave, "restart").json == {}
    assert alice.state(room, CALL, key) == {"application": "m.call"}
    site.turn(6)
    assert alice.state(room, CALL, key) == {}
    assert manage(site, leave, "restart").status == 409


def test_what_is_cancelled_is_never_sent(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    delay_id = delay_id_of(schedule(alice, room))
    assert manage(site, delay_id, "cancel").json == {}
    assert manage(site, delay_id, "cancel").json == {}
    site.turn(10)
    assert alice.texts(room) == []
    assert scheduled(alice) == []
    assert manage(site, delay_id, "send").status == 409
    assert manage(site, delay_id, "restart").errcode == "M_UNKNOWN"
    shown = lookup(alice, delay_id)
    assert "finalised_ts" in shown
    assert shown.keys().isdisjoint({"event_id", "error"})


def test_it_can_be_sent_before_it_is_due_and_only_once(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    delay_id = delay_id_of(schedule(alice, room))
    assert manage(site, delay_id, "send").json == {}
    assert manage(site, delay_id, "send").json == {}
    site.turn(10)
    assert alice.texts(room) == ["later"]
    assert manage(site, delay_id, "cancel").status == 409
    shown = lookup(alice, delay_id)
    assert shown["event_id"] == alice.page(room)["chunk"][0]["event_id"]
    assert shown["finalised_ts"] < shown["scheduled_at"] + shown["delay_ms"]


def test_older_clients_manage_by_a_body(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    path = f"{UNSTABLE}/delayed_events/{delay_id_of(schedule(alice, room))}"
    assert site.http.post(path, {"action": "restart"}).json == {}
    assert site.http.post(path, {"action": "explode"}).errcode == "M_BAD_JSON"
    assert site.http.post(path, {"action": "send"}).json == {}
    assert site.http.post(path, {"action": "restart"}).errcode == "M_NOT_FOUND"
    assert alice.texts(room) == ["later"]


def test_there_is_no_endpoint_of_an_action_that_is_none(site: CallSite, alice: Syncer) -> None:
    delay_id = delay_id_of(schedule(alice, alice.create()))
    reply = manage(site, delay_id, "explode")
    assert (reply.status, reply.errcode) == (404, "M_UNRECOGNIZED")
    assert manage(site, delay_id, "cancel").json == {}


def test_nothing_is_lost_and_nothing_sent_twice_by_a_restart(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    for number, delay in enumerate((8000, 4000, 1000)):
        schedule(alice, room, delay, f"t{number}", content={"body": str(delay)})
    site.turn(2)
    site.rest()
    site.clock.advance(20)
    site.start()
    alice.reconnect()
    site.turn(1)
    assert alice.texts(room, "f") == ["1000", "4000", "8000"]
    site.again()
    alice.reconnect()
    site.turn(10)
    assert len(alice.texts(room)) == 3


def test_whether_it_may_be_sent_is_judged_when_it_is(site: CallSite, alice: Syncer) -> None:
    bob = site.person("bob")
    room = alice.public_room()
    too_early = delay_id_of(schedule(bob, room, 1000))
    site.turn(2)
    error = lookup(bob, too_early)["error"]
    assert (error["errcode"], "event_id" in lookup(bob, too_early)) == ("M_FORBIDDEN", False)
    in_time = delay_id_of(schedule(bob, room, 5000, "two"))
    assert manage(site, in_time, "send").errcode == "M_FORBIDDEN"
    bob.join(room)
    site.turn(6)
    assert alice.texts(room) == ["later"]
    assert manage(site, too_early, "cancel").json == {}


def test_a_delayed_redaction_strikes_a_message(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    event_id = alice.say(room, "gone in a minute")
    schedule(alice, room, type_="m.room.redaction", content={"redacts": event_id})
    site.turn(6)
    assert alice.event(room, event_id)["content"] == {}


def test_a_delayed_membership_takes_effect(site: CallSite, alice: Syncer) -> None:
    bob = site.person("bob")
    room = alice.public_room()
    bob.join(room)
    alice.act("ban", room, user_id=bob.user_id)
    content = {"membership": "leave"}
    unban = delay_id_of(schedule(alice, room, type_="m.room.member", state_key=bob.user_id, content=content))
    site.turn(6)
    assert alice.membership(room, bob) == "leave"
    assert (
        lookup(alice, unban)["event_id"] == alice.whole_state(room)["m.room.member", bob.user_id]["event_id"]
    )


def test_state_that_is_so_already_ends_the_delayed_event(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    topic = alice.set_state(room, "m.room.topic", {"topic": "x"})
    same = schedule(alice, room, type_="m.room.topic", state_key="", content={"topic": "x"})
    site.turn(6)
    assert lookup(alice, delay_id_of(same))["event_id"] == topic
    assert scheduled(alice) == []


def test_they_are_listed_by_when_they_are_due(site: CallSite, alice: Syncer) -> None:
    room = alice.create()
    late = delay_id_of(schedule(alice, room, 9000, "late"))
    early = delay_id_of(schedule(alice, room, 7000, "early", type_=CALL, state_key="x"))
    assert scheduled(alice) == [early, late]
    shown = lookup(alice, early)
    assert (shown["type"], shown["state_key"], shown["room_id"]) == (CALL, "x", room)
    assert shown["delay"] == shown["delay_ms"] == 7000
    assert "state_key" not in lookup(alice, late)


def test_nobody_sees_those_of_others(site: CallSite, alice: Syncer) -> None:
    bob = site.person("bob")
    delay_id = delay_id_of(schedule(alice, alice.create()))
    assert bob.http.get(f"{UNSTABLE}/delayed_events/{delay_id}").errcode == "M_NOT_FOUND"
    assert scheduled(bob) == []
    assert site.http.get(f"{UNSTABLE}/delayed_events").errcode == "M_MISSING_TOKEN"
    assert manage(site, "unknown", "send").errcode == "M_NOT_FOUND"


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"delay_ms": 0}, "M_INVALID_PARAM"),
        ({"delay_ms": -5}, "M_INVALID_PARAM"),
        ({"delay_ms": 86_400_001}, "M_FORBIDDEN"),
        ({"delay_ms": "soon"}, "M_BAD_JSON"),
        ({"content": []}, "M_BAD_JSON"),
        ({"content": {"x": 1.5}}, "M_BAD_JSON"),
        ({"content": {"x": "y" * 70_000}}, "M_TOO_LARGE"),
        ({"state_key": "\0"}, "M_BAD_JSON"),
    ],
)
def test_what_makes_no_sense_is_refused(alice: Syncer, body: Mapping[str, Any], errcode: str) -> None:
    path = f"{UNSTABLE}/rooms/!room:test/delayed_event/m.room.message/t"
    assert alice.http.put(path, {"delay_ms": 5000, "content": {}, **body}).errcode == errcode


def test_a_delay_that_is_too_long_is_refused_as_todays_clients_know_it(alice: Syncer) -> None:
    reply = alice.http.put(room_path("!room:test", "state", CALL, "x"), {}, {DELAY: 86_400_001})
    assert (reply.status, reply.errcode) == (400, "M_UNKNOWN")
    assert reply.json["org.matrix.msc4140.errcode"] == "M_MAX_DELAY_EXCEEDED"
    assert reply.json["org.matrix.msc4140.max_delay"] == 86_400_000


def test_a_user_has_so_many_at_a_time(database: Database) -> None:
    site = new_site(database, max_scheduled=2)
    alice, bob = site.people("alice", "bob")
    room = alice.create()
    for number in range(2):
        delay_id_of(schedule(alice, room, 10_000 + number, str(number)))
    refused = schedule(alice, room, txn="third")
    assert (refused.status, refused.errcode) == (429, "M_LIMIT_EXCEEDED")
    assert refused.headers["retry-after"] == "10"
    delay_id_of(schedule(bob, room))
    site.turn(11)
    delay_id_of(schedule(alice, room, txn="third"))
    site.rest()


def test_an_operator_may_do_without(database: Database) -> None:
    site = new_site(database, max_scheduled=0)
    alice = site.person("alice")
    assert schedule(alice, alice.create()).errcode == "M_FORBIDDEN"
    assert "org.matrix.msc4140" not in site.http.get("/_matrix/client/versions").json["unstable_features"]
    site.rest()


def test_they_count_as_what_their_sender_sends_when_they_are_sent(database: Database) -> None:
    limits = {"enabled": True, "messages": {"per_second": 0.001, "burst": 3}}
    site = CallSite(database, {"rate_limits": limits})
    alice = site.person("alice")
    room = alice.create()
    first, second = (delay_id_of(schedule(alice, room, 3000 + at, str(at))) for at in range(2))
    site.turn(5)
    assert "event_id" in lookup(alice, first)
    assert lookup(alice, second)["error"]["errcode"] == "M_LIMIT_EXCEEDED"
    site.rest()


def test_a_closed_account_sends_nothing_any_more(site: CallSite, alice: Syncer) -> None:
    bob = site.person("bob")
    room = alice.public_room()
    bob.join(room)
    schedule(bob, room)
    auth = {"type": "m.login.password", "user": "bob", "password": "correct horse"}
    assert bob.http.post(f"{V3}/account/deactivate", {"auth": auth}).status == 200
    site.turn(6)
    assert alice.texts(room) == []


def test_what_ended_is_forgotten_after_a_week(site: CallSite, alice: Syncer) -> None:
    delay_id = delay_id_of(schedule(alice, alice.create()))
    site.turn(6)
    assert "event_id" in lookup(alice, delay_id)
    site.clock.twisted.advance(8 * 24 * 3600)
    site.turn(1)
    assert alice.http.get(f"{UNSTABLE}/delayed_events/{delay_id}").errcode == "M_NOT_FOUND"


class MuteNames(Names):
    """A resolver that never answers."""

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, *_: Any, **__: Any) -> Any:
        self.asked.append(hostName)


class CutOffSite(CallSite):
    """A site that finds nobody."""

    names = MuteNames()

    def outside(self) -> Outside:
        return Outside(self.clock.twisted, self.names, no_services)


def test_one_that_waits_for_another_server_is_kept_when_the_server_ends(database: Database) -> None:
    site = CutOffSite(database)
    alice = site.person("alice")
    invite = {"state_key": "@far:away.test", "content": {"membership": "invite"}}
    hanging = delay_id_of(schedule(alice, alice.create(), 5000, "t", "m.room.member", **invite))
    site.turn(6)
    assert "away.test" in site.names.asked
    site.again()
    alice.reconnect()
    assert scheduled(alice) == [hanging]
    site.rest()

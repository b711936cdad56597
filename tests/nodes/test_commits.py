"""Several nodes: what is committed on one is seen on the others, whatever the bus does."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sync_site import Syncer, texts
from tests.nodes.nodes_site import Nodes

OFF: dict[str, Any] = {"set_presence": "offline"}


@pytest.fixture
def nodes(database: Database) -> Nodes:
    return Nodes(database)


def two_in_a_room(nodes: Nodes) -> tuple[Syncer, Syncer, str]:
    """Anna, who talks to A, and Bert, who talks to B."""
    anna, bert = nodes.people("anna", "bert")
    room = anna.public_room()
    nodes.turn()
    bert = nodes.at(nodes.b, bert)
    bert.join(room)
    nodes.turn()
    return anna, bert, room


def test_message_sent_on_one_node_wakes_a_poll_on_the_other(nodes: Nodes) -> None:
    anna, bert, room = two_in_a_room(nodes)
    bert.first_sync(**OFF)
    poll = bert.poll(**OFF)
    anna.say(room, "hello")
    nodes.turn()
    assert texts(poll.reply.json["rooms"]["join"][room]) == ["hello"]


def test_without_the_bus_it_comes_a_little_later(nodes: Nodes) -> None:
    anna, bert, room = two_in_a_room(nodes)
    bert.first_sync(**OFF)
    nodes.b.memory.cut()
    poll = bert.poll(**OFF)
    anna.say(room, "hello")
    assert not poll.done
    nodes.turn(1.5)
    assert texts(poll.reply.json["rooms"]["join"][room]) == ["hello"]
    nodes.b.memory.heal()
    bert.since = poll.reply.json["next_batch"]
    poll = bert.poll(**OFF)
    anna.say(room, "again")
    nodes.turn()
    assert texts(poll.reply.json["rooms"]["join"][room]) == ["again"]


def test_a_lost_message_of_the_bus_is_noticed_by_the_next(nodes: Nodes) -> None:
    anna, bert, room = two_in_a_room(nodes)
    bert.first_sync(**OFF)
    nodes.exchange.loses = lambda kind, message: kind == "commits"
    anna.say(room, "lost")
    nodes.exchange.loses = lambda kind, message: False
    anna.say(room, "heard")
    nodes.turn()
    nodes.turn(0.3)
    assert texts(bert.joined(room)) == ["lost", "heard"]


def test_nobody_writes_over_the_other(nodes: Nodes) -> None:
    anna, bert, room = two_in_a_room(nodes)
    said = [(anna if number % 2 else bert).say(room, str(number)) for number in range(10)]
    events = anna.page(room, limit=10)["chunk"]
    assert [event["event_id"] for event in reversed(events)] == said


def test_state_that_one_node_sets_counts_on_the_other(nodes: Nodes) -> None:
    anna, bert, room = two_in_a_room(nodes)
    bert.say(room, "while I may")
    anna.act("ban", room, user_id=bert.user_id)
    nodes.turn()
    assert bert.try_say(room, "no more").status == 403
    anna.act("unban", room, user_id=bert.user_id)
    nodes.turn()
    bert.join(room)
    bert.say(room, "again")


def test_a_race_for_a_room_is_lost_by_nobody(nodes: Nodes) -> None:
    """The other node does not hear of the ban before it writes: the guard tells it."""
    anna, bert, room = two_in_a_room(nodes)
    bert.say(room, "warm")
    anna.act("ban", room, user_id=bert.user_id)
    assert bert.try_say(room, "no more").status == 403


def test_redaction_on_one_node_strikes_the_event_on_the_other(nodes: Nodes) -> None:
    anna, bert, room = two_in_a_room(nodes)
    event_id = anna.say(room, "regretted")
    nodes.turn()
    assert bert.event(room, event_id)["content"]["body"] == "regretted"
    anna.redact(room, event_id)
    nodes.turn()
    assert bert.event(room, event_id)["content"] == {}


@pytest.mark.parametrize("bus", ["there", "cut"])
def test_logout_on_one_node_holds_on_the_other(nodes: Nodes, bus: str) -> None:
    (anna,) = nodes.people("anna")
    there = nodes.at(nodes.b, anna)
    assert there.http.get(f"{V3}/account/whoami").status == 200
    if bus == "cut":
        nodes.b.memory.cut()
    assert anna.http.post(f"{V3}/logout").status == 200
    nodes.turn(0.0 if bus == "there" else 2.0)
    assert there.http.get(f"{V3}/account/whoami").status == 401


def test_interactive_authentication_may_begin_on_one_node_and_end_on_the_other(nodes: Nodes) -> None:
    (anna,) = nodes.people("anna")
    there = nodes.at(nodes.b, anna)
    path = f"{V3}/account/password"
    begun = anna.http.post(path, {"new_password": "another horse"})
    assert begun.status == 401
    auth = {
        "type": "m.login.password",
        "session": begun.json["session"],
        "identifier": {"type": "m.id.user", "user": anna.user_id},
        "password": PASSWORD,
    }
    assert there.http.post(path, {"new_password": "another horse", "auth": auth}).status == 200


def test_a_request_sent_again_to_the_other_node_has_no_further_effect(nodes: Nodes) -> None:
    anna, _, room = two_in_a_room(nodes)
    there = nodes.at(nodes.b, anna)
    first = anna.try_say(room, "once", txn="t").json
    assert there.try_say(room, "once", txn="t").json == first
    assert anna.texts(room)[:1] == ["once"]
    assert anna.texts(room).count("once") == 1


def test_a_sync_token_is_good_on_the_other_node_at_once(nodes: Nodes) -> None:
    anna, _, room = two_in_a_room(nodes)
    anna.first_sync()
    anna.say(room, "mine")
    anna.sync()
    there = nodes.at(nodes.b, anna)
    assert "join" not in there.sync().get("rooms", {}), "what was told is not told again"
    anna.say(room, "more")
    nodes.turn()
    assert texts(there.joined(room)) == ["more"]


def test_messages_to_devices_are_told_once_whichever_node_is_asked(nodes: Nodes) -> None:
    anna, bert, _ = two_in_a_room(nodes)
    bert.first_sync(**OFF)
    body = {"messages": {bert.user_id: {"*": {"n": 1}}}}
    assert anna.http.put(f"{V3}/sendToDevice/m.test/1", body).status == 200
    nodes.turn()
    assert [e["content"] for e in bert.sync()["to_device"]["events"]] == [{"n": 1}]
    there = nodes.at(nodes.a, bert)
    assert "to_device" not in there.sync()
    assert "to_device" not in nodes.at(nodes.b, there).sync()


def test_account_data_push_rules_and_receipts_are_told_across(nodes: Nodes) -> None:
    anna, bert, room = two_in_a_room(nodes)
    event_id = anna.say(room, "read this")
    nodes.turn()
    bert.first_sync(**OFF)
    there = nodes.at(nodes.a, bert)
    there.put_account_data("m.test", {"x": 1})
    assert there.receipt(room, event_id).status == 200
    rule = f"{V3}/pushrules/global/override/quiet"
    assert there.http.put(rule, {"conditions": [], "actions": []}).status == 200
    nodes.turn()
    answer = bert.sync()
    assert {each["type"] for each in answer["account_data"]["events"]} == {"m.test", "m.push_rules"}
    assert answer["rooms"]["join"][room]["unread_notifications"]["notification_count"] == 0
    (receipts,) = answer["rooms"]["join"][room]["ephemeral"]["events"]
    assert bert.user_id in receipts["content"][event_id]["m.read"]


def test_lazy_members_are_told_again_after_a_visit_elsewhere(nodes: Nodes) -> None:
    anna, bert, room = two_in_a_room(nodes)
    lazy = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 1}}}
    anna.say(room, "one")
    there = nodes.at(nodes.b, bert)
    there.first_sync(filter=lazy)
    here = nodes.at(nodes.a, there)
    here.sync(filter=lazy)
    # It begins anew at B, where the last message is another's.
    bert.say(room, "mine")
    nodes.turn()
    again = nodes.at(nodes.b, bert)
    again.first_sync(filter=lazy)
    anna.say(room, "two")
    nodes.turn()
    back = nodes.at(nodes.a, again)
    news = back.joined(room, filter=lazy)
    assert anna.user_id in {event["state_key"] for event in news["state"]["events"]}


def test_erased_users_are_shown_redacted_on_all_nodes(nodes: Nodes) -> None:
    anna, bert, room = two_in_a_room(nodes)
    event_id = anna.say(room, "forget me")
    nodes.turn()
    assert bert.event(room, event_id)["content"]
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": anna.user_id},
        "password": PASSWORD,
    }
    reply = anna.http.post(f"{V3}/account/deactivate", {"auth": auth, "erase": True})
    assert reply.status == 200, reply.text
    nodes.turn()
    (cleo,) = nodes.b.people("cleo")
    cleo.join(room)
    shown = cleo.http.get(room_path(room, "event", event_id))
    assert shown.status == 200, shown.text
    assert shown.json["content"] == {}

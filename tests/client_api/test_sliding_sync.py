"""Sliding sync: `/v4/sync` and the shape of it that was deployed before."""

from typing import Any

import pytest

from storage import metrics
from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sliding_client import ACCEPTED, DEPLOYED, EVERYTHING, Slider, rooms_list
from tests.client_api.sync_site import Syncer, SyncSite

MEMBER = "m.room.member"


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def said(room: Any) -> list[str]:
    return [event["content"]["body"] for event in room.get("timeline", ()) if "body" in event["content"]]


def state(room: Any) -> set[tuple[str, str]]:
    return {(event["type"], event["state_key"]) for event in room.get("required_state", ())}


def test_server_says_that_it_can(site: SyncSite) -> None:
    features = site.http.get("/_matrix/client/versions").json["unstable_features"]
    assert features["org.matrix.simplified_msc3575"] is True


def test_first_window_has_the_latest_rooms(site: SyncSite) -> None:
    anna = site.person("anna")
    rooms = [anna.public_room(name=f"Room {number}") for number in range(4)]
    anna.say(rooms[0], "hello")
    answer = Slider(anna).sync(lists={"top": rooms_list(0, 1, 1, [["m.room.create", ""]])})
    assert answer["lists"]["top"]["count"] == 4
    assert answer["lists"]["top"]["ops"] == [
        {"op": "SYNC", "range": [0, 1], "room_ids": [rooms[0], rooms[3]]}
    ]
    assert answer["rooms"].keys() == {rooms[0], rooms[3]}
    shown = answer["rooms"][rooms[0]]
    assert said(shown) == ["hello"]
    assert shown["initial"] is True
    assert shown["limited"] is True
    assert shown["name"] == "Room 0"
    assert shown["joined_count"] == 1
    assert shown["num_live"] == 0
    assert state(shown) == {("m.room.create", "")}
    assert shown["bump_stamp"] > answer["rooms"][rooms[3]]["bump_stamp"]
    older = anna.page(rooms[0], from_=shown["prev_batch"], limit=1)
    assert older["chunk"][0]["type"] == "m.room.name"


def test_window_that_grows_brings_the_further_rooms(site: SyncSite) -> None:
    anna = site.person("anna")
    rooms = [anna.public_room() for _ in range(4)]
    slider = Slider(anna)
    slider.sync(lists={"all": rooms_list(0, 1)})
    assert slider.sync(lists={"all": rooms_list(0, 3)})["rooms"].keys() == set(rooms[:2])


def test_increment_tells_what_is_new(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    slider = Slider(anna)
    slider.sync()
    bert.say(room, "one")
    shown = slider.sync()["rooms"][room]
    assert said(shown) == ["one"]
    assert shown["num_live"] == 1
    assert "initial" not in shown
    assert "required_state" not in shown
    assert "name" not in shown
    anna.set_state(room, "m.room.name", {"name": "Kitchen"})
    shown = slider.sync()["rooms"][room]
    assert shown["name"] == "Kitchen"
    assert state(shown) == {("m.room.name", "")}
    assert slider.sync()["rooms"] == {}


def test_long_poll_is_answered_when_something_happens(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    slider = Slider(anna)
    slider.sync()
    poll = slider.poll()
    site.turn()
    assert not poll.done
    bert.say(room, "ping")
    site.turn()
    assert said(poll.reply.json["rooms"][room]) == ["ping"]


def test_long_poll_ends_with_its_timeout(site: SyncSite) -> None:
    slider = Slider(site.person("anna"))
    slider.sync()
    poll = slider.poll(2_000)
    site.turn(1.5)
    assert not poll.done
    site.turn(0.7)
    assert poll.reply.json["rooms"] == {}


def test_idle_request_asks_the_database_nothing(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    anna.public_room()
    elsewhere = bert.public_room()
    slider = Slider(anna)
    slider.sync()
    slider.sync()
    bert.say(elsewhere, "not for anna")
    before = _queries()
    assert slider.sync()["rooms"] == {}
    assert _queries() == before


def _queries() -> float:
    return float(metrics.QUERIES._value.get())


def test_same_position_gives_the_same_again(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    slider = Slider(anna)
    pos = slider.sync()["pos"]
    bert.say(room, "one")
    assert said(slider.sync(pos)["rooms"][room]) == ["one"]
    bert.say(room, "two")
    new = bert.public_room()
    anna.join(new)
    again = slider.sync(pos)["rooms"]
    assert said(again[room]) == ["one", "two"]
    assert again[new]["initial"] is True
    assert slider.sync()["rooms"] == {}


def test_position_survives_a_restart(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room, other = anna.public_room(), anna.public_room()
    bert.join(room)
    slider = Slider(anna)
    slider.sync()
    site.start()
    for person in (anna, bert):
        person.reconnect()
    bert.say(room, "after")
    answer = slider.sync()
    assert said(answer["rooms"][room]) == ["after"]
    assert other not in answer["rooms"]


@pytest.mark.parametrize("pos", ["nonsense", "m1_a.1.1", "m1_a.1.1!99", "m99999999999_a.1.1!1", "s5"])
def test_unknown_positions_are_refused(site: SyncSite, pos: str) -> None:
    for accepted in (False, True):
        reply = Slider(site.person(f"anna{accepted:d}"), accepted=accepted).try_sync(pos)
        assert (reply.status, reply.errcode) == (400, "M_UNKNOWN_POS")


def test_position_is_of_one_user_and_connection(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    pos = Slider(anna, "a").sync()["pos"]
    for other in (Slider(anna, "b"), Slider(bert, "a")):
        other.sync()
        assert other.try_sync(pos).errcode == "M_UNKNOWN_POS"


def test_position_is_a_place_in_history(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    anna.say(room, "one")
    pos = Slider(anna).sync()["pos"]
    anna.say(room, "two")
    assert anna.texts(room, from_=pos) == ["one"]


def test_oldest_connection_gives_way(database: Database) -> None:
    site = SyncSite(database, {"sliding_sync": {"connections_per_device": 2}})
    anna = site.person("anna")
    sliders = [Slider(anna, name) for name in "abc"]
    for slider in sliders:
        slider.sync()
    site.forget()
    site.start()
    assert [slider.try_sync(slider.pos).status for slider in sliders] == [400, 200, 200]


def test_unused_connection_is_forgotten(database: Database) -> None:
    site = SyncSite(database, {"sliding_sync": {"connection_lifetime": "1d"}})
    slider = Slider(site.person("anna"))
    slider.sync()
    site.clock.advance(25 * 3600)
    site.start()
    assert slider.try_sync(slider.pos).errcode == "M_UNKNOWN_POS"


def test_raised_limit_brings_earlier_events(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    for number in range(6):
        anna.say(room, str(number))
    slider = Slider(anna)
    assert said(slider.sync(lists={"all": rooms_list(limit=1)})["rooms"][room]) == ["5"]
    shown = slider.sync(lists={"all": rooms_list(limit=4)})["rooms"][room]
    assert said(shown) == ["2", "3", "4", "5"]
    assert shown["unstable_expanded_timeline"] is True
    assert shown["limited"] is True
    assert shown["num_live"] == 0
    assert "initial" not in shown
    assert slider.sync(lists={"all": rooms_list(limit=3)})["rooms"] == {}
    room_wide = {room: {"timeline_limit": 5, "required_state": []}}
    shown = slider.sync(lists={"all": rooms_list(limit=1)}, room_subscriptions=room_wide)["rooms"][room]
    assert said(shown) == ["1", "2", "3", "4", "5"]


def test_grown_required_state_is_told_at_once(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room(topic="food")
    slider = Slider(anna)
    slider.sync(lists={"all": rooms_list(state=[["m.room.create", ""]])})
    wider = rooms_list(state=[["m.room.create", ""], ["m.room.topic", "*"]])
    assert state(slider.sync(lists={"all": wider})["rooms"][room]) == {("m.room.topic", "")}
    assert slider.sync(lists={"all": wider})["rooms"] == {}


def test_required_state_names_wildcards_and_me(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)

    def told(*elements: list[str]) -> set[tuple[str, str]]:
        return state(Slider(anna).first(lists={"all": rooms_list(0, 5, 0, elements)})["rooms"][room])

    assert told([MEMBER, "$ME"]) == {(MEMBER, anna.user_id)}
    assert told([MEMBER, "*"]) == {(MEMBER, anna.user_id), (MEMBER, bert.user_id)}
    assert told(["*", bert.user_id]) == {(MEMBER, bert.user_id)}
    assert (MEMBER, bert.user_id) in told(["*", "*"])
    assert MEMBER not in {kind for kind, _ in told(["*", "*"], [MEMBER, "$LAZY"])}
    assert (MEMBER, anna.user_id) in told(["*", "*"], [MEMBER, "$LAZY"], [MEMBER, "$ME"])


def test_lazy_members_come_with_what_they_say(site: SyncSite) -> None:
    anna, bert, cleo = site.people("anna", "bert", "cleo")
    room = anna.public_room()
    bert.join(room)
    cleo.join(room)
    bert.say(room, "one")
    slider = Slider(anna)
    lazy = {"all": rooms_list(limit=1, state=[[MEMBER, "$LAZY"]])}
    assert state(slider.sync(lists=lazy)["rooms"][room]) == {(MEMBER, bert.user_id)}
    bert.say(room, "two")
    assert state(slider.sync(lists=lazy)["rooms"][room]) == set()
    cleo.say(room, "three")
    assert state(slider.sync(lists=lazy)["rooms"][room]) == {(MEMBER, cleo.user_id)}


def test_accepted_shape(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room(name="Kitchen", topic="food")
    invited = bert.create(preset="private_chat")
    bert.invite(invited, anna)
    slider = Slider(anna, accepted=True)
    answer = slider.sync()
    assert answer["lists"] == {"all": {"count": 2}}
    assert answer["rooms"][room]["membership"] == "join"
    assert answer["rooms"][room]["lists"] == ["all"]
    assert "notification_count" not in answer["rooms"][room]
    assert answer["rooms"][invited]["membership"] == "invite"
    assert {event["type"] for event in answer["rooms"][invited]["stripped_state"]} >= {
        "m.room.create",
        MEMBER,
    }
    rule = {"include": [{}], "exclude": [{"type": "m.room.topic"}], "lazy_members": True}
    config = {"timeline_limit": 1, "required_state": rule, "range": [0, 0]}
    other = Slider(anna, "two", accepted=True).sync(lists={"one": config}, room_subscriptions={room: config})
    assert len(other["rooms"]) == 2
    told = state(other["rooms"][room])
    assert ("m.room.name", "") in told
    assert ("m.room.topic", "") not in told
    anna.set_state(room, "m.room.name", {})
    assert slider.sync()["rooms"][room]["name"] is None


def test_invite_is_accepted_and_declined(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    slider = Slider(anna)
    slider.sync()
    room, other = bert.create(preset="private_chat"), bert.create(preset="private_chat")
    for each in (room, other):
        bert.invite(each, anna)
    shown = slider.sync()["rooms"]
    assert shown.keys() == {room, other}
    assert all("invite_state" in each and each["initial"] for each in shown.values())
    assert slider.sync()["rooms"] == {}
    anna.join(room)
    anna.act("leave", other)
    shown = slider.sync()["rooms"]
    assert shown[room]["initial"] is True
    assert shown[other]["membership"] == "leave"
    assert slider.sync()["rooms"] == {}


def test_room_left_is_told_once_and_room_thrown_out_of_stays(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    left, kicked = bert.public_room(name="left"), bert.public_room(name="kicked")
    for room in (left, kicked):
        anna.join(room)
    slider = Slider(anna)
    slider.sync()
    anna.act("leave", left)
    bert.act("ban", kicked, user_id=anna.user_id)
    bert.say(kicked, "secret")
    bert.set_state(kicked, "m.room.name", {"name": "changed"})
    answer = slider.sync()
    assert answer["rooms"][left]["membership"] == "leave"
    assert answer["rooms"][kicked]["membership"] == "ban"
    assert said(answer["rooms"][kicked]) == []
    assert answer["rooms"][kicked]["timeline"][-1]["state_key"] == anna.user_id
    assert slider.sync()["rooms"] == {}
    fresh = Slider(anna, "fresh").sync()["rooms"]
    assert fresh.keys() == {kicked}
    assert fresh[kicked]["name"] == "kicked"
    assert said(fresh[kicked]) == []
    bert.act("unban", kicked, user_id=anna.user_id)
    anna.join(kicked)
    assert slider.sync()["rooms"][kicked]["name"] == "changed"


def test_ban_of_a_stranger_is_in_no_list(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = bert.public_room()
    bert.act("ban", room, user_id=anna.user_id)
    slider = Slider(anna)
    assert slider.sync()["lists"]["all"]["count"] == 0
    subscribed = {room: {"timeline_limit": 5, "required_state": EVERYTHING}}
    assert slider.sync(room_subscriptions=subscribed)["rooms"] == {}


def test_subscription_shows_no_room_of_others(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = bert.public_room()
    subscribed = {name: {"timeline_limit": 5, "required_state": EVERYTHING} for name in (room, "!no:where")}
    assert Slider(anna).sync(room_subscriptions=subscribed)["rooms"] == {}


def test_room_out_of_sight_is_told_when_it_comes_back(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    rooms = [bert.public_room(name=f"Room {number}") for number in range(3)]
    for room in rooms:
        anna.join(room)
    slider = Slider(anna)
    slider.sync()
    one = {"all": rooms_list(0, 0, state=EVERYTHING)}
    bert.set_state(rooms[0], "m.room.topic", {"topic": "while away"})
    bert.say(rooms[1], "last")
    assert slider.sync(lists=one)["rooms"].keys() == {rooms[1]}
    site.start()
    for person in (anna, bert):
        person.reconnect()
    bert.say(rooms[1], "again")
    assert slider.sync(lists=one)["rooms"].keys() == {rooms[1]}
    shown = slider.sync()["rooms"]
    assert shown.keys() == {rooms[0]}
    assert state(shown[rooms[0]]) == {("m.room.topic", "")}
    assert "initial" not in shown[rooms[0]]


def test_filters(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    plain = anna.public_room(name="Plain")
    direct = anna.create(name="Direct", initial_state=[_encryption()])
    space = anna.create(name="Space", creation_content={"type": "m.space"})
    anna.set_state(space, "m.space.child", {"via": ["test"]}, plain)
    invited = bert.create(name="Invited", creation_content={"type": "odd"}, initial_state=[_encryption()])
    bert.invite(invited, anna)
    anna.put_account_data("m.direct", {bert.user_id: [direct]})
    assert anna.http.put(f"{V3}/user/{anna.user_id}/rooms/{plain}/tags/m.favourite", {}).status == 200

    def found(**filters: Any) -> set[str]:
        answer = Slider(anna).first(lists={"all": rooms_list(**filters)})
        assert answer["lists"]["all"]["count"] == len(answer["rooms"])
        return set(answer["rooms"])

    everything = {plain, direct, space, invited}
    assert found() == everything
    assert found(is_dm=True) == {direct}
    assert found(is_dm=False) == everything - {direct}
    assert found(is_encrypted=True) == {direct, invited}
    assert found(is_encrypted=False) == {plain, space}
    assert found(is_invite=True) == {invited}
    assert found(is_invite=False) == everything - {invited}
    assert found(spaces=[space]) == {plain}
    assert found(spaces=["!nowhere:test"]) == set()
    assert found(room_types=["m.space"]) == {space}
    assert found(room_types=[None]) == {plain, direct}
    assert found(room_types=[None, "odd"]) == {plain, direct, invited}
    assert found(not_room_types=["m.space"]) == everything - {space}
    assert found(not_room_types=[None]) == {space, invited}
    assert found(room_name_like="PLA") == {plain}
    assert found(tags=["m.favourite"]) == {plain}
    assert found(not_tags=["m.favourite"]) == everything - {plain}


def _encryption() -> dict[str, Any]:
    content = {"algorithm": "m.megolm.v1.aes-sha2"}
    return {"type": "m.room.encryption", "state_key": "", "content": content}


def test_direct_chat_is_marked_when_that_changes(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.create(is_direct=True)
    slider = Slider(anna)
    assert "is_dm" not in slider.sync()["rooms"][room]
    anna.put_account_data("m.direct", {bert.user_id: [room]})
    assert slider.sync()["rooms"][room]["is_dm"] is True
    anna.put_account_data("m.direct", {})
    assert slider.sync()["rooms"][room]["is_dm"] is False


def test_room_without_a_name_has_heroes(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.create()
    slider = Slider(anna)
    slider.sync()
    bert_profile = f"{V3}/profile/{bert.user_id}/displayname"
    assert bert.http.put(bert_profile, {"displayname": "Bertie"}).status == 200
    anna.invite(room, bert)
    bert.join(room)
    shown = slider.sync()["rooms"][room]
    assert [(hero["user_id"], hero["displayname"]) for hero in shown["heroes"]] == [(bert.user_id, "Bertie")]
    assert shown["joined_count"] == 2


def test_bump_stamp_follows_what_is_said_alone(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    slider = Slider(anna)
    first = slider.sync()["rooms"][room]["bump_stamp"]
    anna.set_state(room, "m.room.topic", {"topic": "x"})
    assert slider.sync()["rooms"][room]["bump_stamp"] == first
    anna.say(room, "x")
    assert slider.sync()["rooms"][room]["bump_stamp"] > first


def test_ignored_users_are_not_heard(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {bert.user_id: {}}})
    slider = Slider(anna)
    slider.sync()
    bert.say(room, "psst")
    invited = bert.create()
    bert.invite(invited, anna)
    anna.say(room, "hm")
    answer = slider.sync()
    assert said(answer["rooms"][room]) == ["hm"]
    assert invited not in answer["rooms"]


@pytest.mark.parametrize("path", [DEPLOYED, ACCEPTED])
@pytest.mark.parametrize(
    "body",
    [
        {"lists": []},
        {"lists": {"a": 1}},
        {"lists": {"a": {"required_state": []}}},
        {"lists": {"a": {"timeline_limit": "1", "required_state": []}}},
        {"lists": {"a": {"timeline_limit": 1, "required_state": 1}}},
        {"room_subscriptions": []},
        {"room_subscriptions": {"!a:b": {"timeline_limit": None}}},
        {"extensions": {"e2ee": {"enabled": "yes"}}},
        {"extensions": {"to_device": {"enabled": True, "since": 1}}},
        {"extensions": {"to_device": {"enabled": True, "since": "x"}}},
        {"extensions": {"to_device": {"enabled": True, "limit": 0}}},
        {"extensions": {"typing": {"enabled": True, "rooms": {}}}},
        {"extensions": []},
        {"conn_id": 1},
        {"conn_id": "x" * 300},
        {"lists": {str(number): {} for number in range(101)}},
    ],
)
def test_malformed_bodies_are_refused(site: SyncSite, path: str, body: Any) -> None:
    reply = site.person("anna").http.post(path, body)
    assert reply.status == 400
    assert reply.errcode in ("M_BAD_JSON", "M_INVALID_PARAM", "M_MISSING_PARAM")


@pytest.mark.parametrize(
    "changes",
    [
        {"ranges": [[5, 1]]},
        {"ranges": [[-1, 1]]},
        {"ranges": [[0]]},
        {"ranges": [["0", "1"]]},
        {"ranges": [[0, 1]] * 21},
        {"timeline_limit": -1},
        {"required_state": [["a"]]},
        {"required_state": [["a", ""]] * 201},
        {"filters": {"is_dm": "yes"}},
        {"filters": {"room_types": "m.space"}},
        {"filters": {"tags": [1]}},
    ],
)
def test_malformed_lists_are_refused(site: SyncSite, changes: Any) -> None:
    reply = Slider(site.person("anna")).try_sync(lists={"a": {**rooms_list(), **changes}})
    assert reply.status == 400
    assert reply.errcode in ("M_BAD_JSON", "M_INVALID_PARAM")


def test_transaction_id_is_given_back(site: SyncSite) -> None:
    assert Slider(site.person("anna")).sync(txn_id="t1")["txn_id"] == "t1"


def test_second_device_begins_for_itself(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    Slider(anna).sync()
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "anna"}}
    reply = site.http.post(f"{V3}/login", {**login, "password": "correct horse"})
    phone = Syncer(site, reply.json)
    assert Slider(phone).sync()["rooms"][room]["initial"] is True

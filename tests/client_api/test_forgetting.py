"""Rooms that are forgotten, by their users or for them as they leave:
https://spec.matrix.org/v1.19/client-server-api/#mforget_forced_upon_leave-capability
"""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.other_servers import invited_from_outside
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sliding_client import Slider
from tests.client_api.sync_site import Syncer, SyncSite, texts

FORCED = {"rooms": {"forget_on_leave": True}}
LEAVE = {"room": {"include_leave": True}}
ENDINGS = ("leave", "kick", "ban")


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database, FORCED)


def end(how: str, room: str, leaver: Syncer, owner: Syncer) -> None:
    """Somebody's stay in a room ends."""
    if how == "leave":
        leaver.act("leave", room)
    else:
        owner.act(how, room, user_id=leaver.user_id)


def membership(shown: Any) -> str:
    """The last membership that a timeline has."""
    found: str = shown["timeline"]["events"][-1]["content"]["membership"]
    return found


def archived(who: Syncer) -> list[Any]:
    rooms: list[Any] = who.http.get(f"{V3}/initialSync", {"archived": "true"}).json["rooms"]
    return rooms


def is_hidden(who: Syncer, room: str, event_id: str) -> bool:
    """Whether every way to a room's past is closed."""
    ways: tuple[tuple[str, dict[str, str]], ...] = (
        ("messages", {"dir": "b"}),
        ("state", {}),
        ("state/m.room.create", {}),
        ("members", {}),
        ("joined_members", {}),
        ("initialSync", {}),
        (f"event/{event_id}", {}),
        (f"context/{event_id}", {}),
    )
    later: tuple[tuple[str, dict[str, str]], ...] = (
        (f"/_matrix/client/v1/rooms/{room}/relations/{event_id}", {}),
        (f"/_matrix/client/v1/rooms/{room}/threads", {}),
        (f"/_matrix/client/v1/rooms/{room}/timestamp_to_event", {"ts": "1", "dir": "f"}),
    )
    replies = [who.http.get(room_path(room, way), query) for way, query in ways]
    replies += [who.http.get(path, query) for path, query in later]
    assert {reply.status for reply in replies} <= {200, 403, 404}
    return all(reply.status in (403, 404) for reply in replies)


@pytest.mark.parametrize("how", ENDINGS)
def test_forced_forgetting_still_tells_every_device_of_the_leave(site: SyncSite, how: str) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    bert.first_sync()
    slider, away = Slider(bert), Slider(bert, "away")
    slider.sync()
    away.sync()
    stream = bert.http.get(f"{V3}/events", {"timeout": 0}).json["end"]
    seen = anna.say(room, "before")
    end(how, room, bert, anna)
    anna.say(room, "after")
    since = bert.since
    left = bert.sync()["rooms"]["leave"][room]
    assert texts(left) == ["before"]
    assert membership(left) == ("ban" if how == "ban" else "leave")
    assert "rooms" not in bert.sync()
    site.forget()
    left = bert.sync(since, full_state="true", filter=LEAVE)["rooms"]["leave"][room]
    assert texts(left) == ["before"]
    assert slider.sync()["rooms"][room]["membership"] == ("ban" if how == "ban" else "leave")
    assert slider.sync()["rooms"] == {}
    site.start()
    bert.reconnect()
    assert away.sync()["rooms"][room]["timeline"][-1]["state_key"] == bert.user_id
    old = bert.http.get(f"{V3}/events", {"from": stream, "timeout": 0}).json["chunk"]
    assert old[-1]["state_key"] == bert.user_id
    assert is_hidden(bert, room, seen)


@pytest.mark.parametrize("how", ENDINGS)
def test_forgotten_room_is_in_no_first_sync(site: SyncSite, how: str) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    end(how, room, bert, anna)
    assert "rooms" not in bert.first_sync(filter=LEAVE)
    assert "rooms" not in bert.sync(full_state="true", filter=LEAVE)
    assert Slider(bert).sync()["rooms"] == {}
    assert archived(bert) == []
    assert bert.try_act("forget", room).status == 200


def test_rejected_invite_is_told_of_and_forgotten(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.create(preset="private_chat")
    anna.invite(room, bert)
    bert.first_sync()
    bert.act("leave", room)
    assert membership(bert.sync()["rooms"]["leave"][room]) == "leave"
    assert "rooms" not in bert.first_sync(filter=LEAVE)


def test_who_comes_back_has_the_room_again(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    anna.say(room, "old")
    bert.join(room)
    bert.first_sync()
    bert.act("leave", room)
    bert.join(room)
    assert "old" in texts(bert.sync()["rooms"]["join"][room])
    assert Slider(bert).sync()["rooms"].keys() == {room}


@pytest.mark.parametrize("how", ENDINGS)
def test_forgetting_by_hand_hides_the_leave_from_no_other_device(database: Database, how: str) -> None:
    site = SyncSite(database)
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    bert.first_sync()
    slider = Slider(bert)
    slider.sync()
    seen = anna.say(room, "before")
    end(how, room, bert, anna)
    bert.act("forget", room)
    assert texts(bert.sync()["rooms"]["leave"][room]) == ["before"]
    assert slider.sync()["rooms"][room]["membership"] == ("ban" if how == "ban" else "leave")
    assert slider.sync()["rooms"] == {}
    assert is_hidden(bert, room, seen)
    assert "rooms" not in bert.first_sync(filter=LEAVE)


def test_room_that_this_server_is_not_in_is_forgotten_too(site: SyncSite) -> None:
    bert = site.person("bert")
    room = invited_from_outside(site, bert)
    bert.first_sync()
    bert.act("leave", room)
    assert room in bert.sync()["rooms"]["leave"]
    assert "rooms" not in bert.first_sync(filter=LEAVE)


@pytest.mark.parametrize("forced", [False, True])
def test_capability_tells_the_truth(database: Database, forced: bool) -> None:
    anna = SyncSite(database, FORCED if forced else {}).person("anna")
    capabilities = anna.http.get(f"{V3}/capabilities").json["capabilities"]
    assert capabilities["m.forget_forced_upon_leave"] == {"enabled": forced}

"""More of what people on two servers live through: doors that open to some, spaces, history by date, media, devices."""

import time
from contextlib import suppress
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from tests.client_api.pictures import png, size_of
from tests.harness.live_client import V3, Json, LiveUser, Refused, eventually, room_path
from tests.system.federation_stories import PATIENCE_S, Homes

V1 = "/_matrix/client/v1"
PICTURE = png(400, 200)


class WiderStories:
    """Each test uses rooms and people of its own."""

    def test_who_knocks_is_let_in(self, homes: Homes, version: str) -> None:
        ann, bea = homes.people()
        room = ann.create(
            room_version=version,
            initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}],
        )
        here = homes.here.server_name
        knock = f"{V3}/knock/{quote(room, safe='')}?via={here}&server_name={here}"
        bea.http.call("POST", knock, {"reason": "let me in"})
        eventually(lambda: _membership(ann, room, bea) == "knock", PATIENCE_S, "the knock")
        assert room in bea.sync()["rooms"]["knock"]
        ann.invite(room, bea.user_id)
        eventually(lambda: room in _rooms(bea, "invite"), PATIENCE_S, "the invite")
        bea.join(room)
        ann.say(room, "come in")
        eventually(lambda: "come in" in bea.texts(room), PATIENCE_S, "the welcome")

    def test_a_restricted_room_opens_to_those_in_its_space(self, homes: Homes, version: str) -> None:
        ann, bea = homes.people()
        here = homes.here.server_name
        space = ann.create(
            preset="public_chat", room_version=version, creation_content={"type": "m.space"}, name="Space"
        )
        allowed = {"type": "m.room_membership", "room_id": space}
        rule = {"join_rule": "restricted", "allow": [allowed]}
        room = ann.create(
            room_version=version,
            name="Inside",
            initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": rule}],
        )
        ann.set_state(space, "m.space.child", {"via": [here]}, room)
        with pytest.raises(Refused) as refusal:
            bea.join(room, here)
        assert refusal.value.errcode == "M_FORBIDDEN"
        bea.join(space, here)
        eventually(lambda: ann.members(space) == {ann.user_id, bea.user_id}, PATIENCE_S, "the join")
        shown = eventually(lambda: _hierarchy(bea, space, 2), PATIENCE_S, "the room in the space")
        assert {each["room_id"]: each["name"] for each in shown} == {space: "Space", room: "Inside"}
        bea.join(room, here)
        bea.say(room, "inside")
        eventually(lambda: "inside" in ann.texts(room), PATIENCE_S, "what she said inside")

    def test_public_rooms_and_their_cards_are_seen_from_the_other_side(
        self, homes: Homes, version: str
    ) -> None:
        ann, bea = homes.people()
        here = homes.here.server_name
        name = f"Public {time.time_ns()}"
        room = ann.create(preset="public_chat", visibility="public", room_version=version, name=name)
        found = eventually(
            lambda: [
                each
                for each in bea.http.call("GET", f"{V3}/publicRooms", server=here, limit=100)["chunk"]
                if each["room_id"] == room
            ],
            PATIENCE_S,
            "the room in the list",
        )
        assert found[0]["name"] == name
        card = bea.http.call("GET", f"{V1}/room_summary/{quote(room, safe='')}", via=here)
        assert (card["name"], card["num_joined_members"], card["join_rule"]) == (name, 1, "public")

    def test_history_from_before_the_join_is_found_by_date(self, homes: Homes, version: str) -> None:
        ann, bea = homes.people()
        room = ann.create(preset="public_chat", room_version=version)
        ann.say(room, "early")
        time.sleep(0.05)
        at = int(time.time() * 1000)
        time.sleep(0.05)
        wanted = ann.say(room, "wanted")
        for number in range(30):
            ann.say(room, f"later {number}")
        bea.join(room, homes.here.server_name)
        path = f"{V1}/rooms/{quote(room, safe='')}/timestamp_to_event"
        found = eventually(
            lambda: bea.http.call("GET", path, ts=at, dir="f")["event_id"] == wanted,
            PATIENCE_S,
            "the event by date",
        )
        assert found
        context = bea.http.call("GET", room_path(room, "context", wanted))
        assert context["event"]["content"]["body"] == "wanted"

    def test_an_upgraded_room_is_followed(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room("10", name="Old")
        answer = ann.http.call("POST", room_path(room, "upgrade"), {"new_version": version})
        new = answer["replacement_room"]
        tombstone = eventually(lambda: bea.state(room, "m.room.tombstone"), PATIENCE_S, "the tombstone")
        assert tombstone["replacement_room"] == new
        bea.join(new, homes.here.server_name)
        assert bea.state(new, "m.room.create")["predecessor"]["room_id"] == room
        assert bea.state(new, "m.room.name") == {"name": "Old"}
        bea.say(new, "moved")
        eventually(lambda: "moved" in ann.texts(new), PATIENCE_S, "what she says in the new room")

    def test_who_is_kicked_comes_back_and_who_is_banned_does_not(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        ann.http.call("POST", room_path(room, "kick"), {"user_id": bea.user_id, "reason": "out"})
        eventually(lambda: room not in _rooms(bea, "join"), PATIENCE_S, "the kick")
        bea.join(room, homes.here.server_name)
        eventually(lambda: bea.user_id in ann.members(room), PATIENCE_S, "her return")
        ann.http.call("POST", room_path(room, "ban"), {"user_id": bea.user_id})
        eventually(lambda: room not in _rooms(bea, "join"), PATIENCE_S, "the ban")
        with pytest.raises(Refused) as refusal:
            bea.join(room, homes.here.server_name)
        assert refusal.value.errcode == "M_FORBIDDEN"
        ann.http.call("POST", room_path(room, "unban"), {"user_id": bea.user_id})
        bea.join(room, homes.here.server_name)

    def test_an_invite_that_is_taken_back_is_gone(self, homes: Homes, version: str) -> None:
        ann, bea = homes.people()
        room = ann.create(preset="private_chat", room_version=version)
        ann.invite(room, bea.user_id)
        eventually(lambda: room in _rooms(bea, "invite"), PATIENCE_S, "the invite")
        ann.http.call("POST", room_path(room, "kick"), {"user_id": bea.user_id})
        eventually(lambda: room not in _rooms(bea, "invite"), PATIENCE_S, "the end of the invite")

    def test_a_room_shuts_a_server_out(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        acl = {"allow": ["*"], "deny": [homes.there.server_name.partition(":")[0]], "allow_ip_literals": True}
        ann.set_state(room, "m.room.server_acl", acl)
        eventually(lambda: bea.state(room, "m.room.server_acl") == acl, PATIENCE_S, "the list")
        with suppress(Refused):  # her own server may know already that it would be in vain
            bea.say(room, "shut out")
        ann.say(room, "among us")
        time.sleep(2)
        assert ann.texts(room) == ["among us"]

    def test_a_picture_is_shown_on_the_other_side(self, homes: Homes, version: str) -> None:
        ann, bea, room = homes.room(version)
        uri = _upload(ann, PICTURE)
        content = {"msgtype": "m.image", "body": "red.png", "url": uri, "info": {"mimetype": "image/png"}}
        ann.http.call("PUT", room_path(room, "send", "m.room.message", "picture"), content)
        shown = eventually(
            lambda: [each for each in bea.history(room) if each["content"].get("url")],
            PATIENCE_S,
            "the picture",
        )
        server, media_id = shown[0]["content"]["url"].removeprefix("mxc://").split("/")
        kind, found = _download(bea, f"{V1}/media/download/{server}/{media_id}")
        assert (kind.partition(";")[0], found) == ("image/png", PICTURE)
        size = "width=96&height=96&method=crop"
        kind, found = _download(bea, f"{V1}/media/thumbnail/{server}/{media_id}?{size}")
        assert (kind.partition(";")[0], size_of(found)) == ("image/png", (96, 96))

    def test_devices_are_known_and_get_their_messages(self, homes: Homes, version: str) -> None:
        ann, bea, _ = homes.room(version)
        device = ann.http.call("GET", f"{V3}/account/whoami")["device_id"]
        keys = {
            "user_id": ann.user_id,
            "device_id": device,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
            "keys": {
                f"ed25519:{device}": "Noi6WqcDj0QmPxCNQqgezwTlBKrfqehY1u2FyWP9uYw",
                f"curve25519:{device}": "x",
            },
            "signatures": {ann.user_id: {f"ed25519:{device}": "c2ln"}},
        }
        ann.http.call("POST", f"{V3}/keys/upload", {"device_keys": keys})
        known = eventually(lambda: _keys(bea, ann.user_id).get(device), PATIENCE_S, "the device")
        assert known["keys"] == keys["keys"]
        for number in range(3):
            messages = {ann.user_id: {device: {"number": number}}}
            path = f"{V3}/sendToDevice/org.example.note/{time.time_ns()}"
            bea.http.call("PUT", path, {"messages": messages})
        assert _notes(ann, 3) == [0, 1, 2]


def _rooms(user: LiveUser, kind: str) -> Json:
    found: Json = user.sync().get("rooms", {}).get(kind, {})
    return found


def _membership(reader: LiveUser, room: str, user: LiveUser) -> str:
    return str(reader.state(room, "m.room.member", user.user_id)["membership"])


def _hierarchy(user: LiveUser, space: str, expected: int) -> list[Json]:
    rooms: list[Json] = user.http.call("GET", f"{V1}/rooms/{quote(space, safe='')}/hierarchy")["rooms"]
    return rooms if len(rooms) == expected else []


def _keys(user: LiveUser, other: str) -> Json:
    answer = user.http.call("POST", f"{V3}/keys/query", {"device_keys": {other: []}})
    found: Json = answer["device_keys"].get(other, {})
    return found


def _notes(user: LiveUser, count: int) -> list[int]:
    """The numbers in the messages to the user's device, in the order in which they come."""
    found: list[int] = []
    since: str | None = None

    def all_there() -> bool:
        nonlocal since
        answer = user.sync(since, 500)
        since = answer["next_batch"]
        events: list[Any] = answer.get("to_device", {}).get("events", [])
        found.extend(each["content"]["number"] for each in events if each["type"] == "org.example.note")
        return len(found) >= count

    eventually(all_there, PATIENCE_S, "the messages")
    return found


def _upload(user: LiveUser, data: bytes) -> str:
    headers = {"Authorization": f"Bearer {user.token}", "Content-Type": "image/png"}
    request = Request(f"{user.url}/_matrix/media/v3/upload?filename=red.png", data, headers, method="POST")
    with urlopen(request, timeout=60) as answer:
        uri = answer.read().decode().split('"content_uri":')[1].split('"')[1]
    return str(uri)


def _download(user: LiveUser, path: str) -> tuple[str, bytes]:
    request = Request(f"{user.url}{path}", headers={"Authorization": f"Bearer {user.token}"})
    with urlopen(request, timeout=60) as answer:
        return str(answer.headers["Content-Type"]), answer.read()

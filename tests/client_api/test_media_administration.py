"""What administrators see of media and delete, at the paths where their tools ask.

https://element-hq.github.io/synapse/latest/admin_api/media_admin_api.html
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from homeserver.app.commands.offline import finished
from homeserver.app.wiring_media import MediaTools, build_media_tools
from storage.database import Database
from tests.client_api.media_site import MediaSite, copy_of, download, named, upload
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer
from tests.harness.memory import SeededRandom

ADMIN = "/_synapse/admin/v1"
DAY_S = 24 * 3600


@pytest.fixture
def site(database: Database, tmp_path: Path) -> MediaSite:
    return MediaSite(database, tmp_path)


def uploads(site: MediaSite, who: Syncer) -> list[str]:
    """Three files, a day after each other; their media IDs."""
    made = []
    for content, kind, name in (
        (b"x", "text/plain", "b.txt"),
        (b"yyy", "image/png", "a.png"),
        (b"zz", "a/b", ""),
    ):
        made.append(upload(who, content, kind, filename=name).partition("/")[2])
        site.clock.advance(DAY_S)
    return made


def test_an_address_is_looked_up(site: MediaSite, admin: Syncer, tools: MediaTools) -> None:
    alice = site.person("alice")
    name = upload(alice, b"known", "image/png", filename="a.png")
    created = site.clock.now_ms()
    info = admin.http.get(f"{ADMIN}/media/{name}").json["media_info"]
    assert info == {
        "media_origin": None,
        "user_id": alice.user_id,
        "media_id": name.partition("/")[2],
        "media_type": "image/png",
        "media_length": 5,
        "upload_name": "a.png",
        "created_ts": created,
        "filesystem_id": None,
        "url_cache": None,
        "last_access_ts": None,
        "quarantined_by": None,
        "authenticated": True,
        "safe_from_quarantine": False,
        "sha256": sha256(b"known").hexdigest(),
    }
    copy = str(copy_of(site, tools, 1, b"far")).removeprefix("mxc://")
    info = admin.http.get(f"{ADMIN}/media/{copy}").json["media_info"]
    assert (info["media_origin"], info["user_id"], info["safe_from_quarantine"]) == (
        "far.example",
        None,
        None,
    )
    assert admin.http.get(f"{ADMIN}/media/test/unknown").errcode == "M_NOT_FOUND"


def test_a_users_files_are_listed_in_any_order_page_by_page(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    first, second, third = uploads(site, alice)
    path = f"{ADMIN}/users/{alice.user_id}/media"

    def listed(**query: Any) -> list[str]:
        return [each["media_id"] for each in admin.http.get(path, query).json["media"]]

    answer = admin.http.get(path).json
    assert ([each["media_id"] for each in answer["media"]], answer["total"]) == ([third, second, first], 3)
    assert "next_token" not in answer
    assert answer["media"][1] == {
        "media_id": second,
        "media_type": "image/png",
        "media_length": 3,
        "upload_name": "a.png",
        "created_ts": answer["media"][1]["created_ts"],
        "last_access_ts": None,
        "quarantined_by": None,
        "safe_from_quarantine": False,
    }
    assert listed(order_by="created_ts") == [first, second, third]
    assert listed(order_by="media_length") == [first, third, second]
    assert listed(order_by="media_length", dir="b") == [second, third, first]
    assert listed(order_by="upload_name") == [second, first, third]
    assert listed(order_by="media_type", dir="b") == [first, second, third]
    assert listed(order_by="media_id") == sorted([first, second, third])
    for order in ("last_access_ts", "quarantined_by", "safe_from_quarantine"):
        assert sorted(listed(order_by=order, dir="f")) == sorted([first, second, third])
    page = admin.http.get(path, {"limit": 2}).json
    assert (len(page["media"]), page["next_token"]) == (2, 2)
    assert listed(**{"from": 2, "limit": 2}) == [first]
    assert listed(limit=0) == []
    assert admin.http.get(path, {"order_by": "nothing"}).errcode == "M_INVALID_PARAM"
    assert admin.http.get(path, {"from": -1}).errcode == "M_INVALID_PARAM"
    assert admin.http.get(f"{ADMIN}/users/@nobody:test/media").errcode == "M_NOT_FOUND"
    assert admin.http.get(f"{ADMIN}/users/@alice:elsewhere.example/media").errcode == "M_INVALID_PARAM"


def test_a_users_files_are_deleted(site: MediaSite, admin: Syncer) -> None:
    alice, bob = site.people("alice", "bob")
    first, second, third = uploads(site, alice)
    other = upload(bob, b"zz")
    path = f"{ADMIN}/users/{alice.user_id}/media"
    assert admin.http.request("DELETE", path, None, {"limit": 1}).json == {
        "deleted_media": [third],
        "total": 1,
    }
    assert download(alice.http, f"test/{third}").errcode == "M_NOT_FOUND"
    assert download(bob.http, other).body == b"zz"
    answer = admin.http.request("DELETE", path).json
    assert (sorted(answer["deleted_media"]), answer["total"]) == (sorted([first, second]), 2)
    assert admin.http.get(path).json == {"media": [], "total": 0}


def test_a_file_is_deleted(site: MediaSite, admin: Syncer) -> None:
    name = upload(site.person("alice"), b"gone")
    path = f"{ADMIN}/media/{name}"
    media_id = name.partition("/")[2]
    assert admin.http.request("DELETE", path).json == {"deleted_media": [media_id], "total": 1}
    assert admin.http.request("DELETE", path).errcode == "M_NOT_FOUND"
    reply = admin.http.request("DELETE", f"{ADMIN}/media/far.example/abc")
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")


def test_what_nobody_used_is_deleted_but_for_avatars_and_protected_files(
    site: MediaSite, admin: Syncer, tools: MediaTools
) -> None:
    alice = site.person("alice")
    names = {kind: upload(alice, kind.encode() * 10) for kind in ("old", "avatar", "room", "kept", "used")}
    small = upload(alice, b"s")
    copy = str(copy_of(site, tools, 1, b"c" * 100)).removeprefix("mxc://")
    avatar = {"avatar_url": f"mxc://{names['avatar']}"}
    assert alice.http.put(f"{V3}/profile/{alice.user_id}/avatar_url", avatar).status == 200
    alice.set_state(alice.create(), "m.room.avatar", {"url": f"mxc://{names['room']}"})
    admin.http.post(f"{ADMIN}/media/protect/{names['kept'].partition('/')[2]}", {})
    site.clock.advance(DAY_S)
    download(alice.http, names["used"])
    before = site.clock.now_ms()
    site.clock.advance(DAY_S)
    new = upload(alice, b"new" * 10)

    def delete(**query: Any) -> list[str]:
        reply = admin.http.request("POST", f"{ADMIN}/media/delete", {}, {"before_ts": before, **query})
        assert reply.status == 200, reply.text
        assert reply.json["total"] == len(reply.json["deleted_media"])
        return sorted(f"test/{each}" for each in reply.json["deleted_media"])

    assert delete(size_gt=1) == [names["old"]]
    assert delete() == [small]
    assert delete(keep_profiles=False) == sorted([names["avatar"], names["room"]])
    left = [names["kept"], names["used"], new, copy]
    assert [download(alice.http, each).status for each in left] == [200] * 4
    old = admin.http.request("POST", f"{ADMIN}/media/test/delete", {}, {"before_ts": before})
    assert old.json == {"deleted_media": [], "total": 0}
    for path, query in (
        ("media/delete", {"before_ts": 1_700_000_000}),
        ("media/far.example/delete", {"before_ts": before}),
        ("purge_media_cache", {"before_ts": 0}),
        ("purge_media_cache", {"before_ts": -1}),
    ):
        reply = admin.http.request("POST", f"{ADMIN}/{path}", {}, query)
        assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM"), path
    assert admin.http.post(f"{ADMIN}/purge_media_cache", {}).errcode == "M_MISSING_PARAM"


def test_copies_that_nobody_used_are_forgotten(site: MediaSite, admin: Syncer, tools: MediaTools) -> None:
    alice = site.person("alice")
    ours = upload(alice, b"ours")
    old = copy_of(site, tools, 1, b"1")
    site.clock.advance(DAY_S)
    before = site.clock.now_ms()
    new = copy_of(site, tools, 2, b"2")
    path = f"{ADMIN}/purge_media_cache"
    assert admin.http.request("POST", path, {}, {"before_ts": before}).json == {"deleted": 1}
    assert admin.http.request("POST", path, {}, {"before_ts": before}).json == {"deleted": 0}
    shown = [download(alice.http, str(each).removeprefix("mxc://")).status for each in (ours, new)]
    assert shown == [200, 200]
    assert admin.http.get(f"{ADMIN}/media/{str(old).removeprefix('mxc://')}").errcode == "M_NOT_FOUND"
    assert admin.http.request("POST", path, {}, {"before_ts": (1 << 63) + 5}).json == {"deleted": 1}


def test_what_a_room_shows_is_listed(site: MediaSite, admin: Syncer) -> None:
    alice, bob = site.people("alice", "bob")
    room, elsewhere = alice.public_room(), alice.create()
    bob.join(room)
    names = [upload(alice, bytes([number])) for number in range(4)]
    avatar = {"avatar_url": f"mxc://{names[3]}"}
    alice.http.put(f"{V3}/profile/{alice.user_id}/avatar_url", avatar)
    info = {"thumbnail_url": f"mxc://{names[1]}"}
    for _ in range(2):
        alice.say(room, "a picture", msgtype="m.image", url=f"mxc://{names[0]}", info=info)
    bob.say(
        room, "another", msgtype="m.file", url="mxc://far.example:8448/there", filename="mxc://not/a.name"
    )
    alice.set_state(room, "m.room.avatar", {"url": f"mxc://{names[2]}"})
    alice.say(elsewhere, "a picture", msgtype="m.image", url=f"mxc://{names[3]}")
    for _ in range(30):
        bob.say(room, "talk")
    answer = admin.http.get(f"{ADMIN}/room/{room}/media").json
    assert sorted(answer["local"]) == sorted(f"mxc://{name}" for name in names[:3])
    assert sorted(answer["remote"]) == ["mxc://far.example:8448/there", "mxc://not/a"]
    assert admin.http.get(f"{ADMIN}/room/!nowhere:test/media").json == {"local": [], "remote": []}


def test_how_much_users_have_is_told(site: MediaSite, admin: Syncer) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    uploads(site, alice)
    middle = site.clock.now_ms()
    upload(bob, bytes(100))
    carol.http.put(f"{V3}/profile/{carol.user_id}/displayname", {"displayname": "Zoë ALICE"})
    upload(carol, bytes(50))
    upload(carol, b"")
    path = f"{ADMIN}/statistics/users/media"

    def told(**query: Any) -> list[str]:
        return [each["user_id"][1:-5] for each in admin.http.get(path, query).json["users"]]

    assert admin.http.get(path).json == {
        "users": [
            {"user_id": alice.user_id, "displayname": "alice", "media_count": 3, "media_length": 6},
            {"user_id": bob.user_id, "displayname": "bob", "media_count": 1, "media_length": 100},
            {"user_id": carol.user_id, "displayname": "Zoë ALICE", "media_count": 2, "media_length": 50},
        ],
        "total": 3,
    }
    assert told(dir="b") == ["carol", "bob", "alice"]
    assert told(order_by="media_length") == ["alice", "carol", "bob"]
    assert told(order_by="media_count", dir="b") == ["alice", "carol", "bob"]
    assert told(order_by="displayname") == ["carol", "alice", "bob"]
    assert told(from_ts=middle) == ["bob", "carol"]
    assert told(until_ts=middle - 1) == ["alice"]
    assert told(search_term="Alice") == ["alice", "carol"]
    assert told(search_term="test") == []
    page = admin.http.get(path, {"limit": 2}).json
    assert (len(page["users"]), page["next_token"], page["total"]) == (2, 2, 3)
    assert told(**{"from": 2}) == ["carol"]


def test_files_that_nobody_wanted_for_long_go_where_that_is_configured(
    database: Database, tmp_path: Path
) -> None:
    site = MediaSite(database, tmp_path, local_lifetime="30d")
    tools = build_media_tools(site.app.core.config, database, site.clock, SeededRandom(99))
    alice = site.person("alice")
    names = [upload(alice, bytes([number])) for number in range(4)]
    avatar = {"avatar_url": f"mxc://{names[1]}"}
    alice.http.put(f"{V3}/profile/{alice.user_id}/avatar_url", avatar)
    finished(tools.quarantine.address(named(names[2]), "an admin"))
    site.clock.advance(20 * DAY_S)
    download(alice.http, names[3])
    assert finished(tools.retention.shrink()) == 0
    site.clock.advance(20 * DAY_S)
    assert finished(tools.retention.shrink()) == 1
    found = [download(alice.http, each).status for each in names]
    assert found == [404, 200, 404, 200]
    finished(tools.quarantine.release(named(names[2])))
    assert download(alice.http, names[2]).status == 200


def test_nobody_else_may_do_any_of_that(site: MediaSite) -> None:
    alice = site.person("alice")
    name = upload(alice, b"mine")
    media_id = name.partition("/")[2]
    for method, path in (
        ("GET", f"media/{name}"),
        ("DELETE", f"media/{name}"),
        ("POST", f"media/quarantine/{name}"),
        ("POST", f"media/unquarantine/{name}"),
        ("POST", f"media/protect/{media_id}"),
        ("DELETE", f"users/{alice.user_id}/media"),
        ("POST", "media/delete"),
    ):
        reply = alice.http.request(method, f"{ADMIN}/{path}", {})
        assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN"), path
        assert site.http.request(method, f"{ADMIN}/{path}", {}).status == 401
    assert download(alice.http, name).body == b"mine"

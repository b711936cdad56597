"""What administrators keep from everybody.

https://element-hq.github.io/synapse/latest/admin_api/media_admin_api.html#quarantine-media
"""

from hashlib import sha256
from pathlib import Path

import pytest

from homeserver.app.commands.offline import finished
from homeserver.app.wiring_media import MediaTools
from storage.database import Database
from tests.client_api.media_site import (
    CREATE,
    MEDIA,
    UPLOAD,
    MediaSite,
    copy_of,
    download,
    named,
    thumbnail,
    upload,
)
from tests.client_api.sync_site import Syncer

ADMIN = "/_synapse/admin/v1"
HASH = "/_meridian/admin/v1/media/hash"
HOURS_3 = 3 * 3600


@pytest.fixture
def site(database: Database, tmp_path: Path) -> MediaSite:
    return MediaSite(database, tmp_path)


def statuses(who: Syncer, *names: str) -> list[int]:
    """What downloads of some addresses give."""
    return [download(who.http, name).status for name in names]


def changes(admin: Syncer, after: int = 0) -> list[tuple[str, bool]]:
    """What was closed and opened."""
    answer = admin.http.get(f"{ADMIN}/media/quarantine_changes", {"from": after}).json
    return [(f"{each['origin']}/{each['media_id']}", each["quarantined"]) for each in answer["changes"]]


def test_content_in_quarantine_is_for_nobody_under_any_address(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    first, second, other = upload(alice, b"bad"), upload(alice, b"bad"), upload(alice, b"good")
    assert admin.http.post(f"{ADMIN}/media/quarantine/{first}", {}).json == {}
    for name in (first, second):
        assert download(alice.http, name).errcode == "M_NOT_FOUND"
        assert thumbnail(alice.http, name, 32, 32).errcode == "M_NOT_FOUND"
    assert download(alice.http, other).status == 200
    assert admin.http.get(f"{ADMIN}/media/{second}").json["media_info"]["quarantined_by"] == admin.user_id
    assert admin.http.post(f"{ADMIN}/media/unquarantine/{second}", {}).json == {}
    assert statuses(alice, first, second) == [200, 200]
    assert admin.http.post(f"{ADMIN}/media/quarantine/test/none", {}).errcode == "M_NOT_FOUND"
    assert admin.http.post(f"{ADMIN}/media/unquarantine/test/none", {}).errcode == "M_NOT_FOUND"


def test_only_administrators_look_at_what_is_in_quarantine_and_only_if_they_say_so(
    site: MediaSite, admin: Syncer
) -> None:
    alice = site.person("alice")
    name = upload(alice, b"bad")
    admin.http.post(f"{ADMIN}/media/quarantine/{name}", {})
    path, asking = f"{MEDIA}/download/{name}", {"admin_unsafely_bypass_quarantine": True}
    assert admin.http.get(path).status == 404
    assert admin.http.get(path, asking).body == b"bad"
    assert alice.http.get(path, asking).status == 404


def test_what_is_in_quarantine_cannot_be_uploaded_again(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    admin.http.post(f"{ADMIN}/media/quarantine/{upload(alice, b'bad')}", {})
    reply = alice.http.post(UPLOAD, b"bad")
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    later = alice.http.post(CREATE).json["content_uri"].removeprefix("mxc://")
    assert alice.http.put(f"{UPLOAD}/{later}", b"bad").errcode == "M_FORBIDDEN"
    assert (len(site.files()), site.incoming()) == (1, [])


def test_it_stays_so_when_the_file_is_gone(site: MediaSite, admin: Syncer, tools: MediaTools) -> None:
    alice = site.person("alice")
    name = upload(alice, b"bad")
    admin.http.post(f"{ADMIN}/media/quarantine/{name}", {})
    assert admin.http.delete(f"{ADMIN}/media/{name}").status == 200
    site.clock.advance(HOURS_3)
    finished(tools.library.sweep())
    assert site.files() == []
    assert alice.http.post(UPLOAD, b"bad").errcode == "M_FORBIDDEN"
    assert (site.files(), site.incoming()) == ([], [])


def test_bytes_are_forbidden_before_they_come(site: MediaSite, admin: Syncer, tools: MediaTools) -> None:
    alice = site.person("alice")
    digest = sha256(b"known to be bad").hexdigest()
    path = f"{HASH}/{digest.upper()}"
    assert admin.http.post(f"{path}/unquarantine", {}).errcode == "M_NOT_FOUND"
    assert admin.http.post(f"{path}/quarantine", {}).json == {"num_quarantined": 0}
    assert alice.http.post(UPLOAD, b"known to be bad").errcode == "M_FORBIDDEN"
    copy = str(copy_of(site, tools, 1, b"known to be bad")).removeprefix("mxc://")
    assert download(alice.http, copy).errcode == "M_NOT_FOUND"
    assert admin.http.post(f"{path}/unquarantine", {}).json == {"num_unquarantined": 1}
    assert download(alice.http, copy).body == b"known to be bad"
    upload(alice, b"known to be bad")
    assert admin.http.post(f"{HASH}/abc/quarantine", {}).errcode == "M_INVALID_PARAM"


def test_all_that_a_user_uploaded(site: MediaSite, admin: Syncer) -> None:
    alice, bob = site.people("alice", "bob")
    mine = [upload(alice, bytes([number])) for number in range(4)]
    shared, other = upload(bob, bytes([0])), upload(bob, b"other")
    admin.http.post(f"{ADMIN}/media/protect/{mine[3].partition('/')[2]}", {})
    path = f"{ADMIN}/user/{alice.user_id}/media/quarantine"
    assert admin.http.post(path, {}).json == {"num_quarantined": 4}
    assert admin.http.post(path).json == {"num_quarantined": 0}
    assert statuses(bob, *mine, shared, other) == [404, 404, 404, 200, 404, 200]
    reply = admin.http.post(f"{ADMIN}/user/@alice:elsewhere.example/media/quarantine", {})
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("path", ["room/{room}/media/quarantine", "quarantine_media/{room}"])
def test_all_that_a_room_shows(site: MediaSite, admin: Syncer, tools: MediaTools, path: str) -> None:
    alice = site.person("alice")
    room = alice.create()
    shown, unseen, sticker = upload(alice, b"1"), upload(alice, b"2"), upload(alice, b"3")
    copy = str(copy_of(site, tools, 1, b"far")).removeprefix("mxc://")
    admin.http.post(f"{ADMIN}/media/protect/{sticker.partition('/')[2]}", {})
    for name in (shown, copy, sticker, "far.example/notfetched"):
        alice.say(room, "a picture", msgtype="m.image", url=f"mxc://{name}")
    assert admin.http.post(f"{ADMIN}/{path.format(room=room)}", {}).json == {"num_quarantined": 2}
    assert statuses(alice, shown, copy, sticker, unseen) == [404, 404, 200, 200]


def test_what_is_protected_stays_out_of_quarantine(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    sticker, same = upload(alice, b"sticker"), upload(alice, b"sticker")
    media_id = sticker.partition("/")[2]
    assert admin.http.post(f"{ADMIN}/media/protect/{media_id}", {}).json == {}
    assert admin.http.get(f"{ADMIN}/media/{sticker}").json["media_info"]["safe_from_quarantine"] is True
    reply = admin.http.post(f"{ADMIN}/media/quarantine/{sticker}", {})
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    admin.http.post(f"{ADMIN}/media/quarantine/{same}", {})
    assert statuses(alice, sticker, same) == [200, 404]
    assert admin.http.post(f"{ADMIN}/media/unprotect/{media_id}", {}).json == {}
    admin.http.post(f"{ADMIN}/media/quarantine/{sticker}", {})
    assert statuses(alice, sticker, same) == [404, 404]
    assert admin.http.post(f"{ADMIN}/media/protect/unknown", {}).errcode == "M_NOT_FOUND"


def test_each_change_is_on_record_in_order(site: MediaSite, admin: Syncer, tools: MediaTools) -> None:
    alice = site.person("alice")
    first, second = upload(alice, b"1"), upload(alice, b"2")
    finished(tools.quarantine.address(named(first), "command line"))
    admin.http.post(f"{ADMIN}/media/quarantine/{second}", {})
    admin.http.post(f"{ADMIN}/media/quarantine/{second}", {})
    admin.http.post(f"{ADMIN}/media/unquarantine/{first}", {})
    assert changes(admin) == [(first, True), (second, True), (first, False)]
    path = f"{ADMIN}/media/quarantine_changes"
    last = admin.http.get(path).json["next_batch"]
    assert admin.http.get(path, {"from": last}).json == {"next_batch": last, "changes": []}
    admin.http.post(f"{ADMIN}/media/unquarantine/{second}", {})
    assert changes(admin, last) == [(second, False)]
    assert changes(admin, (1 << 63) + 1) == []

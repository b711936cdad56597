"""What becomes of content: quotas, quarantine, and deleting what nothing needs."""

from pathlib import Path

import pytest

from homeserver.app.commands.offline import finished
from homeserver.app.wiring_media import MediaTools, build_media_tools
from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.media_site import (
    CREATE,
    UPLOAD,
    MediaSite,
    copy_of,
    download,
    named,
    thumbnail,
    upload,
)
from tests.client_api.pictures import png
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer
from tests.harness.memory import SeededRandom, result_of

HOURS_3 = 3 * 3600


@pytest.fixture
def site(database: Database, tmp_path: Path) -> MediaSite:
    return MediaSite(database, tmp_path, max_user="1KB", remote_cache="1KB")


@pytest.fixture
def tools(site: MediaSite) -> MediaTools:
    return build_media_tools(site.app.core.config, site.database, site.clock, SeededRandom(99))


def test_a_user_has_a_quota(site: MediaSite) -> None:
    alice = site.person("alice")
    upload(alice, bytes(600))
    reply = alice.http.post(UPLOAD, bytes(500))
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    assert len(site.files()) == 1
    name = alice.http.post(CREATE).json["content_uri"].removeprefix("mxc://")
    assert alice.http.put(f"{UPLOAD}/{name}", bytes(500)).errcode == "M_FORBIDDEN"
    upload(alice, b"x" * 400)
    assert alice.http.post(UPLOAD, b"x").errcode == "M_FORBIDDEN"
    upload(site.person("bob"), bytes(600))


def test_all_users_together_have_one(database: Database, tmp_path: Path) -> None:
    site = MediaSite(database, tmp_path, max_server=1000)
    alice, bob = site.people("alice", "bob")
    name = upload(alice, bytes(600))
    upload(bob, b"x" * 600)
    for each in (alice, bob):
        reply = each.http.post(UPLOAD, b"more")
        assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    finished(site.app.media.retention.delete(named(name)))
    site.clock.advance(HOURS_3)
    finished(site.app.media.library.sweep())
    upload(bob, b"more")


def test_what_nothing_needs_is_deleted_after_a_while(site: MediaSite, tools: MediaTools) -> None:
    alice, bob = site.people("alice", "bob")
    picture = png(300, 200)
    first, second = upload(alice, picture), upload(bob, picture)
    thumbnail(alice.http, first, 32, 32)
    finished(tools.retention.delete(named(first)))
    assert download(alice.http, first).errcode == "M_NOT_FOUND"
    site.clock.advance(HOURS_3)
    assert (finished(tools.library.sweep()), download(bob.http, second).body) == (0, picture)
    finished(tools.retention.delete(named(second)))
    assert finished(tools.library.sweep()) == 0
    site.clock.advance(HOURS_3)
    assert finished(tools.library.sweep()) == 1
    site.clock.advance(HOURS_3)
    assert (finished(tools.library.sweep()), site.files()) == (1, [])
    site.app.media.processes.stop()


def test_what_comes_again_in_the_meantime_stays(site: MediaSite, tools: MediaTools) -> None:
    alice = site.person("alice")
    finished(tools.retention.delete(named(upload(alice, b"back"))))
    again = upload(alice, b"back")
    site.clock.advance(HOURS_3)
    finished(tools.library.sweep())
    assert download(alice.http, again).body == b"back"
    finished(tools.retention.delete(named(again)))
    site.clock.advance(HOURS_3)
    finished(tools.library.sweep())
    assert site.files() == []
    assert download(alice.http, upload(alice, b"back")).body == b"back"


def test_the_server_tidies_up_by_itself(site: MediaSite, tools: MediaTools) -> None:
    alice = site.person("alice")
    site.app.media.upkeep.start()
    finished(tools.retention.delete(named(upload(alice, b"gone"))))
    site.clock.advance(HOURS_3)
    assert site.files() == []
    site.app.media.upkeep.stop()


def test_the_least_used_copies_give_way(site: MediaSite, tools: MediaTools) -> None:
    alice = site.person("alice")
    upload(alice, b"ours" * 200)
    copies = []
    for number in range(4):
        copies.append(copy_of(site, tools, number, bytes([number]) * 400))
        site.clock.advance(HOURS_3)
    assert download(alice.http, str(copies[0]).removeprefix("mxc://")).status == 200  # and now the latest
    assert finished(tools.retention.shrink()) == 2
    site.clock.advance(HOURS_3)
    assert finished(tools.library.sweep()) == 2
    found = [download(alice.http, str(copy).removeprefix("mxc://")).status for copy in (copies[0], copies[3])]
    assert (found, len(site.files())) == ([200, 200], 3)


def test_files_are_checked(site: MediaSite, tools: MediaTools) -> None:
    alice = site.person("alice")
    for content in (b"whole", b"lost", b"longer", b"other"):
        upload(alice, content)
    site.clock.advance(5)
    assert finished(tools.checking.contents(read=True)) == []
    by_content = {each.read_bytes(): each for each in site.files()}
    by_content[b"lost"].unlink()
    by_content[b"longer"].write_bytes(b"longer!")
    by_content[b"other"].write_bytes(b"OTHER")
    stray = site.folder / "00" / "00" / "0000.stray"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    quick = {each.kind for each in finished(tools.checking.contents(read=False))}
    assert quick == {"lost", "wrong size"}
    problems = {each.file: each.kind for each in finished(tools.checking.contents(read=True))}
    assert problems == {
        by_content[b"lost"].name: "lost",
        by_content[b"longer"].name: "wrong size",
        by_content[b"other"].name: "wrong bytes",
    }
    strays = finished(tools.checking.strays())
    assert [each.file for each in strays] == [stray.name]
    finished(tools.checking.delete_strays(strays))
    assert not stray.exists()


# --- What events show -----------------------------------------------------------------------------

DAYS_8 = 8 * 24 * 3600


def show(who: Syncer, room: str, name: str) -> str:
    """Show a file in a room; the event's ID."""
    return who.say(room, "a picture", msgtype="m.image", url=f"mxc://{name}")


def let_time_pass(site: MediaSite, tools: MediaTools) -> None:
    """Let the server do what it does behind events, and what it does after a week."""
    uses = site.app.media.uses
    while result_of(uses.step()):
        pass
    site.clock.advance(DAYS_8)
    result_of(uses.release())
    site.clock.advance(HOURS_3)
    result_of(tools.library.sweep())


def test_a_file_goes_when_the_event_that_showed_it_was_redacted(site: MediaSite, tools: MediaTools) -> None:
    alice = site.person("alice")
    room, name = alice.create(), upload(alice, b"shown")
    event = show(alice, room, name)
    let_time_pass(site, tools)
    assert download(alice.http, name).status == 200
    alice.redact(room, event)
    while result_of(site.app.media.uses.step()):
        pass
    assert download(alice.http, name).status == 200
    let_time_pass(site, tools)
    assert (download(alice.http, name).errcode, site.files()) == ("M_NOT_FOUND", [])


def test_a_file_stays_while_anything_shows_it(site: MediaSite, tools: MediaTools) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    name, avatar = upload(alice, b"shown"), upload(alice, b"avatar")
    first = show(alice, room, name)
    show(bob, room, name)
    worn = show(alice, room, avatar)
    alice.http.put(f"{V3}/profile/{alice.user_id}/avatar_url", {"avatar_url": f"mxc://{avatar}"})
    for event in (first, worn):
        alice.redact(room, event)
    let_time_pass(site, tools)
    assert [download(alice.http, each).status for each in (name, avatar)] == [200, 200]


def test_nobody_has_a_file_deleted_by_showing_it(site: MediaSite, tools: MediaTools) -> None:
    alice, mallory = site.people("alice", "mallory")
    name, room = upload(alice, b"secret"), mallory.create()
    mallory.redact(room, show(mallory, room, name))
    let_time_pass(site, tools)
    assert download(alice.http, name).body == b"secret"


def test_a_file_that_is_the_avatar_of_a_room_stays(site: MediaSite, tools: MediaTools) -> None:
    alice = site.person("alice")
    room, other, name = alice.create(), alice.create(), upload(alice, b"avatar")
    alice.set_state(other, "m.room.avatar", {"url": f"mxc://{name}"})
    alice.redact(room, show(alice, room, name))
    let_time_pass(site, tools)
    assert download(alice.http, name).status == 200


def test_a_protected_file_stays(site: MediaSite, tools: MediaTools) -> None:
    alice = site.person("alice")
    room, name = alice.create(), upload(alice, b"sticker")
    finished(tools.quarantine.protect(named(name), True))
    alice.redact(room, show(alice, room, name))
    let_time_pass(site, tools)
    assert download(alice.http, name).status == 200


# --- Users who had themselves erased --------------------------------------------------------------


def erase(who: Syncer, *, erased: bool = True) -> None:
    """Close the account of somebody."""
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": who.user_id}}
    body = {"auth": {**auth, "password": PASSWORD}, "erase": erased}
    assert who.http.post(f"{V3}/account/deactivate", body).status == 200


def test_files_of_an_erased_user_go_after_a_while(site: MediaSite, tools: MediaTools) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    names = [upload(alice, content) for content in (b"shown", b"unseen", b"avatar")]
    show(alice, room, names[0])
    avatar = {"avatar_url": f"mxc://{names[2]}"}
    assert alice.http.put(f"{V3}/profile/{alice.user_id}/avatar_url", avatar).status == 200
    bob.invite(bob.create(), alice)
    other = upload(bob, b"bob's")
    erase(alice)
    assert [download(bob.http, each).status for each in names] == [200] * 3
    let_time_pass(site, tools)
    assert [download(bob.http, each).status for each in names] == [404] * 3
    assert download(bob.http, other).status == 200
    assert len(site.files()) == 1


def test_what_others_show_of_an_erased_user_stays_until_they_do_not(
    site: MediaSite, tools: MediaTools
) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    shown, worn, hung = (upload(alice, content) for content in (b"shown", b"worn", b"hung"))
    show(alice, room, shown)
    event = show(bob, room, shown)
    bob.http.put(f"{V3}/profile/{bob.user_id}/avatar_url", {"avatar_url": f"mxc://{worn}"})
    alice.set_state(room, "m.room.avatar", {"url": f"mxc://{hung}"})
    erase(alice)
    let_time_pass(site, tools)
    assert [download(bob.http, each).status for each in (shown, worn, hung)] == [200] * 3
    bob.redact(room, event)
    let_time_pass(site, tools)
    assert [download(bob.http, each).status for each in (shown, worn, hung)] == [404, 200, 200]


def test_files_of_whoever_only_closed_their_account_stay(site: MediaSite, tools: MediaTools) -> None:
    alice, bob = site.people("alice", "bob")
    name = upload(alice, b"shown")
    erase(alice, erased=False)
    let_time_pass(site, tools)
    assert download(bob.http, name).status == 200

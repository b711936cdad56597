"""Rooms that administrators delete and block: who is in them leaves, and nothing is left of them.

https://element-hq.github.io/synapse/latest/admin_api/rooms.html#delete-room-api
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from homeserver.app.wiring_media import MediaTools
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.services.rooms import deletion_steps, purging
from storage.database import Database
from storage.tables.room_rows import BEHIND, KEPT, OF_EVENTS, OF_USERS, SHOWING
from tests.client_api.media_site import MediaSite, download, upload
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sliding_client import EVERYTHING, Slider, rooms_list
from tests.client_api.sync_site import Syncer
from tests.client_api.test_server_notices import tell
from tests.harness.client import Reply
from tests.harness.memory import result_of

V1: Final = "/_synapse/admin/v1/rooms"
V2: Final = "/_synapse/admin/v2/rooms"
FOR_A_WEEK: Final = 8 * 24 * 3600
_OF_ROOMS: Final = re.compile(r"(room_id|event_id|(\w+_)?nid)")


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[MediaSite]:
    """A whole server."""
    changes = {
        "thread_subscriptions": {"enabled": True},
        "delayed_events": {"max_delay": "1h"},
        "public_baseurl": "https://test/",
    }
    site = MediaSite(database, tmp_path, changes)
    yield site
    site.app.media.processes.stop()


def delete(admin: Syncer, room: str, **wishes: Any) -> str:
    """Have a room deleted; the deletion's ID."""
    reply = try_delete(admin, room, **wishes)
    assert reply.status == 200, reply.text
    return str(reply.json["delete_id"])


def try_delete(admin: Syncer, room: str, **wishes: Any) -> Reply:
    """Try to."""
    return admin.here.request("DELETE", f"{V2}/{quote(room)}", wishes)


def status(admin: Syncer, delete_id: str) -> Any:
    """How far a deletion is."""
    reply = admin.here.get(f"{V2}/delete_status/{delete_id}")
    assert reply.status == 200, reply.text
    return reply.json


def go_on(site: MediaSite, pieces: int = 10_000) -> int:
    """Let the server delete so many pieces at most; how many it did."""
    for done in range(pieces):
        busy = result_of(site.app.room_deletion.steps.do_some())
        if busy is None:
            return done
        if not busy:
            site.clock.advance(1)
    return pieces


def block(admin: Syncer, room: str, *, blocked: bool = True) -> None:
    """Block a room or open it again."""
    reply = admin.here.put(f"{V1}/{quote(room)}/block", {"block": blocked})
    assert (reply.status, reply.json) == (200, {"block": blocked})


def rows_left(site: MediaSite, room: str, nids: list[int], event_ids: list[str]) -> dict[str, int]:
    """How many rows of a room each table has."""

    def count(tx: Any) -> dict[str, int]:
        found: dict[str, int] = {}
        for table, columns in _columns(tx).items():
            tests = ["room_id = %(room)s"] if "room_id" in columns else []
            tests += [f"{each} = any(%(nids)s)" for each in columns if each.endswith("nid")]
            tests += ["event_id = any(%(ids)s)"] if "event_id" in columns else []
            if tests:
                values = {"room": room, "nids": nids, "ids": event_ids}
                tx.execute(f"select count(*) from {table} where {' or '.join(tests)}", values)
                found[table] = tx.row()[0]
        return found

    return result_of(_read(site, count))


async def _read(site: MediaSite, fn: Any) -> Any:
    return await site.database.read(fn)


def _columns(tx: Any) -> dict[str, list[str]]:
    tx.execute(
        """select table_name, column_name from information_schema.columns
           where table_schema = 'public' order by 1, 2"""
    )
    found: dict[str, list[str]] = {}
    for table, column in tx.rows():
        found.setdefault(table, []).append(column)
    return found


def events_of(site: MediaSite, room: str) -> tuple[list[int], list[str]]:
    """The numbers and IDs of a room's events."""

    def read(tx: Any) -> tuple[list[int], list[str]]:
        tx.execute("select nid, event_id from events where room_id = %(room)s", {"room": room})
        rows = tx.rows()
        return [nid for nid, _ in rows], [event_id for _, event_id in rows]

    found: tuple[list[int], list[str]] = result_of(_read(site, read))
    return found


def test_every_table_that_speaks_of_rooms_is_in_the_registry(site: MediaSite) -> None:
    columns: dict[str, list[str]] = result_of(_read(site, _columns))
    speaking = {table for table, names in columns.items() if any(_OF_ROOMS.fullmatch(each) for each in names)}
    removed = {*SHOWING, *BEHIND, *OF_EVENTS, *OF_USERS}
    assert speaking - removed == KEPT.keys()
    assert removed <= speaking


def furnish(site: MediaSite, alice: Syncer, bob: Syncer) -> tuple[str, str]:
    """A room with something of everything, and the file that only it shows."""
    room = alice.public_room(room_alias_name="den", name="The den", topic="words", visibility="public")
    bob.join(room)
    shown = upload(alice, b"only here")
    first = alice.say(room, "hello @bob", **{"m.mentions": {"user_ids": [bob.user_id]}})
    alice.say(room, "a picture", msgtype="m.image", url=f"mxc://{shown}")
    reply = {"rel_type": "m.thread", "event_id": first}
    in_thread = bob.say(room, "a reply", **{"m.relates_to": reply})
    subscription = (
        f"/_matrix/client/unstable/io.element.msc4306/rooms/{quote(room)}/thread/{first}/subscription"
    )
    assert bob.http.put(subscription, {}).status == 200
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": first, "key": "+1"}}
    assert bob.http.put(room_path(room, "send", "m.reaction", "r1"), reaction).status == 200
    alice.redact(room, bob.say(room, "oops"))
    for kind in ("m.read", "m.read.private"):
        alice.receipt(room, in_thread, kind)
    bob.put_account_data("m.tag", {"tags": {"u.x": {}}}, room)
    stranger = site.person("stranger")
    stranger.put_account_data("org.example", {"x": 1}, room)
    alice.set_state(room, "m.room.join_rules", {"join_rule": "knock"})
    assert stranger.http.post(f"{V3}/knock/{quote(room)}", {}).status == 200
    alice.invite(room, site.person("invited"))
    delayed = {"org.matrix.msc4140.delay": 100_000}
    unspecified = replace(alice.http, specified=False)
    later = unspecified.put(room_path(room, "send", "m.room.message", "d1"), {"body": "later"}, delayed)
    assert later.json.keys() == {"delay_id"}
    sticky = {"org.matrix.msc4354.sticky_duration_ms": 600_000}
    alice.http.put(room_path(room, "send", "m.room.message", "s1"), {"body": "sticky"}, sticky)
    alice.http.post(room_path(room, "report"), {"reason": "bad"})
    pusher = {
        "app_id": "a", "pushkey": "k", "kind": "http", "app_display_name": "A", "device_display_name": "D",
        "lang": "en", "data": {"url": "https://push.example/_matrix/push/v1/notify"},
    }  # fmt: skip
    assert bob.http.post(f"{V3}/pushers/set", pusher).status == 200
    alice.say(room, "needle in the hay")
    for following in (site.app.searches.index, site.app.media.uses):
        while result_of(following.step()):
            pass
    site.app.push.owed.begin()
    result_of(site.app.push.owed.step())
    return room, shown


def test_nothing_is_left_of_a_purged_room(site: MediaSite, admin: Syncer, tools: MediaTools) -> None:
    alice, bob = site.people("alice", "bob")
    room, shown = furnish(site, alice, bob)
    other = alice.public_room(name="The other")
    alice.say(other, "stays")
    nids, event_ids = events_of(site, room)
    before = rows_left(site, room, nids, event_ids)
    empty = {
        "early_events", "backward_extremities", "timeline_gaps", "outbox_extra", "outside_memberships", "partial_rooms",
        "remote_joins", "doubtful_sticky_events", "owed_redactions", "standing_redactions",
        "push_mail_rooms", "message_search_backlog", "blocked_rooms", "room_deletions",
        "delayed_event_outcomes", "key_backup_sessions", "server_notice_rooms",
        "room_farewells",
    }  # fmt: skip
    assert {table for table, count in before.items() if not count} == empty
    untouched = rows_left(site, other, *events_of(site, other))
    delete_id = delete(admin, room)
    go_on(site)
    assert status(admin, delete_id)["status"] == "complete"
    left = {
        table
        for table, count in rows_left(site, room, nids, event_ids).items()
        if count and table not in KEPT
    }
    assert left == set()
    assert rows_left(site, other, *events_of(site, other)) == untouched
    assert download(alice.http, shown).status == 200
    site.clock.advance(FOR_A_WEEK)
    result_of(site.app.media.uses.release())
    assert download(alice.http, shown).errcode == "M_NOT_FOUND"
    for path in ("messages?dir=b", "state", "members", "event/$x", "context/$x"):
        reply = alice.http.get(f"{V3}/rooms/{quote(room)}/{path}")
        assert reply.status in (403, 404), reply.text
    assert alice.say(other, "still here")


def test_users_leave_and_clients_see_that(site: MediaSite, admin: Syncer) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room(room_alias_name="gone", visibility="public")
    bob.join(room)
    for each in (alice, bob):
        each.sync()
    waiting = bob.poll()
    delete_id = delete(admin, room)
    assert status(admin, delete_id)["status"] == "scheduled"
    go_on(site, 3)
    site.turn(0.1)
    assert waiting.done
    assert room in bob.sync()["rooms"]["leave"]
    shown = status(admin, delete_id)
    assert shown["status"] == "active"
    assert sorted(shown["shutdown_room"]["kicked_users"]) == sorted([alice.user_id, bob.user_id])
    assert shown["shutdown_room"]["local_aliases"] == ["#gone:test"]
    assert room in alice.sync()["rooms"]["leave"]
    go_on(site)
    for each in (alice, bob):
        assert each.sync().get("rooms", {}) == {}
        assert each.first_sync(filter={"room": {"include_leave": True}}).get("rooms", {}) == {}
    assert alice.http.get(f"{V3}/directory/room/%23gone:test").errcode == "M_NOT_FOUND"
    assert alice.http.get(f"{V3}/publicRooms").json["chunk"] == []
    results = admin.here.get(f"{V2}/{quote(room)}/delete_status").json["results"]
    assert [(each["delete_id"], each["status"], each["room_id"]) for each in results] == [
        (delete_id, "complete", room)
    ]


def test_a_room_of_server_notices_goes_and_the_next_notice_makes_a_new_one(
    site: MediaSite, admin: Syncer
) -> None:
    alice = site.person("alice")

    def told() -> set[str]:
        tell(admin, alice, "hello")
        return set(alice.first_sync()["rooms"]["invite"])

    (room,) = told()
    delete_id = delete(admin, room)
    site.clock.advance(1)
    assert len(told()) == 2, "notices do not wait until the room is gone"
    go_on(site)
    assert status(admin, delete_id)["status"] == "complete"
    assert status(admin, delete_id)["shutdown_room"]["failed_to_kick_users"] == []
    (other,) = told()
    assert other != room


def test_a_client_that_was_away_hears_that_its_user_left(
    site: MediaSite, admin: Syncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = site.people("alice", "bob")
    room, other = alice.public_room(name="Gone"), alice.public_room()
    bob.join(room)
    bob.sync()
    since, slider = bob.since, Slider(bob)
    slider.first(lists={"a": rooms_list()})
    delete(admin, room)
    go_on(site)
    slid = slider.sync(lists={"a": rooms_list()})["rooms"]
    assert (slid.keys(), slid[room]["membership"]) == ({room}, "leave")
    assert slid[room]["timeline"][0]["content"]["membership"] == "leave"
    assert slider.sync(lists={"a": rooms_list()})["rooms"] == {}
    for _ in range(2):
        site.start()
        left = bob.sync(since)["rooms"]["leave"]
        assert left.keys() == {room}
        (leave,) = left[room]["timeline"]["events"]
        assert (leave["state_key"], leave["content"]["membership"]) == (bob.user_id, "leave")
    assert "leave" not in bob.sync(filter={"room": {"not_rooms": [room]}}).get("rooms", {})
    assert bob.sync().get("rooms", {}) == {}
    assert "leave" not in bob.first_sync().get("rooms", {})
    bob.reconnect()
    bob.join(other)
    result_of(site.app.room_deletion.steps.forget_old())
    assert bob.sync(since)["rooms"]["leave"].keys() == {room}
    monkeypatch.setattr(deletion_steps, "FAREWELL_MS", 0)
    result_of(site.app.room_deletion.steps.forget_old())
    assert bob.sync(since)["rooms"].keys() == {"join"}


def test_a_deletion_goes_on_after_a_restart(
    site: MediaSite, admin: Syncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "ROWS_AT_ONCE", 2)
    alice, bob = site.people("alice", "bob")
    room, _ = furnish(site, alice, bob)
    nids, event_ids = events_of(site, room)
    delete_id = delete(admin, room)
    restarts = 0
    while go_on(site, 15) == 15:
        restarts += 1
        site.start()
    assert restarts > 3
    assert status(admin, delete_id)["status"] == "complete"
    counts = rows_left(site, room, nids, event_ids)
    assert {table for table, count in counts.items() if count and table not in KEPT} == set()


def test_whoever_reads_meanwhile_gets_clear_answers(
    site: MediaSite, admin: Syncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "ROWS_AT_ONCE", 3)
    alice, bob = site.people("alice", "bob")
    room, _ = furnish(site, alice, bob)
    event_id = alice.say(room, "to be read")
    alice.sync()
    since, slider, whole = alice.since, Slider(alice), {"a": rooms_list(state=EVERYTHING)}
    slider.sync(lists=whole)
    delete(admin, room)
    told: set[str] = set()
    while (busy := result_of(site.app.room_deletion.steps.do_some())) is not None:
        told |= alice.sync().get("rooms", {}).get("leave", {}).keys()
        alice.sync(since, filter={"room": {"include_leave": True}})
        alice.first_sync(filter={"room": {"include_leave": True}})
        slider.sync(lists=whole)
        Slider(alice, "new").first(lists=whole)
        for path in ("messages?dir=b", "state", "members", f"event/{event_id}", f"context/{event_id}"):
            reply = alice.here.get(f"{V3}/rooms/{quote(room)}/{path}")
            assert reply.status in (200, 403, 404), reply.text
        assert alice.try_say(room, "still?").status in (200, 403)
        assert bob.try_join(room).status in (403, 404)
        site.clock.advance(0 if busy else 1)
    assert told == {room}


def test_other_nodes_forget_what_they_have_in_memory(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    room = alice.public_room()
    event_id = EventID(alice.say(room, "in memory"))
    other = site.app
    site.start()
    delete(admin, room)
    while result_of(site.app.room_deletion.steps.do_some()) is not None:
        site.clock.advance(1)
        result_of(other.room_deletion.memory.look())
    assert result_of(other.rooms_core.heads.find(RoomID(room))) is None
    assert other.rooms_core.events.cached(event_id) is None


def test_the_server_deletes_by_itself(site: MediaSite, admin: Syncer) -> None:
    room = site.person("alice").public_room()
    site.app.room_deletion.work.start()
    delete_id = delete(admin, room)
    site.clock.advance(60)
    assert status(admin, delete_id)["status"] == "complete"
    result_of(site.app.room_deletion.work.stop())


def test_users_find_themselves_in_another_room(site: MediaSite, admin: Syncer) -> None:
    alice, bob, invited = site.people("alice", "bob", "invited")
    room = alice.public_room(room_alias_name="moved")
    bob.join(room)
    alice.invite(room, invited)
    delete_id = delete(
        admin, room, new_room_user_id=admin.user_id, room_name="Moved", message="It had to be."
    )
    go_on(site)
    shown = status(admin, delete_id)
    new = shown["shutdown_room"]["new_room_id"]
    assert (shown["status"], len(shown["shutdown_room"]["kicked_users"])) == ("complete", 3)
    joined = bob.first_sync()["rooms"]["join"]
    assert joined.keys() == {new}
    assert bob.state(new, "m.room.name") == {"name": "Moved"}
    assert bob.texts(new) == ["It had to be."]
    assert bob.try_say(new, "why?").errcode == "M_FORBIDDEN"
    assert "join" not in invited.first_sync().get("rooms", {})
    assert bob.http.get(f"{V3}/directory/room/%23moved:test").json["room_id"] == new


def test_the_older_path_answers_when_the_room_is_gone(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    room = alice.public_room(room_alias_name="old")
    path = f"{V1}/{quote(room)}"
    assert alice.here.request("DELETE", path, {}).errcode == "M_FORBIDDEN"
    waiting = admin.here.start("DELETE", path, {"block": True, "message": "It had to be."})
    while result_of(site.app.room_deletion.steps.do_some()) is not None:
        assert not waiting.done
        site.clock.advance(1)
    site.clock.advance(1)
    assert waiting.reply.json == {
        "kicked_users": [alice.user_id],
        "failed_to_kick_users": [],
        "local_aliases": ["#old:test"],
        "new_room_id": None,
    }
    assert alice.try_join(room).errcode == "M_FORBIDDEN"


def break_room(site: MediaSite, room: str) -> None:
    """Take away what every event of a room builds upon, so that nobody can leave it."""

    def remove(tx: Any) -> None:
        tx.execute("delete from events where room_id = %(room)s and type <> 'm.room.member'", {"room": room})

    async def transact() -> None:
        await site.database.transact(remove)

    result_of(transact())
    site.start()


def test_a_room_is_purged_by_force_although_its_users_cannot_leave(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    room, other = alice.public_room(), alice.public_room()
    alice.sync()
    break_room(site, room)
    path = f"{V1}/{quote(room)}"
    waiting = admin.here.start("DELETE", path, {})
    go_on(site)
    site.clock.advance(1)
    assert (waiting.reply.status, waiting.reply.errcode) == (400, "M_UNKNOWN")
    delete_id = delete(admin, room, force_purge=True)
    go_on(site)
    shown = status(admin, delete_id)
    assert shown["status"] == "complete"
    assert shown["shutdown_room"]["failed_to_kick_users"] == [alice.user_id]
    assert room in alice.sync()["rooms"]["leave"]
    assert alice.first_sync()["rooms"]["join"].keys() == {other}


def test_without_a_purge_the_room_is_only_empty(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    room = alice.public_room()
    alice.say(room, "remember me")
    delete_id = delete(admin, room, purge=False)
    assert alice.try_join(room).errcode == "M_FORBIDDEN"
    go_on(site)
    assert status(admin, delete_id)["status"] == "complete"
    assert alice.texts(room) == ["remember me"]


def test_a_blocked_room_cannot_be_entered(site: MediaSite, admin: Syncer) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    block(admin, room)
    assert admin.here.get(f"{V1}/{quote(room)}/block").json == {"block": True, "user_id": admin.user_id}
    assert bob.try_join(room).errcode == "M_FORBIDDEN"
    assert bob.http.post(f"{V3}/knock/{quote(room)}", {}).errcode == "M_FORBIDDEN"
    assert alice.try_act("invite", room, user_id=bob.user_id).errcode == "M_FORBIDDEN"
    alice.say(room, "who is in it stays")
    block(admin, room, blocked=False)
    assert admin.here.get(f"{V1}/{quote(room)}/block").json == {"block": False}
    bob.join(room)
    unknown = "!unknown:elsewhere.example"
    block(admin, unknown)
    assert bob.try_join(unknown).errcode == "M_FORBIDDEN"


def test_who_is_not_in_a_blocked_room_does_not_come_upon_it(site: MediaSite, admin: Syncer) -> None:
    alice, bob = site.people("alice", "bob")
    readable = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    room = alice.public_room(room_alias_name="den", visibility="public", initial_state=[readable])
    event_id = alice.say(room, "look")
    space = alice.public_room(creation_content={"type": "m.space"})
    alice.set_state(space, "m.space.child", {"via": ["test"]}, room)
    paths = {
        "state": f"{V3}/rooms/{quote(room)}/state",
        "messages": f"{V3}/rooms/{quote(room)}/messages?dir=b",
        "event": f"{V3}/rooms/{quote(room)}/event/{quote(event_id)}",
        "context": f"{V3}/rooms/{quote(room)}/context/{quote(event_id)}",
        "alias": f"{V3}/directory/room/%23den:test",
        "summary": f"/_matrix/client/v1/room_summary/{quote(room)}",
    }

    def upon(who: Syncer) -> set[str]:
        found = {name for name, path in paths.items() if who.here.get(path).status == 200}
        answers = {
            "list": who.http.get(f"{V3}/publicRooms").json["chunk"],
            "tree": who.http.get(f"/_matrix/client/v1/rooms/{quote(space)}/hierarchy").json["rooms"],
        }
        return found | {
            name for name, rooms in answers.items() if room in {each["room_id"] for each in rooms}
        }

    everywhere = {*paths, "list", "tree"}
    assert upon(bob) == everywhere
    block(admin, room)
    assert upon(bob) == set()
    assert site.http.get(paths["summary"]).errcode == "M_NOT_FOUND"
    assert upon(alice) == everywhere - {"alias", "list"}, "who is in it stays"
    reply = bob.http.post(f"{V3}/join/%23den:test", {})
    assert (reply.status, reply.json["error"]) == (403, "This room has been blocked on this server")
    block(admin, room, blocked=False)
    assert upon(bob) == everywhere


def test_a_room_can_stay_blocked_when_it_is_gone(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    room = alice.public_room()
    delete(admin, room, block=True)
    go_on(site)
    reply = alice.try_join(room)
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")


def test_what_cannot_be_deleted_is_said(site: MediaSite, admin: Syncer) -> None:
    alice = site.person("alice")
    room = alice.public_room()
    assert try_delete(alice, room).errcode == "M_FORBIDDEN"
    assert try_delete(admin, "nonsense").errcode == "M_INVALID_PARAM"
    for user_id in ("nobody", "@somebody:elsewhere.example"):
        assert try_delete(admin, room, new_room_user_id=user_id).errcode == "M_INVALID_PARAM"
    assert admin.here.get(f"{V2}/{quote(room)}/delete_status").errcode == "M_NOT_FOUND"
    assert admin.here.get(f"{V2}/delete_status/unknown").errcode == "M_NOT_FOUND"
    delete(admin, room)
    again = try_delete(admin, room)
    assert (again.status, again.errcode) == (400, "M_UNKNOWN")
    go_on(site)
    delete(admin, room)
    go_on(site)
    assert len(admin.here.get(f"{V2}/{quote(room)}/delete_status").json["results"]) == 2

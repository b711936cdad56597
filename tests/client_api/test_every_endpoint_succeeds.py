"""A story in which every endpoint for clients answers with success at least once, each answer as it is specified.

The tests' client checks every answer that it sees (`tests.harness.conformance`). Here is seen to it that it sees all.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from storage.database import Database
from tests.client_api.accounts_site import PASSWORD, AccountsSite
from tests.client_api.e2ee import V3, Device, one_time_keys
from tests.client_api.mail_site import Letterbox
from tests.client_api.media_site import MediaSite
from tests.client_api.rooms_site import room_path
from tests.client_api.story_of_services import SUPPORT, administration, mails, media, moving_on
from tests.client_api.sync_site import SyncSite
from tests.client_api.test_cross_signing import Signer
from tests.client_api.test_key_backup import KEYS, VERSION, session
from tests.harness import conformance
from tests.harness.client import Client
from tests.http.test_specified_endpoints import built

V1: Final = "/_matrix/client/v1"
LISTS: Final = f"{V3}/directory/list/room"
RULES: Final = f"{V3}/pushrules"

# What has a story of its own, by what its name matches.
ELSEWHERE: Final[Mapping[str, str]] = {
    "preview_url": "previews need a page to look at: test_media_previews",
    "3pid/bind": "there is no identity server",
    "msisdn": "there is nobody to send messages to telephones",
    "appservice|thirdparty/(location|user|protocol/)": "these need an application service",
    "msc430[68]": "subscriptions to threads have to be switched on: test_thread_subscriptions",
}


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[MediaSite]:
    """A whole server."""
    changes = {"public_baseurl": "https://test/", "support": SUPPORT}
    site = MediaSite(database, tmp_path, changes, unauthenticated_before="2030-01-01")
    yield site
    site.app.media.processes.stop()


class Story:
    """Anna and Bert, and a room of theirs."""

    def __init__(self, site: SyncSite) -> None:
        self.site = site
        self.anna = Device.register(site, "anna")
        self.bert = Device.register(site, "bert")
        self.room = self.anna.public_room(name="Story", topic="all of it")
        self.bert.join(self.room)
        self.first = self.anna.say(self.room, "Once upon a time")

    def ask(self, http: Client, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """A request that must succeed; its JSON."""
        reply = http.request(method, path, body, {name.rstrip("_"): each for name, each in query.items()})
        assert reply.status == 200, f"{method} {path}: {reply.status} {reply.text}"
        return reply.json

    def accounts(self) -> None:
        """People come, look at what there is, and leave."""
        http = self.site.http
        for path in ("/_matrix/client/versions", "/.well-known/matrix/client", f"{V3}/login"):
            self.ask(http, "GET", path)
        self.ask(http, "GET", f"{V3}/register/available", username="carl")
        self.ask(http, "GET", f"{V1}/register/m.login.registration_token/validity", token="none")
        carl = self._log_in("carl", Device.register(self.site, "carl"))
        self.ask(http, "POST", f"{V3}/refresh", {"refresh_token": carl["refresh_token"]})
        other = Device.register(self.site, "dora")
        for path in ("account/whoami", "capabilities", "voip/turnServer"):
            self.ask(other.here, "GET", f"{V3}/{path}")
        body = {"new_password": PASSWORD, "logout_devices": False, "auth": _proof(other)}
        self.ask(other.here, "POST", f"{V3}/account/password", body)
        for action in ("logout", "logout/all"):
            self.ask(self._here(self._log_in("dora", other)), "POST", f"{V3}/{action}")
        last = self._here(self._log_in("dora", other))
        self.ask(last, "POST", f"{V3}/account/deactivate", {"auth": _proof(other), "erase": True})

    def profiles(self) -> None:
        """Names, presence, and who knows whom."""
        anna = self.anna
        profile = f"{V3}/profile/{anna.user_id}"
        for name, value in (
            ("displayname", "Anna"),
            ("avatar_url", "mxc://test/anna"),
            ("m.tz", "Europe/Paris"),
        ):
            self.ask(anna.here, "PUT", f"{profile}/{name}", {name: value})
            self.ask(anna.here, "GET", f"{profile}/{name}")
        self.ask(anna.here, "GET", profile)
        self.ask(anna.here, "DELETE", f"{profile}/m.tz")
        self.ask(
            anna.here,
            "PUT",
            f"{V3}/presence/{anna.user_id}/status",
            {"presence": "online", "status_msg": "hi"},
        )
        self.ask(self.bert.here, "GET", f"{V3}/presence/{anna.user_id}/status")
        self.site.turn(60)
        found = self.ask(self.bert.here, "POST", f"{V3}/user_directory/search", {"search_term": "anna"})
        assert found.keys() == {"limited", "results"}
        self.ask(self.bert.here, "GET", f"{V1}/mutual_rooms", user_id=anna.user_id)
        self.ask(self.bert.here, "POST", f"{V3}/users/{anna.user_id}/report", {"reason": "too nice"})

    def devices(self) -> None:
        """Devices are named, and logged out by others."""
        anna = self.anna
        self.ask(anna.here, "GET", f"{V3}/devices")
        path = f"{V3}/devices/{anna.device_id}"
        self.ask(anna.here, "PUT", path, {"display_name": "phone"})
        self.ask(anna.here, "GET", path)
        second, third = anna.another(), anna.another()
        self.ask(anna.here, "DELETE", f"{V3}/devices/{second.device_id}", {"auth": _proof(anna)})
        body = {"devices": [third.device_id], "auth": _proof(anna)}
        self.ask(anna.here, "POST", f"{V3}/delete_devices", body)

    def keys(self) -> None:
        """Keys are uploaded, claimed, signed and backed up."""
        anna, bert = self.anna, self.bert
        since = anna.sync()["next_batch"]
        bert.upload(device_keys=bert.device_keys(), one_time_keys=one_time_keys("a", "b"))
        anna.upload_device_keys()
        assert anna.query(bert)["device_keys"][bert.user_id].keys() == {bert.device_id}
        assert anna.claim(bert)
        assert Signer(bert).upload().status == 200
        signed = Signer(bert).self_signing.signed(bert.user_id, bert.device_keys())
        body = {bert.user_id: {bert.device_id: signed}}
        assert self.ask(bert.here, "POST", f"{V3}/keys/signatures/upload", body)["failures"] == {}
        assert anna.query(bert)["master_keys"]
        anna.send(bert, "psst")
        assert bert.sync()["to_device"]["events"]
        upto = anna.sync()["next_batch"]
        assert self.ask(anna.here, "GET", f"{V3}/keys/changes", from_=since, to=upto)["changed"]

    def backup(self) -> None:
        """Room keys are kept, read and thrown away."""
        here = self.anna.here
        kept = {
            "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
            "auth_data": {"public_key": "abc", "signatures": {}},
        }
        version = self.ask(here, "POST", VERSION, kept)["version"]
        room = f"{KEYS}/{quote(self.room)}"
        places: list[tuple[str, Any]] = [
            (KEYS, {"rooms": {self.room: {"sessions": {"one": session()}}}}),
            (room, {"sessions": {"two": session()}}),
            (f"{room}/three", session()),
        ]
        for path, body in places:
            self.ask(here, "PUT", path, body, version=version)
        for path, _ in places:
            self.ask(here, "GET", path, version=version)
        self.ask(here, "GET", VERSION)
        self.ask(here, "PUT", f"{VERSION}/{version}", {**kept, "version": version})
        self.ask(here, "GET", f"{VERSION}/{version}")
        for path, _ in reversed(places):
            self.ask(here, "DELETE", path, version=version)
        self.ask(here, "DELETE", f"{VERSION}/{version}")

    def memberships(self) -> None:
        """People are let in and sent away."""
        anna, bert = self.anna, self.bert
        club = anna.create(
            initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}]
        )
        self.ask(bert.here, "POST", f"{V3}/knock/{quote(club)}", {"reason": "please"})
        bert.sync()
        anna.invite(club, bert, reason="welcome")
        bert.sync()
        self.ask(bert.here, "POST", room_path(club, "join"), {})
        for action in ("kick", "ban", "unban"):
            anna.act(action, club, user_id=bert.user_id, reason="because")
        anna.invite(club, bert)
        bert.act("join", club)
        bert.act("leave", club, reason="enough")
        bert.sync()
        bert.act("forget", club)
        assert self.ask(bert.here, "GET", f"{V3}/joined_rooms") == {"joined_rooms": [self.room]}

    def rooms(self) -> None:
        """What a room is, as its members read it."""
        anna, room = self.anna, self.room
        self.ask(anna.here, "PUT", room_path(room, "state", "m.room.topic", ""), {"topic": "all"})
        for path in ("state", "state/m.room.topic/", "members", "joined_members", "aliases", "initialSync"):
            self.ask(anna.here, "GET", f"{room_path(room)}/{path}")
        self.ask(anna.here, "GET", room_path(room, "state", "m.room.topic", ""), format="event")
        self.ask(anna.here, "POST", room_path(room, "report"), {"reason": "noise"})
        body = {"typing": True, "timeout": 30000}
        self.ask(anna.here, "PUT", room_path(room, "typing", anna.user_id), body)
        newer = self.ask(anna.here, "POST", room_path(anna.public_room(), "upgrade"), {"new_version": "11"})
        assert newer.keys() == {"replacement_room"}

    def timeline(self) -> None:
        """What is said, read again in every way."""
        anna, bert, room, first = self.anna, self.bert, self.room, self.first
        relation = {"rel_type": "m.thread", "event_id": first}
        reply = bert.say(room, "there was", **{"m.relates_to": relation})
        anna.say(room, "a server", **{"m.relates_to": relation})
        edit = {
            "m.new_content": {"msgtype": "m.text", "body": "Once"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": first},
        }
        anna.say(room, "* Once", **edit)
        anna.redact(room, bert_said := anna.say(room, "oops"), reason="typo")
        for path in (f"event/{first}", f"event/{bert_said}", f"context/{first}", "messages"):
            query = {"dir": "b"} if path == "messages" else {}
            self.ask(anna.here, "GET", f"{room_path(room)}/{path}", **query)
        self.ask(anna.here, "GET", f"{V3}/events/{quote(first)}")
        relations = f"{V1}/rooms/{quote(room)}/relations/{quote(first)}"
        for path in (relations, f"{relations}/m.thread", f"{relations}/m.thread/m.room.message"):
            assert self.ask(anna.here, "GET", path)["chunk"]
        assert self.ask(anna.here, "GET", f"{V1}/rooms/{quote(room)}/threads")["chunk"]
        self.ask(anna.here, "GET", f"{V1}/rooms/{quote(room)}/timestamp_to_event", ts=0, dir="f")
        self.ask(bert.here, "POST", room_path(room, "report", first), {"reason": "boring"})
        self._read(reply)
        self.site.turn(60)
        wanted = {"search_term": "server", "event_context": {"include_profile": True}, "include_state": True}
        body = {"search_categories": {"room_events": wanted}}
        self.ask(anna.here, "POST", f"{V3}/search", body)

    def syncing(self) -> None:
        """What clients keep, and how they learn of news."""
        anna, room = self.anna, self.room
        user = f"{V3}/user/{anna.user_id}"
        for place in (f"{user}/account_data/m.test", f"{user}/rooms/{quote(room)}/account_data/m.test"):
            self.ask(anna.here, "PUT", place, {"kept": 1})
            self.ask(anna.here, "GET", place)
        tags = f"{user}/rooms/{quote(room)}/tags"
        self.ask(anna.here, "PUT", f"{tags}/m.favourite", {"order": 0.5})
        self.ask(anna.here, "GET", tags)
        self.ask(anna.here, "DELETE", f"{tags}/m.favourite")
        wanted = {"room": {"timeline": {"limit": 5}}}
        filter_id = self.ask(anna.here, "POST", f"{user}/filter", wanted)["filter_id"]
        self.ask(anna.here, "GET", f"{user}/filter/{filter_id}")
        anna.first_sync()
        anna.first_sync(filter=filter_id, full_state=True)
        anna.first_sync(use_state_after=True, filter=filter_id)
        self.ask(anna.here, "GET", f"{V3}/initialSync", limit=2)
        self.ask(anna.here, "GET", f"{V3}/events", timeout=0)

    def directory(self) -> None:
        """Rooms are found."""
        anna, room = self.anna, self.room
        alias = quote("#story:test", safe="")
        self.ask(anna.here, "PUT", f"{V3}/directory/room/{alias}", {"room_id": room})
        self.ask(anna.here, "GET", f"{V3}/directory/room/{alias}")
        self.ask(anna.here, "PUT", f"{LISTS}/{quote(room)}", {"visibility": "public"})
        self.ask(anna.here, "GET", f"{LISTS}/{quote(room)}")
        space = anna.public_room(creation_content={"type": "m.space"})
        anna.set_state(space, "m.space.child", {"via": ["test"]}, room)
        self.ask(self.bert.here, "GET", f"{V3}/publicRooms")
        wanted = {"limit": 5, "filter": {"generic_search_term": "story", "room_types": [None]}}
        assert self.ask(self.bert.here, "POST", f"{V3}/publicRooms", wanted)["chunk"]
        self.ask(self.bert.here, "POST", f"{V3}/join/{alias}", {})
        assert len(self.ask(anna.here, "GET", f"{V1}/rooms/{quote(space)}/hierarchy")["rooms"]) == 2
        self.ask(self.bert.here, "GET", f"{V1}/room_summary/{alias}")
        self.ask(anna.here, "DELETE", f"{V3}/directory/room/{alias}")

    def push_rules(self) -> None:
        """Rules are made, read and changed."""
        here = self.bert.here
        rule = f"{RULES}/global/content/story"
        self.ask(
            here,
            "PUT",
            rule,
            {"actions": ["notify", {"set_tweak": "sound", "value": "default"}], "pattern": "once*"},
        )
        self.ask(here, "PUT", f"{rule}/enabled", {"enabled": True})
        self.ask(here, "PUT", f"{rule}/actions", {"actions": ["notify"]})
        for path in (f"{RULES}/", f"{RULES}/global/", rule, f"{rule}/enabled", f"{rule}/actions"):
            self.ask(here, "GET", path)
        self.anna.say(self.room, "once more for Bert")
        assert self.ask(here, "GET", f"{V3}/notifications")["notifications"]
        self.ask(here, "DELETE", rule)

    def _read(self, event_id: str) -> None:
        anna = self.anna
        assert anna.receipt(self.room, event_id, "m.read", thread_id=self.first).status == 200
        markers = {"m.fully_read": event_id, "m.read": event_id, "m.read.private": event_id}
        self.ask(anna.here, "POST", room_path(self.room, "read_markers"), markers)

    def _log_in(self, name: str, who: Device) -> Any:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": name},
            "password": PASSWORD,
            "refresh_token": True,
        }
        return self.ask(self.site.http, "POST", f"{V3}/login", body)

    def _here(self, login: Any) -> Client:
        return self.site.http.with_token(login["access_token"])


def _proof(who: Device) -> dict[str, Any]:
    return {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": who.user_id},
        "password": PASSWORD,
    }


def for_clients() -> Iterator[str]:
    """What we serve of the client-server API and have no other story of."""
    for name, _ in built():
        if "/_matrix/client/" in name or "/matrix/client" in name or "/matrix/support" in name:
            if not any(re.search(part, name) for part in ELSEWHERE):
                yield name


def test_every_endpoint_succeeds_once_as_specified(site: MediaSite, database: Database) -> None:
    box = Letterbox()
    with conformance.watching() as answered:
        story = Story(site)
        story.accounts()
        story.profiles()
        story.devices()
        story.keys()
        story.backup()
        story.memberships()
        story.rooms()
        story.timeline()
        story.syncing()
        story.directory()
        story.push_rules()
        media(site, story.anna)
        moving_on(site, story.anna)
        administration(site, story.anna, story.bert)
        mails(AccountsSite(database, "mail: {host: unused}", mailer=box), box)
    assert set(for_clients()) - answered == set()

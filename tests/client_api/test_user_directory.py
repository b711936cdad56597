"""POST /user_directory/search."""

from typing import Any

import pytest

from homeserver.protocol.identifiers import UserID
from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def answer(who: Syncer, term: str, **more: Any) -> Any:
    reply = who.here.post(f"{V3}/user_directory/search", {"search_term": term, **more})
    assert reply.status == 200, reply.text
    return reply.json


def found(who: Syncer, term: str, **more: Any) -> list[str]:
    return [user["user_id"] for user in answer(who, term, **more)["results"]]


def call(who: Syncer, name: str, key: str = "displayname") -> None:
    reply = who.here.put(f"{V3}/profile/{who.user_id}/{key}", {key: name})
    assert reply.status == 200, reply.text


def test_who_shares_a_room_is_found_with_name_and_avatar(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    call(bob, "Robert Müller")
    call(bob, "mxc://test/bob", "avatar_url")
    assert found(alice, "Robert") == []
    room = alice.create()
    alice.invite(room, bob)
    assert found(alice, "Robert") == []
    bob.join(room)
    user = {"user_id": bob.user_id, "display_name": "Robert Müller", "avatar_url": "mxc://test/bob"}
    for term in ("rob", "MULLER", "muller robert", "bob", "@bob:test", "@bo", "@bob:te", "obert"):
        assert answer(alice, term) == {"results": [user], "limited": False}, term
    assert found(alice, "@bob:elsewhere") == []
    bob.act("leave", room)
    assert found(alice, "Robert") == []


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("m.room.join_rules", {"join_rule": "public"}),
        ("m.room.history_visibility", {"history_visibility": "world_readable"}),
    ],
)
def test_rooms_that_open_and_close_show_and_hide_their_members(
    site: SyncSite, kind: str, content: dict[str, str]
) -> None:
    alice, bob = site.people("alice", "bob")
    room = bob.create()
    closed = bob.state(room, kind)
    assert found(alice, "bob") == []
    bob.set_state(room, kind, content)
    assert found(alice, "bob") == [bob.user_id]
    assert found(bob, "bob") == [bob.user_id]
    bob.set_state(room, kind, closed)
    assert found(alice, "bob") == []


def test_the_whole_name_goes_before_its_beginning_and_who_shares_a_room_before_others(site: SyncSite) -> None:
    anna, whole, begins, shares, inside = site.people("anna", "whole", "begins", "shares", "inside")
    for who, name in ((whole, "Max"), (begins, "Maxine A"), (shares, "Maxine B"), (inside, "Climax")):
        call(who, name)
        who.public_room()
    room = shares.create()
    shares.invite(room, anna)
    anna.join(room)
    order = [whole.user_id, shares.user_id, begins.user_id, inside.user_id]
    assert found(anna, "max") == order
    assert answer(anna, "max", limit=2)["limited"] is True
    assert found(anna, "max", limit=2) == order[:2]


@pytest.mark.parametrize(
    ("name", "term"), [("田中太郎", "太郎"), ("Jonathan", "jonathon"), ("김철수", "철수")]
)
def test_names_in_other_scripts_and_with_a_wrong_letter_are_found(
    site: SyncSite, name: str, term: str
) -> None:
    alice, bob = site.people("alice", "bob")
    call(bob, name)
    bob.public_room()
    assert found(alice, term) == [bob.user_id]


def test_closed_accounts_vanish(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    bob.public_room()
    assert found(alice, "bob") == [bob.user_id]
    result_of(site.app.accounts.accounts.deactivate(UserID(bob.user_id), erase=True))
    assert found(alice, "bob") == []


def test_everybody_is_found_where_the_server_says_so(database: Database) -> None:
    site = SyncSite(database, {"user_directory": {"search_all_users": True}})
    alice, bob = site.people("alice", "bob")
    assert found(alice, "bob") == [bob.user_id]


def test_a_server_without_directory_does_not_offer_it(database: Database) -> None:
    site = SyncSite(database, {"user_directory": {"enabled": False}})
    reply = site.person("alice").here.post(f"{V3}/user_directory/search", {"search_term": "x"})
    assert reply.errcode == "M_UNRECOGNIZED"


def test_the_directory_survives_a_restart_and_can_be_made_anew(
    site: SyncSite, test_database: TestDatabase
) -> None:
    alice, bob = site.people("alice", "bob")
    bob.public_room()
    assert found(alice, "bob") == [bob.user_id]
    site.start()
    assert found(alice, "bob") == [bob.user_id]
    result_of(site.app.searches.directory_upkeep.rebuild())
    assert test_database.rows("select * from user_directory") == []
    assert found(alice, "bob") == [bob.user_id]


def test_terms_without_words_find_nobody(site: SyncSite) -> None:
    alice = site.person("alice")
    alice.public_room()
    assert answer(alice, "?!") == answer(alice, "", limit=0) == {"results": [], "limited": False}

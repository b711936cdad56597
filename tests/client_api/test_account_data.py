"""https://spec.matrix.org/v1.19/client-server-api/#client-config"""

import json
from typing import Any

import pytest

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.account_data import changed_between, of_rooms
from storage.tables.account_data import AccountDatum
from tests.client_api.accounts_site import AccountsSite
from tests.harness.memory import result_of

ALICE = UserID("@alice:test")
USER = "/_matrix/client/v3/user/@alice:test"
DATA = f"{USER}/account_data"
ROOM = f"{USER}/rooms/!room:test"
TAGS = f"{ROOM}/tags"


def _changes(site: AccountsSite, since: int) -> list[tuple[str, str, Any]]:
    async def read() -> list[AccountDatum]:
        return await site.database.read(lambda tx: changed_between(tx, ALICE, since, site.journal.position))

    return [(each.room_id, each.type, json.loads(each.content)) for each in result_of(read())]


def test_account_data_is_kept_globally_and_by_room(site: AccountsSite) -> None:
    user = site.register("alice")
    assert user.http.put(f"{DATA}/a.type", {"cats": 1}).json == {}
    assert user.http.put(f"{ROOM}/account_data/a.type", {"dogs": 2}).json == {}
    assert user.http.get(f"{DATA}/a.type").json == {"cats": 1}
    assert user.http.get(f"{ROOM}/account_data/a.type").json == {"dogs": 2}
    user.http.put(f"{DATA}/a.type", {"cats": 3})
    assert user.http.get(f"{DATA}/a.type").json == {"cats": 3}


def test_each_change_takes_a_position(site: AccountsSite) -> None:
    user = site.register("alice")
    user.http.put(f"{DATA}/a.type", {"n": 1})
    before = site.journal.position
    user.http.put(f"{DATA}/b.type", {"n": 2})
    user.http.put(f"{ROOM}/account_data/c.type", {"n": 3})
    user.http.put(f"{DATA}/b.type", {"n": 4})
    assert site.journal.position == before + 3
    assert _changes(site, before) == [("!room:test", "c.type", {"n": 3}), ("", "b.type", {"n": 4})]
    assert _changes(site, site.journal.position) == []


def test_everything_from_the_beginning_has_the_push_rules(site: AccountsSite) -> None:
    user = site.register("alice")
    user.http.put(f"{DATA}/a.type", {"n": 1})
    everything = {type_: content for _, type_, content in _changes(site, 0)}
    assert set(everything) == {"a.type", "m.push_rules"}
    assert everything["m.push_rules"]["global"]["override"][0]["rule_id"] == ".m.rule.master"


def test_data_of_rooms_is_read_by_room(site: AccountsSite) -> None:
    user = site.register("alice")
    user.http.put(f"{ROOM}/account_data/a.type", {"n": 1})
    user.http.put(f"{USER}/rooms/!other:test/account_data/a.type", {"n": 2})

    async def read() -> list[AccountDatum]:
        rooms = [RoomID("!room:test")]
        return await site.database.read(lambda tx: of_rooms(tx, ALICE, rooms, site.journal.position))

    assert [json.loads(each.content) for each in result_of(read())] == [{"n": 1}]


def test_there_is_no_such_data(site: AccountsSite) -> None:
    user = site.register("alice")
    for path in (f"{DATA}/a.type", f"{ROOM}/account_data/a.type"):
        reply = user.http.get(path)
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("type_", ["m.push_rules", "m.fully_read"])
def test_what_the_server_sets_clients_cannot(site: AccountsSite, type_: str) -> None:
    user = site.register("alice")
    for path in (f"{DATA}/{type_}", f"{ROOM}/account_data/{type_}"):
        reply = user.http.put(path, {})
        assert (reply.status, reply.errcode) == (405, "M_BAD_JSON")


def test_push_rules_can_be_read_as_account_data(site: AccountsSite) -> None:
    user = site.register("alice")
    assert user.http.get(f"{DATA}/m.push_rules").json == user.http.get("/_matrix/client/v3/pushrules/").json


def test_nobody_reads_or_writes_the_data_of_another(site: AccountsSite) -> None:
    site.register("alice")
    bob = site.register("bob")
    replies = [
        bob.http.get(f"{DATA}/a.type"),
        bob.http.put(f"{DATA}/a.type", {}),
        bob.http.get(f"{ROOM}/account_data/a.type"),
        bob.http.put(f"{ROOM}/account_data/a.type", {}),
        bob.http.get(TAGS),
        bob.http.put(f"{TAGS}/m.favourite", {}),
        bob.http.delete(f"{TAGS}/m.favourite"),
    ]
    assert {(reply.status, reply.errcode) for reply in replies} == {(403, "M_FORBIDDEN")}


def test_malformed_requests(site: AccountsSite) -> None:
    user = site.register("alice")
    assert user.http.put(f"{DATA}/a.type", b"[]").errcode == "M_BAD_JSON"
    assert user.http.put(f"{DATA}/a.type", b"{").errcode == "M_NOT_JSON"
    assert user.http.put(f"{DATA}/{'x' * 300}", {}).errcode == "M_INVALID_PARAM"
    assert user.http.put(f"{USER}/rooms/nonsense/account_data/a.type", {}).errcode == "M_INVALID_PARAM"


def test_tags_are_put_listed_and_removed(site: AccountsSite) -> None:
    user = site.register("alice")
    assert user.http.get(TAGS).json == {"tags": {}}
    assert user.http.put(f"{TAGS}/m.favourite", {"order": 0.25}).json == {}
    assert user.http.put(f"{TAGS}/u.work", {}).json == {}
    assert user.http.get(TAGS).json == {"tags": {"m.favourite": {"order": 0.25}, "u.work": {}}}
    assert user.http.delete(f"{TAGS}/u.work").json == {}
    assert user.http.delete(f"{TAGS}/u.work").json == {}
    assert user.http.get(f"{ROOM}/account_data/m.tag").json == {"tags": {"m.favourite": {"order": 0.25}}}
    assert user.http.get(f"{USER}/rooms/!other:test/tags").json == {"tags": {}}


def test_removing_the_last_tag_is_a_change_too(site: AccountsSite) -> None:
    user = site.register("alice")
    user.http.put(f"{TAGS}/u.work", {})
    before = site.journal.position
    user.http.delete(f"{TAGS}/u.work")
    assert _changes(site, before) == [("!room:test", "m.tag", {"tags": {}})]


@pytest.mark.parametrize("order", ["1", True, []])
def test_the_order_of_a_tag_is_a_number(site: AccountsSite, order: object) -> None:
    user = site.register("alice")
    assert user.http.put(f"{TAGS}/u.work", {"order": order}).errcode == "M_BAD_JSON"


def test_tags_put_at_the_same_time_are_all_kept(busy_site: AccountsSite) -> None:
    user = busy_site.register("alice")
    pending = [user.http.start("PUT", f"{TAGS}/u.{n}", {}) for n in range(5)]
    busy_site.finish(pending)
    assert [each.reply.status for each in pending] == [200] * 5
    assert len(user.http.get(TAGS).json["tags"]) == 5

"""https://spec.matrix.org/v1.19/client-server-api/#filtering"""

from typing import Any

import pytest

from homeserver.protocol.errors import BadJson, InvalidParam, NotFound
from homeserver.protocol.identifiers import UserID
from tests.client_api.accounts_site import AccountsSite
from tests.harness.memory import result_of

ALICE = UserID("@alice:test")
FILTER = "/_matrix/client/v3/user/@alice:test/filter"


def test_a_filter_is_stored_and_read_as_it_was(site: AccountsSite) -> None:
    user = site.register("alice")
    content = {"room": {"timeline": {"limit": 10}}, "org.example.unknown": [1]}
    filter_id = user.http.post(FILTER, content).json["filter_id"]
    assert not filter_id.startswith("{")
    assert user.http.get(f"{FILTER}/{filter_id}").json == content


def test_the_same_filter_has_the_same_id(site: AccountsSite) -> None:
    user = site.register("alice")
    ids = {user.http.post(FILTER, body).json["filter_id"] for body in (b'{"a":1,"b":2}', b'{"b":2,"a":1}')}
    assert len(ids) == 1
    assert user.http.post(FILTER, {}).json["filter_id"] not in ids


@pytest.mark.parametrize(
    "content",
    [
        {"room": []},
        {"room": {"timeline": {"limit": "ten"}}},
        {"presence": {"senders": ["nonsense"]}},
        {"event_format": "fancy"},
        {"room": {"rooms": ["#alias:test"]}},
    ],
)
def test_what_is_no_filter_is_refused(site: AccountsSite, content: dict[str, Any]) -> None:
    user = site.register("alice")
    reply = user.http.post(FILTER, content)
    assert (reply.status, reply.errcode) == (400, "M_BAD_JSON")


def test_filters_are_ones_own(site: AccountsSite) -> None:
    alice, bob = site.register("alice"), site.register("bob")
    filter_id = alice.http.post(FILTER, {}).json["filter_id"]
    assert bob.http.get(f"{FILTER}/{filter_id}").status == 403
    assert bob.http.post(FILTER, {}).status == 403
    assert bob.http.get(f"/_matrix/client/v3/user/@bob:test/filter/{filter_id}").status == 404
    assert alice.http.get(f"{FILTER}/none").errcode == "M_NOT_FOUND"


def test_syncs_name_filters_by_id_or_write_them_out(site: AccountsSite) -> None:
    user = site.register("alice")
    filter_id = user.http.post(FILTER, {"room": {"timeline": {"limit": 7}}}).json["filter_id"]
    filters = site.area.filters
    for text in (filter_id, filter_id, '{"room":{"timeline":{"limit":7}}}'):
        assert result_of(filters.named(ALICE, text)).room.timeline.limit == 7
    assert result_of(filters.named(ALICE, None)).room.timeline.limit is None
    for text, error in (("{", InvalidParam), ('{"room":1}', BadJson), ("none", NotFound)):
        with pytest.raises(error):
            result_of(filters.named(ALICE, text))

"""https://spec.matrix.org/v1.19/client-server-api/#push-rules-api"""

from typing import Any

import pytest

from homeserver.protocol.identifiers import UserID
from homeserver.services.account_data import changed_between
from storage.tables.account_data import AccountDatum
from tests.client_api.accounts_site import AccountsSite, User
from tests.harness.memory import result_of

RULES = "/_matrix/client/v3/pushrules"
GLOBAL = f"{RULES}/global"
NOTIFY = {"actions": ["notify"]}


def _ids(user: User, kind: str) -> list[str]:
    return [rule["rule_id"] for rule in user.http.get(f"{RULES}/").json["global"][kind]]


def _put(user: User, path: str, body: dict[str, Any], **query: str) -> tuple[int, str | None]:
    reply = user.http.put(f"{GLOBAL}/{path}", body, query=query)
    return reply.status, reply.errcode


def test_a_new_user_has_the_default_rules(site: AccountsSite) -> None:
    user = site.register("alice")
    rules = user.http.get(f"{RULES}/").json
    assert set(rules) == {"global"}
    assert set(rules["global"]) == {"override", "content", "room", "sender", "underride"}
    assert rules["global"] == user.http.get(f"{GLOBAL}/").json
    assert _ids(user, "override") == [
        ".m.rule.master",
        ".m.rule.suppress_notices",
        ".m.rule.invite_for_me",
        ".m.rule.member_event",
        ".m.rule.is_user_mention",
        ".m.rule.is_room_mention",
        ".m.rule.tombstone",
        ".m.rule.reaction",
        ".m.rule.room.server_acl",
        ".org.matrix.msc3930.rule.poll_response",
        ".m.rule.suppress_edits",
    ]
    assert rules["global"]["underride"] == user.http.get(f"{GLOBAL}/underride/").json
    mention = user.http.get(f"{GLOBAL}/override/.m.rule.is_user_mention").json
    assert mention["conditions"][0]["value"] == "@alice:test"


@pytest.mark.parametrize(
    ("kind", "rule_id", "parameters"),
    [
        ("room", "!spam:example.com", {}),
        ("room", "#spam:example.com", {}),
        ("sender", "@bob:example.com", {}),
        ("content", "my_rule", {"pattern": "my_pattern"}),
        ("content", "тест", {"pattern": "тест"}),
        ("override", "a", {"conditions": [{"kind": "event_match", "key": "type", "pattern": "m.notice"}]}),
        ("underride", "b", {"conditions": [{"kind": "org.example.unheard_of"}]}),
    ],
)
def test_rules_of_every_kind_are_added_read_and_removed(
    site: AccountsSite, kind: str, rule_id: str, parameters: dict[str, Any]
) -> None:
    user = site.register("alice")
    body = {"actions": ["notify", {"set_tweak": "sound", "value": "default"}], **parameters}
    assert _put(user, f"{kind}/{rule_id}", body) == (200, None)
    path = f"{GLOBAL}/{kind}/{rule_id}"
    assert user.http.get(path).json == {"rule_id": rule_id, "default": False, "enabled": True, **body}
    assert user.http.get(f"{path}/enabled").json == {"enabled": True}
    assert user.http.get(f"{path}/actions").json == {"actions": body["actions"]}
    assert rule_id in _ids(user, kind)
    assert user.http.delete(path).json == {}
    assert user.http.get(path).status == 404
    assert user.http.delete(path).status == 404


def test_own_rules_stand_between_the_master_and_the_other_defaults(site: AccountsSite) -> None:
    user = site.register("alice")
    _put(user, "override/mine", NOTIFY)
    _put(user, "underride/mine", NOTIFY)
    assert _ids(user, "override")[:3] == [".m.rule.master", "mine", ".m.rule.suppress_notices"]
    assert _ids(user, "underride")[0] == "mine"


def test_new_rules_go_first_or_beside_a_named_one(site: AccountsSite) -> None:
    user = site.register("alice")
    for rule_id in ("!a", "!b", "!c"):
        _put(user, f"room/{rule_id}", NOTIFY)
    assert _ids(user, "room") == ["!c", "!b", "!a"]
    _put(user, "room/!d", NOTIFY, before="!b")
    _put(user, "room/!e", NOTIFY, after="!b")
    assert _ids(user, "room") == ["!c", "!d", "!b", "!e", "!a"]
    _put(user, "room/!a", NOTIFY, before="!c", after="!b")
    assert _ids(user, "room") == ["!a", "!c", "!d", "!b", "!e"]
    assert _put(user, "room/!f", NOTIFY, before="!none")[0] == 404
    assert _put(user, "room/!f", NOTIFY, after=".m.rule.master")[0] == 400


def test_replacing_a_rule_keeps_its_place_and_whether_it_is_enabled(site: AccountsSite) -> None:
    user = site.register("alice")
    for rule_id in ("!a", "!b"):
        _put(user, f"room/{rule_id}", NOTIFY)
    _put(user, "room/!a/enabled", {"enabled": False})
    _put(user, "room/!a", {"actions": []})
    assert _ids(user, "room") == ["!b", "!a"]
    rule = user.http.get(f"{GLOBAL}/room/!a").json
    assert (rule["actions"], rule["enabled"]) == ([], False)


def test_default_rules_can_be_turned_off_and_given_other_actions(site: AccountsSite) -> None:
    user = site.register("alice")
    for kind, rule_id in (
        ("override", ".m.rule.master"),
        ("underride", ".m.rule.message"),
        ("underride", ".org.matrix.msc3930.rule.poll_start"),
    ):
        path = f"{GLOBAL}/{kind}/{rule_id}"
        assert user.http.put(f"{path}/actions", {"actions": ["dont_notify"]}).json == {}
        assert user.http.put(f"{path}/enabled", {"enabled": False}).json == {}
        assert user.http.get(f"{path}/actions").json == {"actions": ["dont_notify"]}
        rule = user.http.get(path).json
        assert (rule["default"], rule["enabled"], rule["actions"]) == (True, False, ["dont_notify"])
        assert user.http.delete(path).status == 400


@pytest.mark.parametrize(
    ("path", "body", "status", "errcode"),
    [
        ("override/.m.rule.mine", NOTIFY, 400, "M_INVALID_PARAM"),
        ("override/a\\b", NOTIFY, 400, "M_INVALID_PARAM"),
        ("override/a%2Fb", NOTIFY, 400, "M_INVALID_PARAM"),
        ("nonsense/mine", NOTIFY, 400, "M_INVALID_PARAM"),
        ("override/mine", {}, 400, "M_MISSING_PARAM"),
        ("override/mine", {"actions": "notify"}, 400, "M_BAD_JSON"),
        ("override/mine", {"actions": [1]}, 400, "M_BAD_JSON"),
        ("override/mine", {"actions": ["shout"]}, 400, "M_BAD_JSON"),
        ("override/mine", {"actions": [{"tweak": "x"}]}, 400, "M_BAD_JSON"),
        ("override/mine", {"actions": [], "conditions": {}}, 400, "M_BAD_JSON"),
        ("override/mine", {"actions": [], "conditions": [{}]}, 400, "M_BAD_JSON"),
        ("content/mine", NOTIFY, 400, "M_MISSING_PARAM"),
        ("content/mine", {"actions": [], "pattern": 1}, 400, "M_BAD_JSON"),
        ("override/.m.rule.master/nonsense", {}, 400, "M_INVALID_PARAM"),
        ("override/.m.rule.master/enabled", {"enabled": "yes"}, 400, "M_BAD_JSON"),
        ("override/.m.rule.master/enabled", {"actions": []}, 400, "M_MISSING_PARAM"),
        ("override/.m.rule.none/enabled", {"enabled": True}, 404, "M_NOT_FOUND"),
        ("override/.m.rule.none/actions", NOTIFY, 404, "M_NOT_FOUND"),
        ("room/!none/enabled", {"enabled": True}, 404, "M_NOT_FOUND"),
    ],
)
def test_what_is_no_rule_is_refused(
    site: AccountsSite, path: str, body: dict[str, Any], status: int, errcode: str
) -> None:
    user = site.register("alice")
    assert _put(user, path, body) == (status, errcode)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 404),
        ("/global/nonsense/", 400),
        ("/global/override/none", 404),
        ("/global/override/.m.rule.master/nonsense", 400),
        ("/other/", 404),
    ],
)
def test_what_is_not_there(site: AccountsSite, path: str, status: int) -> None:
    assert site.register("alice").http.get(f"{RULES}{path}").status == status


def test_each_change_reaches_syncs_as_account_data(site: AccountsSite) -> None:
    user = site.register("alice")
    before = site.journal.position

    def changes(since: int) -> list[str]:
        async def read() -> list[AccountDatum]:
            upto = site.journal.position
            return await site.database.read(lambda tx: changed_between(tx, UserID(user.user_id), since, upto))

        return [each.type for each in result_of(read())]

    _put(user, "room/!a", NOTIFY)
    assert changes(before) == ["m.push_rules"]
    after = site.journal.position
    assert after == before + 1
    _put(user, "room/!a", NOTIFY)
    assert changes(after) == []


def test_rules_changed_at_the_same_time_are_all_kept(busy_site: AccountsSite) -> None:
    user = busy_site.register("alice")
    pending = [user.http.start("PUT", f"{GLOBAL}/room/!{n}", NOTIFY) for n in range(5)]
    busy_site.finish(pending)
    assert [each.reply.status for each in pending] == [200] * 5
    assert sorted(_ids(user, "room")) == ["!0", "!1", "!2", "!3", "!4"]


def test_the_number_of_rules_is_limited(site: AccountsSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeserver.protocol.push_rules.ruleset.MAX_RULES", 2)
    user = site.register("alice")
    statuses = [_put(user, f"room/!{n}", NOTIFY)[0] for n in range(3)]
    assert statuses == [200, 200, 403]
    assert _put(user, "room/!1", {"actions": []})[0] == 200

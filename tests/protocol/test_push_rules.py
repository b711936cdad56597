"""https://spec.matrix.org/v1.19/client-server-api/#push-rules"""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.push_rules.kinds import Kind
from homeserver.protocol.push_rules.ruleset import (
    DEFAULT_RULE_IDS,
    NO_CHANGES,
    Changes,
    ruleset,
)

ALICE = UserID("@alice:test")
RULE_IDS = st.sampled_from(["a", "b", "c", "d"])
NEIGHBOURS = st.none() | RULE_IDS


def test_default_rules_are_those_of_the_specification() -> None:
    """The order decides, and every ID is marked as a default."""
    rules = ruleset(ALICE, NO_CHANGES)
    assert list(rules) == ["override", "content", "room", "sender", "underride"]
    defaults = [rule for kind in rules.values() for rule in kind]
    assert len([rule for rule in defaults if rule["rule_id"].startswith(".m.rule.")]) == 15
    assert all(rule["default"] for rule in defaults)
    assert [rule["rule_id"] for rule in defaults if not rule["enabled"]] == [".m.rule.master"]
    assert {kind.value for kind in DEFAULT_RULE_IDS} == {"override", "postcontent", "underride"}


def test_rules_of_polls_stand_where_their_proposal_puts_them() -> None:
    """https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/3930-polls-notifications.md"""
    rules = ruleset(ALICE, NO_CHANGES)
    override = [rule["rule_id"] for rule in rules["override"]]
    after = override.index(".m.rule.room.server_acl") + 1
    assert override[after] == ".org.matrix.msc3930.rule.poll_response"
    assert [
        rule["rule_id"].removeprefix(".org.matrix.msc3930.rule.") for rule in rules["underride"][-5:]
    ] == [
        ".m.rule.encrypted",
        "poll_start_one_to_one",
        "poll_start",
        "poll_end_one_to_one",
        "poll_end",
    ]
    poll = {"kind": "event_match", "key": "type", "pattern": "org.matrix.msc3381.poll.start"}
    assert rules["underride"][-4]["conditions"] == [{"kind": "room_member_count", "is": "2"}, poll]


def test_rules_about_the_user_name_the_user() -> None:
    rules = {rule["rule_id"]: rule for rule in ruleset(ALICE, NO_CHANGES)["override"]}
    assert rules[".m.rule.invite_for_me"]["conditions"][2] == {
        "kind": "event_match",
        "key": "state_key",
        "pattern": ALICE,
    }
    assert rules[".m.rule.is_user_mention"] == {
        "rule_id": ".m.rule.is_user_mention",
        "default": True,
        "enabled": True,
        "conditions": [
            {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": ALICE}
        ],
        "actions": ["notify", {"set_tweak": "sound", "value": "default"}, {"set_tweak": "highlight"}],
    }


def test_a_new_default_rule_reaches_users_with_changes() -> None:
    """Only changes are stored: what a release adds is there at once."""
    changes = NO_CHANGES.set_enabled(Kind.OVERRIDE, ".m.rule.master", True)
    assert Changes.decode(changes.encode()).defaults == {".m.rule.master": {"enabled": True}}
    assert len(ruleset(ALICE, changes)["override"]) == len(ruleset(ALICE, NO_CHANGES)["override"])


def test_changes_of_rules_that_are_gone_are_ignored() -> None:
    changes = replace(NO_CHANGES, defaults={".m.rule.contains_display_name": {"enabled": False}})
    assert ruleset(ALICE, changes) == ruleset(ALICE, NO_CHANGES)


@st.composite
def operations(draw: st.DrawFn) -> Any:
    """One thing that a client may do to the rules of a kind."""
    kind, rule_id = draw(st.sampled_from([Kind.ROOM, Kind.SENDER])), draw(RULE_IDS)
    return draw(
        st.one_of(
            st.builds(lambda before, after: ("put", kind, rule_id, before, after), NEIGHBOURS, NEIGHBOURS),
            st.just(("delete", kind, rule_id, None, None)),
            st.just(("disable", kind, rule_id, None, None)),
        )
    )


def _done(changes: Changes, operation: Any) -> Changes:
    name, kind, rule_id, before, after = operation
    if name == "put":
        return changes.put(kind, rule_id, {"actions": []}, before, after)
    if name == "delete":
        return changes.delete(kind, rule_id)
    return changes.set_enabled(kind, rule_id, False)


@given(st.lists(operations(), max_size=30))
def test_own_rules_behave_like_a_list(steps: list[Any]) -> None:
    """Against a model: IDs in order by kind. Every value survives being stored; a failed operation changes nothing."""
    changes = NO_CHANGES
    model: dict[Kind, list[str]] = {Kind.ROOM: [], Kind.SENDER: []}
    for step in steps:
        name, kind, rule_id, before, after = step
        order = model[kind]
        known = rule_id in order
        neighbour = before if before is not None else after
        if name == "put":
            fails = neighbour is not None and (neighbour not in order or neighbour == rule_id)
        else:
            fails = not known
        try:
            changes = Changes.decode(_done(changes, step).encode())
            assert not fails
        except MatrixError:
            assert fails
            continue
        if name == "delete":
            order.remove(rule_id)
        if name == "put" and (neighbour is not None or not known):
            if known:
                order.remove(rule_id)
            place = 0 if neighbour is None else order.index(neighbour) + (before is None)
            order.insert(place, rule_id)
        rules = ruleset(ALICE, changes)
        assert [rule["rule_id"] for rule in rules["room"]] == model[Kind.ROOM]
        assert [rule["rule_id"] for rule in rules["sender"]] == model[Kind.SENDER]

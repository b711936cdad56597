"""What push rules make of events.

https://spec.matrix.org/v1.19/client-server-api/#push-rules
"""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.push_rules.conditions import Circumstances, compiled_condition
from homeserver.protocol.push_rules.evaluation import Verdict, compiled, default_rules
from homeserver.protocol.push_rules.globs import whole_matcher, word_matcher
from homeserver.protocol.push_rules.kinds import Kind
from homeserver.protocol.push_rules.ruleset import NO_CHANGES, Changes, ruleset
from homeserver.protocol.room_versions import ROOM_VERSIONS

ME = UserID("@me:here")
ROOM = RoomID("!room")
NOTIFY: dict[str, Any] = {"actions": ["notify"]}


def event(content: dict[str, Any] | None = None, type: str = "m.room.message", **keys: Any) -> Event:
    """An event of somebody else."""
    pdu = {"room_id": ROOM, "sender": "@you:here", "type": type, "content": content or {}, "depth": 1}
    return Event.from_trusted({**pdu, "origin_server_ts": 1, **keys}, ROOM_VERSIONS["10"], EventID("$event"))


def circumstances(members: int = 3, powerful: bool = False, name: str | None = None) -> Circumstances:
    """A room as rules see it."""
    return Circumstances(ME, members, lambda sender, key: powerful and key == "room", name)


def judged(event_: Event, changes: Changes = NO_CHANGES, **about: Any) -> Verdict:
    """What the user's rules say."""
    return compiled(ruleset(ME, changes)).evaluate(event_, circumstances(**about))


def holds(condition: dict[str, Any], event_: Event, **about: Any) -> bool:
    """Whether one condition does."""
    return compiled_condition(condition)(event_, circumstances(**about))


def with_rule(kind: Kind, rule_id: str, **body: Any) -> Changes:
    """One rule of the user's own."""
    return NO_CHANGES.put(kind, rule_id, {**NOTIFY, **body}, None, None)


TEXT = {"msgtype": "m.text", "body": "hello"}
MENTION = {**TEXT, "m.mentions": {"user_ids": [ME]}}
INVITE = {"membership": "invite"}
POLL, POLL_RULE = "org.matrix.msc3381.poll", ".org.matrix.msc3930.rule.poll_"
EDIT = {**MENTION, "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}


@pytest.mark.parametrize(
    ("rule_id", "event_", "about"),
    [
        (".m.rule.suppress_notices", event({"msgtype": "m.notice", "body": "x"}), {}),
        (".m.rule.invite_for_me", event(INVITE, "m.room.member", state_key=ME), {}),
        (".m.rule.member_event", event(INVITE, "m.room.member", state_key="@you:here"), {}),
        (".m.rule.is_user_mention", event(MENTION), {}),
        (".m.rule.is_user_mention", event(EDIT), {}),
        (".m.rule.is_room_mention", event({**TEXT, "m.mentions": {"room": True}}), {"powerful": True}),
        (".m.rule.message", event({**TEXT, "m.mentions": {"room": True}}), {"powerful": False}),
        (".m.rule.message", event({**TEXT, "m.mentions": {"room": 1}}), {"powerful": True}),
        (".m.rule.tombstone", event({}, "m.room.tombstone", state_key=""), {}),
        ("", event({}, "m.room.tombstone"), {}),
        (".m.rule.reaction", event({}, "m.reaction"), {}),
        (".m.rule.room.server_acl", event({}, "m.room.server_acl", state_key=""), {}),
        (".m.rule.suppress_edits", event({**EDIT, "m.mentions": {}}), {}),
        (".m.rule.call", event({}, "m.call.invite"), {}),
        (".m.rule.encrypted_room_one_to_one", event({}, "m.room.encrypted"), {"members": 2}),
        (".m.rule.room_one_to_one", event(TEXT), {"members": 2}),
        (".m.rule.message", event(TEXT), {}),
        (".m.rule.encrypted", event({}, "m.room.encrypted"), {}),
        (f"{POLL_RULE}start_one_to_one", event({}, f"{POLL}.start"), {"members": 2}),
        (f"{POLL_RULE}start", event({}, f"{POLL}.start"), {}),
        (f"{POLL_RULE}end_one_to_one", event({}, f"{POLL}.end"), {"members": 2}),
        (f"{POLL_RULE}end", event({}, f"{POLL}.end"), {}),
        (f"{POLL_RULE}response", event({}, f"{POLL}.response"), {"members": 2}),
        ("", event({}, "m.room.topic", state_key=""), {}),
        ("", event(TEXT, "com.example"), {}),
    ],
)
def test_each_default_rule_decides_what_it_is_for(rule_id: str, event_: Event, about: dict[str, Any]) -> None:
    assert judged(event_, **about).rule_id == rule_id


def test_mentions_highlight_and_messages_only_notify() -> None:
    assert (judged(event(MENTION)).notify, judged(event(MENTION)).highlight) == (True, True)
    assert (judged(event(TEXT)).notify, judged(event(TEXT)).highlight) == (True, False)


def test_the_master_rule_silences_everything_when_it_is_enabled() -> None:
    changes = NO_CHANGES.set_enabled(Kind.OVERRIDE, ".m.rule.master", True)
    assert judged(event(MENTION), changes) == Verdict(".m.rule.master", (), False, False)
    assert compiled(ruleset(ME, changes)).in_room(ROOM).is_silent


def test_disabled_rules_never_match() -> None:
    changes = NO_CHANGES.set_enabled(Kind.UNDERRIDE, ".m.rule.message", False)
    assert not judged(event(TEXT), changes).notify


def test_historical_actions_are_as_if_they_were_not_there() -> None:
    changes = NO_CHANGES.set_actions(Kind.UNDERRIDE, ".m.rule.message", ["dont_notify"])
    assert judged(event(TEXT), changes) == Verdict(".m.rule.message", (), False, False)
    changes = NO_CHANGES.set_actions(Kind.UNDERRIDE, ".m.rule.message", ["notify", "coalesce"])
    assert judged(event(TEXT), changes).actions == ("notify",)


@pytest.mark.parametrize(
    ("tweak", "highlight"),
    [({}, True), ({"value": True}, True), ({"value": False}, False), ({"value": "false"}, False)],
)
def test_a_highlight_without_a_value_is_one(tweak: dict[str, Any], highlight: bool) -> None:
    actions = ["notify", {"set_tweak": "highlight", **tweak}]
    changes = NO_CHANGES.set_actions(Kind.UNDERRIDE, ".m.rule.message", actions)
    assert judged(event(TEXT), changes).highlight is highlight


def test_kinds_are_tried_in_their_order() -> None:
    changes = NO_CHANGES
    for kind, rule_id in [
        (Kind.UNDERRIDE, "under"),
        (Kind.SENDER, "@you:here"),
        (Kind.ROOM, ROOM),
        (Kind.CONTENT, "words"),
        (Kind.OVERRIDE, "over"),
    ]:
        changes = changes.put(kind, rule_id, {**NOTIFY, "pattern": "hello"}, None, None)
        assert judged(event(TEXT), changes).rule_id == rule_id


def test_room_and_sender_rules_are_for_exactly_that_room_and_sender() -> None:
    assert judged(event({}, "x"), with_rule(Kind.ROOM, "!ROOM")).rule_id == ""
    assert judged(event({}, "x"), with_rule(Kind.SENDER, "@YOU:here")).rule_id == ""


def test_content_rules_look_for_words_of_the_body() -> None:
    changes = with_rule(Kind.CONTENT, "cake", pattern="ca?e")
    assert judged(event({"body": "A CAKE!"}, "x"), changes).notify
    assert not judged(event({"body": "pancakes"}, "x"), changes).notify
    assert not judged(event({"body": 7}, "x"), changes).notify


def test_unknown_conditions_never_match() -> None:
    for conditions in (
        [{"kind": "com.example"}],
        [{"kind": "event_match"}],
        [{"kind": "event_match", "key": "type", "pattern": 1}],
        [{"kind": "event_property_is", "key": "type"}],
        [{"kind": "event_property_is", "key": "content", "value": {}}],
        [{"kind": "event_property_contains", "key": "type", "value": 2**53}],
        [{"kind": "room_member_count", "is": "=3"}],
        [{"kind": "room_member_count"}],
        [{"kind": "sender_notification_permission"}],
    ):
        assert judged(event({}, "x"), with_rule(Kind.OVERRIDE, "r", conditions=conditions)).rule_id == ""


@pytest.mark.parametrize(
    ("key", "pattern", "matches"),
    [
        ("type", "M.ROOM.*", True),
        ("type", "m.room", False),
        ("content.a\\.b", "x", True),
        ("content.a.b", "y", True),
        ("content.a.b.c", "*", False),
        ("content.none", "*", False),
        ("content.number", "*", False),
        ("content.body", "hello", True),
        ("content.topic", "lunc?*", True),
        ("content.topic", "lunc?", False),
        ("room_id", "!room", True),
        ("event_id", "$event", True),
        ("state_key", "", False),
    ],
)
def test_event_match(key: str, pattern: str, matches: bool) -> None:
    content = {"a.b": "x", "a": {"b": "y"}, "number": 1, "body": "oh, hello", "topic": "Lunch plans"}
    assert holds({"kind": "event_match", "key": key, "pattern": pattern}, event(content)) is matches


@pytest.mark.parametrize(
    ("value", "wanted", "same"),
    [(True, True, True), (1, True, False), (True, 1, False), ("true", True, False), (None, None, True),
     (1, 1, True), ("a", "A", False), ([1], 1, False)],
)  # fmt: skip
def test_event_property_is_compares_values_with_their_types(value: Any, wanted: Any, same: bool) -> None:
    condition = {"kind": "event_property_is", "key": "content.x", "value": wanted}
    assert holds(condition, event({"x": value})) is same
    contains = {"kind": "event_property_contains", "key": "content.x", "value": wanted}
    assert holds(contains, event({"x": [{}, value]})) is same
    assert not holds(contains, event({"x": {"0": value}}))


@pytest.mark.parametrize(
    ("asked", "true"),
    [("3", True), ("==3", True), ("<3", False), ("<=3", True), (">2", True), (">=4", False), ("03", True)],
)
def test_room_member_count(asked: str, true: bool) -> None:
    assert holds({"kind": "room_member_count", "is": asked}, event(), members=3) is true


def test_display_names_are_looked_for_as_words_and_without_wildcards() -> None:
    condition = {"kind": "contains_display_name"}
    assert holds(condition, event({"body": "hi A*a!"}), name="a*A")
    assert not holds(condition, event({"body": "hi abba"}), name="a*a")
    assert not holds(condition, event({"body": "hi"}), name="")
    assert not holds(condition, event({"body": "hi"}))


@pytest.mark.parametrize(
    ("pattern", "body", "matches"),
    [
        ("ex*ple", "An example event.", True),
        ("ex*ple", "exple", True),
        ("ex*ple", "An exciting triple-whammy", True),
        ("ex*ple", "sexple", False),
        ("ex*ple", "example_", False),
        ("cake", "a pancake, no cake", True),
        ("cake", "a pancake", False),
        ("@room", "x @room", True),
        ("*", "", True),
        ("a*", "ba a", True),
        ("*a", "ab", False),
        ("", "x", True),
        ("é", "caf é", True),
    ],
)
def test_patterns_match_between_word_boundaries(pattern: str, body: str, matches: bool) -> None:
    assert word_matcher(pattern)(body) is matches


@given(st.text("aB*?", max_size=8), st.text("aAbB\n", max_size=10))
def test_whole_patterns_agree_with_regular_expressions(pattern: str, text: str) -> None:
    expression = pattern.lower().replace("*", ".*").replace("?", ".")
    assert whole_matcher(pattern)(text) is bool(re.fullmatch(expression, text.lower(), re.DOTALL))


@given(st.text("aB*?", max_size=6), st.text("aAb _-\n", max_size=10))
def test_word_patterns_agree_with_regular_expressions(pattern: str, text: str) -> None:
    inner = pattern.lower().replace("*", ".*").replace("?", ".")
    word = "[A-Za-z0-9_]"
    edge = f"(?:^|$|(?<!{word})|(?!{word}))"
    found = any(
        re.compile(f"{edge}(?:{inner}){edge}", re.DOTALL).match(text.lower(), at) is not None
        for at in range(len(text) + 1)
    )
    # `^` and `$` mean the whole text here, so each start is tried with lookarounds alone.
    assert word_matcher(pattern)(text) is found


def test_hostile_patterns_give_up_instead_of_computing_for_long() -> None:
    body = "a" * 65_000
    assert not word_matcher("*".join("a" * 500) + "b")(body)
    assert not whole_matcher("a*" * 20_000 + "b")(body)
    assert not word_matcher("?" * 30_000 + "b")(body)
    assert not holds(
        {"kind": "event_match", "key": "content.x", "pattern": "?" * 99 + "*b"}, event({"x": body})
    )


def test_rules_for_other_rooms_do_not_make_a_room_different() -> None:
    changes = with_rule(Kind.ROOM, "!other", actions=[])
    other = [{"kind": "event_match", "key": "room_id", "pattern": "!Other"}]
    changes = changes.put(Kind.OVERRIDE, "mute", {"actions": [], "conditions": other}, None, None)
    changes = changes.set_actions(Kind.UNDERRIDE, ".m.rule.message", ["notify", {"set_tweak": "sound"}])
    mine = compiled(ruleset(ME, changes))
    assert mine.in_room(ROOM).counts_like(default_rules(ME))
    assert not mine.counts_like(default_rules(ME))
    assert mine.in_room(RoomID("!other")).is_silent
    assert not default_rules(ME).in_room(ROOM).is_silent


@given(st.sampled_from([ROOM, RoomID("!other"), RoomID("!ROOM")]), st.sampled_from(["cake", "tea"]))
def test_the_rules_of_a_room_judge_as_all_rules_do(room: RoomID, body: str) -> None:
    conditions = [{"kind": "event_match", "key": "room_id", "pattern": "!r*"}]
    changes = with_rule(Kind.OVERRIDE, "o", actions=[], conditions=conditions)
    changes = changes.put(Kind.CONTENT, "c", {**NOTIFY, "pattern": "cake"}, None, None)
    changes = changes.put(Kind.ROOM, "!other", {"actions": []}, None, None)
    rules = compiled(ruleset(ME, changes))
    seen = event({"body": body}, room_id=room)
    assert rules.in_room(room).evaluate(seen, circumstances()) == rules.evaluate(seen, circumstances())

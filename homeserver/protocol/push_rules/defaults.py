"""The server-default push rules.

https://spec.matrix.org/v1.19/client-server-api/#predefined-rules
"""

from typing import Any

from homeserver.protocol.identifiers import UserID

Rule = dict[str, Any]

MASTER = ".m.rule.master"
_THREADS = "io.element.msc4306"
_POLLS = "org.matrix.msc3381.poll"
"""Polls, and the rules about them, have only unstable names yet: clients send these types, and know these rules."""

_HIGHLIGHT: dict[str, Any] = {"set_tweak": "highlight"}
_SOUND: dict[str, Any] = {"set_tweak": "sound", "value": "default"}
_RING: dict[str, Any] = {"set_tweak": "sound", "value": "ring"}
_TWO_MEMBERS: dict[str, Any] = {"kind": "room_member_count", "is": "2"}


def _match(key: str, pattern: str) -> dict[str, Any]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _rule(rule_id: str, conditions: list[dict[str, Any]], *actions: Any, enabled: bool = True) -> Rule:
    return {
        "rule_id": rule_id,
        "default": True,
        "enabled": enabled,
        "conditions": conditions,
        "actions": list(actions),
    }


def master_rule() -> Rule:
    """The rule that turns all notifications off, the only default one above the user's own."""
    return _rule(MASTER, [], enabled=False)


def override_rules(user_id: UserID) -> list[Rule]:
    """The default `override` rules of a user but for the master rule, the most important first."""
    member = _match("type", "m.room.member")
    to_user = _match("state_key", user_id)
    no_state_key = _match("state_key", "")
    mentions_user = {
        "kind": "event_property_contains",
        "key": r"content.m\.mentions.user_ids",
        "value": user_id,
    }
    mentions_room = {"kind": "event_property_is", "key": r"content.m\.mentions.room", "value": True}
    may_notify_room = {"kind": "sender_notification_permission", "key": "room"}
    is_edit = {"kind": "event_property_is", "key": r"content.m\.relates_to.rel_type", "value": "m.replace"}
    invite = _match("content.membership", "invite")
    return [
        _rule(".m.rule.suppress_notices", [_match("content.msgtype", "m.notice")]),
        _rule(".m.rule.invite_for_me", [member, invite, to_user], "notify", _SOUND),
        _rule(".m.rule.member_event", [member]),
        _rule(".m.rule.is_user_mention", [mentions_user], "notify", _SOUND, _HIGHLIGHT),
        _rule(".m.rule.is_room_mention", [mentions_room, may_notify_room], "notify", _HIGHLIGHT),
        _rule(".m.rule.tombstone", [_match("type", "m.room.tombstone"), no_state_key], "notify", _HIGHLIGHT),
        _rule(".m.rule.reaction", [_match("type", "m.reaction")]),
        _rule(".m.rule.room.server_acl", [_match("type", "m.room.server_acl"), no_state_key]),
        _poll_rule("response"),
        _rule(".m.rule.suppress_edits", [is_edit]),
    ]


def thread_rules() -> list[Rule]:
    """The default `postcontent` rules: threads notify only those who are subscribed to them.

    https://github.com/matrix-org/matrix-spec-proposals/pull/4306
    """
    return [
        _rule(f".{_THREADS}.rule.unsubscribed_thread", [_subscribed(False)]),
        _rule(f".{_THREADS}.rule.subscribed_thread", [_subscribed(True)], "notify", _SOUND),
    ]


def _subscribed(subscribed: bool) -> dict[str, Any]:
    return {"kind": f"{_THREADS}.thread_subscription", "subscribed": subscribed}


def underride_rules() -> list[Rule]:
    """The default `underride` rules, the most important first."""
    message = _match("type", "m.room.message")
    encrypted = _match("type", "m.room.encrypted")
    return [
        _rule(".m.rule.call", [_match("type", "m.call.invite")], "notify", _RING),
        _rule(".m.rule.encrypted_room_one_to_one", [_TWO_MEMBERS, encrypted], "notify", _SOUND),
        _rule(".m.rule.room_one_to_one", [_TWO_MEMBERS, message], "notify", _SOUND),
        _rule(".m.rule.message", [message], "notify"),
        _rule(".m.rule.encrypted", [encrypted], "notify"),
        _poll_rule("start", "notify", _SOUND, one_to_one=True),
        _poll_rule("start", "notify"),
        _poll_rule("end", "notify", _SOUND, one_to_one=True),
        _poll_rule("end", "notify"),
    ]


def _poll_rule(what: str, *actions: Any, one_to_one: bool = False) -> Rule:
    """Polls notify as messages do, votes do not.

    https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/3930-polls-notifications.md
    """
    name, conditions = what, [_match("type", f"{_POLLS}.{what}")]
    if one_to_one:
        name, conditions = f"{what}_one_to_one", [_TWO_MEMBERS, *conditions]
    return _rule(f".org.matrix.msc3930.rule.poll_{name}", conditions, *actions)

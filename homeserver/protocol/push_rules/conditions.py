"""Conditions of push rules, compiled. One of an unknown kind, or one that is not well-formed, never matches.

https://spec.matrix.org/v1.19/client-server-api/#conditions-1
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.protocol.events.event import Event
from homeserver.protocol.filters import split_path
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.push_rules.globs import literal_word_matcher, whole_matcher, word_matcher

BODY: Final = "content.body"
MAX_INTEGER: Final = 2**53 - 1

DISPLAY_NAME: Final = "contains_display_name"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What conditions ask that an event does not say: whose rules they are, and what the room is like.

    ``may_notify`` says whether a sender has the power to notify in a way, such as `room`; ``subscribed`` whether the
    user is subscribed to the thread that the event is in, None where it is in none.
    """

    user_id: UserID
    members: int
    may_notify: Callable[[UserID, str], bool]
    display_name: str | None = None
    subscribed: bool | None = None


Condition = Callable[[Event, Circumstances], bool]

_ABSENT: Final = object()
_MEMBER_COUNT = re.compile(r"(==|<=|>=|<|>)?([0-9]{1,15})")
_COMPARISONS: Mapping[str | None, Callable[[int, int], bool]] = {
    None: operator.eq,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def compiled_condition(condition: Mapping[str, Any]) -> Condition:
    """A condition as a function."""
    compile_kind = _KINDS.get(str(condition.get("kind")))
    return _never if compile_kind is None else compile_kind(condition)


def event_match(key: str, pattern: str) -> Condition:
    """Whether a property is a text that matches a pattern; of `content.body` words of it may."""
    read = _property(key)
    matches = word_matcher(pattern) if key == BODY else whole_matcher(pattern)

    def holds(event: Event, circumstances: Circumstances) -> bool:
        value = read(event)
        return isinstance(value, str) and matches(value)

    return holds


def _event_match(condition: Mapping[str, Any]) -> Condition:
    key, pattern = condition.get("key"), condition.get("pattern")
    if not isinstance(key, str) or not isinstance(pattern, str):
        return _never
    return event_match(key, pattern)


def _property_is(condition: Mapping[str, Any]) -> Condition:
    key, wanted = condition.get("key"), condition.get("value", _ABSENT)
    if not isinstance(key, str) or not _is_simple(wanted):
        return _never
    read = _property(key)
    return lambda event, circumstances: _is_same(read(event), wanted)


def _property_contains(condition: Mapping[str, Any]) -> Condition:
    key, wanted = condition.get("key"), condition.get("value", _ABSENT)
    if not isinstance(key, str) or not _is_simple(wanted):
        return _never
    read = _property(key)

    def holds(event: Event, circumstances: Circumstances) -> bool:
        values = read(event)
        return isinstance(values, list) and any(_is_same(value, wanted) for value in values)

    return holds


def _contains_display_name(condition: Mapping[str, Any]) -> Condition:
    def holds(event: Event, circumstances: Circumstances) -> bool:
        name, body = circumstances.display_name, event.content.get("body")
        return bool(name) and isinstance(body, str) and literal_word_matcher(name or "")(body)

    return holds


def _room_member_count(condition: Mapping[str, Any]) -> Condition:
    wanted = condition.get("is")
    found = _MEMBER_COUNT.fullmatch(wanted) if isinstance(wanted, str) else None
    if found is None:
        return _never
    compare, number = _COMPARISONS[found[1]], int(found[2])
    return lambda event, circumstances: compare(circumstances.members, number)


def _sender_notification_permission(condition: Mapping[str, Any]) -> Condition:
    key = condition.get("key")
    if not isinstance(key, str):
        return _never
    return lambda event, circumstances: circumstances.may_notify(event.sender, key)


def _thread_subscription(condition: Mapping[str, Any]) -> Condition:
    """https://github.com/matrix-org/matrix-spec-proposals/pull/4306"""
    wanted = condition.get("subscribed")
    if not isinstance(wanted, bool):
        return _never
    return lambda event, circumstances: circumstances.subscribed is wanted


def _never(event: Event, circumstances: Circumstances) -> bool:
    return False


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Condition]] = {
    "event_match": _event_match,
    "event_property_is": _property_is,
    "event_property_contains": _property_contains,
    DISPLAY_NAME: _contains_display_name,
    "room_member_count": _room_member_count,
    "sender_notification_permission": _sender_notification_permission,
    "io.element.msc4306.thread_subscription": _thread_subscription,
}


def _property(key: str) -> Callable[[Event], object]:
    """Reads what is at a dot-separated path of an event; `_ABSENT` where there is nothing."""
    first, *rest = split_path(key)
    if first in ("room_id", "event_id"):  # not every PDU has them
        return (lambda event: getattr(event, first)) if not rest else (lambda event: _ABSENT)
    if not rest:
        return lambda event: event.pdu.get(first, _ABSENT)

    def read(event: Event) -> object:
        value: object = event.pdu.get(first)
        for name in rest:
            if not isinstance(value, dict):
                return _ABSENT
            value = value.get(name, _ABSENT)
        return value

    return read


def _is_simple(value: object) -> bool:
    if type(value) is int:
        return -MAX_INTEGER <= value <= MAX_INTEGER
    return value is None or isinstance(value, str | bool)


def _is_same(value: object, wanted: object) -> bool:
    return type(value) is type(wanted) and value == wanted

"""What a user's push rules make of an event: pure, over rules that are compiled once.

https://spec.matrix.org/v1.19/client-server-api/#push-rules
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import orjson

from homeserver.protocol.canonical_json import compact
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.push_rules.conditions import (
    BODY,
    DISPLAY_NAME,
    Circumstances,
    Condition,
    compiled_condition,
    event_match,
)
from homeserver.protocol.push_rules.defaults import Rule
from homeserver.protocol.push_rules.globs import Matcher, whole_matcher
from homeserver.protocol.push_rules.kinds import Kind
from homeserver.protocol.push_rules.ruleset import NO_CHANGES, Ruleset, ruleset

_HISTORICAL: Final = ("dont_notify", "coalesce")
_SHARED: Final = 2000
"""Compiled rules that are kept, to be shared by the users who have the same: most have the default ones."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the first rule that matches says. ``actions`` are without historical ones."""

    rule_id: str
    actions: tuple[Any, ...]
    notify: bool
    highlight: bool


SILENCE: Final = Verdict("", (), False, False)
"""No rule matched."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """``conditions`` must all hold, in rooms for which ``room`` does (None: in all rooms). ``meaning`` is equal for
    rules that match the same events and count the same.
    """

    conditions: tuple[Condition, ...]
    verdict: Verdict
    room: Matcher | None
    meaning: bytes


class PushRules:
    """The enabled rules of a user in the order in which they are tried."""

    __slots__ = ("_rules", "asks_display_name")

    def __init__(self, rules: Sequence[_Rule], *, asks_display_name: bool) -> None:
        self._rules = rules
        self.asks_display_name = asks_display_name
        """Whether any rule looks for the user's display name."""

    def evaluate(self, event: Event, circumstances: Circumstances) -> Verdict:
        """What the rules say of an event. Not for events that the user sent: those never notify."""
        for rule in self._rules:
            if rule.room is not None and not rule.room(event.room_id):
                continue
            for condition in rule.conditions:
                if not condition(event, circumstances):
                    break
            else:
                return rule.verdict
        return SILENCE

    def in_room(self, room_id: RoomID) -> "PushRules":
        """The rules that can match in a room, down to the first that matches everything there."""
        rules = []
        for rule in self._rules:
            if rule.room is None or rule.room(room_id):
                rules.append(replace(rule, room=None))
                if not rule.conditions:
                    break
        return PushRules(rules, asks_display_name=self.asks_display_name)

    def counts_like(self, other: "PushRules") -> bool:
        """Whether both notify and highlight for the same events."""
        return len(self._rules) == len(other._rules) and all(
            one.meaning == two.meaning for one, two in zip(self._rules, other._rules, strict=True)
        )

    @property
    def is_silent(self) -> bool:
        """Whether no event can ever notify."""
        return not any(rule.verdict.notify for rule in self._rules)


def compiled(rules: Ruleset) -> PushRules:
    """The rules of a user, ready to be tried."""
    enabled = [
        (kind, rule) for kind in Kind for rule in rules.get(kind.value, ()) if rule.get("enabled", True)
    ]
    asks = any(_asks_display_name(rule) for _, rule in enabled)
    return PushRules(
        tuple(_shared(kind, compact(orjson.dumps(rule))) for kind, rule in enabled), asks_display_name=asks
    )


def default_rules(user_id: UserID, *, threads: bool = False) -> PushRules:
    """The rules of a user who changed none."""
    return compiled(ruleset(user_id, NO_CHANGES, threads=threads))


def verdict_of(rule: Rule) -> Verdict:
    """What a rule says of an event that it matches."""
    actions = tuple(action for action in rule.get("actions", ()) if action not in _HISTORICAL)
    notify = "notify" in actions
    return Verdict(rule["rule_id"], actions, notify, notify and any(map(_is_highlight, actions)))


@lru_cache(_SHARED)
def _shared(kind: Kind, encoded: bytes) -> _Rule:
    rule: Rule = orjson.loads(encoded)
    verdict = verdict_of(rule)
    room: Matcher | None = None
    conditions: list[Condition] = []
    said: object = rule["rule_id"]
    if kind is Kind.ROOM:
        room = _exactly(rule["rule_id"])
    elif kind is Kind.SENDER:
        conditions.append(_sent_by(rule["rule_id"]))
    elif kind is Kind.CONTENT:
        said = rule.get("pattern", "")
        conditions.append(event_match(BODY, rule.get("pattern", "")))
    else:
        said = rule.get("conditions") or ()
        for condition in rule.get("conditions") or ():
            if room is None and _names_room(condition):
                room = whole_matcher(condition["pattern"])
            else:
                conditions.append(compiled_condition(condition))
    meaning = compact(orjson.dumps([kind.value, said, verdict.notify, verdict.highlight]))
    return _Rule(tuple(conditions), verdict, room, meaning)


def _exactly(room_id: str) -> Matcher:
    return lambda text: text == room_id


def _sent_by(user_id: str) -> Condition:
    return lambda event, circumstances: event.sender == user_id


def _names_room(condition: dict[str, Any]) -> bool:
    return (
        condition.get("kind") == "event_match"
        and condition.get("key") == "room_id"
        and isinstance(condition.get("pattern"), str)
    )


def _asks_display_name(rule: Rule) -> bool:
    return any(condition.get("kind") == DISPLAY_NAME for condition in rule.get("conditions") or ())


def _is_highlight(action: object) -> bool:
    return (
        isinstance(action, dict)
        and action.get("set_tweak") == "highlight"
        and action.get("value", True) is True
    )

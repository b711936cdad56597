"""A user's push rules: the defaults, and over them what the user changed.

Only the changes are stored, so that a new default rule reaches every user. `Changes` is a value: each
operation returns another one.

https://spec.matrix.org/v1.19/client-server-api/#push-rules
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from homeserver.protocol.errors import BadState, InvalidParam, NotFound
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.push_rules.defaults import (
    Rule,
    master_rule,
    override_rules,
    thread_rules,
    underride_rules,
)
from homeserver.protocol.push_rules.kinds import (
    MAX_RULES,
    Kind,
    check_actions,
    check_new_rule_id,
    rule_parameters,
)

Ruleset = dict[str, list[Rule]]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a user changed.

    `own` are their rules by kind, the most important first; `defaults` has new values of `enabled` and
    `actions` for default rules.
    """

    own: Mapping[str, list[Rule]] = field(default_factory=dict)
    defaults: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def encode(self) -> bytes:
        """JSON, for the database."""
        return orjson.dumps({"own": self.own, "defaults": self.defaults})

    @staticmethod
    def decode(data: bytes | None) -> "Changes":
        """What `encode` made; no changes for None."""
        return NO_CHANGES if data is None else Changes(**orjson.loads(data))

    def put(
        self, kind: Kind, rule_id: str, body: dict[str, Any], before: str | None, after: str | None
    ) -> "Changes":
        """Add or replace a rule of the user's own.

        Of two neighbours given, `before` counts. A rule that exists stays in its place and as enabled as it
        was unless a neighbour is given. Raises InvalidParam, MissingParam, BadJson, NotFound (no such
        neighbour), BadState (too many rules).
        """
        check_new_rule_id(rule_id)
        rules = self._own(kind)
        place = next((at for at, rule in enumerate(rules) if rule["rule_id"] == rule_id), None)
        enabled = True if place is None else rules.pop(place)["enabled"]
        if place is None and sum(map(len, self.own.values())) >= MAX_RULES:
            raise BadState(f"You have {MAX_RULES} push rules already")
        if before is not None:
            place = _place_of(rules, before)
        elif after is not None:
            place = _place_of(rules, after) + 1
        rule: Rule = {"rule_id": rule_id, "default": False, "enabled": enabled, **rule_parameters(kind, body)}
        rules.insert(place or 0, rule)
        return self._with(kind, rules)

    def delete(self, kind: Kind, rule_id: str) -> "Changes":
        """Remove a rule of the user's own. Raises NotFound; InvalidParam for a default rule."""
        if rule_id.startswith("."):
            raise InvalidParam("Default rules can be disabled, not deleted")
        rules = self._own(kind)
        kept = [rule for rule in rules if rule["rule_id"] != rule_id]
        if len(kept) == len(rules):
            raise NotFound("The push rule was not found")
        return self._with(kind, kept)

    def set_enabled(self, kind: Kind, rule_id: str, enabled: bool) -> "Changes":
        """Turn any rule on or off. Raises NotFound."""
        return self._set(kind, rule_id, {"enabled": enabled})

    def set_actions(self, kind: Kind, rule_id: str, actions: object) -> "Changes":
        """Change the actions of any rule. Raises NotFound, BadJson."""
        return self._set(kind, rule_id, {"actions": check_actions(actions)})

    def _set(self, kind: Kind, rule_id: str, values: dict[str, Any]) -> "Changes":
        if rule_id in DEFAULT_RULE_IDS.get(kind, frozenset()):
            changed = {**self.defaults.get(rule_id, {}), **values}
            return replace(self, defaults={**self.defaults, rule_id: changed})
        rules = self._own(kind)
        place = next((at for at, rule in enumerate(rules) if rule["rule_id"] == rule_id), None)
        if place is None:
            raise NotFound("The push rule was not found")
        rules[place] = {**rules[place], **values}
        return self._with(kind, rules)

    def _own(self, kind: Kind) -> list[Rule]:
        return list(self.own.get(kind.value, []))

    def _with(self, kind: Kind, rules: list[Rule]) -> "Changes":
        return replace(self, own={**self.own, kind.value: rules})


NO_CHANGES = Changes()


def ruleset(user_id: UserID, changes: Changes, *, threads: bool = False) -> Ruleset:
    """All rules of a user by kind, in the order in which they are tried; with ``threads`` those of threads that one
    subscribes to.
    """

    def changed(rules: list[Rule]) -> list[Rule]:
        return [{**rule, **changes.defaults.get(rule["rule_id"], {})} for rule in rules]

    own = {kind: changes.own.get(kind.value, []) for kind in Kind}
    of_threads = {"postcontent": changed(thread_rules())} if threads else {}
    return {
        "override": [*changed([master_rule()]), *own[Kind.OVERRIDE], *changed(override_rules(user_id))],
        "content": [*own[Kind.CONTENT]],
        **of_threads,
        "room": [*own[Kind.ROOM]],
        "sender": [*own[Kind.SENDER]],
        "underride": [*own[Kind.UNDERRIDE], *changed(underride_rules())],
    }


def push_rules_content(user_id: UserID, changes: Changes, *, threads: bool = False) -> bytes:
    """The content of the `m.push_rules` event: JSON. https://spec.matrix.org/v1.19/client-server-api/#push-
    rules-events
    """
    return orjson.dumps({"global": ruleset(user_id, changes, threads=threads)})


def rule_of(rules: Ruleset, kind: Kind, rule_id: str) -> Rule:
    """One rule. Raises NotFound."""
    for rule in rules.get(kind.value, ()):
        if rule["rule_id"] == rule_id:
            return rule
    raise NotFound("The push rule was not found")


def _place_of(rules: list[Rule], rule_id: str) -> int:
    if rule_id.startswith("."):
        raise InvalidParam("The neighbour must be one of your own rules")
    for at, rule in enumerate(rules):
        if rule["rule_id"] == rule_id:
            return at
    raise NotFound("`before` or `after` names no rule of this kind")


DEFAULT_RULE_IDS: dict[Kind, frozenset[str]] = {
    Kind.OVERRIDE: frozenset(rule["rule_id"] for rule in [master_rule(), *override_rules(UserID(""))]),
    Kind.POSTCONTENT: frozenset(rule["rule_id"] for rule in thread_rules()),
    Kind.UNDERRIDE: frozenset(rule["rule_id"] for rule in underride_rules()),
}

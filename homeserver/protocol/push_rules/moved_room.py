"""Push rules about a room that another one has replaced; pure.

https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-16
"""

from dataclasses import replace

from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.push_rules.defaults import Rule
from homeserver.protocol.push_rules.kinds import Kind
from homeserver.protocol.push_rules.ruleset import Changes


def with_rules_for(changes: Changes, old: RoomID, new: RoomID) -> Changes:
    """The changes with the rules for one room repeated for another one, unless it has them already."""
    own = {}
    for kind, rules in changes.own.items():
        known = {rule["rule_id"] for rule in rules}
        grown: list[Rule] = []
        for rule in rules:
            grown.append(rule)
            copied = _for_room(rule, kind, old, new)
            if copied is not None and copied["rule_id"] not in known:
                grown.append(copied)
        own[kind] = grown
    return replace(changes, own=own)


def _for_room(rule: Rule, kind: str, old: RoomID, new: RoomID) -> Rule | None:
    """The rule for the other room; None if it is not about the first one."""
    if kind == Kind.ROOM.value:
        return {**rule, "rule_id": new} if rule["rule_id"] == old else None
    conditions = rule.get("conditions")
    if not isinstance(conditions, list) or not any(_names(condition, old) for condition in conditions):
        return None
    changed = [
        {**condition, "pattern": new} if _names(condition, old) else condition for condition in conditions
    ]
    rule_id: str = rule["rule_id"]
    renamed = rule_id.replace(old, new) if old in rule_id else f"{rule_id}_{new}"
    return {**rule, "rule_id": renamed, "conditions": changed}


def _names(condition: object, room_id: RoomID) -> bool:
    return (
        isinstance(condition, dict)
        and condition.get("kind") == "event_match"
        and condition.get("key") == "room_id"
        and condition.get("pattern") == room_id
    )

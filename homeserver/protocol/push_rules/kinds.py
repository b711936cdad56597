"""The kinds of push rules, and what a rule of each kind may look like.

https://spec.matrix.org/v1.19/client-server-api/#push-rules
"""

import enum
from typing import Any

from homeserver.protocol.errors import BadJson, InvalidParam, MissingParam

MAX_RULE_ID_BYTES = 255
MAX_RULES = 1000
"""How many rules of their own a user may have."""


_ACTIONS = frozenset(("notify", "dont_notify", "coalesce"))
"""The last two are historical: clients still send them, and the evaluation ignores them."""


class Kind(enum.Enum):
    """The kinds, the most important first. What is of the kind `postcontent` (MSC4306) is the server's alone."""

    OVERRIDE = "override"
    CONTENT = "content"
    POSTCONTENT = "postcontent"
    ROOM = "room"
    SENDER = "sender"
    UNDERRIDE = "underride"


def check_new_rule_id(rule_id: str) -> None:
    """Raises InvalidParam for an ID that only the server may use or that cannot stand in a path."""
    if rule_id.startswith("."):
        raise InvalidParam("Rule IDs that start with a dot belong to the server")
    if "/" in rule_id or "\\" in rule_id or not rule_id:
        raise InvalidParam("A rule ID may contain neither '/' nor '\\'")
    if len(rule_id.encode()) > MAX_RULE_ID_BYTES:
        raise InvalidParam(f"A rule ID has at most {MAX_RULE_ID_BYTES} bytes")


def check_actions(actions: object) -> list[Any]:
    """Return a rule's actions: known texts, or objects with a `set_tweak`. Raises BadJson.

    https://spec.matrix.org/v1.19/client-server-api/#actions
    """
    if not isinstance(actions, list):
        raise BadJson("`actions` must be a list")
    for action in actions:
        if isinstance(action, str):
            if action not in _ACTIONS:
                raise BadJson(f"There is no action {action[:50]!r}")
            continue
        if not isinstance(action, dict) or not isinstance(action.get("set_tweak"), str):
            raise BadJson("An action is a text or an object with `set_tweak`")
    return actions


def rule_parameters(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    """Return what the client may set of a rule: its actions, and its conditions or pattern.

    Raises MissingParam, BadJson, InvalidParam for a kind of which clients cannot have any.
    """
    if kind is Kind.POSTCONTENT:
        raise InvalidParam("Clients cannot make rules of this kind")
    if "actions" not in body:
        raise MissingParam("Missing `actions`")
    parameters: dict[str, Any] = {"actions": check_actions(body["actions"])}
    if kind in (Kind.OVERRIDE, Kind.UNDERRIDE):
        parameters["conditions"] = _conditions(body.get("conditions", []))
    if kind is Kind.CONTENT:
        parameters["pattern"] = _pattern(body)
    return parameters


def _conditions(conditions: object) -> list[dict[str, Any]]:
    """Conditions of unknown kinds are allowed: they never match."""
    if conditions is None:
        return []
    if not isinstance(conditions, list):
        raise BadJson("`conditions` must be a list")
    for condition in conditions:
        if not isinstance(condition, dict) or not isinstance(condition.get("kind"), str):
            raise BadJson("A condition is an object with a `kind`")
    return conditions


def _pattern(body: dict[str, Any]) -> str:
    pattern = body.get("pattern")
    if pattern is None:
        raise MissingParam("Missing `pattern`")
    if not isinstance(pattern, str):
        raise BadJson("`pattern` must be a text")
    return pattern

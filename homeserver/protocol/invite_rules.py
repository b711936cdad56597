"""Whose invites a user takes, by what they keep in their account data.

https://spec.matrix.org/v1.19/client-server-api/#invite-permission,
https://github.com/matrix-org/matrix-spec-proposals/pull/4155
"""

from typing import Any, Final, Literal

from homeserver.protocol.identifiers import UserID, server_of
from homeserver.protocol.push_rules.globs import whole_matcher

Verdict = Literal["allow", "ignore", "block"]

PERMISSION: Final = "m.invite_permission_config"
RULES: Final = "org.matrix.msc4155.invite_permission_config"
_LONGEST_PATTERN: Final = 255
_VERDICTS: Final[tuple[tuple[str, Verdict], ...]] = (
    ("allowed", "allow"),
    ("ignored", "ignore"),
    ("blocked", "block"),
)


def verdict_on(inviter: UserID, permission: Any, rules: Any) -> Verdict:
    """What becomes of an invite by ``inviter``. Rules for users go before those for servers, and in each allowing goes
    before ignoring, and that before blocking. What is not as it should be is left out.
    """
    if isinstance(permission, dict) and permission.get("default_action") == "block":
        return "block"
    if not isinstance(rules, dict) or rules.get("enabled") is False:
        return "allow"
    for kind, name in (("users", str(inviter)), ("servers", str(server_of(inviter)))):
        for word, verdict in _VERDICTS:
            if _some_match(rules.get(f"{word}_{kind}"), name):
                return verdict
    return "allow"


def _some_match(patterns: Any, name: str) -> bool:
    if not isinstance(patterns, list):
        return False
    return any(
        whole_matcher(pattern)(name)
        for pattern in patterns
        if isinstance(pattern, str) and 0 < len(pattern) <= _LONGEST_PATTERN
    )

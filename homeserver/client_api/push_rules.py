"""Push rules.

https://spec.matrix.org/v1.19/client-server-api/#push-rules-api
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, Path, Query, endpoint
from homeserver.protocol.errors import MissingParam
from homeserver.protocol.push_rules.kinds import Kind
from homeserver.protocol.push_rules.ruleset import rule_of
from homeserver.protocol.requester import Requester
from homeserver.services.push_rules import PushRules

_RULES = "/_matrix/client/{v3,r0}/pushrules/"
_KIND = "/_matrix/client/{v3,r0}/pushrules/global/{kind}/"
_RULE = "/_matrix/client/{v3,r0}/pushrules/global/{kind}/{rule_id}"
_ATTRIBUTE = "/_matrix/client/{v3,r0}/pushrules/global/{kind}/{rule_id}/{attribute}"


class Attribute(Enum):
    """What a client may change of any rule, default ones included."""

    ENABLED = "enabled"
    ACTIONS = "actions"


class AttributeUpdate(msgspec.Struct, frozen=True):
    """The body of a change: the field that the path names."""

    enabled: bool | None = None
    actions: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class PushRulesApi:
    """Endpoints about the user's own push rules."""

    push_rules: PushRules

    @endpoint("GET", _RULES, auth=access_token, spec="client-server-api/#get_matrixclientv3pushrules")
    async def all_rules(self, who: Requester) -> dict[str, Any]:
        """All push rules of the user."""
        return {"global": await self.push_rules.rules(who.user_id)}

    @endpoint(
        "GET",
        f"{_RULES}global/",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3pushrulesglobal",
    )
    async def global_rules(self, who: Requester) -> dict[str, Any]:
        """All push rules of the user, as the only set of them."""
        return dict(await self.push_rules.rules(who.user_id))

    @endpoint("GET", _KIND, auth=access_token, spec="client-server-api/#get_matrixclientv3pushrules")
    async def rules_of_kind(self, who: Requester, kind: Path[Kind]) -> list[Any]:
        """The push rules of one kind, which older clients ask for."""
        return (await self.push_rules.rules(who.user_id)).get(kind.value, [])

    @endpoint(
        "GET", _RULE, auth=access_token, spec="client-server-api/#get_matrixclientv3pushrulesglobalkindruleid"
    )
    async def one(self, who: Requester, kind: Path[Kind], rule_id: Path[str]) -> dict[str, Any]:
        """One push rule."""
        return rule_of(await self.push_rules.rules(who.user_id), kind, rule_id)

    @endpoint(
        "PUT",
        _RULE,
        auth=access_token,
        limit="profile",
        spec="client-server-api/#put_matrixclientv3pushrulesglobalkindruleid",
    )
    async def put(
        self,
        who: Requester,
        kind: Path[Kind],
        rule_id: Path[str],
        body: Body[dict[str, Any]],
        before: Query[str | None] = None,
        after: Query[str | None] = None,
    ) -> None:
        """Add or replace a push rule of the user's own."""
        await self.push_rules.change(
            who.user_id, lambda changes: changes.put(kind, rule_id, body, before, after)
        )

    @endpoint(
        "DELETE",
        _RULE,
        auth=access_token,
        limit="profile",
        spec="client-server-api/#delete_matrixclientv3pushrulesglobalkindruleid",
    )
    async def delete(self, who: Requester, kind: Path[Kind], rule_id: Path[str]) -> None:
        """Remove a push rule of the user's own."""
        await self.push_rules.change(who.user_id, lambda changes: changes.delete(kind, rule_id))

    @endpoint(
        "GET",
        _ATTRIBUTE,
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3pushrulesglobalkindruleidenabled",
    )
    async def attribute(
        self, who: Requester, kind: Path[Kind], rule_id: Path[str], attribute: Path[Attribute]
    ) -> dict[str, Any]:
        """Whether a push rule is enabled, or its actions."""
        rule = rule_of(await self.push_rules.rules(who.user_id), kind, rule_id)
        return {attribute.value: rule[attribute.value]}

    @endpoint(
        "PUT",
        _ATTRIBUTE,
        auth=access_token,
        limit="profile",
        spec="client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled",
    )
    async def put_attribute(
        self,
        who: Requester,
        kind: Path[Kind],
        rule_id: Path[str],
        attribute: Path[Attribute],
        body: Body[AttributeUpdate],
    ) -> None:
        """Turn a push rule on or off, or change its actions."""
        enabled, actions = body.enabled, body.actions
        if kind is Kind.POSTCONTENT:
            rule_of(await self.push_rules.rules(who.user_id), kind, rule_id)
        if attribute is Attribute.ENABLED and enabled is not None:
            await self.push_rules.change(
                who.user_id, lambda changes: changes.set_enabled(kind, rule_id, enabled)
            )
        elif attribute is Attribute.ACTIONS and actions is not None:
            await self.push_rules.change(
                who.user_id, lambda changes: changes.set_actions(kind, rule_id, actions)
            )
        else:
            raise MissingParam(f"Missing `{attribute.value}`")

"""Questions about aliases, profiles and OpenID tokens.

https://spec.matrix.org/v1.19/server-server-api/#querying-for-information
"""

from typing import Final

import msgspec

from federation.wire.route import JsonObject, Route


class AliasQuery(msgspec.Struct, frozen=True):
    """The alias, full."""

    room_alias: str


class AliasAnswer(msgspec.Struct, frozen=True):
    """The room, and servers that are in it."""

    room_id: str
    servers: list[str]


class ProfileQuery(msgspec.Struct, frozen=True):
    """The user, and the one field that is wanted, if not all."""

    user_id: str
    field: str | None = None


DIRECTORY: Final = Route("GET", "/_matrix/federation/v1/query/directory", AliasAnswer, query=AliasQuery)
PROFILE: Final = Route("GET", "/_matrix/federation/v1/query/profile", JsonObject, query=ProfileQuery)

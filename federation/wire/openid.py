"""Who is behind an OpenID token. https://spec.matrix.org/v1.19/server-server-api/#openid"""

from typing import Final

import msgspec

from federation.wire.route import KIB, Route


class UserInfo(msgspec.Struct, frozen=True):
    """The answer: a user of the server that was asked."""

    sub: str


class UserInfoQuery(msgspec.Struct, frozen=True):
    """The token in question."""

    access_token: str


USER_INFO: Final = Route(
    "GET",
    "/_matrix/federation/v1/openid/userinfo",
    UserInfo,
    query=UserInfoQuery,
    signed=False,
    max_answer_bytes=64 * KIB,
)

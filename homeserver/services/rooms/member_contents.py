"""The content of membership events: with the member's name and avatar as they are in the profile."""

from typing import Any

from homeserver.protocol.identifiers import ServerName, UserID, server_of
from storage.database import Database
from storage.tables.profiles import Profiles

Content = dict[str, Any]


class MemberContents:
    """Writes the content of membership events. https://spec.matrix.org/v1.19/client-server-api/#mroommember"""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def with_profiles(
        self, membership: str, users: list[UserID], reason: str | None = None
    ) -> dict[UserID, Content]:
        """Contents for several users; those of other servers come without names."""
        local = [user_id for user_id in users if server_of(user_id) == self._server_name]
        rows = await self._database.read(lambda tx: Profiles(tx).names_and_avatars(local)) if local else []
        contents = {user_id: plain(membership, reason) for user_id in users}
        for row in rows:
            contents[row.user_id] |= named(row.displayname, row.avatar_url)
        return contents

    async def with_profile(self, membership: str, user_id: UserID, reason: str | None = None) -> Content:
        """The content for one user."""
        return (await self.with_profiles(membership, [user_id], reason))[user_id]


def plain(membership: str, reason: str | None = None) -> Content:
    """Content without a name."""
    content: Content = {"membership": membership}
    if reason is not None:
        content["reason"] = reason
    return content


def named(displayname: str | None, avatar_url: str | None) -> Content:
    """What a profile adds to the content."""
    fields = {"displayname": displayname, "avatar_url": avatar_url}
    return {name: value for name, value in fields.items() if value is not None}

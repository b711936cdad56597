"""The user from whom server notices come: an account that nobody can log in to, made when it is needed first."""

from dataclasses import dataclass

from homeserver.protocol.errors import Unknown
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.services.accounts import NOTICES, Accounts, NewAccount
from homeserver.services.profiles import AVATAR_URL, DISPLAYNAME, Profiles
from storage.database import Database
from storage.tables.users import Users


@dataclass(frozen=True, slots=True)
class NoticeSender:
    """Has the account there, and looking as the operator wants it."""

    user_id: UserID
    display_name: str
    avatar_url: str | None
    database: Database
    accounts: Accounts
    profiles: Profiles

    async def ready(self) -> None:
        """Make the account if it is not there, and change its name and picture where they differ. Raises Unknown if
        it is somebody else's.
        """
        if await self.database.read(lambda tx: Users(tx).account(self.user_id)) is None:
            account = NewAccount(self.user_id, None, user_type=NOTICES)
            await self.database.transact(lambda tx: self.accounts.insert(tx, account, None))
        if await self.database.read(lambda tx: Users(tx).type_of(self.user_id)) != NOTICES:
            raise Unknown(f"{self.user_id} is somebody's account: give server_notices.localpart another name")
        profile = await self.profiles.local(self.user_id)
        myself = Requester(self.user_id, device_id=None, token_id=None)
        for field, wanted in ((DISPLAYNAME, self.display_name), (AVATAR_URL, self.avatar_url)):
            if profile.get(field) != wanted:
                await self.profiles.put(myself, self.user_id, field, {field: wanted})

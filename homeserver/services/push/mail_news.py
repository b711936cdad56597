"""What of all that a pusher that mails is owed is still worth a mail.

Between an event and its mail lie minutes or hours. So it is judged anew: by the rules and the list of ignored users as
they are now, and by what the user may see; what was read, was redacted, or is in rooms that they left, is no news.
"""

from collections.abc import Iterable, Sequence

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.push.judging import PushJudge, Told
from homeserver.services.push.letters import Letter, Letters
from homeserver.services.rooms.access import MEMBER
from homeserver.services.rooms.ignored_users import ignored_by
from homeserver.services.rooms.invite_permission import unwanted_inviters
from storage.database import Database
from storage.tables.push_outbox import OwedPush


class MailNews:
    """Finds it out."""

    def __init__(self, database: Database, letters: Letters, judge: PushJudge) -> None:
        self._database = database
        self._letters = letters
        self._judge = judge

    async def of(self, user_id: UserID, owed: Iterable[OwedPush]) -> dict[RoomID, list[Letter]]:
        """The news of each room, in order."""
        by_room: dict[RoomID, list[Letter]] = {}
        for letter in await self._letters.still_due(user_id, owed):
            by_room.setdefault(letter.stored.event.room_id, []).append(letter)
        if not by_room:
            return {}
        ignored = await self._database.read(lambda tx: ignored_by(tx, user_id))
        found = {
            room_id: await self._in_room(user_id, room_id, letters, ignored)
            for room_id, letters in by_room.items()
        }
        return {room_id: letters for room_id, letters in found.items() if letters}

    async def _in_room(
        self, user_id: UserID, room_id: RoomID, letters: Sequence[Letter], ignored: frozenset[UserID]
    ) -> list[Letter]:
        invites = [each for each in letters if is_invite(each, user_id)]
        said = [each.stored for each in letters if each not in invites]
        told: list[Told] = await self._judge.told(user_id, room_id, said, ignored) if said else []
        for invite in invites:
            if not await self._is_hidden(user_id, invite):
                told += await self._judge.invited(user_id, room_id, invite.stored, invite.pos, ignored)
        nids = {each.nid for each in told}
        return [each for each in letters if each.stored.nid in nids]

    async def _is_hidden(self, user_id: UserID, invite: Letter) -> bool:
        inviter = UserID(invite.stored.event.sender)
        hidden = await self._database.read(lambda tx: unwanted_inviters(tx, user_id, (inviter,)))
        return inviter in hidden


def is_invite(letter: Letter, user_id: UserID) -> bool:
    """Whether it invites the user."""
    event = letter.stored.event
    return event.key == (MEMBER, user_id) and event.membership == "invite"

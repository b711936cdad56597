"""Making users of ours leave a room that is deleted; they may find themselves in another one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from twisted.internet.defer import CancelledError, Deferred, DeferredList

from homeserver.protocol.identifiers import RoomAlias, RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.creation import Creation
from homeserver.services.rooms.joining import Joining
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.new_room import NewRoom
from homeserver.services.rooms.sending import Sending
from storage.database import Database, DatabaseUnavailable
from storage.tables.room_deletions import Deletion, RoomDeletions
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

USERS_AT_ONCE: Final = 50
_SILENT: Final = -10
"""The power level of who comes into the new room: they may read why they are there."""


@dataclass(frozen=True, slots=True)
class Emptying:
    """Does it some users at a time; what was done is on record, so that it can be gone on with."""

    database: Database
    membership: Membership
    joining: Joining
    creation: Creation
    sending: Sending

    async def do_some(self, deletion: Deletion) -> bool:
        """Do a piece of it; whether there is more to do."""
        if deletion.new_room_user_id is not None and deletion.new_room_id is None:
            new_room_id = await self._found(deletion, deletion.new_room_user_id)
            await self.database.transact(
                lambda tx: RoomDeletions(tx).moved_to(deletion.delete_id, new_room_id)
            )
            return True
        room_id, stayed = deletion.room_id, deletion.stayed_users
        present = await self.database.read(
            lambda tx: RoomDeletions(tx).present(room_id, stayed, USERS_AT_ONCE)
        )
        if not present:
            await self.database.transact(lambda tx: _give_up_names(tx, deletion))
            return False
        # Together, so that one commit makes many of them leave.
        moving = [Deferred.fromCoroutine(self._move(deletion, user_id, was)) for user_id, was in present]
        outcome: Sequence[tuple[bool, Any]] = await DeferredList(moving, consumeErrors=True)
        is_out: dict[UserID, bool] = {}
        for (user_id, _), (went, result) in zip(present, outcome, strict=True):
            if not went:
                result.raiseException()
            is_out[user_id] = result and user_id not in deletion.left_users  # they would come again and again
        left = [user_id for user_id, out in is_out.items() if out]
        stays = [user_id for user_id, out in is_out.items() if not out]
        await self.database.transact(lambda tx: RoomDeletions(tx).departed(deletion.delete_id, left, stays))
        return True

    async def _found(self, deletion: Deletion, creator: UserID) -> RoomID:
        """Make the new room, and say in it what has happened."""
        who = _as_user(creator)
        room = NewRoom(
            preset="public_chat",
            name=deletion.new_room_name,
            power_levels={"users_default": _SILENT},
        )
        room_id = await self.creation.create(who, room)
        content = {"msgtype": "m.text", "body": deletion.message}
        await self.sending.send(who, room_id, "m.room.message", None, content)
        return room_id

    async def _move(self, deletion: Deletion, user_id: UserID, membership: str) -> bool:
        """Take a user out; whether that went."""
        who = _as_user(user_id)
        if deletion.new_room_id is not None and membership == "join":
            try:
                await self.joining.join(who, deletion.new_room_id)
            except (CancelledError, DatabaseUnavailable):
                raise
            except Exception as error:
                log.warning("user not in the new room", user=user_id, error=repr(error))
        try:
            await self.membership.leave(who, deletion.room_id, for_good=True)
        except (CancelledError, DatabaseUnavailable):
            raise
        except Exception:
            log.exception("user not out of a room that is deleted", user=user_id, room_id=deletion.room_id)
            if deletion.purge and deletion.force:
                await self._let_go(deletion, user_id)
            return False
        return True

    async def _let_go(self, deletion: Deletion, user_id: UserID) -> None:
        """The room goes whatever it says: at least the user's clients are told that they are not in it any more."""
        try:
            await self.membership.leave_here(user_id, deletion.room_id)
        except (CancelledError, DatabaseUnavailable):
            raise
        except Exception as error:
            log.warning("user stays in a room that is purged", user=user_id, error=repr(error))


def _as_user(user_id: UserID) -> Requester:
    return Requester(user_id, device_id=None, token_id=None)


def _give_up_names(tx: Transaction, deletion: Deletion) -> None:
    """Its addresses lead to the new room or nowhere, and the directory does not have it any more."""
    table, room_id = RoomDeletions(tx), deletion.room_id
    aliases: list[RoomAlias] = (
        table.drop_aliases(room_id)
        if deletion.new_room_id is None
        else table.move_aliases(room_id, deletion.new_room_id)
    )
    table.unlist(room_id)
    if aliases:
        table.had_aliases(deletion.delete_id, sorted(aliases))

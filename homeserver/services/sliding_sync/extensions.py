"""What sliding sync tells beside rooms: messages to the device, keys, account data, receipts, who is typing.

Each is told of all rooms that the client knows, in sight or not, so that nothing has to be remembered of them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.account_data import GLOBAL, PUSH_RULES, AccountData, changed_between, of_rooms
from homeserver.services.device_news import DeviceNews
from homeserver.services.sliding_sync.gather import Reading
from homeserver.services.sliding_sync.model import ExtensionsRequest, MessagesRequest, Scope
from homeserver.services.sliding_sync.sticky import STICKY_EXTENSION, StickyExtension
from homeserver.services.sliding_sync.subscriptions import EXTENSION, SubscriptionsExtension
from homeserver.services.sync.ephemera import RECEIPT, latest_receipts, typing_event
from homeserver.services.sync.here import Here
from homeserver.services.sync.live import LiveUser
from homeserver.services.sync.recent import RecentRooms
from storage.database import Database
from storage.tables.account_data import AccountDatum
from storage.tables.receipts import ReceiptRow, Receipts
from storage.tables.sliding_sync import ListedRooms
from storage.transaction import Transaction

MAX_RECEIPTS: Final = 50
"""Receipts of others in a room that one who knows none of them is told: the latest."""


@dataclass(frozen=True, slots=True)
class Known:
    """The rooms that the client is in: ``fresh`` ones, told for the first time, and those it ``knows``; and which
    rooms belong to each list. ``interesting`` rooms belong to any list, in sight or not; ``told`` are the numbers of
    the events that timelines tell.
    """

    fresh: Collection[RoomID]
    knows: Collection[RoomID]
    lists: Mapping[str, Collection[RoomID]]
    interesting: Collection[RoomID] = ()
    told: Collection[int] = ()

    def within(self, scope: Scope) -> "Known":
        """Those of which an extension tells."""
        if scope.is_open:
            return self
        named = {room_id for name in scope.lists or () for room_id in self.lists.get(name, ())}
        named.update(RoomID(room_id) for room_id in scope.rooms or ())
        return Known(
            [each for each in self.fresh if each in named],
            [each for each in self.knows if each in named],
            self.lists,
        )


@dataclass(slots=True)
class Told:
    """What the extensions tell, by name. ``is_news``: more than what every answer tells."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    is_news: bool = False

    def add(self, name: str, body: bytes) -> None:
        self.bodies[name] = body
        self.is_news = True


@dataclass(frozen=True, slots=True)
class Proposed:
    """Extensions that are proposals yet; None is switched off."""

    sticky: StickyExtension
    subscriptions: SubscriptionsExtension | None = None


class Extensions:
    """Gathers what extensions tell."""

    def __init__(
        self,
        database: Database,
        recent: RecentRooms,
        here: Here,
        devices: DeviceNews,
        account_data: AccountData,
        proposed: Proposed,
    ) -> None:
        self._database = database
        self._recent = recent
        self._here = here
        self._devices = devices
        self._account_data = account_data
        self._proposed = proposed

    def have_news(
        self, who: Requester, user: LiveUser, request: ExtensionsRequest, pos: int, received: int
    ) -> bool:
        """Whether there may be something of devices to tell after a position."""
        if request.to_device is None and not request.e2ee:
            return False
        return self._devices.has_news(who, user, pos, received if request.to_device is not None else pos)

    def someone_types(self, user: LiveUser, request: ExtensionsRequest, told: int) -> bool:
        """Whether who is typing has changed after an ephemeral position."""
        if request.typing is None:
            return False
        return bool(self._here.typing.changed(user.rooms, told))

    async def tell(
        self,
        who: Requester,
        reading: Reading,
        request: ExtensionsRequest,
        known: Known,
        ephemeral_since: int,
    ) -> Told:
        """What is new."""
        told = Told()
        if request.to_device is not None:
            await self._tell_messages(told, who, request.to_device, reading.upto)
        if request.e2ee:
            await self._tell_keys(told, who, reading)
        if request.account_data is not None:
            await self._tell_account_data(told, who, reading, known.within(request.account_data))
        if request.receipts is not None:
            await self._tell_receipts(told, reading, known.within(request.receipts))
        if request.typing is not None:
            self._tell_typing(told, reading, known.within(request.typing), ephemeral_since)
        await self._tell_proposed(told, who, reading, request, known)
        return told

    async def _tell_proposed(
        self, told: Told, who: Requester, reading: Reading, request: ExtensionsRequest, known: Known
    ) -> None:
        subscriptions = self._proposed.subscriptions
        if request.subscriptions and subscriptions is not None:
            user = await self._here.live.user(reading.user_id)
            changes = await subscriptions.tell(reading, user, request.subscriptions)
            if changes is not None:
                told.add(EXTENSION, changes)
        if request.sticky is not None:
            body, is_news = await self._proposed.sticky.tell(
                who, reading, request.sticky, known.interesting, known.told
            )
            told.bodies[STICKY_EXTENSION] = body
            told.is_news = told.is_news or is_news

    async def _tell_messages(self, told: Told, who: Requester, request: MessagesRequest, upto: int) -> None:
        if who.device_id is None:
            return
        device = (who.user_id, who.device_id)
        messages, more = await self._devices.messages(device, request.since, upto, request.limit)
        next_batch = max(upto if more is None else more, request.since)
        body = b'{"next_batch":"%d","events":[%b]}' % (next_batch, ",".join(messages).encode())
        told.bodies["to_device"] = body
        told.is_news = told.is_news or bool(messages)

    async def _tell_keys(self, told: Told, who: Requester, reading: Reading) -> None:
        members = [await self._devices.standing(who)]
        if reading.since:
            user = await self._here.live.user(reading.user_id)
            changes = await self._devices.changes(user, reading.since)
            if changes.changed or changes.left:
                lists = {"changed": sorted(changes.changed), "left": sorted(changes.left)}
                members.append(b'"device_lists":%b' % orjson.dumps(lists))
                told.is_news = True
        told.bodies["e2ee"] = b"{%b}" % b",".join(members)

    async def _tell_account_data(self, told: Told, who: Requester, reading: Reading, known: Known) -> None:
        user = await self._here.live.user(reading.user_id)
        if reading.since and user.data_pos <= reading.since and not known.fresh:
            return
        threads = self._here.thread_rules
        data = await self._database.read(lambda tx: _account_data(tx, reading, list(known.fresh), threads))
        if not reading.since:
            rules = await self._account_data.content(who, who.user_id, GLOBAL, PUSH_RULES)
            data.append(AccountDatum(GLOBAL, PUSH_RULES, rules))
        shown: list[bytes] = []
        rooms: dict[str, list[bytes]] = {}
        inside = {*known.fresh, *known.knows}
        for datum in data:
            event = b'{"type":%b,"content":%b}' % (orjson.dumps(datum.type), bytes(datum.content))
            if not datum.room_id:
                shown.append(event)
            elif datum.room_id in inside:
                rooms.setdefault(datum.room_id, []).append(event)
        if shown or rooms:
            of_room = [b"%b:[%b]" % (orjson.dumps(room), b",".join(each)) for room, each in rooms.items()]
            told.add("account_data", b'{"global":[%b],"rooms":{%b}}' % (b",".join(shown), b",".join(of_room)))

    async def _tell_receipts(self, told: Told, reading: Reading, known: Known) -> None:
        knows: Collection[RoomID] = ()
        if reading.since:
            changed = self._recent.changed(set(known.knows), reading.since)
            knows = known.knows if changed is None else changed
        if not knows and not known.fresh:
            return
        rows = await self._database.read(lambda tx: _receipts(tx, reading, list(known.fresh), list(knows)))
        rooms: dict[RoomID, list[ReceiptRow]] = {}
        for row in latest_receipts(rows):
            if row.user_id not in reading.ignored:
                rooms.setdefault(row.room_id, []).append(row)
        _add_rooms(told, "receipts", {room_id: _receipt_event(each) for room_id, each in rooms.items()})

    def _tell_typing(self, told: Told, reading: Reading, known: Known, since: int) -> None:
        typing, knows, ignored = self._here.typing, set(known.knows), reading.ignored
        changed = typing.changed(knows, since)
        changed += [room_id for room_id in known.fresh if typing.users(room_id)]
        events = {room_id: typing_event(typing.users(room_id), ignored) for room_id in changed}
        _add_rooms(told, "typing", events)


def _add_rooms(told: Told, name: str, rooms: Mapping[RoomID, bytes]) -> None:
    if rooms:
        members = [b"%b:%b" % (orjson.dumps(room_id), body) for room_id, body in rooms.items()]
        told.add(name, b'{"rooms":{%b}}' % b",".join(members))


def _receipt_event(rows: Collection[ReceiptRow]) -> bytes:
    """One event for a room. Of a user's receipts at the same event in several threads it can hold one: the last."""
    content: dict[str, dict[str, dict[UserID, dict[str, object]]]] = {}
    for row in rows:
        shown: dict[str, object] = {"ts": row.ts}
        if row.thread_id:
            shown["thread_id"] = row.thread_id
        content.setdefault(row.event_id, {}).setdefault(row.receipt_type, {})[row.user_id] = shown
    return orjson.dumps({"type": RECEIPT, "content": content})


def _account_data(
    tx: Transaction, reading: Reading, fresh: list[RoomID], thread_rules: bool
) -> list[AccountDatum]:
    if not reading.since:
        return of_rooms(tx, reading.user_id, [GLOBAL, *fresh], reading.upto)
    came = set(fresh)
    changed = changed_between(tx, reading.user_id, reading.since, reading.upto, thread_rules=thread_rules)
    data = [datum for datum in changed if datum.room_id not in came]
    return data + (of_rooms(tx, reading.user_id, fresh, reading.upto) if fresh else [])


def _receipts(
    tx: Transaction, reading: Reading, fresh: list[RoomID], knows: list[RoomID]
) -> list[ReceiptRow]:
    rows: list[ReceiptRow] = []
    if fresh:
        rows += ListedRooms(tx).receipts(fresh, reading.user_id, reading.upto, MAX_RECEIPTS)
    if knows:
        rows += Receipts(tx).between(knows, reading.since, reading.upto, reading.user_id)
    return rows

"""What rooms have that is no part of their history, as `/sync` shows it: receipts, typing notices,
account data.
"""

from collections.abc import Collection, Iterable, Sequence

import orjson

from homeserver.protocol.filters import EventFilter
from homeserver.protocol.identifiers import RoomID, UserID
from storage.tables.account_data import AccountDatum
from storage.tables.receipts import ReceiptRow

RECEIPT = "m.receipt"
TYPING = "m.typing"
PRESENCE = "m.presence"


def receipt_events(rows: Sequence[ReceiptRow], ignored: Collection[UserID]) -> list[bytes]:
    """`m.receipt` events of one room's receipts, one a thread: a user may have receipts of several threads
    at the same event.

    https://spec.matrix.org/v1.19/client-server-api/#mreceipt
    """
    threads: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for row in rows:
        if row.user_id in ignored:
            continue
        shown: dict[str, object] = {"ts": row.ts}
        if row.thread_id:
            shown["thread_id"] = row.thread_id
        content = threads.setdefault(row.thread_id, {})
        content.setdefault(row.event_id, {}).setdefault(row.receipt_type, {})[row.user_id] = shown
    return [orjson.dumps({"type": RECEIPT, "content": content}) for content in threads.values()]


def latest_receipts(rows: Iterable[ReceiptRow]) -> list[ReceiptRow]:
    """The last of each user, type and thread, of receipts in order."""
    latest: dict[tuple[UserID, str, str], ReceiptRow] = {}
    for row in rows:
        key = (row.user_id, row.receipt_type, row.thread_id)
        latest.pop(key, None)
        latest[key] = row
    return list(latest.values())


def typing_event(users: Iterable[UserID], ignored: Collection[UserID]) -> bytes:
    """https://spec.matrix.org/v1.19/client-server-api/#mtyping"""
    shown = [user_id for user_id in users if user_id not in ignored]
    return orjson.dumps({"type": TYPING, "content": {"user_ids": shown}})


def account_data_events(
    data: Iterable[AccountDatum], everywhere: EventFilter, in_rooms: EventFilter
) -> tuple[list[bytes], dict[RoomID, list[bytes]]]:
    """Account data as events: those of the account, and those of rooms."""
    shown: list[bytes] = []
    rooms: dict[RoomID, list[bytes]] = {}
    for datum in data:
        filter = in_rooms if datum.room_id else everywhere
        if not filter.matches_type(datum.type):
            continue
        event = b'{"type":%b,"content":%b}' % (orjson.dumps(datum.type), bytes(datum.content))
        if datum.room_id:
            rooms.setdefault(RoomID(datum.room_id), []).append(event)
        else:
            shown.append(event)
    return shown, rooms

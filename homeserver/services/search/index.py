"""The index of messages: written behind the events, off the way of who sends them.

A position on record says up to where events were looked at; events that take no position (backfilled ones) wait in a
backlog that is written together with them. An event enters the index in one transaction with the progress, and only if
it is not redacted then; a redaction takes it out in its own. Any node may do the next step at any time: whoever is
second finds the progress moved and does nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.clock import Clock
from homeserver.protocol.identifiers import RoomID, is_event_id
from homeserver.protocol.search_text import pieces_of, stored_pieces, stored_text, words_of
from homeserver.services.behind_journal import BehindJournal
from storage.database import Database
from storage.journal import Journal, Stream
from storage.tables.search import (
    INDEXED_MESSAGES,
    MessageSearchProgress,
    UnindexedRow,
)
from storage.transaction import Transaction

EVENTS_AT_ONCE = 100
_LETTERS_AT_ONCE = 2_000
"""After so many letters other work gets its turn."""

_MESSAGE, _NAME, _TOPIC = "m.room.message", "m.room.name", "m.room.topic"
TYPE_OF_KEY = {"content.body": _MESSAGE, "content.name": _NAME, "content.topic": _TOPIC}
"""The keys that can be searched, each of one type of event.
https://spec.matrix.org/v1.19/client-server-api/#server-side-search"""


@dataclass(frozen=True, slots=True)
class Searchable:
    """What of an event is searched, and which event it is a newer version of."""

    text: str
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done next: events after ``was``, with which the progress comes to ``pos``, and of the backlog."""

    was: int
    pos: int
    more: bool
    rows: Sequence[UnindexedRow]
    backlog: Sequence[int]


class MessageIndex(BehindJournal):
    """Writes the index, some events at a time."""

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        super().__init__(database, journal)
        self._clock = clock

    async def _do_some(self) -> bool:
        work = await self._database.read(_next_work)
        if work is None:
            self._position = self._journal.position
            return False
        entries = {}
        letters = 0
        for row, found in read_searchable(work.rows):
            entries[row.nid] = _entry(row, found)
            letters += len(found.text)
            if letters > _LETTERS_AT_ONCE:
                letters = 0
                await self._clock.sleep(0)
        done = await self._database.transact(lambda tx: _write(tx, work, entries))
        if done:
            self._position = work.pos
        return work.more or not done

    async def rebuild(self) -> None:
        """Let everything be indexed anew."""
        await self._database.transact(_begin_anew)


def room_piece(room_id: RoomID) -> str:
    """What every message of a room has in the index."""
    return room_id


def searchable(type: str, content: Any) -> Searchable | None:
    """What of an event can be found; None if nothing."""
    if not isinstance(content, dict):
        return None
    if type == _MESSAGE:
        return _message(content)
    if type == _NAME:
        return _text(content.get("name"))
    if type == _TOPIC:
        return _text(content.get("topic"), _plain_topic(content.get("m.topic")))
    return None


def read_searchable(rows: Sequence[UnindexedRow]) -> Iterator[tuple[UnindexedRow, Searchable]]:
    """Those of some events that can be found, and what of them."""
    for row in rows:
        found = searchable(row.type, orjson.loads(row.json).get("content"))
        if found is not None:
            yield row, found


def _message(content: dict[str, Any]) -> Searchable | None:
    relates_to = content.get("m.relates_to")
    if isinstance(relates_to, dict) and relates_to.get("rel_type") == "m.replace":
        target, new = relates_to.get("event_id"), content.get("m.new_content")
        if isinstance(target, str) and is_event_id(target) and isinstance(new, dict):
            body = new.get("body")
            return Searchable(body, target) if isinstance(body, str) else None
    return _text(content.get("body"))


def _plain_topic(block: Any) -> str | None:
    """https://spec.matrix.org/v1.19/client-server-api/#mroomtopic"""
    representations = block.get("m.text") if isinstance(block, dict) else None
    for each in representations if isinstance(representations, list) else ():
        if isinstance(each, dict) and each.get("mimetype", "text/plain") == "text/plain":
            body = each.get("body")
            return body if isinstance(body, str) else None
    return None


def _text(*texts: Any) -> Searchable | None:
    found = dict.fromkeys(text for text in texts if isinstance(text, str) and text)
    return Searchable("\n".join(found)) if found else None


def _entry(row: UnindexedRow, found: Searchable) -> tuple[object, ...]:
    words = words_of(found.text)
    pieces = stored_pieces({*pieces_of(words), room_piece(row.room_id)})
    place = (row.nid, row.room_id, row.sender, row.type, row.ts, row.pos)
    return (*place, found.replaces, stored_text(words), pieces)


def _next_work(tx: Transaction) -> _Work | None:
    progress = MessageSearchProgress(tx)
    was = progress.position()
    now = Stream(tx).position()
    rows = progress.after(was, now, EVENTS_AT_ONCE) if now > was else []
    backlog = progress.backlog(EVENTS_AT_ONCE)
    if now == was and not backlog:
        return None
    full = len(rows) == EVENTS_AT_ONCE
    pos = rows[-1].pos or was if full else now
    more = full or len(backlog) == EVENTS_AT_ONCE
    return _Work(was, pos, more, [*rows, *backlog], [row.nid for row in backlog])


def _write(tx: Transaction, work: _Work, entries: dict[int, tuple[object, ...]]) -> bool:
    progress = MessageSearchProgress(tx)
    if not progress.advance(work.was, work.pos):
        return False
    if entries:
        INDEXED_MESSAGES.execute(tx, [entries[nid] for nid in progress.keep_unredacted(list(entries))])
    if work.backlog:
        progress.done(list(work.backlog))
    return True


def _begin_anew(tx: Transaction) -> None:
    progress = MessageSearchProgress(tx)
    progress.begin_anew()
    progress.clear()
    progress.note_backfilled()

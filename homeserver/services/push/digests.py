"""What a mail about unread messages says. Nothing in it is trusted: names and messages are others' words."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from homeserver.gateways.mail import Mail
from homeserver.protocol.events.content import text_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.services.push.describing import Describer
from homeserver.services.push.letters import Letter
from homeserver.services.push.mail_news import is_invite
from homeserver.services.push.unsubscribing import UnsubscribeLink
from homeserver.templates.rendering import rendered

MOST_ROOMS: Final = 20
MOST_LINES: Final = 8
"""Of one room: its last ones."""
LONGEST_NAME: Final = 80
LONGEST_TEXT: Final = 400
_ENCRYPTED: Final = "m.room.encrypted"
_JOINER: Final = "\u200d"
_SENT: Final[Mapping[str | None, str]] = {
    "m.image": "sent a picture",
    "m.video": "sent a video",
    "m.audio": "sent a recording",
    "m.file": "sent a file",
    "m.location": "sent a place",
}
_DID: Final[Mapping[str, str]] = {
    "m.sticker": "sent a sticker",
    "m.call.invite": "called",
    "m.reaction": "reacted",
    "m.poll.start": "asked something",
    "org.matrix.msc3381.poll.start": "asked something",
    "m.room.tombstone": "moved the room elsewhere",
}


@dataclass(frozen=True, slots=True)
class DigestStyle:
    """``client_url``: the web client that links lead to; None: matrix.to. ``content``: say who said what."""

    server_name: ServerName
    client_url: str | None
    content: bool


@dataclass(frozen=True, slots=True)
class _Line:
    sender: str
    did: str
    text: str
    when: str
    link: str


@dataclass(frozen=True, slots=True)
class _Part:
    """A room. ``hidden`` are messages that the mail says nothing of, ``more`` those before the lines."""

    name: str
    link: str
    lines: Sequence[_Line]
    hidden: int
    more: int


class Digests:
    """Writes mails."""

    def __init__(self, describer: Describer, style: DigestStyle) -> None:
        self._describer = describer
        self._style = style

    async def mail(
        self, user_id: UserID, address: str, news: Mapping[RoomID, Sequence[Letter]], link: UnsubscribeLink
    ) -> Mail:
        """A mail about all of it, the rooms with the latest news first."""
        rooms = sorted(news, key=lambda room_id: news[room_id][-1].pos, reverse=True)
        parts = [await self._part(user_id, room_id, news[room_id]) for room_id in rooms[:MOST_ROOMS]]
        number = sum(len(letters) for letters in news.values())
        title = f"{number} unread {'messages' if number > 1 else 'message'} in "
        title += parts[0].name if len(rooms) == 1 else f"{len(rooms)} rooms"
        values = {
            "server_name": self._style.server_name,
            "user_id": user_id,
            "title": title,
            "parts": parts,
            "other_rooms": len(rooms) - len(parts),
            "unsubscribe": link.url,
        }
        return Mail(
            to=address,
            subject=f"[{self._style.server_name}] {title}",
            text=rendered("mail_unread.txt.j2", **values),
            html=rendered("mail_unread.html.j2", **values),
            headers=link.headers(),
        )

    async def _part(self, user_id: UserID, room_id: RoomID, letters: Sequence[Letter]) -> _Part:
        shown = [each for each in letters if self._may_say(each.stored.event)]
        lines = [await self._line(user_id, each) for each in shown[-MOST_LINES:]]
        last = letters[-1]
        sender = UserID(last.stored.event.sender)
        names = await self._describer.place(user_id, room_id, sender)
        name = names.get("room_name") or names.get("sender_display_name") or sender
        return _Part(
            name=plain(name, LONGEST_NAME) or room_id,
            link=self._link(room_id, None if is_invite(last, user_id) else last.stored.event.event_id),
            lines=lines,
            hidden=len(letters) - len(shown),
            more=len(shown) - len(lines),
        )

    def _may_say(self, event: Event) -> bool:
        return self._style.content and event.type != _ENCRYPTED

    async def _line(self, user_id: UserID, letter: Letter) -> _Line:
        event = letter.stored.event
        sender = UserID(event.sender)
        names = await self._describer.place(user_id, event.room_id, sender)
        invite = is_invite(letter, user_id)
        did, text = ("invited you", "") if invite else _said(event)
        when = datetime.fromtimestamp(letter.stored.received_ts / 1000, UTC)
        return _Line(
            sender=plain(names.get("sender_display_name", ""), LONGEST_NAME) or sender,
            did=did,
            text=text,
            when=f"{when:%d.%m. %H:%M} UTC",
            link=self._link(event.room_id, None if invite else event.event_id),
        )

    def _link(self, room_id: RoomID, event_id: EventID | None) -> str:
        place = "/".join(quote(each, safe="") for each in (room_id, event_id) if each is not None)
        if self._style.client_url is not None:
            return f"{self._style.client_url.rstrip('/')}/#/room/{place}"
        return f"https://matrix.to/#/{place}?via={quote(self._style.server_name, safe='')}"


def plain(text: str, longest: int) -> str:
    """Others' words on one line: without what turns the direction of writing, hides, or is no character."""
    kept = "".join(" " if each.isspace() else each for each in text if _is_shown(each))
    line = " ".join(kept.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _is_shown(character: str) -> bool:
    return character.isspace() or character == _JOINER or unicodedata.category(character)[0] != "C"


def _said(event: Event) -> tuple[str, str]:
    """What somebody did, and their words if there are any."""
    if event.type != "m.room.message":
        return _DID.get(event.type, "sent something"), ""
    text = plain(text_of(event.content, "body") or "", LONGEST_TEXT)
    kind = text_of(event.content, "msgtype")
    if kind == "m.emote":
        return text, ""
    return _SENT.get(kind, ""), text

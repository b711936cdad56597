"""Simplified sliding sync: the rooms that a client looks at, and what is new in them, at once or when it happens.

https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md
"""

from homeserver.notifier import Notifier
from homeserver.protocol.errors import InvalidParam, UnknownPos
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import SyncToken, parse_sliding_position
from homeserver.services.ephemeral_stream import NOTHING
from homeserver.services.lost_pasts import LostPasts
from homeserver.services.sliding_sync.answering import Answer, Answering, Start
from homeserver.services.sliding_sync.connection import Connection
from homeserver.services.sliding_sync.connections import ConnectionStore, Held, Name
from homeserver.services.sliding_sync.model import Result, SlidingRequest
from homeserver.services.sync.following import Following
from homeserver.services.sync.live import LiveUser
from homeserver.services.sync.model import Client
from homeserver.services.sync.sources import Sources
from storage.journal import Journal


class SlidingSync:
    """Answers sliding syncs."""

    def __init__(
        self,
        journal: Journal,
        notifier: Notifier,
        following: Following,
        sources: Sources,
        store: ConnectionStore,
        answering: Answering,
        *,
        longest_wait_ms: int,
    ) -> None:
        self._journal = journal
        self._notifier = notifier
        self._following = following
        self._sources = sources
        self._here = sources.here
        self._store = store
        self._answering = answering
        self._longest_wait_ms = longest_wait_ms
        self._lost_pasts = LostPasts(sources.database, journal)

    async def sync(self, who: Requester, request: SlidingRequest) -> Result:
        """The answer. Waits up to the request's timeout for something to tell, but not on a new connection. Raises
        `UnknownPos`.
        """
        self._following.start()
        presence = self._here.presence
        presence.sync_began(who, request.set_presence)
        try:
            name = (who.user_id, who.device_id or "", request.conn_id)
            if request.pos is None:
                return await self._first(who, name, request)
            since, held = await self._position(name, request.pos)
            return await self._poll(who, name, request, since, held)
        finally:
            presence.sync_ended(who, request.set_presence)

    async def _first(self, who: Requester, name: Name, request: SlidingRequest) -> Result:
        user = await self._here.live.user(who.user_id)
        self._sources.lazy_members.forget(_client(name))
        start = Start(_client(name), Connection(), 0, NOTHING)
        answer = await self._answering.answer(who, request, start, user)
        number = await self._store.begin(name, answer.connection, request)
        return self._result(answer, number, user)

    async def _poll(
        self, who: Requester, name: Name, request: SlidingRequest, since: SyncToken, held: Held
    ) -> Result:
        clock, ephemeral = self._sources.clock, self._here.ephemeral
        deadline = clock.seconds() + min(request.timeout_ms, self._longest_wait_ms) / 1000
        start = Start(_client(name), held.connection, since.pos, ephemeral.known_to(since))
        pos, told = start.since, start.ephemeral_since
        messages = request.extensions.to_device
        received = pos if messages is None else messages.since
        sticky = request.extensions.sticky
        if not ephemeral.gave(since):  # another node answered last, and knows better what the client was told
            held.answered = None
            self._sources.lazy_members.forget(_client(name))
        unlike = not _alike(held.answered, request) or (sticky is not None and sticky.since < pos)
        answer: Answer | None = None
        woken_at: float | None = None
        while True:
            user = await self._here.live.user(who.user_id)
            if unlike or self._may_have_news(who, user, request, (pos, told, received)):
                unlike = False
                answer = await self._answering.answer(who, request, start, user)
                if answer.is_news:
                    break
                pos, told = answer.upto, answer.ephemeral_upto
                received = max(received, pos)
                continue
            left = deadline - clock.seconds()
            if left <= 0 or self._notifier.closing:
                break
            woken_at = await self._notifier.wait(who.user_id, left)
        if answer is None:
            answer = Answer(max(self._journal.position, pos), ephemeral.position, held.connection)
        number = await self._store.go_on(name, held, answer.connection, request)
        if answer.is_news and woken_at is not None:
            self._notifier.delivered(woken_at)
        return self._result(answer, number, user)

    def _may_have_news(
        self, who: Requester, user: LiveUser, request: SlidingRequest, told: tuple[int, int, int]
    ) -> bool:
        """Whether something may have happened that concerns the user, after what they were told: up to a position,
        an ephemeral position, and a position of messages to the device.
        """
        pos, ephemeral, received = told
        extensions = self._answering.extensions
        if extensions.someone_types(user, request.extensions, ephemeral):
            return True
        if extensions.have_news(who, user, request.extensions, pos, received):
            return True
        return self._journal.position > pos and self._sources.may_have_changed(user, pos)

    async def _position(self, name: Name, pos: str) -> tuple[SyncToken, Held]:
        """What a client's position stands for. Raises `UnknownPos` for one that was not given to this connection."""
        try:
            token, number = parse_sliding_position(pos)
        except InvalidParam:
            raise UnknownPos("Not a position of this server") from None
        held = await self._store.find(name, number)
        if await self._lost_pasts.hold(token.pos):
            raise UnknownPos("The position is from a past that was lost")
        return token, held

    def _result(self, answer: Answer, number: int, user: LiveUser) -> Result:
        typing = self._here.typing.anybody_in(user.rooms)
        token = self._here.ephemeral.token(answer.upto, answer.ephemeral_upto, typing=typing)
        return Result(f"{token}!{number}", answer.lists, answer.rooms, answer.extensions)


def _client(name: Name) -> Client:
    user_id, device_id, conn_id = name
    return user_id, device_id, f"sliding {conn_id}"


def _alike(answered: SlidingRequest | None, request: SlidingRequest) -> bool:
    """Whether a request asks for the same as the one that was answered before."""
    if answered is None:
        return False
    return (answered.lists, answered.subscriptions) == (request.lists, request.subscriptions)

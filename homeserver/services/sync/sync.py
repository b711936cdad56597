"""`/sync`: what is new for a user, at once or when it happens.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
"""

from dataclasses import replace
from typing import Protocol

from homeserver.notifier import Notifier
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import SyncToken
from homeserver.services.lost_pasts import LostPasts
from homeserver.services.rooms.rendering import Viewer
from homeserver.services.sync.catch_up import CatchUp
from homeserver.services.sync.following import Following
from homeserver.services.sync.fresh import Fresh
from homeserver.services.sync.kept_work import KeptWork
from homeserver.services.sync.live import LiveUser
from homeserver.services.sync.model import Asking, SyncRequest
from homeserver.services.sync.rendering import Answer
from homeserver.services.sync.sources import Sources
from storage.journal import Journal


class Extension(Protocol):
    """Another part of the server that has something to tell in syncs."""

    def has_news(self, who: Requester, user: LiveUser, pos: int, messages_since: int) -> bool:
        """Whether an answer should be built: there may be something after a position. It is asked often."""

    async def add(self, who: Requester, asking: Asking, answer: Answer) -> None:
        """Add to an answer what is new."""

    async def standing(self, who: Requester) -> bytes:
        """What every answer tells, new or not: members of a JSON object."""


class Sync:
    """Answers syncs."""

    def __init__(
        self,
        journal: Journal,
        notifier: Notifier,
        following: Following,
        sources: Sources,
        longest_wait_ms: int,
    ) -> None:
        self._journal = journal
        self._notifier = notifier
        self._following = following
        self._here = sources.here
        self._sources = sources
        self._longest_wait_ms = longest_wait_ms
        self._fresh = Fresh(sources)
        self._catch_up = CatchUp(sources)
        self._kept = KeptWork(sources.clock)
        self._lost_pasts = LostPasts(sources.database, journal)
        self._extensions: list[Extension] = []

    def extend(self, extension: Extension) -> None:
        """Let another part of the server add to answers. It has to have the notifier wake whom it concerns."""
        self._extensions.append(extension)

    async def sync(self, who: Requester, request: SyncRequest) -> bytes:
        """The body of the answer. Waits up to the request's timeout for something to tell."""
        self._following.start()
        presence = self._here.presence
        presence.sync_began(who, request.set_presence)
        try:
            since = request.since
            if since is not None and await self._lost_pasts.hold(since.pos):
                since = None
            if since is not None and not self._here.ephemeral.gave(since):
                # Another node knows better what the client was told.
                self._sources.lazy_members.forget((who.user_id, who.device_id or "", request.filter_text))
            if since is None or request.full_state:
                return await self._at_once(who, request, since)
            return await self._poll(who, request, since)
        finally:
            presence.sync_ended(who, request.set_presence)

    async def _at_once(self, who: Requester, request: SyncRequest, since: SyncToken | None) -> bytes:
        key = (
            who.user_id,
            who.device_id,
            str(request.since or ""),
            request.filter_text,
            request.full_state,
            request.state_name,
        )

        async def make() -> bytes:
            user = await self._here.live.user(who.user_id)
            asking = self._asking(who, request, since, user)
            answer = await self._gathered(asking, user, who)
            return await self._finished(who, answer.json(self._token_of(asking, answer, user)))

        return await self._kept.do(key, make)

    async def _poll(self, who: Requester, request: SyncRequest, since: SyncToken) -> bytes:
        clock, journal, ephemeral = self._sources.clock, self._journal, self._here.ephemeral
        deadline = clock.seconds() + min(request.timeout_ms, self._longest_wait_ms) / 1000
        pos, told = since.pos, ephemeral.known_to(since)
        received = _received(since)
        woken_at: float | None = None
        while True:
            user = await self._here.live.user(who.user_id)
            if self._may_have_news(user, pos, told) or self._extended(who, user, pos, received):
                asking = self._asking(who, request, since, user)
                answer = await self._gathered(asking, user, who)
                pos, told = asking.upto, asking.ephemeral_upto
                if answer.is_news:
                    body = await self._finished(who, answer.json(self._token_of(asking, answer, user)))
                    if woken_at is not None:
                        self._notifier.delivered(woken_at)
                    return body
                received = max(received, asking.upto)
                continue
            pos, told = journal.position, ephemeral.position
            left = deadline - clock.seconds()
            if left <= 0 or self._notifier.closing:
                return await self._finished(who, await self._without_news(who, request, since, user))
            woken_at = await self._notifier.wait(who.user_id, left)

    async def _without_news(
        self, who: Requester, request: SyncRequest, since: SyncToken, user: LiveUser
    ) -> bytes:
        """What is told when nothing happened that a poll is woken for: at most how the user is themself."""
        asking = self._asking(who, request, since, user)
        if self._here.has_own_news(user, asking.ephemeral_since):
            answer = await self._gathered(asking, user, who)
            return answer.json(self._token_of(asking, answer, user))
        token = self._token(user, asking.upto, asking.ephemeral_upto)
        return b'{"next_batch":"%b"}' % str(token).encode()

    def _may_have_news(self, user: LiveUser, pos: int, told: int) -> bool:
        """Whether something may have happened that concerns the user, after what they were told."""
        if self._here.has_news(user, told):
            return True
        return self._journal.position > pos and self._sources.may_have_changed(user, pos)

    async def _gathered(self, asking: Asking, user: LiveUser, who: Requester) -> Answer:
        viewer = Viewer.of(who)
        answer = (
            await self._fresh.answer(asking, user, viewer)
            if asking.since and not asking.request.full_state
            else None
        )
        if answer is None:
            if not asking.since:
                self._sources.lazy_members.forget(asking.client)
            answer = await self._catch_up.answer(asking, user, viewer)
        for extension in self._extensions:
            await extension.add(who, asking, answer)
        return answer

    def _extended(self, who: Requester, user: LiveUser, pos: int, received: int) -> bool:
        return any(extension.has_news(who, user, pos, received) for extension in self._extensions)

    async def _finished(self, who: Requester, body: bytes) -> bytes:
        """The body with what every answer tells."""
        if not self._extensions:
            return body
        members = [await extension.standing(who) for extension in self._extensions]
        return b"%b,%b}" % (body[:-1], b",".join(members))

    def _asking(
        self, who: Requester, request: SyncRequest, since: SyncToken | None, user: LiveUser
    ) -> Asking:
        return Asking(
            user_id=who.user_id,
            client=(who.user_id, who.device_id or "", request.filter_text),
            request=request,
            since=since.pos if since is not None else 0,
            upto=self._journal.position,
            ephemeral_since=self._here.ephemeral.known_to(since),
            ephemeral_upto=self._here.ephemeral.position,
            ignored=user.ignored,
            hidden=self._hidden(request, user),
            messages_since=0 if request.since is None else _received(request.since),
            anew=since is None and request.since is not None,
        )

    def _hidden(self, request: SyncRequest, user: LiveUser) -> frozenset[RoomID]:
        """Who wants all members of a room is not shown it before they are known."""
        return frozenset() if request.lazy else self._sources.partial.among(user.rooms)

    def _token_of(self, asking: Asking, answer: Answer, user: LiveUser) -> str:
        """The token behind an answer."""
        ephemeral = asking.ephemeral_upto if answer.presence_upto is None else answer.presence_upto
        token = self._token(user, asking.upto, ephemeral)
        upto = answer.messages_upto
        return str(token if upto is None else replace(token, messages=upto))

    def _token(self, user: LiveUser, pos: int, ephemeral: int) -> SyncToken:
        return self._here.ephemeral.token(pos, ephemeral, typing=self._here.typing.anybody_in(user.rooms))


def _received(since: SyncToken) -> int:
    """Up to where messages to the device were received."""
    return since.pos if since.messages is None else since.messages

"""Reading an answer whose long lists are taken item by item while it arrives."""

from collections.abc import Callable, Collection
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from federation.wire.list_splitting import Item, ListSplitter, NotSplittable
from homeserver.gateways.http_client import AnswerMalformed, Taker

TakeItems: TypeAlias = Callable[[list[Item]], Deferred[None] | None]
"""Takes items. If it returns a Deferred, no more of the answer is read until that has fired."""


class ListAnswer:
    """One answer: `sink` takes it from the client, `take` is given the items of the lists."""

    def __init__(self, names: Collection[str], take: TakeItems) -> None:
        self._splitter = ListSplitter(names)
        self._take = take

    def sink(self, headers: Headers) -> Taker:
        """What takes the pieces of the body, whatever its headers say."""
        return self._piece

    def rest(self) -> bytes:
        """The whole answer, with the lists empty. Raises AnswerMalformed."""
        try:
            items, rest = self._splitter.finish()
        except NotSplittable as error:
            raise AnswerMalformed(f"its answer is not what it should be ({error})") from error
        _ = self._take(items)
        return rest

    def _piece(self, data: bytes) -> Deferred[None] | None:
        try:
            items = self._splitter.feed(data)
        except NotSplittable as error:
            raise AnswerMalformed(f"its answer is not what it should be ({error})") from error
        return self._take(items) if items else None

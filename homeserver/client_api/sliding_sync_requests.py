"""The bodies of sliding sync requests, read into what the service takes.

https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.presence import parse_presence
from homeserver.services.sliding_sync.model import (
    MAX_LIMIT,
    ExtensionsRequest,
    MessagesRequest,
    Range,
    RoomConfig,
    RoomFilter,
    RoomList,
    Scope,
    SlidingRequest,
)
from homeserver.services.sliding_sync.required_state import MEMBER, Element, RequiredState, Wanted
from homeserver.services.sliding_sync.sticky import STICKY_EXTENSION
from homeserver.services.sliding_sync.subscriptions import EXTENSION, MAX_SUBSCRIPTIONS

MAX_NAME: Final = 255
MAX_MESSAGES: Final = 100
_LIMIT = 2**63
_ANY, _LAZY, _ME = "*", "$LAZY", "$ME"

T = TypeVar("T", bound=msgspec.Struct)


class StateElement(msgspec.Struct, frozen=True):
    """What is absent stands for any."""

    type: str | None = None
    state_key: str | None = None


class RequiredStateRequest(msgspec.Struct, frozen=True):
    include: tuple[StateElement, ...] = ()
    exclude: tuple[StateElement, ...] = ()
    lazy_members: bool = False


class AcceptedFilter(msgspec.Struct, frozen=True):
    is_dm: bool | None = None
    spaces: frozenset[str] | None = None
    is_encrypted: bool | None = None
    is_invited: bool | None = None
    room_types: frozenset[str | None] | None = None
    not_room_types: frozenset[str | None] | None = None
    tags: frozenset[str] | None = None
    not_tags: frozenset[str] | None = None


class DeployedFilter(msgspec.Struct, frozen=True):
    is_dm: bool | None = None
    spaces: frozenset[str] | None = None
    is_encrypted: bool | None = None
    is_invite: bool | None = None
    room_types: frozenset[str | None] | None = None
    not_room_types: frozenset[str | None] | None = None
    room_name_like: str | None = None
    tags: frozenset[str] | None = None
    not_tags: frozenset[str] | None = None


class AcceptedSubscription(msgspec.Struct, frozen=True):
    timeline_limit: int
    required_state: RequiredStateRequest


class AcceptedList(AcceptedSubscription, frozen=True):
    range: tuple[int, int] | None = None
    filters: AcceptedFilter | None = None


class DeployedSubscription(msgspec.Struct, frozen=True):
    timeline_limit: int
    required_state: tuple[tuple[str, str], ...] = ()


class DeployedList(DeployedSubscription, frozen=True):
    ranges: tuple[tuple[int, int], ...] | None = None
    filters: DeployedFilter | None = None


class MessagesExtension(msgspec.Struct, frozen=True):
    enabled: bool = False
    since: str | None = None
    limit: int = MAX_MESSAGES


class Switch(msgspec.Struct, frozen=True):
    enabled: bool = False


class RoomsExtension(msgspec.Struct, frozen=True):
    enabled: bool = False
    lists: frozenset[str] | None = None
    rooms: frozenset[str] | None = None


class SubscriptionsExtension(msgspec.Struct, frozen=True):
    enabled: bool = False
    limit: int = 100


class ExtensionsBody(msgspec.Struct, frozen=True):
    to_device: MessagesExtension | None = None
    e2ee: Switch | None = None
    account_data: RoomsExtension | None = None
    receipts: RoomsExtension | None = None
    typing: RoomsExtension | None = None
    subscriptions: SubscriptionsExtension | None = msgspec.field(default=None, name=EXTENSION)
    sticky: MessagesExtension | None = msgspec.field(default=None, name=STICKY_EXTENSION)


class AcceptedRequest(msgspec.Struct, frozen=True):
    conn_id: str | None = None
    pos: str | None = None
    timeout: int = 0
    set_presence: str | None = None
    lists: dict[str, AcceptedList] = {}
    room_subscriptions: dict[RoomID, AcceptedSubscription] = {}
    extensions: ExtensionsBody | None = None


class DeployedRequest(msgspec.Struct, frozen=True):
    conn_id: str | None = None
    txn_id: str | None = None
    lists: dict[str, DeployedList] | None = None
    room_subscriptions: dict[RoomID, DeployedSubscription] | None = None
    extensions: ExtensionsBody | None = None


@dataclass(frozen=True, slots=True)
class RequestReader:
    """Reads requests within limits: of lists, of subscriptions, of ranges a list, of elements of required state."""

    lists: int
    subscriptions: int
    ranges: int
    state: int

    def accepted(self, body: AcceptedRequest, user_id: UserID) -> SlidingRequest:
        """A request as accepted. Raises InvalidParam."""
        if body.set_presence is not None and parse_presence(body.set_presence) is None:
            raise InvalidParam("`set_presence` must be one of: online, offline, unavailable")
        self._check(body.lists, body.room_subscriptions)
        return SlidingRequest(
            conn_id=_name(body.conn_id or "", "conn_id"),
            pos=body.pos or None,
            timeout_ms=body.timeout,
            set_presence=body.set_presence,
            lists={
                _name(name, "lists"): RoomList(
                    self._accepted_config(each),
                    None if each.range is None else self._ranges((each.range,)),
                    _accepted_filter(each.filters or AcceptedFilter()),
                )
                for name, each in body.lists.items()
            },
            subscriptions={
                room_id: self._accepted_config(each) for room_id, each in body.room_subscriptions.items()
            },
            extensions=_extensions(body.extensions or ExtensionsBody()),
        )

    def deployed(self, body: DeployedRequest, user_id: UserID) -> SlidingRequest:
        """A request as deployed, without what is in its query. Raises InvalidParam."""
        lists, subscriptions = body.lists or {}, body.room_subscriptions or {}
        self._check(lists, subscriptions)
        return SlidingRequest(
            conn_id=_name(body.conn_id or "", "conn_id"),
            counts=True,
            lists={
                _name(name, "lists"): RoomList(
                    self._deployed_config(each, user_id),
                    None if each.ranges is None else self._ranges(each.ranges),
                    _deployed_filter(each.filters or DeployedFilter()),
                )
                for name, each in lists.items()
            },
            subscriptions={
                room_id: self._deployed_config(each, user_id) for room_id, each in subscriptions.items()
            },
            extensions=_extensions(body.extensions or ExtensionsBody()),
        )

    def _check(self, lists: Mapping[str, object], subscriptions: Mapping[RoomID, object]) -> None:
        if len(lists) > self.lists:
            raise InvalidParam(f"There may be {self.lists} lists at most")
        if len(subscriptions) > self.subscriptions:
            raise InvalidParam(f"There may be {self.subscriptions} subscriptions at most")

    def _ranges(self, ranges: tuple[Range, ...]) -> tuple[Range, ...]:
        if len(ranges) > self.ranges:
            raise InvalidParam(f"A list may have {self.ranges} ranges at most")
        for start, end in ranges:
            if not 0 <= start <= end < _LIMIT:
                raise InvalidParam("A range must go from a place in the list to the same or a later one")
        return ranges

    def _accepted_config(self, body: AcceptedSubscription) -> RoomConfig:
        required = body.required_state
        self._check_size(len(required.include) + len(required.exclude))
        rule = RequiredState(_elements(required.include), _elements(required.exclude), required.lazy_members)
        return RoomConfig(_limit(body.timeline_limit), Wanted(frozenset((rule,))))

    def _deployed_config(self, body: DeployedSubscription, user_id: UserID) -> RoomConfig:
        self._check_size(len(body.required_state))
        include: set[Element] = set()
        lazy = False
        for event_type, state_key in body.required_state:
            if (event_type, state_key) == (MEMBER, _LAZY):
                lazy = True
                continue
            key = user_id if state_key == _ME else state_key
            include.add((None if event_type == _ANY else event_type, None if key == _ANY else key))
        rule = RequiredState(frozenset(include), frozenset(), lazy)
        return RoomConfig(_limit(body.timeline_limit), Wanted(frozenset((rule,))))

    def _check_size(self, count: int) -> None:
        if count > self.state:
            raise InvalidParam(f"`required_state` may have {self.state} elements at most")


def _accepted_filter(body: AcceptedFilter) -> RoomFilter:
    return RoomFilter(
        is_dm=body.is_dm,
        is_encrypted=body.is_encrypted,
        is_invited=body.is_invited,
        spaces=body.spaces,
        room_types=body.room_types,
        not_room_types=body.not_room_types or frozenset(),
        tags=body.tags,
        not_tags=body.not_tags or frozenset(),
    )


def _deployed_filter(body: DeployedFilter) -> RoomFilter:
    return RoomFilter(
        is_dm=body.is_dm,
        is_encrypted=body.is_encrypted,
        is_invited=body.is_invite,
        spaces=body.spaces,
        room_types=body.room_types,
        not_room_types=body.not_room_types or frozenset(),
        name_like=body.room_name_like,
        tags=body.tags,
        not_tags=body.not_tags or frozenset(),
    )


def _extensions(body: ExtensionsBody) -> ExtensionsRequest:
    return ExtensionsRequest(
        to_device=_messages(body.to_device),
        e2ee=body.e2ee is not None and body.e2ee.enabled,
        account_data=_scope(body.account_data),
        receipts=_scope(body.receipts),
        typing=_scope(body.typing),
        subscriptions=_subscriptions(body.subscriptions),
        sticky=_messages(body.sticky),
    )


def _subscriptions(body: SubscriptionsExtension | None) -> int:
    if body is None or not body.enabled:
        return 0
    if body.limit < 1:
        raise InvalidParam("`limit` must be positive")
    return min(body.limit, MAX_SUBSCRIPTIONS)


def _messages(body: MessagesExtension | None) -> MessagesRequest | None:
    if body is None or not body.enabled:
        return None
    since = body.since or "0"
    if not (since.isascii() and since.isdigit() and int(since[:20]) < _LIMIT):
        raise InvalidParam("`since` must be what an earlier answer had as `next_batch`")
    if body.limit < 1:
        raise InvalidParam("`limit` must be positive")
    return MessagesRequest(int(since), min(body.limit, MAX_MESSAGES))


def _scope(body: RoomsExtension | None) -> Scope | None:
    return Scope(body.lists, body.rooms) if body is not None and body.enabled else None


def _elements(elements: Iterable[StateElement]) -> frozenset[Element]:
    return frozenset((each.type, each.state_key) for each in elements)


def _limit(limit: int) -> int:
    if limit < 0:
        raise InvalidParam("`timeline_limit` must not be negative")
    return min(limit, MAX_LIMIT)


def _name(name: str, field: str) -> str:
    if len(name) > MAX_NAME or "\0" in name:
        raise InvalidParam(f"`{field}`: a name has at most {MAX_NAME} characters, none of them NUL")
    return name

"""A small API that the tests of the machinery serve, and a site that serves it."""

import enum
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from twisted.internet.defer import Deferred

from homeserver.clock import Clock
from homeserver.http.authentication import (
    Marker,
    Origin,
    access_token,
    bearer_token,
    no_auth,
    optional_access_token,
    server_signature,
    server_signatures,
)
from homeserver.http.channel import ConnectionLimits
from homeserver.http.encoding import RawJson, Response, Stream, page
from homeserver.http.endpoint import Body, Header, Path, Query, collect, endpoint, named
from homeserver.http.health import HealthApi
from homeserver.http.metrics import Metrics, MetricsApi
from homeserver.http.pipeline import Authenticator, Pipeline
from homeserver.http.rate_limits import RateLimits
from homeserver.http.request import Request
from homeserver.http.router import Router
from homeserver.http.site import Site
from homeserver.protocol.errors import LimitExceeded, NotFound, UnknownToken
from homeserver.protocol.identifiers import RoomID, RoomIDOrAlias, ServerName, UserID
from homeserver.protocol.requester import Requester
from tests.harness.client import Client
from tests.harness.memory import SeededRandom, SteppingClock, at_once

ALICE = UserID("@alice:test")
FEDERATION_AT_ONCE = 20


class Join(msgspec.Struct, frozen=True):
    reason: str | None = None
    invitees: list[UserID] = []


class Named(msgspec.Struct, frozen=True):
    name: str
    size: int = 0


class Joined(msgspec.Struct, frozen=True):
    room_id: str
    via: tuple[str, ...]
    reason: str | None


class Direction(enum.Enum):
    BACKWARDS = "b"
    FORWARDS = "f"


@dataclass(slots=True)
class SampleApi:
    """One endpoint for each thing that the machinery can do."""

    waiting: list[Deferred[dict[str, Any]]] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    seen: list[object] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    before_chunk: Callable[[bytes], object] = repr

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/join/{room_id_or_alias}",
        auth=access_token,
        limit="joins",
        empty_body_ok=True,
        spec="client-server-api/#post_matrixclientv3joinroomidoralias",
    )
    async def join_room(
        self,
        _who: Requester,
        room_id_or_alias: Path[RoomIDOrAlias],
        body: Body[Join],
        via: Annotated[Query[tuple[ServerName, ...]], named("via", "server_name")] = (),
    ) -> Joined:
        """Join a room."""
        return Joined(room_id_or_alias, via, body.reason)

    @endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/messages", auth=access_token, spec="")
    async def messages(
        self,
        _who: Requester,
        room_id: Path[RoomID],
        dir_: Query[Direction],
        limit: Query[int] = 10,
        lazy: Query[bool] = False,
        from_: Query[str | None] = None,
        order: Query[Literal["new", "old"]] = "new",
    ) -> dict[str, Any]:
        """Read messages."""
        return {
            "room": room_id,
            "dir": dir_.name,
            "limit": limit,
            "lazy": lazy,
            "from": from_,
            "order": order,
        }

    @endpoint("PUT", "/_matrix/client/v3/rooms/{room_id}/state/{kind}", auth=access_token, spec="")
    @endpoint(
        "PUT", "/_matrix/client/v3/rooms/{room_id}/state/{kind}/{state_key}", auth=access_token, spec=""
    )
    async def put_state(
        self,
        who: Requester,
        room_id: Path[RoomID],
        kind: Path[str],
        body: Body[dict[str, Any]],
        state_key: Path[str] = "",
    ) -> dict[str, Any]:
        """Set state."""
        self.seen.append(body)
        return {"sender": who.user_id, "room": room_id, "kind": kind, "state_key": state_key}

    @endpoint("POST", "/_matrix/client/v3/named", auth=no_auth, spec="")
    async def put_name(self, body: Body[Named]) -> Named:
        """Take a struct with a required field."""
        return body

    @endpoint("GET", "/_matrix/client/v3/sync", auth=access_token, long_poll=True, spec="")
    async def sync(self, who: Requester) -> dict[str, Any]:
        """Wait until a test fires."""
        deferred: Deferred[dict[str, Any]] = Deferred()
        self.waiting.append(deferred)
        try:
            return await deferred
        finally:
            self.finished.append(who.user_id)

    @endpoint("POST", "/_matrix/client/v3/slow", auth=access_token, spec="", empty_body_ok=True)
    async def slow(self, _who: Requester, body: Body[dict[str, Any]]) -> None:
        """Do something that must not be left half done."""
        deferred: Deferred[dict[str, Any]] = Deferred()
        self.waiting.append(deferred)
        await deferred
        self.finished.append(f"slow {len(body)}")

    @endpoint("GET", "/_matrix/client/v3/whoami", auth=optional_access_token, spec="")
    async def whoami(self, who: Requester | None, user_agent: Header[str] = "none") -> dict[str, Any]:
        """Say who asks, if anybody."""
        return {"user_id": who.user_id if who else None, "agent": user_agent}

    @endpoint("GET", "/_matrix/client/v3/address", auth=no_auth, spec="", limit="address")
    async def address(self, request: Request) -> dict[str, Any]:
        """Say where the request comes from."""
        return {"address": request.address, "request_id": request.request_id}

    @endpoint("GET", "/_matrix/client/v3/fail/{how}", auth=no_auth, spec="")
    async def fail(self, how: Path[Literal["missing", "limited", "bug"]]) -> None:
        """Fail in a given way."""
        if how == "missing":
            raise NotFound("No such thing")
        if how == "limited":
            raise LimitExceeded(retry_after_ms=1500)
        raise ZeroDivisionError("a secret detail")

    @endpoint("GET", "/_matrix/client/v3/big", auth=no_auth, spec="")
    async def big(self, size: Query[int]) -> dict[str, Any]:
        """Answer with much."""
        return {"text": "a" * size}

    @endpoint("GET", "/_matrix/client/v3/raw", auth=no_auth, spec="")
    async def raw(self) -> RawJson:
        """Answer with JSON that exists already."""
        return RawJson(b'{"raw":true}')

    @endpoint("GET", "/_matrix/client/v3/fallback", auth=no_auth, spec="")
    async def fallback(self) -> Response:
        """Answer a person."""
        return page("<!doctype html><p>hello</p>")

    @endpoint("POST", "/_matrix/media/v3/upload", auth=access_token, spec="", body_limit="media")
    async def upload(self, _who: Requester, body: Body[bytes], content_type: Header[str] = "") -> Response:
        """Give back what came."""
        return Response(200, (("Content-Type", content_type),), body)

    @endpoint("GET", "/_matrix/media/v3/stream", auth=no_auth, spec="")
    async def stream(self, length: Query[int | None] = None) -> Stream:
        """Answer in pieces."""
        return Stream(self._pieces(), 200, (("Content-Type", "image/png"),), length)

    @endpoint(
        "PUT", "/_matrix/federation/v1/send/{txn_id}", auth=server_signature, spec="", body_limit="federation"
    )
    async def send(self, origin: Origin, txn_id: Path[str], body: Body[dict[str, Any]]) -> dict[str, Any]:
        """Take a transaction."""
        return {"origin": origin.server, "txn": txn_id, "size": len(body)}

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self.chunks:
                self.before_chunk(chunk)
                yield chunk
        finally:
            self.finished.append("stream")


@dataclass(frozen=True, slots=True)
class LimitOf:
    per_second: float
    burst: int


async def user_of(request: Request) -> Requester:
    token = bearer_token(request.header("authorization"))
    if token != "good":
        raise UnknownToken
    return Requester(ALICE, None, 1)


async def user_if_any(request: Request) -> Requester | None:
    return await user_of(request) if request.header("authorization") else None


async def server_of_request(request: Request) -> Origin:
    request.json()
    signature = server_signatures(request.header("authorization"))[0]
    return Origin(signature.origin, signature.destination)


AUTHENTICATORS: Mapping[Marker, Authenticator] = {
    access_token: user_of,
    optional_access_token: user_if_any,
    server_signature: server_of_request,
}


@dataclass(slots=True)
class Sample:
    """The API, its site and all that a test may turn."""

    api: SampleApi = field(default_factory=SampleApi)
    clock: SteppingClock = field(default_factory=SteppingClock)
    metrics: Metrics = field(default_factory=Metrics)
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    x_forwarded: bool = False
    joins_at_once: int = 3
    addresses_at_once: int = 1000
    site: Site = field(init=False)
    pipeline: Pipeline = field(init=False)
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        limits = {"joins": LimitOf(1.0, self.joins_at_once), "address": LimitOf(0.1, self.addresses_at_once)}
        self.pipeline = pipeline(self.clock, self.metrics, limits)
        endpoints = collect(self.api, MetricsApi(self.metrics), HealthApi({}))
        router = Router(self.pipeline.routes(endpoints))
        self.site = Site(router, self.pipeline, self.metrics, self.clock, self.limits, self.x_forwarded)
        self.client = Client(self.site, "good", specified=False)


def pipeline(clock: Clock, metrics: Metrics, limits: Mapping[str, LimitOf]) -> Pipeline:
    return Pipeline(
        authenticators=AUTHENTICATORS,
        limits=RateLimits({"federation": LimitOf(1.0, FEDERATION_AT_ONCE), **limits}, clock),
        body_limits={"default": 100_000, "media": 1_000_000, "federation": 500_000},
        metrics=metrics,
        clock=clock,
        random=SeededRandom(),
        off_reactor=at_once,
    )

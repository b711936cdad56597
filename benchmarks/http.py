"""What the HTTP machinery costs: CPU for each small request, memory for each long poll that waits.

`python -m benchmarks.http` starts a server of its own on a free port of 127.0.0.1 and prints the figures. Requests
per core are computed from the CPU time of the server's process, so that a busy machine does not spoil them.
"""

# mypy: allow-untyped-calls
# Twisted's reactor has no annotations.

import argparse
import cProfile
import os
import pstats
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import structlog
from twisted.internet import epollreactor
from twisted.internet.defer import Deferred

from homeserver.app.runtime import ReactorClock, SystemRandomness
from homeserver.http.authentication import access_token, bearer_token
from homeserver.http.channel import ConnectionLimits
from homeserver.http.endpoint import Body, Path, Query, collect, endpoint
from homeserver.http.metrics import Metrics
from homeserver.http.pipeline import Pipeline
from homeserver.http.rate_limits import RateLimits
from homeserver.http.request import Request
from homeserver.http.router import Router
from homeserver.http.site import Site
from homeserver.protocol.errors import UnknownToken
from homeserver.protocol.identifiers import DeviceID, RoomID, UserID
from homeserver.protocol.requester import Requester

T = TypeVar("T")

_HEADERS = (
    "Host: alpha.example\r\nAuthorization: Bearer token\r\nAccept: application/json\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\n"
    "Connection: keep-alive\r\n"
)
WHOAMI = f"GET /_matrix/client/v3/account/whoami HTTP/1.1\r\n{_HEADERS}\r\n".encode()
SYNC = (
    f"GET /_matrix/client/v3/sync?since=m1_a.b.0&timeout=30000&filter=0 HTTP/1.1\r\n{_HEADERS}\r\n".encode()
)
_CONTENT = b'{"msgtype":"m.text","body":"hello"}'
SEND = (
    f"PUT /_matrix/client/v3/rooms/!room:alpha.example/send/m.room.message/m123 HTTP/1.1\r\n{_HEADERS}"
    f"Content-Type: application/json\r\nContent-Length: {len(_CONTENT)}\r\n\r\n"
).encode() + _CONTENT


class BenchmarkApi:
    """The smallest answers there are."""

    @endpoint("GET", "/_matrix/client/{v3,r0}/account/whoami", auth=access_token, spec="")
    async def whoami(self, who: Requester) -> dict[str, Any]:
        """Say who asks."""
        return {"user_id": who.user_id, "device_id": who.device_id}

    @endpoint(
        "PUT", "/_matrix/client/{v3,r0}/rooms/{room_id}/send/{kind}/{txn_id}", auth=access_token, spec=""
    )
    async def send(
        self,
        _who: Requester,
        room_id: Path[RoomID],
        kind: Path[str],
        txn_id: Path[str],
        body: Body[dict[str, Any]],
    ) -> dict[str, Any]:
        """Take a message."""
        return {"event_id": f"${room_id}{kind}{txn_id}{len(body)}"}

    @endpoint("GET", "/_matrix/client/{v3,r0}/sync", auth=access_token, long_poll=True, spec="")
    async def sync(
        self, _who: Requester, since: Query[str], timeout: Query[int], filter: Query[str]
    ) -> dict[str, Any]:
        """Wait for ever."""
        waiting: Deferred[None] = Deferred()
        await waiting
        return {"next_batch": since, "timeout": timeout, "filter": filter}


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--long-polls", type=int, default=2000)
    parser.add_argument("--profile", action="store_true", help="print where the server's time goes")
    options = parser.parse_args()
    for name, data in (("whoami", WHOAMI), ("send", SEND)):
        for clients in (1, 64):
            rate, cpu = with_server(load, data, clients, options.seconds, profile=options.profile)
            print(
                f"{name:8} {clients:3} clients {rate:8.0f}/s  {cpu * 1e6:6.1f} us CPU  {1 / cpu:8.0f}/s per core"
            )
    idle = with_server(memory_each, None, options.long_polls)
    waiting = with_server(memory_each, SYNC, options.long_polls)
    print(
        f"idle connection {idle:7.0f} bytes; with a long poll {waiting:7.0f} bytes ({waiting - idle:.0f} more)"
    )


def with_server(measure: Callable[..., T], *arguments: object, profile: bool = False) -> T:
    """Measure a fresh server, whose memory nothing has used before."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    child = os.fork()
    if child == 0:
        serve(listening, profile)
        sys.exit(0)
    address = listening.getsockname()
    listening.close()
    try:
        time.sleep(1.0)
        return measure(address, child, *arguments)
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


def serve(listening: socket.socket, profile: bool) -> None:
    """Serve until terminated."""
    reactor: Any = epollreactor.EPollReactor()
    log_to_nowhere()
    clock, metrics = ReactorClock(reactor), Metrics()

    async def authenticate(request: Request) -> Requester:
        if bearer_token(request.header("authorization")) != "token":
            raise UnknownToken
        return Requester(UserID("@alice:alpha.example"), DeviceID("DEVICE"), 1)

    async def here(function: Callable[[], bytes]) -> bytes:
        return function()

    pipeline = Pipeline(
        {access_token: authenticate},
        RateLimits({}, clock),
        {"default": 65536},
        metrics,
        clock,
        SystemRandomness(),
        here,
    )
    router = Router(pipeline.routes(collect(BenchmarkApi())))
    site = Site(router, pipeline, metrics, clock, ConnectionLimits(idle_timeout=3600))
    listening.setblocking(False)
    reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, site)
    if profile:
        profiled(reactor.run)
    else:
        reactor.run()


def log_to_nowhere() -> None:
    """Write the log as a server would: JSON lines, made of bytes, into a file."""
    sink = os.fdopen(os.open(os.devnull, os.O_WRONLY), "wb")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.BytesLoggerFactory(sink),
        cache_logger_on_first_use=True,
    )


def profiled(run: Callable[[], object]) -> None:
    """Run under a profiler and print what took longest."""
    profiler = cProfile.Profile()
    profiler.runcall(run)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def load(
    address: tuple[str, int], server: int, data: bytes, clients: int, seconds: float
) -> tuple[float, float]:
    """Send one request after the other from every client; return requests a second and CPU seconds a request."""
    sockets = [socket.create_connection(address) for _ in range(clients)]
    selector = selectors.EpollSelector()
    for each in sockets:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(each, selectors.EVENT_READ, each)
    answered = 0
    cpu_before, started = cpu_seconds(server), time.monotonic()
    for each in sockets:
        each.send(data)
    while time.monotonic() - started < seconds:
        for key, _ in selector.select(1.0):
            answer = key.data.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise AssertionError(answer)
            answered += 1
            key.data.send(data)
    elapsed, cpu = time.monotonic() - started, cpu_seconds(server) - cpu_before
    for each in sockets:
        each.close()
    return answered / elapsed, cpu / answered


def memory_each(address: tuple[str, int], server: int, data: bytes | None, count: int) -> float:
    """Open connections, send each a request if there is one, and return the server's bytes for each."""
    warm = [socket.create_connection(address) for _ in range(50)]
    for each in warm:
        each.send(data or b"")
    time.sleep(1.0)
    before = resident_bytes(server)
    sockets = []
    for _ in range(count):
        sockets.append(socket.create_connection(address))
        if data is not None:
            sockets[-1].send(data)
    time.sleep(2.0)
    used = resident_bytes(server) - before
    for each in sockets + warm:
        each.close()
    return used / count


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a process has used."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: int) -> int:
    """Return the private resident memory of a process."""
    with open(f"/proc/{process}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()

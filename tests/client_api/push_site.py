"""A whole server with push gateways beside it, over a network in memory: gateways are of the outside world, and do what
https://spec.matrix.org/v1.19/push-gateway-api/ says.
"""

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.protocol import Protocol

from homeserver.app.outside import Outside
from homeserver.clock import Clock
from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite, no_services
from tests.harness.client import Reply
from tests.harness.memory import result_of
from tests.harness.network import Machine, Network
from tests.harness.outside import Names

URL = "http://gateway.example/_matrix/push/v1/notify"
SETTINGS: Mapping[str, object] = {
    "push": {"allow_http": True},
    "federation": {"allow_networks": ["203.0.113.0/24"]},
}


class Gateway:
    """A push gateway. It answers with `status`, and rejects the keys in `rejected`; `silent`: it never answers."""

    def __init__(self, network: Network, address: str) -> None:
        self.asked: list[Any] = []
        self.status = 200
        self.rejected: list[str] = []
        self.headers: dict[str, str] = {}
        self.silent = False
        self._machine = network.machine(address)
        self._machine.listen(self)

    def take(self) -> list[Any]:
        """The notifications that it was asked for since the last call."""
        asked, self.asked = self.asked, []
        return asked

    def away(self) -> None:
        """Nobody listens any more."""
        self._machine.listen(None)

    def back(self) -> None:
        """It listens again."""
        self._machine.listen(self)

    def buildProtocol(self, address: object) -> "_Conversation":
        """Somebody connects."""
        return _Conversation(self)

    def answer(self, method: str, path: str, body: bytes) -> bytes | None:
        """What is said to a request."""
        assert (method, path) == ("POST", "/_matrix/push/v1/notify")
        self.asked.append(json.loads(body)["notification"])
        if self.silent:
            return None
        said = json.dumps({"rejected": self.rejected}).encode()
        headers = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"HTTP/1.1 {self.status} OK\r\n{headers}Content-Length: {len(said)}\r\n\r\n".encode() + said


class _Conversation(Protocol):
    """Requests of one connection."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = int(fields.get("content-length", "0"))
            if len(rest) < length:
                return
            self._received = rest[length:]
            method, path, _ = first.split(" ")
            said = self._gateway.answer(method, path, rest[:length])
            transport: Any = self.transport
            if said is not None:
                transport.write(said)


class PushSite(SyncSite):
    """A server that pushes."""

    machine: Machine

    def __init__(self, database: Database, changes: Mapping[str, object] | None = None) -> None:
        self.names = Names(gateway_example="203.0.113.9", other_example="203.0.113.10")
        self._network: Network | None = None
        super().__init__(database, {**SETTINGS, **(changes or {})})
        self.gateway = Gateway(self.network, "203.0.113.9")
        self.other_gateway = Gateway(self.network, "203.0.113.10")

    @property
    def network(self) -> Network:
        """What connects the server and the gateways."""
        if self._network is None:
            self._network = Network(self.clock, 1)
        return self._network

    def process_clock(self) -> Clock:
        """Each start is a process of its own, which can be killed."""
        self.machine = self.network.machine("203.0.113.1")
        return self.machine

    def outside(self) -> Outside:
        """The network."""
        return Outside(self.machine, self.names, no_services)

    def start(self) -> None:
        """Begin with empty memory, and push."""
        super().start()
        self.app.push.start()

    def kill(self) -> None:
        """`kill -9`, and the time until a lease that nobody renews runs out."""
        self.machine.kill()
        result_of(_free_leases(self.database))

    def pass_time(self, seconds: float = 3.0) -> None:
        """Let things happen one after the other."""
        for _ in range(int(seconds * 20)):
            self.clock.advance(0.05)

    def pushed(self, seconds: float = 3.0) -> list[Any]:
        """What the gateway was asked for until some time has passed."""
        self.pass_time(seconds)
        return self.gateway.take()


def pusher(pushkey: str = "key", **changes: Any) -> dict[str, Any]:
    """The body that sets a pusher."""
    return {
        "kind": "http",
        "app_id": "org.example.app",
        "pushkey": pushkey,
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": URL},
        **changes,
    }


def try_pusher(person: Syncer, pushkey: str = "key", **changes: Any) -> Reply:
    """Try to set a pusher."""
    return person.here.post(f"{V3}/pushers/set", pusher(pushkey, **changes))


def set_pusher(person: Syncer, pushkey: str = "key", **changes: Any) -> None:
    """Set a pusher."""
    reply = try_pusher(person, pushkey, **changes)
    assert reply.status == 200, reply.text


def pushers_of(person: Syncer) -> list[Any]:
    """The pushers of somebody."""
    reply = person.here.get(f"{V3}/pushers")
    assert reply.status == 200, reply.text
    found: list[Any] = reply.json["pushers"]
    return found


def two(site: PushSite, **wishes: Any) -> tuple[Syncer, Syncer, str]:
    """Anna, who has a pusher, and Ben, in a room."""
    anna, ben = site.people("anna", "ben")
    room = anna.public_room(**wishes)
    ben.join(room)
    set_pusher(anna)
    return anna, ben, room


def texts(pushes: list[Any]) -> list[str]:
    """What was said in them."""
    return [push["content"]["body"] for push in pushes if "body" in push.get("content", {})]


async def _free_leases(database: Database) -> None:
    await database.transact(lambda tx: tx.execute("delete from leases"))

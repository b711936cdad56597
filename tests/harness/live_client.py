"""A plain, blocking Matrix client for real servers, one connection a thread: what system tests talk with."""

import http.client
import itertools
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

V3 = "/_matrix/client/v3"
Json = dict[str, Any]

_counter = itertools.count(1)


class Refused(AssertionError):
    """The server answered with an error."""

    def __init__(self, what: str, status: int, body: Any) -> None:
        super().__init__(f"{what}: {status} {body}")
        self.status = status
        self.body = body

    @property
    def errcode(self) -> str:
        """The error's kind."""
        return str(self.body.get("errcode", "")) if isinstance(self.body, dict) else ""


class Requests:
    """Requests to one server, over a kept connection for each thread. Raises OSError if the server is not there."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._timeout = timeout
        self._token = token
        self._local = threading.local()

    def with_token(self, token: str) -> "Requests":
        """The same, over the same connections, as somebody who is logged in."""
        made = copy(self)
        made._token = token
        return made

    def answers(self, path: str) -> bool:
        """Whether a GET of this path gives 200."""
        try:
            return self.request("GET", path)[0] == 200
        except OSError:
            return False

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Json:
        """Return the answer's JSON. Raises Refused."""
        status, answer = self.request(method, path, body, **query)
        if status != 200:
            raise Refused(f"{method} {path}", status, answer)
        assert isinstance(answer, dict)
        return answer

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        """Return status and body (JSON, or text if it is none)."""
        if query:
            path = f"{path}?{urlencode({name.rstrip('_'): value for name, value in query.items()})}"
        data = None if body is None else json.dumps(body).encode()
        if method in ("POST", "PUT") and data is None:
            data = b"{}"
        headers = {"Content-Type": "application/json"} if data is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return self._exchange(method, path, data, headers)

    def _exchange(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        connection = self._connection()
        try:
            connection.request(method, path, data, dict(headers))
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._local.connection = None
            raise error if isinstance(error, OSError) else ConnectionError(repr(error)) from error
        if answer.will_close:
            connection.close()
            self._local.connection = None
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode(errors="replace")

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None and _ended(connection.sock):
            connection.close()
            connection = None
        if connection is None:
            connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._local.connection = connection
        return connection


def _ended(sock: socket.socket) -> bool:
    """Whether the other side closed a connection that nothing is asked on."""
    return bool(select.select([sock], [], [], 0)[0])


@dataclass
class LiveUser:
    """Somebody who is logged in, and what they do."""

    url: str
    user_id: str
    token: str
    http: Requests = field(init=False)

    def __post_init__(self) -> None:
        self.http = Requests(self.url, self.token)

    @classmethod
    def register(cls, url: str, name: str, password: str) -> "LiveUser":
        """Make an account on a server with open registration."""
        wishes = {"username": name, "password": password, "auth": {"type": "m.login.dummy"}}
        answer = Requests(url).call("POST", f"{V3}/register", wishes)
        return cls(url, answer["user_id"], answer["access_token"])

    @classmethod
    def login(cls, url: str, name: str, password: str) -> "LiveUser":
        """Log in."""
        identifier = {"type": "m.id.user", "user": name}
        wishes = {"type": "m.login.password", "identifier": identifier, "password": password}
        answer = Requests(url).call("POST", f"{V3}/login", wishes)
        return cls(url, answer["user_id"], answer["access_token"])

    def create(self, **wishes: Any) -> str:
        """Make a room; its ID."""
        return str(self.http.call("POST", f"{V3}/createRoom", wishes)["room_id"])

    def join(self, room: str, *via: str) -> str:
        """Join a room by ID or alias, by way of these servers; its ID."""
        path = f"{V3}/join/{quote(room, safe='')}"
        if via:
            # `server_name` is what servers before v1.12 of the specification call it.
            path += "?" + urlencode([(name, server) for server in via for name in ("via", "server_name")])
        return str(self.http.call("POST", path, {})["room_id"])

    def invite(self, room: str, user_id: str) -> None:
        """Invite somebody."""
        self.http.call("POST", room_path(room, "invite"), {"user_id": user_id})

    def leave(self, room: str) -> None:
        """Leave a room, or reject an invite."""
        self.http.call("POST", room_path(room, "leave"), {})

    def say(self, room: str, text: str, txn: str | None = None) -> str:
        """Send a text; the event's ID."""
        path = room_path(room, "send", "m.room.message", txn or f"t{next(_counter)}.{time.time_ns()}")
        return str(self.http.call("PUT", path, {"msgtype": "m.text", "body": text})["event_id"])

    def redact(self, room: str, event_id: str, reason: str = "") -> str:
        """Redact an event; the redaction's ID."""
        path = room_path(room, "redact", event_id, f"t{next(_counter)}.{time.time_ns()}")
        return str(self.http.call("PUT", path, {"reason": reason})["event_id"])

    def set_state(self, room: str, event_type: str, content: Json, state_key: str = "") -> str:
        """Set an entry of the room's state; the event's ID."""
        return str(
            self.http.call("PUT", room_path(room, "state", event_type, state_key), content)["event_id"]
        )

    def state(self, room: str, event_type: str, state_key: str = "") -> Json:
        """The content of a state event."""
        return self.http.call("GET", room_path(room, "state", event_type, state_key))

    def members(self, room: str) -> set[str]:
        """Who is joined."""
        return set(self.http.call("GET", room_path(room, "joined_members"))["joined"])

    def sync(self, since: str | None = None, timeout_ms: int = 0, filter_: Json | None = None) -> Json:
        """One sync."""
        query: Json = {"timeout": timeout_ms}
        if since is not None:
            query["since"] = since
        if filter_ is not None:
            query["filter"] = json.dumps(filter_)
        return self.http.call("GET", f"{V3}/sync", **query)

    def history(self, room: str, page: int = 100) -> list[Json]:
        """The whole history that the server gives, oldest first."""
        found: list[Json] = []
        query: Json = {"dir": "b", "limit": page}
        while True:
            answer = self.http.call("GET", room_path(room, "messages"), **query)
            found += answer["chunk"]
            if "end" not in answer:
                return found[::-1]
            query["from"] = answer["end"]

    def texts(self, room: str) -> list[str]:
        """All texts of the room's history, oldest first."""
        return texts_of(self.history(room))


def texts_of(events: list[Json]) -> list[str]:
    """The texts among events."""
    return [
        each["content"]["body"]
        for each in events
        if each["type"] == "m.room.message" and "body" in each["content"]
    ]


def room_path(room: str, *segments: str) -> str:
    """The path of a room's resource."""
    return "/".join([f"{V3}/rooms", *(quote(each, safe="") for each in (room, *segments))])


def eventually(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """Wait until a condition holds, and return what it gives; errors of the server are taken for "not yet"."""
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            if last := condition():
                return last
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:.0f} s still not {what or condition}: {last!r}")
        time.sleep(0.05)

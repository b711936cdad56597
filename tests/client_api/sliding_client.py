"""People who use sliding sync, and a client that keeps what it is told."""

from dataclasses import dataclass, field
from typing import Any

from tests.client_api.sync_site import Syncer
from tests.harness.client import Pending, Reply
from tests.simulation.sync_client import keep

DEPLOYED = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
ACCEPTED = "/_matrix/client/v4/sync"
EVERYTHING = [["*", "*"]]


def rooms_list(first: int = 0, last: int = 19, limit: int = 10, state: Any = (), **filters: Any) -> Any:
    """A list in the deployed shape."""
    return {
        "ranges": [[first, last]],
        "timeline_limit": limit,
        "required_state": list(state),
        "filters": filters,
    }


class Slider:
    """One connection of somebody, in the deployed shape or in the accepted one."""

    def __init__(self, person: Syncer, conn_id: str | None = None, *, accepted: bool = False) -> None:
        self.person = person
        self.conn_id = conn_id
        self.accepted = accepted
        self.pos: str | None = None

    def sync(self, pos: str | None = None, timeout: int = 0, **body: Any) -> Any:
        """Sync from a position, by default the last; without lists, all rooms are looked at."""
        reply = self.try_sync(pos or self.pos, timeout, **body)
        assert reply.status == 200, reply.text
        self.pos = reply.json["pos"]
        return reply.json

    def first(self, **body: Any) -> Any:
        """Begin anew."""
        self.pos = None
        return self.sync(**body)

    def try_sync(self, pos: str | None = None, timeout: int = 0, **body: Any) -> Reply:
        """Try to sync."""
        path, whole, query = self._request(pos, timeout, body)
        return self.person.here.post(path, whole, query)

    def poll(self, timeout: int = 30_000, **body: Any) -> Pending:
        """Begin a long poll."""
        path, whole, query = self._request(self.pos, timeout, body)
        return self.person.here.start("POST", path, whole, query)

    def _request(
        self, pos: str | None, timeout: int, body: dict[str, Any]
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        whole = dict(body)
        if self.conn_id is not None:
            whole["conn_id"] = self.conn_id
        if self.accepted:
            whole.setdefault("lists", {"all": {"timeline_limit": 10, "required_state": {"include": [{}]}}})
            return ACCEPTED, {**whole, "timeout": timeout} | ({"pos": pos} if pos else {}), {}
        whole.setdefault("lists", {"all": rooms_list(state=EVERYTHING)})
        return DEPLOYED, whole, {"timeout": timeout} | ({"pos": pos} if pos else {})


@dataclass
class SlidingRoom:
    """What a client knows of a room."""

    fields: dict[str, Any] = field(default_factory=dict)
    state: dict[tuple[str, str], tuple[str, Any]] = field(default_factory=dict)
    timeline: list[tuple[str, Any]] = field(default_factory=list)
    account_data: dict[str, Any] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str], str] = field(default_factory=dict)
    typing: list[str] = field(default_factory=list)

    def take(self, news: dict[str, Any]) -> None:
        """Apply what an answer tells of the room."""
        for name in ("name", "avatar", "heroes", "joined_count", "invited_count", "is_dm", "membership"):
            if name in news:
                self.fields[name] = news[name]
        if "name" in news and news["name"] is not None:
            self.fields.pop("heroes", None)
        for event in news.get("required_state", ()):
            key = (event["type"], event["state_key"])
            if "content" in event:
                self.state[key] = (event["event_id"], event["content"])
            else:
                self.state.pop(key, None)
        events = [(event["event_id"], event) for event in news.get("timeline", ())]
        expanded = news.get("expanded_timeline") or news.get("unstable_expanded_timeline")
        if expanded or news.get("limited"):
            self.timeline = []
        told = {event_id for event_id, _ in self.timeline}
        assert told.isdisjoint(event_id for event_id, _ in events), "told twice"
        self.timeline += events


@dataclass
class SlidingClient:
    """All that a client knows."""

    rooms: dict[str, SlidingRoom] = field(default_factory=dict)
    account_data: dict[str, Any] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    """The users whose client it is."""

    def take(self, answer: dict[str, Any]) -> None:
        """Apply an answer."""
        for room_id, news in answer["rooms"].items():
            if news.get("initial"):
                kept = self.rooms.get(room_id) or SlidingRoom()
                self.rooms[room_id] = SlidingRoom(
                    account_data=kept.account_data, receipts=kept.receipts, typing=kept.typing
                )
            self.rooms.setdefault(room_id, SlidingRoom()).take(news)
        self._extensions(answer["extensions"])

    def _extensions(self, extensions: dict[str, Any]) -> None:
        data = extensions.get("account_data", {})
        keep(self.account_data, data.get("global", []))
        for room_id, events in data.get("rooms", {}).items():
            keep(self.rooms[room_id].account_data, events)
        for room_id, event in extensions.get("receipts", {}).get("rooms", {}).items():
            for event_id, kinds in event["content"].items():
                for kind, users in kinds.items():
                    for user_id, receipt in users.items():
                        key = (kind, user_id, receipt.get("thread_id", ""))
                        self.rooms[room_id].receipts[key] = event_id
        for room_id, event in extensions.get("typing", {}).get("rooms", {}).items():
            self.rooms[room_id].typing = event["content"]["user_ids"]

"""A client that keeps what `/sync` tells it, as clients do: the model against which the law of syncing is tested."""

from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str]
Event = dict[str, Any]


@dataclass
class ClientRoom:
    """What a client knows of a room that its user is in."""

    state: dict[Key, Event] = field(default_factory=dict)
    timeline: list[Event] = field(default_factory=list)
    account_data: dict[str, Any] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str], tuple[str, int]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    typing: list[str] = field(default_factory=list)
    unread: dict[str, Any] = field(default_factory=dict)

    def take(self, news: dict[str, Any]) -> None:
        """Apply what a sync tells of the room."""
        after = "state_after" in news
        for event in news["state_after" if after else "state"]["events"]:
            self.state[event["type"], event["state_key"]] = event
        if news["timeline"]["limited"]:
            self.timeline = []
        for event in news["timeline"]["events"]:
            self._live(event, after)
        keep(self.account_data, news["account_data"]["events"])
        for event in news["ephemeral"]["events"]:
            if event["type"] == "m.receipt":
                self._receipts(event["content"])
            if event["type"] == "m.typing":
                self.typing = event["content"]["user_ids"]
        self.summary |= news["summary"]
        self.unread = {
            name: news[name]
            for name in ("unread_notifications", "unread_thread_notifications")
            if name in news
        }

    def known(self) -> dict[Key, tuple[str, Any]]:
        """The state, by event ID and content."""
        return {key: (event["event_id"], event["content"]) for key, event in self.state.items()}

    def tail(self, count: int) -> list[tuple[str, Any]]:
        """The last events of the timeline."""
        return [(e["event_id"], e["content"]) for e in self.timeline[len(self.timeline) - count :]]

    def _live(self, event: Event, after: bool) -> None:
        assert all(event["event_id"] != known["event_id"] for known in self.timeline), "told twice"
        if "state_key" in event and not after:
            self.state[event["type"], event["state_key"]] = event
        self.timeline.append(event)
        if event["type"] == "m.room.redaction" and "redacted_because" not in event["unsigned"]:
            for known in (*self.timeline, *self.state.values()):
                if known["event_id"] == event["redacts"]:
                    _strike(known)

    def _receipts(self, content: dict[str, Any]) -> None:
        for event_id, kinds in content.items():
            for kind, users in kinds.items():
                for user_id, receipt in users.items():
                    key = (user_id, kind, receipt.get("thread_id", ""))
                    self.receipts[key] = (event_id, receipt["ts"])


@dataclass
class SyncingClient:
    """All that a client knows."""

    rooms: dict[str, ClientRoom] = field(default_factory=dict)
    invites: set[str] = field(default_factory=set)
    account_data: dict[str, Any] = field(default_factory=dict)
    presence: dict[str, str] = field(default_factory=dict)

    def take(self, answer: dict[str, Any]) -> None:
        """Apply an answer of `/sync`."""
        rooms = answer.get("rooms", {})
        for room_id, news in rooms.get("join", {}).items():
            self.invites.discard(room_id)
            self.rooms.setdefault(room_id, ClientRoom()).take(news)
        for room_id in rooms.get("leave", {}):
            self.invites.discard(room_id)
            self.rooms.pop(room_id, None)
        for room_id in rooms.get("invite", {}):
            self.rooms.pop(room_id, None)
            self.invites.add(room_id)
        keep(self.account_data, answer.get("account_data", {}).get("events", []))
        for event in answer.get("presence", {}).get("events", []):
            self.presence[event["sender"]] = event["content"]["presence"]

    def members(self) -> set[str]:
        """Everybody who is in a room of the user, as far as the client knows."""
        return {
            key[1]
            for room in self.rooms.values()
            for key, event in room.state.items()
            if key[0] == "m.room.member" and event["content"].get("membership") == "join"
        }


def keep(account_data: dict[str, Any], events: list[Event]) -> None:
    """Account data that is {} is deleted: who syncs anew does not hear of it."""
    for event in events:
        account_data[event["type"]] = event["content"]
        if not event["content"]:
            del account_data[event["type"]]


def _strike(event: Event) -> None:
    """Redact an event that has nothing worth keeping, as those of these tests."""
    kept = {"m.room.member": ("membership",), "m.room.redaction": ("redacts",)}.get(event["type"], ())
    event["content"] = {key: value for key, value in event["content"].items() if key in kept}

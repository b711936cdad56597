"""Rooms made of plain values, to tell stories about authorisation and state resolution.

A `SimulatedRoom` holds every event; a `Fork` is one server's view of it, which grows by sending and
may itself be forked. Event IDs count up, times are a second apart unless a story names them, and no
event is hashed or signed: nothing under test looks at hashes or signatures.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.selection import auth_types
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, StateKey, server_of
from homeserver.protocol.room_versions import EventFormat, EventIDFormat, room_version
from homeserver.protocol.state_resolution.resolve import resolve
from homeserver.protocol.state_resolution.walking import auth_chain_difference

ALICE = "@alice:a.example"
BOB = "@bob:b.example"
CAROL = "@carol:c.example"
DAVE = "@dave:d.example"
MALLORY = "@mallory:evil.example"

StateIDs = dict[StateKey, EventID]


class SimulatedRoom:
    """A room of one version with the create event of `creator`; `trunk` begins there."""

    def __init__(self, version: str, creator: str = ALICE, /, **create_content: Any) -> None:
        self.version = room_version(version)
        self.creator = creator
        self.events: dict[EventID, Event] = {}
        self.fetches = 0
        self.fetched = 0
        self._clock = 1_000_000
        self._room_id = f"!room:{server_of(creator)}"
        content = {"room_version": version, **create_content}
        if self.version.creator_in_content:
            content.setdefault("creator", creator)
        self.trunk = Fork(self)
        self.create = self.trunk.send(creator, "m.room.create", content, "")
        self._room_id = self.create.room_id

    def set_up(self, *members: str, join_rule: Any = "public", **levels: Any) -> "Fork":
        """Join the creator, set power levels and join rule, join the members; return the trunk."""
        trunk = self.trunk
        trunk.join(self.creator)
        users = levels.pop("users", {})
        if not self.version.privileged_creators:
            users = {self.creator: 100, **users}
        trunk.power_levels(self.creator, users=users, **levels)
        trunk.send(self.creator, "m.room.join_rules", {"join_rule": "public"}, "")
        for member in members:
            trunk.join(member)
        if join_rule != "public":
            trunk.send(self.creator, "m.room.join_rules", {"join_rule": join_rule}, "")
        return trunk

    def fetch(self, event_ids: Collection[EventID]) -> Mapping[EventID, Event]:
        """The fetch closure, which counts how often and for how much it is called."""
        self.fetches += 1
        self.fetched += len(event_ids)
        return {event_id: self.events[event_id] for event_id in event_ids if event_id in self.events}

    def resolve(self, *state_sets: Mapping[StateKey, EventID]) -> StateIDs:
        """The resolution of state sets by the algorithm of the room's version."""
        return resolve(
            self.version,
            state_sets,
            self.fetch,
            lambda ids: auth_chain_difference(ids, self.fetch),
        )

    def merge(self, *forks: "Fork") -> "Fork":
        """The view of a server that has the events of all of these forks."""
        heads = sorted({head for fork in forks for head in fork.heads})
        return Fork(self, self.resolve(*(fork.state for fork in forks)), heads)

    def next_ts(self) -> int:
        """A second after the last event that did not name its time."""
        self._clock += 1_000
        return self._clock

    def add(self, pdu: dict[str, Any]) -> Event:
        """Give a PDU its references as the version writes them, and its ID."""
        number = len(self.events)
        event_id = EventID(f"$event{number:05}")
        if self.version.event_id_format is EventIDFormat.CHOSEN_BY_SENDER:
            event_id = EventID(f"{event_id}:{server_of(pdu['sender'])}")
        if self.version.event_format is EventFormat.HASHED_REFERENCES:
            pdu["event_id"] = event_id
            for name in ("auth_events", "prev_events"):
                pdu[name] = [[reference, {"sha256": ""}] for reference in pdu[name]]
        if pdu["type"] != "m.room.create" or not self.version.room_id_is_create_hash:
            pdu["room_id"] = self._room_id
        event = Event.from_trusted(pdu, self.version, event_id)
        self.events[event_id] = event
        return event


@dataclass
class Fork:
    """One view of a room: the state at its end, and the events it ends in."""

    room: SimulatedRoom
    state: StateIDs = field(default_factory=dict)
    heads: list[EventID] = field(default_factory=list)

    def fork(self) -> "Fork":
        """A view that is the same up to here and goes its own way from now on."""
        return Fork(self.room, dict(self.state), list(self.heads))

    def event(self, event_type: str, state_key: str = "") -> Event | None:
        """The event of the state here; this is the `state` closure of the authorisation rules."""
        event_id = self.state.get((event_type, state_key))
        return None if event_id is None else self.room.events[event_id]

    def holds(self, event: Event) -> bool:
        """Whether an event is in the state here."""
        return event.key is not None and self.state.get(event.key) == event.event_id

    def build(
        self,
        sender: str,
        event_type: str,
        content: dict[str, Any],
        state_key: str | None = None,
        ts: int | None = None,
    ) -> Event:
        """An event that follows this view, added to the room but not to the view's state."""
        selected = auth_types(event_type, sender, state_key, content, self.room.version)
        before = [self.room.events[head].depth for head in self.heads]
        pdu: dict[str, Any] = {
            "type": event_type,
            "sender": sender,
            "content": content,
            "depth": max(before, default=0) + 1,
            "origin_server_ts": self.room.next_ts() if ts is None else ts,
            "prev_events": list(self.heads),
            "auth_events": [self.state[key] for key in selected if key in self.state],
        }
        if state_key is not None:
            pdu["state_key"] = state_key
        return self.room.add(pdu)

    def send(
        self,
        sender: str,
        event_type: str,
        content: dict[str, Any],
        state_key: str | None = None,
        ts: int | None = None,
        *,
        unchecked: bool = False,
    ) -> Event:
        """Send an event that the rules must allow here (unless unchecked), and follow it."""
        event = self.build(sender, event_type, content, state_key, ts)
        if not unchecked:
            check_auth(event, self.event)
        if event.key is not None:
            self.state[event.key] = event.event_id
        self.heads = [event.event_id]
        return event

    def member(self, sender: str, target: str, membership: str, **options: Any) -> Event:
        """Set a membership."""
        content = {"membership": membership, **options.pop("content", {})}
        return self.send(sender, "m.room.member", content, target, **options)

    def join(self, user: str, **options: Any) -> Event:
        """Join a user for themselves."""
        return self.member(user, user, "join", **options)

    def leave(self, user: str, **options: Any) -> Event:
        """Let a user leave."""
        return self.member(user, user, "leave", **options)

    def invite(self, sender: str, target: str, **options: Any) -> Event:
        """Invite a user."""
        return self.member(sender, target, "invite", **options)

    def kick(self, sender: str, target: str, **options: Any) -> Event:
        """Kick a user, or lift a ban."""
        return self.member(sender, target, "leave", **options)

    def ban(self, sender: str, target: str, **options: Any) -> Event:
        """Ban a user."""
        return self.member(sender, target, "ban", **options)

    def power_levels(
        self, sender: str, *, ts: int | None = None, unchecked: bool = False, **content: Any
    ) -> Event:
        """Set the power levels."""
        return self.send(sender, "m.room.power_levels", content, "", ts, unchecked=unchecked)

    def set_levels(self, sender: str, ts: int | None = None, **changes: Any) -> Event:
        """Change some of the power levels, and leave the rest as it is."""
        current = self.event("m.room.power_levels")
        content = {} if current is None else current.content
        return self.power_levels(sender, ts=ts, **{**content, **changes})

    def set_users(self, sender: str, ts: int | None = None, **levels: int) -> Event:
        """Change the levels of users, named by their localpart, and leave the rest as it is."""
        current = self.event("m.room.power_levels")
        users = {} if current is None else current.content.get("users", {})
        by_name = {user[1:].partition(":")[0]: user for user in (ALICE, BOB, CAROL, DAVE, MALLORY)}
        changed = {by_name[name]: level for name, level in levels.items()}
        return self.set_levels(sender, ts=ts, users={**users, **changed})

    def join_rule(self, sender: str, rule: str, **options: Any) -> Event:
        """Set the join rule."""
        return self.send(sender, "m.room.join_rules", {"join_rule": rule}, "", **options)

    def topic(self, sender: str, topic: str, **options: Any) -> Event:
        """Set the topic, which gives nobody any power."""
        return self.send(sender, "m.room.topic", {"topic": topic}, "", **options)

    def membership(self, user: str) -> str | None:
        """A user's membership here."""
        event = self.event("m.room.member", user)
        return None if event is None else event.membership

    def level(self, user: str) -> int | None:
        """The level that the power levels here name for a user."""
        event = self.event("m.room.power_levels")
        levels: dict[str, int] = {} if event is None else event.content.get("users", {})
        return levels.get(user)

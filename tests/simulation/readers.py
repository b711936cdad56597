"""Everybody who reads a room: whatever is in it, no reader may choke on it."""

from typing import Any, Final
from urllib.parse import quote

from tests.harness.client import Reply
from tests.simulation.hostile_server import V1, HostileServer
from tests.simulation.networked_servers import Person

_SLIDING: Final = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
FINE: Final = (200, 403, 404)


def read_everything(person: Person, room: str, server: HostileServer | None = None) -> list[Any]:
    """Read a room in every way that there is; gives its events, the latest first."""
    where = f"/rooms/{quote(room, safe='')}"
    chunk = fine(person.ask("GET", f"{where}/messages", None, {"dir": "b", "limit": 100})).get("chunk", [])
    fine(person.ask("GET", f"{where}/messages", None, {"dir": "f", "limit": 100}))
    for path in ("state", "members", "joined_members", "aliases", "initialSync"):
        fine(person.ask("GET", f"{where}/{path}"))
    for query in ({"full_state": True}, {"use_state_after": True}):
        fine(person.ask("GET", "/sync", None, {"timeout": 0, **query}))
    for path in ("/initialSync", "/notifications", "/publicRooms", "/pushrules/"):
        fine(person.ask("GET", path))
    wish = {"room_events": {"search_term": "text", "event_context": {"include_profile": True}}}
    fine(person.ask("POST", "/search", {"search_categories": wish}))
    fine(person.ask("POST", "/user_directory/search", {"search_term": "e"}))
    _read_by_others(person, room)
    for event in chunk[:8]:
        _read_event(person, where, event["event_id"])
    if server is not None:
        _read_as_server(person, room, server, [event["event_id"] for event in chunk[:3]])
    return list(chunk)


def fine(reply: Reply) -> Any:
    """The JSON of an answer, which is no error of the server's."""
    assert reply.status in FINE, f"{reply.status} {reply.text}"
    return reply.json


def _read_by_others(person: Person, room: str) -> None:
    escaped = quote(room, safe="")
    wanted = {"timeline_limit": 20, "required_state": [["*", "*"]]}
    body = {"lists": {"all": {"ranges": [[0, 20]], **wanted}}, "room_subscriptions": {room: wanted}}
    fine(person.ask_path("POST", _SLIDING, body, {"timeout": 0}))
    for path in (
        f"rooms/{escaped}/hierarchy",
        f"rooms/{escaped}/threads",
        f"room_summary/{escaped}",
    ):
        fine(person.ask_path("GET", f"/_matrix/client/v1/{path}"))
    for direction in ("f", "b"):
        query = {"ts": 1_700_000_000_000, "dir": direction}
        fine(person.ask_path("GET", f"/_matrix/client/v1/rooms/{escaped}/timestamp_to_event", None, query))


def _read_event(person: Person, where: str, event_id: str) -> None:
    escaped = quote(event_id, safe="")
    for path in (f"{where}/event/{escaped}", f"{where}/context/{escaped}"):
        fine(person.ask("GET", path))
    fine(person.ask_path("GET", f"/_matrix/client/v1{where}/relations/{escaped}", None, {"recurse": True}))


def _read_as_server(person: Person, room: str, server: HostileServer, event_ids: list[str]) -> None:
    ours = person.server
    for event_id in event_ids:
        at = quote(event_id, safe="")
        for path in (
            f"event/{at}",
            f"event_auth/{room}/{at}",
            f"state/{room}?event_id={at}",
            f"state_ids/{room}?event_id={at}",
            f"backfill/{room}?v={at}&limit=20",
        ):
            fine(server.ask(ours, "GET", f"{V1}/{path}"))
    for path in (f"hierarchy/{room}", "publicRooms", f"timestamp_to_event/{room}?ts=5&dir=f"):
        fine(server.ask(ours, "GET", f"{V1}/{path}"))
    wanted = {"earliest_events": [], "latest_events": event_ids, "limit": 20}
    fine(server.ask(ours, "POST", f"{V1}/get_missing_events/{room}", wanted))

"""`homeserver room why ROOM`: how the state of a room came to be as it is."""

import argparse
from datetime import UTC, datetime

from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from homeserver.protocol.identifiers import RoomID, is_room_id
from homeserver.services.rooms.state_history import StateHistoryRow


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("room", help="look at rooms")
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    why = actions.add_parser(
        "why",
        help="say why a room's state is as it is",
        description="List the changes of a room's state, the latest first: what became current, instead of what, when, "
        "and whether it was sent then or won when the room's forks were resolved.",
    )
    why.add_argument("room", metavar="ROOM", help="the room's ID")
    why.add_argument(
        "type", nargs="?", metavar="TYPE", help="changes of this type alone: m.room.power_levels"
    )
    why.add_argument("state_key", nargs="?", metavar="KEY", help="and of this state key")
    why.add_argument("--limit", type=int, default=50, metavar="N", help="changes to list (50)")
    why.set_defaults(run=run_why)
    add_config_option(why)


def run_why(options: argparse.Namespace) -> int:
    """List changes."""
    if not is_room_id(options.room):
        raise CommandFailed(f"{options.room} is no room ID")
    with offline(configuration_of(options)) as server:
        history = server.state_history.latest(
            RoomID(options.room), options.type, options.state_key, max(1, options.limit)
        )
        for change in finished(history):
            print(_line(change))
    return 0


def _line(change: StateHistoryRow) -> str:
    at = datetime.fromtimestamp(change.received_ts / 1000, UTC)
    entry = f"{change.type} {change.state_key}".rstrip()
    became = f"{change.current} of {change.sender}" if change.current else "nothing"
    instead = f", instead of {change.previous}" if change.previous else ""
    how = (
        "sent" if change.current == change.cause else f"resolved with {change.cause} of {change.cause_sender}"
    )
    return f"{at:%Y-%m-%d %H:%M:%S} {change.pos} {entry}: {became}{instead} ({how})"

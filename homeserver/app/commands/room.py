"""`homeserver room`: why the state of a room is as it is, and deleting and blocking rooms."""

import argparse
from datetime import UTC, datetime

from homeserver.app.commands.media_target import room, user
from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from homeserver.services.rooms.deletion import MESSAGE, NAME, Deletion, DeletionWish
from homeserver.services.rooms.state_history import StateHistoryRow

_BY = "command line"


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("room", help="look at rooms, delete them and block them")
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    why = actions.add_parser(
        "why",
        help="say why a room's state is as it is",
        description="List the changes of a room's state, the latest first: what became current, instead of what, when, "
        "and whether it was sent then or won when the room's forks were resolved.",
    )
    why.add_argument("room", type=room, metavar="ROOM", help="the room's ID")
    why.add_argument(
        "type", nargs="?", metavar="TYPE", help="changes of this type alone: m.room.power_levels"
    )
    why.add_argument("state_key", nargs="?", metavar="KEY", help="and of this state key")
    why.add_argument("--limit", type=int, default=50, metavar="N", help="changes to list (50)")
    why.set_defaults(run=run_why)
    add_config_option(why)
    _add_delete(actions)
    deletions = actions.add_parser(
        "deletions", help="say how far deletions are", description="Say how far the deletions of a room are."
    )
    deletions.set_defaults(run=run_deletions)
    for name, blocked in (("block", True), ("unblock", False)):
        action = actions.add_parser(
            name,
            help="keep everybody here from entering a room" if blocked else "undo `block`",
            description="Keep users of this server from joining a room, from being invited and from knocking."
            if blocked
            else "Undo `block`.",
        )
        action.set_defaults(run=run_block, blocked=blocked)
        action.add_argument("room", type=room, metavar="ROOM", help="the room's ID")
        add_config_option(action)
    deletions.add_argument("room", type=room, metavar="ROOM", help="the room's ID")
    add_config_option(deletions)


def _add_delete(actions: Commands) -> None:
    delete = actions.add_parser(
        "delete",
        help="delete a room",
        description="Make all users of this server leave a room and remove all that the database has of it. The server "
        "does it while it runs, and goes on with it after a restart; files that only this room showed go later.",
    )
    delete.add_argument("room", type=room, metavar="ROOM", help="the room's ID")
    delete.add_argument("--block", action="store_true", help="and let nobody enter it again")
    delete.add_argument("--keep", action="store_true", help="only make users leave: remove nothing")
    delete.add_argument("--force", action="store_true", help="even if somebody cannot be made to leave")
    delete.add_argument(
        "--move-to", type=user, metavar="@NAME:SERVER", help="move users into a new room of this user"
    )
    delete.add_argument("--name", default=NAME, metavar="TEXT", help="the name of the new room")
    delete.add_argument("--message", default=MESSAGE, metavar="TEXT", help="what is said in it")
    delete.set_defaults(run=run_delete)
    add_config_option(delete)


def run_why(options: argparse.Namespace) -> int:
    """List changes."""
    with offline(configuration_of(options)) as server:
        history = server.state_history.latest(
            options.room, options.type, options.state_key, max(1, options.limit)
        )
        for change in finished(history):
            print(_line(change))
    return 0


def run_delete(options: argparse.Namespace) -> int:
    """Have a room deleted."""
    wish = DeletionWish(
        block=options.block,
        purge=not options.keep,
        force_purge=options.force,
        new_room_user_id=options.move_to,
        room_name=options.name,
        message=options.message,
    )
    with offline(configuration_of(options)) as server:
        delete_id = finished(server.room_deletions.begin(options.room, _BY, wish))
    print(f"{options.room} will be deleted ({delete_id}): `homeserver room deletions` says how far that is")
    return 0


def run_deletions(options: argparse.Namespace) -> int:
    """Say how far deletions are."""
    with offline(configuration_of(options)) as server:
        for deletion in finished(server.room_deletions.of_room(options.room)):
            print(_progress(deletion))
    return 0


def run_block(options: argparse.Namespace) -> int:
    """Block a room, or open it again."""
    with offline(configuration_of(options)) as server:
        finished(server.room_deletions.block(options.room, _BY, options.blocked))
    print(f"{options.room} is {'blocked' if options.blocked else 'open'}")
    return 0


def _progress(deletion: Deletion) -> str:
    since = datetime.fromtimestamp(deletion.stage_ts / 1000, UTC)
    words = [f"{deletion.delete_id} {deletion.stage} since {since:%Y-%m-%d %H:%M:%S}:"]
    words.append(f"{len(deletion.left_users)} users left")
    if deletion.stayed_users:
        words.append(f"{len(deletion.stayed_users)} stayed")
    if deletion.new_room_id is not None:
        words.append(f"new room {deletion.new_room_id}")
    if deletion.error is not None:
        words.append(deletion.error)
    return f"{words[0]} {', '.join(words[1:])}"


def _line(change: StateHistoryRow) -> str:
    at = datetime.fromtimestamp(change.received_ts / 1000, UTC)
    entry = f"{change.type} {change.state_key}".rstrip()
    became = f"{change.current} of {change.sender}" if change.current else "nothing"
    instead = f", instead of {change.previous}" if change.previous else ""
    how = (
        "sent" if change.current == change.cause else f"resolved with {change.cause} of {change.cause_sender}"
    )
    return f"{at:%Y-%m-%d %H:%M:%S} {change.pos} {entry}: {became}{instead} ({how})"

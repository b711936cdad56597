"""`homeserver rebuild`: make what is derived of other data anew; the indexes by the server, in the background."""

import argparse
import sys

from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of

_LATER = "It is emptied now and filled again by the running server, or the next one that runs."


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("rebuild", help="make indexes and counts anew")
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    search = actions.add_parser(
        "search", help="the index of messages", description=f"Make the index of messages anew. {_LATER}"
    )
    search.set_defaults(run=run_search)
    directory = actions.add_parser(
        "user-directory",
        help="the directory of users",
        description=f"Make the directory of users anew. {_LATER}",
    )
    directory.set_defaults(run=run_user_directory)
    notifications = actions.add_parser(
        "notifications",
        help="what is unread of old messages",
        description="Mark messages from before the server counted what is unread. This is done here and now, and may "
        "be broken off and begun again. A running server has to be started anew to see all of it.",
    )
    notifications.set_defaults(run=run_notifications)
    for action in (search, directory, notifications):
        add_config_option(action)


def run_search(options: argparse.Namespace) -> int:
    """Let the messages be indexed anew."""
    with offline(configuration_of(options)) as server:
        finished(server.message_index.rebuild())
    print("the index of messages will be made anew")
    return 0


def run_user_directory(options: argparse.Namespace) -> int:
    """Let the directory be made anew."""
    with offline(configuration_of(options)) as server:
        finished(server.user_directory.rebuild())
    print("the directory of users will be made anew")
    return 0


def run_notifications(options: argparse.Namespace) -> int:
    """Mark what has no marks."""
    with offline(configuration_of(options)) as server:
        marked = finished(server.notability.run(lambda seen: print(f"{seen} events", file=sys.stderr)))
    print(f"{marked} events count now")
    return 0

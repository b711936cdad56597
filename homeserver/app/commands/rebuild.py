"""`homeserver rebuild`: have what is derived of other data made anew, by the server, in the background."""

import argparse

from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of

_LATER = "It is emptied now and filled again by the running server, or the next one that runs."


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("rebuild", help="make the indexes of searches anew")
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
    for action in (search, directory):
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

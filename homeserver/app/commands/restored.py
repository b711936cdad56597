"""`homeserver restored`: what has to be done once after the database was restored from a backup."""

import argparse

from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser(
        "restored",
        help="get a restored database ready",
        description="Get a database that was restored from a backup ready, before the server starts on it: forget the "
        "one-time keys that may have been given away since, and let other servers and this one tell each other anew "
        "which devices their users have.",
    )
    add_config_option(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    with offline(configuration_of(options)) as server:
        told = finished(server.restoration.restored())
    print("one-time keys are forgotten: clients upload new ones with their next sync")
    print(f"other servers will be told of the devices of {told} users, and asked for those of theirs")
    return 0

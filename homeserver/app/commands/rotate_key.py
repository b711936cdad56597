"""`homeserver rotate-key`: sign with a new key from the next start on."""

import argparse
import time

from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.options import Commands, add_config_option, configuration_of, duration
from homeserver.app.signing_key_file import SigningKeyUnusable, rotate_signing_key


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser(
        "rotate-key",
        help="replace the key that the server signs with",
        description="Replace the key that the server signs with, from its next start on. What the old one signed stays "
        "good: the server goes on publishing it, as one that signs no more. Restart every node within the time given.",
    )
    command.add_argument(
        "--restart-within",
        type=duration,
        metavar="TIME",
        default=duration("1h"),
        help="how long servers that run may go on signing with the old key: 10m, 1h (the default), 1d",
    )
    add_config_option(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replace the key."""
    path = configuration_of(options).signing_key_path
    try:
        before, new = rotate_signing_key(path, int(time.time() * 1000) + options.restart_within)
    except SigningKeyUnusable as error:
        raise CommandFailed(str(error)) from error
    print(f"{path} has {new.key_id} now; {before.key_id} is in {path}.old: keep copies of both files")
    print(
        "restart the server: it signs with the old key until then, which others believe for the time given only"
    )
    return 0

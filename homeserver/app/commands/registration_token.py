"""`homeserver registration-token`: make, list and delete the tokens by which people may register."""

import argparse
from datetime import UTC, datetime

from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of, duration
from homeserver.services.registration_tokens import RegistrationToken


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("registration-token", help="let people register")
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a token", description="Make a token and print it.")
    create.add_argument("token", nargs="?", help="the token (default: a random one)")
    create.add_argument(
        "--uses", type=int, metavar="N", help="how many accounts it is good for (default: any number)"
    )
    create.add_argument(
        "--valid-for", type=duration, metavar="TIME", help="30m, 12h, 7d (default: without end)"
    )
    create.set_defaults(run=run_create)
    delete = actions.add_parser("delete", help="delete a token", description="Delete a token.")
    delete.add_argument("token")
    delete.set_defaults(run=run_delete)
    listing = actions.add_parser("list", help="list tokens", description="List all tokens.")
    listing.set_defaults(run=run_list)
    for action in (create, delete, listing):
        add_config_option(action)


def run_create(options: argparse.Namespace) -> int:
    """Make a token."""
    with offline(configuration_of(options)) as server:
        token = finished(server.registration_tokens.create(options.token, options.uses, options.valid_for))
    print(token)
    return 0


def run_delete(options: argparse.Namespace) -> int:
    """Delete a token."""
    with offline(configuration_of(options)) as server:
        finished(server.registration_tokens.delete(options.token))
    print(f"deleted {options.token}")
    return 0


def run_list(options: argparse.Namespace) -> int:
    """List tokens, one a line."""
    with offline(configuration_of(options)) as server:
        for token in finished(server.registration_tokens.all()):
            print(_described(token))
    return 0


def _described(token: RegistrationToken) -> str:
    uses = f"{token.completed} of {token.uses_allowed or 'any number of'} uses"
    if token.expires_ts is None:
        return f"{token.token}  {uses}"
    return f"{token.token}  {uses}, until {datetime.fromtimestamp(token.expires_ts / 1000, UTC):%Y-%m-%d %H:%M} UTC"

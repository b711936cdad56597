"""`homeserver user`: make accounts, list them, change passwords. Works while the server runs, and while it does not."""

import argparse
import getpass
import sys
from collections.abc import Iterator

from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.offline import Offline, finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from homeserver.services.accounts import Account, NewAccount

_PAGE = 1000


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("user", help="make accounts, list them, change passwords")
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = actions.add_parser(
        "create", help="make an account", description="Make an account. " + _PASSWORDS
    )
    create.add_argument("name", help="what stands between @ and the colon: alice")
    create.add_argument("--admin", action="store_true", help="make it an administrator of this server")
    create.set_defaults(run=run_create)
    password = actions.add_parser(
        "password", help="change a password", description="Change a password. " + _PASSWORDS
    )
    password.add_argument("name", help="the user: alice or @alice:example.org")
    password.add_argument("--keep-sessions", action="store_true", help="leave the user logged in")
    password.set_defaults(run=run_password)
    listing = actions.add_parser("list", help="list accounts", description="List all accounts.")
    listing.set_defaults(run=run_list)
    for action in (create, password, listing):
        add_config_option(action)


_PASSWORDS = (
    "The password is asked for, or read from the first line of standard input if that is no terminal."
)


def run_create(options: argparse.Namespace) -> int:
    """Make an account."""
    with offline(configuration_of(options)) as server:
        user_id = finished(server.accounts.available_user_id(options.name))
        account = NewAccount(user_id, _password(), is_admin=options.admin)
        finished(server.accounts.create(account))
    print(f"made {user_id}{', an administrator' if options.admin else ''}")
    return 0


def run_password(options: argparse.Namespace) -> int:
    """Change a password."""
    with offline(configuration_of(options)) as server:
        account = finished(server.accounts.named(options.name))
        if account is None:
            raise CommandFailed(f"there is no user {options.name}")
        finished(
            server.accounts.set_password(account.user_id, _password(), log_out=not options.keep_sessions)
        )
    print(f"changed the password of {account.user_id}")
    return 0


def run_list(options: argparse.Namespace) -> int:
    """List accounts, one a line."""
    with offline(configuration_of(options)) as server:
        for account in _all(server):
            print(" ".join([account.user_id, *_marks(account)]))
    return 0


def _all(server: Offline) -> Iterator[Account]:
    after = ""
    while page := finished(server.accounts.page(after, _PAGE)):
        yield from page
        after = page[-1].user_id


def _marks(account: Account) -> list[str]:
    marks = {
        "admin": account.is_admin,
        "guest": account.is_guest,
        "locked": account.locked,
        "suspended": account.suspended,
        "deactivated": account.deactivated,
        "without-password": account.password_hash is None and not account.deactivated,
    }
    return [name for name, is_so in marks.items() if is_so]


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise CommandFailed("the two passwords differ")
    return password

"""`homeserver run`: serve."""

import argparse
import sys

from config.config import Config
from homeserver.app.allocator import return_freed_memory
from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from homeserver.app.logs import configure_logs
from homeserver.app.main import Server
from homeserver.app.signing_key_file import SigningKeyUnusable, read_or_make_key_files
from homeserver.http.listeners import CannotListen
from storage.unusable import Unusable


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("run", help="run the server", description=__doc__)
    add_config_option(command)
    command.add_argument(
        "--server-name",
        metavar="NAME",
        help="the name of a server without a configuration (default: localhost)",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    return_freed_memory()
    config = configuration_of(options)
    configure_logs(config.log)
    try:
        keys = read_or_make_key_files(config.signing_key_path)
    except SigningKeyUnusable as error:
        raise CommandFailed(str(error)) from error
    from twisted.internet import reactor

    try:
        return Server(config, keys, reactor, _Banner(config).listening).run()
    except CannotListen as error:
        raise CommandFailed(
            f"{error} (`homeserver doctor` says more; `listeners` in the configuration names other addresses)"
        ) from error
    except Unusable as error:
        raise CommandFailed(str(error)) from error


class _Banner:
    """Tells a person on a terminal where the server is and what to do next."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._shown = False

    def listening(self, address: str) -> None:
        """Called for each address that is listened on."""
        print(f"Meridian listens on {address}", file=sys.stderr)
        if not self._shown:
            self._shown = True
            print(
                _NEXT.format(name=self._config.server_name, url=self._config.public_baseurl), file=sys.stderr
            )


_NEXT = """
  This is the Matrix server {name}.
  Make the first user:   homeserver user create NAME --admin
  Then open a client (Element, Cinny, FluffyChat, ...), choose "other server" and type {url}
  Ctrl-C stops the server.
"""

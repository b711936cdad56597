"""`homeserver check-config`: whether the configuration is right, and what it amounts to."""

import argparse

from config.config import Config
from config.listeners import Listener, address_of
from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from homeserver.app.signing_key_file import SigningKeyUnusable, read_signing_key


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser(
        "check-config",
        help="say whether the configuration is right",
        description="Say whether the configuration is right, or what is wrong in which line. Changes nothing.",
    )
    add_config_option(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read the configuration and what it names, and print what the server would do with it."""
    config = configuration_of(options)
    print("The configuration is right.")
    for name, value in _summary(config):
        print(f"  {name:<12} {value}")
    return 0


def _summary(config: Config) -> list[tuple[str, str]]:
    postgresql = (
        "the one it names" if config.database.dsn else f"its own, in {config.data_dir / 'postgresql'}"
    )
    return [
        ("server name", config.server_name),
        ("clients use", config.public_baseurl),
        *(("listens on", _described(listener)) for listener in config.listeners),
        ("PostgreSQL", postgresql),
        ("signing key", _described_key(config)),
        ("accounts", f"registration is {config.registration.mode}"),
        ("federation", "on" if config.federation.enabled else "off"),
    ]


def _described(listener: Listener) -> str:
    protocol = "https" if listener.tls else "http"
    return f"{address_of(listener)} ({protocol}): {', '.join(listener.serves)}"


def _described_key(config: Config) -> str:
    path = config.signing_key_path
    if not path.exists():
        return f"{path}, to be made at the first start"
    try:
        return f"{path} ({read_signing_key(path).key_id})"
    except SigningKeyUnusable as error:
        raise CommandFailed(str(error)) from error

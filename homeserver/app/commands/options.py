"""Options that several commands share."""

import argparse
from pathlib import Path
from typing import TypeAlias

from config.config import Config
from config.loading import defaults, load
from config.values import parse_duration

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEFAULT_FILE = Path("homeserver.yaml")


def add_config_option(command: argparse.ArgumentParser, *, also_before: bool = False) -> None:
    """Let the command take `-c FILE`. ``also_before``: the command above it takes it too."""
    command.add_argument(
        "-c",
        "--config",
        type=Path,
        default=argparse.SUPPRESS if also_before else None,
        metavar="FILE",
        help=f"the configuration (default: {DEFAULT_FILE} in the working directory, if it is there)",
    )


def configuration_of(options: argparse.Namespace) -> Config:
    """Return the configuration that a command is to work with. Raises ConfigError.

    That is the named file, else the default file, else the defaults for the server name of `--server-name`.
    """
    path: Path | None = options.config
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    if path is not None:
        return load(path)
    return defaults(getattr(options, "server_name", None) or "localhost")


def duration(text: str) -> int:
    """Milliseconds of an option's value such as 30m, 12h or 7d."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error

"""`homeserver init`: a configuration to begin with, and the server's signing key."""

import argparse
from pathlib import Path

from config.documentation import example
from config.errors import ConfigError
from config.loading import parse
from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.options import DEFAULT_FILE, Commands
from homeserver.app.signing_key_file import SigningKeyUnusable, make_signing_key, read_signing_key


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser(
        "init",
        help="write a commented configuration and a signing key",
        description="Write a commented configuration and a signing key. Nothing that is there is overwritten.",
    )
    command.add_argument(
        "--server-name",
        required=True,
        metavar="NAME",
        help="what stands after the colon in user IDs, for good: example.org",
    )
    command.add_argument(
        "-c",
        "--config",
        type=Path,
        default=DEFAULT_FILE,
        metavar="FILE",
        help="the file to write (default: %(default)s); the data will be in `data` beside it",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write both files and say what comes next."""
    path: Path = options.config
    text = example(options.server_name)
    try:
        config = parse(text, path.absolute().parent)
    except ConfigError as error:
        raise ConfigError(error.problem, key="--server-name") from error
    if path.exists():
        raise CommandFailed(f"{path} is there already; it was left as it is")
    print(_signing_key(config.signing_key_path))
    _write(path, text)
    print(f"wrote {path}: read it, change what you like")
    print(f"next: homeserver run -c {path}")
    return 0


def _signing_key(path: Path) -> str:
    """Make the key, or take the one that is there: an identity is not thrown away."""
    try:
        if path.exists():
            return f"kept the signing key {path} ({read_signing_key(path).key_id})"
        return f"made the signing key {path} ({make_signing_key(path).key_id}): keep a copy of it"
    except SigningKeyUnusable as error:
        raise CommandFailed(str(error)) from error


def _write(path: Path, text: str) -> None:
    """Write a new file that others cannot read: it may come to hold secrets."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}") from error

"""The command `homeserver`. Each subcommand is a module of `homeserver/app/commands`.

A command's module has `add_to(commands)`, which describes its options and sets `run` to a function that takes the
parsed arguments and returns the exit status: 0 done, 1 failed, 2 wrongly used or configured.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from config.errors import ConfigError
from homeserver.app.commands import (
    check_config,
    doctor,
    federation,
    init,
    media,
    migrate,
    rebuild,
    registration_token,
    restored,
    room,
    rotate_key,
    run,
    user,
)
from homeserver.app.commands.failure import CommandFailed

COMMANDS = (
    init,
    run,
    check_config,
    migrate,
    doctor,
    federation,
    user,
    registration_token,
    restored,
    room,
    rotate_key,
    media,
    rebuild,
)

FAILED = 1
WRONGLY_USED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (the process's own by default) and return its exit status."""
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except ConfigError as error:
        return _complain(error, WRONGLY_USED)
    except CommandFailed as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", FAILED)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="homeserver", description="Meridian, a Matrix homeserver.")
    top.add_argument("--version", action="version", version=f"Meridian {version('meridian-homeserver')}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return top


def _complain(problem: object, status: int) -> int:
    print(f"homeserver: {problem}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

"""The command `homeserver`. Each subcommand is a module of `homeserver/app/commands`.

A command's module has `add_to(commands)`, which describes its options and sets `run` to a function that takes the
parsed arguments and returns the exit status: 0 done, 1 failed, 2 wrongly used or configured.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from config.errors import ConfigError
from homeserver.app.commands.failure import CommandFailed
from homeserver.app.version import VERSION

COMMANDS = (
    "init",
    "run",
    "check-config",
    "migrate",
    "doctor",
    "federation",
    "user",
    "registration-token",
    "restored",
    "room",
    "rotate-key",
    "media",
    "rebuild",
)
"""In the order of the help; `-` stands for `_` in the module's name."""

FAILED = 1
WRONGLY_USED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (the process's own by default) and return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parser(_needed(words)).parse_args(words)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except ConfigError as error:
        return _complain(error, WRONGLY_USED)
    except CommandFailed as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", FAILED)


def parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return a parser that knows these commands."""
    top = argparse.ArgumentParser(prog="homeserver", description="Meridian, a Matrix homeserver.")
    top.add_argument("--version", action="version", version=f"Meridian {VERSION}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in names:
        import_module(f"homeserver.app.commands.{name.replace('-', '_')}").add_to(commands)
    return top


def _needed(words: Sequence[str]) -> Iterable[str]:
    """The command that is called, as a server need not hold in memory what the others do; all for who needs help."""
    return words[:1] if words and words[0] in COMMANDS else COMMANDS


def _complain(problem: object, status: int) -> int:
    print(f"homeserver: {problem}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

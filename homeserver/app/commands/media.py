"""`homeserver media`: look after files that users uploaded. Works while the server runs, and while it does not."""

import argparse

from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import parse_media_id, parse_server_name
from homeserver.services.media.model import MediaName

_SCHEME = "mxc://"


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("media", help="check, delete and quarantine uploaded files")
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="compare what is on record with the files that there are",
        description="Compare what is on record with the files that there are; the exit status is 1 if they differ.",
    )
    check.add_argument("--read", action="store_true", help="read every file and compare its hash")
    check.add_argument(
        "--delete-strays",
        action="store_true",
        help="delete files that nothing on record names (not while uploading)",
    )
    check.set_defaults(run=run_check)
    delete = actions.add_parser("delete", help="delete a file", description="Delete what an address names.")
    delete.set_defaults(run=run_delete)
    quarantine = actions.add_parser(
        "quarantine",
        help="keep a file from everybody",
        description="Keep a file from everybody, under every address that the same bytes have.",
    )
    quarantine.set_defaults(run=run_quarantine)
    release = actions.add_parser("release", help="undo `quarantine`", description="Undo `quarantine`.")
    release.set_defaults(run=run_release)
    sweep = actions.add_parser(
        "sweep",
        help="delete what nothing needs any more",
        description="Delete what nothing needs any more; the server does that by itself every ten minutes.",
    )
    sweep.set_defaults(run=run_sweep)
    for action in (delete, quarantine, release):
        action.add_argument("uri", help="mxc://server/media_id")
    for action in (check, delete, quarantine, release, sweep):
        add_config_option(action)


def run_check(options: argparse.Namespace) -> int:
    """Compare, and say what differs, one file a line."""
    with offline(configuration_of(options)) as server:
        problems = finished(server.media.checking.contents(read=options.read))
        strays = finished(server.media.checking.strays())
        for problem in (*problems, *strays):
            print(f"{problem.kind}: {problem.file}")
        if options.delete_strays:
            finished(server.media.checking.delete_strays(strays))
            print(f"deleted {len(strays)} files")
            strays = []
    if not problems and not strays:
        print("all files are as they should be")
    return 1 if problems or strays else 0


def run_delete(options: argparse.Namespace) -> int:
    """Delete what an address names."""
    with offline(configuration_of(options)) as server:
        finished(server.media.retention.delete(_name(options.uri)))
    print(f"deleted {options.uri}; its bytes go within the hour unless something else needs them")
    return 0


def run_quarantine(options: argparse.Namespace) -> int:
    """Keep content from everybody."""
    with offline(configuration_of(options)) as server:
        count = finished(server.media.retention.quarantine(_name(options.uri), "command line"))
    print(f"nobody gets {options.uri} any more ({count} addresses)")
    return 0


def run_release(options: argparse.Namespace) -> int:
    """Let go of it."""
    with offline(configuration_of(options)) as server:
        count = finished(server.media.retention.quarantine(_name(options.uri), None))
    print(f"released {options.uri} ({count} addresses)")
    return 0


def run_sweep(options: argparse.Namespace) -> int:
    """Do what the server does from time to time."""
    with offline(configuration_of(options)) as server:
        forgotten = finished(server.media.retention.shrink())
        deleted = finished(server.media.library.sweep())
    print(f"forgot {forgotten} copies, deleted {deleted} files")
    return 0


def _name(uri: str) -> MediaName:
    server, _, media_id = uri.removeprefix(_SCHEME).partition("/")
    try:
        return MediaName(parse_server_name(server), parse_media_id(media_id))
    except InvalidParam as error:
        raise CommandFailed(f"{uri} is no mxc://server/media_id: {error.message}") from error

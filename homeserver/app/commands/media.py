"""`homeserver media`: look after files that users uploaded. Works while the server runs, and while it does not."""

import argparse

from homeserver.app.commands import media_quarantine
from homeserver.app.commands.media_target import name_of, room, shown_size, size, user
from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of, duration
from homeserver.app.wiring_media import MediaTools
from homeserver.protocol.identifiers import UserID, server_of
from homeserver.services.media.inventory import MOST_ROWS, Page, Period, Uploaded
from homeserver.services.media.retention import Unwanted

_GOES = "bytes go within the hour unless something else needs them"


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("media", help="look after uploaded files: check, list, delete, quarantine")
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_check(actions)
    _add_looking(actions)
    _add_deleting(actions)
    media_quarantine.add_to(actions)
    sweep = actions.add_parser(
        "sweep",
        help="delete what nothing needs any more",
        description="Delete what nothing needs any more; the server does that by itself every ten minutes.",
    )
    sweep.set_defaults(run=run_sweep)
    add_config_option(sweep)


def run_check(options: argparse.Namespace) -> int:
    """Compare, and say what differs, one file a line."""
    with offline(configuration_of(options)) as server:
        problems = finished(server.media.checking.contents(read=options.read))
        strays = finished(server.media.checking.strays())
        for problem in (*problems, *strays):
            print(f"{problem.kind}: {problem.file}")
        if options.delete_strays:
            finished(server.media.checking.delete_strays(strays))
            left = finished(server.media.checking.delete_unfinished(problems))
            print(f"deleted {len(strays) + len(problems) - len(left)} files")
            problems, strays = left, []
    if not problems and not strays:
        print("all files are as they should be")
    return 1 if problems or strays else 0


def run_list(options: argparse.Namespace) -> int:
    """List what a user uploaded, the newest first, or what the events of a room show."""
    with offline(configuration_of(options)) as server:
        inventory = server.media.inventory
        if options.room is not None:
            for names in finished(inventory.in_room(options.room)):
                for name in names:
                    print(name)
            return 0
        page = Page(limit=options.limit, down=True)
        files, total = finished(inventory.of_user(options.user, "created_ts", page))
    for each in files:
        print(_line(options.user, each))
    if len(files) < total:
        print(f"and {total - len(files)} older ones")
    return 0


def run_usage(options: argparse.Namespace) -> int:
    """Tell how much users have uploaded, who has most first."""
    with offline(configuration_of(options)) as server:
        page = Page(limit=options.limit, down=True)
        users, total = finished(server.media.inventory.usage("", Period(), "media_length", page))
    for each in users:
        print(f"{each.user_id} {each.files} files, {shown_size(each.bytes)}")
    if len(users) < total:
        print(f"and {total - len(users)} users with less")
    return 0


def run_delete(options: argparse.Namespace) -> int:
    """Delete what an address names, what a user uploaded, or what nobody wanted for long."""
    with offline(configuration_of(options)) as server:
        media = server.media
        if options.uri is not None:
            finished(media.retention.delete(name_of(options.uri)))
            print(f"deleted {options.uri}; its {_GOES}")
            return 0
        if options.user is not None:
            count = _delete_of_user(media, options.user)
        else:
            before = media.clock.now_ms() - options.unused_for
            unwanted = Unwanted(before, options.larger_than, keep_avatars=not options.avatars_too)
            count = len(finished(media.retention.delete_unwanted(unwanted)))
    print(f"deleted {count} files; their {_GOES}")
    return 0


def run_forget(options: argparse.Namespace) -> int:
    """Forget copies of other servers' files."""
    with offline(configuration_of(options)) as server:
        before = server.media.clock.now_ms() - options.unused_for
        count = finished(server.media.retention.forget_copies(before))
    print(f"forgot {count} copies; their {_GOES}")
    return 0


def run_sweep(options: argparse.Namespace) -> int:
    """Do what the server does from time to time."""
    with offline(configuration_of(options)) as server:
        forgotten = finished(server.media.retention.shrink())
        deleted = finished(server.media.library.sweep())
    print(f"forgot {forgotten} addresses, deleted {deleted} files")
    return 0


def _add_check(actions: Commands) -> None:
    check = actions.add_parser(
        "check",
        help="compare what is on record with the files that there are",
        description="Compare what is on record with the files that there are; the exit status is 1 if they differ.",
    )
    check.add_argument("--read", action="store_true", help="read every file and compare its hash")
    check.add_argument(
        "--delete-strays",
        action="store_true",
        help="delete files that nothing on record names, and uploads that a crash cut off (not while uploading)",
    )
    check.set_defaults(run=run_check)
    add_config_option(check)


def _add_looking(actions: Commands) -> None:
    listing = actions.add_parser(
        "list",
        help="list what a user uploaded or what a room shows",
        description="List what a user uploaded, the newest first, or what the events of a room show as far as they "
        "are not encrypted.",
    )
    whose = listing.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", type=user, metavar="@NAME:SERVER", help="what this user uploaded")
    whose.add_argument("--room", type=room, metavar="!ROOM", help="what the events of this room show")
    listing.set_defaults(run=run_list)
    usage = actions.add_parser(
        "usage",
        help="tell how much users have uploaded",
        description="Tell how much users have uploaded, who has most first.",
    )
    usage.set_defaults(run=run_usage)
    for action in (listing, usage):
        action.add_argument(
            "--limit", type=int, default=100, metavar="N", help="so many lines (default: 100)"
        )
        add_config_option(action)


def _add_deleting(actions: Commands) -> None:
    delete = actions.add_parser(
        "delete",
        help="delete files",
        description="Delete what an address names, what a user uploaded, or what nobody wanted for long.",
    )
    which = delete.add_mutually_exclusive_group(required=True)
    which.add_argument("uri", nargs="?", help="mxc://server/media_id")
    which.add_argument("--user", type=user, metavar="@NAME:SERVER", help="all that this user uploaded")
    which.add_argument(
        "--unused-for",
        type=duration,
        metavar="TIME",
        help="our users' files that nobody downloaded for so long (365d), but for protected ones",
    )
    delete.add_argument(
        "--larger-than",
        type=size,
        default=-1,
        metavar="SIZE",
        help="with --unused-for: only larger ones (10MB)",
    )
    delete.add_argument(
        "--avatars-too", action="store_true", help="with --unused-for: also avatars of users and rooms"
    )
    delete.set_defaults(run=run_delete)
    forget = actions.add_parser(
        "forget-copies",
        help="forget copies of other servers' files",
        description="Forget copies of other servers' files; they are fetched again when somebody wants them.",
    )
    forget.add_argument(
        "--unused-for",
        type=duration,
        required=True,
        metavar="TIME",
        help="that nobody used for so long (30d)",
    )
    forget.set_defaults(run=run_forget)
    for action in (delete, forget):
        add_config_option(action)


def _delete_of_user(media: MediaTools, user_id: UserID) -> int:
    count = 0
    while files := finished(media.inventory.of_user(user_id, "created_ts", Page(limit=MOST_ROWS)))[0]:
        count += len(finished(media.retention.delete_ours([each.media_id for each in files])))
    return count


def _line(user_id: UserID, each: Uploaded) -> str:
    described = [each.content_type, shown_size(each.size)]
    if each.quarantined_by is not None:
        described.append(f"in quarantine by {each.quarantined_by}")
    if each.protected:
        described.append("protected")
    return f"mxc://{server_of(user_id)}/{each.media_id} {', '.join(described)}"

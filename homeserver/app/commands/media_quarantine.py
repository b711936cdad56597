"""`homeserver media quarantine` and its relatives."""

import argparse

from homeserver.app.commands.media_target import name_of, room, sha256, user
from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of

_BY = "command line"


def add_to(actions: Commands) -> None:
    """Describe the actions."""
    quarantine = actions.add_parser(
        "quarantine",
        help="keep files from everybody",
        description="Keep bytes from everybody, under every address that they have, and let nobody upload them again.",
    )
    release = actions.add_parser("release", help="undo `quarantine`", description="Undo `quarantine`.")
    for action, run in ((quarantine, run_quarantine), (release, run_release)):
        which = action.add_mutually_exclusive_group(required=True)
        which.add_argument("uri", nargs="?", help="mxc://server/media_id")
        which.add_argument("--sha256", type=sha256, metavar="HEX", help="bytes with this hash")
        if action is quarantine:
            which.add_argument(
                "--user", type=user, metavar="@NAME:SERVER", help="all that this user uploaded"
            )
            which.add_argument("--room", type=room, metavar="!ROOM", help="what the events of this room show")
        action.set_defaults(run=run)
        add_config_option(action)
    for name, protected in (("protect", True), ("unprotect", False)):
        action = actions.add_parser(
            name,
            help="let a file stay out of quarantine" if protected else "undo `protect`",
            description="Let a file stay out of quarantine, and when others are deleted."
            if protected
            else "Undo `protect`.",
        )
        action.add_argument("uri", help="mxc://server/media_id")
        action.set_defaults(run=run_protect, protected=protected)
        add_config_option(action)


def run_quarantine(options: argparse.Namespace) -> int:
    """Keep content from everybody."""
    with offline(configuration_of(options)) as server:
        quarantine = server.media.quarantine
        if options.uri is not None:
            what, work = options.uri, quarantine.address(name_of(options.uri), _BY)
        elif options.sha256 is not None:
            what, work = options.sha256, quarantine.content(options.sha256, _BY)
        elif options.user is not None:
            what, work = f"what {options.user} uploaded", quarantine.user(options.user, _BY)
        else:
            what, work = f"what {options.room} shows", quarantine.room(options.room, _BY)
        count = finished(work)
    print(f"nobody gets {what} any more ({count} addresses)")
    return 0


def run_release(options: argparse.Namespace) -> int:
    """Let go of it."""
    with offline(configuration_of(options)) as server:
        quarantine = server.media.quarantine
        if options.uri is not None:
            count = finished(quarantine.release(name_of(options.uri)))
        else:
            count = finished(quarantine.release_content(options.sha256))
    print(f"released {options.uri or options.sha256} ({count} addresses)")
    return 0


def run_protect(options: argparse.Namespace) -> int:
    """Let it stay out of quarantine, or not any more."""
    with offline(configuration_of(options)) as server:
        finished(server.media.quarantine.protect(name_of(options.uri), options.protected))
    print(f"{options.uri} is {'' if options.protected else 'not '}protected")
    return 0

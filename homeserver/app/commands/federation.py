"""`homeserver federation check SERVER`: whether another server can be reached, and how this one stands with it."""

import argparse
import logging
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from config.config import Config
from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from homeserver.app.doctor.findings import Report
from homeserver.app.doctor.other_server import build_other_server, standing_findings
from homeserver.app.outside import real_outside
from homeserver.app.runtime import ReactorClock, SystemRandomness
from homeserver.protocol.identifiers import ServerName
from homeserver.services.destination_standing import Standing


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser("federation", help="look at other servers")
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="say whether another server can be reached",
        description="Find another server as this one does, step by step, and say how this one stands with it: a line "
        "for each finding. Changes nothing. Ends with status 1 if something does not work.",
    )
    check.add_argument(
        "server", metavar="SERVER", help="its name: what stands after the colon in its users' IDs"
    )
    check.set_defaults(run=run_check)
    add_config_option(check)


def run_check(options: argparse.Namespace) -> int:
    """Ask, and print what is found."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    config, server = configuration_of(options), ServerName(options.server)
    report = Report()
    _ask(server, config, report)
    with offline(config) as here:
        standing: Standing = finished(here.standing.of(server))
    from twisted.internet import reactor

    running: Any = reactor
    for finding in standing_findings(standing, ReactorClock(running).now_ms()):
        report.tell(finding)
    return report.end()


def _ask(server: ServerName, config: Config, report: Report) -> None:
    from twisted.internet import reactor

    running: Any = reactor
    failures: list[Failure] = []

    async def ask() -> None:
        asking = build_other_server(
            server, config, real_outside(running), ReactorClock(running), SystemRandomness()
        )
        try:
            async for finding in asking.check():
                report.tell(finding)
        finally:
            await asking.close()

    def start() -> None:
        _ = Deferred.fromCoroutine(ask()).addErrback(failures.append).addBoth(lambda _: running.stop())

    running.callWhenRunning(start)
    running.run()
    for failure in failures:
        error: object = failure.value
        if isinstance(error, ValueError | OSError):
            raise CommandFailed(f"federation.ca_file: {error}")
        failure.raiseException()

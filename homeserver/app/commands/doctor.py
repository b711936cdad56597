"""`homeserver doctor`: what is wrong with a server, and how to mend it."""

import argparse
import logging
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from config.config import Config
from config.errors import ConfigError
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from homeserver.app.doctor.examination import examine_from_outside, examine_here, not_running
from homeserver.app.doctor.findings import Report, fail
from homeserver.app.outside import real_outside
from homeserver.app.runtime import ReactorClock, SystemRandomness


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser(
        "doctor",
        help="say what is wrong and how to mend it",
        description="Examine the configuration, the database and the server that runs, from this machine and as others "
        "find it: a line for each finding. Changes nothing. Ends with status 1 if something does not work.",
    )
    add_config_option(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine, and print what is found."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = Report()
    try:
        config = configuration_of(options)
    except ConfigError as error:
        report.tell(fail("config", str(error), "docs/reference/config.md explains every key"))
        return report.end()
    from twisted.internet import reactor

    running: Any = reactor
    clock = ReactorClock(running)
    if examine_here(config, clock, report.tell):
        _ask_from_outside(config, running, clock, report)
    else:
        report.tell(not_running())
    return report.end()


def _ask_from_outside(config: Config, reactor: Any, clock: ReactorClock, report: Report) -> None:
    """Run the reactor until all is told. Raises what went wrong."""
    failures: list[Failure] = []

    def start() -> None:
        outside = real_outside(reactor)
        asking = Deferred.fromCoroutine(
            examine_from_outside(config, outside, clock, SystemRandomness(), report.tell)
        )
        _ = asking.addErrback(failures.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run()
    for failure in failures:
        failure.raiseException()

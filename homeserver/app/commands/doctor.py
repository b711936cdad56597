"""`homeserver doctor`: what is wrong with a server, and how to mend it."""

import argparse
import logging
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from config.config import Config
from config.errors import ConfigError
from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.offline import finished, offline
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from homeserver.app.doctor.encryption import encryption_findings
from homeserver.app.doctor.examination import examine_from_outside, examine_here, not_running
from homeserver.app.doctor.findings import Report, fail, ok, warn
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
    parts = command.add_subparsers(title="what to look at instead", metavar="PART")
    e2ee = parts.add_parser(
        "e2ee",
        help="the end-to-end encryption of a user",
        description="Say how the end-to-end encryption of a user stands: devices and their keys, cross-signing, "
        "backup, messages that wait, and what other servers owe and are owed. Changes nothing.",
    )
    e2ee.add_argument("user", metavar="USER", help="alice or @alice:example.org")
    add_config_option(e2ee, also_before=True)
    e2ee.set_defaults(run=run_e2ee)


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


def run_e2ee(options: argparse.Namespace) -> int:
    """Look at one user, and print what is found."""
    from twisted.internet import reactor

    running: Any = reactor
    with offline(configuration_of(options)) as server:
        account = finished(server.accounts.named(options.user))
        if account is None:
            raise CommandFailed(f"there is no user {options.user}")
        standing = finished(server.encryption.of(account.user_id))
    report = Report()
    report.tell(
        warn("account", f"{account.user_id} is deactivated")
        if account.deactivated
        else ok("account", account.user_id)
    )
    for finding in encryption_findings(standing, ReactorClock(running).now_ms()):
        report.tell(finding)
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

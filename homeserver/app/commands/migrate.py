"""`homeserver migrate`: bring the database's schema up to date, which the start of the server does too."""

import argparse
import logging
from datetime import UTC, datetime

import structlog

from homeserver.app.commands.failure import CommandFailed
from homeserver.app.commands.options import Commands, add_config_option, configuration_of
from storage.embedded import EmbeddedPostgres
from storage.migrate import Migration
from storage.preparation import prepare_database
from storage.unusable import Unusable


def add_to(commands: Commands) -> None:
    """Describe the command."""
    command = commands.add_parser(
        "migrate",
        help="bring the database's schema up to date",
        description="Bring the database's schema up to date. The start of the server does so too; this is for those "
        "who want it done before. Servers of the release before go on working on the new schema.",
    )
    add_config_option(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Apply what is missing, and tell each step."""
    config = configuration_of(options)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    embedded = None if config.database.dsn else EmbeddedPostgres(config.data_dir)
    try:
        dsn = embedded.start() if embedded else str(config.database.dsn)
        for warning in prepare_database(dsn, datetime.now(UTC), _tell):
            print(f"warning: {warning}")
    except Unusable as error:
        raise CommandFailed(str(error)) from error
    finally:
        if embedded:
            embedded.stop()
    print("the schema is up to date")
    return 0


def _tell(step: Migration, number: int, count: int) -> None:
    print(f"[{number}/{count}] {step.number:04} {step.name.replace('_', ' ')}", flush=True)

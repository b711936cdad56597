"""The examination: all checks in order, each of which may find several things."""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from config.config import Config
from homeserver.app.doctor.bus import check_bus
from homeserver.app.doctor.certificates import check_certificates
from homeserver.app.doctor.database import check_database
from homeserver.app.doctor.files import check_data_dir, check_settings, check_signing_key
from homeserver.app.doctor.findings import Finding, fail, warn
from homeserver.app.doctor.from_outside import build_from_outside
from homeserver.app.doctor.listening import check_listeners
from homeserver.app.outside import Outside
from homeserver.app.signing_key_file import SigningKeyUnusable, read_signing_key
from homeserver.clock import Clock, Randomness

Tell = Callable[[Finding], object]

log = structlog.get_logger(__name__)


def examine_here(config: Config, clock: Clock, tell: Tell) -> bool:
    """Look at what is on this machine, and tell each finding; gives whether the server runs. Blocks."""
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    for check in (check_settings, check_data_dir, check_signing_key):
        for finding in check(config):
            tell(finding)
    for finding in check_database(config, now):
        tell(finding)
    for finding in check_bus(config):
        tell(finding)
    for finding in check_certificates(config, now):
        tell(finding)
    listening = check_listeners(config)
    for finding in listening.findings:
        tell(finding)
    return listening.running


async def examine_from_outside(
    config: Config, outside: Outside, clock: Clock, random: Randomness, tell: Tell
) -> None:
    """Ask for the server as others do, and tell each finding. It has to run for that."""
    try:
        key = read_signing_key(config.signing_key_path)
        asking = build_from_outside(config, key, outside, clock, random)
    except SigningKeyUnusable:
        return  # this was told
    except (OSError, ValueError) as error:
        tell(fail("config", f"federation.ca_file: {error}", "name a PEM file of certificates"))
        return
    try:
        async for finding in asking.check():
            tell(finding)
    finally:
        await asking.close()


def not_running() -> Finding:
    """What stands for the second half where there is nobody to ask."""
    return warn(
        "outside",
        "the server does not run, so that .well-known and federation could not be tried",
        "run `homeserver doctor` again while it does",
    )

"""Mails about unread messages: on one node at a time, the one that holds the lease.

It takes no input: what waits, and when it is due, is in the database.
"""

from typing import Final

import structlog
from twisted.internet.defer import CancelledError

from homeserver.background.leased import LeasedWork
from homeserver.clock import Clock
from homeserver.services.push.mails import AT_ONCE, PushMails
from storage.leases import Lease, LeaseLost, Leases

log = structlog.get_logger(__name__)

LEASE: Final = "mails"
POLL_S: Final = 5.0
REST_S: Final = 0.05
"""Between two looks, so that who sends messages does not notice them."""
_RETRY_S: Final = 30.0
"""After a mail that the mail server did not take."""


class PushMailer:
    """Runs between `start` and `stop`."""

    def __init__(self, mails: PushMails, leases: Leases, clock: Clock) -> None:
        self._mails = mails
        self._clock = clock
        self._leased = LeasedWork(LEASE, leases, self._work)

    def start(self) -> None:
        """Begin."""
        self._leased.start()

    async def stop(self) -> None:
        """End; what is under way is done again later."""
        await self._leased.stop()

    async def _work(self, lease: Lease) -> None:
        while lease.held:
            await self._clock.sleep(await self._try(lease))

    async def _try(self, lease: Lease) -> float:
        """Look at who is to be looked at; how long to rest then."""
        try:
            return await self._step(lease)
        except CancelledError:
            raise
        except LeaseLost:
            return REST_S
        except Exception:
            log.exception("mails could not be looked at, and will be tried again")
            return _RETRY_S

    async def _step(self, lease: Lease) -> float:
        due = await self._mails.due()
        for pusher_id in due:
            if not lease.held:
                return 0.0
            await self._clock.sleep(REST_S)
            try:
                if not await self._mails.look(pusher_id, lease):
                    return _RETRY_S
            except (CancelledError, LeaseLost):
                raise
            except Exception:
                log.exception("a mail could not be written, and will be tried again", pusher=pusher_id)
                await self._mails.put_off(pusher_id)
        return REST_S if len(due) == AT_ONCE else POLL_S

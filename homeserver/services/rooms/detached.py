"""Work that goes on after the answer."""

from collections.abc import Coroutine
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

log = structlog.get_logger(__name__)


def detach(what: str, work: Coroutine[Any, Any, object], **details: object) -> None:
    """Start the work and let it run; a failure goes to the log."""

    def failed(failure: Failure) -> None:
        log.warning("work after the answer failed", work=what, error=repr(failure.value), **details)

    _ = Deferred.fromCoroutine(work).addErrback(failed)

"""Measurements that are looked up when Prometheus asks, of parts that know nothing of metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from federation.sender.sender import FederationSender
from homeserver.app.wiring_search import SearchArea
from homeserver.notifier import Notifier


def measure_when_asked(
    registry: CollectorRegistry, notifier: Notifier, sender: FederationSender, searches: SearchArea
) -> None:
    """Register what waits: for news here, for other servers to take it, and to be found."""
    _gauge(
        registry,
        "meridian_search_lag_positions",
        "Stream positions that the index of messages is behind",
        lambda: searches.index.lag,
    )
    _gauge(
        registry,
        "meridian_user_directory_lag_positions",
        "Stream positions that the directory of users is behind",
        lambda: searches.directory_upkeep.lag,
    )
    _gauge(registry, "meridian_sync_waiters", "Long polls that wait for news", lambda: len(notifier))
    _gauge(
        registry,
        "meridian_outbox_servers_behind",
        "Servers that have not had all they are owed",
        lambda: len(sender.lags()),
    )
    _gauge(
        registry,
        "meridian_outbox_lag_positions",
        "Stream positions that the server furthest behind still has to hear of",
        lambda: max(sender.lags(), default=0),
    )


def _gauge(registry: CollectorRegistry, name: str, text: str, value: Callable[[], float]) -> None:
    Gauge(name, text, registry=registry).set_function(value)

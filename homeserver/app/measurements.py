"""Measurements that are looked up when Prometheus asks, of parts that know nothing of metrics."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram

from federation.sender.sender import FederationSender
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.app.wiring_search import SearchArea
from homeserver.notifier import Notifier

DELIVERY_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


def measure_when_asked(
    registry: CollectorRegistry,
    notifier: Notifier,
    sender: FederationSender,
    searches: SearchArea,
    rooms: RoomsCore,
) -> None:
    """Register what waits (for news here, for other servers to take it, to be found), and what is odd."""
    _measure_rooms(registry, rooms)
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
    _time_deliveries(registry, notifier, sender)


def _measure_rooms(registry: CollectorRegistry, rooms: RoomsCore) -> None:
    _gauge(
        registry,
        "meridian_state_moves",
        "Entries of rooms' current state that were moved by resolution",
        lambda: rooms.state_moves.count,
    )
    _gauge(
        registry,
        "meridian_partial_rooms",
        "Rooms whose members this server was not told yet",
        lambda: len(rooms.partial),
    )
    _gauge(
        registry,
        "meridian_partial_rooms_age_seconds",
        "For how long the oldest of them is one",
        lambda: rooms.partial.age_s,
    )


def _gauge(registry: CollectorRegistry, name: str, text: str, value: Callable[[], float]) -> None:
    Gauge(name, text, registry=registry).set_function(value)


def _time_deliveries(registry: CollectorRegistry, notifier: Notifier, sender: FederationSender) -> None:
    """Time what comes to those who wait for it, and to other servers."""
    for name, text, party in (
        (
            "meridian_sync_delivery_seconds",
            "From news to the answer of a long poll that waited for it",
            notifier,
        ),
        (
            "meridian_federation_delivery_seconds",
            "From an event's commit until another server has it",
            sender,
        ),
    ):
        party.listen(Histogram(name, text, buckets=DELIVERY_SECONDS, registry=registry).observe)

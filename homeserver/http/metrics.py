"""What the server measures of itself, in the text format of Prometheus."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from homeserver.clock import Clock, Timer
from homeserver.http.authentication import no_auth
from homeserver.http.encoding import Response
from homeserver.http.endpoint import endpoint

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LAG_PERIOD: Final = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a site is doing now."""

    connections: int
    in_flight: int


class EndpointMetrics:
    """The measurements of one endpoint; children are looked up once, not for each request, and made by the first one:
    those of all endpoints are 1 MB and 7,000 lines of zeros.
    """

    __slots__ = ("_latencies", "_latency", "_name", "_requests", "_statuses")

    def __init__(self, name: str, requests: Counter, latencies: Histogram) -> None:
        self._name = name
        self._requests = requests
        self._latencies = latencies
        self._latency: Histogram | None = None
        self._statuses: dict[int, Counter] = {}

    def observe(self, status: int, seconds: float) -> None:
        """Count one answered request."""
        counter = self._statuses.get(status)
        if counter is None:
            counter = self._statuses[status] = self._requests.labels(self._name, str(status))
        counter.inc()
        if self._latency is None:
            self._latency = self._latencies.labels(self._name)
        self._latency.observe(seconds)


_without_created: Callable[[], None] = disable_created_metrics
_without_created()  # when a counter was made is of no use to anyone, and makes the page half as long again


class Metrics:
    """The registry, and the measurements of the HTTP machinery. Others register their own on `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "meridian_http_requests", "Answered requests", ("endpoint", "status"), registry=self.registry
        )
        self._latency = Histogram(
            "meridian_http_request_seconds",
            "Time from a request's last byte to its answer",
            ("endpoint",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._load: list[Callable[[], Load]] = []
        connections = Gauge("meridian_http_connections", "Open connections", registry=self.registry)
        connections.set_function(lambda: sum(load().connections for load in self._load))
        in_flight = Gauge(
            "meridian_http_requests_in_flight", "Requests being answered", registry=self.registry
        )
        in_flight.set_function(lambda: sum(load().in_flight for load in self._load))
        self.refused = Counter(
            "meridian_http_refused",
            "Requests and connections refused before an endpoint saw them",
            ("reason",),
            registry=self.registry,
        )
        self.reactor_lag = Histogram(
            "meridian_reactor_lag_seconds",
            "How late the reactor makes a call",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )

    def watch(self, load: Callable[[], Load]) -> None:
        """Ask a site for its load whenever the measurements are read."""
        self._load.append(load)

    def endpoint(self, name: str) -> EndpointMetrics:
        """Return the measurements of an endpoint."""
        return EndpointMetrics(name, self._requests, self._latency)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class ReactorLag:
    """Measures once a second how late the reactor comes to a call that was due."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._histogram = metrics.reactor_lag
        self._due = 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._due = self._clock.seconds() + _LAG_PERIOD
        self._timer = self._clock.call_later(_LAG_PERIOD, self._tick)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _tick(self) -> None:
        self._histogram.observe(max(0.0, self._clock.seconds() - self._due))
        self.start()


@dataclass(frozen=True, slots=True)
class MetricsApi:
    """The endpoint that Prometheus reads; a listener serves it only when its configuration says so."""

    metrics: Metrics

    @endpoint("GET", "/_meridian/metrics", "/metrics", auth=no_auth, spec="")
    async def read_metrics(self) -> Response:
        """Every measurement of this process."""
        content_type = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        return Response(200, (content_type,), self.metrics.render())

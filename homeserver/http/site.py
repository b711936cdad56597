"""Accepts connections of one listener and closes them in an orderly way. There is no tree of resources: requests go
straight to the router.
"""

# mypy: allow-untyped-calls
# Twisted's HTTPChannel has no annotations.

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory

from homeserver.clock import Clock, Timer
from homeserver.http.channel import Channel, ConnectionLimits
from homeserver.http.exchange import Serving
from homeserver.http.heads import Heads
from homeserver.http.metrics import Load, Metrics
from homeserver.http.pipeline import Pipeline, Prepared
from homeserver.http.router import Router

_SWEEP_PERIOD = 1.0  # seconds


class Site(ServerFactory):
    """The factory of a listener's connections."""

    noisy = False

    def __init__(
        self,
        router: Router[Prepared],
        pipeline: Pipeline,
        metrics: Metrics,
        clock: Clock,
        limits: ConnectionLimits | None = None,
        x_forwarded: bool = False,
    ) -> None:
        self._serving = Serving(router, pipeline, Heads(clock.now_ms), x_forwarded)
        self._metrics = metrics
        self._clock = clock
        self._limits = limits or ConnectionLimits()
        self._channels: set[Channel] = set()
        self._sweeper: Timer | None = None
        self._drained: Deferred[None] | None = None
        metrics.watch(self.load)

    def load(self) -> Load:
        """Return how many connections are open, and how many of them wait for an answer."""
        return Load(len(self._channels), sum(channel.busy for channel in self._channels))

    def buildProtocol(self, addr: IAddress | None) -> Channel | None:
        """Return the protocol of a new connection, or None to close it at once."""
        if self._serving.closing or len(self._channels) >= self._limits.max_connections:
            self._refused("too many connections")
            return None
        channel = Channel()
        channel.serving = self._serving
        channel.limits = self._limits
        channel.now = self._clock.seconds
        channel.lost = self._lost
        channel.refused = self._refused
        channel.factory = self
        self._channels.add(channel)
        if self._sweeper is None:
            self._sweeper = self._clock.call_later(_SWEEP_PERIOD, self._sweep)
        return channel

    async def close(self, grace: float) -> None:
        """Answer what was asked, then close every connection; after `grace` seconds at any rate.

        Long polls are only waited for here: whoever makes them wait has to make them answer.
        """
        self._serving.closing = True
        for channel in list(self._channels):
            if not channel.requests:
                channel.loseConnection()
        if self._channels:
            self._drained = Deferred()
            timer = self._clock.call_later(grace, self._cut)
            await self._drained
            if timer.active():
                timer.cancel()
        if self._sweeper is not None and self._sweeper.active():
            self._sweeper.cancel()
        self._sweeper = None

    def _cut(self) -> None:
        for channel in list(self._channels):
            for exchange in list(channel.requests):
                exchange.cancel()
            channel.transport.abortConnection()
        self._fire_drained()

    def _lost(self, channel: Channel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
        if self._serving.closing and not self._channels:
            self._fire_drained()

    def _fire_drained(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)

    def _refused(self, reason: str) -> None:
        self._metrics.refused.labels(reason).inc()

    def _sweep(self) -> None:
        now = self._clock.seconds()
        for channel in [each for each in self._channels if each.deadline <= now]:
            channel.expire()
        self._sweeper = self._clock.call_later(_SWEEP_PERIOD, self._sweep) if self._channels else None

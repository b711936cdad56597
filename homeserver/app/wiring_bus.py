"""Construction of the bus between nodes: Redis, if one is configured."""

from typing import Any

from config.config import Config
from homeserver.bus import Bus, OneNode
from homeserver.clock import Randomness


def build_bus(config: Config, reactor: Any, random: Randomness, node: str) -> Bus:
    """The bus. ``node`` is a name of this node that is new with each start."""
    if config.bus.redis is None:
        return OneNode()
    from homeserver.gateways.redis import RedisAddress, RedisBus

    address = RedisAddress(config.bus.redis, config.bus.username, config.bus.password)
    return RedisBus(reactor, address, f"{config.bus.prefix}:{config.server_name}", node, random)

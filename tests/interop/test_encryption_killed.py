"""Encryption by matrix-js-sdk with its Rust crypto while our servers are killed.

A campaign: `MERIDIAN_KILL_SEED=1 python -m pytest tests/interop/test_encryption_killed.py`, then other seeds, which
choose other moments for the kills.
"""

import os
import random
import time
from itertools import count

import pytest

from tests.harness.jssdk import Step, installed, watched
from tests.harness.process import HomeserverProcess

SEED = os.environ.get("MERIDIAN_KILL_SEED")
KILLS = 5
ROUNDS = 3
KILLED_STEPS = [
    "two people with two devices each are in an encrypted room",
    "they talk on",
    "each of them comes with a new device",
    "everything is read once on every device, and the backup has all of it",
    "a device that is removed is gone for the others",
]


@pytest.mark.skipif(SEED is None, reason="a campaign: MERIDIAN_KILL_SEED chooses the moments")
def test_nothing_becomes_undecryptable_when_servers_are_killed(pair: list[HomeserverProcess]) -> None:
    """`kill -9` of one or the other, at moments that follow from the seed."""
    chance = random.Random(int(SEED or 0))
    messages = ROUNDS * 4 + ROUNDS * 6
    fatal = set(chance.sample(range(messages), KILLS))
    passed = count()

    def kill(done: int) -> None:
        if done and next(passed) in fatal:
            time.sleep(chance.uniform(0, 0.1))
            server = chance.choice(pair)
            server.kill()
            server.start()

    steps = watched(installed(), *(each.url for each in pair), str(ROUNDS), script="killed.mjs", point=kill)
    assert steps == [Step(name, "") for name in KILLED_STEPS]
    assert next(passed) > messages

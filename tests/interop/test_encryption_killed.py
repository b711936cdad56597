"""Encryption by matrix-js-sdk with its Rust crypto while our servers are killed.

A short journey in every run, and a campaign: `MERIDIAN_KILL_SEED=1 python -m pytest THIS_FILE`, then other seeds, which
choose other moments for the kills. With `JSSDK_LOG=FILE` all that the clients ask and are told is written down.

Every device has to read everything that was sent to it, with one exception. A client that sends claims a one-time key
of each device with which it has no Olm session yet, and gives its server ten seconds for that. Where the other server
is away for longer, the answer names it under `failures`, and the client sends without: it says `m.room_key.withheld`
with `m.no_olm`. Our server asks again and again as long as it may wait; more it cannot do. So a device need not read an
event if it is on record that the sender's last claim for it failed like that, and that the sender had encrypted nothing
for it before (`recording.mjs`). No other loss is tolerated.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim
"""

import os
import random
import time
from itertools import count

from tests.harness.jssdk import Step, installed, session, watched
from tests.harness.process import HomeserverProcess

SEED = os.environ.get("MERIDIAN_KILL_SEED")
ROUNDS, KILLS = (1, 2) if SEED is None else (3, 5)
KILLED_STEPS = [
    "two people with two devices each are in an encrypted room",
    "they talk on",
    "each of them comes with a new device",
    "everything is read once on every device, and the backup has all of it",
    "a device that is removed is gone for the others",
]


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


def test_a_key_that_is_given_twice_must_not_come_in_one_answer() -> None:
    """Why `homeserver/protocol/device_messages.py` is there: what clients make of that, without any server."""
    steps = session(installed(), script="reshared.mjs")
    assert steps == [
        Step("in two answers both messages are read", ""),
        Step("in one answer the first message is lost", ""),
    ]

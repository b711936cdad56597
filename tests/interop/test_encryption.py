"""Encryption by other people's clients, across servers: two of ours, ours and a Synapse."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import nio
import pytest
from nio.event_builders import EnableEncryptionBuilder

from tests.harness.certificates import Authority
from tests.harness.jssdk import Step, installed, session
from tests.harness.nio import expect
from tests.harness.nio_secrets import SecretDevice
from tests.harness.process import HomeserverProcess, running
from tests.harness.synapse import SynapseProcess
from tests.interop.test_jssdk import ENCRYPTED_STEPS

_numbers = count(1)


@pytest.fixture(scope="module")
def synapse(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SynapseProcess]:
    """One that is not ours."""
    made = SynapseProcess(tmp_path_factory.mktemp("synapse"), authority)
    with running(made):
        yield made


def test_people_talk_in_secret_across_servers(pair: list[HomeserverProcess]) -> None:
    """With the Rust crypto of matrix-js-sdk."""
    steps = session(installed(), *(each.url for each in pair), script="encrypted.mjs")
    assert steps == [Step(name, "") for name in ENCRYPTED_STEPS]


def test_people_talk_in_secret_with_users_of_a_synapse(
    pair: list[HomeserverProcess], synapse: SynapseProcess
) -> None:
    """Who signs, verifies, backs up and restores is our user."""
    steps = session(installed(), pair[0].url, synapse.url, script="encrypted.mjs")
    assert steps == [Step(name, "") for name in ENCRYPTED_STEPS]


def test_users_of_a_synapse_talk_in_secret_with_ours(
    pair: list[HomeserverProcess], synapse: SynapseProcess
) -> None:
    """Who signs, verifies, backs up and restores is theirs."""
    steps = session(installed(), synapse.url, pair[0].url, script="encrypted.mjs")
    assert steps == [Step(name, "") for name in ENCRYPTED_STEPS]


@pytest.mark.parametrize("where", ["on one server", "on two servers", "with a Synapse"])
def test_people_talk_in_secret_with_nio(
    where: str, pair: list[HomeserverProcess], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    here, there = pair[0].url, pair[0].url
    if where == "on two servers":
        there = pair[1].url
    elif where == "with a Synapse":
        there = request.getfixturevalue("synapse").url
    asyncio.run(_secrets_of_nio(here, there, tmp_path))


async def _secrets_of_nio(here: str, there: str, folder: Path) -> None:
    number = next(_numbers)
    async with AsyncExitStack() as stack:

        async def opened(device: SecretDevice) -> SecretDevice:
            stack.push_async_callback(device.close)
            return device

        nora = await opened(await SecretDevice.new_user(here, f"nora-nio{number}", folder))
        nora2 = await opened(await nora.another())
        otto = await opened(await SecretDevice.new_user(there, f"otto-nio{number}", folder))
        otto2 = await opened(await otto.another())
        all_devices = (nora, nora2, otto, otto2)
        room = await _encrypted_room(nora, otto)
        for each in all_devices:
            await each.knows(*all_devices)
        await _chat(all_devices, room)
        await nora.verify(nora2)
        await otto.verify(nora)

        await otto2.close()
        await nora.say(room, "while you were away")
        otto2 = await opened(await otto2.again())
        await otto2.reads(room, "while you were away")

        nora3 = await opened(await nora.another())
        for each in (nora, otto, otto2):
            await each.knows(nora, nora2, nora3)
        await nora.hand_keys_to(nora3, folder / f"keys{number}")
        assert await nora3.history(room) == [*(f"secret {turn}" for turn in range(8)), "while you were away"]
        await otto.say(room, "welcome, new device")
        await nora3.reads(room, "welcome, new device")

        pia = await opened(await SecretDevice.new_user(here, f"pia-nio{number}", folder))
        expect(await nora.client.room_invite(room, pia.user_id), nio.RoomInviteResponse)
        await _accepted(pia, room)
        for each in (nora, otto):
            await each.knows(pia)
        await otto.say(room, "hello pia")
        await pia.reads(room, "hello pia")
        await otto2.log_out()
        for each in (nora, otto):
            await each.knows(otto)
        await nora.say(room, "without it")
        for each in (nora, nora2, nora3, otto, pia):
            await each.reads(room, "without it")
        for each in (nora, nora2, otto):
            texts = each.read(room)
            assert len(texts) == len(set(texts)) == 12
            assert each.sealed == []


async def _encrypted_room(nora: SecretDevice, otto: SecretDevice) -> str:
    made = expect(
        await nora.client.room_create(
            invite=[otto.user_id], initial_state=[EnableEncryptionBuilder().as_dict()]
        ),
        nio.RoomCreateResponse,
    )
    room = str(made.room_id)
    await _accepted(otto, room)
    return room


async def _accepted(person: SecretDevice, room: str) -> None:
    await person.until(lambda: room in person.client.invited_rooms, "the invite")
    expect(await person.client.join(room), nio.JoinResponse)


async def _chat(devices: Sequence[SecretDevice], room: str) -> None:
    for turn in range(8):
        await devices[turn % 4].say(room, f"secret {turn}")
        for each in devices:
            await each.reads(room, f"secret {turn}")

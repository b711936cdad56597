"""`python -m benchmarks.notifying A.json B.json`: a room whose members want to be told of different things, and many
who come online at once, on two servers, by one client and in turns.

The files are those of `benchmarks.targets`. Every member has push rules of their own: a keyword, a muted sender, a
muted room, or another level for all messages. In a storm all members say that they are online, then that they are not,
while some of them have a poll that waits for it.
"""

import argparse
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any
from urllib.parse import quote

from benchmarks.targets import Device, Target, described, report, timed
from tests.harness.live_client import V3, Requests

AT_ONCE = 8
STORM_LIMIT_S = 300.0
FILTER = '{"room":{"timeline":{"limit":1},"state":{"lazy_load_members":true}}}'
_numbers = count(1)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs=2, type=Path)
    parser.add_argument("--members", type=int, default=500)
    parser.add_argument(
        "--observers", type=int, default=20, help="of the members, those with a poll in the storms"
    )
    parser.add_argument("--messages", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    targets = [described(path) for path in options.targets]
    with ThreadPoolExecutor(AT_ONCE) as pool, ThreadPoolExecutor(options.observers) as observers:
        rooms = [_populated(target, pool, options.members) for target in targets]
        for number in range(options.rounds):
            for target, room in zip(targets, rooms, strict=True):
                _talk(target, pool, room, options.messages)
                _storm(
                    target, pool, observers, options.observers, "online" if number % 2 == 0 else "unavailable"
                )
    report(*targets)


def _populated(target: Target, pool: ThreadPoolExecutor, members: int) -> str:
    """Make a room with members who all have different rules."""
    began = perf_counter()
    visitor, run = Requests(target.url), f"{time_ns():x}"
    owner = target.register(visitor, f"owner{run}")
    room = str(
        owner.http.call("POST", f"{V3}/createRoom", {"preset": "public_chat", "name": "Hall"})["room_id"]
    )

    def come(number: int) -> Device:
        member = target.register(visitor, f"member{run}-{number}")
        member.http.call("POST", f"{V3}/join/{quote(room)}")
        _wish(member, owner, room, number)
        return member

    target.devices = [owner, *pool.map(come, range(members))]
    print(f"{target.name}: {members} members in {perf_counter() - began:.0f} s", flush=True)
    return room


def _wish(member: Device, owner: Device, room: str, number: int) -> None:
    """A push rule that only this member has, or few."""
    rules: Sequence[tuple[str, dict[str, Any]]] = (
        (f"content/word{number}", {"pattern": f"word{number}", "actions": ["notify", {"set_tweak": "highlight"}]}),
        (f"sender/{quote(owner.user_id)}", {"actions": []}),
        (f"room/{quote(room)}", {"actions": ["notify", {"set_tweak": "sound", "value": f"sound{number}"}]}),
        (f"override/quiet{number}", {"actions": [], "conditions": [
            {"kind": "event_match", "key": "content.body", "pattern": f"*quiet{number}*"}]}),
    )  # fmt: skip
    path, rule = rules[number % len(rules)]
    member.http.call("PUT", f"{V3}/pushrules/global/{path}", rule)


def _talk(target: Target, pool: ThreadPoolExecutor, room: str, messages: int) -> None:
    """Messages one by one, and eight at once."""
    senders = target.devices[:AT_ONCE]

    def say(sender: Device) -> None:
        number = next(_numbers)
        path = f"{V3}/rooms/{quote(room)}/send/m.room.message/{number}"
        sender.http.call("PUT", path, {"msgtype": "m.text", "body": f"word{number} of many"})

    used = target.processor_seconds()
    taken = timed(messages, lambda: say(senders[1]))
    members = len(target.devices)
    target.note(f"send into a room of {members} with diverse rules, p50 ms", statistics.median(taken))
    target.note("the same, server CPU ms", (target.processor_seconds() - used) / messages * 1000)
    began = perf_counter()
    list(pool.map(say, [senders[number % AT_ONCE] for number in range(messages)]))
    target.note("the same, 8 at once, events/s", messages / (perf_counter() - began))


def _storm(
    target: Target, pool: ThreadPoolExecutor, observers: ThreadPoolExecutor, watching: int, presence: str
) -> None:
    """All members change their presence at once; until everybody who watches has heard of all of them."""
    members = target.devices[1:]
    watchers = members[:watching]
    tokens = list(observers.map(lambda one: _sync(one, None)["next_batch"], watchers))
    used, began = target.processor_seconds(), perf_counter()
    wanted = {member.user_id for member in members}
    heard = [
        observers.submit(_hear, one, token, wanted - {one.user_id}, presence)
        for one, token in zip(watchers, tokens, strict=True)
    ]
    list(pool.map(lambda one: _be(one, presence), members))
    said = perf_counter() - began
    latest = max(future.result() for future in heard) - began
    target.note(f"{len(members)} change their presence, 8 at once, s", said)
    target.note(f"until the last of {watching} has heard of all, s", latest)
    target.note(
        "server CPU ms for each who changed", (target.processor_seconds() - used) / len(members) * 1000
    )


def _be(member: Device, presence: str) -> None:
    member.http.call("PUT", f"{V3}/presence/{quote(member.user_id)}/status", {"presence": presence})


def _hear(watcher: Device, since: str, wanted: set[str], presence: str) -> float:
    """The time when the last of some users was heard to be present so. Raises AssertionError after minutes."""
    began = perf_counter()
    while wanted:
        assert perf_counter() - began < STORM_LIMIT_S, f"{len(wanted)} were not heard of"
        answer = _sync(watcher, since)
        since = answer["next_batch"]
        for event in answer.get("presence", {}).get("events", ()):
            if event["content"]["presence"] == presence:
                wanted.discard(event["sender"])
    return perf_counter()


def _sync(watcher: Device, since: str | None) -> Any:
    query: dict[str, Any] = {"filter": FILTER, "set_presence": "offline", "timeout": 5000 if since else 0}
    if since:
        query["since"] = since
    return watcher.http.call("GET", f"{V3}/sync", None, **query)


if __name__ == "__main__":
    main()

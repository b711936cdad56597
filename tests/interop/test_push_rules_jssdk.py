"""matrix-js-sdk judges events by push rules too, to show what is unread: it must come to what the server pushes.

Cases are generated. Left out is what it reads otherwise than the specification: `?` in patterns, which it takes for a
dot, and patterns that begin or end with what is no letter of a word, where the specification can be read in two ways.
Of a sender it looks for the `user_id` that events had long ago, so that is put there.
"""

import json
import os
import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, UserID
from homeserver.protocol.push_rules.conditions import Circumstances
from homeserver.protocol.push_rules.evaluation import compiled
from homeserver.protocol.push_rules.kinds import Kind
from homeserver.protocol.push_rules.ruleset import NO_CHANGES, Changes, Ruleset, ruleset
from homeserver.protocol.room_versions import ROOM_VERSIONS
from tests.harness.jssdk import SOURCE, installed

ME = UserID("@me:here")
USERS = ["@you:here", "@her:there", "@bot:there"]
ROOMS = ["!one:here", "!two:there"]
WORDS = [
    "lunch",
    "Lunch",
    "me",
    "cake_time",
    "fish-soup",
    "über",
    "7up",
    "yes!",
    "me,",
    "a.b",
    "(x)",
    "[1]",
    "$5",
]
SOUGHT = ["lunch", "Lunch", "me", "cake_time", "fish-soup", "7up", "a.b"]
NAMES = ["me", "Cake Eater", "m.e", "x*y"]
TYPES = [
    "m.room.message", "m.room.encrypted", "m.reaction", "m.room.member", "m.room.tombstone", "m.call.invite",
    "m.room.server_acl", "m.room.topic", "com.example.Thing",
    "org.matrix.msc3381.poll.start", "org.matrix.msc3381.poll.response", "org.matrix.msc3381.poll.end",
]  # fmt: skip
KEYS = ["type", "sender", "room_id", "state_key", "content.body", "content.msgtype", "content.deep.er",
        r"content.with\.dot", r"content.m\.mentions.room", "content.membership", "content.list"]  # fmt: skip
ACTIONS: list[list[Any]] = [
    [],
    ["notify"],
    ["notify", {"set_tweak": "highlight"}],
    ["notify", {"set_tweak": "highlight", "value": False}, {"set_tweak": "sound", "value": "ding"}],
]
RULESETS, EVENTS = 150, 80


KINDS = [kind for kind in Kind if kind is not Kind.POSTCONTENT]
"""Those of which clients can have rules."""


class Corpus:
    """Rules, rooms and events, the same in every run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def cases(self) -> list[tuple[Ruleset, dict[str, Any], dict[str, Any]]]:
        """Rules, the room and the event of each."""
        return [
            (rules, self._room(), self._event(number))
            for rules in [ruleset(ME, self._changes()) for _ in range(RULESETS)]
            for number in range(EVENTS)
        ]

    def _changes(self) -> Changes:
        changes = NO_CHANGES
        pick = self._random
        for number in range(pick.randrange(8)):
            kind = pick.choice(KINDS)
            body: dict[str, Any] = {"actions": pick.choice(ACTIONS)}
            rule_id = f"own{number}"
            if kind is Kind.ROOM:
                rule_id = pick.choice(ROOMS)
            elif kind is Kind.SENDER:
                rule_id = pick.choice(USERS)
            elif kind is Kind.CONTENT:
                body["pattern"] = self._pattern()
            else:
                body["conditions"] = [self._condition() for _ in range(pick.randrange(1, 4))]
            changes = changes.put(kind, rule_id, body, None, None)
            if pick.random() < 0.15:
                changes = changes.set_enabled(kind, rule_id, False)
        defaults = [(kind, rule["rule_id"]) for kind in KINDS for rule in ruleset(ME, NO_CHANGES)[kind.value]]
        for kind, rule_id in defaults:
            if rule_id != ".m.rule.master" and pick.random() < 0.1:
                changes = changes.set_enabled(kind, rule_id, False)
            elif pick.random() < 0.1:
                changes = changes.set_actions(kind, rule_id, pick.choice(ACTIONS))
        return changes

    def _condition(self) -> dict[str, Any]:
        pick = self._random
        key = pick.choice(KEYS)
        value: Any = pick.choice([True, False, None, 7, "lunch", "m.text", USERS[0]])
        count = pick.choice(["2", "==3", "<3", ">2", "<=2", ">=3"])
        return pick.choice([
            {"kind": "event_match", "key": key, "pattern": self._pattern()},
            {"kind": "event_match", "key": key, "pattern": self._exact(key)},
            {"kind": "event_property_is", "key": key, "value": value},
            {"kind": "event_property_contains", "key": "content.list", "value": value},
            {"kind": "contains_display_name"},
            {"kind": "room_member_count", "is": count},
            {"kind": "sender_notification_permission", "key": "room"},
            {"kind": "com.example.unknown"},
        ])  # fmt: skip

    def _exact(self, key: str) -> str:
        values = {"type": TYPES, "sender": USERS, "room_id": ROOMS}.get(key, WORDS)
        return self._random.choice(values)

    def _pattern(self) -> str:
        pick = self._random
        word = pick.choice(SOUGHT)
        return pick.choice(
            [word, f"*{word}", f"{word}*", f"*{word}*", f"{word[:2]}*{word[-1]}", "*", word.upper()]
        )

    def _room(self) -> dict[str, Any]:
        pick = self._random
        powerful = ["room"] if pick.random() < 0.5 else []
        return {
            "user": ME,
            "members": pick.choice([1, 2, 3, 50]),
            "name": pick.choice(NAMES),
            "powerful": powerful,
        }

    def _event(self, number: int) -> dict[str, Any]:
        pick = self._random
        event: dict[str, Any] = {
            "event_id": f"$event{number}",
            "room_id": pick.choice(ROOMS),
            "sender": pick.choice(USERS),
            "type": pick.choice(TYPES) if pick.random() < 0.6 else "m.room.message",
            "content": self._content(),
            "depth": 1,
            "origin_server_ts": 1,
        }
        if event["type"] in ("m.room.member", "m.room.tombstone", "m.room.topic", "m.room.server_acl"):
            if pick.random() < 0.9:
                event["state_key"] = pick.choice(["", ME, USERS[0]])
        return event

    def _content(self) -> dict[str, Any]:
        pick = self._random
        some: dict[str, Any] = {
            "body": pick.choice([self._text(), 7, None]) if pick.random() < 0.2 else self._text(),
            "msgtype": pick.choice(["m.text", "m.notice", "m.emote"]),
            "membership": pick.choice(["invite", "join", "leave"]),
            "deep": pick.choice([{"er": pick.choice(WORDS)}, {"er": 7}, {"er": None}, "flat", {"er": True}]),
            "with.dot": pick.choice([*WORDS, True]),
            "list": pick.choice([[True, 7, "lunch"], [None], [], "lunch", [USERS[0]]]),
            "m.mentions": pick.choice(
                [{}, {"room": True}, {"user_ids": [ME]}, {"user_ids": USERS}, {"room": "x"}]
            ),
            "m.relates_to": {"rel_type": pick.choice(["m.replace", "m.thread"]), "event_id": "$x"},
        }
        shares = {"body": 0.9, "msgtype": 0.8, "m.relates_to": 0.2, "m.mentions": 0.4}
        return {key: value for key, value in some.items() if pick.random() < shares.get(key, 0.4)}

    def _text(self) -> str:
        pick = self._random
        return pick.choice([" ", "-", ""]).join(
            pick.choice([*WORDS, *NAMES]) for _ in range(pick.randrange(5))
        )


def test_both_come_to_the_same() -> None:
    cases = Corpus(1).cases()
    theirs = judged_there(installed(), cases)
    ours = [judged_here(*case) for case in cases]
    assert len(theirs) == len(ours) == RULESETS * EVENTS
    assert [
        (case, here, there) for case, here, there in zip(cases, ours, theirs, strict=True) if here != there
    ] == []
    assert min(Counter(rule for rule, _ in ours).values()) >= 1
    assert len({rule for rule, _ in ours}) >= 20, "the corpus has cases of most rules"


def judged_here(rules: Ruleset, room: dict[str, Any], event: dict[str, Any]) -> tuple[str, list[Any]]:
    """By the server."""
    about = Circumstances(
        ME, room["members"], lambda sender, key: key in room["powerful"], room["name"] or None
    )
    pdu = Event.from_trusted(event, ROOM_VERSIONS["10"], EventID(event["event_id"]))
    verdict = compiled(rules).evaluate(pdu, about)
    return verdict.rule_id, list(verdict.actions)


def judged_there(library: Path, cases: list[tuple[Ruleset, dict[str, Any], dict[str, Any]]]) -> list[Any]:
    """By the library."""
    lines = [
        json.dumps({"rules": rules, "room": room, "event": {**event, "user_id": event["sender"]}})
        for rules, room, event in cases
    ]
    done = subprocess.run(
        ["node", str(SOURCE / "pushrules.mjs")],
        input="\n".join(lines),
        env={**os.environ, "JSSDK": str(library)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]

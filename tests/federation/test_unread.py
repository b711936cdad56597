"""Counts of what is unread of events that come from other servers, and receipts in threads between servers."""

from typing import Any

import pytest

from tests.federation.test_transactions import Shared
from tests.federation.whole_servers import escaped, eventually, in_world


@pytest.mark.usefixtures("internet")
class TestUnread(Shared):
    """Users of ours in a room with a user of another server."""

    @in_world
    async def test_remote_messages_count_and_mention(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        await evil.send(alpha, shared.message("hello"))
        mention = {"msgtype": "m.text", "body": "you", "m.mentions": {"user_ids": [alice.user_id]}}
        await evil.send(alpha, shared.event("m.room.message", mention))
        counts = (await alice.rooms("join"))[room]["unread_notifications"]
        assert counts == {"notification_count": 2, "highlight_count": 1}
        hostile: dict[str, Any] = {"m.mentions": {"user_ids": {"x": 1}, "room": [True]}, "m.relates_to": [1]}
        await evil.send(alpha, shared.event("m.room.message", hostile))
        counts = (await alice.rooms("join"))[room]["unread_notifications"]
        assert counts == {"notification_count": 3, "highlight_count": 1}

    @in_world
    async def test_receipts_in_threads_are_exchanged_with_their_thread(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        await evil.send(alpha, shared.message("root"))
        root = shared.last.event_id
        relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
        await evil.send(alpha, shared.event("m.room.message", {"msgtype": "m.text", "body": "x", **relation}))
        inside = shared.last.event_id
        path = f"/rooms/{escaped(room)}/receipt/m.read/{escaped(inside)}"
        await alice.do("POST", path, {"thread_id": root})

        async def told() -> bool:
            edus = [edu["content"] for body in evil.received for edu in body["edus"]]
            data = {"event_ids": [inside], "data": {"thread_id": root}}
            shown = [content.get(room, {}).get("m.read", {}).get(alice.user_id) for content in edus]
            return any(
                each is not None and {**each, "data": {"thread_id": each["data"].get("thread_id")}} == data
                for each in shown
            )

        await eventually(told)
        receipt = {"data": {"ts": 5, "thread_id": root}, "event_ids": [inside]}
        content = {room: {"m.read": {evil.user_id: receipt}}}
        await evil.send(alpha, edus=[{"edu_type": "m.receipt", "content": content}])
        events = (await alice.rooms("join"))[room]["ephemeral"]["events"]
        shown = [event["content"][inside]["m.read"] for event in events if event["type"] == "m.receipt"]
        assert any(each.get(evil.user_id) == {"ts": 5, "thread_id": root} for each in shown)

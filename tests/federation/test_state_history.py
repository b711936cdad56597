"""Why a room's state is as it is: what was sent, and what won when forks were resolved."""

from pathlib import Path

import pytest

from homeserver.app.cli import main
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import RoomID
from homeserver.services.rooms.state_history import StateHistory
from tests.federation.test_transactions import Shared
from tests.federation.whole_servers import in_world


@pytest.mark.usefixtures("internet")
class TestStateHistory(Shared):
    """Of a room whose state another server forks."""

    @in_world
    async def test_state_that_resolution_moves_is_counted_and_explained(self) -> None:
        powers = {"@alice:alpha.example": 100, "@eve:evil.example": 100}
        alpha, alice, room, evil, shared = await self.shared(
            power_level_content_override={"users": powers}, room_version="10", name="First"
        )
        first = (await alice.state(room))["m.room.name", ""]
        base = shared.last
        second = shared.event("m.room.name", {"name": "Second"}, state_key="", prev=[base])
        levels = {"users": {"@alice:alpha.example": 100}, "state_default": 50}
        demotion = shared.event("m.room.power_levels", levels, state_key="", prev=[base])
        answer = await evil.send(alpha, second)
        assert answer == {second.event_id: {}}
        assert alpha.app.rooms_core.state_moves.count == 0
        assert await evil.send(alpha, demotion) == {demotion.event_id: {}}
        assert (await alice.state(room))["m.room.name", ""] == first
        assert alpha.app.rooms_core.state_moves.count == 1
        history = StateHistory(alpha.storage)
        changes = await history.latest(RoomID(room), "m.room.name", "", 10)
        assert [(each.current, each.previous, each.cause) for each in changes] == [
            (first, second.event_id, demotion.event_id),
            (second.event_id, first, second.event_id),
            (first, None, first),
        ]
        assert {each.type for each in await history.latest(RoomID(room), None, None, 100)} >= {
            "m.room.create",
            "m.room.name",
            "m.room.power_levels",
        }

    @in_world
    async def test_a_room_that_is_not_here_has_no_history(self) -> None:
        alpha, *_ = await self.shared()
        with pytest.raises(NotFound):
            await StateHistory(alpha.storage).latest(RoomID("!none:alpha.example"), None, None, 5)


def test_what_is_no_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["room", "why", "nonsense"])
    assert "nonsense: Not a room ID" in capsys.readouterr().err

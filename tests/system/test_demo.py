"""`make demo` gives two servers on which people meet, as it says it does."""

import os
import signal
import sys
from pathlib import Path

from tests.harness.demo import PASSWORD
from tests.harness.live_client import V3, LiveUser, eventually
from tests.harness.process import HOST, Child, free_port


def test_people_of_both_servers_are_in_the_room_and_talk(folder: Path) -> None:
    ports = [free_port() for _ in range(4)]
    environment = {**os.environ, "DEMO_DATA": str(folder), "DEMO_PORTS": ",".join(map(str, ports))}
    demo = Child([sys.executable, "-m", "tests.harness.demo"], folder / "demo.log", environment)
    try:
        demo.wait_until(lambda: "Ctrl-C stops both" in demo.said())
        north, south = (f"http://{HOST}:{port}" for port in (ports[0], ports[2]))
        assert north in demo.said()
        assert south in demo.said()
        anna, carla = LiveUser.login(north, "anna", PASSWORD), LiveUser.login(south, "carla", PASSWORD)
        (room,) = carla.http.call("GET", f"{V3}/joined_rooms")["joined_rooms"]
        assert len(anna.members(room)) == 4
        carla.say(room, "is anybody there?")
        eventually(lambda: anna.texts(room)[-1] == "is anybody there?", what="what Carla said")
        assert demo.end(signal.SIGINT) < 10
        assert demo.status == 0
    finally:
        if demo.status is None:
            demo.end(signal.SIGTERM, 30)

"""`python -m benchmarks.push`: how much pushes to many members of a room slow down its sender, and what they cost.

A real server, a gateway that takes everything, and a room of which some members have pushers. Somebody sends a message
each tenth of a second, first without pushers and then with them.
"""

import argparse
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.harness.live_client import V3, LiveUser, Requests
from tests.harness.process import HomeserverProcess
from tests.harness.push_gateway import PushGatewayProcess

SETTINGS = {"push": {"allow_http": True}, "federation": {"allow_networks": ["127.0.0.0/8"]}}
PAUSE_S = 0.1


@contextmanager
def running() -> Iterator[tuple[HomeserverProcess, PushGatewayProcess]]:
    """A server with its own PostgreSQL, and a gateway."""
    with TemporaryDirectory(prefix="meridian-push-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        gateway = PushGatewayProcess(folder)
        server = HomeserverProcess(folder / "server", settings=SETTINGS)
        try:
            gateway.start()
            server.start()
            yield server, gateway
        finally:
            server.discard()
            gateway.stop()


def latencies(sender: LiveUser, room: str, messages: int) -> str:
    """How long a message takes its sender."""
    took = []
    for number in range(messages):
        began = time.perf_counter()
        sender.say(room, f"message {number}")
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(PAUSE_S)
    took.sort()
    return f"p50 {took[len(took) // 2]:.1f} ms, p95 {took[int(len(took) * 0.95)]:.1f} ms"


def statements(server: HomeserverProcess) -> float:
    """Sent to the database so far."""
    text = str(Requests(server.url).request("GET", "/metrics")[1])
    found = re.search(r"^meridian_database_queries_total (\S+)", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def cpu_ms(server: HomeserverProcess) -> float:
    """Time of the processor that the server has used."""
    fields = Path(f"/proc/{server.running.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def main(members: int, pushers: int, messages: int) -> None:
    """Measure."""
    with running() as (server, gateway), ThreadPoolExecutor(8) as pool:
        sender = server.register("sender")
        room = sender.create(preset="public_chat", name="Hall")

        def come(number: int) -> LiveUser:
            user = server.register(f"user{number}")
            user.join(room)
            return user

        users = list(pool.map(come, range(members)))
        print(f"{members} members, nobody has a pusher: {latencies(sender, room, messages)}", flush=True)
        pusher = {"kind": "http", "app_id": "app", "app_display_name": "App", "device_display_name": "Phone"}
        pusher |= {"lang": "en"}
        data = {"url": gateway.url, "format": "event_id_only"}
        list(
            pool.map(
                lambda user: user.http.call(
                    "POST", f"{V3}/pushers/set", {**pusher, "data": data, "pushkey": user.user_id}
                ),
                users[:pushers],
            )
        )
        sent, used, began = statements(server), cpu_ms(server), time.monotonic()
        print(f"{pushers} of them have: {latencies(sender, room, messages)}", flush=True)
        wanted = pushers * messages
        while (pushed := len(gateway.pushes())) < wanted and time.monotonic() - began < wanted:
            time.sleep(0.5)
        seconds = time.monotonic() - began
        per_push = (statements(server) - sent) / pushed, (cpu_ms(server) - used) / pushed
        print(f"{pushed} pushes in {seconds:.0f} s, {pushed / seconds:.0f} a second")
        print(f"each with {per_push[0]:.1f} statements and {per_push[1]:.1f} ms of the processor")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--pushers", type=int, default=500)
    parser.add_argument("--messages", type=int, default=20)
    wishes = parser.parse_args()
    main(wishes.members, wishes.pushers, wishes.messages)

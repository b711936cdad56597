"""`make demo`: two regional servers with people who share a room, for a person to try with any client.

Both are real servers with PostgreSQL of their own, and federate by TLS with certificates of an authority that is made
on the spot. Everything is in `demo-data` (or where `DEMO_DATA` says); another start goes on with it. `DEMO_PORTS` are
four ports: each server's for clients and for federation.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from tests.harness.certificates import Authority
from tests.harness.live_client import LiveUser, Refused
from tests.harness.process import HOST, HomeserverProcess, running

FOLDER = Path(os.environ.get("DEMO_DATA", "demo-data"))
PASSWORD = "correct horse battery"  # of every user of the demo
_NUMBERS = [int(port) for port in os.environ.get("DEMO_PORTS", "8108,8449,8208,8450").split(",")]
PORTS = {"north": (_NUMBERS[0], _NUMBERS[1]), "south": (_NUMBERS[2], _NUMBERS[3])}
PEOPLE = {"north": ("anna", "bert"), "south": ("carla", "dan")}
ALIAS = "square"


def main() -> int:
    """Start both, let people meet, and serve until interrupted."""
    authority = Authority("Meridian demo authority")
    servers = {name: _server(name, authority) for name in PORTS}
    told_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_end.set())
    print("Starting two servers ...", flush=True)
    with running(*servers.values()):
        print("Letting people meet ...", flush=True)
        _meet(servers)
        print(
            _TOLD.format(
                **{name: server.url for name, server in servers.items()}, password=PASSWORD, **_names()
            )
        )
        told_to_end.wait()
        print("Stopping ...", flush=True)
    return 0


def _server(name: str, authority: Authority) -> HomeserverProcess:
    port, tls_port = PORTS[name]
    return HomeserverProcess((FOLDER / name).absolute(), authority=authority, port=port, tls_port=tls_port)


def _meet(servers: dict[str, HomeserverProcess]) -> None:
    """Make the people and the room, or find them from the last time, and let everybody in."""
    people = {name: _person(servers[home], name) for home in PEOPLE for name in PEOPLE[home]}
    founder, *others = people.values()
    if founder.http.call("GET", "/_matrix/client/v3/joined_rooms")["joined_rooms"]:
        return
    room = founder.create(preset="public_chat", name="The square", room_alias_name=ALIAS, visibility="public")
    alias = f"#{ALIAS}:{servers['north'].server_name}"
    for other in others:
        other.join(alias)
    for person in people.values():
        person.say(room, f"Hello from {person.user_id}")


def _person(server: HomeserverProcess, name: str) -> LiveUser:
    try:
        return LiveUser.login(server.url, name, PASSWORD)
    except Refused:
        return server.register(name, PASSWORD)


def _names() -> dict[str, str]:
    return {f"{home}_people": " and ".join(people) for home, people in PEOPLE.items()} | {
        f"{home}_name": f"{HOST}:{ports[1]}" for home, ports in PORTS.items()
    }


_TOLD = """
  Two Matrix servers, federated:

    north   {north}   its name is {north_name}   users {north_people}
    south   {south}   its name is {south_name}   users {south_people}

  Everybody's password is `{password}`. All are in the room "The square" (#square:{north_name}).
  Open a client that can reach this machine (Element Desktop, Cinny, nheko, ...), choose "other server",
  type {north} or {south}, and log in. Write from both sides.

  Ctrl-C stops both. What they know is kept in ./demo-data: delete it to begin anew.
"""


if __name__ == "__main__":
    sys.exit(main())

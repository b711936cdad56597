# mypy: allow-untyped-calls
# Twisted's reactors have no annotations.

import datetime
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock as TwistedClock
from twisted.protocols.tls import TLSMemoryBIOFactory

from config.listeners import Listener, Tls
from homeserver.app.runtime import ReactorClock
from homeserver.http.listeners import Binding, CannotListen, Listeners, ReloadedContexts
from tests.harness.memory import MemoryTransport, SteppingClock
from tests.http.sample import Sample

RAW = b"GET /_matrix/client/v3/raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def write_certificate(directory: Path, name: str) -> Tls:
    """Write a key and a certificate signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "tls.crt").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "tls.key").write_bytes(private)
    return Tls(certificate=directory / "tls.crt", private_key=directory / "tls.key")


def over_tls(contexts: ReloadedContexts, offered: list[str]) -> tuple[str, str | None, bytes]:
    """Send a request over TLS, in memory; return the name in the certificate, the protocol agreed on and the answer."""
    transport, site, clock = MemoryTransport(), Sample().site, TwistedClock()
    wrap: Any = TLSMemoryBIOFactory
    factory = wrap(contexts, False, site, clock=clock)
    server = factory.buildProtocol(None)
    server.makeConnection(transport)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(offered)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    answer: Any = None
    for step in (client.do_handshake,) * 4 + (lambda: client.write(RAW), lambda: client.read(65536)):
        try:
            answer = step()
        except ssl.SSLWantReadError:
            pass
        if outgoing.pending:
            server.dataReceived(outgoing.read())
            clock.advance(1)
        incoming.write(transport.value())
        transport.clear()
    certificate = x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"")
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value), client.selected_alpn_protocol(), answer


def served(
    sample: Sample,
    listeners: list[Listener],
    talk: Callable[[list[str]], object],
    on_closing: Callable[[], object] = bool,
) -> list[object]:
    """Serve on real sockets while `talk` runs on a thread; return what it returned, and how closing went."""
    reactor: Any = EPollReactor()
    opened = Listeners(reactor, ReactorClock(reactor))
    outcome: list[object] = []

    def finish() -> None:
        _ = Deferred.fromCoroutine(opened.close(2.0, on_closing)).addBoth(closed)

    def closed(result: object) -> None:
        outcome.append(result)
        reactor.stop()

    def run() -> None:
        try:
            outcome.append(talk(opened.addresses))
        finally:
            reactor.callFromThread(finish)

    opened.open([Binding(each, sample.site) for each in listeners])
    thread = threading.Thread(target=run)
    reactor.callWhenRunning(thread.start)
    reactor.run(installSignalHandlers=False)
    thread.join()
    return outcome


def connected(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), 5)


def received(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def exchanged(connection: socket.socket) -> bytes:
    with connection:
        connection.settimeout(5)
        connection.sendall(RAW)
        return received(connection)


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait on a thread, at most five seconds, for what happens on another."""
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return True
        pause.wait(0.01)
    return False


def test_tcp_and_unix_sockets_are_served_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "client.sock"

    def talk(addresses: list[str]) -> list[bytes]:
        assert addresses[1] == f"unix:{path}"
        unix = socket.socket(socket.AF_UNIX)
        unix.connect(str(path))
        return [exchanged(connected(addresses[0])), exchanged(unix)]

    listeners = [Listener(bind="127.0.0.1", port=0), Listener(unix=path)]
    answers, closing = served(Sample(), listeners, talk)
    assert isinstance(answers, list)
    assert all(answer.endswith(b'{"raw":true}') for answer in answers)
    assert closing is None
    assert not path.exists()


def test_a_refusal_reaches_a_client_that_sends_on_regardless() -> None:
    def talk(addresses: list[str]) -> bytes:
        with connected(addresses[0]) as connection:
            connection.sendall(
                b"POST /_matrix/client/v3/named HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
            )
            connection.sendall(b" " * 3_000_000)
            return received(connection)

    answer, _ = served(Sample(), [Listener(bind="127.0.0.1", port=0)], talk)
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"M_TOO_LARGE" in answer


def test_a_long_poll_notices_that_its_client_has_gone() -> None:
    sample = Sample()

    def talk(addresses: list[str]) -> bool:
        with connected(addresses[0]) as connection:
            connection.sendall(
                b"GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n"
            )
            began = eventually(lambda: len(sample.api.waiting) == 1)
        return began and eventually(lambda: sample.api.finished == ["@alice:test"])

    cancelled, _ = served(sample, [Listener(bind="127.0.0.1", port=0)], talk)
    assert cancelled


def test_closing_answers_what_was_asked() -> None:
    sample = Sample()
    connections: list[socket.socket] = []

    def talk(addresses: list[str]) -> None:
        connection = connected(addresses[0])
        connections.append(connection)
        connection.sendall(
            b"GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n"
        )
        assert eventually(lambda: len(sample.api.waiting) == 1)

    served(
        sample,
        [Listener(bind="127.0.0.1", port=0)],
        talk,
        lambda: sample.api.waiting[0].callback({"next": "1"}),
    )
    with connections[0] as connection:
        answer = received(connection)
    assert answer.endswith(b'{"next":"1"}')
    assert b"Connection: close" in answer


def test_a_socket_left_behind_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "client.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    reactor: Any = EPollReactor()
    binding = Binding(Listener(unix=path), Sample().site)
    left.listen()
    with pytest.raises(CannotListen, match="Cannot listen on unix:"):
        Listeners(reactor, SteppingClock()).open([binding])
    left.close()
    opened = Listeners(reactor, SteppingClock())
    opened.open([binding])
    assert opened.addresses == [f"unix:{path}"]
    _ = Deferred.fromCoroutine(opened.close(0, bool))


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"Cannot listen on 127.0.0.1:{port}"):
            Listeners(EPollReactor(), SteppingClock()).open([Binding(Listener(port=port), Sample().site)])


def test_only_http_1_is_offered_over_tls(tmp_path: Path) -> None:
    contexts = ReloadedContexts(write_certificate(tmp_path, "first"), SteppingClock())
    name, protocol, answer = over_tls(contexts, ["h2", "http/1.1"])
    assert (name, protocol) == ("first", "http/1.1")
    assert answer.endswith(b'{"raw":true}')
    with pytest.raises(ssl.SSLError):
        over_tls(contexts, ["h2"])


def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    clock = SteppingClock()
    contexts = ReloadedContexts(write_certificate(tmp_path, "first"), clock)
    write_certificate(tmp_path, "second")
    os.utime(tmp_path / "tls.crt", (1, 1))
    assert over_tls(contexts, ["http/1.1"])[0] == "first"
    clock.advance(11)
    assert over_tls(contexts, ["http/1.1"])[0] == "second"


def test_a_certificate_that_went_bad_is_not_used(tmp_path: Path) -> None:
    clock = SteppingClock()
    contexts = ReloadedContexts(write_certificate(tmp_path, "first"), clock)
    (tmp_path / "tls.crt").write_text("half a fi")
    clock.advance(11)
    assert over_tls(contexts, ["http/1.1"])[0] == "first"


def test_a_certificate_that_is_bad_from_the_start_is_named(tmp_path: Path) -> None:
    tls = write_certificate(tmp_path, "first")
    (tmp_path / "tls.crt").write_text("nothing")
    with pytest.raises(ValueError, match=r"tls\.crt"):
        ReloadedContexts(tls, SteppingClock())

"""The sockets that sites are served on: TCP, TLS and unix."""

import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.ssl import CertificateOptions, TLSVersion
from zope.interface import implementer

from config.listeners import Listener, Tls, address_of
from homeserver.clock import Clock
from homeserver.http.site import Site

log = structlog.get_logger(__name__)

_BACKLOG: Final = 1024
_CHECK_CERTIFICATE_EVERY: Final = 10.0  # seconds


class CannotListen(Exception):
    """An address cannot be listened on; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A site, and where to serve it."""

    listener: Listener
    site: Site


class Listeners:
    """Opens sockets, and closes them with what is connected to them.

    `reactor` is Twisted's: it listens on TCP, TLS and unix sockets.
    """

    def __init__(self, reactor: Any, clock: Clock) -> None:
        self._reactor = reactor
        self._clock = clock
        self._open: list[tuple[Binding, Any]] = []

    def open(self, bindings: Sequence[Binding]) -> None:
        """Listen everywhere. Raises CannotListen, and listens nowhere then."""
        try:
            for binding in bindings:
                self._open.append((binding, self._listen(binding)))
        except BaseException:
            for _, port in self._open:
                port.stopListening()
            self._open.clear()
            raise

    @property
    def addresses(self) -> list[str]:
        """Where we listen, as URLs, with the ports that the system chose."""
        return [_url(binding.listener, port) for binding, port in self._open]

    async def close(self, grace: float, answer_waiting: Callable[[], object]) -> None:
        """Take no more connections, answer what was asked and close; after `grace` seconds at any rate.

        `answer_waiting` makes long polls answer. It is called when no connection will be used again, so that their
        clients do not ask anew.
        """
        sites = {id(binding.site): binding.site for binding, _ in self._open}
        stopping: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for _, port in self._open]
        closing = [Deferred.fromCoroutine(site.close(grace)) for site in sites.values()]
        self._open.clear()
        answer_waiting()
        await DeferredList([*stopping, *closing], consumeErrors=True)

    def _listen(self, binding: Binding) -> Any:
        listener, site = binding.listener, binding.site
        try:
            return self._listening(listener, site)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            raise CannotListen(f"Cannot listen on {address_of(listener)}: {reason}") from error
        except (OSError, ValueError, SSL.Error) as error:
            raise CannotListen(f"Cannot listen on {address_of(listener)}: {error}") from error

    def _listening(self, listener: Listener, site: Site) -> Any:
        if listener.unix is not None:
            _remove_stale_socket(listener.unix)
            opened = self._reactor.listenUNIX(str(listener.unix), site, backlog=_BACKLOG, mode=0o660)
        elif listener.tls is not None:
            contexts = ReloadedContexts(listener.tls, self._clock)
            opened = self._reactor.listenSSL(
                listener.port, site, contexts, backlog=_BACKLOG, interface=listener.bind
            )
        else:
            opened = self._reactor.listenTCP(listener.port, site, backlog=_BACKLOG, interface=listener.bind)
        return opened


@implementer(IOpenSSLContextFactory)
class ReloadedContexts:
    """TLS contexts that follow their files: a renewed certificate is used without a restart.

    HTTP/1.1 is all that is offered by ALPN. Raises OSError or OpenSSL's errors when the files are bad at the
    start; later ones are told to the log, and the certificate that works stays in use.
    """

    def __init__(self, tls: Tls, clock: Clock) -> None:
        self._tls = tls
        self._clock = clock
        self._stamp = self._files()
        self._context = _context(tls)
        self._check_at = clock.seconds() + _CHECK_CERTIFICATE_EVERY

    def getContext(self) -> SSL.Context:
        """Return the context for a new connection, by the name that Twisted calls."""
        now = self._clock.seconds()
        if now >= self._check_at:
            self._check_at = now + _CHECK_CERTIFICATE_EVERY
            self._reload()
        return self._context

    def _reload(self) -> None:
        try:
            stamp = self._files()
            if stamp != self._stamp:
                self._context = _context(self._tls)
                self._stamp = stamp
                log.info("certificate reloaded", certificate=str(self._tls.certificate))
        except (OSError, ValueError, SSL.Error) as error:
            log.error("certificate not reloaded", certificate=str(self._tls.certificate), error=repr(error))

    def _files(self) -> tuple[int, int]:
        return self._tls.certificate.stat().st_mtime_ns, self._tls.private_key.stat().st_mtime_ns


def _context(tls: Tls) -> SSL.Context:
    try:
        certificates: list[Any] = x509.load_pem_x509_certificates(tls.certificate.read_bytes())
    except ValueError:
        raise ValueError(f"{tls.certificate} holds no certificate") from None
    try:
        key: Any = load_pem_private_key(tls.private_key.read_bytes(), None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise ValueError(
            f"{tls.private_key} holds no private key that can be read without a password"
        ) from None
    options = CertificateOptions(
        privateKey=key,
        certificate=certificates[0],
        extraCertChain=certificates[1:],
        raiseMinimumTo=TLSVersion.TLSv1_2,
        acceptableProtocols=[b"http/1.1"],
    )
    context: SSL.Context = options.getContext()
    return context


def _remove_stale_socket(path: Path) -> None:
    """Remove a socket that a server left behind when it was killed; one that is answered stays, and we fail to bind."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def _url(listener: Listener, port: Any) -> str:
    if listener.unix is not None:
        return f"unix:{listener.unix}"
    address = port.getHost()
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{'http' if listener.tls is None else 'https'}://{host}:{address.port}"

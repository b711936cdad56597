"""TLS as a client: whom we trust, and the name that a certificate must bear."""

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    CertificateOptions,
    TLSVersion,
    platformTrust,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from config.values import is_address

_PEM_END = b"-----END CERTIFICATE-----"


class ClientTls:
    """One OpenSSL context for all connections that we open, made for the first of them: with the trusted authorities it
    takes 7 ms and 1 MB.

    `authorities` is PEM text of authorities to trust besides the system's; ValueError when it is not. With `verify` off
    any certificate is taken.
    """

    def __init__(self, authorities: bytes | None = None, verify: bool = True) -> None:
        self._authorities = certificates(authorities) if authorities is not None and verify else []
        self._verify = verify
        self._context: SSL.Context | None = None

    def expecting(self, name: str) -> Any:
        """Make connections to a server whose certificate bears this host name or IP address (without port or
        brackets).
        """
        if self._context is None:
            self._context = self._made()
        return _Expecting(self._context, name, self._verify)

    def _made(self) -> SSL.Context:
        options = CertificateOptions(
            trustRoot=platformTrust() if self._verify else None,
            raiseMinimumTo=TLSVersion.TLSv1_2,
            acceptableProtocols=[b"http/1.1"],
        )
        context: SSL.Context = options.getContext()
        store: Any = context.get_cert_store()
        for certificate in self._authorities:
            store.add_cert(certificate)
        return context


def certificates(pem: bytes) -> list[crypto.X509]:
    """All certificates of a PEM text; raises ValueError when there is none or one is broken."""
    blocks = [block + _PEM_END for block in pem.split(_PEM_END)[:-1]]
    if not blocks:
        raise ValueError("no certificate found")
    try:
        return [crypto.load_certificate(crypto.FILETYPE_PEM, block) for block in blocks]
    except crypto.Error as error:
        raise ValueError("a certificate is broken") from error


@implementer(IOpenSSLClientConnectionCreator)
class _Expecting:
    """Raises UnicodeError, when it is made, for what is no host name."""

    def __init__(self, context: SSL.Context, name: str, verify: bool) -> None:
        self._context = context
        self._verify = verify
        self._is_address = is_address(name)
        self._name = name if self._is_address else name.rstrip(".").encode("idna").decode("ascii")

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make the connection; an IP address is not sent as SNI, which knows only host names."""
        connection = SSL.Connection(self._context, None)
        if not self._is_address:
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        if self._verify:
            expected = IPAddress_ID(self._name) if self._is_address else DNS_ID(self._name)
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _name_check(expected))
        else:
            connection.set_verify(SSL.VERIFY_NONE)
        return connection


def _name_check(
    expected: DNS_ID | IPAddress_ID,
) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
    def check(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        if depth != 0 or not ok:
            return bool(ok)
        try:
            verify_service_identity(extract_patterns(certificate), [expected], [])
        except (VerificationError, ValueError):
            return False
        return True

    return check

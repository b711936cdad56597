"""The certificates of our own TLS listeners: whether they can be served, for how long, and for which names."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from config.config import Config
from config.listeners import Tls, address_of
from config.values import host_of, is_address
from homeserver.app.doctor.findings import Finding, fail, ok, warn

RENEW_BEFORE = timedelta(days=14)


def check_certificates(config: Config, now: datetime) -> Iterator[Finding]:
    """Look at the certificate of each TLS listener. `now` is aware."""
    for listener in config.listeners:
        if listener.tls is None:
            continue
        address = address_of(listener)
        try:
            certificate = _certificate(listener.tls)
        except (OSError, ValueError) as error:
            yield fail(
                "certificate", f"{address}: {error}", "name the PEM files of a certificate and its key"
            )
            continue
        yield _lifetime(address, certificate, now)
        if "federation" in listener.serves and config.federation.enabled:
            yield _names(address, certificate, "other servers", federation_names(config))
        if "client" in listener.serves and config.public_baseurl.startswith("https:"):
            yield _names(address, certificate, "clients", [urlsplit(config.public_baseurl).hostname or ""])


def federation_names(config: Config) -> list[str]:
    """The hosts for which other servers may ask: which of them, is up to `.well-known` and DNS."""
    told = [config.server_name] if config.federation.delegate_to is None else [config.federation.delegate_to]
    hosts = [host_of(name).strip("[]") for name in [*told, config.server_name]]
    return list(dict.fromkeys([*hosts, urlsplit(config.public_baseurl).hostname or hosts[0]]))


def _certificate(tls: Tls) -> x509.Certificate:
    """Read a certificate with its key. Raises OSError or ValueError."""
    try:
        certificate = x509.load_pem_x509_certificates(tls.certificate.read_bytes())[0]
    except ValueError:
        raise ValueError(f"{tls.certificate} holds no certificate") from None
    try:
        key = load_pem_private_key(tls.private_key.read_bytes(), None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise ValueError(
            f"{tls.private_key} holds no private key that can be read without a password"
        ) from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise ValueError(f"{tls.private_key} is not the key of {tls.certificate}")
    return certificate


def _lifetime(address: str, certificate: x509.Certificate, now: datetime) -> Finding:
    end, days = certificate.not_valid_after_utc, (certificate.not_valid_after_utc - now).days
    if now < certificate.not_valid_before_utc:
        return fail(
            "certificate",
            f"{address}: not good before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "wait, or set this machine's clock",
        )
    if now >= end:
        return fail(
            "certificate", f"{address}: it ran out on {end:%Y-%m-%d}", "renew it; no restart is needed"
        )
    if end - now < RENEW_BEFORE:
        return warn("certificate", f"{address}: it runs out in {days} days", "renew it; no restart is needed")
    return ok("certificate", f"{address}: good for {days} days")


def _names(address: str, certificate: x509.Certificate, who: str, names: Sequence[str]) -> Finding:
    borne = [name for name in names if _bears(certificate, name)]
    if borne:
        return ok("certificate", f"{address}: it bears {borne[0]}, for {who}")
    return fail(
        "certificate",
        f"{address}: it bears none of the names for which {who} may ask ({', '.join(names)})",
        "get a certificate for the name, or let a reverse proxy that has one listen there",
    )


def _bears(certificate: x509.Certificate, name: str) -> bool:
    try:
        if is_address(name):
            verify_certificate_ip_address(certificate, name)
        else:
            verify_certificate_hostname(certificate, name)
    except (VerificationError, CertificateError, ValueError):
        return False
    return True

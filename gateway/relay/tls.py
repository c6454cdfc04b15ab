"""TLS contexts from the settings, for STARTTLS in and out.

Raises TlsError, which names the setting, the file and the way out.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from config.settings import NextHop, Relay


class TlsError(Exception):
    """A certificate, key or CA file cannot be used."""


def server_context(settings: Relay) -> ssl.SSLContext | None:
    """What STARTTLS offers to clients; None when no certificate is set."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsError(
            f"[relay] tls_certificate = {str(settings.tls_certificate)!r}, "
            f"tls_key = {str(settings.tls_key)!r}: {error}; name a PEM certificate chain and its "
            "unencrypted key, both readable by the user the gateway runs as"
        ) from error
    return context


def client_context(settings: NextHop) -> ssl.SSLContext | None:
    """What STARTTLS to the next hop uses; None when `tls` is off.

    `required` verifies the name and the chain. `opportunistic` does neither (RFC 7435): whoever
    can remove STARTTLS from the greeting could also present a false certificate.
    """
    if settings.tls == "off":
        return None
    context = ssl.create_default_context()
    if settings.tls == "opportunistic":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.tls_ca is not None:
        _trust(context, settings.tls_ca)
    return context


def _trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise TlsError(
            f"[next_hop] tls_ca = {str(path)!r}: {error}; name a PEM file with the certificate "
            "of the authority that signed the next hop's certificate"
        ) from error


def _no_password() -> str:
    # Without this OpenSSL would ask for the key's passphrase on the terminal and hang the start.
    raise ValueError("the key is encrypted")

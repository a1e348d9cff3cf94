"""What `worker doctor` says of the broker, and of what TLS verifies on the ways to broker and database."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from worker.cli.setup.finding import Finding, Level
from worker.config.places import broker_tls, is_local_broker
from worker.config.settings import Settings
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.tls import Verified, remedy, verified

LOGIN_REFUSED = ("AccessRefused", "AuthenticationError", "NotAllowed")
"""Errors of RabbitMQ and Redis for a connection that works with a login that is refused."""


def database_tls(connection: Connection) -> Iterator[Finding]:
    """Yields what is verified of a database on another machine. The worker leaves that to the URL."""
    match verified(connection):
        case Verified.LOCAL:
            return
        case Verified.FULL:
            yield Finding("database", Level.OK, "TLS: its certificate and host name are verified")
            return
        case Verified.AUTHORITY:
            text = "TLS: its certificate is verified, but not the host name"
        case Verified.NOTHING:
            text = "TLS: its certificate is not verified, so another server can take its place"
        case Verified.PLAIN:
            text = "without TLS, what is sent can be read on the way"
    yield Finding("database", Level.CAUTION, f"{text}; add {remedy(connection)} to its URL")


def broker(settings: Settings) -> Finding:
    """Tries to reach the broker."""
    try:
        url = settings.broker_url()
        if url == "embedded":
            return Finding("broker", Level.OK, "embedded: `worker up` brings its own")
        from worker.service.broker import CERTIFICATE, UNTRUSTED, connection_error, require_client

        require_client(url)
    except ConfigurationError as error:
        return Finding("broker", Level.PROBLEM, str(error).removeprefix("broker: "))
    refused = connection_error(url)
    if not refused:
        return _broker_tls(url)
    text = f"does not answer within 2 s ({refused}); check that it is running and that the URL is right"
    if refused in (UNTRUSTED, *CERTIFICATE.values()):
        text = f"TLS: {refused}; correct the certificate, or name its authorities with ssl_ca_certs in the URL"
    elif refused in LOGIN_REFUSED:
        text = f"refuses the user, its password or its vhost ({refused}); correct them in `broker`"
    return Finding("broker", Level.PROBLEM, text)


def _broker_tls(url: str) -> Finding:
    """Returns what is verified of a broker that can be reached."""
    tls = broker_tls(url)
    if tls is None:
        if is_local_broker(url):
            return Finding("broker", Level.OK, "it can be reached")
        text = "without TLS, what is sent can be read on the way; write rediss:// or amqps:// where the broker has it"
        return Finding("broker", Level.CAUTION, text)
    if not tls.verifies:
        text = (
            "TLS: its certificate is not verified, so another server can take its place; leave ssl_cert_reqs=none out"
        )
        return Finding("broker", Level.CAUTION, text)
    if not tls.verifies_name:
        text = "TLS: its certificate is verified, but not the host name; leave ssl_check_hostname=false out"
        return Finding("broker", Level.CAUTION, text)
    return Finding("broker", Level.OK, "TLS: its certificate and host name are verified")

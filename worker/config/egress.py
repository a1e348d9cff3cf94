"""An account's own way to the vendor, as settings name it: proxy, trusted authorities, client certificate.

Knows keys and what is wrong with them; files and secrets are read when a connection needs them.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from worker.config.places import SecretFrom, UrlFrom, checked, proxy_problem, whole
from worker.domain.account import ClientCertificate, Egress, Secret

MOST_CONNECT_S = 10
"""Longest connect timeout: a thread that waits for a dead host makes no other call."""
LONGEST_PATH = 500
"""Characters; a key without its armour has more."""


def _path(value: str) -> str:
    if not value.strip() or "\x00" in value:
        raise ValueError("is empty; name the path of a PEM file")
    # What is no path would be told as one, by each error about it.
    if "-----BEGIN" in value or "\n" in value or len(value) > LONGEST_PATH:
        raise ValueError("holds what belongs in a file; name the path of a PEM file")
    return value


PemPath = Annotated[str, AfterValidator(_path)]


class ClientCertificateSettings(BaseModel):
    """`client_certificate`: the PEM files with which an account shows itself to the vendor's server."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    certificate: PemPath
    """The path of the certificate, with those between it and its authority."""
    key: PemPath | None = None
    """None: the key is in the certificate's file."""
    password: SecretFrom | None = None
    """Of the key; None: it is not encrypted."""

    @model_validator(mode="before")
    @classmethod
    def _a_table(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        raise ValueError('not a table; write it as { certificate = "/path.pem", key = "/path.key" }')


class EgressSettings(BaseModel):
    """The keys of an account that say how its calls leave."""

    proxy: Annotated[UrlFrom | None, checked(proxy_problem)] = None
    """The proxy of all its calls: a URL of `http`, `https`, `socks5` or `socks5h`; None: they leave directly."""
    ca: PemPath | None = None
    """`system`, or the path of a PEM bundle; None: the bundle of `certifi`."""
    client_certificate: ClientCertificateSettings | None = None
    """What it shows where a server or a gateway asks for a certificate; None: nothing."""
    connect_timeout_s: Annotated[float, Field(gt=0, le=MOST_CONNECT_S)] = 5.0
    """Seconds that making a connection may take in all, the look-up of the name left out."""

    def egress(self, path: str) -> Egress:
        """As the transport knows it. `path` is where the account stands in the settings."""
        return Egress(
            _proxy(self.proxy, f"{path}.proxy"),
            self.ca,
            _certificate(self.client_certificate, f"{path}.client_certificate"),
            self.connect_timeout_s,
        )


def _proxy(given: UrlFrom | None, path: str) -> str | Secret | None:
    """The proxy's URL if it is written out; otherwise a Secret, which is read for each connection."""
    if given is None:
        return None
    read = partial(whole, given, path, proxy_problem)
    return read() if given.url is not None and given.password is None else Secret(read)


def _certificate(given: ClientCertificateSettings | None, path: str) -> ClientCertificate | None:
    if given is None:
        return None
    password = None if given.password is None else Secret(partial(given.password.read, f"{path}.password"))
    return ClientCertificate(given.certificate, given.key, password)

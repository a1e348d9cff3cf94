"""An account's own way to the vendor in the settings: proxy, trusted authorities, client certificate.

Checks how the keys are written. Files and secrets are read when a connection needs them.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, model_validator

from worker.config.places import SecretFrom, SettingsTable, UrlFrom, proxy_problem, read_url, url_validator
from worker.domain.account import ClientCertificate, Egress, Secret

MAX_CONNECT_S = 10
"""Longest connect timeout. A thread that waits for a dead host makes no other call."""
MAX_PATH = 500
"""Characters of a path. A key without its PEM header has more."""


def _path(value: str) -> str:
    if not value.strip() or "\x00" in value:
        raise ValueError("is empty; name the path of a PEM file")
    # Otherwise each error would show a key as if it were a path.
    if "-----BEGIN" in value or "\n" in value or len(value) > MAX_PATH:
        raise ValueError("holds what belongs in a file; name the path of a PEM file")
    return value


PemPath = Annotated[str, AfterValidator(_path)]


class ClientCertificateSettings(SettingsTable):
    """`client_certificate`: the PEM files with which an account identifies itself to the vendor's server."""

    certificate: PemPath
    """The path of the certificate, with those between it and its authority."""
    key: PemPath | None = None
    """The path of the key, or None if it is in the certificate's file."""
    password: SecretFrom | None = None
    """The password of the key, or None if it is not encrypted."""

    @model_validator(mode="before")
    @classmethod
    def _a_table(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        raise ValueError('not a table; write it as { certificate = "/path.pem", key = "/path.key" }')


class EgressSettings(BaseModel):
    """The keys of an account that decide how its calls leave."""

    proxy: Annotated[UrlFrom | None, url_validator(proxy_problem)] = None
    """The proxy for all its calls, a URL of `http`, `https`, `socks5` or `socks5h`. None calls directly."""
    ca: PemPath | None = None
    """`system`, or the path of a PEM bundle. None means the bundle of `certifi`."""
    client_certificate: ClientCertificateSettings | None = None
    """The certificate for servers or gateways that request one, or None."""
    connect_timeout_s: Annotated[float, Field(gt=0, le=MAX_CONNECT_S)] = 5.0
    """Seconds in which a connection must be made, without the time for resolving the name."""

    def egress(self, path: str) -> Egress:
        """Returns the egress in the transport's form. `path` is where the account stands in the settings."""
        return Egress(
            _proxy(self.proxy, f"{path}.proxy"),
            self.ca,
            _certificate(self.client_certificate, f"{path}.client_certificate"),
            self.connect_timeout_s,
        )


def _proxy(setting: UrlFrom | None, path: str) -> str | Secret | None:
    """Returns the proxy's URL if it is written out, or otherwise a Secret, which is read for each connection."""
    if setting is None:
        return None
    read = partial(read_url, setting, path, proxy_problem)
    return read() if setting.url is not None and setting.password is None else Secret(read)


def _certificate(setting: ClientCertificateSettings | None, path: str) -> ClientCertificate | None:
    if setting is None:
        return None
    password = None if setting.password is None else Secret(partial(setting.password.read, f"{path}.password"))
    return ClientCertificate(setting.certificate, setting.key, password)

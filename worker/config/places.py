"""Where credentials are stored: an environment variable or a file. A URL may also be written in the settings.

Values are read when they are needed, never when settings are loaded, and never by a producer.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, InstanceOf, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from worker.config.application import traceback_summary
from worker.config.variables import env_file, variable, variables
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError


class SettingsTable(BaseModel):
    """A table of the settings. An unknown key is an error."""

    # A wrong value may be a credential. Built on first use, because a process reads few of the tables.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


PLACES = ("env", "file")
"""The keys of a table that says where a credential is."""


def is_place(value: Any) -> bool:
    """Returns True for a table that says where a credential is, and nothing else."""
    return isinstance(value, Mapping) and bool(value) and value.keys() <= {*PLACES}


class SecretFrom(SettingsTable):
    """Where a secret is: the name of an environment variable or the path of a file, never the secret itself."""

    env: str | None = None
    """The variable that holds it."""
    file: Path | None = None
    """The file that holds it."""
    given: InstanceOf[Secret] | None = None
    """A secret that the account's own source reads. No settings file can contain it."""

    @model_validator(mode="before")
    @classmethod
    def _never_inline(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        if isinstance(value, Secret):
            return {"given": value}
        raise ValueError(
            'settings only name the place of a credential: { env = "NAME" } or { file = "/run/secrets/name" }'
        )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if sum(place is not None for place in (self.env, self.file, self.given)) != 1:
            raise ValueError('give exactly one of { env = "NAME" } and { file = "/run/secrets/name" }')
        return self

    @property
    def place(self) -> str:
        """The place, for people."""
        return f"file {self.file}" if self.file else self.env or "its own source"

    def read(self, key: str) -> str:
        """Reads the value. If it is empty or missing, raises a ConfigurationError that names `key` and the place."""
        return _read_secret(self.given, key) if self.given else _read_place(key, self.env, self.file)


class UrlFrom(SecretFrom):
    """A URL written out, or the place of the whole URL, or a URL and the place of its password."""

    url: str | None = None
    """The URL, written out."""
    password: SecretFrom | None = None
    """The place of its password, if the URL has none."""

    @model_validator(mode="before")
    @classmethod
    def _never_inline(cls, value: Any) -> Any:
        if isinstance(value, str | Secret):
            return {"url" if isinstance(value, str) else "given": value}
        if isinstance(value, dict | cls):
            return value
        raise ValueError(
            'is neither a URL nor the place of one; write { env = "NAME" } or { file = "/run/secrets/name" }'
        )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if sum(place is not None for place in (self.url, self.env, self.file, self.given)) != 1:
            raise ValueError('give exactly one of the URL, { env = "NAME" } and { file = "/run/secrets/name" }')
        if self.password is not None and not all(map(_takes_password, _nodes(self.url or ""))):
            raise ValueError("password goes with a url that has a host and no password of its own")
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if value is not None:
                yield name, without_password(value) if name == "url" else value

    def read(self, key: str) -> str:
        """Reads the whole URL. If its place is empty or missing, raises a ConfigurationError that names `key`."""
        if self.url is None:
            return super().read(key)
        if self.password is None:
            return self.url
        password = self.password.read(f"{key}.password")
        return ";".join(_with_password(node, password) for node in _nodes(self.url))


_URLS = (UrlFrom, UrlFrom | None)


class Environment(EnvSettingsSource):
    """Reads `WORKER_...` variables. A URL's variable holds the URL; `__FILE` and `__PASSWORD__FILE` name its file."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        # The same as pydantic's own, which reads only the environment.
        return {name.lower(): value for name, value in variables().items() if value}

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:
        """Returns the value of a variable. The place of a URL, or of its password, replaces the settings file's."""
        parsed = super().prepare_field_value(field_name, field, value, value_is_complex)
        if field.annotation in _URLS and isinstance(parsed, dict) and parsed.keys() & {"url", *PLACES}:
            parsed = {**dict.fromkeys(UrlFrom.model_fields), **parsed}
        if field_name == "accounts" and isinstance(parsed, dict):
            parsed = {name: _parse_tables(table) for name, table in parsed.items()}
        return _with_whole_places(parsed)

    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Any) -> Any:
        """Returns a URL's variable as text, and the place of a secret. The variables of other tables are JSON."""
        if field is not None and field.annotation is SecretFrom and not value.startswith("{"):
            return {"env": f"{self.env_prefix}{field_name}".upper()}
        if field is None:  # of a dict of any values, as accounts are
            return json.loads(value)
        if field.annotation not in _URLS or value.startswith("{"):
            return super().decode_complex_value(field_name, field, value)
        return {"url": value} if self.explode_env_vars(field_name, field, self.env_vars) else value


def _parse_tables(table: Any) -> Any:
    """Parses the values of an account that are tables in JSON. Its other texts stay texts, whatever they look like."""
    if not isinstance(table, dict):
        return table
    return {key: _parse_table(value) for key, value in table.items()}


def _parse_table(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # refused later, with the account's other settings


def _with_whole_places(value: Any) -> Any:
    """Returns a table whose places of credentials replace those of the settings file, at any depth."""
    if not isinstance(value, dict):
        return value
    if is_place(value) and not any(isinstance(inner, dict) for inner in value.values()):
        return {**dict.fromkeys(PLACES), **value}
    return {key: _with_whole_places(inner) for key, inner in value.items()}


def url_validator(problem: Callable[[str], str | None]) -> AfterValidator:
    """Returns a validator for a setting. It raises ValueError if its URL is written out and has a problem."""

    def check(setting: UrlFrom | None) -> UrlFrom | None:
        if setting is not None and setting.url and (problem_text := problem(setting.url)):
            raise ValueError(problem_text)
        return setting

    return AfterValidator(check)


def read_url(setting: UrlFrom, key: str, problem: Callable[[str], str | None]) -> str:
    """Reads the URL. Raises ConfigurationError if it cannot be read, or has a problem."""
    url = setting.read(key)
    if problem_text := problem(url):
        raise ConfigurationError(f"{key} names a place whose value is {problem_text}")
    return url


_OWN_DRIVERS = ("postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql", "sqlite+pysqlite")


def database_problem(url: str) -> str | None:
    """Returns what is wrong with a database URL, or None if it looks valid. Does not connect to it."""
    match = re.match(r"([a-z0-9]+)(?:\+(\w+))?://(.*)", url, re.DOTALL)
    if match is None:
        return "not a database URL; use postgresql+psycopg://user@host/name or sqlite:///worker.db"
    backend, driver, rest = match.groups()
    own = next((own for own in _OWN_DRIVERS if own.startswith(f"{backend}+")), None)
    if own and driver and own != f"{backend}+{driver}":
        return f"a URL of driver {driver}, which the worker does not use; write {own}://"
    if not url.startswith(("sqlite:", "sqlite+")):
        return _unreadable("password") if _has_unescaped(rest) else None
    if os.name != "nt" and re.match(r"/?[A-Za-z]:[\\/]", rest):
        return "a path of Windows, and here it would be the name of a file; write sqlite:////home/me/worker.db"
    return None


def _unreadable(piece: str) -> str:
    return f"not a URL whose {piece} can be read; write @, :, / and the like of user and password as %40, %3A, %2F"


def _has_unescaped(rest: str) -> bool:
    """Returns True if a plain @, / or ? in the user or password would end that part of the URL too early."""
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    path, _, query = rest[len(authority) :].partition("?")
    is_torn = "@" in query and not path and not re.fullmatch(r".*:[0-9]+", authority) and ":" in authority
    return authority.count("@") > 1 or "@" in path or ("@" not in authority and is_torn)


def broker_problem(url: str) -> str | None:
    """Returns what is wrong with a broker URL, or None if it looks valid. Does not connect to it."""
    if url == "embedded":
        return None
    if not url.startswith(("redis://", "rediss://", "amqp://", "amqps://")):
        return 'not a broker; use "embedded", redis://host:6379/0 or amqp://host'
    try:
        _ = [urlsplit(node).port for node in _nodes(url)]  # kombu's own error would quote what stands there
    except ValueError:
        return _unreadable("port")
    if problem := next(filter(None, map(_broker_option_problem, _nodes(url))), None):
        return problem
    if len({broker_tls(node) for node in _nodes(url)}) > 1:
        return "a URL whose nodes differ in TLS; give all of them the same scheme and the same ssl_ options"
    return None


def _broker_option_problem(node: str) -> str | None:
    """Returns what is wrong behind the ? of one node's URL, or None."""
    for name, value in parse_qsl(urlsplit(node).query, keep_blank_values=True):
        if name not in _BROKER_OPTIONS:
            # What is no valid name may be a piece of a password.
            option = name if re.fullmatch("[a-z_]+", name) else "..."
            return f"a URL with the option {option}, which the broker's client does not take; leave it out"
        if name.startswith("ssl_") and not node.startswith(_TLS):
            return f"a URL with {name} and without TLS; write rediss:// or amqps://"
        if not re.fullmatch(_BROKER_OPTIONS[name], value):
            return f"a URL whose {name} is not {_BROKER_OPTIONS[name].replace('|', ' or ')}; correct it"
    return None


_TLS = ("rediss://", "amqps://")
_BROKER_OPTIONS = {
    "ssl_ca_certs": ".+",
    "ssl_certfile": ".+",
    "ssl_keyfile": ".+",
    "ssl_cert_reqs": "required|none",
    "ssl_check_hostname": "true|false",
    **dict.fromkeys(("heartbeat", "login_method", "virtual_host"), ".*"),
}
"""What may stand behind the ? of a broker URL, and the values. kombu would raise an error of its own for another name,
and would verify nothing if it did not know the value of `ssl_cert_reqs`.
"""


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """How TLS to the broker is verified, out of the options of its URL."""

    ca: str | None = None
    """The path of a PEM file of authorities, or None for the system's."""
    certificate: str | None = None
    """The path of the certificate that is shown to the broker, or None."""
    key: str | None = None
    """The path of its key, or None if it is in the same file."""
    verifies: bool = True
    """Whether the broker's certificate is verified at all."""
    verifies_name: bool = True
    """Whether it has to be the certificate of the host in the URL."""


def broker_tls(url: str) -> BrokerTls | None:
    """Returns how TLS is verified, or None if there is no TLS. The URL has no problem."""
    first = _nodes(url)[0]
    if not first.startswith(_TLS):
        return None
    options = dict(parse_qsl(urlsplit(first).query))
    verifies = options.get("ssl_cert_reqs") != "none"
    return BrokerTls(
        options.get("ssl_ca_certs"),
        options.get("ssl_certfile"),
        options.get("ssl_keyfile"),
        verifies,
        verifies and options.get("ssl_check_hostname") != "false",
    )


def without_tls_options(url: str) -> str:
    """Returns the broker URL without the options of TLS, which kombu would read in a way of its own."""
    return ";".join(map(_without_tls_options, _nodes(url)))


def _without_tls_options(node: str) -> str:
    place, mark, query = node.partition("?")
    kept = "&".join(option for option in query.split("&") if not option.startswith("ssl_"))
    return f"{place}{mark}{kept}" if kept else place


def is_local_broker(url: str) -> bool:
    """Returns whether every node is on this machine, so that there is no way on which it could be read."""
    return all((urlsplit(node).hostname or "localhost") in _THIS_MACHINE for node in _nodes(url))


_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


_PROXIES = ("http", "https", "socks5", "socks5h")
_SOCKS_LOGIN = 255
"""Bytes of a user or a password in SOCKS5, at most."""


def proxy_problem(url: str) -> str | None:
    """Returns what is wrong with a proxy URL, or None if it looks valid. Does not connect to it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PROXIES and re.fullmatch(r"[^\x00-\x20%]+", parts.hostname or "") and parts.port != 0
        login = [len(unquote(text or "").encode()) for text in (parts.username, parts.password)]
    except ValueError:
        usable, login = False, []
    if not usable or parts.query or parts.fragment or re.search(r"[\t\r\n]", url):
        schemes = " or ".join(f"{scheme}://" for scheme in _PROXIES[1:])
        return f"not a proxy's address; write it as http://[user:password@]host:port, or with {schemes}"
    if parts.scheme.startswith("socks") and max(login) > _SOCKS_LOGIN:
        return f"a proxy's address whose user or password is longer than {_SOCKS_LOGIN} bytes; SOCKS5 takes no more"
    return None


def without_password(url: str) -> str:
    """Returns the URL with passwords and queries replaced by stars, for logs and people."""
    return ";".join(_masked(node) for node in _nodes(url))


def _nodes(url: str) -> list[str]:
    """Returns each node's URL. The setting of a RabbitMQ cluster separates them with `;`."""
    return re.split(r";(?=[a-z0-9+]+://)", url)


def _masked(url: str) -> str:
    head, sep, rest = url.partition("://")
    if not sep:
        return url
    place, query, more = rest.partition("?")
    if "@" in more:  # the ? is in the password, so the text before it holds a piece of the password
        return f"{head}://***"
    user, at, host = place.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{head}://{name}{colon and ':***'}{at}{host}{query and '?***'}"


def _takes_password(url: str) -> bool:
    _, sep, rest = url.partition("://")
    user, _, host = rest.partition("/")[0].rpartition("@")
    # A URL with a user may name its hosts behind the ?, as several hosts of PostgreSQL are.
    return bool(sep and (host or user)) and ":" not in user


def _with_password(url: str, password: str) -> str:
    head, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    return f"{head}://{user}:{quote(password, safe='')}@{host}{slash}{path}"


def _read_secret(secret: Secret, key: str) -> str:
    """Reads an application's own Secret. Raises ConfigurationError if it raises anything else or returns no text."""
    try:
        value: Any = secret.read()
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001  whatever the application raises; its text may hold the secret
        failed = traceback_summary(error, below=__file__)
    else:
        if isinstance(value, str) and value.strip():
            return value
        failed = "it returned no text"
    raise ConfigurationError(f"{key} comes from a function that failed: {failed}")


def _read_place(key: str, env: str | None, file: Path | None) -> str:
    try:
        value = (file.read_text(encoding="utf-8-sig") if file else variable(env or "")).strip()
        value.encode()
    except UnicodeEncodeError:  # Python reads bytes of the environment that are no text as half characters
        unread = f"{key} names environment variable {env}, which is not UTF-8 text; set it in UTF-8"
    except UnicodeDecodeError:
        unread = f"{key} names file {file}, which is not UTF-8 text; save it as UTF-8"
    except (OSError, ValueError):
        unread = f"{key} names file {file}, which cannot be read; check the path and its rights"
    else:
        unread = ""
    if unread:
        raise ConfigurationError(unread)  # outside the handler: the error holds the bytes
    if not value:
        place = f"file {file}" if file else f"environment variable {env}"
        remedy = "fill it" if file else f"set it, or write it into {env_file()}"
        # No colon after the key: the log's redaction would take the next word for the secret itself.
        raise ConfigurationError(f"{key} names {place}, which is empty or not there; {remedy}")
    return value

"""Places of credentials: an environment variable or a file; a URL may also be in the settings themselves.

Values are read when they are needed, never when settings are loaded, and never by a producer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, InstanceOf, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from worker.config.application import places_of
from worker.config.variables import env_file, variable, variables
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError


class SecretFrom(BaseModel):
    """Where a secret is: the name of an environment variable or the path of a file, never the secret itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    env: str | None = None
    """The variable that holds it."""
    file: Path | None = None
    """The file that holds it."""
    given: InstanceOf[Secret] | None = None
    """A secret that the source of the account reads by itself; no file can say it."""

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
            raise ValueError('say exactly one of { env = "NAME" } and { file = "/run/secrets/name" }')
        return self

    @property
    def place(self) -> str:
        """The place, for people."""
        return f"file {self.file}" if self.file else self.env or "its own source"

    def read(self, key: str) -> str:
        """The value, read now; one that is empty or not there is a ConfigurationError that names `key` and place."""
        return _given(self.given, key) if self.given else _read(key, self.env, self.file)


class UrlFrom(SecretFrom):
    """A URL written out, or the place of the whole URL, or a URL and the place of its password."""

    url: str | None = None
    """The URL, written out."""
    password: SecretFrom | None = None
    """The place of its password, where the URL has none."""

    @model_validator(mode="before")
    @classmethod
    def _never_inline(cls, value: Any) -> Any:
        if isinstance(value, str | Secret):
            return {"url" if isinstance(value, str) else "given": value}
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if sum(place is not None for place in (self.url, self.env, self.file, self.given)) != 1:
            raise ValueError('say exactly one of the URL, { env = "NAME" } and { file = "/run/secrets/name" }')
        if self.password is not None and not all(map(_takes_password, _nodes(self.url or ""))):
            raise ValueError("password goes with a url that has a host and no password of its own")
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if value is not None:
                yield name, without_password(value) if name == "url" else value

    def read(self, key: str) -> str:
        """The whole URL, read now; a place that is empty or not there is a ConfigurationError that names `key`."""
        if self.url is None:
            return super().read(key)
        if self.password is None:
            return self.url
        password = self.password.read(f"{key}.password")
        return ";".join(_with_password(one, password) for one in _nodes(self.url))


_URLS = (UrlFrom, UrlFrom | None)


class Environment(EnvSettingsSource):
    """`WORKER_...` variables. A URL's variable holds it as it is; `__FILE`, `__PASSWORD__FILE` name the file of it."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        # What pydantic's own makes of the environment alone.
        return {name.lower(): value for name, value in variables().items() if value}

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:
        """The value of a variable; a place of a URL, or of its password, replaces the one in the settings file."""
        found = super().prepare_field_value(field_name, field, value, value_is_complex)
        if field.annotation in _URLS and isinstance(found, dict):
            if found.keys() & {"url", "env", "file"}:
                found = {**dict.fromkeys(UrlFrom.model_fields), **found}
            if isinstance(found.get("password"), dict):
                found["password"] = {**dict.fromkeys(SecretFrom.model_fields), **found["password"]}
        if field.annotation is SecretFrom and isinstance(found, dict):
            found = {"env": None, "file": None, **found}
        if field_name == "accounts" and isinstance(found, dict):
            found = {name: _tables_read(table) for name, table in found.items()}
        return found

    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Any) -> Any:
        """The text of a URL's variable, and the place of a secret's; the other variables of tables are JSON."""
        if field is not None and field.annotation is SecretFrom and not value.startswith("{"):
            return {"env": f"{self.env_prefix}{field_name}".upper()}
        if field is None:  # of a dict of any values, as accounts are
            return json.loads(value)
        if field.annotation not in _URLS or value.startswith("{"):
            return super().decode_complex_value(field_name, field, value)
        return {"url": value} if self.explode_env_vars(field_name, field, self.env_vars) else value


def _tables_read(table: Any) -> Any:
    """An account's values, those read that are tables in JSON; its other texts are texts, whatever they look like."""
    if not isinstance(table, dict):
        return table
    return {key: _table_read(value) for key, value in table.items()}


def _table_read(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # judged with its account, which it is wrong in


def checked(problem: Callable[[str], str | None]) -> AfterValidator:
    """The validator of a setting: ValueError when its URL is written out and has a problem."""

    def check(given: UrlFrom | None) -> UrlFrom | None:
        if given is not None and given.url and (wrong := problem(given.url)):
            raise ValueError(wrong)
        return given

    return AfterValidator(check)


def whole(given: UrlFrom, key: str, problem: Callable[[str], str | None]) -> str:
    """The URL, read now; a ConfigurationError where it cannot be read, or has a problem."""
    url = given.read(key)
    if wrong := problem(url):
        raise ConfigurationError(f"{key} names a place whose value is {wrong}")
    return url


_OWN_DRIVERS = ("postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql", "sqlite+pysqlite")


def database_problem(url: str) -> str | None:
    """What is wrong with a database's URL; None: nothing that its text shows."""
    found = re.match(r"([a-z0-9]+)(?:\+(\w+))?://(.*)", url, re.DOTALL)
    if found is None:
        return "not a database URL; use postgresql+psycopg://user@host/name or sqlite:///worker.db"
    backend, driver, rest = found.groups()
    own = next((own for own in _OWN_DRIVERS if own.startswith(f"{backend}+")), None)
    if own and driver and own != f"{backend}+{driver}":
        return f"a URL of driver {driver}, which the worker does not use; write {own}://"
    return _unreadable("password") if not url.startswith(("sqlite:", "sqlite+")) and _is_torn(rest) else None


def _unreadable(piece: str) -> str:
    return f"not a URL whose {piece} can be read; write @, :, / and the like of user and password as %40, %3A, %2F"


def _is_torn(rest: str) -> bool:
    """True when a plain @, / or ? in the user or password ends the part of the URL that holds them too early."""
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    path, _, query = rest[len(authority) :].partition("?")
    torn = "@" in query and not path and not re.fullmatch(r".*:[0-9]+", authority) and ":" in authority
    return authority.count("@") > 1 or "@" in path or ("@" not in authority and torn)


def broker_problem(url: str) -> str | None:
    """What is wrong with a broker's URL; None: nothing that its text shows."""
    if url == "embedded":
        return None
    if not url.startswith(("redis://", "rediss://", "amqp://", "amqps://")):
        return 'not a broker; use "embedded", redis://host:6379/0 or amqp://host'
    try:
        _ = [urlsplit(one).port for one in _nodes(url)]  # kombu's own error would quote what stands there
    except ValueError:
        return _unreadable("port")
    options = {name for one in _nodes(url) for name in parse_qs(urlsplit(one).query, keep_blank_values=True)}
    if unknown := sorted(name for name in options if not re.fullmatch(_BROKER_OPTIONS, name)):
        # What is no name may be a piece of a password.
        option = unknown[0] if re.fullmatch("[a-z_]+", unknown[0]) else "..."
        return f"a URL with {option} behind its ?, which the broker's client does not take; leave it out"
    return None


_BROKER_OPTIONS = r"ssl_\w+|heartbeat|login_method|virtual_host"
"""What kombu takes behind the ? of a broker's URL; any other name is an error of its own in each process."""


_PROXIES = ("http", "https", "socks5", "socks5h")
_SOCKS_LOGIN = 255
"""Most bytes of a user or a password in SOCKS5."""


def proxy_problem(url: str) -> str | None:
    """What is wrong with a proxy's address; None: nothing that its text shows."""
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
    """The URL with passwords and queries replaced by stars, for logs and people."""
    return ";".join(_shown(one) for one in _nodes(url))


def _nodes(url: str) -> list[str]:
    """Each node's URL: the setting of a RabbitMQ cluster lists them with `;` between."""
    return re.split(r";(?=[a-z0-9+]+://)", url)


def _shown(url: str) -> str:
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
    return bool(sep and host) and ":" not in user


def _with_password(url: str, password: str) -> str:
    head, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    return f"{head}://{user}:{quote(password, safe='')}@{host}{slash}{path}"


def _given(secret: Secret, key: str) -> str:
    """What an application's own Secret says; a ConfigurationError where it raises anything else, or says nothing."""
    try:
        value: Any = secret.read()
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001  whatever the application raises; its text may hold the secret
        failed = places_of(error, below=__file__)
    else:
        if isinstance(value, str) and value.strip():
            return value
        failed = "it returned no text"
    raise ConfigurationError(f"{key} comes of a function that failed: {failed}")


def _read(key: str, env: str | None, file: Path | None) -> str:
    try:
        value = (file.read_text(encoding="utf-8-sig") if file else variable(env or "")).strip()
    except UnicodeDecodeError:
        unread = f"{key} names file {file}, which is not UTF-8 text; save it as UTF-8"
    except (OSError, ValueError):
        unread = f"{key} names file {file}, which cannot be read; check the path and its rights"
    else:
        unread = ""
    if unread:
        raise ConfigurationError(unread)  # outside the handler: a decoder's error holds the bytes
    if not value:
        place = f"file {file}" if file else f"environment variable {env}"
        remedy = "fill it" if file else f"set it, or write it into {env_file()}"
        # No colon behind the key: the log's redaction would take the next word for the secret itself.
        raise ConfigurationError(f"{key} names {place}, which is empty or not there; {remedy}")
    return value

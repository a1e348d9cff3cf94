"""`[console]`: where the console listens, who may sign in and how, and what each user may do.

Knows how the settings are written. `console/viewer.py` knows what a role may do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, StringConstraints, field_validator, model_validator

from worker.config.places import SecretFrom, SettingsTable
from worker.config.token_provider import is_web_address
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError

LONGEST_S = 36_500 * 86_400
"""A hundred years: TOML has `inf`, from which no instant can be computed."""
Seconds = Annotated[float, Field(gt=0, le=LONGEST_S)]
EVERY_ACCOUNT = "*"
"""Stands for all accounts in a user's list."""
HostName = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,60}$")]
HASH = re.compile(r"\$argon2id\$v=\d+\$[\w=,]+\$[\w+/]+\$[\w+/]+")
PersonName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class UserSettings(SettingsTable):
    """`[console.users.NAME]`: a person who may sign in. NAME is also the name at the proxy or the issuer."""

    role: Literal["reader", "observer", "support", "operator", "admin"]
    """`reader` sees states and counts, `observer` also recipients and tags, `support` also texts, `operator` acts on
    accounts, `admin` on everything."""
    accounts: tuple[str, ...] = ()
    """Accounts of which observers see recipients and tags, support and operators also texts; on which operators act."""
    password: SecretFrom | None = Field(None, repr=False)
    """What `worker console --hash` prints, or where it is stored. With None they sign in only by proxy or issuer."""

    @field_validator("password", mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if not HASH.fullmatch(value):
            raise ValueError("is not an argon2id hash; write what `worker console --hash` prints for the password")
        return Secret(lambda: value)

    @model_validator(mode="after")
    def _has_what_its_role_needs(self) -> Self:
        if self.role not in ("reader", "admin") and not self.accounts:
            raise ValueError(f'names no account; the role {self.role} needs accounts = ["NAME"], or ["*"] for all')
        if self.role in ("reader", "admin") and self.accounts:
            raise ValueError(f"names accounts, which make no difference to a role of {self.role}; leave them out")
        return self


class OidcSettings(SettingsTable):
    """`[console.oidc]`: an OpenID Connect provider that identifies people."""

    issuer: str
    """The provider's name for itself. A slash at its end makes no difference."""
    client_id: Annotated[str, Field(min_length=1)]
    """The id that the provider gave to the console."""
    client_secret: SecretFrom | None = None
    """None for a public client: then only PKCE protects the code."""
    claim: Annotated[str, Field(min_length=1)] = "email"
    """The claim of the ID token that is the user's name."""
    scope: ClassVar[str] = "openid email profile"
    """The scopes requested from the provider, separated by blanks."""

    @field_validator("issuer")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        # Keys that came over plain HTTP could be anyone's.
        if not is_web_address(value) or urlsplit(value).scheme != "https":
            raise ValueError("is not an https address; write it as the provider's page does, https://host/path")
        return value


class ConsoleSettings(SettingsTable, BaseModel):
    """`[console]`: the web pages for operators."""

    listen: str = "127.0.0.1:8091"
    """Address and port it listens on."""
    hosts: tuple[HostName, ...] = Field((), examples=["console.example.com"])
    """Host names in browsers' requests, in addition to those of this machine. Others are refused."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks of the reverse proxies that end TLS before it. Requests from others are refused."""
    user_header: HeaderName | None = Field(None, examples=["X-Forwarded-User"])
    """The header in which these proxies name the user, or None if they name none."""
    users: dict[PersonName, UserSettings] = {}
    """The users who may sign in, by name."""
    others: Literal["reader"] | None = None
    """The role of people whom the proxy or issuer names and `users` does not, or None if they may not sign in."""
    oidc: OidcSettings | None = None
    """None if no provider signs people in."""
    session_s: Seconds = 43_200
    """How long a session lasts."""
    idle_s: Annotated[float, Field(ge=120, le=LONGEST_S)] = 3_600
    """How long an unused session lasts."""

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for n, entry in enumerate(value, start=1):
            try:
                ip_network(entry)
            except ValueError:
                raise ValueError(
                    f"entry {n} is neither an address nor a network such as 10.2.0.0/16; correct it"
                ) from None
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.user_header is not None and not self.proxies:
            raise ValueError(
                "user_header needs proxies: anybody can send such a header, so name the proxies that are trusted"
            )
        if self.others is not None and self.user_header is None and self.oidc is None:
            raise ValueError(
                "others needs user_header or oidc, which identify people; set one of these, or leave others out"
            )
        if self.proxies and not self.hosts:
            raise ValueError('proxies needs hosts = ["console.example.com"], the names that browsers ask for')
        return self

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The addresses of the proxies."""
        return tuple(map(ip_network, self.proxies))

    @property
    def jobs_at(self) -> str | None:
        """The address of a job's page without the job's id, through the proxies. None without a proxy."""
        return f"https://{self.hosts[0]}/jobs/" if self.proxies else None

    @cached_property
    def passwords(self) -> Mapping[str, str]:
        """The hashes of users with a password, read once. Raises ConfigurationError if a place holds none."""
        return {name: _read_hash(name, user.password) for name, user in self.users.items() if user.password is not None}

    @property
    def has_sign_in(self) -> bool:
        """Whether anyone can sign in with these settings."""
        return (
            any(user.password for user in self.users.values()) or self.user_header is not None or self.oidc is not None
        )


def _read_hash(name: str, place: SecretFrom) -> str:
    key = f"console.users.{name}.password"
    value = place.read(key)
    if not HASH.fullmatch(value):
        problem = "does not hold an argon2id hash; write what `worker console --hash` prints for the password"
        raise ConfigurationError(f"{key}: {place.place} {problem}")
    return value

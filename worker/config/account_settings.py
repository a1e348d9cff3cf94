"""The settings of one account: its `[accounts.NAME]` table and the tables inside it.

Knows no channel's own keys, and never reads a secret's value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from worker.config.egress import EgressSettings
from worker.config.places import SecretFrom, SettingsTable
from worker.config.token_provider import TokenProviderFrom
from worker.domain.content.staging import Staging, staging_problem
from worker.domain.content.web import UnusableAddress, web_address
from worker.domain.pacing.quiet import NONE, quiet_hours

SECRET_KEYS = frozenset({"secret", "bearer", "token", "aes_key", "encoding_aes_key", "webhook_key", "key", "password"})
"""Keys whose value is a credential, wherever they stand in an account."""

Share = Annotated[float, Field(gt=0, le=1)]
Amount = Annotated[int, Field(ge=0, le=10**12)]
Weight = Annotated[float, Field(gt=0, le=1000)]


class StagingSettings(SettingsTable):
    """`[staging]`, for all accounts or for one: keeps calls away from people outside of production."""

    dry_run: bool = False
    """Makes no call: what would be called is cancelled."""
    only: tuple[str, ...] | None = None
    """The recipients that are let through. All others are left out. None switches it off."""
    redirect_to: tuple[str, ...] = ()
    """Recipients that get all messages instead: at most one member, one chat and one address."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # The recipients are not shown.
        return [("on", self.switches().active())]

    def switches(self) -> Staging:
        """Returns the switches in the pipeline's form."""
        return Staging(self.dry_run, self.only, self.redirect_to)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (problem := staging_problem(self.switches())) is not None:
            raise ValueError(problem)
        return self


class AccountSettings(EgressSettings, BaseModel):
    """One `[accounts.NAME]` table. Keys that are not named here belong to the channel."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, defer_build=True)

    channel: str
    """The name of its channel, which has keys of its own."""
    base_url: str | None = None
    """The vendor's host, or None for its public one."""
    secret: SecretFrom | None = None
    """Where the vendor's credential is stored: an app's secret, a webhook's key, or a Youdu app's AES key."""
    limits: dict[str, Amount] = {}
    """Amounts by the limit's name, in place of the vendor's. With 0 the limit is not enforced."""
    limit_share: Share | dict[str, Share] = 1.0
    """The fraction of every limit that this worker may use if other programs send through the same app, or by limit
    name.
    """
    on_unknown: Literal["default", "hold", "resend"] = "default"
    """What happens to a part in doubt: `hold` waits for a person, `resend` sends again, `default` is the job's choice.
    """
    allow_everyone: bool = False
    """Whether `Everyone()` may be used."""
    disabled: bool = False
    """A disabled account accepts no new job, and its jobs wait."""
    weight: Weight = 1.0
    """Its share of the threads compared with other accounts with work: 2 gets twice as much as 1."""
    quiet_hours: str = NONE
    """When nothing is sent to people, such as `"22:00-07:00 Asia/Shanghai"`. A job may override it."""

    staging: StagingSettings | None = None
    """The switches of `[staging]` for this account alone, or None for those of all accounts."""
    previous_credentials: dict[str, Any] = {}
    """The `secret` and `callback` that were valid before. They are used in addition while credentials are rotated."""
    token_provider: TokenProviderFrom | None = None
    """The user's own token service, or None for the vendor's gettoken."""

    @field_validator("quiet_hours")
    @classmethod
    def _as_quiet_hours(cls, value: str) -> str:
        quiet_hours(value)
        return value

    @field_validator("base_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(web_address(value).url)
        except UnusableAddress:
            parts = urlsplit("")
        if "key" in parse_qs(parts.query):
            raise ValueError(
                "is the whole address of a webhook; write only https://host, and store the part after key= as secret"
            )
        if found := re.search(r"/cgi(-bin)?(/|$)", parts.path):
            raise ValueError(
                f"ends in a path that the worker adds by itself ({found[0]}); write only the part before it"
            )
        if not parts.hostname or parts.query or parts.fragment:
            raise ValueError("not a web address; write it as https://host or http://host:port")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _no_inline_secrets(self) -> Self:
        for key, value in (self.model_extra or {}).items():
            _refuse_inline(key, value)
        if unknown := self.previous_credentials.keys() - {"secret", "callback"}:
            raise ValueError(f"previous_credentials.{min(unknown)} is no credential; give secret and callback only")
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # The channel's own keys are not shown: one of them may be a credential under a name we do not know.
        return [(name, value) for name, value in super().__repr_args__() if name in type(self).model_fields]


def _refuse_inline(path: str, value: Any) -> None:
    """Refuses a channel's own credential, at any depth, that is not a { env } or { file } table."""
    if isinstance(value, dict) and not value.keys() <= {"env", "file"}:
        for key, inner in value.items():
            _refuse_inline(f"{path}.{key}", inner)
    elif isinstance(value, str) and path.rpartition(".")[2].lower() in SECRET_KEYS:
        raise ValueError(
            f'{path} holds a credential; settings only name its place: {{ env = "NAME" }} or {{ file = "/run/..." }}'
        )

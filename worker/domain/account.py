"""An account: one set of credentials of one channel, whose secret is read only when needed.

Also the vendor's access token for an account, or why there is none. No `repr` shows a secret or a token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.domain.content.staging import LIVE, Staging
from worker.domain.pacing.quiet import NONE

if TYPE_CHECKING:
    from worker.domain.outcome import Penalty
    from worker.domain.pacing.limit import Limit

DEADLINE = "deadline_s"
"""The key in an account's settings for the total time of a call in seconds, from `[delivery]`."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that never shows itself: reading it is a call, and its `repr` is a row of stars."""

    read: Callable[[], str] = field(repr=False)
    """Reads the secret, anew each time."""

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The certificate with which an account authenticates to the vendor's server (mutual TLS)."""

    certificate: str
    """The path of a PEM file with the certificate and any intermediate certificates."""
    key: str | None = None
    """The path of the key's PEM file, or None if the certificate's file holds the key."""
    password: str | Secret | None = field(default=None, repr=False)
    """The password of the key, or None if the key is not encrypted. A Secret is read for each connection."""


@dataclass(frozen=True, slots=True)
class Egress:
    """How calls reach the vendor: proxy, certificates and connections.

    Calls share connections only if their base_url and their egress are equal.
    """

    proxy: str | Secret | None = field(default=None, repr=False)
    """The URL of a proxy, which may hold a password, or None for no proxy. A Secret is read for each connection."""
    ca: str | None = None
    """Trusted authorities: `system`, the path of a PEM bundle, or None for the bundle of `certifi`."""
    client_certificate: ClientCertificate | None = None
    """The account's certificate for the vendor's server, or None."""
    connect_timeout_s: float = 5.0
    """Seconds in which a connection must be made, without the time for resolving the name."""
    connections: int = 64
    """The largest number of idle connections that are kept open."""


DIRECT = Egress()


@dataclass(frozen=True, slots=True)
class TokenProvider:
    """A source of the company's own for an account's tokens, used in place of the vendor."""

    place: str
    """A URL, or the function as `package.module:function`."""
    bearer: Secret | None = None
    """The token in the URL's `Authorization` header, or None if `place` is a function."""


@dataclass(frozen=True, slots=True)
class Account:
    """One configured account. `settings` are the channel's own keys (`corpid`, `agentid`, `callback`, ...)."""

    name: str
    """The account's name in the settings."""
    channel: str
    """The name of its channel, as the settings have it."""
    base_url: str
    """The address of its calls, without a slash at the end, such as `https://qyapi.weixin.qq.com`."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The keys of its channel, as they are written in its table."""
    secret: Secret | None = None
    """The vendor's secret: an app's secret, a webhook's key, a Youdu app's AES key. None if tokens come from elsewhere.
    """
    egress: Egress = DIRECT
    """How its calls reach the vendor."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Amounts that override the channel's profile, by limit name; 0 switches a limit off."""
    limit_share: float | Mapping[str, float] = 1.0
    """The fraction of every limit that this worker may use, above 0 to 1, or fractions by limit name. Below 1 if other
    programs send through the same app.
    """
    on_unknown: str = "default"
    """What happens to a part in doubt if nothing makes a repeat safe: `default`, `hold` or `resend`."""
    weight: float = 1.0
    """Its share of the threads compared with other accounts with work: 2 gets twice as much as 1."""
    allow_everyone: bool = False
    """Whether `Everyone()` may be used."""
    quiet_hours: str = NONE
    """The hours in which it shows nothing to people, such as `"22:00-07:00 Asia/Shanghai"`, or `none`."""
    staging: Staging = LIVE
    """The staging switches that limit its recipients outside production."""
    previous_credentials: Account | None = None
    """The account with its previous credentials, which are tried if the present ones are refused, or None."""
    token_provider: TokenProvider | None = None
    """The source of its tokens, or None if they come from the vendor."""

    @property
    def deadline_s(self) -> float:
        """The total time of a call in seconds: the account's own, else 20."""
        return float(self.settings.get(DEADLINE, 20))

    def relied_on_s(self, window: str, published_s: int) -> int:
        """Returns for how many seconds the vendor is assumed to remember: the account's figure, or the published one.

        It is never more than the published one.
        """
        return min(published_s, int(self.settings.get("windows_s", {}).get(window, published_s)))

    @property
    def has_own_amounts(self) -> bool:
        """True when `limits` or `limit_share` change what the vendor published."""
        return bool(self.limits) or self.limit_share != 1.0

    def amount_of(self, limit: Limit) -> int:
        """Returns the units of a limit that this worker may use: its share of the account's or the published amount.

        Returns 0 if the limit is switched off.
        """
        amount = self.limits.get(limit.name, limit.amount)
        share = self.limit_share.get(limit.name, 1.0) if isinstance(self.limit_share, Mapping) else self.limit_share
        if not amount or not limit.window_s or share == 1.0:
            return amount
        return max(1, int(amount * share + 1e-9))  # 0.29 of 100 is 29, whatever a float makes of it


GETTOKEN = "gettoken: "
"""The beginning of every reason of a wait for a token."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. `generation` and `fingerprint` identify it without showing it."""

    value: str = field(repr=False)
    generation: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TokenWait:
    """There is no token now. A new fetch may be tried after `delay` seconds."""

    delay: float
    reason: str
    penalty: Penalty | None = None
    """What the vendor's refusal means for the account. Set only for the caller that received the refusal."""
    remedy: str | None = None
    """What a person can do about it, or None if it passes by itself."""
    is_local: bool = False
    """True if no answer of the vendor was read, so that perhaps only this process gets no token."""


@dataclass(frozen=True, slots=True)
class TokenParked:
    """The vendor refuses the credentials, and a person must act. One process tries again in `probe_in_s` seconds."""

    reason: str
    remedy: str
    probe_in_s: float
    hint: str | None = None
    """The vendor's trace number of its refusal."""
    age_s: float = 0.0
    """Seconds since the refusal. They stop at `park_probe_s`, after which the vendor is asked again."""


TokenState = Token | TokenWait | TokenParked

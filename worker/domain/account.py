"""An account: one set of credentials of one channel, with its secret read only when it is needed.

Beside it the vendor's access token for an account, or why there is none. No secret and no token ever shows itself.
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
"""Key beside a channel's own: the total time of a call in seconds, out of `[delivery]`."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that never shows itself: reading it is a call, and its `repr` is a row of stars."""

    read: Callable[[], str] = field(repr=False)
    """Reads the secret, anew each time."""

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The certificate with which an account shows itself to the vendor's server (mutual TLS)."""

    certificate: str
    """The path of a PEM file: the certificate, and those between it and its authority."""
    key: str | None = None
    """The path of the key's PEM file; None: the key is in the certificate's."""
    password: str | Secret | None = field(default=None, repr=False)
    """The password of the key; a Secret is read for each connection. None: the key is not encrypted."""


@dataclass(frozen=True, slots=True)
class Egress:
    """The way out that calls take to the vendor.

    Calls share connections where their base_url is the same and their egress is equal, and nowhere else.
    """

    proxy: str | Secret | None = field(default=None, repr=False)
    """The URL of a proxy, which may hold a password; a Secret is read for each connection. None: no proxy."""
    ca: str | None = None
    """Trusted authorities: `system`, or the path of a PEM bundle; None: the bundle of `certifi`."""
    client_certificate: ClientCertificate | None = None
    """What the account shows itself with to the vendor's server; None: nothing."""
    connect_timeout_s: float = 5.0
    """Seconds that making a connection may take in all, the look-up of the name left out."""
    connections: int = 64
    """Most idle connections that are kept."""


DIRECT = Egress()


@dataclass(frozen=True, slots=True)
class TokenProvider:
    """The firm's own place of an account's tokens, asked in place of the vendor."""

    place: str
    """A URL, or the function as `package.module:function`."""
    bearer: Secret | None = None
    """What the URL's caller proves itself with; None: the place is a function."""


@dataclass(frozen=True, slots=True)
class Account:
    """One configured account. `settings` are the channel's own keys (`corpid`, `agentid`, `callback`, ...)."""

    name: str
    """The account's name in the settings."""
    channel: str
    """The name of its channel, as the settings have it."""
    base_url: str
    """Where its calls go, without a slash at the end, such as `https://qyapi.weixin.qq.com`."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The keys of its channel, as they are written in its table."""
    secret: Secret | None = None
    """What the vendor gave: an app's secret, a webhook's key, a Youdu app's AES key; None: there is none, for tokens
    come from elsewhere."""
    egress: Egress = DIRECT
    """The way out that calls take to the vendor."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Amounts that override the channel's profile, by limit name; 0 switches a limit off."""
    share: float | Mapping[str, float] = 1.0
    """The fraction of every limit that this worker may use, above 0 to 1, or fractions by limit name. Below 1 where
    other programs send through the same app.
    """
    on_unknown: str = "default"
    """What a part in doubt does when nothing makes a repeat safe: `default`, `hold` or `resend`."""
    weight: float = 1.0
    """Its share of the threads beside other accounts with work: 2 gets twice as much as 1."""
    allow_everyone: bool = False
    """Whether `Everyone()` may be used."""
    quiet_hours: str = NONE
    """When nothing of it is put before people, as `"22:00-07:00 Asia/Shanghai"`; `none`: at no time."""
    staging: Staging = LIVE
    """What keeps its calls from people, where it is no production."""
    previous: Account | None = None
    """The same with the credentials that were valid before, which are tried where the present ones are refused."""
    token_provider: TokenProvider | None = None
    """Where its tokens come from; None: from the vendor."""

    @property
    def deadline_s(self) -> float:
        """The total time of a call in seconds: the account's own, else 20."""
        return float(self.settings.get(DEADLINE, 20))

    def relied_on_s(self, window: str, published_s: int) -> int:
        """Seconds for which the vendor is taken to remember something: the account's, but never more than published."""
        return min(published_s, int(self.settings.get("windows_s", {}).get(window, published_s)))

    @property
    def has_own_amounts(self) -> bool:
        """True when `limits` or `share` change what the vendor published."""
        return bool(self.limits) or self.share != 1.0

    def amount_of(self, limit: Limit) -> int:
        """Units of a limit that this worker may use: its share of the account's own or the published amount; 0: off."""
        amount = self.limits.get(limit.name, limit.amount)
        share = self.share.get(limit.name, 1.0) if isinstance(self.share, Mapping) else self.share
        if not amount or not limit.window_s or share == 1.0:
            return amount
        return max(1, int(amount * share + 1e-9))  # 0.29 of 100 is 29, whatever a float makes of it


GETTOKEN = "gettoken: "
"""What the reason of a wait for a token begins with."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; `generation` and `fingerprint` name it without showing it."""

    value: str = field(repr=False)
    generation: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TokenWait:
    """No token now; ask again after `delay` seconds."""

    delay: float
    reason: str
    penalty: Penalty | None = None
    """What the vendor's refusal means for the account; set only for the caller that received it."""
    remedy: str | None = None
    """What a person can do about it; None: time alone heals it."""
    is_local: bool = False
    """True: no answer of the vendor was read, so it may be this process alone that gets no token."""


@dataclass(frozen=True, slots=True)
class TokenParked:
    """The vendor refuses the credentials; a person must act. One process probes again in `probe_in_s` seconds."""

    reason: str
    remedy: str
    probe_in_s: float
    hint: str | None = None
    """The vendor's trace number of its refusal."""


TokenState = Token | TokenWait | TokenParked
